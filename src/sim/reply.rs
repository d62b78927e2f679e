//! What a simulated platform answers, and what the network makes of it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;

/// How the network treats an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It arrives at once.
    Now,
    /// It arrives after this time.
    After(Duration),
    /// It never arrives: the client has to give up. The response says what would have been answered; whether
    /// the call had its effect follows from the fault.
    NeverAnswered,
    /// The connection breaks before any of it arrives.
    ResetConnection,
    /// The body comes in small pieces, or stops in the middle.
    Drip {
        /// Bytes in each piece.
        piece_bytes: usize,
        /// The wait before each piece.
        pause: Duration,
        /// After so many bytes the connection breaks; none for a body that arrives whole.
        cut_after_bytes: Option<usize>,
    },
}

/// A platform's answer to one call.
#[derive(Debug)]
pub struct Reply {
    /// What the platform answers.
    pub response: Response<Bytes>,
    /// How it travels.
    pub delivery: Delivery,
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// An answer with a JSON body.
pub fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    set_header(&mut response, "content-type", "application/json");
    response
}

/// Sets a header; a value that cannot stand in a header is left out.
pub fn set_header(response: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

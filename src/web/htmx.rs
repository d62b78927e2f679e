//! The request and answer headers of htmx 4.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest};

/// Sends the browser to another page.
pub const REDIRECT: &str = "HX-Redirect";
/// Names another element to swap.
pub const RETARGET: &str = "HX-Retarget";
/// Names another way to swap.
pub const RESWAP: &str = "HX-Reswap";

/// What htmx says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Htmx {
    /// True where a fragment is wanted; false for whole pages, also when history is restored.
    pub wants_fragment: bool,
}

impl Htmx {
    /// Reads the headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let says = |name: &str, value: &str| headers.get(name).is_some_and(|held| held == value);
        Self {
            wants_fragment: says("HX-Request", "true")
                && says("HX-Request-Type", "partial")
                && !says("HX-History-Restore-Request", "true"),
        }
    }
}

impl FromRequest for Htmx {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request.headers())))
    }
}

//! Lets the library that speaks S3 call through our one HTTP door (`src/http.rs`), with its checked addresses, limits
//! and log. Nothing here may open a connection itself, or repeat a call: the library does, where that is safe.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use crate::http::{Call, SharedTransport, TransportError};

/// A piece of 8 MiB takes so long on 256 kbit/s.
const CALL_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// The door, as the library takes it.
#[derive(Debug, Clone)]
pub(super) struct Door(pub(super) SharedTransport);

impl HttpConnector for Door {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Door {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let request = http::Request::from_parts(parts, body);
        let call = Call { timeout: CALL_TIME_MAX, ..Call::new("backupBucket", request) };
        let answer = self.0.send(call).await.map_err(|error| HttpError::new(kind(&error), error))?;
        let mut response = http::Response::new(answer.body.into());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// What the library decides by whether to try again.
fn kind(error: &TransportError) -> HttpErrorKind {
    match error {
        TransportError::ConnectFailed(_) | TransportError::TimedOut { request_sent: false } => {
            HttpErrorKind::Connect
        }
        TransportError::TimedOut { request_sent: true } => HttpErrorKind::Timeout,
        TransportError::ResetMidway(_) => HttpErrorKind::Interrupted,
        TransportError::BodyTooLarge { .. } => HttpErrorKind::Decode,
        TransportError::Blocked { .. } | TransportError::Invalid(_) => HttpErrorKind::Unknown,
    }
}

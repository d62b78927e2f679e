//! Where platforms push to: an address that nobody can guess, for each connection. A message is kept and answered;
//! nothing of it is read here, and nobody is signed in. It may be served by a listener of its own.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::web::{self, Bytes, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::AppState;
use crate::sync::Pushed;

/// A message may be this long: platforms send ids, and some a whole order.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Seconds until a message that could not be kept may be sent again.
const AGAIN_AFTER_S: u64 = 30;

/// Adds the hooks' addresses.
pub fn configure(config: &mut ServiceConfig) {
    config.service(
        web::resource("/hooks/{token}")
            .app_data(web::PayloadConfig::default().limit(MESSAGE_BYTES_MAX))
            .route(web::post().to(take))
            .route(web::get().to(challenge)),
    );
}

/// Keeps a message until it is read.
async fn take(state: Data<AppState>, token: Path<String>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let mut headers = BTreeMap::new();
    for (name, value) in request.headers() {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    match state.engine.pushed(&token, headers, body).await {
        Pushed::Taken => answer(StatusCode::OK, "ok\n"),
        Pushed::Unknown => unknown(),
        Pushed::Busy(why) => HttpResponse::ServiceUnavailable()
            .insert_header((RETRY_AFTER, AGAIN_AFTER_S))
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type("text/plain; charset=utf-8")
            .body(format!("{why}\n")),
    }
}

/// Answers a platform that asks whether the address is ours.
async fn challenge(state: Data<AppState>, token: Path<String>, request: HttpRequest) -> HttpResponse {
    match state.engine.push_challenge(&token, request.query_string()) {
        Some((content_type, body)) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type(content_type)
            .body(body),
        None => unknown(),
    }
}

fn unknown() -> HttpResponse {
    answer(
        StatusCode::NOT_FOUND,
        "no connection has this address; its page under Connections shows the right one\n",
    )
}

fn answer(status: StatusCode, text: &'static str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("text/plain; charset=utf-8")
        .body(text)
}

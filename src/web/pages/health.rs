//! Whether this process lives and can answer. No sign-in, and therefore nothing about the merchant.

use actix_web::{HttpResponse, web};

use crate::store::connections;
use crate::web::AppState;
use crate::web::error;

/// The process answers.
pub async fn healthz() -> HttpResponse {
    error::text("ok\n")
}

/// The database answers too.
pub async fn readyz(state: web::Data<AppState>) -> HttpResponse {
    match state.store.read(|read| connections::all(read).map(|_| ())).await {
        Ok(()) => error::text("ready\n"),
        Err(_) => error::unavailable("the database does not answer; the log says more\n"),
    }
}

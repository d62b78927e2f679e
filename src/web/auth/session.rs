//! Sessions: a random cookie, of which the store holds only the hash.

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, HttpResponse};
use jiff::SignedDuration;

use super::accounts::{self, Account};
use crate::clock::shifted;
use crate::domain::id::UserId;
use crate::store::WriteLane;
use crate::store::sessions::{self, Session};
use crate::vault::hash_token;
use crate::web::AppState;
use crate::web::error::{self, WebError};

const COOKIE: &str = "eider_session";
/// How long a session lasts: a working week and the weekend.
const SESSION_HOURS_MAX: i64 = 24 * 7;

/// The account of the request's session, if it has a living one.
///
/// # Errors
/// Where the store does not answer.
pub async fn account(state: &AppState, request: &HttpRequest) -> Result<Option<Account>, WebError> {
    let Some(cookie) = request.cookie(COOKIE) else { return Ok(None) };
    let hash = hash_token(cookie.value());
    let now = state.clock.now();
    let wanted = hash.clone();
    let session = state.store.read(move |read| sessions::find(read, &wanted, now)).await?;
    let Some(session) = session else { return Ok(None) };
    Ok(accounts::user(state, session.user).map(|account| Account { session_hash: Some(hash), ..account }))
}

/// Begins a session and goes on to `to`.
///
/// # Errors
/// Where the store does not answer.
pub async fn sign_in(state: &AppState, user: UserId, to: &str) -> Result<HttpResponse, WebError> {
    let token = state.entropy.token(32);
    let now = state.clock.now();
    let session = Session {
        session_hash: hash_token(&token),
        user,
        created_at: now,
        last_seen_at: now,
        expires_at: shifted(now, SignedDuration::from_hours(SESSION_HOURS_MAX)),
    };
    state.store.write(WriteLane::Interactive, move |tx| sessions::insert(tx, &session)).await?;
    let mut answer = error::see_other(to);
    let cookie = Cookie::build(COOKIE, token)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(state.network.is_https())
        .max_age(CookieAge::hours(SESSION_HOURS_MAX))
        .finish();
    answer.add_cookie(&cookie).map_err(|error| WebError::Internal(error.to_string()))?;
    Ok(answer)
}

/// Ends the session and goes to the sign-in page.
///
/// # Errors
/// Where the store does not answer.
pub async fn sign_out(state: &AppState, account: &Account, to: &str) -> Result<HttpResponse, WebError> {
    if let Some(hash) = account.session_hash.clone() {
        state.store.write(WriteLane::Interactive, move |tx| sessions::remove(tx, &hash)).await?;
    }
    let mut answer = error::see_other(to);
    let mut cookie = Cookie::build(COOKIE, "").path("/").finish();
    cookie.make_removal();
    answer.add_cookie(&cookie).map_err(|error| WebError::Internal(error.to_string()))?;
    Ok(answer)
}

/// Ends every session of a user.
///
/// # Errors
/// Where the store does not answer.
pub async fn sign_out_everywhere(state: &AppState, user: UserId) -> Result<(), WebError> {
    state.store.write(WriteLane::Interactive, move |tx| sessions::remove_of_user(tx, user)).await?;
    Ok(())
}

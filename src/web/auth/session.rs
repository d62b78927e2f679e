//! Sessions: a random cookie, of which the store holds only the hash.
//!
//! A session ends after a week without use, or when somebody ends it: one in daily use never ends by itself, unless it
//! began in a shop's control panel, which says anew each day who may come in. The cookie outlives it, since what counts is the store's row. A use is written down once a minute at most, so that
//! reading pages does not become writing.

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use jiff::{SignedDuration, Timestamp};

use super::accounts::{self, Account};
use super::panel::{self, PANEL_COOKIE};
use crate::clock::shifted;
use crate::domain::id::UserId;
use crate::store::WriteLane;
use crate::store::sessions::{self, Session};
use crate::store::shop_users;
use crate::vault::hash_token;
use crate::web::AppState;
use crate::web::error::{self, WebError};

/// The name of the cookie.
pub const SESSION_COOKIE: &str = "eider_session";
/// A session ends after so long without use: a working week and the weekend.
const IDLE_MAX: SignedDuration = SignedDuration::from_hours(24 * 7);
/// A session that began in a shop's control panel ends after so long, used or not: opening the app begins a new one.
const PANEL_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// A use is written down when the last one is so long ago.
const TOUCH_INTERVAL: SignedDuration = SignedDuration::from_secs(60);
/// How long browsers keep the cookie: the longest that they allow.
pub(super) const COOKIE_DAYS: i64 = 400;

/// The account of the request's session, if it has a living one.
///
/// # Errors
/// Where the store does not answer.
pub async fn account(state: &AppState, request: &HttpRequest) -> Result<Option<Account>, WebError> {
    let cookie = request.cookie(SESSION_COOKIE).or_else(|| request.cookie(PANEL_COOKIE));
    let Some(cookie) = cookie else { return Ok(None) };
    let hash = hash_token(cookie.value());
    let now = state.clock.now();
    let wanted = hash.clone();
    let session = state.store.read(move |read| sessions::find(read, &wanted, now)).await?;
    let Some(session) = session else { return Ok(None) };
    let Some(account) = accounts::user(state, session.user) else { return Ok(None) };
    touch(state, &session, now).await;
    Ok(Some(Account { session_hash: Some(hash), ..account }))
}

async fn touch(state: &AppState, session: &Session, now: Timestamp) {
    if now.duration_since(session.last_seen_at) < TOUCH_INTERVAL {
        return;
    }
    let hash = session.session_hash.clone();
    let expires_at = end_of(session.created_at, now, session.shop_user);
    let touched = state
        .store
        .write(WriteLane::Interactive, move |tx| sessions::touch(tx, &hash, now, expires_at))
        .await;
    if let Err(error) = touched {
        // Pages can still be read where nothing can be written, as on a full disk.
        tracing::warn!(%error, "the use of a session could not be written down");
    }
}

/// When a session ends that was used at `now`.
fn end_of(created_at: Timestamp, now: Timestamp, shop_user: Option<i64>) -> Timestamp {
    let idle = shifted(now, IDLE_MAX);
    if shop_user.is_some() { idle.min(shifted(created_at, PANEL_AGE_MAX)) } else { idle }
}

/// Begins a session and goes on to `to`.
///
/// # Errors
/// Where the store does not answer.
pub async fn sign_in(
    state: &AppState,
    request: &HttpRequest,
    user: UserId,
    to: &str,
) -> Result<HttpResponse, WebError> {
    let token = begin(state, request, user, None).await?;
    with_cookie(state, token, to)
}

/// Begins a session, for a person of a shop's control panel where there is one, and gives its token.
pub(super) async fn begin(
    state: &AppState,
    request: &HttpRequest,
    user: UserId,
    shop_user: Option<i64>,
) -> Result<String, WebError> {
    let token = state.entropy.token(32);
    let now = state.clock.now();
    let session = Session {
        session_hash: hash_token(&token),
        user,
        created_at: now,
        last_seen_at: now,
        expires_at: end_of(now, now, shop_user),
        agent: request
            .headers()
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .map(agent_in_words),
        shop_user,
    };
    let begin = move |tx: &mut crate::store::Tx<'_>| {
        sessions::remove_expired(tx, now)?;
        sessions::insert(tx, &session)
    };
    state.store.write(WriteLane::Interactive, begin).await?;
    Ok(token)
}

/// On to `to`, with the session's cookie.
pub(super) fn with_cookie(state: &AppState, token: String, to: &str) -> Result<HttpResponse, WebError> {
    let mut answer = error::see_other(to);
    let cookie = Cookie::build(SESSION_COOKIE, token)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(state.network.is_https())
        .max_age(CookieAge::days(COOKIE_DAYS))
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
    let mut cookie = Cookie::build(SESSION_COOKIE, "").path("/").finish();
    cookie.make_removal();
    answer.add_cookie(&cookie).map_err(|error| WebError::Internal(error.to_string()))?;
    panel::forget_cookie(state, &mut answer)?;
    Ok(answer)
}

/// A user's living sessions, the last used first.
///
/// # Errors
/// Where the store does not answer.
pub async fn sessions_of(state: &AppState, user: UserId) -> Result<Vec<Session>, WebError> {
    let now = state.clock.now();
    Ok(state.store.read(move |read| sessions::of_user(read, user, now)).await?)
}

/// Ends one session of a user.
///
/// # Errors
/// Where the store does not answer.
pub async fn end_session(state: &AppState, user: UserId, hash: String) -> Result<(), WebError> {
    let end = move |tx: &mut crate::store::Tx<'_>| sessions::remove_one_of(tx, user, &hash);
    Ok(state.store.write(WriteLane::Interactive, end).await?)
}

/// Ends every session of a user.
///
/// # Errors
/// Where the store does not answer.
pub async fn sign_out_everywhere(state: &AppState, user: UserId) -> Result<(), WebError> {
    state.store.write(WriteLane::Interactive, move |tx| sessions::remove_of_user(tx, user)).await?;
    Ok(())
}

/// Ends every session of a user, and what the account gave to people of control panels.
///
/// # Errors
/// Where the store does not answer.
pub async fn end_access(state: &AppState, user: UserId) -> Result<(), WebError> {
    state.store.write(WriteLane::Interactive, move |tx| shop_users::end_access_of(tx, user)).await?;
    Ok(())
}

/// Ends every session that began in a shop's control panel.
///
/// # Errors
/// Where the store does not answer.
pub async fn end_panel_sessions(state: &AppState) -> Result<(), WebError> {
    state.store.write(WriteLane::Interactive, sessions::remove_of_panels).await?;
    Ok(())
}

/// Browser and system, as people call them. The header itself is not kept: it tells more than anybody needs.
fn agent_in_words(header: &str) -> String {
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(sign, _)| header.contains(sign)).map(|(_, name)| *name)
    };
    // The first sign that fits: browsers also name those that they resemble.
    let browser = named(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = named(&[
        ("Android", "Android"),
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("Something on {system}"),
        (None, None) => "Something else".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_as_people_call_them() {
        let cases = [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 \
                 Safari/537.36 Edg/126.0.0.0",
                "Edge on Windows",
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/17.5 Mobile/15E148 Safari/604.1",
                "Safari on an iPhone",
            ),
            ("curl/8.5.0", "Something else"),
        ];
        for (header, words) in cases {
            assert_eq!(agent_in_words(header), words);
        }
    }
}

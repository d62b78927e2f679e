//! Pages inside a shop's control panel: who may show them in a frame, the session's cookie there, and what lets
//! somebody in who comes from there.
//!
//! A browser keeps cookies of a framed site apart by the site around it (partitioned), or drops them. The cookie of a
//! frame is therefore another one than that of a tab, and the way into a tab is a link that works once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use actix_web::body::MessageBody;
use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::{SignedDuration, Timestamp};

use super::session::{self, COOKIE_DAYS, SESSION_COOKIE};
use crate::clock::{Entropy, shifted};
use crate::domain::id::UserId;
use crate::vault::hash_token;
use crate::web::error::{self, WebError};
use crate::web::{AppState, CONTENT_SECURITY_POLICY, routes};

/// The cookie of a session in a frame. Browsers take the name only with `Secure`, for the whole site and from the site
/// itself.
pub const PANEL_COOKIE: &str = "__Host-eider_panel";
/// What `cookie` of this version has no word for.
const PARTITIONED: &str = "; Partitioned";
/// How long the link into a tab works, in seconds.
pub const TAB_SECONDS_MAX: i64 = 60;
/// How long somebody who came from the control panel may take to sign in.
const LINK_AGE_MAX: SignedDuration = SignedDuration::from_mins(10);
/// Passes that are open at the same time.
const OPEN_COUNT_MAX: usize = 1_000;

/// Somebody who came from a control panel and is nobody here yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comer {
    /// Our number of the person. It may become somebody else's after the person is removed.
    pub shop_user: i64,
    /// The platform's number of the person.
    pub external_id: String,
    /// The store whose control panel it was.
    pub store: String,
    /// True for the owner of the store.
    pub is_store_owner: bool,
}

/// What somebody who came from a control panel may do, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// Open a tab, signed in.
    Tab {
        /// As whom.
        user: UserId,
        /// The person of the control panel.
        shop_user: i64,
    },
    /// Say who they are here, by signing in.
    Link(Comer),
}

impl Pass {
    fn age_max(&self) -> SignedDuration {
        match self {
            Self::Tab { .. } => SignedDuration::from_secs(TAB_SECONDS_MAX),
            Self::Link(_) => LINK_AGE_MAX,
        }
    }
}

/// Passes that are open, and messages that were used. Hashes, in memory: after a restart the app is opened anew.
#[derive(Debug, Default)]
pub struct Passes {
    open: Mutex<HashMap<String, (Pass, Timestamp)>>,
    /// By the hash of the message's id: what it was used for, and until when it counts.
    used: Mutex<HashMap<String, (&'static str, Timestamp)>>,
}

impl Passes {
    /// A new pass.
    ///
    /// # Errors
    /// Where too many are open.
    pub fn issue(&self, pass: Pass, entropy: &Entropy, now: Timestamp) -> Result<String, WebError> {
        let token = entropy.token(32);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (_, expires_at)| *expires_at > now);
        if open.len() >= OPEN_COUNT_MAX {
            return Err(WebError::TooManyAttempts(TAB_SECONDS_MAX.unsigned_abs()));
        }
        let expires_at = shifted(now, pass.age_max());
        open.insert(hash_token(&token), (pass, expires_at));
        Ok(token)
    }

    /// The pass, while it is good. It stays open.
    #[must_use]
    pub fn find(&self, token: &str, now: Timestamp) -> Option<Pass> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&hash_token(token)).filter(|(_, expires_at)| *expires_at > now).map(|(pass, _)| pass.clone())
    }

    /// Uses the pass up.
    pub fn take(&self, token: &str, now: Timestamp) -> Option<Pass> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&hash_token(token)).filter(|(_, expires_at)| *expires_at > now).map(|(pass, _)| pass)
    }

    /// Notes what the message with this id, which counts until `until`, is used for. None where it was not used before,
    /// else what for.
    pub fn use_message(
        &self,
        id: &str,
        what_for: &'static str,
        until: Timestamp,
        now: Timestamp,
    ) -> Option<&'static str> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, (_, until)| *until > now);
        let id = hash_token(id);
        let before = used.get(&id).map(|(what_for, _)| *what_for);
        if before.is_none() {
            used.insert(id, (what_for, until));
        }
        before
    }
}

/// Begins a session in the frame. Whether its cookie comes back shows at `/bigcommerce/opened`.
///
/// # Errors
/// Where the store does not answer.
pub async fn sign_in_panel(
    state: &AppState,
    request: &HttpRequest,
    user: UserId,
    shop_user: i64,
) -> Result<HttpResponse, WebError> {
    let token = session::begin(state, request, user, Some(shop_user)).await?;
    let pass = state.passes.issue(Pass::Tab { user, shop_user }, &state.entropy, state.clock.now())?;
    let mut answer = error::see_other(&routes::panel_opened(&pass));
    add_cookie(&mut answer, cookie(token).max_age(CookieAge::days(COOKIE_DAYS)).finish())?;
    Ok(answer)
}

/// Begins a session in a tab of its own.
///
/// # Errors
/// Where the store does not answer.
pub async fn sign_in_tab(
    state: &AppState,
    request: &HttpRequest,
    user: UserId,
    shop_user: i64,
) -> Result<HttpResponse, WebError> {
    let token = session::begin(state, request, user, Some(shop_user)).await?;
    session::with_cookie(state, token, "/")
}

/// Takes the frame's cookie away, where there can be one.
pub(super) fn forget_cookie(state: &AppState, answer: &mut HttpResponse) -> Result<(), WebError> {
    if !state.network.is_https() || state.engine.shop_app().is_none() {
        return Ok(());
    }
    let mut gone = cookie(String::new()).finish();
    gone.make_removal();
    add_cookie(answer, gone)
}

fn cookie(token: String) -> actix_web::cookie::CookieBuilder<'static> {
    Cookie::build(PANEL_COOKIE, token).path("/").http_only(true).secure(true).same_site(SameSite::None)
}

fn add_cookie(answer: &mut HttpResponse, cookie: Cookie<'static>) -> Result<(), WebError> {
    let value = HeaderValue::from_str(&format!("{cookie}{PARTITIONED}"))
        .map_err(|error| WebError::Internal(error.to_string()))?;
    answer.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

/// True where the browser says that it loads a page into a frame.
#[must_use]
pub fn is_framed(request: &HttpRequest) -> bool {
    request.headers().get("Sec-Fetch-Dest").is_some_and(|value| value == "iframe" || value == "frame")
}

/// True where the browser says that it loads a page into a tab or window of its own.
#[must_use]
pub fn is_tab(request: &HttpRequest) -> bool {
    request.headers().get("Sec-Fetch-Dest").is_some_and(|value| value == "document")
}

/// True where the browser says that another page than ours led here, or none.
#[must_use]
pub fn is_from_elsewhere(request: &HttpRequest) -> bool {
    request.headers().get("Sec-Fetch-Site").is_some_and(|value| value != "same-origin")
}

/// The one store whose control panel may show an answer.
struct FramedBy(String);

/// Lets the control panel of this store alone show an answer.
#[must_use]
pub fn framed_by(mut answer: HttpResponse, store: &str) -> HttpResponse {
    answer.extensions_mut().insert(FramedBy(panel_of(store)));
    answer
}

/// Says who may show the answer in a frame, and makes the cookies of a frame's answer such that browsers keep them there.
///
/// # Errors
/// Those of the rest of the chain.
pub async fn frame<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let ancestors = request
        .app_data::<web::Data<AppState>>()
        .and_then(|state| ancestors(state, request.path().starts_with(routes::PANEL)));
    let is_in_frame = request.cookie(PANEL_COOKIE).is_some() && request.cookie(SESSION_COOKIE).is_none();
    let mut response = next.call(request).await?;
    let own = response.response().extensions().get::<FramedBy>().map(|FramedBy(panel)| panel.clone());
    let ancestors = own.or(ancestors);
    let headers = response.headers_mut();
    let policy = format!("{CONTENT_SECURITY_POLICY}{}", ancestors.as_deref().unwrap_or("'none'"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if ancestors.is_none() {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    if is_in_frame {
        partition_cookies(headers);
    }
    Ok(response)
}

/// The control panels that may show our pages: those of stores that have installed the app. A store that installs it is
/// not known before, so that the callbacks' own words, which a session gives nothing, may be shown in any store's; where
/// somebody signs in, [`framed_by`] says whose.
fn ancestors(state: &AppState, is_callback: bool) -> Option<String> {
    let app = state.engine.shop_app()?;
    let stores = app.stores.iter().map(|store| panel_of(store));
    let any = is_callback.then(|| "https://*.mybigcommerce.com".to_owned());
    let all: Vec<String> = any.into_iter().chain(stores).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// Where a store's control panel is.
fn panel_of(store: &str) -> String {
    format!("https://store-{store}.mybigcommerce.com")
}

/// Browsers drop what a frame sets for the first party alone.
fn partition_cookies(headers: &mut HeaderMap) {
    let all: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in all {
        let parsed = value.to_str().ok().and_then(|text| Cookie::parse(text.to_owned()).ok());
        let rewritten =
            parsed.filter(|cookie| cookie.same_site() != Some(SameSite::None)).and_then(|mut cookie| {
                cookie.set_same_site(SameSite::None);
                cookie.set_secure(true);
                HeaderValue::from_str(&format!("{cookie}{PARTITIONED}")).ok()
            });
        headers.append(header::SET_COOKIE, rewritten.unwrap_or(value));
    }
}

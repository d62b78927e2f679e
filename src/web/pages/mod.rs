//! The pages: one file each, with a template of the same name.

pub mod address;
pub mod addresses;
pub mod connection;
pub mod connection_form;
pub mod connection_new;
pub mod connections;
pub mod consent;
pub mod file;
pub mod health;
pub mod login;
pub mod metrics;
pub mod order;
pub mod orders;
pub mod panel;
pub mod parked;
pub mod payload;
pub mod reconciliation;
pub mod settings;
pub mod setup;
pub mod shop_app;

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::assets;
use super::auth::{Access, Signed};
use super::error::{self, WebError};
use super::htmx::Htmx;
use super::{AppState, shown};

const NOTICE_COOKIE: &str = "eider_notice";
/// A notice that no page has shown by then is forgotten.
const NOTICE_SECONDS_MAX: i64 = 60;
/// What fits a cookie with room to spare.
const NOTICE_CHARS_MAX: usize = 600;

/// The frame around a page.
#[derive(Debug)]
pub struct Shell {
    /// The page's title.
    pub title: String,
    /// Which entry of the menu it belongs to.
    pub active: &'static str,
    /// Who is signed in.
    pub account: String,
    /// The role.
    pub role: &'static str,
    /// What has just been done.
    pub notice: Option<String>,
    /// The zone in which times are shown.
    pub zone: String,
    /// The style sheet.
    pub css: &'static str,
    /// The script.
    pub script: &'static str,
    /// The icon.
    pub icon: &'static str,
}

/// How a page was asked for.
#[derive(Debug)]
pub struct Visit {
    /// True where htmx wants a fragment only.
    pub wants_fragment: bool,
    notice: Option<String>,
    zone: String,
}

impl Visit {
    /// The frame.
    #[must_use]
    pub fn shell<A: Access>(&self, who: &Signed<A>, title: impl Into<String>, active: &'static str) -> Shell {
        Shell {
            title: title.into(),
            active,
            account: who.account.name.clone(),
            role: who.account.role.as_str(),
            notice: self.notice.clone(),
            zone: self.zone.clone(),
            css: assets::url("app.css"),
            script: assets::url("htmx.min.js"),
            icon: assets::url("icon.svg"),
        }
    }

    /// The whole page; the notice has then been shown.
    ///
    /// # Errors
    /// Where the template fails.
    pub fn page(&self, template: &impl Template) -> Result<HttpResponse, WebError> {
        let mut answer = error::html(template)?;
        if self.notice.is_some() {
            let mut cookie = Cookie::build(NOTICE_COOKIE, "").path("/").finish();
            cookie.make_removal();
            answer.add_cookie(&cookie).map_err(|error| WebError::Internal(error.to_string()))?;
        }
        Ok(answer)
    }
}

impl FromRequest for Visit {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let notice = request.cookie(NOTICE_COOKIE).map(|cookie| {
            percent_decode_str(cookie.value()).decode_utf8_lossy().chars().take(NOTICE_CHARS_MAX).collect()
        });
        let wants_fragment = Htmx::of(request.headers()).wants_fragment;
        let zone = request.app_data::<web::Data<AppState>>().map(|state| shown::zone(&state.zone));
        ready(Ok(Self { wants_fragment, notice, zone: zone.unwrap_or_default() }))
    }
}

/// On to `to`, where `notice` says what was done.
///
/// # Errors
/// Where the cookie cannot be set.
pub fn done(to: &str, notice: &str) -> Result<HttpResponse, WebError> {
    let short: String = notice.chars().take(NOTICE_CHARS_MAX).collect();
    let value = utf8_percent_encode(&short, NON_ALPHANUMERIC).to_string();
    let cookie = Cookie::build(NOTICE_COOKIE, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(CookieAge::seconds(NOTICE_SECONDS_MAX))
        .finish();
    let mut answer = error::see_other(to);
    answer.add_cookie(&cookie).map_err(|error| WebError::Internal(error.to_string()))?;
    Ok(answer)
}

/// One choice of a select.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What is read.
    pub label: String,
    /// Whether it is the present one.
    pub is_chosen: bool,
}

impl Choice {
    /// A choice.
    pub fn new(value: impl Into<String>, label: impl Into<String>, chosen: &str) -> Self {
        let value = value.into();
        let is_chosen = value == chosen;
        Self { value, label: label.into(), is_chosen }
    }
}

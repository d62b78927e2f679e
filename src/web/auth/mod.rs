//! Who asks, and what they may do.
//!
//! A handler names the least role that it needs as a type: [`Signed<CanReadOrders>`]. Routes accept nothing else
//! unless they are on the short public list, so a handler without a role does not compile.

mod accounts;
mod limit;
mod links;
mod origin;
mod panel;
mod session;

pub use accounts::{Account, PasswordLink, SetupFor, TokenRow, TokenText, UserRow};
pub use accounts::{
    add_first_owner, add_user, create_token, has_owner, is_owned, issue_setup, password_link, remove_user,
    revoke_token,
};
pub use accounts::{set_role, set_up, setup_for, tokens, user, user_by_password, users};
pub use limit::SignInLimit;
pub use links::SignInLinks;
pub use origin::{Network, guard};
pub use panel::{
    Comer, Pass, Passes, TAB_SECONDS_MAX, frame, framed_by, is_framed, is_from_elsewhere, is_tab,
    sign_in_panel, sign_in_tab,
};
pub use session::account as session_account;
pub use session::{
    SESSION_COOKIE, end_access, end_panel_sessions, end_session, sessions_of, sign_in, sign_out,
    sign_out_everywhere,
};

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};

use super::AppState;
use super::error::WebError;
use crate::domain::user::Role;

/// The least that a handler needs.
pub trait Access: 'static {
    /// In words, after “a role that may”.
    const NEEDED: &'static str;
    /// Whether the role suffices.
    fn allows(role: Role) -> bool;
}

macro_rules! access {
    ($($(#[$doc:meta])* $name:ident = $needed:literal, $allows:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;
        impl Access for $name {
            const NEEDED: &'static str = $needed;
            fn allows(role: Role) -> bool {
                let allows: fn(Role) -> bool = $allows;
                allows(role)
            }
        }
    )+};
}

access! {
    /// Anybody who is signed in.
    AnyRole = "sign in", |_| true;
    /// Sees orders and people.
    CanReadOrders = "see orders", Role::may_read_orders;
    /// Exports and retries.
    CanWorkOrders = "work on orders", Role::may_work_orders;
    /// Adds, changes and pauses connections.
    CanManage = "manage connections", Role::may_manage;
    /// Runs SQL.
    CanQuery = "run SQL and reports", Role::may_query;
    /// Users, tokens, base URLs.
    IsOwner = "manage users and tokens", Role::is_owner;
}

/// Somebody who is signed in and may do what `A` names.
#[derive(Debug)]
pub struct Signed<A: Access> {
    /// Who it is.
    pub account: Account,
    access: PhantomData<A>,
}

impl<A: Access> Signed<A> {
    /// The name for timelines.
    #[must_use]
    pub fn actor(&self) -> &str {
        &self.account.name
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.account.role
    }
}

impl<A: Access> FromRequest for Signed<A> {
    type Error = WebError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, WebError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let account = account_of(&request).await?.ok_or(WebError::SignInNeeded)?;
            if !A::allows(account.role) {
                return Err(WebError::Forbidden { role: account.role.as_str(), needed: A::NEEDED });
            }
            Ok(Self { account, access: PhantomData })
        })
    }
}

/// A program that may read the metrics: one on this machine that no proxy stands before, or any token's holder.
#[derive(Debug)]
pub struct Scraper(());

/// What a proxy adds to a request. Where one is there, the peer's address says nothing.
const PROXY_HEADERS: [&str; 5] = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via"];

impl FromRequest for Scraper {
    type Error = WebError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, WebError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let is_near = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
            let is_forwarded = PROXY_HEADERS.iter().any(|name| request.headers().contains_key(*name));
            if is_near && !is_forwarded {
                return Ok(Self(()));
            }
            account_of(&request).await?.map(|_| Self(())).ok_or(WebError::SignInNeeded)
        })
    }
}

/// The bearer token's holder on the API, else the session's.
async fn account_of(request: &HttpRequest) -> Result<Option<Account>, WebError> {
    let state = request
        .app_data::<web::Data<AppState>>()
        .ok_or_else(|| WebError::Internal("the application state is missing".to_owned()))?;
    match bearer(request) {
        Some(token) => Ok(accounts::token_holder(state, token)),
        None => session::account(state, request).await,
    }
}

/// The token of `Authorization: Bearer …`, on API paths only.
fn bearer(request: &HttpRequest) -> Option<&str> {
    if !super::routes::takes_tokens(request.path()) {
        return None;
    }
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The first argument of a handler that asks for a role. Implemented for argument lists that begin with
/// [`Signed`] or [`Scraper`], so that the router can refuse all others.
pub trait Guarded {
    /// What the handler needs, in words.
    const NEEDED: &'static str;
}

macro_rules! guarded {
    ($($rest:ident),*) => {
        impl<A: Access, $($rest),*> Guarded for (Signed<A>, $($rest,)*) {
            const NEEDED: &'static str = A::NEEDED;
        }
    };
}
impl<B> Guarded for (Scraper, B) {
    const NEEDED: &'static str = "sign in, or run on this machine";
}

guarded!();
guarded!(B);
guarded!(B, C);
guarded!(B, C, D);
guarded!(B, C, D, E);

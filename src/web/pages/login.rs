//! Signing in and out.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use crate::secret::Secret;
use crate::web::auth::{self, AnyRole, Signed};
use crate::web::error::{self, WebError};
use crate::web::{AppState, assets, routes};

/// Longer names and passwords are not even looked at.
const INPUT_BYTES_MAX: usize = 1024;

#[derive(Template)]
#[template(path = "pages/login.html", config = ".askama.toml")]
struct LoginPage<'a> {
    css: &'static str,
    icon: &'static str,
    next: &'a str,
    name: &'a str,
    problem: Option<&'a str>,
    has_owner: bool,
    /// True inside a shop's control panel, where the cookie of a sign-in would not come back.
    is_framed: bool,
}

/// Where to go on.
#[derive(Debug, Deserialize)]
pub struct Next {
    next: Option<String>,
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub struct Credentials {
    name: String,
    password: String,
    next: Option<String>,
}

/// The form.
///
/// # Errors
/// Where the template fails.
pub async fn form(
    state: web::Data<AppState>,
    request: HttpRequest,
    query: web::Query<Next>,
) -> Result<HttpResponse, WebError> {
    let page = page(&state, routes::local_or_home(query.next.as_deref()), "", None);
    error::html(&LoginPage { is_framed: auth::is_framed(&request), ..page })
}

/// Checks name and password.
///
/// # Errors
/// After too many attempts.
pub async fn submit(
    state: web::Data<AppState>,
    request: HttpRequest,
    input: web::Form<Credentials>,
) -> Result<HttpResponse, WebError> {
    let input = input.into_inner();
    let next = routes::local_or_home(input.next.as_deref());
    state.sign_in_limit.check(state.network.client_address(&request), &input.name)?;
    let is_too_long = input.name.len() > INPUT_BYTES_MAX || input.password.len() > INPUT_BYTES_MAX;
    let user = if is_too_long {
        None
    } else {
        auth::user_by_password(&state, input.name.clone(), Secret::new(input.password)).await?
    };
    match user {
        Some(user) => auth::sign_in(&state, &request, user, next).await,
        None => error::form_again(&page(
            &state,
            next,
            &input.name,
            Some("Name and password do not belong together. Check both; capitals count in the password."),
        )),
    }
}

/// A single-use sign-in link.
///
/// # Errors
/// Where the link was used or is too old.
pub async fn link(
    state: web::Data<AppState>,
    request: HttpRequest,
    token: web::Path<String>,
) -> Result<HttpResponse, WebError> {
    match state.links.take(&token, state.clock.now()) {
        Some(user) => auth::sign_in(&state, &request, user, "/").await,
        None => Err(WebError::NotFound(
            "This sign-in link was used already or is too old. Start the demo again for a new one, or sign in \
             with a password."
                .to_owned(),
        )),
    }
}

/// Ends the session.
///
/// # Errors
/// Where the store does not answer.
pub async fn logout(who: Signed<AnyRole>, state: web::Data<AppState>) -> Result<HttpResponse, WebError> {
    auth::sign_out(&state, &who.account, &routes::login(None)).await
}

fn page<'a>(state: &AppState, next: &'a str, name: &'a str, problem: Option<&'a str>) -> LoginPage<'a> {
    LoginPage {
        css: assets::url("app.css"),
        icon: assets::url("icon.svg"),
        next,
        name,
        problem,
        has_owner: auth::has_owner(state),
        is_framed: false,
    }
}

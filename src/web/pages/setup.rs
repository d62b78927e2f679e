//! The one-time setup link: names the owner, or lets a user set a new password.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use crate::secret::Secret;
use crate::web::auth::{self, SetupFor};
use crate::web::error::{self, WebError};
use crate::web::{AppState, assets, routes};

/// Shorter passwords are refused.
const PASSWORD_CHARS_MIN: usize = 10;
/// Longer ones too.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Longest name of a user.
pub(super) const NAME_CHARS_MAX: usize = 80;

#[derive(Template)]
#[template(path = "pages/setup.html", config = ".askama.toml")]
struct SetupPage<'a> {
    css: &'static str,
    icon: &'static str,
    action: String,
    fixed_name: Option<String>,
    name: &'a str,
    problem: Option<&'a str>,
    password_chars_min: usize,
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub struct Chosen {
    #[serde(default)]
    name: String,
    password: String,
    repeated: String,
}

/// The form.
///
/// # Errors
/// Where the link is not good.
pub async fn form(state: web::Data<AppState>, token: web::Path<String>) -> Result<HttpResponse, WebError> {
    let whom = known(&state, &token)?;
    error::html(&page(&token, &whom, "", None))
}

/// Sets name and password, and signs in.
///
/// # Errors
/// Where the link is not good.
pub async fn submit(
    state: web::Data<AppState>,
    request: HttpRequest,
    token: web::Path<String>,
    input: web::Form<Chosen>,
) -> Result<HttpResponse, WebError> {
    let whom = known(&state, &token)?;
    let input = input.into_inner();
    let name = match &whom {
        SetupFor::FirstOwner => input.name.trim().to_owned(),
        SetupFor::User { name, .. } => name.clone(),
    };
    if let Some(problem) = problem(&name, &input.password, &input.repeated) {
        return error::form_again(&page(&token, &whom, &name, Some(problem)));
    }
    let user = auth::set_up(&state, token.into_inner(), name, Secret::new(input.password)).await?;
    // Whoever knew the old password is signed out.
    auth::sign_out_everywhere(&state, user).await?;
    auth::sign_in(&state, &request, user, "/").await
}

fn known(state: &AppState, token: &str) -> Result<SetupFor, WebError> {
    auth::setup_for(state, token).ok_or_else(|| {
        WebError::NotFound(
            "This setup link was used already or is too old. Sign in with the password, or start the program \
             again: it prints a new link while there is no owner."
                .to_owned(),
        )
    })
}

/// What is wrong with a name and a password that somebody chose.
pub(super) fn problem(name: &str, password: &str, repeated: &str) -> Option<&'static str> {
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Some("Choose a name of 1 to 80 characters.");
    }
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Some("Choose a password of at least 10 characters. A few words in a row are good.");
    }
    (password != repeated).then_some("The two passwords differ. Type both again.")
}

fn page<'a>(token: &str, whom: &SetupFor, name: &'a str, problem: Option<&'a str>) -> SetupPage<'a> {
    SetupPage {
        css: assets::url("app.css"),
        icon: assets::url("icon.svg"),
        action: routes::setup(token),
        fixed_name: match whom {
            SetupFor::FirstOwner => None,
            SetupFor::User { name, .. } => Some(name.clone()),
        },
        name,
        problem,
        password_chars_min: PASSWORD_CHARS_MIN,
    }
}

//! Users, API tokens, sessions and this installation.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::orders::word;
use super::{Shell, Visit, done};
use crate::domain::user::Role;
use crate::web::auth::{self, AnyRole, IsOwner, Signed, TokenRow, UserRow};
use crate::web::error::{self, WebError};
use crate::web::shown;
use crate::web::{AppState, routes};

/// Longest name of a token.
const TOKEN_NAME_CHARS_MAX: usize = 60;

#[derive(Template)]
#[template(path = "pages/settings.html", config = ".askama.toml")]
struct SettingsPage {
    shell: Shell,
    is_owner: bool,
    is_user: bool,
    roles: [Role; 5],
    users: Vec<UserRow>,
    tokens: Vec<TokenView>,
    new_token: Option<String>,
    installation: String,
    epoch: i64,
    epoch_since: String,
    zone: String,
    version: &'static str,
}

struct TokenView {
    id: i64,
    name: String,
    role: Role,
    created: String,
}

/// The page.
///
/// # Errors
/// Where the template fails.
pub async fn show(
    who: Signed<AnyRole>,
    visit: Visit,
    state: web::Data<AppState>,
) -> Result<HttpResponse, WebError> {
    visit.page(&page(&who, &visit, &state, None))
}

/// What the form of a new token sends.
#[derive(Debug, Deserialize)]
pub struct NewToken {
    name: String,
    role: String,
}

/// Makes a token and shows it, this once.
///
/// # Errors
/// Where name or role are wrong.
pub async fn create_token(
    who: Signed<IsOwner>,
    visit: Visit,
    state: web::Data<AppState>,
    input: web::Form<NewToken>,
) -> Result<HttpResponse, WebError> {
    let name = input.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > TOKEN_NAME_CHARS_MAX {
        return Err(WebError::invalid("invalid_name", "Say in 1 to 60 characters what the token is for."));
    }
    let role = word::<Role>("role", &input.role)?
        .ok_or_else(|| WebError::invalid("invalid_parameter", "Choose a role."))?;
    let token = auth::create_token(&state, name, role).await?;
    error::html(&page(&who, &visit, &state, Some(token.0)))
}

/// Makes a token worthless.
///
/// # Errors
/// Where the vault cannot be written.
pub async fn revoke_token(
    _who: Signed<IsOwner>,
    state: web::Data<AppState>,
    id: web::Path<i64>,
) -> Result<HttpResponse, WebError> {
    auth::revoke_token(&state, *id).await?;
    done(routes::SETTINGS, "The token no longer works.")
}

/// Ends all sessions of who asks, this one too.
///
/// # Errors
/// Where the store does not answer.
pub async fn sign_out_everywhere(
    who: Signed<AnyRole>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, WebError> {
    if let Some(user) = who.account.user_id {
        auth::sign_out_everywhere(&state, user).await?;
    }
    auth::sign_out(&state, &who.account, &routes::login(None)).await
}

fn page<A: auth::Access>(
    who: &Signed<A>,
    visit: &Visit,
    state: &AppState,
    new_token: Option<String>,
) -> SettingsPage {
    let installation = state.store.installation();
    let is_owner = who.role().is_owner();
    SettingsPage {
        shell: visit.shell(who, "Settings", "settings"),
        is_owner,
        is_user: who.account.user_id.is_some(),
        roles: Role::ALL,
        users: if is_owner { auth::users(state) } else { Vec::new() },
        tokens: if is_owner {
            auth::tokens(state).into_iter().map(|token| token_view(token, state)).collect()
        } else {
            Vec::new()
        },
        new_token,
        installation: installation.id,
        epoch: installation.epoch,
        epoch_since: shown::moment(installation.epoch_since, &state.zone).text,
        zone: state.zone.iana_name().unwrap_or("UTC").to_owned(),
        version: env!("CARGO_PKG_VERSION"),
    }
}

fn token_view(token: TokenRow, state: &AppState) -> TokenView {
    TokenView {
        id: token.id,
        name: token.name,
        role: token.role,
        created: shown::moment(token.created_at, &state.zone).text,
    }
}

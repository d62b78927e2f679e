//! Users, API tokens, sessions and this installation.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::orders::word;
use super::setup::NAME_CHARS_MAX;
use super::shop_app::{self, ShopUsersView};
use super::{Choice, Shell, Visit, done};
use crate::domain::id::UserId;
use crate::domain::user::Role;
use crate::store::sessions::Session;
use crate::web::auth::{self, AnyRole, IsOwner, PasswordLink, Signed, TokenRow, UserRow};
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
    roles: Vec<Choice>,
    users: Vec<UserView>,
    tokens: Vec<TokenView>,
    news: Option<News>,
    sessions: Vec<SessionView>,
    shop_users: Option<ShopUsersView>,
    installation: String,
    epoch: i64,
    epoch_since: String,
    zone: String,
    version: &'static str,
}

/// What is shown this once.
enum News {
    /// An API token.
    Token(String),
    /// A link that sets a password.
    Link { name: String, address: String, is_whole: bool },
}

struct UserView {
    address: String,
    name: String,
    roles: Vec<Choice>,
    has_password: bool,
    is_self: bool,
}

struct TokenView {
    id: i64,
    name: String,
    role: &'static str,
    created: String,
}

struct SessionView {
    hash: String,
    agent: String,
    began: shown::Moment,
    seen: String,
    is_this: bool,
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
    visit.page(&page(&who, &visit, &state, None).await?)
}

/// What the form of a new token or a new user sends.
#[derive(Debug, Deserialize)]
pub struct Newcomer {
    name: String,
    role: String,
}

impl Newcomer {
    fn checked(&self, chars_max: usize, what: &str) -> Result<(String, Role), WebError> {
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > chars_max || name.chars().any(char::is_control) {
            return Err(WebError::invalid(
                "invalid_name",
                format!("Give {what} a name of 1 to {chars_max} characters."),
            ));
        }
        Ok((name.to_owned(), role(&self.role)?))
    }
}

/// What the choice of a role sends.
#[derive(Debug, Deserialize)]
pub struct NewRole {
    role: String,
}

/// Which session.
#[derive(Debug, Deserialize)]
pub struct WhichSession {
    session: String,
}

fn role(text: &str) -> Result<Role, WebError> {
    word::<Role>("role", text)?.ok_or_else(|| WebError::invalid("invalid_parameter", "Choose a role."))
}

/// Makes a token and shows it, this once.
///
/// # Errors
/// Where name or role are wrong.
pub async fn create_token(
    who: Signed<IsOwner>,
    visit: Visit,
    state: web::Data<AppState>,
    input: web::Form<Newcomer>,
) -> Result<HttpResponse, WebError> {
    let (name, role) = input.checked(TOKEN_NAME_CHARS_MAX, "the token")?;
    let token = auth::create_token(&state, name, role).await?;
    error::html(&page(&who, &visit, &state, Some(News::Token(token.0))).await?)
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

/// Adds a user and shows the link that lets them in, this once.
///
/// # Errors
/// Where name or role are wrong, or the name is taken.
pub async fn add_user(
    who: Signed<IsOwner>,
    visit: Visit,
    state: web::Data<AppState>,
    input: web::Form<Newcomer>,
) -> Result<HttpResponse, WebError> {
    let (name, role) = input.checked(NAME_CHARS_MAX, "the user")?;
    let link = auth::add_user(&state, name, role).await?;
    error::html(&page(&who, &visit, &state, Some(news(&state, link))).await?)
}

/// Gives a user another role.
///
/// # Errors
/// Where nobody would own this installation any more.
pub async fn set_role(
    _who: Signed<IsOwner>,
    state: web::Data<AppState>,
    id: web::Path<UserId>,
    input: web::Form<NewRole>,
) -> Result<HttpResponse, WebError> {
    let role = role(&input.role)?;
    let name = auth::set_role(&state, *id, role).await?;
    done(routes::SETTINGS, &format!("{name} is {role} from now on."))
}

/// Signs a user out everywhere and shows the link that sets a new password, this once. Who asks for the own one
/// goes there at once and stays signed in.
///
/// # Errors
/// Where there is no such user.
pub async fn reset_password(
    who: Signed<IsOwner>,
    visit: Visit,
    state: web::Data<AppState>,
    id: web::Path<UserId>,
) -> Result<HttpResponse, WebError> {
    let is_self = who.account.user_id == Some(*id);
    let link = auth::password_link(&state, *id, is_self).await?;
    if is_self {
        return Ok(error::see_other(&routes::setup(&link.token)));
    }
    auth::end_access(&state, *id).await?;
    error::html(&page(&who, &visit, &state, Some(news(&state, link))).await?)
}

/// Removes a user and ends their sessions.
///
/// # Errors
/// Where it is the one who asks, or nobody would own this installation any more.
pub async fn remove_user(
    who: Signed<IsOwner>,
    state: web::Data<AppState>,
    id: web::Path<UserId>,
) -> Result<HttpResponse, WebError> {
    if who.account.user_id == Some(*id) {
        return Err(WebError::Refused("You cannot remove yourself. Ask another owner.".to_owned()));
    }
    auth::remove_user(&state, *id).await?;
    auth::end_access(&state, *id).await?;
    done(routes::SETTINGS, "The user is removed and signed out. What they did keeps their name.")
}

/// Ends one session of who asks.
///
/// # Errors
/// Where the store does not answer.
pub async fn end_session(
    who: Signed<AnyRole>,
    state: web::Data<AppState>,
    input: web::Form<WhichSession>,
) -> Result<HttpResponse, WebError> {
    if let Some(user) = who.account.user_id {
        auth::end_session(&state, user, input.into_inner().session).await?;
    }
    done(routes::SETTINGS, "That session is ended.")
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

async fn page<A: auth::Access>(
    who: &Signed<A>,
    visit: &Visit,
    state: &AppState,
    news: Option<News>,
) -> Result<SettingsPage, WebError> {
    let installation = state.store.installation();
    let is_owner = who.role().is_owner();
    let (users, tokens) =
        if is_owner { (auth::users(state), auth::tokens(state)) } else { (Vec::new(), Vec::new()) };
    let sessions = match who.account.user_id {
        Some(user) => auth::sessions_of(state, user).await?,
        None => Vec::new(),
    };
    let shop_users = if is_owner { shop_app::people(state, &users).await? } else { None };
    Ok(SettingsPage {
        shell: visit.shell(who, "Settings", "settings"),
        is_owner,
        roles: role_choices(Role::Staff),
        users: users.into_iter().map(|user| user_view(user, who.account.user_id)).collect(),
        tokens: tokens.into_iter().map(|token| token_view(token, state)).collect(),
        news,
        sessions: sessions
            .into_iter()
            .map(|session| session_view(session, who.account.session_hash.as_deref(), state))
            .collect(),
        shop_users,
        installation: installation.id,
        epoch: installation.epoch,
        epoch_since: shown::moment(installation.epoch_since, &state.zone).text,
        zone: shown::zone(&state.zone),
        version: env!("CARGO_PKG_VERSION"),
    })
}

fn news(state: &AppState, link: PasswordLink) -> News {
    News::Link {
        name: link.name,
        address: state.network.link(&routes::setup(&link.token)),
        is_whole: state.network.public_url.is_some(),
    }
}

fn role_choices(chosen: Role) -> Vec<Choice> {
    Role::ALL
        .iter()
        .map(|role| Choice::new(role.as_str(), format!("{role}: {}", shown::role(*role)), chosen.as_str()))
        .collect()
}

fn user_view(user: UserRow, asking: Option<UserId>) -> UserView {
    UserView {
        address: routes::user(user.id),
        name: user.name,
        roles: role_choices(user.role),
        has_password: user.has_password,
        is_self: asking == Some(user.id),
    }
}

fn token_view(token: TokenRow, state: &AppState) -> TokenView {
    TokenView {
        id: token.id,
        name: token.name,
        role: token.role.as_str(),
        created: shown::moment(token.created_at, &state.zone).text,
    }
}

fn session_view(session: Session, this: Option<&str>, state: &AppState) -> SessionView {
    let is_this = this == Some(session.session_hash.as_str());
    SessionView {
        agent: session.agent.unwrap_or_else(|| "Not known".to_owned()),
        began: shown::moment(session.created_at, &state.zone),
        seen: if is_this {
            "now".to_owned()
        } else {
            shown::from_now(session.last_seen_at, state.clock.now())
        },
        is_this,
        hash: session.session_hash,
    }
}

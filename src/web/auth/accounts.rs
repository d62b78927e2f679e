//! Users and API tokens as the vault holds them. The only file of the web that talks to the vault.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::clock::shifted;
use crate::domain::id::UserId;
use crate::domain::user::Role;
use crate::secret::Secret;
use crate::vault::{ApiToken, Document, User, VaultError, hash_password, hash_token, is_password};
use crate::web::AppState;
use crate::web::error::WebError;

/// How long a setup link works.
const SETUP_AGE_MAX: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct Account {
    /// The user; none for an API token.
    pub user_id: Option<UserId>,
    /// The name for timelines.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The session's hash, where it is a session.
    pub session_hash: Option<String>,
}

/// A user as listed.
#[derive(Debug, Clone)]
pub struct UserRow {
    /// The id.
    pub id: UserId,
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// False until the person has set a password.
    pub has_password: bool,
}

/// An API token as listed: never the token itself.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Its id.
    pub id: i64,
    /// What it is for.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A new token's text: shown once.
#[derive(Debug)]
pub struct TokenText(pub String);

/// A link by which somebody sets a password: shown once, and good for a week.
#[derive(Debug)]
pub struct PasswordLink {
    /// Whom it lets in.
    pub name: String,
    /// What stands in the link.
    pub token: String,
}

/// Whom a setup link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetupFor {
    /// The first owner, who chooses a name.
    FirstOwner,
    /// A user who sets a new password.
    User {
        /// The user.
        id: UserId,
        /// The name.
        name: String,
    },
}

/// True once somebody owns this installation.
#[must_use]
pub fn has_owner(state: &AppState) -> bool {
    let is_owner = |user: &User| user.role.is_owner() && user.password_hash.is_some();
    state.vault.read(|document| document.users.iter().any(is_owner))
}

/// True where somebody is to own this installation, with a password or not.
#[must_use]
pub fn is_owned(state: &AppState) -> bool {
    state.vault.read(is_owned_by_anybody)
}

fn is_owned_by_anybody(document: &Document) -> bool {
    document.users.iter().any(|user| user.role.is_owner())
}

/// Makes the first owner; none where there is an owner already, with a password or not, or a user of that name.
///
/// # Errors
/// Where the vault cannot be written.
pub async fn add_first_owner(
    state: &AppState,
    name: String,
    password: Secret,
) -> Result<Option<UserId>, WebError> {
    let vault = Arc::clone(&state.vault);
    let now = state.clock.now();
    blocking(move || {
        let hash = hash_password(&password)?;
        vault.update(|document| {
            if is_owned_by_anybody(document) {
                return None;
            }
            let id = document.add_user(&name, Role::Owner, now)?;
            let user = document.users.iter_mut().find(|user| user.id == id)?;
            user.password_hash = Some(hash);
            Some(UserId(id))
        })
    })
    .await
}

/// All users.
#[must_use]
pub fn users(state: &AppState) -> Vec<UserRow> {
    let row = |user: &User| UserRow {
        id: UserId(user.id),
        name: user.name.clone(),
        role: user.role,
        has_password: user.password_hash.is_some(),
    };
    state.vault.read(|document| document.users.iter().map(row).collect())
}

/// The user with that id.
#[must_use]
pub fn user(state: &AppState, id: UserId) -> Option<Account> {
    state.vault.read(|document| {
        let user = document.users.iter().find(|user| user.id == id.0)?;
        Some(Account { user_id: Some(id), name: user.name.clone(), role: user.role, session_hash: None })
    })
}

/// The user with that name and password. Takes as long for a name that does not exist.
///
/// # Errors
/// Where the hash cannot be computed.
pub async fn user_by_password(
    state: &AppState,
    name: String,
    password: Secret,
) -> Result<Option<UserId>, WebError> {
    let vault = Arc::clone(&state.vault);
    blocking(move || {
        let known = vault.read(|document| {
            let user = document.user_named(&name)?;
            Some((UserId(user.id), user.password_hash.clone()?))
        });
        let Some((id, hash)) = known else {
            hash_password(&password)?;
            return Ok(None);
        };
        Ok(is_password(&password, &hash).then_some(id))
    })
    .await
}

/// Keeps a new setup link for the first owner and returns its token.
///
/// # Errors
/// Where the vault cannot be written.
pub fn issue_setup(state: &AppState) -> Result<String, WebError> {
    let token = state.entropy.token(32);
    let now = state.clock.now();
    state.vault.update(|document| {
        document.add_setup_token(&token, None, now, shifted(now, SETUP_AGE_MAX));
    })?;
    Ok(token)
}

/// Whom a setup link is for, while it works. It stays usable.
#[must_use]
pub fn setup_for(state: &AppState, token: &str) -> Option<SetupFor> {
    let now = state.clock.now();
    state.vault.read(|document| {
        if !document.is_setup_token(token, now) {
            return None;
        }
        let hash = hash_token(token);
        let known = document.setup_tokens.iter().find(|known| known.hash == hash)?;
        setup_of(document, known.user_id)
    })
}

/// Uses a setup link up: makes the owner or sets the user's password.
///
/// # Errors
/// Where the link was used already, the name is taken, or the vault cannot be written.
pub async fn set_up(
    state: &AppState,
    token: String,
    name: String,
    password: Secret,
) -> Result<UserId, WebError> {
    let vault = Arc::clone(&state.vault);
    let now = state.clock.now();
    blocking(move || {
        let hash = hash_password(&password)?;
        let user = vault.update(|document| redeem(document, &token, &name, hash, now))?;
        Ok(user)
    })
    .await?
    .ok_or_else(|| WebError::Refused("This link was used already. Sign in with the password.".to_owned()))
}

fn redeem(document: &mut Document, token: &str, name: &str, hash: String, now: Timestamp) -> Option<UserId> {
    let link = document.redeem_setup_token(token, now)?;
    let id = match link.user_id {
        Some(id) => id,
        None => match document.user_named(name) {
            // An owner who was added before but never set a password.
            Some(user) if user.password_hash.is_none() => user.id,
            Some(_) => return None,
            None => document.add_user(name, Role::Owner, now)?,
        },
    };
    document.users.iter_mut().find(|user| user.id == id)?.password_hash = Some(hash);
    Some(UserId(id))
}

fn setup_of(document: &Document, user_id: Option<i64>) -> Option<SetupFor> {
    let Some(id) = user_id else { return Some(SetupFor::FirstOwner) };
    let user = document.users.iter().find(|user| user.id == id)?;
    Some(SetupFor::User { id: UserId(id), name: user.name.clone() })
}

/// Adds a user, who sets a password by the link.
///
/// # Errors
/// Where the name is taken or the vault cannot be written.
pub async fn add_user(state: &AppState, name: String, role: Role) -> Result<PasswordLink, WebError> {
    let (token, now) = (state.entropy.token(32), state.clock.now());
    change_users(state, move |document| {
        let id = document.add_user(&name, role, now).ok_or_else(|| {
            format!("There is a user “{name}” already. Choose another name, or send that one a new link.")
        })?;
        document.add_setup_token(&token, Some(id), now, shifted(now, SETUP_AGE_MAX));
        Ok(PasswordLink { name, token })
    })
    .await
}

/// A link by which a user sets a new password. The old password is worthless from now on, unless `keeps_password`:
/// then it is once the link is used. Older links are worthless in any case.
///
/// # Errors
/// Where there is no such user or the vault cannot be written.
pub async fn password_link(
    state: &AppState,
    id: UserId,
    keeps_password: bool,
) -> Result<PasswordLink, WebError> {
    let (token, now) = (state.entropy.token(32), state.clock.now());
    change_users(state, move |document| {
        document.setup_tokens.retain(|known| known.user_id != Some(id.0));
        document.add_setup_token(&token, Some(id.0), now, shifted(now, SETUP_AGE_MAX));
        let user = user_of(document, id)?;
        if !keeps_password {
            user.password_hash = None;
        }
        Ok(PasswordLink { name: user.name.clone(), token })
    })
    .await
}

/// Gives a user another role. Returns the name.
///
/// # Errors
/// Where there is no such user, nobody would own this installation, or the vault cannot be written.
pub async fn set_role(state: &AppState, id: UserId, role: Role) -> Result<String, WebError> {
    change_users(state, move |document| {
        let user = user_of(document, id)?;
        user.role = role;
        Ok(user.name.clone())
    })
    .await
}

/// Removes a user; safe to repeat. What the user did keeps the name.
///
/// # Errors
/// Where nobody would own this installation, or the vault cannot be written.
pub async fn remove_user(state: &AppState, id: UserId) -> Result<(), WebError> {
    change_users(state, move |document| {
        document.remove_user(id.0);
        Ok(())
    })
    .await
}

fn user_of(document: &mut Document, id: UserId) -> Result<&mut User, String> {
    let found = document.users.iter_mut().find(|user| user.id == id.0);
    found.ok_or_else(|| "There is no such user any more.".to_owned())
}

/// Whether somebody can own this installation after a change: an owner with a password, or any where nobody had one
/// before, as in a demo.
fn is_still_owned(before: &Document, after: &Document) -> bool {
    let has_owner = |document: &Document, needs_password: bool| {
        let is_owner =
            |user: &User| user.role.is_owner() && (user.password_hash.is_some() || !needs_password);
        document.users.iter().any(is_owner)
    };
    has_owner(after, has_owner(before, true))
}

/// Changes the document, or leaves it as it is where `change` says why not, or nobody would own the installation.
async fn change_users<T: Send + 'static>(
    state: &AppState,
    change: impl FnOnce(&mut Document) -> Result<T, String> + Send + 'static,
) -> Result<T, WebError> {
    let vault = Arc::clone(&state.vault);
    let changed = blocking(move || {
        vault.update(|document| {
            let mut next = document.clone();
            let answer = change(&mut next)?;
            if !is_still_owned(document, &next) {
                return Err(
                    "Nobody would own this installation. Make somebody else an owner first.".to_owned()
                );
            }
            *document = next;
            Ok(answer)
        })
    });
    changed.await?.map_err(WebError::Refused)
}

/// All API tokens.
#[must_use]
pub fn tokens(state: &AppState) -> Vec<TokenRow> {
    let row = |token: &ApiToken| TokenRow {
        id: token.id,
        name: token.name.clone(),
        role: token.role,
        created_at: token.created_at,
    };
    state.vault.read(|document| document.api_tokens.iter().map(row).collect())
}

/// Makes an API token and returns its text, which is kept nowhere.
///
/// # Errors
/// Where the vault cannot be written.
pub async fn create_token(state: &AppState, name: String, role: Role) -> Result<TokenText, WebError> {
    let vault = Arc::clone(&state.vault);
    let token = state.entropy.token(32);
    let now = state.clock.now();
    blocking(move || {
        vault.update(|document| document.add_api_token(&token, &name, role, now))?;
        Ok(TokenText(token))
    })
    .await
}

/// Makes an API token worthless; safe to repeat.
///
/// # Errors
/// Where the vault cannot be written.
pub async fn revoke_token(state: &AppState, id: i64) -> Result<(), WebError> {
    let vault = Arc::clone(&state.vault);
    blocking(move || vault.update(|document| document.api_tokens.retain(|token| token.id != id))).await
}

/// Who holds this API token.
pub(super) fn token_holder(state: &AppState, token: &str) -> Option<Account> {
    state.vault.read(|document| {
        let token = document.api_token(token)?;
        Some(Account {
            user_id: None,
            name: format!("token {}", token.name),
            role: token.role,
            session_hash: None,
        })
    })
}

/// Hashing passwords and writing the vault take long: off the threads that answer.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, WebError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| WebError::Internal(error.to_string()))??)
}

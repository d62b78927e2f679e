//! The merchant's own app in BigCommerce's control panel: how it is set up, and who of the store is who here.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use url::Url;

use super::panel::in_words;
use super::{Choice, Shell, Visit, done};
use crate::channels::registry::{self, SHOP_APP};
use crate::domain::connection::Connection;
use crate::domain::id::{ConnectionId, UserId};
use crate::secret::Secret;
use crate::store::shop_users::{self, Known, ShopUser};
use crate::store::{StoreError, Tx, WriteLane, connections};
use crate::web::auth::{self, IsOwner, Signed, UserRow};
use crate::web::error::{self, WebError};
use crate::web::{AppState, routes, shown};

/// Longest number or e-mail of a person.
const PERSON_CHARS_MAX: usize = 254;

#[derive(Template)]
#[template(path = "pages/shop_app.html", config = ".askama.toml")]
struct ShopAppPage {
    shell: Shell,
    action: &'static str,
    /// The addresses for the developer portal; none without a public HTTPS address.
    callbacks: Vec<(&'static str, String)>,
    is_set: bool,
    client_id: String,
    base_url: String,
    stores: Vec<String>,
    problem: Option<String>,
}

/// People of the control panel, as the settings page lists them.
pub struct ShopUsersView {
    /// Everybody who came or was linked before.
    pub people: Vec<ShopUserView>,
    /// The shops that somebody can be linked in.
    pub shops: Vec<Choice>,
    /// The accounts that somebody can be linked to.
    pub accounts: Vec<Choice>,
}

/// One of them.
pub struct ShopUserView {
    /// Where it is changed.
    pub address: String,
    /// Number and e-mail.
    pub who: String,
    /// The shop's alias.
    pub shop: String,
    /// True for the owner of the store.
    pub is_store_owner: bool,
    /// When the person came last.
    pub seen: String,
    /// The accounts, with the present one.
    pub accounts: Vec<Choice>,
    /// False where somebody has no access yet.
    pub is_linked: bool,
    /// Who the person signed in as, while that waits for an owner.
    pub asked: Option<String>,
}

/// What the app's form sends.
#[derive(Debug, Deserialize)]
pub struct AppFields {
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: String,
    #[serde(default)]
    base_url: String,
}

/// What the form sends that links somebody before they came.
#[derive(Debug, Deserialize)]
pub struct NewLink {
    shop: i64,
    person: String,
    user: i64,
}

/// Which account.
#[derive(Debug, Deserialize)]
pub struct WhichUser {
    user: i64,
}

/// The app.
///
/// # Errors
/// Where the template fails.
pub async fn show(
    who: Signed<IsOwner>,
    visit: Visit,
    state: web::Data<AppState>,
) -> Result<HttpResponse, WebError> {
    visit.page(&page(&who, &visit, &state, None, None))
}

/// Keeps the app.
///
/// # Errors
/// Where the template fails.
pub async fn save(
    who: Signed<IsOwner>,
    visit: Visit,
    state: web::Data<AppState>,
    fields: web::Form<AppFields>,
) -> Result<HttpResponse, WebError> {
    let fields = fields.into_inner();
    let saved = match fields.base_url.trim() {
        "" => Ok(None),
        text => Url::parse(text).map(Some).map_err(|error| format!("The base URL is no address: {error}.")),
    };
    let saved = saved.and_then(|base_url| {
        let secret = Some(fields.client_secret.trim()).filter(|secret| !secret.is_empty()).map(Secret::new);
        state.engine.set_shop_app(&fields.client_id, secret, base_url).map_err(|refused| refused.message)
    });
    match saved {
        Ok(()) => {
            done(routes::SHOP_APP, "The app is kept. Paste the addresses, then install it in the store.")
        }
        Err(problem) => error::form_again(&page(&who, &visit, &state, Some(&fields), Some(problem))),
    }
}

/// Forgets the app.
///
/// # Errors
/// Where the vault cannot be written.
pub async fn remove(_who: Signed<IsOwner>, state: web::Data<AppState>) -> Result<HttpResponse, WebError> {
    state.engine.remove_shop_app().map_err(WebError::Internal)?;
    auth::end_panel_sessions(&state).await?;
    done(
        routes::SHOP_APP,
        "The app is forgotten here, and who came from a control panel is signed out. Connections go on with what they \
         hold.",
    )
}

/// Links somebody of the control panel who came.
///
/// # Errors
/// Where there is no such person or account.
pub async fn link(
    who: Signed<IsOwner>,
    state: web::Data<AppState>,
    id: web::Path<i64>,
    input: web::Form<WhichUser>,
) -> Result<HttpResponse, WebError> {
    let name = account_name(&state, UserId(input.user))?;
    let (id, user, by, now) = (*id, UserId(input.user), who.actor().to_owned(), state.clock.now());
    write(&state, move |tx| shop_users::link(tx, id, user, &by, now)).await?;
    done(routes::SETTINGS, &format!("That person is {name} here from the next opening on."))
}

/// Links somebody by number or e-mail who has not come yet.
///
/// # Errors
/// Where the person is not named, or there is no such shop or account.
pub async fn link_new(
    who: Signed<IsOwner>,
    state: web::Data<AppState>,
    input: web::Form<NewLink>,
) -> Result<HttpResponse, WebError> {
    let person = input.person.trim();
    let is_sound = !person.is_empty() && person.chars().count() <= PERSON_CHARS_MAX;
    let known = match person.contains('@') {
        true => Known::Email(person.to_owned()),
        false => Known::Number(person.to_owned()),
    };
    let is_number = person.bytes().all(|digit| digit.is_ascii_digit());
    if !is_sound || (matches!(known, Known::Number(_)) && !is_number) {
        return Err(WebError::invalid(
            "invalid_person",
            "Enter the person's e-mail or number in BigCommerce.",
        ));
    }
    let name = account_name(&state, UserId(input.user))?;
    let shop = ConnectionId(input.shop);
    let all = state.store.read(connections::all).await?;
    if !shops(&all).any(|known| known.id == shop) {
        return Err(WebError::no_connection(shop));
    }
    let (user, by, now) = (UserId(input.user), who.actor().to_owned(), state.clock.now());
    write(&state, move |tx| shop_users::link_known(tx, shop, &known, user, &by, now)).await?;
    done(routes::SETTINGS, &format!("{person} is {name} here from the next opening on."))
}

/// Takes somebody's access away.
///
/// # Errors
/// Where the store does not answer.
pub async fn unlink(
    _who: Signed<IsOwner>,
    state: web::Data<AppState>,
    id: web::Path<i64>,
) -> Result<HttpResponse, WebError> {
    let id = *id;
    write(&state, move |tx| shop_users::remove(tx, id)).await?;
    done(
        routes::SETTINGS,
        "That person has no access from the control panel any more, and is signed out there.",
    )
}

/// What the settings page shows of the control panel's people; none where there is nothing to show.
///
/// # Errors
/// Where the store does not answer.
pub async fn people(state: &AppState, users: &[UserRow]) -> Result<Option<ShopUsersView>, WebError> {
    let (known, all) = state.store.read(|read| Ok((shop_users::all(read)?, connections::all(read)?))).await?;
    if known.is_empty() && state.engine.shop_app().is_none() {
        return Ok(None);
    }
    let shop_choices = shops(&all).map(|shop| Choice::new(shop.id.to_string(), shop.alias.clone(), ""));
    Ok(Some(ShopUsersView {
        people: known.iter().map(|person| person_view(state, person, &all, users)).collect(),
        shops: shop_choices.collect(),
        accounts: account_choices(users, None),
    }))
}

fn person_view(state: &AppState, person: &ShopUser, all: &[Connection], users: &[UserRow]) -> ShopUserView {
    let shop = all.iter().find(|shop| shop.id == person.connection);
    ShopUserView {
        address: routes::shop_user(person.id),
        who: in_words(person),
        shop: shop.map_or_else(|| person.connection.to_string(), |shop| shop.alias.clone()),
        is_store_owner: person.is_store_owner,
        seen: person
            .seen_at
            .map_or_else(|| "not yet".to_owned(), |seen_at| shown::from_now(seen_at, state.clock.now())),
        accounts: account_choices(users, person.asked.or(person.user)),
        asked: person
            .asked
            .and_then(|asked| users.iter().find(|user| user.id == asked))
            .map(|user| format!("{} ({})", user.name, user.role)),
        is_linked: person.user.is_some_and(|user| users.iter().any(|known| known.id == user)),
    }
}

fn account_choices(users: &[UserRow], chosen: Option<UserId>) -> Vec<Choice> {
    let chosen = chosen.map(|user| user.to_string()).unwrap_or_default();
    users
        .iter()
        .map(|user| Choice::new(user.id.to_string(), format!("{} ({})", user.name, user.role), &chosen))
        .collect()
}

fn shops(all: &[Connection]) -> impl Iterator<Item = &Connection> {
    all.iter().filter(|connection| connection.channel.as_str() == SHOP_APP.channel)
}

fn account_name(state: &AppState, user: UserId) -> Result<String, WebError> {
    let account = auth::user(state, user);
    account.map(|account| account.name).ok_or_else(|| WebError::NotFound("There is no such user.".to_owned()))
}

fn page(
    who: &Signed<IsOwner>,
    visit: &Visit,
    state: &AppState,
    typed: Option<&AppFields>,
    problem: Option<String>,
) -> ShopAppPage {
    let app = state.engine.shop_app();
    let callbacks = if state.network.is_https() {
        [
            ("Auth callback URL", routes::PANEL_AUTH),
            ("Load callback URL", routes::PANEL_LOAD),
            ("Uninstall callback URL", routes::PANEL_UNINSTALL),
            ("Remove user callback URL", routes::PANEL_REMOVE_USER),
        ]
        .map(|(label, path)| (label, state.network.link(path)))
        .into()
    } else {
        Vec::new()
    };
    let held = |field: fn(&AppFields) -> &String, text: Option<String>| {
        typed.map_or_else(|| text.unwrap_or_default(), |typed| field(typed).clone())
    };
    let is_set = app.is_some();
    let app_base = app.as_ref().and_then(|app| app.base_url.clone());
    let stores = app.as_ref().map(|app| app.stores.iter().cloned().collect()).unwrap_or_default();
    ShopAppPage {
        shell: visit.shell(who, format!("{} app", title()), "settings"),
        action: routes::SHOP_APP,
        callbacks,
        is_set,
        client_id: held(|typed| &typed.client_id, app.map(|app| app.client_id)),
        base_url: held(|typed| &typed.base_url, app_base),
        stores,
        problem,
    }
}

fn title() -> &'static str {
    registry::channel(&SHOP_APP.channel.into()).map_or("", |info| info.title)
}

async fn write<T: Send + 'static>(
    state: &AppState,
    work: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, WebError> {
    Ok(state.store.write(WriteLane::Interactive, work).await?)
}

//! The callbacks of the merchant's own app: a store installs it, its people open it in the control panel, somebody is
//! removed there, the store uninstalls it. Whoever cannot be told from a forger is told nothing.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use jiff::SignedDuration;
use serde::Deserialize;

use super::setup;
use crate::clock::shifted;
use crate::domain::id::{ConnectionId, UserId};
use crate::secret::Secret;
use crate::store::shop_users::{self, ShopUser, Visitor};
use crate::store::{StoreError, Tx, WriteLane};
use crate::web::auth::{self, Comer, Pass, TAB_SECONDS_MAX};
use crate::web::engine::{AppGrant, AppMessage, AppVisit, ShopPerson};
use crate::web::error::{self, WebError};
use crate::web::{AppState, assets, routes};

/// A message that opens or ends something is good for so long: the platform writes a new one each time.
const FRESH_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Longer names and passwords are not even looked at.
const INPUT_BYTES_MAX: usize = 1024;
/// What a message was used for: somebody opened the app.
const OPENED: &str = "load";
/// What a message was used for: the app was taken away from somebody.
const REMOVED: &str = "remove_user";

#[derive(Template)]
#[template(path = "pages/panel_link.html", config = ".askama.toml")]
struct LinkPage<'a> {
    css: &'static str,
    icon: &'static str,
    action: &'static str,
    /// Who came, in words.
    who: String,
    /// Who the person said it is here, while an owner has not agreed.
    asked: Option<String>,
    /// Where an owner agrees.
    settings: String,
    /// Lets the form be sent; empty where there is none.
    pass: &'a str,
    name: &'a str,
    problem: Option<&'a str>,
    /// True where nobody owns this installation yet and the owner of the store may.
    is_first: bool,
    has_owner: bool,
}

#[derive(Template)]
#[template(path = "pages/panel_opened.html", config = ".askama.toml")]
struct OpenedPage {
    css: &'static str,
    icon: &'static str,
    /// The way into a tab; none once it was used or is too old.
    tab: Option<String>,
    seconds: i64,
}

/// What a store's browser brings after its owner has installed the app.
#[derive(Debug, Deserialize)]
pub struct Grant {
    #[serde(default)]
    code: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    context: String,
}

/// What the platform signed.
#[derive(Debug, Deserialize)]
pub struct Signed {
    #[serde(default)]
    signed_payload_jwt: String,
}

/// What lets somebody go on.
#[derive(Debug, Deserialize)]
pub struct Opened {
    #[serde(default)]
    pass: String,
}

/// What the form sends in which somebody says who they are here.
#[derive(Debug, Deserialize)]
pub struct Account {
    pass: String,
    name: String,
    password: String,
    #[serde(default)]
    repeated: String,
}

/// A store installs the app.
///
/// # Errors
/// Why it is not connected.
pub async fn install(
    state: web::Data<AppState>,
    request: HttpRequest,
    query: web::Query<Grant>,
) -> Result<HttpResponse, WebError> {
    check_reachable(&state)?;
    let address = state.network.client_address(&request);
    let place = address.map_or_else(String::new, |address| format!("installation from {address}"));
    state.sign_in_limit.check(address, &place)?;
    let Grant { code, scope, context } = query.into_inner();
    if code.is_empty() || context.is_empty() {
        return Err(WebError::Refused(
            "BigCommerce sent no code: install the app again in the store's control panel.".to_owned(),
        ));
    }
    let redirect_uri = state.network.link(routes::PANEL_AUTH);
    let grant = AppGrant { code: Secret::new(code), scope, context, redirect_uri };
    let installed = state.engine.install_shop_app(grant).await.map_err(|why| {
        WebError::Refused(format!(
            "The store is not connected: {why}. Install the app again in the control panel."
        ))
    })?;
    enter(&state, &request, installed.connection, installed.store, installed.person).await
}

/// Somebody opens the app in the control panel.
///
/// # Errors
/// Where the message is not the platform's, or the store is not connected.
pub async fn load(
    state: web::Data<AppState>,
    request: HttpRequest,
    query: web::Query<Signed>,
) -> Result<HttpResponse, WebError> {
    check_reachable(&state)?;
    // The control panel opens it in a frame: elsewhere somebody was sent here to sign in for another.
    if auth::is_tab(&request) {
        return Err(WebError::Refused(
            "Open Eider in the store's control panel: the address works nowhere else.".to_owned(),
        ));
    }
    let visit = fresh(&state, &query)?;
    let connection = visit.connection.ok_or_else(|| {
        WebError::NotFound(
            "This store is not connected here. Install the app in its control panel.".to_owned(),
        )
    })?;
    if !is_unused(&state, &visit, OPENED, false) {
        return Err(not_verified());
    }
    state.engine.shop_app_opened(&visit.message).map_err(WebError::Internal)?;
    let AppMessage { store, person, .. } = visit.message;
    enter(&state, &request, connection, store, person).await
}

/// The store has removed the app.
///
/// # Errors
/// Where the message is not the platform's, or it cannot be written down.
pub async fn uninstall(
    state: web::Data<AppState>,
    query: web::Query<Signed>,
) -> Result<HttpResponse, WebError> {
    // An old one must not end what was installed again since. One that is late is no loss: the token is dead.
    let visit = fresh(&state, &query)?;
    state.engine.shop_app_uninstalled(&visit.message).await.map_err(WebError::Internal)?;
    Ok(error::text("uninstalled"))
}

/// The store's owner has taken the app away from somebody.
///
/// # Errors
/// Where the message is not the platform's, or it cannot be written down.
pub async fn remove_user(
    state: web::Data<AppState>,
    query: web::Query<Signed>,
) -> Result<HttpResponse, WebError> {
    let visit = fresh(&state, &query)?;
    // What opened the app says the same words, and removes nobody.
    if !is_unused(&state, &visit, REMOVED, true) {
        return Err(not_verified());
    }
    if let Some(connection) = visit.connection {
        let person = visit.message.person.id;
        write(&state, move |tx| shop_users::remove_person(tx, connection, &person)).await?;
    }
    Ok(error::text("removed"))
}

/// Whether the browser keeps the frame's cookie: on to the orders, or into a tab.
///
/// # Errors
/// Where the store does not answer.
pub async fn opened(
    state: web::Data<AppState>,
    request: HttpRequest,
    query: web::Query<Opened>,
) -> Result<HttpResponse, WebError> {
    let now = state.clock.now();
    if auth::session_account(&state, &request).await?.is_some() {
        // Not needed any more, and so worth nothing to whoever finds it.
        state.passes.take(&query.pass, now);
        return Ok(error::see_other("/"));
    }
    let is_good = matches!(state.passes.find(&query.pass, now), Some(Pass::Tab { .. }));
    error::html(&OpenedPage {
        css: assets::url("app.css"),
        icon: assets::url("icon.svg"),
        tab: is_good.then(|| routes::panel_tab(&query.pass)),
        seconds: TAB_SECONDS_MAX,
    })
}

/// The way into a tab, once.
///
/// # Errors
/// Where it was used or is too old.
pub async fn tab(
    state: web::Data<AppState>,
    request: HttpRequest,
    token: web::Path<String>,
) -> Result<HttpResponse, WebError> {
    let used = || {
        WebError::NotFound(format!(
            "This link was used already or is older than {TAB_SECONDS_MAX} seconds. Open the app again in the \
             control panel."
        ))
    };
    // Nobody is signed in by another site's link, which would be as somebody else.
    if auth::is_from_elsewhere(&request) {
        return Err(WebError::CrossSite);
    }
    let Some(Pass::Tab { user, shop_user }) = state.passes.take(&token, state.clock.now()) else {
        return Err(used());
    };
    // The access may have ended since.
    let known = state.store.read(move |read| shop_users::get_one(read, shop_user)).await?;
    if known.and_then(|known| known.user) != Some(user) {
        return Err(used());
    }
    auth::sign_in_tab(&state, &request, user, shop_user).await
}

/// Somebody says who they are here: by signing in, or as the first owner. Who signs in as somebody mighty waits for an
/// owner: a page in a frame is no place to give that away.
///
/// # Errors
/// Where they took too long, or tried too often.
pub async fn link(
    state: web::Data<AppState>,
    request: HttpRequest,
    input: web::Form<Account>,
) -> Result<HttpResponse, WebError> {
    check_reachable(&state)?;
    let input = input.into_inner();
    let now = state.clock.now();
    let Some(Pass::Link(comer)) = state.passes.find(&input.pass, now) else {
        return Err(too_late());
    };
    state.sign_in_limit.check(state.network.client_address(&request), &input.name)?;
    let shop_user = comer.shop_user;
    let known = state.store.read(move |read| shop_users::get_one(read, shop_user)).await?;
    let known = known.filter(|known| is_same(known, &comer)).ok_or_else(too_late)?;
    let is_first = may_be_first(&state, &comer);
    let said = match is_first {
        true => setup::problem(input.name.trim(), &input.password, &input.repeated).map_or(Ok(None), Err),
        false => by_password(&state, &input).await?.map(Some),
    };
    let said = match said {
        Ok(said) => said,
        Err(problem) => {
            let page = LinkPage {
                pass: &input.pass,
                name: &input.name,
                problem: Some(problem),
                ..link_page(&state, &known, &comer)
            };
            return Ok(auth::framed_by(error::form_again(&page)?, &comer.store));
        }
    };
    // Good for one link, also where it was sent twice at once.
    if state.passes.take(&input.pass, now).is_none() {
        return Err(too_late());
    }
    let user = match said {
        Some(user) => user,
        None => {
            let (name, password) = (input.name.trim().to_owned(), Secret::new(input.password));
            auth::add_first_owner(&state, name, password).await?.ok_or_else(owned)?
        }
    };
    let account = auth::user(&state, user).ok_or_else(too_late)?;
    if !is_first && known.user != Some(user) && account.role.may_manage() {
        return wait_for_owner(&state, comer, user).await;
    }
    let linked = move |tx: &mut Tx<'_>| {
        check_same(tx, &comer)?;
        shop_users::link(tx, shop_user, user, &account.name, now)
    };
    write(&state, linked).await?;
    auth::sign_in_panel(&state, &request, user, shop_user).await
}

/// Whose name and password these are, or what is wrong with them.
async fn by_password(state: &AppState, input: &Account) -> Result<Result<UserId, &'static str>, WebError> {
    let is_too_long = input.name.len() > INPUT_BYTES_MAX || input.password.len() > INPUT_BYTES_MAX;
    let password = Secret::new(input.password.clone());
    let found = match is_too_long {
        true => None,
        false => auth::user_by_password(state, input.name.clone(), password).await?,
    };
    Ok(found.ok_or("Name and password do not belong together. Check both; capitals count."))
}

/// Keeps who somebody says they are, and says what has to happen.
async fn wait_for_owner(state: &AppState, comer: Comer, user: UserId) -> Result<HttpResponse, WebError> {
    let store = comer.store.clone();
    let asked = comer.clone();
    let known = write(state, move |tx| {
        check_same(tx, &asked)?;
        shop_users::ask(tx, asked.shop_user, user)?;
        shop_users::get_one(tx, asked.shop_user)?.ok_or(StoreError::NotFound)
    })
    .await?;
    Ok(auth::framed_by(error::html(&link_page(state, &known, &comer))?, &store))
}

/// Whether the person under our number is the one who came.
fn is_same(known: &ShopUser, comer: &Comer) -> bool {
    known.external_id.as_deref() == Some(comer.external_id.as_str())
}

fn check_same(tx: &Tx<'_>, comer: &Comer) -> Result<(), StoreError> {
    let known = shop_users::get_one(tx, comer.shop_user)?;
    if known.is_some_and(|known| is_same(&known, comer)) { Ok(()) } else { Err(StoreError::NotFound) }
}

/// Lets somebody in who is known here, and asks everybody else who they are.
async fn enter(
    state: &AppState,
    request: &HttpRequest,
    connection: ConnectionId,
    store: String,
    person: ShopPerson,
) -> Result<HttpResponse, WebError> {
    let is_store_owner = person.is_store_owner;
    let external_id = person.id.clone();
    let visitor = Visitor { connection, external_id: person.id, email: person.email, is_store_owner };
    let now = state.clock.now();
    let known = write(state, move |tx| shop_users::came(tx, &visitor, now)).await?;
    if let Some(user) = known.user.filter(|user| auth::user(state, *user).is_some()) {
        return auth::sign_in_panel(state, request, user, known.id).await;
    }
    let comer = Comer { shop_user: known.id, external_id, store, is_store_owner };
    let pass = state.passes.issue(Pass::Link(comer.clone()), &state.entropy, now)?;
    let page = LinkPage { pass: &pass, ..link_page(state, &known, &comer) };
    Ok(auth::framed_by(error::html(&page)?, &comer.store))
}

/// The store's owner makes the first account, while no account is an owner's.
fn may_be_first(state: &AppState, comer: &Comer) -> bool {
    comer.is_store_owner && !auth::is_owned(state)
}

/// The page without a form.
fn link_page<'a>(state: &AppState, known: &ShopUser, comer: &Comer) -> LinkPage<'a> {
    LinkPage {
        css: assets::url("app.css"),
        icon: assets::url("icon.svg"),
        action: routes::PANEL_LINK,
        who: in_words(known),
        asked: known.asked.and_then(|asked| auth::user(state, asked)).map(|account| account.name),
        settings: state.network.link(routes::SETTINGS),
        pass: "",
        name: "",
        problem: None,
        is_first: may_be_first(state, comer),
        has_owner: auth::has_owner(state),
    }
}

/// Somebody of the control panel, as pages name them.
pub(super) fn in_words(known: &ShopUser) -> String {
    match (&known.external_id, &known.email) {
        (Some(id), Some(email)) => format!("{id} ({email})"),
        (Some(id), None) => id.clone(),
        (None, Some(email)) => email.clone(),
        (None, None) => "somebody".to_owned(),
    }
}

fn fresh(state: &AppState, query: &Signed) -> Result<AppVisit, WebError> {
    let visit = state.engine.read_app_message(&query.signed_payload_jwt).ok_or_else(not_verified)?;
    let age = state.clock.now().duration_since(visit.message.issued_at);
    if age > FRESH_MAX { Err(not_verified()) } else { Ok(visit) }
}

/// Whether a message was not used before, or, where it `may_repeat`, for nothing else. One without an id cannot be told.
fn is_unused(state: &AppState, visit: &AppVisit, what_for: &'static str, may_repeat: bool) -> bool {
    let Some(id) = &visit.message.id else { return true };
    let until = shifted(visit.message.issued_at, FRESH_MAX.saturating_add(SignedDuration::from_secs(1)));
    let before = state.passes.use_message(id, what_for, until, state.clock.now());
    before.is_none_or(|before| may_repeat && before == what_for)
}

/// The same words whatever was wrong.
fn not_verified() -> WebError {
    WebError::invalid(
        "not_verified",
        "This did not come from BigCommerce a moment ago. Open the app again in the store's control panel. If that \
         does not help, an owner checks the app's client ID and secret under Settings, and this machine's clock.",
    )
}

fn owned() -> WebError {
    WebError::Refused(
        "Somebody owns this installation already, or somebody here has that name. Open the app again in the store's \
         control panel."
            .to_owned(),
    )
}

fn too_late() -> WebError {
    WebError::Refused("This page is too old. Open the app again in the store's control panel.".to_owned())
}

/// The frame's cookie and the callbacks need a public address with HTTPS, and the callbacks an app.
fn check_reachable(state: &AppState) -> Result<(), WebError> {
    if state.engine.shop_app().is_none() {
        return Err(WebError::NotFound(
            "No BigCommerce app is set up here. An owner does so under Settings.".to_owned(),
        ));
    }
    if !state.network.is_https() {
        return Err(WebError::Refused(
            "This installation has no public HTTPS address. Set public_url to it (https://…) and start again: \
             BigCommerce shows the app nowhere else."
                .to_owned(),
        ));
    }
    Ok(())
}

async fn write<T: Send + 'static>(
    state: &AppState,
    work: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, WebError> {
    Ok(state.store.write(WriteLane::Interactive, work).await?)
}

//! The callbacks of the merchant's own app: a store installs it, its people open it in the control panel, somebody is
//! removed there, the store uninstalls it. Whoever cannot be told from a forger is told nothing.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use jiff::SignedDuration;
use serde::Deserialize;

use super::setup;
use crate::domain::id::ConnectionId;
use crate::secret::Secret;
use crate::store::shop_users::{self, ShopUser, Visitor};
use crate::store::{StoreError, Tx, WriteLane};
use crate::web::auth::{self, Pass, TAB_SECONDS_MAX};
use crate::web::engine::{AppGrant, AppVisit, ShopPerson};
use crate::web::error::{self, WebError};
use crate::web::{AppState, assets, routes};

/// A message that opens or ends something is good for so long: the platform writes a new one each time.
const FRESH_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Longer names and passwords are not even looked at.
const INPUT_BYTES_MAX: usize = 1024;

#[derive(Template)]
#[template(path = "pages/panel_link.html", config = ".askama.toml")]
struct LinkPage<'a> {
    css: &'static str,
    icon: &'static str,
    action: &'static str,
    /// Who came, in words.
    who: String,
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
    enter(&state, &request, installed.connection, installed.person).await
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
    let visit = fresh(&state, &query)?;
    let connection = visit.connection.ok_or_else(|| {
        WebError::NotFound(
            "This store is not connected here. Install the app in its control panel.".to_owned(),
        )
    })?;
    enter(&state, &request, connection, visit.message.person).await
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
    state.engine.shop_app_uninstalled(&visit.message.store).await.map_err(WebError::Internal)?;
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
    let visit = verified(&state, &query)?;
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
    match state.passes.take(&token, state.clock.now()) {
        Some(Pass::Tab { user, shop_user }) => auth::sign_in_tab(&state, &request, user, shop_user).await,
        Some(Pass::Link { .. }) | None => Err(WebError::NotFound(format!(
            "This link was used already or is older than {TAB_SECONDS_MAX} seconds. Open the app again in the \
             control panel."
        ))),
    }
}

/// Somebody says who they are here: by signing in, or as the first owner.
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
    let Some(Pass::Link { shop_user, is_store_owner }) = state.passes.find(&input.pass, now) else {
        return Err(too_late());
    };
    state.sign_in_limit.check(state.network.client_address(&request), &input.name)?;
    let known =
        state.store.read(move |read| shop_users::get_one(read, shop_user)).await?.ok_or_else(too_late)?;
    let is_first = !auth::has_owner(&state) && is_store_owner;
    let again = |problem| {
        let page = link_page(&state, &known, is_store_owner, &input.pass, &input.name, Some(problem));
        error::form_again(&page)
    };
    let user = if is_first {
        if let Some(problem) = setup::problem(input.name.trim(), &input.password, &input.repeated) {
            return again(problem);
        }
        let token = auth::issue_setup(&state)?;
        let (name, password) = (input.name.trim().to_owned(), Secret::new(input.password.clone()));
        auth::set_up(&state, token, name, password).await?
    } else {
        let is_too_long = input.name.len() > INPUT_BYTES_MAX || input.password.len() > INPUT_BYTES_MAX;
        let password = Secret::new(input.password.clone());
        let found = match is_too_long {
            true => None,
            false => auth::user_by_password(&state, input.name.clone(), password).await?,
        };
        match found {
            Some(user) => user,
            None => return again("Name and password do not belong together. Check both; capitals count."),
        }
    };
    // Good for one link, also where it was sent twice at once.
    if state.passes.take(&input.pass, now).is_none() {
        return Err(too_late());
    }
    let by = auth::user(&state, user).map_or_else(String::new, |account| account.name);
    write(&state, move |tx| shop_users::link(tx, shop_user, user, &by, now)).await?;
    auth::sign_in_panel(&state, &request, user, shop_user).await
}

/// Lets somebody in who is known here, and asks everybody else who they are.
async fn enter(
    state: &AppState,
    request: &HttpRequest,
    connection: ConnectionId,
    person: ShopPerson,
) -> Result<HttpResponse, WebError> {
    let is_store_owner = person.is_store_owner;
    let visitor = Visitor { connection, external_id: person.id, email: person.email, is_store_owner };
    let now = state.clock.now();
    let known = write(state, move |tx| shop_users::came(tx, &visitor, now)).await?;
    if let Some(user) = known.user.filter(|user| auth::user(state, *user).is_some()) {
        return auth::sign_in_panel(state, request, user, known.id).await;
    }
    let pass = Pass::Link { shop_user: known.id, is_store_owner };
    let pass = state.passes.issue(pass, &state.entropy, now)?;
    error::html(&link_page(state, &known, is_store_owner, &pass, "", None))
}

fn link_page<'a>(
    state: &AppState,
    known: &ShopUser,
    is_store_owner: bool,
    pass: &'a str,
    name: &'a str,
    problem: Option<&'a str>,
) -> LinkPage<'a> {
    let has_owner = auth::has_owner(state);
    LinkPage {
        css: assets::url("app.css"),
        icon: assets::url("icon.svg"),
        action: routes::PANEL_LINK,
        who: in_words(known),
        pass,
        name,
        problem,
        is_first: !has_owner && is_store_owner,
        has_owner,
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

fn verified(state: &AppState, query: &Signed) -> Result<AppVisit, WebError> {
    state.engine.read_app_message(&query.signed_payload_jwt).ok_or_else(not_verified)
}

fn fresh(state: &AppState, query: &Signed) -> Result<AppVisit, WebError> {
    let visit = verified(state, query)?;
    let age = state.clock.now().duration_since(visit.message.issued_at);
    if age > FRESH_MAX { Err(not_verified()) } else { Ok(visit) }
}

/// The same words whatever was wrong.
fn not_verified() -> WebError {
    WebError::invalid(
        "not_verified",
        "This did not come from BigCommerce a moment ago. Open the app again in the store's control panel. If that \
         does not help, an owner checks the app's client ID and secret under Settings, and this machine's clock.",
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

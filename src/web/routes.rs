//! Every address, in one list: who answers it, and who may ask.
//!
//! [`guarded`] takes only handlers whose first argument is [`Signed`]; the few others are marked [`public`].

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, Responder, Route};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::auth::Guarded;
use super::{api, assets, pages};
use crate::domain::id::{ConnectionId, EffectId, OrderNo, PayloadId, UserId};

/// One address.
pub struct Address {
    /// The method.
    pub method: Method,
    /// The pattern.
    pub path: &'static str,
    /// What a role must allow; none where anybody is answered.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare it with the list of open addresses"))]
    pub needed: Option<&'static str>,
    route: Route,
}

/// Adds every address.
pub fn configure(config: &mut ServiceConfig) {
    for address in all() {
        config.route(address.path, address.route.method(address.method));
    }
}

/// Every address. A pattern with a fixed word stands before one with a variable in its place.
#[must_use]
pub fn all() -> Vec<Address> {
    let mut all = vec![
        public(Method::GET, "/healthz", pages::health::healthz),
        public(Method::GET, "/readyz", pages::health::readyz),
        public(Method::GET, "/assets/{hash}/{name:.*}", assets::serve),
        public(Method::GET, "/login", pages::login::form),
        public(Method::POST, "/login", pages::login::submit),
        public(Method::GET, "/login/{token}", pages::login::link),
        public(Method::GET, "/setup/{token}", pages::setup::form),
        public(Method::POST, "/setup/{token}", pages::setup::submit),
        public(Method::GET, PANEL_AUTH, pages::panel::install),
        public(Method::GET, PANEL_LOAD, pages::panel::load),
        public(Method::GET, PANEL_UNINSTALL, pages::panel::uninstall),
        public(Method::GET, PANEL_REMOVE_USER, pages::panel::remove_user),
        public(Method::GET, PANEL_OPENED, pages::panel::opened),
        public(Method::GET, "/bigcommerce/tab/{token}", pages::panel::tab),
        public(Method::POST, PANEL_LINK, pages::panel::link),
    ];
    all.extend(page_addresses());
    all.extend(api_addresses());
    all
}

fn page_addresses() -> Vec<Address> {
    vec![
        guarded(Method::GET, METRICS, pages::metrics::show),
        guarded(Method::GET, "/", pages::orders::home),
        guarded(Method::POST, "/logout", pages::login::logout),
        guarded(Method::GET, "/orders", pages::orders::list),
        guarded(Method::POST, "/orders/find", pages::orders::find),
        guarded(Method::POST, "/orders/retry", pages::orders::retry_reason),
        guarded(Method::GET, ADDRESSES, pages::addresses::form),
        guarded(Method::POST, ADDRESSES, pages::addresses::submit),
        guarded(Method::GET, ADDRESSES_TEMPLATE, pages::addresses::template),
        guarded(Method::GET, "/orders/{no}", pages::order::show),
        guarded(Method::GET, "/orders/{no}/address", pages::address::form),
        guarded(Method::POST, "/orders/{no}/address", pages::address::submit),
        guarded(Method::POST, "/orders/{no}/parcels/{parcel}/told", pages::address::told_by_hand),
        guarded(Method::GET, "/orders/{no}/shop", pages::order::shop),
        guarded(Method::GET, "/orders/{no}/payloads/{payload}", pages::payload::show),
        guarded(Method::GET, "/orders/{no}/files/{sha256}", pages::file::download),
        guarded(Method::POST, "/orders/{no}/export", pages::order::export),
        guarded(Method::POST, "/orders/{no}/retry", pages::order::retry),
        guarded(Method::POST, "/orders/{no}/effects/{effect}/{verdict}", pages::order::settle),
        guarded(Method::GET, "/connections", pages::connections::list),
        guarded(Method::GET, "/connections/new/{channel}", pages::connection_new::form),
        guarded(Method::POST, "/connections/new/{channel}", pages::connection_new::submit),
        guarded(Method::GET, CONSENT, pages::consent::back),
        guarded(Method::POST, CONSENT, pages::consent::paste),
        guarded(Method::GET, "/connections/{id}", pages::connection::show),
        guarded(Method::POST, "/connections/{id}/sync", pages::connection::sync),
        guarded(Method::POST, "/connections/{id}/pause", pages::connection::pause),
        guarded(Method::POST, "/connections/{id}/resume", pages::connection::resume),
        guarded(Method::POST, "/connections/{id}/test", pages::connection::test),
        guarded(Method::POST, "/connections/{id}/settings", pages::connection::settings),
        guarded(Method::POST, "/connections/{id}/authorise", pages::connection::authorise),
        guarded(Method::GET, "/connections/{id}/reconciliation", pages::reconciliation::show),
        guarded(Method::POST, "/connections/{id}/reconciliation", pages::reconciliation::compare),
        guarded(Method::POST, "/connections/{id}/replay", pages::reconciliation::replay),
        guarded(Method::POST, "/connections/{id}/parked/replay", pages::parked::replay_all),
        guarded(Method::GET, PARKED, pages::parked::list),
        guarded(Method::GET, "/parked/{payload}", pages::payload::show_parked),
        guarded(Method::POST, "/parked/{payload}/replay", pages::parked::replay),
        guarded(Method::POST, "/incidents/{id}/close", pages::connections::close_incident),
        guarded(Method::GET, "/settings", pages::settings::show),
        guarded(Method::POST, "/settings/tokens", pages::settings::create_token),
        guarded(Method::POST, "/settings/tokens/{id}/revoke", pages::settings::revoke_token),
        guarded(Method::POST, "/settings/users", pages::settings::add_user),
        guarded(Method::POST, "/settings/users/{id}/role", pages::settings::set_role),
        guarded(Method::POST, "/settings/users/{id}/password", pages::settings::reset_password),
        guarded(Method::POST, "/settings/users/{id}/remove", pages::settings::remove_user),
        guarded(Method::POST, "/settings/shop-users", pages::shop_app::link_new),
        guarded(Method::POST, "/settings/shop-users/{id}/link", pages::shop_app::link),
        guarded(Method::POST, "/settings/shop-users/{id}/unlink", pages::shop_app::unlink),
        guarded(Method::GET, SHOP_APP, pages::shop_app::show),
        guarded(Method::POST, SHOP_APP, pages::shop_app::save),
        guarded(Method::POST, "/settings/bigcommerce-app/remove", pages::shop_app::remove),
        guarded(Method::POST, "/settings/sessions/end", pages::settings::end_session),
        guarded(Method::POST, "/settings/sign-out-everywhere", pages::settings::sign_out_everywhere),
    ]
}

fn api_addresses() -> Vec<Address> {
    vec![
        guarded(Method::GET, "/api/openapi.json", api::openapi),
        guarded(Method::GET, "/api/v1/orders", api::orders::list),
        guarded(Method::GET, "/api/v1/orders/{no}", api::orders::get),
        guarded(Method::GET, "/api/v1/orders/{no}/events", api::orders::events),
        guarded(Method::POST, "/api/v1/orders/{no}/export", api::orders::export),
        guarded(Method::POST, "/api/v1/orders/{no}/retry", api::orders::retry),
        guarded(Method::POST, "/api/v1/orders/{no}/effects/{effect}/{verdict}", api::orders::settle),
        guarded(Method::POST, "/api/v1/orders/{no}/address", api::orders::enter_address),
        guarded(Method::POST, "/api/v1/orders/{no}/parcels/{parcel}/told", api::orders::told_by_hand),
        guarded(Method::GET, "/api/v1/connections", api::connections::list),
        guarded(Method::POST, "/api/v1/connections", api::connections::add),
        guarded(Method::GET, "/api/v1/connections/{id}", api::connections::get),
        guarded(Method::PATCH, "/api/v1/connections/{id}", api::connections::change),
        guarded(Method::POST, "/api/v1/connections/{id}/sync", api::connections::sync),
        guarded(Method::POST, "/api/v1/connections/{id}/pause", api::connections::pause),
        guarded(Method::POST, "/api/v1/connections/{id}/resume", api::connections::resume),
        guarded(Method::POST, "/api/v1/connections/{id}/test", api::connections::test),
        guarded(Method::GET, "/api/v1/connections/{id}/reconciliation", api::reconciliation::days),
        guarded(Method::POST, "/api/v1/connections/{id}/reconciliation", api::reconciliation::compare),
        guarded(Method::GET, "/api/v1/connections/{id}/replay", api::reconciliation::replays),
        guarded(Method::POST, "/api/v1/connections/{id}/replay", api::reconciliation::replay),
        guarded(Method::POST, "/api/v1/connections/{id}/parked/replay", api::parked::replay_all),
        guarded(Method::GET, "/api/v1/parked", api::parked::list),
        guarded(Method::GET, "/api/v1/parked/{payload}", api::parked::get),
        guarded(Method::POST, "/api/v1/parked/{payload}/replay", api::parked::replay),
        guarded(Method::GET, "/api/v1/listings", api::work::listings),
        guarded(Method::GET, "/api/v1/effects", api::work::effects),
        guarded(Method::GET, "/api/v1/incidents", api::work::incidents),
        guarded(Method::GET, "/api/v1/status", api::work::status),
        guarded(Method::POST, "/api/v1/sql", api::sql::run),
    ]
}

/// True where API tokens are taken.
#[must_use]
pub fn takes_tokens(path: &str) -> bool {
    path.starts_with("/api/") || path == METRICS
}

/// Counts and times for Prometheus.
pub const METRICS: &str = "/metrics";
/// The list of orders.
pub const ORDERS: &str = "/orders";
/// Addresses of several orders.
pub const ADDRESSES: &str = "/orders/addresses";
/// The file that shows how they are written.
pub const ADDRESSES_TEMPLATE: &str = "/orders/addresses/template.csv";
/// The list of connections.
pub const CONNECTIONS: &str = "/connections";
/// Where browsers come back to from a platform's own page.
pub const CONSENT: &str = "/connections/consent";
/// Payloads that could not be read yet.
pub const PARKED: &str = "/parked";
/// Users, tokens, this installation.
pub const SETTINGS: &str = "/settings";

/// The merchant's own app in BigCommerce's control panel.
pub const SHOP_APP: &str = "/settings/bigcommerce-app";
/// Everything that a shop's control panel asks for.
pub const PANEL: &str = "/bigcommerce/";
/// A store installs the app.
pub const PANEL_AUTH: &str = "/bigcommerce/auth";
/// Somebody opens it.
pub const PANEL_LOAD: &str = "/bigcommerce/load";
/// A store removes it.
pub const PANEL_UNINSTALL: &str = "/bigcommerce/uninstall";
/// A store takes it away from somebody.
pub const PANEL_REMOVE_USER: &str = "/bigcommerce/remove_user";
/// Whether the frame's cookie comes back.
pub const PANEL_OPENED: &str = "/bigcommerce/opened";
/// Somebody says who they are here.
pub const PANEL_LINK: &str = "/bigcommerce/link";

/// Whether the frame's cookie comes back, and what to do if not.
#[must_use]
pub fn panel_opened(pass: &str) -> String {
    format!("{PANEL_OPENED}?pass={pass}")
}

/// The way from a frame into a tab, once.
#[must_use]
pub fn panel_tab(pass: &str) -> String {
    format!("/bigcommerce/tab/{pass}")
}

/// Somebody of a shop's control panel.
#[must_use]
pub fn shop_user(id: i64) -> String {
    format!("/settings/shop-users/{id}")
}

/// One order's page.
#[must_use]
pub fn order(no: OrderNo) -> String {
    format!("/orders/{no}")
}

/// Where an order's address is entered.
#[must_use]
pub fn order_address(no: OrderNo) -> String {
    format!("/orders/{no}/address")
}

/// Where a parcel is marked that the marketplace was told of by hand.
#[must_use]
pub fn parcel_told(no: OrderNo, parcel: i64) -> String {
    format!("/orders/{no}/parcels/{parcel}/told")
}

/// The way to the order in the shop's own pages.
#[must_use]
pub fn order_in_shop(no: OrderNo) -> String {
    format!("/orders/{no}/shop")
}

/// Work that waits for a person, who has looked.
#[must_use]
pub fn effect(no: OrderNo, effect: EffectId) -> String {
    format!("/orders/{no}/effects/{effect}")
}

/// One payload of an order.
#[must_use]
pub fn payload(no: OrderNo, payload: PayloadId) -> String {
    format!("/orders/{no}/payloads/{payload}")
}

/// One file of an order.
#[must_use]
pub fn file(no: OrderNo, sha256: &str) -> String {
    format!("/orders/{no}/files/{sha256}")
}

/// One connection's page.
#[must_use]
pub fn connection(id: ConnectionId) -> String {
    format!("/connections/{id}")
}

/// A connection's days, compared with its platform.
#[must_use]
pub fn reconciliation(id: ConnectionId) -> String {
    format!("/connections/{id}/reconciliation")
}

/// One parked payload.
#[must_use]
pub fn parked(payload: PayloadId) -> String {
    format!("{PARKED}/{payload}")
}

/// Where a parked payload is read again.
#[must_use]
pub fn parked_replay(payload: PayloadId) -> String {
    format!("{PARKED}/{payload}/replay")
}

/// Where every parked payload of a connection is read again.
#[must_use]
pub fn parked_replay_all(id: ConnectionId) -> String {
    format!("/connections/{id}/parked/replay")
}

/// Where an incident is closed.
#[must_use]
pub fn incident_close(id: i64) -> String {
    format!("/incidents/{id}/close")
}

/// One user's address in the settings.
#[must_use]
pub fn user(id: UserId) -> String {
    format!("/settings/users/{id}")
}

/// The form that adds a connection.
#[must_use]
pub fn connection_new(channel: &str) -> String {
    format!("/connections/new/{channel}")
}

/// The sign-in page, and where to go on afterwards.
#[must_use]
pub fn login(next: Option<&str>) -> String {
    match next.filter(|next| *next != "/") {
        Some(next) => format!("/login?next={}", utf8_percent_encode(next, NON_ALPHANUMERIC)),
        None => "/login".to_owned(),
    }
}

/// A single-use sign-in link's path.
#[must_use]
pub fn login_link(token: &str) -> String {
    format!("/login/{token}")
}

/// The setup link's path.
#[must_use]
pub fn setup(token: &str) -> String {
    format!("/setup/{token}")
}

/// `next` if it is a path of this site, else the start page: a sign-in never leads elsewhere.
#[must_use]
pub fn local_or_home(next: Option<&str>) -> &str {
    next.filter(|next| {
        next.starts_with('/')
            && !next.starts_with("//")
            && !next.contains('\\')
            && !next.chars().any(char::is_control)
    })
    .unwrap_or("/")
}

fn guarded<F, Args>(method: Method, path: &'static str, handler: F) -> Address
where
    F: Handler<Args>,
    Args: FromRequest + Guarded + 'static,
    F::Output: Responder + 'static,
{
    let route = web::route().to(handler);
    Address { method, path, needed: Some(Args::NEEDED), route }
}

fn public<F, Args>(method: Method, path: &'static str, handler: F) -> Address
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let route = web::route().to(handler);
    Address { method, path, needed: None, route }
}

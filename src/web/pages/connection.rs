//! One connection: how it is doing, its settings, its credentials.

use actix_web::{HttpResponse, web};
use askama::Template;

use super::connection_form::{self, CredentialView, FieldProblem, Fields, SettingsView};
use super::connections::ConnectionView;
use super::{Shell, Visit, done};
use crate::channels::registry;
use crate::domain::connection::Connection;
use crate::domain::id::ConnectionId;
use crate::store::connections;
use crate::web::auth::{CanManage, CanReadOrders, CanWorkOrders, IsOwner, Signed};
use crate::web::engine::{ConnectionChange, ConnectionRefused, TestReport};
use crate::web::error::{self, WebError};
use crate::web::{AppState, routes};

#[derive(Template)]
#[template(path = "pages/connection.html", config = ".askama.toml")]
struct ConnectionPage {
    shell: Shell,
    connection: ConnectionView,
    may_manage: bool,
    is_owner: bool,
    base_url: String,
    steps: &'static [&'static str],
    has_file: bool,
    credentials: Vec<CredentialView>,
    settings: SettingsView,
    problem: Option<FieldProblem>,
    report: Option<TestReport>,
}

#[derive(Template)]
#[template(path = "parts/test_report.html", config = ".askama.toml")]
struct ReportPart {
    report: Option<TestReport>,
}

/// The page.
///
/// # Errors
/// Where there is no such connection.
pub async fn show(
    who: Signed<CanReadOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    let all = state.store.read(connections::all).await?;
    let connection = one(&all, *id)?;
    visit.page(&page(&who, &visit, &state, connection, &all, None, None))
}

/// *Sync now*.
///
/// # Errors
/// Where it cannot be done.
pub async fn sync(
    _who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    state.engine.sync_now(*id).await.map_err(WebError::Refused)?;
    done(&routes::connection(*id), "Its orders are being read now.")
}

/// Stops all calls.
///
/// # Errors
/// Where it cannot be done.
pub async fn pause(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    state.engine.pause(*id, who.actor()).await.map_err(WebError::Refused)?;
    done(&routes::connection(*id), "Paused. Nothing is read or sent until you resume it.")
}

/// Goes on.
///
/// # Errors
/// Where it cannot be done.
pub async fn resume(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    state.engine.resume(*id, who.actor()).await.map_err(WebError::Refused)?;
    done(&routes::connection(*id), "Resumed. What was missed is read now.")
}

/// *Test connection*.
///
/// # Errors
/// Where there is no such connection.
pub async fn test(
    who: Signed<CanManage>,
    visit: Visit,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    let all = state.store.read(connections::all).await?;
    let connection = one(&all, *id)?;
    let report = Some(state.engine.test_existing(*id).await.map_err(WebError::Refused)?);
    if visit.wants_fragment {
        return error::html(&ReportPart { report });
    }
    visit.page(&page(&who, &visit, &state, connection, &all, None, report))
}

/// Alias and settings.
///
/// # Errors
/// Where there is no such connection.
pub async fn settings(
    who: Signed<CanManage>,
    visit: Visit,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
    fields: web::Form<Fields>,
) -> Result<HttpResponse, WebError> {
    let all = state.store.read(connections::all).await?;
    let connection = one(&all, *id)?;
    let is_shop = registry::channel(&connection.channel).is_some_and(|info| info.is_shop);
    let parsed = connection_form::alias(&fields).and_then(|alias| {
        let settings = connection_form::settings(is_shop, &fields, &connection.settings)?;
        Ok(ConnectionChange { alias: Some(alias), settings: Some(settings), ..ConnectionChange::default() })
    });
    let problem = match parsed {
        Ok(change) => match state.engine.change_connection(*id, change, who.actor()).await {
            Ok(()) => return done(&routes::connection(*id), "Saved. It holds for orders from now on."),
            Err(refused) => refusal(refused),
        },
        Err(problem) => problem,
    };
    error::form_again(&page(&who, &visit, &state, connection, &all, Some(problem), None))
}

/// New credentials; the settings stay. Changing the base URL forgets credentials that are not given again.
///
/// # Errors
/// Where there is no such connection.
pub async fn authorise(
    who: Signed<IsOwner>,
    visit: Visit,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
    fields: web::Form<Fields>,
) -> Result<HttpResponse, WebError> {
    let all = state.store.read(connections::all).await?;
    let connection = one(&all, *id)?;
    let info = registry::channel(&connection.channel).ok_or_else(|| WebError::no_connection(*id))?;
    let problem = match connection_form::base_url(&fields) {
        Ok(base_url) => {
            let is_moved = base_url.as_ref().map(url::Url::as_str) != connection.base_url.as_deref();
            let change = ConnectionChange {
                credentials: connection_form::credentials(info, &fields),
                base_url: is_moved.then_some(base_url),
                ..ConnectionChange::default()
            };
            match state.engine.change_connection(*id, change, who.actor()).await {
                Ok(()) => return done(&routes::connection(*id), "Credentials replaced; settings kept."),
                Err(refused) => refusal(refused),
            }
        }
        Err(problem) => problem,
    };
    error::form_again(&page(&who, &visit, &state, connection, &all, Some(problem), None))
}

fn refusal(refused: ConnectionRefused) -> FieldProblem {
    FieldProblem { field: refused.field.unwrap_or_default(), message: refused.message }
}

fn one(all: &[Connection], id: ConnectionId) -> Result<&Connection, WebError> {
    all.iter().find(|connection| connection.id == id).ok_or_else(|| WebError::no_connection(id))
}

fn page<A: crate::web::auth::Access>(
    who: &Signed<A>,
    visit: &Visit,
    state: &AppState,
    connection: &Connection,
    all: &[Connection],
    problem: Option<FieldProblem>,
    report: Option<TestReport>,
) -> ConnectionPage {
    let info = registry::channel(&connection.channel);
    let status = state.engine.connection_status(connection.id);
    let is_shop = info.is_some_and(|info| info.is_shop);
    ConnectionPage {
        shell: visit.shell(who, connection.alias.clone(), "connections"),
        connection: super::connections::view(connection, all, status, &state.zone, state.clock.now()),
        may_manage: who.role().may_manage(),
        is_owner: who.role().is_owner(),
        base_url: connection.base_url.clone().unwrap_or_default(),
        steps: info.map(|info| info.steps).unwrap_or_default(),
        has_file: info.is_some_and(connection_form::has_file),
        credentials: info
            .map(|info| connection_form::credential_views(info, &Fields::new()))
            .unwrap_or_default(),
        settings: connection_form::settings_view(is_shop, &connection.settings, all),
        problem,
        report,
    }
}

//! One connection: how it is doing, its settings, its credentials.

use actix_web::{HttpResponse, web};
use askama::Template;

use super::connection_form::{self, FieldProblem, Fields, FormView};
use super::connections::ConnectionView;
use super::{Shell, Visit, done};
use crate::channels::registry::{self, ChannelInfo};
use crate::domain::connection::Connection;
use crate::domain::id::ConnectionId;
use crate::secret::Secret;
use crate::store::connections;
use crate::web::auth::{CanManage, CanReadOrders, CanWorkOrders, IsOwner, Signed};
use crate::web::engine::{ConnectionUpdate, HookText, TestReport};
use crate::web::error::{self, WebError};
use crate::web::{AppState, routes, shown};

#[derive(Template)]
#[template(path = "pages/connection.html", config = ".askama.toml")]
struct ConnectionPage {
    shell: Shell,
    connection: ConnectionView,
    may_manage: bool,
    may_work: bool,
    is_owner: bool,
    form: FormView,
    report: Option<TestReport>,
    /// Where the platform pushes to; none where it does not, and for those who may not know.
    hook: Option<HookView>,
}

/// A hook's address and what came of it, in words.
struct HookView {
    path: String,
    endpoint: Option<String>,
    /// What is entered beside it at the platform; for those only who may know the address.
    verification_token: Option<Secret>,
    said: String,
    refusal: Option<String>,
    given_up: Option<String>,
}

/// What a test found, alone: both forms swap it in.
#[derive(Template)]
#[template(path = "parts/test_report.html", config = ".askama.toml")]
pub(super) struct ReportPart {
    pub(super) report: Option<TestReport>,
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
    visit.page(&page(&who, &visit, &state, connection, &all, Form::stored(connection), None)?)
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
    visit.page(&page(&who, &visit, &state, connection, &all, Form::stored(connection), report)?)
}

/// Alias and settings. The buttons beside the carriers show the form again and save nothing.
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
    let info = channel(connection)?;
    let fields = fields.into_inner();
    if let Some(fields) = connection_form::with_carrier_rows_changed(&fields) {
        let form = Form { fields, problem: None };
        return error::html(&page(&who, &visit, &state, connection, &all, form, None)?);
    }
    let today = state.clock.now().to_zoned(state.zone.clone()).date();
    let parsed = connection_form::alias(&fields).and_then(|alias| {
        let settings = connection_form::settings(info, &fields, &connection.settings, today)?;
        Ok(ConnectionUpdate { alias: Some(alias), settings: Some(settings), ..ConnectionUpdate::default() })
    });
    let problem = match parsed {
        Ok(change) => {
            let notice = saved(connection, &change);
            match state.engine.change_connection(*id, change, who.actor()).await {
                Ok(()) => return done(&routes::connection(*id), &notice),
                Err(refused) => refused.into(),
            }
        }
        Err(problem) => problem,
    };
    let form = Form { fields, problem: Some(problem) };
    error::form_again(&page(&who, &visit, &state, connection, &all, form, None)?)
}

/// What the merchant is told after saving: who is the master of stock is said aloud when it changes.
fn saved(before: &Connection, change: &ConnectionUpdate) -> String {
    let is_master = change.settings.as_ref().is_some_and(|settings| settings.manage_stock);
    let said = match (before.settings.manage_stock, is_master) {
        (false, true) => format!(" Eider is now the master of stock on {}.", before.alias),
        (true, false) => format!(" Eider leaves the stock on {} alone from now on.", before.alias),
        (true, true) | (false, false) => String::new(),
    };
    format!("Saved. It holds for orders from now on.{said}")
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
    let info = channel(connection)?;
    let fields = fields.into_inner();
    if connection_form::wants_consent(info, &fields) {
        let entered = connection_form::credentials(info, &fields);
        return super::consent::begin_again(&who, &visit, &state, *id, entered);
    }
    let problem = match connection_form::base_url(&fields) {
        Ok(base_url) => {
            let is_moved = base_url.as_ref().map(url::Url::as_str) != connection.base_url.as_deref();
            let change = ConnectionUpdate {
                credentials: connection_form::credentials(info, &fields),
                removed: connection_form::removed_credentials(info, &fields),
                base_url: is_moved.then_some(base_url),
                ..ConnectionUpdate::default()
            };
            match state.engine.change_connection(*id, change, who.actor()).await {
                Ok(()) => return done(&routes::connection(*id), "Credentials replaced; settings kept."),
                Err(refused) => refused.into(),
            }
        }
        Err(problem) => problem,
    };
    let mut shown = connection_form::fields_of(connection);
    shown.extend(fields);
    let form = Form { fields: shown, problem: Some(problem) };
    error::form_again(&page(&who, &visit, &state, connection, &all, form, None)?)
}

fn one(all: &[Connection], id: ConnectionId) -> Result<&Connection, WebError> {
    all.iter().find(|connection| connection.id == id).ok_or_else(|| WebError::no_connection(id))
}

fn channel(connection: &Connection) -> Result<&'static ChannelInfo, WebError> {
    registry::channel(&connection.channel).ok_or_else(|| WebError::no_connection(connection.id))
}

/// What the form is filled with.
struct Form {
    fields: Fields,
    problem: Option<FieldProblem>,
}

impl Form {
    fn stored(connection: &Connection) -> Self {
        Self { fields: connection_form::fields_of(connection), problem: None }
    }
}

fn page<A: crate::web::auth::Access>(
    who: &Signed<A>,
    visit: &Visit,
    state: &AppState,
    connection: &Connection,
    all: &[Connection],
    form: Form,
    report: Option<TestReport>,
) -> Result<ConnectionPage, WebError> {
    let is_owner = who.role().is_owner();
    let status = state.engine.connection_status(connection.id);
    let Form { fields, problem } = form;
    Ok(ConnectionPage {
        shell: visit.shell(who, connection.alias.clone(), "connections"),
        connection: super::connections::view(connection, all, status, &state.zone, state.clock.now()),
        may_manage: who.role().may_manage(),
        may_work: who.role().may_work_orders(),
        is_owner,
        form: FormView::new(channel(connection)?, &fields, all, is_owner, problem)
            .with_held(&state.engine.held_credentials(connection.id), &fields),
        report,
        hook: state
            .engine
            .hook(connection.id)
            .filter(|_| who.role().may_manage())
            .map(|hook| hook_view(hook, state)),
    })
}

fn hook_view(hook: HookText, state: &AppState) -> HookView {
    let HookText { path, endpoint, verification_token, status } = hook;
    let said = match status.last_at {
        Some(at) => format!(
            "{} messages since the start, the last one at {}.",
            status.verified,
            shown::moment(at, &state.zone).text
        ),
        None => "No message has come since the start.".to_owned(),
    };
    let refusal = status.last_refusal.map(|why| {
        format!(
            "{} messages were dropped because they were not the platform’s; the last one: {why}.",
            status.refused
        )
    });
    let given_up = status.last_given_up.map(|why| {
        format!(
            "{} messages could not be checked and were given up; polls bring what they told of. The last one: {why}.",
            status.given_up
        )
    });
    HookView { path, endpoint, verification_token, said, refusal, given_up }
}

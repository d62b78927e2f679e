//! Adding a connection: credentials with the steps beside them, a test before anything is saved.

use actix_web::{HttpResponse, web};
use askama::Template;

use super::connection::ReportPart;
use super::connection_form::{self, FieldProblem, Fields, FormView};
use super::{Choice, Shell, Visit, done};
use crate::channels::registry::{self, ChannelInfo};
use crate::domain::connection::{Connection, ConnectionSettings};
use crate::domain::id::ChannelName;
use crate::store::connections;
use crate::web::auth::{CanManage, Signed};
use crate::web::engine::{NewConnectionRequest, TestReport};
use crate::web::error::{self, WebError};
use crate::web::{AppState, routes};

/// What is said of a connection whose seller has not agreed yet.
const AUTHORISE_NEXT: &str = "Saved. Authorise it next: go through the steps under Re-authorise and press Authorise on the \
                              platform’s page. No orders are read before that.";

#[derive(Template)]
#[template(path = "pages/connection_new.html", config = ".askama.toml")]
struct ConnectionNewPage {
    shell: Shell,
    action: String,
    title: &'static str,
    form: FormView,
    histories: Vec<Choice>,
    history_from: String,
    go_live: String,
    has_shop: bool,
    /// Where the merchant's own app is set up instead, for owners.
    app: Option<&'static str>,
    report: Option<TestReport>,
}

/// The form.
///
/// # Errors
/// Where there is no such channel.
pub async fn form(
    who: Signed<CanManage>,
    visit: Visit,
    state: web::Data<AppState>,
    channel: web::Path<String>,
) -> Result<HttpResponse, WebError> {
    let info = known(&channel)?;
    let all = state.store.read(connections::all).await?;
    let settings = ConnectionSettings {
        shop: first_shop(&all),
        send_cancellations: info.sends_after_sale,
        send_refunds: info.sends_after_sale,
        ..ConnectionSettings::default()
    };
    let mut fields = connection_form::settings_fields(&settings);
    fields.insert("alias".to_owned(), info.title.to_owned());
    visit.page(&page(&who, &visit, info, &fields, &all, None, None))
}

/// Tests or saves, as the button says.
///
/// # Errors
/// Where there is no such channel.
pub async fn submit(
    who: Signed<CanManage>,
    visit: Visit,
    state: web::Data<AppState>,
    channel: web::Path<String>,
    fields: web::Form<Fields>,
) -> Result<HttpResponse, WebError> {
    let info = known(&channel)?;
    let fields = fields.into_inner();
    let all = state.store.read(connections::all).await?;
    if let Some(fields) = connection_form::with_carrier_rows_changed(&fields) {
        return error::html(&page(&who, &visit, info, &fields, &all, None, None));
    }
    let is_consent = connection_form::wants_consent(info, &fields);
    let draft = draft(info, &fields, who.role().is_owner(), is_consent, &state);
    let again = |problem, report| page(&who, &visit, info, &fields, &all, problem, report);
    let draft = match draft {
        Ok(draft) => draft,
        Err(problem) if visit.wants_fragment => {
            return Err(WebError::invalid("invalid_field", problem.message));
        }
        Err(problem) => return error::form_again(&again(Some(problem), None)),
    };
    if is_consent {
        return super::consent::begin_new(&who, &visit, &state, draft);
    }
    if fields.get("do").is_some_and(|what| what == "test") {
        let report = Some(state.engine.test_connection(draft).await);
        if visit.wants_fragment {
            return error::html(&ReportPart { report });
        }
        return error::html(&again(None, report));
    }
    let notice = if connection_form::is_authorised(info, &draft.credentials) {
        "Connected. Its orders are being read."
    } else {
        AUTHORISE_NEXT
    };
    match state.engine.add_connection(draft, who.actor()).await {
        Ok(id) => done(&routes::connection(id), notice),
        Err(refused) => error::form_again(&again(Some(refused.into()), None)),
    }
}

fn known(channel: &str) -> Result<&'static ChannelInfo, WebError> {
    registry::channel(&ChannelName::from(channel)).ok_or_else(|| {
        WebError::NotFound(format!("There is no channel “{channel}”. The connections page lists all."))
    })
}

fn first_shop(all: &[Connection]) -> Option<crate::domain::id::ConnectionId> {
    all.iter()
        .find(|connection| registry::channel(&connection.channel).is_some_and(|info| info.is_shop))
        .map(|connection| connection.id)
}

fn draft(
    info: &ChannelInfo,
    fields: &Fields,
    is_owner: bool,
    is_consent: bool,
    state: &AppState,
) -> Result<NewConnectionRequest, FieldProblem> {
    let today = state.clock.now().to_zoned(state.zone.clone()).date();
    let mut settings = connection_form::settings(info, fields, &ConnectionSettings::default(), today)?;
    connection_form::start(fields, &state.zone, today, &mut settings)?;
    let credentials = connection_form::credentials(info, fields);
    if !is_consent {
        connection_form::check_complete(info, &credentials)?;
    }
    Ok(NewConnectionRequest {
        channel: ChannelName::from(info.name),
        alias: connection_form::alias(fields)?,
        base_url: if is_owner { connection_form::base_url(fields)? } else { None },
        credentials,
        settings,
    })
}

fn page(
    who: &Signed<CanManage>,
    visit: &Visit,
    info: &'static ChannelInfo,
    fields: &Fields,
    all: &[Connection],
    problem: Option<FieldProblem>,
    report: Option<TestReport>,
) -> ConnectionNewPage {
    let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
    ConnectionNewPage {
        shell: visit.shell(who, format!("Connect {}", info.title), "connections"),
        action: routes::connection_new(info.name),
        title: info.title,
        form: FormView::new(info, fields, all, who.role().is_owner(), problem),
        histories: connection_form::history_choices(&text("history")),
        history_from: text("history_from"),
        go_live: text("go_live"),
        has_shop: first_shop(all).is_some(),
        app: (info.name == registry::SHOP_APP.channel && who.role().is_owner()).then_some(routes::SHOP_APP),
        report,
    }
}

//! Connections. Settings are taken as a person writes them: the shop by id or alias, history in days.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

use super::{Done, ListQuery, Page};
use crate::channels::registry::{self, ChannelInfo};
use crate::domain::connection::{Connection, ConnectionSettings, History};
use crate::domain::id::{ChannelName, ConnectionId};
use crate::secret::Secret;
use crate::store::connections;
use crate::web::AppState;
use crate::web::auth::{CanManage, CanReadOrders, CanWorkOrders, Signed};
use crate::web::engine::{
    ConnectionUpdate, ImportProgress, NewConnectionRequest, QuotaText, Refused, TestReport,
};
use crate::web::error::{self, WebError};
use crate::web::pages::orders::connection_named;

/// A word this near to a known one is taken for a slip.
const SIMILARITY_MIN: f64 = 0.7;

/// A connection and how it is doing.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectionBody {
    id: i64,
    channel: String,
    alias: String,
    account: String,
    base_url: Option<String>,
    /// `active`, `paused`, `needs_reauthorisation`, `failing`.
    state: &'static str,
    state_note: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    state_since: Timestamp,
    #[schema(value_type = Object)]
    settings: ConnectionSettings,
    lag_seconds: Option<i64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    next_run_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success_at: Option<Timestamp>,
    last_error: Option<String>,
    quota: Vec<QuotaText>,
    history_import: Option<ImportProgress>,
}

/// A connection to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnectionBody {
    channel: String,
    alias: String,
    #[serde(default)]
    base_url: Option<String>,
    #[schema(value_type = Object)]
    credentials: Map<String, Value>,
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
}

/// What to change on a connection; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionChangeBody {
    #[serde(default)]
    alias: Option<String>,
    /// Null or an empty text takes it away.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    base_url: Option<Value>,
    /// Null takes an optional one away.
    #[serde(default)]
    #[schema(value_type = Object)]
    credentials: Map<String, Value>,
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
}

/// All connections.
///
/// # Errors
/// Where a parameter is wrong.
#[utoipa::path(get, path = "/api/v1/connections", responses((status = 200, body = Page<ConnectionBody>)))]
pub async fn list(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, WebError> {
    let all = state.store.read(connections::all).await?;
    Ok(error::json(&super::page_of(all.iter().map(|one| body(one, &state)).collect(), &query)?))
}

/// One connection.
///
/// # Errors
/// Where there is none.
#[utoipa::path(get, path = "/api/v1/connections/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = ConnectionBody)))]
pub async fn get(
    _who: Signed<CanReadOrders>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    Ok(error::json(&body(&one(&state, *id).await?, &state)))
}

/// Adds a connection and starts it. A base URL needs the owner.
///
/// # Errors
/// What has to be mended.
#[utoipa::path(post, path = "/api/v1/connections", request_body = NewConnectionBody,
    responses((status = 201, body = ConnectionBody)))]
pub async fn add(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    input: web::Bytes,
) -> Result<HttpResponse, WebError> {
    let input: NewConnectionBody = parse(&input)?;
    let info = channel(&input.channel)?;
    let base_url = input.base_url.as_deref().map(url).transpose()?;
    owner_for_base_url(&who, base_url.is_some())?;
    let all = state.store.read(connections::all).await?;
    let draft = NewConnectionRequest {
        channel: ChannelName::from(info.name),
        alias: input.alias,
        base_url,
        credentials: credentials(info, &input.credentials)?,
        settings: settings(&ConnectionSettings::default(), input.settings, &all)?,
    };
    let id = state.engine.add_connection(draft, who.actor()).await.map_err(refused)?;
    Ok(error::created(&body(&one(&state, id).await?, &state)))
}

/// Changes a connection. Credentials and base URL need the owner.
///
/// # Errors
/// What has to be mended.
#[utoipa::path(patch, path = "/api/v1/connections/{id}", params(("id" = i64, Path)),
    request_body = ConnectionChangeBody, responses((status = 200, body = ConnectionBody)))]
pub async fn change(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
    input: web::Bytes,
) -> Result<HttpResponse, WebError> {
    let id = *id;
    let input: ConnectionChangeBody = parse(&input)?;
    let connection = one(&state, id).await?;
    let info = channel(connection.channel.as_str())?;
    owner_for_base_url(&who, input.base_url.is_some() || !input.credentials.is_empty())?;
    let base_url = match &input.base_url {
        None => None,
        Some(Value::Null) => Some(None),
        Some(Value::String(text)) if text.is_empty() => Some(None),
        Some(Value::String(text)) => Some(Some(url(text)?)),
        Some(_) => return Err(WebError::invalid("invalid_base_url", "base_url must be a text or null.")),
    };
    let all = state.store.read(connections::all).await?;
    let is_changed = !input.settings.is_empty();
    let settings = settings(&connection.settings, input.settings, &all)?;
    let change = ConnectionUpdate {
        alias: input.alias,
        settings: is_changed.then_some(settings),
        credentials: credentials(info, &input.credentials)?,
        removed: removed(&input.credentials),
        base_url,
    };
    state.engine.change_connection(id, change, who.actor()).await.map_err(refused)?;
    Ok(error::json(&body(&one(&state, id).await?, &state)))
}

/// Reads the connection's orders now.
///
/// # Errors
/// Where it cannot be done.
#[utoipa::path(post, path = "/api/v1/connections/{id}/sync", params(("id" = i64, Path)),
    responses((status = 200, body = Done)))]
pub async fn sync(
    _who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    one(&state, *id).await?;
    state.engine.sync_now(*id).await.map_err(WebError::Refused)?;
    Ok(error::json(&Done { message: "Its orders are being read now.".to_owned() }))
}

/// Stops all calls of the connection.
///
/// # Errors
/// Where it cannot be done.
#[utoipa::path(post, path = "/api/v1/connections/{id}/pause", params(("id" = i64, Path)),
    responses((status = 200, body = ConnectionBody)))]
pub async fn pause(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    one(&state, *id).await?;
    state.engine.pause(*id, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&body(&one(&state, *id).await?, &state)))
}

/// Lets a paused connection go on.
///
/// # Errors
/// Where it cannot be done.
#[utoipa::path(post, path = "/api/v1/connections/{id}/resume", params(("id" = i64, Path)),
    responses((status = 200, body = ConnectionBody)))]
pub async fn resume(
    who: Signed<CanManage>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    one(&state, *id).await?;
    state.engine.resume(*id, who.actor()).await.map_err(WebError::Refused)?;
    Ok(error::json(&body(&one(&state, *id).await?, &state)))
}

/// Tests the connection: ten seconds at most.
///
/// # Errors
/// Where there is none.
#[utoipa::path(post, path = "/api/v1/connections/{id}/test", params(("id" = i64, Path)),
    responses((status = 200, body = TestReport)))]
pub async fn test(
    _who: Signed<CanManage>,
    state: web::Data<AppState>,
    id: web::Path<ConnectionId>,
) -> Result<HttpResponse, WebError> {
    one(&state, *id).await?;
    let report = state.engine.test_existing(*id).await.map_err(WebError::Refused)?;
    Ok(error::json(&report))
}

/// One connection.
///
/// # Errors
/// Where there is none.
pub(super) async fn one(state: &AppState, id: ConnectionId) -> Result<Connection, WebError> {
    let found = state.store.read(move |read| connections::get(read, id)).await?;
    found.ok_or_else(|| WebError::no_connection(id))
}

fn body(connection: &Connection, state: &AppState) -> ConnectionBody {
    let status = state.engine.connection_status(connection.id);
    ConnectionBody {
        id: connection.id.0,
        channel: connection.channel.to_string(),
        alias: connection.alias.clone(),
        account: connection.account.clone(),
        base_url: connection.base_url.clone(),
        state: connection.state.as_str(),
        state_note: connection.state_note.clone(),
        state_since: connection.state_since,
        settings: connection.settings.clone(),
        lag_seconds: status.lag.map(|lag| lag.as_secs()),
        next_run_at: status.next_run_at,
        last_success_at: status.last_success_at,
        last_error: status.last_error,
        quota: status.quota,
        history_import: status.progress,
    }
}

fn refused(refused: Refused) -> WebError {
    let message = match refused.field {
        Some(field) => format!("{field}: {}", refused.message),
        None => refused.message,
    };
    WebError::invalid("connection_refused", message)
}

fn owner_for_base_url(who: &Signed<CanManage>, is_needed: bool) -> Result<(), WebError> {
    if is_needed && !who.role().is_owner() {
        return Err(WebError::Forbidden {
            role: who.role().as_str(),
            needed: "change base URLs and stored credentials",
        });
    }
    Ok(())
}

fn channel(name: &str) -> Result<&'static ChannelInfo, WebError> {
    registry::channel(&ChannelName::from(name)).ok_or_else(|| {
        let known: Vec<&str> = registry::CHANNELS.iter().map(|info| info.name).collect();
        unknown("channel", name, &known)
    })
}

fn url(text: &str) -> Result<Url, WebError> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(
        || {
            WebError::invalid(
                "invalid_base_url",
                "base_url must be a whole address such as https://example.com.",
            )
        },
    )
}

/// A JSON body.
///
/// # Errors
/// Where it cannot be read.
pub(super) fn parse<T: serde::de::DeserializeOwned>(input: &[u8]) -> Result<T, WebError> {
    serde_json::from_slice(input)
        .map_err(|error| WebError::invalid("invalid_json", format!("The body cannot be read: {error}.")))
}

/// Texts and numbers as they are, lists as comma-separated texts.
fn credentials(info: &ChannelInfo, given: &Map<String, Value>) -> Result<BTreeMap<String, Secret>, WebError> {
    let known: Vec<&str> = info.credentials.iter().map(|field| field.name).collect();
    let mut credentials = BTreeMap::new();
    for (name, value) in given {
        if !known.contains(&name.as_str()) {
            return Err(unknown("credential", name, &known));
        }
        let text = plain(value)
            .ok_or_else(|| WebError::invalid("invalid_credential", format!("{name} must be a text.")))?;
        if !text.is_empty() {
            credentials.insert(name.clone(), Secret::new(text));
        }
    }
    Ok(credentials)
}

/// The names of credentials that are taken away.
fn removed(given: &Map<String, Value>) -> BTreeSet<String> {
    given.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name.clone()).collect()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(all) => all.iter().map(plain).collect::<Option<Vec<_>>>().map(|all| all.join(",")),
        Value::Null => Some(String::new()),
        Value::Bool(_) | Value::Object(_) => None,
    }
}

/// `before` with what is given laid over it.
fn settings(
    before: &ConnectionSettings,
    mut given: Map<String, Value>,
    all: &[Connection],
) -> Result<ConnectionSettings, WebError> {
    if let Some(shop) = given.get_mut("shop") {
        *shop = shop_id(shop, all)?;
    }
    if let Some(days) = given.remove("history_days") {
        let history = history(&days)?;
        given.insert("history".to_owned(), as_json(&history)?);
    }
    let Value::Object(mut whole) = as_json(before)? else {
        return Err(WebError::Internal("settings are no JSON object".to_owned()));
    };
    for (name, value) in given {
        if !whole.contains_key(&name) {
            let mut known: Vec<&str> = whole.keys().map(String::as_str).collect();
            known.push("history_days");
            return Err(unknown("setting", &name, &known));
        }
        whole.insert(name, value);
    }
    serde_json::from_value(Value::Object(whole))
        .map_err(|error| WebError::invalid("invalid_setting", format!("A setting cannot be read: {error}.")))
}

fn shop_id(given: &Value, all: &[Connection]) -> Result<Value, WebError> {
    let Some(text) = plain(given) else {
        return Err(WebError::invalid(
            "invalid_setting",
            "shop must be a connection's id or alias, or null.",
        ));
    };
    as_json(&connection_named(&text, all)?)
}

/// Days before go-live; 0 for none.
fn history(days: &Value) -> Result<History, WebError> {
    match days.as_u64().and_then(|days| u16::try_from(days).ok()) {
        Some(0) => Ok(History::None),
        Some(days) => Ok(History::Days(days)),
        None if days == "everything" => Ok(History::Everything),
        None => Err(WebError::invalid(
            "invalid_setting",
            "history_days must be a whole number of days, 0 for none, or “everything”.",
        )),
    }
}

fn as_json(value: &impl Serialize) -> Result<Value, WebError> {
    serde_json::to_value(value).map_err(|error| WebError::Internal(error.to_string()))
}

fn unknown(kind: &str, name: &str, known: &[&str]) -> WebError {
    let near = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    let help = match near {
        Some((_, candidate)) => format!("Did you mean “{candidate}”?"),
        None => format!("There is: {}.", known.join(", ")),
    };
    WebError::invalid("unknown_key", format!("There is no {kind} “{name}”. {help}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn settings_are_taken_as_a_person_writes_them() {
        let settings = settings(
            &ConnectionSettings::default(),
            given(json!({"history_days": 30, "go_live": "2026-03-01T00:00:00Z", "import_orders": true})),
            &[],
        )
        .unwrap();
        assert_eq!(settings.history, History::Days(30));
        assert_eq!(settings.go_live, Some("2026-03-01T00:00:00Z".parse().unwrap()));
        assert!(settings.export_orders, "what is not given stays");
    }

    #[test]
    fn a_slip_of_the_pen_is_named() {
        let error = settings(&ConnectionSettings::default(), given(json!({"export_order": false})), &[]);
        assert!(error.unwrap_err().to_string().contains("Did you mean “export_orders”?"));
    }

    #[test]
    fn lists_of_credentials_become_texts() {
        assert_eq!(plain(&json!(["A1", "B2"])).unwrap(), "A1,B2");
        assert!(plain(&json!({"a": 1})).is_none());
    }
}

//! All orders, newest first.

use std::str::FromStr;

use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{Choice, Shell, Visit, done};
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::effect::{Effect, EffectKind, EffectState};
use crate::domain::id::ConnectionId;
use crate::domain::order::{ExportState, OrderStatus};
use crate::domain::reason::ReasonCode;
use crate::domain::user::Role;
use crate::store::incidents::{self, Incident};
use crate::store::orders::{self, OrderCursor, OrderFilter, OrderPage, OrderRow};
use crate::store::{connections, effects};
use crate::web::auth::{AnyRole, CanReadOrders, CanWorkOrders, Signed};
use crate::web::error::{self, WebError};
use crate::web::shown::{self, Badge, Moment};
use crate::web::{AppState, routes};

/// Rows of a page.
const ROWS_PER_PAGE: usize = 50;
/// Longest text that is searched for.
const SEARCH_CHARS_MAX: usize = 100;

/// The list's address: filters, and where the page begins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OrdersQuery {
    /// An order status.
    pub status: String,
    /// A state in the shop.
    pub export_state: String,
    /// A reason's code.
    pub reason: String,
    /// A connection's id or alias.
    pub connection: String,
    /// A channel.
    pub channel: String,
    /// A text.
    pub q: String,
    /// Searches everything instead of the last 90 days.
    pub all_time: String,
    /// Only history, or none of it.
    pub history: String,
    /// A day of placing, in the merchant's zone.
    pub day: String,
    /// Where the page lies; the newest page where it is empty.
    pub cursor: String,
}

impl OrdersQuery {
    /// The filter.
    ///
    /// # Errors
    /// Where a word is none of those that exist.
    pub fn filter(&self, connections: &[Connection]) -> Result<OrderFilter, WebError> {
        Ok(OrderFilter {
            status: word::<OrderStatus>("status", &self.status)?,
            export_state: word::<ExportState>("export_state", &self.export_state)?,
            reason: word::<ReasonCode>("reason", &self.reason)?,
            connection: connection_named(&self.connection, connections)?,
            channel: Some(self.channel.clone()).filter(|channel| !channel.is_empty()),
            text: Some(self.q.trim().chars().take(SEARCH_CHARS_MAX).collect())
                .filter(|text: &String| !text.is_empty()),
            all_time: flag("all_time", &self.all_time)?.unwrap_or(false),
            history: flag("history", &self.history)?,
            day: word("day", &self.day)?,
        })
    }

    /// Where the page lies; none for the newest.
    ///
    /// # Errors
    /// Where the cursor is none of ours.
    pub fn place(&self) -> Result<Option<OrderCursor>, WebError> {
        if self.cursor.is_empty() {
            return Ok(None);
        }
        OrderCursor::decode(&self.cursor).map(Some).ok_or_else(|| {
            WebError::invalid("invalid_cursor", "The cursor is none that this list gave. Begin without one.")
        })
    }

    /// The address of the same filters, at another place.
    fn address(&self, place: Option<&OrderCursor>) -> String {
        let fields = [
            ("status", &self.status),
            ("export_state", &self.export_state),
            ("reason", &self.reason),
            ("connection", &self.connection),
            ("channel", &self.channel),
            ("q", &self.q),
            ("all_time", &self.all_time),
            ("history", &self.history),
            ("day", &self.day),
        ];
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        if let Some(cursor) = place {
            query.append_pair("cursor", &cursor.encode());
        }
        match query.finish() {
            query if query.is_empty() => routes::ORDERS.to_owned(),
            query => format!("{}?{query}", routes::ORDERS),
        }
    }

    fn is_filtered(&self) -> bool {
        self.address(None) != routes::ORDERS
    }
}

/// The value of a parameter, none where it is empty.
pub(crate) fn word<T: FromStr>(name: &str, text: &str) -> Result<Option<T>, WebError>
where
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|error| WebError::invalid("invalid_parameter", format!("{name}: {error}.")))
}

fn flag(name: &str, text: &str) -> Result<Option<bool>, WebError> {
    match text {
        "" => Ok(None),
        "true" | "1" | "on" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(WebError::invalid(
            "invalid_parameter",
            format!("{name}: “{text}” is neither true nor false."),
        )),
    }
}

/// The connection with that id or alias, none where the text is empty.
///
/// # Errors
/// Where there is none.
pub fn connection_named(text: &str, all: &[Connection]) -> Result<Option<ConnectionId>, WebError> {
    if text.is_empty() {
        return Ok(None);
    }
    let by_id = text.parse::<ConnectionId>().ok();
    all.iter()
        .find(|connection| Some(connection.id) == by_id)
        .or_else(|| all.iter().find(|connection| connection.alias.eq_ignore_ascii_case(text)))
        .map(|connection| Some(connection.id))
        .ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|connection| connection.alias.as_str()).collect();
            WebError::invalid(
                "unknown_connection",
                format!("There is no connection “{text}”. There is: {}.", known.join(", ")),
            )
        })
}

#[derive(Template)]
#[template(path = "pages/orders.html", config = ".askama.toml")]
struct OrdersPage {
    shell: Shell,
    query: OrdersQuery,
    statuses: Vec<Choice>,
    export_states: Vec<Choice>,
    reasons: Vec<Choice>,
    connections: Vec<Choice>,
    is_all_time: bool,
    banners: Vec<Banner>,
    list: OrderList,
}

#[derive(Template)]
#[template(path = "parts/order_list.html", config = ".askama.toml")]
struct OrderListPart {
    list: OrderList,
}

/// Something that needs somebody, however the list is filtered.
struct Banner {
    address: String,
    title: String,
    text: String,
    tone: &'static str,
}

struct OrderList {
    rows: Vec<RowView>,
    empty: Option<Empty>,
    /// The address of this very fragment, to refresh it; none on later pages.
    refresh: Option<String>,
    previous: Option<String>,
    next: Option<String>,
    /// The reason that all shown orders wait for, where the list is filtered by one and who asks may retry.
    retry: Option<(&'static str, &'static str)>,
}

struct Empty {
    title: &'static str,
    text: &'static str,
    link: &'static str,
    label: &'static str,
}

struct RowView {
    address: String,
    order_no: String,
    external_id: String,
    alias: String,
    channel: String,
    channel_title: String,
    letter: String,
    buyer: String,
    country: String,
    items: String,
    total: String,
    placed: Moment,
    status: Badge,
    is_history: bool,
    export: Badge,
    why: Option<(String, &'static str)>,
    /// What else waits for a person, why, and what to do.
    held: Option<(&'static str, String, &'static str)>,
    shop_order: Option<(String, String)>,
    is_late: bool,
}

/// The start page: orders for those who may see them.
///
/// # Errors
/// Never.
pub async fn home(_who: Signed<AnyRole>) -> Result<HttpResponse, WebError> {
    Ok(error::see_other(routes::ORDERS))
}

/// The list.
///
/// # Errors
/// Where a filter is wrong or the store does not answer.
pub async fn list(
    who: Signed<CanReadOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    query: web::Query<OrdersQuery>,
) -> Result<HttpResponse, WebError> {
    let query = query.into_inner();
    let place = query.place()?;
    let wanted = query.clone();
    let (all, open, page, owed) = state
        .store
        .read(move |read| {
            let all = connections::all(read)?;
            let filter = match wanted.filter(&all) {
                Ok(filter) => filter,
                Err(error) => return Ok(Err(error)),
            };
            let page = orders::page(read, &filter, place.as_ref(), ROWS_PER_PAGE)?;
            let numbers: Vec<i64> = page.rows.iter().map(|row| row.order_no.0).collect();
            let owed = effects::of_orders(read, &numbers)?;
            Ok(Ok((all, incidents::open_incidents(read)?, page, owed)))
        })
        .await??;
    let list = order_list(&query, page, &owed, !all.is_empty(), who.role(), &state.zone, state.clock.now());
    if visit.wants_fragment {
        return error::html(&OrderListPart { list });
    }
    let banners = banners(&all, &open, state.clock.now().to_zoned(state.zone.clone()).date());
    visit.page(&orders_page(&who, &visit, query, &all, banners, list))
}

fn orders_page(
    who: &Signed<CanReadOrders>,
    visit: &Visit,
    query: OrdersQuery,
    all: &[Connection],
    banners: Vec<Banner>,
    list: OrderList,
) -> OrdersPage {
    let chosen = connection_named(&query.connection, all).ok().flatten().map(|id| id.to_string());
    let chosen = chosen.unwrap_or_default();
    OrdersPage {
        shell: visit.shell(who, "Orders", "orders"),
        statuses: choices(OrderStatus::ALL, &query.status, |status| {
            (status.as_str(), shown::status(*status).text)
        }),
        export_states: choices(ExportState::ALL, &query.export_state, |state| {
            (state.as_str(), shown::export_state(*state))
        }),
        reasons: choices(ReasonCode::ALL, &query.reason, |code| (code.as_str(), shown::reason(*code))),
        connections: all
            .iter()
            .map(|connection| Choice::new(connection.id.to_string(), connection.alias.clone(), &chosen))
            .collect(),
        is_all_time: flag("all_time", &query.all_time).ok().flatten().unwrap_or(false),
        banners,
        query,
        list,
    }
}

fn choices<T>(all: &[T], chosen: &str, words: impl Fn(&T) -> (&'static str, &'static str)) -> Vec<Choice> {
    all.iter()
        .map(|value| {
            let (value, label) = words(value);
            Choice::new(value, label, chosen)
        })
        .collect()
}

fn banners(all: &[Connection], open: &[Incident], today: Date) -> Vec<Banner> {
    let broken =
        all.iter().filter(|connection| connection.state != ConnectionState::Active).map(|connection| {
            let state = shown::connection_state(connection.state);
            Banner {
                address: routes::connection(connection.id),
                title: format!("{}: {}.", connection.alias, state.text),
                text: connection.state_note.clone().unwrap_or_default(),
                tone: state.tone,
            }
        });
    let ending = all.iter().flat_map(|connection| {
        super::connections::near_deadlines(connection, today).into_iter().map(|deadline| Banner {
            address: routes::connection(connection.id),
            title: format!("{}: {}", connection.alias, deadline.text),
            text: deadline.next_step.to_owned(),
            tone: "wait",
        })
    });
    let newest = open.first().map(|incident| Banner {
        address: match incident.what.order_no {
            Some(order_no) => routes::order(order_no),
            None => routes::CONNECTIONS.to_owned(),
        },
        title: match open.len() {
            1 => "An incident is open.".to_owned(),
            count => format!("{count} incidents are open: Connections lists them."),
        },
        text: format!("{} {}", incident.what.text, incident.what.next_step),
        tone: "bad",
    });
    newest.into_iter().chain(broken).chain(ending).collect()
}

fn order_list(
    query: &OrdersQuery,
    page: OrderPage,
    owed: &[Effect],
    has_connections: bool,
    role: Role,
    zone: &TimeZone,
    now: Timestamp,
) -> OrderList {
    // A search costs more than a look at the newest: it is not repeated by itself.
    let is_refreshed = query.cursor.is_empty() && query.q.is_empty();
    let reason = query.reason.parse::<ReasonCode>().ok();
    OrderList {
        empty: page.rows.is_empty().then(|| empty(query, has_connections)),
        refresh: is_refreshed.then(|| query.address(None)),
        previous: page.previous.as_ref().map(|cursor| query.address(Some(cursor))),
        next: page.next.as_ref().map(|cursor| query.address(Some(cursor))),
        retry: reason
            .filter(|code| role.may_work_orders() && !page.rows.is_empty() && is_retried(*code))
            .map(|code| (code.as_str(), shown::reason(code))),
        rows: page.rows.iter().map(|row| row_view(row, owed, zone, now)).collect(),
    }
}

fn empty(query: &OrdersQuery, has_connections: bool) -> Empty {
    if query.is_filtered() && query.q.is_empty() {
        return Empty {
            title: "No order fits these filters",
            text: "Take a filter away to see more.",
            link: routes::ORDERS,
            label: "Show all orders",
        };
    }
    if query.is_filtered() {
        return Empty {
            title: "Nothing found",
            text: "The search looks at ids, SKUs, titles and buyers of the last 90 days. Tick “everything” to \
                   search all orders, or use Find an order to ask the marketplace.",
            link: routes::ORDERS,
            label: "Show all orders",
        };
    }
    if has_connections {
        return Empty {
            title: "No orders yet",
            text: "New orders appear here by themselves. Open Connections to see when they are read next, or \
                   press Sync now there.",
            link: routes::CONNECTIONS,
            label: "Open Connections",
        };
    }
    Empty {
        title: "Connect your shop first",
        text: "Orders appear here once a marketplace is connected. Begin with the shop that they are created in.",
        link: routes::CONNECTIONS,
        label: "Connect a shop",
    }
}

/// False where the order waits for a payment or a choice, so that trying again changes nothing.
fn is_retried(code: ReasonCode) -> bool {
    !matches!(
        code,
        ReasonCode::Unpaid | ReasonCode::ExportOff | ReasonCode::PlatformFulfilled | ReasonCode::Cancelled
    )
}

fn row_view(row: &OrderRow, owed: &[Effect], zone: &TimeZone, now: Timestamp) -> RowView {
    let (channel_title, letter) = shown::channel(&row.channel);
    let held = owed.iter().find(|effect| {
        effect.order_no == row.order_no
            && effect.state == EffectState::Held
            && effect.kind != EffectKind::CreateShopOrder
    });
    let is_open = matches!(row.status, OrderStatus::Open | OrderStatus::PartShipped);
    RowView {
        address: routes::order(row.order_no),
        order_no: row.order_no.to_string(),
        external_id: row.external_id.clone(),
        alias: row.alias.clone(),
        channel: row.channel.to_string(),
        channel_title,
        letter,
        buyer: row.buyer_name.clone().unwrap_or_default(),
        country: row.country.clone().unwrap_or_default(),
        items: items(row),
        total: shown::money(row.total_minor, &row.currency),
        placed: shown::moment(row.placed_at, zone),
        status: shown::status(row.status),
        is_history: row.is_history,
        export: shown::export(row.export_state, row.reason.as_ref()),
        why: row.reason.as_ref().map(|reason| (reason.what(), reason.next_step())),
        held: held.and_then(|effect| {
            let reason = effect.reason.as_ref()?;
            Some((shown::effect(effect.kind), reason.what(), reason.next_step()))
        }),
        shop_order: row.shop_order_id.clone().map(|id| (id, routes::order_in_shop(row.order_no))),
        is_late: is_open && !row.is_history && row.ship_by.is_some_and(|by| by < now),
    }
}

fn items(row: &OrderRow) -> String {
    let first = row.first_title.as_deref().or(row.first_sku.as_deref()).unwrap_or("no lines");
    let more = row.line_count.saturating_sub(1);
    match more {
        0 => format!("{} × {first}", row.unit_count),
        _ => format!("{} units: {first} and {more} more", row.unit_count),
    }
}

/// What the box *Find an order* sends.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    external_id: String,
    #[serde(default)]
    connection: String,
}

#[derive(Template)]
#[template(path = "pages/found.html", config = ".askama.toml")]
struct FoundPage {
    shell: Shell,
    external_id: String,
    explanation: String,
    next_step: String,
    address: Option<String>,
}

/// Asks the marketplace for one order now, and says why it is or is not here.
///
/// # Errors
/// Where no id was given.
pub async fn find(
    who: Signed<CanReadOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    input: web::Form<Wanted>,
) -> Result<HttpResponse, WebError> {
    let external_id = input.external_id.trim().to_owned();
    if external_id.is_empty() || external_id.chars().count() > SEARCH_CHARS_MAX {
        return Err(WebError::invalid("invalid_id", "Enter the order's id as the marketplace shows it."));
    }
    let all = state.store.read(connections::all).await?;
    let connection = connection_named(&input.connection, &all)?;
    let found = state.engine.find_order(connection, &external_id, who.actor()).await;
    visit.page(&FoundPage {
        shell: visit.shell(&who, "Find an order", "orders"),
        external_id,
        explanation: found.explanation,
        next_step: found.next_step,
        address: found.order_no.map(routes::order),
    })
}

/// What the button *Retry all* sends.
#[derive(Debug, Deserialize)]
pub struct RetryReason {
    reason: String,
}

/// Retries every order that waits for one reason.
///
/// # Errors
/// Where the reason is none, or nothing can be retried now.
pub async fn retry_reason(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    input: web::Form<RetryReason>,
) -> Result<HttpResponse, WebError> {
    let code = word::<ReasonCode>("reason", &input.reason)?
        .ok_or_else(|| WebError::invalid("invalid_parameter", "Choose a reason first."))?;
    let count = state.engine.retry_reason(code, who.actor()).await.map_err(WebError::Refused)?;
    let notice = match count {
        0 => "No order waits for this reason any more.".to_owned(),
        1 => "One order is tried again now.".to_owned(),
        count => format!("{count} orders are tried again now."),
    };
    done(&format!("{}?reason={code}", routes::ORDERS), &notice)
}

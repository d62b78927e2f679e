//! Addresses of several orders at once, from the rows of a file: the platform's own download as it is, or our template.
//! Each row is looked at before anything is kept, and a row that is wrong stops no other.

use std::collections::{BTreeMap, HashMap};

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::address::{Fields, address, fields_of, refusal};
use super::{Shell, Visit, done};
use crate::channels::registry::is_shop;
use crate::domain::customer::Address;
use crate::domain::id::OrderNo;
use crate::store::entered_addresses::{self, Wanted};
use crate::store::{Read, StoreError, orders};
use crate::web::auth::{CanWorkOrders, Signed};
use crate::web::error::{self, WebError};
use crate::web::{AppState, routes};

/// Most rows of one file.
const ROWS_MAX: usize = 500;
/// The template: our names of the columns, and one row as an example.
const TEMPLATE: &str = "Order ID,Name,Company,Street,Street 2,City,Region,Postal code,Country,Phone\r\n\
     3000000001,Grace Example,,1 Test Street,Apt 2,Springfield,IL,62704,United States,\r\n";

/// What each of our columns is called elsewhere, in lower case, the best name first: Etsy's order and order item
/// downloads among them.
const COLUMNS: &[(&str, &[&str])] = &[
    ("order", &["order id", "order_id", "order number", "order", "receipt id"]),
    ("name", &["ship name", "name", "recipient", "full name"]),
    ("company", &["company", "ship company"]),
    (
        "street",
        &["ship address1", "ship address 1", "street", "street 1", "address1", "address 1", "address"],
    ),
    ("street 2", &["ship address2", "ship address 2", "street 2", "address2", "address 2"]),
    ("street 3", &["street 3", "address3", "address 3"]),
    ("city", &["ship city", "city"]),
    ("region", &["ship state", "region", "state", "province"]),
    ("postal code", &["ship zipcode", "postal code", "postcode", "zip", "zipcode", "zip code"]),
    ("country", &["ship country", "country"]),
    ("phone", &["phone", "ship phone"]),
];

#[derive(Template)]
#[template(path = "pages/addresses.html", config = ".askama.toml")]
struct AddressesPage {
    shell: Shell,
    action: &'static str,
    template: &'static str,
    text: String,
    rows: Vec<RowView>,
    good_count: usize,
    rows_max: usize,
    problem: Option<String>,
}

struct RowView {
    number: usize,
    external_id: String,
    order: Option<String>,
    address: String,
    /// Why it is not kept; empty where it is good.
    note: String,
    tone: &'static str,
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub struct Pasted {
    #[serde(default)]
    r#do: String,
    #[serde(default)]
    text: String,
}

/// A row as read, before it is known whose it is.
#[derive(Debug, Clone)]
struct Row {
    number: usize,
    external_id: String,
    fields: Fields,
}

/// What becomes of a row.
enum Fate {
    /// It is kept.
    Good(OrderNo, Address),
    /// Nothing to do: the same row again, or an order that needs no address.
    Idle(Option<OrderNo>, String),
    /// It has to be mended.
    Wrong(Option<OrderNo>, String),
}

/// The page.
///
/// # Errors
/// Where the template fails.
pub async fn form(who: Signed<CanWorkOrders>, visit: Visit) -> Result<HttpResponse, WebError> {
    visit.page(&page(&who, &visit, String::new(), Vec::new(), None))
}

/// The template.
///
/// # Errors
/// Never.
pub async fn template(_who: Signed<CanWorkOrders>) -> Result<HttpResponse, WebError> {
    Ok(error::csv("addresses.csv", TEMPLATE))
}

/// Shows what the rows say, or keeps those that are good, as the button says.
///
/// # Errors
/// Where the store does not answer.
pub async fn submit(
    who: Signed<CanWorkOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    input: web::Form<Pasted>,
) -> Result<HttpResponse, WebError> {
    let Pasted { r#do, text } = input.into_inner();
    let rows = match read_rows(&text) {
        Ok(rows) => rows,
        Err(problem) => return error::form_again(&page(&who, &visit, text, Vec::new(), Some(problem))),
    };
    let asked = rows.clone();
    let fates = state.store.read(move |read| fates(read, &asked)).await?;
    if r#do != "save" {
        let views = rows.iter().zip(fates).map(|(row, fate)| row_view(row, fate)).collect();
        return error::html(&page(&who, &visit, text, views, None));
    }
    let mut kept = 0_usize;
    let mut views = Vec::new();
    for (row, fate) in rows.iter().zip(fates) {
        let fate = match fate {
            Fate::Good(no, address) => match state.engine.enter_address(no, address, who.actor()).await {
                Ok(_) => {
                    kept += 1;
                    continue;
                }
                Err(why) => Fate::Wrong(Some(no), why),
            },
            other => other,
        };
        if matches!(fate, Fate::Wrong(..)) {
            views.push(row_view(row, fate));
        }
    }
    let kept = match kept {
        1 => "1 address is kept, and its order goes on.".to_owned(),
        kept => format!("{kept} addresses are kept, and their orders go on."),
    };
    if views.is_empty() {
        return done(routes::ORDERS, &kept);
    }
    let problem = Some(format!("{kept} The rows below have to be mended."));
    error::form_again(&page(&who, &visit, text, views, problem))
}

/// The rows, whatever their columns are called and whatever parts them.
fn read_rows(text: &str) -> Result<Vec<Row>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    // Spreadsheets give tabs when rows are copied, and semicolons where the comma parts decimals.
    let delimiter = [b'\t', b';'].into_iter().find(|sign| first.as_bytes().contains(sign)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| format!("The text is no CSV: {error}."))?.clone();
    let places = places(&headers);
    for needed in ["order", "name", "street", "country"] {
        if !places.contains_key(needed) {
            let known = COLUMNS.iter().find(|(name, _)| *name == needed);
            let known = known.and_then(|(_, names)| names.first()).copied().unwrap_or_default();
            return Err(format!(
                "The first line has to name the columns, and none is called “{known}”. The template shows all."
            ));
        }
    }
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| format!("The text is no CSV: {error}."))?;
        let part = |name: &str| {
            let text = places.get(name).and_then(|place| record.get(*place)).unwrap_or_default();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        if record.iter().all(str::is_empty) {
            continue;
        }
        if rows.len() >= ROWS_MAX {
            return Err(format!("There are more than {ROWS_MAX} rows: take them in parts."));
        }
        // As a spreadsheet counts: the names of the columns are its first row.
        let number = index.saturating_add(2);
        rows.push(Row { number, external_id: part("order"), fields: fields_of(part) });
    }
    if rows.is_empty() {
        Err("There are no rows below the names of the columns.".to_owned())
    } else {
        Ok(rows)
    }
}

/// Which of our columns stands where.
fn places(headers: &csv::StringRecord) -> BTreeMap<&'static str, usize> {
    let headers: Vec<String> = headers.iter().map(|header| header.trim().to_lowercase()).collect();
    let place =
        |names: &[&str]| names.iter().find_map(|name| headers.iter().position(|header| header == name));
    COLUMNS.iter().filter_map(|(column, names)| Some((*column, place(names)?))).collect()
}

/// What becomes of each row.
fn fates(read: &Read<'_>, rows: &[Row]) -> Result<Vec<Fate>, StoreError> {
    let ids: Vec<&str> = rows.iter().map(|row| row.external_id.as_str()).collect();
    let known = orders::find_everywhere(read, &ids)?;
    let numbers: Vec<OrderNo> = known.values().flatten().copied().collect();
    let wanted = entered_addresses::wanted_of(read, &numbers, is_shop)?;
    let mut seen: BTreeMap<OrderNo, (usize, Address)> = BTreeMap::new();
    let mut fates = Vec::with_capacity(rows.len());
    for row in rows {
        let found = known.get(&row.external_id).map(Vec::as_slice).unwrap_or_default();
        let fate = match fate(row, found, &wanted) {
            Fate::Good(no, address) => match seen.get(&no) {
                None => {
                    seen.insert(no, (row.number, address.clone()));
                    Fate::Good(no, address)
                }
                // Downloads of items repeat the address with every item.
                Some((row, first)) if *first == address => {
                    Fate::Idle(Some(no), format!("the same as row {row}"))
                }
                Some((row, _)) => Fate::Wrong(
                    Some(no),
                    format!("row {row} has another address for the same order: leave one of them out"),
                ),
            },
            other => other,
        };
        fates.push(fate);
    }
    Ok(fates)
}

fn fate(row: &Row, found: &[OrderNo], wanted: &HashMap<OrderNo, Wanted>) -> Fate {
    if row.external_id.is_empty() {
        return Fate::Wrong(None, "there is no order id in this row".to_owned());
    }
    let no = match found {
        [no] => *no,
        [] => return Fate::Wrong(None, "no order with this id is here".to_owned()),
        _ => {
            let text = "several connections have an order with this id: enter it on the order’s own page";
            return Fate::Wrong(None, text.to_owned());
        }
    };
    if let Some(why) = refusal(wanted.get(&no).copied().unwrap_or(Wanted::Over)) {
        return Fate::Idle(Some(no), why.to_owned());
    }
    match address(&row.fields) {
        Ok(address) => Fate::Good(no, address),
        Err((_, problem)) => Fate::Wrong(Some(no), problem),
    }
}

fn row_view(row: &Row, fate: Fate) -> RowView {
    let (no, address, note, tone) = match fate {
        Fate::Good(no, address) => (Some(no), in_a_line(&address), String::new(), "good"),
        Fate::Idle(no, note) => (no, String::new(), note, "calm"),
        Fate::Wrong(no, note) => (no, String::new(), note, "bad"),
    };
    RowView {
        number: row.number,
        external_id: row.external_id.clone(),
        order: no.map(routes::order),
        address,
        note,
        tone,
    }
}

fn in_a_line(address: &Address) -> String {
    let parts = [&address.name, &address.company].into_iter().flatten().chain(&address.street);
    let place =
        [&address.city, &address.region, &address.postal_code, &address.country].into_iter().flatten();
    parts.chain(place).cloned().collect::<Vec<_>>().join(", ")
}

fn page(
    who: &Signed<CanWorkOrders>,
    visit: &Visit,
    text: String,
    rows: Vec<RowView>,
    problem: Option<String>,
) -> AddressesPage {
    AddressesPage {
        shell: visit.shell(who, "Addresses from a file", "orders"),
        action: routes::ADDRESSES,
        template: routes::ADDRESSES_TEMPLATE,
        text,
        good_count: rows.iter().filter(|row| row.tone == "good").count(),
        rows,
        rows_max: ROWS_MAX,
        problem,
    }
}

//! The delivery address of an order whose platform gives none: pasted, looked over, kept. Nothing is kept before a person
//! has seen it part by part.

use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::{Choice, Shell, Visit, done};
use crate::channels::registry::is_shop;
use crate::domain::country::{self, COUNTRIES};
use crate::domain::customer::Address;
use crate::domain::id::OrderNo;
use crate::domain::pasted_address::{self, Open};
use crate::store::entered_addresses::{self, Wanted};
use crate::store::orders::{self, OrderRow};
use crate::web::auth::{CanWorkOrders, Signed};
use crate::web::error::{self, WebError};
use crate::web::{AppState, routes};

/// Longest pasted text.
const PASTED_CHARS_MAX: usize = 2_000;
/// Longest part of an address.
pub(super) const PART_CHARS_MAX: usize = 200;
/// Most lines of a street.
const STREET_LINES_MAX: usize = 6;

#[derive(Template)]
#[template(path = "pages/address.html", config = ".askama.toml")]
struct AddressPage {
    shell: Shell,
    order: String,
    external_id: String,
    action: String,
    pasted: String,
    countries: Vec<Choice>,
    /// The parts, to be looked over; none before something was pasted.
    parts: Option<PartsView>,
    problem: Option<String>,
}

struct PartsView {
    fields: Vec<FieldView>,
    street: String,
    street_is_open: bool,
    countries: Vec<Choice>,
    country_is_open: bool,
    /// What has to be filled in or confirmed, in words.
    open: Vec<&'static str>,
}

struct FieldView {
    name: &'static str,
    label: &'static str,
    value: String,
    is_open: bool,
    is_required: bool,
}

/// What the forms send.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Fields {
    r#do: String,
    pasted: String,
    country: String,
    name: String,
    company: String,
    street: String,
    city: String,
    region: String,
    postal_code: String,
    phone: String,
}

/// The form in which an address is pasted.
///
/// # Errors
/// Where there is no such order, or it needs no address.
pub async fn form(
    who: Signed<CanWorkOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
) -> Result<HttpResponse, WebError> {
    let row = needy(&state, *no).await?;
    let country = row.country.clone().unwrap_or_default();
    let fields = Fields { country, ..Fields::default() };
    visit.page(&page(&who, &visit, &row, &fields, None, None))
}

/// Reads what was pasted, or keeps what was looked over, as the button says.
///
/// # Errors
/// Where there is no such order, or it needs no address.
pub async fn submit(
    who: Signed<CanWorkOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    no: web::Path<OrderNo>,
    fields: web::Form<Fields>,
) -> Result<HttpResponse, WebError> {
    let fields = fields.into_inner();
    let row = needy(&state, *no).await?;
    if fields.r#do != "save" {
        let text: String = fields.pasted.chars().take(PASTED_CHARS_MAX).collect();
        let read = pasted_address::read(&text, Some(fields.country.as_str()));
        let parts = parts_view(&of_address(&read.address), &read.open);
        return error::html(&page(&who, &visit, &row, &fields, Some(parts), None));
    }
    match address(&fields) {
        Err((open, problem)) => {
            let parts = parts_view(&fields, &[open]);
            error::form_again(&page(&who, &visit, &row, &fields, Some(parts), Some(problem)))
        }
        Ok(address) => {
            let next = state.engine.enter_address(*no, address, who.actor()).await;
            done(&routes::order(*no), &next.map_err(WebError::Refused)?)
        }
    }
}

/// The marketplace was told of a parcel on its own pages.
///
/// # Errors
/// Where nothing waits for that.
pub async fn told_by_hand(
    who: Signed<CanWorkOrders>,
    state: web::Data<AppState>,
    path: web::Path<(OrderNo, i64)>,
) -> Result<HttpResponse, WebError> {
    let (no, parcel) = path.into_inner();
    let next = state.engine.told_by_hand(no, parcel, who.actor()).await.map_err(WebError::Refused)?;
    done(&routes::order(no), &next)
}

/// The order, if an address can be entered for it.
async fn needy(state: &AppState, no: OrderNo) -> Result<OrderRow, WebError> {
    let found = state
        .store
        .read(move |read| Ok((orders::row(read, no)?, entered_addresses::wanted(read, no, is_shop)?)))
        .await?;
    let (Some(row), Some(wanted)) = found else { return Err(WebError::no_order(no)) };
    match refusal(wanted) {
        None => Ok(row),
        Some(why) => Err(WebError::Refused(why.to_owned())),
    }
}

/// Why no address can be entered.
pub(super) fn refusal(wanted: Wanted) -> Option<&'static str> {
    match wanted {
        Wanted::Yes => None,
        Wanted::Known => Some("The marketplace gave this order's address."),
        Wanted::InShop => Some("This order is in the shop already: correct its address there."),
        Wanted::Over => Some("This order was shipped or cancelled: it needs no address any more."),
        Wanted::NotOurs => Some("This order goes into no shop from here: it needs no address."),
    }
}

/// The address in the fields, or the part to mend and what is wrong with it.
pub(in crate::web) fn address(fields: &Fields) -> Result<Address, (Open, String)> {
    let part = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let all = [
        (&fields.name, Open::Name),
        (&fields.company, Open::Name),
        (&fields.city, Open::City),
        (&fields.region, Open::Region),
        (&fields.postal_code, Open::PostalCode),
        (&fields.phone, Open::Name),
    ];
    for (text, open) in all {
        if text.chars().count() > PART_CHARS_MAX || text.chars().any(char::is_control) {
            return Err((
                open,
                format!("A part is longer than {PART_CHARS_MAX} characters or has line breaks."),
            ));
        }
    }
    let street: Vec<String> = fields.street.lines().filter_map(part).collect();
    let is_long = street.iter().any(|line| line.chars().count() > PART_CHARS_MAX);
    if street.len() > STREET_LINES_MAX || is_long {
        return Err((
            Open::Street,
            format!("The street has more than {STREET_LINES_MAX} lines, or a long one."),
        ));
    }
    let address = Address {
        name: part(&fields.name),
        company: part(&fields.company),
        street,
        city: part(&fields.city),
        region: part(&fields.region),
        postal_code: part(&fields.postal_code),
        country: country::code_of(&fields.country).map(str::to_owned),
        phone: part(&fields.phone),
    };
    let missing = [
        (address.name.is_none(), Open::Name, "Enter who gets it."),
        (address.street.is_empty(), Open::Street, "Enter the street."),
        (address.city.is_none(), Open::City, "Enter the city."),
        (address.country.is_none(), Open::Country, "Choose the country."),
    ];
    match missing.into_iter().find(|(is_missing, ..)| *is_missing) {
        Some((_, open, text)) => Err((open, text.to_owned())),
        None => Ok(address),
    }
}

fn of_address(address: &Address) -> Fields {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    Fields {
        name: part(&address.name),
        company: part(&address.company),
        street: address.street.join("\n"),
        city: part(&address.city),
        region: part(&address.region),
        postal_code: part(&address.postal_code),
        country: part(&address.country),
        phone: part(&address.phone),
        ..Fields::default()
    }
}

fn parts_view(fields: &Fields, open: &[Open]) -> PartsView {
    let is_open = |part: Open| open.contains(&part);
    let field = |name, label, value: &str, part: Option<Open>, is_required| FieldView {
        name,
        label,
        value: value.to_owned(),
        is_open: part.is_some_and(is_open),
        is_required,
    };
    PartsView {
        fields: vec![
            field("name", "Name", &fields.name, Some(Open::Name), true),
            field("company", "Company", &fields.company, None, false),
            field("city", "City", &fields.city, Some(Open::City), true),
            field("region", "State or region", &fields.region, Some(Open::Region), false),
            field("postal_code", "Postal code", &fields.postal_code, Some(Open::PostalCode), false),
            field("phone", "Phone", &fields.phone, None, false),
        ],
        street: fields.street.clone(),
        street_is_open: is_open(Open::Street),
        countries: countries(&fields.country),
        country_is_open: is_open(Open::Country),
        open: open.iter().map(|open| in_words(*open)).collect(),
    }
}

fn in_words(open: Open) -> &'static str {
    match open {
        Open::Name => "name",
        Open::Street => "street",
        Open::City => "city",
        Open::Region => "state or region",
        Open::PostalCode => "postal code",
        Open::Country => "country",
    }
}

fn countries(chosen: &str) -> Vec<Choice> {
    let chosen = country::code_of(chosen).unwrap_or_default();
    let none = Choice::new("", "choose", chosen);
    std::iter::once(none)
        .chain(COUNTRIES.iter().map(|(code, name)| Choice::new(*code, *name, chosen)))
        .collect()
}

fn page(
    who: &Signed<CanWorkOrders>,
    visit: &Visit,
    row: &OrderRow,
    fields: &Fields,
    parts: Option<PartsView>,
    problem: Option<String>,
) -> AddressPage {
    AddressPage {
        shell: visit.shell(who, format!("Address of order {}", row.external_id), "orders"),
        order: routes::order(row.order_no),
        external_id: row.external_id.clone(),
        action: routes::order_address(row.order_no),
        pasted: fields.pasted.clone(),
        countries: countries(&fields.country),
        parts,
        problem,
    }
}

/// The fields by the names that [`super::addresses`] gives the columns of a file.
pub(in crate::web) fn fields_of(part: impl Fn(&str) -> String) -> Fields {
    let street = ["street", "street 2", "street 3"].map(&part);
    Fields {
        name: part("name"),
        company: part("company"),
        street: street.join("\n"),
        city: part("city"),
        region: part("region"),
        postal_code: part("postal code"),
        country: part("country"),
        phone: part("phone"),
        ..Fields::default()
    }
}

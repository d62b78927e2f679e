//! The form of a connection, new or not: credentials as the registry names them, and settings in both directions.
//! What was typed is shown again as it was typed, so that a mistake costs one field and not the form.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use url::Url;

use super::Choice;
use crate::channels::registry::{self, ChannelInfo};
use crate::domain::connection::{
    Connection, ConnectionSettings, CustomerEmail, ExportFulfilment, History, InsufficientStock, UnmatchedSku,
};
use crate::secret::Secret;

/// A form as it was sent. A box that is not ticked is not there.
pub type Fields = BTreeMap<String, String>;

/// Longest alias.
const ALIAS_CHARS_MAX: usize = 60;
/// What a credential's field is called in the form.
const CREDENTIAL_PREFIX: &str = "credential_";
/// What the box is called that takes a credential away.
const REMOVE_CREDENTIAL_PREFIX: &str = "remove_credential_";
/// What a carrier's name in the shop is called in the form, before the row's number.
const CARRIER_PREFIX: &str = "carrier_shop_";
/// What the marketplace's code of that carrier is called.
const CARRIER_CODE_PREFIX: &str = "carrier_code_";
/// What the button that takes a carrier's row away sends, before the row's number.
const REMOVE_CARRIER: &str = "remove_carrier_";
/// Rows of carriers.
const CARRIER_ROWS_MAX: usize = 200;
/// Longest name or code of a carrier.
const CARRIER_CHARS_MAX: usize = 100;
/// Shortest and longest time between two looks, in seconds.
const POLL_INTERVAL_S: std::ops::RangeInclusive<u32> = 1..=86_400;
/// The shop's statuses that an order which has just been created can have.
const CREATED_STATUSES: [(&str, &str); 7] = [
    ("9", "Awaiting Shipment"),
    ("11", "Awaiting Fulfillment"),
    ("8", "Awaiting Pickup"),
    ("7", "Awaiting Payment"),
    ("12", "Manual Verification Required"),
    ("1", "Pending"),
    ("10", "Completed"),
];

/// A problem of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field; empty where it is none's.
    pub field: String,
    /// What to mend.
    pub message: String,
}

impl FieldProblem {
    fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

impl From<crate::sync::commands::Refused> for FieldProblem {
    fn from(refused: crate::sync::commands::Refused) -> Self {
        Self { field: refused.field.unwrap_or_default(), message: refused.message }
    }
}

/// The whole form as shown.
#[derive(Debug)]
pub struct FormView {
    /// The name.
    pub alias: String,
    /// What the platform wants to see.
    pub credentials: Vec<CredentialView>,
    /// True where the platform hands the credentials out as a text file.
    pub has_file: bool,
    /// Whether the platform has a page of its own for this.
    pub has_consent: bool,
    /// That file's text as pasted.
    pub pasted: String,
    /// Whether who asks may send the calls elsewhere.
    pub may_move: bool,
    /// Where they go instead.
    pub base_url: String,
    /// The steps in the platform's own console.
    pub steps: &'static [&'static str],
    /// Everything else.
    pub settings: SettingsView,
    /// The field that has to be mended.
    pub problem: Option<FieldProblem>,
}

impl FormView {
    /// The form with these fields. `is_owner` may change where calls go.
    #[must_use]
    pub fn new(
        info: &'static ChannelInfo,
        fields: &Fields,
        all: &[Connection],
        is_owner: bool,
        problem: Option<FieldProblem>,
    ) -> Self {
        let wrong = problem.as_ref().map_or("", |problem| problem.field.as_str());
        Self {
            alias: shown_text(fields, "alias"),
            credentials: credential_views(info, fields),
            has_file: info.credentials_file.is_some(),
            has_consent: info.consent.is_some(),
            pasted: shown_text(fields, "pasted"),
            may_move: is_owner,
            base_url: shown_text(fields, "base_url"),
            steps: info.steps,
            settings: settings_view(info, fields, all, wrong),
            problem,
        }
    }
}

/// A credential's field as shown.
#[derive(Debug)]
pub struct CredentialView {
    /// The form's name.
    pub name: String,
    /// The label.
    pub label: &'static str,
    /// Where to find it.
    pub hint: &'static str,
    /// Hidden while typed.
    pub is_secret: bool,
    /// Must be there.
    pub is_required: bool,
    /// What was typed before.
    pub value: String,
    /// The name of the box that takes it away; none where it is not held, or must be there.
    pub remove: Option<String>,
    /// That box is ticked.
    pub is_removed: bool,
}

impl FormView {
    /// Offers to take away what is held and need not be there.
    #[must_use]
    pub fn with_held(mut self, held: &BTreeSet<String>, fields: &Fields) -> Self {
        for credential in self.credentials.iter_mut().filter(|credential| !credential.is_required) {
            let name = credential.name.strip_prefix(CREDENTIAL_PREFIX).unwrap_or_default();
            let remove = format!("{REMOVE_CREDENTIAL_PREFIX}{name}");
            credential.is_removed = fields.contains_key(&remove);
            credential.remove = held.contains(name).then_some(remove);
        }
        self
    }
}

/// The settings' fields as shown.
#[derive(Debug)]
pub struct SettingsView {
    /// True for a shop: fields about export do not apply.
    pub is_shop: bool,
    /// Orders are imported.
    pub import_orders: bool,
    /// Stock and prices are managed.
    pub manage_stock: bool,
    /// Orders go into the shop by themselves.
    pub export_orders: bool,
    /// What is cancelled in the shop is cancelled on the marketplace.
    pub send_cancellations: bool,
    /// What is refunded in the shop is refunded on the marketplace.
    pub send_refunds: bool,
    /// Whether the platform has calls for these two.
    pub has_after_sale: bool,
    /// What the platform is called.
    pub title: &'static str,
    /// Which shop.
    pub shops: Vec<Choice>,
    /// Which orders.
    pub fulfilment: Vec<Choice>,
    /// Unknown SKUs.
    pub unmatched: Vec<Choice>,
    /// Too little stock.
    pub stock: Vec<Choice>,
    /// The e-mail on shop orders.
    pub email: Vec<Choice>,
    /// Its address or domain.
    pub email_text: String,
    /// The status of created orders.
    pub created_statuses: Vec<Choice>,
    /// The carrier where the shop names none.
    pub default_carrier: String,
    /// The shop's carriers and the marketplace's codes; the last row is empty.
    pub carriers: Vec<CarrierRow>,
    /// Seconds between two polls.
    pub poll_interval_s: String,
    /// What ends some time after a day, and that day.
    pub lives: Vec<LifeView>,
}

/// One row of the carriers' table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarrierRow {
    /// The row's number in the form.
    pub number: usize,
    /// The shop's word.
    pub shop: String,
    /// The marketplace's code.
    pub code: String,
    /// Whether it has to be mended.
    pub is_wrong: bool,
}

/// A day from which something stays good so long.
#[derive(Debug)]
pub struct LifeView {
    /// The form's name.
    pub name: &'static str,
    /// The label.
    pub label: &'static str,
    /// For how many days.
    pub days: i16,
    /// The day.
    pub value: String,
}

fn credential_views(info: &ChannelInfo, fields: &Fields) -> Vec<CredentialView> {
    info.credentials
        .iter()
        .map(|credential| {
            let name = format!("{CREDENTIAL_PREFIX}{}", credential.name);
            CredentialView {
                label: credential.label,
                hint: credential.hint,
                is_secret: credential.is_secret,
                is_required: credential.is_required,
                value: fields.get(&name).cloned().unwrap_or_default(),
                remove: None,
                is_removed: false,
                name,
            }
        })
        .collect()
}

/// The credentials that were typed, or stand in the pasted file; empty ones left out.
#[must_use]
pub fn credentials(info: &ChannelInfo, fields: &Fields) -> BTreeMap<String, Secret> {
    let pasted = info.credentials_file.map(|read| read(text(fields, "pasted"))).unwrap_or_default();
    info.credentials
        .iter()
        .filter_map(|credential| {
            let typed = text(fields, &format!("{CREDENTIAL_PREFIX}{}", credential.name));
            let value = match typed {
                "" => pasted.get(credential.name).map(String::as_str)?,
                typed => typed,
            };
            Some((credential.name.to_owned(), Secret::new(value)))
        })
        .collect()
}

/// The credentials whose boxes say that they are taken away.
#[must_use]
pub fn removed_credentials(info: &ChannelInfo, fields: &Fields) -> BTreeSet<String> {
    let is_removed = |name: &str| fields.contains_key(&format!("{REMOVE_CREDENTIAL_PREFIX}{name}"));
    let names = info.credentials.iter().map(|credential| credential.name);
    names.filter(|name| is_removed(name)).map(str::to_owned).collect()
}

/// The first credential that a new connection lacks.
///
/// # Errors
/// That one.
pub fn check_complete(
    info: &ChannelInfo,
    credentials: &BTreeMap<String, Secret>,
) -> Result<(), FieldProblem> {
    match info.credentials.iter().find(|field| field.is_required && !credentials.contains_key(field.name)) {
        None => Ok(()),
        Some(missing) => Err(FieldProblem::new(
            &format!("{CREDENTIAL_PREFIX}{}", missing.name),
            format!("{} is missing. Where to find it: {}.", missing.label, missing.hint),
        )),
    }
}

/// Whether the button was pressed that leads to the platform's own page.
#[must_use]
pub fn wants_consent(info: &ChannelInfo, fields: &Fields) -> bool {
    info.consent.is_some() && fields.get("do").is_some_and(|what| what == "consent")
}

/// Whether the seller has agreed yet: a platform with a page of its own for that may be told of the app first.
#[must_use]
pub fn is_authorised(info: &ChannelInfo, credentials: &BTreeMap<String, Secret>) -> bool {
    info.consent.is_none() || credentials.contains_key("refresh_token")
}

/// The alias.
///
/// # Errors
/// Where it is empty or too long.
pub fn alias(fields: &Fields) -> Result<String, FieldProblem> {
    let alias = text(fields, "alias");
    if alias.is_empty() || alias.chars().count() > ALIAS_CHARS_MAX {
        return Err(FieldProblem::new(
            "alias",
            "Give it a name of 1 to 60 characters, as your staff will know it.",
        ));
    }
    Ok(alias.to_owned())
}

/// The base URL; none where the field is empty.
///
/// # Errors
/// Where it is no address of a server.
pub fn base_url(fields: &Fields) -> Result<Option<Url>, FieldProblem> {
    let text = text(fields, "base_url");
    if text.is_empty() {
        return Ok(None);
    }
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .map(Some)
        .ok_or_else(|| FieldProblem::new("base_url", "Enter a whole address such as https://example.com."))
}

/// A connection's present alias, base URL and settings as the form's fields. Credentials are never given back.
#[must_use]
pub fn fields_of(connection: &Connection) -> Fields {
    let usual = registry::channel(&connection.channel).and_then(|info| info.sends_after_sale);
    let settings = ConnectionSettings {
        send_cancellations: connection.settings.send_cancellations.or(usual),
        send_refunds: connection.settings.send_refunds.or(usual),
        ..connection.settings.clone()
    };
    let mut fields = settings_fields(&settings);
    fields.insert("alias".to_owned(), connection.alias.clone());
    fields.insert("base_url".to_owned(), connection.base_url.clone().unwrap_or_default());
    fields
}

/// Settings as the form's fields.
#[must_use]
pub fn settings_fields(settings: &ConnectionSettings) -> Fields {
    let (email, email_text) = match &settings.customer_email {
        CustomerEmail::None => ("none", ""),
        CustomerEmail::Keep => ("keep", ""),
        CustomerEmail::Fixed(address) => ("fixed", address.as_str()),
        CustomerEmail::OrderIdAt(domain) => ("order_id_at", domain.as_str()),
    };
    let fulfilment = match settings.export_fulfilment {
        ExportFulfilment::Seller => "seller",
        ExportFulfilment::Platform => "platform",
        ExportFulfilment::Both => "both",
    };
    let unmatched = match settings.unmatched_sku {
        UnmatchedSku::CustomLine => "custom_line",
        UnmatchedSku::Hold => "hold",
    };
    let stock = match settings.insufficient_stock {
        InsufficientStock::Wait => "wait",
        InsufficientStock::CustomLine => "custom_line",
        InsufficientStock::RaiseStock => "raise_stock",
        InsufficientStock::Hold => "hold",
    };
    let day = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
    let texts = [
        ("shop", settings.shop.map(|shop| shop.to_string()).unwrap_or_default()),
        ("export_fulfilment", fulfilment.to_owned()),
        ("unmatched_sku", unmatched.to_owned()),
        ("insufficient_stock", stock.to_owned()),
        ("customer_email", email.to_owned()),
        ("customer_email_text", email_text.to_owned()),
        ("created_status_id", settings.created_status_id.to_string()),
        ("default_carrier", settings.default_carrier.clone().unwrap_or_default()),
        ("poll_interval_s", settings.poll_interval_s.map(|seconds| seconds.to_string()).unwrap_or_default()),
        ("secret_made_on", day(settings.secret_made_on)),
        ("authorised_on", day(settings.authorised_on)),
    ];
    let boxes = [
        ("import_orders", settings.import_orders),
        ("manage_stock", settings.manage_stock),
        ("export_orders", settings.export_orders),
        ("send_cancellations", settings.send_cancellations == Some(true)),
        ("send_refunds", settings.send_refunds == Some(true)),
    ];
    let carriers = settings.carrier_map.iter().enumerate().flat_map(|(number, (shop, code))| {
        [
            (format!("{CARRIER_PREFIX}{number}"), shop.clone()),
            (format!("{CARRIER_CODE_PREFIX}{number}"), code.clone()),
        ]
    });
    texts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(
            boxes.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| (name.to_owned(), "on".to_owned())),
        )
        .chain(carriers)
        .collect()
}

/// The form after one of the buttons beside the carriers; none where another button was pressed.
#[must_use]
pub fn with_carrier_rows_changed(fields: &Fields) -> Option<Fields> {
    let mut changed = fields.clone();
    match text(fields, "do") {
        "add_carrier" => {
            let next = carrier_rows(fields).last().map_or(0, |row| row.number.saturating_add(1));
            changed.insert(format!("{CARRIER_PREFIX}{next}"), String::new());
        }
        pressed => {
            let number = pressed.strip_prefix(REMOVE_CARRIER)?;
            changed.remove(&format!("{CARRIER_PREFIX}{number}"));
            changed.remove(&format!("{CARRIER_CODE_PREFIX}{number}"));
        }
    }
    Some(changed)
}

/// The rows of the carriers' table as sent, in their order.
fn carrier_rows(fields: &Fields) -> Vec<CarrierRow> {
    let mut rows: Vec<CarrierRow> = fields
        .iter()
        .filter_map(|(name, shop)| {
            let number = name.strip_prefix(CARRIER_PREFIX)?.parse().ok()?;
            let code = text(fields, &format!("{CARRIER_CODE_PREFIX}{number}"));
            Some(CarrierRow { number, shop: shop.trim().to_owned(), code: code.to_owned(), is_wrong: false })
        })
        .collect();
    rows.sort_by_key(|row| row.number);
    rows
}

/// The rows, with an empty one to fill in.
fn shown_carriers(fields: &Fields, wrong: &str) -> Vec<CarrierRow> {
    let mut rows = carrier_rows(fields);
    let is_open = rows.iter().any(|row| row.shop.is_empty() && row.code.is_empty());
    if !is_open {
        let number = rows.last().map_or(0, |row| row.number.saturating_add(1));
        rows.push(CarrierRow { number, shop: String::new(), code: String::new(), is_wrong: false });
    }
    for row in &mut rows {
        row.is_wrong = wrong == format!("{CARRIER_PREFIX}{}", row.number);
    }
    rows
}

fn settings_view(info: &ChannelInfo, fields: &Fields, all: &[Connection], wrong: &str) -> SettingsView {
    let chosen = |name: &str| text(fields, name);
    let shop = chosen("shop");
    let shops = all
        .iter()
        .filter(|connection| registry::channel(&connection.channel).is_some_and(|info| info.is_shop))
        .map(|connection| Choice::new(connection.id.to_string(), connection.alias.clone(), shop));
    let life = |name, label, days: Option<i16>| {
        days.map(|days| LifeView { name, label, days, value: shown_text(fields, name) })
    };
    SettingsView {
        is_shop: info.is_shop,
        import_orders: fields.contains_key("import_orders"),
        manage_stock: fields.contains_key("manage_stock"),
        export_orders: fields.contains_key("export_orders"),
        send_cancellations: fields.contains_key("send_cancellations"),
        send_refunds: fields.contains_key("send_refunds"),
        has_after_sale: info.sends_after_sale.is_some(),
        title: info.title,
        shops: std::iter::once(Choice::new("", "None: only keep and report the orders", shop))
            .chain(shops)
            .collect(),
        fulfilment: choices(
            &[
                ("seller", "Orders that you ship"),
                ("platform", "Orders that the marketplace ships"),
                ("both", "Both"),
            ],
            chosen("export_fulfilment"),
        ),
        unmatched: choices(
            &[("custom_line", "Goes in as a custom line"), ("hold", "The order waits for a person")],
            chosen("unmatched_sku"),
        ),
        stock: choices(
            &[
                ("wait", "Waits and tries again by itself"),
                ("custom_line", "Goes in with custom lines"),
                ("raise_stock", "The shop's stock is raised first (needs the Store Inventory scope)"),
                ("hold", "Waits for a person"),
            ],
            chosen("insufficient_stock"),
        ),
        email: choices(
            &[
                ("none", "None (the shop mails nobody)"),
                ("keep", "The buyer’s, as the marketplace gives it"),
                ("fixed", "One fixed address"),
                ("order_id_at", "Order id @ a domain"),
            ],
            chosen("customer_email"),
        ),
        email_text: shown_text(fields, "customer_email_text"),
        created_statuses: created_statuses(chosen("created_status_id")),
        default_carrier: shown_text(fields, "default_carrier"),
        carriers: shown_carriers(fields, wrong),
        poll_interval_s: shown_text(fields, "poll_interval_s"),
        lives: [
            life("secret_made_on", "Client secret made on", info.life.secret_days),
            life("authorised_on", "Authorised on", info.life.authorisation_days),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

fn choices(all: &[(&str, &str)], chosen: &str) -> Vec<Choice> {
    all.iter().map(|(value, label)| Choice::new(*value, *label, chosen)).collect()
}

/// The statuses to choose from, and the present one where it is another.
fn created_statuses(chosen: &str) -> Vec<Choice> {
    let mut all = choices(&CREATED_STATUSES, chosen);
    if !chosen.is_empty() && all.iter().all(|choice| !choice.is_chosen) {
        all.push(Choice::new(chosen, format!("Status {chosen}"), chosen));
    }
    all
}

/// The settings that the form says, on top of `before`. `today` is the merchant's.
///
/// # Errors
/// The field to mend.
pub fn settings(
    info: &ChannelInfo,
    fields: &Fields,
    before: &ConnectionSettings,
    today: Date,
) -> Result<ConnectionSettings, FieldProblem> {
    let mut settings = before.clone();
    settings.import_orders = fields.contains_key("import_orders");
    settings.manage_stock = fields.contains_key("manage_stock");
    settings.poll_interval_s = optional_number(fields, "poll_interval_s", "Seconds between two looks")?;
    if settings.poll_interval_s.is_some_and(|seconds| !POLL_INTERVAL_S.contains(&seconds)) {
        return Err(FieldProblem::new(
            "poll_interval_s",
            "Seconds between two looks: enter 1 to 86400, or nothing for as often as the quota allows.",
        ));
    }
    if info.life.secret_days.is_some() {
        settings.secret_made_on = past_day(fields, "secret_made_on", "Client secret made on", today)?;
    }
    if info.life.authorisation_days.is_some() {
        settings.authorised_on = past_day(fields, "authorised_on", "Authorised on", today)?;
    }
    if info.is_shop {
        return Ok(settings);
    }
    settings.export_orders = fields.contains_key("export_orders");
    if info.sends_after_sale.is_some() {
        settings.send_cancellations = Some(fields.contains_key("send_cancellations"));
        settings.send_refunds = Some(fields.contains_key("send_refunds"));
    }
    settings.shop = match text(fields, "shop") {
        "" => None,
        id => Some(id.parse().map_err(|_| FieldProblem::new("shop", "Choose one of the shops."))?),
    };
    settings.export_fulfilment = match text(fields, "export_fulfilment") {
        "platform" => ExportFulfilment::Platform,
        "both" => ExportFulfilment::Both,
        _ => ExportFulfilment::Seller,
    };
    settings.unmatched_sku = match text(fields, "unmatched_sku") {
        "hold" => UnmatchedSku::Hold,
        _ => UnmatchedSku::CustomLine,
    };
    settings.insufficient_stock = match text(fields, "insufficient_stock") {
        "custom_line" => InsufficientStock::CustomLine,
        "raise_stock" => InsufficientStock::RaiseStock,
        "hold" => InsufficientStock::Hold,
        _ => InsufficientStock::Wait,
    };
    settings.customer_email = customer_email(fields)?;
    if let Some(id) = optional_number(fields, "created_status_id", "Status of created orders")? {
        settings.created_status_id = id;
    }
    settings.default_carrier =
        Some(text(fields, "default_carrier").to_owned()).filter(|text| !text.is_empty());
    settings.carrier_map = carrier_map(fields)?;
    Ok(settings)
}

/// How much history a new connection brings, and from when on its orders are work.
///
/// # Errors
/// The field to mend.
pub fn start(
    fields: &Fields,
    zone: &TimeZone,
    today: Date,
    settings: &mut ConnectionSettings,
) -> Result<(), FieldProblem> {
    let go_live = text(fields, "go_live");
    if !go_live.is_empty() {
        let moment =
            go_live.parse::<DateTime>().ok().and_then(|local| local.to_zoned(zone.clone()).ok()).ok_or_else(
                || FieldProblem::new("go_live", "Enter date and time, such as 2026-03-01T08:00."),
            )?;
        settings.go_live = Some(moment.timestamp());
    }
    settings.history = match text(fields, "history") {
        "none" => History::None,
        "7" => History::Days(7),
        "30" => History::Days(30),
        "90" => History::Days(90),
        "everything" => History::Everything,
        "date" => History::Days(days_since(text(fields, "history_from"), today)?),
        _ => History::Today,
    };
    Ok(())
}

/// The choices of history.
#[must_use]
pub fn history_choices(chosen: &str) -> Vec<Choice> {
    [
        ("today", "Today’s orders"),
        ("none", "None"),
        ("7", "The last 7 days"),
        ("30", "The last 30 days"),
        ("90", "The last 90 days"),
        ("date", "Since a date"),
        ("everything", "Everything the platform gives"),
    ]
    .into_iter()
    .map(|(value, label)| Choice::new(value, label, if chosen.is_empty() { "today" } else { chosen }))
    .collect()
}

fn days_since(text: &str, today: Date) -> Result<u16, FieldProblem> {
    text.parse::<Date>()
        .ok()
        .and_then(|from| from.until(today).ok())
        .and_then(|span| u16::try_from(span.get_days()).ok())
        .ok_or_else(|| FieldProblem::new("history_from", "Enter a past date, such as 2026-01-31."))
}

fn customer_email(fields: &Fields) -> Result<CustomerEmail, FieldProblem> {
    let given = text(fields, "customer_email_text");
    match text(fields, "customer_email") {
        "keep" => Ok(CustomerEmail::Keep),
        "fixed" if given.contains('@') => Ok(CustomerEmail::Fixed(given.to_owned())),
        "fixed" => Err(FieldProblem::new("customer_email_text", "Enter the e-mail address.")),
        "order_id_at" if given.contains('.') && !given.contains('@') => {
            Ok(CustomerEmail::OrderIdAt(given.to_owned()))
        }
        "order_id_at" => Err(FieldProblem::new("customer_email_text", "Enter a domain such as example.com.")),
        _ => Ok(CustomerEmail::None),
    }
}

/// The carriers' table. Empty rows are passed over.
fn carrier_map(fields: &Fields) -> Result<BTreeMap<String, String>, FieldProblem> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    let rows = carrier_rows(fields);
    if rows.len() > CARRIER_ROWS_MAX {
        return Err(FieldProblem::new(CARRIER_PREFIX, format!("Carriers: at most {CARRIER_ROWS_MAX} rows.")));
    }
    for row in rows.into_iter().filter(|row| !row.shop.is_empty() || !row.code.is_empty()) {
        let wrong = |message| Err(FieldProblem::new(&format!("{CARRIER_PREFIX}{}", row.number), message));
        if row.shop.is_empty() {
            return wrong(format!("Carriers: “{}” lacks the shop’s name of the carrier.", row.code));
        }
        if row.code.is_empty() {
            return wrong(format!("Carriers: “{}” lacks the marketplace’s code.", row.shop));
        }
        if row.shop.chars().count().max(row.code.chars().count()) > CARRIER_CHARS_MAX {
            return wrong(format!("Carriers: a name or code has at most {CARRIER_CHARS_MAX} characters."));
        }
        if map.keys().any(|known| known.eq_ignore_ascii_case(&row.shop)) {
            return wrong(format!("Carriers: “{}” stands there twice. Remove one of the rows.", row.shop));
        }
        map.insert(row.shop, row.code);
    }
    Ok(map)
}

fn optional_number<T: std::str::FromStr>(
    fields: &Fields,
    name: &str,
    label: &str,
) -> Result<Option<T>, FieldProblem> {
    match text(fields, name) {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| FieldProblem::new(name, format!("{label}: enter a whole number."))),
    }
}

fn past_day(fields: &Fields, name: &str, label: &str, today: Date) -> Result<Option<Date>, FieldProblem> {
    match text(fields, name) {
        "" => Ok(None),
        text => text.parse::<Date>().ok().filter(|day| *day <= today).map(Some).ok_or_else(|| {
            FieldProblem::new(
                name,
                format!("{label}: enter a day that is not in the future, such as 2026-01-31."),
            )
        }),
    }
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", |text| text.trim())
}

fn shown_text(fields: &Fields, name: &str) -> String {
    text(fields, name).to_owned()
}

#[cfg(test)]
mod tests;

//! The fields of a connection's forms: credentials as the registry names them, and settings in both directions.

use std::collections::BTreeMap;

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
}

/// The settings' fields as shown.
#[derive(Debug)]
pub struct SettingsView {
    /// True for a shop: fields about export do not apply.
    pub is_shop: bool,
    /// Orders are imported.
    pub import_orders: bool,
    /// Orders go into the shop by themselves.
    pub export_orders: bool,
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
    /// The shop's status id.
    pub created_status_id: String,
    /// The carrier where the shop names none.
    pub default_carrier: String,
    /// One `shop's name = marketplace's code` a line.
    pub carrier_map: String,
    /// Seconds between two polls.
    pub poll_interval_s: String,
}

/// The credentials' fields.
#[must_use]
pub fn credential_views(info: &ChannelInfo, fields: &Fields) -> Vec<CredentialView> {
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
                name,
            }
        })
        .collect()
}

/// True where the platform hands the credentials out as a text file, as the hints of its fields say.
#[must_use]
pub fn has_file(info: &ChannelInfo) -> bool {
    info.credentials.iter().any(|field| field.hint.contains(".txt"))
}

/// The credentials that were typed, or stand in the pasted file; empty ones left out.
#[must_use]
pub fn credentials(info: &ChannelInfo, fields: &Fields) -> BTreeMap<String, Secret> {
    let pasted = pasted(fields.get("pasted").map_or("", String::as_str));
    info.credentials
        .iter()
        .filter_map(|credential| {
            let typed =
                fields.get(&format!("{CREDENTIAL_PREFIX}{}", credential.name)).map(|text| text.trim());
            let value = typed
                .filter(|text| !text.is_empty())
                .or_else(|| pasted.get(credential.name).map(String::as_str))?;
            Some((credential.name.to_owned(), Secret::new(value)))
        })
        .collect()
}

/// Reads the file that a platform hands out: lines of `NAME: value`. A store's address gives its hash.
fn pasted(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let name = name.trim().to_lowercase().replace(' ', "_");
        let value = value.trim().to_owned();
        if let Some(hash) = value.split("/stores/").nth(1).and_then(|rest| rest.split('/').next()) {
            found.insert("store_hash".to_owned(), hash.to_owned());
        }
        found.insert(name, value);
    }
    found
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

/// The settings' fields with their present values.
#[must_use]
pub fn settings_view(is_shop: bool, settings: &ConnectionSettings, all: &[Connection]) -> SettingsView {
    let chosen = settings.shop.map(|shop| shop.to_string()).unwrap_or_default();
    let shops = all
        .iter()
        .filter(|connection| registry::channel(&connection.channel).is_some_and(|info| info.is_shop))
        .map(|connection| Choice::new(connection.id.to_string(), connection.alias.clone(), &chosen));
    let (email, email_text) = match &settings.customer_email {
        CustomerEmail::None => ("none", ""),
        CustomerEmail::Keep => ("keep", ""),
        CustomerEmail::Fixed(address) => ("fixed", address.as_str()),
        CustomerEmail::OrderIdAt(domain) => ("order_id_at", domain.as_str()),
    };
    SettingsView {
        is_shop,
        import_orders: settings.import_orders,
        export_orders: settings.export_orders,
        shops: std::iter::once(Choice::new("", "None: only keep and report the orders", &chosen))
            .chain(shops)
            .collect(),
        fulfilment: fulfilment_choices(settings.export_fulfilment),
        unmatched: unmatched_choices(settings.unmatched_sku),
        stock: stock_choices(settings.insufficient_stock),
        email: vec![
            Choice::new("none", "None (the shop mails nobody)", email),
            Choice::new("keep", "The buyer’s, as the marketplace gives it", email),
            Choice::new("fixed", "One fixed address", email),
            Choice::new("order_id_at", "Order id @ a domain", email),
        ],
        email_text: email_text.to_owned(),
        created_status_id: settings.created_status_id.to_string(),
        default_carrier: settings.default_carrier.clone().unwrap_or_default(),
        carrier_map: settings
            .carrier_map
            .iter()
            .map(|(shop, code)| format!("{shop} = {code}"))
            .collect::<Vec<_>>()
            .join("\n"),
        poll_interval_s: settings.poll_interval_s.map(|seconds| seconds.to_string()).unwrap_or_default(),
    }
}

fn fulfilment_choices(chosen: ExportFulfilment) -> Vec<Choice> {
    let chosen = match chosen {
        ExportFulfilment::Seller => "seller",
        ExportFulfilment::Platform => "platform",
        ExportFulfilment::Both => "both",
    };
    vec![
        Choice::new("seller", "Orders that you ship", chosen),
        Choice::new("platform", "Orders that the marketplace ships", chosen),
        Choice::new("both", "Both", chosen),
    ]
}

fn unmatched_choices(chosen: UnmatchedSku) -> Vec<Choice> {
    let chosen = match chosen {
        UnmatchedSku::CustomLine => "custom_line",
        UnmatchedSku::Hold => "hold",
    };
    vec![
        Choice::new("custom_line", "Goes in as a custom line", chosen),
        Choice::new("hold", "The order waits for a person", chosen),
    ]
}

fn stock_choices(chosen: InsufficientStock) -> Vec<Choice> {
    let chosen = match chosen {
        InsufficientStock::Wait => "wait",
        InsufficientStock::CustomLine => "custom_line",
        InsufficientStock::Hold => "hold",
    };
    vec![
        Choice::new("wait", "Waits and tries again by itself", chosen),
        Choice::new("custom_line", "Goes in with custom lines", chosen),
        Choice::new("hold", "Waits for a person", chosen),
    ]
}

/// The settings that the form says, on top of `before`.
///
/// # Errors
/// The field to mend.
pub fn settings(
    is_shop: bool,
    fields: &Fields,
    before: &ConnectionSettings,
) -> Result<ConnectionSettings, FieldProblem> {
    let mut settings = before.clone();
    settings.import_orders = fields.contains_key("import_orders");
    settings.poll_interval_s = optional_number(fields, "poll_interval_s")?;
    if is_shop {
        return Ok(settings);
    }
    settings.export_orders = fields.contains_key("export_orders");
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
        "hold" => InsufficientStock::Hold,
        _ => InsufficientStock::Wait,
    };
    settings.customer_email = customer_email(fields)?;
    if let Some(id) = optional_number(fields, "created_status_id")? {
        settings.created_status_id = id;
    }
    settings.default_carrier =
        Some(text(fields, "default_carrier").to_owned()).filter(|text| !text.is_empty());
    settings.carrier_map = carrier_map(text(fields, "carrier_map"))?;
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

fn carrier_map(text: &str) -> Result<BTreeMap<String, String>, FieldProblem> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| match line.split_once('=') {
            Some((shop, code)) if !shop.trim().is_empty() && !code.trim().is_empty() => {
                Ok((shop.trim().to_owned(), code.trim().to_owned()))
            }
            _ => Err(FieldProblem::new(
                "carrier_map",
                format!(
                    "“{}” is no pair: write the shop’s carrier, “=”, the marketplace’s code.",
                    line.trim()
                ),
            )),
        })
        .collect()
}

fn optional_number<T: std::str::FromStr>(fields: &Fields, name: &str) -> Result<Option<T>, FieldProblem> {
    match text(fields, name) {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| FieldProblem::new(name, "Enter a whole number.")),
    }
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", |text| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handed_out_file_gives_its_credentials() {
        let found = pasted(
            "ACCESS TOKEN: tok123\nCLIENT ID: cid\nCLIENT SECRET: sec\nNAME: Eider\nAPI PATH: \
             https://api.bigcommerce.com/stores/abc123/v3/",
        );
        assert_eq!(found["access_token"], "tok123");
        assert_eq!(found["client_id"], "cid");
        assert_eq!(found["store_hash"], "abc123");
    }

    #[test]
    fn settings_survive_their_own_form() {
        let mut fields = Fields::new();
        for (name, value) in [
            ("export_orders", "on"),
            ("shop", "3"),
            ("insufficient_stock", "hold"),
            ("customer_email", "order_id_at"),
            ("customer_email_text", "example.com"),
            ("carrier_map", "Royal Mail = ROYAL_MAIL\n\nUPS=UPS"),
            ("created_status_id", "11"),
        ] {
            fields.insert(name.to_owned(), value.to_owned());
        }
        let settings = settings(false, &fields, &ConnectionSettings::default()).unwrap();
        assert!(!settings.import_orders);
        assert_eq!(settings.carrier_map["Royal Mail"], "ROYAL_MAIL");
        let view = settings_view(false, &settings, &[]);
        assert_eq!(view.carrier_map, "Royal Mail = ROYAL_MAIL\nUPS = UPS");
        assert_eq!(view.created_status_id, "11");
        assert_eq!(view.email.iter().find(|choice| choice.is_chosen).unwrap().value, "order_id_at");
    }

    #[test]
    fn a_wrong_field_is_named() {
        let fields = Fields::from([("carrier_map".to_owned(), "UPS".to_owned())]);
        let problem = settings(false, &fields, &ConnectionSettings::default()).unwrap_err();
        assert_eq!(problem.field, "carrier_map");
    }
}

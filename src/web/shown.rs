//! How values look: money, times, states, names. One place, so that a number looks the same everywhere.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use crate::channels::registry;
use crate::domain::connection::ConnectionState;
use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::id::ChannelName;
use crate::domain::money::{Currency, Money};
use crate::domain::order::{AmountKind, ExportState, FulfilledBy, OrderStatus};
use crate::domain::reason::{Reason, ReasonCode};
use crate::domain::user::Role;

/// An amount with its currency's digits and code, thousands apart: `1,234.50 USD`.
#[must_use]
pub fn money(minor: i64, currency: &str) -> String {
    let Ok(known) = currency.parse::<Currency>() else {
        return format!("{minor} minor units of {currency}");
    };
    grouped(Money { minor, currency: known }.decimal(), currency)
}

/// A unit price: with the currency's digits, or more where it has them.
#[must_use]
pub fn price(price: Decimal, currency: &str) -> String {
    let digits = currency.parse::<Currency>().map_or(0, Currency::minor_digits);
    let mut price = price.normalize();
    if price.scale() < digits {
        price.rescale(digits);
    }
    grouped(price, currency)
}

fn grouped(amount: Decimal, currency: &str) -> String {
    let text = amount.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("−", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let mut grouped = String::with_capacity(whole.len() + whole.len() / 3);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction} {currency}"),
        None => format!("{sign}{grouped} {currency}"),
    }
}

/// A size as people say it: `12 kB`, `3.4 MB`.
#[must_use]
pub fn bytes(count: i64) -> String {
    match count {
        ..1_000 => format!("{count} bytes"),
        1_000..1_000_000 => format!("{} kB", count / 1_000),
        _ => format!("{}.{} MB", count / 1_000_000, count / 100_000 % 10),
    }
}

/// A moment in the merchant's zone: what people read, and what machines do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// `2026-03-01 14:05`.
    pub text: String,
    /// RFC 3339 in UTC.
    pub iso: String,
}

/// A moment as shown.
#[must_use]
pub fn moment(at: Timestamp, zone: &TimeZone) -> Moment {
    let text = at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
    Moment { text, iso: at.to_string() }
}

/// A platform's own word as people write it: `PARTIALLY_SHIPPED` becomes `Partially shipped`; others stay.
#[must_use]
pub fn platform_word(word: &str) -> String {
    let is_code = word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_') && word.len() > 3;
    if !is_code {
        return word.to_owned();
    }
    let text = word.replace('_', " ").to_lowercase();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What a role may do, in a few words.
#[must_use]
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Owner => "everything",
        Role::Manager => "everything but users, tokens and credentials",
        Role::Staff => "works on orders",
        Role::Warehouse => "sees orders",
        Role::Analyst => "reports and SQL, no buyers",
    }
}

/// The zone's name, for people.
#[must_use]
pub fn zone(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

/// How long, in the largest unit that says enough: `12 s`, `5 min`, `3 h`, `2 days`.
#[must_use]
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long ago, or in how long.
#[must_use]
pub fn from_now(at: Timestamp, now: Timestamp) -> String {
    let distance = at.duration_since(now);
    if distance.is_positive() { format!("in {}", span(distance)) } else { format!("{} ago", span(-distance)) }
}

/// A coloured word. The tone is a CSS class; the word alone says everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Badge {
    /// The word.
    pub text: &'static str,
    /// `calm`, `good`, `wait`, `bad`.
    pub tone: &'static str,
}

/// The word for an order's status.
#[must_use]
pub fn status(status: OrderStatus) -> Badge {
    let (text, tone) = match status {
        OrderStatus::Pending => ("Unpaid", "calm"),
        OrderStatus::Open => ("To ship", "wait"),
        OrderStatus::PartShipped => ("Part shipped", "wait"),
        OrderStatus::Shipped => ("Shipped", "good"),
        OrderStatus::Cancelled => ("Cancelled", "calm"),
    };
    Badge { text, tone }
}

/// The word for an order's state in the shop.
#[must_use]
pub fn export(state: ExportState, reason: Option<&Reason>) -> Badge {
    let (text, tone) = match state {
        ExportState::None => ("Not for the shop", "calm"),
        ExportState::Waiting if reason.is_some_and(Reason::needs_person) => ("Needs you", "bad"),
        ExportState::Waiting => ("Waiting", "wait"),
        ExportState::Creating => ("Being created", "wait"),
        ExportState::Created => ("In the shop", "good"),
        ExportState::Failed => ("Failed", "bad"),
    };
    Badge { text, tone }
}

/// The word for a connection's state.
#[must_use]
pub fn connection_state(state: ConnectionState) -> Badge {
    let (text, tone) = match state {
        ConnectionState::Active => ("Active", "good"),
        ConnectionState::Paused => ("Paused", "calm"),
        ConnectionState::NeedsReauthorisation => ("Needs re-authorisation", "bad"),
        ConnectionState::Failing => ("Failing", "bad"),
    };
    Badge { text, tone }
}

/// A state in the shop as a filter names it.
#[must_use]
pub fn export_state(state: ExportState) -> &'static str {
    match state {
        ExportState::None => "Not for the shop",
        ExportState::Waiting => "Waiting",
        ExportState::Creating => "Being created",
        ExportState::Created => "In the shop",
        ExportState::Failed => "Failed",
    }
}

/// A reason as a filter names it.
#[must_use]
pub fn reason(code: ReasonCode) -> &'static str {
    match code {
        ReasonCode::Unpaid => "Unpaid",
        ReasonCode::ExportOff => "Export off",
        ReasonCode::PlatformFulfilled => "Shipped by the marketplace",
        ReasonCode::Cancelled => "Cancelled before export",
        ReasonCode::UnmatchedSku => "SKU unknown in the shop",
        ReasonCode::OutOfStock => "Too little stock",
        ReasonCode::QuantityLimit => "Quantity limit",
        ReasonCode::CurrencyDiffers => "Other currency",
        ReasonCode::TotalMismatch => "Amounts do not add up",
        ReasonCode::AddressMissing => "No usable address",
        ReasonCode::ShopUnavailable => "Shop unavailable",
        ReasonCode::MarketplaceUnavailable => "Marketplace unavailable",
        ReasonCode::ShopRejected => "Refused by the shop",
        ReasonCode::InDoubt => "In doubt",
        ReasonCode::Restored => "After a restore",
        ReasonCode::DuplicateInShop => "Duplicate in the shop",
        ReasonCode::ShopTotalDiffers => "Shop total differs",
        ReasonCode::TrackingMissing => "Tracking missing",
        ReasonCode::TrackingChanged => "Tracking changed",
        ReasonCode::CarrierMissing => "Carrier missing",
        ReasonCode::LinesUnknown => "Lines unknown",
        ReasonCode::MarketplaceRejected => "Refused by the marketplace",
        ReasonCode::CustomisationMissing => "Design missing",
        ReasonCode::Retrying => "Retrying",
        ReasonCode::AnswerLost => "Answer lost",
        ReasonCode::Undecided => "Marketplace undecided",
        ReasonCode::CancellationRefused => "Cancellation refused",
        ReasonCode::RefundRefused => "Refund refused",
        ReasonCode::RefundInDoubt => "Refund in doubt",
        ReasonCode::RefundNotLaid => "Refund does not fit",
        ReasonCode::RefundUnreadable => "Refund unreadable",
    }
}

/// What an amount is for.
#[must_use]
pub fn amount(kind: AmountKind) -> &'static str {
    match kind {
        AmountKind::Item => "Goods",
        AmountKind::ItemTax => "Tax on goods",
        AmountKind::Shipping => "Shipping",
        AmountKind::ShippingTax => "Tax on shipping",
        AmountKind::GiftWrap => "Gift wrap",
        AmountKind::GiftWrapTax => "Tax on gift wrap",
        AmountKind::SellerDiscount => "Your discount",
        AmountKind::PlatformDiscount => "Marketplace discount",
        AmountKind::ShippingDiscount => "Discount on shipping",
        AmountKind::Other => "Other charges",
        AmountKind::WithheldTax => "Of it, tax that the marketplace pays over",
        AmountKind::Fee => "Marketplace fee, not part of the total",
    }
}

/// Work owed, as a person would say it.
#[must_use]
pub fn effect(kind: EffectKind) -> &'static str {
    match kind {
        EffectKind::CreateShopOrder => "Create the order in the shop",
        EffectKind::CancelShopOrder => "Cancel the order in the shop",
        EffectKind::ShipShopOrder => "Tell the shop of a parcel",
        EffectKind::ConfirmShipment => "Tell the marketplace of a parcel",
        EffectKind::ReadShopShipments => "Read the shop's shipments",
        EffectKind::ReadShopAfterSale => "Read what the shop cancelled or refunded",
        EffectKind::CancelOrder => "Ask the marketplace to cancel the order",
        EffectKind::RefundOrder => "Ask the marketplace to refund",
        EffectKind::RefreshOrder => "Fetch the order from the marketplace again",
        EffectKind::KeepCustomisation => "Fetch what the buyer designed",
    }
}

/// The reading that brought a payload, by the name of its stream.
#[must_use]
pub fn reading(operation: Option<&str>) -> &'static str {
    match operation {
        Some("orders" | "shop_orders") => "A look at changed orders",
        Some("reconciliation") => "The comparison of a day",
        Some("replay") => "A time read again",
        Some("order") => "The order, fetched alone",
        Some(_) | None => "Not recorded",
    }
}

/// Where open work stands.
#[must_use]
pub fn effect_state(state: EffectState) -> Badge {
    let (text, tone) = match state {
        EffectState::Due => ("Due", "wait"),
        EffectState::Called => ("Under way", "wait"),
        EffectState::InDoubt => ("In doubt", "wait"),
        EffectState::Held => ("Held", "bad"),
    };
    Badge { text, tone }
}

/// Who ships an order of this channel.
#[must_use]
pub fn shipper(by: FulfilledBy, name: &ChannelName) -> String {
    match by {
        FulfilledBy::Seller => "by you".to_owned(),
        FulfilledBy::Platform => format!("by {}, from its own warehouse", channel(name).0),
    }
}

/// A channel's title for people, and the letter of its mark.
#[must_use]
pub fn channel(name: &ChannelName) -> (String, String) {
    let title =
        registry::channel(name).map_or_else(|| name.as_str().to_owned(), |info| info.title.to_owned());
    let letter = title.chars().next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    (title, letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_its_currencys_digits() {
        assert_eq!(money(123_456, "USD"), "1,234.56 USD");
        assert_eq!(money(-5, "EUR"), "−0.05 EUR");
        assert_eq!(money(1_234_567, "JPY"), "1,234,567 JPY");
        assert_eq!(money(1_500, "KWD"), "1.500 KWD");
        assert_eq!(money(999, "USD"), "9.99 USD");
        let price = |text: &str, currency| price(text.parse().unwrap(), currency);
        assert_eq!(price("83.5", "USD"), "83.50 USD");
        assert_eq!(price("1083.1250", "USD"), "1,083.125 USD");
        assert_eq!(price("83.0", "JPY"), "83 JPY");
    }

    #[test]
    fn a_platforms_code_is_shown_as_words() {
        let cases = [
            ("PARTIALLY_SHIPPED", "Partially shipped"),
            ("UPS", "UPS"),
            ("Std US D2D", "Std US D2D"),
            ("", ""),
        ];
        for (code, words) in cases {
            assert_eq!(platform_word(code), words);
        }
    }

    #[test]
    fn a_moment_is_shown_in_the_merchants_zone() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let at: Timestamp = "2026-03-01T02:05:00Z".parse().unwrap();
        assert_eq!(moment(at, &zone).text, "2026-02-28 21:05");
    }
}

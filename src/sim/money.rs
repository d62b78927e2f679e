//! Amounts as the simulated platforms write them: integers inside, decimal text outside, never a float.

use rust_decimal::Decimal;
use serde_json::Value;

/// Cents as Amazon writes them: `1999` is `"19.99"`.
pub fn two_decimals(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let size = cents.unsigned_abs();
    format!("{sign}{}.{:02}", size / 100, size % 100)
}

/// Ten-thousandths as BigCommerce's V2 writes them: `199900` is `"19.9900"`.
pub fn four_decimals(amount: i64) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let size = amount.unsigned_abs();
    format!("{sign}{}.{:04}", size / 10_000, size % 10_000)
}

/// Cents as a bare JSON number, as BigCommerce's V3 writes prices.
pub fn json_number(cents: i64) -> Value {
    serde_json::from_str(&two_decimals(cents)).unwrap_or(Value::Null)
}

/// Ten-thousandths from a JSON number or text; nothing where it is no amount.
pub fn parse_four_decimals(value: &Value) -> Option<i64> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let decimal = text.parse::<Decimal>().or_else(|_| Decimal::from_scientific(&text)).ok()?;
    let scaled = decimal.checked_mul(Decimal::from(10_000))?.round();
    i64::try_from(scaled).ok()
}

/// `rate_per_ten_thousand` of `amount`, rounded half up; for amounts that are not negative.
pub fn share(amount: i64, rate_per_ten_thousand: i64) -> i64 {
    amount.saturating_mul(rate_per_ten_thousand).saturating_add(5_000) / 10_000
}

/// Ten-thousandths rounded half up to whole cents; for amounts that are not negative.
pub const fn whole_cents(amount: i64) -> i64 {
    amount.saturating_add(50) / 100 * 100
}

//! Money: whole minor units and an ISO 4217 code. Never a float.
//!
//! Amounts as charged are [`Money`]; unit prices and rates are [`Decimal`], derived only.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An ISO 4217 currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The three-letter code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many digits follow the point: 2 for USD, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn minor_digits(self) -> u32 {
        u32::from(self.0.exponent().unwrap_or(0))
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        iso_currency::Currency::from_code(code)
            .map(Self)
            .ok_or_else(|| MoneyError::UnknownCurrency(code.to_owned()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        code.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text or a sum is no amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Not a code of ISO 4217.
    #[error("“{0}” is not an ISO 4217 currency code")]
    UnknownCurrency(String),
    /// Not a decimal number.
    #[error("“{0}” is not a decimal number")]
    NotANumber(String),
    /// More digits than the currency has, and they are not zeros.
    #[error("{0} has a fraction of the smallest unit of {1}")]
    FractionOfMinorUnit(Decimal, Currency),
    /// Beyond 64 bits of minor units.
    #[error("the amount is too large to hold")]
    Overflow,
}

/// An amount as charged: `minor` units (cents, pence, yen) of `currency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Whole minor units; negative for what is taken off.
    pub minor: i64,
    /// What they are units of.
    pub currency: Currency,
}

impl Money {
    /// Reads a platform's decimal text, such as `"62.6793"`. Digits beyond the currency's smallest unit must
    /// be zeros: what was charged is whole.
    ///
    /// # Errors
    /// Where the text is no number, has a fraction of a minor unit, or does not fit.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        Ok(Self { minor: minor_exact(parse_decimal(text)?, currency)?, currency })
    }

    /// The amount as a decimal number of major units.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        decimal_of_minor(self.minor, self.currency)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

/// Reads a decimal number.
///
/// # Errors
/// Where the text is none.
pub fn parse_decimal(text: &str) -> Result<Decimal, MoneyError> {
    let trimmed = text.trim();
    Decimal::from_str_exact(trimmed).map_err(|_| MoneyError::NotANumber(trimmed.to_owned()))
}

/// Minor units of an amount that must be whole.
///
/// # Errors
/// Where it has a fraction of a minor unit, or does not fit.
pub fn minor_exact(amount: Decimal, currency: Currency) -> Result<i64, MoneyError> {
    let minor = amount.checked_mul(scale(currency)).ok_or(MoneyError::Overflow)?.normalize();
    if minor.scale() != 0 {
        return Err(MoneyError::FractionOfMinorUnit(amount, currency));
    }
    i64::try_from(minor.mantissa()).map_err(|_| MoneyError::Overflow)
}

/// Minor units of an amount that may have a fraction: rounded half to even. For derived figures only.
///
/// # Errors
/// Where it does not fit.
pub fn minor_rounded(amount: Decimal, currency: Currency) -> Result<i64, MoneyError> {
    let minor = amount.checked_mul(scale(currency)).ok_or(MoneyError::Overflow)?.round().normalize();
    i64::try_from(minor.mantissa()).map_err(|_| MoneyError::Overflow)
}

/// Major units of `minor`.
#[must_use]
pub fn decimal_of_minor(minor: i64, currency: Currency) -> Decimal {
    Decimal::new(minor, currency.minor_digits())
}

/// The sum, or an error where it does not fit.
///
/// # Errors
/// Beyond 64 bits.
pub fn sum(amounts: impl IntoIterator<Item = i64>) -> Result<i64, MoneyError> {
    amounts.into_iter().try_fold(0i64, |total, next| total.checked_add(next).ok_or(MoneyError::Overflow))
}

/// Splits `total` over `weights` so that the parts sum to it exactly; what rounding leaves goes to the parts
/// with the largest remainders, the first ones first. With no weight at all the first part takes everything.
///
/// # Errors
/// Where a product does not fit.
pub fn allocate(total: i64, weights: &[i64]) -> Result<Vec<i64>, MoneyError> {
    if weights.is_empty() {
        return Ok(Vec::new());
    }
    let weight_sum: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    if weight_sum == 0 {
        return Ok(std::iter::once(total).chain(std::iter::repeat(0)).take(weights.len()).collect());
    }
    let mut parts = Vec::with_capacity(weights.len());
    for (index, weight) in weights.iter().enumerate() {
        let product = i128::from(total).checked_mul(i128::from(*weight)).ok_or(MoneyError::Overflow)?;
        parts.push((index, product.div_euclid(weight_sum), product.rem_euclid(weight_sum)));
    }
    let given: i128 = parts.iter().map(|(_, whole, _)| whole).sum();
    let mut left = i128::from(total) - given;
    parts.sort_by_key(|(index, _, remainder)| (-*remainder, *index));
    for (_, whole, _) in &mut parts {
        if left <= 0 {
            break;
        }
        *whole += 1;
        left -= 1;
    }
    parts.sort_by_key(|(index, _, _)| *index);
    parts.into_iter().map(|(_, whole, _)| i64::try_from(whole).map_err(|_| MoneyError::Overflow)).collect()
}

fn scale(currency: Currency) -> Decimal {
    Decimal::from(10u64.saturating_pow(currency.minor_digits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    #[test]
    fn trailing_zeros_are_no_fraction() {
        assert_eq!(Money::parse("12.3400", usd()).unwrap().minor, 1234);
        assert_eq!(
            Money::parse("62.6793", usd()),
            Err(MoneyError::FractionOfMinorUnit(Decimal::new(626_793, 4), usd()))
        );
        assert_eq!(Money::parse("500", "JPY".parse().unwrap()).unwrap().minor, 500);
        assert!(Money::parse("1e3", usd()).is_err());
        assert!(Money::parse("", usd()).is_err());
    }

    #[test]
    fn parts_sum_to_the_whole() {
        assert_eq!(allocate(100, &[1, 1, 1]).unwrap(), [34, 33, 33]);
        assert_eq!(allocate(-100, &[1, 1, 1]).unwrap().iter().sum::<i64>(), -100);
        assert_eq!(allocate(7, &[0, 0]).unwrap(), [7, 0]);
        assert_eq!(allocate(5, &[]).unwrap(), Vec::<i64>::new());
    }

    #[test]
    fn amounts_print_with_the_digits_of_their_currency() {
        assert_eq!(Money { minor: 1200, currency: usd() }.to_string(), "12.00 USD");
        assert_eq!(Money { minor: 5, currency: "KWD".parse().unwrap() }.to_string(), "0.005 KWD");
    }
}

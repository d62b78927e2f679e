//! A receipt's refunds.
//!
//! Etsy names neither an id nor lines. Its `status` has no list of words: what one of them clearly calls undone or
//! unfinished does not count, everything else does. Its amounts are with all tax, as its totals are.

use std::collections::HashMap;

use super::super::super::error::Unreadable;
use super::super::wire;
use super::{decimal, instant, unreadable};
use crate::domain::money::{Currency, minor_exact};
use crate::domain::order::LineFacts;
use crate::domain::refund::{GivenBack, MarketplaceRefund, RefundedLine};

/// Words of a refund that did not go back.
const UNDONE: [&str; 6] = ["fail", "cancel", "declin", "reject", "error", "void"];
/// Words of a refund that Etsy is still at.
const UNDER_WAY: [&str; 3] = ["pending", "processing", "submitted"];

/// What went back, and whether more is under way.
///
/// # Errors
/// Where an amount is no money.
pub fn read(
    receipt: &wire::Receipt,
    currency: Currency,
    lines: &[LineFacts],
) -> Result<GivenBack, Unreadable> {
    let mut given_back = GivenBack::default();
    let mut of_second: HashMap<Option<i64>, usize> = HashMap::new();
    for refund in &receipt.refunds {
        // Counted over all, so that one that fails leaves the others their ids.
        let number = of_second.entry(refund.created_timestamp).or_default();
        *number += 1;
        let word = refund.status.as_deref().unwrap_or_default().to_lowercase();
        let says = |words: &[&str]| words.iter().any(|part| word.contains(part));
        if says(&UNDONE) {
            continue;
        }
        if says(&UNDER_WAY) {
            given_back.is_more_under_way = true;
            continue;
        }
        let (currency, minor) = amount(refund, currency)?;
        if minor < 1 {
            continue;
        }
        // The receipt of one line is the line's.
        let line = |line: &LineFacts| RefundedLine { external_line_id: line.external_id.clone(), minor };
        given_back.refunds.push(MarketplaceRefund {
            refund_id: match refund.created_timestamp {
                Some(second) => format!("{second}-{number}"),
                None => format!("refund {number}"),
            },
            refunded_at: instant("refunds[].created_timestamp", refund.created_timestamp)?,
            currency,
            told_minor: minor,
            total_minor: minor,
            lines: if let [only] = lines { vec![line(only)] } else { Vec::new() },
        });
    }
    given_back
        .refunds
        .sort_by(|one, other| (one.refunded_at, &one.refund_id).cmp(&(other.refunded_at, &other.refund_id)));
    Ok(given_back)
}

/// Its amount in minor units of its own currency, which is the receipt's where Etsy names none.
fn amount(refund: &wire::Refund, currency: Currency) -> Result<(Currency, i64), Unreadable> {
    let place = "refunds[].amount";
    let Some(money) = &refund.amount else { return Ok((currency, 0)) };
    let currency = match money.currency_code.as_deref() {
        Some(code) => code.parse::<Currency>().map_err(|error| unreadable(place, error))?,
        None => currency,
    };
    let amount = decimal(money, place)?.unwrap_or_default();
    Ok((currency, minor_exact(amount, currency).map_err(|error| unreadable(place, error))?))
}

//! What is said of a marketplace's refunds, and what is not since we asked for it.

use super::*;
use crate::domain::money::Currency;

fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn refund(id: &str, minor: i64) -> MarketplaceRefund {
    MarketplaceRefund {
        refund_id: id.to_owned(),
        refunded_at: Some(at(10)),
        currency: currency("EUR"),
        told_minor: minor,
        total_minor: minor,
        lines: Vec::new(),
    }
}

fn ours(id: &str, marketplace_refund_id: Option<&str>, minor: i64) -> PassedOn {
    PassedOn {
        shop_refund_id: id.to_owned(),
        marketplace_refund_id: marketplace_refund_id.map(str::to_owned),
        sent_minor: minor,
        total_minor: minor + 40,
    }
}

fn plan(
    held: &[HeldMarketplaceRefund],
    listed: &[MarketplaceRefund],
    passed_on: &[PassedOn],
) -> Option<GivenBackPlan> {
    plan_given_back(("Etsy", currency("EUR")), held, listed, passed_on, at(100))
}

fn texts(plan: &GivenBackPlan) -> Vec<&str> {
    plan.events.iter().map(|event| event.text.as_str()).collect()
}

#[test]
fn a_new_refund_is_said_once() {
    let first = plan(&[], &[refund("1", 500)], &[]).unwrap();
    assert_eq!(texts(&first), ["Etsy gave 5.00 EUR back."]);
    assert_eq!((first.held.len(), first.held[0].seen_at), (1, at(100)));
    assert_eq!(plan(&first.held, &[refund("1", 500)], &[]), None);
    // Pages that shift while they are read list it twice.
    let twice = plan(&first.held, &[refund("1", 500), refund("2", 100), refund("2", 100)], &[]).unwrap();
    assert_eq!((texts(&twice), twice.held.len()), (vec!["Etsy gave 1.00 EUR back."], 2));
}

#[test]
fn tax_and_another_currency_are_named() {
    let taxed = MarketplaceRefund { total_minor: 540, ..refund("1", 500) };
    let said = plan(&[], &[taxed], &[]).unwrap();
    assert_eq!(texts(&said), ["Etsy gave 5.00 EUR back, and 0.40 EUR of the tax that it keeps."]);
    let foreign = MarketplaceRefund { currency: currency("GBP"), ..refund("1", 500) };
    let said = plan(&[], &[foreign], &[]).unwrap();
    assert_eq!(
        texts(&said),
        ["Etsy gave 5.00 GBP back. It counts in none of the order's sums, which are in EUR."]
    );
}

#[test]
fn what_we_asked_for_or_know_by_hand_is_not_said() {
    let by_id = plan(&[], &[refund("7", 500)], &[ours("S1", Some("7"), 500)]).unwrap();
    assert_eq!((texts(&by_id), by_id.held[0].shop_refund_id.as_deref()), (Vec::new(), Some("S1")));
    // Settled by hand, or asked for without an answer: by its amount, with or without tax, and each of ours once.
    for minor in [500, 540] {
        let by_amount = plan(&[], &[refund("8", minor)], &[ours("S1", None, 500)]).unwrap();
        assert_eq!(
            (texts(&by_amount), by_amount.held[0].shop_refund_id.as_deref()),
            (Vec::new(), Some("S1"))
        );
        let second = plan(&by_amount.held, &[refund("8", minor), refund("9", 500)], &[ours("S1", None, 500)]);
        let second = second.unwrap();
        assert_eq!(texts(&second), ["Etsy gave 5.00 EUR back."]);
        assert_eq!(second.held[0].shop_refund_id.as_deref(), Some("S1"));
    }
    let other = plan(&[], &[refund("9", 300)], &[ours("S1", None, 500)]).unwrap();
    assert_eq!(texts(&other), ["Etsy gave 3.00 EUR back."]);
}

#[test]
fn a_refund_that_was_taken_for_ours_is_said_once_ours_is_known() {
    let guessed = plan(&[], &[refund("8", 500)], &[ours("S1", None, 500)]).unwrap();
    let known = plan(&guessed.held, &[refund("8", 500), refund("9", 500)], &[ours("S1", Some("9"), 500)]);
    let known = known.unwrap();
    assert_eq!(texts(&known), ["Etsy gave 5.00 EUR back."]);
    let claims: Vec<Option<&str>> = known.held.iter().map(|held| held.shop_refund_id.as_deref()).collect();
    assert_eq!(claims, [None, Some("S1")]);
}

#[test]
fn what_changes_or_vanishes_is_taken_over_and_said() {
    let held = plan(&[], &[refund("1", 500), refund("2", 100)], &[]).unwrap().held;
    let changed = plan(&held, &[refund("1", 600)], &[]).unwrap();
    assert_eq!(
        texts(&changed),
        [
            "Etsy now says that 6.00 EUR went back instead of 5.00 EUR.",
            "Etsy no longer says that 1.00 EUR went back."
        ]
    );
    assert_eq!((changed.held.len(), changed.held[0].refund.total_minor), (1, 600));
    assert_eq!(changed.held[0].seen_at, at(100));
}

//! What counts as refunded, and tax that a marketplace gives back by itself.

use super::*;

fn usd() -> Currency {
    "USD".parse().unwrap()
}

fn line(id: &str) -> LineFacts {
    LineFacts {
        external_id: id.to_owned(),
        sku: None,
        product_id: None,
        title: id.to_owned(),
        quantity: 1,
        quantity_shipped: 0,
        quantity_cancelled: 0,
        unit_price: None,
        options: None,
    }
}

/// Two lines: 10.80 of which the marketplace withheld 0.80, and 20.00 without tax.
fn amounts() -> Vec<Amount> {
    let amount = |line, kind, minor| Amount { line: Some(line), kind, minor };
    vec![
        amount(0, AmountKind::Item, 1_000),
        amount(0, AmountKind::ItemTax, 80),
        amount(0, AmountKind::WithheldTax, 80),
        amount(1, AmountKind::Item, 2_000),
    ]
}

fn refund(id: &str, told_minor: i64, lines: &[(&str, i64)]) -> MarketplaceRefund {
    MarketplaceRefund {
        refund_id: id.to_owned(),
        refunded_at: None,
        currency: usd(),
        told_minor,
        total_minor: told_minor,
        lines: lines
            .iter()
            .map(|(id, minor)| RefundedLine { external_line_id: (*id).to_owned(), minor: *minor })
            .collect(),
    }
}

fn with_tax(mut refunds: Vec<MarketplaceRefund>) -> Vec<(i64, Vec<i64>)> {
    add_withheld_tax(&mut refunds, usd(), &[line("A"), line("B")], &amounts()).unwrap();
    let row = |refund: MarketplaceRefund| {
        (refund.total_minor, refund.lines.into_iter().map(|line| line.minor).collect())
    };
    refunds.into_iter().map(row).collect()
}

#[test]
fn a_refund_that_stands_on_both_sides_counts_once() {
    assert_eq!(
        (counted(500, 500), counted(500, 0), counted(0, 500), counted(200, 500)),
        (500, 500, 500, 500)
    );
}

#[test]
fn what_the_buyer_gets_is_the_least_that_makes_what_the_seller_gives() {
    for (item, withheld) in [(1_080, 80), (1_000, 0), (997, 166), (3, 1), (1, 0)] {
        let paid = Paid { item, shipping: 0, withheld };
        for minor in 0..=item {
            let sellers = paid.sellers(minor);
            let buyers = paid.buyers(sellers);
            assert!(buyers <= minor, "{paid:?}: {minor} was passed on and came back as {buyers}");
            assert_eq!(paid.sellers(buyers), sellers, "{paid:?} {minor}");
        }
        assert_eq!(paid.buyers(item - withheld), item, "all of it is all of it");
        assert_eq!(paid.buyers(item - withheld + 5), item + 5, "what is more than was paid is no tax");
    }
    assert_eq!(Paid::default().buyers(7), 7);
}

#[test]
fn tax_that_is_withheld_is_added_line_by_line() {
    assert_eq!(with_tax(vec![refund("1", 500, &[("A", 500)])]), [(540, vec![540])]);
    assert_eq!(with_tax(vec![refund("1", 500, &[("B", 500)])]), [(500, vec![500])], "its line has no tax");
    let both = refund("1", 3_000, &[("A", 1_000), ("B", 2_000)]);
    assert_eq!(with_tax(vec![both]), [(3_080, vec![1_080, 2_000])]);
}

#[test]
fn several_refunds_make_the_whole_to_the_minor_unit() {
    let thirds = vec![
        refund("1", 333, &[("A", 333)]),
        refund("2", 333, &[("A", 333)]),
        // Of the whole order: what is left of both lines.
        refund("3", 2_334, &[]),
    ];
    let totals: Vec<i64> = with_tax(thirds).into_iter().map(|(total, _)| total).collect();
    assert_eq!(totals.iter().sum::<i64>(), 3_080, "{totals:?}");
    assert_eq!(with_tax(vec![refund("1", 3_000, &[])])[0].0, 3_080);
    assert_eq!(with_tax(vec![refund("1", 3_100, &[])])[0].0, 3_180, "more than was paid");
    assert_eq!(with_tax(vec![refund("1", 100, &[("unknown", 100)])])[0].0, 103, "spread over what is left");
}

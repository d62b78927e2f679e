//! Shop orders are right to the minor unit, or are not built at all.

use std::collections::HashMap;

use jiff::Timestamp;

use super::*;
use crate::domain::customer::Buyer;
use crate::domain::order::{Amount, LineFacts, Origin};

fn line(id: &str, sku: &str, quantity: i64) -> LineFacts {
    LineFacts {
        external_id: id.to_owned(),
        sku: Some(sku.to_owned()),
        product_id: None,
        title: format!("Title of {sku}"),
        quantity,
        quantity_shipped: 0,
        quantity_cancelled: 0,
        unit_price: None,
        options: None,
    }
}

fn amount(line: Option<usize>, kind: AmountKind, minor: i64) -> Amount {
    Amount { line, kind, minor }
}

/// Three units for 10.00 + 0.83 tax with 1.01 off, shipping 5.00 − 5.00 + 0.00, gift wrap 2.50.
fn order() -> OrderFacts {
    let amounts = vec![
        amount(Some(0), AmountKind::Item, 1000),
        amount(Some(0), AmountKind::ItemTax, 83),
        amount(Some(0), AmountKind::SellerDiscount, -101),
        amount(Some(0), AmountKind::Shipping, 500),
        amount(Some(0), AmountKind::ShippingDiscount, -500),
        amount(Some(0), AmountKind::GiftWrap, 250),
        amount(Some(0), AmountKind::WithheldTax, 83),
    ];
    OrderFacts {
        external_id: "111-1".to_owned(),
        placed_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        status: OrderStatus::Open,
        is_paid: true,
        fulfilled_by: FulfilledBy::Seller,
        currency: "USD".parse().unwrap(),
        total_minor: 1000 + 83 - 101 + 250,
        lines: vec![line("l1", "Mug-1", 3)],
        amounts,
        shipments: None,
        people: Some(People {
            buyer: Buyer { email: Some("relay@example.com".to_owned()), ..Buyer::default() },
            ship_to: Some(Address {
                street: vec!["1 Way".to_owned()],
                city: Some("Austin".to_owned()),
                country: Some("US".to_owned()),
                ..Address::default()
            }),
            ..People::default()
        }),
        shipping_method: Some("STANDARD".to_owned()),
        payment_method: None,
        site: None,
        ship_by: None,
        deliver_by: None,
        origin: Origin::default(),
        platform_status: "UNSHIPPED".to_owned(),
        cancel_request: None,
        customised_lines: Vec::new(),
        refunds: None,
    }
}

fn build_with(facts: &OrderFacts, settings: &ConnectionSettings) -> Result<ShopOrderDraft, Reason> {
    let variant =
        ShopVariant { product_id: "7".to_owned(), variant_id: "70".to_owned(), sku: "mug-1".to_owned() };
    shop_order(
        facts,
        &DraftContext {
            settings,
            alias: "Amazon US",
            source: ExternalSource {
                channel: "amazon".into(),
                account: "A1".to_owned(),
                installation: "i-1".to_owned(),
            },
            variants: &HashMap::from([("mug-1".to_owned(), variant)]),
            shop_currency: Some("USD"),
            custom_lines_only: false,
        },
    )
}

fn build(facts: &OrderFacts) -> Result<ShopOrderDraft, Reason> {
    build_with(facts, &ConnectionSettings::default())
}

fn code(result: Result<ShopOrderDraft, Reason>) -> ReasonCode {
    result.unwrap_err().code
}

#[test]
fn the_parts_of_a_draft_sum_to_what_the_buyer_paid() {
    let draft = build(&order()).unwrap();
    let parts = draft.subtotal.inc_tax_minor
        + draft.shipping.inc_tax_minor
        + draft.wrapping.inc_tax_minor
        + draft.handling.inc_tax_minor
        - draft.discount_minor;
    assert_eq!(parts, 1232);
    assert_eq!(draft.total, ExInc { ex_tax_minor: 1149, inc_tax_minor: 1232 });
    assert_eq!(draft.shipping, ExInc { ex_tax_minor: 0, inc_tax_minor: 0 });
    let line = &draft.lines[0];
    assert_eq!((line.total_ex_tax_minor, line.total_inc_tax_minor), (899, 982));
    assert_eq!(line.unit_price_ex_tax.to_string(), "2.9967");
    assert_eq!(line.variant.as_ref().map(|variant| variant.variant_id.as_str()), Some("70"));
}

#[test]
fn a_discount_above_its_line_stays_a_discount_of_the_order() {
    let mut facts = order();
    facts.amounts[2].minor = -1050;
    facts.total_minor = 1000 + 83 - 1050 + 250;
    let draft = build(&facts).unwrap();
    assert_eq!(draft.discount_minor, 1050);
    assert_eq!(draft.subtotal.ex_tax_minor, 1000);
    assert_eq!(draft.total.inc_tax_minor, 283);
}

#[test]
fn amounts_that_do_not_sum_hold_the_order() {
    let mut facts = order();
    facts.total_minor += 1;
    let reason = build(&facts).unwrap_err();
    assert_eq!(reason.code, ReasonCode::TotalMismatch);
    assert_eq!(reason.detail.as_deref(), Some("the parts sum to 12.32 USD, the total is 12.33 USD"));
}

#[test]
fn what_cannot_be_sent_says_why() {
    let mut euro = order();
    euro.currency = "EUR".parse().unwrap();
    assert_eq!(code(build(&euro)), ReasonCode::CurrencyDiffers);

    let mut nowhere = order();
    nowhere.people = Some(People::default());
    assert_eq!(code(build(&nowhere)), ReasonCode::AddressMissing);

    let mut unknown = order();
    unknown.lines[0].sku = Some("OTHER".to_owned());
    let hold = ConnectionSettings { unmatched_sku: UnmatchedSku::Hold, ..ConnectionSettings::default() };
    assert_eq!(code(build_with(&unknown, &hold)), ReasonCode::UnmatchedSku);
    assert_eq!(build(&unknown).unwrap().lines[0].variant, None);
}

#[test]
fn what_the_platform_ships_never_touches_the_shops_stock() {
    let mut facts = order();
    facts.fulfilled_by = FulfilledBy::Platform;
    let ship_to = facts.people.as_mut().unwrap().ship_to.as_mut().unwrap();
    ship_to.street.clear();
    assert_eq!(build(&facts).unwrap().ship_to.street, ["Shipped by Amazon US"]);
    assert_eq!(build(&facts).unwrap().lines[0].variant, None);
}

#[test]
fn the_shop_mails_nobody_by_mistake() {
    let with = |customer_email| {
        let settings = ConnectionSettings { customer_email, ..ConnectionSettings::default() };
        build_with(&order(), &settings).unwrap().email
    };
    assert_eq!(with(CustomerEmail::None), None);
    assert_eq!(with(CustomerEmail::Keep).as_deref(), Some("relay@example.com"));
    assert_eq!(with(CustomerEmail::OrderIdAt("x.example".to_owned())).as_deref(), Some("111-1@x.example"));
}

#[test]
fn the_source_survives_a_reinstall() {
    let ours: ExternalSource = "eider:amazon:A1:i-1".parse().unwrap();
    let before: ExternalSource = "eider:amazon:A1:i-0".parse().unwrap();
    let other: ExternalSource = "eider:amazon:A2:i-1".parse().unwrap();
    assert_eq!(ours.to_string(), "eider:amazon:A1:i-1");
    assert!(ours.is_same_account(&before));
    assert!(!ours.is_same_account(&other));
    assert!("M-MIG".parse::<ExternalSource>().is_err());
    assert!("eider:amazon".parse::<ExternalSource>().is_err());
}

//! What of an order in the shop counts as changed, and what does not.

use jiff::Timestamp;

use super::*;
use crate::domain::customer::Address;
use crate::domain::id::OrderNo;
use crate::domain::order::Origin;
use crate::domain::refund::{GivenBack, MarketplaceRefund};

fn line(id: &str, quantity: i64, quantity_cancelled: i64) -> LineFacts {
    LineFacts {
        external_id: id.to_owned(),
        sku: Some(format!("SKU-{id}")),
        product_id: None,
        title: id.to_owned(),
        quantity,
        quantity_shipped: 0,
        quantity_cancelled,
        unit_price: None,
        options: None,
    }
}

fn people(street: &str) -> People {
    People {
        ship_to: Some(Address {
            name: Some("Ada Lovelace".to_owned()),
            street: vec![street.to_owned()],
            city: Some("Austin".to_owned()),
            country: Some("US".to_owned()),
            ..Address::default()
        }),
        ..People::default()
    }
}

fn facts() -> OrderFacts {
    OrderFacts {
        external_id: "113-1".to_owned(),
        placed_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        status: OrderStatus::Open,
        is_paid: true,
        fulfilled_by: FulfilledBy::Seller,
        currency: "USD".parse().unwrap(),
        total_minor: 3_000,
        lines: vec![line("A", 2, 0), line("B", 1, 0)],
        amounts: Vec::new(),
        shipments: None,
        people: Some(people("1 Main St")),
        shipping_method: None,
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

fn held(export_state: ExportState) -> HeldOrder {
    HeldOrder {
        order_no: OrderNo(1),
        status: OrderStatus::Open,
        updated_at: Timestamp::UNIX_EPOCH,
        facts_version: 1,
        is_paid: true,
        is_history: false,
        export_state,
        export_reason: None,
        is_picked: false,
    }
}

fn before() -> Before {
    let mut before = Before::default();
    before.take(&facts());
    before
}

fn edited(change: impl FnOnce(&mut OrderFacts)) -> Option<EditPlan> {
    let mut news = facts();
    change(&mut news);
    plan_edit("Amazon", &held(ExportState::Created), &before(), &news)
}

#[test]
fn an_edit_is_said_without_naming_anybody_and_asks_for_somebody() {
    let plan = edited(|news| {
        news.lines = vec![line("A", 2, 1), line("B", 1, 0), line("C", 3, 0)];
        news.total_minor = 2_000;
        news.people = Some(People { buyer_note: Some("Ring twice".to_owned()), ..people("2 Side St") });
    })
    .unwrap();
    assert_eq!(plan.event.kind, EventKind::Updated);
    assert_eq!(
        plan.event.text,
        "Changed on Amazon after it went into the shop: units of “SKU-A” from 2 to 1; units of “SKU-C” from 0 to 3; \
         another delivery address; another note of the buyer; the total from 30.00 USD to 20.00 USD. The shop order \
         stays as it was."
    );
    let (text, _) = plan.incident.unwrap();
    assert!(text.starts_with("Order 113-1 was changed on Amazon"), "{text}");
    assert!(!text.contains("Ada") && !text.contains("Side") && !text.contains("Ring"), "{text}");
}

#[test]
fn what_a_payload_leaves_out_is_no_change() {
    assert_eq!(edited(|_| ()), None);
    assert_eq!(edited(|news| news.people = None), None);
    assert_eq!(edited(|news| news.people = Some(People::default())), None);
    assert_eq!(edited(|news| news.lines.clear()), None);
    assert_eq!(edited(|news| (news.is_paid, news.total_minor) = (false, 0)), None);
    assert_eq!(edited(|news| news.lines.reverse()), None);
    // People who were withheld until now are no other people.
    let withheld = Before { people: Some(People::default()), ..before() };
    let now = OrderFacts {
        people: Some(People { buyer_note: Some("Hello".to_owned()), ..people("1 Main St") }),
        ..facts()
    };
    assert_eq!(plan_edit("Etsy", &held(ExportState::Created), &withheld, &now), None);
    let erased = Before { people: None, ..before() };
    assert_eq!(plan_edit("Etsy", &held(ExportState::Created), &erased, &now), None);
}

#[test]
fn the_same_edit_is_said_once_and_the_way_back_is_another() {
    let mut known = before();
    let moved = OrderFacts { people: Some(people("2 Side St")), ..facts() };
    let bare = OrderFacts { people: Some(People::default()), ..facts() };
    for (news, is_edit) in
        [(&moved, true), (&moved, false), (&bare, false), (&moved, false), (&facts(), true)]
    {
        let plan = plan_edit("eBay", &held(ExportState::Created), &known, news);
        known.take(news);
        assert_eq!(plan.is_some(), is_edit, "{plan:?}");
    }
}

#[test]
fn only_an_order_that_is_in_the_shop_and_not_over_is_watched() {
    let news = OrderFacts { lines: vec![line("A", 2, 1), line("B", 1, 0)], ..facts() };
    let plan = |held: &HeldOrder, news: &OrderFacts| plan_edit("Amazon", held, &before(), news);
    assert!(plan(&held(ExportState::Creating), &news).is_some());
    for state in [ExportState::None, ExportState::Waiting, ExportState::Failed] {
        assert_eq!(plan(&held(state), &news), None, "{state}");
    }
    for status in [OrderStatus::Shipped, OrderStatus::Cancelled] {
        assert_eq!(plan(&HeldOrder { status, ..held(ExportState::Created) }, &news), None, "{status}");
    }
    let cancelled = OrderFacts { status: OrderStatus::Cancelled, ..news.clone() };
    assert_eq!(plan(&held(ExportState::Created), &cancelled), None, "the shop is told of the whole");
    let shipped = OrderFacts { status: OrderStatus::Shipped, ..news.clone() };
    let said = plan(&held(ExportState::Created), &shipped).unwrap();
    assert_eq!(said.incident, None, "nobody can mend it any more");
    let fba = OrderFacts { fulfilled_by: FulfilledBy::Platform, ..news };
    assert_eq!(plan(&held(ExportState::Created), &fba).unwrap().incident, None);
}

#[test]
fn what_the_shop_refunded_itself_is_no_news_there() {
    let refunded =
        Before { refunded_units: HashMap::from([("A".to_owned(), 1)]), is_refunded: true, ..before() };
    let news = |cancelled, total_minor| OrderFacts {
        lines: vec![line("A", 2, cancelled), line("B", 1, 0)],
        total_minor,
        ..facts()
    };
    let plan = |news: &OrderFacts| plan_edit("Amazon", &held(ExportState::Created), &refunded, news);
    assert_eq!(plan(&news(1, 2_000)), None);
    let more = plan(&news(2, 1_000)).unwrap();
    assert!(more.event.text.contains("units of “SKU-A” from 1 to 0"), "{}", more.event.text);
}

#[test]
fn a_total_that_a_refund_on_the_marketplace_makes_smaller_is_no_edit() {
    let smaller = OrderFacts { total_minor: facts().total_minor - 500, ..facts() };
    let plan = |before: &Before, news: &OrderFacts| {
        plan_edit("Etsy", &held(ExportState::Created), before, news).is_some()
    };
    assert!(plan(&before(), &smaller), "without a refund it is");
    let refund = MarketplaceRefund {
        refund_id: "1".to_owned(),
        refunded_at: None,
        currency: facts().currency,
        told_minor: 500,
        total_minor: 500,
        lines: Vec::new(),
    };
    let given_back = GivenBack { refunds: vec![refund], is_more_under_way: false };
    let refunded = OrderFacts { refunds: Some(given_back), ..smaller.clone() };
    assert!(!plan(&before(), &refunded));
    let mut after = before();
    after.take(&refunded);
    assert!(!plan(&after, &OrderFacts { total_minor: 1, ..refunded }), "nor is the next");
}

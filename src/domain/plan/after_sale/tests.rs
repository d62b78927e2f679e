//! Refunds laid to lines, and what the marketplace hears.

use super::*;
use crate::domain::order::{Amount, AmountKind, LineFacts, Origin};
use crate::domain::refund::ShopRefundItem;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn line(id: &str, quantity: i64) -> LineFacts {
    LineFacts {
        external_id: id.to_owned(),
        sku: None,
        product_id: None,
        title: id.to_owned(),
        quantity,
        quantity_shipped: 0,
        quantity_cancelled: 0,
        unit_price: None,
        options: None,
    }
}

/// Two lines of 10.00 and 20.01 with tax, shipping of 3.00 on the first and 1.00 of the whole order: 34.01 in all.
fn facts() -> OrderFacts {
    let amount = |line, kind, minor| Amount { line, kind, minor };
    OrderFacts {
        cancel_request: None,
        customised_lines: Vec::new(),
        refunds: None,
        external_id: "E1".to_owned(),
        placed_at: at(0),
        updated_at: at(0),
        status: OrderStatus::Open,
        is_paid: true,
        fulfilled_by: FulfilledBy::Seller,
        currency: "USD".parse().unwrap(),
        total_minor: 3_401,
        lines: vec![line("A", 2), line("B", 1)],
        amounts: vec![
            amount(Some(0), AmountKind::Item, 900),
            amount(Some(0), AmountKind::ItemTax, 100),
            amount(Some(0), AmountKind::Shipping, 300),
            amount(Some(1), AmountKind::Item, 2_101),
            amount(Some(1), AmountKind::SellerDiscount, -100),
            amount(None, AmountKind::Other, 100),
            amount(None, AmountKind::Fee, 500),
        ],
        shipments: None,
        people: None,
        shipping_method: None,
        payment_method: None,
        site: None,
        ship_by: None,
        deliver_by: None,
        origin: Origin::default(),
        platform_status: "PAID".to_owned(),
    }
}

fn context() -> AfterSaleContext<'static> {
    AfterSaleContext {
        marketplace: ConnectionId(2),
        alias: "eBay",
        is_history: false,
        is_shipped: false,
        cancellations: Telling::On,
        refunds: Telling::On,
        passed_on_since: at(0),
        shop_changed_at: at(0),
        now: at(100),
    }
}

fn refund(id: &str, total: i64, items: &[(ShopRefundKind, Option<&str>, i64, Option<i64>)]) -> ShopRefund {
    let items = items.iter().map(|(kind, line, quantity, minor)| ShopRefundItem {
        kind: *kind,
        shop_line_id: line.map(str::to_owned),
        quantity: *quantity,
        minor: *minor,
    });
    ShopRefund {
        refund_id: id.to_owned(),
        refunded_at: Some(at(50)),
        total_minor: total,
        items: items.collect(),
    }
}

fn line_ids() -> HashMap<String, String> {
    [("71", "A"), ("72", "B")].map(|(shop, own)| (shop.to_owned(), own.to_owned())).into()
}

/// Line, goods, shipping, units cancelled.
fn shown_shares(plan: &RefundPlan) -> Vec<(&str, i64, i64, i64)> {
    let shares = plan.new.iter().flat_map(|refund| &refund.shares);
    shares
        .map(|share| {
            let id = share.external_line_id.as_str();
            (id, share.item_minor, share.shipping_minor, share.quantity_cancelled)
        })
        .collect()
}

fn planned(facts: &OrderFacts, held: &[HeldRefund], refund: ShopRefund) -> RefundPlan {
    plan_shop_refunds(facts, &line_ids(), held, &[refund], context())
}

fn held_for(plan: &RefundPlan) -> Option<ReasonCode> {
    plan.effects[0].held.as_ref().map(|reason| reason.code)
}

#[test]
fn a_refund_is_laid_to_its_lines() {
    let goods = (ShopRefundKind::Goods, Some("71"), 1, Some(500));
    let plan = planned(&facts(), &[], refund("1", 500, &[goods]));
    assert_eq!(shown_shares(&plan), [("A", 500, 0, 1)]);
    assert_eq!((plan.effects[0].kind, plan.effects[0].revision.as_str()), (EffectKind::RefundOrder, "1"));
    assert_eq!(held_for(&plan), None);
    // A second look at the same list.
    let again = planned(&facts(), &plan.new, refund("1", 500, &[goods]));
    assert_eq!(again, RefundPlan::default());
}

#[test]
fn a_refund_of_everything_gives_every_minor_unit_back_once() {
    let whole = planned(&facts(), &[], refund("1", 3_401, &[]));
    let total = |plan: &RefundPlan| -> i64 {
        shown_shares(plan).iter().map(|(_, item, shipping, _)| item + shipping).sum()
    };
    assert_eq!(total(&whole), 3_401);
    // In thirds that do not divide, and as the shop's amounts without tax say.
    let mut known = Vec::new();
    for (id, minor) in [("1", 1_133), ("2", 1_134), ("3", 1_134)] {
        let items = [
            (ShopRefundKind::Order, None, 0, Some(minor / 2)),
            (ShopRefundKind::Shipping, None, 0, Some(minor / 3)),
        ];
        let plan = planned(&facts(), &known, refund(id, minor, &items));
        assert_eq!((held_for(&plan), total(&plan)), (None, minor), "{plan:?}");
        known.extend(plan.new);
    }
    let by_line = |id: &str| -> i64 {
        let shares = known.iter().flat_map(|refund| &refund.shares);
        shares.filter(|share| share.external_line_id == id).map(|s| s.item_minor + s.shipping_minor).sum()
    };
    assert_eq!(by_line("A") + by_line("B"), 3_401);
    assert_eq!(by_line("A"), 1_333, "9.00 and 1.00 of tax, 3.00 shipping and a third of 1.00");
    let more = planned(&facts(), &known, refund("4", 1, &[]));
    assert_eq!(held_for(&more), Some(ReasonCode::RefundNotLaid), "nothing is left");
}

/// As BigCommerce lists units that were refunded at their price: without an amount.
#[test]
fn units_without_an_amount_come_to_what_they_were_paid() {
    let items = [
        (ShopRefundKind::Goods, Some("71"), 1, None),
        (ShopRefundKind::Goods, Some("72"), 1, None),
        (ShopRefundKind::Shipping, None, 0, Some(300)),
    ];
    let plan = planned(&facts(), &[], refund("1", 516 + 2_068 + 300, &items));
    assert_eq!(shown_shares(&plan), [("A", 516, 300, 1), ("B", 2_068, 0, 1)]);
}

#[test]
fn what_a_line_was_not_paid_waits_for_a_person() {
    let goods = (ShopRefundKind::Goods, Some("71"), 2, Some(1_500));
    let plan = planned(&facts(), &[], refund("1", 1_500, &[goods]));
    assert_eq!(held_for(&plan), Some(ReasonCode::RefundNotLaid));
    assert_eq!(plan.new[0].shares, []);
    let unknown = (ShopRefundKind::Goods, Some("99"), 1, Some(100));
    let plan = planned(&facts(), &[], refund("2", 100, &[unknown]));
    assert!(plan.effects[0].held.as_ref().unwrap().what().contains("none of this order"), "{plan:?}");
}

#[test]
fn tax_that_the_marketplace_keeps_is_not_asked_for() {
    let mut facts = facts();
    facts.amounts.push(Amount { line: Some(0), kind: AmountKind::WithheldTax, minor: 100 });
    let sent = |plan: &RefundPlan| -> Vec<i64> {
        let shares = plan.new.iter().flat_map(|refund| &refund.shares);
        shares.map(|share| share.sent_item_minor + share.sent_shipping_minor).collect()
    };
    let mut known = Vec::new();
    let mut all = 0;
    for (id, minor) in [("1", 333), ("2", 333), ("3", 667)] {
        let plan = planned(
            &facts,
            &known,
            refund(id, minor, &[(ShopRefundKind::Goods, Some("71"), 0, Some(minor))]),
        );
        assert_eq!(held_for(&plan), None, "{plan:?}");
        all += sent(&plan).iter().sum::<i64>();
        known.extend(plan.new);
    }
    assert_eq!(all, 1_233, "13.33 without the 1.00 of tax");
}

#[test]
fn a_refund_that_nobody_is_to_hear_of_owes_nothing_and_says_so() {
    let cases: [(AfterSaleContext<'_>, &str); 4] = [
        (AfterSaleContext { refunds: Telling::Off, ..context() }, "switched off"),
        (AfterSaleContext { refunds: Telling::Impossible, ..context() }, "takes no refunds"),
        (AfterSaleContext { is_history: true, ..context() }, "go-live"),
        (AfterSaleContext { passed_on_since: at(51), ..context() }, "earlier version"),
    ];
    for (context, said) in cases {
        let plan = plan_shop_refunds(&facts(), &line_ids(), &[], &[refund("1", 500, &[])], context);
        assert_eq!((plan.effects.len(), plan.new.len()), (0, 1), "{said}");
        assert!(plan.events[0].text.contains(said), "{:?}", plan.events);
    }
    let cancelled = OrderFacts { status: OrderStatus::Cancelled, ..facts() };
    assert_eq!(planned(&cancelled, &[], refund("1", 500, &[])).effects, []);
}

#[test]
fn what_the_shop_does_not_list_is_said_and_waits() {
    let listed = [refund("1", 500, &[])];
    assert_eq!(unlisted_refund(&facts(), 500, true, &listed, context()), None);
    let (event, reason) = unlisted_refund(&facts(), 800, true, &listed, context()).unwrap();
    assert!(event.text.contains("3.00 USD more"), "{}", event.text);
    assert_eq!(reason.map(|reason| reason.code), Some(ReasonCode::RefundUnreadable));
    assert!(unlisted_refund(&facts(), 0, true, &[], context()).is_some(), "marked by hand");
    let off = AfterSaleContext { refunds: Telling::Off, ..context() };
    assert_eq!(unlisted_refund(&facts(), 800, true, &listed, off).unwrap().1, None);
    let early = AfterSaleContext { passed_on_since: at(51), shop_changed_at: at(50), ..context() };
    assert_eq!(unlisted_refund(&facts(), 800, true, &listed, early).unwrap().1, None);
}

#[test]
fn a_cancellation_is_passed_on_unless_it_is_an_echo_or_too_late() {
    let told = plan_shop_cancellation(&facts(), context());
    assert_eq!(told.effect.map(|effect| effect.kind), Some(EffectKind::CancelOrder));
    let echo = OrderFacts { status: OrderStatus::Cancelled, ..facts() };
    assert_eq!(plan_shop_cancellation(&echo, context()), CancellationPlan::default());
    let late = plan_shop_cancellation(&facts(), AfterSaleContext { is_shipped: true, ..context() });
    assert!(late.effect.is_none() && late.incident.is_some());
    let early = AfterSaleContext { passed_on_since: at(51), shop_changed_at: at(50), ..context() };
    let early = plan_shop_cancellation(&facts(), early);
    assert!(early.effect.is_none() && early.event.unwrap().text.contains("earlier version"));
    let off = AfterSaleContext { cancellations: Telling::Off, is_shipped: true, ..context() };
    let off = plan_shop_cancellation(&facts(), off);
    assert!(off.effect.is_none() && off.incident.is_none());
    assert!(off.event.unwrap().text.contains("switched off"));
    let theirs = OrderFacts { fulfilled_by: FulfilledBy::Platform, ..facts() };
    assert!(
        plan_shop_cancellation(&theirs, context()).event.unwrap().text.contains("delivers this order itself")
    );
}

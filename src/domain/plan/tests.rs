//! Decisions on orders and parcels.

use super::*;
use crate::domain::connection::{ConnectionSettings, ConnectionState};
use crate::domain::id::ConnectionId;
use crate::domain::order::Origin;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn connection(change: impl FnOnce(&mut ConnectionSettings)) -> Connection {
    let mut settings = ConnectionSettings {
        shop: Some(ConnectionId(9)),
        go_live: Some(at(1000)),
        ..ConnectionSettings::default()
    };
    change(&mut settings);
    Connection {
        id: ConnectionId(1),
        channel: "amazon".into(),
        alias: "Amazon".to_owned(),
        account: "A1".to_owned(),
        base_url: None,
        state: ConnectionState::Active,
        state_note: None,
        state_since: at(0),
        created_at: at(0),
        settings,
        currency: None,
    }
}

fn facts(status: OrderStatus, is_paid: bool, placed: i64, updated: i64) -> OrderFacts {
    OrderFacts {
        external_id: "1".to_owned(),
        placed_at: at(placed),
        updated_at: at(updated),
        status,
        is_paid,
        fulfilled_by: FulfilledBy::Seller,
        currency: "USD".parse().unwrap(),
        total_minor: 0,
        lines: Vec::new(),
        amounts: Vec::new(),
        shipments: None,
        people: None,
        shipping_method: None,
        payment_method: None,
        site: None,
        ship_by: None,
        deliver_by: None,
        origin: Origin::default(),
        platform_status: "X".to_owned(),
        cancel_request: None,
        customised_lines: Vec::new(),
        refunds: None,
    }
}

fn held(plan: &ImportPlan, facts: &OrderFacts) -> HeldOrder {
    HeldOrder {
        order_no: OrderNo(1),
        status: plan.status,
        updated_at: facts.updated_at,
        facts_version: 1,
        is_paid: facts.is_paid,
        is_history: plan.is_history,
        export_state: plan.export_state,
        export_reason: plan.export_reason.as_ref().map(|reason| reason.code),
        is_picked: false,
    }
}

fn summary(plan: &ImportPlan) -> (ExportState, Option<ReasonCode>, usize) {
    (plan.export_state, plan.export_reason.as_ref().map(|reason| reason.code), plan.effects.len())
}

#[test]
fn a_paid_order_goes_to_the_shop_and_history_does_not() {
    let connection = connection(|_| ());
    let plan =
        |placed| plan_import(&connection, None, &facts(OrderStatus::Open, true, placed, placed), at(2000));
    assert_eq!(summary(&plan(1000)), (ExportState::Waiting, None, 1));
    let history = plan(999);
    assert!(history.is_history);
    assert_eq!(summary(&history), (ExportState::None, None, 0));
}

#[test]
fn an_unpaid_order_goes_once_it_is_paid() {
    let connection = connection(|_| ());
    let unpaid = facts(OrderStatus::Pending, false, 1500, 1500);
    let first = plan_import(&connection, None, &unpaid, at(2000));
    assert_eq!(summary(&first), (ExportState::Waiting, Some(ReasonCode::Unpaid), 0));
    let paid = facts(OrderStatus::Open, true, 1500, 1600);
    let second = plan_import(&connection, Some(&held(&first, &unpaid)), &paid, at(2000));
    assert_eq!(summary(&second), (ExportState::Waiting, None, 1));
    let gone = facts(OrderStatus::Cancelled, false, 1500, 1600);
    let third = plan_import(&connection, Some(&held(&first, &unpaid)), &gone, at(2000));
    // The one effect looks, after a restore, whether the shop has it all the same.
    assert_eq!(summary(&third), (ExportState::None, Some(ReasonCode::Cancelled), 1));
    assert_eq!(third.effects[0].kind, EffectKind::CancelShopOrder);
    assert_eq!(third.dropped, [EffectKind::CreateShopOrder]);
}

#[test]
fn older_news_moves_nothing() {
    let connection = connection(|_| ());
    let now = facts(OrderStatus::Shipped, true, 1500, 1700);
    let first = plan_import(&connection, None, &now, at(2000));
    let older = facts(OrderStatus::Open, true, 1500, 1600);
    let stale = plan_import(&connection, Some(&held(&first, &now)), &older, at(2000));
    assert_eq!((stale.change, stale.status), (Change::Stale, OrderStatus::Shipped));
    assert!(stale.effects.is_empty());
}

#[test]
fn the_same_news_twice_owes_nothing_new() {
    let connection = connection(|_| ());
    let now = facts(OrderStatus::Open, true, 1500, 1700);
    let first = plan_import(&connection, None, &now, at(2000));
    let again = plan_import(&connection, Some(&held(&first, &now)), &now, at(2000));
    assert_eq!(summary(&again), (ExportState::Waiting, None, 0));
    assert!(again.events.is_empty());
}

#[test]
fn switches_keep_orders_out_until_somebody_picks_them() {
    let off = connection(|settings| settings.export_orders = false);
    let open = facts(OrderStatus::Open, true, 1500, 1500);
    assert_eq!(
        summary(&plan_import(&off, None, &open, at(2000))),
        (ExportState::None, Some(ReasonCode::ExportOff), 0)
    );
    let mut fba = open.clone();
    fba.fulfilled_by = FulfilledBy::Platform;
    let on = connection(|_| ());
    assert_eq!(
        summary(&plan_import(&on, None, &fba, at(2000))),
        (ExportState::None, Some(ReasonCode::PlatformFulfilled), 0)
    );
    assert_eq!(export_decision(&off, &open, true, true), (ExportState::Waiting, None));
    let alone = connection(|settings| settings.shop = None);
    assert_eq!(summary(&plan_import(&alone, None, &open, at(2000))), (ExportState::None, None, 0));
}

#[test]
fn a_cancellation_reaches_the_shop_unless_it_was_shipped() {
    let connection = connection(|_| ());
    let open = facts(OrderStatus::Open, true, 1500, 1500);
    let first = plan_import(&connection, None, &open, at(2000));
    let created = HeldOrder { export_state: ExportState::Created, ..held(&first, &open) };
    let cancelled = facts(OrderStatus::Cancelled, false, 1500, 1600);
    let plan = plan_import(&connection, Some(&created), &cancelled, at(2000));
    assert_eq!(
        plan.effects.iter().map(|effect| effect.kind).collect::<Vec<_>>(),
        [EffectKind::CancelShopOrder]
    );
    let creating = HeldOrder { export_state: ExportState::Creating, ..created.clone() };
    assert_eq!(plan_import(&connection, Some(&creating), &cancelled, at(2000)).effects.len(), 1);
    let shipped = HeldOrder { status: OrderStatus::Shipped, ..created };
    assert!(plan_import(&connection, Some(&shipped), &cancelled, at(2000)).effects.is_empty());
}

#[test]
fn a_shipped_order_without_parcels_moves_the_shops_status_once() {
    let connection = connection(|_| ());
    let open = facts(OrderStatus::Open, true, 1500, 1500);
    let first = plan_import(&connection, None, &open, at(2000));
    let created = HeldOrder { export_state: ExportState::Created, ..held(&first, &open) };
    let shipped = facts(OrderStatus::Shipped, true, 1500, 1600);
    let plan = plan_import(&connection, Some(&created), &shipped, at(2000));
    assert_eq!(
        plan.effects.iter().map(|effect| (effect.kind, effect.revision.as_str())).collect::<Vec<_>>(),
        [(EffectKind::ShipShopOrder, STATUS_REVISION)]
    );
    let mut with_parcel = shipped.clone();
    with_parcel.shipments = Some(vec![parcel("1", Some("1Z"))]);
    assert!(plan_import(&connection, Some(&created), &with_parcel, at(2000)).effects.is_empty());
    let again = HeldOrder { status: OrderStatus::Shipped, ..created };
    assert!(plan_import(&connection, Some(&again), &shipped, at(2000)).effects.is_empty());
}

fn parcel(id: &str, tracking: Option<&str>) -> ShipmentFacts {
    ShipmentFacts {
        external_id: id.to_owned(),
        carrier: Some("UPS".to_owned()),
        service: None,
        tracking: tracking.map(str::to_owned),
        shipped_at: None,
        lines: Vec::new(),
    }
}

fn context(side: ParcelOrigin) -> ParcelContext {
    ParcelContext { side, other: Some(ConnectionId(5)), now: at(0) }
}

fn owed(plan: &ParcelPlan) -> Vec<(EffectKind, &str)> {
    plan.effects.iter().map(|effect| (effect.kind, effect.revision.as_str())).collect()
}

#[test]
fn a_parcel_is_told_once_and_its_echo_is_recognised() {
    let from_shop = plan_parcels(
        &[],
        &[parcel("70", Some("1Z 9")), parcel("71", Some("1Z8"))],
        context(ParcelOrigin::Shop),
    );
    assert_eq!(owed(&from_shop), [(EffectKind::ConfirmShipment, "1"), (EffectKind::ConfirmShipment, "2")]);
    let again = plan_parcels(
        &from_shop.upserts,
        &[parcel("70", Some("1Z 9")), parcel("71", Some("1Z8"))],
        context(ParcelOrigin::Shop),
    );
    assert_eq!(again, ParcelPlan::default());
    let echo = plan_parcels(
        &from_shop.upserts,
        &[parcel("1", Some("1z9")), parcel("2", Some("1Z8"))],
        context(ParcelOrigin::Marketplace),
    );
    assert!(echo.effects.is_empty() && echo.events.is_empty());
    assert_eq!(echo.upserts.len(), 2);
}

#[test]
fn a_parcel_that_is_listed_twice_is_one_parcel() {
    for tracking in [None, Some("1Z9")] {
        let listed = [parcel("70", tracking), parcel("70", tracking), parcel("71", Some("1Z8"))];
        let plan = plan_parcels(&[], &listed, context(ParcelOrigin::Shop));
        assert_eq!(owed(&plan), [(EffectKind::ConfirmShipment, "1"), (EffectKind::ConfirmShipment, "2")]);
    }
}

#[test]
fn a_parcel_without_a_number_is_known_by_what_is_in_it() {
    let lines = |quantity| vec![ShippedLine { external_line_id: "4".to_owned(), quantity }];
    let with = |id: &str, quantity| ShipmentFacts { lines: lines(quantity), ..parcel(id, None) };
    let first = plan_parcels(&[], &[with("1", 2)], context(ParcelOrigin::Marketplace));
    let echo = plan_parcels(&first.upserts, &[with("70", 2)], context(ParcelOrigin::Shop));
    assert!(echo.effects.is_empty(), "{echo:?}");
    assert_eq!(echo.upserts[0].shop_shipment_id.as_deref(), Some("70"));
    let other = plan_parcels(&first.upserts, &[with("71", 1)], context(ParcelOrigin::Shop));
    assert_eq!(owed(&other), [(EffectKind::ConfirmShipment, "2")]);
    let second =
        plan_parcels(&first.upserts, &[with("1", 2), with("2", 2)], context(ParcelOrigin::Marketplace));
    assert_eq!(owed(&second), [(EffectKind::ShipShopOrder, "2")]);
}

#[test]
fn a_parcel_whose_id_changes_and_whose_number_does_not_is_the_same() {
    let first = plan_parcels(
        &[],
        &[parcel("70", Some("1Z9")), parcel("71", Some("1Z9"))],
        context(ParcelOrigin::Shop),
    );
    assert_eq!(first.upserts.len(), 2);
    // Two parcels of one number: which is which their ids say, whatever their order.
    let listed = [parcel("71", Some("1Z9")), parcel("70", Some("1Z9"))];
    assert_eq!(plan_parcels(&first.upserts, &listed, context(ParcelOrigin::Shop)), ParcelPlan::default());
    let listed = [parcel("80", Some("1z 9")), parcel("71", Some("1Z9"))];
    let renamed = plan_parcels(&first.upserts, &listed, context(ParcelOrigin::Shop));
    assert!(renamed.effects.is_empty() && renamed.events.is_empty(), "{renamed:?}");
    assert_eq!(renamed.upserts[0].shop_shipment_id.as_deref(), Some("80"));
}

#[test]
fn late_tracking_is_sent_and_a_vanished_parcel_is_noticed() {
    let first = plan_parcels(&[], &[parcel("70", None)], context(ParcelOrigin::Shop));
    assert_eq!(owed(&first), [(EffectKind::ConfirmShipment, "1")]);
    let late = plan_parcels(&first.upserts, &[parcel("70", Some("1Z9"))], context(ParcelOrigin::Shop));
    assert_eq!(owed(&late), [(EffectKind::ConfirmShipment, "1.UPS.1Z9")]);
    let gone = plan_parcels(&first.upserts, &[], context(ParcelOrigin::Shop));
    assert!(gone.upserts[0].is_gone && gone.effects.is_empty());
    assert_eq!(gone.events[0].kind, EventKind::ShipmentGone);
}

#[test]
fn what_a_buyer_designed_is_fetched_once_there_is_work() {
    let connection = connection(|_| ());
    let designed = |status, is_paid, placed, updated| OrderFacts {
        customised_lines: vec!["L1".to_owned(), "L2".to_owned()],
        ..facts(status, is_paid, placed, updated)
    };
    let wanted = |plan: &ImportPlan| -> Vec<String> {
        let of = |effect: &&NewEffect| effect.kind == EffectKind::KeepCustomisation;
        plan.effects.iter().filter(of).map(|effect| effect.revision.clone()).collect()
    };
    let new = |facts: &OrderFacts| plan_import(&connection, None, facts, at(2000));
    let open = designed(OrderStatus::Open, true, 1500, 1500);
    assert_eq!(wanted(&new(&open)), ["L1", "L2"]);
    assert!(wanted(&new(&designed(OrderStatus::Cancelled, true, 1500, 1500))).is_empty());
    let unpaid = designed(OrderStatus::Pending, false, 1500, 1500);
    let first = new(&unpaid);
    assert!(wanted(&first).is_empty());
    let paid = designed(OrderStatus::Open, true, 1500, 1600);
    let then = plan_import(&connection, Some(&held(&first, &unpaid)), &paid, at(2000));
    assert_eq!(wanted(&then), ["L1", "L2"]);
    let history = designed(OrderStatus::Open, true, 900, 900);
    let first = new(&history);
    assert!(wanted(&first).is_empty(), "links of history have died, and nobody works on it");
    let shipped = designed(OrderStatus::Shipped, true, 1500, 1500);
    assert!(wanted(&new(&shipped)).is_empty(), "nobody works on it any more");
    let later = designed(OrderStatus::PartShipped, true, 900, 1600);
    let picked = HeldOrder { is_picked: true, ..held(&first, &history) };
    assert_eq!(wanted(&plan_import(&connection, Some(&picked), &later, at(2000))), ["L1", "L2"]);
    assert!(wanted(&plan_import(&connection, Some(&held(&first, &history)), &later, at(2000))).is_empty());
}

#[test]
fn a_buyer_who_asks_to_cancel_is_heard_by_somebody_before_a_parcel_leaves() {
    use super::cancel_request::plan_request;
    use crate::domain::order::{CancelRequest, LineFacts};
    let connection = connection(|_| ());
    let line = |id: &str| LineFacts {
        external_id: id.to_owned(),
        sku: Some(format!("SKU-{id}")),
        product_id: None,
        title: id.to_owned(),
        quantity: 1,
        quantity_shipped: 0,
        quantity_cancelled: 0,
        unit_price: None,
        options: None,
    };
    let asked = |status, lines: &[&str]| {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        let reason = Some("Ordered by mistake".to_owned());
        OrderFacts {
            lines: vec![line("1"), line("2")],
            cancel_request: Some(CancelRequest { lines, reason }),
            ..facts(status, true, 2000, 2000)
        }
    };
    let planned = |facts: &OrderFacts| {
        let plan = plan_import(&connection, None, facts, at(3000));
        plan_request("Amazon", &plan, facts)
    };
    let whole = planned(&asked(OrderStatus::Open, &[])).unwrap();
    assert_eq!(whole.event.kind, EventKind::CancelAsked);
    let said = "The buyer asks to cancel the order. The reason given: Ordered by mistake.";
    assert_eq!(whole.event.text, said);
    let (text, next_step) = whole.incident.unwrap();
    assert!(
        text.contains("cancel order 1 of Amazon.") && next_step.contains("in the shop"),
        "{text} {next_step}"
    );
    assert_eq!(
        planned(&asked(OrderStatus::Open, &["1", "2"])).unwrap().event.text,
        said,
        "every line is the order"
    );
    let part = planned(&asked(OrderStatus::PartShipped, &["2"])).unwrap();
    assert!(part.event.text.contains("“SKU-2” of the order") && part.incident.is_some(), "{part:?}");

    assert_eq!(planned(&facts(OrderStatus::Open, true, 2000, 2000)), None);
    for over in [OrderStatus::Shipped, OrderStatus::Cancelled] {
        assert_eq!(planned(&asked(over, &[])), None, "nothing is left to cancel: {over}");
    }
    let history = OrderFacts { placed_at: at(500), ..asked(OrderStatus::Open, &[]) };
    assert_eq!(planned(&history).unwrap().incident, None, "nobody ships it from here");
    let by_platform = OrderFacts { fulfilled_by: FulfilledBy::Platform, ..asked(OrderStatus::Open, &[]) };
    assert_eq!(planned(&by_platform).unwrap().incident, None);
}

#[test]
fn what_a_buyer_no_longer_wants_is_known_by_line() {
    use crate::domain::order::{CancelRequest, LineFacts};
    let line = |id: &str, quantity_cancelled| LineFacts {
        external_id: id.to_owned(),
        sku: None,
        product_id: None,
        title: id.to_owned(),
        quantity: 1,
        quantity_shipped: 0,
        quantity_cancelled,
        unit_price: None,
        options: None,
    };
    let with = |cancelled, lines: Option<&[&str]>| {
        let request = lines.map(|lines| CancelRequest {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            reason: None,
        });
        OrderFacts {
            lines: vec![line("1", 0), line("2", cancelled)],
            cancel_request: request,
            ..facts(OrderStatus::Open, true, 2000, 2000)
        }
    };
    let is_whole = |cancelled, lines| with(cancelled, lines).is_unwanted_whole();
    assert!(!is_whole(0, None));
    assert!(is_whole(0, Some(&[])));
    assert!(!is_whole(0, Some(&["1"])));
    assert!(is_whole(1, Some(&["1"])), "the other line is gone already");
    let part = with(0, Some(&["1"]));
    assert_eq!(part.lines.iter().map(|line| part.is_unwanted(line)).collect::<Vec<_>>(), [true, false]);
}

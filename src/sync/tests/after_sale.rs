//! What is cancelled or refunded in the shop reaches the marketplace once, whatever becomes of the answers.

use super::*;
use crate::domain::effect::{Effect, EffectKind, Verdict};
use crate::domain::refund::HeldMarketplaceRefund;
use crate::store::incidents;

/// A marketplace's order in the shop, looked at from both sides.
struct Sale {
    other: Other,
    id: String,
    order_no: OrderNo,
}

impl Sale {
    /// Somebody gives so much back on the marketplace's own page.
    fn give_back_by_hand(&self, minor: i64) {
        self.other.rig.control(self.other.name, "refund", &json!({"id": self.id, "amount_minor": minor}));
    }

    async fn new(name: &'static str) -> Self {
        let other = Other::new(name, "").await;
        let mut sale = Self { id: other.sell(), other, order_no: OrderNo(0) };
        sale.pass(120).await;
        let (owner, id) = (sale.owner(), sale.id.clone());
        let found =
            sale.engine().store().read(move |read| crate::store::orders::find(read, owner, &id)).await;
        sale.order_no = found.unwrap().unwrap();
        sale
    }

    fn engine(&self) -> &Engine {
        &self.other.rig.engine
    }

    fn owner(&self) -> ConnectionId {
        let all = self.engine().connections();
        all.iter().find(|one| one.channel.as_str() == self.other.name).unwrap().id
    }

    async fn pass(&mut self, seconds: i64) {
        self.other.rig.pass(seconds).await;
    }

    async fn change_settings(&self, change: impl FnOnce(&mut ConnectionSettings)) {
        let mut settings = self.engine().connection(self.owner()).unwrap().settings;
        change(&mut settings);
        let update = ConnectionUpdate { settings: Some(settings), ..ConnectionUpdate::default() };
        self.engine().change_connection(self.owner(), update, "test").await.unwrap();
    }

    /// The order as the marketplace has it.
    fn theirs(&self) -> Value {
        self.other.order(&self.id)
    }

    /// The order as the shop has it.
    fn copy(&self) -> Value {
        self.other.rig.shop_orders_of(&self.id).remove(0)
    }

    /// Somebody cancels, refunds or ships in the shop's control panel.
    fn in_shop(&self, deed: &str, mut body: Value) {
        body["id"] = self.copy()["id"].clone();
        self.other.rig.control("bigcommerce", deed, &body);
    }

    /// What eBay has given back, refund by refund.
    fn given_back(&self) -> Vec<i64> {
        let mut by_id: BTreeMap<String, i64> = BTreeMap::new();
        for refund in self.theirs()["refunds"].as_array().unwrap() {
            let id = refund["id"].as_str().unwrap().to_owned();
            *by_id.entry(id).or_default() += refund["amount_minor"].as_i64().unwrap();
        }
        by_id.into_values().collect()
    }

    fn minor(&self, field: &str) -> i64 {
        self.theirs()[field].as_i64().unwrap()
    }

    fn calls_of(&self, platform: &str, operation: &str) -> u64 {
        let calls = self.other.rig.calls(platform)[operation].clone();
        calls.as_object().map_or(0, |calls| calls.values().filter_map(Value::as_u64).sum())
    }

    fn open(&self) -> Vec<Effect> {
        self.engine().with_queue(|queue| queue.of_order(self.order_no))
    }

    fn held_for(&self) -> Vec<Option<ReasonCode>> {
        let held = self.open().into_iter().filter(|effect| effect.state == EffectState::Held);
        held.map(|effect| effect.reason.map(|reason| reason.code)).collect()
    }

    async fn timeline(&self) -> String {
        let order_no = self.order_no;
        let rows = self.engine().store().read(move |read| events::of_order(read, order_no)).await.unwrap();
        rows.iter().map(|row| format!("{} {}\n", row.kind, row.text)).collect()
    }

    async fn settle(&self, verdict: Verdict) -> Result<String, String> {
        let held = self.open().into_iter().find(|effect| effect.state == EffectState::Held).unwrap();
        self.engine().settle_by_hand(self.order_no, held.id, verdict, "ada").await
    }

    async fn assert_sound(&self) {
        assert_eq!(self.engine().store().verify().await.unwrap().findings, []);
    }
}

#[tokio::test]
async fn what_the_shop_cancels_is_cancelled_on_ebay_once_whatever_becomes_of_the_answer() {
    let kinds = ["", "timeout_after", "timeout_before", "late", "malformed", "500", "reset", "429"];
    for kind in kinds {
        let mut sale = Sale::new("ebay").await;
        if !kind.is_empty() {
            sale.other.rig.fault("ebay", "createCancellation", kind, 1);
        }
        sale.in_shop("cancel", json!({}));
        sale.pass(1_800).await;
        let order = sale.theirs();
        assert_eq!(order["status"], "cancelled", "{kind}: {order}");
        assert_eq!(sale.given_back(), [sale.minor("seller_minor")], "{kind}: eBay's own refund");
        assert_eq!(sale.open(), [], "{kind}");
        assert_eq!(sale.copy()["status_id"], 5, "{kind}");
        assert_eq!(sale.calls_of("bigcommerce", "updateOrder"), 0, "{kind}: nothing comes back");
        let timeline = sale.timeline().await;
        assert_eq!(timeline.matches("cancelled_in_shop").count(), 1, "{kind}: {timeline}");
        assert_eq!(timeline.matches("cancellation_sent").count(), 1, "{kind}: {timeline}");
        sale.assert_sound().await;
    }
}

#[tokio::test]
async fn a_crash_between_the_intent_and_the_answer_cancels_once() {
    let mut sale = Sale::new("ebay").await;
    sale.other.rig.fault("ebay", "createCancellation", "timeout_after", 1);
    sale.in_shop("cancel", json!({}));
    let is_called = |sale: &Sale| {
        sale.open().iter().any(|effect| effect.kind == EffectKind::CancelOrder && effect.attempts > 0)
    };
    for _ in 0..600 {
        if is_called(&sale) {
            break;
        }
        sale.pass(1).await;
    }
    assert!(is_called(&sale));
    sale.other.rig.restart().await;
    sale.pass(900).await;
    assert_eq!(sale.theirs()["status"], "cancelled");
    assert_eq!((sale.calls_of("ebay", "createCancellation"), sale.open()), (1, Vec::new()));
}

#[tokio::test]
async fn a_ticket_survives_a_restart() {
    let mut sale = Sale::new("ebay").await;
    sale.in_shop("cancel", json!({}));
    let ticket = |sale: &Sale| sale.open().into_iter().find_map(|effect| effect.ticket);
    for _ in 0..120 {
        if ticket(&sale).is_some() {
            break;
        }
        sale.pass(1).await;
    }
    let before = ticket(&sale).unwrap();
    sale.other.rig.restart().await;
    assert_eq!(ticket(&sale), Some(before));
    sale.pass(900).await;
    assert_eq!((sale.theirs()["status"].clone(), sale.open()), (json!("cancelled"), Vec::new()));
    assert_eq!(sale.calls_of("ebay", "createCancellation"), 1);
}

#[tokio::test]
async fn what_the_shop_sets_back_before_the_marketplace_was_asked_is_not_cancelled() {
    let mut sale = Sale::new("ebay").await;
    sale.engine().pause(sale.owner(), "ada").await.unwrap();
    sale.in_shop("cancel", json!({}));
    sale.pass(300).await;
    assert_eq!(sale.open().iter().map(|effect| effect.kind).collect::<Vec<_>>(), [EffectKind::CancelOrder]);
    let connector = sale.engine().connector(sale.other.rig.shop).unwrap();
    let id = sale.copy()["id"].as_str().unwrap().to_owned();
    connector.shop_orders().unwrap().set_status(&id, 9).await.unwrap();
    sale.pass(300).await;
    sale.engine().resume(sale.owner(), "ada").await.unwrap();
    sale.pass(900).await;
    assert_eq!((sale.theirs()["status"].clone(), sale.open()), (json!("open"), Vec::new()));
    assert!(sale.timeline().await.contains("set the order back"));
}

#[tokio::test]
async fn what_is_switched_off_or_impossible_reaches_nobody_and_says_so() {
    for (name, said) in [("ebay", "switched off"), ("etsy", "takes no cancellations")] {
        let mut sale = Sale::new(name).await;
        if name == "ebay" {
            sale.change_settings(|settings| {
                (settings.send_cancellations, settings.send_refunds) = (Some(false), Some(false));
            })
            .await;
        }
        sale.in_shop("refund", json!({"amount_minor": 100}));
        sale.pass(600).await;
        sale.in_shop("cancel", json!({}));
        sale.pass(600).await;
        assert_eq!(sale.open(), [], "{name}");
        assert_ne!(sale.theirs()["status"], "cancelled", "{name}");
        let timeline = sale.timeline().await;
        assert!(timeline.contains(said), "{timeline}");
        assert!(timeline.contains("refunded_in_shop 1.00 USD"), "{timeline}");
        assert_eq!(sale.calls_of("ebay", "issueRefund"), 0);
        sale.assert_sound().await;
    }
}

#[tokio::test]
async fn a_switch_that_a_platform_has_no_call_for_is_refused() {
    let sale = Sale::new("etsy").await;
    let mut settings = sale.engine().connection(sale.owner()).unwrap().settings;
    assert_eq!(settings.send_refunds, None);
    settings.send_refunds = Some(true);
    let update = ConnectionUpdate { settings: Some(settings), ..ConnectionUpdate::default() };
    let refused = sale.engine().change_connection(sale.owner(), update, "test").await.unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("send_refunds"));
}

#[tokio::test]
async fn the_marketplaces_own_cancellation_does_not_come_back_to_it() {
    let mut sale = Sale::new("ebay").await;
    sale.other.rig.control("ebay", "cancel", &json!({"id": sale.id}));
    sale.pass(1_800).await;
    assert_eq!(sale.copy()["status_id"], 5);
    assert_eq!(sale.calls_of("ebay", "createCancellation"), 0);
    assert_eq!(sale.calls_of("ebay", "checkCancellationEligibility"), 0);
    let timeline = sale.timeline().await;
    assert!(!timeline.contains("cancelled_in_shop"), "{timeline}");
}

#[tokio::test]
async fn what_was_shipped_in_part_is_not_cancelled_and_somebody_is_told() {
    let mut sale = Sale::new("ebay").await;
    sale.in_shop("ship", json!({"carrier": "USPS", "tracking": "9400100000000000000001"}));
    sale.pass(300).await;
    sale.in_shop("cancel", json!({}));
    sale.pass(600).await;
    assert_eq!(sale.theirs()["status"], "shipped");
    assert_eq!(sale.calls_of("ebay", "createCancellation"), 0);
    let open = sale.engine().store().read(incidents::open_incidents).await.unwrap();
    assert_eq!(
        open.iter().map(|one| one.what.kind.as_str()).collect::<Vec<_>>(),
        ["cancelled_while_shipped"]
    );
    assert_eq!(open[0].what.order_no, Some(sale.order_no));
}

#[tokio::test]
async fn a_refund_of_everything_reaches_ebay_once_and_the_shop_order_stays_as_it_is() {
    for kind in ["", "timeout_after", "late", "malformed", "429"] {
        let mut sale = Sale::new("ebay").await;
        if !kind.is_empty() {
            sale.other.rig.fault("ebay", "issueRefund", kind, 1);
        }
        sale.in_shop("refund", json!({}));
        sale.pass(1_800).await;
        assert_eq!(sale.given_back(), [sale.minor("seller_minor")], "{kind}");
        assert_eq!((sale.held_for(), sale.open()), (Vec::new(), Vec::new()), "{kind}");
        let copy = sale.copy();
        assert_eq!(
            (&copy["status_id"], &copy["refunded_minor"]),
            (&json!(4), &copy["total_minor"]),
            "{kind}"
        );
        assert_eq!(sale.calls_of("bigcommerce", "updateOrder"), 0, "{kind}: nothing comes back");
        let timeline = sale.timeline().await;
        assert_eq!(timeline.matches("refunded_in_shop").count(), 1, "{kind}: {timeline}");
        assert_eq!(timeline.matches("refund_sent").count(), 1, "{kind}: {timeline}");
        let order_no = sale.order_no;
        let detail =
            sale.engine().store().read(move |read| crate::store::orders::detail(read, order_no)).await;
        let refunds = detail.unwrap().unwrap().refunds;
        assert!(refunds.len() == 1 && refunds[0].told_at.is_some(), "{kind}: {refunds:?}");
        assert!(refunds[0].marketplace_refund_id.is_some(), "{kind}");
        sale.assert_sound().await;
    }
}

#[tokio::test]
async fn refunds_in_part_of_a_line_and_of_the_order_make_the_whole_to_the_minor_unit() {
    let mut sale = Sale::new("ebay").await;
    let sku = sale.copy()["lines"][0]["sku"].clone();
    let (total, sellers) = (sale.minor("total_minor"), sale.minor("seller_minor"));
    let share = |minor: i64| (minor * sellers * 2 + total).div_euclid(total * 2);
    sale.in_shop("refund", json!({"lines": [{"sku": sku, "quantity": 1, "amount_minor": 333}]}));
    sale.pass(600).await;
    assert_eq!(sale.given_back(), [share(333)]);
    sale.in_shop("refund", json!({"amount_minor": 101}));
    sale.pass(600).await;
    assert_eq!(sale.given_back().iter().sum::<i64>(), share(434));
    // One after the other, before anybody has looked.
    sale.in_shop("refund", json!({"amount_minor": 7}));
    sale.in_shop("refund", json!({}));
    sale.pass(1_800).await;
    assert_eq!(sale.given_back().len(), 4);
    assert_eq!(sale.given_back().iter().sum::<i64>(), sellers, "to the minor unit");
    assert_eq!(sale.open(), []);
    let order_no = sale.order_no;
    let detail = sale.engine().store().read(move |read| crate::store::orders::detail(read, order_no)).await;
    let refunds = detail.unwrap().unwrap().refunds;
    assert_eq!(refunds.iter().map(|row| row.refund.total_minor).sum::<i64>(), total);
    assert_eq!(refunds[0].refund.shares[0].quantity_cancelled, 1, "nothing of it was shipped");
    sale.assert_sound().await;
}

#[tokio::test]
async fn a_refund_in_doubt_is_never_sent_again_until_somebody_has_looked() {
    for verdict in Verdict::ALL {
        let mut sale = Sale::new("ebay").await;
        sale.other.rig.fault("ebay", "issueRefund", "timeout_before", 1);
        sale.in_shop("refund", json!({"amount_minor": 250}));
        sale.pass(3_600).await;
        assert_eq!(sale.calls_of("ebay", "issueRefund"), 1, "it may have arrived");
        assert_eq!(sale.held_for(), [Some(ReasonCode::RefundInDoubt)]);
        // Neither a retry nor a restart sends it.
        sale.engine().retry(sale.order_no, "ada").await.unwrap();
        sale.pass(1_200).await;
        sale.other.rig.restart().await;
        sale.engine().retry(sale.order_no, "ada").await.unwrap();
        sale.pass(1_200).await;
        assert_eq!(sale.calls_of("ebay", "issueRefund"), 1);
        assert_eq!(sale.held_for(), [Some(ReasonCode::RefundInDoubt)]);
        sale.settle(*verdict).await.unwrap();
        sale.pass(1_200).await;
        let again = u64::from(*verdict == Verdict::SendAgain);
        assert_eq!(sale.calls_of("ebay", "issueRefund"), 1 + again, "{verdict}");
        assert_eq!(sale.given_back().len() as u64, again, "{verdict}");
        assert_eq!(sale.open(), [], "{verdict}");
        assert!(sale.timeline().await.contains("says ada"));
    }
}

#[tokio::test]
async fn a_crash_while_a_refund_is_sent_gives_the_money_back_once() {
    let mut sale = Sale::new("ebay").await;
    sale.other.rig.fault("ebay", "issueRefund", "timeout_after", 1);
    sale.in_shop("refund", json!({"amount_minor": 250}));
    for _ in 0..600 {
        if sale.calls_of("ebay", "issueRefund") > 0 {
            break;
        }
        sale.pass(1).await;
    }
    sale.other.rig.restart().await;
    sale.pass(1_800).await;
    assert_eq!((sale.given_back().len(), sale.open()), (1, Vec::new()));
    assert_eq!(sale.calls_of("ebay", "issueRefund"), 1);
}

#[tokio::test]
async fn after_a_restore_a_refund_that_the_backup_does_not_know_of_is_not_sent_again() {
    for is_reached in [true, false] {
        let mut sale = Sale::new("ebay").await;
        let backup = sale.other.rig.back_up().await;
        if is_reached {
            sale.in_shop("refund", json!({"amount_minor": 250}));
            sale.pass(600).await;
        } else {
            sale.other.rig.fault("ebay", "issueRefund", "timeout_before", 1);
            sale.in_shop("refund", json!({"amount_minor": 250}));
            sale.pass(60).await;
        }
        sale.other.rig.restore(&backup).await;
        sale.pass(3_600).await;
        assert_eq!(sale.calls_of("ebay", "issueRefund"), 1, "{is_reached}");
        let held = if is_reached { vec![] } else { vec![Some(ReasonCode::RefundInDoubt)] };
        assert_eq!(sale.held_for(), held, "{is_reached}");
    }
}

#[tokio::test]
async fn a_refund_that_the_shop_only_marks_waits_for_a_person() {
    let mut sale = Sale::new("ebay").await;
    sale.in_shop("refund", json!({"manual": true}));
    sale.pass(900).await;
    assert_eq!(sale.held_for(), [Some(ReasonCode::RefundUnreadable)]);
    assert_eq!(sale.calls_of("ebay", "issueRefund"), 0);
    sale.settle(Verdict::Done).await.unwrap();
    sale.pass(600).await;
    assert_eq!(sale.open(), []);
    let refused =
        sale.engine().settle_by_hand(sale.order_no, crate::domain::id::EffectId(1), Verdict::Done, "ada");
    assert!(refused.await.unwrap_err().contains("not wait"));
}

#[tokio::test]
async fn what_was_given_back_by_hand_counts_against_what_was_paid() {
    let mut sale = Sale::new("ebay").await;
    sale.in_shop("ship", json!({"carrier": "USPS", "tracking": "9400100000000000000001"}));
    sale.pass(300).await;
    // Somebody gives nearly everything back on eBay's own page.
    sale.give_back_by_hand(sale.minor("seller_minor") - 1);
    sale.in_shop("refund", json!({"amount_minor": 500}));
    sale.pass(900).await;
    assert_eq!(sale.held_for(), [Some(ReasonCode::RefundNotLaid)], "more would go back than was paid");
    assert_eq!(sale.given_back().len(), 1);
}

#[tokio::test]
async fn a_refund_in_the_shop_of_an_amazon_order_owes_nothing_where_the_switch_is_off() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    assert_eq!(rig.engine.connection(rig.amazon).unwrap().settings.send_refunds, Some(false));
    let id = rig.sell(1);
    rig.pass(120).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    rig.control("bigcommerce", "refund", &json!({"id": copy["id"]}));
    rig.pass(900).await;
    let order_no = rig.order_no(&id).await;
    assert_eq!(rig.engine.with_queue(|queue| queue.of_order(order_no)), []);
    let detail = rig.engine.store().read(move |read| crate::store::orders::detail(read, order_no)).await;
    let detail = detail.unwrap().unwrap();
    assert_eq!(Some(detail.refunds[0].refund.total_minor), copy["total_minor"].as_i64());
    assert!(
        detail.events.iter().any(|event| event.text.contains("does not hear of it")),
        "{:?}",
        detail.events
    );
}

/// An order of Amazon in the shop, where refunds are passed on.
async fn amazon_sale() -> (Rig, OrderNo) {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    let mut settings = rig.engine.connection(rig.amazon).unwrap().settings;
    settings.send_refunds = Some(true);
    let update = ConnectionUpdate { settings: Some(settings), ..ConnectionUpdate::default() };
    rig.engine.change_connection(rig.amazon, update, "test").await.unwrap();
    let id = rig.sell(1);
    rig.pass(120).await;
    let copy = rig.shop_orders_of(&id).remove(0);
    let order_no = rig.order_no(&id).await;
    rig.control("bigcommerce", "refund", &json!({"id": copy["id"], "amount_minor": 100}));
    (rig, order_no)
}

fn refund_effect(rig: &Rig, order_no: OrderNo) -> Option<Effect> {
    let open = rig.engine.with_queue(|queue| queue.of_order(order_no));
    open.into_iter().find(|effect| effect.kind == EffectKind::RefundOrder)
}

/// The effect once the feed has been handed over.
async fn handed_over(rig: &mut Rig, order_no: OrderNo) -> Effect {
    for _ in 0..600 {
        if let Some(effect) = refund_effect(rig, order_no).filter(|effect| effect.ticket.is_some()) {
            return effect;
        }
        rig.pass(1).await;
    }
    panic!("no feed was made");
}

async fn set_ticket(rig: &mut Rig, effect: &Effect, ticket: Option<&'static str>) {
    let id = effect.id;
    let set = move |tx: &mut crate::store::Tx<'_>| crate::store::effects::set_ticket(tx, id, ticket);
    rig.engine.store().write(WriteLane::Interactive, set).await.unwrap();
    rig.restart().await;
}

#[tokio::test]
async fn a_feed_that_amazon_gave_up_is_sent_again_only_by_who_has_looked() {
    let (mut rig, order_no) = amazon_sale().await;
    rig.control("amazon", "feed", &json!({"outcome": "FATAL"}));
    rig.pass(1_200).await;
    let code = |rig: &Rig| {
        let held = refund_effect(rig, order_no).filter(|effect| effect.state == EffectState::Held);
        held.and_then(|effect| effect.reason).map(|reason| reason.code)
    };
    assert_eq!(code(&rig), Some(ReasonCode::RefundInDoubt));
    rig.engine.retry(order_no, "ada").await.unwrap();
    rig.engine.retry_reason(ReasonCode::RefundInDoubt, "ada").await.unwrap();
    rig.pass(1_200).await;
    assert_eq!((code(&rig), rig.truth("amazon", "feeds").len()), (Some(ReasonCode::RefundInDoubt), 1));
    let held = refund_effect(&rig, order_no).unwrap();
    rig.engine.settle_by_hand(order_no, held.id, Verdict::SendAgain, "ada").await.unwrap();
    rig.pass(1_200).await;
    assert_eq!((refund_effect(&rig, order_no), rig.truth("amazon", "feeds").len()), (None, 2));
}

#[tokio::test]
async fn a_refund_that_amazon_refused_is_sent_again_by_no_plain_retry() {
    let (mut rig, order_no) = amazon_sale().await;
    rig.control("amazon", "feed", &json!({"outcome": "CANCELLED"}));
    rig.pass(1_200).await;
    rig.engine.retry(order_no, "ada").await.unwrap();
    rig.engine.retry_reason(ReasonCode::RefundRefused, "ada").await.unwrap();
    rig.pass(1_200).await;
    let held = refund_effect(&rig, order_no).unwrap();
    assert_eq!(held.reason.map(|reason| reason.code), Some(ReasonCode::RefundRefused));
    assert_eq!((held.state, rig.truth("amazon", "feeds").len()), (EffectState::Held, 1));
}

#[tokio::test]
async fn a_crash_before_the_ticket_was_kept_does_not_forget_a_feed_that_its_refund_knows() {
    let (mut rig, order_no) = amazon_sale().await;
    let effect = handed_over(&mut rig, order_no).await;
    set_ticket(&mut rig, &effect, None).await;
    rig.pass(1_800).await;
    assert_eq!((refund_effect(&rig, order_no), rig.truth("amazon", "feeds").len()), (None, 1));
}

#[tokio::test]
async fn a_refund_that_was_asked_for_and_cannot_be_looked_at_is_in_doubt() {
    let (mut rig, order_no) = amazon_sale().await;
    let effect = handed_over(&mut rig, order_no).await;
    set_ticket(&mut rig, &effect, Some("4711:1")).await;
    rig.pass(3_600).await;
    let held = refund_effect(&rig, order_no).unwrap();
    let reason = held.reason.unwrap();
    assert_eq!((held.state, reason.code), (EffectState::Held, ReasonCode::RefundInDoubt));
    assert!(reason.detail.unwrap().contains("could not be looked at"));
    assert_eq!(held.ticket.as_deref(), Some("4711:1"), "a retry only asks");
}

#[tokio::test]
async fn a_refund_that_was_made_on_the_marketplace_and_is_recorded_in_the_shop_is_not_made_again() {
    for verdict in Verdict::ALL {
        let mut sale = Sale::new("ebay").await;
        sale.give_back_by_hand(150);
        sale.in_shop("refund", json!({"amount_minor": 150}));
        sale.pass(900).await;
        assert_eq!((sale.held_for(), sale.given_back()), (vec![Some(ReasonCode::RefundInDoubt)], vec![150]));
        sale.settle(*verdict).await.unwrap();
        sale.pass(900).await;
        let again = usize::from(*verdict == Verdict::SendAgain);
        assert_eq!((sale.open(), sale.given_back().len()), (Vec::new(), 1 + again), "{verdict}");
        // Another of the same amount is another.
        if *verdict == Verdict::Done {
            sale.in_shop("refund", json!({"amount_minor": 150}));
            sale.pass(900).await;
            assert_eq!((sale.held_for(), sale.given_back().len()), (Vec::new(), 2));
        }
    }
}

#[tokio::test]
async fn a_refund_that_is_made_by_hand_while_ours_is_in_doubt_is_not_taken_for_ours() {
    let mut sale = Sale::new("ebay").await;
    sale.other.rig.fault("ebay", "issueRefund", "timeout_before", 1);
    sale.in_shop("refund", json!({"amount_minor": 250}));
    for _ in 0..600 {
        if sale.calls_of("ebay", "issueRefund") > 0 {
            break;
        }
        sale.pass(1).await;
    }
    let order_no = sale.order_no;
    let detail = sale.engine().store().read(move |read| crate::store::orders::detail(read, order_no)).await;
    let sent = detail.unwrap().unwrap().refunds[0].refund.sent_minor();
    sale.give_back_by_hand(sent);
    sale.pass(3_600).await;
    assert_eq!(sale.calls_of("ebay", "issueRefund"), 1);
    assert_eq!((sale.held_for(), sale.given_back()), (vec![Some(ReasonCode::RefundInDoubt)], vec![sent]));
    let held = sale.open().into_iter().find(|effect| effect.state == EffectState::Held).unwrap();
    assert!(held.reason.unwrap().detail.unwrap().contains("made on its own page"));
    sale.settle(Verdict::Done).await.unwrap();
    sale.pass(600).await;
    assert_eq!((sale.open(), sale.given_back()), (Vec::new(), vec![sent]));
}

#[tokio::test]
async fn a_refund_that_ebay_could_not_make_waits_for_a_person_and_goes_out_again() {
    let mut sale = Sale::new("ebay").await;
    sale.in_shop("refund", json!({"amount_minor": 250}));
    for _ in 0..600 {
        if !sale.given_back().is_empty() {
            break;
        }
        sale.pass(1).await;
    }
    sale.other.rig.control("ebay", "fail_refund", &json!({"id": sale.id}));
    sale.pass(600).await;
    assert_eq!((sale.held_for(), sale.given_back()), (vec![Some(ReasonCode::RefundRefused)], vec![]));
    sale.settle(Verdict::SendAgain).await.unwrap();
    sale.pass(600).await;
    assert_eq!((sale.open(), sale.given_back().len()), (Vec::new(), 1));
    assert_eq!(sale.calls_of("ebay", "issueRefund"), 2);
    sale.assert_sound().await;
}

#[tokio::test]
async fn no_refund_goes_out_after_a_cancellation_though_the_order_does_not_say_so_yet() {
    let mut sale = Sale::new("ebay").await;
    let (order_no, owner) = (sale.order_no, sale.owner());
    let end = move |tx: &mut crate::store::Tx<'_>| {
        let new = crate::domain::effect::NewEffect {
            kind: EffectKind::CancelOrder,
            revision: "cancelled".to_owned(),
            connection: owner,
            lane: crate::domain::effect::Lane::Orders,
            due_at: tx.now(),
            held: None,
        };
        let opened = crate::store::effects::open(tx, order_no, &new)?.unwrap();
        let outcome = crate::domain::effect::EffectOutcome::Done;
        crate::store::effects::finish(tx, opened.id, outcome, "eBay cancelled it.")
    };
    sale.engine().store().write(WriteLane::Interactive, end).await.unwrap();
    sale.in_shop("refund", json!({"amount_minor": 250}));
    sale.pass(900).await;
    assert_eq!((sale.calls_of("ebay", "issueRefund"), sale.open()), (0, Vec::new()));
    assert!(sale.timeline().await.contains("no refund was sent"));
}

#[tokio::test]
async fn a_refund_in_part_does_not_set_a_cancelled_order_back() {
    let mut sale = Sale::new("ebay").await;
    sale.engine().pause(sale.owner(), "ada").await.unwrap();
    sale.in_shop("cancel", json!({}));
    sale.pass(300).await;
    sale.in_shop("refund", json!({"amount_minor": 100}));
    sale.pass(300).await;
    assert_eq!(sale.copy()["status_id"], 14);
    sale.engine().resume(sale.owner(), "ada").await.unwrap();
    sale.pass(1_800).await;
    assert_eq!((sale.theirs()["status"].clone(), sale.open()), (json!("cancelled"), Vec::new()));
    assert_eq!(sale.calls_of("ebay", "issueRefund"), 0, "eBay gives everything back");
    assert_eq!(sale.timeline().await.matches("cancelled_in_shop").count(), 1);
}

#[tokio::test]
async fn what_the_buyer_asked_ebay_to_cancel_is_granted_once() {
    for kind in ["", "timeout_after", "timeout_before", "500", "late"] {
        let mut sale = Sale::new("ebay").await;
        sale.other.rig.control("ebay", "ask_cancel", &json!({"id": sale.id}));
        sale.pass(300).await;
        assert_eq!(sale.theirs()["status"], "open", "{kind}: eBay waits for the seller");
        assert_eq!(wishes(sale.engine()).await, 1, "{kind}: somebody has to hear of it");
        if !kind.is_empty() {
            sale.other.rig.fault("ebay", "approveCancellation", kind, 1);
        }
        sale.in_shop("cancel", json!({}));
        sale.pass(1_800).await;
        assert_eq!(
            (sale.theirs()["status"].clone(), sale.open()),
            (json!("cancelled"), Vec::new()),
            "{kind}"
        );
        assert_eq!(sale.calls_of("ebay", "createCancellation"), 0, "{kind}");
        assert_eq!(wishes(sale.engine()).await, 0, "{kind}: it is settled");
        assert_eq!(sale.timeline().await.matches("cancel_asked").count(), 1, "{kind}");
    }
}

/// Orders for which somebody is to hear that their buyers ask to cancel them.
async fn wishes(engine: &Engine) -> usize {
    let open = engine.store().read(incidents::open_incidents).await.unwrap();
    open.iter().filter(|incident| incident.what.kind == "buyer_asks_to_cancel").count()
}

#[tokio::test]
async fn only_what_the_buyer_asked_amazon_to_cancel_is_cancelled_in_the_buyers_name() {
    for (is_asked, word) in [(true, "BuyerCanceled"), (false, "NoInventory")] {
        let mut rig = Rig::new(quiet(), |_| ()).await;
        let mut settings = rig.engine.connection(rig.amazon).unwrap().settings;
        settings.send_cancellations = Some(true);
        let update = ConnectionUpdate { settings: Some(settings), ..ConnectionUpdate::default() };
        rig.engine.change_connection(rig.amazon, update, "test").await.unwrap();
        let id = rig.sell(1);
        rig.pass(120).await;
        if is_asked {
            rig.control("amazon", "ask_cancel", &json!({"id": id}));
        }
        rig.pass(600).await;
        assert_eq!(wishes(&rig.engine).await, usize::from(is_asked));
        let copy = rig.shop_orders_of(&id).remove(0);
        rig.control("bigcommerce", "cancel", &json!({"id": copy["id"]}));
        rig.pass(3_600).await;
        let order = rig.truth("amazon", "orders").into_iter().find(|order| order["id"] == *id).unwrap();
        assert_eq!((&order["status"], &order["cancel_reasons"]), (&json!("cancelled"), &json!([word])));
        assert_eq!(wishes(&rig.engine).await, 0);
    }
}

/// What counts as refunded, and the marketplace's refunds.
async fn refunds_of(sale: &Sale) -> (i64, Vec<HeldMarketplaceRefund>) {
    let order_no = sale.order_no;
    let detail = sale.engine().store().read(move |read| crate::store::orders::detail(read, order_no)).await;
    let detail = detail.unwrap().unwrap();
    (detail.row.refund_minor, detail.marketplace_refunds)
}

#[tokio::test]
async fn what_is_given_back_on_the_marketplaces_own_page_counts_and_is_said_once() {
    for name in ["ebay", "etsy"] {
        let mut sale = Sale::new(name).await;
        sale.give_back_by_hand(250);
        sale.pass(1_800).await;
        let (counted, held) = refunds_of(&sale).await;
        assert_eq!(held.iter().map(|one| one.refund.told_minor).collect::<Vec<_>>(), [250], "{name}");
        assert_eq!(counted, held[0].refund.total_minor, "{name}");
        assert!(counted >= 250, "{name}: with the tax that eBay gives back itself");
        assert_eq!((held[0].shop_refund_id.as_deref(), sale.open()), (None, Vec::new()), "{name}");
        let timeline = sale.timeline().await;
        assert_eq!(timeline.matches("refunded_on_marketplace").count(), 1, "{name}: {timeline}");
        assert!(timeline.contains("gave 2.50 USD back"), "{name}: {timeline}");
        assert!(!timeline.contains("after it went into the shop"), "{name}: a refund is no edit: {timeline}");
        sale.assert_sound().await;
        // The rest makes the whole, to the minor unit.
        let left = if name == "ebay" { sale.minor("seller_minor") } else { sale.minor("total_minor") } - 250;
        sale.give_back_by_hand(left);
        sale.pass(1_800).await;
        assert_eq!(refunds_of(&sale).await.0, sale.minor("total_minor"), "{name}");
        sale.assert_sound().await;
    }
}

#[tokio::test]
async fn a_refund_that_ebay_made_for_the_shop_is_said_and_counts_once() {
    let mut sale = Sale::new("ebay").await;
    for minor in [333, 101, 7] {
        sale.in_shop("refund", json!({"amount_minor": minor}));
        sale.pass(1_800).await;
    }
    let (counted, held) = refunds_of(&sale).await;
    assert_eq!(counted, 441, "what the shop gave back, though eBay rounds");
    assert_eq!(
        held.iter().map(|one| one.refund.told_minor).sum::<i64>(),
        sale.given_back().iter().sum::<i64>()
    );
    assert!(held.iter().all(|one| one.shop_refund_id.is_some()), "{held:?}");
    let timeline = sale.timeline().await;
    assert_eq!(timeline.matches("refunded_on_marketplace").count(), 0, "{timeline}");
    assert_eq!(timeline.matches("refund_sent").count(), 3, "{timeline}");
    assert_eq!(sale.open(), []);
    sale.assert_sound().await;
}

#[tokio::test]
async fn a_refund_that_somebody_made_by_hand_for_the_shops_is_not_said_again() {
    let mut sale = Sale::new("ebay").await;
    sale.other.rig.fault("ebay", "issueRefund", "timeout_before", 1);
    sale.in_shop("refund", json!({"amount_minor": 250}));
    sale.pass(3_600).await;
    assert_eq!(sale.held_for(), [Some(ReasonCode::RefundInDoubt)]);
    sale.settle(Verdict::Done).await.unwrap();
    let order_no = sale.order_no;
    let rows = sale.engine().store().read(move |read| crate::store::refunds::of_order(read, order_no)).await;
    sale.give_back_by_hand(rows.unwrap()[0].refund.sent_minor());
    sale.pass(1_800).await;
    let (counted, held) = refunds_of(&sale).await;
    assert_eq!((counted, held.len()), (250, 1));
    assert!(held[0].shop_refund_id.is_some());
    assert!(!sale.timeline().await.contains("refunded_on_marketplace"));
    sale.assert_sound().await;
}

//! News of an order while it goes into the shop.

use super::*;
use crate::store::orders::{ImportBatch, ImportItem};
use crate::store::{Tx, WriteLane, effects, orders};
use crate::sync::jobs::Job;

/// What arrives after an order was read for its create is either in the create or told of as an edit: never neither.
#[tokio::test]
async fn an_order_that_changes_while_its_create_is_made_ready_is_read_again() {
    let mut rig = Rig::new(quiet(), |_| ()).await;
    // A process that has just started asks the shop for the SKU first, and waits there.
    let gate = Gate::before("getVariants");
    rig.restart_with(Some(Arc::clone(&gate))).await;
    let sold = rig.sell(1);
    rig.clock.advance(Duration::from_secs(60));
    rig.engine.run_job(rig.shop, Job::PollShop).await;
    rig.engine.run_job(rig.amazon, Job::PollOrders).await;
    let open = rig.engine.store().read(effects::open_effects).await.unwrap();
    let [effect] = open.as_slice() else { panic!("{open:?}") };
    let (engine, effect) = (rig.engine.clone(), effect.clone());
    let order_no = effect.order_no;
    let run = tokio::spawn(async move { engine.run_effect(effect).await });
    gate.reached.notified().await;
    rig.hear_of(order_no).await;
    gate.opened.notify_one();
    run.await.unwrap();
    assert_eq!(rig.shop_orders_of(&sold).len(), 0);
    let open = rig.engine.store().read(effects::open_effects).await.unwrap();
    let [effect] = open.as_slice() else { panic!("{open:?}") };
    assert_eq!((effect.state, effect.attempts), (EffectState::Due, 0));

    // Read again, it goes into the shop as it is now.
    rig.engine.run_effect(effect.clone()).await;
    assert_eq!(rig.shop_orders_of(&sold).len(), 1);
}

impl Rig {
    /// News of an order arrive: it is to be sent in another way.
    async fn hear_of(&self, order_no: OrderNo) {
        let store = self.engine.store();
        let held = store.read(move |read| orders::facts(read, order_no)).await.unwrap();
        let (mut facts, ..) = held.unwrap();
        facts.updated_at += SignedDuration::from_secs(1);
        facts.shipping_method = Some("Overnight".to_owned());
        let news = ImportItem::new(
            Some(facts.external_id.clone()),
            json!({"news": facts.shipping_method}).to_string(),
            Vec::new(),
            Ok(facts),
        );
        let batch = ImportBatch {
            connection: self.engine.connection(self.amazon).unwrap(),
            orders: vec![news],
            stream: None,
            is_bulk: false,
            now: self.clock.now(),
            actor: "test".to_owned(),
        };
        let import = move |tx: &mut Tx<'_>| orders::import(tx, &batch);
        assert_eq!(store.write(WriteLane::Interactive, import).await.unwrap().updated, 1);
    }
}

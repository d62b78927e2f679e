//! A second appliance on the same shop is noticed, whatever name its orders bear.

use super::*;
use crate::store::incidents;

impl Rig {
    /// Somebody creates an order in the shop for one of the marketplace's, in the name of an installation.
    fn creates(&self, external_id: &str, installation: &str) -> String {
        let account = self.engine.connection(self.amazon).unwrap().account;
        let order = self.call_shop(
            http::Method::POST,
            "",
            &json!({
                "status_id": 11,
                "billing_address": {
                    "first_name": "A", "last_name": "B", "street_1": "1 Main St", "city": "Austin", "state": "Texas",
                    "zip": "78701", "country": "United States", "country_iso2": "US", "email": "a@example.test"
                },
                "products": [{"name": "Mug", "quantity": 1, "price_inc_tax": 5, "price_ex_tax": 5}],
                "external_id": null,
                "external_source": format!("eider:amazon:{account}:{installation}"),
                "external_order_id": external_id,
            }),
        );
        order["id"].to_string()
    }

    fn shop_state(&self) -> ConnectionState {
        self.engine.connection(self.shop).unwrap().state
    }

    /// The kinds of open incidents, and what they say.
    async fn incidents(&self) -> Vec<(String, String)> {
        let open = self.engine.store().read(incidents::open_incidents).await.unwrap();
        open.into_iter().map(|incident| (incident.what.kind, incident.what.text)).collect()
    }
}

#[tokio::test]
async fn who_works_on_a_copy_of_our_data_is_noticed_before_anything_is_doubled() {
    let mut rig = Rig::new(quiet(), |_| {}).await;
    let sold = rig.sell(1);
    rig.pass(300).await;
    assert_eq!((rig.shop_state(), rig.incidents().await), (ConnectionState::Active, Vec::new()));

    let us = rig.engine.store().installation().id;
    let made = rig.creates("113-0000001-0000001", &us);
    rig.pass(120).await;
    assert_eq!(rig.shop_state(), ConnectionState::Paused);
    let told = rig.incidents().await;
    let [(kind, text)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(kind, "second_appliance");
    assert!(text.contains(&made) && text.contains("copy of this data folder"), "{text}");

    // Nothing is created meanwhile; whoever resumes is told of nothing old, but of the next one.
    let waits = rig.sell(1);
    rig.pass(600).await;
    assert_eq!(rig.shop_orders_of(&waits).len(), 0);
    rig.engine.resume(rig.shop, "test").await.unwrap();
    rig.call_shop(http::Method::PUT, &format!("/{made}"), &json!({"staff_notes": "whose is this?"}));
    rig.pass(600).await;
    assert_eq!(rig.shop_state(), ConnectionState::Active);
    assert_eq!((rig.shop_orders_of(&sold).len(), rig.shop_orders_of(&waits).len()), (1, 1));
    rig.creates("113-0000001-0000002", &us);
    rig.pass(120).await;
    assert_eq!(rig.shop_state(), ConnectionState::Paused);
}

#[tokio::test]
async fn an_order_that_the_shop_has_twice_stops_the_connection_and_goes_on_with_the_one_that_is_left() {
    let mut rig = Rig::new(quiet(), |_| {}).await;
    let sold = rig.sell(1);
    let copies = [rig.creates(&sold, "other"), rig.creates(&sold, "other")];
    rig.pass(300).await;
    let kinds = |told: Vec<(String, String)>| {
        let mut kinds: Vec<String> = told.into_iter().map(|(kind, _)| kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    assert_eq!(rig.shop_state(), ConnectionState::Paused);
    assert_eq!(kinds(rig.incidents().await), ["duplicate_in_shop", "second_appliance"]);

    // Resumed without anything done about it, our own create meets both.
    let order_no = rig.wait_for_order(&sold).await;
    rig.engine.resume(rig.shop, "test").await.unwrap();
    rig.pass(120).await;
    assert_eq!(rig.shop_state(), ConnectionState::Paused);
    assert_eq!(rig.export(&sold).await.1, Some(ReasonCode::DuplicateInShop));
    assert_eq!(rig.shop_orders_of(&sold).len(), 2);

    rig.call_shop(http::Method::PUT, &format!("/{}", copies[0]), &json!({"status_id": 5}));
    rig.engine.resume(rig.shop, "test").await.unwrap();
    rig.pass(120).await;
    rig.engine.retry(order_no, "test").await.unwrap();
    rig.pass(120).await;
    assert_eq!(rig.shop_state(), ConnectionState::Active);
    assert_eq!(rig.export(&sold).await, (ExportState::Created, None));
    let held = rig.engine.store().read(crate::store::standing::standings).await.unwrap();
    let standing = held.iter().find(|order| order.order_no == order_no).unwrap();
    assert_eq!(standing.shop_order_id.as_ref(), Some(&copies[1]));
}

/// Two changes at the same time take turns, so that memory and file end with the same state: the later wish's.
#[tokio::test]
async fn a_state_that_changes_from_two_sides_is_the_same_in_memory_and_on_disk() {
    use crate::store::connections;
    let rig = Rig::new(quiet(), |_| {}).await;
    let (engine, shop) = (&rig.engine, rig.shop);
    for _ in 0..5 {
        let (paused, resumed) = tokio::join!(engine.pause(shop, "ada"), engine.resume(shop, "bob"));
        assert_eq!((paused, resumed), (Ok(()), Ok(())));
        let held = engine.store().read(move |read| connections::get(read, shop)).await.unwrap().unwrap();
        let known = engine.connection(shop).unwrap();
        assert_eq!((known.state, held.state), (ConnectionState::Active, ConnectionState::Active));
    }
}

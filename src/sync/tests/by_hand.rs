//! What people do where a platform's API does not, against the simulated Etsy behind its wall.

use super::*;
use crate::domain::customer::Address;
use crate::domain::effect::EffectKind;

fn address(street: &str) -> Address {
    let text = |text: &str| Some(text.to_owned());
    Address {
        name: text("Grace Example"),
        street: vec![street.to_owned()],
        city: text("Springfield"),
        region: text("IL"),
        postal_code: text("62704"),
        country: text("US"),
        ..Address::default()
    }
}

async fn detail(rig: &Rig, order_no: OrderNo) -> crate::store::orders::OrderDetail {
    let read = rig.engine.store().read(move |read| crate::store::orders::detail(read, order_no)).await;
    read.unwrap().unwrap()
}

async fn numbered(rig: &Rig, id: &str) -> OrderNo {
    let etsy =
        rig.engine.connections().into_iter().find(|known| known.channel.as_str() == "etsy").unwrap().id;
    let id = id.to_owned();
    let found = rig.engine.store().read(move |read| crate::store::orders::find(read, etsy, &id)).await;
    found.unwrap().unwrap()
}

#[tokio::test]
async fn an_order_behind_the_wall_goes_on_with_an_address_by_hand_and_ends_with_a_parcel_told_by_hand() {
    let mut other = Other::new("etsy", "createReceiptShipment").await;
    other.rig.control("etsy", "wall", &json!({"on": true}));
    let id = other.sell();
    other.rig.pass(300).await;
    assert_eq!(other.rig.shop_orders_of(&id).len(), 0);
    let no = numbered(&other.rig, &id).await;
    let held = detail(&other.rig, no).await;
    assert_eq!(held.row.reason.unwrap().code, ReasonCode::AddressMissing);
    assert!(held.address_entered.is_none());

    let incomplete = Address { street: Vec::new(), ..address("") };
    assert!(other.rig.engine.enter_address(no, incomplete, "ada").await.is_err());
    other.rig.engine.enter_address(no, address("1 Test Street"), "ada").await.unwrap();
    other.rig.pass(120).await;
    let copies = other.rig.shop_orders_of(&id);
    assert_eq!(copies.len(), 1, "{:?}", detail(&other.rig, no).await.row.reason);
    assert_eq!(copies[0]["total_minor"], other.order(&id)["total_minor"]);
    let shown = detail(&other.rig, no).await;
    assert_eq!(shown.people.unwrap().ship_to.unwrap().street, ["1 Test Street"]);
    assert_eq!(shown.address_entered.unwrap().0, "ada");
    let late = other.rig.engine.enter_address(no, address("2 Test Street"), "ada").await;
    assert!(late.unwrap_err().contains("in the shop already"));

    let ship = json!({"id": copies[0]["id"], "carrier": "USPS", "tracking": "9400100000000000000001"});
    other.rig.control("bigcommerce", "ship", &ship);
    other.rig.pass(1_800).await;
    let waiting = detail(&other.rig, no).await;
    let confirm: Vec<_> =
        waiting.effects.iter().filter(|effect| effect.kind == EffectKind::ConfirmShipment).collect();
    assert_eq!(confirm.len(), 1, "{waiting:?}");
    assert_eq!(confirm[0].state, EffectState::Held);
    assert!(other.rig.engine.told_by_hand(no, 9, "ada").await.is_err(), "there is no such parcel");
    other.rig.engine.told_by_hand(no, 1, "ada").await.unwrap();
    assert!(other.rig.engine.told_by_hand(no, 1, "ada").await.is_err(), "nothing waits any more");
    let done = detail(&other.rig, no).await;
    assert!(done.shipments[0].told_at.is_some());
    assert!(done.effects.is_empty(), "{:?}", done.effects);
    let calls = other.rig.calls("etsy")[other.operation].to_string();
    other.rig.pass(7_200).await;
    assert_eq!(other.rig.calls("etsy")[other.operation].to_string(), calls, "nothing is sent for it");
    other.rig.restart().await;
    assert!(detail(&other.rig, no).await.effects.is_empty());
}

#[tokio::test]
async fn an_address_is_corrected_until_the_order_is_in_the_shop() {
    let mut other = Other::new("etsy", "createReceiptShipment").await;
    other.rig.control("etsy", "wall", &json!({"on": true}));
    let id = other.sell();
    other.rig.pass(300).await;
    let no = numbered(&other.rig, &id).await;
    let shop = other.rig.shop;
    other.rig.engine.pause(shop, "ada").await.unwrap();
    for street in ["1 Wrong Street", "1 Right Street"] {
        other.rig.engine.enter_address(no, address(street), "ada").await.unwrap();
    }
    let texts = |people: Vec<String>| people.join("\n");
    let kept = other.rig.engine.store().read(|read| {
        read.rows("SELECT people FROM main.person WHERE people LIKE '%Street%'", [], |row| Ok(row.get(0)?))
    });
    let kept = texts(kept.await.unwrap());
    assert!(kept.contains("1 Right Street") && !kept.contains("Wrong"), "{kept}");
    other.rig.engine.resume(shop, "ada").await.unwrap();
    other.rig.pass(600).await;
    assert_eq!(other.rig.shop_orders_of(&id).len(), 1);
}

/// Neither eBay nor Etsy lets a parcel change: told again, it would be a second one there, and come back as one that we do not
/// know.
#[tokio::test]
async fn a_parcel_waits_for_its_number_and_a_number_that_changes_later_waits_for_a_person() {
    for (name, operation) in OTHERS {
        let mut other = Other::new(name, operation).await;
        let id = other.sell();
        other.rig.pass(120).await;
        let copy = other.rig.shop_orders_of(&id).remove(0);
        let ship = json!({"id": copy["id"], "carrier": "USPS", "tracking": ""});
        other.rig.control("bigcommerce", "ship", &ship);
        other.rig.pass(600).await;
        let untold = other.order(&id);
        assert_eq!(untold["status"], "open", "{name}: {untold}");
        for tracking in ["940011", "940022"] {
            other.rig.enter_tracking(&other.rig.shop_orders_of(&id)[0], tracking);
            other.rig.pass(1_800).await;
        }
        let order = other.order(&id);
        let told = order["shipments"].as_array().unwrap();
        assert_eq!(told.len(), 1, "{name}: {order}");
        assert_eq!(told[0]["tracking"], "940011", "{name}: {order}");
        let copy = other.rig.shop_orders_of(&id).remove(0);
        assert_eq!(copy["shipments"].as_array().unwrap().len(), 1, "{name}: {copy}");
        assert_eq!(copy["shipments"][0]["tracking"], "940022", "{name}: {copy}");
        let waits =
            other.rig.engine.with_queue(|queue| queue.orders_waiting_for(ReasonCode::TrackingChanged));
        assert_eq!(waits.len(), 1, "{name}");
        other.rig.engine.told_by_hand(waits[0], 1, "ada").await.unwrap();
        other.rig.pass(1_800).await;
        let shown = detail(&other.rig, waits[0]).await;
        assert!(shown.effects.is_empty(), "{name}: {:?}", shown.effects);
    }
}

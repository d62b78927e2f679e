//! An authorisation that ends, rotates or gets lost on its way costs no order.

use super::*;

fn account(other: &Other) -> Connection {
    let all = other.rig.engine.connections();
    all.into_iter().find(|known| known.channel.as_str() == other.name).unwrap()
}

/// A person authorises the account again.
async fn authorise(other: &mut Other) {
    let credentials = connection_requests(&other.rig.world).remove(other.name).unwrap().credentials;
    let update = ConnectionUpdate { credentials, ..ConnectionUpdate::default() };
    other.rig.engine.change_connection(account(other).id, update, "test").await.unwrap();
    other.rig.pass(1_200).await;
    assert_eq!(account(other).state, ConnectionState::Active, "{}", other.name);
}

#[tokio::test]
async fn an_authorisation_that_is_gone_for_days_costs_no_order_and_people_are_told() {
    for (name, operation) in OTHERS {
        let mut other = Other::new(name, operation).await;
        let known = other.sell();
        other.rig.pass(300).await;
        let copy = other.rig.shop_orders_of(&known).remove(0);
        other.rig.control(name, "revoke", &json!({}));
        other.rig.pass(3 * 3_600).await;
        assert_eq!(account(&other).state, ConnectionState::NeedsReauthorisation, "{name}");
        let board = Board::default();
        assert_eq!(other.rig.engine.tell_people(&board, &jiff::tz::TimeZone::UTC).await, Ok(1), "{name}");
        // What happens on both sides meanwhile is made up for.
        other.rig.control(
            "bigcommerce",
            "ship",
            &json!({"id": copy["id"], "carrier": "USPS", "tracking": "9400"}),
        );
        let mut sold = Vec::new();
        for _ in 0..3 {
            sold.push(other.sell());
            other.rig.pass(DAY_S).await;
        }
        assert!(sold.iter().all(|id| other.rig.shop_orders_of(id).is_empty()), "{name}");
        assert_eq!(other.order(&known)["shipments"], json!([]), "{name}");
        authorise(&mut other).await;
        for id in &sold {
            assert_eq!(other.rig.shop_orders_of(id).len(), 1, "{name}: {id}");
        }
        let parcels = other.order(&known)["shipments"].clone();
        assert_eq!(parcels.as_array().map(Vec::len), Some(1), "{name}: {parcels}");
        assert_eq!(other.rig.engine.tell_people(&board, &jiff::tz::TimeZone::UTC).await, Ok(0), "{name}");
        other.rig.assert_sound().await;
    }
}

/// Etsy's refresh token dies as a new one is given: the new one is kept before it is used.
#[tokio::test]
async fn a_grant_that_rotates_survives_a_restart() {
    let mut other = Other::new("etsy", "").await;
    for _ in 0..3 {
        other.rig.pass(5_400).await;
        other.rig.restart().await;
    }
    let id = other.sell();
    other.rig.pass(600).await;
    assert_eq!(account(&other).state, ConnectionState::Active);
    assert_eq!(other.rig.shop_orders_of(&id).len(), 1);
    let tokens = other.rig.calls("etsy")["token"].clone();
    assert!(tokens["200"].as_u64() > Some(3), "it rotated: {tokens}");
}

#[tokio::test]
async fn a_grant_that_was_lost_as_the_process_died_costs_no_order() {
    let mut other = Other::new("etsy", "").await;
    let tokens = |other: &Other| {
        let counted = other.rig.calls("etsy")["token"].clone();
        counted.as_object().map_or(0, |counts| counts.values().filter_map(Value::as_u64).sum::<u64>())
    };
    let before = tokens(&other);
    other.rig.fault("etsy", "token", "timeout_after", 1);
    for _ in 0..300 {
        if tokens(&other) > before {
            break;
        }
        other.rig.pass(30).await;
    }
    assert!(tokens(&other) > before);
    other.rig.restart().await;
    let id = other.sell();
    other.rig.pass(3_600).await;
    assert_eq!(account(&other).state, ConnectionState::NeedsReauthorisation);
    assert!(other.rig.shop_orders_of(&id).is_empty());
    authorise(&mut other).await;
    assert_eq!(other.rig.shop_orders_of(&id).len(), 1);
    other.rig.assert_sound().await;
}

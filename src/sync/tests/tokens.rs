//! An authorisation that ends, rotates or gets lost on its way costs no order.

use super::super::consent::UNSAVED;
use super::*;

fn account(other: &Other) -> Connection {
    let all = other.rig.engine.connections();
    all.into_iter().find(|known| known.channel.as_str() == other.name).unwrap()
}

/// Polls that are far apart make days of simulated time cheap.
async fn slow_down(other: &Other) {
    for connection in other.rig.engine.connections() {
        let settings = ConnectionSettings { poll_interval_s: Some(1_800), ..connection.settings };
        let update = ConnectionUpdate { settings: Some(settings), ..ConnectionUpdate::default() };
        other.rig.engine.change_connection(connection.id, update, "test").await.unwrap();
    }
}

/// A person authorises the account again.
async fn authorise(other: &mut Other) {
    let credentials = connection_requests(&other.rig.world).remove(other.name).unwrap().credentials;
    let update = ConnectionUpdate { credentials, ..ConnectionUpdate::default() };
    other.rig.engine.change_connection(account(other).id, update, "test").await.unwrap();
    other.rig.pass(7_200).await;
    assert_eq!(account(other).state, ConnectionState::Active, "{}", other.name);
}

#[tokio::test]
async fn an_authorisation_that_is_gone_for_days_costs_no_order_and_people_are_told() {
    for (name, operation) in OTHERS {
        let mut other = Other::new(name, operation).await;
        let known = other.sell();
        other.rig.pass(300).await;
        let copy = other.rig.shop_orders_of(&known).remove(0);
        slow_down(&other).await;
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

/// Two connectors of one connection would each renew with the same refresh token, and the second one be refused.
#[tokio::test]
async fn whoever_asks_at_the_same_time_gets_the_same_connector() {
    let other = Other::new("etsy", "").await;
    let (engine, id) = (&other.rig.engine, account(&other).id);
    for _ in 0..1_000 {
        engine.drop_connector(id);
        let both = std::sync::Barrier::new(2);
        let ask = || {
            both.wait();
            engine.connector(id).unwrap()
        };
        let (one, two) = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(ask), scope.spawn(ask));
            (one.join().unwrap(), two.join().unwrap())
        });
        assert!(Arc::ptr_eq(&one, &two));
    }
}

/// Somebody saves what is being tested, or enters a new token while the old one is being renewed.
#[tokio::test]
async fn what_is_entered_while_a_token_is_being_replaced_waits_for_it() {
    for is_tested in [true, false] {
        let other = Other::new("etsy", "").await;
        let (engine, id) = (other.rig.engine.clone(), account(&other).id);
        let renewals = engine.renewals(if is_tested { UNSAVED } else { id });
        let renewal = renewals.lock().await;
        let entered = BTreeMap::from([("refresh_token".to_owned(), Secret::from("entered"))]);
        let update = ConnectionUpdate { credentials: entered.clone(), ..ConnectionUpdate::default() };
        let change = {
            let engine = engine.clone();
            tokio::spawn(async move { engine.change_connection(id, update, "test").await })
        };
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert!(!change.is_finished());
        let asked = Connection { id: if is_tested { UNSAVED } else { id }, ..account(&other) };
        let sink = engine.connector_setup(&asked, entered).unwrap().credential_sink;
        sink.keep(asked.id, "refresh_token", &Secret::from("replaced")).unwrap();
        assert_eq!(sink.kept(asked.id, "refresh_token"), Some(Secret::from("replaced")));
        drop(renewal);
        change.await.unwrap().unwrap();
        let held =
            engine.inner.parts.vault.read(|document| document.connections[&id.0]["refresh_token"].clone());
        assert_eq!(held, if is_tested { "replaced" } else { "entered" });
    }
}

/// Etsy has replaced the token, and the process died before it was kept.
#[tokio::test]
async fn a_grant_that_was_lost_as_the_process_died_costs_no_order() {
    let mut other = Other::new("etsy", "").await;
    let vault = other.rig.dir.path().join(crate::vault::VAULT_FILE_NAME);
    let before = (tokens(&other), std::fs::read(&vault).unwrap());
    for _ in 0..300 {
        if tokens(&other) > before.0 {
            break;
        }
        other.rig.pass(30).await;
    }
    assert!(tokens(&other) > before.0);
    std::fs::write(&vault, before.1).unwrap();
    other.rig.restart().await;
    // The old access token has a minute left.
    other.rig.pass(600).await;
    let id = other.sell();
    other.rig.pass(3_600).await;
    assert_eq!(account(&other).state, ConnectionState::NeedsReauthorisation);
    assert!(other.rig.shop_orders_of(&id).is_empty());
    authorise(&mut other).await;
    assert_eq!(other.rig.shop_orders_of(&id).len(), 1);
    other.rig.assert_sound().await;
}

/// Calls for a token.
fn tokens(other: &Other) -> u64 {
    let counted = other.rig.calls("etsy")["token"].clone();
    counted.as_object().map_or(0, |counts| counts.values().filter_map(Value::as_u64).sum())
}

/// Gateways refuse a good token now and then, a fresh one, too: nothing waits for a person because of that.
#[tokio::test]
async fn two_refusals_in_a_row_are_no_end_of_an_authorisation() {
    for (name, list) in [("ebay", "getOrders"), ("etsy", "getShopReceipts")] {
        let mut other = Other::new(name, "").await;
        other.rig.fault(name, list, "401", 2);
        let id = other.sell();
        other.rig.pass(300).await;
        assert_eq!(account(&other).state, ConnectionState::Active, "{name}");
        assert_eq!(other.rig.shop_orders_of(&id).len(), 1, "{name}");
        let board = Board::default();
        assert_eq!(other.rig.engine.tell_people(&board, &jiff::tz::TimeZone::UTC).await, Ok(0), "{name}");
        let answers = other.rig.calls(name)[list].clone();
        assert_eq!(answers["401"], 2, "{name}: {answers}");
    }
}

//! An entered address against what the platform says later.

use super::*;
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::WriteLane;
use crate::store::tests::{Bench, facts, item};

fn address(street: &str) -> Address {
    Address {
        name: Some("Grace Example".to_owned()),
        street: vec![street.to_owned()],
        city: Some("Springfield".to_owned()),
        country: Some("US".to_owned()),
        ..Address::default()
    }
}

fn is_shop(channel: &ChannelName) -> bool {
    channel.as_str() == "bigcommerce"
}

async fn enter(bench: &Bench, street: &str) -> Result<Vec<Effect>, StoreError> {
    let address = address(street);
    let enter = move |tx: &mut Tx<'_>| super::enter(tx, OrderNo(1), &address, "ada", is_shop);
    bench.store.write(WriteLane::Interactive, enter).await
}

async fn ship_to(bench: &Bench) -> Vec<String> {
    let read =
        bench.store.read(|read| Ok((orders::facts(read, OrderNo(1))?, orders::detail(read, OrderNo(1))?)));
    let (facts, detail) = read.await.unwrap();
    let street = |people: Option<People>| people.and_then(|people| people.ship_to).map(|to| to.street);
    let of_facts = street(facts.unwrap().0.people).unwrap_or_default();
    assert_eq!(street(detail.unwrap().people).unwrap_or_default(), of_facts);
    of_facts
}

async fn wanted(bench: &Bench) -> Wanted {
    bench.store.read(|read| super::wanted(read, OrderNo(1), is_shop)).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_import_without_an_address_wipes_none_and_one_with_an_address_counts() {
    let bench = Bench::new().await;
    let opened = bench.import(vec![item(facts("A", 1))]).await.effects;
    let id = opened[0].id;
    let hold = move |tx: &mut Tx<'_>| {
        let reason = Reason::of(ReasonCode::AddressMissing);
        let state = crate::domain::effect::EffectState::Held;
        let now = tx.now();
        crate::store::effects::postpone(tx, id, now, state, Some(&reason), "held")
    };
    bench.store.write(WriteLane::Interactive, hold).await.unwrap();
    assert_eq!(wanted(&bench).await, Wanted::Yes);
    let due = enter(&bench, "1 Test Street").await.unwrap();
    assert_eq!(
        due.iter().map(|effect| (effect.id, effect.state.as_str())).collect::<Vec<_>>(),
        [(id, "due")]
    );
    assert_eq!(ship_to(&bench).await, ["1 Test Street"]);
    assert_eq!(bench.findings().await, []);

    let mut without = facts("A", 2);
    without.people.as_mut().unwrap().ship_to = None;
    bench.import(vec![item(without)]).await;
    assert_eq!(ship_to(&bench).await, ["1 Test Street"]);
    assert_eq!(wanted(&bench).await, Wanted::Yes, "it may be corrected");

    let mut with = facts("A", 3);
    with.people.as_mut().unwrap().ship_to = Some(address("9 Real Street"));
    bench.import(vec![item(with)]).await;
    assert_eq!(ship_to(&bench).await, ["9 Real Street"]);
    assert_eq!(wanted(&bench).await, Wanted::Known);
    assert!(matches!(enter(&bench, "1 Test Street").await, Err(StoreError::Invalid(_))));
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn nothing_is_entered_for_what_is_not_there_or_over() {
    let bench = Bench::new().await;
    assert!(matches!(enter(&bench, "1 Test Street").await, Err(StoreError::NotFound)));
    let shipped = crate::domain::order::OrderFacts { status: OrderStatus::Shipped, ..facts("A", 1) };
    bench.import(vec![item(shipped)]).await;
    assert_eq!(wanted(&bench).await, Wanted::Over);
    assert!(matches!(enter(&bench, "1 Test Street").await, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn what_the_platform_ships_and_what_is_the_shops_own_wants_no_address() {
    let bench = Bench::new().await;
    let mut shipped_there =
        crate::domain::order::OrderFacts { fulfilled_by: FulfilledBy::Platform, ..facts("A", 1) };
    shipped_there.people = None;
    bench.import(vec![item(shipped_there)]).await;
    assert_eq!(wanted(&bench).await, Wanted::NotOurs);
    assert!(matches!(enter(&bench, "1 Test Street").await, Err(StoreError::Invalid(_))));
    let own =
        |is_shops_own| judge(ExportState::None, OrderStatus::Open, FulfilledBy::Seller, is_shops_own, true);
    assert_eq!((own(true), own(false)), (Wanted::NotOurs, Wanted::Yes));
}

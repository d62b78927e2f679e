//! The store as a whole, on real files.

use std::collections::{BTreeSet, HashSet};

use jiff::SignedDuration;

use super::connections::{NewConnection, StreamUpdate};
use super::orders::{ImportBatch, ImportItem, ImportOutcome, OrderCursor, OrderFilter};
use super::*;
use crate::clock::ManualClock;
use crate::domain::connection::{Connection as ShopConnection, ConnectionSettings};
use crate::domain::customer::{Address, Buyer, People};
use crate::domain::effect::{EffectKind, EffectOutcome, EffectState};
use crate::domain::id::{ConnectionId, EffectId, OrderNo, PayloadId};
use crate::domain::order::{
    Amount, AmountKind, CancelRequest, ExportState, FulfilledBy, LineFacts, OrderFacts, OrderStatus, Origin,
};
use crate::domain::plan::after_sale;
use crate::domain::plan::{EventKind, HeldParcel};
use crate::domain::reason::{Reason, ReasonCode};
use crate::domain::refund::{GivenBack, HeldRefund, MarketplaceRefund, RefundShare, RefundedLine};
use crate::domain::shipment::{ShipmentFacts, ShippedLine};

const BUYER: &str = "Zelda Quartermain";
const START: &str = "2026-01-01T00:00:00Z";

pub(super) fn at(seconds: i64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(super) fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        dir: dir.to_owned(),
        memory_limit: "512MB".to_owned(),
        threads: 2,
        reader_count: 2,
        query_timeout: Duration::from_secs(30),
        row_cap: 10_000,
        free_space_floor_bytes: 1 << 20,
        zone: TimeZone::get("Europe/Berlin").unwrap(),
        clock: Arc::new(ManualClock::new(at(0))),
        entropy: Arc::new(Entropy::seeded(1)),
    }
}

/// A store in a new folder with a shop and a marketplace that exports to it.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) shop: ShopConnection,
    pub(super) amazon: ShopConnection,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(options(dir.path())).unwrap();
        store.set_report_key([7; 32]);
        let shop = connect(&store, "bigcommerce", None).await;
        let amazon = connect(&store, "amazon", Some(shop.id)).await;
        Self { dir, store, shop, amazon }
    }

    pub(super) async fn import(&self, orders: Vec<ImportItem>) -> ImportOutcome {
        let batch = ImportBatch {
            connection: self.amazon.clone(),
            orders,
            stream: Some(StreamUpdate {
                stream: "orders".to_owned(),
                cursor_json: "{}".to_owned(),
                complete_since: None,
                complete_until: Some(at(9)),
                remaining: None,
                success_at: at(10),
            }),
            is_bulk: false,
            now: at(100),
            actor: "poll".to_owned(),
        };
        self.store.write(WriteLane::Interactive, move |tx| orders::import(tx, &batch)).await.unwrap()
    }

    async fn detail(&self, order_no: OrderNo) -> orders::OrderDetail {
        self.store.read(move |read| orders::detail(read, order_no)).await.unwrap().unwrap()
    }

    pub(super) async fn findings(&self) -> Vec<verify::Finding> {
        self.store.read(verify::verify).await.unwrap()
    }

    async fn sql(&self, sql: &str) -> Result<QueryResult, StoreError> {
        self.store.query(sql.to_owned(), Vec::new(), 100).await
    }
}

pub(super) async fn connect(store: &Store, channel: &str, shop: Option<ConnectionId>) -> ShopConnection {
    let new = NewConnection {
        channel: channel.into(),
        alias: format!("My {channel}"),
        account: "A1".to_owned(),
        base_url: None,
        settings: ConnectionSettings { shop, ..ConnectionSettings::default() },
        now: at(0),
    };
    store
        .write(WriteLane::Interactive, move |tx| {
            let id = connections::insert(tx, &new)?;
            connections::get(tx, id)?.ok_or(StoreError::NotFound)
        })
        .await
        .unwrap()
}

pub(super) fn facts(id: &str, updated: i64) -> OrderFacts {
    let line = |number: usize, quantity| LineFacts {
        external_id: format!("{id}-{number}"),
        sku: Some(format!("SKU-{number}")),
        product_id: None,
        title: format!("Tea pot {number}"),
        quantity,
        quantity_shipped: 0,
        quantity_cancelled: 0,
        unit_price: Some("12.3456".parse().unwrap()),
        options: None,
    };
    let amount = |line, kind, minor| Amount { line, kind, minor };
    OrderFacts {
        external_id: id.to_owned(),
        placed_at: at(0),
        updated_at: at(updated),
        status: OrderStatus::Open,
        is_paid: true,
        fulfilled_by: FulfilledBy::Seller,
        currency: "USD".parse().unwrap(),
        total_minor: 3_300,
        lines: vec![line(0, 1), line(1, 2)],
        amounts: vec![
            amount(Some(0), AmountKind::Item, 1_000),
            amount(Some(1), AmountKind::Item, 2_000),
            amount(None, AmountKind::ShippingTax, 300),
        ],
        shipments: None,
        people: Some(People {
            buyer: Buyer {
                name: Some(BUYER.to_owned()),
                email: Some("z.quartermain@example.com".to_owned()),
                ..Buyer::default()
            },
            ship_to: Some(Address {
                country: Some("US".to_owned()),
                region: Some("WA".to_owned()),
                ..Address::default()
            }),
            ..People::default()
        }),
        shipping_method: Some("Standard".to_owned()),
        payment_method: None,
        site: None,
        ship_by: Some(at(86_400)),
        deliver_by: None,
        origin: Origin::default(),
        platform_status: "UNSHIPPED".to_owned(),
        cancel_request: None,
        customised_lines: Vec::new(),
        refunds: None,
    }
}

pub(super) fn item(facts: OrderFacts) -> ImportItem {
    let whole = serde_json::json!({"id": facts.external_id, "buyer": BUYER, "updated": facts.updated_at, "status": facts.status}).to_string();
    let cut = crate::domain::person::cut(&whole, &["buyer"]).unwrap();
    ImportItem::new(Some(facts.external_id.clone()), cut.payload, cut.values, Ok(facts))
}

fn counts(outcome: &ImportOutcome) -> [usize; 5] {
    [outcome.new, outcome.updated, outcome.stale, outcome.unchanged, outcome.parked]
}

#[tokio::test]
async fn a_folder_keeps_its_identity_and_an_epoch_counts_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let first = store.installation();
    assert_eq!(first.epoch, 1);
    assert_eq!(store.begin_epoch().await.unwrap().epoch, 2);
    store.close().await;
    let again = Store::open(options(dir.path())).unwrap().installation();
    assert_eq!((again.id, again.epoch), (first.id, 2));
}

#[tokio::test]
async fn a_second_instance_is_refused_and_told_who_holds_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let Err(error) = Store::open(options(dir.path())) else { panic!("opened twice") };
    assert_eq!(error, StoreError::Locked { dir: dir.path().to_owned(), holder: Some(std::process::id()) });
    store.close().await;
    assert!(Store::open(options(dir.path())).is_ok());
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    store
        .write(WriteLane::Interactive, |tx| {
            tx.execute("INSERT INTO main.schema_version VALUES (99, 'later', TIMESTAMP '2030-01-01')", [])
        })
        .await
        .unwrap();
    store.close().await;
    assert!(matches!(Store::open(options(dir.path())), Err(StoreError::NewerFile { found: 99, .. })));
}

#[tokio::test]
async fn below_the_floor_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(StoreOptions { free_space_floor_bytes: u64::MAX, ..options(dir.path()) }).unwrap();
    let result = store.write(WriteLane::Interactive, |tx| tx.execute("DELETE FROM main.session", [])).await;
    assert!(matches!(result, Err(StoreError::FreeSpace { .. })), "{result:?}");
}

#[tokio::test]
async fn one_bad_write_does_not_harm_its_group() {
    let bench = Bench::new().await;
    let write = |number: i64| {
        let store = bench.store.clone();
        async move {
            store
                .write(WriteLane::Interactive, move |tx| {
                    let sql = "INSERT INTO main.erasure_log VALUES (?, 'test', TIMESTAMP '2026-01-01')";
                    tx.execute(sql, [number])?;
                    if number == 3 { tx.execute("INSERT INTO nowhere VALUES (1)", []) } else { Ok(1) }
                })
                .await
        }
    };
    let results = futures_util::future::join_all((0..8).map(write)).await;
    let failed: Vec<usize> = (0..8).filter(|number| results[*number].is_err()).collect();
    assert_eq!(failed, [3]);
    let sql = "SELECT order_no FROM main.erasure_log ORDER BY 1";
    let kept =
        bench.store.read(move |read| read.rows(sql, [], |row| values::get::<i64>(row, 0))).await.unwrap();
    assert_eq!(kept, [0, 1, 2, 4, 5, 6, 7]);
}

#[tokio::test]
async fn steps_of_a_rolled_back_group_are_taken_again_and_what_does_not_exist_fails_alone() {
    let bench = Bench::new().await;
    let outcome = bench.import((0..4).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
    let mut steps: Vec<_> = outcome.effects.iter().map(|effect| (effect.order_no, effect.id)).collect();
    steps.push((OrderNo(99), EffectId(steps[0].1.0)));
    let step = |(order_no, effect): (OrderNo, EffectId)| {
        let store = bench.store.clone();
        async move {
            let write = move |tx: &mut Tx<'_>| {
                effects::begin_call(tx, effect, at(200))?;
                orders::set_export(tx, order_no, ExportState::Creating, None)
            };
            store.write(WriteLane::Interactive, write).await
        }
    };
    let results = futures_util::future::join_all(steps.into_iter().map(step)).await;
    assert_eq!(results, [Ok(()), Ok(()), Ok(()), Ok(()), Err(StoreError::NotFound)]);
    let open = bench.store.read(effects::open_effects).await.unwrap();
    assert!(
        open.iter().all(|effect| effect.attempts == 1 && effect.state == EffectState::Called),
        "{open:?}"
    );
    let first = outcome.orders[0];
    assert_eq!(bench.detail(first).await.row.export_state, ExportState::Creating);
    let log = bench.store.read(move |read| effects::steps(read, first)).await.unwrap();
    assert_eq!(log.iter().map(|step| step.state.as_str()).collect::<Vec<_>>(), ["called"]);
}

#[tokio::test]
async fn an_export_begins_only_with_the_facts_that_it_was_made_of() {
    let bench = Bench::new().await;
    let outcome = bench.import((0..3).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
    let orders = outcome.orders.clone();
    // The middle one has news.
    bench.import(vec![item(facts("O1", 2))]).await;
    let begin = |order_no: OrderNo, version: i64| {
        let write = move |tx: &mut Tx<'_>| orders::begin_export(tx, order_no, version);
        bench.store.write(WriteLane::Interactive, write)
    };
    let results = futures_util::future::join_all(orders.iter().map(|order_no| begin(*order_no, 1))).await;
    assert_eq!(results, [Ok(()), Err(StoreError::Changed), Ok(())]);
    assert_eq!(bench.detail(orders[1]).await.row.export_state, ExportState::Waiting);
    assert_eq!(begin(orders[1], 2).await, Ok(()));
    assert_eq!(bench.detail(orders[1]).await.row.export_state, ExportState::Creating);

    // A person's word on the same order, in the same commit, does not make it forget the version.
    let twice = move |tx: &mut Tx<'_>| {
        orders::begin_export(tx, orders[0], 7)?;
        orders::set_export(tx, orders[0], ExportState::Waiting, None)
    };
    assert_eq!(bench.store.write(WriteLane::Interactive, twice).await, Err(StoreError::Changed));
}

#[tokio::test]
async fn a_panic_in_a_write_is_an_error_of_that_write() {
    let bench = Bench::new().await;
    let result: Result<(), _> = bench.store.write(WriteLane::Bulk, |_| panic!("at the disco")).await;
    assert!(matches!(&result, Err(StoreError::Invalid(text)) if text.contains("disco")), "{result:?}");
    assert_eq!(counts(&bench.import(vec![item(facts("A", 1))]).await), [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn facts_come_in_new_changed_stale_and_unchanged() {
    let bench = Bench::new().await;
    let first = bench.import(vec![item(facts("A", 10)), item(facts("B", 10))]).await;
    assert_eq!(counts(&first), [2, 0, 0, 0, 0]);
    assert_eq!(first.effects.len(), 2);
    assert_eq!(counts(&bench.import(vec![item(facts("A", 10))]).await), [0, 0, 0, 1, 0]);
    let mut changed = facts("A", 20);
    changed.status = OrderStatus::Shipped;
    changed.lines.truncate(1);
    changed.lines[0].quantity_shipped = 1;
    changed.amounts.remove(1);
    changed.total_minor = 1_300;
    changed.people = None;
    let second = bench.import(vec![item(changed.clone()), item(facts("A", 5))]).await;
    // The older one comes first in the platform's time, but is older than what was held: stale.
    assert_eq!(counts(&second), [0, 1, 1, 0, 0]);
    // The create joined the open one; the status without a parcel is news for the shop.
    let kinds: Vec<EffectKind> = second.effects.iter().map(|effect| effect.kind).collect();
    assert_eq!(kinds, [EffectKind::ShipShopOrder]);
    let detail = bench.detail(first.orders[0]).await;
    assert_eq!(detail.row.status, OrderStatus::Shipped);
    assert_eq!((detail.lines, detail.amounts), (changed.lines, changed.amounts));
    assert_eq!(detail.row.total_minor, 1_300);
    assert_eq!(detail.people.unwrap().buyer.name.as_deref(), Some(BUYER), "what was known of people stays");
    assert_eq!(detail.facts_version, 2);
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn what_a_platform_takes_back_of_people_stays_unless_they_were_erased() {
    let bench = Bench::new().await;
    let home = |street: &str| Address {
        name: Some(BUYER.to_owned()),
        street: vec![street.to_owned()],
        city: Some("Seattle".to_owned()),
        country: Some("US".to_owned()),
        ..Address::default()
    };
    let with = |updated, email: Option<&str>, ship_to: Option<Address>| {
        let mut facts = facts("A", updated);
        let people = facts.people.as_mut().unwrap();
        (people.buyer.email, people.ship_to) = (email.map(str::to_owned), ship_to);
        item(facts)
    };
    let no = bench.import(vec![with(10, Some("z@example.com"), Some(home("1 Main")))]).await.orders[0];
    // After a while the platform gives no e-mail any more, then no street either.
    let bare = Address { country: Some("US".to_owned()), ..Address::default() };
    for (updated, ship_to) in [(20, Some(home("1 Main"))), (30, Some(bare)), (40, None)] {
        bench.import(vec![with(updated, None, ship_to)]).await;
        let people = bench.detail(no).await.people.unwrap();
        assert_eq!(people.buyer.email.as_deref(), Some("z@example.com"), "{updated}");
        assert_eq!(people.ship_to, Some(home("1 Main")), "{updated}");
    }
    let found = bench.store.read(|read| {
        read.rows("SELECT search FROM main.person WHERE search LIKE '%z@example.com%'", [], |_| Ok(()))
    });
    assert!(found.await.unwrap().len() >= 4, "each row finds them");
    bench.import(vec![with(50, None, Some(home("2 Side")))]).await;
    assert_eq!(bench.detail(no).await.people.unwrap().ship_to, Some(home("2 Side")), "it really changed");
    let erase =
        "UPDATE main.person SET cuts = '[]', people = NULL, search = NULL, erased_at = now()::TIMESTAMP";
    bench.store.write(WriteLane::Interactive, move |tx| tx.execute(erase, [])).await.unwrap();
    bench.import(vec![with(60, None, None)]).await;
    let people = bench.detail(no).await.people.unwrap();
    assert_eq!((people.buyer.email, people.ship_to), (None, None), "what was erased does not come back");
}

#[tokio::test]
async fn an_order_stays_with_its_buyer_whose_user_name_becomes_an_id() {
    let bench = Bench::new().await;
    let with = |id: &str, updated, buyer: &str, name: &str, email: Option<&str>| {
        let mut facts = facts(id, updated);
        let people = facts.people.as_mut().unwrap();
        people.buyer.external_id = Some(buyer.to_owned());
        people.buyer.name = Some(name.to_owned());
        people.buyer.email = email.map(str::to_owned);
        item(facts)
    };
    let keys = async || {
        let sql = "SELECT buyer_key FROM main.orders ORDER BY order_no";
        bench.store.read(move |read| read.rows(sql, [], |row| values::get::<u64>(row, 0))).await.unwrap()
    };
    let no = bench.import(vec![with("A", 10, "zelda_q", BUYER, Some("z@example.com"))]).await.orders[0];
    let first = keys().await[0];
    for (updated, email) in [(20, Some("z@example.com")), (30, None)] {
        bench.import(vec![with("A", updated, "xk29fja8", BUYER, email)]).await;
        assert_eq!(keys().await, [first], "{updated}");
        let buyer = bench.detail(no).await.people.unwrap().buyer;
        assert_eq!(buyer.email.as_deref(), Some("z@example.com"), "{updated}");
    }
    // What was bought under the name counts as the buyer's, what is bought under the id as another's.
    bench.import(vec![with("B", 40, "zelda_q", BUYER, None), with("C", 40, "xk29fja8", BUYER, None)]).await;
    let now = keys().await;
    assert!(now[1] == first && now[2] != first, "{now:?}");
    bench.import(vec![with("A", 50, "somebody", "Bob", None)]).await;
    assert_ne!(keys().await[0], first, "another person");
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn an_order_twice_in_a_batch_is_one_order_with_the_newest_facts() {
    let bench = Bench::new().await;
    let mut shipped = facts("A", 20);
    shipped.status = OrderStatus::Shipped;
    let outcome = bench.import(vec![item(shipped), item(facts("B", 1)), item(facts("A", 10))]).await;
    assert_eq!(counts(&outcome), [2, 1, 0, 0, 0]);
    let page = bench.store.read(|read| orders::page(read, &OrderFilter::default(), None, 10)).await.unwrap();
    let statuses: BTreeSet<_> = page.rows.iter().map(|row| (row.external_id.as_str(), row.status)).collect();
    assert_eq!(statuses, BTreeSet::from([("A", OrderStatus::Shipped), ("B", OrderStatus::Open)]));
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn a_payload_that_nobody_reads_lies_whole_among_person_data() {
    let bench = Bench::new().await;
    let unreadable = ("line 1".to_owned(), "no JSON".to_owned());
    let text = format!("{{\"buyer\":\"{BUYER}\",,");
    let broken = ImportItem::new(Some("X".to_owned()), text.clone(), Vec::new(), Err(unreadable));
    assert_eq!(counts(&bench.import(vec![broken.clone(), item(facts("A", 1))]).await), [1, 0, 0, 0, 1]);
    assert_eq!(counts(&bench.import(vec![broken.clone()]).await), [0, 0, 0, 1, 0], "it is parked once");
    let parked = bench.store.read(|read| orders::parked(read, 10)).await.unwrap();
    assert_eq!(parked.len(), 1);
    let id = parked[0].payload_id;
    let whole = bench.store.read(move |read| orders::payload(read, id, true)).await.unwrap();
    assert_eq!(whole, Some(text));
    let cut = bench.store.read(move |read| orders::payload(read, id, false)).await.unwrap().unwrap();
    assert!(!cut.contains("Zelda"), "{cut}");
}

#[tokio::test]
async fn an_update_keeps_what_the_export_wrote() {
    let bench = Bench::new().await;
    let first = bench.import(vec![item(facts("A", 10))]).await;
    let (order_no, effect) = (first.orders[0], first.effects[0].id);
    bench
        .store
        .write(WriteLane::Interactive, move |tx| {
            effects::begin_call(tx, effect, at(101))?;
            orders::set_created(tx, order_no, "777", at(102))?;
            orders::set_shop_lines(tx, order_no, Some("55"), &[("A-0".to_owned(), "1".to_owned())])?;
            effects::finish(tx, effect, EffectOutcome::Done, "Created.")
        })
        .await
        .unwrap();
    let mut shipped = facts("A", 20);
    shipped.status = OrderStatus::PartShipped;
    shipped.platform_status = "PARTIALLY_SHIPPED".to_owned();
    assert_eq!(counts(&bench.import(vec![item(shipped)]).await), [0, 1, 0, 0, 0]);
    let detail = bench.detail(order_no).await;
    assert_eq!(detail.row.export_state, ExportState::Created);
    assert_eq!(detail.row.shop_order_id.as_deref(), Some("777"));
    assert_eq!(
        (detail.shop_connection, detail.shop_address_id.as_deref()),
        (Some(bench.shop.id), Some("55"))
    );
    assert_eq!(detail.effects, []);
}

#[tokio::test]
async fn an_edit_of_what_is_in_the_shop_needs_somebody_until_it_is_dealt_with_or_shipped() {
    let bench = Bench::new().await;
    let outcome = bench.import(vec![item(facts("A", 10)), item(facts("B", 10))]).await;
    let (order_no, effect) = (outcome.orders[0], outcome.effects[0].id);
    let home = |street: &str| Address {
        street: vec![street.to_owned()],
        city: Some("Seattle".to_owned()),
        country: Some("US".to_owned()),
        ..Address::default()
    };
    let living = |updated, street: &str| {
        let mut facts = facts("A", updated);
        facts.people.as_mut().unwrap().ship_to = Some(home(street));
        facts
    };
    let said = async || {
        let events = bench.detail(order_no).await.events.into_iter();
        events.filter(|event| event.kind.as_str() == "updated").map(|event| event.text).collect::<Vec<_>>()
    };
    let open = async || bench.store.read(incidents::open_incidents).await.unwrap();
    // Before it is in the shop nobody has to hear of it.
    bench.import(vec![item(living(11, "1 Main"))]).await;
    assert_eq!((said().await, open().await), (Vec::new(), Vec::new()));
    let created = move |tx: &mut Tx<'_>| {
        effects::begin_call(tx, effect, at(12))?;
        orders::set_created(tx, order_no, "777", at(12))?;
        effects::finish(tx, effect, EffectOutcome::Done, "Created.")
    };
    bench.store.write(WriteLane::Interactive, created).await.unwrap();
    bench.import(vec![item(living(13, "1 Main"))]).await;
    let mut bare = living(14, "");
    bare.people = None;
    bench.import(vec![item(bare)]).await;
    assert_eq!((said().await, open().await), (Vec::new(), Vec::new()));

    let mut less = living(20, "2 Side");
    (less.lines[1].quantity_cancelled, less.amounts[1].minor, less.total_minor) = (1, 1_000, 2_300);
    let with_units = |updated| OrderFacts { updated_at: at(updated), ..less.clone() };
    bench.import(vec![item(with_units(20)), item(with_units(21))]).await;
    bench.import(vec![item(with_units(22)), item(living(15, "1 Main"))]).await;
    let texts = said().await;
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains("units of “SKU-1” from 2 to 1; another delivery address"), "{texts:?}");
    assert!(texts[0].contains("from 33.00 USD to 23.00 USD") && !texts[0].contains("Side"), "{texts:?}");
    let first = open().await;
    assert_eq!((first.len(), first[0].what.order_no), (1, Some(order_no)));
    assert_eq!(bench.detail(order_no).await.incidents, first);
    // Another edit takes the place of the one that nobody has closed, so that it is told anew.
    let mut back = with_units(30);
    back.people.as_mut().unwrap().ship_to = Some(home("1 Main"));
    let shipped = OrderFacts { status: OrderStatus::Shipped, updated_at: at(40), ..back.clone() };
    bench.import(vec![item(back)]).await;
    let second = open().await;
    assert_eq!((said().await.len(), second.len()), (2, 1));
    assert!(second[0].incident_id > first[0].incident_id);
    bench.import(vec![item(shipped)]).await;
    assert_eq!((said().await.len(), open().await), (2, Vec::new()), "what has left needs nobody");
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn a_buyer_who_asks_to_cancel_is_heard_once_and_until_the_order_is_over() {
    let bench = Bench::new().await;
    let asked = |id: &str, updated, status| {
        item(OrderFacts { status, cancel_request: Some(CancelRequest::default()), ..facts(id, updated) })
    };
    let open = async || {
        let open = bench.store.read(incidents::open_incidents).await.unwrap().into_iter();
        open.map(|incident| (incident.incident_id, incident.what.order_no.unwrap())).collect::<Vec<_>>()
    };
    let told = async |no| {
        let events = bench.detail(no).await.events.into_iter();
        events.filter(|event| event.kind.as_str() == "cancel_asked").count()
    };
    // One is known before its buyer asks, one comes with the wish.
    bench.import(vec![item(facts("A", 10))]).await;
    let orders =
        bench.import(vec![asked("A", 20, OrderStatus::Open), asked("B", 20, OrderStatus::Open)]).await;
    let [a, b] = orders.orders[..] else { panic!("{orders:?}") };
    assert_eq!((told(a).await, told(b).await, open().await.len()), (1, 1, 2));
    // Whoever closed it has dealt with it: further news of the order do not tell it again.
    let (first, _) = *open().await.iter().find(|(_, no)| *no == a).unwrap();
    let close = move |tx: &mut Tx<'_>| incidents::close(tx, first, "ada", at(101));
    bench.store.write(WriteLane::Interactive, close).await.unwrap();
    bench.import(vec![asked("A", 30, OrderStatus::PartShipped), asked("B", 30, OrderStatus::Open)]).await;
    assert_eq!((told(a).await, told(b).await), (1, 1));
    assert_eq!(open().await.iter().map(|(_, no)| *no).collect::<Vec<_>>(), [b]);
    bench.import(vec![asked("B", 40, OrderStatus::Cancelled)]).await;
    assert_eq!(open().await, [], "it is over");
}

#[tokio::test]
async fn what_the_shop_cancelled_too_late_needs_nobody_once_the_marketplace_cancels() {
    let bench = Bench::new().await;
    let orders = bench.import(vec![item(facts("A", 1)), item(facts("B", 1))]).await.orders;
    let open = orders.clone();
    let write = move |tx: &mut Tx<'_>| {
        for order_no in &open {
            let incident = incidents::NewIncident {
                connection: None,
                order_no: Some(*order_no),
                kind: after_sale::INCIDENT.to_owned(),
                text: "A parcel had left.".to_owned(),
                next_step: "Stop it.".to_owned(),
            };
            incidents::open(tx, &incident, at(5))?;
        }
        Ok(())
    };
    bench.store.write(WriteLane::Interactive, write).await.unwrap();
    let news = |id: &str, status: OrderStatus| item(OrderFacts { status, ..facts(id, 2) });
    bench.import(vec![news("A", OrderStatus::Cancelled), news("B", OrderStatus::Shipped)]).await;
    let left = bench.store.read(incidents::open_incidents).await.unwrap();
    assert_eq!(left.iter().map(|one| one.what.order_no).collect::<Vec<_>>(), [Some(orders[1])]);
}

#[tokio::test]
async fn an_account_changes_only_while_nothing_is_held_of_it_and_what_was_under_way_is_dropped() {
    let bench = Bench::new().await;
    let (id, shop) = (bench.amazon.id, bench.shop.id);
    let stream = StreamUpdate {
        stream: "orders".to_owned(),
        cursor_json: "{}".to_owned(),
        complete_since: None,
        complete_until: None,
        remaining: None,
        success_at: at(1),
    };
    let read = move |tx: &mut Tx<'_>| connections::save_stream(tx, id, &stream);
    bench.store.write(WriteLane::Interactive, read).await.unwrap();
    let go_over = |id: ConnectionId, account: &'static str| {
        let store = bench.store.clone();
        async move {
            let write = move |tx: &mut Tx<'_>| connections::move_account(tx, id, account);
            store.write(WriteLane::Interactive, write).await
        }
    };
    go_over(id, "B2").await.unwrap();
    let streams = bench.store.read(connections::streams).await.unwrap();
    assert_eq!(streams, [], "the new account is read from the start");
    // A page that was read of the old account comes too late.
    let late = ImportBatch {
        connection: bench.amazon.clone(),
        orders: vec![item(facts("A", 10))],
        stream: None,
        is_bulk: false,
        now: at(100),
        actor: "poll".to_owned(),
    };
    let import = move |tx: &mut Tx<'_>| orders::import(tx, &late);
    let refused = bench.store.write(WriteLane::Interactive, import).await.unwrap_err();
    assert!(refused.to_string().contains("another account"), "{refused}");

    go_over(id, "A1").await.unwrap();
    bench.import(vec![item(facts("A", 10))]).await;
    assert!(go_over(id, "B2").await.is_err(), "an order is held");
    go_over(shop, "store2").await.unwrap();
    assert_eq!(go_over(ConnectionId(99), "X").await, Err(StoreError::NotFound));
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn old_open_orders_are_looked_up_in_turn() {
    let bench = Bench::new().await;
    let placed =
        |id: &str, days: i64, status| OrderFacts { placed_at: at(-86_400 * days), status, ..facts(id, 10) };
    let open = OrderStatus::Open;
    let all =
        [("A", 70, open), ("B", 80, OrderStatus::Shipped), ("C", 65, open), ("D", 10, open), ("E", 90, open)];
    let items = all.map(|(id, days, status)| item(placed(id, days, status)));
    let orders = bench.import(items.to_vec()).await.orders;
    let owner = bench.amazon.id;
    let days_ago = |days: i64| at(-86_400 * days);
    let listed_since = async |since, last: OrderNo, limit| {
        let read = bench
            .store
            .read(move |read| orders::open_placed_before(read, owner, days_ago(60), since, last, limit));
        read.await.unwrap().into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    let listed = async |last, limit| listed_since(None, last, limit).await;
    assert_eq!(listed(OrderNo(0), 20).await, ["A", "C", "E"]);
    assert_eq!(listed_since(Some(days_ago(5)), OrderNo(0), 20).await, ["A", "C", "D", "E"]);
    assert_eq!(listed(orders[2], 2).await, ["E", "A"], "it begins again at the first");
}

#[tokio::test]
async fn what_an_effect_waits_for_stays_until_it_runs_again() {
    let bench = Bench::new().await;
    let first = bench.import(vec![item(facts("A", 10))]).await;
    let (order_no, effect) = (first.orders[0], first.effects[0].id);
    let reason = Reason::with(ReasonCode::OutOfStock, "SKU-0");
    bench
        .store
        .write(WriteLane::Interactive, {
            let reason = reason.clone();
            move |tx| {
                effects::postpone(tx, effect, at(500), EffectState::Due, Some(&reason), "Short.")?;
                orders::set_export(tx, order_no, ExportState::Waiting, Some(&reason))
            }
        })
        .await
        .unwrap();
    bench.import(vec![item(facts("A", 20))]).await;
    assert_eq!(bench.detail(order_no).await.row.reason, Some(reason));
    let now = bench
        .store
        .write(WriteLane::Interactive, move |tx| orders::retry(tx, order_no, "Ann"))
        .await
        .unwrap();
    assert_eq!((now.len(), now[0].due_at), (1, at(0)), "due now, by the store's clock");
}

#[tokio::test]
async fn one_effect_is_open_per_order_kind_and_revision() {
    let bench = Bench::new().await;
    let first = bench.import(vec![item(facts("A", 10))]).await;
    let order_no = first.orders[0];
    let picked =
        bench.store.write(WriteLane::Interactive, move |tx| orders::pick(tx, order_no, "Ann")).await.unwrap();
    assert_eq!(picked.iter().map(|effect| effect.id).collect::<Vec<_>>(), [first.effects[0].id]);
    let open = bench.store.read(effects::open_effects).await.unwrap();
    assert_eq!(open.len(), 1);
    bench
        .store
        .write(WriteLane::Interactive, |tx| {
            tx.execute("INSERT INTO main.effect_open SELECT * REPLACE (effect_id + 100 AS effect_id) FROM main.effect_open", [])
        })
        .await
        .unwrap();
    assert_eq!(bench.findings().await.len(), 1);
}

#[tokio::test]
async fn parcels_are_kept_and_owed_to_the_other_side_once() {
    let bench = Bench::new().await;
    let mut shipped = facts("A", 10);
    shipped.shipments = Some(vec![ShipmentFacts {
        external_id: "P1".to_owned(),
        carrier: Some("UPS".to_owned()),
        service: None,
        tracking: Some("1Z".to_owned()),
        shipped_at: Some(at(5)),
        lines: vec![ShippedLine { external_line_id: "A-0".to_owned(), quantity: 1 }],
    }]);
    let first = bench.import(vec![item(shipped.clone())]).await;
    let kinds: Vec<_> = first.effects.iter().map(|effect| effect.kind).collect();
    assert_eq!(kinds, [EffectKind::CreateShopOrder, EffectKind::ShipShopOrder]);
    shipped.updated_at = at(20);
    assert_eq!(bench.import(vec![item(shipped)]).await.effects, []);
    let order_no = first.orders[0];
    bench
        .store
        .write(WriteLane::Interactive, move |tx| shipments::mark_told(tx, order_no, 1, at(300), Some("9")))
        .await
        .unwrap();
    let rows = bench.detail(order_no).await.shipments;
    assert_eq!((rows.len(), rows[0].told_at), (1, Some(at(300))));
    let HeldParcel { shop_shipment_id, tracking, .. } = rows[0].parcel.clone();
    assert_eq!((shop_shipment_id.as_deref(), tracking.as_deref()), (Some("9"), Some("1Z")));
}

#[tokio::test]
async fn facts_come_back_as_they_went_in() {
    let bench = Bench::new().await;
    let order_no = bench.import(vec![item(facts("A", 10))]).await.orders[0];
    let (back, held, connection) =
        bench.store.read(move |read| orders::facts(read, order_no)).await.unwrap().unwrap();
    assert_eq!(back, facts("A", 10));
    assert_eq!((held.order_no, connection), (order_no, bench.amazon.id));
    let amazon = bench.amazon.id;
    let found = bench.store.read(move |read| orders::find(read, amazon, "A")).await.unwrap();
    assert_eq!(found, Some(order_no));
}

#[tokio::test]
async fn pages_show_each_order_once_both_ways() {
    // Nearly all rows tie, some do, none does.
    for times in [7, 150, 1_000] {
        check_pages(times).await;
    }
}

async fn check_pages(times: i64) {
    let bench = Bench::new().await;
    let orders = (0..1_000_i64).map(|number| {
        let mut facts = facts(&format!("O{number}"), 1);
        // The newest placed did not come last.
        facts.placed_at = at(-(number % times));
        item(facts)
    });
    bench.import(orders.collect()).await;
    let walk = async |start: Option<OrderCursor>| {
        let (mut seen, mut cursor, mut last) = (Vec::new(), start, None);
        loop {
            let page = bench
                .store
                .read(move |read| orders::page(read, &OrderFilter::default(), cursor.as_ref(), 37))
                .await
                .unwrap();
            let is_back = cursor.is_some_and(|cursor| cursor.is_before);
            let numbers = page.rows.iter().map(|row| (row.placed_at, row.order_no));
            if is_back {
                seen.extend(numbers.rev())
            } else {
                seen.extend(numbers)
            }
            last = page.previous.or(last);
            let next = if is_back { page.previous } else { page.next };
            match next.map(|cursor| OrderCursor::decode(&cursor.encode()).unwrap()) {
                Some(next) => cursor = Some(next),
                None => return (seen, last),
            }
        }
    };
    let (forward, last) = walk(None).await;
    assert_eq!(forward.len(), 1_000);
    assert_eq!(forward.iter().collect::<HashSet<_>>().len(), 1_000);
    assert!(forward.windows(2).all(|pair| pair[0] > pair[1]));
    let (mut back, _) = walk(last).await;
    back.reverse();
    assert_eq!(back, forward[..back.len()]);
    assert!(back.len() >= 963);
}

#[tokio::test]
async fn the_list_is_filtered_and_searched() {
    let bench = Bench::new().await;
    let mut old = facts("OLD-1", 1);
    old.placed_at = at(-86_400 * 200);
    old.people = None;
    bench.import(vec![item(facts("A", 1)), item(old)]).await;
    let find = async |filter: OrderFilter| {
        let page = bench.store.read(move |read| orders::page(read, &filter, None, 10)).await.unwrap();
        page.rows.into_iter().map(|row| row.external_id).collect::<Vec<_>>()
    };
    let text = |text: &str, all_time| OrderFilter {
        text: Some(text.to_owned()),
        all_time,
        ..OrderFilter::default()
    };
    assert_eq!(find(text("quartermain", false)).await, ["A"]);
    assert_eq!(find(text("sku-1", false)).await, ["A"]);
    assert_eq!(find(text("Sku-1", true)).await, ["A", "OLD-1"]);
    assert_eq!(find(text("nobody", true)).await, Vec::<String>::new());
    let day = Some("2026-01-01".parse().unwrap());
    assert_eq!(find(OrderFilter { day, ..OrderFilter::default() }).await, ["A"]);
    let export_state = Some(ExportState::Waiting);
    assert_eq!(find(OrderFilter { export_state, ..OrderFilter::default() }).await, ["A", "OLD-1"]);
    assert_eq!(
        find(OrderFilter { channel: Some("etsy".to_owned()), ..OrderFilter::default() }).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_planted_duplicate_is_found() {
    let bench = Bench::new().await;
    bench.import(vec![item(facts("A", 1))]).await;
    assert_eq!(bench.findings().await, []);
    bench
        .store
        .write(WriteLane::Interactive, |tx| {
            tx.execute("INSERT INTO main.orders SELECT * REPLACE (order_no + 50 AS order_no, 0 AS line_count) FROM main.orders", [])
        })
        .await
        .unwrap();
    let findings = bench.findings().await;
    assert!(findings.iter().any(|finding| finding.check == "one order per platform's id"), "{findings:?}");
}

#[tokio::test]
async fn what_was_acknowledged_is_in_a_copy_of_file_and_log() {
    let bench = Bench::new().await;
    bench.import((0..200).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
    // As after a crash: the file as it lies there, with its log, and nobody had a chance to tidy up.
    let crashed = tempfile::tempdir().unwrap();
    for name in ["eider.duckdb", "eider.duckdb.wal"] {
        std::fs::copy(bench.dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    let store = Store::open(options(crashed.path())).unwrap();
    let page = store.read(|read| orders::page(read, &OrderFilter::default(), None, 500)).await.unwrap();
    assert_eq!(page.rows.len(), 200);
    assert_eq!(store.read(verify::verify).await.unwrap(), []);
    assert_eq!(store.read(effects::open_effects).await.unwrap().len(), 200);
}

#[tokio::test]
async fn nobody_appears_in_payloads_or_reports() {
    let bench = Bench::new().await;
    let unreadable = ("line 1".to_owned(), "no JSON".to_owned());
    let broken = ImportItem::new(None, format!("{BUYER} ["), Vec::new(), Err(unreadable));
    bench.import(vec![item(facts("A", 1)), broken]).await;
    let views = "SELECT view_name FROM duckdb_views() WHERE schema_name = 'report'";
    let views =
        bench.store.read(|read| read.rows(views, [], |row| values::get::<String>(row, 0))).await.unwrap();
    assert!(views.len() >= 7);
    for view in views {
        let mut csv = Vec::new();
        bench.sql(&format!("SELECT * FROM {view}")).await.unwrap().write_csv(&mut csv).unwrap();
        let csv = String::from_utf8(csv).unwrap().to_lowercase();
        assert!(!csv.contains("quartermain") && !csv.contains("zelda"), "{view}: {csv}");
    }
    let whole = bench.store.read(|read| orders::payload(read, PayloadId(1), true)).await.unwrap().unwrap();
    assert!(whole.contains(BUYER), "put together it is as received: {whole}");
}

#[tokio::test]
async fn every_report_column_is_described() {
    let bench = Bench::new().await;
    let sql = "SELECT table_name || '.' || column_name FROM duckdb_columns()
        WHERE schema_name = 'report' AND comment IS NULL
        UNION ALL SELECT view_name FROM duckdb_views() WHERE schema_name = 'report' AND comment IS NULL";
    let bare =
        bench.store.read(move |read| read.rows(sql, [], |row| values::get::<String>(row, 0))).await.unwrap();
    assert_eq!(bare, Vec::<String>::new());
}

#[tokio::test]
async fn the_console_reads_report_views() {
    let bench = Bench::new().await;
    bench.import((0..5).map(|number| item(facts(&format!("O{number}"), 1))).collect()).await;
    for sql in [
        "SELECT count(*), sum(total_minor) FROM orders",
        "WITH o AS (SELECT * FROM report.orders) SELECT o.*, l.sku FROM o JOIN order_lines l USING (order_no)",
        "SELECT placed_day, count(*) FILTER (WHERE paid) FROM orders GROUP BY ROLLUP (placed_day) ORDER BY ALL",
        "FROM orders SELECT order_no, row_number() OVER (PARTITION BY currency ORDER BY order_no) LIMIT 3",
        "SELECT payload->>'$.id', CAST(1 AS DECIMAL(9,2)) FROM payloads UNION ALL VALUES ('a', 1)",
        "SELECT * FROM range(3) AS t(i), unnest([1, 2]) AS u(x)",
        "SELECT country, (SELECT max(minor) FROM amounts a WHERE a.order_no = o.order_no) FROM orders o;",
    ] {
        bench.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let sum = bench.sql("SELECT count(*) AS n, sum(total_minor) AS s FROM orders").await.unwrap();
    assert_eq!(sum.json_rows().unwrap(), [[serde_json::json!(5), serde_json::json!(16_500)]]);
    let few = bench.store.query("SELECT order_no FROM orders".to_owned(), Vec::new(), 2).await.unwrap();
    assert!(few.truncated);
    assert_eq!(few.row_count(), 2);
    let one = bench.store.query(
        "SELECT order_no FROM orders WHERE external_id = ?".to_owned(),
        vec!["O3".into()],
        2,
    );
    assert_eq!(one.await.unwrap().row_count(), 1);
    let mut parquet = Vec::new();
    few.write_parquet(&mut parquet).unwrap();
    assert_eq!(&parquet[..4], b"PAR1");
}

#[tokio::test]
async fn the_console_refuses_everything_else() {
    let bench = Bench::new().await;
    bench.import(vec![item(facts("A", 1))]).await;
    for sql in [
        "SELECT * FROM main.person",
        "SELECT * FROM person",
        "SELECT * FROM main.orders",
        "SELECT * FROM eider.main.person",
        "SELECT * FROM raw.payload",
        "SELECT * FROM \"MAIN\".\"person\"",
        "SELECT (SELECT people FROM main.person LIMIT 1) FROM orders",
        "SELECT * FROM orders WHERE EXISTS (SELECT 1 FROM person)",
        "SELECT * FROM (WITH person AS (SELECT 1) SELECT * FROM person), person",
        "WITH x AS (SELECT * FROM main.session) SELECT * FROM x",
        "SELECT * FROM orders UNION SELECT * FROM person",
        "SELECT * FROM orders; SELECT 1",
        "DELETE FROM main.person",
        "UPDATE orders SET status = 'x'",
        "INSERT INTO main.session VALUES (1)",
        "CREATE TABLE x AS SELECT 1",
        "COPY (SELECT 1) TO '/tmp/x'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET schema = 'main'",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "SELECT * FROM duckdb_tables()",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM pragma_table_info('main.person')",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM query('SELECT * FROM main.person')",
        "SELECT * FROM query_table('person')",
        "SELECT getenv('EIDER_KEY')",
        "SELECT current_setting('temp_directory')",
        "SELECT main.\"current_setting\"('temp_directory')",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM main.person'))",
        "SHOW TABLES",
        "SELECT * FROM (SHOW ALL TABLES)",
        "SELECT * FROM (DESCRIBE main.person)",
        "SUMMARIZE main.person",
        "EXPLAIN ANALYZE SELECT 1",
        "CHECKPOINT",
        "SELECT",
        "",
    ] {
        let result = bench.sql(sql).await;
        assert!(matches!(result, Err(StoreError::Invalid(_))), "{sql}: {result:?}");
    }
}

#[tokio::test]
async fn a_query_past_its_deadline_is_stopped_and_the_next_one_runs() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(StoreOptions { query_timeout: Duration::from_millis(300), ..options(dir.path()) })
            .unwrap();
    let long = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3";
    assert_eq!(store.query(long.to_owned(), Vec::new(), 10).await.unwrap_err(), StoreError::Timeout);
    assert!(store.query("SELECT 1".to_owned(), Vec::new(), 10).await.is_ok());
}

#[tokio::test]
async fn the_mirror_is_not_moved_by_older_rows_and_sees_others() {
    let bench = Bench::new().await;
    let order_no = bench.import(vec![item(facts("A", 1))]).await.orders[0];
    let shop = bench.shop.id;
    let us = bench.store.installation().id;
    let row = move |id: &str, updated, shipped, installation: &str| mirror::MirrorRow {
        shop_order_id: id.to_owned(),
        external_order_id: Some("A".to_owned()),
        external_source: Some(format!("eider:amazon:A1:{installation}")),
        status_id: if shipped > 0 { 2 } else { 11 },
        created_at: at(1),
        updated_at: at(updated),
        total_minor: 3_300,
        currency: "USD".to_owned(),
        items_shipped: shipped,
        refunded_minor: 0,
        after_sale: None,
        cancelled_at: None,
    };
    let apply = async |rows: Vec<mirror::MirrorRow>| {
        bench
            .store
            .write(WriteLane::Interactive, move |tx| {
                mirror::apply(tx, shop, &rows, |status| status == 2, at(50))
            })
            .await
            .unwrap()
    };
    bench
        .store
        .write(WriteLane::Interactive, move |tx| orders::set_created(tx, order_no, "70", at(1)))
        .await
        .unwrap();
    assert_eq!(apply(vec![row("70", 10, 0, &us)]).await, mirror::MirrorOutcome::default());
    let shipped = apply(vec![row("70", 20, 1, &us)]).await;
    assert_eq!(
        shipped.effects.iter().map(|effect| effect.kind).collect::<Vec<_>>(),
        [EffectKind::ReadShopShipments]
    );
    assert_eq!(apply(vec![row("70", 10, 0, &us)]).await.effects, []);
    let refunded = |updated, minor, after_sale| mirror::MirrorRow {
        refunded_minor: minor,
        after_sale,
        ..row("70", updated, 0, &us)
    };
    // Only what moved is read: a note on the order moves nothing.
    use crate::domain::refund::AfterSale;
    let news = [
        (21, 500, Some(AfterSale::PartRefunded), true),
        (22, 500, Some(AfterSale::PartRefunded), false),
        (23, 700, Some(AfterSale::PartRefunded), true),
        (24, 700, Some(AfterSale::Cancelled), true),
        (25, 700, None, false),
    ];
    for (updated, minor, after_sale, is_news) in news {
        let effects = apply(vec![refunded(updated, minor, after_sale)]).await.effects;
        let is_read = effects.iter().any(|effect| effect.kind == EffectKind::ReadShopAfterSale);
        assert_eq!(is_read, is_news, "{updated}");
    }
    apply(vec![row("70", 26, 1, &us)]).await;
    let held = bench.store.read(move |read| mirror::find_all(read, shop, &["A".to_owned()])).await.unwrap();
    assert_eq!(held, [row("70", 26, 1, &us)]);
    // A refund does not undo a cancellation; setting the order back does.
    let steps = [
        (27, Some(AfterSale::Cancelled), true),
        (28, Some(AfterSale::PartRefunded), true),
        (29, Some(AfterSale::Refunded), true),
        (30, None, false),
        (31, Some(AfterSale::PartRefunded), false),
        (32, None, false),
    ];
    for (updated, after_sale, is_cancelled) in steps {
        apply(vec![refunded(updated, 700, after_sale)]).await;
        let find = move |read: &Read<'_>| mirror::find_all(read, shop, &["A".to_owned()]);
        let held = bench.store.read(find).await.unwrap().remove(0);
        assert_eq!(held.cancelled_at.is_some(), is_cancelled, "{updated}");
        assert_eq!(held.is_set_back(), after_sale.is_none(), "{updated}");
    }
    // What was made before we were connected is no sign of anybody.
    let older = mirror::MirrorRow { created_at: at(-10), ..row("71", 40, 0, "other") };
    assert_eq!(apply(vec![older]).await.twins, []);
    let made_for = |id: &str, marketplace_id: &str, installation: &str| mirror::MirrorRow {
        external_order_id: Some(marketplace_id.to_owned()),
        ..row(id, 41, 0, installation)
    };
    let theirs = made_for("72", "X", "other");
    assert_eq!(apply(vec![theirs.clone()]).await.twins, [mirror::TwinSign::Other(theirs.clone())]);
    assert_eq!(apply(vec![mirror::MirrorRow { updated_at: at(42), ..theirs }]).await.twins, []);
    let copy = made_for("73", "Y", &us);
    assert_eq!(apply(vec![copy.clone()]).await.twins, [mirror::TwinSign::Copy(copy)]);
    let again = apply(vec![row("74", 43, 0, &us)]).await.twins;
    let (external_id, shop_order_ids) =
        ("A".to_owned(), vec!["70".to_owned(), "71".to_owned(), "74".to_owned()]);
    let [mirror::TwinSign::Twice { order_no: Some(known), external_id: of, shop_order_ids: ids }] =
        &again[..]
    else {
        panic!("{again:?}")
    };
    let mut ids = ids.clone();
    ids.sort();
    assert_eq!((known, of, ids), (&order_no, &external_id, shop_order_ids));
    // Another account's orders are not ours to count.
    let foreign = mirror::MirrorRow {
        external_source: Some("eider:amazon:A2:other".to_owned()),
        ..row("75", 44, 0, "other")
    };
    assert_eq!(apply(vec![foreign]).await.twins, []);
}

/// What was asked for is ours, though its answer never came: whether it is known to be in the shop is settled later.
#[tokio::test]
async fn an_order_that_the_shop_was_asked_for_is_no_sign_of_a_twin() {
    let bench = Bench::new().await;
    let imported = bench.import(vec![item(facts("A", 1))]).await;
    let (shop, us) = (bench.shop.id, bench.store.installation().id);
    let create =
        imported.effects.iter().find(|effect| effect.kind == EffectKind::CreateShopOrder).unwrap().id;
    let row = mirror::MirrorRow {
        shop_order_id: "70".to_owned(),
        external_order_id: Some("A".to_owned()),
        external_source: Some(format!("eider:amazon:A1:{us}")),
        status_id: 11,
        created_at: at(5),
        updated_at: at(5),
        total_minor: 3_300,
        currency: "USD".to_owned(),
        items_shipped: 0,
        refunded_minor: 0,
        after_sale: None,
        cancelled_at: None,
    };
    bench
        .store
        .write(WriteLane::Interactive, move |tx| effects::begin_call(tx, create, at(4)))
        .await
        .unwrap();
    let seen = bench.store.write(WriteLane::Interactive, move |tx| {
        mirror::apply(tx, shop, std::slice::from_ref(&row), |_| false, at(6))
    });
    assert_eq!(seen.await.unwrap().twins, []);
}

#[tokio::test]
async fn listings_keep_their_row_and_go_when_no_longer_listed() {
    use crate::domain::listing::ListingFacts;
    let bench = Bench::new().await;
    let shop = bench.shop.id;
    let listing = |id: &str, sku: &str| ListingFacts {
        external_id: id.to_owned(),
        product_id: Some("p".to_owned()),
        sku: Some(sku.to_owned()),
        title: None,
        quantity: Some(1),
        price_minor: None,
        currency: None,
        fulfilled_by: FulfilledBy::Seller,
    };
    let upsert = async |rows: Vec<ListingFacts>, now| {
        bench.store.write(WriteLane::Bulk, move |tx| listings::upsert(tx, shop, &rows, now)).await.unwrap();
    };
    upsert(vec![listing("1", "RED"), listing("2", "BLUE"), listing("1", "RED")], at(1)).await;
    upsert(vec![listing("1", "GREEN")], at(2)).await;
    bench.store.write(WriteLane::Bulk, move |tx| listings::mark_gone(tx, shop, at(2))).await.unwrap();
    let rows =
        bench.store.read(move |read| listings::page(read, Some(shop), Some("gree"), None, 10)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.listing_id).collect::<Vec<_>>(), [1]);
    let variants = bench.store.read(move |read| listings::shop_variants(read, shop)).await.unwrap();
    assert_eq!(variants.iter().map(|variant| variant.sku.as_str()).collect::<Vec<_>>(), ["GREEN"]);
}

#[tokio::test]
async fn streams_come_on_and_fail_without_losing_their_place() {
    let bench = Bench::new().await;
    bench.import(Vec::new()).await;
    let id = bench.amazon.id;
    bench
        .store
        .write(WriteLane::Interactive, move |tx| connections::fail_stream(tx, id, "orders", "500", at(60)))
        .await
        .unwrap();
    let stream =
        bench.store.read(move |read| connections::stream(read, id, "orders")).await.unwrap().unwrap();
    assert_eq!(
        (stream.complete_until, stream.failures, stream.last_error.as_deref()),
        (Some(at(9)), 1, Some("500"))
    );
    let status = bench.store.read(|read| status::status(read, at(100))).await.unwrap();
    assert_eq!(status.streams, [stream]);
}

#[tokio::test]
async fn a_compared_day_keeps_the_gap_that_it_had() {
    use super::reconciliation::{self, Counts};
    let bench = Bench::new().await;
    let id = bench.amazon.id;
    let day: jiff::civil::Date = "2026-01-01".parse().unwrap();
    let found = Counts { platform: 5, held: 4, parked: 0, missing: 3, fetched: 2, only_here: 1 };
    let clean = Counts { platform: 5, held: 5, parked: 0, missing: 1, fetched: 1, only_here: 0 };
    bench
        .store
        .write(WriteLane::Bulk, move |tx| {
            reconciliation::ask(tx, id, &[day], at(1))?;
            reconciliation::ask(tx, id, &[day], at(2))?;
            reconciliation::save(tx, id, day, &found, at(3))?;
            assert_eq!(reconciliation::gaps(tx)?, [(id, 1)]);
            reconciliation::save(tx, id, day, &clean, at(4))
        })
        .await
        .unwrap();
    let read =
        move |read: &Read<'_>| Ok((reconciliation::days(read, id, day, 10)?, reconciliation::gaps(read)?));
    let (days, gaps) = bench.store.read(read).await.unwrap();
    assert_eq!((days.len(), days[0].is_asked(), days[0].checked_at), (1, false, Some(at(4))));
    assert_eq!(days[0].counts, Some(Counts { missing: 3, fetched: 3, ..clean }));
    assert_eq!(gaps, [(id, 0)]);
}

#[tokio::test]
async fn a_parked_payload_of_the_same_second_does_not_overtake_what_arrived_later() {
    let bench = Bench::new().await;
    let mut shipped = facts("A", 10);
    shipped.status = OrderStatus::Shipped;
    let unreadable = ("status".to_owned(), "unknown".to_owned());
    let broken = ImportItem::new(Some("A".to_owned()), "{\"a\":1}".to_owned(), Vec::new(), Err(unreadable));
    bench.import(vec![broken]).await;
    let first = bench.import(vec![item(shipped)]).await;
    let parked = bench.store.read(|read| orders::parked(read, 10)).await.unwrap()[0].payload_id;
    let outcome = bench.import(vec![item(facts("A", 10)).from_parked(parked)]).await;
    assert_eq!(counts(&outcome), [0, 0, 1, 0, 0]);
    assert_eq!(bench.detail(first.orders[0]).await.row.status, OrderStatus::Shipped);
    let later = PayloadId(parked.0 + 1_000);
    let outcome = bench.import(vec![item(facts("A", 10)).from_parked(later)]).await;
    assert_eq!(counts(&outcome), [0, 1, 0, 0, 0], "one that arrived after what is held counts");
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn a_lines_refund_stays_with_its_line_wherever_that_stands() {
    let bench = Bench::new().await;
    let order_no = bench.import(vec![item(facts("A", 10))]).await.orders[0];
    let share = RefundShare { external_line_id: "A-1".to_owned(), item_minor: 500, ..RefundShare::default() };
    let refund = HeldRefund {
        shop_refund_id: "1".to_owned(),
        refunded_at: Some(at(11)),
        total_minor: 500,
        shares: vec![share],
    };
    let add = move |tx: &mut Tx<'_>| refunds::add(tx, order_no, std::slice::from_ref(&refund), at(12));
    bench.store.write(WriteLane::Interactive, add).await.unwrap();
    let refunded = async || {
        let sql = "SELECT external_id, refund_minor FROM main.order_line ORDER BY line_no";
        let row = |row: &duckdb::Row<'_>| Ok((values::get::<String>(row, 0)?, values::get::<i64>(row, 1)?));
        bench.store.read(move |read| read.rows(sql, [], row)).await.unwrap()
    };
    assert_eq!(refunded().await, [("A-0".to_owned(), 0), ("A-1".to_owned(), 500)]);
    let mut turned = facts("A", 20);
    turned.lines.reverse();
    for amount in &mut turned.amounts {
        amount.line = amount.line.map(|line| 1 - line);
    }
    bench.import(vec![item(turned)]).await;
    assert_eq!(refunded().await, [("A-1".to_owned(), 500), ("A-0".to_owned(), 0)]);
    assert_eq!(bench.findings().await, []);
}

/// What the marketplace gave back: (id, minor units, line where it names one).
fn given_back(refunds: &[(&str, i64, Option<&str>)]) -> Option<GivenBack> {
    let refund = |(id, minor, line): &(&str, i64, Option<&str>)| MarketplaceRefund {
        refund_id: (*id).to_owned(),
        refunded_at: Some(at(11)),
        currency: "USD".parse().unwrap(),
        told_minor: *minor,
        total_minor: *minor,
        lines: line
            .iter()
            .map(|line| RefundedLine { external_line_id: (*line).to_owned(), minor: *minor })
            .collect(),
    };
    Some(GivenBack { refunds: refunds.iter().map(refund).collect(), is_more_under_way: false })
}

fn refunded(id: &str, updated: i64, refunds: &[(&str, i64, Option<&str>)]) -> ImportItem {
    item(OrderFacts { refunds: given_back(refunds), ..facts(id, updated) })
}

impl Bench {
    /// Refunded, net, and refunded by line.
    async fn refund_sums(&self, order_no: OrderNo) -> (i64, i64, Vec<i64>) {
        let read = move |read: &Read<'_>| {
            let sql = "SELECT refund_minor, net_minor FROM main.orders WHERE order_no = ?";
            let sums =
                read.first(sql, [order_no.0], |row| Ok((values::get(row, 0)?, values::get(row, 1)?)))?;
            let sql = "SELECT refund_minor FROM main.order_line WHERE order_no = ? ORDER BY line_no";
            let lines = read.rows(sql, [order_no.0], |row| values::get(row, 0))?;
            let (refund, net) = sums.unwrap();
            Ok((refund, net, lines))
        };
        self.store.read(read).await.unwrap()
    }

    async fn add_shop_refund(&self, order_no: OrderNo, id: &str, line: &str, minor: i64) {
        let share =
            RefundShare { external_line_id: line.to_owned(), item_minor: minor, ..RefundShare::default() };
        let refund = HeldRefund {
            shop_refund_id: id.to_owned(),
            refunded_at: Some(at(11)),
            total_minor: minor,
            shares: vec![share],
        };
        let add = move |tx: &mut Tx<'_>| refunds::add(tx, order_no, std::slice::from_ref(&refund), at(12));
        self.store.write(WriteLane::Interactive, add).await.unwrap();
    }

    async fn said_of_refunds(&self, order_no: OrderNo) -> Vec<String> {
        let events = self.detail(order_no).await.events.into_iter();
        let is_said = |event: &events::EventRow| event.kind == EventKind::RefundedOnMarketplace;
        events.filter(is_said).map(|event| event.text).collect()
    }
}

#[tokio::test]
async fn what_the_marketplace_gave_back_counts_and_is_taken_back_out() {
    let bench = Bench::new().await;
    let order_no = bench.import(vec![refunded("A", 10, &[("1", 400, None)])]).await.orders[0];
    // A total of 3300, of which 300 are tax.
    assert_eq!(bench.refund_sums(order_no).await, (400, 2_637, vec![0, 0]), "an order that is new");
    bench.import(vec![refunded("A", 20, &[("1", 400, None), ("2", 500, Some("A-1"))])]).await;
    assert_eq!(bench.refund_sums(order_no).await, (900, 2_182, vec![0, 500]));
    let held = bench.detail(order_no).await;
    assert_eq!((held.row.refund_minor, held.marketplace_refunds.len()), (900, 2));
    assert_eq!(bench.findings().await, []);
    // A payload that does not tell of refunds leaves them; one that is older, too.
    bench.import(vec![item(facts("A", 30))]).await;
    bench.import(vec![refunded("A", 5, &[])]).await;
    assert_eq!(bench.refund_sums(order_no).await, (900, 2_182, vec![0, 500]));
    bench.import(vec![refunded("A", 40, &[("1", 400, None)])]).await;
    assert_eq!(bench.refund_sums(order_no).await, (400, 2_637, vec![0, 0]));
    bench.import(vec![refunded("A", 50, &[])]).await;
    assert_eq!(bench.refund_sums(order_no).await, (0, 3_000, vec![0, 0]));
    assert_eq!(bench.detail(order_no).await.marketplace_refunds, []);
    // All of it goes back, and then the order changes.
    bench.import(vec![refunded("A", 60, &[("3", 3_300, None)])]).await;
    assert_eq!(bench.refund_sums(order_no).await, (3_300, 0, vec![0, 0]));
    bench.import(vec![item(OrderFacts { ship_by: Some(at(99)), ..facts("A", 70) })]).await;
    assert_eq!(bench.refund_sums(order_no).await, (3_300, 0, vec![0, 0]));
    bench.import(vec![refunded("A", 80, &[])]).await;
    let said = [
        "My amazon gave 4.00 USD back.",
        "My amazon gave 5.00 USD back.",
        "My amazon no longer says that 5.00 USD went back.",
        "My amazon no longer says that 4.00 USD went back.",
        "My amazon gave 33.00 USD back.",
        "My amazon no longer says that 33.00 USD went back.",
    ];
    assert_eq!(bench.said_of_refunds(order_no).await, said);
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn the_greater_of_what_both_sides_gave_back_counts_by_order_and_by_line() {
    let bench = Bench::new().await;
    let order_no = bench.import(vec![item(facts("A", 10))]).await.orders[0];
    bench.add_shop_refund(order_no, "1", "A-0", 300).await;
    assert_eq!(bench.refund_sums(order_no).await, (300, 2_728, vec![300, 0]));
    bench.import(vec![refunded("A", 20, &[("M1", 300, Some("A-0"))])]).await;
    assert_eq!(bench.refund_sums(order_no).await, (300, 2_728, vec![300, 0]), "passed on, it went back once");
    bench.import(vec![refunded("A", 30, &[("M1", 300, Some("A-0")), ("M2", 200, Some("A-1"))])]).await;
    assert_eq!(bench.refund_sums(order_no).await, (500, 2_546, vec![300, 200]));
    bench.add_shop_refund(order_no, "2", "A-1", 900).await;
    assert_eq!(bench.refund_sums(order_no).await, (1_200, 1_910, vec![300, 900]));
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn a_refund_in_another_currency_is_held_and_counts_nowhere() {
    let bench = Bench::new().await;
    let mut foreign = given_back(&[("1", 400, Some("A-0"))]);
    foreign.as_mut().unwrap().refunds[0].currency = "GBP".parse().unwrap();
    let order_no =
        bench.import(vec![item(OrderFacts { refunds: foreign, ..facts("A", 10) })]).await.orders[0];
    assert_eq!(bench.refund_sums(order_no).await, (0, 3_000, vec![0, 0]));
    let held = bench.detail(order_no).await.marketplace_refunds;
    assert_eq!((held.len(), held[0].refund.currency.code()), (1, "GBP"));
    assert!(bench.said_of_refunds(order_no).await[0].contains("4.00 GBP back. It counts in none"));
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn a_payload_that_lay_parked_brings_its_refunds() {
    let bench = Bench::new().await;
    let order_no = bench.import(vec![item(facts("A", 10))]).await.orders[0];
    let parked = refunded("A", 20, &[("1", 400, None)]).from_parked(PayloadId(1_000));
    bench.import(vec![parked]).await;
    assert_eq!(bench.refund_sums(order_no).await, (400, 2_637, vec![0, 0]));
    assert_eq!(bench.findings().await, []);
}

#[tokio::test]
async fn a_refund_that_is_under_way_is_looked_at_again() {
    let bench = Bench::new().await;
    let under_way = Some(GivenBack { refunds: Vec::new(), is_more_under_way: true });
    let news = |updated| OrderFacts { refunds: under_way.clone(), ..facts("A", updated) };
    let refreshes = |outcome: &ImportOutcome| {
        outcome.effects.iter().filter(|effect| effect.kind == EffectKind::RefreshOrder).count()
    };
    assert_eq!(refreshes(&bench.import(vec![item(news(10))]).await), 1);
    assert_eq!(refreshes(&bench.import(vec![item(news(20))]).await), 0, "that is owed already");
    assert_eq!(refreshes(&bench.import(vec![refunded("B", 10, &[("1", 400, None)])]).await), 0);
}

#[tokio::test]
async fn what_buyers_designed_is_not_fetched_for_who_was_erased() {
    let bench = Bench::new().await;
    let first = bench.import(vec![item(facts("A", 10)), item(facts("B", 10))]).await;
    let erased = first.orders[0];
    let log = "INSERT INTO main.erasure_log VALUES (?, 'request', TIMESTAMP '2026-01-02')";
    bench.store.write(WriteLane::Interactive, move |tx| tx.execute(log, [erased.0])).await.unwrap();
    let designed = |id: &str| OrderFacts { customised_lines: vec![format!("{id}-0")], ..facts(id, 20) };
    let outcome = bench.import(vec![item(designed("A")), item(designed("B"))]).await;
    let fetched: Vec<OrderNo> = outcome
        .effects
        .iter()
        .filter(|effect| effect.kind == EffectKind::KeepCustomisation)
        .map(|effect| effect.order_no)
        .collect();
    assert_eq!(fetched, [first.orders[1]]);
}

//! Each thing that must not be is planted and found, by its check and by no other way.

use std::fs;

use super::*;
use crate::store::WriteLane;
use crate::store::backup::tests::keep_file;
use crate::store::tests::{Bench, facts, item};

/// What is planted, and the check that must find it.
const PLANTED: &[(&str, &str)] = &[
    (
        "INSERT INTO main.orders SELECT * REPLACE (3 AS order_no) FROM main.orders WHERE order_no = 1",
        "one order per platform's id",
    ),
    ("INSERT INTO main.orders SELECT * FROM main.orders WHERE order_no = 1", "order numbers are unique"),
    (
        "INSERT INTO main.effect_open SELECT * REPLACE (99 AS effect_id) FROM main.effect_open LIMIT 1",
        "one open effect per order, kind and revision",
    ),
    ("UPDATE main.effect_open SET order_no = 77", "open effects belong to orders"),
    ("UPDATE main.order_line SET order_no = 77 WHERE order_no = 1", "lines belong to orders"),
    (
        "INSERT INTO main.order_line SELECT * FROM main.order_line WHERE order_no = 1 AND line_no = 0",
        "every line is there once",
    ),
    ("DELETE FROM main.order_line WHERE order_no = 1 AND line_no = 0", "orders have all their lines"),
    (
        "UPDATE main.orders SET item_minor = item_minor + 1, net_minor = net_minor WHERE order_no = 1",
        "an order's stamped sums are those of its amounts",
    ),
    (
        "UPDATE main.order_amount SET minor = minor - 1 WHERE order_no = 1 AND kind = 'shipping_tax'",
        "an order's stamped sums are those of its amounts",
    ),
    (
        "INSERT INTO main.order_amount VALUES (1, NULL, 'fee', 5)",
        "an order's stamped sums are those of its amounts",
    ),
    (
        "UPDATE main.orders SET net_minor = net_minor + 5",
        "an order's net is what is left of its total after refunds, without the tax in it",
    ),
    (
        "UPDATE main.orders SET refund_minor = 5, net_minor = net_minor - 5 WHERE order_no = 1",
        "an order's refunds are the greater of what the shop and the marketplace gave back",
    ),
    (
        "INSERT INTO main.marketplace_refund VALUES (1, '9', NULL, 'USD', 5, 5, '[]', NULL, now())",
        "an order's refunds are the greater of what the shop and the marketplace gave back",
    ),
    (
        "UPDATE main.order_line SET refund_minor = 5 WHERE order_no = 1 AND line_no = 0",
        "a line's refunds are the greater of what the shop and the marketplace gave back for it",
    ),
    (
        "INSERT INTO main.shop_refund VALUES (1, '9', NULL, 0,
         '[{\"external_line_id\":\"O1-0\",\"item_minor\":4,\"shipping_minor\":1}]', NULL, NULL, NULL, NULL, NULL, now())",
        "a line's refunds are the greater of what the shop and the marketplace gave back for it",
    ),
    (
        "INSERT INTO main.marketplace_refund VALUES
         (1, '9', NULL, 'USD', 0, 0, '[{\"external_line_id\":\"O1-0\",\"minor\":5}]', NULL, now())",
        "a line's refunds are the greater of what the shop and the marketplace gave back for it",
    ),
    (
        "INSERT INTO main.marketplace_refund SELECT 1, '9', NULL, 'USD', 0, 0, '[]', NULL, now() FROM range(2)",
        "every refund of the marketplace is there once",
    ),
    (
        "INSERT INTO main.marketplace_refund VALUES (77, '9', NULL, 'USD', 0, 0, '[]', NULL, now())",
        "refunds of the marketplace belong to orders",
    ),
    (
        "INSERT INTO main.shop_refund SELECT 1, '9', NULL, 0, '[]', NULL, NULL, NULL, NULL, NULL, now() FROM range(2)",
        "every refund of the shop is there once",
    ),
    (
        "INSERT INTO main.shop_refund VALUES (77, '9', NULL, 0, '[]', NULL, NULL, NULL, NULL, NULL, now())",
        "refunds belong to orders",
    ),
    ("UPDATE main.order_line SET item_minor = 1 WHERE line_no = 1", "an order's lines add up to it"),
    ("UPDATE main.order_amount SET order_no = 77 WHERE order_no = 1", "amounts belong to orders"),
    (
        "UPDATE main.orders SET export_state = 'created', total_minor = total_minor + 1, net_minor = net_minor + 1
         WHERE order_no = 1",
        "an order that goes into the shop adds up",
    ),
    ("INSERT INTO raw.payload SELECT * FROM raw.payload LIMIT 1", "payloads are there once"),
    ("DELETE FROM raw.payload WHERE order_no = 1", "orders show payloads that are there"),
    ("UPDATE raw.payload SET order_no = 77 WHERE order_no = 1", "payloads belong to orders"),
    (
        "INSERT INTO main.parked VALUES (77, 2, NULL, 1, 'a', 'b', TIMESTAMP '2026-01-01', NULL, NULL, NULL, NULL)",
        "parked payloads are there",
    ),
    ("UPDATE main.event SET payload_id = 77", "events show payloads that are there"),
    ("DELETE FROM main.person WHERE order_no = 1", "whoever is named is there"),
    ("INSERT INTO main.person SELECT * FROM main.person LIMIT 1", "people are there once"),
    ("UPDATE main.person SET order_no = 77", "people belong to orders"),
    (
        "INSERT INTO main.shipment VALUES (77, 1, 'shop', NULL, NULL, NULL, NULL, NULL, NULL, '[]', false, NULL,
         TIMESTAMP '2026-01-01')",
        "parcels belong to orders",
    ),
    (
        "INSERT INTO main.shipment SELECT 1, 1, 'shop', NULL, NULL, NULL, NULL, NULL, NULL, '[]', false, NULL,
         TIMESTAMP '2026-01-01' FROM range(2)",
        "every parcel is there once",
    ),
    ("UPDATE main.orders SET connection_id = 77", "everything belongs to connections"),
    ("UPDATE main.orders SET shop_order_id = '5', shop_connection_id = 1", "a shop order stands for one order"),
    (
        "INSERT INTO main.movement SELECT * FROM main.movement WHERE movement_id = 1",
        "movements are there once",
    ),
    (
        "UPDATE main.movement SET balance_after = balance_after + 1 WHERE movement_id = 1",
        "each movement goes on from the one before",
    ),
    ("UPDATE main.stock_level SET on_hand = 9", "stock is what its movements and reservations say"),
    ("UPDATE main.stock_level SET reserved = 0", "stock is what its movements and reservations say"),
    ("UPDATE main.stock_level SET last_movement_id = 1", "stock is what its movements and reservations say"),
    ("DELETE FROM main.stock_level", "stock is what its movements and reservations say"),
    ("INSERT INTO main.stock_level SELECT * FROM main.stock_level", "one level per item and location"),
    (
        "INSERT INTO main.shop_mirror SELECT 1, '5', 5, NULL, NULL, NULL, 9, now(), now(), 1, 'USD', 0, now(), 0, NULL, NULL
         FROM range(2)",
        "one row per shop order",
    ),
    (
        "INSERT INTO main.file VALUES ('aa', 1, 'application/zip', 'a', 77, true, TIMESTAMP '2026-01-01', '1')",
        "files belong to orders",
    ),
    (
        "INSERT INTO main.listing SELECT range, 1, 5, 'L', NULL, NULL, NULL, NULL, NULL, NULL, 'seller', now(), false
         FROM range(2)",
        "one row per listing",
    ),
];

/// Two orders, and a ledger of two movements with a reservation.
async fn sound() -> Bench {
    let bench = Bench::new().await;
    bench.import(vec![item(facts("O1", 1)), item(facts("O2", 1))]).await;
    let stock = "INSERT INTO main.movement VALUES
            (1, 1, 1, 10, 10, 'count', NULL, NULL, TIMESTAMP '2026-01-01', 'ann'),
            (2, 1, 1, -3, 7, 'shipped', 1, 0, TIMESTAMP '2026-01-02', 'poll');
        INSERT INTO main.reservation VALUES (2, 0, 1, 1, 2, NULL);
        INSERT INTO main.stock_level VALUES (1, 1, 7, 2, 2)";
    let stocked =
        bench.store.write(WriteLane::Interactive, move |tx| Ok(tx.connection().execute_batch(stock)?));
    stocked.await.unwrap();
    assert_eq!(bench.store.verify().await.unwrap().findings, []);
    bench
}

#[tokio::test]
async fn whatever_is_planted_is_found() {
    let bench = sound().await;
    for (sql, check) in PLANTED {
        // Seen inside the write that plants it, which is then undone.
        let planted = bench.store.write(WriteLane::Interactive, move |tx| {
            tx.execute(sql, [])?;
            let found: Vec<&str> = verify(tx)?.iter().map(|finding| finding.check).collect();
            Err::<(), _>(StoreError::Invalid(found.join("\n")))
        });
        let found = planted.await.unwrap_err().to_string();
        assert!(
            found.lines().any(|found| found == *check),
            "{sql}\nwas to be found by “{check}”, found:\n{found}"
        );
    }
    let unproved: Vec<&str> = CHECKS
        .iter()
        .map(|(check, _)| *check)
        .filter(|name| PLANTED.iter().all(|(_, check)| check != name))
        .collect();
    assert_eq!(unproved, Vec::<&str>::new());
    assert_eq!(bench.store.verify().await.unwrap().findings, []);
}

#[tokio::test]
async fn files_and_their_rows_prove_each_other() {
    let bench = Bench::new().await;
    let kept = keep_file(&bench, b"kept").await;
    let changed = keep_file(&bench, b"changed").await;
    let gone = keep_file(&bench, b"gone").await;
    let dir = bench.dir.path();
    let report = bench.store.verify().await.unwrap();
    assert_eq!(report.findings, []);
    assert!(report.figures.contains(&("files", 3)), "{:?}", report.figures);
    fs::write(dir.join(&changed), "chanGed").unwrap();
    fs::remove_file(dir.join(&gone)).unwrap();
    fs::write(dir.join("files/stray"), "stray").unwrap();
    let resize = "UPDATE main.file SET size_bytes = 5 WHERE sha256 = ?";
    let name = kept.file_name().unwrap().to_string_lossy().into_owned();
    bench.store.write(WriteLane::Interactive, move |tx| tx.execute(resize, [&name]).map(drop)).await.unwrap();
    let findings = bench.store.verify().await.unwrap().findings;
    let texts: Vec<&str> = findings.iter().map(|finding| finding.text.as_str()).collect();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    for expected in [
        format!("{} has 4 bytes, the database says 5", kept.display()),
        format!("{} is not what it was", changed.display()),
        format!("file {} is in the database and not in", name(&gone)),
        "files/stray belongs to nothing in the database".to_owned(),
    ] {
        assert!(texts.iter().any(|text| text.starts_with(&expected)), "{expected}: {texts:?}");
    }
    assert_eq!(texts.len(), 4);
}

#[tokio::test]
async fn a_file_that_came_after_the_folder_was_read_is_not_missing() {
    let bench = Bench::new().await;
    keep_file(&bench, b"came late").await;
    let rows = bench.store.read(file_rows).await.unwrap();
    assert_eq!(rows.len(), 1);
    let before = BTreeMap::new();
    assert_eq!(compare_files(bench.dir.path(), &before, (&rows, &BTreeSet::new())), []);
}

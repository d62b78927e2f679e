//! What a restart keeps.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::{AMAZON, BIGCOMMERCE, Bench, quiet, shop_order};
use crate::clock::ManualClock;
use crate::sim::{SimError, SimOptions, World};

fn kept(folder: &Path) -> SimOptions {
    SimOptions { orders: 30, folder: Some(folder.to_owned()), ..quiet() }
}

fn truths(bench: &Bench) -> serde_json::Value {
    json!([
        bench.truth(AMAZON, "orders"),
        bench.truth(AMAZON, "listings"),
        bench.truth(AMAZON, "feeds"),
        bench.truth(BIGCOMMERCE, "orders"),
        bench.truth(BIGCOMMERCE, "shop_orders"),
        bench.truth(BIGCOMMERCE, "listings"),
        bench.truth(BIGCOMMERCE, "mails"),
    ])
}

#[test]
fn a_restart_continues_even_after_a_torn_write() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(kept(folder.path()));
    let sku = bench.shared_sku();
    let order = bench.deed(AMAZON, "sell", &json!({"sku": sku, "quantity": 2, "paid": false}));
    bench.deed(AMAZON, "pay", &json!({"id": order["id"]}));
    bench.shop("POST", "/v2/orders", Some(&shop_order(&bench, &sku, 1)));
    bench.deed(BIGCOMMERCE, "ship", &json!({"id": "103", "carrier": "UPS", "tracking": "1Z"}));
    let done = super::amazon::hand_over(
        &bench,
        super::amazon::CANCELLATIONS,
        &[order["id"].as_str().unwrap(), "NoInventory", ""],
    );
    bench.pass(120);
    assert_eq!(super::amazon::feed(&bench, &done)["processingStatus"], "DONE");
    super::amazon::hand_over(&bench, super::amazon::CANCELLATIONS, &["none", "NoInventory", ""]);
    let before = truths(&bench);
    drop(bench);
    let journal = folder.path().join("journal-1");
    OpenOptions::new()
        .append(true)
        .open(&journal)
        .unwrap()
        .write_all(b"0123456789abcdef [{\"Shop\":{\"Or")
        .unwrap();
    let bench = Bench::new(kept(folder.path()));
    assert_eq!(truths(&bench), before);
    let next = bench.shop("POST", "/v2/orders", Some(&shop_order(&bench, &sku, 1))).1;
    assert_eq!(next["id"], 104, "numbers go on");
    let before = truths(&bench);
    drop(bench);
    assert_eq!(
        truths(&Bench::new(kept(folder.path()))),
        before,
        "what was written after the repair is kept too"
    );
}

#[test]
fn a_folder_belongs_to_one_seed_and_one_world() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let world = World::open(kept(folder.path()), clock.clone()).unwrap();
    assert!(matches!(World::open(kept(folder.path()), clock.clone()), Err(SimError::Folder(_))));
    drop(world);
    let other = SimOptions { seed: 2, ..kept(folder.path()) };
    assert!(matches!(World::open(other, clock), Err(SimError::OtherSeed { found: 1, wanted: 2 })));
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let options = SimOptions { orders: 40, rate_per_minute: 20, ..quiet() };
    let run = || {
        let bench = Bench::new(options.clone());
        bench.deed(AMAZON, "clock", &json!({"advance_s": 1_800}));
        truths(&bench)
    };
    assert_eq!(run(), run());
}

#[test]
fn arrivals_go_on_after_a_stop_without_making_up_a_long_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = SimOptions { rate_per_minute: 60, ..kept(folder.path()) };
    let bench = Bench::new(options.clone());
    bench.pass(60);
    let first = bench.truth(AMAZON, "orders").as_array().unwrap().len();
    assert!(first > 60, "{first}");
    drop(bench);
    let clock = Arc::new(ManualClock::new("2026-11-08T12:00:00Z".parse().unwrap()));
    let world = World::open(options, clock.clone()).unwrap();
    let count = || world.control(AMAZON, "orders", None).1.as_array().unwrap().len();
    assert!(count() < first + 5, "a week is not made up");
    clock.advance(std::time::Duration::from_secs(60));
    assert!(count() > first + 30, "new orders come");
}

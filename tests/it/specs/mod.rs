//! The specification gate: what connectors send and what simulators answer, held against the platforms' own
//! specifications; what real systems sent, through the connectors' readers; and the connectors against a mock
//! that is made from those specifications.
//!
//! Specifications and recorded payloads are read from the shared folder and never copied here. Where that folder
//! is absent the tests say that they were skipped; `EIDER_REQUIRE_SHARED=1` and `EIDER_REQUIRE_PRISM=1`, which
//! `.ci/run` sets, make that a failure.
//!
//! # When a connector calls a new operation
//!
//! Name it in the connector as the specification does, and in the simulator's routes and the fault campaign's
//! matrix by the same name. Then follow what turns red:
//!
//! 1. *no specification has this path*: add the file to `FILES` in `documents.rs`.
//! 2. *never sent*: make the engine or a connector send it in `traffic.rs`, with a success and with what the
//!    platform refuses; `misuse.rs` has what no connector sends. Refusals that the simulator can give and the
//!    specification lists go into `REFUSALS` below.
//! 3. In `required.rs`, write down the fields without which the request does not mean what we mean, and the answer's
//!    fields that its reader cannot do without. Nothing asks for this: vendors mark almost none as required.
//! 4. Prism is asked for every operation of a platform whose specifications have examples, which eBay's have not: add
//!    the call to `prism.rs`, and the specification to `SERVED` there.
//! 5. Where real payloads of it are in the shared folder, give them a reader in `recorded.rs` and look at the snapshot
//!    (`cargo insta review`): what is not in it was lost in reading. What it pushes goes through `messages.rs`.
//!
//! # When something differs
//!
//! A difference is a mistake of ours until the platform's documentation or a recorded payload says otherwise. Then
//! it is listed in `deviations.rs`: operation, side, the place and a part of the text as the failure prints them, and
//! the reason, with its source. What is listed and no longer differs turns red, so that the list stays true. A call
//! of which no specification exists goes into `UNSPECIFIED` there. Prism knows nothing of that list: what it refuses
//! wrongly is undone in `Mocked::send`.

mod campaign;
mod deviations;
mod documents;
mod ebay;
mod etsy;
mod gate;
mod messages;
mod misuse;
mod prism;
mod recorded;
mod required;
mod schema;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::Value;

use deviations::{DEVIATIONS, UNSPECIFIED};
use gate::{Exchange, Finding, Gate};
use traffic::exchanges;

use super::tidy::{files, text_of};

/// The gate, once; none where the shared folder is absent.
fn gate() -> Option<&'static Gate> {
    static GATE: OnceLock<Option<Gate>> = OnceLock::new();
    GATE.get_or_init(Gate::open).as_ref()
}

/// What a specification describes and went well.
fn successes() -> impl Iterator<Item = &'static Exchange> {
    exchanges().iter().filter(|one| is_specified(one) && (200..300).contains(&one.status))
}

fn is_specified(exchange: &Exchange) -> bool {
    !UNSPECIFIED.iter().any(|(operation, _)| *operation == exchange.operation)
}

/// What is found and not meant.
fn unmeant(findings: Vec<Finding>) -> Vec<Finding> {
    findings.into_iter().filter(|found| !DEVIATIONS.iter().any(|known| known.is_about(found))).collect()
}

#[test]
fn every_request_and_every_answer_is_as_the_specification_has_it() {
    let Some(gate) = gate() else { return };
    let mut pairs: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong: BTreeMap<Finding, usize> = BTreeMap::new();
    for exchange in exchanges() {
        let Exchange { platform, operation, status, .. } = exchange;
        *pairs.entry(format!("{platform} {operation} {status}")).or_default() += 1;
        if is_specified(exchange) {
            for finding in unmeant(gate.check(exchange)) {
                *wrong.entry(finding).or_default() += 1;
            }
        }
    }
    for (pair, count) in &pairs {
        println!("{pair}: {count}");
    }
    let lines: Vec<String> =
        wrong.iter().map(|(finding, count)| format!("{finding} ({count} times)")).collect();
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), lines.join("\n"));
}

#[test]
fn every_operation_of_the_connectors_is_seen() {
    let Some(gate) = gate() else { return };
    let seen: BTreeSet<&str> = exchanges().iter().map(|exchange| exchange.operation.as_str()).collect();
    let in_source = operations_of_connectors(gate);
    let unseen: Vec<&&str> = in_source.difference(&seen).collect();
    assert!(unseen.is_empty(), "never sent: {unseen:?}");
    assert!(in_source.len() >= 15, "{in_source:?}");
    let succeeded = |operation: &str| {
        exchanges().iter().any(|one| one.operation == operation && (200..300).contains(&one.status))
    };
    let failed: Vec<&&str> = in_source.iter().filter(|operation| !succeeded(operation)).collect();
    assert!(failed.is_empty(), "never answered well: {failed:?}");
}

/// Whatever a connector can send, something goes wrong with in the fault campaign.
#[test]
fn every_operation_of_the_connectors_is_in_the_campaign() {
    let Some(gate) = gate() else { return };
    for platform in ["amazon", "bigcommerce", "ebay", "etsy"] {
        let known = |name: &&str| eider::campaign::matrix::place_of(platform, name).is_some();
        let (known, unknown): (Vec<&str>, Vec<&str>) =
            operations_of(gate, platform).into_iter().partition(known);
        assert!(unknown.is_empty(), "{platform}: the campaign's OPERATIONS lack {unknown:?}");
        assert!(known.len() >= 5, "{platform}: {known:?}");
    }
}

/// Refusals that the specification lists and the simulator can give.
const REFUSALS: [(&str, &str, &[u16]); 29] = [
    ("etsy", "getShopReceipts", &[400, 401, 403, 404, 500]),
    ("etsy", "getShopReceipt", &[400, 401, 403, 404, 500]),
    ("etsy", "createReceiptShipment", &[400, 401, 403, 404, 409, 500]),
    ("etsy", "getListingsByShop", &[400, 401, 403, 500]),
    ("etsy", "getShop", &[400, 404, 500]),
    ("etsy", "getMe", &[401, 500]),
    ("amazon", "searchOrders", &[400, 403, 429, 500]),
    ("amazon", "getOrder", &[400, 403, 404, 429, 500]),
    ("amazon", "confirmShipment", &[400, 403, 404, 429, 500]),
    ("amazon", "searchListingsItems", &[400, 403, 429, 500]),
    ("amazon", "getMarketplaceParticipations", &[403, 429, 500]),
    ("amazon", "createFeedDocument", &[400, 403, 429, 500]),
    ("amazon", "createFeed", &[400, 403, 429, 500]),
    ("amazon", "getFeed", &[403, 404, 429, 500]),
    ("amazon", "getFeedDocument", &[403, 404, 429, 500]),
    ("amazon", "getSubscription", &[403, 404, 429, 500]),
    ("amazon", "getDestinations", &[403, 429, 500]),
    ("amazon", "createDestination", &[403, 429, 500]),
    ("amazon", "createSubscription", &[403, 429, 500]),
    ("ebay", "getOrders", &[400, 401, 429, 500]),
    ("ebay", "getOrder", &[400, 401, 404, 429, 500]),
    ("ebay", "getShippingFulfillments", &[400, 401, 429, 500]),
    ("ebay", "createShippingFulfillment", &[400, 401, 409, 429, 500]),
    ("ebay", "issueRefund", &[400, 401, 404, 429, 500]),
    ("ebay", "getInventoryItems", &[400, 401, 429, 500]),
    ("ebay", "getOffers", &[400, 404, 429, 500]),
    ("bigcommerce", "getOrder", &[404]),
    ("bigcommerce", "put-absolute-adjustment", &[422]),
    // Not listed, but what a connector meets most.
    ("bigcommerce", "getOrders", &[401, 429, 500]),
];

#[test]
fn every_refusal_of_the_simulators_is_seen() {
    if gate().is_none() {
        return;
    }
    for (platform, operation, statuses) in REFUSALS {
        for status in statuses {
            let is_it = |one: &&Exchange| {
                one.platform == platform && one.operation == operation && one.status == *status
            };
            assert!(exchanges().iter().any(|one| is_it(&one)), "{platform} {operation} {status}");
        }
    }
}

/// Every operation of the specifications that a connector's source names.
fn operations_of_connectors(gate: &Gate) -> BTreeSet<&str> {
    let platforms = ["amazon", "bigcommerce", "ebay", "etsy"];
    platforms.into_iter().flat_map(|platform| operations_of(gate, platform)).collect()
}

/// Those of one platform.
fn operations_of<'a>(gate: &'a Gate, platform: &str) -> BTreeSet<&'a str> {
    let source = source_of(platform);
    let is_named = |operation: &&documents::Operation| {
        operation.platform == platform
            && !operation.id.is_empty()
            && source.contains(&format!("\"{}\"", operation.id))
    };
    gate.documents.operations.iter().filter(is_named).map(|operation| operation.id.as_str()).collect()
}

/// A connector's source without its tests.
fn source_of(platform: &str) -> String {
    let paths = files(&format!("src/channels/{platform}"), "rs");
    let own = paths.iter().filter(|path| !path.ends_with("tests.rs"));
    own.map(|path| text_of(path)).collect()
}

#[test]
fn every_deviation_is_still_one() {
    let Some(gate) = gate() else { return };
    let found: BTreeSet<Finding> =
        exchanges().iter().filter(|one| is_specified(one)).flat_map(|one| gate.check(one)).collect();
    let gone: Vec<_> =
        DEVIATIONS.iter().filter(|known| !found.iter().any(|found| known.is_about(found))).collect();
    assert!(gone.is_empty(), "no longer so, take them out of the list: {gone:#?}");
    assert!(DEVIATIONS.iter().all(|known| known.reason.len() > 20));
}

/// Vendors mark almost nothing as required: each field that we know to be needed is missed where it is not sent, and so is
/// every entry of a list.
#[test]
fn each_field_that_we_know_to_be_needed_is_missed() {
    let Some(gate) = gate() else { return };
    let mut tried = BTreeSet::new();
    for exchange in successes() {
        let is_it = |known: &&documents::Operation| {
            known.platform == exchange.platform && known.id == exchange.operation
        };
        let Some(operation) = gate.documents.operations.iter().find(is_it) else { continue };
        let (in_body, in_query) = required::of_request(operation);
        let body: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
        for place in in_body {
            let Some(changed) = required::without(&body, place) else { continue };
            if tried.insert(format!("{} {} {place}", exchange.platform, exchange.operation)) {
                let changed = Exchange { body: changed.to_string().into_bytes(), ..exchange.clone() };
                assert!(!unmeant(gate.check(&changed)).is_empty(), "{} {place}", exchange.operation);
            }
            let Some((list, _)) = place.split_once("[].") else { continue };
            let mut emptied = body.clone();
            let Some(entries) = emptied.get_mut(list).filter(|entries| entries.is_array()) else { continue };
            *entries = Value::Array(Vec::new());
            let changed = Exchange { body: emptied.to_string().into_bytes(), ..exchange.clone() };
            assert!(!unmeant(gate.check(&changed)).is_empty(), "{} without any {list}", exchange.operation);
        }
        for names in in_query {
            let is_meant = |(name, _): &(String, String)| names.split('|').any(|one| one == name);
            if exchange.query.iter().any(is_meant)
                && tried.insert(format!("{} {} ?{names}", exchange.platform, exchange.operation))
            {
                let mut changed = exchange.clone();
                changed.query.retain(|pair| !is_meant(pair));
                assert!(!unmeant(gate.check(&changed)).is_empty(), "{} ?{names}", exchange.operation);
            }
        }
    }
    println!("{} fields left out, each missed", tried.len());
    assert!(tried.len() >= 100, "{tried:#?}");
}

/// Every name in a JSON body, as a pointer to its parent and the name.
fn names(value: &Value, pointer: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                found.push((pointer.to_owned(), name.clone()));
                names(value, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(entries) => {
            for (index, entry) in entries.iter().enumerate() {
                names(entry, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn any_field_that_we_send_under_another_name_is_found() {
    let Some(gate) = gate() else { return };
    let mut tried = BTreeSet::new();
    for exchange in successes() {
        assert!(unmeant(gate.check(exchange)).is_empty());
        let body: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
        let mut places = Vec::new();
        names(&body, "", &mut places);
        for (pointer, name) in places {
            let mut renamed = body.clone();
            let parent = renamed.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
            let value = parent.remove(&name).unwrap();
            parent.insert(format!("{name}_"), value);
            let kind: String = pointer.chars().filter(|c| !c.is_ascii_digit()).collect();
            if tried.insert(format!("{} {kind}/{name}", exchange.operation)) {
                let changed = Exchange { body: renamed.to_string().into_bytes(), ..exchange.clone() };
                assert!(!unmeant(gate.check(&changed)).is_empty(), "{} {pointer}/{name}", exchange.operation);
            }
        }
        for (place, (name, _)) in exchange.query.iter().enumerate() {
            if tried.insert(format!("{} ?{name}", exchange.operation)) {
                let mut changed = exchange.clone();
                changed.query[place].0.push('_');
                assert!(!unmeant(gate.check(&changed)).is_empty(), "{} ?{name}", exchange.operation);
            }
        }
        for name in exchange.headers.keys() {
            if tried.insert(format!("{} {name}:", exchange.operation)) {
                let mut changed = exchange.clone();
                let value = changed.headers.remove(name).unwrap();
                changed.headers.insert(format!("{name}-x"), value);
                assert!(!unmeant(gate.check(&changed)).is_empty(), "{} {name}", exchange.operation);
            }
        }
    }
    println!("{} fields renamed, each found", tried.len());
    assert!(tried.len() >= 80, "{tried:?}");
}

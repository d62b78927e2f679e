//! What the fault campaign says and hears, through the gate: every call that crashes, throttling, revoked tokens
//! and restored backups lead to, and the platforms' answers before the network spoils them. Whether its seeds pass
//! is the campaign's own matter.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use eider::campaign::marketplace::Marketplace;
use eider::campaign::{Options, run};
use http::{Request, Response};

use super::gate::{Exchange, Finding};
use super::{gate, is_specified, unmeant};

/// Seeds that are run for each marketplace: enough for thousands of calls, and less than a minute.
const SEEDS: u64 = 3;

/// What differs and is not meant, and how often.
static WRONG: Mutex<BTreeMap<Finding, usize>> = Mutex::new(BTreeMap::new());
/// How often each operation was answered with each status.
static SEEN: Mutex<BTreeMap<(String, u16), usize>> = Mutex::new(BTreeMap::new());

fn see(platform: &str, operation: &str, request: &Request<Bytes>, response: &Response<Bytes>) {
    let exchange = Exchange::of(platform, operation, request).answered(response);
    let pair = (format!("{platform} {operation}"), exchange.status);
    *SEEN.lock().unwrap_or_else(PoisonError::into_inner).entry(pair).or_default() += 1;
    let Some(gate) = gate().filter(|_| is_specified(&exchange)) else { return };
    let found = unmeant(gate.check(&exchange));
    let mut wrong = WRONG.lock().unwrap_or_else(PoisonError::into_inner);
    for finding in found {
        *wrong.entry(finding).or_default() += 1;
    }
}

#[test]
fn what_the_fault_campaign_says_and_hears_is_as_the_specification_has_it() {
    if gate().is_none() {
        return;
    }
    for marketplace in Marketplace::ALL {
        let options =
            Options { from: 0, count: SEEDS, minutes: 60, marketplace, threads: 2, witness: Some(see) };
        run(&options, &|_| ()).unwrap();
    }
    let seen = SEEN.lock().unwrap();
    for ((operation, status), count) in seen.iter() {
        println!("{operation} {status}: {count}");
    }
    let count: usize = seen.values().sum();
    assert!(count > 1_000, "only {count} calls");
    let wrong = WRONG.lock().unwrap();
    let lines: Vec<String> =
        wrong.iter().map(|(finding, count)| format!("{finding} ({count} times)")).collect();
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), lines.join("\n"));
}

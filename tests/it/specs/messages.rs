//! What real platforms pushed, through the connectors' readers of messages: each says what it is about.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use eider::channels::Connector;
use eider::channels::webhooks::{Push, PushError, Verified};
use eider::clock::{Clock as _, ManualClock};
use eider::http::{Answer, Call, Transport, TransportError};
use eider::secret::Secret;

use super::documents::shared;
use super::recorded::ENTERED;
use super::traffic::connector;
use crate::hooks::signature;

/// The seller of Amazon's recorded notifications.
const SELLER: &str = "ABCDEFGFMDKELDW";
/// What stands for the store in BigCommerce's recorded messages.
const ANY_STORE: &str = "{store_hash}";

/// Reading a message needs no call.
#[derive(Debug)]
struct NoCalls;

#[async_trait]
impl Transport for NoCalls {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        panic!("{} is called", call.operation);
    }
}

fn connected(channel: &str, clock: &Arc<ManualClock>, more: (&str, &str)) -> Arc<dyn Connector> {
    let entered = ENTERED.iter().copied().chain([more]);
    let credentials: BTreeMap<String, Secret> =
        entered.map(|(name, value)| (name.to_owned(), Secret::from(value))).collect();
    connector(channel, credentials, Arc::new(NoCalls), Arc::clone(clock) as Arc<_>)
}

/// Name and text of each recorded message of a folder.
fn messages(folder: &Path) -> BTreeMap<String, String> {
    let files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    files.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), read(&path))).collect()
}

fn said(read: Result<Verified, PushError>) -> String {
    match read {
        Ok(verified) => format!("{}: {:?}", verified.id, verified.news),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn every_recorded_message_says_what_it_is_about() {
    let Some(root) = shared() else { return };
    let clock = Arc::new(ManualClock::new("2026-11-21T12:00:00Z".parse().unwrap()));
    let mut read: BTreeMap<String, String> = BTreeMap::new();
    let amazon = connected("amazon", &clock, ("seller_id", SELLER));
    let queue = amazon.message_queue().unwrap();
    for (name, body) in messages(&root.join("fixtures/amazon/notifications")) {
        read.insert(format!("amazon {name}"), said(queue.read(body.as_bytes())));
    }
    let shop = connected("bigcommerce", &clock, ("client_secret", "s3cret"));
    let hooks = shop.webhooks().unwrap();
    for (name, body) in messages(&root.join("fixtures/bigcommerce/webhooks")) {
        let body = body.replace(ANY_STORE, "abc123");
        let second = clock.now().as_second();
        let signed = [
            ("webhook-id", name.clone()),
            ("webhook-timestamp", second.to_string()),
            ("webhook-signature", signature("s3cret", &name, second, &body)),
        ];
        let push = Push {
            headers: signed.map(|(name, value)| (name.to_owned(), value)).into(),
            body: Bytes::from(body),
            received_at: clock.now(),
            endpoint: "https://shop.test/hooks/a".to_owned(),
        };
        read.insert(format!("bigcommerce {name}"), said(hooks.verify(&push).await));
    }
    assert!(read.len() >= 27, "{} messages", read.len());
    insta::assert_json_snapshot!("messages", read);
}

//! What every channel must do, whatever its platform: one suite over the registry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::error::{ChannelError, RejectKind};
use super::registry::{CHANNELS, ChannelInfo, channel};
use super::{Connector, CredentialSink, Cursor, PollStart, script};
use crate::domain::id::{ChannelName, ConnectionId};
use crate::http::{Answer, Call, Transport, TransportError};
use crate::secret::Secret;

const TOKEN: &str = r#"{"access_token":"T0KEN","expires_in":3600}"#;

/// A platform that does the same to every call but those for tokens.
#[derive(Debug)]
struct Always {
    answer: Result<(u16, &'static str), TransportError>,
    addresses: Mutex<Vec<String>>,
}

impl Always {
    fn new(answer: Result<(u16, &'static str), TransportError>) -> Arc<Self> {
        Arc::new(Self { answer, addresses: Mutex::default() })
    }
}

#[async_trait]
impl Transport for Always {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        self.addresses.lock().unwrap().push(call.request.uri().to_string());
        assert_eq!(call.connection, Some(1), "{call:?}");
        let is_token = call.operation == "token";
        let (status, body) = if is_token { (200, TOKEN) } else { self.answer.clone()? };
        Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            duration: Duration::ZERO,
        })
    }
}

const ENTERED: &[(&str, &str)] = &[
    ("client_id", "id"),
    ("client_secret", "s3cret"),
    ("refresh_token", "s3cret"),
    ("access_token", "s3cret"),
    ("seller_id", "A1"),
    ("marketplace_ids", "ATVPDKIKX0DER"),
    ("store_hash", "abc123"),
    ("keystring", "key"),
    ("shared_secret", "s3cret"),
    ("shop_id", "52"),
];

/// Keeps whatever rotates.
#[derive(Debug)]
struct Kept;

impl CredentialSink for Kept {
    fn keep(&self, _: ConnectionId, _: &str, _: &Secret) -> Result<(), String> {
        Ok(())
    }
}

fn connected(info: &ChannelInfo, transport: Arc<Always>, base: Option<&str>) -> Arc<dyn Connector> {
    let (mut setup, _) = script::setup(transport, ENTERED);
    setup.base_url = base.map(|base| base.parse().unwrap());
    setup.credential_sink = Arc::new(Kept);
    (info.connect)(setup).unwrap()
}

#[test]
fn every_channel_can_be_named_and_explained() {
    for info in CHANNELS {
        assert!(channel(&ChannelName::from(info.name)).is_some());
        assert!(!info.title.is_empty() && !info.steps.is_empty() && !info.credentials.is_empty());
        let entered: BTreeMap<String, String> =
            ENTERED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert!((info.account)(&entered).is_some(), "{}", info.name);
        assert_eq!((info.account)(&BTreeMap::new()), None, "{}", info.name);
        let (setup, _) = script::setup(Always::new(Ok((200, "{}"))), &[]);
        assert!(matches!((info.connect)(setup), Err(ChannelError::Fatal { .. })), "{}", info.name);
    }
    assert!(channel(&ChannelName::from("nowhere")).is_none());
}

#[tokio::test]
async fn the_base_url_takes_every_call() {
    for info in CHANNELS {
        let transport = Always::new(Ok((404, "[]")));
        let connector = connected(info, transport.clone(), Some("http://127.0.0.1:9400/prefix/"));
        assert_eq!(connector.order_source().unwrap().order("1/2").await, Ok(None), "{}", info.name);
        let addresses = transport.addresses.lock().unwrap().clone();
        let is_there = |address: &String| address.starts_with("http://127.0.0.1:9400/prefix/");
        assert!(!addresses.is_empty() && addresses.iter().all(is_there), "{addresses:?}");
        assert!(addresses.last().unwrap().contains("1%2F2"), "{addresses:?}");
        assert!(!addresses.iter().any(|address| address.contains("s3cret")), "{addresses:?}");
    }
}

#[tokio::test]
async fn errors_name_the_recovery_and_reads_are_never_in_doubt() {
    let lost = TransportError::TimedOut { request_sent: true };
    let blocked = TransportError::Blocked { address: "10.0.0.1".to_owned() };
    for info in CHANNELS {
        let poll = async |answer| {
            let connector = connected(info, Always::new(answer), None);
            let source = connector.order_source().unwrap();
            source
                .changed_orders(&Cursor::default(), PollStart { since: None, is_bulk: false })
                .await
                .unwrap_err()
        };
        for answer in [Err(lost.clone()), Ok((500, "")), Ok((503, "<html>")), Ok((429, ""))] {
            let error = poll(answer.clone()).await;
            let is_throttled = answer == Ok((429, ""));
            match error {
                ChannelError::Retry { in_doubt: false, throttled, .. } => assert_eq!(throttled, is_throttled),
                other => panic!("{}: {answer:?}: {other:?}", info.name),
            }
        }
        assert!(matches!(poll(Ok((401, "{}"))).await, ChannelError::Reauth { .. }), "{}", info.name);
        assert!(matches!(poll(Ok((403, "{}"))).await, ChannelError::Reauth { .. }), "{}", info.name);
        assert!(matches!(poll(Ok((302, ""))).await, ChannelError::Fatal { .. }), "{}", info.name);
        assert!(matches!(poll(Err(blocked.clone())).await, ChannelError::Fatal { .. }), "{}", info.name);
        assert!(
            matches!(poll(Ok((400, "[]"))).await, ChannelError::Reject { kind: RejectKind::Other, .. }),
            "{}",
            info.name
        );
        for body in ["<html>", "{", "7"] {
            let error = poll(Ok((200, body))).await;
            assert!(
                matches!(error, ChannelError::Corrupt { in_doubt: false, .. }),
                "{}: {error:?}",
                info.name
            );
        }
    }
}

#[tokio::test]
async fn a_test_is_always_a_report() {
    for info in CHANNELS {
        for answer in [Ok((200, "{}")), Ok((200, "")), Ok((500, "x")), Ok((401, "")), Ok((429, ""))] {
            let report = connected(info, Always::new(answer), None).probe().probe().await;
            assert!(!report.lines.is_empty() && report.lines.iter().all(|line| !line.detail.is_empty()));
        }
        let lost = Always::new(Err(TransportError::ConnectFailed("refused".to_owned())));
        let report = connected(info, lost, None).probe().probe().await;
        assert!(!report.is_ok(), "{}: {report:?}", info.name);
        assert!(!format!("{report:?}").contains("s3cret"));
    }
}

#[test]
fn nonsense_is_unreadable_and_no_panic() {
    for info in CHANNELS {
        let connector = connected(info, Always::new(Ok((200, "{}"))), None);
        let source = connector.order_source().unwrap();
        for payload in ["", "{}", "[]", "null", "7", "{\"orderId\":{}}", "{\"order\":{}}", "{\"order\":[]}"] {
            assert!(source.read(payload).is_err(), "{}: {payload}", info.name);
        }
        assert!(!source.person_paths().is_empty());
        assert!(source.poll_interval_min() >= Duration::from_secs(1));
        let printed = format!("{connector:?}");
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}

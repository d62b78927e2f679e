//! A platform for tests that answers from a script: requests in order, answers in order. Nothing of the program
//! may use it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use super::{ConnectorSetup, CredentialSink};
use crate::clock::{Entropy, ManualClock, SharedClock};
use crate::domain::connection::ConnectionSettings;
use crate::domain::id::ConnectionId;
use crate::http::{Answer, Call, Transport, TransportError};
use crate::secret::Secret;

/// The present in every test here.
pub const NOW: &str = "2026-11-21T12:00:00Z";

type Reply = Result<Answer, TransportError>;

/// Answers from a script and remembers what was asked.
#[derive(Debug, Default)]
pub struct Script {
    answers: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Asked>>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Asked {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Script {
    /// Answers `status` with `body` to the next call that has no answer yet.
    pub fn answer(&self, status: u16, body: impl Into<String>) -> &Self {
        self.answer_with(status, &[], body)
    }

    /// The same with headers.
    pub fn answer_with(
        &self,
        status: u16,
        headers: &[(&'static str, &str)],
        body: impl Into<String>,
    ) -> &Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        self.answers.lock().unwrap().push_back(Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from(body.into()),
            duration: Duration::ZERO,
        }));
        self
    }

    /// The same with a body that is no text.
    pub fn answer_bytes(&self, status: u16, body: Vec<u8>) -> &Self {
        self.answers.lock().unwrap().push_back(Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: Bytes::from(body),
            duration: Duration::ZERO,
        }));
        self
    }

    /// Loses the next call.
    pub fn lose(&self, error: TransportError) -> &Self {
        self.answers.lock().unwrap().push_back(Err(error));
        self
    }

    /// What was asked since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The request lines since the last time.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, call: Call) -> Reply {
        // Lets other calls run, as a network would.
        tokio::task::yield_now().await;
        let request = &call.request;
        let decoded = percent_encoding::percent_decode_str(request.uri().path_and_query().unwrap().as_str());
        let asked = Asked {
            line: format!("{} {}", request.method(), decoded.decode_utf8().unwrap()),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            body: String::from_utf8(request.body().to_vec()).unwrap(),
        };
        let line = asked.line.clone();
        self.asked.lock().unwrap().push(asked);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| panic!("the script has no answer to {line}"))
    }
}

#[derive(Debug)]
struct NoSink;

impl CredentialSink for NoSink {
    fn keep(&self, _: ConnectionId, name: &str, _: &Secret) -> Result<(), String> {
        panic!("no credential rotates here, not even {name}")
    }
}

/// A set-up whose calls go to `transport`, on a clock that the test moves.
pub fn setup(
    transport: Arc<dyn Transport>,
    credentials: &[(&str, &str)],
) -> (ConnectorSetup, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW.parse().unwrap()));
    let shared: SharedClock = clock.clone();
    let setup = ConnectorSetup {
        connection: ConnectionId(1),
        alias: "Test".to_owned(),
        base_url: None,
        credentials: credentials
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::from(*value)))
            .collect(),
        settings: ConnectionSettings::default(),
        transport,
        clock: shared,
        entropy: Arc::new(Entropy::seeded(1)),
        credential_sink: Arc::new(NoSink),
        renewals: Arc::default(),
    };
    (setup, clock)
}

/// Every payload of a folder of shared fixtures whose name contains `part`. Empty, and said so, where the folder
/// is absent; a failure where it must be there.
pub fn fixtures(folder: &str, part: &str) -> Vec<(String, String)> {
    let root = std::env::var_os("EIDER_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = root.join("fixtures").join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        let is_required = std::env::var("EIDER_REQUIRE_SHARED").is_ok_and(|value| value == "1");
        assert!(!is_required, "{} is absent", folder.display());
        eprintln!("SKIPPED: {} is absent", folder.display());
        return Vec::new();
    };
    let mut found: Vec<(String, String)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().contains(part))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no fixture in {} is called {part}", folder.display());
    found
}

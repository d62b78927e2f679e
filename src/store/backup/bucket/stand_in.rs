//! A bucket in memory that answers as S3 does, and refuses what S3 refuses: a signature or a payload that is not the
//! one that was signed. Some call can be made to fail. For tests alone.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::http::{Answer, Call, Transport, TransportError};
use crate::store::files::hex;

pub(super) const BUCKET: &str = "backups";
pub(super) const KEY_ID: &str = "AKTEST";
pub(super) const KEY: &str = "not/a/real+key";
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Objects in a page of a listing.
const PAGE_COUNT: usize = 3;

/// What becomes of a call that is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server says that it is broken.
    Broken,
    /// The key may not do this.
    Denied,
    /// It is done and no answer comes.
    AnswerLost,
    /// No connection.
    Unreached,
    /// It never answers.
    Silent,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    upload_count: u32,
    calls: Vec<String>,
    faults: Vec<(String, Fault)>,
}

/// The bucket.
#[derive(Debug, Default)]
pub(super) struct StandIn {
    state: Mutex<State>,
    /// Somebody waits for an answer that never comes.
    pub(super) is_waited_for: Notify,
}

impl StandIn {
    /// From now on the calls of `operation` fail; `UploadPart 3` are those of the third part.
    pub(super) fn fail(&self, operation: &str, fault: Fault) {
        self.state.lock().unwrap().faults.push((operation.to_owned(), fault));
    }

    /// All is well again.
    pub(super) fn mend(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// The names of all objects.
    pub(super) fn names(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    pub(super) fn object(&self, name: &str) -> Bytes {
        self.state.lock().unwrap().objects[name].clone()
    }

    pub(super) fn set(&self, name: &str, content: impl Into<Bytes>) {
        self.state.lock().unwrap().objects.insert(name.to_owned(), content.into());
    }

    pub(super) fn remove(&self, name: &str) {
        self.state.lock().unwrap().objects.remove(name);
    }

    /// Uploads that are neither complete nor aborted.
    pub(super) fn open_upload_count(&self) -> usize {
        self.state.lock().unwrap().uploads.len()
    }

    /// Every call by its name in Amazon's documentation.
    pub(super) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }
}

#[async_trait]
impl Transport for StandIn {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        let request = call.request;
        let (path, query) = (request.uri().path().to_owned(), query(&request));
        let key = path.strip_prefix(&format!("/{BUCKET}")).map(|key| key.trim_start_matches('/').to_owned());
        let operation = operation(request.method(), &query, key.as_deref().unwrap_or_default());
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(operation.clone());
            let fails = |(name, _): &&(String, Fault)| {
                operation == *name || operation.starts_with(&format!("{name} "))
            };
            state.faults.iter().find(fails).map(|(_, fault)| *fault)
        };
        match fault {
            Some(Fault::Unreached) => {
                return Err(TransportError::ConnectFailed("connection refused".to_owned()));
            }
            Some(Fault::Broken) => return Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            Some(Fault::Denied) => return Ok(refusal(StatusCode::FORBIDDEN, "AccessDenied")),
            Some(Fault::Silent) => {
                self.is_waited_for.notify_one();
                std::future::pending::<()>().await;
            }
            Some(Fault::AnswerLost) | None => {}
        }
        if let Some(code) = wrong(&request, &query) {
            return Ok(refusal(StatusCode::FORBIDDEN, code));
        }
        let Some(key) = key else { return Ok(refusal(StatusCode::NOT_FOUND, "NoSuchBucket")) };
        let answer = self.state.lock().unwrap().answer(&operation, &key, &query, &request);
        if fault == Some(Fault::AnswerLost) {
            return Err(TransportError::ResetMidway("connection reset".to_owned()));
        }
        Ok(answer)
    }
}

fn query(request: &Request<Bytes>) -> BTreeMap<String, String> {
    let text = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn operation(method: &Method, query: &BTreeMap<String, String>, key: &str) -> String {
    let has = |name: &str| query.contains_key(name);
    match method.as_str() {
        "PUT" if has("partNumber") => format!("UploadPart {}", query["partNumber"]),
        "PUT" => format!("PutObject {key}"),
        "POST" if has("uploads") => "CreateMultipartUpload".to_owned(),
        "POST" if has("uploadId") => "CompleteMultipartUpload".to_owned(),
        "DELETE" if has("uploadId") => "AbortMultipartUpload".to_owned(),
        "DELETE" => format!("DeleteObject {key}"),
        "HEAD" => format!("HeadObject {key}"),
        "GET" if query.get("list-type").is_some_and(|kind| kind == "2") => "ListObjectsV2".to_owned(),
        "GET" => format!("GetObject {key}"),
        other => panic!("{other} is none of the calls that are used"),
    }
}

/// The code of the refusal where key, signature or payload are not what they should be.
fn wrong(request: &Request<Bytes>, query: &BTreeMap<String, String>) -> Option<&'static str> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let Some(authorization) = header("authorization") else { return Some("AccessDenied") };
    let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ").unwrap();
    let field = |name: &str| {
        fields.split(", ").find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
    };
    let credential = field("Credential");
    let (key_id, scope) = credential.split_once('/').unwrap();
    if key_id != KEY_ID {
        return Some("InvalidAccessKeyId");
    }
    let payload = header("x-amz-content-sha256").unwrap();
    if payload != hex(&Sha256::digest(request.body())) {
        return Some("XAmzContentSHA256Mismatch");
    }
    let signed = field("SignedHeaders");
    let headers: String = signed
        .split(';')
        .map(|name| {
            let host = || request.uri().authority().unwrap().to_string();
            let value = if name == "host" { host() } else { header(name).unwrap() };
            format!("{name}:{value}\n")
        })
        .collect();
    assert!(["host", "x-amz-content-sha256", "x-amz-date"].iter().all(|name| signed.contains(name)));
    let encode = |text: &str| utf8_percent_encode(text, STRICT).to_string();
    let query: Vec<_> =
        query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{payload}",
        request.method(),
        request.uri().path(),
        query.join("&")
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        header("x-amz-date").unwrap(),
        hex(&Sha256::digest(canonical))
    );
    let hmac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let key = scope.split('/').fold(format!("AWS4{KEY}").into_bytes(), |key, part| hmac(&key, part));
    (hex(&hmac(&key, &text)) != field("Signature")).then_some("SignatureDoesNotMatch")
}

impl State {
    fn answer(
        &mut self,
        operation: &str,
        key: &str,
        query: &BTreeMap<String, String>,
        request: &Request<Bytes>,
    ) -> Answer {
        let body = request.body().clone();
        match operation.split(' ').next().unwrap() {
            "ListObjectsV2" => self.list(query),
            "PutObject" => {
                self.objects.insert(key.to_owned(), body);
                found(StatusCode::OK, Bytes::new())
            }
            "CreateMultipartUpload" => {
                self.upload_count += 1;
                let id = format!("upload/{}", self.upload_count);
                self.uploads.insert(id.clone(), (key.to_owned(), BTreeMap::new()));
                let result = format!("<UploadId>{id}</UploadId>");
                xml(&format!("<InitiateMultipartUploadResult>{result}</InitiateMultipartUploadResult>"))
            }
            "UploadPart" => {
                let number = query["partNumber"].parse().unwrap();
                self.uploads.get_mut(&query["uploadId"]).unwrap().1.insert(number, body);
                found(StatusCode::OK, Bytes::new())
            }
            "CompleteMultipartUpload" => {
                let Some((key, parts)) = self.uploads.remove(&query["uploadId"]) else {
                    return refusal(StatusCode::NOT_FOUND, "NoSuchUpload");
                };
                let named = String::from_utf8_lossy(&body).matches("<PartNumber>").count();
                assert_eq!(named, parts.len(), "every part is named");
                self.objects.insert(key, parts.into_values().collect::<Vec<_>>().concat().into());
                xml("<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>")
            }
            "AbortMultipartUpload" => match self.uploads.remove(&query["uploadId"]) {
                Some(_) => found(StatusCode::NO_CONTENT, Bytes::new()),
                None => refusal(StatusCode::NOT_FOUND, "NoSuchUpload"),
            },
            "DeleteObject" => {
                self.objects.remove(key);
                found(StatusCode::NO_CONTENT, Bytes::new())
            }
            "HeadObject" => match self.objects.get(key) {
                Some(object) => {
                    let mut answer = found(StatusCode::OK, Bytes::new());
                    answer.headers.insert("content-length", object.len().into());
                    answer
                }
                None => Answer { body: Bytes::new(), ..refusal(StatusCode::NOT_FOUND, "NoSuchKey") },
            },
            _ => self.get(key, request),
        }
    }

    fn get(&self, key: &str, request: &Request<Bytes>) -> Answer {
        let Some(object) = self.objects.get(key) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let Some(range) = request.headers().get("range") else {
            return found(StatusCode::OK, object.clone());
        };
        let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
        let (start, last) = range.split_once('-').unwrap();
        let (start, last): (usize, usize) = (start.parse().unwrap(), last.parse().unwrap());
        let last = last.min(object.len() - 1);
        let mut answer = found(StatusCode::PARTIAL_CONTENT, object.slice(start..=last));
        let told = format!("bytes {start}-{last}/{}", object.len());
        answer.headers.insert("content-range", told.parse().unwrap());
        answer
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Answer {
        let prefix = query.get("prefix").cloned().unwrap_or_default();
        let after = query.get("continuation-token").cloned().unwrap_or_default();
        let below = |key: &&String| {
            key.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/')) && **key > after
        };
        let keys: Vec<&String> = self.objects.keys().filter(below).collect();
        let page = &keys[..keys.len().min(PAGE_COUNT)];
        let contents: String = page
            .iter()
            .map(|key| {
                format!(
                    "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                     <ETag>\"e\"</ETag><Size>{}</Size></Contents>",
                    self.objects[*key].len()
                )
            })
            .collect();
        let next = if page.len() < keys.len() {
            format!("<NextContinuationToken>{}</NextContinuationToken>", page[PAGE_COUNT - 1])
        } else {
            String::new()
        };
        xml(&format!("<ListBucketResult>{contents}{next}</ListBucketResult>"))
    }
}

fn found(status: StatusCode, body: Bytes) -> Answer {
    let mut headers = http::HeaderMap::new();
    headers.insert("etag", "\"e\"".parse().unwrap());
    headers.insert("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT".parse().unwrap());
    headers.insert("content-length", body.len().into());
    Answer { status, headers, body, duration: std::time::Duration::ZERO }
}

fn xml(text: &str) -> Answer {
    found(StatusCode::OK, Bytes::from(text.to_owned()))
}

fn refusal(status: StatusCode, code: &str) -> Answer {
    let text = format!("<Error><Code>{code}</Code><Message>This is {code}.</Message></Error>");
    Answer { status, ..xml(&text) }
}

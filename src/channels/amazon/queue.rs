//! Notifications by way of a queue (SQS) in the merchant's own AWS account: Amazon calls nobody's address.
//!
//! The queue's calls go to AWS, not to the Selling Partner API, and are signed with an access key of the merchant's
//! (Signature Version 4, by AWS's own crate). What it refuses says nothing of the seller's authorisation. A message
//! names an order and nothing more is believed of it: the order is read.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::ConnectorSetup;
use super::super::answer::shortened;
use super::super::error::{ChannelError, RejectKind};
use super::super::message_queue::{MessageQueue, QueueError, QueueMessage};
use super::super::pace::Priority;
use super::super::request;
use super::super::webhooks::{News, PushError, Verified};
use super::client::{Effect, Grant, Limits, Outgoing};
use super::{Amazon, wire};
use crate::clock::SharedClock;
use crate::domain::id::ConnectionId;
use crate::http::{Answer, Call, SharedTransport, TransportError};
use crate::secret::Secret;

/// What is entered of a queue.
const FIELDS: [&str; 3] = ["queue_url", "aws_access_key_id", "aws_secret_access_key"];
/// What Amazon is asked to send.
const NOTIFICATION: &str = "ORDER_CHANGE";
/// The version of its payload that is read.
const PAYLOAD_VERSION: &str = "1.0";
/// What the queue is called in Amazon's list.
const DESTINATION_NAME: &str = "Eider";
/// How long the queue waits for a first message: its most.
const WAIT_S: u64 = 20;
/// A call takes so much longer at most.
const TIMEOUT: Duration = Duration::from_secs(WAIT_S + 10);
/// Messages at a time: the queue's most.
const MESSAGES_MAX: usize = 10;

/// Where the queue is, and who may read it.
#[derive(Debug)]
pub struct QueueConfig {
    /// The address that AWS gives it.
    url: String,
    region: String,
    /// Its name in permissions and subscriptions.
    arn: String,
    /// Scheme and host of its calls.
    base: String,
    access_key_id: String,
    secret_access_key: Secret,
}

impl QueueConfig {
    /// Reads what was entered; none where nothing of a queue was.
    ///
    /// # Errors
    /// `Fatal` with what is missing or wrong.
    pub fn read(
        credentials: &BTreeMap<String, Secret>,
        base_url: Option<&url::Url>,
    ) -> Result<Option<Self>, ChannelError> {
        let entered = |name: &str| {
            let text = credentials.get(name).map(|secret| secret.expose().trim()).unwrap_or_default();
            (!text.is_empty()).then_some(text)
        };
        if FIELDS.iter().all(|name| entered(name).is_none()) {
            return Ok(None);
        }
        let missing = |what: &str| ChannelError::Fatal {
            message: format!("the queue's {what} is missing; enter it, or remove everything of the queue"),
        };
        let url = entered("queue_url").ok_or_else(|| missing("address"))?;
        let (region, account, name) = parts_of(url).ok_or_else(|| ChannelError::Fatal {
            message: "the queue's address is none of SQS, such as \
                      https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
                .to_owned(),
        })?;
        Ok(Some(Self {
            url: url.to_owned(),
            arn: format!("arn:aws:sqs:{region}:{account}:{name}"),
            base: request::base(base_url, &format!("https://sqs.{region}.amazonaws.com")),
            region,
            access_key_id: entered("aws_access_key_id").ok_or_else(|| missing("access key id"))?.to_owned(),
            secret_access_key: Secret::new(
                entered("aws_secret_access_key").ok_or_else(|| missing("secret access key"))?,
            ),
        }))
    }
}

/// Region, account and name in a queue's address.
fn parts_of(url: &str) -> Option<(String, String, String)> {
    let url: url::Url = url.parse().ok()?;
    let region = url.host_str()?.strip_prefix("sqs.")?.strip_suffix(".amazonaws.com")?;
    let path: Vec<&str> = url.path_segments()?.collect();
    let [account, name] = path.as_slice() else { return None };
    let is_whole = url.scheme() == "https" && !account.is_empty() && !name.is_empty() && !region.is_empty();
    is_whole.then(|| (region.to_owned(), (*account).to_owned(), (*name).to_owned()))
}

/// A queue's calls, for one connection.
#[derive(Debug)]
pub struct Queue {
    config: QueueConfig,
    connection: ConnectionId,
    transport: SharedTransport,
    clock: SharedClock,
}

impl Queue {
    /// The queue that was entered, if one was. Makes no call.
    ///
    /// # Errors
    /// See [`QueueConfig::read`].
    pub fn new(setup: &ConnectorSetup) -> Result<Option<Self>, ChannelError> {
        let config = QueueConfig::read(&setup.credentials, setup.base_url.as_ref())?;
        Ok(config.map(|config| Self {
            config,
            connection: setup.connection,
            transport: setup.transport.clone(),
            clock: setup.clock.clone(),
        }))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        body: &Value,
    ) -> Result<T, QueueError> {
        let request = self.signed(operation, body.to_string().into_bytes())?;
        let call =
            Call { timeout: TIMEOUT, connection: Some(self.connection.0), ..Call::new(operation, request) };
        let answer = self.transport.send(call).await.map_err(|error| lost(operation, &error))?;
        if !answer.status.is_success() {
            return Err(refusal(operation, &answer));
        }
        serde_json::from_slice(&answer.body).map_err(|error| QueueError {
            cause: format!("{operation} unreadable"),
            error: ChannelError::Corrupt {
                in_doubt: false,
                message: format!("{operation}: the queue's answer cannot be read: {error}"),
            },
        })
    }

    fn signed(&self, operation: &str, body: Vec<u8>) -> Result<Request<Bytes>, ChannelError> {
        let unusable = |error: &dyn std::fmt::Display| ChannelError::Fatal {
            message: format!("{operation}: the call to the queue cannot be made: {error}"),
        };
        let address = format!("{}/", self.config.base);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(address)
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .body(Bytes::from(body))
            .map_err(|error| unusable(&error))?;
        let at = SystemTime::from(self.clock.now());
        let key = (self.config.access_key_id.as_str(), self.config.secret_access_key.expose());
        let signature =
            sign_at(&request, key, (&self.config.region, "sqs"), at).map_err(|error| unusable(&error))?;
        for (name, value) in signature {
            let name = http::HeaderName::try_from(name).map_err(|error| unusable(&error))?;
            request.headers_mut().insert(name, request::secret_header("signature", &value)?);
        }
        Ok(request)
    }
}

/// The headers that sign a request: by an access key's id and secret, for a region and service, at a time.
fn sign_at(
    request: &Request<Bytes>,
    (id, secret): (&str, &str),
    (region, service): (&str, &str),
    at: SystemTime,
) -> Result<Vec<(String, String)>, String> {
    let identity = Credentials::new(id, secret, None, None, "eider").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| value.to_str().map(|value| (name.as_str(), value)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers.into_iter().filter(|(name, _)| *name != HOST.as_str()),
        SignableBody::Bytes(request.body()),
    )
    .map_err(|error| error.to_string())?;
    let (instructions, _) = sign(signable, &params).map_err(|error| error.to_string())?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn lost(operation: &str, error: &TransportError) -> ChannelError {
    let message = format!("{operation}: {error}");
    match error {
        TransportError::Blocked { .. } | TransportError::Invalid(_) => ChannelError::Fatal { message },
        _ => ChannelError::Retry { after: None, in_doubt: false, throttled: false, message },
    }
}

/// What the queue says when it will not.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Complaint {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
}

fn refusal(operation: &str, answer: &Answer) -> QueueError {
    let said: Complaint = serde_json::from_slice(&answer.body).unwrap_or_default();
    let kind = said.kind.rsplit('#').next().unwrap_or_default();
    let text = shortened(&format!("{kind} {}", said.message));
    let message = format!("the queue, {operation}: {} {}", answer.status.as_u16(), text.trim());
    // What it says besides may change with every call: times, ids of requests.
    let cause = format!("{operation} {} {}", answer.status.as_u16(), shortened(kind));
    let is_passing = answer.status == StatusCode::TOO_MANY_REQUESTS
        || answer.status.is_server_error()
        || kind.contains("Throttl");
    let error = match is_passing {
        true => ChannelError::Retry { after: None, in_doubt: false, throttled: false, message },
        false => ChannelError::Reject { kind: RejectKind::Other, message },
    };
    QueueError { cause, error }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Received {
    messages: Vec<ReceivedMessage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ReceivedMessage {
    receipt_handle: String,
    body: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Deleted {
    failed: Vec<Value>,
}

impl Amazon {
    fn queue(&self) -> Result<&Queue, ChannelError> {
        match &self.queue {
            Some(Ok(queue)) => Ok(queue),
            Some(Err(problem)) => Err(ChannelError::Fatal { message: problem.clone() }),
            None => Err(ChannelError::Fatal { message: "no queue was entered".to_owned() }),
        }
    }

    /// The queue's id in Amazon's list; it is entered there where it is not.
    async fn destination(&self, done: &mut Vec<String>) -> Result<String, ChannelError> {
        let arn = self.queue()?.config.arn.as_str();
        let list = notifications("getDestinations", Method::GET, "/destinations", None);
        let body = self.client.send_as(Grant::Application, &list).await?;
        let known: wire::Destinations = super::parse("getDestinations", &body)?;
        let own =
            known.payload.iter().find(|known| known.resource.sqs.as_ref().is_some_and(|sqs| sqs.arn == arn));
        if let Some(own) = own {
            return Ok(own.destination_id.clone());
        }
        let wish = json!({"name": DESTINATION_NAME, "resourceSpecification": {"sqs": {"arn": arn}}});
        let create = notifications("createDestination", Method::POST, "/destinations", Some(&wish));
        let body = self.client.send_as(Grant::Application, &create).await?;
        let made: wire::OneDestination = super::parse("createDestination", &body)?;
        done.push("the queue was entered as a destination".to_owned());
        Ok(made.payload.destination_id)
    }
}

/// A call of the Notifications API.
fn notifications<'a>(
    operation: &'static str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Outgoing<'a> {
    Outgoing {
        operation,
        effect: if method == Method::GET { Effect::Read } else { Effect::Write },
        method,
        path: format!("/notifications/v1{path}"),
        query: Vec::new(),
        body: body.map(|body| body.to_string().into_bytes()),
        priority: Priority::Bulk,
        limits: Limits::default(),
    }
}

#[async_trait]
impl MessageQueue for Amazon {
    async fn receive(&self) -> Result<Vec<QueueMessage>, QueueError> {
        let queue = self.queue()?;
        let asked = json!({
            "QueueUrl": queue.config.url,
            "MaxNumberOfMessages": MESSAGES_MAX,
            "WaitTimeSeconds": WAIT_S,
        });
        let received: Received = queue.call("ReceiveMessage", &asked).await?;
        let message = |message: ReceivedMessage| QueueMessage {
            receipt: message.receipt_handle,
            body: Bytes::from(message.body),
        };
        Ok(received.messages.into_iter().map(message).collect())
    }

    async fn delete(&self, receipts: &[String]) -> Result<(), ChannelError> {
        let queue = self.queue()?;
        for some in receipts.chunks(MESSAGES_MAX) {
            let entries: Vec<Value> = some
                .iter()
                .enumerate()
                .map(|(number, receipt)| json!({"Id": number.to_string(), "ReceiptHandle": receipt}))
                .collect();
            let asked = json!({"QueueUrl": queue.config.url, "Entries": entries});
            let deleted: Deleted =
                queue.call("DeleteMessageBatch", &asked).await.map_err(|refused| refused.error)?;
            if let Some(failed) = deleted.failed.first() {
                // It comes again, and changes nothing then.
                tracing::warn!("the queue did not delete a message: {failed}");
            }
        }
        Ok(())
    }

    fn read(&self, body: &[u8]) -> Result<Verified, PushError> {
        let refused = |what: &str| PushError::Refused(what.to_owned());
        let said: wire::Notification = serde_json::from_slice(body)
            .map_err(|_| refused("the message is no notification of Amazon's"))?;
        let id = said.notification_metadata.notification_id;
        if id.is_empty() {
            return Err(refused("the notification has no id"));
        }
        if said.notification_type != NOTIFICATION {
            return Ok(Verified { id, news: vec![News::Other(said.notification_type)] });
        }
        let change = said.payload.order_change_notification;
        if change.seller_id != self.client.config.seller_id {
            let text = "the notification is of another seller's order: each seller needs a queue of its own";
            return Err(refused(text));
        }
        let news = match change.amazon_order_id {
            Some(order) => News::Order(order),
            None => News::Orders,
        };
        Ok(Verified { id, news: vec![news] })
    }

    async fn subscribe(&self) -> Result<Option<String>, ChannelError> {
        self.queue()?;
        let mut done = Vec::new();
        let path = format!("/subscriptions/{NOTIFICATION}");
        let ask = notifications("getSubscription", Method::GET, &path, None);
        let held = match self.client.send(&ask).await {
            Ok(body) => Some(super::parse::<wire::OneSubscription>("getSubscription", &body)?.payload),
            Err(ChannelError::Reject { kind: RejectKind::NotFound, .. }) => None,
            Err(error) => return Err(error),
        };
        let destination = self.destination(&mut done).await?;
        match held {
            Some(held) if held.destination_id == destination => {}
            Some(_) => {
                return Err(ChannelError::Reject {
                    kind: RejectKind::Other,
                    message: format!(
                        "{NOTIFICATION} of this seller goes to another queue already; end that subscription, or \
                         enter its queue here"
                    ),
                });
            }
            None => {
                let wish = json!({"payloadVersion": PAYLOAD_VERSION, "destinationId": destination});
                let create = notifications("createSubscription", Method::POST, &path, Some(&wish));
                self.client.send(&create).await?;
                done.push(format!("{NOTIFICATION} subscribed"));
            }
        }
        Ok((!done.is_empty()).then(|| done.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// The test suite of Signature Version 4 that AWS publishes: its key, its time, and the signatures of three cases.
    #[test]
    fn requests_are_signed_as_the_published_test_suite_has_it() {
        let key = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let at: Timestamp = "2015-08-30T12:36:00Z".parse().unwrap();
        let cases = [
            ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "GET",
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ];
        for (method, path, signature) in cases {
            let request = Request::builder()
                .method(method)
                .uri(format!("https://example.amazonaws.com{path}"))
                .body(Bytes::new())
                .unwrap();
            let headers = sign_at(&request, key, ("us-east-1", "service"), at.into()).unwrap();
            let (_, value) = headers.iter().find(|(name, _)| name == "authorization").unwrap();
            assert_eq!(
                value,
                &format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={signature}"
                ),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn a_refusal_is_the_same_however_it_is_worded() {
        let refused = |status: u16, kind: &str, message: &str| {
            let body = json!({"__type": format!("com.amazonaws.sqs#{kind}"), "message": message}).to_string();
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: http::HeaderMap::new(),
                body: Bytes::from(body),
                duration: Duration::ZERO,
            };
            refusal("ReceiveMessage", &answer)
        };
        let first = refused(403, "AccessDenied", "Request 1: signature expired at 12:00");
        let second = refused(403, "AccessDenied", "Request 2: signature expired at 12:01");
        assert_eq!(first.cause, second.cause);
        assert_ne!(first.error.to_string(), second.error.to_string());
        assert_ne!(first.cause, refused(403, "InvalidClientTokenId", "x").cause);
        assert_ne!(first.cause, refused(400, "AccessDenied", "x").cause);
    }

    #[test]
    fn a_queues_address_says_where_it_is() {
        let parts = parts_of("https://sqs.eu-west-1.amazonaws.com/123456789012/orders").unwrap();
        assert_eq!(parts, ("eu-west-1".to_owned(), "123456789012".to_owned(), "orders".to_owned()));
        for wrong in [
            "http://sqs.eu-west-1.amazonaws.com/123456789012/orders",
            "https://example.com/123456789012/orders",
            "https://sqs.eu-west-1.amazonaws.com/orders",
            "https://sqs.eu-west-1.amazonaws.com.example.com/1/orders",
            "arn:aws:sqs:eu-west-1:123456789012:orders",
        ] {
            assert_eq!(parts_of(wrong), None, "{wrong}");
        }
    }
}

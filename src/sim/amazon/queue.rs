//! Notifications of the simulated Amazon: where they go, and the queue of AWS that they lie in until somebody deletes
//! them. The queue takes any request that names the right access key: that signatures are right is shown by AWS's own
//! vectors, not here.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::reply;
use super::calls::{Answer, Call, Refusal};
use super::{Amazon, MARKETPLACE_CA, MARKETPLACE_US, Order, SELLER_ID, Status};

/// The queue's address, as AWS gives it.
pub const QUEUE_URL: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/eider-orders";
/// The queue's name in permissions.
const QUEUE_ARN: &str = "arn:aws:sqs:us-east-1:123456789012:eider-orders";
/// The id of the key that may read it.
pub const ACCESS_KEY_ID: &str = "AKIASIMULATED";

/// A message that was taken out is there again after so many seconds, unless it was deleted.
const VISIBILITY_SECONDS: i64 = 30;
/// Messages at a time.
const MESSAGES_MAX: usize = 10;

/// What is subscribed, and what waits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Notifications {
    /// Where notifications may go: id and queue.
    destination: Option<(String, String)>,
    /// The subscription to changes of orders: id and destination.
    subscription: Option<(String, String)>,
    waiting: Vec<Message>,
    numbered: u64,
    /// The next deletion of several leaves the last of them where it is.
    #[serde(default)]
    keeps_one: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Message {
    number: u64,
    body: String,
    /// Taken out, and hidden until then; in microseconds.
    hidden_until: i64,
}

/// The operation of a request to the queue, by the header that names it.
pub(super) fn operation_of(target: &str) -> Option<&'static str> {
    match target {
        "AmazonSQS.ReceiveMessage" => Some("ReceiveMessage"),
        "AmazonSQS.DeleteMessageBatch" => Some("DeleteMessageBatch"),
        _ => None,
    }
}

impl Amazon {
    /// An order was placed or changed: who subscribed hears of it.
    pub(super) fn announce(&mut self, index: usize, now: Timestamp) {
        let held = &self.meta.notifications;
        if held.subscription.is_none() {
            return;
        }
        let Some(order) = self.orders.get(index) else { return };
        let body = self.notification(order, held.numbered, now).to_string();
        let held = &mut self.meta.notifications;
        held.waiting.push(Message { number: held.numbered, body, hidden_until: 0 });
        held.numbered += 1;
        self.changes.meta = true;
    }

    fn notification(&self, order: &Order, number: u64, now: Timestamp) -> Value {
        let status = match order.status {
            Status::Pending => "Pending",
            Status::Unshipped => "Unshipped",
            Status::PartiallyShipped => "PartiallyShipped",
            Status::Shipped => "Shipped",
            Status::Cancelled => "Canceled",
        };
        let items: Vec<Value> = order
            .lines
            .iter()
            .map(|line| {
                let sku = self.listings.get(line.listing).map(|listing| &listing.sku);
                json!({"OrderItemId": line.id, "SellerSKU": sku, "SupplySourceId": null, "Quantity": line.quantity})
            })
            .collect();
        json!({
            "NotificationVersion": "1.0",
            "NotificationType": "ORDER_CHANGE",
            "PayloadVersion": "1.0",
            "EventTime": now.to_string(),
            "Payload": {"OrderChangeNotification": {
                "NotificationLevel": "OrderLevel",
                "SellerId": SELLER_ID,
                "AmazonOrderId": order.id,
                "OrderChangeType": "OrderStatusChange",
                "OrderChangeTrigger": {"TimeOfOrderChange": now.to_string(), "ChangeReason": "Order Status Change"},
                "Summary": {
                    "MarketplaceId": if order.is_foreign { MARKETPLACE_CA } else { MARKETPLACE_US },
                    "OrderStatus": status,
                    "PurchaseDate": order.placed.to_string(),
                    "DestinationPostalCode": null,
                    "FulfillmentType": if order.is_fba { "AFN" } else { "MFN" },
                    "OrderType": "StandardOrder",
                    "OrderPrograms": [],
                    "ShippingPrograms": [],
                    "OrderItems": items,
                },
            }},
            "NotificationMetadata": {
                "ApplicationId": "amzn1.sp.solution.simulated",
                "SubscriptionId": self.meta.notifications.subscription.as_ref().map(|(id, _)| id),
                "PublishTime": now.to_string(),
                "NotificationId": format!("{number:08x}-simulated"),
            },
        })
    }

    /// Answers a call of the Notifications API.
    pub(super) fn notifications(&mut self, operation: &str, call: &Call<'_>) -> Answer {
        let body: Value = serde_json::from_slice(call.request.body()).unwrap_or_default();
        let held = &mut self.meta.notifications;
        match operation {
            "getDestinations" => {
                let all: Vec<Value> = held.destination.iter().map(destination).collect();
                Ok(reply::json(StatusCode::OK, &json!({"payload": all})))
            }
            "createDestination" => {
                let arn = body.pointer("/resourceSpecification/sqs/arn").and_then(Value::as_str);
                let arn = arn.ok_or_else(|| Refusal::invalid("A resource specification is needed."))?;
                if held.destination.as_ref().is_some_and(|(_, known)| known == arn) {
                    return Err(Refusal::conflict("A destination with this resource exists already."));
                }
                let made = ("d2c1a0f0-simulated".to_owned(), arn.to_owned());
                let answer = json!({"payload": destination(&made)});
                held.destination = Some(made);
                self.changes.meta = true;
                Ok(reply::json(StatusCode::OK, &answer))
            }
            "getSubscription" => match &held.subscription {
                Some(known) => Ok(reply::json(StatusCode::OK, &json!({"payload": subscription(known)}))),
                None => Err(Refusal::not_found("There is no such subscription.".to_owned())),
            },
            "createSubscription" => {
                let id = body.get("destinationId").and_then(Value::as_str).unwrap_or_default();
                if held.destination.as_ref().is_none_or(|(known, _)| known != id) {
                    return Err(Refusal::invalid("The destination does not exist."));
                }
                if held.subscription.is_some() {
                    return Err(Refusal::conflict("The subscription exists already."));
                }
                let made = ("5a52ac10-simulated".to_owned(), id.to_owned());
                let answer = json!({"payload": subscription(&made)});
                held.subscription = Some(made);
                self.changes.meta = true;
                Ok(reply::json(StatusCode::OK, &answer))
            }
            _ => Err(Refusal::not_found("The requested resource doesn't exist.".to_owned())),
        }
    }

    /// Answers a call to the queue.
    pub(super) fn serve_queue(&mut self, operation: &str, call: &Call<'_>) -> Response<Bytes> {
        let header = call.request.headers().get(http::header::AUTHORIZATION);
        let credential = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/");
        if !header.and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with(&credential)) {
            return refusal(StatusCode::FORBIDDEN, "InvalidClientTokenId", "The security token is invalid.");
        }
        let body: Value = serde_json::from_slice(call.request.body()).unwrap_or_default();
        let is_known = body.get("QueueUrl").is_some_and(|url| url == QUEUE_URL)
            && self.meta.notifications.destination.as_ref().is_none_or(|(_, arn)| arn == QUEUE_ARN);
        if !is_known {
            return refusal(
                StatusCode::BAD_REQUEST,
                "QueueDoesNotExist",
                "The specified queue does not exist.",
            );
        }
        self.changes.meta = true;
        let answer = match operation {
            "ReceiveMessage" => self.receive(&body, call.now),
            _ => self.delete_messages(&body),
        };
        reply::json(StatusCode::OK, &answer)
    }

    fn receive(&mut self, body: &Value, now: Timestamp) -> Value {
        let most = body
            .get("MaxNumberOfMessages")
            .and_then(Value::as_u64)
            .and_then(|count| usize::try_from(count).ok());
        let now = now.as_microsecond();
        let waiting =
            self.meta.notifications.waiting.iter_mut().filter(|message| message.hidden_until <= now);
        let messages: Vec<Value> = waiting
            .take(most.unwrap_or(1).min(MESSAGES_MAX))
            .map(|message| {
                message.hidden_until = now + VISIBILITY_SECONDS * 1_000_000;
                json!({
                    "MessageId": format!("m{}", message.number),
                    "ReceiptHandle": format!("r{}", message.number),
                    "Body": message.body,
                })
            })
            .collect();
        // A queue without messages leaves the list out.
        if messages.is_empty() { json!({}) } else { json!({"Messages": messages}) }
    }

    /// Of the next messages that are to be deleted together, the last is not.
    pub fn keep_message(&mut self) {
        self.meta.notifications.keeps_one = true;
        self.changes.meta = true;
    }

    fn delete_messages(&mut self, body: &Value) -> Value {
        let entries = body.get("Entries").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_kept = std::mem::take(&mut self.meta.notifications.keeps_one);
        let (entries, kept) = match entries.split_last() {
            Some((last, others)) if is_kept && !others.is_empty() => (others, Some(last)),
            _ => (entries, None),
        };
        let mut done = Vec::new();
        for entry in entries {
            let receipt = entry.get("ReceiptHandle").and_then(Value::as_str).unwrap_or_default();
            self.meta.notifications.waiting.retain(|message| format!("r{}", message.number) != receipt);
            done.push(json!({"Id": entry.get("Id")}));
        }
        let failed =
            kept.map(|entry| json!({"Id": entry.get("Id"), "Code": "InternalError", "SenderFault": false}));
        json!({"Successful": done, "Failed": failed.into_iter().collect::<Vec<_>>()})
    }
}

fn destination((id, arn): &(String, String)) -> Value {
    json!({"name": "Eider", "destinationId": id, "resource": {"sqs": {"arn": arn}}})
}

fn subscription((id, destination): &(String, String)) -> Value {
    json!({"subscriptionId": id, "payloadVersion": "1.0", "destinationId": destination})
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response<Bytes> {
    reply::json(status, &json!({"__type": format!("com.amazonaws.sqs#{kind}"), "message": message}))
}

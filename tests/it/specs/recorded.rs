//! What real systems sent, through the connectors' own readers: every recorded payload of an operation that we
//! use comes out as a snapshot. The payloads stay in the shared folder; texts about people become their length.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eider::channels::after_sale::{RefundDraft, RefundLine, RefundReason};
use eider::channels::error::ChannelError;
use eider::channels::{
    Connector, Cursor, FulfilmentOrder, OrderPage, PollStart, Received, ShopOrderSummary, ShopPage,
};
use eider::clock::ManualClock;
use eider::domain::order::OrderFacts;
use eider::domain::shipment::{ShipmentDraft, ShippedLine};
use eider::http::{Answer, Call, Transport, TransportError};
use eider::secret::Secret;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::documents::{Operation, shared};
use super::prism::draft;
use super::traffic::connector;
use super::{gate, operations_of};

/// BigCommerce's recorded answers and the operations that they are of; those of operations that no connector names
/// are passed over. A variant alone is read as a page of one.
const SHOP_PAYLOADS: [(&str, &str); 15] = [
    ("v2/blank", "getOrders"),
    ("v2/orders_v2__101__get", "getOrder"),
    ("v2/orders_v2__149__products__get_all", "getOrderProducts"),
    ("v2/orders_v2__218__get", "getOrder"),
    ("v2/orders_v2__229__shipping_addresses__get_all", "getOrderShippingAddresses"),
    ("v2/orders_v2__get_all", "getOrders"),
    ("v2/orders_v2__get_order_count", "getOrdersCount"),
    ("v2/orders_v2_create", "createOrder"),
    ("v2/storeinformation_store", "getStoreInformation"),
    ("v2/storeinformation_store__no-logo", "getStoreInformation"),
    ("v2/storeinformation_time", "getSystemTimestamp"),
    ("v3/catalog__products__174__get", "getProduct"),
    ("v3/catalog__products__variants__384__get", "getVariants"),
    ("v3/orders__order_refunds__create", "createOrderRefund"),
    ("v3/orders__transactions__get", "getOrderTransactions"),
];

/// Amazon's models whose recorded answers are of operations that we use: every operation of the connector.
const AMAZON_OPERATIONS: [(&str, &str); 13] = [
    ("orders_2026-01-01.json", "searchOrders"),
    ("orders_2026-01-01.json", "getOrder"),
    ("ordersV0.json", "confirmShipment"),
    ("listingsItems_2021-08-01.json", "searchListingsItems"),
    ("sellers.json", "getMarketplaceParticipations"),
    ("feeds_2021-06-30.json", "createFeedDocument"),
    ("feeds_2021-06-30.json", "createFeed"),
    ("feeds_2021-06-30.json", "getFeed"),
    ("feeds_2021-06-30.json", "getFeedDocument"),
    ("notifications.json", "getSubscription"),
    ("notifications.json", "getDestinations"),
    ("notifications.json", "createDestination"),
    ("notifications.json", "createSubscription"),
];

const TOKEN: &str = r#"{"access_token":"T","token_type":"bearer","expires_in":3600}"#;

/// Gives one recorded answer to the operation that it is of, and empty ones to all others.
#[derive(Debug)]
struct Recording {
    operation: String,
    status: u16,
    body: String,
    order: String,
    is_given: Mutex<bool>,
    /// What was asked of `createSubscription`.
    subscribed: Mutex<Value>,
}

#[async_trait]
impl Transport for Recording {
    async fn send(&self, call: Call) -> Result<Answer, TransportError> {
        if call.operation == "createSubscription" {
            *self.subscribed.lock().unwrap() = serde_json::from_slice(call.request.body()).unwrap();
        }
        let (status, body) = if call.operation == "token" {
            (200, TOKEN)
        } else if call.operation == self.operation {
            *self.is_given.lock().unwrap() = true;
            (self.status, self.body.as_str())
        } else if call.operation == "getDestinations" && self.operation == "getSubscription" {
            (200, DESTINATIONS)
        } else if let Some((_, status, body)) = LEADS.iter().find(|(known, ..)| *known == call.operation) {
            (*status, *body)
        } else if call.operation == "getOrder" {
            // A recorded order, to hang recorded parts on.
            (200, self.order.as_str())
        } else {
            (204, "")
        };
        Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_owned()),
            duration: Duration::ZERO,
        })
    }
}

/// Where what one of the recorded subscriptions tells of goes: to our queue.
const DESTINATIONS: &str = r#"{"payload":[{"destinationId":"3acafc7e-121b-1329-8ae8-1571be663aa2","name":"ours",
    "resource":{"sqs":{"arn":"arn:aws:sqs:us-east-2:444455556666:queue1"}}}]}"#;

/// What leads to a recorded part of a feed or of a subscription, and on from it.
const LEADS: [(&str, u16, &str); 7] = [
    ("getSubscription", 404, r#"{"errors":[{"code":"NotFound","message":"none"}]}"#),
    ("getDestinations", 200, r#"{"payload":[]}"#),
    ("createDestination", 200, r#"{"payload":{"destinationId":"d"}}"#),
    ("createFeedDocument", 201, r#"{"feedDocumentId":"d","url":"https://files.amazon.example/d"}"#),
    ("createFeed", 202, r#"{"feedId":"f"}"#),
    ("getFeed", 200, r#"{"processingStatus":"DONE","resultFeedDocumentId":"r"}"#),
    (
        "downloadFeedDocument",
        200,
        "\tNumber of records processed\t\t1\n\tNumber of records successful\t\t1\n",
    ),
];

pub const ENTERED: [(&str, &str); 13] = [
    ("access_token", "x"),
    ("aws_access_key_id", "x"),
    ("aws_secret_access_key", "x"),
    ("client_id", "x"),
    ("client_secret", "x"),
    ("keystring", "x"),
    ("marketplace_ids", "ATVPDKIKX0DER"),
    // The queue of the recorded destinations.
    ("queue_url", "https://sqs.us-east-2.amazonaws.com/444455556666/queue1"),
    ("refresh_token", "x"),
    ("seller_id", "A1"),
    ("shared_secret", "x"),
    ("shop_id", "100001"),
    ("store_hash", "abc123"),
];

/// What the connector makes of one recorded answer.
async fn read(channel: &str, operation: &str, status: u16, body: String) -> Value {
    let order = shared().unwrap().join("fixtures/bigcommerce/v2/orders_v2__218__get.json");
    let recording = Arc::new(Recording {
        operation: operation.to_owned(),
        status,
        body,
        order: std::fs::read_to_string(order).unwrap(),
        is_given: Mutex::new(false),
        subscribed: Mutex::default(),
    });
    let credentials: BTreeMap<String, Secret> =
        ENTERED.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value))).collect();
    let clock = Arc::new(ManualClock::new("2026-11-21T12:00:00Z".parse().unwrap()));
    let transport = Arc::clone(&recording) as Arc<dyn Transport>;
    let connector = connector(channel, credentials, transport, clock);
    let said = match channel {
        "amazon" if operation.ends_with("Subscription") || operation.contains("Destination") => {
            let said = said(connector.message_queue().unwrap().subscribe().await, |done| json!(done));
            json!({"said": said, "asked_for": *recording.subscribed.lock().unwrap()})
        }
        "amazon" => amazon(&*connector, operation).await,
        "etsy" => etsy(&*connector, operation).await,
        "ebay" => ebay(&*connector).await,
        _ => bigcommerce(&*connector, operation).await,
    };
    assert!(*recording.is_given.lock().unwrap(), "{operation} was not asked for");
    said
}

/// eBay's one recorded page.
async fn ebay(connector: &dyn Connector) -> Value {
    let cursor = Cursor { updated_until: Some("2026-11-21T11:00:00Z".parse().unwrap()), window: None };
    let start = PollStart { since: None, is_bulk: false };
    let page = connector.order_source().unwrap().changed_orders(&cursor, start).await;
    said(
        page,
        |page: OrderPage| json!({"cursor": page.cursor, "has_more": page.has_more, "orders": received(&page.orders)}),
    )
}

async fn amazon(connector: &dyn Connector, operation: &str) -> Value {
    let source = connector.order_source().unwrap();
    match operation {
        "searchOrders" => {
            let cursor =
                Cursor { updated_until: Some("2026-11-21T11:00:00Z".parse().unwrap()), window: None };
            said(
                source.changed_orders(&cursor, PollStart { since: None, is_bulk: false }).await,
                |page: OrderPage| json!({"cursor": page.cursor, "has_more": page.has_more, "orders": received(&page.orders)}),
            )
        }
        "getOrder" => said(source.order("1").await, |order| received(&order.into_iter().collect::<Vec<_>>())),
        "confirmShipment" => {
            let order = FulfilmentOrder { external_id: "1".to_owned(), site: None };
            let parcel = ShipmentDraft {
                parcel: 1,
                carrier: Some("FedEx".to_owned()),
                service: None,
                tracking: Some("112345678".to_owned()),
                shipped_at: "2026-11-21T11:00:00Z".parse().unwrap(),
                lines: vec![ShippedLine { external_line_id: "1".to_owned(), quantity: 1 }],
            };
            let fulfilment = connector.fulfilment().unwrap();
            said(fulfilment.confirm_shipment(&order, &parcel).await, |()| json!("confirmed"))
        }
        "searchListingsItems" => said(
            connector.catalogue().unwrap().listings(None).await,
            |page| json!({"listings": page.listings, "next": page.next}),
        ),
        "getMarketplaceParticipations" => probed(connector).await,
        "createFeedDocument" | "createFeed" => {
            let draft = RefundDraft {
                key: "1".to_owned(),
                currency: "USD".parse().unwrap(),
                lines: vec![RefundLine {
                    external_line_id: "1".to_owned(),
                    item_minor: 100,
                    shipping_minor: 0,
                    quantity_cancelled: 0,
                }],
                is_single_line_order: false,
                reason: RefundReason::Returned,
                comment: None,
            };
            let order = FulfilmentOrder { external_id: "1".to_owned(), site: None };
            said(connector.refunds().unwrap().refund(&order, &draft).await, |progress| {
                json!(format!("{progress:?}"))
            })
        }
        "getFeed" | "getFeedDocument" => {
            let order = FulfilmentOrder { external_id: "1".to_owned(), site: None };
            said(connector.refunds().unwrap().refunded(&order, "f").await, |progress| {
                json!(format!("{progress:?}"))
            })
        }
        other => panic!("no reader for {other}"),
    }
}

async fn etsy(connector: &dyn Connector, operation: &str) -> Value {
    let source = connector.order_source().unwrap();
    match operation {
        "getShopReceipts" => {
            let start = PollStart { since: None, is_bulk: false };
            said(
                source.changed_orders(&Cursor::default(), start).await,
                |page: OrderPage| json!({"cursor": page.cursor.updated_until, "has_more": page.has_more, "orders": received(&page.orders)}),
            )
        }
        "getListingsByShop" => {
            said(connector.catalogue().unwrap().listings(None).await, |page| json!(page.listings))
        }
        "getShop" => probed(connector).await,
        other => panic!("no reader for {other}"),
    }
}

async fn bigcommerce(connector: &dyn Connector, operation: &str) -> Value {
    let (source, shop) = (connector.order_source().unwrap(), connector.shop_orders().unwrap());
    match operation {
        "getOrders" => {
            let page =
                shop.changed_shop_orders(&Cursor::default(), PollStart { since: None, is_bulk: false }).await;
            said(page, |page: ShopPage| {
                let summaries: Vec<Value> = page.summaries.iter().map(summary).collect();
                json!({"summaries": summaries, "own": received(&page.own), "has_more": page.has_more})
            })
        }
        "getOrder" | "getOrderShippingAddresses" => {
            said(source.order("1").await, |order| received(&order.into_iter().collect::<Vec<_>>()))
        }
        "createOrder" => said(shop.create(&draft()).await, |created| summary(&created)),
        "getOrderProducts" => said(shop.lines("1").await, |lines| {
            lines.iter().map(|line| format!("{line:?}")).collect::<Vec<_>>().into()
        }),
        "getStoreInformation" => said(shop.profile().await, |profile| json!(format!("{profile:?}"))),
        "getSystemTimestamp" => probed(connector).await,
        "getVariants" => {
            let skus = ["SMIT-2".to_owned()];
            said(shop.variants_by_sku(&skus).await, |variants| json!(variants))
        }
        other => panic!("no reader for {other}"),
    }
}

fn said<T>(answer: Result<T, ChannelError>, show: impl FnOnce(T) -> Value) -> Value {
    match answer {
        Ok(answer) => show(answer),
        Err(error) => json!({"error": format!("{error:?}")}),
    }
}

async fn probed(connector: &dyn Connector) -> Value {
    json!(connector.probe().probe().await.lines)
}

fn summary(summary: &ShopOrderSummary) -> Value {
    json!(format!("{summary:?}"))
}

fn received(orders: &[Received]) -> Value {
    let show = |order: &Received| match &order.facts {
        Ok(facts) => shown(facts),
        Err(error) => json!({"id": order.external_id, "unreadable": error.to_string()}),
    };
    orders.iter().map(show).collect()
}

/// The facts, with every text about people as its length.
fn shown(facts: &OrderFacts) -> Value {
    let mut shown = json!(facts);
    if let Some(people) = shown.get_mut("people") {
        mask(people);
    }
    for line in shown["lines"].as_array_mut().into_iter().flatten() {
        if let Some(options) = line.get_mut("options") {
            mask(options);
        }
    }
    shown
}

fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *value = json!(format!("({} characters)", text.chars().count())),
        Value::Array(entries) => entries.iter_mut().for_each(mask),
        Value::Object(fields) => fields.values_mut().for_each(mask),
        _ => {}
    }
}

/// A recorded answer: name, operation, status, body.
type Payload = (String, String, u16, String);

/// Where a real answer differs from the specification: connectors must bear it.
fn differences(platform: &str, operation: &str, status: u16, body: &str) -> Vec<String> {
    let Ok(body) = serde_json::from_str::<Value>(body) else { return Vec::new() };
    let gate = gate().unwrap();
    // Of the two `getOrder`s of Amazon the newer model stands first.
    let is_meant = |known: &&Operation| known.platform == platform && known.id == operation;
    let operation = gate.documents.operations.iter().find(is_meant).unwrap();
    let found = gate.check_recorded(operation, status, &body);
    found.iter().map(|found| format!("{}: {}", found.place, found.what)).collect()
}

fn amazon_payloads(file: &Value, name: &str) -> Vec<Payload> {
    let (source, operation) = (file["source"].as_str().unwrap(), file["operationId"].as_str().unwrap());
    if !AMAZON_OPERATIONS.contains(&(source, operation)) {
        return Vec::new();
    }
    let status: u16 = file["status"].as_str().unwrap().parse().unwrap();
    let examples = &file["examples"];
    // Models name their one example by its media type, by what it is, or not at all.
    let named = ["application/json", "Successful Response"].into_iter().find_map(|name| examples.get(name));
    let example = named.unwrap_or(examples);
    let sandbox = file["sandbox_static"].as_array().into_iter().flatten().map(|pair| &pair["response"]);
    let answers = std::iter::once(example).chain(sandbox).filter(|answer| !answer.is_null());
    let mut payloads: Vec<Payload> = Vec::new();
    for answer in answers {
        let body = if status == 204 { String::new() } else { answer.to_string() };
        let payload = (format!("{name}__{}", payloads.len() + 1), operation.to_owned(), status, body);
        if payloads.iter().all(|(_, _, _, known)| *known != payload.3) {
            payloads.push(payload);
        }
    }
    // A 204 has nothing to record.
    if payloads.is_empty() && status == 204 {
        payloads.push((format!("{name}__1"), operation.to_owned(), status, String::new()));
    }
    payloads
}

#[tokio::test]
async fn every_recorded_answer_of_amazon_can_be_read() {
    let Some(root) = shared() else { return };
    let mut used = operations_of(gate().unwrap(), "amazon");
    used.retain(|operation| !AMAZON_OPERATIONS.iter().any(|(_, known)| known == operation));
    assert!(used.is_empty(), "of which model are {used:?}?");
    let mut count = 0;
    let mut files: Vec<_> =
        root.join("fixtures/amazon/sandbox").read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for (name, operation, status, body) in amazon_payloads(&file, &name) {
            let differs = differences("amazon", &operation, status, &body);
            let said = read("amazon", &operation, status, body).await;
            let shown = json!({"read": said, "differs_from_the_specification": differs});
            insta::assert_json_snapshot!(format!("amazon__{name}"), shown);
            count += 1;
        }
    }
    assert!(count >= 12, "{count} payloads");
}

#[tokio::test]
async fn every_recorded_answer_of_bigcommerce_can_be_read() {
    let Some(root) = shared() else { return };
    let root = root.join("fixtures/bigcommerce");
    for folder in ["v2", "v3"] {
        for entry in root.join(folder).read_dir().unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            let name = format!("{folder}/{name}");
            assert!(SHOP_PAYLOADS.iter().any(|(known, _)| *known == name), "whose answer is {name}?");
        }
    }
    let used = operations_of(gate().unwrap(), "bigcommerce");
    let mut count = 0;
    for (name, operation) in SHOP_PAYLOADS {
        if !used.contains(operation) {
            continue;
        }
        let mut body = std::fs::read_to_string(root.join(format!("{name}.json"))).unwrap();
        if operation == "getVariants" {
            let variant: Value = serde_json::from_str(&body).unwrap();
            body = json!({"data": [variant["data"]], "meta": {"pagination": {"total_pages": 1}}}).to_string();
        }
        let status = if body.is_empty() { 204 } else { 200 };
        let differs = differences("bigcommerce", operation, status, &body);
        let said = read("bigcommerce", operation, status, body).await;
        let shown = json!({"read": said, "differs_from_the_specification": differs});
        insta::assert_json_snapshot!(format!("bigcommerce__{}", name.replace('/', "__")), shown);
        count += 1;
    }
    assert!(count >= 11, "{count} payloads");
}

#[tokio::test]
async fn every_recorded_answer_of_etsy_can_be_read() {
    let Some(root) = shared() else { return };
    let root = root.join("fixtures/etsy");
    let payloads = [("receipts", "getShopReceipts"), ("listings", "getListingsByShop"), ("shop", "getShop")];
    assert_eq!(root.read_dir().unwrap().count(), payloads.len());
    for (name, operation) in payloads {
        let body = std::fs::read_to_string(root.join(format!("{name}.json"))).unwrap();
        let differs = differences("etsy", operation, 200, &body);
        let said = read("etsy", operation, 200, body).await;
        let shown = json!({"read": said, "differs_from_the_specification": differs});
        insta::assert_json_snapshot!(format!("etsy__{name}"), shown);
    }
}

/// The sample is masked, and its order's two lines are worth twice its total: the sum of the amounts tells, and an
/// engine holds such an order.
#[tokio::test]
async fn the_recorded_page_of_ebay_can_be_read() {
    let Some(root) = shared() else { return };
    let body = std::fs::read_to_string(root.join("fixtures/ebay/getOrders.json")).unwrap();
    // One page of eleven: as it is, the walk would begin with the last.
    let mut page: Value = serde_json::from_str(&body).unwrap();
    page["total"] = json!(1);
    let differs = differences("ebay", "getOrders", 200, &page.to_string());
    let said = read("ebay", "getOrders", 200, page.to_string()).await;
    insta::assert_json_snapshot!(
        "ebay__getOrders",
        json!({"read": said, "differs_from_the_specification": differs})
    );
}

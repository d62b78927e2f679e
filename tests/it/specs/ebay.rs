//! What the connector of eBay and the simulated eBay say to each other: every call of the connector, by itself, with
//! what is refused; and whether what the connector reads is what really stands there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eider::channels::after_sale::{CancelReason, Progress, RefundDraft, RefundLine, RefundReason};
use eider::channels::error::{ChannelError, RejectKind};
use eider::channels::registry::channel;
use eider::channels::webhooks::{HookAddress, Push};
use eider::channels::{Connector, Cursor, FulfilmentOrder, PlacedWindow, PollStart, Received};
use eider::clock::{Clock as _, ManualClock, SharedClock};
use eider::http::Transport;
use eider::sim::{EBAY, SimOptions, World};
use http::Request;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::gate::Exchange;
use super::misuse;
use super::traffic::{Recorder, connector, credentials, parcel, request, setup};

/// Operations that a fault is put on.
const OPERATIONS: [&str; 7] = [
    "getOrders",
    "getOrder",
    "getShippingFulfillments",
    "createShippingFulfillment",
    "issueRefund",
    "getInventoryItems",
    "getOffers",
];

struct Rig {
    recorder: Arc<Recorder>,
    clock: Arc<ManualClock>,
}

/// Every call of the connector of eBay, and its answer.
pub async fn everything() -> Vec<Exchange> {
    let rig = Rig::new();
    rig.everything_is_read_as_it_stands().await;
    rig.every_deed().await;
    rig.every_misuse();
    rig.every_refusal().await;
    std::mem::take(&mut *rig.recorder.seen.lock().unwrap())
}

fn order(id: &str) -> FulfilmentOrder {
    FulfilmentOrder { external_id: id.to_owned(), site: Some("EBAY_US".to_owned()) }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap()));
        let options = SimOptions {
            orders: 450,
            rate_per_minute: 0,
            marketplaces: &[EBAY],
            seed: 3,
            ..SimOptions::default()
        };
        let world = Arc::new(World::open(options, Arc::clone(&clock) as SharedClock).unwrap());
        let recorder = Arc::new(Recorder { world, clock: Arc::clone(&clock), seen: Mutex::default() });
        Self { recorder, clock }
    }

    fn connector(&self) -> Arc<dyn Connector> {
        let own = credentials(&self.recorder.world).remove(EBAY).unwrap();
        let transport = Arc::clone(&self.recorder) as Arc<dyn Transport>;
        connector(EBAY, own, transport, Arc::clone(&self.clock) as SharedClock)
    }

    fn control(&self, name: &str, body: &Value) -> Value {
        let (status, answer) = self.recorder.world.control(EBAY, name, Some(body));
        assert!(status.is_success(), "{name}: {status} {answer}");
        answer
    }

    fn truth(&self) -> BTreeMap<String, Value> {
        let (_, orders) = self.recorder.world.control(EBAY, "orders", None);
        orders.as_array().unwrap().iter().map(|order| (text(&order["id"]), order.clone())).collect()
    }

    fn sell(&self, quantity: i64, is_paid: bool) -> Value {
        let (_, listings) = self.recorder.world.control(EBAY, "listings", None);
        let mut own = listings.as_array().unwrap().iter();
        let sku = own.find(|listing| listing["fulfilled_by"] == "seller").unwrap()["sku"].clone();
        self.control("sell", &json!({"sku": sku, "quantity": quantity, "paid": is_paid}))
    }

    /// Everything from a cursor on, and where to go on.
    async fn polled(&self, connector: &dyn Connector, mut cursor: Cursor) -> (Vec<Received>, Cursor) {
        let mut orders = Vec::new();
        loop {
            let start = PollStart { since: None, is_bulk: false };
            let page = connector.order_source().unwrap().changed_orders(&cursor, start).await.unwrap();
            orders.extend(page.orders);
            cursor = page.cursor;
            if !page.has_more {
                return (orders, cursor);
            }
        }
    }

    fn is_as_it_stands(&self, orders: &[Received]) {
        let truth = self.truth();
        for one in orders {
            let facts = one.facts.as_ref().unwrap_or_else(|error| panic!("{error}: {}", one.payload));
            let order = &truth[&facts.external_id];
            assert_eq!(facts.sum_paid().unwrap(), facts.total_minor, "{}", one.payload);
            assert_eq!(facts.status.as_str(), order["status"], "{}", one.payload);
            assert_eq!(facts.total_minor, order["total_minor"].as_i64().unwrap(), "{}", one.payload);
            let by = if order["fulfilled_by"] == "ebay" { "platform" } else { "seller" };
            assert_eq!(facts.fulfilled_by.as_str(), by);
            let units: i64 =
                order["lines"].as_array().unwrap().iter().map(|l| l["quantity"].as_i64().unwrap()).sum();
            assert_eq!(facts.lines.iter().map(|line| line.quantity).sum::<i64>(), units);
            let is_recent =
                self.clock.now().duration_since(facts.placed_at) < SignedDuration::from_hours(80 * 24);
            let has_address = facts.people.as_ref().is_some_and(|people| people.ship_to.is_some());
            assert!(has_address || by == "platform" || !is_recent, "{}", one.payload);
        }
    }

    async fn everything_is_read_as_it_stands(&self) {
        let ebay = self.connector();
        let (orders, cursor) = self.polled(&*ebay, Cursor::default()).await;
        let ids: std::collections::BTreeSet<&str> =
            orders.iter().filter_map(|one| one.external_id.as_deref()).collect();
        assert_eq!(ids.len(), 450);
        self.is_as_it_stands(&orders);
        self.clock.advance(Duration::from_secs(60));
        let sold = self.sell(2, true);
        let unpaid = self.sell(1, false);
        let shipped = self.sell(2, true);
        let lines = json!([{"line_id": shipped["lines"][0]["line_id"], "quantity": 1}]);
        self.control(
            "ship",
            &json!({"id": shipped["id"], "carrier": "USPS", "tracking": "94001", "lines": lines}),
        );
        self.clock.advance(Duration::from_secs(2));
        let (orders, _) = self.polled(&*ebay, cursor).await;
        self.is_as_it_stands(&orders);
        let has = |order: &Value| orders.iter().any(|one| one.external_id.as_deref() == order["id"].as_str());
        assert!(has(&sold) && has(&shipped) && !has(&unpaid));
        let parcels = |one: &Received| one.facts.as_ref().unwrap().shipments.clone();
        let one = orders.iter().find(|one| one.external_id.as_deref() == shipped["id"].as_str()).unwrap();
        assert_eq!(parcels(one).unwrap()[0].tracking.as_deref(), Some("94001"));
        let now = self.clock.now();
        let window = PlacedWindow {
            from: now - SignedDuration::from_hours(90 * 24),
            until: now - SignedDuration::from_mins(2),
            is_bulk: true,
        };
        let source = ebay.order_source().unwrap();
        let (mut placed, mut page) = (Vec::new(), None::<String>);
        loop {
            let found = source.placed_orders(window, page.as_deref()).await.unwrap();
            placed.extend(found.external_ids);
            match found.next {
                Some(next) => page = Some(next),
                None => break,
            }
        }
        let in_window: Vec<String> = self
            .truth()
            .into_iter()
            .filter(|(_, order)| window.contains(order["placed_at"].as_str().unwrap().parse().unwrap()))
            .map(|(id, _)| id)
            .collect();
        placed.sort();
        assert_eq!(placed, in_window);
        let mut listings = Vec::new();
        let mut page = None::<String>;
        loop {
            let found = ebay.catalogue().unwrap().listings(page.as_deref()).await.unwrap();
            listings.extend(found.listings);
            match found.next {
                Some(next) => page = Some(next),
                None => break,
            }
        }
        let (_, stands) = self.recorder.world.control(EBAY, "listings", None);
        assert_eq!(listings.len(), stands.as_array().unwrap().len());
        assert!(listings.iter().all(|listing| listing.price_minor.is_some() && listing.product_id.is_some()));
        let report = ebay.probe().probe().await;
        assert!(report.is_ok(), "{:?}", report.lines);
    }

    /// Parcels, refunds, cancellations, notifications.
    async fn every_deed(&self) {
        let own = credentials(&self.recorder.world).remove(EBAY).unwrap();
        let transport = Arc::clone(&self.recorder) as Arc<dyn Transport>;
        let setup = setup(EBAY, own, transport, Arc::clone(&self.clock) as SharedClock);
        let identity = channel(&EBAY.into()).unwrap().identity.unwrap();
        assert!((identity.ask)(setup).await.unwrap().is_some(), "who the seller is");
        let ebay = self.connector();
        let sold = self.sell(2, true);
        let (id, line) = (text(&sold["id"]), text(&sold["lines"][0]["line_id"]));
        let fulfilment = ebay.fulfilment().unwrap();
        assert_eq!(fulfilment.told_parcels(&order(&id)).await.unwrap(), Some(Vec::new()));
        fulfilment.confirm_shipment(&order(&id), &parcel(&line)).await.unwrap();
        let again = fulfilment.confirm_shipment(&order(&id), &parcel(&line)).await.unwrap_err();
        assert!(matches!(again, ChannelError::Reject { kind: RejectKind::AlreadyDone, .. }), "{again}");
        let told = fulfilment.told_parcels(&order(&id)).await.unwrap().unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].tracking.as_deref(), told[0].lines[0].quantity), (Some("1Z999AA10123456784"), 1));
        let draft = RefundDraft {
            key: "1".to_owned(),
            currency: "USD".parse().unwrap(),
            lines: vec![RefundLine {
                external_line_id: line,
                item_minor: 100,
                shipping_minor: 0,
                quantity_cancelled: 0,
            }],
            is_single_line_order: true,
            reason: RefundReason::Other,
            comment: Some("Sorry".to_owned()),
        };
        let refunds = ebay.refunds().unwrap();
        let Progress::Pending(ticket) = refunds.refund(&order(&id), &draft).await.unwrap() else { panic!() };
        let now = refunds.refunded(&order(&id), &ticket).await.unwrap();
        assert_eq!(now, Progress::Pending(ticket.clone()));
        self.clock.advance(Duration::from_secs(120));
        assert_eq!(refunds.refunded(&order(&id), &ticket).await.unwrap(), Progress::Done);
        self.every_refund().await;
        let cancellation = ebay.cancellation().unwrap();
        let refused = cancellation.cancel(&order(&id), CancelReason::OutOfStock).await.unwrap();
        assert!(matches!(refused, Progress::Refused(_)), "{refused:?}");
        let open = text(&self.sell(1, true)["id"]);
        let asked = cancellation.cancel(&order(&open), CancelReason::OutOfStock).await.unwrap();
        let Progress::Pending(ticket) = &asked else { panic!("{asked:?}") };
        // Asked again while it is under way, it is the same.
        assert_eq!(cancellation.cancel(&order(&open), CancelReason::OutOfStock).await.unwrap(), asked);
        assert_eq!(cancellation.cancellation(&order(&open), ticket).await.unwrap(), asked);
        self.clock.advance(Duration::from_secs(120));
        assert_eq!(cancellation.cancellation(&order(&open), ticket).await.unwrap(), Progress::Done);
        assert_eq!(
            cancellation.cancel(&order(&open), CancelReason::OutOfStock).await.unwrap(),
            Progress::Done
        );
        assert_eq!(self.truth()[&open]["status"], "cancelled");
        self.notifications(&*ebay).await;
    }

    async fn notifications(&self, ebay: &dyn Connector) {
        let webhooks = ebay.webhooks().unwrap();
        let at = |host: &str| format!("https://{host}/hooks/{}", "a".repeat(43));
        let (endpoint, moved_to) = (&at("shop.example"), &at("new.example"));
        let address = HookAddress { endpoint, others: &[] };
        let done = webhooks.subscribe(address).await.unwrap().unwrap();
        assert!(
            done.starts_with("e-mail for alerts entered, address registered")
                && done.contains("ORDER_CONFIRMATION subscribed"),
            "{done}"
        );
        assert_eq!(webhooks.subscribe(address).await.unwrap(), None);
        // eBay switches off what does not answer.
        self.switch_off(endpoint).await;
        let done = webhooks.subscribe(address).await.unwrap().unwrap();
        assert!(done.contains("address switched on again") && done.contains("switched on again"), "{done}");
        // There is one subscription for each topic: it goes along when the address changes.
        let moved = HookAddress { endpoint: moved_to, others: &[] };
        let done = webhooks.subscribe(moved).await.unwrap().unwrap();
        assert!(done.starts_with("address registered, ORDER_CONFIRMATION moved here"), "{done}");
        assert_eq!(webhooks.subscribe(moved).await.unwrap(), None);
        assert_eq!(self.subscribed_destinations(), 1);
        let header = json!({
            "alg": "ecdsa",
            "kid": "9936261a-7d7b-4621-a0f1-96ccb428af49",
            "signature": "AA==",
            "digest": "SHA1",
        });
        use base64::Engine as _;
        let header = base64::engine::general_purpose::STANDARD.encode(header.to_string());
        let forged = Push {
            headers: BTreeMap::from([("x-ebay-signature".to_owned(), header)]),
            body: Bytes::from_static(b"{}"),
            received_at: self.clock.now(),
            endpoint: endpoint.to_owned(),
        };
        assert!(webhooks.verify(&forged).await.is_err());
    }

    /// Addresses that topics lead to.
    fn subscribed_destinations(&self) -> usize {
        let bearer = format!("Bearer {}", self.token("refresh_token"));
        let asked = request(
            "GET",
            "/commerce/notification/v1/subscription",
            ("authorization", &bearer),
            String::new(),
        );
        let response = self.recorder.world.handle(EBAY, &asked).response;
        let held: Value = serde_json::from_slice(response.body()).unwrap();
        let all = held["subscriptions"].as_array().unwrap();
        all.iter().map(|one| text(&one["destinationId"])).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Switches the address and its topics off, as eBay does.
    async fn switch_off(&self, endpoint: &str) {
        let application = self.token("client_credentials");
        let seller = self.token("refresh_token");
        let call = |method: &str, path: &str, token: &str, body: String| {
            let bearer = format!("Bearer {token}");
            let request = request(method, path, ("authorization", &bearer), body);
            let response = self.recorder.world.handle(EBAY, &request).response;
            serde_json::from_slice::<Value>(response.body()).unwrap_or_default()
        };
        let base = "/commerce/notification/v1";
        let held = call("GET", &format!("{base}/destination"), &application, String::new());
        let id = text(&held["destinations"][0]["destinationId"]);
        let delivery = json!({"endpoint": endpoint, "verificationToken": "x".repeat(32)});
        let body = json!({"name": "x", "status": "MARKED_DOWN", "deliveryConfig": delivery});
        call("PUT", &format!("{base}/destination/{id}"), &application, body.to_string());
        self.control("disable_subscriptions", &json!({}));
        let held = call("GET", &format!("{base}/subscription"), &seller, String::new());
        assert!(held["subscriptions"].as_array().unwrap().iter().all(|one| one["status"] == "DISABLED"));
    }

    fn token(&self, grant: &str) -> String {
        let own = credentials(&self.recorder.world).remove(EBAY).unwrap();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", grant)
            .append_pair("refresh_token", own["refresh_token"].expose())
            .append_pair("scope", "https://api.ebay.com/oauth/api_scope")
            .finish();
        use base64::Engine as _;
        let pair = format!("{}:{}", own["client_id"].expose(), own["client_secret"].expose());
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let request = Request::post("/identity/v1/oauth2/token")
            .header("authorization", basic)
            .body(Bytes::from(form))
            .unwrap();
        let response = self.recorder.world.handle(EBAY, &request).response;
        text(&serde_json::from_slice::<Value>(response.body()).unwrap()["access_token"])
    }

    fn every_misuse(&self) {
        let open = self.sell(2, true);
        let shipped = self.sell(2, true);
        self.control("ship", &json!({"id": shipped["id"], "carrier": "UPS", "tracking": "1Z2"}));
        let (open, open_line) = (text(&open["id"]), text(&open["lines"][0]["line_id"]));
        let (shipped, line) = (text(&shipped["id"]), text(&shipped["lines"][0]["line_id"]));
        let bearer = format!("Bearer {}", self.token("refresh_token"));
        for misuse in misuse::of_ebay((&open, &open_line), (&shipped, &line, "1Z2")) {
            for (token, status) in [(bearer.as_str(), misuse.status), ("Bearer dead", 401)] {
                let request =
                    request(misuse.method, &misuse.path, ("authorization", token), misuse.body.clone());
                let exchange = Exchange::of(EBAY, misuse.operation, &request);
                let answer = self.recorder.answer(Exchange { is_right: false, ..exchange }, &request);
                assert_eq!(answer.response.status().as_u16(), status, "{misuse:?}");
            }
        }
    }

    /// One of a line of several, one that fails, and one that is made in Seller Hub.
    async fn every_refund(&self) {
        let ebay = self.connector();
        let refunds = ebay.refunds().unwrap();
        let has_lines = |order: &&Value| {
            order["lines"].as_array().unwrap().len() > 1
                && order["refunds"].as_array().unwrap().is_empty()
                && matches!(order["status"].as_str(), Some("open" | "shipped"))
        };
        let several = self.truth().values().find(has_lines).unwrap().clone();
        let draft = |order: &Value, is_single_line_order: bool| RefundDraft {
            key: "1".to_owned(),
            currency: "USD".parse().unwrap(),
            lines: vec![RefundLine {
                external_line_id: text(&order["lines"][0]["line_id"]),
                item_minor: 50,
                shipping_minor: 0,
                quantity_cancelled: 0,
            }],
            is_single_line_order,
            reason: RefundReason::Other,
            comment: None,
        };
        let of_line = order(&text(&several["id"]));
        let Progress::Pending(ticket) = refunds.refund(&of_line, &draft(&several, false)).await.unwrap()
        else {
            panic!()
        };
        let failing = self.sell(1, true);
        let of_order = order(&text(&failing["id"]));
        let Progress::Pending(lost) = refunds.refund(&of_order, &draft(&failing, true)).await.unwrap() else {
            panic!()
        };
        self.control("fail_refund", &json!({"id": failing["id"]}));
        let told = refunds.refunded(&of_order, &lost).await.unwrap();
        assert!(matches!(told, Progress::Refused(_)), "{told:?}");
        let listed = async |order: &FulfilmentOrder| {
            let listed = refunds.listed(order, "USD".parse().unwrap()).await.unwrap().unwrap();
            listed.into_iter().map(|one| (one.minor, one.is_by_hand)).collect::<Vec<_>>()
        };
        assert_eq!(listed(&of_order).await, []);
        self.control("refund", &json!({"id": failing["id"], "amount_minor": 70}));
        assert_eq!(listed(&of_order).await, [(70, true)], "before eBay has given it an id");
        self.clock.advance(Duration::from_secs(120));
        assert_eq!(listed(&of_order).await, [(70, true)]);
        assert_eq!(listed(&of_line).await, [(50, false)]);
        assert_eq!(refunds.refunded(&of_line, &ticket).await.unwrap(), Progress::Done);
    }

    /// Each call throttled and failing. Answers of any kind are fine: the gate looks at them.
    async fn every_refusal(&self) {
        let open = self.sell(2, true);
        let (id, line) = (text(&open["id"]), text(&open["lines"][0]["line_id"]));
        for kind in ["429", "500"] {
            for operation in OPERATIONS {
                // The parcels are asked for three times.
                self.control("fault", &json!({"operation": operation, "kind": kind, "count": 3}));
                let ebay = self.connector();
                let source = ebay.order_source().unwrap();
                drop(
                    source
                        .changed_orders(&Cursor::default(), PollStart { since: None, is_bulk: false })
                        .await,
                );
                drop(source.order(&id).await);
                let fulfilment = ebay.fulfilment().unwrap();
                drop(fulfilment.told_parcels(&order(&id)).await);
                drop(fulfilment.confirm_shipment(&order(&id), &parcel(&line)).await);
                let draft = RefundDraft {
                    key: "1".to_owned(),
                    currency: "USD".parse().unwrap(),
                    lines: vec![RefundLine {
                        external_line_id: line.clone(),
                        item_minor: 1,
                        shipping_minor: 0,
                        quantity_cancelled: 0,
                    }],
                    is_single_line_order: true,
                    reason: RefundReason::Complaint,
                    comment: None,
                };
                drop(ebay.refunds().unwrap().refund(&order(&id), &draft).await);
                drop(ebay.catalogue().unwrap().listings(None).await);
                // What is left of the fault strikes here.
                for _ in 0..3 {
                    drop(self.connector().order_source().unwrap().order(&id).await);
                    drop(self.connector().catalogue().unwrap().listings(None).await);
                }
            }
        }
    }
}

//! What the Etsy connector and the simulated Etsy say to each other, call by call: an engine sells on Etsy as it does on
//! Amazon, so that here the connector is driven by itself, into everything that Etsy can answer.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use eider::channels::consent::{ConsentAnswer, ConsentRequest};
use eider::channels::registry::channel;
use eider::channels::{Connector, ConnectorSetup, Cursor, FulfilmentOrder, PlacedWindow, PollStart};
use eider::clock::{Clock as _, ManualClock, SharedClock};
use eider::domain::id::ChannelName;
use eider::domain::shipment::ShipmentDraft;
use eider::http::Transport;
use eider::secret::Secret;
use eider::sim::{ETSY, MARKETPLACES, SimOptions, World};
use http::Request;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::gate::Exchange;
use super::traffic::{Recorder, connector, credentials, setup};

const START: PollStart = PollStart { since: None, is_bulk: false };

/// Every call and its answer.
pub async fn exchanges() -> Vec<Exchange> {
    let clock = Arc::new(ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap()));
    let options =
        SimOptions { orders: 260, rate_per_minute: 12, marketplaces: &MARKETPLACES, ..SimOptions::default() };
    let world = Arc::new(World::open(options, Arc::clone(&clock) as SharedClock).unwrap());
    let seen = Mutex::default();
    let etsy = Seller { recorder: Arc::new(Recorder { world, clock, seen }) };
    etsy.every_deed().await;
    etsy.every_refusal().await;
    std::mem::take(&mut *etsy.recorder.seen.lock().unwrap())
}

struct Seller {
    recorder: Arc<Recorder>,
}

impl Seller {
    /// A connector with the refresh token that is valid now.
    fn connects(&self) -> Arc<dyn Connector> {
        let own = credentials(&self.recorder.world).remove(ETSY).unwrap();
        let clock = Arc::clone(&self.recorder.clock) as SharedClock;
        connector(ETSY, own, Arc::clone(&self.recorder) as Arc<dyn Transport>, clock)
    }

    fn setup(&self) -> ConnectorSetup {
        let own = credentials(&self.recorder.world).remove(ETSY).unwrap();
        let clock = Arc::clone(&self.recorder.clock) as SharedClock;
        setup(ETSY, own, Arc::clone(&self.recorder) as Arc<dyn Transport>, clock)
    }

    fn control(&self, name: &str, body: &Value) -> Value {
        let (status, answer) = self.recorder.world.control(ETSY, name, Some(body));
        assert!(status.is_success(), "{name}: {status} {answer}");
        answer
    }

    fn fault(&self, operation: &str, kind: &str) {
        self.control("fault", &json!({"operation": operation, "kind": kind, "count": 2}));
    }

    fn sells(&self) -> String {
        let listings = self.recorder.world.control(ETSY, "listings", None).1;
        let own =
            listings.as_array().unwrap().iter().find(|one| one["fulfilled_by"] == "seller").unwrap().clone();
        let sold = json!({"sku": own["sku"], "quantity": 3, "personalization": "For Ann & \"Bo\""});
        self.control("sell", &sold)["id"].as_str().unwrap().to_owned()
    }

    /// Imports, sweeps, parcels, listings, a test and a consent.
    async fn every_deed(&self) {
        let etsy = self.connects();
        let source = etsy.order_source().unwrap();
        let mut cursor = Cursor::default();
        for _ in 0..3 {
            loop {
                let page = source.changed_orders(&cursor, START).await.unwrap();
                assert!(page.orders.iter().all(|order| order.facts.is_ok()));
                cursor = page.cursor;
                if !page.has_more {
                    break;
                }
            }
            self.recorder.clock.advance(std::time::Duration::from_secs(700));
        }
        self.recorder.clock.advance(std::time::Duration::from_secs(90_000));
        source.changed_orders(&cursor, START).await.unwrap();
        let order = FulfilmentOrder { external_id: self.sells(), site: None };
        let fulfilment = etsy.fulfilment().unwrap();
        for (carrier, tracking) in [("ups", "1Z999AA10123456784"), ("Bicycle Messengers", "BM-1")] {
            fulfilment.confirm_shipment(&order, &parcel(carrier, tracking)).await.unwrap();
        }
        let told = fulfilment.told_parcels(&order).await.unwrap().unwrap();
        assert_eq!(told.len(), 2);
        assert!(source.order(&order.external_id).await.unwrap().unwrap().facts.is_ok());
        let now = self.recorder.clock.now();
        let from = now - SignedDuration::from_hours(24 * 30);
        let window = PlacedWindow { from, until: now - SignedDuration::from_mins(5), is_bulk: true };
        assert!(!source.placed_orders(window, None).await.unwrap().external_ids.is_empty());
        let mut next = None;
        loop {
            let page = etsy.catalogue().unwrap().listings(next.as_deref()).await.unwrap();
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let report = etsy.probe().probe().await;
        assert!(report.is_ok(), "{report:?}");
        self.consents().await;
    }

    /// The merchant says yes on the simulated page, and the code becomes credentials that work.
    async fn consents(&self) {
        let setup = self.setup();
        let consent = channel(&ChannelName::from(ETSY)).unwrap().consent.unwrap();
        let plain =
            setup.credentials.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        let wanted =
            ConsentRequest { redirect_uri: "https://eider.test/back".to_owned(), state: "st".to_owned() };
        let begun = (consent.start)(&plain, setup.base_url.as_ref(), &wanted).unwrap();
        let page = format!("{}?{}", begun.url.path(), begun.url.query().unwrap());
        let request = Request::get(page).body(Bytes::new()).unwrap();
        let back = self.recorder.world.handle(ETSY, &request).response;
        let back: url::Url = back.headers()["location"].to_str().unwrap().parse().unwrap();
        let (_, code) = back.query_pairs().find(|(name, _)| name == "code").unwrap();
        let code = Secret::new(code.into_owned());
        let answer = ConsentAnswer { code, redirect_uri: wanted.redirect_uri, verifier: begun.verifier };
        let given = (consent.exchange)(setup, answer).await.unwrap();
        assert_eq!(given["shop_id"], plain["shop_id"]);
        assert_eq!(given["refresh_token"], credentials(&self.recorder.world)[ETSY]["refresh_token"].expose());
    }

    /// What Etsy refuses: each call failing, unauthorised, throttled, wrong, and behind the wall.
    async fn every_refusal(&self) {
        let order = FulfilmentOrder { external_id: self.sells(), site: None };
        for kind in ["429", "500", "401"] {
            for operation in
                ["getShopReceipts", "getShopReceipt", "createReceiptShipment", "getListingsByShop", "getShop"]
            {
                self.fault(operation, kind);
            }
            for _ in 0..2 {
                self.every_call(&order).await;
            }
        }
        for kind in ["500", "401"] {
            self.fault("getMe", kind);
            for _ in 0..2 {
                self.misused(
                    "getMe",
                    "GET",
                    "/v3/application/users/me",
                    "",
                    if kind == "500" { 500 } else { 401 },
                );
            }
        }
        self.every_call(&FulfilmentOrder { external_id: "1".to_owned(), site: None }).await;
        let cancelled = FulfilmentOrder { external_id: self.sells(), site: None };
        self.control("cancel", &json!({"id": cancelled.external_id}));
        self.every_call(&cancelled).await;
        self.control("wall", &json!({"on": true}));
        let walled = FulfilmentOrder { external_id: self.sells(), site: None };
        self.every_call(&walled).await;
        self.every_misuse(&walled.external_id);
    }

    /// Every call of the marketplace. Answers of any kind are fine: the gate looks at them.
    async fn every_call(&self, order: &FulfilmentOrder) {
        let etsy = self.connects();
        let source = etsy.order_source().unwrap();
        drop(source.changed_orders(&Cursor::default(), START).await);
        drop(source.order(&order.external_id).await);
        drop(etsy.fulfilment().unwrap().confirm_shipment(order, &parcel("USPS", "94001")).await);
        drop(etsy.catalogue().unwrap().listings(None).await);
        etsy.probe().probe().await;
    }

    /// What the connector never does wrong.
    fn every_misuse(&self, order: &str) {
        let shop = credentials(&self.recorder.world)[ETSY]["shop_id"].expose().to_owned();
        let shop = format!("/v3/application/shops/{shop}");
        let (receipts, one) = (format!("{shop}/receipts"), format!("{shop}/receipts/{order}"));
        let tracking = format!("{one}/tracking");
        for (operation, path, status) in [
            ("getShopReceipts", format!("{receipts}?limit=101"), 400),
            ("getShopReceipts", format!("{receipts}?min_created=5"), 400),
            ("getShopReceipts", format!("{receipts}?was_paid=perhaps"), 400),
            ("getShopReceipts", "/v3/application/shops/1/receipts".to_owned(), 404),
            ("getShopReceipt", format!("{receipts}/x"), 400),
            ("getShopReceipt", format!("{receipts}/1"), 404),
            ("getListingsByShop", format!("{shop}/listings?state=gone"), 400),
            ("getShop", "/v3/application/shops/x".to_owned(), 400),
            ("getShop", "/v3/application/shops/1".to_owned(), 404),
        ] {
            self.misused(operation, "GET", &path, "", status);
            // The key header without its secret.
            let status = if operation == "getShop" { status } else { 403 };
            if status == 403 {
                self.called(operation, "GET", &path, "", status, false);
            }
        }
        self.control("wall", &json!({"on": false}));
        for form in ["tracking_code=1Z", "carrier_name=nobody&tracking_code=1Z", "send_bcc=perhaps"] {
            self.misused("createReceiptShipment", "POST", &tracking, form, 400);
        }
        self.misused(
            "createReceiptShipment",
            "POST",
            &format!("{receipts}/1/tracking"),
            "tracking_code=1Z",
            404,
        );
    }

    fn misused(&self, operation: &str, method: &str, path: &str, form: &str, status: u16) {
        self.called(operation, method, path, form, status, true);
    }

    fn called(&self, operation: &str, method: &str, path: &str, form: &str, status: u16, has_secret: bool) {
        let own = credentials(&self.recorder.world).remove(ETSY).unwrap();
        let field = |name: &str| own[name].expose().to_owned();
        let key = if has_secret {
            format!("{}:{}", field("keystring"), field("shared_secret"))
        } else {
            field("keystring")
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "application/json")
            .header("x-api-key", key)
            .header(
                "authorization",
                format!("Bearer {}", self.access_token(&own["refresh_token"], &own["keystring"])),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form.to_owned()))
            .unwrap();
        let exchange = Exchange { is_right: false, ..Exchange::of(ETSY, operation, &request) };
        let answer = self.recorder.answer(exchange, &request).response;
        assert_eq!(answer.status().as_u16(), status, "{method} {path} {form}");
    }

    fn access_token(&self, refresh: &Secret, keystring: &Secret) -> String {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", keystring.expose())
            .append_pair("refresh_token", refresh.expose())
            .finish();
        let request = Request::post("/v3/public/oauth/token").body(Bytes::from(form)).unwrap();
        let answer = self.recorder.world.handle(ETSY, &request).response;
        let answer: Value = serde_json::from_slice(answer.body()).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

/// Every call that the connector makes, into a mock that answers the specification's examples.
pub async fn every_call(etsy: &dyn Connector, setup: ConnectorSetup) {
    let source = etsy.order_source().unwrap();
    let page = source.changed_orders(&Cursor::default(), START).await.unwrap();
    source.changed_orders(&page.cursor, START).await.unwrap();
    let at = |text: &str| text.parse().unwrap();
    let (from, until) = (at("2026-11-01T00:00:00Z"), at("2026-11-02T00:00:00Z"));
    source.placed_orders(PlacedWindow { from, until, is_bulk: false }, None).await.unwrap();
    assert!(source.order("9001").await.unwrap().is_some());
    let order = FulfilmentOrder { external_id: "9001".to_owned(), site: None };
    etsy.fulfilment().unwrap().confirm_shipment(&order, &parcel("Bicycle Messengers", "BM-1")).await.unwrap();
    etsy.fulfilment().unwrap().told_parcels(&order).await.unwrap();
    etsy.catalogue().unwrap().listings(None).await.unwrap();
    etsy.probe().probe().await;
    let consent = channel(&ChannelName::from(ETSY)).unwrap().consent.unwrap();
    let answer = ConsentAnswer {
        code: Secret::from("c"),
        redirect_uri: "https://eider.test/back".to_owned(),
        verifier: Some(Secret::from("v")),
    };
    // The mock's token comes without a refresh token: what counts is that the shop is asked for.
    drop((consent.exchange)(setup, answer).await);
}

fn parcel(carrier: &str, tracking: &str) -> ShipmentDraft {
    ShipmentDraft {
        parcel: 1,
        carrier: Some(carrier.to_owned()),
        service: None,
        tracking: Some(tracking.to_owned()),
        shipped_at: "2026-03-02T10:00:00Z".parse().unwrap(),
        lines: Vec::new(),
    }
}

//! eBay: tokens, lists, pages, what is taken back, parcels, what a restart keeps.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::quiet;
use crate::clock::ManualClock;
use crate::sim::{EBAY, SimOptions, World, ebay};

struct Bench {
    world: World,
    clock: Arc<ManualClock>,
    token: String,
}

fn options(orders: u32) -> SimOptions {
    SimOptions { orders, marketplaces: &[EBAY], ..quiet() }
}

impl Bench {
    fn new(options: SimOptions) -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-01T12:00:00Z".parse().unwrap()));
        let world = World::open(options, clock.clone()).unwrap();
        let mut bench = Self { world, clock, token: String::new() };
        bench.sign_in();
        bench
    }

    fn sign_in(&mut self) {
        let connections = self.world.connections(|_| String::new());
        let refresh = connections[1]["credentials"]["refresh_token"].as_str().unwrap().to_owned();
        let (status, body) = self.ask_token(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]);
        assert_eq!(status, 200, "{body}");
        self.token = body["access_token"].as_str().unwrap().to_owned();
    }

    fn ask_token(&self, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let pair = STANDARD.encode(format!("{}:{}", ebay::CLIENT_ID, ebay::CLIENT_SECRET));
        let request = Request::post("/identity/v1/oauth2/token")
            .header("authorization", format!("Basic {pair}"))
            .body(Bytes::from(form))
            .unwrap();
        let response = self.world.handle(EBAY, &request).response;
        (response.status(), serde_json::from_slice(response.body()).unwrap())
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .body(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())))
            .unwrap();
        let response = self.world.handle(EBAY, &request).response;
        (response.status(), serde_json::from_slice(response.body()).unwrap_or(Value::Null))
    }

    fn orders(&self, query: &str) -> Value {
        let (status, body) = self.call("GET", &format!("/sell/fulfillment/v1/order?{query}"), None);
        assert_eq!(status, 200, "{body}");
        body
    }

    fn order(&self, id: &Value) -> Value {
        self.call("GET", &format!("/sell/fulfillment/v1/order/{}", id.as_str().unwrap()), None).1
    }

    fn deed(&self, name: &str, body: &Value) -> Value {
        let (status, answer) = self.world.control(EBAY, name, Some(body));
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }

    fn truth(&self, name: &str) -> Value {
        self.world.control(EBAY, name, None).1
    }

    fn sell(&self, is_paid: bool) -> Value {
        let listings = self.truth("listings");
        let mut own = listings.as_array().unwrap().iter();
        let sku = own.find(|listing| listing["fulfilled_by"] == "seller").unwrap()["sku"].clone();
        self.deed("sell", &json!({"sku": sku, "quantity": 2, "paid": is_paid}))
    }
}

#[test]
fn pages_give_every_order_once_and_amounts_make_the_total() {
    let bench = Bench::new(options(230));
    let first = bench.orders("limit=200&offset=0");
    assert_eq!((&first["total"], first["next"].is_string()), (&json!(230), true));
    let second = bench.orders("limit=200&offset=200");
    assert_eq!((second["orders"].as_array().unwrap().len(), second["next"].is_null()), (30, true));
    let truth = bench.truth("orders");
    let cents = |amount: &Value| {
        crate::sim::money::parse_four_decimals(&amount["value"]).map_or(0, |value| value / 100)
    };
    for order in first["orders"].as_array().unwrap() {
        let stands = truth.as_array().unwrap().iter().find(|one| one["id"] == order["orderId"]).unwrap();
        let summary = &order["pricingSummary"];
        let parts = ["priceSubtotal", "priceDiscount", "deliveryCost", "deliveryDiscount", "tax"];
        let made: i64 = parts.iter().map(|part| cents(&summary[part])).sum();
        assert_eq!(made, cents(&summary["total"]), "{summary}");
        let lines = order["lineItems"].as_array().unwrap();
        let remitted: i64 = lines
            .iter()
            .filter_map(|line| line["ebayCollectAndRemitTaxes"].as_array())
            .flatten()
            .map(|tax| cents(&tax["amount"]))
            .sum();
        assert_eq!(json!(made + remitted), stands["total_minor"]);
    }
    assert_eq!(bench.call("GET", "/sell/fulfillment/v1/order?limit=201", None).0, 400);
}

#[test]
fn lists_are_by_change_or_by_creation_and_leave_out_the_unpaid() {
    let bench = Bench::new(options(0));
    let unpaid = bench.sell(false);
    let paid = bench.sell(true);
    bench.clock.advance(Duration::from_secs(100));
    let changed = "filter=lastmodifieddate:%5B2026-11-01T12:01:00.000Z..%5D";
    assert_eq!(bench.orders(changed)["total"], 0);
    bench.deed("pay", &json!({"id": unpaid["id"]}));
    assert_eq!(bench.orders(changed)["orders"][0]["orderId"], unpaid["id"]);
    assert_eq!(bench.orders("filter=creationdate:%5B2026-11-01T12:01:00.000Z..%5D")["total"], 0);
    // With both, only the creation counts.
    let both = "filter=creationdate:%5B2026-11-01T11:00:00.000Z..%5D,\
                lastmodifieddate:%5B2026-11-01T12:01:00.000Z..%5D";
    assert_eq!(bench.orders(both)["total"], 2);
    bench.deed("ship", &json!({"id": paid["id"], "carrier": "UPS", "tracking": "1Z"}));
    let waiting = "filter=orderfulfillmentstatus:%7BNOT_STARTED%7CIN_PROGRESS%7D";
    assert_eq!(bench.orders(waiting)["total"], 1);
    for raw in
        ["lastmodifieddate:[2026-11-01T12:01:00.000Z..]", "orderfulfillmentstatus:{NOT_STARTED|IN_PROGRESS}"]
    {
        let (status, _) = bench.call("GET", &format!("/sell/fulfillment/v1/order?filter={raw}"), None);
        assert_eq!(status, 400, "{raw}");
    }
}

#[test]
fn people_are_taken_back() {
    let bench = Bench::new(options(0));
    let id = bench.sell(true)["id"].clone();
    let ship_to = |order: &Value| order["fulfillmentStartInstructions"][0]["shippingStep"]["shipTo"].clone();
    let new = ship_to(&bench.order(&id));
    assert!(new["email"].is_string() && new["fullName"].is_string());
    let mut bench = bench;
    bench.clock.advance(Duration::from_secs(15 * 86_400));
    bench.sign_in();
    let old = ship_to(&bench.order(&id));
    assert!(old["email"].is_null() && old["contactAddress"]["addressLine1"].is_string());
    bench.clock.advance(Duration::from_secs(76 * 86_400));
    bench.sign_in();
    let older = ship_to(&bench.order(&id));
    assert!(older["fullName"].is_null() && older["contactAddress"]["addressLine1"].is_null());
    assert!(older["contactAddress"]["countryCode"].is_string());
}

#[test]
fn a_parcel_without_tracking_number_that_is_told_twice_is_two() {
    let bench = Bench::new(options(0));
    let sold = bench.sell(true);
    let path = format!("/sell/fulfillment/v1/order/{}/shipping_fulfillment", sold["id"].as_str().unwrap());
    let mut body = json!({"lineItems": [{"lineItemId": sold["lines"][0]["line_id"], "quantity": 1}]});
    for _ in 0..2 {
        assert_eq!(bench.call("POST", &path, Some(&body)).0, 201);
    }
    let (_, parcels) = bench.call("GET", &path, None);
    assert_eq!((&parcels["total"], &parcels["fulfillments"][1]["fulfillmentId"]), (&json!(2), &json!("999")));
    body["trackingNumber"] = json!("1Z");
    assert_eq!(bench.call("POST", &path, Some(&body)).0, 400);
    body["shippingCarrierCode"] = json!("UPS");
    assert_eq!(bench.call("POST", &path, Some(&body)).0, 201);
    assert_eq!(bench.call("POST", &path, Some(&body)).0, 409);
    assert_eq!(bench.order(&sold["id"])["orderFulfillmentStatus"], "FULFILLED");
}

#[test]
fn a_refund_has_the_id_that_it_was_asked_for_with_and_a_status_on_the_order_only() {
    let bench = Bench::new(options(0));
    let sold = bench.sell(true);
    let path = format!("/sell/fulfillment/v1/order/{}/issue_refund", sold["id"].as_str().unwrap());
    let amount = json!({"value": "1.00", "currency": "USD"});
    let whole = json!({"reasonForRefund": "OTHER_ADJUSTMENT", "orderLevelRefundAmount": amount});
    let item = json!({"lineItemId": sold["lines"][0]["line_id"], "refundAmount": amount});
    let of_line = json!({"reasonForRefund": "OTHER_ADJUSTMENT", "refundItems": [item]});
    let fields = |refund: &Value| {
        let names: std::collections::BTreeSet<String> = refund.as_object().unwrap().keys().cloned().collect();
        names.into_iter().collect::<Vec<_>>()
    };
    let (_, first) = bench.call("POST", &path, Some(&whole));
    bench.deed("refund", &json!({"id": sold["id"], "amount_minor": 100}));
    let (_, last) = bench.call("POST", &path, Some(&of_line));
    let both = |order: &Value| {
        (order["paymentSummary"]["refunds"].clone(), order["lineItems"][0]["refunds"].clone())
    };
    let (of_order, of_lines) = both(&bench.order(&sold["id"]));
    assert_eq!(of_order.as_array().unwrap().len(), 2);
    assert_eq!(
        (&of_order[0]["refundId"], fields(&of_order[1])),
        (&first["refundId"], vec_of(&["amount", "refundStatus"]))
    );
    assert_eq!(
        (&of_lines[0]["refundId"], fields(&of_lines[0])),
        (&last["refundId"], vec_of(&["amount", "refundId"]))
    );
    // The newest fails; the others go through.
    bench.deed("fail_refund", &json!({"id": sold["id"]}));
    bench.clock.advance(Duration::from_secs(120));
    assert_eq!(bench.world.control(EBAY, "fail_refund", Some(&json!({"id": sold["id"]}))).0, 409);
    let (of_order, of_lines) = both(&bench.order(&sold["id"]));
    assert_eq!(
        (of_order[0]["refundStatus"].as_str(), fields(&of_order[1])),
        (Some("REFUNDED"), vec_of(&["amount", "refundDate", "refundReferenceId", "refundStatus"]))
    );
    assert_eq!(fields(&of_lines[0]), vec_of(&["amount", "refundId"]));
    let stands = &bench.truth("orders")[0]["refunds"];
    assert_eq!(stands.as_array().unwrap().len(), 2, "what failed went back to nobody");
}

fn vec_of(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn tokens_are_of_the_seller_or_of_the_application_and_die() {
    let mut bench = Bench::new(options(0));
    let (_, body) = bench.ask_token(&[("grant_type", "client_credentials"), ("scope", "s")]);
    let sellers = std::mem::replace(&mut bench.token, body["access_token"].as_str().unwrap().to_owned());
    assert_eq!(bench.call("GET", "/sell/fulfillment/v1/order", None).0, 403);
    assert_eq!(bench.call("GET", "/commerce/notification/v1/topic/ORDER_CONFIRMATION", None).0, 200);
    bench.token = sellers;
    assert_eq!(bench.call("GET", "/commerce/notification/v1/topic/ORDER_CONFIRMATION", None).0, 403);
    bench.clock.advance(Duration::from_secs(7_201));
    assert_eq!(bench.call("GET", "/sell/fulfillment/v1/order", None).0, 401);
    bench.sign_in();
    bench.deed("revoke", &json!({}));
    assert_eq!(bench.call("GET", "/sell/fulfillment/v1/order", None).0, 401);
    let code =
        [("grant_type", "authorization_code"), ("code", ebay::CONSENT_CODE), ("redirect_uri", ebay::RU_NAME)];
    let (status, body) = bench.ask_token(&code);
    assert_eq!((status.as_u16(), body["refresh_token"].is_string()), (200, true));
}

#[test]
fn the_page_of_ebay_gives_a_code_to_its_own_application_alone() {
    let bench = Bench::new(options(0));
    let ask = |client: &str| {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", client)
            .append_pair("redirect_uri", ebay::RU_NAME)
            .append_pair("scope", "s")
            .append_pair("state", "a b")
            .finish();
        let request = Request::get(format!("/oauth2/authorize?{query}")).body(Bytes::new()).unwrap();
        bench.world.handle(EBAY, &request).response
    };
    let back = ask(ebay::CLIENT_ID);
    assert_eq!(back.status(), 302);
    let back = url::Url::parse(back.headers()["location"].to_str().unwrap()).unwrap();
    let said: Vec<(String, String)> = back.query_pairs().into_owned().collect();
    assert!(said.contains(&("code".to_owned(), ebay::CONSENT_CODE.to_owned())), "{said:?}");
    assert!(said.contains(&("state".to_owned(), "a b".to_owned())), "{said:?}");
    assert_eq!(ask("another").status(), 400);
}

#[test]
fn a_grant_tells_whose_it_is_where_it_has_the_scope() {
    let mut bench = Bench::new(options(0));
    let user = |bench: &Bench| bench.call("GET", "/commerce/identity/v1/user/", None);
    assert_eq!(user(&bench).1["userId"], ebay::USER_ID);
    bench.deed("sign_in", &json!({"other": true}));
    let code =
        [("grant_type", "authorization_code"), ("code", ebay::CONSENT_CODE), ("redirect_uri", ebay::RU_NAME)];
    let granted = bench.ask_token(&code).1;
    let refresh = granted["refresh_token"].as_str().unwrap().to_owned();
    let (_, renewed) = bench.ask_token(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]);
    for body in [granted, renewed] {
        bench.token = body["access_token"].as_str().unwrap().to_owned();
        assert_eq!(user(&bench).1["userId"], ebay::OTHER_USER_ID);
        assert_eq!(bench.call("GET", "/sell/fulfillment/v1/order", None).0, 403);
    }
    // The owner's grant lives on.
    bench.sign_in();
    assert_eq!(bench.call("GET", "/sell/fulfillment/v1/order", None).0, 200);
    bench.deed("hide_seller", &json!({"on": true}));
    assert_eq!(user(&bench).0, 403);
}

#[test]
fn a_restart_continues() {
    let folder = tempfile::tempdir().unwrap();
    let kept = SimOptions { folder: Some(folder.path().to_owned()), ..options(20) };
    let bench = Bench::new(kept.clone());
    let sold = bench.sell(true);
    bench.deed("ship", &json!({"id": sold["id"], "carrier": "UPS", "tracking": "1Z"}));
    let next = bench.sell(true);
    bench.deed("cancel", &json!({"id": next["id"]}));
    let before = (bench.truth("orders"), bench.truth("listings"), bench.orders("limit=200"));
    drop(bench);
    let bench = Bench::new(kept);
    assert_eq!((bench.truth("orders"), bench.truth("listings"), bench.orders("limit=200")), before);
    assert_ne!(bench.sell(true)["id"], sold["id"]);
}

#[test]
fn orders_arrive_on_every_marketplace_that_is_named() {
    let busy = SimOptions { rate_per_minute: 60, marketplaces: &crate::sim::MARKETPLACES, ..quiet() };
    let clock = Arc::new(ManualClock::new("2026-11-01T12:00:00Z".parse().unwrap()));
    let world = World::open(busy, clock.clone()).unwrap();
    clock.advance(Duration::from_secs(600));
    let count = |platform: &str| {
        world.control(platform, "orders", None).1.as_array().map(Vec::len).unwrap_or_default()
    };
    for platform in crate::sim::MARKETPLACES {
        assert!((150..400).contains(&count(platform)), "{platform}: {}", count(platform));
    }
}

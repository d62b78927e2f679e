//! The simulated platforms by their own calls, on a clock that the test moves.

mod amazon;
mod bigcommerce;
mod ebay;
mod etsy;
mod persistence;
mod served;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AMAZON, BIGCOMMERCE, Delivery, SimOptions, World};
use crate::clock::ManualClock;

/// A world, its clock, and somebody who calls it.
struct Bench {
    world: World,
    clock: Arc<ManualClock>,
    amazon_token: String,
    shop_token: String,
}

/// A quiet world: no back catalogue, no arrivals, no faults.
fn quiet() -> SimOptions {
    SimOptions { orders: 0, rate_per_minute: 0, ..SimOptions::default() }
}

impl Bench {
    fn new(options: SimOptions) -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-01T12:00:00Z".parse::<Timestamp>().unwrap()));
        let world = World::open(options, clock.clone()).unwrap();
        let mut bench = Self { world, clock, amazon_token: String::new(), shop_token: String::new() };
        bench.sign_in();
        bench
    }

    fn sign_in(&mut self) {
        let connections = self.world.connections(|_| String::new());
        self.shop_token = connections[0]["credentials"]["access_token"].as_str().unwrap().to_owned();
        let (status, body) = self.token(connections[1]["credentials"]["refresh_token"].as_str().unwrap());
        assert_eq!(status, 200, "{body}");
        self.amazon_token = body["access_token"].as_str().unwrap().to_owned();
    }

    fn token(&self, refresh_token: &str) -> (StatusCode, Value) {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", super::amazon::CLIENT_ID)
            .append_pair("client_secret", super::amazon::CLIENT_SECRET)
            .append_pair("refresh_token", refresh_token)
            .finish();
        let request = Request::post("/auth/o2/token").body(Bytes::from(form)).unwrap();
        let response = self.world.handle(AMAZON, &request).response;
        (response.status(), serde_json::from_slice(response.body()).unwrap())
    }

    fn reply(&self, platform: &str, method: &str, path: &str, body: Option<&Value>) -> super::Reply {
        let path = if platform == AMAZON { path.to_owned() } else { format!("/stores/eidersim01{path}") };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-amz-access-token", &self.amazon_token)
            .header("x-auth-token", &self.shop_token)
            .body(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())))
            .unwrap();
        self.world.handle(platform, &request)
    }

    fn call(&self, platform: &str, method: &str, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let reply = self.reply(platform, method, path, body);
        assert_eq!(reply.delivery, Delivery::Now, "{method} {path}");
        let body = serde_json::from_slice(reply.response.body()).unwrap_or(Value::Null);
        (reply.response.status(), body)
    }

    fn amazon(&self, method: &str, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        self.call(AMAZON, method, path, body)
    }

    fn shop(&self, method: &str, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        self.call(BIGCOMMERCE, method, path, body)
    }

    /// A deed that must succeed.
    fn deed(&self, platform: &str, name: &str, body: &Value) -> Value {
        let (status, answer) = self.world.control(platform, name, Some(body));
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }

    fn truth(&self, platform: &str, name: &str) -> Value {
        self.world.control(platform, name, None).1
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A SKU that both Amazon (shipped by the seller) and the shop sell.
    fn shared_sku(&self) -> String {
        let listings = self.truth(AMAZON, "listings");
        let variants = self.truth(BIGCOMMERCE, "listings");
        let known = |sku: &Value| variants.as_array().unwrap().iter().any(|variant| variant["sku"] == *sku);
        let shared = |listing: &&Value| listing["fulfilled_by"] == "seller" && known(&listing["sku"]);
        listings.as_array().unwrap().iter().find(shared).unwrap()["sku"].as_str().unwrap().to_owned()
    }
}

/// A shop order's body: a catalogue line of `sku` and a custom line.
fn shop_order(bench: &Bench, sku: &str, quantity: i64) -> Value {
    let (_, variants) = bench.shop("GET", &format!("/v3/catalog/variants?sku={sku}"), None);
    let variant = &variants["data"][0];
    json!({
        "status_id": 9,
        "external_order_id": "111-0000001-0000001",
        "external_source": "eider:amazon:seller:installation",
        "payment_method": "Amazon",
        "billing_address": {
            "first_name": "Zoë", "last_name": "O'Neill", "street_1": "1 Main St", "city": "Austin",
            "state": "Texas", "zip": "78701", "country": "United States", "country_iso2": "US",
            "email": "zoe@example.com"
        },
        "products": [
            {"product_id": variant["product_id"], "variant_id": variant["id"], "quantity": quantity,
             "price_ex_tax": 10.00, "price_inc_tax": 10.83},
            {"name": "Fee & <more>", "quantity": 1, "price_ex_tax": "1.5000", "price_inc_tax": "1.5000"}
        ]
    })
}

//! The simulated Etsy by its own calls.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::Digest as _;

use super::super::etsy::{KEYSTRING, SHARED_SECRET, SHOP_ID};
use super::*;
use crate::sim::{ETSY, FaultRate, MARKETPLACES, Quotas};

/// An Etsy, and somebody who calls it.
struct Shop {
    bench: Bench,
    token: String,
}

fn selling(options: SimOptions) -> Shop {
    let bench = Bench::new(SimOptions { marketplaces: &MARKETPLACES, ..options });
    let (status, granted) =
        grant(&bench, &[("grant_type", "refresh_token"), ("refresh_token", &refresh(&bench))]);
    assert_eq!(status, 200, "{granted}");
    Shop { token: granted["access_token"].as_str().unwrap().to_owned(), bench }
}

fn refresh(bench: &Bench) -> String {
    let connections = bench.world.connections(|_| String::new());
    let etsy = connections.as_array().unwrap().iter().find(|one| one["channel"] == ETSY).unwrap().clone();
    etsy["credentials"]["refresh_token"].as_str().unwrap().to_owned()
}

fn grant(bench: &Bench, fields: &[(&str, &str)]) -> (StatusCode, Value) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("client_id", KEYSTRING).extend_pairs(fields);
    let request = Request::post("/v3/public/oauth/token").body(Bytes::from(form.finish())).unwrap();
    let response = bench.world.handle(ETSY, &request).response;
    (response.status(), serde_json::from_slice(response.body()).unwrap())
}

impl Shop {
    fn request(&self, method: &str, path: &str, form: Option<&str>) -> Request<Bytes> {
        Request::builder()
            .method(method)
            .uri(format!("/v3/application/{path}"))
            .header("x-api-key", format!("{KEYSTRING}:{SHARED_SECRET}"))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form.unwrap_or_default().to_owned()))
            .unwrap()
    }

    fn call(&self, method: &str, path: &str, form: Option<&str>) -> (StatusCode, Value) {
        let reply = self.bench.world.handle(ETSY, &self.request(method, path, form));
        assert_eq!(reply.delivery, Delivery::Now, "{method} {path}");
        (reply.response.status(), serde_json::from_slice(reply.response.body()).unwrap_or(Value::Null))
    }

    fn receipts(&self, query: &str) -> Vec<Value> {
        let (status, body) = self.call("GET", &format!("shops/{SHOP_ID}/receipts?limit=100&{query}"), None);
        assert_eq!(status, 200, "{body}");
        body["results"].as_array().unwrap().clone()
    }

    fn receipt(&self, id: &str) -> Value {
        self.call("GET", &format!("shops/{SHOP_ID}/receipts/{id}"), None).1
    }

    fn sell(&self, extra: &Value) -> String {
        let listings = self.bench.truth(ETSY, "listings");
        let one =
            listings.as_array().unwrap().iter().find(|one| one["fulfilled_by"] == "seller").unwrap().clone();
        let mut body = json!({"sku": one["sku"], "quantity": 2});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.bench.deed(ETSY, "sell", &body)["id"].as_str().unwrap().to_owned()
    }

    fn mails(&self) -> usize {
        self.bench.truth(ETSY, "mails").as_array().unwrap().len()
    }
}

#[test]
fn a_refresh_token_works_once_and_a_code_only_with_its_verifier() {
    let shop = selling(quiet());
    let first = refresh(&shop.bench);
    let (_, granted) = grant(&shop.bench, &[("grant_type", "refresh_token"), ("refresh_token", &first)]);
    assert_eq!(granted["refresh_token"], refresh(&shop.bench));
    let (status, again) = grant(&shop.bench, &[("grant_type", "refresh_token"), ("refresh_token", &first)]);
    assert_eq!((status.as_u16(), &again["error"]), (400, &json!("invalid_grant")));

    let verifier = "v".repeat(43);
    let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&verifier));
    let page = format!(
        "/oauth/connect?response_type=code&client_id={KEYSTRING}&redirect_uri=https%3A%2F%2Fe.example%2Fback&scope=shops_r\
         &state=st&code_challenge={challenge}&code_challenge_method=S256"
    );
    let code = || {
        let request = Request::get(&page).body(Bytes::new()).unwrap();
        let response = shop.bench.world.handle(ETSY, &request).response;
        assert_eq!(response.status(), 302);
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        let query = location.strip_prefix("https://e.example/back?").unwrap().to_owned();
        let fields: std::collections::BTreeMap<_, _> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!(fields["state"], "st");
        fields["code"].clone()
    };
    let exchange = |code: &str, verifier: &str| {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", verifier),
            ("redirect_uri", "https://e.example/back"),
        ];
        grant(&shop.bench, &fields).0.as_u16()
    };
    let good = code();
    assert_eq!(exchange(&good, &verifier), 200);
    assert_eq!(exchange(&good, &verifier), 400, "it works once");
    assert_eq!(exchange(&code(), "other"), 400);
}

#[test]
fn another_shops_owner_gets_a_grant_of_that_shop_alone() {
    let mut shop = selling(quiet());
    let theirs = shop.bench.deed(ETSY, "sign_in", &json!({"other": true}));
    let refresh = theirs["refresh_token"].as_str().unwrap();
    let (_, granted) = grant(&shop.bench, &[("grant_type", "refresh_token"), ("refresh_token", refresh)]);
    let own = std::mem::replace(&mut shop.token, granted["access_token"].as_str().unwrap().to_owned());
    assert_eq!(
        shop.call("GET", "users/me", None).1["shop_id"].to_string(),
        theirs["shop_id"].as_str().unwrap()
    );
    assert_eq!(shop.call("GET", &format!("shops/{SHOP_ID}/receipts"), None).0, 403);
    shop.token = own;
    assert_eq!(shop.call("GET", "users/me", None).1["shop_id"], SHOP_ID);
    assert_eq!(shop.call("GET", &format!("shops/{SHOP_ID}/receipts"), None).0, 200);
}

#[test]
fn the_key_header_needs_its_secret_and_the_token_its_life() {
    let shop = selling(quiet());
    let asked = |key: Option<&str>, token: &str| {
        let mut request = shop.request("GET", "users/me", None);
        request.headers_mut().remove("x-api-key");
        if let Some(key) = key {
            request.headers_mut().insert("x-api-key", key.parse().unwrap());
        }
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let response = shop.bench.world.handle(ETSY, &request).response;
        (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
    };
    let key = format!("{KEYSTRING}:{SHARED_SECRET}");
    assert_eq!(asked(Some(&key), &shop.token).0, 200);
    assert!(asked(Some(KEYSTRING), &shop.token).1.contains("Shared secret is required"));
    assert_eq!(asked(None, &shop.token).0, 403);
    assert_eq!(asked(Some(&key), "1.dead").0, 401);
    shop.bench.pass(3_601);
    assert!(asked(Some(&key), &shop.token).1.contains("expired"));
}

#[test]
fn every_call_that_tells_of_a_parcel_sends_a_mail() {
    let shop = selling(quiet());
    let id = shop.sell(&json!({}));
    let path = format!("shops/{SHOP_ID}/receipts/{id}/tracking");
    for wrong in [
        "",
        "tracking_code=1Z",
        "tracking_code=1Z&carrier_name=Nobody",
        "tracking_code=1Z&carrier_name=ups&send_bcc=x",
    ] {
        assert_eq!(shop.call("POST", &path, Some(wrong)).0, 400, "{wrong}");
    }
    assert_eq!(shop.mails(), 0);
    let updated = shop.receipt(&id)["update_timestamp"].clone();
    shop.bench.pass(60);
    for count in 1..=2 {
        let (status, receipt) =
            shop.call("POST", &path, Some("tracking_code=1Z&carrier_name=UPS&send_bcc=false"));
        assert_eq!((status.as_u16(), shop.mails()), (200, count));
        assert_eq!((&receipt["status"], &receipt["is_shipped"]), (&json!("Completed"), &json!(true)));
        assert_eq!(receipt["shipments"].as_array().unwrap().len(), count);
    }
    assert_ne!(shop.receipt(&id)["update_timestamp"], updated);
    let other = shop.sell(&json!({}));
    shop.bench.deed(ETSY, "wall", &json!({"on": true}));
    let path = format!("shops/{SHOP_ID}/receipts/{other}/tracking");
    let (status, refusal) = shop.call("POST", &path, Some("tracking_code=1Z&carrier_name=UPS"));
    assert_eq!((status.as_u16(), refusal), (403, json!({"error": "Unauthorized"})));
    let walled = shop.receipt(&other);
    assert!(walled["first_line"].is_null() && walled["zip"].is_null() && !walled["name"].is_null());
    shop.bench.deed(ETSY, "wall", &json!({"on": false}));
    shop.bench.deed(ETSY, "cancel", &json!({"id": other}));
    assert_eq!(shop.call("POST", &path, Some("tracking_code=1Z&carrier_name=UPS")).0, 409);
    assert_eq!(shop.mails(), 2);
}

#[test]
fn cancellations_and_refunds_do_not_move_the_time_of_change() {
    let shop = selling(quiet());
    let (cancelled, refunded) = (shop.sell(&json!({})), shop.sell(&json!({})));
    let updated = |id: &str| shop.receipt(id)["update_timestamp"].clone();
    let before = (updated(&cancelled), updated(&refunded));
    shop.bench.pass(3_000);
    shop.bench.deed(ETSY, "cancel", &json!({"id": cancelled}));
    shop.bench.deed(ETSY, "refund", &json!({"id": refunded, "amount_minor": 100}));
    assert_eq!((updated(&cancelled), updated(&refunded)), before);
    let now = shop.bench.truth(ETSY, "clock")["now"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(shop.receipts(&format!("min_last_modified={}", now.as_second() - 600)).is_empty());
    let swept = shop.receipts("was_canceled=true");
    assert_eq!(swept.len(), 1);
    assert_eq!(
        (&swept[0]["status"], swept[0]["refunds"][0]["amount"]["amount"].as_i64().is_some()),
        (&json!("Canceled"), true)
    );
    let open = shop.receipts("was_paid=true&was_shipped=false&was_canceled=false");
    assert_eq!((open.len(), &open[0]["status"]), (1, &json!("Partially Refunded")));
    assert_eq!(shop.receipts("was_canceled=false").len(), 1);
}

#[test]
fn a_receipt_sums_and_is_escaped_as_etsy_writes_it() {
    let shop = selling(SimOptions { orders: 120, ..quiet() });
    let mut offset = 0;
    let mut count = 0;
    loop {
        let page = shop.receipts(&format!("sort_on=created&sort_order=asc&offset={offset}"));
        if page.is_empty() {
            break;
        }
        for receipt in &page {
            let of = |name: &str| receipt[name]["amount"].as_i64().unwrap();
            let parts = of("total_price") - of("discount_amt")
                + of("total_shipping_cost")
                + of("total_tax_cost")
                + of("total_vat_cost")
                + of("gift_wrap_price");
            assert_eq!(parts, of("grandtotal"));
            for line in receipt["transactions"].as_array().unwrap() {
                let title = line["title"].as_str().unwrap();
                assert!(title.contains("&#39;") && !title.contains('\''), "{title}");
            }
        }
        count += page.len();
        offset += 100;
    }
    assert!((100..=120).contains(&count), "{count}");
    let id = shop.sell(&json!({"personalization": "Ann & \"Bo\""}));
    let variations = shop.receipt(&id)["transactions"][0]["variations"].clone();
    let last = variations.as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["formatted_value"], "Ann &amp; &quot;Bo&quot;");
}

#[test]
fn quotas_hold_by_the_second_and_by_the_rolling_day() {
    let shop = selling(SimOptions { quotas: Quotas::Real, ..quiet() });
    let me = || {
        let response = shop.bench.world.handle(ETSY, &shop.request("GET", "users/me", None)).response;
        let header = |name: &str| response.headers()[name].to_str().unwrap().parse::<i64>().unwrap();
        (response.status().as_u16(), header("x-remaining-this-second"), header("x-remaining-today"))
    };
    for call in 1..=10 {
        assert_eq!(me(), (200, 10 - call, 10_000 - call));
    }
    assert_eq!(me().0, 429);
    shop.bench.pass(1);
    let mut left = 9_990;
    while left > 0 {
        shop.bench.clock.advance(Duration::from_millis(350));
        let (status, _, today) = me();
        assert_eq!(status, 200);
        left = today;
    }
    shop.bench.pass(1);
    let response = shop.bench.world.handle(ETSY, &shop.request("GET", "users/me", None)).response;
    assert_eq!(response.status(), 429);
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<i64>().unwrap() > 3_600);
    assert!(String::from_utf8_lossy(response.body()).contains("day"));
}

#[test]
fn a_lagging_read_sees_what_stood_there_before() {
    let shop = selling(quiet());
    let id = shop.sell(&json!({}));
    shop.bench.pass(600);
    shop.bench.deed(ETSY, "cancel", &json!({"id": id}));
    let stale = || shop.bench.deed(ETSY, "fault", &json!({"kind": "stale"}));
    stale();
    assert_eq!(shop.receipt(&id)["status"], "Paid");
    stale();
    assert!(shop.receipts("was_canceled=true").is_empty());
    assert_eq!(shop.receipt(&id)["status"], "Canceled");
}

#[test]
fn misuse_is_refused() {
    let shop = selling(quiet());
    let base = format!("shops/{SHOP_ID}/receipts");
    for (path, status) in [
        (format!("{base}?limit=101"), 400),
        (format!("{base}?limit=0"), 400),
        (format!("{base}?sort_on=price"), 400),
        (format!("{base}?min_created=5"), 400),
        (format!("{base}?was_paid=yes"), 400),
        (format!("{base}/x"), 400),
        (format!("{base}/1"), 404),
        ("shops/1/receipts".to_owned(), 404),
        ("listings/1/inventory".to_owned(), 404),
        ("nothing".to_owned(), 404),
    ] {
        assert_eq!(shop.call("GET", &path, None).0, status, "{path}");
    }
}

#[test]
fn a_restart_keeps_receipts_grants_and_mails() {
    let folder = tempfile::tempdir().unwrap();
    let options = || SimOptions { orders: 30, folder: Some(folder.path().to_owned()), ..quiet() };
    let shop = selling(options());
    let id = shop.sell(&json!({}));
    let form = Some("tracking_code=1Z&carrier_name=UPS");
    shop.call("POST", &format!("shops/{SHOP_ID}/receipts/{id}/tracking"), form);
    let truths = |bench: &Bench| ["orders", "listings", "mails"].map(|name| bench.truth(ETSY, name));
    let (before, token) = (truths(&shop.bench), refresh(&shop.bench));
    drop(shop);
    let again = Bench::new(SimOptions { marketplaces: &MARKETPLACES, ..options() });
    assert_eq!((truths(&again), refresh(&again)), (before, token));
}

#[test]
fn orders_arrive_on_both_marketplaces_and_live_on() {
    let options = SimOptions { rate_per_minute: 60, faults: FaultRate::Off, ..quiet() };
    let shop = selling(options);
    shop.bench.deed(ETSY, "clock", &json!({"advance_s": 7_200}));
    let orders = shop.bench.truth(ETSY, "orders");
    let count =
        |status: &str| orders.as_array().unwrap().iter().filter(|order| order["status"] == status).count();
    assert!(count("open") > 100 && count("cancelled") > 10 && count("shipped") > 5, "{}", count("open"));
    let refunded = orders
        .as_array()
        .unwrap()
        .iter()
        .filter(|order| order["status"] != "cancelled" && order["refunded_minor"].as_i64() > Some(0));
    assert!(refunded.count() > 3);
    assert!(shop.bench.truth(AMAZON, "orders").as_array().unwrap().len() > 100);
}

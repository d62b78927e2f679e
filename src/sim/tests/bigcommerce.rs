//! The store: orders, stock, shipments, lists, quotas, faults.

use serde_json::{Value, json};

use super::{AMAZON, BIGCOMMERCE, Bench, Delivery, quiet, shop_order};
use crate::sim::{Quotas, SimOptions, StockRule};

fn level(bench: &Bench, sku: &str) -> i64 {
    let (_, body) = bench.shop("GET", &format!("/v3/catalog/variants?sku={sku}"), None);
    body["data"][0]["inventory_level"].as_i64().unwrap()
}

#[test]
fn a_created_order_counts_its_totals_takes_stock_and_is_found_by_its_external_id() {
    let bench = Bench::new(quiet());
    let sku = bench.shared_sku();
    let before = level(&bench, &sku);
    assert_eq!(bench.shop("GET", "/v2/orders?external_order_id=111-0000001-0000001", None).0, 204);
    let (status, order) = bench.shop("POST", "/v2/orders", Some(&shop_order(&bench, &sku, 2)));
    assert_eq!(status, 200, "{order}");
    assert_eq!(order["subtotal_ex_tax"], "21.5000");
    assert_eq!(order["total_inc_tax"], "23.1600");
    assert_eq!(order["date_created"], "Sun, 01 Nov 2026 12:00:00 +0000");
    assert_eq!(order["products"]["resource"], "/orders/100/products");
    assert_eq!(level(&bench, &sku), before - 2);
    let (_, found) = bench.shop("GET", "/v2/orders?external_order_id=111-0000001-0000001", None);
    assert_eq!(found.as_array().unwrap().len(), 1);
    let (_, lines) = bench.shop("GET", "/v2/orders/100/products", None);
    assert_eq!((&lines[0]["sku"], &lines[1]["product_id"]), (&json!(sku), &json!(0)));
    let (_, addresses) = bench.shop("GET", "/v2/orders/100/shipping_addresses", None);
    assert_eq!(addresses[0]["state"], "Texas");
}

#[test]
fn one_price_of_a_pair_makes_the_total_wrong_and_one_override_is_refused() {
    let bench = Bench::new(quiet());
    let mut body = shop_order(&bench, &bench.shared_sku(), 1);
    body["products"][0].as_object_mut().unwrap().remove("price_ex_tax");
    let (_, order) = bench.shop("POST", "/v2/orders", Some(&body));
    assert_eq!(order["total_tax"], "0.0000", "the tax is lost");
    body["total_inc_tax"] = json!("5.00");
    assert_eq!(bench.shop("POST", "/v2/orders", Some(&body)).0, 400);
    body["total_ex_tax"] = json!(4.5);
    let (_, order) = bench.shop("POST", "/v2/orders", Some(&body));
    assert_eq!((&order["total_inc_tax"], &order["total_tax"]), (&json!("5.0000"), &json!("0.5000")));
}

#[test]
fn what_the_store_cannot_take_is_refused_in_its_own_words() {
    let bench = Bench::new(quiet());
    let sku = bench.shared_sku();
    let good = shop_order(&bench, &sku, 1);
    let spoil = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        let (status, answer) = bench.shop("POST", "/v2/orders", Some(&body));
        assert_eq!((status.as_u16(), &answer[0]["status"]), (400, &json!(400)), "{answer}");
        answer[0]["message"].as_str().unwrap().to_owned()
    };
    assert!(spoil(&|body| body["billing_address"]["zip"] = json!("7")).contains("zip"));
    assert!(spoil(&|body| body["billing_address"]["state"] = json!("TX")).contains("state"));
    assert!(spoil(&|body| body["billing_address"]["country_iso2"] = json!("XX")).contains("country"));
    assert!(spoil(&|body| body["products"] = json!([])).contains("products"));
    assert!(spoil(&|body| body["products"][0]["product_id"] = json!(9_999)).contains("product_id"));
    assert!(spoil(&|body| body["products"][0]["quantity"] = json!(1_000_000)).contains("enough stock"));
    assert_eq!(bench.truth(BIGCOMMERCE, "shop_orders"), json!([]), "nothing was created");
    bench.deed(BIGCOMMERCE, "stock", &json!({"sku": sku, "quantity": 0}));
    assert!(spoil(&|_| ()).contains("enough stock"));
    bench.deed(BIGCOMMERCE, "stock", &json!({"sku": sku, "quantity": 1}));
    assert_eq!(bench.shop("POST", "/v2/orders", Some(&good)).0, 200);
}

#[test]
fn cancelling_gives_stock_back_and_the_rule_says_when_it_is_taken() {
    for (rule, placed, shipped, cancelled) in
        [(StockRule::Placement, 2, 2, 0), (StockRule::Completion, 0, 2, 0), (StockRule::Off, 0, 0, 0)]
    {
        let bench = Bench::new(SimOptions { stock_rule: rule, ..quiet() });
        let sku = bench.shared_sku();
        let before = level(&bench, &sku);
        let taken = |bench: &Bench| before - level(bench, &sku);
        bench.shop("POST", "/v2/orders", Some(&shop_order(&bench, &sku, 2)));
        assert_eq!(taken(&bench), placed, "{rule:?} placed");
        bench.shop("PUT", "/v2/orders/100", Some(&json!({"status_id": 10})));
        assert_eq!(taken(&bench), shipped, "{rule:?} completed");
        bench.shop("PUT", "/v2/orders/100", Some(&json!({"status_id": 5})));
        assert_eq!(taken(&bench), cancelled, "{rule:?} cancelled");
    }
}

#[test]
fn parcels_move_the_status_and_every_one_mails_the_customer() {
    let bench = Bench::new(quiet());
    let sku = bench.shared_sku();
    bench.shop("POST", "/v2/orders", Some(&shop_order(&bench, &sku, 2)));
    let (_, lines) = bench.shop("GET", "/v2/orders/100/products", None);
    let address = lines[0]["order_address_id"].clone();
    let parcel = |line: usize, quantity: i64| {
        json!({
            "order_address_id": address, "tracking_number": "1Z1", "shipping_provider": "ups",
            "items": [{"order_product_id": lines[line]["id"], "quantity": quantity}]
        })
    };
    assert_eq!(bench.shop("GET", "/v2/orders/100/shipments", None).0, 204);
    assert_eq!(bench.shop("POST", "/v2/orders/100/shipments", Some(&parcel(0, 3))).0, 400);
    let (status, shipment) = bench.shop("POST", "/v2/orders/100/shipments", Some(&parcel(0, 1)));
    assert_eq!((status.as_u16(), &shipment["items"][0]["quantity"]), (201, &json!(1)));
    let (_, order) = bench.shop("GET", "/v2/orders/100", None);
    assert_eq!((&order["status_id"], &order["items_shipped"]), (&json!(3), &json!(1)));
    bench.shop("POST", "/v2/orders/100/shipments", Some(&parcel(0, 1)));
    bench.shop("POST", "/v2/orders/100/shipments", Some(&parcel(1, 1)));
    let (_, order) = bench.shop("GET", "/v2/orders/100", None);
    assert_eq!(
        (&order["status_id"], &order["date_shipped"]),
        (&json!(2), &json!("Sun, 01 Nov 2026 12:00:00 +0000"))
    );
    let id = &shipment["id"];
    let (status, edited) = bench.shop(
        "PUT",
        &format!("/v2/orders/100/shipments/{id}"),
        Some(&json!({"tracking_number": "1Z2"})),
    );
    assert_eq!((status.as_u16(), &edited["tracking_number"]), (200, &json!("1Z2")));
    assert_eq!(bench.truth(BIGCOMMERCE, "mails"), json!({"sent": 3, "by_order": {"100": 3}}));
    assert_eq!(bench.shop("DELETE", &format!("/v2/orders/100/shipments/{id}"), None).0, 204);
    let (_, order) = bench.shop("GET", "/v2/orders/100", None);
    assert_eq!((&order["status_id"], &order["items_shipped"]), (&json!(2), &json!(2)), "the status stays");
}

#[test]
fn lists_filter_sort_page_and_hide_archived_orders() {
    let bench = Bench::new(quiet());
    let sku = bench.shared_sku();
    for _ in 0..7 {
        bench.pass(10);
        bench.deed(BIGCOMMERCE, "sell", &json!({"sku": sku, "quantity": 1}));
    }
    bench.pass(10);
    bench.shop("PUT", "/v2/orders/102", Some(&json!({"staff_notes": "changed last"})));
    let ids = |path: &str| -> Vec<i64> {
        let (status, body) = bench.shop("GET", path, None);
        if status == 204 {
            return Vec::new();
        }
        assert_eq!(status, 200, "{path}: {body}");
        body.as_array().unwrap().iter().map(|order| order["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids("/v2/orders"), [100, 101, 102, 103, 104, 105, 106]);
    assert_eq!(ids("/v2/orders?sort=date_modified:asc&limit=3&page=3"), [102]);
    assert_eq!(ids("/v2/orders?sort=date_modified:desc&limit=2"), [102, 106]);
    assert_eq!(ids("/v2/orders?min_id=104&max_id=105"), [104, 105]);
    assert_eq!(ids("/v2/orders?min_date_modified=2026-11-01T12:01:05Z&sort=date_modified:asc"), [106, 102]);
    assert_eq!(ids("/v2/orders?min_date_modified=Sun,%2001%20Nov%202026%2012:01:20%20%2B0000"), [102]);
    assert_eq!(ids("/v2/orders?max_date_created=2026-11-01T12:00:10&sort=date_created:asc"), [100]);
    assert_eq!(ids("/v2/orders?status_id=5"), [] as [i64; 0]);
    assert_eq!(ids("/v2/orders?limit=5&page=3"), [] as [i64; 0]);
    assert_eq!(bench.shop("DELETE", "/v2/orders/104", None).0, 204);
    assert_eq!(ids("/v2/orders?min_id=103&max_id=105"), [103, 105]);
    assert_eq!(ids("/v2/orders?is_deleted=true"), [104]);
    assert_eq!(bench.shop("GET", "/v2/orders/104", None).1["is_deleted"], true);
    assert_eq!(bench.shop("GET", "/v2/orders/count", None).1["count"], 6);
    for wrong in ["limit=251", "page=0", "sort=colour", "min_date_modified=soon"] {
        assert_eq!(bench.shop("GET", &format!("/v2/orders?{wrong}"), None).0, 400, "{wrong}");
    }
}

#[test]
fn variants_and_products_are_found_in_pages() {
    let bench = Bench::new(quiet());
    let (_, page) = bench.shop("GET", "/v3/catalog/variants?limit=50&page=3", None);
    assert_eq!(page["meta"]["pagination"]["total"], 120);
    assert_eq!(page["data"].as_array().unwrap().len(), 20);
    let (first, second) =
        (page["data"][0]["sku"].as_str().unwrap(), page["data"][1]["sku"].as_str().unwrap());
    let (_, some) = bench.shop("GET", &format!("/v3/catalog/variants?sku:in={first},{second},NONE"), None);
    assert_eq!(some["data"].as_array().unwrap().len(), 2);
    let (_, products) = bench.shop("GET", "/v3/catalog/products?include=variants&limit=250", None);
    let variants: usize = products["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|product| product["variants"].as_array().unwrap().len())
        .sum();
    assert_eq!(variants, 120);
}

#[test]
fn quotas_are_counted_in_every_answer_and_hold() {
    let bench = Bench::new(SimOptions { quotas: Quotas::Real, ..quiet() });
    for _ in 0..150 {
        assert_eq!(bench.shop("GET", "/v2/time", None).0, 200);
    }
    let reply = bench.reply(BIGCOMMERCE, "GET", "/v2/time", None);
    assert_eq!(reply.response.status(), 429);
    assert_eq!(reply.response.headers()["x-rate-limit-requests-left"], "0");
    assert_eq!(reply.response.headers()["x-rate-limit-time-reset-ms"], "30000");
    bench.pass(30);
    let reply = bench.reply(BIGCOMMERCE, "GET", "/v2/time", None);
    assert_eq!(reply.response.headers()["x-rate-limit-requests-left"], "149");
}

#[test]
fn a_wrong_token_is_refused_and_a_revoked_one_dies() {
    let mut bench = Bench::new(quiet());
    bench.deed(BIGCOMMERCE, "revoke", &json!({}));
    let (status, body) = bench.shop("GET", "/v2/store", None);
    assert_eq!((status.as_u16(), &body[0]["status"]), (401, &json!(401)));
    let (status, body) = bench.shop("GET", "/v3/catalog/variants", None);
    assert_eq!((status.as_u16(), body["title"].is_string()), (401, true));
    bench.sign_in();
    assert_eq!(bench.shop("GET", "/v2/store", None).1["currency"], "USD");
}

#[test]
fn every_fault_does_what_its_name_says() {
    let bench = Bench::new(quiet());
    let sku = bench.shared_sku();
    let body = shop_order(&bench, &sku, 1);
    let strike = |kind: &str| {
        bench.deed(BIGCOMMERCE, "fault", &json!({"operation": "createOrder", "kind": kind, "count": 1}));
        let before = bench.truth(BIGCOMMERCE, "shop_orders").as_array().unwrap().len();
        let reply = bench.reply(BIGCOMMERCE, "POST", "/v2/orders", Some(&body));
        let after = bench.truth(BIGCOMMERCE, "shop_orders").as_array().unwrap().len();
        (reply.response.status().as_u16(), reply.delivery, reply.response.body().clone(), after - before)
    };
    assert!(matches!(strike("timeout_before"), (_, Delivery::NeverAnswered, _, 0)));
    assert!(matches!(strike("timeout_after"), (_, Delivery::NeverAnswered, _, 1)));
    assert!(matches!(strike("reset"), (_, Delivery::ResetConnection, _, 0 | 1)));
    assert!(matches!(strike("500"), (500, Delivery::Now, _, 0 | 1)));
    assert!(matches!(strike("429"), (429, Delivery::Now, _, 0)));
    assert!(matches!(strike("401"), (401, Delivery::Now, _, 0)));
    let (status, _, text, done) = strike("malformed");
    assert_eq!((status, done), (200, 1));
    assert!(serde_json::from_slice::<Value>(&text).is_err());
    assert!(matches!(strike("slow"), (200, Delivery::Drip { cut_after_bytes: None, .. }, _, 1)));
    assert!(matches!(strike("partial"), (200, Delivery::Drip { cut_after_bytes: Some(1..), .. }, _, 1)));
    assert!(matches!(strike("late"), (_, Delivery::NeverAnswered, _, 0)));
    let before = bench.truth(BIGCOMMERCE, "shop_orders").as_array().unwrap().len();
    bench.pass(61);
    assert_eq!(bench.truth(BIGCOMMERCE, "shop_orders").as_array().unwrap().len(), before + 1);
    // A lagging probe does not see the order that has just been created.
    bench.pass(120);
    bench.deed(BIGCOMMERCE, "fault", &json!({"operation": "getOrders", "kind": "stale", "count": 1}));
    let mut newest = body.clone();
    newest["external_order_id"] = json!("111-0000009-0000009");
    bench.shop("POST", "/v2/orders", Some(&newest));
    let probe = "/v2/orders?external_order_id=111-0000009-0000009";
    assert_eq!(bench.shop("GET", probe, None).0, 204);
    let created = bench.shop("GET", probe, None);
    assert_eq!(created.0, 200);
    // What had been there before and changed just now it sees as it was.
    bench.pass(120);
    let id = created.1[0]["id"].clone();
    bench.deed(BIGCOMMERCE, "cancel", &json!({"id": id.to_string()}));
    bench.deed(BIGCOMMERCE, "fault", &json!({"operation": "getOrders", "kind": "stale", "count": 1}));
    assert_eq!(bench.shop("GET", probe, None).1, created.1);
    assert_ne!(bench.shop("GET", probe, None).1, created.1);
    let calls = bench.truth(BIGCOMMERCE, "calls");
    assert_eq!(calls["createOrder"]["never_answered"], 3);
    assert_eq!(calls["createOrder"]["429"], 1);
}

#[test]
fn faults_that_come_by_themselves_follow_the_seed_and_spare_tokens() {
    let outcomes = |seed: u64| {
        let options = SimOptions { seed, faults: crate::sim::FaultRate::Many, ..quiet() };
        let bench = Bench::new(options);
        for _ in 0..200 {
            bench.sign_in_again();
            bench.reply(BIGCOMMERCE, "GET", "/v2/time", None);
        }
        (bench.truth(BIGCOMMERCE, "calls"), bench.truth(AMAZON, "calls"))
    };
    let (shop, amazon) = outcomes(5);
    assert_eq!(shop, outcomes(5).0);
    let failed = 200 - shop["getSystemTimestamp"]["200"].as_u64().unwrap();
    assert!((4..40).contains(&failed), "{shop}");
    assert_eq!(amazon["token"]["200"], 201);
}

impl Bench {
    fn sign_in_again(&self) {
        let connections = self.world.connections(|_| String::new());
        let token = connections[1]["credentials"]["refresh_token"].as_str().unwrap().to_owned();
        assert_eq!(self.token(&token).0, 200);
    }
}

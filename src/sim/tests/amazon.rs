//! Amazon: tokens, searches, pages, quotas, shipments, faults.

use std::collections::BTreeSet;
use std::io::Read as _;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use super::{AMAZON, Bench, Delivery, quiet};
use crate::sim::{Quotas, SimOptions};

const ALL: &str = "BUYER,RECIPIENT,PROCEEDS,EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT,PACKAGES,TAX,PAYMENT";

fn search(after: &str) -> String {
    format!(
        "/orders/2026-01-01/orders?lastUpdatedAfter={after}&marketplaceIds=ATVPDKIKX0DER&includedData={ALL}"
    )
}

/// Every page of a search.
fn search_all(bench: &Bench, path: &str) -> Vec<Value> {
    let mut orders = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let page =
            token.take().map_or_else(|| path.to_owned(), |token| format!("{path}&paginationToken={token}"));
        let (status, body) = bench.amazon("GET", &page, None);
        assert_eq!(status, 200, "{body}");
        orders.extend(body["orders"].as_array().unwrap().iter().cloned());
        match body["pagination"]["nextToken"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => return orders,
        }
    }
}

fn get(bench: &Bench, id: &str) -> Value {
    let (status, body) =
        bench.amazon("GET", &format!("/orders/2026-01-01/orders/{id}?includedData={ALL}"), None);
    assert_eq!(status, 200, "{body}");
    body["order"].clone()
}

fn confirm(bench: &Bench, order: &Value, reference: &Value, quantity: i64) -> (http::StatusCode, Value) {
    let id = order["id"].as_str().unwrap();
    let body = json!({
        "marketplaceId": "ATVPDKIKX0DER",
        "packageDetail": {
            "packageReferenceId": reference, "carrierCode": "UPS", "shippingMethod": "Ground",
            "trackingNumber": "1Z999", "shipDate": "2026-11-02T10:00:00Z",
            "orderItems": [{"orderItemId": order["lines"][0]["line_id"], "quantity": quantity}]
        }
    });
    bench.amazon("POST", &format!("/orders/v0/orders/{id}/shipmentConfirmation"), Some(&body))
}

#[test]
fn a_token_expires_and_a_revoked_authorisation_needs_a_new_one() {
    let mut bench = Bench::new(quiet());
    let path = search("2026-10-01T00:00:00Z");
    assert_eq!(bench.amazon("GET", &path, None).0, 200);
    bench.pass(3_601);
    let (status, body) = bench.amazon("GET", &path, None);
    assert_eq!((status.as_u16(), &body["errors"][0]["code"]), (403, &json!("Unauthorized")));
    bench.sign_in();
    let before = bench.world.connections(|_| String::new());
    bench.deed(AMAZON, "revoke", &json!({}));
    assert_eq!(bench.amazon("GET", &path, None).0, 403);
    let old = before[1]["credentials"]["refresh_token"].as_str().unwrap();
    let (status, body) = bench.token(old);
    assert_eq!((status.as_u16(), &body["error"]), (400, &json!("invalid_grant")));
    bench.sign_in();
    assert_eq!(bench.amazon("GET", &path, None).0, 200);
}

#[test]
fn pages_give_every_order_once_in_the_order_of_updates() {
    let bench = Bench::new(SimOptions { orders: 250, ..quiet() });
    let orders = search_all(&bench, &format!("{}&maxResultsPerPage=30", search("2026-01-01T00:00:00Z")));
    let ids: BTreeSet<_> = orders.iter().map(|order| order["orderId"].as_str().unwrap()).collect();
    assert_eq!((orders.len(), ids.len()), (250, 250));
    let updates: Vec<_> = orders.iter().map(|order| order["lastUpdatedTime"].as_str().unwrap()).collect();
    assert!(updates.is_sorted());
}

#[test]
fn an_order_that_changes_while_somebody_pages_comes_with_the_next_search() {
    let bench = Bench::new(quiet());
    let sku = bench.shared_sku();
    for _ in 0..5 {
        bench.pass(1);
        bench.deed(AMAZON, "sell", &json!({"sku": sku, "quantity": 1, "paid": true}));
    }
    let path = format!("{}&maxResultsPerPage=2", search("2026-10-01T00:00:00Z"));
    let (_, first) = bench.amazon("GET", &path, None);
    let last = bench.truth(AMAZON, "orders")[4]["id"].clone();
    bench.pass(1);
    bench.deed(AMAZON, "cancel", &json!({"id": last}));
    let token = first["pagination"]["nextToken"].as_str().unwrap();
    let (_, second) = bench.amazon("GET", &format!("{path}&paginationToken={token}"), None);
    assert_eq!(second["orders"].as_array().unwrap().len(), 2);
    assert!(second.get("pagination").is_none(), "the changed order has left the period");
    let bound = first["lastUpdatedBefore"].as_str().unwrap();
    let later = search_all(&bench, &search(bound));
    assert!(later.iter().any(|order| order["orderId"] == last && order["fulfillment"]["fulfillmentStatus"] == "CANCELLED"));
}

#[test]
fn a_page_token_dies_after_a_day_and_belongs_to_its_search() {
    let mut bench = Bench::new(SimOptions { orders: 20, ..quiet() });
    let path = format!("{}&maxResultsPerPage=5", search("2026-01-01T00:00:00Z"));
    let (_, body) = bench.amazon("GET", &path, None);
    let token = body["pagination"]["nextToken"].as_str().unwrap().to_owned();
    let other = format!("{}&maxResultsPerPage=5&paginationToken={token}", search("2026-01-02T00:00:00Z"));
    assert_eq!(bench.amazon("GET", &other, None).0, 400);
    bench.pass(24 * 3_600 + 1);
    bench.sign_in();
    assert_eq!(bench.amazon("GET", &format!("{path}&paginationToken={token}"), None).0, 400);
}

#[test]
fn a_search_needs_exactly_one_start_and_an_end_two_minutes_ago() {
    let bench = Bench::new(quiet());
    for query in [
        "marketplaceIds=ATVPDKIKX0DER",
        "createdAfter=2026-01-01T00:00:00Z&lastUpdatedAfter=2026-01-01T00:00:00Z",
        "createdAfter=2026-01-01T00:00:00Z&lastUpdatedBefore=2026-02-01T00:00:00Z",
        "lastUpdatedAfter=2026-01-01T00:00:00Z&lastUpdatedBefore=2026-11-01T11:59:00Z",
        "lastUpdatedAfter=yesterday",
        "lastUpdatedAfter=2026-01-01T00:00:00Z&maxResultsPerPage=101",
        "lastUpdatedAfter=2026-01-01T00:00:00Z&includedData=EVERYTHING",
    ] {
        let (status, body) = bench.amazon("GET", &format!("/orders/2026-01-01/orders?{query}"), None);
        assert_eq!((status.as_u16(), &body["errors"][0]["code"]), (400, &json!("InvalidInput")), "{query}");
    }
}

#[test]
fn a_pending_order_shows_no_price_buyer_or_address_until_it_is_paid() {
    let bench = Bench::new(quiet());
    let sku = bench.shared_sku();
    let sold = bench.deed(AMAZON, "sell", &json!({"sku": sku, "quantity": 2, "paid": false}));
    let id = sold["id"].as_str().unwrap();
    let pending = get(&bench, id);
    assert_eq!(pending["fulfillment"]["fulfillmentStatus"], "PENDING");
    for name in ["buyer", "recipient", "proceeds", "payment"] {
        assert!(pending.get(name).is_none(), "{name}");
    }
    assert!(pending["orderItems"][0]["product"].get("price").is_none());
    bench.pass(60);
    bench.deed(AMAZON, "pay", &json!({"id": id}));
    let paid = get(&bench, id);
    assert_eq!(paid["fulfillment"]["fulfillmentStatus"], "UNSHIPPED");
    assert!(paid["lastUpdatedTime"].as_str() > pending["lastUpdatedTime"].as_str());
    assert!(paid["recipient"]["deliveryAddress"]["postalCode"].is_string());
    // Nothing comes that was not asked for.
    let (_, bare) = bench.amazon("GET", &format!("/orders/2026-01-01/orders/{id}"), None);
    for name in ["buyer", "recipient", "proceeds", "fulfillment", "packages"] {
        assert!(bare["order"].get(name).is_none(), "{name}");
    }
}

#[test]
fn parcels_add_up_and_the_same_number_edits_a_parcel() {
    let bench = Bench::new(quiet());
    let order = bench.deed(AMAZON, "sell", &json!({"sku": bench.shared_sku(), "quantity": 3, "paid": true}));
    let id = order["id"].as_str().unwrap();
    bench.pass(2 * 86_400);
    let mut bench = bench;
    bench.sign_in();
    assert_eq!(confirm(&bench, &order, &json!(1), 1).0, 400, "a bare number");
    assert_eq!(confirm(&bench, &order, &json!("p1"), 1).0, 400, "no number");
    assert_eq!(confirm(&bench, &order, &json!("1"), 4).0, 400, "too many units");
    assert_eq!(confirm(&bench, &order, &json!("1"), 1).0, 204);
    assert_eq!(get(&bench, id)["fulfillment"]["fulfillmentStatus"], "PARTIALLY_SHIPPED");
    assert_eq!(confirm(&bench, &order, &json!("1"), 1).0, 204, "the same parcel again");
    assert_eq!(get(&bench, id)["packages"].as_array().unwrap().len(), 1);
    assert_eq!(confirm(&bench, &order, &json!("2"), 3).0, 400, "one unit has left already");
    assert_eq!(confirm(&bench, &order, &json!("2"), 2).0, 204);
    let shipped = get(&bench, id);
    assert_eq!(shipped["fulfillment"]["fulfillmentStatus"], "SHIPPED");
    assert_eq!(shipped["orderItems"][0]["fulfillment"]["quantityUnfulfilled"], 0);
    let (status, body) = confirm(&bench, &order, &json!("3"), 1);
    assert_eq!(status, 400);
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("PackageToUpdateNotFound"));
    assert_eq!(confirm(&bench, &order, &json!("2"), 2).0, 204, "editing a shipped order's parcel");
}

#[test]
fn what_amazon_ships_cannot_be_confirmed_by_the_seller() {
    let bench = Bench::new(quiet());
    let listings = bench.truth(AMAZON, "listings");
    let fba =
        listings.as_array().unwrap().iter().find(|listing| listing["fulfilled_by"] == "amazon").unwrap();
    let order = bench.deed(AMAZON, "sell", &json!({"sku": fba["sku"], "quantity": 1, "paid": true}));
    bench.pass(2 * 86_400);
    let mut bench = bench;
    bench.sign_in();
    assert_eq!(confirm(&bench, &order, &json!("1"), 1).0, 400);
}

#[test]
fn every_total_is_the_sum_of_its_parts() {
    let bench = Bench::new(SimOptions { orders: 2_000, ..quiet() });
    let truth = bench.truth(AMAZON, "orders");
    let cents = |money: &Value| -> i64 {
        let text = money["amount"].as_str().unwrap();
        let (whole, fraction) = text.split_once('.').unwrap();
        assert_eq!(fraction.len(), 2, "{text}");
        format!("{whole}{fraction}").parse().unwrap()
    };
    let sum = |of: &Value, name: &str| -> i64 {
        of.as_array().unwrap().iter().map(|part| cents(&part[name])).sum()
    };
    let mut kinds = BTreeSet::new();
    let mut multiple = 0;
    let orders = search_all(&bench, &search("2026-01-01T00:00:00Z"));
    for order in &orders {
        let known = truth.as_array().unwrap().iter().find(|known| known["id"] == order["orderId"]).unwrap();
        let total = cents(&order["proceeds"]["grandTotal"]);
        assert_eq!(total, known["total_minor"].as_i64().unwrap(), "{order}");
        assert_eq!(total, sum(&order["proceeds"]["breakdowns"], "subtotal"), "{order}");
        let items = order["orderItems"].as_array().unwrap();
        assert_eq!(total, items.iter().map(|item| cents(&item["proceeds"]["proceedsTotal"])).sum::<i64>());
        for item in items {
            assert_eq!(
                cents(&item["proceeds"]["proceedsTotal"]),
                sum(&item["proceeds"]["breakdowns"], "subtotal")
            );
            for part in item["proceeds"]["breakdowns"].as_array().unwrap() {
                kinds.insert(part["type"].as_str().unwrap().to_owned());
                if part.get("detailedBreakdowns").is_some() {
                    assert_eq!(cents(&part["subtotal"]), sum(&part["detailedBreakdowns"], "value"), "{part}");
                }
            }
        }
        multiple += usize::from(items.len() > 1);
    }
    assert_eq!(orders.len(), 2_000);
    assert!(multiple > 200, "{multiple}");
    let expected = ["DISCOUNT", "GIFT_WRAP", "ITEM", "SHIPPING", "TAX"];
    assert!(kinds.iter().map(String::as_str).eq(expected), "{kinds:?}");
}

#[test]
fn orders_arrive_get_paid_and_vanish_as_time_passes() {
    let mut bench = Bench::new(SimOptions { rate_per_minute: 30, ..quiet() });
    bench.pass(3_600);
    bench.sign_in();
    let early = bench.truth(AMAZON, "orders").as_array().unwrap().len();
    assert!((1_300..1_900).contains(&early), "{early}");
    bench.pass(3 * 3_600);
    bench.sign_in();
    let truth = bench.truth(AMAZON, "orders");
    let truth = truth.as_array().unwrap();
    let count = |status: &str| truth.iter().filter(|order| order["status"] == status).count();
    assert!(count("pending") > 0 && count("open") > 0 && count("shipped") > 0 && count("cancelled") > 0);
    let shown = search_all(&bench, &search("2026-01-01T00:00:00Z"));
    assert!(shown.len() < truth.len(), "some unpaid orders have vanished");
    assert!(!bench.truth(super::BIGCOMMERCE, "orders").as_array().unwrap().is_empty(), "the shop sells too");
}

#[test]
fn real_quotas_hold_and_refill() {
    let mut bench = Bench::new(SimOptions { quotas: Quotas::Real, ..quiet() });
    let path = search("2026-10-01T00:00:00Z");
    for call in 0..20 {
        assert_eq!(bench.amazon("GET", &path, None).0, 200, "{call}");
    }
    let (status, body) = bench.amazon("GET", &path, None);
    assert_eq!((status.as_u16(), &body["errors"][0]["code"]), (429, &json!("QuotaExceeded")));
    assert_eq!(
        bench.amazon("GET", "/sellers/v1/marketplaceParticipations", None).0,
        200,
        "an operation of its own"
    );
    bench.pass(170);
    assert_eq!(bench.amazon("GET", &path, None).0, 429);
    bench.pass(10);
    bench.sign_in();
    assert_eq!(bench.amazon("GET", &path, None).0, 200);
}

#[test]
fn a_late_confirmation_lands_after_the_client_gave_up() {
    let bench = Bench::new(quiet());
    let order = bench.deed(AMAZON, "sell", &json!({"sku": bench.shared_sku(), "quantity": 1, "paid": true}));
    let id = order["id"].as_str().unwrap();
    bench.deed(AMAZON, "fault", &json!({"operation": "confirmShipment", "kind": "late", "count": 1}));
    let body = json!({
        "marketplaceId": "ATVPDKIKX0DER",
        "packageDetail": {
            "packageReferenceId": "1", "carrierCode": "Other", "carrierName": "Näkki Post", "trackingNumber": "T1",
            "shipDate": "2026-11-01T12:00:00Z",
            "orderItems": [{"orderItemId": order["lines"][0]["line_id"], "quantity": 1}]
        }
    });
    let reply =
        bench.reply(AMAZON, "POST", &format!("/orders/v0/orders/{id}/shipmentConfirmation"), Some(&body));
    assert_eq!(reply.delivery, Delivery::NeverAnswered);
    bench.pass(30);
    assert_eq!(get(&bench, id)["fulfillment"]["fulfillmentStatus"], "UNSHIPPED");
    bench.pass(31);
    let shipped = get(&bench, id);
    assert_eq!(shipped["fulfillment"]["fulfillmentStatus"], "SHIPPED");
    assert_eq!(shipped["packages"][0]["carrier"], "Näkki Post");
}

#[test]
fn a_buyer_asks_the_seller_to_cancel_some_items() {
    let bench = Bench::new(quiet());
    let order = bench.deed(AMAZON, "sell", &json!({"sku": bench.shared_sku(), "quantity": 1, "paid": true}));
    let id = order["id"].as_str().unwrap();
    let before = get(&bench, id);
    assert!(before["orderItems"][0].get("cancellation").is_none(), "{before}");
    bench.pass(60);
    let lines = json!([{"line_id": order["lines"][0]["line_id"]}]);
    let asked = bench.deed(AMAZON, "ask_cancel", &json!({"id": id, "lines": lines}));
    assert_eq!((&asked["status"], &asked["buyer_asked"]), (&json!("open"), &json!(true)));
    let after = get(&bench, id);
    assert_eq!(after["orderItems"][0]["cancellation"]["cancellationRequest"]["requester"], "BUYER");
    assert_ne!(after["lastUpdatedTime"], before["lastUpdatedTime"]);
    bench.deed(AMAZON, "ship", &json!({"id": id, "carrier": "UPS", "tracking": "T1"}));
    let (status, refused) = bench.world.control(AMAZON, "ask_cancel", Some(&json!({"id": id})));
    assert_eq!(status, 409, "{refused}");
}

#[test]
fn a_stale_read_misses_the_last_change() {
    let bench = Bench::new(quiet());
    let order = bench.deed(AMAZON, "sell", &json!({"sku": bench.shared_sku(), "quantity": 1, "paid": true}));
    let id = order["id"].as_str().unwrap();
    bench.pass(60);
    bench.deed(AMAZON, "cancel", &json!({"id": id}));
    bench.deed(AMAZON, "fault", &json!({"operation": "*", "kind": "stale", "count": 2}));
    assert_eq!(get(&bench, id)["fulfillment"]["fulfillmentStatus"], "UNSHIPPED");
    assert!(search_all(&bench, &search("2026-01-01T00:00:00Z")).is_empty());
    assert_eq!(get(&bench, id)["fulfillment"]["fulfillmentStatus"], "CANCELLED");
}

#[test]
fn listings_come_in_pages_and_most_are_in_the_shop() {
    let bench = Bench::new(quiet());
    let base = "/listings/2021-08-01/items/A3EIDERSIM0001?marketplaceIds=ATVPDKIKX0DER&pageSize=20\
                &includedData=summaries,offers,fulfillmentAvailability";
    let mut skus = BTreeSet::new();
    let mut path = base.to_owned();
    loop {
        let (status, body) = bench.amazon("GET", &path, None);
        assert_eq!(status, 200, "{body}");
        for item in body["items"].as_array().unwrap() {
            skus.insert(item["sku"].as_str().unwrap().to_owned());
        }
        let Some(token) = body["pagination"]["nextToken"].as_str() else { break };
        path = format!("{base}&pageToken={token}");
    }
    assert_eq!(skus.len(), 120);
    let variants = bench.truth(super::BIGCOMMERCE, "listings");
    let known =
        variants.as_array().unwrap().iter().filter(|variant| skus.contains(variant["sku"].as_str().unwrap()));
    assert!((90..110).contains(&known.count()));
}

pub(super) const CANCELLATIONS: &str = "POST_FLAT_FILE_ORDER_ACKNOWLEDGEMENT_DATA";
const REFUNDS: &str = "POST_FLAT_FILE_PAYMENT_ADJUSTMENT_DATA";
const FEEDS: &str = "/feeds/2021-06-30/feeds";
const DOCUMENTS: &str = "/feeds/2021-06-30/documents";
const TABS: &str = "text/tab-separated-values; charset=UTF-8";

/// A call to the storage, which takes no token.
fn storage(bench: &Bench, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let path = url.strip_prefix("https://files.amazon.example").unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    bench.world.handle(AMAZON, &request.body(Bytes::from(body.to_owned())).unwrap()).response
}

fn document(bench: &Bench) -> (String, String) {
    let (status, body) = bench.amazon("POST", DOCUMENTS, Some(&json!({"contentType": TABS})));
    assert_eq!(status, 201, "{body}");
    (body["feedDocumentId"].as_str().unwrap().to_owned(), body["url"].as_str().unwrap().to_owned())
}

/// Hands over a feed of one row and gives its id.
pub(super) fn hand_over(bench: &Bench, kind: &str, row: &[&str]) -> String {
    let columns = if kind == CANCELLATIONS {
        "order-id\tcancellation-reason-code\tamazon-order-item-code"
    } else {
        "order-id\torder-item-id\tadjustment-reason-code\tcurrency\titem-price-adj\tshipping-price-adj"
    };
    let (id, url) = document(bench);
    let text = format!("{columns}\r\n{}\r\n", row.join("\t"));
    assert_eq!(storage(bench, "PUT", &url, &[("content-type", TABS)], &text).status(), 200);
    let wanted = json!({"feedType": kind, "marketplaceIds": ["ATVPDKIKX0DER"], "inputFeedDocumentId": id});
    let (status, body) = bench.amazon("POST", FEEDS, Some(&wanted));
    assert_eq!(status, 202, "{body}");
    body["feedId"].as_str().unwrap().to_owned()
}

pub(super) fn feed(bench: &Bench, id: &str) -> Value {
    let (status, body) = bench.amazon("GET", &format!("{FEEDS}/{id}"), None);
    assert_eq!(status, 200, "{body}");
    body
}

/// A feed's report, once it is done.
fn report(bench: &Bench, id: &str) -> String {
    bench.pass(120);
    let feed = feed(bench, id);
    assert_eq!(feed["processingStatus"], "DONE", "{feed}");
    let path = format!("{DOCUMENTS}/{}", feed["resultFeedDocumentId"].as_str().unwrap());
    let (_, body) = bench.amazon("GET", &path, None);
    let answer = storage(bench, "GET", body["url"].as_str().unwrap(), &[], "");
    assert_eq!(answer.status(), 200);
    if body["compressionAlgorithm"] == "GZIP" {
        let mut text = String::new();
        flate2::read::GzDecoder::new(answer.body().as_ref()).read_to_string(&mut text).unwrap();
        return text;
    }
    String::from_utf8(answer.body().to_vec()).unwrap()
}

fn sell(bench: &Bench, more: Value) -> Value {
    let mut wish = json!({"sku": bench.shared_sku(), "quantity": 1, "paid": true});
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    bench.deed(AMAZON, "sell", &wish)
}

#[test]
fn a_feed_takes_its_time_and_cancels_what_has_not_been_shipped() {
    let bench = Bench::new(quiet());
    let order = sell(&bench, json!({}));
    let id = order["id"].as_str().unwrap();
    let asked = hand_over(&bench, CANCELLATIONS, &[id, "NoInventory", ""]);
    assert_eq!(feed(&bench, &asked)["processingStatus"], "IN_QUEUE");
    bench.pass(21);
    assert_eq!(feed(&bench, &asked)["processingStatus"], "IN_PROGRESS");
    assert_eq!(get(&bench, id)["fulfillment"]["fulfillmentStatus"], "UNSHIPPED");
    assert!(report(&bench, &asked).contains("successful\t\t1"));
    let cancelled = get(&bench, id);
    assert_eq!(cancelled["fulfillment"]["fulfillmentStatus"], "CANCELLED");
    let item = &cancelled["orderItems"][0];
    assert_eq!(item["cancellation"]["cancellationExecution"]["cancelledBy"], "MERCHANT");

    let shipped = sell(&bench, json!({}));
    let id = shipped["id"].as_str().unwrap();
    bench.deed(AMAZON, "ship", &json!({"id": id}));
    for (row, words) in [
        ([id, "NoInventory", ""], "already been shipped"),
        (["111-0000000-0000000", "NoInventory", ""], "does not exist"),
        ([id, "NoReason", ""], "reason code"),
        ([id, "NoInventory", "0"], "does not belong"),
    ] {
        let report = report(&bench, &hand_over(&bench, CANCELLATIONS, &row));
        assert!(report.contains("successful\t\t0") && report.contains(words), "{report}");
    }
    assert_eq!(get(&bench, id)["fulfillment"]["fulfillmentStatus"], "SHIPPED");
}

#[test]
fn refunds_stop_at_what_the_buyer_paid() {
    let bench = Bench::new(quiet());
    let order = sell(&bench, json!({}));
    let (id, line) = (order["id"].as_str().unwrap(), order["lines"][0]["line_id"].as_str().unwrap());
    bench.deed(AMAZON, "ship", &json!({"id": id}));
    let refunded = || {
        let orders = bench.truth(AMAZON, "orders");
        let of = |order: &&Value| order["id"] == id;
        let order = orders.as_array().unwrap().iter().find(of).unwrap().clone();
        order["lines"][0]["refunded_minor"].as_i64().unwrap()
    };
    let refund = |amount: &str| {
        let row = [id, line, "CustomerReturn", "USD", amount, ""];
        report(&bench, &hand_over(&bench, REFUNDS, &row))
    };
    assert!(refund("1.50").contains("successful\t\t1"));
    assert_eq!(refunded(), 150);
    for amount in ["100000.00", "-1.00", "0", "1.005", "one"] {
        let report = refund(amount);
        assert!(report.contains("successful\t\t0"), "{amount}: {report}");
    }
    let wrong_currency = [id, line, "CustomerReturn", "EUR", "1.00", ""];
    let report = report(&bench, &hand_over(&bench, REFUNDS, &wrong_currency));
    assert!(report.contains("currency"), "{report}");
    assert_eq!(refunded(), 150);
}

#[test]
fn feeds_are_refused_given_up_and_taken_back() {
    let bench = Bench::new(quiet());
    let (id, url) = document(&bench);
    let wanted = |kind: &str| json!({"feedType": kind, "marketplaceIds": ["ATVPDKIKX0DER"], "inputFeedDocumentId": id});
    assert_eq!(bench.amazon("POST", FEEDS, Some(&wanted("POST_PRODUCT_DATA"))).0, 400);
    assert_eq!(bench.amazon("POST", FEEDS, Some(&wanted(REFUNDS))).0, 400, "nothing was uploaded");
    assert_eq!(bench.amazon("POST", DOCUMENTS, Some(&json!({}))).0, 400);
    assert_eq!(bench.amazon("GET", &format!("{FEEDS}/1"), None).0, 404);
    assert_eq!(bench.amazon("GET", &format!("{DOCUMENTS}/1"), None).0, 404);
    let put = |headers: &[(&str, &str)], url: &str| storage(&bench, "PUT", url, headers, "x").status();
    assert_eq!(put(&[("content-type", "text/plain")], &url), 403, "another type than promised");
    assert_eq!(put(&[("content-type", TABS), ("x-amz-access-token", "t")], &url), 403);
    assert_eq!(put(&[("content-type", TABS)], &url.replace("expires=1", "expires=2")), 403);
    bench.pass(300);
    assert_eq!(put(&[("content-type", TABS)], &url), 403, "five minutes are over");
    for outcome in ["CANCELLED", "FATAL"] {
        bench.deed(AMAZON, "feed", &json!({"outcome": outcome}));
        let asked = hand_over(&bench, REFUNDS, &["1", "1", "CustomerReturn", "USD", "1.00", ""]);
        bench.pass(120);
        assert_eq!(feed(&bench, &asked)["processingStatus"], outcome);
    }
}

#[test]
fn a_design_is_a_zip_behind_a_link_that_dies() {
    let bench = Bench::new(quiet());
    let plain = sell(&bench, json!({}));
    assert!(
        get(&bench, plain["id"].as_str().unwrap())["orderItems"][0]["product"]["customization"].is_null()
    );
    let order = sell(&bench, json!({"customised": true}));
    let id = order["id"].as_str().unwrap();
    let link = |bench: &Bench| {
        let order = get(bench, id);
        order["orderItems"][0]["product"]["customization"]["customizedUrl"].as_str().unwrap().to_owned()
    };
    let first = link(&bench);
    let archive = storage(&bench, "GET", &first, &[], "");
    assert_eq!((archive.status().as_u16(), &archive.body()[..4]), (200, &b"PK\x03\x04"[..]));
    assert_eq!(link(&bench), first, "the same for who reads again soon");
    assert_eq!(storage(&bench, "GET", &first.replace("expires=1", "expires=2"), &[], "").status(), 403);
    bench.pass(600);
    assert_eq!(storage(&bench, "GET", &first, &[], "").status(), 403, "it has died");
    assert_eq!(storage(&bench, "GET", &link(&bench), &[], "").status(), 200, "and the order has a new one");
}

//! Amazon from recorded and made-up answers.

use serde_json::{Value, json};

use super::super::after_sale::{CancelReason, Progress, RefundDraft, RefundLine, RefundReason};
use super::super::script::{self, Asked, NOW, Script};
use super::*;
use crate::clock::ManualClock;
use crate::domain::order::{AmountKind, FulfilledBy, OrderStatus};
use crate::domain::shipment::ShippedLine;
use crate::http::TransportError;

const CREDENTIALS: &[(&str, &str)] = &[
    ("client_id", "amzn1.application-oa2-client.x"),
    ("client_secret", "s3cret"),
    ("refresh_token", "Atzr|one two"),
    ("seller_id", "A1SELLER"),
    ("marketplace_ids", "ATVPDKIKX0DER, A2EUQ1WTGCTBG2"),
];

const TOKEN: &str = r#"{"access_token":"Atza|1","token_type":"bearer","expires_in":3600}"#;

fn amazon() -> (Amazon, Arc<Script>, Arc<ManualClock>) {
    let script = Arc::new(Script::default());
    let (setup, clock) = script::setup(script.clone(), CREDENTIALS);
    (Amazon::new(&setup).unwrap(), script, clock)
}

fn money(amount: &str) -> Value {
    json!({"amount": amount, "currencyCode": "USD"})
}

/// An order of two units with the given parts of its one item, its item total and its order total.
fn paid(parts: Value, item_total: Option<&str>, total: Option<&str>) -> Value {
    json!({
        "orderId": "111-0000000-0000001",
        "createdTime": "2026-11-20T08:00:00Z",
        "lastUpdatedTime": "2026-11-20T09:00:00Z",
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": "ATVPDKIKX0DER"},
        "fulfillment": {"fulfillmentStatus": "UNSHIPPED", "fulfilledBy": "MERCHANT"},
        "proceeds": {"grandTotal": total.map(money)},
        "orderItems": [{
            "orderItemId": "1", "quantityOrdered": 2,
            "product": {"sellerSku": "A", "title": "Thing", "asin": "B000000001"},
            "proceeds": {"proceedsTotal": item_total.map(money), "breakdowns": parts},
            "fulfillment": {"quantityFulfilled": 0, "quantityUnfulfilled": 2},
        }],
    })
}

fn amounts(order: &Value) -> (Vec<(AmountKind, i64)>, i64, i64) {
    let facts = map::order(&order.to_string()).unwrap();
    let amounts = facts.amounts.iter().map(|amount| (amount.kind, amount.minor)).collect();
    (amounts, facts.sum_paid().unwrap(), facts.total_minor)
}

#[test]
fn every_recorded_order_can_be_read_and_its_money_sums() {
    let mut count = 0;
    for part in ["orders_2026-01-01__searchOrders__200", "orders_2026-01-01__getOrder__200"] {
        for (name, text) in script::fixtures("amazon/sandbox", part) {
            let file: Value = serde_json::from_str(&text).unwrap();
            let example = &file["examples"];
            let example = example.get("application/json").unwrap_or(example);
            let answers = std::iter::once(example)
                .chain(file["sandbox_static"].as_array().unwrap().iter().map(|pair| &pair["response"]));
            for answer in answers {
                let orders =
                    answer["orders"].as_array().cloned().unwrap_or_else(|| vec![answer["order"].clone()]);
                for order in orders {
                    let facts =
                        map::order(&order.to_string()).unwrap_or_else(|error| panic!("{name}: {error}"));
                    assert_eq!(facts.sum_paid().unwrap(), facts.total_minor, "{name}: {}", facts.external_id);
                    assert!(!facts.lines.is_empty() && facts.is_paid);
                    count += 1;
                }
            }
        }
    }
    assert!(count >= 8 || count == 0, "{count} orders");
}

#[test]
fn every_recorded_listing_can_be_read() {
    for (name, text) in script::fixtures("amazon/sandbox", "searchListingsItems__200") {
        let file: Value = serde_json::from_str(&text).unwrap();
        let page: wire::Listings =
            serde_json::from_value(file["examples"]["application/json"].clone()).unwrap();
        let sites = ["ATVPDKIKX0DER".to_owned()];
        let listing = map::listing(&page.items[0], &sites).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(
            (
                listing.external_id.as_str(),
                listing.quantity,
                listing.price_minor,
                listing.currency.as_deref()
            ),
            ("GM-ZDPI-9B4E", Some(100), Some(10_000), Some("USD"))
        );
        assert!(page.items.iter().all(|item| map::listing(item, &sites).is_some()));
    }
}

#[test]
fn an_order_says_everything() {
    let mut order = paid(
        json!([
            {"type": "ITEM", "subtotal": money("40.00")},
            {"type": "SHIPPING", "subtotal": money("5.00")},
            {"type": "GIFT_WRAP", "subtotal": money("3.00")},
            {"type": "COD_FEE", "subtotal": money("1.00")},
            {"type": "DISCOUNT", "subtotal": money("-6.00"), "detailedBreakdowns": [
                {"subtype": "ITEM", "value": money("-4.00")}, {"subtype": "SHIPPING", "value": money("-2.00")}]},
            {"type": "TAX", "subtotal": money("4.10"), "detailedBreakdowns": [
                {"subtype": "ITEM", "value": money("3.40")}, {"subtype": "SHIPPING", "value": money("0.40")},
                {"subtype": "GIFT_WRAP", "value": money("0.20")}]},
        ]),
        Some("47.10"),
        Some("49.10"),
    );
    order["proceeds"]["breakdowns"] = json!([{"type": "DELIVERY_TIP", "subtotal": money("2.00")}]);
    order["orderItems"][0]["tax"] = json!({"taxCollections": [{"model": "MARKETPLACE_FACILITATOR"}]});
    order["orderItems"][0]["product"]["customization"] = json!({"customizedUrl": "https://a.example/z.zip"});
    order["orderItems"][0]["fulfillment"]["packing"] =
        json!({"giftOption": {"giftMessage": "Hi", "giftWrapLevel": "Red"}});
    order["buyer"] = json!({"buyerName": "Jo Doe", "buyerEmail": "x@marketplace.amazon.com"});
    order["recipient"] = json!({"deliveryAddress": {"name": "Jo Doe", "addressLine1": "1 Main St", "addressLine2": "",
        "city": "Seattle", "stateOrRegion": "WA", "postalCode": "98101", "countryCode": "us"}});
    order["packages"] = json!([
        {"packageReferenceId": "1", "packageStatus": {"status": "CANCELLED"}, "carrier": "UPS"},
        {"packageReferenceId": 2, "packageStatus": {"status": "SHIPPED"}, "carrier": "USPS",
         "trackingNumber": "94", "shipTime": "2026-11-20T10:00:00Z",
         "packageItems": [{"orderItemId": "1", "quantity": "1"}]},
    ]);
    insta::assert_debug_snapshot!(map::order(&order.to_string()).unwrap());
}

#[test]
fn whichever_reading_makes_the_total_counts() {
    use AmountKind::{Item, ItemTax, SellerDiscount};
    let tax = |amount: &str| json!({"type": "TAX", "subtotal": money(amount)});
    let item = json!({"type": "ITEM", "subtotal": money("12.00")});
    let off = |amount: &str| json!({"type": "DISCOUNT", "subtotal": money(amount)});

    let inside = paid(json!([item, tax("2.00")]), Some("12.00"), Some("12.00"));
    assert_eq!(amounts(&inside), (vec![(Item, 1000), (ItemTax, 200)], 1200, 1200));

    let on_top = paid(json!([item, tax("2.00")]), None, Some("14.00"));
    assert_eq!(amounts(&on_top), (vec![(Item, 1200), (ItemTax, 200)], 1400, 1400));

    for written in ["3.00", "-3.00"] {
        let taken = paid(json!([item, off(written), tax("1.00")]), Some("10.00"), Some("10.00"));
        assert_eq!(
            amounts(&taken),
            (vec![(Item, 1200), (SellerDiscount, -300), (ItemTax, 100)], 1000, 1000),
            "{written}"
        );
    }

    let neither = paid(json!([item, tax("2.00")]), Some("99.00"), Some("99.00"));
    assert_eq!(amounts(&neither), (vec![(Item, 1200), (ItemTax, 200)], 1400, 9900), "the draft holds it");

    let free = paid(json!([]), None, None);
    assert_eq!(amounts(&free), (vec![], 0, 0), "a free replacement");

    let mut unpriced = paid(json!([]), None, None);
    unpriced["orderItems"][0]["product"]["price"] = json!({"unitPrice": money("5.00")});
    assert_eq!(amounts(&unpriced), (vec![], 0, 1000), "never into the shop for nothing");

    let mut other = paid(json!([item]), None, Some("12.00"));
    other["orderItems"][0]["proceeds"]["breakdowns"][0]["subtotal"]["currencyCode"] = json!("CAD");
    assert!(map::order(&other.to_string()).is_err());
    assert!(map::order(&paid(json!([item]), None, Some("12.005")).to_string()).is_err());
}

#[test]
fn a_cancelled_item_is_no_longer_in_the_total() {
    let mut order = paid(json!([{"type": "ITEM", "subtotal": money("12.00")}]), Some("12.00"), Some("12.00"));
    let mut gone = order["orderItems"][0].clone();
    gone["orderItemId"] = json!("2");
    gone["cancellation"] = json!({"cancellationExecution": {"cancelledBy": "BUYER"}});
    gone["fulfillment"] = json!({"quantityFulfilled": 0, "quantityUnfulfilled": 0});
    order["orderItems"].as_array_mut().unwrap().push(gone);
    let facts = map::order(&order.to_string()).unwrap();
    assert_eq!((facts.sum_paid().unwrap(), facts.total_minor), (1200, 1200));
    assert_eq!(facts.lines[1].quantity_cancelled, 2);
    assert_eq!(facts.unit_count(), 2);

    let mut part = paid(json!([{"type": "ITEM", "subtotal": money("6.00")}]), Some("6.00"), Some("6.00"));
    part["orderItems"][0]["cancellation"] = json!({"cancellationExecution": {"cancelledBy": "BUYER"}});
    part["orderItems"][0]["fulfillment"]["quantityUnfulfilled"] = json!(1);
    let facts = map::order(&part.to_string()).unwrap();
    assert_eq!((facts.lines[0].quantity_cancelled, facts.sum_paid().unwrap()), (1, 600));
}

#[test]
fn statuses_and_who_ships() {
    let read = |word: &str, by: &str| {
        let mut order = paid(json!([{"type": "ITEM", "subtotal": money("1.00")}]), None, Some("1.00"));
        order["fulfillment"] = json!({"fulfillmentStatus": word, "fulfilledBy": by});
        let facts = map::order(&order.to_string()).unwrap();
        (facts.status, facts.is_paid, facts.fulfilled_by, facts.total_minor)
    };
    use FulfilledBy::{Platform, Seller};
    assert_eq!(read("PENDING", "MERCHANT"), (OrderStatus::Pending, false, Seller, 0));
    assert_eq!(read("PENDING_AVAILABILITY", "MERCHANT"), (OrderStatus::Pending, false, Seller, 0));
    assert_eq!(read("UNSHIPPED", "MERCHANT"), (OrderStatus::Open, true, Seller, 100));
    assert_eq!(read("PARTIALLY_SHIPPED", "MERCHANT"), (OrderStatus::PartShipped, true, Seller, 100));
    assert_eq!(read("SHIPPED", "AMAZON"), (OrderStatus::Shipped, true, Platform, 100));
    assert_eq!(read("CANCELLED", "MERCHANT"), (OrderStatus::Cancelled, true, Seller, 100));
    assert_eq!(read("UNFULFILLABLE", "AMAZON").0, OrderStatus::Cancelled);
    assert_eq!(read("FROM_THE_FUTURE", "MERCHANT"), (OrderStatus::Pending, false, Seller, 0));

    let bare = json!({"orderId": "1", "createdTime": "2026-11-20T08:00:00Z", "buyer": null, "packages": null,
        "salesChannel": {"marketplaceId": "A1VC38T7YXB528"}, "fulfillment": {"fulfillmentStatus": "CANCELLED"},
        "orderItems": [{"orderItemId": "1", "quantityOrdered": 3}]});
    let facts = map::order(&bare.to_string()).unwrap();
    assert_eq!((facts.currency.code(), facts.is_paid, facts.lines[0].quantity_cancelled), ("JPY", false, 3));
    assert_eq!((facts.people, facts.shipments), (None, None));
}

#[tokio::test]
async fn a_first_import_is_pages_alone_and_an_unreadable_order_stops_nothing() {
    let (amazon, script, _) = amazon();
    let good = paid(json!([{"type": "ITEM", "subtotal": money("1.00")}]), None, Some("1.00")).to_string();
    let spaced = good.replacen(',', " ,\n ", 1);
    script.answer(200, TOKEN).answer(
        200,
        format!(
            r#"{{"orders":[{spaced}, {{"orderId":"bad","createdTime":7}}],"pagination":{{"nextToken":"n/1+"}},
                "createdBefore":"2026-11-21T11:58:00Z"}}"#
        ),
    );
    let start = PollStart { since: Some("2026-11-01T00:00:00Z".parse().unwrap()), is_bulk: false };
    let page = amazon.changed_orders(&Cursor::default(), start).await.unwrap();
    assert_eq!(page.orders[0].payload, spaced, "byte for byte");
    assert_eq!(page.orders[1].external_id.as_deref(), Some("bad"));
    assert!(page.orders[1].facts.is_err() && page.has_more);
    assert_eq!(page.cursor.updated_until, None);

    script.answer(200, r#"{"orders":[],"createdBefore":"2026-11-21T12:03:00Z"}"#);
    let last = amazon.changed_orders(&page.cursor, start).await.unwrap();
    assert_eq!(
        last.cursor.updated_until,
        Some("2026-11-21T11:58:00Z".parse().unwrap()),
        "the window's first end"
    );
    assert_eq!((last.has_more, &last.cursor.window), (false, &None));

    script.answer(200, r#"{"orders":[],"lastUpdatedBefore":"2026-11-21T12:10:00Z"}"#);
    let poll = amazon.changed_orders(&last.cursor, start).await.unwrap();
    assert_eq!(poll.cursor.updated_until, Some("2026-11-21T12:10:00Z".parse().unwrap()));
    insta::assert_debug_snapshot!(script.lines(), @r#"
    [
        "POST /auth/o2/token",
        "GET /orders/2026-01-01/orders?createdAfter=2026-11-01T00:00:00Z&marketplaceIds=ATVPDKIKX0DER,A2EUQ1WTGCTBG2&includedData=BUYER,RECIPIENT,PROCEEDS,EXPENSE,PROMOTION,PAYMENT,FULFILLMENT,PACKAGES,CANCELLATION,TAX&maxResultsPerPage=100",
        "GET /orders/2026-01-01/orders?createdAfter=2026-11-01T00:00:00Z&marketplaceIds=ATVPDKIKX0DER,A2EUQ1WTGCTBG2&includedData=BUYER,RECIPIENT,PROCEEDS,EXPENSE,PROMOTION,PAYMENT,FULFILLMENT,PACKAGES,CANCELLATION,TAX&maxResultsPerPage=100&paginationToken=n/1+",
        "GET /orders/2026-01-01/orders?lastUpdatedAfter=2026-11-21T11:56:00Z&marketplaceIds=ATVPDKIKX0DER,A2EUQ1WTGCTBG2&includedData=BUYER,RECIPIENT,PROCEEDS,EXPENSE,PROMOTION,PAYMENT,FULFILLMENT,PACKAGES,CANCELLATION,TAX&maxResultsPerPage=100",
    ]
    "#);
}

#[tokio::test]
async fn a_window_begins_anew_when_its_token_is_dead_or_refused() {
    let (amazon, script, clock) = amazon();
    let until = Some("2026-11-21T10:00:00Z".parse().unwrap());
    let start = PollStart { since: None, is_bulk: false };
    let cursor = Cursor { updated_until: until, window: None };
    script.answer(200, TOKEN).answer(200, r#"{"orders":[],"pagination":{"nextToken":"t"}}"#);
    let page = amazon.changed_orders(&cursor, start).await.unwrap();
    script.answer(400, r#"{"errors":[{"code":"InvalidInput","message":"bad token"}]}"#);
    let anew = amazon.changed_orders(&page.cursor, start).await.unwrap();
    assert_eq!((&anew.cursor, anew.has_more), (&cursor, true));

    clock.advance(Duration::from_secs(24 * 3600));
    script.asked();
    script.answer(200, TOKEN).answer(200, r#"{"orders":[]}"#);
    let after = amazon.changed_orders(&page.cursor, start).await.unwrap();
    assert!(!script.lines()[1].contains("paginationToken"));
    assert_eq!(after.cursor, cursor, "nothing named, nothing seen: it stays");
}

#[tokio::test]
async fn ten_callers_fetch_one_token_and_one_again_when_it_is_refused() {
    let (amazon, script, clock) = amazon();
    script.answer(200, TOKEN);
    for _ in 0..10 {
        script.answer(404, "{}");
    }
    let ids: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let found = futures_util::future::join_all(ids.iter().map(|id| amazon.order(id))).await;
    assert!(found.iter().all(|order| *order == Ok(None)));
    let asked = script.asked();
    assert_eq!(asked.iter().filter(|asked| asked.line.contains("/auth/")).count(), 1);
    assert_eq!(
        asked[0].body,
        "grant_type=refresh_token&refresh_token=Atzr%7Cone%20two&client_id=amzn1.application-oa2-client.x&client_secret=s3cret"
    );
    assert!(asked[1..].iter().all(|asked| asked.headers["x-amz-access-token"] == "Atza|1"));

    let refused = r#"{"errors":[{"code":"Unauthorized","message":"Access to requested resource is denied.","details":"The access token you provided has expired."}]}"#;
    script.answer(403, refused).answer(200, TOKEN.replace("|1", "|2")).answer(404, "{}");
    assert_eq!(amazon.order("x").await, Ok(None));
    assert_eq!(script.asked()[2].headers["x-amz-access-token"], "Atza|2");

    clock.advance(Duration::from_secs(3541));
    script.answer(200, TOKEN).answer(404, "{}");
    amazon.order("x").await.unwrap();
    assert_eq!(script.lines()[0], "POST /auth/o2/token", "renewed before it dies");
}

#[tokio::test]
async fn a_grant_that_is_gone_asks_for_a_person() {
    for error in ["invalid_grant", "invalid_client", "unauthorized_client"] {
        let (amazon, script, _) = amazon();
        script.answer(400, format!(r#"{{"error":"{error}","error_description":"no"}}"#));
        assert!(matches!(amazon.order("x").await, Err(ChannelError::Reauth { .. })), "{error}");
    }
    let (amazon, script, _) = amazon();
    script.answer(503, "busy");
    assert!(matches!(amazon.order("x").await, Err(ChannelError::Retry { in_doubt: false, .. })));
}

fn parcel(carrier: &str) -> ShipmentDraft {
    ShipmentDraft {
        parcel: 2,
        carrier: Some(carrier.to_owned()),
        service: Some("Ground".to_owned()),
        tracking: Some("1Z".to_owned()),
        shipped_at: NOW.parse().unwrap(),
        lines: vec![ShippedLine { external_line_id: "11".to_owned(), quantity: 1 }],
    }
}

fn order() -> FulfilmentOrder {
    FulfilmentOrder { external_id: "111-1".to_owned(), site: Some("A2EUQ1WTGCTBG2".to_owned()) }
}

#[tokio::test]
async fn a_parcel_is_told_as_the_specification_has_it() {
    let (amazon, script, _) = amazon();
    script.answer(200, TOKEN).answer(204, "").answer(204, "");
    amazon.confirm_shipment(&order(), &parcel("royalmail")).await.unwrap();
    amazon.confirm_shipment(&order(), &parcel("Bike Messengers")).await.unwrap();
    let asked: Vec<Asked> = script.asked();
    assert_eq!(asked[1].line, "POST /orders/v0/orders/111-1/shipmentConfirmation");
    assert_eq!(asked[1].headers["content-type"], "application/json");
    assert_eq!(
        asked[1].json(),
        json!({"marketplaceId": "A2EUQ1WTGCTBG2", "packageDetail": {
            "packageReferenceId": "2", "carrierCode": "Royal Mail", "shippingMethod": "Ground",
            "trackingNumber": "1Z", "shipDate": "2026-11-21T12:00:00Z",
            "orderItems": [{"orderItemId": "11", "quantity": 1}]}})
    );
    let other = asked[2].json();
    assert_eq!(other["packageDetail"]["carrierCode"], "Other");
    assert_eq!(other["packageDetail"]["carrierName"], "Bike Messengers");

    let nowhere = ShipmentDraft { tracking: None, ..parcel("UPS") };
    let error = amazon.confirm_shipment(&order(), &nowhere).await.unwrap_err();
    assert!(error.to_string().contains("tracking number") && script.asked().is_empty(), "{error}");
}

#[tokio::test]
async fn what_a_refused_parcel_means() {
    let cases = [
        (
            400,
            r#"{"errors":[{"code":"InvalidInput","message":"errorMetric=PackageToUpdateNotFound"}]}"#,
            "AlreadyDone",
        ),
        (400, r#"{"errors":[{"code":"InvalidInput","message":"order already fulfilled"}]}"#, "AlreadyDone"),
        (400, r#"{"errors":[{"code":"Invalid Input","message":"Invalid Input"}]}"#, "Other"),
        (404, "{}", "NotFound"),
    ];
    for (status, body, kind) in cases {
        let (amazon, script, _) = amazon();
        script.answer(200, TOKEN).answer(status, body);
        match amazon.confirm_shipment(&order(), &parcel("UPS")).await {
            Err(ChannelError::Reject { kind: found, .. }) => assert_eq!(format!("{found:?}"), kind, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
    let (amazon, script, _) = amazon();
    script.answer(200, TOKEN).answer(500, "").lose(TransportError::TimedOut { request_sent: true });
    script.lose(TransportError::ConnectFailed("no".to_owned()));
    let mut doubts = Vec::new();
    for _ in 0..3 {
        doubts.push(amazon.confirm_shipment(&order(), &parcel("UPS")).await.unwrap_err().is_in_doubt());
    }
    assert_eq!(doubts, [true, true, false]);
    script.answer(200, "<html>Sign in to this network").answer(200, "{\"errors\": [");
    script.answer(400, "{\"errors\": [{\"code\": \"Inv");
    for _ in 0..3 {
        let strange = amazon.confirm_shipment(&order(), &parcel("UPS")).await.unwrap_err();
        assert!(matches!(strange, ChannelError::Corrupt { in_doubt: true, .. }), "{strange:?}");
    }
}

#[tokio::test]
async fn a_used_up_quota_is_waiting_and_no_failure() {
    let (amazon, script, clock) = amazon();
    script.answer(200, TOKEN);
    script.answer(429, r#"{"errors":[{"code":"QuotaExceeded","message":"You exceeded your quota"}]}"#);
    let first = amazon.confirm_shipment(&order(), &parcel("UPS")).await.unwrap_err();
    match first {
        ChannelError::Retry { after, throttled: true, in_doubt: false, .. } => {
            assert_eq!(after, Some(Duration::from_secs(2)));
        }
        other => panic!("{other:?}"),
    }
    script.asked();
    clock.advance(Duration::from_secs(2));
    script.answer(204, "");
    amazon.confirm_shipment(&order(), &parcel("UPS")).await.unwrap();

    script.answer_with(200, &[("x-amzn-ratelimit-limit", "50.0")], r#"{"orders":[]}"#);
    assert_eq!(amazon.poll_interval_min().as_secs(), 178);
    amazon.changed_orders(&Cursor::default(), PollStart { since: None, is_bulk: false }).await.unwrap();
    assert_eq!(amazon.poll_interval_min().as_secs(), 1, "Amazon names the rate, and we follow");
}

#[tokio::test]
async fn a_test_says_what_works_and_what_is_missing() {
    let (amazon, script, _) = amazon();
    let participations = json!({"payload": [{"marketplace": {"id": "ATVPDKIKX0DER", "name": "Amazon.com"},
        "storeName": "Best", "participation": {"isParticipating": true, "hasSuspendedListings": false}}]});
    let order = paid(json!([{"type": "ITEM", "subtotal": money("1.00")}]), None, Some("1.00"));
    script.answer(200, TOKEN).answer(200, participations.to_string());
    script.answer(200, json!({"orders": [order]}).to_string());
    let report = Probe::probe(&amazon).await;
    let lines: Vec<(&str, bool)> =
        report.lines.iter().map(|line| (line.check.as_str(), line.is_ok)).collect();
    assert_eq!(
        lines,
        [
            ("Sign in", true),
            ("Marketplace ATVPDKIKX0DER", true),
            ("Marketplace A2EUQ1WTGCTBG2", false),
            ("Orders", false)
        ]
    );
    assert!(report.lines[3].detail.contains("Direct-to-Consumer Shipping"));
    assert_eq!(report.account.as_deref(), Some("A1SELLER"));
    assert!(!report.raw.contains("Atza"));
    let asked = script.lines();
    assert!(asked[2].contains("maxResultsPerPage=1"), "{asked:?}");

    let (amazon, script, _) = self::amazon();
    script.answer(400, r#"{"error":"invalid_grant","error_description":"gone"}"#);
    let report = Probe::probe(&amazon).await;
    assert!(!report.is_ok() && report.lines.len() == 1, "{report:?}");
}

#[tokio::test]
async fn listings_come_page_by_page() {
    let (amazon, script, _) = amazon();
    script.answer(200, TOKEN).answer(
        200,
        json!({"items": [
            {"sku": "F/1", "summaries": [{"marketplaceId": "A2EUQ1WTGCTBG2", "asin": "B1", "itemName": "T"}],
             "fulfillmentAvailability": [{"fulfillmentChannelCode": "AMAZON_NA"}]},
            {"summaries": []}
        ], "pagination": {"nextToken": "p2"}})
        .to_string(),
    );
    let page = amazon.listings(None).await.unwrap();
    assert_eq!((page.listings.len(), page.next.as_deref()), (1, Some("p2")));
    assert_eq!((page.listings[0].fulfilled_by, page.listings[0].quantity), (FulfilledBy::Platform, None));
    assert_eq!(
        script.lines()[1],
        "GET /listings/2021-08-01/items/A1SELLER?marketplaceIds=ATVPDKIKX0DER,A2EUQ1WTGCTBG2&includedData=summaries,offers,fulfillmentAvailability&pageSize=20"
    );
}

#[tokio::test]
async fn the_orders_of_a_time_are_listed_by_their_ids_alone() {
    let (amazon, script, _) = amazon();
    let order = |id: &str, placed: &str| json!({"orderId": id, "createdTime": placed});
    let first = [order("1", "2026-11-19T22:59:59Z"), order("2", "2026-11-19T23:00:00Z")];
    let last =
        [order("3", "2026-11-20T22:59:59.999Z"), order("4", "2026-11-20T23:00:00Z"), json!({"orderId": "5"})];
    script
        .answer(200, TOKEN)
        .answer(200, json!({"orders": first, "pagination": {"nextToken": "t 2"}}).to_string());
    script.answer(200, json!({"orders": last}).to_string());
    let window = PlacedWindow {
        from: "2026-11-19T23:00:00Z".parse().unwrap(),
        until: "2026-11-20T23:00:00Z".parse().unwrap(),
        is_bulk: true,
    };
    let page = amazon.placed_orders(window, None).await.unwrap();
    assert_eq!((page.external_ids, page.next.as_deref()), (vec!["2".to_owned()], Some("t 2")));
    let page = amazon.placed_orders(window, page.next.as_deref()).await.unwrap();
    assert_eq!((page.external_ids, page.next), (vec!["3".to_owned(), "5".to_owned()], None));
    let lines = script.lines();
    let asked = "createdAfter=2026-11-19T23:00:00Z&createdBefore=2026-11-20T23:00:00Z";
    assert!(lines[1].contains(asked) && !lines[1].contains("includedData"), "{lines:?}");
    assert!(lines[2].contains(asked) && lines[2].contains("paginationToken=t"), "{lines:?}");
}

/// An order of one item that waits for shipment, or not any more.
fn order_in(status: &str) -> String {
    let mut order = paid(json!([{"type": "ITEM", "subtotal": money("12.00")}]), Some("12.00"), Some("12.00"));
    order["fulfillment"] = json!({"fulfillmentStatus": status, "fulfilledBy": "MERCHANT"});
    json!({"order": order}).to_string()
}

fn feed_order() -> FulfilmentOrder {
    FulfilmentOrder { external_id: "111-0000000-0000001".to_owned(), site: None }
}

const DOCUMENT: &str = r#"{"feedDocumentId":"d1","url":"https://files.test/up?signature=s3cret"}"#;
const DONE: &str = r#"{"feedId":"f1","processingStatus":"DONE","resultFeedDocumentId":"r1"}"#;
const REPORT_AT: &str = r#"{"feedDocumentId":"r1","url":"https://files.test/down?signature=s3cret"}"#;

fn report(processed: u32, successful: u32, lines: &[&str]) -> String {
    format!(
        "Feed Processing Summary:\n\tNumber of records processed\t\t{processed}\n\tNumber of records successful\t\t\
         {successful}\n\noriginal-record-number\torder-id\torder-item-id\terror-code\terror-type\terror-message\n{}",
        lines.iter().map(|line| format!("{line}\n")).collect::<String>()
    )
}

fn gzipped(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn refund_of(currency: &str, line: RefundLine) -> RefundDraft {
    RefundDraft {
        key: "7".to_owned(),
        currency: currency.parse().unwrap(),
        lines: vec![line],
        is_single_line_order: false,
        reason: RefundReason::Returned,
        comment: None,
    }
}

fn refund_line(item_minor: i64, shipping_minor: i64, quantity_cancelled: i64) -> RefundLine {
    RefundLine { external_line_id: "1".to_owned(), item_minor, shipping_minor, quantity_cancelled }
}

/// What comes of asking after a refund's feed whose report is this.
async fn told(report: Vec<u8>, document: &str) -> Result<Progress, ChannelError> {
    let (amazon, script, _) = amazon();
    script.answer(200, TOKEN).answer(200, DONE).answer(200, document).answer_bytes(200, report);
    amazon.refunded(&feed_order(), "f1").await
}

#[tokio::test]
async fn a_cancellation_is_a_feed_that_is_followed_to_its_report() {
    let (amazon, script, _) = amazon();
    script.answer(200, TOKEN).answer(200, order_in("UNSHIPPED")).answer(201, DOCUMENT).answer(200, "");
    script.answer(202, r#"{"feedId":"f1"}"#);
    let asked_for = amazon.cancel(&feed_order(), CancelReason::OutOfStock).await;
    assert_eq!(asked_for, Ok(Progress::Pending("f1:1".to_owned())));
    let asked = script.asked();
    assert_eq!(asked[2].json(), json!({"contentType": "text/tab-separated-values; charset=UTF-8"}));
    let upload = &asked[3];
    assert_eq!(upload.line, "PUT /up?signature=s3cret");
    assert_eq!(upload.headers["content-type"], "text/tab-separated-values; charset=UTF-8");
    assert!(!upload.headers.contains_key("x-amz-access-token"), "storage refuses what was not signed");
    assert_eq!(
        upload.body,
        "TemplateType=OrderCancellation\tVersion=1.0/1.0.3\tThis row for Amazon.com use only.  Do not modify or \
         delete.\r\norder-id\tcancellation-reason-code\tamazon-order-item-code\r\n\
         111-0000000-0000001\tNoInventory\t1\r\n"
    );
    assert_eq!(
        asked[4].json(),
        json!({"feedType": "POST_FLAT_FILE_ORDER_ACKNOWLEDGEMENT_DATA", "marketplaceIds": ["ATVPDKIKX0DER"],
            "inputFeedDocumentId": "d1"})
    );
    for word in ["IN_QUEUE", "IN_PROGRESS", "A_NEW_WORD"] {
        script.answer(200, format!(r#"{{"feedId":"f1","processingStatus":"{word}"}}"#));
        let progress = Cancellation::cancellation(&amazon, &feed_order(), "f1").await;
        assert_eq!(progress, Ok(Progress::Pending("f1:1".to_owned())), "{word}");
    }
    script.answer(200, DONE).answer(200, REPORT_AT).answer(200, report(1, 1, &[]));
    assert_eq!(Cancellation::cancellation(&amazon, &feed_order(), "f1").await, Ok(Progress::Done));
    let asked = script.asked();
    assert_eq!(asked[4].line, "GET /feeds/2021-06-30/documents/r1");
    assert_eq!(asked[5].line, "GET /down?signature=s3cret");
    assert!(!asked[5].headers.contains_key("x-amz-access-token"));
}

/// Storage answers a file that it takes with nothing. A page of somebody on the way is no proof that it has arrived: a feed
/// that names what is not there would be refused as if the refund had been.
#[tokio::test]
async fn a_file_is_taken_only_where_storage_itself_says_so() {
    let (amazon, script, _) = amazon();
    script.answer(200, TOKEN).answer(201, DOCUMENT).answer(200, "<html>Welcome</html>");
    let lost = amazon.refund(&feed_order(), &refund_of("USD", refund_line(500, 0, 0))).await.unwrap_err();
    assert!(matches!(&lost, ChannelError::Corrupt { in_doubt: false, .. }), "{lost:?}");
    assert_eq!(script.lines().len(), 3, "no feed is made of it");
}

/// An order of two items, of which the buyer asks to have these cancelled.
fn order_with_unwanted(unwanted: &[&str]) -> Value {
    let mut order = paid(json!([{"type": "ITEM", "subtotal": money("12.00")}]), Some("12.00"), Some("12.00"));
    order["fulfillment"] = json!({"fulfillmentStatus": "UNSHIPPED", "fulfilledBy": "MERCHANT"});
    let mut second = order["orderItems"][0].clone();
    second["orderItemId"] = json!("2");
    order["orderItems"].as_array_mut().unwrap().push(second);
    for item in order["orderItems"].as_array_mut().unwrap() {
        if unwanted.iter().any(|id| item["orderItemId"] == *id) {
            let request = json!({"requester": "BUYER", "cancelReason": "I moved to 5 Elm Street"});
            item["cancellation"] = json!({"cancellationRequest": request});
        }
    }
    order["proceeds"]["grandTotal"] = money("24.00");
    order
}

#[test]
fn what_the_buyer_asks_to_cancel_is_known_by_item_and_never_in_the_buyers_words() {
    let read = |order: &Value| map::order(&order.to_string()).unwrap().cancel_request;
    assert_eq!(read(&order_with_unwanted(&[])), None);
    let mut order = order_with_unwanted(&["1", "2"]);
    let asked = read(&order).unwrap();
    assert_eq!((asked.lines, asked.reason), (vec!["1".to_owned(), "2".to_owned()], None));
    order["orderItems"][0]["cancellation"]["cancellationExecution"] = json!({"cancelledBy": "MERCHANT"});
    assert_eq!(read(&order).unwrap().lines, ["2"], "the first is cancelled");
    order["orderItems"][1]["cancellation"]["cancellationRequest"]["requester"] = json!("SOMEBODY");
    assert_eq!(read(&order), None);
}

#[tokio::test]
async fn only_what_the_buyer_asked_for_is_cancelled_in_the_buyers_name() {
    for (unwanted, reason, words) in [
        (&["1"][..], CancelReason::OutOfStock, ["BuyerCanceled", "NoInventory"]),
        (&["1", "2"], CancelReason::BuyerAsked, ["BuyerCanceled", "BuyerCanceled"]),
        (&[], CancelReason::OutOfStock, ["NoInventory", "NoInventory"]),
    ] {
        let (amazon, script, _) = amazon();
        let order = json!({"order": order_with_unwanted(unwanted)}).to_string();
        script.answer(200, TOKEN).answer(200, order).answer(201, DOCUMENT).answer(200, "");
        script.answer(202, r#"{"feedId":"f1"}"#);
        amazon.cancel(&feed_order(), reason).await.unwrap();
        let file = script.asked()[3].body.clone();
        let said: Vec<&str> = file.lines().skip(2).filter_map(|row| row.split('\t').nth(1)).collect();
        assert_eq!(said, words, "{file}");
    }
}

#[tokio::test]
async fn a_cancellation_is_only_of_what_has_not_been_shipped_and_may_be_repeated() {
    let cancel = async |status: &str| {
        let (amazon, script, _) = amazon();
        script.answer(200, TOKEN).answer(200, order_in(status));
        let progress = amazon.cancel(&feed_order(), CancelReason::BuyerAsked).await;
        assert_eq!(script.lines().len(), 2, "nothing is sent");
        progress
    };
    assert_eq!(cancel("CANCELLED").await, Ok(Progress::Done));
    for status in ["SHIPPED", "PARTIALLY_SHIPPED"] {
        assert!(matches!(cancel(status).await, Ok(Progress::Refused(_))), "{status}");
    }

    let (amazon, script, _) = amazon();
    script.answer(200, TOKEN).answer(200, order_in("UNSHIPPED")).answer(201, DOCUMENT).answer(200, "");
    script.lose(TransportError::ResetMidway("gone".to_owned()));
    let lost = amazon.cancel(&feed_order(), CancelReason::BuyerAsked).await.unwrap_err();
    assert!(lost.is_in_doubt(), "{lost:?}");
    script.answer(200, order_in("UNSHIPPED")).answer(201, DOCUMENT).answer(200, "");
    script.answer(202, r#"{"feedId":"f2"}"#);
    let again = amazon.cancel(&feed_order(), CancelReason::BuyerAsked).await;
    assert_eq!(again, Ok(Progress::Pending("f2:1".to_owned())));
    // The first feed did it: the second's report is no refusal.
    let late = report(1, 0, &["1\t111-0000000-0000001\t1\t25007\tError\tAlready cancelled."]);
    script.answer(200, DONE).answer(200, REPORT_AT).answer(200, late.clone());
    script.answer(200, order_in("CANCELLED"));
    assert_eq!(Cancellation::cancellation(&amazon, &feed_order(), "f2").await, Ok(Progress::Done));
    script.answer(200, DONE).answer(200, REPORT_AT).answer(200, late).answer(200, order_in("SHIPPED"));
    let refused = Cancellation::cancellation(&amazon, &feed_order(), "f2").await;
    assert_eq!(
        refused,
        Ok(Progress::Refused("Amazon refused: Already cancelled. (25007)".to_owned())),
        "in Amazon's words"
    );
}

#[tokio::test]
async fn a_refund_is_written_in_the_currencys_own_digits() {
    let file = async |draft: RefundDraft| {
        let (amazon, script, _) = amazon();
        script.answer(200, TOKEN).answer(201, DOCUMENT).answer(200, "").answer(202, r#"{"feedId":"f1"}"#);
        let asked_for = amazon.refund(&feed_order(), &draft).await;
        assert_eq!(asked_for, Ok(Progress::Pending("f1:1".to_owned())));
        let asked = script.asked();
        assert_eq!(asked[3].json()["feedType"], "POST_FLAT_FILE_PAYMENT_ADJUSTMENT_DATA");
        asked[2].body.split("\r\n").nth(1).unwrap().to_owned()
    };
    assert_eq!(
        file(refund_of("USD", refund_line(1999, 5, 0))).await,
        "111-0000000-0000001\t1\tCustomerReturn\tUSD\t19.99\t\t0.05\t\t\t\t\t\t\t\t"
    );
    assert_eq!(
        file(refund_of("JPY", refund_line(1999, 0, 2))).await,
        "111-0000000-0000001\t1\tCustomerReturn\tJPY\t1999\t\t\t\t\t\t\t\t\t\t2"
    );
    for nothing in [refund_line(0, 0, 0), refund_line(-1, 5, 0)] {
        let (amazon, script, _) = amazon();
        let refused = amazon.refund(&feed_order(), &refund_of("USD", nothing)).await;
        assert!(matches!(refused, Err(ChannelError::Reject { .. })), "{refused:?}");
        assert!(script.lines().is_empty());
    }
}

#[tokio::test]
async fn a_refund_is_in_doubt_only_where_the_feed_itself_may_have_been_made() {
    let gone = || TransportError::ResetMidway("gone".to_owned());
    let draft = refund_of("USD", refund_line(100, 0, 0));
    for lost_at in 1..=3 {
        let (amazon, script, _) = amazon();
        script.answer(200, TOKEN);
        let answers = [(201, DOCUMENT), (200, ""), (202, r#"{"feedId":"f1"}"#)];
        for (status, body) in &answers[..lost_at - 1] {
            script.answer(*status, *body);
        }
        script.lose(gone());
        let error = amazon.refund(&feed_order(), &draft).await.unwrap_err();
        assert_eq!(error.is_in_doubt(), lost_at == 3, "call {lost_at}: {error:?}");
        assert_eq!(script.lines().len(), lost_at + 1, "nothing is sent twice");
    }
    for (status, body) in [(202, "{}"), (202, "<html>"), (500, ""), (200, "{\"feedId\":")] {
        let (amazon, script, _) = amazon();
        script.answer(200, TOKEN).answer(201, DOCUMENT).answer(200, "").answer(status, body);
        let error = amazon.refund(&feed_order(), &draft).await.unwrap_err();
        assert!(error.is_in_doubt(), "{status} {body}: {error:?}");
        assert_eq!(script.lines().len(), 4);
    }
    let (amazon, script, _) = amazon();
    let refused = r#"{"errors":[{"code":"InvalidInput","message":"no"}]}"#;
    script.answer(200, TOKEN).answer(201, DOCUMENT).answer(200, "").answer(400, refused);
    let error = amazon.refund(&feed_order(), &draft).await.unwrap_err();
    assert!(matches!(error, ChannelError::Reject { .. }), "{error:?}");
    let (amazon, script, _) = self::amazon();
    script.answer(200, TOKEN).answer(201, DOCUMENT).answer(403, "<Error>expired</Error>");
    let error = amazon.refund(&feed_order(), &draft).await.unwrap_err();
    assert!(matches!(error, ChannelError::Retry { in_doubt: false, .. }), "{error:?}");
    assert!(!error.to_string().contains("s3cret"));
}

#[tokio::test]
async fn a_report_decides_and_is_packed_or_not() {
    let packed = REPORT_AT.replace("\"url\"", "\"compressionAlgorithm\":\"GZIP\",\"url\"");
    let plain = |text: String| told(text.into_bytes(), REPORT_AT);
    assert_eq!(told(gzipped(&report(1, 1, &[])), &packed).await, Ok(Progress::Done));
    let warned = "1\t111-0000000-0000001\t1\t5000\tWarning\tIt was so already.";
    assert_eq!(plain(report(1, 1, &[warned])).await, Ok(Progress::Done));
    let refused = ["1\t111-0000000-0000001\t1\t25106\tError\tMore than was paid", warned];
    assert_eq!(
        plain(report(1, 0, &refused)).await,
        Ok(Progress::Refused("Amazon refused: More than was paid (25106)".to_owned()))
    );
    assert_eq!(
        plain(report(2, 1, &refused)).await,
        Ok(Progress::Doubtful(
            "Amazon says of 1 of 2 items that they were done, and: More than was paid (25106)".to_owned()
        )),
        "sent again, the first would go back twice"
    );
    let refused = "1\t111-0000000-0000001\t1\t25106\tError\tMore than was paid";
    let doubtful = plain(report(1, 1, &[refused])).await;
    assert!(matches!(doubtful, Ok(Progress::Doubtful(_))), "{doubtful:?}: counted as done, and refused");
    // French, in ISO-8859-1.
    let french = "R\u{e9}sum\u{e9} :\n\tNombre d'enregistrements trait\u{e9}s\t\t1\n\tNombre r\u{e9}ussis\t\t0\n\n\
        original-record-number\torder-id\torder-item-id\terror-code\terror-type\terror-message\n\
        1\t111-0000000-0000001\t1\t9\tErreur\tMontant trop \u{e9}lev\u{e9}\n";
    let latin: Vec<u8> = french.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert_eq!(
        told(latin, REPORT_AT).await,
        Ok(Progress::Refused("Amazon refused: Montant trop élevé (9)".to_owned()))
    );
    for (text, why) in [
        ("Service unavailable".to_owned(), "no report"),
        (report(0, 0, &[]), "of no row"),
        (report(1, 0, &[]), "says nothing of what failed"),
        (report(1, 0, &["1\t222-0000000-0000002\t1\t9\tError\tno"]), "another order"),
        (report(1, 1, &["1\t222-0000000-0000002\t1\t9\tWarning\tno"]), "another order, and yet well"),
    ] {
        let unclear = plain(text).await;
        assert!(
            matches!(unclear, Err(ChannelError::Corrupt { in_doubt: true, .. })),
            "{why}: {unclear:?}, nobody says that it was not done"
        );
    }
    let torn = gzipped(&report(1, 1, &[]));
    assert!(told(torn[..torn.len() / 2].to_vec(), &packed).await.unwrap_err().is_in_doubt());
}

#[tokio::test]
async fn a_report_that_names_only_items_is_held_against_the_orders_own() {
    let lines = |item: &str| {
        format!(
            "Feed Processing Summary:\n\tNumber of records processed\t\t1\n\tNumber of records successful\t\t0\n\n\
             original-record-number\torder-item-id\terror-code\terror-type\terror-message\n1\t{item}\t9\tError\tno\n"
        )
    };
    for (item, is_own) in [("1", true), ("2", false)] {
        let (amazon, script, _) = amazon();
        script.answer(200, TOKEN).answer(200, DONE).answer(200, REPORT_AT).answer(200, lines(item));
        script.answer(200, order_in("SHIPPED"));
        let told = amazon.refunded(&feed_order(), "f1").await;
        match told {
            Ok(Progress::Refused(text)) => assert!(is_own && text.contains("no (9)"), "{item}: {text}"),
            Err(error) => assert!(!is_own && error.is_in_doubt(), "{item}: {error}"),
            other => panic!("{item}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_report_must_speak_of_every_row_that_was_sent() {
    let told = async |ticket: &str, text: String| {
        let (amazon, script, _) = amazon();
        script.answer(200, TOKEN).answer(200, DONE).answer(200, REPORT_AT).answer(200, text);
        let told = amazon.refunded(&feed_order(), ticket).await.unwrap();
        assert_eq!(script.lines()[1], "GET /feeds/2021-06-30/feeds/f1");
        told
    };
    assert_eq!(told("f1:2", report(2, 2, &[])).await, Progress::Done);
    let short = told("f1:2", report(1, 1, &[])).await;
    assert!(matches!(&short, Progress::Doubtful(text) if text.contains("1 of 2")), "{short:?}");
    let refused = "1\t111-0000000-0000001\t1\t9\tError\tno";
    assert!(matches!(told("f1:2", report(1, 0, &[refused])).await, Progress::Doubtful(_)));
    assert!(matches!(told("f1:2", report(2, 0, &[refused])).await, Progress::Refused(_)));
}

#[tokio::test]
async fn a_feed_that_amazon_took_back_is_refused_and_one_that_it_gave_up_is_in_doubt() {
    for (word, part) in [("CANCELLED", "was cancelled"), ("FATAL", "gave up")] {
        let (amazon, script, _) = amazon();
        script.answer(200, TOKEN).answer(200, format!(r#"{{"feedId":"f1","processingStatus":"{word}"}}"#));
        match amazon.refunded(&feed_order(), "f1:1").await {
            Ok(Progress::Refused(text)) if word == "CANCELLED" => assert!(text.contains(part), "{text}"),
            Ok(Progress::Doubtful(text)) if word == "FATAL" => assert!(text.contains(part), "{text}"),
            other => panic!("{word}: {other:?}"),
        }
    }
    let (amazon, script, _) = amazon();
    script.answer(200, TOKEN).answer(200, DONE.replace("DONE", "FATAL")).answer(200, REPORT_AT);
    script.answer(200, report(1, 0, &["1\t111-0000000-0000001\t1\t9\tError\tno"]));
    assert!(matches!(amazon.refunded(&feed_order(), "f1:1").await, Ok(Progress::Doubtful(_))));
    // Part of a feed may have been done before it was given up.
    let (amazon, script, _) = self::amazon();
    script.answer(200, TOKEN).answer(200, DONE.replace("DONE", "FATAL")).answer(200, REPORT_AT);
    script.answer(200, report(1, 1, &[]));
    assert_eq!(amazon.refunded(&feed_order(), "f1").await, Ok(Progress::Done));
    let (amazon, script, _) = self::amazon();
    script.answer(200, TOKEN).answer(200, r#"{"feedId":"f1","processingStatus":"DONE"}"#);
    assert!(amazon.refunded(&feed_order(), "f1").await.unwrap_err().is_in_doubt());
    script.answer(200, DONE).answer(200, REPORT_AT).answer(403, "<Error>expired</Error>");
    let expired = amazon.refunded(&feed_order(), "f1").await;
    assert!(matches!(expired, Err(ChannelError::Retry { in_doubt: false, .. })), "{expired:?}");
    script.answer(404, r#"{"errors":[{"code":"NotFound","message":"gone"}]}"#);
    let gone = amazon.refunded(&feed_order(), "f1").await;
    assert!(matches!(gone, Err(ChannelError::Reject { kind: RejectKind::NotFound, .. })), "{gone:?}");
}

#[tokio::test]
async fn a_design_is_found_in_the_payload_and_fetched_where_its_link_still_works() {
    let link = "https://zme.test/t/abc?signature=s3cret";
    let payload = json!({"orderId": "1", "orderItems": [
        {"orderItemId": "1", "product": {"customization": {"customizedUrl": link}}},
        {"orderItemId": "2", "product": {}},
    ]});
    let (amazon, script, _) = amazon();
    let found = amazon.link(&payload.to_string(), "1").unwrap();
    assert_eq!(found.expose(), link);
    assert!(amazon.link(&payload.to_string(), "2").is_none() && amazon.link("{}", "1").is_none());
    script.answer_bytes(200, b"PK\x03\x04rest".to_vec());
    let archive = amazon.archive(&found).await.unwrap().unwrap();
    assert_eq!((archive.bytes.len(), archive.media_type, archive.extension), (8, "application/zip", "zip"));
    let asked = script.asked();
    assert_eq!(asked[0].line, "GET /t/abc?signature=s3cret");
    assert!(!asked[0].headers.contains_key("x-amz-access-token"), "it is not the API's");
    for status in [400, 401, 403, 404, 410] {
        script.answer(status, "<Error/>");
        assert_eq!(amazon.archive(&found).await, Ok(None), "{status}");
    }
    script.answer(200, "<html>").answer(302, "").answer(503, "");
    script.lose(TransportError::BodyTooLarge { limit: 50_000_000 });
    let mut errors = Vec::new();
    for _ in 0..4 {
        let error = amazon.archive(&found).await.unwrap_err();
        assert!(!error.to_string().contains("s3cret") && !error.is_in_doubt(), "{error}");
        errors.push(format!("{error:?}").split(' ').next().unwrap().to_owned());
    }
    assert_eq!(errors, ["Corrupt", "Fatal", "Retry", "Reject"]);
    let plain = Secret::new("http://zme.test/t/abc");
    assert!(matches!(amazon.archive(&plain).await, Err(ChannelError::Corrupt { .. })), "never unencrypted");
    script.asked();

    let (mut setup, _) = script::setup(script.clone(), CREDENTIALS);
    setup.base_url = Some("http://127.0.0.1:9400/amazon".parse().unwrap());
    let elsewhere = Amazon::new(&setup).unwrap();
    script.answer(403, "").answer(403, "");
    elsewhere.archive(&found).await.unwrap();
    elsewhere.archive(&Secret::new("http://127.0.0.1:9400/amazon/x")).await.unwrap();
    assert_eq!(script.lines(), ["GET /amazon/t/abc?signature=s3cret", "GET /amazon/x"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_queue_stops_nothing_but_the_queue() {
    let address = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("queue_url", "https://example.com/1/orders"), ("aws_access_key_id", "A")], "none of SQS"),
        (&[("queue_url", address)], "access key id is missing"),
        (&[("queue_url", address), ("aws_access_key_id", "A")], "secret access key is missing"),
        (&[("aws_secret_access_key", "s")], "address is missing"),
    ];
    for (entered, problem) in cases {
        let credentials = [CREDENTIALS, entered].concat();
        let (setup, _) = script::setup(Arc::new(Script::default()), &credentials);
        let amazon = Amazon::new(&setup).unwrap();
        assert!(amazon.flaw().unwrap().contains(problem), "{problem}: {:?}", amazon.flaw());
        let queue = amazon.message_queue().unwrap();
        assert!(queue.receive().await.unwrap_err().error.to_string().contains(problem));
        assert!(queue.subscribe().await.unwrap_err().to_string().contains(problem));
    }
    let (amazon, _, _) = amazon();
    assert!(amazon.flaw().is_none() && amazon.message_queue().is_none());
}

#[tokio::test]
async fn an_app_without_the_role_for_notifications_keeps_its_authorisation() {
    let queue = [
        ("queue_url", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"),
        ("aws_access_key_id", "A"),
        ("aws_secret_access_key", "s"),
    ];
    let denied =
        r#"{"errors":[{"code":"Unauthorized","message":"Access to requested resource is denied."}]}"#;
    let script = Arc::new(Script::default());
    let (setup, _) = script::setup(script.clone(), &[CREDENTIALS, &queue].concat());
    let amazon = Amazon::new(&setup).unwrap();
    // The token is renewed first, since Amazon says the same of one that has expired.
    script.answer(200, TOKEN).answer(403, denied).answer(200, TOKEN).answer(403, denied);
    let error = amazon.message_queue().unwrap().subscribe().await.unwrap_err();
    assert!(
        matches!(&error, ChannelError::Reject { message, .. } if message.contains("denied")),
        "{error:?}"
    );
    script.answer(404, "{}").answer(200, TOKEN).answer(403, denied).answer(200, TOKEN).answer(403, denied);
    let error = amazon.message_queue().unwrap().subscribe().await.unwrap_err();
    assert!(matches!(error, ChannelError::Reject { .. }), "{error:?}");
    script.answer(403, denied).answer(200, TOKEN).answer(403, denied);
    let start = PollStart { since: None, is_bulk: false };
    let error = amazon.changed_orders(&Cursor::default(), start).await.unwrap_err();
    assert!(matches!(error, ChannelError::Reauth { .. }), "{error:?}");
}

//! BigCommerce from recorded and made-up answers.

use super::super::webhooks::HookAddress;
use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::script::{self, NOW, Script};
use super::super::{Window, amazon};
use super::*;
use crate::clock::ManualClock;
use crate::domain::connection::{ConnectionSettings, CustomerEmail};
use crate::domain::draft::{DraftContext, ExternalSource, shop_order};
use crate::domain::money::{Currency, minor_rounded, parse_decimal};
use crate::domain::order::{AmountKind, OrderStatus};
use crate::domain::refund::ShopRefundKind;
use crate::domain::shipment::ShippedLine;
use crate::http::TransportError;

const CREDENTIALS: &[(&str, &str)] =
    &[("store_hash", "https://api.bigcommerce.com/stores/AbC123/v3/"), ("access_token", "t0ken")];

fn shop() -> (BigCommerce, Arc<Script>, Arc<ManualClock>) {
    let script = Arc::new(Script::default());
    let (setup, clock) = script::setup(script.clone(), CREDENTIALS);
    (BigCommerce::new(&setup).unwrap(), script, clock)
}

fn usd() -> Currency {
    "USD".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An order as the list has it, changed in that second of the test's minute.
fn listed(id: i64, second: i64, source: Option<&str>) -> Value {
    json!({
        "id": id, "status_id": 9, "status": "Awaiting Shipment", "is_deleted": false,
        "date_created": "Sat, 21 Nov 2026 11:00:00 +0000",
        "date_modified": format!("Sat, 21 Nov 2026 11:30:{second:02} +0000"),
        "total_inc_tax": "10.0000", "currency_code": "EUR", "default_currency_code": "USD",
        "items_total": 1, "items_shipped": "0", "shipping_address_count": 1,
        "external_source": source, "external_order_id": source.map(|_| "111-1"),
    })
}

const OURS: Option<&str> = Some("eider:amazon:A1:inst");

#[test]
fn every_recorded_payload_can_be_read_and_its_money_sums() {
    for (name, text) in script::fixtures("bigcommerce/v2", "orders_v2_") {
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        if name.contains("count") {
            continue;
        }
        if name.contains("products") {
            let products: Vec<wire::OrderProduct> = serde_json::from_value(value).unwrap();
            assert!(products.iter().all(|product| map::order_line(product).is_some()), "{name}");
            continue;
        }
        if name.contains("shipping_addresses") {
            let addresses: Vec<wire::Address> = serde_json::from_value(value).unwrap();
            assert!(addresses.iter().all(|address| address.id.is_some()), "{name}");
            continue;
        }
        let orders = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for order in orders {
            let read: wire::Order = serde_json::from_value(order.clone()).unwrap();
            map::summary(&read).unwrap_or_else(|error| panic!("{name}: {error}"));
            let payload = json!({"order": order, "products": null});
            let facts = map::order(&payload.to_string()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(facts.sum_paid().unwrap(), facts.total_minor, "{name}");
        }
    }
    for (name, text) in script::fixtures("bigcommerce/v2", "storeinformation_store") {
        let profile = map::profile(serde_json::from_str(&text).unwrap()).unwrap_or_else(|| panic!("{name}"));
        assert!(profile.currency.len() == 3 && profile.time_zone.is_some(), "{name}: {profile:?}");
    }
    for (name, text) in script::fixtures("bigcommerce/v3", "variants") {
        let file: Value = serde_json::from_str(&text).unwrap();
        let variant = file.get("data").unwrap_or(&file);
        assert!(map::variant(serde_json::from_value(variant.clone()).unwrap()).is_some(), "{name}");
    }
}

#[test]
fn an_order_of_the_shop_says_everything() {
    let mut order = listed(218, 25, None);
    order["total_inc_tax"] = json!("69.8400");
    order["shipping_cost_ex_tax"] = json!("11.0900");
    order["shipping_cost_inc_tax"] = json!("12.0000");
    order["discount_amount"] = json!("5.0000");
    order["coupon_discount"] = json!("5.0000");
    order["customer_id"] = json!(11);
    order["billing_address"] = json!({"first_name": "Jane", "last_name": "Doe", "street_1": "555 East Street",
        "street_2": "", "city": "Austin", "state": "Texas", "zip": "78108", "country_iso2": "US",
        "email": "janedoe@example.com"});
    let payload = json!({
        "order": order,
        "products": [{"id": 1, "product_id": 77, "variant_id": 5, "name": "Towel", "sku": "T", "quantity": 4,
            "quantity_shipped": "1", "price_ex_tax": "15.6698", "total_ex_tax": "62.6793",
            "total_inc_tax": "67.8400", "product_options": [{"display_name": "Size", "display_value": "S"}]}],
        "shipping_addresses": [{"id": 3, "first_name": "Jane", "country_iso2": "US", "shipping_method": "Flat"}],
        "shipments": [{"id": 9, "date_created": "Sun, 22 Nov 2026 08:00:00 +0000", "shipping_provider": "",
            "tracking_carrier": "ups", "tracking_number": "1Z", "items": [{"order_product_id": 1, "quantity": 1}]}],
    });
    let facts = map::order(&payload.to_string()).unwrap();
    assert_eq!(facts.sum_paid().unwrap(), 6984);
    insta::assert_debug_snapshot!(facts);
}

#[test]
fn a_refund_is_read_without_what_the_provider_declined() {
    let listed = json!([
        {"id": 12, "created": "2026-11-21T11:30:00+00:00", "total_amount": 50, "items": [
            {"item_type": "PRODUCT", "item_id": 87, "quantity": 2, "requested_amount": null},
            {"item_type": "HANDLING", "item_id": 3, "quantity": 1, "requested_amount": "5.00"},
            {"item_type": "FEE", "item_id": 180, "requested_amount": 1.99},
        ], "payments": [{"amount": 19.95, "is_declined": true}, {"amount": 30.05, "is_declined": false}]},
        {"id": 13, "total_amount": 5, "items": [], "payments": [{"amount": 5, "is_declined": true}]},
        {"id": 14, "total_amount": 0.1, "items": [], "payments": []},
    ]);
    let listed: Vec<wire::Refund> = serde_json::from_value(listed).unwrap();
    let refunds = map::refunds(&listed, usd()).unwrap();
    let totals: Vec<(&str, i64)> =
        refunds.iter().map(|refund| (refund.refund_id.as_str(), refund.total_minor)).collect();
    assert_eq!(totals, [("12", 3_005), ("14", 10)]);
    assert_eq!(refunds[0].refunded_at, Some(at("2026-11-21T11:30:00Z")));
    let items: Vec<(ShopRefundKind, Option<&str>, i64, Option<i64>)> = refunds[0]
        .items
        .iter()
        .map(|item| (item.kind, item.shop_line_id.as_deref(), item.quantity, item.minor))
        .collect();
    let wanted = [
        (ShopRefundKind::Goods, Some("87"), 2, None),
        (ShopRefundKind::Shipping, None, 0, Some(500)),
        (ShopRefundKind::Order, None, 0, Some(199)),
    ];
    assert_eq!(items, wanted);
    for (name, text) in script::fixtures("bigcommerce/v3", "orders__order_refunds") {
        let file: Value = serde_json::from_str(&text).unwrap();
        let refund: wire::Refund = serde_json::from_value(file["data"].clone()).unwrap();
        assert_eq!(map::refunds(&[refund], usd()), Ok(Vec::new()), "{name}: declined");
    }
}

#[test]
fn a_status_is_what_its_number_says() {
    let read = |status_id: i64, shipped: i64| {
        let mut order = listed(1, 1, None);
        order["status_id"] = json!(status_id);
        order["items_shipped"] = json!(shipped);
        let facts = map::order(&json!({"order": order}).to_string()).unwrap();
        (facts.status, facts.is_paid)
    };
    assert_eq!(read(1, 0), (OrderStatus::Pending, false));
    assert_eq!(read(7, 0), (OrderStatus::Pending, false));
    assert_eq!(read(2, 1), (OrderStatus::Shipped, true));
    assert_eq!(read(3, 1), (OrderStatus::PartShipped, true));
    assert_eq!(read(4, 0), (OrderStatus::Cancelled, true));
    assert_eq!(read(4, 1), (OrderStatus::Shipped, true));
    assert_eq!(read(5, 0), (OrderStatus::Cancelled, true));
    assert_eq!(read(6, 0), (OrderStatus::Cancelled, false));
    assert_eq!(read(10, 0), (OrderStatus::Shipped, true));
    assert_eq!(read(99, 0), (OrderStatus::Open, true));
    for (text, expected) in [
        ("Tue, 05 Mar 2019 21:40:11 +0000", "2019-03-05T21:40:11Z"),
        ("Mon, 05 Mar 2019 16:40:11 -0500", "2019-03-05T21:40:11Z"),
        ("2019-03-05T21:40:11+00:00", "2019-03-05T21:40:11Z"),
    ] {
        let order: wire::Order = serde_json::from_value(json!({"date_modified": text})).unwrap();
        assert_eq!(map::modified(&order), Some(at(expected)), "{text}");
    }
}

#[tokio::test]
async fn the_shops_own_orders_come_whole_and_ours_as_rows() {
    let (shop, script, _) = shop();
    let mut cart = listed(4, 4, None);
    cart["status_id"] = json!(0);
    let own = listed(2, 2, None).to_string().replacen(',', ", ", 1);
    let list = format!("[{}, {own} ,{},{cart}]", listed(1, 1, OURS), listed(3, 3, Some("m2e")));
    let products = r#"[{"id": 5,  "quantity":1}]"#;
    script.answer(200, list);
    for _ in 0..2 {
        script.answer(200, products).answer(204, "");
    }
    // The two orders are read at the same time: their answers are alike.
    let start = PollStart { since: Some(at("2026-11-01T00:00:00Z")), is_bulk: false };
    let page = shop.changed_shop_orders(&Cursor::default(), start).await;
    let asked = script.asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(
        lines[0],
        "GET /stores/abc123/v2/orders?limit=250&min_date_modified=2026-11-01T00:00:00Z&sort=date_modified:asc"
    );
    assert_eq!(asked[0].headers["x-auth-token"], "t0ken");
    assert_eq!(asked[0].headers["accept"], "application/json");
    assert!(lines.contains(&"GET /stores/abc123/v2/orders/3/products?limit=250&page=1"), "{lines:?}");
    assert_eq!(lines.len(), 5, "no parcels are asked for where none was shipped: {lines:?}");
    let page = page.unwrap();
    assert_eq!(page.summaries.len(), 4);
    assert_eq!(page.summaries[0].origin.external_order_id.as_deref(), Some("111-1"));
    assert_eq!((page.summaries[0].total_minor, page.summaries[0].currency.as_str()), (1000, "USD"));
    assert_eq!(
        page.own.iter().map(|one| one.external_id.as_deref().unwrap()).collect::<Vec<_>>(),
        ["2", "3"]
    );
    assert!(page.own[0].payload.starts_with(&format!("{{\"order\":{own},\"products\":")), "as received");
    assert_eq!(page.cursor, Cursor { updated_until: Some(at("2026-11-21T11:30:04Z")), window: None });
    assert!(!page.has_more);

    script.answer(204, "");
    let empty = shop.changed_shop_orders(&page.cursor, start).await.unwrap();
    assert_eq!((empty.cursor, empty.summaries.len()), (page.cursor, 0));
    assert!(script.lines()[0].contains("min_date_modified=2026-11-21T11:28:04Z"), "with an overlap");
}

#[tokio::test]
async fn an_own_order_that_is_listed_again_is_asked_for_once_more_and_no_oftener() {
    let (shop, script, clock) = shop();
    let start = PollStart { since: Some(at("2026-11-01T00:00:00Z")), is_bulk: false };
    // The orders listed, how many of them are told of, and the units that are read and the calls that were made.
    let poll = async |orders: &[Value], told: usize, units: i64, start: PollStart| {
        script.answer(200, Value::from(orders.to_vec()).to_string());
        for _ in 0..told {
            script.answer(200, json!([{"id": 5, "quantity": units}]).to_string()).answer(204, "");
        }
        let page = shop.changed_shop_orders(&Cursor::default(), start).await.unwrap();
        let first = page.own[0].facts.as_ref().unwrap().lines.first().map(|line| line.quantity);
        (page.own.len(), first, script.lines().len())
    };
    let one = [listed(2, 2, None)];
    assert_eq!(poll(&one, 1, 1, start).await, (1, Some(1), 3));
    clock.advance(Duration::from_secs(50));
    assert_eq!(poll(&one, 0, 0, start).await, (1, Some(1), 1), "too early for a better answer");
    clock.advance(Duration::from_secs(10));
    assert_eq!(poll(&one, 1, 2, start).await, (1, Some(2), 3), "its lines lagged behind the list");
    clock.advance(Duration::from_secs(60));
    assert_eq!(poll(&one, 0, 0, start).await, (1, Some(2), 1));
    let mut changed = one.clone();
    changed[0]["status_id"] = json!(2);
    assert_eq!(poll(&changed, 1, 3, start).await, (1, Some(3), 3));
    // Whoever reads orders anew, many or one, hears what the shop says now.
    let anew = PollStart { is_bulk: true, ..start };
    assert_eq!(poll(&changed, 1, 4, anew).await, (1, Some(4), 3));
    script.answer(200, changed[0].to_string()).answer(200, r#"[{"id": 5, "quantity": 5}]"#).answer(204, "");
    let alone = OrderSource::order(&shop, "2").await.unwrap().unwrap().facts.unwrap();
    assert_eq!((alone.lines[0].quantity, script.lines().len()), (5, 3));
    assert_eq!(poll(&changed, 1, 6, start).await, (1, Some(6), 3));
    // What is known takes no place among those that are asked for in one step.
    let many: Vec<Value> = (0..60).map(|number| listed(100 + number, 3, None)).collect();
    for (taken, told) in [(20, 20), (40, 20), (60, 20), (60, 0)] {
        let (own, _, calls) = poll(&many, told, 1, start).await;
        assert_eq!((own, calls), (taken, 1 + 2 * told));
    }
}

#[tokio::test]
async fn no_order_is_skipped_where_hundreds_share_a_second() {
    let (shop, script, _) = shop();
    let page = |ids: std::ops::Range<i64>, second| {
        Value::from(ids.map(|id| listed(id, second, OURS)).collect::<Vec<_>>()).to_string()
    };
    let start = PollStart { since: Some(at("2026-11-21T11:30:07Z")), is_bulk: false };
    script.answer(200, page(0..250, 7)).answer(200, page(0..250, 7)).answer(200, page(250..300, 7));
    script.answer(200, page(300..310, 7)).answer(200, page(310..315, 9));
    let mut cursor = Cursor::default();
    let mut seen = BTreeSet::new();
    let mut ends = Vec::new();
    loop {
        let page = shop.changed_shop_orders(&cursor, start).await.unwrap();
        seen.extend(page.summaries.into_iter().map(|one| one.shop_order_id.parse::<i64>().unwrap()));
        cursor = page.cursor;
        ends.push(cursor.updated_until.is_some());
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, (0..315).collect());
    assert_eq!(ends, [false, false, false, true, true], "a second half seen is not seen");
    assert_eq!(cursor, Cursor { updated_until: Some(at("2026-11-21T11:30:09Z")), window: None });
    let by_id = "&max_date_modified=2026-11-21T11:30:08Z";
    assert_eq!(
        script.lines(),
        [
            "?limit=250&min_date_modified=2026-11-21T11:30:07Z&sort=date_modified:asc".to_owned(),
            format!("?limit=250&min_date_modified=2026-11-21T11:30:07Z{by_id}&min_id=0&sort=id:asc"),
            format!("?limit=250&min_date_modified=2026-11-21T11:30:07Z{by_id}&min_id=250&sort=id:asc"),
            format!("?limit=250&min_date_modified=2026-11-21T11:30:07Z{by_id}&min_id=300&sort=id:asc"),
            "?limit=250&min_date_modified=2026-11-21T11:30:08Z&sort=date_modified:asc".to_owned(),
        ]
        .map(|query| format!("GET /stores/abc123/v2/orders{query}"))
    );
}

#[test]
fn a_full_page_goes_on_at_its_last_second_and_own_orders_are_few_at_a_time() {
    let orders = |count: i64, source: Option<&str>| -> Vec<wire::Order> {
        let read = |id| serde_json::from_value(listed(id, id / 10, source)).unwrap();
        (0..count).map(read).collect()
    };
    let step = |orders: &[wire::Order]| {
        let cursor = Cursor::default();
        let taken = walk::taken(orders.iter().map(map::is_own));
        let walk = walk::Walk::next(&cursor, PollStart { since: None, is_bulk: false });
        (taken, walk.step(&cursor, &orders.iter().collect::<Vec<_>>(), taken))
    };
    let (taken, full) = step(&orders(250, OURS));
    assert_eq!((taken, full.has_more), (250, true));
    assert_eq!(full.cursor.window.as_ref().unwrap().next, r#"{"from":"2026-11-21T11:30:24Z"}"#);
    let (taken, own) = step(&orders(100, None));
    assert_eq!((taken, own.has_more), (20, true));
    assert_eq!(own.cursor.window.unwrap().next, r#"{"from":"2026-11-21T11:30:01Z"}"#);
    let odd = Cursor {
        updated_until: Some(at(NOW)),
        window: Some(Window { next: "p2".to_owned(), until: None, expires_at: None }),
    };
    let query = walk::Walk::next(&odd, PollStart { since: None, is_bulk: false }).query();
    assert!(query.contains(&("min_date_modified", "2026-11-21T11:58:00Z".to_owned())), "{query:?}");
}

#[tokio::test]
async fn one_order_comes_with_all_pages_of_its_lines() {
    let (shop, script, _) = shop();
    let mut order = listed(7, 1, None);
    order["items_shipped"] = json!(1);
    let lines = |from: i64, to: i64| {
        let line = |id| json!({"id": id, "quantity": 1, "total_ex_tax": "0.2000", "total_inc_tax": "0.2000"});
        Value::from((from..to).map(line).collect::<Vec<_>>()).to_string()
    };
    // Lines, addresses and parcels are asked for at the same time.
    script.answer(200, order.to_string()).answer(200, lines(0, 50));
    script.answer(200, r#"[{"id":1,"country_iso2":"US"}]"#).answer(204, "").answer(200, lines(50, 51));
    let received = OrderSource::order(&shop, "7").await.unwrap().unwrap();
    let facts = received.facts.clone().unwrap();
    assert_eq!((facts.lines.len(), facts.shipments.as_ref().map(Vec::len)), (51, Some(0)));
    assert_eq!(shop.read(&received.payload), Ok(facts));
    let cut = crate::domain::person::cut(&received.payload, shop.person_paths()).unwrap();
    assert_eq!(crate::domain::person::restore(&cut.payload, &cut.values).unwrap(), received.payload);
    assert!(!cut.payload.contains("country_iso2"));
}

fn source() -> ExternalSource {
    OURS.unwrap().parse().unwrap()
}

/// An Amazon order with awkward quantities, discounts and tax, as the connector reads it.
fn amazon_facts(lines: &[(i64, &str, &str, &str)], total: &str) -> OrderFacts {
    let money = |amount: &str| json!({"amount": amount, "currencyCode": "USD"});
    let item = |(index, (quantity, price, discount, tax)): (usize, &(i64, &str, &str, &str))| {
        json!({"orderItemId": index.to_string(), "quantityOrdered": quantity,
            "product": {"sellerSku": format!("S{index}"), "title": "Thing"},
            "proceeds": {"breakdowns": [
                {"type": "ITEM", "subtotal": money(price)},
                {"type": "SHIPPING", "subtotal": money("4.99")},
                {"type": "DISCOUNT", "subtotal": money(discount)},
                {"type": "TAX", "subtotal": money(tax)}]}})
    };
    let order = json!({
        "orderId": "111-1", "createdTime": "2026-11-20T08:00:00Z",
        "fulfillment": {"fulfillmentStatus": "UNSHIPPED", "fulfilledBy": "MERCHANT",
            "fulfillmentServiceLevel": "STANDARD"},
        "proceeds": {"grandTotal": money(total)},
        "recipient": {"deliveryAddress": {"name": "Mary Ann Smith", "addressLine1": "1 Main St",
            "addressLine2": "Unit 4", "addressLine3": "Rear", "city": "Seattle", "stateOrRegion": "wa",
            "postalCode": "1", "countryCode": "US", "phone": "555"}},
        "buyer": {"buyerEmail": "x@marketplace.amazon.com"},
        "orderItems": lines.iter().enumerate().map(item).collect::<Vec<_>>(),
    });
    let (setup, _) = script::setup(
        Arc::new(Script::default()),
        &[
            ("client_id", "i"),
            ("client_secret", "s"),
            ("refresh_token", "r"),
            ("seller_id", "A1"),
            ("marketplace_ids", "ATVPDKIKX0DER"),
        ],
    );
    let connector = (amazon::INFO.connect)(setup).unwrap();
    connector.order_source().unwrap().read(&order.to_string()).unwrap()
}

fn draft(facts: &OrderFacts) -> ShopOrderDraft {
    let settings =
        ConnectionSettings { customer_email: CustomerEmail::Keep, ..ConnectionSettings::default() };
    let variant =
        ShopVariant { product_id: "77".to_owned(), variant_id: "5".to_owned(), sku: "S0".to_owned() };
    let variants = HashMap::from([("s0".to_owned(), variant)]);
    let context = DraftContext {
        settings: &settings,
        alias: "Amazon US",
        source: source(),
        variants: &variants,
        shop_currency: Some("USD"),
        custom_lines_only: false,
    };
    shop_order(facts, &context).unwrap()
}

#[tokio::test]
async fn an_order_is_created_as_the_specification_has_it() {
    let (shop, script, _) = shop();
    let facts = amazon_facts(&[(3, "10.00", "-1.00", "0.85"), (1, "5.00", "0.00", "0.00")], "24.83");
    script.answer(201, listed(900, 30, OURS).to_string());
    let created = shop.create(&draft(&facts)).await.unwrap();
    assert_eq!(
        (created.shop_order_id.as_str(), created.total_minor),
        ("900", 1000),
        "the total is the answer's"
    );
    let asked = script.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "POST /stores/abc123/v2/orders");
    insta::assert_snapshot!(asked[0].body.replace(",\"", ",\n\""));
    assert!(asked[0].body.contains(r#""price_ex_tax":3.0000,"#), "no float: {}", asked[0].body);
}

#[test]
fn money_comes_through_to_the_minor_unit() {
    type Lines = &'static [(i64, &'static str, &'static str, &'static str)];
    let cases: &[(Lines, &str)] = &[
        (&[(3, "10.00", "-0.01", "0.83")], "15.81"),
        (&[(7, "99.99", "-33.33", "5.51"), (3, "0.01", "0.00", "0.00")], "82.16"),
        (&[(1, "5.00", "-5.00", "0.00")], "4.99"),
        (&[(2, "5.00", "-6.00", "0.10"), (1, "9.00", "-0.50", "0.03")], "17.61"),
        (&[(1000, "0.10", "-0.03", "0.01")], "5.07"),
    ];
    let usd = usd();
    for (lines, total) in cases {
        let facts = amazon_facts(lines, total);
        assert_eq!(facts.sum_paid().unwrap(), facts.total_minor, "{total}");
        let draft = draft(&facts);
        let body = serde_json::to_value(map::new_order(&draft).unwrap()).unwrap();
        let minor =
            |name: &str| minor_rounded(parse_decimal(body[name].as_str().unwrap()).unwrap(), usd).unwrap();
        for kind in ["ex", "inc"] {
            let part = |name: &str| minor(&format!("{name}_{kind}_tax"));
            let parts =
                part("subtotal") + part("shipping_cost") + part("handling_cost") + part("wrapping_cost");
            assert_eq!(parts - minor("discount_amount"), part("total"), "{total} {kind}: {body:#}");
        }
        assert_eq!(minor("total_inc_tax"), facts.total_minor);
        let tax = facts.amount(AmountKind::ItemTax, None).unwrap();
        assert_eq!(minor("total_inc_tax") - minor("total_ex_tax"), tax);
    }
}

#[tokio::test]
async fn a_refused_or_lost_create_says_whether_the_order_may_exist() {
    let facts = amazon_facts(&[(1, "5.00", "0.00", "0.00")], "9.99");
    let draft = draft(&facts);
    let create = async |prepare: &dyn Fn(&Script)| {
        let (shop, script, _) = shop();
        prepare(&script);
        let error = shop.create(&draft).await.unwrap_err();
        assert_eq!(script.asked().len(), 1, "exactly one call");
        error
    };
    let stock = r#"[{"status":400,"message":"The product 'Towel' does not have enough stock: 1 available, 2 requested."}]"#;
    let error = create(&|script| _ = script.answer(400, stock)).await;
    assert!(matches!(error, ChannelError::Reject { kind: RejectKind::OutOfStock, .. }), "{error:?}");
    let limit = r#"[{"status":400,"message":"You need to purchase a minimum quantity of 5 of the product 'Towel'."}]"#;
    let error = create(&|script| _ = script.answer(400, limit)).await;
    assert!(matches!(error, ChannelError::Reject { kind: RejectKind::QuantityLimit, .. }), "{error:?}");
    let other = r#"[{"status":400,"message":"The field 'zip' is invalid."}]"#;
    let error = create(&|script| _ = script.answer(400, other)).await;
    assert!(
        matches!(&error, ChannelError::Reject { kind: RejectKind::Other, message } if message.contains("zip"))
    );
    for status in [500, 502, 503, 504] {
        let error = create(&|script| _ = script.answer(status, "<html>")).await;
        assert!(matches!(error, ChannelError::Retry { in_doubt: true, .. }), "{status}: {error:?}");
    }
    for body in ["", "{", "{}"] {
        let error = create(&|script| _ = script.answer(200, body)).await;
        assert!(matches!(error, ChannelError::Corrupt { in_doubt: true, .. }), "{body}: {error:?}");
    }
    for body in ["[{\"status\":400,\"mess", "<html>Bad request</html>"] {
        let error = create(&|script| _ = script.answer(400, body)).await;
        assert!(matches!(error, ChannelError::Corrupt { in_doubt: true, .. }), "{body}: {error:?}");
    }
    let cut = TransportError::ResetMidway("reset".to_owned());
    assert!(create(&|script| _ = script.lose(cut.clone())).await.is_in_doubt());
    let closed = TransportError::ConnectFailed("refused".to_owned());
    assert!(!create(&|script| _ = script.lose(closed.clone())).await.is_in_doubt());
}

#[tokio::test]
async fn what_is_found_is_what_was_asked_for() {
    let (shop, script, _) = shop();
    let mut archived = listed(3, 3, OURS);
    archived["is_deleted"] = json!(true);
    script.answer(200, json!([listed(1, 1, OURS), listed(2, 2, None), archived]).to_string()).answer(204, "");
    let found = shop.find("111-1").await.unwrap();
    assert_eq!(found.iter().map(|one| one.shop_order_id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(shop.find("111-2").await, Ok(Vec::new()));
    assert_eq!(script.lines()[0], "GET /stores/abc123/v2/orders?external_order_id=111-1&limit=250");
}

#[tokio::test]
async fn parcels_go_in_with_carriers_that_the_shop_knows() {
    let (shop, script, _) = shop();
    let parcel = |carrier: &str| ShipmentDraft {
        parcel: 1,
        carrier: Some(carrier.to_owned()),
        service: Some("Ground".to_owned()),
        tracking: Some("1Z".to_owned()),
        shipped_at: at(NOW),
        lines: vec![ShippedLine { external_line_id: "5".to_owned(), quantity: 2 }],
    };
    script
        .answer(201, r#"{"id":31}"#)
        .answer(201, r#"{"id":"32"}"#)
        .answer(200, listed(9, 1, OURS).to_string());
    assert_eq!(shop.add_shipment("9", "20", &parcel("FedEx")).await.as_deref(), Ok("31"));
    assert_eq!(shop.add_shipment("9", "20", &parcel("Bike")).await.as_deref(), Ok("32"));
    shop.set_status("9", 2).await.unwrap();
    let asked = script.asked();
    assert_eq!(asked[0].line, "POST /stores/abc123/v2/orders/9/shipments");
    assert_eq!(
        asked[0].json(),
        json!({"order_address_id": 20, "tracking_number": "1Z", "shipping_method": "Ground",
            "shipping_provider": "fedex", "items": [{"order_product_id": 5, "quantity": 2}]})
    );
    assert_eq!(asked[1].json()["comments"], "Carrier: Bike");
    assert_eq!(
        (asked[2].line.as_str(), asked[2].body.as_str()),
        ("PUT /stores/abc123/v2/orders/9", r#"{"status_id":2}"#)
    );
    assert!(shop.is_shipped_status(3) && !shop.is_shipped_status(9));
}

#[tokio::test]
async fn skus_are_matched_in_any_case_and_in_short_addresses() {
    let (shop, script, _) = shop();
    let page = |sku: &str, pages: i64| {
        json!({"data": [{"id": 5, "product_id": 77, "sku": sku}, {"id": 6, "product_id": 77, "sku": ""}],
            "meta": {"pagination": {"total_pages": pages}}})
        .to_string()
    };
    script.answer(200, page("a,b", 1)).answer(200, page("abc", 2)).answer(200, page("other", 2));
    let skus = ["ABC", "A,B", " ", "ABC"].map(str::to_owned);
    let found = shop.variants_by_sku(&skus).await.unwrap();
    assert_eq!(found.iter().map(|one| one.sku.as_str()).collect::<Vec<_>>(), ["a,b", "abc"]);
    assert_eq!(
        script.lines(),
        [
            "GET /stores/abc123/v3/catalog/variants?sku=A,B&limit=250&page=1",
            "GET /stores/abc123/v3/catalog/variants?sku:in=ABC&limit=250&page=1",
            "GET /stores/abc123/v3/catalog/variants?sku:in=ABC&limit=250&page=2",
        ]
    );
    let many: Vec<String> = (0..120).map(|number| format!("SKU-{number}")).collect();
    assert_eq!(sku_filters(&many).len(), 3);
    let long: Vec<String> = (0..10).map(|number| format!("{number}{}", "é".repeat(100))).collect();
    let filters = sku_filters(&long);
    assert!(filters.len() > 1 && filters.iter().all(|(_, value)| segment(value).len() <= SKU_CHARS_MAX));
    assert!(sku_filters(&[]).is_empty());
}

#[tokio::test]
async fn the_stores_quota_is_learnt_from_its_answers() {
    let (shop, script, clock) = shop();
    let headers = [
        ("x-rate-limit-requests-left", "0"),
        ("x-rate-limit-requests-quota", "150"),
        ("x-rate-limit-time-reset-ms", "15000"),
        ("x-rate-limit-time-window-ms", "30000"),
    ];
    script.answer_with(200, &headers, r#"{"currency":"USD"}"#);
    assert_eq!(shop.profile().await.unwrap().currency, "USD");
    script.asked();
    let error = shop.profile().await.unwrap_err();
    assert!(
        matches!(error, ChannelError::Retry { throttled: true, in_doubt: false, .. })
            && script.asked().is_empty()
    );
    assert_eq!(shop.quota()[0].wait_s, 15);
    clock.advance(Duration::from_secs(15));
    script.answer_with(429, &headers[2..3], "");
    match shop.profile().await.unwrap_err() {
        ChannelError::Retry { after, throttled: true, .. } => {
            assert_eq!(after, Some(Duration::from_secs(15)))
        }
        other => panic!("{other:?}"),
    }
    clock.advance(Duration::from_secs(15));
    script.answer(429, "");
    match shop.profile().await.unwrap_err() {
        ChannelError::Retry { after, .. } => {
            assert_eq!(after, Some(Duration::from_secs(4)), "our own pause grows")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_test_names_the_scope_that_is_missing() {
    let (shop, script, _) = shop();
    script.answer(200, r#"{"name":"Shop","currency":"USD"}"#).answer(200, r#"{"time":1}"#);
    script.answer(204, "").answer(403, r#"{"status":403,"title":"You don't have a required scope"}"#);
    let report = Probe::probe(&shop).await;
    let lines: Vec<(&str, bool)> =
        report.lines.iter().map(|line| (line.check.as_str(), line.is_ok)).collect();
    assert_eq!(lines, [("Store", true), ("Connection", true), ("Orders", true), ("Products", false)]);
    assert!(report.lines[3].detail.contains("scope"), "{}", report.lines[3].detail);
    assert_eq!(report.account.as_deref(), Some("abc123"));
}

#[test]
fn credentials_are_found_in_what_bigcommerce_hands_out() {
    let text = "ACCESS TOKEN: tok\r\nCLIENT NAME: X\r\nCLIENT ID: cid\r\nCLIENT SECRET:\r\n  sec\r\n\
                NAME: eider\r\nAPI PATH: https://api.bigcommerce.com/stores/AbC9/v3/\r\n";
    let found = config::parse_credentials_file(text);
    let expected =
        [("access_token", "tok"), ("client_id", "cid"), ("client_secret", "sec"), ("store_hash", "abc9")];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    for text in ["abc9", " ABC9 ", "https://store-abc9.mybigcommerce.com/manage", "stores/abc9"] {
        let hash = config::store_hash(text);
        assert!(hash.as_deref() == Some("abc9") || text == "stores/abc9", "{text}: {hash:?}");
    }
    assert_eq!(config::store_hash("https://example.com"), None);
    assert_eq!(config::store_hash(""), None);
}

#[tokio::test]
async fn the_shops_own_orders_of_a_time_are_listed_by_their_ids() {
    let (shop, script, _) = shop();
    let mut cart = listed(4, 4, None);
    cart["status_id"] = json!(0);
    let page: Vec<Value> = (10..260).map(|id| listed(id, 5, if id == 11 { None } else { OURS })).collect();
    script.answer(200, json!([listed(2, 2, None), listed(1, 1, OURS), cart]).to_string());
    script.answer(200, Value::from(page).to_string()).answer(204, "");
    let window = |from: &str, until: &str| PlacedWindow { from: at(from), until: at(until), is_bulk: true };
    let day = window("2026-01-01T00:00:00Z", "2026-12-01T00:00:00Z");
    let found = shop.placed_orders(day, None).await.unwrap();
    assert_eq!((found.external_ids, found.next), (vec!["2".to_owned()], None));
    let found = shop.placed_orders(day, None).await.unwrap();
    assert_eq!((found.external_ids, found.next.as_deref()), (vec!["11".to_owned()], Some("260")));
    let found = shop.placed_orders(day, Some("260")).await.unwrap();
    assert_eq!((found.external_ids.len(), found.next), (0, None));
    let lines = script.lines();
    assert!(
        lines[2].ends_with(
            "?limit=250&min_date_created=2026-01-01T00:00:00Z&max_date_created=2026-12-01T00:00:00Z&min_id=260&sort=id:asc"
        ),
        "{lines:?}"
    );
    script.answer(200, json!([listed(2, 2, None)]).to_string());
    let other = window("2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z");
    assert_eq!(shop.placed_orders(other, None).await.unwrap().external_ids, Vec::<String>::new());
}

#[tokio::test]
async fn hooks_that_need_another_scope_cost_no_authorisation() {
    let script = Arc::new(Script::default());
    let credentials = [CREDENTIALS, &[("client_secret", "s")]].concat();
    let (setup, _) = script::setup(script.clone(), &credentials);
    let shop = BigCommerce::new(&setup).unwrap();
    let refusal = r#"{"status":403,"title":"You don't have a required scope"}"#;
    script.answer(403, refusal);
    let error = shop
        .webhooks()
        .unwrap()
        .subscribe(HookAddress { endpoint: "https://shop.example/hooks/1", others: &[] })
        .await
        .unwrap_err();
    assert!(matches!(&error, ChannelError::Reject { message, .. } if message.contains("scope")), "{error:?}");
    script.answer(403, refusal);
    assert!(matches!(shop.profile().await, Err(ChannelError::Reauth { .. })));
}

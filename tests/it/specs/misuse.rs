//! Calls that no connector makes: each is wrong in one way, so that the simulators' refusals are held against the
//! specifications too. Only the answers count; what is sent here is wrong on purpose.

use serde_json::{Value, json};

/// A wrong call.
#[derive(Debug)]
pub struct Misuse {
    pub operation: &'static str,
    pub method: &'static str,
    /// Path and query; a shop's from its API's version on.
    pub path: String,
    pub body: String,
    /// What the simulator must answer.
    pub status: u16,
}

fn get(operation: &'static str, path: impl Into<String>, status: u16) -> Misuse {
    Misuse { operation, method: "GET", path: path.into(), body: String::new(), status }
}

/// Wrong calls of Amazon. `unshipped` is an order of `quantity` units that can be shipped, with its line's id.
pub fn of_amazon(seller: &str, unshipped: &str, line: &str) -> Vec<Misuse> {
    let orders = "/orders/2026-01-01/orders";
    let listings = format!("/listings/2021-08-01/items/{seller}");
    let mut calls = vec![
        get("searchOrders", format!("{orders}?marketplaceIds=ATVPDKIKX0DER"), 400),
        get("searchOrders", format!("{orders}?createdAfter=yesterday"), 400),
        get("searchOrders", format!("{orders}?createdAfter=2026-03-01T00:00:00Z&maxResultsPerPage=0"), 400),
        get("searchOrders", format!("{orders}?createdAfter=2026-03-01T00:00:00Z&includedData=ALL"), 400),
        get("searchOrders", format!("{orders}?createdAfter=2026-03-01T00:00:00Z&paginationToken=x"), 400),
        get("getOrder", format!("{orders}/{unshipped}?includedData=ALL"), 400),
        get("getOrder", format!("{orders}/303-0000000-0000000"), 404),
        get("searchListingsItems", listings.clone(), 400),
        get("searchListingsItems", format!("{listings}?marketplaceIds=ATVPDKIKX0DER&pageSize=0"), 400),
        get("searchListingsItems", format!("{listings}?marketplaceIds=ATVPDKIKX0DER&pageToken=x"), 400),
        get("searchListingsItems", "/listings/2021-08-01/items/A0?marketplaceIds=ATVPDKIKX0DER", 403),
        get("getFeed", "/feeds/2021-06-30/feeds/1", 404),
        get("getFeedDocument", "/feeds/2021-06-30/documents/1", 404),
    ];
    let feed = |kind: &str, marketplace: &str| {
        json!({"feedType": kind, "marketplaceIds": [marketplace], "inputFeedDocumentId": "none"}).to_string()
    };
    let feeds = [
        ("createFeedDocument", "documents", "no JSON".to_owned()),
        ("createFeedDocument", "documents", json!({"contentType": ""}).to_string()),
        ("createFeed", "feeds", "no JSON".to_owned()),
        ("createFeed", "feeds", feed("POST_PRODUCT_DATA", "ATVPDKIKX0DER")),
        ("createFeed", "feeds", feed("POST_FLAT_FILE_PAYMENT_ADJUSTMENT_DATA", "A0")),
        ("createFeed", "feeds", feed("POST_FLAT_FILE_PAYMENT_ADJUSTMENT_DATA", "ATVPDKIKX0DER")),
    ];
    calls.extend(feeds.map(|(operation, path, body)| Misuse {
        operation,
        method: "POST",
        path: format!("/feeds/2021-06-30/{path}"),
        body,
        status: 400,
    }));
    let confirmation = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({
            "marketplaceId": "ATVPDKIKX0DER",
            "packageDetail": {
                "packageReferenceId": "1",
                "carrierCode": "UPS",
                "trackingNumber": "1Z1",
                "shipDate": "2027-01-01T00:00:00Z",
                "orderItems": [{"orderItemId": line, "quantity": 1}],
            },
        });
        change(&mut body);
        body.to_string()
    };
    let wrong = [
        "no JSON".to_owned(),
        confirmation(&|body| body["marketplaceId"] = json!("A0")),
        confirmation(&|body| body["packageDetail"] = Value::Null),
        confirmation(&|body| body["packageDetail"]["packageReferenceId"] = json!("one")),
        confirmation(&|body| body["packageDetail"]["packageReferenceId"] = json!(1)),
        confirmation(&|body| body["packageDetail"]["carrierCode"] = json!("")),
        confirmation(&|body| body["packageDetail"]["carrierCode"] = json!("Other")),
        confirmation(&|body| body["packageDetail"]["trackingNumber"] = json!("")),
        confirmation(&|body| body["packageDetail"]["shipDate"] = json!("yesterday")),
        confirmation(&|body| body["packageDetail"]["shipDate"] = json!("2020-01-01T00:00:00Z")),
        confirmation(&|body| body["packageDetail"]["orderItems"] = json!([])),
        confirmation(&|body| body["packageDetail"]["orderItems"][0]["orderItemId"] = json!("0")),
        confirmation(&|body| body["packageDetail"]["orderItems"][0]["quantity"] = json!(0)),
        confirmation(&|body| body["packageDetail"]["orderItems"][0]["quantity"] = json!(1_000)),
    ];
    calls.extend(wrong.into_iter().map(|body| Misuse {
        operation: "confirmShipment",
        method: "POST",
        path: format!("/orders/v0/orders/{unshipped}/shipmentConfirmation"),
        body,
        status: 400,
    }));
    calls
}

/// Wrong calls of the shop, and those about what is not there.
pub fn of_shop() -> Vec<Misuse> {
    let item = |item: Value| json!({"reason": "Counted", "items": [item]}).to_string();
    let adjustments = [
        "no JSON".to_owned(),
        json!({"items": [{"location_id": 1, "variant_id": 1, "quantity": 1}]}).to_string(),
        json!({"reason": "Counted", "items": []}).to_string(),
        item(json!({"location_id": 9, "variant_id": 1, "quantity": 1})),
        item(json!({"location_id": 1, "variant_id": 1, "quantity": -1})),
        item(json!({"location_id": 1, "variant_id": 999_999, "quantity": 1})),
        item(json!({"location_id": 1, "product_id": 999_999, "quantity": 1})),
        item(json!({"location_id": 1, "quantity": 1})),
    ];
    let mut calls = vec![
        get("getOrder", "/v2/orders/999999", 404),
        get("getOrders", "/v2/orders?sort=colour:asc", 400),
        get("getOrderProducts", "/v2/orders/999999/products", 404),
        get("getOrderShipment", "/v2/orders/999999/shipments/1", 404),
    ];
    calls.extend(adjustments.into_iter().map(|body| Misuse {
        operation: "put-absolute-adjustment",
        method: "PUT",
        path: "/v3/inventory/adjustments/absolute".to_owned(),
        body,
        status: 422,
    }));
    calls
}

/// Wrong calls of eBay. `open` is an order that can be shipped, with its line's id; `shipped` one with a parcel, its
/// line's id and its tracking number.
pub fn of_ebay(open: (&str, &str), shipped: (&str, &str, &str)) -> Vec<Misuse> {
    let orders = "/sell/fulfillment/v1/order";
    let mut calls = vec![
        get("getOrders", format!("{orders}?limit=201"), 400),
        get("getOrders", format!("{orders}?limit=many"), 400),
        get("getOrders", format!("{orders}?fieldGroups=ALL"), 400),
        get("getOrders", format!("{orders}?filter=lastmodifieddate:yesterday"), 400),
        get("getOrders", format!("{orders}?filter=orderfulfillmentstatus:%7BFULFILLED%7D"), 400),
        get("getOrders", format!("{orders}?filter=creationdate:%5B2020-01-01T00:00:00.000Z..%5D"), 400),
        get("getOrder", format!("{orders}/{}?fieldGroups=ALL", open.0), 400),
        get("getOrder", format!("{orders}/00-00000-00000"), 404),
        get("getShippingFulfillments", format!("{orders}/00-00000-00000/shipping_fulfillment"), 400),
        get("getInventoryItems", "/sell/inventory/v1/inventory_item?limit=0", 400),
        get("getOffers", "/sell/inventory/v1/offer", 400),
        get("getOffers", "/sell/inventory/v1/offer?sku=none", 404),
    ];
    let parcel = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({
            "lineItems": [{"lineItemId": open.1, "quantity": 1}],
            "shippedDate": "2027-01-01T00:00:00.000Z",
            "shippingCarrierCode": "UPS",
            "trackingNumber": "1Z1",
        });
        change(&mut body);
        body.to_string()
    };
    let wrong = [
        "no JSON".to_owned(),
        parcel(&|body| body["trackingNumber"] = Value::Null),
        parcel(&|body| body["shippingCarrierCode"] = Value::Null),
        parcel(&|body| body["trackingNumber"] = json!("1Z 1")),
        parcel(&|body| body["shippedDate"] = json!("yesterday")),
        parcel(&|body| body["shippedDate"] = json!("2020-01-01T00:00:00.000Z")),
        parcel(&|body| body["lineItems"] = json!([])),
        parcel(&|body| body["lineItems"][0]["lineItemId"] = json!("0")),
        parcel(&|body| body["lineItems"][0]["quantity"] = json!(0)),
        parcel(&|body| body["lineItems"][0]["quantity"] = json!(1_000)),
        parcel(&|body| {
            let twice = vec![body["lineItems"][0].clone(); 2];
            body["lineItems"] = Value::Array(twice);
        }),
    ];
    let post =
        |operation, path: String, body, status| Misuse { operation, method: "POST", path, body, status };
    let parcels = |id: &str| format!("{orders}/{id}/shipping_fulfillment");
    calls.extend(wrong.map(|body| post("createShippingFulfillment", parcels(open.0), body, 400)));
    let again = parcel(&|body| {
        body["lineItems"][0]["lineItemId"] = json!(shipped.1);
        body["trackingNumber"] = json!(shipped.2);
    });
    calls.push(post("createShippingFulfillment", parcels(shipped.0), again, 409));
    let amount = |value: &str, currency: &str| json!({"value": value, "currency": currency});
    let refund = |id: &str, amount: Value| json!({"reasonForRefund": "OTHER_ADJUSTMENT", "refundItems": [{"lineItemId": id, "refundAmount": amount}]});
    let wrong = [
        "no JSON".to_owned(),
        json!({"refundItems": []}).to_string(),
        json!({"reasonForRefund": "OTHER_ADJUSTMENT"}).to_string(),
        refund("0", amount("1.00", "USD")).to_string(),
        refund(open.1, amount("0.00", "USD")).to_string(),
        refund(open.1, amount("1.00", "EUR")).to_string(),
        refund(open.1, amount("100000.00", "USD")).to_string(),
        refund(open.1, Value::Null).to_string(),
    ];
    let refunds = |id: &str| format!("{orders}/{id}/issue_refund");
    calls.extend(wrong.map(|body| post("issueRefund", refunds(open.0), body, 400)));
    let unknown = refund("0", amount("1.00", "USD")).to_string();
    calls.push(post("issueRefund", refunds("00-00000-00000"), unknown, 404));
    calls
}

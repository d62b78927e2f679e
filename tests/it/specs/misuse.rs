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
    ];
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

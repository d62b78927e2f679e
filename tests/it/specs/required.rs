//! What must be there although the specifications do not say so: the vendors mark almost no field as required.
//!
//! An operation whose name two platforms have stands as `platform.name`. A place is a path with `[]` for every entry of a list; `a|b` for at least one of two fields; `?` for what counts only
//! where it is given.

use serde_json::Value;

use super::documents::Operation;
use super::schema::Side;

/// What a request must carry to do what we mean by it.
const IN_REQUESTS: [(&str, &[&str]); 16] = [
    ("amazon.createDestination", &["name", "resourceSpecification.sqs.arn"]),
    ("amazon.createSubscription", &["destinationId", "payloadVersion"]),
    ("createWebhooks", &["destination", "is_active", "scope"]),
    ("updateWebhook", &["destination", "is_active"]),
    ("createReceiptShipment", &["carrier_name", "send_bcc", "tracking_code"]),
    (
        "createOrder",
        &[
            "billing_address.city",
            "billing_address.country_iso2",
            "billing_address.first_name",
            "billing_address.last_name",
            "billing_address.state",
            "billing_address.street_1",
            "billing_address.zip",
            "customer_id",
            "discount_amount",
            "external_order_id",
            "external_source",
            "handling_cost_ex_tax",
            "handling_cost_inc_tax",
            "payment_method",
            "products[].name|variant_id",
            "products[].name|product_id",
            "products[].price_ex_tax",
            "products[].price_inc_tax",
            "products[].quantity",
            "shipping_addresses[].city",
            "shipping_addresses[].country_iso2",
            "shipping_addresses[].first_name",
            "shipping_addresses[].last_name",
            "shipping_addresses[].state",
            "shipping_addresses[].street_1",
            "shipping_addresses[].zip",
            "shipping_cost_ex_tax",
            "shipping_cost_inc_tax",
            "status_id",
            "subtotal_ex_tax",
            "subtotal_inc_tax",
            "total_ex_tax",
            "total_inc_tax",
            "wrapping_cost_ex_tax",
            "wrapping_cost_inc_tax",
        ],
    ),
    ("updateOrder", &["status_id"]),
    ("createShippingFulfillment", &["lineItems[].lineItemId", "lineItems[].quantity", "shippedDate"]),
    (
        "issueRefund",
        &[
            "reasonForRefund",
            "refundItems|orderLevelRefundAmount",
            "refundItems[]?.lineItemId",
            "refundItems[]?.refundAmount.currency",
            "refundItems[]?.refundAmount.value",
            "orderLevelRefundAmount?.currency",
            "orderLevelRefundAmount?.value",
        ],
    ),
    (
        "ebay.createDestination",
        &["deliveryConfig.endpoint", "deliveryConfig.verificationToken", "name", "status"],
    ),
    ("ebay.createSubscription", &["destinationId", "payload.schemaVersion", "status", "topicId"]),
    ("updateSubscription", &["destinationId", "payload.schemaVersion", "status"]),
    ("updateConfig", &["alertEmail"]),
    ("createOrderShipments", &["items[].order_product_id", "items[].quantity", "order_address_id"]),
    (
        "put-absolute-adjustment",
        &["items[].location_id", "items[].product_id|variant_id", "items[].quantity", "reason"],
    ),
    (
        "confirmShipment",
        &[
            "marketplaceId",
            "packageDetail.carrierCode",
            "packageDetail.orderItems[].orderItemId",
            "packageDetail.orderItems[].quantity",
            "packageDetail.packageReferenceId",
            "packageDetail.shipDate",
            "packageDetail.trackingNumber",
        ],
    ),
];

/// What an answer must carry for the connector to do its work.
const IN_ANSWERS: [(&str, &[&str]); 33] = [
    (
        "getOrderRefunds",
        &[
            "data[].id",
            "data[].items[].item_id",
            "data[].items[].item_type",
            "data[].payments[].is_declined",
            "data[].total_amount",
        ],
    ),
    ("getWebhooks", &["data[].destination", "data[].id", "data[].is_active", "data[].scope"]),
    (
        "getShopReceipts",
        &[
            "count",
            "results[].create_timestamp|created_timestamp",
            "results[].grandtotal.amount",
            "results[].grandtotal.currency_code",
            "results[].grandtotal.divisor",
            "results[].is_paid",
            "results[].is_shipped",
            "results[].receipt_id",
            "results[].shipments",
            "results[].status",
            "results[].transactions[].price.amount",
            "results[].transactions[].quantity",
            "results[].transactions[].transaction_id",
            "results[].update_timestamp|updated_timestamp",
        ],
    ),
    ("getShopReceipt", ETSY_RECEIPT),
    ("createReceiptShipment", ETSY_RECEIPT),
    ("getListingsByShop", &["count", "results[].inventory.products[].product_id", "results[].listing_id"]),
    ("getShop", &["currency_code", "shop_name"]),
    ("getMe", &["shop_id"]),
    ("bigcommerce.getOrders", SHOP_ORDERS),
    (
        "ebay.getOrders",
        &[
            "orders[].creationDate",
            "orders[].lastModifiedDate",
            "orders[].lineItems[].lineItemId",
            "orders[].lineItems[].quantity",
            "orders[].orderFulfillmentStatus",
            "orders[].orderId",
            "orders[].orderPaymentStatus",
            "orders[].pricingSummary.total.currency",
            "total",
        ],
    ),
    ("ebay.getOrder", &["creationDate", "lastModifiedDate", "lineItems[].lineItemId", "orderId"]),
    ("getShippingFulfillments", &["fulfillments[].fulfillmentId", "fulfillments[].lineItems[].lineItemId"]),
    ("issueRefund", &["refundId", "refundStatus"]),
    ("getInventoryItems", &["inventoryItems[].sku", "total"]),
    ("getOffers", &["offers[].marketplaceId", "offers[].pricingSummary.price.value"]),
    (
        "bigcommerce.getOrder",
        &[
            "billing_address.country_iso2",
            "currency_code",
            "date_created",
            "date_modified",
            "default_currency_code",
            "discount_amount",
            "id",
            "status_id",
            "total_inc_tax",
        ],
    ),
    ("createOrder", SHOP_ORDER),
    ("updateOrder", SHOP_ORDER),
    (
        "getOrderProducts",
        &[
            "[].id",
            "[].name",
            "[].order_address_id",
            "[].price_ex_tax",
            "[].price_inc_tax",
            "[].product_id",
            "[].quantity",
            "[].quantity_shipped",
            "[].sku",
            "[].total_ex_tax",
            "[].total_inc_tax",
            "[].variant_id",
        ],
    ),
    ("getOrderShippingAddresses", &["[].city", "[].country_iso2", "[].id", "[].street_1", "[].zip"]),
    (
        "getOrderShipments",
        &[
            "[].date_created",
            "[].id",
            "[].items[].order_product_id",
            "[].items[].quantity",
            "[].order_address_id",
            "[].shipping_provider",
            "[].tracking_number",
        ],
    ),
    ("createOrderShipments", &["id"]),
    ("getStoreInformation", &["currency", "id", "name", "timezone.name"]),
    ("getSystemTimestamp", &["time"]),
    ("getVariants", &["data[].id", "data[].product_id", "data[].sku", "meta.pagination.total_pages"]),
    (
        "get-inventory-items",
        &[
            "data[].identity.product_id",
            "data[].identity.variant_id",
            "data[].locations[].available_to_sell",
            "data[].locations[].location_id",
            "data[].locations[].total_inventory_onhand",
        ],
    ),
    (
        "searchOrders",
        &[
            "orders[].createdTime",
            "orders[].lastUpdatedTime",
            "orders[].orderId",
            "orders[].orderItems[].orderItemId",
            "orders[].orderItems[].quantityOrdered",
            "orders[].salesChannel.marketplaceId",
        ],
    ),
    (
        "amazon.getOrder",
        &[
            "order.createdTime",
            "order.lastUpdatedTime",
            "order.orderId",
            "order.orderItems[].orderItemId",
            "order.orderItems[].quantityOrdered",
            "order.salesChannel.marketplaceId",
        ],
    ),
    ("searchListingsItems", &["items[].sku", "items[].summaries[].marketplaceId"]),
    (
        "getMarketplaceParticipations",
        &["payload[].marketplace.id", "payload[].participation.isParticipating"],
    ),
    ("getSubscription", &["payload.destinationId"]),
    ("amazon.getDestinations", &["payload[].destinationId", "payload[].resource.sqs.arn"]),
    ("amazon.createDestination", &["payload.destinationId"]),
];

const ETSY_RECEIPT: &[&str] = &[
    "create_timestamp|created_timestamp",
    "grandtotal.amount",
    "receipt_id",
    "shipments",
    "status",
    "transactions[].transaction_id",
    "update_timestamp|updated_timestamp",
];

const SHOP_ORDER: &[&str] = &[
    "currency_code",
    "date_created",
    "date_modified",
    "external_order_id",
    "external_source",
    "id",
    "items_shipped",
    "items_total",
    "status_id",
    "total_ex_tax",
    "total_inc_tax",
];

const SHOP_ORDERS: &[&str] = &[
    "[].currency_code",
    "[].date_created",
    "[].date_modified",
    "[].id",
    "[].items_shipped",
    "[].items_total",
    "[].status_id",
    "[].total_inc_tax",
];

/// What an answer must carry where its data set was asked for.
const IN_DATA_SETS: [(&str, &str, &[&str]); 2] = [
    ("searchOrders", "FULFILLMENT", &["orders[].fulfillment.fulfillmentStatus"]),
    ("amazon.getOrder", "FULFILLMENT", &["order.fulfillment.fulfillmentStatus"]),
];

/// Query parameters that we always send. What was placed in a window is only counted: it needs no data sets.
const IN_QUERIES: [(&str, &[&str]); 14] = [
    ("getShopReceipts", &["limit", "sort_on", "sort_order"]),
    ("getListingsByShop", &["includes", "limit", "offset", "state"]),
    ("searchOrders", &["includedData|createdBefore", "marketplaceIds", "maxResultsPerPage"]),
    ("searchListingsItems", &["includedData", "marketplaceIds", "pageSize"]),
    ("bigcommerce.getOrders", &["limit"]),
    ("ebay.getOrders", &["fieldGroups", "filter", "limit", "offset"]),
    ("ebay.getOrder", &["fieldGroups"]),
    ("getInventoryItems", &["limit", "offset"]),
    ("getOffers", &["sku"]),
    ("getOrderProducts", &["limit", "page"]),
    ("getOrderShippingAddresses", &["limit", "page"]),
    ("getOrderShipments", &["limit", "page"]),
    ("getVariants", &["limit"]),
    ("get-inventory-items", &["limit", "variant_id:in"]),
];

/// The header that carries the credentials, where the specification has none.
pub fn credentials(platform: &str) -> &'static [&'static str] {
    match platform {
        "amazon" => &["x-amz-access-token"],
        "etsy" => &["authorization"],
        "ebay" => &["authorization"],
        _ => &["x-auth-token"],
    }
}

/// The query parameters that we need and did not send.
pub fn missing_in_query(operation: &Operation, query: &[(String, String)]) -> Vec<&'static str> {
    let is_given = |name: &str| query.iter().any(|(given, _)| given == name);
    let needed = of(&IN_QUERIES, operation).iter().copied();
    needed.filter(|names| !names.split('|').any(is_given)).collect()
}

/// The places of data sets that were asked for and that the answer does not have.
pub fn missing_in_data_sets(
    operation: &Operation,
    query: &[(String, String)],
    body: &Value,
) -> Vec<&'static str> {
    let is_asked = |wanted: &str| {
        query.iter().any(|(name, sets)| name == "includedData" && sets.split(',').any(|set| set == wanted))
    };
    let asked = IN_DATA_SETS.iter().filter(|(known, set, _)| is_it(known, operation) && is_asked(set));
    asked
        .flat_map(|(_, _, places)| *places)
        .copied()
        .filter(|place| !is_there(body, place, Side::Answer))
        .collect()
}

/// The places that are needed and empty.
pub fn missing(operation: &Operation, side: Side, body: &Value) -> Vec<&'static str> {
    let places = match side {
        Side::Request => of(&IN_REQUESTS, operation),
        Side::Answer => of(&IN_ANSWERS, operation),
    };
    places.iter().copied().filter(|place| !is_there(body, place, side)).collect()
}

/// The places that a request must have: in its body, and in its query.
pub fn of_request(operation: &Operation) -> (&'static [&'static str], &'static [&'static str]) {
    (of(&IN_REQUESTS, operation), of(&IN_QUERIES, operation))
}

/// The body without what is at a place, whichever of two fields that is. None where nothing is there.
pub fn without(body: &Value, place: &str) -> Option<Value> {
    let mut changed = body.clone();
    remove(&mut changed, place).then_some(changed)
}

/// The first step of a place, and what follows it.
struct Step<'a> {
    names: &'a str,
    is_list: bool,
    is_optional: bool,
    rest: &'a str,
}

fn first_step(place: &str) -> Step<'_> {
    let (step, rest) = place.split_once('.').unwrap_or((place, ""));
    let (step, is_optional) = step.strip_suffix('?').map_or((step, false), |step| (step, true));
    let (names, is_list) = step.strip_suffix("[]").map_or((step, false), |names| (names, true));
    Step { names, is_list, is_optional, rest }
}

fn remove(value: &mut Value, place: &str) -> bool {
    let Step { names, is_list, rest, .. } = first_step(place);
    let Some(fields) = value.as_object_mut() else { return false };
    if rest.is_empty() {
        return names.split('|').filter(|name| fields.remove(*name).is_some()).count() > 0;
    }
    match names.split('|').find_map(|name| fields.get_mut(name).map(|_| name.to_owned())) {
        Some(name) if is_list => {
            let entries = fields.get_mut(&name).and_then(Value::as_array_mut);
            let mut is_removed = false;
            for entry in entries.into_iter().flatten() {
                is_removed |= remove(entry, rest);
            }
            is_removed
        }
        Some(name) => fields.get_mut(&name).is_some_and(|inner| remove(inner, rest)),
        None => false,
    }
}

fn of(list: &[(&str, &'static [&'static str])], operation: &Operation) -> &'static [&'static str] {
    list.iter().find(|(known, _)| is_it(known, operation)).map_or(&[], |(_, places)| places)
}

fn is_it(known: &str, operation: &Operation) -> bool {
    match known.split_once('.') {
        Some((platform, id)) => operation.platform == platform && operation.id == id,
        None => operation.id == known,
    }
}

/// Whether something is at a place. A list that we send has entries; one that we are given may be empty.
fn is_there(value: &Value, place: &str, side: Side) -> bool {
    let Step { names, is_list, is_optional, rest } = first_step(place);
    let found =
        if names.is_empty() { Some(value) } else { names.split('|').find_map(|name| value.get(name)) };
    match found {
        Some(Value::Array(entries)) if is_list => {
            let may_be_empty = side == Side::Answer || is_optional;
            (may_be_empty || !entries.is_empty()) && entries.iter().all(|entry| is_there(entry, rest, side))
        }
        Some(_) if is_list => false,
        Some(_) if rest.is_empty() => true,
        Some(value) => is_there(value, rest, side),
        None => is_optional,
    }
}

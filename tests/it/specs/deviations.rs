//! Where connectors or simulators leave the platforms' specifications on purpose, each with its reason. Nothing
//! else may differ, and what no longer differs must go from here: both are tested.

use super::gate::Finding;
use super::schema::Side;

/// A difference that is meant.
#[derive(Debug)]
pub struct Deviation {
    pub operation: &'static str,
    pub side: Side,
    /// As [`Finding::place`] has it.
    pub place: &'static str,
    /// A part of what is said of it.
    pub what: &'static str,
    pub reason: &'static str,
}

impl Deviation {
    /// Whether this is what was found.
    pub fn is_about(&self, finding: &Finding) -> bool {
        self.operation == finding.operation
            && self.side == finding.side
            && self.place == finding.place
            && finding.what.contains(self.what)
    }
}

/// Calls that no specification describes.
pub const UNSPECIFIED: [(&str, &str); 10] = [
    (
        "token",
        "Login with Amazon, eBay's sign-in and Etsy's token endpoint are described in prose only; their forms and \
         answers follow RFC 6749, and the connectors' own tests hold them",
    ),
    ("checkCancellationEligibility", POST_ORDER),
    ("createCancellation", POST_ORDER),
    ("getCancellation", POST_ORDER),
    ("approveCancellation", POST_ORDER),
    ("uploadFeedDocument", STORAGE),
    ("downloadFeedDocument", STORAGE),
    ("downloadCustomization", STORAGE),
    ("ReceiveMessage", QUEUE),
    ("DeleteMessageBatch", QUEUE),
];

/// Why the merchant's queue is not checked.
const QUEUE: &str = "SQS is AWS's and belongs to no model of Amazon's API; its requests are signed by AWS's own crate, \
                     which the connector's own tests hold against AWS's published cases";

/// Why Amazon's files are not checked.
const STORAGE: &str = "addresses that Amazon signs lead to its storage and belong to no model of its API; the \
                       connector's own tests hold what goes there, above all that no token does";

/// Why eBay's cancellations are not checked.
const POST_ORDER: &str = "eBay publishes no machine-readable specification of the Post-Order API; the copies that go \
                          round have no schemas";

/// Of Etsy's receipts.
const CAPITALISED: &str = "the specification's words are in lower case; the recorded answers (fixtures/etsy) and two \
    independent dumps write them with capitals";

/// Everything that is meant to differ.
pub const DEVIATIONS: &[Deviation] = &[
    Deviation {
        operation: "getWebhooks",
        side: Side::Answer,
        place: "data",
        what: "minItems",
        reason: "the specification asks for one hook at least; a store that has none lists none",
    },
    Deviation {
        operation: "getOrders",
        side: Side::Answer,
        place: "orders[].legacyOrderId",
        what: "not in the specification",
        reason: "the recorded page of eBay (fixtures/ebay) has it; its own page on the call describes it",
    },
    Deviation {
        operation: "getOrder",
        side: Side::Answer,
        place: "legacyOrderId",
        what: "not in the specification",
        reason: "the same: eBay's orders carry it",
    },
    Deviation {
        operation: "getOrders",
        side: Side::Request,
        place: "query sort",
        what: "none of",
        reason: "the parameter's own description adds `:asc` or `:desc` to the field; its list of words forgets them",
    },
    Deviation {
        operation: "getVariants",
        side: Side::Request,
        place: "query sku:in",
        what: "not in the specification",
        reason: "the specification has it on products only; published clients use it on variants, and without it \
                 every SKU of an order would cost a call of its own",
    },
    Deviation {
        operation: "get-inventory-items",
        side: Side::Request,
        place: "query variant_id:in",
        what: "string instead of integer",
        reason: "the parameter's own description has a list separated by commas; its type is of one entry",
    },
    Deviation {
        operation: "getOrders",
        side: Side::Answer,
        place: "status 204",
        what: "not listed",
        reason: "an empty list of V2 is 204 without a body, as the vendor's guide says; the specification lists it \
                 for shipments only",
    },
    Deviation {
        operation: "getOrderCoupons",
        side: Side::Answer,
        place: "status 204",
        what: "not listed",
        reason: "the same: an empty list of V2",
    },
    Deviation {
        operation: "getShopReceipts",
        side: Side::Answer,
        place: "results[].status",
        what: "none of",
        reason: CAPITALISED,
    },
    Deviation {
        operation: "getShopReceipt",
        side: Side::Answer,
        place: "status",
        what: "none of",
        reason: CAPITALISED,
    },
    Deviation {
        operation: "createReceiptShipment",
        side: Side::Answer,
        place: "status",
        what: "none of",
        reason: CAPITALISED,
    },
    Deviation {
        operation: "getProducts",
        side: Side::Answer,
        place: "data[].variants",
        what: "not in the specification",
        reason: "the specification lets `include=variants` be asked for and leaves the list out of the product",
    },
];

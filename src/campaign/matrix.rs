//! What can go wrong with which call or pushed message, before or after its effect, and how often the campaign made it
//! happen.
//!
//! A cell that nobody could survive is none: see [`Fault::is_possible`]. The table must count only what really
//! took place.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sim::{AMAZON, BIGCOMMERCE, EBAY, ETSY};

/// What a platform's messages are called here, by whichever way they come.
pub const MESSAGE: &str = "message";
/// The call that takes messages out of the merchant's queue.
pub const RECEIVE_MESSAGE: &str = "ReceiveMessage";

/// A call of a platform, as its specification names it, or a message that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The platform, by the simulators' name.
    pub platform: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub kind: OperationKind,
    /// Where the list lies in its answer: an empty path for a bare array; none where the answer is no list.
    pub list: Option<&'static [&'static str]>,
}

/// What a call does to its platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Reads orders or their parts: it may lag behind.
    OrderRead,
    /// Reads something else, or makes what nobody sees yet.
    Read,
    /// Changes something; a second one changes nothing more.
    RepeatableWrite,
    /// Changes something; a second one does it twice.
    SingleWrite,
    /// Gets an access token.
    Token,
    /// Reads or writes a file at an address that carries its own permission.
    File,
    /// A call to the merchant's own queue, which knows nothing of the seller's authorisation.
    Queue,
    /// No call: a message that the platform brings to the hook.
    Pushed,
    /// No call: a message that was taken out of the merchant's queue.
    Queued,
}

impl OperationKind {
    /// True where the call changes something that anybody sees.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(self, Self::RepeatableWrite | Self::SingleWrite)
    }
}

impl Operation {
    /// Whether it is called, or comes, only where the platforms push.
    #[must_use]
    pub fn is_of_hooks(&self) -> bool {
        OF_HOOKS.contains(&self.name)
    }

    /// Whether a commit follows it in every run, or in every run where the platforms push.
    fn is_committed(&self) -> bool {
        COMMITTED.contains(&self.name) || self.is_committed_with_hooks()
    }

    fn is_committed_with_hooks(&self) -> bool {
        COMMITTED_OF_HOOKS.contains(&(self.platform, self.name))
    }
}

const fn operation(
    platform: &'static str,
    name: &'static str,
    kind: OperationKind,
    list: Option<&'static [&'static str]>,
) -> Operation {
    Operation { platform, name, kind, list }
}

/// Every call that the connectors make, and every platform's messages.
pub const OPERATIONS: [Operation; 71] = [
    operation("amazon", "token", OperationKind::Token, None),
    operation("amazon", "searchOrders", OperationKind::OrderRead, Some(&["orders"])),
    operation("amazon", "getOrder", OperationKind::OrderRead, None),
    operation("amazon", "confirmShipment", OperationKind::RepeatableWrite, None),
    operation("amazon", "searchListingsItems", OperationKind::Read, Some(&["items"])),
    operation("amazon", "getMarketplaceParticipations", OperationKind::Read, Some(&["payload"])),
    operation("amazon", "createFeedDocument", OperationKind::Read, None),
    operation("amazon", "uploadFeedDocument", OperationKind::File, None),
    operation("amazon", "createFeed", OperationKind::SingleWrite, None),
    operation("amazon", "getFeed", OperationKind::Read, None),
    operation("amazon", "getFeedDocument", OperationKind::Read, None),
    operation("amazon", "downloadFeedDocument", OperationKind::File, None),
    operation("amazon", "downloadCustomization", OperationKind::File, None),
    operation("amazon", "getDestinations", OperationKind::Read, None),
    operation("amazon", "createDestination", OperationKind::RepeatableWrite, None),
    operation("amazon", "getSubscription", OperationKind::Read, None),
    operation("amazon", "createSubscription", OperationKind::RepeatableWrite, None),
    operation("amazon", RECEIVE_MESSAGE, OperationKind::Queue, Some(&["Messages"])),
    operation("amazon", "DeleteMessageBatch", OperationKind::Queue, None),
    operation("amazon", MESSAGE, OperationKind::Queued, None),
    operation("bigcommerce", "getOrders", OperationKind::OrderRead, Some(&[])),
    operation("bigcommerce", "getOrder", OperationKind::OrderRead, None),
    operation("bigcommerce", "createOrder", OperationKind::SingleWrite, None),
    operation("bigcommerce", "updateOrder", OperationKind::RepeatableWrite, None),
    operation("bigcommerce", "getOrderProducts", OperationKind::OrderRead, Some(&[])),
    operation("bigcommerce", "getOrderShippingAddresses", OperationKind::OrderRead, Some(&[])),
    operation("bigcommerce", "getOrderShipments", OperationKind::OrderRead, Some(&[])),
    operation("bigcommerce", "createOrderShipments", OperationKind::SingleWrite, None),
    operation("bigcommerce", "getOrderRefunds", OperationKind::OrderRead, Some(&["data"])),
    operation("bigcommerce", "getVariants", OperationKind::Read, Some(&["data"])),
    operation("bigcommerce", "getStoreInformation", OperationKind::Read, None),
    operation("bigcommerce", "getSystemTimestamp", OperationKind::Read, None),
    operation("bigcommerce", "get-inventory-items", OperationKind::Read, Some(&["data"])),
    operation("bigcommerce", "put-absolute-adjustment", OperationKind::RepeatableWrite, None),
    operation("bigcommerce", "getWebhooks", OperationKind::Read, Some(&["data"])),
    operation("bigcommerce", "createWebhooks", OperationKind::SingleWrite, None),
    operation("bigcommerce", "updateWebhook", OperationKind::RepeatableWrite, None),
    operation("bigcommerce", "deleteWebhook", OperationKind::RepeatableWrite, None),
    operation("bigcommerce", MESSAGE, OperationKind::Pushed, None),
    operation("ebay", "token", OperationKind::Token, None),
    operation("ebay", "getOrders", OperationKind::OrderRead, Some(&["orders"])),
    operation("ebay", "getOrder", OperationKind::OrderRead, None),
    operation("ebay", "getShippingFulfillments", OperationKind::OrderRead, Some(&["fulfillments"])),
    operation("ebay", "createShippingFulfillment", OperationKind::SingleWrite, None),
    operation("ebay", "getInventoryItems", OperationKind::Read, Some(&["inventoryItems"])),
    operation("ebay", "getOffers", OperationKind::Read, Some(&["offers"])),
    operation("ebay", "getUser", OperationKind::Read, None),
    operation("ebay", "checkCancellationEligibility", OperationKind::Read, None),
    operation("ebay", "createCancellation", OperationKind::RepeatableWrite, None),
    operation("ebay", "getCancellation", OperationKind::Read, None),
    operation("ebay", "approveCancellation", OperationKind::RepeatableWrite, None),
    operation("ebay", "issueRefund", OperationKind::SingleWrite, None),
    operation("ebay", "updateConfig", OperationKind::RepeatableWrite, None),
    operation("ebay", "getDestinations", OperationKind::Read, None),
    operation("ebay", "createDestination", OperationKind::RepeatableWrite, None),
    operation("ebay", "updateDestination", OperationKind::RepeatableWrite, None),
    operation("ebay", "getSubscriptions", OperationKind::Read, Some(&["subscriptions"])),
    operation("ebay", "getTopic", OperationKind::Read, None),
    operation("ebay", "createSubscription", OperationKind::RepeatableWrite, None),
    operation("ebay", "updateSubscription", OperationKind::RepeatableWrite, None),
    operation("ebay", "enableSubscription", OperationKind::RepeatableWrite, None),
    operation("ebay", "getPublicKey", OperationKind::Read, None),
    operation("ebay", MESSAGE, OperationKind::Pushed, None),
    operation("etsy", "token", OperationKind::Token, None),
    operation("etsy", "getShopReceipts", OperationKind::OrderRead, Some(&["results"])),
    operation("etsy", "getShopReceipt", OperationKind::OrderRead, None),
    operation("etsy", "createReceiptShipment", OperationKind::SingleWrite, None),
    operation("etsy", "getListingsByShop", OperationKind::Read, Some(&["results"])),
    operation("etsy", "getShop", OperationKind::Read, None),
    operation("etsy", "getMe", OperationKind::Read, None),
    operation("etsy", MESSAGE, OperationKind::Pushed, None),
];

/// What is called, or comes, only where the platforms push.
const OF_HOOKS: [&str; 18] = [
    "getDestinations",
    "createDestination",
    "getSubscription",
    "createSubscription",
    RECEIVE_MESSAGE,
    "DeleteMessageBatch",
    "getWebhooks",
    "createWebhooks",
    "updateWebhook",
    "deleteWebhook",
    "updateConfig",
    "getSubscriptions",
    "getTopic",
    "updateDestination",
    "updateSubscription",
    "enableSubscription",
    "getPublicKey",
    MESSAGE,
];

/// Calls after which a commit follows in every run; a crash at a commit is named after the call before it.
const COMMITTED: [&str; 22] = [
    "searchOrders",
    "confirmShipment",
    "searchListingsItems",
    "getOrders",
    "createOrder",
    "updateOrder",
    "getOrderProducts",
    "getOrderShipments",
    "createOrderShipments",
    "getStoreInformation",
    "getVariants",
    "createShippingFulfillment",
    "getOffers",
    "getShopReceipts",
    "createReceiptShipment",
    "getListingsByShop",
    "getOrderRefunds",
    "createFeed",
    "getFeed",
    "createCancellation",
    "getCancellation",
    "issueRefund",
];

/// Calls that ask for several things, of which the platform may do some.
const DONE_IN_PART: [&str; 2] = ["createFeed", "DeleteMessageBatch"];

/// Calls after which one follows where the platforms push: those that read the one order that a message tells of, and the
/// last of those that see to it that there are messages.
const COMMITTED_OF_HOOKS: [(&str, &str); 6] = [
    (AMAZON, "getOrder"),
    (AMAZON, "createSubscription"),
    (EBAY, "getOrder"),
    (ETSY, "getShopReceipt"),
    (BIGCOMMERCE, "createWebhooks"),
    (EBAY, "createSubscription"),
];

/// The place of an operation in [`OPERATIONS`].
#[must_use]
pub fn place_of(platform: &str, name: &str) -> Option<usize> {
    OPERATIONS.iter().position(|known| known.platform == platform && known.name == name)
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// No connection came about: it is certain that nothing happened.
    ConnectFailed,
    /// No answer until the client gave up.
    Timeout,
    /// No answer, and the effect comes when the client has long given up; a message that takes minutes.
    Late,
    /// The connection breaks.
    Reset,
    /// The platform's own error.
    ServerError,
    /// Too many calls.
    Throttled,
    /// The access token has expired.
    Expired,
    /// The seller's authorisation is gone.
    Revoked,
    /// The answer is a page for people instead of JSON; a message that is cut off.
    Malformed,
    /// Only the first part of the answer comes.
    Partial,
    /// Of several things that were asked for in one call, one is not done, and the answer, or the report, says which.
    PartialSuccess,
    /// A read that does not see the last changes.
    Stale,
    /// A list that names everything twice; another call that arrives twice.
    Duplicate,
    /// A list in another order than asked for; a message that comes after those which were sent later.
    Reordered,
    /// The answer takes its time.
    Slow,
    /// Our process dies.
    Crash,
    /// Our process dies while a commit is being written.
    CrashAtCommit,
    /// A message that never comes.
    Lost,
    /// A message that somebody else sends in the platform's name.
    Forged,
    /// A message that somebody kept and sends again when it is long over.
    Replayed,
    /// Our process dies while messages that it has answered are being dealt with.
    CrashWhileRead,
}

impl Fault {
    /// All, in the order of the table.
    pub const ALL: [Self; 21] = [
        Self::ConnectFailed,
        Self::Timeout,
        Self::Late,
        Self::Reset,
        Self::ServerError,
        Self::Throttled,
        Self::Expired,
        Self::Revoked,
        Self::Malformed,
        Self::Partial,
        Self::PartialSuccess,
        Self::Stale,
        Self::Duplicate,
        Self::Reordered,
        Self::Slow,
        Self::Crash,
        Self::CrashAtCommit,
        Self::Lost,
        Self::Forged,
        Self::Replayed,
        Self::CrashWhileRead,
    ];

    /// Its name in the output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connect_failed",
            Self::Timeout => "timeout",
            Self::Late => "late_effect",
            Self::Reset => "reset",
            Self::ServerError => "server_error",
            Self::Throttled => "throttled",
            Self::Expired => "token_expired",
            Self::Revoked => "token_revoked",
            Self::Malformed => "malformed_body",
            Self::Partial => "partial_answer",
            Self::PartialSuccess => "partial_success",
            Self::Stale => "stale_read",
            Self::Duplicate => "duplicate",
            Self::Reordered => "reordered",
            Self::Slow => "slow",
            Self::Crash => "crash",
            Self::CrashAtCommit => "crash_at_commit",
            Self::Lost => "lost",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
            Self::CrashWhileRead => "crash_while_read",
        }
    }

    /// Whether it can happen to this call on this side of its effect, and leaves something to be saved: a create
    /// that arrives twice has been done twice, whatever its caller does.
    #[must_use]
    pub fn is_possible(self, operation: &Operation, side: Side) -> bool {
        let kind = operation.kind;
        if kind == OperationKind::Pushed {
            return self.strikes_pushed(side);
        }
        if kind == OperationKind::Queued {
            // What happens on its way happens to the calls that bring it.
            return self == Self::Crash || self == Self::CrashWhileRead && side == Side::After;
        }
        // Storage and the merchant's queue know neither tokens nor quotas.
        let is_known_there = !matches!(kind, OperationKind::File | OperationKind::Queue);
        match (self, side) {
            (Self::CrashAtCommit, _) => operation.is_committed(),
            (_, Side::During) => false,
            (Self::Throttled | Self::Revoked | Self::Expired, _) if !is_known_there => false,
            (Self::ConnectFailed | Self::Throttled | Self::Revoked, _) => side == Side::Before,
            (Self::Expired, _) => side == Side::Before && kind != OperationKind::Token,
            (Self::Timeout | Self::Reset | Self::ServerError | Self::Malformed | Self::Crash, _) => true,
            (Self::Late, _) => side == Side::After && kind.is_write(),
            (Self::Partial | Self::Slow, _) => side == Side::After,
            (Self::PartialSuccess, _) => side == Side::After && DONE_IN_PART.contains(&operation.name),
            (Self::Stale, _) => side == Side::After && kind == OperationKind::OrderRead,
            (Self::Duplicate, _) => side == Side::After && kind != OperationKind::SingleWrite,
            // Orders that come in by themselves, and those that we make, have one address.
            (Self::Reordered, _) if operation.name == "getOrderShippingAddresses" => false,
            (Self::Reordered, _) => side == Side::After && operation.list.is_some(),
            (Self::Lost | Self::Forged, _) => side == Side::After && operation.name == RECEIVE_MESSAGE,
            (Self::Replayed | Self::CrashWhileRead, _) => false,
        }
    }

    /// Whether it can happen to a message that comes to the hook, before or after we have it.
    fn strikes_pushed(self, side: Side) -> bool {
        match self {
            Self::ConnectFailed | Self::Malformed | Self::Lost | Self::Forged => side == Side::Before,
            Self::Timeout | Self::Late | Self::Duplicate | Self::Reordered | Self::Replayed => {
                side == Side::After
            }
            Self::Crash => true,
            Self::CrashWhileRead => side != Side::During,
            Self::Reset
            | Self::ServerError
            | Self::Throttled
            | Self::Expired
            | Self::Revoked
            | Self::Partial
            | Self::PartialSuccess
            | Self::Stale
            | Self::Slow
            | Self::CrashAtCommit => false,
        }
    }
}

/// On which side of the effect; for a read, of the platform's looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The platform, or the disk, never heard of it.
    Before,
    /// While it was being written: part of it is there.
    During,
    /// It took place, and nobody was told.
    After,
}

impl Side {
    const ALL: [Self; 3] = [Self::Before, Self::During, Self::After];

    /// Its name in the output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
        }
    }
}

/// One thing that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// What.
    pub fault: Fault,
    /// Where in [`OPERATIONS`] its call stands.
    pub operation: usize,
    /// When.
    pub side: Side,
}

impl Cell {
    /// Whether it can be hit for certain only where the platforms push.
    #[must_use]
    pub fn is_of_hooks(&self) -> bool {
        OPERATIONS.get(self.operation).is_some_and(|known| {
            known.is_of_hooks() || self.fault == Fault::CrashAtCommit && known.is_committed_with_hooks()
        })
    }
}

/// The calls of a run that sells on this marketplace, with their places in [`OPERATIONS`].
fn operations(marketplace: &str) -> impl Iterator<Item = (usize, &'static Operation)> {
    let is_called = move |known: &Operation| known.platform == marketplace || known.platform == BIGCOMMERCE;
    OPERATIONS.iter().enumerate().filter(move |(_, known)| is_called(known))
}

/// Every possible cell of a run that sells on this marketplace.
#[must_use]
pub fn cells(marketplace: &str) -> Vec<Cell> {
    let mut cells = Vec::new();
    for fault in Fault::ALL {
        for (operation, known) in operations(marketplace) {
            let possible = Side::ALL.into_iter().filter(|side| fault.is_possible(known, *side));
            cells.extend(possible.map(|side| Cell { fault, operation, side }));
        }
    }
    cells
}

/// How often each cell was hit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    hits: BTreeMap<Cell, u64>,
    calls: BTreeMap<usize, u64>,
}

impl Matrix {
    /// A call went out.
    pub fn count_call(&mut self, operation: usize) {
        *self.calls.entry(operation).or_default() += 1;
    }

    /// How often a call went out, or a message came.
    #[must_use]
    pub fn calls(&self, operation: usize) -> u64 {
        self.calls.get(&operation).copied().unwrap_or(0)
    }

    /// Something went wrong.
    pub fn hit(&mut self, cell: Cell) {
        *self.hits.entry(cell).or_default() += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (cell, count) in &other.hits {
            *self.hits.entry(*cell).or_default() += count;
        }
        for (operation, count) in &other.calls {
            *self.calls.entry(*operation).or_default() += count;
        }
    }

    /// How often a cell was hit.
    #[must_use]
    pub fn hits(&self, cell: Cell) -> u64 {
        self.hits.get(&cell).copied().unwrap_or(0)
    }

    /// Possible cells that were never hit.
    #[must_use]
    pub fn missing(&self, marketplace: &str) -> Vec<Cell> {
        cells(marketplace).into_iter().filter(|cell| self.hits(*cell) == 0).collect()
    }

    /// All hits of one fault.
    #[must_use]
    pub fn total(&self, fault: Fault) -> u64 {
        self.hits.iter().filter(|(cell, _)| cell.fault == fault).map(|(_, count)| count).sum()
    }

    /// The table: a row per fault and side, a column per call. `·` is a cell that cannot be, `0` one that was not
    /// hit.
    #[must_use]
    pub fn table(&self, marketplace: &str) -> String {
        let mut text = String::new();
        for (place, operation) in operations(marketplace) {
            let calls = self.calls(place);
            let (number, platform, name) = (place + 1, operation.platform, operation.name);
            text.push_str(&format!("{number:>2} {platform}.{name}: {calls} calls\n"));
        }
        text.push_str(&format!("{:<23}", "fault, side of the effect"));
        for (place, _) in operations(marketplace) {
            text.push_str(&format!("{:>7}", place + 1));
        }
        text.push('\n');
        for fault in Fault::ALL {
            for side in Side::ALL {
                if let Some(row) = self.row(marketplace, fault, side) {
                    text.push_str(&row);
                }
            }
        }
        text
    }

    fn row(&self, marketplace: &str, fault: Fault, side: Side) -> Option<String> {
        let mut row = format!("{:<25}", format!("{} {}", fault.name(), side.name()));
        let mut is_possible = false;
        for (operation, known) in operations(marketplace) {
            if fault.is_possible(known, side) {
                is_possible = true;
                row.push_str(&format!("{:>7}", self.hits(Cell { fault, operation, side })));
            } else {
                row.push_str("      ·");
            }
        }
        row.push('\n');
        is_possible.then_some(row)
    }

    /// The same for scripts.
    #[must_use]
    pub fn json(&self, marketplace: &str) -> Value {
        let rows: Vec<Value> = cells(marketplace)
            .into_iter()
            .map(|cell| {
                let mut row = name(cell);
                if let Some(row) = row.as_object_mut() {
                    row.insert("hits".to_owned(), json!(self.hits(cell)));
                }
                row
            })
            .collect();
        json!(rows)
    }
}

fn name(cell: Cell) -> Value {
    let operation = OPERATIONS.get(cell.operation);
    json!({
        "fault": cell.fault.name(),
        "side": cell.side.name(),
        "platform": operation.map(|known| known.platform),
        "operation": operation.map(|known| known.name),
    })
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operation = OPERATIONS.get(self.operation).map_or("", |known| known.name);
        write!(f, "{} {} {operation}", self.fault.name(), self.side.name())
    }
}

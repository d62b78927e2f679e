//! What can go wrong with which call, before or after its effect, and how often the campaign made it happen.
//!
//! A cell that nobody could survive is none: see [`Fault::is_possible`]. The table must count only what really
//! took place.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sim::BIGCOMMERCE;

/// A call of a platform, as its specification names it.
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
}

impl OperationKind {
    /// True where the call changes something that anybody sees.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(self, Self::RepeatableWrite | Self::SingleWrite)
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

/// Every call that the connectors make.
pub const OPERATIONS: [Operation; 46] = [
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
    operation("etsy", "token", OperationKind::Token, None),
    operation("etsy", "getShopReceipts", OperationKind::OrderRead, Some(&["results"])),
    operation("etsy", "getShopReceipt", OperationKind::OrderRead, None),
    operation("etsy", "createReceiptShipment", OperationKind::SingleWrite, None),
    operation("etsy", "getListingsByShop", OperationKind::Read, Some(&["results"])),
    operation("etsy", "getShop", OperationKind::Read, None),
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
    /// No answer, and the effect comes when the client has long given up.
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
    /// The answer is a page for people instead of JSON.
    Malformed,
    /// Only the first part of the answer comes.
    Partial,
    /// A read that does not see the last changes.
    Stale,
    /// A list that names everything twice; another call that arrives twice.
    Duplicate,
    /// A list in another order than asked for.
    Reordered,
    /// The answer takes its time.
    Slow,
    /// Our process dies.
    Crash,
    /// Our process dies while a commit is being written.
    CrashAtCommit,
}

impl Fault {
    /// All, in the order of the table.
    pub const ALL: [Self; 16] = [
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
        Self::Stale,
        Self::Duplicate,
        Self::Reordered,
        Self::Slow,
        Self::Crash,
        Self::CrashAtCommit,
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
            Self::Stale => "stale_read",
            Self::Duplicate => "duplicate",
            Self::Reordered => "reordered",
            Self::Slow => "slow",
            Self::Crash => "crash",
            Self::CrashAtCommit => "crash_at_commit",
        }
    }

    /// Whether it can happen to this call on this side of its effect, and leaves something to be saved: a create
    /// that arrives twice has been done twice, whatever its caller does.
    #[must_use]
    pub fn is_possible(self, operation: &Operation, side: Side) -> bool {
        let kind = operation.kind;
        match (self, side) {
            (Self::CrashAtCommit, _) => COMMITTED.contains(&operation.name),
            (_, Side::During) => false,
            // Storage knows neither tokens nor quotas.
            (Self::Throttled | Self::Revoked | Self::Expired, _) if kind == OperationKind::File => false,
            (Self::ConnectFailed | Self::Throttled | Self::Revoked, _) => side == Side::Before,
            (Self::Expired, _) => side == Side::Before && kind != OperationKind::Token,
            (Self::Timeout | Self::Reset | Self::ServerError | Self::Malformed | Self::Crash, _) => true,
            (Self::Late, _) => side == Side::After && kind.is_write(),
            (Self::Partial | Self::Slow, _) => side == Side::After,
            (Self::Stale, _) => side == Side::After && kind == OperationKind::OrderRead,
            (Self::Duplicate, _) => side == Side::After && kind != OperationKind::SingleWrite,
            // Orders that come in by themselves, and those that we make, have one address.
            (Self::Reordered, _) if operation.name == "getOrderShippingAddresses" => false,
            (Self::Reordered, _) => side == Side::After && operation.list.is_some(),
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
            let calls = self.calls.get(&place).copied().unwrap_or(0);
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

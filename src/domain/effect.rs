//! Effects: work owed to the outside. At most one is open per (order, kind, revision).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{ConnectionId, EffectId, OrderNo};
use super::order::words;
use super::reason::Reason;

words! {
    /// What is owed.
    EffectKind {
        /// Create the order in the shop. Revision `1`: there is only ever one.
        CreateShopOrder = "create_shop_order",
        /// Cancel the shop order. Revision `cancelled`.
        CancelShopOrder = "cancel_shop_order",
        /// Tell the shop of a parcel that the marketplace knows of. The revision is the parcel.
        ShipShopOrder = "ship_shop_order",
        /// Tell the marketplace of a parcel that the shop knows of. The revision is the parcel, and after a change
        /// of carrier or tracking `parcel.change`.
        ConfirmShipment = "confirm_shipment",
        /// Read the shop order's shipments, since its status or counts changed. The revision is the shop's change time.
        ReadShopShipments = "read_shop_shipments",
        /// Read what the shop order was refunded, since it was cancelled or refunded in the shop. The revision is the
        /// shop's change time.
        ReadShopAfterSale = "read_shop_after_sale",
        /// Ask the marketplace to cancel what the shop cancelled. Revision `cancelled`.
        CancelOrder = "cancel_order",
        /// Ask the marketplace to give back what the shop refunded. The revision is the shop's refund.
        RefundOrder = "refund_order",
        /// Fetch the order from the marketplace again. The revision is the moment it was asked for, or `refund` until a
        /// refund of the marketplace is through.
        RefreshOrder = "refresh_order",
        /// Fetch what the buyer designed before its link dies. The revision is the marketplace's id of the line.
        KeepCustomisation = "keep_customisation",
    }
}

words! {
    /// Where an open effect stands.
    EffectState {
        /// Waits for its time.
        Due = "due",
        /// The intent is durable and the call may be under way.
        Called = "called",
        /// The call ended in doubt: look before doing it again.
        InDoubt = "in_doubt",
        /// Waits for a person.
        Held = "held",
    }
}

words! {
    /// How an effect ended, in `effect_log`.
    EffectOutcome {
        /// The other side did it.
        Done = "done",
        /// It was there already.
        Found = "found",
        /// No longer owed.
        Dropped = "dropped",
        /// The other side refused it for good.
        Refused = "refused",
    }
}

words! {
    /// What a person who has looked says of work that waits for them.
    Verdict {
        /// It was done.
        Done = "done",
        /// It was not: send it again.
        SendAgain = "again",
    }
}

words! {
    /// A queue that no other may starve.
    Lane {
        /// Orders and shipments: what a buyer waits for.
        Orders = "orders",
        /// History, refreshes: what nobody waits for.
        Bulk = "bulk",
    }
}

/// An effect that a plan asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEffect {
    /// What is owed.
    pub kind: EffectKind,
    /// What tells this one from an earlier of its kind.
    pub revision: String,
    /// The connection that is called.
    pub connection: ConnectionId,
    /// Its lane.
    pub lane: Lane,
    /// Not before.
    pub due_at: Timestamp,
    /// Why it waits from the start, if it does.
    pub held: Option<Reason>,
}

/// An open effect as held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Its id.
    pub id: EffectId,
    /// The order it is for.
    pub order_no: OrderNo,
    /// What is owed.
    pub kind: EffectKind,
    /// What tells this one from an earlier of its kind.
    pub revision: String,
    /// The connection that is called.
    pub connection: ConnectionId,
    /// Its lane.
    pub lane: Lane,
    /// Where it stands.
    pub state: EffectState,
    /// Calls made so far.
    pub attempts: u32,
    /// Not before.
    pub due_at: Timestamp,
    /// When the last call's intent became durable.
    pub called_at: Option<Timestamp>,
    /// Since the last call in doubt: when the first probe that found nothing was answered.
    pub first_empty_probe_at: Option<Timestamp>,
    /// What the platform asked to be asked with, while it takes its time.
    pub ticket: Option<String>,
    /// Why it waits.
    pub reason: Option<Reason>,
    /// When it was first owed.
    pub created_at: Timestamp,
}

impl EffectKind {
    /// True where a person who has looked may say that it was done by hand, or that it is to be sent again.
    #[must_use]
    pub fn is_settled_by_people(self) -> bool {
        matches!(self, Self::CancelOrder | Self::RefundOrder | Self::ReadShopAfterSale)
    }
}

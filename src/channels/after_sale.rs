//! Cancellations and refunds that we ask a marketplace for. A platform may take long to decide: what it answers at
//! once is kept as a ticket and followed until it is done.

use async_trait::async_trait;

use super::FulfilmentOrder;
use super::error::ChannelError;
use crate::domain::money::Currency;
use crate::domain::order::words;

words! {
    /// Why an order is cancelled.
    CancelReason {
        /// Nothing left to ship.
        OutOfStock = "out_of_stock",
        /// The buyer asked for it.
        BuyerAsked = "buyer_asked",
        /// The address cannot be shipped to.
        AddressProblem = "address_problem",
        /// The price was wrong.
        PricingError = "pricing_error",
    }
}

words! {
    /// Why money goes back.
    RefundReason {
        /// The buyer returned it.
        Returned = "returned",
        /// Nothing left to ship.
        OutOfStock = "out_of_stock",
        /// The buyer cancelled.
        BuyerCancelled = "buyer_cancelled",
        /// It arrived damaged, late or not at all.
        Complaint = "complaint",
        /// Anything else.
        Other = "other",
    }
}

/// How far something is that was asked of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done,
    /// The platform is at it: ask again with this ticket.
    Pending(String),
    /// The platform will not do it, and says why: nothing came of it.
    Refused(String),
    /// The platform is through with it and did part of it, or does not say how much: what it says of that.
    Doubtful(String),
}

/// Cancels orders.
#[async_trait]
pub trait Cancellation: Send + Sync {
    /// Asks for the whole order to be cancelled. Safe to repeat: an order is cancelled once.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn cancel(&self, order: &FulfilmentOrder, reason: CancelReason) -> Result<Progress, ChannelError>;

    /// How far a cancellation is.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn cancellation(&self, order: &FulfilmentOrder, ticket: &str) -> Result<Progress, ChannelError>;
}

/// So much goes back for one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundLine {
    /// The platform's id of the line.
    pub external_line_id: String,
    /// For the goods, in minor units, without tax that the platform withheld: it gives that back by itself.
    pub item_minor: i64,
    /// For their shipping, in minor units.
    pub shipping_minor: i64,
    /// Units that are cancelled with it, before shipment.
    pub quantity_cancelled: i64,
}

/// A refund to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundDraft {
    /// Our id of it, where the platform has a field for one.
    pub key: String,
    /// Currency of every amount.
    pub currency: Currency,
    /// Line by line.
    pub lines: Vec<RefundLine>,
    /// Whether the order has one line and no more: some platforms are asked for the whole order then.
    pub is_single_line_order: bool,
    /// Why.
    pub reason: RefundReason,
    /// A word to the buyer.
    pub comment: Option<String>,
}

/// A refund that the platform lists of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRefund {
    /// The platform's id, with which [`Refunds::refunded`] is asked for it.
    pub id: String,
    /// What went, or goes, back in minor units, without tax that the platform adds by itself.
    pub minor: i64,
    /// Whether the platform tells it from those that programs asked for: it is none of ours then. Until such a one is
    /// through, its id may change.
    pub is_by_hand: bool,
}

/// Gives money back.
#[async_trait]
pub trait Refunds: Send + Sync {
    /// Asks for a refund. Exactly one call has an effect; after a doubt it is never sent again (DESIGN §4).
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn refund(&self, order: &FulfilmentOrder, draft: &RefundDraft) -> Result<Progress, ChannelError>;

    /// How far a refund is.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn refunded(&self, order: &FulfilmentOrder, ticket: &str) -> Result<Progress, ChannelError>;

    /// The refunds that the platform lists of an order, read now, without those that failed. `None` where it lists
    /// none: a refund in doubt waits for a person there.
    ///
    /// # Errors
    /// See [`ChannelError`].
    async fn listed(
        &self,
        order: &FulfilmentOrder,
        currency: Currency,
    ) -> Result<Option<Vec<ListedRefund>>, ChannelError> {
        let _ = (order, currency);
        Ok(None)
    }
}

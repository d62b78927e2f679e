//! Cancellations by the Post-Order API and refunds by `issueRefund`. Sellers in the EU and the UK sign both.

use async_trait::async_trait;

use super::super::FulfilmentOrder;
use super::super::after_sale::{
    CancelReason, Cancellation, ListedRefund, Progress, RefundDraft, RefundLine, RefundReason, Refunds,
};
use super::super::error::{ChannelError, RejectKind};
use super::super::pace::Priority;
use super::super::request::segment;
use super::client::{Grant, Outgoing};
use super::map::refunds::{self, Standing};
use super::{Ebay, ORDERS_PATH, wire};
use crate::domain::money::{Currency, decimal_of_minor};

/// The path of cancellations.
const CANCELLATIONS_PATH: &str = "/post-order/v2/cancellation";

/// Characters that eBay takes of a word to the buyer.
const COMMENT_CHARS_MAX: usize = 100;

impl CancelReason {
    /// eBay's word. It has none for a wrong price.
    const fn ebay_word(self) -> &'static str {
        match self {
            Self::OutOfStock | Self::PricingError => "OUT_OF_STOCK_OR_CANNOT_FULFILL",
            Self::BuyerAsked => "BUYER_ASKED_CANCEL",
            Self::AddressProblem => "ADDRESS_ISSUES",
        }
    }
}

impl RefundReason {
    /// eBay's word.
    const fn ebay_word(self) -> &'static str {
        match self {
            Self::Returned => "BUYER_RETURN",
            Self::OutOfStock => "SELLER_CANCEL",
            Self::BuyerCancelled => "BUYER_CANCEL",
            Self::Complaint => "ITEM_NOT_AS_DESCRIBED",
            Self::Other => "OTHER_ADJUSTMENT",
        }
    }
}

/// What is looked at of an order before it is cancelled.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Cancellable {
    #[serde(deserialize_with = "super::super::loose::text")]
    order_id: Option<String>,
    #[serde(deserialize_with = "super::super::loose::text")]
    legacy_order_id: Option<String>,
    cancel_status: wire::CancelStatus,
}

#[async_trait]
impl Cancellation for Ebay {
    async fn cancel(&self, order: &FulfilmentOrder, reason: CancelReason) -> Result<Progress, ChannelError> {
        let found: Cancellable = self.client.fetch(&self.one_order(&order.external_id)).await?;
        let state = &found.cancel_status;
        if matches!(state.cancel_state.as_deref(), Some("CANCELED" | "CANCELLED")) {
            return Ok(Progress::Done);
        }
        // Asked for before, by us or by the buyer: a second request would be refused.
        let open = state.cancel_requests.iter().find(|one| one.is_open());
        if let Some((request, ticket)) = open.and_then(|one| Some((one, one.cancel_request_id.clone()?))) {
            return if request.is_buyers() {
                self.approve(order, ticket).await
            } else {
                Ok(Progress::Pending(ticket))
            };
        }
        let legacy = found.legacy_order_id.or(found.order_id).unwrap_or_else(|| order.external_id.clone());
        let body = serde_json::json!({"legacyOrderId": legacy});
        let path = format!("{CANCELLATIONS_PATH}/check_eligibility");
        let asked = Outgoing {
            grant: Grant::SellerIaf,
            effect: super::client::Effect::Read,
            ..Outgoing::write("checkCancellationEligibility", path, &body)?
        };
        let eligible: wire::CancelEligibility = self.client.fetch(&asked).await?;
        if eligible.eligible.or(eligible.eligible_for_cancellation) == Some(false) {
            let reasons = eligible.failure_reason.join(", ");
            let why = if reasons.is_empty() { "eBay gives no reason".to_owned() } else { reasons };
            return Ok(Progress::Refused(format!("eBay does not let the order be cancelled: {why}")));
        }
        let body = serde_json::json!({"legacyOrderId": legacy, "cancelReason": reason.ebay_word()});
        let asked = Outgoing {
            grant: Grant::SellerIaf,
            is_signed: true,
            ..Outgoing::write("createCancellation", CANCELLATIONS_PATH, &body)?
        };
        let created: wire::CancelCreated = self.client.fetch(&asked).await?;
        let ticket = created.cancel_id.ok_or_else(|| ChannelError::Corrupt {
            in_doubt: true,
            message: "createCancellation: eBay answered without an id; the order is looked at".to_owned(),
        })?;
        Ok(progress(None, created.cancel_status.as_deref(), &ticket))
    }

    async fn cancellation(&self, order: &FulfilmentOrder, ticket: &str) -> Result<Progress, ChannelError> {
        let (state, status) = self.cancellation_words(order, ticket).await?;
        Ok(progress(state.as_deref(), status.as_deref(), ticket))
    }
}

impl Ebay {
    /// eBay's words for the state and the status of a cancellation.
    async fn cancellation_words(
        &self,
        order: &FulfilmentOrder,
        ticket: &str,
    ) -> Result<(Option<String>, Option<String>), ChannelError> {
        let path = format!("{CANCELLATIONS_PATH}/{}", segment(ticket));
        let asked = Outgoing {
            grant: Grant::SellerIaf,
            ..Outgoing::read("getCancellation", path, Priority::Interactive)
        };
        let found: wire::Cancellation = self.client.fetch(&asked).await?;
        let detail = found.cancel_detail.unwrap_or_default();
        let state = detail.cancel_state.or(found.cancel_state);
        tracing::debug!(order.id = order.external_id, state, "a cancellation at eBay");
        Ok((state, detail.cancel_status))
    }

    /// Grants what the buyer asked for, unless that has been done: eBay goes no further until the seller says so.
    async fn approve(&self, order: &FulfilmentOrder, ticket: String) -> Result<Progress, ChannelError> {
        let (state, status) = self.cancellation_words(order, &ticket).await?;
        let is_asked_for =
            status.as_deref() == Some("CANCEL_REQUESTED") || state.as_deref() == Some("APPROVAL_PENDING");
        if !is_asked_for {
            return Ok(progress(state.as_deref(), status.as_deref(), &ticket));
        }
        let path = format!("{CANCELLATIONS_PATH}/{}/approve", segment(&ticket));
        let asked = Outgoing {
            grant: Grant::SellerIaf,
            is_signed: true,
            ..Outgoing::write("approveCancellation", path, &serde_json::json!({}))?
        };
        // It answers without a body.
        self.client.send(&asked).await?;
        Ok(Progress::Pending(ticket))
    }
}

/// What eBay's words say of a cancellation. Words that we do not know leave it pending.
fn progress(state: Option<&str>, status: Option<&str>, ticket: &str) -> Progress {
    match (state, status) {
        (_, Some(word @ ("CANCEL_REJECTED" | "CANCEL_CLOSED_FOR_COMMITMENT" | "CANCEL_FAILED"))) => {
            Progress::Refused(format!("eBay did not cancel the order: {word}"))
        }
        (
            _,
            Some("CANCEL_CLOSED_WITH_REFUND" | "CANCEL_CLOSED_NO_REFUND" | "CANCEL_CLOSED_UNKNOWN_REFUND"),
        )
        | (Some("CLOSED"), _) => Progress::Done,
        _ => Progress::Pending(ticket.to_owned()),
    }
}

#[async_trait]
impl Refunds for Ebay {
    async fn refund(&self, order: &FulfilmentOrder, draft: &RefundDraft) -> Result<Progress, ChannelError> {
        let path = format!("{ORDERS_PATH}/{}/issue_refund", segment(&order.external_id));
        let body = new_refund(draft)?;
        let asked = Outgoing { is_signed: true, ..Outgoing::write("issueRefund", path, &body)? };
        let refund: wire::Refund = self.client.fetch(&asked).await?;
        match (refund.refund_status.as_deref(), refund.refund_id) {
            (Some("FAILED"), _) => Ok(Progress::Refused("eBay did not give the money back".to_owned())),
            (_, Some(id)) => Ok(Progress::Pending(id)),
            (_, None) => Err(ChannelError::Corrupt {
                in_doubt: true,
                message: "issueRefund: eBay answered without an id; look at the order's refunds on eBay"
                    .to_owned(),
            }),
        }
    }

    /// A refund of the whole order has a status there. One of positions has none, unless eBay lists it on the order as
    /// well: it is through once it has a date. eBay's specification (v1.20.7) lists one of positions on them alone, with id,
    /// date and amount (`LineItemRefund`), while it is under way and once it is through; what becomes of one that failed
    /// it does not say, so that one that is missing is no failure.
    async fn refunded(&self, order: &FulfilmentOrder, ticket: &str) -> Result<Progress, ChannelError> {
        let found: wire::Order = self.client.fetch(&self.one_order(&order.external_id)).await?;
        let own: Vec<&wire::OrderRefund> = refunds::of_order(&found)
            .chain(refunds::of_lines(&found).map(|(_, refund)| refund))
            .filter(|refund| refund.refund_id.as_deref() == Some(ticket))
            .collect();
        let has = |word: &str| own.iter().any(|refund| refund.refund_status.as_deref() == Some(word));
        Ok(if has("FAILED") {
            Progress::Refused("eBay did not give the money back".to_owned())
        } else if has("REFUNDED") || own.iter().any(|refund| refund.refund_date.is_some()) {
            Progress::Done
        } else {
            Progress::Pending(ticket.to_owned())
        })
    }

    async fn listed(
        &self,
        order: &FulfilmentOrder,
        currency: Currency,
    ) -> Result<Option<Vec<ListedRefund>>, ChannelError> {
        let found: wire::Order = self.client.fetch(&self.one_order(&order.external_id)).await?;
        let corrupt = |message: String| ChannelError::Corrupt { in_doubt: false, message };
        let standing = refunds::standing(&found, currency).map_err(|error| corrupt(error.to_string()))?;
        let listed = |(place, known): (usize, &Standing<'_>)| {
            if known.currency != currency {
                return Err(corrupt(format!("a refund is in {}, the order in {currency}", known.currency)));
            }
            let (id, is_by_hand) = (known.id_or_place(place), known.refund_id.is_none());
            Ok(ListedRefund { id, minor: known.minor, is_by_hand })
        };
        standing.iter().enumerate().map(listed).collect::<Result<_, _>>().map(Some)
    }
}

/// What `issueRefund` takes.
fn new_refund(draft: &RefundDraft) -> Result<wire::NewRefund, ChannelError> {
    let item = |line: &RefundLine| {
        let minor = line.item_minor.checked_add(line.shipping_minor).filter(|minor| *minor > 0)?;
        Some(wire::NewRefundItem {
            line_item_id: line.external_line_id.clone(),
            refund_amount: new_amount(minor, draft.currency),
        })
    };
    let items: Option<Vec<wire::NewRefundItem>> = draft.lines.iter().map(item).collect();
    let mut refund_items = items.filter(|items| !items.is_empty()).ok_or_else(|| ChannelError::Reject {
        kind: RejectKind::Other,
        message: "eBay takes a refund only of amounts above zero, line by line".to_owned(),
    })?;
    // Items are for orders of several positions.
    let is_whole = draft.is_single_line_order && refund_items.len() == 1;
    let whole = if is_whole { refund_items.pop() } else { None };
    Ok(wire::NewRefund {
        reason_for_refund: draft.reason.ebay_word(),
        comment: draft.comment.as_ref().map(|text| text.chars().take(COMMENT_CHARS_MAX).collect()),
        refund_items,
        order_level_refund_amount: whole.map(|item| item.refund_amount),
    })
}

fn new_amount(minor: i64, currency: Currency) -> wire::NewAmount {
    wire::NewAmount { value: decimal_of_minor(minor, currency).to_string(), currency: currency.code() }
}

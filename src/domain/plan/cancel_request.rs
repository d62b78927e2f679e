//! A buyer asks to have an order cancelled. Nothing is cancelled by itself, since that is the seller's to grant, and nothing
//! is held back: a person has to hear of it before a parcel leaves.

use super::edits::is_over;
use super::{EventKind, ImportPlan, NewEvent};
use crate::domain::order::{ExportState, FulfilledBy, OrderFacts};

/// The incident of an order that its buyer asks to have cancelled.
pub const INCIDENT: &str = "buyer_asks_to_cancel";

/// Characters of the buyer's reason that are shown.
const REASON_CHARS_MAX: usize = 100;

/// What follows from a buyer's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPlan {
    /// For the timeline.
    pub event: NewEvent,
    /// What happened and what to do, where the order is in the shop or goes there.
    pub incident: Option<(String, String)>,
}

/// What a buyer of `alias` asks for with these facts, of which `plan` says what becomes; none where there is no such wish,
/// or nothing left to cancel.
#[must_use]
pub fn plan_request(alias: &str, plan: &ImportPlan, facts: &OrderFacts) -> Option<RequestPlan> {
    let request = facts.cancel_request.as_ref().filter(|_| !is_over(facts.status))?;
    let is_whole = facts.is_unwanted_whole();
    let of_what = |whole: &str| {
        if is_whole {
            return whole.to_owned();
        }
        let unwanted = facts.lines.iter().filter(|line| facts.is_unwanted(line));
        let names: Vec<String> =
            unwanted.map(|line| format!("“{}”", line.sku.as_deref().unwrap_or(&line.title))).collect();
        format!("{} of {whole}", names.join(", "))
    };
    let why = request.reason.as_ref().map_or_else(String::new, |reason| {
        format!(" The reason given: {}.", reason.chars().take(REASON_CHARS_MAX).collect::<String>())
    });
    let event = NewEvent::new(
        EventKind::CancelAsked,
        format!("The buyer asks to cancel {}.{why}", of_what("the order")),
    );
    // What the platform ships itself is its own to stop, and history is nobody's work.
    let is_work = plan.export_state != ExportState::None && !plan.is_history;
    let incident = (is_work && facts.fulfilled_by == FulfilledBy::Seller).then(|| {
        let text = format!(
            "The buyer asks to cancel {}.{why}",
            of_what(&format!("order {} of {alias}", facts.external_id))
        );
        let next_step = if is_whole {
            format!(
                "If you agree, cancel the order before it is shipped: in the shop, of which {alias} hears where the \
                 connection passes cancellations on, else on {alias}'s own page. If not, answer the buyer there. Then \
                 close this."
            )
        } else {
            format!(
                "If you agree, cancel that part on {alias}'s own page and in the shop before it is shipped. If not, \
                 answer the buyer there. Then close this."
            )
        };
        (text, next_step)
    });
    Some(RequestPlan { event, incident })
}

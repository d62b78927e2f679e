//! Edits: what a marketplace changed of an order that is in the shop already (FEATURES B6). The shop order stays as it
//! was made, so somebody has to hear of it before a parcel leaves.
//!
//! What is said never names a person: of an address or a note it says only that there is another one. What a payload
//! leaves out is no change: platforms take people back after a time, and tell less of an order that is over.

use std::collections::{HashMap, HashSet};

use super::{EventKind, HeldOrder, NewEvent};
use crate::domain::customer::People;
use crate::domain::money::Money;
use crate::domain::order::{ExportState, FulfilledBy, LineFacts, OrderFacts, OrderStatus};

/// The incident of an order that was changed after it went into the shop.
pub const INCIDENT: &str = "changed_after_export";

/// Changes that are spelt out; the order's page shows the rest.
const CHANGES_MAX: usize = 8;

/// An order that is in the shop, as it was when we last heard of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    /// What the buyer paid.
    pub total_minor: i64,
    /// Positions.
    pub lines: Vec<LineFacts>,
    /// People, where they are still kept.
    pub people: Option<People>,
    /// Units that were refunded in the shop, by the marketplace's id of the line. The marketplace may cancel them since
    /// we told it so, and the shop knows of them.
    pub refunded_units: HashMap<String, i64>,
    /// Something was refunded, in the shop or on the marketplace: where that makes the total smaller, it is no edit.
    pub is_refunded: bool,
}

impl Before {
    /// Takes news over. What they leave out stays.
    pub fn take(&mut self, facts: &OrderFacts) {
        self.total_minor = facts.total_minor;
        self.is_refunded |= facts.is_refunded();
        if !facts.lines.is_empty() {
            self.lines.clone_from(&facts.lines);
        }
        if let Some(now) = &facts.people {
            let known = self.people.take();
            self.people = Some(known.map_or_else(|| now.clone(), |before| now.clone().completed(&before)));
        }
    }
}

/// What follows from an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditPlan {
    /// For the timeline.
    pub event: NewEvent,
    /// What happened and what to do, where the shop may still ship what is no longer right.
    pub incident: Option<(String, &'static str)>,
}

/// True where news of an order tell of edits at all: it is in the shop, or may be, and has neither left nor been
/// cancelled. A whole cancellation goes into the shop by itself.
#[must_use]
pub fn is_watched(held: &HeldOrder) -> bool {
    matches!(held.export_state, ExportState::Created | ExportState::Creating) && !is_over(held.status)
}

/// Nobody has to mend the shop order any more.
#[must_use]
pub fn is_over(status: OrderStatus) -> bool {
    match status {
        OrderStatus::Shipped | OrderStatus::Cancelled => true,
        OrderStatus::Pending | OrderStatus::Open | OrderStatus::PartShipped => false,
    }
}

/// What `alias` changed of an order since `before`; none where it changed nothing that the shop should know.
#[must_use]
pub fn plan_edit(alias: &str, held: &HeldOrder, before: &Before, facts: &OrderFacts) -> Option<EditPlan> {
    if !is_watched(held) || facts.status == OrderStatus::Cancelled {
        return None;
    }
    let mut changes = unit_changes(before, facts);
    changes.extend(people_changes(before, facts).into_iter().map(str::to_owned));
    let is_total_known = held.is_paid && facts.is_paid && !before.is_refunded && !facts.is_refunded();
    if is_total_known && before.total_minor != facts.total_minor {
        let shown = |minor| Money { minor, currency: facts.currency };
        let (then, now) = (shown(before.total_minor), shown(facts.total_minor));
        changes.push(format!("the total from {then} to {now}"));
    }
    if changes.is_empty() {
        return None;
    }
    let more = changes.len().saturating_sub(CHANGES_MAX);
    changes.truncate(CHANGES_MAX);
    if more > 0 {
        changes.push(format!("{more} more"));
    }
    let changes = changes.join("; ");
    let event = NewEvent::new(
        EventKind::Updated,
        format!("Changed on {alias} after it went into the shop: {changes}. The shop order stays as it was."),
    );
    // What has left needs nobody, and what the platform ships itself never leaves from the shop.
    let is_urgent = !is_over(facts.status) && facts.fulfilled_by == FulfilledBy::Seller;
    let incident = is_urgent.then(|| {
        let text =
            format!("Order {} was changed on {alias} after it went into the shop: {changes}.", facts.external_id);
        let next_step = "Change the order in the shop before it is shipped; its page here shows how it is now, and its \
                         timeline what changed. Then close this.";
        (text, next_step)
    });
    Some(EditPlan { event, incident })
}

/// The lines of which other units are to be delivered than before.
fn unit_changes(before: &Before, facts: &OrderFacts) -> Vec<String> {
    if before.lines.is_empty() || facts.lines.is_empty() {
        return Vec::new();
    }
    let (then, now) = (units(&before.lines, before), units(&facts.lines, before));
    let mut seen = HashSet::new();
    let mut changes = Vec::new();
    for line in before.lines.iter().chain(&facts.lines) {
        let id = line.external_id.as_str();
        let count = |units: &HashMap<&str, i64>| units.get(id).copied().unwrap_or(0);
        if seen.insert(id) && count(&then) != count(&now) {
            let name = line.sku.as_deref().unwrap_or(&line.title);
            changes.push(format!("units of “{name}” from {} to {}", count(&then), count(&now)));
        }
    }
    changes
}

/// Units to be delivered by line, as far as the shop can know: what was refunded there is cancelled there.
fn units<'l>(lines: &'l [LineFacts], before: &Before) -> HashMap<&'l str, i64> {
    let mut ordered: HashMap<&str, (i64, i64)> = HashMap::with_capacity(lines.len());
    for line in lines {
        let (quantity, cancelled) = ordered.entry(line.external_id.as_str()).or_default();
        *quantity = quantity.saturating_add(line.quantity);
        *cancelled = cancelled.saturating_add(line.quantity_cancelled);
    }
    let left = |(id, (quantity, cancelled)): (&'l str, (i64, i64))| {
        let refunded = before.refunded_units.get(id).copied().unwrap_or(0);
        (id, quantity.saturating_sub(cancelled.max(refunded)).max(0))
    };
    ordered.into_iter().map(left).collect()
}

/// What is other about people, without naming any.
fn people_changes(before: &Before, facts: &OrderFacts) -> Vec<&'static str> {
    let (Some(before), Some(now)) = (&before.people, &facts.people) else { return Vec::new() };
    let mut changes = Vec::new();
    if let (Some(then), Some(address)) = (&before.ship_to, &now.ship_to)
        && address.is_elsewhere(then)
    {
        changes.push("another delivery address");
    }
    // A first note counts where the platform told of people before; else it has only begun to tell.
    let was_told = before.ship_to.as_ref().is_some_and(|address| !address.street.is_empty());
    let is_other = |then: Option<&str>, now: Option<&str>| match (then, now) {
        (Some(then), Some(now)) => then.trim() != now.trim(),
        (None, Some(_)) => was_told,
        (_, None) => false,
    };
    if is_other(before.buyer_note.as_deref(), now.buyer_note.as_deref()) {
        changes.push("another note of the buyer");
    }
    if is_other(before.gift_message.as_deref(), now.gift_message.as_deref()) {
        changes.push("another gift message");
    }
    changes
}

#[cfg(test)]
mod tests;

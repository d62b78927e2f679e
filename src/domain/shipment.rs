//! Parcels, as either side tells of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// So many units of one line in a parcel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippedLine {
    /// The platform's id of the line: the marketplace's on a marketplace's order, the shop's on a shop order.
    pub external_line_id: String,
    /// Units.
    pub quantity: i64,
}

/// One parcel as a platform tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentFacts {
    /// The platform's id of the parcel.
    pub external_id: String,
    /// Carrier, in the platform's word.
    pub carrier: Option<String>,
    /// Shipping service, in the platform's word.
    pub service: Option<String>,
    /// Tracking number.
    pub tracking: Option<String>,
    /// When it was shipped.
    pub shipped_at: Option<Timestamp>,
    /// What is in it; empty where the platform does not say.
    pub lines: Vec<ShippedLine>,
}

/// Whether two parcels hold the same units, in whatever order they are listed.
#[must_use]
pub fn holds_the_same(ours: &[ShippedLine], theirs: &[ShippedLine]) -> bool {
    let units = |lines: &[ShippedLine]| {
        let mut units: Vec<(String, i64)> =
            lines.iter().map(|line| (line.external_line_id.clone(), line.quantity)).collect();
        units.sort();
        units
    };
    units(ours) == units(theirs)
}

/// A parcel to tell the other side of: its lines already carry that side's ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentDraft {
    /// Our number of the parcel within the order, 1 and up: stable, so that a repeat is seen as one. Amazon's
    /// `packageReferenceId`.
    pub parcel: i64,
    /// Carrier in the receiving platform's word, after the carrier map.
    pub carrier: Option<String>,
    /// Shipping service.
    pub service: Option<String>,
    /// Tracking number.
    pub tracking: Option<String>,
    /// When it was shipped.
    pub shipped_at: Timestamp,
    /// What is in it.
    pub lines: Vec<ShippedLine>,
}

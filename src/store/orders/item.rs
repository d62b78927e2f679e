//! One order on its way in, with all that can be worked out of it before the writer's turn: while one page is written,
//! the next one is prepared elsewhere.

use super::rows::{self, Sums};
use crate::domain::customer::People;
use crate::domain::id::PayloadId;
use crate::domain::order::OrderFacts;
use crate::store::error::StoreError;
use crate::store::values::{payload_hash, to_json};

/// One order as received.
#[derive(Debug, Clone)]
pub struct ImportItem {
    pub(super) external_id: Option<String>,
    pub(super) payload: String,
    pub(super) cuts: Vec<String>,
    pub(super) facts: Result<OrderFacts, (String, String)>,
    pub(super) hash: u64,
    pub(super) columns: Columns,
    /// Where it lay parked: its number then, which says what arrived after it.
    pub(super) parked_as: Option<i64>,
}

/// Texts and sums as they are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    pub(super) cuts: String,
    pub(super) people: Option<PeopleColumns>,
    pub(super) search: String,
    pub(super) whole: Sums,
    pub(super) lines: Vec<Sums>,
}

/// What `main.person` holds of people beside the cuts.
#[derive(Debug, Clone)]
pub(super) struct PeopleColumns {
    pub(super) people: String,
    pub(super) search: String,
}

impl ImportItem {
    /// Takes the platform's id, if it could be found; the payload without person data and the texts that were cut out
    /// of it; and what it says, or else the place that could not be read and what was wrong there. Facts whose amounts
    /// cannot be added up are such a place too.
    #[must_use]
    pub fn new(
        external_id: Option<String>,
        payload: String,
        cuts: Vec<String>,
        facts: Result<OrderFacts, (String, String)>,
    ) -> Self {
        let hash = payload_hash(&payload, &cuts);
        let prepared = facts.and_then(|facts| match columns(&facts, &cuts) {
            Ok(columns) => Ok((facts, columns)),
            Err(error) => Err(("amounts".to_owned(), error.to_string())),
        });
        let (facts, columns) = match prepared {
            Ok((facts, columns)) => (Ok(facts), columns),
            Err(unreadable) => (Err(unreadable), Columns::default()),
        };
        Self { external_id, payload, cuts, facts, hash, columns, parked_as: None }
    }

    /// The place that could not be read, and what is wrong there.
    #[must_use]
    pub fn unreadable(&self) -> Option<(&str, &str)> {
        self.facts.as_ref().err().map(|(place, what)| (place.as_str(), what.as_str()))
    }

    /// The same, read again from a parked payload: of facts of the same time, those that arrived later count.
    #[must_use]
    pub fn from_parked(self, payload: PayloadId) -> Self {
        Self { parked_as: Some(payload.0), ..self }
    }
}

fn columns(facts: &OrderFacts, cuts: &[String]) -> Result<Columns, StoreError> {
    let (whole, lines) = rows::sums(facts)?;
    let people = facts.people.as_ref().map(people_columns);
    let search = rows::search_text(facts);
    Ok(Columns { cuts: to_json(cuts)?, people: people.transpose()?, search, whole, lines })
}

/// People as they are written.
pub(super) fn people_columns(people: &People) -> Result<PeopleColumns, StoreError> {
    Ok(PeopleColumns { people: to_json(people)?, search: people_search(people) })
}

/// What the search box finds people by.
pub(in crate::store) fn people_search(people: &People) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let buyer = &people.buyer;
    parts.extend(
        [&buyer.name, &buyer.email, &buyer.company, &buyer.purchase_order_number]
            .into_iter()
            .flatten()
            .map(String::as_str),
    );
    for address in people.ship_to.iter().chain(&people.bill_to) {
        parts.extend(
            [&address.name, &address.company, &address.city, &address.postal_code, &address.phone]
                .into_iter()
                .flatten()
                .map(String::as_str),
        );
    }
    parts.dedup();
    parts.join("\n").to_lowercase()
}

//! Brings a page of orders in: what the platform says, what we decided on it, what is owed now and how far the
//! stream came, in one write.
//!
//! One look-up finds which orders of the page are known. New rows go through the Appender; known ones are changed
//! in place, so that rows stay in the order of arrival.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use duckdb::{Row, params};
use jiff::Timestamp;

use super::detail;
use super::item::{Columns, ImportItem, PeopleColumns, people_columns};
use super::rows::{self, OrderMarks, RowContext};
use crate::domain::connection::Connection;
use crate::domain::customer::{Buyer, People};
use crate::domain::effect::{Effect, EffectKind, EffectOutcome, EffectState, NewEffect};
use crate::domain::id::{EffectId, EventId, OrderNo, PayloadId};
use crate::domain::order::{ExportState, OrderFacts, OrderStatus, READER};
use crate::domain::person;
use crate::domain::plan::after_sale;
use crate::domain::plan::cancel_request::{self, plan_request};
use crate::domain::plan::edits::{self, Before, is_over, is_watched, plan_edit};
use crate::domain::plan::refunds::{PassedOn, plan_given_back};
use crate::domain::plan::{
    Change, EventKind, HeldOrder, HeldParcel, ImportPlan, NewEvent, ParcelContext, ParcelOrigin, plan_import,
    plan_parcels, plan_stale,
};
use crate::domain::reason::Reason;
use crate::domain::refund::HeldMarketplaceRefund;
use crate::store::connections::{self, StreamUpdate};
use crate::store::effects;
use crate::store::error::StoreError;
use crate::store::events::{self, EventRow};
use crate::store::files;
use crate::store::incidents::{self, NewIncident};
use crate::store::marketplace_refunds;
use crate::store::refunds::{self, RefundRow, net_sql};
use crate::store::shipments::{self, ShipmentRow};
use crate::store::values::{
    self, external_key, get, get_time, get_word, get_word_or_null, id_list, key_list, time, to_json,
};
use crate::store::writer::Tx;

/// What a payload that nobody could read becomes in `raw.payload`: its text lies in `person`, whole.
const PARKED_PAYLOAD: &str = "{\"$person\":0}";
/// Which reading brought an order that came without a stream.
const FETCHED_ALONE: &str = "order";

/// One page of a stream.
#[derive(Debug, Clone)]
pub struct ImportBatch {
    /// Where it comes from.
    pub connection: Connection,
    /// The orders, oldest change first.
    pub orders: Vec<ImportItem>,
    /// How far the stream came with it.
    pub stream: Option<StreamUpdate>,
    /// True for history and other pages that nobody waits for.
    pub is_bulk: bool,
    /// The present.
    pub now: Timestamp,
    /// Who is written as the actor of its events.
    pub actor: String,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOutcome {
    /// Orders that we did not hold.
    pub new: usize,
    /// Orders with news.
    pub updated: usize,
    /// Payloads older than what we hold.
    pub stale: usize,
    /// Payloads that say what the last one said.
    pub unchanged: usize,
    /// Payloads that nobody could read.
    pub parked: usize,
    /// Effects that are open now and were not before.
    pub effects: Vec<Effect>,
    /// The orders that are new or changed, in order.
    pub orders: Vec<OrderNo>,
    /// Effects that waited for a person and are done: the platform lists what they were to tell it.
    pub found: Vec<EffectId>,
}

const KNOWN_KEYS_SQL: &str = "SELECT order_no FROM main.orders
    WHERE external_key IN (SELECT unnest(CAST(? AS UBIGINT[])))";
const HELD_SQL: &str = "SELECT order_no, external_id, status, platform_updated_at, is_paid, is_history, export_state,
        export_reason, export_detail, is_picked, payload_hash, facts_version, line_count, person_id, country, region,
        buyer_key, payload_id, total_minor
    FROM main.orders
    WHERE order_no BETWEEN ? AND ? AND order_no IN (SELECT unnest(CAST(? AS BIGINT[]))) AND connection_id = ?";
const PARKED_SQL: &str = "SELECT payload_hash FROM main.parked
    WHERE connection_id = ? AND payload_hash IN (SELECT unnest(CAST(? AS UBIGINT[])))";
const BUYERS_SQL: &str = "SELECT buyer_key, count(*), arg_max(order_no, placed_at) FROM main.orders
    WHERE buyer_key IN (SELECT unnest(CAST(? AS UBIGINT[]))) GROUP BY buyer_key";
const AMOUNTS_SQL: &str = "SELECT order_no, line_no, kind, minor FROM main.order_amount WHERE {order_no}";
const DROP_AMOUNTS_SQL: &str = "DELETE FROM main.order_amount
    WHERE order_no BETWEEN ? AND ? AND order_no IN (SELECT unnest(CAST(? AS BIGINT[])))";
const MAKE_CHANGES_SQL: &str = "
    CREATE OR REPLACE TEMP TABLE order_change AS SELECT * FROM main.orders LIMIT 0;
    CREATE OR REPLACE TEMP TABLE line_change AS SELECT * FROM main.order_line LIMIT 0;
    CREATE OR REPLACE TEMP TABLE search_change AS SELECT * FROM main.order_search LIMIT 0";
const UPDATE_ORDERS_SQL: &str = concat!(
    "UPDATE main.orders AS o
    SET status = c.status, platform_status = c.platform_status, is_paid = c.is_paid,
        export_state = c.export_state, export_reason = c.export_reason, export_detail = c.export_detail,
        facts_version = c.facts_version, platform_updated_at = c.platform_updated_at, changed_at = c.changed_at,
        total_minor = c.total_minor, item_minor = c.item_minor, shipping_minor = c.shipping_minor,
        tax_minor = c.tax_minor, discount_minor = c.discount_minor, net_minor = ",
    net_sql!("c.total_minor", "c.tax_minor", "o.refund_minor"),
    ",
        fee_minor = c.fee_minor, unit_count = c.unit_count, line_count = c.line_count, ship_by = c.ship_by,
        deliver_by = c.deliver_by, shipping_method = c.shipping_method, payment_method = c.payment_method,
        site = c.site, country = c.country, region = c.region, buyer_key = c.buyer_key, person_id = c.person_id,
        payload_id = c.payload_id, payload_hash = c.payload_hash, first_sku = c.first_sku,
        first_title = c.first_title, fulfilled_by = c.fulfilled_by
    FROM temp.order_change AS c
    WHERE o.order_no = c.order_no AND o.order_no BETWEEN ? AND ?"
);
const UPDATE_LINES_SQL: &str = "UPDATE main.order_line AS l
    SET external_id = c.external_id, sku = c.sku, product_id = c.product_id, title = c.title, quantity = c.quantity,
        quantity_shipped = c.quantity_shipped, quantity_cancelled = c.quantity_cancelled, unit_price = c.unit_price,
        options = c.options, item_minor = c.item_minor, tax_minor = c.tax_minor, discount_minor = c.discount_minor,
        fee_minor = c.fee_minor, shipping_minor = c.shipping_minor
    FROM temp.line_change AS c
    WHERE l.order_no = c.order_no AND l.line_no = c.line_no AND l.order_no BETWEEN ? AND ?";
const DROP_LINES_SQL: &str = "DELETE FROM main.order_line AS l USING temp.order_change AS c
    WHERE l.order_no = c.order_no AND l.line_no >= c.line_count AND l.order_no BETWEEN ? AND ?";
const UPDATE_SEARCH_SQL: &str =
    "UPDATE main.order_search AS s SET search = c.search FROM temp.search_change AS c
    WHERE s.order_no = c.order_no AND s.search <> c.search AND s.order_no BETWEEN ? AND ?";
const HEARD_SQL: &str = "SELECT DISTINCT order_no FROM main.event
    WHERE kind = ? AND order_no IN (SELECT unnest(CAST(? AS BIGINT[])))";
const ERASED_SQL: &str = "SELECT DISTINCT order_no FROM main.erasure_log
    WHERE order_no IN (SELECT unnest(CAST(? AS BIGINT[])))";
const DROP_CHANGES_SQL: &str =
    "DROP TABLE temp.order_change; DROP TABLE temp.line_change; DROP TABLE temp.search_change";

/// Brings a batch in. Orders that come twice in it are taken in the order of the platform's own times.
///
/// # Errors
/// What the database says; nothing is written then.
pub fn import(tx: &mut Tx<'_>, batch: &ImportBatch) -> Result<ImportOutcome, StoreError> {
    connections::check_account(tx, &batch.connection)?;
    let mut run = Run::begin(tx, batch)?;
    for item in in_order(&batch.orders) {
        match &item.facts {
            Ok(facts) => run.take(tx, item, facts)?,
            Err((place, what)) => run.park(tx, item, place, what)?,
        }
    }
    run.write(tx)?;
    if let Some(stream) = &batch.stream {
        connections::save_stream(tx, batch.connection.id, stream)?;
    }
    tx.order_count += batch.orders.len();
    Ok(run.outcome)
}

/// The items, where those of one order stand in the order of the platform's times.
fn in_order(items: &[ImportItem]) -> Vec<&ImportItem> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        if let Ok(facts) = &item.facts {
            places.entry(&facts.external_id).or_default().push(place);
        }
    }
    let mut sorted: Vec<&ImportItem> = items.iter().collect();
    for places in places.into_values().filter(|places| places.len() > 1) {
        let mut group: Vec<&ImportItem> = places.iter().filter_map(|place| items.get(*place)).collect();
        group.sort_by_key(|item| item.facts.as_ref().map(|facts| facts.updated_at).ok());
        for (place, item) in places.into_iter().zip(group) {
            if let Some(slot) = sorted.get_mut(place) {
                *slot = item;
            }
        }
    }
    sorted
}

/// An order of the batch: as held, then as each of its items leaves it.
struct Working<'b> {
    held: HeldOrder,
    marks: OrderMarks,
    line_count: usize,
    /// The payload that was believed last, by the number that it arrived under.
    arrived_as: i64,
    parcels: Vec<HeldParcel>,
    /// Those of the shop that the marketplace was not told of.
    untold: HashSet<i64>,
    /// People as held, where the batch tells less of them.
    people: Option<People>,
    /// What the shop gave back.
    shop_refunds: Vec<RefundRow>,
    /// What the marketplace gave back.
    given_back: Vec<HeldMarketplaceRefund>,
    /// The batch brings news of what the marketplace gave back.
    has_given_back: bool,
    /// What the shop has of it, where it is there and the batch may tell of edits.
    before: Option<Before>,
    /// What the buyer paid, as held.
    total_minor: i64,
    is_new: bool,
    /// What is to be written, once there is anything.
    facts: Option<(&'b OrderFacts, &'b Columns)>,
}

struct PayloadDraft<'b> {
    payload_id: i64,
    order_no: Option<i64>,
    person_id: Option<i64>,
    external_id: Option<&'b str>,
    payload: &'b str,
}

struct PersonDraft<'b> {
    person_id: i64,
    order_no: Option<i64>,
    cuts: Cow<'b, str>,
    people: Option<Cow<'b, PeopleColumns>>,
}

struct ParkedDraft<'b> {
    payload_id: i64,
    external_id: Option<&'b str>,
    hash: u64,
    place: &'b str,
    what: &'b str,
}

struct Run<'b> {
    batch: &'b ImportBatch,
    works: Vec<Working<'b>>,
    by_id: HashMap<String, usize>,
    /// Open before this batch.
    open: Vec<Effect>,
    /// Opened by this batch.
    opened: Vec<Effect>,
    /// What tells all of them apart, and what was done and is not done again.
    owed: HashSet<(OrderNo, EffectKind, String)>,
    dropped: Vec<EffectId>,
    payloads: Vec<PayloadDraft<'b>>,
    people: Vec<PersonDraft<'b>>,
    events: Vec<EventRow>,
    parked: Vec<ParkedDraft<'b>>,
    parked_before: HashSet<u64>,
    new_parcels: Vec<(OrderNo, HeldParcel)>,
    /// Orders that changed after they went into the shop.
    edited: Vec<(OrderNo, NewIncident)>,
    /// Orders that their buyers ask to have cancelled, told for the first time.
    unwanted: Vec<(OrderNo, NewIncident)>,
    /// Orders of which the timeline says already that their buyers ask to have them cancelled.
    heard: HashSet<OrderNo>,
    /// Orders that nobody has to mend in the shop or to cancel any more.
    over: Vec<OrderNo>,
    /// Of these, the ones that the marketplace has cancelled.
    cancelled: Vec<OrderNo>,
    outcome: ImportOutcome,
}

impl<'b> Run<'b> {
    /// Looks up which of the batch's orders are known, with everything that a decision on them needs.
    fn begin(tx: &mut Tx<'_>, batch: &'b ImportBatch) -> Result<Self, StoreError> {
        let works = held_orders(tx, batch)?;
        let known: Vec<i64> = works.iter().map(|(work, _)| work.marks.order_no).collect();
        let by_id = works.iter().enumerate().map(|(place, (_, id))| (id.clone(), place)).collect();
        let mut works: Vec<Working<'b>> = works.into_iter().map(|(work, _)| work).collect();
        let open: Vec<Effect> = {
            let pending = tx.pending();
            known.iter().flat_map(|order_no| pending.open_of(OrderNo(*order_no)).cloned()).collect()
        };
        if batch.connection.settings.shop.is_some() {
            let mut parcels: HashMap<i64, Vec<ShipmentRow>> = HashMap::new();
            for (order_no, shipment) in shipments::of_orders(tx, &known)? {
                parcels.entry(order_no).or_default().push(shipment);
            }
            for work in &mut works {
                let rows = parcels.remove(&work.marks.order_no).unwrap_or_default();
                let untold = rows.iter().filter(|row| {
                    row.parcel.origin == ParcelOrigin::Shop && row.told_at.is_none() && !row.parcel.is_gone
                });
                work.untold = untold.map(|row| row.parcel.parcel).collect();
                work.parcels = rows.into_iter().map(|row| row.parcel).collect();
            }
        }
        hold_people(tx, batch, &by_id, &mut works)?;
        hold_refunds(tx, &known, &mut works)?;
        hold_before(tx, batch, &by_id, &mut works)?;
        let mut owed: HashSet<(OrderNo, EffectKind, String)> =
            open.iter().map(|effect| (effect.order_no, effect.kind, effect.revision.clone())).collect();
        let is_customised =
            |item: &ImportItem| item.facts.as_ref().is_ok_and(|facts| !facts.customised_lines.is_empty());
        if batch.orders.iter().any(is_customised) {
            // What is kept is owed no more.
            let kept = files::kept_of_orders(tx, &known)?.into_iter();
            owed.extend(kept.map(|(order_no, line)| (order_no, EffectKind::KeepCustomisation, line)));
            owed.extend(erased_designs(tx, batch, (&by_id, &works), &known)?);
        }
        Ok(Self {
            batch,
            works,
            by_id,
            open,
            opened: Vec::new(),
            owed,
            dropped: Vec::new(),
            payloads: Vec::with_capacity(batch.orders.len()),
            people: Vec::with_capacity(batch.orders.len()),
            events: Vec::with_capacity(batch.orders.len()),
            parked: Vec::new(),
            parked_before: parked_before(tx, batch)?,
            new_parcels: Vec::new(),
            edited: Vec::new(),
            unwanted: Vec::new(),
            heard: heard_before(tx, batch, &known)?,
            over: Vec::new(),
            cancelled: Vec::new(),
            outcome: ImportOutcome::default(),
        })
    }

    fn take(
        &mut self,
        tx: &mut Tx<'_>,
        item: &'b ImportItem,
        facts: &'b OrderFacts,
    ) -> Result<(), StoreError> {
        let hash = item.hash;
        let place = self.by_id.get(&facts.external_id).copied();
        let held = place.and_then(|place| self.works.get(place));
        if held.is_some_and(|work| work.marks.payload_hash == hash) {
            self.outcome.unchanged += 1;
            return Ok(());
        }
        let plan = match held.filter(|work| work.has_overtaken(item, facts)) {
            Some(work) => plan_stale(&work.held),
            None => plan_import(&self.batch.connection, held.map(|work| &work.held), facts, self.batch.now),
        };
        let place = place.unwrap_or_else(|| self.add_new(tx, facts));
        let order_no = self.works.get(place).map_or(0, |work| work.marks.order_no);
        let payload_id = tx.ids.payload();
        let is_stale = plan.change == Change::Stale;
        let completed = self.works.get(place).filter(|_| !is_stale).and_then(|work| work.completed(facts));
        let people = match &completed {
            Some(people) => Some(Cow::Owned(people_columns(people)?)),
            None => item.columns.people.as_ref().filter(|_| !is_stale).map(Cow::Borrowed),
        };
        let has_people = people.is_some();
        let cuts = (!item.cuts.is_empty()).then_some(item.columns.cuts.as_str());
        let person_id = self.add_person(tx, Some(order_no), cuts.map(Cow::Borrowed), people);
        self.payloads.push(PayloadDraft {
            payload_id,
            order_no: Some(order_no),
            person_id,
            external_id: Some(&facts.external_id),
            payload: &item.payload,
        });
        match plan.change {
            Change::New => self.outcome.new += 1,
            Change::Update => self.outcome.updated += 1,
            Change::Stale => {
                self.outcome.stale += 1;
                return Ok(());
            }
        }
        let create = plan.effects.iter().find(|new| new.kind == EffectKind::CreateShopOrder);
        let has_create = create
            .is_some_and(|new| self.owed.contains(&(OrderNo(order_no), new.kind, new.revision.clone())));
        self.owe(tx, OrderNo(order_no), &plan);
        if plan.status == OrderStatus::Cancelled {
            self.settle_cancelled(tx, OrderNo(order_no))?;
        }
        self.add_events(tx, order_no, &plan.events, payload_id);
        self.take_request(tx, place, facts, &plan, payload_id);
        self.take_edit(tx, place, facts, payload_id);
        self.take_refunds(tx, place, facts, payload_id);
        if let Some(work) = self.works.get_mut(place) {
            work.accept((facts, &item.columns), &plan, has_create, payload_id, hash);
            work.arrived_as = item.parked_as.unwrap_or(payload_id);
            if let Some(people) = completed.as_ref().or(facts.people.as_ref()).filter(|_| has_people) {
                work.know_people(tx, people, person_id);
                if !work.is_new {
                    work.people = Some(people.clone());
                }
            }
        }
        self.take_parcels(tx, place, facts, payload_id)
    }

    /// A place for an order that we do not hold.
    fn add_new(&mut self, tx: &mut Tx<'_>, facts: &OrderFacts) -> usize {
        let order_no = tx.ids.order_no();
        let place = self.works.len();
        self.by_id.insert(facts.external_id.clone(), place);
        self.works.push(Working {
            held: HeldOrder {
                order_no: OrderNo(order_no),
                status: facts.status,
                updated_at: facts.updated_at,
                facts_version: 0,
                is_paid: facts.is_paid,
                is_history: false,
                export_state: ExportState::None,
                export_reason: None,
                is_picked: false,
            },
            marks: OrderMarks {
                order_no,
                external_key: external_key(self.batch.connection.id, &facts.external_id),
                is_history: false,
                is_picked: false,
                export_state: ExportState::None.as_str(),
                export_reason: None,
                export_detail: None,
                facts_version: 0,
                country: None,
                region: None,
                buyer_key: None,
                buyer_order_number: None,
                previous_order_no: None,
                person_id: None,
                payload_id: 0,
                payload_hash: 0,
            },
            line_count: 0,
            arrived_as: 0,
            parcels: Vec::new(),
            untold: HashSet::new(),
            people: None,
            shop_refunds: Vec::new(),
            given_back: Vec::new(),
            has_given_back: false,
            before: None,
            total_minor: facts.total_minor,
            is_new: true,
            facts: None,
        });
        place
    }

    fn add_person(
        &mut self,
        tx: &mut Tx<'_>,
        order_no: Option<i64>,
        cuts: Option<Cow<'b, str>>,
        people: Option<Cow<'b, PeopleColumns>>,
    ) -> Option<i64> {
        if cuts.is_none() && people.is_none() {
            return None;
        }
        let person_id = tx.ids.person();
        let cuts = cuts.unwrap_or(Cow::Borrowed("[]"));
        self.people.push(PersonDraft { person_id, order_no, cuts, people });
        Some(person_id)
    }

    fn owe(&mut self, tx: &mut Tx<'_>, order_no: OrderNo, plan: &ImportPlan) {
        for kind in &plan.dropped {
            let is_dropped = |effect: &Effect| effect.order_no == order_no && effect.kind == *kind;
            self.opened.retain(|effect| !is_dropped(effect));
            let gone = self.open.extract_if(.., |effect| is_dropped(effect));
            self.dropped.extend(gone.map(|effect| effect.id));
            self.owed.retain(|(order, owed, _)| *order != order_no || owed != kind);
        }
        for new in &plan.effects {
            self.open_effect(tx, order_no, new);
        }
    }

    fn open_effect(&mut self, tx: &mut Tx<'_>, order_no: OrderNo, new: &NewEffect) {
        if self.owed.insert((order_no, new.kind, new.revision.clone())) {
            let effect = effects::draw(tx, order_no, new);
            self.opened.push(effect);
        }
    }

    fn add_events(&mut self, tx: &mut Tx<'_>, order_no: i64, events: &[NewEvent], payload_id: i64) {
        for event in events {
            self.events.push(EventRow {
                event_id: EventId(tx.ids.event()),
                order_no: Some(OrderNo(order_no)),
                connection: Some(self.batch.connection.id),
                at: self.batch.now,
                kind: event.kind,
                text: event.text.clone(),
                actor: self.batch.actor.clone(),
                payload: Some(PayloadId(payload_id)),
            });
        }
    }

    /// What the marketplace changed of an order that the shop has as it was: said on its timeline, and to people until
    /// somebody has dealt with it or the order is over.
    fn take_edit(&mut self, tx: &mut Tx<'_>, place: usize, facts: &OrderFacts, payload_id: i64) {
        let Some(work) = self.works.get_mut(place) else { return };
        let order_no = work.held.order_no;
        let has_ended = !is_over(work.held.status) && is_over(facts.status);
        let edit = work.before.as_mut().and_then(|before| {
            let edit = plan_edit(&self.batch.connection.alias, &work.held, before, facts);
            before.take(facts);
            edit
        });
        if has_ended {
            self.edited.retain(|(edited, _)| *edited != order_no);
            self.unwanted.retain(|(unwanted, _)| *unwanted != order_no);
            self.over.push(order_no);
            self.cancelled.extend((facts.status == OrderStatus::Cancelled).then_some(order_no));
        }
        let Some(edit) = edit else { return };
        if let Some((text, next_step)) = edit.incident {
            let incident = self.incident(order_no, edits::INCIDENT, text, next_step.to_owned());
            self.edited.push((order_no, incident));
        }
        self.add_events(tx, order_no.0, &[edit.event], payload_id);
    }

    /// The buyer's wish to cancel: said on the timeline once, and to people until the order is over. Whoever closed it has
    /// dealt with it.
    fn take_request(
        &mut self,
        tx: &mut Tx<'_>,
        place: usize,
        facts: &OrderFacts,
        plan: &ImportPlan,
        payload_id: i64,
    ) {
        let Some(order_no) = self.works.get(place).map(|work| work.held.order_no) else { return };
        if self.heard.contains(&order_no) {
            return;
        }
        let Some(request) = plan_request(&self.batch.connection.alias, plan, facts) else { return };
        self.heard.insert(order_no);
        if let Some((text, next_step)) = request.incident {
            let incident = self.incident(order_no, cancel_request::INCIDENT, text, next_step);
            self.unwanted.push((order_no, incident));
        }
        self.add_events(tx, order_no.0, &[request.event], payload_id);
    }

    fn incident(&self, order_no: OrderNo, kind: &str, text: String, next_step: String) -> NewIncident {
        let connection = Some(self.batch.connection.id);
        NewIncident { connection, order_no: Some(order_no), kind: kind.to_owned(), text, next_step }
    }

    /// What the marketplace says that went back, and what of that the timeline does not say yet.
    fn take_refunds(&mut self, tx: &mut Tx<'_>, place: usize, facts: &OrderFacts, payload_id: i64) {
        let (Some(told), Some(work)) = (&facts.refunds, self.works.get_mut(place)) else { return };
        let whose = (self.batch.connection.alias.as_str(), facts.currency);
        let passed_on: Vec<PassedOn> = work.shop_refunds.iter().filter_map(RefundRow::passed_on).collect();
        let plan = plan_given_back(whose, &work.given_back, &told.refunds, &passed_on, self.batch.now);
        let Some(plan) = plan else { return };
        work.given_back = plan.held;
        work.has_given_back = true;
        let order_no = work.marks.order_no;
        self.add_events(tx, order_no, &plan.events, payload_id);
    }

    /// The newest edit of an order takes the place of an earlier one that nobody has closed: it is told anew.
    fn write_incidents(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let (actor, now) = (&self.batch.actor, self.batch.now);
        let edited = self.edited.iter().map(|(order_no, _)| *order_no);
        let settled: Vec<OrderNo> = edited.chain(self.over.iter().copied()).collect();
        incidents::close_of_orders(tx, edits::INCIDENT, &settled, actor, now)?;
        incidents::close_of_orders(tx, cancel_request::INCIDENT, &self.over, actor, now)?;
        incidents::close_of_orders(tx, after_sale::INCIDENT, &self.cancelled, actor, now)?;
        // From the last: of several of one order only one is opened.
        for (_, incident) in self.edited.iter().rev().chain(&self.unwanted) {
            incidents::open(tx, incident, now)?;
        }
        Ok(())
    }

    fn take_parcels(
        &mut self,
        tx: &mut Tx<'_>,
        place: usize,
        facts: &OrderFacts,
        payload_id: i64,
    ) -> Result<(), StoreError> {
        let (Some(listed), Some(shop)) = (&facts.shipments, self.batch.connection.settings.shop) else {
            return Ok(());
        };
        let Some(work) = self.works.get_mut(place) else { return Ok(()) };
        let is_told = work.held.export_state != ExportState::None && !work.marks.is_history;
        let context = ParcelContext {
            side: ParcelOrigin::Marketplace,
            other: is_told.then_some(shop),
            now: self.batch.now,
        };
        let plan = plan_parcels(&work.parcels, listed, context);
        let order_no = work.held.order_no;
        let mut found = Vec::new();
        for parcel in plan.upserts {
            if parcel.marketplace_package_id.is_some() && work.untold.remove(&parcel.parcel) {
                found.push(parcel.parcel);
            }
            let known = work.parcels.iter_mut().find(|known| known.parcel == parcel.parcel);
            let fresh = self
                .new_parcels
                .iter_mut()
                .find(|(order, new)| *order == order_no && new.parcel == parcel.parcel);
            match (known, fresh) {
                (Some(known), Some((_, fresh))) => {
                    *fresh = parcel.clone();
                    *known = parcel;
                }
                (Some(known), None) => {
                    shipments::update(tx, order_no, &parcel, self.batch.now)?;
                    *known = parcel;
                }
                (None, _) => {
                    self.new_parcels.push((order_no, parcel.clone()));
                    work.parcels.push(parcel);
                }
            }
        }
        for new in &plan.effects {
            self.open_effect(tx, order_no, new);
        }
        for parcel in found {
            self.settle_found(tx, order_no, parcel)?;
        }
        self.add_events(tx, order_no.0, &plan.events, payload_id);
        Ok(())
    }

    /// The marketplace lists a parcel that it was yet to be told of. Where that waited for a person, nobody has to do
    /// anything any more; what is under way finds it out by itself.
    fn settle_found(&mut self, tx: &mut Tx<'_>, order_no: OrderNo, parcel: i64) -> Result<(), StoreError> {
        let number = parcel.to_string();
        let held = self.open.extract_if(.., |effect| {
            effect.order_no == order_no
                && effect.kind == EffectKind::ConfirmShipment
                && effect.state == EffectState::Held
                && effect.revision.split('.').next() == Some(number.as_str())
        });
        let held: Vec<EffectId> = held.map(|effect| effect.id).collect();
        if held.is_empty() {
            return Ok(());
        }
        for id in &held {
            effects::finish(tx, *id, EffectOutcome::Found, "The marketplace lists the parcel.")?;
        }
        self.outcome.found.extend(held);
        shipments::mark_told(tx, order_no, parcel, self.batch.now, None)
    }

    /// The marketplace has cancelled the order: where asking it to waited for a person, that is settled.
    fn settle_cancelled(&mut self, tx: &mut Tx<'_>, order_no: OrderNo) -> Result<(), StoreError> {
        let held = self.open.extract_if(.., |effect| {
            effect.order_no == order_no
                && effect.kind == EffectKind::CancelOrder
                && effect.state == EffectState::Held
        });
        let held: Vec<EffectId> = held.map(|effect| effect.id).collect();
        for id in &held {
            effects::finish(tx, *id, EffectOutcome::Found, "The marketplace has cancelled the order.")?;
        }
        self.outcome.found.extend(held);
        Ok(())
    }

    /// Keeps a payload that cannot be read, whole, for a better reader.
    fn park(
        &mut self,
        tx: &mut Tx<'_>,
        item: &'b ImportItem,
        place: &'b str,
        what: &'b str,
    ) -> Result<(), StoreError> {
        let hash = item.hash;
        if !self.parked_before.insert(hash) {
            self.outcome.unchanged += 1;
            return Ok(());
        }
        let whole = person::restore(&item.payload, &item.cuts)
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        let order_no = item
            .external_id
            .as_ref()
            .and_then(|id| self.by_id.get(id))
            .and_then(|place| self.works.get(*place))
            .map(|work| work.marks.order_no);
        let person_id = self.add_person(tx, order_no, Some(Cow::Owned(to_json(&[whole])?)), None);
        let payload_id = tx.ids.payload();
        let external_id = item.external_id.as_deref();
        self.payloads.push(PayloadDraft {
            payload_id,
            order_no,
            person_id,
            external_id,
            payload: PARKED_PAYLOAD,
        });
        self.parked.push(ParkedDraft { payload_id, external_id, hash, place, what });
        self.events.push(EventRow {
            event_id: EventId(tx.ids.event()),
            order_no: order_no.map(OrderNo),
            connection: Some(self.batch.connection.id),
            at: self.batch.now,
            kind: EventKind::Held,
            text: format!(
                "A payload could not be read at {place}: {what}. It is kept and read again after an upgrade."
            ),
            actor: self.batch.actor.clone(),
            payload: Some(PayloadId(payload_id)),
        });
        self.outcome.parked += 1;
        Ok(())
    }

    fn write(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.number_buyers(tx)?;
        let shared = tx.shared;
        let context = RowContext {
            connection: self.batch.connection.id,
            channel: self.batch.connection.channel.as_str(),
            zone: &shared.zone,
            zone_name: &shared.zone_name,
            now: self.batch.now,
        };
        let touched =
            self.works.iter().filter_map(|work| work.facts.map(|(facts, columns)| (work, facts, columns)));
        let (new, changed): (Vec<_>, Vec<_>) = touched.partition(|(work, ..)| work.is_new);
        append_new(tx, &context, &new)?;
        update_changed(tx, &context, &changed)?;
        stamp_refunds(tx, new.iter().chain(&changed).map(|(work, ..)| *work), self.batch.now)?;
        self.outcome.orders.extend(new.iter().chain(&changed).map(|(work, ..)| work.held.order_no));
        self.outcome.orders.sort_unstable();
        self.append_payloads(tx, &context)?;
        shipments::append(tx, &self.new_parcels, self.batch.now)?;
        events::append_rows(tx.connection(), &self.events)?;
        self.write_incidents(tx)?;
        tx.pending().add(self.opened.clone());
        effects::drop_all(tx, &self.dropped, "No longer owed.", self.batch.now)?;
        self.outcome.effects = std::mem::take(&mut self.opened);
        Ok(())
    }

    fn append_payloads(&self, tx: &Tx<'_>, context: &RowContext<'_>) -> Result<(), StoreError> {
        if !self.payloads.is_empty() {
            let mut appender = tx.connection().appender_to_db("payload", "raw")?;
            for draft in &self.payloads {
                rows::append_payload(
                    &mut appender,
                    context,
                    draft.payload_id,
                    draft.order_no,
                    draft.person_id,
                    draft.external_id,
                    draft.payload,
                )?;
            }
            appender.flush()?;
        }
        if !self.people.is_empty() {
            let mut appender = tx.connection().appender_to_db("person", "main")?;
            let connection = context.connection.0;
            let now = time(context.now);
            for draft in &self.people {
                let PersonDraft { person_id, order_no, cuts, people } = draft;
                appender.append_row(params![
                    person_id,
                    order_no,
                    connection,
                    cuts.as_ref(),
                    people.as_ref().map(|people| people.people.as_str()),
                    people.as_ref().map(|people| people.search.as_str()),
                    now,
                    None::<i64>
                ])?;
            }
            appender.flush()?;
        }
        if !self.parked.is_empty() {
            let stream = self.batch.stream.as_ref();
            let operation = stream.map_or(FETCHED_ALONE, |stream| stream.stream.as_str());
            let mut appender = tx.connection().appender_to_db("parked", "main")?;
            for draft in &self.parked {
                appender.append_row(params![
                    draft.payload_id,
                    context.connection.0,
                    draft.external_id,
                    draft.hash,
                    draft.place,
                    draft.what,
                    time(context.now),
                    None::<i64>,
                    operation,
                    READER,
                    None::<i64>,
                ])?;
            }
            appender.flush()?;
        }
        Ok(())
    }

    /// Which order of its buyer each new order is.
    fn number_buyers(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let keys: HashSet<u64> =
            self.works.iter().filter(|work| work.is_new).filter_map(|work| work.marks.buyer_key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut held: HashMap<u64, (i64, Option<i64>)> = tx
            .rows(BUYERS_SQL, params![key_list(keys)], |row| {
                Ok((get::<u64>(row, 0)?, (get::<i64>(row, 1)?, get::<Option<i64>>(row, 2)?)))
            })?
            .into_iter()
            .collect();
        for work in self.works.iter_mut().filter(|work| work.is_new) {
            let Some(key) = work.marks.buyer_key else { continue };
            let (number, previous) = held.entry(key).or_insert((0, None));
            *number += 1;
            work.marks.buyer_order_number = Some(*number);
            work.marks.previous_order_no = previous.replace(work.marks.order_no);
        }
        Ok(())
    }
}

impl<'b> Working<'b> {
    /// True where a payload that lay parked says something of the same time as what arrived after it.
    fn has_overtaken(&self, item: &ImportItem, facts: &OrderFacts) -> bool {
        item.parked_as.is_some_and(|parked_as| parked_as < self.arrived_as)
            && facts.updated_at <= self.held.updated_at
    }

    /// Takes facts over as what is held from now on. What the export wrote stays where the plan left it alone.
    fn accept(
        &mut self,
        (facts, columns): (&'b OrderFacts, &'b Columns),
        plan: &ImportPlan,
        has_create: bool,
        payload_id: i64,
        hash: u64,
    ) {
        self.facts = Some((facts, columns));
        self.marks.facts_version += 1;
        self.marks.payload_id = payload_id;
        self.marks.payload_hash = hash;
        if self.is_new {
            self.marks.is_history = plan.is_history;
        }
        let is_export_ours = matches!(self.held.export_state, ExportState::None | ExportState::Waiting);
        if is_export_ours {
            self.decide_export(plan, has_create);
        }
        self.held.status = plan.status;
        self.held.is_history = plan.is_history;
        self.held.updated_at = facts.updated_at;
        self.held.is_paid = facts.is_paid;
    }

    fn decide_export(&mut self, plan: &ImportPlan, has_create: bool) {
        let is_same_state = plan.export_state == self.held.export_state;
        let code = plan.export_reason.as_ref().map(|reason| reason.code);
        // The create that is open already knows why it waits, until it runs again.
        let is_waiting_on =
            is_same_state && code.is_none() && has_create && self.held.export_reason.is_some();
        let is_same_reason = is_same_state && code == self.held.export_reason;
        self.held.export_state = plan.export_state;
        self.marks.export_state = plan.export_state.as_str();
        if is_waiting_on || is_same_reason {
            return;
        }
        self.held.export_reason = code;
        self.marks.export_reason = code.map(|code| code.as_str());
        self.marks.export_detail =
            plan.export_reason.as_ref().and_then(|reason: &Reason| reason.detail.clone());
    }

    /// What the facts say of people, with what only we still know; none where they leave nothing out that we know.
    fn completed(&self, facts: &OrderFacts) -> Option<People> {
        let now = facts.people.as_ref()?;
        let merged = now.clone().completed(self.people.as_ref()?);
        (merged != *now).then_some(merged)
    }

    fn know_people(&mut self, tx: &Tx<'_>, people: &People, person_id: Option<i64>) {
        self.marks.person_id = person_id;
        let address = people.ship_to.as_ref().or(people.bill_to.as_ref());
        // An address without a country says nothing: what was known, or entered by hand, stays.
        if let Some(address) = address.filter(|address| address.country.is_some()) {
            self.marks.country.clone_from(&address.country);
            self.marks.region.clone_from(&address.region);
        }
        if !self.keeps_buyer(&people.buyer) {
            self.marks.buyer_key = buyer_key(tx, &people.buyer).or(self.marks.buyer_key);
        }
    }

    /// Whether the order stays among the orders of the buyer that it came with: its buyer has another id at the most, or
    /// is no longer known here. One who was known by an e-mail alone goes over to the id that comes later.
    fn keeps_buyer(&self, buyer: &Buyer) -> bool {
        let before = self.people.as_ref().map(|people| &people.buyer);
        self.marks.buyer_key.is_some()
            && before.is_none_or(|before| before.external_id.is_some() && buyer.is_same(before))
    }
}

/// By what reports know a buyer: the platform's id, else the e-mail.
fn buyer_key(tx: &Tx<'_>, buyer: &Buyer) -> Option<u64> {
    let email = || buyer.email.as_deref().map(|email| email.trim().to_lowercase());
    let known_by = buyer.external_id.clone().or_else(email)?;
    values::buyer_key(tx.shared.report_key.get()?, &known_by)
}

/// The batch's orders that we hold, with the platform's id of each.
fn held_orders<'b>(tx: &Tx<'_>, batch: &ImportBatch) -> Result<Vec<(Working<'b>, String)>, StoreError> {
    let connection = batch.connection.id;
    let ids = batch.orders.iter().filter_map(|item| match &item.facts {
        Ok(facts) => Some(facts.external_id.as_str()),
        Err(_) => item.external_id.as_deref(),
    });
    let ids: HashSet<&str> = ids.collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let keys = key_list(ids.iter().map(|id| external_key(connection, id)));
    let found: Vec<i64> = tx.rows(KNOWN_KEYS_SQL, params![keys], |row| get(row, 0))?;
    let (Some(first), Some(last)) = (found.iter().min().copied(), found.iter().max().copied()) else {
        return Ok(Vec::new());
    };
    let works = tx.rows(HELD_SQL, params![first, last, id_list(found), connection.0], held_row)?;
    // Two ids can share a key: the text decides.
    Ok(works
        .into_iter()
        .filter(|(_, id)| ids.contains(id.as_str()))
        .map(|(work, id)| {
            let mut work = work;
            work.marks.external_key = external_key(connection, &id);
            (work, id)
        })
        .collect())
}

fn held_row<'b>(row: &Row<'_>) -> Result<(Working<'b>, String), StoreError> {
    let export_state: ExportState = get_word(row, 6)?;
    let export_reason = get_word_or_null(row, 7)?;
    let held = HeldOrder {
        order_no: OrderNo(get(row, 0)?),
        status: get_word(row, 2)?,
        updated_at: get_time(row, 3)?,
        facts_version: get(row, 11)?,
        is_paid: get(row, 4)?,
        is_history: get(row, 5)?,
        export_state,
        export_reason,
        is_picked: get(row, 9)?,
    };
    let marks = OrderMarks {
        order_no: held.order_no.0,
        external_key: 0,
        is_history: held.is_history,
        is_picked: held.is_picked,
        export_state: export_state.as_str(),
        export_reason: export_reason.map(|code: crate::domain::reason::ReasonCode| code.as_str()),
        export_detail: get(row, 8)?,
        facts_version: held.facts_version,
        country: get(row, 14)?,
        region: get(row, 15)?,
        buyer_key: get(row, 16)?,
        buyer_order_number: None,
        previous_order_no: None,
        person_id: get(row, 13)?,
        payload_id: 0,
        payload_hash: get(row, 10)?,
    };
    let line_count = usize::try_from(get::<i64>(row, 12)?).unwrap_or_default();
    let arrived_as = get(row, 17)?;
    let work = Working {
        held,
        marks,
        line_count,
        arrived_as,
        parcels: Vec::new(),
        untold: HashSet::new(),
        people: None,
        shop_refunds: Vec::new(),
        given_back: Vec::new(),
        has_given_back: false,
        before: None,
        total_minor: get(row, 18)?,
        is_new: false,
        facts: None,
    };
    Ok((work, get(row, 1)?))
}

/// Reads the people of those known orders of which the batch tells less than everything, or another buyer: what a
/// platform has taken back is kept. Who was erased is not among them.
fn hold_people(
    tx: &Tx<'_>,
    batch: &ImportBatch,
    by_id: &HashMap<String, usize>,
    works: &mut [Working<'_>],
) -> Result<(), StoreError> {
    let facts = batch.orders.iter().filter_map(|item| item.facts.as_ref().ok());
    let place = |facts: &OrderFacts| {
        let place = by_id.get(&facts.external_id).copied()?;
        let (people, held) = (facts.people.as_ref()?, works.get(place)?.marks.buyer_key);
        let is_other = || held.is_some() && buyer_key(tx, &people.buyer).is_some_and(|key| Some(key) != held);
        (people.has_gaps() || is_other()).then_some(place)
    };
    let places: HashSet<usize> = facts.filter_map(place).collect();
    let numbers: Vec<i64> = places.iter().filter_map(|place| works.get(*place)?.marks.person_id).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let mut held = detail::people(tx, numbers.into_iter())?;
    for place in places {
        let Some(work) = works.get_mut(place) else { continue };
        work.people = work.marks.person_id.and_then(|person_id| held.remove(&person_id));
    }
    Ok(())
}

/// Reads what was given back of the known orders, in the shop and on the marketplace.
fn hold_refunds(tx: &Tx<'_>, known: &[i64], works: &mut [Working<'_>]) -> Result<(), StoreError> {
    let mut shops: HashMap<i64, Vec<RefundRow>> = HashMap::new();
    for (order_no, row) in refunds::of_orders(tx, known)? {
        shops.entry(order_no).or_default().push(row);
    }
    let mut given_back = marketplace_refunds::of_orders(tx, known)?;
    for work in works {
        work.shop_refunds = shops.remove(&work.marks.order_no).unwrap_or_default();
        work.given_back = given_back.remove(&work.marks.order_no).unwrap_or_default();
    }
    Ok(())
}

/// Reads what the shop has of those known orders that the batch may change there: lines, people, and, as held already,
/// what was refunded.
fn hold_before(
    tx: &Tx<'_>,
    batch: &ImportBatch,
    by_id: &HashMap<String, usize>,
    works: &mut [Working<'_>],
) -> Result<(), StoreError> {
    let mut places: HashMap<i64, usize> = HashMap::new();
    for item in &batch.orders {
        let Ok(facts) = &item.facts else { continue };
        let Some(place) = by_id.get(&facts.external_id).copied() else { continue };
        let Some(work) = works.get(place) else { continue };
        if is_watched(&work.held) && work.marks.payload_hash != item.hash {
            places.insert(work.marks.order_no, place);
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let numbers: Vec<i64> = places.keys().copied().collect();
    let mut lines = detail::lines(tx, &numbers)?;
    let people = places.values().filter_map(|place| works.get(*place)?.marks.person_id);
    let mut people = detail::people(tx, people)?;
    for (order_no, place) in places {
        let Some(work) = works.get_mut(place) else { continue };
        let mut refunded_units: HashMap<String, i64> = HashMap::new();
        for share in work.shop_refunds.iter().flat_map(|row| &row.refund.shares) {
            let units = refunded_units.entry(share.external_line_id.clone()).or_default();
            *units = units.saturating_add(share.quantity);
        }
        work.before = Some(Before {
            total_minor: work.total_minor,
            lines: lines.remove(&OrderNo(order_no)).unwrap_or_default(),
            people: work.marks.person_id.and_then(|person_id| people.remove(&person_id)),
            is_refunded: !work.shop_refunds.is_empty() || !work.given_back.is_empty(),
            refunded_units,
        });
    }
    Ok(())
}

/// Hashes of the batch's unreadable payloads that lie parked already.
fn parked_before(tx: &Tx<'_>, batch: &ImportBatch) -> Result<HashSet<u64>, StoreError> {
    let unreadable = batch.orders.iter().filter(|item| item.facts.is_err());
    let hashes: Vec<u64> = unreadable.map(|item| item.hash).collect();
    if hashes.is_empty() {
        return Ok(HashSet::new());
    }
    let found = tx.rows(PARKED_SQL, params![batch.connection.id.0, key_list(hashes)], |row| get(row, 0))?;
    Ok(found.into_iter().collect())
}

/// Those of the known orders of which the timeline says that their buyers ask to have them cancelled; looked up where the
/// batch says so of any.
fn heard_before(tx: &Tx<'_>, batch: &ImportBatch, known: &[i64]) -> Result<HashSet<OrderNo>, StoreError> {
    let asks = |item: &ImportItem| item.facts.as_ref().is_ok_and(|facts| facts.cancel_request.is_some());
    if known.is_empty() || !batch.orders.iter().any(asks) {
        return Ok(HashSet::new());
    }
    let parameters = params![EventKind::CancelAsked.as_str(), id_list(known.iter().copied())];
    let found = tx.rows(HEARD_SQL, parameters, |row| get::<i64>(row, 0))?;
    Ok(found.into_iter().map(OrderNo).collect())
}

/// What buyers designed and is not to be kept, since their data were erased: as if it were owed already.
fn erased_designs(
    tx: &Tx<'_>,
    batch: &ImportBatch,
    (by_id, works): (&HashMap<String, usize>, &[Working<'_>]),
    known: &[i64],
) -> Result<Vec<(OrderNo, EffectKind, String)>, StoreError> {
    let found = tx.rows(ERASED_SQL, params![id_list(known.iter().copied())], |row| get::<i64>(row, 0))?;
    let erased: HashSet<i64> = found.into_iter().collect();
    let mut designs = Vec::new();
    for facts in batch.orders.iter().filter_map(|item| item.facts.as_ref().ok()) {
        let held = by_id.get(&facts.external_id).and_then(|place| works.get(*place));
        let Some(order_no) = held.map(|work| work.marks.order_no).filter(|no| erased.contains(no)) else {
            continue;
        };
        let lines = facts.customised_lines.iter().cloned();
        designs.extend(lines.map(|line| (OrderNo(order_no), EffectKind::KeepCustomisation, line)));
    }
    Ok(designs)
}

type Touched<'w, 'b> = (&'w Working<'b>, &'b OrderFacts, &'b Columns);

fn append_new(tx: &Tx<'_>, context: &RowContext<'_>, new: &[Touched<'_, '_>]) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let connection = tx.connection();
    let mut orders = connection.appender_to_db("orders", "main")?;
    let mut lines = connection.appender_to_db("order_line", "main")?;
    let mut amounts = connection.appender_to_db("order_amount", "main")?;
    let mut search = connection.appender_to_db("order_search", "main")?;
    for (work, facts, columns) in new {
        let order_no = work.marks.order_no;
        rows::append_order(&mut orders, context, facts, columns, &work.marks)?;
        rows::append_lines(&mut lines, order_no, facts, columns, 0)?;
        rows::append_amounts(&mut amounts, order_no, facts)?;
        search.append_row(params![order_no, time(facts.placed_at), columns.search])?;
    }
    for appender in [&mut orders, &mut lines, &mut amounts, &mut search] {
        appender.flush()?;
    }
    Ok(())
}

/// Changes known orders in place. Lines beyond those held are added, those beyond the new ones removed.
fn update_changed(
    tx: &Tx<'_>,
    context: &RowContext<'_>,
    changed: &[Touched<'_, '_>],
) -> Result<(), StoreError> {
    let numbers = || changed.iter().map(|(work, ..)| work.marks.order_no);
    let (Some(first), Some(last)) = (numbers().min(), numbers().max()) else { return Ok(()) };
    let connection = tx.connection();
    connection.execute_batch(MAKE_CHANGES_SQL)?;
    {
        let mut orders = connection.appender_to_catalog_and_db("order_change", "temp", "main")?;
        let mut lines = connection.appender_to_catalog_and_db("line_change", "temp", "main")?;
        let mut search = connection.appender_to_catalog_and_db("search_change", "temp", "main")?;
        let mut more_lines = connection.appender_to_db("order_line", "main")?;
        for (work, facts, columns) in changed {
            let order_no = work.marks.order_no;
            rows::append_order(&mut orders, context, facts, columns, &work.marks)?;
            rows::append_lines(&mut lines, order_no, facts, columns, 0)?;
            rows::append_lines(&mut more_lines, order_no, facts, columns, work.line_count)?;
            search.append_row(params![order_no, time(facts.placed_at), columns.search])?;
        }
        for appender in [&mut orders, &mut lines, &mut search, &mut more_lines] {
            appender.flush()?;
        }
    }
    for sql in [UPDATE_ORDERS_SQL, DROP_LINES_SQL, UPDATE_LINES_SQL, UPDATE_SEARCH_SQL] {
        tx.execute(sql, params![first, last])?;
    }
    update_amounts(tx, changed, first, last)?;
    Ok(connection.execute_batch(DROP_CHANGES_SQL)?)
}

/// Keeps what the marketplace gave back, and stamps what counts as refunded on the orders of which anything was.
fn stamp_refunds<'w, 'b: 'w>(
    tx: &Tx<'_>,
    touched: impl Iterator<Item = &'w Working<'b>> + Clone,
    now: Timestamp,
) -> Result<(), StoreError> {
    let news = touched.clone().filter(|work| work.has_given_back);
    let news: Vec<_> = news.map(|work| (work.held.order_no, work.given_back.as_slice())).collect();
    marketplace_refunds::replace(tx, &news)?;
    let is_stamped = |work: &&Working<'_>| {
        work.has_given_back || !work.given_back.is_empty() || !work.shop_refunds.is_empty()
    };
    let stamped: Vec<i64> = touched.filter(is_stamped).map(|work| work.marks.order_no).collect();
    refunds::stamp(tx, &stamped, now)
}

/// Rewrites the amounts of those orders whose amounts changed.
fn update_amounts(tx: &Tx<'_>, changed: &[Touched<'_, '_>], first: i64, last: i64) -> Result<(), StoreError> {
    type AmountKey = (Option<i32>, String, i64);
    let mut held: HashMap<i64, Vec<AmountKey>> = HashMap::new();
    let orders = changed.iter().map(|(work, ..)| work.marks.order_no);
    let found = tx.of_ids(("order_no", AMOUNTS_SQL), orders, |row| {
        Ok((get::<i64>(row, 0)?, (get(row, 1)?, get(row, 2)?, get(row, 3)?)))
    })?;
    for (order_no, amount) in found {
        held.entry(order_no).or_default().push(amount);
    }
    let differs = |(work, facts, _): &&Touched<'_, '_>| {
        let mut ours = held.get(&work.marks.order_no).cloned().unwrap_or_default();
        let mut theirs: Vec<AmountKey> = facts
            .amounts
            .iter()
            .map(|amount| (rows::line_number(amount.line), amount.kind.as_str().to_owned(), amount.minor))
            .collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        ours != theirs
    };
    let differing: Vec<_> = changed.iter().filter(differs).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let numbers = id_list(differing.iter().map(|(work, ..)| work.marks.order_no));
    tx.execute(DROP_AMOUNTS_SQL, params![first, last, numbers])?;
    let mut amounts = tx.connection().appender_to_db("order_amount", "main")?;
    for (work, facts, _) in differing {
        rows::append_amounts(&mut amounts, work.marks.order_no, facts)?;
    }
    Ok(amounts.flush()?)
}

//! The simulated Amazon's feeds: files that it works off in its own time, and the reports of what came of them.
//!
//! Only the two kinds that this seller may send are known: cancellations and refunds, as values separated by tabs.

use std::collections::BTreeMap;

use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::draw::Draw;
use super::super::reply;
use super::calls::{Answer, Call, Refusal, segment};
use super::wire::instant;
use super::{Amazon, Canceller, Line, MARKETPLACE_CA, MARKETPLACE_US, Order, Status};
use crate::clock::shifted;

/// Cancels items.
const CANCELLATIONS: &str = "POST_FLAT_FILE_ORDER_ACKNOWLEDGEMENT_DATA";
/// Gives money back.
const REFUNDS: &str = "POST_FLAT_FILE_PAYMENT_ADJUSTMENT_DATA";

/// Amazon's reasons for a cancellation.
const CANCEL_REASONS: [&str; 7] = [
    "NoInventory",
    "ShippingAddressUndeliverable",
    "CustomerExchange",
    "BuyerCanceled",
    "GeneralAdjustment",
    "CustomerReturn",
    "PricingError",
];

/// Amazon's reasons for a refund.
const REFUND_REASONS: [&str; 8] = [
    "NoInventory",
    "CustomerReturn",
    "GeneralAdjustment",
    "CouldNotShip",
    "DifferentItem",
    "Abandoned",
    "CustomerCancel",
    "PriceError",
];

/// A feed's file, or its report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    /// Amazon's id of it.
    pub id: String,
    /// What was promised of its content.
    pub content_type: String,
    /// Its content, once it is there.
    pub text: Option<String>,
    /// Whether it is handed out packed.
    pub is_packed: bool,
}

/// How far a feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Not begun.
    Queued,
    /// At work.
    Working,
    /// Worked off, well or badly.
    Done,
    /// Taken back before it was begun.
    Cancelled,
    /// Given up.
    Fatal,
}

/// A feed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Feed {
    /// Amazon's id of it.
    pub id: String,
    /// Its type, by Amazon's word.
    pub kind: String,
    /// The marketplaces that it is for.
    pub marketplaces: Vec<String>,
    /// The place of its file.
    pub document: usize,
    /// When it was made.
    pub created: Timestamp,
    /// How far it is.
    pub stage: Stage,
    /// When work on it began.
    pub started: Option<Timestamp>,
    /// When work on it ended.
    pub ended: Option<Timestamp>,
    /// When its stage changes next.
    pub due: Option<Timestamp>,
    /// How it is to end, where a test said so.
    pub fate: Option<Fate>,
    /// The place of its report.
    pub report: Option<usize>,
}

/// How a feed ends that does not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// Amazon cancels it.
    Cancelled,
    /// Amazon cannot work it off.
    Fatal,
    /// The last of its rows is not done, and the report says so.
    Partial,
}

impl Fate {
    const fn word(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Fatal => "FATAL",
            Self::Partial => "PARTIAL",
        }
    }
}

/// Money that went back for a line, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// When.
    pub at: Timestamp,
    /// For the goods and their tax.
    pub goods: i64,
    /// For shipping and its tax.
    pub shipping: i64,
}

/// Why a row was not done: code and words.
type Mistake = (&'static str, &'static str);

/// One row of a file, by its columns.
type Row = BTreeMap<String, String>;

fn field<'r>(row: &'r Row, name: &str) -> &'r str {
    row.get(name).map_or("", |text| text.trim())
}

impl Amazon {
    pub(super) fn create_feed_document(&mut self, call: &Call<'_>) -> Answer {
        let body = json_body(call)?;
        let content_type = body.get("contentType").and_then(Value::as_str).unwrap_or("").trim();
        if content_type.is_empty() {
            return Err(Refusal::invalid("'contentType' is required."));
        }
        let id = self.new_document(content_type, None, false);
        let url = self.presigned(&format!("/feed-documents/{id}"), call.now);
        Ok(reply::json(StatusCode::CREATED, &json!({"feedDocumentId": id, "url": url})))
    }

    fn new_document(&mut self, content_type: &str, text: Option<String>, is_packed: bool) -> String {
        let number = u64::try_from(self.documents.len()).unwrap_or(0);
        let id = format!(
            "amzn1.tortuga.4.na.{}",
            Draw::new(self.seed, "amazon.document", number).code(24).to_lowercase()
        );
        let document = Document { id: id.clone(), content_type: content_type.to_owned(), text, is_packed };
        self.changes.documents.insert(self.documents.len());
        self.documents.push(document);
        id
    }

    pub(super) fn document_place(&self, id: &str) -> Option<usize> {
        self.documents.iter().position(|document| document.id == id)
    }

    pub(super) fn create_feed(&mut self, call: &Call<'_>) -> Answer {
        let body = json_body(call)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let kind = text("feedType");
        if kind != CANCELLATIONS && kind != REFUNDS {
            return Err(Refusal::invalid(format!("Invalid feed type: {kind}.")));
        }
        let marketplaces: Vec<String> = body
            .get("marketplaceIds")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect();
        let is_known = |id: &String| [MARKETPLACE_US, MARKETPLACE_CA].contains(&id.as_str());
        if marketplaces.is_empty() || !marketplaces.iter().all(is_known) {
            return Err(Refusal::invalid("'marketplaceIds' names a marketplace that is not yours, or none."));
        }
        let document = self
            .document_place(&text("inputFeedDocumentId"))
            .filter(|place| self.documents.get(*place).is_some_and(|document| document.text.is_some()))
            .ok_or_else(|| Refusal::invalid("'inputFeedDocumentId' has no content."))?;
        let rows = || self.documents.get(document).and_then(|document| rows_of(document.text.as_deref()?));
        let has_parts = || kind == REFUNDS && rows().is_some_and(|rows| rows.len() > 1);
        let planned = self.feed_fates.pop_front();
        let fate = planned.filter(|fate| *fate != Fate::Partial || has_parts());
        let number = u64::try_from(self.feeds.len()).unwrap_or(0);
        let mut draw = Draw::new(self.seed, "amazon.feed", number);
        let id = format!("5{:05}{}", number % 100_000, draw.digits(6));
        let due = shifted(call.now, SignedDuration::from_secs(draw.between(5, 20)));
        let feed = Feed {
            id: id.clone(),
            kind,
            marketplaces,
            document,
            created: call.now,
            stage: Stage::Queued,
            started: None,
            ended: None,
            due: Some(due),
            fate,
            report: None,
        };
        self.put_feed(self.feeds.len(), feed);
        Ok(reply::json(StatusCode::ACCEPTED, &json!({"feedId": id})))
    }

    /// Puts a feed into its place and notes when it goes on.
    pub(super) fn put_feed(&mut self, place: usize, feed: Feed) {
        if let Some(due) = self.feeds.get(place).and_then(|known| known.due) {
            self.feed_agenda.remove(&(due.as_microsecond(), place));
        }
        if let Some(due) = feed.due {
            self.feed_agenda.insert((due.as_microsecond(), place));
        }
        self.changes.feeds.insert(place);
        match self.feeds.get_mut(place) {
            Some(known) => *known = feed,
            None => self.feeds.push(feed),
        }
    }

    pub(super) fn get_feed(&self, call: &Call<'_>) -> Answer {
        let id = segment(call.request, 3);
        let feed = self.feeds.iter().find(|feed| feed.id == id).ok_or_else(|| gone("feed"))?;
        Ok(reply::json(StatusCode::OK, &self.feed_json(feed)))
    }

    fn feed_json(&self, feed: &Feed) -> Value {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("feedId", json!(feed.id));
        put("feedType", json!(feed.kind));
        put("marketplaceIds", json!(feed.marketplaces));
        put("createdTime", json!(instant(feed.created)));
        put("processingStatus", json!(stage_word(feed.stage)));
        if let Some(at) = feed.started {
            put("processingStartTime", json!(instant(at)));
        }
        if let Some(at) = feed.ended {
            put("processingEndTime", json!(instant(at)));
        }
        if let Some(report) = feed.report.and_then(|place| self.documents.get(place)) {
            put("resultFeedDocumentId", json!(report.id));
        }
        Value::Object(body)
    }

    pub(super) fn get_feed_document(&self, call: &Call<'_>) -> Answer {
        let id = segment(call.request, 3);
        let place = self.document_place(&id);
        let document = place.and_then(|place| self.documents.get(place)).ok_or_else(|| gone("document"))?;
        let url = self.presigned(&format!("/feed-documents/{id}"), call.now);
        let mut body = json!({"feedDocumentId": id, "url": url});
        if let Some(body) = body.as_object_mut().filter(|_| document.is_packed) {
            body.insert("compressionAlgorithm".to_owned(), json!("GZIP"));
        }
        Ok(reply::json(StatusCode::OK, &body))
    }

    /// Takes the feed that is due first one stage further.
    pub(super) fn take_feed_step(&mut self, now: Timestamp) {
        let Some((_, place)) = self.feed_agenda.first().copied() else { return };
        let Some(mut feed) = self.feeds.get(place).cloned() else { return };
        match (feed.stage, feed.fate) {
            (Stage::Queued, Some(Fate::Cancelled)) => {
                feed.stage = Stage::Cancelled;
                feed.due = None;
            }
            (Stage::Queued, _) => {
                let mut draw = Draw::new(self.seed, "amazon.feed-work", u64::try_from(place).unwrap_or(0));
                feed.stage = Stage::Working;
                feed.started = Some(now);
                feed.due = Some(shifted(now, SignedDuration::from_secs(draw.between(10, 60))));
            }
            (Stage::Working, Some(Fate::Fatal)) => {
                feed.stage = Stage::Fatal;
                feed.ended = Some(now);
                feed.due = None;
            }
            (Stage::Working, _) => {
                feed.report = self.work_off(&feed, place, now);
                feed.stage = if feed.report.is_some() { Stage::Done } else { Stage::Fatal };
                feed.ended = Some(now);
                feed.due = None;
            }
            (Stage::Done | Stage::Cancelled | Stage::Fatal, _) => feed.due = None,
        }
        self.put_feed(place, feed);
    }

    /// Does what a feed's rows ask for, and gives the place of its report. None where it is no file of rows.
    fn work_off(&mut self, feed: &Feed, place: usize, now: Timestamp) -> Option<usize> {
        let text = self.documents.get(feed.document)?.text.clone()?;
        let rows = rows_of(&text)?;
        let mistakes = if feed.kind == CANCELLATIONS {
            self.cancel_rows(&rows, now)
        } else {
            self.refund_rows(&rows, feed.fate == Some(Fate::Partial), now)
        };
        let report = report(&rows, &mistakes);
        let report_place = self.documents.len();
        self.new_document("text/plain; charset=UTF-8", Some(report), place.is_multiple_of(2));
        Some(report_place)
    }

    /// Cancels those orders of which every item is named and could be cancelled.
    fn cancel_rows(&mut self, rows: &[Row], now: Timestamp) -> Vec<Option<Mistake>> {
        let mut mistakes: Vec<Option<Mistake>> =
            rows.iter().map(|row| self.check_cancellation(row).err()).collect();
        let mut named: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            named.entry(field(row, "order-id").to_owned()).or_default().push(place);
        }
        for (id, places) in named {
            let is_fine = places.iter().all(|place| mistakes.get(*place).is_some_and(Option::is_none));
            let Some(order) = self.orders.place_of(&id).and_then(|index| self.orders.get(index)) else {
                continue;
            };
            let is_named = |line: &Line| {
                places.iter().filter_map(|place| rows.get(*place)).any(|row| {
                    let code = field(row, "amazon-order-item-code");
                    code.is_empty() || code == line.id
                })
            };
            let index = order.index;
            if is_fine && order.lines.iter().all(is_named) {
                let rows = places.iter().filter_map(|place| rows.get(*place));
                let reasons = rows.map(|row| field(row, "cancellation-reason-code").to_owned()).collect();
                self.orders.amend(index, |order| order.cancel_reasons = reasons);
                self.cancel(index, Canceller::Merchant, now);
            } else if is_fine {
                let part = ("25012", "Only whole orders can be cancelled for this seller.");
                for place in places {
                    if let Some(mistake) = mistakes.get_mut(place) {
                        *mistake = Some(part);
                    }
                }
            }
        }
        mistakes
    }

    fn check_cancellation(&self, row: &Row) -> Result<(), Mistake> {
        let order = self.order_of_row(row)?;
        if !CANCEL_REASONS.contains(&field(row, "cancellation-reason-code")) {
            return Err(("25002", "The cancellation reason code is not valid."));
        }
        let code = field(row, "amazon-order-item-code");
        if !code.is_empty() && order.lines.iter().all(|line| line.id != code) {
            return Err(("25003", "The order item does not belong to this order."));
        }
        match order.status {
            _ if order.is_fba => Err(("25004", "The order is fulfilled by Amazon.")),
            Status::Unshipped => Ok(()),
            Status::Pending => Err(("25005", "The order is pending and cannot be cancelled yet.")),
            Status::PartiallyShipped | Status::Shipped => {
                Err(("25006", "The order has already been shipped and cannot be cancelled."))
            }
            Status::Cancelled => Err(("25007", "The order has already been cancelled.")),
        }
    }

    fn order_of_row(&self, row: &Row) -> Result<&Order, Mistake> {
        let index = self.orders.place_of(field(row, "order-id"));
        let order = index.and_then(|index| self.orders.get(index)).filter(|order| !order.is_gone);
        order.ok_or(("25001", "The order does not exist or is not yours."))
    }

    fn refund_rows(&mut self, rows: &[Row], is_partial: bool, now: Timestamp) -> Vec<Option<Mistake>> {
        let left = if is_partial { rows.last() } else { None };
        self.rows_left.extend(left.cloned());
        let done = rows.len() - usize::from(left.is_some());
        let mut mistakes: Vec<Option<Mistake>> =
            rows.iter().take(done).map(|row| self.refund_row(row, now).err()).collect();
        mistakes.extend(left.map(|_| Some(("25199", "The row could not be processed. Try again later."))));
        mistakes
    }

    /// The seller does by hand what was left of an order's feeds: how many rows could be done.
    pub fn finish_feeds(&mut self, order: &str, now: Timestamp) -> usize {
        let left: Vec<Row> = self.rows_left.extract_if(.., |row| field(row, "order-id") == order).collect();
        left.iter().filter(|row| self.refund_row(row, now).is_ok()).count()
    }

    fn refund_row(&mut self, row: &Row, now: Timestamp) -> Result<(), Mistake> {
        let order = self.order_of_row(row)?;
        let line = order
            .lines
            .iter()
            .find(|line| line.id == field(row, "order-item-id"))
            .ok_or(("25003", "The order item does not belong to this order."))?;
        if !REFUND_REASONS.contains(&field(row, "adjustment-reason-code")) {
            return Err(("25102", "The adjustment reason code is not valid."));
        }
        if field(row, "currency") != order.currency() {
            return Err(("25103", "The currency is not that of the order."));
        }
        if !order.is_paid || matches!(order.status, Status::Pending | Status::Cancelled) {
            return Err(("25104", "The order has not been charged: there is nothing to refund."));
        }
        let amount = |name: &str| cents(field(row, name)).ok_or(("25105", "An amount is not valid."));
        let goods = amount("item-price-adj")?.saturating_add(amount("item-tax-adj")?);
        let shipping = amount("shipping-price-adj")?.saturating_add(amount("shipping-tax-adj")?);
        if goods < 0 || shipping < 0 || goods.saturating_add(shipping) == 0 {
            return Err(("25105", "An amount is not valid."));
        }
        let left = |paid: i64, of: fn(&Refund) -> i64| paid - line.refunds.iter().map(of).sum::<i64>();
        let paid_goods = line.item() + line.item_tax + line.gift + line.gift_tax - line.discount;
        let paid_shipping = line.shipping + line.shipping_tax - line.shipping_discount;
        let is_too_much = goods > left(paid_goods, |refund| refund.goods)
            || shipping > left(paid_shipping, |refund| refund.shipping);
        if is_too_much {
            return Err(("25106", "The refund is more than what the buyer paid for the item."));
        }
        let (index, id) = (order.index, line.id.clone());
        self.change(index, now, |order| {
            for line in order.lines.iter_mut().filter(|line| line.id == id) {
                line.refunds.push(Refund { at: now, goods, shipping });
            }
        });
        Ok(())
    }

    /// Every feed, oldest first.
    pub fn truth_feeds(&self) -> Value {
        let row = |feed: &Feed| {
            json!({
                "id": feed.id,
                "type": feed.kind,
                "status": stage_word(feed.stage),
                "fate": feed.fate.map(Fate::word),
                "created_at": feed.created.to_string(),
                "report": feed.report.and_then(|place| self.documents.get(place)?.text.clone()),
            })
        };
        self.feeds.iter().map(row).collect()
    }

    /// The next feed ends so: `CANCELLED`, `FATAL`, or, where it has several refunds, `PARTIAL`.
    pub fn plan_feed(&mut self, word: &str) -> bool {
        let fate = match word {
            "CANCELLED" => Fate::Cancelled,
            "FATAL" => Fate::Fatal,
            "PARTIAL" => Fate::Partial,
            _ => return false,
        };
        self.feed_fates.push_back(fate);
        true
    }
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Queued => "IN_QUEUE",
        Stage::Working => "IN_PROGRESS",
        Stage::Done => "DONE",
        Stage::Cancelled => "CANCELLED",
        Stage::Fatal => "FATAL",
    }
}

fn gone(what: &str) -> Refusal {
    Refusal::not_found(format!("The {what} was not found."))
}

fn json_body(call: &Call<'_>) -> Result<Value, Refusal> {
    serde_json::from_slice(call.request.body())
        .map_err(|_| Refusal::invalid("The request body is not valid JSON."))
}

/// The rows of a file below the names of its columns; what stands above those is a template's.
fn rows_of(text: &str) -> Option<Vec<Row>> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b'\t')
        .flexible(true)
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut records = reader.records().filter_map(Result::ok);
    let names: Vec<String> = records
        .by_ref()
        .find(|record| record.iter().any(|cell| cell.trim() == "order-id"))?
        .iter()
        .map(|name| name.trim().to_owned())
        .collect();
    let row = |record: csv::StringRecord| {
        names.iter().cloned().zip(record.iter().map(|cell| cell.trim().to_owned())).collect()
    };
    Some(records.map(row).collect())
}

fn report(rows: &[Row], mistakes: &[Option<Mistake>]) -> String {
    let done = mistakes.iter().filter(|mistake| mistake.is_none()).count();
    let mut text = format!(
        "Feed Processing Summary:\n\tNumber of records processed\t\t{}\n\tNumber of records successful\t\t{done}\n\n\
         original-record-number\torder-id\torder-item-id\terror-code\terror-type\terror-message\n",
        rows.len()
    );
    for (number, (row, mistake)) in rows.iter().zip(mistakes).enumerate() {
        let Some((code, words)) = mistake else { continue };
        let item = match field(row, "order-item-id") {
            "" => field(row, "amazon-order-item-code"),
            item => item,
        };
        let order = field(row, "order-id");
        text.push_str(&format!("{}\t{order}\t{item}\t{code}\tError\t{words}\n", number + 1));
    }
    text
}

/// Cents of an amount in a file; nothing counts as none.
fn cents(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let scaled = text.parse::<Decimal>().ok()?.checked_mul(Decimal::from(100))?;
    i64::try_from(scaled).ok().filter(|whole| Decimal::from(*whole) == scaled)
}

/// An answer without anything to say.
pub(super) fn nothing() -> Response<bytes::Bytes> {
    reply::empty(StatusCode::OK)
}

//! Cancellations and refunds, which Amazon takes as feeds only: a file is handed over, worked off in Amazon's own time,
//! and what came of it stands in a report.
//!
//! A feed that is done has succeeded only where its report says so. Of the calls that make one, `createFeed` alone has
//! an effect: what fails before it is tried again, what is lost in it is in doubt, and a refund in doubt is never sent
//! a second time. A cancellation may be: an order is cancelled once, and it is looked at first.

use std::fmt;
use std::io::Read as _;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::Method;

use super::super::after_sale::{
    CancelReason, Cancellation, Progress, RefundDraft, RefundLine, RefundReason, Refunds,
};
use super::super::answer::shortened;
use super::super::error::{ChannelError, RejectKind};
use super::super::pace::Priority;
use super::super::request::segment;
use super::super::{FulfilmentOrder, OrderSource as _};
use super::client::{Effect, Limits, Outgoing};
use super::{Amazon, broken, parse, wire};
use crate::domain::money::{Currency, decimal_of_minor};
use crate::domain::order::{FulfilledBy, OrderFacts, OrderStatus};
use crate::http::TIMEOUT_DEFAULT;

/// The path of feeds.
const FEEDS_PATH: &str = "/feeds/2021-06-30/feeds";

/// The path of feeds' files.
const DOCUMENTS_PATH: &str = "/feeds/2021-06-30/documents";

/// How our files are encoded. The upload must say the same as the call that asked for it.
const CONTENT_TYPE: &str = "text/tab-separated-values; charset=UTF-8";

/// A report has a line for each of our rows that went wrong, of which there are as many as an order has items.
const REPORT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Cancels items of orders that have not been shipped.
const CANCELLATION_FEED: &str = "POST_FLAT_FILE_ORDER_ACKNOWLEDGEMENT_DATA";

/// Gives money back.
const REFUND_FEED: &str = "POST_FLAT_FILE_PAYMENT_ADJUSTMENT_DATA";

/// What Amazon's template of cancellations begins with, above the names of the columns.
const CANCELLATION_TEMPLATE: [&str; 3] = [
    "TemplateType=OrderCancellation",
    "Version=1.0/1.0.3",
    "This row for Amazon.com use only.  Do not modify or delete.",
];

/// The columns of a cancellation.
const CANCELLATION_COLUMNS: [&str; 3] = ["order-id", "cancellation-reason-code", "amazon-order-item-code"];

/// The columns of a refund.
const REFUND_COLUMNS: [&str; 15] = [
    "order-id",
    "order-item-id",
    "adjustment-reason-code",
    "currency",
    "item-price-adj",
    "item-tax-adj",
    "shipping-price-adj",
    "shipping-tax-adj",
    "gift-wrap-price-adj",
    "gift-wrap-tax-adj",
    "item-promotion-adj",
    "item-promotion-id",
    "ship-promotion-adj",
    "ship-promotion-id",
    "quantity-cancelled",
];

/// What to do where Amazon does not say what came of a feed.
const LOOK_THERE: &str =
    "look at the order in Seller Central before anything is asked for again, since nobody else knows";

impl CancelReason {
    /// Amazon's word in a file.
    const fn amazon_word(self) -> &'static str {
        match self {
            Self::OutOfStock => "NoInventory",
            Self::BuyerAsked => "BuyerCanceled",
            Self::AddressProblem => "ShippingAddressUndeliverable",
            Self::PricingError => "PricingError",
        }
    }
}

impl RefundReason {
    /// Amazon's word in a file.
    const fn amazon_word(self) -> &'static str {
        match self {
            Self::Returned => "CustomerReturn",
            Self::OutOfStock => "NoInventory",
            Self::BuyerCancelled => "CustomerCancel",
            Self::Complaint | Self::Other => "GeneralAdjustment",
        }
    }
}

#[async_trait]
impl Cancellation for Amazon {
    async fn cancel(&self, order: &FulfilmentOrder, reason: CancelReason) -> Result<Progress, ChannelError> {
        let facts = self.order_now(order).await?;
        if facts.fulfilled_by == FulfilledBy::Platform {
            let text = "Amazon ships this order itself: only Amazon or the buyer can cancel it";
            return Ok(Progress::Refused(text.to_owned()));
        }
        match facts.status {
            OrderStatus::Cancelled => return Ok(Progress::Done),
            OrderStatus::Shipped | OrderStatus::PartShipped => {
                let text = "Amazon cancels no order of which something has been shipped: refund it instead";
                return Ok(Progress::Refused(text.to_owned()));
            }
            // Whether one that is not paid yet can be cancelled is Amazon's to say.
            OrderStatus::Pending | OrderStatus::Open => {}
        }
        let file = cancellation_file(&facts, reason)?;
        self.submit(CANCELLATION_FEED, order, file).await.map(Progress::Pending)
    }

    async fn cancellation(&self, order: &FulfilmentOrder, ticket: &str) -> Result<Progress, ChannelError> {
        let progress = self.follow(order, ticket).await?;
        if !matches!(progress, Progress::Refused(_) | Progress::Doubtful(_)) {
            return Ok(progress);
        }
        // An order that is cancelled already, by an earlier feed of ours, is refused in the report of a later one.
        let facts = self.order_now(order).await?;
        Ok(if facts.status == OrderStatus::Cancelled { Progress::Done } else { progress })
    }
}

#[async_trait]
impl Refunds for Amazon {
    async fn refund(&self, order: &FulfilmentOrder, draft: &RefundDraft) -> Result<Progress, ChannelError> {
        let file = refund_file(&order.external_id, draft)?;
        self.submit(REFUND_FEED, order, file).await.map(Progress::Pending)
    }

    async fn refunded(&self, order: &FulfilmentOrder, ticket: &str) -> Result<Progress, ChannelError> {
        self.follow(order, ticket).await
    }
}

impl Amazon {
    /// The order as Amazon has it now.
    async fn order_now(&self, order: &FulfilmentOrder) -> Result<OrderFacts, ChannelError> {
        let received = self.order(&order.external_id).await?.ok_or_else(|| ChannelError::Reject {
            kind: RejectKind::NotFound,
            message: "getOrder: Amazon does not know this order".to_owned(),
        })?;
        received
            .facts
            .map_err(|error| ChannelError::Corrupt { in_doubt: false, message: format!("getOrder: {error}") })
    }

    /// Hands a file over and gives the feed's ticket. Only the last of the three calls has an effect.
    async fn submit(
        &self,
        feed_type: &'static str,
        order: &FulfilmentOrder,
        (file, rows): (Vec<u8>, usize),
    ) -> Result<String, ChannelError> {
        let own = &self.client.config.marketplace_ids;
        let site =
            order.site.as_ref().or_else(|| own.first()).ok_or_else(|| ChannelError::Fatal {
                message: "the connection has no marketplace".to_owned(),
            })?;
        let asked = wire::CreateFeedDocument { content_type: CONTENT_TYPE };
        let call = feed_call("createFeedDocument", Method::POST, DOCUMENTS_PATH.to_owned());
        let body = Some(serde_json::to_vec(&asked).map_err(broken)?);
        let answer = self.client.send(&Outgoing { body, ..call }).await?;
        let document: wire::FeedDocument = parse("createFeedDocument", &answer)?;
        let (Some(id), Some(url)) = (document.feed_document_id, document.url) else {
            return Err(ChannelError::Corrupt {
                in_doubt: false,
                message: "createFeedDocument: Amazon answered without an id or an address".to_owned(),
            });
        };
        self.client.upload("uploadFeedDocument", &url, (CONTENT_TYPE, file)).await?;
        let wanted = wire::CreateFeed {
            feed_type,
            marketplace_ids: std::slice::from_ref(site),
            input_feed_document_id: &id,
        };
        let call = feed_call("createFeed", Method::POST, FEEDS_PATH.to_owned());
        let body = Some(serde_json::to_vec(&wanted).map_err(broken)?);
        let answer = self.client.send(&Outgoing { body, effect: Effect::Write, ..call }).await?;
        let created: wire::CreatedFeed = serde_json::from_slice(&answer)
            .map_err(|error| ChannelError::unreadable("Amazon", "createFeed", true, &error))?;
        let feed = created.feed_id.ok_or_else(|| ChannelError::Corrupt {
            in_doubt: true,
            message: format!("createFeed: Amazon answered without an id; {LOOK_THERE}"),
        })?;
        Ok(Ticket { feed: &feed, rows: u64::try_from(rows).unwrap_or(u64::MAX) }.to_string())
    }

    /// How far a feed is, and what its report says of the order.
    async fn follow(&self, order: &FulfilmentOrder, ticket: &str) -> Result<Progress, ChannelError> {
        let ticket = Ticket::read(ticket);
        let call = feed_call("getFeed", Method::GET, format!("{FEEDS_PATH}/{}", segment(ticket.feed)));
        let feed: wire::Feed = parse("getFeed", &self.client.send(&call).await?)?;
        let report = feed.result_feed_document_id;
        match (feed.processing_status.as_deref(), report) {
            (Some("CANCELLED"), _) => Ok(Progress::Refused(format!(
                "Amazon did not work off what it was asked for: feed {} was cancelled",
                ticket.feed
            ))),
            (Some("DONE"), Some(report)) => self.outcome(order, ticket, &report).await,
            (Some("DONE"), None) => Err(ChannelError::Corrupt {
                in_doubt: true,
                message: format!("getFeed: feed {} is done and has no report; {LOOK_THERE}", ticket.feed),
            }),
            (Some("FATAL"), report) => self.aborted(order, ticket, report).await,
            // In the queue, in work, or a word that we do not know.
            _ => Ok(Progress::Pending(ticket.to_string())),
        }
    }

    async fn outcome(
        &self,
        order: &FulfilmentOrder,
        ticket: Ticket<'_>,
        document: &str,
    ) -> Result<Progress, ChannelError> {
        let text = self.report(document).await?;
        let report = Report::read(&text)
            .ok_or_else(|| unclear(ticket.feed, "its report is not in a form that Amazon is known to use"))?;
        let mut own_items = Vec::new();
        if report.lines.iter().any(|line| line.order.is_none() && line.item.is_some()) {
            let facts = self.order_now(order).await?;
            own_items = facts.lines.into_iter().map(|line| line.external_id).collect();
        }
        report.judge((&order.external_id, &own_items), ticket.rows).map_err(|what| unclear(ticket.feed, what))
    }

    /// A feed that Amazon gave up. Some, none or all of it may have been done: its report counts only where it says that
    /// all was.
    async fn aborted(
        &self,
        order: &FulfilmentOrder,
        ticket: Ticket<'_>,
        document: Option<String>,
    ) -> Result<Progress, ChannelError> {
        if let Some(document) = document {
            match self.outcome(order, ticket, &document).await {
                Ok(Progress::Refused(words)) => return Ok(Progress::Doubtful(words)),
                Err(ChannelError::Corrupt { .. }) => {}
                said => return said,
            }
        }
        let feed = ticket.feed;
        Ok(Progress::Doubtful(format!("Amazon gave up on feed {feed} and does not say why; {LOOK_THERE}")))
    }

    /// A feed's report, unpacked.
    async fn report(&self, document: &str) -> Result<String, ChannelError> {
        let path = format!("{DOCUMENTS_PATH}/{}", segment(document));
        let answer = self.client.send(&feed_call("getFeedDocument", Method::GET, path)).await?;
        let document: wire::FeedDocument = parse("getFeedDocument", &answer)?;
        let corrupt = |message: &str| ChannelError::Corrupt { in_doubt: true, message: message.to_owned() };
        let url =
            document.url.ok_or_else(|| corrupt("getFeedDocument: Amazon answered without an address"))?;
        let packed =
            self.client.download("downloadFeedDocument", &url, (REPORT_BYTES_MAX, TIMEOUT_DEFAULT)).await?;
        // Its address dies after minutes; the next try asks for a new one.
        let packed = packed.ok_or_else(|| ChannelError::Retry {
            after: None,
            in_doubt: false,
            throttled: false,
            message: "downloadFeedDocument: the report's address was no longer valid".to_owned(),
        })?;
        let bytes = match document.compression_algorithm.as_deref() {
            None => packed.to_vec(),
            Some("GZIP") => unpacked(&packed).ok_or_else(|| {
                corrupt("downloadFeedDocument: the report cannot be unpacked, or is too long")
            })?,
            Some(other) => {
                let text = format!("downloadFeedDocument: Amazon packs the report as {other}, which is new");
                return Err(corrupt(&text));
            }
        };
        Ok(decoded(bytes))
    }
}

/// What a feed is asked for with: Amazon's id of it, and how many rows we sent, which its report must speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticket<'t> {
    feed: &'t str,
    rows: u64,
}

impl<'t> Ticket<'t> {
    fn read(text: &'t str) -> Self {
        let parts = text.rsplit_once(':').and_then(|(feed, rows)| Some((feed, rows.parse().ok()?)));
        let (feed, rows) = parts.unwrap_or((text, 1));
        Self { feed, rows }
    }
}

impl fmt::Display for Ticket<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.feed, self.rows)
    }
}

fn feed_call(operation: &'static str, method: Method, path: String) -> Outgoing<'static> {
    Outgoing {
        operation,
        method,
        path,
        query: Vec::new(),
        body: None,
        priority: Priority::Interactive,
        effect: Effect::Read,
        limits: Limits::default(),
    }
}

fn unclear(ticket: &str, what: &str) -> ChannelError {
    ChannelError::Corrupt { in_doubt: true, message: format!("Amazon's feed {ticket}: {what}; {LOOK_THERE}") }
}

/// Every item of the order, so that nothing of it is left to ship. Of what the buyer asks to have cancelled the file says
/// so, whatever the reason for the rest: the seller's cancellation rate counts the others.
fn cancellation_file(facts: &OrderFacts, reason: CancelReason) -> Result<(Vec<u8>, usize), ChannelError> {
    let items = facts.lines.iter().filter(|line| line.quantity > line.quantity_cancelled);
    let rows: Vec<Vec<String>> = items
        .map(|line| {
            let reason = if facts.is_unwanted(line) { CancelReason::BuyerAsked } else { reason };
            vec![facts.external_id.clone(), reason.amazon_word().to_owned(), line.external_id.clone()]
        })
        .collect();
    if rows.is_empty() {
        return Err(rejected("the order has no item that could be cancelled"));
    }
    Ok((file(Some(&CANCELLATION_TEMPLATE), &CANCELLATION_COLUMNS, &rows)?, rows.len()))
}

/// One row for each line. Amounts are positive: what goes back to the buyer.
fn refund_file(external_id: &str, draft: &RefundDraft) -> Result<(Vec<u8>, usize), ChannelError> {
    let row = |line: &RefundLine| {
        let is_sane = line.item_minor >= 0 && line.shipping_minor >= 0 && line.quantity_cancelled >= 0;
        let is_something = line.item_minor > 0 || line.shipping_minor > 0 || line.quantity_cancelled > 0;
        (is_sane && is_something).then(|| refund_row(external_id, line, draft))
    };
    let rows: Option<Vec<Vec<String>>> = draft.lines.iter().map(row).collect();
    let rows = rows.filter(|rows| !rows.is_empty()).ok_or_else(|| {
        rejected("Amazon takes a refund only line by line, and of each line an amount above zero")
    })?;
    Ok((file(None, &REFUND_COLUMNS, &rows)?, rows.len()))
}

fn refund_row(external_id: &str, line: &RefundLine, draft: &RefundDraft) -> Vec<String> {
    let value = |column: &str| match column {
        "order-id" => external_id.to_owned(),
        "order-item-id" => line.external_line_id.clone(),
        "adjustment-reason-code" => draft.reason.amazon_word().to_owned(),
        "currency" => draft.currency.code().to_owned(),
        "item-price-adj" => amount(line.item_minor, draft.currency),
        "shipping-price-adj" => amount(line.shipping_minor, draft.currency),
        "quantity-cancelled" if line.quantity_cancelled > 0 => line.quantity_cancelled.to_string(),
        // Amazon works taxes out by itself, and promotions stay as they are.
        _ => String::new(),
    };
    REFUND_COLUMNS.into_iter().map(value).collect()
}

/// An amount as Amazon's files have it; nothing where there is none.
fn amount(minor: i64, currency: Currency) -> String {
    if minor == 0 { String::new() } else { decimal_of_minor(minor, currency).to_string() }
}

fn rejected(message: &str) -> ChannelError {
    ChannelError::Reject { kind: RejectKind::Other, message: message.to_owned() }
}

/// A file of values separated by tabs.
fn file(template: Option<&[&str]>, columns: &[&str], rows: &[Vec<String>]) -> Result<Vec<u8>, ChannelError> {
    let mut writer = csv::WriterBuilder::new()
        .delimiter(b'\t')
        .terminator(csv::Terminator::CRLF)
        .flexible(true)
        .from_writer(Vec::new());
    let mut written = Ok(());
    for head in template.into_iter().chain([columns]) {
        written = written.and_then(|()| writer.write_record(head));
    }
    for row in rows {
        written = written.and_then(|()| writer.write_record(row));
    }
    let failed = |error: String| ChannelError::Fatal { message: format!("could not write a feed: {error}") };
    written.map_err(|error| failed(error.to_string()))?;
    writer.into_inner().map_err(|error| failed(error.to_string()))
}

/// What was packed with gzip; nothing where it is not that, or is longer than a report can be.
fn unpacked(packed: &Bytes) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(REPORT_BYTES_MAX).ok()?.saturating_add(1);
    MultiGzDecoder::new(packed.as_ref()).take(limit).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= REPORT_BYTES_MAX).then_some(bytes)
}

/// Reports come in UTF-8, and from some marketplaces in ISO-8859-1, whose bytes are the first characters of Unicode.
fn decoded(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    }
}

/// A feed's report: how many rows were worked off, and a line for each thing there is to say.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    processed: u64,
    successful: u64,
    lines: Vec<ReportLine>,
}

/// What Amazon says of one of our rows.
#[derive(Debug, Default, PartialEq, Eq)]
struct ReportLine {
    order: Option<String>,
    item: Option<String>,
    code: String,
    kind: String,
    message: String,
}

impl Report {
    /// Reads a report's text: counts, whose words depend on the marketplace's language, an empty line, and a table.
    fn read(text: &str) -> Option<Self> {
        let mut counts = Vec::new();
        let mut table_at = text.len();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if line.trim_start().starts_with("original-record-number") {
                table_at = at;
                break;
            }
            at += line.len();
            let is_indented = line.starts_with([' ', '\t']);
            let number = line.split('\t').map(str::trim).rfind(|cell| !cell.is_empty());
            if is_indented && let Some(number) = number.and_then(|cell| cell.parse::<u64>().ok()) {
                counts.push(number);
            }
        }
        let [processed, successful, ..] = counts.as_slice() else { return None };
        let lines = report_lines(text.get(table_at..)?)?;
        Some(Self { processed: *processed, successful: *successful, lines })
    }

    /// What it says of an order of which so many rows were sent, or why it cannot be told. All of it is done only where
    /// the report counts every row as done and has no error of it; nothing is, where it counts every row as refused.
    fn judge(&self, (order, items): (&str, &[String]), rows: u64) -> Result<Progress, &'static str> {
        let is_other = |line: &ReportLine| match (&line.order, &line.item) {
            (Some(named), _) => named != order,
            (None, Some(item)) => !items.contains(item),
            (None, None) => false,
        };
        if self.lines.iter().any(is_other) {
            return Err("its report speaks of an order that it was not about");
        }
        if self.processed == 0 || self.successful > self.processed {
            return Err("its report speaks of no row of ours");
        }
        let is_complete = self.processed >= rows;
        let mut words: Vec<String> =
            self.lines.iter().filter(|line| !line.is_warning()).map(ReportLine::words).collect();
        words.dedup();
        if is_complete && self.successful == self.processed && words.is_empty() {
            return Ok(Progress::Done);
        }
        if words.is_empty() && self.successful < self.processed {
            return Err("its report counts rows that failed and says nothing of them");
        }
        let words = words.join("; ");
        if is_complete && self.successful == 0 {
            return Ok(Progress::Refused(shortened(&format!("Amazon refused: {words}"))));
        }
        let of = rows.max(self.processed);
        let said = if words.is_empty() { "nothing of the others".to_owned() } else { words };
        let text =
            format!("Amazon says of {} of {of} items that they were done, and: {said}", self.successful);
        Ok(Progress::Doubtful(shortened(&text)))
    }
}

impl ReportLine {
    /// Kinds are in the marketplace's language; what is not known counts as an error.
    fn is_warning(&self) -> bool {
        let kind = self.kind.to_lowercase();
        ["warn", "avert", "advert", "avvert", "hinweis", "info"].iter().any(|word| kind.starts_with(word))
    }

    fn words(&self) -> String {
        if self.code.is_empty() { self.message.clone() } else { format!("{} ({})", self.message, self.code) }
    }
}

/// The table of a report. Without one there is nothing to say.
fn report_lines(table: &str) -> Option<Vec<ReportLine>> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b'\t')
        .flexible(true)
        .quoting(false)
        .from_reader(table.as_bytes());
    let names: Vec<String> = reader.headers().ok()?.iter().map(|name| name.trim().to_lowercase()).collect();
    let column = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let order = column(&["order-id", "amazon-order-id"]);
    let item =
        column(&["order-item-id", "amazon-order-item-code", "amazon-order-item-id", "order-item-code"]);
    let (code, kind) = (column(&["error-code"]), column(&["error-type"]));
    let message = column(&["error-message"]);
    if !names.is_empty() && message.is_none() {
        return None;
    }
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.ok()?;
        let cell = |place: Option<usize>| {
            let text = place.and_then(|place| record.get(place)).map(str::trim).unwrap_or_default();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let line = ReportLine {
            order: cell(order),
            item: cell(item),
            code: cell(code).unwrap_or_default(),
            kind: cell(kind).unwrap_or_default(),
            message: cell(message).unwrap_or_default(),
        };
        if line != ReportLine::default() {
            lines.push(line);
        }
    }
    Some(lines)
}

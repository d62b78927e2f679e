//! `eider delays`: how far behind its platform each channel is at so many orders a day, and how long a year's history
//! takes, worked out on simulated time with the platforms' published quotas. `docs/platforms.md` shows what it says.

use std::collections::BTreeMap;

use clap::Args;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{CliError, Place, logging, machine, terminal};
use crate::campaign::delays::{self, Finding, Question, Spread};
use crate::campaign::marketplace::Marketplace;

/// Fewer orders than this say nothing of a day.
const ORDERS_MIN: u32 = 500;
/// At the least so long: quotas that are saved up are used up by then.
const HOURS_MIN: u32 = 2;

/// `eider delays …`
#[derive(Debug, Args)]
pub struct DelaysArgs {
    /// One marketplace alone
    #[arg(long, value_enum)]
    marketplace: Option<Marketplace>,
    /// Orders a day
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1000,10000,100000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    per_day: Vec<u32>,
    /// Orders of a year's history; 0 for no such question
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    history: u32,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub async fn run(place: &Place, args: DelaysArgs) -> Result<(), CliError> {
    // A call that a quota does not allow is what this is about: the engine's word of each would drown everything else.
    logging::start(&place.load(None)?, logging::Unset::Silent)?;
    let questions = questions(&args);
    let threads = machine::cores();
    let measured = tokio::task::spawn_blocking(move || {
        delays::measure(&questions, threads, &|finding| terminal::say(&name(finding)))
    });
    let findings = measured.await.map_err(CliError::failed)?.map_err(CliError::Failed)?;
    if args.json {
        let found: Vec<Value> = findings.iter().map(in_json).collect();
        return terminal::print_line(
            &json!({"version": env!("CARGO_PKG_VERSION"), "findings": found}).to_string(),
        );
    }
    terminal::print(tables(&findings).as_bytes())
}

fn questions(args: &DelaysArgs) -> Vec<Question> {
    let is_meant = |marketplace: &Marketplace| args.marketplace.is_none_or(|only| only == *marketplace);
    let mut questions = Vec::new();
    for marketplace in Marketplace::ALL.into_iter().filter(is_meant) {
        // The longest first, so that no thread is left with it at the end.
        if args.history > 0 {
            questions.push(Question::Import { marketplace, orders: args.history });
        }
        for per_day in args.per_day.iter().rev().copied() {
            let hours = (ORDERS_MIN * 24).div_ceil(per_day).clamp(HOURS_MIN, 24);
            let length = SignedDuration::from_hours(i64::from(hours));
            questions.push(Question::Rate { marketplace, per_day, length });
        }
    }
    questions
}

fn name(finding: &Finding) -> String {
    let marketplace = finding.question.marketplace().name();
    match finding.question {
        Question::Rate { per_day, .. } => format!("{marketplace}: {per_day} orders a day"),
        Question::Import { orders, .. } => format!("{marketplace}: {orders} orders of a year"),
    }
}

/// In Markdown, as the documentation shows it.
fn tables(findings: &[Finding]) -> String {
    let mut rates = String::from(
        "| channel | orders a day | for | stored after: half, 95 %, all | in the shop after | marketplace told of a \
         parcel after | not stored at the end | oldest of those |\n|---|---|---|---|---|---|---|---|\n",
    );
    let mut imports =
        String::from("| channel | orders | imported in | calls to the channel |\n|---|---|---|---|\n");
    let mut calls = String::from("| channel | orders a day | calls an hour |\n|---|---|---|\n");
    for finding in findings {
        let took = short(finding.took);
        let marketplace = finding.question.marketplace().name();
        match finding.question {
            Question::Rate { per_day, .. } => {
                rates.push_str(&format!(
                    "| {marketplace} | {per_day} | {took} | {} | {} | {} | {} of {} | {} |\n",
                    spread(finding.to_stored),
                    spread(finding.to_shop),
                    spread(finding.to_told),
                    finding.sold.saturating_sub(finding.stored),
                    finding.sold,
                    finding.oldest_waiting.map_or_else(|| "–".to_owned(), short),
                ));
                calls.push_str(&format!("| {marketplace} | {per_day} | {} |\n", calls_per_hour(finding)));
            }
            Question::Import { orders, .. } => {
                let total: u64 = finding.calls.get(marketplace).map_or(0, |calls| calls.values().sum());
                imports.push_str(&format!("| {marketplace} | {orders} | {took} | {total} |\n"));
            }
        }
    }
    format!("{rates}\n{calls}\n{imports}")
}

fn calls_per_hour(finding: &Finding) -> String {
    let hours = u64::try_from(finding.took.as_hours()).unwrap_or(1).max(1);
    let of = |calls: &BTreeMap<String, u64>| {
        let counts: Vec<String> = calls
            .iter()
            .filter(|(_, count)| **count >= hours)
            .map(|(operation, count)| format!("{operation} {}", count / hours))
            .collect();
        counts.join(", ")
    };
    finding.calls.values().map(of).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
}

fn spread(spread: Spread) -> String {
    format!("{}, {}, {}", short(spread.p50), short(spread.p95), short(spread.max))
}

/// A time in its largest two units.
fn short(time: SignedDuration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn in_json(finding: &Finding) -> Value {
    let seconds = |spread: Spread| json!([spread.p50.as_secs(), spread.p95.as_secs(), spread.max.as_secs()]);
    let (kind, orders) = match finding.question {
        Question::Rate { per_day, .. } => ("rate", per_day),
        Question::Import { orders, .. } => ("import", orders),
    };
    json!({
        "kind": kind,
        "marketplace": finding.question.marketplace().name(),
        "orders": orders,
        "took_s": finding.took.as_secs(),
        "sold": finding.sold,
        "stored": finding.stored,
        "to_stored_s": seconds(finding.to_stored),
        "to_shop_s": seconds(finding.to_shop),
        "to_told_s": seconds(finding.to_told),
        "oldest_waiting_s": finding.oldest_waiting.map(|time| time.as_secs()),
        "calls": finding.calls,
    })
}

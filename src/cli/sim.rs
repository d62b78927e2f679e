//! `eider sim`: the fault campaign. Everything that can go wrong between this program and the platforms, drawn from
//! seeds, on simulated time and without network; a failure names its seed and is replayed by it.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Args;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{CliError, Place, logging, machine, terminal};
use crate::campaign::marketplace::Marketplace;
use crate::campaign::matrix::Fault;
use crate::campaign::{self, Options, Report, Run};

/// Lines of a failed run's log that are shown where several runs were asked for.
const LOG_LINES: usize = 40;
/// Cells that were not hit are named where they are no more than this: a few seeds cannot hit all.
const MISSING_SHOWN_MAX: usize = 40;
/// Failed runs that are shown.
const SHOWN_MAX: usize = 10;

/// `eider sim …`
#[derive(Debug, Args)]
pub struct SimArgs {
    /// How many seeds to run; one alone shows its whole log where it fails
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    from: u64,
    /// Simulated hours in which things go wrong, for each seed, such as 2 or 0.5
    #[arg(long, value_name = "H", default_value = "0.5", value_parser = minutes)]
    hours: Minutes,
    /// Who sells
    #[arg(long, value_enum, default_value_t = Marketplace::Amazon)]
    marketplace: Marketplace,
    /// Fail, too, where a cell of the matrix was not hit: a few seeds cannot hit all
    #[arg(long)]
    every_cell: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Hours as they were given, in minutes.
#[derive(Debug, Clone, Copy)]
struct Minutes(u32);

fn minutes(text: &str) -> Result<Minutes, String> {
    let hours: Decimal = text.parse().map_err(|_| "expected hours, such as 2 or 0.5".to_owned())?;
    let minutes = hours.checked_mul(Decimal::from(60)).filter(|minutes| minutes.is_integer());
    let minutes = minutes.and_then(|minutes| u32::try_from(minutes).ok());
    let minutes = minutes.filter(|minutes| (1..=60_000).contains(minutes));
    minutes
        .map(Minutes)
        .ok_or_else(|| "expected whole minutes, at least one and at most 1000 hours".to_owned())
}

/// Runs it.
pub async fn run(place: &Place, args: SimArgs) -> Result<(), CliError> {
    // Faults are what this is about: the engine's warnings of them would drown everything else.
    logging::start(&place.load(None)?, logging::Unset::Silent)?;
    let options = Options {
        from: args.from,
        count: args.seeds,
        minutes: args.hours.0,
        marketplace: args.marketplace,
        threads: machine::cores(),
        witness: None,
    };
    let started = Instant::now();
    let is_screen = std::io::stderr().is_terminal();
    let ran =
        tokio::task::spawn_blocking(move || campaign::run(&options, &|run| tell(&options, run, is_screen)));
    let report = ran.await.map_err(CliError::failed)?.map_err(CliError::Failed)?;
    let took = started.elapsed();
    let missing = report.matrix.missing(options.marketplace.name());
    let is_good = report.failed.is_empty() && (missing.is_empty() || !args.every_cell);
    if args.json {
        terminal::print_line(&in_json(&options, &report, took).to_string())?;
    } else {
        terminal::print(in_words(&options, &report, took).as_bytes())?;
    }
    if is_good { Ok(()) } else { Err(CliError::Said) }
}

/// A failure is told at once: the rest may take long.
fn tell(options: &Options, run: &Run, is_screen: bool) {
    if let Some(failure) = &run.failure {
        let skipped = if options.count == 1 { 0 } else { failure.log.len().saturating_sub(LOG_LINES) };
        let log: Vec<&str> = failure.log.iter().skip(skipped).map(String::as_str).collect();
        terminal::say(&format!(
            "{}\nseed {} failed at {}: {}\nreplay: {}\n",
            log.join("\n"),
            run.seed,
            failure.at,
            failure.what,
            replay(options, run.seed)
        ));
    } else if is_screen && run.seed.is_multiple_of(50) {
        terminal::say(&format!("seed {} passed", run.seed));
    }
}

/// The command that runs this seed again. What goes wrong when depends on how long it goes on, too.
fn replay(options: &Options, seed: u64) -> String {
    format!(
        "eider sim --marketplace {} --hours {} --seeds 1 --from {seed}",
        options.marketplace.name(),
        hours(options)
    )
}

fn hours(options: &Options) -> Decimal {
    Decimal::from(options.minutes) / Decimal::from(60)
}

fn in_words(options: &Options, report: &Report, took: Duration) -> String {
    let sells = options.marketplace.name();
    let mut text = report.matrix.table(sells);
    let missing = report.matrix.missing(sells);
    text.push_str(&format!(
        "\n{} seeds from {}, {} simulated hours in {} s, {} seeds/s on {} cores\n{} steps, {} commits, {} crashes, {} of {} cells hit\n",
        report.count,
        options.from,
        report.elapsed.as_hours(),
        took.as_secs(),
        seeds_per_second(report, took),
        options.threads,
        report.steps,
        report.commits,
        [Fault::Crash, Fault::CrashAtCommit, Fault::CrashWhileRead]
            .into_iter()
            .map(|fault| report.matrix.total(fault))
            .sum::<u64>(),
        campaign::matrix::cells(sells).len() - missing.len(),
        campaign::matrix::cells(sells).len(),
    ));
    if !missing.is_empty() && missing.len() <= MISSING_SHOWN_MAX {
        let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
        text.push_str(&format!("not hit: {}\n", names.join(", ")));
    }
    match report.failed.as_slice() {
        [] => text.push_str("all passed\n"),
        failed => {
            text.push_str(&format!("{} failed:\n", failed.len()));
            for run in failed.iter().take(SHOWN_MAX) {
                let what = run.failure.as_ref().map_or("", |failure| failure.what.as_str());
                let first: String =
                    what.lines().take(2).collect::<Vec<_>>().join(" ").chars().take(300).collect();
                text.push_str(&format!("  seed {}: {first}\n", run.seed));
            }
        }
    }
    text
}

fn in_json(options: &Options, report: &Report, took: Duration) -> Value {
    let sells = options.marketplace.name();
    let failed: Vec<Value> = report
        .failed
        .iter()
        .map(|run| {
            json!({
                "seed": run.seed,
                "at": run.failure.as_ref().map(|failure| failure.at.to_string()),
                "what": run.failure.as_ref().map(|failure| failure.what.clone()),
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "seeds": report.count,
        "from": options.from,
        "hours": hours(options),
        "cores": options.threads,
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "simulated_s": report.elapsed.as_secs(),
        "steps": report.steps,
        "commits": report.commits,
        "marketplace": sells,
        "matrix": report.matrix.json(sells),
        "cells_missing": report.matrix.missing(sells).len(),
        "failed": failed,
    })
}

/// In tenths, as text: nothing here needs a float.
fn seeds_per_second(report: &Report, took: Duration) -> String {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let hundredths = report.count.saturating_mul(100_000) / ms;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Command, CommandLine};

    #[test]
    fn a_failure_is_replayed_by_the_command_that_it_names() {
        for minutes in [3, 30, 45, 120] {
            let options = Options {
                from: 0,
                count: 2_000,
                minutes,
                marketplace: Marketplace::Etsy,
                threads: 2,
                witness: None,
            };
            let command = replay(&options, 77);
            let read = CommandLine::try_parse_from(command.split(' ')).unwrap().command;
            let Command::Sim(args) = read else { panic!("{command}") };
            assert_eq!((args.hours.0, args.seeds, args.from), (minutes, 1, 77), "{command}");
            assert_eq!(args.marketplace, Marketplace::Etsy);
        }
    }
}

//! The fault campaign: the real connectors, planning and store against the simulated platforms, on simulated time,
//! with everything going wrong that a seed draws.
//!
//! A seed decides all: what is sold and shipped, which call meets which fault, at which call or commit the process
//! dies and how much later it comes back, when a backup is restored, and in every other seed which of the messages that
//! platforms push is lost, late, doubled or forged. So a failure is replayed by its seed. Calls pass through `field`,
//! which knows whether a call had its effect; messages lie in `post` until they are brought; `invariants` compares the
//! platforms' truth with what the appliance holds. Nothing here may touch the network, and nothing of it may depend on how
//! fast the machine is.

mod deeds;
pub mod delays;
mod field;
mod invariants;
pub mod marketplace;
pub mod matrix;
mod post;
mod rig;
mod seed;
mod snapshot;
mod trace;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock as _;
use crate::sync::EngineSettings;
pub use field::Witness;
use marketplace::Marketplace;
use matrix::Matrix;
use rig::{Rig, words};
use seed::Plan;
use snapshot::Scratch;

/// Once nothing goes wrong any more, everything that is owed is done within this time: the longest waits between
/// two tries, one after the other, and some.
const SETTLE_MAX: SignedDuration = SignedDuration::from_mins(90);
/// How often it is looked whether all is settled.
const LOOK_INTERVAL: SignedDuration = SignedDuration::from_mins(4);
/// How long what is settled has to stay so.
const STAY: SignedDuration = SignedDuration::from_mins(10);

/// Which runs.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// Simulated minutes in which things go wrong.
    pub minutes: u32,
    /// Who sells.
    pub marketplace: Marketplace,
    /// Runs at a time.
    pub threads: usize,
    /// Who sees what is said to platforms and what they answer.
    pub witness: Option<Witness>,
}

/// What one seed led to.
#[derive(Debug, Clone)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What was hit.
    pub matrix: Matrix,
    /// How much simulated time it took.
    pub elapsed: SignedDuration,
    /// Steps of the engine.
    pub steps: u64,
    /// Commits of the store.
    pub commits: u64,
    /// The hash of all that happened: the same in every run of this seed.
    pub hash: u64,
    /// What must not be, if it was.
    pub failure: Option<Failure>,
}

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When, in simulated time.
    pub at: Timestamp,
    /// What.
    pub what: String,
    /// The last things that happened before.
    pub log: Vec<String>,
}

/// What a campaign led to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Seeds that ran.
    pub count: u64,
    /// What was hit.
    pub matrix: Matrix,
    /// Simulated time of all runs.
    pub elapsed: SignedDuration,
    /// Steps of the engine in all runs.
    pub steps: u64,
    /// Commits of the store in all runs.
    pub commits: u64,
    /// The runs that failed, by seed.
    pub failed: Vec<Run>,
}

/// Runs the seeds. `tell` hears of every run that ended.
///
/// # Errors
/// Where the machine does not let it run.
pub fn run(options: &Options, tell: &(dyn Fn(&Run) + Sync)) -> Result<Report, String> {
    let campaign = Campaign {
        witness: options.witness,
        ..Campaign::prepare(options.marketplace, options.minutes, EngineSettings::default())?
    };
    let next = AtomicU64::new(0);
    let report = Mutex::new(Report::default());
    let work = || -> Result<(), String> {
        let runtime = runtime()?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.count {
                return Ok(());
            }
            let run = runtime.block_on(campaign.run_seed(options.from.saturating_add(number)));
            tell(&run);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.count += 1;
            report.matrix.add(&run.matrix);
            report.elapsed = report.elapsed.saturating_add(run.elapsed);
            report.steps += run.steps;
            report.commits += run.commits;
            if run.failure.is_some() {
                report.failed.push(run);
            }
        }
    };
    on_threads(options.threads, work)?;
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.failed.sort_by_key(|run| run.seed);
    Ok(report)
}

/// Does the same on so many threads, and waits for all of them.
fn on_threads(threads: usize, work: impl Fn() -> Result<(), String> + Copy + Send) -> Result<(), String> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().map_err(|_| "a run ended in a panic; its message is above".to_owned())?
        })
    })
}

/// One thread of its own: the order in which tasks run must not depend on the machine.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(words)
}

/// What all runs share.
struct Campaign {
    template: Scratch,
    marketplace: Marketplace,
    minutes: u32,
    settings: EngineSettings,
    witness: Option<Witness>,
}

impl Campaign {
    fn prepare(marketplace: Marketplace, minutes: u32, settings: EngineSettings) -> Result<Self, String> {
        let template = Scratch::make("template").map_err(words)?;
        runtime()?.block_on(rig::make_template(template.path()))?;
        Ok(Self { template, marketplace, minutes, settings, witness: None })
    }

    async fn run_seed(&self, seed: u64) -> Run {
        let plan = Plan::draw(self.marketplace, seed, self.minutes);
        let (template, settings) = (self.template.path(), self.settings.clone());
        let started = Rig::start(seed, plan, template, settings, self.witness).await;
        let mut rig = match started {
            Ok(rig) => rig,
            Err(what) => return failed_to_start(seed, what, self.template.path()),
        };
        let ended = play(&mut rig).await;
        let (matrix, trace, _) = rig.field.result();
        let failure = ended.err().map(|what| Failure {
            at: rig.field.clock.now(),
            what,
            log: trace.lines().map(str::to_owned).collect(),
        });
        let (steps, commits) = (rig.steps(), rig.field.tally().commits);
        Run { seed, matrix, elapsed: rig.elapsed(), steps, commits, hash: trace.hash(), failure }
    }
}

fn failed_to_start(seed: u64, what: String, template: &Path) -> Run {
    let what = format!("it could not be set up in {}: {what}", template.display());
    let failure = Failure { at: Timestamp::UNIX_EPOCH, what, log: Vec::new() };
    Run {
        seed,
        matrix: Matrix::default(),
        elapsed: SignedDuration::ZERO,
        steps: 0,
        commits: 0,
        hash: 0,
        failure: Some(failure),
    }
}

/// Things go wrong, then nothing does any more, and all that is owed gets done.
async fn play(rig: &mut Rig) -> Result<(), String> {
    rig.field.set_faults(true);
    let (selling, length) = (rig.plan().selling, rig.plan().length);
    rig.pass(selling).await?;
    rig.field.world.end_arrivals();
    rig.pass(length.saturating_sub(rig.elapsed()).max(SignedDuration::ZERO)).await?;
    rig.field.set_faults(false);
    rig.field.let_people_finish();
    rig.field.note("nothing goes wrong from now on");
    rig.mend(true).await?;
    let quiet_since = rig.elapsed();
    let mut good_since = None;
    loop {
        rig.pass(LOOK_INTERVAL).await?;
        rig.settle_doubts().await?;
        let points = invariants::open_points(rig).await?;
        let now = rig.elapsed();
        if points.is_empty() {
            // What is settled has to stay so.
            if now - *good_since.get_or_insert(now) >= STAY {
                rig.field.note("all is settled");
                return Ok(());
            }
            continue;
        }
        good_since = None;
        if now - quiet_since > SETTLE_MAX {
            return Err(format!(
                "{} minutes after the last fault, {} things are not as they must be:\n{}",
                SETTLE_MAX.as_mins(),
                points.len(),
                points.join("\n")
            ));
        }
    }
}

#[cfg(test)]
mod tests;

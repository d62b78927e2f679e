//! What one seed stands for: how the appliance is set, what is sold, how much goes wrong and when.
//!
//! Everything follows from the seed and the minutes alone.

use std::time::Duration;

use jiff::SignedDuration;

use super::deeds::Leaning;
use super::field::{Aim, Rates};
use super::marketplace::Marketplace;
use super::matrix::{Cell, Fault, MESSAGE, OPERATIONS, Operation, RECEIVE_MESSAGE, Side, cells, place_of};
use crate::clock::Entropy;
use crate::domain::connection::{
    ConnectionSettings, ExportFulfilment, History, InsufficientStock, UnmatchedSku,
};
use crate::sim::{BIGCOMMERCE, SimOptions, StockRule};

/// Cells that each seed aims at beside what goes wrong by itself. The seeds take turns, so that two hundred of them
/// reach every cell.
const AIMS_PER_SEED: u64 = 6;

/// Of those that need no messages, a seed in which the platforms push aims at so many more.
const AIMS_BESIDE_HOOKS: u64 = 1;

/// From one aim of a seed to the next, in cells of the table: a prime that divides no number of cells.
const STRIDE: u64 = 61;

/// What one seed stands for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who sells.
    pub marketplace: Marketplace,
    /// The platforms.
    pub sim: SimOptions,
    /// How the marketplace's connection is set.
    pub settings: ConnectionSettings,
    /// Time between two polls of the marketplace.
    pub poll_interval: Duration,
    /// Time between two polls of the shop.
    pub shop_poll_interval: Duration,
    /// What goes wrong by itself.
    pub rates: Rates,
    /// What is made to go wrong.
    pub aims: Vec<Aim>,
    /// Mean time between two deeds of people, in seconds.
    pub deed_gap_s: u64,
    /// What they mostly do.
    pub leaning: Leaning,
    /// How the platforms push, in the seeds in which they do.
    pub hooks: Option<HookPlan>,
    /// When a backup is taken, from the start, and how much later it is restored.
    pub restores: Vec<(SignedDuration, SignedDuration)>,
    /// How long new orders arrive by themselves.
    pub selling: SignedDuration,
    /// How long things go wrong.
    pub length: SignedDuration,
}

/// How the platforms push. Polls are far apart then, so that messages bring what is new.
#[derive(Debug, Clone)]
pub struct HookPlan {
    /// When the platforms stop sending, from the start, and the process starts anew.
    pub upset_at: Option<SignedDuration>,
    /// Time between two looks into the merchant's queue that was empty.
    pub queue_pause: Duration,
}

impl Plan {
    /// What `seed` stands for where this marketplace sells.
    #[must_use]
    pub fn draw(marketplace: Marketplace, seed: u64, minutes: u32) -> Self {
        let draw = Entropy::seeded(seed.rotate_left(32) ^ 0x5EED);
        let length = SignedDuration::from_mins(i64::from(minutes));
        let has_hooks = seed.is_multiple_of(2);
        let (poll_s, shop_poll_s) = (45 + draw.below(75), 30 + draw.below(80));
        let (far_s, shop_far_s) = (780 + draw.below(420), 780 + draw.below(420));
        let (poll_s, shop_poll_s) = if has_hooks { (far_s, shop_far_s) } else { (poll_s, shop_poll_s) };
        let selling_s = u64::try_from(length.as_secs()).unwrap_or(0) * (35 + draw.below(15)) / 100;
        let (mut sim, mut settings) = (world_options(marketplace, &draw, seed), settings(&draw));
        let aims = aims(marketplace, &draw, seed);
        let hooks = has_hooks.then(|| hook_plan(&draw, &aims));
        let is_after_sale = marketplace.takes_after_sale() && aims.iter().any(is_about_after_sale);
        let leaning = if aims.iter().any(is_about_stock) {
            Leaning::Shelves
        } else if is_after_sale {
            Leaning::AfterSale
        } else {
            Leaning::None
        };
        if leaning == Leaning::Shelves {
            // Stock is raised only where the shop refuses an order for the want of it.
            sim.stock_rule = StockRule::Placement;
            settings.insufficient_stock = InsufficientStock::RaiseStock;
        }
        let (rates, deed_gap_s) = (rates(&draw), 45 + draw.below(60));
        let restores = restores(&draw, length);
        if marketplace.takes_after_sale() {
            let is_told = is_after_sale || draw.below(4) > 0;
            settings.send_cancellations = Some(is_told);
            settings.send_refunds = Some(is_told);
        }
        Self {
            marketplace,
            sim,
            settings,
            poll_interval: Duration::from_secs(poll_s),
            shop_poll_interval: Duration::from_secs(shop_poll_s),
            rates,
            aims,
            deed_gap_s,
            leaning,
            hooks,
            restores,
            selling: SignedDuration::from_secs(i64::try_from(selling_s).unwrap_or(0)),
            length,
        }
    }
}

fn world_options(marketplace: Marketplace, draw: &Entropy, seed: u64) -> SimOptions {
    SimOptions {
        seed,
        orders: u32::try_from(4 + draw.below(10)).unwrap_or(4),
        rate_per_minute: 1,
        catalogue: 40,
        marketplaces: marketplace.alone(),
        stock_rule: match draw.below(4) {
            0 => StockRule::Completion,
            1 => StockRule::Off,
            _ => StockRule::Placement,
        },
        customised_percent: marketplace.customised_percent(),
        foreign_currency_percent: if draw.below(4) == 0 { 10 } else { 0 },
        ..SimOptions::default()
    }
}

fn settings(draw: &Entropy) -> ConnectionSettings {
    ConnectionSettings {
        history: match draw.below(4) {
            0 => History::None,
            1 => History::Today,
            2 => History::Days(30),
            _ => History::Everything,
        },
        export_fulfilment: if draw.below(3) == 0 { ExportFulfilment::Both } else { ExportFulfilment::Seller },
        unmatched_sku: if draw.below(3) == 0 { UnmatchedSku::Hold } else { UnmatchedSku::CustomLine },
        insufficient_stock: match draw.below(4) {
            0 => InsufficientStock::CustomLine,
            1 => InsufficientStock::RaiseStock,
            _ => InsufficientStock::Wait,
        },
        ..ConnectionSettings::default()
    }
}

fn rates(draw: &Entropy) -> Rates {
    let one_of = |choices: [u64; 4]| {
        let place = usize::try_from(draw.below(4)).unwrap_or(0);
        choices.get(place).copied().unwrap_or(0)
    };
    Rates {
        fault: one_of([0, 20, 60, 150]),
        crash_at_call: one_of([0, 2, 5, 10]),
        crash_at_commit: one_of([0, 2, 5, 10]),
        message: one_of([0, 50, 100, 200]),
    }
}

/// What leads to calls that are made only where the platforms' messages have to be seen to again.
fn hook_plan(draw: &Entropy, aims: &[Aim]) -> HookPlan {
    let is_usual = draw.below(8) == 0;
    let at_s = 120 + draw.below(600);
    HookPlan {
        upset_at: (is_usual || aims.iter().any(is_about_subscriptions))
            .then(|| SignedDuration::from_secs(i64::try_from(at_s).unwrap_or(120))),
        queue_pause: Duration::from_secs(15 + draw.below(25)),
    }
}

/// Seeds in which the platforms push and those in which they do not take turns, and so do the cells of each.
fn aims(marketplace: Marketplace, draw: &Entropy, seed: u64) -> Vec<Aim> {
    let has_hooks = seed.is_multiple_of(2);
    let (of_hooks, others): (Vec<Cell>, Vec<Cell>) =
        cells(marketplace.name()).into_iter().partition(Cell::is_of_hooks);
    let cells = if has_hooks { &of_hooks } else { &others };
    let count = |cells: &[Cell]| u64::try_from(cells.len()).unwrap_or(1).max(1);
    let mut aims: Vec<Aim> = (0..AIMS_PER_SEED)
        .filter_map(|number| {
            // Neighbours in the table are the same fault at other calls: one seed's aims are far apart, so that one of
            // them does not keep the others from their turn.
            let turn = (seed / 2).wrapping_mul(AIMS_PER_SEED).wrapping_add(number);
            let place = turn.wrapping_mul(STRIDE) % count(cells);
            let cell = *cells.get(usize::try_from(place).ok()?)?;
            Some(aim_at(cell, draw))
        })
        .collect();
    if has_hooks {
        aims.extend((0..AIMS_BESIDE_HOOKS).filter_map(|_| {
            let place = usize::try_from(draw.below(count(&others))).ok()?;
            Some(aim_at(*others.get(place)?, draw))
        }));
        aims.extend(late_reading(marketplace, draw));
    }
    let doors: Vec<Aim> = aims.iter().flat_map(|aim| doors_to(marketplace, aim)).collect();
    aims.extend(doors);
    aims
}

fn aim_at(cell: Cell, draw: &Entropy) -> Aim {
    let aim = Aim { cell, skip: u32::try_from(draw.below(3)).unwrap_or(0), is_once: false };
    // A shelf is seldom empty when somebody buys from it, little is given back, and messages are seen to once.
    let is_rare = is_about_stock(&aim)
        || is_about_after_sale(&aim)
        || is_about_subscriptions(&aim)
        || cell.fault == Fault::CrashWhileRead;
    if is_rare { Aim { skip: 0, ..aim } } else { aim }
}

/// What a message tells of cannot always be read at once: then the message waits, and a spool that forgot it would be
/// noticed.
fn late_reading(marketplace: Marketplace, draw: &Entropy) -> Option<Aim> {
    let skip = u32::try_from(draw.below(6)).unwrap_or(0);
    let operation = place_of(marketplace.name(), marketplace.one_order())?;
    Some(Aim { cell: Cell { fault: Fault::Throttled, operation, side: Side::Before }, skip, is_once: false })
}

/// Whether it is about what is done so that there are messages at all.
fn is_about_subscriptions(aim: &Aim) -> bool {
    let name = OPERATIONS.get(aim.cell.operation).map_or("", |known| known.name);
    let is_often = [MESSAGE, RECEIVE_MESSAGE, "DeleteMessageBatch", "getPublicKey"].contains(&name);
    OPERATIONS.get(aim.cell.operation).is_some_and(Operation::is_of_hooks) && !is_often
}

fn is_about_stock(aim: &Aim) -> bool {
    let name = OPERATIONS.get(aim.cell.operation).map_or("", |known| known.name);
    matches!(name, "get-inventory-items" | "put-absolute-adjustment")
}

fn is_about_after_sale(aim: &Aim) -> bool {
    let name = OPERATIONS.get(aim.cell.operation).map_or("", |known| known.name);
    matches!(
        name,
        "getOrderRefunds"
            | "createFeedDocument"
            | "uploadFeedDocument"
            | "createFeed"
            | "getFeed"
            | "getFeedDocument"
            | "downloadFeedDocument"
            | "checkCancellationEligibility"
            | "createCancellation"
            | "getCancellation"
            | "approveCancellation"
            | "issueRefund"
    )
}

/// Some calls are made only while a platform refuses the credentials: it has to refuse them first. Clients renew a token
/// that was refused once.
fn doors_to(marketplace: Marketplace, aim: &Aim) -> Vec<Aim> {
    let name = OPERATIONS.get(aim.cell.operation).map_or("", |known| known.name);
    let (platform, poll, count) = match name {
        "getMarketplaceParticipations" | "getUser" | "getShop" => {
            (marketplace.name(), marketplace.order_list(), 2)
        }
        "getSystemTimestamp" => (BIGCOMMERCE, "getOrders", 2),
        // Who has to say yes again is asked who it is.
        "getMe" => (marketplace.name(), marketplace.order_list(), 1),
        _ => return Vec::new(),
    };
    let Some(operation) = place_of(platform, poll) else { return Vec::new() };
    let fault = if name == "getMe" { Fault::Revoked } else { Fault::Expired };
    let door = Aim { cell: Cell { fault, operation, side: Side::Before }, skip: 0, is_once: false };
    vec![door; count]
}

/// No restore, one of a backup that is minutes old, or one of a backup that has just been taken.
fn restores(draw: &Entropy, length: SignedDuration) -> Vec<(SignedDuration, SignedDuration)> {
    let seconds = |count: u64| SignedDuration::from_secs(i64::try_from(count).unwrap_or(0));
    let longest = u64::try_from(length.as_secs()).unwrap_or(3_600);
    let count = match draw.below(10) {
        0..5 => 0,
        5..8 => 1,
        _ => 3,
    };
    let mut restores: Vec<_> = (0..count)
        .map(|_| {
            let taken = 120 + draw.below(longest * 3 / 4);
            let age = if draw.below(3) == 0 { 60 + draw.below(1_500) } else { 2 + draw.below(75) };
            (seconds(taken), seconds(age))
        })
        .collect();
    restores.sort();
    restores
}

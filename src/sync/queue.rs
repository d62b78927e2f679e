//! What is due: open effects and jobs, in memory. The store holds the effects; this is only their order.
//!
//! Effects wait per connection and lane, so that one connection or lane never starves another; two effects of
//! one order never run at the same time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::jobs::Job;
use crate::clock::shifted;
use crate::domain::effect::{Effect, EffectState, Lane};
use crate::domain::id::{ConnectionId, EffectId, OrderNo};
use crate::domain::reason::ReasonCode;

/// Calls under way at once, per connection, for effects.
pub const EFFECTS_PER_CONNECTION_MAX: usize = 24;
/// Of those, kept free of the bulk lane for what a buyer waits for.
pub const EFFECTS_RESERVED_FOR_ORDERS: usize = 16;

/// Something to run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Work owed to the outside.
    Effect(Box<Effect>),
    /// Work of our own.
    Job(ConnectionId, Job),
}

/// One job's place in the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobSlot {
    /// When it runs next.
    pub due_at: Timestamp,
    /// Whether it runs now.
    pub is_running: bool,
    /// Failures in a row.
    pub failures: u32,
}

/// What is due, and what runs.
#[derive(Debug, Default)]
pub struct Queue {
    effects: HashMap<EffectId, Effect>,
    by_order: HashMap<OrderNo, BTreeSet<EffectId>>,
    waiting: BTreeMap<(ConnectionId, Lane), BTreeSet<(Timestamp, EffectId)>>,
    running: HashMap<EffectId, (ConnectionId, Lane)>,
    busy_orders: HashSet<OrderNo>,
    running_by_connection: HashMap<ConnectionId, HashMap<Lane, usize>>,
    jobs: BTreeMap<(ConnectionId, Job), JobSlot>,
}

impl Queue {
    /// Adds an open effect, or takes over its new state.
    pub fn put(&mut self, effect: Effect) {
        self.unqueue(effect.id);
        if effect.state != EffectState::Held && !self.running.contains_key(&effect.id) {
            self.waiting
                .entry((effect.connection, effect.lane))
                .or_default()
                .insert((effect.due_at, effect.id));
        }
        self.by_order.entry(effect.order_no).or_default().insert(effect.id);
        self.effects.insert(effect.id, effect);
    }

    /// Forgets an effect that is no longer open.
    pub fn remove(&mut self, id: EffectId) {
        self.unqueue(id);
        if let Some(effect) = self.effects.remove(&id) {
            let is_empty = self.by_order.get_mut(&effect.order_no).is_some_and(|ids| {
                ids.remove(&id);
                ids.is_empty()
            });
            if is_empty {
                self.by_order.remove(&effect.order_no);
            }
        }
    }

    /// The open effects of an order.
    pub fn of_order(&self, order_no: OrderNo) -> Vec<Effect> {
        let ids = self.by_order.get(&order_no).into_iter().flatten();
        ids.filter_map(|id| self.effects.get(id).cloned()).collect()
    }

    /// Orders with an open effect that waits for this reason.
    pub fn orders_waiting_for(&self, reason: ReasonCode) -> Vec<OrderNo> {
        let waits = |effect: &&Effect| effect.reason.as_ref().is_some_and(|held| held.code == reason);
        let numbers: BTreeSet<OrderNo> =
            self.effects.values().filter(waits).map(|effect| effect.order_no).collect();
        numbers.into_iter().collect()
    }

    /// Makes an order's waiting effects due now: what they waited for has happened.
    pub fn hasten(&mut self, order_no: OrderNo, now: Timestamp) {
        for effect in self.of_order(order_no) {
            if effect.state == EffectState::Due && effect.due_at > now {
                self.put(Effect { due_at: now, ..effect });
            }
        }
    }

    /// Makes every effect that waits for a connection due now: it works again.
    pub fn hasten_connection(&mut self, connection: ConnectionId, now: Timestamp) {
        let waiting: Vec<Effect> = self
            .effects
            .values()
            .filter(|effect| {
                effect.connection == connection && effect.state == EffectState::Due && effect.due_at > now
            })
            .cloned()
            .collect();
        for effect in waiting {
            self.put(Effect { due_at: now, ..effect });
        }
    }

    /// Schedules a job, unless it is due earlier already.
    pub fn schedule(&mut self, connection: ConnectionId, job: Job, due_at: Timestamp) {
        let slot =
            self.jobs.entry((connection, job)).or_insert(JobSlot { due_at, is_running: false, failures: 0 });
        slot.due_at = slot.due_at.min(due_at);
    }

    /// Takes a connection's other jobs out of the schedule.
    pub fn retain_jobs(&mut self, connection: ConnectionId, kept: &[Job]) {
        self.jobs.retain(|(owner, job), _| *owner != connection || kept.contains(job));
    }

    /// Takes one job out of the schedule.
    pub fn forget_job(&mut self, connection: ConnectionId, job: Job) {
        self.jobs.remove(&(connection, job));
    }

    /// One job's place.
    pub fn job(&self, connection: ConnectionId, job: Job) -> Option<JobSlot> {
        self.jobs.get(&(connection, job)).copied()
    }

    /// How often the job of a connection that fares worst has failed in a row.
    pub fn failures(&self, connection: ConnectionId) -> u32 {
        let slots = self.jobs.iter().filter(|((owner, _), _)| *owner == connection);
        slots.map(|(_, slot)| slot.failures).max().unwrap_or(0)
    }

    /// Ends a job's run; it comes again at `due_at`.
    pub fn job_done(&mut self, connection: ConnectionId, job: Job, due_at: Timestamp, has_failed: bool) {
        if let Some(slot) = self.jobs.get_mut(&(connection, job)) {
            // Somebody who asked for a run while this one ran gets it: while it runs, its time is `MAX`.
            slot.due_at = slot.due_at.min(due_at);
            slot.is_running = false;
            slot.failures = if has_failed { slot.failures.saturating_add(1) } else { 0 };
        }
    }

    /// Ends an effect's run.
    pub fn effect_done(&mut self, id: EffectId) {
        let Some((connection, lane)) = self.running.remove(&id) else { return };
        if let Some(count) =
            self.running_by_connection.get_mut(&connection).and_then(|lanes| lanes.get_mut(&lane))
        {
            *count = count.saturating_sub(1);
        }
        if let Some(effect) = self.effects.get(&id).cloned() {
            self.busy_orders.remove(&effect.order_no);
            self.put(effect);
        }
    }

    /// Frees an order after its effect has ended and is gone.
    pub fn order_done(&mut self, order_no: OrderNo) {
        self.busy_orders.remove(&order_no);
    }

    /// Takes what is due now, marked as running. Effects of the orders lane come first, but bulk work always
    /// finds a place: its share is never taken by the other.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Task> {
        let mut tasks = Vec::new();
        for ((connection, job), slot) in &mut self.jobs {
            if !slot.is_running && slot.due_at <= now {
                slot.is_running = true;
                slot.due_at = Timestamp::MAX;
                tasks.push(Task::Job(*connection, *job));
            }
        }
        let queues: Vec<(ConnectionId, Lane)> = self.waiting.keys().copied().collect();
        for (connection, lane) in queues {
            self.take_effects(connection, lane, now, &mut tasks);
        }
        tasks
    }

    fn take_effects(&mut self, connection: ConnectionId, lane: Lane, now: Timestamp, tasks: &mut Vec<Task>) {
        let capacity = match lane {
            Lane::Orders => EFFECTS_RESERVED_FOR_ORDERS,
            Lane::Bulk => EFFECTS_PER_CONNECTION_MAX - EFFECTS_RESERVED_FOR_ORDERS,
        };
        let running = self
            .running_by_connection
            .get(&connection)
            .and_then(|lanes| lanes.get(&lane))
            .copied()
            .unwrap_or(0);
        let mut free = capacity.saturating_sub(running);
        let Some(queue) = self.waiting.get_mut(&(connection, lane)) else { return };
        let mut taken = Vec::new();
        for (due_at, id) in queue.iter() {
            if free == 0 || *due_at > now {
                break;
            }
            let Some(effect) = self.effects.get(id) else {
                taken.push((*due_at, *id));
                continue;
            };
            if !self.busy_orders.insert(effect.order_no) {
                continue;
            }
            free -= 1;
            taken.push((*due_at, *id));
            self.running.insert(*id, (connection, lane));
            *self.running_by_connection.entry(connection).or_default().entry(lane).or_default() += 1;
            tasks.push(Task::Effect(Box::new(effect.clone())));
        }
        for key in taken {
            queue.remove(&key);
        }
        if queue.is_empty() {
            self.waiting.remove(&(connection, lane));
        }
    }

    /// When something is due next; `None` where nothing waits.
    pub fn next_due(&self) -> Option<Timestamp> {
        let jobs = self.jobs.values().filter(|slot| !slot.is_running).map(|slot| slot.due_at);
        let effects = self.waiting.values().filter_map(|queue| queue.first().map(|(due_at, _)| *due_at));
        jobs.chain(effects).min()
    }

    /// Moves every time by a step of the clock: what has waited for so long has still waited for so long. Nothing may
    /// be under way, since that has times of its own at hand.
    pub fn shift(&mut self, by: SignedDuration) {
        for slot in self.jobs.values_mut().filter(|slot| slot.due_at < Timestamp::MAX) {
            slot.due_at = shifted(slot.due_at, by);
        }
        let effects: Vec<Effect> = self.effects.values().cloned().collect();
        for effect in effects {
            self.put(Effect {
                due_at: shifted(effect.due_at, by),
                called_at: effect.called_at.map(|at| shifted(at, by)),
                first_empty_probe_at: effect.first_empty_probe_at.map(|at| shifted(at, by)),
                ..effect
            });
        }
    }

    /// Tasks under way, but for one that merely waits for messages of a queue, as it nearly always does.
    pub fn running_count(&self) -> usize {
        let is_counted =
            |((_, job), slot): &(&(ConnectionId, Job), &JobSlot)| slot.is_running && *job != Job::ReadQueue;
        self.running.len() + self.jobs.iter().filter(is_counted).count()
    }

    /// Open effects.
    pub fn open_count(&self) -> usize {
        self.effects.len()
    }

    fn unqueue(&mut self, id: EffectId) {
        let Some(old) = self.effects.get(&id) else { return };
        let key = (old.connection, old.lane);
        if let Some(queue) = self.waiting.get_mut(&key) {
            queue.remove(&(old.due_at, id));
            if queue.is_empty() {
                self.waiting.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::EffectKind;

    fn effect(id: i64, order: i64, lane: Lane, due: i64) -> Effect {
        Effect {
            id: EffectId(id),
            order_no: OrderNo(order),
            kind: EffectKind::CreateShopOrder,
            revision: "1".to_owned(),
            connection: ConnectionId(1),
            lane,
            state: EffectState::Due,
            attempts: 0,
            due_at: Timestamp::from_second(due).unwrap(),
            called_at: None,
            first_empty_probe_at: None,
            ticket: None,
            reason: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn ids(tasks: &[Task]) -> Vec<i64> {
        tasks
            .iter()
            .map(|task| match task {
                Task::Effect(effect) => effect.id.0,
                Task::Job(connection, _) => -connection.0,
            })
            .collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_order_is_never_worked_on_twice_at_once() {
        let mut queue = Queue::default();
        queue.put(effect(1, 7, Lane::Orders, 0));
        queue.put(effect(2, 7, Lane::Orders, 0));
        assert_eq!(ids(&queue.take_due(at(0))), [1]);
        assert_eq!(ids(&queue.take_due(at(0))), Vec::<i64>::new());
        queue.effect_done(EffectId(1));
        queue.remove(EffectId(1));
        assert_eq!(ids(&queue.take_due(at(0))), [2]);
    }

    #[test]
    fn bulk_work_finds_a_place_beside_a_full_orders_lane() {
        let mut queue = Queue::default();
        for id in 0..100 {
            queue.put(effect(id, id, Lane::Orders, 0));
        }
        queue.put(effect(1000, 1000, Lane::Bulk, 0));
        let taken = ids(&queue.take_due(at(0)));
        assert_eq!(taken.len(), EFFECTS_RESERVED_FOR_ORDERS + 1);
        assert!(taken.contains(&1000));
    }

    #[test]
    fn held_effects_wait_for_a_person() {
        let mut queue = Queue::default();
        queue.put(Effect { state: EffectState::Held, ..effect(1, 1, Lane::Orders, 0) });
        assert_eq!(queue.next_due(), None);
        queue.put(effect(1, 1, Lane::Orders, 5));
        assert_eq!(queue.next_due(), Some(at(5)));
        assert_eq!(ids(&queue.take_due(at(4))), Vec::<i64>::new());
    }

    #[test]
    fn waiting_for_a_queues_messages_is_no_work_under_way() {
        let mut queue = Queue::default();
        queue.schedule(ConnectionId(3), Job::ReadQueue, at(0));
        assert_eq!((queue.take_due(at(0)).len(), queue.running_count()), (1, 0));
        queue.schedule(ConnectionId(3), Job::PollOrders, at(0));
        assert_eq!((queue.take_due(at(0)).len(), queue.running_count()), (1, 1));
    }

    #[test]
    fn a_job_runs_once_at_a_time_and_comes_again() {
        let mut queue = Queue::default();
        queue.schedule(ConnectionId(3), Job::PollOrders, at(0));
        assert_eq!(ids(&queue.take_due(at(0))), [-3]);
        assert!(queue.take_due(at(9)).is_empty());
        queue.job_done(ConnectionId(3), Job::PollOrders, at(60), false);
        assert_eq!(queue.next_due(), Some(at(60)));
        queue.schedule(ConnectionId(3), Job::PollOrders, at(10));
        assert_eq!(ids(&queue.take_due(at(10))), [-3]);
    }
}

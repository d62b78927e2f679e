//! After a call that ended in doubt: when to look, and when it is safe to do it again (DESIGN §4).

use std::time::Duration;

use jiff::Timestamp;

use super::{Outcome, Work};
use crate::domain::effect::{Effect, EffectState};
use crate::domain::reason::{Reason, ReasonCode};
use crate::store::{StoreError, WriteLane, effects};
use crate::sync::Engine;
use crate::sync::planted::Planted;
use crate::sync::retry::later;

/// Two looks that found nothing lie at least so far apart.
const BETWEEN_EMPTY_LOOKS: Duration = Duration::from_secs(60);
/// The last of them comes at least so long after the call: platforms finish late.
pub(super) const AFTER_CALL: Duration = Duration::from_secs(120);

/// What a look that found nothing means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EmptyLook {
    /// Too early to say: look again then. The first look's time is to be kept.
    LookAgain { at: Timestamp, first_empty: Timestamp },
    /// It did not happen: do it again.
    DoAgain,
}

/// True where the effect's last call ended without a clear answer, a crash included.
pub(super) fn is_in_doubt(effect: &Effect) -> bool {
    matches!(effect.state, EffectState::Called | EffectState::InDoubt)
}

/// Weighs a look at `now` that found nothing.
fn weigh(effect: &Effect, now: Timestamp) -> EmptyLook {
    let called_at = effect.called_at.unwrap_or(now);
    let first_empty = effect.first_empty_probe_at.unwrap_or(now);
    let earliest = later(first_empty, BETWEEN_EMPTY_LOOKS).max(later(called_at, AFTER_CALL));
    if effect.first_empty_probe_at.is_some() && now >= earliest {
        EmptyLook::DoAgain
    } else {
        EmptyLook::LookAgain { at: earliest, first_empty }
    }
}

/// After a look that found nothing: none where the call may be made now, else when to look again. The first look's
/// time is durable then.
pub(super) async fn look_again(
    engine: &Engine,
    work: &Work,
    text: &str,
) -> Result<Option<Outcome>, StoreError> {
    let effect = &work.effect;
    let wait = |due_at: Timestamp, state: EffectState, code: ReasonCode, text: &str| {
        let reason = Some(Reason::of(code));
        Ok(Some(Outcome::Postponed { due_at, state, reason, text: text.to_owned() }))
    };
    if let Some(until) = settles_at(engine, work.facts.placed_at) {
        let (state, code) = if is_in_doubt(effect) {
            (EffectState::InDoubt, ReasonCode::InDoubt)
        } else {
            (effect.state, ReasonCode::Restored)
        };
        return wait(
            until,
            state,
            code,
            "What was on its way before the restore may still arrive; looking again then.",
        );
    }
    let is_planted =
        engine.has_planted(Planted::OneEmptyProbeBelieved) || engine.has_planted(Planted::ProbeSkipped);
    if !is_in_doubt(effect) || is_planted {
        return Ok(None);
    }
    let EmptyLook::LookAgain { at, first_empty } = weigh(effect, engine.now()) else { return Ok(None) };
    if effect.first_empty_probe_at.is_none() {
        let id = effect.id;
        engine
            .store()
            .write(WriteLane::Interactive, move |tx| effects::set_first_empty_probe(tx, id, first_empty))
            .await?;
        let next = Effect { first_empty_probe_at: Some(first_empty), ..engine.current(effect) };
        engine.with_queue(|queue| queue.put(next));
    }
    wait(at, EffectState::InDoubt, ReasonCode::InDoubt, text)
}

/// After a restore nobody knows which calls were on their way, and a look that finds nothing proves nothing while one
/// may still arrive. Of orders from before, none is believed until then.
fn settles_at(engine: &Engine, placed_at: Timestamp) -> Option<Timestamp> {
    let installation = engine.store().installation();
    let until = later(installation.epoch_since, AFTER_CALL);
    let may_arrive = installation.may_have_forgotten(placed_at) && engine.now() < until;
    (may_arrive && !engine.has_planted(Planted::EpochIgnored)).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::{EffectKind, Lane};
    use crate::domain::id::{ConnectionId, EffectId, OrderNo};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn effect(first_empty: Option<i64>) -> Effect {
        Effect {
            id: EffectId(1),
            order_no: OrderNo(1),
            kind: EffectKind::CreateShopOrder,
            revision: "1".to_owned(),
            connection: ConnectionId(1),
            lane: Lane::Orders,
            state: EffectState::InDoubt,
            attempts: 1,
            due_at: at(0),
            called_at: Some(at(0)),
            first_empty_probe_at: first_empty.map(at),
            ticket: None,
            reason: None,
            created_at: at(0),
        }
    }

    #[test]
    fn one_empty_look_is_never_believed() {
        let again = |at_s, first| EmptyLook::LookAgain { at: at(at_s), first_empty: at(first) };
        assert_eq!(weigh(&effect(None), at(5)), again(120, 5));
        assert_eq!(weigh(&effect(None), at(500)), again(560, 500));
    }

    #[test]
    fn two_empty_looks_count_when_they_lie_apart_and_late_enough() {
        let again = |at_s, first| EmptyLook::LookAgain { at: at(at_s), first_empty: at(first) };
        assert_eq!(weigh(&effect(Some(5)), at(119)), again(120, 5));
        assert_eq!(weigh(&effect(Some(5)), at(120)), EmptyLook::DoAgain);
        assert_eq!(weigh(&effect(Some(100)), at(150)), again(160, 100));
        assert_eq!(weigh(&effect(Some(100)), at(160)), EmptyLook::DoAgain);
    }
}

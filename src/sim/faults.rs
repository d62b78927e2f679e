//! What goes wrong between two machines, drawn from the seed or asked for by a test.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::draw::Draw;

/// The ways in which a call can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No answer and no effect.
    TimeoutBefore,
    /// The effect, but no answer.
    TimeoutAfter,
    /// No answer; the effect comes after the client gave up.
    Late,
    /// The connection breaks, before the effect or after it.
    Reset,
    /// The platform's own error, before the effect or after it.
    #[serde(rename = "500")]
    ServerError,
    /// Too many calls.
    #[serde(rename = "429")]
    TooManyRequests,
    /// The token is not accepted this time.
    #[serde(rename = "401")]
    Unauthorized,
    /// The token is good, and not for this call. Never by itself: a grant lacks a scope, or does not.
    #[serde(rename = "403")]
    Forbidden,
    /// The effect, and a body that is no JSON.
    Malformed,
    /// The effect, and a body that comes in small pieces.
    Slow,
    /// A read that does not see the last changes yet.
    Stale,
    /// The effect, and a body that stops in the middle.
    Partial,
    /// A pushed message that comes twice.
    DuplicateWebhook,
    /// A pushed message that never comes.
    LostWebhook,
}

impl Fault {
    /// True for what happens to messages that the platform sends, and to no call.
    const fn is_of_messages(self) -> bool {
        matches!(self, Self::DuplicateWebhook | Self::LostWebhook)
    }
}

/// The faults that come by themselves.
const SPONTANEOUS: [Fault; 11] = [
    Fault::TimeoutBefore,
    Fault::TimeoutAfter,
    Fault::Late,
    Fault::Reset,
    Fault::ServerError,
    Fault::TooManyRequests,
    Fault::Unauthorized,
    Fault::Malformed,
    Fault::Slow,
    Fault::Stale,
    Fault::Partial,
];

/// A read under [`Fault::Stale`] does not see what changed in this time.
///
/// Together with [`late_delay`] it stays below the 120 s after which a client may believe that a call had no
/// effect.
pub const STALE_SECONDS: i64 = 45;

/// A fault that a test asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Planned {
    /// The operation's name in the platform's specification, or `*`.
    pub operation: String,
    /// A part of the path of the calls that it strikes, such as an order's id; none for any.
    pub about: Option<String>,
    /// What goes wrong.
    pub kind: Fault,
    /// How many more calls it strikes.
    pub count: u32,
}

/// Takes the first planned fault that strikes `operation` at `path`.
pub fn take_planned(planned: &mut Vec<Planned>, operation: &str, path: &str) -> Option<Fault> {
    let strikes = |fault: &Planned| {
        let is_about = fault.about.as_ref().is_none_or(|part| path.contains(part.as_str()));
        is_about && (fault.operation == "*" || fault.operation == operation)
    };
    take(planned, |fault| !fault.kind.is_of_messages() && strikes(fault))
}

/// Takes the first planned fault that strikes a message.
pub fn take_of_messages(planned: &mut Vec<Planned>) -> Option<Fault> {
    take(planned, |fault| fault.kind.is_of_messages())
}

fn take(planned: &mut Vec<Planned>, strikes: impl Fn(&Planned) -> bool) -> Option<Fault> {
    let index = planned.iter().position(strikes)?;
    let fault = planned.get_mut(index)?;
    let kind = fault.kind;
    fault.count = fault.count.saturating_sub(1);
    if fault.count == 0 {
        planned.remove(index);
    }
    Some(kind)
}

/// The fault of call `number` at a rate of `per_thousand`.
pub fn draw_fault(seed: u64, number: u64, per_thousand: u64) -> Option<Fault> {
    if per_thousand == 0 {
        return None;
    }
    let mut draw = Draw::new(seed, "fault", number);
    if draw.below(1_000) >= per_thousand { None } else { draw.pick(&SPONTANEOUS).copied() }
}

/// How long after the call a late effect comes: later than the usual 30 s that clients wait.
pub fn late_delay(seed: u64, number: u64) -> Duration {
    let seconds = Draw::new(seed, "late", number).between(35, 60);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(35))
}

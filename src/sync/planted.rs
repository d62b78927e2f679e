//! Mistakes that tests plant into the engine, to prove that the fault campaign finds them.
//!
//! Only a test build can switch one on: elsewhere [`Engine::has_planted`] is always false.

use super::Engine;

/// A mistake in the protocol that keeps every order single and loses none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// After a call in doubt nobody looks whether it worked.
    ProbeSkipped,
    /// The cursor moves before what it passed is durable.
    CursorMovedEarly,
    /// The call goes out before it is durable that it will.
    IntentNotDurable,
    /// One look that finds nothing is believed.
    OneEmptyProbeBelieved,
    /// After a restore the file's own knowledge is trusted as before.
    EpochIgnored,
    /// A look that fails makes a call in doubt plainly due again.
    DoubtForgotten,
    /// The spool forgets a message before what it tells of is read and durable.
    MessageForgottenEarly,
    /// What was read last counts as the newest, whatever its own time is.
    OlderFactWins,
}

impl Engine {
    /// Whether a test planted this mistake.
    #[cfg(test)]
    pub(super) fn has_planted(&self, mistake: Planted) -> bool {
        self.settings().planted == Some(mistake)
    }

    /// Whether a test planted this mistake: never, in a program that is shipped.
    #[cfg(not(test))]
    pub(super) const fn has_planted(&self, _: Planted) -> bool {
        false
    }
}

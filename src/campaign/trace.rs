//! The log of one run: a hash of everything that happened, and its last lines for a person.
//!
//! The hash says whether two runs of a seed were the same; so nothing may enter it that the seed does not decide.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::matrix::{Cell, Operation};
use crate::http::{Answer, Call, TransportError};

/// Lines that are kept for a person.
const LINES_MAX: usize = 4_000;

/// The log.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    hash: u64,
    lines: VecDeque<String>,
}

impl Trace {
    /// A hash of all that happened.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Something happened.
    pub fn add(&mut self, at: Timestamp, text: &str) {
        self.mix(text.as_bytes());
        self.count(u64::try_from(at.as_microsecond()).unwrap_or(0));
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{at:.1} {text}"));
    }

    /// A number that has to be the same in every run.
    pub fn count(&mut self, number: u64) {
        self.mix(&number.to_le_bytes());
    }

    /// A call, and what became of it.
    pub fn call(
        &mut self,
        at: Timestamp,
        operation: &Operation,
        call: &Call,
        struck: Option<Cell>,
        answer: Option<&Result<Answer, TransportError>>,
    ) {
        let uri = call.request.uri();
        self.mix(call.request.body());
        let ended = match answer {
            None => "no answer: the process is dead".to_owned(),
            Some(Ok(answer)) => {
                self.mix(&answer.body);
                answer.status.as_u16().to_string()
            }
            Some(Err(error)) => error.to_string(),
        };
        let struck = struck.map(|cell| format!(" [{cell}]")).unwrap_or_default();
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let text = format!(
            "{}.{}{struck} {} {}{query} → {ended}",
            operation.platform,
            operation.name,
            call.request.method(),
            uri.path()
        );
        self.add(at, &text);
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        self.hash = self.hash.rotate_left(5) ^ 0xCBF2_9CE4_8422_2325;
    }
}

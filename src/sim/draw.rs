//! Draws that follow from a seed, a purpose and a number alone.
//!
//! Order number 17 is the same order whatever was asked before it, so that a restart needs to remember counters
//! only. No draw may depend on another draw's position in time.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A sequence of draws.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The sequence for `number` of `purpose` in the world of `seed`.
    pub fn new(seed: u64, purpose: &str, number: u64) -> Self {
        let mut mixed = fnv1a(purpose.as_bytes()) ^ seed.rotate_left(17);
        mixed = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^= mixed >> 29;
        Self(ChaCha8Rng::seed_from_u64(mixed))
    }

    /// A number in `0..bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.random_range(0..bound) }
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        if high <= low { low } else { self.0.random_range(low..=high) }
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, or nothing where there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let bound = u64::try_from(choices.len()).unwrap_or(0);
        usize::try_from(self.below(bound)).ok().and_then(|index| choices.get(index))
    }

    /// One of `words`; empty where there are none.
    pub fn word<'a>(&mut self, words: &[&'a str]) -> &'a str {
        self.pick(words).copied().unwrap_or("")
    }

    /// `length` digits, the first not 0.
    pub fn digits(&mut self, length: usize) -> String {
        let first = 1 + self.below(9);
        let mut text = first.to_string();
        while text.len() < length {
            text.push_str(&self.below(10).to_string());
        }
        text
    }

    /// `length` characters of the alphabet that Amazon's identifiers use.
    pub fn code(&mut self, length: usize) -> String {
        const ALPHABET: [char; 32] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'F', 'G', 'H', 'J', 'K',
            'L', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Y', 'Z',
        ];
        (0..length).filter_map(|_| self.pick(&ALPHABET).copied()).collect()
    }

    /// A gap in microseconds between two random arrivals that come `mean` microseconds apart on average.
    ///
    /// The sum of two even draws: never longer than twice the mean, so that a quiet spell stays short.
    pub fn gap(&mut self, mean: i64) -> i64 {
        self.between(0, mean).saturating_add(self.between(0, mean)).max(1)
    }
}

/// A quick hash for seeds and checksums; not for anything that somebody could attack.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

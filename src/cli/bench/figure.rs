//! A measured figure, and how a column of them is shown. Whole numbers of thousandths, so that nothing is rounded
//! twice.

use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::control::table;

/// What a figure should be, in thousandths of its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At least that.
    AtLeast(u64),
    /// Less than that.
    Below(u64),
    /// That at most.
    AtMost(u64),
}

/// A measured figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    name: String,
    thousandths: u64,
    unit: &'static str,
    limit: Option<Limit>,
}

impl Figure {
    /// A count, a rate, a size: whole numbers.
    pub fn whole(name: impl Into<String>, number: u64, unit: &'static str, limit: Option<Limit>) -> Self {
        Self { name: name.into(), thousandths: number.saturating_mul(1_000), unit, limit }
    }

    /// `count` things in `time`, as things per second.
    pub fn rate(
        name: impl Into<String>,
        count: u64,
        time: Duration,
        unit: &'static str,
        limit: Option<Limit>,
    ) -> Self {
        Self::whole(name, per_second(count, time), unit, limit)
    }

    /// A time, in milliseconds.
    pub fn time(name: impl Into<String>, time: Duration, limit: Option<Limit>) -> Self {
        let thousandths = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self { name: name.into(), thousandths, unit: "ms", limit }
    }

    /// `part` for each of `whole`.
    pub fn ratio(
        name: impl Into<String>,
        part: u64,
        whole: u64,
        unit: &'static str,
        limit: Option<Limit>,
    ) -> Self {
        let thousandths = part.saturating_mul(1_000).checked_div(whole).unwrap_or(0);
        Self { name: name.into(), thousandths, unit, limit }
    }

    /// The value without what comes after the point.
    pub fn whole_value(&self) -> u64 {
        self.thousandths / 1_000
    }

    fn is_ok(&self) -> Option<bool> {
        self.limit.map(|limit| match limit {
            Limit::AtLeast(least) => self.thousandths >= least,
            Limit::Below(bound) => self.thousandths < bound,
            Limit::AtMost(most) => self.thousandths <= most,
        })
    }

    fn limit_text(&self) -> String {
        match self.limit {
            Some(Limit::AtLeast(least)) => format!("≥ {}", decimal(least)),
            Some(Limit::Below(bound)) => format!("< {}", decimal(bound)),
            Some(Limit::AtMost(most)) => format!("≤ {}", decimal(most)),
            None => String::new(),
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Figure", 5)?;
        object.serialize_field("figure", &self.name)?;
        object.serialize_field("value", &decimal(self.thousandths).parse::<f64>().unwrap_or_default())?;
        object.serialize_field("unit", self.unit)?;
        object.serialize_field("limit", &self.limit.map(|_| self.limit_text()))?;
        object.serialize_field("ok", &self.is_ok())?;
        object.end()
    }
}

/// Things per second.
pub fn per_second(count: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    count.saturating_mul(1_000_000).checked_div(micros).unwrap_or(0)
}

/// The time that `percent` of the measured ones stay within.
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let place = times.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or_default()
}

/// Median and 99th percentile of the same measurements.
pub fn spread(name: &str, mut times: Vec<Duration>, limit_p99: Option<Limit>) -> Vec<Figure> {
    vec![
        Figure::time(format!("{name}, p50"), percentile(&mut times, 50), None),
        Figure::time(format!("{name}, p99"), percentile(&mut times, 99), limit_p99),
    ]
}

/// All figures, for people.
pub fn table(figures: &[Figure]) -> String {
    let row = |figure: &Figure| {
        let verdict = match figure.is_ok() {
            Some(true) => "ok",
            Some(false) => "miss",
            None => "",
        };
        let value = decimal(figure.thousandths);
        vec![figure.name.clone(), value, figure.unit.to_owned(), figure.limit_text(), verdict.to_owned()]
    };
    let rows: Vec<Vec<String>> = figures.iter().map(row).collect();
    table::aligned(&["figure", "value", "unit", "limit", "verdict"], &rows)
}

fn decimal(thousandths: u64) -> String {
    let (whole, rest) = (thousandths / 1_000, thousandths % 1_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}").trim_end_matches('0').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_exact_and_judged_by_their_limit() {
        let rate = Figure::rate(
            "imports",
            30_000,
            Duration::from_millis(1_500),
            "orders/s",
            Some(Limit::AtLeast(20_000_000)),
        );
        assert_eq!((rate.thousandths, rate.is_ok()), (20_000_000, Some(true)));
        let calls = Figure::ratio("calls", 111, 100, "calls", Some(Limit::AtMost(1_100)));
        assert_eq!((decimal(calls.thousandths).as_str(), calls.is_ok()), ("1.11", Some(false)));
        let mut times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&mut times, 99), Duration::from_millis(198));
    }
}

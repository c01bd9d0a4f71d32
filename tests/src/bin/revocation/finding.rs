//! What a scenario found.

use std::collections::BTreeMap;
use std::time::Duration;

use pursekeeper_tests::harness::Finding;
use pursekeeper_tests::overspend::Tally;
use serde_json::{Value, json};

/// A tally, and what is told about stops and kills besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// What was done and what was wrong.
    pub(crate) tally: Tally,
    /// Signatures that left although a stop was answered. There must be none.
    pub(crate) late: u64,
    /// How often something was stopped.
    pub(crate) stops: u64,
    /// How long each stop took, by what the sidecar says (`effective`) and as its operator saw it (`answered`).
    pub(crate) latencies: BTreeMap<String, Vec<Duration>>,
    /// Kills, and the points at which they could strike, by what was under way.
    pub(crate) kills: BTreeMap<&'static str, [usize; 2]>,
}

impl Finding for Found {
    fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl From<Tally> for Found {
    fn from(tally: Tally) -> Self {
        Self { tally, ..Self::default() }
    }
}

impl Found {
    /// Takes note of how long something took.
    pub(crate) fn took(&mut self, what: &str, time: Duration) {
        self.latencies.entry(what.to_owned()).or_default().push(time);
    }

    /// Takes note of signatures that left late. Each is a fault.
    pub(crate) fn late(&mut self, count: u64, what: impl FnOnce() -> String) {
        self.late += count;
        self.tally.expect(count == 0, what);
    }

    /// How long each kind of thing took: its median, its 99th percentile and its maximum, in microseconds.
    pub(crate) fn percentiles(&self) -> Value {
        let of = |times: &Vec<Duration>| {
            let mut micros: Vec<u128> = times.iter().map(Duration::as_micros).collect();
            micros.sort_unstable();
            let at = |percent: usize| {
                let rank = (micros.len() * percent).div_ceil(100).max(1);
                micros.get(rank - 1).copied().unwrap_or(0)
            };
            json!({ "count": micros.len(), "p50": at(50), "p99": at(99), "max": at(100) })
        };
        self.latencies.iter().map(|(what, times)| (what.clone(), of(times))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut found = Found::default();
        for micros in (1..=200).rev() {
            found.took("it", Duration::from_micros(micros));
        }
        assert_eq!(
            found.percentiles(),
            json!({ "it": { "count": 200, "p50": 100, "p99": 198, "max": 200 } })
        );
    }
}

//! What a scenario found.

use std::collections::BTreeMap;

use pursekeeper_tests::harness::Finding;
use pursekeeper_tests::overspend::Tally;

/// A tally, and what is told besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// What was done and what was wrong.
    pub(crate) tally: Tally,
    /// What was measured, in the order in which it was.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// How each kind of attack was found, and how often.
    pub(crate) outcomes: Outcomes,
}

/// By attack: by outcome, how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes(pub(crate) BTreeMap<String, BTreeMap<String, u64>>);

impl Outcomes {
    /// Counts one.
    pub(crate) fn count(&mut self, attack: &str, outcome: &str) {
        let outcomes = self.0.entry(attack.to_owned()).or_default();
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    /// How many attacks there were.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }
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
    /// Takes note of something measured.
    pub(crate) fn fact(&mut self, what: &'static str, value: impl Into<String>) {
        self.facts.push((what, value.into()));
    }
}

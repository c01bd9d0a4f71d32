//! What is counted for dashboards and alerts. The journal is the record; these are hints that are gone after a restart.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use pursekeeper_core::gate::Answer;
use pursekeeper_core::{NearLimit, Warning};

/// By what stops are counted: one waits for a write to the disk, and for what is being signed.
const STOP_BOUNDS: [(Duration, &str); 6] = [
    (Duration::from_millis(1), "1ms"),
    (Duration::from_millis(5), "5ms"),
    (Duration::from_millis(20), "20ms"),
    (Duration::from_millis(100), "100ms"),
    (Duration::from_millis(500), "500ms"),
    (Duration::from_secs(2), "2s"),
];

/// Counters since start.
#[derive(Debug, Default)]
pub struct Metrics {
    decisions: Family<Decision, Counter>,
    warnings: Family<Near, Counter>,
    resolved: Family<Resolved, Counter>,
    reports: Counter,
    voided: Counter,
    batches: Counter,
    stops: Family<Stop, Counter>,
    stop_micros_max: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stop {
    within: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decision {
    verdict: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Near {
    scope: &'static str,
    name: String,
    window: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Resolved {
    state: &'static str,
}

impl Metrics {
    /// Counts what the gate answered.
    pub(crate) fn count(&self, answer: &Answer) {
        let decided = |verdict, code| {
            self.decisions.get_or_create(&Decision { verdict, code }).inc();
        };
        match answer {
            Answer::Authorized(right) => {
                decided("permit", "");
                right.warnings().iter().for_each(|warning| self.near(warning));
            }
            Answer::WouldSign { .. } => decided("preview", ""),
            Answer::Denied { denial, .. } => decided("deny", denial.code.as_str()),
            Answer::Acted { .. } => decided("act", ""),
            Answer::Reported { .. } => {
                self.reports.inc();
            }
            Answer::Resolved { state, .. } => {
                self.resolved.get_or_create(&Resolved { state: state.as_str() }).inc();
            }
            Answer::Changed { .. } => decided("transition", ""),
            Answer::Voids(voids) => {
                self.voided.inc_by(u64::try_from(voids.rights.len()).unwrap_or(u64::MAX));
            }
            Answer::Noted { .. } | Answer::Nothing(_) => {}
        }
    }

    /// Counts a durable transaction.
    pub(crate) fn batch(&self) {
        self.batches.inc();
    }

    /// Takes note of how long a stop took to be in force.
    pub(crate) fn stopped_within(&self, took: Duration) {
        let bound = STOP_BOUNDS.iter().find(|(bound, _)| took <= *bound);
        let within = bound.map_or("longer", |(_, name)| *name);
        self.stops.get_or_create(&Stop { within }).inc();
        let micros = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        self.stop_micros_max.set(self.stop_micros_max.get().max(micros));
    }

    /// Durable transactions.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.get()
    }

    fn near(&self, warning: &Warning) {
        let (scope, name, window) = match &warning.limit {
            NearLimit::Ceiling { scope, name, window, measure: _ } => (scope.as_str(), name, window.as_str()),
            NearLimit::Balance { name } => ("wallet", name, "balance"),
        };
        self.warnings.get_or_create(&Near { scope, name: name.clone(), window }).inc();
    }

    /// Puts every counter under its name.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let Self { decisions, warnings, resolved, reports, voided, batches, stops, stop_micros_max } = self;
        registry.register("voids_signed", "Signatures made that void a payment", voided.clone());
        let help = "Operators' stops, by the time from their arrival until nothing left any more";
        registry.register("stops", help, stops.clone());
        registry.register("stop_micros_max", "The slowest stop, in microseconds", stop_micros_max.clone());
        registry.register("decisions", "What the gate answered", decisions.clone());
        registry.register("limit_warnings", "Permits that left a limit near", warnings.clone());
        registry.register("holds_resolved", "Holds that a chain resolved", resolved.clone());
        registry.register("reports", "Claims of agents", reports.clone());
        registry.register("batches", "Durable transactions", batches.clone());
    }
}

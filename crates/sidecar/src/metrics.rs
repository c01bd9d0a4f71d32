//! What is counted for dashboards and alerts. The journal is the record; these are hints that are gone after a restart.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use pursekeeper_core::gate::Answer;
use pursekeeper_core::{NearLimit, Warning};

/// Counters since start.
#[derive(Debug, Default)]
pub struct Metrics {
    decisions: Family<Decision, Counter>,
    warnings: Family<Near, Counter>,
    resolved: Family<Resolved, Counter>,
    reports: Counter,
    batches: Counter,
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
            Answer::Nothing(_) => {}
        }
    }

    /// Counts a durable transaction.
    pub(crate) fn batch(&self) {
        self.batches.inc();
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
        let Self { decisions, warnings, resolved, reports, batches } = self;
        registry.register("decisions", "What the gate answered", decisions.clone());
        registry.register("limit_warnings", "Permits that left a limit near", warnings.clone());
        registry.register("holds_resolved", "Holds that a chain resolved", resolved.clone());
        registry.register("reports", "Claims of agents", reports.clone());
        registry.register("batches", "Durable transactions", batches.clone());
    }
}

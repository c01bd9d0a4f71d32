//! What is counted for dashboards and alerts. The journal is the record; these are hints that are gone after a restart.

mod timing;

pub(crate) use timing::{Stage, Timing};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use pursekeeper_core::gate::Answer;
use pursekeeper_core::{Flip, NearLimit, ReloadKind, UnixSeconds, Warning};

/// Counters since start.
#[derive(Debug, Default)]
pub struct Metrics {
    decisions: Family<Decision, Counter>,
    warnings: Family<Near, Counter>,
    resolved: Family<Resolved, Counter>,
    reports: Counter,
    voided: Counter,
    batches: Counter,
    timing: Timing,
    unauthenticated: Family<Refused, Counter>,
    connections: Family<Connected, Gauge>,
    turned_away: Family<TurnedAway, Counter>,
    sandbox: Gauge,
    checkpoint_size: Gauge,
    checkpoint_at: Gauge,
    checkpoints_failed: Family<Destination, Counter>,
    reloads: Family<Reloaded, Counter>,
    reloaded_at: Family<Loaded, Gauge>,
    shadowed: Family<Shadowed, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shadowed {
    flip: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reloaded {
    what: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Loaded {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Destination {
    destination: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Connected {
    listener: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnedAway {
    listener: &'static str,
    reason: &'static str,
}

/// A connection that is open, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
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

    /// Counts an answer of the shadow bundle, by what would change under it.
    pub(crate) fn shadowed(&self, flip: Flip) {
        self.shadowed.get_or_create(&Shadowed { flip: flip.as_str() }).inc();
    }

    /// Counts a durable transaction.
    pub(crate) fn batch(&self) {
        self.batches.inc();
    }

    /// How long things take.
    pub(crate) fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Counts a call of nobody, by the code it was refused with.
    pub(crate) fn unauthenticated(&self, reason: &str) {
        self.unauthenticated.get_or_create(&Refused { reason: reason.to_owned() }).inc();
    }

    /// Counts a connection of a listener until what is returned is dropped.
    pub(crate) fn connected(&self, listener: &str) -> OpenConnection {
        let gauge = self.connections.get_or_create_owned(&Connected { listener: listener.to_owned() });
        gauge.inc();
        OpenConnection(gauge)
    }

    /// Counts a connection of a listener that was closed before it could ask for anything.
    pub(crate) fn turned_away(&self, listener: &'static str, reason: &'static str) {
        self.turned_away.get_or_create(&TurnedAway { listener, reason }).inc();
    }

    /// Takes note of whether the process has given up what it does not need (`sandbox` in the configuration).
    pub fn sandboxed(&self, active: bool) {
        self.sandbox.set(i64::from(active));
    }

    /// Takes note of a checkpoint that everybody has who is to have it.
    pub(crate) fn checkpoint(&self, size: u64, at: UnixSeconds) {
        self.checkpoint_size.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.checkpoint_at.set(i64::try_from(at.0).unwrap_or(i64::MAX));
    }

    /// Counts a checkpoint that somebody did not get.
    pub(crate) fn checkpoint_failed(&self, destination: &'static str) {
        self.checkpoints_failed.get_or_create(&Destination { destination }).inc();
    }

    /// Counts something that was read again: `applied`, `unchanged` or `refused`.
    pub(crate) fn reloaded(&self, kind: ReloadKind, result: &'static str) {
        self.reloads.get_or_create(&Reloaded { what: kind.as_str(), result }).inc();
    }

    /// Takes note that what is on disk is in force.
    pub(crate) fn loaded(&self, kind: ReloadKind, at: UnixSeconds) {
        let at = i64::try_from(at.0).unwrap_or(i64::MAX);
        self.reloaded_at.get_or_create(&Loaded { what: kind.as_str() }).set(at);
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
        let Self { decisions, warnings, resolved, reports, voided, batches, timing, .. } = self;
        let Self { unauthenticated, connections, turned_away, sandbox, shadowed, .. } = self;
        timing.register(registry);
        let help = "What the shadow bundle would have answered, by what would change under it";
        registry.register("shadow_decisions", help, shadowed.clone());
        let help = "Calls of somebody whom the registry does not know, by the code they were refused with";
        registry.register("unauthenticated", help, unauthenticated.clone());
        registry.register("connections", "Open connections", connections.clone());
        let help = "Connections that were closed before they could ask for anything, and why";
        registry.register("connections_refused", help, turned_away.clone());
        let help = "1 while the process cannot do what it does not need (`sandbox`)";
        registry.register("sandbox_active", help, sandbox.clone());
        let Self { checkpoint_size, checkpoint_at, checkpoints_failed, reloads, reloaded_at, .. } = self;
        let help = "What was read again because it changed on disk, or an operator wanted it";
        registry.register("reloads", help, reloads.clone());
        let help = "When what is on disk was last found to be in force, in Unix seconds";
        registry.register("reload_last_success_timestamp_seconds", help, reloaded_at.clone());
        registry.register("checkpoint_seq", "The last record under a checkpoint", checkpoint_size.clone());
        let help = "When the last checkpoint was handed out; its age is the time since then";
        registry.register("checkpoint_timestamp_seconds", help, checkpoint_at.clone());
        let help = "Checkpoints that a destination did not take";
        registry.register("checkpoints_failed", help, checkpoints_failed.clone());
        registry.register("voids_signed", "Signatures made that void a payment", voided.clone());
        registry.register("decisions", "What the gate answered", decisions.clone());
        registry.register("limit_warnings", "Permits that left a limit near", warnings.clone());
        registry.register("holds_resolved", "Holds that a chain resolved", resolved.clone());
        registry.register("reports", "Claims of agents", reports.clone());
        registry.register("batches", "Durable transactions", batches.clone());
    }
}

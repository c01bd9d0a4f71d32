//! What Prometheus reads.

mod spending;

use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::Gatehouse;
use super::chains::Chains;
use super::storage::{Measured, Storage};
use crate::sinks::SinkState;

/// What begins every metric's name.
const PREFIX: &str = "pursekeeper";

/// What is looked at for each scrape.
#[derive(Clone)]
pub(super) struct Scraped {
    pub(super) gatehouse: Arc<Gatehouse>,
    pub(super) chains: Chains,
    pub(super) storage: Storage,
    pub(super) sinks: Vec<Arc<SinkState>>,
    /// The journal's file, which is read beside the gate.
    pub(super) journal: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sink {
    sink: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Network {
    network: String,
}

impl Scraped {
    /// Everything, in OpenMetrics text. It looks at the gate, which may wait for whoever is in it.
    pub(super) fn text(&self, ready: bool) -> Option<String> {
        let mut text = String::new();
        encode(&mut text, &self.registry(ready)).ok().map(|()| text)
    }

    fn registry(&self, ready: bool) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        self.gatehouse.metrics().register(&mut registry);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which release this is", version);
        let queue_len = u64::try_from(self.gatehouse.queue_len()).unwrap_or(u64::MAX);
        spending::register(&mut registry, &self.gatehouse, &self.journal);
        let gauge = |value: u64| {
            let gauge = Gauge::<i64>::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            gauge
        };
        registry.register("queue_len", "Requests that wait for the gate", gauge(queue_len));
        let serving = u64::from(self.gatehouse.problems().is_empty());
        registry.register("serving", "1 while payments can be signed", gauge(serving));
        let help = "1 while the sidecar is started, can sign and does not stop: what /readyz says";
        registry.register("ready", help, gauge(u64::from(ready)));
        let clock_off = u64::from(self.gatehouse.clock_problem().is_some());
        registry.register("clock_unbelieved", "1 while the clock jumped or went back", gauge(clock_off));
        let seq = *self.gatehouse.durable_seq().borrow();
        registry.register("journal_seq", "The last durable record", gauge(seq));
        let (measured, warnings) = self.storage.report();
        let Measured {
            journal_bytes,
            reusable_bytes,
            wal_bytes,
            free_bytes,
            archived_through,
            pruned_through,
        } = measured;
        let gauges = [
            ("journal_bytes", "The journal's file", journal_bytes),
            ("journal_reusable_bytes", "What is free inside the journal's file", reusable_bytes),
            ("journal_wal_bytes", "The journal's write-ahead log", wal_bytes),
            ("disk_free_bytes", "What is free on the journal's disk", free_bytes),
            ("archived_seq", "Every record up to this one is archived", archived_through),
            ("pruned_seq", "What nothing needs is deleted up to this record", pruned_through),
            (
                "storage_warnings",
                "What is worth saying about disk and archive now",
                u64::try_from(warnings.len()).unwrap_or(u64::MAX),
            ),
        ];
        for (name, help, value) in gauges {
            registry.register(name, help, gauge(value));
        }
        let (blocks, reads) = (Family::<Network, Gauge>::default(), Family::<Network, Gauge>::default());
        for chain in self.chains.report() {
            let network = Network { network: chain.network };
            blocks.get_or_create(&network).set(i64::try_from(chain.block).unwrap_or(i64::MAX));
            reads.get_or_create(&network).set(i64::try_from(chain.read_at).unwrap_or(i64::MAX));
        }
        registry.register("chain_block", "The latest final block that was read", blocks);
        registry.register("chain_read_timestamp_seconds", "The last round that succeeded", reads);
        self.register_sinks(&mut registry, seq);
        registry
    }

    /// How the sinks are doing, of a journal that ends at `seq`.
    fn register_sinks(&self, registry: &mut Registry, seq: u64) {
        if self.sinks.is_empty() {
            return;
        }
        let gauge = |value: &dyn Fn(&SinkState) -> u64| {
            let family = Family::<Sink, Gauge>::default();
            for state in &self.sinks {
                let sink = Sink { sink: state.name.clone() };
                family.get_or_create(&sink).set(i64::try_from(value(state)).unwrap_or(i64::MAX));
            }
            family
        };
        let counter = |value: &dyn Fn(&SinkState) -> u64| {
            let family = Family::<Sink, Counter>::default();
            for state in &self.sinks {
                family.get_or_create(&Sink { sink: state.name.clone() }).inc_by(value(state));
            }
            family
        };
        let up = gauge(&|state| u64::from(state.down().is_none()));
        registry.register("sink_up", "1 while the sink takes records", up);
        let lag = gauge(&|state| seq.saturating_sub(state.acked()));
        registry.register("sink_lag_records", "Records the sink has not acknowledged", lag);
        let help = "How long the oldest record has waited that the sink has not acknowledged";
        registry.register("sink_lag_seconds", help, gauge(&SinkState::lag_secs));
        let exported = counter(&SinkState::exported);
        registry.register("sink_exported", "Records the sink has acknowledged", exported);
        registry.register("sink_failures", "Tries that failed", counter(&SinkState::failures));
        let help = "Records that were archived before the sink could get them";
        registry.register("sink_missed", help, counter(&SinkState::missed));
        let help = "Records that the receiver rejected";
        registry.register("sink_rejected", help, counter(&SinkState::rejected));
    }
}

//! How long things take, and how many are done at once.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The bounds of durations, in microseconds: from a decision that waits for nothing to a call that was cut off.
const BOUNDS_MICROS: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];
/// The bounds of batches.
const BOUNDS_LEN: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// A part of the road of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// From its arrival until the batch it is in is judged.
    Wait,
    /// Resolving it and evaluating policies.
    Decide,
    /// Writing the batch it is in to the disk.
    Commit,
    /// Making the signature.
    Sign,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Staged {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    call: String,
}

/// Durations and lengths since start.
#[derive(Debug)]
pub(crate) struct Timing {
    calls: Family<Call, Histogram, fn() -> Histogram>,
    stages: Family<Staged, Histogram, fn() -> Histogram>,
    /// The same as in `stages`, found without looking for them.
    wait: Histogram,
    decide: Histogram,
    commit: Histogram,
    sign: Histogram,
    commits: Histogram,
    batch_len: Histogram,
    stops: Histogram,
}

impl Default for Timing {
    fn default() -> Self {
        let stages = Family::new_with_constructor(durations as fn() -> Histogram);
        let stage = |stage| stages.get_or_create_owned(&Staged { stage });
        let [wait, decide, commit, sign] = ["wait", "decide", "commit", "sign"].map(stage);
        Self {
            calls: Family::new_with_constructor(durations),
            wait,
            decide,
            commit,
            sign,
            stages,
            commits: durations(),
            batch_len: Histogram::new(BOUNDS_LEN.map(f64::from)),
            stops: durations(),
        }
    }
}

fn durations() -> Histogram {
    Histogram::new(BOUNDS_MICROS.map(|micros| Duration::from_micros(micros).as_secs_f64()))
}

impl Timing {
    /// Takes note of a call that was answered.
    pub(crate) fn call(&self, call: &str, took: Duration) {
        self.calls.get_or_create(&Call { call: call.to_owned() }).observe(took.as_secs_f64());
    }

    /// Takes note of a part of a request's road.
    pub(crate) fn stage(&self, stage: Stage, took: Duration) {
        let histogram = match stage {
            Stage::Wait => &self.wait,
            Stage::Decide => &self.decide,
            Stage::Commit => &self.commit,
            Stage::Sign => &self.sign,
        };
        histogram.observe(took.as_secs_f64());
    }

    /// Takes note of a durable transaction of `len` requests.
    pub(crate) fn batch(&self, len: usize, took: Duration) {
        self.commits.observe(took.as_secs_f64());
        if let Ok(len) = u32::try_from(len)
            && len > 0
        {
            self.batch_len.observe(f64::from(len));
            (0..len).for_each(|_| self.stage(Stage::Commit, took));
        }
    }

    /// Takes note of how long a stop took to be in force.
    pub(crate) fn stop(&self, took: Duration) {
        self.stops.observe(took.as_secs_f64());
    }

    /// Puts everything under its name.
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { calls, stages, wait: _, decide: _, commit: _, sign: _, commits, batch_len, stops } = self;
        let mut seconds = |name: &str, help: &str, histogram: &Histogram| {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        };
        seconds("commit_duration", "Durable transactions, by how long writing one took", commits);
        let help = "Operators' stops, from their arrival until nothing left any more";
        seconds("stop_duration", help, stops);
        let help = "Calls, from their arrival until the answer began";
        registry.register_with_unit("request_duration", help, Unit::Seconds, calls.clone());
        let help = "Requests, by how long each stage of theirs took";
        registry.register_with_unit("stage_duration", help, Unit::Seconds, stages.clone());
        registry.register("batch_len", "Requests in one durable transaction", batch_len.clone());
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn durations_are_in_seconds() {
        let (timing, mut registry, mut text) = (Timing::default(), Registry::default(), String::new());
        timing.batch(2, Duration::from_micros(300));
        timing.stop(Duration::from_secs(1));
        timing.call("Signer/SignPayment", Duration::from_millis(2));
        timing.stage(Stage::Decide, Duration::from_micros(20));
        timing.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        for line in [
            "batch_len_sum 2.0",
            "commit_duration_seconds_sum 0.0003",
            r#"commit_duration_seconds_bucket{le="0.0005"} 1"#,
            r#"stage_duration_seconds_count{stage="commit"} 2"#,
            r#"stage_duration_seconds_bucket{le="0.00005",stage="decide"} 1"#,
            r#"stop_duration_seconds_bucket{le="1.0"} 1"#,
            r#"request_duration_seconds_sum{call="Signer/SignPayment"} 0.002"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}

//! How a sink is doing: told to metrics, to the log, and to whoever decides whether signing goes on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::SinkError;

/// Most moments that are remembered to tell how old the oldest waiting record is.
const MARKS_LEN_MAX: usize = 64;

/// One sink, as it is now.
#[derive(Debug)]
pub(crate) struct SinkState {
    pub(crate) name: String,
    acked: AtomicU64,
    exported: AtomicU64,
    missed: AtomicU64,
    rejected: AtomicU64,
    failures: AtomicU64,
    lag_secs: AtomicU64,
    tried: AtomicBool,
    /// Why the last try failed, if it did.
    down: Mutex<Option<String>>,
}

impl SinkState {
    pub(super) fn new(name: &str, acked: u64) -> Self {
        Self {
            name: name.to_owned(),
            acked: AtomicU64::new(acked),
            exported: AtomicU64::default(),
            missed: AtomicU64::default(),
            rejected: AtomicU64::default(),
            failures: AtomicU64::default(),
            lag_secs: AtomicU64::default(),
            tried: AtomicBool::default(),
            down: Mutex::default(),
        }
    }

    /// The last record it has acknowledged.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Acquire)
    }

    /// Records acknowledged since start.
    pub(crate) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// Records that were not in the journal any more when it was their turn.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Records that the receiver never wants.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Tries that failed since start.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How long the oldest record has waited that it has not acknowledged, in seconds.
    pub(crate) fn lag_secs(&self) -> u64 {
        self.lag_secs.load(Ordering::Relaxed)
    }

    /// Why it does not take records, if it does not.
    pub(crate) fn down(&self) -> Option<String> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it was tried since start.
    pub(super) fn tried(&self) -> bool {
        self.tried.load(Ordering::Acquire)
    }

    pub(super) fn note_lag(&self, lag: Duration) {
        self.lag_secs.store(lag.as_secs(), Ordering::Relaxed);
    }

    /// Takes note that records were acknowledged up to `acked`.
    pub(super) fn note_acked(&self, acked: u64, records: u64, missed: u64) {
        if missed > 0 {
            warn!(sink = %self.name, missed, "records were archived before this sink existed: import them from the archive");
        }
        self.missed.fetch_add(missed, Ordering::Relaxed);
        self.exported.fetch_add(records, Ordering::Relaxed);
        self.acked.store(acked, Ordering::Release);
        self.tried.store(true, Ordering::Release);
        if self.set_down(None).is_some() {
            info!(sink = %self.name, acked, "the sink takes records again");
        }
    }

    /// Takes note that the receiver rejected a record and gets the next one.
    pub(super) fn note_rejected(&self, seq: u64, why: &str) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        warn!(sink = %self.name, seq, why, "the receiver rejected a record: it is not sent again");
    }

    /// Takes note of a try that failed. Only the first one is logged.
    pub(super) fn note_failure(&self, error: &SinkError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.tried.store(true, Ordering::Release);
        if self.set_down(Some(error.to_string())).is_none() {
            warn!(sink = %self.name, acked = self.acked(), %error, "the sink takes no records: it is tried until it does");
        }
    }

    fn set_down(&self, why: Option<String>) -> Option<String> {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *down, why)
    }
}

/// Since when records wait: a few moments, and which records were durable then.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<(Instant, u64)>);

impl Marks {
    /// Records up to `durable` have waited since `since`.
    pub(super) fn waiting(since: Instant, durable: u64) -> Self {
        Self([(since, durable)].into())
    }

    /// How long the oldest record has waited that is not acknowledged.
    pub(super) fn lag(&mut self, now: Instant, durable: u64, acked: u64) -> Duration {
        while self.0.front().is_some_and(|(_, seq)| *seq <= acked) {
            self.0.pop_front();
        }
        if durable > acked && self.0.back().is_none_or(|(_, seq)| *seq < durable) {
            if self.0.len() >= MARKS_LEN_MAX {
                // Every second one says enough; the oldest stays.
                let mut keep = false;
                self.0.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
            self.0.push_back((now, durable));
        }
        self.0.front().map_or(Duration::ZERO, |(since, _)| now.saturating_duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, secs: u64) -> Instant {
        start.checked_add(Duration::from_secs(secs)).unwrap()
    }

    #[test]
    fn the_lag_is_the_age_of_the_oldest_record_that_waits() {
        let start = Instant::now();
        let mut marks = Marks::default();
        let mut at = |secs, durable, acked| marks.lag(after(start, secs), durable, acked).as_secs();
        assert_eq!(at(0, 0, 0), 0, "nothing waits");
        assert_eq!(at(1, 5, 0), 0);
        assert_eq!(at(3, 9, 0), 2, "record 1 since second 1");
        assert_eq!(at(4, 9, 5), 1, "record 6 since second 3");
        assert_eq!(at(5, 9, 9), 0);
        assert_eq!(at(90, 10, 9), 0, "what was idle was not behind");
    }

    #[test]
    fn what_waited_before_the_start_counts() {
        let start = Instant::now();
        let mut marks = Marks::waiting(start, 7);
        assert_eq!(marks.lag(after(start, 60), 7, 3).as_secs(), 60);
        assert_eq!(marks.lag(after(start, 60), 7, 7).as_secs(), 0);
    }

    #[test]
    fn a_long_lag_takes_no_more_memory_and_is_not_forgotten() {
        let start = Instant::now();
        let mut marks = Marks::default();
        for second in 1..=10_000_u64 {
            marks.lag(after(start, second), second, 0);
        }
        assert!(marks.0.len() <= MARKS_LEN_MAX);
        assert_eq!(marks.lag(after(start, 10_001), 10_000, 0).as_secs(), 10_000);
    }

    #[test]
    fn a_state_is_told_once_it_changes() {
        let state = SinkState::new("siem", 3);
        assert!(!state.tried());
        state.note_failure(&SinkError::Interrupted);
        assert!(state.tried() && state.down().is_some() && state.failures() == 1);
        state.note_acked(9, 6, 0);
        assert_eq!((state.acked(), state.exported(), state.down()), (9, 6, None));
    }
}

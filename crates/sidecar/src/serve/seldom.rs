//! What strangers can cause is said now and then, so that they cannot fill a disk with our log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two times that the same is said.
const INTERVAL: Duration = Duration::from_secs(1);

/// Something that is said at most once in an interval.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    at: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// Whether it is to be said now; if so, how often it was not said since the last time.
    pub(super) fn now(&self) -> Option<u64> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.at.is_some_and(|at| now.saturating_duration_since(at) < INTERVAL) {
            said.unsaid = said.unsaid.saturating_add(1);
            return None;
        }
        said.at = Some(now);
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_and_then_with_what_was_left_out() {
        let (seldom, begun) = (Seldom::default(), Instant::now());
        let said = |after_ms| seldom.at(begun + Duration::from_millis(after_ms));
        assert_eq!([0, 1, 999].map(said), [Some(0), None, None]);
        assert_eq!([1000, 1500, 3000].map(said), [Some(2), None, Some(1)]);
    }
}

//! What stops signing besides the journal and the clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Reasons for not signing, by who gave them. Stops and everything else that moves no money go on.
#[derive(Debug, Default)]
pub(crate) struct Halts {
    any: AtomicBool,
    reasons: Mutex<BTreeMap<String, String>>,
}

impl Halts {
    /// Gives a reason, or takes it back. Whether that changed anything.
    pub(crate) fn set(&self, by: &str, reason: Option<String>) -> bool {
        let mut reasons = self.lock();
        let before = match reason.clone() {
            Some(reason) => reasons.insert(by.to_owned(), reason),
            None => reasons.remove(by),
        };
        self.any.store(!reasons.is_empty(), Ordering::Release);
        before != reason
    }

    /// The first reason, if there is one. It costs next to nothing while there is none.
    pub(crate) fn first(&self) -> Option<String> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        self.lock().values().next().cloned()
    }

    /// Every reason.
    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_goes_on_when_the_last_reason_is_taken_back() {
        let halts = Halts::default();
        let reason = |text: &str| Some(text.to_owned());
        assert!(!halts.set("a", None) && halts.first().is_none());
        assert!(halts.set("a", reason("x")) && !halts.set("a", reason("x")) && halts.set("b", reason("y")));
        assert_eq!((halts.first(), halts.all().len()), (reason("x"), 2));
        assert!(halts.set("a", None));
        assert_eq!(halts.first(), reason("y"));
        assert!(halts.set("b", None) && halts.first().is_none());
    }
}

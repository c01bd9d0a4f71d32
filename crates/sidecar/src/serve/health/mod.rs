//! Whether the sidecar lives, has started and is ready, for whoever probes it.
//!
//! Probes never look at the gate themselves: they are told what was seen last. So a disk that hangs makes the sidecar not
//! ready, and neither blocks a probe nor ends a process that a restart would not help.

mod port;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) use port::HealthPort;

/// How old what was seen last may be before nobody relies on it.
const LOOK_AGE_SECS_MAX: u64 = 10;

/// One thing that must be well, and what is wrong with it if anything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What is wrong.
    pub(crate) problem: Option<String>,
}

/// What was seen last, shared by whoever looks and whoever asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Outlook(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    looked: Mutex<Option<(Instant, Vec<Check>)>>,
    serving: AtomicBool,
    stopping: AtomicBool,
}

impl Check {
    fn of(name: &'static str, problem: Option<String>) -> Self {
        Self { name, problem }
    }
}

impl Outlook {
    /// Takes note of what was seen.
    pub(super) fn note(&self, checks: Vec<Check>) {
        *self.0.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), checks));
    }

    /// From here on calls are answered.
    pub(super) fn serving(&self) {
        self.0.serving.store(true, Ordering::Release);
    }

    /// From here on nothing new is accepted.
    pub(super) fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// What must be well for payments to be sent here.
    fn readiness(&self) -> Vec<Check> {
        let (age, mut checks) = match &*self.0.looked.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, checks)) => (at.elapsed(), checks.clone()),
            None => (Duration::ZERO, Vec::new()),
        };
        let late = age > Duration::from_secs(LOOK_AGE_SECS_MAX);
        let late = late.then(|| format!("nothing was heard of it for {} s: look at the disk", age.as_secs()));
        let stopping = self.0.stopping.load(Ordering::Acquire);
        checks.push(Check::of("gate", late));
        checks.extend(self.startup());
        checks.push(Check::of("shutdown", stopping.then(|| "the sidecar is stopping".to_owned())));
        checks
    }

    /// What must be well for the start to be over.
    fn startup(&self) -> Vec<Check> {
        let begun = self.0.serving.load(Ordering::Acquire);
        vec![Check::of("listeners", (!begun).then(|| "nothing is listened to yet".to_owned()))]
    }

    /// Whether payments should be sent here.
    pub(super) fn is_ready(&self) -> bool {
        self.readiness().iter().all(|check| check.problem.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_only_who_serves_sees_no_problem_and_does_not_stop() {
        let wrong = |outlook: &Outlook| -> Vec<&'static str> {
            let checks = outlook.readiness().into_iter();
            checks.filter(|check| check.problem.is_some()).map(|check| check.name).collect()
        };
        let outlook = Outlook::default();
        assert_eq!(wrong(&outlook), ["listeners"]);
        outlook.serving();
        outlook.note(vec![Check::of("journal", None)]);
        assert!(outlook.is_ready());
        outlook.note(vec![Check::of("journal", Some("full".to_owned())), Check::of("clock", None)]);
        assert_eq!(wrong(&outlook), ["journal"]);
        outlook.note(Vec::new());
        outlook.stopping();
        assert_eq!(wrong(&outlook), ["shutdown"]);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(LOOK_AGE_SECS_MAX + 1)).unwrap();
        *outlook.0.looked.lock().unwrap() = Some((long_ago, Vec::new()));
        assert_eq!(wrong(&outlook), ["gate", "shutdown"]);
    }
}

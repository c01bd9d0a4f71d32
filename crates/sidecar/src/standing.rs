//! Who may not sign, in memory, at this instant.
//!
//! The gate decides under the journal's statuses; a signature is made after that, outside the gate. In between an
//! operator may suspend its wallet. So every signer holds a read guard here from before the signature is made until it
//! is handed off, and a suspension takes the write guard before it is answered: when it has been answered, nothing of
//! that subject leaves any more.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use pursekeeper_core::{Signable, Status, Subject};

/// The subjects that were stopped since start. What was stopped before is denied by the gate.
#[derive(Debug, Default)]
pub struct Standing {
    stopped: RwLock<BTreeSet<Subject>>,
}

/// Held while a signature is made and handed off.
#[derive(Debug)]
pub struct Clearance<'a> {
    _guard: RwLockReadGuard<'a, BTreeSet<Subject>>,
}

impl Standing {
    /// Leave to sign, unless one of the subjects has been stopped.
    #[must_use]
    pub fn clear(&self, what: &Signable) -> Option<Clearance<'_>> {
        let guard = self.stopped.read().unwrap_or_else(PoisonError::into_inner);
        let stopped = what.subjects().iter().any(|subject| guard.contains(subject));
        (!stopped).then_some(Clearance { _guard: guard })
    }

    /// Puts decisions in force, all at once. Returns when every signature under way has been handed off.
    pub fn set(&self, decided: impl IntoIterator<Item = (Subject, Status)>) {
        let mut stopped = self.stopped.write().unwrap_or_else(PoisonError::into_inner);
        for (subject, status) in decided {
            if status.is_stopped() {
                stopped.insert(subject);
            } else {
                stopped.remove(&subject);
            }
        }
    }
}

//! Who may not sign, in memory, at this instant.
//!
//! The gate decides under the journal's statuses; a signature is made after that, outside the gate. In between an
//! operator may suspend its wallet. So every signer holds a read guard here from before the signature is made until it
//! is handed off, and a suspension takes the write guard before it is answered: when it has been answered, nothing of
//! that subject leaves any more.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use pursekeeper_core::{Signable, Status, Subject};

/// The subjects that operators have stopped since start. What was stopped before is denied by the gate.
#[derive(Debug, Default)]
pub struct Standing {
    suspended: RwLock<BTreeSet<Subject>>,
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
        let guard = self.suspended.read().unwrap_or_else(PoisonError::into_inner);
        let stopped = what.subjects().iter().any(|subject| guard.contains(subject));
        (!stopped).then_some(Clearance { _guard: guard })
    }

    /// Puts an operator's decision in force. Returns when every signature of the subject under way has been handed off.
    pub fn set(&self, subject: Subject, status: Status) {
        let mut suspended = self.suspended.write().unwrap_or_else(PoisonError::into_inner);
        match status {
            Status::Active => suspended.remove(&subject),
            Status::Suspended => suspended.insert(subject),
        };
    }
}

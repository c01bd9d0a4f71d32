//! What the writer knows without reading.

use pursekeeper_core::{
    Address, BundleId, Credit, JournalId, PayeeState, PendingAct, Scope, ServiceName, Status, Subject,
    UnixSeconds,
};

use super::SqliteJournal;
use crate::lives::KnownBackup;
use crate::usage::Usage;

impl SqliteJournal {
    /// Which journal this is.
    #[must_use]
    pub fn id(&self) -> JournalId {
        self.id
    }

    /// The last durable record, from 1.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.state.tip.seq
    }

    /// What operators decided last about a subject, under any of its names; active when they decided nothing.
    #[must_use]
    pub fn status(&self, names: &[Subject]) -> Status {
        self.state.status(names)
    }

    /// The governance bundle that was put in force last; nothing before the first.
    #[must_use]
    pub fn bundle(&self) -> Option<BundleId> {
        self.state.lives.bundle()
    }

    /// The acts that the registry did not contain yet, oldest first.
    #[must_use]
    pub fn pending_acts(&self) -> Vec<PendingAct> {
        self.state.lives.pending().cloned().collect()
    }

    /// The subjects that drain.
    #[must_use]
    pub fn draining(&self) -> Vec<Subject> {
        self.state.draining()
    }

    /// Everybody who was revoked, and the record that did it.
    #[must_use]
    pub fn revoked(&self) -> Vec<(Subject, u64)> {
        let revoked = self.state.statuses.iter().filter(|(_, (status, _))| *status == Status::Revoked);
        revoked.map(|(subject, (_, seq))| (subject.clone(), *seq)).collect()
    }

    /// The record that decided the status of a subject, by exactly this name.
    #[must_use]
    pub fn status_seq(&self, subject: &Subject) -> Option<u64> {
        self.state.statuses.get(subject).map(|(_, seq)| *seq)
    }

    /// Each address that replaced another in a rotation the registry contains, and the one it replaced.
    #[must_use]
    pub fn rotated(&self) -> Vec<(Address, Address)> {
        self.state.lives.rotated().collect()
    }

    /// The last backup of a wallet's key.
    #[must_use]
    pub fn backup(&self, wallet: Address) -> Option<&KnownBackup> {
        self.state.lives.backup(wallet)
    }

    /// What is known of a payee of a service, under any of the service's names.
    #[must_use]
    pub fn payee(&self, services: &[ServiceName], payee: Address) -> Option<PayeeState> {
        self.state.payees.state(services, payee)
    }

    /// How much of each window a scope has used at `now`.
    #[must_use]
    pub fn usage(&self, scope: &Scope, now: UnixSeconds) -> Usage {
        Usage::of(&self.state, scope, now)
    }

    /// What a wallet paid at a service that is called so, and what agents say is left of it.
    #[must_use]
    pub fn credit(&self, wallet: Address, service: &ServiceName) -> Credit {
        self.state.credit_at(wallet, service)
    }
}

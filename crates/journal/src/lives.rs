//! What the records say about lives: the bundle in force, acts that wait for the registry, backups and recoveries.
//!
//! It is small, and it follows from few records. The table `life` names those; opening a journal reads them again and
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_core::{
    Act, ActVerb, Address, Aim, BackupRecipient, BundleId, Detail, Entry, LifecycleDecision, PendingAct,
    Reviewed, Status, Subject, WalletName,
};

/// Why a record still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// It put the bundle in force.
    Bundle,
    /// It is an act the registry did not contain yet.
    Pending,
    /// It is a rotation that the registry contains.
    Rotated,
    /// It is the last backup of a wallet.
    Backup,
    /// It brought a wallet back that no operator has resumed since.
    Recovered,
}

impl Role {
    pub(crate) const ALL: [Self; 5] =
        [Self::Bundle, Self::Pending, Self::Rotated, Self::Backup, Self::Recovered];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Pending => "pending",
            Self::Rotated => "rotated",
            Self::Backup => "backup",
            Self::Recovered => "recovered",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// The last backup of a wallet's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBackup {
    /// The record of it.
    pub seq: u64,
    /// Who can open it.
    pub recipients: BTreeSet<BackupRecipient>,
}

/// Everything that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lives {
    /// The record that put the bundle in force, the bundle, and what was reviewed under it.
    bundle: Option<(u64, BundleId, Reviewed)>,
    pending: BTreeMap<u64, PendingAct>,
    /// By the address that came: its record, and the address that went.
    rotated: BTreeMap<Address, (u64, Address)>,
    backups: BTreeMap<Address, KnownBackup>,
    recovered: BTreeMap<Address, u64>,
}

impl Lives {
    pub(crate) fn bundle(&self) -> Option<BundleId> {
        self.bundle.as_ref().map(|(_, bundle, _)| *bundle)
    }

    pub(crate) fn reviewed(&self) -> Reviewed {
        self.bundle.as_ref().map(|(_, _, reviewed)| reviewed.clone()).unwrap_or_default()
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = &PendingAct> {
        self.pending.values()
    }

    /// Each address that replaced another, and the one it replaced.
    pub(crate) fn rotated(&self) -> impl Iterator<Item = (Address, Address)> {
        self.rotated.iter().map(|(new, (_, old))| (*new, *old))
    }

    pub(crate) fn backup(&self, wallet: Address) -> Option<&KnownBackup> {
        self.backups.get(&wallet)
    }

    /// Whether a wallet was brought back from its backup and no operator has resumed it since.
    pub(crate) fn is_recovered(&self, wallet: Address) -> bool {
        self.recovered.contains_key(&wallet)
    }

    /// Whether a record may change anything here.
    pub(crate) fn concerns(entry: &Entry) -> bool {
        match entry {
            Entry::Lifecycle(lifecycle) => lifecycle.denial.is_none(),
            Entry::Transition(_) => true,
            Entry::Payment(_)
            | Entry::Reissue(_)
            | Entry::Report(_)
            | Entry::Evidence(_)
            | Entry::SignIn(_)
            | Entry::Signatures(_)
            | Entry::Unauthenticated(_)
            | Entry::Repeated(_)
            | Entry::Reload(_) => false,
        }
    }

    /// Takes note of record `seq`.
    pub(crate) fn follow(&mut self, seq: u64, entry: &Entry) {
        match entry {
            Entry::Lifecycle(lifecycle) if lifecycle.denial.is_none() => self.follow_act(seq, lifecycle),
            Entry::Transition(transition) => {
                for done in &transition.completed {
                    if let Some(PendingAct { seq, wallet: _, aim: Aim::Replace { old, new } }) =
                        self.pending.remove(done)
                    {
                        self.rotated.insert(new, (seq, old));
                    }
                }
                if let Some(reviewed) = &transition.reviewed {
                    self.bundle = Some((seq, transition.bundle, reviewed.clone()));
                }
            }
            Entry::Lifecycle(_)
            | Entry::Payment(_)
            | Entry::Reissue(_)
            | Entry::Report(_)
            | Entry::Evidence(_)
            | Entry::SignIn(_)
            | Entry::Signatures(_)
            | Entry::Unauthenticated(_)
            | Entry::Repeated(_)
            | Entry::Reload(_) => {}
        }
        for (subject, status) in entry.statuses() {
            let Subject::Wallet(wallet) = subject else { continue };
            match status {
                Status::Active => self.resume(wallet),
                Status::Revoked => {
                    self.recovered.remove(&wallet);
                    // A key that ended for ever waits for nothing, and holds its wallet's name for no other.
                    self.pending.retain(|_, act| act.aim.address() != wallet);
                }
                Status::Draining | Status::Suspended | Status::Expired => {}
            }
        }
    }

    /// An operator answers for what a wallet spent elsewhere, also under the addresses it had before: they are resumed by
    /// no word of their own any more, and what was spent under them counts for the one they were replaced by.
    fn resume(&mut self, wallet: Address) {
        let mut address = Some(wallet);
        let mut seen = BTreeSet::new();
        while let Some(resumed) = address.filter(|address| seen.insert(*address)) {
            self.recovered.remove(&resumed);
            address = self.rotated.get(&resumed).map(|(_, old)| *old);
        }
    }

    fn follow_act(&mut self, seq: u64, lifecycle: &LifecycleDecision) {
        if let Some(pending) = pending_act(seq, lifecycle) {
            // The last word about what a wallet is to serve counts, and a key waits once.
            self.pending.retain(|_, other| !replaces(&pending, other));
            self.pending.insert(seq, pending);
        }
        if let Some((wallet, recipients)) = backup(lifecycle) {
            self.backups.insert(wallet, KnownBackup { seq, recipients: recipients.clone() });
        }
        if let Some(wallet) = recovered(lifecycle) {
            self.recovered.insert(wallet, seq);
        }
    }

    /// Takes note of a record that counts for one reason only.
    pub(crate) fn restore(&mut self, seq: u64, role: Role, entry: &Entry) -> Option<()> {
        match (role, entry) {
            (Role::Bundle, Entry::Transition(transition)) => {
                self.bundle = Some((seq, transition.bundle, transition.reviewed.clone()?));
            }
            (Role::Pending, Entry::Lifecycle(lifecycle)) => {
                self.pending.insert(seq, pending_act(seq, lifecycle)?);
            }
            (Role::Rotated, Entry::Lifecycle(lifecycle)) => {
                let Aim::Replace { old, new } = pending_act(seq, lifecycle)?.aim else { return None };
                self.rotated.insert(new, (seq, old));
            }
            (Role::Backup, Entry::Lifecycle(lifecycle)) => {
                let (wallet, recipients) = backup(lifecycle)?;
                self.backups.insert(wallet, KnownBackup { seq, recipients: recipients.clone() });
            }
            (Role::Recovered, Entry::Lifecycle(lifecycle)) => {
                self.recovered.insert(recovered(lifecycle)?, seq);
            }
            (_, _) => return None,
        }
        Some(())
    }

    /// The records that count, and why.
    pub(crate) fn roles(&self) -> BTreeSet<(u64, Role)> {
        let bundle = self.bundle.iter().map(|(seq, _, _)| (*seq, Role::Bundle));
        let pending = self.pending.keys().map(|seq| (*seq, Role::Pending));
        let rotated = self.rotated.values().map(|(seq, _)| (*seq, Role::Rotated));
        let backups = self.backups.values().map(|backup| (backup.seq, Role::Backup));
        let recovered = self.recovered.values().map(|seq| (*seq, Role::Recovered));
        bundle.chain(pending).chain(rotated).chain(backups).chain(recovered).collect()
    }
}

/// Whether of two acts that wait only the newer one can come true.
fn replaces(newer: &PendingAct, older: &PendingAct) -> bool {
    match (&newer.aim, &older.aim) {
        (Aim::Serve(a, _), Aim::Serve(b, _)) => a == b,
        (Aim::Serve(..), _) | (_, Aim::Serve(..)) => false,
        (a, b) => a.address() == b.address(),
    }
}

/// The wallet whose key an act handed out, and for whom, if it did.
fn backup(lifecycle: &LifecycleDecision) -> Option<(Address, &BTreeSet<BackupRecipient>)> {
    let Act { verb: ActVerb::Backup, subject: Subject::Wallet(wallet), detail, .. } = &lifecycle.act else {
        return None;
    };
    match detail {
        Detail::Recipients(recipients) if lifecycle.denial.is_none() => Some((*wallet, recipients)),
        Detail::Recipients(_)
        | Detail::None
        | Detail::Hold(_)
        | Detail::Payee(_)
        | Detail::NewKey { .. }
        | Detail::Successor(_)
        | Detail::Workflows(_) => None,
    }
}

/// The wallet that an act brought back from its backup, if it did.
fn recovered(lifecycle: &LifecycleDecision) -> Option<Address> {
    let Act { verb: ActVerb::Recover, subject: Subject::Wallet(wallet), .. } = lifecycle.act else {
        return None;
    };
    lifecycle.denial.is_none().then_some(wallet)
}

/// What an act wants the registry to say, if it wants anything.
fn pending_act(seq: u64, lifecycle: &LifecycleDecision) -> Option<PendingAct> {
    let named = || lifecycle.wallet.clone();
    let (wallet, aim): (Option<WalletName>, Aim) = match (lifecycle.act.verb, &lifecycle.act.detail) {
        (ActVerb::Create | ActVerb::Import, Detail::NewKey { wallet, address }) => {
            (Some(wallet.clone()), Aim::Declare(*address))
        }
        (ActVerb::Rotate, Detail::Successor(new)) => {
            let Subject::Wallet(old) = lifecycle.act.subject else { return None };
            (named(), Aim::Replace { old, new: *new })
        }
        (ActVerb::Reassign, Detail::Workflows(workflows)) => {
            let Subject::Wallet(address) = lifecycle.act.subject else { return None };
            (named(), Aim::Serve(address, workflows.clone()))
        }
        (_, _) => return None,
    };
    lifecycle.denial.is_none().then_some(())?;
    Some(PendingAct { seq, wallet: wallet?, aim })
}

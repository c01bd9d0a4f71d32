//! What follows from the bundle, the time and the records alone, and what a recorded act voids.

use std::collections::BTreeSet;

use crate::ports::{Hold, Judged, LedgerError, Nothing, Policy};
use crate::{
    ActVerb, Address, Aim, Cause, DecisionId, Entry, PendingAct, Reviewed, Status, StatusChange, Subject,
    Transition, WorkflowName,
};

use super::judge::Court;
use super::{VOIDS_PER_PAGE_MAX, VoidAsk};

/// Signatures that an act voids, as far as that can be.
pub(super) struct Page {
    pub(super) act: DecisionId,
    pub(super) after: u64,
    pub(super) holds: Vec<Hold>,
    pub(super) next: Option<u64>,
}

impl<P: Policy> Court<'_, P> {
    /// Judges whether anything follows that is not recorded yet.
    pub(super) fn transition(&self) -> Result<Judged, LedgerError> {
        let bundle = self.policy.bundle();
        let renewed = self.ledger.bundle() != Some(bundle);
        let reviewed = renewed.then(|| self.policy.registry().reviewed());
        let mut statuses = if renewed { self.changed_unseen() } else { Vec::new() };
        let mut completed = BTreeSet::new();
        for pending in self.ledger.pending_acts().iter().filter(|pending| self.is_declared(pending)) {
            completed.insert(pending.seq);
            statuses.extend(self.replaced(pending));
        }
        statuses.extend(self.without_workflow());
        statuses.extend(self.drained()?);
        if !renewed && completed.is_empty() && statuses.is_empty() {
            return Ok(Judged::Nothing(Nothing::NothingDue));
        }
        let transition = Transition { at: self.at, bundle, reviewed, completed, statuses };
        Ok(Judged::Entry(Entry::Transition(Box::new(transition))))
    }

    /// The signatures a recorded act voids. Nothing for any other record: what is not on disk voids nothing.
    pub(super) fn voidable(&self, ask: VoidAsk) -> Result<Page, LedgerError> {
        let VoidAsk { act, after } = ask;
        let none = Page { act, after, holds: Vec::new(), next: None };
        let Some(recorded) = self.ledger.act(act.seq)? else { return Ok(none) };
        if !matches!(recorded.verb, ActVerb::Revoke | ActVerb::CancelOutstanding) {
            return Ok(none);
        }
        let registry = self.policy.registry();
        let names = registry.subjects(&registry.current(&recorded.subject));
        let page = (after, VOIDS_PER_PAGE_MAX);
        let holds = self.ledger.exposed(&names, self.at.unix_seconds(), page)?;
        let full = holds.len() >= VOIDS_PER_PAGE_MAX;
        let next = holds.last().filter(|_| full).map(|hold| hold.seq);
        Ok(Page { act, after, holds, next })
    }

    /// Agents of which something changed that nobody may change unseen: a declaration that was reviewed is compared with
    /// what stands there now, also when it is not to be reviewed any more.
    fn changed_unseen(&self) -> Vec<StatusChange> {
        let registry = self.policy.registry();
        let before: Reviewed = self.ledger.reviewed();
        let suspend = |agent| StatusChange {
            subject: Subject::Agent(agent),
            status: Status::Suspended,
            cause: Cause::Review,
        };
        let mut changed = Vec::new();
        for (name, agent) in &registry.agents {
            let subject = Subject::Agent(name.clone());
            if self.decreed(&subject) >= Status::Suspended {
                continue;
            }
            let mut known = registry.names_of_agent(name).filter_map(|name| before.get(name)).flatten();
            let differs = |(key, value): (&String, &String)| {
                registry.reviewed_value(agent, key).is_none_or(|now| now != *value)
            };
            if known.any(differs) {
                changed.push(suspend(name.clone()));
            }
        }
        changed
    }

    /// Whether the registry says what a pending act wants it to say.
    fn is_declared(&self, pending: &PendingAct) -> bool {
        let registry = self.policy.registry();
        match &pending.aim {
            Aim::Declare(address) => registry.wallet_at(*address).is_some(),
            Aim::Replace { old, new } => {
                registry.wallet_at(*new).is_some_and(|(_, wallet)| wallet.was.contains(old))
            }
            Aim::Serve(address, workflows) => {
                registry.wallet_at(*address).is_some_and(|(_, wallet)| wallet.workflows == *workflows)
            }
        }
    }

    /// The address that was replaced drains. One that was stopped meanwhile stays so, and what takes its place is
    /// suspended: a new key is no way around a stop.
    fn replaced(&self, pending: &PendingAct) -> Vec<StatusChange> {
        let Aim::Replace { old, new } = pending.aim else { return Vec::new() };
        let change = |address, status| StatusChange {
            subject: Subject::Wallet(address),
            status,
            cause: Cause::Rotated,
        };
        match self.decreed(&Subject::Wallet(old)) {
            Status::Active => vec![change(old, Status::Draining)],
            Status::Draining | Status::Suspended | Status::Expired | Status::Revoked => {
                vec![change(new, Status::Suspended)]
            }
        }
    }

    /// Active wallets all of whose workflows have ended: there is nothing left that they are for. One that drains ends by
    /// itself.
    fn without_workflow(&self) -> Vec<StatusChange> {
        let registry = self.policy.registry();
        let ended = |name: &WorkflowName| self.has_ended(name);
        let idle = registry.wallets.values().filter(|wallet| {
            !wallet.workflows.is_empty()
                && wallet.workflows.iter().all(ended)
                && self.decreed(&Subject::Wallet(wallet.address)) == Status::Active
        });
        let suspend = |address| StatusChange {
            subject: Subject::Wallet(address),
            status: Status::Suspended,
            cause: Cause::WorkflowEnded,
        };
        idle.map(|wallet| suspend(wallet.address)).collect()
    }

    /// Whether a workflow's rights are over and do not come back by an operator's word.
    pub(super) fn has_ended(&self, name: &WorkflowName) -> bool {
        let expires = self.policy.registry().workflows.get(name).and_then(|workflow| workflow.expires);
        let expired = expires.is_some_and(|expires| self.at.unix_seconds() >= expires);
        expired || self.status(Subject::Workflow(name.clone())).is_ended()
    }

    /// What drains ends once nothing it signed can be settled any more, and so does an address that was rotated away and
    /// stopped. With a wallet ends its key: without a backup of it, that is for an operator to decide, because whatever
    /// money is left there would be lost.
    fn drained(&self) -> Result<Vec<StatusChange>, LedgerError> {
        let was = self.policy.registry().wallets.values().flat_map(|wallet| wallet.was.iter().copied());
        let stopped = was.map(Subject::Wallet).filter(|old| self.decreed(old) == Status::Suspended);
        let mut drained = Vec::new();
        for subject in self.ledger.draining().into_iter().chain(stopped) {
            if let Subject::Wallet(address) = subject
                && !self.ledger.has_backup(address)
            {
                continue;
            }
            let names = self.policy.registry().subjects(&subject);
            if self.ledger.exposed(&names, self.at.unix_seconds(), (0, 1))?.is_empty() {
                drained.push(StatusChange { subject, status: Status::Revoked, cause: Cause::Drained });
            }
        }
        Ok(drained)
    }

    /// The wallets that serve nothing but what ends with an act on a workflow.
    pub(super) fn cascade(&self, ending: &WorkflowName) -> BTreeSet<Address> {
        let registry = self.policy.registry();
        let ends = |name: &WorkflowName| name == ending || self.has_ended(name);
        let serving = registry.wallets.values().filter(|wallet| {
            wallet.workflows.contains(ending)
                && wallet.workflows.iter().all(ends)
                && self.decreed(&Subject::Wallet(wallet.address)) == Status::Active
        });
        serving.map(|wallet| wallet.address).collect()
    }

    /// The addresses a wallet had that still drain: who stops the wallet means them too.
    pub(super) fn predecessors(&self, address: Address) -> BTreeSet<Address> {
        let found = self.policy.registry().wallet_at(address);
        let was = found.into_iter().flat_map(|(_, wallet)| wallet.was.iter().copied());
        was.filter(|old| self.decreed(&Subject::Wallet(*old)) < Status::Suspended).collect()
    }

    /// What operators decided about a subject, under any of its names.
    pub(super) fn decreed(&self, subject: &Subject) -> Status {
        self.ledger.status(&self.policy.registry().subjects(subject))
    }
}

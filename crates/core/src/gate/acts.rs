//! An operator's request, judged inside the transaction that records the answer.

use std::collections::BTreeSet;

use crate::ports::{Hold, LedgerError, Policy, Verdict};
use crate::registry::{Registry, Wallet};
use crate::{
    Act, ActVerb, Address, Aim, Cancellation, ClockTrust, Denial, DenyCode, Detail, Entry, HoldState,
    LifecycleDecision, Moment, Status, Subject, WalletName,
};

use super::LifecycleAsk;
use super::judge::Court;

impl<P: Policy> Court<'_, P> {
    /// Judges an operator's act.
    pub(super) fn act(&self, ask: &LifecycleAsk) -> Result<Entry, LedgerError> {
        let act = self.completed(&ask.act);
        let (refused, cancellation) = match self.objection(&act)? {
            Ok(cancellation) => (None, cancellation),
            Err(denial) => (Some(denial), None),
        };
        let (denial, policies) = match (self.policy.decide_act(&act, self.at.unix_seconds()), refused) {
            (Verdict::Deny(code, policies), _) => (Some(Denial::by_policies(code, policies)), Vec::new()),
            (Verdict::Permit(_), Some(denial)) => (Some(denial), Vec::new()),
            (Verdict::Permit(policies), None) => (None, policies),
        };
        let accepted = denial.is_none() && act.verb == ActVerb::AcceptClock;
        let cascade = match (&denial, act.verb, &act.subject) {
            (None, ActVerb::Revoke, Subject::Workflow(name)) => self.cascade(name),
            (None, ActVerb::Suspend | ActVerb::Revoke, Subject::Wallet(address)) => {
                self.predecessors(*address)
            }
            (_, _, _) => BTreeSet::new(),
        };
        let wallet = match (act.verb, &act.subject) {
            (ActVerb::Rotate | ActVerb::Reassign, Subject::Wallet(address)) => {
                self.policy.registry().wallet_of(*address).map(|(name, _)| name.clone())
            }
            (_, _) => None,
        };
        Ok(Entry::Lifecycle(Box::new(LifecycleDecision {
            at: if accepted { self.claimed() } else { self.at },
            cancellation: cancellation.filter(|_| denial.is_none()),
            cascade,
            wallet: wallet.filter(|_| denial.is_none()),
            denial,
            policies,
            bundle: self.policy.bundle(),
            act,
        })))
    }

    /// The act with what only the registry says: who opens a backup.
    fn completed(&self, act: &Act) -> Act {
        let registry = self.policy.registry();
        match (act.verb, &act.subject) {
            (ActVerb::Backup, Subject::Wallet(address)) => {
                let found =
                    registry.wallet_of(*address).map(|(_, wallet)| registry.backup_recipients(wallet));
                Act { detail: Detail::Recipients(found.unwrap_or_default()), ..act.clone() }
            }
            (_, _) => act.clone(),
        }
    }

    /// Why an act cannot be done, whoever wants it; and what is signed with it otherwise.
    fn objection(&self, act: &Act) -> Result<Result<Option<Cancellation>, Denial>, LedgerError> {
        let refused = match act.verb {
            ActVerb::Release => self.not_releasable(act)?,
            ActVerb::AcceptClock => self.not_acceptable(),
            ActVerb::AcceptPayee => self.payee_not_acceptable(act),
            ActVerb::Cancel => return Ok(self.cancellation(act)?.map(Some)),
            ActVerb::Suspend | ActVerb::SuspendAll | ActVerb::Recover => self.revoked(&act.subject),
            ActVerb::Resume | ActVerb::ResumeAll => {
                self.revoked(&act.subject).or_else(|| self.superseded(&act.subject))
            }
            ActVerb::Retire => self.not_retirable(&act.subject),
            ActVerb::Create | ActVerb::Import => self.not_addable(act),
            ActVerb::Rotate => self.not_rotatable(act),
            ActVerb::Reassign => self.not_reassignable(act),
            ActVerb::Backup => self.revoked(&act.subject).or_else(|| no_recipients(act)),
            ActVerb::CancelOutstanding => self.still_active(&act.subject),
            ActVerb::Revoke | ActVerb::Reload => None,
        };
        Ok(refused.map_or(Ok(None), Err))
    }

    /// What was revoked is nothing any more.
    fn revoked(&self, subject: &Subject) -> Option<Denial> {
        let revoked = self.decreed(subject) == Status::Revoked;
        revoked
            .then(|| Denial::rule(DenyCode::Revoked, format!("{} `{subject}` was revoked", subject.kind())))
    }

    /// An address that was rotated away does not come back.
    fn superseded(&self, subject: &Subject) -> Option<Denial> {
        let Subject::Wallet(address) = subject else { return None };
        let (name, wallet) = self.policy.registry().wallet_of(*address)?;
        let what = || format!("wallet `{name}` has the address `{}` now", wallet.address);
        (wallet.address != *address).then(|| Denial::rule(DenyCode::WalletReplaced, what()))
    }

    /// Retiring must not loosen anything.
    fn not_retirable(&self, subject: &Subject) -> Option<Denial> {
        let suspended = self.decreed(subject) == Status::Suspended;
        let what = || format!("{} `{subject}` is suspended", subject.kind());
        self.revoked(subject).or_else(|| suspended.then(|| Denial::rule(DenyCode::NotActive, what())))
    }

    /// A key whose wallet is declared, whose address was revoked, or whose name another key waits for.
    fn not_addable(&self, act: &Act) -> Option<Denial> {
        let Detail::NewKey { wallet, address } = &act.detail else {
            return Some(Denial::rule(DenyCode::WalletUnknown, "no key is named"));
        };
        let declared = self.policy.registry().wallets.contains_key(wallet)
            || self.policy.registry().wallet_of(*address).is_some();
        if declared {
            let what = format!("wallet `{wallet}` is in registry.yaml already");
            return Some(Denial::rule(DenyCode::WalletDeclared, what));
        }
        self.revoked(&Subject::Wallet(*address)).or_else(|| self.waiting(wallet, *address))
    }

    fn not_rotatable(&self, act: &Act) -> Option<Denial> {
        let registry = self.policy.registry();
        let Some((name, wallet)) = wallet_of(registry, &act.subject) else {
            let what = format!("no wallet `{}`", act.subject);
            return Some(Denial::rule(DenyCode::SubjectUnknown, what));
        };
        let retired =
            self.decreed(&act.subject) == Status::Draining && act.subject == Subject::Wallet(wallet.address);
        let ends = || Denial::rule(DenyCode::NotActive, format!("wallet `{name}` is draining"));
        let stopped = self.revoked(&act.subject).or_else(|| self.superseded(&act.subject));
        if let Some(denial) = stopped.or_else(|| retired.then(ends)) {
            return Some(denial);
        }
        let Detail::Successor(new) = &act.detail else {
            return Some(Denial::rule(DenyCode::WalletUnknown, "no key is named"));
        };
        let taken = || {
            let what = format!("`{new}` is a wallet's address in registry.yaml already");
            registry.wallet_of(*new).map(|_| Denial::rule(DenyCode::WalletDeclared, what))
        };
        self.revoked(&Subject::Wallet(*new)).or_else(taken).or_else(|| self.waiting(name, *new))
    }

    /// Another key waits under this name until the registry contains it.
    fn waiting(&self, wallet: &WalletName, address: Address) -> Option<Denial> {
        let pending = self.ledger.pending_acts();
        let other = pending.iter().find(|pending| {
            let key = match pending.aim {
                Aim::Declare(key) | Aim::Replace { new: key, .. } => Some(key),
                Aim::Serve(..) => None,
            };
            pending.wallet == *wallet && key.is_some_and(|key| key != address)
        })?;
        let what = format!("wallet `{wallet}` is to have the address `{}`", other.aim.address());
        Some(Denial::rule(DenyCode::ActPending, what))
    }

    fn not_reassignable(&self, act: &Act) -> Option<Denial> {
        let Detail::Workflows(workflows) = &act.detail else {
            return Some(Denial::rule(DenyCode::WorkflowRequired, "no workflow is named"));
        };
        if workflows.is_empty() {
            return Some(Denial::rule(DenyCode::WorkflowRequired, "no workflow is named"));
        }
        let registry = self.policy.registry();
        if let Subject::Wallet(address) = act.subject
            && registry.wallet_of(address).is_none()
        {
            return Some(Denial::rule(DenyCode::SubjectUnknown, format!("no wallet `{address}`")));
        }
        let unknown = workflows.iter().find(|name| !registry.workflows.contains_key(*name));
        unknown
            .map(|name| Denial::rule(DenyCode::WorkflowUnknown, format!("no workflow `{name}`")))
            .or_else(|| self.revoked(&act.subject))
            .or_else(|| self.superseded(&act.subject))
    }

    /// What is active would go on signing what is being voided.
    fn still_active(&self, subject: &Subject) -> Option<Denial> {
        let active = self.status(subject.clone()) == Status::Active;
        let what = || format!("{} `{subject}` is active", subject.kind());
        active.then(|| Denial::rule(DenyCode::SubjectActive, what()))
    }

    /// What the clock says, believed or not.
    fn claimed(&self) -> Moment {
        self.around.at
    }

    /// The money an act is about, which must be held, by the wallet that is named.
    fn held(&self, act: &Act) -> Result<Result<Hold, Denial>, LedgerError> {
        let unknown = |what: &str| Ok(Err(Denial::rule(DenyCode::HoldUnknown, what)));
        let Some(seq) = act.hold() else { return unknown("no hold is named") };
        let Some(hold) = self.ledger.hold(seq)? else { return unknown("no such hold") };
        if act.subject != Subject::Wallet(hold.permit.intent.wallet_address) {
            return unknown("the hold is another wallet's");
        }
        if hold.state != HoldState::Held {
            return unknown("the hold is resolved already");
        }
        Ok(Ok(hold))
    }

    /// Why the money of a hold cannot be released. A signature that is alive can still be settled, whoever says so.
    fn not_releasable(&self, act: &Act) -> Result<Option<Denial>, LedgerError> {
        let hold = match self.held(act)? {
            Ok(hold) => hold,
            Err(denial) => return Ok(Some(denial)),
        };
        if self.at.unix_seconds() <= hold.permit.held_until {
            let what = format!("the signature can be settled until {}", hold.permit.held_until);
            return Ok(Some(Denial::rule(DenyCode::HoldAlive, what)));
        }
        Ok(None)
    }

    /// What voids the signature of a hold. The hold stays until a chain says that it was handed in before the payment was.
    fn cancellation(&self, act: &Act) -> Result<Result<Cancellation, Denial>, LedgerError> {
        let not_cancellable =
            || Denial::rule(DenyCode::HoldNotCancellable, "Permit2 takes no signature that voids another");
        let held = self.held(act)?;
        Ok(held.and_then(|hold| Cancellation::of(&hold.permit.intent).ok_or_else(not_cancellable)))
    }

    /// A clock that is behind cannot be confirmed: what was spent would look younger than it is.
    fn not_acceptable(&self) -> Option<Denial> {
        match self.trust {
            ClockTrust::Sound(_) | ClockTrust::Jumped { .. } => None,
            ClockTrust::Regressed { behind_ms } => {
                let what = format!("the clock is {behind_ms} ms behind the journal");
                Some(Denial::rule(DenyCode::ClockRegressed, what))
            }
        }
    }
}

/// A backup that nobody could open is none.
fn no_recipients(act: &Act) -> Option<Denial> {
    match &act.detail {
        Detail::Recipients(recipients) if !recipients.is_empty() => None,
        Detail::Recipients(_)
        | Detail::None
        | Detail::Hold(_)
        | Detail::Payee(_)
        | Detail::NewKey { .. }
        | Detail::Successor(_)
        | Detail::Workflows(_) => {
            Some(Denial::rule(DenyCode::NoRecipients, "no recovery team of the wallet has a recipient"))
        }
    }
}

fn wallet_of<'r>(registry: &'r Registry, subject: &Subject) -> Option<(&'r WalletName, &'r Wallet)> {
    match subject {
        Subject::Wallet(address) => registry.wallet_of(*address),
        Subject::Agent(_) | Subject::Workflow(_) | Subject::Service(_) | Subject::Sidecar => None,
    }
}

//! An operator's request, judged inside the transaction that records the answer.

use crate::ports::{Hold, LedgerError, Policy, Verdict};
use crate::{
    Act, ActVerb, Cancellation, ClockTrust, Denial, DenyCode, Entry, HoldState, LifecycleDecision, Moment,
    Subject,
};

use super::LifecycleAsk;
use super::judge::Court;

impl<P: Policy> Court<'_, P> {
    /// Judges an operator's act.
    pub(super) fn act(&self, ask: &LifecycleAsk) -> Result<Entry, LedgerError> {
        let (refused, cancellation) = match ask.act.verb {
            ActVerb::Release => (self.not_releasable(&ask.act)?, None),
            ActVerb::AcceptClock => (self.not_acceptable(), None),
            ActVerb::AcceptPayee => (self.payee_not_acceptable(&ask.act), None),
            ActVerb::Cancel => match self.cancellation(&ask.act)? {
                Ok(cancellation) => (None, Some(cancellation)),
                Err(denial) => (Some(denial), None),
            },
            ActVerb::Suspend | ActVerb::Resume => (None, None),
        };
        let (denial, policies) = match (self.policy.decide_act(&ask.act, self.at.unix_seconds()), refused) {
            (Verdict::Deny(code, policies), _) => (Some(Denial::by_policies(code, policies)), Vec::new()),
            (Verdict::Permit(_), Some(denial)) => (Some(denial), Vec::new()),
            (Verdict::Permit(policies), None) => (None, policies),
        };
        let accepted = denial.is_none() && ask.act.verb == ActVerb::AcceptClock;
        Ok(Entry::Lifecycle(Box::new(LifecycleDecision {
            at: if accepted { self.claimed() } else { self.at },
            act: ask.act.clone(),
            cancellation: cancellation.filter(|_| denial.is_none()),
            denial,
            policies,
            bundle: self.policy.digest(),
        })))
    }

    /// What the clock says, believed or not.
    fn claimed(&self) -> Moment {
        self.around.at
    }

    /// The money an act is about, which must be held, by the wallet that is named.
    fn held(&self, act: &Act) -> Result<Result<Hold, Denial>, LedgerError> {
        let unknown = |what: &str| Ok(Err(Denial::rule(DenyCode::HoldUnknown, what)));
        let Some(seq) = act.hold else { return unknown("no hold is named") };
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

//! An operator's request, judged inside the transaction that records the answer.

use crate::ports::{LedgerError, Policy, Verdict};
use crate::{
    Act, ActVerb, ClockTrust, Denial, DenyCode, Entry, HoldState, LifecycleDecision, Moment, Subject,
};

use super::LifecycleAsk;
use super::judge::Court;

impl<P: Policy> Court<'_, P> {
    /// Judges an operator's act.
    pub(super) fn act(&self, ask: &LifecycleAsk) -> Result<Entry, LedgerError> {
        let refused = match ask.act.verb {
            ActVerb::Release => self.not_releasable(&ask.act)?,
            ActVerb::AcceptClock => self.not_acceptable(),
            ActVerb::AcceptPayee => self.payee_not_acceptable(&ask.act),
            ActVerb::Suspend | ActVerb::Resume => None,
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
            denial,
            policies,
            bundle: self.policy.digest(),
        })))
    }

    /// What the clock says, believed or not.
    fn claimed(&self) -> Moment {
        self.around.at
    }

    /// Why the money of a hold cannot be released. A signature that is alive can still be settled, whoever says so.
    fn not_releasable(&self, act: &Act) -> Result<Option<Denial>, LedgerError> {
        let unknown = |what: &str| Some(Denial::rule(DenyCode::HoldUnknown, what));
        let Some(seq) = act.hold else { return Ok(unknown("no hold is named")) };
        let Some(hold) = self.ledger.hold(seq)? else { return Ok(unknown("no such hold")) };
        if act.subject != Subject::Wallet(hold.permit.intent.wallet_address) {
            return Ok(unknown("the hold is another wallet's"));
        }
        if hold.state != HoldState::Held {
            return Ok(unknown("the hold is resolved already"));
        }
        if self.at.unix_seconds() <= hold.permit.held_until {
            let what = format!("the signature can be settled until {}", hold.permit.held_until);
            return Ok(Some(Denial::rule(DenyCode::HoldAlive, what)));
        }
        Ok(None)
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

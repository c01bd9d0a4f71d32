//! What agents claim and chains prove about payments that were signed.

use crate::ports::{Hold, Judged, LedgerError, Nothing, Policy};
use crate::{CLAIMS_PER_HOLD_MAX, Entry, Evidence, Fate, HoldState, Report};

use super::judge::Court;
use super::{EvidenceAsk, ReportAsk};

impl<P: Policy> Court<'_, P> {
    /// Keeps an agent's word beside the hold. It changes nothing.
    pub(super) fn report(&self, ask: &ReportAsk) -> Result<Judged, LedgerError> {
        let ReportAsk { caller, hold, claim } = ask;
        let registry = self.policy.registry();
        let own = |hold: &Hold| {
            registry.names_of_agent(&caller.agent).any(|name| *name == hold.permit.intent.agent)
        };
        // Somebody else's payment and none at all look the same.
        let Some(hold) = self.ledger.hold(*hold)?.filter(own) else {
            return Ok(Judged::Nothing(Nothing::PaymentUnknown));
        };
        if hold.claims >= CLAIMS_PER_HOLD_MAX {
            return Ok(Judged::Nothing(Nothing::ClaimsExhausted));
        }
        Ok(Judged::Entry(Entry::Report(Box::new(Report {
            at: self.at,
            caller: caller.clone(),
            original_seq: hold.seq,
            claim: claim.clone(),
        }))))
    }

    /// Resolves a hold by what a chain says. Evidence that does not fit the hold resolves nothing.
    pub(super) fn evidence(&self, ask: &EvidenceAsk) -> Result<Judged, LedgerError> {
        let EvidenceAsk { hold, fate, observation } = ask;
        let held = |hold: &Hold| {
            hold.state == HoldState::Held && hold.permit.intent.terms.asset.network == observation.network
        };
        let Some(hold) = self.ledger.hold(*hold)?.filter(held) else {
            return Ok(Judged::Nothing(Nothing::HoldResolved));
        };
        let intent = &hold.permit.intent;
        let state = match *fate {
            // Nobody can take more than was signed: whoever says so is wrong about everything.
            Fate::Settled { amount } if amount > intent.terms.amount => {
                return Ok(Judged::Nothing(Nothing::HoldResolved));
            }
            Fate::Settled { amount } => {
                HoldState::Settled { amount, usd: intent.usd.share(amount, intent.terms.amount) }
            }
            Fate::Dead => HoldState::Released,
        };
        Ok(Judged::Entry(Entry::Evidence(Box::new(Evidence {
            at: self.at,
            original_seq: hold.seq,
            observation: observation.clone(),
            state,
        }))))
    }
}

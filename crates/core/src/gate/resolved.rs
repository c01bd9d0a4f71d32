//! What agents claim and chains prove about payments that were signed.

use crate::ports::{Hold, Judged, LedgerError, Nothing, Policy};
use crate::{
    AgentName, CLAIMS_PER_HOLD_MAX, CLAIMS_PER_SIGN_IN_MAX, Entry, Evidence, Fate, HoldState, Report,
    WorkflowName,
};

use super::judge::Court;
use super::{EvidenceAsk, ReportAsk};

impl<P: Policy> Court<'_, P> {
    /// Keeps an agent's word beside the permit. It moves no money.
    pub(super) fn report(&self, ask: &ReportAsk) -> Result<Judged, LedgerError> {
        let ReportAsk { caller, original_seq, said } = ask;
        let registry = self.policy.registry();
        let own = |agent: &AgentName, workflow: &WorkflowName| {
            registry.names_of_agent(&caller.agent).any(|name| name == agent)
                && !self.is_off_listener(caller, workflow)
        };
        let of = |hold: &Hold| own(&hold.permit.intent.agent, &hold.permit.intent.workflow);
        let hold = self.ledger.hold(*original_seq)?.filter(of);
        let (service, claims, claims_max) = match hold {
            Some(hold) => (hold.permit.intent.service, hold.claims, CLAIMS_PER_HOLD_MAX),
            None => match (self.ledger.sign_in(*original_seq)?)
                .filter(|past| own(&past.intent.agent, &past.intent.workflow))
            {
                Some(_) if said.outcome().is_some() => return Ok(Judged::Nothing(Nothing::NotAPayment)),
                Some(past) => (past.intent.service, past.claims, CLAIMS_PER_SIGN_IN_MAX),
                // Somebody else's and none at all look the same.
                None => return Ok(Judged::Nothing(Nothing::PaymentUnknown)),
            },
        };
        if claims >= claims_max {
            return Ok(Judged::Nothing(Nothing::ClaimsExhausted));
        }
        let prepaid = service.is_some_and(|service| registry.prepaid(&service).is_some());
        if said.remaining().is_some() && !prepaid {
            return Ok(Judged::Nothing(Nothing::NotPrepaid));
        }
        Ok(Judged::Entry(Entry::Report(Box::new(Report {
            at: self.at,
            caller: caller.clone(),
            original_seq: *original_seq,
            said: said.clone(),
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

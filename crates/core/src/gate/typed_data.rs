//! What an app that builds typed data itself wants signed, judged inside the transaction that records the answer.

use crate::ports::{Hold, LedgerError, Policy, Verdict};
use crate::typed_data::{TypedData, TypedPayment, TypedPermit};
use crate::{
    Amount, Demand, Denial, DenyCode, Entry, Intent, Mode, OfferVerdict, Outcome, Reissue, Signable,
    TransferMethod,
};

use super::TypedDataAsk;
use super::judge::{Court, Petition};

impl<P: Policy> Court<'_, P> {
    /// Judges a request for a signature over typed data.
    pub(super) fn typed_data(&self, ask: &TypedDataAsk) -> Result<Entry, LedgerError> {
        let petition = Petition { asked: &ask.asked, mode: Mode::Enforce, fingerprint: ask.fingerprint() };
        match &ask.content {
            Err(refusal) => Ok(self.denied(petition, Denial::rule(refusal.code, &refusal.what))),
            Ok(TypedData::Payment(wanted)) => self.typed_payment(petition, wanted),
            Ok(TypedData::Permit(wanted)) => self.typed_permit(petition, wanted),
        }
    }

    /// A payment: the same road as an offer, with the app's own nonce and validity.
    fn typed_payment(&self, petition: Petition<'_>, wanted: &TypedPayment) -> Result<Entry, LedgerError> {
        if let Some(entry) = self.settled_already(petition)? {
            return Ok(entry);
        }
        let intent = self.resolver(petition.asked).and_then(|resolver| resolver.typed(wanted));
        let intent = match intent {
            Ok(intent) => intent,
            Err(denial) => return Ok(self.denied(petition, denial)),
        };
        if self.ledger.nonce_used(intent.wallet_address, intent.nonce)? {
            let what = format!("wallet `{}` has signed with this nonce before", intent.wallet);
            return Ok(self.refused(petition, Denial::rule(DenyCode::NonceReused, what), intent));
        }
        let (denial, outcome) = match self.judge(petition.asked, intent) {
            Ok(permit) => (None, Outcome::Permit(Box::new(permit))),
            Err((denial, intent)) => (Some(denial.clone()), Outcome::Deny { denial, intent }),
        };
        Ok(self.decided(petition, vec![OfferVerdict { index: 0, denial }], outcome))
    }

    /// An allowance: signed for a payment of the same agent that is held, for exactly its amount and as long as it lives.
    fn typed_permit(&self, petition: Petition<'_>, wanted: &TypedPermit) -> Result<Entry, LedgerError> {
        if let Some(denial) = self.untimely() {
            return Ok(self.denied(petition, denial));
        }
        let allowance = match self.resolver(petition.asked).and_then(|resolver| resolver.granting(wanted)) {
            Ok(allowance) => allowance,
            Err(denial) => return Ok(self.denied(petition, denial)),
        };
        let TypedPermit { owner, asset, value, deadline, nonce: _, asset_domain: _ } = wanted;
        if *value == Amount::MAX {
            let denial = Denial::rule(DenyCode::ApprovalUnlimited, "the permit has no limit");
            return Ok(self.denied(petition, denial));
        }
        let registry = self.policy.registry();
        let caller = &petition.asked.caller.agent;
        let paid_for = |hold: &Hold| {
            let intent = &hold.permit.intent;
            registry.names_of_agent(caller).any(|name| *name == intent.agent)
                && intent.demand == Demand::TypedData
                && intent.terms.method == TransferMethod::Permit2
                && intent.deadline() == *deadline
                && self.at.unix_seconds() < intent.valid_before
        };
        let Some(hold) = self.ledger.held_alike(*owner, asset, *value)?.into_iter().find(paid_for) else {
            let what = "no payment of this agent that is alive has this amount and deadline";
            return Ok(self.denied(petition, Denial::rule(DenyCode::AllowanceUnpaid, what)));
        };
        let intent = hold.permit.intent;
        if let Some(denial) = self.inactive(intent.subjects(), &intent.workflow) {
            return Ok(self.refused(petition, denial, intent));
        }
        let facts = self.facts(petition.asked, &intent);
        let granting = Intent { allowance: Some(allowance), ..intent.clone() };
        Ok(match self.policy.decide_allowance(&granting, &facts) {
            Verdict::Deny(code, policies) => {
                self.refused(petition, Denial::by_policies(code, policies), intent)
            }
            Verdict::Permit(policies) => Entry::Reissue(Box::new(Reissue {
                at: self.at,
                asked: self.heard(petition.asked),
                original_seq: hold.seq,
                what: Signable::Allowance(intent, allowance),
                policies,
                bundle: self.policy.bundle(),
            })),
        })
    }

    fn refused(&self, petition: Petition<'_>, denial: Denial, intent: Intent) -> Entry {
        self.decided(petition, Vec::new(), Outcome::Deny { denial, intent: Some(Box::new(intent)) })
    }
}

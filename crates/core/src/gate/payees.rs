//! Payees that no list accepts, where the registry leaves them to the operators.

use crate::ports::Policy;
use crate::registry::FirstUse;
use crate::{
    Act, Address, Denial, DenyCode, Mode, Outcome, PENDING_PAYEES_MAX, PayeeState, PendingPayee, ServiceName,
    Subject,
};

use super::judge::Court;

impl<P: Policy> Court<'_, P> {
    /// Whether a service may pay an address: the registry lists it, or leaves it to the operators and one of them
    /// accepted it.
    pub(super) fn payee_accepted(&self, service: &ServiceName, payee: Address) -> bool {
        let declared = self.policy.registry().services.get(service);
        declared.is_some_and(|declared| declared.payees.list.contains(&payee))
            || self
                .left_to_operators(service)
                .is_some_and(|names| self.ledger.payee(&names, payee) == Some(PayeeState::Accepted))
    }

    /// The payee that a refusal leaves to the operators. Only the first refusal does, and a preview never: it binds
    /// nothing and is free, so nothing may follow from it.
    pub(super) fn left_pending(&self, mode: Mode, outcome: &Outcome) -> Option<PendingPayee> {
        let (Mode::Enforce, Outcome::Deny { denial, intent: Some(intent) }) = (mode, outcome) else {
            return None;
        };
        let service = intent.service.as_ref().filter(|_| denial.code == DenyCode::PayeeUnaccepted)?;
        let names = self.left_to_operators(service)?;
        let payee = intent.terms.payee;
        let known = self.ledger.payee(&names, payee).is_some();
        let full = self.ledger.pending_payees(&names) >= PENDING_PAYEES_MAX;
        (!known && !full).then(|| PendingPayee { service: service.clone(), payee })
    }

    /// Why a payee cannot be accepted. One that nobody asked to pay cannot: the operator would have it from elsewhere,
    /// and what is known from elsewhere belongs into the registry, where it is reviewed.
    pub(super) fn payee_not_acceptable(&self, act: &Act) -> Option<Denial> {
        let unknown = |what: String| Some(Denial::rule(DenyCode::PayeeUnknown, what));
        let Subject::Service(service) = &act.subject else {
            return unknown(format!("{} `{}` has no payees", act.subject.kind(), act.subject));
        };
        let Some(payee) = act.payee() else { return unknown("no payee is named".to_owned()) };
        let Some(names) = self.left_to_operators(service) else {
            return unknown(format!("service `{service}` does not say `first_use: pending`"));
        };
        match self.ledger.payee(&names, payee) {
            // Accepted again it is what it was, so that whoever is in doubt may repeat it.
            Some(PayeeState::Pending | PayeeState::Accepted) => None,
            None => unknown(format!("`{payee}` does not wait at service `{service}`")),
        }
    }

    /// The names of a service whose payees are left to the operators; nothing when the registry alone says who they are.
    /// Then what operators said once counts for nothing: a bundle narrows.
    fn left_to_operators(&self, service: &ServiceName) -> Option<Vec<ServiceName>> {
        let registry = self.policy.registry();
        match registry.services.get(service)?.payees.first_use {
            FirstUse::Refused => None,
            FirstUse::Pending => Some(registry.names_of_service(service).cloned().collect()),
        }
    }
}

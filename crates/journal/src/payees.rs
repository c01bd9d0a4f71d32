//! Payees that refusals left to the operators, and what became of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pursekeeper_core::{Address, PayeeState, ServiceName};

/// What the records say about one payee of one service. One that is neither is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    /// The refusal that left it to the operators.
    pub(crate) pending: Option<u64>,
    /// The first act that accepted it.
    pub(crate) accepted: Option<u64>,
}

impl Standing {
    /// This and what another record adds: of two that say the same, the earlier one counts.
    pub(crate) fn or(self, later: Self) -> Self {
        Self { pending: self.pending.or(later.pending), accepted: self.accepted.or(later.accepted) }
    }

    fn state(self) -> PayeeState {
        if self.accepted.is_some() { PayeeState::Accepted } else { PayeeState::Pending }
    }
}

/// Every payee that operators were asked about or decided on, by the name its service had then.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Payees(HashMap<ServiceName, BTreeMap<Address, Standing>>);

impl Payees {
    /// How a payee stands under any of a service's names: accepted under one is accepted.
    pub(crate) fn state(&self, services: &[ServiceName], payee: Address) -> Option<PayeeState> {
        let standings = services.iter().filter_map(|service| self.0.get(service)?.get(&payee));
        standings.copied().reduce(Standing::or).map(Standing::state)
    }

    /// How many payees wait under any of a service's names.
    pub(crate) fn pending_len(&self, services: &[ServiceName]) -> usize {
        let known = services.iter().filter_map(|service| self.0.get(service)).flat_map(BTreeMap::keys);
        let known: BTreeSet<Address> = known.copied().collect();
        known.into_iter().filter(|payee| self.state(services, *payee) == Some(PayeeState::Pending)).count()
    }

    pub(crate) fn get(&self, service: &ServiceName, payee: Address) -> Option<Standing> {
        self.0.get(service)?.get(&payee).copied()
    }

    pub(crate) fn put(&mut self, service: ServiceName, payee: Address, standing: Standing) {
        self.0.entry(service).or_default().insert(payee, standing);
    }

    /// As if nothing had been said about it.
    pub(crate) fn remove(&mut self, service: &ServiceName, payee: Address) {
        let Some(payees) = self.0.get_mut(service) else { return };
        payees.remove(&payee);
        if payees.is_empty() {
            self.0.remove(service);
        }
    }
}

//! What is wrong, or worth a look, between several parts of the registry.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_core::registry::Registry;
use pursekeeper_core::{Address, ServiceName, TeamName, WalletName};

use super::START;
use super::fields::Findings;
use crate::yaml::Position;

/// Where things stand.
pub(super) struct Positions {
    pub(super) teams: BTreeMap<TeamName, Position>,
    pub(super) services: BTreeMap<ServiceName, Position>,
    pub(super) wallets: BTreeMap<WalletName, Position>,
}

/// Looks at the whole.
pub(super) fn review(registry: &Registry, positions: &Positions, findings: &mut Findings) {
    one_wallet_an_address(registry, positions, findings);
    shared_payees(registry, positions, findings);
    idle_services(registry, positions, findings);
    empty_teams(registry, positions, findings);
}

fn one_wallet_an_address(registry: &Registry, positions: &Positions, findings: &mut Findings) {
    let mut seen: BTreeMap<Address, &WalletName> = BTreeMap::new();
    for (name, wallet) in &registry.wallets {
        if let Some(other) = seen.insert(wallet.address, name) {
            let places = [other, name].map(|name| positions.wallets.get(name).copied().unwrap_or(START));
            let [first, second] = places;
            let (at, name, other) = if first < second { (second, name, other) } else { (first, other, name) };
            let what = format!(
                "wallet `{name}` has the address of wallet `{other}`: a wallet is its address: keep one"
            );
            findings.error(at, what);
        }
    }
}

/// A lying agent can say that it calls the one service and pay for the other.
fn shared_payees(registry: &Registry, positions: &Positions, findings: &mut Findings) {
    let mut seen: BTreeMap<Address, &ServiceName> = BTreeMap::new();
    for (name, service) in &registry.services {
        for payee in &service.payees {
            if let Some(other) = seen.insert(*payee, name) {
                let at = positions.services.get(name).copied().unwrap_or(START);
                let what = format!(
                    "services `{other}` and `{name}` share the payee {payee}: an agent can book a payment to it under either"
                );
                findings.warn(at, what);
            }
        }
    }
}

fn idle_services(registry: &Registry, positions: &Positions, findings: &mut Findings) {
    let used: BTreeSet<&ServiceName> =
        registry.workflows.values().flat_map(|workflow| &workflow.services).collect();
    for name in registry.services.keys().filter(|name| !used.contains(name)) {
        let at = positions.services.get(name).copied().unwrap_or(START);
        findings.warn(at, format!("no workflow uses service `{name}`"));
    }
}

fn empty_teams(registry: &Registry, positions: &Positions, findings: &mut Findings) {
    let staffed: BTreeSet<&TeamName> =
        registry.operators.values().flat_map(|operator| &operator.teams).collect();
    for (name, at) in positions.teams.iter().filter(|(name, _)| !staffed.contains(name)) {
        findings.warn(*at, format!("team `{name}` has no operator: nobody can act for it"));
    }
}

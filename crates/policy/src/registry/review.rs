//! What is wrong, or worth a look, between several parts of the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use pursekeeper_core::registry::{BackupRule, Registry, Wallet};
use pursekeeper_core::{Address, AgentName, ServiceName, TeamName, WalletName, WorkflowName};

use super::START;
use super::fields::Findings;
use crate::yaml::Position;

/// Where things stand.
pub(super) struct Positions {
    pub(super) teams: BTreeMap<TeamName, Position>,
    pub(super) services: BTreeMap<ServiceName, Position>,
    pub(super) wallets: BTreeMap<WalletName, Position>,
    pub(super) workflows: BTreeMap<WorkflowName, Position>,
    pub(super) agents: BTreeMap<AgentName, Position>,
}

/// Looks at the whole.
pub(super) fn review(registry: &Registry, positions: &Positions, findings: &mut Findings) {
    one_wallet_an_address(registry, positions, findings);
    shared_payees(registry, positions, findings);
    idle_services(registry, positions, findings);
    empty_teams(registry, positions, findings);
    backups_for_nobody(registry, positions, findings);
    let agents = registry.agents.iter().map(|(name, agent)| (name, &agent.was));
    former_names("agent", agents, &positions.agents, findings);
    let workflows = registry.workflows.iter().map(|(name, workflow)| (name, &workflow.was));
    former_names("workflow", workflows, &positions.workflows, findings);
    let services = registry.services.iter().map(|(name, service)| (name, &service.was));
    former_names("service", services, &positions.services, findings);
}

/// What was spent under a name belongs to one subject.
fn former_names<'r, N: Ord + Display + 'r>(
    noun: &str,
    subjects: impl Iterator<Item = (&'r N, &'r BTreeSet<N>)>,
    positions: &BTreeMap<N, Position>,
    findings: &mut Findings,
) {
    let mut claimed: BTreeMap<&N, &N> = BTreeMap::new();
    for (name, was) in subjects {
        let at = positions.get(name).copied().unwrap_or(START);
        for former in was {
            if positions.contains_key(former) {
                let what = format!(
                    "{noun} `{name}` was `{former}`, but there is a {noun} `{former}`: name one of them otherwise"
                );
                findings.error(at, what);
            }
            if let Some(other) = claimed.insert(former, name) {
                let what = format!("{noun} `{name}` and {noun} `{other}` both were `{former}`: keep one");
                findings.error(at, what);
            }
        }
    }
}

/// What an address spent belongs to one wallet, and what it has no other wallet had.
fn one_wallet_an_address(registry: &Registry, positions: &Positions, findings: &mut Findings) {
    let mut wallets: Vec<(Position, &WalletName, &Wallet)> = (registry.wallets.iter())
        .map(|(name, wallet)| (positions.wallets.get(name).copied().unwrap_or(START), name, wallet))
        .collect();
    wallets.sort_by_key(|(at, name, _)| (*at, *name));
    let mut seen: BTreeMap<Address, (&WalletName, bool)> = BTreeMap::new();
    for (at, name, wallet) in wallets {
        let was = wallet.was.iter().map(|address| (*address, false));
        for (address, is_current) in std::iter::once((wallet.address, true)).chain(was) {
            let Some((other, other_is_current)) = seen.insert(address, (name, is_current)) else { continue };
            let what = match (is_current, other_is_current) {
                _ if other == name => {
                    format!("wallet `{name}` was {address}, which it still is: take it out of `was`")
                }
                (true, true) => format!(
                    "wallet `{name}` has the address of wallet `{other}`: a wallet is its address: keep one"
                ),
                (true, false) => format!(
                    "wallet `{name}` has the address {address}, which wallet `{other}` was: an address does not come back: give it another"
                ),
                (false, true) => format!(
                    "wallet `{name}` was {address}, which wallet `{other}` is: an address does not come back: keep one"
                ),
                (false, false) => {
                    format!("wallet `{name}` and wallet `{other}` both were {address}: keep one")
                }
            };
            findings.error(at, what);
        }
    }
}

/// A backup that is required must be possible.
fn backups_for_nobody(registry: &Registry, positions: &Positions, findings: &mut Findings) {
    for (name, wallet) in &registry.wallets {
        let required = wallet.backup == BackupRule::Required;
        if required && registry.backup_recipients(wallet).is_empty() {
            let at = positions.wallets.get(name).copied().unwrap_or(START);
            let what = format!(
                "wallet `{name}` will sign nothing: it needs a backup, and nobody could open one: give a team of its `recovery` `backup_recipients`, or accept the loss of its key with `backup: none`"
            );
            findings.warn(at, what);
        }
    }
}

/// A lying agent can say that it calls the one service and pay for the other.
fn shared_payees(registry: &Registry, positions: &Positions, findings: &mut Findings) {
    let mut seen: BTreeMap<Address, &ServiceName> = BTreeMap::new();
    for (name, service) in &registry.services {
        for payee in &service.payees.list {
            if let Some(other) = seen.insert(*payee, name) {
                let at = positions.services.get(name).copied().unwrap_or(START);
                let what = format!(
                    "services `{other}` and `{name}` share the payee {payee}: the payee is what binds an agent that lies about its call, so it can book a payment there under either: have the seller name another address for one of them"
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

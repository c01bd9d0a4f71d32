//! What wallets paid ahead at prepaid services, and what agents say is left of it.

use std::collections::BTreeSet;

use pursekeeper_api::v1;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::registry::{Registry, Wallet};
use pursekeeper_core::{AgentName, Credit, DecisionId, ServiceName, WalletName, WorkflowName};
use pursekeeper_journal::SqliteJournal;

use crate::serve::Gatehouse;

/// What an agent may know: the credit of the wallets of its workflows, where these workflows may spend it.
pub(crate) fn of_agent(gatehouse: &Gatehouse, agent: &AgentName) -> Vec<v1::PrepaidCredit> {
    let policy = gatehouse.policy();
    let registry = policy.registry();
    let Some(declared) = registry.agents.get(agent) else { return Vec::new() };
    list(gatehouse, registry, |wallet, service, _| {
        spends(registry, declared.workflows.intersection(&wallet.workflows), service)
    })
}

/// The credit of every wallet, where one of its workflows may spend it or there is any.
pub(crate) fn all(gatehouse: &Gatehouse) -> Vec<v1::PrepaidCredit> {
    let policy = gatehouse.policy();
    let registry = policy.registry();
    list(gatehouse, registry, |wallet, service, credit| {
        *credit != Credit::default() || spends(registry, wallet.workflows.iter(), service)
    })
}

/// Whether one of the workflows uses a service.
fn spends<'w>(
    registry: &Registry,
    mut workflows: impl Iterator<Item = &'w WorkflowName>,
    service: &ServiceName,
) -> bool {
    workflows
        .any(|name| registry.workflows.get(name).is_some_and(|workflow| workflow.services.contains(service)))
}

fn list(
    gatehouse: &Gatehouse,
    registry: &Registry,
    shown: impl Fn(&Wallet, &ServiceName, &Credit) -> bool,
) -> Vec<v1::PrepaidCredit> {
    let prepaid: BTreeSet<&ServiceName> = registry
        .services
        .iter()
        .filter_map(|(name, service)| service.prepaid.is_some().then_some(name))
        .collect();
    gatehouse.with_journal(|journal| {
        let mut rows = Vec::new();
        for (name, wallet) in &registry.wallets {
            for service in &prepaid {
                let names = registry.names_of_service(service);
                let credit = names
                    .map(|name| journal.credit(wallet.address, name))
                    .fold(Credit::default(), Credit::plus);
                if shown(wallet, service, &credit) {
                    rows.push(row(journal, (name, service), credit));
                }
            }
        }
        rows
    })
}

fn row(
    journal: &SqliteJournal,
    (wallet, service): (&WalletName, &ServiceName),
    credit: Credit,
) -> v1::PrepaidCredit {
    let Credit { topped_up, claimed, sign_ins, last_sign_in: _ } = credit;
    let claimed = claimed.map(|claimed| v1::ClaimedCredit {
        usd: claimed.usd.to_string(),
        at: claimed.at.0,
        decision_id: DecisionId::new(journal.id(), claimed.seq).to_string(),
    });
    v1::PrepaidCredit {
        wallet: wallet.to_string(),
        service: service.to_string(),
        topped_up: topped_up.to_string(),
        claimed,
        sign_ins,
    }
}

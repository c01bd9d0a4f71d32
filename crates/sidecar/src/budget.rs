//! Every ceiling of the registry, next to what the journal counted.

use std::collections::BTreeMap;

use pursekeeper_api::v1;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::registry::{Ceilings, Registry};
use pursekeeper_core::{AgentName, Scope, Usd, Window};
use pursekeeper_journal::Usage;

use crate::serve::Gatehouse;

/// A subject, the name people know it by, and its limits.
type Limited<'r> = (Scope, String, &'r Ceilings);

/// What an agent may know: its own ceilings and those of its workflows.
pub(crate) fn of_agent(gatehouse: &Gatehouse, agent: &AgentName) -> Vec<v1::Budget> {
    let policy = gatehouse.policy();
    let registry = policy.registry();
    let Some(declared) = registry.agents.get(agent) else { return Vec::new() };
    let own = (Scope::Agent(agent.clone()), agent.to_string(), &declared.ceilings);
    let workflows = declared.workflows.iter().filter_map(|name| registry.workflows.get_key_value(name));
    let workflows = workflows
        .map(|(name, workflow)| (Scope::Workflow(name.clone()), name.to_string(), &workflow.ceilings));
    rows(gatehouse, registry, std::iter::once(own).chain(workflows).collect())
}

/// How full one ceiling is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    /// Of what kind the subject is.
    pub(crate) scope: String,
    /// What people call it.
    pub(crate) name: String,
    /// Over which time.
    pub(crate) window: String,
    /// How much of it is used, in millionths.
    pub(crate) millionths: u64,
}

/// How full every ceiling on a sum is; of one subject and window the fullest.
pub(crate) fn used(gatehouse: &Gatehouse) -> Vec<Used> {
    let mut fullest: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for budget in all(gatehouse) {
        let Some(millionths) = millionths(&budget) else { continue };
        let v1::Budget { scope, name, window, .. } = budget;
        let known = fullest.entry((scope, name, window)).or_default();
        *known = millionths.max(*known);
    }
    let used = fullest.into_iter();
    used.map(|((scope, name, window), millionths)| Used { scope, name, window, millionths }).collect()
}

/// How much of a budget is used. Of a limit on one payment nothing ever is; of a limit of nothing, all.
fn millionths(budget: &v1::Budget) -> Option<u64> {
    if budget.window == Window::Payment.as_str() {
        return None;
    }
    let read = |text: &str| match budget.unit.as_str() {
        "usd" => Usd::parse(text).ok().map(Usd::units),
        _ => text.parse().ok(),
    };
    let (limit, free) = (read(&budget.limit)?, read(&budget.free)?);
    let used = limit.saturating_sub(free).saturating_mul(1_000_000).checked_div(limit).unwrap_or(1_000_000);
    u64::try_from(used).ok()
}

/// Every ceiling there is.
pub(crate) fn all(gatehouse: &Gatehouse) -> Vec<v1::Budget> {
    let policy = gatehouse.policy();
    let Registry { agents, workflows, wallets, services, payees, .. } = policy.registry();
    let mut limited: Vec<Limited<'_>> = Vec::new();
    limited.extend(
        workflows
            .iter()
            .map(|(name, workflow)| (Scope::Workflow(name.clone()), name.to_string(), &workflow.ceilings)),
    );
    limited.extend(
        wallets
            .iter()
            .map(|(name, wallet)| (Scope::Wallet(wallet.address), name.to_string(), &wallet.ceilings)),
    );
    limited.extend(
        agents.iter().map(|(name, agent)| (Scope::Agent(name.clone()), name.to_string(), &agent.ceilings)),
    );
    limited.extend(
        services
            .iter()
            .map(|(name, service)| (Scope::Service(name.clone()), name.to_string(), &service.ceilings)),
    );
    limited.extend(
        payees.iter().map(|(address, ceilings)| (Scope::Payee(*address), address.to_string(), ceilings)),
    );
    rows(gatehouse, policy.registry(), limited)
}

fn rows(gatehouse: &Gatehouse, registry: &Registry, limited: Vec<Limited<'_>>) -> Vec<v1::Budget> {
    let now = gatehouse.now().unix_seconds();
    gatehouse.with_journal(|journal| {
        let used = |(scope, _, _): &Limited<'_>| {
            let names = registry.scopes(scope);
            let own = journal.usage(scope, now);
            names.iter().skip(1).fold(own, |used, former| used.plus(&journal.usage(former, now)))
        };
        limited.iter().flat_map(|limited| of(&used(limited), limited)).collect()
    })
}

/// The ceilings of one subject: dollars first, then numbers of payments and of sign-ins, shortest window first.
fn of(usage: &Usage, (scope, name, ceilings): &Limited<'_>) -> Vec<v1::Budget> {
    let used = |window: Window| usage.windows.iter().find(|used| used.window == window);
    let blank = |window: Window, unit: &str| v1::Budget {
        scope: scope.kind().as_str().to_owned(),
        name: name.clone(),
        window: window.to_string(),
        unit: unit.to_owned(),
        ..v1::Budget::default()
    };
    let usd = ceilings.usd.iter().map(|(window, limit)| {
        let (settled, held, frees_at) = match used(*window) {
            Some(used) => (used.settled, used.held, used.frees_at),
            // One payment at a time: nothing is ever used of it.
            None => (Usd::ZERO, Usd::ZERO, None),
        };
        let spent = settled.checked_add(held).unwrap_or(Usd::MAX);
        // Where everything counts as spent, the ceiling is all there is to say.
        let held = if spent == Usd::MAX { *limit } else { held };
        v1::Budget {
            limit: limit.to_string(),
            settled: settled.to_string(),
            held: held.to_string(),
            free: limit.checked_sub(spent).unwrap_or(Usd::ZERO).to_string(),
            frees_at: frees_at.map_or(0, |at| at.0),
            ..blank(*window, "usd")
        }
    });
    let payments = ceilings.payments.iter().map(|(window, limit)| {
        let (settled, held, frees_at) = match used(*window) {
            Some(used) => (used.settled_payments, used.held_payments, used.frees_at),
            None => (0, 0, None),
        };
        let held = if held == u64::MAX { *limit } else { held };
        v1::Budget {
            limit: limit.to_string(),
            settled: settled.to_string(),
            held: held.to_string(),
            free: limit.saturating_sub(settled.saturating_add(held)).to_string(),
            frees_at: frees_at.map_or(0, |at| at.0),
            ..blank(*window, "payments")
        }
    });
    let sign_ins = ceilings.sign_ins.iter().map(|(window, limit)| {
        let (count, frees_at) = used(*window).map_or((0, None), |used| (used.sign_ins, used.frees_at));
        let count = if count == u64::MAX { *limit } else { count };
        v1::Budget {
            limit: limit.to_string(),
            settled: "0".to_owned(),
            held: count.to_string(),
            free: limit.saturating_sub(count).to_string(),
            frees_at: frees_at.map_or(0, |at| at.0),
            ..blank(*window, "sign_ins")
        }
    });
    usd.chain(payments).chain(sign_ins).collect()
}

//! Which limits a permit leaves near.

use crate::registry::{Ceilings, Registry};
use crate::usd::reaches;
use crate::{Facts, Intent, Measure, NearLimit, Scope, ScopeKind, Totals, Warning, Window};

/// Every ceiling whose `warn_at` is reached, this payment included, and the wallet's `warn_below`.
pub(super) fn near(registry: &Registry, intent: &Intent, facts: &Facts) -> Vec<Warning> {
    let scopes = [
        Some(Scope::Workflow(intent.workflow.clone())),
        Some(Scope::Agent(intent.agent.clone())),
        Some(Scope::Wallet(intent.wallet_address)),
        intent.service.clone().map(Scope::Service),
        Some(Scope::Payee(intent.terms.payee)),
    ];
    let mut warnings = Vec::new();
    for scope in scopes.into_iter().flatten() {
        let Some(ceilings) = registry.ceilings(&scope) else { continue };
        let Some(percent) = ceilings.warn_at else { continue };
        let name = match scope.kind() {
            ScopeKind::Wallet => intent.wallet.to_string(),
            ScopeKind::Agent | ScopeKind::Workflow | ScopeKind::Service | ScopeKind::Payee => scope.name(),
        };
        let after = facts.after.get(scope.kind());
        for (window, measure, value, threshold) in reached(ceilings, percent, after) {
            let limit = NearLimit::Ceiling { scope: scope.kind(), name: name.clone(), window, measure };
            warnings.push(Warning { limit, value, threshold });
        }
    }
    warnings.extend(low_balance(registry, intent, facts));
    warnings
}

fn reached(ceilings: &Ceilings, percent: u8, after: &Totals) -> Vec<(Window, Measure, String, String)> {
    let Ceilings { usd, payments, sign_ins: _, warn_at: _ } = ceilings;
    let usd = usd.iter().filter_map(|(window, limit)| {
        let used = after.usd_in(*window)?;
        used.reaches(percent, *limit).then(|| (*window, Measure::Usd, used.to_string(), limit.to_string()))
    });
    let payments = payments.iter().filter_map(|(window, limit)| {
        let used = after.payments_in(*window)?;
        let near = reaches(used.into(), percent, (*limit).into());
        near.then(|| (*window, Measure::Payments, used.to_string(), limit.to_string()))
    });
    usd.chain(payments).collect()
}

fn low_balance(registry: &Registry, intent: &Intent, facts: &Facts) -> Option<Warning> {
    let threshold = registry.wallets.get(&intent.wallet)?.warn_below?;
    let balance = facts.balance?;
    (balance.after < threshold).then(|| Warning {
        limit: NearLimit::Balance { name: intent.wallet.to_string() },
        value: balance.after.to_string(),
        threshold: threshold.to_string(),
    })
}

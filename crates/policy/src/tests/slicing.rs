//! Judging with a slice says what judging with everything says.

use proptest::prelude::*;
use pursekeeper_core::ports::Policy;
use pursekeeper_core::*;

use super::fixture::{bundle, evm, facts, intent};
use crate::Bundle;

/// Heads and conditions of many kinds; every combination is a policy.
const HEADS: [&str; 8] = [
    "principal, action, resource",
    "principal is Pursekeeper::Agent, action in Pursekeeper::Action::\"Sign\", resource",
    "principal in Pursekeeper::Workflow::\"research\", action == Pursekeeper::Action::\"Pay\", resource",
    "principal in Pursekeeper::Workflow::\"sales\", action == Pursekeeper::Action::\"Pay\", resource",
    "principal == Pursekeeper::Agent::\"crawler\", action in [Pursekeeper::Action::\"Pay\"], resource",
    "principal is Pursekeeper::Agent in Pursekeeper::Workflow::\"sales\", action == Pursekeeper::Action::\"Pay\", resource is Pursekeeper::Endpoint",
    "principal, action == Pursekeeper::Action::\"Pay\", resource in Pursekeeper::Service::\"weather\"",
    "principal, action == Pursekeeper::Action::\"Pay\", resource is Pursekeeper::Endpoint in Pursekeeper::Service::\"anything\"",
];
const CONDITIONS: [&str; 17] = [
    "context.payment.usd.greaterThan(decimal(\"0.02\"))",
    "context.after.agent.hour.greaterThan(decimal(\"0.5\")) && context.count.payee.week > 2",
    "context has service && context.service.origin == \"https://api.example.com\"",
    "context.now.toTime() < duration(\"6h\") || context.outstanding > 3",
    "context.workflow.owner == context.wallet.owner",
    "resource.path like \"/v1/*\" && resource.port == 443",
    "context.payment.payee.ceilings.usd has day",
    "(if context.origin == \"match\" then context.after.wallet else context.after.service).day.lessThan(decimal(\"1.0\"))",
    "context.count.agent == context.count.workflow",
    "principal.hasTag(\"model\") && principal.status == \"active\"",
    "context.payment.asset.symbol == \"USDC\" && context.payment.valid_secs < 100 && context.payment.protocol == 2",
    "context has prepaid",
    "context has prepaid && context.prepaid has claimed && context.prepaid.claimed.lessThan(decimal(\"1.0\"))",
    "context has prepaid && context.prepaid has claimed_age_secs && context.prepaid.claimed_age_secs > 60",
    "context.payment.top_up || (context has prepaid && (context.prepaid.topped_up.greaterThan(decimal(\"2.0\")) || context.prepaid.sign_ins > 3))",
    "!context.wallet.backed_up || context.wallet.status == \"draining\"",
    "9223372036854775807 + context.count.service.hour > 0",
];

fn policies() -> Vec<String> {
    let mut found = Vec::new();
    for (h, head) in HEADS.iter().enumerate() {
        for (c, condition) in CONDITIONS.iter().enumerate() {
            // A head is validated for every action it names, and only payments have all of these.
            let action = match h {
                0 => "true",
                1 => "context.workflow.owner == context.wallet.owner",
                _ => condition,
            };
            let effect = if (h + c) % 3 == 0 { "permit" } else { "forbid" };
            found.push(format!("@id(\"p.{h}.{c}\") @reason(\"r\") {effect} ({head}) when {{ {action} }};"));
        }
    }
    found
}

fn pool() -> &'static [Bundle] {
    static POOL: std::sync::LazyLock<Vec<Bundle>> = std::sync::LazyLock::new(|| {
        let policies = policies();
        // Every policy stands alone once, and in changing company.
        let companies = (0..policies.len()).map(|at| policies[at].clone());
        let more = (0..24).map(|skip| policies[skip..].iter().step_by(7 + skip).cloned().collect::<String>());
        companies.chain(more).map(|text| bundle(&[("p.cedar", &text)])).collect()
    });
    &POOL
}

fn spoiled(bundle: &Bundle, dice: &[u8; 12]) -> (Intent, Facts) {
    let mut intent = intent();
    let pick = |at: usize, of: u8| dice[at] % of;
    let crawler = pick(0, 3) > 0;
    intent.agent = AgentName::parse(if crawler { "crawler" } else { "seller" }).unwrap();
    if pick(1, 3) == 0 {
        intent.workflow = WorkflowName::parse("sales").unwrap();
    }
    if pick(2, 3) == 0 {
        intent.wallet = WalletName::parse("other").unwrap();
        intent.wallet_address = evm("0x4444444444444444444444444444444444444444");
    }
    let url = ["https://api.example.com/v1/x", "https://api.example.com/y", "https://b.example/"];
    intent.endpoint = Endpoint::parse("GET", url[usize::from(pick(3, 3))]).unwrap();
    let allowed = &bundle.registry().workflows[&intent.workflow].services;
    let services = bundle.registry().services_of(&intent.endpoint);
    intent.service = services.iter().find(|service| allowed.contains(service)).cloned();
    intent.origin = [OriginMatch::Match, OriginMatch::Absent, OriginMatch::Differs][usize::from(pick(4, 3))];
    if pick(5, 3) == 0 {
        intent.terms.payee = evm("0x3333333333333333333333333333333333333333");
    }
    intent.usd = Usd::from_units(u128::from(dice[6]) * 1_000_000_000);
    let mut facts = facts(bundle, &intent);
    let stopped = Status::ALL[usize::from(dice[7] / 64) + 1];
    let status = |bit: u8| if pick(7, 16) == bit { stopped } else { Status::Active };
    (facts.agent_status, facts.workflow_status) = (status(1), status(2));
    (facts.wallet_status, facts.service_status) = (status(3), status(4));
    facts.payee_accepted = pick(8, 4) > 0;
    facts.wallet_backed_up = pick(9, 5) > 0;
    facts.outstanding = u64::from(pick(9, 8));
    facts.now.unix_ms += u64::from(dice[10]) * 600_000;
    let service = intent.service.as_ref().and_then(|name| bundle.registry().services.get(name));
    facts.prepaid = service.and_then(|service| service.prepaid.as_ref()).map(|prepaid| PrepaidFacts {
        top_up: prepaid.takes(&intent.endpoint),
        topped_up: Usd::from_units(u128::from(dice[9]) * 20_000_000_000),
        claimed: (pick(10, 3) > 0).then(|| ClaimedFacts {
            usd: Usd::from_units(u128::from(dice[11]) * 10_000_000_000),
            age_secs: u64::from(dice[8]),
        }),
        sign_ins: u64::from(pick(9, 8)),
    });
    let scale = u128::from(dice[11]) * 40_000_000_000;
    let PerScope { agent, workflow, wallet, service, payee } = &mut facts.after;
    for (times, totals) in [agent, workflow, wallet, service, payee].into_iter().enumerate() {
        for window in 0..5 {
            totals.usd[window] = Usd::from_units(scale * (times as u128 + 1) * (window as u128 + 1));
            totals.payments[window] = u64::from(dice[times]) * (window as u64 + 1) / 8;
        }
    }
    (intent, facts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn a_slice_says_what_everything_says(which in any::<usize>(), dice in any::<[u8; 12]>()) {
        let pool = pool();
        let bundle = &pool[which % pool.len()];
        let (intent, facts) = spoiled(bundle, &dice);
        let sliced = bundle.decide(&intent, &facts);
        let full = bundle.decide_with_everything(&intent, &facts);
        prop_assert_eq!(sliced, full);
    }
}

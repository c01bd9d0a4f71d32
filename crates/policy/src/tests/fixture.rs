//! One registry, one payment that passes, and ways to spoil it.

use pursekeeper_core::ports::{Policy, Verdict};
use pursekeeper_core::x402::{Protocol, Scheme, Terms};
use pursekeeper_core::*;

use crate::{Bundle, BundleOptions};

pub(super) const PAYEE: &str = "0x1111111111111111111111111111111111111111";
pub(super) const MAIN: &str = "0x2222222222222222222222222222222222222222";
pub(super) const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
/// 2026-11-22T12:00:00Z
pub(super) const NOON: u64 = 1_795_348_800;

pub(super) const REGISTRY: &str = r#"
version: 1
teams: [treasury, research, sales]
operators:
  alice: { uids: [1000], teams: [treasury] }
  bob: { uids: [1010], teams: [research] }
  carol: { uids: [1020], teams: [sales] }
assets:
  usdc:
    network: "eip155:84532"
    address: "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
    symbol: USDC
    name: USDC
    version: "2"
    decimals: 6
    methods: [eip3009]
    usd: { peg: "1" }
services:
  weather:
    origin: "https://api.example.com"
    methods: [GET]
    paths: ["/v1/**"]
    payees: ["0x1111111111111111111111111111111111111111"]
    ceilings: { usd: { week: "4" }, payments: { week: 4 } }
  anything:
    origin: "https://api.example.com"
    methods: [GET]
    paths: ["/**"]
    payees: ["0x3333333333333333333333333333333333333333"]
    resource_optional: true
    prepaid: { top_up: ["/y"] }
workflows:
  research:
    owner: research
    expires: 2027-01-01T00:00:00Z
    services: [weather]
    ceilings: { usd: { payment: "0.05", day: "5" }, payments: { hour: 100 }, sign_ins: { hour: 60 } }
  sales: { owner: sales, services: [anything] }
agents:
  crawler:
    uids: [1001]
    workflows: [research]
    labels: { model: large-1 }
    ceilings: { usd: { hour: "1" }, payments: { lifetime: 1000 } }
  seller: { uids: [1002], workflows: [sales, research] }
wallets:
  main:
    address: "0x2222222222222222222222222222222222222222"
    owner: treasury
    recovery: [treasury]
    revokers: [treasury, research]
    backup: none
    workflows: [research]
    networks: ["eip155:84532"]
    floor: "10"
    warn_below: "15"
    ceilings: { usd: { month: "50" } }
  other:
    address: "0x4444444444444444444444444444444444444444"
    owner: sales
    recovery: [sales]
    revokers: [sales]
    backup: none
    workflows: [sales]
    networks: ["eip155:8453"]
payees:
  "0x1111111111111111111111111111111111111111": { ceilings: { usd: { day: "3" }, payments: { day: 30 } } }
"#;

pub(super) fn bundle(policies: &[(&str, &str)]) -> Bundle {
    Bundle::from_parts(REGISTRY, policies, BundleOptions::default())
        .unwrap_or_else(|errors| panic!("{errors}"))
}

pub(super) fn evm(text: &str) -> Address {
    EvmAddress::parse(text).unwrap().into()
}

/// A payment of one cent that passes.
pub(super) fn intent() -> Intent {
    let network = ChainId::Eip155(84532);
    Intent {
        request_id: RequestId::parse("r1").unwrap(),
        agent: AgentName::parse("crawler").unwrap(),
        workflow: WorkflowName::parse("research").unwrap(),
        wallet: WalletName::parse("main").unwrap(),
        wallet_address: evm(MAIN),
        service: Some(ServiceName::parse("weather").unwrap()),
        endpoint: Endpoint::parse("GET", "https://api.example.com/v1/today?city=Bern").unwrap(),
        origin: OriginMatch::Match,
        demand: Demand::Offer(Offered {
            protocol: Protocol::V2,
            index: 0,
            accepted: "{}".into(),
            resource: None,
            extensions: None,
        }),
        terms: Terms {
            scheme: Scheme::Exact,
            method: TransferMethod::Eip3009,
            asset: AssetId { network, address: evm(USDC) },
            payee: evm(PAYEE),
            amount: Amount::parse("10000").unwrap(),
        },
        domain: Digest::default(),
        usd: Usd::parse("0.01").unwrap(),
        valid_after: UnixSeconds(NOON - 60),
        valid_before: UnixSeconds(NOON + 60),
        nonce: [7; 32],
        allowance: None,
    }
}

/// What is true around [`intent`]: the first payment of everybody.
pub(super) fn facts(bundle: &Bundle, intent: &Intent) -> Facts {
    let first = Totals::default().with_payment(intent.usd);
    let source = IdentitySource::unix_peer(1001);
    Facts {
        now: Moment { unix_ms: NOON * 1000 + 123, boot_ms: 5, boot_id: [0; 16] },
        caller: Caller::new(intent.agent.clone(), source),
        agent_status: Status::Active,
        workflow_status: Status::Active,
        wallet_status: Status::Active,
        wallet_backed_up: true,
        service_status: Status::Active,
        services: bundle.registry().services_of(&intent.endpoint),
        payee_accepted: true,
        facilitator_accepted: true,
        after: PerScope { agent: first, workflow: first, wallet: first, service: first, payee: first },
        outstanding: 0,
        balance: Some(BalanceFacts {
            usd: Usd::parse("20").unwrap(),
            after: Usd::parse("19.99").unwrap(),
            age_secs: 3,
        }),
        prepaid: None,
    }
}

/// The code and the ids of the determining policies.
pub(super) fn answer(verdict: &Verdict) -> (Option<DenyCode>, Vec<&str>) {
    match verdict {
        Verdict::Permit(policies) => (None, policies.iter().map(|policy| &*policy.id).collect()),
        Verdict::Deny(code, policies) => (Some(*code), policies.iter().map(|policy| &*policy.id).collect()),
    }
}

/// Judges a spoiled payment and compares code and ids; what everything-at-once says must be the same.
pub(super) fn check(
    bundle: &Bundle,
    spoil: &dyn Fn(&mut Intent, &mut Facts),
    code: Option<DenyCode>,
    ids: &[&str],
) {
    let mut intent = intent();
    let mut facts = facts(bundle, &intent);
    spoil(&mut intent, &mut facts);
    let verdict = bundle.decide(&intent, &facts);
    assert_eq!(answer(&verdict), (code, ids.to_vec()), "{verdict:?}");
    let (Verdict::Permit(policies) | Verdict::Deny(_, policies)) = &verdict;
    assert!(policies.iter().all(|policy| !policy.reason.is_empty()), "{verdict:?}");
    assert_eq!(verdict, bundle.decide_with_everything(&intent, &facts));
    assert_eq!(verdict, bundle.decide(&intent, &facts), "the memory changed the answer");
}

/// Sums in the place of [`facts`]' own.
pub(super) fn with_usd(totals: &mut Totals, window: usize, usd: &str) {
    totals.usd[window] = Usd::parse(usd).unwrap();
}

pub(super) fn act(verb: ActVerb, operator: &str, subject: Subject) -> Act {
    Act {
        operator: OperatorName::parse(operator).unwrap(),
        source: IdentitySource::unix_peer(1000),
        verb,
        subject,
        detail: Detail::None,
        reason: "a test".to_owned(),
    }
}

/// Names by kind, for readable tables.
pub(super) fn agent(name: &str) -> AgentName {
    AgentName::parse(name).unwrap()
}

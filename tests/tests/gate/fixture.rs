//! A gate at noon over a journal in memory, with a policy of one rule.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use pursekeeper_core::gate::{
    Answer, Ask, Authorized, Gate, LifecycleAsk, Passed, PaymentAsk, Rules, Settings, Signed, Surroundings,
};
use pursekeeper_core::ports::{Nothing, Policy, Verdict};
use pursekeeper_core::registry::{
    Agent, BackupRule, Ceilings, FirstUse, PathPattern, Payees, Proofs, Registry, Service, Team, Wallet,
    Workflow,
};
use pursekeeper_core::x402::Challenge;
use pursekeeper_core::*;
use pursekeeper_tests::{MemoryError, MemoryJournal, Offer, PAYEE, URL, USDC, challenge_v2};

pub(crate) const WALLET: &str = "0xde872656D378B7cAC70B78b642e7E317A7C66754";
/// 2026-11-22T12:00:00Z.
pub(crate) const NOON_MS: u64 = 1_795_348_800_000;

/// Permits while the workflow's day stays within its ceiling, the payee is accepted and everybody is active; nothing
/// without a team.
pub(crate) struct OneCeiling(pub(crate) Registry, pub(crate) u8);

impl Policy for OneCeiling {
    fn registry(&self) -> &Registry {
        &self.0
    }

    fn digest(&self) -> Digest {
        Digest([self.1; 32])
    }

    fn decide(&self, _: &Intent, facts: &Facts) -> Verdict {
        let Facts { agent_status, workflow_status, wallet_status, service_status, .. } = facts;
        let Facts { payee_accepted, after, balance, .. } = facts;
        if self.0.teams.is_empty() {
            return Verdict::Deny(DenyCode::NoPermit, Vec::new());
        }
        let statuses = [agent_status, workflow_status, wallet_status, service_status];
        let stopped = statuses.into_iter().any(|status| *status != Status::Active);
        let floor = self.0.wallets.values().find_map(|wallet| wallet.floor);
        match (floor, balance) {
            (Some(_), None) => return Verdict::Deny(DenyCode::BalanceUnknown, Vec::new()),
            (Some(floor), Some(balance)) if balance.after < floor => {
                return Verdict::Deny(DenyCode::BalanceBelowFloor, Vec::new());
            }
            (Some(_) | None, _) => {}
        }
        let ceiling = Usd::parse("0.01").unwrap();
        if !stopped && !payee_accepted {
            return Verdict::Deny(DenyCode::PayeeUnaccepted, vec![by("payee")]);
        }
        match (stopped, after.workflow.usd_in(Window::Day).unwrap() > ceiling) {
            (true, _) => Verdict::Deny(DenyCode::NotActive, vec![by("stopped")]),
            (false, true) => Verdict::Deny(DenyCode::CeilingExceeded, vec![by("one-ceiling")]),
            (false, false) => Verdict::Permit(vec![by("base")]),
        }
    }

    fn decide_allowance(&self, intent: &Intent, _: &Facts) -> Verdict {
        let allowance = intent.allowance.expect("it is asked about an allowance");
        if allowance.nonce == Amount::parse("13").unwrap() {
            return Verdict::Deny(DenyCode::PolicyDenied, vec![by("no-allowance")]);
        }
        Verdict::Permit(vec![by("grant")])
    }

    fn decide_sign_in(&self, _: &SignInIntent, facts: &Facts) -> Verdict {
        let ceilings = self.0.workflows.values().next().map(|workflow| &workflow.ceilings.sign_ins);
        let limit = ceilings.and_then(|sign_ins| sign_ins.get(&Window::Hour));
        match (facts.wallet_status, limit) {
            (Status::Draining | Status::Suspended | Status::Expired | Status::Revoked, _) => {
                Verdict::Deny(DenyCode::NotActive, vec![by("stopped")])
            }
            (Status::Active, Some(limit)) if facts.after.workflow.sign_ins[0] > *limit => {
                Verdict::Deny(DenyCode::CeilingExceeded, vec![by("one-ceiling")])
            }
            (Status::Active, _) => Verdict::Permit(vec![by("base")]),
        }
    }

    fn decide_act(&self, act: &Act, _: UnixSeconds) -> Verdict {
        match act.operator.as_str() {
            "alice" => Verdict::Permit(vec![by("operators")]),
            _ => Verdict::Deny(DenyCode::OperatorNotAllowed, Vec::new()),
        }
    }
}

pub(crate) fn by(id: &str) -> PolicyRef {
    PolicyRef { id: id.into(), reason: "because".into(), digest: None }
}

pub(crate) fn evm(text: &str) -> Address {
    EvmAddress::parse(text).unwrap().into()
}

pub(crate) fn policy() -> OneCeiling {
    let network = ChainId::parse("eip155:84532").unwrap();
    let (team, workflow) = (TeamName::parse("data").unwrap(), WorkflowName::parse("research").unwrap());
    let service = ServiceName::parse("reports").unwrap();
    let asset = Asset::new(
        AssetId { network: network.clone(), address: evm(USDC) },
        "USDC".to_owned(),
        ("USDC".to_owned(), "2".to_owned()),
        6,
        TransferMethod::ALL.to_vec(),
        UsdRate { per_unit: Usd::parse("1").unwrap(), usable_until: None },
    );
    let asset = asset.with_eip2612(true);
    let agent = Agent {
        proofs: Proofs::of_uid(1000),
        was: BTreeSet::new(),
        workflows: BTreeSet::from([workflow.clone()]),
        labels: BTreeMap::new(),
        review_on: BTreeSet::new(),
        expires: None,
        ceilings: Ceilings::default(),
        status: Status::Active,
    };
    let declared = Workflow {
        owner: team.clone(),
        was: BTreeSet::new(),
        expires: Some(UnixSeconds(NOON_MS / 1000 + 30 * 86_400)),
        services: BTreeSet::from([service.clone()]),
        ceilings: Ceilings::default(),
        status: Status::Active,
    };
    let wallet = Wallet {
        address: evm(WALLET),
        was: BTreeSet::new(),
        owner: team.clone(),
        recovery: BTreeSet::from([team.clone()]),
        revokers: BTreeSet::from([team.clone()]),
        workflows: BTreeSet::from([workflow.clone()]),
        backup: BackupRule::None,
        expires: None,
        networks: BTreeSet::from([network]),
        floor: None,
        warn_below: None,
        ceilings: Ceilings::default(),
        status: Status::Active,
    };
    let reports = Service {
        was: BTreeSet::new(),
        origin: Origin::parse(URL).unwrap(),
        methods: BTreeSet::from(["GET".to_owned()]),
        paths: vec![PathPattern::parse("/v1/**").unwrap()],
        payees: Payees { list: BTreeSet::from([evm(PAYEE)]), first_use: FirstUse::Refused },
        facilitators: BTreeSet::new(),
        unknown_endpoints: false,
        resource_optional: false,
        prepaid: None,
        expires: None,
        ceilings: Ceilings::default(),
        status: Status::Active,
    };
    let registry = Registry {
        agents: BTreeMap::from([(AgentName::parse("researcher").unwrap(), agent)]),
        workflows: BTreeMap::from([(workflow, declared)]),
        wallets: BTreeMap::from([(WalletName::parse("treasury").unwrap(), wallet)]),
        services: BTreeMap::from([(service, reports)]),
        assets: BTreeMap::from([(asset.id().clone(), asset)]),
        teams: BTreeMap::from([(team, Team::default())]),
        ..Registry::default()
    };
    OneCeiling(registry, 7)
}

/// A request of the only agent; each has a nonce of its own, as the shell draws one.
pub(crate) fn ask(id: &str, mode: Mode, offers: &[Offer]) -> Ask {
    let nonce = u8::try_from(id.bytes().map(u32::from).sum::<u32>() % 251).unwrap();
    Ask::Payment(Arc::new(PaymentAsk {
        mode,
        asked: asked(id),
        challenge: Challenge::from_header(&challenge_v2(Some(URL), offers)).unwrap(),
        nonce: [nonce; 32],
        allowance: None,
    }))
}

/// What the only agent says whatever it asks for.
pub(crate) fn asked(id: &str) -> Asked {
    let agent = AgentName::parse("researcher").unwrap();
    Asked {
        caller: Caller::new(agent, IdentitySource::unix_peer(1000)),
        request_id: RequestId::parse(id).unwrap(),
        endpoint: Endpoint::parse("GET", URL).unwrap(),
        workflow: None,
        wallet: None,
        labels: BTreeMap::new(),
        trace: None,
        wait: Wait::Unknown,
    }
}

/// The same, asked otherwise.
pub(crate) fn changed(ask: Ask, change: impl FnOnce(&mut PaymentAsk)) -> Ask {
    let Ask::Payment(ask) = ask else { panic!("{ask:?}") };
    let mut ask = PaymentAsk::clone(&ask);
    change(&mut ask);
    Ask::Payment(Arc::new(ask))
}

/// What the right is worth to somebody whose signatures are all zeros.
pub(crate) fn signed(right: Authorized) -> Signed {
    right.signed_by(|_, _| Ok::<_, Infallible>(Signature::Evm([0; 65]))).unwrap()
}

pub(crate) fn pay(id: &str, amount: &str) -> Ask {
    ask(id, Mode::Enforce, &[Offer::of(amount)])
}

pub(crate) fn act(operator: &str, verb: ActVerb, subject: Subject) -> LifecycleAsk {
    let operator = OperatorName::parse(operator).unwrap();
    let source = IdentitySource::unix_peer(2000);
    let reason = "drill".to_owned();
    LifecycleAsk { act: Act { operator, source, verb, subject, detail: Detail::None, reason } }
}

pub(crate) fn subjects() -> [Subject; 4] {
    [
        Subject::Agent(AgentName::parse("researcher").unwrap()),
        Subject::Workflow(WorkflowName::parse("research").unwrap()),
        Subject::Wallet(evm(WALLET)),
        Subject::Service(ServiceName::parse("reports").unwrap()),
    ]
}

/// A gate at noon, and what it answers.
pub(crate) struct Fixture {
    pub(crate) gate: Gate<MemoryJournal>,
    pub(crate) policy: OneCeiling,
    pub(crate) shadow: Option<OneCeiling>,
    /// What would have changed under the shadow, in order.
    pub(crate) flips: Vec<Flip>,
    pub(crate) now_ms: u64,
    pub(crate) boot_ms: u64,
    pub(crate) boot: u8,
    pub(crate) balances: Balances,
    pub(crate) keys: BTreeSet<Address>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let begun = Moment { unix_ms: NOON_MS, boot_ms: 60_000, boot_id: [1; 16] };
        let clock_before = ClockMark { high_water_ms: NOON_MS, anchor: Some(begun) };
        let policy = policy();
        let bundle_before = Some(policy.bundle());
        let journal = MemoryJournal { clock_before, bundle_before, ..MemoryJournal::default() };
        Self {
            gate: Gate::new(journal, Settings::default()),
            keys: policy.0.wallets.values().map(|wallet| wallet.address).collect(),
            policy,
            shadow: None,
            flips: Vec::new(),
            now_ms: NOON_MS,
            boot_ms: 60_000,
            boot: 1,
            balances: Balances::default(),
        }
    }

    pub(crate) fn pass(&mut self, asks: Vec<Ask>) -> Vec<Answer> {
        self.try_pass(asks).unwrap()
    }

    pub(crate) fn try_pass(&mut self, asks: Vec<Ask>) -> Result<Vec<Answer>, MemoryError> {
        let at = Moment { unix_ms: self.now_ms, boot_ms: self.boot_ms, boot_id: [self.boot; 16] };
        let around =
            Surroundings { boot_us: 0, at, balances: &self.balances, keys: &self.keys, witness: &() };
        let rules = Rules { enforced: &self.policy, shadow: self.shadow.as_ref() };
        let Passed { before: _, answers, flips } = self.gate.pass(rules, around, asks)?;
        self.flips.extend(flips);
        Ok(answers)
    }

    /// What was edited comes as another bundle.
    pub(crate) fn reload(&mut self) {
        self.policy.1 += 1;
    }

    /// Time passes on all clocks.
    pub(crate) fn later(&mut self, ms: u64) {
        self.now_ms += ms;
        self.boot_ms += ms;
    }

    pub(crate) fn one(&mut self, ask: Ask) -> Answer {
        self.pass(vec![ask]).remove(0)
    }

    /// Passes a batch and compares each answer's code; `OK` is a permit.
    pub(crate) fn check(&mut self, asks: Vec<Ask>, expected: &[&str]) {
        let answers = self.pass(asks);
        assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), expected);
    }
}

pub(crate) fn code(answer: &Answer) -> &'static str {
    match answer {
        Answer::Authorized(_)
        | Answer::WouldSign { .. }
        | Answer::Acted { .. }
        | Answer::Changed { .. }
        | Answer::Voids(_)
        | Answer::Reported { .. }
        | Answer::Noted { .. }
        | Answer::Resolved { .. } => "OK",
        Answer::Denied { denial, .. } => denial.code.as_str(),
        Answer::Nothing(Nothing::PaymentUnknown) => "PaymentUnknown",
        Answer::Nothing(Nothing::ClaimsExhausted) => "ClaimsExhausted",
        Answer::Nothing(Nothing::NotAPayment) => "NotAPayment",
        Answer::Nothing(Nothing::NotPrepaid) => "NotPrepaid",
        Answer::Nothing(Nothing::HoldResolved) => "HoldResolved",
        Answer::Nothing(Nothing::NothingDue) => "NothingDue",
        Answer::Nothing(Nothing::Voids) => "Voids",
    }
}

pub(crate) fn authorized(answer: Answer) -> Box<Authorized> {
    let Answer::Authorized(right) = answer else { panic!("{answer:?}") };
    right
}

/// The payment a right is for.
pub(crate) fn intent(right: &Authorized) -> &Intent {
    match right.what() {
        Signable::Payment(intent) => intent,
        Signable::SignIn(_) | Signable::Allowance(..) | Signable::Cancellation(_) => panic!("{right:?}"),
    }
}

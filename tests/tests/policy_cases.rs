//! `tests/policy/*.yaml`: who asks for what, and what the real bundle answers through the real gate.
//!
//! Each file is a bundle and a list of cases. Every answer is compared with its code and the policies that determined
//! it; a case says only what differs from an honest request.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use pursekeeper_core::gate::{Answer, Ask, Gate, LifecycleAsk, PaymentAsk, Rules, Settings, Surroundings};
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::x402::Challenge;
use pursekeeper_core::{
    Act, ActVerb, Address, AgentName, Amount, Asked, Balance, Balances, Caller, ClockMark, DenyCode, Detail,
    Endpoint, Entry, EvmAddress, IdentitySource, Mode, Moment, OperatorName, Outcome, PolicyRef, RequestId,
    Scope, ServiceName, Subject, Totals, Usd, Wait, WalletName, WorkflowName,
};
use pursekeeper_policy::{Bundle, BundleOptions, EXAMPLES, STARTER_REGISTRY};
use pursekeeper_tests::{MemoryJournal, Offer, challenge_v1, challenge_v2};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// `registry.yaml`; without it the one that is shipped, with the shipped examples.
    registry: Option<String>,
    /// Cedar files.
    #[serde(default)]
    policies: BTreeMap<String, String>,
    /// What every case begins with.
    defaults: Request,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `permit`, or the code of the refusal.
    expect: String,
    /// The policies that determine the answer; by default the base permit, or none.
    policies: Option<BTreeSet<String>>,
    /// How many requests like this one were made just before.
    #[serde(default)]
    before: u64,
    /// Dollars spent before, in every window, by scope: `workflow/research: "4.99"`.
    #[serde(default)]
    spent: BTreeMap<String, String>,
    /// Payments made before, in every window.
    #[serde(default)]
    paid: BTreeMap<String, u64>,
    /// Stopped by operators: `wallet/main`.
    #[serde(default)]
    suspended: Vec<String>,
    /// How far the journal is ahead of the clock.
    #[serde(default)]
    clock_behind_ms: u64,
    /// How far the clock is ahead of the boot clock.
    #[serde(default)]
    clock_ahead_ms: u64,
    /// Atomic units that every wallet holds of every asset, by what nodes said just now.
    balance: Option<String>,
    #[serde(default)]
    request: Request,
    /// An operator's act instead of a payment: `resume wallet/main`, `accept-payee service/news 0x…`.
    act: Option<String>,
    #[serde(default)]
    operator: String,
}

/// What is asked. What a case leaves out is the file's default.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    at: Option<String>,
    agent: Option<String>,
    workflow: Option<String>,
    wallet: Option<String>,
    method: Option<String>,
    url: Option<String>,
    /// The seller's own URL; empty when it names none. By default the one that is called.
    resource: Option<String>,
    x402: Option<u8>,
    offers: Option<Vec<OfferPart>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferPart {
    scheme: Option<String>,
    network: Option<String>,
    asset: Option<String>,
    payee: Option<String>,
    amount: Option<String>,
    timeout_secs: Option<u64>,
    extra: Option<Value>,
}

#[test]
fn every_case_is_answered_as_it_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy");
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&path).unwrap();
        let file: File =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let bundle = bundle(&file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut names = BTreeSet::new();
        for case in &file.cases {
            assert!(names.insert(&case.name), "{}: two cases are called `{}`", path.display(), case.name);
            let (expected, got) = (expected(case), answer(&bundle, &file.defaults, case));
            if expected != got {
                wrong.push(format!(
                    "{}: {}\n    expected {expected:?}\n    got      {got:?}",
                    path.display(),
                    case.name
                ));
            }
            count += 1;
        }
    }
    assert!(count > 40, "only {count} cases were found in {}", dir.display());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn bundle(file: &File) -> Result<Bundle, pursekeeper_policy::BundleErrors> {
    let policies: Vec<(&str, &str)> = match &file.registry {
        Some(_) => file.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect(),
        None => EXAMPLES.to_vec(),
    };
    Bundle::from_parts(
        file.registry.as_deref().unwrap_or(STARTER_REGISTRY),
        &policies,
        BundleOptions::default(),
    )
}

type Verdict = (String, BTreeSet<String>);

fn expected(case: &Case) -> Verdict {
    let base = match (case.expect.as_str(), &case.act) {
        ("permit", None) => &["base.sign"][..],
        ("permit", Some(_)) => &["base.govern"],
        (code, _) => {
            assert!(DenyCode::parse(code).is_some(), "`{}` expects the unknown code `{code}`", case.name);
            &[]
        }
    };
    let by_default = || base.iter().map(|id| (*id).to_owned()).collect();
    (case.expect.clone(), case.policies.clone().unwrap_or_else(by_default))
}

fn answer(bundle: &Bundle, defaults: &Request, case: &Case) -> Verdict {
    let request = case.request.clone().or(defaults);
    let at = moment(&request);
    let seen = Moment { unix_ms: at.unix_ms - case.clock_ahead_ms, ..at };
    let clock_before = ClockMark { high_water_ms: seen.unix_ms + case.clock_behind_ms, anchor: Some(seen) };
    let journal = MemoryJournal {
        spent_before: spent(bundle, case),
        clock_before,
        bundle_before: Some(bundle.bundle()),
        ..MemoryJournal::default()
    };
    let balances = balances(bundle, case, at);
    let mut gate = Gate::new(journal, Settings::default());
    let mut batch: Vec<Ask> = (0..case.before).map(|n| payment(&request, &format!("before-{n}"))).collect();
    for stopped in &case.suspended {
        let subject = subject(bundle, stopped);
        let operators = bundle.registry().operators.keys();
        // Some operator of the registry may; refusals by the others change nothing.
        batch.extend(
            operators.map(|operator| act(operator.as_str(), ActVerb::Suspend, subject.clone(), None)),
        );
    }
    let asked = match &case.act {
        None => payment(&request, "the-request"),
        Some(text) => {
            let words: Vec<&str> = text.split(' ').collect();
            let payee = words.get(2).map(|payee| EvmAddress::parse(payee).unwrap().into());
            act(&case.operator, ActVerb::parse(words[0]).unwrap(), subject(bundle, words[1]), payee)
        }
    };
    batch.push(asked);
    let keys = bundle.registry().wallets.values().map(|wallet| wallet.address).collect();
    let around = Surroundings { boot_us: 0, at, balances: &balances, keys: &keys, witness: &() };
    let answered = gate.pass(Rules::of(bundle), around, batch).unwrap().answers.pop().unwrap();
    let recorded = gate.journal().entries.last().unwrap();
    match answered {
        Answer::Denied { denial, .. } => (denial.code.to_string(), ids(&denial.policies)),
        Answer::Authorized(_) | Answer::WouldSign { .. } | Answer::Acted { .. } => {
            let policies = match recorded {
                Entry::Payment(decision) => match &decision.outcome {
                    Outcome::Permit(permit) => &permit.policies,
                    Outcome::Deny { denial, .. } => panic!("recorded as denied: {denial:?}"),
                },
                Entry::Lifecycle(decision) => &decision.policies,
                Entry::Reissue(_)
                | Entry::Report(_)
                | Entry::Evidence(_)
                | Entry::SignIn(_)
                | Entry::Transition(_)
                | Entry::Signatures(_)
                | Entry::Unauthenticated(_)
                | Entry::Repeated(_)
                | Entry::Reload(_) => {
                    panic!("`{}` is no new request", case.name)
                }
            };
            ("permit".to_owned(), ids(policies))
        }
        Answer::Reported { .. }
        | Answer::Resolved { .. }
        | Answer::Changed { .. }
        | Answer::Voids(_)
        | Answer::Noted { .. }
        | Answer::Nothing(_) => {
            panic!("`{}` is no question of policy", case.name)
        }
    }
}

fn ids(policies: &[PolicyRef]) -> BTreeSet<String> {
    assert!(policies.iter().all(|policy| !policy.reason.is_empty()), "{policies:?} give no reason");
    policies.iter().map(|policy| policy.id.to_string()).collect()
}

impl Request {
    fn or(self, defaults: &Self) -> Self {
        let Self { at, agent, workflow, wallet, method, url, resource, x402, offers } = defaults.clone();
        Self {
            at: self.at.or(at),
            agent: self.agent.or(agent),
            workflow: self.workflow.or(workflow),
            wallet: self.wallet.or(wallet),
            method: self.method.or(method),
            url: self.url.or(url),
            resource: self.resource.or(resource),
            x402: self.x402.or(x402),
            offers: self.offers.or(offers),
        }
    }
}

fn moment(request: &Request) -> Moment {
    let at: jiff::Timestamp = request.at.as_deref().unwrap().parse().unwrap();
    Moment { unix_ms: u64::try_from(at.as_millisecond()).unwrap(), boot_ms: 60_000, boot_id: [1; 16] }
}

fn payment(request: &Request, id: &str) -> Ask {
    let url = request.url.as_deref().unwrap();
    let offers: Vec<Offer> =
        request.offers.as_deref().unwrap_or(&[OfferPart::default()]).iter().map(offer).collect();
    let resource = request.resource.as_deref().unwrap_or(url);
    let challenge = match request.x402 {
        Some(1) => Challenge::from_body(&challenge_v1(resource, &offers)),
        _ => Challenge::from_header(&challenge_v2(Some(resource).filter(|url| !url.is_empty()), &offers)),
    };
    let source = IdentitySource::unix_peer(1001);
    let asked = Asked {
        caller: Caller::new(AgentName::parse(request.agent.as_deref().unwrap()).unwrap(), source),
        request_id: RequestId::parse(id).unwrap(),
        endpoint: Endpoint::parse(request.method.as_deref().unwrap_or("GET"), url).unwrap(),
        workflow: request.workflow.as_deref().map(|name| WorkflowName::parse(name).unwrap()),
        wallet: request.wallet.as_deref().map(|name| WalletName::parse(name).unwrap()),
        labels: BTreeMap::new(),
        trace: None,
        wait: Wait::Unknown,
    };
    Ask::Payment(Arc::new(PaymentAsk {
        mode: Mode::Enforce,
        asked,
        challenge: challenge.unwrap(),
        allowance: None,
        nonce: [9; 32],
    }))
}

fn offer(part: &OfferPart) -> Offer {
    let OfferPart { scheme, network, asset, payee, amount, timeout_secs, extra } = part.clone();
    let honest = Offer::default();
    Offer {
        scheme: scheme.unwrap_or(honest.scheme),
        network: network.unwrap_or(honest.network),
        asset: asset.unwrap_or(honest.asset),
        payee: payee.unwrap_or(honest.payee),
        amount: amount.unwrap_or(honest.amount),
        timeout_secs: timeout_secs.unwrap_or(honest.timeout_secs),
        extra: extra.unwrap_or(honest.extra),
    }
}

fn act(operator: &str, verb: ActVerb, subject: Subject, payee: Option<Address>) -> Ask {
    let operator = OperatorName::parse(operator).unwrap();
    let source = IdentitySource::unix_peer(1000);
    let detail = payee.map_or(Detail::None, Detail::Payee);
    Ask::Lifecycle(LifecycleAsk {
        act: Act { operator, source, verb, subject, detail, reason: "drill".to_owned() },
    })
}

/// `wallet/main`, `workflow/research`, …
fn subject(bundle: &Bundle, text: &str) -> Subject {
    let (kind, name) = text.split_once('/').unwrap();
    match kind {
        "agent" => Subject::Agent(AgentName::parse(name).unwrap()),
        "workflow" => Subject::Workflow(WorkflowName::parse(name).unwrap()),
        "service" => Subject::Service(ServiceName::parse(name).unwrap()),
        "wallet" => Subject::Wallet(wallet_address(bundle, name)),
        "sidecar" => Subject::Sidecar,
        other => panic!("no subject `{other}`"),
    }
}

fn wallet_address(bundle: &Bundle, name: &str) -> Address {
    bundle.registry().wallets[&WalletName::parse(name).unwrap()].address
}

fn balances(bundle: &Bundle, case: &Case, at: Moment) -> Balances {
    let mut balances = Balances::default();
    if let Some(amount) = &case.balance {
        let balance = Balance { amount: Amount::parse(amount).unwrap(), observed_at: at.unix_seconds() };
        for wallet in bundle.registry().wallets.values() {
            for asset in bundle.registry().assets.keys() {
                balances.note(wallet.address, asset.clone(), balance);
            }
        }
    }
    balances
}

fn spent(bundle: &Bundle, case: &Case) -> BTreeMap<Scope, Totals> {
    let mut totals = BTreeMap::<Scope, Totals>::new();
    for (text, usd) in &case.spent {
        totals.entry(scope(bundle, text)).or_default().usd = [Usd::parse(usd).unwrap(); 5];
    }
    for (text, payments) in &case.paid {
        totals.entry(scope(bundle, text)).or_default().payments = [*payments; 5];
    }
    totals
}

fn scope(bundle: &Bundle, text: &str) -> Scope {
    match text.strip_prefix("payee/") {
        Some(address) => Scope::Payee(EvmAddress::parse(address).unwrap().into()),
        None => match subject(bundle, text) {
            Subject::Agent(name) => Scope::Agent(name),
            Subject::Workflow(name) => Scope::Workflow(name),
            Subject::Wallet(address) => Scope::Wallet(address),
            Subject::Service(name) => Scope::Service(name),
            Subject::Sidecar => panic!("the sidecar spends nothing"),
        },
    }
}

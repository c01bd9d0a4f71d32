//! A small registry as plain data, and the text of the `registry.yaml` that says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Kinds of subjects that totals are kept about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Agent,
    Workflow,
    Wallet,
    Service,
    Payee,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Agent, Self::Workflow, Self::Wallet, Self::Service, Self::Payee];
    /// The kinds that have a status.
    pub(crate) const STOPPABLE: [Self; 4] = [Self::Agent, Self::Workflow, Self::Wallet, Self::Service];
    /// The kinds whose name is all they are.
    pub(crate) const RENAMED: [Self; 3] = [Self::Agent, Self::Workflow, Self::Service];

    /// How many subjects of the kind there are.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Agent => AGENT_WORKFLOWS.len(),
            Self::Workflow => WORKFLOW_SERVICES.len(),
            Self::Wallet => WALLETS.len(),
            Self::Service => URLS.len(),
            Self::Payee => PAYEES.len(),
        }
    }
}

/// The words of the registry for each window, and for how many seconds a payment counts after its signature is dead.
pub(crate) const WINDOWS: [(&str, Option<u64>); 6] = [
    ("payment", Some(0)),
    ("hour", Some(60 * 60)),
    ("day", Some(24 * 60 * 60)),
    ("week", Some(7 * 24 * 60 * 60)),
    ("month", Some(30 * 24 * 60 * 60)),
    ("lifetime", None),
];

pub(crate) const AGENT_WORKFLOWS: [&[usize]; 3] = [&[0], &[0, 1], &[1]];
pub(crate) const WORKFLOW_SERVICES: [&[usize]; 2] = [&[0, 1], &[1]];
pub(crate) const WORKFLOW_OWNERS: [&str; 2] = ["blue", "green"];
pub(crate) const WALLETS: [&str; 3] = [
    "0x7100000000000000000000000000000000000001",
    "0x7200000000000000000000000000000000000002",
    "0x7300000000000000000000000000000000000003",
];
pub(crate) const WALLET_WORKFLOWS: [&[usize]; 3] = [&[0], &[0, 1], &[1]];
pub(crate) const WALLET_NETWORKS: [&[usize]; 3] = [&[0, 1], &[0, 1], &[0]];
pub(crate) const WALLET_OWNERS: [&str; 3] = ["blue", "blue", "green"];
/// Another name for a wallet is not another wallet.
pub(crate) const REVOKERS: &str = "guards";
pub(crate) const URLS: [&str; 2] = ["https://a.example/v1/report", "https://b.example/v1/data"];
/// What is called where no service is.
pub(crate) const URL_ELSEWHERE: &str = "https://c.example/v1/thing";
pub(crate) const SERVICE_PAYEES: [&[usize]; 2] = [&[0, 1], &[1, 2]];
/// The last one is accepted nowhere.
pub(crate) const PAYEES: [&str; 4] = [
    "0x9100000000000000000000000000000000000001",
    "0x9200000000000000000000000000000000000002",
    "0x9300000000000000000000000000000000000003",
    "0x9400000000000000000000000000000000000004",
];
pub(crate) const NETWORKS: [&str; 2] = ["eip155:84532", "eip155:8453"];
/// Contract, decimals and value of one whole unit in units of 10⁻¹² dollars of the asset on each network.
pub(crate) const ASSETS: [(&str, u32, u64); 2] = [
    ("0x8100000000000000000000000000000000000001", 6, 1_000_000_000_000),
    ("0x8200000000000000000000000000000000000002", 18, 700_000_000_000),
];
/// Name and teams. Nobody of `idle` owns anything.
pub(crate) const OPERATORS: [(&str, &str); 4] =
    [("ann", "blue"), ("gus", "green"), ("sam", "guards"), ("ida", "idle")];

/// Limits of one subject, by the index of their window: ten-thousandths of a dollar, and payments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) usd: BTreeMap<usize, u64>,
    pub(crate) payments: BTreeMap<usize, u64>,
}

/// What the registry declares about one subject, apart from what never changes.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) was: BTreeSet<String>,
    /// Names that were dropped without a word.
    pub(crate) forgotten: BTreeSet<String>,
    renamed: usize,
    pub(crate) suspended: bool,
    pub(crate) limits: Limits,
}

/// Everything declared.
#[derive(Clone, Debug)]
pub(crate) struct World {
    subjects: BTreeMap<(Kind, usize), Declared>,
    /// What must be left in the second wallet, in ten-thousandths of a dollar.
    pub(crate) floor: Option<u64>,
    /// When the second workflow ends.
    pub(crate) expires: Option<u64>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut subjects = BTreeMap::new();
        for (kind, first) in
            [(Kind::Agent, "a"), (Kind::Workflow, "w"), (Kind::Wallet, "x"), (Kind::Service, "s")]
        {
            for at in 0..kind.len() {
                subjects.insert((kind, at), Declared::new(format!("{first}{at}")));
            }
        }
        for (at, payee) in PAYEES.iter().enumerate() {
            subjects.insert((Kind::Payee, at), Declared::new((*payee).to_owned()));
        }
        Self { subjects, floor: None, expires: None }
    }

    pub(crate) fn of(&self, kind: Kind, at: usize) -> &Declared {
        &self.subjects[&(kind, at)]
    }

    pub(crate) fn of_mut(&mut self, kind: Kind, at: usize) -> &mut Declared {
        self.subjects.get_mut(&(kind, at)).expect("every subject is there from the start")
    }

    /// Which subject has this name now.
    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<usize> {
        (0..kind.len()).find(|at| self.of(kind, *at).name == name)
    }

    /// Who has this key, or had it before.
    pub(crate) fn find_ever(&self, kind: Kind, key: &str) -> Option<usize> {
        (0..kind.len()).find(|at| self.keys(kind, *at).iter().any(|had| had == key))
    }

    /// What a scope or a status is kept under: a wallet is its address.
    pub(crate) fn key(&self, kind: Kind, at: usize) -> String {
        match kind {
            Kind::Wallet => WALLETS[at].to_owned(),
            Kind::Payee => PAYEES[at].to_owned(),
            Kind::Agent | Kind::Workflow | Kind::Service => self.of(kind, at).name.clone(),
        }
    }

    /// The same under every name the registry says it had.
    pub(crate) fn keys(&self, kind: Kind, at: usize) -> Vec<String> {
        let was = match kind {
            Kind::Agent | Kind::Workflow | Kind::Service => Some(&self.of(kind, at).was),
            Kind::Wallet | Kind::Payee => None,
        };
        std::iter::once(self.key(kind, at)).chain(was.into_iter().flatten().cloned()).collect()
    }

    /// The text of `registry.yaml`.
    pub(crate) fn yaml(&self) -> String {
        let mut text = "version: 1\nteams: [blue, green, guards, idle]\noperators:\n".to_owned();
        for (at, (name, team)) in OPERATORS.iter().enumerate() {
            line(&mut text, format!("  {name}: {{ uids: [{}], teams: [{team}] }}", 2_000 + at));
        }
        line(&mut text, "assets:".to_owned());
        for (at, (address, decimals, worth)) in ASSETS.iter().enumerate() {
            let peg = format!("{}.{:012}", worth / 1_000_000_000_000, worth % 1_000_000_000_000);
            line(
                &mut text,
                format!(
                    "  t{at}: {{ network: \"{}\", address: \"{address}\", symbol: USDC, name: USDC, version: \"2\", decimals: {decimals}, methods: [eip3009], usd: {{ peg: \"{peg}\" }} }}",
                    NETWORKS[at]
                ),
            );
        }
        for (title, kind) in [
            ("services", Kind::Service),
            ("workflows", Kind::Workflow),
            ("agents", Kind::Agent),
            ("wallets", Kind::Wallet),
        ] {
            line(&mut text, format!("{title}:"));
            for at in 0..kind.len() {
                let declared = self.of(kind, at);
                let name = &declared.name;
                line(&mut text, format!("  {name}: {{ {}{} }}", self.fixed(kind, at), declared.yaml()));
            }
        }
        line(&mut text, "payees:".to_owned());
        for (at, payee) in PAYEES.iter().enumerate() {
            let limits = &self.of(Kind::Payee, at).limits;
            line(&mut text, format!("  \"{payee}\": {{ ceilings: {{ {} }} }}", limits.yaml()));
        }
        text
    }

    /// What of a subject is not in [`Declared`].
    fn fixed(&self, kind: Kind, at: usize) -> String {
        let names = |kind, all: &[usize]| {
            let names: Vec<&str> = all.iter().map(|at| self.of(kind, *at).name.as_str()).collect();
            names.join(", ")
        };
        let quoted = |all: &[usize], from: &[&str]| {
            let quoted: Vec<String> = all.iter().map(|at| format!("\"{}\"", from[*at])).collect();
            quoted.join(", ")
        };
        match kind {
            Kind::Agent => {
                let workflows = names(Kind::Workflow, AGENT_WORKFLOWS[at]);
                format!("uids: [{}], workflows: [{workflows}]", 1_000 + at)
            }
            Kind::Workflow => {
                let services = names(Kind::Service, WORKFLOW_SERVICES[at]);
                let expires = match self.expires.filter(|_| at == 1) {
                    Some(at) => format!(", expires: {}", moment(at)),
                    None => String::new(),
                };
                format!("owner: {}, services: [{services}]{expires}", WORKFLOW_OWNERS[at])
            }
            Kind::Wallet => {
                let (address, owner) = (WALLETS[at], WALLET_OWNERS[at]);
                let workflows = names(Kind::Workflow, WALLET_WORKFLOWS[at]);
                let networks = quoted(WALLET_NETWORKS[at], &NETWORKS);
                let shared = if WALLET_WORKFLOWS[at].len() > 1 { ", shared: true" } else { "" };
                let floor = match self.floor.filter(|_| at == 1) {
                    Some(floor) => format!(", floor: \"{}\"", dollars(floor)),
                    None => String::new(),
                };
                format!(
                    "address: \"{address}\", owner: {owner}, recovery: [{owner}], revokers: [{REVOKERS}], backup: none, workflows: [{workflows}], networks: [{networks}]{shared}{floor}"
                )
            }
            Kind::Service => {
                let origin = URLS[at].split_once("/v1").map_or(URLS[at], |(origin, _)| origin);
                let payees = quoted(SERVICE_PAYEES[at], &PAYEES);
                format!("origin: \"{origin}\", methods: [GET], paths: [\"/v1/**\"], payees: [{payees}]")
            }
            Kind::Payee => String::new(),
        }
    }
}

impl Declared {
    fn new(name: String) -> Self {
        let (was, forgotten) = (BTreeSet::new(), BTreeSet::new());
        Self { name, was, forgotten, renamed: 0, suspended: false, limits: Limits::default() }
    }

    /// A name nobody had, saying what the subject was.
    pub(crate) fn rename(&mut self) {
        self.renamed += 1;
        let base = self.name.split_once('-').map_or(self.name.as_str(), |(base, _)| base);
        let name = format!("{base}-{}", self.renamed);
        self.was.insert(std::mem::replace(&mut self.name, name));
    }

    /// Back to the first name it had.
    pub(crate) fn rename_back(&mut self) {
        if let Some(name) = self.was.pop_first() {
            self.was.insert(std::mem::replace(&mut self.name, name));
        }
    }

    /// Drops what it was.
    pub(crate) fn forget(&mut self) {
        self.forgotten.append(&mut self.was);
    }

    /// Says again what it was.
    pub(crate) fn remember(&mut self) {
        self.was.append(&mut self.forgotten);
    }

    fn yaml(&self) -> String {
        let Self { name: _, was, forgotten: _, renamed: _, suspended, limits } = self;
        let mut text = String::new();
        if !was.is_empty() {
            let was: Vec<&str> = was.iter().map(String::as_str).collect();
            write!(text, ", was: [{}]", was.join(", ")).expect("a string grows");
        }
        if *suspended {
            text.push_str(", status: suspended");
        }
        write!(text, ", ceilings: {{ {} }}", limits.yaml()).expect("a string grows");
        text
    }
}

impl Limits {
    fn yaml(&self) -> String {
        let usd: Vec<String> = self
            .usd
            .iter()
            .map(|(at, limit)| format!("{}: \"{}\"", WINDOWS[*at].0, dollars(*limit)))
            .collect();
        let payments: Vec<String> =
            self.payments.iter().map(|(at, limit)| format!("{}: {limit}", WINDOWS[*at].0)).collect();
        format!("usd: {{ {} }}, payments: {{ {} }}", usd.join(", "), payments.join(", "))
    }
}

fn line(text: &mut String, line: String) {
    text.push_str(&line);
    text.push('\n');
}

/// Ten-thousandths of a dollar as dollars.
fn dollars(ten_thousandths: u64) -> String {
    format!("{}.{:04}", ten_thousandths / 10_000, ten_thousandths % 10_000)
}

fn moment(secs: u64) -> String {
    jiff::Timestamp::from_second(i64::try_from(secs).expect("a time of ours"))
        .expect("a time of ours")
        .to_string()
}

//! What the security team declared: a plain, resolved picture of `registry.yaml`.
//!
//! The policy crate reads the file and refuses it unless every reference resolves; from then on this is valid.

mod path;
mod proofs;

pub use path::{PathPattern, PathPatternError};
pub use proofs::Proofs;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Address, AgentName, Asset, AssetId, BackupRecipient, ChainId, Endpoint, OperatorName, Origin,
    REVIEWED_IDENTITY, Reviewed, Scope, ServiceName, Status, Subject, TeamName, UnixSeconds, Usd, WalletName,
    Window, WorkflowName,
};

/// Everything declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// What its authors call this state of the bundle; it never goes down.
    pub revision: Option<u64>,
    /// Workloads that ask.
    pub agents: BTreeMap<AgentName, Agent>,
    /// Business tasks.
    pub workflows: BTreeMap<WorkflowName, Workflow>,
    /// Governed keys.
    pub wallets: BTreeMap<WalletName, Wallet>,
    /// Sets of endpoints.
    pub services: BTreeMap<ServiceName, Service>,
    /// Assets by network and address.
    pub assets: BTreeMap<AssetId, Asset>,
    /// Groups of operators.
    pub teams: BTreeMap<TeamName, Team>,
    /// People who govern.
    pub operators: BTreeMap<OperatorName, Operator>,
    /// Ceilings on what one address may receive, whoever pays.
    pub payees: BTreeMap<Address, Ceilings>,
    /// Teams that answer for the sidecar itself, its clock included; the owners of its wallets when nobody is named.
    pub sidecar_owners: BTreeSet<TeamName>,
}

/// Limits of one subject. A missing limit is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Dollars.
    pub usd: BTreeMap<Window, Usd>,
    /// Number of payments; never for [`Window::Payment`].
    pub payments: BTreeMap<Window, u64>,
    /// Number of sign-ins; never for [`Window::Payment`], and never for a payee, whom nobody signs in to.
    pub sign_ins: BTreeMap<Window, u64>,
    /// From how many percent of a ceiling on a payment that is permitted is marked.
    pub warn_at: Option<u8>,
}

/// A group of operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Team {
    /// Who opens the backups of the wallets it may recover.
    pub backup_recipients: BTreeSet<BackupRecipient>,
}

/// A workload that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// What it is known by; at least one.
    pub proofs: Proofs,
    /// The tasks it works for; at least one.
    pub workflows: BTreeSet<WorkflowName>,
    /// Names it had before.
    pub was: BTreeSet<AgentName>,
    /// Declared properties such as `model`.
    pub labels: BTreeMap<String, String>,
    /// The labels, or [`REVIEWED_IDENTITY`], that may not change without an operator looking at it.
    pub review_on: BTreeSet<String>,
    /// When its rights end.
    pub expires: Option<UnixSeconds>,
    /// Its own limits.
    pub ceilings: Ceilings,
    /// What the registry declares.
    pub status: Status,
}

/// A business task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow {
    /// Who answers for it.
    pub owner: TeamName,
    /// Names it had before.
    pub was: BTreeSet<WorkflowName>,
    /// When its rights end.
    pub expires: Option<UnixSeconds>,
    /// Where it may spend.
    pub services: BTreeSet<ServiceName>,
    /// Its limits.
    pub ceilings: Ceilings,
    /// What the registry declares.
    pub status: Status,
}

/// A governed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Its address.
    pub address: Address,
    /// Addresses it had before it was rotated. What they spent counts as its own.
    pub was: BTreeSet<Address>,
    /// Who answers for it.
    pub owner: TeamName,
    /// Who may recover it; at least one.
    pub recovery: BTreeSet<TeamName>,
    /// Who may suspend and revoke it; at least one.
    pub revokers: BTreeSet<TeamName>,
    /// The tasks it pays for; more than one only with `shared: true`.
    pub workflows: BTreeSet<WorkflowName>,
    /// Whether it may sign without a backup of its key.
    pub backup: BackupRule,
    /// When its rights end.
    pub expires: Option<UnixSeconds>,
    /// Where it may spend.
    pub networks: BTreeSet<ChainId>,
    /// What must be left of its balance, in dollars of the asset that is paid with.
    pub floor: Option<Usd>,
    /// Below what balance a payment that is permitted is marked.
    pub warn_below: Option<Usd>,
    /// Its limits.
    pub ceilings: Ceilings,
    /// What the registry declares.
    pub status: Status,
}

/// Whether a wallet needs a backup before it signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackupRule {
    /// It does.
    #[default]
    Required,
    /// Losing the key is losing what it holds, and that is accepted.
    None,
}

/// A named set of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Names it had before.
    pub was: BTreeSet<ServiceName>,
    /// Scheme, host and port.
    pub origin: Origin,
    /// HTTP methods.
    pub methods: BTreeSet<String>,
    /// Which paths.
    pub paths: Vec<PathPattern>,
    /// Who may be paid there.
    pub payees: Payees,
    /// Who alone may settle `upto` payments there.
    pub facilitators: BTreeSet<Address>,
    /// Whether a payment to one of its payees belongs to it although nobody says which endpoint it is for.
    pub unknown_endpoints: bool,
    /// Whether a 402 without `resource` is acceptable.
    pub resource_optional: bool,
    /// Where credit is bought, if calls are paid out of credit.
    pub prepaid: Option<Prepaid>,
    /// When its rights end.
    pub expires: Option<UnixSeconds>,
    /// Its limits.
    pub ceilings: Ceilings,
    /// What the registry declares.
    pub status: Status,
}

/// How credit is bought at a service whose calls spend it: each call signs in, and a payment anywhere else is a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepaid {
    /// Where payments top the credit up; at least one, each covered by the service's own paths.
    pub top_up: Vec<PathPattern>,
}

/// Who may be paid at a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payees {
    /// Those the registry accepts.
    pub list: BTreeSet<Address>,
    /// What becomes of everybody else.
    pub first_use: FirstUse,
}

/// What becomes of a payee that is not listed, when an agent asks to pay it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstUse {
    /// It is refused, whatever operators said.
    #[default]
    Refused,
    /// It is refused, and kept until an operator accepts it.
    Pending,
}

/// A person who governs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// What they are known by; at least one.
    pub proofs: Proofs,
    /// The groups they belong to.
    pub teams: BTreeSet<TeamName>,
}

impl Prepaid {
    /// Whether a payment for this call tops the credit up.
    #[must_use]
    pub fn takes(&self, endpoint: &Endpoint) -> bool {
        self.top_up.iter().any(|path| path.matches(endpoint.path()))
    }
}

impl Service {
    /// The most specific of its patterns that `endpoint` matches, as the length of its literal part.
    fn specificity(&self, endpoint: &Endpoint) -> Option<usize> {
        if self.origin != *endpoint.origin() || !self.methods.contains(endpoint.method()) {
            return None;
        }
        self.paths.iter().filter(|path| path.matches(endpoint.path())).map(PathPattern::literal_len).max()
    }
}

impl Registry {
    /// Every service the endpoint belongs to, the most specific first, ties by name.
    #[must_use]
    pub fn services_of(&self, endpoint: &Endpoint) -> Vec<ServiceName> {
        let mut found: Vec<(usize, &ServiceName)> = self
            .services
            .iter()
            .filter_map(|(name, service)| service.specificity(endpoint).map(|length| (length, name)))
            .collect();
        found.sort_by(|(a, a_name), (b, b_name)| b.cmp(a).then(a_name.cmp(b_name)));
        found.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// Every service a payment may belong to: those of its endpoint or, when nobody named one, those that take payments to
    /// this payee on trust.
    #[must_use]
    pub fn services_for(&self, endpoint: &Endpoint, payee: Address) -> Vec<ServiceName> {
        if endpoint.is_known() {
            return self.services_of(endpoint);
        }
        let takes = |service: &Service| service.unknown_endpoints && service.payees.list.contains(&payee);
        self.services.iter().filter(|(_, service)| takes(service)).map(|(name, _)| name.clone()).collect()
    }

    /// A subject and the subjects it was under earlier names. What was spent, decided or asked for under an earlier name
    /// still counts.
    pub fn names_of_agent<'r>(&'r self, name: &'r AgentName) -> impl Iterator<Item = &'r AgentName> {
        let was = self.agents.get(name).map(|agent| &agent.was);
        std::iter::once(name).chain(was.into_iter().flatten())
    }

    /// See [`Registry::names_of_agent`].
    pub fn names_of_workflow<'r>(&'r self, name: &'r WorkflowName) -> impl Iterator<Item = &'r WorkflowName> {
        let was = self.workflows.get(name).map(|workflow| &workflow.was);
        std::iter::once(name).chain(was.into_iter().flatten())
    }

    /// See [`Registry::names_of_agent`].
    pub fn names_of_service<'r>(&'r self, name: &'r ServiceName) -> impl Iterator<Item = &'r ServiceName> {
        let was = self.services.get(name).map(|service| &service.was);
        std::iter::once(name).chain(was.into_iter().flatten())
    }

    /// The scopes whose totals are a subject's: its own and those of its earlier names.
    #[must_use]
    pub fn scopes(&self, scope: &Scope) -> Vec<Scope> {
        match scope {
            Scope::Agent(name) => self.names_of_agent(name).cloned().map(Scope::Agent).collect(),
            Scope::Workflow(name) => self.names_of_workflow(name).cloned().map(Scope::Workflow).collect(),
            Scope::Service(name) => self.names_of_service(name).cloned().map(Scope::Service).collect(),
            Scope::Wallet(address) => {
                let was = self.wallet_at(*address).map(|(_, wallet)| &wallet.was);
                let was = was.into_iter().flatten().copied().map(Scope::Wallet);
                std::iter::once(scope.clone()).chain(was).collect()
            }
            Scope::Payee(_) => vec![scope.clone()],
        }
    }

    /// The subjects whose suspension is a subject's: itself and its earlier names.
    #[must_use]
    pub fn subjects(&self, subject: &Subject) -> Vec<Subject> {
        match subject {
            Subject::Agent(name) => self.names_of_agent(name).cloned().map(Subject::Agent).collect(),
            Subject::Workflow(name) => self.names_of_workflow(name).cloned().map(Subject::Workflow).collect(),
            Subject::Service(name) => self.names_of_service(name).cloned().map(Subject::Service).collect(),
            Subject::Wallet(_) | Subject::Sidecar => vec![subject.clone()],
        }
    }

    /// The subject as it is called now; itself when no name was changed.
    #[must_use]
    pub fn current(&self, subject: &Subject) -> Subject {
        let renamed = match subject {
            Subject::Agent(name) => (self.agents.iter().find(|(_, agent)| agent.was.contains(name)))
                .map(|(now, _)| Subject::Agent(now.clone())),
            Subject::Workflow(name) => (self.workflows.iter())
                .find(|(_, workflow)| workflow.was.contains(name))
                .map(|(now, _)| Subject::Workflow(now.clone())),
            Subject::Service(name) => (self.services.iter().find(|(_, service)| service.was.contains(name)))
                .map(|(now, _)| Subject::Service(now.clone())),
            Subject::Wallet(_) | Subject::Sidecar => None,
        };
        renamed.unwrap_or_else(|| subject.clone())
    }

    /// How credit is bought at a service, by its name or one that it had before; nothing when it is not prepaid.
    #[must_use]
    pub fn prepaid(&self, service: &ServiceName) -> Option<&Prepaid> {
        let is =
            |(name, declared): &(&ServiceName, &Service)| *name == service || declared.was.contains(service);
        self.services.iter().find(is).and_then(|(_, declared)| declared.prepaid.as_ref())
    }

    /// The ceilings a subject declares, if it is declared.
    #[must_use]
    pub fn ceilings(&self, scope: &Scope) -> Option<&Ceilings> {
        match scope {
            Scope::Agent(name) => self.agents.get(name).map(|agent| &agent.ceilings),
            Scope::Workflow(name) => self.workflows.get(name).map(|workflow| &workflow.ceilings),
            Scope::Service(name) => self.services.get(name).map(|service| &service.ceilings),
            Scope::Wallet(address) => self.wallet_at(*address).map(|(_, wallet)| &wallet.ceilings),
            Scope::Payee(address) => self.payees.get(address),
        }
    }

    /// Who answers for the sidecar itself.
    #[must_use]
    pub fn owners_of_sidecar(&self) -> BTreeSet<TeamName> {
        if self.sidecar_owners.is_empty() {
            self.wallets.values().map(|wallet| wallet.owner.clone()).collect()
        } else {
            self.sidecar_owners.clone()
        }
    }

    /// The agent that connects as `uid`.
    #[must_use]
    pub fn agent_of_uid(&self, uid: u32) -> Option<&AgentName> {
        self.agents.iter().find(|(_, agent)| agent.proofs.uids.contains(&uid)).map(|(name, _)| name)
    }

    /// The operator that connects as `uid`.
    #[must_use]
    pub fn operator_of_uid(&self, uid: u32) -> Option<&OperatorName> {
        self.operators.iter().find(|(_, operator)| operator.proofs.uids.contains(&uid)).map(|(name, _)| name)
    }

    /// The wallet that has this address, or had it before it was rotated.
    #[must_use]
    pub fn wallet_of(&self, address: Address) -> Option<(&WalletName, &Wallet)> {
        let is =
            |(_, wallet): &(&WalletName, &Wallet)| wallet.address == address || wallet.was.contains(&address);
        self.wallets.iter().find(is)
    }

    /// Who can open a wallet's backup: the recipients of the teams that may recover it.
    #[must_use]
    pub fn backup_recipients(&self, wallet: &Wallet) -> BTreeSet<BackupRecipient> {
        let teams = wallet.recovery.iter().filter_map(|name| self.teams.get(name));
        teams.flat_map(|team| team.backup_recipients.iter().cloned()).collect()
    }

    /// What is declared about a subject at a time, an expiry that is over included; nothing when it is not declared. A
    /// workflow's expiry is not included: it has a rule of its own. What was rotated away drains.
    #[must_use]
    pub fn declared(&self, subject: &Subject, now: UnixSeconds) -> Option<Status> {
        let timed = |(status, expires): (Status, Option<UnixSeconds>)| {
            let expired = expires.is_some_and(|expires| now >= expires);
            if expired { status.strictest(Status::Expired) } else { status }
        };
        match subject {
            Subject::Agent(name) => self.agents.get(name).map(|agent| (agent.status, agent.expires)),
            Subject::Workflow(name) => self.workflows.get(name).map(|workflow| (workflow.status, None)),
            Subject::Wallet(address) => self.wallet_of(*address).map(|(_, wallet)| {
                let replaced = if wallet.address == *address { Status::Active } else { Status::Draining };
                (wallet.status.strictest(replaced), wallet.expires)
            }),
            Subject::Service(name) => {
                self.services.get(name).map(|service| (service.status, service.expires))
            }
            Subject::Sidecar => Some((Status::Active, None)),
        }
        .map(timed)
    }

    /// The labels and the identity of agents that may not change unseen, as they are declared.
    #[must_use]
    pub fn reviewed(&self) -> Reviewed {
        let of = |agent: &Agent| {
            let value = |key: &String| self.reviewed_value(agent, key).map(|value| (key.clone(), value));
            agent.review_on.iter().filter_map(value).collect::<BTreeMap<String, String>>()
        };
        let agents = self.agents.iter().map(|(name, agent)| (name.clone(), of(agent)));
        agents.filter(|(_, values)| !values.is_empty()).collect()
    }

    /// What a property of an agent is that can be reviewed.
    #[must_use]
    pub fn reviewed_value(&self, agent: &Agent, key: &str) -> Option<String> {
        if key == REVIEWED_IDENTITY {
            return Some(agent.proofs.text());
        }
        agent.labels.get(key).cloned()
    }

    /// The wallet with this address.
    #[must_use]
    pub fn wallet_at(&self, address: Address) -> Option<(&WalletName, &Wallet)> {
        self.wallets.iter().find(|(_, wallet)| wallet.address == address)
    }
}

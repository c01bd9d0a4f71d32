//! `registry.yaml`: read node by node, every reference resolved, every error reported with its line.

mod assets;
mod ceilings;
mod fields;
mod people;
mod proofs;
mod review;
mod subjects;
mod values;
mod wallets;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use pursekeeper_core::registry::{Ceilings, Registry};
use pursekeeper_core::{
    Address, AgentName, Asset, AssetId, EvmAddress, OperatorName, ServiceName, TeamName, WalletName,
    WorkflowName,
};

use self::fields::{Field, Fields, Findings, entries};
use self::proofs::Known;
use crate::REGISTRY_FILE;
use crate::error::{BundleError, BundleWarning};
use crate::yaml::{self, Entry, Position, Value};

/// The version of the format this build reads.
const VERSION: u64 = 1;
/// Most subjects of one kind.
const SUBJECTS_MAX: usize = 100_000;
/// The highest `revision`: what every reader of JSON takes as it is.
const REVISION_MAX: u64 = (1 << 53) - 1;
const KNOWN: [&str; 11] = [
    "version",
    "revision",
    "teams",
    "operators",
    "sidecar",
    "assets",
    "services",
    "workflows",
    "agents",
    "wallets",
    "payees",
];

/// A registry that can be used.
pub(crate) struct Declaration {
    pub(crate) registry: Registry,
    /// What the registry calls each asset.
    pub(crate) asset_names: BTreeMap<AssetId, String>,
    pub(crate) warnings: Vec<BundleWarning>,
}

/// Names that may be referred to, also when what they name has errors of its own.
pub(super) struct Declared {
    teams: BTreeSet<TeamName>,
    services: BTreeSet<ServiceName>,
    workflows: BTreeSet<WorkflowName>,
}

/// Reads the text of a `registry.yaml`.
///
/// `dev` lets one user id belong to an agent and an operator.
pub(crate) fn read(text: &str, dev: bool) -> Result<Declaration, Vec<BundleError>> {
    let mut findings = Findings::new(REGISTRY_FILE);
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(faults) => {
            for fault in faults {
                findings.error(fault.at, fault.what);
            }
            return Err(findings.errors);
        }
    };
    let top = Fields::open(&root, root.at, "the registry".to_owned(), &KNOWN, &mut findings);
    let Some(top) = top else { return Err(findings.errors) };
    version(&top, &mut findings);
    let (registry, asset_names) = sections(&top, dev, &mut findings);
    findings.errors.sort_by(|a, b| a.place().cmp(&b.place()));
    if findings.errors.is_empty() {
        Ok(Declaration { registry, asset_names, warnings: findings.warnings })
    } else {
        Err(findings.errors)
    }
}

fn version(top: &Fields<'_>, findings: &mut Findings) {
    let Some(field) = top.require("version", "begin the file with `version: 1`", findings) else { return };
    if field.whole(u64::MAX, findings).is_some_and(|version| version != VERSION) {
        field.error(findings, format!("this build reads version {VERSION}: use a build that reads yours"));
    }
}

fn sections(top: &Fields<'_>, dev: bool, findings: &mut Findings) -> (Registry, BTreeMap<AssetId, String>) {
    let teams = top.get("teams").map(|field| people::teams(&field, findings)).unwrap_or_default();
    let operators = named(top, "operators", OperatorName::parse, findings);
    let services = named(top, "services", ServiceName::parse, findings);
    let workflows = named(top, "workflows", WorkflowName::parse, findings);
    let agents = named(top, "agents", AgentName::parse, findings);
    let wallets = named(top, "wallets", WalletName::parse, findings);
    let declared = Declared {
        teams: teams.keys().cloned().collect(),
        services: services.iter().map(|(name, _)| name.clone()).collect(),
        workflows: workflows.iter().map(|(name, _)| name.clone()).collect(),
    };
    let mut known = Known::new(dev);
    let (assets, asset_names) = assets(top, findings);
    let registry = Registry {
        revision: top.get("revision").and_then(|field| field.whole(REVISION_MAX, findings)),
        operators: each(&operators, findings, |name, entry, findings| {
            people::operator(name, entry, &declared, &mut known, findings)
        }),
        services: each(&services, findings, subjects::service),
        workflows: each(&workflows, findings, |name, entry, findings| {
            subjects::workflow(name, entry, &declared, findings)
        }),
        agents: each(&agents, findings, |name, entry, findings| {
            subjects::agent(name, entry, &declared, &mut known, findings)
        }),
        wallets: each(&wallets, findings, |name, entry, findings| {
            wallets::wallet(name, entry, &declared, findings)
        }),
        payees: payees(top, findings),
        sidecar_owners: match top.get("sidecar") {
            Some(field) => people::sidecar_owners(&field, &declared, findings),
            None => BTreeSet::new(),
        },
        teams: teams.iter().map(|(name, found)| (name.clone(), found.team.clone())).collect(),
        assets,
    };
    let positions = review::Positions {
        teams: teams.iter().map(|(name, found)| (name.clone(), found.at)).collect(),
        services: services.iter().map(|(name, entry)| (name.clone(), entry.at)).collect(),
        wallets: wallets.iter().map(|(name, entry)| (name.clone(), entry.at)).collect(),
        workflows: workflows.iter().map(|(name, entry)| (name.clone(), entry.at)).collect(),
        agents: agents.iter().map(|(name, entry)| (name.clone(), entry.at)).collect(),
    };
    review::review(&registry, &positions, findings);
    (registry, asset_names)
}

/// The entries of a section whose keys are names.
fn named<'n, T>(
    top: &'n Fields<'_>,
    section: &'static str,
    parse: impl Fn(&str) -> Result<T, pursekeeper_core::NameError>,
    findings: &mut Findings,
) -> Vec<(T, &'n Entry)> {
    let mut found = Vec::new();
    for entry in section_entries(top, section, findings) {
        match parse(&entry.key) {
            Ok(name) => found.push((name, entry)),
            Err(error) => findings.error(entry.at, format!("{section}: {error}")),
        }
    }
    found
}

fn section_entries<'n>(top: &'n Fields<'_>, section: &'static str, findings: &mut Findings) -> &'n [Entry] {
    let Some(Field { node, .. }) = top.get(section) else { return &[] };
    let found = entries(node, node.at, section, findings).unwrap_or_default();
    if found.len() > SUBJECTS_MAX {
        findings.error(node.at, format!("{section}: more than {SUBJECTS_MAX}: split the registry"));
        return &[];
    }
    found
}

fn each<N: Ord + Clone + Display, T>(
    named: &[(N, &Entry)],
    findings: &mut Findings,
    mut read: impl FnMut(&N, &Entry, &mut Findings) -> Option<T>,
) -> BTreeMap<N, T> {
    let mut found = BTreeMap::new();
    for (name, entry) in named {
        if let Some(value) = read(name, entry, findings) {
            found.insert(name.clone(), value);
        }
    }
    found
}

fn assets(
    top: &Fields<'_>,
    findings: &mut Findings,
) -> (BTreeMap<AssetId, Asset>, BTreeMap<AssetId, String>) {
    let (mut found, mut names) = (BTreeMap::new(), BTreeMap::<AssetId, String>::new());
    for entry in section_entries(top, "assets", findings) {
        // An asset's name is only for people and policies; it obeys the same rules as all others.
        if let Err(error) = ServiceName::parse(&entry.key) {
            findings.error(entry.at, format!("assets: {error}"));
        }
        let Some(asset) = assets::asset(&entry.key, entry, findings) else { continue };
        if let Some(other) = names.get(asset.id()) {
            let what = format!("asset `{}` is the same contract as `{other}`: keep one", entry.key);
            findings.error(entry.at, what);
            continue;
        }
        names.insert(asset.id().clone(), entry.key.clone());
        found.insert(asset.id().clone(), asset);
    }
    (found, names)
}

fn payees(top: &Fields<'_>, findings: &mut Findings) -> BTreeMap<Address, Ceilings> {
    let mut found = BTreeMap::new();
    for entry in section_entries(top, "payees", findings) {
        let subject = format!("payee `{}`", entry.key);
        let address = match EvmAddress::parse(&entry.key) {
            Ok(address) => Address::from(address),
            Err(error) => {
                findings.error(entry.at, format!("{subject}: {error}"));
                continue;
            }
        };
        if matches!(entry.value.value, Value::Null) {
            findings.error(entry.at, format!("{subject}: `ceilings` is missing: write its limits"));
        }
        let fields = Fields::open(&entry.value, entry.at, subject, &["ceilings"], findings);
        let Some(fields) = fields else { continue };
        let limits = ceilings::read(&fields, findings);
        if !limits.sign_ins.is_empty() {
            findings.error(
                entry.at,
                format!("payee `{}`: nobody signs in to a payee: leave `sign_ins` out", entry.key),
            );
        }
        if found.insert(address, limits).is_some() {
            let what = format!("payee `{}` stands here twice in two spellings: keep one", entry.key);
            findings.error(entry.at, what);
        }
    }
    found
}

/// A place to point at when the one that matters is not known.
const START: Position = Position { line: 1, column: 1 };

//! `services`, `workflows` and `agents`.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_core::registry::{Agent, FirstUse, PathPattern, Payees, Prepaid, Service, Workflow};
use pursekeeper_core::{
    Address, AgentName, METHOD_LEN_MAX, NameError, Origin, REVIEWED_IDENTITY, ServiceName, TeamName,
    WorkflowName,
};

use super::fields::{Field, Fields, Findings, entries};
use super::proofs::{Known, PROOFS};
use super::{Declared, ceilings};
use crate::yaml::{Entry, Value};

const SERVICE: [&str; 12] = [
    "was",
    "origin",
    "methods",
    "paths",
    "payees",
    "facilitators",
    "unknown_endpoints",
    "resource_optional",
    "prepaid",
    "expires",
    "ceilings",
    "status",
];
const WORKFLOW: [&str; 6] = ["was", "owner", "expires", "services", "ceilings", "status"];
const AGENT: [&str; 7] = ["was", "workflows", "labels", "review_on", "expires", "ceilings", "status"];

/// One service.
pub(super) fn service(name: &ServiceName, entry: &Entry, findings: &mut Findings) -> Option<Service> {
    let fields = Fields::open(&entry.value, entry.at, format!("service `{name}`"), &SERVICE, findings)?;
    let was = was(&fields, ServiceName::parse, findings);
    let origin = fields
        .require("origin", "write scheme and host, `https://api.example.com`", findings)
        .and_then(|field| origin(&field, findings));
    let mut methods = BTreeSet::new();
    let why = "name the HTTP methods, `[GET, POST]`";
    if let Some(field) = fields.require("methods", why, findings) {
        for node in field.some_items(why, findings).unwrap_or_default() {
            let item = field.item(node);
            let Some(text) = item.text(findings) else { continue };
            if (1..=METHOD_LEN_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase()) {
                methods.insert(text.to_owned());
            } else {
                item.error(findings, format!("`{text}` is no HTTP method: use upper-case letters, `GET`"));
            }
        }
    }
    let mut paths = Vec::new();
    let why = "name the paths, `[\"/v1/**\"]`";
    if let Some(field) = fields.require("paths", why, findings) {
        for node in field.some_items(why, findings).unwrap_or_default() {
            paths.extend(field.item(node).parsed(PathPattern::parse, findings));
        }
    }
    let payees = fields.get("payees").map(|field| payees(&field, findings)).unwrap_or_default();
    if payees == Payees::default() {
        findings.warn(entry.at, format!("service `{name}` accepts no payee: every payment there is refused"));
    }
    let facilitators =
        fields.get("facilitators").map(|field| addresses(&field, findings)).unwrap_or_default();
    let unknown_endpoints =
        fields.get("unknown_endpoints").is_some_and(|field| field.flag(findings) == Some(true));
    let resource_optional =
        fields.get("resource_optional").is_some_and(|field| field.flag(findings) == Some(true));
    let prepaid = fields.get("prepaid").map(|field| prepaid(&field, &paths, findings));
    let expires = fields.expires(findings);
    let ceilings = ceilings::read(&fields, findings);
    let status = fields.status(findings);
    // What cannot be read must not become "not prepaid".
    let prepaid = match prepaid {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Service {
        was,
        origin: origin?,
        methods,
        paths,
        payees,
        facilitators,
        unknown_endpoints,
        resource_optional,
        prepaid,
        expires,
        ceilings,
        status,
    })
}

/// How credit is bought: `{ top_up: ["/v1/top-up"] }`. A call that is in no path of the service is not booked under it, so
/// each of these must be in one.
fn prepaid(field: &Field<'_>, paths: &[PathPattern], findings: &mut Findings) -> Option<Prepaid> {
    let subject = format!("{}: prepaid", field.subject);
    let why = "name the paths where payments top the credit up, `[\"/v1/top-up\"]`";
    let fields = Fields::open(field.node, field.node.at, subject, &["top_up"], findings)?;
    let field = fields.require("top_up", why, findings)?;
    let mut top_up = Vec::new();
    for node in field.some_items(why, findings)? {
        let item = field.item(node);
        let Some(path) = item.parsed(PathPattern::parse, findings) else { continue };
        // Without paths, that is what is said already.
        if !paths.is_empty() && !paths.iter().any(|wide| wide.covers(&path)) {
            let text = path.as_str();
            item.error(findings, format!("`{text}` is not in the service's `paths`: add it there too"));
        }
        top_up.push(path);
    }
    Some(Prepaid { top_up })
}

/// A list, or `{ first_use: pending }` with or without one.
fn payees(field: &Field<'_>, findings: &mut Findings) -> Payees {
    if !matches!(field.node.value, Value::Map(_)) {
        return Payees { list: addresses(field, findings), first_use: FirstUse::Refused };
    }
    let subject = format!("{}: payees", field.subject);
    let known = ["first_use", "list"];
    let Some(fields) = Fields::open(field.node, field.node.at, subject, &known, findings) else {
        return Payees::default();
    };
    let why = "write `first_use: pending`, or a list of addresses without a key";
    let first_use = fields.require("first_use", why, findings);
    let word = first_use.and_then(|field| {
        let text = field.text(findings)?;
        let known = text == "pending";
        if !known {
            field.error(
                findings,
                format!("`{text}`: nobody is accepted unseen: write `pending`, or only a list"),
            );
        }
        known.then_some(FirstUse::Pending)
    });
    let list = fields.get("list").map(|field| addresses(&field, findings)).unwrap_or_default();
    // What could not be read is an error already, and must not open anything meanwhile.
    Payees { list, first_use: word.unwrap_or_default() }
}

fn addresses(field: &Field<'_>, findings: &mut Findings) -> BTreeSet<Address> {
    let items = field.items(findings).unwrap_or_default();
    items.iter().filter_map(|node| field.item(node).address(findings).map(Address::from)).collect()
}

fn origin(field: &Field<'_>, findings: &mut Findings) -> Option<Origin> {
    let origin = field.parsed(Origin::parse, findings)?;
    let text = field.text(findings)?;
    let after_scheme = text.split_once("//").map_or("", |(_, rest)| rest);
    if after_scheme.contains(['/', '?', '#']) {
        field.error(findings, format!("`{text}`: no path here: write `{origin}` and use `paths`"));
        return None;
    }
    Some(origin)
}

/// One workflow.
pub(super) fn workflow(
    name: &WorkflowName,
    entry: &Entry,
    declared: &Declared,
    findings: &mut Findings,
) -> Option<Workflow> {
    let fields = Fields::open(&entry.value, entry.at, format!("workflow `{name}`"), &WORKFLOW, findings)?;
    let owner = fields
        .require("owner", "name the team that answers for it", findings)
        .and_then(|field| field.reference("team", TeamName::parse, &declared.teams, findings));
    let expires = fields.expires(findings);
    let services = fields
        .require("services", "name where it may spend, `[weather]`", findings)
        .map(|field| field.references("service", ServiceName::parse, &declared.services, findings));
    let ceilings = ceilings::read(&fields, findings);
    let status = fields.status(findings);
    let was = was(&fields, WorkflowName::parse, findings);
    Some(Workflow { was, owner: owner?, expires, services: services?, ceilings, status })
}

/// One agent.
pub(super) fn agent(
    name: &AgentName,
    entry: &Entry,
    declared: &Declared,
    known: &mut Known,
    findings: &mut Findings,
) -> Option<Agent> {
    let keys: Vec<&str> = PROOFS.into_iter().chain(AGENT).collect();
    let fields = Fields::open(&entry.value, entry.at, format!("agent `{name}`"), &keys, findings)?;
    let proofs = known.read(&fields, false, findings);
    let workflows = workflows(&fields, "name the workflow(s) it works for", declared, findings);
    let labels = match fields.get("labels") {
        Some(field) => labels(&field, findings),
        None => BTreeMap::new(),
    };
    let review_on = match fields.get("review_on") {
        Some(field) => review_on(&field, &labels, findings),
        None => BTreeSet::new(),
    };
    let expires = fields.expires(findings);
    let ceilings = ceilings::read(&fields, findings);
    let was = was(&fields, AgentName::parse, findings);
    let status = fields.status(findings);
    Some(Agent { proofs, workflows, was, labels, review_on, expires, ceilings, status })
}

/// Names a subject had before. What was spent under them still counts.
fn was<T: Ord>(
    fields: &Fields<'_>,
    parse: fn(&str) -> Result<T, NameError>,
    findings: &mut Findings,
) -> BTreeSet<T> {
    let Some(field) = fields.get("was") else { return BTreeSet::new() };
    let items = field.items(findings).unwrap_or_default();
    items.iter().filter_map(|node| field.item(node).parsed(parse, findings)).collect()
}

fn labels(field: &Field<'_>, findings: &mut Findings) -> BTreeMap<String, String> {
    let subject = format!("{}: labels", field.subject);
    let mut found = BTreeMap::new();
    for entry in entries(field.node, field.node.at, &subject, findings).unwrap_or_default() {
        if entry.key == REVIEWED_IDENTITY {
            let what = format!(
                "{subject}: `{REVIEWED_IDENTITY}` means what the agent connects as: call the label otherwise"
            );
            findings.error(entry.at, what);
        }
        let value = Field { key: "labels", subject: field.subject, node: &entry.value };
        if let Some(text) = value.text(findings) {
            found.insert(entry.key.clone(), text.to_owned());
        }
    }
    found
}

/// What may not change unseen: labels of the agent, or what it connects as.
fn review_on(
    field: &Field<'_>,
    labels: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for node in field.items(findings).unwrap_or_default() {
        let item = field.item(node);
        let Some(key) = item.text(findings) else { continue };
        if key != REVIEWED_IDENTITY && !labels.contains_key(key) {
            let what = format!(
                "`{key}` is no label of this agent: declare it under `labels`, or write `{REVIEWED_IDENTITY}` for what it connects as"
            );
            item.error(findings, what);
        } else if !found.insert(key.to_owned()) {
            item.error(findings, "this one stands here twice: keep one");
        }
    }
    found
}

pub(super) fn workflows(
    fields: &Fields<'_>,
    why: &str,
    declared: &Declared,
    findings: &mut Findings,
) -> BTreeSet<WorkflowName> {
    let Some(field) = fields.require("workflows", why, findings) else { return BTreeSet::new() };
    // Emptiness is reported here, wrong items below.
    if field.some_items(why, findings).is_none() {
        return BTreeSet::new();
    }
    field.references("workflow", WorkflowName::parse, &declared.workflows, findings)
}

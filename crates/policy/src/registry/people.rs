//! `teams` and `operators`.

use std::collections::BTreeSet;

use pursekeeper_core::registry::Operator;
use pursekeeper_core::{OperatorName, TeamName};

use super::Declared;
use super::fields::{Field, Fields, Findings};
use super::uids::Uids;
use crate::yaml::{Entry, Position};

/// The teams, each with its place.
pub(super) fn teams(field: &Field<'_>, findings: &mut Findings) -> Vec<(TeamName, Position)> {
    let mut found: Vec<(TeamName, Position)> = Vec::new();
    for node in field.items(findings).unwrap_or_default() {
        let Some(name) = field.item(node).parsed(TeamName::parse, findings) else { continue };
        if found.iter().any(|(known, _)| *known == name) {
            field.error_at(node.at, findings, format!("team `{name}` stands here twice: keep one"));
        } else {
            found.push((name, node.at));
        }
    }
    found
}

/// The teams that answer for the sidecar itself.
pub(super) fn sidecar_owners(
    field: &Field<'_>,
    declared: &Declared,
    findings: &mut Findings,
) -> BTreeSet<TeamName> {
    let subject = "the sidecar".to_owned();
    let fields = Fields::open(field.node, field.node.at, subject, &["owners"], findings);
    let Some(fields) = fields else { return BTreeSet::new() };
    let why = "name the team(s) that answer for it, or leave `sidecar` out";
    let Some(owners) = fields.require("owners", why, findings) else { return BTreeSet::new() };
    if owners.some_items(why, findings).is_none() {
        return BTreeSet::new();
    }
    owners.references("team", TeamName::parse, &declared.teams, findings)
}

/// One operator.
pub(super) fn operator(
    name: &OperatorName,
    entry: &Entry,
    declared: &Declared,
    uids: &mut Uids,
    findings: &mut Findings,
) -> Option<Operator> {
    let subject = format!("operator `{name}`");
    let fields = Fields::open(&entry.value, entry.at, subject, &["uids", "teams"], findings)?;
    let uids = uids.read(&fields, true, findings);
    let teams = match fields.require("teams", "name the teams this person belongs to", findings) {
        Some(field) => field.references("team", TeamName::parse, &declared.teams, findings),
        None => BTreeSet::new(),
    };
    Some(Operator { uids, teams })
}

//! `teams` and `operators`.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_core::registry::{Operator, Team};
use pursekeeper_core::{BackupRecipient, OperatorName, TeamName};

use super::Declared;
use super::fields::{Field, Fields, Findings};
use super::proofs::{Known, PROOFS};
use crate::yaml::{Entry, Position, Value};

/// A team and where it stands.
pub(super) struct Found {
    pub(super) at: Position,
    pub(super) team: Team,
}

/// The teams: a list of names, or a mapping that says more about some of them.
pub(super) fn teams(field: &Field<'_>, findings: &mut Findings) -> BTreeMap<TeamName, Found> {
    let mut found = BTreeMap::new();
    if let Value::Map(entries) = &field.node.value {
        for entry in entries {
            match TeamName::parse(&entry.key) {
                Ok(name) => {
                    let team = team(&name, entry, findings);
                    found.insert(name, Found { at: entry.at, team });
                }
                Err(error) => findings.error(entry.at, format!("teams: {error}")),
            }
        }
        return found;
    }
    for node in field.items(findings).unwrap_or_default() {
        let Some(name) = field.item(node).parsed(TeamName::parse, findings) else { continue };
        let place = Found { at: node.at, team: Team::default() };
        if let Some(before) = found.insert(name.clone(), place) {
            field.error_at(node.at, findings, format!("team `{name}` stands here twice: keep one"));
            found.insert(name, before);
        }
    }
    found
}

fn team(name: &TeamName, entry: &Entry, findings: &mut Findings) -> Team {
    let subject = format!("team `{name}`");
    let fields = Fields::open(&entry.value, entry.at, subject, &["backup_recipients"], findings);
    let recipients = fields.as_ref().and_then(|fields| fields.get("backup_recipients"));
    let backup_recipients = recipients.map(|field| recipients_of(&field, findings)).unwrap_or_default();
    Team { backup_recipients }
}

/// Who opens the backups of the wallets a team may recover.
fn recipients_of(field: &Field<'_>, findings: &mut Findings) -> BTreeSet<BackupRecipient> {
    let mut found = BTreeSet::new();
    let why = "write what `age-keygen` calls the public key, or leave it out";
    for node in field.some_items(why, findings).unwrap_or_default() {
        let item = field.item(node);
        let Some(text) = item.text(findings) else { continue };
        match BackupRecipient::parse(text) {
            Ok(recipient) if !found.insert(recipient.clone()) => {
                item.error(findings, format!("`{recipient}` stands here twice: keep one"));
            }
            Ok(_) => {}
            // The text is not quoted beside what the error says of it: it may be a secret that was pasted by mistake.
            Err(error) => item.error(findings, error),
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
    known: &mut Known,
    findings: &mut Findings,
) -> Option<Operator> {
    let subject = format!("operator `{name}`");
    let keys: Vec<&str> = PROOFS.into_iter().chain(["teams"]).collect();
    let fields = Fields::open(&entry.value, entry.at, subject, &keys, findings)?;
    let proofs = known.read(&fields, true, findings);
    let teams = match fields.require("teams", "name the teams this person belongs to", findings) {
        Some(field) => field.references("team", TeamName::parse, &declared.teams, findings),
        None => BTreeSet::new(),
    };
    Some(Operator { proofs, teams })
}

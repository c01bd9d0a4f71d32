//! `wallets`.

use std::collections::BTreeSet;

use pursekeeper_core::registry::{BackupRule, Wallet};
use pursekeeper_core::{Address, TeamName, Usd, WalletName};

use super::fields::{Field, Fields, Findings};
use super::subjects::workflows;
use super::{Declared, ceilings};
use crate::yaml::Entry;

const WALLET: [&str; 14] = [
    "address",
    "was",
    "owner",
    "recovery",
    "revokers",
    "workflows",
    "backup",
    "expires",
    "networks",
    "shared",
    "floor",
    "warn_below",
    "ceilings",
    "status",
];
/// The word for [`BackupRule::None`].
const NO_BACKUP: &str = "none";

/// One wallet.
pub(super) fn wallet(
    name: &WalletName,
    entry: &Entry,
    declared: &Declared,
    findings: &mut Findings,
) -> Option<Wallet> {
    let fields = Fields::open(&entry.value, entry.at, format!("wallet `{name}`"), &WALLET, findings)?;
    let address = fields
        .require("address", "write the wallet's address (`pursekeeper wallet create` prints it)", findings)
        .and_then(|field| field.address(findings));
    let owner = fields
        .require("owner", "name the team that answers for it", findings)
        .and_then(|field| field.reference("team", TeamName::parse, &declared.teams, findings));
    let recovery = team_set(&fields, "recovery", "name the team(s) that may recover it", declared, findings);
    let revokers = team_set(&fields, "revokers", "name the team(s) that may suspend it", declared, findings);
    let workflows = workflows(&fields, "name the workflow it pays for", declared, findings);
    let shared = fields.get("shared").is_some_and(|field| field.flag(findings) == Some(true));
    if workflows.len() > 1 && !shared {
        let what = format!(
            "wallet `{name}` serves several workflows: give each its own wallet, or say `shared: true`"
        );
        findings.error(entry.at, what);
    } else if workflows.len() > 1 {
        findings.warn(entry.at, format!("wallet `{name}` is shared by {} workflows", workflows.len()));
    }
    let was = fields.get("was").map(|field| former(&field, findings)).unwrap_or_default();
    let backup = fields.get("backup").map(|field| backup(&field, findings)).unwrap_or_default();
    let expires = fields.expires(findings);
    let mut networks = BTreeSet::new();
    let why = "name the networks it may spend on, `[\"eip155:8453\"]`";
    if let Some(field) = fields.require("networks", why, findings) {
        for node in field.some_items(why, findings).unwrap_or_default() {
            networks.extend(field.item(node).network(findings));
        }
    }
    let floor = fields.get("floor").map(|field| left(&field, findings));
    let warn_below = fields.get("warn_below").map(|field| left(&field, findings));
    let ceilings = ceilings::read(&fields, findings);
    let status = fields.status(findings);
    // What cannot be read must not become "none".
    let [floor, warn_below] = match [floor, warn_below] {
        [Some(None), _] | [_, Some(None)] => return None,
        [floor, warn_below] => [floor.flatten(), warn_below.flatten()],
    };
    Some(Wallet {
        address: address?.into(),
        was,
        owner: owner?,
        recovery,
        revokers,
        workflows,
        backup,
        expires,
        networks,
        floor,
        warn_below,
        ceilings,
        status,
    })
}

/// Addresses the wallet had before it was rotated. What they spent counts as its own.
fn former(field: &Field<'_>, findings: &mut Findings) -> BTreeSet<Address> {
    let mut found = BTreeSet::new();
    for node in field.items(findings).unwrap_or_default() {
        let item = field.item(node);
        let Some(address) = item.address(findings) else { continue };
        if !found.insert(address.into()) {
            item.error(findings, "this one stands here twice: keep one");
        }
    }
    found
}

/// Losing a key unawares is the worst that can become of a wallet, so only one word does without a backup.
fn backup(field: &Field<'_>, findings: &mut Findings) -> BackupRule {
    let Some(text) = field.text(findings) else { return BackupRule::Required };
    if text == NO_BACKUP {
        return BackupRule::None;
    }
    let what = format!(
        "`{text}`: write `{NO_BACKUP}` to accept that losing the key is losing what it holds, or leave `backup` out: then it needs one"
    );
    field.error(findings, what);
    BackupRule::Required
}

/// What is to be left of a balance. Nothing is always left.
fn left(field: &Field<'_>, findings: &mut Findings) -> Option<Usd> {
    let usd = ceilings::dollars(field, findings)?;
    if usd == Usd::ZERO {
        field.error(findings, "zero binds nothing: write more, or leave it out");
        return None;
    }
    Some(usd)
}

fn team_set(
    fields: &Fields<'_>,
    key: &'static str,
    why: &str,
    declared: &Declared,
    findings: &mut Findings,
) -> BTreeSet<TeamName> {
    let Some(field) = fields.require(key, why, findings) else { return BTreeSet::new() };
    if field.some_items(why, findings).is_none() {
        return BTreeSet::new();
    }
    field.references("team", TeamName::parse, &declared.teams, findings)
}

//! What an operator writes into `registry.yaml` to complete an act: a piece of YAML for a person to review.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pursekeeper_core::registry::{Registry, Wallet};
use pursekeeper_core::{Address, Aim, ChainId, PendingAct, WalletName};

/// The piece of the registry that contains what a pending act wants.
pub(super) fn of(registry: &Registry, pending: &PendingAct) -> String {
    let PendingAct { seq: _, wallet, aim } = pending;
    match aim {
        Aim::Declare(address) => declare(registry, wallet, *address),
        Aim::Replace { old, new } => replace(registry, wallet, *old, *new),
        Aim::Serve(_, workflows) => {
            let names: Vec<&str> = workflows.iter().map(|name| name.as_str()).collect();
            let shared = if workflows.len() > 1 { "\n    shared: true" } else { "" };
            format!("wallets:\n  {wallet}:\n    workflows: [{}]{shared}\n", names.join(", "))
        }
    }
}

fn declare(registry: &Registry, wallet: &WalletName, address: Address) -> String {
    let team = registry.teams.keys().next().map_or("TEAM", |name| name.as_str());
    let workflow = registry.workflows.keys().next().map_or("WORKFLOW", |name| name.as_str());
    // Whoever can open a backup can recover, and the networks are those the other wallets are on.
    let opens = registry.teams.iter().find(|(_, team)| !team.backup_recipients.is_empty());
    let recovery = opens.map_or(team, |(name, _)| name.as_str());
    let networks: BTreeSet<&ChainId> =
        registry.wallets.values().flat_map(|wallet| &wallet.networks).collect();
    let networks: Vec<String> = networks.into_iter().map(|network| format!("\"{network}\"")).collect();
    let networks = if networks.is_empty() { "\"eip155:8453\"".to_owned() } else { networks.join(", ") };
    format!(
        "wallets:\n  {wallet}:\n    address: \"{address}\"\n    owner: {team}          # check every line below\n    \
         recovery: [{recovery}]\n    revokers: [{team}]\n    workflows: [{workflow}]\n    networks: [{networks}]\n"
    )
}

fn replace(registry: &Registry, wallet: &WalletName, old: Address, new: Address) -> String {
    let declared: Option<&Wallet> = registry.wallets.get(wallet);
    let was = declared.into_iter().flat_map(|wallet| wallet.was.iter().copied());
    let mut list = String::new();
    for address in was.chain([old]).filter(|address| *address != new) {
        // Writing to a string cannot fail.
        let _ = write!(list, "{}\"{address}\"", if list.is_empty() { "" } else { ", " });
    }
    format!("wallets:\n  {wallet}:\n    address: \"{new}\"\n    was: [{list}]\n")
}

//! What an operator writes into `registry.yaml` to complete an act: a piece of YAML for a person to review.

use std::fmt::Write as _;

use pursekeeper_core::registry::{Registry, Wallet};
use pursekeeper_core::{Address, Aim, PendingAct, WalletName};

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
    let networks = registry.wallets.values().flat_map(|wallet| &wallet.networks).next();
    let network = networks.map_or_else(|| "eip155:8453".to_owned(), ToString::to_string);
    format!(
        "wallets:\n  {wallet}:\n    address: \"{address}\"\n    owner: {team}          # check every line below\n    \
         recovery: [{team}]\n    revokers: [{team}]\n    workflows: [{workflow}]\n    networks: [\"{network}\"]\n"
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

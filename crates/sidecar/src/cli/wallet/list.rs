//! What is known of wallets.

use pursekeeper_api::{Governance, v1};
use pursekeeper_custody::Keystore;
use serde_json::{Value, json};

use crate::cli::client::{self, Unavailable};
use crate::cli::subject::{NameArgs, paint_status};
use crate::cli::{ConfigArg, Exit, as_json, block_on, exposure, moment, pending};
use crate::config::Config;
use crate::output::{Output, Tone};

/// The status of a wallet that registry.yaml does not declare yet.
const PENDING: &str = "pending";

pub(super) fn list(config: &ConfigArg, output: Output) -> anyhow::Result<Exit> {
    let answer = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.list_wallets(v1::ListGovernedWalletsRequest {}).await)
    });
    let v1::ListGovernedWalletsResponse { wallets, pending: acts } = match answer {
        Ok(answer) => answer,
        Err(error) if error.is::<Unavailable>() => return kept(config, error, output),
        Err(error) => return Err(error),
    };
    let undeclared = undeclared(&wallets, &acts);
    let known: Vec<&v1::GovernedWallet> = wallets.iter().chain(&undeclared).collect();
    if output.is_json() {
        let of = |wallet: &v1::GovernedWallet| {
            // An address that was replaced has the name of the wallet, and nothing of it is pending.
            as_json::wallet(wallet, acts.iter().filter(|act| act.wallet == wallet.name && !wallet.replaced))
        };
        output.json(&known.into_iter().map(of).collect())?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = known.into_iter().map(|wallet| row(wallet, output)).collect();
    let heading = ["WALLET", "ADDRESS", "STATUS", "KEY", "BACKUP", "OWNER", "WORKFLOWS", "OUTSIDE"];
    output.table(&heading, &rows)?;
    pending::list(&acts, output)?;
    Ok(Exit::Done)
}

/// Wallets that have a key and that registry.yaml does not declare yet.
fn undeclared(declared: &[v1::GovernedWallet], acts: &[v1::PendingAct]) -> Vec<v1::GovernedWallet> {
    let is_new = |act: &&v1::PendingAct| declared.iter().all(|wallet| wallet.name != act.wallet);
    let wallet = |act: &v1::PendingAct| v1::GovernedWallet {
        name: act.wallet.clone(),
        address: act.address.clone(),
        status: PENDING.to_owned(),
        ..v1::GovernedWallet::default()
    };
    acts.iter().filter(is_new).map(wallet).collect()
}

fn row(wallet: &v1::GovernedWallet, output: Output) -> Vec<String> {
    let v1::GovernedWallet {
        name,
        address,
        status,
        key,
        backup,
        owner,
        workflows,
        replaced,
        exposure: total,
        ..
    } = wallet;
    let name = if *replaced { format!("{name} (replaced)") } else { name.clone() };
    vec![
        name,
        address.clone(),
        paint_status(status, output),
        paint_lack(key, output),
        paint_lack(backup, output),
        owner.clone(),
        workflows.join(", "),
        exposure::cell(total.as_ref()),
    ]
}

/// What is not there catches the eye.
fn paint_lack(state: &str, output: Output) -> String {
    match state {
        "absent" | "missing" | "outdated" => output.paint(Tone::Bad, state),
        _ => state.to_owned(),
    }
}

/// What is in the keystore, when no sidecar answers. Who may not read it learns that none does.
fn kept(config: &ConfigArg, unavailable: anyhow::Error, output: Output) -> anyhow::Result<Exit> {
    let config = Config::load(&config.config)?;
    let Ok(kept) = Keystore::open(&config.keystore.dir).and_then(|keystore| keystore.list()) else {
        return Err(unavailable);
    };
    if output.is_json() {
        let wallet = |(name, address): &(_, _)| -> Value {
            let (name, address): (&pursekeeper_core::WalletName, &pursekeeper_core::Address) =
                (name, address);
            json!({ "name": name.as_str(), "address": address.to_string(), "status": null })
        };
        output.json(&kept.iter().map(wallet).collect())?;
    } else {
        let row = |name: String, address: String| vec![name, address, "unknown".to_owned()];
        let rows: Vec<_> =
            kept.iter().map(|(name, address)| row(name.to_string(), address.to_string())).collect();
        output.table(&["WALLET", "ADDRESS", "STATUS"], &rows)?;
    }
    eprintln!("no sidecar answers: this is what the keystore holds, and no status is known");
    Ok(Exit::Done)
}

pub(super) fn show(args: NameArgs, output: Output) -> anyhow::Result<Exit> {
    let NameArgs { name: wallet, config } = args;
    let v1::GetWalletResponse { wallet, pending: acts } = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.get_wallet(v1::GetWalletRequest { wallet }).await)
    })?;
    // One that is not declared yet has nothing but what is pending.
    let wallet = wallet.or_else(|| undeclared(&[], &acts).into_iter().next());
    let wallet = wallet.ok_or_else(client::empty)?;
    if output.is_json() {
        output.json(&as_json::wallet(&wallet, acts.iter()))?;
        return Ok(Exit::Done);
    }
    for (noun, words) in facts(&wallet, output) {
        output.line(&format!("{} {words}", output.paint(Tone::Faint, &format!("{noun:<10}"))))?;
    }
    pending::list(&acts, output)?;
    for act in &acts {
        output.line(&format!("\n{}", act.registry_patch.trim_end()))?;
    }
    Ok(Exit::Done)
}

/// What is known of one wallet, under one noun each.
fn facts(wallet: &v1::GovernedWallet, output: Output) -> Vec<(&'static str, String)> {
    let v1::GovernedWallet {
        name,
        address,
        status,
        declared,
        journal,
        owner,
        recovery,
        revokers,
        workflows,
        networks,
        shared,
        key,
        backup,
        replaced,
        expires,
        exposure: total,
    } = wallet;
    let replaced = if *replaced { ", which a rotation replaced" } else { "" };
    let shared = if *shared { " (shared)" } else { "" };
    let status = paint_status(status, output);
    let mut facts = vec![
        ("wallet", name.clone()),
        ("address", format!("{address}{replaced}")),
        ("status", status),
        ("declared", declared.clone()),
        ("operators", journal.clone()),
        ("owner", owner.clone()),
        ("recovery", recovery.join(", ")),
        ("revokers", revokers.join(", ")),
        ("workflows", format!("{}{shared}", workflows.join(", "))),
        ("networks", networks.join(", ")),
        ("key", paint_lack(key, output)),
        ("backup", paint_lack(backup, output)),
        ("expires", moment::of_secs_if_any(*expires)),
    ];
    facts.extend(total.as_ref().map(|total| ("outside", exposure::sentence(total))));
    facts.retain(|(_, words)| !words.is_empty());
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn act(verb: &str, wallet: &str) -> v1::PendingAct {
        v1::PendingAct {
            verb: verb.to_owned(),
            wallet: wallet.to_owned(),
            address: "0xNew".to_owned(),
            ..v1::PendingAct::default()
        }
    }

    fn treasury() -> v1::GovernedWallet {
        v1::GovernedWallet {
            name: "treasury".to_owned(),
            address: "0xOld".to_owned(),
            status: "active".to_owned(),
            key: "present".to_owned(),
            backup: "missing".to_owned(),
            workflows: vec!["research".to_owned(), "sales".to_owned()],
            shared: true,
            ..v1::GovernedWallet::default()
        }
    }

    #[test]
    fn a_key_without_a_declaration_is_listed_as_pending() {
        let acts = [act("create", "new"), act("rotate", "treasury")];
        let found = undeclared(&[treasury()], &acts);
        assert_eq!(found.len(), 1, "a rotated wallet is declared");
        assert_eq!((found[0].name.as_str(), found[0].address.as_str()), ("new", "0xNew"));
        assert_eq!(found[0].status, PENDING);
    }

    #[test]
    fn a_wallet_is_a_row_and_a_page() {
        let output = Output::new(Format::Text);
        let exposure =
            Some(v1::ExposureTotal { signatures: 2, usd: "0.30".to_owned(), ..Default::default() });
        let wallet = v1::GovernedWallet { exposure, replaced: true, ..treasury() };
        let cells = row(&wallet, output);
        assert_eq!(
            (cells[0].as_str(), cells[6].as_str(), cells[7].as_str()),
            ("treasury (replaced)", "research, sales", "2, $0.30")
        );
        let facts = facts(&treasury(), output);
        assert!(facts.contains(&("workflows", "research, sales (shared)".to_owned())), "{facts:?}");
        assert!(facts.iter().all(|(noun, _)| !matches!(*noun, "expires" | "owner" | "outside")), "{facts:?}");
    }

    #[test]
    fn programs_see_what_is_pending_beside_the_wallet() {
        let acts = [act("rotate", "treasury")];
        let json = as_json::wallet(&treasury(), acts.iter());
        assert_eq!((&json["name"], &json["pending"][0]["verb"]), (&json!("treasury"), &json!("rotate")));
        assert_eq!(json["exposure"], Value::Null);
    }
}

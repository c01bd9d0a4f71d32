use std::path::PathBuf;

use clap::{Args, Subcommand};
use pursekeeper_api::{Governance, v1};
use pursekeeper_core::WalletName;
use pursekeeper_custody::{Import, Keystore, Passphrase};
use serde_json::json;

use super::{ConfigArg, Exit, block_on, client};
use crate::config::Config;
use crate::output::{Output, Tone};

#[derive(Debug, Subcommand)]
pub(super) enum WalletCommand {
    /// Make a new key inside the keystore and print its address and registry entry. The key is never shown.
    Create(NameArgs),
    /// Take in a key from a file: Web3 Secret Storage, or hexadecimal digits; never from an argument.
    #[command(
        after_help = "Examples:\n  pursekeeper wallet import treasury --key-file UTC--2026.json --key-file-passphrase pass\n  pursekeeper wallet import treasury --hex-file key.hex"
    )]
    Import(ImportArgs),
    /// List the wallets of the keystore and what the sidecar says about them.
    List(ConfigArg),
    /// Stop a wallet now: when this returns, none of its signatures leave any more.
    Suspend(ActArgs),
    /// Let a suspended wallet sign again.
    Resume(ActArgs),
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// The wallet's name.
    name: String,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    wallet: NameArgs,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Args)]
#[group(required = true)]
struct Source {
    /// A Web3 Secret Storage v3 file, as geth, ethers and eth-account write it.
    #[arg(long, value_name = "FILE", requires = "key_file_passphrase")]
    key_file: Option<PathBuf>,
    /// The file that holds its passphrase; readable by its owner only.
    #[arg(long, value_name = "FILE", requires = "key_file", group = "opens")]
    key_file_passphrase: Option<PathBuf>,
    /// A file of 64 hexadecimal digits; readable by its owner only. Delete it afterwards.
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    hex_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ActArgs {
    #[command(flatten)]
    wallet: NameArgs,
    /// Why, in words; recorded for ever.
    #[arg(long)]
    reason: String,
}

pub(super) fn run(command: WalletCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        WalletCommand::Create(args) => create(&args, output),
        WalletCommand::Import(args) => import(&args, output),
        WalletCommand::List(config) => list(&config, output),
        WalletCommand::Suspend(args) => block_on(act(args, Verb::Suspend, output)),
        WalletCommand::Resume(args) => block_on(act(args, Verb::Resume, output)),
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Suspend,
    Resume,
}

fn create(args: &NameArgs, output: Output) -> anyhow::Result<Exit> {
    let (name, keystore, passphrase) = open(args)?;
    let address = keystore.create_wallet(&name, &passphrase)?;
    show_new(&name, &address.to_string(), output)
}

fn import(args: &ImportArgs, output: Output) -> anyhow::Result<Exit> {
    let (name, keystore, passphrase) = open(&args.wallet)?;
    let address = match &args.source {
        Source { hex_file: Some(file), .. } => {
            keystore.import_wallet(&name, Import::HexFile(file), &passphrase)?
        }
        Source { key_file: Some(file), key_file_passphrase: Some(secret), .. } => {
            let secret = Passphrase::from_file(secret)?;
            keystore.import_wallet(&name, Import::KeyFile(file, &secret), &passphrase)?
        }
        Source { .. } => anyhow::bail!("name the key: --key-file with --key-file-passphrase, or --hex-file"),
    };
    show_new(&name, &address.to_string(), output)
}

fn open(args: &NameArgs) -> anyhow::Result<(WalletName, Keystore, Passphrase)> {
    let config = Config::load(&args.config.config)?;
    let name = WalletName::parse(&args.name)?;
    Ok((
        name,
        Keystore::open(&config.keystore.dir)?,
        Passphrase::from_file(&config.keystore.passphrase_file)?,
    ))
}

fn show_new(name: &WalletName, address: &str, output: Output) -> anyhow::Result<Exit> {
    if output.is_json() {
        output.json(&json!({ "name": name.as_str(), "address": address }))?;
        return Ok(Exit::Done);
    }
    output.line(&format!("wallet {name} has the address {address}"))?;
    output.line("\nIt signs nothing until registry.yaml declares it, under `wallets`:\n")?;
    output.line(&format!(
        "  {name}:\n    address: \"{address}\"\n    owner: TEAM\n    recovery: [TEAM]\n    revokers: [TEAM]\n    \
         workflows: [WORKFLOW]\n    networks: [\"eip155:84532\"]"
    ))?;
    Ok(Exit::Done)
}

/// What is in the keystore; with a running sidecar, also what is in force.
fn list(args: &ConfigArg, output: Output) -> anyhow::Result<Exit> {
    let config = Config::load(&args.config)?;
    let keystore = Keystore::open(&config.keystore.dir)?;
    let known = block_on(async { Ok(statuses(args).await.unwrap_or_default()) })?;
    let mut rows = Vec::new();
    for (name, address) in keystore.list()? {
        let address = address.to_string();
        let status =
            known.iter().find(|status| status.address == address).map(|status| status.status.clone());
        rows.push((name.to_string(), address, status));
    }
    if output.is_json() {
        let wallet = |(name, address, status): &(String, String, Option<String>)| json!({ "name": name, "address": address, "status": status });
        output.json(&rows.iter().map(wallet).collect())?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, address, status)| vec![name, address, status.unwrap_or_else(|| "unknown".to_owned())])
        .collect();
    output.table(&["WALLET", "ADDRESS", "STATUS"], &rows)?;
    if known.is_empty() {
        output.line(&output.paint(Tone::Faint, "no sidecar answers, so no status is known"))?;
    }
    Ok(Exit::Done)
}

async fn statuses(args: &ConfigArg) -> anyhow::Result<Vec<v1::SubjectStatus>> {
    let mut governance = Governance::new(client::operators(&args.config).await?);
    Ok(governance.status(v1::StatusRequest {}).await?.into_inner().subjects)
}

async fn act(args: ActArgs, verb: Verb, output: Output) -> anyhow::Result<Exit> {
    let NameArgs { name, config } = args.wallet;
    let mut governance = Governance::new(client::operators(&config.config).await?);
    let subject = Some(v1::Subject { kind: "wallet".to_owned(), name: name.clone() });
    let request = v1::LifecycleRequest { subject, reason: args.reason };
    let answered = match verb {
        Verb::Suspend => governance.suspend(request).await,
        Verb::Resume => governance.resume(request).await,
    };
    use v1::lifecycle_response::Result as Outcome;
    match client::answer(answered)?.result {
        Some(Outcome::Done(done)) => {
            if output.is_json() {
                output.json(&json!({ "wallet": name, "status": done.status, "decision_id": done.decision_id, "durable": done.durable }))?;
            } else if done.durable {
                output.line(&format!("wallet {name} is {} (decision {})", done.status, done.decision_id))?;
            } else {
                output.line(&format!("wallet {name} is {}, but the journal cannot be written: NOT DURABLE yet. It is in force while this sidecar runs and is recorded first when the journal can be written again; if the sidecar stops before that, suspend again", done.status))?;
            }
            Ok(Exit::Done)
        }
        Some(Outcome::Denied(denied)) => {
            client::show_refusal(&denied, output)?;
            Ok(Exit::Denied)
        }
        None => anyhow::bail!("the sidecar gave an empty answer"),
    }
}

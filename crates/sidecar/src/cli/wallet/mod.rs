//! Wallets: their keys, who they serve, and what is pending.

mod backup;
mod key;
mod list;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use pursekeeper_api::{Governance, v1};

use super::confirm;
use super::subject::{self, EndArgs, NameArgs, Noun, VerbCommand};
use super::{ConfigArg, Exit, block_on, client, pending};
use crate::output::Output;
use backup::{BackupArgs, RecoverArgs};
use key::{CreateArgs, ImportArgs};

#[derive(Debug, Subcommand)]
pub(super) enum WalletCommand {
    /// List the wallets: who answers for them, what they serve, what is outside, and what is pending.
    ///
    /// Without a sidecar this lists what is in the keystore.
    #[command(after_help = "\
Examples:
  pursekeeper wallet list
  pursekeeper wallet list --output json | jq -r '.[] | select(.backup == \"missing\").name'")]
    List(ConfigArg),
    /// Show one wallet, and what registry.yaml does not contain yet.
    #[command(after_help = "\
Examples:
  pursekeeper wallet show treasury
  pursekeeper wallet show 0x6bE854D8F38Acab8844843C07447E4E0F528c054 --output json")]
    Show(NameArgs),
    /// Make a new key inside the sidecar, and print its address and registry entry. The key is never shown.
    Create(CreateArgs),
    /// Take in a key that was made elsewhere: hexadecimal digits or Web3 Secret Storage; never from an argument.
    Import(ImportArgs),
    /// Make a new key that replaces a wallet's. The old one stays in force until registry.yaml declares the new one.
    #[command(after_help = "\
Once registry.yaml declares the new address, the old one signs nothing new, and ends when nothing that it signed can be settled
any more.

Example:
  pursekeeper wallet rotate treasury --reason \"a year has passed\"")]
    Rotate(EndArgs),
    /// Give a wallet to other workflows. It serves the ones it has until registry.yaml says so.
    #[command(after_help = "\
Examples:
  pursekeeper wallet reassign treasury --workflow research --reason \"sales ended\"
  pursekeeper wallet reassign treasury --workflow research --workflow sales --reason \"shared from now on\"")]
    Reassign(ReassignArgs),
    /// Write a wallet's key into a new file, encrypted for the recovery teams that registry.yaml names.
    Backup(BackupArgs),
    /// Take a wallet's key back in from its backup. The wallet is suspended until an operator resumes it.
    Recover(RecoverArgs),
    #[command(flatten)]
    Verb(VerbCommand),
}

#[derive(Debug, Args)]
pub(super) struct ReassignArgs {
    /// The wallet: its name, or its address.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// A workflow it is to serve. Name all of them, not only the new ones.
    #[arg(long = "workflow", value_name = "WORKFLOW", required = true)]
    workflows: Vec<String>,
    /// Why, in words; recorded for ever.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(command: WalletCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        WalletCommand::List(config) => list::list(&config, output),
        WalletCommand::Show(args) => list::show(args, output),
        WalletCommand::Create(args) => key::create(args, output),
        WalletCommand::Import(args) => key::import(args, output),
        WalletCommand::Rotate(args) => rotate(args, output),
        WalletCommand::Reassign(args) => reassign(args, output),
        WalletCommand::Backup(args) => backup::backup(args, output),
        WalletCommand::Recover(args) => backup::recover(args, output),
        WalletCommand::Verb(command) => subject::run_verb(Noun::Wallet, command, output),
    }
}

fn rotate(args: EndArgs, output: Output) -> anyhow::Result<Exit> {
    let EndArgs { act, yes } = args;
    let NameArgs { name, config } = act.subject;
    if yes.is_to_ask()? {
        let meaning = [
            format!("You are about to make a new key for wallet {name}."),
            "Once registry.yaml declares its address, the old address signs nothing new, and ends when nothing that it \
             signed can be settled any more: plan how what it holds gets to the new one."
                .to_owned(),
        ];
        confirm::ask(&meaning, &name)?;
    }
    let response = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        let request = v1::LifecycleRequest { subject: Some(Noun::Wallet.named(name)), reason: act.reason };
        client::answer(governance.rotate(request).await)
    })?;
    pending::show(response, output)
}

fn reassign(args: ReassignArgs, output: Output) -> anyhow::Result<Exit> {
    let ReassignArgs { name: wallet, workflows, reason, config } = args;
    let response = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.reassign(v1::ReassignRequest { wallet, workflows, reason }).await)
    })?;
    pending::show(response, output)
}

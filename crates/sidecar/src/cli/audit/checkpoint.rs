use clap::Args;
use pursekeeper_custody::{Keystore, Passphrase};
use pursekeeper_journal::Reader;
use serde_json::json;

use super::super::{ConfigArg, Exit};
use super::verify::verifier;
use crate::config::Config;
use crate::output::Output;

/// Byte for byte the signed note, so that it can be kept elsewhere. Its signature is checked first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pursekeeper audit checkpoint > /mnt/elsewhere/checkpoint")]
pub(in crate::cli) struct CheckpointArgs {
    #[command(flatten)]
    config: ConfigArg,
}

/// Give it to whoever is to verify the journal or a checkpoint.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pursekeeper audit key > audit.vkey")]
pub(in crate::cli) struct KeyArgs {
    #[command(flatten)]
    config: ConfigArg,
}

/// `init`, `journal init` and `journal adopt` make it as well; this is for keystores that are older. It lies in the
/// keystore, sealed with its passphrase, and signs checkpoints only. A key that is there stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pursekeeper audit init-key --config purse/pursekeeper.yaml")]
pub(in crate::cli) struct InitKeyArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &CheckpointArgs, output: Output) -> anyhow::Result<Exit> {
    let config = Config::load(&args.config.config)?;
    let newest = Reader::open(&config.journal)?.newest_checkpoint()?;
    let (size, note) = newest.ok_or_else(|| {
        anyhow::anyhow!(
            "there is no checkpoint yet: a running sidecar makes one at an interval, and when it stops"
        )
    })?;
    let opened = verifier(&[], &config)?.open(&note);
    opened.map_err(|fault| anyhow::anyhow!("the journal's checkpoint of {size} records {fault}"))?;
    if output.is_json() {
        output.json(&json!({ "size": size, "checkpoint": note }))?;
    } else {
        output.line(note.trim_end_matches('\n'))?;
    }
    Ok(Exit::Done)
}

pub(super) fn run_key(args: &KeyArgs, output: Output) -> anyhow::Result<Exit> {
    let config = Config::load(&args.config.config)?;
    let key = Keystore::open(&config.keystore.dir)?.audit_verifier_key()?;
    if output.is_json() {
        output.json(&json!({ "verifier_key": key }))?;
    } else {
        output.line(&key)?;
    }
    Ok(Exit::Done)
}

pub(super) fn run_init_key(args: &InitKeyArgs, output: Output) -> anyhow::Result<Exit> {
    let config = Config::load(&args.config.config)?;
    let keystore = Keystore::open(&config.keystore.dir)?;
    let made = keystore.create_audit_key(&Passphrase::from_file(&config.keystore.passphrase_file)?)?;
    let key = keystore.audit_verifier_key()?;
    if output.is_json() {
        output.json(&json!({ "made": made, "verifier_key": key }))?;
    } else {
        output.line(if made {
            "made the audit key; it is verified with"
        } else {
            "there is one already; it is verified with"
        })?;
        output.line(&key)?;
    }
    Ok(Exit::Done)
}

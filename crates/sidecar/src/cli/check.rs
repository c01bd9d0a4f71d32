use clap::Args;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_custody::{Keystore, Passphrase};
use pursekeeper_journal::Reader;
use pursekeeper_policy::{Bundle, BundleOptions};
use serde_json::json;

use super::{ConfigArg, Exit, policy};
use crate::config::Config;
use crate::output::{Output, Tone};

/// Checks everything `serve` needs, and lists every problem at once. Starts and changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pursekeeper check --config purse/pursekeeper.yaml")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &CheckArgs, output: Output) -> anyhow::Result<Exit> {
    let config = Config::load(&args.config.config)?;
    let mut problems = Vec::new();
    let bundle = match Bundle::load(&config.policies, BundleOptions { dev: config.dev }) {
        Ok(bundle) => Some(bundle),
        Err(errors) => {
            problems.extend(errors.to_string().lines().map(str::to_owned));
            None
        }
    };
    problems.extend(key_problems(&config, bundle.as_ref()));
    if problems.is_empty() {
        if let Some(bundle) = &bundle {
            policy::show(bundle, output)?;
        }
        return Ok(Exit::Done);
    }
    if output.is_json() {
        output.json(&json!({ "valid": false, "problems": problems }))?;
    } else {
        for problem in &problems {
            output.line(&format!("{} {problem}", output.paint(Tone::Bad, "error:")))?;
        }
    }
    Ok(Exit::Failed)
}

/// What is wrong with keys and journal.
fn key_problems(config: &Config, bundle: Option<&Bundle>) -> Vec<String> {
    let keystore = match Keystore::open(&config.keystore.dir) {
        Ok(keystore) => keystore,
        Err(error) => return vec![error.to_string()],
    };
    let mut problems = Vec::new();
    match Passphrase::from_file(&config.keystore.passphrase_file) {
        Err(error) => problems.push(error.to_string()),
        Ok(passphrase) => {
            let wallets = bundle.into_iter().flat_map(|bundle| &bundle.registry().wallets);
            let expected = wallets.map(|(name, wallet)| (wallet.address, name.clone())).collect();
            problems
                .extend(keystore.load_expected(&passphrase, &expected).err().map(|error| error.to_string()));
        }
    }
    match keystore.journal_id() {
        None => problems.push("the keystore names no journal: create one with `pursekeeper journal init`".to_owned()),
        Some(bound) => match Reader::open(&config.journal) {
            Err(error) => problems.push(error.to_string()),
            Ok(reader) if reader.id() != bound => problems.push(format!(
                "{}: this is journal {}, but the keystore belongs to {bound}: put the right file back, or, if it is lost, run `pursekeeper journal adopt`",
                config.journal.display(),
                reader.id(),
            )),
            Ok(_) => {}
        },
    }
    problems
}

use std::collections::BTreeMap;

use clap::Args;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::registry::{Registry, Wallet};
use pursekeeper_core::{Address, Status, WalletName};
use pursekeeper_custody::{Keystore, Passphrase};
use pursekeeper_journal::{AuditVerifier, Reader};
use pursekeeper_policy::{Bundle, BundleOptions};
use serde_json::json;

use super::{ConfigArg, Exit, policy};
use crate::config::Config;
use crate::identity::{Identities, Tls};
use crate::output::{Output, Tone};
use crate::serve::uphold;
use crate::sinks;

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
    if let Some(dir) = &config.shadow_policies
        && let Err(errors) = Bundle::load(dir, BundleOptions { dev: config.dev })
    {
        problems.extend(errors.to_string().lines().map(|line| format!("`shadow_policies`: {line}")));
    }
    let mut warnings = Vec::new();
    key_problems(&config, bundle.as_ref(), &mut problems, &mut warnings);
    identity_problems(&config, bundle.as_ref(), &mut problems, &mut warnings);
    if problems.is_empty() {
        if let Some(bundle) = &bundle {
            policy::show(bundle, &warnings, output)?;
        }
        return Ok(Exit::Done);
    }
    if output.is_json() {
        output.json(&json!({ "valid": false, "problems": problems, "warnings": warnings }))?;
    } else {
        for warning in &warnings {
            output.line(&format!("warning: {warning}"))?;
        }
        for problem in &problems {
            output.line(&format!("{} {problem}", output.paint(Tone::Bad, "error:")))?;
        }
    }
    Ok(Exit::Failed)
}

/// What is wrong with what says who calls, and what nobody could prove.
fn identity_problems(
    config: &Config,
    bundle: Option<&Bundle>,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    let own_uid = rustix::process::geteuid().as_raw();
    let identities = match Identities::open(config, own_uid) {
        Ok(identities) => identities,
        Err(error) => return problems.push(error.to_string()),
    };
    warnings.extend(bundle.into_iter().flat_map(|bundle| identities.unprovable(bundle.registry())));
    for listener in &config.listeners {
        if let (Some(tls), Some(trust)) = (&listener.tls, identities.trust()) {
            problems.extend(Tls::open(tls, trust.clone()).err().map(|error| error.to_string()));
        }
    }
}

/// What is wrong with keys and journal, and what deserves a second look.
fn key_problems(
    config: &Config,
    bundle: Option<&Bundle>,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    let keystore = match Keystore::open(&config.keystore.dir) {
        Ok(keystore) => keystore,
        Err(error) => return problems.push(error.to_string()),
    };
    match Passphrase::from_file(&config.keystore.passphrase_file) {
        Err(error) => problems.push(error.to_string()),
        Ok(passphrase) => {
            if let Err(error) = keystore.load_audit_key(&passphrase) {
                problems.push(error.to_string());
            }
            let expected = bundle.map(|bundle| expected(bundle.registry())).unwrap_or_default();
            match keystore.load_expected(&passphrase, &expected) {
                Err(error) => problems.push(error.to_string()),
                Ok(custody) => {
                    let wallets = bundle.into_iter().flat_map(|bundle| &bundle.registry().wallets);
                    let missing =
                        wallets.filter(|(_, wallet)| is_missed(wallet, custody.holds(wallet.address)));
                    warnings.extend(missing.map(|(name, wallet)| no_key(name, wallet)));
                }
            }
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
            Ok(_) => {
                problems.extend(
                    (config.audit.sinks.iter())
                        .filter_map(|sink| sinks::check(sink, bound).err())
                        .map(|error| format!("`audit.sinks`: {error}")),
                );
                let key = keystore.audit_verifier_key().map(|text| AuditVerifier::parse(&text));
                // That there is no key was said above.
                if let Ok(Ok(key)) = key
                    && let Err(error) = uphold(config, &key)
                {
                    problems.push(error.to_string());
                }
            }
        },
    }
}

/// Every key that the registry names: of each wallet its own and, while they drain, those it had.
fn expected(registry: &Registry) -> BTreeMap<Address, WalletName> {
    let addresses =
        |wallet: &Wallet| -> Vec<Address> { wallet.was.iter().copied().chain([wallet.address]).collect() };
    let of = |(name, wallet): (&WalletName, &Wallet)| -> Vec<_> {
        addresses(wallet).into_iter().map(|address| (address, name.clone())).collect()
    };
    registry.wallets.iter().flat_map(of).collect()
}

/// Whether it matters that there is no key for a wallet: one that was revoked needs none any more.
fn is_missed(wallet: &Wallet, has_key: bool) -> bool {
    !has_key && wallet.status != Status::Revoked
}

fn no_key(name: &WalletName, wallet: &Wallet) -> String {
    format!(
        "wallet `{name}` signs nothing: the keystore has no key for {}: bring it back with `pursekeeper wallet recover`; one \
         that was revoked needs none",
        wallet.address
    )
}

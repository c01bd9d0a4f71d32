use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use pursekeeper_core::Address;
use pursekeeper_core::WalletName;
use pursekeeper_custody::{Keystore, Passphrase};
use pursekeeper_journal::SqliteJournal;
use pursekeeper_policy::{EXAMPLES, REGISTRY_FILE, STARTER_REGISTRY};
use serde_json::json;

use super::{Exit, journal};
use crate::clock::Clock;
use crate::config::Config;
use crate::output::{Output, Tone};

/// The wallet the starter registry declares, and the placeholder of its address.
const WALLET: &str = "research-hot";
const WALLET_PLACEHOLDER: &str = "0x2222222222222222222222222222222222222222";
/// The placeholders of the user ids of operator and agent.
const UID_PLACEHOLDERS: [&str; 2] = ["uids: [1000]", "uids: [1001]"];
/// The other operator's user id, which must not be this user's.
const OTHER_UID: u32 = 1010;
const CONFIG: &str = include_str!("init/pursekeeper.yaml");

/// Makes a directory that works on this machine for this user.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  pursekeeper init purse\n  pursekeeper serve --config purse/pursekeeper.yaml"
)]
pub(super) struct InitArgs {
    /// The directory to make. It must not exist, or be empty.
    dir: PathBuf,
}

pub(super) fn run(args: &InitArgs, output: Output) -> anyhow::Result<Exit> {
    let dir = &args.dir;
    let taken = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    anyhow::ensure!(!taken, "`{}` is not empty: choose another directory", dir.display());
    for folder in ["", "policies", "examples", "journal", "run"] {
        DirBuilder::new().recursive(true).mode(0o700).create(dir.join(folder))?;
    }
    let config_path = dir.join("pursekeeper.yaml");
    write(&config_path, CONFIG, 0o600)?;
    let config = Config::load(&config_path)?;

    let passphrase = Passphrase::generate()?;
    passphrase.write_new(&config.keystore.passphrase_file)?;
    let mut keystore = Keystore::create(&config.keystore.dir)?;
    let address = keystore.create_wallet(&WalletName::parse(WALLET)?, &passphrase)?;

    let uid = rustix::process::geteuid().as_raw();
    write(&config.policies.join(REGISTRY_FILE), &registry(uid, address), 0o644)?;
    for (name, text) in EXAMPLES {
        write(&dir.join("examples").join(name), text, 0o644)?;
    }
    let journal_id = journal::fresh_id()?;
    SqliteJournal::create(&config.journal, Clock::new().now(), journal_id)?;
    keystore.bind_journal(journal_id)?;
    keystore.create_audit_key(&passphrase)?;

    if output.is_json() {
        let wallet = json!({ "name": WALLET, "address": address.to_string() });
        output.json(
            &json!({ "config": config_path, "wallet": wallet, "journal_id": journal_id.to_string() }),
        )?;
        return Ok(Exit::Done);
    }
    output.line(&format!("{} {}", output.paint(Tone::Good, "made"), dir.display()))?;
    output.line(&format!("  wallet  {WALLET} {address}"))?;
    output.line(&format!("  policy  {}", config.policies.join("registry.yaml").display()))?;
    output.line(&format!(
        "  {}",
        output.paint(
            Tone::Bad,
            "dev: true  one user is sidecar, agent and operator; for trying things out only"
        )
    ))?;
    output.line("\nNext:")?;
    output.line(&format!("  pursekeeper check --config {}", config_path.display()))?;
    output.line(&format!("  pursekeeper serve --config {}", config_path.display()))?;
    Ok(Exit::Done)
}

/// The starter registry for this user and this wallet.
fn registry(uid: u32, address: Address) -> String {
    let own = format!("uids: [{uid}]");
    let registry = STARTER_REGISTRY.replace(WALLET_PLACEHOLDER, &address.to_string());
    let registry = if uid == OTHER_UID { registry.replace("uids: [1010]", "uids: [1011]") } else { registry };
    UID_PLACEHOLDERS.into_iter().fold(registry, |registry, placeholder| registry.replace(placeholder, &own))
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use pursekeeper_core::EvmAddress;
    use pursekeeper_core::ports::Policy as _;
    use pursekeeper_policy::{Bundle, BundleOptions};

    use super::*;

    #[test]
    fn the_starter_is_valid_for_any_user_and_wallet() {
        let address = Address::from(EvmAddress::from_bytes([0xab; 20]));
        for uid in [0, 1000, 1001, OTHER_UID, 4711] {
            let bundle =
                Bundle::from_parts(&registry(uid, address), &EXAMPLES, BundleOptions { dev: true }).unwrap();
            let registry = bundle.registry();
            assert_eq!(registry.wallets.get(&WalletName::parse(WALLET).unwrap()).unwrap().address, address);
            assert!(registry.agent_of_uid(uid).is_some() && registry.operator_of_uid(uid).is_some());
        }
    }
}

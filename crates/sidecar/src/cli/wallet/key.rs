//! How a key gets into a sidecar, or, before its first start, into its keystore.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use pursekeeper_api::{Governance, v1};
use pursekeeper_core::WalletName;
use pursekeeper_custody::{Import, Keystore, Passphrase, Recipient, Source, seal_delivery};
use serde_json::json;

use crate::cli::{ConfigArg, Exit, block_on, client, pending};
use crate::config::Config;
use crate::output::Output;

/// What is advised when no sidecar answers.
const OFFLINE: &str =
    "or, before its first start, use --offline, which works on the keystore alone and is not recorded";

#[derive(Debug, Args)]
#[command(after_help = "\
The wallet signs nothing until registry.yaml declares it.

Examples:
  pursekeeper wallet create treasury --reason \"for the research workflow\"
  pursekeeper wallet create treasury --offline")]
pub(in crate::cli) struct CreateArgs {
    #[command(flatten)]
    wallet: NewArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The key is sealed for the sidecar before it leaves this program. The wallet signs nothing until registry.yaml declares it.

Examples:
  vault read -field=key treasury | pursekeeper wallet import treasury --stdin --reason \"moved from the vault\"
  pursekeeper wallet import treasury --key-file UTC--2026.json --key-file-passphrase pass --reason \"moved from geth\"
  pursekeeper wallet import treasury --hex-file key.hex --offline")]
pub(in crate::cli) struct ImportArgs {
    #[command(flatten)]
    wallet: NewArgs,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Args)]
struct NewArgs {
    /// The wallet's name, as registry.yaml is to call it.
    name: String,
    /// Why, in words; recorded for ever.
    #[arg(long, required_unless_present = "offline")]
    reason: Option<String>,
    /// Work on the keystore directly, without a sidecar, for the time before its first start. This is not recorded.
    #[arg(long, conflicts_with = "reason")]
    offline: bool,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
#[group(required = true)]
struct SourceArgs {
    /// 64 hexadecimal digits on standard input.
    #[arg(long, conflicts_with_all = ["hex_file", "key_file", "offline"])]
    stdin: bool,
    /// A file of 64 hexadecimal digits; readable by its owner only. Delete it afterwards.
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    hex_file: Option<PathBuf>,
    /// A Web3 Secret Storage v3 file, as geth, ethers and eth-account write it.
    #[arg(long, value_name = "FILE", requires = "key_file_passphrase")]
    key_file: Option<PathBuf>,
    /// The file that holds its passphrase; readable by its owner only.
    #[arg(long, value_name = "FILE", requires = "key_file", conflicts_with_all = ["stdin", "hex_file"], group = "opens")]
    key_file_passphrase: Option<PathBuf>,
}

pub(super) fn create(args: CreateArgs, output: Output) -> anyhow::Result<Exit> {
    let NewArgs { name, reason, offline: _, config } = args.wallet;
    let name = WalletName::parse(&name)?;
    let Some(reason) = reason else {
        let (keystore, passphrase) = open(&config)?;
        let address = keystore.create_wallet(&name, &passphrase)?;
        return show_offline(&name, &address.to_string(), output);
    };
    let response = block_on(async {
        let mut governance = Governance::new(client::operators_or(&config.config, OFFLINE).await?);
        let request = v1::CreateRequest { wallet: name.to_string(), reason };
        client::answer(governance.create(request).await)
    })?;
    pending::show(response, output)
}

pub(super) fn import(args: ImportArgs, output: Output) -> anyhow::Result<Exit> {
    let ImportArgs { wallet: NewArgs { name, reason, offline: _, config }, source } = args;
    let name = WalletName::parse(&name)?;
    let Some(reason) = reason else { return import_offline(&name, &source, &config, output) };
    anyhow::ensure!(
        !source.stdin || !io::stdin().is_terminal(),
        "a terminal shows what is typed: pipe the key in, or use --hex-file"
    );
    let response = block_on(async {
        let mut governance = Governance::new(client::operators_or(&config.config, OFFLINE).await?);
        let recipient = recipient(&mut governance).await?;
        let sealed_key = source.seal(&name, &recipient)?;
        let request = v1::ImportRequest { wallet: name.to_string(), sealed_key, reason };
        client::answer(governance.import(request).await)
    })?;
    pending::show(response, output)
}

/// Whom keys for this sidecar are sealed for.
pub(super) async fn recipient(governance: &mut Governance) -> anyhow::Result<Recipient> {
    let status = client::answer(governance.status(v1::StatusRequest {}).await)?;
    let recipient = Recipient::parse(&status.transport_recipient);
    recipient.context(
        "the sidecar does not say whom keys are to be sealed for: use the `pursekeeper` of the same version",
    )
}

impl SourceArgs {
    fn seal(&self, name: &WalletName, recipient: &Recipient) -> anyhow::Result<Vec<u8>> {
        let sealed = match self {
            Self { stdin: true, .. } => {
                seal_delivery(Source::HexReader(&mut io::stdin().lock()), name, recipient)
            }
            Self { hex_file: Some(file), .. } => seal_delivery(Source::HexFile(file), name, recipient),
            Self { key_file: Some(file), key_file_passphrase: Some(secret), .. } => {
                let secret = Passphrase::from_file(secret)?;
                seal_delivery(Source::KeyFile(file, &secret), name, recipient)
            }
            Self { .. } => return Err(unnamed()),
        };
        Ok(sealed?)
    }
}

fn unnamed() -> anyhow::Error {
    anyhow::anyhow!("name the key: --stdin, --hex-file, or --key-file with --key-file-passphrase")
}

fn import_offline(
    name: &WalletName,
    source: &SourceArgs,
    config: &ConfigArg,
    output: Output,
) -> anyhow::Result<Exit> {
    let (keystore, passphrase) = open(config)?;
    let address = match source {
        SourceArgs { hex_file: Some(file), .. } => {
            keystore.import_wallet(name, Import::HexFile(file), &passphrase)?
        }
        SourceArgs { key_file: Some(file), key_file_passphrase: Some(secret), .. } => {
            let secret = Passphrase::from_file(secret)?;
            keystore.import_wallet(name, Import::KeyFile(file, &secret), &passphrase)?
        }
        SourceArgs { .. } => return Err(unnamed()),
    };
    show_offline(name, &address.to_string(), output)
}

fn open(config: &ConfigArg) -> anyhow::Result<(Keystore, Passphrase)> {
    let config = Config::load(&config.config)?;
    Ok((Keystore::open(&config.keystore.dir)?, Passphrase::from_file(&config.keystore.passphrase_file)?))
}

fn show_offline(name: &WalletName, address: &str, output: Output) -> anyhow::Result<Exit> {
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
    output.line("\nThis was not recorded. Once the sidecar runs, back the key up:\n")?;
    output.line(&format!("  pursekeeper wallet backup {name} --out {name}.age --reason \"first backup\""))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use clap::{Parser, Subcommand};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Debug, Subcommand)]
    enum Command {
        Create(CreateArgs),
        Import(ImportArgs),
    }

    fn is_accepted(args: &[&str]) -> bool {
        Line::try_parse_from([&["wallet"], args].concat()).is_ok()
    }

    #[test]
    fn a_key_is_made_with_a_reason_or_offline_and_never_both() {
        assert!(!is_accepted(&["create", "treasury"]));
        assert!(!is_accepted(&["create", "--reason", "r"]));
        assert!(!is_accepted(&["create", "treasury", "--reason", "r", "--offline"]));
        assert!(is_accepted(&["create", "treasury", "--reason", "r"]));
        assert!(is_accepted(&["create", "treasury", "--offline"]));
    }

    #[test]
    fn a_key_is_imported_from_exactly_one_source() {
        let imports =
            |source: &[&str]| is_accepted(&[&["import", "treasury", "--reason", "r"], source].concat());
        for source in [
            &[][..],
            &["--stdin", "--hex-file", "f"],
            &["--stdin", "--key-file", "f", "--key-file-passphrase", "p"],
            &["--hex-file", "f", "--key-file", "f", "--key-file-passphrase", "p"],
            &["--key-file", "f"],
            &["--key-file-passphrase", "p"],
            &["--stdin", "--key-file-passphrase", "p"],
            &["--hex-file", "f", "--key-file-passphrase", "p"],
        ] {
            assert!(!imports(source), "{source:?}");
        }
        for source in
            [&["--stdin"][..], &["--hex-file", "f"], &["--key-file", "f", "--key-file-passphrase", "p"]]
        {
            assert!(imports(source), "{source:?}");
        }
        assert!(!is_accepted(&["import", "treasury", "--stdin", "--offline"]), "offline reads files only");
        assert!(is_accepted(&["import", "treasury", "--hex-file", "f", "--offline"]));
    }
}

//! A whole installation in one directory: a fresh key, a new journal, the shipped policies, a configuration.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pursekeeper_core::{Address, JournalId, WalletName};
use pursekeeper_custody::{Keystore, Passphrase};
use pursekeeper_journal::SqliteJournal;
use pursekeeper_policy::{EXAMPLES, REGISTRY_FILE};
use tempfile::TempDir;

use super::seller::PAYEE;
use crate::clock::Clock;
use crate::config::{Config, Listener, Serves};

/// The wallet that pays.
pub(super) const WALLET: &str = "research-main";
/// Longest path of a Unix socket that every system takes, in bytes.
const SOCKET_PATH_LEN_MAX: usize = 103;
/// The registry, with places for what is only known when the demo runs.
const REGISTRY: &str = include_str!("registry.yaml");
/// The configuration that `pursekeeper init` writes.
const CONFIG: &str = include_str!("../cli/init/pursekeeper.yaml");

/// Where the demo lives.
pub(super) enum Home {
    /// Removed when it is dropped.
    Temporary(TempDir),
    /// Stays.
    Kept(PathBuf),
}

/// An installation that is ready to be served.
pub(super) struct House {
    pub(super) config: Config,
    pub(super) wallet_address: Address,
}

impl Home {
    /// A new directory for this user only: `keep` if it is given, a temporary one if not.
    pub(super) fn make(keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(dir) = keep else {
            let dir = tempfile::Builder::new().prefix("pursekeeper-demo-").tempdir();
            return Ok(Self::Temporary(
                dir.context("cannot make a temporary directory: set TMPDIR to a writable one")?,
            ));
        };
        let taken = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        anyhow::ensure!(!taken, "`{}` is not empty: choose another directory", dir.display());
        make_dir(dir)?;
        Ok(Self::Kept(dir.to_owned()))
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }

    /// Removes it, unless it is to be kept.
    pub(super) fn leave(self) -> anyhow::Result<()> {
        match self {
            Self::Temporary(dir) => {
                let path = dir.path().to_owned();
                dir.close().with_context(|| format!("cannot remove `{}`", path.display()))
            }
            Self::Kept(_) => Ok(()),
        }
    }
}

impl House {
    /// Where agents or operators connect.
    pub(super) fn socket(&self, serves: Serves) -> anyhow::Result<&Path> {
        self.config.socket(serves).context("the demo's configuration lacks a socket")
    }

    /// Builds everything that `serve` needs. `origin` is the seller's.
    pub(super) fn build(home: &Path, origin: &str) -> anyhow::Result<Self> {
        for folder in ["policies", "journal", "run"] {
            make_dir(&home.join(folder))?;
        }
        let path = home.join("pursekeeper.yaml");
        fs::write(&path, CONFIG)?;
        let config = Config::load(&path)?;
        for socket in config.listeners.iter().filter_map(Listener::socket) {
            let fits = socket.as_os_str().len() <= SOCKET_PATH_LEN_MAX;
            anyhow::ensure!(
                fits,
                "`{}` is too long for a socket: set TMPDIR to a shorter path",
                socket.display()
            );
        }

        let passphrase = Passphrase::generate()?;
        passphrase.write_new(&config.keystore.passphrase_file)?;
        let mut keystore = Keystore::create(&config.keystore.dir)?;
        let wallet_address = keystore.create_wallet(&WalletName::parse(WALLET)?, &passphrase)?;

        fs::write(config.policies.join(REGISTRY_FILE), registry(origin, wallet_address))?;
        for (name, policy) in EXAMPLES {
            fs::write(config.policies.join(name), policy)?;
        }

        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        SqliteJournal::create(&config.journal, Clock::new().now(), JournalId(id))?;
        keystore.bind_journal(JournalId(id))?;
        keystore.create_audit_key(&passphrase)?;
        Ok(Self { config, wallet_address })
    }
}

/// The registry for this user, this seller and this wallet.
fn registry(origin: &str, wallet: Address) -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    REGISTRY
        .replace("{uid}", &uid)
        .replace("{origin}", origin)
        .replace("{payee}", &PAYEE.to_string())
        .replace("{wallet}", &wallet.to_string())
}

fn make_dir(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make `{}`", path.display()))
}

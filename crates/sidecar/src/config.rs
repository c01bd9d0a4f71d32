//! `pursekeeper.yaml`: where things are, who listens where, and what bounds everything.

mod audit;
mod chains;
mod identity;
mod limits;
mod listeners;
mod operations;
mod reach;

pub(crate) use audit::field_problem;
pub use audit::{
    ArchiveConfig, AuditConfig, CheckpointConfig, DiskConfig, FileConfig, MaskConfig, SinkConfig, SinkFormat,
};
pub use chains::ChainConfig;
pub use identity::{IdentityConfig, IssuerConfig, ReviewConfig, SpiffeConfig};
pub use limits::Limits;
pub use listeners::{Listener, Place, Serves, TlsConfig};
pub use operations::{ReloadConfig, TracesConfig};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::hardening::Sandbox;

/// The sidecar's configuration. Relative paths are relative to the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this file's format: 1.
    pub version: u32,
    /// Whether one user id may be sidecar, agent and operator at once. For trying things out only.
    #[serde(default)]
    pub dev: bool,
    /// The directory of the governance bundle.
    pub policies: PathBuf,
    /// The directory of a bundle whose answers are recorded beside and never given; none without.
    #[serde(default)]
    pub shadow_policies: Option<PathBuf>,
    /// The journal file.
    pub journal: PathBuf,
    /// The keys.
    pub keystore: KeystoreConfig,
    /// Where it is reached.
    pub listeners: Vec<Listener>,
    /// The TCP address for probes and scrapes, such as `0.0.0.0:9465`. Nothing else is served there.
    #[serde(default)]
    pub health: Option<SocketAddr>,
    /// Which certificates and tokens prove who calls.
    #[serde(default)]
    pub identity: IdentityConfig,
    /// How changes on disk are taken up.
    #[serde(default)]
    pub reload: ReloadConfig,
    /// Where traces go; nowhere without.
    #[serde(default)]
    pub traces: Option<TracesConfig>,
    /// What bounds signatures and load.
    #[serde(default)]
    pub limits: Limits,
    /// The nodes that are asked what became of signatures, by CAIP-2 network. Without any, money stays bound.
    #[serde(default)]
    pub chains: BTreeMap<String, ChainConfig>,
    /// What becomes of the records.
    #[serde(default)]
    pub audit: AuditConfig,
    /// What is made of it when something that confines this process cannot be had.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// How to log.
    #[serde(default)]
    pub log: LogConfig,
}

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeystoreConfig {
    /// The directory of encrypted key files.
    pub dir: PathBuf,
    /// The file that holds their passphrase; readable by its owner only.
    pub passphrase_file: PathBuf,
}

/// How to log. The journal is the record; the log is a hint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A filter such as `info` or `pursekeeper=debug`.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why there is no configuration. Every problem is listed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: create one with `pursekeeper init DIR`, or name another with --config", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML of this form.
    #[error("{path}: {source}", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Why, with line and column.
        #[source]
        source: serde_yaml::Error,
    },
    /// Values that cannot work.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`], with every problem of the values at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let mut config: Self = serde_yaml::from_str(&text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
        let problems = config.problems();
        if !problems.is_empty() {
            let named = problems.into_iter().map(|problem| format!("{}: {problem}", path.display()));
            return Err(ConfigError::Invalid(named.collect()));
        }
        config.rebase(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// The first Unix socket for agents or operators: where commands on this machine connect.
    #[must_use]
    pub fn socket(&self, serves: Serves) -> Option<&Path> {
        let mut of = self.listeners.iter().filter(|listener| listener.serves == serves && !listener.token);
        of.find_map(Listener::socket)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.version != 1 {
            problems.push(format!("`version` is {}: this release reads version 1", self.version));
        }
        let Self { listeners, identity, .. } = self;
        problems.extend(listeners::problems(
            listeners,
            identity.spiffe.is_some(),
            !identity.tokens.is_empty(),
        ));
        problems.extend(identity.problems());
        problems.extend(self.audit.problems());
        problems.extend(self.reload.problems());
        problems.extend(self.traces.iter().flat_map(TracesConfig::problems));
        problems.extend(self.chains.iter().flat_map(|(network, chain)| chain.problems(network)));
        problems.extend(self.limits.problems());
        problems
    }

    fn rebase(&mut self, base: &Path) {
        let Self {
            policies,
            shadow_policies,
            journal,
            keystore,
            listeners,
            audit,
            identity,
            version: _,
            health: _,
            reload: _,
            traces: _,
            dev: _,
            limits: _,
            chains: _,
            sandbox: _,
            log: _,
        } = self;
        audit.rebase(base);
        identity.rebase(base);
        listeners.iter_mut().for_each(|listener| listener.rebase(base));
        let paths = [policies, journal, &mut keystore.dir, &mut keystore.passphrase_file];
        for path in paths.into_iter().chain(shadow_policies) {
            *path = base.join(&*path);
        }
    }
}

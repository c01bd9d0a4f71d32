//! `pursekeeper.yaml`: where things are, who listens where, and what bounds everything.

mod audit;
mod operations;

pub(crate) use audit::field_problem;
pub use audit::{
    ArchiveConfig, AuditConfig, CheckpointConfig, DiskConfig, FileConfig, MaskConfig, SinkConfig, SinkFormat,
};
pub use operations::{ReloadConfig, TracesConfig};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pursekeeper_core::ChainId;
use pursekeeper_core::gate::Settings;
use serde::Deserialize;

use crate::chain::{Finality, Nodes, Watcher};

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
    /// The journal file.
    pub journal: PathBuf,
    /// The keys.
    pub keystore: KeystoreConfig,
    /// The sockets.
    pub listeners: Listeners,
    /// The TCP address for probes and scrapes, such as `0.0.0.0:9465`. Nothing else is served there.
    #[serde(default)]
    pub health: Option<SocketAddr>,
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
    /// How to log.
    #[serde(default)]
    pub log: LogConfig,
}

/// How one network is watched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// JSON-RPC nodes, each at an origin of its own.
    pub urls: Vec<String>,
    /// How many of them must say the same.
    #[serde(default = "one")]
    pub quorum: usize,
    /// Seconds between two rounds.
    #[serde(default = "half_a_minute")]
    pub interval_secs: u64,
    /// Longest wait for one answer, in milliseconds.
    #[serde(default = "five_seconds")]
    pub timeout_ms_max: u64,
    /// Longest range of blocks the nodes take in one `eth_getLogs`.
    #[serde(default = "one_thousand")]
    pub log_blocks_max: u64,
    /// How many blocks make a block final, on networks whose nodes do not say `finalized`.
    pub confirmations: Option<u64>,
}

const fn one() -> usize {
    1
}

const fn half_a_minute() -> u64 {
    30
}

const fn five_seconds() -> u64 {
    5_000
}

const fn one_thousand() -> u64 {
    1_000
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

/// The two sockets: agents never reach the operators' one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listeners {
    /// Where agents ask.
    pub agents: Listener,
    /// Where operators govern and audit.
    pub operators: Listener,
}

/// One Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Its path.
    pub path: PathBuf,
    /// Its permission bits, octal, such as "0660".
    pub mode: String,
}

/// Every limit, each with its unit last.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest life of a signature, in seconds.
    pub validity_secs_max: u64,
    /// Longest life of a Permit2 signature, in seconds, where that is shorter.
    pub permit2_validity_secs_max: u64,
    /// How far other clocks may be off, in seconds.
    pub skew_secs: u64,
    /// How far our own clock may go back, in milliseconds.
    pub clock_back_ms_max: u64,
    /// How far the wall clock may run ahead of the boot clock, in milliseconds.
    pub clock_ahead_ms_max: u64,
    /// How far ahead of the last record the wall clock may be after a reboot, in milliseconds.
    pub clock_reboot_ms_max: u64,
    /// How old a balance may be to be relied on, in seconds.
    pub balance_age_secs_max: u64,
    /// Most equal denials, previews, retries or calls of nobody that are recorded within a minute, each on its own; what
    /// comes beyond is counted in one record.
    pub repeats_per_minute_max: u32,
    /// Most requests waiting for the gate.
    pub queue_len_max: usize,
    /// Most requests judged in one transaction.
    pub batch_len_max: usize,
    /// Longest time for one call, in milliseconds.
    pub deadline_ms_max: u64,
    /// Most connections per socket.
    pub connections_max: usize,
    /// Most calls under way per connection.
    pub streams_per_connection_max: u32,
    /// Most subscribers who follow the audit at once.
    pub subscribers_max: usize,
    /// Most calls of one agent per second, with bursts of as many.
    pub agent_calls_per_sec_max: u32,
    /// Longest wait for calls under way after SIGTERM, in seconds.
    pub drain_secs_max: u64,
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

impl Default for Limits {
    fn default() -> Self {
        let Settings {
            validity_secs_max,
            permit2_validity_secs_max,
            skew_secs,
            clock_back_ms_max,
            clock_ahead_ms_max,
            clock_reboot_ms_max,
            balance_age_secs_max,
            repeats_per_minute_max,
        } = Settings::default();
        Self {
            validity_secs_max,
            permit2_validity_secs_max,
            skew_secs,
            clock_back_ms_max,
            clock_ahead_ms_max,
            clock_reboot_ms_max,
            balance_age_secs_max,
            repeats_per_minute_max,
            queue_len_max: 1024,
            batch_len_max: 256,
            deadline_ms_max: 10_000,
            connections_max: 256,
            streams_per_connection_max: 128,
            subscribers_max: 128,
            agent_calls_per_sec_max: 500,
            drain_secs_max: 10,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Listener {
    /// The permission bits as a number.
    #[must_use]
    pub fn mode_bits(&self) -> Option<u32> {
        u32::from_str_radix(&self.mode, 8).ok().filter(|bits| *bits <= 0o777)
    }
}

impl ChainConfig {
    /// The watcher this describes.
    ///
    /// # Errors
    /// What is wrong, in words. URLs are not repeated: they may hold credentials.
    pub fn watcher(&self, network: &str) -> Result<(ChainId, Watcher), String> {
        let nodes = self.nodes(network)?;
        let network = nodes.network.clone();
        Watcher::new(nodes).map(|watcher| (network, watcher)).map_err(|error| error.to_string())
    }

    fn nodes(&self, network: &str) -> Result<Nodes, String> {
        let network = ChainId::parse(network).map_err(|error| error.to_string())?;
        let mut urls = Vec::new();
        for (position, url) in (1..).zip(&self.urls) {
            let wrong = |error| format!("`urls`: number {position} is no URL: {error}");
            urls.push(url.parse().map_err(|error: url::ParseError| wrong(error))?);
        }
        let finality = self.confirmations.map_or(Finality::Finalized, Finality::Confirmations);
        Ok(Nodes {
            network,
            urls,
            quorum: self.quorum,
            log_blocks_max: self.log_blocks_max,
            timeout: Duration::from_millis(self.timeout_ms_max),
            finality,
        })
    }

    fn problems(&self, network: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if self.interval_secs == 0 || self.timeout_ms_max == 0 {
            problems.push(format!("`chains.{network}`: `interval_secs` and `timeout_ms_max` are at least 1"));
        }
        problems.extend(self.watcher(network).err().map(|error| format!("`chains.{network}`: {error}")));
        problems
    }
}

impl Limits {
    /// The part the gate enforces.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            validity_secs_max: self.validity_secs_max,
            permit2_validity_secs_max: self.permit2_validity_secs_max,
            skew_secs: self.skew_secs,
            clock_back_ms_max: self.clock_back_ms_max,
            clock_ahead_ms_max: self.clock_ahead_ms_max,
            clock_reboot_ms_max: self.clock_reboot_ms_max,
            balance_age_secs_max: self.balance_age_secs_max,
            repeats_per_minute_max: self.repeats_per_minute_max,
        }
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

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.version != 1 {
            problems.push(format!("`version` is {}: this release reads version 1", self.version));
        }
        for (name, listener) in [("agents", &self.listeners.agents), ("operators", &self.listeners.operators)]
        {
            if listener.mode_bits().is_none() {
                let mode = &listener.mode;
                problems.push(format!(
                    "`listeners.{name}.mode` is `{mode}`: write octal digits in quotes, such as \"0660\""
                ));
            }
        }
        if self.listeners.agents.path == self.listeners.operators.path {
            problems.push("`listeners` share a path: agents must not reach the operators' socket".to_owned());
        }
        problems.extend(self.audit.problems());
        problems.extend(self.reload.problems());
        problems.extend(self.traces.iter().flat_map(TracesConfig::problems));
        problems.extend(self.chains.iter().flat_map(|(network, chain)| chain.problems(network)));
        let limits = &self.limits;
        let positive = [
            ("validity_secs_max", limits.validity_secs_max),
            ("permit2_validity_secs_max", limits.permit2_validity_secs_max),
            ("repeats_per_minute_max", limits.repeats_per_minute_max.into()),
            ("queue_len_max", limits.queue_len_max as u64),
            ("batch_len_max", limits.batch_len_max as u64),
            ("deadline_ms_max", limits.deadline_ms_max),
            ("connections_max", limits.connections_max as u64),
            ("streams_per_connection_max", limits.streams_per_connection_max.into()),
            ("subscribers_max", limits.subscribers_max as u64),
            ("agent_calls_per_sec_max", limits.agent_calls_per_sec_max.into()),
        ];
        problems.extend(
            (positive.iter().filter(|(_, value)| *value == 0)).map(|(name, _)| {
                format!("`limits.{name}` is 0: nothing could ever be done; write at least 1")
            }),
        );
        problems
    }

    fn rebase(&mut self, base: &Path) {
        let Self {
            policies,
            journal,
            keystore,
            listeners,
            audit,
            version: _,
            health: _,
            reload: _,
            traces: _,
            dev: _,
            limits: _,
            chains: _,
            log: _,
        } = self;
        audit.rebase(base);
        let paths = [
            policies,
            journal,
            &mut keystore.dir,
            &mut keystore.passphrase_file,
            &mut listeners.agents.path,
            &mut listeners.operators.path,
        ];
        for path in paths {
            *path = base.join(&*path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "urls: [\"https://node.example/key\"]";

    fn chain(text: &str) -> ChainConfig {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn every_field_of_a_chain_reaches_its_watcher() {
        let of = |text: &str| chain(&format!("{NODE}\n{text}")).nodes("eip155:8453").unwrap();
        let plain = of("");
        assert_eq!((plain.network.to_string().as_str(), plain.quorum), ("eip155:8453", 1));
        assert_eq!((plain.timeout, plain.log_blocks_max), (Duration::from_secs(5), 1_000));
        assert_eq!(
            (plain.urls[0].as_str(), plain.finality),
            ("https://node.example/key", Finality::Finalized)
        );
        assert_eq!(of("quorum: 2").quorum, 2);
        assert_eq!(of("timeout_ms_max: 7").timeout, Duration::from_millis(7));
        assert_eq!(of("log_blocks_max: 9").log_blocks_max, 9);
        assert_eq!(of("confirmations: 4").finality, Finality::Confirmations(4));
        assert_eq!(chain(&format!("{NODE}\ninterval_secs: 3")).interval_secs, 3);
    }

    #[test]
    fn a_chain_that_cannot_be_watched_is_refused_without_its_urls() {
        let table = [
            ("eip155:8453", "urls: []", "quorum"),
            ("eip155:8453", "urls: [\"node.example/secret\"]", "number 1"),
            ("eip155:8453", "urls: [\"ftp://node.example/secret\"]", "http"),
            ("eip155:8453", "urls: [\"https://a.example/secret\", \"https://a.example/other\"]", "a.example"),
            ("eip155:8453", "urls: [\"https://a.example/secret\"]\nquorum: 2", "quorum"),
            ("eip155:8453", "urls: [\"https://a.example/secret\"]\nquorum: 0", "quorum"),
            ("eip155:8453", "urls: [\"https://a.example/secret\"]\nlog_blocks_max: 0", "log_blocks_max"),
            ("eip155:8453", "urls: [\"https://a.example/secret\"]\ninterval_secs: 0", "at least 1"),
            ("eip155:8453", "urls: [\"https://a.example/secret\"]\ntimeout_ms_max: 0", "at least 1"),
            ("solana:x", "urls: [\"https://a.example/secret\"]", "solana"),
            ("base", "urls: [\"https://a.example/secret\"]", "CAIP-2"),
        ];
        for (network, text, what) in table {
            let problems = chain(text).problems(network).join("\n");
            assert!(problems.contains(what) && !problems.contains("secret"), "{text}: {problems}");
        }
    }

    #[test]
    fn every_limit_of_the_gate_reaches_it() {
        let text = "validity_secs_max: 1\nskew_secs: 2\nclock_back_ms_max: 3\nclock_ahead_ms_max: 4\n\
                    clock_reboot_ms_max: 5\nbalance_age_secs_max: 6\npermit2_validity_secs_max: 7\n\
                    repeats_per_minute_max: 8";
        let limits: Limits = serde_yaml::from_str(text).unwrap();
        let expected = Settings {
            validity_secs_max: 1,
            skew_secs: 2,
            clock_back_ms_max: 3,
            clock_ahead_ms_max: 4,
            clock_reboot_ms_max: 5,
            balance_age_secs_max: 6,
            permit2_validity_secs_max: 7,
            repeats_per_minute_max: 8,
        };
        assert_eq!(limits.settings(), expected);
    }
}

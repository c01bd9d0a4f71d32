//! `chains:`: which nodes are asked what became of signatures.

use std::time::Duration;

use pursekeeper_core::ChainId;
use serde::Deserialize;

use crate::chain::{Finality, Nodes, Watcher};

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

    pub(super) fn problems(&self, network: &str) -> Vec<String> {
        let mut problems = Vec::new();
        if self.interval_secs == 0 || self.timeout_ms_max == 0 {
            problems.push(format!("`chains.{network}`: `interval_secs` and `timeout_ms_max` are at least 1"));
        }
        problems.extend(self.watcher(network).err().map(|error| format!("`chains.{network}`: {error}")));
        problems
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
}

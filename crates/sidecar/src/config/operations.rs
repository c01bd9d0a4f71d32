//! What people who run it turn: hot reload and traces.

use serde::Deserialize;

use super::{Config, LogConfig};

/// Whether and how what changes on disk is read again while the sidecar runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReloadConfig {
    /// Whether a change is taken up without anybody asking.
    pub watch: bool,
    /// Seconds between two looks that need no notification from the file system.
    pub poll_secs: u64,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// The OTLP receiver, over gRPC, such as `http://127.0.0.1:4317`.
    pub endpoint: String,
}

impl Default for ReloadConfig {
    fn default() -> Self {
        Self { watch: true, poll_secs: 10 }
    }
}

impl ReloadConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let idle = (self.poll_secs == 0).then(|| "`reload.poll_secs` is 0: write at least 1".to_owned());
        idle.into_iter().collect()
    }
}

impl TracesConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let url = url::Url::parse(&self.endpoint).ok();
        let fits = url.is_some_and(|url| url.scheme() == "http" && url.has_host());
        let wrong = || "`traces.endpoint` is no URL of an OTLP receiver: write one such as `http://127.0.0.1:4317`; over a network, of a collector beside the sidecar";
        (!fits).then(|| wrong().to_owned()).into_iter().collect()
    }
}

impl Config {
    /// The fields in which another configuration differs that come into force at a start only; the log level is not one.
    #[must_use]
    pub fn changed_fields(&self, other: &Self) -> Vec<&'static str> {
        let Self {
            version,
            dev,
            policies,
            shadow_policies,
            journal,
            keystore,
            listeners,
            health,
            identity,
            reload,
            traces,
            sandbox,
            limits,
            chains,
            audit,
            log: LogConfig { level: _, format },
        } = self;
        let changed = [
            ("version", *version != other.version),
            ("dev", *dev != other.dev),
            ("policies", *policies != other.policies),
            ("shadow_policies", *shadow_policies != other.shadow_policies),
            ("journal", *journal != other.journal),
            ("keystore", *keystore != other.keystore),
            ("listeners", *listeners != other.listeners),
            ("health", *health != other.health),
            ("identity", *identity != other.identity),
            ("reload", *reload != other.reload),
            ("traces", *traces != other.traces),
            ("sandbox", *sandbox != other.sandbox),
            ("limits", *limits != other.limits),
            ("chains", *chains != other.chains),
            ("audit", *audit != other.audit),
            ("log.format", *format != other.log.format),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "version: 1\npolicies: p\njournal: j\nkeystore: { dir: k, passphrase_file: f }\n";

    #[test]
    fn traces_go_to_a_url_and_nowhere_else() {
        let table = [
            ("http://127.0.0.1:4317", true),
            ("https://otel.example", false),
            ("127.0.0.1:4317", false),
            ("unix:///run/otel.sock", false),
            ("", false),
        ];
        for (endpoint, fits) in table {
            let problems = TracesConfig { endpoint: endpoint.to_owned() }.problems();
            assert_eq!(problems.is_empty(), fits, "{endpoint}: {problems:?}");
        }
    }

    #[test]
    fn what_waits_for_a_restart_is_named() {
        let listeners = "listeners: [{ serves: operators, path: o, mode: \"0600\" }]\n";
        let config =
            |more: &str| serde_yaml::from_str::<Config>(&format!("{PLAIN}{listeners}{more}")).unwrap();
        let plain = config("");
        let table: [(&str, &[&str]); 11] = [
            ("", &[]),
            ("log: { level: debug }", &[]),
            ("log: { format: json }", &["log.format"]),
            ("dev: true", &["dev"]),
            ("shadow_policies: next", &["shadow_policies"]),
            ("health: \"127.0.0.1:9465\"", &["health"]),
            ("reload: { poll_secs: 3 }", &["reload"]),
            ("sandbox: enforce", &["sandbox"]),
            ("identity: { spiffe: { trust_domain: prod.example } }", &["identity"]),
            (
                "traces: { endpoint: \"http://127.0.0.1:4317\" }\nlimits: { skew_secs: 5 }",
                &["traces", "limits"],
            ),
            ("audit: { checkpoint: { every_secs: 5 } }", &["audit"]),
        ];
        for (more, expected) in table {
            assert_eq!(plain.changed_fields(&config(more)), expected, "{more}");
        }
    }
}

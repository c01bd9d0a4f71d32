//! `identity:`: which certificates and bearer tokens prove who calls.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pursekeeper_core::{SpiffeId, TokenIssuer};
use serde::Deserialize;

/// Most issuers of tokens.
const ISSUERS_LEN_MAX: usize = 16;

/// What is trusted to say who calls, beside the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// Whose certificates are taken.
    pub spiffe: Option<SpiffeConfig>,
    /// Whose bearer tokens are taken.
    pub tokens: Vec<IssuerConfig>,
}

/// The trust domain whose X.509-SVIDs are taken, and where its authorities are read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpiffeConfig {
    /// The only trust domain, such as `prod.example`.
    pub trust_domain: String,
    /// Its authorities, PEM; read again when the file changes.
    pub bundle: Option<PathBuf>,
    /// The SPIFFE Workload API that says what they are, such as `unix:///run/spire/agent.sock`.
    pub workload_api: Option<String>,
}

/// Somebody who issues bearer tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// What registry.yaml calls it.
    pub name: String,
    /// What its tokens call it: their `iss`.
    pub issuer: String,
    /// Who its tokens must be for; at least one, and one of them must be in a token's `aud`.
    pub audiences: Vec<String>,
    /// A file with its public keys; read again when it changes.
    pub jwks: Option<PathBuf>,
    /// Where its public keys are fetched, over HTTPS.
    pub jwks_url: Option<String>,
    /// The authorities for `jwks_url`, PEM; those of this machine when it is not given.
    pub ca: Option<PathBuf>,
    /// A file with a token that is shown to `jwks_url`; read for every fetch.
    pub bearer_file: Option<PathBuf>,
    /// Seconds between two fetches.
    #[serde(default = "five_minutes")]
    pub refresh_secs: u64,
    /// The API server that is asked about every token besides.
    pub review: Option<ReviewConfig>,
}

/// A Kubernetes API server that answers TokenReviews.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewConfig {
    /// Its address, over HTTPS.
    pub url: String,
    /// A file with the sidecar's own token; read for every question.
    pub bearer_file: PathBuf,
    /// Its authorities, PEM; those of this machine when it is not given.
    pub ca: Option<PathBuf>,
    /// How long a good answer is relied on, in seconds.
    #[serde(default = "half_a_minute")]
    pub cache_secs: u64,
}

const fn five_minutes() -> u64 {
    300
}

const fn half_a_minute() -> u64 {
    30
}

impl IdentityConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.spiffe.iter().flat_map(SpiffeConfig::problems).collect();
        if self.tokens.len() > ISSUERS_LEN_MAX {
            problems.push(format!("`identity.tokens`: more than {ISSUERS_LEN_MAX}"));
        }
        let mut names = BTreeSet::new();
        for (position, issuer) in self.tokens.iter().enumerate() {
            let named = |problem| format!("`identity.tokens[{position}]`: {problem}");
            problems.extend(issuer.problems().into_iter().map(named));
            for text in [&issuer.name, &issuer.issuer] {
                if !names.insert(text) {
                    problems.push(named(format!("`{text}` stands here twice: keep one")));
                }
            }
        }
        problems
    }

    pub(super) fn rebase(&mut self, base: &Path) {
        let bundle = self.spiffe.iter_mut().filter_map(|spiffe| spiffe.bundle.as_mut());
        let of_issuers = self.tokens.iter_mut().flat_map(|issuer| {
            let IssuerConfig { jwks, ca, bearer_file, review, .. } = issuer;
            let of_review =
                review.iter_mut().flat_map(|review| review.ca.iter_mut().chain([&mut review.bearer_file]));
            jwks.iter_mut().chain(ca).chain(bearer_file).chain(of_review)
        });
        for path in bundle.chain(of_issuers) {
            *path = base.join(&*path);
        }
    }
}

impl SpiffeConfig {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(error) = SpiffeId::parse_trust_domain(&self.trust_domain) {
            problems.push(format!("`identity.spiffe.trust_domain` is `{}`: {error}", self.trust_domain));
        }
        match (&self.bundle, &self.workload_api) {
            (Some(_), None) => {}
            (None, Some(endpoint)) => {
                if !endpoint.starts_with("unix:///") {
                    let what = "write where its Unix socket is, `unix:///run/spire/agent.sock`";
                    problems.push(format!("`identity.spiffe.workload_api` is `{endpoint}`: {what}"));
                }
            }
            (None, None) | (Some(_), Some(_)) => problems.push(
                "`identity.spiffe`: write one of `bundle` and `workload_api`: the authorities come from one place"
                    .to_owned(),
            ),
        }
        problems
    }
}

impl IssuerConfig {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(TokenIssuer::parse(&self.name).err().map(|error| format!("`name`: {error}")));
        if self.issuer.is_empty() {
            problems.push("`issuer` is empty: write the `iss` of its tokens".to_owned());
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            problems.push(
                "`audiences`: name who its tokens are for, `[pursekeeper]`: a token for somebody else proves nothing here"
                    .to_owned(),
            );
        }
        match (&self.jwks, &self.jwks_url) {
            (Some(_), None) if self.ca.is_some() || self.bearer_file.is_some() => {
                problems.push("`ca` and `bearer_file` are for `jwks_url`".to_owned());
            }
            (Some(_), None) => {}
            (None, Some(url)) => problems.extend(https("jwks_url", url)),
            (None, None) | (Some(_), Some(_)) => {
                problems.push("write one of `jwks` and `jwks_url`: the keys come from one place".to_owned());
            }
        }
        if self.refresh_secs == 0 {
            problems.push("`refresh_secs` is 0: write at least 1".to_owned());
        }
        problems.extend(self.review.iter().filter_map(|review| https("review.url", &review.url)));
        problems
    }
}

/// Why an address is none that keys or verdicts are fetched from.
fn https(field: &str, text: &str) -> Option<String> {
    let fits = text
        .parse::<url::Url>()
        .is_ok_and(|url| url.scheme() == "https" && url.username().is_empty() && url.password().is_none());
    (!fits).then(|| {
        format!("`{field}` is `{text}`: write an address that begins with `https://`, without a user")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "{ name: cluster, issuer: x, audiences: [pursekeeper], jwks: jwks.json";

    fn check(text: &str) -> String {
        serde_yaml::from_str::<IdentityConfig>(text).unwrap().problems().join("\n")
    }

    #[test]
    fn what_would_be_trusted_too_far_is_refused() {
        let url = "{ name: cluster, issuer: x, audiences: [pursekeeper], jwks_url: ";
        let table = [
            ("spiffe: { trust_domain: \"Prod\", bundle: b }".to_owned(), "trust_domain"),
            ("spiffe: { trust_domain: prod }".to_owned(), "one of `bundle` and `workload_api`"),
            ("spiffe: { trust_domain: prod, bundle: b, workload_api: \"unix:///a\" }".to_owned(), "one of"),
            ("spiffe: { trust_domain: prod, workload_api: \"tcp://a\" }".to_owned(), "unix:///"),
            ("tokens: [{ name: A, issuer: x, audiences: [p], jwks: j }]".to_owned(), "`name`"),
            ("tokens: [{ name: a, issuer: \"\", audiences: [p], jwks: j }]".to_owned(), "`issuer` is empty"),
            ("tokens: [{ name: a, issuer: x, audiences: [], jwks: j }]".to_owned(), "`audiences`"),
            ("tokens: [{ name: a, issuer: x, audiences: [\"\"], jwks: j }]".to_owned(), "`audiences`"),
            ("tokens: [{ name: a, issuer: x, audiences: [p] }]".to_owned(), "one of `jwks` and `jwks_url`"),
            (format!("tokens: [{FILE}, jwks_url: \"https://a\" }}]"), "one of `jwks` and `jwks_url`"),
            (format!("tokens: [{FILE}, ca: c }}]"), "are for `jwks_url`"),
            (format!("tokens: [{FILE}, bearer_file: c }}]"), "are for `jwks_url`"),
            (format!("tokens: [{FILE}, refresh_secs: 0 }}]"), "at least 1"),
            (format!("tokens: [{url}\"http://a\" }}]"), "https://"),
            (format!("tokens: [{url}\"https://u:p@a\" }}]"), "without a user"),
            (format!("tokens: [{FILE}, review: {{ url: \"http://a\", bearer_file: b }} }}]"), "review.url"),
            (format!("tokens: [{FILE} }}, {FILE} }}]"), "stands here twice"),
        ];
        for (text, expected) in table {
            let said = check(&text);
            assert!(said.contains(expected), "{text}: {said}");
        }
        let review = "review: { url: \"https://a\", bearer_file: b, ca: c, cache_secs: 0 }";
        let both =
            format!("spiffe: {{ trust_domain: prod.example, bundle: b }}\ntokens: [{FILE}, {review} }}]");
        assert_eq!(check(&both), "");
    }

    #[test]
    fn every_path_is_relative_to_the_file() {
        let text = "spiffe: { trust_domain: prod, bundle: b }\ntokens:\n- { name: a, issuer: x, audiences: [p], jwks: j }\n\
                    - { name: b, issuer: y, audiences: [p], jwks_url: \"https://a\", ca: c, bearer_file: t,\
                    review: { url: \"https://a\", bearer_file: r, ca: d } }";
        let mut config: IdentityConfig = serde_yaml::from_str(text).unwrap();
        config.rebase(Path::new("/etc"));
        let at = |path: &Option<PathBuf>| path.as_ref().unwrap().display().to_string();
        let [file, url] = &config.tokens[..] else { panic!("two issuers") };
        let review = url.review.as_ref().unwrap();
        let found = [
            at(&config.spiffe.as_ref().unwrap().bundle),
            at(&file.jwks),
            at(&url.ca),
            at(&url.bearer_file),
            at(&review.ca),
            review.bearer_file.display().to_string(),
        ];
        assert_eq!(found, ["/etc/b", "/etc/j", "/etc/c", "/etc/t", "/etc/d", "/etc/r"]);
        assert_eq!((file.refresh_secs, review.cache_secs), (300, 30));
    }
}

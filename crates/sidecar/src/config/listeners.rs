//! `listeners:`: where the sidecar is reached, by whom, and what must be shown there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pursekeeper_core::WorkflowName;
use serde::Deserialize;

/// Most listeners.
const LISTENERS_LEN_MAX: usize = 64;

/// One place where the sidecar is reached: a Unix socket or a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Who is served.
    pub serves: Serves,
    /// The path of a Unix socket.
    pub path: Option<PathBuf>,
    /// Its permission bits, octal, such as "0660".
    pub mode: Option<String>,
    /// The group it belongs to; that of the sidecar when it is not given.
    pub group: Option<u32>,
    /// The address of a TCP port: with `tls`, or on loopback with `token: true`.
    pub tcp: Option<SocketAddr>,
    /// How a TCP port proves who it is. Its clients prove the same by a certificate that `identity.spiffe` trusts.
    pub tls: Option<TlsConfig>,
    /// The only workflows that may be asked for here; all when it is not given.
    pub workflows: Option<BTreeSet<String>>,
    /// Whether a bearer token is demanded besides.
    #[serde(default)]
    pub token: bool,
}

/// Whom a listener serves: agents never reach what is for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serves {
    /// Agents: they ask for signatures.
    Agents,
    /// Operators: they govern and audit.
    Operators,
}

/// The certificate of a TCP port. Both files are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and what leads to its authority, PEM, its own first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Where a listener is, once its fields are known to fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A Unix socket.
    Unix {
        /// Its path.
        path: &'a Path,
        /// Its permission bits.
        mode: u32,
        /// The group it belongs to.
        group: Option<u32>,
    },
    /// A TCP port whose clients show a certificate.
    Tls {
        /// Its address.
        address: SocketAddr,
        /// Its own certificate.
        tls: &'a TlsConfig,
    },
    /// A TCP port of this machine alone, where a token is all there is.
    Loopback {
        /// Its address.
        address: SocketAddr,
    },
}

impl Serves {
    /// The word in configuration and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Operators => "operators",
        }
    }
}

impl Listener {
    /// Where it is.
    ///
    /// # Errors
    /// Which fields do not fit together, and what to write instead.
    pub fn place(&self) -> Result<Place<'_>, String> {
        let Self { serves: _, path, mode, group, tcp, tls, workflows: _, token } = self;
        match (path, tcp) {
            (Some(path), None) => {
                if tls.is_some() {
                    return Err("`tls` is for `tcp`: a Unix socket needs none".to_owned());
                }
                let mode = mode.as_deref().unwrap_or_default();
                let bits = u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o777);
                let what = || format!("`mode` is `{mode}`: write octal digits in quotes, such as \"0660\"");
                Ok(Place::Unix { path, mode: bits.ok_or_else(what)?, group: *group })
            }
            (None, Some(address)) => {
                if mode.is_some() || group.is_some() {
                    return Err("`mode` and `group` are for `path`: a TCP port has neither".to_owned());
                }
                match tls {
                    Some(tls) => Ok(Place::Tls { address: *address, tls }),
                    None if address.ip().is_loopback() && *token => Ok(Place::Loopback { address: *address }),
                    None => Err(format!(
                        "`tcp: {address}` has no `tls`: add a certificate and a key, or use `127.0.0.1` with `token: true`"
                    )),
                }
            }
            (None, None) => Err("write `path` for a Unix socket, or `tcp` for a port".to_owned()),
            (Some(_), Some(_)) => {
                Err("`path` and `tcp` are two listeners: write an entry for each".to_owned())
            }
        }
    }

    /// Its path, if it is a Unix socket.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The only workflows that may be asked for here. What is no name is none of them.
    #[must_use]
    pub fn workflow_names(&self) -> Option<BTreeSet<WorkflowName>> {
        let only = self.workflows.as_ref()?;
        Some(only.iter().filter_map(|name| WorkflowName::parse(name).ok()).collect())
    }

    fn problems(&self, spiffe: bool, tokens: bool) -> Vec<String> {
        let mut problems = Vec::new();
        match self.place() {
            Ok(Place::Tls { .. }) if !spiffe => problems.push(
                "`tls` asks clients for certificates: say in `identity.spiffe` which are trusted".to_owned(),
            ),
            Ok(Place::Tls { .. } | Place::Unix { .. } | Place::Loopback { .. }) => {}
            Err(what) => problems.push(what),
        }
        if self.token && !tokens {
            problems.push("`token: true`: say in `identity.tokens` whose are taken".to_owned());
        }
        match &self.workflows {
            Some(_) if self.serves == Serves::Operators => {
                problems.push("`workflows` is for agents: operators govern all".to_owned());
            }
            Some(only) if only.is_empty() => {
                problems.push("`workflows` is empty: name at least one, or leave it out".to_owned());
            }
            Some(only) => {
                let wrong = only.iter().filter_map(|name| WorkflowName::parse(name).err());
                problems.extend(wrong.map(|error| format!("`workflows`: {error}")));
            }
            None => {}
        }
        problems
    }

    pub(super) fn rebase(&mut self, base: &Path) {
        let tls = self.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        for path in self.path.iter_mut().chain(tls) {
            *path = base.join(&*path);
        }
    }
}

/// What is wrong with the listeners, given whether there are certificates and tokens that are trusted.
pub(super) fn problems(listeners: &[Listener], spiffe: bool, tokens: bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (position, listener) in listeners.iter().enumerate() {
        let named = |problem| format!("`listeners[{position}]`: {problem}");
        problems.extend(listener.problems(spiffe, tokens).into_iter().map(named));
    }
    if !listeners.iter().any(|listener| listener.serves == Serves::Operators) {
        problems
            .push("`listeners`: none serves operators, and nobody could stop anything: add one".to_owned());
    }
    if listeners.len() > LISTENERS_LEN_MAX {
        problems.push(format!("`listeners`: more than {LISTENERS_LEN_MAX}"));
    }
    let mut paths = BTreeSet::new();
    for path in listeners.iter().filter_map(Listener::socket) {
        if !paths.insert(path) {
            problems.push(format!(
                "`listeners` share the path `{}`: agents must not reach the operators' socket",
                path.display()
            ));
        }
    }
    let mut addresses = BTreeSet::new();
    for address in listeners.iter().filter_map(|listener| listener.tcp).filter(|address| address.port() != 0)
    {
        if !addresses.insert(address) {
            problems.push(format!("`listeners` share the address {address}: give each its own"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATORS: &str = "{ serves: operators, path: run/operator.sock, mode: \"0600\" }";

    fn listeners(entries: &[&str]) -> Result<Vec<Listener>, serde_yaml::Error> {
        serde_yaml::from_str(&entries.iter().map(|entry| format!("- {entry}\n")).collect::<String>())
    }

    /// What is wrong with one listener beside the operators' one.
    fn check(entry: &str, spiffe: bool, tokens: bool) -> String {
        problems(&listeners(&[entry, OPERATORS]).unwrap(), spiffe, tokens).join("\n")
    }

    #[test]
    fn a_listener_that_would_let_anybody_in_is_refused() {
        let table = [
            ("{ serves: agents, path: a.sock }", "`mode` is ``"),
            ("{ serves: agents, path: a.sock, mode: \"0888\" }", "octal"),
            ("{ serves: agents, path: a.sock, mode: \"7777\" }", "octal"),
            ("{ serves: agents }", "write `path`"),
            ("{ serves: agents, path: a.sock, mode: \"0600\", tcp: \"127.0.0.1:1\" }", "two listeners"),
            ("{ serves: agents, path: run/operator.sock, mode: \"0600\" }", "share the path"),
            ("{ serves: agents, tcp: \"127.0.0.1:1\" }", "has no `tls`"),
            ("{ serves: agents, tcp: \"0.0.0.0:1\", token: true }", "has no `tls`"),
            (
                "{ serves: agents, tcp: \"127.0.0.1:1\", token: true, mode: \"0600\" }",
                "a TCP port has neither",
            ),
            ("{ serves: agents, tcp: \"127.0.0.1:1\", token: true, group: 1 }", "a TCP port has neither"),
            (
                "{ serves: agents, path: a.sock, mode: \"0600\", tls: { certificate: c, key: k } }",
                "needs none",
            ),
            ("{ serves: agents, path: a.sock, mode: \"0600\", workflows: [] }", "is empty"),
            ("{ serves: agents, path: a.sock, mode: \"0600\", workflows: [No] }", "is not a name"),
            ("{ serves: operators, path: a.sock, mode: \"0600\", workflows: [a] }", "is for agents"),
        ];
        for (entry, expected) in table {
            let said = check(entry, true, true);
            assert!(said.contains(expected), "{entry}: {said}");
        }
        let tls = "{ serves: agents, tcp: \"0.0.0.0:1\", tls: { certificate: c, key: k } }";
        assert!(check(tls, false, true).contains("identity.spiffe"));
        let token = "{ serves: agents, path: a.sock, mode: \"0666\", token: true }";
        assert!(check(token, true, false).contains("identity.tokens"));
        assert!(problems(&listeners(&[token]).unwrap(), true, true)[0].contains("none serves operators"));
        let twice = "{ serves: agents, tcp: \"127.0.0.1:1\", token: true }";
        let shared = problems(&listeners(&[twice, twice, OPERATORS]).unwrap(), true, true);
        assert!(shared[0].contains("share the address"));
        assert!(listeners(&["{ serves: everybody, path: a, mode: \"0600\" }"]).is_err());
    }

    #[test]
    fn every_field_of_a_listener_says_where_it_is() {
        let tls = "{ serves: agents, tcp: \"0.0.0.0:7443\", tls: { certificate: c, key: k } }";
        let unix = "{ serves: agents, path: a.sock, mode: \"0660\", group: 2000, workflows: [b, a] }";
        let loopback = "{ serves: agents, tcp: \"[::1]:7402\", token: true }";
        let mut all = listeners(&[tls, unix, loopback]).unwrap();
        all.iter_mut().for_each(|listener| listener.rebase(Path::new("/etc/x")));
        let files = TlsConfig { certificate: "/etc/x/c".into(), key: "/etc/x/k".into() };
        let address = "0.0.0.0:7443".parse().unwrap();
        assert_eq!(all[0].place(), Ok(Place::Tls { address, tls: &files }));
        let path = Path::new("/etc/x/a.sock");
        assert_eq!(all[1].place(), Ok(Place::Unix { path, mode: 0o660, group: Some(2000) }));
        let names = all[1].workflow_names().unwrap();
        assert_eq!(names.iter().map(WorkflowName::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(all[2].place(), Ok(Place::Loopback { address: "[::1]:7402".parse().unwrap() }));
        assert_eq!(check(tls, true, false) + &check(unix, false, false) + &check(loopback, false, true), "");
    }
}

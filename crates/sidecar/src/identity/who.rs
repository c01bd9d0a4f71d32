//! From what was proved to who it is. Nothing here asks anybody or reads a clock.

use std::collections::BTreeSet;
use std::fmt;

use pursekeeper_core::registry::{Proofs, Registry};
use pursekeeper_core::{AgentName, IdentitySource, OperatorName, SpiffeId, TokenSubject, UnixPeer};

use super::{CertificateError, IdentityError, TokenError};
use crate::config::Serves;

/// Which proofs a listener cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Demand {
    /// A Unix socket: the kernel says who is at the other end.
    Peer,
    /// A Unix socket where that is not enough.
    PeerAndToken,
    /// A TCP port: the client's certificate.
    Certificate,
    /// A TCP port where that is not enough.
    CertificateAndToken,
    /// A TCP port on loopback: the token is all there is.
    Token,
}

/// An agent or an operator of the registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// Somebody who asks.
    Agent(AgentName),
    /// Somebody who governs.
    Operator(OperatorName),
}

/// Everything one call shows, each proof as far as it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whom the listener serves.
    pub serves: Serves,
    /// What it demands.
    pub demand: Demand,
    /// The other end of a Unix socket.
    pub peer: Option<UnixPeer>,
    /// The client's certificate.
    pub certificate: Option<Result<SpiffeId, CertificateError>>,
    /// The bearer token.
    pub token: Option<Result<TokenSubject, TokenError>>,
    /// Who the call says it is of.
    pub declared: Option<String>,
}

/// What bounds who may be somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The sidecar's own user id.
    pub own_uid: u32,
    /// Whether one user may be everything, for trying things out.
    pub dev: bool,
}

impl Demand {
    const fn needs_peer(self) -> bool {
        matches!(self, Self::Peer | Self::PeerAndToken)
    }

    const fn needs_certificate(self) -> bool {
        matches!(self, Self::Certificate | Self::CertificateAndToken)
    }

    const fn needs_token(self) -> bool {
        matches!(self, Self::PeerAndToken | Self::CertificateAndToken | Self::Token)
    }
}

impl Principal {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(name) => name.as_str(),
            Self::Operator(name) => name.as_str(),
        }
    }

    const fn kind(&self) -> Serves {
        match self {
            Self::Agent(_) => Serves::Agents,
            Self::Operator(_) => Serves::Operators,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", role(self.kind()), self.name())
    }
}

const fn role(serves: Serves) -> &'static str {
    match serves {
        Serves::Agents => "agent",
        Serves::Operators => "operator",
    }
}

impl Shown {
    /// What is known of a caller that is nobody.
    #[must_use]
    pub fn source(&self) -> Option<IdentitySource> {
        let certificate = self.certificate.clone().and_then(Result::ok);
        let token = self.token.clone().and_then(Result::ok);
        IdentitySource::of(self.peer.map(|peer| (peer, true)), certificate, token)
    }
}

impl Rules {
    /// Who calls, and what proved it.
    ///
    /// # Errors
    /// [`IdentityError`] when it is nobody, or not surely one.
    pub fn who(
        self,
        registry: &Registry,
        shown: &Shown,
    ) -> Result<(Principal, IdentitySource), IdentityError> {
        let Shown { serves, demand, peer, certificate, token, declared } = shown;
        if demand.needs_peer() && peer.is_none() {
            return Err(IdentityError::NoCredentials);
        }
        if let Some(UnixPeer { uid, .. }) = peer
            && *uid == self.own_uid
            && !self.dev
        {
            return Err(IdentityError::OwnUid(*uid));
        }
        if demand.needs_certificate() && certificate.is_none() {
            return Err(IdentityError::CertificateMissing);
        }
        let certificate = certificate.clone().transpose()?;
        if demand.needs_token() && token.is_none() {
            return Err(IdentityError::TokenMissing);
        }
        let token = token.clone().transpose()?;
        let led = Led { by_peer: *peer, by_certificate: certificate, by_token: token };
        let (principal, source) = self.agreed(registry, *serves, led)?;
        if principal.kind() != *serves {
            return Err(IdentityError::WrongListener {
                who: principal.to_string(),
                role: role(*serves),
                serves: principal.kind().as_str(),
                by_peer: source.peer_counts(),
            });
        }
        match declared {
            Some(said) if said != principal.name() => {
                Err(IdentityError::Declared { said: said.clone(), who: principal.to_string() })
            }
            Some(_) | None => Ok((principal, source)),
        }
    }

    /// The one whom all proofs lead to.
    fn agreed(
        self,
        registry: &Registry,
        serves: Serves,
        led: Led,
    ) -> Result<(Principal, IdentitySource), IdentityError> {
        let Led { by_peer, by_certificate, by_token } = led;
        let find = |knows: &dyn Fn(&Proofs) -> bool| self.find(registry, serves, knows);
        let peers = by_peer.map(|peer| find(&|proofs| proofs.know_peer(peer)));
        let certified = by_certificate.as_ref().map(|id| find(&|proofs| proofs.spiffe.contains(id)));
        let borne = by_token.as_ref().map(|token| find(&|proofs| proofs.tokens.contains(token)));
        let peer_counts = peers.as_ref().is_some_and(|found| !found.is_empty());
        let all =
            IdentitySource::of(by_peer.map(|peer| (peer, true)), by_certificate.clone(), by_token.clone());
        let shown = all.map_or_else(String::new, |source| source.to_string());
        let mut found: BTreeSet<Principal> = BTreeSet::new();
        for leads in [&peers, &certified, &borne] {
            found.extend(leads.iter().flatten().cloned());
        }
        // A peer whom nobody is declared with is no proof; a certificate or a token that leads to nobody is one too many.
        let astray = [&certified, &borne].iter().any(|leads| leads.as_ref().is_some_and(BTreeSet::is_empty));
        let mut every = found.into_iter();
        match (every.next(), every.next(), astray) {
            (None, _, _) => {
                Err(IdentityError::Unmapped { role: role(serves), shown, by_peer: by_peer.is_some() })
            }
            (Some(only), None, false) => {
                let source =
                    IdentitySource::of(by_peer.map(|peer| (peer, peer_counts)), by_certificate, by_token);
                source.map(|source| (only, source)).ok_or(IdentityError::NoCredentials)
            }
            (Some(one), Some(other), _) => {
                Err(IdentityError::Mismatch(format!("{shown} is {one} and {other}")))
            }
            (Some(one), None, true) => {
                Err(IdentityError::Mismatch(format!("{shown} is {one} in one part and nobody in another")))
            }
        }
    }

    /// Whom the registry declares with a proof. Where one user may be everything, the listener says what it is here.
    fn find(
        self,
        registry: &Registry,
        serves: Serves,
        knows: &dyn Fn(&Proofs) -> bool,
    ) -> BTreeSet<Principal> {
        let agents = registry.agents.iter().filter(|(_, agent)| knows(&agent.proofs));
        let agents = agents.map(|(name, _)| Principal::Agent(name.clone()));
        let operators = registry.operators.iter().filter(|(_, operator)| knows(&operator.proofs));
        let operators = operators.map(|(name, _)| Principal::Operator(name.clone()));
        let found: BTreeSet<Principal> = agents.chain(operators).collect();
        let here: BTreeSet<Principal> =
            found.iter().filter(|principal| principal.kind() == serves).cloned().collect();
        if self.dev && !here.is_empty() { here } else { found }
    }
}

/// The proofs that hold, each of them leading somewhere or nowhere.
struct Led {
    by_peer: Option<UnixPeer>,
    by_certificate: Option<SpiffeId>,
    by_token: Option<TokenSubject>,
}

#[cfg(test)]
mod tests;

//! What proves who calls, and how much that is.

mod spiffe;

pub use spiffe::{SPIFFE_ID_LEN_MAX, SpiffeId, SpiffeIdError};

use std::fmt;
use std::sync::Arc;

use crate::{NameError, TokenIssuer};

/// Longest `sub` of a token, in bytes.
pub const TOKEN_SUBJECT_LEN_MAX: usize = 256;

/// Whom a bearer token is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenSubject {
    issuer: TokenIssuer,
    subject: Arc<str>,
}

/// Why a text names nobody a token could be about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenSubjectError {
    /// There is no issuer before the subject.
    #[error(
        "write the name of an issuer of `identity.tokens`, a colon and the token's `sub`: `cluster:system:serviceaccount:agents:crawler`"
    )]
    Form,
    /// The issuer is not a name.
    #[error("the issuer: {0}")]
    Issuer(#[from] NameError),
    /// The subject is empty, too long, or not printable.
    #[error(
        "the `sub` of a token has 1 to {TOKEN_SUBJECT_LEN_MAX} bytes, and none of them is a space or a control character"
    )]
    Subject,
}

/// What the kernel says about the other end of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixPeer {
    /// The peer's user id.
    pub uid: u32,
    /// The peer's group id; nothing in records that were written before it was kept.
    pub gid: Option<u32>,
}

/// Everything that was said and proved about a caller: at least one proof.
///
/// A peer that the registry does not declare, beside a certificate or a token that it does, is kept and proves nothing:
/// containers share user ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentitySource {
    peer: Option<UnixPeer>,
    peer_counts: bool,
    certificate: Option<SpiffeId>,
    token: Option<TokenSubject>,
}

impl TokenSubject {
    /// Whom a token of `issuer` is about.
    ///
    /// # Errors
    /// [`TokenSubjectError::Subject`] when that is nobody who could be written into a registry.
    pub fn new(issuer: TokenIssuer, subject: &str) -> Result<Self, TokenSubjectError> {
        let printable = |c: char| !c.is_whitespace() && !c.is_control();
        if subject.is_empty() || subject.len() > TOKEN_SUBJECT_LEN_MAX || !subject.chars().all(printable) {
            return Err(TokenSubjectError::Subject);
        }
        Ok(Self { issuer, subject: subject.into() })
    }

    /// Reads `<issuer>:<sub>`, where the issuer is its name in `identity.tokens`.
    ///
    /// # Errors
    /// [`TokenSubjectError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, TokenSubjectError> {
        let (issuer, subject) = text.split_once(':').ok_or(TokenSubjectError::Form)?;
        Self::new(TokenIssuer::parse(issuer)?, subject)
    }

    /// Who issued the token, by the name in `identity.tokens`.
    #[must_use]
    pub const fn issuer(&self) -> &TokenIssuer {
        &self.issuer
    }

    /// The token's `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl fmt::Display for TokenSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.issuer, self.subject)
    }
}

impl fmt::Display for UnixPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        self.gid.map_or(Ok(()), |gid| write!(f, ", gid {gid}"))
    }
}

impl IdentitySource {
    /// The other end of a Unix socket, and nothing else.
    #[must_use]
    pub const fn unix_peer(uid: u32) -> Self {
        Self { peer: Some(UnixPeer { uid, gid: None }), peer_counts: true, certificate: None, token: None }
    }

    /// All proofs together; nothing when there is none. A peer that does not count proves nothing.
    #[must_use]
    pub fn of(
        peer: Option<(UnixPeer, bool)>,
        certificate: Option<SpiffeId>,
        token: Option<TokenSubject>,
    ) -> Option<Self> {
        let peer_counts = peer.is_some_and(|(_, counts)| counts);
        let proved = peer_counts || certificate.is_some() || token.is_some();
        proved.then(|| Self { peer: peer.map(|(peer, _)| peer), peer_counts, certificate, token })
    }

    /// The other end of the Unix socket, whether or not it proves anything.
    #[must_use]
    pub const fn peer(&self) -> Option<UnixPeer> {
        self.peer
    }

    /// Whether the Unix socket's peer is one of the proofs.
    #[must_use]
    pub const fn peer_counts(&self) -> bool {
        self.peer_counts
    }

    /// Who the client's certificate says it is.
    #[must_use]
    pub const fn certificate(&self) -> Option<&SpiffeId> {
        self.certificate.as_ref()
    }

    /// Whom the bearer token is about.
    #[must_use]
    pub const fn token(&self) -> Option<&TokenSubject> {
        self.token.as_ref()
    }

    /// The word used in policies and records: the kinds of proof, joined by `+`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match (self.peer_counts, self.certificate.is_some(), self.token.is_some()) {
            (true, true, true) => "unix-peer+certificate+token",
            (true, true, false) => "unix-peer+certificate",
            (true, false, true) => "unix-peer+token",
            // Without any proof there is no such value.
            (true | false, false, false) => "unix-peer",
            (false, true, true) => "certificate+token",
            (false, true, false) => "certificate",
            (false, false, true) => "token",
        }
    }

    /// How many independent proofs there were: 1 to 3.
    #[must_use]
    pub fn assurance(&self) -> u8 {
        let proofs = [self.peer_counts, self.certificate.is_some(), self.token.is_some()];
        proofs.into_iter().map(u8::from).fold(0, u8::saturating_add)
    }
}

impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer.map(|peer| peer.to_string());
        let certificate = self.certificate.as_ref().map(|id| format!("certificate {id}"));
        let token = self.token.as_ref().map(|token| format!("token {token}"));
        let said: Vec<String> = [peer, certificate, token].into_iter().flatten().collect();
        f.write_str(&said.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assurance_counts_the_proofs_that_matched() {
        let spiffe = || SpiffeId::parse("spiffe://prod.example/crawler").ok();
        let token = || TokenSubject::parse("cluster:system:serviceaccount:agents:crawler").ok();
        let peer = |counts| Some((UnixPeer { uid: 7, gid: Some(8) }, counts));
        let table = [
            (IdentitySource::of(peer(true), None, None), "unix-peer", 1),
            (IdentitySource::of(None, spiffe(), None), "certificate", 1),
            (IdentitySource::of(peer(false), None, token()), "token", 1),
            (IdentitySource::of(peer(true), spiffe(), None), "unix-peer+certificate", 2),
            (IdentitySource::of(peer(true), None, token()), "unix-peer+token", 2),
            (IdentitySource::of(None, spiffe(), token()), "certificate+token", 2),
            (IdentitySource::of(peer(true), spiffe(), token()), "unix-peer+certificate+token", 3),
        ];
        for (source, word, assurance) in table {
            let source = source.unwrap();
            assert_eq!((source.as_str(), source.assurance()), (word, assurance));
        }
        assert_eq!(IdentitySource::of(peer(false), None, None), None);
        assert_eq!(IdentitySource::of(None, None, None), None);
    }

    #[test]
    fn a_token_is_named_by_issuer_and_subject() {
        let token = TokenSubject::parse("cluster:system:serviceaccount:agents:crawler").unwrap();
        assert_eq!(token.issuer().as_str(), "cluster");
        assert_eq!(token.subject(), "system:serviceaccount:agents:crawler");
        assert_eq!(token.to_string(), "cluster:system:serviceaccount:agents:crawler");
        let long = format!("cluster:{}", "x".repeat(TOKEN_SUBJECT_LEN_MAX + 1));
        for text in ["", "cluster", "cluster:", ":x", "Cluster:x", "cluster:a b", "cluster:a\n", &long] {
            assert!(TokenSubject::parse(text).is_err(), "{text}");
        }
    }
}

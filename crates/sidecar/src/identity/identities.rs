use std::sync::Arc;

use pursekeeper_core::registry::Registry;
use pursekeeper_core::{IdentitySource, SpiffeId, TokenSubject, UnixSeconds};

use super::{
    CertificateError, IdentityError, Issuers, IssuersError, KeptError, OnDisk, Principal, Rules, Shown, Svid,
    TokenError, TokenLimits, Trust,
};
use crate::config::Config;

/// Everything that says who calls, as it is configured.
pub struct Identities {
    rules: Rules,
    issuers: Issuers,
    trust: Option<Arc<Trust>>,
}

/// Why callers cannot be identified as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum IdentitiesError {
    /// Tokens cannot be verified.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// The trust bundle cannot be used.
    #[error("`identity.spiffe`: {0}")]
    Trust(#[from] KeptError),
}

impl Identities {
    /// Reads every file that `identity` names. The sidecar runs as `own_uid`.
    ///
    /// # Errors
    /// [`IdentitiesError`] when one of them cannot be used.
    pub fn open(config: &Config, own_uid: u32) -> Result<Self, IdentitiesError> {
        let trust = config.identity.spiffe.as_ref().map(Trust::open).transpose()?;
        Ok(Self {
            rules: Rules { own_uid, dev: config.dev },
            issuers: Issuers::open(&config.identity.tokens, TokenLimits::of(&config.limits))?,
            trust: trust.map(Arc::new),
        })
    }

    /// Whose certificates are taken, if anybody's.
    #[must_use]
    pub const fn trust(&self) -> Option<&Arc<Trust>> {
        self.trust.as_ref()
    }

    /// Whose tokens are taken.
    #[must_use]
    pub const fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Who a certificate is now that was trusted when the connection was made.
    ///
    /// # Errors
    /// [`CertificateError`] when it proves nothing any more.
    pub fn certified(&self, svid: &Svid, now: UnixSeconds) -> Result<SpiffeId, CertificateError> {
        self.trust.as_ref().ok_or(CertificateError::NoAuthorities)?.still(svid, now)
    }

    /// Whom a bearer token is about.
    ///
    /// # Errors
    /// [`TokenError`] when it proves nothing.
    pub async fn borne(&self, authorization: &str, now: UnixSeconds) -> Result<TokenSubject, TokenError> {
        self.issuers.prove(authorization, now).await
    }

    /// Who calls, and what proved it.
    ///
    /// # Errors
    /// [`IdentityError`] when it is nobody.
    pub fn who(
        &self,
        registry: &Registry,
        shown: &Shown,
    ) -> Result<(Principal, IdentitySource), IdentityError> {
        self.rules.who(registry, shown)
    }

    /// What the registry declares and nobody could ever prove as it is configured.
    #[must_use]
    pub fn unprovable(&self, registry: &Registry) -> Vec<String> {
        let agents = registry.agents.iter().map(|(name, agent)| (format!("agent `{name}`"), &agent.proofs));
        let operators = registry.operators.iter();
        let operators = operators.map(|(name, operator)| (format!("operator `{name}`"), &operator.proofs));
        let mut found = Vec::new();
        for (who, proofs) in agents.chain(operators) {
            let tokens = proofs.tokens.iter().filter(|token| !self.issuers.has(token.issuer()));
            found.extend(tokens.map(|token| {
                format!("{who} is known by `{token}`, and `identity.tokens` names no `{}`", token.issuer())
            }));
            let trusts = |id: &SpiffeId| self.trust.as_ref().is_some_and(|trust| trust.is_of(id));
            let ids = proofs.spiffe.iter().filter(|id| !trusts(id));
            found.extend(ids.map(|id| {
                format!("{who} is known by `{id}`, and `identity.spiffe` trusts no `{}`", id.trust_domain())
            }));
        }
        found
    }

    /// The authorities that are in a file.
    #[must_use]
    pub fn authorities(&self) -> Option<Arc<dyn OnDisk>> {
        self.trust.as_ref()?.on_disk()
    }

    /// The keys of issuers that are in files.
    #[must_use]
    pub fn keys(&self) -> Vec<Arc<dyn OnDisk>> {
        self.issuers.on_disk()
    }
}

//! The authorities of a trust domain, as they are now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pursekeeper_core::{SpiffeId, UnixSeconds};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use spiffe::{TrustDomain, WorkloadApiClient, X509BundleSet};
use tokio_stream::StreamExt as _;
use tracing::{info, warn};

use super::svid::{expires, identify};
use super::{CertificateError, Svid};
use crate::config::SpiffeConfig;
use crate::identity::{Kept, KeptError, OnDisk};

/// Between two tries to reach the Workload API.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(2);
/// Longest chain that is looked at.
const CHAIN_LEN_MAX: usize = 8;

/// Authorities, and what checks a chain against them.
pub(super) struct Roots {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// The authorities themselves, to notice that nothing changed.
    certificates: Vec<CertificateDer<'static>>,
}

/// Whose certificates are taken, and the authorities that stand for them.
pub struct Trust {
    domain: String,
    source: Source,
}

enum Source {
    File(Arc<Kept<Roots>>),
    WorkloadApi { endpoint: String, roots: ArcSwapOption<Roots> },
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} authorities", self.certificates.len())
    }
}

impl Roots {
    /// Authorities from PEM, one file.
    fn parse(files: &[Vec<u8>]) -> Result<Self, String> {
        let pem = files.first().map_or(&[][..], Vec::as_slice);
        let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        Self::new(read.map_err(|error| format!("no PEM: {error}"))?)
    }

    fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store.add(certificate.clone()).map_err(|error| format!("a certificate in it: {error}"))?;
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
        let verifier = verifier.map_err(|error| format!("no authorities: {error}"))?;
        Ok(Self { verifier, certificates })
    }
}

impl Trust {
    /// Reads the bundle; what the Workload API says comes later.
    ///
    /// # Errors
    /// [`KeptError`] when the file cannot be used.
    pub fn open(config: &SpiffeConfig) -> Result<Self, KeptError> {
        let source = match (&config.bundle, &config.workload_api) {
            (None, Some(endpoint)) => {
                Source::WorkloadApi { endpoint: endpoint.clone(), roots: ArcSwapOption::empty() }
            }
            (bundle, _) => {
                Source::File(Arc::new(Kept::read(bundle.iter().cloned().collect(), Roots::parse)?))
            }
        };
        Ok(Self { domain: config.trust_domain.clone(), source })
    }

    /// Whether somebody is of this trust domain.
    #[must_use]
    pub fn is_of(&self, id: &SpiffeId) -> bool {
        id.trust_domain() == self.domain
    }

    /// The authorities in force.
    pub(super) fn roots(&self) -> Result<Arc<Roots>, CertificateError> {
        match &self.source {
            Source::File(kept) => Ok(kept.get()),
            Source::WorkloadApi { roots, .. } => roots.load_full().ok_or(CertificateError::NoAuthorities),
        }
    }

    /// Trusts a chain, its leaf first, or not.
    ///
    /// # Errors
    /// [`CertificateError`] when it proves nothing.
    pub fn admit(&self, chain: &[CertificateDer<'_>], now: UnixSeconds) -> Result<Svid, CertificateError> {
        let roots = self.roots()?;
        let id = self.verify(&roots, chain, now)?;
        let expires = expires(chain)?;
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Ok(Svid { chain, id, expires, roots })
    }

    /// Who a certificate that was trusted once is now: connections outlive certificates and authorities.
    ///
    /// # Errors
    /// [`CertificateError`] when it proves nothing any more.
    pub fn still(&self, svid: &Svid, now: UnixSeconds) -> Result<SpiffeId, CertificateError> {
        if now >= svid.expires {
            return Err(CertificateError::Expired);
        }
        let roots = self.roots()?;
        if Arc::ptr_eq(&roots, &svid.roots) {
            return Ok(svid.id.clone());
        }
        self.verify(&roots, &svid.chain, now)
    }

    pub(super) fn verify(
        &self,
        roots: &Roots,
        chain: &[CertificateDer<'_>],
        now: UnixSeconds,
    ) -> Result<SpiffeId, CertificateError> {
        let (leaf, rest) = chain.split_first().ok_or(CertificateError::Form)?;
        if chain.len() > CHAIN_LEN_MAX {
            return Err(CertificateError::Untrusted(format!("more than {CHAIN_LEN_MAX} certificates")));
        }
        let at = UnixTime::since_unix_epoch(Duration::from_secs(now.0));
        let trusted = roots.verifier.verify_client_cert(leaf, rest, at);
        trusted.map_err(|error| CertificateError::Untrusted(error.to_string()))?;
        identify(leaf, &self.domain)
    }

    /// The authorities, if they are in a file.
    #[must_use]
    pub fn on_disk(&self) -> Option<Arc<dyn OnDisk>> {
        match &self.source {
            Source::File(kept) => Some(kept.clone()),
            Source::WorkloadApi { .. } => None,
        }
    }

    /// Follows the Workload API for ever, if that is where the authorities come from.
    pub async fn follow(&self) {
        let Source::WorkloadApi { endpoint, roots } = &self.source else { return };
        loop {
            if let Err(error) = self.listen(endpoint, roots).await {
                warn!(
                    endpoint,
                    error,
                    "the SPIFFE Workload API does not say who is trusted: the authorities of before are kept"
                );
            }
            tokio::time::sleep(RECONNECT_INTERVAL).await;
        }
    }

    async fn listen(&self, endpoint: &str, roots: &ArcSwapOption<Roots>) -> Result<(), String> {
        let client = WorkloadApiClient::connect_to(endpoint).await.map_err(|error| error.to_string())?;
        let mut updates = client.stream_x509_bundles().await.map_err(|error| error.to_string())?;
        while let Some(update) = updates.next().await {
            let fresh = self.authorities(&update.map_err(|error| error.to_string())?)?;
            let same = roots.load().as_ref().is_some_and(|now| now.certificates == fresh);
            if !same {
                let fresh = Roots::new(fresh)?;
                info!(authorities = fresh.certificates.len(), "the SPIFFE Workload API says who is trusted");
                roots.store(Some(Arc::new(fresh)));
            }
        }
        Err("it ended the stream".to_owned())
    }

    fn authorities(&self, all: &X509BundleSet) -> Result<Vec<CertificateDer<'static>>, String> {
        let domain = TrustDomain::try_from(self.domain.as_str()).map_err(|error| error.to_string())?;
        let bundle = all.get(&domain).ok_or_else(|| format!("it has no bundle for `{}`", self.domain))?;
        let certificates = bundle.authorities().iter();
        Ok(certificates.map(|certificate| CertificateDer::from(certificate.as_bytes().to_vec())).collect())
    }
}

//! Client certificates: X.509-SVIDs of one trust domain, and the TLS in which they are shown.

mod svid;
mod tls;
mod trust;

use pursekeeper_core::SpiffeIdError;

pub use svid::Svid;
pub use tls::{Tls, TlsError};
pub use trust::Trust;

/// Why a client certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read.
    #[error("it is no certificate that can be read")]
    Form,
    /// Nobody we trust signed it, or not for a client, or not for now.
    #[error("no authority of the trust bundle stands for it now: {0}")]
    Untrusted(String),
    /// It does not say who it is, or says it more than once.
    #[error("it has {0} URI names: an X.509-SVID has exactly one")]
    Uris(usize),
    /// What it says is no SPIFFE ID.
    #[error("its URI name: {0}")]
    Id(#[from] SpiffeIdError),
    /// It is of another trust domain.
    #[error("it is of the trust domain `{0}`, and `identity.spiffe` names another")]
    TrustDomain(String),
    /// It may sign certificates, or not what a client signs.
    #[error("it is not a leaf that signs only for itself: {0}")]
    Usage(&'static str),
    /// Its time is over.
    #[error("it has expired: connect again with a fresh one")]
    Expired,
    /// The authorities are not known yet.
    #[error("the authorities of the trust domain are not known yet: see the log")]
    NoAuthorities,
}

#[cfg(test)]
mod tests;

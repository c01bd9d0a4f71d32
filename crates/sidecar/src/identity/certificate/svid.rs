//! What a certificate says, beside who signed it: the rules of X.509-SVID.

use std::sync::Arc;

use pursekeeper_core::{SpiffeId, UnixSeconds};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::CertificateError;
use super::trust::Roots;

/// A certificate that was shown on a connection and trusted when it was made.
#[derive(Debug)]
pub struct Svid {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) id: SpiffeId,
    /// The first moment at which some certificate of the chain has expired.
    pub(super) expires: UnixSeconds,
    /// The authorities it was trusted with.
    pub(super) roots: Arc<Roots>,
}

impl Svid {
    /// Who it says it is.
    #[must_use]
    pub const fn id(&self) -> &SpiffeId {
        &self.id
    }
}

/// Who a leaf says it is, if it is one (X509-SVID sections 2 to 5). Who signed it is looked at elsewhere.
pub(super) fn identify(leaf: &[u8], trust_domain: &str) -> Result<SpiffeId, CertificateError> {
    let certificate = parse(leaf)?;
    let names = certificate.subject_alternative_name().map_err(|_| CertificateError::Form)?;
    let names = names.map_or(&[][..], |found| &found.value.general_names);
    let mut uris =
        names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    let count = uris.clone().count();
    let uri = uris.next().filter(|_| count == 1).ok_or(CertificateError::Uris(count))?;
    let id = SpiffeId::parse(uri)?;
    if id.trust_domain() != trust_domain {
        return Err(CertificateError::TrustDomain(id.trust_domain().to_owned()));
    }
    let constraints = certificate.basic_constraints().map_err(|_| CertificateError::Form)?;
    if constraints.is_some_and(|found| found.value.ca) {
        return Err(CertificateError::Usage("it is an authority"));
    }
    let usage = certificate.key_usage().map_err(|_| CertificateError::Form)?;
    let usage = usage.ok_or(CertificateError::Usage("it has no key usage"))?.value;
    if !usage.digital_signature() {
        return Err(CertificateError::Usage("its key usage lacks digital signatures"));
    }
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(CertificateError::Usage("its key usage allows signing certificates"));
    }
    Ok(id)
}

/// The first moment at which some certificate of a chain has expired.
pub(super) fn expires(chain: &[CertificateDer<'_>]) -> Result<UnixSeconds, CertificateError> {
    let mut first = UnixSeconds(u64::MAX);
    for certificate in chain {
        let last = parse(certificate)?.validity().not_after.timestamp();
        // It holds in its last second too.
        first = first.min(UnixSeconds(u64::try_from(last).unwrap_or(0)).plus(1));
    }
    Ok(first)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(CertificateError::Form),
    }
}

//! TLS for TCP listeners: version 1.3 only, and no client without a certificate.

use std::fmt;
use std::sync::Arc;

use pursekeeper_core::UnixSeconds;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError as Refusal, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme, version,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{CertificateError, Svid, Trust};
use crate::config::TlsConfig;
use crate::identity::{Kept, KeptError, OnDisk};

/// What gRPC speaks.
const ALPN: &[u8] = b"h2";

/// How one TCP listener proves who it is and asks the same of clients.
pub struct Tls {
    acceptor: TlsAcceptor,
    own: Arc<Own>,
    trust: Arc<Trust>,
}

/// Why a TCP listener cannot be opened, or a connection not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Its certificate or key cannot be used.
    #[error("`listeners`: `tls`: {0}")]
    File(#[from] KeptError),
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] Error),
    /// The handshake failed.
    #[error("the handshake failed: {0}")]
    Handshake(#[from] std::io::Error),
    /// The client is not trusted.
    #[error("the client certificate: {0}")]
    Certificate(#[from] CertificateError),
}

/// The certificate of a listener, as it is now.
struct Own(Arc<Kept<CertifiedKey>>);

/// Checks clients against the authorities as they are now.
struct Clients {
    trust: Arc<Trust>,
    provider: Arc<CryptoProvider>,
}

impl Tls {
    /// Reads the listener's certificate.
    ///
    /// # Errors
    /// [`TlsError`] when it cannot be used.
    pub fn open(config: &TlsConfig, trust: Arc<Trust>) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let paths = vec![config.certificate.clone(), config.key.clone()];
        let certify = provider.clone();
        let own = Arc::new(Own(Arc::new(Kept::read(paths, move |files| certified(files, &certify))?)));
        let clients = Arc::new(Clients { trust: trust.clone(), provider: provider.clone() });
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(own.clone());
        server.alpn_protocols = vec![ALPN.to_vec()];
        // Who resumes a session shows no certificate.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), own, trust })
    }

    /// Makes a connection, and says who is at the other end.
    ///
    /// # Errors
    /// [`TlsError`] when the handshake fails or the client is not trusted.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        now: impl FnOnce() -> UnixSeconds,
    ) -> Result<(TlsStream<S>, Svid), TlsError> {
        let stream = self.acceptor.accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates().ok_or(CertificateError::Form)?;
        let svid = self.trust.admit(chain, now())?;
        Ok((stream, svid))
    }

    /// Its certificate and key.
    #[must_use]
    pub fn on_disk(&self) -> Arc<dyn OnDisk> {
        self.own.0.clone()
    }
}

/// A certificate and the key that fits it. What is half exchanged does not fit.
fn certified(files: &[Vec<u8>], provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let [certificate, key] = files else { return Err("a certificate and a key are needed".to_owned()) };
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("the certificate is no PEM: {error}"))?;
    if chain.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key is no PEM: {error}"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| format!("certificate and key: {error}"))
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.get())
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a certificate")
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("clients of a trust domain")
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // They change while we run, and clients have one certificate anyway.
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refused = |error: CertificateError| {
            Error::InvalidCertificate(Refusal::Other(rustls::OtherError(Arc::new(error))))
        };
        let roots = self.trust.roots().map_err(refused)?;
        let chain: Vec<CertificateDer<'_>> = std::iter::once(leaf).chain(rest).cloned().collect();
        let at = UnixSeconds(now.as_secs());
        self.trust.verify(&roots, &chain, at).map_err(refused)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

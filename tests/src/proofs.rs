//! What callers prove themselves with: certificates of an authority, and tokens of an issuer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

/// The agent of the starter registry, as certificates name it.
pub const SPIFFE: &str = "spiffe://prod.example/crawler";
const KEY_ID: &str = "key-1";

/// Signs certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub struct Certified {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// Signs tokens.
#[derive(Debug)]
pub struct Issuer {
    key: EcdsaKeyPair,
    iss: String,
}

impl Authority {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// An X.509-SVID for `spiffe`, in two files of `dir` that are called `name`.
    #[must_use]
    pub fn svid(&self, dir: &Path, name: &str, spiffe: &str) -> Certified {
        self.certify(dir, name, SanType::URI(spiffe.try_into().unwrap()))
    }

    /// A certificate for the server `localhost`, likewise.
    #[must_use]
    pub fn server(&self, dir: &Path, name: &str) -> Certified {
        self.certify(dir, name, SanType::DnsName("localhost".try_into().unwrap()))
    }

    fn certify(&self, dir: &Path, name: &str, subject: SanType) -> Certified {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![subject];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let made =
            Certified { certificate: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) };
        fs::write(&made.certificate, certificate.pem()).unwrap();
        fs::write(&made.key, key.serialize_pem()).unwrap();
        made
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Issuer {
    /// A new one that calls itself `iss`.
    #[must_use]
    pub fn new(iss: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        Self { key: key.unwrap(), iss: iss.to_owned() }
    }

    /// Its public keys, a JWKS.
    #[must_use]
    pub fn jwks(&self) -> String {
        let point = &self.key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": KEY_ID, "x": encode(x), "y": encode(y) });
        json!({ "keys": [key] }).to_string()
    }

    /// A token about `subject` for `audience` that holds for an hour.
    #[must_use]
    pub fn token(&self, subject: &str, audience: &str) -> String {
        self.token_with(subject, audience, &json!({}))
    }

    /// The same with other claims.
    #[must_use]
    pub fn token_with(&self, subject: &str, audience: &str, other: &Value) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let mut claims =
            json!({ "iss": self.iss, "sub": subject, "aud": [audience], "iat": now, "exp": now + 3600 });
        for (name, value) in other.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({ "alg": "ES256", "kid": KEY_ID, "typ": "JWT" });
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

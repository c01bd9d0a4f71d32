//! Makes tokens, good and bad.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Map, Value, json};

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const ISSUER: &str = "https://kubernetes.default.svc";
pub(super) const OTHER_ISSUER: &str = "https://other.example";
/// A key that signs nothing but these tests.
const RSA: &str = include_str!("../rsa.pk8.base64");

/// Keys to sign with.
pub(super) struct Minted {
    rsa: RsaKeyPair,
    p256: Pair,
    p384: Pair,
    other: Pair,
}

struct Pair {
    pkcs8: Vec<u8>,
    signing: &'static EcdsaSigningAlgorithm,
}

/// A token before it is signed.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    /// The algorithm that signs, whatever the header says.
    by: &'static str,
}

/// The same keys for every test: making them takes a while.
pub(super) fn mint() -> &'static Minted {
    static MINTED: LazyLock<Minted> = LazyLock::new(|| Minted {
        rsa: RsaKeyPair::from_pkcs8(&STANDARD.decode(RSA.replace('\n', "")).unwrap()).unwrap(),
        p256: Pair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING),
        p384: Pair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING),
        other: Pair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING),
    });
    &MINTED
}

impl Pair {
    fn generate(signing: &'static EcdsaSigningAlgorithm) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &SystemRandom::new()).unwrap();
        Self { pkcs8: pkcs8.as_ref().to_vec(), signing }
    }

    fn key(&self, signing: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
        EcdsaKeyPair::from_pkcs8(signing, &self.pkcs8, &SystemRandom::new()).unwrap()
    }

    fn jwk(&self, kid: &str, crv: &str) -> Value {
        let key = self.key(self.signing);
        let point = &key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        json!({ "kty": "EC", "kid": kid, "crv": crv, "x": encode(x), "y": encode(y), "use": "sig" })
    }
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Minted {
    /// The first issuer's keys: those that verify, and some that do not.
    pub(super) fn keys(&self) -> Value {
        let rsa = self.rsa_jwk("rsa");
        let with = |kid: &str, name: &str, value: Value| {
            let mut key = self.rsa_jwk(kid);
            key[name] = value;
            key
        };
        let mut svid = self.p256.jwk("svid", "P-256");
        svid["use"] = json!("jwt-svid");
        let mut nameless = self.rsa_jwk("");
        nameless.as_object_mut().unwrap().remove("kid");
        json!([
            rsa,
            with("rsa-512", "alg", json!("RS512")),
            with("encrypts", "use", json!("enc")),
            with("signs", "key_ops", json!(["sign"])),
            with("weak", "n", json!(encode([0xc3; 128]))),
            self.p256.jwk("p256", "P-256"),
            self.p384.jwk("p384", "P-384"),
            svid,
            nameless,
        ])
    }

    /// The second issuer's only key.
    pub(super) fn key_of_other(&self) -> Value {
        self.other.jwk("other", "P-256")
    }

    pub(super) fn rsa_jwk(&self, kid: &str) -> Value {
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        json!({ "kty": "RSA", "kid": kid, "n": encode(n), "e": encode(e) })
    }

    /// The public half of the RSA key, DER: what "public key as secret" would use.
    pub(super) fn rsa_public(&self) -> Vec<u8> {
        self.rsa.public().as_ref().to_vec()
    }

    /// A good token.
    pub(super) fn token(&self, algorithm: &'static str, kid: &str) -> Draft {
        let header = json!({ "alg": algorithm, "kid": kid });
        let claims = json!({
            "iss": ISSUER, "aud": ["pursekeeper"], "sub": "system:serviceaccount:agents:crawler",
            "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 3600,
        });
        let object = |value: Value| value.as_object().unwrap().clone();
        Draft { header: object(header), claims: object(claims), by: algorithm }
    }
}

/// Signs whatever it is, by an algorithm's key.
pub(super) fn signature(by: &str, message: &[u8]) -> Vec<u8> {
    let minted = mint();
    let rsa = |encoding: &'static dyn RsaEncoding| {
        let mut signature = vec![0; minted.rsa.public().modulus_len()];
        minted.rsa.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    };
    let ecdsa = |pair: &Pair, signing: &'static EcdsaSigningAlgorithm| {
        pair.key(signing).sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    };
    match by {
        "RS256" => rsa(&RSA_PKCS1_SHA256),
        "RS384" => rsa(&RSA_PKCS1_SHA384),
        "RS512" => rsa(&RSA_PKCS1_SHA512),
        "PS256" => rsa(&RSA_PSS_SHA256),
        "PS384" => rsa(&RSA_PSS_SHA384),
        "PS512" => rsa(&RSA_PSS_SHA512),
        "ES256" => ecdsa(&minted.p256, &ECDSA_P256_SHA256_FIXED_SIGNING),
        "ES256 as DER" => ecdsa(&minted.p256, &ECDSA_P256_SHA256_ASN1_SIGNING),
        "ES384" => ecdsa(&minted.p384, &ECDSA_P384_SHA384_FIXED_SIGNING),
        "other" => ecdsa(&minted.other, &ECDSA_P256_SHA256_FIXED_SIGNING),
        unknown => panic!("{unknown}"),
    }
}

/// A token of these texts, signed.
pub(super) fn signed(by: &str, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = encode(signature(by, message.as_bytes()));
    format!("{message}.{signature}")
}

impl Draft {
    pub(super) fn header(mut self, name: &str, value: Value) -> Self {
        self.header.insert(name.to_owned(), value);
        self
    }

    pub(super) fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// Without a member of the header or a claim.
    pub(super) fn without(mut self, name: &str) -> Self {
        let (header, claim) = (self.header.remove(name), self.claims.remove(name));
        assert!(header.is_some() != claim.is_some(), "{name}");
        self
    }

    /// Signed by another algorithm's key than the header says.
    pub(super) fn by(mut self, by: &'static str) -> Self {
        self.by = by;
        self
    }

    pub(super) fn texts(&self) -> (String, String) {
        (Value::from(self.header.clone()).to_string(), Value::from(self.claims.clone()).to_string())
    }

    pub(super) fn sign(&self) -> String {
        let (header, claims) = self.texts();
        signed(self.by, header, claims)
    }
}

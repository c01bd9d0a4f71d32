//! The public keys of an issuer: a JSON Web Key Set.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// Most keys of one issuer.
const KEYS_LEN_MAX: usize = 64;
/// Shortest and longest RSA modulus, in bytes.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
const OF_RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Keys by their `kid`.
#[derive(Debug, Default)]
pub(super) struct KeySet(BTreeMap<String, Key>);

/// One key, and what it may be used for.
#[derive(Debug)]
pub(super) struct Key {
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

#[derive(Deserialize)]
struct Written {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a JWKS. Keys for something else are left out: a set may hold keys for other protocols.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Written { keys } = serde_json::from_slice(bytes).map_err(|error| format!("no JWKS: {error}"))?;
        if keys.len() > KEYS_LEN_MAX {
            return Err(format!("more than {KEYS_LEN_MAX} keys"));
        }
        let mut found = BTreeMap::new();
        for written in keys {
            // A secret in a public document is known to everybody who can read it.
            if written.get("d").is_some() || written.get("k").is_some() {
                return Err("it holds a private or secret key: publish the public half only".to_owned());
            }
            let Some((id, key)) = usable(written) else { continue };
            if found.insert(id, key).is_some() {
                return Err("two keys have one `kid`: nobody could tell which is meant".to_owned());
            }
        }
        if found.is_empty() {
            return Err("no key in it can verify: there must be RSA of at least 2048 bits, P-256 or P-384, with a `kid`".to_owned());
        }
        Ok(Self(found))
    }

    /// The key with exactly this id.
    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.0.get(id)
    }
}

impl Key {
    /// The key, if it is for the algorithm.
    pub(super) fn for_algorithm(&self, algorithm: Algorithm) -> Option<&DecodingKey> {
        self.algorithms.contains(&algorithm).then_some(&self.key)
    }
}

/// A key that verifies signatures of tokens.
fn usable(written: serde_json::Value) -> Option<(String, Key)> {
    let jwk: Jwk = serde_json::from_value(written).ok()?;
    let common = &jwk.common;
    let id = common.key_id.clone().filter(|id| !id.is_empty())?;
    let for_tokens = match &common.public_key_use {
        None | Some(PublicKeyUse::Signature) => true,
        // What a SPIFFE bundle calls them.
        Some(PublicKeyUse::Other(word)) => word == "jwt-svid",
        Some(PublicKeyUse::Encryption) => false,
    };
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let mut algorithms = algorithms(&jwk.algorithm)?;
    if let Some(only) = common.key_algorithm {
        algorithms.retain(|algorithm| only == (*algorithm).into());
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (for_tokens && verifies && !algorithms.is_empty()).then_some((id, Key { key, algorithms }))
}

/// What a key of this kind and size can be used for.
fn algorithms(parameters: &AlgorithmParameters) -> Option<Vec<Algorithm>> {
    let len = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().map(|bytes| bytes.len());
    if let AlgorithmParameters::RSA(rsa) = parameters {
        return MODULUS_BYTES.contains(&len(&rsa.n)?).then(|| OF_RSA.to_vec());
    }
    if let AlgorithmParameters::EllipticCurve(curve) = parameters {
        let (size, algorithm) = if curve.curve == EllipticCurve::P256 {
            (32, Algorithm::ES256)
        } else if curve.curve == EllipticCurve::P384 {
            (48, Algorithm::ES384)
        } else {
            return None;
        };
        return (len(&curve.x)? == size && len(&curve.y)? == size).then(|| vec![algorithm]);
    }
    None
}

//! Verifying signatures of tokens with ring, which TLS uses already. Nothing is signed.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        let how = how(*algorithm).ok_or_else(|| Error::from(ErrorKind::UnsupportedAlgorithm))?;
        Ok(Box::new(RingVerifier { algorithm: *algorithm, how, key: key.clone() }))
    },
    // For making keys out of PEM and DER, which we never do.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes the library verify with ring. Once is enough; more do no harm.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

#[derive(Clone, Copy)]
enum How {
    Rsa(&'static RsaParameters),
    Ecdsa(&'static EcdsaVerificationAlgorithm),
}

fn how(algorithm: Algorithm) -> Option<How> {
    let all = [
        (Algorithm::RS256, How::Rsa(&RSA_PKCS1_2048_8192_SHA256)),
        (Algorithm::RS384, How::Rsa(&RSA_PKCS1_2048_8192_SHA384)),
        (Algorithm::RS512, How::Rsa(&RSA_PKCS1_2048_8192_SHA512)),
        (Algorithm::PS256, How::Rsa(&RSA_PSS_2048_8192_SHA256)),
        (Algorithm::PS384, How::Rsa(&RSA_PSS_2048_8192_SHA384)),
        (Algorithm::PS512, How::Rsa(&RSA_PSS_2048_8192_SHA512)),
        (Algorithm::ES256, How::Ecdsa(&ECDSA_P256_SHA256_FIXED)),
        (Algorithm::ES384, How::Ecdsa(&ECDSA_P384_SHA384_FIXED)),
    ];
    all.into_iter().find(|(known, _)| *known == algorithm).map(|(_, how)| how)
}

struct RingVerifier {
    algorithm: Algorithm,
    how: How,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (self.how, self.key.kind()) {
            (How::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (How::Ecdsa(algorithm), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(algorithm, point).verify(message, signature)
            }
            (How::Rsa(_), DecodingKeyKind::SecretOrDer(_))
            | (How::Ecdsa(_), DecodingKeyKind::RsaModulusExponent { .. }) => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

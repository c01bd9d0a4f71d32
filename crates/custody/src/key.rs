use alloy_primitives::Keccak256;
use ecdsa::hazmat::sign_prehashed_rfc6979;
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use k256::elliptic_curve::point::AffineCoordinates as _;
use k256::{FieldBytes, NonZeroScalar, Secp256k1};
use pursekeeper_core::{Address, EvmAddress};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::CustodyError;
use crate::memory::{SecretPage, leaving_nothing};

/// The 32 bytes of a private key on their way between a file and a [`PrivateKey`]; wiped when dropped.
pub(crate) type KeyBytes = Zeroizing<[u8; 32]>;

/// A secp256k1 private key and the account it controls.
///
/// The key lies on a page of its own, wiped when dropped, and is on the stack only while it signs. There is no `Debug` and
/// no `Clone`, and only this crate can get the key out of it again, to encrypt it.
pub(crate) struct PrivateKey {
    page: SecretPage,
    address: EvmAddress,
}

impl PrivateKey {
    /// The key with these bytes; none when they are zero or not below the order of the curve.
    pub(crate) fn from_bytes(bytes: &KeyBytes) -> Result<Option<Self>, CustodyError> {
        let address = leaving_nothing(|| {
            let signing = SigningKey::from_slice(bytes.as_slice()).ok()?;
            Some(address_of(signing.verifying_key()))
        });
        let Some(address) = address else { return Ok(None) };
        let page = SecretPage::new(bytes).map_err(CustodyError::Memory)?;
        Ok(Some(Self { page, address }))
    }

    /// Draws a new key.
    pub(crate) fn generate() -> Result<Self, CustodyError> {
        loop {
            let mut bytes = KeyBytes::default();
            getrandom::fill(&mut *bytes)?;
            // Of 2^128 draws, about one is not a key.
            if let Some(key) = Self::from_bytes(&bytes)? {
                return Ok(key);
            }
        }
    }

    /// The key itself.
    // INVARIANT: called only to encrypt what it returns, for a file or for a recipient.
    pub(crate) fn to_bytes(&self) -> KeyBytes {
        let mut bytes = KeyBytes::default();
        bytes.copy_from_slice(self.page.bytes());
        bytes
    }

    /// The account of this key.
    pub(crate) fn address(&self) -> Address {
        Address::Evm(self.address)
    }

    /// Where in memory the key lies.
    #[cfg(test)]
    pub(crate) fn place(&self) -> u64 {
        self.page.place()
    }

    /// Signs a digest: r‖s‖v with a low s and v 27 or 28, always the same bytes for the same digest (RFC 6979).
    pub(crate) fn sign(&self, digest: &[u8; 32]) -> [u8; 65] {
        let (signature, recovery) = leaving_nothing(|| {
            let mut repr = FieldBytes::from(*self.page.bytes());
            let scalar = NonZeroScalar::from_repr(repr).into_option();
            repr.zeroize();
            let Some(mut scalar) = scalar else { unreachable!("what is no key was refused before") };
            let signed = sign_prehashed_rfc6979::<Secp256k1, Sha256>(&scalar, digest, &[]);
            scalar.zeroize();
            signed
        });
        encode(&signature, recovery)
    }
}

/// The account of a public key: the last 20 bytes of the Keccak-256 hash of its coordinates.
pub(crate) fn address_of(key: &VerifyingKey) -> EvmAddress {
    let point = key.as_affine();
    let mut hasher = Keccak256::new();
    hasher.update(point.x());
    hasher.update(point.y());
    let [_, _, _, _, _, _, _, _, _, _, _, _, address @ ..] = hasher.finalize().0;
    EvmAddress::from_bytes(address)
}

/// The 65 bytes that contracts and facilitators verify: r‖s‖v, v 27 for an even y and 28 for an odd one.
pub(crate) fn encode(signature: &Signature, recovery: RecoveryId) -> [u8; 65] {
    let mut bytes = [0; 65];
    let (scalars, v) = bytes.split_at_mut(64);
    scalars.copy_from_slice(&signature.to_bytes());
    v.fill(if recovery.is_y_odd() { 28 } else { 27 });
    bytes
}

//! Accepting a bare `(r, s)`, which is all that a hardware module or a cloud key service gives.

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use pursekeeper_core::{Address, Digest};

use crate::CustodyError;
use crate::key::{address_of, encode};

/// Completes a signature with its recovery id, and proves in doing so that `address` made it over `digest`.
///
/// The higher of the two possible s is replaced by the lower one: tokens refuse the other. A nonce point whose x is not
/// below the order of the curve is not searched for: nobody will ever see one, and v 27 and 28 cannot express it.
///
/// Recovering costs several times what signing does, so a local key is put through this once, when it is loaded;
/// a remote signer must be put through it for each signature, because the key behind a name can be exchanged there.
pub(crate) fn with_recovery(
    address: Address,
    digest: &[u8; 32],
    r: [u8; 32],
    s: [u8; 32],
) -> Result<[u8; 65], CustodyError> {
    let refused = CustodyError::NotItsSignature { address };
    let Ok(signature) = Signature::from_scalars(r, s) else { return Err(refused) };
    let signature = signature.normalize_s();
    for is_y_odd in [false, true] {
        let recovery = RecoveryId::new(is_y_odd, false);
        let recovered = VerifyingKey::recover_from_prehash(digest, &signature, recovery);
        if recovered.is_ok_and(|key| Address::Evm(address_of(&key)) == address) {
            return Ok(encode(&signature, recovery));
        }
    }
    Err(refused)
}

/// The account that made `signature` over `digest`: what a seller or an auditor checks, with no key at hand.
///
/// Only what a token accepts is a signature: v 27 or 28, and the lower of the two possible s.
///
/// # Errors
///
/// [`CustodyError::NotSignature`] for every other 65 bytes.
pub fn recover_address(
    digest: Digest,
    signature: pursekeeper_core::Signature,
) -> Result<Address, CustodyError> {
    let pursekeeper_core::Signature::Evm(bytes) = signature;
    let refused = CustodyError::NotSignature;
    let ([r, s], [v @ (27 | 28)]) = bytes.as_chunks::<32>() else { return Err(refused) };
    let Ok(scalars) = Signature::from_scalars(*r, *s) else { return Err(refused) };
    if scalars.normalize_s() != scalars {
        return Err(refused);
    }
    let recovery = RecoveryId::new(*v == 28, false);
    match VerifyingKey::recover_from_prehash(&digest.0, &scalars, recovery) {
        Ok(key) => Ok(Address::Evm(address_of(&key))),
        Err(_) => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;
    use crate::local::tests::{Vector, vectors};

    /// The order of the curve (SEC 2, section 2.4.1).
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba,
        0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
    ];

    fn split(signature: [u8; 65]) -> ([u8; 32], [u8; 32]) {
        (signature[..32].try_into().unwrap(), signature[32..64].try_into().unwrap())
    }

    /// The other s that verifies: the order less s.
    fn high(s: [u8; 32]) -> [u8; 32] {
        let (order, s) = (U256::from_be_bytes(ORDER), U256::from_be_bytes(s));
        order.checked_sub(s).unwrap().to_be_bytes()
    }

    #[test]
    fn scalars_outside_the_curve_are_refused() {
        let Vector { address, digest, signature, .. } = vectors().remove(0);
        let (r, s) = split(signature);
        for (r, s) in [([0; 32], s), (r, [0; 32]), (ORDER, s), (r, ORDER), ([0xff; 32], s)] {
            let error = with_recovery(address, &digest, r, s).unwrap_err();
            assert!(matches!(error, CustodyError::NotItsSignature { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_signature_of_another_key_digest_or_half_is_refused() {
        let all = vectors();
        let other = all.iter().find(|vector| vector.address != all[0].address).unwrap();
        let (r, s) = split(all[0].signature);
        let (other_r, other_s) = split(other.signature);
        let check = |address, digest, r, s| {
            assert!(matches!(
                with_recovery(address, &digest, r, s),
                Err(CustodyError::NotItsSignature { address: named }) if named == address
            ));
        };
        check(other.address, all[0].digest, r, s);
        check(all[0].address, other.digest, r, s);
        check(all[0].address, all[0].digest, other_r, s);
        check(all[0].address, all[0].digest, r, other_s);
    }

    #[test]
    fn every_vector_is_completed_from_the_low_and_from_the_high_s() {
        for Vector { address, digest, signature, .. } in vectors() {
            let (r, s) = split(signature);
            assert_eq!(with_recovery(address, &digest, r, s).unwrap(), signature);
            assert_eq!(with_recovery(address, &digest, r, high(s)).unwrap(), signature);
        }
    }

    fn join(r: [u8; 32], s: [u8; 32], v: u8) -> [u8; 65] {
        let mut bytes = [v; 65];
        bytes[..32].copy_from_slice(&r);
        bytes[32..64].copy_from_slice(&s);
        bytes
    }

    fn recovered(digest: [u8; 32], bytes: [u8; 65]) -> Result<Address, CustodyError> {
        recover_address(Digest(digest), pursekeeper_core::Signature::Evm(bytes))
    }

    #[test]
    fn bytes_that_no_token_accepts_have_no_signer() {
        let Vector { address, digest, signature, .. } = vectors().remove(0);
        let (r, s) = split(signature);
        let check = |r, s, v| {
            assert!(matches!(recovered(digest, join(r, s, v)), Err(CustodyError::NotSignature)), "{v}");
        };
        for v in [0, 1, 26, 29, 255] {
            check(r, s, v);
        }
        for v in [27, 28] {
            check(r, high(s), v);
            check([0; 32], s, v);
            check(r, [0; 32], v);
            check(ORDER, s, v);
            check(r, ORDER, v);
        }
        let other_v = if signature[64] == 27 { 28 } else { 27 };
        assert_ne!(recovered(digest, join(r, s, other_v)).ok(), Some(address));
        assert_ne!(recovered([7; 32], signature).ok(), Some(address));
    }

    #[test]
    fn the_signer_of_every_vector_is_recovered() {
        for Vector { address, digest, signature, .. } in vectors() {
            assert_eq!(recovered(digest, signature).unwrap(), address);
        }
    }
}

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use pursekeeper_core::gate::{Authorized, Signed};
use pursekeeper_core::ports::Custody;
use pursekeeper_core::{Address, Signature, WalletName};

use crate::key::PrivateKey;
use crate::recovery::with_recovery;
use crate::{CustodyError, Recipient, sealed, wallet_key};

/// Decrypted keys in this process's memory.
///
/// It signs what the gate has authorised and nothing else. Keys come and go while it is in use: they are adopted from
/// another custody, and destroyed. A key is wiped when it is destroyed, and all are when it is dropped; it cannot be
/// printed or copied:
///
/// ```compile_fail,E0277
/// fn show(keys: &pursekeeper_custody::LocalCustody) -> String { format!("{keys:?}") }
/// ```
///
/// ```compile_fail,E0308
/// fn copy(keys: &pursekeeper_custody::LocalCustody) -> pursekeeper_custody::LocalCustody { keys.clone() }
/// ```
///
/// and there is no way to have it sign bytes that the gate has not seen:
///
/// ```compile_fail,E0624
/// fn forge(keys: &pursekeeper_custody::LocalCustody, address: pursekeeper_core::Address) {
///     let _ = keys.sign_digest(address, &[0; 32]);
/// }
/// ```
///
/// Each of these compiles as soon as the last step is something that it may do:
///
/// ```
/// fn count(keys: &pursekeeper_custody::LocalCustody) -> usize { keys.addresses().len() }
/// ```
pub struct LocalCustody {
    keys: RwLock<Keys>,
}

type Keys = BTreeMap<Address, PrivateKey>;

/// What every key signs once when it is loaded. A hash of nothing in particular: no contract and no server takes it.
const PROOF_DIGEST: [u8; 32] = *b"pursekeeper proof of a local key";

impl LocalCustody {
    /// No keys yet.
    pub(crate) fn new() -> Self {
        Self { keys: RwLock::default() }
    }

    /// Takes a key, after it has shown that what it signs is recovered to its address.
    ///
    /// The check runs once and not for each signature, because a key in our own memory does not change and recovering
    /// would multiply the time that signing takes.
    pub(crate) fn insert(&mut self, key: PrivateKey) -> Result<(), CustodyError> {
        let address = key.address();
        let signed = key.sign(&PROOF_DIGEST);
        let ([r, s], [_]) = signed.as_chunks::<32>() else {
            return Err(CustodyError::NotItsSignature { address });
        };
        if with_recovery(address, &PROOF_DIGEST, *r, *s)? != signed {
            return Err(CustodyError::NotItsSignature { address });
        }
        self.keys.get_mut().unwrap_or_else(PoisonError::into_inner).insert(address, key);
        Ok(())
    }

    /// Takes over the keys of `other`; one that it has already stays as it is.
    pub fn adopt(&self, other: Self) {
        let adopted = other.keys.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        for (address, key) in adopted {
            keys.entry(address).or_insert(key);
        }
    }

    /// Removes and wipes the key of `address`, and says whether there was one. Signatures that are under way are
    /// finished first; when this returns, none is made with it any more.
    pub fn destroy(&self, address: Address) -> bool {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(&address).is_some()
    }

    /// Whether it can sign for `address`.
    #[must_use]
    pub fn holds(&self, address: Address) -> bool {
        self.keys().contains_key(&address)
    }

    /// The accounts it can sign for, in order.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.keys().keys().copied().collect()
    }

    /// The key of `address`, the account of `wallet`, as an ASCII-armored age file that each of the `recipients` can
    /// open: alone, with age, and without Pursekeeper. What they find in it is one line of JSON:
    ///
    /// ```json
    /// {"kind":"pursekeeper-wallet","version":1,"wallet":"…","address":"0x…","private_key":"0x…"}
    /// ```
    ///
    /// # Errors
    ///
    /// [`CustodyError::NoKey`] when there is no such key, [`CustodyError::NoRecipient`] and
    /// [`CustodyError::TooManyRecipients`] when nobody or too many could open it, [`CustodyError::SealFailed`] when
    /// it cannot be encrypted.
    pub fn backup(
        &self,
        address: Address,
        wallet: &WalletName,
        recipients: &[Recipient],
    ) -> Result<Vec<u8>, CustodyError> {
        let plain = {
            let keys = self.keys();
            wallet_key::write(wallet, keys.get(&address).ok_or(CustodyError::NoKey { address })?)
        };
        sealed::seal(&plain, recipients)
    }

    /// The keys, which stay as they are for as long as the result lives.
    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs `digest` with the key of `address`.
    // INVARIANT: private, and called only with what an `Authorized` holds.
    fn sign_digest(&self, address: Address, digest: &[u8; 32]) -> Result<[u8; 65], CustodyError> {
        // Destroying a key waits until this guard is gone.
        let keys = self.keys();
        let key = keys.get(&address).ok_or(CustodyError::NoKey { address })?;
        Ok(key.sign(digest))
    }
}

impl Custody for LocalCustody {
    type Error = CustodyError;

    /// An error means that no signature was made, here or anywhere else.
    fn sign(&self, job: Authorized) -> Result<Signed, CustodyError> {
        job.signed_by(|address, digest| self.sign_digest(address, &digest.0).map(Signature::Evm))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;
    use crate::key::KeyBytes;
    use crate::memory::{MemoryProtection, memory_protection};
    use pursekeeper_core::EvmAddress;

    /// A signature that another implementation made.
    pub(crate) struct Vector {
        pub(crate) key: KeyBytes,
        pub(crate) address: Address,
        pub(crate) digest: [u8; 32],
        pub(crate) signature: [u8; 65],
    }

    /// The project's EVM vectors, each made by viem.
    pub(crate) fn vectors() -> Vec<Vector> {
        let text = include_str!("../../../tests/vectors/evm.json");
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        let vectors: Vec<_> = json["vectors"].as_array().unwrap().iter().map(read).collect();
        assert_eq!(vectors.len(), 24);
        vectors
    }

    fn read(vector: &serde_json::Value) -> Vector {
        let text = |field: &str| vector[field].as_str().unwrap().strip_prefix("0x").unwrap();
        let mut read = Vector {
            key: KeyBytes::default(),
            address: EvmAddress::parse(vector["address"].as_str().unwrap()).unwrap().into(),
            digest: [0; 32],
            signature: [0; 65],
        };
        hex::decode_to_slice(text("privateKey"), &mut *read.key).unwrap();
        hex::decode_to_slice(text("digest"), &mut read.digest).unwrap();
        hex::decode_to_slice(text("signature"), &mut read.signature).unwrap();
        read
    }

    fn custody_of(vectors: &[Vector]) -> LocalCustody {
        let mut custody = LocalCustody::new();
        for vector in vectors {
            custody.insert(PrivateKey::from_bytes(&vector.key).unwrap().unwrap()).unwrap();
        }
        custody
    }

    #[test]
    fn bytes_outside_the_curve_are_no_key() {
        for byte in [0, 0xff] {
            assert!(PrivateKey::from_bytes(&KeyBytes::new([byte; 32])).unwrap().is_none());
        }
    }

    #[test]
    fn an_address_without_a_key_signs_nothing() {
        let Vector { address, digest, .. } = vectors().remove(0);
        let error = LocalCustody::new().sign_digest(address, &digest).unwrap_err();
        assert!(matches!(error, CustodyError::NoKey { address: named } if named == address));
    }

    #[test]
    fn every_vector_is_reproduced_byte_for_byte() {
        let vectors = vectors();
        let custody = custody_of(&vectors);
        assert!(
            custody
                .addresses()
                .into_iter()
                .all(|address| vectors.iter().any(|vector| vector.address == address))
        );
        for Vector { address, digest, signature, .. } in &vectors {
            assert_eq!(custody.sign_digest(*address, digest).unwrap(), *signature, "{address}");
        }
    }

    #[test]
    fn a_new_key_proves_itself_and_is_not_the_last_one() {
        let (mut custody, mut last) = (LocalCustody::new(), None);
        for _ in 0..3 {
            let key = PrivateKey::generate().unwrap();
            assert_ne!(Some(key.address()), last);
            assert_eq!(PrivateKey::from_bytes(&key.to_bytes()).unwrap().unwrap().address(), key.address());
            last = Some(key.address());
            custody.insert(key).unwrap();
        }
        assert_eq!(custody.addresses().len(), 3);
    }

    /// The bytes of this process's memory at `place`, if it has any there that others can read.
    fn memory(place: u64) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        let memory = File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut bytes, place).ok()?;
        Some(bytes)
    }

    #[test]
    fn a_destroyed_key_is_wiped_and_signs_nothing() {
        let vectors = vectors();
        let custody = custody_of(&vectors);
        let Vector { key, address, digest, .. } = &vectors[0];
        let place = custody.keys()[address].place();
        // On a secret page even the kernel does not find it.
        let secret = memory_protection().unwrap() == MemoryProtection::Secret;
        assert_eq!(memory(place) == Some(**key), !secret, "the test looks in the right place");
        assert!(custody.destroy(*address));
        assert_ne!(memory(place), Some(**key));
        assert!(!custody.holds(*address) && !custody.destroy(*address));
        let error = custody.sign_digest(*address, digest).unwrap_err();
        assert!(matches!(error, CustodyError::NoKey { .. }));
    }

    #[test]
    fn nothing_is_signed_once_destroying_has_returned() {
        let vectors = vectors();
        let custody = custody_of(&vectors);
        let Vector { address, digest, .. } = &vectors[0];
        let (signed, destroyed) = (Barrier::new(3), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    custody.sign_digest(*address, digest).unwrap();
                    signed.wait();
                    loop {
                        let before = destroyed.load(Ordering::SeqCst);
                        match custody.sign_digest(*address, digest) {
                            Ok(_) => assert!(!before, "it was signed after the key was destroyed"),
                            Err(_) => break,
                        }
                    }
                });
            }
            signed.wait();
            assert!(custody.destroy(*address));
            destroyed.store(true, Ordering::SeqCst);
        });
    }

    #[test]
    fn adopting_keeps_what_is_there_and_adds_what_is_not() {
        let vectors = vectors();
        let (all, first) = (custody_of(&vectors), custody_of(&vectors[..1]));
        let place = |custody: &LocalCustody| custody.keys()[&vectors[0].address].place();
        let before = place(&first);
        first.adopt(custody_of(&vectors));
        assert_eq!((first.addresses(), place(&first)), (all.addresses(), before));
        first.adopt(LocalCustody::new());
        assert_eq!(first.addresses(), all.addresses());
        for Vector { address, digest, signature, .. } in &vectors {
            assert_eq!(first.sign_digest(*address, digest).unwrap(), *signature);
        }
    }
}

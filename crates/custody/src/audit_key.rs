//! The key that signs checkpoints of a journal, and nothing else.
//!
//! It is no wallet key: another curve, a file of its own that no wallet can have, and a type that only takes a
//! [`Checkpoint`]. Who holds it can vouch for records, and pay nobody.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use pursekeeper_core::{Checkpoint, JournalId};
use serde::{Deserialize, Serialize};
use signed_note::{key_id, new_ed25519_verifier_key};

use crate::key::KeyBytes;
use crate::memory::{SecretPage, leaving_nothing};
use crate::v3::{Crypto, KEY_FILE_LEN_MAX, Locked, lock};
use crate::{CustodyError, Passphrase, file};

/// What a file of ours says it is. A program that reads wallet keys finds none of its members but `crypto`.
const KIND: &str = "pursekeeper-audit-key";
const VERSION: u32 = 1;
/// Ed25519, as signed notes number it.
const ALGORITHM: u8 = 1;

/// The Ed25519 key that signs checkpoints.
///
/// It lies on a page of its own, wiped when dropped, and is on the stack only while it signs.
pub struct AuditKey {
    page: SecretPage,
    public: VerifyingKey,
}

/// `audit.key`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    kind: String,
    version: u32,
    public_key: String,
    crypto: Crypto,
}

impl AuditKey {
    /// Signs a checkpoint: a C2SP signed note, under the name of the checkpoint's journal.
    #[must_use]
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let name = Checkpoint::origin(checkpoint.journal);
        leaving_nothing(|| note(&SigningKey::from_bytes(self.page.bytes()), &name, &checkpoint.to_string()))
    }

    /// Who signs checkpoints of `journal`: a verifier key of C2SP signed-note.
    #[must_use]
    pub fn verifier_key(&self, journal: JournalId) -> String {
        new_ed25519_verifier_key(&Checkpoint::origin(journal), &self.public)
    }

    /// Draws a new key.
    pub(crate) fn generate() -> Result<Self, CustodyError> {
        let mut bytes = KeyBytes::default();
        getrandom::fill(&mut *bytes)?;
        Self::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &KeyBytes) -> Result<Self, CustodyError> {
        let public = leaving_nothing(|| SigningKey::from_bytes(bytes).verifying_key());
        Ok(Self { page: SecretPage::new(bytes).map_err(CustodyError::Memory)?, public })
    }

    /// The text of the file that holds the key under `passphrase`.
    pub(crate) fn seal(&self, passphrase: &Passphrase) -> Result<String, CustodyError> {
        let mut secret = KeyBytes::default();
        secret.copy_from_slice(self.page.bytes());
        let wire = Wire {
            kind: KIND.to_owned(),
            version: VERSION,
            public_key: hex::encode(self.public.to_bytes()),
            crypto: lock(secret, passphrase)?,
        };
        Ok(serde_json::json!(wire).to_string() + "\n")
    }

    /// Reads the file at `path` and opens it.
    pub(crate) fn read(path: &Path, passphrase: &Passphrase) -> Result<Self, CustodyError> {
        let Wire { kind: _, version: _, public_key, crypto } = wire(path)?;
        let bytes = Locked::parse(path, &crypto)?.open(path, passphrase)?;
        let key = Self::from_bytes(&bytes)?;
        if hex::encode(key.public.to_bytes()) != public_key {
            return Err(CustodyError::NotAuditKey { path: path.to_owned() });
        }
        Ok(key)
    }
}

/// Who signs checkpoints of `journal` according to the file at `path`, which is not opened.
pub(crate) fn stated_verifier_key(path: &Path, journal: JournalId) -> Result<String, CustodyError> {
    let refused = || CustodyError::NotAuditKey { path: path.to_owned() };
    let mut bytes = [0; 32];
    hex::decode_to_slice(wire(path)?.public_key, &mut bytes).map_err(|_| refused())?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| refused())?;
    Ok(new_ed25519_verifier_key(&Checkpoint::origin(journal), &key))
}

fn wire(path: &Path) -> Result<Wire, CustodyError> {
    let refused = || CustodyError::NotAuditKey { path: path.to_owned() };
    let bytes = file::read(path, KEY_FILE_LEN_MAX, file::OTHERS)?;
    let wire: Wire = serde_json::from_slice(&bytes).map_err(|_| refused())?;
    if wire.kind == KIND && wire.version == VERSION { Ok(wire) } else { Err(refused()) }
}

/// A signed note with one signature.
// INVARIANT: private, and called with the text of a checkpoint only.
fn note(key: &SigningKey, name: &str, text: &str) -> String {
    let public = [[ALGORITHM].as_slice(), key.verifying_key().as_bytes()].concat();
    let id = key_id(name, &public).to_be_bytes();
    let signature = [id.as_slice(), &key.sign(text.as_bytes()).to_bytes()].concat();
    format!("{text}\n\u{2014} {name} {}\n", STANDARD.encode(signature))
}

#[cfg(test)]
mod tests {
    use pursekeeper_core::Digest;
    use signed_note::{Note, StandardVerifier, VerifierList};

    use super::*;

    // From the documentation of golang.org/x/mod/sumdb/note, where the form comes from.
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const SIGNED: &str = "\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_note_of_the_specification_is_signed_as_it_is_there() {
        let key = STANDARD.decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").unwrap();
        let key = SigningKey::from_bytes(key[1..].try_into().unwrap());
        assert_eq!(note(&key, "PeterNeumann", TEXT), format!("{TEXT}{SIGNED}"));
    }

    #[test]
    fn a_signed_checkpoint_is_verified_by_others() {
        let key = AuditKey::generate().unwrap();
        let checkpoint = Checkpoint { journal: JournalId([0xab; 16]), size: 7, root: Digest([7; 32]) };
        let signed = key.sign(&checkpoint);
        let verifies = |signed: &str, key: &AuditKey| {
            let verifier = StandardVerifier::new(&key.verifier_key(checkpoint.journal)).unwrap();
            let known = VerifierList::new(vec![Box::new(verifier)]);
            Note::from_bytes(signed.as_bytes()).unwrap().verify(&known).is_ok()
        };
        assert!(verifies(&signed, &key) && signed.starts_with(&checkpoint.to_string()));
        assert!(!verifies(&signed.replace("\n7\n", "\n8\n"), &key));
        assert!(!verifies(&signed, &AuditKey::generate().unwrap()));
    }
}

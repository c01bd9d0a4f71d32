//! The key that signs checkpoints, beside the keys of the wallets.

use std::path::PathBuf;

use super::Keystore;
use crate::audit_key::{AuditKey, stated_verifier_key};
use crate::{CustodyError, Passphrase, file};

/// Its file. The extension keeps it from ever being taken for a wallet's.
const AUDIT_KEY: &str = "audit.key";

impl Keystore {
    /// Draws the audit key and keeps it under `passphrase`, which must be the one of the wallets. A key that is there
    /// already stays as it is. Whether it was made.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when the passphrase is not the keystore's, or it cannot be written.
    pub fn create_audit_key(&self, passphrase: &Passphrase) -> Result<bool, CustodyError> {
        let _lock = self.lock()?;
        let path = self.audit_path();
        if path.symlink_metadata().is_ok() {
            return AuditKey::read(&path, passphrase).map(|_| false);
        }
        if let Some(any) = self.key_files()?.first() {
            any.file.open(passphrase)?;
        }
        file::replace(&path, AuditKey::generate()?.seal(passphrase)?.as_bytes())?;
        AuditKey::read(&path, passphrase).map(|_| true)
    }

    /// Decrypts the audit key.
    ///
    /// # Errors
    ///
    /// [`CustodyError::NoAuditKey`] when there is none; and when it does not read, or does not open.
    pub fn load_audit_key(&self, passphrase: &Passphrase) -> Result<AuditKey, CustodyError> {
        self.with_audit_key(|path| AuditKey::read(&path, passphrase))
    }

    /// Who signs checkpoints of the keystore's journal: a verifier key of C2SP signed-note. Nothing is decrypted, so it is
    /// what the file says.
    ///
    /// # Errors
    ///
    /// [`CustodyError::NoAuditKey`] when there is none, or no journal; and when it does not read.
    pub fn audit_verifier_key(&self) -> Result<String, CustodyError> {
        let absent = || CustodyError::NoAuditKey { path: self.audit_path() };
        let journal = self.journal.ok_or_else(absent)?;
        self.with_audit_key(|path| stated_verifier_key(&path, journal))
    }

    fn with_audit_key<T>(
        &self,
        read: impl FnOnce(PathBuf) -> Result<T, CustodyError>,
    ) -> Result<T, CustodyError> {
        let path = self.audit_path();
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(CustodyError::NoAuditKey { path })
            }
            Ok(_) | Err(_) => read(path),
        }
    }

    fn audit_path(&self) -> PathBuf {
        self.dir.join(AUDIT_KEY)
    }
}

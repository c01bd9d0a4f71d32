//! How a key gets into the keystore.

use pursekeeper_core::{Address, WalletName};

use super::{Keystore, METADATA};
use crate::key::PrivateKey;
use crate::v3::{self, KeyFile};
use crate::{CustodyError, Import, Passphrase, Transport, file};

/// What must be true of a wallet for a key to become one of its keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It has none yet.
    First,
    /// It has one, which this one follows.
    Successor,
    /// Either; and if it has this very key, nothing is left to do.
    Either,
    /// It has none yet, or has this very key.
    FirstOrSame,
}

impl Keystore {
    /// Draws a new key and keeps it under `passphrase`, which must be the one of the other wallets.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when the name is taken, the passphrase is not the keystore's, or it cannot be written.
    pub fn create_wallet(&self, name: &WalletName, passphrase: &Passphrase) -> Result<Address, CustodyError> {
        self.keep(name, &PrivateKey::generate()?, passphrase, Claim::First)
    }

    /// Draws a new key and keeps it beside those that the wallet has already, under the same passphrase. It is on disk,
    /// and has been opened again, when this returns.
    ///
    /// # Errors
    ///
    /// [`CustodyError::WalletMissing`] when the wallet has no key yet, and otherwise as [`Keystore::create_wallet`].
    pub fn create_successor(
        &self,
        name: &WalletName,
        passphrase: &Passphrase,
    ) -> Result<Address, CustodyError> {
        self.keep(name, &PrivateKey::generate()?, passphrase, Claim::Successor)
    }

    /// Keeps a key that was made elsewhere under `passphrase`, which must be the one of the other wallets.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when the source does not read, the name is taken, the keystore holds the key already, the
    /// passphrase is not the keystore's, or it cannot be written.
    pub fn import_wallet(
        &self,
        name: &WalletName,
        source: Import<'_>,
        passphrase: &Passphrase,
    ) -> Result<Address, CustodyError> {
        self.keep(name, &source.read()?, passphrase, Claim::First)
    }

    /// Keeps a key that was [delivered](crate::seal_delivery) for `transport` under `passphrase`, which must be the one
    /// of the other wallets. With an `expected` address it may be a successor; without, the name must be free. A key
    /// that is kept under that name already stays as it is, so that a crash is finished by asking again.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when the message does not open with `transport`, was changed, or is for another wallet;
    /// [`CustodyError::OtherKey`] when it holds another key than the expected one; and otherwise as
    /// [`Keystore::import_wallet`].
    pub fn import_delivery(
        &self,
        name: &WalletName,
        message: &[u8],
        transport: &Transport,
        expected: Option<Address>,
        passphrase: &Passphrase,
    ) -> Result<Address, CustodyError> {
        let key = transport.open(message, name)?;
        let found = key.address();
        let claim = match expected {
            Some(expected) if expected != found => return Err(CustodyError::OtherKey { expected, found }),
            Some(_) => Claim::Either,
            None => Claim::FirstOrSame,
        };
        self.keep(name, &key, passphrase, claim)
    }

    /// Writes a key, and opens what was written before saying that it is kept: a key that cannot be read back is money
    /// lost.
    fn keep(
        &self,
        name: &WalletName,
        key: &PrivateKey,
        passphrase: &Passphrase,
        claim: Claim,
    ) -> Result<Address, CustodyError> {
        let (wallet, address) = (|| name.clone(), key.address());
        if name.as_str() == METADATA {
            return Err(CustodyError::ReservedName { wallet: wallet() });
        }
        let _lock = self.lock()?;
        let files = self.key_files()?;
        let named = files.iter().any(|kept| kept.wallet == *name);
        let again = matches!(claim, Claim::Either | Claim::FirstOrSame);
        match files.iter().find(|kept| kept.address == address) {
            Some(kept) if kept.wallet != *name => {
                return Err(CustodyError::KeyExists { wallet: kept.wallet.clone(), address });
            }
            Some(kept) if again => return kept.file.open(passphrase).map(|_| address),
            Some(_) | None => {}
        }
        let path = match (claim, named) {
            (Claim::First | Claim::FirstOrSame, true) => {
                return Err(CustodyError::WalletExists { wallet: wallet() });
            }
            (Claim::Successor, false) => return Err(CustodyError::WalletMissing { wallet: wallet() }),
            (Claim::First | Claim::FirstOrSame | Claim::Either, false) => self.first_path(name),
            (Claim::Successor | Claim::Either, true) => self.successor_path(name, address),
        };
        if let Some(any) = files.first() {
            any.file.open(passphrase)?;
        }
        file::replace(&path, v3::seal(key, passphrase)?.as_bytes())?;
        KeyFile::read(&path)?.open(passphrase)?;
        Ok(address)
    }
}

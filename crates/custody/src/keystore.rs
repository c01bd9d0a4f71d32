//! The directory in which keys lie encrypted.

mod audit;
mod files;
mod keep;
mod removal;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pursekeeper_core::{Address, JournalId, WalletName};
use serde::{Deserialize, Serialize};

use crate::{CustodyError, LocalCustody, Passphrase, file, projected};
pub use removal::Removal;

/// How often a locked keystore is tried, and how long between two tries: writing a key takes a tenth of a second, and a
/// process that is just starting another one holds the lock of both for a moment.
const LOCK_TRIES_MAX: usize = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
const METADATA: &str = "keystore";
const EXTENSION: &str = "json";
const METADATA_VERSION: u32 = 1;
const METADATA_LEN_MAX: usize = 4096;

/// A directory of encrypted keys in Web3 Secret Storage format, and a `keystore.json` that names the journal in which
/// the spending of these keys is recorded.
///
/// The key of a wallet lies in `<wallet>.json`. When the wallet is rotated, its next key lies beside it in
/// `<wallet>.0x<address>.json`, with the address in lower case.
pub struct Keystore {
    dir: PathBuf,
    journal: Option<JournalId>,
}

/// `keystore.json`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    version: u32,
    journal_id: Option<String>,
}

impl Keystore {
    /// Makes a keystore in a new or empty directory that only its owner may access.
    ///
    /// # Errors
    ///
    /// [`CustodyError::NotEmpty`] when there is something already, [`CustodyError::Io`] when it cannot be written.
    pub fn create(dir: impl AsRef<Path>) -> Result<Self, CustodyError> {
        let dir = dir.as_ref();
        match DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => file::sync_parent(dir)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut entries = fs::read_dir(dir).map_err(CustodyError::io("read", dir))?;
                if entries.next().is_some() {
                    return Err(CustodyError::NotEmpty { path: dir.to_owned() });
                }
                fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
                    .map_err(CustodyError::io("set the permissions of", dir))?;
            }
            Err(error) => return Err(CustodyError::io("create", dir)(error)),
        }
        let keystore = Self { dir: dir.to_owned(), journal: None };
        let _lock = keystore.lock()?;
        keystore.write_metadata(None)?;
        Ok(keystore)
    }

    /// Opens the keystore in `dir`. Nothing is decrypted.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when others have access to it, or `keystore.json` is missing or does not read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, CustodyError> {
        let dir = dir.as_ref();
        let metadata = fs::metadata(dir).map_err(CustodyError::io("open", dir))?;
        if !projected::is_sealed(dir, &metadata) {
            file::refuse_mode(dir, metadata.permissions().mode(), file::OTHERS)?;
        }
        let mut keystore = Self { dir: dir.to_owned(), journal: None };
        keystore.journal = keystore.read_metadata()?;
        Ok(keystore)
    }

    /// The journal that records what these keys spend; none before the first one is bound.
    #[must_use]
    pub fn journal_id(&self) -> Option<JournalId> {
        self.journal
    }

    /// Binds a keystore to its first journal, durably. Binding it to the same one again changes nothing.
    ///
    /// # Errors
    ///
    /// [`CustodyError::JournalBound`] when it belongs to another journal; one for which [`CustodyError::is_read_only`] says
    /// so when somebody else has to write [`Keystore::metadata_text`] into it.
    pub fn bind_journal(&mut self, journal: JournalId) -> Result<(), CustodyError> {
        let _lock = self.lock()?;
        self.journal = self.read_metadata()?;
        match self.journal {
            Some(bound) if bound == journal => Ok(()),
            Some(bound) => Err(CustodyError::JournalBound { bound, asked: journal }),
            None => self.write_metadata(Some(journal)).map(|()| self.journal = Some(journal)),
        }
    }

    /// Binds a keystore to another journal, durably, whichever it belonged to. What its keys have spent according to
    /// the old one is no longer counted: only adopting a journal, which counts every window as spent, may call this.
    ///
    /// # Errors
    ///
    /// [`CustodyError::Io`] when it cannot be written.
    pub fn rebind_journal(&mut self, journal: JournalId) -> Result<(), CustodyError> {
        let _lock = self.lock()?;
        self.write_metadata(Some(journal))?;
        self.journal = Some(journal);
        Ok(())
    }

    /// What `keystore.json` says of a keystore that is bound to `journal`: for one that is written elsewhere.
    #[must_use]
    pub fn metadata_text(journal: JournalId) -> String {
        let metadata = Metadata { version: METADATA_VERSION, journal_id: Some(journal.to_string()) };
        serde_json::json!(metadata).to_string()
    }

    /// Every wallet and the address of each of its keys, in order. Nothing is decrypted, so an address is what a file
    /// says: [`Keystore::load`] is what proves it.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when the directory or one of its files does not read.
    pub fn list(&self) -> Result<Vec<(WalletName, Address)>, CustodyError> {
        let kept = self.key_files()?;
        let mut listed: Vec<_> = kept.into_iter().map(|kept| (kept.wallet, kept.address)).collect();
        listed.dedup();
        Ok(listed)
    }

    /// Decrypts every key.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] for the first file that does not read, does not open, or holds another key than it says.
    pub fn load(&self, passphrase: &Passphrase) -> Result<LocalCustody, CustodyError> {
        let mut custody = LocalCustody::new();
        for kept in self.key_files()? {
            custody.insert(kept.file.open(passphrase)?)?;
        }
        Ok(custody)
    }

    /// Decrypts the expected keys that are kept under the wallet they are expected for, and only those: a key that the
    /// registry does not name is under no ceiling and stays encrypted. A wallet may be expected to have several keys,
    /// while one follows another; one that is not here is no error, and [`LocalCustody::holds`] tells.
    ///
    /// # Errors
    ///
    /// [`CustodyError::WrongAddress`] when an expected key is not here and its wallet has one that is not expected, and
    /// everything that [`Keystore::load`] can meet.
    pub fn load_expected(
        &self,
        passphrase: &Passphrase,
        expected: &BTreeMap<Address, WalletName>,
    ) -> Result<LocalCustody, CustodyError> {
        let files = self.key_files()?;
        let mut custody = LocalCustody::new();
        for (address, wallet) in expected {
            let mut of_wallet = files.iter().filter(|kept| kept.wallet == *wallet);
            if let Some(kept) = of_wallet.clone().find(|kept| kept.address == *address) {
                custody.insert(kept.file.open(passphrase)?)?;
            } else if let Some(other) =
                of_wallet.find(|kept| !kept.is_successor && expected.get(&kept.address) != Some(wallet))
            {
                let (wallet, registry, keystore) = (wallet.clone(), *address, other.address);
                return Err(CustodyError::WrongAddress { wallet, registry, keystore });
            }
        }
        Ok(custody)
    }

    /// Decrypts the key of `address`, whichever wallet it is kept under; none when it is not here.
    ///
    /// # Errors
    ///
    /// Everything that [`Keystore::load`] can meet.
    pub fn load_address(
        &self,
        passphrase: &Passphrase,
        address: Address,
    ) -> Result<Option<LocalCustody>, CustodyError> {
        let files = self.key_files()?;
        let Some(kept) = files.into_iter().find(|kept| kept.address == address) else { return Ok(None) };
        let mut custody = LocalCustody::new();
        custody.insert(kept.file.open(passphrase)?)?;
        Ok(Some(custody))
    }

    fn path(&self, stem: &str) -> PathBuf {
        self.dir.join(format!("{stem}.{EXTENSION}"))
    }

    /// Keeps other processes from writing, for as long as the result lives. Waits a moment for one that does.
    fn lock(&self) -> Result<File, CustodyError> {
        let dir = File::open(&self.dir).map_err(CustodyError::io("open", &self.dir))?;
        for _ in 0..LOCK_TRIES_MAX {
            match dir.try_lock() {
                Ok(()) => return Ok(dir),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(source)) => return Err(CustodyError::io("lock", &self.dir)(source)),
            }
        }
        Err(CustodyError::Busy { path: self.dir.clone() })
    }

    fn read_metadata(&self) -> Result<Option<JournalId>, CustodyError> {
        let path = self.path(METADATA);
        let bytes = file::read(&path, METADATA_LEN_MAX, file::OTHERS)?;
        let refused = || CustodyError::NotKeystore { path: path.clone() };
        let Metadata { version, journal_id } = serde_json::from_slice(&bytes).map_err(|_| refused())?;
        if version != METADATA_VERSION {
            return Err(refused());
        }
        journal_id.map(|text| JournalId::parse(&text).map_err(|_| refused())).transpose()
    }

    fn write_metadata(&self, journal: Option<JournalId>) -> Result<(), CustodyError> {
        let metadata = Metadata { version: METADATA_VERSION, journal_id: journal.map(|id| id.to_string()) };
        let text = serde_json::json!(metadata).to_string() + "\n";
        file::replace(&self.path(METADATA), text.as_bytes())
    }
}

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pursekeeper_core::{Address, JournalId, WalletName};
use serde::{Deserialize, Serialize};

use crate::key::{KeyBytes, PrivateKey};
use crate::v3::{self, KeyFile};
use crate::{CustodyError, LocalCustody, Passphrase, file};

/// How often a locked keystore is tried, and how long between two tries: writing a key takes a tenth of a second, and a
/// process that is just starting another one holds the lock of both for a moment.
const LOCK_TRIES_MAX: usize = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
const METADATA: &str = "keystore";
const EXTENSION: &str = "json";
const METADATA_VERSION: u32 = 1;
const METADATA_LEN_MAX: usize = 4096;
/// Room for a private key as text: `0x`, 64 digits, and a line ending.
const HEX_KEY_LEN_MAX: usize = 80;

/// A directory of encrypted keys, one `<wallet>.json` in Web3 Secret Storage format each, and a `keystore.json` that
/// names the journal in which the spending of these keys is recorded.
pub struct Keystore {
    dir: PathBuf,
    journal: Option<JournalId>,
}

/// Where an imported key comes from. Never from an argument or the environment, where other processes can read it.
pub enum Import<'a> {
    /// A file with the 64 hexadecimal digits of a key, with or without `0x`, that only its owner may access.
    HexFile(&'a Path),
    /// A Web3 Secret Storage file, and what opens it.
    KeyFile(&'a Path, &'a Passphrase),
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
        file::refuse_mode(dir, metadata.permissions().mode(), file::OTHERS)?;
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
    /// [`CustodyError::JournalBound`] when it belongs to another journal.
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

    /// Draws a new key and keeps it under `passphrase`, which must be the one of the other wallets.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when the name is taken, the passphrase is not the keystore's, or it cannot be written.
    pub fn create_wallet(&self, name: &WalletName, passphrase: &Passphrase) -> Result<Address, CustodyError> {
        let (key, bytes) = PrivateKey::generate()?;
        self.keep(name, &key, &bytes, passphrase)
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
        let (key, bytes) = match source {
            Import::HexFile(path) => read_hex_key(path)?,
            Import::KeyFile(path, opens_it) => KeyFile::read(path)?.open(opens_it)?,
        };
        self.keep(name, &key, &bytes, passphrase)
    }

    /// Every wallet and the address its file states, by name. Nothing is decrypted, so an address is what the file
    /// says: [`Keystore::load`] is what proves it.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] when the directory or one of its files does not read.
    pub fn list(&self) -> Result<Vec<(WalletName, Address)>, CustodyError> {
        let files = self.key_files()?;
        files.into_iter().map(|(name, file)| Ok((name, file.stated_address()?))).collect()
    }

    /// Decrypts every key.
    ///
    /// # Errors
    ///
    /// [`CustodyError`] for the first wallet whose file does not read, does not open, or holds another key than it
    /// says.
    pub fn load(&self, passphrase: &Passphrase) -> Result<LocalCustody, CustodyError> {
        let mut custody = LocalCustody::new();
        for file in self.key_files()?.values() {
            custody.insert(file.open(passphrase)?.0)?;
        }
        Ok(custody)
    }

    /// Decrypts the keys of the wallets in `expected`, and only those: a key that the registry does not name is under no
    /// ceiling and stays encrypted.
    ///
    /// # Errors
    ///
    /// [`CustodyError::WalletMissing`] and [`CustodyError::WrongAddress`] when the keystore is not what the registry
    /// says, and everything that [`Keystore::load`] can meet.
    pub fn load_expected(
        &self,
        passphrase: &Passphrase,
        expected: &BTreeMap<WalletName, Address>,
    ) -> Result<LocalCustody, CustodyError> {
        let files = self.key_files()?;
        let mut custody = LocalCustody::new();
        for (name, registry) in expected {
            let wallet = || name.clone();
            let file = files.get(name).ok_or_else(|| CustodyError::WalletMissing { wallet: wallet() })?;
            let (key, _) = file.open(passphrase)?;
            if key.address() != *registry {
                let (registry, keystore) = (*registry, key.address());
                return Err(CustodyError::WrongAddress { wallet: wallet(), registry, keystore });
            }
            custody.insert(key)?;
        }
        Ok(custody)
    }

    /// Writes a key as a new wallet, and opens what was written before saying that it is kept: a key that cannot be
    /// read back is money lost.
    fn keep(
        &self,
        name: &WalletName,
        key: &PrivateKey,
        bytes: &KeyBytes,
        passphrase: &Passphrase,
    ) -> Result<Address, CustodyError> {
        let address = key.address();
        if name.as_str() == METADATA {
            return Err(CustodyError::ReservedName { wallet: name.clone() });
        }
        let _lock = self.lock()?;
        let files = self.key_files()?;
        if files.contains_key(name) {
            return Err(CustodyError::WalletExists { wallet: name.clone() });
        }
        for (wallet, file) in &files {
            if file.stated_address()? == address {
                return Err(CustodyError::KeyExists { wallet: wallet.clone(), address });
            }
        }
        if let Some(any) = files.values().next() {
            any.open(passphrase)?;
        }
        let path = self.path(name.as_str());
        file::replace(&path, v3::seal(address, bytes, passphrase)?.as_bytes())?;
        KeyFile::read(&path)?.open(passphrase)?;
        Ok(address)
    }

    /// Every key file of the keystore, by wallet.
    fn key_files(&self) -> Result<BTreeMap<WalletName, KeyFile>, CustodyError> {
        let unreadable = || CustodyError::io("read", &self.dir);
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).map_err(unreadable())? {
            let path = entry.map_err(unreadable())?.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            match path.file_stem().and_then(|stem| stem.to_str()) {
                Some(METADATA) => {}
                // A file with a name that is slightly wrong must not silently be no wallet.
                stem => match stem.map(WalletName::parse) {
                    Some(Ok(name)) => drop(files.insert(name, KeyFile::read(&path)?)),
                    Some(Err(_)) | None => return Err(CustodyError::StrayFile { path }),
                },
            }
        }
        Ok(files)
    }

    fn path(&self, stem: &str) -> PathBuf {
        self.dir.join(stem).with_extension(EXTENSION)
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

/// Reads a key that lies in a file in the clear.
fn read_hex_key(path: &Path) -> Result<(PrivateKey, KeyBytes), CustodyError> {
    let text = file::read(path, HEX_KEY_LEN_MAX, file::GROUP_AND_OTHERS)?;
    let digits = text.trim_ascii();
    let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
    let refused = || CustodyError::NotKey { path: path.to_owned() };
    let mut bytes = KeyBytes::default();
    hex::decode_to_slice(digits, &mut *bytes).map_err(|_| refused())?;
    let key = PrivateKey::from_bytes(&bytes).ok_or_else(refused)?;
    Ok((key, bytes))
}

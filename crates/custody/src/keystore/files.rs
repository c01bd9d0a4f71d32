//! Which files of the directory are keys, and whose.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pursekeeper_core::{Address, EvmAddress, WalletName};

use super::{EXTENSION, Keystore, METADATA};
use crate::v3::KeyFile;
use crate::{CustodyError, file};

/// A key of the keystore, not opened.
pub(super) struct Kept {
    pub(super) wallet: WalletName,
    /// What the file says. Opening it proves it.
    pub(super) address: Address,
    /// Whether the file's name says the address too: it was made to replace another key, and may wait for that.
    pub(super) is_successor: bool,
    pub(super) file: KeyFile,
}

impl Keystore {
    /// Every key file of the keystore, by wallet and address.
    pub(super) fn key_files(&self) -> Result<Vec<Kept>, CustodyError> {
        let mut files = Vec::new();
        for path in self.entries(EXTENSION)? {
            if path.file_stem().is_some_and(|stem| stem == METADATA) {
                continue;
            }
            // A file with a name that is slightly wrong must not silently be no wallet.
            let Some((wallet, successor)) = parse_name(&path) else {
                return Err(CustodyError::StrayFile { path });
            };
            let file = match KeyFile::read(&path) {
                Ok(file) => file,
                // It was destroyed since the directory was read.
                Err(CustodyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let address = file.stated_address()?;
            if successor.is_some_and(|named| named != address) {
                return Err(CustodyError::StrayFile { path });
            }
            files.push(Kept { wallet, address, is_successor: successor.is_some(), file });
        }
        files.sort_by(|one, two| (&one.wallet, one.address).cmp(&(&two.wallet, two.address)));
        Ok(files)
    }

    /// What a crash left behind while a file of ours was written. Meaningful only under the lock: without it, somebody
    /// may be writing it now.
    pub(super) fn leftovers(&self) -> Result<Vec<PathBuf>, CustodyError> {
        let mut paths = self.entries(file::TEMPORARY)?;
        paths.retain(|path| {
            path.file_stem().is_some_and(|stem| stem == METADATA) || parse_name(path).is_some()
        });
        Ok(paths)
    }

    /// The paths in the directory that end in `extension`.
    fn entries(&self, extension: &str) -> Result<Vec<PathBuf>, CustodyError> {
        let unreadable = || CustodyError::io("read", &self.dir);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(unreadable())? {
            let path = entry.map_err(unreadable())?.path();
            if path.extension().is_some_and(|found| found == extension) {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// Where the first key of a wallet lies.
    pub(super) fn first_path(&self, wallet: &WalletName) -> PathBuf {
        self.path(wallet.as_str())
    }

    /// Where the key of `address` lies when it follows another key of the wallet.
    pub(super) fn successor_path(&self, wallet: &WalletName, address: Address) -> PathBuf {
        self.path(&format!("{wallet}.{}", suffix(address)))
    }
}

/// What a file name says: the wallet, and the address if it is the file of a successor.
fn parse_name(path: &Path) -> Option<(WalletName, Option<Address>)> {
    let stem = path.file_stem()?.to_str()?;
    let (name, address) = match stem.split_once('.') {
        None => (stem, None),
        Some((name, text)) => {
            let address = EvmAddress::parse(text).ok()?.into();
            // One spelling, so that one key cannot have two files.
            (name, Some(address).filter(|address| suffix(*address) == text)?.into())
        }
    };
    Some((WalletName::parse(name).ok().filter(|name| name.as_str() != METADATA)?, address))
}

/// An address as a file name spells it.
fn suffix(address: Address) -> String {
    let Address::Evm(address) = address;
    format!("0x{}", hex::encode(address.to_bytes()))
}

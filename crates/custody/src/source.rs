//! Where a key that was made elsewhere comes from.

use std::io::Read;
use std::path::Path;

use pursekeeper_core::WalletName;

use crate::key::{KeyBytes, PrivateKey};
use crate::v3::{KEY_FILE_LEN_MAX, KeyFile};
use crate::{CustodyError, Passphrase, file, sealed, wallet_key};

/// Room for a private key as text, in bytes: `0x`, 64 digits, and a line ending.
pub const HEX_KEY_LEN_MAX: usize = 80;

/// What errors call a key that is read from elsewhere than a file.
const STANDARD_INPUT: &str = "standard input";

/// Where an imported key comes from. Never from an argument or the environment, where other processes can read it.
pub enum Import<'a> {
    /// A file with the 64 hexadecimal digits of a key, with or without `0x`, that only its owner may access.
    HexFile(&'a Path),
    /// A Web3 Secret Storage file, and what opens it.
    KeyFile(&'a Path, &'a Passphrase),
}

/// Where a key that is delivered comes from. Never from an argument or the environment, where other processes can read
/// it.
pub enum Source<'a> {
    /// A file with the 64 hexadecimal digits of a key, with or without `0x`, that only its owner may access.
    HexFile(&'a Path),
    /// Standard input with such digits: at most [`HEX_KEY_LEN_MAX`] bytes, read to the end.
    HexReader(&'a mut dyn Read),
    /// A Web3 Secret Storage file, and what opens it.
    KeyFile(&'a Path, &'a Passphrase),
    /// Standard input with such a file: at most [`KEY_FILE_LEN_MAX`] bytes, read to the end.
    KeyReader(&'a mut dyn Read, &'a Passphrase),
    /// A [backup](crate::LocalCustody::backup) of the same wallet.
    Backup {
        /// The age file.
        file: &'a Path,
        /// The identity that opens it: a file as `age-keygen` writes it, that only its owner may access.
        identity: &'a Path,
    },
}

impl Import<'_> {
    pub(crate) fn read(self) -> Result<PrivateKey, CustodyError> {
        match self {
            Self::HexFile(path) => read_hex(path),
            Self::KeyFile(path, passphrase) => KeyFile::read(path)?.open(passphrase),
        }
    }
}

impl Source<'_> {
    /// Reads the key of `wallet`. Only a backup says whose key it is.
    pub(crate) fn read(self, wallet: &WalletName) -> Result<PrivateKey, CustodyError> {
        let input = Path::new(STANDARD_INPUT);
        match self {
            Self::HexFile(path) => read_hex(path),
            Self::HexReader(reader) => parse_hex(input, &file::read_all(reader, input, HEX_KEY_LEN_MAX)?),
            Self::KeyFile(path, passphrase) => KeyFile::read(path)?.open(passphrase),
            Self::KeyReader(reader, passphrase) => {
                KeyFile::parse(input, &file::read_all(reader, input, KEY_FILE_LEN_MAX)?)?.open(passphrase)
            }
            Self::Backup { file, identity } => {
                wallet_key::read(file, &sealed::open_backup(file, identity)?, wallet)
            }
        }
    }
}

/// Reads a key that lies in a file in the clear.
fn read_hex(path: &Path) -> Result<PrivateKey, CustodyError> {
    parse_hex(path, &file::read(path, HEX_KEY_LEN_MAX, file::GROUP_AND_OTHERS)?)
}

fn parse_hex(path: &Path, text: &[u8]) -> Result<PrivateKey, CustodyError> {
    let digits = text.trim_ascii();
    let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
    let refused = || CustodyError::NotKey { path: path.to_owned() };
    let mut bytes = KeyBytes::default();
    hex::decode_to_slice(digits, &mut *bytes).map_err(|_| refused())?;
    PrivateKey::from_bytes(&bytes)?.ok_or_else(refused)
}

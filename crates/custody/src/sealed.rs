//! Keys on their way out, encrypted by age for those who may have them (<https://age-encryption.org/v1>).

mod encrypt;

use std::path::Path;

use age::armor::ArmoredReader;
use age::{DecryptError, Decryptor, x25519};
use zeroize::Zeroizing;

use crate::wallet_key::WALLET_KEY_LEN_MAX;
use crate::{CustodyError, Recipient, file};

/// Most recipients of a backup.
pub const RECIPIENTS_MAX: usize = 64;
/// Longest backup that is read, in bytes. One for the most recipients has less than 10,000.
pub const BACKUP_LEN_MAX: usize = 16 * 1024;
/// Longest identity file that is read, in bytes. One that `age-keygen` wrote has 189.
pub const IDENTITY_FILE_LEN_MAX: usize = 4096;
/// Most identities in an identity file.
pub const IDENTITIES_MAX: usize = 16;

/// Permission bits that a backup must not have: it is for its recipients, wherever it lies.
const NONE: u32 = 0;

/// Encrypts `plain` as an ASCII-armored age file that each of the `recipients` can open.
pub(crate) fn seal(plain: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, CustodyError> {
    let (count, count_max) = (recipients.len(), RECIPIENTS_MAX);
    if count == 0 {
        return Err(CustodyError::NoRecipient);
    }
    if count > count_max {
        return Err(CustodyError::TooManyRecipients { count, count_max });
    }
    encrypt::encrypt(plain, recipients)
}

/// Opens what was sealed for one of the `identities`, and came in `path`.
pub(crate) fn open(
    path: &Path,
    sealed: &[u8],
    identities: &[x25519::Identity],
) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
    let path = || path.to_owned();
    let refused = |error| match error {
        DecryptError::NoMatchingKeys => CustodyError::OtherRecipient { path: path() },
        DecryptError::InvalidHeader | DecryptError::UnknownFormat | DecryptError::Io(_) => {
            CustodyError::NotSealed { path: path() }
        }
        DecryptError::DecryptionFailed
        | DecryptError::ExcessiveWork { .. }
        | DecryptError::InvalidMac
        | DecryptError::KeyDecryptionFailed => CustodyError::SealBroken { path: path() },
        // What a later version of age may say.
        _ => CustodyError::SealBroken { path: path() },
    };
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(sealed)).map_err(refused)?;
    // Nobody chooses a passphrase that cannot be guessed.
    if decryptor.is_scrypt() {
        return Err(CustodyError::NotSealed { path: path() });
    }
    let identities = identities.iter().map(|identity| identity as &dyn age::Identity);
    let plain = decryptor.decrypt(identities).map_err(refused)?;
    file::read_all(plain, &path(), WALLET_KEY_LEN_MAX).map_err(|error| {
        // A part that does not decrypt is a failure to read.
        if matches!(error, CustodyError::Io { .. }) {
            CustodyError::SealBroken { path: path() }
        } else {
            CustodyError::NotWalletKey { path: path() }
        }
    })
}

/// Opens the backup in the file at `path` with the identity file at `identity`.
pub(crate) fn open_backup(path: &Path, identity: &Path) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
    open(path, &file::read(path, BACKUP_LEN_MAX, NONE)?, &read_identities(identity)?)
}

/// Reads an identity file: one identity a line, between comments and empty lines.
fn read_identities(path: &Path) -> Result<Vec<x25519::Identity>, CustodyError> {
    let text = file::read(path, IDENTITY_FILE_LEN_MAX, file::GROUP_AND_OTHERS)?;
    let refused = || CustodyError::NotIdentity { path: path.to_owned() };
    let text = str::from_utf8(&text).map_err(|_| refused())?;
    // Growing a vector copies it and leaves the old bytes behind.
    let mut identities = Vec::with_capacity(IDENTITIES_MAX);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if identities.len() == IDENTITIES_MAX {
            return Err(refused());
        }
        identities.push(line.parse().map_err(|_| refused())?);
    }
    if identities.is_empty() { Err(refused()) } else { Ok(identities) }
}

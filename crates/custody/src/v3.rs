//! Web3 Secret Storage, version 3: the JSON file in which a private key lies encrypted.
//!
//! <https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage/>
//!
//! Files of geth, ethers, `eth-account` and others are read; what is written has geth's light scrypt parameters, since
//! a generated passphrase of 256 bits cannot be guessed at any price and the cost would only be ours.

mod kdf;

use std::path::{Path, PathBuf};

use aes::Aes128;
use alloy_primitives::Keccak256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use pursekeeper_core::{Address, EvmAddress};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::key::{KeyBytes, PrivateKey};
use crate::{CustodyError, Passphrase, file};
use kdf::{Kdf, KdfParams, SCRYPT};
pub use kdf::{PBKDF2_ITERATIONS_MAX, SCRYPT_MEMORY_BYTES_MAX, SCRYPT_PARALLELISM_MAX};

/// Longest key file that is read, in bytes. Usual ones have 500.
pub const KEY_FILE_LEN_MAX: usize = 16 * 1024;

const VERSION: u32 = 3;
const CIPHER: &str = "aes-128-ctr";

/// A key file that has been read and checked, but not opened.
pub(crate) struct KeyFile {
    path: PathBuf,
    address: Option<Address>,
    locked: Locked,
}

/// 32 secret bytes under a passphrase: the member `crypto` of a key file.
pub(crate) struct Locked {
    kdf: Kdf,
    iv: [u8; 16],
    ciphertext: [u8; 32],
    mac: [u8; 32],
}

impl KeyFile {
    /// Reads a key file that others cannot access.
    pub(crate) fn read(path: &Path) -> Result<Self, CustodyError> {
        Self::parse(path, &file::read(path, KEY_FILE_LEN_MAX, file::OTHERS)?)
    }

    /// Reads the text of the key file at `path`.
    pub(crate) fn parse(path: &Path, json: &[u8]) -> Result<Self, CustodyError> {
        // The message of a JSON error can quote the file, and the file may be a plain key given by mistake.
        let Wire { version, id: _, address, crypto } = serde_json::from_slice(json).map_err(|error| {
            CustodyError::NotKeyFile { path: path.to_owned(), line: error.line(), column: error.column() }
        })?;
        let expect = |expected| CustodyError::KeyFileField { path: path.to_owned(), expected };
        if version != VERSION {
            return Err(expect("`version` must be 3"));
        }
        Ok(Self {
            path: path.to_owned(),
            address: match address {
                None => None,
                Some(text) => Some(
                    parse_address(&text)
                        .ok_or_else(|| expect("`address` must have 40 hexadecimal digits"))?,
                ),
            },
            locked: Locked::parse(path, &crypto)?,
        })
    }

    /// The address the file says it holds. It is not protected by the passphrase until the file has been opened.
    pub(crate) fn stated_address(&self) -> Result<Address, CustodyError> {
        self.address.ok_or_else(|| CustodyError::KeyFileField {
            path: self.path.clone(),
            expected: "`address` is missing; import the file instead of copying it",
        })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file.
    pub(crate) fn open(&self, passphrase: &Passphrase) -> Result<PrivateKey, CustodyError> {
        let bytes = self.locked.open(&self.path, passphrase)?;
        let key = PrivateKey::from_bytes(&bytes)?
            .ok_or_else(|| CustodyError::NotKey { path: self.path.clone() })?;
        match self.address {
            Some(stated) if stated != key.address() => {
                Err(CustodyError::Mislabelled { path: self.path.clone(), stated, actual: key.address() })
            }
            Some(_) | None => Ok(key),
        }
    }
}

impl Locked {
    /// Checks the member `crypto` of the file at `path`.
    pub(crate) fn parse(path: &Path, crypto: &Crypto) -> Result<Self, CustodyError> {
        let Crypto { cipher, cipherparams, ciphertext, kdf, kdfparams, mac } = crypto;
        let expect = |expected| CustodyError::KeyFileField { path: path.to_owned(), expected };
        if cipher != CIPHER {
            return Err(expect("`cipher` must be `aes-128-ctr`"));
        }
        Ok(Self {
            kdf: Kdf::parse(path, kdf, kdfparams)?,
            iv: decode(&cipherparams.iv).ok_or_else(|| expect("`iv` must have 32 hexadecimal digits"))?,
            ciphertext: decode(ciphertext)
                .ok_or_else(|| expect("`ciphertext` must have 64 hexadecimal digits"))?,
            mac: decode(mac).ok_or_else(|| expect("`mac` must have 64 hexadecimal digits"))?,
        })
    }

    /// Opens it. `path` is what errors call it.
    pub(crate) fn open(&self, path: &Path, passphrase: &Passphrase) -> Result<KeyBytes, CustodyError> {
        let derived = self.kdf.derive(path, passphrase)?;
        if !bool::from(mac(&derived, &self.ciphertext).ct_eq(&self.mac)) {
            return Err(CustodyError::WrongPassphrase { path: path.to_owned() });
        }
        let mut bytes = KeyBytes::new(self.ciphertext);
        apply_cipher(&derived, &self.iv, &mut bytes);
        Ok(bytes)
    }
}

/// The text of a key file that holds `key` under `passphrase`.
pub(crate) fn seal(key: &PrivateKey, passphrase: &Passphrase) -> Result<String, CustodyError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    let Address::Evm(address) = key.address();
    let wire = Wire {
        version: VERSION,
        id: Some(uuid_v4(id)),
        address: Some(hex::encode(address.to_bytes())),
        crypto: lock(key.to_bytes(), passphrase)?,
    };
    let line = serde_json::json!(wire).to_string();
    Ok(line + "\n")
}

/// Puts 32 secret bytes under a passphrase.
pub(crate) fn lock(mut secret: KeyBytes, passphrase: &Passphrase) -> Result<Crypto, CustodyError> {
    let (mut salt, mut iv) = ([0; 32], [0; 16]);
    for random in [salt.as_mut_slice(), &mut iv] {
        getrandom::fill(random)?;
    }
    let kdfparams = KdfParams::light(salt);
    let new = Path::new("a new key file");
    let derived = Kdf::parse(new, SCRYPT, &kdfparams)?.derive(new, passphrase)?;
    apply_cipher(&derived, &iv, &mut secret);
    Ok(Crypto {
        cipher: CIPHER.into(),
        cipherparams: CipherParams { iv: hex::encode(iv) },
        mac: hex::encode(mac(&derived, &secret)),
        ciphertext: hex::encode(*secret),
        kdf: SCRYPT.into(),
        kdfparams,
    })
}

/// The JSON document. `ethers` writes `Crypto`; members that are not listed are ignored.
#[derive(Deserialize, Serialize)]
struct Wire {
    version: u32,
    id: Option<String>,
    address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
}

/// How the secret lies in a key file.
#[derive(Deserialize, Serialize)]
pub(crate) struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

#[derive(Deserialize, Serialize)]
struct CipherParams {
    iv: String,
}

/// AES-128 in counter mode with the first half of the derived key: encrypts and decrypts.
fn apply_cipher([key, _]: &[[u8; 16]; 2], iv: &[u8; 16], bytes: &mut [u8; 32]) {
    Ctr128BE::<Aes128>::new(key.into(), iv.into()).apply_keystream(bytes);
}

/// The Keccak-256 hash of the second half of the derived key and the ciphertext.
fn mac([_, key]: &[[u8; 16]; 2], ciphertext: &[u8; 32]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    hasher.update(key);
    hasher.update(ciphertext);
    hasher.finalize().0
}

fn decode<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// Key files write the address with or without `0x`, and its case is not always a checksum.
fn parse_address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    Some(Address::Evm(EvmAddress::from_bytes(decode(digits)?)))
}

/// Random bits as a UUID of version 4 (RFC 9562, section 5.4).
fn uuid_v4(random: [u8; 16]) -> String {
    let bits = u128::from_be_bytes(random);
    let bits = bits & !(0xf << 76) | (0x4 << 76);
    let bits = bits & !(0b11 << 62) | (0b10 << 62);
    let text = format!("{bits:032x}");
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| text.get(part).unwrap_or_default()).join("-")
}

#[cfg(test)]
mod tests;

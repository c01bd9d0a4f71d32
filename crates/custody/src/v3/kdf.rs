//! From a passphrase to the key that encrypts the key.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{CustodyError, Passphrase};

/// Most memory that opening a key file may take, in bytes. The strongest parameters in use take half of it.
pub const SCRYPT_MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Largest scrypt `p`: how many times the work for the memory is done one after the other.
pub const SCRYPT_PARALLELISM_MAX: u32 = 16;
/// Most iterations of PBKDF2: a few seconds.
pub const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;

/// Length of a derived key, in bytes: 16 for the cipher, 16 for the MAC.
const DERIVED_LEN: u32 = 32;
const SALT_LEN_MAX: usize = 128;
/// The `kdf` of the files we write.
pub(super) const SCRYPT: &str = "scrypt";
const PBKDF2: &str = "pbkdf2";
const PBKDF2_PRF: &str = "hmac-sha256";

/// The key for the cipher and the key for the MAC.
pub(super) type DerivedKey = Zeroizing<[[u8; 16]; 2]>;

/// A key derivation whose cost has been checked.
pub(super) enum Kdf {
    Scrypt { salt: Vec<u8>, cost: Scrypt },
    Pbkdf2 { salt: Vec<u8>, iterations: u32 },
}

/// The cost of scrypt: `n` is 2 to the power `log_n`.
pub(super) struct Scrypt {
    log_n: u8,
    r: u32,
    p: u32,
}

/// `kdfparams` as written: those of scrypt, or those of PBKDF2.
#[derive(Default, Deserialize, Serialize)]
pub(super) struct KdfParams {
    dklen: u32,
    salt: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prf: Option<String>,
}

impl KdfParams {
    /// geth's "light" scrypt parameters: 4 MiB and well below a tenth of a second.
    pub(super) fn light(salt: [u8; 32]) -> Self {
        let salt = hex::encode(salt);
        Self { dklen: DERIVED_LEN, salt, n: Some(4096), r: Some(8), p: Some(6), ..Self::default() }
    }
}

impl Kdf {
    /// Reads the `kdf` and `kdfparams` of the file at `path`.
    pub(super) fn parse(path: &Path, kdf: &str, params: &KdfParams) -> Result<Self, CustodyError> {
        let KdfParams { dklen, salt, n, r, p, c, prf } = params;
        let expect = |expected| CustodyError::KeyFileField { path: path.to_owned(), expected };
        if *dklen != DERIVED_LEN {
            return Err(expect("`dklen` must be 32"));
        }
        let salt = hex::decode(salt).map_err(|_| expect("`salt` must be hexadecimal"))?;
        if salt.len() > SALT_LEN_MAX {
            return Err(expect("`salt` must have at most 256 hexadecimal digits"));
        }
        match kdf {
            SCRYPT => {
                let (Some(n), Some(r), Some(p)) = (*n, *r, *p) else {
                    return Err(expect("`kdfparams` of scrypt must have `n`, `r` and `p`"));
                };
                Ok(Self::Scrypt { salt, cost: Scrypt::parse(path, n, r, p)? })
            }
            PBKDF2 => {
                if prf.as_deref() != Some(PBKDF2_PRF) {
                    return Err(expect("`prf` must be `hmac-sha256`"));
                }
                match *c {
                    None | Some(0) => Err(expect("`c` must be at least 1")),
                    Some(c) if c > PBKDF2_ITERATIONS_MAX => Err(CustodyError::TooCostly {
                        path: path.to_owned(),
                        limit: "`c` may be at most 10,000,000",
                    }),
                    Some(iterations) => Ok(Self::Pbkdf2 { salt, iterations }),
                }
            }
            _ => Err(expect("`kdf` must be `scrypt` or `pbkdf2`")),
        }
    }

    /// Derives the keys for the file at `path`. Takes as long as its author wanted guessing to take.
    pub(super) fn derive(&self, path: &Path, passphrase: &Passphrase) -> Result<DerivedKey, CustodyError> {
        let mut derived = DerivedKey::default();
        match self {
            Self::Scrypt { salt, cost: Scrypt { log_n, r, p } } => {
                // Neither can fail: the parameters have been checked, and 32 bytes is a length that scrypt gives.
                let refused = || CustodyError::KeyFileField { path: path.to_owned(), expected: BAD_SCRYPT };
                let params = scrypt::Params::new(*log_n, *r, *p).map_err(|_| refused())?;
                scrypt::scrypt(passphrase.as_bytes(), salt, &params, derived.as_flattened_mut())
                    .map_err(|_| refused())?;
            }
            Self::Pbkdf2 { salt, iterations } => {
                let derived = derived.as_flattened_mut();
                pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.as_bytes(), salt, *iterations, derived);
            }
        }
        Ok(derived)
    }
}

const BAD_SCRYPT: &str = "`n` must be a power of two above 1, `r` and `p` at least 1";

impl Scrypt {
    fn parse(path: &Path, n: u64, r: u32, p: u32) -> Result<Self, CustodyError> {
        let expected = BAD_SCRYPT;
        let costly = |limit| CustodyError::TooCostly { path: path.to_owned(), limit };
        let log_n = n.checked_ilog2().filter(|_| n > 1 && n.is_power_of_two());
        let log_n = log_n.and_then(|log_n| u8::try_from(log_n).ok());
        let Some(log_n) = log_n.filter(|_| r > 0 && p > 0) else {
            return Err(CustodyError::KeyFileField { path: path.to_owned(), expected });
        };
        if p > SCRYPT_PARALLELISM_MAX {
            return Err(costly("`p` may be at most 16"));
        }
        // scrypt keeps n blocks of 128 r bytes, and one for each p (RFC 7914, section 6).
        let blocks = n.checked_add(u64::from(p)).and_then(|blocks| blocks.checked_mul(u64::from(r)));
        match blocks.and_then(|blocks| blocks.checked_mul(128)) {
            Some(bytes) if bytes <= SCRYPT_MEMORY_BYTES_MAX => Ok(Self { log_n, r, p }),
            Some(_) | None => Err(costly("`n` and `r` may take at most 512 MiB")),
        }
    }
}

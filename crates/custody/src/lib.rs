//! Keys: encrypted keystores, and the only code in Pursekeeper that signs.
//!
//! A key enters through [`Keystore::create_wallet`] or [`Keystore::import_wallet`], lies on disk only encrypted, is
//! decrypted by [`Keystore::load`] into a [`LocalCustody`], and never leaves that: nothing here returns, prints,
//! clones or serialises a key or a passphrase. There is no function that signs bytes of the caller's choosing;
//! [`LocalCustody`] signs what the gate of `pursekeeper-core` has authorised, and consumes the authorisation.
//!
//! Reading order: `passphrase`, `key`, `recovery`, `local`, `v3` (the file format), `keystore` (the directory).

mod error;
mod file;
mod key;
mod keystore;
mod local;
mod passphrase;
mod recovery;
mod v3;

pub use error::CustodyError;
pub use keystore::{Import, Keystore};
pub use local::LocalCustody;
pub use passphrase::{PASSPHRASE_LEN_MAX, Passphrase};
pub use recovery::recover_address;
pub use v3::{KEY_FILE_LEN_MAX, PBKDF2_ITERATIONS_MAX, SCRYPT_MEMORY_BYTES_MAX, SCRYPT_PARALLELISM_MAX};

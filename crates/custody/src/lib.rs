//! Keys: encrypted keystores, and the only code in Pursekeeper that signs.
//!
//! A key enters through [`Keystore::create_wallet`], [`Keystore::create_successor`], [`Keystore::import_wallet`] or
//! [`Keystore::import_delivery`], lies on disk only encrypted, is decrypted by [`Keystore::load_expected`] into a
//! [`LocalCustody`], and ends with [`LocalCustody::destroy`] and [`Keystore::destroy`]. It leaves only sealed for
//! somebody who was named: as a [backup](LocalCustody::backup) for the people who recover it, or as a
//! [delivery](seal_delivery) for a running sidecar. Nothing here returns, prints, clones or serialises a key or a
//! passphrase in the clear. There is no function that signs bytes of the caller's choosing; [`LocalCustody`] signs what
//! the gate of `pursekeeper-core` has authorised, and consumes the authorisation. The [`AuditKey`] is no wallet's: it signs
//! checkpoints of the journal.
//!
//! # What is in a backup and in a delivery
//!
//! Both are ASCII-armored files of [age](https://age-encryption.org/v1) for X25519 recipients, so that `age --decrypt`
//! opens a backup when nothing else is left. Inside is one line of JSON:
//!
//! ```json
//! {"kind":"pursekeeper-wallet","version":1,"wallet":"research","address":"0x…","private_key":"0x…"}
//! ```
//!
//! `private_key` is what every wallet program imports: `0x` and 64 hexadecimal digits.
//!
//! Reading order: `passphrase`, `projected` (Kubernetes Secrets), `key`, `recovery`, `local`, `v3` (the file format), `keystore` (the directory),
//! `wallet_key` (the line above), `recipient`, `sealed` (age), `source`, `delivery`, `audit_key`.

mod audit_key;
mod delivery;
mod error;
mod file;
mod key;
mod keystore;
mod local;
mod memory;
mod passphrase;
mod projected;
mod recipient;
mod recovery;
mod sealed;
mod source;
mod v3;
mod wallet_key;

pub use audit_key::AuditKey;
pub use delivery::{DELIVERY_LEN_MAX, Transport, seal_delivery};
pub use error::CustodyError;
pub use keystore::{Keystore, Removal};
pub use local::LocalCustody;
pub use memory::{MemoryProtection, memory_protection};
pub use passphrase::{PASSPHRASE_LEN_MAX, Passphrase};
pub use recipient::Recipient;
pub use recovery::recover_address;
pub use sealed::{BACKUP_LEN_MAX, IDENTITIES_MAX, IDENTITY_FILE_LEN_MAX, RECIPIENTS_MAX};
pub use source::{HEX_KEY_LEN_MAX, Import, Source};
pub use v3::{KEY_FILE_LEN_MAX, PBKDF2_ITERATIONS_MAX, SCRYPT_MEMORY_BYTES_MAX, SCRYPT_PARALLELISM_MAX};

//! The durable record of everything the gate answers: one SQLite file with decisions, holds, totals, credit, statuses and
//! request ids, hash-chained, written by one process.
//!
//! Reading order: [`SqliteJournal`] is the writer and implements the gate's port; the records it writes are described in
//! `record`, the tables in `schema.sql`, how windows are counted in `account`. [`Reader`] serves the audit from another
//! connection and [`Reader::verify`] checks that records, chain and tables agree.

mod account;
mod credit;
mod cursors;
mod error;
mod exposure;
mod file;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod fixtures;
mod hash;
mod journal;
mod ledger;
mod lives;
mod load;
mod lock;
mod outstanding;
mod payees;
mod reader;
mod record;
mod repeats;
mod report;
mod reserve;
mod state;
mod store;
mod summary;
mod usage;
mod verify;

pub use error::JournalError;
pub use exposure::{Exposed, ExposureSum};
pub use hash::{chain_next, chain_start, leaf_hash};
pub use journal::SqliteJournal;
pub use lives::KnownBackup;
pub use reader::{Holds, KnownPayee, RECORDS_PER_READ_MAX, Reader, StoredRecord};
pub use record::{Content, DecodedRecord, Genesis};
pub use report::VolumeRow;
pub use summary::Summary;
pub use usage::{Usage, WindowUsage};
pub use verify::{Fault, Verified, VerifyError};

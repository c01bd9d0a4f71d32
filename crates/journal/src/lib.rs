//! The durable record of everything the gate answers: one SQLite file with decisions, holds, totals, credit, statuses and
//! request ids, hash-chained, written by one process.
//!
//! Reading order: [`SqliteJournal`] is the writer and implements the gate's port; the records it writes are described in
//! `record`, the tables in `schema.sql`, how windows are counted in `account`. [`Reader`] serves the audit from another
//! connection and [`Reader::verify`] checks that records, chain and tables agree. What leaves the journal leaves it as a
//! `segment`; `retention` says what may be deleted then, and what never.

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
mod log_bound;
mod outstanding;
mod payees;
mod reader;
mod record;
mod repeats;
mod report;
mod reserve;
mod retention;
mod scan;
mod segment;
mod state;
mod store;
mod summary;
mod tree;
mod usage;
mod verify;

pub use error::JournalError;
pub use exposure::{Exposed, ExposureSum};
pub use file::LogUse;
pub use hash::{chain_next, chain_start, leaf_hash};
pub use journal::SqliteJournal;
pub use lives::KnownBackup;
pub use log_bound::{LOG_BYTES_MAX, LOG_BYTES_MAX_MIN};
pub use reader::{Holds, KnownPayee, RECORDS_PER_READ_MAX, Reader, StoredRecord};
pub use record::{Content, DecodedRecord, Genesis};
pub use report::VolumeRow;
pub use retention::{JournalSize, PRUNED_PER_BATCH_MAX, Prunable, PrunablePage, RECORDS_KEPT_MIN};
pub use scan::{Scanned, Stretch};
pub use segment::{
    Header, Imported, Seal, Segment, SegmentError, SegmentReader, Trailer, check_row, file_name, import,
};
pub use summary::{KINDS, ShadowSummary, Summary};
pub use tree::{
    AuditVerifier, AuditVerifierError, CHECKPOINTS_MAX, ConsistencyProof, Frontier, InclusionProof,
    NoteFault, checkpoint_in,
};
pub use usage::{Usage, WindowUsage};
pub use verify::{CheckpointFault, Depth, Fault, GivenCheckpoint, Scrutiny, Verified, VerifyError};

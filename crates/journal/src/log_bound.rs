//! How long the write-ahead log may become while somebody reads the journal and does not end.
//!
//! The log begins anew only when nobody reads what is in it. We cannot end a reader of another process, and a log that grows
//! until the disk is full would take the disk from everybody; so payments stop at a bound that is named, and go on by
//! themselves when the reader is gone. Stops are recorded still: they are few and small.

use std::path::{Path, PathBuf};

use crate::JournalError;
use crate::file::LogUse;

/// Bytes after which payments stop, when nobody says otherwise.
pub const LOG_BYTES_MAX: u64 = 1 << 30;
/// The least anybody may say: a log that nobody keeps from beginning anew is shorter.
pub const LOG_BYTES_MAX_MIN: u64 = 16 << 20;

/// The log's length at the last checkpoint, and its bound.
#[derive(Debug)]
pub(crate) struct LogBound {
    path: PathBuf,
    bytes_max: u64,
    used: LogUse,
}

impl LogBound {
    pub(crate) fn of(journal: &Path) -> Self {
        Self { path: journal.to_owned(), bytes_max: LOG_BYTES_MAX, used: LogUse::default() }
    }

    pub(crate) fn set(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    /// Takes note of what a checkpoint found.
    pub(crate) fn note(&mut self, used: LogUse) {
        self.used = used;
    }

    pub(crate) fn used(&self) -> LogUse {
        self.used
    }

    /// Whether more may be written. A long log of which everything was moved begins anew with the next write.
    pub(crate) fn room(&self) -> Result<(), JournalError> {
        let LogUse { bytes, unmoved_bytes } = self.used;
        if unmoved_bytes == 0 || bytes <= self.bytes_max {
            return Ok(());
        }
        Err(JournalError::LogFull { bytes, path: self.path.clone() })
    }
}

//! Checkpoints beside the writer, so that no decision waits for one.

use std::path::Path;

use rusqlite::Connection;

use crate::JournalError;
use crate::file::{self, Access};

/// A second connection that moves the write-ahead log into the database. Meant for a thread of its own.
#[derive(Debug)]
pub struct Checkpointer {
    connection: Connection,
}

impl Checkpointer {
    /// Opens the journal at `path`.
    ///
    /// # Errors
    /// As for [`crate::SqliteJournal::open`], but for the lock.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (connection, _) = file::open(&file::locate(path)?, Access::Write)?;
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
        Ok(Self { connection })
    }

    /// Moves what it can, without waiting for readers or delaying the writer. Worth doing every few thousand records.
    ///
    /// # Errors
    /// Whatever the disk does. After a fatal one ([`JournalError::is_fatal`]) the process must end at once: a second
    /// attempt could succeed without what the first one lost, and then the log would be overwritten.
    pub fn run(&mut self) -> Result<(), JournalError> {
        file::checkpoint(&self.connection)
    }
}

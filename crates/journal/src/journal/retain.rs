//! Deleting what is archived, between two batches.

use super::{Health, SqliteJournal};
use crate::retention::{self, Prunable};
use crate::segment::Segment;
use crate::{JournalError, LogUse};

impl SqliteJournal {
    /// Takes note of a segment whose file is on disk. Once more is as good as once.
    ///
    /// # Errors
    /// Whatever the disk does; then it is not noted.
    pub fn note_segment(&mut self, segment: &Segment) -> Result<(), JournalError> {
        self.aside(|connection| retention::insert_segment(connection, segment))
    }

    /// Deletes records that nothing needs any more, durably and all at once; those alone whose segment was given to
    /// [`SqliteJournal::note_pruned`] before. Every answer stays what it is.
    ///
    /// # Errors
    /// Whatever the disk does; then all of them are there.
    pub fn prune(&mut self, records: &[Prunable]) -> Result<(), JournalError> {
        self.since_checkpoint = self.since_checkpoint.saturating_add(records.len() as u64);
        self.aside(|connection| retention::delete(connection, records))
    }

    /// Takes note that the records of a segment leave, before the first does: one that is missing elsewhere is a fault.
    ///
    /// # Errors
    /// Whatever the disk does; then it is not noted.
    pub fn note_pruned(&mut self, segment: &Segment) -> Result<(), JournalError> {
        self.aside(|connection| retention::mark_pruned(connection, segment.first))
    }

    /// Sets after how many bytes of write-ahead log payments stop, when a reader keeps it from beginning anew.
    pub fn bound_log(&mut self, bytes_max: u64) {
        self.log.set(bytes_max);
    }

    /// How long the write-ahead log was at the last checkpoint.
    #[must_use]
    pub fn log_use(&self) -> LogUse {
        self.log.used()
    }

    /// A write beside the records.
    fn aside(
        &mut self,
        write: impl FnOnce(&rusqlite::Connection) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        if self.health == Health::Broken {
            return Err(JournalError::Broken);
        }
        self.room()?;
        write(&self.connection).map_err(|error| self.fail(error))
    }
}

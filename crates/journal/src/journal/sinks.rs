//! What sinks have acknowledged.

use crate::{JournalError, SqliteJournal, store};

use super::Health;

impl SqliteJournal {
    /// Up to which record a sink has acknowledged everything, once it was noted.
    #[must_use]
    pub fn cursor(&self, sink: &str) -> Option<u64> {
        self.cursors.get(sink)
    }

    /// Takes note that a sink has acknowledged every record up to `acked`. It is written with the next batch, or in a quiet
    /// moment; until then a crash forgets it, and the sink gets those records again.
    pub fn note_cursor(&mut self, sink: &str, acked: u64) {
        self.cursors.note(sink, acked.min(self.last_seq()));
    }

    /// Writes the cursors now, if there is anything to write.
    ///
    /// # Errors
    /// [`JournalError::Broken`] after a failure; otherwise whatever the disk does.
    pub fn save_cursors(&mut self) -> Result<(), JournalError> {
        if self.health == Health::Broken {
            return Err(JournalError::Broken);
        }
        if self.cursors.is_saved() {
            return Ok(());
        }
        let written = store::run(&self.connection, "BEGIN IMMEDIATE")
            .and_then(|()| self.cursors.write(&self.connection))
            .and_then(|()| store::run(&self.connection, "COMMIT"));
        written.map_err(|error| self.fail(error))?;
        self.cursors.saved();
        Ok(())
    }
}

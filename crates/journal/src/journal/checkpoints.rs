//! The tree over the records, and the checkpoints of it that the journal keeps.

use pursekeeper_core::Checkpoint;

use super::{Health, SqliteJournal};
use crate::JournalError;
use crate::tree::rows::put_checkpoint;

impl SqliteJournal {
    /// How many records are durable, and the root of the tree over them: what the audit key signs. It costs a few dozen
    /// hashes and reads nothing.
    ///
    /// # Errors
    /// None that a sound process can meet.
    pub fn tree(&self) -> Result<Checkpoint, JournalError> {
        let frontier = &self.state.frontier;
        Ok(Checkpoint { journal: self.id, size: frontier.size(), root: frontier.root()? })
    }

    /// Keeps a signed checkpoint of the first `size` records durably, unless there is one of that size. At most
    /// [`crate::CHECKPOINTS_MAX`] are kept; of those of long ago, every second one goes when there are too many.
    ///
    /// # Errors
    /// [`JournalError::Reserved`] while the only room left is for stops, and whatever the disk does; then it is not kept.
    pub fn keep_checkpoint(&mut self, size: u64, note: &str) -> Result<(), JournalError> {
        if self.health == Health::Broken {
            return Err(JournalError::Broken);
        }
        self.room()?;
        put_checkpoint(&self.connection, size, note).map_err(|error| self.fail(error))?;
        self.since_checkpoint = self.since_checkpoint.saturating_add(1);
        Ok(())
    }
}

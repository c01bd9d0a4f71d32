//! What is done between batches so that the next one can be recorded.

use super::{Health, SqliteJournal};
use crate::{JournalError, file, store};

/// Records that make a checkpoint in a quiet moment worth its price.
const CHECKPOINT_RECORDS_MIN: u64 = 64;

impl SqliteJournal {
    /// Whether a decision could be recorded now. It costs nothing while writes succeed; after a failure it tries a
    /// small durable write.
    ///
    /// # Errors
    /// Why nothing can be written.
    pub fn writable_probe(&mut self) -> Result<(), JournalError> {
        match self.health {
            Health::Sound => Ok(()),
            Health::Broken => Err(JournalError::Broken),
            Health::Stuck => {
                // What is in the database already need not stay in the log: then the log begins anew, in the space it has.
                match self.checkpoint() {
                    Ok(()) | Err(JournalError::Full(_) | JournalError::Busy(_)) => {}
                    Err(error) => return Err(error),
                }
                self.log.room()?;
                self.reserve.refill();
                match store::probe(&self.connection) {
                    Ok(()) if !self.reserve.is_whole() => Err(JournalError::Reserved),
                    Ok(()) => {
                        self.health = Health::Sound;
                        Ok(())
                    }
                    Err(error) => Err(self.fail(error)),
                }
            }
        }
    }

    /// Moves what it can from the write-ahead log into the database: upkeep for a quiet moment.
    ///
    /// # Errors
    /// [`JournalError::Broken`] after a failure; otherwise whatever the disk does. A fatal one breaks the journal.
    pub fn checkpoint(&mut self) -> Result<(), JournalError> {
        if self.health == Health::Broken {
            return Err(JournalError::Broken);
        }
        self.since_checkpoint = 0;
        let used = file::checkpoint(&self.connection).map_err(|error| self.fail(error))?;
        self.log.note(used);
        if self.health == Health::Sound && self.log.room().is_err() {
            self.health = Health::Stuck;
        }
        Ok(())
    }

    /// Whether the room that is kept for stops is there, and the log short enough: otherwise nothing else is recorded.
    ///
    /// # Errors
    /// [`JournalError::Reserved`] or [`JournalError::LogFull`] while it is not.
    pub fn room(&self) -> Result<(), JournalError> {
        if self.reserve.is_whole() { self.log.room() } else { Err(JournalError::Reserved) }
    }

    /// What is worth doing in a quiet moment: a checkpoint, once there is something to move.
    ///
    /// # Errors
    /// See [`SqliteJournal::checkpoint`].
    pub fn upkeep(&mut self) -> Result<(), JournalError> {
        match self.health {
            Health::Sound => {
                self.save_cursors()?;
                if self.since_checkpoint >= CHECKPOINT_RECORDS_MIN { self.checkpoint() } else { Ok(()) }
            }
            Health::Stuck | Health::Broken => Ok(()),
        }
    }
}

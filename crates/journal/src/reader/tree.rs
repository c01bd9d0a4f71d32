//! The tree over the records, read from beside the writer.

use pursekeeper_core::{Checkpoint, Digest};
use rusqlite::Connection;

use super::Reader;
use crate::store::run;
use crate::tree::rows::newest_checkpoint;
use crate::tree::{
    ConsistencyProof, InclusionProof, STORED_LEVEL_MIN, prove_consistency, prove_inclusion, root_at,
};
use crate::{CheckpointFault, JournalError};

impl Reader {
    /// The root of the tree over the first `size` records.
    ///
    /// # Errors
    /// [`JournalError::NoRecord`] when there are not that many, and whatever the disk does.
    pub fn tree_root(&self, size: u64) -> Result<Digest, JournalError> {
        self.at_once(size, |connection| root_at(connection, size))
    }

    /// Proves that record `seq` is among the first `size`.
    ///
    /// # Errors
    /// [`JournalError::NoRecord`] when it is not, or there are not that many, and whatever the disk does.
    pub fn prove_inclusion(&self, seq: u64, size: u64) -> Result<InclusionProof, JournalError> {
        let index = seq.checked_sub(1).filter(|index| *index < size);
        let index = index.ok_or(JournalError::NoRecord { asked: seq, records: size })?;
        self.at_once(size, |connection| prove_inclusion(connection, (index, size), STORED_LEVEL_MIN))
    }

    /// Proves that the first `second` records begin with the first `first`.
    ///
    /// # Errors
    /// [`JournalError::NoRecord`] when there are not that many, or `first` is 0 or larger than `second`, and whatever the
    /// disk does.
    pub fn prove_consistency(&self, first: u64, second: u64) -> Result<ConsistencyProof, JournalError> {
        if first == 0 || first > second {
            return Err(JournalError::NoRecord { asked: first, records: second });
        }
        self.at_once(second, |connection| prove_consistency(connection, (first, second), STORED_LEVEL_MIN))
    }

    /// The newest checkpoint that the journal keeps: its size and its signed note.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn newest_checkpoint(&self) -> Result<Option<(u64, String)>, JournalError> {
        newest_checkpoint(&self.connection)
    }

    /// Whether the records are those of a checkpoint and, perhaps, more. It reads a few nodes of the tree and at most a
    /// thousand records, so it can be asked at every start; [`Reader::verify_against`] computes every node again.
    ///
    /// # Errors
    /// Why they are not, inside; otherwise whatever the disk does.
    pub fn extends(&self, checkpoint: &Checkpoint) -> Result<Result<(), CheckpointFault>, JournalError> {
        let Checkpoint { journal, size, root } = *checkpoint;
        if journal != self.meta.id {
            return Ok(Err(CheckpointFault::OtherJournal));
        }
        let records = self.last_seq()?;
        if size > records {
            return Ok(Err(CheckpointFault::Missing { records, size }));
        }
        if self.tree_root(size)? != root {
            return Ok(Err(CheckpointFault::Rewritten { after: 0, size }));
        }
        Ok(Ok(()))
    }

    /// Reads one state of the journal, which must have `size` records.
    fn at_once<T>(
        &self,
        size: u64,
        read: impl FnOnce(&Connection) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        run(&self.connection, "BEGIN")?;
        let found = self.last_seq().and_then(|records| {
            if size > records {
                return Err(JournalError::NoRecord { asked: size, records });
            }
            read(&self.connection)
        });
        run(&self.connection, "ROLLBACK")?;
        found
    }
}

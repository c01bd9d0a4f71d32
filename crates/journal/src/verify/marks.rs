//! The tree over the records, computed again, and the checkpoints it is held against.

use pursekeeper_core::{Checkpoint, Digest, JournalId};
use rusqlite::Connection;

use super::tables::wrong;
use super::{CheckpointFault, GivenCheckpoint, Scrutiny, VerifyError};
use crate::store::unsigned;
use crate::tree::rows::{each_checkpoint, find_node};
use crate::tree::{Frontier, STORED_LEVEL_MIN, checkpoint_in};

/// A checkpoint that is still ahead.
struct Mark {
    checkpoint: Checkpoint,
    /// What messages call it.
    name: String,
}

/// The tree as far as the records have been read, and what it must agree with. It grows with the number of checkpoints,
/// which is bounded, and not with that of records.
pub(super) struct Marks<'c> {
    connection: &'c Connection,
    frontier: Frontier,
    /// The smallest last.
    ahead: Vec<Mark>,
    /// The size of the last checkpoint that agreed.
    agreed: u64,
    checkpoints: u64,
    nodes: u64,
}

impl<'c> Marks<'c> {
    /// Reads every checkpoint and, with a key, its signature.
    pub(super) fn read(
        connection: &'c Connection,
        id: JournalId,
        scrutiny: &Scrutiny<'_>,
    ) -> Result<Self, VerifyError> {
        let mut notes = Vec::new();
        each_checkpoint(connection, |size, note| {
            notes.push((format!("the journal's checkpoint of {size} records"), Some(size), note));
        })?;
        for GivenCheckpoint { name, note } in scrutiny.checkpoints {
            notes.push((name.clone(), None, note.clone()));
        }
        let mut ahead = Vec::with_capacity(notes.len());
        for (name, size, note) in notes {
            let refused = |fault| VerifyError::Checkpoint { name: name.clone(), fault };
            let found = scrutiny.key.map_or_else(|| checkpoint_in(&note), |key| key.open(&note));
            let checkpoint = found.map_err(|fault| refused(CheckpointFault::Note(fault)))?;
            if checkpoint.journal != id {
                return Err(refused(CheckpointFault::OtherJournal));
            }
            if size.is_some_and(|size| size != checkpoint.size) {
                return Err(refused(CheckpointFault::OtherSize(checkpoint.size)));
            }
            ahead.push(Mark { checkpoint, name });
        }
        ahead.sort_by_key(|mark| std::cmp::Reverse(mark.checkpoint.size));
        let mut marks =
            Self { connection, frontier: Frontier::default(), ahead, agreed: 0, checkpoints: 0, nodes: 0 };
        marks.agree()?;
        Ok(marks)
    }

    /// Begins at a tree that was computed earlier. Nothing can be said about what is before it.
    pub(super) fn begin_at(&mut self, frontier: Frontier) -> Result<(), VerifyError> {
        let size = frontier.size();
        let levels = u32::from(STORED_LEVEL_MIN)..u64::BITS;
        self.nodes = levels.filter_map(|level| size.checked_shr(level)).fold(0, u64::saturating_add);
        self.ahead.retain(|mark| mark.checkpoint.size >= size);
        (self.frontier, self.agreed) = (frontier, size);
        self.agree()
    }

    /// Adds a record's leaf. The subtrees it completes and the checkpoints it ends must agree.
    pub(super) fn push(&mut self, leaf: Digest) -> Result<(), VerifyError> {
        let seq = self.frontier.size().saturating_add(1);
        let (connection, mut wrong_node) = (self.connection, None);
        let mut nodes = 0u64;
        self.frontier.push(leaf, STORED_LEVEL_MIN, |node| {
            nodes = nodes.saturating_add(1);
            if find_node(connection, node.level, node.n)? != Some(node.hash) {
                wrong_node.get_or_insert(node);
            }
            Ok(())
        })?;
        self.nodes = self.nodes.saturating_add(nodes);
        if let Some(node) = wrong_node {
            let what = format!("node {} of level {} is missing or not of these records", node.n, node.level);
            return Err(wrong("node", Some(seq), what));
        }
        self.agree()
    }

    /// The tree as far as the records have been read.
    pub(super) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Compares the root with every checkpoint of this size.
    fn agree(&mut self) -> Result<(), VerifyError> {
        let size = self.frontier.size();
        while self.ahead.last().is_some_and(|mark| mark.checkpoint.size == size) {
            let Some(Mark { checkpoint, name }) = self.ahead.pop() else { break };
            if self.frontier.root()? != checkpoint.root {
                let fault = CheckpointFault::Rewritten { after: self.agreed, size };
                return Err(VerifyError::Checkpoint { name, fault });
            }
            (self.agreed, self.checkpoints) = (size, self.checkpoints.saturating_add(1));
        }
        Ok(())
    }

    /// The root of the whole tree and the number of checkpoints that agree, if nothing is left to agree with.
    pub(super) fn finish(mut self) -> Result<(Digest, u64), VerifyError> {
        if let Some(Mark { checkpoint, name }) = self.ahead.pop() {
            let (records, size) = (self.frontier.size(), checkpoint.size);
            return Err(VerifyError::Checkpoint { name, fault: CheckpointFault::Missing { records, size } });
        }
        let sql = "SELECT count(*) FROM node";
        let rows: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        if unsigned(rows)? != self.nodes {
            let what = format!("{rows} rows for {} subtrees", self.nodes);
            return Err(wrong("node", None, what));
        }
        Ok((self.frontier.root()?, self.checkpoints))
    }
}

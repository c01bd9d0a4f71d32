use std::cell::RefCell;

use pursekeeper_core::Digest;
use rusqlite::Connection;
use tlog_tiles::tlog::{Error, Hash, HashReader, split_stored_hash_index, tree_hash};

use super::rows::find_node;
use super::{Frontier, STORED_LEVEL_MIN};
use crate::JournalError;
use crate::hash::leaf_hash;
use crate::retention::has_left;
use crate::store::{integer, unsigned};

/// Where nodes and leaves are read. What was archived may stand beside the database.
pub(crate) trait Source {
    /// The root of a complete subtree of 2^`level` leaves that was put down.
    fn node(&self, level: u8, n: u64) -> Result<Option<Digest>, JournalError>;

    /// Tells of `count` leaves from `first` on, in order, and of fewer only if there are no more.
    fn leaves(
        &self,
        first: u64,
        count: u64,
        tell: &mut dyn FnMut(Digest) -> Result<(), JournalError>,
    ) -> Result<(), JournalError>;
}

impl Source for Connection {
    fn node(&self, level: u8, n: u64) -> Result<Option<Digest>, JournalError> {
        find_node(self, level, n)
    }

    fn leaves(
        &self,
        first: u64,
        count: u64,
        tell: &mut dyn FnMut(Digest) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let sql = "SELECT seq, body FROM record WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.prepare_cached(sql)?;
        let mut rows = statement.query([integer(first)?, integer(count)?])?;
        let mut seq = first;
        while let Some(row) = rows.next()? {
            seq = seq.saturating_add(1);
            if unsigned(row.get(0)?)? != seq {
                let damaged = || JournalError::damaged(format!("record {seq} is missing"));
                return Err(if has_left(self, seq)? { JournalError::Archived { seq } } else { damaged() });
            }
            tell(leaf_hash(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?))?;
        }
        Ok(())
    }
}

/// A tree that is read node by node, as proofs need it.
pub(super) struct Hashes<'s, S: ?Sized> {
    source: &'s S,
    level_min: u8,
    /// Why a node could not be read: the arithmetic of trees has errors of its own only.
    failed: RefCell<Option<JournalError>>,
}

impl<'s, S: Source + ?Sized> Hashes<'s, S> {
    /// The tree in `source`, which puts down subtrees from `level_min` on.
    pub(super) fn new(source: &'s S, level_min: u8) -> Self {
        Self { source, level_min, failed: RefCell::default() }
    }

    /// What went wrong, if the arithmetic says that something did.
    pub(super) fn error(&self, error: Error) -> JournalError {
        let failed = self.failed.take();
        failed.unwrap_or_else(|| JournalError::damaged(format!("its tree does not add up: {error}")))
    }

    /// The root of the tree of `size` leaves.
    pub(super) fn root(&self, size: u64) -> Result<Digest, JournalError> {
        tree_hash(size, self).map(|Hash(hash)| Digest(hash)).map_err(|error| self.error(error))
    }

    /// The root of a complete subtree.
    pub(super) fn node(&self, level: u8, n: u64) -> Result<Digest, JournalError> {
        if level >= self.level_min {
            let absent =
                || JournalError::damaged(format!("node {n} of level {level} of its tree is missing"));
            return self.source.node(level, n)?.ok_or_else(absent);
        }
        let damaged =
            || JournalError::damaged(format!("records under node {n} of level {level} are missing"));
        let count = 1u64.checked_shl(u32::from(level)).ok_or_else(damaged)?;
        let mut subtree = Frontier::default();
        self.source.leaves(n.checked_mul(count).ok_or_else(damaged)?, count, &mut |leaf| {
            subtree.push(leaf, u8::MAX, |_| Ok(()))
        })?;
        if subtree.size() == count { subtree.root() } else { Err(damaged()) }
    }
}

impl<S: Source + ?Sized> HashReader for Hashes<'_, S> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let hash = |index: &u64| {
            let (level, n) = split_stored_hash_index(*index);
            let node = self.node(level, n);
            node.map(|Digest(hash)| Hash(hash)).map_err(|error| {
                self.failed.replace(Some(error));
                Error::IndexesNotInTree
            })
        };
        indexes.iter().map(hash).collect()
    }
}

/// The root of the tree over the first `size` records.
pub(crate) fn root_at(source: &(impl Source + ?Sized), size: u64) -> Result<Digest, JournalError> {
    Hashes::new(source, STORED_LEVEL_MIN).root(size)
}

/// The edge of the tree over the first `size` records, from what was put down and the last leaves.
pub(crate) fn load_frontier(
    source: &(impl Source + ?Sized),
    size: u64,
    level_min: u8,
) -> Result<Frontier, JournalError> {
    let tree = Hashes::new(source, level_min);
    let mut edge = Vec::new();
    let mut stored = 0u64;
    for level in (level_min..64).rev() {
        let n = size.checked_shr(u32::from(level)).unwrap_or(0);
        if n & 1 == 1 {
            edge.push(tree.node(level, n.saturating_sub(1))?);
            stored |= 1u64.checked_shl(u32::from(level)).unwrap_or(0);
        }
    }
    let broken = || JournalError::damaged("the last records of its tree are missing");
    let mut frontier = Frontier::of(stored, edge).ok_or_else(broken)?;
    source
        .leaves(stored, size.saturating_sub(stored), &mut |leaf| frontier.push(leaf, u8::MAX, |_| Ok(())))?;
    if frontier.size() == size { Ok(frontier) } else { Err(broken()) }
}

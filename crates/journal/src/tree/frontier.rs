use pursekeeper_core::Digest;
use tlog_tiles::tlog::{
    Error, Hash, HashReader, split_stored_hash_index, stored_hashes_for_record_hash, tree_hash,
};

use crate::JournalError;

/// The right edge of a tree: the roots of the largest complete subtrees it consists of, the largest first. As many as the
/// size has bits set, so never more than 64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    edge: Vec<Digest>,
}

/// The root of a complete subtree of 2^`level` leaves, the `n`-th of its level from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) level: u8,
    pub(crate) n: u64,
    pub(crate) hash: Digest,
}

impl Frontier {
    /// The edge of a tree of `size` leaves, which has one subtree for each bit set.
    #[must_use]
    pub fn of(size: u64, edge: Vec<Digest>) -> Option<Self> {
        (u64::try_from(edge.len()) == Ok(u64::from(size.count_ones()))).then_some(Self { size, edge })
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf, and tells of the subtrees it completes that have at least 2^`level_min` leaves.
    pub(crate) fn push(
        &mut self,
        leaf: Digest,
        level_min: u8,
        mut tell: impl FnMut(Node) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let size = self.size.checked_add(1).ok_or(JournalError::TotalTooLarge)?;
        let hashes = stored_hashes_for_record_hash(self.size, Hash(leaf.0), self).map_err(impossible)?;
        for (level, hash) in (0u8..).zip(&hashes).skip(usize::from(level_min)) {
            let n = self.size.checked_shr(u32::from(level)).unwrap_or(0);
            tell(Node { level, n, hash: Digest(hash.0) })?;
        }
        // The last hash is of the subtree that swallows those it was computed from.
        let swallowed = hashes.len().saturating_sub(1);
        self.edge.truncate(self.edge.len().saturating_sub(swallowed));
        self.edge.extend(hashes.last().map(|hash| Digest(hash.0)));
        self.size = size;
        Ok(())
    }

    /// The tree with one leaf more.
    ///
    /// # Errors
    /// None that a tree of records can meet.
    pub fn with(mut self, leaf: Digest) -> Result<Self, JournalError> {
        self.push(leaf, u8::MAX, |_| Ok(()))?;
        Ok(self)
    }

    /// The roots of the subtrees, the largest first.
    #[must_use]
    pub fn subtrees(&self) -> &[Digest] {
        &self.edge
    }

    /// As one column holds it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.edge.iter().flat_map(|root| root.0).collect()
    }

    /// As one column held it.
    pub(crate) fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (edge, rest) = bytes.as_chunks::<32>();
        if rest.is_empty() { Self::of(size, edge.iter().copied().map(Digest).collect()) } else { None }
    }

    /// The root of the tree.
    ///
    /// # Errors
    /// None that a tree of records can meet.
    pub fn root(&self) -> Result<Digest, JournalError> {
        tree_hash(self.size, self).map(|Hash(hash)| Digest(hash)).map_err(impossible)
    }

    /// The complete subtree at a level that is on the edge, if it is this one.
    fn at(&self, level: u8, n: u64) -> Option<Hash> {
        let own = self.size.checked_shr(u32::from(level))?;
        let above = own.checked_shr(1)?.count_ones();
        let is_own = own & 1 == 1 && own.checked_sub(1) == Some(n);
        self.edge.get(usize::try_from(above).ok()?).filter(|_| is_own).map(|hash| Hash(hash.0))
    }
}

impl HashReader for Frontier {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let hash = |index: &u64| {
            let (level, n) = split_stored_hash_index(*index);
            self.at(level, n).ok_or(Error::IndexesNotInTree)
        };
        indexes.iter().map(hash).collect()
    }
}

/// The edge has every hash that the arithmetic of a tree can ask it for.
fn impossible(error: Error) -> JournalError {
    JournalError::damaged(format!("its tree does not add up: {error}"))
}

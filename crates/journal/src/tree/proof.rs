use pursekeeper_core::Digest;
use tlog_tiles::tlog::{Hash, check_record, check_tree, prove_record, prove_tree};

use super::read::{Hashes, Source};
use crate::JournalError;

/// That a record is in a tree: the audit path of RFC 6962 §2.1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The record's place in the tree, from 0.
    pub leaf_index: u64,
    /// How many records the tree has.
    pub tree_size: u64,
    /// The record's leaf hash.
    pub leaf: Digest,
    /// The root of the tree.
    pub root: Digest,
    /// The path, from the leaf up.
    pub hashes: Vec<Digest>,
}

/// That one tree begins with another: the consistency proof of RFC 6962 §2.1.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// How many records the smaller tree has.
    pub first_size: u64,
    /// Its root.
    pub first_root: Digest,
    /// How many records the larger tree has.
    pub second_size: u64,
    /// Its root.
    pub second_root: Digest,
    /// The nodes.
    pub hashes: Vec<Digest>,
}

/// Proves that leaf `index` is in the tree of `size` leaves. Proofs that do not hold are not handed out.
pub(crate) fn prove_inclusion(
    source: &(impl Source + ?Sized),
    (index, size): (u64, u64),
    level_min: u8,
) -> Result<InclusionProof, JournalError> {
    let tree = Hashes::new(source, level_min);
    let (leaf, root) = (tree.node(0, index)?, tree.root(size)?);
    let path = prove_record(size, index, &tree).map_err(|error| tree.error(error))?;
    let checked = check_record(&path, size, Hash(root.0), index, Hash(leaf.0));
    checked.map_err(|error| tree.error(error))?;
    Ok(InclusionProof { leaf_index: index, tree_size: size, leaf, root, hashes: digests(path) })
}

/// Proves that the tree of `second` leaves begins with the tree of `first` leaves.
pub(crate) fn prove_consistency(
    source: &(impl Source + ?Sized),
    (first, second): (u64, u64),
    level_min: u8,
) -> Result<ConsistencyProof, JournalError> {
    let tree = Hashes::new(source, level_min);
    let (first_root, second_root) = (tree.root(first)?, tree.root(second)?);
    let path = prove_tree(second, first, &tree).map_err(|error| tree.error(error))?;
    let checked = check_tree(&path, second, Hash(second_root.0), first, Hash(first_root.0));
    checked.map_err(|error| tree.error(error))?;
    let hashes = digests(path);
    Ok(ConsistencyProof { first_size: first, first_root, second_size: second, second_root, hashes })
}

fn digests(hashes: Vec<Hash>) -> Vec<Digest> {
    hashes.into_iter().map(|Hash(hash)| Digest(hash)).collect()
}

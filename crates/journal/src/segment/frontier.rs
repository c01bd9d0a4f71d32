//! The tree over the records (RFC 6962 §2.1), as far as it is needed to go on: the roots of its complete subtrees.

use pursekeeper_core::Digest;
use sha2::{Digest as _, Sha256};

const NODE: [u8; 1] = [0x01];
/// Complete subtrees of a tree over all records that can be numbered.
const SUBTREES_MAX: usize = 64;

/// The tree over the first `size` records: its complete subtrees, the largest first. One record more, and the root, follow
/// from them alone.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Digest>,
}

impl Frontier {
    /// The tree over `size` records with these subtrees, if there can be such a one.
    #[must_use]
    pub fn new(size: u64, subtrees: Vec<Digest>) -> Option<Self> {
        let expected = usize::try_from(size.count_ones()).unwrap_or(SUBTREES_MAX);
        (subtrees.len() == expected).then_some(Self { size, subtrees })
    }

    /// How many records it is over.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    #[must_use]
    pub fn subtrees(&self) -> &[Digest] {
        &self.subtrees
    }

    /// The tree with one record more.
    #[must_use]
    pub fn with(mut self, leaf: Digest) -> Self {
        // Each complete subtree as large as the new one becomes one with it.
        let mut root = leaf;
        for _ in 0..self.size.trailing_ones() {
            root = self.subtrees.pop().map_or(root, |left| node(left, root));
        }
        self.subtrees.push(root);
        self.size = self.size.saturating_add(1);
        self
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        let folded = self.subtrees.iter().rev().copied().reduce(|right, left| node(left, right));
        folded.unwrap_or_else(|| Digest(Sha256::digest([]).into()))
    }

    /// As one column holds it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.subtrees.iter().flat_map(|root| root.0).collect()
    }

    /// As one column held it.
    pub(crate) fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (subtrees, rest) = bytes.as_chunks::<32>();
        rest.is_empty()
            .then(|| subtrees.iter().copied().map(Digest).collect())
            .and_then(|all| Self::new(size, all))
    }
}

/// RFC 6962 §2.1.
fn node(left: Digest, right: Digest) -> Digest {
    Digest(Sha256::new().chain_update(NODE).chain_update(left.0).chain_update(right.0).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    /// The definition, word for word.
    fn root_of(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest(Sha256::digest([]).into()),
            [leaf] => *leaf,
            _ => {
                let half = leaves.len().next_power_of_two().div_euclid(2);
                let (left, right) = leaves.split_at(half);
                node(root_of(left), root_of(right))
            }
        }
    }

    #[test]
    fn every_root_is_that_of_the_definition() {
        let leaves: Vec<Digest> = (0u8..130).map(|n| leaf_hash(&[n])).collect();
        let mut frontier = Frontier::default();
        for (size, leaf) in leaves.iter().enumerate() {
            assert_eq!(frontier.root(), root_of(&leaves[..size]), "{size}");
            assert_eq!(Frontier::from_bytes(size as u64, &frontier.to_bytes()).as_ref(), Some(&frontier));
            assert_eq!(Frontier::new(u64::MAX - size as u64, frontier.subtrees.clone()).is_some(), false);
            frontier = frontier.with(*leaf);
        }
    }

    #[test]
    fn the_roots_are_those_that_others_compute() {
        // The reference vectors of Certificate Transparency (merkletree of the RFC 6962 authors), as published in Trillian.
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let mut frontier = Frontier::default();
        for leaf in leaves {
            frontier = frontier.with(leaf_hash(&hex::decode(leaf).unwrap()));
        }
        let root = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
        assert_eq!(frontier.root().to_string(), root);
    }
}

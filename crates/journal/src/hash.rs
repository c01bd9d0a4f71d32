//! The two hashes over records. Final: an audit tree built over the leaves needs no migration.
//!
//! * leaf = SHA-256(0x00 ‖ record), the leaf hash of RFC 6962 §2.1, so that a Merkle tree can be put over the journal.
//! * chainₙ = SHA-256(0x02 ‖ chainₙ₋₁ ‖ leafₙ); chain₀ = SHA-256(`pursekeeper.journal.v1` ‖ journal id). RFC 6962 uses
//!   the prefixes 0x00 and 0x01 for leaves and nodes, so 0x02 makes a link of the chain neither.

use pursekeeper_core::{Digest, JournalId};
use sha2::{Digest as _, Sha256};

const LEAF: [u8; 1] = [0x00];
const LINK: [u8; 1] = [0x02];
const GENESIS: &[u8] = b"pursekeeper.journal.v1";

/// The leaf hash of a record (RFC 6962 §2.1).
#[must_use]
pub fn leaf_hash(body: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update(LEAF).chain_update(body).finalize().into())
}

/// What the chain of a journal begins with, before its first record.
#[must_use]
pub fn chain_start(id: JournalId) -> Digest {
    Digest(Sha256::new().chain_update(GENESIS).chain_update(id.0).finalize().into())
}

/// The chain after a record, from the chain before it and the record's leaf.
#[must_use]
pub fn chain_next(before: Digest, leaf: Digest) -> Digest {
    Digest(Sha256::new().chain_update(LINK).chain_update(before.0).chain_update(leaf.0).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_pinned() {
        // RFC 6962: the hash of an empty leaf is SHA-256(0x00).
        let empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(leaf_hash(b"").to_string(), empty);
        let start = chain_start(JournalId([0xab; 16]));
        assert_eq!(start.to_string(), PINNED_START);
        assert_eq!(chain_next(start, leaf_hash(b"")).to_string(), PINNED_NEXT);
    }

    const PINNED_START: &str = "bf27833ad1e10d409649b3a774cdb5c5dee0ec2bfe6dc8b4ed9843f2ae032e7e";
    const PINNED_NEXT: &str = "8b48ea7e64261d9f3824628f1c78732d5d9936489aaba53371ddeff5e904b1ec";
}

//! The Merkle tree over the records (RFC 6962 §2.1): leaf `n`, from 0, is record `n` + 1.
//!
//! The writer keeps only the right edge, the [`Frontier`], and puts down complete subtrees from [`STORED_LEVEL_MIN`] on;
//! any lower node is computed again from at most 512 leaves. How trees are put together, proven and checked is
//! `tlog_tiles`'.

mod frontier;
mod note;
mod proof;
mod read;
pub(crate) mod rows;
#[cfg(test)]
mod tests;

pub use frontier::Frontier;
pub(crate) use frontier::Node;
pub use note::{AuditVerifier, AuditVerifierError, NoteFault, checkpoint_in};
pub use proof::{ConsistencyProof, InclusionProof};
pub(crate) use proof::{prove_consistency, prove_inclusion};
pub(crate) use read::{load_frontier, root_at};
pub use rows::CHECKPOINTS_MAX;

/// Subtrees of 2¹⁰ records and more are kept. One row for every thousand records makes any proof cheap, and starting too.
pub(crate) const STORED_LEVEL_MIN: u8 = 10;

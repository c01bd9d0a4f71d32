//! What a network says about our signatures and balances, read from Ethereum JSON-RPC nodes.
//!
//! A signature binds money until it is known what became of it. Nodes are run by others: they lag, break, and may lie.
//! So nothing is believed that was not read from the state at a final block, that fewer nodes than the quorum say, or
//! that any node contradicts; whatever cannot be read leaves the money bound.
//!
//! Reading order: [`Question`] and [`Finding`], [`Watcher`] asks every node of a network, `look` is what one node is
//! asked and checked for, `trace` (EIP-3009) and `permit2` find out what used a signature up, `quorum` makes one finding of
//! what all of them saw. `rpc` and `wire` are the only places that
//! see what a node sent.

mod abi;
mod error;
mod look;
mod permit2;
mod question;
mod quorum;
mod rpc;
mod state;
mod timeline;
mod trace;
mod watcher;
mod wire;

#[cfg(test)]
mod tests;

pub use error::{ChainError, NodeError, NodeFault};
pub use question::{Answer, Authorization, Balances, Block, Finding, Question, Round};
pub use rpc::NodeName;
pub use watcher::{Finality, Nodes, Watcher};

/// Most questions in one round, and most balances in one reading.
pub const QUESTIONS_MAX: usize = 64;

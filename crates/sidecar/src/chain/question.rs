use pursekeeper_core::x402::Scheme;
use pursekeeper_core::{Amount, EvmAddress, UnixSeconds};

use super::error::{ChainError, NodeError};
use super::rpc::NodeName;

/// A signature whose fate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the asker knows the signature by; only handed back.
    pub hold: u64,
    /// The token contract.
    pub asset: EvmAddress,
    /// Who is paid.
    pub payee: EvmAddress,
    /// What was signed for, in atomic units.
    pub amount: Amount,
    /// When it was signed, by our clock.
    pub signed_at: UnixSeconds,
    /// From when on nobody doubts that it is too late: the end of its validity and some slack for clocks.
    pub dead_at: UnixSeconds,
    /// How it was signed.
    pub authorization: Authorization,
}

/// How a payment was authorised, with what tells one authorization from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// EIP-3009 `TransferWithAuthorization`.
    Eip3009 {
        /// Whose signature it is, and who pays.
        authorizer: EvmAddress,
        /// Drawn at random, used once.
        nonce: [u8; 32],
        /// It can be used in blocks later than this.
        valid_after: UnixSeconds,
        /// It can be used in blocks earlier than this.
        valid_before: UnixSeconds,
    },
    /// Permit2 `permitWitnessTransferFrom`, through the x402 contract of the scheme.
    Permit2 {
        /// Whose signature it is, and who pays.
        owner: EvmAddress,
        /// Drawn at random, used once: as a number, one bit in the owner's bitmap.
        nonce: [u8; 32],
        /// It can be used in blocks from this time on.
        valid_after: UnixSeconds,
        /// It can be used in blocks up to this time.
        deadline: UnixSeconds,
        /// Whether it takes the whole amount or at most that.
        scheme: Scheme,
    },
}

/// A block, by everything we need of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// Its time, by whoever made it.
    pub timestamp: UnixSeconds,
}

/// What became of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It was used.
    Settled {
        /// What it cost, in atomic units: never less than was signed for, where the signature fixes the amount.
        amount: Amount,
        /// The transaction that used it; none when it may have been one of several in the block.
        transaction: Option<[u8; 32]>,
        /// The block with that transaction.
        block: u64,
        /// Its hash.
        block_hash: [u8; 32],
    },
    /// It was cancelled on the chain, and can never be used.
    Canceled {
        /// The transaction that cancelled it.
        transaction: [u8; 32],
        /// The block with that transaction.
        block: u64,
        /// Its hash.
        block_hash: [u8; 32],
    },
    /// It was not used in time, and can never be.
    Dead {
        /// The final block whose state says so.
        block: u64,
        /// Its hash.
        block_hash: [u8; 32],
    },
    /// Nothing can be said yet.
    Alive,
}

/// What was found out about one signature.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The [`Question::hold`].
    pub hold: u64,
    /// What became of it and how many nodes say so, or why nothing is believed. An error frees nothing.
    pub result: Result<(Finding, u32), ChainError>,
}

/// What one round of asking brought.
#[derive(Clone, Debug)]
pub struct Round {
    /// One for each question, in the order asked.
    pub answers: Vec<Answer>,
    /// The final block of each node that could be believed.
    pub heads: Vec<(NodeName, Block)>,
    /// Everything that was wrong with a node, even where the others were enough.
    pub faults: Vec<NodeError>,
}

/// What wallets hold.
#[derive(Clone, Debug)]
pub struct Balances {
    /// One for each wallet asked for, in the order asked: the lowest that any node says, in atomic units.
    pub amounts: Vec<Result<Amount, ChainError>>,
    /// The oldest block that any of them was read in.
    pub oldest: Block,
    /// Everything that was wrong with a node, even where the others were enough.
    pub faults: Vec<NodeError>,
}

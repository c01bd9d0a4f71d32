//! One round with one node: is it a node of our network with a believable final block, and what does it show there.

use std::sync::Arc;

use pursekeeper_core::{Amount, EvmAddress, UnixSeconds};
use serde_json::json;
use tracing::warn;

use super::abi::{amount, balance_of};
use super::error::NodeFault;
use super::permit2::{self, Permit};
use super::question::{Authorization, Block, Question};
use super::quorum::Sight;
use super::rpc::{Rpc, all};
use super::state::{call, is_spent, is_used, not_a};
use super::timeline::{Timeline, block};
use super::trace::{self, Wanted};
use super::watcher::Finality;
use super::wire::{Quantity, RawBlock};

/// How far a block may be ahead of our clock, in seconds.
const AHEAD_SECS_MAX: u64 = 300;
/// How long before it was signed, by our clock, a signature may have been used, in seconds.
const BEFORE_SIGNED_SECS: u64 = 600;
/// How long after its end a cancellation of a signature is searched for, in seconds: unlike a payment, it may be late.
const LATE_CANCEL_SECS: u64 = 3600;

/// No block has this hash.
const NO_BLOCK: Block = Block { number: 0, hash: [0x5a; 32], timestamp: UnixSeconds(0) };

/// What every node of a network is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) chain_id: u64,
    pub(super) finality: Finality,
    pub(super) log_blocks_max: u64,
}

/// What is remembered of one node between rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    highest: Option<Block>,
    /// That it tells blocks apart by their hashes.
    knows_hashes: bool,
    timeline: Timeline,
}

/// What one node showed in one round.
pub(super) struct Seen {
    pub(super) head: Block,
    /// One for each question.
    pub(super) sights: Vec<Result<Sight, NodeFault>>,
}

/// Where to look for what used up an authorization.
#[derive(Debug)]
enum Trail {
    /// In the token's logs of these blocks, both included.
    Logs(Wanted, (u64, u64)),
    /// In the state, which tells the block.
    State(Permit),
}

/// What one node says wallets hold.
pub(super) struct Holdings {
    pub(super) at: Block,
    /// One for each wallet.
    pub(super) amounts: Vec<Result<Amount, NodeFault>>,
}

/// Asks one node about all `questions`, at its final block.
pub(super) async fn look(
    rpc: &Arc<Rpc>,
    rules: Rules,
    (questions, now): (&[Question], UnixSeconds),
    memory: &mut Memory,
) -> Result<Seen, NodeFault> {
    check_chain(rpc, rules.chain_id).await?;
    let head = final_block(rpc, rules.finality).await?;
    memory.accept(head, now)?;
    if !memory.knows_hashes {
        check_hashes(rpc).await?;
        memory.knows_hashes = true;
    }
    let states = questions.iter().map(|question| {
        let (rpc, question) = (Arc::clone(rpc), *question);
        async move { is_over(&rpc, &question, head).await }
    });
    let states = all(states).await;
    // Where to search is found one by one, so that each search starts from what the ones before it learned.
    let mut tasks = Vec::new();
    for (question, used) in questions.iter().zip(states) {
        let trail = match used {
            Ok(true) => trail(rpc, question, head, &mut memory.timeline).await.map(Some),
            Ok(false) => Ok(None),
            Err(fault) => Err(fault),
        };
        let (rpc, question) = (Arc::clone(rpc), *question);
        tasks.push(async move {
            match trail? {
                Some(trail) => explain(&rpc, &question, trail, (head, rules.log_blocks_max)).await,
                None => Ok(unused(&question, head, now)),
            }
        });
    }
    memory.timeline.trim();
    Ok(Seen { head, sights: all(tasks).await })
}

/// Asks one node what wallets hold of assets, at its latest block.
pub(super) async fn holdings(
    rpc: &Arc<Rpc>,
    rules: Rules,
    (wallets, now): (&[(EvmAddress, EvmAddress)], UnixSeconds),
) -> Result<Holdings, NodeFault> {
    check_chain(rpc, rules.chain_id).await?;
    let at = tagged(rpc, "latest").await?;
    not_ahead(at, now)?;
    let amounts = wallets.iter().map(|(asset, wallet)| {
        let (rpc, asset, data) = (Arc::clone(rpc), *asset, balance_of(*wallet));
        async move {
            let word = call(&rpc, asset, &data, at).await?;
            amount(&word).ok_or_else(|| not_a("balance"))
        }
    });
    Ok(Holdings { at, amounts: all(amounts).await })
}

impl Memory {
    /// Takes `head` as this node's final block, if it can follow the ones before it.
    fn accept(&mut self, head: Block, now: UnixSeconds) -> Result<(), NodeFault> {
        not_ahead(head, now)?;
        if let Some(Block { number, hash, .. }) = self.highest {
            if head.number < number {
                return Err(NodeFault::WentBack { now: head.number, before: number });
            }
            if head.number == number && head.hash != hash {
                return Err(NodeFault::Rewritten { number });
            }
        }
        self.highest = Some(head);
        Ok(())
    }
}

async fn check_chain(rpc: &Rpc, expected: u64) -> Result<(), NodeFault> {
    let Quantity(says) = rpc.ask("eth_chainId", json!([])).await?;
    if says == expected { Ok(()) } else { Err(NodeFault::WrongChain { says, expected }) }
}

async fn final_block(rpc: &Rpc, finality: Finality) -> Result<Block, NodeFault> {
    match finality {
        Finality::Finalized => tagged(rpc, "finalized").await,
        Finality::Confirmations(confirmations) => {
            let head = tagged(rpc, "latest").await?.number;
            let number =
                head.checked_sub(confirmations).ok_or(NodeFault::TooShort { head, confirmations })?;
            block(rpc, number).await
        }
    }
}

async fn tagged(rpc: &Rpc, tag: &str) -> Result<Block, NodeFault> {
    rpc.ask::<RawBlock>("eth_getBlockByNumber", json!([tag, false])).await.map(Block::from)
}

fn not_ahead(block: Block, now: UnixSeconds) -> Result<(), NodeFault> {
    let Block { timestamp, .. } = block;
    if timestamp > now.plus(AHEAD_SECS_MAX) {
        return Err(NodeFault::FromTheFuture { timestamp, now });
    }
    Ok(())
}

/// Whether the state at `head` has the authorization as used up, by whatever.
async fn is_over(rpc: &Rpc, question: &Question, head: Block) -> Result<bool, NodeFault> {
    match question.authorization {
        Authorization::Eip3009 { authorizer, nonce, .. } => {
            is_used(rpc, question.asset, (authorizer, nonce), head).await
        }
        Authorization::Permit2 { owner, nonce, .. } => is_spent(rpc, (owner, nonce), head).await,
    }
}

/// Refuses a node that does not look at the hash it is asked for: it would answer for whatever block it is at, and what
/// is unused there may long be used.
async fn check_hashes(rpc: &Rpc) -> Result<(), NodeFault> {
    match call(rpc, EvmAddress::ZERO, &[], NO_BLOCK).await {
        Err(NodeFault::Refused { .. } | NodeFault::Missing { .. }) => Ok(()),
        Ok(_) | Err(NodeFault::NotAToken { .. }) => Err(NodeFault::IgnoresHashes),
        Err(fault) => Err(fault),
    }
}

/// Where to look: EIP-3009 has logs, from before it was signed until it was too late. Permit2 is silent about payments.
async fn trail(
    rpc: &Rpc,
    question: &Question,
    head: Block,
    timeline: &mut Timeline,
) -> Result<Trail, NodeFault> {
    let Question { asset, signed_at, authorization, .. } = *question;
    match authorization {
        Authorization::Eip3009 { authorizer, nonce, valid_after, valid_before } => {
            let wanted = Wanted { asset, authorizer, nonce, valid_after, valid_before };
            let (from, until) = (signed_at.minus(BEFORE_SIGNED_SECS), valid_before.plus(LATE_CANCEL_SECS));
            let first = timeline.first_at(rpc, head, from).await?;
            let last = timeline.first_at(rpc, head, until).await?;
            Ok(Trail::Logs(wanted, (first.unwrap_or(head.number), last.unwrap_or(head.number))))
        }
        Authorization::Permit2 { owner, nonce, valid_after, deadline, scheme } => {
            Ok(Trail::State(Permit { owner, nonce, valid_after, deadline, scheme }))
        }
    }
}

/// By what an authorization was used up. Without a log that shows it, nothing is said.
async fn explain(
    rpc: &Rpc,
    question: &Question,
    trail: Trail,
    (head, log_blocks_max): (Block, u64),
) -> Result<Sight, NodeFault> {
    let sight = match &trail {
        Trail::Logs(wanted, range) => trace::trace(rpc, question, *wanted, (*range, log_blocks_max)).await?,
        Trail::State(permit) => permit2::trace(rpc, question, *permit, head).await?,
    };
    if sight.is_none() {
        warn!(node = %rpc.name(), hold = question.hold, ?trail, "used up, but no log says by what");
    }
    Ok(sight.unwrap_or(Sight::Used { at: head }))
}

/// Too late is later than every clock: the block's, ours, and the end of the signature itself.
///
/// Blocks only get later, so what is unused in a final block this late can never be used. Our own clock is asked too
/// because a node may lie about its block's by [`AHEAD_SECS_MAX`].
fn unused(question: &Question, head: Block, now: UnixSeconds) -> Sight {
    let over_at = match question.authorization {
        Authorization::Eip3009 { valid_before, .. } => valid_before,
        // Permit2 still takes it in a block of that very time.
        Authorization::Permit2 { deadline, .. } => deadline.plus(1),
    };
    let dead_at = question.dead_at.max(over_at);
    if head.timestamp >= dead_at && now >= dead_at {
        Sight::Dead { at: head }
    } else {
        Sight::Unused { at: head }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64, hash: u8, timestamp: u64) -> Block {
        Block { number, hash: [hash; 32], timestamp: UnixSeconds(timestamp) }
    }

    #[test]
    fn a_final_block_never_goes_back() {
        let mut memory = Memory::default();
        let now = UnixSeconds(1000);
        memory.accept(block(5, 5, 900), now).unwrap();
        memory.accept(block(5, 5, 900), now).unwrap();
        assert!(matches!(
            memory.accept(block(4, 4, 900), now),
            Err(NodeFault::WentBack { now: 4, before: 5 })
        ));
        assert!(matches!(memory.accept(block(5, 6, 900), now), Err(NodeFault::Rewritten { number: 5 })));
        assert!(matches!(memory.accept(block(6, 6, 1301), now), Err(NodeFault::FromTheFuture { .. })));
        memory.accept(block(6, 6, 1300), now).unwrap();
    }

    #[test]
    fn too_late_is_later_than_every_clock() {
        let question = |dead_at: u64| Question {
            hold: 1,
            asset: EvmAddress::ZERO,
            payee: EvmAddress::ZERO,
            amount: Amount::ZERO,
            signed_at: UnixSeconds(0),
            dead_at: UnixSeconds(dead_at),
            authorization: Authorization::Eip3009 {
                authorizer: EvmAddress::ZERO,
                nonce: [0; 32],
                valid_after: UnixSeconds(0),
                valid_before: UnixSeconds(100),
            },
        };
        for (dead_at, block_at, now, dead) in [
            (130, 129, 130, false),
            (130, 130, 129, false),
            (130, 130, 130, true),
            (50, 99, 200, false),
            (50, 100, 100, true),
        ] {
            let head = block(1, 1, block_at);
            let sight = unused(&question(dead_at), head, UnixSeconds(now));
            assert_eq!(sight == Sight::Dead { at: head }, dead, "{dead_at} {block_at} {now}");
        }
    }
}

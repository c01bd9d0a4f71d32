//! One round with one node: is it a node of our network with a believable final block, and what does it show there.

use std::sync::Arc;

use pursekeeper_core::{Amount, EvmAddress, UnixSeconds};
use serde_json::{Value, json};
use tracing::warn;

use super::abi::{amount, authorization_state, balance_of, flag};
use super::error::NodeFault;
use super::question::{Authorization, Block, Question};
use super::quorum::Sight;
use super::rpc::{Rpc, all};
use super::timeline::{Timeline, block};
use super::trace::trace;
use super::watcher::Finality;
use super::wire::{Bytes, Quantity, RawBlock, bytes};

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
        async move { is_used(&rpc, &question, head).await }
    });
    let states = all(states).await;
    // Where to search is found one by one, so that each search starts from what the ones before it learned.
    let mut tasks = Vec::new();
    for (question, used) in questions.iter().zip(states) {
        let place = match used {
            Ok(true) => search_range(rpc, question, head, &mut memory.timeline).await.map(Some),
            Ok(false) => Ok(None),
            Err(fault) => Err(fault),
        };
        let (rpc, question) = (Arc::clone(rpc), *question);
        tasks.push(async move {
            match place? {
                Some(range) => explain(&rpc, &question, range, (head, rules.log_blocks_max)).await,
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

/// Whether the state at `head` has the authorization as used up.
async fn is_used(rpc: &Rpc, question: &Question, head: Block) -> Result<bool, NodeFault> {
    let Authorization::Eip3009 { authorizer, nonce, .. } = question.authorization;
    let word = call(rpc, question.asset, &authorization_state(authorizer, nonce), head).await?;
    flag(&word).ok_or_else(|| not_a("flag"))
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

/// What a contract answers in the state at `block`, which is named by its hash (EIP-1898): behind one URL there may be
/// many machines, and one that is behind would answer for another block of that number, or for its latest.
async fn call(rpc: &Rpc, to: EvmAddress, data: &[u8], block: Block) -> Result<Vec<u8>, NodeFault> {
    let at = json!({ "blockHash": bytes(&block.hash), "requireCanonical": true });
    let call = json!({ "to": bytes(&to.to_bytes()), "data": bytes(data) });
    let params: Value = json!([call, at]);
    let Bytes(result) = rpc.ask("eth_call", params).await?;
    // That is what an address without code answers.
    if result.is_empty() { Err(NodeFault::NotAToken { asset: to }) } else { Ok(result) }
}

fn not_a(what: &str) -> NodeFault {
    NodeFault::Malformed { method: "eth_call", reason: format!("the word is not a {what}") }
}

/// The blocks in which an authorization can have been used up: from before it was signed until it was too late.
async fn search_range(
    rpc: &Rpc,
    question: &Question,
    head: Block,
    timeline: &mut Timeline,
) -> Result<(u64, u64), NodeFault> {
    let Authorization::Eip3009 { valid_before, .. } = question.authorization;
    let (from, until) = (question.signed_at.minus(BEFORE_SIGNED_SECS), valid_before.plus(LATE_CANCEL_SECS));
    let first = timeline.first_at(rpc, head, from).await?;
    let last = timeline.first_at(rpc, head, until).await?;
    Ok((first.unwrap_or(head.number), last.unwrap_or(head.number)))
}

/// By what an authorization was used up. Without a log that shows it, nothing is said.
async fn explain(
    rpc: &Rpc,
    question: &Question,
    range: (u64, u64),
    (head, log_blocks_max): (Block, u64),
) -> Result<Sight, NodeFault> {
    let sight = trace(rpc, question, range, log_blocks_max).await?;
    if sight.is_none() {
        let (first, last) = range;
        warn!(node = %rpc.name(), hold = question.hold, first, last, "used up, but no log says by what");
    }
    Ok(sight.unwrap_or(Sight::Used { at: head }))
}

/// Too late is later than every clock: the block's, ours, and the end of the signature itself.
///
/// Blocks only get later, so what is unused in a final block this late can never be used. Our own clock is asked too
/// because a node may lie about its block's by [`AHEAD_SECS_MAX`].
fn unused(question: &Question, head: Block, now: UnixSeconds) -> Sight {
    let Authorization::Eip3009 { valid_before, .. } = question.authorization;
    let dead_at = question.dead_at.max(valid_before);
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

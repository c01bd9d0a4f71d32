//! How one node explains that a Permit2 nonce is spent: by a payment, or by its owner, who voided it.
//!
//! Permit2 tells nobody when a payment spends a nonce, so the state is asked for the block first, and that block for what
//! happened in it. An `exact` payment cost what was signed, whatever is found there. What an `upto` payment cost is read from
//! the token's transfers from the owner to the payee: it is one of those, so it cost at most the largest of them that the
//! signature allows. Without any, nothing is said, and the money stays bound in full.

use std::collections::BTreeMap;

use pursekeeper_core::x402::Scheme;
use pursekeeper_core::{Amount, EvmAddress, PERMIT2, UnixSeconds};
use serde_json::json;
use tracing::warn;

use super::abi::{TRANSFER, UNORDERED_NONCE_INVALIDATION, amount, topic, voids};
use super::error::NodeFault;
use super::question::{Block, Question};
use super::quorum::Sight;
use super::rpc::Rpc;
use super::state::is_spent;
use super::timeline::block;
use super::trace::receipt;
use super::wire::{Fixed, Log, Receipt, bytes};

/// Most blocks asked for in one search: going back in doubled steps and then halving takes 64 each.
const PROBES_MAX: u32 = 130;
/// Most transactions of one block whose receipts are read.
const RECEIPTS_MAX: usize = 16;

/// The signature that is explained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permit {
    pub(super) owner: EvmAddress,
    pub(super) nonce: [u8; 32],
    pub(super) valid_after: UnixSeconds,
    pub(super) deadline: UnixSeconds,
    pub(super) scheme: Scheme,
}

/// What is known about where a nonce was spent.
struct Search {
    /// The earliest block known to have it as spent.
    spent: Block,
    /// The latest block before that which does not, or which cannot be asked and why.
    before: Option<(u64, Result<(), NodeFault>)>,
}

/// A transaction that may have been the payment.
struct Payment {
    transaction: [u8; 32],
    /// The most it can have cost: never more than was signed for.
    cost: Amount,
}

/// What spent the nonce of `permit`, which is spent at the `head`.
pub(super) async fn trace(
    rpc: &Rpc,
    question: &Question,
    permit: Permit,
    head: Block,
) -> Result<Option<Sight>, NodeFault> {
    let Permit { owner, valid_after, deadline, scheme, .. } = permit;
    let block = first_spent(rpc, permit, head).await?;
    let voided_by = voided_by(rpc, permit, block).await?;
    let payments = payments(rpc, question, owner, block).await?;
    // A payment may have been faster than its owner in the same block: then the owner voided nothing.
    if let Some(transaction) = voided_by.filter(|_| payments.is_empty()) {
        return Ok(Some(Sight::Canceled { transaction, block }));
    }
    if !(valid_after..=deadline).contains(&block.timestamp) {
        return Err(NodeFault::Impossible { what: "a signature was used while it was not valid" });
    }
    Ok(settled(question, scheme, &payments).map(|(amount, transaction)| Sight::Settled {
        amount,
        transaction,
        block,
    }))
}

/// The first block whose state has the nonce as spent, as the one of the `head` does.
///
/// It was not in the one before, which is asked for as well: nothing is believed about a block in between. The search goes
/// back from the head in steps that double, because a node need not keep the states of old blocks.
async fn first_spent(rpc: &Rpc, permit: Permit, head: Block) -> Result<Block, NodeFault> {
    let mut search = Search { spent: head, before: None };
    for probe in 0..PROBES_MAX {
        let Some(number) = search.next(probe) else { return search.end() };
        let told = match block(rpc, number).await {
            Ok(block) => {
                let spent = is_spent(rpc, (permit.owner, permit.nonce), block).await;
                spent.map(|spent| spent.then_some(block))
            }
            Err(fault) => Err(fault),
        };
        search.note(number, told)?;
    }
    Err(NodeFault::Impossible { what: "its blocks are in no order" })
}

impl Search {
    /// The block to look at next; nothing when there is none between the two.
    fn next(&self, probe: u32) -> Option<u64> {
        let high = self.spent.number;
        let Some((low, _)) = self.before else {
            let stride = 1u64.checked_shl(probe).unwrap_or(u64::MAX);
            return (high > 0).then(|| high.saturating_sub(stride));
        };
        let width = high.saturating_sub(low);
        (width > 1).then(|| low.saturating_add(width.div_euclid(2)))
    }

    /// Takes what was told of block `number`: itself, if the nonce is spent in it.
    fn note(&mut self, number: u64, told: Result<Option<Block>, NodeFault>) -> Result<(), NodeFault> {
        match told {
            Ok(Some(block)) => self.spent = block,
            Ok(None) => self.before = Some((number, Ok(()))),
            // Too old for this node, or older than Permit2. The search goes on with later blocks, which costs nothing: it
            // only ends beside a block that was answered for.
            Err(fault @ (NodeFault::Refused { .. } | NodeFault::Missing { .. } | NodeFault::NoPermit2)) => {
                self.before = Some((number, Err(fault)));
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    fn end(self) -> Result<Block, NodeFault> {
        let Self { spent, before } = self;
        let Some((_, told)) = before else {
            return Err(NodeFault::Impossible { what: "a nonce was spent before the first block" });
        };
        told.map(|()| spent)
    }
}

/// The transaction in `block` in which the owner voided the nonce, if there is one.
async fn voided_by(rpc: &Rpc, permit: Permit, block: Block) -> Result<Option<[u8; 32]>, NodeFault> {
    let Permit { owner, nonce, .. } = permit;
    let topics = [UNORDERED_NONCE_INVALIDATION, topic(owner)];
    let mut found: Option<Log> = None;
    for log in logs(rpc, PERMIT2, &topics, block).await? {
        let ours = voids(&log.data.0, nonce);
        let ours = ours.ok_or(NodeFault::ForeignLog { what: "an invalidation without a word and a mask" })?;
        // The first one did it.
        if ours && found.as_ref().is_none_or(|earlier| log.log_index.0 < earlier.log_index.0) {
            found = Some(log);
        }
    }
    Ok(found.map(|log| log.transaction_hash.0))
}

/// The transactions in `block` that may have been the payment: in which the token says that it moved something to the payee,
/// but no more than was signed for.
///
/// Anybody can have a token say that it moved nothing from somebody, so that counts for nothing.
async fn payments(
    rpc: &Rpc,
    question: &Question,
    owner: EvmAddress,
    block: Block,
) -> Result<Vec<Payment>, NodeFault> {
    let signed = question.amount;
    let topics = [TRANSFER, topic(owner), topic(question.payee)];
    let mut by_transaction = BTreeMap::new();
    for log in logs(rpc, question.asset, &topics, block).await? {
        let moved = moved(&log)?;
        if !moved.is_zero() && moved <= signed {
            by_transaction.insert(log.transaction_hash.0, log);
        }
    }
    let readable = by_transaction.len() <= RECEIPTS_MAX;
    let mut payments = Vec::new();
    for (transaction, log) in by_transaction {
        // Nobody looks which of that many it was.
        let cost = if readable { cost(&receipt(rpc, &log).await?, question, owner)? } else { signed };
        payments.push(Payment { transaction, cost });
    }
    Ok(payments)
}

/// The most that a payment in the transaction of `receipt` can have cost, up to what was signed for.
///
/// That is the largest transfer to the payee that was signed for. What else left the owner in that transaction may be a fee
/// that the token keeps from it, and counts too.
fn cost(receipt: &Receipt, question: &Question, owner: EvmAddress) -> Result<Amount, NodeFault> {
    let Question { asset, payee, amount: signed, .. } = *question;
    let (mut paid, mut besides) = (Amount::ZERO, Amount::ZERO);
    for log in receipt.logs.iter().filter(|log| log.address.0 == asset.to_bytes()) {
        if log.removed {
            return Err(NodeFault::RemovedLog);
        }
        let [Fixed(TRANSFER), Fixed(from), Fixed(to)] = log.topics.as_slice() else { continue };
        let moved = moved(log)?;
        if *from != topic(owner) {
            continue;
        }
        if *to != topic(payee) {
            besides = besides.checked_add(moved).unwrap_or(signed);
        } else if moved <= signed {
            paid = paid.max(moved);
        }
    }
    Ok(paid.checked_add(besides).unwrap_or(signed).min(signed))
}

/// What the signature cost, and by which transaction if only one can have been it. Nothing is said about what nobody saw.
fn settled(question: &Question, scheme: Scheme, payments: &[Payment]) -> Option<(Amount, Option<[u8; 32]>)> {
    let signed = question.amount;
    match scheme {
        Scheme::Exact => {
            let mut whole = payments.iter().filter(|payment| payment.cost == signed);
            let transaction = whole.next().filter(|_| whole.next().is_none());
            if transaction.is_none() {
                warn!(hold = question.hold, asset = %question.asset, payments = payments.len(), %signed, "settled, and no one transfer shows it: counted in full");
            }
            Some((signed, transaction.map(|payment| payment.transaction)))
        }
        Scheme::Upto { .. } => {
            let cost = payments.iter().map(|payment| payment.cost).max()?;
            let transaction = if let [payment] = payments { Some(payment.transaction) } else { None };
            Some((cost, transaction))
        }
    }
}

/// The logs of `contract` in `block` with exactly these topics. The block is named by its hash, so that a machine that does
/// not have it cannot say that there are none.
async fn logs(
    rpc: &Rpc,
    contract: EvmAddress,
    topics: &[[u8; 32]],
    block: Block,
) -> Result<Vec<Log>, NodeFault> {
    let filter = json!([{
        "blockHash": bytes(&block.hash),
        "address": bytes(&contract.to_bytes()),
        "topics": topics.iter().map(|topic| bytes(topic)).collect::<Vec<_>>(),
    }]);
    let logs: Vec<Log> = rpc.ask("eth_getLogs", filter).await?;
    for log in &logs {
        let foreign = |what| Err(NodeFault::ForeignLog { what });
        if log.removed {
            return Err(NodeFault::RemovedLog);
        }
        if log.address.0 != contract.to_bytes() {
            return foreign("another contract");
        }
        if log.block_hash.0 != block.hash || log.block_number.0 != block.number {
            return foreign("another block");
        }
        if !log.topics.iter().map(|Fixed(topic)| topic).eq(topics) {
            return foreign("other topics");
        }
    }
    Ok(logs)
}

/// How much a transfer moved.
fn moved(transfer: &Log) -> Result<Amount, NodeFault> {
    amount(&transfer.data.0).ok_or(NodeFault::ForeignLog { what: "a transfer without an amount" })
}

//! What contracts say in the state at one block.

use pursekeeper_core::{EvmAddress, PERMIT2};
use serde_json::{Value, json};

use super::abi::{authorization_state, flag, has_bit, nonce_bitmap};
use super::error::NodeFault;
use super::question::Block;
use super::rpc::Rpc;
use super::wire::{Bytes, bytes};

/// What a contract answers in the state at `block`, which is named by its hash (EIP-1898): behind one URL there may be
/// many machines, and one that is behind would answer for another block of that number, or for its latest.
pub(super) async fn call(rpc: &Rpc, to: EvmAddress, data: &[u8], block: Block) -> Result<Vec<u8>, NodeFault> {
    let at = json!({ "blockHash": bytes(&block.hash), "requireCanonical": true });
    let call = json!({ "to": bytes(&to.to_bytes()), "data": bytes(data) });
    let params: Value = json!([call, at]);
    let Bytes(result) = rpc.ask("eth_call", params).await?;
    // That is what an address without code answers.
    if result.is_empty() { Err(NodeFault::NotAToken { asset: to }) } else { Ok(result) }
}

/// Whether the state at `block` has an EIP-3009 authorization as used up.
pub(super) async fn is_used(
    rpc: &Rpc,
    asset: EvmAddress,
    (authorizer, nonce): (EvmAddress, [u8; 32]),
    block: Block,
) -> Result<bool, NodeFault> {
    let word = call(rpc, asset, &authorization_state(authorizer, nonce), block).await?;
    flag(&word).ok_or_else(|| not_a("flag"))
}

/// Whether the state at `block` has a Permit2 nonce as spent.
pub(super) async fn is_spent(
    rpc: &Rpc,
    (owner, nonce): (EvmAddress, [u8; 32]),
    block: Block,
) -> Result<bool, NodeFault> {
    match call(rpc, PERMIT2, &nonce_bitmap(owner, nonce), block).await {
        Ok(word) => has_bit(&word, nonce).ok_or_else(|| not_a("bitmap")),
        Err(NodeFault::NotAToken { .. }) => Err(NodeFault::NoPermit2),
        Err(fault) => Err(fault),
    }
}

pub(super) fn not_a(what: &str) -> NodeFault {
    NodeFault::Malformed { method: "eth_call", reason: format!("the word is not a {what}") }
}

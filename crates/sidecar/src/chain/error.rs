use std::sync::Arc;

use pursekeeper_core::{Amount, ChainId, EvmAddress, UnixSeconds};

use super::rpc::NodeName;

/// Why a network cannot be watched, or why nothing is believed about a signature.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChainError {
    /// Not an EVM network.
    #[error("`{network}` cannot be watched: only eip155 networks are")]
    Family {
        /// As configured.
        network: ChainId,
    },
    /// A URL that is none of ours. It is not shown: it may hold a password.
    #[error("node {position} of the network has no http or https url: correct it")]
    Url {
        /// Which one, from 1.
        position: usize,
    },
    /// Two nodes behind one address.
    #[error("two nodes are at `{node}`: they are one witness, remove one")]
    SameNode {
        /// Where.
        node: NodeName,
    },
    /// A quorum no set of these nodes could fail or reach.
    #[error("a quorum of {quorum} out of {nodes} nodes: set it between 1 and the number of nodes")]
    Quorum {
        /// As configured.
        quorum: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A range without blocks.
    #[error("`log_blocks_max` is 0: set it to the longest range of blocks the nodes take in `eth_getLogs`")]
    LogBlocks,
    /// No TLS.
    #[error("cannot set up TLS: check that this machine has CA certificates")]
    Client(#[source] Arc<reqwest::Error>),
    /// More than fit into one round.
    #[error("asked for {asked} at once: ask for at most {max}")]
    TooMany {
        /// How many.
        asked: usize,
        /// The limit.
        max: usize,
    },
    /// Too few nodes could be believed.
    #[error("only {answered} of the {quorum} nodes needed could be believed: {}", list(.faults))]
    TooFewNodes {
        /// How many could.
        answered: usize,
        /// How many are needed.
        quorum: usize,
        /// What was wrong with the others.
        faults: Vec<NodeError>,
    },
    /// Two nodes cannot both be right.
    #[error(
        "`{}` says the signature is {} and `{}` says it is {}: find out which of them is wrong and remove it",
        .one.0, .one.1, .other.0, .other.1
    )]
    Contradiction {
        /// A node and what it says.
        one: (NodeName, String),
        /// Another and what that says.
        other: (NodeName, String),
    },
}

/// What was wrong with one node.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{node}`: {fault}")]
pub struct NodeError {
    /// Which one.
    pub node: NodeName,
    /// The signature it was asked for; none when it could not be asked at all.
    pub hold: Option<u64>,
    /// What was wrong.
    #[source]
    pub fault: NodeFault,
}

/// Why a node, or one answer of it, is not believed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeFault {
    /// No answer in time.
    #[error("did not answer in time: check it, or raise the network's `timeout`")]
    Timeout,
    /// No connection, or it broke.
    #[error("cannot be reached: check that it runs and that the url is right")]
    Unreachable(#[source] Arc<reqwest::Error>),
    /// Not a 200.
    #[error(
        "answered with HTTP status {status}: check the credentials in its url and the limits of the plan"
    )]
    Http {
        /// The status.
        status: u16,
    },
    /// A body over the limit.
    #[error("answered with more than {max} bytes: no answer to what was asked is that long")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// Not a JSON-RPC 2.0 answer to the request.
    #[error("did not answer in JSON-RPC ({reason}): check that the url is the one of an Ethereum node")]
    NotJsonRpc {
        /// What is wrong with it.
        reason: String,
    },
    /// An error object.
    #[error("refused `{method}` with error {code} ({message}): {}", advice(.method))]
    Refused {
        /// What was asked.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i64,
        /// In the node's words, cut and without credentials.
        message: String,
    },
    /// `null` where something must be.
    #[error("has no answer to `{method}`: it may not be in sync; {}", advice(.method))]
    Missing {
        /// What was asked.
        method: &'static str,
    },
    /// A result of another form than specified.
    #[error("answered `{method}` with something else ({reason}): update it or remove it")]
    Malformed {
        /// What was asked.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another network.
    #[error("is a node of eip155:{says}, not of eip155:{expected}: correct the url")]
    WrongChain {
        /// Its chain.
        says: u64,
        /// The chain it is configured for.
        expected: u64,
    },
    /// The final block is older than one seen before.
    #[error("says block {now} is final after it said so of {before}: remove it if it stays that way")]
    WentBack {
        /// What it says now.
        now: u64,
        /// The highest it said.
        before: u64,
    },
    /// A final block is another than before.
    #[error("has another final block {number} than before: remove it, or ask for more confirmations")]
    Rewritten {
        /// The block.
        number: u64,
    },
    /// A block of tomorrow.
    #[error(
        "has a block of {timestamp} and it is {now}: check the clock of this machine, or remove the node"
    )]
    FromTheFuture {
        /// The time of the block.
        timestamp: UnixSeconds,
        /// Ours.
        now: UnixSeconds,
    },
    /// Fewer blocks than confirmations asked for.
    #[error("has only {head} blocks, fewer than the {confirmations} confirmations asked for: wait")]
    TooShort {
        /// Its latest block.
        head: u64,
        /// As configured.
        confirmations: u64,
    },
    /// It answers for another block than asked for.
    #[error("does not look at block hashes (EIP-1898): its answers are of no known block; remove it")]
    IgnoresHashes,
    /// Not a token of the kind we think it is.
    #[error("knows no contract `{asset}` that answers: correct the asset in registry.yaml")]
    NotAToken {
        /// Where.
        asset: EvmAddress,
    },
    /// No Permit2 where it is on every network.
    #[error(
        "knows no Permit2 at its address: check that it is in sync; if the network has none, take `permit2` out of the `methods` of its assets"
    )]
    NoPermit2,
    /// A log other than asked for.
    #[error("sent a log that was not asked for ({what}): remove it")]
    ForeignLog {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A log of a block that is no longer part of the chain.
    #[error("sent a removed log from final blocks: remove it, or ask for more confirmations")]
    RemovedLog,
    /// More was taken than was signed for, which the contract cannot do.
    #[error("says {observed} was paid with a signature for {signed}: remove it")]
    Overpaid {
        /// In the log.
        observed: Amount,
        /// In the signature.
        signed: Amount,
    },
    /// Answers that cannot all be true.
    #[error("contradicts itself ({what}): remove it if that happens again")]
    Impossible {
        /// How.
        what: &'static str,
    },
    /// The search for a log would take too many requests.
    #[error(
        "takes ranges too short to find a settlement in {requests_max} requests: raise `log_blocks_max`, or use another plan"
    )]
    TooManyRanges {
        /// The limit.
        requests_max: usize,
    },
    /// Our own task ended before its time.
    #[error("was not asked to the end: look for a panic in the log")]
    Interrupted,
}

/// What may help when a method is not answered: the reasons differ by method, not by code.
fn advice(method: &str) -> &'static str {
    match method {
        "eth_getBlockByNumber" => {
            "where a network has no `finalized` blocks, set `finality` to a number of confirmations"
        }
        "eth_call" => {
            "it needs EIP-1898 and the state of the last final block, which pruned nodes may not keep"
        }
        "eth_getLogs" => "`log_blocks_max` may be more than it takes",
        _ => "check that its plan allows the method",
    }
}

fn list(faults: &[NodeError]) -> String {
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "no node answered".to_owned() } else { texts.join("; ") }
}

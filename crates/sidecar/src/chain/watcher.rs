use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pursekeeper_core::{Amount, ChainId, EvmAddress, UnixSeconds};
use reqwest::Url;

use super::QUESTIONS_MAX;
use super::error::{ChainError, NodeError, NodeFault};
use super::look::{Holdings, Memory, Rules, Seen, holdings, look};
use super::question::{Answer, Balances, Question, Round};
use super::quorum::merge;
use super::rpc::{NodeName, Rpc, all};

/// Longest time for one round with one node, in timeouts of one answer.
const ROUND_TIMEOUTS_MAX: u32 = 20;

/// One network as configured: which nodes to ask and how many must agree. No `Debug`: URLs may hold credentials.
pub struct Nodes {
    /// The network.
    pub network: ChainId,
    /// Where the nodes are; each at an origin of its own.
    pub urls: Vec<Url>,
    /// How many must say the same.
    pub quorum: usize,
    /// Longest range of blocks the nodes take in one `eth_getLogs`.
    pub log_blocks_max: u64,
    /// For each answer of a node.
    pub timeout: Duration,
    /// What makes a block final.
    pub finality: Finality,
}

/// What makes a block final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// The node says so: its `finalized` block.
    Finalized,
    /// This many blocks after it, for networks without that.
    Confirmations(u64),
}

/// Watches one network.
pub struct Watcher {
    rules: Rules,
    quorum: usize,
    round_timeout: Duration,
    nodes: Vec<Node>,
}

struct Node {
    rpc: Arc<Rpc>,
    memory: Memory,
}

/// What the nodes that could be believed brought, and what was wrong with the others.
struct Asked<T> {
    brought: Vec<(NodeName, T)>,
    faults: Vec<NodeError>,
}

impl Watcher {
    /// A watcher that has seen nothing yet.
    ///
    /// # Errors
    /// [`ChainError`] when the configuration cannot work.
    pub fn new(nodes: Nodes) -> Result<Self, ChainError> {
        let Nodes { network, urls, quorum, log_blocks_max, timeout, finality } = nodes;
        let chain_id = match network {
            ChainId::Eip155(id) => id,
            ChainId::Other(_) => return Err(ChainError::Family { network }),
        };
        if !(1..=urls.len()).contains(&quorum) {
            return Err(ChainError::Quorum { quorum, nodes: urls.len() });
        }
        if log_blocks_max == 0 {
            return Err(ChainError::LogBlocks);
        }
        let mut names = HashSet::new();
        let mut nodes = Vec::new();
        for (url, position) in urls.into_iter().zip(1..) {
            if !matches!(url.scheme(), "http" | "https") {
                return Err(ChainError::Url { position });
            }
            // Two keys at one provider are one witness.
            if !names.insert(NodeName::of(&url)) {
                return Err(ChainError::SameNode { node: NodeName::of(&url) });
            }
            nodes.push(Node { rpc: Arc::new(Rpc::new(url, timeout)?), memory: Memory::default() });
        }
        let rules = Rules { chain_id, finality, log_blocks_max };
        Ok(Self { rules, quorum, round_timeout: timeout.saturating_mul(ROUND_TIMEOUTS_MAX), nodes })
    }

    /// Asks all nodes what became of these signatures. Dropping the future is harmless.
    ///
    /// # Errors
    /// [`ChainError`] when there are too many questions or too few nodes that can be believed.
    pub async fn look(&mut self, questions: &[Question], now: UnixSeconds) -> Result<Round, ChainError> {
        within_limit(questions.len())?;
        let (rules, shared): (_, Arc<[Question]>) = (self.rules, questions.into());
        let asked = self
            .ask(|rpc, mut memory| {
                let questions = Arc::clone(&shared);
                async move {
                    let seen = look(&rpc, rules, (&questions, now), &mut memory).await?;
                    Ok((seen, memory))
                }
            })
            .await;
        // Kept whatever comes of this round: a node may not go back on what it said.
        for (name, (_, memory)) in &asked.brought {
            self.remember(name, memory.clone());
        }
        let Asked { brought, mut faults } = self.enough(asked)?;
        let of_nodes = faults.clone();
        let heads = brought.iter().map(|(name, (Seen { head, .. }, _))| (name.clone(), *head)).collect();
        let sights = brought.into_iter().map(|(name, (seen, _))| (name, seen.sights)).collect();
        let by_question = transpose(sights, questions.len()).into_iter().zip(questions);
        let answers = by_question.map(|(said, Question { hold, .. })| {
            let (sights, wrong) = sort(said, Some(*hold));
            faults.extend(wrong.iter().cloned());
            let wrong = of_nodes.iter().cloned().chain(wrong).collect();
            Answer { hold: *hold, result: merge(&sights, self.quorum, wrong) }
        });
        let answers = answers.collect();
        Ok(Round { answers, heads, faults })
    }

    /// Asks all nodes what wallets hold: pairs of an asset and a wallet.
    ///
    /// # Errors
    /// [`ChainError`] when there are too many wallets or too few nodes that can be believed.
    pub async fn balances(
        &self,
        of: &[(EvmAddress, EvmAddress)],
        now: UnixSeconds,
    ) -> Result<Balances, ChainError> {
        within_limit(of.len())?;
        let (rules, shared): (_, Arc<[(EvmAddress, EvmAddress)]>) = (self.rules, of.into());
        let asked = self
            .ask(|rpc, _| {
                let wallets = Arc::clone(&shared);
                async move { holdings(&rpc, rules, (&wallets, now)).await }
            })
            .await;
        let Asked { brought, mut faults } = self.enough(asked)?;
        let oldest = brought.iter().map(|(_, Holdings { at, .. })| *at).min_by_key(|at| at.timestamp);
        let Some(oldest) = oldest else {
            return Err(ChainError::TooFewNodes { answered: 0, quorum: self.quorum, faults });
        };
        let amounts = brought.into_iter().map(|(name, holdings)| (name, holdings.amounts)).collect();
        let amounts = transpose(amounts, of.len()).into_iter().map(|said| {
            let (amounts, wrong) = sort(said, None);
            faults.extend(wrong.iter().cloned());
            lowest(&amounts, self.quorum, wrong)
        });
        let amounts = amounts.collect();
        Ok(Balances { amounts, oldest, faults })
    }

    /// Does `task` with all nodes at once, each with a copy of what is remembered of it.
    async fn ask<T, F>(&self, task: impl Fn(Arc<Rpc>, Memory) -> F) -> Asked<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, NodeFault>> + Send + 'static,
    {
        let round_timeout = self.round_timeout;
        let tasks = self.nodes.iter().map(|Node { rpc, memory }| {
            let task = task(Arc::clone(rpc), memory.clone());
            async move { tokio::time::timeout(round_timeout, task).await.unwrap_or(Err(NodeFault::Timeout)) }
        });
        let results = all(tasks).await;
        let names = self.nodes.iter().map(|node| node.rpc.name().clone());
        let (brought, faults) = sort(names.zip(results).collect(), None);
        Asked { brought, faults }
    }

    fn enough<T>(&self, asked: Asked<T>) -> Result<Asked<T>, ChainError> {
        let answered = asked.brought.len();
        if answered < self.quorum {
            return Err(ChainError::TooFewNodes { answered, quorum: self.quorum, faults: asked.faults });
        }
        Ok(asked)
    }

    fn remember(&mut self, name: &NodeName, memory: Memory) {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.rpc.name() == name) {
            node.memory = memory;
        }
    }
}

fn within_limit(asked: usize) -> Result<(), ChainError> {
    if asked > QUESTIONS_MAX {
        return Err(ChainError::TooMany { asked, max: QUESTIONS_MAX });
    }
    Ok(())
}

/// What each node says about everything, as what everybody says about each thing.
fn transpose<T>(
    by_node: Vec<(NodeName, Vec<Result<T, NodeFault>>)>,
    len: usize,
) -> Vec<Vec<(NodeName, Result<T, NodeFault>)>> {
    let mut by_thing: Vec<Vec<_>> = (0..len).map(|_| Vec::new()).collect();
    for (name, said) in by_node {
        for (place, result) in by_thing.iter_mut().zip(said) {
            place.push((name.clone(), result));
        }
    }
    by_thing
}

/// Answers apart from faults.
fn sort<T>(
    said: Vec<(NodeName, Result<T, NodeFault>)>,
    hold: Option<u64>,
) -> (Vec<(NodeName, T)>, Vec<NodeError>) {
    let (mut answers, mut faults) = (Vec::new(), Vec::new());
    for (node, result) in said {
        match result {
            Ok(answer) => answers.push((node, answer)),
            Err(fault) => faults.push(NodeError { node, hold, fault }),
        }
    }
    (answers, faults)
}

/// Nobody can make a wallet look richer than the poorest answer.
fn lowest(said: &[(NodeName, Amount)], quorum: usize, faults: Vec<NodeError>) -> Result<Amount, ChainError> {
    let lowest = said.iter().map(|(_, amount)| *amount).min().filter(|_| said.len() >= quorum);
    lowest.ok_or(ChainError::TooFewNodes { answered: said.len(), quorum, faults })
}

//! One finding from what several nodes saw.

use std::fmt;

use pursekeeper_core::Amount;

use super::error::{ChainError, NodeError};
use super::question::{Block, Finding};
use super::rpc::NodeName;

/// What one node shows of a signature, at its own final block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Not used up, and there is time left.
    Unused { at: Block },
    /// Not used up, and too late to be.
    Dead { at: Block },
    /// Used up, it does not show by what.
    Used { at: Block },
    /// Used up by a payment.
    Settled { amount: Amount, transaction: Option<[u8; 32]>, block: Block },
    /// Used up by a cancellation.
    Canceled { transaction: [u8; 32], block: Block },
}

/// What is found, and how many nodes say so. Nothing is, when too few do or any of them must be wrong.
pub(super) fn merge(
    sights: &[(NodeName, Sight)],
    quorum: usize,
    faults: Vec<NodeError>,
) -> Result<(Finding, u32), ChainError> {
    for (index, one) in sights.iter().enumerate() {
        let earlier = sights.iter().take(index);
        if let Some(other) = earlier.into_iter().find(|other| contradict(one.1, other.1)) {
            let said = |(node, sight): &(NodeName, Sight)| (node.clone(), sight.to_string());
            return Err(ChainError::Contradiction { one: said(other), other: said(one) });
        }
    }
    if sights.len() < quorum {
        return Err(ChainError::TooFewNodes { answered: sights.len(), quorum, faults });
    }
    // Nobody contradicts, so whoever has evidence has the same.
    let evidence: Vec<Finding> = sights.iter().filter_map(|(_, sight)| sight.evidence()).collect();
    let finding = evidence.iter().copied().min_by_key(|finding| block_of(*finding));
    match finding {
        Some(finding) if evidence.len() >= quorum => Ok((finding, count(evidence.len()))),
        Some(_) | None => Ok((Finding::Alive, count(sights.len()))),
    }
}

impl Sight {
    /// The finding this supports, if it supports one.
    fn evidence(self) -> Option<Finding> {
        match self {
            Self::Unused { .. } | Self::Used { .. } => None,
            Self::Dead { at: Block { number, hash, .. } } => {
                Some(Finding::Dead { block: number, block_hash: hash })
            }
            Self::Settled { amount, transaction, block: Block { number, hash, .. } } => {
                Some(Finding::Settled { amount, transaction, block: number, block_hash: hash })
            }
            Self::Canceled { transaction, block: Block { number, hash, .. } } => {
                Some(Finding::Canceled { transaction, block: number, block_hash: hash })
            }
        }
    }

    /// The block by which it was used up.
    fn used_by(self) -> Option<u64> {
        match self {
            Self::Unused { .. } | Self::Dead { .. } => None,
            Self::Used { at } => Some(at.number),
            Self::Settled { block, .. } | Self::Canceled { block, .. } => Some(block.number),
        }
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unused { at } => write!(f, "unused at block {}", at.number),
            Self::Dead { at } => write!(f, "unused and too late at block {}", at.number),
            Self::Used { at } => write!(f, "used up at block {}", at.number),
            Self::Settled { amount, transaction, block } => {
                write!(f, "settled for {amount} in block {}", block.number)?;
                transaction.map_or(Ok(()), |transaction| write!(f, " by 0x{}", hex::encode(transaction)))
            }
            Self::Canceled { transaction, block } => {
                write!(f, "cancelled in block {} by 0x{}", block.number, hex::encode(transaction))
            }
        }
    }
}

/// Whether one of the two must be wrong. To be behind is not wrong.
fn contradict(one: Sight, other: Sight) -> bool {
    match (one, other) {
        (Sight::Unused { .. } | Sight::Dead { .. }, Sight::Unused { .. } | Sight::Dead { .. }) => false,
        (Sight::Used { .. }, Sight::Used { .. } | Sight::Settled { .. } | Sight::Canceled { .. })
        | (Sight::Settled { .. } | Sight::Canceled { .. }, Sight::Used { .. }) => false,
        (
            Sight::Settled { amount, transaction, block },
            Sight::Settled { amount: other_amount, transaction: other, block: other_block },
        ) => (amount, transaction, block.hash) != (other_amount, other, other_block.hash),
        (Sight::Canceled { transaction, .. }, Sight::Canceled { transaction: other, .. }) => {
            transaction != other
        }
        (Sight::Settled { .. }, Sight::Canceled { .. }) | (Sight::Canceled { .. }, Sight::Settled { .. }) => {
            true
        }
        (Sight::Unused { at }, used) | (used, Sight::Unused { at }) => {
            used.used_by().is_some_and(|by| by <= at.number)
        }
        // Too late to be used, and used up after all: by a cancellation at best, which the next round will agree on.
        (Sight::Dead { .. }, _) | (_, Sight::Dead { .. }) => true,
    }
}

fn block_of(finding: Finding) -> u64 {
    match finding {
        Finding::Settled { block, .. } | Finding::Canceled { block, .. } | Finding::Dead { block, .. } => {
            block
        }
        Finding::Alive => 0,
    }
}

fn count(nodes: usize) -> u32 {
    u32::try_from(nodes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use pursekeeper_core::UnixSeconds;

    use super::*;

    fn block(number: u64) -> Block {
        Block { number, hash: [u8::try_from(number).unwrap(); 32], timestamp: UnixSeconds(number) }
    }

    fn unused(at: u64) -> Sight {
        Sight::Unused { at: block(at) }
    }

    fn dead(at: u64) -> Sight {
        Sight::Dead { at: block(at) }
    }

    fn used(at: u64) -> Sight {
        Sight::Used { at: block(at) }
    }

    fn settled(at: u64, amount: &str, transaction: u8) -> Sight {
        let amount = Amount::parse(amount).unwrap();
        Sight::Settled { amount, transaction: Some([transaction; 32]), block: block(at) }
    }

    fn canceled(at: u64) -> Sight {
        Sight::Canceled { transaction: [9; 32], block: block(at) }
    }

    fn said(sights: &[Sight]) -> Vec<(NodeName, Sight)> {
        let name = |n: usize| NodeName::of(&format!("http://node{n}").parse().unwrap());
        sights.iter().enumerate().map(|(n, sight)| (name(n), *sight)).collect()
    }

    /// In every order of the nodes.
    fn check(sights: &[Sight], quorum: usize, expected: &str) {
        for turn in 0..sights.len().max(1) {
            let mut turned = sights.to_vec();
            turned.rotate_left(turn.min(sights.len()));
            let result = merge(&said(&turned), quorum, Vec::new());
            let text = match &result {
                Ok((Finding::Settled { .. }, nodes)) => format!("settled {nodes}"),
                Ok((Finding::Canceled { .. }, nodes)) => format!("canceled {nodes}"),
                Ok((Finding::Dead { .. }, nodes)) => format!("dead {nodes}"),
                Ok((Finding::Alive, nodes)) => format!("alive {nodes}"),
                Err(ChainError::Contradiction { .. }) => "contradiction".to_owned(),
                Err(ChainError::TooFewNodes { .. }) => "too few".to_owned(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(text, expected, "{turned:?} with a quorum of {quorum}");
        }
    }

    #[test]
    fn evidence_needs_a_quorum() {
        check(&[], 1, "too few");
        check(&[dead(9)], 2, "too few");
        check(&[unused(1)], 1, "alive 1");
        check(&[dead(9)], 1, "dead 1");
        check(&[dead(9), unused(5)], 2, "alive 2");
        check(&[dead(9), dead(8)], 2, "dead 2");
        check(&[dead(9), dead(8), unused(5)], 2, "dead 2");
        check(&[settled(4, "5", 1), settled(4, "5", 1)], 2, "settled 2");
        check(&[canceled(4), canceled(4)], 2, "canceled 2");
        check(&[settled(4, "5", 1), used(6)], 2, "alive 2");
        check(&[used(6), used(7)], 1, "alive 2");
    }

    #[test]
    fn a_node_that_is_behind_contradicts_nobody() {
        check(&[settled(4, "5", 1), settled(4, "5", 1), unused(3)], 2, "settled 2");
        check(&[canceled(4), canceled(4), unused(3)], 2, "canceled 2");
        check(&[used(4), unused(3)], 2, "alive 2");
    }

    #[test]
    fn one_contradiction_frees_nothing() {
        for (one, other) in [
            (dead(9), settled(4, "5", 1)),
            (dead(9), canceled(4)),
            (dead(9), used(4)),
            (dead(9), used(12)),
            (settled(4, "5", 1), settled(4, "4", 1)),
            (settled(4, "5", 1), settled(4, "5", 2)),
            (settled(4, "5", 1), canceled(4)),
            (settled(4, "5", 1), unused(4)),
            (canceled(4), unused(5)),
            (used(4), unused(4)),
        ] {
            check(&[one, other], 1, "contradiction");
            check(&[one, one, one, other], 2, "contradiction");
        }
    }

    /// Without a transaction that could tell two settlements apart, the block does.
    #[test]
    fn settlements_in_two_blocks_contradict() {
        let somewhere = |at| Sight::Settled { amount: Amount::ZERO, transaction: None, block: block(at) };
        check(&[somewhere(4), somewhere(4)], 2, "settled 2");
        check(&[somewhere(4), somewhere(5)], 1, "contradiction");
        check(&[somewhere(4), settled(4, "0", 1)], 1, "contradiction");
        check(&[settled(4, "5", 1), settled(5, "5", 1)], 1, "contradiction");
    }

    #[test]
    fn of_equal_evidence_the_earliest_is_kept() {
        let (finding, _) = merge(&said(&[dead(9), dead(7), dead(8)]), 2, Vec::new()).unwrap();
        assert_eq!(finding, Finding::Dead { block: 7, block_hash: [7; 32] });
    }
}

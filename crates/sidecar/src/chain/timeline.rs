//! When blocks were made, and which block was the first at some time.

use std::collections::BTreeMap;

use pursekeeper_core::UnixSeconds;
use serde_json::json;

use super::error::NodeFault;
use super::question::Block;
use super::rpc::Rpc;
use super::wire::{RawBlock, quantity};

/// Most block times remembered for one node.
const TIMES_MAX: usize = 2048;
/// Most blocks asked for in one search: twice what halving 64 bits takes.
const PROBES_MAX: u32 = 128;
/// How far before a known block the search begins, in blocks. It doubles with every step.
const STRIDE: u64 = 256;

/// The times of blocks of one node, as far as they are known. They are final: they never change.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline(BTreeMap<u64, UnixSeconds>);

/// What is known about where a time lies: the latest block before it, and the earliest at or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bracket {
    before: Option<(u64, UnixSeconds)>,
    after: (u64, UnixSeconds),
}

impl Timeline {
    /// The number of the first block at or after `time`, or nothing if the `head` is before it.
    ///
    /// Searches backwards from what is known, because a node need not have the beginning of its chain.
    pub(super) async fn first_at(
        &mut self,
        rpc: &Rpc,
        head: Block,
        time: UnixSeconds,
    ) -> Result<Option<u64>, NodeFault> {
        if head.timestamp < time {
            return Ok(None);
        }
        for probe in 0..PROBES_MAX {
            let bracket = self.bracket(head, time);
            let Some(number) = bracket.next(time, probe) else { return Ok(Some(bracket.after.0)) };
            let block = block(rpc, number).await?;
            bracket.check(block)?;
            self.0.insert(block.number, block.timestamp);
        }
        Err(NodeFault::Impossible { what: "its blocks are in no order" })
    }

    /// Forgets the oldest times, when there are too many.
    pub(super) fn trim(&mut self) {
        while self.0.len() > TIMES_MAX {
            self.0.pop_first();
        }
    }

    fn bracket(&self, head: Block, time: UnixSeconds) -> Bracket {
        let known = || self.0.range(..head.number).map(|(number, at)| (*number, *at));
        let after = known().find(|(_, at)| *at >= time).unwrap_or((head.number, head.timestamp));
        let before = known().take_while(|(number, at)| *at < time && *number < after.0).last();
        Bracket { before, after }
    }
}

impl Bracket {
    /// The block to look at next; nothing when the bracket is closed.
    fn next(self, time: UnixSeconds, probe: u32) -> Option<u64> {
        let Self { before, after: (high, high_at) } = self;
        let Some((low, low_at)) = before else {
            let stride = STRIDE.saturating_mul(1u64.checked_shl(probe).unwrap_or(u64::MAX));
            return (high > 0).then(|| high.saturating_sub(stride));
        };
        let width = high.saturating_sub(low);
        if width <= 1 {
            return None;
        }
        // Most chains make blocks at an even pace, so a guess by proportion mostly hits. Where they do not, every
        // other step halves.
        let step = if probe.is_multiple_of(2) {
            let (part, whole) = (time.0.saturating_sub(low_at.0), high_at.0.saturating_sub(low_at.0));
            let step = u128::from(width).saturating_mul(u128::from(part)).checked_div(u128::from(whole));
            step.and_then(|step| u64::try_from(step).ok()).unwrap_or(1)
        } else {
            width.div_euclid(2)
        };
        Some(low.saturating_add(step.clamp(1, width.saturating_sub(1))))
    }

    /// Whether `block` can be where it is.
    fn check(self, block: Block) -> Result<(), NodeFault> {
        let Self { before, after } = self;
        let early = before.is_some_and(|(_, at)| block.timestamp < at);
        if early || block.timestamp > after.1 {
            return Err(NodeFault::Impossible { what: "a later block has an earlier time" });
        }
        Ok(())
    }
}

/// The block with this number.
pub(super) async fn block(rpc: &Rpc, number: u64) -> Result<Block, NodeFault> {
    let block =
        Block::from(rpc.ask::<RawBlock>("eth_getBlockByNumber", json!([quantity(number), false])).await?);
    if block.number != number {
        return Err(NodeFault::Impossible { what: "it sent another block than asked for" });
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a chain whose block times are `times`, without a node; counts the blocks looked at.
    fn search(times: &[u64], time: u64) -> (Option<u64>, u32) {
        let time = UnixSeconds(time);
        let at = |number: u64| UnixSeconds(times[usize::try_from(number).unwrap()]);
        let last = u64::try_from(times.len()).unwrap().saturating_sub(1);
        let head = Block { number: last, hash: [0; 32], timestamp: at(last) };
        if head.timestamp < time {
            return (None, 0);
        }
        let mut line = Timeline::default();
        for probe in 0..PROBES_MAX {
            let bracket = line.bracket(head, time);
            let Some(number) = bracket.next(time, probe) else { return (Some(bracket.after.0), probe) };
            bracket.check(Block { number, hash: [0; 32], timestamp: at(number) }).unwrap();
            line.0.insert(number, at(number));
        }
        panic!("no end in sight for {time} in {times:?}");
    }

    #[test]
    fn the_first_block_at_a_time_is_found() {
        let even: Vec<u64> = (0..100_000).map(|n| 1_000 + 2 * n).collect();
        // A chain that stood still for years, and one that makes many blocks within a second.
        let stalled: Vec<u64> = (0..5_000).map(|n| if n < 2_500 { n } else { 100_000_000 + n }).collect();
        let crowded: Vec<u64> = (0..5_000).map(|n| 50 + n / 40).collect();
        for times in [vec![7], vec![7, 7, 7], even, stalled, crowded] {
            let (first, last) = (times[0], times[times.len() - 1]);
            for time in [0, first, first + 1, u64::midpoint(first, last), last - 1, last, last + 1] {
                let expected = times.iter().position(|at| *at >= time).map(|n| u64::try_from(n).unwrap());
                let (found, probes) = search(&times, time);
                assert_eq!(found, expected, "{time}");
                assert!(probes <= 40, "{probes} blocks looked at for {time}");
            }
        }
    }

    #[test]
    fn a_block_out_of_order_is_a_fault() {
        let bracket = Bracket { before: Some((1, UnixSeconds(10))), after: (9, UnixSeconds(20)) };
        for (timestamp, ok) in [(9, false), (10, true), (20, true), (21, false)] {
            let block = Block { number: 5, hash: [0; 32], timestamp: UnixSeconds(timestamp) };
            assert_eq!(bracket.check(block).is_ok(), ok, "{timestamp}");
        }
    }
}

//! What a scenario did and found.

use std::time::Duration;

/// Faults kept per scenario; one cause makes many.
const FAULTS_MAX: usize = 20;

/// How long a sidecar may take from the start of its process until it listens, after whatever happened.
const READY_MAX: Duration = Duration::from_secs(1);

/// How much of a scenario to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Everything,
    /// A part, chosen by a seed.
    Sample {
        /// The same seed chooses the same part.
        seed: u64,
    },
}

/// What a scenario did and found.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// What was done, such as `143 kills, all fired`.
    pub done: String,
    /// Records in the journals at the end.
    pub decisions: u64,
    /// Distinct signed payments that reached a client.
    pub released: u64,
    /// The most that was spent above a ceiling, in atomic units of USDC.
    pub overspend: u128,
    /// What must not be, the first few.
    pub faults: Vec<String>,
    /// The longest start of a sidecar.
    pub ready_worst: Duration,
}

/// A small random number generator (SplitMix64), so that a seed is all there is to repeat.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Tally {
    /// Takes note of something that must not be.
    pub fn fault(&mut self, what: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what.into());
        }
    }

    /// Takes note of `what` unless `true`.
    pub fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fault(what());
        }
    }

    /// Takes note of a start that took too long.
    pub fn expect_prompt_starts(&mut self) {
        let worst = self.ready_worst;
        self.expect(worst <= READY_MAX, || format!("a start took {worst:.0?}, more than {READY_MAX:?}"));
    }

    /// Adds what another part of the scenario did.
    pub fn add(&mut self, other: Self) {
        let Self { done, decisions, released, overspend, faults, ready_worst } = other;
        if !done.is_empty() {
            let before = std::mem::take(&mut self.done);
            self.done = if before.is_empty() { done } else { format!("{before}; {done}") };
        }
        self.decisions += decisions;
        self.released += released;
        self.overspend = self.overspend.max(overspend);
        faults.into_iter().for_each(|fault| self.fault(fault));
        self.ready_worst = self.ready_worst.max(ready_worst);
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.overspend == 0 && self.faults.is_empty()
    }

    /// For tests: fails unless nothing is wrong.
    ///
    /// # Panics
    /// When anything is.
    pub fn check(&self) {
        assert!(self.passed(), "overspent {} USD; {:#?}", dollars(self.overspend), self.faults);
        assert!(self.decisions > 0, "nothing was decided");
    }
}

impl Extent {
    /// Of everything when all of it is run, otherwise about `count`, evenly spread from a place the seed chooses.
    #[must_use]
    pub fn pick<T>(self, all: Vec<T>, count: usize) -> Vec<T> {
        let Self::Sample { seed } = self else { return all };
        let step = all.len().div_ceil(count).max(1);
        let first = Random::new(seed).below(step);
        all.into_iter().skip(first).step_by(step).collect()
    }

    /// One number for everything, another for a sample.
    #[must_use]
    pub fn choose(self, everything: usize, sample: usize) -> usize {
        match self {
            Self::Everything => everything,
            Self::Sample { .. } => sample,
        }
    }

    /// The seed; everything has one too, for what is random in it.
    #[must_use]
    pub fn seed(self) -> u64 {
        match self {
            Self::Everything => 0,
            Self::Sample { seed } => seed,
        }
    }
}

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }
}

/// Atomic units of USDC in dollars.
#[must_use]
pub fn dollars(atomic: u128) -> String {
    let fraction = format!("{:06}", atomic % 1_000_000);
    let kept = fraction.trim_end_matches('0');
    if kept.is_empty() { (atomic / 1_000_000).to_string() } else { format!("{}.{kept}", atomic / 1_000_000) }
}

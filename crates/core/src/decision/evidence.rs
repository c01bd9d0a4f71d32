//! What becomes of the money a permit bound, and who says so.

use super::Caller;
use crate::{Amount, ChainId, Moment, Usd};

/// Longest transaction id and longest error in a [`Claim`], in bytes. What is longer is cut.
pub const CLAIM_TEXT_LEN_MAX: usize = 256;
/// Most claims recorded about one payment.
pub const CLAIMS_PER_HOLD_MAX: u64 = 8;
/// Most claims recorded about one sign-in: the call it is for is answered once.
pub const CLAIMS_PER_SIGN_IN_MAX: u64 = 1;

/// What became of the money a permit bound. Only evidence moves it from held to one of the others, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HoldState {
    /// The signature may have been or may still be settled: the whole amount counts.
    #[default]
    Held,
    /// It was settled for this much, which is what counts from now on.
    Settled {
        /// Atomic units of the asset, at most what was signed.
        amount: Amount,
        /// Their value at the rate of the permit, at most what was held.
        usd: Usd,
    },
    /// It can never be settled: nothing counts.
    Released,
}

impl HoldState {
    /// The word used in tables, files and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Settled { .. } => "settled",
            Self::Released => "released",
        }
    }
}

/// What a chain says about a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was used, and this much was transferred.
    Settled {
        /// Atomic units of the asset.
        amount: Amount,
    },
    /// It was not used and can never be: it is past its window, or was cancelled.
    Dead,
}

/// Where a [`Fate`] was read. It is final: the block cannot be reorganised away any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// On which network.
    pub network: ChainId,
    /// The finalized block whose state was read.
    pub block: u64,
    /// Its hash.
    pub block_hash: [u8; 32],
    /// The transaction that settled or cancelled, if there is one and it is known which.
    pub transaction: Option<[u8; 32]>,
    /// How many nodes said the same.
    pub nodes: u32,
}

/// A hold that a chain resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// When it was recorded.
    pub at: Moment,
    /// The record of the permit.
    pub original_seq: u64,
    /// What was seen.
    pub observation: Observation,
    /// What follows for the hold; never [`HoldState::Held`].
    pub state: HoldState,
}

/// What an agent says it saw after one of its payments or sign-ins. It moves no money: it is kept beside the permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// When it was recorded.
    pub at: Moment,
    /// Who says so.
    pub caller: Caller,
    /// The record of the permit.
    pub original_seq: u64,
    /// What they say.
    pub said: Said,
}

/// What an agent says: what became of a payment, what is left of prepaid credit, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// What became of a payment.
    Outcome(Claim),
    /// Dollars of prepaid credit that are left.
    Remaining(Usd),
    /// Both.
    Both(Claim, Usd),
}

impl Said {
    /// Whatever is said; nothing when neither is.
    #[must_use]
    pub fn of(outcome: Option<Claim>, remaining: Option<Usd>) -> Option<Self> {
        match (outcome, remaining) {
            (Some(claim), None) => Some(Self::Outcome(claim)),
            (None, Some(usd)) => Some(Self::Remaining(usd)),
            (Some(claim), Some(usd)) => Some(Self::Both(claim, usd)),
            (None, None) => None,
        }
    }

    /// What became of a payment, if that is said.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Claim> {
        match self {
            Self::Outcome(claim) | Self::Both(claim, _) => Some(claim),
            Self::Remaining(_) => None,
        }
    }

    /// What is left of prepaid credit, if that is said.
    #[must_use]
    pub const fn remaining(&self) -> Option<Usd> {
        match self {
            Self::Remaining(usd) | Self::Both(_, usd) => Some(*usd),
            Self::Outcome(_) => None,
        }
    }
}

/// The words of a seller, in the words of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The seller says it was paid.
    Settled {
        /// The transaction it names.
        transaction: Option<String>,
    },
    /// The seller refused, or did not answer.
    Failed {
        /// Why, as far as it is known.
        reason: String,
    },
}

impl Claim {
    /// The word used in records and answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Settled { .. } => "settled",
            Self::Failed { .. } => "failed",
        }
    }

    /// That it was settled, in the transaction named, if one is.
    #[must_use]
    pub fn settled(transaction: Option<&str>) -> Self {
        Self::Settled { transaction: transaction.map(cut).filter(|transaction| !transaction.is_empty()) }
    }

    /// That it failed.
    #[must_use]
    pub fn failed(reason: &str) -> Self {
        let reason = cut(reason);
        Self::Failed { reason: if reason.is_empty() { NO_REASON.to_owned() } else { reason } }
    }
}

/// What a failure says that says nothing.
const NO_REASON: &str = "the seller gives no reason";

/// At most [`CLAIM_TEXT_LEN_MAX`] bytes, without control characters.
fn cut(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    let mut kept = String::new();
    for c in printable {
        if kept.len().saturating_add(c.len_utf8()) > CLAIM_TEXT_LEN_MAX {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_short_and_printable() {
        let Claim::Failed { reason } = Claim::failed(&format!("a\n\u{1b}[31m{}", "é".repeat(200))) else {
            panic!("a failure");
        };
        assert!(reason.starts_with("a[31mé") && reason.len() <= CLAIM_TEXT_LEN_MAX, "{reason}");
        assert_eq!(Claim::settled(None), Claim::Settled { transaction: None });
        assert_eq!(Claim::settled(Some("\n")), Claim::settled(None), "nothing is left of it");
        assert_eq!(Claim::failed("\r\n"), Claim::failed(NO_REASON));
    }
}

//! Prepaid credit: what a wallet paid ahead at a service, and what agents say is left of it.

use crate::{UnixSeconds, Usd, UsdError};

/// The most that an agent may say is left, in dollars: a billion.
pub const REMAINING_USD_MAX: Usd = Usd::from_units(1_000_000_000_000_000_000_000);

/// Why a text is not what is left of credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemainingError {
    /// Not dollars.
    #[error(transparent)]
    NotUsd(#[from] UsdError),
    /// More than [`REMAINING_USD_MAX`].
    #[error("more than {REMAINING_USD_MAX} dollars is nobody's credit: write the balance in dollars")]
    TooLarge,
}

/// Reads what an agent says is left: plain digits such as `3.5`, at most [`REMAINING_USD_MAX`].
///
/// # Errors
/// [`RemainingError`] for anything else.
pub fn parse_remaining(text: &str) -> Result<Usd, RemainingError> {
    let usd = Usd::parse(text)?;
    if usd > REMAINING_USD_MAX { Err(RemainingError::TooLarge) } else { Ok(usd) }
}

/// What the journal knows about the credit of one wallet at one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Credit {
    /// Dollars of every permit booked there that is not released: what was settled, where that is known.
    pub topped_up: Usd,
    /// What an agent said last.
    pub claimed: Option<ClaimedCredit>,
    /// Sign-ins since that was recorded, or ever when nothing was.
    pub sign_ins: u64,
    /// The record of the latest sign-in; 0 when there is none.
    pub last_sign_in: u64,
}

/// What an agent said is left. It moves no money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedCredit {
    /// Dollars.
    pub usd: Usd,
    /// When it was recorded.
    pub at: UnixSeconds,
    /// The record that holds it.
    pub seq: u64,
}

impl Credit {
    /// Both together: the credit of a service under two names. A sum that does not fit stays at its maximum: it is
    /// never less than what was paid. Where both names were used since the latest claim, or that claim is about a sign-in
    /// under the earlier name, there may be more sign-ins than there were, never fewer.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let seq = |credit: &Self| credit.claimed.map_or(0, |claimed| claimed.seq);
        let (late, early) = if seq(&self) >= seq(&other) { (self, other) } else { (other, self) };
        // A name that was last used before the latest claim has no sign-in since.
        let since = if early.last_sign_in > seq(&late) { early.sign_ins } else { 0 };
        Self {
            topped_up: self.topped_up.checked_add(other.topped_up).unwrap_or(Usd::MAX),
            claimed: late.claimed,
            sign_ins: late.sign_ins.saturating_add(since),
            last_sign_in: late.last_sign_in.max(early.last_sign_in),
        }
    }
}

/// The credit behind a call to a prepaid service, as it is before that call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepaidFacts {
    /// Whether the call is to one of the service's `top_up` paths.
    pub top_up: bool,
    /// Dollars paid there by this wallet and not released, under all names of the service.
    pub topped_up: Usd,
    /// What an agent last said is left, if one did.
    pub claimed: Option<ClaimedFacts>,
    /// Sign-ins of this wallet since that was recorded, or ever when nothing was.
    pub sign_ins: u64,
}

/// What an agent last said is left of the credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedFacts {
    /// Dollars.
    pub usd: Usd,
    /// How long ago that was recorded, in seconds.
    pub age_secs: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_dollars_up_to_the_limit_are_left() {
        for text in ["", "-1", "$1", "1,5", "1e3", "01", "0.1234567890123", "NaN", " 1"] {
            assert_eq!(parse_remaining(text), Err(RemainingError::NotUsd(UsdError::NotDecimal)), "{text:?}");
        }
        assert_eq!(parse_remaining("1000000000.000000000001"), Err(RemainingError::TooLarge));
        let huge = "9".repeat(60);
        assert_eq!(parse_remaining(&huge), Err(RemainingError::NotUsd(UsdError::TooLarge)));
        assert_eq!(parse_remaining("1000000000"), Ok(REMAINING_USD_MAX));
        assert_eq!(parse_remaining("0").unwrap(), Usd::ZERO);
        assert_eq!(parse_remaining("3.5").unwrap().to_string(), "3.50");
    }

    #[test]
    fn the_latest_claim_under_any_name_counts_and_what_was_signed_in_for_since() {
        let claimed = |seq| Some(ClaimedCredit { usd: Usd::ZERO, at: UnixSeconds(seq), seq });
        let credit = |usd, claimed, sign_ins, last_sign_in| Credit {
            topped_up: Usd::from_units(usd),
            claimed,
            sign_ins,
            last_sign_in,
        };
        // the earlier name, the later one, both
        let table = [
            (credit(1, None, 3, 9), credit(2, None, 2, 20), credit(3, None, 5, 20)),
            (credit(1, claimed(5), 3, 9), credit(2, None, 2, 20), credit(3, claimed(5), 5, 20)),
            (credit(1, None, 3, 9), credit(2, claimed(15), 2, 20), credit(3, claimed(15), 2, 20)),
            (credit(1, claimed(5), 3, 9), credit(2, claimed(15), 0, 14), credit(3, claimed(15), 0, 14)),
            // The name came back: never fewer than there were.
            (credit(1, claimed(5), 3, 30), credit(2, claimed(15), 2, 20), credit(3, claimed(15), 5, 30)),
        ];
        for (early, late, both) in table {
            assert_eq!((early.plus(late), late.plus(early)), (both, both));
        }
        assert_eq!(Credit::default().plus(table[1].0), table[1].0);
        let most = Credit { topped_up: Usd::MAX, ..Credit::default() };
        assert_eq!(most.plus(table[0].0).topped_up, Usd::MAX);
    }
}

use std::fmt;

use alloy_primitives::U256;

use crate::Amount;

/// US dollars in integer units of 10⁻¹² dollars.
///
/// x402 prices go below a hundredth of a cent, so each payment is kept exactly and only a sum is rounded, up, when it
/// is shown to a policy ([`Usd::ten_thousandths_up`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(u128);

/// Why a text is not a [`Usd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsdError {
    /// Not `[0-9]+` or `[0-9]+.[0-9]{1,12}` without needless leading zeros.
    #[error("not a dollar amount: write plain digits such as `5`, `0.25` or `0.000001`, at most 12 decimals")]
    NotDecimal,
    /// More than about 3.4 × 10²⁶ dollars.
    #[error("too large to be a dollar amount")]
    TooLarge,
}

const DECIMALS: u32 = 12;
const UNITS_PER_DOLLAR: u128 = 10u128.pow(DECIMALS);
const UNITS_PER_TEN_THOUSANDTH: u128 = 10u128.pow(DECIMALS - 4);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// More than any ceiling can be; what a lost journal counts every window as.
    pub const MAX: Self = Self(u128::MAX);

    /// From units of 10⁻¹² dollars.
    #[must_use]
    pub const fn from_units(units: u128) -> Self {
        Self(units)
    }

    /// In units of 10⁻¹² dollars.
    #[must_use]
    pub const fn units(self) -> u128 {
        self.0
    }

    /// Reads `5`, `0.25`, `0.000001`: plain digits, at most 12 decimals.
    ///
    /// # Errors
    /// [`UsdError`] for anything else: signs, exponents, separators, needless leading zeros.
    pub fn parse(text: &str) -> Result<Self, UsdError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let needless_zero = whole.len() > 1 && whole.starts_with('0');
        if !digits(whole) || !digits(fraction) || needless_zero || fraction.len() > DECIMALS as usize {
            return Err(UsdError::NotDecimal);
        }
        let padded = format!("{fraction:0<width$}", width = DECIMALS as usize);
        let whole: u128 = whole.parse().map_err(|_| UsdError::TooLarge)?;
        let fraction: u128 = padded.parse().map_err(|_| UsdError::NotDecimal)?;
        whole
            .checked_mul(UNITS_PER_DOLLAR)
            .and_then(|units| units.checked_add(fraction))
            .map(Self)
            .ok_or(UsdError::TooLarge)
    }

    /// What `amount` atomic units of an asset with `decimals` are worth at `per_unit` for one whole unit, rounded up
    /// (against the spender); nothing when it does not fit.
    #[must_use]
    pub fn of(amount: Amount, decimals: u8, per_unit: Self) -> Option<Self> {
        let product = amount.to_u256().checked_mul(U256::from(per_unit.0))?;
        let scale = U256::from(10u8).checked_pow(U256::from(decimals))?;
        let (quotient, remainder) = product.div_rem(scale);
        let up = if remainder.is_zero() { quotient } else { quotient.checked_add(U256::from(1u8))? };
        u128::try_from(up).ok().map(Self)
    }

    /// The same rounded down: what somebody *has* is never shown as more.
    #[must_use]
    pub fn of_at_least(amount: Amount, decimals: u8, per_unit: Self) -> Option<Self> {
        let product = amount.to_u256().checked_mul(U256::from(per_unit.0))?;
        let scale = U256::from(10u8).checked_pow(U256::from(decimals))?;
        u128::try_from(product.checked_div(scale)?).ok().map(Self)
    }

    /// This value's share for `part` of `whole` atomic units, rounded up and never more than all of it.
    #[must_use]
    pub fn share(self, part: Amount, whole: Amount) -> Self {
        let shared = || {
            let product = U256::from(self.0).checked_mul(part.to_u256())?;
            let whole = whole.to_u256();
            let quotient = product.checked_div(whole)?;
            let exact = quotient.checked_mul(whole)? == product;
            let up = if exact { quotient } else { quotient.checked_add(U256::from(1u8))? };
            u128::try_from(up).ok()
        };
        Self(shared().unwrap_or(self.0).min(self.0))
    }

    /// Whether this is at least `percent` of `limit`.
    #[must_use]
    pub fn reaches(self, percent: u8, limit: Self) -> bool {
        reaches(self.0, percent, limit.0)
    }

    /// The sum, or nothing when it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or nothing when it would be negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Rounded down to ten-thousandths of a dollar; nothing when it does not fit.
    #[must_use]
    pub fn ten_thousandths_down(self) -> Option<i64> {
        i64::try_from(self.0.div_euclid(UNITS_PER_TEN_THOUSANDTH)).ok()
    }

    /// Rounded up to ten-thousandths of a dollar, the resolution of Cedar's `decimal`; nothing when it does not fit.
    #[must_use]
    pub fn ten_thousandths_up(self) -> Option<i64> {
        i64::try_from(self.0.div_ceil(UNITS_PER_TEN_THOUSANDTH)).ok()
    }
}

/// Whether `value` is at least `percent` of `limit`.
pub(crate) fn reaches(value: u128, percent: u8, limit: u128) -> bool {
    let (value, limit) = (U256::from(value), U256::from(limit));
    let (hundred, percent) = (U256::from(100u8), U256::from(percent));
    // Neither product comes near 2²⁵⁶.
    value.saturating_mul(hundred) >= limit.saturating_mul(percent)
}

impl fmt::Display for Usd {
    /// Exact, at least two decimals, no needless zeros: `0.001`, `5.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.div_euclid(UNITS_PER_DOLLAR);
        let fraction = format!("{:012}", self.0.rem_euclid(UNITS_PER_DOLLAR));
        let kept = fraction.trim_end_matches('0');
        write!(f, "{whole}.{kept:0<2}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_decimals_are_dollars() {
        for text in
            ["", ".", "1.", ".5", "-1", "+1", "1e3", "1_000", "01", "0.0000000000001", "1,5", " 1", "1.5.5"]
        {
            assert_eq!(Usd::parse(text), Err(UsdError::NotDecimal), "{text:?}");
        }
        assert_eq!(Usd::parse(&"9".repeat(30)), Err(UsdError::TooLarge));
        assert_eq!(Usd::parse("0.000000000001").unwrap(), Usd(1));
    }

    #[test]
    fn value_and_display_round_against_the_spender() {
        let table = [
            // atomic, decimals, dollars per unit, expected display, expected ten-thousandths
            ("1000", 6, "1", "0.001", 10),
            ("1", 6, "1", "0.000001", 1),
            ("1", 18, "1", "0.000000000001", 1),
            ("5000000", 6, "1", "5.00", 50_000),
            ("1000000", 6, "1.0825", "1.0825", 10_825),
        ];
        for (atomic, decimals, rate, display, cedar) in table {
            let usd = Usd::of(Amount::parse(atomic).unwrap(), decimals, Usd::parse(rate).unwrap()).unwrap();
            assert_eq!((usd.to_string().as_str(), usd.ten_thousandths_up()), (display, Some(cedar)));
        }
    }

    #[test]
    fn a_share_is_rounded_up_and_never_more_than_the_whole() {
        let amount = |text: &str| Amount::parse(text).unwrap();
        let table = [
            ("0.01", "10000", "10000", "0.01"),
            ("0.01", "2500", "10000", "0.0025"),
            ("0.000000000001", "1", "3", "0.000000000001"),
            ("0.01", "1", "3", "0.003333333334"),
            ("0.01", "0", "3", "0"),
            // A node that says more than was signed, and a whole of nothing, free nothing.
            ("0.01", "20000", "10000", "0.01"),
            ("0.01", "1", "0", "0.01"),
        ];
        for (usd, part, whole, expected) in table {
            let share = Usd::parse(usd).unwrap().share(amount(part), amount(whole));
            assert_eq!(share, Usd::parse(expected).unwrap(), "{usd} × {part}/{whole}");
        }
    }

    #[test]
    fn a_balance_is_rounded_down() {
        let one = Usd::parse("1").unwrap();
        assert_eq!(Usd::of_at_least(Amount::parse("1").unwrap(), 18, one), Some(Usd(0)));
        assert_eq!(Usd::of(Amount::parse("1").unwrap(), 18, one), Some(Usd(1)));
        assert_eq!(Usd::parse("0.00019").unwrap().ten_thousandths_down(), Some(1));
    }

    #[test]
    fn a_percentage_is_reached_exactly() {
        let usd = |text: &str| Usd::parse(text).unwrap();
        let table = [("0.8", 80, "1", true), ("0.799999999999", 80, "1", false), ("1", 100, "1", true)];
        for (value, percent, limit, reached) in table {
            assert_eq!(usd(value).reaches(percent, usd(limit)), reached, "{value} {percent} {limit}");
        }
        assert!(Usd::MAX.reaches(100, Usd::MAX));
    }

    #[test]
    fn what_does_not_fit_is_nothing() {
        let huge = Amount::parse(&format!("1{}", "0".repeat(70))).unwrap();
        assert_eq!(Usd::of(huge, 6, Usd::parse("1").unwrap()), None);
        assert_eq!(Usd::of(Amount::ZERO, u8::MAX, Usd::ZERO), None);
        assert_eq!(Usd::MAX.checked_add(Usd(1)), None);
        assert_eq!(Usd::MAX.ten_thousandths_up(), None);
    }

    proptest! {
        #[test]
        fn display_and_parse_agree(units in any::<u128>()) {
            prop_assert_eq!(Usd::parse(&Usd(units).to_string()), Ok(Usd(units)));
        }
    }
}

use std::fmt;

use alloy_primitives::U256;

/// An amount in atomic units of one asset, 0 to 2²⁵⁶−1.
///
/// Money is never a float and never wraps: the only operations are checked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(U256);

/// Why a text is not an [`Amount`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Anything but `0` or a digit 1–9 followed by digits 0–9.
    #[error(
        "not a canonical decimal integer: write plain digits without sign, separator, prefix or leading zero"
    )]
    NotCanonical,
    /// More than 2²⁵⁶−1.
    #[error("larger than 2^256-1")]
    TooLarge,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(U256::ZERO);
    /// 2²⁵⁶−1: what approvals without limit say.
    pub const MAX: Self = Self(U256::MAX);

    /// Reads a canonical decimal string: `0` or `[1-9][0-9]*`, at most 2²⁵⁶−1.
    ///
    /// Library parsers also take ``, `_`, `1_000`, `007` and `0x10`; a seller and a signer that disagree on what those
    /// mean disagree on money, so this one does not.
    ///
    /// # Errors
    /// [`AmountError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let bytes = text.as_bytes();
        let canonical = match bytes {
            [b'0'] => true,
            [first, rest @ ..] => matches!(first, b'1'..=b'9') && rest.iter().all(u8::is_ascii_digit),
            [] => false,
        };
        if !canonical {
            return Err(AmountError::NotCanonical);
        }
        let ten = U256::from(10u8);
        let mut value = U256::ZERO;
        for digit in bytes {
            value = value
                .checked_mul(ten)
                .and_then(|tens| tens.checked_add(U256::from(digit.wrapping_sub(b'0'))))
                .ok_or(AmountError::TooLarge)?;
        }
        Ok(Self(value))
    }

    /// The number that these 32 bytes are, the first being the highest.
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_be_bytes(bytes))
    }

    /// The 32 bytes of the number, the highest first.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 32] {
        self.0.to_be_bytes()
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

    /// Whether this is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    pub(crate) fn to_u256(self) -> U256 {
        self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_canonical_decimals_are_amounts() {
        for text in
            ["", "_", "1_000", "007", "00", "0x10", "+1", "-1", "1e3", "1.0", " 1", "1 ", "１", "٣", "1\n"]
        {
            assert_eq!(Amount::parse(text), Err(AmountError::NotCanonical), "{text:?}");
        }
        let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        assert_eq!(Amount::parse(max).unwrap().to_string(), max);
        let over = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert_eq!(Amount::parse(over), Err(AmountError::TooLarge));
        assert_eq!(Amount::parse(&"9".repeat(4096)), Err(AmountError::TooLarge));
    }

    #[test]
    fn sums_that_do_not_fit_are_nothing() {
        let max = Amount(U256::MAX);
        assert_eq!(max.checked_add(Amount(U256::from(1u8))), None);
        assert_eq!(Amount::ZERO.checked_sub(Amount(U256::from(1u8))), None);
    }

    proptest! {
        #[test]
        fn display_and_parse_agree(limbs in any::<[u64; 4]>()) {
            let amount = Amount(U256::from_limbs(limbs));
            prop_assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
        }

        #[test]
        fn parse_never_panics(text in "\\PC*") {
            let _ = Amount::parse(&text);
        }
    }
}

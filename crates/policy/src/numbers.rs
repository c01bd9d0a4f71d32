//! Decimals and moments as Cedar values, remembered.
//!
//! Cedar's constructors for them run its parser on the constructor's own name, which costs more than judging a rule.
//! Prices repeat and so do sums of them; a moment repeats within its second.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use cedar_policy::RestrictedExpression;
use pursekeeper_core::{DenyCode, UnixSeconds, Usd};

use crate::vocabulary::unjudgeable;

/// Most values that are remembered; then remembering starts afresh.
const VALUES_MAX: usize = 16_384;

/// A memory of a pure function from a number to a value.
type Memory = LazyLock<Mutex<HashMap<u64, RestrictedExpression>>>;

/// Dollars that are spent, with four digits, rounded up.
pub(crate) fn dollars(value: Usd) -> Result<RestrictedExpression, DenyCode> {
    decimal(value.ten_thousandths_up())
}

/// Dollars that are left, with four digits, rounded down.
pub(crate) fn dollars_left(value: Usd) -> Result<RestrictedExpression, DenyCode> {
    decimal(value.ten_thousandths_down())
}

fn decimal(ten_thousandths: Option<i64>) -> Result<RestrictedExpression, DenyCode> {
    static DECIMALS: Memory = LazyLock::new(Mutex::default);
    let units = ten_thousandths.ok_or(DenyCode::AmountTooLarge)?;
    let units = u64::try_from(units).map_err(unjudgeable)?;
    remembered(&DECIMALS, units, |units| {
        let text = format!("{}.{:04}", units.div_euclid(10_000), units.rem_euclid(10_000));
        Ok(RestrictedExpression::new_decimal(text))
    })
}

/// A moment.
pub(crate) fn datetime(at: UnixSeconds) -> Result<RestrictedExpression, DenyCode> {
    static MOMENTS: Memory = LazyLock::new(Mutex::default);
    remembered(&MOMENTS, at.0, |seconds| {
        let seconds = i64::try_from(seconds).map_err(unjudgeable)?;
        let at = jiff::Timestamp::from_second(seconds).map_err(unjudgeable)?;
        Ok(RestrictedExpression::new_datetime(at.to_string()))
    })
}

fn remembered(
    memory: &Memory,
    key: u64,
    make: impl FnOnce(u64) -> Result<RestrictedExpression, DenyCode>,
) -> Result<RestrictedExpression, DenyCode> {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = memory.get(&key) {
        return Ok(known.clone());
    }
    let made = make(key)?;
    if memory.len() >= VALUES_MAX {
        memory.clear();
    }
    memory.insert(key, made.clone());
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: Result<RestrictedExpression, DenyCode>) -> String {
        let pairs = [("value".to_owned(), value.unwrap())];
        cedar_policy::Context::from_pairs(pairs).unwrap().get("value").unwrap().to_string()
    }

    #[test]
    fn sums_are_rounded_up_to_four_digits() {
        let table =
            [("0", "0.0000"), ("0.000000000001", "0.0001"), ("12.34", "12.3400"), ("0.99991", "1.0000")];
        for (usd, decimal) in table {
            for _ in 0..2 {
                let expected = format!("decimal(\"{decimal}\")");
                assert_eq!(shown(dollars(Usd::parse(usd).unwrap())), expected);
            }
        }
        assert_eq!(shown(dollars_left(Usd::parse("0.99999").unwrap())), "decimal(\"0.9999\")");
        assert!(dollars(Usd::MAX).is_err());
        assert!(datetime(UnixSeconds(u64::MAX)).is_err());
        assert_eq!(shown(datetime(UnixSeconds(1))), "datetime(\"1970-01-01T00:00:01Z\")");
    }
}

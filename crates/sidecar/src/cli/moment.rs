//! Times, as people read them.

/// A moment in words, or in seconds where it has none.
pub(super) fn of_secs(unix_secs: u64) -> String {
    let at = i64::try_from(unix_secs).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    at.map_or_else(|| unix_secs.to_string(), |at| at.to_string())
}

/// A moment in words with its milliseconds, or in milliseconds where it has none.
pub(super) fn of_millis(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| unix_ms.to_string(), |at| format!("{at:.3}"))
}

/// A moment in words, or nothing for 0.
pub(super) fn of_secs_if_any(unix_secs: u64) -> String {
    if unix_secs == 0 { String::new() } else { of_secs(unix_secs) }
}

/// The day of a moment.
pub(super) fn day_of_millis(unix_ms: u64) -> String {
    of_millis(unix_ms).chars().take_while(|c| *c != 'T').collect()
}

/// Microseconds in milliseconds: `1.284 ms`.
pub(super) fn millis_of_micros(micros: u64) -> String {
    format!("{}.{:03} ms", micros.div_euclid(1_000), micros.rem_euclid(1_000))
}

/// A span in at most two units: `840 ms`, `2.300 s`, `3 h 12 min`.
pub(super) fn span(ms: u64) -> String {
    let secs = ms.div_euclid(1_000);
    if secs == 0 {
        return format!("{ms} ms");
    }
    if secs < 60 {
        return format!("{secs}.{:03} s", ms.rem_euclid(1_000));
    }
    let units = [("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)];
    let split = units.into_iter().find(|(_, length, _, _)| secs >= *length);
    split.map_or_else(String::new, |(large, length, small, part)| {
        let rest = secs.checked_rem(length).and_then(|rest| rest.checked_div(part)).unwrap_or(0);
        format!("{} {large} {rest} {small}", secs.checked_div(length).unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_at_most_two_units() {
        let table = [
            (0, "0 ms"),
            (999, "999 ms"),
            (2_300, "2.300 s"),
            (59_999, "59.999 s"),
            (60_000, "1 min 0 s"),
            (3_599_999, "59 min 59 s"),
            (11_520_000, "3 h 12 min"),
            (180_000_000, "2 d 2 h"),
        ];
        for (ms, text) in table {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn a_moment_is_rfc_3339_and_what_is_none_stays_a_number() {
        assert_eq!(of_secs(1_795_000_000), "2026-11-18T11:06:40Z");
        assert_eq!(of_millis(1_795_000_000_007), "2026-11-18T11:06:40.007Z");
        assert_eq!(day_of_millis(1_795_000_000_007), "2026-11-18");
        assert_eq!(of_secs(u64::MAX), u64::MAX.to_string());
        assert_eq!(of_millis(u64::MAX), u64::MAX.to_string());
        assert_eq!((of_secs_if_any(0).as_str(), of_secs_if_any(1).as_str()), ("", "1970-01-01T00:00:01Z"));
        assert_eq!(millis_of_micros(1_284), "1.284 ms");
        assert_eq!(millis_of_micros(7), "0.007 ms");
    }
}

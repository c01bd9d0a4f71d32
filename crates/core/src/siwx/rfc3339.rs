//! RFC 3339 times, in the form EIP-4361 uses them: `T` and `Z` in upper case, years 1970 to 9999, no leap seconds.

use crate::UnixSeconds;

/// 9999-12-31T23:59:59Z, the last second that can be written.
const LAST: u64 = 253_402_300_799;
const SECS_PER_DAY: u64 = 86_400;
/// Most digits of a fraction of a second: nanoseconds, which is as far as anybody's parser reads.
const FRACTION_DIGITS_MAX: usize = 9;

/// Reads a time; the fraction of a second is checked and cut off.
pub(super) fn parse(text: &str) -> Option<UnixSeconds> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let number = |from: usize, to: usize| -> Option<u64> { digits(date_time.get(from..to)?) };
    let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    let marked = |(at, mark): (usize, &str)| date_time.get(at..).is_some_and(|rest| rest.starts_with(mark));
    if !marks.into_iter().all(marked) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let of_day = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?.checked_add(second)?;
    let local = days(year, month, day)?.checked_mul(SECS_PER_DAY)?.checked_add(of_day)?;
    let (ahead, behind) = offset(without_fraction(rest)?)?;
    Some(UnixSeconds(local.checked_add(behind)?.checked_sub(ahead)?))
}

/// Writes a time as JavaScript's `toISOString` does; what lies after the year 9999 becomes its last second.
pub(super) fn format(at: UnixSeconds) -> String {
    let secs = at.0.min(LAST);
    let (days, of_day) = (secs.div_euclid(SECS_PER_DAY), secs.rem_euclid(SECS_PER_DAY));
    let mut year = 1970;
    let mut day = days;
    while let Some(rest) = day.checked_sub(year_len(year)) {
        day = rest;
        year = year.saturating_add(1);
    }
    let mut month = 1;
    while let Some(rest) = month_len(year, month).and_then(|len| day.checked_sub(len)) {
        day = rest;
        month = month.saturating_add(1);
    }
    let (hour, minute) = (of_day.div_euclid(3600), of_day.rem_euclid(3600).div_euclid(60));
    let second = of_day.rem_euclid(60);
    let day = day.saturating_add(1);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// What follows an optional fraction of a second.
fn without_fraction(rest: &str) -> Option<&str> {
    let Some(fraction) = rest.strip_prefix('.') else { return Some(rest) };
    let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    let len = fraction.len().checked_sub(zone.len())?;
    (1..=FRACTION_DIGITS_MAX).contains(&len).then_some(zone)
}

/// Seconds ahead of and behind UTC, one of them zero.
fn offset(zone: &str) -> Option<(u64, u64)> {
    if zone == "Z" {
        return Some((0, 0));
    }
    let (sign, clock) = zone.split_at_checked(1)?;
    let (hour, minute) = clock.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let secs = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?;
    match sign {
        "+" => Some((secs, 0)),
        "-" => Some((0, secs)),
        _ => None,
    }
}

/// Days since the epoch.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=month_len(year, month)?).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(year_len).sum();
    let months: u64 = (1..month).map_while(|month| month_len(year, month)).sum();
    years.checked_add(months)?.checked_add(day)?.checked_sub(1)
}

fn year_len(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_len(year: u64, month: u64) -> Option<u64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap(year) { 29 } else { 28 }),
        _ => None,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_strict_times_are_read() {
        for text in [
            "",
            "2026-01-15",
            "2026-01-15T10:30:00",
            "2026-01-15t10:30:00Z",
            "2026-01-15T10:30:00z",
            "2026-01-15 10:30:00Z",
            "2026-01-15T10:30Z",
            "2026-01-15T10:30:00.Z",
            "2026-01-15T10:30:00.0000000000Z",
            "2026-01-15T10:30:00,5Z",
            "2026-01-15T10:30:00+0100",
            "2026-01-15T10:30:00+01:0",
            "2026-01-15T10:30:00+1:00",
            "2026-01-15T10:30:00+24:00",
            "2026-01-15T10:30:00+00:60",
            "2026-01-15T10:30:00*00:00",
            "2026-01-15T10:30:00+-1:00",
            "2026-01-15T24:00:00Z",
            "2026-01-15T10:60:00Z",
            "2026-12-31T23:59:60Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-13-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "+2026-01-15T10:30:00Z",
            "-026-01-15T10:30:00Z",
            "２026-01-15T10:30:00Z",
            "2026-01-15T10:30:00Z ",
            " 2026-01-15T10:30:00Z",
            "2026-01-15T10:30:00Z\n",
            "2026-01-15T10:30:00.１Z",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_right_spelling_is_read() {
        let table = [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-15T10:30:00.000Z", 1_768_473_000),
            ("2026-01-15T10:30:00Z", 1_768_473_000),
            ("2026-01-15T10:30:00.999999999Z", 1_768_473_000),
            ("2026-01-15T12:00:00+01:30", 1_768_473_000),
            ("2026-01-15T09:30:00.5-01:00", 1_768_473_000),
            ("2026-01-15T10:30:00-00:00", 1_768_473_000),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("9999-12-31T23:59:59Z", LAST),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), Some(UnixSeconds(expected)), "{text}");
        }
        assert_eq!(format(UnixSeconds(1_768_473_000)), "2026-01-15T10:30:00.000Z");
        assert_eq!(format(UnixSeconds(u64::MAX)), "9999-12-31T23:59:59.000Z");
    }

    proptest! {
        #[test]
        fn jiff_reads_the_same_time(
            (year, month, day) in (1970u32..9999, 1u32..13, 1u32..32),
            (hour, minute, second) in (0u32..24, 0u32..60, 0u32..60),
            fraction in proptest::option::of("[0-9]{1,9}"),
            zone in "Z|[+-][01][0-9]:[0-5][0-9]",
        ) {
            let fraction = fraction.map_or(String::new(), |digits| format!(".{digits}"));
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            let theirs = text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_second()).ok());
            // jiff rounds towards zero, so the last fraction of 1969 is 0 to it and nothing to us.
            prop_assert_eq!(parse(&text).map(|at| at.0), theirs.filter(|at| *at > 0 || parse(&text).is_some()));
        }

        #[test]
        fn jiff_writes_the_same_time(secs in 0..253_402_200_000u64) {
            let text = format(UnixSeconds(secs));
            let theirs = jiff::Timestamp::from_second(i64::try_from(secs).unwrap()).unwrap();
            prop_assert_eq!(&text, &format!("{theirs:.3}"));
            prop_assert_eq!(parse(&text), Some(UnixSeconds(secs)));
        }

        #[test]
        fn what_is_read_of_any_text_jiff_reads_too(text in "\\PC{0,40}|[0-9TZ:.+-]{15,30}") {
            if let Some(at) = parse(&text) {
                let theirs = text.parse::<jiff::Timestamp>().unwrap();
                prop_assert_eq!(i64::try_from(at.0).unwrap(), theirs.as_second());
            }
        }
    }
}

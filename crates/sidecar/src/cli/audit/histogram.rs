//! When records came, as bars.

use std::collections::BTreeMap;

/// Lengths of a bar's time, in milliseconds, each a multiple of the one before.
const STEPS_MS: [u64; 9] =
    [1_000, 60_000, 300_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000, 2_419_200_000, 29_030_400_000];
/// Most bars.
const BARS_MAX: u64 = 24;
/// Length of the longest bar, in characters.
const BAR_LEN: u64 = 40;

/// Counts over time. It begins fine and becomes coarser as more time is to be shown, so that it stays small.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Which of the steps a bar stands for.
    step: usize,
    /// Permitted, denied and other records, by the number of the step since the Unix epoch.
    bars: BTreeMap<u64, [u64; 3]>,
}

/// The counts of one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) from_unix_ms: u64,
    pub(super) permitted: u64,
    pub(super) denied: u64,
    pub(super) others: u64,
}

impl Histogram {
    fn step_ms(&self) -> u64 {
        STEPS_MS.get(self.step).copied().unwrap_or(u64::MAX)
    }

    pub(super) fn add(&mut self, unix_ms: u64, verdict: &str, count: u64) {
        let at = unix_ms.checked_div(self.step_ms()).unwrap_or(0);
        let [permitted, denied, others] = self.bars.entry(at).or_default();
        let of_kind = match verdict {
            "permit" => permitted,
            "deny" => denied,
            _ => others,
        };
        *of_kind = of_kind.saturating_add(count);
        while self.len() > BARS_MAX && self.step.saturating_add(1) < STEPS_MS.len() {
            self.coarsen();
        }
    }

    /// How many bars there are, empty ones between included.
    fn len(&self) -> u64 {
        let ends = self.bars.first_key_value().zip(self.bars.last_key_value());
        ends.map_or(0, |((first, _), (last, _))| last.saturating_sub(*first).saturating_add(1))
    }

    fn coarsen(&mut self) {
        let before = self.step_ms();
        self.step = self.step.saturating_add(1);
        let ratio = self.step_ms().checked_div(before).unwrap_or(1);
        for (at, counts) in std::mem::take(&mut self.bars) {
            let sums = self.bars.entry(at.checked_div(ratio).unwrap_or(0)).or_default();
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.saturating_add(count);
            }
        }
    }

    /// The bars from the first to the last, empty ones between included, and how long each lasts in milliseconds.
    pub(super) fn bars(&self) -> (u64, Vec<Bar>) {
        let step_ms = self.step_ms();
        let ends = self.bars.first_key_value().zip(self.bars.last_key_value());
        let Some(((first, _), (last, _))) = ends else { return (step_ms, Vec::new()) };
        let bar = |at: u64| {
            let [permitted, denied, others] = self.bars.get(&at).copied().unwrap_or_default();
            Bar { from_unix_ms: at.saturating_mul(step_ms), permitted, denied, others }
        };
        let shown = usize::try_from(BARS_MAX).unwrap_or(usize::MAX);
        (step_ms, (*first..=*last).take(shown).map(bar).collect())
    }
}

impl Bar {
    pub(super) fn total(self) -> u64 {
        self.permitted.saturating_add(self.denied).saturating_add(self.others)
    }
}

/// A bar for `part` of `most`, in eighths of a character where the terminal has them.
pub(super) fn draw(part: u64, most: u64, unicode: bool) -> String {
    let eighths = part.saturating_mul(BAR_LEN).saturating_mul(8).checked_div(most).unwrap_or(0);
    let (full, rest) = (eighths.div_euclid(8), eighths.rem_euclid(8));
    let times = |text: &str| text.repeat(usize::try_from(full).unwrap_or(0));
    if !unicode {
        // Something is never nothing.
        return if part > 0 && full == 0 { "#".to_owned() } else { times("#") };
    }
    let tip = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let rest = if part > 0 && eighths == 0 { 1 } else { rest };
    format!("{}{}", times("█"), usize::try_from(rest).ok().and_then(|rest| tip.get(rest)).unwrap_or(&""))
}

/// Whether whoever reads this takes block characters, by the first of these variables that says something.
pub(super) fn takes_unicode(variables: [Option<String>; 3]) -> bool {
    let said = variables.into_iter().flatten().find(|said| !said.is_empty()).unwrap_or_default();
    let said = said.to_ascii_lowercase();
    said.contains("utf-8") || said.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_become_coarser_until_they_fit() {
        let table = [
            (vec![0, 5_000], 1_000, 6),
            (vec![0, 60_000], 60_000, 2),
            (vec![0, 3_600_000], 300_000, 13),
            (vec![0, 86_400_000], 21_600_000, 5),
            (vec![0, 30 * 86_400_000], 604_800_000, 5),
            (vec![1_795_000_000_000, 1_795_000_000_500], 1_000, 1),
        ];
        for (times, step_ms, len) in table {
            let mut histogram = Histogram::default();
            times.iter().for_each(|at| histogram.add(*at, "permit", 2));
            let (step, bars) = histogram.bars();
            assert_eq!((step, bars.len()), (step_ms, len), "{times:?}");
            assert_eq!(bars.iter().map(|bar| bar.permitted).sum::<u64>(), 4);
            assert!(bars[0].from_unix_ms <= times[0]);
        }
        assert_eq!(Histogram::default().bars().1, []);
    }

    #[test]
    fn what_is_counted_is_told_apart() {
        let mut histogram = Histogram::default();
        for (verdict, count) in [("permit", 1), ("deny", 57), ("", 3), ("deny", 1)] {
            histogram.add(1_500, verdict, count);
        }
        let bar = Bar { from_unix_ms: 1_000, permitted: 1, denied: 58, others: 3 };
        assert_eq!(histogram.bars(), (1_000, vec![bar]));
        assert_eq!(bar.total(), 62);
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let table = [
            (0, 10, "", ""),
            (1, 1_000_000, "▏", "#"),
            (1, 80, "▌", "#"),
            (10, 10, &"█".repeat(40), &"#".repeat(40)),
            (5, 10, &"█".repeat(20), &"#".repeat(20)),
            (0, 0, "", ""),
        ];
        for (part, most, blocks, ascii) in table {
            assert_eq!(draw(part, most, true), *blocks, "{part} of {most}");
            assert_eq!(draw(part, most, false), *ascii, "{part} of {most}");
        }
    }

    #[test]
    fn the_first_variable_that_says_something_decides() {
        let of = |text: &str| Some(text.to_owned());
        let table = [
            ([None, None, None], false),
            ([None, None, of("en_US.UTF-8")], true),
            ([None, of("C"), of("en_US.UTF-8")], false),
            ([of(""), None, of("C.utf8")], true),
            ([of("POSIX"), of("C.UTF-8"), None], false),
        ];
        for (variables, takes) in table {
            assert_eq!(takes_unicode(variables.clone()), takes, "{variables:?}");
        }
    }
}

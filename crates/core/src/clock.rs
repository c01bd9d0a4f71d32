//! Whether the wall clock can be believed.
//!
//! The journal keeps a high-water mark, the latest time of any record, and an anchor: what wall and boot clock said
//! together at the first record of the current boot. Within a boot the wall clock may not run ahead of the boot clock;
//! across boots it may not be further ahead of the high-water mark than a machine is usually off. What is not believed
//! is judged and recorded at the time the boot clock allows, so that a clock that jumps frees no window.

use crate::Moment;

/// What a journal knows about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ClockMark {
    /// The latest wall clock of any record, in milliseconds since the Unix epoch.
    pub high_water_ms: u64,
    /// What the clocks said together at the first record of a boot, or when an operator last confirmed them.
    pub anchor: Option<Moment>,
}

/// What can be believed of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockTrust {
    /// All of it; never less than the latest record says, so that nothing that is over begins again.
    Sound(Moment),
    /// The wall clock is behind the journal.
    Regressed {
        /// By this many milliseconds.
        behind_ms: u64,
    },
    /// The wall clock is ahead of what the boot clock or the last record allows.
    Jumped {
        /// By this many milliseconds.
        ahead_ms: u64,
        /// The time that is believed instead.
        believed: Moment,
    },
}

/// How far clocks may be off, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockTolerance {
    /// Our own clock may go back this far.
    pub back_ms_max: u64,
    /// The wall clock may be this far ahead of the boot clock.
    pub ahead_ms_max: u64,
    /// The wall clock may be this far ahead of the last record when the machine was booted since.
    pub reboot_ms_max: u64,
}

impl ClockMark {
    /// The mark after a record at `at`. An operator who `accepts` the clock moves the anchor to it.
    #[must_use]
    pub fn after(self, at: Moment, accepts: bool) -> Self {
        let Self { high_water_ms, anchor } = self;
        let of_this_boot = anchor.is_some_and(|anchor| anchor.boot_id == at.boot_id);
        // A clock that is behind tells nothing about where this boot began, and neither does a time that is only believed
        // because the clock jumped: that is the high-water mark itself.
        let moves = accepts || (!of_this_boot && at.unix_ms > high_water_ms);
        Self { high_water_ms: high_water_ms.max(at.unix_ms), anchor: if moves { Some(at) } else { anchor } }
    }

    /// What of `at` can be believed.
    #[must_use]
    pub fn trust(&self, at: Moment, tolerance: ClockTolerance) -> ClockTrust {
        let ClockTolerance { back_ms_max, ahead_ms_max, reboot_ms_max } = tolerance;
        let behind_ms = self.high_water_ms.saturating_sub(at.unix_ms);
        if behind_ms > back_ms_max {
            return ClockTrust::Regressed { behind_ms };
        }
        let anchor = self.anchor.filter(|anchor| anchor.boot_id == at.boot_id);
        let elapsed = anchor.and_then(|anchor| at.boot_ms.checked_sub(anchor.boot_ms));
        let (expected, ahead_max) = match (anchor, elapsed) {
            (Some(anchor), Some(elapsed)) => (anchor.unix_ms.saturating_add(elapsed), ahead_ms_max),
            // Another boot; or a boot clock that went back, which none does.
            (Some(_) | None, _) => (self.high_water_ms, reboot_ms_max),
        };
        let ahead_ms = at.unix_ms.saturating_sub(expected);
        if ahead_ms <= ahead_max {
            return ClockTrust::Sound(Moment { unix_ms: at.unix_ms.max(self.high_water_ms), ..at });
        }
        let believed = Moment { unix_ms: expected.max(self.high_water_ms), ..at };
        ClockTrust::Jumped { ahead_ms, believed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: ClockTolerance =
        ClockTolerance { back_ms_max: 2_000, ahead_ms_max: 60_000, reboot_ms_max: 86_400_000 };
    const START: u64 = 1_000_000_000;

    fn at(boot: u8, boot_ms: u64, unix_ms: u64) -> Moment {
        Moment { unix_ms, boot_ms, boot_id: [boot; 16] }
    }

    #[test]
    fn the_wall_clock_may_not_leave_the_boot_clock() {
        let mark = ClockMark::default().after(at(1, 5_000, START), false);
        let sound = ClockTrust::Sound;
        let jumped = |ahead_ms, believed| ClockTrust::Jumped { ahead_ms, believed };
        let table = [
            // A day passes on both clocks.
            (at(1, 86_405_000, START + 86_400_000), sound(at(1, 86_405_000, START + 86_400_000))),
            // Ahead by exactly the tolerance, and by one more.
            (at(1, 6_000, START + 61_000), sound(at(1, 6_000, START + 61_000))),
            (at(1, 6_000, START + 61_001), jumped(60_001, at(1, 6_000, START + 1_000))),
            // Back by exactly the tolerance, and by one more.
            (at(1, 6_000, START - 2_000), sound(at(1, 6_000, START))),
            (at(1, 6_000, START - 2_001), ClockTrust::Regressed { behind_ms: 2_001 }),
            // After a reboot the last record counts.
            (at(2, 10, START + 86_400_000), sound(at(2, 10, START + 86_400_000))),
            (at(2, 10, START + 86_400_001), jumped(86_400_001, at(2, 10, START))),
            (at(2, 10, u64::MAX), jumped(u64::MAX - START, at(2, 10, START))),
            // A boot clock that went back is no boot clock.
            (at(1, 4_000, START + 61_000), sound(at(1, 4_000, START + 61_000))),
        ];
        for (now, expected) in table {
            assert_eq!(mark.trust(now, TOLERANCE), expected, "{now:?}");
        }
    }

    #[test]
    fn many_small_jumps_are_one_large_one() {
        let mut mark = ClockMark::default().after(at(1, 0, START), false);
        for step in 1..=3 {
            let now = at(1, 0, START + step * 20_000);
            assert_eq!(mark.trust(now, TOLERANCE), ClockTrust::Sound(now));
            mark = mark.after(now, false);
        }
        assert!(matches!(mark.trust(at(1, 0, START + 80_000), TOLERANCE), ClockTrust::Jumped { .. }));
    }

    #[test]
    fn an_operator_confirms_the_clock_and_only_so_it_is_believed() {
        let mark = ClockMark::default().after(at(1, 0, START), false);
        let far = at(1, 1_000, START + 1_000_000_000);
        let ClockTrust::Jumped { believed, .. } = mark.trust(far, TOLERANCE) else { panic!("it jumped") };
        let denied = mark.after(believed, false);
        assert!(matches!(denied.trust(far, TOLERANCE), ClockTrust::Jumped { .. }));
        assert_eq!(denied.after(far, true).trust(far, TOLERANCE), ClockTrust::Sound(far));
    }

    #[test]
    fn a_clock_that_is_behind_anchors_nothing() {
        let mark = ClockMark::default().after(at(1, 0, START), false);
        let behind = mark.after(at(2, 0, START - 10_000), false);
        assert_eq!(behind.anchor, mark.anchor);
        let later = at(2, 1_000, START + 3_600_000);
        assert_eq!(behind.trust(later, TOLERANCE), ClockTrust::Sound(later));
    }

    #[test]
    fn after_a_reboot_with_a_wrong_clock_it_is_enough_to_put_it_right() {
        let mark = ClockMark::default().after(at(1, 0, START), false);
        let wrong = at(2, 0, START + 30 * 86_400_000);
        let ClockTrust::Jumped { believed, .. } = mark.trust(wrong, TOLERANCE) else { panic!("it jumped") };
        let denied = mark.after(believed, false);
        let right = at(2, 60_000, START + 5 * 3_600_000);
        assert_eq!(denied.trust(right, TOLERANCE), ClockTrust::Sound(right));
    }
}

//! What the documentation says about clocks.

const BACK_MS_MAX: u64 = 2_000;
const AHEAD_MS_MAX: u64 = 60_000;
const REBOOT_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// What the machine's clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) wall_ms: u64,
    pub(crate) boot_ms: u64,
    pub(crate) boot: u8,
}

/// What can be believed of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    Sound,
    Behind,
    Ahead,
}

/// The latest time of any record, and what the clocks said together at the first record of a boot or when an operator
/// confirmed them.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) latest_ms: u64,
    anchor: Reading,
}

impl Clock {
    pub(crate) fn begun(at: Reading) -> Self {
        Self { latest_ms: at.wall_ms, anchor: at }
    }

    /// What the wall clock should say now, as far as anybody can know.
    pub(crate) fn expected_ms(&self, now: Reading) -> u64 {
        let passed = now.boot_ms.saturating_sub(self.anchor.boot_ms);
        if now.boot == self.anchor.boot { self.anchor.wall_ms + passed } else { self.latest_ms }
    }

    pub(crate) fn trust(&self, now: Reading) -> Trust {
        if now.wall_ms + BACK_MS_MAX < self.latest_ms {
            return Trust::Behind;
        }
        let ahead_max = if now.boot == self.anchor.boot { AHEAD_MS_MAX } else { REBOOT_MS_MAX };
        if now.wall_ms > self.expected_ms(now) + ahead_max { Trust::Ahead } else { Trust::Sound }
    }

    /// The reading that everything is judged and recorded at: what is ahead of itself is not believed.
    pub(crate) fn believed(&self, now: Reading) -> Reading {
        match self.trust(now) {
            Trust::Sound => Reading { wall_ms: now.wall_ms.max(self.latest_ms), ..now },
            Trust::Behind => now,
            Trust::Ahead => Reading { wall_ms: self.expected_ms(now).max(self.latest_ms), ..now },
        }
    }

    /// After a record.
    pub(crate) fn record(&mut self, at: Reading, accepted: bool) {
        let first_of_boot = at.boot != self.anchor.boot && at.wall_ms > self.latest_ms;
        if accepted || first_of_boot {
            self.anchor = at;
        }
        self.latest_ms = self.latest_ms.max(at.wall_ms);
    }
}

use std::fmt;

/// Seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// Later by `secs`, at most the end of time.
    #[must_use]
    pub const fn plus(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// Earlier by `secs`, at least the epoch.
    #[must_use]
    pub const fn minus(self, secs: u64) -> Self {
        Self(self.0.saturating_sub(secs))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One reading of the machine's clocks, taken by the shell and passed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Time since the machine booted, milliseconds.
    pub boot_ms: u64,
    /// Which boot `boot_ms` counts from.
    pub boot_id: [u8; 16],
}

impl Moment {
    /// The wall clock in whole seconds.
    #[must_use]
    pub const fn unix_seconds(&self) -> UnixSeconds {
        UnixSeconds(self.unix_ms.div_euclid(1000))
    }
}

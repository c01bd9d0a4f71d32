//! The machine's clocks. The only place that reads them.

use pursekeeper_core::Moment;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Reads the wall clock and the boot clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot_id: [u8; 16],
}

impl Clock {
    /// A clock of this boot. Without `/proc` the boot has no name and counts as its own.
    #[must_use]
    pub fn new() -> Self {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut boot_id = [0; 16];
        // A boot without a readable name is the all-zero boot: always the same one, which frees nothing.
        let _ = hex::decode_to_slice(text.trim().replace('-', ""), &mut boot_id);
        Self { boot_id }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.read().0
    }

    /// Now, and the boot clock in microseconds as well: for how long something took. Whoever reads one clock reads both, the
    /// wall clock first.
    #[must_use]
    pub fn read(&self) -> (Moment, u64) {
        let unix_ms = millis(clock_gettime(ClockId::Realtime));
        let boot = clock_gettime(ClockId::Boottime);
        (Moment { unix_ms, boot_ms: millis(boot), boot_id: self.boot_id }, micros(boot))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn micros(time: Timespec) -> u64 {
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    secs.saturating_mul(1_000_000).saturating_add(nanos.div_euclid(1_000))
}

/// A time before the epoch reads as the epoch, which every rule treats as a clock gone back.
fn millis(time: Timespec) -> u64 {
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    secs.saturating_mul(1000).saturating_add(nanos.div_euclid(1_000_000))
}

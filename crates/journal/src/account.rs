//! What one subject spent: minute buckets, and running sums over the rolling windows.
//!
//! A hold belongs to the minute in which it ends, rounded up. It counts in a window of length W at time t if and only if
//! `minute * 60 > t - W`: until `validBefore` + skew + W, never shorter, at most a minute longer.

use std::collections::BTreeMap;

use pursekeeper_core::{HoldState, Totals, UnixSeconds, Usd, Window};

/// Length of a bucket, in seconds.
const BUCKET_SECS: u64 = 60;

/// Dollars, and numbers of payments and sign-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Sum {
    /// Settled and held.
    pub(crate) usd: Usd,
    /// Settled and held.
    pub(crate) payments: u64,
    /// How much of `usd` is settled.
    pub(crate) settled_usd: Usd,
    /// How many of `payments` are settled.
    pub(crate) settled_payments: u64,
    pub(crate) sign_ins: u64,
}

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// The bucket ends at this many minutes after the Unix epoch.
    pub(crate) minute: u64,
    pub(crate) sum: Sum,
}

/// The holds of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The row in table `scope`.
    pub(crate) row: i64,
    /// What was in buckets that are gone.
    folded: Sum,
    buckets: BTreeMap<u64, Sum>,
    lifetime: Sum,
    rolling: [Rolling; Window::ROLLING.len()],
}

/// The sum of all buckets from a minute on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Rolling {
    first_minute: u64,
    sum: Sum,
}

/// The minute in which a hold that ends at `held_until` is counted.
pub(crate) fn minute_of(held_until: UnixSeconds) -> u64 {
    held_until.0.div_ceil(BUCKET_SECS)
}

/// The first minute that still counts at `now` in a window of `secs` seconds.
pub(crate) fn first_minute(now: UnixSeconds, secs: u64) -> u64 {
    now.0.checked_sub(secs).map_or(0, |gone| gone.div_euclid(BUCKET_SECS).saturating_add(1))
}

/// When a bucket leaves a window of `secs` seconds.
pub(crate) fn frees_at(minute: u64, secs: u64) -> UnixSeconds {
    UnixSeconds(minute.saturating_mul(BUCKET_SECS)).plus(secs)
}

/// The first minute that counts in any rolling window at `now`.
pub(crate) fn horizon(now: UnixSeconds) -> u64 {
    Window::ROLLING.iter().map(|(_, secs)| first_minute(now, *secs)).min().unwrap_or(0)
}

impl Sum {
    /// What one signature counts for while it is held.
    pub(crate) fn one(usd: Usd) -> Self {
        Self { usd, payments: 1, ..Self::default() }
    }

    /// What one sign-in counts for.
    pub(crate) fn sign_in() -> Self {
        Self { sign_ins: 1, ..Self::default() }
    }

    /// What one signature of `usd` counts for.
    pub(crate) fn of(usd: Usd, state: HoldState) -> Self {
        match state {
            HoldState::Held => Self::one(usd),
            HoldState::Settled { amount: _, usd } => {
                Self { usd, payments: 1, settled_usd: usd, settled_payments: 1, sign_ins: 0 }
            }
            HoldState::Released => Self::default(),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            usd: self.usd.checked_add(other.usd)?,
            payments: self.payments.checked_add(other.payments)?,
            settled_usd: self.settled_usd.checked_add(other.settled_usd)?,
            settled_payments: self.settled_payments.checked_add(other.settled_payments)?,
            sign_ins: self.sign_ins.checked_add(other.sign_ins)?,
        })
    }

    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        Some(Self {
            usd: self.usd.checked_sub(other.usd)?,
            payments: self.payments.checked_sub(other.payments)?,
            settled_usd: self.settled_usd.checked_sub(other.settled_usd)?,
            settled_payments: self.settled_payments.checked_sub(other.settled_payments)?,
            sign_ins: self.sign_ins.checked_sub(other.sign_ins)?,
        })
    }
}

impl Account {
    /// An account without buckets whose windows are those at `now`.
    pub(crate) fn new(row: i64, folded: Sum, now: UnixSeconds) -> Self {
        let window = |(_, secs)| Rolling { first_minute: first_minute(now, secs), sum: Sum::default() };
        let rolling = Window::ROLLING.map(window);
        Self { row, folded, buckets: BTreeMap::new(), lifetime: folded, rolling }
    }

    /// Adds to a bucket; nothing, and nothing changed, when a sum does not fit.
    pub(crate) fn add(&mut self, Bucket { minute, sum }: Bucket) -> Option<()> {
        self.change(minute, |total| total.plus(sum))
    }

    /// Takes back what was added, and with it the bucket if that was `opened` for it. A bucket that was there before
    /// stays, also when it is empty: what was released from it may have to be put back.
    pub(crate) fn remove(&mut self, Bucket { minute, sum }: Bucket, opened: bool) -> Option<()> {
        self.change(minute, |total| total.minus(sum))?;
        if opened {
            self.buckets.remove(&minute);
        }
        Some(())
    }

    /// Counts something that is in a bucket as something else. A bucket that became empty stays, so that this can be
    /// taken back. Nothing, and nothing changed, when a sum does not fit.
    pub(crate) fn replace(&mut self, minute: u64, old: Sum, new: Sum) -> Option<()> {
        let change = |total: Sum| total.minus(old)?.plus(new);
        if self.buckets.contains_key(&minute) {
            return self.change(minute, change);
        }
        // The bucket was folded; no rolling window counts it.
        let (folded, lifetime) = (change(self.folded)?, change(self.lifetime)?);
        (self.folded, self.lifetime) = (folded, lifetime);
        Some(())
    }

    /// Whether a minute still has a bucket of its own.
    pub(crate) fn has_bucket(&self, minute: u64) -> bool {
        self.buckets.contains_key(&minute)
    }

    /// What was in buckets that are gone.
    pub(crate) fn folded(&self) -> Sum {
        self.folded
    }

    /// Dollars whose signatures could still be settled at `since` or later, settled ones included.
    pub(crate) fn bound_since(&self, since: UnixSeconds) -> Usd {
        let buckets = self.buckets.range(minute_of(since)..);
        buckets.fold(Usd::ZERO, |bound, (_, sum)| bound.checked_add(sum.usd).unwrap_or(Usd::MAX))
    }

    /// How much counts at `now` in a window of `secs` seconds is settled; of everything, without a length.
    pub(crate) fn settled(&self, now: UnixSeconds, secs: Option<u64>) -> (Usd, u64) {
        let first = secs.map_or(0, |secs| first_minute(now, secs));
        let start = if secs.is_none() { self.folded } else { Sum::default() };
        let sum = self.buckets.range(first..).try_fold(start, |sum, (_, more)| sum.plus(*more));
        sum.map_or((Usd::ZERO, 0), |sum| (sum.settled_usd, sum.settled_payments))
    }

    fn change(&mut self, minute: u64, change: impl Fn(Sum) -> Option<Sum>) -> Option<()> {
        let lifetime = change(self.lifetime)?;
        let bucket = change(self.buckets.get(&minute).copied().unwrap_or_default())?;
        let mut rolling = self.rolling;
        for window in rolling.iter_mut().filter(|window| minute >= window.first_minute) {
            window.sum = change(window.sum)?;
        }
        self.lifetime = lifetime;
        self.rolling = rolling;
        self.buckets.insert(minute, bucket);
        Some(())
    }

    /// One bucket.
    pub(crate) fn bucket(&self, minute: u64) -> Sum {
        self.buckets.get(&minute).copied().unwrap_or_default()
    }

    /// What counts at `now` in each of [`Window::TOTALLED`]. `now` is not before the time of the last
    /// [`Account::advance`]. Nothing is changed, so that a batch that fails leaves no trace.
    pub(crate) fn totals(&self, now: UnixSeconds) -> Totals {
        let mut sums = [self.lifetime; Window::TOTALLED.len()];
        for ((sum, window), (_, secs)) in sums.iter_mut().zip(self.rolling).zip(Window::ROLLING) {
            match self.advanced(window, first_minute(now, secs)) {
                Some(advanced) => *sum = advanced.sum,
                // More left a window than ever entered it. Whatever the reason, it must not look like money.
                None => return Totals::EXHAUSTED,
            }
        }
        Totals {
            usd: sums.map(|sum| sum.usd),
            payments: sums.map(|sum| sum.payments),
            sign_ins: sums.map(|sum| sum.sign_ins),
        }
    }

    /// Moves the windows on to `now`, so that the next totals need not look at what left them by then.
    pub(crate) fn advance(&mut self, now: UnixSeconds) {
        let mut rolling = self.rolling;
        for (window, (_, secs)) in rolling.iter_mut().zip(Window::ROLLING) {
            if let Some(advanced) = self.advanced(*window, first_minute(now, secs)) {
                *window = advanced;
            }
        }
        self.rolling = rolling;
    }

    fn advanced(&self, window: Rolling, first_minute: u64) -> Option<Rolling> {
        if first_minute <= window.first_minute {
            return Some(window);
        }
        let mut sum = window.sum;
        for (_, gone) in self.buckets.range(window.first_minute..first_minute) {
            sum = sum.minus(*gone)?;
        }
        Some(Rolling { first_minute, sum })
    }

    /// When a window of `secs` seconds next frees money, if it holds any.
    pub(crate) fn frees_at(&self, now: UnixSeconds, secs: u64) -> Option<UnixSeconds> {
        let mut buckets = self.buckets.range(first_minute(now, secs)..);
        let oldest = buckets.find(|(_, sum)| **sum != Sum::default());
        oldest.map(|(minute, _)| frees_at(*minute, secs))
    }

    /// The oldest buckets that count in no rolling window any more, at most `limit`.
    pub(crate) fn stale(&self, horizon: u64, limit: usize) -> Vec<Bucket> {
        let buckets = self.buckets.range(..horizon).take(limit);
        buckets.map(|(minute, sum)| Bucket { minute: *minute, sum: *sum }).collect()
    }

    /// What is in no bucket once `stale` are gone.
    pub(crate) fn folded_with(&self, stale: &[Bucket]) -> Option<Sum> {
        stale.iter().try_fold(self.folded, |folded, bucket| folded.plus(bucket.sum))
    }

    /// Drops `stale` buckets, keeping their sum. The windows have advanced past them.
    pub(crate) fn fold(&mut self, stale: &[Bucket]) {
        if let Some(folded) = self.folded_with(stale) {
            self.folded = folded;
            for bucket in stale {
                self.buckets.remove(&bucket.minute);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hold_leaves_a_window_at_its_rounded_end_and_never_earlier() {
        // held until, window, first moment at which it no longer counts
        for (held_until, secs, freed) in
            [(0, 3_600, 3_600), (1, 3_600, 3_660), (60, 3_600, 3_660), (61, 3_600, 3_720)]
        {
            let minute = minute_of(UnixSeconds(held_until));
            assert_eq!(frees_at(minute, secs), UnixSeconds(freed));
            let counts = |now| minute >= first_minute(UnixSeconds(now), secs);
            assert!(counts(freed - 1), "{held_until} {secs}");
            assert!(!counts(freed), "{held_until} {secs}");
        }
    }

    #[test]
    fn a_sum_that_does_not_fit_changes_nothing() {
        let mut account = Account::new(1, Sum::default(), UnixSeconds(0));
        account.add(Bucket { minute: 1, sum: Sum::one(Usd::MAX) }).unwrap();
        let before = account.clone();
        assert_eq!(account.add(Bucket { minute: 2, sum: Sum::one(Usd::from_units(1)) }), None);
        assert_eq!(account, before);
    }

    proptest! {
        #[test]
        fn totals_agree_with_counting_afresh(
            steps in prop::collection::vec((0u64..400_000, 0u64..1_000, any::<u32>(), any::<bool>()), 1..60),
        ) {
            let mut account = Account::new(1, Sum::default(), UnixSeconds(0));
            let mut holds: Vec<(u64, u128)> = Vec::new();
            let mut now = 1_000_000;
            for (passes, life, usd, fold) in steps {
                now += passes;
                let held_until = now + life;
                let before = account.clone();
                let bucket = Bucket { minute: minute_of(UnixSeconds(held_until)), sum: Sum::one(Usd::from_units(usd.into())) };
                account.add(bucket).unwrap();
                account.remove(bucket, !before.has_bucket(bucket.minute)).unwrap();
                prop_assert_eq!(&account, &before);
                account.add(bucket).unwrap();
                holds.push((held_until, usd.into()));
                if fold {
                    account.advance(UnixSeconds(now));
                    let stale = account.stale(horizon(UnixSeconds(now)), 2);
                    account.fold(&stale);
                }
                let totals = account.totals(UnixSeconds(now));
                for (at, (_, secs)) in Window::ROLLING.iter().enumerate() {
                    let counted = holds.iter().filter(|(end, _)| end.div_ceil(60) * 60 + secs > now);
                    let (usd, payments) = counted.fold((0, 0), |(usd, n), (_, more)| (usd + more, n + 1));
                    prop_assert_eq!((totals.usd[at].units(), totals.payments[at]), (usd, payments));
                }
                prop_assert_eq!(totals.payments[4], holds.len() as u64);
            }
        }
    }
}

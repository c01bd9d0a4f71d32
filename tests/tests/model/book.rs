//! Every hold there ever was, and every total counted afresh from them.

use alloy_primitives::U256;

use crate::request::{Offer, Spec};
use crate::world::{ASSETS, Kind, PAYEES, WALLETS, WINDOWS, World};

/// Units of 10⁻¹² dollars in a ten-thousandth of a dollar.
const GRID: u128 = 100_000_000;
/// Other clocks may be off by this.
pub(crate) const SKEW_SECS: u64 = 60;
/// Where the tests' sums of dollars end; nothing that is judged comes near.
pub(crate) const USD_MAX: u128 = (i64::MAX as u128) * GRID;

/// What became of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Held,
    /// For so much.
    Settled(u128),
    Released,
}

/// A permit and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) seq: u64,
    pub(crate) spec: Spec,
    pub(crate) offer: Offer,
    pub(crate) agent: String,
    pub(crate) workflow: String,
    pub(crate) wallet: usize,
    pub(crate) service: Option<String>,
    pub(crate) usd: u128,
    pub(crate) valid_before: u64,
    pub(crate) state: State,
    pub(crate) claims: u64,
}

/// What a wallet paid at a service that is called so.
pub(crate) fn paid(holds: &[Hold], wallet: &str, service: &str) -> u128 {
    let there =
        |hold: &&Hold| hold.counts_for(Kind::Wallet, wallet) && hold.counts_for(Kind::Service, service);
    holds.iter().filter(there).filter_map(Hold::counted).sum()
}

/// What counts in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) settled: u128,
    pub(crate) held: u128,
    pub(crate) settled_payments: u64,
    pub(crate) held_payments: u64,
    pub(crate) frees_at: Option<u64>,
}

impl Hold {
    /// The signature may be settled until then.
    pub(crate) fn held_until(&self) -> u64 {
        self.valid_before + SKEW_SECS
    }

    /// The moment from which it does not count in a window, to the minute, against the spender.
    pub(crate) fn leaves_at(&self, secs: Option<u64>) -> Option<u64> {
        secs.map(|secs| to_minute(self.held_until()) + secs)
    }

    pub(crate) fn counts_for(&self, kind: Kind, key: &str) -> bool {
        match kind {
            Kind::Agent => self.agent == key,
            Kind::Workflow => self.workflow == key,
            Kind::Wallet => WALLETS[self.wallet] == key,
            Kind::Service => self.service.as_deref() == Some(key),
            Kind::Payee => PAYEES[self.offer.payee] == key,
        }
    }

    /// What of it is spent or bound.
    fn counted(&self) -> Option<u128> {
        match self.state {
            State::Held => Some(self.usd),
            State::Settled(usd) => Some(usd),
            State::Released => None,
        }
    }
}

/// Seconds rounded up to the minute.
fn to_minute(secs: u64) -> u64 {
    secs.div_ceil(60) * 60
}

/// What `key` has used of a window at `now`.
pub(crate) fn count(holds: &[Hold], kind: Kind, key: &str, window: usize, now: u64) -> Count {
    let mut count = Count::default();
    let (_, secs) = WINDOWS[window];
    for hold in holds.iter().filter(|hold| hold.counts_for(kind, key)) {
        let leaves_at = hold.leaves_at(secs);
        if leaves_at.is_some_and(|leaves_at| leaves_at <= now) {
            continue;
        }
        match hold.state {
            State::Held => {
                count.held += hold.usd;
                count.held_payments += 1;
            }
            State::Settled(usd) => {
                count.settled += usd;
                count.settled_payments += 1;
            }
            State::Released => continue,
        }
        count.frees_at = match (count.frees_at, leaves_at) {
            (Some(before), Some(leaves_at)) => Some(before.min(leaves_at)),
            (before, leaves_at) => before.or(leaves_at),
        };
    }
    count
}

/// Whether some ceiling of a subject would be exceeded by one more payment of `usd`; by none, when there is no payment.
pub(crate) fn exceeds(
    world: &World,
    holds: &[Hold],
    (kind, at): (Kind, usize),
    now: u64,
    payment: Option<u128>,
) -> bool {
    let limits = &world.of(kind, at).limits;
    let used = |window| {
        let (mut usd, mut payments) = (payment.unwrap_or(0), u64::from(payment.is_some()));
        for key in world.keys(kind, at).iter().filter(|_| window != 0) {
            let count = count(holds, kind, key, window, now);
            usd += count.settled + count.held;
            payments += count.settled_payments + count.held_payments;
        }
        (usd, payments)
    };
    let up = |usd: u128| usd.div_ceil(GRID);
    limits.usd.iter().any(|(window, limit)| up(used(*window).0) > u128::from(*limit))
        || limits.payments.iter().any(|(window, limit)| used(*window).1 > *limit)
}

/// Dollars of a wallet that may still be taken out of a balance read at `observed_at`, as far as they are not released.
pub(crate) fn bound(holds: &[Hold], wallet: usize, observed_at: u64) -> u128 {
    let since = to_minute(observed_at - SKEW_SECS);
    let alive = holds.iter().filter(|hold| hold.wallet == wallet && to_minute(hold.held_until()) >= since);
    alive.filter_map(Hold::counted).sum()
}

/// What atomic units of an asset are worth, rounded up or down; nothing when it does not fit.
pub(crate) fn worth(asset: usize, amount: U256, up: bool) -> Option<u128> {
    let (_, decimals, per_unit) = ASSETS[asset];
    let scale = U256::from(10).pow(U256::from(decimals));
    let more = if up { scale - U256::from(1) } else { U256::ZERO };
    u128::try_from((amount * U256::from(per_unit) + more) / scale).ok()
}

/// The part of `usd` that `part` of `whole` is, rounded up.
pub(crate) fn share(usd: u128, part: U256, whole: U256) -> u128 {
    let product = U256::from(usd) * part;
    u128::try_from((product + whole - U256::from(1)) / whole).expect("no more than the whole")
}

/// Whether less than `floor` ten-thousandths is left of what is worth `usd`.
pub(crate) fn below(floor: u64, usd: u128) -> bool {
    usd / GRID < u128::from(floor)
}

//! How much of a scope's windows is used, for people and agents who ask.

use pursekeeper_core::{Scope, UnixSeconds, Usd, Window};

use crate::account::{frees_at, minute_of};
use crate::state::State;

/// What one scope has used of every window that keeps a total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// In the order of [`Window::TOTALLED`].
    pub windows: [WindowUsage; Window::TOTALLED.len()],
}

/// What one scope has used of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowUsage {
    /// Which window.
    pub window: Window,
    /// Dollars that a chain says were settled.
    pub settled: Usd,
    /// Dollars bound by signatures that may have been or may still be settled.
    pub held: Usd,
    /// Payments that a chain says were settled.
    pub settled_payments: u64,
    /// Payments that may have been or may still be settled.
    pub held_payments: u64,
    /// Sign-ins.
    pub sign_ins: u64,
    /// When the window next frees money; nothing when it holds none, and for a lifetime.
    pub frees_at: Option<UnixSeconds>,
}

impl Usage {
    pub(crate) fn of(state: &State, scope: &Scope, now: UnixSeconds) -> Self {
        let now = now.max(state.high_water());
        let totals = state.totals(scope, now);
        let windows = Window::TOTALLED.map(|window| {
            let (settled, settled_payments) = state
                .accounts
                .get(scope)
                .map_or((Usd::ZERO, 0), |account| account.settled(now, length(window)));
            let (usd, payments) = (totals.usd_in(window), totals.payments_in(window));
            WindowUsage {
                window,
                settled,
                held: usd.and_then(|usd| usd.checked_sub(settled)).unwrap_or(Usd::MAX),
                settled_payments,
                held_payments: payments.and_then(|all| all.checked_sub(settled_payments)).unwrap_or(u64::MAX),
                sign_ins: totals.sign_ins_in(window).unwrap_or(u64::MAX),
                frees_at: next(state, scope, window, now),
            }
        });
        Self { windows }
    }

    /// Both together: what a subject used under two names.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (ours, theirs) in self.windows.iter_mut().zip(&other.windows) {
            *ours = ours.plus(theirs);
        }
        self
    }
}

impl WindowUsage {
    fn plus(self, other: &Self) -> Self {
        let usd = |a: Usd, b: Usd| a.checked_add(b).unwrap_or(Usd::MAX);
        let Self { window, settled, held, settled_payments, held_payments, sign_ins, frees_at } = self;
        Self {
            window,
            settled: usd(settled, other.settled),
            held: usd(held, other.held),
            settled_payments: settled_payments.saturating_add(other.settled_payments),
            held_payments: held_payments.saturating_add(other.held_payments),
            sign_ins: sign_ins.saturating_add(other.sign_ins),
            frees_at: [frees_at, other.frees_at].into_iter().flatten().min(),
        }
    }
}

fn length(window: Window) -> Option<u64> {
    Window::ROLLING.into_iter().find(|(rolling, _)| *rolling == window).map(|(_, secs)| secs)
}

fn next(state: &State, scope: &Scope, window: Window, now: UnixSeconds) -> Option<UnixSeconds> {
    let secs = length(window)?;
    if state.recovered(scope) {
        // Only an operator frees it.
        return None;
    }
    match state.adopted {
        // As long as a lost journal exhausts the window, nothing else that leaves it matters.
        Some(adopted) if state.exhausted(window, now) => Some(frees_at(minute_of(adopted), secs)),
        Some(_) | None => state.accounts.get(scope).and_then(|account| account.frees_at(now, secs)),
    }
}

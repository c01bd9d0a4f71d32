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
    /// Dollars known to be settled. Nothing yet: no source of evidence exists.
    pub settled: Usd,
    /// Dollars bound by signatures that may have been or may still be settled.
    pub held: Usd,
    /// Payments, settled and held.
    pub payments: u64,
    /// When the window next frees money; nothing when it holds none, and for a lifetime.
    pub frees_at: Option<UnixSeconds>,
}

impl Usage {
    pub(crate) fn of(state: &State, scope: &Scope, now: UnixSeconds) -> Self {
        let now = now.max(state.high_water());
        let totals = state.totals(scope, now);
        let windows = Window::TOTALLED.map(|window| WindowUsage {
            window,
            settled: Usd::ZERO,
            held: totals.usd_in(window).unwrap_or(Usd::MAX),
            payments: totals.payments_in(window).unwrap_or(u64::MAX),
            frees_at: next(state, scope, window, now),
        });
        Self { windows }
    }
}

fn next(state: &State, scope: &Scope, window: Window, now: UnixSeconds) -> Option<UnixSeconds> {
    let (_, secs) = Window::ROLLING.into_iter().find(|(rolling, _)| *rolling == window)?;
    match state.adopted {
        // As long as a lost journal exhausts the window, nothing else that leaves it matters.
        Some(adopted) if state.exhausted(window, now) => Some(frees_at(minute_of(adopted), secs)),
        Some(_) | None => state.accounts.get(scope).and_then(|account| account.frees_at(now, secs)),
    }
}

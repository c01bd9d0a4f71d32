use crate::{BalanceFacts, Caller, Moment, PrepaidFacts, ScopeKind, ServiceName, Status, Usd, Window};

/// One value for each kind of subject a total is kept about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PerScope<T> {
    /// For the agent.
    pub agent: T,
    /// For the workflow.
    pub workflow: T,
    /// For the wallet.
    pub wallet: T,
    /// For the service.
    pub service: T,
    /// For the payee.
    pub payee: T,
}

impl<T> PerScope<T> {
    /// The value for one kind.
    pub const fn get(&self, kind: ScopeKind) -> &T {
        match kind {
            ScopeKind::Agent => &self.agent,
            ScopeKind::Workflow => &self.workflow,
            ScopeKind::Wallet => &self.wallet,
            ScopeKind::Service => &self.service,
            ScopeKind::Payee => &self.payee,
        }
    }
}

/// Money and number of payments bound or spent in each window, settled and held together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// Dollars, in the order of [`Window::TOTALLED`].
    pub usd: [Usd; 5],
    /// Payments, in the order of [`Window::TOTALLED`].
    pub payments: [u64; 5],
    /// Sign-ins, in the order of [`Window::TOTALLED`].
    pub sign_ins: [u64; 5],
}

impl Totals {
    /// With every window counted as spent: what a journal that replaces a lost one begins with.
    pub const EXHAUSTED: Self = Self { usd: [Usd::MAX; 5], payments: [u64::MAX; 5], sign_ins: [u64::MAX; 5] };

    /// With one more payment of `usd`. A sum that does not fit stays at its maximum, which no ceiling reaches.
    #[must_use]
    pub fn with_payment(self, usd: Usd) -> Self {
        Self {
            usd: self.usd.map(|total| total.checked_add(usd).unwrap_or(Usd::MAX)),
            payments: self.payments.map(|count| count.saturating_add(1)),
            ..self
        }
    }

    /// With one more sign-in.
    #[must_use]
    pub fn with_sign_in(self) -> Self {
        Self { sign_ins: self.sign_ins.map(|count| count.saturating_add(1)), ..self }
    }

    /// Both together: what a subject spent under two names. A sum that does not fit stays at its maximum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut sum = self;
        for (usd, more) in sum.usd.iter_mut().zip(other.usd) {
            *usd = usd.checked_add(more).unwrap_or(Usd::MAX);
        }
        let counts = sum.payments.iter_mut().zip(other.payments);
        for (count, more) in counts.chain(sum.sign_ins.iter_mut().zip(other.sign_ins)) {
            *count = count.saturating_add(more);
        }
        sum
    }

    /// Dollars in a window; nothing for [`Window::Payment`], which keeps no total.
    #[must_use]
    pub fn usd_in(&self, window: Window) -> Option<Usd> {
        index(window).and_then(|at| self.usd.get(at)).copied()
    }

    /// Payments in a window; nothing for [`Window::Payment`], which keeps no total.
    #[must_use]
    pub fn payments_in(&self, window: Window) -> Option<u64> {
        index(window).and_then(|at| self.payments.get(at)).copied()
    }
}

impl Totals {
    /// Sign-ins in a window; nothing for [`Window::Payment`], which keeps no total.
    #[must_use]
    pub fn sign_ins_in(&self, window: Window) -> Option<u64> {
        index(window).and_then(|at| self.sign_ins.get(at)).copied()
    }
}

fn index(window: Window) -> Option<usize> {
    Window::TOTALLED.iter().position(|totalled| *totalled == window)
}

/// What is true around an intent at the moment it is judged. Sums arrive checked: policies do no arithmetic.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it is judged.
    pub now: Moment,
    /// Who asks, as authenticated.
    pub caller: Caller,
    /// The agent's status in force.
    pub agent_status: Status,
    /// The workflow's status in force.
    pub workflow_status: Status,
    /// The wallet's status in force.
    pub wallet_status: Status,
    /// Whether there is a backup of the wallet's key, or the registry wants none.
    pub wallet_backed_up: bool,
    /// The status in force of the service the payment is booked under; active when it is booked under none.
    pub service_status: Status,
    /// Every service the endpoint belongs to.
    pub services: Vec<ServiceName>,
    /// Whether the payee is accepted for the service the payment is booked under.
    pub payee_accepted: bool,
    /// Whether whoever alone may settle is accepted for that service; true when the scheme leaves that open.
    pub facilitator_accepted: bool,
    /// Dollars and payments in each window if this payment is permitted.
    pub after: PerScope<Totals>,
    /// Signatures of this agent for this endpoint that may still be settled.
    pub outstanding: u64,
    /// The paying wallet's balance of the asset, when it was read recently enough to rely on.
    pub balance: Option<BalanceFacts>,
    /// The wallet's credit, when the call is booked under a prepaid service.
    pub prepaid: Option<PrepaidFacts>,
}

use std::fmt;

use crate::{Address, AgentName, ServiceName, WorkflowName};

/// The stretch of time a ceiling is about. All but [`Window::Payment`] and [`Window::Lifetime`] roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// One payment.
    Payment,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
    /// For ever.
    Lifetime,
}

impl Window {
    /// Every window, shortest first.
    pub const ALL: [Self; 6] =
        [Self::Payment, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Lifetime];
    /// The windows that keep a total, shortest first: the order of the arrays in [`crate::Totals`].
    pub const TOTALLED: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Lifetime];
    /// The windows that roll, shortest first, with their lengths in seconds.
    pub const ROLLING: [(Self, u64); 4] =
        [(Self::Hour, 3_600), (Self::Day, 86_400), (Self::Week, 604_800), (Self::Month, 2_592_000)];

    /// The word used in policies and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Lifetime => "lifetime",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.as_str() == text)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a total is kept about.
///
/// Totals are facts about these subjects, not about policies: editing a limit forgets nothing. A wallet is its address,
/// so that giving it another name does not give it another budget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// What one agent spent.
    Agent(AgentName),
    /// What was spent for one workflow.
    Workflow(WorkflowName),
    /// What one wallet paid.
    Wallet(Address),
    /// What was paid at one service.
    Service(ServiceName),
    /// What one address received: the one thing a lying agent cannot relabel.
    Payee(Address),
}

/// The kinds of [`Scope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeKind {
    /// See [`Scope::Agent`].
    Agent,
    /// See [`Scope::Workflow`].
    Workflow,
    /// See [`Scope::Wallet`].
    Wallet,
    /// See [`Scope::Service`].
    Service,
    /// See [`Scope::Payee`].
    Payee,
}

impl ScopeKind {
    /// Every kind, in the order of [`crate::PerScope`].
    pub const ALL: [Self; 5] = [Self::Agent, Self::Workflow, Self::Wallet, Self::Service, Self::Payee];

    /// The word used in policies, files and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Workflow => "workflow",
            Self::Wallet => "wallet",
            Self::Service => "service",
            Self::Payee => "payee",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Scope {
    /// Which kind of subject this is.
    #[must_use]
    pub const fn kind(&self) -> ScopeKind {
        match self {
            Self::Agent(_) => ScopeKind::Agent,
            Self::Workflow(_) => ScopeKind::Workflow,
            Self::Wallet(_) => ScopeKind::Wallet,
            Self::Service(_) => ScopeKind::Service,
            Self::Payee(_) => ScopeKind::Payee,
        }
    }

    /// The subject's name or address, as text.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Agent(name) => name.to_string(),
            Self::Workflow(name) => name.to_string(),
            Self::Service(name) => name.to_string(),
            Self::Wallet(address) | Self::Payee(address) => address.to_string(),
        }
    }
}

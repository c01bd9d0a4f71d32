//! The ceilings the harness puts into the registry, and therefore knows.

use std::fs;

use pursekeeper_core::{ScopeKind, Window};

use crate::{PAYEE, Purse};

/// What one payment of the harness costs, in atomic units of USDC.
pub const PRICE: u128 = 1_000;
/// Where the registry says what is declared.
const REGISTRY: &str = "policies/registry.yaml";
/// The ceilings `init` writes, each with the scope it stands at.
const STARTER: [(ScopeKind, &str); 4] = [
    (
        ScopeKind::Workflow,
        "    ceilings:\n      usd: { payment: \"0.05\", hour: \"1\", day: \"5\" }\n      payments: { hour: 100 }\n",
    ),
    (ScopeKind::Agent, "    ceilings: { usd: { day: \"2\" } }\n"),
    (ScopeKind::Wallet, "    ceilings: { usd: { day: \"10\", month: \"100\" } }\n"),
    (ScopeKind::Payee, "    ceilings: { usd: { day: \"5\" } }\n"),
];

/// The most that may be spent, or the most payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Atomic units of USDC, a multiple of 100: the registry has four decimals.
    Usd(u128),
    /// Payments.
    Payments(u64),
}

/// One ceiling, on every subject of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// What kind of subject it stands on.
    pub scope: ScopeKind,
    /// The time it is about.
    pub window: Window,
    /// How much.
    pub limit: Limit,
}

/// What the registry says, as far as it differs from what `init` wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// All the ceilings there are, besides the one per payment.
    pub ceilings: Vec<Ceiling>,
    /// The name of the only service.
    pub service: &'static str,
}

impl Ceiling {
    /// A ceiling that exactly `payments` payments of [`PRICE`] reach, in dollars.
    #[must_use]
    pub fn usd(scope: ScopeKind, window: Window, payments: u64) -> Self {
        Self { scope, window, limit: Limit::Usd(PRICE.checked_mul(payments.into()).unwrap()) }
    }

    /// The same in payments.
    #[must_use]
    pub fn payments(scope: ScopeKind, window: Window, payments: u64) -> Self {
        Self { scope, window, limit: Limit::Payments(payments) }
    }

    /// In a few words, such as `usd day of the agent`.
    #[must_use]
    pub fn words(&self) -> String {
        let unit = match self.limit {
            Limit::Usd(_) => "usd",
            Limit::Payments(_) => "payments",
        };
        format!("{unit} {} of the {}", self.window, self.scope.as_str())
    }
}

impl Rules {
    /// The most one payment may be, in atomic units.
    pub const PAYMENT_MAX: u128 = 50_000;

    /// Only these ceilings.
    #[must_use]
    pub fn of(ceilings: &[Ceiling]) -> Self {
        Self { ceilings: ceilings.to_vec(), service: "weather" }
    }

    /// Puts them into the registry of a fresh purse.
    ///
    /// # Panics
    /// When the purse's registry is not the one `init` wrote.
    pub fn write(&self, purse: &Purse) {
        for (scope, starter) in STARTER {
            purse.replace(REGISTRY, starter, &self.marked(scope));
        }
        let payees = format!("    payees: [\"{PAYEE}\"]\n");
        purse.replace(REGISTRY, &payees, &(payees.clone() + &self.marked(ScopeKind::Service)));
        purse.replace(REGISTRY, "  weather:\n", &format!("  {}:\n", self.service));
        purse.replace(REGISTRY, "services: [weather]", &format!("services: [{}]", self.service));
        purse.lift_call_limits();
    }

    /// Replaces these rules in a purse by others. They hold from the next start on.
    ///
    /// # Panics
    /// When the purse's registry does not hold these rules.
    pub fn replace(&self, purse: &Purse, by: &Self) {
        for scope in ScopeKind::ALL {
            purse.replace(REGISTRY, &self.marked(scope), &by.marked(scope));
        }
        let text = fs::read_to_string(purse.file(REGISTRY)).unwrap();
        let renamed = text
            .replace(&format!("  {}:\n", self.service), &format!("  {}:\n", by.service))
            .replace(&format!("services: [{}]", self.service), &format!("services: [{}]", by.service));
        fs::write(purse.file(REGISTRY), renamed).unwrap();
    }

    /// The lines of a scope, under a mark to find them again.
    fn marked(&self, scope: ScopeKind) -> String {
        let of = |usd: bool| {
            let wanted = self.ceilings.iter().filter(|ceiling| ceiling.scope == scope);
            let texts = wanted.filter_map(|ceiling| match (ceiling.limit, usd) {
                (Limit::Usd(atomic), true) => Some(format!("{}: \"{}\"", ceiling.window, grid(atomic))),
                (Limit::Payments(count), false) => Some(format!("{}: {count}", ceiling.window)),
                (Limit::Usd(_), false) | (Limit::Payments(_), true) => None,
            });
            texts.collect::<Vec<_>>()
        };
        let (mut usd, payments) = (of(true), of(false));
        if scope == ScopeKind::Workflow {
            usd.push(format!("payment: \"{}\"", grid(Self::PAYMENT_MAX)));
        }
        let parts = [("usd", usd), ("payments", payments)];
        let parts = parts.iter().filter(|(_, windows)| !windows.is_empty());
        let parts: Vec<_> =
            parts.map(|(unit, windows)| format!("{unit}: {{ {} }}", windows.join(", "))).collect();
        let mark = format!("    # ceilings of the {}\n", scope.as_str());
        // A payee is declared for its ceilings only, and may not be without.
        match (parts.is_empty(), scope) {
            (true, ScopeKind::Payee) => {
                format!("{mark}    ceilings: {{ usd: {{ lifetime: \"1000000\" }} }}\n")
            }
            (true, _) => mark,
            (false, _) => format!("{mark}    ceilings: {{ {} }}\n", parts.join(", ")),
        }
    }
}

/// Atomic units as the registry writes dollars.
fn grid(atomic: u128) -> String {
    assert!(atomic.is_multiple_of(100), "{atomic} has more than four decimals in dollars");
    format!("{}.{:04}", atomic / 1_000_000, atomic % 1_000_000 / 100)
}

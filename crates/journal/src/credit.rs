//! How prepaid credit follows from the records.
//!
//! It is kept for whatever is booked under a service: which services are prepaid is for the registry to say, and may be
//! said later.

use pursekeeper_core::{Address, ClaimedCredit, Credit, Permit, ServiceName, SignInIntent, Usd};

/// Whose credit, and where: a wallet and what the service was called.
pub(crate) type CreditKey = (Address, ServiceName);

/// What changes credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreditEvent {
    /// A payment was permitted.
    Paid(Usd),
    /// A payment counts for something else than it did.
    Resolved {
        /// What it counted for.
        old: Usd,
        /// What it counts for now.
        new: Usd,
    },
    /// Record `seq` permits a sign-in.
    SignedIn {
        /// The record.
        seq: u64,
    },
    /// An agent said what is left.
    Claimed(ClaimedCredit),
}

/// The credit a payment is booked under, if it is booked under a service.
pub(crate) fn credit_of(permit: &Permit) -> Option<CreditKey> {
    permit.intent.service.clone().map(|service| (permit.intent.wallet_address, service))
}

/// The credit a sign-in is booked under, if it is booked under a service.
pub(crate) fn credit_of_sign_in(intent: &SignInIntent) -> Option<CreditKey> {
    intent.service.clone().map(|service| (intent.wallet_address, service))
}

/// Credit after an event; nothing when a number does not fit.
pub(crate) fn credit_after(credit: Credit, event: CreditEvent) -> Option<Credit> {
    Some(match event {
        CreditEvent::Paid(usd) => Credit { topped_up: credit.topped_up.checked_add(usd)?, ..credit },
        CreditEvent::Resolved { old, new } => {
            Credit { topped_up: credit.topped_up.checked_sub(old)?.checked_add(new)?, ..credit }
        }
        CreditEvent::SignedIn { seq } => {
            Credit { sign_ins: credit.sign_ins.checked_add(1)?, last_sign_in: seq, ..credit }
        }
        CreditEvent::Claimed(claimed) => Credit { claimed: Some(claimed), sign_ins: 0, ..credit },
    })
}

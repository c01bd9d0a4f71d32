use crate::{Address, ServiceName};

/// Most payees of one service that wait for an operator. Whoever would be one more is refused like the others, but not
/// kept: an agent that invents addresses must not fill the journal's memory.
pub const PENDING_PAYEES_MAX: usize = 64;

/// A payee that a refusal leaves to the operators, where the registry says `first_use: pending`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingPayee {
    /// The service it was to be paid at.
    pub service: ServiceName,
    /// Who was to be paid.
    pub payee: Address,
}

/// What the journal knows of a payee. Neither time nor a second use makes it an accepted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayeeState {
    /// An agent asked to pay it, and no operator has said anything.
    Pending,
    /// An operator accepted it.
    Accepted,
}

impl PayeeState {
    /// Every state.
    pub const ALL: [Self; 2] = [Self::Pending, Self::Accepted];

    /// The word used in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

use std::fmt;

/// Whether a wallet, workflow, agent or service may take part in a payment. Ordered from the freest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Status {
    /// Takes part.
    #[default]
    Active,
    /// Takes part in nothing new; what was signed before may be handed out again. It ends by itself.
    Draining,
    /// Stopped until an operator resumes it.
    Suspended,
    /// Its declared time is over.
    Expired,
    /// Ended for ever.
    Revoked,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Active, Self::Draining, Self::Suspended, Self::Expired, Self::Revoked];

    /// The word used in policies, files and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether what was signed before may not be handed out again either.
    #[must_use]
    pub fn is_stopped(self) -> bool {
        self > Self::Draining
    }

    /// Whether rights have ended, and do not begin again by an operator's word.
    #[must_use]
    pub fn is_ended(self) -> bool {
        self > Self::Suspended
    }

    /// The stricter of two: what the registry declares and what operators decided both bind.
    #[must_use]
    pub fn strictest(self, other: Self) -> Self {
        self.max(other)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

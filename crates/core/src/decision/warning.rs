use crate::{ScopeKind, Window};

/// What is counted against a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Dollars.
    Usd,
    /// Number of payments.
    Payments,
    /// Number of sign-ins.
    SignIns,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 3] = [Self::Usd, Self::Payments, Self::SignIns];

    /// The word used in policies, files and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Payments => "payments",
            Self::SignIns => "sign_ins",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.as_str() == text)
    }
}

/// A permit that leaves little: somebody should look before the next one is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which limit is near.
    pub limit: NearLimit,
    /// What is used of it, or left above it, this payment included.
    pub value: String,
    /// The limit itself.
    pub threshold: String,
}

/// A limit that has a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NearLimit {
    /// A ceiling whose `warn_at` is reached.
    Ceiling {
        /// Whose.
        scope: ScopeKind,
        /// The subject's name or address.
        name: String,
        /// Over which time.
        window: Window,
        /// Of what.
        measure: Measure,
    },
    /// A wallet's `warn_below`.
    Balance {
        /// The wallet's name.
        name: String,
    },
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limit, value, threshold } = self;
        match limit {
            NearLimit::Ceiling { scope, name, window, measure } => write!(
                f,
                "{value} of {threshold} {measure} per {window} are used by {scope} `{name}`",
                measure = measure.as_str(),
                scope = scope.as_str(),
            ),
            NearLimit::Balance { name } => {
                write!(f, "wallet `{name}` keeps {value} usd, less than {threshold}")
            }
        }
    }
}

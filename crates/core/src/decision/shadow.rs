//! What another bundle would have answered.

use super::{BundleId, Decision, Denial, Entry, Outcome, SignInDecision, SignInOutcome};
use crate::Usd;

/// What the shadow bundle would have answered to the same question, over the same totals. Nothing of it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The bundle that would have answered.
    pub bundle: BundleId,
    /// What.
    pub verdict: ShadowVerdict,
}

/// An answer that nobody was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShadowVerdict {
    /// It would have been permitted.
    Permit {
        /// What would have been paid; nothing for a sign-in.
        usd: Option<Usd>,
    },
    /// It would have been denied.
    Deny(Denial),
}

/// What would change if the shadow bundle were in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flip {
    /// The verdict is the same.
    None,
    /// What was permitted would be denied.
    Denies,
    /// What was denied would be permitted.
    Permits,
}

impl Flip {
    /// Every flip.
    pub const ALL: [Self; 3] = [Self::None, Self::Denies, Self::Permits];

    /// The word in answers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Denies => "denies",
            Self::Permits => "permits",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flip| flip.as_str() == text)
    }

    fn between(permitted: bool, shadow: &Shadow) -> Self {
        match (permitted, &shadow.verdict) {
            (true, ShadowVerdict::Permit { .. }) | (false, ShadowVerdict::Deny(_)) => Self::None,
            (true, ShadowVerdict::Deny(_)) => Self::Denies,
            (false, ShadowVerdict::Permit { .. }) => Self::Permits,
        }
    }
}

impl Entry {
    /// What the shadow bundle would have answered and what would change under it; nothing when it was not asked.
    #[must_use]
    pub fn shadow(&self) -> Option<(&Shadow, Flip)> {
        let (permitted, shadow) = match self {
            Self::Payment(decision) => (matches!(decision.outcome, Outcome::Permit(_)), &decision.shadow),
            Self::SignIn(decision) => {
                (matches!(decision.outcome, SignInOutcome::Permit(_)), &decision.shadow)
            }
            Self::Reissue(_)
            | Self::Lifecycle(_)
            | Self::Report(_)
            | Self::Evidence(_)
            | Self::Transition(_)
            | Self::Signatures(_)
            | Self::Unauthenticated(_)
            | Self::Repeated(_)
            | Self::Reload(_) => return None,
        };
        shadow.as_deref().map(|shadow| (shadow, Flip::between(permitted, shadow)))
    }
}

impl Decision {
    /// This answer, had it been given by a shadow bundle.
    pub(crate) fn into_shadow(self) -> Shadow {
        let verdict = match self.outcome {
            Outcome::Permit(permit) => ShadowVerdict::Permit { usd: Some(permit.intent.usd) },
            Outcome::Deny { denial, .. } => ShadowVerdict::Deny(denial),
        };
        Shadow { bundle: self.bundle, verdict }
    }
}

impl SignInDecision {
    /// This answer, had it been given by a shadow bundle.
    pub(crate) fn into_shadow(self) -> Shadow {
        let verdict = match self.outcome {
            SignInOutcome::Permit(_) => ShadowVerdict::Permit { usd: None },
            SignInOutcome::Deny { denial, .. } => ShadowVerdict::Deny(denial),
        };
        Shadow { bundle: self.bundle, verdict }
    }
}

//! What another bundle would have answered, in words.

use pursekeeper_core::{Entry, PolicyRef, ShadowVerdict};

/// What the shadow bundle would have answered.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ShadowSummary {
    /// SHA-256 of that bundle, hex.
    pub bundle_digest: String,
    /// What its registry says under `revision`, if anything.
    pub bundle_revision: Option<u64>,
    /// `permit` or `deny`.
    pub verdict: &'static str,
    /// What would change if it were in force: `none`, `denies` or `permits`.
    pub flip: &'static str,
    /// The code of a denial.
    pub code: &'static str,
    /// The sentence of a denial.
    pub message: String,
    /// The policies that determined a denial.
    pub policies: Vec<PolicyRef>,
    /// Dollars that would have been paid.
    pub usd: String,
}

impl ShadowSummary {
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let (shadow, flip) = entry.shadow()?;
        let base = Self {
            bundle_digest: shadow.bundle.digest.to_string(),
            bundle_revision: shadow.bundle.revision,
            flip: flip.as_str(),
            ..Self::default()
        };
        Some(match &shadow.verdict {
            ShadowVerdict::Permit { usd } => {
                let usd = usd.map(|usd| usd.to_string()).unwrap_or_default();
                Self { verdict: "permit", usd, ..base }
            }
            ShadowVerdict::Deny(denial) => Self {
                verdict: "deny",
                code: denial.code.as_str(),
                message: denial.message.clone(),
                policies: denial.policies.clone(),
                ..base
            },
        })
    }
}

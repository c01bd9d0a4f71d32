//! What the sidecar read again because it changed, without anybody asking.

use crate::{BundleId, Moment};

/// What is read again while the sidecar runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReloadKind {
    /// The governance bundle.
    Bundle,
    /// The bundle whose answers are recorded and never given.
    Shadow,
    /// Certificates, their keys, and whose certificates are trusted.
    Tls,
    /// The keys that verify bearer tokens.
    Jwks,
    /// How much is logged.
    Log,
}

impl ReloadKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Bundle, Self::Shadow, Self::Tls, Self::Jwks, Self::Log];

    /// The word in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Shadow => "shadow",
            Self::Tls => "tls",
            Self::Jwks => "jwks",
            Self::Log => "log",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What became of what was read. What had not changed is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReloadResult {
    /// It is in force.
    Applied,
    /// It is not, and what was in force before still is.
    Refused,
}

impl ReloadResult {
    /// Every result.
    pub const ALL: [Self; 2] = [Self::Applied, Self::Refused];

    /// The word in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == text)
    }
}

/// Something that changed on disk, and what became of it. What an operator asked for is an act of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// When.
    pub at: Moment,
    /// What was read.
    pub kind: ReloadKind,
    /// What became of it.
    pub result: ReloadResult,
    /// Why, or what is in force now, in words.
    pub message: String,
    /// The governance bundle in force afterwards.
    pub bundle: BundleId,
}

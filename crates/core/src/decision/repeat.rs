//! What would fill the disk if each of it were recorded: denials, previews, retries and calls of nobody, over and over.

use crate::{AgentName, BundleId, DenyCode, Digest, IdentitySource, Moment};

/// What makes two answers equal enough to be counted instead of being recorded each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepeatKey {
    /// Who asked.
    pub caller: RepeatCaller,
    /// For what.
    pub kind: RepeatKind,
    /// Why it was denied; nothing when it was not.
    pub code: Option<DenyCode>,
}

/// Whose calls are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RepeatCaller {
    /// An agent.
    Agent(AgentName),
    /// Somebody whom the registry does not know, by what the socket says.
    Stranger(IdentitySource),
    /// Strangers of whom nothing is known, and those who are too many to be told apart.
    Strangers,
}

/// Of what kind the records would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RepeatKind {
    /// Denied payments.
    Payment,
    /// Previews, whatever they said.
    Preview,
    /// What was signed before, handed out again.
    Reissue,
    /// Denied sign-ins.
    SignIn,
    /// Calls of nobody.
    Unauthenticated,
}

impl RepeatKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Payment, Self::Preview, Self::Reissue, Self::SignIn, Self::Unauthenticated];

    /// The word in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Preview => "preview",
            Self::Reissue => "reissue",
            Self::SignIn => "sign-in",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How often something was answered within a minute without being recorded each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// What.
    pub key: RepeatKey,
    /// The last record of the same that stands for itself.
    pub like_seq: u64,
    /// How often.
    pub count: u64,
    /// The first time, in milliseconds since the Unix epoch.
    pub first_ms: u64,
    /// The last time.
    pub last_ms: u64,
}

/// Repeats, once their minute is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// When this was recorded.
    pub at: Moment,
    /// What was counted.
    pub repeats: Repeats,
}

/// A call of somebody whom the registry does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unauthenticated {
    /// When.
    pub at: Moment,
    /// What the socket says about them, if it says anything.
    pub source: Option<IdentitySource>,
    /// What they called: service and method.
    pub call: String,
    /// Why they are nobody.
    pub message: String,
    /// The governance bundle whose registry does not know them.
    pub bundle: BundleId,
}

/// Signatures that were made, by their hashes: what was permitted did leave, and these bytes are it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignaturesMade {
    /// When this was recorded: at once, or with whatever was recorded next.
    pub at: Moment,
    /// The record of each permit, and the SHA-256 of the signature's bytes.
    pub hashes: Vec<(u64, Digest)>,
}

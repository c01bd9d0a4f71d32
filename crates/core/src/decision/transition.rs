//! What happens without anybody asking: a bundle comes into force, a workflow's time is over, a wallet has drained.

use std::collections::{BTreeMap, BTreeSet};

use super::{BundleId, Subject};
use crate::{Address, AgentName, Moment, Status, WalletName, WorkflowName};

/// The key under which what an agent connects as is remembered, beside its labels. No label is called so.
pub const REVIEWED_IDENTITY: &str = "identity";

/// Why a status changed without an operator's act on that subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// What the registry declares about the agent is no longer what was reviewed.
    Review,
    /// The registry contains the address that replaces this one, or the one that this one replaces.
    Rotated,
    /// Nothing it signed can be settled any more.
    Drained,
    /// Every workflow it served has ended.
    WorkflowEnded,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::Review, Self::Rotated, Self::Drained, Self::WorkflowEnded];

    /// The word used in records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Rotated => "rotated",
            Self::Drained => "drained",
            Self::WorkflowEnded => "workflow-ended",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }
}

/// A status that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// Whose.
    pub subject: Subject,
    /// What it is now.
    pub status: Status,
    /// Why.
    pub cause: Cause,
}

/// What the declared properties of agents were when they were last put in force: by agent, then by label, with
/// [`REVIEWED_IDENTITY`] for what it connects as. Only those that `review_on` names.
pub type Reviewed = BTreeMap<AgentName, BTreeMap<String, String>>;

/// A change that follows from the bundle, the time and the records alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Moment,
    /// The governance bundle in force from here on.
    pub bundle: BundleId,
    /// What the agents' reviewed properties are under this bundle; nothing when it is the one that was in force before.
    pub reviewed: Option<Reviewed>,
    /// The acts, by their records, that the registry contains now.
    pub completed: BTreeSet<u64>,
    /// The statuses that changed.
    pub statuses: Vec<StatusChange>,
}

/// An act that is complete once the registry contains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAct {
    /// Its record.
    pub seq: u64,
    /// The wallet, as it was called when it was asked for.
    pub wallet: WalletName,
    /// What is to be.
    pub aim: Aim,
}

/// What a pending act wants the registry to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// That the wallet has this address: [`super::ActVerb::Create`], [`super::ActVerb::Import`].
    Declare(Address),
    /// That it has another address: [`super::ActVerb::Rotate`].
    Replace {
        /// The one it has.
        old: Address,
        /// The one it is to have.
        new: Address,
    },
    /// That the wallet with this address serves exactly these workflows: [`super::ActVerb::Reassign`].
    Serve(Address, BTreeSet<WorkflowName>),
}

impl Aim {
    /// The address of the key that signs once the act is complete.
    #[must_use]
    pub const fn address(&self) -> Address {
        match self {
            Self::Declare(address) | Self::Replace { new: address, .. } | Self::Serve(address, _) => *address,
        }
    }
}

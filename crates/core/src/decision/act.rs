use std::fmt;

use super::{Cancellation, Denial, IdentitySource, PolicyRef};
use crate::{Address, AgentName, Digest, Moment, OperatorName, ServiceName, Status, WorkflowName};

/// What [`Subject::Sidecar`] is called.
const SIDECAR: &str = "sidecar";

/// Who or what an operator acts on. A wallet is its address: another name is not another wallet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An agent.
    Agent(AgentName),
    /// A workflow.
    Workflow(WorkflowName),
    /// A wallet.
    Wallet(Address),
    /// A service.
    Service(ServiceName),
    /// The sidecar itself.
    Sidecar,
}

impl Subject {
    /// The noun used in records and answers.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Workflow(_) => "workflow",
            Self::Wallet(_) => "wallet",
            Self::Service(_) => "service",
            Self::Sidecar => SIDECAR,
        }
    }
}

impl fmt::Display for Subject {
    /// The name, or a wallet's address; the sidecar has no other name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => name.fmt(f),
            Self::Workflow(name) => name.fmt(f),
            Self::Wallet(address) => address.fmt(f),
            Self::Service(name) => name.fmt(f),
            Self::Sidecar => f.write_str(SIDECAR),
        }
    }
}

/// What operators do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActVerb {
    /// Stop a subject.
    Suspend,
    /// End the stop.
    Resume,
    /// Free the money of a signature that is dead and was not settled.
    Release,
    /// Confirm that the wall clock is right although it jumped ahead.
    AcceptClock,
    /// Void a signature that was handed out.
    Cancel,
    /// Let a service pay an address that an agent asked to pay.
    AcceptPayee,
}

impl ActVerb {
    /// Every verb.
    pub const ALL: [Self; 6] =
        [Self::Suspend, Self::Resume, Self::Release, Self::AcceptClock, Self::Cancel, Self::AcceptPayee];

    /// The word used in records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Release => "release",
            Self::AcceptClock => "accept-clock",
            Self::Cancel => "cancel",
            Self::AcceptPayee => "accept-payee",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }

    /// The status the subject has afterwards, if the act is about its status.
    #[must_use]
    pub const fn status(self) -> Option<Status> {
        match self {
            Self::Suspend => Some(Status::Suspended),
            Self::Resume => Some(Status::Active),
            Self::Release | Self::AcceptClock | Self::Cancel | Self::AcceptPayee => None,
        }
    }
}

/// What an operator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Who.
    pub operator: OperatorName,
    /// How they were authenticated.
    pub source: IdentitySource,
    /// What.
    pub verb: ActVerb,
    /// To whom. The wallet, for [`ActVerb::Release`] and [`ActVerb::Cancel`]; the service, for [`ActVerb::AcceptPayee`].
    pub subject: Subject,
    /// The record of the permit whose hold is meant, for [`ActVerb::Release`] and [`ActVerb::Cancel`].
    pub hold: Option<u64>,
    /// The address that is to be paid, for [`ActVerb::AcceptPayee`].
    pub payee: Option<Address>,
    /// Why, in their words.
    pub reason: String,
}

/// An operator's act, as judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleDecision {
    /// When.
    pub at: Moment,
    /// What.
    pub act: Act,
    /// The refusal, or nothing when it was done.
    pub denial: Option<Denial>,
    /// What is signed then, for [`ActVerb::Cancel`].
    pub cancellation: Option<Cancellation>,
    /// The policies that permit it.
    pub policies: Vec<PolicyRef>,
    /// The governance bundle that judged.
    pub bundle: Digest,
}

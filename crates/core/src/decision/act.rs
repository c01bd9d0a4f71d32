use std::collections::BTreeSet;
use std::fmt;

use super::{BundleId, Cancellation, Denial, PolicyRef};
use crate::{
    Address, AgentName, BackupRecipient, IdentitySource, Moment, OperatorName, ServiceName, Status,
    WalletName, WorkflowName,
};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActVerb {
    /// Stop a subject.
    Suspend,
    /// End the stop.
    Resume,
    /// End a subject for ever, and void what it has handed out as far as that can be.
    Revoke,
    /// Let a subject do nothing new, and end it once nothing it signed can be settled any more.
    Retire,
    /// Stop everything.
    SuspendAll,
    /// End the stop of everything.
    ResumeAll,
    /// Make a new key for a wallet that is to be declared.
    Create,
    /// Take in a key for a wallet that is to be declared.
    Import,
    /// Make a new key that is to replace a wallet's.
    Rotate,
    /// Give a wallet to other workflows.
    Reassign,
    /// Hand out a wallet's key, encrypted for its recovery teams.
    Backup,
    /// Take a wallet's key back in from its backup.
    Recover,
    /// Void every signature of a stopped subject that was handed out.
    CancelOutstanding,
    /// Void a signature that was handed out.
    Cancel,
    /// Free the money of a signature that is dead and was not settled.
    Release,
    /// Let a service pay an address that an agent asked to pay.
    AcceptPayee,
    /// Confirm that the wall clock is right although it jumped ahead.
    AcceptClock,
    /// Read the governance bundle again.
    Reload,
}

impl ActVerb {
    /// Every verb.
    pub const ALL: [Self; 18] = [
        Self::Suspend,
        Self::Resume,
        Self::Revoke,
        Self::Retire,
        Self::SuspendAll,
        Self::ResumeAll,
        Self::Create,
        Self::Import,
        Self::Rotate,
        Self::Reassign,
        Self::Backup,
        Self::Recover,
        Self::CancelOutstanding,
        Self::Cancel,
        Self::Release,
        Self::AcceptPayee,
        Self::AcceptClock,
        Self::Reload,
    ];

    /// The word used in records and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Revoke => "revoke",
            Self::Retire => "retire",
            Self::SuspendAll => "suspend-all",
            Self::ResumeAll => "resume-all",
            Self::Create => "create",
            Self::Import => "import",
            Self::Rotate => "rotate",
            Self::Reassign => "reassign",
            Self::Backup => "backup",
            Self::Recover => "recover",
            Self::CancelOutstanding => "cancel-outstanding",
            Self::Cancel => "cancel",
            Self::Release => "release",
            Self::AcceptPayee => "accept-payee",
            Self::AcceptClock => "accept-clock",
            Self::Reload => "reload",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }

    /// What operators decided about the subject with this, if the act is about its status. A wallet that was recovered is
    /// suspended.
    #[must_use]
    pub const fn status(self) -> Option<Status> {
        match self {
            Self::Suspend | Self::SuspendAll | Self::Recover => Some(Status::Suspended),
            Self::Resume | Self::ResumeAll => Some(Status::Active),
            Self::Revoke => Some(Status::Revoked),
            Self::Retire => Some(Status::Draining),
            Self::Create
            | Self::Import
            | Self::Rotate
            | Self::Reassign
            | Self::Backup
            | Self::CancelOutstanding
            | Self::Cancel
            | Self::Release
            | Self::AcceptPayee
            | Self::AcceptClock
            | Self::Reload => None,
        }
    }

    /// Whether the act only stops or voids. No policy of a team stands in its way, and neither load nor a full disk does.
    #[must_use]
    pub const fn is_stop(self) -> bool {
        match self {
            Self::Suspend | Self::SuspendAll | Self::Revoke | Self::CancelOutstanding | Self::Cancel => true,
            Self::Resume
            | Self::Retire
            | Self::ResumeAll
            | Self::Create
            | Self::Import
            | Self::Rotate
            | Self::Reassign
            | Self::Backup
            | Self::Recover
            | Self::Release
            | Self::AcceptPayee
            | Self::AcceptClock
            | Self::Reload => false,
        }
    }

    /// The status that is in force in memory although it could not be recorded: a stop's, and nothing else's.
    #[must_use]
    pub const fn stop(self) -> Option<Status> {
        if self.is_stop() { self.status() } else { None }
    }
}

/// What an act is about besides its subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// The record of the permit whose hold is meant: [`ActVerb::Release`], [`ActVerb::Cancel`].
    Hold(u64),
    /// The address that is to be paid: [`ActVerb::AcceptPayee`].
    Payee(Address),
    /// A key that nothing declares yet: [`ActVerb::Create`], [`ActVerb::Import`].
    NewKey {
        /// What its wallet is to be called.
        wallet: WalletName,
        /// Its address.
        address: Address,
    },
    /// The address that is to replace the wallet's: [`ActVerb::Rotate`].
    Successor(Address),
    /// All the workflows the wallet is to serve: [`ActVerb::Reassign`].
    Workflows(BTreeSet<WorkflowName>),
    /// Who can open the backup: [`ActVerb::Backup`].
    Recipients(BTreeSet<BackupRecipient>),
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
    /// To whom. The wallet, for [`ActVerb::Release`] and [`ActVerb::Cancel`]; the service, for [`ActVerb::AcceptPayee`];
    /// the sidecar, for a key that nothing declares yet.
    pub subject: Subject,
    /// About what.
    pub detail: Detail,
    /// Why, in their words.
    pub reason: String,
}

impl Act {
    /// The record of the permit whose hold is meant.
    #[must_use]
    pub const fn hold(&self) -> Option<u64> {
        match self.detail {
            Detail::Hold(seq) => Some(seq),
            Detail::None
            | Detail::Payee(_)
            | Detail::NewKey { .. }
            | Detail::Successor(_)
            | Detail::Workflows(_)
            | Detail::Recipients(_) => None,
        }
    }

    /// The address that is to be paid.
    #[must_use]
    pub const fn payee(&self) -> Option<Address> {
        match self.detail {
            Detail::Payee(payee) => Some(payee),
            Detail::None
            | Detail::Hold(_)
            | Detail::NewKey { .. }
            | Detail::Successor(_)
            | Detail::Workflows(_)
            | Detail::Recipients(_) => None,
        }
    }
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
    /// The wallets that are suspended with this: those that only served a workflow that ends, or the addresses that a wallet
    /// which is stopped had before and that still drain.
    pub cascade: BTreeSet<Address>,
    /// What completes once the registry contains it, for a rotation or reassignment: the wallet as it is called now.
    pub wallet: Option<WalletName>,
    /// The policies that permit it.
    pub policies: Vec<PolicyRef>,
    /// The governance bundle that judged.
    pub bundle: BundleId,
}

impl LifecycleDecision {
    /// What operators decided about whom with this: nothing when it is refused.
    #[must_use]
    pub fn statuses(&self) -> Vec<(Subject, Status)> {
        let Some(status) = self.act.verb.status().filter(|_| self.denial.is_none()) else {
            return Vec::new();
        };
        let cascade = self.cascade.iter().map(|wallet| (Subject::Wallet(*wallet), Status::Suspended));
        std::iter::once((self.act.subject.clone(), status)).chain(cascade).collect()
    }
}

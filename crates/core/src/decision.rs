use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{
    Address, AgentName, Digest, Endpoint, Intent, Moment, OperatorName, RequestId, ServiceName, Status,
    UnixSeconds, WalletName, WorkflowName,
};

macro_rules! deny_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $fix:literal;)*) => {
        /// Why a request is refused: a closed set, in the order in which a request gets past them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DenyCode {
            $($(#[doc = $doc])* $name,)*
        }

        impl DenyCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is answered and recorded.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, in a few words.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                let doc = match self { $(Self::$name => concat!($($doc),*),)* };
                doc.trim().trim_end_matches('.')
            }

            /// What a person can do about it.
            #[must_use]
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$name => $fix,)* }
            }

            /// Reads a code.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

deny_codes! {
    /// The wall clock is behind what the journal has already seen.
    ClockRegressed = "CLOCK_REGRESSED", "set the clock of this machine right";
    /// The request id was used for another request.
    RequestIdReused = "REQUEST_ID_REUSED", "use a new request id for a new request";
    /// The payment signed for this id is past its window.
    RequestExpired = "REQUEST_EXPIRED", "use a new request id";
    /// The caller is not in the registry any more.
    AgentUnknown = "AGENT_UNKNOWN", "declare the agent in registry.yaml";
    /// No such workflow.
    WorkflowUnknown = "WORKFLOW_UNKNOWN", "name a workflow of registry.yaml";
    /// The agent has several workflows and named none.
    WorkflowRequired = "WORKFLOW_REQUIRED", "name the workflow this payment is for";
    /// No such wallet.
    WalletUnknown = "WALLET_UNKNOWN", "name a wallet of registry.yaml";
    /// Not exactly one wallet fits and none was named.
    WalletRequired = "WALLET_REQUIRED", "name the wallet, or give the workflow one wallet on this network";
    /// No such wallet, workflow, agent or service to act on.
    SubjectUnknown = "SUBJECT_UNKNOWN", "name a subject of registry.yaml";
    /// The policies do not let this operator do this.
    OperatorNotAllowed = "OPERATOR_NOT_ALLOWED", "ask a member of a team named in the subject's `revokers` or `owner`";
    /// A payment scheme we do not sign.
    SchemeUnsupported = "SCHEME_UNSUPPORTED", "ask the seller for an `exact` offer";
    /// A network we do not sign for.
    NetworkUnsupported = "NETWORK_UNSUPPORTED", "ask the seller for an offer on an EVM network";
    /// A way of transfer we do not sign, or that the asset does not have.
    MethodUnsupported = "METHOD_UNSUPPORTED", "ask the seller for an EIP-3009 offer";
    /// An asset that is not in the registry.
    AssetUnknown = "ASSET_UNKNOWN", "declare the asset in registry.yaml, or ask for an offer in a declared one";
    /// The seller's EIP-712 name or version is not the asset's.
    AssetMismatch = "ASSET_MISMATCH", "do not trust this seller: it describes the asset wrongly";
    /// A payee that can only be a mistake or a trick.
    PayeeForbidden = "PAYEE_FORBIDDEN", "do not trust this seller: the payee is the zero address, the token, the payer or a contract of the protocol";
    /// Nothing to pay.
    AmountZero = "AMOUNT_ZERO", "do not pay for what is free";
    /// The amount, its value or a sum with it does not fit.
    AmountTooLarge = "AMOUNT_TOO_LARGE", "do not trust this seller: no such amount exists";
    /// The asset's rate is too old.
    UsdStale = "USD_STALE", "renew `usd.as_of` of the asset in registry.yaml";
    /// The policies contain no permit for this.
    NoPermit = "NO_PERMIT", "check the bundle with `pursekeeper policy check`";
    /// A policy could not be evaluated; Cedar would have skipped it.
    PolicyError = "POLICY_ERROR", "mend the policy that failed and check it with `pursekeeper policy check`";
    /// A policy of a team forbids it.
    PolicyDenied = "POLICY_DENIED", "see the named policy";
    /// A ceiling would be exceeded.
    CeilingExceeded = "CEILING_EXCEEDED", "wait until the window frees money, or raise the ceiling in registry.yaml";
    /// The wallet may not spend on this network.
    NetworkNotAllowed = "NETWORK_NOT_ALLOWED", "add the network to the wallet in registry.yaml";
    /// Nobody accepted this payee for this service.
    PayeeUnaccepted = "PAYEE_UNACCEPTED", "check the payee with the seller, then add it to the service's `payees` in registry.yaml";
    /// The seller's resource is on another origin than the call.
    OriginDiffers = "ORIGIN_DIFFERS", "do not trust this seller: it asks to be paid for another site";
    /// The seller names no resource and the service does not allow that.
    OriginAbsent = "ORIGIN_ABSENT", "set `resource_optional: true` on the service if its 402 really names no resource";
    /// The endpoint is in no service of the workflow.
    EndpointOutOfScope = "ENDPOINT_OUT_OF_SCOPE", "add the endpoint to a service of the workflow in registry.yaml";
    /// The wallet does not serve the workflow.
    WalletNotInWorkflow = "WALLET_NOT_IN_WORKFLOW", "use a wallet that names the workflow in registry.yaml";
    /// The agent does not work for the workflow.
    AgentNotInWorkflow = "AGENT_NOT_IN_WORKFLOW", "name a workflow the agent belongs to";
    /// The workflow's time is over.
    WorkflowExpired = "WORKFLOW_EXPIRED", "renew `expires` of the workflow in registry.yaml";
    /// The agent, workflow, wallet or service is not active.
    NotActive = "NOT_ACTIVE", "ask an operator to resume it";
}

impl fmt::Display for DenyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the caller was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentitySource {
    /// By the credentials of the Unix socket's peer.
    UnixPeer {
        /// The peer's user id.
        uid: u32,
    },
}

/// Who asks, as authenticated; never as claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The agent of the registry.
    pub agent: AgentName,
    /// What proved it.
    pub source: IdentitySource,
}

impl IdentitySource {
    /// The word used in policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnixPeer { .. } => "unix-peer",
        }
    }

    /// How many independent proofs there were.
    #[must_use]
    pub const fn assurance(self) -> u8 {
        match self {
            Self::UnixPeer { .. } => 1,
        }
    }
}

/// Whether an answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A permit binds money and is signed.
    Enforce,
    /// Nothing is bound or signed.
    Preview,
}

/// What was asked, before anything was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who asks.
    pub caller: Caller,
    /// The agent's own id.
    pub request_id: RequestId,
    /// The call to be paid for.
    pub endpoint: Endpoint,
    /// The workflow it named.
    pub workflow: Option<WorkflowName>,
    /// The wallet it named.
    pub wallet: Option<WalletName>,
    /// Claims it added.
    pub labels: BTreeMap<String, String>,
}

/// A policy that determined an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyRef {
    /// Its `@id`.
    pub id: Arc<str>,
    /// Its `@reason`.
    pub reason: Arc<str>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Which rule.
    pub code: DenyCode,
    /// What was refused and what to do about it.
    pub message: String,
    /// The policies that determined it; empty when a fixed rule did.
    pub policies: Vec<PolicyRef>,
}

impl Denial {
    /// A refusal by a fixed rule: `what`, then the code's own advice.
    #[must_use]
    pub fn rule(code: DenyCode, what: impl fmt::Display) -> Self {
        Self { code, message: format!("{what}: {}", code.fix()), policies: Vec::new() }
    }

    /// A refusal determined by policies, in the words of their reasons.
    #[must_use]
    pub fn by_policies(code: DenyCode, policies: Vec<PolicyRef>) -> Self {
        let reasons: Vec<&str> = policies.iter().map(|policy| &*policy.reason).collect();
        let what = if reasons.is_empty() { code.meaning().to_owned() } else { reasons.join("; ") };
        Self { policies, ..Self::rule(code, what) }
    }
}

/// What was decided about one entry of `accepts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferVerdict {
    /// Position in `accepts`, from 0.
    pub index: u32,
    /// The refusal, or nothing when it could have been signed.
    pub denial: Option<Denial>,
}

/// A permit: the money it binds and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// What will be signed.
    pub intent: Intent,
    /// The policies that permit it.
    pub policies: Vec<PolicyRef>,
    /// The signature cannot be settled after this: its `validBefore` and our allowance for foreign clocks.
    pub held_until: UnixSeconds,
}

/// Permitted or denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go ahead, once this is durable.
    Permit(Box<Permit>),
    /// No.
    Deny {
        /// Why.
        denial: Denial,
        /// The payment that came closest, when one could be made out.
        intent: Option<Box<Intent>>,
    },
}

/// What the gate answered to one request for a payment, with all it was based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: Moment,
    /// Whether it counts.
    pub mode: Mode,
    /// What was asked.
    pub asked: Asked,
    /// What makes a retry the same request; see [`crate::gate::PaymentAsk::fingerprint`].
    pub fingerprint: Digest,
    /// Each offer's verdict, in the seller's order.
    pub offers: Vec<OfferVerdict>,
    /// The answer.
    pub outcome: Outcome,
    /// The governance bundle that judged.
    pub bundle: Digest,
}

/// A retry that is answered with the payload already signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reissue {
    /// When.
    pub at: Moment,
    /// What was asked.
    pub asked: Asked,
    /// The record that holds the permit.
    pub original_seq: u64,
    /// What was signed then.
    pub intent: Intent,
    /// The governance bundle in force.
    pub bundle: Digest,
}

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
        }
    }
}

impl fmt::Display for Subject {
    /// The name, or a wallet's address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => name.fmt(f),
            Self::Workflow(name) => name.fmt(f),
            Self::Wallet(address) => address.fmt(f),
            Self::Service(name) => name.fmt(f),
        }
    }
}

/// What operators do to a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActVerb {
    /// Stop it.
    Suspend,
    /// End the stop.
    Resume,
}

impl ActVerb {
    /// The word used in policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Suspend, Self::Resume].into_iter().find(|verb| verb.as_str() == text)
    }

    /// The status the subject has afterwards.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Suspend => Status::Suspended,
            Self::Resume => Status::Active,
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
    /// To whom.
    pub subject: Subject,
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
    /// The policies that permit it.
    pub policies: Vec<PolicyRef>,
    /// The governance bundle that judged.
    pub bundle: Digest,
}

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A judged request for a payment, or a preview of one.
    Payment(Box<Decision>),
    /// A retry answered with the payload already signed.
    Reissue(Box<Reissue>),
    /// An operator's act.
    Lifecycle(Box<LifecycleDecision>),
}

impl Entry {
    /// When it was judged.
    #[must_use]
    pub fn at(&self) -> Moment {
        match self {
            Self::Payment(decision) => decision.at,
            Self::Reissue(reissue) => reissue.at,
            Self::Lifecycle(lifecycle) => lifecycle.at,
        }
    }

    /// The permit that binds money, if this is one.
    #[must_use]
    pub fn binding_permit(&self) -> Option<&Permit> {
        match self {
            Self::Payment(decision) => match (&decision.mode, &decision.outcome) {
                (Mode::Enforce, Outcome::Permit(permit)) => Some(permit),
                (Mode::Preview, Outcome::Permit(_)) | (_, Outcome::Deny { .. }) => None,
            },
            Self::Reissue(_) | Self::Lifecycle(_) => None,
        }
    }
}

//! What the gate answers, and everything that is recorded.

mod act;
mod bundle;
mod call;
mod cancellation;
mod ceiling_use;
mod code;
mod evidence;
mod payee;
mod reload;
mod repeat;
mod shadow;
mod sign_in;
mod transition;
mod warning;

pub use act::{Act, ActVerb, Detail, LifecycleDecision, Subject};
pub use bundle::BundleId;
pub use call::{TraceId, TraceIdError, Wait};
pub use cancellation::Cancellation;
pub use ceiling_use::CeilingUse;
pub use code::DenyCode;
pub use evidence::{
    CLAIM_TEXT_LEN_MAX, CLAIMS_PER_HOLD_MAX, CLAIMS_PER_SIGN_IN_MAX, Claim, Evidence, Fate, HoldState,
    Observation, Report, Said,
};
pub use payee::{PENDING_PAYEES_MAX, PayeeState, PendingPayee};
pub use reload::{Reload, ReloadKind, ReloadResult};
pub use repeat::{RepeatCaller, RepeatKey, RepeatKind, Repeated, Repeats, SignaturesMade, Unauthenticated};
pub use shadow::{Flip, Shadow, ShadowVerdict};
pub use sign_in::{SignInDecision, SignInIntent, SignInOutcome, SignInPermit, Signable};
pub use transition::{Aim, Cause, PendingAct, REVIEWED_IDENTITY, Reviewed, StatusChange, Transition};
pub use warning::{Measure, NearLimit, Warning};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::{
    Address, AgentName, Digest, Endpoint, IdentitySource, Intent, Moment, RequestId, ServiceName, Status,
    UnixSeconds, WalletName, WorkflowName,
};

/// Who asks, as authenticated; never as claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The agent of the registry.
    pub agent: AgentName,
    /// What proved it.
    pub source: IdentitySource,
    /// The only workflows for which the listener may be used over which it asks; nothing when it may be used for all.
    pub workflows: Option<Arc<BTreeSet<WorkflowName>>>,
}

impl Caller {
    /// Who asks over a listener that may be used for every workflow.
    #[must_use]
    pub const fn new(agent: AgentName, source: IdentitySource) -> Self {
        Self { agent, source, workflows: None }
    }

    /// Whether the listener may be used for a workflow.
    #[must_use]
    pub fn may_ask_for(&self, workflow: &WorkflowName) -> bool {
        self.workflows.as_ref().is_none_or(|only| only.contains(workflow))
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
    /// The trace it says the call belongs to.
    pub trace: Option<TraceId>,
    /// How long it waited to be judged.
    pub wait: Wait,
}

/// A policy that determined an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyRef {
    /// Its `@id`.
    pub id: Arc<str>,
    /// Its `@reason`.
    pub reason: Arc<str>,
    /// SHA-256 of its text; nothing in records that were written before it was kept.
    pub digest: Option<Digest>,
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

    /// Whether policies looked at what was asked for. A fixed rule, such as a request id that was used, looks no further.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        !self.policies.is_empty() || matches!(self.code, DenyCode::NoPermit | DenyCode::CeilingExceeded)
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
    /// Which limits are near.
    pub warnings: Vec<Warning>,
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
    /// The ceilings that apply to the payment that was judged, before and after.
    pub ceilings: Vec<CeilingUse>,
    /// The payee that the refusal leaves to the operators, if it is the first to do so.
    pub pending: Option<PendingPayee>,
    /// The governance bundle that judged.
    pub bundle: BundleId,
    /// What the shadow bundle would have answered, if there is one.
    pub shadow: Option<Box<Shadow>>,
}

/// A retry that is answered with what was already signed, or an allowance for a payment that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reissue {
    /// When.
    pub at: Moment,
    /// What was asked.
    pub asked: Asked,
    /// The record that holds the permit.
    pub original_seq: u64,
    /// What was signed then; or the allowance for it, which is signed now.
    pub what: Signable,
    /// The policies that permit an allowance; empty for what was permitted then.
    pub policies: Vec<PolicyRef>,
    /// The governance bundle in force.
    pub bundle: BundleId,
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
    /// What an agent says it saw.
    Report(Box<Report>),
    /// What a chain says.
    Evidence(Box<Evidence>),
    /// A judged request to sign in.
    SignIn(Box<SignInDecision>),
    /// What follows from the bundle, the time and the records alone.
    Transition(Box<Transition>),
    /// Signatures that were made.
    Signatures(Box<SignaturesMade>),
    /// A call of nobody.
    Unauthenticated(Box<Unauthenticated>),
    /// What was counted instead of being recorded.
    Repeated(Box<Repeated>),
    /// What was read again because it changed on disk.
    Reload(Box<Reload>),
}

impl Decision {
    /// The payee that waits for an operator from now on. A preview and a permit leave none to them.
    #[must_use]
    pub fn pending_payee(&self) -> Option<&PendingPayee> {
        match (self.mode, &self.outcome) {
            (Mode::Enforce, Outcome::Deny { .. }) => self.pending.as_ref(),
            (Mode::Enforce, Outcome::Permit(_)) | (Mode::Preview, _) => None,
        }
    }
}

impl Entry {
    /// When it was judged.
    #[must_use]
    pub fn at(&self) -> Moment {
        match self {
            Self::Payment(decision) => decision.at,
            Self::Reissue(reissue) => reissue.at,
            Self::Lifecycle(lifecycle) => lifecycle.at,
            Self::Report(report) => report.at,
            Self::Evidence(evidence) => evidence.at,
            Self::SignIn(decision) => decision.at,
            Self::Transition(transition) => transition.at,
            Self::Signatures(made) => made.at,
            Self::Unauthenticated(call) => call.at,
            Self::Repeated(repeated) => repeated.at,
            Self::Reload(reload) => reload.at,
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
            Self::Reissue(_)
            | Self::Lifecycle(_)
            | Self::Report(_)
            | Self::Evidence(_)
            | Self::SignIn(_)
            | Self::Transition(_)
            | Self::Signatures(_)
            | Self::Unauthenticated(_)
            | Self::Repeated(_)
            | Self::Reload(_) => None,
        }
    }

    /// The hold this resolves, by the record of its permit, and what it is afterwards.
    #[must_use]
    pub fn resolves(&self) -> Option<(u64, HoldState)> {
        match self {
            Self::Evidence(evidence) => Some((evidence.original_seq, evidence.state)),
            Self::Lifecycle(lifecycle) => match (&lifecycle.denial, lifecycle.act.verb) {
                (None, ActVerb::Release) => lifecycle.act.hold().map(|hold| (hold, HoldState::Released)),
                (None | Some(_), _) => None,
            },
            Self::Payment(_)
            | Self::Reissue(_)
            | Self::Report(_)
            | Self::SignIn(_)
            | Self::Transition(_)
            | Self::Signatures(_)
            | Self::Unauthenticated(_)
            | Self::Repeated(_)
            | Self::Reload(_) => None,
        }
    }

    /// What was decided about whom with this, and is in force from here on.
    #[must_use]
    pub fn statuses(&self) -> Vec<(Subject, Status)> {
        match self {
            Self::Lifecycle(lifecycle) => lifecycle.statuses(),
            Self::Transition(transition) => {
                let changes = transition.statuses.iter();
                changes.map(|change| (change.subject.clone(), change.status)).collect()
            }
            Self::Payment(_)
            | Self::Reissue(_)
            | Self::Report(_)
            | Self::Evidence(_)
            | Self::SignIn(_)
            | Self::Signatures(_)
            | Self::Unauthenticated(_)
            | Self::Repeated(_)
            | Self::Reload(_) => Vec::new(),
        }
    }

    /// The payee that waits for an operator from now on, if this leaves one to them.
    #[must_use]
    pub fn pending_payee(&self) -> Option<&PendingPayee> {
        match self {
            Self::Payment(decision) => decision.pending_payee(),
            Self::Reissue(_)
            | Self::Lifecycle(_)
            | Self::Report(_)
            | Self::Evidence(_)
            | Self::SignIn(_)
            | Self::Transition(_)
            | Self::Signatures(_)
            | Self::Unauthenticated(_)
            | Self::Repeated(_)
            | Self::Reload(_) => None,
        }
    }

    /// What this may be counted as when it comes again and again; nothing for what has consequences of its own.
    #[must_use]
    pub fn repeat_key(&self) -> Option<RepeatKey> {
        let (caller, kind, code) = match self {
            Self::Payment(decision) => {
                let code = match (decision.mode, &decision.outcome) {
                    (Mode::Enforce, Outcome::Permit(_)) => return None,
                    (Mode::Preview, Outcome::Permit(_)) => None,
                    (_, Outcome::Deny { denial, .. }) => Some(denial.code),
                };
                if decision.pending_payee().is_some() {
                    return None;
                }
                let kind = match decision.mode {
                    Mode::Enforce => RepeatKind::Payment,
                    Mode::Preview => RepeatKind::Preview,
                };
                (RepeatCaller::Agent(decision.asked.caller.agent.clone()), kind, code)
            }
            Self::SignIn(decision) => {
                let SignInOutcome::Deny { denial, .. } = &decision.outcome else { return None };
                let agent = RepeatCaller::Agent(decision.asked.caller.agent.clone());
                (agent, RepeatKind::SignIn, Some(denial.code))
            }
            Self::Reissue(reissue) => {
                (RepeatCaller::Agent(reissue.asked.caller.agent.clone()), RepeatKind::Reissue, None)
            }
            Self::Unauthenticated(call) => {
                let caller = call.source.clone().map_or(RepeatCaller::Strangers, RepeatCaller::Stranger);
                (caller, RepeatKind::Unauthenticated, None)
            }
            Self::Lifecycle(_)
            | Self::Report(_)
            | Self::Evidence(_)
            | Self::Transition(_)
            | Self::Signatures(_)
            | Self::Repeated(_)
            | Self::Reload(_) => return None,
        };
        Some(RepeatKey { caller, kind, code })
    }

    /// The payee that an operator accepted with this, and for which service.
    #[must_use]
    pub fn accepted_payee(&self) -> Option<(&ServiceName, Address)> {
        let Self::Lifecycle(lifecycle) = self else { return None };
        match (&lifecycle.denial, lifecycle.act.verb, &lifecycle.act.subject) {
            (None, ActVerb::AcceptPayee, Subject::Service(service)) => {
                lifecycle.act.payee().map(|payee| (service, payee))
            }
            (None | Some(_), _, _) => None,
        }
    }

    /// Whether an operator confirmed the wall clock with this.
    #[must_use]
    pub fn accepts_clock(&self) -> bool {
        match self {
            Self::Lifecycle(lifecycle) => {
                lifecycle.denial.is_none() && lifecycle.act.verb == ActVerb::AcceptClock
            }
            Self::Payment(_)
            | Self::Reissue(_)
            | Self::Report(_)
            | Self::Evidence(_)
            | Self::SignIn(_)
            | Self::Transition(_)
            | Self::Signatures(_)
            | Self::Unauthenticated(_)
            | Self::Repeated(_)
            | Self::Reload(_) => false,
        }
    }
}

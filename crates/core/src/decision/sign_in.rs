//! What the gate answers to a request to sign in.

use super::{Asked, BundleId, Cancellation, Denial, PolicyRef, Shadow};
use crate::siwx::SignIn;
use crate::{
    Address, AgentName, Allowance, CeilingUse, Digest, Endpoint, Intent, Moment, RequestId, ServiceName,
    Subject, UnixSeconds, WalletName, WorkflowName,
};

/// One sign-in, exactly as it is judged, recorded and signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInIntent {
    /// The agent's own id for the request.
    pub request_id: RequestId,
    /// Who asks.
    pub agent: AgentName,
    /// The task it is for.
    pub workflow: WorkflowName,
    /// The wallet that signs in.
    pub wallet: WalletName,
    /// That wallet's address.
    pub wallet_address: Address,
    /// The service it is booked under; none when the endpoint is in no service of the workflow.
    pub service: Option<ServiceName>,
    /// The call it is for: a claim.
    pub endpoint: Endpoint,
    /// The message.
    pub message: SignIn,
}

/// Whatever a wallet signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signable {
    /// A payment.
    Payment(Intent),
    /// A sign-in.
    SignIn(SignInIntent),
    /// The allowance for a payment that an app built itself, and which is signed already.
    Allowance(Intent, Allowance),
    /// What voids a payment.
    Cancellation(Cancellation),
}

/// A permit to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInPermit {
    /// What will be signed.
    pub intent: SignInIntent,
    /// The policies that permit it.
    pub policies: Vec<PolicyRef>,
    /// It counts in every window until this and the window's length: when nobody accepts the message any more.
    pub counted_until: UnixSeconds,
}

/// Permitted or denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInOutcome {
    /// Go ahead, once this is durable.
    Permit(Box<SignInPermit>),
    /// No.
    Deny {
        /// Why.
        denial: Denial,
        /// What would have been signed, when it could be made out.
        intent: Option<Box<SignInIntent>>,
    },
}

/// What the gate answered to one request to sign in, with all it was based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInDecision {
    /// When.
    pub at: Moment,
    /// What was asked.
    pub asked: Asked,
    /// What makes a retry the same request; see [`crate::gate::SignInAsk::fingerprint`].
    pub fingerprint: Digest,
    /// The answer.
    pub outcome: SignInOutcome,
    /// The ceilings that apply to the sign-in that was judged, before and after.
    pub ceilings: Vec<CeilingUse>,
    /// The governance bundle that judged.
    pub bundle: BundleId,
    /// What the shadow bundle would have answered, if there is one.
    pub shadow: Option<Box<Shadow>>,
}

impl SignInIntent {
    /// The digest the wallet signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.message.digest()
    }

    /// Everybody who has to be active for this to be handed out.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        subjects(&self.agent, &self.workflow, self.wallet_address, self.service.as_ref())
    }
}

impl Signable {
    /// The digest the wallet signs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Payment(intent) => intent.digest(),
            Self::SignIn(intent) => intent.digest(),
            Self::Allowance(intent, allowance) => intent.digest_of(*allowance),
            Self::Cancellation(cancellation) => cancellation.digest(),
        }
    }

    /// The digest the wallet signs besides, when it grants an allowance together with a payment.
    #[must_use]
    pub fn allowance_digest(&self) -> Option<Digest> {
        match self {
            Self::Payment(intent) => intent.allowance.map(|allowance| intent.digest_of(allowance)),
            Self::SignIn(_) | Self::Allowance(..) | Self::Cancellation(_) => None,
        }
    }

    /// Whose key signs.
    #[must_use]
    pub fn wallet_address(&self) -> Address {
        match self {
            Self::Payment(intent) | Self::Allowance(intent, _) => intent.wallet_address,
            Self::SignIn(intent) => intent.wallet_address,
            Self::Cancellation(cancellation) => cancellation.authorizer,
        }
    }

    /// The wallet's name.
    #[must_use]
    pub fn wallet(&self) -> &WalletName {
        match self {
            Self::Payment(intent) | Self::Allowance(intent, _) => &intent.wallet,
            Self::SignIn(intent) => &intent.wallet,
            Self::Cancellation(cancellation) => &cancellation.wallet,
        }
    }

    /// Everybody who has to be active for this to be handed out; nobody for what only voids.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        match self {
            Self::Payment(intent) | Self::Allowance(intent, _) => intent.subjects(),
            Self::SignIn(intent) => intent.subjects(),
            Self::Cancellation(_) => Vec::new(),
        }
    }
}

impl Intent {
    /// Everybody who has to be active for this to be handed out.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        subjects(&self.agent, &self.workflow, self.wallet_address, self.service.as_ref())
    }
}

fn subjects(
    agent: &AgentName,
    workflow: &WorkflowName,
    wallet: Address,
    service: Option<&ServiceName>,
) -> Vec<Subject> {
    let always = [
        Subject::Sidecar,
        Subject::Agent(agent.clone()),
        Subject::Workflow(workflow.clone()),
        Subject::Wallet(wallet),
    ];
    always.into_iter().chain(service.cloned().map(Subject::Service)).collect()
}

//! The three things the gate needs from outside. Each has exactly one implementation outside tests and benches.

use crate::gate::{Authorized, Signed};
use crate::registry::Registry;
use crate::{
    Act, Address, AgentName, Amount, AssetId, BundleId, ClockMark, Credit, DecisionId, DenyCode, Digest,
    Endpoint, Entry, Facts, HoldState, Intent, Moment, PayeeState, PendingAct, Permit, PolicyRef, RepeatKey,
    Repeats, RequestId, Reviewed, Scope, ServiceName, SignInIntent, Status, Subject, Totals, UnixSeconds,
    Usd,
};

/// A governance bundle that judges. Pure: the same question has the same answer.
pub trait Policy {
    /// What the bundle declares.
    fn registry(&self) -> &Registry;

    /// SHA-256 of the whole bundle.
    fn digest(&self) -> Digest;

    /// Which bundle this is, as records name it.
    fn bundle(&self) -> BundleId {
        BundleId { digest: self.digest(), revision: self.registry().revision }
    }

    /// Judges a payment. It cannot fail: what cannot be evaluated is denied.
    fn decide(&self, intent: &Intent, facts: &Facts) -> Verdict;

    /// Judges the allowance that is granted together with a payment. It cannot fail: what cannot be evaluated is denied.
    fn decide_allowance(&self, intent: &Intent, facts: &Facts) -> Verdict;

    /// Judges a sign-in. It cannot fail: what cannot be evaluated is denied.
    fn decide_sign_in(&self, intent: &SignInIntent, facts: &Facts) -> Verdict;

    /// Judges an operator's act.
    fn decide_act(&self, act: &Act, now: UnixSeconds) -> Verdict;
}

/// What policies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Permitted, by these.
    Permit(Vec<PolicyRef>),
    /// Denied, by these.
    Deny(DenyCode, Vec<PolicyRef>),
}

/// Most payments that [`Ledger::held_alike`] looks at.
pub const HELD_ALIKE_MAX: usize = 16;

/// The journal as it stands inside the transaction that records the next decision: it contains the holds of the
/// decisions before it in the same batch.
pub trait Ledger {
    /// Money and payments of a subject, settled and held together, in every window.
    fn totals(&self, scope: &Scope) -> Totals;

    /// What operators decided last about a subject, under any of its names; active when they decided nothing. What was
    /// revoked under one of them stays revoked.
    fn status(&self, names: &[Subject]) -> Status;

    /// The permit an agent's request id was used for.
    ///
    /// # Errors
    /// [`LedgerError`] when the journal cannot be read.
    fn prior(&self, agent: &AgentName, id: &RequestId) -> Result<Option<Prior>, LedgerError>;

    /// Whether an address has signed a payment with this nonce.
    ///
    /// # Errors
    /// [`LedgerError`] when the journal cannot be read.
    fn nonce_used(&self, wallet: Address, nonce: [u8; 32]) -> Result<bool, LedgerError>;

    /// The newest payments of an address that are held for this amount of this asset; at most [`HELD_ALIKE_MAX`].
    ///
    /// # Errors
    /// [`LedgerError`] when the journal cannot be read.
    fn held_alike(&self, wallet: Address, asset: &AssetId, amount: Amount) -> Result<Vec<Hold>, LedgerError>;

    /// Signatures of an agent for an endpoint that may still be settled.
    fn outstanding(&self, agent: &AgentName, endpoint: &Endpoint) -> u64;

    /// Dollars of a subject's signatures that are not released and could still be settled at `since` or later.
    fn bound_since(&self, scope: &Scope, since: UnixSeconds) -> Usd;

    /// The governance bundle that the last transition put in force; nothing before the first.
    fn bundle(&self) -> Option<BundleId>;

    /// What the reviewed properties of agents were under that bundle.
    fn reviewed(&self) -> Reviewed;

    /// The acts that the registry did not contain yet, oldest first.
    fn pending_acts(&self) -> Vec<PendingAct>;

    /// The subjects that operators or a rotation let drain.
    fn draining(&self) -> Vec<Subject>;

    /// Whether a backup of the key of an address was handed out.
    fn has_backup(&self, wallet: Address) -> bool;

    /// The signatures of a subject, under any of its names, that can still be settled at `now`, oldest first. `page` says
    /// after which record, and how many at most. The sidecar stands for everybody.
    ///
    /// # Errors
    /// [`LedgerError`] when the journal cannot be read.
    fn exposed(
        &self,
        names: &[Subject],
        now: UnixSeconds,
        page: (u64, usize),
    ) -> Result<Vec<Hold>, LedgerError>;

    /// The operator's act in record `seq`, if there is one that was permitted.
    ///
    /// # Errors
    /// [`LedgerError`] when the journal cannot be read.
    fn act(&self, seq: u64) -> Result<Option<Act>, LedgerError>;

    /// The money bound by the permit in record `seq`, if there is one.
    ///
    /// # Errors
    /// [`LedgerError`] when the journal cannot be read.
    fn hold(&self, seq: u64) -> Result<Option<Hold>, LedgerError>;

    /// The sign-in permitted in record `seq`, if there is one.
    ///
    /// # Errors
    /// [`LedgerError`] when the journal cannot be read.
    fn sign_in(&self, seq: u64) -> Result<Option<PastSignIn>, LedgerError>;

    /// What a wallet paid at a service that is called so, and what agents say is left of it.
    fn credit(&self, wallet: Address, service: &ServiceName) -> Credit;

    /// What is known of a payee of a service, under any of the service's names; nothing when no refusal left it to the
    /// operators.
    fn payee(&self, services: &[ServiceName], payee: Address) -> Option<PayeeState>;

    /// How many payees of a service wait for an operator, under any of its names.
    fn pending_payees(&self, services: &[ServiceName]) -> usize;

    /// What the journal knows about time.
    fn clock(&self) -> ClockMark;

    /// How many records of this kind were written within the minute of `at`, each on its own.
    fn recorded_lately(&self, key: &RepeatKey, at: Moment) -> u32;
}

/// A permit given earlier under the same request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prior {
    /// The record that holds it.
    pub seq: u64,
    /// What makes a retry the same request.
    pub fingerprint: Digest,
    /// What it was used for.
    pub used: Used,
}

/// What a request id was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Used {
    /// A payment, and what became of its money.
    Payment(Box<Intent>, HoldState),
    /// A sign-in.
    SignIn(Box<SignInIntent>),
    /// Something that is dead and archived: what it was is not in the journal any more.
    Archived,
}

/// Money bound by a permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The record that holds the permit.
    pub seq: u64,
    /// When it was permitted; the signature was not made before.
    pub at: UnixSeconds,
    /// What was permitted, and until when it binds.
    pub permit: Permit,
    /// What became of it.
    pub state: HoldState,
    /// How many claims of agents are recorded about it.
    pub claims: u64,
}

/// A sign-in that was permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastSignIn {
    /// What was permitted.
    pub intent: SignInIntent,
    /// How many claims of agents are recorded about it.
    pub claims: u64,
}

/// The journal could not be read inside a transaction.
#[derive(Debug, thiserror::Error)]
#[error("the journal cannot be read: {0}")]
pub struct LedgerError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The durable record of everything the gate answers.
pub trait Journal {
    /// Why nothing was recorded.
    type Error: std::error::Error + From<LedgerError>;

    /// Judges each of `asks` with `decide`, in order, and records the answers in one transaction, together with the
    /// holds, totals, statuses and request ids that follow from them. Returns once that is on disk; on an error nothing
    /// was recorded and nothing is remembered.
    ///
    /// `decide` sees the ledger as left by the asks before it, and may be asked again from the first on. For
    /// [`Urgency::Stop`] an implementation has room that nothing else may use.
    ///
    /// # Errors
    /// The implementation's own, and whatever `decide` returns.
    fn commit<A>(
        &mut self,
        at: Moment,
        urgency: Urgency,
        asks: &[A],
        decide: impl FnMut(&A, &dyn Ledger) -> Result<Judged, LedgerError>,
    ) -> Result<Vec<Recorded>, Self::Error>;

    /// What it knows about time, between two commits.
    fn clock(&self) -> ClockMark;

    /// What was counted in minutes before that of `at` and waits to be recorded.
    fn due(&self, at: Moment) -> Vec<Repeats>;
}

/// What a batch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Anything.
    Payment,
    /// Stops alone: they are recorded when nothing else can be.
    Stop,
}

/// What is to be done about an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Record this.
    Entry(Entry),
    /// Count this: enough of the same was recorded within this minute. Durably, like a record.
    Repeat(Entry),
    /// Record nothing.
    Nothing(Nothing),
}

/// Why nothing is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// The agent has no such payment or sign-in.
    PaymentUnknown,
    /// More was claimed about this payment or sign-in than anybody will read.
    ClaimsExhausted,
    /// A sign-in has no outcome of a payment.
    NotAPayment,
    /// The service it is booked under has no credit of which something could be left.
    NotPrepaid,
    /// The hold is resolved already, or there is none, or the evidence does not fit it.
    HoldResolved,
    /// What was asked for voids signatures as a recorded act wants it: the act is the record.
    Voids,
    /// Nothing follows from bundle, time and records that is not recorded.
    NothingDue,
}

/// What became of an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is on disk.
    Entry {
        /// Its name.
        decision_id: DecisionId,
        /// What it says.
        entry: Entry,
    },
    /// It was counted, durably.
    Repeat {
        /// The last record of the same.
        decision_id: DecisionId,
        /// What it would have said.
        entry: Entry,
    },
    /// There was nothing to record.
    Nothing(Nothing),
}

/// Whoever holds the keys.
pub trait Custody {
    /// Why there is no signature.
    type Error: std::error::Error;

    /// Signs what was authorised, once.
    ///
    /// # Errors
    /// The implementation's own; then there is no signature outside.
    fn sign(&self, job: Authorized) -> Result<Signed, Self::Error>;
}

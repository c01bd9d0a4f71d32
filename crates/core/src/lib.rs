//! What is true in Pursekeeper: values, x402 parsing and building, decisions, and the one gate every signature passes.
//!
//! Nothing here reads a clock, a file, a socket or a random number: time and randomness are arguments. That is what
//! lets the same code judge a live payment, a preview, and a replay of the journal.
//!
//! Reading order: [`x402`] turns a seller's 402 into a [`x402::Challenge`], [`registry`] is what the security team
//! declared, [`gate`] joins the two into an [`Intent`] and [`Facts`], asks the [`ports::Policy`], has the
//! [`ports::Journal`] make the answer durable, and only then hands out an [`gate::Authorized`].

mod address;
mod amount;
mod asset;
mod backup;
mod balance;
mod chain;
mod checkpoint;
mod clock;
mod credit;
mod decision;
mod digest;
mod eip712;
mod endpoint;
mod facts;
pub mod gate;
mod identity;
mod intent;
mod name;
pub mod ports;
mod quote;
pub mod registry;
mod signature;
pub mod siwx;
mod status;
mod time;
pub mod typed_data;
mod usd;
mod window;
pub mod x402;

pub use address::{Address, AddressError, EvmAddress};
pub use amount::{Amount, AmountError};
pub use asset::{Asset, AssetId, TransferMethod, UsdRate, UsdRateError};
pub use backup::{BackupRecipient, BackupRecipientError};
pub use balance::{Balance, BalanceFacts, Balances};
pub use chain::{ChainId, ChainIdError};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use clock::{ClockMark, ClockTolerance, ClockTrust};
pub use credit::{
    ClaimedCredit, ClaimedFacts, Credit, PrepaidFacts, REMAINING_USD_MAX, RemainingError, parse_remaining,
};
pub use decision::{
    Act, ActVerb, Aim, Asked, BundleId, CLAIM_TEXT_LEN_MAX, CLAIMS_PER_HOLD_MAX, CLAIMS_PER_SIGN_IN_MAX,
    Caller, Cancellation, Cause, CeilingUse, Claim, Decision, Denial, DenyCode, Detail, Entry, Evidence,
    Fate, Flip, HoldState, LifecycleDecision, Measure, Mode, NearLimit, Observation, OfferVerdict, Outcome,
    PENDING_PAYEES_MAX, PayeeState, PendingAct, PendingPayee, Permit, PolicyRef, REVIEWED_IDENTITY, Reissue,
    Reload, ReloadKind, ReloadResult, RepeatCaller, RepeatKey, RepeatKind, Repeated, Repeats, Report,
    Reviewed, Said, Shadow, ShadowVerdict, SignInDecision, SignInIntent, SignInOutcome, SignInPermit,
    Signable, SignaturesMade, StatusChange, Subject, TraceId, TraceIdError, Transition, Unauthenticated,
    Wait, Warning,
};
pub use digest::{DecisionId, Digest, JournalId, JournalIdError};
pub use eip712::{
    EXACT_PROXY, PERMIT2, PermitWitness, UPTO_PROXY, cancel_authorization_digest, domain_separator,
    permit_digest, permit_witness_transfer_from_digest, permit2_domain_separator,
    transfer_with_authorization_digest,
};
pub use endpoint::{Endpoint, EndpointError, METHOD_LEN_MAX, Origin, OriginMatch, URL_LEN_MAX};
pub use facts::{Facts, PerScope, Totals};
pub use identity::{
    IdentitySource, SPIFFE_ID_LEN_MAX, SpiffeId, SpiffeIdError, TOKEN_SUBJECT_LEN_MAX, TokenSubject,
    TokenSubjectError, UnixPeer,
};
pub use intent::{Allowance, Demand, Intent, Offered};
pub use name::{
    AgentName, NameError, OperatorName, REQUEST_ID_LEN_MAX, RequestId, ServiceName, TeamName, TokenIssuer,
    WalletName, WorkflowName,
};
pub use signature::Signature;
pub use status::Status;
pub use time::{Moment, UnixSeconds};
pub use usd::{Usd, UsdError};
pub use window::{Scope, ScopeKind, Window};

//! The record: what is hashed, stored and exported. **Final from version 1 on**: a record that was written once is
//! read, hashed and exported in the same bytes for ever. New kinds of records and new optional members may come; what is
//! here does not change its name, its place or its meaning.
//!
//! The bytes are the canonical JSON of RFC 8785 (JCS): UTF-8, members sorted, no white space, strings, integers below
//! 2⁵³, booleans, arrays and objects only. Money is a decimal string (`usd` in dollars, `amount` in atomic units), bytes
//! and addresses are lower-case hexadecimal (addresses after `0x`), what is absent is left out, arrays and maps are never
//! left out where they belong. What the seller wrote (`accepted`, `resource`, `extensions`) is a string that holds its
//! JSON byte for byte.
//!
//! | Member | Kinds | Meaning |
//! |---|---|---|
//! | `act` | lifecycle | what an operator wanted done; `hold` names the record of the permit it is about, `payee` the address, `address` and `wallet` a new key, `workflows` what a wallet is to serve, `recipients` who opens a backup |
//! | `adopted` | genesis after a loss | until when signatures of the lost journal could be settled |
//! | `asked` | payment, preview, reissue, sign-in | who asked for what, in which trace, and how long it waited |
//! | `bundle` | all but genesis | SHA-256 of the governance bundle |
//! | `cancellation` | cancellations permitted | what is signed to void a payment |
//! | `cascade` | revocations of a workflow | the wallets that only served it and are suspended with it |
//! | `ceilings` | payments and sign-ins that were judged | the ceilings that apply, before and after |
//! | `changes` | transition | statuses that changed, each with its cause |
//! | `completed` | transition | the acts, by their records, that the registry contains now |
//! | `counted_until` | sign-ins permitted | nobody accepts the message after this |
//! | `denial` | refused | code, message and policies |
//! | `evidence` | evidence | what a chain said, in which block, agreed on by how many nodes |
//! | `fingerprint` | payment, preview | what makes a retry the same request |
//! | `held_until` | permits | the signature cannot be settled after this |
//! | `intent` | payments made out | all that is judged and signed |
//! | `journal` | genesis | the id of the journal |
//! | `kind` | all | `genesis`, `payment`, `preview`, `reissue`, `lifecycle`, `report`, `evidence`, `sign-in`, `transition`, `signature`, `unauthenticated`, `repeat` or `reload` |
//! | `offers` | payment, preview | each offer's index and its denial, if any |
//! | `original_seq` | reissue, report, evidence | the record of the permit |
//! | `pending` | payments refused | the payee that this leaves to the operators, and the service |
//! | `policies` | permits, lifecycle | the policies that permit |
//! | `reload` | reload | what was read again because it changed on disk, and what became of it |
//! | `repeat` | repeat | what was counted within a minute instead of being recorded each time, and a record like it |
//! | `report` | report | what an agent claims it saw, what it says is left of prepaid credit (`remaining`), or both |
//! | `resolution` | evidence | what became of the hold, and for how much |
//! | `reviewed` | transition to another bundle | the properties of agents that may not change unseen |
//! | `revision` | all under a bundle whose registry names one | the `revision` of the bundle |
//! | `shadow` | payments and sign-ins judged while there is a shadow bundle | what that one would have answered |
//! | `sign_in` | sign-ins made out, and reissues of them | all that is judged and signed |
//! | `signatures` | signature | the record of each permit that was signed, and the SHA-256 of the signature |
//! | `seq` | all | position in the journal, from 1 |
//! | `stranger` | unauthenticated | what somebody whom the registry does not know called |
//! | `time` | all | wall clock and boot clock |
//! | `v` | all | 1 |
//! | `verdict` | payment, preview, reissue, lifecycle | `permit` or `deny` |
//! | `wallet` | rotations and reassignments permitted | the wallet's name |
//! | `warnings` | permits that leave a limit near | which limit, what is used of it |
//!
//! The structs below declare their members in sorted order; a test compares the bytes with an independent canonicaliser.

mod canonical;
mod decode;
mod encode;
mod notes;
mod scalar;
mod sign_in;
#[cfg(test)]
mod tests;
mod who;

pub use decode::{Content, DecodedRecord, Genesis};
pub(crate) use decode::{RecordFlaw, decode, examine, parse_credit, parse_scope, parse_subject};
pub(crate) use encode::{address_text, scope_name, subject_name};
pub(crate) use who::{parse_source, source_text};

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use notes::{Reload, Repeat, SignatureHash, Stranger};
use scalar::{Hex, Int, Labels};
use sign_in::{Message, SignIn};
use who::{Caller, Source};

/// The version of the format.
const VERSION: u64 = 1;

/// One record as stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    act: Option<Act<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adopted: Option<Adopted>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    asked: Option<Asked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<Hex<32>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    cancellation: Option<Cancellation<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    cascade: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    ceilings: Option<Vec<CeilingUse<'a>>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<StatusChange<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<Vec<Int>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_until: Option<Int>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    denial: Option<Denial<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Hex<32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_until: Option<Int>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    intent: Option<Intent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<Hex<16>>,
    kind: Kind,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    offers: Option<Vec<Offer<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_seq: Option<Int>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pending: Option<Pending<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    policies: Option<Vec<Policy<'a>>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reload: Option<Reload<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    repeat: Option<Repeat<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    report: Option<Report<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    resolution: Option<Resolution<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reviewed: Option<BTreeMap<Cow<'a, str>, Labels<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Int>,
    seq: Int,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    shadow: Option<Shadow<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    sign_in: Option<SignIn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signatures: Option<Vec<SignatureHash>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    stranger: Option<Stranger<'a>>,
    time: Time,
    v: Int,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    wallet: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<Warning<'a>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Genesis,
    Payment,
    Preview,
    Reissue,
    Lifecycle,
    Report,
    Evidence,
    SignIn,
    Transition,
    Signature,
    Unauthenticated,
    Repeat,
    Reload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Permit,
    Deny,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Act<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    address: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<Int>,
    #[serde(borrow)]
    operator: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    payee: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    recipients: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    source: Source<'a>,
    #[serde(borrow)]
    subject: Subject<'a>,
    #[serde(borrow)]
    verb: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    wallet: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    workflows: Option<Vec<Cow<'a, str>>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusChange<'a> {
    #[serde(borrow)]
    cause: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    subject: Subject<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adopted {
    held_until: Int,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    #[serde(borrow)]
    caller: Caller<'a>,
    #[serde(borrow)]
    endpoint: Endpoint<'a>,
    labels: Labels<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<Int>,
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    trace: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    wallet: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    workflow: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Denial<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    policies: Vec<Policy<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Offer<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    denial: Option<Denial<'a>>,
    index: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending<'a> {
    #[serde(borrow)]
    payee: Cow<'a, str>,
    #[serde(borrow)]
    service: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Hex<32>>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CeilingUse<'a> {
    #[serde(borrow)]
    after: Cow<'a, str>,
    #[serde(borrow)]
    before: Cow<'a, str>,
    #[serde(borrow)]
    limit: Cow<'a, str>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
    #[serde(borrow)]
    unit: Cow<'a, str>,
    #[serde(borrow)]
    window: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence<'a> {
    block: Int,
    block_hash: Hex<32>,
    #[serde(borrow)]
    network: Cow<'a, str>,
    nodes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<Hex<32>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    amount: Option<Cow<'a, str>>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    usd: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shadow<'a> {
    bundle: Hex<32>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    denial: Option<Denial<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Int>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    usd: Option<Cow<'a, str>>,
    verdict: Verdict,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report<'a> {
    #[serde(borrow)]
    caller: Caller<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    claim: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    remaining: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    transaction: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Warning<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
    #[serde(borrow)]
    threshold: Cow<'a, str>,
    #[serde(borrow)]
    unit: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(borrow)]
    window: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    boot_id: Hex<16>,
    boot_ms: Int,
    unix_ms: Int,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intent<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    accepted: Option<Cow<'a, str>>,
    #[serde(borrow)]
    agent: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    allowance: Option<Allowance<'a>>,
    domain: Hex<32>,
    #[serde(borrow)]
    endpoint: Endpoint<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    extensions: Option<Cow<'a, str>>,
    nonce: Hex<32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_index: Option<u32>,
    #[serde(borrow)]
    origin: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<u8>,
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    service: Option<Cow<'a, str>>,
    #[serde(borrow)]
    terms: Terms<'a>,
    #[serde(borrow)]
    usd: Cow<'a, str>,
    valid_after: Int,
    valid_before: Int,
    #[serde(borrow)]
    wallet: Cow<'a, str>,
    #[serde(borrow)]
    wallet_address: Cow<'a, str>,
    #[serde(borrow)]
    workflow: Cow<'a, str>,
}

/// What voids a payment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancellation<'a> {
    #[serde(borrow)]
    asset: Asset<'a>,
    domain: Hex<32>,
    nonce: Hex<32>,
    #[serde(borrow)]
    wallet: Cow<'a, str>,
    #[serde(borrow)]
    wallet_address: Cow<'a, str>,
}

/// The EIP-2612 permit that goes with a payment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowance<'a> {
    domain: Hex<32>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms<'a> {
    #[serde(borrow)]
    amount: Cow<'a, str>,
    #[serde(borrow)]
    asset: Asset<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    facilitator: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    payee: Cow<'a, str>,
    #[serde(borrow)]
    scheme: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asset<'a> {
    #[serde(borrow)]
    address: Cow<'a, str>,
    #[serde(borrow)]
    network: Cow<'a, str>,
}

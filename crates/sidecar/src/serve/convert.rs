//! Between the wire and the domain. The only place that knows both.

use std::collections::HashMap;
use std::sync::Arc;

use pursekeeper_api::v1;
use pursekeeper_core::gate::{
    AllowanceAsk, Ask, LABEL_LEN_MAX, LABELS_MAX, PaymentAsk, REASON_LEN_MAX, SignInAsk, Signed, TypedDataAsk,
};
use pursekeeper_core::ports::{Hold, Nothing};
use pursekeeper_core::registry::Registry;
use pursekeeper_core::siwx::{AGE_SECS_MAX, SignInChallenge};
use pursekeeper_core::typed_data::{self, TypedData};
use pursekeeper_core::x402::Challenge;
use pursekeeper_core::{
    Address, AgentName, Amount, Asked, AssetId, CLAIMS_PER_HOLD_MAX, CLAIMS_PER_SIGN_IN_MAX, Caller,
    Cancellation, ChainId, Claim, DecisionId, Denial, Endpoint, EvmAddress, HoldState, JournalId, Mode,
    OfferVerdict, Permit, PolicyRef, RequestId, Said, ServiceName, Signable, Signature, Subject, TraceId,
    UnixSeconds, Wait, WalletName, WorkflowName, parse_remaining,
};
use pursekeeper_custody::CustodyError;
use pursekeeper_journal::JournalError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::identity::IdentityError;
use crate::record;
use crate::turnstile::Fault;

/// The domain of the reasons in error details.
const ERROR_DOMAIN: &str = "pursekeeper";

/// A fault with a reason a program can match on.
pub(super) fn fault(code: Code, reason: &str, message: impl std::fmt::Display) -> Status {
    let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, []);
    Status::with_error_details(code, message.to_string(), details)
}

fn malformed(reason: &str) -> impl FnOnce(&dyn std::fmt::Display) -> Status {
    move |error| fault(Code::InvalidArgument, reason, error)
}

pub(super) fn unauthenticated(error: &IdentityError) -> Status {
    let code = match error {
        IdentityError::NoCredentials
        | IdentityError::CertificateMissing
        | IdentityError::Certificate(_)
        | IdentityError::TokenMissing => Code::Unauthenticated,
        IdentityError::Token(refused) if refused.is_unavailable() => Code::Unavailable,
        IdentityError::Token(_) => Code::Unauthenticated,
        IdentityError::HeaderMissing
        | IdentityError::Unmapped { .. }
        | IdentityError::WrongListener { .. }
        | IdentityError::OwnUid(_)
        | IdentityError::Mismatch(_)
        | IdentityError::Declared { .. } => Code::PermissionDenied,
    };
    fault(code, error.reason(), error)
}

pub(super) fn unanswered(fault_: &Fault) -> Status {
    match fault_ {
        Fault::Exhausted => fault(Code::ResourceExhausted, "QUEUE_FULL", fault_),
        Fault::Halted(_) => fault(Code::Unavailable, "SINK_BEHIND", fault_),
        Fault::Unavailable(_) | Fault::NotDurable => fault(Code::Unavailable, "JOURNAL_UNWRITABLE", fault_),
    }
}

/// Reads a request for a payment. Nothing is looked up yet.
pub(super) fn payment_ask(
    request: v1::SignPaymentRequest,
    call: Call,
    mode: Mode,
    nonce: [u8; 32],
) -> Result<PaymentAsk, Status> {
    let v1::SignPaymentRequest { request_id, endpoint, workflow, wallet, labels, challenge, eip2612 } =
        request;
    let endpoint = read_endpoint(endpoint.unwrap_or_default())?;
    let asked = asked(call, request_id, endpoint, (workflow, wallet), labels)?;
    let challenge = match challenge {
        Some(v1::sign_payment_request::Challenge::PaymentRequired(header)) => Challenge::from_header(&header),
        Some(v1::sign_payment_request::Challenge::Body(body)) => Challenge::from_body(&body),
        None => {
            let message =
                "set `payment_required` to the 402's header (x402 v2), or `body` to its body (x402 v1)";
            return Err(fault(Code::InvalidArgument, "MALFORMED_402", message));
        }
    };
    let challenge = challenge.map_err(|e| malformed("MALFORMED_402")(&e))?;
    let allowance = eip2612.map(allowance_ask).transpose()?;
    Ok(PaymentAsk { mode, asked, challenge, nonce, allowance })
}

/// What an agent read in a token.
fn allowance_ask(eip2612: v1::Eip2612) -> Result<AllowanceAsk, Status> {
    let v1::Eip2612 { network, asset, nonce } = eip2612;
    let malformed = |field: &str, error: &dyn std::fmt::Display| {
        fault(Code::InvalidArgument, "MALFORMED_EIP2612", format!("`eip2612.{field}`: {error}"))
    };
    let network = ChainId::parse(&network).map_err(|e| malformed("network", &e))?;
    let address = Address::parse(&network, &asset).map_err(|e| malformed("asset", &e))?;
    let nonce = Amount::parse(&nonce).map_err(|e| malformed("nonce", &e))?;
    Ok(AllowanceAsk { asset: AssetId { network, address }, nonce })
}

/// Reads a request to sign in. Nothing is looked up yet.
pub(super) fn sign_in_ask(
    request: v1::SignInRequest,
    call: Call,
    now: UnixSeconds,
    nonce: [u8; 32],
) -> Result<SignInAsk, Status> {
    use v1::sign_in_request::Challenge;
    let v1::SignInRequest { request_id, endpoint, workflow, wallet, labels, challenge } = request;
    let endpoint = read_endpoint(endpoint.unwrap_or_default())?;
    let asked = asked(call, request_id, endpoint, (workflow, wallet), labels)?;
    let challenge = match challenge {
        Some(Challenge::PaymentRequired(header)) => SignInChallenge::from_header(&header),
        Some(Challenge::Extension(json)) => SignInChallenge::from_extension(&json),
        Some(Challenge::Venice(v1::VeniceSignIn {})) => {
            Ok(SignInChallenge::venice(&asked.endpoint, now, AGE_SECS_MAX, nonce))
        }
        None => {
            let message = "set `payment_required` or `extension` to what the server sent, or `venice`";
            return Err(fault(Code::InvalidArgument, "MALFORMED_CHALLENGE", message));
        }
    };
    let challenge = challenge.map_err(|e| malformed("MALFORMED_CHALLENGE")(&e))?;
    Ok(SignInAsk { asked, challenge })
}

/// Reads a request for a signature over typed data. Nothing is looked up yet.
pub(super) fn typed_data_ask(request: v1::SignTypedDataRequest, call: Call) -> Result<TypedDataAsk, Status> {
    let v1::SignTypedDataRequest { typed_data, endpoint, workflow, wallet, labels } = request;
    let content = TypedData::read(&typed_data).map_err(|e| malformed("MALFORMED_TYPED_DATA")(&e))?;
    let request_id = typed_data::request_id(&content, &typed_data);
    let endpoint = endpoint.map(read_endpoint).transpose()?.unwrap_or_else(Endpoint::unknown);
    let asked = asked(call, request_id, endpoint, (workflow, wallet), labels)?;
    Ok(TypedDataAsk { asked, content })
}

/// The call a request is for.
fn read_endpoint(endpoint: v1::Endpoint) -> Result<Endpoint, Status> {
    let v1::Endpoint { method, url } = endpoint;
    Endpoint::parse(&method, &url).map_err(|e| malformed("MALFORMED_ENDPOINT")(&e))
}

/// A call of an agent, besides what it says.
pub(super) struct Call {
    /// Who calls.
    pub(super) caller: Caller,
    /// In which trace.
    pub(super) trace: Option<TraceId>,
    /// Since when it waits.
    pub(super) wait: Wait,
}

/// What every request of an agent says.
fn asked(
    Call { caller, trace, wait }: Call,
    request_id: String,
    endpoint: Endpoint,
    (workflow, wallet): (Option<String>, Option<String>),
    labels: HashMap<String, String>,
) -> Result<Asked, Status> {
    let request_id = RequestId::parse(&request_id).map_err(|e| malformed("MALFORMED_REQUEST_ID")(&e))?;
    let workflow = workflow.map(|name| WorkflowName::parse(&name)).transpose();
    let workflow = workflow.map_err(|e| malformed("MALFORMED_WORKFLOW")(&e))?;
    let wallet = wallet.map(|name| WalletName::parse(&name)).transpose();
    let wallet = wallet.map_err(|e| malformed("MALFORMED_WALLET")(&e))?;
    let labels = labels.into_iter().collect();
    if !Ask::labels_fit(&labels) {
        let limits =
            format!("labels: at most {LABELS_MAX}, each key and value at most {LABEL_LEN_MAX} bytes");
        return Err(fault(Code::InvalidArgument, "MALFORMED_LABELS", limits));
    }
    Ok(Asked { caller, request_id, endpoint, workflow, wallet, labels, trace, wait })
}

/// The wallets that pay for an agent's workflows.
pub(super) fn wallets(registry: &Registry, agent: &AgentName) -> Vec<v1::AgentWallet> {
    let own = registry.agents.get(agent).map(|agent| &agent.workflows);
    let serving = registry.wallets.iter().filter_map(|(name, wallet)| {
        let workflows: Vec<String> = own?.intersection(&wallet.workflows).map(ToString::to_string).collect();
        (!workflows.is_empty()).then(|| v1::AgentWallet {
            name: name.to_string(),
            address: wallet.address.to_string(),
            networks: wallet.networks.iter().map(ToString::to_string).collect(),
            workflows,
        })
    });
    serving.collect()
}

/// Why an operator acts.
pub(super) fn reason(reason: String) -> Result<String, Status> {
    if reason.trim().is_empty() || reason.len() > REASON_LEN_MAX {
        let message = format!("say why in `reason`, in 1 to {REASON_LEN_MAX} bytes");
        return Err(fault(Code::InvalidArgument, "MALFORMED_REASON", message));
    }
    Ok(reason)
}

/// What an agent says it saw.
pub(super) fn said(
    outcome: Option<v1::report_outcome_request::Outcome>,
    remaining_usd: Option<&str>,
) -> Result<Said, Status> {
    use v1::report_outcome_request::Outcome;
    let nothing = || {
        let message = "set `payment_response` to the header, or say in `error` why there is none; what is left of \
                       prepaid credit is `remaining_usd`";
        fault(Code::InvalidArgument, "MALFORMED_SETTLEMENT", message)
    };
    let claim = match outcome {
        Some(Outcome::PaymentResponse(header)) => {
            Some(Claim::from_settlement(&header).map_err(|e| malformed("MALFORMED_SETTLEMENT")(&e))?)
        }
        Some(Outcome::Error(error)) if !error.trim().is_empty() => Some(Claim::failed(&error)),
        Some(Outcome::Error(_)) => return Err(nothing()),
        None => None,
    };
    let remaining = remaining_usd.map(parse_remaining).transpose();
    let remaining =
        remaining.map_err(|e| malformed("MALFORMED_REMAINING")(&format_args!("`remaining_usd`: {e}")))?;
    Said::of(claim, remaining).ok_or_else(nothing)
}

/// Why nothing was recorded.
pub(super) fn nothing(nothing: Nothing) -> Status {
    match nothing {
        Nothing::PaymentUnknown => {
            let message = "no such payment or sign-in of this agent was signed";
            fault(Code::NotFound, "DECISION_UNKNOWN", message)
        }
        Nothing::ClaimsExhausted => {
            let message = format!(
                "at most {CLAIMS_PER_HOLD_MAX} reports are recorded for a payment and {CLAIMS_PER_SIGN_IN_MAX} for a \
                 sign-in: more tell nothing"
            );
            fault(Code::ResourceExhausted, "CLAIMS_EXHAUSTED", message)
        }
        Nothing::NotAPayment => {
            let message = "this is a sign-in and no payment: report only what is left, in `remaining_usd`";
            fault(Code::InvalidArgument, "NOT_A_PAYMENT", message)
        }
        Nothing::NotPrepaid => {
            let message = "its service is not prepaid, so no credit is left of it: leave `remaining_usd` out, or declare \
                           `prepaid` for the service in registry.yaml";
            fault(Code::FailedPrecondition, "NOT_PREPAID", message)
        }
        Nothing::NothingDue | Nothing::Voids => {
            fault(Code::Internal, "MIXED_UP", "internal error: the answer does not fit the question")
        }
        Nothing::HoldResolved => fault(Code::FailedPrecondition, "HOLD_RESOLVED", "the hold is resolved"),
    }
}

/// Why there is no signature although there was a permit.
pub(super) fn unsigned(error: &CustodyError) -> Status {
    fault(Code::Unavailable, "SIGNING_FAILED", error)
}

/// What voids could not be kept.
pub(super) fn unkept(error: &JournalError) -> Status {
    fault(Code::Unavailable, "JOURNAL_UNWRITABLE", error)
}

/// What voids a payment, as it is answered; nothing when something else was signed.
pub(super) fn cancellation(signed: &Signed) -> Option<v1::Cancellation> {
    let Signable::Cancellation(cancellation) = signed.what() else { return None };
    Some(wire_cancellation(cancellation, signed.decision_id(), signed.signature()))
}

/// What voids a payment and the signature over it, as it is answered.
pub(super) fn wire_cancellation(
    cancellation: &Cancellation,
    decision_id: DecisionId,
    signature: Signature,
) -> v1::Cancellation {
    let Cancellation { wallet: _, authorizer, asset, domain: _, nonce } = cancellation;
    v1::Cancellation {
        decision_id: decision_id.to_string(),
        network: asset.network.to_string(),
        asset: asset.address.to_string(),
        calldata: cancellation.calldata(signature),
        authorizer: authorizer.to_string(),
        nonce: format!("0x{}", hex::encode(nonce)),
        signature: signature.to_string(),
    }
}

/// Money bound by a signature, as it is listed.
pub(super) fn hold(journal: JournalId, hold: Hold, claims: Vec<Said>) -> v1::Hold {
    let Hold { seq, at: _, permit, state, claims: _ } = hold;
    let Permit { intent, held_until, policies: _, warnings: _ } = permit;
    let settled = match state {
        HoldState::Settled { amount: _, usd } => usd.to_string(),
        HoldState::Held | HoldState::Released => String::new(),
    };
    v1::Hold {
        decision_id: DecisionId::new(journal, seq).to_string(),
        seq,
        agent: intent.agent.to_string(),
        workflow: intent.workflow.to_string(),
        wallet: intent.wallet.to_string(),
        service: intent.service.map(|name| name.to_string()).unwrap_or_default(),
        endpoint: Some(record::call_to_wire(&intent.endpoint)),
        network: intent.terms.asset.network.to_string(),
        asset: intent.terms.asset.address.to_string(),
        payee: intent.terms.payee.to_string(),
        amount: intent.terms.amount.to_string(),
        usd: intent.usd.to_string(),
        valid_before: intent.valid_before.0,
        held_until: held_until.0,
        state: state.as_str().to_owned(),
        settled_usd: settled,
        claims: claims.into_iter().flat_map(wire_claims).collect(),
    }
}

/// One report says up to two things.
fn wire_claims(said: Said) -> impl Iterator<Item = v1::Claim> {
    let outcome = said.outcome().map(|claim| {
        let detail = match claim {
            Claim::Settled { transaction } => transaction.clone().unwrap_or_default(),
            Claim::Failed { reason } => reason.clone(),
        };
        v1::Claim { outcome: claim.as_str().to_owned(), detail }
    });
    let left =
        |usd: pursekeeper_core::Usd| v1::Claim { outcome: "remaining".to_owned(), detail: usd.to_string() };
    outcome.into_iter().chain(said.remaining().map(left))
}

/// The subject an operator names, and why they act on it. A wallet's name becomes its address here.
pub(super) fn lifecycle(
    request: v1::LifecycleRequest,
    registry: &Registry,
) -> Result<(Subject, String), Status> {
    let v1::LifecycleRequest { subject: whom, reason: why } = request;
    Ok((subject(whom.unwrap_or_default(), registry)?, reason(why)?))
}

/// A name that is none.
pub(super) fn bad_name(error: &pursekeeper_core::NameError) -> Status {
    malformed("MALFORMED_SUBJECT")(error)
}

/// A wallet's name.
pub(super) fn wallet_name(name: &str) -> Result<WalletName, Status> {
    WalletName::parse(name).map_err(|error| bad_name(&error))
}

/// The subject that is named. A wallet's name becomes its address here; it may also be called by an address it has or had.
pub(super) fn subject(named: v1::Subject, registry: &Registry) -> Result<Subject, Status> {
    let v1::Subject { kind, name } = named;
    let unknown =
        |what: &str| fault(Code::NotFound, "SUBJECT_UNKNOWN", format!("no {what} `{name}` in registry.yaml"));
    let bad_name = |e: pursekeeper_core::NameError| bad_name(&e);
    Ok(match kind.as_str() {
        "agent" => Subject::Agent(AgentName::parse(&name).map_err(bad_name)?),
        "workflow" => Subject::Workflow(WorkflowName::parse(&name).map_err(bad_name)?),
        "service" => Subject::Service(ServiceName::parse(&name).map_err(bad_name)?),
        "wallet" => match EvmAddress::parse(&name) {
            Ok(address) => {
                let address = Address::from(address);
                registry.wallet_of(address).ok_or_else(|| unknown("wallet"))?;
                Subject::Wallet(address)
            }
            Err(_) => {
                let name = WalletName::parse(&name).map_err(bad_name)?;
                Subject::Wallet(registry.wallets.get(&name).ok_or_else(|| unknown("wallet"))?.address)
            }
        },
        _ => {
            let message = "`subject.kind` is one of wallet, workflow, agent, service";
            return Err(fault(Code::InvalidArgument, "MALFORMED_SUBJECT", message));
        }
    })
}

/// The payee an operator names, the service, and why they accept it.
pub(super) fn payee(request: v1::AcceptPayeeRequest) -> Result<(ServiceName, Address, String), Status> {
    let v1::AcceptPayeeRequest { service, payee, reason: why } = request;
    let service = ServiceName::parse(&service).map_err(|e| malformed("MALFORMED_SUBJECT")(&e))?;
    let payee = EvmAddress::parse(&payee).map_err(|e| malformed("MALFORMED_PAYEE")(&e))?;
    Ok((service, payee.into(), reason(why)?))
}

pub(super) fn denied(decision_id: DecisionId, denial: Denial, offers: Vec<OfferVerdict>) -> v1::Denied {
    let Denial { code, message, policies: deciding } = denial;
    v1::Denied {
        code: code.as_str().to_owned(),
        message,
        policies: policies(&deciding),
        decision_id: decision_id.to_string(),
        offers: offers.into_iter().map(offer_verdict).collect(),
    }
}

fn offer_verdict(verdict: OfferVerdict) -> v1::OfferVerdict {
    let OfferVerdict { index, denial } = verdict;
    match denial {
        None => v1::OfferVerdict { index, code: "OK".to_owned(), ..Default::default() },
        Some(Denial { code, message, policies: deciding }) => {
            let code = code.as_str().to_owned();
            v1::OfferVerdict { index, code, message, policies: policies(&deciding) }
        }
    }
}

pub(super) fn policies(deciding: &[PolicyRef]) -> Vec<v1::PolicyRef> {
    let text = |text: &Arc<str>| text.to_string();
    deciding
        .iter()
        .map(|PolicyRef { id, reason, digest }| v1::PolicyRef {
            id: text(id),
            reason: text(reason),
            digest: digest.map(|digest| digest.to_string()).unwrap_or_default(),
        })
        .collect()
}

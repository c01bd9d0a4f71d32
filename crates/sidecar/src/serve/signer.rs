//! What agents may ask.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use prost::Name;
use pursekeeper_api::v1;
use pursekeeper_api::v1::signer_server::Signer;
use pursekeeper_core::gate::{Answer, Ask, Authorized, PaymentAsk, ReportAsk, Signed};
use pursekeeper_core::ports::{Custody as _, Nothing, Policy as _};
use pursekeeper_core::{
    AgentName, Caller, DecisionId, Intent, Mode, Signable, TraceId, Wait, Warning, WorkflowName,
};
use pursekeeper_custody::LocalCustody;
use pursekeeper_journal::SqliteJournal;
use tonic::{Code, Request, Response, Status};
use tracing::{Span, info, warn};

use super::convert::{self, fault};
use super::entrance::Entrance;
use super::{Gatehouse, Sidecar, audit};
use crate::metrics::Stage;
use crate::{budget, prepaid, traces};

/// How often a payment whose wallet is being stopped and resumed is tried before giving up.
const HAND_OFF_TRIES_MAX: usize = 3;

/// Serves agents.
pub(super) struct SignerService {
    gatehouse: Arc<Gatehouse>,
    custody: Arc<LocalCustody>,
    calls: DefaultKeyedRateLimiter<AgentName>,
    records: audit::Records,
    entrance: Entrance,
}

impl SignerService {
    pub(super) fn new(sidecar: &Sidecar) -> Self {
        let per_second =
            NonZeroU32::new(sidecar.config.limits.agent_calls_per_sec_max).unwrap_or(NonZeroU32::MIN);
        Self {
            gatehouse: sidecar.gatehouse.clone(),
            custody: sidecar.custody.clone(),
            calls: RateLimiter::keyed(Quota::per_second(per_second)),
            records: audit::Records::new(&sidecar.config.journal),
            entrance: Entrance::new("Signer", sidecar),
        }
    }

    async fn caller<T: Name>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = self.entrance.agent(request).await?;
        if self.calls.check_key(&caller.agent).is_err() {
            let message = format!("agent `{}` calls too often: wait a second", caller.agent);
            return Err(fault(Code::ResourceExhausted, "RATE_LIMITED", message));
        }
        Ok(caller)
    }

    async fn payment_ask(
        &self,
        request: Request<v1::SignPaymentRequest>,
        mode: Mode,
    ) -> Result<Arc<PaymentAsk>, Status> {
        let call = self.call(&request).await?;
        convert::payment_ask(request.into_inner(), call, mode, Self::nonce()?).map(Arc::new)
    }

    /// Signs, unless one of the subjects was stopped after the decision, and has `pack` make the answer while nobody
    /// can stop them.
    fn hand_off<T>(
        &self,
        right: Authorized,
        pack: impl FnOnce(&Signed) -> Result<T, Status>,
    ) -> Result<Option<T>, Status> {
        let Some(_clearance) = self.gatehouse.standing().clear(right.what()) else { return Ok(None) };
        let begun = Instant::now();
        let span = traces::child(&Span::current(), traces::Part::Sign);
        let signed = span.in_scope(|| self.custody.sign(right)).map_err(|error| convert::unsigned(&error))?;
        drop(span);
        self.gatehouse.metrics().timing().stage(Stage::Sign, begun.elapsed());
        self.gatehouse.note_signed(&signed);
        pack(&signed).map(Some)
    }

    /// Has an ask judged until its answer can be handed off: what the gate permitted and an operator stopped in between is
    /// judged once more, so that the record says why it does not leave.
    async fn sign<T>(
        &self,
        ask: Ask,
        pack: impl Fn(&Signed) -> Result<T, Status>,
    ) -> Result<Result<T, v1::Denied>, Status> {
        for _ in 0..HAND_OFF_TRIES_MAX {
            match self.gatehouse.pass(ask.clone()).await.map_err(|fault| convert::unanswered(&fault))? {
                Answer::Authorized(right) => {
                    if let Some(packed) = self.hand_off(*right, &pack)? {
                        return Ok(Ok(packed));
                    }
                }
                Answer::Denied { decision_id, denial, offers } => {
                    info!(decision = %decision_id, code = %denial.code, "denied");
                    return Ok(Err(convert::denied(decision_id, denial, offers)));
                }
                Answer::WouldSign { .. }
                | Answer::Acted { .. }
                | Answer::Reported { .. }
                | Answer::Resolved { .. }
                | Answer::Changed { .. }
                | Answer::Voids(_)
                | Answer::Noted { .. }
                | Answer::Nothing(_) => return Err(mixed_up()),
            }
        }
        Err(fault(Code::Aborted, "STATUS_CHANGING", "the wallet is being stopped and resumed: try again"))
    }

    /// Who asks, in which trace, and since when.
    async fn call<T: Name>(&self, request: &Request<T>) -> Result<convert::Call, Status> {
        let wait = Wait::Since { boot_us: self.gatehouse.boot_us() };
        let traceparent = request.metadata().get("traceparent").and_then(|header| header.to_str().ok());
        let trace = traceparent.and_then(TraceId::of_traceparent);
        Ok(convert::Call { caller: self.caller(request).await?, trace, wait })
    }

    fn nonce() -> Result<[u8; 32], Status> {
        let mut nonce = [0; 32];
        let failed = |error| fault(Code::Unavailable, "NO_RANDOMNESS", format!("no random numbers: {error}"));
        getrandom::fill(&mut nonce).map_err(failed)?;
        Ok(nonce)
    }
}

/// A signed payment, as it is answered.
fn payment(signed: &Signed) -> Result<v1::Signed, Status> {
    let (Signable::Payment(intent), Some(payload)) = (signed.what(), signed.payload()) else {
        return Err(mixed_up());
    };
    let payload = payload.map_err(|error| fault(Code::Internal, "PAYLOAD", error))?;
    warn_of(signed, intent);
    info!(decision = %signed.decision_id(), agent = %intent.agent, wallet = %intent.wallet, usd = %intent.usd, "signed");
    Ok(v1::Signed {
        header_name: payload.header_name.to_owned(),
        header_value: payload.header_value,
        payload: payload.json,
        decision_id: signed.decision_id().to_string(),
        wallet_address: intent.wallet_address.to_string(),
        valid_before: intent.valid_before.0,
        offer_index: offer_index(intent),
        warnings: sentences(signed.warnings()),
    })
}

/// Which entry of `accepts` it is.
fn offer_index(intent: &Intent) -> u32 {
    intent.offered().map_or(0, |offered| offered.index)
}

/// A signed message, as it is answered.
fn sign_in(signed: &Signed) -> Result<v1::SignedIn, Status> {
    let Signable::SignIn(intent) = signed.what() else { return Err(mixed_up()) };
    info!(decision = %signed.decision_id(), agent = %intent.agent, wallet = %intent.wallet, "signed in");
    let headers = intent.message.headers(signed.signature()).into_iter();
    Ok(v1::SignedIn {
        headers: headers.map(|(name, value)| v1::Header { name: name.to_owned(), value }).collect(),
        message: intent.message.text().to_owned(),
        decision_id: signed.decision_id().to_string(),
        wallet_address: intent.wallet_address.to_string(),
        expires_at: intent.message.expires_at().0,
    })
}

/// A signature over typed data, as it is answered.
fn typed_data(signed: &Signed) -> Result<v1::SignedTypedData, Status> {
    let (Signable::Payment(intent) | Signable::Allowance(intent, _)) = signed.what() else {
        return Err(mixed_up());
    };
    warn_of(signed, intent);
    info!(decision = %signed.decision_id(), agent = %intent.agent, wallet = %intent.wallet, usd = %intent.usd, "signed");
    Ok(v1::SignedTypedData {
        signature: signed.signature().to_string(),
        decision_id: signed.decision_id().to_string(),
        wallet_address: intent.wallet_address.to_string(),
        valid_before: intent.valid_before.0,
        warnings: sentences(signed.warnings()),
    })
}

fn warn_of(signed: &Signed, intent: &Intent) {
    for warning in signed.warnings() {
        warn!(decision = %signed.decision_id(), workflow = %intent.workflow, %warning, "a limit is near");
    }
}

#[tonic::async_trait]
impl Signer for SignerService {
    async fn sign_payment(
        &self,
        request: Request<v1::SignPaymentRequest>,
    ) -> Result<Response<v1::SignPaymentResponse>, Status> {
        use v1::sign_payment_response::Result as Outcome;
        let ask = self.payment_ask(request, Mode::Enforce).await?;
        let outcome = match self.sign(Ask::Payment(ask), payment).await? {
            Ok(signed) => Outcome::Signed(signed),
            Err(denied) => Outcome::Denied(denied),
        };
        Ok(Response::new(v1::SignPaymentResponse { result: Some(outcome) }))
    }

    async fn sign_in(
        &self,
        request: Request<v1::SignInRequest>,
    ) -> Result<Response<v1::SignInResponse>, Status> {
        use v1::sign_in_response::Result as Outcome;
        let call = self.call(&request).await?;
        let now = self.gatehouse.now().unix_seconds();
        let ask = convert::sign_in_ask(request.into_inner(), call, now, Self::nonce()?)?;
        let outcome = match self.sign(Ask::SignIn(Arc::new(ask)), sign_in).await? {
            Ok(signed) => Outcome::SignedIn(signed),
            Err(denied) => Outcome::Denied(denied),
        };
        Ok(Response::new(v1::SignInResponse { result: Some(outcome) }))
    }

    async fn sign_typed_data(
        &self,
        request: Request<v1::SignTypedDataRequest>,
    ) -> Result<Response<v1::SignTypedDataResponse>, Status> {
        use v1::sign_typed_data_response::Result as Outcome;
        let call = self.call(&request).await?;
        let ask = convert::typed_data_ask(request.into_inner(), call)?;
        let outcome = match self.sign(Ask::TypedData(Arc::new(ask)), typed_data).await? {
            Ok(signed) => Outcome::Signed(signed),
            Err(denied) => Outcome::Denied(denied),
        };
        Ok(Response::new(v1::SignTypedDataResponse { result: Some(outcome) }))
    }

    async fn list_wallets(
        &self,
        request: Request<v1::ListWalletsRequest>,
    ) -> Result<Response<v1::ListWalletsResponse>, Status> {
        let caller = self.caller(&request).await?;
        let policy = self.gatehouse.policy();
        let wallets = convert::wallets(policy.registry(), &caller.agent);
        Ok(Response::new(v1::ListWalletsResponse { wallets }))
    }

    async fn preview(
        &self,
        request: Request<v1::SignPaymentRequest>,
    ) -> Result<Response<v1::PreviewResponse>, Status> {
        use v1::preview_response::Result as Outcome;
        let ask = Ask::Payment(self.payment_ask(request, Mode::Preview).await?);
        let answer = self.gatehouse.pass(ask).await.map_err(|fault| convert::unanswered(&fault))?;
        let outcome = match answer {
            Answer::WouldSign { decision_id, intent, warnings } => Outcome::WouldSign(v1::WouldSign {
                decision_id: decision_id.to_string(),
                wallet_address: intent.wallet_address.to_string(),
                offer_index: offer_index(&intent),
                usd: intent.usd.to_string(),
                warnings: sentences(&warnings),
            }),
            Answer::Denied { decision_id, denial, offers } => {
                Outcome::Denied(convert::denied(decision_id, denial, offers))
            }
            Answer::Authorized(_)
            | Answer::Acted { .. }
            | Answer::Reported { .. }
            | Answer::Resolved { .. }
            | Answer::Changed { .. }
            | Answer::Voids(_)
            | Answer::Noted { .. }
            | Answer::Nothing(_) => return Err(mixed_up()),
        };
        Ok(Response::new(v1::PreviewResponse { result: Some(outcome) }))
    }

    async fn get_budget(
        &self,
        request: Request<v1::GetBudgetRequest>,
    ) -> Result<Response<v1::GetBudgetResponse>, Status> {
        let caller = self.caller(&request).await?;
        let budgets = budget::of_agent(&self.gatehouse, &caller.agent);
        let prepaid = prepaid::of_agent(&self.gatehouse, &caller.agent);
        Ok(Response::new(v1::GetBudgetResponse { budgets, prepaid }))
    }

    async fn report_outcome(
        &self,
        request: Request<v1::ReportOutcomeRequest>,
    ) -> Result<Response<v1::ReportOutcomeResponse>, Status> {
        let caller = self.caller(&request).await?;
        let v1::ReportOutcomeRequest { decision_id, outcome, remaining_usd } = request.into_inner();
        let said = convert::said(outcome, remaining_usd.as_deref())?;
        let id = DecisionId::parse(&decision_id)
            .ok()
            .filter(|id| DecisionId::new(self.gatehouse.with_journal(SqliteJournal::id), id.seq) == *id)
            .ok_or_else(|| convert::nothing(Nothing::PaymentUnknown))?;
        let ask = Ask::Report(ReportAsk { caller, original_seq: id.seq, said });
        match self.gatehouse.pass(ask).await.map_err(|fault| convert::unanswered(&fault))? {
            Answer::Reported { decision_id } => {
                Ok(Response::new(v1::ReportOutcomeResponse { decision_id: decision_id.to_string() }))
            }
            Answer::Nothing(nothing) => Err(convert::nothing(nothing)),
            Answer::Authorized(_)
            | Answer::WouldSign { .. }
            | Answer::Denied { .. }
            | Answer::Acted { .. }
            | Answer::Changed { .. }
            | Answer::Voids(_)
            | Answer::Noted { .. }
            | Answer::Resolved { .. } => Err(mixed_up()),
        }
    }

    async fn get_decision(
        &self,
        request: Request<v1::GetDecisionRequest>,
    ) -> Result<Response<v1::GetDecisionResponse>, Status> {
        let caller = self.caller(&request).await?;
        // Someone else's decision and none at all look the same.
        let unknown = || fault(Code::NotFound, "DECISION_UNKNOWN", "no such decision of this agent");
        let id = DecisionId::parse(&request.into_inner().decision_id).map_err(|_| unknown())?;
        let decision = self.records.get(id.seq).await?.ok_or_else(unknown)?;
        // So does one of a workflow that this listener is not for.
        let elsewhere = WorkflowName::parse(&decision.workflow).is_ok_and(|name| !caller.may_ask_for(&name));
        if decision.decision_id != id.to_string() || decision.agent != caller.agent.as_str() || elsewhere {
            return Err(unknown());
        }
        Ok(Response::new(v1::GetDecisionResponse { decision: Some(decision) }))
    }
}

fn sentences(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

/// The gate answered another kind of question than was asked. Nothing is handed out.
pub(super) fn mixed_up() -> Status {
    warn!("the gate gave an answer of another kind than was asked for");
    fault(Code::Internal, "MIXED_UP", "internal error: the answer does not fit the question")
}

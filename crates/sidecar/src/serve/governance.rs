//! What operators may do.

use std::sync::Arc;

use pursekeeper_api::v1;
use pursekeeper_api::v1::governance_server::Governance;
use pursekeeper_api::v1::lifecycle_response::Result as Outcome;
use pursekeeper_core::gate::{Answer, Ask, LifecycleAsk};
use pursekeeper_core::ports::{Custody as _, Policy as _};
use pursekeeper_core::registry::Registry;
use pursekeeper_core::{
    Act, ActVerb, IdentitySource, OperatorName, PayeeState, ServiceName, Status as Standing, Subject,
};
use pursekeeper_custody::LocalCustody;
use tonic::{Request, Response, Status};
use tracing::warn;

use super::chains::Chains;
use super::holds::Ledger;
use super::payees::Wanted;
use super::signer::{mixed_up, peer_uid};
use super::{Gatehouse, Sidecar, convert};
use crate::identity::Identities;
use crate::turnstile::Fault;
use crate::{budget, prepaid};

/// Serves operators.
pub(super) struct GovernanceService {
    gatehouse: Arc<Gatehouse>,
    custody: Arc<LocalCustody>,
    identities: Identities,
    holds: Ledger,
    chains: Chains,
}

impl GovernanceService {
    pub(super) fn new(sidecar: &Sidecar) -> Self {
        Self {
            gatehouse: sidecar.gatehouse.clone(),
            custody: sidecar.custody.clone(),
            identities: sidecar.identities,
            holds: Ledger::new(&sidecar.config.journal),
            chains: sidecar.chains.clone(),
        }
    }

    fn operator<T>(&self, request: &Request<T>) -> Result<(OperatorName, IdentitySource), Status> {
        let policy = self.gatehouse.policy();
        self.identities.operator(policy.registry(), peer_uid(request)).map_err(convert::unauthenticated)
    }

    async fn act(
        &self,
        request: Request<v1::LifecycleRequest>,
        verb: ActVerb,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        let (operator, source) = self.operator(&request)?;
        let (subject, reason) = convert::lifecycle(request.into_inner(), self.gatehouse.policy().registry())?;
        self.pass(Act { operator, source, verb, subject, hold: None, payee: None, reason }).await
    }

    async fn pass(&self, act: Act) -> Result<Response<v1::LifecycleResponse>, Status> {
        let Act { operator, verb, subject, hold, payee, .. } = &act;
        let payee = payee.map(tracing::field::display);
        warn!(%operator, verb = verb.as_str(), kind = subject.kind(), %subject, hold, payee, "operator acts");
        let remembered = verb.status().map(|status| status.to_string());
        let outcome = match self.gatehouse.pass(Ask::Lifecycle(LifecycleAsk { act })).await {
            Ok(Answer::Acted { decision_id, status, .. }) => Outcome::Done(v1::LifecycleDone {
                decision_id: decision_id.to_string(),
                status: status.map(|status| status.to_string()).unwrap_or_default(),
                durable: true,
                already: false,
            }),
            Ok(Answer::Denied { decision_id, denial, offers }) => {
                Outcome::Denied(convert::denied(decision_id, denial, offers))
            }
            Err(Fault::NotDurable) => Outcome::Done(v1::LifecycleDone {
                decision_id: String::new(),
                status: remembered.unwrap_or_default(),
                durable: false,
                already: false,
            }),
            Err(fault) => return Err(convert::unanswered(&fault)),
            Ok(
                Answer::Authorized(_)
                | Answer::WouldSign { .. }
                | Answer::Reported { .. }
                | Answer::Resolved { .. }
                | Answer::Nothing(_),
            ) => return Err(mixed_up()),
        };
        Ok(Response::new(v1::LifecycleResponse { result: Some(outcome) }))
    }

    fn subjects(&self, registry: &Registry) -> Vec<v1::SubjectStatus> {
        let wallets = registry.wallets.iter().map(|(name, wallet)| {
            (Subject::Wallet(wallet.address), name.to_string(), wallet.status, wallet.address.to_string())
        });
        let workflows = registry.workflows.iter().map(|(name, workflow)| {
            (Subject::Workflow(name.clone()), name.to_string(), workflow.status, String::new())
        });
        let agents = registry.agents.iter().map(|(name, agent)| {
            (Subject::Agent(name.clone()), name.to_string(), agent.status, String::new())
        });
        let services = registry.services.iter().map(|(name, service)| {
            (Subject::Service(name.clone()), name.to_string(), service.status, String::new())
        });
        let declared = wallets.chain(workflows).chain(agents).chain(services);
        self.gatehouse.with_journal(|journal| {
            declared
                .map(|(subject, name, declared, address)| {
                    let decided = journal.status(&registry.subjects(&subject));
                    let kind = subject.kind().to_owned();
                    v1::SubjectStatus {
                        subject: Some(v1::Subject { kind, name }),
                        status: Standing::strictest(declared, decided).to_string(),
                        declared: declared.to_string(),
                        journal: decided.to_string(),
                        address,
                    }
                })
                .collect()
        })
    }
}

#[tonic::async_trait]
impl Governance for GovernanceService {
    async fn suspend(
        &self,
        request: Request<v1::LifecycleRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        self.act(request, ActVerb::Suspend).await
    }

    async fn resume(
        &self,
        request: Request<v1::LifecycleRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        self.act(request, ActVerb::Resume).await
    }

    async fn list_holds(
        &self,
        request: Request<v1::ListHoldsRequest>,
    ) -> Result<Response<v1::ListHoldsResponse>, Status> {
        self.operator(&request)?;
        let holds = self.holds.list(request.into_inner()).await?;
        Ok(Response::new(v1::ListHoldsResponse { holds }))
    }

    async fn release_hold(
        &self,
        request: Request<v1::ReleaseHoldRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        let (operator, source) = self.operator(&request)?;
        let v1::ReleaseHoldRequest { decision_id, reason } = request.into_inner();
        let reason = convert::reason(reason)?;
        let hold = self.holds.get(&decision_id).await?;
        let subject = Subject::Wallet(hold.permit.intent.wallet_address);
        let verb = ActVerb::Release;
        let hold = Some(hold.seq);
        self.pass(Act { operator, source, verb, subject, hold, payee: None, reason }).await
    }

    async fn cancel_payment(
        &self,
        request: Request<v1::CancelPaymentRequest>,
    ) -> Result<Response<v1::CancelPaymentResponse>, Status> {
        use v1::cancel_payment_response::Result as Outcome;
        let (operator, source) = self.operator(&request)?;
        let v1::CancelPaymentRequest { decision_id, reason } = request.into_inner();
        let reason = convert::reason(reason)?;
        let hold = self.holds.get(&decision_id).await?;
        let subject = Subject::Wallet(hold.permit.intent.wallet_address);
        warn!(%operator, verb = ActVerb::Cancel.as_str(), %subject, hold = hold.seq, "operator acts");
        let act = Act {
            operator,
            source,
            verb: ActVerb::Cancel,
            subject,
            hold: Some(hold.seq),
            payee: None,
            reason,
        };
        let answer = self.gatehouse.pass(Ask::Lifecycle(LifecycleAsk { act })).await;
        let outcome = match answer.map_err(|fault| convert::unanswered(&fault))? {
            Answer::Authorized(right) => {
                let signed = self.custody.sign(*right).map_err(|error| convert::unsigned(&error))?;
                Outcome::Cancellation(convert::cancellation(&signed).ok_or_else(mixed_up)?)
            }
            Answer::Denied { decision_id, denial, offers } => {
                Outcome::Denied(convert::denied(decision_id, denial, offers))
            }
            Answer::WouldSign { .. }
            | Answer::Acted { .. }
            | Answer::Reported { .. }
            | Answer::Resolved { .. }
            | Answer::Changed { .. }
            | Answer::Voids(_)
            | Answer::Nothing(_) => return Err(mixed_up()),
        };
        Ok(Response::new(v1::CancelPaymentResponse { result: Some(outcome) }))
    }

    async fn accept_clock(
        &self,
        request: Request<v1::AcceptClockRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        let (operator, source) = self.operator(&request)?;
        let reason = convert::reason(request.into_inner().reason)?;
        let (verb, subject) = (ActVerb::AcceptClock, Subject::Sidecar);
        self.pass(Act { operator, source, verb, subject, hold: None, payee: None, reason }).await
    }

    async fn list_payees(
        &self,
        request: Request<v1::ListPayeesRequest>,
    ) -> Result<Response<v1::ListPayeesResponse>, Status> {
        self.operator(&request)?;
        let wanted = Wanted::parse(request.into_inner())?;
        let policy = self.gatehouse.policy();
        let listed = self.holds.read(move |reader| wanted.list(reader, policy.registry())).await?;
        Ok(Response::new(listed))
    }

    async fn accept_payee(
        &self,
        request: Request<v1::AcceptPayeeRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        let (operator, source) = self.operator(&request)?;
        let (service, payee, reason) = convert::payee(request.into_inner())?;
        let policy = self.gatehouse.policy();
        let names: Vec<ServiceName> = policy.registry().names_of_service(&service).cloned().collect();
        // An acceptance is never taken back, so what is seen before the act is still true when it is done.
        let before = self.gatehouse.with_journal(|journal| journal.payee(&names, payee));
        let (verb, subject) = (ActVerb::AcceptPayee, Subject::Service(service));
        let act = Act { operator, source, verb, subject, hold: None, payee: Some(payee), reason };
        let mut response = self.pass(act).await?;
        if let Some(Outcome::Done(done)) = &mut response.get_mut().result {
            done.already = before == Some(PayeeState::Accepted);
        }
        Ok(response)
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        self.operator(&request)?;
        let problems: Vec<String> = self.gatehouse.problems();
        let policy = self.gatehouse.policy();
        let (journal_id, seq) = self.gatehouse.with_journal(|journal| (journal.id(), journal.last_seq()));
        Ok(Response::new(v1::StatusResponse {
            serving: problems.is_empty(),
            problems,
            journal_id: journal_id.to_string(),
            seq,
            bundle_digest: policy.digest().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subjects: self.subjects(policy.registry()),
            batches: self.gatehouse.metrics().batches(),
            chains: self.chains.report(),
        }))
    }

    async fn list_budgets(
        &self,
        request: Request<v1::ListBudgetsRequest>,
    ) -> Result<Response<v1::ListBudgetsResponse>, Status> {
        self.operator(&request)?;
        let (budgets, prepaid) = (budget::all(&self.gatehouse), prepaid::all(&self.gatehouse));
        Ok(Response::new(v1::ListBudgetsResponse { budgets, prepaid }))
    }
}

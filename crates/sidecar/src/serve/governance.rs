//! What operators may do.

use std::sync::Arc;

use pursekeeper_api::v1;
use pursekeeper_api::v1::governance_server::Governance;
use pursekeeper_core::gate::{Answer, Ask, LifecycleAsk};
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::registry::Registry;
use pursekeeper_core::{Act, ActVerb, IdentitySource, OperatorName, Status as Standing, Subject};
use tonic::{Request, Response, Status};
use tracing::warn;

use super::signer::{mixed_up, peer_uid};
use super::{Gatehouse, Sidecar, convert};
use crate::budget;
use crate::identity::Identities;
use crate::turnstile::Fault;

/// Serves operators.
pub(super) struct GovernanceService {
    gatehouse: Arc<Gatehouse>,
    identities: Identities,
}

impl GovernanceService {
    pub(super) fn new(sidecar: &Sidecar) -> Self {
        Self { gatehouse: sidecar.gatehouse.clone(), identities: sidecar.identities }
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
        use v1::lifecycle_response::Result as Outcome;
        let (operator, source) = self.operator(&request)?;
        let (subject, reason) = convert::lifecycle(request.into_inner(), self.gatehouse.policy().registry())?;
        warn!(%operator, verb = verb.as_str(), kind = subject.kind(), %subject, "operator acts");
        let act = Act { operator, source, verb, subject, reason };
        let outcome = match self.gatehouse.pass(Ask::Lifecycle(LifecycleAsk { act })).await {
            Ok(Answer::Acted { decision_id, status, .. }) => Outcome::Done(v1::LifecycleDone {
                decision_id: decision_id.to_string(),
                status: status.to_string(),
                durable: true,
            }),
            Ok(Answer::Denied { decision_id, denial, offers }) => {
                Outcome::Denied(convert::denied(decision_id, denial, offers))
            }
            Err(Fault::NotDurable) => Outcome::Done(v1::LifecycleDone {
                decision_id: String::new(),
                status: verb.status().to_string(),
                durable: false,
            }),
            Err(fault) => return Err(convert::unanswered(&fault)),
            Ok(Answer::Authorized(_) | Answer::WouldSign { .. }) => return Err(mixed_up()),
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
                    let decided = journal.status(&subject);
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

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        self.operator(&request)?;
        let problems: Vec<String> =
            self.gatehouse.problem().into_iter().map(|problem| problem.message).collect();
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
            batches: self.gatehouse.batches(),
        }))
    }

    async fn list_budgets(
        &self,
        request: Request<v1::ListBudgetsRequest>,
    ) -> Result<Response<v1::ListBudgetsResponse>, Status> {
        self.operator(&request)?;
        Ok(Response::new(v1::ListBudgetsResponse { budgets: budget::all(&self.gatehouse) }))
    }
}

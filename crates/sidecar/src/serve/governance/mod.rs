//! What operators may do.

mod acts;
mod ending;
mod exposure;
mod keeper;
mod keys;
mod patch;
mod reload;
mod report;
mod wallets;

use std::sync::Arc;

use prost::Name;
use pursekeeper_api::v1;
use pursekeeper_api::v1::governance_server::Governance;
use pursekeeper_api::v1::lifecycle_response::Result as Outcome;
use pursekeeper_core::gate::{Answer, Ask, LifecycleAsk};
use pursekeeper_core::ports::{Custody as _, Policy as _};
use pursekeeper_core::registry::Registry;
use pursekeeper_core::{
    Act, ActVerb, Detail, IdentitySource, OperatorName, PayeeState, ServiceName, Status as Standing, Subject,
};
use pursekeeper_custody::{LocalCustody, Transport};
use tonic::{Request, Response, Status};

use super::chains::Chains;
use super::entrance::Entrance;
use super::holds::Ledger;
use super::payees::Wanted;
use super::reload::Reloads;
use super::signer::mixed_up;
use super::storage::Storage;
use super::{Gatehouse, Sidecar, convert};
use crate::config::{Config, KeystoreConfig};
use crate::{budget, prepaid};

pub(super) use ending::Endings;
pub(super) use keeper::Keeper;
pub use reload::BundleRefused;
pub(super) use reload::{NotInForce, expected, follows};

/// Serves operators.
pub(super) struct GovernanceService {
    gatehouse: Arc<Gatehouse>,
    custody: Arc<LocalCustody>,
    config: Config,
    keys: KeystoreConfig,
    holds: Ledger,
    chains: Chains,
    storage: Storage,
    endings: Endings,
    /// What keys delivered to this sidecar are sealed for.
    transport: Transport,
    /// One change of keys or bundle at a time.
    changes: tokio::sync::Mutex<()>,
    entrance: Entrance,
    reloads: Reloads,
}

/// Who acts, as authenticated.
#[derive(Clone)]
struct Operator {
    name: OperatorName,
    source: IdentitySource,
}

impl Operator {
    fn act(&self, verb: ActVerb, subject: Subject, detail: Detail, reason: String) -> Act {
        let Self { name, source } = self.clone();
        Act { operator: name, source, verb, subject, detail, reason }
    }
}

impl GovernanceService {
    pub(super) fn new(sidecar: &Sidecar, endings: Endings) -> Self {
        Self {
            gatehouse: sidecar.gatehouse.clone(),
            custody: sidecar.custody.clone(),
            config: sidecar.config.clone(),
            keys: sidecar.config.keystore.clone(),
            holds: Ledger::new(&sidecar.config.journal),
            chains: sidecar.chains.clone(),
            storage: sidecar.storage.clone(),
            endings,
            transport: Transport::generate(),
            changes: tokio::sync::Mutex::default(),
            entrance: Entrance::new("Governance", sidecar),
            reloads: sidecar.reloads.clone(),
        }
    }

    async fn operator<T: Name>(&self, request: &Request<T>) -> Result<Operator, Status> {
        self.entrance.operator(request).await.map(|(name, source)| Operator { name, source })
    }

    async fn act(
        &self,
        request: Request<v1::LifecycleRequest>,
        verb: ActVerb,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        let operator = self.operator(&request).await?;
        let (subject, reason) = convert::lifecycle(request.into_inner(), self.gatehouse.policy().registry())?;
        Ok(Response::new(self.pass(operator.act(verb, subject, Detail::None, reason)).await?))
    }

    async fn on_sidecar(
        &self,
        request: Request<v1::SidecarRequest>,
        verb: ActVerb,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        let operator = self.operator(&request).await?;
        let reason = convert::reason(request.into_inner().reason)?;
        Ok(Response::new(self.pass(operator.act(verb, Subject::Sidecar, Detail::None, reason)).await?))
    }

    fn subjects(&self, registry: &Registry) -> Vec<v1::SubjectStatus> {
        let now = self.gatehouse.now().unix_seconds();
        let named = |subject: Subject| (subject.to_string(), subject, String::new());
        let wallets = registry.wallets.iter().map(|(name, wallet)| {
            (name.to_string(), Subject::Wallet(wallet.address), wallet.address.to_string())
        });
        let workflows = registry.workflows.keys().cloned().map(Subject::Workflow).map(named);
        let agents = registry.agents.keys().cloned().map(Subject::Agent).map(named);
        let services = registry.services.keys().cloned().map(Subject::Service).map(named);
        let declared = wallets.chain(workflows).chain(agents).chain(services);
        self.gatehouse.with_journal(|journal| {
            declared
                .map(|(name, subject, address)| {
                    let declared = declared_of(registry, &subject, now);
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
    async fn list_wallets(
        &self,
        request: Request<v1::ListGovernedWalletsRequest>,
    ) -> Result<Response<v1::ListGovernedWalletsResponse>, Status> {
        self.operator(&request).await?;
        let (wallets, pending) = (self.wallets().await?, self.pending_acts().await?);
        Ok(Response::new(v1::ListGovernedWalletsResponse { wallets, pending }))
    }

    async fn get_wallet(
        &self,
        request: Request<v1::GetWalletRequest>,
    ) -> Result<Response<v1::GetWalletResponse>, Status> {
        self.operator(&request).await?;
        Ok(Response::new(self.get(&request.into_inner().wallet).await?))
    }

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

    async fn revoke(
        &self,
        request: Request<v1::LifecycleRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        self.act(request, ActVerb::Revoke).await
    }

    async fn retire(
        &self,
        request: Request<v1::LifecycleRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        self.act(request, ActVerb::Retire).await
    }

    async fn suspend_all(
        &self,
        request: Request<v1::SidecarRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        self.on_sidecar(request, ActVerb::SuspendAll).await
    }

    async fn resume_all(
        &self,
        request: Request<v1::SidecarRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        self.on_sidecar(request, ActVerb::ResumeAll).await
    }

    async fn create(
        &self,
        request: Request<v1::CreateRequest>,
    ) -> Result<Response<v1::PendingResponse>, Status> {
        let operator = self.operator(&request).await?;
        Ok(Response::new(GovernanceService::create(self, operator, request.into_inner()).await?))
    }

    async fn import(
        &self,
        request: Request<v1::ImportRequest>,
    ) -> Result<Response<v1::PendingResponse>, Status> {
        let operator = self.operator(&request).await?;
        Ok(Response::new(GovernanceService::import(self, operator, request.into_inner()).await?))
    }

    async fn rotate(
        &self,
        request: Request<v1::LifecycleRequest>,
    ) -> Result<Response<v1::PendingResponse>, Status> {
        let operator = self.operator(&request).await?;
        Ok(Response::new(GovernanceService::rotate(self, operator, request.into_inner()).await?))
    }

    async fn reassign(
        &self,
        request: Request<v1::ReassignRequest>,
    ) -> Result<Response<v1::PendingResponse>, Status> {
        let operator = self.operator(&request).await?;
        Ok(Response::new(GovernanceService::reassign(self, operator, request.into_inner()).await?))
    }

    async fn backup(
        &self,
        request: Request<v1::LifecycleRequest>,
    ) -> Result<Response<v1::BackupResponse>, Status> {
        let operator = self.operator(&request).await?;
        Ok(Response::new(GovernanceService::backup(self, operator, request.into_inner()).await?))
    }

    async fn recover(
        &self,
        request: Request<v1::RecoverRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        let operator = self.operator(&request).await?;
        Ok(Response::new(GovernanceService::recover(self, operator, request.into_inner()).await?))
    }

    async fn exposure(
        &self,
        request: Request<v1::ExposureRequest>,
    ) -> Result<Response<v1::ExposureResponse>, Status> {
        self.operator(&request).await?;
        Ok(Response::new(GovernanceService::exposure(self, request.into_inner()).await?))
    }

    async fn cancel_outstanding(
        &self,
        request: Request<v1::LifecycleRequest>,
    ) -> Result<Response<v1::CancelOutstandingResponse>, Status> {
        let operator = self.operator(&request).await?;
        let cancelled = GovernanceService::cancel_outstanding(self, operator, request.into_inner());
        Ok(Response::new(cancelled.await?))
    }

    async fn reload_policies(
        &self,
        request: Request<v1::SidecarRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        let operator = self.operator(&request).await?;
        Ok(Response::new(self.reload(operator, request.into_inner()).await?))
    }

    async fn report(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<Response<v1::ReportResponse>, Status> {
        self.operator(&request).await?;
        Ok(Response::new(GovernanceService::report(self, request.into_inner()).await?))
    }

    async fn list_holds(
        &self,
        request: Request<v1::ListHoldsRequest>,
    ) -> Result<Response<v1::ListHoldsResponse>, Status> {
        self.operator(&request).await?;
        let holds = self.holds.list(request.into_inner()).await?;
        Ok(Response::new(v1::ListHoldsResponse { holds }))
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        let operator = self.operator(&request).await?;
        let v1::ReleaseRequest { decision_id, reason } = request.into_inner();
        let reason = convert::reason(reason)?;
        let hold = self.holds.get(&decision_id).await?;
        let subject = Subject::Wallet(hold.permit.intent.wallet_address);
        let act = operator.act(ActVerb::Release, subject, Detail::Hold(hold.seq), reason);
        Ok(Response::new(self.pass(act).await?))
    }

    async fn cancel_payment(
        &self,
        request: Request<v1::CancelPaymentRequest>,
    ) -> Result<Response<v1::CancelPaymentResponse>, Status> {
        use v1::cancel_payment_response::Result as Outcome;
        let operator = self.operator(&request).await?;
        let v1::CancelPaymentRequest { decision_id, reason } = request.into_inner();
        let reason = convert::reason(reason)?;
        let hold = self.holds.get(&decision_id).await?;
        let subject = Subject::Wallet(hold.permit.intent.wallet_address);
        let act = operator.act(ActVerb::Cancel, subject, Detail::Hold(hold.seq), reason);
        Self::tell(&act);
        let answer = self.gatehouse.pass(Ask::Lifecycle(LifecycleAsk { act })).await;
        let outcome = match answer.map_err(|fault| convert::unanswered(&fault))? {
            Answer::Authorized(right) => {
                let signed = self.custody.sign(*right).map_err(|error| convert::unsigned(&error))?;
                self.gatehouse.note_signed(&signed);
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
            | Answer::Noted { .. }
            | Answer::Nothing(_) => return Err(mixed_up()),
        };
        Ok(Response::new(v1::CancelPaymentResponse { result: Some(outcome) }))
    }

    async fn accept_clock(
        &self,
        request: Request<v1::SidecarRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        self.on_sidecar(request, ActVerb::AcceptClock).await
    }

    async fn list_payees(
        &self,
        request: Request<v1::ListPayeesRequest>,
    ) -> Result<Response<v1::ListPayeesResponse>, Status> {
        self.operator(&request).await?;
        let wanted = Wanted::parse(request.into_inner())?;
        let policy = self.gatehouse.policy();
        let listed = self.holds.read(move |reader| wanted.list(reader, policy.registry())).await?;
        Ok(Response::new(listed))
    }

    async fn accept_payee(
        &self,
        request: Request<v1::AcceptPayeeRequest>,
    ) -> Result<Response<v1::LifecycleResponse>, Status> {
        let operator = self.operator(&request).await?;
        let (service, payee, reason) = convert::payee(request.into_inner())?;
        let policy = self.gatehouse.policy();
        let names: Vec<ServiceName> = policy.registry().names_of_service(&service).cloned().collect();
        // An acceptance is never taken back, so what is seen before the act is still true when it is done.
        let before = self.gatehouse.with_journal(|journal| journal.payee(&names, payee));
        let subject = Subject::Service(service);
        let act = operator.act(ActVerb::AcceptPayee, subject, Detail::Payee(payee), reason);
        let mut response = self.pass(act).await?;
        if let Some(Outcome::Done(done)) = &mut response.result {
            done.already = before == Some(PayeeState::Accepted);
        }
        Ok(Response::new(response))
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        self.operator(&request).await?;
        let problems: Vec<String> = self.gatehouse.problems();
        let (storage, mut warnings) = self.storage.status();
        warnings.extend(self.reloads.warnings());
        let (policy, shadow) = (self.gatehouse.policy(), self.gatehouse.shadow());
        let (journal_id, seq) = self.gatehouse.with_journal(|journal| (journal.id(), journal.last_seq()));
        Ok(Response::new(v1::StatusResponse {
            serving: problems.is_empty(),
            problems,
            journal_id: journal_id.to_string(),
            seq,
            bundle_digest: policy.digest().to_string(),
            bundle_revision: policy.registry().revision,
            shadow_digest: shadow.as_ref().map(|shadow| shadow.digest().to_string()).unwrap_or_default(),
            shadow_revision: shadow.and_then(|shadow| shadow.registry().revision),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subjects: self.subjects(policy.registry()),
            batches: self.gatehouse.metrics().batches(),
            chains: self.chains.report(),
            transport_recipient: self.transport.recipient().to_string(),
            all_suspended: self.decided(&Subject::Sidecar).is_stopped(),
            warnings,
            storage,
        }))
    }

    async fn list_budgets(
        &self,
        request: Request<v1::ListBudgetsRequest>,
    ) -> Result<Response<v1::ListBudgetsResponse>, Status> {
        self.operator(&request).await?;
        let (budgets, prepaid) = (budget::all(&self.gatehouse), prepaid::all(&self.gatehouse));
        Ok(Response::new(v1::ListBudgetsResponse { budgets, prepaid }))
    }
}

/// What the registry declares about a subject, an expiry that is over included.
fn declared_of(registry: &Registry, subject: &Subject, now: pursekeeper_core::UnixSeconds) -> Standing {
    let declared = registry.declared(subject, now).unwrap_or(Standing::Suspended);
    let expires = match subject {
        Subject::Workflow(name) => registry.workflows.get(name).and_then(|workflow| workflow.expires),
        Subject::Agent(_) | Subject::Wallet(_) | Subject::Service(_) | Subject::Sidecar => None,
    };
    if expires.is_some_and(|expires| now >= expires) {
        declared.strictest(Standing::Expired)
    } else {
        declared
    }
}

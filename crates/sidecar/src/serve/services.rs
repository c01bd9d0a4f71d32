//! What is served over which listener.

use std::sync::Arc;

use pursekeeper_api::v1::audit_server::AuditServer;
use pursekeeper_api::v1::governance_server::GovernanceServer;
use pursekeeper_api::v1::signer_server::SignerServer;
use pursekeeper_core::registry::Registry;
use tokio::task::JoinSet;
use tonic::transport::server::Router;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::layer::util::{Identity, Stack};
use tracing::{error, warn};

use super::calls::Calls;
use super::{MESSAGE_BYTES_MAX, audit, governance, reflection, server, signer};
use crate::config::{Config, Limits, Serves};

/// What is served, by any number of listeners.
pub(super) struct Services<H> {
    pub(super) signer: Arc<signer::SignerService>,
    pub(super) governance: Arc<governance::GovernanceService>,
    pub(super) audit: Arc<audit::AuditService>,
    pub(super) health: H,
    pub(super) calls: Calls,
}

impl<H: Health> Services<HealthServer<H>> {
    /// What a listener serves. Agents reach nothing that governs.
    pub(super) fn router(&self, limits: &Limits, serves: Serves) -> Router<Stack<Calls, Identity>> {
        let common = server(limits)
            .layer(self.calls.clone())
            .add_service(self.health.clone())
            .add_service(reflection());
        match serves {
            Serves::Agents => {
                let signer = SignerServer::from_arc(self.signer.clone());
                common.add_service(signer.max_decoding_message_size(MESSAGE_BYTES_MAX))
            }
            Serves::Operators => {
                let governance = GovernanceServer::from_arc(self.governance.clone());
                let audit = AuditServer::from_arc(self.audit.clone());
                common
                    .add_service(governance.max_decoding_message_size(MESSAGE_BYTES_MAX))
                    .add_service(audit.max_decoding_message_size(MESSAGE_BYTES_MAX))
            }
        }
    }
}

/// Waits until every listener has finished its calls.
pub(super) async fn drained(
    serving: &mut JoinSet<Result<(), tonic::transport::Error>>,
) -> Result<(), tonic::transport::Error> {
    while let Some(ended) = serving.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(crashed) => error!(%crashed, "a listener ended badly"),
        }
    }
    Ok(())
}

/// Says which listeners are for workflows that nobody declares: nothing can be asked for there.
pub(super) fn warn_of_unknown_workflows(config: &Config, registry: &Registry) {
    for listener in &config.listeners {
        for name in listener.workflow_names().into_iter().flatten() {
            if !registry.workflows.contains_key(&name) {
                warn!(workflow = %name, "a listener names a workflow that registry.yaml does not declare");
            }
        }
    }
}

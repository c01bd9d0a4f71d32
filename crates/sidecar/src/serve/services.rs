//! What is served over which listener.

use std::sync::Arc;
use std::time::Duration;

use pursekeeper_api::v1::audit_server::AuditServer;
use pursekeeper_api::v1::governance_server::GovernanceServer;
use pursekeeper_api::v1::signer_server::SignerServer;
use pursekeeper_core::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::layer::util::{Identity, Stack};
use tracing::{error, warn};

use super::calls::Calls;
use super::{MESSAGE_BYTES_MAX, audit, done, governance, signer};
use crate::config::{Config, Limits, Serves};
use crate::identity::Identities;

/// Most calls of a connection that were taken back before they were looked at.
const RESETS_PENDING_MAX: usize = 20;
/// Most faults of a connection that each end one call; one more ends the connection.
const FAULTS_PER_CONNECTION_MAX: usize = 64;

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

/// Says which listeners are for workflows that nobody declares, and what is declared that nobody could prove.
pub(super) fn warn_of_mistakes(config: &Config, registry: &Registry, identities: &Identities) {
    for listener in &config.listeners {
        for name in listener.workflow_names().into_iter().flatten() {
            if !registry.workflows.contains_key(&name) {
                warn!(workflow = %name, "a listener names a workflow that registry.yaml does not declare");
            }
        }
    }
    for unprovable in identities.unprovable(registry) {
        warn!(unprovable, "registry");
    }
}

/// Fetches keys and follows the SPIFFE Workload API, where that is configured, until the sidecar stops.
pub(super) async fn stay_informed(identities: Arc<Identities>, stopped: watch::Receiver<bool>) {
    let mut informed = JoinSet::new();
    identities.issuers().fetch(&mut informed);
    if let Some(trust) = identities.trust().cloned() {
        informed.spawn(async move { trust.follow().await });
    }
    done(stopped).await;
    informed.abort_all();
}

fn server(limits: &Limits) -> Server {
    Server::builder()
        .timeout(Duration::from_millis(limits.deadline_ms_max))
        .max_concurrent_streams(limits.streams_per_connection_max)
        .http2_max_header_list_size(limits.header_bytes_max)
        .http2_max_pending_accept_reset_streams(Some(RESETS_PENDING_MAX))
        .http2_max_local_error_reset_streams(Some(FAULTS_PER_CONNECTION_MAX))
        .http2_keepalive_interval(Some(Duration::from_secs(limits.keepalive_secs)))
        .http2_keepalive_timeout(Some(Duration::from_millis(limits.handshake_ms_max)))
}

fn reflection()
-> tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection> {
    let built = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pursekeeper_api::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    match built {
        Ok(service) => service,
        Err(error) => unreachable!("the embedded descriptors do not parse: {error}"),
    }
}

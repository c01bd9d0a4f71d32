//! Calls of somebody whom the registry does not know: refused, and recorded.

use std::sync::Arc;

use prost::Name;
use pursekeeper_core::IdentitySource;
use pursekeeper_core::gate::{Ask, UnauthenticatedAsk};
use tonic::{Request, Status};
use tracing::warn;

use super::signer::peer_uid;
use super::{Gatehouse, Sidecar, convert};
use crate::identity::IdentityError;

/// Turns strangers away from one service.
pub(super) struct Strangers {
    service: &'static str,
    gatehouse: Arc<Gatehouse>,
}

impl Strangers {
    pub(super) fn new(service: &'static str, sidecar: &Sidecar) -> Self {
        Self { service, gatehouse: sidecar.gatehouse.clone() }
    }

    /// Records the call, and gives the answer to it. It is refused whatever becomes of the record.
    pub(super) async fn refuse<T: Name>(&self, request: &Request<T>, error: IdentityError) -> Status {
        let source = peer_uid(request).map(|uid| IdentitySource::UnixPeer { uid });
        let method = T::NAME.strip_suffix("Request").unwrap_or(T::NAME);
        let call = format!("{}.{method}", self.service);
        warn!(call, %error, "a call of nobody");
        let ask = UnauthenticatedAsk { source, call, message: error.to_string() };
        // A journal that cannot be written is told of elsewhere.
        let _ = self.gatehouse.pass(Ask::Unauthenticated(ask)).await;
        let status = convert::unauthenticated(error);
        self.gatehouse.metrics().unauthenticated(&convert::reason_of(&status));
        status
    }
}

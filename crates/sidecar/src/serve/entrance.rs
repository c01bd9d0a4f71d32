//! Who is let in. Whoever is nobody is refused, and the call is recorded.

use std::sync::Arc;

use prost::Name;
use pursekeeper_api::{CALL_HEADER, CALL_HEADER_VALUE, CALLER_HEADER};
use pursekeeper_core::gate::{Ask, UnauthenticatedAsk};
use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::{Caller, IdentitySource, OperatorName, UnixSeconds};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use tracing::warn;

use super::listener::Arrival;
use super::seldom::Seldom;
use super::{Gatehouse, Sidecar, convert};
use crate::identity::{Identities, IdentityError, Principal, Shown, TokenError};

/// Longest piece of what a call says it is that is repeated to anybody, in characters.
const SAID_LEN_MAX: usize = 64;

/// The way into one service.
pub(super) struct Entrance {
    service: &'static str,
    gatehouse: Arc<Gatehouse>,
    identities: Arc<Identities>,
    turned: Seldom,
}

/// Why somebody stays outside, and what is known of them.
type Turned = (IdentityError, Option<IdentitySource>);

impl Entrance {
    pub(super) fn new(service: &'static str, sidecar: &Sidecar) -> Self {
        let (gatehouse, identities) = (sidecar.gatehouse.clone(), sidecar.identities.clone());
        Self { service, gatehouse, identities, turned: Seldom::default() }
    }

    /// The agent that calls.
    pub(super) async fn agent<T: Name>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let arrival = request.extensions().get::<Arrival>();
        match self.admit(arrival, request.metadata()).await {
            Ok((Principal::Agent(agent), source)) => {
                let workflows = arrival.and_then(|arrival| arrival.door.workflows.clone());
                Ok(Caller { agent, source, workflows })
            }
            Ok((Principal::Operator(_), source)) => {
                Err(self.refuse::<T>((IdentityError::NoCredentials, Some(source))).await)
            }
            Err(turned) => Err(self.refuse::<T>(turned).await),
        }
    }

    /// The operator that calls.
    pub(super) async fn operator<T: Name>(
        &self,
        request: &Request<T>,
    ) -> Result<(OperatorName, IdentitySource), Status> {
        let arrival = request.extensions().get::<Arrival>();
        match self.admit(arrival, request.metadata()).await {
            Ok((Principal::Operator(operator), source)) => Ok((operator, source)),
            Ok((Principal::Agent(_), source)) => {
                Err(self.refuse::<T>((IdentityError::NoCredentials, Some(source))).await)
            }
            Err(turned) => Err(self.refuse::<T>(turned).await),
        }
    }

    async fn admit(
        &self,
        arrival: Option<&Arrival>,
        metadata: &MetadataMap,
    ) -> Result<(Principal, IdentitySource), Turned> {
        let Some(arrival) = arrival else { return Err((IdentityError::NoCredentials, None)) };
        // INVARIANT: nothing here waits for the gate, or a commit would keep every caller from being told that it is busy.
        let now = || self.gatehouse.wall_clock().unix_seconds();
        let mut shown = Shown {
            serves: arrival.door.serves,
            demand: arrival.door.demand,
            peer: arrival.peer,
            certificate: arrival.svid.as_ref().map(|svid| self.identities.certified(svid, now())),
            token: None,
            declared: declared(metadata),
        };
        // Before a signature is verified or anybody is asked for a call that no client of ours made.
        if !is_called_by_ours(metadata) {
            return Err((IdentityError::HeaderMissing, shown.source()));
        }
        shown.token = self.token(metadata, now).await;
        let policy = self.gatehouse.policy();
        self.identities.who(policy.registry(), &shown).map_err(|error| (error, shown.source()))
    }

    async fn token(
        &self,
        metadata: &MetadataMap,
        now: impl Fn() -> UnixSeconds,
    ) -> Option<Result<pursekeeper_core::TokenSubject, TokenError>> {
        let mut values = metadata.get_all("authorization").iter();
        let value = values.next()?;
        Some(match (value.to_str(), values.next()) {
            (Ok(authorization), None) => self.identities.borne(authorization, now()).await,
            (Ok(_) | Err(_), _) => Err(TokenError::Bearer),
        })
    }

    /// Records the call, and gives the answer to it. It is refused whatever becomes of the record.
    async fn refuse<T: Name>(&self, (error, source): Turned) -> Status {
        let method = T::NAME.strip_suffix("Request").unwrap_or(T::NAME);
        let call = format!("{}.{method}", self.service);
        if let Some(unsaid) = self.turned.now() {
            warn!(call, reason = error.reason(), %error, unsaid, "a call of nobody");
        }
        let ask = UnauthenticatedAsk { source, call, message: error.to_string() };
        // A journal that cannot be written is told of elsewhere.
        let _ = self.gatehouse.pass(Ask::Unauthenticated(ask)).await;
        self.gatehouse.metrics().unauthenticated(error.reason());
        convert::unauthenticated(&error)
    }
}

/// Whether the call carries what our clients send and a web page or a forwarded request cannot.
fn is_called_by_ours(metadata: &MetadataMap) -> bool {
    let mut values = metadata.get_all(CALL_HEADER).iter();
    let ours = values.next().is_some_and(|value| value.as_encoded_bytes() == CALL_HEADER_VALUE.as_bytes());
    ours && values.next().is_none()
}

/// Who the call says it is of. What cannot be read is nobody's name.
fn declared(metadata: &MetadataMap) -> Option<String> {
    let mut values = metadata.get_all(CALLER_HEADER).iter();
    let first = values.next()?;
    let text = first.to_str().unwrap_or_default();
    let one = if values.next().is_none() { text } else { "" };
    Some(one.chars().take(SAID_LEN_MAX).flat_map(char::escape_default).collect())
}

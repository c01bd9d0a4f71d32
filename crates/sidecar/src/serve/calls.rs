//! What is done around every call: a peer that calls too often is told so, its time is taken, and it has a span in the
//! trace that it belongs to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use tonic::Code;
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::Gatehouse;
use super::convert::fault;
use super::listener::Arrival;
use crate::traces;

/// The package of our services; others are named with theirs.
const PACKAGE: &str = "pursekeeper.v1.";
/// What gRPC answers to methods that do not exist (`UNIMPLEMENTED`).
const UNIMPLEMENTED: &str = "12";

/// Puts [`Timed`] around a service.
#[derive(Clone)]
pub(super) struct Calls(pub(super) Arc<Gatehouse>);

/// A service whose calls are timed.
#[derive(Clone)]
pub(super) struct Timed<S> {
    inner: S,
    gatehouse: Arc<Gatehouse>,
}

impl<S> Layer<S> for Calls {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed { inner, gatehouse: self.0.clone() }
    }
}

impl<S, A, B> Service<Request<A>> for Timed<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Default + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let arrival = request.extensions().get::<Arrival>();
        if !arrival.is_none_or(|arrival| arrival.door.peers.may_call(arrival.from)) {
            let message = "more than `limits.peer_calls_per_sec_max` from one user or address: wait a second";
            let refused = fault(Code::ResourceExhausted, "RATE_LIMITED", message).into_http();
            return Box::pin(std::future::ready(Ok(refused)));
        }
        let begun = Instant::now();
        let path = request.uri().path().trim_start_matches('/');
        let name = path.strip_prefix(PACKAGE).unwrap_or(path).to_owned();
        let span = traces::call(&name, request.headers());
        let gatehouse = self.gatehouse.clone();
        let answered = self.inner.call(request).instrument(span);
        Box::pin(async move {
            let answered = answered.await;
            // Names that callers made up are nobody's method, and would be a series each.
            let known = |response: &Response<B>| {
                response.headers().get("grpc-status").is_none_or(|status| status != UNIMPLEMENTED)
            };
            if answered.as_ref().is_ok_and(known) {
                gatehouse.metrics().timing().call(&name, begun.elapsed());
            }
            answered
        })
    }
}

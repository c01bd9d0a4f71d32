//! Authorities from the SPIFFE Workload API, told by a server of our own.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request as HttpRequest;
use axum::routing::post;
use rcgen::CertificateParams;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, PartialEq, prost::Message)]
struct Ask {}

#[derive(Clone, PartialEq, prost::Message)]
struct Bundles {
    #[prost(map = "string, bytes", tag = "2")]
    bundles: HashMap<String, Vec<u8>>,
}

/// Streams what it is told to.
struct Agent(watch::Receiver<Bundles>);

impl ServerStreamingService<Ask> for Agent {
    type Response = Bundles;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bundles, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        if request.metadata().get("workload.spiffe.io").is_none_or(|value| value != "true") {
            return ready(Err(Status::invalid_argument("the security header is missing")));
        }
        ready(Ok(Response::new(Box::pin(WatchStream::new(self.0.clone()).map(Ok)))))
    }
}

fn says(domain: &str, authorities: &[&Authority]) -> Bundles {
    let der: Vec<u8> = authorities.iter().flat_map(|authority| authority.der().to_vec()).collect();
    Bundles { bundles: HashMap::from([(format!("spiffe://{domain}"), der)]) }
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_workload_api_says_who_is_trusted_and_says_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let (first, second) = (authority(), authority());
    let (tell, told) = watch::channel(says("prod.example", &[&first]));
    let answer = move |request: HttpRequest| {
        let agent = Agent(told.clone());
        async move { Grpc::new(ProstCodec::default()).server_streaming(agent, request).await }
    };
    let routes = Router::new().route("/SpiffeWorkloadAPI/FetchX509Bundles", post(answer));
    let incoming = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
    let server = tonic::transport::Server::builder().add_routes(routes.into());
    let serving = tokio::spawn(server.serve_with_incoming(incoming));

    let config = SpiffeConfig {
        trust_domain: "prod.example".into(),
        bundle: None,
        workload_api: Some(format!("unix://{}", socket.display())),
    };
    let trust = Arc::new(Trust::open(&config).unwrap());
    let by = |authority: &Authority| [leaf(authority, |_: &mut CertificateParams| {})];
    let trusts =
        |authority: &Authority| trust.admit(&by(authority), NOW).map(drop).map_err(|error| why(&error));
    assert_eq!(trusts(&first), Err("no authorities"));
    let following = trust.clone();
    let following = tokio::spawn(async move { following.follow().await });
    until("the first is trusted", || trusts(&first).is_ok()).await;
    assert_eq!(trusts(&second), Err("untrusted"));
    tell.send_replace(says("prod.example", &[&first, &second]));
    until("both are", || trusts(&second).is_ok()).await;
    assert!(trusts(&first).is_ok());
    // What says nothing of our trust domain changes nothing, and the stream is begun again.
    tell.send_replace(says("dev.example", &[&second]));
    tell.send_replace(says("prod.example", &[&second]));
    until("the first is not any more", || trusts(&first) == Err("untrusted")).await;
    assert!(trusts(&second).is_ok());
    // Without the API, what it said last holds.
    serving.abort();
    assert!(trusts(&second).is_ok());
    following.abort();
}

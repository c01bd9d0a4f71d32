//! The TCP port for probes and scrapes. It serves nothing else, and has a thread of its own: neither does a busy gate
//! delay a probe, nor a probe the gate.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tonic_health::pb::health_server::{Health, HealthServer};
use tracing::warn;

use super::super::scrape::Scraped;
use super::{Check, Outlook};

/// Most connections; one more closes the oldest, so that nobody keeps a probe out by keeping connections open.
const CONNECTIONS_MAX: usize = 32;
/// Longest life of a connection.
const CONNECTION_SECS_MAX: u64 = 60;
/// Longest time for a request's head to arrive.
const HEAD_SECS_MAX: u64 = 5;
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most calls at once on a connection.
const STREAMS_MAX: u32 = 8;
/// Largest message of a gRPC probe: the name of a service.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Most scrapes at once; they look at the gate.
const SCRAPES_MAX: usize = 2;
/// Longest wait for what is scraped.
const SCRAPE_SECS_MAX: u64 = 8;
/// Between two tries when no connection can be accepted, because no file can be opened for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The open port; closed when dropped.
pub(in super::super) struct HealthPort {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Probed {
    outlook: Outlook,
    scraped: Scraped,
    scrapes: Arc<Semaphore>,
}

impl HealthPort {
    /// Opens the port and answers from now on.
    pub(in super::super) fn open<H: Health>(
        address: SocketAddr,
        outlook: Outlook,
        scraped: Scraped,
        grpc: HealthServer<H>,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let probed = Probed { outlook, scraped, scrapes: Arc::new(Semaphore::new(SCRAPES_MAX)) };
        let router = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/startupz", get(startupz))
            .route("/metrics", get(metrics))
            .with_state(probed)
            .route_service(
                "/grpc.health.v1.Health/{method}",
                grpc.max_decoding_message_size(MESSAGE_BYTES_MAX),
            );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("health".to_owned()).spawn(move || {
            runtime.block_on(async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => serve(listener, router, stopped).await,
                    Err(error) => warn!(%error, "the health port cannot be served"),
                }
            });
            // A scrape that waits for the disk keeps nobody from ending.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for HealthPort {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends at once: what it still answers is cut off.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, router: Router, mut stopped: oneshot::Receiver<()>) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(answer(stream, router.clone())).abort_handle());
    }
}

/// Answers one connection, by HTTP/1 or HTTP/2 as its first bytes want it.
async fn answer(stream: TcpStream, router: Router) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEAD_SECS_MAX))
        .max_buf_size(HEAD_BYTES_MAX);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    let served = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A connection that fails or lasts too long concerns nobody else.
    let _ = tokio::time::timeout(Duration::from_secs(CONNECTION_SECS_MAX), served).await;
}

/// Whether the process answers. Nothing outside of it is looked at: a restart would mend none of that.
async fn livez(headers: HeaderMap) -> Response {
    told("livez", &[Check { name: "process", problem: None }], &headers)
}

async fn readyz(State(probed): State<Probed>, headers: HeaderMap) -> Response {
    told("readyz", &probed.outlook.readiness(), &headers)
}

async fn startupz(State(probed): State<Probed>, headers: HeaderMap) -> Response {
    told("startupz", &probed.outlook.startup(), &headers)
}

async fn metrics(State(probed): State<Probed>) -> Response {
    let Ok(room) = probed.scrapes.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "other scrapes are waiting\n").into_response();
    };
    let (scraped, ready) = (probed.scraped, probed.outlook.is_ready());
    // Looking at the gate waits for whoever is in it.
    let written = tokio::task::spawn_blocking(move || {
        let written = scraped.text(ready);
        drop(room);
        written
    });
    match tokio::time::timeout(Duration::from_secs(SCRAPE_SECS_MAX), written).await {
        Ok(Ok(Some(text))) => {
            let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, form)], text).into_response()
        }
        Ok(Ok(None) | Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the gate does not answer\n").into_response(),
    }
}

/// Every check with its state, as Kubernetes writes it, or as JSON for whoever wants that.
fn told(probe: &str, checks: &[Check], headers: &HeaderMap) -> Response {
    let passed = checks.iter().all(|check| check.problem.is_none());
    let status = if passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts.contains("application/json") {
        let all: Vec<_> = checks
            .iter()
            .map(|Check { name, problem }| json!({ "name": name, "ok": problem.is_none(), "problem": problem }))
            .collect();
        let body = json!({ "ok": passed, "checks": all }).to_string();
        return (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    (status, in_lines(probe, checks, passed)).into_response()
}

fn in_lines(probe: &str, checks: &[Check], passed: bool) -> String {
    let mut text = String::new();
    for Check { name, problem } in checks {
        // Writing to a string does not fail.
        let _ = match problem {
            None => writeln!(text, "[+]{name} ok"),
            Some(problem) => writeln!(text, "[-]{name} failed: {}", problem.escape_debug()),
        };
    }
    let _ = writeln!(text, "{probe} check {}", if passed { "passed" } else { "failed" });
    text
}

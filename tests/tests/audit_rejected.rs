//! A receiver of OTLP logs that acknowledges a batch and rejects a part of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use pursekeeper_tests::probe::{health_port, probe};
use pursekeeper_tests::{Purse, request, signed, until};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// The record that is never wanted.
const UNWANTED: u64 = 3;

/// What is rejected now, what was taken, and how often something was sent that had been taken.
#[derive(Debug, Default)]
struct Receiver {
    unwanted: AtomicU64,
    taken: Mutex<BTreeSet<u64>>,
    again: AtomicU64,
}

struct Service(Arc<Receiver>);

fn seq(log: LogRecord) -> u64 {
    let Some(Any::StringValue(text)) = log.body.and_then(|body| body.value) else { panic!("no text") };
    serde_json::from_str::<Value>(&text).unwrap()["seq"].as_u64().unwrap()
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let resources = request.into_inner().resource_logs.into_iter();
        let logs = resources.flat_map(|logs| logs.scope_logs).flat_map(|logs| logs.log_records);
        let unwanted = self.0.unwanted.load(Ordering::SeqCst);
        let mut rejected_log_records = 0;
        for seq in logs.map(seq) {
            if seq == unwanted {
                rejected_log_records += 1;
            } else if !self.0.taken.lock().unwrap().insert(seq) {
                self.0.again.fetch_add(1, Ordering::SeqCst);
            }
        }
        let error_message = "too strange".to_owned();
        let partial_success = Some(ExportLogsPartialSuccess { rejected_log_records, error_message });
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}

async fn listen() -> (Arc<Receiver>, SocketAddr) {
    let receiver = Arc::new(Receiver { unwanted: UNWANTED.into(), ..Receiver::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Server::builder().add_service(LogsServiceServer::new(Service(receiver.clone())));
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    (receiver, address)
}

fn purse(receiver: SocketAddr, more: &str) -> Purse {
    let purse = Purse::init();
    let sink =
        format!("{{ name: otel, format: otlp, endpoint: \"http://{receiver}\", retry_ms_max: 300{more} }}");
    purse.replace("pursekeeper.yaml", "\nlog:\n", &format!("\naudit:\n  sinks:\n    - {sink}\n\nlog:\n"));
    purse
}

fn lag(purse: &Purse) -> u64 {
    let text = purse.exits(0, &["audit", "sinks", "--output", "json"]);
    serde_json::from_str::<Value>(&text).unwrap()["sinks"][0]["lag_records"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_rejects_is_found_and_told_and_nothing_else_is_lost() {
    let (receiver, address) = listen().await;
    let purse = purse(address, "");
    let health = health_port(&purse);
    let sidecar = purse.serve();
    for id in ["a", "b", "c", "d"] {
        let _ = signed(sidecar.signer().await.sign_payment(request(id, "1000")).await);
    }
    until("all is delivered", || lag(&purse) == 0);
    let last = sidecar.governance().await.status(pursekeeper_api::v1::StatusRequest {}).await.unwrap();
    let last = last.into_inner().seq;
    let wanted: BTreeSet<u64> = (1..=last).filter(|seq| *seq != UNWANTED).collect();
    let taken = receiver.taken.lock().unwrap().clone();
    assert!(wanted.is_subset(&taken), "{wanted:?}: {taken:?}");
    assert!(sidecar.log().contains("rejected a record") && sidecar.log().contains("too strange"));
    let metrics = probe(health, "/metrics", "").unwrap().body;
    assert!(metrics.contains("pursekeeper_sink_rejected_total{sink=\"otel\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_sink_waits_at_what_is_rejected() {
    let (receiver, address) = listen().await;
    let purse = purse(address, ", required: true, lag_secs_max: 2");
    let sidecar = purse.serve();
    for id in ["a", "b", "c", "d"] {
        let _ = signed(sidecar.signer().await.sign_payment(request(id, "1000")).await);
    }
    // Signing stops, and what was taken is not sent for ever.
    until("signing stops", || purse.exits(0, &["status"]).contains("the receiver rejected 1 records"));
    let again = receiver.again.load(Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(receiver.again.load(Ordering::SeqCst), again);
    receiver.unwanted.store(0, Ordering::SeqCst);
    until("all is delivered", || lag(&purse) == 0);
    assert!(receiver.taken.lock().unwrap().contains(&UNWANTED));
    until("signing goes on", || purse.exits(0, &["status"]).contains("payments are signed"));
}

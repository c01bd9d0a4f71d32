//! Metrics and traces of the real binary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use pursekeeper_api::v1;
use pursekeeper_tests::probe::{free_address, health_port, probe, until_started};
use pursekeeper_tests::{Purse, denied, request, signed};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Every metric that a sidecar has which pays, refuses, is stopped and reloaded.
const NAMES: [&str; 46] = [
    "archived_seq",
    "batch_len",
    "batches_total",
    "build_info",
    "ceiling_used_ratio",
    "checkpoint_seq",
    "checkpoint_timestamp_seconds",
    "clock_unbelieved",
    "commit_duration_seconds",
    "connections",
    "connections_refused_total",
    "decisions_total",
    "disk_free_bytes",
    "exposure_usd",
    "holds",
    "journal_bytes",
    "journal_reusable_bytes",
    "journal_seq",
    "journal_wal_bytes",
    "limit_warnings_total",
    "pruned_seq",
    "queue_len",
    "ready",
    "reload_last_success_timestamp_seconds",
    "reloads_total",
    "reports_total",
    "request_duration_seconds",
    "sandbox_active",
    "serving",
    "sink_exported_total",
    "sink_failures_total",
    "sink_lag_records",
    "sink_lag_seconds",
    "sink_missed_total",
    "sink_rejected_total",
    "sink_up",
    "stage_duration_seconds",
    "stop_duration_seconds",
    "storage_warnings",
    "voids_signed_total",
    // Only where somebody is turned away or something went wrong, with a shadow bundle, or with nodes to ask.
    "shadow_decisions_total",
    "unauthenticated_total",
    "checkpoints_failed_total",
    "holds_resolved_total",
    "chain_block",
    "chain_read_timestamp_seconds",
];
/// How many of them, at the end, this test cannot bring about.
const ELSEWHERE: usize = 6;

fn scrape(address: SocketAddr) -> String {
    probe(address, "/metrics", "").unwrap().body
}

/// The names of samples, without what histograms add and without our prefix.
fn names(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let names = samples.filter_map(|line| line.split(['{', ' ']).next()?.strip_prefix("pursekeeper_"));
    let plain = |name: &str| {
        ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end).map(str::to_owned))
    };
    names.map(|name| plain(name).unwrap_or_else(|| name.to_owned())).collect()
}

#[tokio::test]
async fn every_metric_is_there_documented_and_has_its_unit() {
    let purse = Purse::init();
    let address = health_port(&purse);
    purse.replace(
        "pursekeeper.yaml",
        "reload: { watch: false }",
        "audit: { sinks: [{ name: out, format: json, stdout: true }] }",
    );
    purse.replace(
        "policies/registry.yaml",
        "ceilings: { usd: { day: \"2\" } }",
        "ceilings: { warn_at: 50%, usd: { day: \"0.002\" } }",
    );
    let sidecar = purse.serve();
    until_started(address);
    let mut signer = sidecar.signer().await;
    let _ = signed(signer.sign_payment(request("a", "1500")).await);
    let _ = denied(signer.sign_payment(request("b", "1500")).await);
    let _ = purse.exits(0, &["wallet", "suspend", "research-hot", "--reason", "drill"]);
    let _ = purse.exits(0, &["reload", "--reason", "drill"]);
    let text = scrape(address);
    let found = names(&text);
    let wanted: BTreeSet<String> =
        NAMES[..NAMES.len() - ELSEWHERE].iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, wanted, "{text}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let documented = fs::read_to_string(root.join("docs/OPERATIONS.md")).unwrap();
    for name in NAMES {
        assert!(documented.contains(&format!("`pursekeeper_{name}")), "{name} is not in docs/OPERATIONS.md");
    }
    // What rules and dashboards rely on.
    let used = fs::read_to_string(root.join("deploy/prometheus/metrics.txt")).unwrap_or_default();
    for name in used.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = name.split(['{', ' ']).next().unwrap();
        let own = name.strip_prefix("pursekeeper_").unwrap_or(name);
        let plain = ["_bucket", "_sum", "_count"].iter().find_map(|end| own.strip_suffix(end)).unwrap_or(own);
        assert!(
            NAMES.contains(&own) || NAMES.contains(&plain),
            "deploy/prometheus/metrics.txt: nobody makes {name}"
        );
    }
    for line in [
        "# UNIT pursekeeper_stage_duration_seconds seconds",
        "# UNIT pursekeeper_stop_duration_seconds seconds",
        r#"pursekeeper_stage_duration_seconds_count{stage="sign"} 1"#,
        r#"pursekeeper_stage_duration_seconds_count{stage="wait"} 2"#,
        r#"pursekeeper_request_duration_seconds_count{call="Signer/SignPayment"} 2"#,
        "pursekeeper_stop_duration_seconds_count 1",
        r#"pursekeeper_ceiling_used_ratio{scope="agent",name="crawler",window="day"} 0.75"#,
        r#"pursekeeper_holds{state="exposed"} 1"#,
        r#"pursekeeper_holds{state="held"} 1"#,
        "pursekeeper_exposure_usd 0.0015",
        r#"pursekeeper_connections{listener="agents"} 1"#,
        r#"pursekeeper_reloads_total{what="bundle",result="unchanged"} 1"#,
        r#"pursekeeper_limit_warnings_total{scope="agent",name="crawler",window="day"} 1"#,
        "pursekeeper_queue_len 0",
        "pursekeeper_ready 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn strangers_are_counted_by_why_they_are_refused_and_made_up_methods_not_at_all() {
    let purse = Purse::init();
    let address = health_port(&purse);
    let own = format!("uids: [{}]", rustix::process::geteuid().as_raw());
    purse.replace("policies/registry.yaml", &format!("crawler:\n    {own}"), "crawler:\n    uids: [65002]");
    let sidecar = purse.serve();
    until_started(address);
    let refused = sidecar.signer().await.sign_payment(request("a", "1000")).await.unwrap_err();
    let reason = pursekeeper_tests::reason(&refused);
    let channel = pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/pursekeeper.v1.Signer/NoSuchMethod");
    let codec = tonic_prost::ProstCodec::<v1::StatusRequest, v1::StatusResponse>::default();
    let unknown = client.unary(Request::new(v1::StatusRequest {}), path, codec).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::Unimplemented);
    let text = scrape(address);
    let line = format!("pursekeeper_unauthenticated_total{{reason=\"{reason}\"}} 1");
    assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    assert!(!text.contains("NoSuchMethod"), "{text}");
}

/// Takes spans.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter();
        let spans = spans.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Receiver {
    /// Listens from now on.
    fn start() -> (Self, SocketAddr) {
        let (receiver, address) = (Self::default(), free_address());
        tokio::spawn(Server::builder().add_service(TraceServiceServer::new(receiver.clone())).serve(address));
        (receiver, address)
    }
}

fn traced(purse: &Purse, endpoint: SocketAddr) {
    let traces = format!("\ntraces: {{ endpoint: \"http://{endpoint}\" }}\n\nlog:\n");
    purse.replace("pursekeeper.yaml", "\nlog:\n", &traces);
}

fn payment(id: &str, traceparent: &str) -> Request<v1::SignPaymentRequest> {
    let mut request = Request::new(request(id, "1000"));
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_shows_the_call_the_decision_the_policies_the_commit_and_the_signature() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const AGENT: &str = "00f067aa0ba902b7";
    let (receiver, address) = Receiver::start();
    let purse = Purse::init();
    traced(&purse, address);
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let paid = signed(signer.sign_payment(payment("a", &format!("00-{TRACE}-{AGENT}-01"))).await);
    // Whoever began this one does not keep it.
    let other = "11112222333344445555666677778888";
    let _ = signed(signer.sign_payment(payment("b", &format!("00-{other}-{AGENT}-00"))).await);
    drop(signer);
    assert_eq!(sidecar.stop().code(), Some(0));
    let spans = receiver.0.lock().unwrap().clone();
    let of =
        |trace: &str| spans.iter().filter(|span| hex::encode(&span.trace_id) == trace).collect::<Vec<_>>();
    assert_eq!(of(other), Vec::<&Span>::new());
    let spans = of(TRACE);
    let by_name: BTreeMap<&str, &&Span> = spans.iter().map(|span| (span.name.as_str(), span)).collect();
    let names: Vec<&str> = by_name.keys().copied().collect();
    assert_eq!(names, ["Signer/SignPayment", "commit", "decision", "policy", "sign"]);
    let parent = |name: &str| hex::encode(&by_name[name].parent_span_id);
    let id = |name: &str| hex::encode(&by_name[name].span_id);
    assert_eq!(parent("Signer/SignPayment"), AGENT);
    assert_eq!((parent("decision"), parent("sign")), (id("Signer/SignPayment"), id("Signer/SignPayment")));
    assert_eq!((parent("policy"), parent("commit")), (id("decision"), id("decision")));
    let begins = |name: &str| by_name[name].start_time_unix_nano;
    let order = ["Signer/SignPayment", "decision", "policy", "commit", "sign"].map(begins);
    assert!(order.is_sorted(), "{order:?}");
    let decided = format!("{:?}", by_name["decision"].attributes);
    assert!(decided.contains(&paid.decision_id), "{decided}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_or_is_not_there_delays_nobody() {
    // It accepts connections and says nothing.
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [hangs.local_addr().unwrap(), free_address()] {
        let purse = Purse::init();
        traced(&purse, address);
        let sidecar = purse.serve();
        let mut signer = sidecar.signer().await;
        let begun = Instant::now();
        for number in 0..60 {
            let _ = signed(signer.sign_payment(request(&format!("r-{number}"), "1")).await);
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(20), "60 payments took {took:?}");
        drop(signer);
        assert_eq!(sidecar.stop().code(), Some(0));
    }
    let purse = Purse::init();
    purse.replace("pursekeeper.yaml", "\nlog:\n", "\ntraces: { endpoint: here }\n\nlog:\n");
    assert!(purse.exits(1, &["check"]).contains("traces.endpoint"));
}

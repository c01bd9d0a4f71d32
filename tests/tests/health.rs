//! The health port of the real binary.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pursekeeper::clock::Clock;
use pursekeeper_api::v1::signer_client::SignerClient;
use pursekeeper_core::Moment;
use pursekeeper_journal::{Reader, SqliteJournal};
use pursekeeper_tests::probe::{Probed, health_port, probe, send, until_started};
use pursekeeper_tests::{Purse, request, signed, until};
use serde_json::Value;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const HOUR_MS: u64 = 3_600_000;
const SIGNER: &str = "pursekeeper.v1.Signer";

fn get(address: SocketAddr, path: &str) -> Probed {
    probe(address, path, "").unwrap_or_else(|| panic!("no answer to {path}"))
}

async fn grpc(address: SocketAddr, service: &str) -> Result<ServingStatus, Code> {
    let channel =
        tonic::transport::Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
    let asked = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(asked).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

#[tokio::test]
async fn probes_are_answered_and_nothing_else_is() {
    let purse = Purse::init();
    let address = health_port(&purse);
    let sidecar = purse.serve();
    until_started(address);
    let table = [
        ("/livez", 200, "[+]process ok\nlivez check passed\n"),
        ("/startupz", 200, "[+]listeners ok\nstartupz check passed\n"),
        ("/readyz", 200, "[+]journal ok\n"),
        ("/readyz?verbose", 200, "[+]clock ok\n"),
        ("/readyz", 200, "[+]bundle ok\n[+]keys ok\n"),
        ("/metrics", 200, "pursekeeper_ready 1\n"),
        ("/", 404, ""),
        ("/healthz", 404, ""),
        ("/readyz/journal", 404, ""),
        ("/pursekeeper.v1.Signer/ListWallets", 404, ""),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 404, ""),
    ];
    for (path, status, part) in table {
        let probed = get(address, path);
        assert_eq!(probed.status, status, "{path}: {probed:?}");
        assert!(probed.body.contains(part), "{path}: {probed:?}");
    }
    let posted =
        format!("POST /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(send(address, &posted).unwrap().status, 405);
    for service in ["", SIGNER] {
        assert_eq!(grpc(address, service).await, Ok(ServingStatus::Serving), "`{service}`");
    }
    assert_eq!(grpc(address, "pursekeeper.v1.Governance").await, Err(Code::NotFound));
    let signer = tonic::transport::Endpoint::new(format!("http://{address}")).unwrap();
    let mut signer = SignerClient::new(signer.connect().await.unwrap());
    assert!(signer.sign_payment(request("a", "1000")).await.is_err(), "the port serves no agents");
    drop(sidecar);
    assert!(probe(address, "/livez", "").is_none());
}

#[test]
fn checks_are_told_as_json_to_whoever_wants_that() {
    let purse = Purse::init();
    let address = health_port(&purse);
    let _sidecar = purse.serve();
    until_started(address);
    let probed = probe(address, "/readyz", "Accept: application/json\r\n").unwrap();
    let told: Value = serde_json::from_str(&probed.body).unwrap();
    assert_eq!((probed.status, &told["ok"]), (200, &Value::Bool(true)), "{probed:?}");
    let names: Vec<&str> =
        told["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bundle", "keys", "journal", "clock", "sinks", "gate", "listeners", "shutdown"]);
}

#[tokio::test]
async fn a_clock_that_jumped_is_not_ready_and_lives() {
    let purse = Purse::init();
    let address = health_port(&purse);
    let path = purse.file("journal/pursekeeper.db");
    let id = Reader::open(&path).unwrap().id();
    fs::remove_dir_all(purse.file("journal")).unwrap();
    fs::create_dir(purse.file("journal")).unwrap();
    let now = Clock::new().now();
    let begun = Moment { unix_ms: now.unix_ms - HOUR_MS, ..now };
    drop(SqliteJournal::create(&path, begun, id).unwrap());
    let _sidecar = purse.serve();
    until_started(address);
    let ready = get(address, "/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(
        ready.body.contains("[-]clock failed: the clock is") && ready.body.contains("[+]journal ok"),
        "{ready:?}"
    );
    assert!(ready.body.ends_with("readyz check failed\n"), "{ready:?}");
    assert_eq!((get(address, "/livez").status, get(address, "/startupz").status), (200, 200));
    let states = (grpc(address, "").await, grpc(address, SIGNER).await);
    assert_eq!(states, (Ok(ServingStatus::Serving), Ok(ServingStatus::NotServing)));
    let metrics = get(address, "/metrics").body;
    assert!(metrics.contains("\npursekeeper_ready 0\n"), "{metrics}");
    let _ = purse.exits(0, &["clock", "accept", "--reason", "checked against the hall clock"]);
    until("it is ready", || get(address, "/readyz").status == 200);
    assert_eq!(grpc(address, SIGNER).await, Ok(ServingStatus::Serving));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_probes_is_told_before_a_stop_cuts_anything_off() {
    let purse = Purse::init();
    let address = health_port(&purse);
    purse.replace("pursekeeper.yaml", "drain_secs_max: 10", "drain_secs_max: 3");
    let sidecar = purse.serve();
    until_started(address);
    let channel = pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap();
    // This call never ends by itself, so that there is something to wait for.
    let _under_way = HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap();
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let stopped = std::thread::spawn(move || sidecar.stop());
    let mut unready = None;
    until("it is not ready", || {
        unready = probe(address, "/readyz", "").filter(|probed| probed.status == 503);
        unready.is_some() || stopped.is_finished()
    });
    let unready = unready.expect("it was not ready while calls under way ended");
    assert!(unready.body.contains("[-]shutdown failed"), "{unready:?}");
    assert_eq!(get(address, "/livez").status, 200);
    assert_eq!(grpc(address, SIGNER).await, Ok(ServingStatus::NotServing));
    assert_eq!(stopped.join().unwrap().code(), Some(0));
    assert!(purse.exits(0, &["audit", "verify"]).contains("verified"));
}

#[test]
fn nobody_keeps_a_probe_out() {
    let purse = Purse::init();
    let address = health_port(&purse);
    let _sidecar = purse.serve();
    until_started(address);
    let mut idle: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    for stream in &mut idle {
        // A head that never ends, and one that has not begun.
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost:");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get(address, path).status, 200, "{path}");
    }
    let large = format!("X-Large: {}\r\n", "x".repeat(64 * 1024));
    let refused = probe(address, "/livez", &large);
    assert!(refused.as_ref().is_none_or(|probed| probed.status == 431), "{refused:?}");
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost:").unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(get(address, "/livez").status, 200);
}

#[test]
fn without_an_address_there_is_no_port() {
    let purse = Purse::init();
    let address = health_port(&purse);
    purse.replace("pursekeeper.yaml", &format!("health: \"{address}\""), "");
    let _sidecar = purse.serve();
    assert!(probe(address, "/livez", "").is_none());
    let taken = std::net::TcpListener::bind(address).unwrap();
    purse.replace("pursekeeper.yaml", "\nlisteners:\n", &format!("\nhealth: \"{address}\"\n\nlisteners:\n"));
    drop(_sidecar);
    let text = purse.exits(1, &["serve"]);
    assert!(text.contains(&address.to_string()), "{text}");
    drop(taken);
}

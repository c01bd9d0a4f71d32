//! What a listener bears from whoever connects to it.

use std::io::ErrorKind::WouldBlock;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pursekeeper_api::v1;
use pursekeeper_tests::probe::{health_port, probe};
use pursekeeper_tests::{LOOK_INTERVAL, Purse, Sidecar, reason, request, signed, until};
use tonic::{Code, Request};

/// What a client that speaks HTTP/2 says first, and settings without any.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// How long to wait for something that comes, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(60);

fn purse_with(limits: &str) -> Purse {
    let purse = Purse::init();
    for limit in limits.split(", ") {
        // Every limit that `init` writes is replaced, and the others are added.
        let name = format!("  {}:", limit.split_once(':').unwrap().0);
        let text = std::fs::read_to_string(purse.file("pursekeeper.yaml")).unwrap();
        let kept: String =
            text.lines().filter(|line| !line.starts_with(&name)).map(|line| format!("{line}\n")).collect();
        std::fs::write(purse.file("pursekeeper.yaml"), kept).unwrap();
        purse.replace("pursekeeper.yaml", "\nlimits:\n", &format!("\nlimits:\n  {limit}\n"));
    }
    purse
}

fn raw(sidecar: &Sidecar, said: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(sidecar.socket("agent")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may be closed already.
    let _ = stream.write_all(said);
    stream
}

/// How long the sidecar bears a connection on which nothing more is said.
fn borne(mut stream: UnixStream) -> Duration {
    let begun = Instant::now();
    let mut told = Vec::new();
    // What was sent and not read makes the end an error.
    let ended = stream.read_to_end(&mut told).map_or_else(|error| error.kind() != WouldBlock, |_| true);
    assert!(ended, "it was left open");
    begun.elapsed()
}

#[tokio::test]
async fn a_user_has_so_many_connections() {
    let purse = purse_with("connections_per_peer_max: 2");
    let metrics = health_port(&purse);
    let sidecar = purse.serve();
    // Whoever looked whether it listens may still be counted for a moment.
    let mut agent = loop {
        let Ok(channel) = pursekeeper_api::connect(sidecar.socket("agent")).await else { continue };
        let mut signer = pursekeeper_api::Signer::new(channel);
        if signer.sign_payment(request("a", "1000")).await.is_ok() {
            break signer;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    };
    let greeted = until_greeted(&sidecar);
    let _ = borne(raw(&sidecar, GREETING));
    // Those of other listeners are not counted here, and one that is closed makes room.
    let _ = purse.exits(0, &["budget", "show"]);
    drop(greeted);
    let _again = until_greeted(&sidecar);
    let _ = signed(agent.sign_payment(request("b", "1000")).await);
    let refused = "pursekeeper_connections_refused_total{listener=\"agents\",reason=\"peer-full\"}";
    let text = probe(metrics, "/metrics", "").unwrap().body;
    assert!(text.contains(refused), "{text}");
    assert!(sidecar.log().contains("connections_per_peer_max"), "{}", sidecar.log());
}

/// A connection that was answered.
fn until_greeted(sidecar: &Sidecar) -> UnixStream {
    let mut greeted = None;
    until("there is room", || {
        let mut stream = raw(sidecar, GREETING);
        greeted = (stream.read(&mut [0; 1]).unwrap_or(0) == 1).then_some(stream);
        greeted.is_some()
    });
    greeted.unwrap()
}

#[tokio::test]
async fn a_user_calls_so_often_in_a_second() {
    let purse = purse_with("peer_calls_per_sec_max: 1");
    let sidecar = purse.serve();
    let mut governance = sidecar.governance().await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(governance.status(v1::StatusRequest {}).await);
    }
    assert!(answers[0].is_ok(), "{answers:?}");
    let refused = answers.iter().find_map(|answer| answer.as_ref().err()).unwrap();
    assert_eq!((refused.code(), reason(refused).as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    // Agents have another listener.
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
}

#[tokio::test]
async fn a_call_has_headers_of_so_many_bytes() {
    let purse = purse_with("header_bytes_max: 4096, token_bytes_max: 1024");
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let mut with = async |len: usize| {
        let mut asked = Request::new(request(&format!("with-{len}"), "1000"));
        asked.metadata_mut().insert("x-filler", "x".repeat(len).parse().unwrap());
        signer.sign_payment(asked).await
    };
    let _ = signed(with(2048).await);
    assert!(with(4096).await.is_err());
    let _ = signed(with(1024).await);
    for limits in ["header_bytes_max: 8192", "token_bytes_max: 16000", "header_bytes_max: 0"] {
        assert!(purse_with(limits).exits(1, &["check"]).contains("header_bytes_max"), "{limits}");
    }
}

#[test]
fn who_says_nothing_and_who_speaks_something_else_are_ended() {
    let purse = purse_with("handshake_ms_max: 300");
    let sidecar = purse.serve();
    for said in [&b""[..], &GREETING[..23], b"PRI"] {
        assert!(borne(raw(&sidecar, said)) >= Duration::from_millis(200), "{said:?} was not waited for");
    }
    let _ = borne(raw(&sidecar, b"GET / HTTP/1.1\r\nhost: pursekeeper\r\n\r\n"));
    let log = sidecar.log();
    assert!(log.contains("handshake_ms_max") || log.contains("does not speak HTTP/2"), "{log}");
    assert!(purse_with("handshake_ms_max: 0").exits(1, &["check"]).contains("handshake_ms_max"));
}

#[test]
fn who_does_not_answer_a_ping_is_ended() {
    let purse = purse_with("keepalive_secs: 1, handshake_ms_max: 500");
    let sidecar = purse.serve();
    assert!(borne(raw(&sidecar, GREETING)) >= Duration::from_secs(1), "it was not given the time");
    drop(sidecar);
    let patient = purse_with("keepalive_secs: 3600, handshake_ms_max: 500");
    let sidecar = patient.serve();
    let mut silent = raw(&sidecar, GREETING);
    silent.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut told = Vec::new();
    let left_open = silent.read_to_end(&mut told).is_err();
    assert!(left_open, "it was closed: {told:?}");
    assert!(purse_with("keepalive_secs: 0").exits(1, &["check"]).contains("keepalive_secs"));
}

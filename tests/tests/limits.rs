//! Every field of `pursekeeper.yaml` changes what the real binary does.
//!
//! The fields that keep it from starting are in `start.rs`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant, SystemTime};

use pursekeeper_api::v1;
use pursekeeper_tests::{
    LOOK_INTERVAL, Offer, Purse, URL, challenge_v2, denied, reason, request, signed, verify,
};
use rusqlite::Connection;
use serde_json::Value;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Long enough for an answer that comes, on a machine that does many other things.
const NO_ANSWER: Duration = Duration::from_millis(700);

fn purse_with(from: &str, to: &str) -> Purse {
    let purse = Purse::init();
    purse.replace("pursekeeper.yaml", from, to);
    purse
}

/// Keeps the journal from being written, as a backup program might, until dropped.
fn lock_journal(purse: &Purse) -> Connection {
    let connection = Connection::open(purse.file("journal/pursekeeper.db")).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[test]
fn paths_lead_where_they_say() {
    let moves = [
        ("policies: policies", "policies: bundle", "policies", "bundle"),
        ("journal: journal/", "journal: ledger/", "journal", "ledger"),
        ("dir: keystore", "dir: keys", "keystore", "keys"),
        ("passphrase_file: passphrase", "passphrase_file: secret", "passphrase", "secret"),
    ];
    for (from, to, old, new) in moves {
        let purse = purse_with(from, to);
        let _ = purse.exits(1, &["check"]);
        fs::rename(purse.file(old), purse.file(new)).unwrap();
        let _ = purse.exits(0, &["check"]);
    }
}

#[test]
fn sockets_stand_where_and_how_they_are_told() {
    let purse = purse_with(r#"operator.sock, mode: "0600""#, r#"operator.sock, mode: "0640""#);
    purse.replace("pursekeeper.yaml", r#"agent.sock, mode: "0660""#, r#"agent.sock, mode: "0666""#);
    let sidecar = purse.serve();
    for (name, expected) in [("agent", 0o666), ("operator", 0o640)] {
        let mode = fs::metadata(sidecar.socket(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{name} is {mode:o}");
    }
    drop(sidecar);
    // Crossed over, each path still serves what its name in the configuration says.
    purse.replace("pursekeeper.yaml", "agents, path: run/agent.sock", "agents, path: run/tmp.sock");
    purse.replace(
        "pursekeeper.yaml",
        "operators, path: run/operator.sock",
        "operators, path: run/agent.sock",
    );
    purse.replace("pursekeeper.yaml", "run/tmp.sock", "run/operator.sock");
    let sidecar = purse.serve();
    let _ = purse.exits(0, &["budget", "show"]);
    drop(sidecar);
}

#[tokio::test]
async fn a_signature_lives_no_longer_than_the_cap() {
    let purse = purse_with("validity_secs_max: 300", "validity_secs_max: 30");
    purse.replace("pursekeeper.yaml", "skew_secs: 60 ", "skew_secs: 7 ");
    let sidecar = purse.serve();
    let before = now();
    let signed = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let lives = signed.valid_before - before;
    assert!((30..40).contains(&lives), "lives {lives} seconds");
    let payload = verify(&signed, "1000", pursekeeper_tests::PAYEE);
    let after: u64 = payload["payload"]["authorization"]["validAfter"].as_str().unwrap().parse().unwrap();
    assert_eq!(signed.valid_before - after, 37);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    const CALLS: usize = 8;
    let purse = purse_with("queue_len_max: 1024", "queue_len_max: 1");
    // Otherwise the first may take a second one along into the gate.
    purse.replace("pursekeeper.yaml", "batch_len_max: 256", "batch_len_max: 1");
    let sidecar = purse.serve();
    let signer = sidecar.signer().await;
    let lock = lock_journal(&purse);
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..CALLS {
        let mut signer = signer.clone();
        calls.spawn(async move { signer.sign_payment(request(&format!("call-{call}"), "1000")).await });
    }
    for _ in 0..CALLS - 2 {
        let refused = calls.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "QUEUE_FULL"));
    }
    drop(lock);
    while let Some(answered) = calls.join_next().await {
        // One is in the gate and one waits; they are paid, or told that the journal was locked for too long.
        if let Err(status) = answered.unwrap() {
            assert_eq!(reason(&status), "JOURNAL_UNWRITABLE");
        }
    }
    let _ = signed(sidecar.signer().await.sign_payment(request("after", "1000")).await);
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let purse = purse_with("deadline_ms_max: 10000", "deadline_ms_max: 100");
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let lock = lock_journal(&purse);
    let mut calls = tokio::task::JoinSet::new();
    for id in ["a", "b"] {
        let mut signer = signer.clone();
        calls.spawn(async move { signer.sign_payment(request(id, "1000")).await });
    }
    // One call is in the gate, which a deadline does not interrupt; the other waits for it.
    let answers = calls.join_all().await;
    let cut_off = |status: &tonic::Status| [Code::Cancelled, Code::DeadlineExceeded].contains(&status.code());
    assert!(answers.iter().any(|answer| answer.as_ref().is_err_and(cut_off)), "{answers:?}");
    drop(lock);
    let _ = signed(signer.sign_payment(request("a", "1000")).await);
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed() {
    let purse = purse_with("connections_max: 256", "connections_max: 1");
    let sidecar = purse.serve();
    // Whoever looked whether it listens may still be counted for a moment.
    let mut first = loop {
        let Ok(channel) = pursekeeper_api::connect(sidecar.socket("agent")).await else { continue };
        let mut signer = pursekeeper_api::Signer::new(channel);
        if signer.sign_payment(request("a", "1000")).await.is_ok() {
            break signer;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    };
    if let Ok(channel) = pursekeeper_api::connect(sidecar.socket("agent")).await {
        let refused = pursekeeper_api::Signer::new(channel).sign_payment(request("b", "1000")).await;
        assert!(refused.is_err(), "a second connection is served");
    }
    let _ = signed(first.sign_payment(request("b", "1000")).await);
}

#[tokio::test]
async fn a_connection_has_so_many_calls_at_once() {
    for (limit, answers) in [(1, false), (2, true)] {
        let purse =
            purse_with("streams_per_connection_max: 128", &format!("streams_per_connection_max: {limit}"));
        let sidecar = purse.serve();
        let channel = pursekeeper_api::connect(sidecar.socket("operator")).await.unwrap();
        let watch = v1::WatchRequest { from_seq: 1, until_now: false, ..Default::default() };
        let stream = pursekeeper_api::Audit::new(channel.clone()).watch(watch).await.unwrap();
        let mut governance = pursekeeper_api::Governance::new(channel);
        let status = governance.status(v1::StatusRequest {});
        assert_eq!(tokio::time::timeout(NO_ANSWER, status).await.is_ok(), answers, "with {limit}");
        drop(stream);
    }
}

#[tokio::test]
async fn so_many_follow_the_audit_at_once() {
    let purse = purse_with("subscribers_max: 128", "subscribers_max: 2");
    let sidecar = purse.serve();
    let mut audit = sidecar.audit().await;
    let follow = || v1::WatchRequest { from_seq: 1, ..Default::default() };
    let first = audit.watch(follow()).await.unwrap();
    let _second = audit.watch(follow()).await.unwrap();
    let refused = audit.watch(follow()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "SUBSCRIBERS_FULL"));
    drop(first);
    // It is noticed at once, but not before this one asks.
    while audit.watch(follow()).await.is_err() {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

#[tokio::test]
async fn an_agent_calls_so_often_in_a_second() {
    let purse = purse_with("agent_calls_per_sec_max: 500", "agent_calls_per_sec_max: 1");
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let mut codes = Vec::new();
    for call in 0..10 {
        codes.push(match signer.sign_payment(request(&format!("call-{call}"), "1000")).await {
            Ok(_) => "paid".to_owned(),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                reason(&status)
            }
        });
    }
    assert_eq!(codes[0], "paid");
    assert!(codes.contains(&"RATE_LIMITED".to_owned()), "{codes:?}");
}

#[test]
fn the_log_is_as_loud_and_in_the_form_it_is_told() {
    let quiet = purse_with("level: info", "level: error");
    let sidecar = quiet.serve();
    let _ = quiet.exits(0, &["budget", "show"]);
    assert_eq!(sidecar.log(), "");
    drop(sidecar);
    let json = purse_with("format: text", "format: json");
    let sidecar = json.serve();
    // It says that it serves before it answers.
    let _ = json.exits(0, &["budget", "show"]);
    let log = sidecar.log();
    assert!(log.contains("serving"), "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line["level"].is_string());
    }
}

#[tokio::test]
async fn a_402_at_the_limits_is_still_read() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let offers = vec![Offer::of("1000"); 32];
    let challenge = v1::sign_payment_request::Challenge::PaymentRequired(challenge_v2(Some(URL), &offers));
    let ask = v1::SignPaymentRequest { challenge: Some(challenge), ..request("a", "1") };
    let _ = signed(sidecar.signer().await.sign_payment(ask).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_no_longer_than_it_may_be() {
    let purse = purse_with("batch_len_max: 256", "batch_len_max: 1");
    let sidecar = purse.serve();
    let signer = sidecar.signer().await;
    let payments: Vec<_> = (0..32)
        .map(|number| {
            let mut signer = signer.clone();
            tokio::spawn(
                async move { signed(signer.sign_payment(request(&format!("r-{number}"), "1000")).await) },
            )
        })
        .collect();
    for payment in payments {
        let _ = payment.await.unwrap();
    }
    let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.batches - 1, 32, "32 payments that waited for each other, one transaction each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_calls_under_way_and_not_for_ever() {
    let purse = purse_with("drain_secs_max: 10", "drain_secs_max: 1");
    let sidecar = purse.serve();
    let channel = pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap();
    let watch = HealthCheckRequest::default();
    // This call never ends by itself.
    let _under_way = HealthClient::new(channel).watch(watch).await.unwrap();
    let begun = Instant::now();
    assert!(sidecar.stop().success());
    let took = begun.elapsed().as_secs();
    assert!((1..10).contains(&took), "{took} s");
}

/// What Prometheus would read.
fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn metrics_are_scraped_where_they_are_told_and_nowhere_else() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let purse = purse_with("listeners:\n", &format!("health: {address}\nlisteners:\n"));
    let (from, to) = ("usd: { day: \"2\" }", "warn_at: 50%, usd: { day: \"0.002\" }");
    purse.replace("policies/registry.yaml", from, to);
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let _ = signed(signer.sign_payment(request("a", "1500")).await);
    let _ = denied(signer.sign_payment(request("b", "1500")).await);
    let text = scrape(&address);
    for line in [
        r#"pursekeeper_decisions_total{verdict="permit",code=""} 1"#,
        r#"pursekeeper_decisions_total{verdict="deny",code="CEILING_EXCEEDED"} 1"#,
        r#"pursekeeper_limit_warnings_total{scope="agent",name="crawler",window="day"} 1"#,
        "pursekeeper_serving 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    // Genesis, bundle, permit, its signature and a denial; the last may still wait to be counted.
    let value = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
    };
    assert_eq!((value("pursekeeper_journal_seq"), value("pursekeeper_batches_total")), (5, 3));
    drop(sidecar);
    let sidecar = Purse::init().serve();
    assert!(TcpStream::connect(&address).is_err(), "{}", sidecar.log());
}

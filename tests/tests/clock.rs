//! The real binary with a journal from another time.

use std::fs;

use pursekeeper::clock::Clock;
use pursekeeper_core::Moment;
use pursekeeper_journal::{Reader, SqliteJournal};
use pursekeeper_tests::{Purse, denied, request, signed};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const HOUR_MS: u64 = 3_600_000;

/// A purse whose journal began at another time.
fn purse_begun(at: impl Fn(Moment) -> Moment) -> Purse {
    let purse = Purse::init();
    let path = purse.file("journal/pursekeeper.db");
    let id = Reader::open(&path).unwrap().id();
    fs::remove_dir_all(purse.file("journal")).unwrap();
    fs::create_dir(purse.file("journal")).unwrap();
    drop(SqliteJournal::create(&path, at(Clock::new().now()), id).unwrap());
    purse
}

/// What the first payment is answered, before and after the limit is widened.
async fn check(at: impl Fn(Moment) -> Moment, code: &str, limit: &str) {
    let purse = purse_begun(&at);
    let sidecar = purse.serve();
    let refused = denied(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert_eq!(refused.code, code, "{refused:?}");
    drop(sidecar);
    let purse = purse_begun(&at);
    purse.replace("pursekeeper.yaml", "limits:\n", &format!("limits:\n  {limit}\n"));
    let sidecar = purse.serve();
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
}

#[tokio::test]
async fn another_boot_more_than_a_day_ago_is_a_jump() {
    let before = |now: Moment| Moment { unix_ms: now.unix_ms - 25 * HOUR_MS, boot_ms: 5, boot_id: [9; 16] };
    check(before, "CLOCK_JUMPED", "clock_reboot_ms_max: 100000000").await;
}

#[tokio::test]
async fn a_wall_clock_ahead_of_the_boot_clock_is_a_jump() {
    let before = |now: Moment| Moment { unix_ms: now.unix_ms - HOUR_MS, ..now };
    check(before, "CLOCK_JUMPED", "clock_ahead_ms_max: 4000000").await;
}

#[tokio::test]
async fn a_journal_from_the_future_is_a_clock_gone_back() {
    let purse = purse_begun(|now| Moment { unix_ms: now.unix_ms + HOUR_MS, ..now });
    let sidecar = purse.serve();
    let refused = denied(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert_eq!(refused.code, "CLOCK_REGRESSED");
    drop(sidecar);
    purse.replace("pursekeeper.yaml", "clock_back_ms_max: 2000 ", "clock_back_ms_max: 4000000 ");
    let sidecar = purse.serve();
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
}

#[tokio::test]
async fn a_jump_shows_in_health_and_status_until_an_operator_accepts_it() {
    let purse = purse_begun(|now| Moment { unix_ms: now.unix_ms - HOUR_MS, ..now });
    let sidecar = purse.serve();
    let channel = pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap();
    let mut health = HealthClient::new(channel);
    let service = "pursekeeper.v1.Signer".to_owned();
    let mut watched = health.watch(HealthCheckRequest { service }).await.unwrap().into_inner();
    let mut until = async |serving: bool| {
        let wanted = if serving { 1 } else { 2 };
        while watched.message().await.unwrap().unwrap().status != wanted {}
    };
    until(false).await;
    let status = sidecar.governance().await.status(pursekeeper_api::v1::StatusRequest {}).await.unwrap();
    let status = status.into_inner();
    assert!(!status.serving && status.problems[0].contains("clock"), "{:?}", status.problems);
    let said = purse.exits(0, &["clock", "accept", "--reason", "checked against the hall clock"]);
    assert!(said.contains("the clock is accepted"), "{said}");
    until(true).await;
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let trail = purse.exits(0, &["audit", "tail"]);
    assert!(trail.contains("accepted the clock: checked against the hall clock"), "{trail}");
    let _ = purse.exits(0, &["audit", "verify"]);
}

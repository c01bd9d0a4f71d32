//! Following: without gaps, without duplicates, and at nobody's expense.

use std::time::Duration;

use pursekeeper_api::v1;
use pursekeeper_tests::Sidecar;
use rusqlite::Connection;

use super::{PATIENCE, denials, next, pay, purse, query, seqs, texts, watch, whole};

#[tokio::test]
async fn a_filtered_stream_has_no_gap_and_no_duplicate_across_reconnects_and_crashes() {
    let purse = purse();
    let mut sidecar = purse.serve();
    let (mut found, mut seen) = (Vec::new(), 0);
    for round in 0..3 {
        pay(&sidecar, round * 40..round * 40 + 20).await;
        for _ in 0..4 {
            let from_seq = seen + 1;
            let request = v1::WatchRequest { from_seq, filter: Some(denials()), ..Default::default() };
            let mut stream = watch(&sidecar, request).await;
            for _ in 0..2 {
                // Until what was there before is over; there is more later.
                let Ok(Ok(Some(response))) =
                    tokio::time::timeout(Duration::from_millis(500), stream.message()).await
                else {
                    break;
                };
                assert!(response.seen_seq > seen);
                seen = response.seen_seq;
                found.extend(response.decision.map(|decision| decision.seq));
            }
        }
        pay(&sidecar, round * 40 + 20..round * 40 + 40).await;
        sidecar.kill();
        sidecar = purse.serve();
    }
    let request =
        v1::WatchRequest { from_seq: seen + 1, until_now: true, filter: Some(denials()), keep_alive_secs: 0 };
    let mut stream = watch(&sidecar, request).await;
    while let Some(response) = next(&mut stream).await {
        assert!(response.seen_seq > seen);
        seen = response.seen_seq;
        found.extend(response.decision.map(|decision| decision.seq));
    }
    let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(seen, status.seq, "the end says how far was looked");
    assert_eq!(found, seqs(&query(&sidecar, denials(), 1_000, false).await));
    assert_eq!(found.len(), 40);
}

#[tokio::test]
async fn who_follows_live_gets_every_record_once_however_many_follow() {
    const PAYMENTS: usize = 60;
    let purse = purse();
    let sidecar = purse.serve();
    let mut streams = Vec::new();
    for subscriber in 0..12 {
        let filter = (subscriber % 2 == 1).then(denials);
        let request = v1::WatchRequest { from_seq: 1, filter, ..Default::default() };
        streams.push(watch(&sidecar, request).await);
    }
    pay(&sidecar, 0..PAYMENTS).await;
    let last = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner().seq;
    let refused = seqs(&query(&sidecar, denials(), 1_000, false).await);
    for (subscriber, mut stream) in streams.into_iter().enumerate() {
        let expected = if subscriber % 2 == 1 { refused.clone() } else { (1..=last).collect() };
        let mut got = Vec::new();
        while got.len() < expected.len() {
            got.extend(next(&mut stream).await.unwrap().decision.map(|decision| decision.seq));
        }
        assert_eq!(got, expected, "subscriber {subscriber}");
    }
}

#[tokio::test]
async fn silence_is_broken_by_how_far_was_looked() {
    let purse = purse();
    let sidecar = purse.serve();
    pay(&sidecar, 0..10).await;
    let filter = Some(v1::AuditFilter { kinds: texts(&["evidence"]), ..Default::default() });
    let request = v1::WatchRequest { from_seq: 1, filter, keep_alive_secs: 1, ..Default::default() };
    let mut stream = watch(&sidecar, request).await;
    let mut seen = 11;
    for _ in 0..2 {
        let response = next(&mut stream).await.unwrap();
        assert_eq!(response.decision, None);
        assert!(response.seen_seq >= seen.max(12), "{} after {seen}", response.seen_seq);
        seen = response.seen_seq;
    }
}

#[tokio::test]
async fn a_stream_with_an_end_in_time_ends() {
    let purse = purse();
    let sidecar = purse.serve();
    pay(&sidecar, 1..2).await;
    let last_ms = whole(&sidecar).await.last().unwrap().time_unix_ms;
    // Nothing more is written at this time.
    while u128::from(last_ms) >= std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() {}
    let filter = v1::AuditFilter { until_unix_ms: last_ms + 1, ..Default::default() };
    let expected = seqs(&query(&sidecar, filter.clone(), 10, false).await);
    let request = v1::WatchRequest { from_seq: 1, filter: Some(filter), ..Default::default() };
    let mut stream = watch(&sidecar, request).await;
    for expected in expected {
        assert_eq!(next(&mut stream).await.unwrap().seen_seq, expected);
    }
    pay(&sidecar, 2..3).await;
    assert_eq!(next(&mut stream).await, None);
}

/// What a process has in memory, in bytes.
fn resident(sidecar: &Sidecar) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_does_not_read_slows_nobody_and_grows_nothing() {
    const STUCK: usize = 24;
    const PAYERS: usize = 16;
    const PAYMENTS: usize = 1_600;
    let purse = purse();
    let sidecar = std::sync::Arc::new(purse.serve());
    pay(&sidecar, 0..20).await;
    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        stuck.push(watch(&sidecar, v1::WatchRequest { from_seq: 1, ..Default::default() }).await);
    }
    let before = resident(&sidecar);
    let mut payers = tokio::task::JoinSet::new();
    for payer in 0..PAYERS {
        let sidecar = sidecar.clone();
        payers.spawn(async move {
            let first = 1_000 * (payer + 1);
            tokio::time::timeout(PATIENCE, pay(&sidecar, first..first + PAYMENTS / PAYERS)).await.unwrap();
        });
    }
    payers.join_all().await;
    let grown = resident(&sidecar).saturating_sub(before);
    let filter = v1::AuditFilter::default();
    let unread: usize =
        query(&sidecar, filter, 1_000, false).await.iter().map(|decision| decision.canonical.len()).sum();
    println!("{STUCK} subscribers left {} bytes unread, memory grew by {grown}", unread * STUCK);
    assert!(grown < (unread * STUCK / 2) as u64, "grew by {grown} bytes for {unread} unread by each");
    // Nobody holds the log: all of it can be copied into the database.
    let journal = Connection::open(purse.file("journal/pursekeeper.db")).unwrap();
    let checkpointed =
        journal.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)));
    let (log, done): (i64, i64) = checkpointed.unwrap();
    assert_eq!(log, done, "frames of the log, and how many could be copied");
    // They find everything when they read on.
    let mut stream = stuck.pop().unwrap();
    for expected in 1..=PAYMENTS as u64 {
        assert_eq!(next(&mut stream).await.unwrap().seen_seq, expected);
    }
}

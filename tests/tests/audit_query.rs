//! Following and asking the audit, on the real binary.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use pursekeeper_api::v1;
use pursekeeper_api::v1::lifecycle_response::Result as Acted;
use pursekeeper_core::ports::{Journal as _, Judged, Urgency};
use pursekeeper_core::{Amount, ChainId, Entry, Evidence, HoldState, JournalId, Moment, Observation, Usd};
use pursekeeper_journal::SqliteJournal;
use pursekeeper_tests::{Purse, Sidecar, URL, denied, reason, request, signed};
use rusqlite::Connection;
use serde_json::Value;
use tonic::{Code, Streaming};

/// Long enough for what comes, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than the workflow may pay at once: refused.
const TOO_MUCH: &str = "60000";

/// A purse that pays as often as is asked.
fn purse() -> Purse {
    let purse = Purse::init();
    purse.replace("policies/registry.yaml", "payments: { hour: 100 }", "payments: { hour: 1000000 }");
    purse.replace("pursekeeper.yaml", "queue_len_max: 1024", "queue_len_max: 1024\n  repeats_per_minute_max: 1000000");
    purse.replace("pursekeeper.yaml", "agent_calls_per_sec_max: 500", "agent_calls_per_sec_max: 1000000");
    purse
}

/// Asks for payments one after another: every third is refused, and every fifth is only previewed.
async fn pay(sidecar: &Sidecar, ids: impl Iterator<Item = usize>) {
    let mut signer = sidecar.signer().await;
    for id in ids {
        let amount = if id % 3 == 0 { format!("{}", 60_000 + id) } else { "1".to_owned() };
        let ask = request(&format!("request-{id}"), &amount);
        if id % 5 == 0 {
            let _ = signer.preview(ask).await.unwrap();
        } else {
            let _ = signer.sign_payment(ask).await.unwrap();
        }
    }
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|text| (*text).to_owned()).collect()
}

fn denials() -> v1::AuditFilter {
    v1::AuditFilter { verdict: "deny".to_owned(), ..Default::default() }
}

async fn watch(sidecar: &Sidecar, request: v1::WatchRequest) -> Streaming<v1::WatchResponse> {
    sidecar.audit().await.watch(request).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<v1::WatchResponse>) -> Option<v1::WatchResponse> {
    tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap()
}

/// Everything that fits, page by page.
async fn query(
    sidecar: &Sidecar,
    filter: v1::AuditFilter,
    page_size: u32,
    newest_first: bool,
) -> Vec<v1::Decision> {
    let mut audit = sidecar.audit().await;
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let filter = Some(filter.clone());
        let asked = v1::QueryRequest { filter, page_size, page_token, newest_first };
        let v1::QueryResponse { decisions, next_page_token } = audit.query(asked).await.unwrap().into_inner();
        assert!(decisions.len() <= page_size as usize);
        all.extend(decisions);
        page_token = next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

fn seqs(decisions: &[v1::Decision]) -> Vec<u64> {
    decisions.iter().map(|decision| decision.seq).collect()
}

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
    for _ in 0..2 {
        let response = next(&mut stream).await.unwrap();
        assert_eq!((response.decision, response.seen_seq), (None, 12));
    }
}

#[tokio::test]
async fn a_stream_with_an_end_in_time_ends() {
    let purse = purse();
    let sidecar = purse.serve();
    pay(&sidecar, 1..2).await;
    let whole = query(&sidecar, v1::AuditFilter::default(), 10, false).await;
    // The next record has another time.
    let last_ms = whole.last().unwrap().time_unix_ms;
    while u128::from(last_ms) >= std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() {}
    let filter = Some(v1::AuditFilter { until_unix_ms: last_ms + 1, ..Default::default() });
    let mut stream = watch(&sidecar, v1::WatchRequest { from_seq: 1, filter, ..Default::default() }).await;
    for expected in 1..=whole.len() as u64 {
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
    const PAYMENTS: usize = 800;
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

#[tokio::test]
async fn pages_of_any_size_in_both_directions_are_the_whole() {
    let purse = purse();
    let sidecar = purse.serve();
    pay(&sidecar, 0..40).await;
    let whole = query(&sidecar, v1::AuditFilter::default(), 1_000, false).await;
    assert_eq!(seqs(&whole), (1..=42).collect::<Vec<_>>());
    let middle = whole[20].time_unix_ms;
    let filters = [
        v1::AuditFilter::default(),
        denials(),
        v1::AuditFilter { kinds: texts(&["preview", "genesis"]), ..Default::default() },
        v1::AuditFilter { codes: texts(&["CEILING_EXCEEDED"]), ..Default::default() },
        v1::AuditFilter {
            agents: texts(&["crawler"]),
            wallets: texts(&["research-hot"]),
            ..Default::default()
        },
        v1::AuditFilter { services: texts(&["nothing"]), ..Default::default() },
        v1::AuditFilter { since_unix_ms: middle, ..Default::default() },
        v1::AuditFilter { until_unix_ms: middle, ..Default::default() },
        v1::AuditFilter { since_unix_ms: middle, verdict: "permit".to_owned(), ..Default::default() },
        v1::AuditFilter { about_seq: 5, ..Default::default() },
    ];
    for filter in filters {
        let fits = |decision: &&v1::Decision| {
            let v1::AuditFilter {
                kinds,
                codes,
                agents,
                services,
                verdict,
                since_unix_ms,
                until_unix_ms,
                about_seq,
                ..
            } = &filter;
            let any = |wanted: &[String], value: &String| wanted.is_empty() || wanted.contains(value);
            any(kinds, &decision.kind)
                && any(codes, &decision.code)
                && any(agents, &decision.agent)
                && any(services, &decision.service)
                && (verdict.is_empty() || *verdict == decision.verdict)
                && decision.time_unix_ms >= *since_unix_ms
                && (*until_unix_ms == 0 || decision.time_unix_ms < *until_unix_ms)
                && (*about_seq == 0 || decision.seq == *about_seq || decision.original_seq == *about_seq)
        };
        let expected: Vec<u64> = whole.iter().filter(fits).map(|decision| decision.seq).collect();
        for page_size in [1, 7, 1_000] {
            assert_eq!(
                seqs(&query(&sidecar, filter.clone(), page_size, false).await),
                expected,
                "{filter:?}"
            );
            let mut backwards = seqs(&query(&sidecar, filter.clone(), page_size, true).await);
            backwards.reverse();
            assert_eq!(backwards, expected, "{filter:?}, the newest first");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_a_reason() {
    let purse = purse();
    let sidecar = purse.serve();
    pay(&sidecar, 0..5).await;
    let mut audit = sidecar.audit().await;
    let asked = v1::QueryRequest { filter: Some(denials()), page_size: 1, ..Default::default() };
    let token = audit.query(asked.clone()).await.unwrap().into_inner().next_page_token;
    assert!(!token.is_empty());
    let unknown = v1::AuditFilter { kinds: texts(&["bribe"]), ..Default::default() };
    let table = [
        (
            v1::QueryRequest { page_token: token.clone(), filter: None, ..asked.clone() },
            "MALFORMED_PAGE_TOKEN",
        ),
        (
            v1::QueryRequest { page_token: token.clone(), newest_first: true, ..asked.clone() },
            "MALFORMED_PAGE_TOKEN",
        ),
        (v1::QueryRequest { page_token: "nonsense".to_owned(), ..asked.clone() }, "MALFORMED_PAGE_TOKEN"),
        (v1::QueryRequest { filter: Some(unknown.clone()), ..asked.clone() }, "MALFORMED_FILTER"),
    ];
    for (ask, expected) in table {
        let refused = audit.query(ask.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, expected), "{ask:?}");
    }
    let _ = audit.query(v1::QueryRequest { page_token: token, ..asked }).await.unwrap();
    let refused =
        audit.watch(v1::WatchRequest { filter: Some(unknown), ..Default::default() }).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "MALFORMED_FILTER"));
}

/// Records what a chain would say about the payment of record `seq`; nobody else may have the journal.
fn settle(purse: &Purse, journal_id: &str, seq: u64) {
    let path = purse.file("journal/pursekeeper.db");
    let mut journal = SqliteJournal::open(&path, JournalId::parse(journal_id).unwrap()).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let at = Moment { unix_ms: u64::try_from(now).unwrap(), boot_ms: 1, boot_id: [9; 16] };
    let observation = Observation {
        network: ChainId::parse("eip155:84532").unwrap(),
        block: 31_337,
        block_hash: [7; 32],
        transaction: Some([8; 32]),
        nodes: 2,
    };
    let state =
        HoldState::Settled { amount: Amount::parse("1000").unwrap(), usd: Usd::parse("0.001").unwrap() };
    let entry = Entry::Evidence(Box::new(Evidence { at, original_seq: seq, observation, state }));
    let recorded = journal.commit(at, Urgency::Payment, &[()], |(), _| Ok(Judged::Entry(entry.clone())));
    assert_eq!(recorded.unwrap().len(), 1);
}

async fn claim(sidecar: &Sidecar, decision_id: &str) {
    let outcome = Some(v1::report_outcome_request::Outcome::Error("HTTP 503 \u{1b}[31m".to_owned()));
    let request =
        v1::ReportOutcomeRequest { decision_id: decision_id.to_owned(), outcome, remaining_usd: None };
    let _ = sidecar.signer().await.report_outcome(request).await.unwrap();
}

#[tokio::test]
async fn a_story_is_told_in_words() {
    let purse = purse();
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let ask = v1::SignPaymentRequest {
        labels: [("task".to_owned(), "forecast".to_owned())].into(),
        ..request("paid", "1000")
    };
    let paid = signed(signer.sign_payment(ask.clone()).await);
    let _ = signed(signer.sign_payment(ask).await);
    let refused = denied(signer.sign_payment(request("refused", TOO_MUCH)).await);
    claim(&sidecar, &paid.decision_id).await;
    let subject = Some(v1::Subject { kind: "workflow".to_owned(), name: "market-research".to_owned() });
    let act = v1::LifecycleRequest { subject, reason: "month end".to_owned() };
    let done = sidecar.governance().await.suspend(act).await.unwrap().into_inner().result;
    let Some(Acted::Done(done)) = done else { panic!("{done:?}") };
    let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
    assert!(sidecar.stop().success());
    settle(&purse, &status.journal_id, 3);
    let sidecar = purse.serve();
    let table: [(&str, &[&str]); 6] = [
        (
            &paid.decision_id,
            &[
                "Record 3: a payment over $0.001 of agent `crawler`: PERMITTED",
                "`crawler`, authenticated as uid",
                "`market-research`, which nobody named",
                URL,
                "task = forecast",
                "offer 0 (chosen): could be signed",
                "pays      $0.001: 1000 atomic units",
                "nonce     ",
                "judged by bundle",
                "reissue: the payment of record 3, handed out again",
                "claims: the payment of record 3 failed: HTTP 503",
                "So, by record 8, it cost $0.001.",
            ],
        ),
        (
            &refused.decision_id,
            &[
                "DENIED, CEILING_EXCEEDED",
                "CEILING_EXCEEDED means: A ceiling would be exceeded",
                "ceilings.workflow.usd.payment",
                "workflow `market-research` may",
                "$0.05",
                "$0.06",
            ],
        ),
        ("6", &["a report of agent `crawler`", "moves no money", "record 3,", "So,"]),
        (
            "8",
            &[
                "evidence from a chain",
                "2 nodes agreed on block 31337",
                "the payment over $0.001 of agent `crawler`",
            ],
        ),
        (&done.decision_id, &["an operator's act", "suspend workflow `market-research`", "why    month end"]),
        ("1", &["the journal begins", &status.journal_id]),
    ];
    for (record, words) in table {
        let told = purse.exits(0, &["audit", "explain", record]);
        for word in words {
            let expected = *word != "So," || record != "6";
            assert_eq!(told.contains(word), expected, "`{word}` of record {record}:\n{told}");
        }
        assert!(!told.contains('\u{1b}'), "what an agent wrote moves no cursor");
        let json: Value =
            serde_json::from_str(&purse.exits(0, &["audit", "explain", record, "--output", "json"])).unwrap();
        assert_eq!(json["record"]["seq"], json["seq"]);
    }
    let json: Value =
        serde_json::from_str(&purse.exits(0, &["audit", "explain", "3", "--output", "json"])).unwrap();
    let story: Vec<u64> =
        json["story"].as_array().unwrap().iter().map(|other| other["seq"].as_u64().unwrap()).collect();
    assert_eq!(story, [4, 6, 8]);
    let shown = purse.exits(0, &["audit", "show", "5"]);
    for member in ["leaf_hash", "CEILING_EXCEEDED", "payTo", "fingerprint", "boot_id"] {
        assert!(shown.contains(member), "`{member}`:\n{shown}");
    }
    assert!(purse.exits(1, &["audit", "show", "99"]).contains("there is no record 99"));
    drop(sidecar);
}

#[tokio::test]
async fn tables_lines_and_counts_are_of_what_was_asked_for() {
    let purse = purse();
    let sidecar = purse.serve();
    pay(&sidecar, 0..30).await;
    let lines = |args: &[&str]| purse.exits(0, args).lines().count();
    assert_eq!(lines(&["audit", "tail", "-n", "5"]), 5);
    assert_eq!(lines(&["audit", "tail", "-n", "5", "--decision", "deny"]), 5);
    assert_eq!(lines(&["audit", "tail", "--since", "1h"]), 32);
    assert_eq!(lines(&["audit", "tail", "--until", "1h"]), 0);
    assert_eq!(lines(&["audit", "query", "--code", "CEILING_EXCEEDED", "--output", "json"]), 10);
    assert_eq!(lines(&["audit", "query", "--newest", "--limit", "3"]), 4, "with a heading");
    assert!(purse.exits(0, &["audit", "query", "--kind", "evidence"]).contains("no record fits"));
    assert!(purse.exits(2, &["audit", "query", "--kind", "bribe"]).contains("payment"));
    assert!(purse.exits(1, &["audit", "query", "--code", "BRIBE"]).contains("POLICY_GUIDE"));
    let stats: Value =
        serde_json::from_str(&purse.exits(0, &["audit", "stats", "--output", "json"])).unwrap();
    assert_eq!(stats["total"]["records"], 32);
    assert_eq!(stats["codes"]["CEILING_EXCEEDED"]["denied"], 10);
    assert_eq!(stats["endpoints"]["api.example.com/v1/report"]["records"], 30);
    assert_eq!(stats["agents"]["crawler"]["usd_permitted"], "0.000016");
    let table = purse.exits(0, &["audit", "stats", "--workflow", "market-research"]);
    for word in ["30 records", "CEILING_EXCEEDED", "api.example.com/v1/report", "crawler", "10 denied"] {
        assert!(table.contains(word), "`{word}`:\n{table}");
    }
}

/// A command that goes on, and the lines it writes.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(purse: &Purse, args: &[&str]) -> Self {
        let mut child = purse.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || stdout.lines().try_for_each(|line| sender.send(line.unwrap())));
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let output = self.child.wait_with_output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test]
async fn a_tail_that_follows_survives_restarts() {
    let purse = purse();
    let mut sidecar = purse.serve();
    let follow = |more: &[&str]| {
        Running::start(&purse, &[&["audit", "tail", "-f", "--output", "json"], more].concat())
    };
    let (whole, refused) = (follow(&[]), follow(&["--decision", "deny"]));
    let seq = |line: String| serde_json::from_str::<Value>(&line).unwrap()["seq"].as_u64().unwrap();
    let (mut shown, mut shown_refused) = (0, 0);
    for round in 0..3 {
        pay(&sidecar, round * 20..round * 20 + 12).await;
        let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
        while shown < status.seq {
            shown += 1;
            assert_eq!(seq(whole.line()), shown);
        }
        for expected in seqs(&query(&sidecar, denials(), 1_000, false).await).into_iter().skip(shown_refused)
        {
            shown_refused += 1;
            assert_eq!(seq(refused.line()), expected);
        }
        if round == 0 {
            sidecar.kill();
        } else {
            assert!(sidecar.stop().success());
        }
        sidecar = purse.serve();
    }
    assert_eq!(shown_refused, 12);
    for tail in [whole, refused] {
        let notes = tail.end();
        assert!(notes.contains("waiting to go on after record"), "{notes}");
        assert!(notes.contains("the sidecar is back"), "{notes}");
    }
}

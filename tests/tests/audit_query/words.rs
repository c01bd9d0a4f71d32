//! The command line: lines, tables, stories and counts.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use pursekeeper_api::v1;
use pursekeeper_api::v1::lifecycle_response::Result as Acted;
use pursekeeper_core::ports::{Journal as _, Judged, Urgency};
use pursekeeper_core::{Amount, ChainId, Entry, Evidence, HoldState, JournalId, Moment, Observation, Usd};
use pursekeeper_journal::SqliteJournal;
use pursekeeper_tests::{Purse, Sidecar, URL, denied, request, signed};
use serde_json::Value;

use super::{PATIENCE, denials, first, pay, purse, query, seqs, whole};

/// More than the workflow may pay at once: refused.
const TOO_MUCH: &str = "60000";

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
    purse.replace("policies/registry.yaml", "teams: [treasury] }", "teams: [treasury, research] }");
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
    let _ = whole(&sidecar).await;
    let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
    assert!(sidecar.stop().success());
    let seq = |decision_id: &str| decision_id.split_once('-').unwrap().1.parse::<u64>().unwrap();
    let permit = seq(&paid.decision_id);
    settle(&purse, &status.journal_id, permit);
    let sidecar = purse.serve();
    let whole = whole(&sidecar).await;
    let [report, evidence, reissue, signature] =
        ["report", "evidence", "reissue", "signature"].map(|kind| first(&whole, kind));
    let (headline, handed_out, so) = (
        format!("Record {permit}: a payment over $0.001 of agent `crawler`: PERMITTED"),
        format!("reissue: the payment of record {permit}, handed out again"),
        format!("So, by record {evidence}, it cost $0.001."),
    );
    let (report, evidence) = (report.to_string(), evidence.to_string());
    let table: [(&str, &[&str], &[&str]); 6] = [
        (
            &paid.decision_id,
            &[
                &headline,
                "`crawler`, authenticated as uid",
                "`market-research`, which nobody named",
                URL,
                "task = forecast",
                "offer 0 (chosen): could be signed",
                "pays      $0.001: 1000 atomic units",
                "nonce     ",
                "judged by bundle",
                "workflow `market-research`, per payment: $0.001, of at most $0.05",
                "workflow `market-research`, per day: $0",
                "signature: signed, SHA-256 of the signature",
                &handed_out,
                "failed: HTTP 503",
                &so,
            ],
            &["No chain has said"],
        ),
        (
            &refused.decision_id,
            &[
                "DENIED, CEILING_EXCEEDED",
                "CEILING_EXCEEDED means: A ceiling would be exceeded",
                "ceilings.workflow.usd.payment",
                "workflow `market-research` may take $0.05 per payment, and this one takes $0.06: it would need $0.01 more",
            ],
            &["So,"],
        ),
        (&report, &["a report of agent `crawler`", "moves no money", "the payment over $0.001"], &["So,"]),
        (
            &evidence,
            &["evidence from a chain", "2 nodes agreed on block 31337", "the payment over $0.001 of agent"],
            &[],
        ),
        (
            &done.decision_id,
            &["an operator's act", "suspend workflow `market-research`", "why    month end"],
            &["DENIED"],
        ),
        ("1", &["the journal begins", &status.journal_id], &["No chain"]),
    ];
    for (record, words, not) in table {
        let told = purse.exits(0, &["audit", "explain", record]);
        words.iter().for_each(|word| assert!(told.contains(word), "`{word}` of record {record}:\n{told}"));
        not.iter().for_each(|word| assert!(!told.contains(word), "`{word}` of record {record}:\n{told}"));
        assert!(!told.contains('\u{1b}'), "what an agent wrote moves no cursor");
        let told = purse.exits(0, &["audit", "explain", record, "--output", "json"]);
        let json: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(json["record"]["seq"], json["seq"]);
        if record == paid.decision_id {
            let story = json["story"].as_array().unwrap().iter();
            let story: BTreeSet<u64> = story.map(|other| other["seq"].as_u64().unwrap()).collect();
            for other in [reissue, signature, report.parse().unwrap(), evidence.parse().unwrap()] {
                assert!(story.contains(&other), "record {other} is not in {story:?}");
            }
        }
    }
    let refused = seq(&refused.decision_id).to_string();
    let shown = purse.exits(0, &["audit", "show", &refused]);
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
    let whole = whole(&sidecar).await.len();
    let lines = |args: &[&str]| purse.exits(0, args).lines().count();
    assert_eq!(lines(&["audit", "tail", "-n", "5"]), 5);
    assert_eq!(lines(&["audit", "tail", "-n", "5", "--decision", "deny"]), 5);
    assert_eq!(lines(&["audit", "tail", "--since", "1h"]), whole);
    assert_eq!(lines(&["audit", "tail", "--until", "1h"]), 0);
    assert_eq!(lines(&["audit", "query", "--code", "CEILING_EXCEEDED", "--output", "json"]), 10);
    assert_eq!(lines(&["audit", "query", "--newest", "--limit", "3"]), 4, "with a heading");
    assert!(purse.exits(0, &["audit", "query", "--kind", "evidence"]).contains("no record fits"));
    assert!(purse.exits(2, &["audit", "query", "--kind", "bribe"]).contains("payment"));
    assert!(purse.exits(1, &["audit", "query", "--code", "BRIBE"]).contains("POLICY_GUIDE"));
    let stats: Value =
        serde_json::from_str(&purse.exits(0, &["audit", "stats", "--output", "json"])).unwrap();
    assert_eq!(stats["total"]["records"], whole);
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

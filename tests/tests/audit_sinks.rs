//! Sinks of the audit trail, through the real binary: what they get whatever happens to it, and what happens when they do
//! not take it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pursekeeper_api::v1;
use pursekeeper_journal::Reader;
use pursekeeper_tests::{PAYEE, Purse, Sidecar, URL, denied, reason, request, signed};
use serde_json::{Value, json};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long anything may take on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// A purse whose sidecar has these sinks, one a line.
fn purse(sinks: &[&str]) -> Purse {
    let purse = Purse::init();
    let lines: String = sinks.iter().map(|sink| format!("    - {sink}\n")).collect();
    purse.replace("pursekeeper.yaml", "\nlog:\n", &format!("\naudit:\n  sinks:\n{lines}\nlog:\n"));
    purse
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < PATIENCE, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn pay(sidecar: &Sidecar, id: &str) -> v1::Signed {
    signed(sidecar.signer().await.sign_payment(request(id, "1000")).await)
}

/// What `audit sinks` says of one.
fn told(purse: &Purse, name: &str) -> Value {
    let text = purse.exits(0, &["audit", "sinks", "--output", "json"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    let sinks = all["sinks"].as_array().unwrap();
    sinks.iter().find(|sink| sink["name"] == name).cloned().unwrap_or_else(|| panic!("no `{name}`: {text}"))
}

async fn caught_up(purse: &Purse, name: &str) {
    until("the sink has everything", async || told(purse, name)["lag_records"] == 0).await;
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Every record of the journal stands in the lines, in order. One may come again, with all that came after it.
fn complete(purse: &Purse, lines: &[Value]) {
    let reader = Reader::open(&purse.file("journal/pursekeeper.db")).unwrap();
    let records = reader.records(1, 1_000).unwrap();
    let (mut next, mut before) = (1, 0);
    for line in lines {
        let seq = line["seq"].as_u64().unwrap();
        assert!(seq <= next && (seq == before + 1 || seq < next), "{seq} after {before}");
        next = next.max(seq + 1);
        before = seq;
        let record = &records[usize::try_from(seq).unwrap() - 1];
        assert_eq!(line["chain_hash"], record.chain.to_string());
        assert_eq!(line["leaf_hash"], record.leaf.to_string());
        assert_eq!(line["record"].to_string().as_bytes(), record.body, "byte for byte");
        assert_eq!(line["decision_id"], reader.summary(record).unwrap().decision_id);
        assert_eq!((&line["journal"], &line["masked"]), (&json!(reader.id().to_string()), &json!([])));
    }
    assert_eq!(next, reader.last_seq().unwrap() + 1, "all of them");
}

#[tokio::test]
async fn a_file_gets_every_record_in_order_however_often_the_sidecar_is_killed() {
    let purse = purse(&["{name: lines, format: json, file: {path: audit.jsonl}, batch_records_max: 3}"]);
    let path = purse.file("audit.jsonl");
    for round in 0..6 {
        let sidecar = purse.serve();
        for payment in 0..5 {
            let _ = pay(&sidecar, &format!("r-{round}-{payment}")).await;
        }
        let refused =
            sidecar.signer().await.sign_payment(request(&format!("d-{round}"), "999999999999")).await;
        let _ = denied(refused);
        sidecar.kill();
        // What a crash in the middle of a write leaves.
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        file.write_all(br#"{"journal":"ha"#).unwrap();
    }
    let sidecar = purse.serve();
    caught_up(&purse, "lines").await;
    assert_eq!(sidecar.stop().code(), Some(0));
    complete(&purse, &lines(&path));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(purse.exits(0, &["audit", "verify"]).contains("verified"));
}

#[tokio::test]
async fn a_sidecar_that_stops_lets_its_sinks_have_the_rest() {
    // A file that is full is rotated between two batches.
    let file = "{path: audit.jsonl, rotate_bytes_max: 3000}";
    let purse = purse(&[&format!("{{name: lines, format: json, batch_records_max: 4, file: {file}}}")]);
    let sidecar = purse.serve();
    for payment in 0..8 {
        let _ = pay(&sidecar, &format!("r-{payment}")).await;
    }
    assert_eq!(sidecar.stop().code(), Some(0));
    assert_eq!(told(&purse, "lines")["lag_records"], 0, "and the cursor says so");
    let rotated = (1..=10).rev().map(|number| purse.file(&format!("audit.jsonl.{number}")));
    let paths: Vec<_> = rotated.chain([purse.file("audit.jsonl")]).filter(|path| path.exists()).collect();
    assert!(paths.len() > 1, "it was rotated");
    complete(&purse, &paths.iter().flat_map(|path| lines(path)).collect::<Vec<_>>());
}

async fn health(sidecar: &Sidecar) -> ServingStatus {
    let channel = pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap();
    let check = HealthCheckRequest { service: "pursekeeper.v1.Signer".to_owned() };
    HealthClient::new(channel).check(check).await.unwrap().into_inner().status()
}

#[tokio::test]
async fn a_sink_that_cannot_be_written_stops_nobody() {
    let purse = purse(&["{name: lines, format: json, file: {path: absent/audit.jsonl}, retry_ms_max: 300}"]);
    let sidecar = purse.serve();
    until("its failure is told", async || sidecar.log().contains("the sink takes no records")).await;
    let _ = pay(&sidecar, "a").await;
    assert_eq!(health(&sidecar).await, ServingStatus::Serving);
    assert!(told(&purse, "lines")["lag_records"].as_u64().unwrap() >= 2);
    fs::create_dir(purse.file("absent")).unwrap();
    caught_up(&purse, "lines").await;
    until("its recovery is told", async || sidecar.log().contains("the sink takes records again")).await;
    assert_eq!(sidecar.log().matches("the sink takes no records").count(), 1, "once, not for each try");
    drop(sidecar);
    complete(&purse, &lines(&purse.file("absent/audit.jsonl")));
}

#[tokio::test]
async fn without_a_required_sink_nothing_is_signed_but_stops_are_in_force() {
    let purse = purse(&[
        "{name: siem, format: json, file: {path: absent/audit.jsonl}, required: true, lag_secs_max: 1, retry_ms_max: 300}",
    ]);
    let sidecar = purse.serve();
    let mut last = 0;
    until("nothing is signed", async || {
        last += 1;
        match sidecar.signer().await.sign_payment(request(&format!("r-{last}"), "1000")).await {
            Ok(_) => false,
            Err(status) => {
                assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SINK_BEHIND"));
                assert!(
                    status.message().contains("`siem`") && status.message().contains("absent"),
                    "{status}"
                );
                true
            }
        }
    })
    .await;
    until("health says so", async || health(&sidecar).await == ServingStatus::NotServing).await;
    let _ = purse.exits(0, &["wallet", "suspend", "research-hot", "--reason", "drill"]);
    let _ = purse.exits(0, &["wallet", "resume", "research-hot", "--reason", "drill"]);
    fs::create_dir(purse.file("absent")).unwrap();
    until("it recovers by itself", async || health(&sidecar).await == ServingStatus::Serving).await;
    let _ = pay(&sidecar, "again").await;
    caught_up(&purse, "siem").await;
    drop(sidecar);
    complete(&purse, &lines(&purse.file("absent/audit.jsonl")));
}

#[tokio::test]
async fn what_is_masked_reaches_no_sink_in_any_form() {
    let mask = "mask: {key_file: mask.key, fields: [/asked/endpoint/url, /intent/terms/payee]}";
    let json = format!("{{name: lines, format: json, file: {{path: audit.jsonl}}, {mask}}}");
    let ocsf = format!("{{name: events, format: ocsf, file: {{path: events.jsonl}}, {mask}}}");
    let purse = purse(&[&json, &ocsf]);
    fs::write(purse.file("mask.key"), [9; 32]).unwrap();
    fs::set_permissions(purse.file("mask.key"), fs::Permissions::from_mode(0o644)).unwrap();
    for verb in ["serve", "check"] {
        assert!(purse.exits(1, &[verb]).contains("chmod 600"), "{verb}");
    }
    fs::set_permissions(purse.file("mask.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let sidecar = purse.serve();
    let _ = (pay(&sidecar, "a").await, pay(&sidecar, "b").await);
    assert_eq!(sidecar.stop().code(), Some(0));
    for file in ["audit.jsonl", "events.jsonl"] {
        let text = fs::read_to_string(purse.file(file)).unwrap().to_lowercase();
        assert!(
            !text.contains(&URL.to_lowercase()) && !text.contains(&PAYEE.to_lowercase()),
            "{file}: {text}"
        );
        assert!(text.contains("hmac-sha256:"));
    }
    let payments = lines(&purse.file("audit.jsonl"));
    let payments: Vec<&Value> = payments.iter().filter(|line| line["record"]["kind"] == "payment").collect();
    let [url, payee] = ["/record/asked/endpoint/url", "/record/intent/terms/payee"]
        .map(|pointer| payments.iter().map(|line| line.pointer(pointer).unwrap()).collect::<Vec<_>>());
    assert!(url.len() == 2 && url[0] == url[1] && payee[0] == payee[1] && url[0] != payee[0]);
    assert!(payments[0]["masked"].as_array().unwrap().contains(&json!("/intent/terms/payee")));
    let exported = purse.exits(
        0,
        &[
            "audit",
            "export",
            "--mask-key-file",
            purse.file("mask.key").to_str().unwrap(),
            "--mask",
            "/asked/endpoint/url",
            "--mask",
            "/intent/terms/payee",
        ],
    );
    assert_eq!(exported, fs::read_to_string(purse.file("audit.jsonl")).unwrap(), "the export is the same");
}

#[tokio::test]
async fn standard_output_gets_lines_and_a_reader_that_hangs_stops_nobody() {
    let purse = purse(&["{name: out, format: ocsf, stdout: true}"]);
    let mut command = purse.command(&["serve"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let first = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line).unwrap();
        (line, stdout)
    });
    let (line, stdout) = first.await.unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["class_uid"], &event["metadata"]["sequence"]), (&json!(6003), &json!(1)));
    let mut signer =
        pursekeeper_api::Signer::new(pursekeeper_api::connect(purse.file("run/agent.sock")).await.unwrap());
    // A pipe holds 64 KiB; after that the sink hangs in its write.
    for payment in 0..40 {
        let _ = signed(signer.sign_payment(request(&format!("r-{payment}"), "1")).await);
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    let status = tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    drop(stdout);
}

#[tokio::test]
async fn a_cursor_outlives_its_sink_and_an_older_copy_of_the_journal_is_noticed() {
    let purse = purse(&["{name: lines, format: json, file: {path: audit.jsonl}}"]);
    assert_eq!(purse.serve().stop().code(), Some(0));
    let older = purse.copy();
    let sidecar = purse.serve();
    let _ = pay(&sidecar, "a").await;
    assert_eq!(sidecar.stop().code(), Some(0));
    fs::copy(purse.file("audit.jsonl"), older.file("audit.jsonl")).unwrap();
    let text = older.exits(1, &["serve"]);
    assert!(text.contains("older copy") && text.contains("`lines`"), "{text}");
    purse.replace("pursekeeper.yaml", "name: lines", "name: renamed");
    assert_eq!(told(&purse, "lines")["configured"], false);
    assert!(purse.exits(0, &["audit", "sinks"]).contains("not configured any more"));
    assert_eq!(told(&purse, "renamed")["acked"], 0);
    assert_eq!(purse.serve().stop().code(), Some(0));
    assert_eq!(told(&purse, "renamed")["lag_records"], 0, "another name begins at the first record");
    assert_eq!(lines(&purse.file("audit.jsonl")).iter().filter(|line| line["seq"] == 1).count(), 2);
}

#[tokio::test]
async fn a_part_of_the_journal_is_exported() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let _ = (pay(&sidecar, "a").await, pay(&sidecar, "b").await);
    assert_eq!(sidecar.stop().code(), Some(0));
    let last = Reader::open(&purse.file("journal/pursekeeper.db")).unwrap().last_seq().unwrap();
    let table: [(&[&str], Vec<u64>); 4] = [
        (&[], (1..=last).collect()),
        (&["--from", "2", "--to", "3"], vec![2, 3]),
        (&["--from", "2", "--to", "99"], (2..=last).collect()),
        (&["--from", "99"], vec![]),
    ];
    for (args, expected) in table {
        for (format, pointer) in [("json", "/seq"), ("ocsf", "/metadata/sequence")] {
            let text = purse.exits(0, &[&["audit", "export", "--format", format], args].concat());
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let seqs: Vec<u64> = lines.map(|line| line.pointer(pointer).unwrap().as_u64().unwrap()).collect();
            assert_eq!(seqs, expected, "{args:?} {format}");
        }
    }
    let _ = purse.exits(2, &["audit", "export", "--mask", "/denial"]);
}

#[test]
fn every_problem_of_the_sinks_is_listed() {
    let purse = purse(&[
        "{name: a, format: json}",
        "{name: a, format: otlp, endpoint: here, batch_records_max: 0}",
        "{name: b, format: json, stdout: true, mask: {key_file: k, fields: [/seq]}}",
    ]);
    for verb in ["serve", "check"] {
        let text = purse.exits(1, &[verb]);
        for part in [
            "either `stdout: true`",
            "two are called `a`",
            "http://",
            "batch_records_max",
            "cannot be masked",
        ] {
            assert!(text.contains(part), "{verb} does not say `{part}`: {text}");
        }
    }
    purse.replace("pursekeeper.yaml", "name: b", "name: b, surprise: 1");
    assert!(purse.exits(1, &["check"]).contains("surprise"));
}

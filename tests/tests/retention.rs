//! The real binary archives, deletes, and watches its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pursekeeper::clock::Clock;
use pursekeeper_api::v1;
use pursekeeper_core::ports::{Journal as _, Judged, Urgency};
use pursekeeper_core::{Checkpoint, Digest, Entry, Moment, Transition};
use pursekeeper_custody::{Keystore, Passphrase};
use pursekeeper_journal::{Frontier, Reader, SqliteJournal};
use pursekeeper_tests::{Purse, Sidecar, reason, request, signed};
use rusqlite::Connection;
use tonic::Code;

const DAY_MS: u64 = 86_400_000;
/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// More asks than fit into the log.
const ASKS_MAX: usize = 20_000;

fn journal(purse: &Purse) -> PathBuf {
    purse.file("journal/pursekeeper.db")
}

/// A purse whose journal has `records` records of ten days ago.
fn purse_with_a_past(records: u64) -> Purse {
    let purse = Purse::init();
    let id = Reader::open(&journal(&purse)).unwrap().id();
    fs::remove_dir_all(purse.file("journal")).unwrap();
    fs::create_dir(purse.file("journal")).unwrap();
    let begun = Moment { unix_ms: Clock::new().now().unix_ms - 10 * DAY_MS, boot_ms: 5, boot_id: [9; 16] };
    let path = journal(&purse);
    let mut journal = SqliteJournal::create(&path, begun, id).unwrap();
    let entry = |n: u64| {
        let at = Moment { unix_ms: begun.unix_ms + n, boot_ms: begun.boot_ms + n, ..begun };
        let (completed, statuses) = (BTreeSet::new(), Vec::new());
        Entry::Transition(Box::new(Transition {
            at,
            bundle: Digest([7; 32]).into(),
            reviewed: None,
            completed,
            statuses,
        }))
    };
    let entries: Vec<Entry> = (1..records).map(entry).collect();
    journal.commit(begun, Urgency::Payment, &entries, |entry, _| Ok(Judged::Entry(entry.clone()))).unwrap();
    purse.replace(
        "pursekeeper.yaml",
        "limits:\n",
        &format!("limits:\n  clock_reboot_ms_max: {}\n", 20 * DAY_MS),
    );
    purse
}

/// A signed checkpoint over the first `size` records.
fn checkpoint(purse: &Purse, size: u64) {
    let keystore = Keystore::open(purse.file("keystore")).unwrap();
    let passphrase = Passphrase::from_file(purse.file("passphrase")).unwrap();
    let key = keystore.load_audit_key(&passphrase).unwrap();
    let reader = Reader::open(&journal(purse)).unwrap();
    let mut tree = Frontier::default();
    while tree.size() < size {
        for record in reader.records(tree.size() + 1, usize::try_from(size - tree.size()).unwrap()).unwrap() {
            tree = tree.with(record.leaf).unwrap();
        }
    }
    let note = key.sign(&Checkpoint { journal: reader.id(), size, root: tree.root().unwrap() });
    let mut journal = SqliteJournal::open(&journal(purse), reader.id()).unwrap();
    journal.keep_checkpoint(size, &note).unwrap();
}

fn configure(purse: &Purse, archive: &str) {
    let text = fs::read_to_string(purse.file("pursekeeper.yaml")).unwrap();
    assert!(!text.contains("\naudit:"), "{text}");
    fs::write(purse.file("pursekeeper.yaml"), format!("{text}\naudit:\n  archive: {archive}\n")).unwrap();
}

async fn status_when(sidecar: &Sidecar, wanted: impl Fn(&v1::StatusResponse) -> bool) -> v1::StatusResponse {
    let begun = Instant::now();
    loop {
        let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
        if wanted(&status) {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "{status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn storage(status: &v1::StatusResponse) -> v1::StorageStatus {
    status.storage.unwrap_or_default()
}

fn segments(purse: &Purse) -> BTreeMap<u64, PathBuf> {
    let files = fs::read_dir(purse.file("archive")).unwrap().map(|file| file.unwrap().path());
    let first = |path: &PathBuf| path.to_str().unwrap().rsplit('-').nth(1).unwrap().parse().unwrap();
    files.map(|path| (first(&path), path)).collect()
}

#[tokio::test]
async fn what_is_old_is_archived_and_deleted_while_payments_go_on() {
    let purse = purse_with_a_past(1_500);
    configure(&purse, "{dir: archive, segment_records: 200, keep_days: 9, interval_secs: 1}");
    checkpoint(&purse, 150);
    checkpoint(&purse, 250);
    checkpoint(&purse, 450);
    checkpoint(&purse, 1_400);
    let sidecar = purse.serve();
    let paid = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let status = status_when(&sidecar, |status| storage(status).pruned_through == 450).await;
    assert_eq!((storage(&status).archived_through, status.warnings.clone()), (1_400, Vec::<String>::new()));
    assert!(storage(&status).free_bytes > 0 && storage(&status).wal_bytes > 0, "{status:?}");
    let files = segments(&purse);
    assert_eq!(files.keys().copied().collect::<Vec<_>>(), [1, 251, 451]);
    let left = Reader::open(&journal(&purse)).unwrap().records(1, 10).unwrap();
    assert_eq!(left.iter().map(|record| record.seq).take(2).collect::<Vec<_>>(), [1, 451]);
    assert_eq!(signed(sidecar.signer().await.sign_payment(request("a", "1000")).await), paid);

    let names: Vec<&str> = files.values().map(|path| path.to_str().unwrap()).collect();
    let verified = purse.exits(0, &[&["audit", "verify", "--archive"], names.as_slice()].concat());
    assert!(verified.contains("verified records 1 to 1400"), "{verified}");
    let verified = purse.exits(0, &["audit", "verify"]);
    assert!(verified.contains("verified ") && !verified.contains("not checked"), "{verified}");
    let database = purse.file("analysis.db");
    let into = ["--into", database.to_str().unwrap()];
    let imported = purse.exits(0, &[&["audit", "import"], names.as_slice(), into.as_slice()].concat());
    assert!(imported.contains("imported records 1 to 1400"), "{imported}");
    let shown = purse.exits(0, &["status"]);
    assert!(shown.contains("archived up to record 1400, deleted up to 450"), "{shown}");
    nothing_is_passed_over_in_silence(&sidecar).await;
    assert_eq!(sidecar.stop().code(), Some(0));

    fs::remove_file(&files[&1]).unwrap();
    let lost = purse.exits(1, &["audit", "verify"]);
    assert!(lost.contains("put the file back"), "{lost}");
}

/// Whoever follows or asks learns that records up to 450 are not here.
async fn nothing_is_passed_over_in_silence(sidecar: &Sidecar) {
    let mut audit = sidecar.audit().await;
    for (from_seq, expected) in [(1, Some(1)), (2, None), (450, None), (451, Some(451))] {
        let request = v1::WatchRequest { from_seq, until_now: true, ..Default::default() };
        let first = audit.watch(request).await.unwrap().into_inner().message().await;
        match expected {
            Some(seq) => assert_eq!(first.unwrap().unwrap().seen_seq, seq),
            None => {
                let status = first.unwrap_err();
                assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "ARCHIVED"));
                assert!(status.message().contains("up to 450"), "{status}");
            }
        }
    }
    let page = audit.query(v1::QueryRequest::default()).await.unwrap().into_inner();
    assert_eq!(page.pruned_through, 450);
}

#[tokio::test]
async fn records_that_a_required_sink_has_not_taken_stay_and_somebody_is_told() {
    let purse = purse_with_a_past(1_500);
    configure(
        &purse,
        "{dir: archive, segment_records: 200, keep_days: 9, interval_secs: 1}\n  sinks:\n    - { name: siem, format: json, file: \
         { path: absent/audit.jsonl }, required: true, lag_secs_max: 3600 }",
    );
    checkpoint(&purse, 250);
    let sidecar = purse.serve();
    let status = status_when(&sidecar, |status| !status.warnings.is_empty()).await;
    assert!(status.warnings.iter().any(|warning| warning.contains("siem")), "{status:?}");
    assert!(storage(&status).archived_through >= 250 && storage(&status).pruned_through == 0, "{status:?}");
}

#[tokio::test]
async fn a_checkpoint_file_older_than_what_left_keeps_nobody_from_starting() {
    let purse = purse_with_a_past(1_500);
    configure(
        &purse,
        "{dir: archive, segment_records: 200, keep_days: 9, interval_secs: 1}\n  checkpoint: { file: kept }",
    );
    checkpoint(&purse, 100);
    checkpoint(&purse, 250);
    let sidecar = purse.serve();
    let _ = status_when(&sidecar, |status| storage(status).pruned_through == 250).await;
    assert_eq!(sidecar.stop().code(), Some(0));
    let old = Reader::open(&journal(&purse)).unwrap().checkpoint_at(100).unwrap().unwrap();
    fs::write(purse.file("kept"), old).unwrap();
    assert_eq!(purse.serve().stop().code(), Some(0));
    let newest = fs::read_to_string(purse.file("kept")).unwrap();
    assert!(newest.lines().nth(1).unwrap().parse::<u64>().unwrap() > 1_500, "{newest}");
}

#[tokio::test]
async fn records_stay_while_their_file_is_not_there_and_somebody_is_told() {
    let purse = purse_with_a_past(1_500);
    configure(&purse, "{dir: archive, segment_records: 200, interval_secs: 1}");
    checkpoint(&purse, 250);
    let sidecar = purse.serve();
    let _ = status_when(&sidecar, |status| storage(status).archived_through >= 250).await;
    assert_eq!(sidecar.stop().code(), Some(0));
    fs::rename(&segments(&purse)[&1], purse.file("elsewhere")).unwrap();
    purse.replace("pursekeeper.yaml", "segment_records: 200", "keep_days: 1");
    let sidecar = purse.serve();
    let status = status_when(&sidecar, |status| !status.warnings.is_empty()).await;
    assert!(status.serving && status.warnings[0].contains("put the file back"), "{status:?}");
    assert_eq!(storage(&status).pruned_through, 0);
}

#[tokio::test]
async fn a_journal_over_its_budget_warns_and_goes_on() {
    let purse = Purse::init();
    configure(
        &purse,
        &format!("{{interval_secs: 1, disk: {{journal_bytes_max: 1, free_bytes_min: {}}}}}", u64::MAX / 4),
    );
    let sidecar = purse.serve();
    let status = status_when(&sidecar, |status| status.warnings.len() == 2).await;
    assert!(
        status.warnings[0].contains("journal_bytes_max") && status.warnings[1].contains("free_bytes_min")
    );
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert!(purse.exits(0, &["status"]).contains("warning: "));
}

#[tokio::test]
async fn a_reader_that_does_not_end_stops_payments_before_the_disk_is_full() {
    let purse = Purse::init();
    purse.lift_call_limits();
    configure(&purse, &format!("{{interval_secs: 1, disk: {{wal_bytes_max: {}}}}}", 16 << 20));
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let _ = signed(signer.sign_payment(request("first", "1000")).await);
    let stuck = Connection::open(journal(&purse)).unwrap();
    stuck.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    let mut asked = 0;
    let refused = loop {
        assert!(asked < ASKS_MAX, "the log grows for ever");
        asked += 1;
        if let Err(refused) = signer.sign_payment(request(&format!("id-{asked}"), "1000")).await {
            break refused;
        }
    };
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "JOURNAL_UNWRITABLE"));
    let status = status_when(&sidecar, |status| !status.warnings.is_empty()).await;
    assert!(!status.serving && status.problems[0].contains("fuser -v"), "{status:?}");
    assert!(status.warnings[0].contains("keeps reading the journal"), "{status:?}");
    assert!(storage(&status).wal_bytes < 64 << 20, "{status:?}");
    stuck.execute_batch("COMMIT").unwrap();
    let _ = status_when(&sidecar, |status| status.serving).await;
    let _ = signed(signer.sign_payment(request("first", "1000")).await);
    std::mem::forget(stuck);
    assert_eq!(sidecar.stop().code(), Some(0));
}

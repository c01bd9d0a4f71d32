//! What a decision costs, compared with one durable row. Run in release, with `TMPDIR` on a disk:
//! `cargo test --release -p pursekeeper-journal speed -- --ignored --nocapture`

use std::time::{Duration, Instant};

use pursekeeper_core::ports::{Journal as _, Judged, Ledger, Urgency};
use pursekeeper_core::{Entry, Intent, Scope};
use rusqlite::Connection;

use crate::SqliteJournal;
use crate::fixtures::{Home, NOW, Pay, evm, moment, record};
use crate::state::scopes_of;

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}

fn timed<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = what();
    (start.elapsed(), result)
}

/// One row as large as a record, in a database with the same settings and nothing else.
fn bare(home: &Home, rows: u32) -> Duration {
    let path = home.path().with_extension("bare");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (seq INTEGER PRIMARY KEY, body BLOB)",
        )
        .unwrap();
    // Into pages of the log that exist already, like the journal's.
    connection
        .execute_batch(
            "PRAGMA cache_size = 16; BEGIN; INSERT INTO t (body) VALUES (zeroblob(40000000)); ROLLBACK",
        )
        .unwrap();
    connection.execute_batch("PRAGMA cache_size = -2000").unwrap();
    let insert =
        || connection.prepare_cached("INSERT INTO t (body) VALUES (zeroblob(1950))").unwrap().execute([]);
    median((0..rows).map(|_| timed(|| insert().unwrap()).0).collect())
}

/// Asks what the gate asks, then permits. What the gate itself costs is not counted.
fn decide(journal: &mut SqliteJournal, pays: &[Pay]) -> Duration {
    let entries: Vec<(Entry, Intent)> = pays.iter().map(|pay| (pay.permit(), pay.intent())).collect();
    let batch = |(entry, intent): &(Entry, Intent), ledger: &dyn Ledger| {
        ledger.prior(&intent.agent, &intent.request_id)?;
        for scope in entry.binding_permit().into_iter().flat_map(scopes_of) {
            assert!(ledger.totals(&scope).payments[4] < u64::MAX);
        }
        ledger.outstanding(&intent.agent, &intent.endpoint);
        Ok(Judged::Entry(entry.clone()))
    };
    let at = moment(pays.last().unwrap().at);
    let (taken, recorded) = timed(|| journal.commit(at, Urgency::Payment, &entries, batch));
    assert_eq!(recorded.unwrap().len(), pays.len());
    taken
}

#[test]
#[ignore = "measures; takes a minute; run alone and in release"]
fn speed() {
    let home = Home::new();
    let mut journal = home.create();
    let mut id = 0;
    let mut next = |count: u64| -> Vec<Pay> {
        id += count;
        (id - count..id).map(|id| Pay::new(id, NOW + id / 20)).collect()
    };
    let bare = bare(&home, 2_000);
    let mut singles = Vec::new();
    for round in 0..2_000 {
        singles.push(decide(&mut journal, &next(1)));
        if round % 500 == 499 {
            journal.checkpoint().unwrap();
        }
    }
    let mut batches = Vec::new();
    for _ in 0..100 {
        batches.push(decide(&mut journal, &next(64)));
        journal.checkpoint().unwrap();
    }
    let (single, batch) = (median(singles), median(batches));
    journal.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let volatile = median((0..2_000).map(|_| decide(&mut journal, &next(1))).collect());
    while journal.last_seq() < 100_000 {
        decide(&mut journal, &next(1_000));
    }
    record(&mut journal, &[Pay::new(u64::MAX, NOW).denied()]).unwrap();
    let before = journal.usage(&Scope::Wallet(evm(1)), pursekeeper_core::UnixSeconds(NOW));
    drop(journal);
    let (open, journal) = timed(|| home.open());
    let (again, journal) = timed(|| {
        drop(journal);
        home.open()
    });
    assert_eq!(journal.usage(&Scope::Wallet(evm(1)), pursekeeper_core::UnixSeconds(NOW)), before);
    let (verify, verified) = timed(|| home.reader().verify(|_, _| {}).unwrap());
    let size = std::fs::metadata(home.path()).unwrap().len();
    println!(
        "bare {bare:?}, single {single:?}, without fsync {volatile:?}, 64 {batch:?}, open {open:?} then {again:?}, \
         verify {verify:?} for {} records, {} bytes per record",
        verified.records,
        size / verified.records
    );
    assert!(single < bare * 3, "a decision costs {single:?}, one durable row {bare:?}");
    assert!(open < Duration::from_secs(1), "opening took {open:?}");
}

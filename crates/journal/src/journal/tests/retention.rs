//! What is deleted changes no answer; what somebody needs is never deleted.

use std::path::Path;

use pursekeeper_core::ports::{Urgency, Used};
use pursekeeper_core::{ActVerb, Claim, Entry, HoldState, Scope, Subject, UnixSeconds, Usd, WorkflowName};

use crate::fixtures::{
    Home, ID, NOW, Pay, accepted, act, changed, claimed, completed, evm, look, moment, record, resolved,
    settled_for,
};
use crate::state::State;
use crate::{Holds, JournalError, RECORDS_KEPT_MIN, Reader, Seal, Segment, SqliteJournal};

pub(super) const DAY: u64 = 86_400;

/// Permits of every fate, sign-ins, claims, acts and payees; the last of it is record 60 or so.
pub(super) fn eventful(journal: &mut SqliteJournal) -> u64 {
    let at = |n: u64| NOW + n * 60;
    for n in 0..8 {
        let pay = Pay {
            url: format!("https://api.example.com/v1/{}", n % 3),
            wallet: u8::try_from(n % 2 + 1).unwrap(),
            workflow: if n % 4 == 0 { "literature-review" } else { "figures" },
            usd: 1_000_000_000 * u128::from(n + 1),
            ..Pay::new(n, at(n))
        };
        record(journal, &[pay.permit()]).unwrap();
        let seq = journal.last_seq();
        record(journal, &[claimed(seq, Claim::Settled { transaction: None }, at(n))]).unwrap();
        match n % 3 {
            0 => drop(record(journal, &[resolved(seq, settled_for(Usd::from_units(500)), at(n))]).unwrap()),
            1 => drop(record(journal, &[resolved(seq, HoldState::Released, at(n))]).unwrap()),
            _ => {}
        }
        record(journal, &[pay.reissued(seq, at(n)), Pay::new(100 + n, at(n)).denied()]).unwrap();
        let sign_in = Pay { url: "https://api.example.com/login".to_owned(), ..Pay::new(200 + n, at(n)) };
        record(journal, &[sign_in.signed_in()]).unwrap();
    }
    let workflow = Subject::Workflow(WorkflowName::parse("figures").unwrap());
    let entries = [
        Pay { payee: 77, ..Pay::new(300, at(9)) }.pending(),
        Pay { payee: 78, ..Pay::new(301, at(9)) }.pending(),
        accepted("papers", evm(77), at(10)),
        act(ActVerb::Suspend, workflow.clone(), at(10)),
        act(ActVerb::Resume, workflow, at(11)),
        changed(completed(&[], at(12))),
    ];
    record(journal, &entries).unwrap();
    journal.last_seq()
}

/// Records that nobody needs, a second apart.
pub(super) fn quiet(journal: &mut SqliteJournal, records: u64, at: u64) {
    let entries: Vec<Entry> = (0..records).map(|n| Pay::new(10_000 + n, at + n).denied()).collect();
    for batch in entries.chunks(100) {
        record(journal, batch).unwrap();
    }
}

pub(super) fn archive(home: &Home, journal: &mut SqliteJournal, last: u64) -> Segment {
    home.checkpoint(last);
    let seal = Seal { dir: home.archive(), last, verifier: None };
    let segment = home.reader().archive(&seal, |_| true).unwrap();
    journal.note_segment(&segment).unwrap();
    segment
}

/// Deletes what may be deleted up to a record, as the sidecar does: a page, a transaction.
pub(super) fn prune(reader: &Reader, journal: &mut SqliteJournal, through: u64) -> u64 {
    for segment in reader.segments().unwrap().iter().filter(|segment| segment.last <= through) {
        journal.note_pruned(segment).unwrap();
    }
    let (mut after, mut deleted) = (0, 0);
    loop {
        let page = reader.prunable(after, through).unwrap();
        let Some(next) = page.next else { return deleted };
        deleted += page.records.len() as u64;
        journal.prune(&page.records).unwrap();
        after = next;
    }
}

/// Everything that is asked of a journal but the records themselves and holds that are over.
fn answers(path: &Path) -> (State, Vec<String>) {
    let reader = Reader::open(path).unwrap();
    let now = UnixSeconds(NOW + DAY);
    let unresolved = reader.holds(Holds::InState("held"), 0, 1_000).unwrap();
    let claims: Vec<_> = unresolved.iter().map(|hold| reader.claims(hold.seq).unwrap()).collect();
    let journal = SqliteJournal::open(path, ID).unwrap();
    let usage: Vec<_> = [
        Scope::Wallet(evm(1)),
        Scope::Wallet(evm(2)),
        Scope::Payee(evm(9)),
        Scope::Workflow(WorkflowName::parse("figures").unwrap()),
    ]
    .iter()
    .map(|scope| journal.usage(scope, now))
    .collect();
    let texts = vec![
        format!("{usage:?}"),
        format!("{unresolved:?} {claims:?}"),
        format!("{:?}", reader.exposure(&[Subject::Sidecar], UnixSeconds(NOW)).unwrap()),
        format!("{:?}", reader.volumes().unwrap()),
        format!("{:?}", reader.last_used().unwrap()),
        format!("{:?}", reader.called().unwrap()),
        format!("{:?}", reader.payees().unwrap()),
        format!(
            "{:?}",
            journal
                .status_seq(&Subject::Workflow(WorkflowName::parse("figures").unwrap()))
                .and_then(|seq| reader.time_of(seq).unwrap())
        ),
        format!(
            "{:?}",
            reader
                .payees()
                .unwrap()
                .iter()
                .map(|payee| payee.pending_seq.map(|seq| reader.record(seq).unwrap()))
                .collect::<Vec<_>>()
        ),
    ];
    (journal.state.clone(), texts)
}

#[test]
fn deleting_what_is_archived_changes_no_answer() {
    let (whole, pruned) = (Home::new(), Home::new());
    let mut deleted = 0;
    for home in [&whole, &pruned] {
        let mut journal = home.create();
        let last = eventful(&mut journal);
        quiet(&mut journal, RECORDS_KEPT_MIN, NOW + DAY);
        let segment = archive(home, &mut journal, last);
        if std::ptr::eq(home, &pruned) {
            deleted = prune(&home.reader(), &mut journal, segment.last);
            assert_eq!(home.reader().archived_and_pruned().unwrap(), (last, last));
        }
    }
    assert_eq!(answers(&pruned.path()), answers(&whole.path()));
    assert!(deleted > 40, "{deleted}");
    let left = pruned.reader().records(1, 100).unwrap();
    // The first record, two held payments with a claim each, two refusals, an acceptance and an act that decided a status.
    let (_, last) = pruned.reader().archived_and_pruned().unwrap();
    assert_eq!(left.iter().filter(|stored| stored.seq <= last).count(), 9);
}

#[test]
fn an_id_whose_permit_is_deleted_is_still_taken() {
    let home = Home::new();
    let mut journal = home.create();
    let last = eventful(&mut journal);
    quiet(&mut journal, RECORDS_KEPT_MIN, NOW + DAY);
    let segment = archive(&home, &mut journal, last);
    prune(&home.reader(), &mut journal, segment.last);
    for id in [0, 1, 200] {
        let pay = Pay::new(id, NOW);
        let prior = look(&mut journal, NOW + 2 * DAY, |ledger| {
            ledger.prior(&pay.intent().agent, &pay.request_id()).unwrap()
        });
        let prior = prior.unwrap();
        assert_eq!(prior.used, Used::Archived, "{id}");
        assert!(matches!(record(&mut journal, &[pay.permit()]), Err(JournalError::RequestIdTaken(_))));
        // A claim about it is about nothing that is known.
        assert_eq!(look(&mut journal, NOW + 2 * DAY, |ledger| ledger.hold(prior.seq).unwrap()), None);
        assert!(look(&mut journal, NOW + 2 * DAY, |ledger| ledger.sign_in(prior.seq).unwrap()).is_none());
    }
    // A record that is gone and not archived is damage, and no answer.
    home.tamper("DELETE FROM segment");
    let pay = Pay::new(0, NOW);
    let prior = look(&mut journal, NOW + 2 * DAY, |ledger| {
        ledger.prior(&pay.intent().agent, &pay.request_id()).is_err()
    });
    assert!(prior);
}

#[test]
fn what_is_held_or_alive_stays_until_it_is_not() {
    let home = Home::new();
    let mut journal = home.create();
    let held = Pay::new(1, NOW);
    let alive = Pay { held_until: NOW + 30 * DAY, ..Pay::new(2, NOW) };
    record(&mut journal, &[held.permit(), alive.permit()]).unwrap();
    record(&mut journal, &[resolved(3, settled_for(Usd::from_units(5)), NOW + 1)]).unwrap();
    quiet(&mut journal, RECORDS_KEPT_MIN, NOW + DAY);
    let segment = archive(&home, &mut journal, 4);
    assert_eq!(prune(&home.reader(), &mut journal, segment.last), 1, "the evidence");
    let there = || {
        home.reader()
            .records(1, 4)
            .unwrap()
            .iter()
            .map(|stored| stored.seq)
            .filter(|seq| *seq < 5)
            .collect::<Vec<_>>()
    };
    assert_eq!(there(), [1, 2, 3]);
    record(&mut journal, &[resolved(2, HoldState::Released, NOW + 31 * DAY)]).unwrap();
    assert_eq!(prune(&home.reader(), &mut journal, segment.last), 2);
    assert_eq!(there(), [1]);
}

#[test]
fn a_segment_is_due_when_it_is_old_and_every_required_sink_has_it() {
    let home = Home::new();
    let mut journal = home.create();
    quiet(&mut journal, 100, NOW);
    quiet(&mut journal, RECORDS_KEPT_MIN - 1, NOW + 1_000);
    archive(&home, &mut journal, 101);
    let due = |before: u64, required: &[&str]| {
        let required: Vec<String> = required.iter().map(|name| (*name).to_owned()).collect();
        home.reader().prune_due(before * 1_000, &required).unwrap().map(|segment| segment.last)
    };
    let later = NOW + DAY;
    assert_eq!(due(later, &[]), None, "too few records come after it");
    quiet(&mut journal, 1, NOW + 3_000);
    assert_eq!((due(later, &[]), due(NOW + 99, &[]), due(NOW + 100, &[])), (Some(101), None, Some(101)));
    assert_eq!(due(later, &["siem"]), None, "a sink that never acknowledged anything");
    home.tamper("INSERT INTO sink (name, acked) VALUES ('siem', 100), ('other', 5)");
    assert_eq!(due(later, &["siem"]), None);
    home.tamper("UPDATE sink SET acked = 101 WHERE name = 'siem'");
    assert_eq!((due(later, &["siem"]), due(later, &["siem", "other"])), (Some(101), None));
}

#[test]
fn only_the_very_file_that_was_written_counts_as_archived() {
    let home = Home::new();
    let mut journal = home.create();
    quiet(&mut journal, 50, NOW);
    let segment = archive(&home, &mut journal, 51);
    let path = home.archive().join(crate::file_name(ID, 1, 51));
    let has = || home.reader().has_file(&home.archive(), &segment).unwrap();
    assert!(has());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[1..]).unwrap();
    assert!(!has());
    std::fs::remove_file(&path).unwrap();
    assert!(!has());
}

#[test]
fn where_the_next_segment_ends_follows_from_checkpoints_size_and_age() {
    let home = Home::new();
    let mut journal = home.create();
    quiet(&mut journal, 99, NOW);
    for size in [30, 60, 90] {
        home.checkpoint(size);
    }
    let reader = home.reader();
    let full = |records| reader.seal_due(records, None).unwrap();
    assert_eq!(
        [full(1), full(31), full(60), full(61), full(91)],
        [Some(30), Some(60), Some(60), Some(90), None]
    );
    // Record n was written at second n - 2.
    let aged = |secs| reader.seal_due(1_000, Some((NOW + secs) * 1_000)).unwrap();
    assert_eq!(
        [aged(0), aged(28), aged(29), aged(60), aged(1_000)],
        [None, None, Some(30), Some(60), Some(90)]
    );
    assert_eq!([29, 30, 95].map(|through| reader.seal_through(through).unwrap()), [None, Some(30), Some(90)]);
    assert_eq!(reader.last_before((NOW + 10) * 1_000).unwrap(), 11);
    home.tamper("DELETE FROM checkpoint");
    for size in [30, 60, 90] {
        home.checkpoint(size);
    }
    let seal = Seal { dir: home.archive(), last: 60, verifier: None };
    journal.note_segment(&reader.archive(&seal, |_| true).unwrap()).unwrap();
    assert_eq!((full(1), aged(28), reader.seal_through(60).unwrap()), (Some(90), None, None));
}

#[test]
fn a_crash_between_any_two_steps_is_made_up_for() {
    let (once, crashing) = (Home::new(), Home::new());
    for home in [&once, &crashing] {
        let mut journal = home.create();
        let last = eventful(&mut journal);
        quiet(&mut journal, RECORDS_KEPT_MIN + 600, NOW + DAY);
        let mut journal = if std::ptr::eq(home, &once) {
            let segment = archive(home, &mut journal, last + 600);
            prune(&home.reader(), &mut journal, segment.last);
            journal
        } else {
            // The file is there and nothing is noted.
            home.checkpoint(last + 600);
            let seal = Seal { dir: home.archive(), last: last + 600, verifier: None };
            home.reader().archive(&seal, |_| true).unwrap();
            drop(journal);
            let mut journal = home.open();
            assert_eq!(home.reader().segments().unwrap(), []);
            let segment = home.reader().archive(&seal, |_| true).unwrap();
            journal.note_segment(&segment).unwrap();
            drop(journal);
            // A part is deleted, and then again with a page that was read before.
            let mut journal = home.open();
            let stale = home.reader().prunable(0, segment.last).unwrap();
            journal.prune(&stale.records).unwrap();
            assert_eq!(home.reader().prunable(0, segment.last).unwrap(), stale, "nothing leaves unannounced");
            journal.note_pruned(&segment).unwrap();
            journal.prune(&stale.records).unwrap();
            drop(journal);
            let mut journal = home.open();
            journal.prune(&stale.records).unwrap();
            assert_eq!(home.reader().prune_due(u64::MAX, &[]).unwrap(), None, "it is begun");
            prune(&home.reader(), &mut journal, segment.last);
            journal
        };
        quiet(&mut journal, 3, NOW + 3 * DAY);
    }
    assert_eq!(answers(&crashing.path()), answers(&once.path()));
    let records = |home: &Home| home.reader().records(1, 1_000).unwrap();
    assert_eq!(records(&crashing), records(&once));
}

#[test]
fn the_file_stops_growing_under_steady_load() {
    let home = Home::new();
    let mut journal = home.create();
    let mut sizes = Vec::new();
    for round in 0..10u64 {
        let at = NOW + round * DAY;
        for batch in 0..8 {
            let first = journal.last_seq() + 1;
            let url = "https://api.example.com/v1/data".to_owned();
            let pay = |n| Pay { url: url.clone(), ..Pay::new(round * 1_000 + batch * 50 + n, at + batch) };
            let permits = (0..50).map(|n| pay(n).permit());
            let denials = (0..50).map(|n| pay(n + 500_000).denied());
            let evidence = (0..50).map(|n| resolved(first + n, settled_for(Usd::from_units(5)), at + batch));
            record(&mut journal, &permits.chain(denials).chain(evidence).collect::<Vec<_>>()).unwrap();
        }
        let last = journal.last_seq();
        archive(&home, &mut journal, last);
        while let Some(segment) = home.reader().prune_due(u64::MAX, &[]).unwrap() {
            prune(&home.reader(), &mut journal, segment.last);
        }
        journal.checkpoint().unwrap();
        sizes.push(std::fs::metadata(home.path()).unwrap().len());
    }
    // What stays for ever is the request id; buckets of a month are folded later.
    let grown = sizes[9] - sizes[4];
    let per_permit = grown / (5 * 400);
    println!("sizes {sizes:?}, {per_permit} bytes for each permit");
    assert!(per_permit < 320, "{sizes:?}");
    assert!(sizes[9] < sizes[1] * 2, "{sizes:?}");
}

#[test]
fn a_reader_that_does_not_end_stops_payments_at_the_bound_and_nothing_else() {
    let home = Home::new();
    let mut journal = home.create();
    quiet(&mut journal, 10, NOW);
    journal.bound_log(6 << 20);
    let stuck = home.stranger();
    stuck.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    let mut n = 0;
    let refused = loop {
        n += 1;
        assert!(n < 20_000, "the log grew without an end");
        let batch: Vec<Entry> = (0..64).map(|_| Pay::new(10_000 + n, NOW + n).denied()).collect();
        match record(&mut journal, &batch) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let words = refused.to_string();
    assert!(matches!(refused, JournalError::LogFull { .. }) && !refused.is_fatal(), "{words}");
    assert!(words.contains("fuser -v") && words.contains("journal.db"), "{words}");
    assert!(matches!(journal.room(), Err(JournalError::LogFull { .. })));
    assert!(matches!(journal.writable_probe(), Err(JournalError::LogFull { .. })));
    let used = journal.log_use();
    // A checkpoint looks at the log every thousand records; they write some pages each.
    assert!(used.bytes > 6 << 20 && used.bytes < 64 << 20 && used.unmoved_bytes > 0, "{used:?}");
    let stop = act(ActVerb::Suspend, Subject::Sidecar, NOW + n);
    let stopped = pursekeeper_core::ports::Journal::commit(
        &mut journal,
        moment(NOW + n),
        Urgency::Stop,
        &[stop],
        |entry: &Entry, _| Ok(pursekeeper_core::ports::Judged::Entry(entry.clone())),
    );
    assert_eq!(stopped.unwrap().len(), 1, "stops are recorded still");
    assert!(matches!(
        record(&mut journal, &[Pay::new(90_000, NOW + n).denied()]),
        Err(JournalError::LogFull { .. })
    ));

    stuck.execute_batch("COMMIT").unwrap();
    journal.writable_probe().unwrap();
    record(&mut journal, &[Pay::new(90_001, NOW + n).denied()]).unwrap();
    journal.checkpoint().unwrap();
    assert!(journal.log_use().bytes < 1 << 20, "the log began anew: {:?}", journal.log_use());
    drop(journal);
    home.open();
}

//! What can still be settled, of whom, and what voids it.

use pursekeeper_core::{
    AgentName, HoldState, ServiceName, Signature, Subject, TransferMethod, UnixSeconds, Usd, WorkflowName,
};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use crate::fixtures::{Home, NOW, Pay, evm, look, record, resolved, settled_for};
use crate::store::exposed_sql;
use crate::{ExposureSum, JournalError, Reader, SqliteJournal};

const ONE: u128 = 1_000_000_000;

fn agent(name: &str) -> Subject {
    Subject::Agent(AgentName::parse(name).unwrap())
}

fn workflow(name: &str) -> Subject {
    Subject::Workflow(WorkflowName::parse(name).unwrap())
}

fn service(name: &str) -> Subject {
    Subject::Service(ServiceName::parse(name).unwrap())
}

/// Records 2 to 7 are outside; 8 is settled, 9 released, 10 refused, and 11 dead after three minutes.
fn journal() -> (Home, SqliteJournal) {
    let home = Home::new();
    let mut journal = home.create();
    let pays = [
        Pay::new(1, NOW),
        Pay { agent: "reader", wallet: 2, ..Pay::new(2, NOW) },
        Pay { workflow: "screening", usd: 2 * ONE, method: TransferMethod::Permit2, ..Pay::new(3, NOW) },
        Pay { service: Some("news"), wallet: 3, usd: 4 * ONE, ..Pay::new(4, NOW) },
        Pay { service: None, wallet: 2, held_until: NOW + 900, ..Pay::new(5, NOW) },
        Pay { agent: "writer", workflow: "screening", ..Pay::new(6, NOW) },
        Pay::new(7, NOW),
        Pay::new(8, NOW),
    ];
    let entries: Vec<_> = pays.iter().map(Pay::permit).collect();
    record(&mut journal, &entries).unwrap();
    let rest = [
        Pay::new(9, NOW).denied(),
        Pay { held_until: NOW + 180, ..Pay::new(10, NOW) }.permit(),
        resolved(8, settled_for(Usd::from_units(ONE)), NOW),
        resolved(9, HoldState::Released, NOW),
    ];
    record(&mut journal, &rest).unwrap();
    (home, journal)
}

fn seqs(reader: &Reader, names: &[Subject], at: u64, page: (u64, usize)) -> Vec<u64> {
    let exposed = reader.exposed(names, UnixSeconds(at), page).unwrap();
    exposed.into_iter().map(|exposed| exposed.hold.seq).collect()
}

#[test]
fn what_is_outside_is_told_by_subject_and_under_all_its_names() {
    let (home, mut journal) = journal();
    let reader = home.reader();
    let at = NOW + 300;
    let table: [(&[Subject], &[u64]); 12] = [
        (&[Subject::Wallet(evm(1))], &[2, 4, 7]),
        (&[Subject::Wallet(evm(1)), Subject::Wallet(evm(3))], &[2, 4, 5, 7]),
        (&[workflow("screening")], &[4, 7]),
        (&[workflow("screening"), workflow("literature-review")], &[2, 3, 4, 5, 6, 7]),
        (&[agent("reader")], &[3]),
        (&[agent("reader"), agent("writer"), agent("nobody")], &[3, 7]),
        (&[service("news")], &[5]),
        (&[service("papers")], &[2, 3, 4, 7]),
        (&[service("papers"), service("news")], &[2, 3, 4, 5, 7]),
        (&[agent("nobody")], &[]),
        (&[Subject::Sidecar], &[2, 3, 4, 5, 6, 7]),
        // Nobody is not everybody.
        (&[], &[]),
    ];
    for (names, expected) in table {
        assert_eq!(seqs(&reader, names, at, (0, 100)), expected, "{names:?}");
        let judged =
            look(&mut journal, at, |ledger| ledger.exposed(names, UnixSeconds(at), (0, 100)).unwrap());
        assert_eq!(judged.iter().map(|hold| hold.seq).collect::<Vec<_>>(), expected, "{names:?}");
        let sum = reader.exposure(names, UnixSeconds(at)).unwrap();
        assert_eq!(sum.signatures, expected.len() as u64, "{names:?}");
    }
}

#[test]
fn a_signature_is_outside_until_the_second_it_is_dead() {
    let (home, _journal) = journal();
    let reader = home.reader();
    let outside = |secs| seqs(&reader, &[Subject::Sidecar], NOW + secs, (0, 100));
    let table: [(u64, &[u64]); 6] = [
        (180, &[2, 3, 4, 5, 6, 7, 11]),
        (181, &[2, 3, 4, 5, 6, 7]),
        (360, &[2, 3, 4, 5, 6, 7]),
        (361, &[6]),
        (900, &[6]),
        (901, &[]),
    ];
    for (secs, expected) in table {
        assert_eq!(outside(secs), expected, "{secs}");
    }
}

#[test]
fn pages_follow_each_other_and_end() {
    let (home, mut journal) = journal();
    let reader = home.reader();
    let all = [Subject::Sidecar];
    let table: [((u64, usize), &[u64]); 8] = [
        ((0, 2), &[2, 3]),
        ((3, 2), &[4, 5]),
        ((5, 2), &[6, 7]),
        ((7, 2), &[]),
        ((0, 0), &[]),
        ((4, usize::MAX), &[5, 6, 7]),
        ((i64::MAX.unsigned_abs(), 9), &[]),
        // What SQLite cannot number must not fail the batch that asks for it.
        ((u64::MAX, 9), &[]),
    ];
    for (page, expected) in table {
        assert_eq!(seqs(&reader, &all, NOW + 300, page), expected, "{page:?}");
        let judged = look(&mut journal, NOW + 300, |ledger| {
            ledger.exposed(&all, UnixSeconds(NOW + 300), page).map(|holds| holds.len())
        });
        assert_eq!(judged.unwrap(), expected.len(), "{page:?}");
    }
}

#[test]
fn the_sum_says_how_much_how_long_and_what_can_be_voided() {
    let (home, _journal) = journal();
    let reader = home.reader();
    let sum = |names: &[Subject], secs| reader.exposure(names, UnixSeconds(NOW + secs)).unwrap();
    let of = |signatures, units, cancellable, until| ExposureSum {
        signatures,
        usd: Usd::from_units(units),
        cancellable,
        until: UnixSeconds(until),
    };
    // Only a transaction of the wallet itself voids what Permit2 signed.
    assert_eq!(sum(&[Subject::Sidecar], 300), of(6, 10 * ONE, 5, NOW + 900));
    assert_eq!(sum(&[workflow("screening")], 300), of(2, 3 * ONE, 1, NOW + 360));
    assert_eq!(sum(&[Subject::Sidecar], 100), of(7, 11 * ONE, 6, NOW + 900));
    assert_eq!(sum(&[Subject::Wallet(evm(1))], 900), ExposureSum::default());
    home.tamper("UPDATE hold SET usd = x'ffffffffffffffffffffffffffffffff' WHERE seq IN (2, 3)");
    assert_eq!(sum(&[Subject::Sidecar], 300).usd, Usd::MAX);
}

#[test]
fn what_is_outside_is_found_without_reading_what_is_dead() {
    let (home, _journal) = journal();
    let table: [&[Subject]; 4] = [
        &[Subject::Sidecar],
        &[Subject::Wallet(evm(1))],
        &[agent("reader"), agent("writer")],
        &[service("news")],
    ];
    for names in table {
        let mut values = [0, 0, 1].map(Value::from).to_vec();
        let sql = format!("EXPLAIN QUERY PLAN {}", exposed_sql(names, &mut values));
        let plan: String =
            home.stranger().query_row(&sql, params_from_iter(values), |row| row.get(3)).unwrap();
        assert!(plan.contains("INDEX hold_unresolved (held_until>?)"), "{names:?}: {plan}");
    }
}

fn signature(byte: u8) -> Signature {
    Signature::Evm([byte; 65])
}

/// A signature that can be printed, as this one may be.
fn bytes(signature: Option<Signature>) -> Option<[u8; 65]> {
    signature.map(|Signature::Evm(bytes)| bytes)
}

#[test]
fn what_voids_a_payment_is_shown_once_it_is_kept_and_kept_once() {
    let (home, mut journal) = journal();
    let reader = home.reader();
    let voids = |reader: &Reader| -> Vec<(u64, Option<[u8; 65]>)> {
        let exposed = reader.exposed(&[Subject::Wallet(evm(1))], UnixSeconds(NOW), (0, 9)).unwrap();
        exposed.into_iter().map(|exposed| (exposed.hold.seq, bytes(exposed.void))).collect()
    };
    assert_eq!(voids(&reader), [(2, None), (4, None), (7, None), (11, None)]);
    journal.keep_voids(&[(2, signature(1)), (7, signature(2))]).unwrap();
    // The second signature for a payment says nothing that the first does not.
    for _ in 0..2 {
        journal.keep_voids(&[(7, signature(3)), (11, signature(4))]).unwrap();
        let kept = [(2, Some([1; 65])), (4, None), (7, Some([2; 65])), (11, Some([4; 65]))];
        assert_eq!(voids(&reader), kept);
        drop(journal);
        journal = home.open();
    }
    journal.keep_voids(&[]).unwrap();
    let found = [2, 4, 99, u64::MAX].map(|seq| bytes(reader.void(seq).unwrap()));
    assert_eq!(found, [Some([1; 65]), None, None, None]);
    reader.verify(|_, _| {}).unwrap();
}

#[test]
fn of_what_voids_payments_all_or_nothing_is_kept() {
    let (home, mut journal) = journal();
    let reader = home.reader();
    let state = journal.state.clone();
    let refused = journal.keep_voids(&[(2, signature(1)), (u64::MAX, signature(2))]);
    assert!(matches!(refused, Err(JournalError::TotalTooLarge)), "{refused:?}");
    assert_eq!(bytes(reader.void(2).unwrap()), None);
    // The writer goes on, and nothing of it comes back with the next batch.
    record(&mut journal, &[Pay::new(50, NOW).permit()]).unwrap();
    assert_eq!((bytes(reader.void(2).unwrap()), journal.last_seq()), (None, state.tip.seq + 1));
    journal.keep_voids(&[(2, signature(1))]).unwrap();
    assert_eq!(bytes(reader.void(2).unwrap()), Some([1; 65]));
    reader.verify(|_, _| {}).unwrap();
}

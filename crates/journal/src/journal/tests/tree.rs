//! The tree over the records and its checkpoints: what they show that the records alone do not.

use pursekeeper_core::ports::{Journal as _, Judged, Urgency};
use pursekeeper_core::{Checkpoint, Entry};

use crate::fixtures::{AuditPen, Home, ID, NOW, Pay, moment, record};
use crate::hash::{chain_next, chain_start, leaf_hash};
use crate::tree::{CHECKPOINTS_MAX, Frontier};
use crate::{
    AuditVerifier, CheckpointFault, Depth, GivenCheckpoint, JournalError, NoteFault, Reader, Scrutiny,
    SqliteJournal, VerifyError,
};

/// Small records, as many as are wanted.
fn denials(first: u64, count: u64) -> Vec<Entry> {
    (first..first + count).map(|id| Pay::new(id, NOW + id / 100).denied()).collect()
}

/// A journal of `records` records.
fn journal(records: u64) -> (Home, SqliteJournal) {
    let home = Home::new();
    let mut journal = home.create();
    journal.connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    record(&mut journal, &denials(2, records - 1)).unwrap();
    (home, journal)
}

/// The tree over what stands in `record`, computed without anything that was put down.
fn computed(reader: &Reader) -> Frontier {
    let mut frontier = Frontier::default();
    loop {
        let page = reader.records(frontier.size() + 1, 1_000).unwrap();
        if page.is_empty() {
            return frontier;
        }
        for stored in page {
            frontier.push(stored.leaf, u8::MAX, |_| Ok(())).unwrap();
        }
    }
}

fn check_tree(home: &Home, journal: &SqliteJournal) {
    let (tree, expected) = (journal.tree().unwrap(), computed(&home.reader()));
    assert_eq!((tree.size, tree.root), (journal.last_seq(), expected.root().unwrap()));
    assert_eq!(tree.size, expected.size());
    assert_eq!(home.reader().tree_root(tree.size).unwrap(), tree.root);
    assert_eq!(home.reader().verify(|_, _| {}).unwrap().root, tree.root);
}

#[test]
fn the_tree_follows_the_records_over_restarts() {
    let (home, mut journal) = journal(1_000);
    for count in [22, 1, 1, 1, 500, 522, 1, 1] {
        let first = journal.last_seq() + 1;
        record(&mut journal, &denials(first, count)).unwrap();
        check_tree(&home, &journal);
        let tree = journal.tree().unwrap();
        drop(journal);
        journal = home.open();
        assert_eq!(journal.tree().unwrap(), tree);
    }
    let nodes = "SELECT count(*) FROM node";
    assert_eq!(home.stranger().query_row(nodes, [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    let reader = home.reader();
    for seq in [1, 512, 1_023, 1_024, 1_025, 2_048, 2_049] {
        let proof = reader.prove_inclusion(seq, 2_049).unwrap();
        assert_eq!((proof.leaf_index, proof.leaf), (seq - 1, reader.record(seq).unwrap().unwrap().leaf));
        let proof = reader.prove_consistency(seq, 2_049).unwrap();
        assert_eq!(proof.second_root, journal.tree().unwrap().root);
    }
    for (asked, size) in [(0, 7), (8, 7), (2_050, 2_050), (u64::MAX, u64::MAX)] {
        let proof = reader.prove_inclusion(asked, size).map(|_| ());
        assert!(matches!(proof, Err(JournalError::NoRecord { .. })), "{asked} of {size}: {proof:?}");
        let proof = reader.prove_consistency(asked, size).map(|_| ());
        assert!(matches!(proof, Err(JournalError::NoRecord { .. })), "{asked} to {size}: {proof:?}");
    }
}

#[test]
fn a_batch_that_fails_leaves_no_leaf() {
    let (home, mut journal) = journal(1_020);
    let mut entries = vec![Pay::new(5_000, NOW + 50).permit()];
    record(&mut journal, &entries).unwrap();
    let before = journal.tree().unwrap();
    entries.splice(0..0, denials(6_000, 10));
    // The request id was used before, so the batch fails after it has completed a subtree of 1,024 records.
    assert!(matches!(record(&mut journal, &entries), Err(JournalError::RequestIdTaken(_))));
    assert_eq!(journal.tree().unwrap(), before);
    check_tree(&home, &journal);
    record(&mut journal, &denials(7_000, 10)).unwrap();
    check_tree(&home, &journal);
    drop(journal);
    check_tree(&home, &home.open());
}

#[test]
fn a_journal_without_a_node_it_needs_does_not_open() {
    let (home, journal) = journal(1_030);
    drop(journal);
    home.tamper("DELETE FROM node");
    let opened = SqliteJournal::open(&home.path(), ID).map(|_| ());
    assert!(
        matches!(&opened, Err(JournalError::Damaged { what }) if what.contains("node 0 of level 10")),
        "{opened:?}"
    );
}

fn verdict(home: &Home, key: Option<&AuditVerifier>, given: &[String]) -> Result<u64, VerifyError> {
    let given = given.iter().map(|note| GivenCheckpoint { name: "the copy".to_owned(), note: note.clone() });
    let checkpoints: Vec<_> = given.collect();
    let both = [Depth::Records, Depth::Everything].map(|depth| {
        let scrutiny = Scrutiny { depth, key, checkpoints: &checkpoints, archive: None };
        home.reader().verify_against(&scrutiny, |_, _| {}).map(|verified| verified.checkpoints)
    });
    let [records, everything] = both;
    if let Err(error) = &records {
        assert_eq!(error.first_bad_seq(), everything.as_ref().unwrap_err().first_bad_seq());
    }
    everything
}

#[test]
fn a_rewritten_history_is_between_two_checkpoints() {
    let (home, mut journal) = journal(4);
    let pen = AuditPen::new(1);
    let mut notes = Vec::new();
    for _ in 0..3 {
        let tree = journal.tree().unwrap();
        notes.push(pen.sign(&tree));
        journal.keep_checkpoint(tree.size, notes.last().unwrap()).unwrap();
        let first = journal.last_seq() + 1;
        record(&mut journal, &denials(first, 4)).unwrap();
    }
    drop(journal);
    assert_eq!(home.reader().newest_checkpoint().unwrap(), Some((12, notes[2].clone())));
    assert_eq!(verdict(&home, Some(&pen.verifier()), &notes).unwrap(), 6);
    // Somebody who knows the format writes record 6 anew, and every hash after it.
    let connection = home.stranger();
    let sql = "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'orca-5', 'orca-6') AS BLOB) WHERE seq = 6";
    connection.execute_batch(sql).unwrap();
    let mut chain = chain_start(ID);
    for stored in home.reader().records(1, 1_000).unwrap() {
        chain = chain_next(chain, leaf_hash(&stored.body));
        connection
            .execute("UPDATE record SET chain = ?1 WHERE seq = ?2", (chain.0, stored.seq as i64))
            .unwrap();
    }
    let rewritten = CheckpointFault::Rewritten { after: 4, size: 8 };
    match verdict(&home, None, &[]).unwrap_err() {
        VerifyError::Checkpoint { name, fault } => {
            assert_eq!((name.as_str(), fault), ("the journal's checkpoint of 8 records", rewritten.clone()));
        }
        other @ (VerifyError::Record { .. }
        | VerifyError::Table { .. }
        | VerifyError::Archive(_)
        | VerifyError::File(_)
        | VerifyError::Read(_)) => panic!("{other}"),
    }
    // Also when the journal's own checkpoints are gone.
    connection.execute_batch("DELETE FROM checkpoint").unwrap();
    assert_eq!(verdict(&home, None, &[]).unwrap(), 0);
    let error = verdict(&home, None, &notes[1..]).unwrap_err();
    assert_eq!(error.first_bad_seq(), Some(1));
    let opened = pen.verifier().open(&notes[1]).unwrap();
    assert_eq!(
        home.reader().extends(&opened).unwrap(),
        Err(CheckpointFault::Rewritten { after: 0, size: 8 })
    );
}

#[test]
fn an_older_copy_put_back_is_too_short() {
    let (home, mut journal) = journal(5);
    let older = Home::new();
    for suffix in ["", "-wal"] {
        let [from, to] = [home.path(), older.path()].map(|path| format!("{}{suffix}", path.display()));
        std::fs::copy(from, to).unwrap();
    }
    record(&mut journal, &denials(6, 3)).unwrap();
    let tree = journal.tree().unwrap();
    let note = AuditPen::new(1).sign(&tree);
    assert_eq!(verdict(&home, None, std::slice::from_ref(&note)).unwrap(), 1);
    assert_eq!(verdict(&older, None, &[]).unwrap(), 0);
    let error = verdict(&older, None, &[note]).unwrap_err();
    let text = "the copy is of 8 records, but the journal ends with record 5: the end was cut off, or an older copy was \
                put back; records 6 to 8 are missing";
    assert_eq!((error.to_string().as_str(), error.first_bad_seq()), (text, Some(6)));
    let missing = CheckpointFault::Missing { records: 5, size: 8 };
    assert_eq!(older.reader().extends(&tree).unwrap(), Err(missing));
    assert_eq!(home.reader().extends(&tree).unwrap(), Ok(()));
    let other = Checkpoint { journal: pursekeeper_core::JournalId([1; 16]), ..tree };
    assert_eq!(home.reader().extends(&other).unwrap(), Err(CheckpointFault::OtherJournal));
}

#[test]
fn a_checkpoint_nobody_signed_and_a_node_of_other_records_are_named() {
    let pen = AuditPen::new(1);
    let note = |tree: &Checkpoint, pen: &AuditPen| pen.sign(tree).replace('\'', "''");
    let fresh = || journal(1_100);
    let tree = fresh().1.tree().unwrap();
    let other = Checkpoint { journal: pursekeeper_core::JournalId([1; 16]), ..tree };
    let put = |size: u64, note: &str| format!("INSERT INTO checkpoint VALUES ({size}, '{note}')");
    let is = |wanted: CheckpointFault| -> Box<dyn Fn(&VerifyError) -> bool> {
        Box::new(move |error| matches!(error, VerifyError::Checkpoint { fault, .. } if *fault == wanted))
    };
    let node = || -> Box<dyn Fn(&VerifyError) -> bool> {
        Box::new(|error| matches!(error, VerifyError::Table { table: "node", .. }))
    };
    let file =
        || -> Box<dyn Fn(&VerifyError) -> bool> { Box::new(|error| matches!(error, VerifyError::File(_))) };
    let index = "PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET rootpage =
                     (SELECT sum(rootpage) FROM sqlite_schema WHERE name IN ('hold_nonce', 'hold_unresolved')) - rootpage
                 WHERE name IN ('hold_nonce', 'hold_unresolved');";
    let table = [
        (put(1_100, &note(&tree, &AuditPen::new(2))), is(CheckpointFault::Note(NoteFault::Unsigned))),
        (put(1_100, &note(&other, &pen)), is(CheckpointFault::Note(NoteFault::OtherJournal))),
        (put(1_100, "rubbish"), is(CheckpointFault::Note(NoteFault::Malformed))),
        (put(1_099, &note(&tree, &pen)), is(CheckpointFault::OtherSize(1_100))),
        ("UPDATE node SET hash = zeroblob(32)".to_owned(), node()),
        ("UPDATE node SET n = 1".to_owned(), node()),
        ("DELETE FROM node".to_owned(), node()),
        ("INSERT INTO node VALUES (11, 0, zeroblob(32))".to_owned(), node()),
        (index.to_owned(), file()),
    ];
    for (sql, how) in table {
        let (home, mut journal) = fresh();
        record(&mut journal, &[Pay::new(9_000, NOW + 90).permit()]).unwrap();
        drop(journal);
        home.tamper(&sql);
        let checked = home
            .reader()
            .verify_against(&Scrutiny { key: Some(&pen.verifier()), ..Scrutiny::default() }, |_, _| {});
        assert!(checked.as_ref().is_err_and(&how), "{sql}: {checked:?}");
    }
}

#[test]
fn checkpoints_are_bounded_and_none_is_kept_twice() {
    let (home, mut journal) = journal(5);
    for size in 1..=CHECKPOINTS_MAX * 3 {
        journal.keep_checkpoint(size, &format!("note {size}")).unwrap();
    }
    journal.keep_checkpoint(CHECKPOINTS_MAX * 3, "another").unwrap();
    let newest = home.reader().newest_checkpoint().unwrap().unwrap();
    assert_eq!(newest, (CHECKPOINTS_MAX * 3, format!("note {}", CHECKPOINTS_MAX * 3)));
    let sql = "SELECT count(*), min(size) FROM checkpoint";
    let (count, oldest): (i64, i64) =
        home.stranger().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert!(count > 512 && count <= 1_024 && oldest == 1, "{count} from {oldest}");
    // It still records.
    journal
        .commit(moment(NOW + 1), Urgency::Payment, &denials(6, 1), |entry, _| {
            Ok(Judged::Entry(entry.clone()))
        })
        .unwrap();
}

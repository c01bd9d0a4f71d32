//! Whoever changes the file is found out.

use pursekeeper_core::{
    ActVerb, Claim, Detail, Reviewed, Signature, Subject, Transition, UnixSeconds, Usd, WorkflowName,
};

use crate::fixtures::{
    Home, ID, NOW, Pay, about, act, changed, claimed, completed, evm, moment, record, resolved, settled_for,
};
use crate::hash::{chain_next, chain_start, leaf_hash};
use crate::{Fault, JournalError, Reader, SqliteJournal, VerifyError};

/// Seven records: genesis, two permits, a denial, a suspension, a permit, a reissue.
fn journal() -> Home {
    let home = Home::new();
    let mut journal = home.create();
    let entries = [
        Pay::new(1, NOW).permit(),
        Pay::new(2, NOW).permit(),
        Pay::new(3, NOW + 1).denied(),
        act(ActVerb::Suspend, Subject::Wallet(evm(1)), NOW + 2),
        Pay { payee: 8, ..Pay::new(4, NOW + 3) }.permit(),
        Pay::new(1, NOW).reissued(2, NOW + 4),
    ];
    record(&mut journal, &entries).unwrap();
    home
}

fn verdict(home: &Home) -> Result<u64, VerifyError> {
    home.reader().verify(|_, _| {}).map(|verified| verified.records)
}

/// Computes every hash again, as somebody who knows the format would.
fn rehash(home: &Home) {
    let connection = home.stranger();
    let mut statement = connection.prepare("SELECT seq, body FROM record ORDER BY seq").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let rows: Vec<(i64, Vec<u8>)> = rows.map(Result::unwrap).collect();
    let mut chain = chain_start(ID);
    for (seq, body) in rows {
        chain = chain_next(chain, leaf_hash(&body));
        connection.execute("UPDATE record SET chain = ?1 WHERE seq = ?2", (chain.0, seq)).unwrap();
    }
}

#[test]
fn a_changed_record_is_named() {
    let replace = |from: &str, to: &str| {
        format!(
            "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), '{from}', '{to}') AS BLOB) WHERE seq = 3"
        )
    };
    let swap = "UPDATE record SET seq = 99 WHERE seq = 2; UPDATE record SET seq = 2 WHERE seq = 3;
                UPDATE record SET seq = 3 WHERE seq = 99;";
    let undecodable: fn(&Fault) -> bool = |fault| matches!(fault, Fault::Undecodable(_));
    let is = |wanted: Fault| -> Box<dyn Fn(&Fault) -> bool> { Box::new(move |fault| *fault == wanted) };
    // what was done, whether the hashes were computed again, which record is named, and how
    let table = [
        (replace("researcher", "researchers"), false, 3, is(Fault::Chain)),
        (replace("\"seq\":3", "\"seq\": 3"), false, 3, is(Fault::Chain)),
        ("UPDATE record SET chain = zeroblob(32) WHERE seq = 4".to_owned(), false, 4, is(Fault::Chain)),
        ("DELETE FROM record WHERE seq = 4".to_owned(), false, 4, is(Fault::Gap)),
        ("DELETE FROM record WHERE seq = 1".to_owned(), false, 1, is(Fault::Gap)),
        ("DELETE FROM record".to_owned(), false, 1, is(Fault::Gap)),
        (swap.to_owned(), false, 2, is(Fault::Chain)),
        (swap.to_owned(), true, 2, is(Fault::Misplaced(3))),
        (replace("\"seq\":3", "\"seq\": 3"), true, 3, is(Fault::NotCanonical)),
        (replace("\"v\":1", "\"v\":2"), true, 3, Box::new(undecodable)),
        (replace("permit", "deny"), true, 3, Box::new(undecodable)),
        ("UPDATE record SET body = x''00'' WHERE seq = 5".replace("''", "'"), true, 5, Box::new(undecodable)),
        (replace("\"unix_ms\":1795305600000", "\"unix_ms\":1795305600009"), true, 3, is(Fault::HighWater)),
        ("UPDATE record SET high_water_ms = 0 WHERE seq = 7".to_owned(), false, 7, is(Fault::HighWater)),
        (
            "UPDATE record SET body = (SELECT body FROM record WHERE seq = 2) WHERE seq = 1".to_owned(),
            true,
            1,
            is(Fault::Misplaced(2)),
        ),
    ];
    assert_eq!(verdict(&journal()).unwrap(), 7);
    for (sql, again, expected, how) in table {
        let home = journal();
        home.tamper(&sql);
        if again {
            rehash(&home);
        }
        match verdict(&home) {
            Err(VerifyError::Record { seq, fault }) => {
                assert!(seq == expected && how(&fault), "{sql}: record {seq} {fault}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn a_table_that_does_not_follow_from_the_records_is_named() {
    let table = [
        ("hold", "DELETE FROM hold WHERE seq = 2"),
        ("hold", "UPDATE hold SET usd = zeroblob(16) WHERE seq = 3"),
        ("hold", "UPDATE hold SET held_until = 0"),
        ("hold", "UPDATE hold SET state = 'released', resolved_seq = 4 WHERE seq = 6"),
        ("hold", "UPDATE hold SET network = 'eip155:1'"),
        ("hold", "UPDATE hold SET method = 'permit2' WHERE seq = 3"),
        ("void", "INSERT INTO void VALUES (4, zeroblob(65))"),
        ("void", "INSERT INTO void VALUES (99, zeroblob(65))"),
        ("clock", "UPDATE clock SET unix_ms = unix_ms + 1"),
        ("clock", "DELETE FROM clock"),
        ("claim", "INSERT INTO claim VALUES (2, 4)"),
        ("hold", "UPDATE hold SET service = NULL"),
        ("hold", "UPDATE hold SET endpoint = 'GET https://b.example/'"),
        (
            "hold",
            "INSERT INTO hold SELECT 9, agent, 'x', endpoint, workflow, wallet, service, payee, network, method, amount, usd, held_until, randomblob(32), state, NULL, NULL, NULL FROM hold WHERE seq = 2",
        ),
        ("request", "DELETE FROM request"),
        ("request", "UPDATE request SET seq = 3 WHERE seq = 2"),
        ("request", "UPDATE request SET request_id = 'again' WHERE seq = 2"),
        ("request", "UPDATE request SET fingerprint = zeroblob(32) WHERE seq = 2"),
        ("request", "INSERT INTO request VALUES ('researcher', 'x', 4, zeroblob(32))"),
        ("status", "DELETE FROM status"),
        ("status", "UPDATE status SET status = 'active'"),
        ("status", "UPDATE status SET seq = 4"),
        ("status", "INSERT INTO status VALUES ('agent', 'researcher', 'suspended', 4)"),
        ("bucket", "UPDATE bucket SET usd = zeroblob(16)"),
        ("bucket", "UPDATE bucket SET payments = payments - 1 WHERE scope = 1"),
        ("bucket", "DELETE FROM bucket WHERE scope = 2"),
        ("bucket", "UPDATE bucket SET minute = minute - 1 WHERE scope = 3"),
        (
            "bucket",
            "INSERT INTO bucket VALUES (1, 5, zeroblob(16), 0, zeroblob(16), 0, 0), (77, 5, zeroblob(16), 0, zeroblob(16), 0, 0)",
        ),
        ("bucket", "UPDATE scope SET payments = 1 WHERE scope = 1"),
        ("bucket", "UPDATE bucket SET settled_payments = 1"),
        ("bucket", "DELETE FROM scope WHERE scope = 1"),
        ("bucket", "INSERT INTO scope VALUES (50, 'agent', 'ghost', zeroblob(16), 0, zeroblob(16), 0, 0)"),
        ("credit", "DELETE FROM credit"),
        ("credit", "UPDATE credit SET topped_up = zeroblob(16)"),
        ("credit", "UPDATE credit SET service = 'others'"),
        ("credit", "UPDATE credit SET sign_ins = 1"),
        (
            "credit",
            "INSERT INTO credit SELECT wallet, 'ghost', topped_up, 0, 0, NULL, NULL, NULL FROM credit",
        ),
        ("meta", "UPDATE meta SET created_unix_ms = 1"),
        ("meta", "UPDATE meta SET adopted_held_until = 1"),
        // The end was cut off: the records that are left are whole, the tables know of more.
        ("hold", "DELETE FROM record WHERE seq >= 6"),
        (
            "status",
            "DELETE FROM record WHERE seq >= 5; DELETE FROM hold WHERE seq >= 5; DELETE FROM request WHERE seq >= 5",
        ),
    ];
    for (expected, sql) in table {
        let home = journal();
        home.tamper(sql);
        match verdict(&home) {
            Err(VerifyError::Table { table, .. }) => assert_eq!(table, expected, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn the_first_record_that_is_wrong_is_named_whatever_table_shows_it() {
    let fingerprint = |seq: u64| format!("UPDATE request SET fingerprint = zeroblob(32) WHERE seq = {seq}");
    let hold = |seq: u64| format!("UPDATE hold SET usd = zeroblob(16) WHERE seq = {seq}");
    let swap = "UPDATE request SET seq = 0 WHERE seq = 2; UPDATE request SET seq = 2 WHERE seq = 3;
                UPDATE request SET seq = 3 WHERE seq = 0";
    let again =
        "INSERT INTO request SELECT 'analyst', request_id, seq, fingerprint FROM request WHERE seq = 3";
    let copied = "INSERT INTO hold SELECT 4, agent, 'x', endpoint, workflow, wallet, service, payee, network, method, amount, usd,
                  held_until, randomblob(32), state, NULL, NULL, NULL FROM hold WHERE seq = 2";
    let table = [
        ("request", Some(3), fingerprint(3)),
        ("request", Some(2), swap.to_owned()),
        ("request", Some(3), "UPDATE request SET agent = 'analyst' WHERE seq = 3".to_owned()),
        ("request", Some(6), "DELETE FROM request WHERE seq = 6".to_owned()),
        ("request", None, again.to_owned()),
        ("request", Some(2), [fingerprint(2), hold(3)].join(";")),
        ("hold", Some(3), [fingerprint(6), hold(3)].join(";")),
        (
            "request",
            Some(3),
            [fingerprint(3), "UPDATE record SET body = x'00' WHERE seq = 5".to_owned()].join(";"),
        ),
        ("request", Some(3), [fingerprint(3), "DELETE FROM status".to_owned()].join(";")),
        // A row of its own for what is no permit, and one that another record took.
        ("hold", Some(4), copied.to_owned()),
        ("hold", Some(3), "UPDATE hold SET seq = 4 WHERE seq = 3".to_owned()),
        ("hold", Some(2), "UPDATE hold SET state = 'released', resolved_seq = 4 WHERE seq = 2".to_owned()),
    ];
    for (expected, record, sql) in table {
        let home = journal();
        home.tamper(&sql);
        match verdict(&home) {
            Err(VerifyError::Table { table, seq, .. }) => {
                assert_eq!((table, seq), (expected, record), "{sql}")
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn an_index_that_lacks_a_hold_is_found() {
    // The index is hidden from SQLite while a hold is put back, and shown again.
    for (index, hidden) in [
        ("hold_nonce", "sql || ' WHERE 0'"),
        ("hold_unresolved", "replace(sql, 'state =', 'state !=')"),
        ("hold_to_watch", "replace(sql, 'state =', 'state !=')"),
    ] {
        let home = journal();
        let connection = home.stranger();
        let sql = format!("SELECT sql FROM sqlite_schema WHERE name = '{index}'");
        let sql: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        drop(connection);
        home.tamper("CREATE TABLE kept AS SELECT * FROM hold WHERE seq = 3; DELETE FROM hold WHERE seq = 3");
        let change = |to: &str| {
            format!("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = {to} WHERE name = '{index}'")
        };
        home.tamper(&change(hidden));
        home.tamper("INSERT INTO hold SELECT * FROM kept; DROP TABLE kept");
        home.tamper(&change(&format!("'{}'", sql.replace('\'', "''"))));
        match verdict(&home) {
            Err(VerifyError::File(what)) => assert!(what.contains(index), "{what}"),
            other => panic!("{index}: {other:?}"),
        }
    }
}

#[test]
fn an_index_that_looks_for_a_hold_in_the_wrong_place_is_found() {
    // An entry is the network, the record by which it is found, and the record it leads to.
    let entry = b"eip155:84532\x03\x03";
    let mut looked_at = 0;
    let home = journal();
    // So that the log has nothing of it.
    let connection = home.stranger();
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
    connection.execute_batch("INSERT INTO probe VALUES (x'00'); DELETE FROM probe").unwrap();
    drop(connection);
    let good = std::fs::read(home.path()).unwrap();
    for at in (0..good.len()).filter(|at| good[*at..].starts_with(entry)) {
        let mut bad = good.clone();
        bad[at + entry.len() - 2] ^= 0x40;
        std::fs::write(home.path(), &bad).unwrap();
        match verdict(&home) {
            Err(VerifyError::File(what)) => assert!(what.contains("hold_to_watch"), "{what}"),
            other => panic!("{other:?}"),
        }
        looked_at += 1;
    }
    assert_eq!(looked_at, 1);
}

#[test]
fn a_resolution_that_does_not_follow_from_the_records_is_named() {
    let table = [
        ("hold", "UPDATE hold SET settled_usd = zeroblob(16) WHERE seq = 2"),
        ("hold", "UPDATE hold SET settled_amount = '501' WHERE seq = 2"),
        (
            "hold",
            "UPDATE hold SET state = 'held', settled_amount = NULL, settled_usd = NULL, resolved_seq = NULL WHERE seq = 2",
        ),
        ("hold", "UPDATE hold SET resolved_seq = 4 WHERE seq = 2"),
        ("claim", "DELETE FROM claim"),
        ("claim", "UPDATE claim SET permit = 3"),
        ("claim", "UPDATE claim SET seq = 5"),
        ("claim", "INSERT INTO claim VALUES (3, 4)"),
        ("bucket", "UPDATE bucket SET settled_usd = usd"),
    ];
    for (expected, sql) in table {
        let home = Home::new();
        let mut journal = home.create();
        let pays = [1, 2].map(|id| Pay::new(id, NOW).permit());
        record(&mut journal, &pays).unwrap();
        let settled = settled_for(Usd::from_units(500_000_000));
        let after = [claimed(2, Claim::settled(None), NOW), resolved(2, settled, NOW)];
        record(&mut journal, &after).unwrap();
        drop(journal);
        assert!(verdict(&home).is_ok());
        home.tamper(sql);
        match verdict(&home) {
            Err(VerifyError::Table { table, .. }) => assert_eq!(table, expected, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

/// A rotation that is complete (record 2), a reassignment that waits (3), a backup (4), a recovery (5), the transition
/// that put the bundle in force (6), and a permit (7) that was voided.
fn lived() -> Home {
    let home = Home::new();
    let mut journal = home.create();
    let wallet = |byte| Subject::Wallet(evm(byte));
    let workflows = [WorkflowName::parse("screening").unwrap()].into();
    let entries = [
        about(act(ActVerb::Rotate, wallet(1), NOW), Detail::Successor(evm(2))),
        about(act(ActVerb::Reassign, wallet(3), NOW), Detail::Workflows(workflows)),
        about(act(ActVerb::Backup, wallet(3), NOW), Detail::Recipients(Default::default())),
        act(ActVerb::Recover, wallet(4), NOW),
        changed(Transition { reviewed: Some(Reviewed::new()), ..completed(&[2], NOW) }),
        Pay::new(1, NOW).permit(),
    ];
    record(&mut journal, &entries).unwrap();
    journal.keep_voids(&[(7, Signature::Evm([1; 65]))]).unwrap();
    home
}

#[test]
fn what_counts_for_lives_and_does_not_follow_from_the_records_is_named() {
    let table = [
        ("life", 2, "DELETE FROM life WHERE role = 'rotated'"),
        ("life", 3, "DELETE FROM life WHERE role = 'pending'"),
        ("life", 4, "DELETE FROM life WHERE role = 'backup'"),
        ("life", 5, "DELETE FROM life WHERE role = 'recovered'"),
        ("life", 6, "DELETE FROM life WHERE role = 'bundle'"),
        ("life", 2, "UPDATE life SET role = 'pending' WHERE seq = 2"),
        ("life", 3, "UPDATE life SET role = 'rotated' WHERE seq = 3"),
        ("life", 5, "UPDATE life SET role = 'lost' WHERE seq = 5"),
        ("life", 7, "UPDATE life SET seq = 7 WHERE seq = 6"),
        ("life", 2, "INSERT INTO life VALUES (2, 'pending')"),
        ("life", 99, "INSERT INTO life VALUES (99, 'backup')"),
        ("void", 5, "UPDATE void SET seq = 5"),
    ];
    assert_eq!(verdict(&lived()).unwrap(), 7);
    for (expected, record, sql) in table {
        let home = lived();
        home.tamper(sql);
        match verdict(&home) {
            Err(VerifyError::Table { table, seq, .. }) => {
                assert_eq!((table, seq), (expected, Some(record)), "{sql}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
    // What voids a payment is beside the chain: no record says which bytes it has, and a signature that was changed or
    // removed takes no money. Whoever hands it to the token finds out.
    for sql in ["UPDATE void SET signature = zeroblob(65)", "DELETE FROM void"] {
        let home = lived();
        home.tamper(sql);
        assert_eq!(verdict(&home).unwrap(), 7, "{sql}");
    }
}

#[test]
fn a_row_that_the_schema_forbids_is_found() {
    for sql in [
        "UPDATE clock SET one = 7",
        "INSERT INTO clock SELECT 2, unix_ms, boot_ms, boot_id FROM clock",
        "INSERT INTO meta SELECT 2, journal, created_unix_ms, adopted_held_until FROM meta",
        "UPDATE hold SET settled_amount = '7'",
        "UPDATE hold SET settled_usd = zeroblob(16)",
        "UPDATE hold SET resolved_seq = 3",
        "UPDATE credit SET claimed_at = 7",
        "UPDATE credit SET claimed_seq = 7",
        "UPDATE credit SET claimed = zeroblob(16)",
    ] {
        let home = lived();
        home.tamper(&format!("PRAGMA ignore_check_constraints = ON; {sql}"));
        assert!(matches!(verdict(&home), Err(VerifyError::Table { .. })), "{sql}");
    }
}

#[test]
fn a_journal_with_another_schema_is_not_opened() {
    for (sql, what) in [
        ("CREATE TRIGGER forget AFTER INSERT ON hold BEGIN DELETE FROM hold; END", "trigger `forget`"),
        ("CREATE VIEW more AS SELECT * FROM hold", "view `more`"),
        ("CREATE TABLE more (x)", "table `more`"),
        ("ALTER TABLE hold ADD COLUMN more TEXT", "table `hold`"),
        ("DROP TABLE probe", "table `probe`"),
        ("DROP INDEX hold_nonce", "index `hold_nonce`"),
    ] {
        let home = lived();
        home.tamper(sql);
        for opened in [SqliteJournal::open(&home.path(), ID).map(drop), Reader::open(&home.path()).map(drop)]
        {
            let Err(JournalError::Damaged { what: told }) = opened else { panic!("{sql}: {opened:?}") };
            assert!(told.contains(what), "{sql}: {told}");
        }
    }
}

#[test]
fn a_journal_whose_lives_cannot_be_read_is_not_opened() {
    for sql in [
        "UPDATE life SET role = 'lost' WHERE seq = 5",
        "UPDATE life SET role = 'bundle' WHERE seq = 5",
        "UPDATE life SET role = 'backup' WHERE seq = 5",
        "UPDATE life SET role = 'recovered' WHERE seq = 4",
        "UPDATE life SET role = 'rotated' WHERE seq = 3",
        "UPDATE life SET seq = 1 WHERE role = 'pending'",
        "UPDATE life SET seq = 99 WHERE role = 'pending'",
    ] {
        let home = lived();
        home.tamper(sql);
        let opened = SqliteJournal::open(&home.path(), ID);
        assert!(matches!(opened, Err(JournalError::Damaged { .. })), "{sql}: {opened:?}");
    }
}

#[test]
fn another_name_in_the_file_is_found() {
    let home = journal();
    home.tamper("UPDATE meta SET journal = zeroblob(16)");
    assert!(matches!(verdict(&home), Err(VerifyError::Record { seq: 1, fault: Fault::Chain })));
}

#[test]
fn a_journal_that_is_written_to_is_read_and_verified_beside() {
    let home = Home::new();
    let mut journal = home.create();
    let reader = home.reader();
    assert_eq!((reader.id(), reader.last_seq().unwrap()), (ID, 1));
    for id in 1..=1_200 {
        record(&mut journal, &[Pay::new(id, NOW + id).denied()]).unwrap();
    }
    record(&mut journal, &[Pay::new(0, NOW).permit()]).unwrap();
    assert_eq!(reader.records(0, usize::MAX).unwrap().len(), crate::RECORDS_PER_READ_MAX);
    let seqs: Vec<u64> = reader.records(1_200, 5).unwrap().iter().map(|record| record.seq).collect();
    assert_eq!(seqs, [1_200, 1_201, 1_202]);
    assert!(reader.record(0).unwrap().is_none() && reader.record(1_203).unwrap().is_none());
    let mut progress = Vec::new();
    let verified = reader.verify(|done, total| progress.push((done, total))).unwrap();
    assert_eq!((verified.records, verified.holds, verified.scopes), (1_202, 1, 5));
    assert_eq!(progress, [(1_024, 1_202), (1_202, 1_202)]);
    let last = reader.record(1_202).unwrap().unwrap();
    assert_eq!((last.chain, last.leaf), (verified.last_chain, leaf_hash(&last.body)));
    journal.checkpoint().unwrap();
    record(&mut journal, &[Pay::new(5_000, NOW).permit()]).unwrap();
    assert_eq!(reader.verify(|_, _| {}).unwrap().records, 1_203);
}

#[test]
fn summaries_say_what_happened() {
    let home = journal();
    let reader = Reader::open(&home.path()).unwrap();
    let table = [
        (1, "genesis", "", "", "journal `abababab"),
        (2, "payment", "permit", "", ""),
        (4, "payment", "deny", "CEILING_EXCEEDED", "because of \"ceilings\""),
        (5, "lifecycle", "permit", "", "operator `olivia` suspended wallet `0x0101"),
        (7, "reissue", "permit", "", "the payment of record 2, handed out again"),
    ];
    for (seq, kind, verdict, code, message) in table {
        let summary = reader.summary(&reader.record(seq).unwrap().unwrap()).unwrap();
        assert_eq!((summary.seq, summary.kind, summary.verdict, summary.code), (seq, kind, verdict, code));
        assert!(summary.message.starts_with(message), "{}", summary.message);
        assert_eq!(summary.decision_id, format!("abababab-{seq}"));
    }
    let permit = reader.summary(&reader.record(2).unwrap().unwrap()).unwrap();
    let told = (permit.agent.as_str(), permit.wallet.as_str(), permit.network.as_str(), permit.usd.as_str());
    assert_eq!(told, ("researcher", "research", "eip155:84532", "0.001"));
    assert_eq!((permit.time_unix_ms, permit.valid_before), (moment(NOW).unix_ms, UnixSeconds(NOW + 300).0));
}

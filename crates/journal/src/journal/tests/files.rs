//! Which files are created, opened and refused.

use std::os::unix::fs::PermissionsExt as _;

use pursekeeper_core::ports::Journal as _;
use pursekeeper_core::{JournalId, Scope, UnixSeconds, Usd, Window};

use crate::fixtures::{Home, ID, NOW, Pay, evm, look, moment, record};
use crate::lock::beside;
use crate::{Content, Genesis, JournalError, Reader, SqliteJournal};

fn refusal<T: std::fmt::Debug>(result: Result<T, JournalError>) -> JournalError {
    result.expect_err("it must be refused")
}

#[test]
fn an_absent_journal_is_not_created() {
    let home = Home::new();
    let error = refusal(SqliteJournal::open(&home.path(), ID));
    assert!(matches!(error, JournalError::Absent(_)));
    let text = error.to_string();
    assert!(text.contains("journal init") && text.contains("journal adopt"), "{text}");
    assert!(matches!(Reader::open(&home.path()), Err(JournalError::Absent(_))));
    assert!(!home.path().exists());
}

#[test]
fn nothing_is_overwritten() {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let home = Home::new();
        let taken = beside(&home.path(), suffix);
        std::fs::write(&taken, "precious").unwrap();
        let error = refusal(SqliteJournal::create(&home.path(), moment(NOW), ID));
        assert!(matches!(error, JournalError::Exists(_)), "{suffix}: {error}");
        assert_eq!(std::fs::read(&taken).unwrap(), b"precious");
    }
    let home = Home::new();
    std::os::unix::fs::symlink("nowhere", home.path()).unwrap();
    let error = refusal(SqliteJournal::create(&home.path(), moment(NOW), ID));
    assert!(matches!(error, JournalError::Exists(_)), "{error}");
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let home = Home::new();
    std::fs::write(beside(&home.path(), ".new"), "half a journal").unwrap();
    drop(home.create());
    assert_eq!(home.open().last_seq(), 1);
    assert!(!beside(&home.path(), ".new").exists());
}

#[test]
fn foreign_files_are_refused_and_left_alone() {
    let text: (&str, fn(&Home)) = ("text", |home| std::fs::write(home.path(), "not a database").unwrap());
    let empty: (&str, fn(&Home)) = ("empty", |home| std::fs::write(home.path(), "").unwrap());
    let database: (&str, fn(&Home)) = ("database", |home| home.tamper("CREATE TABLE t (x)"));
    for (what, make) in [text, empty, database] {
        let home = Home::new();
        make(&home);
        let before = std::fs::read(home.path()).unwrap();
        assert!(matches!(refusal(SqliteJournal::open(&home.path(), ID)), JournalError::Foreign(_)), "{what}");
        assert!(matches!(Reader::open(&home.path()), Err(JournalError::Foreign(_))), "{what}");
        assert_eq!(std::fs::read(home.path()).unwrap(), before, "{what}");
    }
}

#[test]
fn another_schema_is_refused() {
    let home = Home::new();
    drop(home.create());
    home.tamper("PRAGMA user_version = 4");
    let error = refusal(SqliteJournal::open(&home.path(), ID));
    assert!(matches!(error, JournalError::Newer { found: 4, known: 3 }), "{error}");
    assert!(matches!(Reader::open(&home.path()), Err(JournalError::Newer { .. })));
    home.tamper("PRAGMA user_version = 1");
    let error = refusal(SqliteJournal::open(&home.path(), ID));
    assert!(matches!(error, JournalError::Older { found: 1, known: 3 }), "{error}");
    assert!(error.to_string().contains("adopt"), "{error}");
}

#[test]
fn another_journal_is_refused() {
    let home = Home::new();
    drop(home.create());
    let expected = JournalId([1; 16]);
    let error = refusal(SqliteJournal::open(&home.path(), expected));
    assert!(matches!(error, JournalError::OtherJournal { found: ID, .. }), "{error}");
}

#[test]
fn damage_that_opening_can_see_is_refused() {
    for sql in [
        "DELETE FROM meta",
        "DELETE FROM record",
        "DROP TABLE bucket",
        "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), 'GET', 'PUT') AS BLOB) WHERE seq = 2",
        "UPDATE record SET chain = zeroblob(32) WHERE seq = 2",
        "DELETE FROM record WHERE seq = 1",
        "UPDATE record SET seq = 3 WHERE seq = 2",
        "UPDATE scope SET name = 'A'",
        "UPDATE scope SET kind = 'planet'",
        "INSERT INTO status VALUES ('agent', 'a', 'tired', 2)",
        "UPDATE hold SET agent = ''",
    ] {
        let home = Home::new();
        record(&mut home.create(), &[Pay::new(1, NOW).permit()]).unwrap();
        home.tamper(sql);
        let error = refusal(SqliteJournal::open(&home.path(), ID));
        let damaged = matches!(error, JournalError::Damaged { .. });
        assert!(damaged || sql.starts_with("DROP"), "{sql}: {error:?}");
    }
    let home = Home::new();
    record(&mut home.create(), &[Pay::new(1, NOW).permit()]).unwrap();
    home.tamper("PRAGMA wal_checkpoint(TRUNCATE)");
    let length = std::fs::metadata(home.path()).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(home.path()).unwrap().set_len(length / 2).unwrap();
    let error = refusal(SqliteJournal::open(&home.path(), ID));
    assert!(matches!(error, JournalError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_second_writer_is_told_who_has_it() {
    let home = Home::new();
    let journal = home.create();
    let error = refusal(SqliteJournal::open(&home.path(), ID));
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    let link = home.path().with_file_name("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    assert!(matches!(refusal(SqliteJournal::open(&link, ID)), JournalError::InUse { .. }));
    drop(journal);
    home.open();
}

#[test]
fn only_the_owner_reads_the_files() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    for suffix in ["", "-wal", "-shm", "-reserve", ".lock"] {
        let mode = std::fs::metadata(beside(&home.path(), suffix)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

#[test]
fn the_log_is_grown_once_and_kept() {
    let home = Home::new();
    let length = || std::fs::metadata(beside(&home.path(), "-wal")).unwrap().len();
    let mut journal = home.create();
    let grown = length();
    assert!(grown >= 4 << 20, "{grown}");
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    journal.checkpoint().unwrap();
    record(&mut journal, &[Pay::new(2, NOW).permit()]).unwrap();
    drop(journal);
    let database = std::fs::metadata(home.path()).unwrap().len();
    assert!(database < 1 << 20, "the filler must not reach the database: {database}");
    home.open();
    assert_eq!(length(), grown);
    assert_eq!(home.reader().verify(|_, _| {}).unwrap().records, 3);
}

#[test]
fn a_journal_begins_with_its_name() {
    let home = Home::new();
    let journal = home.create();
    assert_eq!((journal.id(), journal.last_seq(), journal.clock().high_water_ms), (ID, 1, NOW * 1000));
    let first = home.reader().record(1).unwrap().unwrap().decode().unwrap();
    assert_eq!(first.content, Content::Genesis(Genesis { journal: ID, adopted: None }));
}

#[test]
fn after_a_loss_every_window_is_spent_until_it_has_passed() {
    let home = Home::new();
    let lost_until = UnixSeconds(NOW + 359);
    let mut journal = SqliteJournal::create_adopting(&home.path(), moment(NOW), ID, lost_until).unwrap();
    let scope = Scope::Wallet(evm(1));
    // Rounded up to the minute: 360 seconds.
    for (at, (window, secs)) in Window::ROLLING.into_iter().enumerate() {
        let (before, after) = (NOW + 360 + secs - 1, NOW + 360 + secs);
        let in_window =
            |journal: &mut SqliteJournal, now| look(journal, now, |ledger| ledger.totals(&scope).usd[at]);
        assert_eq!(in_window(&mut journal, before), Usd::MAX, "{window}");
        assert_eq!(in_window(&mut journal, after), Usd::ZERO, "{window}");
        let usage = journal.usage(&scope, UnixSeconds(before)).windows[at];
        assert_eq!((usage.held, usage.frees_at), (Usd::MAX, Some(UnixSeconds(after))));
    }
    drop(journal);
    let mut journal = home.open();
    let lifetime = look(&mut journal, NOW * 2, |ledger| ledger.totals(&scope).payments[4]);
    assert_eq!(lifetime, u64::MAX);
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn a_journal_without_its_log_is_not_a_fresh_budget() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    drop(journal);
    let log = beside(&home.path(), "-wal");
    let saved = std::fs::read(&log).unwrap();
    for emptied in [false, true] {
        std::fs::remove_file(&log).unwrap();
        if emptied {
            std::fs::write(&log, b"").unwrap();
        }
        // Looking does not make it a good one.
        for _ in 0..2 {
            let opened = SqliteJournal::open(&home.path(), ID);
            assert!(matches!(refusal(opened), JournalError::LogLost(_)));
            assert!(matches!(refusal(Reader::open(&home.path())), JournalError::LogLost(_)));
        }
    }
    std::fs::write(&log, saved).unwrap();
    let mut journal = home.open();
    assert_eq!(journal.last_seq(), 2);
    assert_eq!(look(&mut journal, NOW, |ledger| ledger.totals(&Scope::Wallet(evm(1))).payments[4]), 1);
}

#[test]
fn a_journal_has_one_name() {
    let home = Home::new();
    drop(home.create());
    let other = home.path().with_extension("other");
    std::fs::hard_link(home.path(), &other).unwrap();
    for path in [home.path(), other.clone()] {
        assert!(matches!(refusal(SqliteJournal::open(&path, ID)), JournalError::Linked(_)));
    }
    std::fs::remove_file(other).unwrap();
    // What a crash of `create` leaves is cleaned up.
    let draft = beside(&home.path(), ".new");
    std::fs::hard_link(home.path(), &draft).unwrap();
    drop(home.open());
    assert!(!draft.exists());
}

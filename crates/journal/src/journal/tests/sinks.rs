//! What sinks have acknowledged.

use pursekeeper_core::ports::{Journal as _, Urgency};

use crate::JournalError;
use crate::fixtures::{Home, ID, NOW, Pay, moment, record};

#[test]
fn a_cursor_goes_forward_only_and_never_behind_the_last_record() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay::new(1, NOW).permit(), Pay::new(2, NOW).permit()]).unwrap();
    assert_eq!(journal.cursor("siem"), None);
    for (noted, known) in [(0, 0), (2, 2), (1, 2), (99, 3)] {
        journal.note_cursor("siem", noted);
        assert_eq!(journal.cursor("siem"), Some(known));
    }
}

#[test]
fn a_cursor_is_written_with_the_next_batch_or_in_a_quiet_moment() {
    let home = Home::new();
    let mut journal = home.create();
    journal.note_cursor("siem", 1);
    let saved = || home.reader().cursors().unwrap().get("siem").copied();
    assert_eq!(saved(), None, "noting costs no write");
    let nothing: [u8; 0] = [];
    journal.commit(moment(NOW), Urgency::Payment, &nothing, |_, _| unreachable!()).unwrap();
    assert_eq!(saved(), None);
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    assert_eq!(saved(), Some(1));
    journal.note_cursor("siem", 2);
    journal.upkeep().unwrap();
    assert_eq!(saved(), Some(2));
    drop(journal);
    assert_eq!(home.open().cursor("siem"), Some(2));
}

#[test]
fn a_batch_that_fails_keeps_the_cursor_for_the_next() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    journal.note_cursor("siem", 2);
    assert!(record(&mut journal, &[Pay::new(1, NOW).permit()]).is_err());
    assert!(home.reader().cursors().unwrap().is_empty());
    record(&mut journal, &[Pay::new(2, NOW).permit()]).unwrap();
    assert_eq!(home.reader().cursors().unwrap()["siem"], 2);
}

#[test]
fn a_cursor_behind_the_last_record_shows_that_records_are_gone() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    journal.note_cursor("siem", 2);
    journal.connection.execute("INSERT INTO sink VALUES ('siem', 9)", []).unwrap();
    drop(journal);
    assert!(matches!(home.reader().cursors(), Err(JournalError::CursorAhead { acked: 9, last: 2, .. })));
    let opened = crate::SqliteJournal::open(&home.path(), ID);
    assert!(matches!(opened, Err(JournalError::CursorAhead { .. })), "{opened:?}");
}

//! The room that only a stop may use.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pursekeeper_core::ports::{Journal as _, Judged, Nothing, Recorded, Urgency};
use pursekeeper_core::{ActVerb, Entry, Signature, Status, Subject};
use rusqlite::ffi;
use rusqlite::functions::FunctionFlags;

use crate::fixtures::{Home, NOW, Pay, act, evm, moment, record};
use crate::lock::beside;
use crate::reserve::Reserve;
use crate::{JournalError, SqliteJournal};

const LEN: u64 = 1 << 20;

fn file(home: &Home) -> PathBuf {
    beside(&home.path(), "-reserve")
}

fn is_whole(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == LEN)
}

fn stop(journal: &mut SqliteJournal, wallet: u8) -> Result<Vec<Recorded>, JournalError> {
    let entry = act(ActVerb::Revoke, Subject::Wallet(evm(wallet)), NOW);
    let judge = |entry: &Entry| Ok(Judged::Entry(entry.clone()));
    journal.commit(moment(NOW), Urgency::Stop, &[entry], |entry, _| judge(entry))
}

fn pay(journal: &mut SqliteJournal, id: u64) -> Result<Vec<Recorded>, JournalError> {
    record(journal, &[Pay::new(id, NOW).permit()])
}

/// Makes the disk full for as long as `is_full` says so: every row that is written asks it.
fn fill(journal: &SqliteJournal, is_full: impl Fn() -> bool + Send + 'static) {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    let full = || rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None);
    let answer = move |_: &rusqlite::functions::Context<'_>| if is_full() { Err(full()) } else { Ok(0) };
    journal.connection.create_scalar_function("space", 0, flags, answer).unwrap();
    for table in ["record", "probe", "void"] {
        let trigger =
            format!("CREATE TEMP TRIGGER {table}_space BEFORE INSERT ON {table} BEGIN SELECT space(); END");
        journal.connection.execute_batch(&trigger).unwrap();
    }
}

#[test]
fn the_reserve_is_made_given_back_and_made_again() {
    let home = Home::new();
    let path = file(&home);
    let mut reserve = Reserve::of(&home.path());
    for _ in 0..2 {
        assert!(reserve.is_whole() && is_whole(&path));
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        // A file with holes would keep nothing back.
        assert!(found.blocks() * 512 >= LEN, "{} blocks", found.blocks());
        assert!(reserve.release() && !reserve.is_whole() && !path.exists());
        assert!(!reserve.release(), "there is nothing to give back twice");
        reserve.refill();
    }
    // What is there already is taken as it is.
    let made = std::fs::metadata(&path).unwrap().ino();
    assert!(Reserve::of(&home.path()).is_whole());
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), made);
    // Somebody else gave it back.
    std::fs::remove_file(&path).unwrap();
    assert!(!reserve.release() && !reserve.is_whole());
}

#[test]
fn what_stands_in_the_place_of_the_reserve_is_replaced_and_never_followed() {
    type Make = fn(&Path, &Path);
    let table: [(&str, Make); 5] = [
        ("half of it", |path, _| std::fs::write(path, vec![0xa5; 4_096]).unwrap()),
        ("nothing", |path, _| std::fs::write(path, "").unwrap()),
        ("more of it", |path, _| std::fs::write(path, vec![0; (LEN + 1) as usize]).unwrap()),
        ("a link to a file", |path, other| std::os::unix::fs::symlink(other, path).unwrap()),
        ("a link to nowhere", |path, _| std::os::unix::fs::symlink("nowhere", path).unwrap()),
    ];
    for (what, make) in table {
        let home = Home::new();
        let (path, other) = (file(&home), home.path().with_file_name("precious"));
        // As long as the reserve, so that only a link that is followed looks like one.
        let precious = vec![1; LEN as usize];
        std::fs::write(&other, &precious).unwrap();
        make(&path, &other);
        assert!(Reserve::of(&home.path()).is_whole(), "{what}");
        assert!(is_whole(&path), "{what}");
        assert!(std::fs::read(&other).unwrap() == precious, "{what}");
        assert!(!home.path().with_file_name("nowhere").exists(), "{what}");
    }
}

#[test]
fn a_directory_in_the_place_of_the_reserve_stops_all_but_stops() {
    let home = Home::new();
    std::fs::create_dir(file(&home)).unwrap();
    let inside = file(&home).join("precious");
    std::fs::write(&inside, "precious").unwrap();
    let mut journal = home.create();
    for id in 1..3 {
        assert!(matches!(pay(&mut journal, id), Err(JournalError::Reserved)));
        assert!(matches!(journal.writable_probe(), Err(JournalError::Reserved)));
        stop(&mut journal, 1).unwrap();
    }
    drop(journal);
    let mut journal = home.open();
    assert!(matches!(pay(&mut journal, 3), Err(JournalError::Reserved)));
    assert_eq!(std::fs::read(&inside).unwrap(), b"precious");
    std::fs::remove_dir_all(file(&home)).unwrap();
    journal.writable_probe().unwrap();
    assert!(is_whole(&file(&home)));
    pay(&mut journal, 4).unwrap();
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn a_stop_takes_the_room_that_is_kept_for_it_and_nothing_else_does() {
    let home = Home::new();
    let mut journal = home.create();
    pay(&mut journal, 1).unwrap();
    let (path, space) = (file(&home), Arc::new(AtomicBool::new(false)));
    let (reserve, returned) = (path.clone(), Arc::clone(&space));
    // There is room when there was some before, or while the reserve is given back.
    fill(&journal, move || !returned.load(Ordering::Relaxed) && reserve.exists());
    let before = journal.state.clone();
    for id in 2..4 {
        let refused = pay(&mut journal, id);
        assert!(matches!(refused, Err(JournalError::Full(_))), "{refused:?}");
        assert!(matches!(journal.keep_voids(&[(2, Signature::Evm([1; 65]))]), Err(JournalError::Full(_))));
        assert!(matches!(journal.writable_probe(), Err(JournalError::Full(_))));
        assert!(is_whole(&path) && journal.state == before, "nothing but a stop takes it");
    }
    let recorded = stop(&mut journal, 1).unwrap();
    assert!(matches!(&recorded[..], [Recorded::Entry { decision_id, .. }] if decision_id.seq == 3));
    assert_eq!(journal.status(&[Subject::Wallet(evm(1))]), Status::Revoked);
    assert!(!path.exists());
    // There is room now, and it is not for payments.
    let refused = pay(&mut journal, 4);
    assert!(matches!(refused, Err(JournalError::Reserved)), "{refused:?}");
    stop(&mut journal, 2).unwrap();
    assert!(matches!(pay(&mut journal, 4), Err(JournalError::Reserved)), "a stop does not open it again");
    assert_eq!(journal.last_seq(), 4);
    // As long as there is no room for the reserve and a record, it stays so.
    assert!(matches!(journal.writable_probe(), Err(JournalError::Full(_))));
    assert!(matches!(pay(&mut journal, 4), Err(JournalError::Full(_))));
    space.store(true, Ordering::Relaxed);
    journal.writable_probe().unwrap();
    assert!(is_whole(&path));
    pay(&mut journal, 5).unwrap();
    drop(journal);
    assert_eq!(home.open().status(&[Subject::Wallet(evm(2))]), Status::Revoked);
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn a_stop_for_which_there_is_no_room_at_all_leaves_nothing() {
    let home = Home::new();
    let mut journal = home.create();
    pay(&mut journal, 1).unwrap();
    let space = Arc::new(AtomicBool::new(false));
    let returned = Arc::clone(&space);
    fill(&journal, move || !returned.load(Ordering::Relaxed));
    let before = journal.state.clone();
    for _ in 0..2 {
        let refused = stop(&mut journal, 1);
        assert!(matches!(refused, Err(JournalError::Full(_))), "{refused:?}");
        assert_eq!(journal.state, before);
    }
    space.store(true, Ordering::Relaxed);
    stop(&mut journal, 1).unwrap();
    journal.writable_probe().unwrap();
    pay(&mut journal, 2).unwrap();
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn a_batch_that_records_nothing_does_not_show_that_there_is_room() {
    let home = Home::new();
    let mut journal = home.create();
    fill(&journal, || true);
    assert!(matches!(pay(&mut journal, 1), Err(JournalError::Full(_))));
    for urgency in [Urgency::Payment, Urgency::Stop] {
        let nothing =
            journal.commit(moment(NOW), urgency, &[()], |(), _| Ok(Judged::Nothing(Nothing::NothingDue)));
        assert_eq!(nothing.unwrap(), [Recorded::Nothing(Nothing::NothingDue)]);
        assert!(matches!(journal.writable_probe(), Err(JournalError::Full(_))));
    }
    assert!(is_whole(&file(&home)), "and takes no reserve");
}

/// What no test can simulate: that the blocks which are given back are enough for SQLite.
#[test]
#[ignore = "fills its disk; run alone, with TMPDIR on a disk of 8 MB: unshare -rm, then mount -t tmpfs -o size=8m"]
fn on_a_disk_that_is_full_indeed_stops_are_recorded() {
    let home = Home::new();
    let mut journal = home.create();
    let filler = home.path().with_file_name("filler");
    let full = std::fs::write(&filler, vec![0; 64 << 20]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull, "the disk has more than 64 MB");
    let mut id = 0;
    let refused = loop {
        id += 1;
        if let Err(error) = pay(&mut journal, id) {
            break error;
        }
    };
    assert!(matches!(refused, JournalError::Full(_)), "{refused:?}");
    let before = journal.last_seq();
    for wallet in 1..=200 {
        stop(&mut journal, wallet).unwrap();
        // The first stops may find a page that a payment does not fit into.
        let refused = pay(&mut journal, id);
        assert!(matches!(refused, Err(JournalError::Full(_) | JournalError::Reserved)), "{refused:?}");
        assert!(matches!(journal.writable_probe(), Err(JournalError::Full(_) | JournalError::Reserved)));
    }
    assert_eq!((journal.last_seq(), is_whole(&file(&home))), (before + 200, false));
    drop(journal);
    let mut journal = home.open();
    assert_eq!(journal.status(&[Subject::Wallet(evm(200))]), Status::Revoked);
    std::fs::remove_file(&filler).unwrap();
    journal.writable_probe().unwrap();
    pay(&mut journal, id).unwrap();
    home.reader().verify(|_, _| {}).unwrap();
}

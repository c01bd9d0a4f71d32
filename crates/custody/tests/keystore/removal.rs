//! Destroying the files of a key.

use std::fs::{self, File};

use pursekeeper_custody::{CustodyError, Removal};

use crate::{ADDRESS, Fixture, KEY, OTHER_ADDRESS, OTHER_KEY, address, successor, write};

#[test]
fn nothing_is_destroyed_while_it_is_not_known_what_a_file_holds() {
    let fixture = Fixture::new();
    let first = fixture.create("w");
    let unreadable = write(fixture.file("v.json"), "{}", 0o600);
    assert!(matches!(fixture.keystore.destroy(first), Err(CustodyError::NotKeyFile { .. })));
    fs::remove_file(unreadable).unwrap();
    assert_eq!(fixture.files(), ["w.json"]);

    // A directory in the place of a file is neither absent nor read-only.
    fs::create_dir(fixture.file("w.tmp")).unwrap();
    assert!(matches!(fixture.keystore.destroy(first), Err(CustodyError::Io { attempt: "remove", .. })));
}

#[test]
fn nothing_is_destroyed_while_another_process_writes() {
    let fixture = Fixture::new();
    let first = fixture.create("w");
    let held = File::open(fixture.dir.path().join("keys")).unwrap();
    held.lock().unwrap();
    assert!(matches!(fixture.keystore.destroy(first), Err(CustodyError::Busy { .. })));
    drop(held);
    assert_eq!(fixture.keystore.destroy(first).unwrap(), Removal::Removed);
}

#[test]
fn a_key_is_destroyed_in_every_file_and_only_once() {
    let fixture = Fixture::new();
    let first = fixture.import_hex("w", KEY, 0o600).unwrap();
    let second = fixture.rotate("w");
    // The same key in a file of its own, and in one that a crash left.
    fs::copy(fixture.file("w.json"), fixture.file(&successor("w", first))).unwrap();
    fs::copy(fixture.file("w.json"), fixture.file("w.tmp")).unwrap();
    write(fixture.file("notes.txt"), "", 0o600);

    assert_eq!(fixture.keystore.destroy(address(OTHER_ADDRESS)).unwrap(), Removal::Absent);
    assert_eq!(fixture.keystore.destroy(first).unwrap(), Removal::Removed);
    assert_eq!(fixture.files(), ["notes.txt".to_owned(), successor("w", second)]);
    assert_eq!(fixture.keystore.destroy(first).unwrap(), Removal::Absent);
    assert_eq!(fixture.keystore.load(&fixture.passphrase).unwrap().addresses(), [second]);
    assert!(fixture.keystore.load_address(&fixture.passphrase, first).unwrap().is_none());
}

#[test]
fn a_successor_is_found_when_the_first_key_is_gone() {
    let fixture = Fixture::new();
    let first = fixture.import_hex("w", OTHER_KEY, 0o600).unwrap();
    let second = fixture.rotate("w");
    fixture.keystore.destroy(first).unwrap();
    // The wallet still has a key, so the name is still taken and can be rotated again.
    let taken = fixture.import_hex("w", KEY, 0o600);
    assert!(matches!(taken, Err(CustodyError::WalletExists { .. })));
    let third = fixture.rotate("w");
    fixture.keystore.destroy(second).unwrap();
    fixture.keystore.destroy(third).unwrap();
    assert!(fixture.files().is_empty());
    assert_eq!(fixture.import_hex("w", KEY, 0o600).unwrap(), address(ADDRESS));
}

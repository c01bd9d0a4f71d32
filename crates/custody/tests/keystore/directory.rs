//! The directory: who may reach it, what its files are called, and that it agrees with the registry.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;

use pursekeeper_core::JournalId;
use pursekeeper_custody::{CustodyError, Import, Keystore, Passphrase};

use crate::{ADDRESS, Fixture, KEY, address, mode, name, write};

#[test]
fn a_keystore_is_made_only_where_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    let check = |error: CustodyError| assert!(matches!(error, CustodyError::NotEmpty { .. }), "{error:?}");
    let used = dir.path().join("used");
    fs::create_dir(&used).unwrap();
    write(used.join("anything"), "", 0o600);
    check(Keystore::create(&used).err().unwrap());
    let keys = dir.path().join("keys");
    Keystore::create(&keys).unwrap();
    check(Keystore::create(&keys).err().unwrap());

    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o755)).unwrap();
    Keystore::create(&empty).unwrap();
    assert_eq!(mode(&empty), 0o700);
}

#[test]
fn a_directory_that_is_no_keystore_does_not_open() {
    let fixture = Fixture::new();
    let metadata = fixture.file("keystore.json");
    for text in [
        "",
        "{}",
        r#"{"version":2,"journal_id":null}"#,
        r#"{"version":1,"journal_id":"ab"}"#,
        r#"{"version":1,"journal_id":7}"#,
        r#"{"version":1,"journal_id":null,"more":1}"#,
    ] {
        write(metadata.clone(), text, 0o600);
        assert!(matches!(fixture.reopen(), Err(CustodyError::NotKeystore { .. })), "{text}");
    }
    fs::remove_file(&metadata).unwrap();
    assert!(matches!(fixture.reopen(), Err(CustodyError::Io { attempt: "open", .. })));
}

#[test]
fn a_keystore_that_others_can_reach_does_not_open() {
    let fixture = Fixture::new();
    let dir = fixture.dir.path().join("keys");
    for open_to_others in [0o701, 0o702, 0o704, 0o777] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(open_to_others)).unwrap();
        assert!(matches!(fixture.reopen(), Err(CustodyError::TooOpen { .. })));
    }
    // What a volume with an `fsGroup` looks like.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o770)).unwrap();
    fs::set_permissions(fixture.file("keystore.json"), fs::Permissions::from_mode(0o660)).unwrap();
    fixture.reopen().unwrap();
    fs::set_permissions(fixture.file("keystore.json"), fs::Permissions::from_mode(0o604)).unwrap();
    assert!(matches!(fixture.reopen(), Err(CustodyError::TooOpen { .. })));
}

#[test]
fn everything_written_is_for_its_owner_only_and_nothing_else_remains() {
    let fixture = Fixture::new();
    fixture.keystore.create_wallet(&name("research"), &fixture.passphrase).unwrap();
    assert_eq!(mode(&fixture.dir.path().join("keys")), 0o700);
    let mut files: Vec<_> = fs::read_dir(fixture.dir.path().join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["keystore.json", "research.json"]);
    assert!(files.iter().all(|file| mode(&fixture.file(file)) == 0o600));
}

#[test]
fn a_keystore_belongs_to_one_journal_until_another_is_adopted() {
    let mut fixture = Fixture::new();
    let (first, second) = (JournalId([1; 16]), JournalId([2; 16]));
    assert_eq!(fixture.keystore.journal_id(), None);
    fixture.keystore.bind_journal(first).unwrap();
    fixture.keystore.bind_journal(first).unwrap();
    assert!(matches!(
        fixture.keystore.bind_journal(second),
        Err(CustodyError::JournalBound { bound, asked }) if (bound, asked) == (first, second)
    ));
    assert_eq!(fixture.reopen().unwrap().journal_id(), Some(first));
    fixture.keystore.rebind_journal(second).unwrap();
    assert_eq!(fixture.reopen().unwrap().journal_id(), Some(second));
    let written: serde_json::Value =
        serde_json::from_slice(&fs::read(fixture.file("keystore.json")).unwrap()).unwrap();
    assert_eq!(written, serde_json::json!({ "version": 1, "journal_id": "02".repeat(16) }));
}

#[test]
fn binding_looks_at_the_disk_and_not_at_what_was_read_before() {
    let mut fixture = Fixture::new();
    let mut other = fixture.reopen().unwrap();
    other.bind_journal(JournalId([1; 16])).unwrap();
    assert!(matches!(
        fixture.keystore.bind_journal(JournalId([2; 16])),
        Err(CustodyError::JournalBound { .. })
    ));
}

#[test]
fn two_processes_do_not_write_at_once() {
    let mut fixture = Fixture::new();
    let held = File::open(fixture.dir.path().join("keys")).unwrap();
    held.lock().unwrap();
    let busy = |error| matches!(error, Some(CustodyError::Busy { .. }));
    assert!(busy(fixture.keystore.create_wallet(&name("w"), &fixture.passphrase).err()));
    assert!(busy(fixture.keystore.bind_journal(JournalId([1; 16])).err()));
    drop(held);
    fixture.keystore.bind_journal(JournalId([1; 16])).unwrap();
}

#[test]
fn only_a_file_with_a_key_for_its_owner_only_is_imported() {
    let fixture = Fixture::new();
    for text in
        ["", "0x", &KEY[1..], &format!("{KEY}00"), &KEY.replace('7', "g"), &"0".repeat(64), &"f".repeat(64)]
    {
        let error = fixture.import_hex("w", text, 0o600).unwrap_err();
        assert!(matches!(error, CustodyError::NotKey { .. }), "{text}: {error:?}");
    }
    assert!(matches!(fixture.import_hex("w", &"0".repeat(81), 0o600), Err(CustodyError::TooLong { .. })));
    assert!(matches!(fixture.import_hex("w", KEY, 0o640), Err(CustodyError::TooOpen { .. })));
    assert!(fixture.keystore.list().unwrap().is_empty());
    for (wallet, text) in [("a", KEY.to_owned()), ("b", format!("0x{}\n", KEY.replace('7', "8")))] {
        fixture.import_hex(wallet, &text, 0o600).unwrap();
    }
    assert_eq!(fixture.keystore.list().unwrap()[0], (name("a"), address(ADDRESS)));
}

#[test]
fn a_key_file_of_another_keystore_is_sealed_again() {
    let (from, to) = (Fixture::new(), Fixture::new());
    let imported = from.import_hex("w", KEY, 0o600).unwrap();
    let source = from.file("w.json");
    let import = |passphrase| {
        to.keystore.import_wallet(&name("copy"), Import::KeyFile(&source, passphrase), &to.passphrase)
    };
    assert!(matches!(import(&to.passphrase), Err(CustodyError::WrongPassphrase { .. })));
    assert_eq!(import(&from.passphrase).unwrap(), imported);
    assert_eq!(to.keystore.load(&to.passphrase).unwrap().addresses(), [imported]);

    write(to.dir.path().join("long.json"), &" ".repeat(16 * 1024 + 1), 0o600);
    let long = Import::KeyFile(&to.dir.path().join("long.json"), &from.passphrase);
    let error = to.keystore.import_wallet(&name("long"), long, &to.passphrase).unwrap_err();
    assert!(matches!(error, CustodyError::TooLong { .. }), "{error:?}");
}

#[test]
fn names_and_keys_are_given_once() {
    let fixture = Fixture::new();
    fixture.import_hex("w", KEY, 0o600).unwrap();
    let before = fs::read(fixture.file("w.json")).unwrap();
    let create = |wallet| fixture.keystore.create_wallet(&name(wallet), &fixture.passphrase).unwrap_err();
    assert!(matches!(create("w"), CustodyError::WalletExists { .. }));
    assert!(matches!(create("keystore"), CustodyError::ReservedName { .. }));
    let twice = fixture.import_hex("other", KEY, 0o600).unwrap_err();
    assert!(matches!(twice, CustodyError::KeyExists { wallet, .. } if wallet == name("w")));
    assert_eq!(fs::read(fixture.file("w.json")).unwrap(), before);
}

#[test]
fn one_passphrase_opens_all_wallets() {
    let fixture = Fixture::new();
    fixture.keystore.create_wallet(&name("one"), &fixture.passphrase).unwrap();
    let other = Passphrase::generate().unwrap();
    let error = fixture.keystore.create_wallet(&name("two"), &other).unwrap_err();
    assert!(matches!(error, CustodyError::WrongPassphrase { .. }), "{error:?}");
    assert!(matches!(fixture.keystore.load(&other), Err(CustodyError::WrongPassphrase { .. })));

    fixture.keystore.create_wallet(&name("two"), &fixture.passphrase).unwrap();
    let listed = fixture.reopen().unwrap().list().unwrap();
    assert_eq!(listed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    let mut expected: Vec<_> = listed.iter().map(|(_, address)| *address).collect();
    expected.sort();
    assert_eq!(fixture.keystore.load(&fixture.passphrase).unwrap().addresses(), expected);
}

#[test]
fn a_stray_or_unlabelled_file_is_named() {
    let fixture = Fixture::new();
    let stray = write(fixture.file("Research.json"), "{}", 0o600);
    assert!(matches!(fixture.keystore.list(), Err(CustodyError::StrayFile { path }) if path == stray));
    fs::remove_file(stray).unwrap();
    write(fixture.file("w.json"), "{}", 0o600);
    assert!(matches!(fixture.keystore.list(), Err(CustodyError::NotKeyFile { .. })));
    fs::remove_file(fixture.file("w.json")).unwrap();
    write(fixture.file("notes.txt"), "", 0o600);
    assert!(fixture.keystore.list().unwrap().is_empty());
}

#[test]
fn the_registry_and_the_keystore_must_agree() {
    let fixture = Fixture::new();
    let known = fixture.import_hex("known", KEY, 0o600).unwrap();
    let other = fixture.keystore.create_wallet(&name("other"), &fixture.passphrase).unwrap();
    let load = |wallet: &str, address| {
        fixture.keystore.load_expected(&fixture.passphrase, &BTreeMap::from([(address, name(wallet))]))
    };
    // A wallet that has no key here signs nothing, which is for the caller to say.
    let none = load("absent", known).unwrap();
    assert!(none.addresses().is_empty() && !none.holds(known));
    let error = load("known", other).err().unwrap();
    for part in ["`known`", &known.to_string(), &other.to_string()] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(matches!(
        error,
        CustodyError::WrongAddress { wallet, registry, keystore }
            if (wallet.as_str(), registry, keystore) == ("known", other, known)
    ));
    // The key that the registry does not name stays encrypted.
    assert_eq!(load("known", known).unwrap().addresses(), [known]);
}

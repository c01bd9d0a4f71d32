//! Several keys of one wallet: the one in use, and those before and after it.

use std::collections::BTreeMap;
use std::fs;

use pursekeeper_core::Address;
use pursekeeper_custody::{CustodyError, LocalCustody, Passphrase};

use crate::{ADDRESS, Fixture, KEY, OTHER_ADDRESS, OTHER_KEY, address, mode, name, successor, write};

fn load(fixture: &Fixture, expected: &[(Address, &str)]) -> Result<LocalCustody, CustodyError> {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(address, wallet)| (*address, name(wallet))).collect();
    fixture.keystore.load_expected(&fixture.passphrase, &expected)
}

#[test]
fn only_a_wallet_with_a_key_has_a_successor() {
    let fixture = Fixture::new();
    let rotate = |wallet, passphrase| fixture.keystore.create_successor(&name(wallet), passphrase);
    for wallet in ["w", "keystore"] {
        let error = rotate(wallet, &fixture.passphrase).unwrap_err();
        assert!(
            matches!(error, CustodyError::WalletMissing { .. } | CustodyError::ReservedName { .. }),
            "{error:?}"
        );
    }
    fixture.create("w");
    let error = rotate("w", &Passphrase::generate().unwrap()).unwrap_err();
    assert!(matches!(error, CustodyError::WrongPassphrase { .. }), "{error:?}");
    assert_eq!(fixture.files(), ["w.json"]);
}

#[test]
fn a_file_name_that_does_not_say_what_it_holds_is_stray() {
    let fixture = Fixture::new();
    fixture.import_hex("w", KEY, 0o600).unwrap();
    let text = fs::read_to_string(fixture.file("w.json")).unwrap();
    for file in [
        "w.old.json".to_owned(),
        "w..json".to_owned(),
        ".json".to_owned(),
        "w.0x.json".to_owned(),
        format!("w.{}.json", &ADDRESS[2..]),
        format!("w.0x{}.json", ADDRESS[2..].to_uppercase()),
        format!("w.{}.json", address(ADDRESS)),
        format!("w.{OTHER_ADDRESS}.json"),
        format!("w.{ADDRESS}.{ADDRESS}.json"),
        format!("w.{ADDRESS}.old.json"),
        format!("W.{ADDRESS}.json"),
        format!(".{ADDRESS}.json"),
        format!("keystore.{ADDRESS}.json"),
    ] {
        let stray = write(fixture.file(&file), &text, 0o600);
        // A name that begins with a dot has no extension, so it is none of ours.
        if file == ".json" {
            assert_eq!(fixture.keystore.list().unwrap().len(), 1);
        } else {
            let listed = fixture.keystore.list();
            assert!(matches!(&listed, Err(CustodyError::StrayFile { path }) if *path == stray), "{file}");
        }
        fs::remove_file(stray).unwrap();
    }
    write(fixture.file(&format!("w.{ADDRESS}.json")), &text, 0o600);
    assert_eq!(fixture.keystore.list().unwrap(), [(name("w"), address(ADDRESS))], "one key is listed once");
}

#[test]
fn a_file_that_decrypts_to_another_key_than_it_states_is_never_loaded() {
    let fixture = Fixture::new();
    let first = fixture.import_hex("w", KEY, 0o600).unwrap();
    let text = fs::read_to_string(fixture.file("w.json")).unwrap();
    let other = address(OTHER_ADDRESS);
    let text = text.replace(&ADDRESS[2..], &OTHER_ADDRESS[2..]);
    write(fixture.file(&successor("w", other)), &text, 0o600);
    let mislabelled = |error: Option<CustodyError>| {
        assert!(
            matches!(error, Some(CustodyError::Mislabelled { stated, actual, .. }) if (stated, actual) == (other, first))
        );
    };
    mislabelled(load(&fixture, &[(first, "w"), (other, "w")]).err());
    mislabelled(fixture.keystore.load_address(&fixture.passphrase, other).err());
    mislabelled(fixture.keystore.load(&fixture.passphrase).err());
    assert!(load(&fixture, &[(first, "w")]).unwrap().holds(first));
}

#[test]
fn a_key_that_nobody_expects_in_place_of_the_expected_one_is_an_error() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.create("w"), fixture.rotate("w"));
    let elsewhere = address(ADDRESS);
    let wrong = |expected: &[(Address, &str)], found: Address| {
        let error = load(&fixture, expected).err();
        assert!(
            matches!(&error, Some(CustodyError::WrongAddress { wallet, registry, keystore })
                if wallet.as_str() == "w" && *registry == elsewhere && *keystore == found),
            "{error:?}"
        );
    };
    wrong(&[(elsewhere, "w")], first);
    wrong(&[(elsewhere, "w"), (second, "w")], first);
    // The same key under another wallet is not expected under this one.
    wrong(&[(elsewhere, "w"), (first, "v"), (second, "w")], first);

    // A successor may wait to be declared, also when the key that it is to replace is gone and has to be recovered.
    assert_eq!(load(&fixture, &[(elsewhere, "w"), (first, "w")]).unwrap().addresses(), [first]);

    // Every key of the wallet is expected; the one that is not here has yet to come, or has been destroyed.
    let custody = load(&fixture, &[(elsewhere, "w"), (first, "w"), (second, "w")]).unwrap();
    assert!(custody.holds(first) && custody.holds(second) && !custody.holds(elsewhere));
    assert!(load(&fixture, &[(first, "v")]).unwrap().addresses().is_empty());
}

#[test]
fn a_wallet_and_its_successor_both_load() {
    let fixture = Fixture::new();
    let first = fixture.create("w");
    let (second, third) = (fixture.rotate("w"), fixture.rotate("w"));
    let mut files = vec!["w.json".to_owned(), successor("w", second), successor("w", third)];
    files.sort();
    assert_eq!(fixture.files(), files);
    assert!(files.iter().all(|file| mode(&fixture.file(file)) == 0o600));

    let mut all = vec![first, second, third];
    all.sort();
    let listed: Vec<_> = all.iter().map(|address| (name("w"), *address)).collect();
    assert_eq!(fixture.reopen().unwrap().list().unwrap(), listed);
    assert_eq!(fixture.keystore.load(&fixture.passphrase).unwrap().addresses(), all);
    // What is not expected stays encrypted.
    assert_eq!(load(&fixture, &[(third, "w")]).unwrap().addresses(), [third]);
    for address in all {
        let loaded = fixture.keystore.load_address(&fixture.passphrase, address).unwrap().unwrap();
        assert_eq!(loaded.addresses(), [address]);
    }
    let absent = fixture.keystore.load_address(&fixture.passphrase, address(ADDRESS)).unwrap();
    assert!(absent.is_none());
}

#[test]
fn a_running_custody_takes_keys_over_and_gives_them_up() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.create("w"), fixture.rotate("w"));
    let running = load(&fixture, &[(first, "w")]).unwrap();
    running.adopt(fixture.keystore.load_address(&fixture.passphrase, second).unwrap().unwrap());
    running.adopt(fixture.keystore.load(&fixture.passphrase).unwrap());
    assert_eq!(running.addresses(), [first.min(second), first.max(second)]);
    assert!(running.destroy(first) && !running.holds(first) && running.holds(second));
    assert!(!running.destroy(first), "there is none left");
    assert_eq!(running.addresses(), [second]);
}

#[test]
fn what_a_crash_left_is_no_key_and_is_in_nobodys_way() {
    let fixture = Fixture::new();
    fixture.import_hex("w", KEY, 0o600).unwrap();
    let text = fs::read_to_string(fixture.file("w.json")).unwrap();
    for (leftover, text) in [
        ("w.tmp".to_owned(), ""),
        ("v.tmp".to_owned(), text.as_str()),
        (format!("w.{OTHER_ADDRESS}.tmp"), &text[..40]),
        ("keystore.tmp".to_owned(), "{"),
    ] {
        write(fixture.file(&leftover), text, 0o600);
    }
    assert_eq!(fixture.reopen().unwrap().list().unwrap(), [(name("w"), address(ADDRESS))]);
    fixture.rotate("w");
    fixture.import_hex("v", OTHER_KEY, 0o600).unwrap();
    assert_eq!(fixture.keystore.load(&fixture.passphrase).unwrap().addresses().len(), 3);
}

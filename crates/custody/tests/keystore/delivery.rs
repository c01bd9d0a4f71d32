//! Keys that are delivered to a running sidecar.

use std::fs;
use std::io;

use age::secrecy::SecretString;
use age::{scrypt, x25519};
use pursekeeper_custody::{
    CustodyError, DELIVERY_LEN_MAX, HEX_KEY_LEN_MAX, KEY_FILE_LEN_MAX, Passphrase, Recipient, Source,
    Transport, seal_delivery,
};

use crate::{ADDRESS, Fixture, KEY, OTHER_ADDRESS, OTHER_KEY, address, name, sealed, successor, write};

/// Seals any text at all for `to`, as somebody could who does not use our code.
fn forged(text: &str, to: &Recipient) -> Vec<u8> {
    let to: x25519::Recipient = to.as_str().parse().unwrap();
    age::encrypt_and_armor(&to, text.as_bytes()).unwrap().into_bytes()
}

#[test]
fn only_a_key_is_sealed() {
    let fixture = Fixture::new();
    fixture.import_hex("w", KEY, 0o600).unwrap();
    let (file, to) = (fixture.file("w.json"), Transport::generate().recipient());
    let other = Passphrase::generate().unwrap();
    let seal = |source: Source<'_>| seal_delivery(source, &name("w"), &to);
    for text in ["", "0x", &KEY[1..], &format!("{KEY}00"), &"0".repeat(64)] {
        let error = seal(Source::HexReader(&mut text.as_bytes())).unwrap_err();
        assert!(matches!(error, CustodyError::NotKey { .. }), "{text}: {error:?}");
    }
    for source in [
        Source::HexReader(&mut "0".repeat(HEX_KEY_LEN_MAX + 1).as_bytes()),
        Source::HexReader(&mut io::repeat(b'0')),
        Source::KeyReader(&mut " ".repeat(KEY_FILE_LEN_MAX + 1).as_bytes(), &other),
    ] {
        assert!(matches!(seal(source), Err(CustodyError::TooLong { .. })));
    }
    let text = fs::read(&file).unwrap();
    let wrong =
        |error: CustodyError| assert!(matches!(error, CustodyError::WrongPassphrase { .. }), "{error:?}");
    wrong(seal(Source::KeyFile(&file, &other)).unwrap_err());
    wrong(seal(Source::KeyReader(&mut &text[..], &other)).unwrap_err());
    let open_to_others = write(fixture.dir.path().join("hex"), KEY, 0o644);
    assert!(matches!(seal(Source::HexFile(&open_to_others)), Err(CustodyError::TooOpen { .. })));
}

#[test]
fn every_source_delivers_the_same_key_and_never_shows_it() {
    let fixture = Fixture::new();
    fixture.import_hex("w", KEY, 0o600).unwrap();
    let file = fixture.file("w.json");
    let (hex, text) = (fixture.dir.path().join("source"), fs::read(&file).unwrap());
    for source in [
        Source::HexFile(&hex),
        Source::HexReader(&mut format!("0x{KEY}\r\n").as_bytes()),
        Source::KeyFile(&file, &fixture.passphrase),
        Source::KeyReader(&mut &text[..], &fixture.passphrase),
    ] {
        let (to, transport) = (Fixture::new(), Transport::generate());
        let message = seal_delivery(source, &name("w"), &transport.recipient()).unwrap();
        assert!(message.len() * 2 < DELIVERY_LEN_MAX, "{}", message.len());
        assert!(!message.windows(16).any(|part| part == &KEY.as_bytes()[..16]));
        assert_eq!(to.import("w", &message, &transport, None).unwrap(), address(ADDRESS));
        assert_eq!(to.keystore.load(&to.passphrase).unwrap().addresses(), [address(ADDRESS)]);
    }
}

#[test]
fn what_is_not_sealed_for_this_transport_is_refused() {
    let (fixture, transport) = (Fixture::new(), Transport::generate());
    let to = transport.recipient();
    let import = |message: &[u8]| fixture.import("w", message, &transport, None).unwrap_err();
    let not_sealed = |message: &[u8]| {
        let error = import(message);
        assert!(matches!(error, CustodyError::NotSealed { .. }), "{error:?}");
    };
    let line = format!(
        r#"{{"kind":"pursekeeper-wallet","version":1,"wallet":"w","address":"{ADDRESS}","private_key":"0x{KEY}"}}"#
    );
    not_sealed(b"");
    not_sealed(KEY.as_bytes());
    not_sealed(line.as_bytes());
    let mut guessable = scrypt::Recipient::new(SecretString::from("guess me".to_owned()));
    guessable.set_work_factor(2);
    not_sealed(&age::encrypt(&guessable, line.as_bytes()).unwrap());
    not_sealed(age::encrypt_and_armor(&guessable, line.as_bytes()).unwrap().as_bytes());

    let stranger = sealed(KEY, "w", &Transport::generate().recipient());
    assert!(matches!(import(&stranger), CustodyError::OtherRecipient { .. }));
    let mut long = sealed(KEY, "w", &to);
    long.resize(DELIVERY_LEN_MAX + 1, b'\n');
    assert!(matches!(import(&long), CustodyError::TooLong { len_max: DELIVERY_LEN_MAX, .. }));
    for text in ["", "{}", &line.replace("0x7a", "0x7b7a"), &"{".repeat(2000), &line.replace(":1,", ":2,")] {
        let error = import(&forged(text, &to));
        assert!(matches!(error, CustodyError::NotWalletKey { .. }), "{text}: {error:?}");
    }
    assert!(fixture.files().is_empty(), "nothing of this was kept");
    assert_eq!(fixture.import("w", &forged(&line, &to), &transport, None).unwrap(), address(ADDRESS));
}

#[test]
fn a_message_that_was_cut_off_or_changed_is_refused() {
    let (fixture, transport) = (Fixture::new(), Transport::generate());
    let message = sealed(KEY, "w", &transport.recipient());
    let refused = |message: &[u8], what: &str| {
        let error = fixture.import("w", message, &transport, None).err();
        let expected = matches!(
            error,
            Some(
                CustodyError::NotSealed { .. }
                    | CustodyError::SealBroken { .. }
                    | CustodyError::OtherRecipient { .. }
            )
        );
        assert!(expected, "{what}: {error:?}");
    };
    // The line ending after the last line is not part of the message.
    for end in 0..message.len() - 1 {
        refused(&message[..end], &format!("cut off at {end}"));
    }
    for at in 0..message.len() - 1 {
        for bit in [1, 4] {
            let mut changed = message.clone();
            changed[at] ^= bit;
            refused(&changed, &format!("bit {bit} of byte {at}"));
        }
    }
    assert!(fixture.files().is_empty());
}

#[test]
fn the_key_of_another_wallet_or_another_key_is_refused() {
    let (fixture, transport) = (Fixture::new(), Transport::generate());
    let message = sealed(KEY, "w", &transport.recipient());
    assert!(matches!(
        fixture.import("v", &message, &transport, None),
        Err(CustodyError::OtherWallet { expected, found, .. }) if (expected.as_str(), found.as_str()) == ("v", "w")
    ));
    let waited_for = address(OTHER_ADDRESS);
    assert!(matches!(
        fixture.import("w", &message, &transport, Some(waited_for)),
        Err(CustodyError::OtherKey { expected, found }) if (expected, found) == (waited_for, address(ADDRESS))
    ));
    let mislabelled = format!(
        r#"{{"kind":"pursekeeper-wallet","version":1,"wallet":"w","address":"{OTHER_ADDRESS}","private_key":"0x{KEY}"}}"#
    );
    let mislabelled = forged(&mislabelled, &transport.recipient());
    assert!(matches!(
        fixture.import("w", &mislabelled, &transport, Some(waited_for)),
        Err(CustodyError::Mislabelled { .. })
    ));
    let reserved = sealed(KEY, "keystore", &transport.recipient());
    let error = fixture.import("keystore", &reserved, &transport, None);
    assert!(matches!(error, Err(CustodyError::ReservedName { .. })));
    assert!(fixture.files().is_empty());
}

#[test]
fn a_name_that_is_taken_takes_only_an_expected_successor() {
    let (fixture, transport) = (Fixture::new(), Transport::generate());
    fixture.import_hex("w", KEY, 0o600).unwrap();
    fixture.create("v");
    let deliver = |key, wallet, expected: Option<&str>| {
        let message = sealed(key, wallet, &transport.recipient());
        fixture.import(wallet, &message, &transport, expected.map(address))
    };
    assert!(matches!(deliver(OTHER_KEY, "w", None), Err(CustodyError::WalletExists { .. })));
    for expected in [None, Some(ADDRESS)] {
        assert!(matches!(deliver(KEY, "v", expected), Err(CustodyError::KeyExists { .. })));
    }
    assert_eq!(fixture.files(), ["v.json", "w.json"]);
    assert_eq!(deliver(OTHER_KEY, "w", Some(OTHER_ADDRESS)).unwrap(), address(OTHER_ADDRESS));
    assert_eq!(
        fixture.files(),
        ["v.json".to_owned(), successor("w", address(OTHER_ADDRESS)), "w.json".to_owned()]
    );
}

#[test]
fn a_key_that_is_kept_already_is_delivered_again_without_a_change() {
    let (fixture, transport) = (Fixture::new(), Transport::generate());
    let message = sealed(KEY, "w", &transport.recipient());
    fixture.import("w", &message, &transport, None).unwrap();
    let before = fs::read(fixture.file("w.json")).unwrap();
    for expected in [None, Some(address(ADDRESS))] {
        assert_eq!(fixture.import("w", &message, &transport, expected).unwrap(), address(ADDRESS));
    }
    assert_eq!(
        (fixture.files(), fs::read(fixture.file("w.json")).unwrap()),
        (vec!["w.json".to_owned()], before)
    );

    // It is said to be kept only if it can be opened.
    let other = Passphrase::generate().unwrap();
    let error = fixture.keystore.import_delivery(&name("w"), &message, &transport, None, &other);
    assert!(matches!(error, Err(CustodyError::WrongPassphrase { .. })));
}

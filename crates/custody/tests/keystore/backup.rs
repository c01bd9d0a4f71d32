//! Backups: who can open them, and what they find.

use std::io::Read as _;
use std::path::PathBuf;

use age::armor::ArmoredReader;
use age::secrecy::{ExposeSecret as _, SecretString};
use age::{Decryptor, scrypt, x25519};
use pursekeeper_custody::{
    BACKUP_LEN_MAX, CustodyError, IDENTITIES_MAX, LocalCustody, RECIPIENTS_MAX, Recipient, Source, Transport,
    seal_delivery,
};

use crate::{ADDRESS, Fixture, KEY, address, name, write};

/// What `age-keygen` writes.
fn identity_file(identity: &x25519::Identity) -> String {
    let (public, secret) = (identity.to_public(), identity.to_string());
    let secret = secret.expose_secret();
    format!("# created: 2026-11-02T10:00:00Z\n# public key: {public}\n{secret}\n")
}

fn recipient(identity: &x25519::Identity) -> Recipient {
    Recipient::parse(&identity.to_public().to_string()).unwrap()
}

/// A custody that holds the key that everybody knows, as wallet `w`.
fn custody(fixture: &Fixture) -> LocalCustody {
    fixture.import_hex("w", KEY, 0o600).unwrap();
    fixture.keystore.load(&fixture.passphrase).unwrap()
}

/// A backup of it on disk for a new identity, and its identity file.
fn backed_up(fixture: &Fixture) -> (PathBuf, PathBuf) {
    let identity = x25519::Identity::generate();
    let backup = custody(fixture).backup(address(ADDRESS), &name("w"), &[recipient(&identity)]).unwrap();
    let backup = write(fixture.dir.path().join("w.age"), str::from_utf8(&backup).unwrap(), 0o644);
    (backup, write(fixture.dir.path().join("identity"), &identity_file(&identity), 0o600))
}

fn restore(file: &PathBuf, identity: &PathBuf, wallet: &str) -> Result<Vec<u8>, CustodyError> {
    seal_delivery(Source::Backup { file, identity }, &name(wallet), &Transport::generate().recipient())
}

#[test]
fn a_backup_needs_a_key_and_somebody_to_open_it() {
    let fixture = Fixture::new();
    let custody = custody(&fixture);
    let to = recipient(&x25519::Identity::generate());
    let backup = |address, count| custody.backup(address, &name("w"), &vec![to.clone(); count]);
    assert!(matches!(backup(address(ADDRESS), 0), Err(CustodyError::NoRecipient)));
    let many = backup(address(ADDRESS), RECIPIENTS_MAX + 1).unwrap_err();
    assert!(matches!(many, CustodyError::TooManyRecipients { count, count_max }
        if (count, count_max) == (RECIPIENTS_MAX + 1, RECIPIENTS_MAX)));
    let absent = address("0x1000000000000000000000000000000000000001");
    assert!(matches!(backup(absent, 1), Err(CustodyError::NoKey { address }) if address == absent));
    custody.destroy(address(ADDRESS));
    assert!(matches!(backup(address(ADDRESS), 1), Err(CustodyError::NoKey { .. })));
}

#[test]
fn every_recipient_opens_a_backup_with_age_alone_and_nobody_else_does() {
    let identities: Vec<_> = (0..RECIPIENTS_MAX).map(|_| x25519::Identity::generate()).collect();
    let recipients: Vec<_> = identities.iter().map(recipient).collect();
    let backup = custody(&Fixture::new()).backup(address(ADDRESS), &name("w"), &recipients).unwrap();
    assert!(backup.len() <= BACKUP_LEN_MAX, "{}", backup.len());
    let text = str::from_utf8(&backup).unwrap();
    assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
    assert!(text.ends_with("-----END AGE ENCRYPTED FILE-----\n"));
    let open = |identity: &x25519::Identity| {
        let decryptor = Decryptor::new(ArmoredReader::new(&backup[..])).unwrap();
        let mut plain = String::new();
        let reader = decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)).ok();
        reader.map(|mut reader| reader.read_to_string(&mut plain).map(|_| plain).unwrap())
    };
    let expected = format!(
        "{{\"kind\":\"pursekeeper-wallet\",\"version\":1,\"wallet\":\"w\",\"address\":\"{}\",\"private_key\":\"0x{KEY}\"}}\n",
        address(ADDRESS)
    );
    for identity in [&identities[0], &identities[RECIPIENTS_MAX - 1]] {
        assert_eq!(open(identity).unwrap(), expected);
    }
    assert!(open(&x25519::Identity::generate()).is_none());
}

#[test]
fn only_an_identity_file_for_its_owner_only_opens_a_backup() {
    let fixture = Fixture::new();
    let (backup, identity) = backed_up(&fixture);
    let good = std::fs::read_to_string(&identity).unwrap();
    let secret = good.lines().last().unwrap().to_owned();
    let stranger = identity_file(&x25519::Identity::generate());
    let public = x25519::Identity::generate().to_public().to_string();
    for text in [
        "",
        "# nothing\n",
        &public,
        &secret[1..],
        &format!("{good}{public}\n"),
        &format!("{secret}\n").repeat(IDENTITIES_MAX + 1),
    ] {
        write(identity.clone(), text, 0o600);
        let error = restore(&backup, &identity, "w").unwrap_err();
        assert!(matches!(error, CustodyError::NotIdentity { .. }), "{text}: {error:?}");
        assert!(!error.to_string().contains(&secret[1..]), "{error}");
    }
    write(identity.clone(), &stranger, 0o600);
    assert!(matches!(restore(&backup, &identity, "w"), Err(CustodyError::OtherRecipient { .. })));
    for open_to_others in [0o640, 0o604, 0o620] {
        write(identity.clone(), &good, open_to_others);
        assert!(matches!(restore(&backup, &identity, "w"), Err(CustodyError::TooOpen { .. })));
    }
    write(identity.clone(), &"#".repeat(4097), 0o600);
    assert!(matches!(restore(&backup, &identity, "w"), Err(CustodyError::TooLong { .. })));
    for text in [good.clone(), format!("{stranger}\n\r\n{good}"), secret.clone()] {
        write(identity.clone(), &text, 0o400);
        restore(&backup, &identity, "w").unwrap();
    }
}

#[test]
fn only_a_backup_of_the_same_wallet_is_restored() {
    let fixture = Fixture::new();
    let (backup, identity) = backed_up(&fixture);
    assert!(matches!(
        restore(&backup, &identity, "v"),
        Err(CustodyError::OtherWallet { expected, found, .. }) if (expected.as_str(), found.as_str()) == ("v", "w")
    ));
    assert!(matches!(restore(&identity, &identity, "w"), Err(CustodyError::NotSealed { .. })));
    let text = std::fs::read_to_string(&backup).unwrap();
    write(backup.clone(), &text[..text.len() - 40], 0o600);
    let error = restore(&backup, &identity, "w").unwrap_err();
    assert!(matches!(error, CustodyError::SealBroken { .. }), "{error:?}");
    write(backup.clone(), &" ".repeat(BACKUP_LEN_MAX + 1), 0o600);
    assert!(matches!(restore(&backup, &identity, "w"), Err(CustodyError::TooLong { .. })));

    let mut guessable = scrypt::Recipient::new(SecretString::from("guess me".to_owned()));
    guessable.set_work_factor(2);
    let weak = age::encrypt_and_armor(&guessable, b"{}").unwrap();
    write(backup.clone(), &weak, 0o600);
    assert!(matches!(restore(&backup, &identity, "w"), Err(CustodyError::NotSealed { .. })));
}

#[test]
fn a_lost_wallet_comes_back_from_its_backup() {
    let lost = Fixture::new();
    let (file, identity) = backed_up(&lost);
    let transport = Transport::generate();
    let source = Source::Backup { file: &file, identity: &identity };
    let message = seal_delivery(source, &name("w"), &transport.recipient()).unwrap();
    let fresh = Fixture::new();
    let restored = fresh.import("w", &message, &transport, Some(address(ADDRESS))).unwrap();
    assert_eq!(fresh.keystore.load(&fresh.passphrase).unwrap().addresses(), [restored]);
}

use std::fs;

use pursekeeper_core::{Checkpoint, Digest, JournalId};
use pursekeeper_custody::{CustodyError, Import, Passphrase};

use super::{Fixture, mode, name, write};

const CHECKPOINT: Checkpoint = Checkpoint { journal: JournalId([0xab; 16]), size: 7, root: Digest([7; 32]) };

#[test]
fn the_audit_key_is_kept_sealed_and_stays_as_it_is() {
    let mut fixture = Fixture::new();
    fixture.keystore.bind_journal(CHECKPOINT.journal).unwrap();
    let (keystore, passphrase) = (&fixture.keystore, &fixture.passphrase);
    assert!(matches!(keystore.load_audit_key(passphrase), Err(CustodyError::NoAuditKey { .. })));
    assert!(matches!(keystore.audit_verifier_key(), Err(CustodyError::NoAuditKey { .. })));
    assert!(keystore.create_audit_key(passphrase).unwrap());
    let path = fixture.dir.path().join("keys/audit.key");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    let key = keystore.load_audit_key(passphrase).unwrap();
    let verifier = key.verifier_key(CHECKPOINT.journal);
    assert_eq!(keystore.audit_verifier_key().unwrap(), verifier);
    assert!(verifier.starts_with("pursekeeper/abababababababababababababababab+"));
    // Asked again, it is the same key.
    assert!(!keystore.create_audit_key(passphrase).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(keystore.load_audit_key(passphrase).unwrap().sign(&CHECKPOINT), key.sign(&CHECKPOINT));
}

#[test]
fn wallets_and_the_audit_key_do_not_meet() {
    let fixture = Fixture::new();
    let (keystore, passphrase) = (&fixture.keystore, &fixture.passphrase);
    keystore.create_audit_key(passphrase).unwrap();
    let address = fixture.create("audit");
    assert_eq!(keystore.list().unwrap(), [(name("audit"), address)]);
    keystore.load_audit_key(passphrase).unwrap();
    // Its file is nothing that a wallet's key can be read from.
    let file = fs::read_to_string(fixture.dir.path().join("keys/audit.key")).unwrap();
    let copy = write(fixture.dir.path().join("copy.json"), &file, 0o600);
    let imported = keystore.import_wallet(&name("other"), Import::KeyFile(&copy, passphrase), passphrase);
    assert!(matches!(imported, Err(CustodyError::NotKeyFile { .. } | CustodyError::KeyFileField { .. })));
}

#[test]
fn an_audit_key_that_is_not_ours_is_refused() {
    let fixture = Fixture::new();
    let (keystore, passphrase) = (&fixture.keystore, &fixture.passphrase);
    fixture.create("research");
    let other = Passphrase::generate().unwrap();
    assert!(matches!(keystore.create_audit_key(&other), Err(CustodyError::WrongPassphrase { .. })));
    keystore.create_audit_key(passphrase).unwrap();
    assert!(matches!(keystore.load_audit_key(&other), Err(CustodyError::WrongPassphrase { .. })));
    let path = fixture.dir.path().join("keys/audit.key");
    let text = fs::read_to_string(&path).unwrap();
    let public = text.split('"').skip_while(|part| *part != "public_key").nth(2).unwrap().to_owned();
    for wrong in [
        text.replace("audit-key", "wallet"),
        text.replace("\"version\":1", "\"version\":2"),
        text.replace(&public, &"00".repeat(32)),
        "{}".to_owned(),
    ] {
        write(path.clone(), &wrong, 0o600);
        let error = keystore.load_audit_key(passphrase).err().unwrap();
        assert!(matches!(error, CustodyError::NotAuditKey { .. }), "{wrong}: {error}");
    }
    write(path, &text, 0o644);
    assert!(matches!(keystore.load_audit_key(passphrase), Err(CustodyError::TooOpen { .. })));
}

//! Passphrases from files.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use pursekeeper_core::WalletName;
use pursekeeper_custody::{CustodyError, Keystore, PASSPHRASE_LEN_MAX, Passphrase};

fn write(path: PathBuf, bytes: &[u8], mode: u32) -> PathBuf {
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn refusal(path: &Path) -> CustodyError {
    let error = Passphrase::from_file(path).err().unwrap();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    error
}

#[test]
fn what_is_not_a_regular_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path().join("file"), b"secret", 0o600);
    let link = dir.path().join("link");
    symlink(&file, &link).unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
    for path in [link.as_path(), &pipe, dir.path(), Path::new("/dev/null")] {
        assert!(matches!(refusal(path), CustodyError::NotRegularFile { .. }), "{}", path.display());
    }
    assert!(matches!(refusal(&dir.path().join("absent")), CustodyError::Io { attempt: "open", .. }));
}

#[test]
fn any_access_of_group_or_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for bit in 0..6 {
        let file = write(dir.path().join("file"), b"secret", 0o600 | (1 << bit));
        assert!(matches!(refusal(&file), CustodyError::TooOpen { mode, .. } if mode == 0o600 | (1 << bit)));
    }
    for mode in [0o400, 0o600, 0o700] {
        Passphrase::from_file(write(dir.path().join("file"), b"secret", mode)).unwrap();
    }
}

#[test]
fn empty_and_long_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = || dir.path().join("file");
    for bytes in [b"".as_slice(), b"\n"] {
        assert!(matches!(refusal(&write(file(), bytes, 0o600)), CustodyError::EmptyPassphrase { .. }));
    }
    for len in [PASSPHRASE_LEN_MAX + 1, PASSPHRASE_LEN_MAX * 3] {
        assert!(matches!(refusal(&write(file(), &vec![b'a'; len], 0o600)), CustodyError::TooLong { .. }));
    }
    Passphrase::from_file(write(file(), &vec![b'a'; PASSPHRASE_LEN_MAX], 0o600)).unwrap();
}

#[test]
fn exactly_one_trailing_newline_is_not_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let of = |bytes: &[u8]| Passphrase::from_file(write(dir.path().join("file"), bytes, 0o600)).unwrap();
    let keystore = Keystore::create(dir.path().join("keys")).unwrap();
    keystore.create_wallet(&WalletName::parse("w").unwrap(), &of(b"secret")).unwrap();
    for (bytes, opens) in [
        (b"secret\n".as_slice(), true),
        (b"secret\n\n", false),
        (b"secret\r\n", false),
        (b"\nsecret", false),
        (b"secret ", false),
    ] {
        assert_eq!(keystore.load(&of(bytes)).is_ok(), opens, "{bytes:?}");
    }
}

#[test]
fn a_generated_passphrase_is_random_and_written_once_for_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    Passphrase::generate().unwrap().write_new(&one).unwrap();
    Passphrase::generate().unwrap().write_new(&two).unwrap();
    let text = fs::read_to_string(&one).unwrap();
    assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text:?}");
    assert_ne!(text, fs::read_to_string(&two).unwrap());
    assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o400);
    assert!(matches!(
        Passphrase::generate().unwrap().write_new(&one),
        Err(CustodyError::Io { attempt: "create", .. })
    ));
    assert_eq!(fs::read_to_string(&one).unwrap(), text);
    Passphrase::from_file(&one).unwrap();
}

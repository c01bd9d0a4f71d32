//! A keystore on a real file system.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod audit;
mod backup;
mod delivery;
mod directory;
mod removal;
mod rotation;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pursekeeper_core::{Address, EvmAddress, WalletName};
use pursekeeper_custody::{
    CustodyError, Import, Keystore, Passphrase, Recipient, Source, Transport, seal_delivery,
};

/// A key that everybody knows, and its address.
const KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
const ADDRESS: &str = "0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b";
/// Another one: that of the number one.
const OTHER_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const OTHER_ADDRESS: &str = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf";

fn name(text: &str) -> WalletName {
    WalletName::parse(text).unwrap()
}

fn address(text: &str) -> Address {
    EvmAddress::parse(text).unwrap().into()
}

fn write(path: PathBuf, text: &str, mode: u32) -> PathBuf {
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// `key`, sealed as the key of `wallet` for `to`.
fn sealed(key: &str, wallet: &str, to: &Recipient) -> Vec<u8> {
    seal_delivery(Source::HexReader(&mut key.as_bytes()), &name(wallet), to).unwrap()
}

/// A keystore in a temporary directory, and its passphrase.
struct Fixture {
    dir: tempfile::TempDir,
    keystore: Keystore,
    passphrase: Passphrase,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keystore = Keystore::create(dir.path().join("keys")).unwrap();
        Self { dir, keystore, passphrase: Passphrase::generate().unwrap() }
    }

    fn file(&self, file: &str) -> PathBuf {
        self.dir.path().join("keys").join(file)
    }

    /// The names of all files of the keystore, in order, without the one that describes it.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("keys")).unwrap();
        let mut files: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.retain(|file| file != "keystore.json");
        files.sort();
        files
    }

    fn reopen(&self) -> Result<Keystore, CustodyError> {
        Keystore::open(self.dir.path().join("keys"))
    }

    fn import_hex(&self, wallet: &str, text: &str, mode: u32) -> Result<Address, CustodyError> {
        let source = write(self.dir.path().join("source"), text, mode);
        self.keystore.import_wallet(&name(wallet), Import::HexFile(&source), &self.passphrase)
    }

    fn create(&self, wallet: &str) -> Address {
        self.keystore.create_wallet(&name(wallet), &self.passphrase).unwrap()
    }

    fn rotate(&self, wallet: &str) -> Address {
        self.keystore.create_successor(&name(wallet), &self.passphrase).unwrap()
    }

    fn import(
        &self,
        wallet: &str,
        message: &[u8],
        transport: &Transport,
        expected: Option<Address>,
    ) -> Result<Address, CustodyError> {
        self.keystore.import_delivery(&name(wallet), message, transport, expected, &self.passphrase)
    }
}

/// The file of the successor with this address.
fn successor(wallet: &str, address: Address) -> String {
    format!("{wallet}.{}.json", address.to_string().to_lowercase())
}

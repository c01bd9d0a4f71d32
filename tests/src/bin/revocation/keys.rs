//! What lies in a keystore, looked at as files.

use std::fs;
use std::path::PathBuf;

use pursekeeper_core::WalletName;
use pursekeeper_custody::{Keystore, Passphrase, Recipient, Source, seal_delivery};
use pursekeeper_tests::Purse;
use pursekeeper_tests::overspend::Tally;
use serde_json::Value;

/// The files of a wallet's keys.
pub(crate) fn of(purse: &Purse, wallet: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(purse.file("keystore")).unwrap().map(|entry| entry.unwrap().path());
    let is_key = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.strip_prefix(wallet).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".json"))
    };
    entries.filter(is_key).collect()
}

/// Every key file opens and holds the key it says: none is half written.
pub(crate) fn expect_whole(purse: &Purse, after: &str, tally: &mut Tally) {
    let passphrase = Passphrase::from_file(purse.file("passphrase")).unwrap();
    let opened = Keystore::open(purse.file("keystore")).and_then(|keystore| keystore.load(&passphrase));
    if let Err(error) = opened {
        tally.fault(format!("{after}: the keystore does not open: {error}"));
    }
}

/// Where a key is kept that is to come back, and what opens it: beside the keystore, where no sidecar looks.
fn outside(purse: &Purse) -> [PathBuf; 2] {
    ["outside.json", "outside-passphrase"].map(|name| purse.file(name))
}

/// Takes a wallet's only key out of a keystore, to lie beside another one or the same. Returns its address.
pub(crate) fn take_out(from: &Purse, wallet: &str, to: &Purse) -> String {
    let [file] = <[PathBuf; 1]>::try_from(of(from, wallet)).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let [key, passphrase] = outside(to);
    fs::copy(&file, key).unwrap();
    fs::copy(from.file("passphrase"), passphrase).unwrap();
    fs::remove_file(file).unwrap();
    let text: Value = serde_json::from_str(&text).unwrap();
    format!("0x{}", text["address"].as_str().unwrap().trim_start_matches("0x"))
}

/// The key that was taken out, sealed for a sidecar as the key of a wallet.
pub(crate) fn seal(purse: &Purse, wallet: &str, transport: &Recipient) -> Vec<u8> {
    let [key, passphrase] = outside(purse);
    let passphrase = Passphrase::from_file(passphrase).unwrap();
    let wallet = WalletName::parse(wallet).unwrap();
    seal_delivery(Source::KeyFile(&key, &passphrase), &wallet, transport).unwrap()
}

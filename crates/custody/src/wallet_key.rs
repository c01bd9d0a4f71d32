//! The line of JSON that is sealed when a key leaves: it says whose key it is, so that it cannot be taken for another.

use std::path::Path;

use pursekeeper_core::{EvmAddress, WalletName};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::CustodyError;
use crate::key::{KeyBytes, PrivateKey};

/// Longest line that is read, in bytes. The longest that is written has 260.
pub(crate) const WALLET_KEY_LEN_MAX: usize = 512;

const KIND: &str = "pursekeeper-wallet";
const VERSION: u32 = 1;

/// The line. Every text is borrowed, so that reading it makes no copy that nobody wipes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    kind: &'a str,
    version: u32,
    wallet: &'a str,
    address: &'a str,
    private_key: &'a str,
}

/// Writes `key` down as the key of `wallet`.
pub(crate) fn write(wallet: &WalletName, key: &PrivateKey) -> Zeroizing<Vec<u8>> {
    let mut digits = Zeroizing::new([0; 64]);
    // It cannot fail: 64 digits are what 32 bytes take.
    let _ = hex::encode_to_slice(*key.to_bytes(), &mut *digits);
    // All room is reserved first: growing a vector copies it and leaves the old bytes behind.
    let mut line = Zeroizing::new(Vec::with_capacity(WALLET_KEY_LEN_MAX));
    let (version, address) = (VERSION.to_string(), key.address().to_string());
    // Neither a name nor an address has a character that JSON escapes.
    for part in [
        r#"{"kind":""#,
        KIND,
        r#"","version":"#,
        &version,
        r#","wallet":""#,
        wallet.as_str(),
        r#"","address":""#,
        &address,
        r#"","private_key":"0x"#,
    ] {
        line.extend_from_slice(part.as_bytes());
    }
    line.extend_from_slice(&*digits);
    line.extend_from_slice(b"\"}\n");
    line
}

/// Reads the key of `wallet` from a line that came in `path`.
pub(crate) fn read(path: &Path, line: &[u8], wallet: &WalletName) -> Result<PrivateKey, CustodyError> {
    let refused = || CustodyError::NotWalletKey { path: path.to_owned() };
    // The message of a JSON error can quote the line.
    let Wire { kind, version, wallet: found, address, private_key } =
        serde_json::from_slice(line).map_err(|_| refused())?;
    if kind != KIND || version != VERSION {
        return Err(refused());
    }
    let found = WalletName::parse(found).map_err(|_| refused())?;
    let stated = EvmAddress::parse(address).map_err(|_| refused())?.into();
    let digits = private_key.strip_prefix("0x").ok_or_else(refused)?;
    let mut bytes = KeyBytes::default();
    hex::decode_to_slice(digits, &mut *bytes).map_err(|_| refused())?;
    let key = PrivateKey::from_bytes(&bytes)?.ok_or_else(refused)?;
    if found != *wallet {
        return Err(CustodyError::OtherWallet { path: path.to_owned(), expected: wallet.clone(), found });
    }
    if key.address() != stated {
        return Err(CustodyError::Mislabelled { path: path.to_owned(), stated, actual: key.address() });
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
    const LINE: &str = concat!(
        r#"{"kind":"pursekeeper-wallet","version":1,"wallet":"research","#,
        r#""address":"0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b","#,
        r#""private_key":"0x7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"}"#,
        "\n"
    );

    fn name(text: &str) -> WalletName {
        WalletName::parse(text).unwrap()
    }

    fn check(line: &str) -> CustodyError {
        read(Path::new("k"), line.as_bytes(), &name("research")).err().unwrap()
    }

    #[test]
    fn a_line_that_is_not_ours_is_refused_without_quoting_it() {
        let line = LINE.trim_end();
        let truncated = (0..line.len()).map(|end| line[..end].to_owned());
        let changed = [
            ("pursekeeper-wallet", "pursekeeper-key"),
            (":1,", ":0,"),
            (":1,", ":2,"),
            (":1,", ":\"1\","),
            ("\"research\"", "\"Research\""),
            ("0x008A", "008A"),
            ("0x008AeE", "0x008Aee"),
            ("0x7a28", "7a28"),
            ("0x7a28", "0x7a2"),
            ("0x7a28", "0x7a2g"),
            ("0x7a28", "0x\\u0037a28"),
            (KEY, &"0".repeat(64)),
            ("}", ",\"more\":1}"),
            ("}", "}}"),
        ];
        let changed = changed.map(|(from, to)| line.replace(from, to));
        for line in truncated.chain(changed) {
            let error = check(&line);
            assert!(matches!(error, CustodyError::NotWalletKey { .. }), "{line}: {error:?}");
            assert!(!error.to_string().contains("7a28"), "{error}");
        }
    }

    #[test]
    fn the_key_of_another_wallet_or_address_is_refused() {
        let other = LINE.replace("research", "treasury");
        assert!(matches!(check(&other), CustodyError::OtherWallet { expected, found, .. }
            if (expected.as_str(), found.as_str()) == ("research", "treasury")));
        let other =
            LINE.replace("0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b", &format!("0x{}", "1".repeat(40)));
        assert!(matches!(check(&other), CustodyError::Mislabelled { .. }));
    }

    #[test]
    fn what_is_written_is_the_documented_line_and_fits_its_room() {
        let key = read(Path::new("k"), LINE.as_bytes(), &name("research")).ok().unwrap();
        assert_eq!(hex::encode(*key.to_bytes()), KEY);
        let line = write(&name("research"), &key);
        assert_eq!(str::from_utf8(&line).unwrap(), LINE);
        let longest = write(&name(&"w".repeat(64)), &key);
        assert!(longest.len() <= 260 && longest.capacity() == WALLET_KEY_LEN_MAX, "it was not moved");
        assert!(read(Path::new("k"), &longest, &name(&"w".repeat(64))).is_ok());
    }
}

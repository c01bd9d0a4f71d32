use serde_json::{Value, json};

use super::*;
use crate::key::KeyBytes;

/// Key, address and passphrase of the test vectors in the definition of the format, and in go-ethereum.
const KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
const ADDRESS: &str = "008aeeda4d805471df9b2a5b0f38a0c3bcba786b";
const PASSPHRASE: &str = "testpassword";

fn pbkdf2() -> Value {
    json!({
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262144, "dklen": 32, "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    })
}

fn scrypt() -> Value {
    json!({
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "83dbcc02d8ccb40e466191a123791e0e" },
            "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32, "n": 262144, "r": 1, "p": 8,
                "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
            },
            "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    })
}

/// The same key with geth's standard parameters, made by `eth-account`. (The vector with these parameters that the
/// definition shows today does not open with any implementation.)
fn scrypt_standard() -> Value {
    let mut file = scrypt();
    file["address"] = ADDRESS.into();
    file["crypto"]["cipherparams"]["iv"] = "e13777dbfd061bc5b6cd04c997f52c1f".into();
    file["crypto"]["ciphertext"] = "0a3dd0eee72076e6b98289c08517150812037c20693c60ed0966638f3152b917".into();
    file["crypto"]["kdfparams"] = json!({
        "dklen": 32, "n": 262144, "r": 8, "p": 1,
        "salt": "25d1b1f6dcb7e1bf10fd1c46eaad92b6",
    });
    file["crypto"]["mac"] = "100551791193a6041ae342042c6a6333060b014156633de1963fabbc02ff73f0".into();
    file
}

/// A cheap file for tests that are not about the derivation.
fn cheap() -> Value {
    let bytes = KeyBytes::new(decode(KEY).unwrap());
    let text = seal(&PrivateKey::from_bytes(&bytes).unwrap().unwrap(), &Passphrase::of(PASSPHRASE)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn with(mut file: Value, pointer: &str, value: impl Into<Value>) -> Value {
    *file.pointer_mut(pointer).unwrap() = value.into();
    file
}

fn without(mut file: Value, parent: &str, member: &str) -> Value {
    file.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(member).unwrap();
    file
}

fn parse(file: &Value) -> Result<KeyFile, CustodyError> {
    KeyFile::parse(Path::new("k.json"), file.to_string().as_bytes())
}

fn open(file: &Value, passphrase: &str) -> Result<String, CustodyError> {
    parse(file)?.open(&Passphrase::of(passphrase)).map(|key| hex::encode(*key.to_bytes()))
}

#[test]
fn text_that_is_no_key_file_is_refused_without_quoting_it() {
    let whole = cheap().to_string();
    let truncated = (0..whole.len()).map(|end| whole[..end].to_owned());
    let others = ["[]", "null", "{}", "7280000001", KEY, r#"{"crypto":{},"Crypto":{}}"#].map(str::to_owned);
    for text in truncated.chain(others) {
        let error = KeyFile::parse(Path::new("k.json"), text.as_bytes()).err().unwrap();
        assert!(matches!(error, CustodyError::NotKeyFile { .. }), "{text}: {error:?}");
        assert!(!error.to_string().contains("728"), "{error}");
    }
}

#[test]
fn fields_that_are_not_supported_are_refused() {
    let check = |file: Value| {
        let error = parse(&file).err().unwrap();
        assert!(matches!(error, CustodyError::KeyFileField { .. }), "{file}: {error:?}");
    };
    for version in [0, 1, 2, 4] {
        check(with(cheap(), "/version", version));
    }
    check(with(cheap(), "/address", "0x00"));
    check(with(cheap(), "/crypto/cipher", "aes-128-cbc"));
    check(with(cheap(), "/crypto/cipherparams/iv", "00"));
    check(with(cheap(), "/crypto/ciphertext", "zz".repeat(32)));
    check(with(cheap(), "/crypto/ciphertext", "00".repeat(33)));
    check(with(cheap(), "/crypto/mac", "00".repeat(31)));
    check(with(cheap(), "/crypto/kdf", "argon2id"));
    check(with(cheap(), "/crypto/kdf", "pbkdf2"));
    check(with(cheap(), "/crypto/kdfparams/salt", "0"));
    check(with(cheap(), "/crypto/kdfparams/salt", "00".repeat(129)));
    for dklen in [0, 16, 31, 33, 64] {
        check(with(cheap(), "/crypto/kdfparams/dklen", dklen));
    }
    for n in [0, 1, 3, 4095] {
        check(with(cheap(), "/crypto/kdfparams/n", n));
    }
    for name in ["r", "p"] {
        check(with(cheap(), &format!("/crypto/kdfparams/{name}"), 0));
        check(without(cheap(), "/crypto/kdfparams", name));
    }
    check(with(pbkdf2(), "/crypto/kdfparams/prf", "hmac-sha512"));
    check(with(pbkdf2(), "/crypto/kdfparams/c", 0));
    check(without(pbkdf2(), "/crypto/kdfparams", "c"));
}

#[test]
fn a_file_cannot_ask_for_more_work_than_the_limits() {
    let check = |file: &Value, fits: bool| match parse(file) {
        Ok(_) => assert!(fits, "{file}"),
        Err(CustodyError::TooCostly { .. }) => assert!(!fits, "{file}"),
        Err(error) => panic!("{file}: {error:?}"),
    };
    let scrypt = |n: u64, r: u32, p: u32| {
        with(cheap(), "/crypto/kdfparams", json!({ "dklen": 32, "salt": "00", "n": n, "r": r, "p": p }))
    };
    for (n, r, p, fits) in [
        (1 << 18, 8, 1, true),
        // The memory of `p` counts too, so that twice the strongest parameters just do not fit.
        (1 << 19, 8, 1, false),
        (1 << 20, 4, 1, false),
        (1 << 63, 1, 1, false),
        (2, u32::MAX, 1, false),
        (1 << 63, u32::MAX, 1, false),
        (4096, 8, 16, true),
        (4096, 8, 17, false),
        (4096, 8, u32::MAX, false),
    ] {
        check(&scrypt(n, r, p), fits);
    }
    for (c, fits) in [(10_000_000, true), (10_000_001, false), (u32::MAX, false)] {
        check(&with(pbkdf2(), "/crypto/kdfparams/c", c), fits);
    }
}

#[test]
fn a_wrong_passphrase_and_a_changed_file_do_not_open() {
    let flipped = |file: Value, pointer: &str| {
        let text = file.pointer(pointer).unwrap().as_str().unwrap();
        let flip = if text.starts_with('0') { "1" } else { "0" };
        let changed = format!("{flip}{}", &text[1..]);
        with(file, pointer, changed)
    };
    for passphrase in ["", "Testpassword", "testpassword\n", "testpassword "] {
        assert!(matches!(open(&cheap(), passphrase), Err(CustodyError::WrongPassphrase { .. })));
    }
    for pointer in ["/crypto/mac", "/crypto/ciphertext", "/crypto/kdfparams/salt"] {
        let error = open(&flipped(cheap(), pointer), PASSPHRASE).unwrap_err();
        assert!(matches!(error, CustodyError::WrongPassphrase { .. }), "{pointer}: {error:?}");
    }
}

#[test]
fn a_file_that_holds_another_key_than_it_says_is_refused() {
    // The MAC covers neither the address nor the IV; only the address can tell.
    let other = with(cheap(), "/address", "11".repeat(20));
    assert!(matches!(open(&other, PASSPHRASE), Err(CustodyError::Mislabelled { .. })));
    let other = with(cheap(), "/crypto/cipherparams/iv", "11".repeat(16));
    assert!(matches!(open(&other, PASSPHRASE), Err(CustodyError::Mislabelled { .. })));
}

#[test]
fn the_published_vectors_open() {
    for file in [pbkdf2(), scrypt(), scrypt_standard()] {
        assert_eq!(open(&file, PASSPHRASE).unwrap(), KEY);
    }
}

#[test]
fn a_file_without_an_address_opens_and_cannot_be_listed() {
    let file = without(cheap(), "", "address");
    assert_eq!(open(&file, PASSPHRASE).unwrap(), KEY);
    assert!(matches!(parse(&file).unwrap().stated_address(), Err(CustodyError::KeyFileField { .. })));
}

#[test]
fn the_spellings_of_other_writers_open() {
    let mut ethers = cheap();
    let crypto = ethers.as_object_mut().unwrap().remove("crypto").unwrap();
    ethers["Crypto"] = crypto;
    ethers["x-ethers"] = json!({ "client": "ethers/6", "mnemonicCiphertext": "00" });
    assert_eq!(open(&ethers, PASSPHRASE).unwrap(), KEY);
    for address in [format!("0x{ADDRESS}"), ADDRESS.to_uppercase()] {
        assert_eq!(open(&with(cheap(), "/address", address), PASSPHRASE).unwrap(), KEY);
    }
    assert_eq!(open(&without(cheap(), "", "id"), PASSPHRASE).unwrap(), KEY);
}

#[test]
fn what_is_written_is_light_scrypt_under_fresh_randomness() {
    let (one, two) = (cheap(), cheap());
    assert_eq!(one["version"], 3);
    assert_eq!(one["address"], ADDRESS);
    let params = &one["crypto"]["kdfparams"];
    assert_eq!([&params["n"], &params["r"], &params["p"], &params["dklen"]], [4096, 8, 6, 32]);
    for pointer in
        ["/id", "/crypto/kdfparams/salt", "/crypto/cipherparams/iv", "/crypto/ciphertext", "/crypto/mac"]
    {
        assert_ne!(one.pointer(pointer), two.pointer(pointer), "{pointer}");
    }
}

#[test]
fn ids_are_uuids_of_version_four() {
    assert_eq!(uuid_v4([0; 16]), "00000000-0000-4000-8000-000000000000");
    assert_eq!(uuid_v4([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

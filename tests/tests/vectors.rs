//! Golden vectors, computed with viem: what we hash is what every other x402 client hashes.
//!
//! That the same digests are signed byte for byte is tested inside custody, where a key can be named.

use pursekeeper_core::{
    Address, Amount, Asset, AssetId, ChainId, Digest, EvmAddress, TransferMethod, UnixSeconds, Usd, UsdRate,
    transfer_with_authorization_digest,
};
use serde::Deserialize;
use serde_json::Value;

/// Kinds that no code of ours signs yet. Whoever makes one signed moves it to [`digest_of`].
const NOT_SIGNED_YET: [&str; 5] = ["cancel", "permit2_exact", "permit2_upto", "eip2612", "siwe"];

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    kind: String,
    address: String,
    #[serde(default)]
    domain: Value,
    #[serde(default)]
    message: Value,
    digest: String,
}

#[test]
fn every_kind_is_hashed_like_everybody_else_or_listed_as_not_signed() {
    let file: File = serde_json::from_str(include_str!("../vectors/evm.json")).unwrap();
    let mut hashed = 0;
    for (at, vector) in file.vectors.iter().enumerate() {
        if let Some(digest) = digest_of(vector) {
            assert_eq!(format!("0x{digest}"), vector.digest, "vector {at}, {}", vector.kind);
            hashed += 1;
        }
    }
    assert_eq!(hashed, 4, "every signed kind has its vectors in the file");
    for kind in NOT_SIGNED_YET {
        assert!(file.vectors.iter().any(|vector| vector.kind == kind), "no vector of kind `{kind}` is left");
    }
}

#[test]
fn one_changed_field_is_another_digest() {
    let file: File = serde_json::from_str(include_str!("../vectors/evm.json")).unwrap();
    let vector = file.vectors.iter().find(|vector| vector.kind == "eip3009").unwrap();
    let changes = [
        ("message", "to", "0x0000000000000000000000000000000000000001"),
        ("message", "value", "1"),
        ("message", "validAfter", "1"),
        ("message", "validBefore", "1"),
        ("message", "nonce", "0x0000000000000000000000000000000000000000000000000000000000000001"),
        ("domain", "name", "USD Coin"),
        ("domain", "version", "1"),
        ("domain", "chainId", "8453"),
        ("domain", "verifyingContract", "0x0000000000000000000000000000000000000001"),
    ];
    for (part, field, value) in changes {
        let (mut domain, mut message) = (vector.domain.clone(), vector.message.clone());
        if part == "domain" { &mut domain[field] } else { &mut message[field] }.clone_from(&value.into());
        let digest = eip3009(&domain, &message);
        assert_ne!(format!("0x{digest}"), vector.digest, "{part}.{field} is not part of what is signed");
    }
}

/// What we would sign for a vector; nothing for a kind that is not signed yet.
fn digest_of(vector: &Vector) -> Option<Digest> {
    match vector.kind.as_str() {
        "eip3009" => {
            assert_eq!(text(&vector.message, "from"), vector.address);
            Some(eip3009(&vector.domain, &vector.message))
        }
        kind => {
            assert!(NOT_SIGNED_YET.contains(&kind), "a vector of the new kind `{kind}`: hash it here");
            None
        }
    }
}

fn eip3009(domain: &Value, message: &Value) -> Digest {
    let asset = Asset::new(
        AssetId {
            network: ChainId::parse(&format!("eip155:{}", text(domain, "chainId"))).unwrap(),
            address: Address::Evm(address(text(domain, "verifyingContract"))),
        },
        "USDC".to_owned(),
        (text(domain, "name").to_owned(), text(domain, "version").to_owned()),
        6,
        vec![TransferMethod::Eip3009],
        UsdRate { per_unit: Usd::parse("1").unwrap(), usable_until: None },
    );
    let seconds = |field| UnixSeconds(text(message, field).parse().unwrap());
    let mut nonce = [0; 32];
    hex::decode_to_slice(text(message, "nonce").trim_start_matches("0x"), &mut nonce).unwrap();
    transfer_with_authorization_digest(
        asset.domain_separator(),
        (address(text(message, "from")), address(text(message, "to"))),
        Amount::parse(text(message, "value")).unwrap(),
        (seconds("validAfter"), seconds("validBefore")),
        nonce,
    )
}

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap()
}

fn address(text: &str) -> EvmAddress {
    EvmAddress::parse(text).unwrap()
}

//! Golden vectors, computed with viem: what we hash is what every other x402 client hashes.
//!
//! That the same digests are signed byte for byte is tested inside custody, where a key can be named.

use pursekeeper_core::*;
use serde::Deserialize;
use serde_json::Value;

/// Messages are text, not typed data: core compares theirs.
const COMPARED_IN_CORE: &str = "siwe";

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
fn every_kind_is_hashed_like_everybody_else() {
    let file: File = serde_json::from_str(include_str!("../vectors/evm.json")).unwrap();
    let mut hashed = 0;
    for (at, vector) in file.vectors.iter().enumerate().filter(|(_, vector)| vector.kind != COMPARED_IN_CORE)
    {
        let digest = digest_of(&vector.kind, &vector.domain, &vector.message);
        assert_eq!(format!("0x{digest}"), vector.digest, "vector {at}, {}", vector.kind);
        let signer = ["from", "authorizer", "owner"].into_iter().find_map(|key| vector.message[key].as_str());
        assert!(signer.is_none_or(|signer| signer == vector.address), "vector {at}, {}", vector.kind);
        hashed += 1;
    }
    assert_eq!(hashed, 20, "five kinds, four of each");
}

#[test]
fn one_changed_field_is_another_digest() {
    let file: File = serde_json::from_str(include_str!("../vectors/evm.json")).unwrap();
    const ONE: &str = "0x0000000000000000000000000000000000000001";
    const NONCE: &str = "0x0000000000000000000000000000000000000000000000000000000000000001";
    let token = [("/domain/name", "USD Coin"), ("/domain/version", "1"), ("/domain/verifyingContract", ONE)];
    let permit2 = [
        ("/message/permitted/token", ONE),
        ("/message/permitted/amount", "1"),
        ("/message/nonce", "1"),
        ("/message/deadline", "1"),
        ("/message/witness/to", ONE),
        ("/message/witness/validAfter", "1"),
    ];
    let eip3009 = ["/message/value", "/message/validAfter", "/message/validBefore"].map(|field| (field, "1"));
    let table: [(&str, Vec<(&str, &str)>); 5] = [
        ("eip3009", [&token[..], &eip3009, &[("/message/to", ONE), ("/message/nonce", NONCE)]].concat()),
        ("cancel", [&token[..], &[("/message/authorizer", ONE), ("/message/nonce", NONCE)]].concat()),
        ("permit2_exact", permit2.to_vec()),
        ("permit2_upto", [&permit2[..], &[("/message/witness/facilitator", ONE)]].concat()),
        (
            "eip2612",
            [
                &token[..],
                &["/message/value", "/message/nonce", "/message/deadline"].map(|field| (field, "1")),
                &[("/message/owner", ONE)],
            ]
            .concat(),
        ),
    ];
    for (kind, changes) in table {
        let vector = file.vectors.iter().find(|vector| vector.kind == kind).unwrap();
        let whole = serde_json::json!({ "domain": vector.domain, "message": vector.message });
        for (pointer, value) in [&changes[..], &[("/domain/chainId", "1")]].concat() {
            let mut changed = whole.clone();
            *changed.pointer_mut(pointer).unwrap() = value.into();
            let digest = digest_of(kind, &changed["domain"], &changed["message"]);
            assert_ne!(
                format!("0x{digest}"),
                vector.digest,
                "{kind}: {pointer} is not part of what is signed"
            );
        }
    }
}

/// What we would sign for a vector.
fn digest_of(kind: &str, domain: &Value, message: &Value) -> Digest {
    let party = |field| address(text(message, field));
    let (nonce, network) = (|| bytes(text(message, "nonce")), network(domain));
    match kind {
        "eip3009" => transfer_with_authorization_digest(
            asset(domain).domain_separator(),
            (party("from"), party("to")),
            amount(message, "value"),
            (seconds(message, "validAfter"), seconds(message, "validBefore")),
            nonce(),
        ),
        "cancel" => {
            cancel_authorization_digest(asset(domain).domain_separator(), party("authorizer"), nonce())
        }
        "eip2612" => {
            assert_eq!(party("spender"), PERMIT2);
            permit_digest(
                asset(domain).domain_separator(),
                party("owner"),
                amount(message, "value"),
                amount(message, "nonce"),
                seconds(message, "deadline"),
            )
        }
        "permit2_exact" | "permit2_upto" => {
            assert_eq!(address(text(domain, "verifyingContract")), PERMIT2);
            let (permitted, witness) = (&message["permitted"], &message["witness"]);
            let to = address(text(witness, "to"));
            let (spender, bound) = if kind == "permit2_exact" {
                (EXACT_PROXY, PermitWitness::Exact { to })
            } else {
                let facilitator = address(text(witness, "facilitator"));
                (UPTO_PROXY, PermitWitness::Upto { to, facilitator })
            };
            assert_eq!(party("spender"), spender);
            permit_witness_transfer_from_digest(
                permit2_domain_separator(&network),
                (address(text(permitted, "token")), amount(permitted, "amount")),
                bound,
                (seconds(witness, "validAfter"), seconds(message, "deadline")),
                amount(message, "nonce").to_be_bytes(),
            )
        }
        kind => panic!("a vector of the new kind `{kind}`: hash it here"),
    }
}

fn asset(domain: &Value) -> Asset {
    Asset::new(
        AssetId {
            network: network(domain),
            address: Address::Evm(address(text(domain, "verifyingContract"))),
        },
        "USDC".to_owned(),
        (text(domain, "name").to_owned(), text(domain, "version").to_owned()),
        6,
        vec![TransferMethod::Eip3009],
        UsdRate { per_unit: Usd::parse("1").unwrap(), usable_until: None },
    )
}

fn network(domain: &Value) -> ChainId {
    ChainId::parse(&format!("eip155:{}", text(domain, "chainId"))).unwrap()
}

fn seconds(message: &Value, field: &str) -> UnixSeconds {
    UnixSeconds(text(message, field).parse().unwrap())
}

fn amount(message: &Value, field: &str) -> Amount {
    Amount::parse(text(message, field)).unwrap()
}

fn bytes(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim_start_matches("0x"), &mut bytes).unwrap();
    bytes
}

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap()
}

fn address(text: &str) -> EvmAddress {
    EvmAddress::parse(text).unwrap()
}

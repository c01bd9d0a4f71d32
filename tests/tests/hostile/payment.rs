//! What was signed for a payment, held against what the case allows.

use pursekeeper_api::v1;
use pursekeeper_core::{
    Address, Amount, AssetId, ChainId, EXACT_PROXY, EvmAddress, PERMIT2, PermitWitness, UPTO_PROXY,
    UnixSeconds, domain_separator, permit_digest, permit_witness_transfer_from_digest,
    permit2_domain_separator,
};
use pursekeeper_tests::{PAYEE, signer_of, verify};
use serde_json::{Value, json};

use crate::case::{Allowed, Field};
use crate::challenge::{EURC, FACILITATOR, Sent};

/// How far before now a signature may begin.
const SKEW_SECS: u64 = 60;

/// Checks a signed payment as a facilitator would, and that it is for nothing but what is allowed. `asked_at` is a moment
/// before it was asked for.
pub(crate) fn check(name: &str, signed: &v1::Signed, allowed: &Allowed, sent: &Sent, asked_at: u64) {
    let Allowed { amount, payee, valid_secs, offer, allowance } = allowed;
    let payee = if payee == "$PAYEE" { PAYEE } else { payee };
    let payload: Value = serde_json::from_slice(&signed.payload).unwrap();
    assert_eq!(signed.offer_index, *offer, "`{name}`: another offer was signed");
    let now = now();
    let valid = asked_at + valid_secs..=now + valid_secs;
    assert!(valid.contains(&signed.valid_before), "`{name}`: valid for {} s", signed.valid_before - now);
    let authorization = &payload["payload"]["permit2Authorization"];
    let valid_after = if authorization.is_null() {
        // `verify` compares amount, payee, payer and end, and recovers the signer over them.
        verify(signed, amount, payee)["payload"]["authorization"]["validAfter"].clone()
    } else {
        permit2(authorization, &payload, signed, (amount, payee));
        authorization["witness"]["validAfter"].clone()
    };
    let valid_after: u64 = valid_after.as_str().unwrap().parse().unwrap();
    assert!((asked_at - SKEW_SECS..=now).contains(&valid_after), "`{name}`: valid after {valid_after}");
    echoes(name, &payload, sent, *offer);
    let granted = &payload["extensions"]["eip2612GasSponsoring"]["info"];
    match allowance {
        Some(amount) => permit(granted, signed, amount),
        None => assert!(granted["signature"].is_null(), "`{name}`: an allowance was granted"),
    }
    let raw = &payload["extensions"]["erc20ApprovalGasSponsoring"]["info"]["signedTransaction"];
    assert!(raw.is_null(), "`{name}`: a transaction was signed");
}

/// A v2 payload carries the chosen entry and everything the seller declared; a v1 payload carries nothing of the seller.
fn echoes(name: &str, payload: &Value, sent: &Sent, offer: u32) {
    if sent.json["x402Version"] == 1 {
        assert!(matches!(sent.field, Field::Body), "`{name}`: a v1 payment for what is not v1");
        let mut members: Vec<&str> = payload.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["network", "payload", "scheme", "x402Version"], "`{name}`");
        assert_eq!((&payload["x402Version"], &payload["network"]), (&json!(1), &json!("base-sepolia")));
        return;
    }
    assert_eq!(payload["x402Version"], 2, "`{name}`");
    let index = usize::try_from(offer).unwrap();
    assert_eq!(payload["accepted"], sent.json["accepts"][index], "`{name}`: the entry is not echoed");
    assert_eq!(payload["resource"], sent.json["resource"], "`{name}`: the resource is not echoed");
    assert!(
        contains(&payload["extensions"], &sent.json["extensions"]),
        "`{name}`: {}",
        payload["extensions"]
    );
}

/// Whether everything of `part` is in `whole`, as it is.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| contains(whole, part)))
        }
        (whole, part) => whole == part,
    }
}

/// Permit2: the spender is the proxy of the scheme, never the seller's, and an `upto` names who may settle.
fn permit2(authorization: &Value, payload: &Value, signed: &v1::Signed, (amount, payee): (&str, &str)) {
    let upto = payload["accepted"]["scheme"] == "upto";
    let spender = if upto { UPTO_PROXY } else { EXACT_PROXY };
    let deadline = signed.valid_before - 1;
    let mut expected = json!({
        "from": signed.wallet_address,
        "permitted": { "token": EURC, "amount": amount },
        "spender": spender.to_string(),
        "nonce": authorization["nonce"],
        "deadline": deadline.to_string(),
        "witness": { "to": payee, "validAfter": authorization["witness"]["validAfter"] },
    });
    if upto {
        expected["witness"]["facilitator"] = FACILITATOR.into();
    }
    assert_eq!(*authorization, expected);
    let to = address(payee);
    let digest = permit_witness_transfer_from_digest(
        permit2_domain_separator(&network()),
        (address(EURC), Amount::parse(amount).unwrap()),
        if upto {
            PermitWitness::Upto { to, facilitator: address(FACILITATOR) }
        } else {
            PermitWitness::Exact { to }
        },
        (seconds(&authorization["witness"]["validAfter"]), UnixSeconds(deadline)),
        Amount::parse(authorization["nonce"].as_str().unwrap()).unwrap().to_be_bytes(),
    );
    let signature = payload["payload"]["signature"].as_str().unwrap();
    assert_eq!(signer_of(digest.0, signature), signed.wallet_address);
}

/// EIP-2612: Permit2 and nobody else, and exactly the amount.
fn permit(granted: &Value, signed: &v1::Signed, amount: &str) {
    let text = |field: &str| granted[field].as_str().unwrap();
    let said = (text("amount"), text("spender"), text("asset"), text("from"));
    assert_eq!(said, (amount, &*PERMIT2.to_string(), EURC, &*signed.wallet_address));
    assert_eq!(text("deadline"), (signed.valid_before - 1).to_string());
    let asset = AssetId { network: network(), address: Address::Evm(address(EURC)) };
    let digest = permit_digest(
        domain_separator(&asset, "EURC", "2"),
        address(text("from")),
        Amount::parse(amount).unwrap(),
        Amount::parse(text("nonce")).unwrap(),
        seconds(&granted["deadline"]),
    );
    assert_eq!(signer_of(digest.0, text("signature")), signed.wallet_address);
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap()
}

fn network() -> ChainId {
    ChainId::parse("eip155:84532").unwrap()
}

fn address(text: &str) -> EvmAddress {
    EvmAddress::parse(text).unwrap()
}

fn seconds(value: &Value) -> UnixSeconds {
    UnixSeconds(value.as_str().unwrap().parse().unwrap())
}

//! Asking for payments, and checking what comes back as a seller would.

use alloy_primitives::keccak256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use pursekeeper_api::v1;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_core::{
    Address, Amount, AssetId, ChainId, EvmAddress, UnixSeconds, domain_separator,
    transfer_with_authorization_digest,
};
use serde_json::Value;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use crate::{Offer, URL, USDC, challenge_v2};

/// A request for an honest payment over `amount` atomic units, x402 v2.
#[must_use]
pub fn request(id: &str, amount: &str) -> v1::SignPaymentRequest {
    v1::SignPaymentRequest {
        request_id: id.to_owned(),
        challenge: Some(Challenge::PaymentRequired(challenge_v2(Some(URL), &[Offer::of(amount)]))),
        endpoint: Some(v1::Endpoint { method: "GET".to_owned(), url: URL.to_owned() }),
        ..Default::default()
    }
}

/// The signed payment, or a failed test.
#[must_use]
pub fn signed(answered: Result<Response<v1::SignPaymentResponse>, Status>) -> v1::Signed {
    match answered.unwrap().into_inner().result {
        Some(Answer::Signed(signed)) => signed,
        other @ (Some(Answer::Denied(_)) | None) => panic!("not signed: {other:?}"),
    }
}

/// The refusal, or a failed test.
#[must_use]
pub fn denied(answered: Result<Response<v1::SignPaymentResponse>, Status>) -> v1::Denied {
    match answered.unwrap().into_inner().result {
        Some(Answer::Denied(denied)) => denied,
        other @ (Some(Answer::Signed(_)) | None) => panic!("not denied: {other:?}"),
    }
}

/// The reason in a fault's details, for programs to match on.
#[must_use]
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap_or_else(|| panic!("no details: {status:?}")).reason
}

/// Checks a payment as a facilitator does, over 0.001 USDC unless `amount` says otherwise, and returns its payload.
#[must_use]
pub fn verify(signed: &v1::Signed, amount: &str, payee: &str) -> Value {
    assert_eq!(
        STANDARD.decode(&signed.header_value).unwrap(),
        signed.payload,
        "the header is the payload in base64"
    );
    let payload: Value = serde_json::from_slice(&signed.payload).unwrap();
    let authorization = &payload["payload"]["authorization"];
    let text = |field: &str| authorization[field].as_str().unwrap();
    assert_eq!((text("value"), text("to"), text("from")), (amount, payee, signed.wallet_address.as_str()));
    assert_eq!(text("validBefore"), signed.valid_before.to_string());
    let address = |text: &str| EvmAddress::parse(text).unwrap();
    let seconds = |field| UnixSeconds(text(field).parse().unwrap());
    let asset =
        AssetId { network: ChainId::parse("eip155:84532").unwrap(), address: Address::Evm(address(USDC)) };
    let digest = transfer_with_authorization_digest(
        domain_separator(&asset, "USDC", "2"),
        (address(text("from")), address(text("to"))),
        Amount::parse(text("value")).unwrap(),
        (seconds("validAfter"), seconds("validBefore")),
        bytes(text("nonce")),
    );
    let signature = payload["payload"]["signature"].as_str().unwrap();
    assert_eq!(signer_of(digest.0, signature), signed.wallet_address);
    payload
}

/// The EIP-55 address that signed a digest.
#[must_use]
pub fn signer_of(digest: [u8; 32], signature: &str) -> String {
    let [rs @ .., v] = bytes::<65>(signature);
    let recovery = RecoveryId::from_byte(v.checked_sub(27).unwrap()).unwrap();
    let signature = Signature::from_slice(&rs).unwrap();
    let key = VerifyingKey::recover_from_prehash(&digest, &signature, recovery).unwrap();
    let hash = keccak256(&key.to_sec1_point(false).as_bytes()[1..]);
    EvmAddress::from_bytes(hash[12..].try_into().unwrap()).to_string()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap(), &mut bytes).unwrap();
    bytes
}

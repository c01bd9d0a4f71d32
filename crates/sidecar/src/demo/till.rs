//! What a careful seller checks before it hands over its goods (x402 v2, `exact`, EIP-3009).

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pursekeeper_core::{
    Address, Amount, AssetId, ChainId, Digest, EvmAddress, Signature, UnixSeconds, domain_separator,
    transfer_with_authorization_digest,
};
use pursekeeper_custody::recover_address;
use serde::Deserialize;
use serde_json::{Value, json};

/// The chain id of Base Sepolia.
pub(super) const CHAIN_ID: u64 = 84_532;
/// The same as CAIP-2 names it.
pub(super) const NETWORK: &str = "eip155:84532";
/// USDC there.
pub(super) const USDC: EvmAddress = EvmAddress::from_bytes([
    0x03, 0x6c, 0xbd, 0x53, 0x84, 0x2c, 0x54, 0x26, 0x63, 0x4e, 0x79, 0x29, 0x54, 0x1e, 0xc2, 0x31, 0x8f,
    0x3d, 0xcf, 0x7e,
]);
/// The name in USDC's EIP-712 domain.
pub(super) const USDC_NAME: &str = "USDC";
/// The version in USDC's EIP-712 domain.
pub(super) const USDC_VERSION: &str = "2";
/// How long the seller wants to be able to settle, in seconds.
const TIMEOUT_SECS: u64 = 60;

/// What one page costs, and who gets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    pub(super) amount: Amount,
    pub(super) payee: EvmAddress,
}

/// Takes each payment once.
pub(super) struct Till {
    domain: Digest,
    used: BTreeSet<[u8; 32]>,
}

/// A payment that would settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payment {
    pub(super) payer: EvmAddress,
}

/// Why a payment is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PaymentError {
    #[error("the payment is not base64 of an x402 v2 payload")]
    Malformed,
    #[error("the payment accepts other terms than were offered")]
    OtherTerms,
    #[error("the payment is for another amount")]
    WrongAmount,
    #[error("the payment is to another payee")]
    WrongPayee,
    #[error("the payment is not valid yet")]
    NotYetValid,
    #[error("the payment has expired")]
    Expired,
    #[error("the payment is not signed by its payer")]
    WrongSignature,
    #[error("the payment was taken before")]
    Replayed,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "x402Version")]
    version: u64,
    accepted: Value,
    payload: Exact,
}

#[derive(Deserialize)]
struct Exact {
    signature: String,
    authorization: Authorization,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    from: String,
    to: String,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: String,
}

/// The fields of an authorization as values.
struct Terms {
    from: EvmAddress,
    to: EvmAddress,
    value: Amount,
    valid_after: UnixSeconds,
    valid_before: UnixSeconds,
    nonce: [u8; 32],
}

impl Price {
    /// The price as an entry of `accepts`.
    pub(super) fn entry(&self) -> Value {
        json!({
            "scheme": "exact",
            "network": NETWORK,
            "amount": self.amount.to_string(),
            "asset": USDC.to_string(),
            "payTo": self.payee.to_string(),
            "maxTimeoutSeconds": TIMEOUT_SECS,
            "extra": { "name": USDC_NAME, "version": USDC_VERSION },
        })
    }
}

impl Till {
    /// An empty till.
    pub(super) fn new() -> Self {
        let asset = AssetId { network: ChainId::Eip155(CHAIN_ID), address: USDC.into() };
        Self { domain: domain_separator(&asset, USDC_NAME, USDC_VERSION), used: BTreeSet::new() }
    }

    /// Takes the payment in a `PAYMENT-SIGNATURE` header, if the token would.
    pub(super) fn take(
        &mut self,
        header: &[u8],
        price: &Price,
        now: UnixSeconds,
    ) -> Result<Payment, PaymentError> {
        let json = STANDARD.decode(header).map_err(|_| PaymentError::Malformed)?;
        let Payload { version, accepted, payload } =
            serde_json::from_slice(&json).map_err(|_| PaymentError::Malformed)?;
        if version != 2 {
            return Err(PaymentError::Malformed);
        }
        if accepted != price.entry() {
            return Err(PaymentError::OtherTerms);
        }
        let terms = payload.authorization.terms().ok_or(PaymentError::Malformed)?;
        if terms.value != price.amount {
            return Err(PaymentError::WrongAmount);
        }
        if terms.to != price.payee {
            return Err(PaymentError::WrongPayee);
        }
        // EIP-3009: both ends are outside.
        if now <= terms.valid_after {
            return Err(PaymentError::NotYetValid);
        }
        if now >= terms.valid_before {
            return Err(PaymentError::Expired);
        }
        let signature = signature(&payload.signature).ok_or(PaymentError::Malformed)?;
        let signer =
            recover_address(self.digest(&terms), signature).map_err(|_| PaymentError::WrongSignature)?;
        if signer != Address::Evm(terms.from) {
            return Err(PaymentError::WrongSignature);
        }
        if !self.used.insert(terms.nonce) {
            return Err(PaymentError::Replayed);
        }
        Ok(Payment { payer: terms.from })
    }

    fn digest(&self, terms: &Terms) -> Digest {
        let Terms { from, to, value, valid_after, valid_before, nonce } = *terms;
        transfer_with_authorization_digest(self.domain, (from, to), value, (valid_after, valid_before), nonce)
    }
}

impl Authorization {
    fn terms(&self) -> Option<Terms> {
        let address = |text: &str| EvmAddress::parse(text).ok();
        let seconds = |text: &str| text.parse().ok().map(UnixSeconds);
        let mut nonce = [0; 32];
        hex::decode_to_slice(self.nonce.strip_prefix("0x")?, &mut nonce).ok()?;
        Some(Terms {
            from: address(&self.from)?,
            to: address(&self.to)?,
            value: Amount::parse(&self.value).ok()?,
            valid_after: seconds(&self.valid_after)?,
            valid_before: seconds(&self.valid_before)?,
            nonce,
        })
    }
}

fn signature(text: &str) -> Option<Signature> {
    let mut bytes = [0; 65];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(Signature::Evm(bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Within the window of [`signed`].
    pub(in crate::demo) const NOW: UnixSeconds = UnixSeconds(1_740_700_000);

    /// A payment that viem signed, and the price it pays.
    pub(in crate::demo) fn signed() -> (Value, Price) {
        let text = include_str!("../../../../tests/vectors/evm.json");
        let json: Value = serde_json::from_str(text).unwrap();
        let vector = &json["vectors"][0];
        let message = &vector["message"];
        let price = Price {
            amount: Amount::parse(message["value"].as_str().unwrap()).unwrap(),
            payee: EvmAddress::parse(message["to"].as_str().unwrap()).unwrap(),
        };
        let payload = json!({
            "x402Version": 2,
            "accepted": price.entry(),
            "payload": { "signature": vector["signature"], "authorization": message },
        });
        (payload, price)
    }

    pub(in crate::demo) fn encode(payload: &Value) -> String {
        STANDARD.encode(payload.to_string())
    }

    /// What the till says after `edit`.
    fn check(edit: impl FnOnce(&mut Value, &mut Price), now: UnixSeconds) -> Result<Payment, PaymentError> {
        let (mut payload, mut price) = signed();
        edit(&mut payload, &mut price);
        Till::new().take(encode(&payload).as_bytes(), &price, now)
    }

    #[test]
    fn what_is_no_payment_is_malformed() {
        let (_, price) = signed();
        for header in ["", "{}", "e30=", &STANDARD.encode("[]")] {
            let refused = Till::new().take(header.as_bytes(), &price, NOW);
            assert_eq!(refused, Err(PaymentError::Malformed), "{header}");
        }
        for (field, value) in [
            ("value", json!("0229783512")),
            ("value", json!(229_783_512)),
            ("nonce", json!("0x00")),
            ("nonce", json!("")),
            ("from", json!("nobody")),
            ("validBefore", json!("-1")),
        ] {
            let refused = check(|payload, _| payload["payload"]["authorization"][field] = value.clone(), NOW);
            assert_eq!(refused, Err(PaymentError::Malformed), "{field} {value}");
        }
        let refused = check(|payload, _| payload["x402Version"] = json!(1), NOW);
        assert_eq!(refused, Err(PaymentError::Malformed));
        let refused = check(|payload, _| payload["payload"]["signature"] = json!("0x00"), NOW);
        assert_eq!(refused, Err(PaymentError::Malformed));
    }

    #[test]
    fn other_terms_than_offered_are_refused() {
        let refused = check(|payload, _| payload["accepted"]["maxTimeoutSeconds"] = json!(61), NOW);
        assert_eq!(refused, Err(PaymentError::OtherTerms));
        let refused = check(|payload, _| payload["accepted"]["more"] = json!(1), NOW);
        assert_eq!(refused, Err(PaymentError::OtherTerms));
    }

    #[test]
    fn another_amount_or_payee_is_refused_whatever_the_payload_accepts() {
        let dearer = |payload: &mut Value, price: &mut Price| {
            price.amount = Amount::parse("229783513").unwrap();
            payload["accepted"] = price.entry();
        };
        assert_eq!(check(dearer, NOW), Err(PaymentError::WrongAmount));
        let other = |payload: &mut Value, price: &mut Price| {
            price.payee = EvmAddress::from_bytes([9; 20]);
            payload["accepted"] = price.entry();
        };
        assert_eq!(check(other, NOW), Err(PaymentError::WrongPayee));
    }

    #[test]
    fn a_payment_is_taken_inside_its_window_only() {
        let table = [
            (1_740_672_089, Err(PaymentError::NotYetValid)),
            (1_740_672_090, Ok(())),
            (1_740_716_988, Ok(())),
            (1_740_716_989, Err(PaymentError::Expired)),
        ];
        for (now, expected) in table {
            assert_eq!(check(|_, _| {}, UnixSeconds(now)).map(|_| ()), expected, "{now}");
        }
    }

    #[test]
    fn a_signature_over_anything_else_is_refused() {
        for (field, value) in [
            ("nonce", json!(format!("0x{}", "00".repeat(32)))),
            ("from", json!(USDC.to_string())),
            ("validBefore", json!("1740716990")),
            ("validAfter", json!("0")),
        ] {
            let refused = check(|payload, _| payload["payload"]["authorization"][field] = value, NOW);
            assert_eq!(refused, Err(PaymentError::WrongSignature), "{field}");
        }
        let zeros = json!(format!("0x{}", "00".repeat(65)));
        let refused = check(|payload, _| payload["payload"]["signature"] = zeros, NOW);
        assert_eq!(refused, Err(PaymentError::WrongSignature));
    }

    #[test]
    fn a_nonce_is_taken_once_and_a_refused_one_is_not_used_up() {
        let (payload, price) = signed();
        let header = encode(&payload);
        let mut till = Till::new();
        assert_eq!(till.take(header.as_bytes(), &price, UnixSeconds(0)), Err(PaymentError::NotYetValid));
        let payer = EvmAddress::parse("0xde872656D378B7cAC70B78b642e7E317A7C66754").unwrap();
        assert_eq!(till.take(header.as_bytes(), &price, NOW), Ok(Payment { payer }));
        assert_eq!(till.take(header.as_bytes(), &price, NOW), Err(PaymentError::Replayed));
    }
}

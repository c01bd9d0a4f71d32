use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::offer::Protocol;
use crate::{ChainId, Intent, Signature};

/// A signed payment, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The request header it goes into.
    pub header_name: &'static str,
    /// The header's value: base64 of `json`.
    pub header_value: String,
    /// The payment payload.
    pub json: Vec<u8>,
}

/// A payload could not be written. A stored intent that fails here was damaged.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The text to be echoed is not JSON.
    #[error("the payment payload cannot be written: {0}")]
    Echo(#[from] serde_json::Error),
    /// x402 v1 has no name for the network.
    #[error("x402 v1 has no name for the network `{0}`")]
    Network(ChainId),
}

impl Payload {
    /// Writes the payload of the version the seller speaks, echoing what it sent byte for byte.
    ///
    /// # Errors
    /// [`PayloadError`] when the intent is not one the gate made.
    pub fn new(intent: &Intent, signature: Signature) -> Result<Self, PayloadError> {
        let payload = Exact { signature: signature.to_string(), authorization: Authorization::of(intent) };
        let json = match intent.protocol {
            Protocol::V1 => {
                let network = &intent.terms.asset.network;
                let name = network.v1_name().ok_or_else(|| PayloadError::Network(network.clone()))?;
                serde_json::to_vec(&V1 {
                    version: 1,
                    scheme: intent.terms.scheme.as_str(),
                    network: name,
                    payload,
                })?
            }
            Protocol::V2 => {
                let raw = serde_json::from_str::<&RawValue>;
                serde_json::to_vec(&V2 {
                    version: 2,
                    resource: intent.resource.as_deref().map(raw).transpose()?,
                    accepted: raw(&intent.accepted)?,
                    payload,
                    extensions: intent.extensions.as_deref().map(raw).transpose()?,
                })?
            }
        };
        let header_value = STANDARD.encode(&json);
        Ok(Self { header_name: intent.protocol.payment_header(), header_value, json })
    }
}

#[derive(Serialize)]
struct V1<'a> {
    #[serde(rename = "x402Version")]
    version: u8,
    scheme: &'a str,
    network: &'a str,
    payload: Exact,
}

#[derive(Serialize)]
struct V2<'a> {
    #[serde(rename = "x402Version")]
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a RawValue>,
    accepted: &'a RawValue,
    payload: Exact,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Exact {
    signature: String,
    authorization: Authorization,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    from: String,
    to: String,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: String,
}

impl Authorization {
    fn of(intent: &Intent) -> Self {
        Self {
            from: intent.wallet_address.to_string(),
            to: intent.terms.payee.to_string(),
            value: intent.terms.amount.to_string(),
            valid_after: intent.valid_after.to_string(),
            valid_before: intent.valid_before.to_string(),
            nonce: format!("0x{}", hex::encode(intent.nonce)),
        }
    }
}

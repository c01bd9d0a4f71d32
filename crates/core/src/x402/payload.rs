use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::extensions;
use super::json::JsonError;
use super::offer::{Protocol, Scheme};
use crate::{
    Address, Amount, ChainId, EXACT_PROXY, EvmAddress, Intent, Offered, Signature, TransferMethod, UPTO_PROXY,
};

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
    /// The extensions to be echoed are not what is accepted.
    #[error("the payment payload cannot be written: the extensions are {0}")]
    Extensions(#[from] JsonError),
    /// x402 v1 has no name for the network.
    #[error("x402 v1 has no name for the network `{0}`")]
    Network(ChainId),
    /// The allowance and its signature do not belong together.
    #[error("the payment payload cannot be written: an allowance and its signature must come together")]
    Allowance,
}

impl Payload {
    /// Writes the payload of the version the seller speaks, echoing what it sent byte for byte. `allowance` is the signature
    /// of the intent's [`Intent::allowance`].
    ///
    /// # Errors
    /// [`PayloadError`] when the intent is not one the gate made.
    pub fn new(
        intent: &Intent,
        offered: &Offered,
        signature: Signature,
        allowance: Option<Signature>,
    ) -> Result<Self, PayloadError> {
        if allowance.is_some() != intent.allowance.is_some() {
            return Err(PayloadError::Allowance);
        }
        let payload = Body::new(intent, signature);
        let json = match offered.protocol {
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
                let extensions = offered.extensions.as_deref();
                let extensions =
                    extensions.map(|declared| extensions::answer(declared, intent, allowance)).transpose()?;
                serde_json::to_vec(&V2 {
                    version: 2,
                    resource: offered.resource.as_deref().map(raw).transpose()?,
                    accepted: raw(&offered.accepted)?,
                    payload,
                    extensions: extensions.as_deref().map(raw).transpose()?,
                })?
            }
        };
        let header_value = STANDARD.encode(&json);
        Ok(Self { header_name: offered.protocol.payment_header(), header_value, json })
    }
}

#[derive(Serialize)]
struct V1<'a> {
    #[serde(rename = "x402Version")]
    version: u8,
    scheme: &'a str,
    network: &'a str,
    payload: Body,
}

#[derive(Serialize)]
struct V2<'a> {
    #[serde(rename = "x402Version")]
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a RawValue>,
    accepted: &'a RawValue,
    payload: Body,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a RawValue>,
}

/// What is signed, and the signature, as the scheme writes it.
#[derive(Serialize)]
#[serde(untagged)]
enum Body {
    Eip3009 {
        signature: String,
        authorization: Authorization,
    },
    Permit2 {
        signature: String,
        #[serde(rename = "permit2Authorization")]
        authorization: Permit2Authorization,
    },
}

impl Body {
    fn new(intent: &Intent, signature: Signature) -> Self {
        let signature = signature.to_string();
        let permit2 = |spender| Permit2Authorization::of(intent, spender);
        match (intent.terms.scheme, intent.terms.method) {
            (Scheme::Exact, TransferMethod::Eip3009) => {
                Self::Eip3009 { signature, authorization: Authorization::of(intent) }
            }
            (Scheme::Exact, TransferMethod::Permit2) => {
                Self::Permit2 { signature, authorization: permit2(EXACT_PROXY) }
            }
            (Scheme::Upto { .. }, _) => Self::Permit2 { signature, authorization: permit2(UPTO_PROXY) },
        }
    }
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

#[derive(Serialize)]
struct Permit2Authorization {
    from: String,
    permitted: Permitted,
    spender: String,
    nonce: String,
    deadline: String,
    witness: Witness,
}

#[derive(Serialize)]
struct Permitted {
    token: String,
    amount: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Witness {
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    facilitator: Option<String>,
    valid_after: String,
}

impl Permit2Authorization {
    fn of(intent: &Intent, spender: EvmAddress) -> Self {
        let terms = &intent.terms;
        let facilitator = terms.scheme.facilitator().map(|facilitator| Address::to_string(&facilitator));
        Self {
            from: intent.wallet_address.to_string(),
            permitted: Permitted { token: terms.asset.address.to_string(), amount: terms.amount.to_string() },
            spender: spender.to_string(),
            nonce: Amount::from_be_bytes(intent.nonce).to_string(),
            deadline: intent.deadline().to_string(),
            witness: Witness {
                to: terms.payee.to_string(),
                facilitator,
                valid_after: intent.valid_after.to_string(),
            },
        }
    }
}

use std::sync::Arc;

use super::challenge::ChallengeError;
use super::json::Node;
use crate::quote::quoted;
use crate::{Address, Amount, AssetId, ChainId, DenyCode, TransferMethod};

/// The version of x402 a seller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Requirements in the body, payment in `X-PAYMENT`.
    V1,
    /// Requirements in `PAYMENT-REQUIRED`, payment in `PAYMENT-SIGNATURE`.
    V2,
}

/// How the amount is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Exactly the amount is paid.
    Exact,
    /// The amount is a maximum: `facilitator`, and nobody else, settles it or less.
    Upto {
        /// Who settles.
        facilitator: Address,
    },
}

/// What is paid to whom: the economic terms of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How the amount is to be understood.
    pub scheme: Scheme,
    /// How the payment is authorised.
    pub method: TransferMethod,
    /// What is paid.
    pub asset: AssetId,
    /// Who receives it (`payTo` on the wire).
    pub payee: Address,
    /// How much, in atomic units.
    pub amount: Amount,
}

/// One entry of `accepts`: understood, or refused by name.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Position in `accepts`, from 0.
    pub index: u32,
    /// The entry, byte for byte.
    pub raw: Arc<str>,
    /// The seller's idea of the URL (v1 only; v2 says it once for all).
    pub resource_url: Option<String>,
    /// What it means.
    pub content: Result<Understood, OfferRefusal>,
}

/// An offer we could sign.
#[derive(Clone, Debug)]
pub struct Understood {
    /// What is paid to whom.
    pub terms: Terms,
    /// How long the seller wants the signature to live, in seconds; at least 1.
    pub timeout_secs: u64,
    /// The EIP-712 name the seller gives the asset.
    pub asset_name: Option<String>,
    /// The EIP-712 version the seller gives the asset.
    pub asset_version: Option<String>,
}

/// An entry that is well-formed but nothing we sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferRefusal {
    /// Which rule.
    pub code: DenyCode,
    /// What it asks for.
    pub what: String,
}

impl Protocol {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// The request header that carries the payment.
    #[must_use]
    pub const fn payment_header(self) -> &'static str {
        match self {
            Self::V1 => "X-PAYMENT",
            Self::V2 => "PAYMENT-SIGNATURE",
        }
    }
}

impl Scheme {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => EXACT,
            Self::Upto { .. } => UPTO,
        }
    }

    /// Who alone may settle, if the scheme says.
    #[must_use]
    pub const fn facilitator(self) -> Option<Address> {
        match self {
            Self::Exact => None,
            Self::Upto { facilitator } => Some(facilitator),
        }
    }
}

impl Offer {
    /// Reads one entry. A wrong field in an entry we could otherwise sign makes the whole 402 malformed.
    pub(super) fn read(index: u32, entry: &Node<'_>, protocol: Protocol) -> Result<Self, ChallengeError> {
        let fields = Fields { index, entry };
        if !entry.is_object() {
            return Err(fields.wrong("", "must be an object"));
        }
        let resource_url = match (protocol, entry.get("resource")) {
            (Protocol::V1, Some(node)) => {
                Some(node.as_str().ok_or_else(|| fields.wrong("resource", "must be a string"))?.to_owned())
            }
            (Protocol::V1, None) | (Protocol::V2, _) => None,
        };
        Ok(Self { index, raw: entry.raw().into(), resource_url, content: fields.understand(protocol)? })
    }
}

struct Fields<'n, 'a> {
    index: u32,
    entry: &'n Node<'a>,
}

impl Fields<'_, '_> {
    fn wrong(&self, field: &str, problem: &str) -> ChallengeError {
        let dot = if field.is_empty() { "" } else { "." };
        ChallengeError::Field {
            path: format!("accepts[{}]{dot}{field}", self.index),
            problem: problem.to_owned(),
        }
    }

    fn text(&self, field: &str) -> Result<&str, ChallengeError> {
        self.entry.get(field).and_then(Node::as_str).ok_or_else(|| self.wrong(field, "must be a string"))
    }

    fn understand(&self, protocol: Protocol) -> Result<Result<Understood, OfferRefusal>, ChallengeError> {
        let refuse = |(code, what)| Ok(Err(OfferRefusal { code, what }));
        let (scheme, network_name) = (self.text("scheme")?, self.text("network")?);
        if let Some(refusal) = unknown_scheme(scheme, protocol) {
            return refuse(refusal);
        }
        let network = match protocol {
            Protocol::V1 => ChainId::from_v1_name(network_name),
            Protocol::V2 => match ChainId::parse(network_name) {
                Ok(network) => Some(network).filter(|network| matches!(network, ChainId::Eip155(_))),
                Err(error) if network_name.starts_with("eip155") => {
                    return Err(self.wrong("network", &error.to_string()));
                }
                // Some sellers write names of their own for networks that are not ours to sign on.
                Err(_) => None,
            },
        };
        let Some(network) = network else {
            let what = format!("the network {} is not supported", quoted(network_name));
            return refuse((DenyCode::NetworkUnsupported, what));
        };
        let extra = self.extra()?;
        let method = match method(scheme, extra.method.as_deref(), protocol) {
            Ok(method) => method,
            Err(refusal) => return refuse(refusal),
        };
        let amount_field = match protocol {
            Protocol::V1 => "maxAmountRequired",
            Protocol::V2 => "amount",
        };
        let amount =
            Amount::parse(self.text(amount_field)?).map_err(|e| self.wrong(amount_field, &e.to_string()))?;
        let address = |field: &str, text: &str| {
            Address::parse(&network, text).map_err(|e| self.wrong(field, &e.to_string()))
        };
        let (token, payee) = (address("asset", self.text("asset")?)?, address("payTo", self.text("payTo")?)?);
        let scheme = if scheme == UPTO {
            let field = "extra.facilitatorAddress";
            let text = extra.facilitator.ok_or_else(|| self.wrong(field, "must be a string"))?;
            Scheme::Upto { facilitator: address(field, &text)? }
        } else {
            Scheme::Exact
        };
        let asset = AssetId { network: network.clone(), address: token };
        let timeout_secs = (self.entry.get("maxTimeoutSeconds").and_then(Node::as_u64))
            .filter(|secs| *secs > 0)
            .ok_or_else(|| self.wrong("maxTimeoutSeconds", "must be a positive integer of seconds"))?;
        let terms = Terms { scheme, method, asset, payee, amount };
        Ok(Ok(Understood { terms, timeout_secs, asset_name: extra.name, asset_version: extra.version }))
    }

    fn extra(&self) -> Result<Extra, ChallengeError> {
        let Some(extra) = self.entry.get("extra") else { return Ok(Extra::default()) };
        if !extra.is_object() {
            return Err(self.wrong("extra", "must be an object"));
        }
        let text = |key: &str| match extra.get(key) {
            None => Ok(None),
            Some(node) => match node.as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(self.wrong(&format!("extra.{key}"), "must be a string")),
            },
        };
        Ok(Extra {
            name: text("name")?,
            version: text("version")?,
            method: text("assetTransferMethod")?,
            facilitator: text("facilitatorAddress")?,
        })
    }
}

/// The scheme `exact`, on the wire.
const EXACT: &str = "exact";
/// The scheme `upto`, on the wire.
const UPTO: &str = "upto";

type Refusal = (DenyCode, String);

/// Why a scheme is not signed, if it is not. x402 v1 knows `exact` only.
fn unknown_scheme(scheme: &str, protocol: Protocol) -> Option<Refusal> {
    let code = match (scheme, protocol) {
        (EXACT, _) | (UPTO, Protocol::V2) => return None,
        ("batch-settlement", _) => DenyCode::BatchSettlement,
        ("auth-capture", _) => DenyCode::AuthCapture,
        (_, _) => DenyCode::SchemeUnsupported,
    };
    Some((code, format!("the scheme {} is not signed in x402 v{}", quoted(scheme), protocol.number())))
}

/// How the payment is authorised. What the seller does not say is EIP-3009 for `exact`, and Permit2 for `upto`, which
/// knows no other way; x402 v1 knows EIP-3009 only.
fn method(scheme: &str, said: Option<&str>, protocol: Protocol) -> Result<TransferMethod, Refusal> {
    let usual = if scheme == UPTO { TransferMethod::Permit2 } else { TransferMethod::Eip3009 };
    let method = match said {
        None => Some(usual),
        Some("erc7710") => {
            let what = "the transfer method `erc7710` hands a delegation to the seller";
            return Err((DenyCode::Erc7710, what.to_owned()));
        }
        Some(word) => TransferMethod::parse(word),
    };
    match (method, protocol) {
        (Some(TransferMethod::Eip3009), _) if scheme == EXACT => Ok(TransferMethod::Eip3009),
        (Some(TransferMethod::Permit2), Protocol::V2) => Ok(TransferMethod::Permit2),
        (Some(_) | None, _) => {
            let word = said.unwrap_or(usual.as_str());
            let what = format!(
                "the transfer method {} is not signed for `{scheme}` in x402 v{}",
                quoted(word),
                protocol.number()
            );
            Err((DenyCode::MethodUnsupported, what))
        }
    }
}

#[derive(Default)]
struct Extra {
    name: Option<String>,
    version: Option<String>,
    method: Option<String>,
    facilitator: Option<String>,
}

use std::sync::Arc;

use super::challenge::ChallengeError;
use super::json::Node;
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
            Self::Exact => "exact",
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
        let refuse = |code, what: String| Ok(Err(OfferRefusal { code, what }));
        let scheme = self.text("scheme")?;
        let network_name = self.text("network")?;
        if scheme != Scheme::Exact.as_str() {
            return refuse(DenyCode::SchemeUnsupported, format!("the scheme `{scheme}` is not supported"));
        }
        let network = match protocol {
            Protocol::V1 => ChainId::from_v1_name(network_name),
            Protocol::V2 => {
                let network =
                    ChainId::parse(network_name).map_err(|e| self.wrong("network", &e.to_string()))?;
                Some(network).filter(|network| matches!(network, ChainId::Eip155(_)))
            }
        };
        let Some(network) = network else {
            let what = format!("the network `{network_name}` is not supported");
            return refuse(DenyCode::NetworkUnsupported, what);
        };
        let extra = self.extra()?;
        let method = extra.method.as_deref().unwrap_or(TransferMethod::Eip3009.as_str());
        let Some(method) = TransferMethod::parse(method) else {
            return refuse(
                DenyCode::MethodUnsupported,
                format!("the transfer method `{method}` is not supported"),
            );
        };
        let amount_field = match protocol {
            Protocol::V1 => "maxAmountRequired",
            Protocol::V2 => "amount",
        };
        let amount =
            Amount::parse(self.text(amount_field)?).map_err(|e| self.wrong(amount_field, &e.to_string()))?;
        let address = |field| {
            Address::parse(&network, self.text(field)?).map_err(|e| self.wrong(field, &e.to_string()))
        };
        let (token, payee) = (address("asset")?, address("payTo")?);
        let asset = AssetId { network: network.clone(), address: token };
        let timeout_secs = (self.entry.get("maxTimeoutSeconds").and_then(Node::as_u64))
            .filter(|secs| *secs > 0)
            .ok_or_else(|| self.wrong("maxTimeoutSeconds", "must be a positive integer of seconds"))?;
        let terms = Terms { scheme: Scheme::Exact, method, asset, payee, amount };
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
        Ok(Extra { name: text("name")?, version: text("version")?, method: text("assetTransferMethod")? })
    }
}

#[derive(Default)]
struct Extra {
    name: Option<String>,
    version: Option<String>,
    method: Option<String>,
}

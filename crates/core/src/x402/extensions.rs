//! The `extensions` of a seller's 402 (x402 v2): what of them matters to who signs, and how they are answered.
//!
//! What the seller declares is echoed byte for byte. Only two members are added, both inside an `info` that is the
//! client's to fill: the payment's id, and the permit that lets the seller's facilitator pay the gas of the allowance.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::json::{JsonError, Node};
use crate::quote::quoted;
use crate::{DenyCode, Intent, PERMIT2, Signature};

const PAYMENT_IDENTIFIER: &str = "payment-identifier";
const EIP2612_GAS_SPONSORING: &str = "eip2612GasSponsoring";
const ERC20_APPROVAL_GAS_SPONSORING: &str = "erc20ApprovalGasSponsoring";
/// Extensions that ask nothing of who signs beyond what is written here.
const KNOWN: [&str; 7] = [
    PAYMENT_IDENTIFIER,
    EIP2612_GAS_SPONSORING,
    ERC20_APPROVAL_GAS_SPONSORING,
    "bazaar",
    "builder-code",
    "offer-receipt",
    "sign-in-with-x",
];
/// The version of `eip2612GasSponsoring` that is answered.
const SPONSORING_VERSION: &str = "1";
/// How long a payment's id must and may be, in characters.
const PAYMENT_ID_LEN: std::ops::RangeInclusive<usize> = 16..=128;

/// What a seller declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The whole object, byte for byte.
    pub raw: Option<Arc<str>>,
    /// Who pays the gas when a wallet has not allowed Permit2 to move the asset yet.
    pub sponsoring: Sponsoring,
    /// An extension we do not know, which the seller says is required.
    pub required: Option<String>,
}

/// How a seller helps a wallet that has not allowed Permit2 to move the asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sponsoring {
    /// Not at all.
    #[default]
    None,
    /// It takes an EIP-2612 permit for the amount of the payment.
    Eip2612,
    /// It takes a signed transaction that approves Permit2 without limit, and nothing smaller.
    Unlimited,
}

impl Extensions {
    pub(super) fn read(object: &Node<'_>) -> Self {
        let declares = |name| object.get(name).is_some();
        let sponsoring = if object.get(EIP2612_GAS_SPONSORING).is_some_and(is_ours_to_fill) {
            Sponsoring::Eip2612
        } else if declares(ERC20_APPROVAL_GAS_SPONSORING) {
            Sponsoring::Unlimited
        } else {
            Sponsoring::None
        };
        let required = object.members().iter().find(|(name, extension)| {
            let info = extension.get("info").and_then(|info| info.get("required"));
            !KNOWN.contains(&name.as_str()) && info.is_some_and(|required| required.raw() == "true")
        });
        Self { raw: Some(object.raw().into()), sponsoring, required: required.map(|(name, _)| name.clone()) }
    }

    /// Why nothing is signed for a seller that declares this, if nothing is.
    #[must_use]
    pub fn refusal(&self) -> Option<(DenyCode, String)> {
        let name = self.required.as_deref()?;
        Some((DenyCode::ExtensionUnsupported, format!("the seller requires the extension {}", quoted(name))))
    }
}

/// Whether the permit can be added to what the seller declares without changing it.
fn is_ours_to_fill(extension: &Node<'_>) -> bool {
    let info = extension.get("info");
    let members = info.map(Node::members).unwrap_or_default();
    let ours = ["from", "asset", "spender", "amount", "nonce", "deadline", "signature"];
    let version = members.iter().find(|(name, _)| name == "version");
    extension.is_object()
        && info.is_none_or(Node::is_object)
        && !members.iter().any(|(name, _)| ours.contains(&name.as_str()))
        && version.is_none_or(|(_, version)| version.as_str() == Some(SPONSORING_VERSION))
}

/// The `extensions` of the answer.
pub(super) fn answer(
    declared: &str,
    intent: &Intent,
    allowance: Option<Signature>,
) -> Result<String, JsonError> {
    let object = Node::parse(declared)?;
    let identifier = object.get(PAYMENT_IDENTIFIER).and_then(|extension| {
        extension.get("info").filter(|info| info.is_object() && info.get("id").is_none())
    });
    let mut added = Vec::new();
    if identifier.is_some() {
        added.push((PAYMENT_IDENTIFIER, vec![("id", payment_id(intent))]));
    }
    if let (Some(granted), Some(signature)) = (intent.allowance, allowance) {
        let info = [
            ("from", intent.wallet_address.to_string()),
            ("asset", intent.terms.asset.address.to_string()),
            ("spender", PERMIT2.to_string()),
            ("amount", intent.terms.amount.to_string()),
            ("nonce", granted.nonce.to_string()),
            ("deadline", intent.deadline().to_string()),
            ("signature", signature.to_string()),
            ("version", SPONSORING_VERSION.to_owned()),
        ];
        added.push((EIP2612_GAS_SPONSORING, info.into()));
    }
    if added.is_empty() {
        return Ok(declared.to_owned());
    }
    Ok(written(object.members().iter().map(|(name, extension)| {
        let info = added.iter().find(|(added, _)| added == name).map(|(_, info)| info);
        (name.as_str(), info.map_or_else(|| extension.raw().to_owned(), |info| filled(extension, info)))
    })))
}

/// An extension whose `info` says more than the seller declared, and nothing else than it declared.
fn filled(extension: &Node<'_>, added: &[(&str, String)]) -> String {
    let declared = extension.get("info").map(Node::members).unwrap_or_default();
    let ours = added.iter().filter(|(name, _)| declared.iter().all(|(theirs, _)| theirs != name));
    let theirs = declared.iter().map(|(name, node)| (name.as_str(), node.raw().to_owned()));
    let info =
        written(theirs.chain(ours.map(|(name, text)| (*name, Value::from(text.as_str()).to_string()))));
    let others = extension.members().iter().filter(|(name, _)| name != "info");
    let others = others.map(|(name, node)| (name.as_str(), node.raw().to_owned()));
    written(std::iter::once(("info", info)).chain(others))
}

fn written<'a>(members: impl Iterator<Item = (&'a str, String)>) -> String {
    let members: Vec<String> =
        members.map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// The id by which a seller recognises a payment it has seen: the request's own, where it is one by the rules of the
/// extension, and one derived from it and the agent otherwise.
fn payment_id(intent: &Intent) -> String {
    let id = intent.request_id.as_str();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if PAYMENT_ID_LEN.contains(&id.len()) && id.bytes().all(plain) {
        return id.to_owned();
    }
    let hash = Sha256::digest(format!("pursekeeper.payment-id.v1\n{}\n{id}", intent.agent));
    format!("pk_{}", hex::encode(hash.get(..16).unwrap_or_default()))
}

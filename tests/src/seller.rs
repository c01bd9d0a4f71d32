//! 402s as sellers write them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// USDC on Base Sepolia.
pub const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
/// The address that honest sellers are paid at.
pub const PAYEE: &str = "0x6bE854D8F38Acab8844843C07447E4E0F528c054";
/// What honest sellers sell.
pub const URL: &str = "https://api.example.com/v1/report";

/// One entry of `accepts`. The default is honest: 0.001 USDC on Base Sepolia to [`PAYEE`].
#[derive(Clone, Debug)]
pub struct Offer {
    /// The scheme.
    pub scheme: String,
    /// The network, as v2 names it.
    pub network: String,
    /// The token contract.
    pub asset: String,
    /// Who receives it.
    pub payee: String,
    /// Atomic units.
    pub amount: String,
    /// How long the seller wants the signature to live, in seconds.
    pub timeout_secs: u64,
    /// `extra`, with what the seller says about the asset.
    pub extra: Value,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            scheme: "exact".to_owned(),
            network: "eip155:84532".to_owned(),
            asset: USDC.to_owned(),
            payee: PAYEE.to_owned(),
            amount: "1000".to_owned(),
            timeout_secs: 60,
            extra: json!({ "name": "USDC", "version": "2" }),
        }
    }
}

impl Offer {
    /// An honest offer over `amount` atomic units.
    #[must_use]
    pub fn of(amount: &str) -> Self {
        Self { amount: amount.to_owned(), ..Self::default() }
    }

    /// As a v2 entry.
    #[must_use]
    pub fn entry_v2(&self) -> Value {
        let Self { scheme, network, asset, payee, amount, timeout_secs, extra } = self;
        json!({
            "scheme": scheme, "network": network, "asset": asset, "payTo": payee, "amount": amount,
            "maxTimeoutSeconds": timeout_secs, "extra": extra,
        })
    }

    /// As a v1 entry. Base Sepolia is the only network with a v1 name here.
    #[must_use]
    pub fn entry_v1(&self, resource: &str) -> Value {
        let Self { scheme, network, asset, payee, amount, timeout_secs, extra } = self;
        let network = if network == "eip155:84532" { "base-sepolia" } else { network };
        json!({
            "scheme": scheme, "network": network, "asset": asset, "payTo": payee, "maxAmountRequired": amount,
            "maxTimeoutSeconds": timeout_secs, "extra": extra, "resource": resource,
            "description": "a report", "mimeType": "application/json",
        })
    }
}

/// The value of a v2 `PAYMENT-REQUIRED` header; without `resource` the seller names none.
#[must_use]
pub fn challenge_v2(resource: Option<&str>, offers: &[Offer]) -> Vec<u8> {
    challenge_with(resource, offers, &json!({ "note": { "kept": "as it is" } }))
}

/// The same with other `extensions`.
#[must_use]
pub fn challenge_with(resource: Option<&str>, offers: &[Offer], extensions: &Value) -> Vec<u8> {
    let mut required = json!({
        "x402Version": 2,
        "error": "payment required",
        "accepts": offers.iter().map(Offer::entry_v2).collect::<Vec<_>>(),
        "extensions": extensions,
    });
    if let Some(url) = resource {
        required["resource"] =
            json!({ "url": url, "description": "a report", "mimeType": "application/json" });
    }
    STANDARD.encode(required.to_string()).into_bytes()
}

/// The body of a v1 402.
#[must_use]
pub fn challenge_v1(resource: &str, offers: &[Offer]) -> Vec<u8> {
    let accepts: Vec<Value> = offers.iter().map(|offer| offer.entry_v1(resource)).collect();
    json!({ "x402Version": 1, "error": "payment required", "accepts": accepts }).to_string().into_bytes()
}

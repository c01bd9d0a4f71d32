use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::x402::{Challenge, Terms};
use crate::{Act, Asked, Caller, Claim, Digest, Fate, Mode, Observation};

/// Most labels on one request.
pub const LABELS_MAX: usize = 16;
/// Longest key or value of a label, in bytes.
pub const LABEL_LEN_MAX: usize = 128;
/// Longest reason of an operator's act, in bytes.
pub const REASON_LEN_MAX: usize = 512;

/// What may be asked of the gate.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Sign a payment, or say whether it would be signed.
    Payment(Arc<PaymentAsk>),
    /// Do what an operator wants done.
    Lifecycle(LifecycleAsk),
    /// Note what an agent says it saw.
    Report(ReportAsk),
    /// Take note of what a chain says.
    Evidence(EvidenceAsk),
}

/// An agent's request for a payment, parsed. Nothing in it is resolved yet: that happens under the bundle that judges.
#[derive(Clone, Debug)]
pub struct PaymentAsk {
    /// Whether the answer counts.
    pub mode: Mode,
    /// What was asked, by whom.
    pub asked: Asked,
    /// The seller's 402.
    pub challenge: Challenge,
    /// 32 random bytes, drawn by the shell: the nonce if this is permitted.
    pub nonce: [u8; 32],
}

/// An operator's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleAsk {
    /// What they want done.
    pub act: Act,
}

/// An agent's word about one of its payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportAsk {
    /// Who says so.
    pub caller: Caller,
    /// The record of the permit.
    pub hold: u64,
    /// What they say.
    pub claim: Claim,
}

/// A chain's word about a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceAsk {
    /// The record of the permit.
    pub hold: u64,
    /// What became of the signature.
    pub fate: Fate,
    /// Where that was read.
    pub observation: Observation,
}

impl PaymentAsk {
    /// What makes a retry the same request: endpoint, workflow, wallet and the economic terms offered, not the seller's
    /// prose. SHA-256 over length-prefixed fields.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let mut hash = Sha256::new();
        let mut field = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text);
        };
        let Asked { endpoint, workflow, wallet, caller: _, request_id: _, labels: _ } = &self.asked;
        field("pursekeeper.request.v1");
        field(endpoint.method());
        field(endpoint.url());
        field(workflow.as_ref().map_or("", |name| name.as_str()));
        field(wallet.as_ref().map_or("", |name| name.as_str()));
        for understood in self.challenge.offers.iter().filter_map(|offer| offer.content.as_ref().ok()) {
            let Terms { scheme, method, asset, payee, amount } = &understood.terms;
            field(scheme.as_str());
            field(method.as_str());
            field(&asset.network.to_string());
            field(&asset.address.to_string());
            field(&payee.to_string());
            field(&amount.to_string());
        }
        Digest(hash.finalize().into())
    }
}

impl Ask {
    /// Whether `labels` keep within [`LABELS_MAX`] and [`LABEL_LEN_MAX`].
    #[must_use]
    pub fn labels_fit(labels: &BTreeMap<String, String>) -> bool {
        let fits = |text: &String| text.len() <= LABEL_LEN_MAX;
        labels.len() <= LABELS_MAX && labels.iter().all(|(key, value)| fits(key) && fits(value))
    }
}

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::siwx::{SignInChallenge, SignInProfile};
use crate::typed_data::TypedData;
use crate::x402::{Challenge, OfferRefusal, Terms};
use crate::{
    Act, Amount, Asked, AssetId, Caller, DecisionId, Digest, Fate, IdentitySource, Mode, Observation,
    ReloadKind, ReloadResult, Repeats, Said,
};

/// Most labels on one request.
pub const LABELS_MAX: usize = 16;
/// Longest key or value of a label, in bytes.
pub const LABEL_LEN_MAX: usize = 128;
/// Most signatures that one [`VoidAsk`] voids.
pub const VOIDS_PER_PAGE_MAX: usize = 256;
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
    /// Sign in.
    SignIn(Arc<SignInAsk>),
    /// Sign a payment, or the allowance for one, that an app built itself.
    TypedData(Arc<TypedDataAsk>),
    /// Record what follows from the bundle, the time and the records.
    Transition,
    /// Sign what voids signatures, as an act that is recorded wants it.
    Void(VoidAsk),
    /// Take note of signatures that were made: the record of each permit, and the SHA-256 of the signature.
    Signatures(Vec<(u64, Digest)>),
    /// Take note of a call of nobody.
    Unauthenticated(UnauthenticatedAsk),
    /// Record what was counted in a minute that is over.
    Repeats(Repeats),
    /// Take note of what was read again because it changed on disk.
    Reload(ReloadAsk),
}

/// Something that changed on disk, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadAsk {
    /// What was read.
    pub kind: ReloadKind,
    /// What became of it.
    pub result: ReloadResult,
    /// Why, or what is in force now, in words.
    pub message: String,
}

/// A call of somebody whom the registry does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnauthenticatedAsk {
    /// What the socket says about them, if it says anything.
    pub source: Option<IdentitySource>,
    /// What they called: service and method.
    pub call: String,
    /// Why they are nobody.
    pub message: String,
}

/// A page of the signatures that an act voids. The act is recorded already: a sidecar that was killed in the middle goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoidAsk {
    /// The act: a revocation, or one that voids what is outstanding.
    pub act: DecisionId,
    /// Only signatures whose permit was recorded after this one.
    pub after: u64,
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
    /// The allowance that the wallet lacks, as far as the agent can tell.
    pub allowance: Option<AllowanceAsk>,
}

/// What an agent read in a token about a wallet that has not allowed Permit2 to move it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowanceAsk {
    /// The token.
    pub asset: AssetId,
    /// The wallet's next EIP-2612 nonce in it.
    pub nonce: Amount,
}

/// An app's request for a signature over typed data, parsed. Its request id follows from what is to be signed: the same
/// data is the same request.
#[derive(Clone, Debug)]
pub struct TypedDataAsk {
    /// What was asked, by whom.
    pub asked: Asked,
    /// What it wants signed, or why that is nothing we sign.
    pub content: Result<TypedData, OfferRefusal>,
}

/// An operator's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleAsk {
    /// What they want done.
    pub act: Act,
}

/// An agent's request to sign in, parsed. Nothing in it is resolved yet.
#[derive(Clone, Debug)]
pub struct SignInAsk {
    /// What was asked, by whom.
    pub asked: Asked,
    /// What the server asks for.
    pub challenge: SignInChallenge,
}

/// An agent's word about one of its payments or sign-ins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportAsk {
    /// Who says so.
    pub caller: Caller,
    /// The record of the permit.
    pub original_seq: u64,
    /// What they say.
    pub said: Said,
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
        let mut fields = Fields::begin("pursekeeper.request.v1", &self.asked);
        let mut field = |text: &str| fields.add(text);
        for understood in self.challenge.offers.iter().filter_map(|offer| offer.content.as_ref().ok()) {
            let Terms { scheme, method, asset, payee, amount } = &understood.terms;
            field(scheme.as_str());
            field(method.as_str());
            field(&asset.network.to_string());
            field(&asset.address.to_string());
            field(&payee.to_string());
            field(&amount.to_string());
            if let Some(facilitator) = scheme.facilitator() {
                field(&facilitator.to_string());
            }
        }
        if let Some(AllowanceAsk { asset, nonce }) = &self.allowance {
            ["eip2612", &asset.network.to_string(), &asset.address.to_string(), &nonce.to_string()]
                .into_iter()
                .for_each(field);
        }
        fields.end()
    }
}

impl TypedDataAsk {
    /// What makes a retry the same request: endpoint, workflow, wallet, and the id, which stands for the data.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let mut fields = Fields::begin("pursekeeper.typed-data.v1", &self.asked);
        fields.add(&self.asked.request_id.to_string());
        fields.end()
    }
}

impl SignInAsk {
    /// What makes a retry the same request: endpoint, workflow, wallet and everything the server chose.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let mut fields = Fields::begin("pursekeeper.sign-in.v1", &self.asked);
        let SignInChallenge {
            profile,
            domain,
            uri,
            version,
            nonce,
            issued_at,
            statement,
            expiration_time,
            not_before,
            request_id,
            resources,
            supported_chains: _,
        } = &self.challenge;
        fields.add(profile.as_str());
        fields.add(domain);
        fields.add(uri);
        match profile {
            // Made by us, anew for every call; the first one counts.
            SignInProfile::Venice => {}
            SignInProfile::Standard => {
                let optional = [statement, expiration_time, not_before, request_id];
                [version, nonce, issued_at].into_iter().for_each(|text| fields.add(text));
                optional.into_iter().for_each(|text| fields.add(text.as_deref().unwrap_or("")));
                resources.iter().for_each(|text| fields.add(text));
            }
        }
        fields.end()
    }
}

/// Fields hashed each with its length, so that no two lists have one encoding.
struct Fields(Sha256);

impl Fields {
    fn begin(kind: &str, asked: &Asked) -> Self {
        let Asked { endpoint, workflow, wallet, caller: _, request_id: _, labels: _, trace: _, wait: _ } =
            asked;
        let mut fields = Self(Sha256::new());
        fields.add(kind);
        fields.add(endpoint.method());
        fields.add(endpoint.url());
        fields.add(workflow.as_ref().map_or("", |name| name.as_str()));
        fields.add(wallet.as_ref().map_or("", |name| name.as_str()));
        fields
    }

    fn add(&mut self, text: &str) {
        self.0.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(text);
    }

    fn end(self) -> Digest {
        Digest(self.0.finalize().into())
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

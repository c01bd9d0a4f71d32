//! Requests as the model sees them, and as the gate takes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::U256;
use pursekeeper_core::gate::{Ask, PaymentAsk};
use pursekeeper_core::x402::Challenge;
use pursekeeper_core::{
    AgentName, Asked, Caller, Endpoint, IdentitySource, Mode, RequestId, Wait, WalletName, WorkflowName,
};
use pursekeeper_tests::{Offer as Entry, challenge_v2};

use crate::world::{ASSETS, NETWORKS, PAYEES, URL_ELSEWHERE, URLS};

/// One entry of `accepts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) asset: usize,
    pub(crate) payee: usize,
    pub(crate) amount: U256,
    pub(crate) timeout_secs: u64,
}

/// A request for a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// Who asks, by position and by the name they are authenticated as.
    pub(crate) agent: usize,
    pub(crate) caller: String,
    pub(crate) id: String,
    pub(crate) workflow: Option<String>,
    pub(crate) wallet: Option<String>,
    /// The service that is called; past the last one is none.
    pub(crate) service: usize,
    pub(crate) offers: Vec<Offer>,
    pub(crate) preview: bool,
    pub(crate) nonce: [u8; 32],
}

impl Spec {
    /// Whether this is the same request as another: same call, workflow, wallet and economic terms.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        let terms = |offer: &Offer| (offer.asset, offer.payee, offer.amount);
        self.service == other.service
            && self.workflow == other.workflow
            && self.wallet == other.wallet
            && self.offers.iter().map(terms).eq(other.offers.iter().map(terms))
    }

    /// As the gate takes it.
    pub(crate) fn ask(&self) -> Ask {
        let url = URLS.get(self.service).copied().unwrap_or(URL_ELSEWHERE);
        let entries: Vec<Entry> = self.offers.iter().map(Offer::entry).collect();
        let workflow = self.workflow.as_deref().map(|name| WorkflowName::parse(name).expect("a name"));
        Ask::Payment(Arc::new(PaymentAsk {
            mode: if self.preview { Mode::Preview } else { Mode::Enforce },
            asked: Asked {
                caller: caller(self.agent, &self.caller),
                request_id: RequestId::parse(&self.id).expect("an id"),
                endpoint: Endpoint::parse("GET", url).expect("a URL"),
                workflow,
                wallet: self.wallet.as_deref().map(|name| WalletName::parse(name).expect("a name")),
                labels: BTreeMap::new(),
                trace: None,
                wait: Wait::Unknown,
            },
            challenge: Challenge::from_header(&challenge_v2(Some(url), &entries)).expect("a 402"),
            allowance: None,
            nonce: self.nonce,
        }))
    }
}

impl Offer {
    fn entry(&self) -> Entry {
        Entry {
            network: NETWORKS[self.asset].to_owned(),
            asset: ASSETS[self.asset].0.to_owned(),
            payee: PAYEES[self.payee].to_owned(),
            amount: self.amount.to_string(),
            timeout_secs: self.timeout_secs,
            ..Entry::default()
        }
    }
}

/// An agent as it is authenticated.
pub(crate) fn caller(at: usize, name: &str) -> Caller {
    let uid = 1_000 + u32::try_from(at).expect("few agents");
    Caller::new(AgentName::parse(name).expect("a name"), IdentitySource::unix_peer(uid))
}

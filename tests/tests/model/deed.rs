//! What is asked of the gate with everything picked, as the gate takes it, and answers as far as they can be foretold.

use alloy_primitives::U256;
use pursekeeper_core::gate::{Ask, EvidenceAsk, LifecycleAsk, ReportAsk};
use pursekeeper_core::{
    ActVerb, Address, AgentName, Amount, ChainId, Claim, Detail, EvmAddress, Observation, OperatorName, Said,
    ServiceName, Subject, WorkflowName,
};

use crate::request::{Spec, caller};
use crate::world::{Kind, NETWORKS, WALLETS};

/// One ask, with everything picked.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Pay(Spec),
    Report {
        hold: u64,
        agent: usize,
        caller: String,
        settled: bool,
    },
    /// Settled for so much, or dead.
    Evidence {
        hold: u64,
        network: usize,
        settled: Option<U256>,
    },
    Act(Act),
}

/// An operator's act.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) operator: String,
    pub(crate) verb: Verb,
}

/// What an operator does. A wallet is named by its address.
#[derive(Clone, Debug)]
pub(crate) enum Verb {
    Suspend(Kind, String),
    Resume(Kind, String),
    Release { wallet: usize, hold: Option<u64> },
    AcceptClock,
}

/// An answer, as far as it can be foretold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What was done, or the code of why not.
    pub(crate) word: &'static str,
    /// The record it names.
    pub(crate) seq: Option<u64>,
    pub(crate) signed: Option<Signed>,
}

/// What may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) agent: String,
    pub(crate) workflow: String,
    pub(crate) wallet: String,
    pub(crate) service: Option<String>,
    pub(crate) offer: usize,
    pub(crate) usd: u128,
    pub(crate) valid_before: u64,
    pub(crate) nonce: [u8; 32],
}

impl Deed {
    /// What an operator did with it.
    pub(crate) fn done(&self) -> &'static str {
        match self {
            Self::Act(Act { verb: Verb::Suspend(..), .. }) => "SUSPENDED",
            Self::Act(Act { verb: Verb::Resume(..), .. }) => "RESUMED",
            Self::Act(Act { verb: Verb::Release { .. }, .. }) => "RELEASED",
            Self::Act(Act { verb: Verb::AcceptClock, .. }) => "CLOCK_ACCEPTED",
            Self::Pay(_) | Self::Report { .. } | Self::Evidence { .. } => "ACTED",
        }
    }

    /// As the gate takes it.
    pub(crate) fn ask(&self) -> Ask {
        match self {
            Self::Pay(spec) => spec.ask(),
            Self::Report { hold, agent, caller: name, settled } => {
                let claim = if *settled { Claim::settled(Some("0xabc")) } else { Claim::failed("no") };
                let (caller, said) = (caller(*agent, name), Said::Outcome(claim));
                Ask::Report(ReportAsk { caller, original_seq: *hold, said })
            }
            Self::Evidence { hold, network, settled } => {
                let network = ChainId::parse(NETWORKS[*network]).expect("a network");
                let fate = match settled {
                    Some(amount) => pursekeeper_core::Fate::Settled { amount: atomic(*amount) },
                    None => pursekeeper_core::Fate::Dead,
                };
                let observation =
                    Observation { network, block: 7, block_hash: [7; 32], transaction: None, nodes: 1 };
                Ask::Evidence(EvidenceAsk { hold: *hold, fate, observation })
            }
            Self::Act(act) => Ask::Lifecycle(act.ask()),
        }
    }
}

impl Act {
    fn ask(&self) -> LifecycleAsk {
        let (verb, subject, hold) = match &self.verb {
            Verb::Suspend(kind, key) => (ActVerb::Suspend, subject(*kind, key), None),
            Verb::Resume(kind, key) => (ActVerb::Resume, subject(*kind, key), None),
            Verb::Release { wallet, hold } => {
                (ActVerb::Release, Subject::Wallet(address(WALLETS[*wallet])), *hold)
            }
            Verb::AcceptClock => (ActVerb::AcceptClock, Subject::Sidecar, None),
        };
        let operator = OperatorName::parse(&self.operator).expect("a name");
        let source = pursekeeper_core::IdentitySource::unix_peer(2_000);
        let reason = "drill".to_owned();
        let detail = hold.map_or(Detail::None, Detail::Hold);
        LifecycleAsk { act: pursekeeper_core::Act { operator, source, verb, subject, detail, reason } }
    }
}

fn subject(kind: Kind, key: &str) -> Subject {
    match kind {
        Kind::Agent => Subject::Agent(AgentName::parse(key).expect("a name")),
        Kind::Workflow => Subject::Workflow(WorkflowName::parse(key).expect("a name")),
        Kind::Wallet | Kind::Payee => Subject::Wallet(address(key)),
        Kind::Service => Subject::Service(ServiceName::parse(key).expect("a name")),
    }
}

pub(crate) fn atomic(amount: U256) -> Amount {
    Amount::parse(&amount.to_string()).expect("an amount")
}

pub(crate) fn address(text: &str) -> Address {
    EvmAddress::parse(text).expect("an address").into()
}

//! Payments no journal can count.

use alloy_primitives::U256;
use pursekeeper_core::ports::{Policy, Verdict};
use pursekeeper_core::registry::Registry;
use pursekeeper_core::{Act, Digest, Facts, Intent, SignInIntent, UnixSeconds};
use pursekeeper_policy::Bundle;

use crate::model::Model;
use crate::request::{Offer, Spec};
use crate::world::{Kind, WALLETS};

const MARK: &str = "poison";

/// A bundle that also permits what is marked, however much it is.
pub(crate) struct Poisoned<'b>(pub(crate) &'b Bundle);

impl Policy for Poisoned<'_> {
    fn registry(&self) -> &Registry {
        self.0.registry()
    }

    fn digest(&self) -> Digest {
        self.0.digest()
    }

    fn decide(&self, intent: &Intent, facts: &Facts) -> Verdict {
        if intent.request_id.to_string().starts_with(MARK) {
            return Verdict::Permit(Vec::new());
        }
        self.0.decide(intent, facts)
    }

    fn decide_allowance(&self, intent: &Intent, facts: &Facts) -> Verdict {
        self.0.decide_allowance(intent, facts)
    }

    fn decide_sign_in(&self, intent: &SignInIntent, facts: &Facts) -> Verdict {
        self.0.decide_sign_in(intent, facts)
    }

    fn decide_act(&self, act: &Act, now: UnixSeconds) -> Verdict {
        self.0.decide_act(act, now)
    }
}

/// Two payments that can be permitted and, together, not be counted. They share wallet and payee, and may share more.
pub(crate) fn poison(model: &Model, by: u8) -> [Spec; 2] {
    let everything = U256::from(u128::MAX) * U256::from(10_000_000) / U256::from(7);
    let asked = |agent: usize, workflow: usize, number: u8| Spec {
        agent,
        caller: model.world.of(Kind::Agent, agent).name.clone(),
        id: format!("{MARK}{number}"),
        workflow: Some(model.world.of(Kind::Workflow, workflow).name.clone()),
        wallet: Some(model.world.of(Kind::Wallet, WALLETS.len() - 1).name.clone()),
        service: 1,
        offers: vec![Offer { asset: 1, payee: 3, amount: everything, timeout_secs: 60 }],
        preview: false,
        nonce: [number; 32],
    };
    let agent = usize::from(by % 3);
    [asked(agent, usize::from(by % 2), 1), asked((agent + 1) % 3, usize::from(by / 2 % 2), 2)]
}

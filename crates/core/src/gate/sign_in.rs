//! One request to sign in, judged inside the transaction that records the answer.

use crate::ports::{LedgerError, Policy, Prior, Used, Verdict};
use crate::registry::{Wallet, Workflow};
use crate::siwx::{SignInContext, SupportedChain};
use crate::{
    ChainId, Denial, DenyCode, Entry, Facts, PerScope, Reissue, Scope, SignInDecision, SignInIntent,
    SignInOutcome, SignInPermit, Signable, Subject, Totals, WalletName, WorkflowName,
};

use super::judge::{Court, archived};
use super::{SignInAsk, resolve};

impl<P: Policy> Court<'_, P> {
    /// Judges a request to sign in.
    pub(super) fn sign_in(&self, ask: &SignInAsk) -> Result<Entry, LedgerError> {
        if let Some(denial) = self.untimely() {
            return Ok(self.sign_in_denied(ask, denial, None));
        }
        for name in self.policy.registry().names_of_agent(&ask.asked.caller.agent) {
            if let Some(prior) = self.ledger.prior(name, &ask.asked.request_id)? {
                return Ok(self.sign_in_again(ask, prior));
            }
        }
        let intent = match self.sign_in_intent(ask) {
            Ok(intent) => intent,
            Err(denial) => return Ok(self.sign_in_denied(ask, denial, None)),
        };
        let facts = self.sign_in_facts(ask, &intent);
        Ok(match self.policy.decide_sign_in(&intent, &facts) {
            Verdict::Permit(policies) => {
                let counted_until = intent.message.expires_at().plus(self.settings.skew_secs);
                let permit = SignInPermit { intent, policies, counted_until };
                self.sign_in_decided(ask, SignInOutcome::Permit(Box::new(permit)))
            }
            Verdict::Deny(code, policies) => {
                self.sign_in_denied(ask, Denial::by_policies(code, policies), Some(Box::new(intent)))
            }
        })
    }

    /// What would be signed, under the bundle that judges.
    fn sign_in_intent(&self, ask: &SignInAsk) -> Result<SignInIntent, Denial> {
        let registry = self.policy.registry();
        let workflow = resolve::workflow(registry, &ask.asked)?;
        let (network, (wallet, declared)) = self.sign_in_wallet(ask, workflow)?;
        let endpoint = &ask.asked.endpoint;
        let context = SignInContext {
            endpoint,
            address: declared.address,
            chains: &[network],
            now: self.at.unix_seconds(),
            skew_secs: self.settings.skew_secs,
        };
        let message = ask.challenge.clone().validate(&context);
        let (name, workflow) = workflow;
        let services = registry.services_of(endpoint);
        Ok(SignInIntent {
            request_id: ask.asked.request_id.clone(),
            agent: ask.asked.caller.agent.clone(),
            workflow: name.clone(),
            wallet: wallet.clone(),
            wallet_address: declared.address,
            service: services.into_iter().find(|service| workflow.services.contains(service)),
            endpoint: endpoint.clone(),
            message: message.map_err(|refusal| Denial::rule(refusal.code(), refusal))?,
        })
    }

    /// The first network the server takes on which exactly one wallet can sign in, and that wallet.
    fn sign_in_wallet(
        &self,
        ask: &SignInAsk,
        (workflow, _): (&WorkflowName, &Workflow),
    ) -> Result<(ChainId, (&WalletName, &Wallet)), Denial> {
        let mut refused = None;
        let networks = ask.challenge.supported_chains.iter().map(|SupportedChain { chain, .. }| chain);
        for network in networks.filter(|network| matches!(network, ChainId::Eip155(_))) {
            match resolve::wallet(self.policy.registry(), &ask.asked, workflow, network) {
                Ok(found) if found.1.networks.contains(network) => return Ok((network.clone(), found)),
                Ok((name, _)) => {
                    let what = format!("wallet `{name}` may not sign in on `{network}`");
                    refused.get_or_insert(Denial::rule(DenyCode::NetworkNotAllowed, what));
                }
                Err(denial) => drop(refused.get_or_insert(denial)),
            }
        }
        let none = || Denial::rule(DenyCode::SignInChain, "the server takes no EVM network");
        Err(refused.unwrap_or_else(none))
    }

    /// What is true around a sign-in. There is no payee and no money in it.
    fn sign_in_facts(&self, ask: &SignInAsk, intent: &SignInIntent) -> Facts {
        let registry = self.policy.registry();
        let after = |scope: Scope| self.totals(&scope).with_sign_in();
        let service = intent.service.clone();
        let service_status = service.clone().map(Subject::Service);
        Facts {
            now: self.at,
            caller: ask.asked.caller.clone(),
            agent_status: self.status(Subject::Agent(intent.agent.clone())),
            workflow_status: self.status(Subject::Workflow(intent.workflow.clone())),
            wallet_status: self.status(Subject::Wallet(intent.wallet_address)),
            wallet_backed_up: self.is_backed_up(intent.wallet_address),
            service_status: service_status.map_or_else(Default::default, |service| self.status(service)),
            services: registry.services_of(&intent.endpoint),
            payee_accepted: false,
            facilitator_accepted: true,
            after: PerScope {
                agent: after(Scope::Agent(intent.agent.clone())),
                workflow: after(Scope::Workflow(intent.workflow.clone())),
                wallet: after(Scope::Wallet(intent.wallet_address)),
                service: match service {
                    Some(name) => after(Scope::Service(name)),
                    None => Totals::default().with_sign_in(),
                },
                payee: Totals::default(),
            },
            outstanding: 0,
            balance: None,
            prepaid: self.prepaid(intent.wallet_address, intent.service.as_ref(), &intent.endpoint),
        }
    }

    /// The same id again: the same message, or a refusal.
    fn sign_in_again(&self, ask: &SignInAsk, prior: Prior) -> Entry {
        let Prior { seq, fingerprint, used } = prior;
        let id = &ask.asked.request_id;
        let reused =
            || Denial::rule(DenyCode::RequestIdReused, format!("`{id}` was used for another request"));
        let intent = match used {
            Used::SignIn(intent) if fingerprint == ask.fingerprint() => *intent,
            Used::Archived => {
                let denial = archived(id, fingerprint == ask.fingerprint());
                return self.sign_in_denied(ask, denial, None);
            }
            Used::SignIn(_) | Used::Payment(..) => return self.sign_in_denied(ask, reused(), None),
        };
        if self.at.unix_seconds() >= intent.message.expires_at() {
            let what = format!("the sign-in signed for `{id}` has expired");
            let denial = Denial::rule(DenyCode::RequestExpired, what);
            return self.sign_in_denied(ask, denial, Some(Box::new(intent)));
        }
        let refusal = self.not_on_listener(&ask.asked, &intent.workflow);
        if let Some(denial) = refusal.or_else(|| self.inactive(intent.subjects(), &intent.workflow)) {
            return self.sign_in_denied(ask, denial, Some(Box::new(intent)));
        }
        Entry::Reissue(Box::new(Reissue {
            at: self.at,
            asked: self.heard(&ask.asked),
            original_seq: seq,
            what: Signable::SignIn(intent),
            policies: Vec::new(),
            bundle: self.policy.bundle(),
        }))
    }

    fn sign_in_denied(&self, ask: &SignInAsk, denial: Denial, intent: Option<Box<SignInIntent>>) -> Entry {
        self.sign_in_decided(ask, SignInOutcome::Deny { denial, intent })
    }

    fn sign_in_decided(&self, ask: &SignInAsk, outcome: SignInOutcome) -> Entry {
        let ceilings = match &outcome {
            SignInOutcome::Permit(permit) => self.ceilings_of_sign_in(&permit.intent),
            SignInOutcome::Deny { denial, intent: Some(intent) } if denial.is_judged() => {
                self.ceilings_of_sign_in(intent)
            }
            SignInOutcome::Deny { .. } => Vec::new(),
        };
        Entry::SignIn(Box::new(SignInDecision {
            at: self.at,
            asked: self.heard(&ask.asked),
            fingerprint: ask.fingerprint(),
            outcome,
            ceilings,
            bundle: self.policy.bundle(),
            shadow: None,
        }))
    }
}

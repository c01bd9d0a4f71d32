//! One request, judged inside the transaction that records the answer.

use crate::ports::{Ledger, LedgerError, Policy, Prior, Verdict};
use crate::{
    Decision, Denial, DenyCode, Entry, Facts, Intent, LifecycleDecision, Mode, Moment, OfferVerdict, Outcome,
    PerScope, Permit, Reissue, Scope, Status, Subject, Totals,
};

use super::resolve::{self, Resolver};
use super::{LifecycleAsk, PaymentAsk, Settings};

/// Everything one judgement may look at.
pub(super) struct Court<'a, P: Policy> {
    pub(super) policy: &'a P,
    pub(super) ledger: &'a dyn Ledger,
    pub(super) settings: Settings,
    pub(super) at: Moment,
}

impl<P: Policy> Court<'_, P> {
    /// Judges a request for a payment.
    pub(super) fn payment(&self, ask: &PaymentAsk) -> Result<Entry, LedgerError> {
        if let Some(denial) = self.clock_regressed() {
            return Ok(self.denied(ask, denial));
        }
        let prior = self.ledger.prior(&ask.asked.caller.agent, &ask.asked.request_id)?;
        if let Some(prior) = prior {
            return Ok(self.retry(ask, prior));
        }
        let workflow = match resolve::workflow(self.policy.registry(), &ask.asked) {
            Ok(workflow) => workflow,
            Err(denial) => return Ok(self.denied(ask, denial)),
        };
        let resolver = Resolver {
            registry: self.policy.registry(),
            settings: self.settings,
            now: self.at.unix_seconds(),
            ask,
            workflow,
        };
        Ok(self.choose(ask, &resolver))
    }

    /// Judges every offer and takes the cheapest permitted one; among equals the one that lives shorter, then the
    /// seller's order.
    fn choose(&self, ask: &PaymentAsk, resolver: &Resolver<'_>) -> Entry {
        let mut best: Option<Permit> = None;
        let mut closest: Option<(Denial, Option<Box<Intent>>)> = None;
        let mut offers = Vec::with_capacity(ask.challenge.offers.len());
        for offer in &ask.challenge.offers {
            let judged = match resolver.intent(offer) {
                Ok(intent) => self.judge(ask, intent),
                Err(denial) => Err((denial, None)),
            };
            match judged {
                Ok(permit) => {
                    let rank = |permit: &Permit| (permit.intent.usd, permit.intent.valid_before);
                    if best.as_ref().is_none_or(|best| rank(&permit) < rank(best)) {
                        best = Some(permit);
                    }
                    offers.push(OfferVerdict { index: offer.index, denial: None });
                }
                Err((denial, intent)) => {
                    offers.push(OfferVerdict { index: offer.index, denial: Some(denial.clone()) });
                    if closest.as_ref().is_none_or(|(before, _)| before.code < denial.code) {
                        closest = Some((denial, intent));
                    }
                }
            }
        }
        let outcome = match (best, closest) {
            (Some(permit), _) => Outcome::Permit(Box::new(permit)),
            (None, Some((denial, intent))) => Outcome::Deny { denial, intent },
            (None, None) => Outcome::Deny {
                denial: Denial::rule(DenyCode::SchemeUnsupported, "the 402 offers nothing"),
                intent: None,
            },
        };
        self.decided(ask, offers, outcome)
    }

    fn judge(&self, ask: &PaymentAsk, intent: Intent) -> Result<Permit, (Denial, Option<Box<Intent>>)> {
        let facts = self.facts(ask, &intent);
        match self.policy.decide(&intent, &facts) {
            Verdict::Permit(policies) => {
                let held_until = intent.valid_before.plus(self.settings.skew_secs);
                Ok(Permit { intent, policies, held_until })
            }
            Verdict::Deny(code, policies) => {
                Err((Denial::by_policies(code, policies), Some(Box::new(intent))))
            }
        }
    }

    /// What is true around an intent.
    fn facts(&self, ask: &PaymentAsk, intent: &Intent) -> Facts {
        let after = |scope: Scope| self.ledger.totals(&scope).with_payment(intent.usd);
        let service = intent.service.clone();
        let booked = service.as_ref().and_then(|name| self.policy.registry().services.get(name));
        Facts {
            now: self.at,
            caller: ask.asked.caller.clone(),
            agent_status: self.status(Subject::Agent(intent.agent.clone())),
            workflow_status: self.status(Subject::Workflow(intent.workflow.clone())),
            wallet_status: self.status(Subject::Wallet(intent.wallet_address)),
            service_status: service
                .clone()
                .map_or(Status::Active, |name| self.status(Subject::Service(name))),
            services: self.policy.registry().services_of(&intent.endpoint),
            payee_accepted: booked.is_some_and(|service| service.payees.contains(&intent.terms.payee)),
            after: PerScope {
                agent: after(Scope::Agent(intent.agent.clone())),
                workflow: after(Scope::Workflow(intent.workflow.clone())),
                wallet: after(Scope::Wallet(intent.wallet_address)),
                service: match service {
                    Some(name) => after(Scope::Service(name)),
                    None => Totals::default().with_payment(intent.usd),
                },
                payee: after(Scope::Payee(intent.terms.payee)),
            },
            outstanding: self.ledger.outstanding(&intent.agent, &intent.endpoint),
        }
    }

    /// The strictest of what the registry declares and operators decided. A subject the registry does not know is not
    /// active.
    fn status(&self, subject: Subject) -> Status {
        let registry = self.policy.registry();
        let declared = match &subject {
            Subject::Agent(name) => registry.agents.get(name).map(|agent| agent.status),
            Subject::Workflow(name) => registry.workflows.get(name).map(|workflow| workflow.status),
            Subject::Wallet(address) => registry.wallet_at(*address).map(|(_, wallet)| wallet.status),
            Subject::Service(name) => registry.services.get(name).map(|service| service.status),
        };
        declared.unwrap_or(Status::Suspended).strictest(self.ledger.status(&subject))
    }

    /// The same id again: the same payload, or a refusal; never a second payment.
    fn retry(&self, ask: &PaymentAsk, prior: Prior) -> Entry {
        let Prior { seq, fingerprint, intent } = prior;
        let id = &ask.asked.request_id;
        let refusal = if fingerprint != ask.fingerprint() {
            Some(Denial::rule(DenyCode::RequestIdReused, format!("`{id}` was used for another request")))
        } else if self.at.unix_seconds() >= intent.valid_before {
            Some(Denial::rule(
                DenyCode::RequestExpired,
                format!("the payment signed for `{id}` is past its window"),
            ))
        } else {
            self.inactive(&intent)
        };
        if let Some(denial) = refusal {
            return self.decided(ask, Vec::new(), Outcome::Deny { denial, intent: Some(Box::new(intent)) });
        }
        match ask.mode {
            Mode::Enforce => Entry::Reissue(Box::new(Reissue {
                at: self.at,
                asked: ask.asked.clone(),
                original_seq: seq,
                intent,
                bundle: self.policy.digest(),
            })),
            Mode::Preview => {
                let held_until = intent.valid_before.plus(self.settings.skew_secs);
                let permit = Permit { intent, policies: Vec::new(), held_until };
                self.decided(ask, Vec::new(), Outcome::Permit(Box::new(permit)))
            }
        }
    }

    /// Why a payment permitted earlier may not be handed out again.
    fn inactive(&self, intent: &Intent) -> Option<Denial> {
        let subjects = [
            Some(Subject::Agent(intent.agent.clone())),
            Some(Subject::Workflow(intent.workflow.clone())),
            Some(Subject::Wallet(intent.wallet_address)),
            intent.service.clone().map(Subject::Service),
        ];
        for subject in subjects.into_iter().flatten() {
            let kind = subject.kind();
            let text = subject.to_string();
            if self.status(subject) != Status::Active {
                return Some(Denial::rule(DenyCode::NotActive, format!("{kind} `{text}` is not active")));
            }
        }
        let expires =
            self.policy.registry().workflows.get(&intent.workflow).and_then(|workflow| workflow.expires);
        let expired = expires.is_some_and(|expires| self.at.unix_seconds() >= expires);
        expired.then(|| {
            Denial::rule(DenyCode::WorkflowExpired, format!("workflow `{}` has expired", intent.workflow))
        })
    }

    /// Judges an operator's act.
    pub(super) fn act(&self, ask: &LifecycleAsk) -> Entry {
        let (denial, policies) = match self.policy.decide_act(&ask.act, self.at.unix_seconds()) {
            Verdict::Permit(policies) => (None, policies),
            Verdict::Deny(code, policies) => (Some(Denial::by_policies(code, policies)), Vec::new()),
        };
        Entry::Lifecycle(Box::new(LifecycleDecision {
            at: self.at,
            act: ask.act.clone(),
            denial,
            policies,
            bundle: self.policy.digest(),
        }))
    }

    fn clock_regressed(&self) -> Option<Denial> {
        let seen = self.ledger.high_water_unix_ms();
        let behind = seen.saturating_sub(self.at.unix_ms);
        (behind > self.settings.clock_back_ms_max).then(|| {
            Denial::rule(DenyCode::ClockRegressed, format!("the clock is {behind} ms behind the journal"))
        })
    }

    fn denied(&self, ask: &PaymentAsk, denial: Denial) -> Entry {
        self.decided(ask, Vec::new(), Outcome::Deny { denial, intent: None })
    }

    fn decided(&self, ask: &PaymentAsk, offers: Vec<OfferVerdict>, outcome: Outcome) -> Entry {
        Entry::Payment(Box::new(Decision {
            at: self.at,
            mode: ask.mode,
            asked: ask.asked.clone(),
            fingerprint: ask.fingerprint(),
            offers,
            outcome,
            bundle: self.policy.digest(),
        }))
    }
}

//! One request, judged inside the transaction that records the answer.

use crate::ports::{Ledger, LedgerError, Policy, Prior, Used, Verdict};
use crate::registry::BackupRule;
use crate::{
    Address, Asked, BalanceFacts, Caller, ClaimedFacts, ClockTrust, Credit, Decision, Denial, DenyCode,
    Digest, Endpoint, Entry, Facts, HoldState, Intent, Mode, Moment, OfferVerdict, Outcome, PerScope, Permit,
    PrepaidFacts, Reissue, RequestId, Scope, ServiceName, Signable, Status, Subject, Totals, WorkflowName,
};

use super::resolve::{self, Resolver};
use super::{PaymentAsk, Settings, Surroundings, warnings};

/// Everything one judgement may look at.
pub(super) struct Court<'a, P: Policy> {
    pub(super) policy: &'a P,
    pub(super) ledger: &'a dyn Ledger,
    pub(super) settings: Settings,
    /// The time that is believed.
    pub(super) at: Moment,
    pub(super) trust: ClockTrust,
    pub(super) around: Surroundings<'a>,
}

/// What every request for a payment says, however it is asked for.
#[derive(Clone, Copy)]
pub(super) struct Petition<'a> {
    pub(super) asked: &'a Asked,
    pub(super) mode: Mode,
    pub(super) fingerprint: Digest,
}

impl PaymentAsk {
    fn petition(&self) -> Petition<'_> {
        Petition { asked: &self.asked, mode: self.mode, fingerprint: self.fingerprint() }
    }
}

impl<P: Policy> Court<'_, P> {
    /// Judges a request for a payment.
    pub(super) fn payment(&self, ask: &PaymentAsk) -> Result<Entry, LedgerError> {
        let petition = ask.petition();
        if let Some(entry) = self.settled_already(petition)? {
            return Ok(entry);
        }
        Ok(match self.resolver(petition.asked) {
            Ok(resolver) => self.choose(ask, petition, &resolver),
            Err(denial) => self.denied(petition, denial),
        })
    }

    /// The answer to what needs no judging: nothing is signed at this hour, or the id was used before.
    pub(super) fn settled_already(&self, petition: Petition<'_>) -> Result<Option<Entry>, LedgerError> {
        if let Some(denial) = self.untimely() {
            return Ok(Some(self.denied(petition, denial)));
        }
        let Asked { caller, request_id, .. } = petition.asked;
        for name in self.policy.registry().names_of_agent(&caller.agent) {
            if let Some(prior) = self.ledger.prior(name, request_id)? {
                return Ok(Some(self.retry(petition, prior)));
            }
        }
        Ok(None)
    }

    /// What turns a request into intents.
    pub(super) fn resolver<'r>(&'r self, asked: &'r Asked) -> Result<Resolver<'r>, Denial> {
        let registry = self.policy.registry();
        let workflow = resolve::workflow(registry, asked)?;
        let now = self.at.unix_seconds();
        Ok(Resolver { registry, settings: self.settings, now, asked, workflow })
    }

    /// Judges every offer and takes the cheapest permitted one; among equals the one that lives shorter, then the
    /// one that needs no new allowance, then the seller's order.
    fn choose(&self, ask: &PaymentAsk, petition: Petition<'_>, resolver: &Resolver<'_>) -> Entry {
        let mut best: Option<Permit> = None;
        let mut closest: Option<(Denial, Option<Box<Intent>>)> = None;
        let mut offers = Vec::with_capacity(ask.challenge.offers.len());
        for offer in &ask.challenge.offers {
            let judged = match resolver.offer(ask, offer) {
                Ok(intent) => self.judge(petition.asked, intent),
                Err(denial) => Err((denial, None)),
            };
            match judged {
                Ok(permit) => {
                    let rank = |Permit { intent, .. }: &Permit| {
                        (intent.usd, intent.valid_before, intent.allowance.is_some())
                    };
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
        self.decided(petition, offers, outcome)
    }

    pub(super) fn judge(
        &self,
        asked: &Asked,
        intent: Intent,
    ) -> Result<Permit, (Denial, Option<Box<Intent>>)> {
        let facts = self.facts(asked, &intent);
        match self.decide(&intent, &facts) {
            Verdict::Permit(policies) => {
                let held_until = intent.valid_before.plus(self.settings.skew_secs);
                let warnings = warnings::near(self.policy.registry(), &intent, &facts);
                Ok(Permit { intent, policies, held_until, warnings })
            }
            Verdict::Deny(code, policies) => {
                Err((Denial::by_policies(code, policies), Some(Box::new(intent))))
            }
        }
    }

    /// A payment with an allowance needs a permit for each.
    fn decide(&self, intent: &Intent, facts: &Facts) -> Verdict {
        let mut policies = match (self.policy.decide(intent, facts), intent.allowance) {
            (Verdict::Permit(policies), Some(_)) => policies,
            (verdict, _) => return verdict,
        };
        match self.policy.decide_allowance(intent, facts) {
            Verdict::Permit(granting) => {
                policies.extend(granting);
                policies.sort();
                policies.dedup();
                Verdict::Permit(policies)
            }
            denied @ Verdict::Deny(..) => denied,
        }
    }

    /// What is true around an intent.
    pub(super) fn facts(&self, asked: &Asked, intent: &Intent) -> Facts {
        let registry = self.policy.registry();
        let after = |scope: Scope| self.totals(&scope).with_payment(intent.usd);
        let service = intent.service.clone();
        let booked = service.as_ref().and_then(|name| registry.services.get(name));
        Facts {
            now: self.at,
            caller: asked.caller.clone(),
            agent_status: self.status(Subject::Agent(intent.agent.clone())),
            workflow_status: self.status(Subject::Workflow(intent.workflow.clone())),
            wallet_status: self.status(Subject::Wallet(intent.wallet_address)),
            wallet_backed_up: self.is_backed_up(intent.wallet_address),
            service_status: service
                .clone()
                .map_or(Status::Active, |name| self.status(Subject::Service(name))),
            services: registry.services_for(&intent.endpoint, intent.terms.payee),
            payee_accepted: (intent.service.as_ref())
                .is_some_and(|service| self.payee_accepted(service, intent.terms.payee)),
            facilitator_accepted: intent.terms.scheme.facilitator().is_none_or(|facilitator| {
                booked.is_some_and(|service| service.facilitators.contains(&facilitator))
            }),
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
            outstanding: registry
                .names_of_agent(&intent.agent)
                .map(|name| self.ledger.outstanding(name, &intent.endpoint))
                .fold(0, u64::saturating_add),
            balance: self.balance(intent),
            prepaid: self.prepaid(intent.wallet_address, intent.service.as_ref(), &intent.endpoint),
        }
    }

    /// A wallet's credit behind a call, if the service it is booked under is prepaid.
    pub(super) fn prepaid(
        &self,
        wallet: Address,
        service: Option<&ServiceName>,
        endpoint: &Endpoint,
    ) -> Option<PrepaidFacts> {
        let registry = self.policy.registry();
        let name = service?;
        let declared = registry.services.get(name)?.prepaid.as_ref()?;
        let names = registry.names_of_service(name);
        let Credit { topped_up, claimed, sign_ins, last_sign_in: _ } =
            names.map(|name| self.ledger.credit(wallet, name)).fold(Credit::default(), Credit::plus);
        let now = self.at.unix_seconds();
        let claimed = claimed
            .map(|claimed| ClaimedFacts { usd: claimed.usd, age_secs: now.0.saturating_sub(claimed.at.0) });
        Some(PrepaidFacts { top_up: declared.takes(endpoint), topped_up, claimed, sign_ins })
    }

    /// What a subject spent under all its names.
    pub(super) fn totals(&self, scope: &Scope) -> Totals {
        let scopes = self.policy.registry().scopes(scope);
        scopes.iter().fold(Totals::default(), |sum, scope| sum.plus(self.ledger.totals(scope)))
    }

    /// What is known of the paying wallet's balance, if that is recent enough.
    fn balance(&self, intent: &Intent) -> Option<BalanceFacts> {
        let now = self.at.unix_seconds();
        let known = self.around.balances.of(intent.wallet_address, &intent.terms.asset)?;
        let age_secs = now.0.saturating_sub(known.observed_at.0);
        // Chains run a little ahead of or behind us; a balance from the future is none.
        let future = known.observed_at > now.plus(self.settings.skew_secs);
        if age_secs > self.settings.balance_age_secs_max || future {
            return None;
        }
        let asset = self.policy.registry().assets.get(&intent.terms.asset)?;
        let usd = asset.worth(known.amount, now).ok()?;
        // Whatever could still be settled when the balance was read may not be in it yet.
        let since = known.observed_at.minus(self.settings.skew_secs);
        let bound = self.ledger.bound_since(&Scope::Wallet(intent.wallet_address), since);
        let taken = bound.checked_add(intent.usd).unwrap_or(crate::Usd::MAX);
        let after = usd.checked_sub(taken).unwrap_or(crate::Usd::ZERO);
        Some(BalanceFacts { usd, after, age_secs })
    }

    /// The strictest of what the registry declares and operators decided. A subject the registry does not know is not
    /// active.
    pub(super) fn status(&self, subject: Subject) -> Status {
        let declared = self.policy.registry().declared(&subject, self.at.unix_seconds());
        let keyless = match &subject {
            Subject::Wallet(address) if !self.around.keys.contains(address) => Status::Suspended,
            Subject::Wallet(_)
            | Subject::Agent(_)
            | Subject::Workflow(_)
            | Subject::Service(_)
            | Subject::Sidecar => Status::Active,
        };
        let decided = self.decreed(&subject);
        declared.unwrap_or(Status::Suspended).strictest(decided).strictest(keyless)
    }

    /// Whether there is a backup of a wallet's key, or the registry wants none.
    pub(super) fn is_backed_up(&self, address: Address) -> bool {
        let rule = self.policy.registry().wallet_at(address).map(|(_, wallet)| wallet.backup);
        rule == Some(BackupRule::None) || self.ledger.has_backup(address)
    }

    /// The same id again: the same payload, or a refusal; never a second payment.
    fn retry(&self, petition: Petition<'_>, prior: Prior) -> Entry {
        let Prior { seq, fingerprint, used } = prior;
        let id = &petition.asked.request_id;
        let (intent, state) = match used {
            Used::Payment(intent, state) => (*intent, state),
            Used::SignIn(_) => {
                let what = format!("`{id}` was used for a sign-in");
                return self.denied(petition, Denial::rule(DenyCode::RequestIdReused, what));
            }
            Used::Archived => {
                return self.denied(petition, archived(id, fingerprint == petition.fingerprint));
            }
        };
        let refusal = if fingerprint != petition.fingerprint {
            Some(Denial::rule(DenyCode::RequestIdReused, format!("`{id}` was used for another request")))
        } else if self.at.unix_seconds() >= intent.valid_before {
            Some(Denial::rule(
                DenyCode::RequestExpired,
                format!("the payment signed for `{id}` is past its window"),
            ))
        } else if state == HoldState::Released {
            Some(Denial::rule(
                DenyCode::RequestExpired,
                format!("the payment signed for `{id}` was cancelled and its money released"),
            ))
        } else {
            self.not_on_listener(petition.asked, &intent.workflow)
                .or_else(|| self.inactive(intent.subjects(), &intent.workflow))
        };
        if let Some(denial) = refusal {
            return self.decided(
                petition,
                Vec::new(),
                Outcome::Deny { denial, intent: Some(Box::new(intent)) },
            );
        }
        match petition.mode {
            Mode::Enforce => Entry::Reissue(Box::new(Reissue {
                at: self.at,
                asked: self.heard(petition.asked),
                original_seq: seq,
                what: Signable::Payment(intent),
                policies: Vec::new(),
                bundle: self.policy.bundle(),
            })),
            Mode::Preview => {
                let held_until = intent.valid_before.plus(self.settings.skew_secs);
                let permit = Permit { intent, policies: Vec::new(), held_until, warnings: Vec::new() };
                self.decided(petition, Vec::new(), Outcome::Permit(Box::new(permit)))
            }
        }
    }

    /// Why what was permitted over one listener may not be handed out over another.
    pub(super) fn not_on_listener(&self, asked: &Asked, workflow: &WorkflowName) -> Option<Denial> {
        self.is_off_listener(&asked.caller, workflow).then(|| resolve::not_on_listener(workflow))
    }

    /// Whether a caller may not use its listener for a workflow, whatever that is called now.
    pub(super) fn is_off_listener(&self, caller: &Caller, workflow: &WorkflowName) -> bool {
        match self.policy.registry().current(&Subject::Workflow(workflow.clone())) {
            Subject::Workflow(now) => !caller.may_ask_for(&now),
            Subject::Agent(_) | Subject::Wallet(_) | Subject::Service(_) | Subject::Sidecar => true,
        }
    }

    /// Why what was permitted earlier may not be handed out again.
    pub(super) fn inactive(&self, subjects: Vec<Subject>, workflow: &WorkflowName) -> Option<Denial> {
        let registry = self.policy.registry();
        for subject in subjects.iter().map(|subject| registry.current(subject)) {
            let kind = subject.kind();
            let text = subject.to_string();
            if self.status(subject).is_stopped() {
                return Some(Denial::rule(DenyCode::NotActive, format!("{kind} `{text}` is not active")));
            }
        }
        let declared = match registry.current(&Subject::Workflow(workflow.clone())) {
            Subject::Workflow(name) => registry.workflows.get(&name),
            Subject::Agent(_) | Subject::Wallet(_) | Subject::Service(_) | Subject::Sidecar => None,
        };
        let expires = declared.and_then(|workflow| workflow.expires);
        let expired = expires.is_some_and(|expires| self.at.unix_seconds() >= expires);
        let what = || format!("workflow `{workflow}` has expired");
        expired.then(|| Denial::rule(DenyCode::WorkflowExpired, what()))
    }

    /// Why nothing is signed at this hour.
    pub(super) fn untimely(&self) -> Option<Denial> {
        match self.trust {
            ClockTrust::Sound(_) if self.decreed(&Subject::Sidecar).is_stopped() => {
                Some(Denial::rule(DenyCode::NotActive, "everything is suspended"))
            }
            ClockTrust::Sound(_) => None,
            ClockTrust::Regressed { behind_ms } => {
                let what = format!("the clock is {behind_ms} ms behind the journal");
                Some(Denial::rule(DenyCode::ClockRegressed, what))
            }
            ClockTrust::Jumped { ahead_ms, .. } => {
                let what =
                    format!("the clock is {ahead_ms} ms ahead of what this machine's boot clock allows");
                Some(Denial::rule(DenyCode::ClockJumped, what))
            }
        }
    }

    pub(super) fn denied(&self, petition: Petition<'_>, denial: Denial) -> Entry {
        self.decided(petition, Vec::new(), Outcome::Deny { denial, intent: None })
    }

    pub(super) fn decided(
        &self,
        petition: Petition<'_>,
        offers: Vec<OfferVerdict>,
        outcome: Outcome,
    ) -> Entry {
        let Petition { asked, mode, fingerprint } = petition;
        let ceilings = match &outcome {
            Outcome::Permit(permit) => self.ceilings_of_payment(&permit.intent),
            Outcome::Deny { denial, intent: Some(intent) } if denial.is_judged() => {
                self.ceilings_of_payment(intent)
            }
            Outcome::Deny { .. } => Vec::new(),
        };
        Entry::Payment(Box::new(Decision {
            at: self.at,
            mode,
            asked: self.heard(asked),
            fingerprint,
            offers,
            pending: self.left_pending(mode, &outcome),
            outcome,
            ceilings,
            bundle: self.policy.bundle(),
            shadow: None,
        }))
    }

    /// What was asked, with how long it waited.
    pub(super) fn heard(&self, asked: &Asked) -> Asked {
        Asked { wait: asked.wait.until(self.around.boot_us), ..asked.clone() }
    }
}

/// Why an id is refused whose permit left the journal: what was signed for it is dead.
pub(super) fn archived(id: &RequestId, same: bool) -> Denial {
    if same {
        let what = format!("what was signed for `{id}` is past its window, and its record is archived");
        return Denial::rule(DenyCode::RequestExpired, what);
    }
    Denial::rule(DenyCode::RequestIdReused, format!("`{id}` was used for another request"))
}

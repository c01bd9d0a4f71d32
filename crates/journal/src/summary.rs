//! A record in flat words, for answers and logs.

mod life;
mod notes;
mod shadow;

pub use shadow::ShadowSummary;

use pursekeeper_core::{
    Asked, BundleId, CeilingUse, Claim, Decision, DecisionId, Denial, Endpoint, Entry, Evidence, HoldState,
    Intent, Mode, Outcome, Permit, PolicyRef, Reissue, Report, SignInDecision, SignInIntent, SignInOutcome,
    SignInPermit, Signable, UnixSeconds, Usd, Warning,
};

use crate::record::{Content, DecodedRecord, Genesis};

/// Every word for a kind of record.
pub const KINDS: [&str; 13] = [
    "genesis",
    "payment",
    "preview",
    "reissue",
    "lifecycle",
    "report",
    "evidence",
    "sign-in",
    "transition",
    "signature",
    "unauthenticated",
    "repeat",
    "reload",
];

/// A record with everything in words; what a record does not have is empty.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Summary {
    /// Position in the journal, from 1.
    pub seq: u64,
    /// Its name.
    pub decision_id: String,
    /// Wall clock, milliseconds since the Unix epoch.
    pub time_unix_ms: u64,
    /// `genesis`, `payment`, `preview`, `reissue`, `lifecycle`, `report`, `evidence`, `sign-in`, `transition`, `signature`,
    /// `unauthenticated`, `repeat` or `reload`.
    pub kind: &'static str,
    /// `permit` or `deny`; empty for records that are not judged.
    pub verdict: &'static str,
    /// The code of a denial.
    pub code: &'static str,
    /// A sentence for a person: the denial's, or what an operator did.
    pub message: String,
    /// The policies that determined the answer.
    pub policies: Vec<PolicyRef>,
    /// Which limits a permit left near, one sentence each.
    pub warnings: Vec<String>,
    /// The record of the permit this is about.
    pub original_seq: Option<u64>,
    /// Who asked.
    pub agent: String,
    /// For which task.
    pub workflow: String,
    /// The wallet, by name; by address when an operator acted on it.
    pub wallet: String,
    /// The service the payment is booked under.
    pub service: String,
    /// The call to be paid for.
    pub endpoint: Option<Endpoint>,
    /// CAIP-2 network.
    pub network: String,
    /// Address of the asset.
    pub asset: String,
    /// Address of the payee.
    pub payee: String,
    /// Atomic units of the asset.
    pub amount: String,
    /// Dollars.
    pub usd: String,
    /// When the signature dies, in Unix seconds.
    pub valid_before: u64,
    /// The agent's own id.
    pub request_id: String,
    /// SHA-256 of the governance bundle, hex.
    pub bundle_digest: String,
    /// What its registry says under `revision`, if anything.
    pub bundle_revision: Option<u64>,
    /// What the shadow bundle would have answered, if there was one.
    pub shadow: Option<ShadowSummary>,
    /// The ceilings that applied, before and after.
    pub ceilings: Vec<CeilingUse>,
    /// The trace the call belonged to.
    pub trace_id: String,
    /// From the arrival of the call until it was judged, in microseconds.
    pub latency_us: u64,
    /// How many records this one stands for; 0 for one that stands for itself.
    pub repeats: u64,
}

impl Summary {
    pub(crate) fn of(id: DecisionId, record: &DecodedRecord) -> Self {
        let DecodedRecord { seq, time, content } = record;
        let shadow = match content {
            Content::Entry(entry) => ShadowSummary::of(entry),
            Content::Genesis(_) => None,
        };
        let (seq, decision_id, time_unix_ms) = (*seq, id.to_string(), time.unix_ms);
        let base = Self { seq, decision_id, time_unix_ms, shadow, ..Self::default() };
        match content {
            Content::Genesis(genesis) => base.genesis(*genesis),
            Content::Entry(Entry::Payment(decision)) => base.decision(decision),
            Content::Entry(Entry::Reissue(reissue)) => base.reissue(reissue),
            Content::Entry(Entry::Lifecycle(lifecycle)) => base.lifecycle(lifecycle),
            Content::Entry(Entry::Report(report)) => base.report(report),
            Content::Entry(Entry::Evidence(evidence)) => base.evidence(evidence),
            Content::Entry(Entry::SignIn(decision)) => base.sign_in(decision),
            Content::Entry(Entry::Transition(transition)) => base.transition(transition),
            Content::Entry(Entry::Signatures(made)) => base.signatures(made),
            Content::Entry(Entry::Unauthenticated(call)) => base.unauthenticated(call),
            Content::Entry(Entry::Repeated(repeated)) => base.repeated(repeated),
            Content::Entry(Entry::Reload(reload)) => base.reload(reload),
        }
    }

    /// Which bundle judged.
    fn under(self, bundle: &BundleId) -> Self {
        let BundleId { digest, revision } = *bundle;
        Self { bundle_digest: digest.to_string(), bundle_revision: revision, ..self }
    }

    fn genesis(self, genesis: Genesis) -> Self {
        let Genesis { journal, adopted } = genesis;
        let message = match adopted {
            None => format!("journal `{journal}` begins"),
            Some(until) => format!(
                "journal `{journal}` begins in place of a lost one: every window counts as spent until it has passed since {until}"
            ),
        };
        Self { kind: "genesis", message, ..self }
    }

    fn decision(self, decision: &Decision) -> Self {
        let Decision {
            at: _,
            mode,
            asked,
            fingerprint: _,
            offers: _,
            outcome,
            ceilings,
            pending: _,
            bundle,
            shadow: _,
        } = decision;
        let kind = match mode {
            Mode::Enforce => "payment",
            Mode::Preview => "preview",
        };
        let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let base = Self {
            kind,
            agent: asked.caller.agent.to_string(),
            workflow: name(asked.workflow.as_ref().map(|workflow| workflow.as_str())),
            wallet: name(asked.wallet.as_ref().map(|wallet| wallet.as_str())),
            endpoint: Some(asked.endpoint.clone()),
            request_id: asked.request_id.to_string(),
            ceilings: ceilings.clone(),
            ..self.called(asked).under(bundle)
        };
        match outcome {
            Outcome::Permit(permit) => {
                let Permit { intent, policies, held_until: _, warnings } = &**permit;
                let warnings = warnings.iter().map(Warning::to_string).collect();
                Self { verdict: "permit", policies: policies.clone(), warnings, ..base.intent(intent) }
            }
            Outcome::Deny { denial, intent: Some(intent) } => base.intent(intent).denied(denial),
            Outcome::Deny { denial, intent: None } => base.denied(denial),
        }
    }

    fn reissue(self, reissue: &Reissue) -> Self {
        let Reissue { at: _, asked, original_seq, what, policies, bundle } = reissue;
        let base = self.called(asked);
        let (noun, base) = match what {
            Signable::Payment(intent) => ("payment", base.intent(intent)),
            Signable::SignIn(intent) => ("sign-in", base.sign_in_intent(intent)),
            Signable::Allowance(intent, _) => ("allowance", base.intent(intent)),
            // A reissue is never one.
            Signable::Cancellation(_) => ("cancellation", base),
        };
        let message = match what {
            Signable::Payment(_) | Signable::SignIn(_) | Signable::Cancellation(_) => {
                format!("the {noun} of record {original_seq}, handed out again")
            }
            Signable::Allowance(..) => format!("an allowance for the payment of record {original_seq}"),
        };
        Self {
            kind: "reissue",
            verdict: "permit",
            message,
            policies: policies.clone(),
            original_seq: Some(*original_seq),
            ..base.under(bundle)
        }
    }

    /// What is known of the call that brought the request.
    fn called(self, asked: &Asked) -> Self {
        let trace_id = asked.trace.map(|trace| trace.to_string()).unwrap_or_default();
        Self { trace_id, latency_us: asked.wait.micros().unwrap_or(0), ..self }
    }

    fn sign_in(self, decision: &SignInDecision) -> Self {
        let SignInDecision { at: _, asked, fingerprint: _, outcome, ceilings, bundle, shadow: _ } = decision;
        let base = Self {
            kind: "sign-in",
            agent: asked.caller.agent.to_string(),
            workflow: asked.workflow.as_ref().map(ToString::to_string).unwrap_or_default(),
            wallet: asked.wallet.as_ref().map(ToString::to_string).unwrap_or_default(),
            endpoint: Some(asked.endpoint.clone()),
            request_id: asked.request_id.to_string(),
            ceilings: ceilings.clone(),
            ..self.called(asked).under(bundle)
        };
        match outcome {
            SignInOutcome::Permit(permit) => {
                let SignInPermit { intent, policies, counted_until: _ } = &**permit;
                let message = format!("signed in to {}", intent.message.parts().domain);
                let policies = policies.clone();
                Self { verdict: "permit", message, policies, ..base.sign_in_intent(intent) }
            }
            SignInOutcome::Deny { denial, intent: Some(intent) } => {
                base.sign_in_intent(intent).denied(denial)
            }
            SignInOutcome::Deny { denial, intent: None } => base.denied(denial),
        }
    }

    fn sign_in_intent(self, intent: &SignInIntent) -> Self {
        Self {
            agent: intent.agent.to_string(),
            workflow: intent.workflow.to_string(),
            wallet: intent.wallet.to_string(),
            service: intent.service.as_ref().map(ToString::to_string).unwrap_or_default(),
            endpoint: Some(intent.endpoint.clone()),
            network: intent.message.parts().chain.to_string(),
            valid_before: intent.message.expires_at().0,
            request_id: intent.request_id.to_string(),
            ..self
        }
    }

    fn report(self, report: &Report) -> Self {
        let Report { at: _, caller, original_seq, said } = report;
        let agent = caller.agent.to_string();
        let outcome = said.outcome().map(|claim| match claim {
            Claim::Settled { transaction: Some(transaction) } => {
                format!("the payment of record {original_seq} was settled in {transaction}")
            }
            Claim::Settled { transaction: None } => {
                format!("the payment of record {original_seq} was settled")
            }
            Claim::Failed { reason } => format!("the payment of record {original_seq} failed: {reason}"),
        });
        let left = |usd| format!("${usd} of prepaid credit were left after record {original_seq}");
        let what: Vec<String> = outcome.into_iter().chain(said.remaining().map(left)).collect();
        let message = format!("agent `{agent}` claims: {}", what.join("; "));
        Self { kind: "report", original_seq: Some(*original_seq), message, agent, ..self }
    }

    fn evidence(self, evidence: &Evidence) -> Self {
        let Evidence { at: _, original_seq, observation, state } = evidence;
        let place = format!("block {} of {}", observation.block, observation.network);
        let network = observation.network.to_string();
        let base = Self { kind: "evidence", original_seq: Some(*original_seq), network, ..self };
        match state {
            HoldState::Settled { amount, usd } => Self {
                message: format!("the payment of record {original_seq} was settled for ${usd}, says {place}"),
                amount: amount.to_string(),
                usd: usd.to_string(),
                ..base
            },
            HoldState::Held | HoldState::Released => Self {
                message: format!(
                    "the payment of record {original_seq} can never be settled, says {place}: its money is free"
                ),
                ..base
            },
        }
    }

    pub(super) fn denied(self, denial: &Denial) -> Self {
        let Denial { code, message, policies } = denial;
        Self {
            verdict: "deny",
            code: code.as_str(),
            message: message.clone(),
            policies: policies.clone(),
            ..self
        }
    }

    fn intent(self, intent: &Intent) -> Self {
        let UnixSeconds(valid_before) = intent.valid_before;
        Self {
            agent: intent.agent.to_string(),
            workflow: intent.workflow.to_string(),
            wallet: intent.wallet.to_string(),
            service: intent.service.as_ref().map(ToString::to_string).unwrap_or_default(),
            endpoint: Some(intent.endpoint.clone()),
            network: intent.terms.asset.network.to_string(),
            asset: intent.terms.asset.address.to_string(),
            payee: intent.terms.payee.to_string(),
            amount: intent.terms.amount.to_string(),
            usd: Usd::to_string(&intent.usd),
            valid_before,
            request_id: intent.request_id.to_string(),
            ..self
        }
    }
}

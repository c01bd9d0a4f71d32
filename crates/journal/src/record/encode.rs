//! From what was decided to the record of it.

mod intent;
mod life;
mod notes;
mod who;

use std::borrow::Cow;

use pursekeeper_core as core;
use pursekeeper_core::siwx;

use super::{
    Adopted, Allowance, Asked, Caller, CeilingUse, Denial, Endpoint, Evidence, Genesis, Hex, Int, Intent,
    Kind, Labels, Message, Offer, Pending, Policy, Record, Report, Resolution, Shadow, SignIn, Time, VERSION,
    Verdict, Warning,
};

/// What a warning about a balance has for a window.
pub(super) const BALANCE: &str = "balance";

impl<'a> Record<'a> {
    /// The record of an entry.
    pub(crate) fn of(seq: u64, entry: &'a core::Entry) -> Self {
        match entry {
            core::Entry::Payment(decision) => Self::of_decision(seq, decision),
            core::Entry::Reissue(reissue) => Self::of_reissue(seq, reissue),
            core::Entry::Lifecycle(lifecycle) => Self::of_lifecycle(seq, lifecycle),
            core::Entry::Report(report) => Self::of_report(seq, report),
            core::Entry::Evidence(evidence) => Self::of_evidence(seq, evidence),
            core::Entry::SignIn(decision) => Self::of_sign_in(seq, decision),
            core::Entry::Transition(transition) => Self::of_transition(seq, transition),
            core::Entry::Signatures(made) => Self::of_signatures(seq, made),
            core::Entry::Unauthenticated(call) => Self::of_stranger(seq, call),
            core::Entry::Repeated(repeated) => Self::of_repeated(seq, repeated),
            core::Entry::Reload(reload) => Self::of_reload(seq, reload),
        }
    }

    /// The first record of a journal.
    pub(crate) fn genesis(at: core::Moment, genesis: Genesis) -> Self {
        let Genesis { journal, adopted } = genesis;
        Self {
            adopted: adopted.map(|until| Adopted { held_until: Int(until.0) }),
            journal: Some(Hex(journal.0)),
            ..Self::empty(1, Kind::Genesis, at)
        }
    }

    fn empty(seq: u64, kind: Kind, at: core::Moment) -> Self {
        let core::Moment { unix_ms, boot_ms, boot_id } = at;
        Self {
            act: None,
            adopted: None,
            asked: None,
            bundle: None,
            cancellation: None,
            cascade: None,
            ceilings: None,
            changes: None,
            completed: None,
            counted_until: None,
            denial: None,
            evidence: None,
            fingerprint: None,
            held_until: None,
            intent: None,
            journal: None,
            kind,
            offers: None,
            original_seq: None,
            pending: None,
            policies: None,
            reload: None,
            repeat: None,
            report: None,
            resolution: None,
            reviewed: None,
            revision: None,
            seq: Int(seq),
            shadow: None,
            sign_in: None,
            signatures: None,
            stranger: None,
            time: Time { boot_id: Hex(boot_id), boot_ms: Int(boot_ms), unix_ms: Int(unix_ms) },
            v: Int(VERSION),
            verdict: None,
            wallet: None,
            warnings: None,
        }
    }

    /// A record of what was done under a bundle.
    fn under(bundle: &core::BundleId, record: Self) -> Self {
        let core::BundleId { digest, revision } = *bundle;
        Self { bundle: Some(Hex(digest.0)), revision: revision.map(Int), ..record }
    }

    fn of_decision(seq: u64, decision: &'a core::Decision) -> Self {
        let core::Decision {
            at,
            mode,
            asked,
            fingerprint,
            offers,
            outcome,
            ceilings,
            pending: _,
            bundle,
            shadow,
        } = decision;
        let kind = match mode {
            core::Mode::Enforce => Kind::Payment,
            core::Mode::Preview => Kind::Preview,
        };
        let base = Self {
            asked: Some(Asked::of(asked)),
            ceilings: uses(ceilings),
            fingerprint: Some(Hex(fingerprint.0)),
            offers: Some(offers.iter().map(Offer::of).collect()),
            pending: decision.pending_payee().map(Pending::of),
            shadow: shadow.as_deref().map(Shadow::of),
            ..Self::under(bundle, Self::empty(seq, kind, *at))
        };
        match outcome {
            core::Outcome::Permit(permit) => {
                let core::Permit { intent, policies: permitting, held_until, warnings } = &**permit;
                Self {
                    held_until: Some(Int(held_until.0)),
                    intent: Some(Intent::of(intent)),
                    policies: Some(policies(permitting)),
                    verdict: Some(Verdict::Permit),
                    warnings: (!warnings.is_empty()).then(|| warnings.iter().map(Warning::of).collect()),
                    ..base
                }
            }
            core::Outcome::Deny { denial, intent } => Self {
                denial: Some(Denial::of(denial)),
                intent: intent.as_deref().map(Intent::of),
                verdict: Some(Verdict::Deny),
                ..base
            },
        }
    }

    fn of_reissue(seq: u64, reissue: &'a core::Reissue) -> Self {
        let core::Reissue { at, asked, original_seq, what, policies: permitting, bundle } = reissue;
        let (intent, sign_in) = match what {
            core::Signable::Payment(intent) => (Some(Intent::of(intent)), None),
            core::Signable::SignIn(intent) => (None, Some(SignIn::of(intent))),
            core::Signable::Allowance(intent, allowance) => {
                let allowance = Some(Allowance::of(allowance));
                (Some(Intent { allowance, ..Intent::of(intent) }), None)
            }
            // A reissue is never one: it would be written as what cannot be read again.
            core::Signable::Cancellation(_) => (None, None),
        };
        Self {
            asked: Some(Asked::of(asked)),
            intent,
            sign_in,
            original_seq: Some(Int(*original_seq)),
            policies: (!permitting.is_empty()).then(|| policies(permitting)),
            verdict: Some(Verdict::Permit),
            ..Self::under(bundle, Self::empty(seq, Kind::Reissue, *at))
        }
    }
}

impl<'a> Record<'a> {
    fn of_report(seq: u64, report: &'a core::Report) -> Self {
        let core::Report { at, caller, original_seq, said } = report;
        let (reason, transaction) = match said.outcome() {
            Some(core::Claim::Settled { transaction }) => (None, transaction.as_deref()),
            Some(core::Claim::Failed { reason }) => (Some(reason.as_str()), None),
            None => (None, None),
        };
        Self {
            original_seq: Some(Int(*original_seq)),
            report: Some(Report {
                caller: Caller::of(caller),
                claim: said.outcome().map(|claim| claim.as_str().into()),
                reason: reason.map(Into::into),
                remaining: said.remaining().map(|usd| usd.to_string().into()),
                transaction: transaction.map(Into::into),
            }),
            ..Self::empty(seq, Kind::Report, *at)
        }
    }

    fn of_sign_in(seq: u64, decision: &'a core::SignInDecision) -> Self {
        let core::SignInDecision { at, asked, fingerprint, outcome, ceilings, bundle, shadow } = decision;
        let base = Self {
            asked: Some(Asked::of(asked)),
            ceilings: uses(ceilings),
            fingerprint: Some(Hex(fingerprint.0)),
            shadow: shadow.as_deref().map(Shadow::of),
            ..Self::under(bundle, Self::empty(seq, Kind::SignIn, *at))
        };
        match outcome {
            core::SignInOutcome::Permit(permit) => {
                let core::SignInPermit { intent, policies: permitting, counted_until } = &**permit;
                Self {
                    counted_until: Some(Int(counted_until.0)),
                    policies: Some(policies(permitting)),
                    sign_in: Some(SignIn::of(intent)),
                    verdict: Some(Verdict::Permit),
                    ..base
                }
            }
            core::SignInOutcome::Deny { denial, intent } => Self {
                denial: Some(Denial::of(denial)),
                sign_in: intent.as_deref().map(SignIn::of),
                verdict: Some(Verdict::Deny),
                ..base
            },
        }
    }

    fn of_evidence(seq: u64, evidence: &'a core::Evidence) -> Self {
        let core::Evidence { at, original_seq, observation, state } = evidence;
        let core::Observation { network, block, block_hash, transaction, nodes } = observation;
        let (amount, usd) = match state {
            core::HoldState::Settled { amount, usd } => (Some(amount.to_string()), Some(usd.to_string())),
            core::HoldState::Held | core::HoldState::Released => (None, None),
        };
        Self {
            evidence: Some(Evidence {
                block: Int(*block),
                block_hash: Hex(*block_hash),
                network: network.to_string().into(),
                nodes: *nodes,
                transaction: transaction.map(Hex),
            }),
            original_seq: Some(Int(*original_seq)),
            resolution: Some(Resolution {
                amount: amount.map(Into::into),
                state: state.as_str().into(),
                usd: usd.map(Into::into),
            }),
            ..Self::empty(seq, Kind::Evidence, *at)
        }
    }
}

impl<'a> SignIn<'a> {
    fn of(intent: &'a core::SignInIntent) -> Self {
        let core::SignInIntent {
            request_id,
            agent,
            workflow,
            wallet,
            wallet_address,
            service,
            endpoint,
            message,
        } = intent;
        Self {
            agent: agent.as_str().into(),
            endpoint: Endpoint::of(endpoint),
            message: Message::of(message.parts()),
            request_id: request_id.as_str().into(),
            service: service.as_ref().map(|name| name.as_str().into()),
            wallet: wallet.as_str().into(),
            wallet_address: address_text(*wallet_address).into(),
            workflow: workflow.as_str().into(),
        }
    }
}

impl<'a> Message<'a> {
    fn of(parts: &'a siwx::SignInParts) -> Self {
        let siwx::SignInParts {
            profile,
            domain,
            address: _,
            statement,
            uri,
            chain,
            nonce,
            issued_at,
            expiration_time,
            not_before,
            request_id,
            resources,
            signature_scheme,
        } = parts;
        Self {
            domain: domain.as_str().into(),
            expiration_time: expiration_time.as_deref().map(Into::into),
            issued_at: issued_at.as_str().into(),
            network: chain.to_string().into(),
            nonce: nonce.as_str().into(),
            not_before: not_before.as_deref().map(Into::into),
            profile: profile.as_str().into(),
            request_id: request_id.as_deref().map(Into::into),
            resources: resources.iter().map(|resource| resource.as_str().into()).collect(),
            signature_scheme: signature_scheme.as_deref().map(Into::into),
            statement: statement.as_deref().map(Into::into),
            uri: uri.as_str().into(),
        }
    }
}

impl<'a> Shadow<'a> {
    fn of(shadow: &'a core::Shadow) -> Self {
        let core::Shadow { bundle: core::BundleId { digest, revision }, verdict } = shadow;
        let (verdict, denial, usd) = match verdict {
            core::ShadowVerdict::Permit { usd } => (Verdict::Permit, None, *usd),
            core::ShadowVerdict::Deny(denial) => (Verdict::Deny, Some(Denial::of(denial)), None),
        };
        Self {
            bundle: Hex(digest.0),
            denial,
            revision: revision.map(Int),
            usd: usd.map(|usd| usd.to_string().into()),
            verdict,
        }
    }
}

impl<'a> Warning<'a> {
    fn of(warning: &'a core::Warning) -> Self {
        let core::Warning { limit, value, threshold } = warning;
        let (scope, name, unit, window) = match limit {
            core::NearLimit::Ceiling { scope, name, window, measure } => {
                (scope.as_str(), name, measure.as_str(), window.as_str())
            }
            core::NearLimit::Balance { name } => ("wallet", name, "usd", BALANCE),
        };
        Self {
            name: name.as_str().into(),
            scope: scope.into(),
            threshold: threshold.as_str().into(),
            unit: unit.into(),
            value: value.as_str().into(),
            window: window.into(),
        }
    }
}

/// How records and tables write an address: one spelling, whatever people are shown.
pub(crate) fn address_text(address: core::Address) -> String {
    match address {
        core::Address::Evm(evm) => {
            let mut text = vec![b'0'; 42];
            if let [_, x, digits @ ..] = text.as_mut_slice() {
                *x = b'x';
                // Forty digits for twenty bytes: it fits.
                let _ = hex::encode_to_slice(evm.to_bytes(), digits);
            }
            String::from_utf8(text).unwrap_or_default()
        }
    }
}

/// The name of a subject as records and tables write it.
pub(crate) fn subject_name(subject: &core::Subject) -> Cow<'_, str> {
    match subject {
        core::Subject::Agent(name) => name.as_str().into(),
        core::Subject::Workflow(name) => name.as_str().into(),
        core::Subject::Service(name) => name.as_str().into(),
        core::Subject::Wallet(wallet) => address_text(*wallet).into(),
        core::Subject::Sidecar => subject.kind().into(),
    }
}

/// The name of a scope as tables write it.
pub(crate) fn scope_name(scope: &core::Scope) -> Cow<'_, str> {
    match scope {
        core::Scope::Agent(name) => name.as_str().into(),
        core::Scope::Workflow(name) => name.as_str().into(),
        core::Scope::Service(name) => name.as_str().into(),
        core::Scope::Wallet(subject) | core::Scope::Payee(subject) => address_text(*subject).into(),
    }
}

fn policies(policies: &[core::PolicyRef]) -> Vec<Policy<'_>> {
    policies
        .iter()
        .map(|core::PolicyRef { id, reason, digest }| Policy {
            digest: digest.map(|digest| Hex(digest.0)),
            id: (&**id).into(),
            reason: (&**reason).into(),
        })
        .collect()
}

fn uses(ceilings: &[core::CeilingUse]) -> Option<Vec<CeilingUse<'_>>> {
    (!ceilings.is_empty()).then(|| ceilings.iter().map(CeilingUse::of).collect())
}

impl<'a> CeilingUse<'a> {
    fn of(met: &'a core::CeilingUse) -> Self {
        let core::CeilingUse { scope, window, measure, limit, before, after } = met;
        Self {
            after: after.as_str().into(),
            before: before.as_str().into(),
            limit: limit.as_str().into(),
            scope: scope.as_str().into(),
            unit: measure.as_str().into(),
            window: window.as_str().into(),
        }
    }
}

impl<'a> Pending<'a> {
    fn of(pending: &'a core::PendingPayee) -> Self {
        let core::PendingPayee { service, payee } = pending;
        Self { payee: address_text(*payee).into(), service: service.as_str().into() }
    }
}

impl<'a> Asked<'a> {
    fn of(asked: &'a core::Asked) -> Self {
        let core::Asked { caller, request_id, endpoint, workflow, wallet, labels, trace, wait } = asked;
        Self {
            caller: Caller::of(caller),
            endpoint: Endpoint::of(endpoint),
            labels: Labels::of(labels),
            latency_us: wait.micros().map(Int),
            request_id: request_id.as_str().into(),
            trace: trace.map(|trace| trace.to_string().into()),
            wallet: wallet.as_ref().map(|name| name.as_str().into()),
            workflow: workflow.as_ref().map(|name| name.as_str().into()),
        }
    }
}

impl<'a> Endpoint<'a> {
    fn of(endpoint: &'a core::Endpoint) -> Self {
        Self { method: endpoint.method().into(), url: endpoint.url().into() }
    }
}

impl<'a> Denial<'a> {
    fn of(denial: &'a core::Denial) -> Self {
        let core::Denial { code, message, policies: determining } = denial;
        Self { code: code.as_str().into(), message: message.as_str().into(), policies: policies(determining) }
    }
}

impl<'a> Offer<'a> {
    fn of(verdict: &'a core::OfferVerdict) -> Self {
        let core::OfferVerdict { index, denial } = verdict;
        Self { denial: denial.as_ref().map(Denial::of), index: *index }
    }
}

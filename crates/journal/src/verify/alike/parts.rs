//! A record taken apart into what may be said otherwise.

use pursekeeper_core::x402::Terms;
use pursekeeper_core::{
    Address, AgentName, Amount, Asked, BundleId, Caller, CeilingUse, Decision, Demand, Digest, Endpoint,
    Entry, Evidence, HoldState, Intent, Moment, Observation, Offered, Outcome, Permit, Reissue, Report,
    RequestId, Said, ServiceName, Shadow, ShadowVerdict, SignInDecision, SignInIntent, SignInOutcome,
    SignInPermit, Signable, SignaturesMade, UnixSeconds, Usd, WalletName, Warning, WorkflowName,
};

use crate::record::{Content, DecodedRecord};

/// What of a record its kind has.
pub(super) struct Parts<'r> {
    pub(super) seq: &'r mut u64,
    pub(super) time: &'r mut Moment,
    /// The same time, once more.
    at: &'r mut Moment,
    pub(super) asked: Option<&'r mut Asked>,
    pub(super) bundle: Option<&'r mut BundleId>,
    pub(super) fingerprint: Option<&'r mut Digest>,
    pub(super) original_seq: Option<&'r mut u64>,
    pub(super) judged: Option<Judged<'r>>,
    payment: Option<Payment<'r>>,
    /// Until when a permit is held or counted.
    pub(super) until: Option<&'r mut UnixSeconds>,
    pub(super) ceilings: &'r mut [CeilingUse],
    pub(super) warnings: &'r mut [Warning],
    pub(super) report: Option<(&'r mut Caller, &'r mut Said)>,
    pub(super) evidence: Option<(&'r mut Observation, &'r mut HoldState)>,
    pub(super) hashes: &'r mut [(u64, Digest)],
    /// What the shadow bundle would have paid.
    pub(super) shadow_usd: Option<&'r mut Usd>,
}

/// What payments and sign-ins have in common.
pub(super) struct Judged<'r> {
    pub(super) agent: &'r mut AgentName,
    pub(super) endpoint: &'r mut Endpoint,
    pub(super) request_id: &'r mut RequestId,
    pub(super) service: &'r mut Option<ServiceName>,
    pub(super) wallet: &'r mut WalletName,
    pub(super) workflow: &'r mut WorkflowName,
}

/// What only payments have.
pub(super) struct Payment<'r> {
    demand: &'r mut Demand,
    pub(super) nonce: &'r mut [u8; 32],
    pub(super) terms: &'r mut Terms,
    pub(super) usd: &'r mut Usd,
    pub(super) valid_after: &'r mut UnixSeconds,
    pub(super) valid_before: &'r mut UnixSeconds,
    pub(super) wallet_address: &'r mut Address,
}

impl<'r> Parts<'r> {
    /// Nothing for records of which no two are much alike.
    pub(super) fn of(record: &'r mut DecodedRecord) -> Option<Self> {
        let DecodedRecord { seq, time, content } = record;
        let Content::Entry(entry) = content else { return None };
        Some(match entry {
            Entry::Payment(decision) => {
                let Decision {
                    at,
                    mode: _,
                    asked,
                    fingerprint,
                    offers: _,
                    outcome,
                    ceilings,
                    pending: _,
                    bundle,
                    shadow,
                } = &mut **decision;
                let parts = Self {
                    asked: Some(asked),
                    fingerprint: Some(fingerprint),
                    ceilings,
                    bundle: Some(bundle),
                    shadow_usd: shadow.as_deref_mut().and_then(paid),
                    ..Self::empty(seq, time, at)
                };
                match outcome {
                    Outcome::Permit(permit) => {
                        let Permit { intent, policies: _, held_until, warnings } = &mut **permit;
                        Self { until: Some(held_until), warnings, ..parts.with_payment(Some(intent)) }
                    }
                    Outcome::Deny { denial: _, intent } => parts.with_payment(intent.as_deref_mut()),
                }
            }
            Entry::SignIn(decision) => {
                let SignInDecision { at, asked, fingerprint, outcome, ceilings, bundle, shadow: _ } =
                    &mut **decision;
                let parts = Self {
                    asked: Some(asked),
                    fingerprint: Some(fingerprint),
                    ceilings,
                    bundle: Some(bundle),
                    ..Self::empty(seq, time, at)
                };
                match outcome {
                    SignInOutcome::Permit(permit) => {
                        let SignInPermit { intent, policies: _, counted_until } = &mut **permit;
                        let judged = Some(Judged::of_sign_in(intent));
                        Self { judged, until: Some(counted_until), ..parts }
                    }
                    SignInOutcome::Deny { denial: _, intent } => {
                        Self { judged: intent.as_deref_mut().map(Judged::of_sign_in), ..parts }
                    }
                }
            }
            Entry::Reissue(reissue) => {
                let Reissue { at, asked, original_seq, what, policies: _, bundle } = &mut **reissue;
                let parts = Self {
                    asked: Some(asked),
                    original_seq: Some(original_seq),
                    bundle: Some(bundle),
                    ..Self::empty(seq, time, at)
                };
                match what {
                    Signable::Payment(intent) => parts.with_payment(Some(intent)),
                    Signable::SignIn(intent) => Self { judged: Some(Judged::of_sign_in(intent)), ..parts },
                    Signable::Allowance(..) | Signable::Cancellation(_) => parts,
                }
            }
            Entry::Report(report) => {
                let Report { at, caller, original_seq, said } = &mut **report;
                let (original_seq, report) = (Some(original_seq), Some((caller, said)));
                Self { original_seq, report, ..Self::empty(seq, time, at) }
            }
            Entry::Evidence(evidence) => {
                let Evidence { at, original_seq, observation, state } = &mut **evidence;
                let (original_seq, evidence) = (Some(original_seq), Some((observation, state)));
                Self { original_seq, evidence, ..Self::empty(seq, time, at) }
            }
            Entry::Signatures(made) => {
                let SignaturesMade { at, hashes } = &mut **made;
                Self { hashes, ..Self::empty(seq, time, at) }
            }
            Entry::Lifecycle(_)
            | Entry::Transition(_)
            | Entry::Unauthenticated(_)
            | Entry::Repeated(_)
            | Entry::Reload(_) => return None,
        })
    }

    fn empty(seq: &'r mut u64, time: &'r mut Moment, at: &'r mut Moment) -> Self {
        Self {
            seq,
            time,
            at,
            asked: None,
            bundle: None,
            fingerprint: None,
            original_seq: None,
            judged: None,
            payment: None,
            until: None,
            ceilings: &mut [],
            warnings: &mut [],
            report: None,
            evidence: None,
            hashes: &mut [],
            shadow_usd: None,
        }
    }

    fn with_payment(self, intent: Option<&'r mut Intent>) -> Self {
        let Some(intent) = intent else { return self };
        let Intent {
            request_id,
            agent,
            workflow,
            wallet,
            wallet_address,
            service,
            endpoint,
            origin: _,
            demand,
            terms,
            domain: _,
            usd,
            valid_after,
            valid_before,
            nonce,
            allowance: _,
        } = intent;
        Self {
            judged: Some(Judged { agent, endpoint, request_id, service, wallet, workflow }),
            payment: Some(Payment { demand, nonce, terms, usd, valid_after, valid_before, wallet_address }),
            ..self
        }
    }

    pub(super) fn payment(&mut self) -> Option<&mut Payment<'r>> {
        self.payment.as_mut()
    }

    /// The agent that asks or reports.
    pub(super) fn caller(&mut self) -> Option<&mut AgentName> {
        match (&mut self.asked, &mut self.report) {
            (Some(asked), _) => Some(&mut asked.caller.agent),
            (None, Some((caller, _))) => Some(&mut caller.agent),
            (None, None) => None,
        }
    }

    /// What a hold was settled for, if it was.
    pub(super) fn settled(&mut self) -> Option<(&mut Amount, &mut Usd)> {
        match self.evidence.as_mut()?.1 {
            HoldState::Settled { amount, usd } => Some((amount, usd)),
            HoldState::Held | HoldState::Released => None,
        }
    }

    /// Puts the time into both places it is kept in.
    pub(super) fn finish(self) {
        *self.at = *self.time;
    }
}

fn paid(shadow: &mut Shadow) -> Option<&mut Usd> {
    match &mut shadow.verdict {
        ShadowVerdict::Permit { usd } => usd.as_mut(),
        ShadowVerdict::Deny(_) => None,
    }
}

impl<'r> Judged<'r> {
    fn of_sign_in(intent: &'r mut SignInIntent) -> Self {
        let SignInIntent {
            request_id,
            agent,
            workflow,
            wallet,
            // The message names it as well.
            wallet_address: _,
            service,
            endpoint,
            message: _,
        } = intent;
        Self { agent, endpoint, request_id, service, wallet, workflow }
    }
}

impl Payment<'_> {
    pub(super) fn offered(&mut self) -> Option<&mut Offered> {
        match self.demand {
            Demand::Offer(offered) => Some(offered),
            Demand::TypedData => None,
        }
    }
}

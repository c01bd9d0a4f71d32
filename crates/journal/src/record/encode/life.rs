//! Operators' acts and transitions as they are recorded.

use std::borrow::Cow;

use pursekeeper_core as core;

use super::super::{
    Act, Cancellation, Denial, Int, Kind, Labels, Record, Source, StatusChange, Subject, Verdict,
};
use super::{address_text, policies, subject_name};

impl<'a> Record<'a> {
    pub(super) fn of_lifecycle(seq: u64, lifecycle: &'a core::LifecycleDecision) -> Self {
        let core::LifecycleDecision {
            at,
            act,
            denial,
            cancellation,
            cascade,
            wallet,
            policies: permitting,
            bundle,
        } = lifecycle;
        let suspended = || cascade.iter().map(|address| address_text(*address).into()).collect();
        Self {
            act: Some(Act::of(act)),
            cancellation: cancellation.as_ref().map(Cancellation::of),
            cascade: (!cascade.is_empty()).then(suspended),
            denial: denial.as_ref().map(Denial::of),
            policies: Some(policies(permitting)),
            verdict: Some(if denial.is_some() { Verdict::Deny } else { Verdict::Permit }),
            wallet: wallet.as_ref().map(|name| name.as_str().into()),
            ..Self::under(bundle, Self::empty(seq, Kind::Lifecycle, *at))
        }
    }

    pub(super) fn of_transition(seq: u64, transition: &'a core::Transition) -> Self {
        let core::Transition { at, bundle, reviewed, completed, statuses } = transition;
        let agents = |reviewed: &'a core::Reviewed| {
            reviewed.iter().map(|(agent, values)| (agent.as_str().into(), Labels::of(values))).collect()
        };
        Self {
            changes: Some(statuses.iter().map(StatusChange::of).collect()),
            completed: Some(completed.iter().map(|seq| Int(*seq)).collect()),
            reviewed: reviewed.as_ref().map(agents),
            ..Self::under(bundle, Self::empty(seq, Kind::Transition, *at))
        }
    }
}

impl<'a> StatusChange<'a> {
    fn of(change: &'a core::StatusChange) -> Self {
        let core::StatusChange { subject, status, cause } = change;
        Self {
            cause: cause.as_str().into(),
            status: status.as_str().into(),
            subject: Subject { kind: subject.kind().into(), name: subject_name(subject) },
        }
    }
}

impl<'a> Act<'a> {
    fn of(act: &'a core::Act) -> Self {
        let core::Act { operator, source, verb, subject, detail, reason } = act;
        let base = Self {
            address: None,
            hold: None,
            operator: operator.as_str().into(),
            payee: None,
            reason: reason.as_str().into(),
            recipients: None,
            source: Source::of(source),
            subject: Subject { kind: subject.kind().into(), name: subject_name(subject) },
            verb: verb.as_str().into(),
            wallet: None,
            workflows: None,
        };
        let text = |address: &core::Address| -> Option<Cow<'a, str>> { Some(address_text(*address).into()) };
        match detail {
            core::Detail::None => base,
            core::Detail::Hold(seq) => Self { hold: Some(Int(*seq)), ..base },
            core::Detail::Payee(payee) => Self { payee: text(payee), ..base },
            core::Detail::NewKey { wallet, address } => {
                Self { address: text(address), wallet: Some(wallet.as_str().into()), ..base }
            }
            core::Detail::Successor(address) => Self { address: text(address), ..base },
            core::Detail::Workflows(names) => {
                Self { workflows: Some(names.iter().map(|name| name.as_str().into()).collect()), ..base }
            }
            core::Detail::Recipients(recipients) => {
                let recipients = recipients.iter().map(|recipient| recipient.as_str().into());
                Self { recipients: Some(recipients.collect()), ..base }
            }
        }
    }
}

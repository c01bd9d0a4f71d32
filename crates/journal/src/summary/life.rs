//! Operators' acts and transitions in words.

use pursekeeper_core::{
    Act, ActVerb, BackupRecipient, Cause, Detail, LifecycleDecision, StatusChange, Subject, Transition,
    WorkflowName,
};

use super::Summary;

impl Summary {
    pub(super) fn lifecycle(self, lifecycle: &LifecycleDecision) -> Self {
        let LifecycleDecision { at: _, act, denial, cancellation: _, cascade, wallet: _, policies, bundle } =
            lifecycle;
        let subject = act.subject.to_string();
        let payee = act.payee().as_ref().map(ToString::to_string).unwrap_or_default();
        let mut what = deed(act);
        if !cascade.is_empty() {
            let wallets: Vec<String> = cascade.iter().map(|address| format!("`{address}`")).collect();
            what = format!("{what}, and with it suspended wallet {}", wallets.join(", "));
        }
        let message = format!("operator `{}` {what}: {}", act.operator, act.reason);
        let base = Self { kind: "lifecycle", original_seq: act.hold(), ..self.under(bundle) };
        let base = Self { payee, ..base };
        let base = match (&act.subject, &act.detail) {
            (Subject::Agent(_), _) => Self { agent: subject, ..base },
            (Subject::Workflow(_), _) => Self { workflow: subject, ..base },
            (Subject::Wallet(_), _) => Self { wallet: subject, ..base },
            (Subject::Service(_), _) => Self { service: subject, ..base },
            (Subject::Sidecar, Detail::NewKey { address, .. }) => {
                Self { wallet: address.to_string(), ..base }
            }
            (Subject::Sidecar, _) => base,
        };
        match denial {
            Some(denial) => base.denied(denial),
            None => Self { verdict: "permit", policies: policies.clone(), message, ..base },
        }
    }

    pub(super) fn transition(self, transition: &Transition) -> Self {
        let Transition { at: _, bundle, reviewed, completed, statuses } = transition;
        let revision =
            bundle.revision.map(|revision| format!(" with revision {revision}")).unwrap_or_default();
        let begins = reviewed.as_ref().map(|_| format!("the bundle came into force{revision}"));
        let done = completed.iter().map(|seq| format!("the act of record {seq} is complete"));
        let changed = statuses.iter().map(change);
        let what: Vec<String> = begins.into_iter().chain(done).chain(changed).collect();
        Self { kind: "transition", message: what.join("; "), ..self.under(bundle) }
    }
}

/// What an operator did.
fn deed(act: &Act) -> String {
    let (kind, subject) = (act.subject.kind(), &act.subject);
    let hold = act.hold().unwrap_or_default();
    match (act.verb, &act.detail) {
        (ActVerb::Suspend, _) => format!("suspended {kind} `{subject}`"),
        (ActVerb::Resume, _) => format!("resumed {kind} `{subject}`"),
        (ActVerb::Revoke, _) => format!("revoked {kind} `{subject}`"),
        (ActVerb::Retire, _) => format!("let {kind} `{subject}` drain"),
        (ActVerb::SuspendAll, _) => "suspended everything".to_owned(),
        (ActVerb::ResumeAll, _) => "ended the suspension of everything".to_owned(),
        (ActVerb::Create, Detail::NewKey { wallet, address }) => {
            format!("made the key `{address}` for wallet `{wallet}`")
        }
        (ActVerb::Import, Detail::NewKey { wallet, address }) => {
            format!("took in the key `{address}` for wallet `{wallet}`")
        }
        (ActVerb::Rotate, Detail::Successor(new)) => {
            format!("made the key `{new}`, which is to replace {kind} `{subject}`")
        }
        (ActVerb::Reassign, Detail::Workflows(names)) => {
            let names: Vec<&str> = names.iter().map(WorkflowName::as_str).collect();
            format!("gave {kind} `{subject}` to {}", names.join(", "))
        }
        (ActVerb::Backup, Detail::Recipients(recipients)) => {
            let recipients: Vec<&str> = recipients.iter().map(BackupRecipient::as_str).collect();
            format!("handed out the key of {kind} `{subject}`, encrypted for {}", recipients.join(", "))
        }
        (ActVerb::Recover, _) => format!("brought {kind} `{subject}` back from its backup"),
        (ActVerb::CancelOutstanding, _) => {
            format!("signed what voids the payments of {kind} `{subject}`")
        }
        (ActVerb::Release, _) => format!("released the money of record {hold} of {kind} `{subject}`"),
        (ActVerb::AcceptClock, _) => "accepted the clock".to_owned(),
        (ActVerb::Cancel, _) => {
            format!("signed what voids the payment of record {hold} of {kind} `{subject}`")
        }
        (ActVerb::AcceptPayee, _) => {
            let payee = act.payee().as_ref().map(ToString::to_string).unwrap_or_default();
            format!("accepted the payee `{payee}` of {kind} `{subject}`")
        }
        (ActVerb::Reload, _) => "read the governance bundle again".to_owned(),
        (
            verb
            @ (ActVerb::Create | ActVerb::Import | ActVerb::Rotate | ActVerb::Reassign | ActVerb::Backup),
            _,
        ) => {
            format!("wanted to {} {kind} `{subject}`", verb.as_str())
        }
    }
}

fn change(change: &StatusChange) -> String {
    let StatusChange { subject, status, cause } = change;
    let why = match cause {
        Cause::Review => "what is declared about it is not what was reviewed",
        Cause::Rotated => "the registry contains its rotation",
        Cause::Drained => "nothing it signed can be settled any more",
        Cause::WorkflowEnded => "every workflow it served has ended",
    };
    format!("{} `{subject}` is {status}: {why}", subject.kind())
}

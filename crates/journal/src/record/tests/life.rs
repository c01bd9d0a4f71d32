//! Any act and any transition.

use std::collections::BTreeSet;

use proptest::prelude::*;
use pursekeeper_core::{
    self as core, Act, ActVerb, AgentName, BackupRecipient, Cause, Detail, Entry, LifecycleDecision,
    OperatorName, ServiceName, Status, StatusChange, Subject, Transition, WalletName, WorkflowName,
};

use super::shadow::bundle;
use super::who;
use super::{address, at, denial, intent, name, policies};
use crate::fixtures::{NOW, Pay, about, act, changed, completed, evm, refused};

/// From the specification of age.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// Every act and transition whose bytes are final, in the order of the file they are pinned in.
pub(super) fn pinned() -> Vec<Entry> {
    let wallet = || Subject::Wallet(evm(1));
    let workflow = WorkflowName::parse("literature-review").unwrap();
    let service = Subject::Service(ServiceName::parse("papers").unwrap());
    let agent = Subject::Agent(AgentName::parse("researcher").unwrap());
    let done = |verb, subject| act(verb, subject, NOW);
    let new_key = || Detail::NewKey { wallet: WalletName::parse("research").unwrap(), address: evm(2) };
    let workflows = ["literature-review", "screening"].map(|name| WorkflowName::parse(name).unwrap());
    let recipients = Detail::Recipients([BackupRecipient::parse(RECIPIENT).unwrap()].into());
    let mut ended = done(ActVerb::Revoke, Subject::Workflow(workflow));
    let mut voided = about(done(ActVerb::Cancel, wallet()), Detail::Hold(2));
    if let (Entry::Lifecycle(ended), Entry::Lifecycle(voided)) = (&mut ended, &mut voided) {
        ended.cascade = [evm(1), evm(2)].into();
        voided.cancellation = core::Cancellation::of(&Pay::new(1, NOW).intent());
    }
    let change = |subject, status, cause| StatusChange { subject, status, cause };
    let properties = [("identity", "uid 1000"), ("model", "orca-5")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let renewed = Transition {
        reviewed: Some([(AgentName::parse("researcher").unwrap(), properties)].into()),
        statuses: vec![
            change(agent.clone(), Status::Suspended, Cause::Review),
            change(wallet(), Status::Draining, Cause::Rotated),
            change(wallet(), Status::Revoked, Cause::Drained),
            change(Subject::Wallet(evm(2)), Status::Suspended, Cause::WorkflowEnded),
        ],
        ..completed(&[5, 6], NOW)
    };
    vec![
        ended,
        done(ActVerb::Retire, service),
        done(ActVerb::SuspendAll, Subject::Sidecar),
        done(ActVerb::ResumeAll, Subject::Sidecar),
        about(done(ActVerb::Create, Subject::Sidecar), new_key()),
        about(done(ActVerb::Import, Subject::Sidecar), new_key()),
        about(done(ActVerb::Rotate, wallet()), Detail::Successor(evm(2))),
        about(done(ActVerb::Reassign, wallet()), Detail::Workflows(workflows.into())),
        about(done(ActVerb::Backup, wallet()), recipients),
        done(ActVerb::Recover, wallet()),
        done(ActVerb::CancelOutstanding, agent),
        voided,
        about(done(ActVerb::Release, wallet()), Detail::Hold(2)),
        done(ActVerb::AcceptClock, Subject::Sidecar),
        done(ActVerb::Reload, Subject::Sidecar),
        done(ActVerb::Resume, wallet()),
        refused(about(done(ActVerb::Rotate, wallet()), Detail::Successor(evm(2)))),
        changed(renewed),
        changed(completed(&[], NOW)),
    ]
}

#[test]
fn every_verb_and_every_cause_is_pinned() {
    let pinned = include_str!("../v1.jsonl");
    let verbs = ActVerb::ALL.map(|verb| format!("\"verb\":\"{}\"", verb.as_str()));
    let causes = Cause::ALL.map(|cause| format!("\"cause\":\"{}\"", cause.as_str()));
    for word in verbs.iter().chain(&causes) {
        assert!(pinned.contains(word.as_str()), "{word}");
    }
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        name().prop_map(|name| Subject::Agent(AgentName::parse(&name).unwrap())),
        name().prop_map(|name| Subject::Workflow(WorkflowName::parse(&name).unwrap())),
        name().prop_map(|name| Subject::Service(ServiceName::parse(&name).unwrap())),
        address().prop_map(Subject::Wallet),
        Just(Subject::Sidecar),
    ]
}

fn detail() -> impl Strategy<Value = Detail> {
    let workflows = prop::collection::btree_set(name(), 0..4);
    let wallet = name().prop_map(|name| WalletName::parse(&name).unwrap());
    prop_oneof![
        Just(Detail::None),
        (0u64..1 << 53).prop_map(Detail::Hold),
        address().prop_map(Detail::Payee),
        (wallet, address()).prop_map(|(wallet, address)| Detail::NewKey { wallet, address }),
        address().prop_map(Detail::Successor),
        workflows.prop_map(|names| {
            Detail::Workflows(names.iter().map(|name| WorkflowName::parse(name).unwrap()).collect())
        }),
        any::<bool>().prop_map(|some| {
            let recipient = BackupRecipient::parse(RECIPIENT).unwrap();
            Detail::Recipients(some.then_some(recipient).into_iter().collect())
        }),
    ]
}

pub(super) fn lifecycle() -> impl Strategy<Value = Entry> {
    let verb = prop::sample::select(&ActVerb::ALL);
    let act = (name(), who::source(), verb, subject(), detail(), any::<String>()).prop_map(
        |(operator, source, verb, subject, detail, reason)| Act {
            operator: OperatorName::parse(&operator).unwrap(),
            source,
            verb,
            subject,
            detail,
            reason,
        },
    );
    let cancellation = prop::option::of(intent()).prop_map(|intent| core::Cancellation::of(&intent?));
    let cascade = prop::collection::btree_set(address(), 0..3);
    let wallet = prop::option::of(name().prop_map(|name| WalletName::parse(&name).unwrap()));
    let rest = (policies(), bundle());
    (at(), act, prop::option::of(denial()), cancellation, cascade, wallet, rest).prop_map(
        |(at, act, denial, cancellation, cascade, wallet, (policies, bundle))| {
            Entry::Lifecycle(Box::new(LifecycleDecision {
                at,
                act,
                denial,
                cancellation,
                cascade,
                wallet,
                policies,
                bundle,
            }))
        },
    )
}

pub(super) fn transition() -> impl Strategy<Value = Entry> {
    let change = (subject(), prop::sample::select(&Status::ALL), prop::sample::select(&Cause::ALL))
        .prop_map(|(subject, status, cause)| StatusChange { subject, status, cause });
    let values = prop::collection::btree_map(any::<String>(), any::<String>(), 0..3);
    let agent = name().prop_map(|name| AgentName::parse(&name).unwrap());
    let reviewed = prop::option::of(prop::collection::btree_map(agent, values, 0..3));
    let completed = prop::collection::btree_set(0u64..1 << 53, 0..4);
    let statuses = prop::collection::vec(change, 0..4);
    (at(), bundle(), reviewed, completed, statuses).prop_map(|(at, bundle, reviewed, completed, statuses)| {
        let completed: BTreeSet<u64> = completed;
        Entry::Transition(Box::new(Transition { at, bundle, reviewed, completed, statuses }))
    })
}

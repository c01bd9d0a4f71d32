//! Any act and any transition.

use std::collections::BTreeSet;

use proptest::prelude::*;
use pursekeeper_core::{
    self as core, Act, ActVerb, AgentName, BackupRecipient, Cause, Detail, Digest, Entry, IdentitySource,
    LifecycleDecision, OperatorName, ServiceName, Status, StatusChange, Subject, Transition, WalletName,
    WorkflowName,
};

use super::{address, at, denial, intent, name, policies};

/// From the specification of age.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

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
    let act = (name(), any::<u32>(), verb, subject(), detail(), any::<String>()).prop_map(
        |(operator, uid, verb, subject, detail, reason)| Act {
            operator: OperatorName::parse(&operator).unwrap(),
            source: IdentitySource::UnixPeer { uid },
            verb,
            subject,
            detail,
            reason,
        },
    );
    let cancellation = prop::option::of(intent()).prop_map(|intent| core::Cancellation::of(&intent?));
    let cascade = prop::collection::btree_set(address(), 0..3);
    let wallet = prop::option::of(name().prop_map(|name| WalletName::parse(&name).unwrap()));
    let rest = (policies(), any::<[u8; 32]>());
    (at(), act, prop::option::of(denial()), cancellation, cascade, wallet, rest).prop_map(
        |(at, act, denial, cancellation, cascade, wallet, (policies, bundle))| {
            let bundle = Digest(bundle);
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
    (at(), any::<[u8; 32]>(), reviewed, completed, statuses).prop_map(
        |(at, bundle, reviewed, completed, statuses)| {
            let completed: BTreeSet<u64> = completed;
            let bundle = Digest(bundle);
            Entry::Transition(Box::new(Transition { at, bundle, reviewed, completed, statuses }))
        },
    )
}

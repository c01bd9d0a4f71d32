//! The arithmetic behind answers, and records that are not judged.

use proptest::prelude::*;
use pursekeeper_core::{
    AgentName, CeilingUse, DenyCode, Digest, Entry, IdentitySource, Measure, Outcome, Reload, ReloadKind,
    ReloadResult, RepeatCaller, RepeatKey, RepeatKind, Repeated, Repeats, ScopeKind, SignaturesMade, TraceId,
    Unauthenticated, Wait, Window,
};

use super::shadow::bundle;
use super::who::source;
use super::{at, name};
use crate::fixtures::{NOW, Pay, moment, policy};

pub(super) fn ceilings() -> impl Strategy<Value = Vec<CeilingUse>> {
    let words = (
        prop::sample::select(&ScopeKind::ALL[..]),
        prop::sample::select(&[Window::Payment, Window::Hour, Window::Lifetime][..]),
        prop::sample::select(&Measure::ALL[..]),
    );
    let met = (words, any::<String>(), any::<String>(), any::<String>()).prop_map(
        |((scope, window, measure), limit, before, after)| CeilingUse {
            scope,
            window,
            measure,
            limit,
            before,
            after,
        },
    );
    prop::collection::vec(met, 0..4)
}

fn count() -> impl Strategy<Value = u64> {
    0u64..1 << 53
}

/// Records that are not judged.
pub(super) fn notes() -> impl Strategy<Value = Entry> {
    let hash = (count(), any::<[u8; 32]>()).prop_map(|(seq, hash)| (seq, Digest(hash)));
    let signatures = (at(), prop::collection::vec(hash, 0..4))
        .prop_map(|(at, hashes)| Entry::Signatures(Box::new(SignaturesMade { at, hashes })));
    let stranger = (at(), prop::option::of(source()), any::<String>(), any::<String>(), bundle());
    let stranger = stranger.prop_map(|(at, source, call, message, bundle)| {
        Entry::Unauthenticated(Box::new(Unauthenticated { at, source, call, message, bundle }))
    });
    let caller = prop_oneof![
        name().prop_map(|name| RepeatCaller::Agent(AgentName::parse(&name).unwrap())),
        source().prop_map(RepeatCaller::Stranger),
        Just(RepeatCaller::Strangers),
    ];
    let key = (
        caller,
        prop::sample::select(&RepeatKind::ALL[..]),
        prop::option::of(prop::sample::select(DenyCode::ALL)),
    );
    let repeated = (at(), key, [count(), count(), count(), count()]).prop_map(
        |(at, (caller, kind, code), [like_seq, count, first_ms, last_ms])| {
            let key = RepeatKey { caller, kind, code };
            let repeats = Repeats { key, like_seq, count, first_ms, last_ms };
            Entry::Repeated(Box::new(Repeated { at, repeats }))
        },
    );
    let words = (prop::sample::select(&ReloadKind::ALL[..]), prop::sample::select(&ReloadResult::ALL[..]));
    let reload =
        (at(), words, any::<String>(), bundle()).prop_map(|(at, (kind, result), message, bundle)| {
            Entry::Reload(Box::new(Reload { at, kind, result, message, bundle }))
        });
    prop_oneof![signatures, stranger, repeated, reload]
}

/// A call of somebody whom the registry does not know.
pub(super) fn stranger(source: Option<IdentitySource>) -> Entry {
    Entry::Unauthenticated(Box::new(Unauthenticated {
        at: moment(NOW),
        source,
        call: "Signer.SignPayment".to_owned(),
        message: "no agent has uid 4711".to_owned(),
        bundle: Digest([0xbb; 32]).into(),
    }))
}

/// A count of a minute that is over.
pub(super) fn repeated(caller: RepeatCaller, kind: RepeatKind, code: Option<DenyCode>) -> Entry {
    let key = RepeatKey { caller, kind, code };
    let (first_ms, last_ms) = (NOW * 1000, NOW * 1000 + 59_999);
    let repeats = Repeats { key, like_seq: 2, count: 1234, first_ms, last_ms };
    Entry::Repeated(Box::new(Repeated { at: moment(NOW + 60), repeats }))
}

/// What was added to version 1 later, in the bytes it has for ever.
pub(super) fn pinned() -> Vec<Entry> {
    let mut traced = Pay::new(1, NOW).denied();
    if let Entry::Payment(decision) = &mut traced {
        decision.asked.trace = Some(TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736").unwrap());
        decision.asked.wait = Wait::For { micros: 312 };
        decision.ceilings.push(CeilingUse {
            scope: ScopeKind::Workflow,
            window: Window::Day,
            measure: Measure::Usd,
            limit: "5.00".to_owned(),
            before: "4.9995".to_owned(),
            after: "5.0005".to_owned(),
        });
        if let Outcome::Deny { denial, .. } = &mut decision.outcome {
            denial.policies = vec![policy("ceilings")];
            denial.policies[0].digest = Some(Digest([0xcc; 32]));
        }
    }
    let uid = IdentitySource::unix_peer(4711);
    let agent = RepeatCaller::Agent(AgentName::parse("researcher").unwrap());
    let hashes = vec![(2, Digest([0x51; 32])), (3, Digest([0x52; 32]))];
    vec![
        traced,
        Entry::Signatures(Box::new(SignaturesMade { at: moment(NOW), hashes })),
        stranger(Some(uid.clone())),
        stranger(None),
        repeated(agent, RepeatKind::Payment, Some(DenyCode::CeilingExceeded)),
        repeated(RepeatCaller::Stranger(uid), RepeatKind::Unauthenticated, None),
        repeated(RepeatCaller::Strangers, RepeatKind::Unauthenticated, None),
        Pay::new(1, NOW).signed_in(),
        Entry::Reload(Box::new(Reload {
            at: moment(NOW),
            kind: ReloadKind::Bundle,
            result: ReloadResult::Refused,
            message: "team.cedar:1:9: no such attribute".to_owned(),
            bundle: Digest([0xbb; 32]).into(),
        })),
    ]
}

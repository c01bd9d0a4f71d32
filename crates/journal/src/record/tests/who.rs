//! Who did something, and every way it was proved.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use pursekeeper_core::{
    Entry, IdentitySource, RepeatCaller, RepeatKind, SpiffeId, TokenIssuer, TokenSubject, UnixPeer,
    WorkflowName,
};

use super::super::{parse_source, source_text};
use super::notes;
use crate::fixtures::{NOW, Pay};

/// Any proofs.
pub(super) fn source() -> BoxedStrategy<IdentitySource> {
    let peer = prop::option::of((any::<u32>(), prop::option::of(any::<u32>()), any::<bool>()));
    let path = prop::option::of("[a-zA-Z0-9_-]{1,9}(/[a-zA-Z0-9_-]{1,9}){0,3}");
    let token = prop::option::of(("[a-z][a-z0-9-]{0,9}", "[a-zA-Z0-9:./_äß\"\\\\-]{1,20}"));
    let any = (peer, path, token, any::<u32>());
    any.prop_map(|(peer, path, token, uid)| {
        let peer = peer.map(|(uid, gid, counts)| (UnixPeer { uid, gid }, counts));
        let spiffe = path.map(|path| SpiffeId::parse(&format!("spiffe://prod.example/{path}")).unwrap());
        let token = token.map(|(issuer, subject)| {
            TokenSubject::new(TokenIssuer::parse(&issuer).unwrap(), &subject).unwrap()
        });
        IdentitySource::of(peer, spiffe, token).unwrap_or(IdentitySource::unix_peer(uid))
    })
    .boxed()
}

/// Any narrowing by a listener.
pub(super) fn workflows() -> BoxedStrategy<Option<Arc<BTreeSet<WorkflowName>>>> {
    let name = "[a-z][a-z0-9-]{0,9}".prop_map(|name| WorkflowName::parse(&name).unwrap());
    prop::option::of(prop::collection::btree_set(name, 0..3).prop_map(Arc::new)).boxed()
}

fn certificate() -> Option<SpiffeId> {
    SpiffeId::parse("spiffe://prod.example/ns/agents/sa/crawler").ok()
}

fn token() -> Option<TokenSubject> {
    TokenSubject::parse("cluster:system:serviceaccount:agents:crawler").ok()
}

/// One of each kind, in the bytes it has for ever.
fn each() -> Vec<IdentitySource> {
    let peer = |counts| Some((UnixPeer { uid: 1000, gid: Some(2000) }, counts));
    let all = [
        IdentitySource::of(peer(true), None, None),
        IdentitySource::of(peer(true), None, token()),
        IdentitySource::of(peer(false), None, token()),
        IdentitySource::of(None, certificate(), None),
        IdentitySource::of(None, certificate(), token()),
        IdentitySource::of(None, None, token()),
        IdentitySource::of(peer(true), certificate(), None),
        IdentitySource::of(peer(true), certificate(), token()),
    ];
    all.into_iter().flatten().collect()
}

/// What was added to version 1 later, in the bytes it has for ever.
pub(super) fn pinned() -> Vec<Entry> {
    let by = |source: IdentitySource| {
        let mut entry = Pay::new(1, NOW).denied();
        if let Entry::Payment(decision) = &mut entry {
            decision.asked.caller.source = source;
        }
        entry
    };
    let mut entries: Vec<Entry> = each().into_iter().map(by).collect();
    if let Some(Entry::Payment(decision)) = entries.last_mut() {
        let only = BTreeSet::from([WorkflowName::parse("literature-review").unwrap()]);
        decision.asked.caller.workflows = Some(Arc::new(only));
    }
    let stranger = IdentitySource::of(None, certificate(), token()).unwrap();
    entries.push(notes::stranger(Some(stranger.clone())));
    entries.push(notes::repeated(RepeatCaller::Stranger(stranger), RepeatKind::Unauthenticated, None));
    entries
}

#[test]
fn a_source_that_says_two_things_is_none() {
    for source in each() {
        let text = source_text(&source);
        assert_eq!(parse_source(&text), Some(source), "{text}");
    }
    let table = [
        r#"{"kind":"unix-peer"}"#,
        r#"{"gid":1,"kind":"unix-peer"}"#,
        r#"{"kind":"token","uid":1}"#,
        r#"{"kind":"certificate","uid":1}"#,
        r#"{"kind":"unix-peer","spiffe":"spiffe://a/b","uid":1}"#,
        r#"{"kind":"certificate","spiffe":"https://a/b"}"#,
        r#"{"issuer":"a","kind":"token"}"#,
        r#"{"kind":"token","subject":"a"}"#,
        r#"{"issuer":"A","kind":"token","subject":"a"}"#,
        r#"{"issuer":"a","kind":"token","subject":""}"#,
        r#"{"issuer":"a","kind":"unix-peer","subject":"b","uid":1}"#,
        r#"{"issuer":"a","kind":"token+unix-peer","subject":"b","uid":1}"#,
        r#"{"kind":"password","uid":1}"#,
        r#"{"kind":"","uid":1}"#,
        r#"{"kind":"unix-peer","name":"x","uid":1}"#,
        r#"{"kind":"unix-peer","uid":4294967296}"#,
    ];
    for text in table {
        assert_eq!(parse_source(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn every_source_is_read_back_as_it_was(source in source()) {
        prop_assert_eq!(parse_source(&source_text(&source)), Some(source));
    }
}

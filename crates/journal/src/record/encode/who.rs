//! Who did something, as it is recorded.

use pursekeeper_core as core;

use super::super::who::{Caller, Source};

impl<'a> Source<'a> {
    pub(in super::super) fn of(source: &'a core::IdentitySource) -> Self {
        let (peer, token) = (source.peer(), source.token());
        Self {
            gid: peer.and_then(|peer| peer.gid),
            issuer: token.map(|token| token.issuer().as_str().into()),
            kind: source.as_str().into(),
            spiffe: source.certificate().map(|id| id.as_str().into()),
            subject: token.map(|token| token.subject().into()),
            uid: peer.map(|peer| peer.uid),
        }
    }
}

impl<'a> Caller<'a> {
    pub(super) fn of(caller: &'a core::Caller) -> Self {
        let core::Caller { agent, source, workflows } = caller;
        let workflows = workflows.as_ref().map(|only| only.iter().map(|name| name.as_str().into()).collect());
        Self { agent: agent.as_str().into(), source: Source::of(source), workflows }
    }
}

//! Who did something, back to what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use pursekeeper_core as core;

use super::super::who::{Caller, Source};
use super::{Flaw, Found, read};

impl Source<'_> {
    pub(in super::super) fn decode(self) -> Found<core::IdentitySource> {
        let Self { gid, issuer, kind, spiffe, subject, uid } = self;
        let peer = match (uid, gid) {
            (Some(uid), gid) => Some(core::UnixPeer { uid, gid }),
            (None, None) => None,
            (None, Some(_)) => return Err(Flaw("`source` has a `gid` and no `uid`".to_owned())),
        };
        let certificate = spiffe.map(|id| read("spiffe", core::SpiffeId::parse(&id))).transpose()?;
        let token = match (issuer, subject) {
            (Some(issuer), Some(subject)) => {
                let issuer = read("issuer", core::TokenIssuer::parse(&issuer))?;
                Some(read("subject", core::TokenSubject::new(issuer, &subject))?)
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Flaw("`source` has one of `issuer` and `subject`".to_owned()));
            }
        };
        let counts = kind.split('+').any(|proof| proof == "unix-peer");
        let source = core::IdentitySource::of(peer.map(|peer| (peer, counts)), certificate, token);
        source.filter(|source| source.as_str() == kind).ok_or_else(|| {
            Flaw(format!("`source`: the kind `{kind}` does not say what the other members are"))
        })
    }
}

impl Caller<'_> {
    pub(super) fn decode(self) -> Found<core::Caller> {
        let Self { agent, source, workflows } = self;
        let name = |name: &std::borrow::Cow<'_, str>| read("workflows", core::WorkflowName::parse(name));
        let only = |names: Vec<_>| names.iter().map(name).collect::<Found<BTreeSet<_>>>();
        Ok(core::Caller {
            agent: read("agent", core::AgentName::parse(&agent))?,
            source: source.decode()?,
            workflows: workflows.map(only).transpose()?.map(Arc::new),
        })
    }
}

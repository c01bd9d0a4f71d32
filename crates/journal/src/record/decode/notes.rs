//! What is not judged, and the arithmetic behind what is, back to what it says.

use pursekeeper_core as core;

use super::super::notes::{Reload, Repeat, SignatureHash, Stranger};
use super::super::{CeilingUse, Hex, Int, Shadow, Source, Verdict};
use super::{Flaw, Found, bundle_id, known, read};

pub(super) fn ceilings(uses: Option<Vec<CeilingUse<'_>>>) -> Found<Vec<core::CeilingUse>> {
    uses.unwrap_or_default().into_iter().map(CeilingUse::decode).collect()
}

impl CeilingUse<'_> {
    fn decode(self) -> Found<core::CeilingUse> {
        let Self { after, before, limit, scope, unit, window } = self;
        Ok(core::CeilingUse {
            scope: known("scope", &scope, core::ScopeKind::parse(&scope))?,
            window: known("window", &window, core::Window::parse(&window))?,
            measure: known("unit", &unit, core::Measure::parse(&unit))?,
            limit: limit.into_owned(),
            before: before.into_owned(),
            after: after.into_owned(),
        })
    }
}

pub(super) fn hashes(made: Vec<SignatureHash>) -> Vec<(u64, core::Digest)> {
    made.into_iter()
        .map(|SignatureHash { seq: Int(seq), sha256: Hex(hash) }| (seq, core::Digest(hash)))
        .collect()
}

impl Shadow<'_> {
    pub(super) fn decode(self) -> Found<core::Shadow> {
        let Self { bundle, denial, revision, usd, verdict } = self;
        let usd = usd.map(|usd| read("usd", core::Usd::parse(&usd))).transpose()?;
        let verdict = match (verdict, denial, usd) {
            (Verdict::Permit, None, usd) => core::ShadowVerdict::Permit { usd },
            (Verdict::Deny, Some(denial), None) => core::ShadowVerdict::Deny(denial.decode()?),
            (Verdict::Permit | Verdict::Deny, _, _) => {
                return Err(Flaw("`shadow`: its members contradict each other".to_owned()));
            }
        };
        Ok(core::Shadow { bundle: bundle_id(bundle, revision), verdict })
    }
}

impl Stranger<'_> {
    pub(super) fn decode(self, at: core::Moment, bundle: core::BundleId) -> Found<core::Unauthenticated> {
        let Self { call, message, source } = self;
        Ok(core::Unauthenticated {
            at,
            source: source.map(Source::decode).transpose()?,
            call: call.into_owned(),
            message: message.into_owned(),
            bundle,
        })
    }
}

impl Repeat<'_> {
    pub(super) fn decode(self) -> Found<core::Repeats> {
        let Self { agent, code, count, first_ms, kind, last_ms, like, source } = self;
        let caller = match (agent, source) {
            (Some(agent), None) => core::RepeatCaller::Agent(read("agent", core::AgentName::parse(&agent))?),
            (None, Some(source)) => core::RepeatCaller::Stranger(source.decode()?),
            (None, None) => core::RepeatCaller::Strangers,
            (Some(_), Some(_)) => return Err(Flaw("`repeat` is of an agent and of a stranger".to_owned())),
        };
        let code = code.map(|code| known("code", &code, core::DenyCode::parse(&code))).transpose()?;
        let kind = known("kind", &kind, core::RepeatKind::parse(&kind))?;
        Ok(core::Repeats {
            key: core::RepeatKey { caller, kind, code },
            like_seq: like.0,
            count: count.0,
            first_ms: first_ms.0,
            last_ms: last_ms.0,
        })
    }
}

impl Reload<'_> {
    pub(super) fn decode(self, at: core::Moment, bundle: core::BundleId) -> Found<core::Reload> {
        let Self { kind, message, result } = self;
        Ok(core::Reload {
            at,
            kind: known("kind", &kind, core::ReloadKind::parse(&kind))?,
            result: known("result", &result, core::ReloadResult::parse(&result))?,
            message: message.into_owned(),
            bundle,
        })
    }
}

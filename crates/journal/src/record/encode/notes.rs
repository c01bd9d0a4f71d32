//! What is not judged, as it is recorded.

use pursekeeper_core as core;

use super::super::notes::{Reload, Repeat, SignatureHash, Stranger};
use super::super::{Hex, Int, Kind, Record, Source};

impl<'a> Record<'a> {
    pub(super) fn of_signatures(seq: u64, made: &'a core::SignaturesMade) -> Self {
        let core::SignaturesMade { at, hashes } = made;
        let hash =
            |(seq, digest): &(u64, core::Digest)| SignatureHash { seq: Int(*seq), sha256: Hex(digest.0) };
        Self { signatures: Some(hashes.iter().map(hash).collect()), ..Self::empty(seq, Kind::Signature, *at) }
    }

    pub(super) fn of_stranger(seq: u64, stranger: &'a core::Unauthenticated) -> Self {
        let core::Unauthenticated { at, source, call, message, bundle } = stranger;
        Self {
            stranger: Some(Stranger {
                call: call.as_str().into(),
                message: message.as_str().into(),
                source: source.as_ref().map(Source::of),
            }),
            ..Self::under(bundle, Self::empty(seq, Kind::Unauthenticated, *at))
        }
    }

    pub(super) fn of_repeated(seq: u64, repeated: &'a core::Repeated) -> Self {
        let core::Repeated { at, repeats } = repeated;
        let core::Repeats { key, like_seq, count, first_ms, last_ms } = repeats;
        let core::RepeatKey { caller, kind, code } = key;
        let (agent, source) = match caller {
            core::RepeatCaller::Agent(agent) => (Some(agent.as_str().into()), None),
            core::RepeatCaller::Stranger(source) => (None, Some(Source::of(source))),
            core::RepeatCaller::Strangers => (None, None),
        };
        Self {
            repeat: Some(Repeat {
                agent,
                code: code.map(|code| code.as_str().into()),
                count: Int(*count),
                first_ms: Int(*first_ms),
                kind: kind.as_str().into(),
                last_ms: Int(*last_ms),
                like: Int(*like_seq),
                source,
            }),
            ..Self::empty(seq, Kind::Repeat, *at)
        }
    }

    pub(super) fn of_reload(seq: u64, reload: &'a core::Reload) -> Self {
        let core::Reload { at, kind, result, message, bundle } = reload;
        Self {
            reload: Some(Reload {
                kind: kind.as_str().into(),
                message: message.as_str().into(),
                result: result.as_str().into(),
            }),
            ..Self::under(bundle, Self::empty(seq, Kind::Reload, *at))
        }
    }
}

//! What is not judged, in words.

use pursekeeper_core::{Reload, RepeatCaller, RepeatKey, Repeated, Repeats, SignaturesMade, Unauthenticated};

use super::Summary;

impl Summary {
    pub(super) fn signatures(self, made: &SignaturesMade) -> Self {
        let SignaturesMade { at: _, hashes } = made;
        let one = |(seq, hash): &(u64, pursekeeper_core::Digest)| format!("record {seq} (SHA-256 {hash})");
        let all: Vec<String> = hashes.iter().map(one).collect();
        let original_seq = match hashes.as_slice() {
            [(seq, _)] => Some(*seq),
            _ => None,
        };
        Self { kind: "signature", message: format!("signed: {}", all.join(", ")), original_seq, ..self }
    }

    pub(super) fn unauthenticated(self, stranger: &Unauthenticated) -> Self {
        let Unauthenticated { at: _, source: _, call, message, bundle } = stranger;
        Self {
            kind: "unauthenticated",
            message: format!("{call} was refused: {message}"),
            ..self.under(bundle)
        }
    }

    pub(super) fn repeated(self, repeated: &Repeated) -> Self {
        let Repeated { at: _, repeats: Repeats { key, like_seq, count, first_ms, last_ms } } = repeated;
        let RepeatKey { caller, kind, code } = key;
        let secs = last_ms.saturating_sub(*first_ms).div_euclid(1000);
        Self {
            kind: "repeat",
            code: code.map_or("", |code| code.as_str()),
            message: format!(
                "{count} more of kind `{}` within {secs} s, like record {like_seq}: counted, not recorded each",
                kind.as_str()
            ),
            agent: match caller {
                RepeatCaller::Agent(agent) => agent.to_string(),
                RepeatCaller::Stranger(_) | RepeatCaller::Strangers => String::new(),
            },
            original_seq: Some(*like_seq),
            repeats: *count,
            ..self
        }
    }

    pub(super) fn reload(self, reload: &Reload) -> Self {
        let Reload { at: _, kind, result, message, bundle } = reload;
        Self {
            kind: "reload",
            message: format!("{} read again, {}: {message}", kind.as_str(), result.as_str()),
            ..self.under(bundle)
        }
    }
}

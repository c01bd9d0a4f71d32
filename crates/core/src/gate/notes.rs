//! What is recorded without being judged, and what is counted instead of being recorded.

use crate::ports::{Judged, Policy};
use crate::{Digest, Entry, Reload, Repeated, Repeats, SignaturesMade, Unauthenticated};

use super::judge::Court;
use super::{ReloadAsk, UnauthenticatedAsk};

impl<P: Policy> Court<'_, P> {
    pub(super) fn signatures(&self, hashes: &[(u64, Digest)]) -> Entry {
        Entry::Signatures(Box::new(SignaturesMade { at: self.at, hashes: hashes.to_vec() }))
    }

    pub(super) fn unauthenticated(&self, ask: &UnauthenticatedAsk) -> Entry {
        let UnauthenticatedAsk { source, call, message } = ask.clone();
        let bundle = self.policy.bundle();
        Entry::Unauthenticated(Box::new(Unauthenticated { at: self.at, source, call, message, bundle }))
    }

    pub(super) fn reload(&self, ask: &ReloadAsk) -> Entry {
        let ReloadAsk { kind, result, message } = ask.clone();
        let bundle = self.policy.bundle();
        Entry::Reload(Box::new(Reload { at: self.at, kind, result, message, bundle }))
    }

    pub(super) fn repeated(&self, repeats: &Repeats) -> Entry {
        Entry::Repeated(Box::new(Repeated { at: self.at, repeats: repeats.clone() }))
    }

    /// Counts what was recorded often enough within this minute, so that nobody fills the disk by asking.
    pub(super) fn tamed(&self, judged: Judged) -> Judged {
        match judged {
            Judged::Entry(entry) => {
                let often = entry.repeat_key().is_some_and(|key| {
                    self.ledger.recorded_lately(&key, self.at) >= self.settings.repeats_per_minute_max
                });
                if often { Judged::Repeat(entry) } else { Judged::Entry(entry) }
            }
            Judged::Repeat(_) | Judged::Nothing(_) => judged,
        }
    }
}

//! Signatures that may still be settled, counted per agent and endpoint.

use std::collections::{BTreeMap, HashMap};

use pursekeeper_core::{AgentName, Endpoint, UnixSeconds};

/// An agent, and the endpoint as [`endpoint_key`] writes it.
pub(crate) type Key = (AgentName, String);

/// Every hold that has not passed, by when it passes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Outstanding {
    ends: BTreeMap<(UnixSeconds, u64), Key>,
    counts: HashMap<Key, BTreeMap<UnixSeconds, u64>>,
}

/// Method, origin and path. The query is left out: an agent chooses it freely, and a limit on outstanding signatures
/// that a changed query resets would be none.
pub(crate) fn endpoint_key(endpoint: &Endpoint) -> String {
    let url = endpoint.url();
    let call = url.split_once('?').map_or(url, |(call, _)| call);
    [endpoint.method(), call].join(" ")
}

impl Outstanding {
    pub(crate) fn add(&mut self, seq: u64, held_until: UnixSeconds, key: Key) {
        let count = self.counts.entry(key.clone()).or_default().entry(held_until).or_default();
        *count = count.saturating_add(1);
        self.ends.insert((held_until, seq), key);
    }

    /// Whether a hold has not passed.
    pub(crate) fn contains(&self, seq: u64, held_until: UnixSeconds) -> bool {
        self.ends.contains_key(&(held_until, seq))
    }

    /// Takes back a hold that was added.
    pub(crate) fn remove(&mut self, seq: u64, held_until: UnixSeconds) {
        let Some(key) = self.ends.remove(&(held_until, seq)) else { return };
        let Some(counts) = self.counts.get_mut(&key) else { return };
        if let Some(count) = counts.get_mut(&held_until) {
            *count = count.saturating_sub(1);
        }
        counts.retain(|_, count| *count > 0);
        if counts.is_empty() {
            self.counts.remove(&key);
        }
    }

    /// How many of `key` have not passed: a hold still counts in the second it ends in.
    pub(crate) fn count(&self, key: &Key, now: UnixSeconds) -> u64 {
        let counts = self.counts.get(key).map(|counts| counts.range(now..));
        counts.into_iter().flatten().fold(0, |total, (_, count)| total.saturating_add(*count))
    }

    /// Forgets what has passed.
    pub(crate) fn advance(&mut self, now: UnixSeconds) {
        while let Some(((held_until, seq), _)) = self.ends.first_key_value() {
            let (held_until, seq) = (*held_until, *seq);
            if held_until >= now {
                break;
            }
            self.remove(seq, held_until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_and_the_fragment_are_not_another_endpoint() {
        let key = |url| endpoint_key(&Endpoint::parse("GET", url).unwrap());
        assert_eq!(key("https://a.example/x?nonce=1#f"), key("https://a.example/x?nonce=2"));
        assert_ne!(key("https://a.example/x"), key("https://a.example/y"));
        assert_ne!(key("https://a.example/x"), key("https://a.example:8443/x"));
    }

    #[test]
    fn a_hold_is_outstanding_until_its_end_has_passed() {
        let key = (AgentName::parse("a").unwrap(), "GET https://a.example/".to_owned());
        let mut outstanding = Outstanding::default();
        outstanding.add(1, UnixSeconds(10), key.clone());
        outstanding.add(2, UnixSeconds(12), key.clone());
        let at = |outstanding: &Outstanding, now| outstanding.count(&key, UnixSeconds(now));
        assert_eq!([10, 11, 12, 13].map(|now| at(&outstanding, now)), [2, 1, 1, 0]);
        outstanding.advance(UnixSeconds(11));
        assert_eq!(at(&outstanding, 0), 1);
        outstanding.remove(2, UnixSeconds(12));
        assert_eq!(outstanding, Outstanding::default());
    }
}

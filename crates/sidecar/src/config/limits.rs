//! `limits:`: what bounds signatures and load.

use pursekeeper_core::gate::Settings;
use serde::Deserialize;

/// What a call needs in its headers besides a bearer token, in bytes: its path, what HTTP/2 counts for each, a trace.
const HEADER_BYTES_BESIDE_TOKEN: usize = 2 * 1024;

/// Every limit, each with its unit last.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest life of a signature, in seconds.
    pub validity_secs_max: u64,
    /// Longest life of a Permit2 signature, in seconds, where that is shorter.
    pub permit2_validity_secs_max: u64,
    /// How far other clocks may be off, in seconds.
    pub skew_secs: u64,
    /// How far our own clock may go back, in milliseconds.
    pub clock_back_ms_max: u64,
    /// How far the wall clock may run ahead of the boot clock, in milliseconds.
    pub clock_ahead_ms_max: u64,
    /// How far ahead of the last record the wall clock may be after a reboot, in milliseconds.
    pub clock_reboot_ms_max: u64,
    /// How old a balance may be to be relied on, in seconds.
    pub balance_age_secs_max: u64,
    /// Most equal denials, previews, retries or calls of nobody that are recorded within a minute, each on its own; what
    /// comes beyond is counted in one record.
    pub repeats_per_minute_max: u32,
    /// Most requests waiting for the gate.
    pub queue_len_max: usize,
    /// Most requests judged in one transaction.
    pub batch_len_max: usize,
    /// Longest time for one call, in milliseconds.
    pub deadline_ms_max: u64,
    /// Most connections per listener.
    pub connections_max: usize,
    /// Most connections of one user, or from one address, per listener.
    pub connections_per_peer_max: usize,
    /// Most calls of one user, or from one address, per listener and second, with bursts of as many.
    pub peer_calls_per_sec_max: u32,
    /// Largest header list of a call, in bytes as HTTP/2 counts them.
    pub header_bytes_max: u32,
    /// After how many seconds of silence a client must show that it is still there.
    pub keepalive_secs: u64,
    /// Most calls under way per connection.
    pub streams_per_connection_max: u32,
    /// Most subscribers who follow the audit at once.
    pub subscribers_max: usize,
    /// Most calls of one agent per second, with bursts of as many.
    pub agent_calls_per_sec_max: u32,
    /// Longest life of a bearer token, from when it was issued to when it expires, in seconds.
    pub token_life_secs_max: u64,
    /// Longest bearer token, in bytes.
    pub token_bytes_max: usize,
    /// Longest time until a connection has said what it speaks, a TLS handshake included, and for the answer of a client
    /// that must show that it is there, in milliseconds.
    pub handshake_ms_max: u64,
    /// Longest wait for calls under way after SIGTERM, in seconds.
    pub drain_secs_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let Settings {
            validity_secs_max,
            permit2_validity_secs_max,
            skew_secs,
            clock_back_ms_max,
            clock_ahead_ms_max,
            clock_reboot_ms_max,
            balance_age_secs_max,
            repeats_per_minute_max,
        } = Settings::default();
        Self {
            validity_secs_max,
            permit2_validity_secs_max,
            skew_secs,
            clock_back_ms_max,
            clock_ahead_ms_max,
            clock_reboot_ms_max,
            balance_age_secs_max,
            repeats_per_minute_max,
            queue_len_max: 1024,
            batch_len_max: 256,
            deadline_ms_max: 10_000,
            connections_max: 256,
            connections_per_peer_max: 128,
            peer_calls_per_sec_max: 5_000,
            header_bytes_max: 16 * 1024,
            keepalive_secs: 20,
            streams_per_connection_max: 128,
            subscribers_max: 128,
            agent_calls_per_sec_max: 500,
            token_life_secs_max: 86_400,
            token_bytes_max: 8 * 1024,
            handshake_ms_max: 5_000,
            drain_secs_max: 10,
        }
    }
}

impl Limits {
    /// The part the gate enforces.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            validity_secs_max: self.validity_secs_max,
            permit2_validity_secs_max: self.permit2_validity_secs_max,
            skew_secs: self.skew_secs,
            clock_back_ms_max: self.clock_back_ms_max,
            clock_ahead_ms_max: self.clock_ahead_ms_max,
            clock_reboot_ms_max: self.clock_reboot_ms_max,
            balance_age_secs_max: self.balance_age_secs_max,
            repeats_per_minute_max: self.repeats_per_minute_max,
        }
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let positive = [
            ("validity_secs_max", self.validity_secs_max),
            ("permit2_validity_secs_max", self.permit2_validity_secs_max),
            ("repeats_per_minute_max", self.repeats_per_minute_max.into()),
            ("queue_len_max", self.queue_len_max as u64),
            ("batch_len_max", self.batch_len_max as u64),
            ("deadline_ms_max", self.deadline_ms_max),
            ("connections_max", self.connections_max as u64),
            ("connections_per_peer_max", self.connections_per_peer_max as u64),
            ("peer_calls_per_sec_max", self.peer_calls_per_sec_max.into()),
            ("header_bytes_max", self.header_bytes_max.into()),
            ("keepalive_secs", self.keepalive_secs),
            ("streams_per_connection_max", self.streams_per_connection_max.into()),
            ("subscribers_max", self.subscribers_max as u64),
            ("agent_calls_per_sec_max", self.agent_calls_per_sec_max.into()),
            ("token_life_secs_max", self.token_life_secs_max),
            ("token_bytes_max", self.token_bytes_max as u64),
            ("handshake_ms_max", self.handshake_ms_max),
        ];
        let zero = positive.iter().filter(|(_, value)| *value == 0);
        let zero = zero
            .map(|(name, _)| format!("`limits.{name}` is 0: nothing could ever be done; write at least 1"));
        let token_fits = self.token_bytes_max.saturating_add(HEADER_BYTES_BESIDE_TOKEN)
            <= usize::try_from(self.header_bytes_max).unwrap_or(usize::MAX);
        let no_token = format!(
            "`limits.header_bytes_max` has no room for a token of `limits.token_bytes_max` and {HEADER_BYTES_BESIDE_TOKEN} \
             bytes beside it: raise the one or lower the other"
        );
        zero.chain((!token_fits).then_some(no_token)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_of_the_gate_reaches_it() {
        let text = "validity_secs_max: 1\nskew_secs: 2\nclock_back_ms_max: 3\nclock_ahead_ms_max: 4\n\
                    clock_reboot_ms_max: 5\nbalance_age_secs_max: 6\npermit2_validity_secs_max: 7\n\
                    repeats_per_minute_max: 8";
        let limits: Limits = serde_yaml::from_str(text).unwrap();
        let expected = Settings {
            validity_secs_max: 1,
            skew_secs: 2,
            clock_back_ms_max: 3,
            clock_ahead_ms_max: 4,
            clock_reboot_ms_max: 5,
            balance_age_secs_max: 6,
            permit2_validity_secs_max: 7,
            repeats_per_minute_max: 8,
        };
        assert_eq!(limits.settings(), expected);
    }
}

//! Which records a person wants, and which one.

use clap::{Args, ValueEnum};
use pursekeeper_api::v1;
use pursekeeper_core::{DecisionId, Flip};
use pursekeeper_journal::KINDS;

/// Which records. Different options must all fit; of an option that is repeated, one value.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct WantedArgs {
    /// Only what this agent asked for; repeat it for more.
    #[arg(long = "agent", value_name = "NAME", help_heading = "Which records")]
    agents: Vec<String>,
    /// Only what was for this workflow.
    #[arg(long = "workflow", value_name = "NAME", help_heading = "Which records")]
    workflows: Vec<String>,
    /// Only what this wallet was asked for, or what was done to it: by name or address.
    #[arg(long = "wallet", value_name = "NAME", help_heading = "Which records")]
    wallets: Vec<String>,
    /// Only what was for this service.
    #[arg(long = "service", value_name = "NAME", help_heading = "Which records")]
    services: Vec<String>,
    /// Only this kind of records.
    #[arg(long = "kind", value_name = "KIND", value_parser = clap::builder::PossibleValuesParser::new(KINDS), help_heading = "Which records")]
    kinds: Vec<String>,
    /// Only what was permitted, or only what was denied.
    #[arg(long, value_enum, help_heading = "Which records")]
    decision: Option<Verdict>,
    /// Only denials with this code, such as `NO_PERMIT`.
    #[arg(long = "code", value_name = "CODE", help_heading = "Which records")]
    codes: Vec<String>,
    /// Only what the shadow bundle would have denied, permitted, or answered just the same (`none`).
    #[arg(long, value_name = "FLIP", value_parser = clap::builder::PossibleValuesParser::new(Flip::ALL.map(Flip::as_str)), help_heading = "Which records")]
    flip: Option<String>,
    /// Only what was written since: `90s`, `30m`, `1h`, `7d` or `2w` ago, or a time such as `2026-11-18T11:00:00Z`.
    #[arg(long, value_name = "WHEN", value_parser = when, help_heading = "Which records")]
    since: Option<When>,
    /// Only what was written before: the same forms.
    #[arg(long, value_name = "WHEN", value_parser = when, help_heading = "Which records")]
    until: Option<When>,
}

/// How a record was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Verdict {
    Permit,
    Deny,
}

/// A time as a person says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// So many milliseconds ago.
    Ago(u64),
    /// Milliseconds since the Unix epoch.
    At(u64),
}

impl When {
    fn unix_ms(self, now_unix_ms: u64) -> u64 {
        match self {
            Self::Ago(ms) => now_unix_ms.saturating_sub(ms),
            Self::At(unix_ms) => unix_ms,
        }
    }
}

impl WantedArgs {
    /// The filter, with spans counted back from now.
    pub(super) fn filter(self) -> v1::AuditFilter {
        self.filter_at(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
    }

    fn filter_at(self, now_unix_ms: u64) -> v1::AuditFilter {
        let Self { agents, workflows, wallets, services, kinds, decision, codes, flip, since, until } = self;
        let verdict = match decision {
            Some(Verdict::Permit) => "permit",
            Some(Verdict::Deny) => "deny",
            None => "",
        };
        v1::AuditFilter {
            agents,
            workflows,
            wallets,
            services,
            kinds,
            codes,
            verdict: verdict.to_owned(),
            since_unix_ms: since.map_or(0, |since| since.unix_ms(now_unix_ms)),
            // 0 would be no end.
            until_unix_ms: until.map_or(0, |until| until.unix_ms(now_unix_ms).max(1)),
            about_seq: 0,
            flip: flip.unwrap_or_default(),
        }
    }
}

fn when(text: &str) -> Result<When, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        let unix_ms = u64::try_from(at.as_millisecond());
        return unix_ms.map(When::At).map_err(|_| "it is before 1970".to_owned());
    }
    let unit = text.chars().last().and_then(|unit| match unit {
        's' => Some(1_000),
        'm' => Some(60_000),
        'h' => Some(3_600_000),
        'd' => Some(86_400_000),
        'w' => Some(604_800_000_u64),
        _ => None,
    });
    let count = text.get(..text.len().saturating_sub(1)).and_then(|count| count.parse::<u64>().ok());
    let span = unit.zip(count).and_then(|(unit, count)| unit.checked_mul(count));
    span.map(When::Ago).ok_or_else(|| {
        "write how long ago, such as `30m`, `1h` or `7d`, or a time such as `2026-11-18T11:00:00Z`".to_owned()
    })
}

/// The record that is named by its position or its id.
pub(super) fn seq(text: &str) -> Result<u64, String> {
    let seq = text.parse().ok().or_else(|| DecisionId::parse(text).ok().map(|id| id.seq));
    seq.filter(|seq| *seq > 0).ok_or_else(|| {
        "write the position of a record, such as `42`, or its decision id, such as `1f0c2a9b-42`".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_span_or_a_moment() {
        let table = [
            ("90s", Some(When::Ago(90_000))),
            ("30m", Some(When::Ago(1_800_000))),
            ("1h", Some(When::Ago(3_600_000))),
            ("7d", Some(When::Ago(604_800_000))),
            ("2w", Some(When::Ago(1_209_600_000))),
            ("2026-11-18T11:06:40Z", Some(When::At(1_795_000_000_000))),
            ("2026-11-18T12:06:40.007+01:00", Some(When::At(1_795_000_000_007))),
            ("", None),
            ("h", None),
            ("1", None),
            ("1y", None),
            ("-1h", None),
            ("1,5h", None),
            ("99999999999999999999d", None),
            ("9999999999999999w", None),
            ("5µ", None),
            ("1960-01-01T00:00:00Z", None),
            ("2026-11-18", None),
        ];
        for (text, expected) in table {
            assert_eq!(when(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn spans_are_counted_back_from_now() {
        let wanted =
            WantedArgs { since: Some(When::Ago(3_000)), until: Some(When::Ago(9_000)), ..Default::default() };
        let filter = wanted.clone().filter_at(10_000);
        assert_eq!((filter.since_unix_ms, filter.until_unix_ms), (7_000, 1_000));
        let filter = wanted.filter_at(5_000);
        assert_eq!(
            (filter.since_unix_ms, filter.until_unix_ms),
            (2_000, 1),
            "an end in the past stays an end"
        );
    }

    #[test]
    fn a_record_is_named_by_position_or_id() {
        for (text, expected) in [
            ("42", Some(42)),
            ("1f0c2a9b-42", Some(42)),
            ("0", None),
            ("1f0c2a9b-0", None),
            ("1f0c2a9b", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(seq(text).ok(), expected, "{text}");
        }
    }
}

use std::collections::BTreeMap;

use clap::Args;
use pursekeeper_api::{Audit, v1};
use pursekeeper_core::Usd;
use serde_json::{Value, json};

use super::histogram::{Histogram, draw, takes_unicode};
use super::pages;
use super::wanted::WantedArgs;
use crate::cli::{ConfigArg, Exit, client, moment};
use crate::output::{Output, Tone};
use crate::record::{is_denied, plain};

/// Most different names that are counted one by one; more are counted together.
const NAMES_MAX: usize = 10_000;
/// What those are counted as.
const OTHERS: &str = "(others)";

#[derive(Debug, Args)]
pub(in crate::cli) struct StatsArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    wanted: WantedArgs,
    /// How many rows a table has at most.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    top: usize,
}

/// What is counted of anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count {
    records: u64,
    permitted: u64,
    denied: u64,
    usd: Usd,
}

/// Counts by a name.
type Counts = BTreeMap<String, Count>;

#[derive(Debug, Default)]
struct Stats {
    total: Count,
    kinds: Counts,
    codes: Counts,
    workflows: Counts,
    endpoints: Counts,
    agents: Counts,
    over_time: Histogram,
    shadow: Flips,
}

/// What would be otherwise under the shadow bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flips {
    asked: u64,
    denies: u64,
    usd_denied: Usd,
    permits: u64,
    usd_permitted: Usd,
}

pub(super) async fn run(args: StatsArgs, output: Output) -> anyhow::Result<Exit> {
    let StatsArgs { config, wanted, top } = args;
    let request =
        v1::WatchRequest { from_seq: 1, until_now: true, filter: Some(wanted.filter()), keep_alive_secs: 0 };
    let mut audit = Audit::new(pages::connect(&config.config).await?);
    let mut stream = client::answer(audit.watch(request).await)?;
    let mut stats = Stats::default();
    while let Some(v1::WatchResponse { decision, seen_seq: _ }) = stream.message().await? {
        decision.iter().for_each(|decision| stats.add(decision));
    }
    if output.is_json() {
        output.json(&stats.as_json())?;
    } else {
        stats.show(top, output)?;
    }
    Ok(Exit::Done)
}

impl Count {
    /// A record that is told a thousand times over counts a thousand times.
    fn add(&mut self, decision: &v1::Decision) {
        let times = decision.repeats.max(1);
        self.records = self.records.saturating_add(times);
        match judged(decision) {
            "permit" => self.permitted = self.permitted.saturating_add(times),
            "deny" => self.denied = self.denied.saturating_add(times),
            _ => {}
        }
        // Only a payment that was permitted binds money; handing it out again, or previewing it, does not.
        if decision.kind == "payment" && decision.verdict == "permit" {
            let usd = Usd::parse(&decision.usd).unwrap_or_default();
            self.usd = self.usd.checked_add(usd).unwrap_or(self.usd);
        }
    }

    fn as_json(&self) -> Value {
        let Self { records, permitted, denied, usd } = self;
        json!({ "records": records, "permitted": permitted, "denied": denied, "usd_permitted": usd.to_string() })
    }
}

impl Flips {
    fn add(&mut self, usd: &str, shadow: &v1::Shadow) {
        let plus = |sum: Usd, usd: &str| sum.checked_add(Usd::parse(usd).unwrap_or_default()).unwrap_or(sum);
        self.asked = self.asked.saturating_add(1);
        match shadow.flip.as_str() {
            "denies" => {
                self.denies = self.denies.saturating_add(1);
                self.usd_denied = plus(self.usd_denied, usd);
            }
            "permits" => {
                self.permits = self.permits.saturating_add(1);
                self.usd_permitted = plus(self.usd_permitted, &shadow.usd);
            }
            _ => {}
        }
    }

    fn as_json(self) -> Value {
        let Self { asked, denies, usd_denied, permits, usd_permitted } = self;
        json!({
            "asked": asked, "denies": denies, "usd_denied": usd_denied.to_string(), "permits": permits,
            "usd_permitted": usd_permitted.to_string(),
        })
    }

    fn in_words(self) -> Option<String> {
        let Self { asked, denies, usd_denied, permits, usd_permitted } = self;
        let words = || {
            format!(
                "Under the shadow bundle, of {asked} answers {denies} would be denied instead (${usd_denied}) and {permits} permitted instead (${usd_permitted})"
            )
        };
        (asked > 0).then(words)
    }
}

impl Stats {
    fn add(&mut self, decision: &v1::Decision) {
        self.total.add(decision);
        decision.shadow.iter().for_each(|shadow| self.shadow.add(&decision.usd, shadow));
        self.over_time.add(decision.time_unix_ms, judged(decision), decision.repeats.max(1));
        let call = decision.endpoint.as_ref().map(|endpoint| place(&endpoint.url)).unwrap_or_default();
        let named = [
            (&mut self.kinds, &decision.kind),
            (&mut self.codes, &decision.code),
            (&mut self.workflows, &decision.workflow),
            (&mut self.endpoints, &call),
            (&mut self.agents, &decision.agent),
        ];
        for (counts, name) in named {
            if name.is_empty() {
                continue;
            }
            let known = counts.len() < NAMES_MAX || counts.contains_key(name);
            counts.entry(if known { name.clone() } else { OTHERS.to_owned() }).or_default().add(decision);
        }
    }

    fn as_json(&self) -> Value {
        let Self { total, kinds, codes, workflows, endpoints, agents, over_time, shadow } = self;
        let of = |counts: &Counts| -> serde_json::Map<String, Value> {
            counts.iter().map(|(name, count)| (name.clone(), count.as_json())).collect()
        };
        let (step_ms, bars) = over_time.bars();
        let bars: Vec<Value> = (bars.iter())
            .map(|bar| {
                json!({
                    "from_unix_ms": bar.from_unix_ms, "permitted": bar.permitted, "denied": bar.denied,
                    "others": bar.others,
                })
            })
            .collect();
        json!({
            "total": total.as_json(), "kinds": of(kinds), "codes": of(codes), "workflows": of(workflows),
            "endpoints": of(endpoints), "agents": of(agents),
            "over_time": { "step_ms": step_ms, "bars": bars }, "shadow": shadow.as_json(),
        })
    }

    fn show(&self, top: usize, output: Output) -> anyhow::Result<()> {
        let Self { total, kinds, codes, workflows, endpoints, agents, over_time, shadow } = self;
        let Count { records, permitted, denied, usd } = total;
        output
            .line(&format!("{records} records: {permitted} permitted, {denied} denied; ${usd} permitted"))?;
        shadow.in_words().iter().try_for_each(|words| output.line(words))?;
        let tables = [
            ("KIND", kinds),
            ("CODE", codes),
            ("WORKFLOW", workflows),
            ("ENDPOINT", endpoints),
            ("AGENT", agents),
        ];
        for (title, counts) in tables {
            if counts.is_empty() {
                continue;
            }
            output.line("")?;
            output.table(&[title, "RECORDS", "PERMITTED", "DENIED", "USD PERMITTED"], &rows(counts, top))?;
            let hidden = counts.len().saturating_sub(top);
            if hidden > 0 {
                output
                    .line(&output.paint(Tone::Faint, &format!("and {hidden} more; see them with --top")))?;
            }
        }
        let (step_ms, bars) = over_time.bars();
        let Some(most) = bars.iter().map(|bar| bar.total()).max() else { return Ok(()) };
        let unicode = takes_unicode(["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).ok()));
        output.line("")?;
        let title = format!("Records per {}, and how many were denied", moment::span(step_ms));
        output.line(&output.paint(Tone::Strong, &title))?;
        let widest = most.to_string().len();
        for bar in bars {
            let at = moment::of_secs(bar.from_unix_ms.div_euclid(1_000));
            let denied = match bar.denied {
                0 => String::new(),
                denied => output.paint(Tone::Bad, &format!("  {denied} denied")),
            };
            let drawn = draw(bar.total(), most, unicode);
            output.line(format!("{at}  {:>widest$}  {drawn}{denied}", bar.total()).trim_end())?;
        }
        Ok(())
    }
}

/// How a record was judged, or those that it counts.
fn judged(decision: &v1::Decision) -> &str {
    if is_denied(decision) { "deny" } else { &decision.verdict }
}

/// The most frequent, the first by name among equals.
fn rows(counts: &Counts, top: usize) -> Vec<Vec<String>> {
    let mut sorted: Vec<(&String, &Count)> = counts.iter().collect();
    sorted.sort_by_key(|(name, count)| (std::cmp::Reverse(count.records), *name));
    let row = |(name, count): (&String, &Count)| {
        let Count { records, permitted, denied, usd } = count;
        let usd = if *usd == Usd::default() { String::new() } else { format!("${usd}") };
        vec![plain(name), records.to_string(), permitted.to_string(), denied.to_string(), usd]
    };
    sorted.into_iter().take(top).map(row).collect()
}

/// Host and path of a URL: what differs from call to call is left out.
fn place(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.chars().take_while(|c| !matches!(c, '?' | '#')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(kind: &str, verdict: &str, usd: &str, repeats: u64) -> v1::Decision {
        let url = "https://api.example.com/v1/report?day=1#top".to_owned();
        v1::Decision {
            kind: kind.to_owned(),
            verdict: verdict.to_owned(),
            code: if verdict == "deny" { "NO_PERMIT".to_owned() } else { String::new() },
            usd: usd.to_owned(),
            agent: "crawler".to_owned(),
            endpoint: Some(v1::Endpoint { method: "GET".to_owned(), url }),
            repeats,
            ..Default::default()
        }
    }

    #[test]
    fn only_permitted_payments_are_money_and_a_flood_counts_as_often_as_it_came() {
        let mut stats = Stats::default();
        for decision in [
            decision("payment", "permit", "0.10", 0),
            decision("payment", "deny", "5", 0),
            decision("preview", "permit", "0.20", 0),
            decision("reissue", "permit", "0.10", 0),
            v1::Decision { code: "NO_PERMIT".to_owned(), ..decision("repeat", "", "", 57) },
            decision("report", "", "", 0),
        ] {
            stats.add(&decision);
        }
        let usd = Usd::parse("0.10").unwrap();
        assert_eq!(stats.total, Count { records: 62, permitted: 3, denied: 58, usd });
        assert_eq!(stats.codes["NO_PERMIT"].denied, 58);
        assert_eq!(stats.kinds["repeat"].records, 57);
        assert_eq!(stats.endpoints.keys().collect::<Vec<_>>(), ["api.example.com/v1/report"]);
        assert_eq!(rows(&stats.kinds, 2)[0][0], "repeat");
        assert_eq!(rows(&stats.kinds, 2).len(), 2);
    }

    #[test]
    fn what_the_shadow_would_change_is_counted_in_answers_and_money() {
        let mut stats = Stats::default();
        assert_eq!(stats.shadow.in_words(), None);
        for (verdict, usd, flip, shadow_usd) in [
            ("permit", "0.10", "none", "0.10"),
            ("permit", "0.20", "denies", ""),
            ("permit", "0.30", "denies", ""),
            ("deny", "5", "permits", "4"),
            ("deny", "", "none", ""),
        ] {
            let shadow =
                v1::Shadow { flip: flip.to_owned(), usd: shadow_usd.to_owned(), ..Default::default() };
            stats.add(&v1::Decision { shadow: Some(shadow), ..decision("payment", verdict, usd, 0) });
        }
        assert_eq!(
            stats.shadow.in_words().unwrap(),
            "Under the shadow bundle, of 5 answers 2 would be denied instead ($0.50) and 1 permitted instead ($4.00)"
        );
        assert_eq!(stats.as_json()["shadow"]["usd_denied"], "0.50");
    }

    #[test]
    fn too_many_names_are_counted_together() {
        let mut stats = Stats::default();
        for n in 0..NAMES_MAX + 5 {
            stats.add(&v1::Decision { agent: format!("agent-{n}"), ..Default::default() });
        }
        assert_eq!((stats.agents.len(), stats.agents[OTHERS].records), (NAMES_MAX + 1, 5));
    }
}

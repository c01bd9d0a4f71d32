//! The whole story of a record, in words.

mod after;
mod remedy;
mod told;

use clap::Args;
use pursekeeper_api::{Channel, Governance, v1};
use serde_json::{Map, Value, json};

use super::pages::{self, Pages};
use super::{show, wanted};
use crate::cli::{ConfigArg, Exit, client, moment};
use crate::output::{Output, Tone};
use crate::record::plain;

/// Most records that are told of what happened after.
const AFTER_LEN_MAX: u64 = 100;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// The record: its position, or its decision id.
    #[arg(value_parser = wanted::seq)]
    seq: u64,
    #[command(flatten)]
    config: ConfigArg,
}

/// What is known about a record.
#[derive(Debug, Default)]
struct Known {
    decision: v1::Decision,
    /// The canonical record.
    record: Map<String, Value>,
    /// The permit this is about, when it is about one.
    original: Option<v1::Decision>,
    /// Every other record about the same permit, in order.
    story: Vec<v1::Decision>,
    /// Whether there are more of those than are told.
    cut_off: bool,
    /// What may be spent now, for what was denied.
    budgets: Vec<v1::Budget>,
    /// The bundle in force now.
    bundle_now: String,
    /// Seconds since the Unix epoch.
    now: u64,
}

/// One part of a story.
#[derive(Debug, PartialEq, Eq)]
struct Section {
    title: &'static str,
    lines: Vec<String>,
}

impl Section {
    fn of(title: &'static str, lines: Vec<String>) -> Option<Self> {
        (!lines.is_empty()).then_some(Self { title, lines })
    }
}

pub(super) async fn run(args: ExplainArgs, output: Output) -> anyhow::Result<Exit> {
    let channel = pages::connect(&args.config.config).await?;
    let known = gather(channel, args.seq).await?;
    let sections = tell(&known);
    if output.is_json() {
        output.json(&as_json(&known, &sections))?;
        return Ok(Exit::Done);
    }
    output.line(&output.paint(Tone::Strong, &headline(&known.decision)))?;
    let v1::Decision { decision_id, time_unix_ms, .. } = &known.decision;
    output.line(&format!("  decision {decision_id}, {}", moment::of_millis(*time_unix_ms)))?;
    for Section { title, lines } in &sections {
        output.line("")?;
        output.line(&output.paint(Tone::Strong, title))?;
        lines.iter().try_for_each(|line| output.line(&format!("  {}", plain(line))))?;
    }
    Ok(Exit::Done)
}

async fn gather(channel: Channel, seq: u64) -> anyhow::Result<Known> {
    let decision = pages::record(channel.clone(), seq).await?;
    let record = show::members(&decision)?;
    let mut governance = Governance::new(channel.clone());
    let status = client::answer(governance.status(v1::StatusRequest {}).await)?;
    let budgets = match decision.verdict.as_str() {
        "deny" => client::answer(governance.list_budgets(v1::ListBudgetsRequest {}).await)?.budgets,
        _ => Vec::new(),
    };
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    let mut known = Known { record, budgets, bundle_now: status.bundle_digest, now, ..Known::default() };
    let root = if decision.original_seq > 0 { decision.original_seq } else { seq };
    if root != seq {
        // What it is about may be in an archive by now; that is no reason to tell nothing.
        known.original = pages::record(channel.clone(), root).await.ok();
    }
    let filter = v1::AuditFilter { about_seq: root, ..Default::default() };
    let mut story = Pages::new(channel, filter, false).rest(AFTER_LEN_MAX.saturating_add(3)).await?;
    story.retain(|other| other.seq != root && other.seq != seq);
    known.cut_off = story.len() as u64 > AFTER_LEN_MAX;
    story.truncate(usize::try_from(AFTER_LEN_MAX).unwrap_or(usize::MAX));
    known.story = story;
    Ok(Known { decision, ..known })
}

/// What happened, in one sentence.
fn headline(decision: &v1::Decision) -> String {
    let v1::Decision { seq, kind, verdict, code, usd, agent, repeats, .. } = decision;
    let money = if usd.is_empty() { String::new() } else { format!(" over ${usd}") };
    let by = if agent.is_empty() { String::new() } else { format!(" of agent `{agent}`") };
    let noun = match kind.as_str() {
        "genesis" => "the journal begins".to_owned(),
        "payment" => format!("a payment{money}{by}"),
        "preview" => format!("a preview of a payment{money}{by}"),
        "reissue" => format!("a signature{by}, handed out again"),
        "lifecycle" => "an operator's act".to_owned(),
        "report" => format!("a report{by}"),
        "evidence" => "evidence from a chain".to_owned(),
        "sign-in" => format!("a sign-in{by}"),
        "transition" => "what followed from the bundle, the time and the records alone".to_owned(),
        "signature" => "signatures that were made".to_owned(),
        "unauthenticated" => "a call of somebody who is nobody here".to_owned(),
        "repeat" => format!("the same again{by}"),
        "reload" => "what changed on disk was read again".to_owned(),
        other => format!("a record of kind `{other}`"),
    };
    let times = if *repeats > 0 { format!(", {repeats} times") } else { String::new() };
    let verdict = match verdict.as_str() {
        "permit" => ": PERMITTED".to_owned(),
        "deny" => format!(": DENIED, {code}"),
        _ => String::new(),
    };
    format!("Record {seq}: {noun}{times}{verdict}")
}

/// The story, part by part.
fn tell(known: &Known) -> Vec<Section> {
    let Known { decision, record, .. } = known;
    let denied = decision.verdict == "deny";
    let signed = if denied { "What would have been signed" } else { "What was judged and signed" };
    let parts = [
        Section::of("What happened", told::happened(decision, record)),
        Section::of("Who asked for what", told::asked(decision, record)),
        Section::of("What the seller offered", told::offers(decision, record)),
        Section::of(signed, told::terms(record)),
        Section::of("Which policies applied", told::policies(known)),
        Section::of("The arithmetic", told::arithmetic(decision)),
        Section::of("What would have permitted it", remedy::remedy(known)),
        Section::of("What the shadow bundle would have answered", told::shadow(decision)),
        Section::of("What it is about", after::about(known)),
        Section::of("What happened after", after::after(known)),
        Section::of("Everything else it says", told::rest(record)),
    ];
    parts.into_iter().flatten().collect()
}

fn as_json(known: &Known, sections: &[Section]) -> Value {
    let Known { decision, record, original, story, cut_off, budgets: _, bundle_now: _, now: _ } = known;
    let brief = |other: &v1::Decision| {
        json!({
            "seq": other.seq, "decision_id": other.decision_id, "kind": other.kind, "time_unix_ms": other.time_unix_ms,
            "verdict": other.verdict, "message": other.message,
        })
    };
    let ceilings: Vec<Value> = (decision.ceilings.iter())
        .map(|v1::CeilingUse { scope, window, unit, limit, before, after }| {
            json!({ "scope": scope, "window": window, "unit": unit, "limit": limit, "before": before, "after": after })
        })
        .collect();
    let told: Vec<Value> =
        sections.iter().map(|Section { title, lines }| json!({ "title": title, "lines": lines })).collect();
    let would_permit: Vec<String> = remedy::remedy(known);
    json!({
        "seq": decision.seq, "decision_id": decision.decision_id, "kind": decision.kind, "verdict": decision.verdict,
        "code": decision.code, "headline": headline(decision), "told": told, "would_permit": would_permit,
        "ceilings": ceilings, "about": original.as_ref().map(brief),
        "story": story.iter().map(brief).collect::<Vec<_>>(), "story_cut_off": cut_off, "record": record,
    })
}

/// A member of a record, by its path.
fn at<'v>(record: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = record.get(first)?;
    match rest {
        None => Some(value),
        Some(rest) => at(value.as_object()?, rest),
    }
}

/// A member that is a text, or empty.
fn text<'v>(record: &'v Map<String, Value>, path: &str) -> &'v str {
    at(record, path).and_then(Value::as_str).unwrap_or_default()
}

/// A member that is a number.
fn number(record: &Map<String, Value>, path: &str) -> Option<u64> {
    at(record, path).and_then(Value::as_u64)
}

#[cfg(test)]
mod tests;

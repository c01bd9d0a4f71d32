//! What other records say about the same permit.

use pursekeeper_api::v1;

use super::{Known, number};
use crate::cli::moment;
use crate::record::signature_of;

/// The record that this one is about.
pub(super) fn about(known: &Known) -> Vec<String> {
    let Known { decision, original, story, .. } = known;
    if decision.original_seq == 0 {
        return Vec::new();
    }
    let mut lines = match original {
        Some(original) => vec![permit(original)],
        None => vec![format!("record {}, which is not in this journal any more", decision.original_seq)],
    };
    lines.extend(
        story.iter().filter(|other| other.seq < decision.seq).map(|other| line(other, root(decision))),
    );
    lines
}

/// What happened after, or what still can.
pub(super) fn after(known: &Known) -> Vec<String> {
    let Known { decision, story, cut_off, .. } = known;
    let mut lines: Vec<String> = story
        .iter()
        .filter(|other| other.seq > decision.seq)
        .map(|other| line(other, root(decision)))
        .collect();
    if *cut_off {
        lines.push(format!(
            "and more: `pursekeeper audit query` finds all that names record {}",
            root(decision)
        ));
    }
    lines.extend(state(known));
    lines
}

fn root(decision: &v1::Decision) -> u64 {
    if decision.original_seq > 0 { decision.original_seq } else { decision.seq }
}

/// What became of the money of a permitted payment.
fn state(known: &Known) -> Option<String> {
    let Known { decision, record, story, now, .. } = known;
    if decision.kind != "payment" || decision.verdict != "permit" {
        return None;
    }
    let resolved = story.iter().find(|other| {
        other.kind == "evidence"
            || (other.kind == "lifecycle" && other.verdict == "permit" && released(other))
    });
    if let Some(by) = resolved {
        let state = if by.usd.is_empty() {
            "its money is free again".to_owned()
        } else {
            format!("it cost ${}", by.usd)
        };
        return Some(format!("So, by record {}, {state}.", by.seq));
    }
    let held_until = number(record, "held_until")?;
    let at = moment::of_secs(held_until);
    Some(if *now <= held_until {
        format!("No chain has said yet what became of it: it can be settled until {at}.")
    } else {
        format!(
            "No chain has said what became of it, and since {at} it is dead by the clock: see `pursekeeper hold list`."
        )
    })
}

/// Whether an act freed the money, by what the record says itself.
fn released(act: &v1::Decision) -> bool {
    let record: Option<serde_json::Value> = serde_json::from_slice(&act.canonical).ok();
    record.is_some_and(|record| record.pointer("/act/verb").is_some_and(|verb| verb == "release"))
}

fn permit(original: &v1::Decision) -> String {
    let v1::Decision { seq, time_unix_ms, kind, agent, usd, endpoint, .. } = original;
    let money = if usd.is_empty() { String::new() } else { format!(" over ${usd}") };
    let call = endpoint.as_ref().map(|call| format!(" for {} {}", call.method, call.url)).unwrap_or_default();
    format!("record {seq}, {}: the {kind}{money} of agent `{agent}`{call}", moment::of_millis(*time_unix_ms))
}

/// One of the records of a story.
fn line(other: &v1::Decision, root: u64) -> String {
    let v1::Decision { seq, time_unix_ms, kind, verdict, code, message, .. } = other;
    let judged = match verdict.as_str() {
        "deny" => format!(" denied, {code}"),
        _ => String::new(),
    };
    // One record has the hashes of many signatures.
    let message = match signature_of(other, root) {
        Some(hash) => format!(": signed, SHA-256 of the signature {hash}"),
        None if message.is_empty() => String::new(),
        None => format!(": {message}"),
    };
    format!("record {seq}, {}, {kind}{judged}{message}", moment::of_millis(*time_unix_ms))
}

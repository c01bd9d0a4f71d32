//! A record laid out for a person: every member, whatever its kind.

use clap::Args;
use pursekeeper_api::v1;
use serde_json::{Map, Value, json};

use super::{pages, wanted};
use crate::cli::{ConfigArg, Exit, moment};
use crate::output::{Output, Tone};
use crate::record::plain;

/// How much deeper what is inside stands, in characters.
const INDENT: usize = 2;

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// The record: its position, or its decision id.
    #[arg(value_parser = wanted::seq)]
    seq: u64,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) async fn run(args: ShowArgs, output: Output) -> anyhow::Result<Exit> {
    let decision = pages::record(pages::connect(&args.config.config).await?, args.seq).await?;
    let members = members(&decision)?;
    if output.is_json() {
        output.json(&json!({
            "seq": decision.seq, "decision_id": decision.decision_id, "leaf_hash": decision.leaf_hash,
            "chain_hash": decision.chain_hash, "record": members,
        }))?;
        return Ok(Exit::Done);
    }
    let outside = [
        ("decision_id", &decision.decision_id),
        ("leaf_hash", &decision.leaf_hash),
        ("chain_hash", &decision.chain_hash),
    ];
    let outside: Map<String, Value> =
        outside.into_iter().map(|(name, text)| (name.to_owned(), json!(text))).collect();
    output.line(&output.paint(Tone::Strong, &format!("record {}", decision.seq)))?;
    let mut lines = Vec::new();
    lay_out(&outside, 0, &mut lines);
    lines.push(String::new());
    lay_out(&members, 0, &mut lines);
    lines.iter().try_for_each(|line| output.line(line))?;
    Ok(Exit::Done)
}

/// The members of the canonical record.
pub(super) fn members(decision: &v1::Decision) -> anyhow::Result<Map<String, Value>> {
    serde_json::from_slice(&decision.canonical).map_err(|error| {
        anyhow::anyhow!("record {} cannot be read: {error}: run `pursekeeper audit verify`", decision.seq)
    })
}

/// Members, one a line, what is inside others below them.
pub(super) fn lay_out(members: &Map<String, Value>, depth: usize, lines: &mut Vec<String>) {
    let width = members.keys().map(String::len).max().unwrap_or(0);
    let indent = " ".repeat(depth.saturating_mul(INDENT));
    for (name, value) in members {
        let value = unfolded(name, value);
        match scalar(name, &value) {
            Some(text) => {
                lines.push(format!("{indent}{:<width$}  {text}", plain(name)).trim_end().to_owned())
            }
            None => {
                lines.push(format!("{indent}{}", plain(name)));
                inside(name, &value, depth.saturating_add(1), lines);
            }
        }
    }
}

fn inside(name: &str, value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = " ".repeat(depth.saturating_mul(INDENT));
    match value {
        Value::Object(members) => lay_out(members, depth, lines),
        Value::Array(items) => {
            for item in items {
                match scalar(name, item) {
                    Some(text) => lines.push(format!("{indent}- {text}")),
                    None => {
                        let from = lines.len();
                        inside(name, item, depth.saturating_add(1), lines);
                        // The first line of an item has the dash.
                        if let Some(first) = lines.get_mut(from) {
                            *first = format!("{indent}- {}", first.trim_start());
                        }
                    }
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            lines.push(format!("{indent}{}", scalar(name, value).unwrap_or_default()));
        }
    }
}

/// What the seller wrote is kept as a string that holds JSON.
fn unfolded(name: &str, value: &Value) -> Value {
    let text = value.as_str().filter(|_| matches!(name, "accepted" | "resource" | "extensions"));
    let read = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    read.filter(|read| read.is_object() || read.is_array()).unwrap_or_else(|| value.clone())
}

/// What fits on a line; nothing for what has members.
fn scalar(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("null".to_owned()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Number(number) => {
            let known = number.as_u64().and_then(|number| time(name, number));
            Some(known.map_or_else(|| number.to_string(), |time| format!("{number} ({time})")))
        }
        Value::String(text) => Some(plain(text)),
        Value::Array(items) => items.is_empty().then(|| "none".to_owned()),
        Value::Object(members) => members.is_empty().then(|| "none".to_owned()),
    }
}

/// A number that is a time, in words.
fn time(name: &str, number: u64) -> Option<String> {
    match name {
        "unix_ms" | "first_ms" | "last_ms" => Some(moment::of_millis(number)),
        "valid_after" | "valid_before" | "held_until" | "counted_until" => Some(moment::of_secs(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_below_what_they_belong_to() {
        let record = json!({
            "asked": { "caller": { "agent": "crawler", "source": { "kind": "unix-peer", "uid": 1001 } }, "labels": {} },
            "completed": [3, 4],
            "held_until": 1_795_000_000,
            "intent": { "accepted": r#"{"scheme":"exact"}"#, "nonce": "00" },
            "offers": [{ "index": 0 }, { "denial": { "code": "NO_PERMIT", "message": "no\nway" }, "index": 1 }],
        });
        let mut lines = Vec::new();
        lay_out(record.as_object().unwrap(), 0, &mut lines);
        let expected = "\
asked
  caller
    agent   crawler
    source
      kind  unix-peer
      uid   1001
  labels  none
completed
  - 3
  - 4
held_until  1795000000 (2026-11-18T11:06:40Z)
intent
  accepted
    scheme  exact
  nonce     00
offers
  - index  0
  - denial
      code     NO_PERMIT
      message  no\\u{a}way
    index   1";
        assert_eq!(lines.join("\n"), expected);
    }
}

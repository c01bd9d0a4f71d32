//! What was tried and what came of it.

use std::fmt::Write as _;

use pursekeeper_tests::harness::{self, Row};
use pursekeeper_tests::overspend::{Extent, Tally, dollars};
use serde_json::{Value, json};

/// For people.
pub(crate) fn table(rows: &[Row<Tally>]) -> String {
    let mut text = String::new();
    let done = rows.iter().map(|row| row.finding.done.chars().count()).max().unwrap_or(0).max(4);
    let mut put = |cells: [&str; 7]| {
        let [name, what, decisions, signed, overspend, ready, verdict] = cells;
        writeln!(
            text,
            "{name:<20} {what:<done$} {decisions:>9} {signed:>7} {overspend:>13} {ready:>11}  {verdict}"
        )
        .unwrap();
    };
    put(["scenario", "done", "decisions", "signed", "overspend USD", "worst start", "verdict"]);
    for row in rows {
        let Tally { done, decisions, released, overspend, faults: _, ready_worst } = &row.finding;
        let (decisions, released) = (decisions.to_string(), released.to_string());
        let ready = format!("{ready_worst:.0?}");
        put([row.name, done, &decisions, &released, &dollars(*overspend), &ready, row.verdict()]);
    }
    text
}

/// For programs.
pub(crate) fn json(rows: &[Row<Tally>], extent: Extent) -> Value {
    let scenario = |row: &Row<Tally>| {
        let Tally { done, decisions, released, overspend, faults, ready_worst } = &row.finding;
        json!({
            "scenario": row.name,
            "done": done,
            "decisions": decisions,
            "signed": released,
            "overspend_usd": dollars(*overspend),
            "ready_worst_ms": u64::try_from(ready_worst.as_millis()).unwrap(),
            "took_secs": row.took.as_secs(),
            "passed": row.finding.passed(),
            "faults": faults,
        })
    };
    json!({
        "passed": rows.iter().all(|row| row.finding.passed()),
        "sample_seed": harness::seed(extent),
        "scenarios": rows.iter().map(scenario).collect::<Vec<_>>(),
    })
}

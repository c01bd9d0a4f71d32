//! What was tried and what came of it.

use std::fmt::Write as _;

use pursekeeper_tests::harness::{self, Row};
use pursekeeper_tests::overspend::Extent;
use serde_json::{Value, json};

use crate::found::{Found, Outcomes};

/// For people.
pub(crate) fn table(rows: &[Row<Found>]) -> String {
    let mut text = String::new();
    let done = rows.iter().map(|row| row.finding.tally.done.chars().count()).max().unwrap_or(0).max(4);
    let mut put = |[name, what, records, secs, verdict]: [&str; 5]| {
        writeln!(text, "{name:<14} {what:<done$} {records:>9} {secs:>7}  {verdict}").unwrap();
    };
    put(["scenario", "done", "records", "seconds", "verdict"]);
    for row in rows {
        let tally = &row.finding.tally;
        let (records, secs) = (tally.decisions.to_string(), row.took.as_secs().to_string());
        put([row.name, &tally.done, &records, &secs, row.verdict()]);
    }
    for row in rows {
        for (what, value) in &row.finding.facts {
            writeln!(text, "{}: {what}: {value}", row.name).unwrap();
        }
        for (attack, outcomes) in &row.finding.outcomes.0 {
            let told: Vec<String> =
                outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            writeln!(text, "{}: {attack}: {}", row.name, told.join(", ")).unwrap();
        }
    }
    text
}

/// For programs.
pub(crate) fn json(rows: &[Row<Found>], extent: Extent) -> Value {
    let scenario = |row: &Row<Found>| {
        let Found { tally, facts, outcomes: Outcomes(outcomes) } = &row.finding;
        let facts: Value = facts.iter().map(|(what, value)| ((*what).to_owned(), json!(value))).collect();
        json!({
            "scenario": row.name,
            "done": tally.done,
            "records": tally.decisions,
            "facts": facts,
            "outcomes": outcomes,
            "took_secs": row.took.as_secs(),
            "passed": tally.passed(),
            "faults": tally.faults,
        })
    };
    json!({
        "passed": rows.iter().all(|row| row.finding.tally.passed()),
        "sample_seed": harness::seed(extent),
        "scenarios": rows.iter().map(scenario).collect::<Vec<_>>(),
    })
}

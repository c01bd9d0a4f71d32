//! What is told of scenarios that find nothing but faults.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Row, seed};
use crate::overspend::{Extent, Tally};

/// For people.
#[must_use]
pub fn table(rows: &[Row<Tally>]) -> String {
    let mut text = String::new();
    for row in rows {
        let Tally { done, decisions, released, .. } = &row.finding;
        let verdict = row.verdict();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {done}; {decisions} records, {released} signed: {verdict}", row.name);
    }
    text
}

/// For programs.
#[must_use]
pub fn json(rows: &[Row<Tally>], extent: Extent) -> Value {
    let scenario = |row: &Row<Tally>| {
        let Tally { done, decisions, released, overspend: _, faults, ready_worst: _ } = &row.finding;
        json!({
            "scenario": row.name,
            "done": done,
            "records": decisions,
            "signed": released,
            "took_secs": row.took.as_secs(),
            "passed": row.finding.passed(),
            "faults": faults,
        })
    };
    json!({
        "passed": rows.iter().all(|row| row.finding.passed()),
        "sample_seed": seed(extent),
        "scenarios": rows.iter().map(scenario).collect::<Vec<_>>(),
    })
}

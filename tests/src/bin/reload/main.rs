//! Changes bundles under load and looks for one that was mixed or half in force. Run by `tests/reload/run`.

use std::fmt::Write as _;
use std::process::ExitCode;

use pursekeeper_tests::harness::{Harness, Row, Scenario, seed};
use pursekeeper_tests::overspend::{Extent, Tally};
use pursekeeper_tests::reloads;
use serde_json::{Value, json};

/// All of them.
const ALL: [Scenario<Tally>; 1] = [Scenario { name: "swaps-under-load", run: reloads::swaps }];

fn main() -> ExitCode {
    let about = "Changes bundles under load and looks for one that was mixed or half in force";
    Harness { name: "reload", about, scenarios: &ALL, table, json }.run()
}

/// For people.
fn table(rows: &[Row<Tally>]) -> String {
    let mut text = String::new();
    for row in rows {
        let Tally { done, decisions, released, .. } = &row.finding;
        let verdict = row.verdict();
        writeln!(text, "{}: {done}; {decisions} records, {released} permits: {verdict}", row.name).unwrap();
    }
    text
}

/// For programs.
fn json(rows: &[Row<Tally>], extent: Extent) -> Value {
    let scenario = |row: &Row<Tally>| {
        let Tally { done, decisions, released, overspend: _, faults, ready_worst: _ } = &row.finding;
        json!({
            "scenario": row.name,
            "done": done,
            "records": decisions,
            "permits": released,
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

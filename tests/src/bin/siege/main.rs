//! Surrounds the real binary: a pod of containers, stops under load, floods of HTTP/2, and a look into its memory. Run by
//! `tests/siege/run`.

mod flood;
mod pod;
mod secrets;
mod stops;

use std::fmt::Write as _;
use std::process::ExitCode;

use pursekeeper_tests::harness::{Harness, Row, Scenario, seed};
use pursekeeper_tests::overspend::{Extent, Tally};
use serde_json::{Value, json};

/// All of them.
const ALL: [Scenario<Tally>; 4] = [
    Scenario { name: "pod", run: pod::run },
    Scenario { name: "stops", run: stops::run },
    Scenario { name: "secrets", run: secrets::run },
    Scenario { name: "floods", run: flood::run },
];

fn main() -> ExitCode {
    let about = "Surrounds the real binary: containers, stops, floods, and a look into its memory";
    Harness { name: "siege", about, scenarios: &ALL, table, json }.run()
}

/// For people.
fn table(rows: &[Row<Tally>]) -> String {
    let mut text = String::new();
    for row in rows {
        writeln!(text, "{}: {}: {}", row.name, row.finding.done, row.verdict()).unwrap();
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

//! What was tried and what came of it.

use std::fmt::Write as _;
use std::time::Duration;

use pursekeeper_tests::overspend::{Extent, Tally, dollars};
use serde_json::{Value, json};

/// One scenario.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) tally: Tally,
    pub(crate) took: Duration,
}

impl Row {
    fn verdict(&self) -> &'static str {
        if self.tally.passed() { "ok" } else { "FAILED" }
    }
}

/// What is said as soon as a scenario is done, with what was wrong.
pub(crate) fn line(row: &Row) -> String {
    let faults: String = row.tally.faults.iter().map(|fault| format!("\n    {fault}")).collect();
    format!("{:<20} {:<6} {:>6.1?}  {}{faults}", row.name, row.verdict(), row.took, row.tally.done)
}

/// For people.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let done = rows.iter().map(|row| row.tally.done.chars().count()).max().unwrap_or(0).max(4);
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
        let Tally { done, decisions, released, overspend, faults: _, ready_worst } = &row.tally;
        let (decisions, released) = (decisions.to_string(), released.to_string());
        let ready = format!("{ready_worst:.0?}");
        put([row.name, done, &decisions, &released, &dollars(*overspend), &ready, row.verdict()]);
    }
    text
}

/// For programs.
pub(crate) fn json(rows: &[Row], extent: Extent) -> Value {
    let scenario = |row: &Row| {
        let Tally { done, decisions, released, overspend, faults, ready_worst } = &row.tally;
        json!({
            "scenario": row.name,
            "done": done,
            "decisions": decisions,
            "signed": released,
            "overspend_usd": dollars(*overspend),
            "ready_worst_ms": u64::try_from(ready_worst.as_millis()).unwrap(),
            "took_secs": row.took.as_secs(),
            "passed": row.tally.passed(),
            "faults": faults,
        })
    };
    let seed = match extent {
        Extent::Everything => None,
        Extent::Sample { seed } => Some(seed),
    };
    json!({
        "passed": rows.iter().all(|row| row.tally.passed()),
        "sample_seed": seed,
        "scenarios": rows.iter().map(scenario).collect::<Vec<_>>(),
    })
}

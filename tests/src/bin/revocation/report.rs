//! What was tried and what came of it.

use std::fmt::Write as _;

use pursekeeper_tests::harness::{self, Row};
use pursekeeper_tests::overspend::Extent;
use serde_json::{Value, json};

use crate::finding::Found;

/// For people.
pub(crate) fn table(rows: &[Row<Found>]) -> String {
    let mut text = String::new();
    let done = rows.iter().map(|row| row.finding.tally.done.chars().count()).max().unwrap_or(0).max(4);
    let mut put = |cells: [&str; 7]| {
        let [name, what, decisions, signed, late, ready, verdict] = cells;
        writeln!(
            text,
            "{name:<20} {what:<done$} {decisions:>9} {signed:>7} {late:>5} {ready:>11}  {verdict}"
        )
        .unwrap();
    };
    put(["scenario", "done", "decisions", "signed", "late", "worst start", "verdict"]);
    for row in rows {
        let tally = &row.finding.tally;
        let (decisions, released) = (tally.decisions.to_string(), tally.released.to_string());
        let (late, ready) = (row.finding.late.to_string(), format!("{:.0?}", tally.ready_worst));
        put([row.name, &tally.done, &decisions, &released, &late, &ready, row.verdict()]);
    }
    for row in rows {
        for (what, times) in row.finding.percentiles().as_object().into_iter().flatten() {
            let [count, p50, p99, max] = ["count", "p50", "p99", "max"].map(|key| times[key].to_string());
            writeln!(text, "{}: {what}: {count} times, p50 {p50} µs, p99 {p99} µs, max {max} µs", row.name)
                .unwrap();
        }
        for (verb, [kills, points]) in &row.finding.kills {
            writeln!(text, "{}: {verb}: {kills} kills at {points} points", row.name).unwrap();
        }
    }
    text
}

/// For programs.
pub(crate) fn json(rows: &[Row<Found>], extent: Extent) -> Value {
    let scenario = |row: &Row<Found>| {
        let Found { tally, late, stops, latencies: _, kills } = &row.finding;
        let kills = kills
            .iter()
            .map(|(verb, [kills, points])| (*verb, json!({ "kills": kills, "points": points })))
            .collect::<Value>();
        json!({
            "scenario": row.name,
            "done": tally.done,
            "decisions": tally.decisions,
            "signed": tally.released,
            "stops": stops,
            "late": late,
            "latency_micros": row.finding.percentiles(),
            "kill_points": kills,
            "ready_worst_ms": u64::try_from(tally.ready_worst.as_millis()).unwrap(),
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

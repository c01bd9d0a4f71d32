//! Tries to make Pursekeeper overspend, by crashing and confusing it. Run by `tests/overspend/run`.

mod clock;
mod crash;
mod faults;
mod full;
mod kills;
mod moments;
mod report;
mod scenarios;
mod script;

use std::process::ExitCode;

use pursekeeper_tests::harness::Harness;

fn main() -> ExitCode {
    let about = "Tries to make Pursekeeper overspend, by crashing and confusing it";
    let (table, json) = (report::table, report::json);
    Harness { name: "overspend", about, scenarios: &scenarios::ALL, table, json }.run()
}

//! Surrounds the real binary: a pod of containers, stops under load, floods of HTTP/2, and a look into its memory. Run by
//! `tests/siege/run`.

mod flood;
mod pod;
mod secrets;
mod stops;

use std::process::ExitCode;

use pursekeeper_tests::harness::{Harness, Scenario, told};
use pursekeeper_tests::overspend::Tally;

/// All of them.
const ALL: [Scenario<Tally>; 4] = [
    Scenario { name: "pod", run: pod::run },
    Scenario { name: "stops", run: stops::run },
    Scenario { name: "secrets", run: secrets::run },
    Scenario { name: "floods", run: flood::run },
];

fn main() -> ExitCode {
    let about = "Surrounds the real binary: containers, stops, floods, and a look into its memory";
    Harness { name: "siege", about, scenarios: &ALL, table: told::table, json: told::json }.run()
}

//! Changes bundles under load and looks for one that was mixed or half in force. Run by `tests/reload/run`.

use std::process::ExitCode;

use pursekeeper_tests::harness::{Harness, Scenario, told};
use pursekeeper_tests::overspend::Tally;
use pursekeeper_tests::reloads;

/// All of them.
const ALL: [Scenario<Tally>; 1] = [Scenario { name: "swaps-under-load", run: reloads::swaps }];

fn main() -> ExitCode {
    let about = "Changes bundles under load and looks for one that was mixed or half in force";
    Harness { name: "reload", about, scenarios: &ALL, table: told::table, json: told::json }.run()
}

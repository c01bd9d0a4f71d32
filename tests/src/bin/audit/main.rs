//! Tries to change the record of what happened without anybody noticing, to lose some of it on its way to those who
//! follow it, and to fill the disk by asking. Run by `tests/audit/run`.

mod child;
mod content;
mod fill;
mod flips;
mod floods;
mod found;
mod house;
mod load;
mod report;
mod sinks;
mod speed;
mod stranger;
mod tamper;
mod verdict;
mod watch;

use std::process::ExitCode;

use pursekeeper_tests::harness::{Harness, Scenario};

use crate::found::Found;

/// All of them. A further one is a function in a module of its own, and a line in this list.
const ALL: [Scenario<Found>; 6] = [
    Scenario { name: "tamper", run: tamper::run },
    Scenario { name: "bitflips", run: flips::run },
    Scenario { name: "watch", run: watch::run },
    Scenario { name: "sinks", run: sinks::run },
    Scenario { name: "floods", run: floods::run },
    Scenario { name: "verify-speed", run: speed::run },
];

fn main() -> ExitCode {
    // This program, as somebody else.
    if let Some(told) = stranger::told() {
        return stranger::ask(&told);
    }
    let about =
        "Tries to change the record of what happened, to lose some of it, and to fill the disk by asking";
    let (table, json) = (report::table, report::json);
    Harness { name: "audit", about, scenarios: &ALL, table, json }.run()
}

//! Tries to get a signature out of what was stopped, and to lose or keep a key by crashing. Run by `tests/revocation/run`.

mod crowd;
mod disk;
mod finding;
mod keys;
mod kill;
mod load;
mod operator;
mod races;
mod records;
mod report;
mod stage;
mod verbs;
mod voids;

use std::process::ExitCode;

use pursekeeper_tests::harness::{Harness, Scenario};

use crate::finding::Found;

/// All of them. A further one is a function in a module of its own, and a line in this list.
const ALL: [Scenario<Found>; 4] = [
    Scenario { name: "revoke-under-load", run: load::run },
    Scenario { name: "kill-points", run: kill::run },
    Scenario { name: "full-disk-stop", run: disk::run },
    Scenario { name: "operator-races", run: races::run },
];

fn main() -> ExitCode {
    let about = "Tries to get a signature out of what was stopped, and to lose or keep a key by crashing";
    let (table, json) = (report::table, report::json);
    Harness { name: "revocation", about, scenarios: &ALL, table, json }.run()
}

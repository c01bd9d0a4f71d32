//! What there is to try, in the order in which it is tried.

use indicatif::ProgressBar;
use pursekeeper_tests::harness::Scenario;
use pursekeeper_tests::overspend::{
    self, Extent, Race, Tally, edited_limit, lost_journal, lost_log, paid_again, relabelled_service,
    released_holds, renamed_workflow, restart, second_replica, swapped_journal,
};

use crate::{clock, crash, faults, full, kills};

/// All of them. A further one is a function here or in a module of its own, and a line in this list; one that needs
/// nothing but the binary belongs into the tests library, so that `tests/overspend.rs` runs it too.
pub(crate) const ALL: [Scenario<Tally>; 16] = [
    Scenario { name: "race", run: race },
    Scenario { name: "restart", run: |_, _| restart() },
    Scenario { name: "second-replica", run: |_, _| second_replica() },
    Scenario { name: "lost-journal", run: |_, _| lost_journal() },
    Scenario { name: "lost-log", run: |_, _| lost_log() },
    Scenario { name: "swapped-journal", run: |_, _| swapped_journal() },
    Scenario { name: "402-after-payment", run: |_, _| paid_again() },
    Scenario { name: "edited-limit", run: |_, _| edited_limit() },
    Scenario { name: "relabelled-service", run: |_, _| relabelled_service() },
    Scenario { name: "renamed-workflow", run: |_, _| renamed_workflow() },
    Scenario { name: "released-holds", run: |_, _| released_holds() },
    Scenario { name: "clock", run: |_, _| clock::run() },
    Scenario { name: "full-disk", run: full::run },
    Scenario { name: "kills-under-load", run: kills::run },
    Scenario { name: "faults", run: faults::run },
    Scenario { name: "crash-sweep", run: crash::run },
];

fn race(extent: Extent, bar: &ProgressBar) -> Tally {
    const RACE: Race = Race { clients: 64, fit: 40, times: 10 };
    let ceilings = extent.pick(RACE.ceilings().to_vec(), 2);
    bar.set_length(u64::try_from(ceilings.len()).unwrap());
    let mut tally = Tally::default();
    for ceiling in &ceilings {
        tally.add(overspend::race(RACE, *ceiling));
        bar.inc(1);
    }
    let Race { clients, fit, times } = RACE;
    tally.done = format!("{} ceilings, {clients} clients ask for {times} × {fit}", ceilings.len());
    tally
}

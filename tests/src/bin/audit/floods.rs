//! Who asks thousands of times for what is refused: the journal grows by a handful of records, and nothing is lost of the
//! count.

use indicatif::ProgressBar;
use pursekeeper_tests::overspend::{Extent, Tally};
use pursekeeper_tests::{Purse, Sidecar};
use serde_json::Value;

use crate::content;
use crate::found::Found;
use crate::house::{self, JOURNAL};
use crate::load::{Ask, Load};
use crate::stranger;

/// How often the agent and the stranger ask, of everything and of a sample.
const ASKS: [usize; 2] = [20_000, 5_000];
/// Connections of each.
const CLIENTS: u64 = 16;
/// Equal answers recorded within a minute.
const REPEATS: u64 = 60;

/// What the journal says of the refusals of one caller: records of their own, and counted.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    recorded: u64,
    counted: u64,
    /// Records that tell of what was counted.
    tallies: u64,
}

/// What clients saw of refusals: answered, and not answered.
type Seen = [u64; 2];

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let mut found = Found::default();
    let [all, sample] = ASKS;
    let asks = u64::try_from(extent.choose(all, sample)).unwrap();
    bar.set_length(4);
    for killed in [false, true] {
        for (who, flood) in [("agent", agent as Flood), ("stranger", nobody)] {
            let purse = house::purse(&house::checkpoints(), REPEATS);
            let begun = std::time::Instant::now();
            let sidecar = purse.serve();
            let before = house::last_seq(&purse.file(JOURNAL));
            let (seen, sidecar) = flood(&purse, sidecar, asks, killed);
            let minutes = begun.elapsed().as_secs() / 60 + 2;
            let name = if killed { format!("{who}, killed half way") } else { who.to_owned() };
            balance((&purse, who, &name), seen, (before, minutes, killed), &mut found);
            let stopped = sidecar.stop();
            found.tally.expect(stopped.success(), || format!("{name}: it ended with {stopped}"));
            let verified = purse.run(&["audit", "verify"]);
            found.tally.expect(verified.status.success(), || {
                format!("{name}: audit verify: {}", String::from_utf8_lossy(&verified.stderr))
            });
            bar.inc(1);
        }
    }
    found.tally.done = format!("4 floods of {asks} calls, 2 with a kill");
    found
}

type Flood = fn(&Purse, Sidecar, u64, bool) -> (Seen, Sidecar);

/// An agent that asks for too much.
fn agent(purse: &Purse, mut sidecar: Sidecar, asks: u64, killed: bool) -> (Seen, Sidecar) {
    let load =
        Load::begin(&sidecar.socket("agent"), "flood", usize::try_from(CLIENTS).unwrap(), &[Ask::Denied]);
    if killed {
        house::until("half is asked", || load.answers.count() >= asks / 2);
        sidecar.kill();
        sidecar = purse.serve();
    }
    house::until("all is asked", || load.answers.count() >= asks);
    let answers = load.end();
    let failed = answers.failures().values().sum();
    ([answers.count(), failed], sidecar)
}

/// Somebody whom the registry does not know.
fn nobody(purse: &Purse, mut sidecar: Sidecar, asks: u64, killed: bool) -> (Seen, Sidecar) {
    let child = stranger::send(&sidecar.socket("agent"), asks, CLIENTS);
    if killed {
        house::until("half is asked", || {
            let told = told(purse, "stranger");
            told.recorded + told.counted >= asks / 2
        });
        sidecar.kill();
        sidecar = purse.serve();
        stranger::open(&sidecar.socket("agent"));
    }
    (stranger::answered(child), sidecar)
}

/// What was answered is recorded or counted, and what is recorded was asked.
fn balance(
    (purse, who, name): (&Purse, &str, &str),
    [answered, failed]: Seen,
    (before, minutes, killed): (u64, u64, bool),
    found: &mut Found,
) {
    let tally: &mut Tally = &mut found.tally;
    let Told { recorded, counted, tallies } = told(purse, who);
    let all = recorded + counted;
    tally.expect((answered..=answered + failed).contains(&all), || {
        format!("{name}: {answered} refusals were answered and {failed} calls were not, but the journal knows of {all}")
    });
    tally.expect(killed || failed == 0, || format!("{name}: {failed} calls were not answered"));
    let records = house::last_seq(&purse.file(JOURNAL)) - before;
    // Each minute anew, and after a restart once more; each minute's count, and what a start records.
    let most = (minutes + 1) * (REPEATS + 1) + 8;
    tally.expect(records <= most, || {
        format!("{name}: {records} records for {answered} refusals, more than {most}")
    });
    tally.decisions += records;
    found.facts.push((
        "flood",
        format!(
            "{name}: {answered} answered, {failed} not: {records} records, of which {recorded} refusals and {tallies} counts; {counted} counted"
        ),
    ));
}

/// What the journal says of a caller's refusals, the running minute included.
fn told(purse: &Purse, who: &str) -> Told {
    let kind = if who == "agent" { "payment" } else { "unauthenticated" };
    let journal = purse.file(JOURNAL);
    let connection = content::open(&journal).unwrap();
    // Both as of one moment.
    connection.execute_batch("BEGIN").unwrap();
    let mut bodies = connection.prepare("SELECT body FROM record").unwrap();
    let bodies = bodies.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let mut told = Told::default();
    for body in bodies {
        let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
        match body["kind"].as_str() {
            Some(own) if own == kind && (who != "agent" || body["verdict"] == "deny") => told.recorded += 1,
            Some("repeat") if body["repeat"]["kind"] == kind => {
                told.counted += body["repeat"]["count"].as_u64().unwrap();
                told.tallies += 1;
            }
            _ => {}
        }
    }
    let sql = "SELECT coalesce(sum(count), 0) FROM repeat WHERE kind = ?1";
    let waiting: i64 = connection.query_row(sql, [kind], |row| row.get(0)).unwrap();
    told.counted += u64::try_from(waiting).unwrap();
    told
}

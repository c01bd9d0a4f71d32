//! Records on their way to others: at least once, in order, nothing missing, whatever is killed.

mod receiver;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use pursekeeper_tests::overspend::{Client, Extent, Outcome, Random, Tally, Witness};
use pursekeeper_tests::{Purse, Sidecar};
use serde_json::Value;

use crate::content;
use crate::found::Found;
use crate::house::{self, JOURNAL};
use crate::load::{Load, MIXED};
use receiver::Receiver;

/// How often the targets are killed and come back, and the sidecar is killed: of everything and of a sample.
const TARGETS: [usize; 2] = [50, 50];
const SIDECARS: [usize; 2] = [10, 4];
/// How long a target is up, or down, at most.
const TURN_MS_MAX: [usize; 2] = [400, 150];
/// Clients that ask meanwhile.
const CLIENTS: usize = 4;
/// How long a required sink may be behind, in seconds.
const LAG_SECS: u64 = 3;
/// How long a sink that is not required is down while everything is signed.
const DOWN: Duration = Duration::from_secs(4);

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let mut found = Found::default();
    let mut random = Random::new(extent.seed());
    lost_and_found(extent, &mut random, bar, &mut found);
    required(&mut found);
    found
}

/// Where records go to.
struct Targets {
    purse: Purse,
    receiver: Receiver,
    lines: PathBuf,
    away: PathBuf,
}

impl Targets {
    /// A purse whose sidecar has a file and a receiver of OTLP logs. `more` is said of the file.
    fn new(more: &str) -> Self {
        let receiver = Receiver::new();
        let audit = house::checkpoints()
            + &format!(
                "sinks:\n  - {{ name: lines, format: json, file: {{ path: out/audit.jsonl, rotate_bytes_max: 3000000, files_max: 99 }}, \
                 retry_ms_min: 20, retry_ms_max: 200{more} }}\n  - {{ name: logs, format: otlp, endpoint: \"{}\", \
                 retry_ms_min: 20, retry_ms_max: 200, timeout_ms_max: 2000 }}\n",
                receiver.endpoint()
            );
        let purse = house::purse(&audit, 60);
        let (lines, away) = (purse.file("out"), purse.file("away"));
        fs::create_dir(&lines).unwrap();
        Self { purse, receiver, lines, away }
    }

    fn take_away(&self) {
        fs::rename(&self.lines, &self.away).unwrap();
    }

    fn bring_back(&self) {
        fs::rename(&self.away, &self.lines).unwrap();
    }

    /// Every line of the file, those that were rotated first.
    fn lines(&self) -> Vec<Value> {
        let rotated = (1..=99).rev().map(|number| self.lines.join(format!("audit.jsonl.{number}")));
        let paths = rotated.chain([self.lines.join("audit.jsonl")]).filter(|path| path.exists());
        let text: String = paths.map(|path| fs::read_to_string(path).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until both have everything.
    fn caught_up(&self) {
        house::until("both sinks have everything", || {
            let told = self.purse.run(&["audit", "sinks", "--output", "json"]);
            let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_default();
            let sinks = told["sinks"].as_array().map(Vec::as_slice).unwrap_or_default();
            sinks.len() == 2 && sinks.iter().all(|sink| sink["lag_records"] == 0)
        });
    }
}

/// Both targets come and go, and the sidecar is killed.
fn lost_and_found(extent: Extent, random: &mut Random, bar: &ProgressBar, found: &mut Found) {
    let [turns, kills] = [TARGETS, SIDECARS].map(|[everything, sample]| extent.choose(everything, sample));
    bar.set_length(u64::try_from(turns).unwrap());
    let mut targets = Targets::new("");
    let mut sidecar = targets.purse.serve();
    targets.receiver.start();
    let load = Load::begin(&sidecar.socket("agent"), "sinks", CLIENTS, MIXED);
    let longest = extent.choose(TURN_MS_MAX[0], TURN_MS_MAX[1]);
    let pause = |random: &mut Random| {
        let ms = u64::try_from(random.below(longest)).unwrap() + 10;
        std::thread::sleep(Duration::from_millis(ms));
    };
    for turn in 0..turns {
        pause(random);
        // The receiver first, or the file; the sidecar in between, so that it also starts while its targets are gone.
        targets.receiver.kill();
        targets.take_away();
        if turn % turns.div_ceil(kills) == 0 {
            sidecar.kill();
            sidecar = targets.purse.serve();
        }
        pause(random);
        targets.bring_back();
        targets.receiver.start();
        bar.inc(1);
    }
    let answers = load.end();
    targets.caught_up();
    let stopped = sidecar.stop();
    let tally = &mut found.tally;
    tally.expect(stopped.success(), || format!("it ended with {stopped}"));
    let records = content::records(&targets.purse.file(JOURNAL));
    let expected: Vec<String> =
        records.iter().map(|(body, ..)| String::from_utf8_lossy(body).into_owned()).collect();
    let came = [("lines", targets.lines()), ("logs", targets.receiver.arrived())];
    for (name, came) in came {
        let again = compare(name, &came, &expected, tally);
        found.facts.push((
            "sink",
            format!("{name}: {} records, {} arrivals, {again} of them again", expected.len(), came.len()),
        ));
    }
    let unacked = targets.receiver.unanswered();
    found.facts.push(("sink", format!("logs: {unacked} calls were taken and not answered")));
    found.tally.decisions += u64::try_from(records.len()).unwrap();
    found.tally.done = format!(
        "both targets killed {turns} times, the sidecar {} times, {} answers",
        turns.div_ceil(turns.div_ceil(kills)),
        answers.count()
    );
}

/// Every record arrived, the first time in order and byte for byte. Returns how many arrived again.
fn compare(name: &str, came: &[Value], expected: &[String], tally: &mut Tally) -> usize {
    let mut next = 1;
    let mut first = BTreeMap::new();
    for line in came {
        let seq = line["seq"].as_u64().unwrap_or(0);
        if seq == next {
            next += 1;
        } else {
            tally.expect(seq > 0 && seq < next, || format!("{name}: record {seq} came when {next} was due"));
        }
        let text = line["record"].to_string();
        let own = usize::try_from(seq).ok().and_then(|seq| expected.get(seq.checked_sub(1)?));
        tally.expect(own == Some(&text), || format!("{name}: record {seq} is not what the journal has"));
        *first.entry(seq).or_insert(0_usize) += 1;
    }
    let all = u64::try_from(expected.len()).unwrap();
    tally.expect(next == all + 1, || format!("{name}: record {next} of {all} is missing"));
    came.len() - first.len()
}

/// One that is required stops signing while it is behind, one that is not stops nothing.
fn required(found: &mut Found) {
    let mut targets = Targets::new(&format!(", required: true, lag_secs_max: {LAG_SECS}"));
    targets.receiver.start();
    let sidecar = targets.purse.serve();
    let witness = Witness::default();
    let mut client = Client::connect(&sidecar);
    let mut id = 0;
    let mut pay = |client: &mut Client| {
        id += 1;
        client.pay(&witness, &format!("required-{id}"), 1_000)
    };
    // The receiver is gone for longer than the other may be behind.
    targets.receiver.kill();
    let begun = std::time::Instant::now();
    let mut signed = 0_u64;
    while begun.elapsed() < DOWN {
        let outcome = pay(&mut client);
        found
            .tally
            .expect(outcome.is_signed(), || format!("with a sink gone that is not required: {outcome:?}"));
        signed += 1;
    }
    targets.receiver.start();
    drop(client);
    // Now the one that is required, from a start on, so that no open file is left.
    sidecar.kill();
    targets.take_away();
    let sidecar = targets.purse.serve();
    let mut client = Client::connect(&sidecar);
    let begun = std::time::Instant::now();
    house::until("nothing is signed", || is_behind(&pay(&mut client)));
    let stopped = begun.elapsed();
    for _ in 0..20 {
        let outcome = pay(&mut client);
        found.tally.expect(is_behind(&outcome), || format!("with a required sink gone: {outcome:?}"));
    }
    expect_stops(&mut client, &mut found.tally);
    targets.bring_back();
    let begun = std::time::Instant::now();
    house::until("it signs again", || pay(&mut client).is_signed());
    let again = begun.elapsed();
    targets.caught_up();
    drop(client);
    found.fact(
        "required",
        format!(
            "{signed} signed while the receiver was gone; nothing signed {stopped:.1?} after the start with a required one gone for more than {LAG_SECS} s; again {again:.1?} after it came back"
        ),
    );
    end(sidecar, &targets, &mut found.tally);
}

fn is_behind(outcome: &Outcome) -> bool {
    use tonic_types::StatusExt as _;
    let Outcome::Failed(status) = outcome else { return false };
    status.get_details_error_info().is_some_and(|details| details.reason == "SINK_BEHIND")
}

/// Whoever governs is not kept from stopping.
fn expect_stops(client: &mut Client, tally: &mut Tally) {
    for suspend in [true, false] {
        let outcome = client.act(suspend);
        tally.expect(matches!(outcome, Outcome::Done), || {
            format!("with a required sink gone, suspend={suspend}: {outcome:?}")
        });
    }
}

fn end(sidecar: Sidecar, targets: &Targets, tally: &mut Tally) {
    let stopped = sidecar.stop();
    tally.expect(stopped.success(), || format!("it ended with {stopped}"));
    verify(&targets.purse.file(JOURNAL), targets, tally);
}

fn verify(journal: &Path, targets: &Targets, tally: &mut Tally) {
    let records = content::records(journal);
    let expected: Vec<String> =
        records.iter().map(|(body, ..)| String::from_utf8_lossy(body).into_owned()).collect();
    compare("lines", &targets.lines(), &expected, tally);
    compare("logs", &targets.receiver.arrived(), &expected, tally);
}

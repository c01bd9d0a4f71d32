//! How fast a long journal is verified, in how much memory, and how fast a sidecar starts with it.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use indicatif::ProgressBar;
use pursekeeper_tests::Purse;
use pursekeeper_tests::overspend::Extent;

use crate::child::{self, Ended};
use crate::found::Found;
use crate::house::{self, CHECKPOINT, JOURNAL};
use crate::{fill, verdict};

/// Records of the shorter and of the longer journal.
const RECORDS: [usize; 2] = [100_000, 1_000_000];
/// The same for a sample.
const SAMPLED: [usize; 2] = [20_000, 100_000];
/// How much more memory the longer one may take, in KiB: what is kept grows with subjects and minutes, not with records.
const GROWTH_KIB_MAX: u64 = 16 << 10;
/// How often each journal is verified.
const ROUNDS: usize = 3;
/// How long verifying may take before it hangs.
const PATIENCE: Duration = Duration::from_secs(900);

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let mut found = Found::default();
    let lengths = match extent {
        Extent::Everything => RECORDS,
        Extent::Sample { .. } => SAMPLED,
    };
    bar.set_length(2);
    let purse = house::purse(&house::checkpoints(), 60);
    let mut peaks = Vec::new();
    for length in lengths {
        let records = fill::fill(&purse, u64::try_from(length).unwrap());
        let begun = std::time::Instant::now();
        let sidecar = purse.serve();
        let ready = sidecar.ready();
        house::until_checkpointed(&purse);
        let stopped = sidecar.stop();
        found.tally.expect(stopped.success(), || format!("with {records} records it stopped with {stopped}"));
        found.fact(
            "start",
            format!("{records} records: ready after {ready:.0?}, stopped {:.1?} later", begun.elapsed()),
        );
        peaks.push(measure(&purse, records, &mut found));
        found.tally.decisions = records;
        bar.inc(1);
    }
    let growth = peaks.last().unwrap_or(&0).saturating_sub(*peaks.first().unwrap_or(&0));
    found.tally.expect(growth <= GROWTH_KIB_MAX, || {
        format!("verifying took {growth} KiB more for the longer journal: {peaks:?} KiB")
    });
    found.tally.done = format!("journals of {} and {} records verified", lengths[0], lengths[1]);
    found
}

/// Verifies on one core, as it is and the records alone, and returns the most memory it took. The file is in memory: how
/// fast a disk is, is another question. Of some rounds the fastest counts: others on the machine only slow it down.
fn measure(purse: &Purse, records: u64, found: &mut Found) -> u64 {
    let key = verdict::key_of(purse);
    let checkpoint = purse.file(CHECKPOINT);
    let bytes = std::io::copy(&mut File::open(purse.file(JOURNAL)).unwrap(), &mut std::io::sink()).unwrap();
    found.fact("size", format!("{records} records: {} bytes each", bytes / records));
    let mut most = 0;
    for more in [&[][..], &["--records"]] {
        let verify = purse.command(&[&verdict::arguments(&checkpoint, &key)[..], more].concat());
        let rounds = std::array::from_fn::<Ended, ROUNDS, _>(|_| on_one_core(&verify));
        for Ended { status, stdout, stderr, .. } in &rounds {
            let valid = status.is_some_and(|status| status.success());
            found.tally.expect(valid, || format!("{records} records: {status:?}: {stdout}{stderr}"));
        }
        let per_sec = |time: fn(&Ended) -> Duration| {
            let fastest = rounds.iter().map(time).min().unwrap_or_default();
            u128::from(records) * 1_000 / fastest.as_millis().max(1)
        };
        let peak = rounds.iter().map(|round| round.peak_kib).max().unwrap_or_default();
        found.fact(
            if more.is_empty() { "verify" } else { "verify --records" },
            format!(
                "{records} records: {} records/s of processor time, {} records/s by the wall clock, peak {peak} KiB",
                per_sec(|round| round.on_cpu),
                per_sec(|round| round.took)
            ),
        );
        most = most.max(peak);
    }
    most
}

fn on_one_core(verify: &Command) -> Ended {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(verify.get_program()).args(verify.get_args());
    command.envs(verify.get_envs().filter_map(|(name, value)| Some((name, value?))));
    child::run(command, PATIENCE)
}

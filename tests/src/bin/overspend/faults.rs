//! Every write of a script fails once, or from there on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pursekeeper_tests::Sidecar;
use pursekeeper_tests::harness::{
    pool,
    strace::{Blow, Injection, struck},
};
use pursekeeper_tests::overspend::{Client, Extent, Outcome, Scene, Tally};

use crate::moments::{Stretch, When, spent, stretches, struck_step, up_to};
use crate::script::{self, Step, retry_all};

/// What writes the journal, and what makes it durable.
const SYSCALLS: [&str; 3] = ["pwrite64", "fdatasync", "fsync"];
/// The disk broke; the disk is full.
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];
/// Faults of a sample.
const SAMPLE: usize = 100;
/// How long a sidecar may take to end, or to serve again when there is room.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it has to end after an error that it cannot go on from.
const END_PATIENCE: Duration = Duration::from_millis(300);
/// Between two attempts to be served.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Clone, Copy)]
struct Task {
    stretch: Stretch,
    error: &'static str,
    onwards: bool,
    only: Option<usize>,
}

/// What became of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    NotStruck,
    Ended,
    WentOn,
}

struct Sweep<'a> {
    base: &'a Scene,
    script: Vec<Step>,
    /// How often each error ended how.
    fates: Mutex<BTreeMap<(&'static str, Fate), usize>>,
}

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Tally {
    let (base, script) = (script::scene(), script::short());
    let found = stretches(&base, &script, &SYSCALLS);
    let mut tally = Tally::default();
    let sweep = Sweep { base: &base, script, fates: Mutex::default() };
    tally.add(pool::each(tasks(extent, &found), bar, |task| sweep.task(task)));
    let fates = sweep.fates.into_inner().unwrap_or_else(PoisonError::into_inner);
    let count = |error, fate| fates.get(&(error, fate)).copied().unwrap_or(0);
    let words = ERRORS.map(|error| {
        let (ended, went_on) = (count(error, Fate::Ended), count(error, Fate::WentOn));
        tally.expect(ended + went_on > 0, || format!("no {error} struck"));
        format!("{error} struck {} times: ended {ended}, went on {went_on}", ended + went_on)
    });
    tally.done = words.join("; ");
    tally
}

fn tasks(extent: Extent, found: &[Stretch]) -> Vec<Task> {
    let mut tasks = Vec::new();
    for stretch in found {
        for error in ERRORS {
            for onwards in [false, true] {
                let task = |only| Task { stretch: *stretch, error, onwards, only };
                match extent {
                    Extent::Everything => tasks.push(task(None)),
                    Extent::Sample { .. } => tasks.extend((1..=stretch.calls).map(|call| task(Some(call)))),
                }
            }
        }
    }
    extent.pick(tasks, SAMPLE)
}

impl Sweep<'_> {
    fn task(&self, task: Task) -> Tally {
        let mut tally = Tally::default();
        let Task { stretch, error, onwards, only } = task;
        for when in only.map_or(1..=usize::MAX, |only| only..=only) {
            let injection = Injection { syscall: stretch.syscall, blow: Blow::Error(error), when, onwards };
            let fate = self.strike(stretch.when, &injection, &mut tally);
            if fate == Fate::NotStruck {
                break;
            }
            let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
            *fates.entry((error, fate)).or_default() += 1;
        }
        tally
    }

    fn strike(&self, when: When, injection: &Injection, tally: &mut Tally) -> Fate {
        let after = format!("{when:?}, {}", injection.words());
        let (scene, fate) = match when {
            When::Start => self.at_start(injection, &after, tally),
            When::Step(step) => self.in_step(step, injection, &after, tally),
        };
        if fate != Fate::NotStruck {
            scene.examine(&after, tally);
            let sidecar = scene.serve(tally);
            retry_all(&scene, sidecar, &self.script, &after, tally);
        }
        fate
    }

    /// It may start or refuse to; if it starts, the script is asked for once more.
    fn at_start(&self, injection: &Injection, after: &str, tally: &mut Tally) -> (Scene, Fate) {
        let scene = spent(self.base, &self.script, tally);
        let log = scene.purse.file("strace");
        let serve = injection.strike_from_start(&scene.purse.command(&["serve"]), &log);
        let fate = match scene.purse.try_serve_by(serve) {
            Err((status, said)) => {
                tally.expect(status.code() == Some(1), || format!("{after}: {status}: {said}"));
                Fate::Ended
            }
            Ok(sidecar) if struck(&log) == 0 => {
                sidecar.kill();
                Fate::NotStruck
            }
            Ok(sidecar) => {
                let mut client = Client::connect(&sidecar);
                for step in &self.script {
                    let _ = step.perform(&scene, &mut client);
                }
                sidecar.kill();
                Fate::WentOn
            }
        };
        (scene, fate)
    }

    fn in_step(&self, step: usize, injection: &Injection, after: &str, tally: &mut Tally) -> (Scene, Fate) {
        let scene = self.base.copy();
        let (mut sidecar, mut client) = up_to(&scene, &self.script, step, tally);
        let log = scene.purse.file("strace");
        let step = &self.script[step];
        let (mut strace, outcome) = struck_step(&scene, (&sidecar, &mut client), step, injection, &log);
        if strace.struck() == 0 {
            tally.expect(!outcome.is_failed(), || format!("{after}: nothing struck, and {outcome:?}"));
            sidecar.kill();
            return (scene, Fate::NotStruck);
        }
        let unanswered = outcome.is_failed();
        tally.expect(!unanswered || outcome.is_unavailable(), || format!("{after}: {outcome:?}"));
        // While it lasts: an old payment and a new one.
        for id in ["a-0", "c-0"] {
            let _ = scene.pay(&mut client, id);
        }
        // Whatever was handed out by now must be on disk.
        scene.compare(&scene.books(), &format!("{after}, while it lasts"), tally);
        strace.detach();
        let patience = if unanswered && is_final(injection) { PATIENCE } else { END_PATIENCE };
        let fate = self.fate(&mut sidecar, (&scene, &mut client), patience, tally, after);
        let full = injection.blow == Blow::Error("ENOSPC") && injection.syscall == "pwrite64";
        tally.expect(!full || fate == Fate::WentOn, || format!("{after}: it ended: {}", sidecar.log()));
        sidecar.kill();
        (scene, fate)
    }

    /// It ends with an error, or it serves.
    fn fate(
        &self,
        sidecar: &mut Sidecar,
        (scene, client): (&Scene, &mut Client),
        patience: Duration,
        tally: &mut Tally,
        after: &str,
    ) -> Fate {
        if let Some(status) = sidecar.ended_within(patience) {
            tally.expect(status.code() == Some(1), || format!("{after}: {status}: {}", sidecar.log()));
            return Fate::Ended;
        }
        let begun = Instant::now();
        loop {
            let outcome = scene.pay(client, "a-0");
            if matches!(outcome, Outcome::Signed | Outcome::Denied(_)) {
                return Fate::WentOn;
            }
            if let Some(status) = sidecar.ended_within(LOOK_INTERVAL) {
                tally.expect(status.code() == Some(1), || format!("{after}: {status}: {}", sidecar.log()));
                return Fate::Ended;
            }
            if begun.elapsed() > PATIENCE {
                tally.fault(format!("{after}: it neither ends nor serves: {outcome:?}"));
                return Fate::WentOn;
            }
        }
    }
}

/// After a broken disk, or a failed sync of any kind, what is on disk is not known.
fn is_final(injection: &Injection) -> bool {
    injection.blow == Blow::Error("EIO") || injection.syscall != "pwrite64"
}

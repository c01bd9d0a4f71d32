//! The process is killed at every write of a script, and started again.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use pursekeeper_tests::Sidecar;
use pursekeeper_tests::harness::{
    pool,
    strace::{Blow, Injection},
};
use pursekeeper_tests::overspend::{Extent, Scene, Tally};

use crate::moments::{JOURNAL_SYSCALLS, Stretch, When, spent, stretches, struck_step, up_to};
use crate::script::{self, Step, retry_all};

/// What follows a durable record: the log line and the answer.
const ANSWER_SYSCALLS: [&str; 2] = ["write", "writev"];
/// Kills of a sample.
const SAMPLE: usize = 160;
/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kills at one call, or at each from the first until there is none.
#[derive(Clone, Copy)]
struct Task {
    stretch: Stretch,
    only: Option<usize>,
}

struct Sweep<'a> {
    base: &'a Scene,
    script: Vec<Step>,
    kills: AtomicUsize,
    ends: AtomicUsize,
}

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Tally {
    let (base, script) = (script::scene(), script::long());
    let found = stretches(&base, &script, &[&JOURNAL_SYSCALLS[..], &ANSWER_SYSCALLS].concat());
    let mut tally = Tally::default();
    let steps = script.len();
    let sweep = Sweep { base: &base, script, kills: AtomicUsize::new(0), ends: AtomicUsize::new(0) };
    tally.add(pool::each(tasks(extent, &found), bar, |task| sweep.task(task)));
    let (kills, ends) = (sweep.kills.into_inner(), sweep.ends.into_inner());
    tally.expect_prompt_starts();
    tally.expect(kills > 0, || "no kill fired".to_owned());
    for step in unsynced(&found, steps) {
        tally.fault(format!("step {step} was answered without a sync"));
    }
    tally.done = format!("{kills} kills in a run of {steps} decisions, all fired, {ends} ends reached");
    tally
}

/// The steps that make nothing durable. A killed process leaves its writes behind, so no kill would show it.
fn unsynced(found: &[Stretch], steps: usize) -> Vec<usize> {
    let syncs = |step: usize| {
        let here = found.iter().filter(move |stretch| stretch.when == When::Step(step));
        here.map(|stretch| stretch.syscall).any(|syscall| matches!(syscall, "fdatasync" | "fsync"))
    };
    (0..steps).filter(|step| !syncs(*step)).collect()
}

fn tasks(extent: Extent, found: &[Stretch]) -> Vec<Task> {
    match extent {
        Extent::Everything => found.iter().map(|stretch| Task { stretch: *stretch, only: None }).collect(),
        Extent::Sample { .. } => {
            let each = |stretch: &Stretch| {
                let stretch = *stretch;
                (1..=stretch.calls).map(move |call| Task { stretch, only: Some(call) })
            };
            extent.pick(found.iter().flat_map(each).collect(), SAMPLE)
        }
    }
}

impl Sweep<'_> {
    fn task(&self, Task { stretch, only }: Task) -> Tally {
        let mut tally = Tally::default();
        for when in only.map_or(1..=usize::MAX, |only| only..=only) {
            if !self.kill(stretch, when, &mut tally) {
                self.ends.fetch_add(1, Ordering::Relaxed);
                break;
            }
            self.kills.fetch_add(1, Ordering::Relaxed);
        }
        tally
    }

    /// One run, killed at one call. Returns whether it came to that.
    fn kill(&self, stretch: Stretch, when: usize, tally: &mut Tally) -> bool {
        let injection = Injection { syscall: stretch.syscall, blow: Blow::Kill, when, onwards: false };
        let after = format!("{:?}, {}", stretch.when, injection.words());
        let (scene, fired) = match stretch.when {
            When::Start => self.killed_at_start(&injection, &after, tally),
            When::Step(step) => self.killed_in_step(step, &injection, &after, tally),
        };
        if fired {
            scene.examine(&after, tally);
            let sidecar = scene.serve(tally);
            retry_all(&scene, sidecar, &self.script, &after, tally);
        }
        fired
    }

    fn killed_at_start(&self, injection: &Injection, after: &str, tally: &mut Tally) -> (Scene, bool) {
        let scene = spent(self.base, &self.script, tally);
        let log = scene.purse.file("strace");
        let serve = injection.strike_from_start(&scene.purse.command(&["serve"]), &log);
        let fired = match scene.purse.try_serve_by(serve) {
            Ok(sidecar) => {
                sidecar.kill();
                false
            }
            Err((status, said)) => {
                tally.expect(status.signal() == Some(9), || format!("{after}: {status}: {said}"));
                true
            }
        };
        (scene, fired)
    }

    fn killed_in_step(
        &self,
        step: usize,
        injection: &Injection,
        after: &str,
        tally: &mut Tally,
    ) -> (Scene, bool) {
        let scene = self.base.copy();
        let (mut sidecar, mut client) = up_to(&scene, &self.script, step, tally);
        let log = scene.purse.file("strace");
        let step = &self.script[step];
        let (mut strace, outcome) = struck_step(&scene, (&sidecar, &mut client), step, injection, &log);
        let fired = outcome.is_failed() || strace.struck() > 0;
        if fired {
            died(&mut sidecar, after, tally);
            strace.outlive();
            tally.expect(strace.struck() > 0, || format!("{after}: {outcome:?}, and strace did not kill"));
        } else {
            strace.detach();
        }
        sidecar.kill();
        (scene, fired)
    }
}

/// It was killed, and did not end by itself.
fn died(sidecar: &mut Sidecar, after: &str, tally: &mut Tally) {
    let status = sidecar.ended_within(PATIENCE);
    let killed = status.is_some_and(|status| status.signal() == Some(9));
    tally.expect(killed, || format!("{after}: the process is not killed: {status:?}: {}", sidecar.log()));
}

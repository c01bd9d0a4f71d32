//! The sidecar is killed after every call that changes a file while an operator's act is carried out.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;
use pursekeeper_tests::harness::pool;
use pursekeeper_tests::harness::steps::Steps;
use pursekeeper_tests::overspend::{Extent, Scene, Tally};

use crate::finding::Found;
use crate::keys;
use crate::operator::{Operator, Told};
use crate::stage::expect_verified;
use crate::verbs::{ALL, Stage, Verb};

/// Kills of a sample, for each verb.
const SAMPLE: usize = 12;
/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// One kill to try.
struct Task<'a> {
    verb: &'a Verb,
    stage: &'a Stage,
    /// After so many calls.
    call: usize,
}

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let mut found = Found::default();
    let stages: Vec<(&Verb, Stage)> = ALL.iter().map(|verb| (verb, (verb.prepare)())).collect();
    let mut tasks = Vec::new();
    for (verb, stage) in &stages {
        let points = undisturbed(verb, stage, &mut found.tally);
        found.tally.expect(points > 0, || format!("{}: it changes no file", verb.name));
        found.kills.insert(verb.name, [0, points]);
        let all = (1..=points).map(|call| Task { verb, stage, call }).collect();
        tasks.extend(extent.pick(all, SAMPLE));
    }
    let tried = tasks.len();
    let kills: Mutex<BTreeMap<&'static str, usize>> = Mutex::default();
    let tally = pool::each(tasks, bar, |Task { verb, stage, call }| {
        let mut tally = Tally::default();
        if kill(verb, stage, call, &mut tally) {
            let mut kills = kills.lock().unwrap_or_else(PoisonError::into_inner);
            *kills.entry(verb.name).or_default() += 1;
        }
        tally
    });
    found.tally.add(tally);
    let kills = kills.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (verb, [fired, _]) in &mut found.kills {
        *fired = kills.get(verb).copied().unwrap_or(0);
        found.tally.expect(*fired > 0, || format!("{verb}: no kill fired"));
    }
    found.tally.expect_prompt_starts();
    let fired: usize = kills.values().sum();
    found.tally.done = format!("{fired} kills of {tried} that were tried, in {} verbs", ALL.len());
    found
}

/// How many calls the act makes that change a file. It must be done then, and do no harm when it is repeated.
fn undisturbed(verb: &Verb, stage: &Stage, tally: &mut Tally) -> usize {
    let what = format!("{}, undisturbed", verb.name);
    let stage = stage.copy();
    let sidecar = stage.scene.serve(tally);
    let operator = Operator::connect(&sidecar);
    let mut steps = Steps::attach(&sidecar, &stage.scene.purse.file(""), &stage.scene.purse.file("strace"));
    let over = AtomicBool::new(false);
    let mut calls = 0;
    let told = std::thread::scope(|scope| {
        let act = scope.spawn(|| perform(verb, &stage, &operator, &over));
        while steps.next(|| over.load(Ordering::Acquire)).is_some() {
            calls += 1;
            steps.go_on();
        }
        act.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    steps.let_go();
    tally.expect(matches!(told, Told::Done(())), || format!("{what}: {told:?}"));
    let again = (verb.perform)(&stage, &operator);
    tally.expect(matches!(again, Told::Done(())), || format!("{what}, again: {again:?}"));
    (verb.finished)((&stage, &sidecar, &operator), &what, tally);
    sidecar.kill();
    expect_verified(&stage.scene, &what, tally);
    calls
}

fn perform(verb: &Verb, stage: &Stage, operator: &Operator, over: &AtomicBool) -> Told<()> {
    // Also when it panics, or the other thread would wait in vain.
    let _over = Over(over);
    (verb.perform)(stage, operator)
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// One run, killed after one call. Returns whether it came to that.
fn kill(verb: &Verb, stage: &Stage, call: usize, tally: &mut Tally) -> bool {
    let stage = stage.copy();
    let scene = &stage.scene;
    let Some(last) = struck(verb, &stage, call, tally) else { return false };
    let after = format!("{}, killed after call {call}, `{last}`", verb.name);
    keys::expect_whole(&scene.purse, &after, tally);
    expect_verified(scene, &after, tally);

    let sidecar = scene.serve(tally);
    let operator = Operator::connect(&sidecar);
    (verb.either)((&stage, &sidecar, &operator), &after, tally);
    let again = (verb.perform)(&stage, &operator);
    tally.expect(matches!(again, Told::Done(())), || format!("{after}, again: {again:?}"));
    (verb.finished)((&stage, &sidecar, &operator), &format!("{after}, again"), tally);
    // A connection that nobody serves would keep the sidecar waiting.
    drop(operator);
    settle(scene, sidecar, &after, tally);
    true
}

/// Strikes. Returns the call after which the process was killed.
fn struck(verb: &Verb, stage: &Stage, call: usize, tally: &mut Tally) -> Option<String> {
    let scene = &stage.scene;
    let mut sidecar = scene.serve(tally);
    let operator = Operator::connect(&sidecar);
    let mut steps = Steps::attach(&sidecar, &scene.purse.file(""), &scene.purse.file("strace"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let act = scope.spawn(|| perform(verb, stage, &operator, &over));
        let mut last = None;
        for _ in 0..call {
            if last.is_some() {
                steps.go_on();
            }
            last = steps.next(|| over.load(Ordering::Acquire));
            if last.is_none() {
                break;
            }
        }
        match &last {
            Some(_) => steps.kill(),
            None => steps.let_go(),
        }
        let told = act.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if last.is_some() {
            let status = sidecar.ended_within(PATIENCE);
            let killed = status.is_some_and(|status| status.signal() == Some(9));
            tally.expect(killed, || format!("{}: not killed: {status:?}", verb.name));
            tally.expect(!matches!(told, Told::Denied(_)), || format!("{}: {told:?}", verb.name));
        }
        last
    })
}

/// At the end: everything is in order once more.
fn settle(scene: &Scene, sidecar: pursekeeper_tests::Sidecar, after: &str, tally: &mut Tally) {
    let stopped = sidecar.stop();
    tally.expect(stopped.success(), || format!("{after}: the sidecar ended with {stopped}"));
    expect_verified(scene, &format!("{after}, at the end"), tally);
    keys::expect_whole(&scene.purse, &format!("{after}, at the end"), tally);
    scene.compare(&scene.books(), after, tally);
    scene.close(tally);
}

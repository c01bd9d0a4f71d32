//! Every moment of a run at which something can happen: each system call of each step.
//!
//! The sidecar's journal is written by whichever thread leads, and strace counts calls for each thread on its own. One
//! decision is written by one thread, though, so strace is attached anew before each step: then its N-th call is the
//! step's N-th call.

use std::collections::BTreeSet;
use std::path::Path;

use pursekeeper_tests::Sidecar;
use pursekeeper_tests::harness::strace::{Injection, Strace, noted, watched};
use pursekeeper_tests::overspend::{Client, Outcome, Scene, Tally};

use crate::script::Step;

/// The calls that change a file of the journal.
pub(crate) const JOURNAL_SYSCALLS: [&str; 4] = ["pwrite64", "fdatasync", "fsync", "ftruncate"];

/// When in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// While the sidecar starts on what the whole script left.
    Start,
    /// In the step at this position.
    Step(usize),
}

/// All calls of one kind in one part of a run, and how many there were when it was only watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) when: When,
    pub(crate) syscall: &'static str,
    pub(crate) calls: usize,
}

/// Watches one run of the script, and returns the stretches that have any of these calls.
pub(crate) fn stretches(scene: &Scene, script: &[Step], syscalls: &[&'static str]) -> Vec<Stretch> {
    let mut tally = Tally::default();
    let scene = scene.copy();
    let log = scene.purse.file("watched");
    let sidecar = scene.serve_settled(&mut tally);
    let mut client = Client::connect(&sidecar);
    let mut strace = Strace::watch(&sidecar, &syscalls.join(","), &log);
    let (mut found, mut seen) = (Vec::new(), 0);
    for (at, step) in script.iter().enumerate() {
        let outcome = step.perform(&scene, &mut client);
        assert!(!outcome.is_failed(), "{step:?}: {outcome:?}");
        let lines = noted(&log);
        let threads = writers(&lines[seen..]);
        assert!(
            threads.len() <= 1,
            "{step:?}: several threads write its journal, so calls cannot be counted: {threads:?}"
        );
        found.extend(counted(When::Step(at), syscalls, &lines[seen..]));
        seen = lines.len();
    }
    drop(client);
    strace.detach();
    sidecar.kill();
    let log = scene.purse.file("started");
    let serve = watched(&scene.purse.command(&["serve"]), &syscalls.join(","), &log);
    let sidecar = scene.purse.serve_by(serve);
    found.extend(counted(When::Start, syscalls, &noted(&log)));
    sidecar.kill();
    found
}

fn counted(when: When, syscalls: &[&'static str], lines: &[String]) -> Vec<Stretch> {
    let stretch = |syscall: &&'static str| {
        let calls = lines.iter().filter(|line| thread_of(line, syscall).is_some()).count();
        Stretch { when, syscall, calls }
    };
    syscalls.iter().map(stretch).filter(|stretch| stretch.calls > 0).collect()
}

/// The threads that wrote the journal.
fn writers(lines: &[String]) -> BTreeSet<&str> {
    let calls = JOURNAL_SYSCALLS.into_iter();
    calls.flat_map(|syscall| lines.iter().filter_map(move |line| thread_of(line, syscall))).collect()
}

/// The thread that made the system call of a line, if it is this one.
fn thread_of<'a>(line: &'a str, syscall: &str) -> Option<&'a str> {
    let (thread, call) = line.split_once(char::is_whitespace)?;
    call.trim_start().strip_prefix(syscall)?.starts_with('(').then_some(thread)
}

/// A sidecar that has done the script up to a step.
pub(crate) fn up_to(scene: &Scene, script: &[Step], step: usize, tally: &mut Tally) -> (Sidecar, Client) {
    let sidecar = scene.serve_settled(tally);
    let mut client = Client::connect(&sidecar);
    for step in &script[..step] {
        let outcome = step.perform(scene, &mut client);
        assert!(!outcome.is_failed(), "{step:?}, undisturbed: {outcome:?}");
    }
    (sidecar, client)
}

/// A purse after the whole script and a crash.
pub(crate) fn spent(base: &Scene, script: &[Step], tally: &mut Tally) -> Scene {
    let scene = base.copy();
    let (sidecar, client) = up_to(&scene, script, script.len(), tally);
    drop(client);
    sidecar.kill();
    scene
}

/// A step with strace attached.
pub(crate) fn struck_step(
    scene: &Scene,
    (sidecar, client): (&Sidecar, &mut Client),
    step: &Step,
    injection: &Injection,
    log: &Path,
) -> (Strace, Outcome) {
    let strace = Strace::strike(sidecar, injection, log);
    let outcome = step.perform(scene, client);
    (strace, outcome)
}

//! Something is stopped while many clients ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use jiff::Timestamp;
use pursekeeper_api::v1;
use pursekeeper_tests::Sidecar;
use pursekeeper_tests::overspend::{Extent, Outcome, Random, Scene};
use tokio::runtime::{Builder, Runtime};

use crate::crowd::{Asked, Crowd};
use crate::finding::Found;
use crate::operator::{Act, Aim, Operator, WALLET, seq};
use crate::records::Record;
use crate::stage::{self, expect_revoked, expect_verified, pays};

/// Clients at a time, each with a connection of its own.
const CLIENTS: usize = 64;
/// Rounds of everything and of a sample.
const ROUNDS: [usize; 2] = [200, 8];
/// The stop comes after at least this many signatures, and at most this many more.
const SIGNED: [usize; 2] = [32, 300];
/// What is stopped, one round after the other: every second round a revocation.
const STOPS: [(Act, Aim); 10] = [
    (Act::Revoke, Aim::One("wallet", WALLET)),
    (Act::Suspend, Aim::One("wallet", WALLET)),
    (Act::Revoke, Aim::One("workflow", "market-research")),
    (Act::Suspend, Aim::One("workflow", "market-research")),
    (Act::Revoke, Aim::One("wallet", WALLET)),
    (Act::Suspend, Aim::All),
    (Act::Revoke, Aim::One("agent", "crawler")),
    (Act::Suspend, Aim::One("agent", "crawler")),
    (Act::Revoke, Aim::One("service", "weather")),
    (Act::Suspend, Aim::One("service", "weather")),
];

/// A stop, as its operator saw it.
struct Stop {
    act: Act,
    aim: Aim,
    begun: Instant,
    answered: Instant,
    /// The wall clock when the answer arrived, which is also the sidecar's.
    wall: Timestamp,
    done: v1::LifecycleDone,
}

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let [everything, sample] = ROUNDS;
    let rounds = extent.choose(everything, sample);
    bar.set_length(u64::try_from(rounds).unwrap());
    let mut found = Found::default();
    let mut random = Random::new(extent.seed());
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let base = stage::scene();
    let first = match extent {
        Extent::Everything => 0,
        Extent::Sample { .. } => random.below(STOPS.len()),
    };
    for at in 0..rounds {
        let (act, aim) = STOPS[(first + at) % STOPS.len()];
        round(&base, &runtime, (act, aim), &mut random, &mut found);
        bar.inc(1);
    }
    let (signed, late) = (found.tally.released, found.late);
    found.tally.expect(signed > 0, || "nothing was signed".to_owned());
    found.tally.expect_prompt_starts();
    found.tally.done =
        format!("{rounds} stops under {CLIENTS} clients, {signed} payments signed, {late} signatures late");
    found
}

fn round(base: &Scene, runtime: &Runtime, (act, aim): (Act, Aim), random: &mut Random, found: &mut Found) {
    let scene = Arc::new(base.copy());
    let sidecar = scene.serve(&mut found.tally);
    let operator = Operator::connect(&sidecar);
    let address = operator.wallet().address;
    let crowd = runtime.block_on(Crowd::let_loose((&scene, &sidecar), CLIENTS, random));
    let [least, more] = SIGNED;
    runtime.block_on(crowd.until_signed(least + random.below(more)));
    let begun = Instant::now();
    let told = operator.act(act, aim);
    // Noted before anything is looked at.
    let (answered, wall) = (crowd.stopped(), Timestamp::now());
    let asked = runtime.block_on(crowd.asked());
    let stop = Stop { act, aim, begun, answered, wall, done: told.done() };
    judge(&scene, &sidecar, &stop, &asked, found);
    follow(&scene, sidecar, &operator, &stop, &address, found);
    scene.close(&mut found.tally);
}

/// Whether anything left that must not have.
fn judge(scene: &Scene, sidecar: &Sidecar, stop: &Stop, asked: &[Asked], found: &mut Found) {
    let Stop { act, aim, begun, answered, wall, done } = stop;
    let what = format!("{} {aim:?}", act.as_str());
    found.stops += 1;
    found.took(&format!("{} effective", act.as_str()), Duration::from_micros(done.effective_micros));
    found.took(&format!("{} answered", act.as_str()), *answered - *begun);
    let expected = if *act == Act::Revoke { "revoked" } else { "suspended" };
    found.tally.expect(done.durable && done.status == expected, || format!("{what}: {done:?}"));

    let after = || asked.iter().filter(|ask| ask.begun > *answered);
    let late = after().filter(|ask| ask.outcome.is_signed()).count();
    found.late(u64::try_from(late).unwrap(), || {
        format!("{what}: {late} requests that were sent after the answer were signed")
    });
    let undenied = after().find(|ask| !matches!(ask.outcome, Outcome::Denied(_) | Outcome::Signed));
    found.tally.expect(undenied.is_none(), || format!("{what}: not denied afterwards: {undenied:?}"));
    found.tally.expect(after().count() >= CLIENTS, || format!("{what}: nobody asked afterwards"));
    let early = asked.iter().find(|ask| ask.ended < *begun && !ask.outcome.is_signed());
    found
        .tally
        .expect(early.is_none(), || format!("{what}: not signed before anything was stopped: {early:?}"));

    // What was under way: permitted before the stop was, and handed off before the stop was answered.
    let recorded = seq(&done.decision_id);
    let records = Record::all(&scene.purse.file("journal/pursekeeper.db"));
    let permitted = records.iter().filter(|record| record.seq > recorded && record.releases()).count();
    found.late(u64::try_from(permitted).unwrap(), || {
        format!("{what}: {permitted} signatures were permitted after record {recorded}")
    });
    let handed_off: Vec<Timestamp> = sidecar.log().lines().filter_map(hand_off).collect();
    let signed = asked.iter().filter(|ask| ask.outcome.is_signed()).count();
    found.tally.expect(handed_off.len() >= signed, || {
        format!("{what}: the log tells of {} signatures, clients have {signed}", handed_off.len())
    });
    let late = handed_off.iter().filter(|at| *at > wall).count();
    found.late(u64::try_from(late).unwrap(), || {
        format!("{what}: {late} signatures were handed off after the answer")
    });
}

/// When a line of the sidecar's log says that a signature leaves. It is written while a stop still has to wait for it.
pub(crate) fn hand_off(line: &str) -> Option<Timestamp> {
    let (time, rest) = line.split_once(' ')?;
    let is_one = rest.contains("signer: signed decision=") || rest.contains("signer: signed in decision=");
    is_one.then(|| time.parse().unwrap())
}

/// What holds after a stop, and after a restart.
fn follow(
    scene: &Arc<Scene>,
    sidecar: Sidecar,
    operator: &Operator,
    stop: &Stop,
    address: &str,
    found: &mut Found,
) {
    let Stop { act, aim, .. } = stop;
    let what = format!("{} {aim:?}", act.as_str());
    let tally = &mut found.tally;
    match (act, aim) {
        (Act::Revoke, Aim::One("wallet", _)) => {
            let key = &stop.done.key;
            tally.expect(key == "destroyed", || format!("{what}: the key is `{key}`"));
            expect_revoked((scene, &sidecar, operator), address, &what, tally);
        }
        (Act::Revoke, Aim::One(kind, name)) => {
            let outside = operator.exposure(kind, name);
            let (open, held) = (
                outside.iter().filter(|exposed| exposed.cancellation != "signed").count(),
                scene.books().holds.len(),
            );
            tally.expect((open, outside.len()) == (0, held), || {
                format!("{what}: of {held} payments {} are outside and {open} not voided", outside.len())
            });
        }
        (Act::Suspend | Act::Resume | Act::Revoke, _) => {}
    }
    sidecar.kill();
    expect_verified(scene, &what, tally);
    scene.compare(&scene.books(), &what, tally);
    let sidecar = scene.serve(tally);
    let operator = Operator::connect(&sidecar);
    let outcome = pays(scene, &sidecar, "restarted");
    tally.expect(matches!(outcome, Outcome::Denied(_)), || format!("{what}, restarted: {outcome:?}"));
    let resumed = operator.act(Act::Resume, *aim);
    match act {
        Act::Revoke => {
            tally.expect(resumed.code() == Some("REVOKED"), || format!("{what}, resumed: {resumed:?}"));
            if let Aim::One("wallet", _) = aim {
                expect_revoked((scene, &sidecar, &operator), address, &format!("{what}, restarted"), tally);
            }
        }
        Act::Suspend | Act::Resume => {
            let _ = resumed.done();
            // The witness compares every byte with what was handed out before.
            let again = scene.witness.released().keys().next().cloned().unwrap();
            for id in ["resumed", &again] {
                let outcome = pays(scene, &sidecar, id);
                tally.expect(outcome.is_signed(), || format!("{what}, resumed, `{id}`: {outcome:?}"));
            }
            scene.compare(&scene.books(), &format!("{what}, resumed"), tally);
        }
    }
    // A connection that nobody serves would keep the sidecar waiting.
    drop(operator);
    let stopped = sidecar.stop();
    tally.expect(stopped.success(), || format!("{what}: the sidecar ended with {stopped}"));
    expect_verified(scene, &format!("{what}, at the end"), tally);
}

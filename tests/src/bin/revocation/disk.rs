//! Stops on a disk that is full.

use std::fs;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pursekeeper_tests::overspend::{Client, Extent, Outcome, Scene, Tally};
use pursekeeper_tests::{Purse, Sidecar, fill_disk, on_disk, serve_on_disk};

use crate::finding::Found;
use crate::keys;
use crate::operator::{Act, Aim, Operator, Told, WALLET};
use crate::stage;

/// The size of the disk: room for the journal and what it keeps back for stops, and little more.
const DISK: &str = "12m";
/// Payments before it is full.
const PAID: usize = 20;
/// More than one payment may be: it is denied, which takes room too.
const TOO_MUCH: u128 = 60_000;
/// How long nothing must be signed on a full disk: several of the sidecar's own attempts to make room.
const STAYS_FULL: Duration = Duration::from_secs(3);
/// How long the disk may take to be full for good, or to be used again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what comes by itself.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let rounds = extent.choose(5, 1);
    bar.set_length(u64::try_from(rounds).unwrap());
    let mut found = Found::default();
    for _ in 0..rounds {
        stop_on_full(&mut found);
        bar.inc(1);
    }
    found.tally.done = format!("{rounds} disks filled, suspended and revoked on each, then freed");
    found
}

fn stop_on_full(found: &mut Found) {
    let scene = stage::scene();
    let sidecar = serve_on_disk(&scene.purse, DISK);
    let operator = Operator::connect(&sidecar);
    let mut client = Client::connect(&sidecar);
    let address = operator.wallet().address;
    for at in 0..PAID {
        let outcome = scene.pay(&mut client, &format!("paid-{at}"));
        found.tally.expect(outcome.is_signed(), || format!("before it is full: {outcome:?}"));
    }
    let ballast = fill_disk(&scene.purse, &sidecar);
    fill_up(&scene, &mut client);

    for (act, status) in [(Act::Suspend, "suspended"), (Act::Revoke, "revoked")] {
        let begun = Instant::now();
        let told = operator.act(act, Aim::One("wallet", WALLET));
        found.took(&format!("{} answered", act.as_str()), begun.elapsed());
        found.stops += 1;
        let durable = matches!(&told, Told::Done(done) if done.durable && done.status == status);
        found.tally.expect(durable, || format!("on a full disk: {}: {told:?}", act.as_str()));
        for id in ["paid-0", "fresh"] {
            let outcome = scene.pay(&mut client, id);
            found.late(u64::from(outcome.is_signed()), || {
                format!("{status} on a full disk, and `{id}` was signed")
            });
        }
    }
    // What is on the disk now is what a crash would leave.
    let crashed = scene.copy();
    fetch(&crashed.purse, &sidecar, &scene.purse);
    fs::remove_file(ballast).unwrap();
    let begun = Instant::now();
    let voided = || {
        let outside = operator.exposure("wallet", &address);
        outside.len() == PAID && outside.iter().all(|exposed| exposed.cancellation == "signed")
    };
    while !(keys::of(&scene.purse, WALLET).is_empty() && voided()) {
        if begun.elapsed() > PATIENCE {
            found.tally.fault(format!("with space again, it is not carried out: {}", sidecar.log()));
            break;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    // Voids need no room but that of stops; anything else waits until that room is made again.
    let mut outcome = scene.pay(&mut client, "freed");
    while outcome.is_unavailable() && begun.elapsed() < PATIENCE {
        std::thread::sleep(LOOK_INTERVAL);
        outcome = scene.pay(&mut client, "freed");
    }
    found.tally.expect(matches!(outcome, Outcome::Denied(_)), || format!("with space again: {outcome:?}"));
    fetch(&scene.purse, &sidecar, &scene.purse);
    stage::expect_revoked((&scene, &sidecar, &operator), &address, "with space again", &mut found.tally);
    drop(client);
    sidecar.kill();
    stage::expect_verified(&scene, "with space again", &mut found.tally);
    scene.close(&mut found.tally);
    after_crash(&crashed, &address, &mut found.tally);
}

/// Asks until nothing is recorded any more, for good.
fn fill_up(scene: &Scene, client: &mut Client) {
    let begun = Instant::now();
    let mut refused_since: Option<Instant> = None;
    let mut at = 0_u64;
    while refused_since.is_none_or(|since| since.elapsed() < STAYS_FULL) {
        assert!(begun.elapsed() < PATIENCE, "the disk is never full");
        at += 1;
        match client.pay(&scene.witness, &format!("fill-{at}"), TOO_MUCH) {
            Outcome::Denied(_) => refused_since = None,
            Outcome::Failed(_) => {
                refused_since.get_or_insert_with(Instant::now);
            }
            other @ (Outcome::Signed | Outcome::Done) => panic!("{other:?}"),
        }
    }
}

/// Had the sidecar crashed on the full disk, and found space when it started again.
fn after_crash(scene: &Scene, address: &str, tally: &mut Tally) {
    let after = "crashed on a full disk";
    stage::expect_verified(scene, after, tally);
    let sidecar = scene.serve(tally);
    let operator = Operator::connect(&sidecar);
    stage::expect_revoked((scene, &sidecar, &operator), address, after, tally);
    sidecar.kill();
    stage::expect_verified(scene, after, tally);
}

/// Copies the journal from the disk that the sidecar alone sees to where a purse has it.
fn fetch(to: &Purse, sidecar: &Sidecar, from: &Purse) {
    for name in ["pursekeeper.db", "pursekeeper.db-wal"] {
        fs::copy(on_disk(from, sidecar, name), to.file(&format!("journal/{name}"))).unwrap();
    }
    // Made anew from the log.
    let _ = fs::remove_file(to.file("journal/pursekeeper.db-shm"));
}

//! A disk of 256 KiB, and the room that is kept for stops, that fills up and then has room.

use std::fs;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pursekeeper_core::{ScopeKind, Window};
use pursekeeper_tests::overspend::{Books, Ceiling, Client, Extent, Rules, Scene, Tally};
use pursekeeper_tests::{Purse, Sidecar, on_disk, resize_disk, serve_on_disk};

/// The size of the disk: 1 MiB of it is kept for stops.
const DISK: &str = "1536k";
/// Its size once there is room.
const ROOM: &str = "16m";
/// Payments that fit the budget: more than fit on the disk.
const FIT: u64 = 2_000;
/// Payments that fit the budget once there is room again.
const REST: u64 = 5;
/// How long the disk may take to be full for good, or to be used again.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must be signed on a full disk: several of the sidecar's own attempts.
const STAYS_FULL: Duration = Duration::from_secs(3);

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Tally {
    let rounds = extent.choose(3, 1);
    bar.set_length(u64::try_from(rounds).unwrap());
    let mut tally = Tally::default();
    let mut counts = Vec::new();
    for round in 0..rounds {
        counts.push(fill_and_free(round, &mut tally).to_string());
        bar.inc(1);
    }
    tally.done = format!("full {rounds} times, after {} payments", counts.join(", "));
    tally
}

fn fill_and_free(round: usize, tally: &mut Tally) -> u64 {
    let scene = Scene::new(Rules::of(&[Ceiling::usd(ScopeKind::Agent, Window::Day, FIT)]));
    // A fresh journal's log holds nothing, and is longer than the disk.
    fs::remove_file(scene.purse.file("journal/pursekeeper.db-wal")).unwrap();
    let sidecar = serve_on_disk(&scene.purse, DISK);
    let mut client = Client::connect(&sidecar);
    let mut signed = 0;
    let begun = Instant::now();
    let mut refused_since: Option<Instant> = None;
    // A probe of the sidecar's own may make a little room, so it is full when it stays full.
    while refused_since.is_none_or(|since| since.elapsed() < STAYS_FULL) {
        assert!(signed < FIT && begun.elapsed() < 4 * PATIENCE, "the disk is never full");
        let outcome = scene.pay(&mut client, &format!("fill-{round}-{signed}"));
        if outcome.is_signed() {
            (signed, refused_since) = (signed + 1, None);
        } else {
            assert!(outcome.is_unavailable(), "{outcome:?}");
            refused_since.get_or_insert_with(Instant::now);
        }
    }
    // A retry may still be answered: its record is small, and fits where a payment's does not.
    let _ = scene.pay(&mut client, &format!("fill-{round}-0"));
    inspect(&scene.purse, &sidecar, &scene, "full", tally);
    resize_disk(&scene.purse, &sidecar, ROOM);
    let mut freed = 0;
    let begun = Instant::now();
    while freed < REST {
        assert!(begun.elapsed() < PATIENCE, "it does not recover: {}", sidecar.log());
        freed += u64::from(scene.pay(&mut client, &format!("freed-{round}-{freed}")).is_signed());
    }
    let again = scene.pay(&mut client, &format!("fill-{round}-0"));
    tally.expect(again.is_signed(), || format!("not handed out again when there is room: {again:?}"));
    let books = inspect(&scene.purse, &sidecar, &scene, "freed", tally);
    scene.count(&books, tally);
    drop(client);
    sidecar.kill();
    signed
}

/// Looks at the journal through a copy: the disk is seen by the sidecar alone.
fn inspect(purse: &Purse, sidecar: &Sidecar, scene: &Scene, after: &str, tally: &mut Tally) -> Books {
    for name in ["pursekeeper.db", "pursekeeper.db-wal"] {
        fs::copy(on_disk(purse, sidecar, name), purse.file(&format!("journal/{name}"))).unwrap();
    }
    let _ = fs::remove_file(purse.file("journal/pursekeeper.db-shm"));
    scene.examine(after, tally);
    scene.books()
}

//! Journals that are gone, and journals of others.

use std::fs;

use pursekeeper_core::{ScopeKind, Window};

use super::restarts::{put_journal, refused};
use super::{Ceiling, Client, Rules, Scene, Tally};

/// Payments that fit.
const FIT: u64 = 4;

/// A journal deleted after some payments: no start, no new one in passing, and after `journal adopt` every window is spent.
/// Deleted under a running sidecar, the ceiling still binds.
///
/// # Panics
/// When a sidecar does not start.
#[must_use]
pub fn lost_journal() -> Tally {
    let mut tally = Tally::default();
    let windows = [Window::Hour, Window::Day, Window::Week, Window::Month, Window::Lifetime];
    for window in windows {
        let scene = Scene::new(Rules::of(&[Ceiling::usd(ScopeKind::Agent, window, FIT)]));
        let sidecar = scene.serve(&mut tally);
        let mut client = Client::connect(&sidecar);
        let _ = scene.pay_out(&mut client, "before", 2);
        let books = scene.books();
        scene.compare(&books, "before the loss", &mut tally);
        scene.count(&books, &mut tally);
        let running = window == Window::Lifetime;
        if !running {
            drop(client);
            sidecar.kill();
            fs::remove_dir_all(scene.purse.file("journal")).unwrap();
        } else {
            fs::remove_dir_all(scene.purse.file("journal")).unwrap();
            let rest = scene.pay_out(&mut client, "rest", 2 * FIT);
            tally.expect(rest <= FIT - 2, || format!("{rest} more were signed without a journal"));
            drop(client);
            sidecar.kill();
        }
        refused(&scene.purse, "without a journal", "no journal", &mut tally);
        let init = scene.purse.run(&["journal", "init"]);
        tally.expect(init.status.code() == Some(1), || format!("journal init: {init:?}"));
        let adopted = scene.purse.run(&["journal", "adopt"]);
        tally.expect(adopted.status.success(), || format!("journal adopt: {adopted:?}"));
        let sidecar = scene.serve(&mut tally);
        let signed = scene.pay_out(&mut Client::connect(&sidecar), "after", FIT);
        tally.expect(signed == 0, || {
            format!("{signed} were signed after adopting, with a ceiling per {window}")
        });
        sidecar.kill();
        tally.decisions += scene.books().decisions;
        let over = (2 + u128::from(signed)).saturating_sub(FIT.into());
        tally.overspend = tally.overspend.max(over * super::PRICE);
    }
    tally.done = format!("{} losses, none a fresh budget", windows.len());
    tally
}

/// The write-ahead log deleted alone, which holds the latest payments, and the journal under a second name, beside which a
/// second lock and log would stand: no start either way, and with everything as it was the rest of the budget.
///
/// # Panics
/// When a sidecar does not start.
#[must_use]
pub fn lost_log() -> Tally {
    let mut tally = Tally::default();
    let scene = Scene::new(Rules::of(&[Ceiling::usd(ScopeKind::Agent, Window::Lifetime, FIT)]));
    let sidecar = scene.serve(&mut tally);
    let _ = scene.pay_out(&mut Client::connect(&sidecar), "before", FIT - 1);
    sidecar.kill();
    let log = scene.purse.file("journal/pursekeeper.db-wal");
    let saved = fs::read(&log).unwrap();
    fs::remove_file(&log).unwrap();
    for _ in 0..2 {
        refused(&scene.purse, "without its log", "is missing or empty", &mut tally);
    }
    fs::write(&log, saved).unwrap();
    let (journal, other) =
        (scene.purse.file("journal/pursekeeper.db"), scene.purse.file("journal/second.db"));
    fs::hard_link(journal, &other).unwrap();
    refused(&scene.purse, "under two names", "more than one name", &mut tally);
    fs::remove_file(other).unwrap();
    let sidecar = scene.serve(&mut tally);
    let signed = scene.pay_out(&mut Client::connect(&sidecar), "after", FIT);
    tally.expect(signed == 1, || format!("{signed} were signed after all was put back"));
    sidecar.kill();
    scene.examine("the log was gone", &mut tally);
    scene.close(&mut tally);
    tally.done = "log lost, journal linked, put back".to_owned();
    tally
}

/// The journal of another purse, fresh and with room, in place of the spent one: it must not be taken for it.
///
/// # Panics
/// When a sidecar does not start.
#[must_use]
pub fn swapped_journal() -> Tally {
    let mut tally = Tally::default();
    let rules = Rules::of(&[Ceiling::usd(ScopeKind::Wallet, Window::Day, FIT)]);
    let (scene, fresh) = (Scene::new(rules.clone()), Scene::new(rules));
    let sidecar = scene.serve(&mut tally);
    let signed = scene.pay_out(&mut Client::connect(&sidecar), "spent", 2 * FIT);
    tally.expect(signed == FIT, || format!("{signed} of {FIT} were signed"));
    sidecar.kill();
    let spent = scene.purse.copy();
    put_journal(&fresh.purse, &scene.purse);
    refused(&scene.purse, "a fresh journal of another purse", "keystore belongs to", &mut tally);
    // The database alone, beside the write-ahead log of the spent one.
    fs::remove_dir_all(scene.purse.file("journal")).unwrap();
    put_journal_back(&scene, &spent);
    fs::copy(fresh.purse.file("journal/pursekeeper.db"), scene.purse.file("journal/pursekeeper.db")).unwrap();
    let mixed = scene.purse.try_serve_by(scene.purse.command(&["serve"]));
    if let Ok(sidecar) = mixed {
        let more = scene.pay_out(&mut Client::connect(&sidecar), "mixed", FIT);
        tally.expect(more == 0, || format!("{more} more were signed with a mixed journal"));
        sidecar.kill();
    }
    fs::remove_dir_all(scene.purse.file("journal")).unwrap();
    put_journal_back(&scene, &spent);
    let sidecar = scene.serve(&mut tally);
    let more = scene.pay_out(&mut Client::connect(&sidecar), "back", FIT);
    tally.expect(more == 0, || format!("{more} more were signed after the right one was put back"));
    sidecar.kill();
    scene.examine("the right journal was put back", &mut tally);
    scene.close(&mut tally);
    tally.done = "2 swaps, put back".to_owned();
    tally
}

fn put_journal_back(scene: &Scene, spent: &crate::Purse) {
    crate::purse::copy_all(&spent.file("journal"), &scene.purse.file("journal"));
}

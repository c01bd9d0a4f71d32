//! Ending and starting sidecars, and starting too many of them.

use std::fs;
use std::time::Duration;

use pursekeeper_core::{ScopeKind, Window};

use super::{Ceiling, Client, Rules, Scene, Tally};
use crate::Purse;

/// How long a sidecar that does not start may take to say so.
const PATIENCE: Duration = Duration::from_secs(20);
/// Payments that fit.
const FIT: u64 = 4;

fn rules() -> Rules {
    Rules::of(&[
        Ceiling::usd(ScopeKind::Agent, Window::Day, FIT),
        Ceiling::payments(ScopeKind::Wallet, Window::Lifetime, FIT),
    ])
}

/// A restart after each payment, by a crash and in order by turns: what was spent stays, and so do the payloads.
///
/// # Panics
/// When a sidecar does not start or stop.
#[must_use]
pub fn restart() -> Tally {
    let mut tally = Tally::default();
    let scene = Scene::new(rules());
    for at in 0..FIT + 3 {
        let sidecar = scene.serve(&mut tally);
        let mut client = Client::connect(&sidecar);
        let answer = scene.pay(&mut client, &format!("payment-{at}"));
        tally.expect(answer.is_signed() == (at < FIT), || format!("payment {at}: {answer:?}"));
        let again = scene.pay(&mut client, "payment-0");
        tally.expect(again.is_signed(), || format!("the first one, after {at}: {again:?}"));
        drop(client);
        if at % 2 == 0 {
            sidecar.kill();
        } else {
            let status = sidecar.stop();
            tally.expect(status.success(), || format!("the stop after payment {at}: {status}"));
        }
        scene.examine(&format!("payment {at}"), &mut tally);
    }
    scene.close(&mut tally);
    tally.done = format!("{} starts, {FIT} payments fit", FIT + 3);
    tally
}

/// A second sidecar on the same journal, under the same and under another name, and another purse's sidecar on a copy of
/// it: each must refuse to start, and none may take anything from the first.
///
/// # Panics
/// When the first sidecar does not start.
#[must_use]
pub fn second_replica() -> Tally {
    let mut tally = Tally::default();
    let scene = Scene::new(rules());
    let sidecar = scene.serve(&mut tally);
    let mut client = Client::connect(&sidecar);
    let signed = scene.pay_out(&mut client, "first", 2);
    tally.expect(signed == 2, || format!("{signed} of 2 were signed before"));
    refused(&scene.purse, "the same configuration", "in use by", &mut tally);
    for (what, journal) in
        [("other sockets", scene.purse.file("journal")), ("a symbolic link", linked(&scene.purse))]
    {
        let replica = scene.purse.copy();
        let to = format!("journal: {}/", journal.display());
        replica.replace("pursekeeper.yaml", "journal: journal/", &to);
        refused(&replica, what, "in use by", &mut tally);
    }
    let rest = scene.pay_out(&mut client, "rest", FIT);
    tally.expect(rest == FIT - 2, || format!("{rest} of {} were signed after", FIT - 2));
    drop(client);
    sidecar.kill();
    scene.examine("replicas were refused", &mut tally);

    let other = Purse::init();
    put_journal(&scene.purse, &other);
    refused(&other, "a copy under another id", "keystore belongs to", &mut tally);
    scene.close(&mut tally);
    tally.done = "4 starts, all refused".to_owned();
    tally
}

/// Notes a fault unless `serve` ends with an error that says `why`.
pub(super) fn refused(purse: &Purse, what: &str, why: &str, tally: &mut Tally) {
    let mut sidecar = purse.start_by(purse.command(&["serve"]));
    let ended = sidecar.ended_within(PATIENCE);
    let log = sidecar.log();
    let refused = ended.is_some_and(|status| status.code() == Some(1)) && log.contains(why);
    tally.expect(refused, || format!("{what}: {ended:?}: {log}"));
}

/// Puts a copy of one purse's journal into another purse, in place of its own.
pub(super) fn put_journal(from: &Purse, to: &Purse) {
    fs::remove_dir_all(to.file("journal")).unwrap();
    crate::purse::copy_all(&from.file("journal"), &to.file("journal"));
}

fn linked(purse: &Purse) -> std::path::PathBuf {
    let link = purse.file("link");
    std::os::unix::fs::symlink(purse.file("journal"), &link).unwrap();
    link
}

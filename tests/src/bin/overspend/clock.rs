//! A wall clock that goes back and forth.

use std::time::SystemTime;

use pursekeeper_core::{ScopeKind, Window};
use pursekeeper_tests::harness::strace::{Strace, let_go, without_vdso};
use pursekeeper_tests::overspend::{Ceiling, Client, Outcome, Rules, Scene, Tally};
use pursekeeper_tests::{Sidecar, in_mount_space};

/// Payments that fit.
const FIT: u64 = 6;
/// One hour, in seconds.
const HOUR: i64 = 3_600;
/// What the clock says each time, in seconds from now, and how a payment is refused then, if it is. The boot clock goes on as
/// it does, so that neither direction is believed, and the right time is believed again at once.
const MOVES: [(i64, Option<&str>); 9] = [
    (-HOUR, Some("CLOCK_REGRESSED")),
    (0, None),
    (HOUR, Some("CLOCK_JUMPED")),
    (0, None),
    (-HOUR, Some("CLOCK_REGRESSED")),
    (25 * HOUR, Some("CLOCK_JUMPED")),
    (HOUR, Some("CLOCK_JUMPED")),
    (1_000 * HOUR, Some("CLOCK_JUMPED")),
    (0, None),
];

pub(crate) fn run() -> Tally {
    let mut tally = Tally::default();
    let scene = Scene::new(Rules::of(&[
        Ceiling::usd(ScopeKind::Agent, Window::Day, FIT),
        Ceiling::payments(ScopeKind::Wallet, Window::Lifetime, FIT),
    ]));
    let (sidecar, mut client) = serve(&scene, "first", &mut tally);
    for (at, (offset, refused)) in MOVES.into_iter().enumerate() {
        let clock = stop_clock(&scene, &sidecar, offset);
        let outcome = scene.pay(&mut client, &format!("move-{at}"));
        let expected = refused.map_or(outcome.is_signed(), |code| outcome.is_denied(code));
        tally.expect(expected, || format!("move {at}, to {offset} s: {outcome:?}"));
        drop(clock);
    }
    drop(client);
    sidecar.kill();
    scene.examine("the clock went back and forth", &mut tally);

    // The journal remembers what the clocks said together.
    let (sidecar, mut client) = serve(&scene, "second", &mut tally);
    for (offset, fit) in [(25 * HOUR, 0), (0, 1), (1_000 * HOUR, 0)] {
        let clock = stop_clock(&scene, &sidecar, offset);
        let signed = scene.pay_out(&mut client, &format!("restarted-{offset}"), FIT);
        tally.expect(signed == fit, || {
            format!("restarted, at {offset} s: {signed} were signed instead of {fit}")
        });
        drop(clock);
    }
    drop(client);
    sidecar.kill();
    scene.examine("the clock went back and forth after a restart", &mut tally);
    scene.close(&mut tally);
    tally.done = format!("{} times the clock was turned", MOVES.len() + 3);
    tally
}

/// Starts a sidecar whose clock can be turned, by asking it for a payment at the true time.
fn serve(scene: &Scene, id: &str, tally: &mut Tally) -> (Sidecar, Client) {
    let hidden = in_mount_space(&scene.purse, "mount -t tmpfs none /proc");
    let command = without_vdso(&hidden, &scene.purse.file("strace"));
    let sidecar = scene.purse.serve_by(command);
    let mut client = Client::connect(&sidecar);
    let outcome = scene.pay(&mut client, id);
    let answered = matches!(outcome, Outcome::Signed | Outcome::Denied(_));
    tally.expect(answered, || format!("at the true time: {outcome:?}"));
    let_go(&sidecar);
    (sidecar, client)
}

fn stop_clock(scene: &Scene, sidecar: &Sidecar, offset: i64) -> Strace {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().strict_add(1);
    let time = now.checked_add_signed(offset).unwrap();
    Strace::stop_clock(sidecar, time, &scene.purse.file("strace"))
}

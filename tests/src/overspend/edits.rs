//! What people change between two starts, and what sellers do.

use pursekeeper_core::{ScopeKind, Window};

use super::{Ceiling, Client, PRICE, Rules, Scene, Tally};

/// Limits raised and lowered between starts, in dollars and in payments: what was spent stays spent, and each start signs
/// exactly what its limit leaves.
///
/// # Panics
/// When a sidecar does not start.
#[must_use]
pub fn edited_limit() -> Tally {
    // The limit of each start, in payments, and how many are signed under it.
    const STARTS: [(u64, u64); 6] = [(3, 3), (2, 0), (5, 2), (1, 0), (5, 0), (6, 1)];
    let mut tally = Tally::default();
    let make: [fn(ScopeKind, Window, u64) -> Ceiling; 2] = [Ceiling::usd, Ceiling::payments];
    for (ceiling, window) in make.into_iter().zip([Window::Day, Window::Lifetime]) {
        let rules = |limit| Rules::of(&[ceiling(ScopeKind::Workflow, window, limit)]);
        let mut scene = Scene::new(rules(STARTS[0].0));
        for (at, (limit, expected)) in STARTS.into_iter().enumerate() {
            if at > 0 {
                scene.change(rules(limit));
            }
            let sidecar = scene.serve(&mut tally);
            let signed = scene.pay_out(&mut Client::connect(&sidecar), &format!("start-{at}"), 10);
            tally.expect(signed == expected, || {
                format!("start {at} with room for {limit}: {signed} were signed instead of {expected}")
            });
            sidecar.kill();
            scene.examine(&format!("start {at}"), &mut tally);
        }
        scene.close(&mut tally);
    }
    tally.done = format!("{} starts with other limits", 2 * STARTS.len());
    tally
}

/// The same payee under another service's name: its own ceiling still binds.
///
/// # Panics
/// When a sidecar does not start.
#[must_use]
pub fn relabelled_service() -> Tally {
    const FIT: u64 = 5;
    let mut tally = Tally::default();
    let ceilings = [
        Ceiling::usd(ScopeKind::Payee, Window::Day, FIT),
        // A service's own ceiling is about its name, so a new name begins with all of it.
        Ceiling::payments(ScopeKind::Service, Window::Day, FIT),
    ];
    let mut scene = Scene::new(Rules::of(&ceilings));
    for (service, asked, expected) in [("weather", 3, 3), ("climate", FIT, 2), ("weather", FIT, 0)] {
        scene.change(Rules { service, ..Rules::of(&ceilings) });
        let sidecar = scene.serve(&mut tally);
        let prefix = format!("{service}-{asked}");
        let signed = scene.pay_out(&mut Client::connect(&sidecar), &prefix, asked);
        tally.expect(signed == expected, || {
            format!("as {service}: {signed} were signed instead of {expected}")
        });
        sidecar.kill();
        scene.examine(&format!("as {service}"), &mut tally);
    }
    scene.close(&mut tally);
    tally.done = "3 names of one payee".to_owned();
    tally
}

/// A seller that answers 402 again after it was paid: the same request id gets the same payload and costs nothing more,
/// another price under the same id is refused, and each new id counts.
///
/// # Panics
/// When the sidecar does not start.
#[must_use]
pub fn paid_again() -> Tally {
    const FIT: u64 = 4;
    const AGAIN: usize = 5;
    let mut tally = Tally::default();
    let scene = Scene::new(Rules::of(&[Ceiling::usd(ScopeKind::Agent, Window::Day, FIT)]));
    let sidecar = scene.serve(&mut tally);
    let mut client = Client::connect(&sidecar);
    for id in 0..FIT + 2 {
        let id_text = format!("order-{id}");
        for again in 0..AGAIN {
            let answer = scene.pay(&mut client, &id_text);
            tally.expect(answer.is_signed() == (id < FIT), || format!("{id_text}, time {again}: {answer:?}"));
        }
        let dearer = client.pay(&scene.witness, &id_text, 2 * PRICE);
        let code = if id < FIT { "REQUEST_ID_REUSED" } else { "CEILING_EXCEEDED" };
        tally.expect(dearer.is_denied(code), || format!("{id_text} for twice the price: {dearer:?}"));
    }
    drop(client);
    sidecar.kill();
    scene.examine("the seller asked again and again", &mut tally);
    scene.close(&mut tally);
    let released = scene.witness.count();
    tally.expect(released == FIT, || format!("{released} payloads were handed out instead of {FIT}"));
    tally.done = format!("each 402 answered {AGAIN} times");
    tally
}

/// A workflow under another name, which says what it was: what was spent stays spent, also after a second renaming.
///
/// # Panics
/// When a sidecar does not start.
#[must_use]
pub fn renamed_workflow() -> Tally {
    const FIT: u64 = 5;
    const NAMES: [&str; 3] = ["market-research", "market-study", "survey"];
    let mut tally = Tally::default();
    let scene = Scene::new(Rules::of(&[Ceiling::usd(ScopeKind::Workflow, Window::Lifetime, FIT)]));
    for (at, (asked, expected)) in [(2, 2), (2, 2), (FIT, 1)].into_iter().enumerate() {
        if at > 0 {
            let (from, to) = (NAMES[at - 1], NAMES[at]);
            let was = NAMES[..at].join(", ");
            let registry = "policies/registry.yaml";
            scene.purse.replace(registry, &format!("workflows: [{from}]"), &format!("workflows: [{to}]"));
            let declared = format!("  {from}:\n");
            scene.purse.replace(registry, &declared, &format!("  {to}:\n    was: [{was}]\n"));
            if at > 1 {
                let before = NAMES[..at - 1].join(", ");
                let twice = format!("    was: [{was}]\n    was: [{before}]\n");
                scene.purse.replace(registry, &twice, &format!("    was: [{was}]\n"));
            }
        }
        let sidecar = scene.serve(&mut tally);
        let signed = scene.pay_out(&mut Client::connect(&sidecar), NAMES[at], asked);
        tally.expect(signed == expected, || {
            format!("as {}: {signed} were signed instead of {expected}", NAMES[at])
        });
        sidecar.kill();
        scene.examine(&format!("as {}", NAMES[at]), &mut tally);
    }
    scene.close(&mut tally);
    tally.done = format!("{} names of one workflow", NAMES.len());
    tally
}

/// Money that an operator releases: not while the signature is alive, once when it is dead, also across restarts, and what
/// is free then is spent exactly once more.
///
/// # Panics
/// When a sidecar does not start.
#[must_use]
pub fn released_holds() -> Tally {
    const FIT: u64 = 3;
    let mut tally = Tally::default();
    let scene = Scene::new(Rules::of(&[Ceiling::payments(ScopeKind::Agent, Window::Lifetime, FIT)]));
    scene.purse.replace("pursekeeper.yaml", "validity_secs_max: 300", "validity_secs_max: 1");
    scene.purse.replace("pursekeeper.yaml", "skew_secs: 60 ", "skew_secs: 0 ");
    let sidecar = scene.serve(&mut tally);
    let mut client = Client::connect(&sidecar);
    let signed = scene.pay_out(&mut client, "first", 10);
    tally.expect(signed == FIT, || format!("{signed} were signed at first instead of {FIT}"));
    let first = scene.books().holds[0].clone();
    let listed = scene.purse.exits(0, &["hold", "list", "--output", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let held = listed.as_array().unwrap().iter().find(|hold| hold["seq"] == first.seq).unwrap();
    let id = held["decision_id"].as_str().unwrap();
    let release = ["hold", "release", id, "--reason", "not on chain"];
    let try_release = || scene.purse.run(&release).status.success();
    let mut refused = 0u64;
    while !try_release() {
        refused += 1;
    }
    tally.expect(refused > 0, || "a signature that is alive was released".to_owned());
    tally.expect(!try_release(), || "a hold was released twice".to_owned());
    drop(client);
    sidecar.kill();
    let sidecar = scene.serve(&mut tally);
    tally.expect(!try_release(), || "a hold was released twice, after a restart".to_owned());
    let signed = scene.pay_out(&mut Client::connect(&sidecar), "second", 10);
    tally.expect(signed == 1, || format!("{signed} were signed for one that was released"));
    sidecar.kill();
    scene.examine("one was released", &mut tally);
    scene.close(&mut tally);
    tally.done = format!("1 release, {} refused", refused + 2);
    tally
}

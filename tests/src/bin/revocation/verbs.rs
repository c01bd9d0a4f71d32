//! What operators do that takes more than one write, and how it may end.

use pursekeeper_custody::Transport;
use pursekeeper_tests::overspend::{Outcome, Scene, Tally};
use pursekeeper_tests::{Purse, Sidecar};

use crate::keys;
use crate::operator::{Act, Aim, Operator, Told, WALLET};
use crate::stage::{self, REGISTRY, expect_cancellations, expect_revoked, pays};

/// A wallet that is to be declared.
const SECOND: &str = "second";
/// Payments that are outside.
const OUTSIDE: usize = 3;

/// A purse in which something is about to be done.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    /// The wallet's address before it.
    address: String,
    /// The address of the key that is handed in, or that a rotation made.
    other: String,
}

/// A sidecar on it.
pub(crate) type Seen<'a> = (&'a Stage, &'a Sidecar, &'a Operator);

/// Something an operator does.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    /// Makes a purse in which it is about to be done.
    pub(crate) prepare: fn() -> Stage,
    /// Does it.
    pub(crate) perform: fn(&Stage, &Operator) -> Told<()>,
    /// Looks at what a kill left: it is done, or it is not, and nothing in between.
    pub(crate) either: fn(Seen<'_>, &str, &mut Tally),
    /// Looks at what there is once it has been done, perhaps again.
    pub(crate) finished: fn(Seen<'_>, &str, &mut Tally),
}

/// All of them.
pub(crate) const ALL: [Verb; 8] = [
    Verb {
        name: "create",
        prepare: || Stage::prepare(|_| {}, |_, _, _| String::new()),
        perform: |_, operator| operator.create(SECOND).unit(),
        either: |seen, after, tally| expect_added(seen, 0, after, tally),
        finished: |seen, after, tally| expect_added(seen, 1, after, tally),
    },
    Verb {
        name: "import",
        prepare: foreign_key,
        perform: |stage, operator| {
            let sealed = keys::seal(&stage.scene.purse, SECOND, &operator.transport);
            operator.import(SECOND, sealed).unit()
        },
        either: |seen, after, tally| expect_added(seen, 0, after, tally),
        finished: |seen, after, tally| expect_added(seen, 1, after, tally),
    },
    Verb {
        name: "rotate",
        prepare: || Stage::prepare(|_| {}, paid),
        perform: |_, operator| operator.rotate().unit(),
        either: |seen, after, tally| expect_rotating(seen, 0, after, tally),
        finished: |seen, after, tally| expect_rotating(seen, 1, after, tally),
    },
    Verb {
        name: "reload",
        prepare: rotated,
        perform: |stage, operator| {
            declare_successor_once(stage);
            operator.reload().unit()
        },
        either: expect_rotated,
        finished: expect_rotated,
    },
    Verb {
        name: "revoke",
        prepare: || Stage::prepare(|_| {}, paid),
        perform: |_, operator| operator.act(Act::Revoke, Aim::One("wallet", WALLET)).unit(),
        either: revoked_or_not,
        finished: |(stage, sidecar, operator), after, tally| {
            expect_revoked((&stage.scene, sidecar, operator), &stage.address, after, tally);
        },
    },
    Verb {
        name: "cancel-outstanding",
        prepare: || {
            Stage::prepare(
                |_| {},
                |stage, sidecar, operator| {
                    let _ = paid(stage, sidecar, operator);
                    let _ = operator.act(Act::Suspend, Aim::One("wallet", WALLET)).done();
                    String::new()
                },
            )
        },
        perform: |_, operator| operator.cancel_outstanding().unit(),
        either: |seen, after, tally| expect_shown(seen, &[("suspended", "present")], after, tally),
        finished: |seen, after, tally| {
            expect_shown(seen, &[("suspended", "present")], after, tally);
            expect_cancellations(seen.2, OUTSIDE, after, tally);
        },
    },
    Verb {
        name: "recover",
        prepare: without_key,
        perform: |stage, operator| {
            let sealed = keys::seal(&stage.scene.purse, WALLET, &operator.transport);
            operator.recover(sealed).unit()
        },
        either: |seen, after, tally| {
            let states = [("active", "absent"), ("suspended", "absent"), ("suspended", "present")];
            expect_shown(seen, &states, after, tally);
            expect_unpaid(seen, after, tally);
        },
        finished: |seen, after, tally| {
            expect_shown(seen, &[("suspended", "present")], after, tally);
            expect_unpaid(seen, after, tally);
            let _ = seen.2.act(Act::Resume, Aim::One("wallet", WALLET)).done();
            expect_paid(seen, after, tally);
        },
    },
    Verb {
        name: "backup",
        prepare: || {
            let recipients = |purse: &Purse| {
                let recipient = Transport::generate().recipient();
                let teams =
                    format!("teams: {{ treasury: {{ backup_recipients: [\"{recipient}\"] }}, research: }}");
                purse.replace(REGISTRY, "\nteams: [treasury, research]", &format!("\n{teams}"));
                purse.replace(REGISTRY, "    backup: none\n", "");
            };
            Stage::prepare(recipients, |_, _, _| String::new())
        },
        perform: |_, operator| operator.backup().unit(),
        either: |seen, after, tally| {
            let backup = seen.2.wallet().backup;
            let outcome = pays(&seen.0.scene, seen.1, "either");
            let fits = match backup.as_str() {
                "missing" => outcome.is_denied("BACKUP_MISSING"),
                "done" => outcome.is_signed(),
                _ => false,
            };
            tally.expect(fits, || format!("{after}: the backup is `{backup}`: {outcome:?}"));
        },
        finished: |seen, after, tally| {
            let backup = seen.2.wallet().backup;
            tally.expect(backup == "done", || format!("{after}: the backup is `{backup}`"));
            expect_paid(seen, after, tally);
        },
    },
];

impl Stage {
    /// A purse with these rules, after a sidecar on it did something and told an address.
    fn prepare(rules: fn(&Purse), before: fn(&Scene, &Sidecar, &Operator) -> String) -> Self {
        let scene = stage::scene();
        rules(&scene.purse);
        let sidecar = scene.serve(&mut Tally::default());
        let operator = Operator::connect(&sidecar);
        let address = operator.wallet().address;
        let other = before(&scene, &sidecar, &operator);
        // A connection that nobody serves would keep the sidecar waiting.
        drop(operator);
        assert!(sidecar.stop().success());
        Self { scene, address, other }
    }

    /// The same once more.
    pub(crate) fn copy(&self) -> Self {
        Self { scene: self.scene.copy(), address: self.address.clone(), other: self.other.clone() }
    }
}

/// Payments that are outside.
fn paid(scene: &Scene, sidecar: &Sidecar, _: &Operator) -> String {
    for at in 0..OUTSIDE {
        let outcome = pays(scene, sidecar, &format!("outside-{at}"));
        assert!(outcome.is_signed(), "{outcome:?}");
    }
    String::new()
}

/// A key that another sidecar made lies beside the purse.
fn foreign_key() -> Stage {
    let stage = Stage::prepare(|_| {}, |_, _, _| String::new());
    let other = keys::take_out(&Purse::init(), WALLET, &stage.scene.purse);
    Stage { other, ..stage }
}

/// A rotation was asked for.
fn rotated() -> Stage {
    Stage::prepare(
        |_| {},
        |scene, sidecar, operator| {
            let _ = paid(scene, sidecar, operator);
            operator.rotate().done().address
        },
    )
}

/// Completes the rotation in the registry, while the sidecar runs.
fn declare_successor_once(Stage { scene, address, other }: &Stage) {
    let registry = std::fs::read_to_string(scene.purse.file(REGISTRY)).unwrap();
    if !registry.contains(other.as_str()) {
        declare_successor(&scene.purse, address, other);
    }
}

/// Writes into the registry what completes a rotation.
pub(crate) fn declare_successor(purse: &Purse, old: &str, new: &str) {
    purse.replace(
        REGISTRY,
        &format!("    address: \"{old}\"\n"),
        &format!("    address: \"{new}\"\n    was: [\"{old}\"]\n"),
    );
}

/// The wallet's key is not here any more.
fn without_key() -> Stage {
    let stage = Stage::prepare(|_| {}, paid);
    let _ = keys::take_out(&stage.scene.purse, WALLET, &stage.scene.purse);
    stage
}

fn expect_paid((stage, sidecar, _): Seen<'_>, after: &str, tally: &mut Tally) {
    let outcome = pays(&stage.scene, sidecar, "paid");
    tally.expect(outcome.is_signed(), || format!("{after}: the wallet does not pay: {outcome:?}"));
}

fn expect_unpaid((stage, sidecar, _): Seen<'_>, after: &str, tally: &mut Tally) {
    let outcome = pays(&stage.scene, sidecar, "unpaid");
    tally.expect(matches!(outcome, Outcome::Denied(_)), || format!("{after}: the wallet pays: {outcome:?}"));
}

/// The wallet is shown with one of these statuses and keys, and its key file is there if it is said to be.
fn expect_shown((stage, _, operator): Seen<'_>, states: &[(&str, &str)], after: &str, tally: &mut Tally) {
    let wallet = operator.wallet();
    let shown = (wallet.status.as_str(), wallet.key.as_str());
    tally.expect(states.contains(&shown), || format!("{after}: the wallet is shown as {shown:?}"));
    let files = keys::of(&stage.scene.purse, WALLET).len();
    tally.expect(files == usize::from(wallet.key == "present"), || {
        format!("{after}: the key is {}, and there are {files} files", wallet.key)
    });
}

/// A key that waits for the registry: none or one, with its file; and the other wallet pays.
fn expect_added(seen: Seen<'_>, least: usize, after: &str, tally: &mut Tally) {
    let (stage, _, operator) = seen;
    let pending = operator.wallets().pending;
    let files = keys::of(&stage.scene.purse, SECOND).len();
    tally.expect((least..=1).contains(&pending.len()), || format!("{after}: {} acts wait", pending.len()));
    tally.expect((pending.len()..=1).contains(&files), || {
        format!("{after}: {} acts wait, with {files} key files", pending.len())
    });
    let known =
        pending.iter().all(|act| stage.other.is_empty() || act.address.eq_ignore_ascii_case(&stage.other));
    tally.expect(known, || format!("{after}: another key than the one handed in waits: {pending:?}"));
    expect_paid(seen, after, tally);
}

/// A rotation that waits for the registry: none or one, with at most one key to spare; and the wallet pays.
fn expect_rotating(seen: Seen<'_>, least: usize, after: &str, tally: &mut Tally) {
    let (stage, _, operator) = seen;
    let pending = operator.wallets().pending;
    let files = keys::of(&stage.scene.purse, WALLET);
    tally.expect((least..=1).contains(&pending.len()), || format!("{after}: {} acts wait", pending.len()));
    tally.expect((1 + pending.len()..=2).contains(&files.len()), || {
        format!("{after}: {} acts wait, with these files: {files:?}", pending.len())
    });
    for act in &pending {
        let named = |path: &std::path::PathBuf| {
            path.to_string_lossy().ends_with(&format!(".{}.json", act.address.to_lowercase()))
        };
        tally.expect(files.iter().any(named), || format!("{after}: no file of {}: {files:?}", act.address));
    }
    let wallet = operator.wallet();
    tally.expect(wallet.address == stage.address, || format!("{after}: the address is {}", wallet.address));
    expect_paid(seen, after, tally);
}

/// The registry contains the rotation: the new address pays, the old one drains.
fn expect_rotated(seen: Seen<'_>, after: &str, tally: &mut Tally) {
    let (stage, _, operator) = seen;
    let listed = operator.wallets();
    tally.expect(listed.pending.is_empty(), || format!("{after}: still waits: {:?}", listed.pending));
    let mut shown: Vec<(&str, &str, &str)> = listed
        .wallets
        .iter()
        .map(|wallet| (wallet.address.as_str(), wallet.status.as_str(), wallet.key.as_str()))
        .collect();
    shown.sort_unstable();
    let (old, new) = (stage.address.as_str(), stage.other.as_str());
    let mut expected = vec![(old, "draining", "present"), (new, "active", "present")];
    expected.sort_unstable();
    tally.expect(shown == expected, || format!("{after}: {shown:?} instead of {expected:?}"));
    expect_paid(seen, after, tally);
}

/// Either not revoked at all, and as before; or revoked, and carried out to its end.
fn revoked_or_not(seen: Seen<'_>, after: &str, tally: &mut Tally) {
    let (stage, sidecar, operator) = seen;
    if operator.wallet().status == "active" {
        expect_shown(seen, &[("active", "present")], after, tally);
        let voided = operator.exposure("wallet", &stage.address);
        let voided = voided.iter().filter(|exposed| exposed.cancellation == "signed").count();
        tally.expect(voided == 0, || format!("{after}: {voided} voids of a wallet that is active"));
        expect_paid(seen, after, tally);
    } else {
        expect_revoked((&stage.scene, sidecar, operator), &stage.address, after, tally);
    }
}

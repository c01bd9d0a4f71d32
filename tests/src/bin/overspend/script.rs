//! The run that is repeated, once for every moment at which something can happen to it.

use std::collections::BTreeSet;

use pursekeeper_core::{ScopeKind, Window};
use pursekeeper_tests::Sidecar;
use pursekeeper_tests::overspend::{Ceiling, Client, Outcome, PRICE, Rules, Scene, Tally};

/// Payments that fit: fewer than the script asks for.
pub(crate) const FIT: u64 = 20;
/// More than one payment may be.
const TOO_MUCH: u128 = 60_000;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Asks for a payment; a request id that was asked for before is a retry.
    Pay(String),
    /// Asks for more than one payment may be.
    PayTooMuch(String),
    /// Asks what would be answered.
    Preview(String),
    /// Stops the wallet.
    Suspend,
    /// Lets it go on.
    Resume,
}

/// At least 50 decisions of every kind, the last of them above the ceiling.
pub(crate) fn long() -> Vec<Step> {
    (0..8).flat_map(|round| block(round, round % 2 == 1)).collect()
}

/// One of each kind, and the second of those that create something the first time.
pub(crate) fn short() -> Vec<Step> {
    block(0, true)
}

fn block(round: usize, with_stop: bool) -> Vec<Step> {
    let id = |name: &str| format!("{name}-{round}");
    let mut steps = vec![
        Step::Pay(id("a")),
        Step::Pay(id("b")),
        Step::PayTooMuch(id("dear")),
        Step::Pay(id("a")),
        Step::Preview(id("c")),
        Step::Pay(id("c")),
    ];
    if with_stop {
        steps.extend([Step::Suspend, Step::Pay(id("stopped")), Step::Pay(id("b")), Step::Resume]);
    }
    steps
}

/// A purse that the script spends empty.
pub(crate) fn scene() -> Scene {
    Scene::new(Rules::of(&[
        Ceiling::usd(ScopeKind::Agent, Window::Day, FIT),
        Ceiling::payments(ScopeKind::Payee, Window::Lifetime, FIT),
    ]))
}

impl Step {
    /// Does it.
    pub(crate) fn perform(&self, scene: &Scene, client: &mut Client) -> Outcome {
        match self {
            Self::Pay(id) => scene.pay(client, id),
            Self::PayTooMuch(id) => client.pay(&scene.witness, id, TOO_MUCH),
            Self::Preview(id) => client.preview(id, PRICE),
            Self::Suspend => client.act(true),
            Self::Resume => client.act(false),
        }
    }
}

/// How many payments a script asks for.
fn ids(script: &[Step]) -> u64 {
    let id = |step: &Step| match step {
        Step::Pay(id) => Some(id.clone()),
        Step::PayTooMuch(_) | Step::Preview(_) | Step::Suspend | Step::Resume => None,
    };
    u64::try_from(script.iter().filter_map(id).collect::<BTreeSet<_>>().len()).unwrap()
}

/// After whatever happened: asks for everything in the script again, which gives nothing new beyond the ceiling, and looks
/// at the journal once more. Ends the sidecar.
pub(crate) fn retry_all(scene: &Scene, sidecar: Sidecar, script: &[Step], after: &str, tally: &mut Tally) {
    let mut client = Client::connect(&sidecar);
    let resumed = client.act(false);
    tally.expect(matches!(resumed, Outcome::Done), || format!("{after}: resume: {resumed:?}"));
    let before = scene.witness.released();
    for step in script.iter().filter(|step| !matches!(step, Step::Suspend | Step::Resume)) {
        let outcome = step.perform(scene, &mut client);
        tally.expect(!outcome.is_failed(), || format!("{after}: {step:?} again: {outcome:?}"));
        if let Step::Pay(id) = step {
            let kept = !before.contains_key(id) || outcome.is_signed();
            tally.expect(kept, || format!("{after}: {id} was signed before and is not again: {outcome:?}"));
        }
    }
    drop(client);
    sidecar.kill();
    scene.examine(&format!("{after}, retried"), tally);
    let (released, fit) = (scene.witness.count(), FIT.min(ids(script)));
    tally.expect(released == fit, || format!("{after}: {released} were signed in the end instead of {fit}"));
    scene.close(tally);
}

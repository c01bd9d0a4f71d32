//! A purse and what may be asked of it, before and after something happened.

use pursekeeper_tests::Sidecar;
use pursekeeper_tests::overspend::{Client, Outcome, Rules, Scene, Tally};

use crate::operator::{Operator, WALLET};
use crate::{keys, voids};

/// Where the registry is.
pub(crate) const REGISTRY: &str = "policies/registry.yaml";
/// Cancellations that are checked as the token does.
const CHECKED_MAX: usize = 5;

/// A purse without any ceiling but the one per payment, and with an operator who may do everything.
pub(crate) fn scene() -> Scene {
    let scene = Scene::new(Rules::of(&[]));
    scene.purse.replace(REGISTRY, "teams: [treasury] }", "teams: [treasury, research] }");
    scene
}

/// Whether a payment is signed now.
pub(crate) fn pays(scene: &Scene, sidecar: &Sidecar, id: &str) -> Outcome {
    scene.pay(&mut Client::connect(sidecar), id)
}

/// Everything that must be true once a wallet's revocation is carried out, however often it was interrupted.
pub(crate) fn expect_revoked(
    (scene, sidecar, operator): (&Scene, &Sidecar, &Operator),
    address: &str,
    after: &str,
    tally: &mut Tally,
) {
    let wallet = operator.wallet();
    let shown = (wallet.status.as_str(), wallet.key.as_str());
    tally.expect(shown == ("revoked", "absent"), || format!("{after}: the wallet is shown as {shown:?}"));
    let left = keys::of(&scene.purse, WALLET);
    tally.expect(left.is_empty(), || format!("{after}: key files are left: {left:?}"));
    let outside = operator.exposure("wallet", address);
    let (exposed, held) = (outside.len(), scene.books().holds.len());
    tally.expect(exposed == held, || format!("{after}: {exposed} signatures are outside, {held} are held"));
    let open = outside.iter().filter(|exposed| exposed.cancellation != "signed").count();
    tally.expect(open == 0, || format!("{after}: what voids {open} of {exposed} payments is not kept"));
    expect_cancellations(operator, held, after, tally);
    let outcome = pays(scene, sidecar, "after-the-end");
    let denied = matches!(outcome, Outcome::Denied(_));
    tally.expect(denied, || format!("{after}: a revoked wallet was asked for a payment: {outcome:?}"));
}

/// Everything that is outside can be voided by what is kept.
pub(crate) fn expect_cancellations(operator: &Operator, count: usize, after: &str, tally: &mut Tally) {
    let done = operator.cancel_outstanding().done();
    let (found, not) = (done.cancellations.len(), done.not_cancellable.len());
    tally.expect((found, not) == (count, 0), || {
        format!("{after}: {found} payments can be voided, {not} cannot, of {count}")
    });
    let invalid = done.cancellations.iter().take(CHECKED_MAX).filter(|one| !voids::is_valid(one)).count();
    tally.expect(invalid == 0, || format!("{after}: the token refuses {invalid} cancellations"));
}

/// The trail verifies.
pub(crate) fn expect_verified(scene: &Scene, after: &str, tally: &mut Tally) {
    let verified = scene.purse.run(&["audit", "verify"]);
    tally.expect(verified.status.success(), || {
        format!("{after}: audit verify: {}", String::from_utf8_lossy(&verified.stderr))
    });
}

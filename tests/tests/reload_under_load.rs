//! A sample of what `tests/reload/run` does.

use indicatif::ProgressBar;
use pursekeeper_tests::overspend::Extent;
use pursekeeper_tests::reloads;

#[test]
fn no_bundle_is_mixed_and_nobody_waits_for_one() {
    let tally = reloads::swaps(Extent::Sample { seed: 0 }, &ProgressBar::hidden());
    println!("{}", tally.done);
    tally.check();
}

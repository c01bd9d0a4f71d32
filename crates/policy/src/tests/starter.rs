use pursekeeper_core::ports::Policy;

use crate::{Bundle, BundleOptions, EXAMPLES, STARTER_REGISTRY};

#[test]
fn the_shipped_starter_and_examples_fit_together() {
    let bundle = Bundle::from_parts(STARTER_REGISTRY, &EXAMPLES, BundleOptions::default())
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(bundle.warnings(), &[], "the starter is exemplary");
    let summary = bundle.summary();
    assert_eq!((summary.agents, summary.wallets, summary.policies), (1, 1, EXAMPLES.len()));
    assert_eq!(bundle.registry().operators.len(), 2);
}

//! Measured by hand: `cargo test --release -p pursekeeper-policy -- --ignored --nocapture speed`.

use std::time::Instant;

use pursekeeper_core::ports::Policy;

use super::fixture::{bundle, facts, intent};
use crate::{Bundle, BundleOptions};

/// A bundle with `count` policies of one head.
fn crowded(count: usize, head: &str) -> Bundle {
    let rule = |at: usize| {
        format!(
            "@id(\"t.{at}\") @reason(\"r\") forbid ({head}, action == Pursekeeper::Action::\"Pay\", resource) \
             when {{ context.after.workflow.hour.greaterThan(decimal(\"{at}.5\")) }};\n"
        )
    };
    let texts: Vec<String> =
        (0..count).step_by(2_000).map(|from| (from..count.min(from + 2_000)).map(rule).collect()).collect();
    let names: Vec<String> = (0..texts.len()).map(|at| format!("t{at}.cedar")).collect();
    let files: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let began = Instant::now();
    let bundle = bundle(&files);
    println!("{count:>6} × ({head}): loaded in {:?}", began.elapsed());
    bundle
}

/// Median and best of many decisions, the bundles taking turns so that all meet the same weather.
fn measure(bundles: &[(&str, Bundle)]) -> Vec<u128> {
    let intent = intent();
    let mut times = vec![Vec::new(); bundles.len()];
    for _ in 0..3_000 {
        for ((_, bundle), times) in bundles.iter().zip(&mut times) {
            let facts = facts(bundle, &intent);
            let began = Instant::now();
            std::hint::black_box(bundle.decide(&intent, &facts));
            times.push(began.elapsed().as_nanos());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    for ((name, _), times) in bundles.iter().zip(&times) {
        println!("{name}: best {} ns, p25 {} ns, p50 {} ns", times[0], times[750], times[1_500]);
    }
    times.iter().map(|times| times[750]).collect()
}

#[test]
#[ignore = "a measurement; it needs an idle machine and a release build"]
fn speed_does_not_depend_on_other_workflows_policies() {
    let elsewhere = "principal in Pursekeeper::Workflow::\"sales\"";
    let bundles = [
        ("guardrails alone", crowded(0, elsewhere)),
        ("10 of another workflow", crowded(10, elsewhere)),
        ("10,000 of another workflow", crowded(10_000, elsewhere)),
        ("10 of this workflow", crowded(10, "principal in Pursekeeper::Workflow::\"research\"")),
        ("few ceilings", few_ceilings()),
    ];
    let [_, ten, many, ..] = measure(&bundles)[..] else { panic!() };
    assert!(many <= ten.saturating_mul(12) / 10, "{many} ns against {ten} ns");
}

/// The limits of a small set-up: one per payment and one per day.
fn few_ceilings() -> Bundle {
    let kept = "    ceilings: { usd: { payment: \"0.05\", day: \"5\" } }\n";
    let lines = super::fixture::REGISTRY.lines().filter(|line| !line.contains("ceilings:"));
    let mut text: String = lines.map(|line| format!("{line}\n")).collect();
    text = text
        .replace("payees:\n", "")
        .replace("    services: [weather]\n", &format!("    services: [weather]\n{kept}"));
    Bundle::from_parts(&text, &[], BundleOptions::default()).unwrap()
}

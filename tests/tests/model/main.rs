//! The real gate, policy and journal against a plain model of what is documented, over random histories.
//!
//! Each case is a history of some 200 steps: batches of payments, retries, previews, claims, evidence, releases and
//! stops; clocks that pass, jump, go back and start anew; crashes; registries that are edited and names that change. After
//! each step every answer and every total must be what the model says. The model keeps a list of holds and counts
//! everything afresh.
//!
//! `cargo test` plays about 3,000 steps. `PURSEKEEPER_MODEL_OPS=100000` plays that many, `PROPTEST_RNG_SEED` repeats a
//! run, and `-- --nocapture` shows what was answered how often. A history that fails is shortened before it is shown.

mod book;
mod clock;
mod deed;
mod govern;
mod model;
mod op;
mod play;
mod poison;
mod request;
mod system;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::test_runner::{Config, TestError, TestRunner};

use op::{AskOp, Fate, OfferOp, Op, Pay};
use system::{Checked, System};

const OPS_DEFAULT: u32 = 3_000;
const OPS_PER_CASE: u32 = 200;

#[test]
fn the_product_does_what_the_model_says() {
    let ops = match std::env::var("PURSEKEEPER_MODEL_OPS") {
        Ok(text) => text.parse().expect("PURSEKEEPER_MODEL_OPS is a number of operations"),
        Err(_) => OPS_DEFAULT,
    };
    let config = Config {
        cases: ops.div_ceil(OPS_PER_CASE),
        max_shrink_iters: 1_000,
        failure_persistence: None,
        ..Config::default()
    };
    let tally = RefCell::new(BTreeMap::<&'static str, u64>::new());
    let len = OPS_PER_CASE as usize;
    let history = proptest::collection::vec(op::op(), len - 50..=len + 50);
    let result = TestRunner::new(config).run(&history, |ops| {
        let mut system = System::new();
        let checked = play(&mut system, &ops);
        let mut tally = tally.borrow_mut();
        *tally.entry("steps").or_default() += ops.len() as u64;
        for (word, count) in system.tally {
            *tally.entry(word).or_default() += count;
        }
        checked
    });
    for (word, count) in tally.borrow().iter() {
        println!("{count:>9} {word}");
    }
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, ops)) => panic!("{why}\nafter {ops:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    for word in ["SIGNED", "SIGNED_AGAIN", "CEILING_EXCEEDED", "RESOLVED", "FAILED_BATCH"] {
        assert!(tally.borrow().contains_key(word), "no {word}: these histories prove too little");
    }
}

/// What was found once.
#[test]
fn a_batch_that_fails_takes_back_a_release_beside_a_payment_of_the_same_minute() {
    let offers = vec![OfferOp { asset: 0, payee: 0, amount: 5, timeout_secs: 60 }];
    let pay = Pay {
        agent: 2,
        fitting: true,
        former: false,
        workflow: None,
        wallet: Some(1),
        service: 0,
        offers,
        preview: false,
    };
    let dead = AskOp::Evidence { hold: 0, fate: Fate::Dead };
    let history = [Op::Batch(vec![AskOp::Pay(pay)]), Op::BatchThatFails(vec![dead], 2)];
    play(&mut System::new(), &history).unwrap();
}

fn play(system: &mut System, ops: &[Op]) -> Checked {
    for op in ops {
        system.step(op)?;
    }
    system.verify()
}

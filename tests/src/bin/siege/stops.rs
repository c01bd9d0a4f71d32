//! SIGTERM while many ask: whoever was let in is answered, and what was answered is on disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use pursekeeper_tests::overspend::{Extent, Outcome, Random, Rules, Scene, Tally, pay};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tonic::Code;

/// Clients at a time, each with a connection of its own.
const CLIENTS: usize = 16;
/// Stops of everything and of a sample.
const STOPS: [usize; 2] = [200, 12];
/// The stop comes after at least so long, and at most this much later, in milliseconds.
const AFTER_MS: [usize; 2] = [20, 120];
/// Stops of one purse, before its whole trail is verified and another one begins.
const STOPS_PER_PURSE: usize = 20;

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Tally {
    let [everything, sample] = STOPS;
    let stops = extent.choose(everything, sample);
    bar.set_length(u64::try_from(stops).unwrap());
    let (mut tally, mut random) = (Tally::default(), Random::new(extent.seed()));
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut scene = Arc::new(Scene::new(Rules::of(&[])));
    let (mut signed, mut unanswered) = (0, 0);
    for at in 0..stops {
        let [least, more] = AFTER_MS;
        let after = Duration::from_millis(u64::try_from(least + random.below(more)).unwrap());
        let (now_signed, now_unanswered) = stop(&scene, &runtime, (at, after), &mut tally);
        signed += now_signed;
        unanswered += now_unanswered;
        if at % STOPS_PER_PURSE == STOPS_PER_PURSE - 1 || at + 1 == stops {
            scene.examine(&format!("stop {at}"), &mut tally);
            scene.close(&mut tally);
            scene = Arc::new(Scene::new(Rules::of(&[])));
        }
        bar.inc(1);
    }
    tally.expect_prompt_starts();
    tally.expect(signed > stops, || format!("only {signed} payments were signed"));
    tally.done = format!(
        "{stops} stops under {CLIENTS} clients, {signed} payments signed, {unanswered} calls came too late to be let in"
    );
    tally
}

/// One stop; how many payments were signed until then, and how many calls were not answered.
fn stop(
    scene: &Arc<Scene>,
    runtime: &Runtime,
    (at, after): (usize, Duration),
    tally: &mut Tally,
) -> (usize, usize) {
    let sidecar = scene.serve(tally);
    let asking = runtime.block_on(async {
        let mut asking = JoinSet::new();
        for client in 0..CLIENTS {
            let (scene, mut signer) = (scene.clone(), sidecar.signer().await);
            asking.spawn(async move {
                let mut answers = BTreeMap::new();
                for ask in 0_u32.. {
                    let id = format!("{at}-{client}-{ask}");
                    let outcome = pay(&mut signer, &scene.witness, &id, "1000").await;
                    let over = outcome.is_failed();
                    answers.insert(id, outcome);
                    if over {
                        break;
                    }
                }
                answers
            });
        }
        tokio::time::sleep(after).await;
        asking
    });
    let status = sidecar.stop();
    tally.expect(status.success(), || format!("stop {at}: the sidecar ended with {status}"));
    let answers: BTreeMap<String, Outcome> =
        runtime.block_on(asking.join_all()).into_iter().flatten().collect();
    let books = scene.books();
    tally.expect(books.is_checkpointed, || format!("stop {at}: the last record is under no checkpoint"));
    let mut recorded: BTreeMap<&str, usize> = BTreeMap::new();
    for hold in &books.holds {
        *recorded.entry(&hold.request_id).or_default() += 1;
    }
    for (id, outcome) in &answers {
        let recorded = recorded.get(id.as_str()).copied().unwrap_or(0);
        tally.expect(recorded == usize::from(outcome.is_signed()), || {
            format!("stop {at}: `{id}` has {recorded} records and the answer {outcome:?}")
        });
        // A client that is told to go away while it asks may call that an internal error of HTTP/2.
        let told_to_go = matches!(outcome, Outcome::Failed(status) if status.code() == Code::Internal);
        let fits = outcome.is_signed() || outcome.is_unavailable() || told_to_go;
        tally.expect(fits, || format!("stop {at}: `{id}`: {outcome:?}"));
    }
    let signed = answers.values().filter(|outcome| outcome.is_signed()).count();
    (signed, answers.len() - signed)
}

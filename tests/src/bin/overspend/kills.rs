//! Kills at random moments, while many clients ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use pursekeeper_core::{ScopeKind, Window};
use pursekeeper_tests::Sidecar;
use pursekeeper_tests::overspend::{
    Ceiling, Client, Extent, Outcome, PRICE, Random, Rules, Scene, Tally, pay,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Clients at a time, each with a connection of its own.
const CLIENTS: usize = 32;
/// Kills of everything and of a sample.
const KILLS: [usize; 2] = [500, 25];
/// Kills before a fresh purse: by then the last one is spent.
const KILLS_PER_PURSE: usize = 25;
/// Payments that fit into one purse.
const FIT: u64 = 300;
/// The latest moment of a kill after clients were let loose, in microseconds.
const MOMENT_MICROS_MAX: usize = 80_000;
/// How many new requests there are for one that is asked for again.
const NEW_PER_RETRY: usize = 3;

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Tally {
    let [everything, sample] = KILLS;
    let kills = extent.choose(everything, sample);
    bar.set_length(u64::try_from(kills).unwrap());
    let mut tally = Tally::default();
    let mut random = Random::new(extent.seed());
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut purses, mut spent) = (0, 0);
    for _ in (0..kills).step_by(KILLS_PER_PURSE) {
        let scene = Arc::new(Scene::new(Rules::of(&[
            Ceiling::usd(ScopeKind::Wallet, Window::Day, FIT),
            Ceiling::payments(ScopeKind::Agent, Window::Hour, FIT),
        ])));
        for round in 0..KILLS_PER_PURSE {
            kill_once(&runtime, &scene, round, &mut random, &mut tally);
            scene.examine(&format!("purse {purses}, kill {round}"), &mut tally);
            bar.inc(1);
        }
        purses += 1;
        spent += usize::from(scene.books().holds.len() == usize::try_from(FIT).unwrap());
        settle(&scene, &mut tally);
    }
    tally.expect_prompt_starts();
    tally.expect(spent > 0, || "no purse was spent while it was killed".to_owned());
    tally.done = format!("{kills} kills under {CLIENTS} clients, {spent} of {purses} purses spent by then");
    tally
}

/// Starts, lets everybody ask, and kills at a random moment.
fn kill_once(runtime: &Runtime, scene: &Arc<Scene>, round: usize, random: &mut Random, tally: &mut Tally) {
    let sidecar = scene.serve(tally);
    let over = Arc::new(AtomicBool::new(false));
    let tasks = runtime.block_on(let_loose(scene, &sidecar, round, random, &over));
    let micros = u64::try_from(random.below(MOMENT_MICROS_MAX)).unwrap();
    std::thread::sleep(Duration::from_micros(micros));
    sidecar.kill();
    over.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn let_loose(
    scene: &Arc<Scene>,
    sidecar: &Sidecar,
    round: usize,
    random: &mut Random,
    over: &Arc<AtomicBool>,
) -> Vec<JoinHandle<()>> {
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let mut signer = sidecar.signer().await;
        let (scene, over) = (scene.clone(), over.clone());
        let mut random = Random::new(u64::try_from(random.below(usize::MAX)).unwrap());
        clients.push(async move {
            for ask in 0.. {
                // Sometimes one of this client's earlier requests, answered or not, also from before a kill.
                let retry = random.below(NEW_PER_RETRY + 1) == 0;
                let (round, ask) =
                    if retry { (random.below(round + 1), random.below(ask + 1)) } else { (round, ask) };
                let id = format!("c{client}-{round}-{ask}");
                let outcome = pay(&mut signer, &scene.witness, &id, &PRICE.to_string()).await;
                if matches!(outcome, Outcome::Failed(_)) || over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
    }
    clients.into_iter().map(tokio::spawn).collect()
}

/// After the last kill: everything that was signed is handed out again, the rest of the budget is spent, and not more.
fn settle(scene: &Scene, tally: &mut Tally) {
    let sidecar = scene.serve(tally);
    let mut client = Client::connect(&sidecar);
    for hold in scene.books().holds {
        let outcome = scene.pay(&mut client, &hold.request_id);
        tally.expect(outcome.is_signed(), || format!("`{}` again: {outcome:?}", hold.request_id));
    }
    let _ = scene.pay_out(&mut client, "rest", FIT + 1);
    drop(client);
    sidecar.kill();
    scene.examine("settled", tally);
    let released = scene.witness.count();
    tally.expect(released == FIT, || format!("{released} were signed in the end instead of {FIT}"));
    scene.close(tally);
}

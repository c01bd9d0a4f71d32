//! Many clients, one budget.

use std::sync::Arc;

use pursekeeper_core::{ScopeKind, Window};
use tokio::runtime::Builder;

use super::{Ceiling, Client, Outcome, PRICE, Rules, Scene, Tally, pay};
use crate::Sidecar;

/// How many ask, and for how much.
#[derive(Clone, Copy, Debug)]
pub struct Race {
    /// Clients, each with a connection of its own.
    pub clients: u64,
    /// Exactly so many payments fit.
    pub fit: u64,
    /// So many times as many are asked for.
    pub times: u64,
}

impl Race {
    /// The ceilings to race for: every kind of window in both units, each on another kind of subject.
    #[must_use]
    pub fn ceilings(&self) -> [Ceiling; 6] {
        [
            Ceiling::usd(ScopeKind::Agent, Window::Hour, self.fit),
            Ceiling::usd(ScopeKind::Wallet, Window::Day, self.fit),
            Ceiling::usd(ScopeKind::Payee, Window::Lifetime, self.fit),
            Ceiling::payments(ScopeKind::Workflow, Window::Hour, self.fit),
            Ceiling::payments(ScopeKind::Service, Window::Day, self.fit),
            Ceiling::payments(ScopeKind::Agent, Window::Lifetime, self.fit),
        ]
    }
}

/// `clients` ask at once for `times` what `ceiling` allows: exactly what fits is signed, and nothing more after a restart.
#[must_use]
pub fn race(race: Race, ceiling: Ceiling) -> Tally {
    let mut tally = Tally::default();
    let scene = Arc::new(Scene::new(Rules::of(&[ceiling])));
    let sidecar = scene.serve(&mut tally);
    let (signed, others) = ask_at_once(&scene, &sidecar, race);
    let words = ceiling.words();
    tally.expect(signed == race.fit, || format!("{words}: {signed} were signed instead of {}", race.fit));
    tally.expect(others.is_empty(), || format!("{words}: other answers: {others:?}"));
    sidecar.kill();
    scene.examine(&words, &mut tally);
    let sidecar = scene.serve(&mut tally);
    let more = scene.pay_out(&mut Client::connect(&sidecar), "after", 3);
    tally.expect(more == 0, || format!("{words}: {more} more were signed after a restart"));
    sidecar.kill();
    scene.examine(&format!("{words}, restarted"), &mut tally);
    scene.close(&mut tally);
    tally
}

/// Returns how many were signed, and the answers that are neither a payment nor the ceiling.
fn ask_at_once(scene: &Arc<Scene>, sidecar: &Sidecar, race: Race) -> (u64, Vec<Outcome>) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut clients = Vec::new();
        for client in 0..race.clients {
            let (mut signer, scene) = (sidecar.signer().await, scene.clone());
            clients.push(async move {
                let mut answers = Vec::new();
                for ask in (client..race.fit * race.times).step_by(usize::try_from(race.clients).unwrap()) {
                    let id = format!("race-{ask}");
                    answers.push(pay(&mut signer, &scene.witness, &id, &PRICE.to_string()).await);
                }
                answers
            });
        }
        let tasks: Vec<_> = clients.into_iter().map(tokio::spawn).collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.extend(task.await.unwrap());
        }
        let signed = answers.iter().filter(|answer| answer.is_signed()).count();
        answers.retain(|answer| !answer.is_signed() && !answer.is_denied("CEILING_EXCEEDED"));
        (u64::try_from(signed).unwrap(), answers)
    })
}

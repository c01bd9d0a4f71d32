//! The bounded queue in front of the gate, and who works the gate.
//!
//! There is no writer thread. The request that finds the gate free leads: it has the batch judged and recorded in one
//! transaction, hands out the answers, and hands leadership to whoever waits first. So one request alone pays for no
//! thread hop, and many share one fsync.

mod bundles;
mod queue;
mod timekeeper;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use pursekeeper_core::gate::{
    Answer, Ask, Gate, LifecycleAsk, Passed, Rules, Settings, Signed, Surroundings,
};
use pursekeeper_core::ports::{Policy, Verdict};
use pursekeeper_core::{Address, AssetId, Balance, Balances, ClockTrust, DenyCode, Digest, Moment};
use tokio::sync::{Notify, watch};
use tokio::task::block_in_place;
use tracing::Span;

use crate::clock::Clock;
use crate::halts::Halts;
use crate::metrics::{Metrics, Stage};
use crate::serve::Check;
use crate::standing::Standing;
use crate::traces;
use bundles::Bundles;
use queue::{Place, Queue, Turn};
use timekeeper::Timekeeper;
pub use upkeep::Upkeep;

/// Why there is no answer. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The queue is full.
    #[error("too many requests are waiting: try again later")]
    Exhausted,
    /// The journal cannot be written.
    #[error("the journal cannot be written, so nothing is signed: {0}")]
    Unavailable(String),
    /// Something that has to work while money moves does not.
    #[error("nothing is signed: {0}")]
    Halted(String),
    /// A stop is in force in memory but could not be recorded.
    #[error("in force, but not recorded yet: the journal cannot be written")]
    NotDurable,
}

/// What keeps the gate from answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In words.
    pub message: String,
    /// Whether only a restart can help.
    pub fatal: bool,
}

/// The longest queue and the largest batch.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Most payments waiting.
    pub queue_len_max: usize,
    /// Most asks judged in one transaction.
    pub batch_len_max: usize,
}

/// The gate with its queue.
pub struct Turnstile<J: Upkeep, P: Policy> {
    gate: Mutex<Gate<J>>,
    queue: Mutex<Queue<J, P>>,
    bundles: Bundles<P>,
    standing: Standing,
    clock: Clock,
    balances: ArcSwap<Balances>,
    keys: ArcSwap<BTreeSet<Address>>,
    /// Hashes of signatures that were made and wait to be recorded with whatever is recorded next.
    signatures: Mutex<Vec<(u64, Digest)>>,
    problem: Mutex<Option<Problem>>,
    halts: Halts,
    problem_changed: Notify,
    durable_seq: watch::Sender<u64>,
    metrics: Metrics,
    capacity: Capacity,
}

impl<J: Upkeep, P: Policy> Turnstile<J, P> {
    /// A turnstile in front of a gate over `journal`.
    #[must_use]
    pub fn new(
        journal: J,
        policy: Arc<P>,
        settings: Settings,
        clock: Clock,
        capacity: Capacity,
    ) -> Arc<Self> {
        let durable_seq = watch::Sender::new(journal.last_seq());
        Arc::new(Self {
            durable_seq,
            metrics: Metrics::default(),
            gate: Mutex::new(Gate::new(journal, settings)),
            queue: Mutex::new(Queue::default()),
            bundles: Bundles::new(policy),
            standing: Standing::default(),
            clock,
            balances: ArcSwap::default(),
            keys: ArcSwap::default(),
            signatures: Mutex::default(),
            problem: Mutex::default(),
            halts: Halts::default(),
            problem_changed: Notify::new(),
            capacity,
        })
    }

    /// Takes note of which keys are here: a wallet without its key binds no money.
    pub fn note_keys(&self, keys: BTreeSet<Address>) {
        self.keys.store(Arc::new(keys));
    }

    /// Takes note of signatures that were made. They are recorded with whatever is recorded next, and soon in any case.
    pub fn note_signed(&self, signed: &Signed) {
        let seq = signed.decision_id().seq;
        lock(&self.signatures).extend(signed.hashes().map(|hash| (seq, hash)));
    }

    /// Changes the journal beside the records, between two batches.
    ///
    /// # Errors
    /// The journal's. A fatal one ends the sidecar.
    pub fn with_journal_mut<R>(
        &self,
        change: impl FnOnce(&mut J) -> Result<R, J::Error>,
    ) -> Result<R, J::Error> {
        let mut gate = lock(&self.gate);
        let changed = change(gate.journal_mut());
        if changed.is_err() {
            self.note(changed.as_ref().err());
        }
        changed
    }

    /// Who may not sign at this instant.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The time that is believed: what the clock says, unless it jumped.
    #[must_use]
    pub fn now(&self) -> Moment {
        let now = self.clock.now();
        match lock(&self.gate).clock_trust(now) {
            ClockTrust::Sound(at) => at,
            ClockTrust::Regressed { .. } => now,
            ClockTrust::Jumped { believed, .. } => believed,
        }
    }

    /// What the wall clock says, believed or not, without waiting for the gate.
    #[must_use]
    pub fn wall_clock(&self) -> Moment {
        self.clock.now()
    }

    /// The boot clock, in microseconds.
    #[must_use]
    pub fn boot_us(&self) -> u64 {
        self.clock.read().1
    }

    /// Takes note of what wallets hold.
    pub fn note_balances(&self, read: Vec<(Address, AssetId, Balance)>) {
        self.balances.rcu(|known| {
            let mut balances = Balances::clone(known);
            for (wallet, asset, balance) in &read {
                balances.note(*wallet, asset.clone(), *balance);
            }
            balances
        });
    }

    /// Why nothing is signed, one sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let journal = self.problem().map(|problem| problem.message);
        journal.into_iter().chain(self.clock_problem()).chain(self.halts.all()).collect()
    }

    /// What must be well for payments to be signed. A gate that is there has a valid bundle, and its keys were loaded.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let halts = self.halts.all();
        let halted = (!halts.is_empty()).then(|| halts.join("; "));
        vec![
            Check { name: "bundle", problem: None },
            Check { name: "keys", problem: None },
            Check { name: "journal", problem: self.problem().map(|problem| problem.message) },
            Check { name: "clock", problem: self.clock_problem() },
            Check { name: "sinks", problem: halted },
        ]
    }

    /// What is wrong with the clock, if anything is.
    #[must_use]
    pub fn clock_problem(&self) -> Option<String> {
        match lock(&self.gate).clock_trust(self.clock.now()) {
            ClockTrust::Sound(_) => None,
            ClockTrust::Regressed { behind_ms } => Some(format!(
                "the clock is {behind_ms} ms behind the journal: {}",
                DenyCode::ClockRegressed.fix()
            )),
            ClockTrust::Jumped { ahead_ms, .. } => Some(format!(
                "the clock is {ahead_ms} ms ahead of what this machine's boot clock allows: {}",
                DenyCode::ClockJumped.fix()
            )),
        }
    }

    /// Stops signing for a reason, or takes the reason back. Stops and what frees money go on.
    pub fn halt(&self, by: &str, reason: Option<String>) {
        if self.halts.set(by, reason) {
            self.problem_changed.notify_waiters();
        }
    }

    /// Looks at the journal between two batches.
    pub fn with_journal<R>(&self, look: impl FnOnce(&J) -> R) -> R {
        look(lock(&self.gate).journal())
    }

    /// What keeps the gate from answering, if anything does.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        lock(&self.problem).clone()
    }

    /// How many wait for the gate.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        lock(&self.queue).len()
    }

    /// What was counted since start.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Follows the last record on disk.
    #[must_use]
    pub fn durable_seq(&self) -> watch::Receiver<u64> {
        self.durable_seq.subscribe()
    }

    /// Returns once [`Turnstile::problem`] has changed.
    pub async fn problem_changed(&self) {
        self.problem_changed.notified().await;
    }

    /// Waits for a turn and returns the gate's answer, which is on disk. Needs a multi-threaded runtime: while the disk is
    /// waited for, other calls go on, whichever thread they were scheduled on.
    ///
    /// # Errors
    /// [`Fault`] when there is no answer.
    pub async fn pass(self: &Arc<Self>, ask: Ask) -> Result<Answer, Fault> {
        let signs = matches!(ask, Ask::Payment(_) | Ask::SignIn(_) | Ask::TypedData(_));
        if let Some(reason) = self.halts.first().filter(|_| signs) {
            return Err(Fault::Halted(reason));
        }
        let span = traces::decision();
        let answered = match self.take_place(ask, &span)? {
            Place::First(leadership, ask) => block_in_place(|| leadership.work(ask, span.clone())),
            Place::Waits(turn) => match turn.await {
                Ok(Turn::Answer(answer)) => answer,
                Ok(Turn::Lead(leadership, ask)) => block_in_place(|| leadership.work(ask, span.clone())),
                Err(_) => Err(Fault::Unavailable("the request was lost in the queue".to_owned())),
            },
        };
        if let Ok(answer) = &answered {
            traces::decided(&span, answer);
        }
        answered
    }

    /// Tries whether the journal takes records again, and writes what waits to become durable.
    pub fn probe(&self) {
        let mut gate = lock(&self.gate);
        if self.problem().is_some_and(|problem| problem.fatal) {
            return;
        }
        let probed = match gate.journal_mut().probe() {
            Ok(()) if gate.undurable_len() > 0 => {
                self.pass_batch(&mut gate, self.bundles.hold().rules(), Vec::new(), &[]).map(|_| ())
            }
            probed => probed,
        };
        self.note(probed.as_ref().err());
        self.durable_seq.send_replace(gate.journal().last_seq());
    }

    /// Does what is worth doing while nobody waits, unless somebody does.
    pub fn upkeep(&self) {
        if lock(&self.queue).is_led() {
            return;
        }
        self.settle();
        let done = lock(&self.gate).journal_mut().upkeep();
        if done.is_err() {
            self.note(done.as_ref().err());
        }
    }

    /// Judges and records a batch, whose requests have these spans.
    fn judge(&self, asks: Vec<Ask>, spans: &[Span]) -> Vec<Result<Answer, Fault>> {
        let acts: Vec<Option<LifecycleAsk>> = asks.iter().map(lifecycle).collect();
        let mut gate = lock(&self.gate);
        if let Some(problem) = self.problem().filter(|problem| problem.fatal) {
            return acts.iter().map(|_| Err(Fault::Unavailable(problem.message.clone()))).collect();
        }
        let bundles = self.bundles.hold();
        let rules = bundles.rules();
        let error = match self.pass_noting(&mut gate, rules, asks, spans) {
            Ok(answers) => return answers.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        let message = error.to_string();
        // There is room for stops where there is none for anything else; what does not fit there is in force in memory.
        acts.into_iter()
            .map(|act| {
                let stop = act.filter(|act| act.act.verb.is_stop());
                let Some(stop) = stop else { return Err(Fault::Unavailable(message.clone())) };
                match self.pass_batch(&mut gate, rules, vec![Ask::Lifecycle(stop.clone())], &[]) {
                    Ok(answers) => answers.into_iter().next().ok_or(Fault::NotDurable),
                    Err(_) => {
                        let stopped = self.stop_in_memory(&mut gate, rules.enforced, stop);
                        Err(stopped.unwrap_or_else(|| Fault::Unavailable(message.clone())))
                    }
                }
            })
            .collect()
    }

    /// Passes a batch, and with it what waits to be noted; stops go alone.
    fn pass_noting(
        &self,
        gate: &mut Gate<J>,
        rules: Rules<'_, P>,
        asks: Vec<Ask>,
        spans: &[Span],
    ) -> Result<Vec<Answer>, J::Error> {
        let stops = !asks.is_empty() && acts_only(&asks);
        let waiting = if stops { Vec::new() } else { std::mem::take(&mut *lock(&self.signatures)) };
        if waiting.is_empty() {
            return self.pass_batch(gate, rules, asks, spans);
        }
        let batch = std::iter::once(Ask::Signatures(waiting.clone())).chain(asks).collect();
        match self.pass_batch(gate, rules, batch, spans) {
            Ok(answers) => Ok(answers.into_iter().skip(1).collect()),
            Err(error) => {
                lock(&self.signatures).splice(0..0, waiting);
                Err(error)
            }
        }
    }

    /// Records what waits to be noted, and what was counted in minutes that are over, if anything is.
    pub fn settle(&self) {
        let mut gate = lock(&self.gate);
        let waits = !lock(&self.signatures).is_empty() || !gate.journal().due(self.clock.now()).is_empty();
        if waits && self.problem().is_none() {
            // What cannot be written now is written with what comes next; `note` has taken note of why.
            let _ = self.pass_noting(&mut gate, self.bundles.hold().rules(), Vec::new(), &[]);
        }
    }

    /// Has the gate judge and record a batch, and puts what it decided in force. The last of its asks are requests, which
    /// have these spans.
    fn pass_batch(
        &self,
        gate: &mut Gate<J>,
        rules: Rules<'_, P>,
        asks: Vec<Ask>,
        spans: &[Span],
    ) -> Result<Vec<Answer>, J::Error> {
        let (balances, keys) = (self.balances.load(), self.keys.load());
        let (at, boot_us) = self.clock.read();
        let timing = self.metrics.timing();
        for waited in asks.iter().filter_map(|ask| timekeeper::waited(ask, boot_us)) {
            timing.stage(Stage::Wait, waited);
        }
        let witness = Timekeeper::begin(timing, spans, asks.len());
        let around = Surroundings { at, boot_us, balances: &balances, keys: &keys, witness: &witness };
        let passed = gate.pass(rules, around, asks);
        // A stop that was recorded in the room kept for stops leaves none for anything else.
        let room = gate.journal().room();
        self.note(passed.as_ref().err().or(room.as_ref().err()));
        self.durable_seq.send_replace(gate.journal().last_seq());
        let Passed { before, answers, flips } = passed?;
        flips.into_iter().for_each(|flip| self.metrics.shadowed(flip));
        if before.iter().chain(&answers).any(|answer| !matches!(answer, Answer::Nothing(_))) {
            self.metrics.batch();
            witness.end();
        }
        before.iter().for_each(|answer| self.in_force(answer));
        answers.iter().for_each(|answer| self.in_force(answer));
        Ok(answers)
    }

    /// What was decided binds signatures under way before anybody hears of it.
    fn in_force(&self, answer: &Answer) {
        self.metrics.count(answer);
        match answer {
            Answer::Acted { statuses, .. } if !statuses.is_empty() => {
                self.standing.set(statuses.iter().cloned());
            }
            Answer::Changed { transition, .. } if !transition.statuses.is_empty() => {
                let changes = transition.statuses.iter();
                self.standing.set(changes.map(|change| (change.subject.clone(), change.status)));
            }
            Answer::Acted { .. }
            | Answer::Changed { .. }
            | Answer::Authorized(_)
            | Answer::WouldSign { .. }
            | Answer::Denied { .. }
            | Answer::Voids(_)
            | Answer::Reported { .. }
            | Answer::Resolved { .. }
            | Answer::Noted { .. }
            | Answer::Nothing(_) => {}
        }
    }

    /// A stop that the journal cannot take is still in force at once; a resume is not.
    fn stop_in_memory(&self, gate: &mut Gate<J>, policy: &P, ask: LifecycleAsk) -> Option<Fault> {
        let permitted =
            matches!(policy.decide_act(&ask.act, self.clock.now().unix_seconds()), Verdict::Permit(_));
        let status = ask.act.verb.stop().filter(|_| permitted)?;
        self.standing.set([(ask.act.subject.clone(), status)]);
        gate.remember(ask);
        Some(Fault::NotDurable)
    }

    fn note(&self, error: Option<&J::Error>) {
        let now = error.map(|error| Problem { message: error.to_string(), fatal: J::is_fatal(error) });
        let mut problem = lock(&self.problem);
        if *problem != now {
            *problem = now;
            self.problem_changed.notify_waiters();
        }
    }
}

fn acts_only(asks: &[Ask]) -> bool {
    asks.iter().all(|ask| matches!(ask, Ask::Lifecycle(_) | Ask::Transition | Ask::Void(_)))
}

fn lifecycle(ask: &Ask) -> Option<LifecycleAsk> {
    match ask {
        Ask::Lifecycle(ask) => Some(ask.clone()),
        Ask::Payment(_)
        | Ask::Report(_)
        | Ask::Evidence(_)
        | Ask::SignIn(_)
        | Ask::TypedData(_)
        | Ask::Transition
        | Ask::Void(_)
        | Ask::Signatures(_)
        | Ask::Unauthenticated(_)
        | Ask::Reload(_)
        | Ask::Repeats(_) => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

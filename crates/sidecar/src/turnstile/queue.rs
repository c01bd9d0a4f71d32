//! Who waits, and who leads.

use std::collections::VecDeque;
use std::sync::Arc;

use pursekeeper_core::gate::{Answer, Ask};
use pursekeeper_core::ports::Policy;
use tokio::sync::oneshot;
use tracing::Span;

use super::{Fault, Turnstile, Upkeep, lock};

pub(super) struct Queue<J: Upkeep, P: Policy> {
    /// Operators' acts: before everything else, and never refused for load.
    acts: VecDeque<Waiting<J, P>>,
    payments: VecDeque<Waiting<J, P>>,
    led: bool,
}

pub(super) struct Waiting<J: Upkeep, P: Policy> {
    ask: Ask,
    /// In the trace of its call.
    span: Span,
    turn: oneshot::Sender<Turn<J, P>>,
}

pub(super) enum Turn<J: Upkeep, P: Policy> {
    Answer(Result<Answer, Fault>),
    /// Work the gate now; here is your own ask back.
    Lead(Leadership<J, P>, Ask),
}

/// The duty to work the gate. Dropping it hands it on, also when the request that holds it is cancelled.
pub(super) struct Leadership<J: Upkeep, P: Policy>(Option<Arc<Turnstile<J, P>>>);

/// What became of a request that asked for a turn.
pub(super) enum Place<J: Upkeep, P: Policy> {
    First(Leadership<J, P>, Ask),
    Waits(oneshot::Receiver<Turn<J, P>>),
}

impl<J: Upkeep, P: Policy> Turnstile<J, P> {
    pub(super) fn take_place(self: &Arc<Self>, ask: Ask, span: &Span) -> Result<Place<J, P>, Fault> {
        let mut queue = lock(&self.queue);
        if !queue.led {
            queue.led = true;
            return Ok(Place::First(Leadership(Some(self.clone())), ask));
        }
        let (turn, mine) = oneshot::channel();
        let span = span.clone();
        match &ask {
            Ask::Lifecycle(_) => queue.acts.push_back(Waiting { ask, span, turn }),
            Ask::Transition | Ask::Void(_) | Ask::Reload(_) => {
                queue.acts.push_back(Waiting { ask, span, turn });
            }
            Ask::Payment(_)
            | Ask::Report(_)
            | Ask::Evidence(_)
            | Ask::SignIn(_)
            | Ask::TypedData(_)
            | Ask::Signatures(_)
            | Ask::Unauthenticated(_)
            | Ask::Repeats(_) => {
                if queue.payments.len() >= self.capacity.queue_len_max {
                    return Err(Fault::Exhausted);
                }
                queue.payments.push_back(Waiting { ask, span, turn });
            }
        }
        Ok(Place::Waits(mine))
    }
}

impl<J: Upkeep, P: Policy> Leadership<J, P> {
    /// Judges one's own ask together with whatever waits.
    pub(super) fn work(self, own: Ask, span: Span) -> Result<Answer, Fault> {
        let Some(turnstile) = &self.0 else { return Err(Fault::Unavailable("the gate is gone".to_owned())) };
        let (mut asks, mut spans, mut turns) = (vec![own], vec![span], vec![None]);
        for Waiting { ask, span, turn } in turnstile.drain() {
            asks.push(ask);
            spans.push(span);
            turns.push(Some(turn));
        }
        let mut mine = Err(Fault::Unavailable("the gate gave no answer".to_owned()));
        for (turn, answer) in turns.into_iter().zip(turnstile.judge(asks, &spans)) {
            match turn {
                None => mine = answer,
                // A caller that gave up finds its payment again under the same request id.
                Some(turn) => drop(turn.send(Turn::Answer(answer))),
            }
        }
        mine
    }
}

impl<J: Upkeep, P: Policy> Turnstile<J, P> {
    /// Takes what waits, acts first, leaving out callers that gave up.
    fn drain(&self) -> Vec<Waiting<J, P>> {
        let mut queue = lock(&self.queue);
        let mut batch = Vec::new();
        while batch.len() < self.capacity.batch_len_max.saturating_sub(1) {
            let Some(next) = queue.next() else { break };
            if !next.turn.is_closed() {
                batch.push(next);
            }
        }
        batch
    }
}

impl<J: Upkeep, P: Policy> Default for Queue<J, P> {
    fn default() -> Self {
        Self { acts: VecDeque::new(), payments: VecDeque::new(), led: false }
    }
}

impl<J: Upkeep, P: Policy> Queue<J, P> {
    /// Whether somebody works the gate.
    pub(super) fn is_led(&self) -> bool {
        self.led
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.acts.len().saturating_add(self.payments.len())
    }

    fn next(&mut self) -> Option<Waiting<J, P>> {
        self.acts.pop_front().or_else(|| self.payments.pop_front())
    }
}

impl<J: Upkeep, P: Policy> Drop for Leadership<J, P> {
    fn drop(&mut self) {
        let Some(turnstile) = self.0.take() else { return };
        let mut queue = lock(&turnstile.queue);
        while let Some(Waiting { ask, span: _, turn }) = queue.next() {
            match turn.send(Turn::Lead(Self(Some(turnstile.clone())), ask)) {
                Ok(()) => return,
                Err(Turn::Lead(mut refused, _)) => drop(refused.0.take()),
                Err(Turn::Answer(_)) => {}
            }
        }
        queue.led = false;
    }
}

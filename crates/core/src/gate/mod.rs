//! The gate: the one road from a request to a signature.
//!
//! [`Gate::pass`] resolves, judges and records a batch in one durable transaction. Only a permit that came back from
//! that transaction becomes an [`Authorized`], and only an [`Authorized`] can be signed.

mod ask;
mod authorized;
mod judge;
mod resolve;

pub use ask::{Ask, LABEL_LEN_MAX, LABELS_MAX, LifecycleAsk, PaymentAsk, REASON_LEN_MAX};
pub use authorized::{Authorized, Signed};

use crate::ports::{Journal, Policy, Recorded};
use crate::{
    ActVerb, DecisionId, Denial, Entry, Intent, Mode, Moment, OfferVerdict, Outcome, Status, Subject,
};

/// What bounds every signature, whatever the policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest life of a signature, in seconds from now.
    pub validity_secs_max: u64,
    /// How far other clocks may be off, in seconds: signatures begin that much earlier, holds end that much later.
    pub skew_secs: u64,
    /// How far our own clock may go back before everything is denied, in milliseconds.
    pub clock_back_ms_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { validity_secs_max: 300, skew_secs: 60, clock_back_ms_max: 2_000 }
    }
}

/// The gate. Whoever holds it decides; there is one.
#[derive(Debug)]
pub struct Gate<J> {
    journal: J,
    settings: Settings,
    undurable: Vec<LifecycleAsk>,
}

/// What the gate answers. Every answer is on disk before it is given.
#[derive(Debug)]
pub enum Answer {
    /// May be signed.
    Authorized(Box<Authorized>),
    /// Would be signed, had it not been a preview.
    WouldSign {
        /// Its record.
        decision_id: DecisionId,
        /// What would be signed.
        intent: Box<Intent>,
    },
    /// No.
    Denied {
        /// Its record.
        decision_id: DecisionId,
        /// Why.
        denial: Denial,
        /// Each offer's verdict.
        offers: Vec<OfferVerdict>,
    },
    /// An operator's act is done.
    Acted {
        /// Its record.
        decision_id: DecisionId,
        /// On whom.
        subject: Subject,
        /// What operators now decided about it.
        status: Status,
    },
}

impl<J: Journal> Gate<J> {
    /// A gate in front of a journal.
    #[must_use]
    pub fn new(journal: J, settings: Settings) -> Self {
        Self { journal, settings, undurable: Vec::new() }
    }

    /// The journal, to read from.
    #[must_use]
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// The journal, for upkeep between batches.
    pub fn journal_mut(&mut self) -> &mut J {
        &mut self.journal
    }

    /// Judges a batch under one bundle and records it in one durable transaction, in order. Acts that could not be
    /// recorded earlier are recorded first.
    ///
    /// # Errors
    /// The journal's. Then nothing of the batch was recorded or authorised.
    pub fn pass<P: Policy>(
        &mut self,
        policy: &P,
        at: Moment,
        asks: Vec<Ask>,
    ) -> Result<Vec<Answer>, J::Error> {
        let deferred = self.undurable.len();
        let mut batch: Vec<Ask> = self.undurable.iter().cloned().map(Ask::Lifecycle).collect();
        batch.extend(asks);
        let settings = self.settings;
        let recorded = self.journal.commit(at, &batch, |ask, ledger| match ask {
            Ask::Payment(ask) => judge::Court { policy, ledger, settings, at }.payment(ask),
            Ask::Lifecycle(ask) => Ok(judge::Court { policy, ledger, settings, at }.act(ask)),
        })?;
        self.undurable.clear();
        Ok(recorded.into_iter().skip(deferred).map(answer).collect())
    }

    /// Remembers an act that took effect in memory while the journal could not be written. It is the first thing
    /// recorded by the next [`Gate::pass`] that succeeds. Only a stop is ever remembered: a resume that is not on disk
    /// does not happen.
    pub fn remember(&mut self, ask: LifecycleAsk) {
        if ask.act.verb == ActVerb::Suspend && !self.undurable.contains(&ask) {
            self.undurable.push(ask);
        }
    }

    /// How many acts wait to become durable.
    #[must_use]
    pub fn undurable_len(&self) -> usize {
        self.undurable.len()
    }
}

fn answer(recorded: Recorded) -> Answer {
    let Recorded { decision_id, entry } = recorded;
    match entry {
        Entry::Payment(decision) => match (decision.mode, decision.outcome) {
            (Mode::Enforce, Outcome::Permit(permit)) => {
                Answer::Authorized(Box::new(Authorized::new(permit.intent, decision_id)))
            }
            (Mode::Preview, Outcome::Permit(permit)) => {
                Answer::WouldSign { decision_id, intent: Box::new(permit.intent) }
            }
            (Mode::Enforce | Mode::Preview, Outcome::Deny { denial, .. }) => {
                Answer::Denied { decision_id, denial, offers: decision.offers }
            }
        },
        Entry::Reissue(reissue) => {
            let original = DecisionId { seq: reissue.original_seq, ..decision_id };
            Answer::Authorized(Box::new(Authorized::new(reissue.intent, original)))
        }
        Entry::Lifecycle(lifecycle) => match lifecycle.denial {
            Some(denial) => Answer::Denied { decision_id, denial, offers: Vec::new() },
            None => Answer::Acted {
                decision_id,
                status: lifecycle.act.verb.status(),
                subject: lifecycle.act.subject,
            },
        },
    }
}

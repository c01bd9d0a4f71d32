//! The gate: the one road from a request to a signature.
//!
//! [`Gate::pass`] resolves, judges and records a batch in one durable transaction. Only a permit that came back from
//! that transaction becomes an [`Authorized`], and only an [`Authorized`] can be signed.

mod acts;
mod ask;
mod authorized;
mod ceilings;
mod judge;
mod notes;
mod payees;
mod resolve;
mod resolved;
mod shadow;
mod sign_in;
mod transition;
mod typed_data;
mod warnings;
mod witness;

pub use ask::{
    AllowanceAsk, Ask, EvidenceAsk, LABEL_LEN_MAX, LABELS_MAX, LifecycleAsk, PaymentAsk, REASON_LEN_MAX,
    ReloadAsk, ReportAsk, SignInAsk, TypedDataAsk, UnauthenticatedAsk, VOIDS_PER_PAGE_MAX, VoidAsk,
};
pub use authorized::{Authorized, Signed};
pub use witness::Witness;

use std::collections::{BTreeSet, VecDeque};

use self::judge::Court;
use crate::ports::{Hold, Journal, Judged, Nothing, Policy, Recorded, Urgency};
use crate::{
    Act, Address, Balances, Cancellation, ClockTolerance, ClockTrust, DecisionId, Denial, Digest, Entry,
    Flip, HoldState, Intent, Mode, Moment, OfferVerdict, Outcome, SignInOutcome, Signable, Status, Subject,
    TransferMethod, Transition, Warning,
};

/// What bounds every signature, whatever the policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest life of a signature, in seconds from now.
    pub validity_secs_max: u64,
    /// Longest life of a Permit2 signature, in seconds from now, where that is shorter: only a transaction of the wallet
    /// itself could void it.
    pub permit2_validity_secs_max: u64,
    /// How far other clocks may be off, in seconds: signatures begin that much earlier, holds end that much later.
    pub skew_secs: u64,
    /// How far our own clock may go back before everything is denied, in milliseconds.
    pub clock_back_ms_max: u64,
    /// How far the wall clock may run ahead of the boot clock before everything is denied, in milliseconds.
    pub clock_ahead_ms_max: u64,
    /// How far ahead of the last record the wall clock may be after a reboot before everything is denied, in
    /// milliseconds.
    pub clock_reboot_ms_max: u64,
    /// How old a balance may be to be relied on, in seconds.
    pub balance_age_secs_max: u64,
    /// How many equal denials, previews, retries or calls of nobody are recorded within a minute, each on its own; what comes
    /// beyond is counted in one record.
    pub repeats_per_minute_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            validity_secs_max: 300,
            permit2_validity_secs_max: 60,
            skew_secs: 60,
            clock_back_ms_max: 2_000,
            clock_ahead_ms_max: 60_000,
            clock_reboot_ms_max: 86_400_000,
            balance_age_secs_max: 120,
            repeats_per_minute_max: 60,
        }
    }
}

impl Settings {
    /// Longest life of a signature of one kind, in seconds from now.
    #[must_use]
    pub fn validity_secs_max(&self, method: TransferMethod) -> u64 {
        match method {
            TransferMethod::Eip3009 => self.validity_secs_max,
            TransferMethod::Permit2 => self.validity_secs_max.min(self.permit2_validity_secs_max),
        }
    }

    /// How far clocks may be off.
    #[must_use]
    pub fn clock_tolerance(&self) -> ClockTolerance {
        ClockTolerance {
            back_ms_max: self.clock_back_ms_max,
            ahead_ms_max: self.clock_ahead_ms_max,
            reboot_ms_max: self.clock_reboot_ms_max,
        }
    }
}

/// What the shell sees around it when a batch is judged.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The clocks.
    pub at: Moment,
    /// The boot clock in microseconds: how long requests waited.
    pub boot_us: u64,
    /// What wallets hold, as far as it is known.
    pub balances: &'a Balances,
    /// The addresses whose keys are here. A wallet without its key is as good as suspended: it could only bind money.
    pub keys: &'a BTreeSet<Address>,
    /// Whoever takes the time of each judgement; `&()` where nobody does.
    pub witness: &'a dyn Witness,
}

/// The bundles a batch is judged under.
#[derive(Debug)]
pub struct Rules<'a, P> {
    /// The one in force.
    pub enforced: &'a P,
    /// One whose answers are recorded beside, and never given.
    pub shadow: Option<&'a P>,
}

impl<'a, P> Rules<'a, P> {
    /// One bundle and no shadow.
    #[must_use]
    pub const fn of(enforced: &'a P) -> Self {
        Self { enforced, shadow: None }
    }
}

impl<P> Clone for Rules<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Rules<'_, P> {}

/// The gate. Whoever holds it decides; there is one.
#[derive(Debug)]
pub struct Gate<J> {
    journal: J,
    settings: Settings,
    undurable: Vec<LifecycleAsk>,
    /// The bundle of the last batch: nothing new follows from it.
    bundle: Option<Digest>,
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
        /// Which limits are near.
        warnings: Vec<Warning>,
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
        /// What was done, and to whom.
        act: Box<Act>,
        /// Whose status operators decided with it: the subject's, and that of wallets that only served it.
        statuses: Vec<(Subject, Status)>,
    },
    /// Something followed from bundle, time and records.
    Changed {
        /// Its record.
        decision_id: DecisionId,
        /// What.
        transition: Box<Transition>,
    },
    /// What voids signatures may be signed.
    Voids(Voids),
    /// An agent's word is recorded.
    Reported {
        /// Its record.
        decision_id: DecisionId,
    },
    /// A hold is resolved.
    Resolved {
        /// Its record.
        decision_id: DecisionId,
        /// What it is now.
        state: HoldState,
    },
    /// It is noted.
    Noted {
        /// Its record, or one like it.
        decision_id: DecisionId,
    },
    /// There was nothing to record.
    Nothing(Nothing),
}

/// A page of what voids signatures.
#[derive(Debug)]
pub struct Voids {
    /// The record of each permit, and the right to sign what voids it.
    pub rights: Vec<(u64, Authorized)>,
    /// Where to go on, if there may be more.
    pub next: Option<u64>,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Passed {
    /// What was recorded before it: acts that were in force in memory only, and what a new bundle entails.
    pub before: Vec<Answer>,
    /// The answers, in the order of the asks.
    pub answers: Vec<Answer>,
    /// What would change under the shadow bundle, one for each of its answers.
    pub flips: Vec<Flip>,
}

impl<J: Journal> Gate<J> {
    /// A gate in front of a journal.
    #[must_use]
    pub fn new(journal: J, settings: Settings) -> Self {
        Self { journal, settings, undurable: Vec::new(), bundle: None }
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

    /// What can be believed of a reading of the clocks.
    #[must_use]
    pub fn clock_trust(&self, at: Moment) -> ClockTrust {
        self.journal.clock().trust(at, self.settings.clock_tolerance())
    }

    /// Judges a batch under one bundle and records it in one durable transaction, in order. Acts that could not be
    /// recorded earlier are recorded first, then what follows from a bundle that was not in force before. What a shadow
    /// bundle would have answered stands in the same records.
    ///
    /// # Errors
    /// The journal's. Then nothing of the batch was recorded or authorised.
    pub fn pass<P: Policy>(
        &mut self,
        rules: Rules<'_, P>,
        around: Surroundings<'_>,
        asks: Vec<Ask>,
    ) -> Result<Passed, J::Error> {
        let Rules { enforced: policy, shadow } = rules;
        let mut batch: Vec<Ask> = self.undurable.iter().cloned().map(Ask::Lifecycle).collect();
        if self.bundle != Some(policy.digest()) {
            batch.push(Ask::Transition);
        }
        let trust = self.clock_trust(around.at);
        // A clock that jumped moves nothing: everything is judged at the time that is believed.
        let at = match trust {
            ClockTrust::Sound(at) => at,
            ClockTrust::Regressed { .. } => around.at,
            ClockTrust::Jumped { believed, .. } => believed,
        };
        // What was counted in a minute that is over: it must not stand in the way of stops.
        if asks.is_empty() || !asks.iter().all(stop) {
            batch.extend(self.journal.due(at).into_iter().map(Ask::Repeats));
        }
        let before = batch.len();
        batch.extend(asks);
        let settings = self.settings;
        let mut voids = VecDeque::new();
        let acts = batch.iter().any(|ask| matches!(ask, Ask::Lifecycle(_) | Ask::Void(_)));
        let urgency = if acts && batch.iter().all(stop) { Urgency::Stop } else { Urgency::Payment };
        let (mut judged_len, mut flips) = (0_usize, Vec::new());
        let recorded = self.journal.commit(at, urgency, &batch, |ask, ledger| {
            // Asked again from the first on, it counts from the first again.
            if batch.first().is_some_and(|first| std::ptr::eq(first, ask)) {
                judged_len = 0;
                flips.clear();
            }
            let own = judged_len.checked_sub(before);
            judged_len = judged_len.saturating_add(1);
            around.witness.begins(own);
            let court = Court { policy, ledger, settings, at, trust, around };
            let judged = match ask {
                Ask::Payment(ask) => court.payment(ask).map(Judged::Entry),
                Ask::Lifecycle(ask) => court.act(ask).map(Judged::Entry),
                Ask::Report(ask) => court.report(ask),
                Ask::Evidence(ask) => court.evidence(ask),
                Ask::SignIn(ask) => court.sign_in(ask).map(Judged::Entry),
                Ask::TypedData(ask) => court.typed_data(ask).map(Judged::Entry),
                Ask::Transition => court.transition(),
                Ask::Signatures(hashes) => Ok(Judged::Entry(court.signatures(hashes))),
                Ask::Unauthenticated(ask) => Ok(Judged::Entry(court.unauthenticated(ask))),
                Ask::Repeats(repeats) => Ok(Judged::Entry(court.repeated(repeats))),
                Ask::Reload(ask) => Ok(Judged::Entry(court.reload(ask))),
                Ask::Void(ask) => {
                    // Asked again from the first on, it is one page again.
                    voids.retain(|page: &transition::Page| (page.act, page.after) != (ask.act, ask.after));
                    voids.push_back(court.voidable(*ask)?);
                    Ok(Judged::Nothing(Nothing::Voids))
                }
            };
            let judged = judged.and_then(|judged| {
                let Some(policy) = shadow else { return Ok(judged) };
                let judged = Court { policy, ..court }.shadowed(ask, judged)?;
                if let Judged::Entry(entry) = &judged {
                    flips.extend(entry.shadow().map(|(_, flip)| flip));
                }
                Ok(judged)
            });
            let judged = judged.map(|judged| court.tamed(judged));
            around.witness.ends(own);
            judged
        })?;
        self.undurable.clear();
        self.bundle = Some(policy.digest());
        let mut answers: Vec<Answer> =
            recorded.into_iter().map(|recorded| answer(recorded, &mut voids)).collect();
        let rest = answers.split_off(before.min(answers.len()));
        Ok(Passed { before: answers, answers: rest, flips })
    }

    /// Remembers an act that took effect in memory while the journal could not be written. It is the first thing
    /// recorded by the next [`Gate::pass`] that succeeds. Only a stop is ever remembered: a resume that is not on disk
    /// does not happen.
    pub fn remember(&mut self, ask: LifecycleAsk) {
        if ask.act.verb.stop().is_some() && !self.undurable.contains(&ask) {
            self.undurable.push(ask);
        }
    }

    /// How many acts wait to become durable.
    #[must_use]
    pub fn undurable_len(&self) -> usize {
        self.undurable.len()
    }
}

/// Whether an ask goes with stops, for which there is room where there is none for anything else.
fn stop(ask: &Ask) -> bool {
    match ask {
        Ask::Lifecycle(ask) => ask.act.verb.is_stop(),
        // What a new bundle entails goes with the stop that comes after it; what voids is no record at all.
        Ask::Transition | Ask::Void(_) => true,
        Ask::Payment(_)
        | Ask::Report(_)
        | Ask::Evidence(_)
        | Ask::SignIn(_)
        | Ask::TypedData(_)
        | Ask::Signatures(_)
        | Ask::Unauthenticated(_)
        | Ask::Reload(_)
        | Ask::Repeats(_) => false,
    }
}

fn answer(recorded: Recorded, voids: &mut VecDeque<transition::Page>) -> Answer {
    let (decision_id, entry) = match recorded {
        Recorded::Entry { decision_id, entry } | Recorded::Repeat { decision_id, entry } => {
            (decision_id, entry)
        }
        Recorded::Nothing(Nothing::Voids) => {
            return voids.pop_front().map_or(Answer::Nothing(Nothing::NothingDue), voiding);
        }
        Recorded::Nothing(nothing) => return Answer::Nothing(nothing),
    };
    let statuses = entry.statuses();
    match entry {
        Entry::Payment(decision) => match (decision.mode, decision.outcome) {
            (Mode::Enforce, Outcome::Permit(permit)) => {
                let what = Signable::Payment(permit.intent);
                Answer::Authorized(Box::new(Authorized::new(what, permit.warnings, decision_id)))
            }
            (Mode::Preview, Outcome::Permit(permit)) => {
                Answer::WouldSign { decision_id, intent: Box::new(permit.intent), warnings: permit.warnings }
            }
            (Mode::Enforce | Mode::Preview, Outcome::Deny { denial, .. }) => {
                Answer::Denied { decision_id, denial, offers: decision.offers }
            }
        },
        Entry::Reissue(reissue) => {
            let original = DecisionId { seq: reissue.original_seq, ..decision_id };
            Answer::Authorized(Box::new(Authorized::new(reissue.what, Vec::new(), original)))
        }
        Entry::Lifecycle(lifecycle) => match (lifecycle.denial, lifecycle.cancellation) {
            (Some(denial), _) => Answer::Denied { decision_id, denial, offers: Vec::new() },
            (None, Some(cancellation)) => {
                let what = Signable::Cancellation(cancellation);
                Answer::Authorized(Box::new(Authorized::new(what, Vec::new(), decision_id)))
            }
            (None, None) => {
                let act = Box::new(lifecycle.act);
                Answer::Acted { decision_id, statuses, act }
            }
        },
        Entry::SignIn(decision) => match decision.outcome {
            SignInOutcome::Permit(permit) => {
                let what = Signable::SignIn(permit.intent);
                Answer::Authorized(Box::new(Authorized::new(what, Vec::new(), decision_id)))
            }
            SignInOutcome::Deny { denial, .. } => Answer::Denied { decision_id, denial, offers: Vec::new() },
        },
        Entry::Report(_) => Answer::Reported { decision_id },
        Entry::Evidence(evidence) => Answer::Resolved { decision_id, state: evidence.state },
        Entry::Transition(transition) => Answer::Changed { decision_id, transition },
        Entry::Signatures(_) | Entry::Unauthenticated(_) | Entry::Repeated(_) | Entry::Reload(_) => {
            Answer::Noted { decision_id }
        }
    }
}

/// The rights to sign what an act, which is on disk, voids.
fn voiding(page: transition::Page) -> Answer {
    let transition::Page { act, after: _, holds, next } = page;
    // What only a transaction of the wallet itself could void is left out.
    let right = |hold: Hold| {
        let what = Signable::Cancellation(Cancellation::of(&hold.permit.intent)?);
        Some((hold.seq, Authorized::new(what, Vec::new(), act)))
    };
    Answer::Voids(Voids { rights: holds.into_iter().filter_map(right).collect(), next })
}

//! A journal in memory: the port's contract in the plainest words, for tests of the gate and of policies.
//!
//! It keeps every entry and derives everything else by looking at all of them, so that there is nothing to keep in
//! step. The real journal is tested on its own.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_core::ports::{
    Hold, Journal, Judged, Ledger, LedgerError, PastSignIn, Prior, Recorded, Urgency, Used,
};
use pursekeeper_core::{
    Act, ActVerb, Address, AgentName, Aim, Amount, AssetId, BundleId, ClaimedCredit, ClockMark, Credit,
    DecisionId, Detail, Digest, Endpoint, Entry, HoldState, Intent, JournalId, LifecycleDecision, Moment,
    PayeeState, PendingAct, Permit, RepeatKey, Repeats, Report, RequestId, Reviewed, Scope, ServiceName,
    SignInOutcome, SignInPermit, Status, Subject, Totals, Transition, UnixSeconds, Usd, Window,
};

/// A journal in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    /// Everything recorded, in order.
    pub entries: Vec<Entry>,
    /// What was spent before the first entry, and never ages.
    pub spent_before: BTreeMap<Scope, Totals>,
    /// The bundle that was in force before the first entry.
    pub bundle_before: Option<BundleId>,
    /// What was known about time before the first entry.
    pub clock_before: ClockMark,
    /// What was counted instead of being recorded, and waits to be.
    pub repeats: Vec<Repeats>,
    /// Whether the next commit fails, as on a full disk.
    pub full: bool,
    /// Whether every permit is archived and gone, so that only its id is known.
    pub archived: bool,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// [`MemoryJournal::full`].
    #[error("full")]
    Full,
}

/// What a decision sees: the journal and the batch so far.
struct View<'a> {
    journal: &'a MemoryJournal,
    batch: Vec<Entry>,
    now: UnixSeconds,
}

/// Whether two times are of one minute.
fn same_minute(a: u64, b: u64) -> bool {
    a.div_euclid(60_000) == b.div_euclid(60_000)
}

impl Journal for MemoryJournal {
    type Error = MemoryError;

    fn commit<A>(
        &mut self,
        at: Moment,
        _: Urgency,
        asks: &[A],
        mut decide: impl FnMut(&A, &dyn Ledger) -> Result<Judged, LedgerError>,
    ) -> Result<Vec<Recorded>, MemoryError> {
        let mut view = View { journal: self, batch: Vec::new(), now: at.unix_seconds() };
        let mut recorded = Vec::new();
        let mut repeats = view.journal.repeats.clone();
        for ask in asks {
            recorded.push(match decide(ask, &view)? {
                Judged::Entry(entry) => {
                    let seq = u64::try_from(view.entries().count()).unwrap() + 1;
                    if let Entry::Repeated(repeated) = &entry {
                        repeats.retain(|counted| counted.key != repeated.repeats.key);
                    }
                    view.batch.push(entry.clone());
                    Recorded::Entry { decision_id: Self::id(seq), entry }
                }
                Judged::Repeat(entry) => {
                    let key = entry.repeat_key().unwrap();
                    let like = view.numbered().filter(|(_, entry)| entry.repeat_key().as_ref() == Some(&key));
                    let like_seq = like.map(|(seq, _)| seq).last().unwrap();
                    let ms = entry.at().unix_ms;
                    match repeats.iter_mut().find(|repeats| repeats.key == key) {
                        Some(counted) => (counted.count, counted.last_ms) = (counted.count + 1, ms),
                        None => {
                            repeats.push(Repeats { key, like_seq, count: 1, first_ms: ms, last_ms: ms });
                        }
                    }
                    Recorded::Repeat { decision_id: Self::id(like_seq), entry }
                }
                Judged::Nothing(nothing) => Recorded::Nothing(nothing),
            });
        }
        let View { batch, .. } = view;
        // Decided but not on disk: the worst moment to fail.
        if self.full {
            return Err(MemoryError::Full);
        }
        self.entries.extend(batch);
        self.repeats = repeats;
        Ok(recorded)
    }

    fn clock(&self) -> ClockMark {
        after(self.clock_before, self.entries.iter())
    }

    fn due(&self, at: Moment) -> Vec<Repeats> {
        let over = |counted: &&Repeats| !same_minute(counted.first_ms, at.unix_ms);
        self.repeats.iter().filter(over).cloned().collect()
    }
}

/// What is known about time after some entries.
fn after<'e>(before: ClockMark, entries: impl Iterator<Item = &'e Entry>) -> ClockMark {
    entries.fold(before, |mark, entry| mark.after(entry.at(), entry.accepts_clock()))
}

impl MemoryJournal {
    fn id(seq: u64) -> DecisionId {
        DecisionId::new(JournalId([0xaa; 16]), seq)
    }
}

impl View<'_> {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.journal.entries.iter().chain(&self.batch)
    }

    fn numbered(&self) -> impl Iterator<Item = (u64, &Entry)> {
        (1..).zip(self.entries())
    }

    fn sign_ins(&self) -> impl Iterator<Item = (u64, Digest, &SignInPermit)> {
        self.numbered().filter_map(|(seq, entry)| {
            let Entry::SignIn(decision) = entry else { return None };
            match &decision.outcome {
                SignInOutcome::Permit(permit) => Some((seq, decision.fingerprint, &**permit)),
                SignInOutcome::Deny { .. } => None,
            }
        })
    }

    fn reports(&self) -> impl Iterator<Item = (u64, &Report)> {
        self.numbered().filter_map(|(seq, entry)| match entry {
            Entry::Report(report) => Some((seq, &**report)),
            Entry::Payment(_)
            | Entry::Reissue(_)
            | Entry::Lifecycle(_)
            | Entry::Evidence(_)
            | Entry::SignIn(_)
            | Entry::Transition(_)
            | Entry::Signatures(_)
            | Entry::Unauthenticated(_)
            | Entry::Repeated(_)
            | Entry::Reload(_) => None,
        })
    }

    /// The permitted acts, with their records.
    fn acts(&self) -> impl Iterator<Item = (u64, &LifecycleDecision)> {
        self.numbered().filter_map(|(seq, entry)| match entry {
            Entry::Lifecycle(lifecycle) => lifecycle.denial.is_none().then_some((seq, &**lifecycle)),
            Entry::Payment(_)
            | Entry::Reissue(_)
            | Entry::Report(_)
            | Entry::Evidence(_)
            | Entry::SignIn(_)
            | Entry::Transition(_)
            | Entry::Signatures(_)
            | Entry::Unauthenticated(_)
            | Entry::Repeated(_)
            | Entry::Reload(_) => None,
        })
    }

    fn transitions(&self) -> impl Iterator<Item = &Transition> {
        self.entries().filter_map(|entry| match entry {
            Entry::Transition(transition) => Some(&**transition),
            Entry::Payment(_)
            | Entry::Reissue(_)
            | Entry::Lifecycle(_)
            | Entry::Report(_)
            | Entry::Evidence(_)
            | Entry::SignIn(_)
            | Entry::Signatures(_)
            | Entry::Unauthenticated(_)
            | Entry::Repeated(_)
            | Entry::Reload(_) => None,
        })
    }

    /// How many claims there are about what record `seq` permits.
    fn claims(&self, seq: u64) -> u64 {
        u64::try_from(self.reports().filter(|(_, report)| report.original_seq == seq).count()).unwrap()
    }

    /// When an entry was recorded.
    fn at(&self, seq: u64) -> UnixSeconds {
        self.entries().nth(usize::try_from(seq - 1).unwrap()).unwrap().at().unix_seconds()
    }

    /// Every hold with what became of it.
    fn holds(&self) -> impl Iterator<Item = (u64, &Permit, HoldState)> {
        self.numbered().filter_map(|(seq, entry)| {
            let resolved = self.entries().filter_map(Entry::resolves).find(|(hold, _)| *hold == seq);
            Some((seq, entry.binding_permit()?, resolved.map_or(HoldState::Held, |(_, state)| state)))
        })
    }
}

impl Ledger for View<'_> {
    fn recorded_lately(&self, key: &RepeatKey, at: Moment) -> u32 {
        let alike = |entry: &&Entry| {
            entry.repeat_key().as_ref() == Some(key) && same_minute(entry.at().unix_ms, at.unix_ms)
        };
        u32::try_from(self.entries().filter(alike).count()).unwrap()
    }

    fn totals(&self, scope: &Scope) -> Totals {
        let mut totals = self.journal.spent_before.get(scope).copied().unwrap_or_default();
        for (_, permit, state) in self.holds().filter(|(_, permit, _)| is_about(permit, scope)) {
            let (counted, one) = match state {
                HoldState::Held => (permit.intent.usd, 1),
                HoldState::Settled { amount: _, usd } => (usd, 1),
                HoldState::Released => (Usd::ZERO, 0),
            };
            let lengths = Window::ROLLING.iter().map(|(_, secs)| *secs).chain([u64::MAX]);
            for (at, secs) in lengths.enumerate() {
                if self.now < permit.held_until.plus(secs) {
                    let (usd, payments) =
                        (totals.usd.get_mut(at).unwrap(), totals.payments.get_mut(at).unwrap());
                    *usd = usd.checked_add(counted).unwrap();
                    *payments += one;
                }
            }
        }
        for (_, _, permit) in self.sign_ins().filter(|(_, _, permit)| signs_in(permit, scope)) {
            let lengths = Window::ROLLING.iter().map(|(_, secs)| *secs).chain([u64::MAX]);
            for (at, secs) in lengths.enumerate() {
                *totals.sign_ins.get_mut(at).unwrap() +=
                    u64::from(self.now < permit.counted_until.plus(secs));
            }
        }
        totals
    }

    fn status(&self, names: &[Subject]) -> Status {
        let decided = || {
            let all = self.entries().flat_map(Entry::statuses);
            all.filter(|(subject, _)| names.contains(subject)).map(|(_, status)| status)
        };
        if decided().any(|status| status == Status::Revoked) {
            return Status::Revoked;
        }
        decided().last().unwrap_or_default()
    }

    fn bundle(&self) -> Option<BundleId> {
        let renewed = self.transitions().filter(|transition| transition.reviewed.is_some()).last();
        renewed.map(|transition| transition.bundle).or(self.journal.bundle_before)
    }

    fn reviewed(&self) -> Reviewed {
        self.transitions().filter_map(|transition| transition.reviewed.clone()).last().unwrap_or_default()
    }

    fn pending_acts(&self) -> Vec<PendingAct> {
        let complete: BTreeSet<u64> =
            self.transitions().flat_map(|transition| transition.completed.iter().copied()).collect();
        let waits = |(seq, lifecycle): (u64, &LifecycleDecision)| {
            let wallet = lifecycle.wallet.clone();
            let (wallet, aim) = match (&lifecycle.act.detail, &lifecycle.act.subject) {
                (Detail::NewKey { wallet, address }, _) => (wallet.clone(), Aim::Declare(*address)),
                (Detail::Successor(new), Subject::Wallet(old)) => {
                    (wallet?, Aim::Replace { old: *old, new: *new })
                }
                (Detail::Workflows(names), Subject::Wallet(address)) => {
                    (wallet?, Aim::Serve(*address, names.clone()))
                }
                (_, _) => return None,
            };
            (!complete.contains(&seq)).then_some(PendingAct { seq, wallet, aim })
        };
        self.acts().filter_map(waits).collect()
    }

    fn draining(&self) -> Vec<Subject> {
        let all: BTreeSet<Subject> =
            self.entries().flat_map(Entry::statuses).map(|(subject, _)| subject).collect();
        all.into_iter().filter(|one| self.status(std::slice::from_ref(one)) == Status::Draining).collect()
    }

    fn has_backup(&self, wallet: Address) -> bool {
        let of = |act: &Act| act.verb == ActVerb::Backup && act.subject == Subject::Wallet(wallet);
        self.acts().any(|(_, lifecycle)| of(&lifecycle.act))
    }

    fn exposed(
        &self,
        names: &[Subject],
        now: UnixSeconds,
        (after, limit): (u64, usize),
    ) -> Result<Vec<Hold>, LedgerError> {
        let of = |intent: &Intent| {
            names.contains(&Subject::Sidecar) || intent.subjects().iter().any(|one| names.contains(one))
        };
        let alive = self.holds().filter(|(seq, permit, state)| {
            *state == HoldState::Held && *seq > after && permit.held_until >= now && of(&permit.intent)
        });
        let hold = |(seq, permit, state): (u64, &Permit, HoldState)| Hold {
            seq,
            at: self.at(seq),
            permit: permit.clone(),
            state,
            claims: 0,
        };
        Ok(alive.take(limit).map(hold).collect())
    }

    fn act(&self, seq: u64) -> Result<Option<Act>, LedgerError> {
        Ok(self.acts().find(|(at, _)| *at == seq).map(|(_, lifecycle)| lifecycle.act.clone()))
    }

    fn prior(&self, agent: &AgentName, id: &RequestId) -> Result<Option<Prior>, LedgerError> {
        let gone = |used| if self.journal.archived { Used::Archived } else { used };
        let found = self
            .holds()
            .find(|(_, Permit { intent, .. }, _)| intent.agent == *agent && intent.request_id == *id);
        if let Some((seq, permit, state)) = found {
            let Some(Entry::Payment(decision)) = self.entries().nth(usize::try_from(seq - 1).unwrap()) else {
                panic!("record {seq} holds money and is no payment");
            };
            let fingerprint = decision.fingerprint;
            let used = Used::Payment(Box::new(permit.intent.clone()), state);
            return Ok(Some(Prior { seq, fingerprint, used: gone(used) }));
        }
        let same = |(_, _, SignInPermit { intent, .. }): &(u64, Digest, &SignInPermit)| {
            intent.agent == *agent && intent.request_id == *id
        };
        Ok(self.sign_ins().find(same).map(|(seq, fingerprint, permit)| {
            let used = Used::SignIn(Box::new(permit.intent.clone()));
            Prior { seq, fingerprint, used: gone(used) }
        }))
    }

    fn nonce_used(&self, wallet: Address, nonce: [u8; 32]) -> Result<bool, LedgerError> {
        let same = |intent: &Intent| intent.wallet_address == wallet && intent.nonce == nonce;
        Ok(self.holds().any(|(_, permit, _)| same(&permit.intent)))
    }

    fn held_alike(&self, wallet: Address, asset: &AssetId, amount: Amount) -> Result<Vec<Hold>, LedgerError> {
        let alike = self.holds().filter(|(_, Permit { intent, .. }, state)| {
            let terms = &intent.terms;
            let same = intent.wallet_address == wallet && terms.asset == *asset && terms.amount == amount;
            same && *state == HoldState::Held
        });
        let hold = |(seq, permit, state): (u64, &Permit, HoldState)| Hold {
            seq,
            at: self.at(seq),
            permit: permit.clone(),
            state,
            claims: 0,
        };
        Ok(alike.map(hold).collect())
    }

    fn outstanding(&self, agent: &AgentName, endpoint: &Endpoint) -> u64 {
        let live = self.holds().filter(|(_, permit, state)| {
            *state == HoldState::Held
                && permit.held_until > self.now
                && permit.intent.agent == *agent
                && permit.intent.endpoint == *endpoint
        });
        u64::try_from(live.count()).unwrap()
    }

    fn bound_since(&self, scope: &Scope, since: UnixSeconds) -> Usd {
        let bound =
            self.holds().filter(|(_, permit, _)| is_about(permit, scope) && permit.held_until >= since);
        bound.fold(Usd::ZERO, |sum, (_, permit, state)| match state {
            HoldState::Held => sum.checked_add(permit.intent.usd).unwrap(),
            HoldState::Settled { amount: _, usd } => sum.checked_add(usd).unwrap(),
            HoldState::Released => sum,
        })
    }

    fn hold(&self, seq: u64) -> Result<Option<Hold>, LedgerError> {
        let claims = self.claims(seq);
        let found = self.holds().find(|(at, _, _)| *at == seq);
        Ok(found.map(|(seq, permit, state)| Hold {
            seq,
            at: self.at(seq),
            permit: permit.clone(),
            state,
            claims,
        }))
    }

    fn sign_in(&self, seq: u64) -> Result<Option<PastSignIn>, LedgerError> {
        let found = self.sign_ins().find(|(at, _, _)| *at == seq);
        Ok(found
            .map(|(seq, _, permit)| PastSignIn { intent: permit.intent.clone(), claims: self.claims(seq) }))
    }

    fn credit(&self, wallet: Address, service: &ServiceName) -> Credit {
        let booked = |(address, name): (Address, &Option<ServiceName>)| {
            address == wallet && name.as_ref() == Some(service)
        };
        let mut credit = Credit::default();
        for (_, permit, state) in self.holds() {
            let counted = match state {
                HoldState::Held => permit.intent.usd,
                HoldState::Settled { amount: _, usd } => usd,
                HoldState::Released => Usd::ZERO,
            };
            if booked((permit.intent.wallet_address, &permit.intent.service)) {
                credit.topped_up = credit.topped_up.checked_add(counted).unwrap();
            }
        }
        let signed_in: Vec<u64> = self
            .sign_ins()
            .filter(|(_, _, permit)| booked((permit.intent.wallet_address, &permit.intent.service)))
            .map(|(seq, _, _)| seq)
            .collect();
        let paid: Vec<u64> = self
            .holds()
            .filter(|(_, permit, _)| booked((permit.intent.wallet_address, &permit.intent.service)))
            .map(|(seq, _, _)| seq)
            .collect();
        credit.claimed = self
            .reports()
            .filter(|(_, report)| signed_in.iter().chain(&paid).any(|seq| *seq == report.original_seq))
            .filter_map(|(seq, report)| {
                Some(ClaimedCredit { usd: report.said.remaining()?, at: report.at.unix_seconds(), seq })
            })
            .last();
        let since = credit.claimed.map_or(0, |claimed| claimed.seq);
        credit.sign_ins = u64::try_from(signed_in.iter().filter(|seq| **seq > since).count()).unwrap();
        credit.last_sign_in = signed_in.last().copied().unwrap_or(0);
        credit
    }

    fn payee(&self, services: &[ServiceName], payee: Address) -> Option<PayeeState> {
        let here = |service: &ServiceName, of: Address| services.contains(service) && of == payee;
        let accepted = self.entries().filter_map(Entry::accepted_payee);
        let mut pending = self.entries().filter_map(Entry::pending_payee);
        match accepted.into_iter().any(|(service, of)| here(service, of)) {
            true => Some(PayeeState::Accepted),
            false => pending.any(|left| here(&left.service, left.payee)).then_some(PayeeState::Pending),
        }
    }

    fn pending_payees(&self, services: &[ServiceName]) -> usize {
        let left = self.entries().filter_map(Entry::pending_payee);
        let here = left.filter(|left| services.contains(&left.service)).map(|left| left.payee);
        let here: BTreeSet<Address> = here.collect();
        here.into_iter().filter(|of| self.payee(services, *of) == Some(PayeeState::Pending)).count()
    }

    fn clock(&self) -> ClockMark {
        after(self.journal.clock_before, self.entries())
    }
}

fn signs_in(permit: &SignInPermit, scope: &Scope) -> bool {
    let intent = &permit.intent;
    match scope {
        Scope::Agent(name) => intent.agent == *name,
        Scope::Workflow(name) => intent.workflow == *name,
        Scope::Wallet(address) => intent.wallet_address == *address,
        Scope::Service(name) => intent.service.as_ref() == Some(name),
        Scope::Payee(_) => false,
    }
}

fn is_about(permit: &Permit, scope: &Scope) -> bool {
    let intent = &permit.intent;
    match scope {
        Scope::Agent(name) => intent.agent == *name,
        Scope::Workflow(name) => intent.workflow == *name,
        Scope::Wallet(address) => intent.wallet_address == *address,
        Scope::Service(name) => intent.service.as_ref() == Some(name),
        Scope::Payee(address) => intent.terms.payee == *address,
    }
}

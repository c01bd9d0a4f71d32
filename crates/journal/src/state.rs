//! What the journal knows without reading: totals, statuses, outstanding signatures and where the chain ends. All of it
//! follows from the records; a batch that fails takes back every change it made.

use std::collections::{BTreeSet, HashMap};

use pursekeeper_core::{
    Address, ClockMark, Credit, Digest, Entry, HoldState, Moment, Permit, RepeatKey, Repeats, Scope,
    ServiceName, SignInPermit, Status, Subject, Totals, UnixSeconds, Usd, Window,
};

use crate::JournalError;
use crate::account::{Account, Bucket, Sum, first_minute, minute_of};
use crate::credit::{CreditEvent, CreditKey, credit_after, credit_of, credit_of_sign_in};
use crate::lives::{Lives, Role};
use crate::outstanding::{Key, Outstanding, endpoint_key};
use crate::payees::{Payees, Standing};
use crate::repeats::{Lately, RepeatBook};
use crate::tree::Frontier;

/// The end of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The last record.
    pub(crate) seq: u64,
    /// The chain after it.
    pub(crate) chain: Digest,
    /// The latest wall clock of any record, in milliseconds.
    pub(crate) high_water_ms: u64,
}

/// Everything in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) accounts: HashMap<Scope, Account>,
    pub(crate) next_row: i64,
    /// What wallets paid ahead, and what is claimed to be left.
    pub(crate) credits: HashMap<CreditKey, Credit>,
    /// What operators decided last, and in which record.
    pub(crate) statuses: HashMap<Subject, (Status, u64)>,
    pub(crate) payees: Payees,
    pub(crate) lives: Lives,
    /// What is counted instead of being recorded each time.
    pub(crate) repeats: RepeatBook,
    pub(crate) outstanding: Outstanding,
    pub(crate) tip: Tip,
    /// The right edge of the tree over the records.
    pub(crate) frontier: Frontier,
    /// What wall and boot clock said together; see [`ClockMark`].
    pub(crate) anchor: Option<Moment>,
    /// Until when signatures of the lost journal this one replaces could be settled.
    pub(crate) adopted: Option<UnixSeconds>,
}

/// What one batch changed, and how it was before.
#[derive(Debug)]
pub(crate) struct Changes {
    tip: Tip,
    frontier: Frontier,
    anchor: Option<Moment>,
    next_row: i64,
    log: Vec<Change>,
}

/// One change, with what is needed to take it back and to write it down.
#[derive(Debug)]
pub(crate) enum Change {
    /// A payment or sign-in was added to a bucket, which may have been opened for it, of a scope, which may have been
    /// unknown before.
    Bucket { scope: Scope, bucket: Bucket, created: bool, opened: bool },
    /// A signature may be settled.
    Hold { seq: u64, held_until: UnixSeconds },
    /// What a hold counts for was replaced in a bucket of a scope.
    Replaced { scope: Scope, minute: u64, old: Sum, new: Sum },
    /// A signature cannot be settled any more.
    Resolved { seq: u64, held_until: UnixSeconds, key: Key },
    /// A wallet's credit at a service changed; there was none before if it had none.
    Credit { key: CreditKey, before: Option<Credit> },
    /// An operator's act changed a status.
    Status { subject: Subject, before: Option<(Status, u64)> },
    /// Something is known about a life that was not; before, this was.
    Lives { before: Box<Lives> },
    /// Something was recorded or counted that may come again and again.
    Repeat { key: RepeatKey, before: Option<Lately> },
    /// A payee became pending or accepted.
    Payee { service: ServiceName, payee: Address, before: Option<Standing> },
}

/// A hold, as far as its totals need it.
pub(crate) struct HoldRow {
    pub(crate) scopes: Vec<Scope>,
    pub(crate) key: Key,
    pub(crate) credit: Option<CreditKey>,
    pub(crate) usd: Usd,
    pub(crate) held_until: UnixSeconds,
    pub(crate) state: String,
}

/// The subjects a sign-in is counted for.
pub(crate) fn scopes_of_sign_in(permit: &SignInPermit) -> impl Iterator<Item = Scope> {
    let intent = &permit.intent;
    let service = intent.service.clone().map(Scope::Service);
    [
        Scope::Agent(intent.agent.clone()),
        Scope::Workflow(intent.workflow.clone()),
        Scope::Wallet(intent.wallet_address),
    ]
    .into_iter()
    .chain(service)
}

/// The subjects a permit is counted for.
pub(crate) fn scopes_of(permit: &Permit) -> impl Iterator<Item = Scope> {
    let intent = &permit.intent;
    let service = intent.service.clone().map(Scope::Service);
    [
        Scope::Agent(intent.agent.clone()),
        Scope::Workflow(intent.workflow.clone()),
        Scope::Wallet(intent.wallet_address),
        Scope::Payee(intent.terms.payee),
    ]
    .into_iter()
    .chain(service)
}

impl State {
    /// The state of a journal that holds nothing.
    pub(crate) fn empty(tip: Tip, frontier: Frontier, adopted: Option<UnixSeconds>) -> Self {
        Self {
            accounts: HashMap::new(),
            next_row: 1,
            credits: HashMap::new(),
            statuses: HashMap::new(),
            payees: Payees::default(),
            lives: Lives::default(),
            repeats: RepeatBook::default(),
            outstanding: Outstanding::default(),
            tip,
            frontier,
            anchor: None,
            adopted,
        }
    }

    /// The high-water mark in seconds: totals are never those of an earlier time.
    pub(crate) fn high_water(&self) -> UnixSeconds {
        UnixSeconds(self.tip.high_water_ms.div_euclid(1000))
    }

    /// What is known about time.
    pub(crate) fn clock(&self) -> ClockMark {
        ClockMark { high_water_ms: self.tip.high_water_ms, anchor: self.anchor }
    }

    /// What operators decided last under any of the names. What was revoked under one of them stays revoked.
    pub(crate) fn status(&self, names: &[Subject]) -> Status {
        let decided = names.iter().filter_map(|name| self.statuses.get(name));
        let last = |(status, seq): &&(Status, u64)| (*status == Status::Revoked, *seq);
        decided.max_by_key(last).map(|(status, _)| *status).unwrap_or_default()
    }

    /// The subjects that drain, in order: what follows from them is recorded.
    pub(crate) fn draining(&self) -> Vec<Subject> {
        let draining = self.statuses.iter().filter(|(_, (status, _))| *status == Status::Draining);
        let draining: BTreeSet<&Subject> = draining.map(|(subject, _)| subject).collect();
        draining.into_iter().cloned().collect()
    }

    /// Dollars of a scope's signatures that could still be settled at `since` or later.
    pub(crate) fn bound_since(&self, scope: &Scope, since: UnixSeconds) -> Usd {
        if self.adopted.is_some_and(|adopted| adopted >= since) {
            return Usd::MAX;
        }
        self.accounts.get(scope).map_or(Usd::ZERO, |account| account.bound_since(since))
    }

    /// What counts for a scope, from the high-water mark on.
    pub(crate) fn totals(&self, scope: &Scope, now: UnixSeconds) -> Totals {
        let now = now.max(self.high_water());
        if self.recovered(scope) {
            return Totals::EXHAUSTED;
        }
        let mut totals = self.accounts.get(scope).map(|account| account.totals(now)).unwrap_or_default();
        let counts = totals.payments.iter_mut().zip(&mut totals.sign_ins);
        for ((usd, (payments, sign_ins)), window) in totals.usd.iter_mut().zip(counts).zip(Window::TOTALLED) {
            if self.exhausted(window, now) {
                (*usd, *payments, *sign_ins) = (Usd::MAX, u64::MAX, u64::MAX);
            }
        }
        totals
    }

    /// Whether a wallet counts as fully spent because it was brought back: what it spent elsewhere is not known here.
    pub(crate) fn recovered(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Wallet(wallet) => self.lives.is_recovered(*wallet),
            Scope::Agent(_) | Scope::Workflow(_) | Scope::Service(_) | Scope::Payee(_) => false,
        }
    }

    /// Whether a window counts as fully spent because a journal was lost: that journal is one hold of unknown size.
    pub(crate) fn exhausted(&self, window: Window, now: UnixSeconds) -> bool {
        let Some(adopted) = self.adopted else { return false };
        let rolling = Window::ROLLING.iter().find(|(rolling, _)| *rolling == window);
        rolling.is_none_or(|(_, secs)| minute_of(adopted) >= first_minute(now, *secs))
    }

    /// The credit of a wallet at a service.
    pub(crate) fn credit_at(&self, wallet: Address, service: &ServiceName) -> Credit {
        self.credits.get(&(wallet, service.clone())).copied().unwrap_or_default()
    }

    /// Begins a batch.
    pub(crate) fn begin(&self) -> Changes {
        let (tip, frontier) = (self.tip, self.frontier.clone());
        Changes { tip, frontier, anchor: self.anchor, next_row: self.next_row, log: Vec::new() }
    }

    /// Binds the money of a permit.
    pub(crate) fn hold(
        &mut self,
        changes: &mut Changes,
        seq: u64,
        permit: &Permit,
    ) -> Result<(), JournalError> {
        let Permit { intent, policies: _, held_until, warnings: _ } = permit;
        let bucket = Bucket { minute: minute_of(*held_until), sum: Sum::one(intent.usd) };
        self.count(changes, bucket, scopes_of(permit))?;
        self.credit(changes, credit_of(permit), CreditEvent::Paid(intent.usd))?;
        let key = (intent.agent.clone(), endpoint_key(&intent.endpoint));
        self.outstanding.add(seq, *held_until, key);
        changes.log.push(Change::Hold { seq, held_until: *held_until });
        Ok(())
    }

    /// Counts a sign-in.
    pub(crate) fn sign_in(
        &mut self,
        changes: &mut Changes,
        seq: u64,
        permit: &SignInPermit,
    ) -> Result<(), JournalError> {
        let bucket = Bucket { minute: minute_of(permit.counted_until), sum: Sum::sign_in() };
        self.count(changes, bucket, scopes_of_sign_in(permit))?;
        self.credit(changes, credit_of_sign_in(&permit.intent), CreditEvent::SignedIn { seq })
    }

    /// Takes note of what happens to a credit; what is booked under no service changes none.
    pub(crate) fn credit(
        &mut self,
        changes: &mut Changes,
        key: Option<CreditKey>,
        event: CreditEvent,
    ) -> Result<(), JournalError> {
        let Some(key) = key else { return Ok(()) };
        let before = self.credits.get(&key).copied();
        let after = credit_after(before.unwrap_or_default(), event).ok_or(JournalError::TotalTooLarge)?;
        self.credits.insert(key.clone(), after);
        changes.log.push(Change::Credit { key, before });
        Ok(())
    }

    fn count(
        &mut self,
        changes: &mut Changes,
        bucket: Bucket,
        scopes: impl Iterator<Item = Scope>,
    ) -> Result<(), JournalError> {
        let now = self.high_water();
        for scope in scopes {
            let created = !self.accounts.contains_key(&scope);
            let row = self.next_row;
            let account = self.accounts.entry(scope.clone());
            let account = account.or_insert_with(|| Account::new(row, Sum::default(), now));
            if created {
                self.next_row = self.next_row.saturating_add(1);
            }
            let opened = !account.has_bucket(bucket.minute);
            let added = account.add(bucket);
            let sum = if added.is_some() { bucket.sum } else { Sum::default() };
            changes.log.push(Change::Bucket { scope, bucket: Bucket { sum, ..bucket }, created, opened });
            added.ok_or(JournalError::TotalTooLarge)?;
        }
        Ok(())
    }

    /// Counts a hold for what evidence says it is.
    pub(crate) fn resolve(
        &mut self,
        changes: &mut Changes,
        seq: u64,
        hold: HoldRow,
        state: HoldState,
    ) -> Result<(), JournalError> {
        let HoldRow { scopes, key, credit, usd, held_until, state: _ } = hold;
        let (minute, old, new) = (minute_of(held_until), Sum::one(usd), Sum::of(usd, state));
        let unpaid = |_| JournalError::damaged(format!("hold {seq} is not in the credit of its service"));
        self.credit(changes, credit, CreditEvent::Resolved { old: old.usd, new: new.usd }).map_err(unpaid)?;
        for scope in scopes {
            let account = self.accounts.get_mut(&scope);
            let replaced = account.and_then(|account| account.replace(minute, old, new));
            let what =
                || JournalError::damaged(format!("hold {seq} is not in the totals of `{}`", scope.name()));
            replaced.ok_or_else(what)?;
            changes.log.push(Change::Replaced { scope, minute, old, new });
        }
        if self.outstanding.contains(seq, held_until) {
            self.outstanding.remove(seq, held_until);
            changes.log.push(Change::Resolved { seq, held_until, key });
        }
        Ok(())
    }

    /// Takes note of what was decided in record `seq`. Whether that changed anything: what is revoked stays so.
    pub(crate) fn set_status(
        &mut self,
        changes: &mut Changes,
        subject: Subject,
        status: (Status, u64),
    ) -> bool {
        if self.statuses.get(&subject).is_some_and(|(before, _)| *before == Status::Revoked) {
            return false;
        }
        let before = self.statuses.insert(subject.clone(), status);
        changes.log.push(Change::Status { subject, before });
        true
    }

    /// Takes note of what record `seq` says about lives, and returns which records count besides, and which not any more.
    pub(crate) fn follow_lives(
        &mut self,
        changes: &mut Changes,
        seq: u64,
        entry: &Entry,
    ) -> [Vec<(u64, Role)>; 2] {
        let before = self.lives.clone();
        self.lives.follow(seq, entry);
        let (old, new) = (before.roles(), self.lives.roles());
        changes.log.push(Change::Lives { before: Box::new(before) });
        [new.difference(&old).copied().collect(), old.difference(&new).copied().collect()]
    }

    /// Takes note of record `seq`, if it is of a kind that may come again and again.
    pub(crate) fn follow_repeats(
        &mut self,
        changes: &mut Changes,
        seq: u64,
        entry: &Entry,
    ) -> Option<RepeatKey> {
        if let Entry::Repeated(repeated) = entry {
            let key = repeated.repeats.key.clone();
            let before = self.repeats.settle(&key);
            changes.log.push(Change::Repeat { key: key.clone(), before });
            return Some(key);
        }
        if let Some(key) = entry.repeat_key() {
            let key = self.repeats.slot(key);
            let before = self.repeats.record(&key, seq, entry.at());
            changes.log.push(Change::Repeat { key, before });
        }
        None
    }

    /// Counts what is not recorded; nothing when no record is like it.
    pub(crate) fn count_repeat(
        &mut self,
        changes: &mut Changes,
        key: RepeatKey,
        at: Moment,
    ) -> Option<Repeats> {
        let key = self.repeats.slot(key);
        let (repeats, before) = self.repeats.count(&key, at)?;
        changes.log.push(Change::Repeat { key, before: Some(before) });
        Some(repeats)
    }

    /// Takes note of what a record says about a payee, and returns what all records say about it.
    pub(crate) fn know_payee(
        &mut self,
        changes: &mut Changes,
        (service, payee): (&ServiceName, Address),
        said: Standing,
    ) -> Standing {
        let before = self.payees.get(service, payee);
        let standing = before.unwrap_or_default().or(said);
        self.payees.put(service.clone(), payee, standing);
        changes.log.push(Change::Payee { service: service.clone(), payee, before });
        standing
    }

    /// Makes everything as it was before the batch.
    pub(crate) fn take_back(&mut self, changes: Changes) {
        let Changes { tip, frontier, anchor, next_row, log } = changes;
        for change in log.into_iter().rev() {
            match change {
                Change::Bucket { scope, bucket, created, opened } => {
                    if let Some(account) = self.accounts.get_mut(&scope) {
                        // It was added to this account in this batch, so it can be taken out again.
                        let _ = account.remove(bucket, opened);
                    }
                    if created {
                        self.accounts.remove(&scope);
                    }
                }
                Change::Hold { seq, held_until } => self.outstanding.remove(seq, held_until),
                Change::Replaced { scope, minute, old, new } => {
                    if let Some(account) = self.accounts.get_mut(&scope) {
                        // It was replaced in this batch, so it can be put back.
                        let _ = account.replace(minute, new, old);
                    }
                }
                Change::Resolved { seq, held_until, key } => self.outstanding.add(seq, held_until, key),
                Change::Credit { key, before: Some(before) } => {
                    self.credits.insert(key, before);
                }
                Change::Credit { key, before: None } => {
                    self.credits.remove(&key);
                }
                Change::Status { subject, before: Some(before) } => {
                    self.statuses.insert(subject, before);
                }
                Change::Status { subject, before: None } => {
                    self.statuses.remove(&subject);
                }
                Change::Lives { before } => self.lives = *before,
                Change::Repeat { key, before } => self.repeats.put_back(key, before),
                Change::Payee { service, payee, before: Some(before) } => {
                    self.payees.put(service, payee, before);
                }
                Change::Payee { service, payee, before: None } => self.payees.remove(&service, payee),
            }
        }
        self.tip = tip;
        self.frontier = frontier;
        self.anchor = anchor;
        self.next_row = next_row;
    }
}

impl Changes {
    /// The last record before the batch.
    pub(crate) fn last_seq(&self) -> u64 {
        self.tip.seq
    }

    /// What was changed, in order.
    pub(crate) fn log(&self) -> &[Change] {
        &self.log
    }

    /// The credits that were changed, each once.
    pub(crate) fn credits(&self) -> BTreeSet<&CreditKey> {
        let mut changed = BTreeSet::new();
        for change in &self.log {
            match change {
                Change::Credit { key, .. } => drop(changed.insert(key)),
                Change::Bucket { .. }
                | Change::Hold { .. }
                | Change::Replaced { .. }
                | Change::Resolved { .. }
                | Change::Status { .. }
                | Change::Lives { .. }
                | Change::Repeat { .. }
                | Change::Payee { .. } => {}
            }
        }
        changed
    }
}

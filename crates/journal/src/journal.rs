//! The one writer.

mod checkpoints;
mod known;
mod retain;
mod sinks;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod tests;
mod upkeep;

use std::cell::RefCell;
use std::path::Path;

use pursekeeper_core::ports::{Journal, Judged, Ledger, LedgerError, Recorded, Urgency};
use pursekeeper_core::{
    Address, ClaimedCredit, ClockMark, DecisionId, Entry, HoldState, JournalId, Moment, PendingPayee,
    Repeats, Report, Scope, ServiceName, SignInOutcome, Signature, UnixSeconds,
};
use rusqlite::{Connection, params};

use crate::account::{Bucket, horizon};
use crate::credit::CreditEvent;
use crate::cursors::Cursors;
use crate::file::{self, Access};
use crate::hash::{chain_next, chain_start, leaf_hash};
use crate::ledger::{View, credit_key};
use crate::lives::Lives;
use crate::load::load;
use crate::lock::Lock;
use crate::log_bound::LogBound;
use crate::payees::Standing;
use crate::record::{Genesis, Record};
use crate::reserve::Reserve;
use crate::state::{Change, Changes, State, Tip};
use crate::tree::STORED_LEVEL_MIN;
use crate::tree::rows::insert_node;
use crate::{JournalError, repeats, store};

/// Stale buckets folded into the total of a scope per batch: more than a batch adds, so that they never pile up.
const FOLDS_PER_SCOPE_MAX: usize = 2;
/// Stale buckets folded per batch.
const FOLDS_PER_BATCH_MAX: usize = 64;
/// Records after which the writer makes a checkpoint itself, if nobody did.
const CHECKPOINT_RECORDS_MAX: u64 = 1_024;

/// The journal of one sidecar: one SQLite file, one writer.
///
/// While it lives, no other process and no other `SqliteJournal` writes the same file; [`crate::Reader`]s may.
#[derive(Debug)]
pub struct SqliteJournal {
    connection: Connection,
    id: JournalId,
    state: State,
    cursors: Cursors,
    health: Health,
    since_checkpoint: u64,
    reserve: Reserve,
    log: LogBound,
    // Dropped last: the lock is given back when nothing can be written any more.
    _lock: Lock,
}

/// What the last writes say about the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Sound,
    /// There was no space, or somebody else's lock; that may pass.
    Stuck,
    /// A write failed in a way after which nothing on this handle can be trusted.
    Broken,
}

impl SqliteJournal {
    /// Creates the journal `id` at `path` and opens it. Its first record says so.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when anything is there already, and whatever the disk does.
    pub fn create(path: &Path, at: Moment, id: JournalId) -> Result<Self, JournalError> {
        Self::found(path, at, Genesis { journal: id, adopted: None })
    }

    /// Creates the journal `id` in place of a lost one: every rolling window of every scope counts as fully spent until
    /// it has passed since `held_until`, and so does every lifetime. `held_until` is when the last signature the lost
    /// journal may have permitted is dead: now, the longest validity and the skew.
    ///
    /// # Errors
    /// As for [`SqliteJournal::create`].
    pub fn create_adopting(
        path: &Path,
        at: Moment,
        id: JournalId,
        held_until: UnixSeconds,
    ) -> Result<Self, JournalError> {
        Self::found(path, at, Genesis { journal: id, adopted: Some(held_until.max(at.unix_seconds())) })
    }

    /// Opens the journal at `path`. It is never created, and must be the `expected` one.
    ///
    /// # Errors
    /// [`JournalError::Absent`], [`JournalError::OtherJournal`], [`JournalError::Foreign`], [`JournalError::Newer`],
    /// [`JournalError::InUse`], [`JournalError::Damaged`], and whatever the disk does.
    pub fn open(path: &Path, expected: JournalId) -> Result<Self, JournalError> {
        let path = file::locate(path)?;
        let lock = Lock::take(&path)?;
        Self::open_locked(&path, expected, lock)
    }

    fn found(path: &Path, at: Moment, genesis: Genesis) -> Result<Self, JournalError> {
        let path = file::locate_new(path)?;
        let lock = Lock::take(&path)?;
        file::create(&path, |connection| {
            let meta =
                "INSERT INTO meta (one, journal, created_unix_ms, adopted_held_until) VALUES (1, ?1, ?2, ?3)";
            let adopted = genesis.adopted.map(|until| store::integer(until.0)).transpose()?;
            connection.execute(meta, params![genesis.journal.0, store::integer(at.unix_ms)?, adopted])?;
            store::put_clock(connection, at)?;
            let body = Record::genesis(at, genesis).to_bytes()?;
            let chain = chain_next(chain_start(genesis.journal), leaf_hash(&body));
            store::insert_record(connection, &Tip { seq: 1, chain, high_water_ms: at.unix_ms }, &body)
        })?;
        Self::open_locked(&path, genesis.journal, lock)
    }

    fn open_locked(path: &Path, expected: JournalId, lock: Lock) -> Result<Self, JournalError> {
        let (connection, meta) = file::open(path, Access::Write)?;
        if meta.id != expected {
            return Err(JournalError::OtherJournal { expected, found: meta.id });
        }
        file::prepare_writer(&connection, path)?;
        let state = load(&connection, meta)?;
        let cursors = Cursors::load(&connection, state.tip.seq)?;
        let reserve = Reserve::of(path);
        let health = if reserve.is_whole() { Health::Sound } else { Health::Stuck };
        let log = LogBound::of(path);
        Ok(Self {
            connection,
            id: meta.id,
            state,
            cursors,
            health,
            since_checkpoint: 0,
            reserve,
            log,
            _lock: lock,
        })
    }

    /// Keeps what voids payments, by the records of their permits, durably and beside the chain.
    ///
    /// # Errors
    /// Whatever the disk does; then none of them is kept.
    pub fn keep_voids(&mut self, voids: &[(u64, Signature)]) -> Result<(), JournalError> {
        if self.health == Health::Broken {
            return Err(JournalError::Broken);
        }
        store::put_voids(&self.connection, voids).map_err(|error| self.fail(error))
    }

    /// Decides and records a batch inside a transaction that is begun and committed here.
    fn record_batch<A>(
        &mut self,
        changes: &mut Changes,
        at: Moment,
        asks: &[A],
        mut decide: impl FnMut(&A, &dyn Ledger) -> Result<Judged, LedgerError>,
    ) -> Result<Written, JournalError> {
        let asked = RefCell::default();
        let now = at.unix_seconds().max(self.state.high_water());
        let mut recorded = Vec::with_capacity(asks.len());
        store::run(&self.connection, "BEGIN IMMEDIATE")?;
        for ask in asks {
            let view = View { connection: &self.connection, state: &self.state, now, asked: &asked };
            recorded.push(match decide(ask, &view)? {
                Judged::Entry(entry) => {
                    let seq = self.append(changes, &entry)?;
                    Recorded::Entry { decision_id: DecisionId::new(self.id, seq), entry }
                }
                Judged::Repeat(entry) => self.repeat(changes, entry)?,
                Judged::Nothing(nothing) => Recorded::Nothing(nothing),
            });
        }
        if self.state.tip.seq > changes.last_seq() {
            self.cursors.write(&self.connection)?;
        }
        let folds = self.write_totals(changes)?;
        for key in changes.credits() {
            let credit = self.state.credits.get(key).copied().unwrap_or_default();
            store::put_credit(&self.connection, key, credit)?;
        }
        store::run(&self.connection, "COMMIT")?;
        Ok(Written { recorded, asked: asked.into_inner(), folds })
    }

    /// Writes one record and what follows from it, except for totals, which are written once per batch.
    fn append(&mut self, changes: &mut Changes, entry: &Entry) -> Result<u64, JournalError> {
        let Tip { seq, chain, high_water_ms: _ } = self.state.tip;
        let seq = seq.checked_add(1).ok_or(JournalError::TotalTooLarge)?;
        let body = Record::of(seq, entry).to_bytes()?;
        let leaf = leaf_hash(&body);
        let chain = chain_next(chain, leaf);
        let clock = self.state.clock();
        let ClockMark { high_water_ms, anchor } = clock.after(entry.at(), entry.accepts_clock());
        self.state.tip = Tip { seq, chain, high_water_ms };
        store::insert_record(&self.connection, &self.state.tip, &body)?;
        let connection = &self.connection;
        self.state.frontier.push(leaf, STORED_LEVEL_MIN, |node| insert_node(connection, node))?;
        if let Some(moved) = anchor.filter(|_| anchor != clock.anchor) {
            store::put_clock(&self.connection, moved)?;
            self.state.anchor = anchor;
        }
        if let Some((hold, state)) = entry.resolves() {
            self.resolve(changes, (seq, hold), state)?;
        }
        if let Some(PendingPayee { service, payee }) = entry.pending_payee() {
            let said = Standing { pending: Some(seq), accepted: None };
            self.know_payee(changes, (service, *payee), said)?;
        }
        if let Some(accepted) = entry.accepted_payee() {
            self.know_payee(changes, accepted, Standing { pending: None, accepted: Some(seq) })?;
        }
        for (subject, status) in entry.statuses() {
            if self.state.set_status(changes, subject.clone(), (status, seq)) {
                store::put_status(&self.connection, seq, &subject, status)?;
            }
        }
        if Lives::concerns(entry) {
            let [added, removed] = self.state.follow_lives(changes, seq, entry);
            store::put_lives(&self.connection, &added, &removed)?;
        }
        if let Some(settled) = self.state.follow_repeats(changes, seq, entry) {
            repeats::delete(&self.connection, &settled)?;
        }
        match entry {
            Entry::Payment(decision) => {
                if let Some(permit) = entry.binding_permit() {
                    let id = (&permit.intent.agent, &permit.intent.request_id);
                    store::insert_request(&self.connection, seq, id, decision.fingerprint)?;
                    store::insert_hold(&self.connection, seq, permit)?;
                    self.state.hold(changes, seq, permit)?;
                }
            }
            Entry::SignIn(decision) => {
                if let SignInOutcome::Permit(permit) = &decision.outcome {
                    let id = (&permit.intent.agent, &permit.intent.request_id);
                    store::insert_request(&self.connection, seq, id, decision.fingerprint)?;
                    self.state.sign_in(changes, seq, permit)?;
                }
            }
            Entry::Report(report) => self.claim(changes, seq, report)?,
            Entry::Evidence(_)
            | Entry::Reissue(_)
            | Entry::Lifecycle(_)
            | Entry::Transition(_)
            | Entry::Signatures(_)
            | Entry::Unauthenticated(_)
            | Entry::Repeated(_)
            | Entry::Reload(_) => {}
        }
        Ok(seq)
    }

    /// Counts what was recorded often enough lately; records what was not after all.
    fn repeat(&mut self, changes: &mut Changes, entry: Entry) -> Result<Recorded, JournalError> {
        let counted = entry.repeat_key().and_then(|key| self.state.count_repeat(changes, key, entry.at()));
        let seq = match counted {
            Some(repeats) => {
                repeats::put(&self.connection, &repeats)?;
                repeats.like_seq
            }
            None => self.append(changes, &entry)?,
        };
        Ok(Recorded::Repeat { decision_id: DecisionId::new(self.id, seq), entry })
    }

    /// Writes down that record `seq` is what an agent says.
    fn claim(&mut self, changes: &mut Changes, seq: u64, report: &Report) -> Result<(), JournalError> {
        let Report { at, caller: _, original_seq, said } = report;
        store::insert_claim(&self.connection, *original_seq, seq)?;
        let Some(usd) = said.remaining() else { return Ok(()) };
        let claimed = ClaimedCredit { usd, at: at.unix_seconds(), seq };
        let key = credit_key(&self.connection, *original_seq)?;
        self.state.credit(changes, key, CreditEvent::Claimed(claimed))
    }

    /// Writes down that record `seq` resolves `hold`.
    fn resolve(
        &mut self,
        changes: &mut Changes,
        (seq, hold): (u64, u64),
        state: HoldState,
    ) -> Result<(), JournalError> {
        let unheld = || JournalError::damaged(format!("hold {hold} is not held"));
        let found = store::find_hold(&self.connection, hold)?;
        let row = found.filter(|row| row.state == HoldState::Held.as_str()).ok_or_else(unheld)?;
        store::resolve_hold(&self.connection, hold, seq, state)?;
        self.state.resolve(changes, hold, row, state)
    }

    fn know_payee(
        &mut self,
        changes: &mut Changes,
        named: (&ServiceName, Address),
        said: Standing,
    ) -> Result<(), JournalError> {
        let standing = self.state.know_payee(changes, named, said);
        store::put_payee(&self.connection, named, standing)
    }

    /// Writes each bucket the batch touched once, and folds some that no window counts any more.
    fn write_totals(&self, changes: &Changes) -> Result<Vec<Fold>, JournalError> {
        let mut touched: Vec<(i64, u64, &Scope)> = Vec::new();
        for change in changes.log() {
            let (scope, minute, created) = match change {
                Change::Bucket { scope, bucket, created, opened: _ } => (scope, bucket.minute, *created),
                Change::Replaced { scope, minute, .. } => (scope, *minute, false),
                Change::Hold { .. }
                | Change::Resolved { .. }
                | Change::Credit { .. }
                | Change::Status { .. }
                | Change::Lives { .. }
                | Change::Repeat { .. }
                | Change::Payee { .. } => continue,
            };
            let Some(account) = self.state.accounts.get(scope) else { continue };
            if created {
                store::put_scope(&self.connection, account.row, scope, Default::default())?;
            }
            touched.push((account.row, minute, scope));
        }
        touched.sort_unstable_by_key(|(row, minute, _)| (*row, *minute));
        touched.dedup_by_key(|(row, minute, _)| (*row, *minute));
        for (row, minute, scope) in &touched {
            let Some(account) = self.state.accounts.get(*scope) else { continue };
            if account.has_bucket(*minute) {
                let bucket = Bucket { minute: *minute, sum: account.bucket(*minute) };
                store::put_bucket(&self.connection, *row, bucket)?;
            } else {
                store::put_scope(&self.connection, *row, scope, account.folded())?;
            }
        }
        touched.dedup_by_key(|(row, _, _)| *row);
        self.write_folds(&touched)
    }

    fn write_folds(&self, touched: &[(i64, u64, &Scope)]) -> Result<Vec<Fold>, JournalError> {
        let horizon = horizon(self.state.high_water());
        let mut folds = Vec::new();
        for (row, _, scope) in touched.iter().take(FOLDS_PER_BATCH_MAX.div_euclid(FOLDS_PER_SCOPE_MAX)) {
            let Some(account) = self.state.accounts.get(*scope) else { continue };
            let stale = account.stale(horizon, FOLDS_PER_SCOPE_MAX);
            if stale.is_empty() {
                continue;
            }
            let folded = account.folded_with(&stale).ok_or(JournalError::TotalTooLarge)?;
            store::put_scope(&self.connection, *row, scope, folded)?;
            for bucket in &stale {
                store::delete_bucket(&self.connection, *row, bucket.minute)?;
            }
            folds.push(Fold { scope: (*scope).clone(), stale });
        }
        Ok(folds)
    }

    /// Brings memory up to what is on disk now.
    fn settle(&mut self, asked: Vec<Scope>, folds: Vec<Fold>) {
        let now = self.state.high_water();
        self.state.outstanding.advance(now);
        self.state.repeats.tidy(Moment {
            unix_ms: self.state.tip.high_water_ms,
            boot_ms: 0,
            boot_id: [0; 16],
        });
        let folded = folds.iter().map(|fold| &fold.scope);
        for scope in asked.iter().chain(folded) {
            if let Some(account) = self.state.accounts.get_mut(scope) {
                account.advance(now);
            }
        }
        for Fold { scope, stale } in folds {
            if let Some(account) = self.state.accounts.get_mut(&scope) {
                account.fold(&stale);
            }
        }
    }

    /// Takes note of a failure, and makes sure that no transaction stays open.
    fn fail(&mut self, error: JournalError) -> JournalError {
        let mut fatal = error.is_fatal();
        if !self.connection.is_autocommit() {
            fatal |= store::run(&self.connection, "ROLLBACK").is_err();
        }
        if fatal {
            self.health = Health::Broken;
        } else if matches!(
            error,
            JournalError::Full(_)
                | JournalError::Reserved
                | JournalError::LogFull { .. }
                | JournalError::Busy(_)
        ) {
            self.health = Health::Stuck;
        }
        error
    }
}

/// A batch that is on disk.
struct Written {
    recorded: Vec<Recorded>,
    asked: Vec<Scope>,
    folds: Vec<Fold>,
}

/// Stale buckets of one scope whose rows are gone once the batch is durable.
struct Fold {
    scope: Scope,
    stale: Vec<Bucket>,
}

impl Journal for SqliteJournal {
    type Error = JournalError;

    fn commit<A>(
        &mut self,
        at: Moment,
        urgency: Urgency,
        asks: &[A],
        mut decide: impl FnMut(&A, &dyn Ledger) -> Result<Judged, LedgerError>,
    ) -> Result<Vec<Recorded>, JournalError> {
        if self.health == Health::Broken {
            return Err(JournalError::Broken);
        }
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        if urgency == Urgency::Payment
            && let Err(full) = self.room()
        {
            // What is left is for stops.
            return Err(self.fail(full));
        }
        match self.commit_once(at, asks, &mut decide) {
            Err(JournalError::Full(_)) if urgency == Urgency::Stop && self.reserve.release() => {
                self.commit_once(at, asks, &mut decide)
            }
            committed => committed,
        }
    }

    fn clock(&self) -> ClockMark {
        self.state.clock()
    }

    fn due(&self, at: Moment) -> Vec<Repeats> {
        self.state.repeats.due(at)
    }
}

impl SqliteJournal {
    fn commit_once<A>(
        &mut self,
        at: Moment,
        asks: &[A],
        decide: impl FnMut(&A, &dyn Ledger) -> Result<Judged, LedgerError>,
    ) -> Result<Vec<Recorded>, JournalError> {
        let mut changes = self.state.begin();
        // What is in the database shows that there was a log to lose; see `file::open`.
        let last = self.state.tip.seq;
        match self.record_batch(&mut changes, at, asks, decide) {
            Ok(Written { recorded, asked, folds }) => {
                self.settle(asked, folds);
                // A batch that recorded nothing wrote nothing: it does not show that there is space again.
                if self.state.tip.seq > last {
                    self.cursors.saved();
                    self.health = if self.room().is_ok() { Health::Sound } else { Health::Stuck };
                }
                self.since_checkpoint = self.since_checkpoint.saturating_add(recorded.len() as u64);
                if last == 1 || self.since_checkpoint >= CHECKPOINT_RECORDS_MAX {
                    // The batch is durable whatever becomes of this; a fatal failure refuses the next one.
                    let _ = self.checkpoint();
                }
                Ok(recorded)
            }
            Err(error) => {
                self.state.take_back(changes);
                Err(self.fail(error))
            }
        }
    }
}

//! The tables that follow from the records, computed again.

use std::collections::{BTreeMap, HashMap};

use pursekeeper_core::{
    ClaimedCredit, ClockMark, Credit, Decision, Entry, HoldState, Moment, Permit, Report, Scope,
    SignInDecision, SignInPermit, Status, Subject, UnixSeconds,
};
use rusqlite::{Connection, Rows};

use super::VerifyError;
use super::holds::{Holds, Resolved};
use super::indexes::HoldIndexes;
use super::past::{OpenPermit, PastPermits};
use super::payees::Payees;
use super::unordered::{Search, Unordered};
use crate::JournalError;
use crate::account::{Sum, horizon, minute_of};
use crate::credit::{CreditEvent, CreditKey, credit_after, credit_of, credit_of_sign_in};
use crate::file::Meta;
use crate::ledger::credit_key;
use crate::lives::{Lives, Role};
use crate::load::{each_life, sum};
use crate::record::{Genesis, parse_credit, parse_scope, parse_subject};
use crate::state::{scopes_of, scopes_of_sign_in};
use crate::store::{CREDITS, credit, find_clock, unsigned};

/// What the tables must say, as far as the records have been read.
pub(super) struct Tables<'c> {
    connection: &'c Connection,
    meta: Meta,
    /// The first minute whose buckets are compared one by one: older ones may have been folded.
    horizon: u64,
    /// The latest time in the records.
    now: UnixSeconds,
    holds: Holds<'c>,
    holds_len: u64,
    resolved: u64,
    unordered: Unordered<'c>,
    /// The credit that the last permits are booked under, by their records: claims mostly follow soon.
    recent: Vec<(u64, Option<CreditKey>)>,
    clock: ClockMark,
    totals: HashMap<Scope, Total>,
    credits: BTreeMap<CreditKey, Credit>,
    statuses: HashMap<Subject, (Status, u64)>,
    pub(super) payees: Payees,
    pub(super) lives: Lives,
    past: PastPermits<'c>,
}

/// Of how many permits it is remembered what their credit is booked under.
const RECENT_LEN: usize = 4_096;

/// How much there was to compare.
#[derive(Default)]
pub(super) struct Found {
    pub(super) holds: u64,
    pub(super) resolved: u64,
    pub(super) scopes: u64,
    /// What the indexes over holds must say; nothing when SQLite is to be asked.
    pub(super) indexes: Option<HoldIndexes>,
}

#[derive(Default)]
struct Total {
    /// All payments; while the tables are compared, those that are not accounted for yet.
    lifetime: Sum,
    folded_seen: bool,
    recent: BTreeMap<u64, Sum>,
}

pub(super) fn wrong(table: &'static str, seq: Option<u64>, what: impl Into<String>) -> VerifyError {
    VerifyError::Table { table, seq, what: what.into() }
}

impl<'c> Tables<'c> {
    /// `holds` are the rows of [`super::holds::HOLDS`].
    pub(super) fn read(
        connection: &'c Connection,
        meta: Meta,
        holds: Rows<'c>,
        search: Search,
    ) -> Result<Self, VerifyError> {
        // The walk compares it with the times of all records when it comes to the last one.
        let sql = "SELECT coalesce((SELECT high_water_ms FROM record ORDER BY seq DESC LIMIT 1), 0)";
        let high_water_ms = unsigned(connection.query_row(sql, [], |row| row.get(0))?)?;
        let now = UnixSeconds(high_water_ms.div_euclid(1000));
        Ok(Self {
            connection,
            meta,
            horizon: horizon(now),
            now,
            holds: Holds::new(holds)?,
            holds_len: 0,
            resolved: 0,
            unordered: Unordered::new(connection, search),
            recent: vec![(0, None); RECENT_LEN],
            clock: ClockMark::default(),
            totals: HashMap::new(),
            credits: BTreeMap::new(),
            statuses: HashMap::new(),
            payees: Payees::default(),
            lives: Lives::default(),
            past: PastPermits::new(connection)?,
        })
    }

    pub(super) fn meta(&self) -> Meta {
        self.meta
    }

    /// The row that identifies the journal says what its first record says.
    pub(super) fn genesis(&self, at: Moment, genesis: Genesis) -> Result<(), VerifyError> {
        let sql = "SELECT created_unix_ms FROM meta";
        let created = unsigned(self.connection.query_row(sql, [], |row| row.get(0))?)?;
        if created == at.unix_ms && self.meta.adopted == genesis.adopted {
            return Ok(());
        }
        Err(wrong("meta", Some(1), "it says otherwise when and in place of what the journal began"))
    }

    /// A permit has one hold and one request, and counts for its scopes.
    pub(super) fn permit(
        &mut self,
        seq: u64,
        decision: &Decision,
        permit: &Permit,
    ) -> Result<(), VerifyError> {
        if self.holds.take(seq, permit)? {
            self.past.expect_record(seq)?;
        } else if self.past.is_gone(seq)? {
            self.past.permit(seq, decision.at, permit)?;
        } else {
            return Err(wrong("hold", Some(seq), format!("record {seq} has no hold")));
        }
        let intent = &permit.intent;
        self.unordered.request(seq, (&intent.agent, &intent.request_id), decision.fingerprint)?;
        self.count(scopes_of(permit), minute_of(permit.held_until), Sum::one(intent.usd))?;
        let credit = credit_of(permit);
        self.remember(seq, credit.as_ref());
        self.credit(credit, CreditEvent::Paid(intent.usd))?;
        self.holds_len = self.holds_len.saturating_add(1);
        Ok(())
    }

    /// A sign-in has one request, and counts for its scopes.
    pub(super) fn sign_in(
        &mut self,
        seq: u64,
        decision: &SignInDecision,
        permit: &SignInPermit,
    ) -> Result<(), VerifyError> {
        let intent = &permit.intent;
        self.unordered.request(seq, (&intent.agent, &intent.request_id), decision.fingerprint)?;
        self.count(scopes_of_sign_in(permit), minute_of(permit.counted_until), Sum::sign_in())?;
        let credit = credit_of_sign_in(intent);
        self.remember(seq, credit.as_ref());
        self.credit(credit, CreditEvent::SignedIn { seq })?;
        if permit.counted_until >= self.now {
            self.past.expect_record(seq)?;
        } else if self.past.is_gone(seq)? {
            self.past.sign_in(seq, decision.at, permit)?;
        }
        Ok(())
    }

    fn remember(&mut self, seq: u64, credit: Option<&CreditKey>) {
        let place = usize::try_from(seq).unwrap_or_default() % RECENT_LEN;
        if let Some(recent) = self.recent.get_mut(place) {
            *recent = (seq, credit.cloned());
        }
    }

    /// The credit that the permit in a record is booked under. Whatever is claimed is claimed about a payment or a sign-in
    /// that was permitted.
    fn booked(&self, permit: u64) -> Result<Option<CreditKey>, VerifyError> {
        let place = usize::try_from(permit).unwrap_or_default() % RECENT_LEN;
        match self.recent.get(place) {
            Some((seq, credit)) if *seq == permit => Ok(credit.clone()),
            _ if self.past.is_gone(permit)? => self.past.credit(permit),
            _ => Ok(credit_key(self.connection, permit)?),
        }
    }

    fn count(
        &mut self,
        scopes: impl Iterator<Item = Scope>,
        minute: u64,
        one: Sum,
    ) -> Result<(), VerifyError> {
        for scope in scopes {
            let total = self.totals.entry(scope).or_default();
            total.lifetime = total.lifetime.plus(one).ok_or(JournalError::TotalTooLarge)?;
            if minute >= self.horizon {
                let bucket = total.recent.entry(minute).or_default();
                *bucket = bucket.plus(one).ok_or(JournalError::TotalTooLarge)?;
            }
        }
        Ok(())
    }

    /// The last word about a subject decides its status, unless it was revoked.
    pub(super) fn decided(&mut self, seq: u64, entry: &Entry) {
        for (subject, status) in entry.statuses() {
            let decided = self.statuses.entry(subject).or_insert((status, seq));
            if decided.0 != Status::Revoked {
                *decided = (status, seq);
            }
        }
    }

    /// Every record moves the clocks.
    pub(super) fn time(&mut self, at: Moment, accepts: bool) {
        self.clock = self.clock.after(at, accepts);
    }

    /// A claim is noted beside its permit, and may say what is left of credit.
    pub(super) fn claim(&mut self, seq: u64, report: &Report) -> Result<(), VerifyError> {
        let Report { at, caller: _, original_seq, said } = report;
        self.unordered.claim(seq, *original_seq)?;
        // Also when nothing is said about it.
        let key = self.booked(*original_seq)?;
        let Some(usd) = said.remaining() else { return Ok(()) };
        self.credit(key, CreditEvent::Claimed(ClaimedCredit { usd, at: at.unix_seconds(), seq }))
    }

    fn credit(&mut self, key: Option<CreditKey>, event: CreditEvent) -> Result<(), VerifyError> {
        let Some(key) = key else { return Ok(()) };
        let credit = self.credits.entry(key).or_default();
        *credit = credit_after(*credit, event).ok_or(JournalError::TotalTooLarge)?;
        Ok(())
    }

    /// Evidence resolves one hold that was held, which counts for what the evidence says from then on.
    pub(super) fn resolution(&mut self, seq: u64, hold: u64, state: HoldState) -> Result<(), VerifyError> {
        let differs =
            || wrong("hold", Some(seq), format!("hold {hold} is not resolved as record {seq} says"));
        let counts_for = |usd| Sum::of(usd, state);
        let (scopes, credit, usd, held_until) = match self.past.resolve(hold, |past| counts_for(past.usd)) {
            Some(OpenPermit { scopes, credit, usd, held_until, .. }) => (scopes, credit, usd, held_until),
            None => {
                let Resolved { scopes, credit, usd, held_until, .. } =
                    self.holds.resolve(seq, hold, state).ok_or_else(differs)?;
                (scopes, credit, usd, held_until)
            }
        };
        let (minute, old, new) = (minute_of(held_until), Sum::one(usd), counts_for(usd));
        let replaced = |sum: Sum| sum.minus(old).and_then(|left| left.plus(new));
        for scope in scopes {
            let total = self.totals.get_mut(&scope).ok_or_else(differs)?;
            total.lifetime = replaced(total.lifetime).ok_or_else(differs)?;
            if minute >= self.horizon {
                let bucket = total.recent.get_mut(&minute).ok_or_else(differs)?;
                *bucket = replaced(*bucket).ok_or_else(differs)?;
            }
        }
        self.credit(credit, CreditEvent::Resolved { old: old.usd, new: new.usd })?;
        self.resolved = self.resolved.saturating_add(1);
        Ok(())
    }

    /// Compares what follows from all records together.
    pub(super) fn finish(mut self) -> Result<Found, VerifyError> {
        let indexes = self.holds.finish()?;
        self.unordered.finish()?;
        self.constraints()?;
        if find_clock(self.connection)? != self.clock.anchor {
            return Err(wrong("clock", None, "it is not what the records say about the clocks"));
        }
        self.compare_statuses()?;
        self.compare_credits()?;
        std::mem::take(&mut self.payees).compare(self.connection)?;
        self.compare_lives()?;
        let scopes = self.totals.len() as u64;
        self.compare_totals()?;
        self.past.nothing_needed_is_gone()?;
        std::mem::replace(&mut self.past, PastPermits::new(self.connection)?).compare()?;
        let indexes = Some(indexes).filter(|_| self.unordered.search() == Search::Summed);
        Ok(Found { holds: self.holds_len, resolved: self.resolved, scopes, indexes })
    }

    /// What the schema says about rows. A connection that only reads does not check it, also not when it is asked whether
    /// the file is whole.
    fn constraints(&self) -> Result<(), VerifyError> {
        for (table, rows) in [("meta", 1), ("clock", i64::from(self.clock.anchor.is_some()))] {
            let sql = format!("SELECT count(*), coalesce(sum(one), 0) FROM {table}");
            let found: (i64, i64) =
                self.connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if found != (rows, rows) {
                return Err(wrong(table, None, format!("it must have {rows} row(s), numbered 1")));
            }
        }
        let half = "SELECT min(last_sign_in) FROM credit
                    WHERE (claimed IS NULL) != (claimed_at IS NULL) OR (claimed IS NULL) != (claimed_seq IS NULL)";
        match self.connection.query_row(half, [], |row| row.get::<_, Option<i64>>(0))? {
            Some(_) => Err(wrong("credit", None, "a row says half of what it must say")),
            None => Ok(()),
        }
    }

    fn compare_statuses(&mut self) -> Result<(), VerifyError> {
        let mut statuses = self.connection.prepare("SELECT kind, name, status, seq FROM status")?;
        let mut rows = statuses.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
            let (status, seq): (String, u64) = (row.get(2)?, unsigned(row.get(3)?)?);
            let subject = parse_subject(&kind, &name).map_err(|what| wrong("status", Some(seq), what))?;
            let expected = self.statuses.remove(&subject);
            if expected.is_none_or(|(expected, at)| (expected.as_str(), at) != (status.as_str(), seq)) {
                let what = format!("the {kind} `{name}` is not `{status}` since record {seq}");
                return Err(wrong("status", Some(seq), what));
            }
        }
        match self.statuses.iter().next() {
            None => Ok(()),
            Some((subject, (_, seq))) => {
                Err(wrong("status", Some(*seq), format!("the {} `{subject}` is missing", subject.kind())))
            }
        }
    }

    fn compare_lives(&mut self) -> Result<(), VerifyError> {
        let mut expected = self.lives.roles();
        let mut stray = None;
        each_life(self.connection, |seq, role| {
            if !Role::parse(role).is_some_and(|role| expected.remove(&(seq, role))) {
                stray.get_or_insert_with(|| (seq, format!("record {seq} does not count as `{role}`")));
            }
            Ok(())
        })?;
        if let Some((seq, what)) = stray {
            return Err(wrong("life", Some(seq), what));
        }
        if let Some((seq, role)) = expected.first() {
            let what = format!("that record {seq} counts as `{}` is missing", role.as_str());
            return Err(wrong("life", Some(*seq), what));
        }
        let voids = "SELECT min(seq) FROM void WHERE seq NOT IN (SELECT seq FROM hold)";
        match self.connection.query_row(voids, [], |row| row.get::<_, Option<i64>>(0))? {
            None => Ok(()),
            Some(seq) => Err(wrong("void", Some(unsigned(seq)?), format!("record {seq} is no permit"))),
        }
    }

    fn compare_credits(&mut self) -> Result<(), VerifyError> {
        let mut credits = self.connection.prepare(CREDITS)?;
        let mut rows = credits.query([])?;
        while let Some(row) = rows.next()? {
            let (wallet, service, stored) = credit(row)?;
            let key = parse_credit(&wallet, &service).map_err(|what| wrong("credit", None, what))?;
            if self.credits.remove(&key) != Some(stored) {
                let what = format!("the credit of wallet `{wallet}` at `{service}` differs");
                return Err(wrong("credit", None, what));
            }
        }
        match self.credits.keys().next() {
            None => Ok(()),
            Some((wallet, service)) => {
                let what = format!("the credit of wallet `{wallet}` at `{service}` is missing");
                Err(wrong("credit", None, what))
            }
        }
    }

    fn compare_totals(&mut self) -> Result<(), VerifyError> {
        let mut totals = self.connection.prepare(
            "SELECT scope.scope, kind, name, scope.usd, scope.payments, scope.settled_usd, scope.settled_payments,
                scope.sign_ins,
                    minute, bucket.usd, bucket.payments, bucket.settled_usd, bucket.settled_payments, bucket.sign_ins
             FROM scope LEFT JOIN bucket USING (scope) ORDER BY scope.scope, minute",
        )?;
        let mut rows = totals.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, name): (String, String) = (row.get(1)?, row.get(2)?);
            let scope = parse_scope(&kind, &name).map_err(|what| wrong("scope", None, what))?;
            let differs = || wrong("bucket", None, format!("the totals of {kind} `{name}` differ"));
            let total = self.totals.get_mut(&scope).ok_or_else(differs)?;
            let minute: Option<i64> = row.get(8)?;
            // Folded sums stand in every row of their scope; they are taken off with the first.
            if !std::mem::replace(&mut total.folded_seen, true) {
                let folded = sum(row, 3)?;
                total.lifetime = total.lifetime.minus(folded).ok_or_else(differs)?;
            }
            let Some(minute) = minute else { continue };
            let (minute, sum) = (unsigned(minute)?, sum(row, 9)?);
            total.lifetime = total.lifetime.minus(sum).ok_or_else(differs)?;
            if minute >= self.horizon && total.recent.remove(&minute) != Some(sum) {
                return Err(differs());
            }
        }
        let orphans = "SELECT count(*) FROM bucket WHERE scope NOT IN (SELECT scope FROM scope)";
        if self.connection.query_row(orphans, [], |row| row.get::<_, i64>(0))? != 0 {
            return Err(wrong("bucket", None, "buckets of no scope"));
        }
        let left =
            |(_, total): &(&Scope, &Total)| total.lifetime != Sum::default() || !total.recent.is_empty();
        match self.totals.iter().find(left) {
            None => Ok(()),
            Some((scope, _)) => {
                let what = format!("the totals of {} `{}` differ", scope.kind().as_str(), scope.name());
                Err(wrong("bucket", None, what))
            }
        }
    }
}

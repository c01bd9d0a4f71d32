//! The tables that follow from the records, computed again.

use std::collections::{BTreeMap, HashMap};

use pursekeeper_core::{
    AgentName, ClaimedCredit, ClockMark, Credit, Decision, Digest, Entry, HoldState, Moment, Permit, Report,
    RequestId, Scope, SignInDecision, SignInPermit, Status, Subject, UnixSeconds,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row};

use super::VerifyError;
use super::past::{OpenPermit, PastPermits};
use super::payees::Payees;
use crate::JournalError;
use crate::account::{Sum, horizon, minute_of};
use crate::credit::{CreditEvent, CreditKey, credit_after, credit_of, credit_of_sign_in};
use crate::file::Meta;
use crate::ledger::credit_key;
use crate::lives::{Lives, Role};
use crate::load::{each_life, sum};
use crate::outstanding::endpoint_key;
use crate::record::{Genesis, address_text, parse_credit, parse_scope, parse_subject};
use crate::state::{HoldRow, scopes_of, scopes_of_sign_in};
use crate::store::{CREDITS, credit, find_clock, find_hold, hold_state, integer, unsigned, usd_bytes};

/// What the tables must say, as far as the records have been read.
pub(super) struct Tables<'c> {
    connection: &'c Connection,
    meta: Meta,
    /// The first minute whose buckets are compared one by one: older ones may have been folded.
    horizon: u64,
    /// The latest time in the records.
    now: UnixSeconds,
    holds: u64,
    resolved: u64,
    sign_ins: u64,
    claims: u64,
    clock: ClockMark,
    totals: HashMap<Scope, Total>,
    credits: BTreeMap<CreditKey, Credit>,
    statuses: HashMap<Subject, (Status, u64)>,
    pub(super) payees: Payees,
    pub(super) lives: Lives,
    past: PastPermits<'c>,
    hold: CachedStatement<'c>,
    request: CachedStatement<'c>,
}

/// How much there was to compare.
#[derive(Default)]
pub(super) struct Found {
    pub(super) holds: u64,
    pub(super) resolved: u64,
    pub(super) scopes: u64,
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
    pub(super) fn read(connection: &'c Connection, meta: Meta) -> Result<Self, VerifyError> {
        let sql = "SELECT coalesce(max(high_water_ms), 0) FROM record";
        let high_water_ms = unsigned(connection.query_row(sql, [], |row| row.get(0))?)?;
        let now = UnixSeconds(high_water_ms.div_euclid(1000));
        Ok(Self {
            connection,
            meta,
            horizon: horizon(now),
            now,
            holds: 0,
            resolved: 0,
            sign_ins: 0,
            claims: 0,
            clock: ClockMark::default(),
            totals: HashMap::new(),
            credits: BTreeMap::new(),
            statuses: HashMap::new(),
            payees: Payees::default(),
            lives: Lives::default(),
            past: PastPermits::new(connection)?,
            hold: connection.prepare_cached(
                "SELECT agent, request_id, endpoint, workflow, wallet, service, payee, amount, usd, held_until, network, nonce,
                        method
                 FROM hold WHERE seq = ?1",
            )?,
            request: connection.prepare_cached(
                "SELECT seq, fingerprint FROM request WHERE agent = ?1 AND request_id = ?2",
            )?,
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
        let held = self.hold.query_row([integer(seq)?], |row| same_hold(row, permit)).optional()?;
        match held {
            Some(true) => self.past.expect_record(seq)?,
            Some(false) => return Err(wrong("hold", Some(seq), format!("the hold of record {seq} differs"))),
            None if self.past.is_gone(seq)? => self.past.permit(seq, decision.at, permit)?,
            None => return Err(wrong("hold", Some(seq), format!("record {seq} has no hold"))),
        }
        let intent = &permit.intent;
        self.request(seq, (&intent.agent, &intent.request_id), decision.fingerprint)?;
        self.count(scopes_of(permit), minute_of(permit.held_until), Sum::one(intent.usd))?;
        self.credit(credit_of(permit), CreditEvent::Paid(intent.usd))?;
        self.holds = self.holds.saturating_add(1);
        Ok(())
    }

    /// A sign-in has one request, and counts for its scopes.
    pub(super) fn sign_in(
        &mut self,
        seq: u64,
        decision: &SignInDecision,
        permit: &SignInPermit,
    ) -> Result<(), VerifyError> {
        self.request(seq, (&permit.intent.agent, &permit.intent.request_id), decision.fingerprint)?;
        self.count(scopes_of_sign_in(permit), minute_of(permit.counted_until), Sum::sign_in())?;
        self.credit(credit_of_sign_in(&permit.intent), CreditEvent::SignedIn { seq })?;
        self.sign_ins = self.sign_ins.saturating_add(1);
        if permit.counted_until >= self.now {
            self.past.expect_record(seq)?;
        } else if self.past.is_gone(seq)? {
            self.past.sign_in(seq, decision.at, permit)?;
        }
        Ok(())
    }

    fn request(
        &mut self,
        seq: u64,
        (agent, id): (&AgentName, &RequestId),
        fingerprint: Digest,
    ) -> Result<(), VerifyError> {
        let request = self.request.query_row([agent.as_str(), id.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))
        });
        if request.optional()? != Some((integer(seq)?, fingerprint.0)) {
            let what = format!("the request id of record {seq} is missing or differs");
            return Err(wrong("request", Some(seq), what));
        }
        Ok(())
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
        let sql = "SELECT count(*) FROM claim WHERE permit = ?1 AND seq = ?2 AND permit < seq";
        let mut noted = self.connection.prepare_cached(sql)?;
        if noted.query_row([integer(*original_seq)?, integer(seq)?], |row| row.get::<_, i64>(0))? != 1 {
            return Err(wrong("claim", Some(seq), format!("record {seq} is not noted as a claim")));
        }
        self.claims = self.claims.saturating_add(1);
        // Also when nothing is said about it: a claim is about a payment or a sign-in that was permitted.
        let key = match self.past.is_gone(*original_seq)? {
            true => self.past.credit(*original_seq)?,
            false => credit_key(self.connection, *original_seq)?,
        };
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
                let row = self.resolved_row(seq, hold, state)?.ok_or_else(differs)?;
                (row.scopes, row.credit, row.usd, row.held_until)
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

    /// The hold that record `seq` resolves, if its row says so.
    fn resolved_row(&self, seq: u64, hold: u64, state: HoldState) -> Result<Option<HoldRow>, VerifyError> {
        let sql = "SELECT state, settled_amount, settled_usd, resolved_seq FROM hold WHERE seq = ?1";
        let mut stored = self.connection.prepare_cached(sql)?;
        let stored = stored
            .query_row([integer(hold)?], |row| Ok((hold_state(row, 0)?, row.get::<_, Option<i64>>(3)?)));
        let Some((stored, resolved_seq)) = stored.optional()? else { return Ok(None) };
        let same = stored? == state && resolved_seq == Some(integer(seq)?) && hold < seq;
        Ok(if same { find_hold(self.connection, hold)? } else { None })
    }

    /// Compares what follows from all records together.
    pub(super) fn finish(mut self) -> Result<Found, VerifyError> {
        let (gone, gone_resolved) = self.past.counts();
        let (holds, resolved) =
            (self.holds.saturating_sub(gone), self.resolved.saturating_sub(gone_resolved));
        let counts = [
            ("hold", "SELECT count(*) FROM hold", holds, "permits"),
            ("request", "SELECT count(*) FROM request", self.holds.saturating_add(self.sign_ins), "permits"),
            ("hold", "SELECT count(*) FROM hold WHERE state != 'held'", resolved, "resolutions"),
            ("claim", "SELECT count(*) FROM claim", self.claims, "claims"),
        ];
        for (table, sql, expected, of) in counts {
            let rows = unsigned(self.connection.query_row(sql, [], |row| row.get(0))?)?;
            // Every record's row was found, so more rows than records are rows without a record.
            if rows != expected {
                let what = format!("{rows} rows for {expected} {of}");
                return Err(wrong(table, self.orphan(table)?, what));
            }
        }
        // A connection that only reads does not check constraints, also not when it is asked whether the file is whole.
        for (table, rows) in [("meta", 1), ("clock", i64::from(self.clock.anchor.is_some()))] {
            let sql = format!("SELECT count(*), coalesce(sum(one), 0) FROM {table}");
            let found: (i64, i64) =
                self.connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if found != (rows, rows) {
                return Err(wrong(table, None, format!("it must have {rows} row(s), numbered 1")));
            }
        }
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
        Ok(Found { holds: self.holds, resolved: self.resolved, scopes })
    }

    /// The first row of a table that names a record which is not there.
    fn orphan(&self, table: &'static str) -> Result<Option<u64>, VerifyError> {
        let sql = format!("SELECT min(seq) FROM {table} WHERE seq NOT IN (SELECT seq FROM record)");
        let seq: Option<i64> = self.connection.query_row(&sql, [], |row| row.get(0))?;
        Ok(seq.map(unsigned).transpose()?)
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

fn same_hold(row: &Row<'_>, permit: &Permit) -> rusqlite::Result<bool> {
    let Permit { intent, policies: _, held_until, warnings: _ } = permit;
    let text = |column| row.get::<_, String>(column);
    Ok(text(0)? == intent.agent.as_str()
        && text(1)? == intent.request_id.as_str()
        && text(2)? == endpoint_key(&intent.endpoint)
        && text(3)? == intent.workflow.as_str()
        && text(4)? == address_text(intent.wallet_address)
        && row.get::<_, Option<String>>(5)?.as_deref() == intent.service.as_ref().map(|name| name.as_str())
        && text(6)? == address_text(intent.terms.payee)
        && text(7)? == intent.terms.amount.to_string()
        && row.get::<_, [u8; 16]>(8)? == usd_bytes(intent.usd)
        && u64::try_from(row.get::<_, i64>(9)?) == Ok(held_until.0)
        && text(10)? == intent.terms.asset.network.to_string()
        && row.get::<_, [u8; 32]>(11)? == intent.nonce
        && text(12)? == intent.terms.method.as_str())
}

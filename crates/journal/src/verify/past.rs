//! Permits whose rows left the journal with their records: what became of them is known while their archived records are
//! read, and only what is left of them can be compared.

use std::collections::{BTreeMap, HashMap};

use pursekeeper_core::{Moment, Permit, Scope, SignInPermit, UnixSeconds, Usd};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::tables::wrong;
use super::{Fault, VerifyError};
use crate::JournalError;
use crate::account::Sum;
use crate::credit::{CreditKey, credit_of, credit_of_sign_in};
use crate::outstanding::endpoint_key;
use crate::record::{address_text, parse_credit};
use crate::retention::needed;
use crate::state::scopes_of;
use crate::store::{integer, unsigned};

/// What the table `past` must say, as far as the records have been read.
pub(super) struct PastPermits<'c> {
    connection: &'c Connection,
    /// Permits nothing has resolved yet. At no time were there more than could be outstanding.
    open: HashMap<u64, OpenPermit>,
    left: BTreeMap<[String; 3], Left>,
    /// Whether there is the temporary table of credits.
    credits: bool,
    /// What nothing needs may be gone up to this record.
    pruned: u64,
}

/// A permit without a row, until the record that resolves it.
pub(super) struct OpenPermit {
    pub(super) scopes: Vec<Scope>,
    pub(super) credit: Option<CreditKey>,
    pub(super) usd: Usd,
    pub(super) held_until: UnixSeconds,
    key: [String; 3],
    at_ms: u64,
}

/// What is left of all permits of one workflow, wallet and endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Left {
    payments: u64,
    usd: Usd,
    last_seq: u64,
    last_ms: u64,
}

impl<'c> PastPermits<'c> {
    pub(super) fn new(connection: &'c Connection) -> Result<Self, VerifyError> {
        let sql = "SELECT coalesce(max(last_seq), 0) FROM segment WHERE pruned";
        Ok(Self {
            connection,
            open: HashMap::new(),
            left: BTreeMap::new(),
            credits: false,
            pruned: unsigned(connection.query_row(sql, [], |row| row.get(0))?)?,
        })
    }

    /// Whether a record is in the archive only.
    pub(super) fn is_gone(&self, seq: u64) -> Result<bool, VerifyError> {
        if seq > self.pruned {
            return Ok(false);
        }
        let mut record = self.connection.prepare_cached("SELECT 1 FROM record WHERE seq = ?1")?;
        Ok(!record.exists([integer(seq)?])?)
    }

    /// Nothing is gone that something still needs: the first record, what tables name, and claims about money that is bound.
    pub(super) fn nothing_needed_is_gone(&self) -> Result<(), VerifyError> {
        let claims = "SELECT claim.seq FROM claim JOIN hold ON hold.seq = claim.permit
                      WHERE hold.state = 'held' AND claim.seq <= ?1";
        let mut claims = self.connection.prepare(claims)?;
        let claims = claims.query_map([integer(self.pruned)?], |row| row.get::<_, i64>(0))?;
        let claims: Result<Vec<u64>, VerifyError> = claims.map(|seq| Ok(unsigned(seq?)?)).collect();
        let needed = needed(self.connection, 0, self.pruned)?;
        for seq in std::iter::once(1).chain(needed).chain(claims?) {
            self.expect_record(seq)?;
        }
        Ok(())
    }

    /// A record that something still needs did not leave the journal.
    pub(super) fn expect_record(&self, seq: u64) -> Result<(), VerifyError> {
        match self.is_gone(seq)? {
            true => Err(VerifyError::Record { seq, fault: Fault::Gap }),
            false => Ok(()),
        }
    }

    /// Takes note of a permit without a hold.
    pub(super) fn permit(&mut self, seq: u64, at: Moment, permit: &Permit) -> Result<(), VerifyError> {
        let intent = &permit.intent;
        let (workflow, wallet) = (intent.workflow.to_string(), address_text(intent.wallet_address));
        let credit = credit_of(permit);
        self.keep_credit(seq, credit.as_ref())?;
        self.open.insert(
            seq,
            OpenPermit {
                scopes: scopes_of(permit).collect(),
                credit,
                usd: intent.usd,
                held_until: permit.held_until,
                key: [workflow, wallet, endpoint_key(&intent.endpoint)],
                at_ms: at.unix_ms,
            },
        );
        Ok(())
    }

    /// The permit that is resolved, which counts for `sum` from then on; nothing when it has a row, or is none.
    pub(super) fn resolve(&mut self, seq: u64, sum: impl FnOnce(&OpenPermit) -> Sum) -> Option<OpenPermit> {
        let permit = self.open.remove(&seq)?;
        let Sum { usd, payments, .. } = sum(&permit);
        self.leave(seq, permit.key.clone(), Left { payments, usd, last_seq: seq, last_ms: permit.at_ms });
        Some(permit)
    }

    /// Takes note of a sign-in without a record.
    pub(super) fn sign_in(&mut self, seq: u64, at: Moment, permit: &SignInPermit) -> Result<(), VerifyError> {
        let intent = &permit.intent;
        let (workflow, wallet) = (intent.workflow.to_string(), address_text(intent.wallet_address));
        self.keep_credit(seq, credit_of_sign_in(intent).as_ref())?;
        let left = Left { payments: 0, usd: Usd::ZERO, last_seq: seq, last_ms: at.unix_ms };
        self.leave(seq, [workflow, wallet, endpoint_key(&intent.endpoint)], left);
        Ok(())
    }

    fn leave(&mut self, seq: u64, key: [String; 3], left: Left) {
        let all = self.left.entry(key).or_default();
        all.payments = all.payments.saturating_add(left.payments);
        all.usd = all.usd.checked_add(left.usd).unwrap_or(Usd::MAX);
        if all.last_seq < seq {
            (all.last_seq, all.last_ms) = (seq, left.last_ms);
        }
    }

    /// Keeps the credit a permit is booked under until a claim about it is read: beside the journal and not in memory, for
    /// there may be as many as permits.
    fn keep_credit(&mut self, seq: u64, credit: Option<&CreditKey>) -> Result<(), VerifyError> {
        let Some((wallet, service)) = credit else { return Ok(()) };
        let mut claimed = self.connection.prepare_cached("SELECT 1 FROM claim WHERE permit = ?1")?;
        if !claimed.exists([integer(seq)?])? {
            return Ok(());
        }
        if !std::mem::replace(&mut self.credits, true) {
            let table =
                "CREATE TEMP TABLE past_credit (seq INTEGER PRIMARY KEY, wallet TEXT, service TEXT) STRICT";
            self.connection.execute_batch(table)?;
        }
        let sql = "INSERT INTO past_credit (seq, wallet, service) VALUES (?1, ?2, ?3)";
        let row = params![integer(seq)?, address_text(*wallet), service.as_str()];
        self.connection.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }

    /// The credit that a permit without a record is booked under.
    pub(super) fn credit(&self, seq: u64) -> Result<Option<CreditKey>, VerifyError> {
        if !self.credits {
            return Ok(None);
        }
        let mut credit =
            self.connection.prepare_cached("SELECT wallet, service FROM past_credit WHERE seq = ?1")?;
        let names = credit.query_row([integer(seq)?], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let parse = |(wallet, service): (String, String)| parse_credit(&wallet, &service);
        Ok(names.map(parse).transpose().map_err(JournalError::damaged)?)
    }

    /// Compares what is left.
    pub(super) fn compare(mut self) -> Result<(), VerifyError> {
        if self.credits {
            self.connection.execute_batch("DROP TABLE temp.past_credit")?;
        }
        if let Some(seq) = self.open.keys().min() {
            let what = format!("record {seq} has no hold, and nothing resolved it");
            return Err(wrong("hold", Some(*seq), what));
        }
        let sql = "SELECT workflow, wallet, endpoint, payments, usd, last_seq, last_ms FROM past";
        let mut past = self.connection.prepare(sql)?;
        let mut rows = past.query([])?;
        while let Some(row) = rows.next()? {
            let key = [row.get(0)?, row.get(1)?, row.get(2)?];
            let left = Left {
                payments: unsigned(row.get(3)?)?,
                usd: Usd::from_units(u128::from_be_bytes(row.get(4)?)),
                last_seq: unsigned(row.get(5)?)?,
                last_ms: unsigned(row.get(6)?)?,
            };
            if self.left.remove(&key) != Some(left) {
                let what = format!("what is left of {} differs", key.join(", "));
                return Err(wrong("past", Some(left.last_seq), what));
            }
        }
        match self.left.into_iter().next() {
            None => Ok(()),
            Some((key, left)) => {
                let what = format!("what is left of {} is missing", key.join(", "));
                Err(wrong("past", Some(left.last_seq), what))
            }
        }
    }
}

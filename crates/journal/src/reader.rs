//! Reading beside the writer, in this process or another.

mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use pursekeeper_core::ports::Hold;
use pursekeeper_core::{
    Act, Address, ChainId, DecisionId, Digest, Entry, JournalId, Moment, Said, ServiceName,
};
use rusqlite::{Connection, Row, params};

use crate::cursors;
use crate::file::{self, Access, Meta};
use crate::hash::leaf_hash;
use crate::ledger;
use crate::load::each_payee;
use crate::payees::Standing;
use crate::record::{Content, DecodedRecord, decode};
use crate::store::{integer, unsigned};
use crate::verify::{Scrutiny, Verified, VerifyError, verify};
use crate::{JournalError, Summary};

/// Most records of one [`Reader::records`].
pub const RECORDS_PER_READ_MAX: usize = 1_000;

/// A read-only connection. Any number may be open; each call sees what was durable when it began.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    meta: Meta,
}

/// Which holds are meant.
#[derive(Clone, Copy, Debug)]
pub enum Holds<'a> {
    /// Every one.
    All,
    /// Those that are `held`, `settled` or `released`.
    InState(&'a str),
    /// Those that are still held on a network.
    UnresolvedOn(&'a ChainId),
}

/// A payee that a refusal left to the operators, or that one of them accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPayee {
    /// The service, by the name it had then.
    pub service: ServiceName,
    /// Who is paid.
    pub payee: Address,
    /// The record of the refusal; none when it was refused under another name of the service.
    pub pending_seq: Option<u64>,
    /// The record of the first act that accepted it.
    pub accepted_seq: Option<u64>,
}

/// A record as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its position, from 1.
    pub seq: u64,
    /// The canonical bytes.
    pub body: Vec<u8>,
    /// Their RFC 6962 leaf hash.
    pub leaf: Digest,
    /// The hash chain after this record.
    pub chain: Digest,
}

impl StoredRecord {
    /// What it says.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it cannot be read.
    pub fn decode(&self) -> Result<DecodedRecord, JournalError> {
        decode(&self.body)
    }

    fn read(row: &Row<'_>) -> Result<Self, JournalError> {
        let body: Vec<u8> = row.get(1)?;
        let leaf = leaf_hash(&body);
        Ok(Self { seq: unsigned(row.get(0)?)?, body, leaf, chain: Digest(row.get(2)?) })
    }
}

impl Reader {
    /// Opens the journal at `path`, whichever it is.
    ///
    /// # Errors
    /// [`JournalError::Absent`], [`JournalError::Foreign`], [`JournalError::Newer`], and whatever the disk does.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (connection, meta) = file::open(&file::locate(path)?, Access::Read)?;
        Ok(Self { connection, meta })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Which journal this is.
    #[must_use]
    pub fn id(&self) -> JournalId {
        self.meta.id
    }

    /// The last durable record, from 1.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn last_seq(&self) -> Result<u64, JournalError> {
        let mut last = self.connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM record")?;
        unsigned(last.query_row([], |row| row.get(0))?)
    }

    /// Records from `from_seq` on, in order, at most `limit` and at most [`RECORDS_PER_READ_MAX`].
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn records(&self, from_seq: u64, limit: usize) -> Result<Vec<StoredRecord>, JournalError> {
        self.records_within(from_seq, limit, usize::MAX)
    }

    /// The same, and no more after the first than fit into `bytes_max` bytes together.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn records_within(
        &self,
        from_seq: u64,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredRecord>, JournalError> {
        let limit = limit.min(RECORDS_PER_READ_MAX);
        let sql = "SELECT seq, body, chain FROM record WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([integer(from_seq)?, integer(limit as u64)?])?;
        let (mut records, mut bytes) = (Vec::new(), 0_usize);
        while let Some(row) = rows.next()? {
            let record = StoredRecord::read(row)?;
            bytes = bytes.saturating_add(record.body.len());
            if bytes > bytes_max && !records.is_empty() {
                break;
            }
            records.push(record);
        }
        Ok(records)
    }

    /// Up to which record each sink has acknowledged everything, as it is on disk: what retention may rely on. Sinks that
    /// are not configured any more are among them.
    ///
    /// # Errors
    /// [`JournalError::CursorAhead`] when one stands behind the last record, and whatever the disk does.
    pub fn cursors(&self) -> Result<BTreeMap<String, u64>, JournalError> {
        cursors::read(&self.connection, self.last_seq()?)
    }

    /// One record, if there is one at `seq`.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn record(&self, seq: u64) -> Result<Option<StoredRecord>, JournalError> {
        let records = self.records(seq, 1)?;
        Ok(records.into_iter().next().filter(|record| record.seq == seq))
    }

    /// Holds in the order of their permits, after `after_seq`, at most `limit` and at most [`RECORDS_PER_READ_MAX`].
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when one cannot be read, and whatever the disk does.
    pub fn holds(&self, which: Holds<'_>, after_seq: u64, limit: usize) -> Result<Vec<Hold>, JournalError> {
        let limit = integer(limit.min(RECORDS_PER_READ_MAX) as u64)?;
        let (state, network) = match which {
            Holds::All => (None, None),
            Holds::InState(state) => (Some(state.to_owned()), None),
            Holds::UnresolvedOn(network) => (Some("held".to_owned()), Some(network.to_string())),
        };
        let sql = match which {
            // Written out, so that the index of what is to be watched serves it.
            Holds::UnresolvedOn(_) => {
                "SELECT seq FROM hold WHERE state = 'held' AND ?4 = 'held' AND network = ?3 AND seq > ?1
                 ORDER BY seq LIMIT ?2"
            }
            Holds::All | Holds::InState(_) => {
                "SELECT seq FROM hold WHERE seq > ?1 AND (?3 IS NULL OR network = ?3)
                 AND (?4 IS NULL OR state = ?4) ORDER BY seq LIMIT ?2"
            }
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![integer(after_seq)?, limit, network, state])?;
        let mut holds = Vec::new();
        while let Some(row) = rows.next()? {
            holds.extend(ledger::hold(&self.connection, unsigned(row.get(0)?)?)?);
        }
        Ok(holds)
    }

    /// The money bound by the permit in record `seq`, if there is one.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it cannot be read, and whatever the disk does.
    pub fn hold(&self, seq: u64) -> Result<Option<Hold>, JournalError> {
        ledger::hold(&self.connection, seq)
    }

    /// The operator's act in record `seq` and when it was done, if there is one that was permitted.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it cannot be read, and whatever the disk does.
    pub fn act(&self, seq: u64) -> Result<Option<(Moment, Act)>, JournalError> {
        ledger::act(&self.connection, seq)
    }

    /// What agents claimed about the payment or sign-in in record `seq`, oldest first.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when one cannot be read, and whatever the disk does.
    pub fn claims(&self, seq: u64) -> Result<Vec<Said>, JournalError> {
        let sql = "SELECT body FROM claim JOIN record ON record.seq = claim.seq WHERE permit = ?1 ORDER BY claim.seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([integer(seq)?])?;
        let mut claims = Vec::new();
        while let Some(row) = rows.next()? {
            let body: Vec<u8> = row.get(0)?;
            if let Content::Entry(Entry::Report(report)) = decode(&body)?.content {
                claims.push(report.said);
            }
        }
        Ok(claims)
    }

    /// Every payee that operators were asked about or decided on, by service and address: as many as the writer keeps in
    /// memory.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when one cannot be read, and whatever the disk does.
    pub fn payees(&self) -> Result<Vec<KnownPayee>, JournalError> {
        let mut payees = Vec::new();
        each_payee(&self.connection, |service, payee, standing| {
            let Standing { pending: pending_seq, accepted: accepted_seq } = standing;
            payees.push(KnownPayee { service, payee, pending_seq, accepted_seq });
        })?;
        Ok(payees)
    }

    /// A record in words.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it cannot be read.
    pub fn summary(&self, record: &StoredRecord) -> Result<Summary, JournalError> {
        Ok(Summary::of(DecisionId::new(self.meta.id, record.seq), &record.decode()?))
    }

    /// Checks every record, the hash chain, the Merkle tree and the checkpoints in the journal, that all tables follow from
    /// the records, and that the file is whole. `progress` is told how many
    /// records of how many are done.
    ///
    /// It reads one state of the journal, in memory that grows with the number of scopes and of signatures that were
    /// outstanding at once, but not of records; while it runs, the write-ahead log cannot be reused. If something is wrong,
    /// it reads once more, to say what is wrong first: that takes longer, and `progress` begins anew.
    ///
    /// # Errors
    /// [`VerifyError`] names the first thing that is wrong.
    pub fn verify(&self, progress: impl FnMut(u64, u64)) -> Result<Verified, VerifyError> {
        self.verify_against(&Scrutiny::default(), progress)
    }

    /// The same, held against checkpoints that were kept elsewhere, and with the key that signs them.
    ///
    /// # Errors
    /// [`VerifyError`] names the first thing that is wrong.
    pub fn verify_against(
        &self,
        scrutiny: &Scrutiny<'_>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Verified, VerifyError> {
        verify(&self.connection, scrutiny, &mut progress)
    }
}

//! Reading beside the writer, in this process or another.

use std::path::Path;

use pursekeeper_core::{DecisionId, Digest, JournalId};
use rusqlite::{Connection, Row};

use crate::file::{self, Access, Meta};
use crate::hash::leaf_hash;
use crate::record::{DecodedRecord, decode};
use crate::store::{integer, unsigned};
use crate::verify::{Verified, VerifyError, verify};
use crate::{JournalError, Summary};

/// Most records of one [`Reader::records`].
pub const RECORDS_PER_READ_MAX: usize = 1_000;

/// A read-only connection. Any number may be open; each call sees what was durable when it began.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    meta: Meta,
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
        let limit = limit.min(RECORDS_PER_READ_MAX);
        let sql = "SELECT seq, body, chain FROM record WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([integer(from_seq)?, integer(limit as u64)?])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(StoredRecord::read(row)?);
        }
        Ok(records)
    }

    /// One record, if there is one at `seq`.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn record(&self, seq: u64) -> Result<Option<StoredRecord>, JournalError> {
        let records = self.records(seq, 1)?;
        Ok(records.into_iter().next().filter(|record| record.seq == seq))
    }

    /// A record in words.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it cannot be read.
    pub fn summary(&self, record: &StoredRecord) -> Result<Summary, JournalError> {
        Ok(Summary::of(DecisionId::new(self.meta.id, record.seq), &record.decode()?))
    }

    /// Checks every record, the hash chain, and that all tables follow from the records. `progress` is told how many
    /// records of how many are done.
    ///
    /// It reads one state of the journal, in memory that grows with the number of scopes but not of records; while it
    /// runs, the write-ahead log cannot be reused.
    ///
    /// # Errors
    /// [`VerifyError`] names the first thing that is wrong.
    pub fn verify(&self, progress: impl FnMut(u64, u64)) -> Result<Verified, VerifyError> {
        verify(&self.connection, progress)
    }
}

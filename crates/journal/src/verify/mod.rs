//! Whether a journal is what was written: every record canonical and in its place, every link of the chain right, and
//! every table the consequence of the records.

mod payees;
mod tables;

use pursekeeper_core::{Digest, Entry, SignInOutcome};
use rusqlite::Connection;

use crate::JournalError;
use crate::hash::{chain_next, chain_start, leaf_hash};
use crate::record::{Content, DecodedRecord, RecordFlaw, examine};
use crate::store::{run, unsigned};
use tables::{Found, Tables};

/// How often progress is told, in records.
const PROGRESS_RECORDS: u64 = 1_024;

/// A journal in which everything agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has.
    pub records: u64,
    /// The hash chain after the last one. Compared with one noted elsewhere, it shows whether the end was cut off.
    pub last_chain: Digest,
    /// How many of the records bind money.
    pub holds: u64,
    /// How many of these holds are resolved.
    pub resolved: u64,
    /// How many subjects have totals.
    pub scopes: u64,
}

/// The first thing that is wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A record.
    #[error("record {seq} {fault}")]
    Record {
        /// Which.
        seq: u64,
        /// How.
        fault: Fault,
    },
    /// A row that does not follow from the records.
    #[error("table `{table}` does not follow from the records: {what}")]
    Table {
        /// In which table.
        table: &'static str,
        /// The record it belongs to, if it belongs to one.
        seq: Option<u64>,
        /// Which row, and what is wrong.
        what: String,
    },
    /// The journal could not be read to its end.
    #[error(transparent)]
    Read(#[from] JournalError),
}

/// What can be wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there, though later ones are.
    #[error("is missing")]
    Gap,
    /// Its bytes or an earlier record were changed.
    #[error("does not fit the hash chain")]
    Chain,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Undecodable(String),
    /// Other bytes would say the same.
    #[error("is not canonical JSON")]
    NotCanonical,
    /// It says it is another record.
    #[error("says it is record {0}")]
    Misplaced(u64),
    /// The high-water mark stored with it is not the latest time up to it.
    #[error("is stored with a wrong high-water mark")]
    HighWater,
    /// Only the first record begins a journal, and it names the journal's id.
    #[error("does not begin this journal as its first record must, or begins it again")]
    Genesis,
}

impl From<rusqlite::Error> for VerifyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Read(error.into())
    }
}

/// See [`crate::Reader::verify`].
pub(crate) fn verify(
    connection: &Connection,
    mut progress: impl FnMut(u64, u64),
) -> Result<Verified, VerifyError> {
    run(connection, "BEGIN")?;
    let verified = walk(connection, &mut progress);
    run(connection, "ROLLBACK")?;
    verified
}

fn walk(connection: &Connection, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, VerifyError> {
    let total = connection.query_row("SELECT coalesce(max(seq), 0) FROM record", [], |row| row.get(0))?;
    let total = unsigned(total)?;
    let mut tables = Tables::read(connection)?;
    let mut chain = chain_start(tables.meta().id);
    let (mut seq, mut high_water_ms) = (0u64, 0u64);
    let mut records =
        connection.prepare("SELECT seq, body, chain, high_water_ms FROM record ORDER BY seq")?;
    let mut rows = records.query([])?;
    while let Some(row) = rows.next()? {
        seq = seq.saturating_add(1);
        let wrong = |fault| VerifyError::Record { seq, fault };
        if row.get::<_, i64>(0)? != i64::try_from(seq).unwrap_or(i64::MAX) {
            return Err(wrong(Fault::Gap));
        }
        let body = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        chain = chain_next(chain, leaf_hash(body));
        if row.get::<_, [u8; 32]>(2)? != chain.0 {
            return Err(wrong(Fault::Chain));
        }
        let record = examine(body).map_err(|flaw| match flaw {
            RecordFlaw::Unreadable(what) => wrong(Fault::Undecodable(what)),
            RecordFlaw::NotCanonical => wrong(Fault::NotCanonical),
        })?;
        if record.seq != seq {
            return Err(wrong(Fault::Misplaced(record.seq)));
        }
        high_water_ms = high_water_ms.max(record.time.unix_ms);
        if unsigned(row.get(3)?)? != high_water_ms {
            return Err(wrong(Fault::HighWater));
        }
        follow(&mut tables, &record)?;
        if seq.is_multiple_of(PROGRESS_RECORDS) || seq == total {
            progress(seq, total);
        }
    }
    if seq == 0 {
        return Err(VerifyError::Record { seq: 1, fault: Fault::Gap });
    }
    let Found { holds, resolved, scopes } = tables.finish()?;
    Ok(Verified { records: seq, last_chain: chain, holds, resolved, scopes })
}

/// Compares what follows from one record, and remembers what follows from many.
fn follow(tables: &mut Tables<'_>, record: &DecodedRecord) -> Result<(), VerifyError> {
    let seq = record.seq;
    match &record.content {
        Content::Genesis(genesis) => {
            tables.time(record.time, false);
            if seq == 1 && tables.meta().id == genesis.journal {
                return tables.genesis(record.time, *genesis);
            }
        }
        Content::Entry(entry) if seq > 1 => {
            tables.time(record.time, entry.accepts_clock());
            if let Some((hold, state)) = entry.resolves() {
                tables.resolution(seq, hold, state)?;
            }
            if let Entry::SignIn(decision) = entry
                && let SignInOutcome::Permit(permit) = &decision.outcome
            {
                tables.sign_in(seq, decision.fingerprint, permit)?;
            }
            tables.payees.follow(seq, entry);
            if let Entry::Report(report) = entry {
                tables.claim(seq, report)?;
            }
            if let (Entry::Payment(decision), Some(permit)) = (entry, entry.binding_permit()) {
                tables.permit(seq, decision, permit)?;
            }
            tables.decided(seq, entry);
            tables.lives.follow(seq, entry);
            return Ok(());
        }
        Content::Entry(_) => {}
    }
    Err(VerifyError::Record { seq, fault: Fault::Genesis })
}

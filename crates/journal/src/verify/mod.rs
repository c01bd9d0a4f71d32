//! Whether a journal is what was written: every record canonical and in its place, every link of the chain right, and
//! every table the consequence of the records.

mod archived;
mod past;
mod payees;
mod source;
mod tables;

use std::path::Path;

use pursekeeper_core::{Digest, Entry, SignInOutcome};
use rusqlite::Connection;

use crate::JournalError;
use crate::hash::{chain_next, chain_start, leaf_hash};
use crate::record::{Content, DecodedRecord, RecordFlaw, examine};
use crate::segment::SegmentError;
use crate::store::{run, unsigned};
use archived::{WithArchive, last_gone};
use source::{Records as _, Stored, records_from};
use tables::{Found, Tables};

/// How often progress is told, in records.
const PROGRESS_RECORDS: u64 = 1_024;

/// A journal in which everything agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has.
    pub records: u64,
    /// Up to which record nothing was checked, and the tables were not, because records are archived and the archive was
    /// not given; 0 when everything was.
    pub unchecked: u64,
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
    /// Records that are archived and not in the journal any more.
    #[error(transparent)]
    Archive(#[from] SegmentError),
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

/// See [`crate::Reader::verify_with`].
pub(crate) fn verify(
    connection: &Connection,
    archive: Option<&Path>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Verified, VerifyError> {
    run(connection, "BEGIN")?;
    let verified = walk(connection, archive, &mut progress);
    run(connection, "ROLLBACK")?;
    verified
}

/// The records as far as they have been read.
struct Walk<'c> {
    seq: u64,
    chain: Digest,
    high_water_ms: u64,
    /// Nothing when records before the first one are not there.
    tables: Option<Tables<'c>>,
}

fn walk(
    connection: &Connection,
    archive: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, VerifyError> {
    let total = connection.query_row("SELECT coalesce(max(seq), 0) FROM record", [], |row| row.get(0))?;
    let total = unsigned(total)?;
    let tables = Tables::read(connection)?;
    let journal = tables.meta().id;
    let mut walk = Walk { seq: 0, chain: chain_start(journal), high_water_ms: 0, tables: Some(tables) };
    let gone = last_gone(connection)?;
    let unchecked = match (&gone, archive) {
        (Some(segment), None) => {
            // What the journal says about the end of what is gone is all there is to go on from.
            (walk.seq, walk.chain, walk.tables) = (segment.last, segment.chain, None);
            segment.last
        }
        (None, _) | (Some(_), Some(_)) => 0,
    };
    let mut tell = |stored: Stored<'_>| {
        walk.next(&stored)?;
        if walk.seq.is_multiple_of(PROGRESS_RECORDS) || walk.seq == total {
            progress(walk.seq, total);
        }
        Ok(())
    };
    match (gone, archive) {
        (Some(_), Some(dir)) => WithArchive { connection, journal, dir }.each_record(&mut tell)?,
        (Some(segment), None) => records_from(connection, segment.last.saturating_add(1), &mut tell)?,
        (None, _) => connection.each_record(&mut tell)?,
    }
    if walk.seq == 0 {
        return Err(VerifyError::Record { seq: 1, fault: Fault::Gap });
    }
    let Walk { seq, chain, high_water_ms: _, tables } = walk;
    let Found { holds, resolved, scopes } = tables.map(Tables::finish).transpose()?.unwrap_or_default();
    Ok(Verified { records: seq, unchecked, last_chain: chain, holds, resolved, scopes })
}

impl Walk<'_> {
    fn next(&mut self, stored: &Stored<'_>) -> Result<(), VerifyError> {
        self.seq = self.seq.saturating_add(1);
        let seq = self.seq;
        let wrong = |fault| VerifyError::Record { seq, fault };
        if stored.seq != seq {
            return Err(wrong(Fault::Gap));
        }
        self.chain = chain_next(self.chain, leaf_hash(stored.body));
        if stored.chain != self.chain {
            return Err(wrong(Fault::Chain));
        }
        let record = examine(stored.body).map_err(|flaw| match flaw {
            RecordFlaw::Unreadable(what) => wrong(Fault::Undecodable(what)),
            RecordFlaw::NotCanonical => wrong(Fault::NotCanonical),
        })?;
        if record.seq != seq {
            return Err(wrong(Fault::Misplaced(record.seq)));
        }
        let Some(tables) = &mut self.tables else { return Ok(()) };
        self.high_water_ms = self.high_water_ms.max(record.time.unix_ms);
        if stored.high_water_ms.is_some_and(|ms| ms != self.high_water_ms) {
            return Err(wrong(Fault::HighWater));
        }
        follow(tables, &record)
    }
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
                tables.sign_in(seq, decision, permit)?;
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

//! Whether a journal is what was written: every record canonical and in its place, every link of the chain right, and
//! every table the consequence of the records.

mod alike;
mod archived;
mod holds;
mod indexes;
mod marks;
mod past;
mod payees;
mod source;
mod sums;
mod tables;
mod unordered;

use std::path::Path;

use pursekeeper_core::{Digest, Entry, SignInOutcome};
use rusqlite::{Connection, OptionalExtension as _};

use crate::JournalError;
use crate::file::read_meta;
use crate::hash::{chain_next, chain_start, leaf_hash};
use crate::record::{Content, DecodedRecord, RecordFlaw};
use crate::segment::{Segment, SegmentError};
use crate::store::{integer, run, unsigned};
use crate::tree::{AuditVerifier, NoteFault};
use alike::Alike;
use archived::{Ends, WithArchive, last_gone};
use holds::HOLDS;
use indexes::sound;
use marks::Marks;
use source::{Records as _, Stored, records_from};
use tables::{Found, Tables};
use unordered::Search;

/// What SQLite may keep of the file while it is verified, negative and in KiB as SQLite wants it. Everything is read from
/// its first page to its last: what is small stays in the processor's cache.
const CACHE_KIB: i64 = -512;
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
    /// The root of the Merkle tree over all records.
    pub root: Digest,
    /// How many checkpoints agree, those that were given included.
    pub checkpoints: u64,
    /// How many of the records bind money; this and what follows is counted only when everything is checked.
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
    /// A checkpoint is not one of this journal.
    #[error("{name} {fault}")]
    Checkpoint {
        /// What it is called.
        name: String,
        /// How they differ.
        fault: CheckpointFault,
    },
    /// The file is damaged in a way that no record or table shows.
    #[error("the file is damaged: {0}")]
    File(String),
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

/// How a journal can differ from a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// It is not one to rely on.
    #[error(transparent)]
    Note(NoteFault),
    /// It is of another journal.
    #[error("is of another journal")]
    OtherJournal,
    /// It stands in the place of one of another size.
    #[error("says it is of {0} records")]
    OtherSize(u64),
    /// It is over more records than there are.
    #[error(
        "is of {size} records, but the journal ends with record {records}: the end was cut off, or an older copy was put \
         back; records {} to {size} are missing",
        records.saturating_add(1)
    )]
    Missing {
        /// How many there are.
        records: u64,
        /// How many there were.
        size: u64,
    },
    /// It is over other records than these.
    #[error(
        "is of other records: some of records {} to {size} were rewritten since it was signed",
        after.saturating_add(1)
    )]
    Rewritten {
        /// The records up to the last checkpoint that agrees.
        after: u64,
        /// The records the checkpoint is over.
        size: u64,
    },
}

/// How much of a journal is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Everything: what each record says, every table that follows from the records, and the file itself.
    #[default]
    Everything,
    /// That the records are those that were written, in the same order and bytes: chain, tree and checkpoints. Nobody can
    /// change a record without changing these. What the records say is not read, and the tables are not looked at.
    Records,
}

/// A checkpoint that was kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenCheckpoint {
    /// What messages call it.
    pub name: String,
    /// The signed note.
    pub note: String,
}

/// What a journal is held against besides itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scrutiny<'a> {
    /// How much is checked.
    pub depth: Depth,
    /// Who must have signed every checkpoint; without it, only their roots are compared.
    pub key: Option<&'a AuditVerifier>,
    /// Checkpoints that were kept elsewhere, besides those in the journal.
    pub checkpoints: &'a [GivenCheckpoint],
    /// The directory of the segments. Records that are archived and deleted are read there; without it the check begins
    /// after them, leaves out the tables, and says so.
    pub archive: Option<&'a Path>,
}

impl VerifyError {
    /// The first record that may be wrong, if it can be told: what comes before it is as it was written.
    #[must_use]
    pub fn first_bad_seq(&self) -> Option<u64> {
        match self {
            Self::Record { seq, fault: _ } => Some(*seq),
            Self::Table { seq, .. } => *seq,
            Self::Checkpoint { name: _, fault } => match fault {
                CheckpointFault::Missing { records: before, .. }
                | CheckpointFault::Rewritten { after: before, .. } => Some(before.saturating_add(1)),
                CheckpointFault::Note(_) | CheckpointFault::OtherJournal | CheckpointFault::OtherSize(_) => {
                    None
                }
            },
            Self::Archive(error) => error.first_bad_seq(),
            Self::File(_) | Self::Read(_) => None,
        }
    }
}

impl VerifyError {
    /// Whether an earlier record may be wrong, if rows were only added up so far.
    fn may_come_late(&self) -> bool {
        match self {
            Self::Record { .. } | Self::Table { .. } | Self::Checkpoint { .. } | Self::File(_) => true,
            Self::Archive(_) | Self::Read(_) => false,
        }
    }
}

impl From<rusqlite::Error> for VerifyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Read(error.into())
    }
}

/// See [`crate::Reader::verify_against`].
pub(crate) fn verify(
    connection: &Connection,
    scrutiny: &Scrutiny<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, VerifyError> {
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    let mut walk = |search| {
        run(connection, "BEGIN")?;
        let verified = walk(connection, scrutiny, search, progress);
        run(connection, "ROLLBACK")?;
        verified
    };
    match walk(Search::Summed) {
        // Sums do not say which row is wrong, and it may be that of a record before the one that was found.
        Err(error) if scrutiny.depth == Depth::Everything && error.may_come_late() => {
            Err(walk(Search::LookedUp).err().unwrap_or(error))
        }
        other => other,
    }
}

/// The records as far as they have been read, and what they must agree with.
struct Walk<'c> {
    depth: Depth,
    seq: u64,
    chain: Digest,
    high_water_ms: u64,
    alike: Alike,
    marks: Marks<'c>,
    ends: Ends,
    /// Nothing when they are not to be looked at, or cannot be.
    tables: Option<Tables<'c>>,
}

fn walk(
    connection: &Connection,
    scrutiny: &Scrutiny<'_>,
    search: Search,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, VerifyError> {
    let total =
        unsigned(connection.query_row("SELECT coalesce(max(seq), 0) FROM record", [], |row| row.get(0))?)?;
    let meta = read_meta(connection)?;
    let marks = Marks::read(connection, meta.id, scrutiny)?;
    let (depth, chain) = (scrutiny.depth, chain_start(meta.id));
    let mut holds = connection.prepare(HOLDS)?;
    let mut walk = Walk {
        depth,
        seq: 0,
        chain,
        high_water_ms: 0,
        alike: Alike::default(),
        marks,
        ends: Ends::read(connection)?,
        tables: None,
    };
    let gone = last_gone(connection)?;
    let missing = gone.as_ref().filter(|_| scrutiny.archive.is_none());
    let unchecked = missing.map_or(0, |segment| segment.last);
    if let Some(segment) = missing {
        walk.begin_after(segment, connection)?;
    } else if depth == Depth::Everything {
        walk.tables = Some(Tables::read(connection, meta, holds.query([])?, search)?);
    }
    let mut tell = |stored: Stored<'_>| {
        walk.next(&stored)?;
        if walk.seq.is_multiple_of(PROGRESS_RECORDS) || walk.seq == total {
            progress(walk.seq, total);
        }
        Ok(())
    };
    match scrutiny.archive {
        Some(dir) if gone.is_some() => {
            WithArchive { connection, journal: meta.id, dir }.each_record(&mut tell)?;
        }
        Some(_) | None if unchecked == 0 => connection.each_record(&mut tell)?,
        Some(_) | None => records_from(connection, unchecked.saturating_add(1), &mut tell)?,
    }
    let Walk { depth: _, seq, chain, high_water_ms: _, alike: _, marks, ends, tables } = walk;
    if seq == 0 {
        return Err(VerifyError::Record { seq: 1, fault: Fault::Gap });
    }
    let (root, checkpoints) = marks.finish()?;
    ends.finish()?;
    let Found { holds, resolved, scopes, indexes } =
        tables.map(Tables::finish).transpose()?.unwrap_or_default();
    if depth == Depth::Everything {
        sound(connection, indexes.as_ref())?;
    }
    Ok(Verified { records: seq, unchecked, last_chain: chain, root, checkpoints, holds, resolved, scopes })
}

impl Walk<'_> {
    /// Begins after a segment that is not there: what the journal says about its end is all there is to go on from.
    fn begin_after(&mut self, segment: &Segment, connection: &Connection) -> Result<(), VerifyError> {
        (self.seq, self.chain) = (segment.last, segment.chain);
        self.marks.begin_at(segment.frontier.clone())?;
        self.ends.begin_after(segment.last);
        let sql = "SELECT high_water_ms FROM record WHERE seq > ?1 ORDER BY seq LIMIT 1";
        let clock: Option<i64> =
            connection.query_row(sql, [integer(segment.last)?], |row| row.get(0)).optional()?;
        self.high_water_ms = clock.map(unsigned).transpose()?.unwrap_or_default();
        Ok(())
    }

    fn next(&mut self, stored: &Stored<'_>) -> Result<(), VerifyError> {
        self.seq = self.seq.saturating_add(1);
        let seq = self.seq;
        let wrong = |fault| VerifyError::Record { seq, fault };
        if stored.seq != seq {
            return Err(wrong(Fault::Gap));
        }
        let leaf = leaf_hash(stored.body);
        self.chain = chain_next(self.chain, leaf);
        if stored.chain != self.chain {
            return Err(wrong(Fault::Chain));
        }
        if self.depth == Depth::Everything {
            let record = self.alike.read(stored.body).map_err(|flaw| match flaw {
                RecordFlaw::Unreadable(what) => wrong(Fault::Undecodable(what)),
                RecordFlaw::NotCanonical => wrong(Fault::NotCanonical),
            })?;
            if record.seq != seq {
                return Err(wrong(Fault::Misplaced(record.seq)));
            }
            self.high_water_ms = self.high_water_ms.max(record.time.unix_ms);
            if stored.high_water_ms.is_some_and(|ms| ms != self.high_water_ms) {
                return Err(wrong(Fault::HighWater));
            }
            if let Some(tables) = &mut self.tables {
                follow(tables, record)?;
            }
        }
        self.marks.push(leaf)?;
        self.ends.agree(self.chain, self.marks.frontier())
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

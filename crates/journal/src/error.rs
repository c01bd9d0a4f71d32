use std::path::PathBuf;

use pursekeeper_core::JournalId;
use pursekeeper_core::ports::LedgerError;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// Why a journal could not be created, opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No file at the path. A missing journal is never a fresh budget, so none is made in passing.
    #[error(
        "there is no journal at `{0}`: create the first one with `pursekeeper journal init`; if it was moved, put it back; if it is lost, start over with every window counted as spent with `pursekeeper journal adopt`, and never from an older copy"
    )]
    Absent(PathBuf),
    /// Something already stands where a journal was to be created.
    #[error("`{0}` already exists: a journal is never overwritten; move it away first")]
    Exists(PathBuf),
    /// The file is no journal.
    #[error("`{0}` is not a Pursekeeper journal: check the path in the configuration")]
    Foreign(PathBuf),
    /// Written by a newer version.
    #[error("the journal has schema {found} and this version knows up to {known}: run a newer `pursekeeper`")]
    Newer {
        /// The journal's schema.
        found: i64,
        /// The newest schema this version understands.
        known: i64,
    },
    /// Written by an older version, whose tables cannot be carried over.
    #[error(
        "the journal has schema {found} and this version reads {known}: move it away and run `pursekeeper journal adopt`, which counts every window as spent"
    )]
    Older {
        /// The journal's schema.
        found: i64,
        /// The only schema this version understands.
        known: i64,
    },
    /// A journal, but not the one the wallets belong to.
    #[error(
        "this is journal `{found}` but the keystore belongs to `{expected}`: put the right file back, or, if it is lost, move what is left of the journal away and start over with `pursekeeper journal adopt`"
    )]
    OtherJournal {
        /// The id the keystore names.
        expected: JournalId,
        /// The id in the file.
        found: JournalId,
    },
    /// The latest records are gone with the write-ahead log.
    #[error(
        "`{0}` is missing or empty: it holds the latest records, and without it the journal would forget what was spent; put it back, or, if it is lost, move what is left of the journal away and start over with `pursekeeper journal adopt`"
    )]
    LogLost(PathBuf),
    /// The file has a second name, under which another sidecar could write it with another log and another lock.
    #[error("`{0}` is linked under more than one name: remove the others, one wallet has one journal")]
    Linked(PathBuf),
    /// Somebody else writes this journal.
    #[error("the journal is in use by {holder}: one wallet, one journal, one running sidecar")]
    InUse {
        /// What the lock file says about them, such as `process 1234`.
        holder: String,
    },
    /// The linked SQLite may corrupt a write-ahead log.
    #[error("SQLite {0} is linked, at least 3.51.3 is needed: rebuild with the bundled one")]
    SqliteTooOld(&'static str),
    /// A file could not be created, locked or synced.
    #[error("`{path}` cannot be used: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No space left. Nothing was recorded; a later attempt may succeed.
    #[error("the journal is full and nothing was recorded: free space on its disk; it recovers by itself")]
    Full(#[source] rusqlite::Error),
    /// What is left of the disk is kept for stops.
    #[error(
        "nothing but stops is recorded until there is room again for the journal's `-reserve` file: free some space on its disk, or remove what stands in the file's place"
    )]
    Reserved,
    /// Somebody reads and does not end, so that the write-ahead log cannot begin anew. Nothing was recorded; a later attempt
    /// succeeds once they are gone.
    #[error(
        "the journal's write-ahead log is {bytes} bytes long and nothing but stops is recorded, because another program has been reading the journal all the while: find it with `fuser -v {path}` and end it; signing goes on by itself", path = path.display()
    )]
    LogFull {
        /// How long it is.
        bytes: u64,
        /// The journal.
        path: PathBuf,
    },
    /// Another program holds the database's write lock. Nothing was recorded; a later attempt may succeed.
    #[error("another program keeps the journal locked and nothing was recorded: close it")]
    Busy(#[source] rusqlite::Error),
    /// The disk or the database failed. The handle must not be used again: after a failed fsync the kernel may forget
    /// what it could not write, and a second fsync would succeed without it.
    #[error("the journal failed and must be opened anew: {0}")]
    Failed(#[source] rusqlite::Error),
    /// An earlier failure, after which this handle refuses everything.
    #[error("the journal failed earlier and refuses everything until it is opened anew")]
    Broken,
    /// A sink acknowledged a record that is not there.
    #[error(
        "sink `{sink}` has acknowledged record {acked}, but the journal ends at {last}: its latest records are gone; look at what the sink received, and put the right journal back, or start over with `pursekeeper journal adopt`"
    )]
    CursorAhead {
        /// Which sink.
        sink: String,
        /// What it acknowledged.
        acked: u64,
        /// The last record.
        last: u64,
    },
    /// A record is wanted that left the journal.
    #[error(
        "record {seq} is archived and not in the journal any more: its segment has it, and `pursekeeper audit verify --archive` checks that"
    )]
    Archived {
        /// Which.
        seq: u64,
    },
    /// What is stored contradicts itself.
    #[error(
        "the journal is damaged: {what}: keep the file as evidence, and start a new one with `pursekeeper journal adopt`"
    )]
    Damaged {
        /// Where and how.
        what: String,
    },
    /// A record was asked for that is not there.
    #[error("there is no record {asked}: the journal has records 1 to {records}")]
    NoRecord {
        /// Which.
        asked: u64,
        /// The last one.
        records: u64,
    },
    /// A second permit for a request id. Nothing was recorded.
    #[error("the request id `{0}` already has a permit and nothing was recorded")]
    RequestIdTaken(String),
    /// A sum of dollars or payments does not fit. Nothing was recorded.
    #[error("a total with this payment does not fit and nothing was recorded")]
    TotalTooLarge,
    /// The entry has no canonical form: an integer of 2⁵³ or more. Nothing was recorded.
    #[error("the entry cannot be recorded: {0}")]
    Unrecordable(#[source] serde_json::Error),
    /// The judge could not read what it needed. Nothing was recorded.
    #[error("judging failed and nothing was recorded: {0}")]
    Judge(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl JournalError {
    /// Whether the handle that returned it must not be used again, and the process should end. Otherwise nothing was
    /// recorded, nothing is remembered, and a later attempt may succeed.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Broken | Self::CursorAhead { .. } | Self::Damaged { .. } => true,
            Self::NoRecord { .. }
            | Self::Absent(_)
            | Self::Exists(_)
            | Self::Foreign(_)
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::OtherJournal { .. }
            | Self::LogLost(_)
            | Self::Linked(_)
            | Self::InUse { .. }
            | Self::SqliteTooOld(_)
            | Self::File { .. }
            | Self::Full(_)
            | Self::Reserved
            | Self::LogFull { .. }
            | Self::Archived { .. }
            | Self::Busy(_)
            | Self::RequestIdTaken(_)
            | Self::TotalTooLarge
            | Self::Unrecordable(_)
            | Self::Judge(_) => false,
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(cause) = error.sqlite_error().copied() else { return Self::Failed(error) };
        let one_of = |codes: &[ErrorCode]| codes.contains(&cause.code);
        // The shared-memory index could not grow: no fsync was involved, so this is lack of space, not of trust.
        if one_of(&[ErrorCode::DiskFull]) || cause.extended_code == SQLITE_IOERR_SHMSIZE {
            Self::Full(error)
        } else if one_of(&[ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked]) {
            Self::Busy(error)
        } else if one_of(&[ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase]) {
            Self::damaged(error.to_string())
        } else {
            Self::Failed(error)
        }
    }
}

impl From<LedgerError> for JournalError {
    /// Gives back the journal's own error when the ledger it lent out returned it.
    fn from(LedgerError(source): LedgerError) -> Self {
        match source.downcast::<Self>() {
            Ok(own) => *own,
            Err(foreign) => Self::Judge(foreign),
        }
    }
}

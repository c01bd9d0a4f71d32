use std::path::PathBuf;

use pursekeeper_journal::JournalError;

/// Why a sink cannot be used, or did not get a record. It is tried again for ever.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record is not JSON.
    #[error("record {seq} cannot be read: {source}; run `pursekeeper audit verify`")]
    Unreadable {
        /// Which.
        seq: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// A file cannot be used.
    #[error("`{path}` cannot be used: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read a file that holds a secret.
    #[error("`{path}` can be read by others: run `chmod 600 {path}`", path = .0.display())]
    Exposed(PathBuf),
    /// A file is larger than anything that belongs there.
    #[error("`{path}` is longer than {bytes_max} bytes: check the path", path = path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// What is allowed.
        bytes_max: u64,
    },
    /// The key of a mask can be guessed.
    #[error("the key in `{path}` is too short: it has at least {bytes_min} bytes; make one with `openssl rand -hex 32`", path = path.display())]
    ShortKey {
        /// Which.
        path: PathBuf,
        /// What is needed.
        bytes_min: usize,
    },
    /// What stands at the path is not a file to append to, or belongs to the journal.
    #[error("`{path}` {what}: name another file", path = path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// Why.
        what: &'static str,
    },
    /// A file holds records of this journal that the journal does not have.
    #[error(
        "`{path}` has record {told} of this journal, which ends at {last}: the journal is an older copy or was cut; put the right one back, or, if it is lost, run `pursekeeper journal adopt`", path = path.display()
    )]
    Ahead {
        /// Which file.
        path: PathBuf,
        /// The last record in it.
        told: u64,
        /// The last record of the journal.
        last: u64,
    },
    /// A line of the file with headers.
    #[error("`{path}`, line {line}: write `name: value`", path = path.display())]
    Header {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// The receiver's address or certificate cannot be used.
    #[error("`endpoint`: {0}")]
    Endpoint(String),
    /// Standard output does not take it.
    #[error("standard output: {0}")]
    Stdout(#[source] std::io::Error),
    /// The receiver did not acknowledge.
    #[error("the receiver did not acknowledge: {0}")]
    Refused(String),
    /// The receiver took some, and never wants the others.
    #[error("the receiver rejected {rejected} records: {why}")]
    Rejected {
        /// How many.
        rejected: u64,
        /// What it says about it.
        why: String,
    },
    /// The task that was to do it is gone.
    #[error("the export was interrupted")]
    Interrupted,
}

//! Sealed segments: records that left the journal as a file of their own, and can be verified without it.
//!
//! A segment is gzip over lines of JSON: a header, the records in their canonical bytes, one a line, and a trailer. The
//! header says what the hash chain and the tree were before, so that chain, root and the signed checkpoint of the trailer
//! follow from this file alone. It ends where a checkpoint was signed.

mod import;
mod read;
mod seal;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
mod tests;

pub use import::{Imported, import};
pub use read::{SegmentReader, check_row};
pub use seal::Seal;
pub(crate) use seal::digest_of;

use std::path::PathBuf;

use pursekeeper_core::{Digest, JournalId};
use serde::{Deserialize, Serialize};

use crate::JournalError;
use crate::tree::Frontier;
use crate::verify::Fault;

/// What a segment's first line says it is.
pub(crate) const FORMAT: &str = "pursekeeper.segment.v1";
/// Longest line, in bytes: no record comes near it, and nothing longer is read into memory.
pub(crate) const LINE_LEN_MAX: usize = 4 << 20;

/// Archived records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first record.
    pub first: u64,
    /// The last one, where a checkpoint was signed.
    pub last: u64,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// The hash chain after the last record.
    pub chain: Digest,
    /// The tree after the last record.
    pub frontier: Frontier,
    /// Whether the records leave the journal, but for those it still needs.
    pub pruned: bool,
}

/// The name of a segment's file: no two of any journals are called the same.
#[must_use]
pub fn file_name(journal: JournalId, first: u64, last: u64) -> String {
    format!("{journal}-{first:012}-{last:012}.jsonl.gz")
}

/// What stands before the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The journal the records are of.
    pub journal: JournalId,
    /// The first record.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The hash chain before the first.
    pub chain: Digest,
    /// The tree before the first.
    pub frontier: Frontier,
    /// Who signs the checkpoints: a verifier key of C2SP signed-note.
    pub verifier: Option<String>,
    /// The checkpoint that was signed where the records before end.
    pub checkpoint: Option<String>,
}

/// What stands after the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The hash chain after the last record.
    pub chain: Digest,
    /// How many records there are up to the last one.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
    /// The signed checkpoint that says so.
    pub checkpoint: String,
}

/// What is wrong with a segment, or kept it from being made.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// A file could not be read or written.
    #[error("`{path}` cannot be used: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is another kind of file, or its header was changed.
    #[error("`{path}` is no segment of a journal: {what}", path = path.display())]
    Header {
        /// Which.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// The file ends early or cannot be unpacked.
    #[error("`{path}` is cut off or damaged at record {seq}: {source}", path = path.display())]
    Truncated {
        /// Which.
        path: PathBuf,
        /// The first record that cannot be read; one more than the last when it is the trailer.
        seq: u64,
        /// How it shows.
        source: std::io::Error,
    },
    /// A record.
    #[error("`{path}`: record {seq} {fault}", path = path.display())]
    Record {
        /// In which file.
        path: PathBuf,
        /// Which.
        seq: u64,
        /// How.
        fault: Fault,
    },
    /// Records and trailer do not fit each other.
    #[error("`{path}`: {what}: a record of {first} to {last} was changed, or the header or trailer", path = path.display())]
    Trailer {
        /// In which file.
        path: PathBuf,
        /// The first record.
        first: u64,
        /// The last one.
        last: u64,
        /// What does not fit.
        what: String,
    },
    /// Two files of a row do not follow each other.
    #[error("`{path}` begins with record {found}, record {expected} is next: name every segment, in order", path = path.display())]
    Gap {
        /// The later file.
        path: PathBuf,
        /// The record that would follow.
        expected: u64,
        /// The record it begins with.
        found: u64,
    },
    /// A file of another journal, or after another history.
    #[error("`{path}` does not continue the segment before it: {what}", path = path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// How it shows.
        what: String,
    },
    /// No checkpoint was signed there.
    #[error(
        "no checkpoint was signed at record {0}: a segment ends where one was; see `pursekeeper audit verify`"
    )]
    Unsigned(u64),
    /// The file of a segment that is noted in the journal is gone, or another.
    #[error(
        "the segment of records {first} to {last} is not in `{dir}` as it was written, so its records stay in the journal: put \
         the file back", dir = dir.display()
    )]
    Lost {
        /// Where it should be.
        dir: PathBuf,
        /// The first record.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// Whoever asked for it wants it no more.
    #[error("interrupted")]
    Interrupted,
    /// The records that would be archived are not what was recorded.
    #[error("nothing was archived: {0}")]
    Tampered(String),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl SegmentError {
    /// The first record that may be wrong, if it can be told.
    #[must_use]
    pub fn first_bad_seq(&self) -> Option<u64> {
        match self {
            Self::Truncated { seq, .. } | Self::Record { seq, .. } => Some(*seq),
            Self::Trailer { first, .. } | Self::Lost { first, .. } => Some(*first),
            Self::Gap { expected, .. } => Some(*expected),
            Self::File { .. }
            | Self::Header { .. }
            | Self::Foreign { .. }
            | Self::Unsigned(_)
            | Self::Interrupted
            | Self::Tampered(_)
            | Self::Journal(_) => None,
        }
    }
}

impl From<rusqlite::Error> for SegmentError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Journal(error.into())
    }
}

/// The header as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderLine {
    chain: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    first: u64,
    format: String,
    frontier: Vec<String>,
    journal: String,
    last: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verifier: Option<String>,
}

/// The trailer as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrailerLine {
    chain: String,
    checkpoint: String,
    root: String,
    size: u64,
}

impl From<&Header> for HeaderLine {
    fn from(header: &Header) -> Self {
        let Header { journal, first, last, chain, frontier, verifier, checkpoint } = header;
        Self {
            chain: chain.to_string(),
            checkpoint: checkpoint.clone(),
            first: *first,
            format: FORMAT.to_owned(),
            frontier: frontier.subtrees().iter().map(ToString::to_string).collect(),
            journal: journal.to_string(),
            last: *last,
            verifier: verifier.clone(),
        }
    }
}

impl HeaderLine {
    /// What it says, if that makes sense.
    pub(crate) fn parse(self) -> Result<Header, String> {
        let Self { chain, checkpoint, first, format, frontier, journal, last, verifier } = self;
        if format != FORMAT {
            return Err(format!("its format is `{format}`, this version reads `{FORMAT}`"));
        }
        let before = first.checked_sub(1).filter(|_| first <= last).ok_or("it has no records")?;
        let subtrees = frontier.iter().map(|root| digest(root)).collect::<Option<Vec<_>>>();
        let frontier = subtrees.and_then(|all| Frontier::of(before, all)).ok_or("`frontier` is no tree")?;
        let journal = hex::decode(&journal).ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Header {
            journal: JournalId(journal.ok_or("`journal` is no id")?),
            first,
            last,
            chain: digest(&chain).ok_or("`chain` is no hash")?,
            frontier,
            verifier,
            checkpoint,
        })
    }
}

impl From<&Trailer> for TrailerLine {
    fn from(trailer: &Trailer) -> Self {
        let Trailer { chain, size, root, checkpoint } = trailer;
        Self { chain: chain.to_string(), checkpoint: checkpoint.clone(), root: root.to_string(), size: *size }
    }
}

impl TrailerLine {
    pub(crate) fn parse(self) -> Result<Trailer, String> {
        let Self { chain, checkpoint, root, size } = self;
        Ok(Trailer {
            chain: digest(&chain).ok_or("`chain` is no hash")?,
            size,
            root: digest(&root).ok_or("`root` is no hash")?,
            checkpoint,
        })
    }
}

/// Lower-case hexadecimal: one hash has one text.
fn digest(text: &str) -> Option<Digest> {
    let bytes = hex::decode(text).ok()?.try_into().ok()?;
    Some(Digest(bytes)).filter(|digest| digest.to_string() == text)
}

//! Making a segment: written beside its name, synced, and only then given it.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use pursekeeper_core::{Checkpoint, Digest};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Header, HeaderLine, Segment, SegmentError, Trailer, TrailerLine, file_name};
use crate::hash::{chain_next, chain_start};
use crate::tree::{Frontier, checkpoint_in};
use crate::{RECORDS_PER_READ_MAX, Reader};

/// What is to become a segment, and where.
#[derive(Clone, Debug)]
pub struct Seal {
    /// The directory of the segments.
    pub dir: PathBuf,
    /// The last record: a checkpoint was signed there.
    pub last: u64,
    /// Who signs the checkpoints, for the header.
    pub verifier: Option<String>,
}

impl Reader {
    /// Archives the records after the last segment. Nothing of the journal is changed: whoever writes it takes note with
    /// [`crate::SqliteJournal::note_segment`]. The same records make the same file, so that what was interrupted is done
    /// again. `go_on` is told how far it is, now and then, and may end it.
    ///
    /// # Errors
    /// [`SegmentError::Unsigned`] without a checkpoint at the last record, [`SegmentError::Tampered`] when the records do
    /// not fit it, and whatever the disks do. Then there is no file of that name that was not there before.
    pub fn archive(&self, seal: &Seal, mut go_on: impl FnMut(u64) -> bool) -> Result<Segment, SegmentError> {
        let Seal { dir, last, verifier } = seal;
        let checkpoint = self.checkpoint_at(*last)?.ok_or(SegmentError::Unsigned(*last))?;
        let header = self.header(*last, verifier.clone())?;
        let path = dir.join(file_name(header.journal, header.first, *last));
        let draft = path.with_extension("part");
        let failed = |source| SegmentError::File { path: draft.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        let hashed = Hashed { file: file.map_err(failed)?, hash: Sha256::new() };
        // Without a time, so that the same records make the same bytes.
        let mut gzip = GzBuilder::new().mtime(0).write(BufWriter::new(hashed), Compression::default());
        put(&mut gzip, &HeaderLine::from(&header)).map_err(failed)?;
        let (mut chain, mut frontier) = (header.chain, header.frontier);
        let mut next = header.first;
        while next <= *last {
            let left = usize::try_from(last.saturating_sub(next).saturating_add(1)).unwrap_or(usize::MAX);
            for record in self.records(next, left.min(RECORDS_PER_READ_MAX))? {
                chain = chain_next(chain, record.leaf);
                if record.seq != next || record.chain != chain {
                    let what = format!("record {next} is missing or does not fit the hash chain");
                    return Err(SegmentError::Tampered(what));
                }
                frontier = frontier.with(record.leaf)?;
                gzip.write_all(&record.body).and_then(|()| gzip.write_all(b"\n")).map_err(failed)?;
                next = next.saturating_add(1);
            }
            if frontier.size().saturating_add(1) != next || self.last_seq()? < *last {
                return Err(SegmentError::Tampered(format!("record {next} is missing")));
            }
            if !go_on(frontier.size()) {
                return Err(SegmentError::Interrupted);
            }
        }
        let root = frontier.root()?;
        if checkpoint_in(&checkpoint) != Ok(Checkpoint { journal: header.journal, size: *last, root }) {
            let what = format!("the checkpoint of record {last} is about other records");
            return Err(SegmentError::Tampered(what));
        }
        put(&mut gzip, &TrailerLine::from(&Trailer { chain, size: *last, root, checkpoint }))
            .map_err(failed)?;
        let written = gzip.finish().and_then(|buffer| buffer.into_inner().map_err(Into::into));
        let digest = written.and_then(Hashed::finish).map_err(failed)?;
        std::fs::rename(&draft, &path).and_then(|()| File::open(dir)?.sync_all()).map_err(failed)?;
        Ok(Segment { first: header.first, last: *last, digest, chain, frontier, pruned: false })
    }

    fn header(&self, last: u64, verifier: Option<String>) -> Result<Header, SegmentError> {
        let journal = self.id();
        let before = self.last_segment()?;
        let (size, chain, frontier) = match before {
            None => (0, chain_start(journal), Frontier::default()),
            Some(Segment { last, chain, frontier, .. }) => (last, chain, frontier),
        };
        let first = size.saturating_add(1);
        if last < first {
            let what = format!("everything up to record {size} is archived already");
            return Err(SegmentError::Tampered(what));
        }
        Ok(Header { journal, first, last, chain, frontier, verifier, checkpoint: self.checkpoint_at(size)? })
    }
}

fn put(gzip: &mut impl Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *gzip, line)?;
    gzip.write_all(b"\n")
}

/// A file whose hash is known when it is complete.
struct Hashed {
    file: File,
    hash: Sha256,
}

impl Hashed {
    fn finish(self) -> std::io::Result<Digest> {
        self.file.sync_all()?;
        Ok(Digest(self.hash.finalize().into()))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// SHA-256 of a file.
///
/// # Errors
/// [`SegmentError::File`].
pub(crate) fn digest_of(path: &Path) -> Result<Digest, SegmentError> {
    let failed = |source| SegmentError::File { path: path.to_owned(), source };
    let mut hashed = Sha256::new();
    let mut file = File::open(path).map_err(failed)?;
    std::io::copy(&mut file, &mut HashOnly(&mut hashed)).map_err(failed)?;
    Ok(Digest(hashed.finalize().into()))
}

struct HashOnly<'a>(&'a mut Sha256);

impl Write for HashOnly<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! Reading a segment, and making sure of every byte of it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use serde::de::DeserializeOwned;

use super::{Header, HeaderLine, LINE_LEN_MAX, Segment, SegmentError, Trailer, TrailerLine};
use crate::StoredRecord;
use crate::hash::{chain_next, chain_start, leaf_hash};
use crate::record::{DecodedRecord, RecordFlaw, examine};
use crate::tree::{Frontier, checkpoint_in};
use crate::verify::Fault;
use pursekeeper_core::{Checkpoint, Digest, JournalId};

/// A segment that is being read: one record after the other, in constant memory.
pub struct SegmentReader {
    path: PathBuf,
    lines: BufReader<GzDecoder<BufReader<File>>>,
    header: Header,
    chain: Digest,
    frontier: Frontier,
    trailer: Option<Trailer>,
}

impl SegmentReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`SegmentError::File`] and [`SegmentError::Header`].
    pub fn open(path: &Path) -> Result<Self, SegmentError> {
        let failed = |source| SegmentError::File { path: path.to_owned(), source };
        let file = BufReader::new(File::open(path).map_err(failed)?);
        let mut lines = BufReader::new(GzDecoder::new(file));
        let wrong = |what: String| SegmentError::Header { path: path.to_owned(), what };
        let line = line(&mut lines).map_err(|error| wrong(error.to_string()))?;
        let header = parse::<HeaderLine>(&line).and_then(HeaderLine::parse).map_err(wrong)?;
        if header.first == 1 && header.chain != chain_start(header.journal) {
            return Err(wrong("its hash chain does not begin with the journal".to_owned()));
        }
        let before = header.frontier.size();
        let root = header.frontier.root()?;
        let stated = Checkpoint { journal: header.journal, size: before, root };
        if header.checkpoint.as_ref().is_some_and(|note| checkpoint_in(note) != Ok(stated)) {
            return Err(wrong(format!("its checkpoint is not about the {before} records before it")));
        }
        let (chain, frontier) = (header.chain, header.frontier.clone());
        Ok(Self { path: path.to_owned(), lines, header, chain, frontier, trailer: None })
    }

    /// What stands before the records.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What stands after the records, once all of them were read and everything fits.
    #[must_use]
    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }

    /// The next record. After the last one the trailer is read and compared: nothing is returned only when everything fits.
    ///
    /// # Errors
    /// [`SegmentError`] for the first thing that is wrong.
    pub fn next_record(&mut self) -> Result<Option<(StoredRecord, DecodedRecord)>, SegmentError> {
        let Some(stored) = self.next_stored()? else { return Ok(None) };
        let seq = stored.seq;
        let wrong = |fault| SegmentError::Record { path: self.path.clone(), seq, fault };
        let decoded = examine(&stored.body).map_err(|flaw| match flaw {
            RecordFlaw::Unreadable(what) => wrong(Fault::Undecodable(what)),
            RecordFlaw::NotCanonical => wrong(Fault::NotCanonical),
        })?;
        if decoded.seq != seq {
            return Err(wrong(Fault::Misplaced(decoded.seq)));
        }
        Ok(Some((stored, decoded)))
    }

    /// As [`SegmentReader::next_record`], without looking at what the record says.
    pub(crate) fn next_stored(&mut self) -> Result<Option<StoredRecord>, SegmentError> {
        let Some(body) = self.next_body()? else { return Ok(None) };
        let leaf = leaf_hash(&body);
        self.chain = chain_next(self.chain, leaf);
        self.frontier = std::mem::take(&mut self.frontier).with(leaf)?;
        Ok(Some(StoredRecord { seq: self.frontier.size(), body, leaf, chain: self.chain }))
    }

    /// The state after everything that was read, as the journal keeps it for a segment of this digest.
    #[must_use]
    pub fn segment(&self, digest: Digest) -> Segment {
        let Header { first, last, .. } = self.header;
        Segment { first, last, digest, chain: self.chain, frontier: self.frontier.clone(), pruned: false }
    }

    fn next_body(&mut self) -> Result<Option<Vec<u8>>, SegmentError> {
        if self.trailer.is_some() {
            return Ok(None);
        }
        let seq = self.frontier.size().saturating_add(1);
        let cut = |source| SegmentError::Truncated { path: self.path.clone(), seq, source };
        if seq <= self.header.last {
            return line(&mut self.lines).map_err(cut).map(Some);
        }
        let text = line(&mut self.lines).map_err(cut)?;
        // The end of the stream is where its checksum is compared; and nothing may hide behind it.
        let more = self.lines.read(&mut [0; 1]).map_err(cut)?;
        let behind = self.lines.get_mut().get_mut().fill_buf().map_err(cut)?.len();
        let Header { first, last, .. } = self.header;
        let wrong = |what: String| SegmentError::Trailer { path: self.path.clone(), first, last, what };
        if more != 0 || behind != 0 {
            return Err(wrong("there is something behind the trailer".to_owned()));
        }
        let trailer = parse::<TrailerLine>(&text).and_then(TrailerLine::parse).map_err(wrong)?;
        let root = self.frontier.root()?;
        self.agrees(&trailer, root).map_err(|what| wrong(what.to_owned()))?;
        self.trailer = Some(trailer);
        Ok(None)
    }

    fn agrees(&self, trailer: &Trailer, of_records: Digest) -> Result<(), &'static str> {
        let Trailer { chain, size, root, checkpoint } = trailer;
        if *chain != self.chain {
            return Err("the hash chain of the trailer is not that of the records");
        }
        if *size != self.header.last || *root != of_records {
            return Err("the root of the trailer is not that of the records");
        }
        let stated = Checkpoint { journal: self.header.journal, size: *size, root: *root };
        if checkpoint_in(checkpoint) != Ok(stated) {
            return Err("the checkpoint is not about these records");
        }
        Ok(())
    }
}

/// A row of segments being walked: each must continue the one before.
#[derive(Debug, Default)]
struct Row {
    before: Option<(JournalId, Digest, Frontier)>,
}

impl Row {
    fn follow(&mut self, reader: &SegmentReader) -> Result<(), SegmentError> {
        let Header { journal, first, chain, frontier, .. } = &reader.header;
        let Some((id, chain_before, tree)) = &self.before else { return Ok(()) };
        let foreign =
            |what: &str| Err(SegmentError::Foreign { path: reader.path.clone(), what: what.to_owned() });
        if journal != id {
            return foreign("it is of another journal");
        }
        let expected = tree.size().saturating_add(1);
        if *first != expected {
            return Err(SegmentError::Gap { path: reader.path.clone(), expected, found: *first });
        }
        if chain != chain_before || frontier != tree {
            return foreign("it comes after other records");
        }
        Ok(())
    }
}

/// Reads a row of consecutive segments to their end, telling of every record and, after each file, of its header and
/// trailer.
///
/// # Errors
/// [`SegmentError`] for the first thing that is wrong; whatever `tell` returns.
pub fn check_row<E: From<SegmentError>>(
    paths: &[PathBuf],
    mut tell: impl FnMut(&StoredRecord, &DecodedRecord) -> Result<(), E>,
    mut sealed: impl FnMut(&Header, &Trailer) -> Result<(), E>,
) -> Result<Option<Segment>, E> {
    let mut row = Row::default();
    let mut last = None;
    for path in paths {
        let mut reader = SegmentReader::open(path)?;
        row.follow(&reader)?;
        while let Some((stored, decoded)) = reader.next_record()? {
            tell(&stored, &decoded)?;
        }
        if let Some(trailer) = reader.trailer() {
            sealed(reader.header(), trailer)?;
        }
        row.before = Some((reader.header.journal, reader.chain, reader.frontier.clone()));
        last = Some(reader.segment(super::seal::digest_of(path)?));
    }
    Ok(last)
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// One line without its end. A line that does not end was cut off.
fn line(lines: &mut BufReader<GzDecoder<BufReader<File>>>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LINE_LEN_MAX).unwrap_or(u64::MAX);
    lines.take(limit).read_until(b'\n', &mut bytes)?;
    match bytes.pop() {
        Some(b'\n') => Ok(bytes),
        Some(_) if bytes.len() >= LINE_LEN_MAX.saturating_sub(1) => {
            Err(Error::new(ErrorKind::InvalidData, "a line is longer than any record"))
        }
        Some(_) | None => Err(ErrorKind::UnexpectedEof.into()),
    }
}

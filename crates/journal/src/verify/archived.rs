//! The records of a journal of which some are only in its archive.

use std::iter::Peekable;
use std::path::Path;
use std::vec::IntoIter;

use pursekeeper_core::{Digest, JournalId};
use rusqlite::{Connection, Rows};

use super::source::{Records, Stored, records_from};
use super::tables::wrong;
use super::{Fault, VerifyError};
use crate::retention::segments;
use crate::segment::{Segment, SegmentError, SegmentReader, digest_of, file_name};
use crate::store::{integer, unsigned};
use crate::tree::Frontier;

/// A journal and the directory of its segments. What is in the journal is read there; what is in both must be the same.
pub(super) struct WithArchive<'a> {
    pub(super) connection: &'a Connection,
    pub(super) journal: JournalId,
    pub(super) dir: &'a Path,
}

/// The last segment whose records leave the journal, and of which some are gone.
pub(super) fn last_gone(connection: &Connection) -> Result<Option<Segment>, VerifyError> {
    for segment in segments(connection)?.into_iter().rev() {
        if segment.pruned && !is_complete(connection, &segment)? {
            return Ok(Some(segment));
        }
    }
    Ok(None)
}

fn is_complete(connection: &Connection, segment: &Segment) -> Result<bool, VerifyError> {
    let sql = "SELECT count(*) FROM record WHERE seq BETWEEN ?1 AND ?2";
    let range = [integer(segment.first)?, integer(segment.last)?];
    let there: i64 = connection.query_row(sql, range, |row| row.get(0))?;
    Ok(unsigned(there)? == segment.last.saturating_sub(segment.first).saturating_add(1))
}

impl Records for WithArchive<'_> {
    fn each_record(
        &self,
        tell: &mut dyn FnMut(Stored<'_>) -> Result<(), VerifyError>,
    ) -> Result<(), VerifyError> {
        // Up to the last segment of which something is gone, the files say it all; what stayed must say the same.
        let last = last_gone(self.connection)?.map_or(0, |segment| segment.last);
        for segment in segments(self.connection)?.iter().take_while(|segment| segment.last <= last) {
            self.archived(segment, tell)?;
        }
        records_from(self.connection, last.saturating_add(1), tell)
    }
}

impl WithArchive<'_> {
    /// Tells of the records of one file, which must be the one that was written.
    fn archived(
        &self,
        segment: &Segment,
        tell: &mut dyn FnMut(Stored<'_>) -> Result<(), VerifyError>,
    ) -> Result<(), VerifyError> {
        let Segment { first, last, digest, chain: _, frontier: _, pruned } = segment;
        let path = self.dir.join(file_name(self.journal, *first, *last));
        let lost = || SegmentError::Lost { dir: self.dir.to_owned(), first: *first, last: *last };
        match digest_of(&path) {
            Ok(found) if found == *digest => {}
            Ok(_) => return Err(lost().into()),
            Err(SegmentError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(lost().into());
            }
            Err(error) => return Err(error.into()),
        }
        let mut reader = SegmentReader::open(&path)?;
        let sql =
            "SELECT seq, body, chain, high_water_ms FROM record WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq";
        let mut left = self.connection.prepare_cached(sql)?;
        let mut left = Left::new(left.query([integer(*first)?, integer(*last)?])?)?;
        while let Some(stored) = reader.next_stored()? {
            let seq = stored.seq;
            let high_water_ms = match left.take(seq)? {
                Some((body, chain, high_water_ms)) if (&body, chain) == (&stored.body, stored.chain) => {
                    Some(high_water_ms)
                }
                Some(_) => return Err(VerifyError::Record { seq, fault: Fault::Chain }),
                None if *pruned => None,
                None => return Err(VerifyError::Record { seq, fault: Fault::Gap }),
            };
            tell(Stored { seq, body: &stored.body, chain: stored.chain, high_water_ms })?;
        }
        Ok(())
    }
}

/// Where segments end, as far as the records have not been read that far.
pub(super) struct Ends(Peekable<IntoIter<Segment>>);

impl Ends {
    /// Every segment begins where the one before it ends.
    pub(super) fn read(connection: &Connection) -> Result<Self, VerifyError> {
        let segments = segments(connection)?;
        let mut next = 1;
        for segment in &segments {
            if segment.first != next || segment.last < segment.first {
                let what = format!("no segment begins with record {next}");
                return Err(wrong("segment", Some(next), what));
            }
            next = segment.last.saturating_add(1);
        }
        Ok(Self(segments.into_iter().peekable()))
    }

    /// Leaves out the segments up to record `seq`, of which nothing is read.
    pub(super) fn begin_after(&mut self, seq: u64) {
        while self.0.next_if(|segment| segment.last <= seq).is_some() {}
    }

    /// A segment that ends here was sealed with this chain and tree.
    pub(super) fn agree(&mut self, chain: Digest, frontier: &Frontier) -> Result<(), VerifyError> {
        let seq = frontier.size();
        match self.0.next_if(|segment| segment.last == seq) {
            Some(segment) if (segment.chain, &segment.frontier) != (chain, frontier) => {
                let what = format!("the segment that ends with record {seq} is stored with another end");
                Err(wrong("segment", Some(seq), what))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// No segment ends after the last record.
    pub(super) fn finish(mut self) -> Result<(), VerifyError> {
        match self.0.next() {
            Some(Segment { first, last, .. }) => {
                let what = format!("the segment of records {first} to {last} ends after the last record");
                Err(wrong("segment", Some(last), what))
            }
            None => Ok(()),
        }
    }
}

/// What a row that stayed says: the record, the chain and the clock.
type Row = (Vec<u8>, Digest, u64);

/// The rows that stayed.
struct Left<'r> {
    rows: Rows<'r>,
    next: Option<(u64, Row)>,
}

impl<'r> Left<'r> {
    fn new(rows: Rows<'r>) -> Result<Self, VerifyError> {
        let mut left = Self { rows, next: None };
        left.advance()?;
        Ok(left)
    }

    fn advance(&mut self) -> Result<(), VerifyError> {
        self.next = match self.rows.next()? {
            Some(row) => {
                let stayed = (row.get(1)?, Digest(row.get(2)?), unsigned(row.get(3)?)?);
                Some((unsigned(row.get(0)?)?, stayed))
            }
            None => None,
        };
        Ok(())
    }

    /// The row of a record, if it stayed.
    fn take(&mut self, seq: u64) -> Result<Option<Row>, VerifyError> {
        match self.next.take_if(|(next, _)| *next == seq) {
            Some((_, row)) => self.advance().map(|()| Some(row)),
            None => Ok(None),
        }
    }
}

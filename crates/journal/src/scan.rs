//! Looking through the records, a bounded stretch at a time.

use pursekeeper_core::Digest;
use rusqlite::{OptionalExtension as _, params};

use crate::hash::leaf_hash;
use crate::store::{integer, unsigned};
use crate::{JournalError, Reader, StoredRecord};

/// Which records are looked through, and how far at once. It is one short read: nothing is held when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The oldest record that is meant.
    pub first_seq: u64,
    /// The newest record that is meant.
    pub last_seq: u64,
    /// From the newest to the oldest.
    pub newest_first: bool,
    /// Most records looked at.
    pub looked_at_max: usize,
    /// Most records found.
    pub found_max: usize,
    /// Most bytes of records found; the first one is found whatever its size.
    pub found_bytes_max: usize,
}

/// What was found in a stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// What was wanted, in the order of the stretch.
    pub records: Vec<StoredRecord>,
    /// Where to go on; nothing when all of the stretch was looked at.
    pub next_seq: Option<u64>,
}

impl Reader {
    /// Looks through a stretch for records whose canonical bytes are `wanted`. What is not wanted costs no copy and no hash.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn scan(
        &self,
        stretch: Stretch,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Scanned, JournalError> {
        let Stretch { first_seq, last_seq, newest_first, looked_at_max, found_max, found_bytes_max } =
            stretch;
        // A bound past the largest integer of SQLite is no bound.
        let bound = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
        let limit = integer(u64::try_from(looked_at_max).unwrap_or(u64::MAX).min(u64::from(u32::MAX)))?;
        let sql = if newest_first {
            "SELECT seq, body, chain FROM record WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq DESC LIMIT ?3"
        } else {
            "SELECT seq, body, chain FROM record WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq LIMIT ?3"
        };
        let mut statement = self.connection().prepare_cached(sql)?;
        let mut rows = statement.query(params![bound(first_seq), bound(last_seq), limit])?;
        let mut scanned = Scanned::default();
        let (mut bytes, mut looked_at, mut last_looked_at) = (0_usize, 0_usize, None);
        while let Some(row) = rows.next()? {
            let seq = unsigned(row.get(0)?)?;
            looked_at = looked_at.saturating_add(1);
            let body = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            if wanted(body) {
                bytes = bytes.saturating_add(body.len());
                if bytes > found_bytes_max && !scanned.records.is_empty() {
                    scanned.next_seq = Some(seq);
                    return Ok(scanned);
                }
                let (body, chain) = (body.to_vec(), Digest(row.get(2)?));
                scanned.records.push(StoredRecord { seq, leaf: leaf_hash(&body), body, chain });
            }
            last_looked_at = Some(seq);
            if scanned.records.len() >= found_max {
                break;
            }
        }
        let more = scanned.records.len() >= found_max || looked_at >= looked_at_max;
        scanned.next_seq = last_looked_at.filter(|_| more).and_then(|seq| {
            if newest_first {
                seq.checked_sub(1).filter(|next| *next >= first_seq.max(1))
            } else {
                seq.checked_add(1).filter(|next| *next <= last_seq)
            }
        });
        Ok(scanned)
    }

    /// The first record that was written when the journal had seen this wall clock, in milliseconds since the Unix epoch;
    /// one past the last when there is none. The clock of the journal never goes back, so that a record written while the
    /// machine's clock was behind counts as written when it was last right.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn first_seq_at(&self, unix_ms: u64) -> Result<u64, JournalError> {
        let Ok(wanted) = i64::try_from(unix_ms) else { return Ok(self.last_seq()?.saturating_add(1)) };
        let mut low = self.first_seq()?;
        let mut high = self.last_seq()?.saturating_add(1);
        let sql = "SELECT high_water_ms FROM record WHERE seq >= ?1 ORDER BY seq LIMIT 1";
        let mut statement = self.connection().prepare_cached(sql)?;
        // INVARIANT: everything below `low` is earlier, everything from `high` on is not.
        while low < high {
            let middle = low.midpoint(high);
            let at: Option<i64> = statement.query_row([integer(middle)?], |row| row.get(0)).optional()?;
            if at.is_some_and(|at| at < wanted) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The oldest record that still stands in the journal; 1 when there is none.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn first_seq(&self) -> Result<u64, JournalError> {
        let mut first = self.connection().prepare_cached("SELECT coalesce(min(seq), 1) FROM record")?;
        unsigned(first.query_row([], |row| row.get(0))?)
    }
}

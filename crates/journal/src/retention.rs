//! What leaves the journal, when, and what must stay.
//!
//! Records that are archived may be deleted. Never deleted are those that something still reads: permits whose money is
//! bound or whose signature lives, and what was claimed about them; what decided a status; what `life` and `payee` name; the
//! first record and the latest ones. Request ids and the rows of claims stay for ever, so that no id pays twice.

use std::collections::BTreeSet;
use std::path::Path;

use pursekeeper_core::{Digest, Entry, SignInOutcome, UnixSeconds, Usd};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::outstanding::endpoint_key;
use crate::record::{Content, DecodedRecord, address_text, decode};
use crate::segment::{Segment, SegmentError, digest_of, file_name};
use crate::store::{integer, run, unsigned, usd_bytes};
use crate::tree::Frontier;
use crate::{JournalError, Reader};

/// The latest records are never deleted: the end of chain and tree is computed from them.
pub const RECORDS_KEPT_MIN: u64 = 1_024;
/// Records looked at for one transaction that deletes.
pub const PRUNED_PER_BATCH_MAX: usize = 256;

/// A record that nothing needs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prunable {
    seq: u64,
    past: Option<Past>,
}

/// What is still asked about a permit that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    workflow: String,
    wallet: String,
    endpoint: String,
    payments: u64,
    usd: Usd,
    at_ms: u64,
}

/// A page of records that may be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunablePage {
    /// Those that may.
    pub records: Vec<Prunable>,
    /// How far was looked; nothing when there is nothing after it.
    pub next: Option<u64>,
}

/// How large a journal is, without its write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSize {
    /// The file. It never becomes smaller.
    pub bytes: u64,
    /// How much of it is free and used again.
    pub reusable_bytes: u64,
}

const SEGMENTS: &str = "SELECT first_seq, last_seq, digest, chain, frontier, pruned FROM segment";

impl Reader {
    /// Every segment that was archived, in order.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when one cannot be read, and whatever the disk does.
    pub fn segments(&self) -> Result<Vec<Segment>, JournalError> {
        segments(self.connection())
    }

    /// The segment that was archived last.
    ///
    /// # Errors
    /// As for [`Reader::segments`].
    pub fn last_segment(&self) -> Result<Option<Segment>, JournalError> {
        let sql = format!("{SEGMENTS} ORDER BY first_seq DESC LIMIT 1");
        let mut statement = self.connection().prepare_cached(&sql)?;
        statement.query_row([], |row| Ok(segment(row))).optional()?.transpose()
    }

    /// How large the journal is.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn size(&self) -> Result<JournalSize, JournalError> {
        let pragma = |name: &str| -> Result<u64, JournalError> {
            unsigned(self.connection().query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?)
        };
        let page = pragma("page_size")?;
        Ok(JournalSize {
            bytes: pragma("page_count")?.saturating_mul(page),
            reusable_bytes: pragma("freelist_count")?.saturating_mul(page),
        })
    }

    /// Up to which record everything is archived, and up to which what nothing needs any more is deleted; 0 for none.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn archived_and_pruned(&self) -> Result<(u64, u64), JournalError> {
        let sql = "SELECT coalesce(max(last_seq), 0), coalesce(max(CASE WHEN pruned THEN last_seq END), 0) FROM segment";
        let (archived, pruned) =
            self.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((unsigned(archived)?, unsigned(pruned)?))
    }

    /// The checkpoint over the first `size` records.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn checkpoint_at(&self, size: u64) -> Result<Option<String>, JournalError> {
        let sql = "SELECT note FROM checkpoint WHERE size = ?1";
        Ok(self.connection().query_row(sql, [integer(size)?], |row| row.get(0)).optional()?)
    }

    /// Where the next segment ends: at the first checkpoint that gives it `records` records, or at the last one before
    /// the time `before_ms`, if one is given. Nothing while there is no such checkpoint.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn seal_due(&self, records: u64, before_ms: Option<u64>) -> Result<Option<u64>, JournalError> {
        let (archived, _) = self.archived_and_pruned()?;
        let full = "SELECT min(size) FROM checkpoint WHERE size >= ?1";
        let full = self.checkpoint_size(full, archived.saturating_add(records.max(1)))?;
        match (full, before_ms) {
            (None, Some(before_ms)) => self.seal_through(self.last_before(before_ms)?),
            (full, _) => Ok(full),
        }
    }

    /// Where a segment ends that is to hold nothing after record `through`: at the last checkpoint up to there.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn seal_through(&self, through: u64) -> Result<Option<u64>, JournalError> {
        let (archived, _) = self.archived_and_pruned()?;
        let last = self.checkpoint_size("SELECT max(size) FROM checkpoint WHERE size <= ?1", through)?;
        Ok(last.filter(|last| *last > archived))
    }

    /// The last record before a wall clock time; 0 when everything that is not archived is later.
    ///
    /// # Errors
    /// Whatever the disk does.
    pub fn last_before(&self, unix_ms: u64) -> Result<u64, JournalError> {
        // What is not archived is complete, and the latest clock up to a record never goes back: half the rest each time.
        let (mut low, mut high) = (self.archived_and_pruned()?.0, self.last_seq()?);
        while low < high {
            let middle = low.saturating_add(high.saturating_sub(low).div_ceil(2));
            if self.time_up_to(middle)?.is_some_and(|ms| ms < unix_ms) {
                low = middle;
            } else {
                high = middle.saturating_sub(1);
            }
        }
        Ok(low)
    }

    fn time_up_to(&self, seq: u64) -> Result<Option<u64>, JournalError> {
        let sql = "SELECT high_water_ms FROM record WHERE seq = ?1";
        let mut statement = self.connection().prepare_cached(sql)?;
        statement.query_row([integer(seq)?], |row| row.get(0)).optional()?.map(unsigned).transpose()
    }

    fn checkpoint_size(&self, sql: &str, bound: u64) -> Result<Option<u64>, JournalError> {
        let size: Option<i64> = self.connection().query_row(sql, [integer(bound)?], |row| row.get(0))?;
        size.map(unsigned).transpose()
    }

    /// The oldest segment whose records may be deleted: every one is older than `before_ms`, every sink of `required` has
    /// it, and enough later records stay.
    ///
    /// # Errors
    /// As for [`Reader::segments`].
    pub fn prune_due(&self, before_ms: u64, required: &[String]) -> Result<Option<Segment>, JournalError> {
        let sql = format!("{SEGMENTS} WHERE pruned = 0 ORDER BY first_seq LIMIT 1");
        let oldest = self.connection().query_row(&sql, [], |row| Ok(segment(row))).optional()?;
        let Some(oldest) = oldest.transpose()? else { return Ok(None) };
        let acked = "SELECT acked FROM sink WHERE name = ?1";
        for name in required {
            let acked: Option<i64> =
                self.connection().query_row(acked, [name], |row| row.get(0)).optional()?;
            if acked.map(unsigned).transpose()?.is_none_or(|acked| acked < oldest.last) {
                return Ok(None);
            }
        }
        let old = self.time_up_to(oldest.last)?.is_none_or(|ms| ms < before_ms);
        let enough = oldest.last.saturating_add(RECORDS_KEPT_MIN) <= self.last_seq()?;
        Ok(Some(oldest).filter(|_| old && enough))
    }

    /// Whether the file of a segment is there, as it was written.
    ///
    /// # Errors
    /// [`SegmentError::File`] when it cannot be read; that it is not there is no error.
    pub fn has_file(&self, dir: &Path, segment: &Segment) -> Result<bool, SegmentError> {
        let path = dir.join(file_name(self.id(), segment.first, segment.last));
        match digest_of(&path) {
            Ok(digest) => Ok(digest == segment.digest),
            Err(SegmentError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Which of the next records after `after` and up to `through` may be deleted. What may once may always.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when a record cannot be read, and whatever the disk does.
    pub fn prunable(&self, after: u64, through: u64) -> Result<PrunablePage, JournalError> {
        let now = self.time_up_to(self.last_seq()?)?.unwrap_or_default();
        let now = UnixSeconds(now.div_euclid(1000));
        let state = self.connection().unchecked_transaction()?;
        let needed = needed(&state, after, through)?;
        let sql = "SELECT seq, body FROM record WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
        let mut statement = state.prepare_cached(sql)?;
        let limit = integer(PRUNED_PER_BATCH_MAX as u64)?;
        let mut rows = statement.query([integer(after.max(1))?, integer(through)?, limit])?;
        let (mut records, mut next) = (Vec::new(), None);
        while let Some(row) = rows.next()? {
            let seq = unsigned(row.get(0)?)?;
            next = Some(seq);
            if needed.contains(&seq) {
                continue;
            }
            let body = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            records.extend(fate(&state, &decode(body)?, now)?.map(|past| Prunable { seq, past }));
        }
        Ok(PrunablePage { records, next })
    }
}

/// What becomes of a record that no table names: nothing while it is needed, otherwise what is left to say about it.
fn fate(
    connection: &Connection,
    record: &DecodedRecord,
    now: UnixSeconds,
) -> Result<Option<Option<Past>>, JournalError> {
    let at_ms = record.time.unix_ms;
    match &record.content {
        Content::Genesis(_) => Ok(None),
        Content::Entry(entry @ Entry::Payment(_)) if entry.binding_permit().is_some() => {
            let sql = "SELECT state, held_until, workflow, wallet, endpoint, coalesce(settled_usd, usd)
                       FROM hold WHERE seq = ?1";
            let mut hold = connection.prepare_cached(sql)?;
            let past = hold.query_row([integer(record.seq)?], |row| {
                let (state, usd): (String, [u8; 16]) = (row.get(0)?, row.get(5)?);
                let lives = u64::try_from(row.get::<_, i64>(1)?).is_ok_and(|until| until >= now.0);
                let paid = state != "released";
                let past = Past {
                    workflow: row.get(2)?,
                    wallet: row.get(3)?,
                    endpoint: row.get(4)?,
                    payments: u64::from(paid),
                    usd: if paid { Usd::from_units(u128::from_be_bytes(usd)) } else { Usd::ZERO },
                    at_ms,
                };
                Ok((state != "held" && !lives).then_some(past))
            });
            Ok(past?.map(Some))
        }
        Content::Entry(Entry::SignIn(decision)) => Ok(match &decision.outcome {
            SignInOutcome::Permit(permit) if permit.counted_until >= now => None,
            SignInOutcome::Permit(permit) => Some(Some(Past {
                workflow: permit.intent.workflow.to_string(),
                wallet: address_text(permit.intent.wallet_address),
                endpoint: endpoint_key(&permit.intent.endpoint),
                payments: 0,
                usd: Usd::ZERO,
                at_ms,
            })),
            SignInOutcome::Deny { .. } => Some(None),
        }),
        Content::Entry(Entry::Report(report)) => {
            let sql = "SELECT 1 FROM hold WHERE seq = ?1 AND state = 'held'";
            let held = connection.prepare_cached(sql)?.exists([integer(report.original_seq)?])?;
            Ok((!held).then_some(None))
        }
        Content::Entry(
            Entry::Payment(_)
            | Entry::Reissue(_)
            | Entry::Lifecycle(_)
            | Entry::Evidence(_)
            | Entry::Transition(_)
            | Entry::Signatures(_)
            | Entry::Unauthenticated(_)
            | Entry::Repeated(_),
        ) => Ok(Some(None)),
    }
}

/// The records that tables name and somebody reads.
pub(crate) fn needed(
    connection: &Connection,
    after: u64,
    through: u64,
) -> Result<BTreeSet<u64>, JournalError> {
    let sql = "SELECT seq FROM life WHERE seq > ?1 AND seq <= ?2
               UNION SELECT seq FROM status WHERE seq > ?1 AND seq <= ?2
               UNION SELECT pending_seq FROM payee WHERE pending_seq > ?1 AND pending_seq <= ?2
               UNION SELECT accepted_seq FROM payee WHERE accepted_seq > ?1 AND accepted_seq <= ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let seqs = statement.query_map([integer(after)?, integer(through)?], |row| row.get::<_, i64>(0))?;
    seqs.map(|seq| unsigned(seq?)).collect()
}

/// Deletes what nothing needs any more, all of it or nothing.
pub(crate) fn delete(connection: &Connection, records: &[Prunable]) -> Result<(), JournalError> {
    run(connection, "BEGIN IMMEDIATE")?;
    for Prunable { seq, past } in records {
        let at = [integer(*seq)?];
        let sql = "DELETE FROM record WHERE seq = ?1
                   AND EXISTS (SELECT 1 FROM segment WHERE pruned AND ?1 BETWEEN first_seq AND last_seq)";
        if connection.prepare_cached(sql)?.execute(at)? == 0 {
            continue;
        }
        let Some(past) = past else { continue };
        connection.prepare_cached("DELETE FROM hold WHERE seq = ?1 AND state != 'held'")?.execute(at)?;
        connection.prepare_cached("DELETE FROM void WHERE seq = ?1")?.execute(at)?;
        remember(connection, *seq, past)?;
    }
    run(connection, "COMMIT")
}

fn remember(connection: &Connection, seq: u64, past: &Past) -> Result<(), JournalError> {
    let Past { workflow, wallet, endpoint, payments, usd, at_ms } = past;
    let find = "SELECT usd FROM past WHERE workflow = ?1 AND wallet = ?2 AND endpoint = ?3";
    let key = [workflow, wallet, endpoint];
    let before: Option<[u8; 16]> =
        connection.prepare_cached(find)?.query_row(key, |row| row.get(0)).optional()?;
    // As the report of them says: a sum that does not fit stays at its maximum.
    let before = before.map_or(Usd::ZERO, |units| Usd::from_units(u128::from_be_bytes(units)));
    let usd = before.checked_add(*usd).unwrap_or(Usd::MAX);
    let sql = "INSERT INTO past (workflow, wallet, endpoint, payments, usd, last_seq, last_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (workflow, wallet, endpoint) DO UPDATE SET payments = payments + excluded.payments,
               usd = excluded.usd, last_ms = CASE WHEN excluded.last_seq > last_seq THEN excluded.last_ms ELSE last_ms END,
               last_seq = max(last_seq, excluded.last_seq)";
    let row = params![
        workflow,
        wallet,
        endpoint,
        integer(*payments)?,
        usd_bytes(usd),
        integer(seq)?,
        integer(*at_ms)?
    ];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Writes down that records are archived.
pub(crate) fn insert_segment(connection: &Connection, segment: &Segment) -> Result<(), JournalError> {
    let Segment { first, last, digest, chain, frontier, pruned } = segment;
    let sql = "INSERT INTO segment (first_seq, last_seq, digest, chain, frontier, pruned)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (first_seq) DO NOTHING";
    let row = params![integer(*first)?, integer(*last)?, digest.0, chain.0, frontier.to_bytes(), pruned];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Writes down that the records of a segment leave, but for those that are needed.
pub(crate) fn mark_pruned(connection: &Connection, first: u64) -> Result<(), JournalError> {
    let sql = "UPDATE segment SET pruned = 1 WHERE first_seq = ?1";
    connection.prepare_cached(sql)?.execute([integer(first)?])?;
    Ok(())
}

/// Every segment, in order.
pub(crate) fn segments(connection: &Connection) -> Result<Vec<Segment>, JournalError> {
    let mut statement = connection.prepare_cached(&format!("{SEGMENTS} ORDER BY first_seq"))?;
    let mut rows = statement.query([])?;
    let mut segments = Vec::new();
    while let Some(row) = rows.next()? {
        segments.push(segment(row)?);
    }
    Ok(segments)
}

/// Whether a record that is not there left for the archive.
pub(crate) fn has_left(connection: &Connection, seq: u64) -> Result<bool, JournalError> {
    let sql = "SELECT 1 FROM segment WHERE pruned AND first_seq <= ?1 AND last_seq >= ?1";
    Ok(connection.prepare_cached(sql)?.exists([integer(seq)?])?)
}

fn segment(row: &Row<'_>) -> Result<Segment, JournalError> {
    let [first, last] = [unsigned(row.get(0)?)?, unsigned(row.get(1)?)?];
    let frontier: Vec<u8> = row.get(4)?;
    let damaged = || JournalError::damaged(format!("the segment of record {first} is no tree"));
    Ok(Segment {
        first,
        last,
        digest: Digest(row.get(2)?),
        chain: Digest(row.get(3)?),
        frontier: Frontier::from_bytes(last, &frontier).ok_or_else(damaged)?,
        pruned: row.get(5)?,
    })
}

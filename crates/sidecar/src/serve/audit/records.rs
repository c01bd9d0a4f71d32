//! The records, read outside the gate.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pursekeeper_api::v1;
use pursekeeper_journal::{JournalError, Reader, Stretch};
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use super::filter::Filter;
use crate::record;
use crate::serve::convert::fault;

/// Connections to the journal, and so pages that are read at once. However many subscribers there are, they share them.
const READERS_MAX: usize = 4;
/// Records looked at for one page: one read is over in milliseconds, whatever does not fit.
pub(super) const LOOKED_AT_MAX: usize = 8_192;
/// Records of a page of a stream.
const PAGE_LEN_MAX: usize = 256;
/// Bytes of records of a page of a stream.
const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Newest records that are kept as they are sent, for everybody who follows.
const RECENT_LEN_MAX: usize = 1_024;
/// Bytes of them, about.
const RECENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Reads records outside the gate, over connections of its own. Nothing is held between two reads, so that a subscriber
/// who waits keeps nothing from being checkpointed.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Records(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    turns: Semaphore,
    idle: Mutex<Vec<Reader>>,
    /// Held while the newest records are read for everybody.
    filling: tokio::sync::Mutex<()>,
    recent: Mutex<Recent>,
}

/// The newest records without a gap, as they are sent.
#[derive(Debug, Default)]
struct Recent {
    decisions: VecDeque<Arc<v1::Decision>>,
    bytes: usize,
}

/// A page of a stream.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// What fits, in order.
    pub(super) decisions: Vec<Arc<v1::Decision>>,
    /// How far was looked.
    pub(super) seen_seq: u64,
    /// Records up to this one may have left for the archive.
    pub(super) pruned_through: u64,
}

impl Records {
    pub(in crate::serve) fn new(journal: &Path) -> Self {
        Self(Arc::new(Shared {
            path: journal.to_owned(),
            turns: Semaphore::new(READERS_MAX),
            idle: Mutex::default(),
            filling: tokio::sync::Mutex::default(),
            recent: Mutex::default(),
        }))
    }

    /// One record.
    pub(in crate::serve) async fn get(&self, seq: u64) -> Result<Option<v1::Decision>, Status> {
        let one = move |reader: &Reader| {
            reader.record(seq)?.map(|stored| record::to_wire(reader, &stored)).transpose()
        };
        self.read(one).await
    }

    /// Lends a connection for one short read.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Status> {
        let unreadable =
            |error: &dyn std::fmt::Display| fault(Code::Unavailable, "JOURNAL_UNREADABLE", error);
        let _turn = self.0.turns.acquire().await.map_err(|error| unreadable(&error))?;
        let shared = self.0.clone();
        let read = move || {
            let idle = lock(&shared.idle).pop();
            let reader = idle.map_or_else(|| Reader::open(&shared.path), Ok)?;
            let found = work(&reader)?;
            // One that failed is not lent again.
            lock(&shared.idle).push(reader);
            Ok(found)
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| unreadable(&error))?;
        read.map_err(|error: JournalError| unreadable(&error))
    }

    /// The next page of a stream: what fits of `first_seq` to `last_seq`, which is on disk.
    pub(super) async fn page(
        &self,
        filter: &Arc<Filter>,
        first_seq: u64,
        last_seq: u64,
    ) -> Result<Page, Status> {
        if let Some(page) = lock(&self.0.recent).page(filter, first_seq, last_seq) {
            return Ok(page);
        }
        if last_seq.saturating_sub(first_seq) < RECENT_LEN_MAX as u64 {
            self.fill(first_seq).await?;
            if let Some(page) = lock(&self.0.recent).page(filter, first_seq, last_seq) {
                return Ok(page);
            }
        }
        let filter = filter.clone();
        self.read(move |reader| from_disk(reader, &filter, first_seq, last_seq)).await
    }

    /// Reads the newest records once for everybody who waits for them.
    async fn fill(&self, first_seq: u64) -> Result<(), Status> {
        let _filling = self.0.filling.lock().await;
        let next_seq = lock(&self.0.recent).next_seq();
        if next_seq.is_some_and(|next| next > first_seq) {
            return Ok(());
        }
        let near = |next: &u64| first_seq.saturating_sub(*next) < RECENT_LEN_MAX as u64;
        let first_seq = next_seq.filter(near).unwrap_or(first_seq);
        let stretch = Stretch {
            first_seq,
            last_seq: u64::MAX,
            newest_first: false,
            looked_at_max: PAGE_LEN_MAX,
            found_max: PAGE_LEN_MAX,
            found_bytes_max: PAGE_BYTES_MAX,
        };
        let read = move |reader: &Reader| {
            let scanned = reader.scan(stretch, |_| true)?;
            scanned
                .records
                .iter()
                .map(|stored| record::to_wire(reader, stored))
                .collect::<Result<Vec<_>, _>>()
        };
        let decisions = self.read(read).await?;
        let mut recent = lock(&self.0.recent);
        decisions.into_iter().for_each(|decision| recent.push(decision));
        drop(recent);
        Ok(())
    }
}

impl Recent {
    fn next_seq(&self) -> Option<u64> {
        self.decisions.back().map(|newest| newest.seq.saturating_add(1))
    }

    fn push(&mut self, decision: v1::Decision) {
        if self.next_seq().is_some_and(|next| next != decision.seq) {
            *self = Self::default();
        }
        self.bytes = self.bytes.saturating_add(bytes_of(&decision));
        self.decisions.push_back(Arc::new(decision));
        while self.decisions.len() > RECENT_LEN_MAX
            || (self.bytes > RECENT_BYTES_MAX && self.decisions.len() > 1)
        {
            let oldest = self.decisions.pop_front();
            self.bytes = self.bytes.saturating_sub(oldest.as_deref().map_or(0, bytes_of));
        }
    }

    /// What fits from `first_seq` on, if that record is here.
    fn page(&self, filter: &Filter, first_seq: u64, last_seq: u64) -> Option<Page> {
        let oldest = self.decisions.front()?.seq;
        let skipped = usize::try_from(first_seq.checked_sub(oldest)?).ok()?;
        // What is here was read without a gap, and the latest records never leave.
        let mut page = Page { decisions: Vec::new(), seen_seq: first_seq.checked_sub(1)?, pruned_through: 0 };
        let mut bytes = 0_usize;
        for decision in self.decisions.range(skipped.min(self.decisions.len())..) {
            let full = page.decisions.len() >= PAGE_LEN_MAX || bytes > PAGE_BYTES_MAX;
            if decision.seq > last_seq || full {
                break;
            }
            page.seen_seq = decision.seq;
            if filter.fits(decision) {
                bytes = bytes.saturating_add(decision.canonical.len());
                page.decisions.push(decision.clone());
            }
        }
        (page.seen_seq >= first_seq).then_some(page)
    }
}

fn from_disk(reader: &Reader, filter: &Filter, first_seq: u64, last_seq: u64) -> Result<Page, JournalError> {
    let stretch = Stretch {
        first_seq,
        last_seq,
        newest_first: false,
        looked_at_max: LOOKED_AT_MAX,
        found_max: PAGE_LEN_MAX,
        found_bytes_max: PAGE_BYTES_MAX,
    };
    let (decisions, next_seq) = look(reader, filter, stretch)?;
    let seen_seq = next_seq.map_or(last_seq, |next| next.saturating_sub(1));
    // Looked at afterwards: what left while the page was read counts.
    let (_, pruned_through) = reader.archived_and_pruned()?;
    Ok(Page { decisions: decisions.into_iter().map(Arc::new).collect(), seen_seq, pruned_through })
}

/// What fits in a stretch, and where to go on.
pub(super) fn look(
    reader: &Reader,
    filter: &Filter,
    stretch: Stretch,
) -> Result<(Vec<v1::Decision>, Option<u64>), JournalError> {
    let scanned = reader.scan(stretch, |canonical| filter.may_fit(canonical))?;
    let decisions = scanned.records.iter().map(|stored| record::to_wire(reader, stored));
    let mut decisions = decisions.collect::<Result<Vec<_>, _>>()?;
    decisions.retain(|decision| filter.fits(decision));
    Ok((decisions, scanned.next_seq))
}

/// About what a record takes in memory.
fn bytes_of(decision: &v1::Decision) -> usize {
    decision.canonical.len().saturating_mul(2).saturating_add(1_024)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held; if something did, what is there is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(seqs: impl IntoIterator<Item = u64>, len: usize) -> Recent {
        let mut recent = Recent::default();
        for seq in seqs {
            recent.push(v1::Decision { seq, canonical: vec![b' '; len], ..Default::default() });
        }
        recent
    }

    fn seqs(recent: &Recent, first_seq: u64, last_seq: u64) -> Option<(Vec<u64>, u64)> {
        let page = recent.page(&Filter::default(), first_seq, last_seq)?;
        Some((page.decisions.iter().map(|decision| decision.seq).collect(), page.seen_seq))
    }

    #[test]
    fn what_is_kept_has_no_gaps() {
        let kept = recent([3, 4, 5], 1);
        let table = [
            (2, 9, None),
            (3, 9, Some((vec![3, 4, 5], 5))),
            (4, 4, Some((vec![4], 4))),
            (5, 9, Some((vec![5], 5))),
            (6, 9, None),
            (7, 9, None),
        ];
        for (first, last, expected) in table {
            assert_eq!(seqs(&kept, first, last), expected, "{first} to {last}");
        }
        assert_eq!(seqs(&recent([3, 4, 8], 1), 4, 9), None, "a gap begins anew");
        assert_eq!(seqs(&recent([3, 4, 8], 1), 8, 9), Some((vec![8], 8)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let kept = recent(1..=2_000, 1);
        assert_eq!(kept.decisions.len(), RECENT_LEN_MAX);
        assert_eq!(kept.decisions.front().unwrap().seq, 2_001 - RECENT_LEN_MAX as u64);
        let kept = recent(1..=100, 1024 * 1024);
        assert!(kept.bytes <= RECENT_BYTES_MAX && kept.decisions.len() < 5, "{} bytes", kept.bytes);
        assert_eq!(recent(1..=2, RECENT_BYTES_MAX).decisions.len(), 1, "one is always kept");
    }

    #[test]
    fn a_page_is_bounded() {
        let (found, seen) = seqs(&recent(1..=1_000, 1), 1, 1_000).unwrap();
        assert_eq!((found.len(), seen), (PAGE_LEN_MAX, PAGE_LEN_MAX as u64));
        let (found, _) = seqs(&recent(1..=50, 64 * 1024), 1, 50).unwrap();
        assert!(found.len() <= 6, "{}", found.len());
    }
}

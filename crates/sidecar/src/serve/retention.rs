//! Archiving and deleting, while everything else goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pursekeeper_journal::{JournalError, Reader, Seal, Segment, SegmentError};
use tokio::sync::watch;
use tracing::info;

use super::Gatehouse;
use super::storage::{self, Storage, Warning};
use crate::config::ArchiveConfig;

const DAY_MS: u64 = 86_400_000;

/// What becomes of old records.
pub(super) struct Retention {
    pub(super) gatehouse: Arc<Gatehouse>,
    pub(super) journal: PathBuf,
    pub(super) config: ArchiveConfig,
    /// The sinks without whose acknowledgement nothing is deleted.
    pub(super) required: Vec<String>,
    /// Who signs the checkpoints.
    pub(super) verifier: Option<String>,
    pub(super) storage: Storage,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Retention {
    /// A round now and then, until the sidecar stops.
    pub(super) async fn run(self) {
        let mut stopped = self.stopped.clone();
        let interval = Duration::from_secs(self.config.interval_secs);
        let this = Arc::new(self);
        while !*stopped.borrow() {
            let round = this.clone();
            // It reads and writes files for as long as that takes.
            let _ = tokio::task::spawn_blocking(move || round.round()).await;
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                _ = stopped.changed() => return,
            }
        }
    }

    /// Archives and deletes what is due, and looks at the disk. What fails is said, and tried again in the next round.
    pub(super) fn round(&self) {
        let mut warnings = Vec::new();
        let reader = match Reader::open(&self.journal) {
            Ok(reader) => reader,
            Err(error) => {
                return self.storage.note(self.storage.report().0, vec![Warning::failed("journal", &error)]);
            }
        };
        if let Some(dir) = &self.config.dir {
            let archived = self.archive(dir, &reader);
            warnings.extend(archived.err().map(|error| Warning::failed("archive", &error)));
            warnings.extend(self.prune(dir, &reader).err().map(|error| Warning::failed("retention", &error)));
            warnings.extend(self.awaited(&reader));
        }
        let log = self.gatehouse.with_journal(|journal| journal.log_use());
        match storage::measure(&self.journal, &reader) {
            Ok(measured) => {
                warnings.extend(storage::warnings(&measured, log, &self.config.disk));
                self.storage.note(measured, warnings);
            }
            Err(error) => {
                warnings.push(Warning::failed("disk", &error));
                self.storage.note(self.storage.report().0, warnings);
            }
        }
    }

    /// Seals every segment that is full, and what would otherwise be kept for too long.
    fn archive(&self, dir: &Path, reader: &Reader) -> Result<(), SegmentError> {
        while let Some(last) = reader.seal_due(self.config.segment_records, self.expired_ms())? {
            let seal = Seal { dir: dir.to_owned(), last, verifier: self.verifier.clone() };
            let segment = match reader.archive(&seal, |_| !*self.stopped.borrow()) {
                Err(SegmentError::Interrupted) => return Ok(()),
                sealed => sealed?,
            };
            self.gatehouse.with_journal_mut(|journal| journal.note_segment(&segment))?;
            info!(first = segment.first, last, digest = %segment.digest, "archived");
        }
        Ok(())
    }

    /// Deletes what is archived, old enough, and needed by nobody.
    fn prune(&self, dir: &Path, reader: &Reader) -> Result<(), SegmentError> {
        let Some(expired_ms) = self.expired_ms() else { return Ok(()) };
        while let Some(segment) = reader.prune_due(expired_ms, &self.required)? {
            if !reader.has_file(dir, &segment)? {
                return Err(SegmentError::Lost {
                    dir: dir.to_owned(),
                    first: segment.first,
                    last: segment.last,
                });
            }
            // INVARIANT: the journal says that records leave before the first one does; one that is missing otherwise was
            // taken by somebody else.
            self.gatehouse.with_journal_mut(|journal| journal.note_pruned(&segment))?;
            let Some(deleted) = self.delete(reader, segment.first.saturating_sub(1), segment.last)? else {
                return Ok(());
            };
            let Segment { first, last, .. } = segment;
            info!(first, last, deleted, "archived records deleted from the journal");
        }
        // What was needed when its segment was deleted may be needed no more, and a stop may have come in between: that is
        // little, and looked at each time.
        let (_, pruned) = reader.archived_and_pruned()?;
        self.delete(reader, 0, pruned)?;
        Ok(())
    }

    /// Whom records wait for that could leave: whoever looks at a disk that fills wants to know.
    fn awaited(&self, reader: &Reader) -> Option<Warning> {
        let due = |required: &[String]| reader.prune_due(self.expired_ms()?, required).ok().flatten();
        let segment = due(&[])?;
        let behind = |name: &&String| due(std::slice::from_ref(*name)).is_none();
        let behind: Vec<&str> = self.required.iter().filter(behind).map(String::as_str).collect();
        let words = format!(
            "records {} to {} could leave the journal, but `audit.sinks` {} require(s) them and has not taken them: see \
             `pursekeeper audit sinks`",
            segment.first,
            segment.last,
            behind.join(", ")
        );
        (!behind.is_empty()).then(|| Warning::failed("retention-awaits-sink", &words))
    }

    /// Deletes a page at a time: payments are signed in between. How many; nothing when it was not finished.
    fn delete(&self, reader: &Reader, mut after: u64, through: u64) -> Result<Option<u64>, JournalError> {
        let mut deleted = 0u64;
        loop {
            let page = reader.prunable(after, through)?;
            let Some(next) = page.next else { return Ok(Some(deleted)) };
            if *self.stopped.borrow() || self.gatehouse.problem().is_some() {
                return Ok(None);
            }
            if !page.records.is_empty() {
                self.gatehouse.with_journal_mut(|journal| journal.prune(&page.records))?;
            }
            deleted = deleted.saturating_add(u64::try_from(page.records.len()).unwrap_or(u64::MAX));
            after = next;
        }
    }

    /// What is older than this is kept no longer.
    fn expired_ms(&self) -> Option<u64> {
        let kept = self.config.keep_days?.saturating_mul(DAY_MS);
        Some(self.gatehouse.now().unix_ms.saturating_sub(kept))
    }
}

//! How much disk the journal takes, how much is left, and what is worth saying about it in time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use pursekeeper_api::v1;
use pursekeeper_journal::{JournalError, JournalSize, LogUse, Reader};
use tracing::warn;

use crate::config::DiskConfig;

/// Percent of a budget at which somebody should know.
const WARN_PERCENT: [u64; 3] = [80, 90, 100];
/// The log is worth a word earlier: only a person can find who reads.
const WARN_LOG_PERCENT: [u64; 3] = [50, 80, 90];

/// What was measured last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Measured {
    /// The database file, with what is free inside it.
    pub(super) journal_bytes: u64,
    /// What is free inside the database file, and used again.
    pub(super) reusable_bytes: u64,
    /// The write-ahead log.
    pub(super) wal_bytes: u64,
    /// The journal's disk, for us.
    pub(super) free_bytes: u64,
    /// Every record up to this one is archived.
    pub(super) archived_through: u64,
    /// What nothing needs any more is deleted up to this record.
    pub(super) pruned_through: u64,
}

/// One thing worth saying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// About what, and how bad: it is logged once for each.
    key: (&'static str, u64),
    words: String,
}

/// What is known about the disk, shared with whoever is asked about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Storage(Arc<Mutex<(Measured, Vec<Warning>)>>);

impl Storage {
    /// What was measured last, and what is worth saying about it.
    pub(super) fn report(&self) -> (Measured, Vec<String>) {
        let (measured, warnings) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (measured.clone(), warnings.iter().map(|warning| warning.words.clone()).collect())
    }

    /// What the status says about it; nothing before the first look.
    pub(super) fn status(&self) -> (Option<v1::StorageStatus>, Vec<String>) {
        let (measured, warnings) = self.report();
        let known = measured != Measured::default();
        let Measured {
            journal_bytes,
            reusable_bytes,
            wal_bytes,
            free_bytes,
            archived_through,
            pruned_through,
        } = measured;
        let status = v1::StorageStatus {
            journal_bytes,
            reusable_bytes,
            wal_bytes,
            free_bytes,
            archived_through,
            pruned_through,
        };
        (known.then_some(status), warnings)
    }

    /// Takes note, and logs what was not said before.
    pub(super) fn note(&self, measured: Measured, warnings: Vec<Warning>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said: BTreeSet<_> = known.1.iter().map(|warning| warning.key).collect();
        for warning in warnings.iter().filter(|warning| !said.contains(&warning.key)) {
            warn!(about = warning.key.0, "{}", warning.words);
        }
        *known = (measured, warnings);
    }
}

impl Warning {
    /// Something that failed and is tried again.
    pub(super) fn failed(about: &'static str, error: &dyn std::fmt::Display) -> Self {
        Self { key: (about, 0), words: error.to_string() }
    }
}

/// Measures the journal at `path` and its disk.
///
/// # Errors
/// Whatever the disk does.
pub(super) fn measure(path: &Path, reader: &Reader) -> Result<Measured, JournalError> {
    let JournalSize { bytes, reusable_bytes } = reader.size()?;
    let (archived_through, pruned_through) = reader.archived_and_pruned()?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let wal_bytes = std::fs::metadata(PathBuf::from(log)).map_or(0, |metadata| metadata.len());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    let failed = |source: std::io::Error| JournalError::File { path: directory.to_owned(), source };
    let disk = rustix::fs::statvfs(directory).map_err(|error| failed(error.into()))?;
    let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok(Measured {
        journal_bytes: bytes,
        reusable_bytes,
        wal_bytes,
        free_bytes,
        archived_through,
        pruned_through,
    })
}

/// What is worth saying, by the budget.
pub(super) fn warnings(measured: &Measured, log: LogUse, budget: &DiskConfig) -> Vec<Warning> {
    let DiskConfig { journal_bytes_max, free_bytes_min, wal_bytes_max } = budget;
    let used = measured.journal_bytes.saturating_sub(measured.reusable_bytes);
    let journal = journal_bytes_max.and_then(|max| {
        let percent = reached(used, max, WARN_PERCENT)?;
        let words = format!(
            "the journal has {used} bytes in use, {percent} % and more of `audit.archive.disk.journal_bytes_max`: archive, and \
             keep records for fewer days, or raise it"
        );
        Some(Warning { key: ("journal", percent), words })
    });
    let free = measured.free_bytes;
    let low = free < *free_bytes_min;
    let free = (free < free_bytes_min.saturating_mul(2)).then(|| Warning {
        key: ("disk", u64::from(low)),
        words: format!(
            "{free} bytes are free on the journal's disk, `audit.archive.disk.free_bytes_min` is {free_bytes_min}: free some; \
             nothing is signed when it is full"
        ),
    });
    let kept =
        if log.unmoved_bytes > 0 { reached(log.bytes, *wal_bytes_max, WARN_LOG_PERCENT) } else { None };
    let log = kept.map(|percent| Warning {
        key: ("log", percent),
        words: format!(
            "the journal's write-ahead log has {} bytes, {percent} % and more of `audit.archive.disk.wal_bytes_max`, because \
             another program keeps reading the journal: find it with `fuser -v` and the journal's path, and end it; at the \
             bound nothing is signed",
            log.bytes
        ),
    });
    [journal, free, log].into_iter().flatten().collect()
}

/// The highest of some percentages that is reached.
fn reached(used: u64, max: u64, percents: [u64; 3]) -> Option<u64> {
    let used = u128::from(used).saturating_mul(100);
    percents.into_iter().rev().find(|percent| used >= u128::from(max).saturating_mul(u128::from(*percent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: DiskConfig =
        DiskConfig { journal_bytes_max: Some(1_000), free_bytes_min: 500, wal_bytes_max: 100 };

    #[test]
    fn warnings_come_well_before_anything_is_full() {
        let calm = Measured { journal_bytes: 799, free_bytes: 1_000, ..Measured::default() };
        let of = |change: fn(&mut Measured), (bytes, unmoved_bytes)| {
            let mut measured = calm.clone();
            change(&mut measured);
            let warnings = warnings(&measured, LogUse { bytes, unmoved_bytes }, &BUDGET);
            warnings.into_iter().map(|warning| warning.key).collect::<Vec<_>>()
        };
        type Row = (fn(&mut Measured), (u64, u64), &'static [(&'static str, u64)]);
        let table: [Row; 11] = [
            (|_| {}, (0, 0), &[]),
            (|measured| measured.journal_bytes = 800, (0, 0), &[("journal", 80)]),
            (|measured| measured.journal_bytes = 900, (0, 0), &[("journal", 90)]),
            (|measured| measured.journal_bytes = 5_000, (0, 0), &[("journal", 100)]),
            (|measured| (measured.journal_bytes, measured.reusable_bytes) = (5_000, 4_500), (0, 0), &[]),
            (|measured| measured.free_bytes = 999, (0, 0), &[("disk", 0)]),
            (|measured| measured.free_bytes = 499, (0, 0), &[("disk", 1)]),
            (|_| {}, (49, 1), &[]),
            (|_| {}, (50, 1), &[("log", 50)]),
            (|_| {}, (95, 1), &[("log", 90)]),
            (|_| {}, (500, 0), &[]),
        ];
        for (at, (change, log, expected)) in table.into_iter().enumerate() {
            assert_eq!(of(change, log), expected, "row {at}");
        }
        let boundless = DiskConfig { journal_bytes_max: None, ..BUDGET };
        let huge = Measured { journal_bytes: u64::MAX, ..calm };
        assert_eq!(warnings(&huge, LogUse::default(), &boundless), []);
    }
}

use std::path::{Path, PathBuf};

use pursekeeper_journal::{LOG_BYTES_MAX, LOG_BYTES_MAX_MIN};
use serde::Deserialize;

/// Sealed segments, how long records stay in the journal, and how much disk all of it may take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveConfig {
    /// The directory of the segments, made if it is missing. Without one nothing is archived, and so nothing deleted.
    pub dir: Option<PathBuf>,
    /// Records of a segment, at least: it ends at the next signed checkpoint.
    pub segment_records: u64,
    /// For how many days records stay in the journal after they were archived; for ever, without a number.
    pub keep_days: Option<u64>,
    /// Seconds between two looks at what is to be archived and deleted, and at the disk.
    pub interval_secs: u64,
    /// Disk.
    pub disk: DiskConfig,
}

/// How much disk may be taken. But for `wal_bytes_max` these only warn: what is signed goes on until the disk is full.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskConfig {
    /// Most bytes the journal is to have in use. Warnings come at 80, 90 and 100 %.
    pub journal_bytes_max: Option<u64>,
    /// Bytes that are to be free on the journal's disk. Warnings come at twice as many, and below.
    pub free_bytes_min: u64,
    /// Most bytes of write-ahead log while somebody reads the journal and does not end. Warnings come at 50, 80 and 90 %;
    /// then nothing but stops is recorded until that reader is gone.
    pub wal_bytes_max: u64,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self {
            dir: None,
            segment_records: 65_536,
            keep_days: None,
            interval_secs: 60,
            disk: DiskConfig::default(),
        }
    }
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self { journal_bytes_max: None, free_bytes_min: 256 << 20, wal_bytes_max: LOG_BYTES_MAX }
    }
}

impl ArchiveConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let Self { dir, segment_records, keep_days, interval_secs, disk } = self;
        let DiskConfig { journal_bytes_max, free_bytes_min: _, wal_bytes_max } = disk;
        let mut problems = Vec::new();
        if *segment_records == 0 || *interval_secs == 0 {
            problems.push("`audit.archive`: `segment_records` and `interval_secs` are at least 1".to_owned());
        }
        match keep_days {
            Some(0) => problems.push("`audit.archive.keep_days` is at least 1".to_owned()),
            Some(_) if dir.is_none() => problems.push(
                "`audit.archive.keep_days` needs `audit.archive.dir`: nothing is deleted that is not archived"
                    .to_owned(),
            ),
            Some(_) | None => {}
        }
        if *journal_bytes_max == Some(0) {
            problems.push("`audit.archive.disk.journal_bytes_max` is at least 1".to_owned());
        }
        if *wal_bytes_max < LOG_BYTES_MAX_MIN {
            problems.push(format!(
                "`audit.archive.disk.wal_bytes_max` is at least {LOG_BYTES_MAX_MIN}: the log is that long in ordinary times"
            ));
        }
        problems
    }

    pub(super) fn rebase(&mut self, base: &Path) {
        if let Some(dir) = &mut self.dir {
            *dir = base.join(&*dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_said() {
        let table = [
            ("dir: a\nkeep_days: 90", ""),
            ("{}", ""),
            ("keep_days: 90", "needs `audit.archive.dir`"),
            ("dir: a\nkeep_days: 0", "keep_days"),
            ("segment_records: 0", "segment_records"),
            ("interval_secs: 0", "interval_secs"),
            ("disk: {journal_bytes_max: 0}", "journal_bytes_max"),
            ("disk: {wal_bytes_max: 1000}", "wal_bytes_max"),
        ];
        for (text, expected) in table {
            let config: ArchiveConfig = serde_yaml::from_str(text).unwrap();
            let problems = config.problems().join("\n");
            assert!(
                problems.contains(expected) && problems.is_empty() == expected.is_empty(),
                "{text}: {problems}"
            );
        }
    }

    #[test]
    fn the_directory_is_beside_the_file() {
        let mut config = ArchiveConfig { dir: Some("archive".into()), ..ArchiveConfig::default() };
        config.rebase(Path::new("/etc/purse"));
        assert_eq!(config.dir.as_deref(), Some(Path::new("/etc/purse/archive")));
    }
}

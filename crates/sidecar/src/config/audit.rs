//! `audit:` what becomes of the records: where checkpoints go, what is archived, who else gets them.

mod archive;
mod checkpoint;
mod sink;

pub use archive::{ArchiveConfig, DiskConfig};
pub use checkpoint::CheckpointConfig;
pub(crate) use sink::field_problem;
pub use sink::{FileConfig, MaskConfig, SinkConfig, SinkFormat};

use std::path::Path;

use serde::Deserialize;

/// The audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Signed checkpoints.
    pub checkpoint: CheckpointConfig,
    /// Sealed segments, and how long records stay in the journal.
    pub archive: ArchiveConfig,
    /// Who else gets every record.
    pub sinks: Vec<SinkConfig>,
}

impl AuditConfig {
    /// The sinks that must have a record before it is deleted.
    #[must_use]
    pub fn required_sinks(&self) -> Vec<String> {
        SinkConfig::required(&self.sinks)
    }

    /// What cannot work, one sentence each.
    pub(super) fn problems(&self) -> Vec<String> {
        let Self { checkpoint, archive, sinks } = self;
        let mut problems = checkpoint.problems();
        problems.extend(archive.problems());
        problems.extend(SinkConfig::problems(sinks));
        problems
    }

    /// Makes relative paths relative to `base`.
    pub(super) fn rebase(&mut self, base: &Path) {
        let Self { checkpoint, archive, sinks } = self;
        checkpoint.rebase(base);
        archive.rebase(base);
        sinks.iter_mut().for_each(|sink| sink.rebase(base));
    }
}

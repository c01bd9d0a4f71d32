use std::path::Path;

use serde::Deserialize;

/// See the parent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveConfig {}

impl ArchiveConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    pub(super) fn rebase(&mut self, _base: &Path) {}
}

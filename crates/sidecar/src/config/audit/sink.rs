use std::path::Path;

use serde::Deserialize;

/// See the parent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkConfig {}

impl SinkConfig {
    pub(super) fn problems(_sinks: &[Self]) -> Vec<String> {
        Vec::new()
    }

    /// The names of those that are required.
    pub(super) fn required(_sinks: &[Self]) -> Vec<String> {
        Vec::new()
    }

    pub(super) fn rebase(&mut self, _base: &Path) {}
}

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Signed checkpoints: how often they are made, and where a copy goes besides the journal. A copy that whoever may write
/// the journal cannot change is what shows that its end was cut off, or an older one put back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Seconds between two checkpoints, as long as there are new records. One is made at the end, too.
    pub every_secs: u64,
    /// A file that always holds the newest. At start, the journal must contain what it says.
    pub file: Option<PathBuf>,
    /// Whether each is also a line of JSON on standard output: `{"checkpoint":"…"}`.
    pub stdout: bool,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_secs: 60, file: None, stdout: false }
    }
}

impl CheckpointConfig {
    pub(super) fn problems(&self) -> Vec<String> {
        let Self { every_secs, file, stdout: _ } = self;
        let mut problems = Vec::new();
        if *every_secs == 0 {
            problems.push("`audit.checkpoint.every_secs` is 0: write at least 1".to_owned());
        }
        if file.as_ref().is_some_and(|file| file.file_name().is_none()) {
            problems.push("`audit.checkpoint.file` names no file: write the path of one".to_owned());
        }
        problems
    }

    pub(super) fn rebase(&mut self, base: &Path) {
        if let Some(file) = &mut self.file {
            *file = base.join(&*file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> CheckpointConfig {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn a_file_is_relative_to_the_configuration() {
        let mut config = read("file: copies/checkpoint");
        config.rebase(Path::new("/purse"));
        assert_eq!(config.file.as_deref(), Some(Path::new("/purse/copies/checkpoint")));
        assert_eq!((config.every_secs, config.stdout), (60, false));
    }

    #[test]
    fn what_cannot_work_is_said() {
        let table =
            [("every_secs: 0", "every_secs"), ("file: \"\"", "names no file"), ("file: ..", "names no file")];
        for (text, what) in table {
            assert!(read(text).problems().join("\n").contains(what), "{text}");
        }
        assert!(read("every_secs: 1\nfile: a\nstdout: true").problems().is_empty());
    }
}

//! `pursekeeper.yaml`, followed: the log level is put in force, everything else waits for a restart.

use std::path::{Path, PathBuf};

use pursekeeper_core::ReloadKind;
use tokio::task::block_in_place;
use tracing::warn;

use super::{Followed, Look, Reloads, restart_sentence};
use crate::config::Config;

/// Puts a log level in force, or says why it cannot be.
pub type SetLevel = Box<dyn Fn(&str) -> Result<(), String> + Send>;

/// The configuration file.
pub(in super::super) struct FollowedConfig {
    file: PathBuf,
    in_force: Config,
    set_level: SetLevel,
    reloads: Reloads,
    /// What was judged last.
    seen: Option<String>,
    /// What was read last and may not be whole.
    settling: Option<String>,
}

impl FollowedConfig {
    pub(in super::super) fn new(
        file: PathBuf,
        in_force: Config,
        set_level: SetLevel,
        reloads: Reloads,
    ) -> Self {
        Self { file, in_force, set_level, reloads, seen: None, settling: None }
    }

    /// Puts in force what can be, and names the rest.
    fn take_up(&mut self, content: String) -> Look {
        let found = match Config::load(&self.file) {
            Ok(found) => found,
            Err(error) => return Look::Refused { content, reason: error.to_string() },
        };
        let waiting = self.in_force.changed_fields(&found);
        if !waiting.is_empty() {
            warn!("{}", restart_sentence(&waiting));
        }
        self.reloads.note_restart(waiting);
        if found.log.level == self.in_force.log.level {
            return Look::Unchanged;
        }
        match (self.set_level)(&found.log.level) {
            Ok(()) => {
                self.in_force.log.level = found.log.level;
                Look::Applied(format!("`log.level` is `{}`", self.in_force.log.level))
            }
            Err(reason) => Look::Refused { content, reason },
        }
    }
}

#[tonic::async_trait]
impl Followed for FollowedConfig {
    fn kind(&self) -> ReloadKind {
        ReloadKind::Log
    }

    fn dirs(&self) -> Vec<PathBuf> {
        let parent = self.file.parent().filter(|parent| !parent.as_os_str().is_empty());
        vec![parent.unwrap_or(Path::new(".")).to_owned()]
    }

    async fn look(&mut self) -> Look {
        block_in_place(|| {
            let content = match std::fs::read_to_string(&self.file) {
                Ok(text) => text,
                Err(error) => format!("cannot be read: {error}"),
            };
            if self.seen.as_ref() == Some(&content) {
                return Look::Nothing;
            }
            // A file that is written in place is whole when it stays as it is.
            if self.settling.as_ref() != Some(&content) {
                self.settling = Some(content);
                return Look::Unsettled;
            }
            self.settling = None;
            self.seen = Some(content.clone());
            self.take_up(content)
        })
    }
}

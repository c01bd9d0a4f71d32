//! Takes up what changes on disk while the sidecar runs: whole or not at all, and what is refused leaves in force what was.
//!
//! [`Follower::follow`] is all that whoever has something to follow needs: a [`Followed`] that knows where a change shows
//! and what to do about it. When it is looked at, what is recorded, counted and logged, is the same for all.

mod bundle;
mod draft;
mod files;
mod log;
mod shadow;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pursekeeper_core::gate::{Ask, ReloadAsk};
use pursekeeper_core::{ReloadKind, ReloadResult};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::Gatehouse;
use crate::config::ReloadConfig;

pub(super) use bundle::FollowedBundle;
pub(super) use files::FollowedFiles;
pub(super) use log::FollowedConfig;
pub use log::SetLevel;
pub(super) use shadow::{FollowedShadow, cast};
use watch::Watch;

/// How long a notification is gathered with those that come right after it.
const GATHER: Duration = Duration::from_millis(20);
/// How long what is written in place must stay the same to be taken for whole.
const SETTLE: Duration = Duration::from_millis(250);
/// Longest reason that is recorded, in bytes: a bundle can be wrong in thousands of places.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Something that is followed on disk.
#[tonic::async_trait]
pub(super) trait Followed: Send + 'static {
    /// What it is.
    fn kind(&self) -> ReloadKind;

    /// The directories in which a change of it shows.
    fn dirs(&self) -> Vec<PathBuf>;

    /// Looks whether it changed, and puts it in force if it did and is good. It is asked again and again.
    async fn look(&mut self) -> Look;
}

/// What a look came to.
#[derive(Debug)]
pub(super) enum Look {
    /// Nothing changed.
    Nothing,
    /// Somebody may still be writing: it is looked at again soon.
    Unsettled,
    /// It was read, and says what is in force already.
    Unchanged,
    /// It is in force now; what, in words.
    Applied(String),
    /// It is not, and what was in force before still is.
    Refused {
        /// What tells this content from another: equal ones are refused once.
        content: String,
        /// Why, and what to do about it.
        reason: String,
    },
}

/// What was refused and what waits for a restart, for whoever asks how the sidecar is.
#[derive(Clone, Debug, Default)]
pub(super) struct Reloads(Arc<Mutex<Standing>>);

#[derive(Debug, Default)]
struct Standing {
    refused: BTreeMap<ReloadKind, String>,
    restart: Vec<&'static str>,
}

/// Looks at what is followed, whenever it may have changed.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) gatehouse: Arc<Gatehouse>,
    pub(super) reloads: Reloads,
    pub(super) config: ReloadConfig,
    pub(super) stopped: tokio::sync::watch::Receiver<bool>,
}

impl Reloads {
    /// Takes note of what is refused of a kind; nothing when what is on disk is in force.
    pub(super) fn note(&self, kind: ReloadKind, refused: Option<String>) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match refused {
            Some(reason) => standing.refused.insert(kind, reason),
            None => standing.refused.remove(&kind),
        };
    }

    /// Takes note of the fields of the configuration that are in force only after a restart.
    fn note_restart(&self, fields: Vec<&'static str>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).restart = fields;
    }

    /// What is worth saying, one sentence each. None of it keeps payments from being signed.
    pub(super) fn warnings(&self) -> Vec<String> {
        let standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = standing.refused.iter().map(|(kind, reason)| {
            format!("the {} on disk is refused, the one before stays in force: {reason}", kind.as_str())
        });
        let restart = (!standing.restart.is_empty()).then(|| restart_sentence(&standing.restart));
        refused.chain(restart).collect()
    }
}

fn restart_sentence(fields: &[&'static str]) -> String {
    format!("pursekeeper.yaml changed in `{}`: restart the sidecar to put that in force", fields.join("`, `"))
}

impl Follower {
    /// Follows until the sidecar stops.
    pub(super) fn follow(&self, followed: impl Followed) {
        tokio::spawn(self.clone().run(followed));
    }

    async fn run(mut self, mut followed: impl Followed) {
        let changed = Arc::new(Notify::new());
        let kind = followed.kind();
        let mut watch = Watch::new(changed.clone());
        let (mut said, mut unrecorded) = (None, None);
        let poll = Duration::from_secs(self.config.poll_secs);
        self.gatehouse.metrics().loaded(kind, self.gatehouse.now().unix_seconds());
        // What changed between the start and the first notification.
        let mut wait = Duration::ZERO;
        // The first look finds what the start has read.
        let mut begun = false;
        loop {
            tokio::select! {
                () = changed.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(wait) => {}
                _ = self.stopped.changed() => return,
            }
            // Directories may have been replaced since.
            watch.watch(followed.dirs());
            if let Some(ask) = unrecorded.take() {
                unrecorded = self.record(ask).await;
            }
            let look = followed.look().await;
            wait = if matches!(look, Look::Unsettled) { SETTLE.min(poll) } else { poll };
            let first = !begun && matches!(look, Look::Unchanged);
            begun = begun || !matches!(look, Look::Unsettled);
            if first {
                continue;
            }
            if let Some(ask) = self.tell(kind, look, &mut said) {
                unrecorded = self.record(ask).await;
            }
        }
    }

    /// Counts and logs what a look came to, and says what is to be recorded of it.
    fn tell(&self, kind: ReloadKind, look: Look, said: &mut Option<(String, String)>) -> Option<ReloadAsk> {
        let (what, metrics) = (kind.as_str(), self.gatehouse.metrics());
        let (result, message) = match look {
            Look::Nothing | Look::Unsettled => return None,
            Look::Unchanged => {
                metrics.reloaded(kind, "unchanged");
                metrics.loaded(kind, self.gatehouse.now().unix_seconds());
                self.reloads.note(kind, None);
                *said = None;
                return None;
            }
            Look::Applied(message) => {
                metrics.reloaded(kind, ReloadResult::Applied.as_str());
                metrics.loaded(kind, self.gatehouse.now().unix_seconds());
                self.reloads.note(kind, None);
                *said = None;
                info!(what, result = "applied", reason = %message, "read again");
                (ReloadResult::Applied, message)
            }
            Look::Refused { content, reason } => {
                let refusal = (content, reason.clone());
                if said.as_ref() == Some(&refusal) {
                    return None;
                }
                *said = Some(refusal);
                metrics.reloaded(kind, ReloadResult::Refused.as_str());
                self.reloads.note(kind, Some(reason.clone()));
                warn!(what, result = "refused", %reason, "read again, what was in force stays");
                (ReloadResult::Refused, reason)
            }
        };
        Some(ReloadAsk { kind, result, message: short(message) })
    }

    /// Records what was done; what cannot be recorded now is handed back, to be recorded later.
    async fn record(&self, ask: ReloadAsk) -> Option<ReloadAsk> {
        let recorded = self.gatehouse.pass(Ask::Reload(ask.clone())).await;
        recorded.is_err().then_some(ask)
    }
}

/// No longer than what is recorded.
fn short(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_stands_until_it_is_mended() {
        let reloads = Reloads::default();
        assert_eq!(reloads.warnings(), [""; 0]);
        reloads.note(ReloadKind::Bundle, Some("registry.yaml:3:1: no".to_owned()));
        reloads.note_restart(vec!["limits", "chains"]);
        let warnings = reloads.warnings();
        assert!(warnings[0].contains("bundle") && warnings[0].contains("registry.yaml:3:1"), "{warnings:?}");
        assert!(warnings[1].contains("`limits`, `chains`"), "{warnings:?}");
        reloads.note(ReloadKind::Bundle, None);
        reloads.note_restart(Vec::new());
        assert_eq!(reloads.warnings(), [""; 0]);
    }

    #[test]
    fn a_long_reason_is_cut_where_a_character_ends() {
        let text = "é".repeat(MESSAGE_BYTES_MAX);
        let cut = short(text);
        assert!(cut.len() <= MESSAGE_BYTES_MAX + '…'.len_utf8() && cut.ends_with("é…"));
        assert_eq!(short("x".to_owned()), "x");
    }
}

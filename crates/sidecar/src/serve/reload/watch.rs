//! Being told of changes, besides looking every now and then.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tracing::warn;

/// Directories in which changes are told. What cannot be watched is still looked at, only later.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    untold: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        let tell = move |event: notify::Result<Event>| {
            // Reading is no change; we do it ourselves. After an error something may have been missed.
            if event.map_or(true, |event| !event.kind.is_access()) {
                changed.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(tell);
        if let Err(error) = &watcher {
            warn!(%error, "changes on disk are not told, only looked for every `reload.poll_secs`");
        }
        Self { watcher: watcher.ok(), untold: BTreeSet::new() }
    }

    /// Watches these directories, also when they were replaced meanwhile.
    pub(super) fn watch(&mut self, dirs: Vec<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for dir in dirs {
            match watcher.watch(&dir, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.untold.remove(&dir);
                }
                Err(error) => {
                    if self.untold.insert(dir.clone()) {
                        warn!(dir = %dir.display(), %error, "changes in it are not told, only looked for");
                    }
                }
            }
        }
    }
}

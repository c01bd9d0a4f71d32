//! Signed checkpoints: made at an interval and at the end, kept in the journal, copied to where the journal's writer has no
//! say, and held against the journal at start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pursekeeper_core::JournalId;
use pursekeeper_custody::AuditKey;
use pursekeeper_journal::{AuditVerifier, CheckpointFault, JournalError, NoteFault, Reader, checkpoint_in};
use serde_json::json;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::Gatehouse;
use crate::config::{CheckpointConfig, Config};

/// Longest checkpoint that is read, in bytes. Ours have 250; others may have signed the same one.
pub(crate) const NOTE_LEN_MAX: u64 = 64 * 1024;
/// Records may arrive while the last checkpoint is made. After so many tries, whoever still writes has the last word.
const LAST_TRIES_MAX: usize = 8;

/// Why the journal cannot be the one that checkpoints were made of.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It is not what a checkpoint says.
    #[error(
        "{name} {fault}; put the right journal back, or, if it is lost, move what is left of it away and run \
         `pursekeeper journal adopt`"
    )]
    Contradicted {
        /// Which checkpoint.
        name: String,
        /// How they differ.
        fault: CheckpointFault,
    },
    /// A checkpoint cannot be read, so that nobody knows what it says.
    #[error("cannot read the checkpoint in `{}`: {source}; restore it, or move it away if you know why", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes checkpoints.
#[derive(Clone)]
pub(super) struct Checkpoints {
    gatehouse: Arc<Gatehouse>,
    key: Arc<AuditKey>,
    config: CheckpointConfig,
    /// The size of the last one; held while one is made, so that they follow each other.
    last: Arc<Mutex<u64>>,
    /// How many records the last one is over, for those who only look.
    size: Arc<AtomicU64>,
}

/// Whether the journal is what checkpoints say: the newest of its own, and the one in the configured file. It must be at
/// least as long, and begin with the same records.
pub(crate) fn uphold(config: &Config, verifier: &AuditVerifier) -> Result<(), super::ServeError> {
    let reader = Reader::open(&config.journal)?;
    let (mut found, mut newest_size) = (Vec::new(), 0);
    if let Some((size, note)) = reader.newest_checkpoint()? {
        // An audit key that was lost has a successor, and whoever may write this row may as well delete it: only what it
        // says counts here. `audit verify` asks for the signature.
        match verifier.open(&note) {
            Err(NoteFault::Unsigned) => {
                warn!(size, "the journal's newest checkpoint was not signed by this audit key")
            }
            Ok(_) | Err(_) => newest_size = size,
        }
        found.push((format!("the journal's checkpoint of {size} records"), checkpoint_in(&note)));
    }
    if let Some(path) = &config.audit.checkpoint.file
        && let Some(note) = read_file(path)?
    {
        found.push((format!("the checkpoint in `{}`", path.display()), verifier.open(&note)));
    }
    for (name, checkpoint) in found {
        let upheld = match checkpoint {
            Ok(checkpoint) => match reader.extends(&checkpoint) {
                // What it is over has left for the archive since. The newest one was upheld before it, and is later.
                Err(JournalError::Archived { seq }) if checkpoint.size < newest_size => {
                    warn!(
                        size = checkpoint.size,
                        seq, "{name} is older than what left for the archive: nobody replaced it"
                    );
                    Ok(())
                }
                upheld => upheld?,
            },
            Err(fault) => Err(CheckpointFault::Note(fault)),
        };
        upheld.map_err(|fault| CheckpointError::Contradicted { name, fault })?;
    }
    Ok(())
}

/// The text of a checkpoint's file; none when there is no file yet.
fn read_file(path: &Path) -> Result<Option<String>, CheckpointError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(NOTE_LEN_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CheckpointError::Unreadable { path: path.to_owned(), source }),
    }
}

impl Checkpoints {
    pub(super) fn new(gatehouse: Arc<Gatehouse>, key: AuditKey, config: CheckpointConfig) -> Self {
        Self { gatehouse, key: Arc::new(key), config, last: Arc::default(), size: Arc::default() }
    }

    /// Who signs them.
    pub(super) fn verifier_key(&self, journal: JournalId) -> String {
        self.key.verifier_key(journal)
    }

    /// Makes one at every interval in which there are new records, until the sidecar stops.
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut interval = tokio::time::interval(Duration::from_secs(self.config.every_secs));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            let own = self.clone();
            let _ = tokio::task::spawn_blocking(move || own.make()).await;
        }
    }

    /// Makes one over the very last record.
    pub(super) async fn run_last(self) {
        let made = tokio::task::spawn_blocking(move || {
            for _ in 0..LAST_TRIES_MAX {
                self.make();
                if self.size.load(Ordering::Relaxed)
                    == self.gatehouse.with_journal(|journal| journal.last_seq())
                {
                    break;
                }
            }
        });
        let _ = made.await;
    }

    /// Signs what is durable now and hands it to everybody who is to have it, unless nothing came since the last. Nobody's
    /// failure keeps another from getting it, and none keeps the gate from signing.
    fn make(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // The gate waits for this: some dozen hashes.
        let tree = self.gatehouse.with_journal(|journal| journal.tree());
        let checkpoint = match tree {
            Ok(checkpoint) if checkpoint.size == *last => return,
            Ok(checkpoint) => checkpoint,
            Err(problem) => return self.failed("sign", &problem),
        };
        let note = self.key.sign(&checkpoint);
        let size = checkpoint.size;
        let mut whole = true;
        let mut done = |where_to: &'static str, result: Result<(), &dyn std::error::Error>| {
            if let Err(problem) = result {
                whole = false;
                self.failed(where_to, problem);
            }
        };
        let kept = self.gatehouse.with_journal_mut(|journal| journal.keep_checkpoint(size, &note));
        done("journal", kept.as_ref().copied().map_err(|problem: &JournalError| problem as _));
        if let Some(path) = &self.config.file {
            let written = replace(path, note.as_bytes());
            done("file", written.as_ref().copied().map_err(|problem| problem as _));
        }
        if self.config.stdout {
            let written = writeln!(io::stdout().lock(), "{}", json!({ "checkpoint": note }));
            done("stdout", written.as_ref().copied().map_err(|problem| problem as _));
        }
        if whole {
            // What failed is tried again at the next interval, also when nothing new came.
            *last = size;
            self.size.store(size, Ordering::Relaxed);
            self.gatehouse.metrics().checkpoint(size, self.gatehouse.now().unix_seconds());
            info!(size, root = %checkpoint.root, "checkpoint");
        }
    }

    fn failed(&self, destination: &'static str, problem: &dyn std::error::Error) {
        self.gatehouse.metrics().checkpoint_failed(destination);
        error!(destination, %problem, "a checkpoint could not be handed out; signing goes on");
    }
}

/// Writes `path`, replacing what was there: after a crash it holds the old or the new bytes, never a part.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

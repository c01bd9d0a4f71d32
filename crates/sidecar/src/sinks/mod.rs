//! Who else gets every record: files, standard output, receivers of OTLP logs.
//!
//! Each sink has a worker that reads the journal over a connection of its own, behind the signing path, and a cursor in the
//! journal: a record is delivered until the sink has it, at least once and in order. `watch` follows how far behind they
//! are, and halts signing while a required one is too far behind.

mod error;
mod file;
#[cfg(test)]
mod fixtures;
mod mask;
mod ocsf;
mod otlp;
mod outgoing;
mod private;
mod state;
mod watch;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use error::SinkError;
use pursekeeper_core::JournalId;
use pursekeeper_journal::{JournalError, Reader, SqliteJournal, StoredRecord};
pub(crate) use state::SinkState;
use tokio::task::JoinSet;
use tracing::warn;

use crate::clock::Clock;
use crate::config::{MaskConfig, SinkConfig, SinkFormat};
use crate::serve::Gatehouse;
use mask::Mask;
use otlp::Otlp;
use outgoing::Outgoing;
use worker::{Desk, Out, Worker};

/// How long sinks may take to catch up when the sidecar stops.
const FLUSH: Duration = Duration::from_secs(5);

/// Why sinks cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("sink `{name}`: {source}")]
pub struct SinksError {
    /// Which.
    pub name: String,
    /// Why.
    pub source: SinkError,
}

/// The sinks of a sidecar, ready to be fed.
pub(crate) struct Sinks {
    ready: Vec<Ready>,
}

struct Ready {
    config: SinkConfig,
    state: Arc<SinkState>,
    desk: Arc<Mutex<Desk>>,
    receiver: Option<Otlp>,
    /// For how long the oldest record has waited that it has not acknowledged, and the last one.
    waiting: Option<(Duration, u64)>,
}

/// The sinks being fed.
pub(crate) struct Feeding {
    ending: tokio::sync::watch::Sender<bool>,
    workers: JoinSet<()>,
    watches: JoinSet<()>,
    gatehouse: Arc<Gatehouse>,
}

impl Sinks {
    /// Reads keys, and looks at what is there already. Sinks that the journal does not know begin at its first record.
    ///
    /// # Errors
    /// Which sink could never be used. One that only cannot be used now is tried again while the sidecar runs.
    pub(crate) fn open(
        configs: &[SinkConfig],
        path: &Path,
        journal: &mut SqliteJournal,
    ) -> Result<Self, SinksError> {
        let mut ready = Vec::new();
        for config in configs {
            let source = (journal.id(), path, journal.last_seq());
            let named = |source| SinksError { name: config.name.clone(), source };
            let (desk, receiver) = open(config, source).map_err(named)?;
            let acked = journal.cursor(&config.name).unwrap_or_default();
            // So that retention knows of it, even before it has acknowledged anything.
            journal.note_cursor(&config.name, acked);
            let state = Arc::new(SinkState::new(&config.name, acked));
            let waited = oldest_waits(path, acked).map_err(named)?;
            let waiting = waited.map(|waited| (waited, journal.last_seq()));
            let desk = Arc::new(Mutex::new(desk));
            ready.push(Ready { config: config.clone(), state, desk, receiver, waiting });
        }
        let failed = |error: JournalError| SinksError { name: "all".to_owned(), source: error.into() };
        match journal.save_cursors() {
            // There is no room; others tell of it.
            Ok(()) | Err(JournalError::Full(_) | JournalError::Busy(_)) => Ok(Self { ready }),
            Err(error) => Err(failed(error)),
        }
    }

    /// How each is doing.
    pub(crate) fn states(&self) -> Vec<Arc<SinkState>> {
        self.ready.iter().map(|ready| ready.state.clone()).collect()
    }

    /// Begins to feed them.
    pub(crate) fn feed(self, gatehouse: &Arc<Gatehouse>) -> Feeding {
        let (ending, ended) = tokio::sync::watch::channel(false);
        let (mut workers, mut watches) = (JoinSet::new(), JoinSet::new());
        for Ready { config, state, desk, receiver, waiting } in self.ready {
            let watched = watch::Watched::new(&config, state.clone(), waiting);
            watches.spawn(watch::run(watched, gatehouse.clone()));
            let [shortest, longest] = [config.retry_ms_min, config.retry_ms_max].map(Duration::from_millis);
            let worker = Worker {
                desk,
                receiver,
                state,
                gatehouse: gatehouse.clone(),
                batch_records_max: config.batch_records_max,
                retry: (shortest, longest),
                required: config.required,
            };
            workers.spawn(worker.run(ended.clone()));
        }
        Feeding { ending, workers, watches, gatehouse: gatehouse.clone() }
    }
}

impl Feeding {
    /// Lets the sinks have what they can get in a bounded time, and writes down how far they came.
    pub(crate) async fn finish(mut self) {
        self.ending.send_replace(true);
        let all = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(FLUSH, all).await.is_err() {
            warn!(
                secs = FLUSH.as_secs(),
                "sinks did not get everything in time: they get the rest after the next start"
            );
        }
        self.workers.shutdown().await;
        self.watches.shutdown().await;
        let gatehouse = self.gatehouse;
        let save = move || gatehouse.with_journal_mut(SqliteJournal::save_cursors);
        // What is not written down is delivered again.
        let _ = tokio::task::spawn_blocking(save).await;
    }
}

/// For how long the first record after `acked` has waited, if there is one.
pub(crate) fn oldest_waits(journal: &Path, acked: u64) -> Result<Option<Duration>, SinkError> {
    let stored = Reader::open(journal)?.records(acked.saturating_add(1), 1)?;
    let Some(stored) = stored.first() else { return Ok(None) };
    let outgoing = Outgoing::new(JournalId([0; 16]), stored, None)?;
    let waited_ms = Clock::new().now().unix_ms.saturating_sub(outgoing.unix_ms());
    Ok(Some(Duration::from_millis(waited_ms)))
}

/// Everything that a sink needs but a cursor.
fn open(
    config: &SinkConfig,
    (id, journal, last): (JournalId, &Path, u64),
) -> Result<(Desk, Option<Otlp>), SinkError> {
    let mask = config.mask.as_ref().map(|MaskConfig { key_file, fields }| Mask::open(key_file, fields));
    let receiver = config.endpoint.as_deref().map(|endpoint| Otlp::new(config, endpoint, id));
    let out = match &config.file {
        Some(file) => {
            let mut lines = file::Lines::new(file.clone(), (id, journal));
            match lines.prepare(last) {
                Ok(()) => {}
                Err(error @ SinkError::File { .. }) => {
                    warn!(sink = %config.name, %error, "the sink cannot be used yet")
                }
                Err(error) => return Err(error),
            }
            Out::File(lines)
        }
        None if config.stdout => Out::Stdout,
        None => Out::Receiver,
    };
    let desk = Desk {
        journal: journal.to_owned(),
        id,
        reader: None,
        mask: mask.transpose()?,
        format: config.format,
        out,
    };
    Ok((desk, receiver.transpose()?))
}

/// What would keep a sink from ever being used, but what concerns its file.
pub(crate) fn check(config: &SinkConfig, id: JournalId) -> Result<(), SinksError> {
    let mask =
        config.mask.as_ref().map(|MaskConfig { key_file, fields }| Mask::open(key_file, fields).map(drop));
    let receiver = config.endpoint.as_deref().map(|endpoint| Otlp::new(config, endpoint, id).map(drop));
    let checked = mask.transpose().and(receiver.transpose());
    checked.map(drop).map_err(|source| SinksError { name: config.name.clone(), source })
}

/// Turns records into lines outside of a sidecar.
pub(crate) struct Lines {
    id: JournalId,
    format: SinkFormat,
    mask: Option<Mask>,
}

impl Lines {
    /// For the journal `id`, with the key in a file and what it is to hide.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub(crate) fn new(
        id: JournalId,
        format: SinkFormat,
        mask: Option<(&PathBuf, &[String])>,
    ) -> Result<Self, SinkError> {
        let mask = mask.map(|(key_file, fields)| Mask::open(key_file, fields)).transpose()?;
        Ok(Self { id, format, mask })
    }

    /// One record, without the end of the line.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) fn line(&self, stored: &StoredRecord) -> Result<String, SinkError> {
        Ok(worker::line(self.format, &Outgoing::new(self.id, stored, self.mask.as_ref())?))
    }
}

//! One sink being fed: in order, each batch until it is acknowledged.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pursekeeper_core::JournalId;
use pursekeeper_journal::Reader;
use tokio::sync::watch;

use super::file::Lines;
use super::mask::Mask;
use super::otlp::Otlp;
use super::outgoing::Outgoing;
use super::state::SinkState;
use super::{SinkError, ocsf};
use crate::config::SinkFormat;
use crate::serve::Gatehouse;

/// Most bytes of records in a batch; a larger record comes alone. Receivers of gRPC take 4 MiB.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// How long a batch that is not full waits for more, so that a busy sidecar does not sync two files for each decision.
const GATHER: Duration = Duration::from_millis(25);

/// Reads records and writes lines, in calls that block.
pub(super) struct Desk {
    pub(super) journal: PathBuf,
    pub(super) id: JournalId,
    pub(super) reader: Option<Reader>,
    pub(super) mask: Option<Mask>,
    pub(super) format: SinkFormat,
    pub(super) out: Out,
}

/// Where the records go from the desk.
pub(super) enum Out {
    Stdout,
    File(Lines),
    /// They are handed to whoever asked.
    Receiver,
}

/// What was read, and written unless it is to be sent.
struct Batch {
    records: Vec<Outgoing>,
    acked: u64,
    /// Records before the first that are not in the journal any more.
    missed: u64,
}

/// Feeds one sink.
pub(super) struct Worker {
    pub(super) desk: Arc<Mutex<Desk>>,
    pub(super) receiver: Option<Otlp>,
    pub(super) state: Arc<SinkState>,
    pub(super) gatehouse: Arc<Gatehouse>,
    pub(super) batch_records_max: usize,
    pub(super) retry: (Duration, Duration),
    /// Whether records wait for a receiver that rejects them.
    pub(super) required: bool,
}

impl Worker {
    /// Feeds the sink until it is told to come to an end, and then until it has everything. It never gives up by itself.
    pub(super) async fn run(self, mut ending: watch::Receiver<bool>) {
        let mut durable = self.gatehouse.durable_seq();
        let (mut wait, mut limit) = (self.retry.0, self.batch_records_max);
        loop {
            let (last, acked) = (*durable.borrow_and_update(), self.state.acked());
            let ends = *ending.borrow_and_update();
            if acked >= last {
                if ends {
                    return;
                }
                tokio::select! {
                    changed = durable.changed() => if changed.is_err() { return },
                    _ = ending.changed() => {}
                }
                continue;
            }
            if !ends && last.saturating_sub(acked) < self.batch_records_max as u64 {
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    _ = ending.changed() => {}
                }
            }
            match self.step(acked, limit).await {
                Ok(()) => {
                    wait = self.retry.0;
                    limit = limit.saturating_mul(2).min(self.batch_records_max);
                }
                // It does not say which: one by one they come to the one it means, and the others do not come again and again.
                Err(SinkError::Rejected { .. }) if limit > 1 => limit = 1,
                Err(error) => {
                    self.state.note_failure(&error);
                    tokio::select! {
                        () = tokio::time::sleep(jittered(wait)) => {}
                        _ = ending.changed(), if !ends => {}
                    }
                    wait = wait.saturating_mul(2).min(self.retry.1);
                }
            }
        }
    }

    /// Delivers the next batch and takes note of it.
    async fn step(&self, acked: u64, limit: usize) -> Result<(), SinkError> {
        let desk = self.desk.clone();
        let deliver = move || desk.lock().unwrap_or_else(PoisonError::into_inner).deliver(acked, limit);
        let batch = tokio::task::spawn_blocking(deliver).await.map_err(|_| SinkError::Interrupted)?;
        let Batch { records, acked: now, missed } = batch?;
        let sent = match &self.receiver {
            Some(receiver) => receiver.send(&records).await,
            None => Ok(()),
        };
        // The protocol forbids to send again what was rejected. Whoever requires it waits until somebody has looked.
        let rejected = match (sent, records.as_slice()) {
            (Err(SinkError::Rejected { why, .. }), [only]) if !self.required => {
                self.state.note_rejected(only.seq, &why);
                true
            }
            (sent, _) => sent.map(|()| false)?,
        };
        let exported = if rejected { 0 } else { records.len() as u64 };
        let (gatehouse, state) = (self.gatehouse.clone(), self.state.clone());
        let note = move || {
            // It only fails when nothing can be written any more, which others tell of.
            let _ = gatehouse.with_journal_mut(|journal| {
                journal.note_cursor(&state.name, now);
                Ok(())
            });
            state.note_acked(now, exported, missed);
        };
        // The journal may be in use for the length of a sync.
        tokio::task::spawn_blocking(note).await.map_err(|_| SinkError::Interrupted)
    }
}

impl Desk {
    /// Reads the records after `acked`, and writes them if they go to a file or to standard output.
    fn deliver(&mut self, acked: u64, limit: usize) -> Result<Batch, SinkError> {
        let from = acked.saturating_add(1);
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open(&self.journal)?,
        };
        // The reader is kept only if it works.
        let stored = reader.records_within(from, limit, BATCH_BYTES_MAX)?;
        self.reader = Some(reader);
        let outgoing = stored.iter().map(|stored| Outgoing::new(self.id, stored, self.mask.as_ref()));
        let records: Vec<Outgoing> = outgoing.collect::<Result<_, _>>()?;
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Err(SinkError::Interrupted);
        };
        let (missed, acked) = (first.seq.saturating_sub(from), last.seq);
        match &mut self.out {
            Out::Receiver => {}
            Out::File(file) => file.append(&lines(self.format, &records))?,
            Out::Stdout => {
                let mut stdout = std::io::stdout().lock();
                let written = stdout.write_all(&lines(self.format, &records)).and_then(|()| stdout.flush());
                written.map_err(SinkError::Stdout)?;
            }
        }
        Ok(Batch { records, acked, missed })
    }
}

/// Records as lines.
fn lines(format: SinkFormat, records: &[Outgoing]) -> Vec<u8> {
    let mut lines = Vec::new();
    for record in records {
        lines.extend_from_slice(line(format, record).as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// A record as one line, without its end.
pub(super) fn line(format: SinkFormat, record: &Outgoing) -> String {
    match format {
        SinkFormat::Ocsf => ocsf::line(record),
        SinkFormat::Json | SinkFormat::Otlp => record.json(),
    }
}

/// Between half of it and all of it, so that many who failed together do not all come back together.
fn jittered(wait: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness there is no jitter, which harms nobody.
    let _ = getrandom::fill(&mut random);
    let [share] = random;
    let half = wait.checked_div(2).unwrap_or_default();
    half.saturating_add(half.saturating_mul(share.into()).checked_div(u8::MAX.into()).unwrap_or_default())
}

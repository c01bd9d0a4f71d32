//! Following the records.

use std::sync::Arc;
use std::time::Duration;

use pursekeeper_api::v1;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::filter::Filter;
use super::records::Records;
use crate::serve::convert::fault;

/// Responses waiting for a subscriber; a slow one is waited for, it costs nobody else anything.
pub(super) const WAITING_LEN_MAX: usize = 32;

/// One subscriber being served.
pub(super) struct Follow {
    pub(super) records: Records,
    pub(super) filter: Arc<Filter>,
    pub(super) durable: watch::Receiver<u64>,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) sender: mpsc::Sender<Result<v1::WatchResponse, Status>>,
    pub(super) keep_alive: Option<Duration>,
    /// Whether the subscriber begins with whatever is still here. Otherwise what left for the archive is missed.
    pub(super) from_oldest: bool,
    /// The last record that is wanted, when the stream ends by itself.
    pub(super) until_seq: Option<u64>,
    /// The place of this subscriber among those there may be.
    pub(super) _place: OwnedSemaphorePermit,
}

/// How far a subscriber is.
struct Progress {
    /// Every record up to this one was sent or does not fit.
    seen_seq: u64,
    /// What the subscriber knows of that.
    told_seq: u64,
    told_at: Instant,
}

/// Nobody listens any more, or nothing is to be said any more.
struct Over;

impl Follow {
    /// Sends every record from `next_seq` on that fits, without gaps: it reads them from the journal, never from a
    /// notification.
    pub(super) async fn run(mut self, next_seq: u64) {
        let seen_seq = next_seq.saturating_sub(1);
        let mut progress = Progress { seen_seq, told_seq: seen_seq, told_at: Instant::now() };
        loop {
            match self.step(&mut progress).await {
                Ok(true) => {}
                // Whoever resumes must not look through the same records again.
                Ok(false) => {
                    if progress.told_seq < progress.seen_seq {
                        let _ = self.tell(&mut progress).await;
                    }
                    return;
                }
                Err(Over) => return,
            }
        }
    }

    /// Sends the next page or waits for it. Returns whether there can be more.
    async fn step(&mut self, progress: &mut Progress) -> Result<bool, Over> {
        let durable = *self.durable.borrow_and_update();
        let (mut last_seq, mut ends) = match self.until_seq {
            Some(until) if until <= durable => (until, true),
            Some(_) | None => (durable, false),
        };
        if let (_, Some(until_unix_ms)) = self.filter.times() {
            let first_after = self.records.read(move |reader| reader.first_seq_at(until_unix_ms)).await;
            let first_after = self.readable(first_after).await?;
            if first_after <= last_seq {
                (last_seq, ends) = (first_after.saturating_sub(1), true);
            }
        }
        if progress.seen_seq >= last_seq {
            if !ends {
                self.wait(progress).await?;
            }
            return Ok(!ends);
        }
        let first_seq = progress.seen_seq.saturating_add(1);
        let page = tokio::select! {
            page = self.records.page(&self.filter, first_seq, last_seq) => page,
            () = self.sender.closed() => return Err(Over),
        };
        let page = self.readable(page).await?;
        if page.pruned_through >= first_seq && !std::mem::take(&mut self.from_oldest) {
            let _ = self.sender.send(Err(archived(page.pruned_through))).await;
            return Err(Over);
        }
        for decision in page.decisions {
            let seen_seq = decision.seq;
            let decision = Some(Arc::unwrap_or_clone(decision));
            self.send(v1::WatchResponse { decision, seen_seq }).await?;
            *progress = Progress { seen_seq, told_seq: seen_seq, told_at: Instant::now() };
        }
        progress.seen_seq = page.seen_seq;
        if self.keep_alive.is_some_and(|silence| progress.told_at.elapsed() >= silence) {
            self.tell(progress).await?;
        }
        Ok(true)
    }

    /// Waits until there is more to look at, and says meanwhile that it does.
    async fn wait(&mut self, progress: &mut Progress) -> Result<(), Over> {
        let silence = self.keep_alive.and_then(|silence| progress.told_at.checked_add(silence));
        let silence = async {
            match silence {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.durable.changed() => changed.map_err(|_| Over),
            () = self.sender.closed() => Err(Over),
            () = stopping(&mut self.stopped) => {
                self.say_that_it_stops();
                Err(Over)
            }
            () = silence => self.tell(progress).await,
        }
    }

    /// Says how far it looked.
    async fn tell(&mut self, progress: &mut Progress) -> Result<(), Over> {
        self.send(v1::WatchResponse { decision: None, seen_seq: progress.seen_seq }).await?;
        (progress.told_seq, progress.told_at) = (progress.seen_seq, Instant::now());
        Ok(())
    }

    /// Waits for the subscriber to take it, but not for ever: a sidecar that stops waits for nobody.
    async fn send(&mut self, response: v1::WatchResponse) -> Result<(), Over> {
        tokio::select! {
            sent = self.sender.send(Ok(response)) => sent.map_err(|_| Over),
            () = stopping(&mut self.stopped) => {
                self.say_that_it_stops();
                Err(Over)
            }
        }
    }

    /// An end that nobody asked for is told apart from one that was reached; a subscriber with no room for it notices by
    /// the end of the connection.
    fn say_that_it_stops(&self) {
        let message = "the sidecar stops: go on after `seen_seq` when it is back";
        let _ = self.sender.try_send(Err(fault(Code::Unavailable, "STOPPING", message)));
    }

    async fn readable<T>(&self, read: Result<T, Status>) -> Result<T, Over> {
        match read {
            Ok(found) => Ok(found),
            Err(status) => {
                let _ = self.sender.send(Err(status)).await;
                Err(Over)
            }
        }
    }
}

/// Why a stream does not go on: a gap is never passed over in silence.
fn archived(pruned_through: u64) -> Status {
    let message = format!(
        "records up to {pruned_through} have left for the archive: read them there (`pursekeeper audit import`), and go on \
         after them; or begin with record 1 for everything that is still here"
    );
    fault(Code::OutOfRange, "ARCHIVED", message)
}

/// Returns when the sidecar stops.
async fn stopping(stopped: &mut watch::Receiver<bool>) {
    // The sender going away means the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

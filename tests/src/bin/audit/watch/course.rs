//! One who follows, and what came.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pursekeeper_api::{Audit, v1};
use pursekeeper_core::Digest;
use pursekeeper_journal::{chain_next, leaf_hash};
use pursekeeper_tests::overspend::{Random, Tally};
use serde_json::Value;
use tokio::sync::watch;
use tonic::Status;

use crate::content::Stored;

/// A stream is dropped after at most so many responses.
const RESPONSES_MAX: usize = 4_000;
/// Of so many who follow, one compares every byte.
const PER_WHOLE: usize = 8;
/// Seconds of silence before a keep-alive.
const KEEP_ALIVE_SECS: u32 = 1;
/// How long a stream may say nothing at all.
const SILENCE: Duration = Duration::from_secs(60);
/// Before a lost stream is asked for again.
const PAUSE: Duration = Duration::from_millis(20);

/// What somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All { whole: bool },
    Kind(&'static str),
    Verdict(&'static str, &'static str),
    Code(&'static str),
}

/// One who follows.
pub(super) struct Course {
    socket: PathBuf,
    wanted: Wanted,
    random: Random,
    everybody: Arc<AtomicU64>,
    /// The last record that was told of or passed over.
    seen: u64,
    /// What came, in order.
    pub(super) seqs: Vec<u32>,
    /// Over the bytes of what came.
    chain: Digest,
    /// Streams that were dropped, and that were lost.
    pub(super) dropped: u64,
    pub(super) lost: u64,
    /// Responses without a record.
    pub(super) alive: u64,
    faults: Vec<String>,
}

impl Wanted {
    /// Half of them everything, the others four kinds of filters.
    pub(super) fn of(at: usize) -> Self {
        match at % 8 {
            1 => Self::Kind("payment"),
            3 => Self::Verdict("payment", "deny"),
            5 => Self::Code("CEILING_EXCEEDED"),
            7 => Self::Kind("report"),
            _ => Self::All { whole: at.is_multiple_of(PER_WHOLE) },
        }
    }

    fn filter(self) -> Option<v1::AuditFilter> {
        let text = |text: &str| vec![text.to_owned()];
        match self {
            Self::All { .. } => None,
            Self::Kind(kind) => Some(v1::AuditFilter { kinds: text(kind), ..Default::default() }),
            Self::Verdict(kind, verdict) => {
                Some(v1::AuditFilter { kinds: text(kind), verdict: verdict.to_owned(), ..Default::default() })
            }
            Self::Code(code) => Some(v1::AuditFilter { codes: text(code), ..Default::default() }),
        }
    }

    /// Whether a record fits, by its bytes alone.
    fn fits(self, body: &Value) -> bool {
        match self {
            Self::All { .. } => true,
            Self::Kind(kind) => body["kind"] == kind,
            Self::Verdict(kind, verdict) => body["kind"] == kind && body["verdict"] == verdict,
            Self::Code(code) => {
                let codes = ["/denial/code", "/repeat/code"].map(|pointer| body.pointer(pointer));
                codes.into_iter().flatten().any(|own| own == code)
            }
        }
    }
}

impl Course {
    pub(super) fn new(socket: &Path, wanted: Wanted, random: Random, everybody: Arc<AtomicU64>) -> Self {
        Self {
            socket: socket.to_owned(),
            wanted,
            random,
            everybody,
            seen: 0,
            seqs: Vec::new(),
            chain: Digest([0; 32]),
            dropped: 0,
            lost: 0,
            alive: 0,
            faults: Vec::new(),
        }
    }

    /// Follows to the record that `end` says is the last.
    pub(super) async fn run(mut self, end: watch::Receiver<Option<u64>>) -> Self {
        while !self.is_there(&end) {
            match self.stream(&end).await {
                Ok(()) => {}
                Err(status) if status.code() == tonic::Code::InvalidArgument => {
                    self.faults.push(format!("refused: {status}"));
                    return self;
                }
                Err(_) => {
                    self.lost += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        self
    }

    fn is_there(&self, end: &watch::Receiver<Option<u64>>) -> bool {
        end.borrow().is_some_and(|last| self.seen >= last)
    }

    /// One stream, from where the last one ended until it is dropped or lost.
    async fn stream(&mut self, end: &watch::Receiver<Option<u64>>) -> Result<(), Status> {
        let channel = pursekeeper_api::connect(&self.socket).await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = v1::WatchRequest {
            from_seq: self.seen + 1,
            until_now: false,
            filter: self.wanted.filter(),
            keep_alive_secs: KEEP_ALIVE_SECS,
        };
        let mut stream = Audit::new(channel).watch(request).await?.into_inner();
        let responses = 1 + self.random.below(RESPONSES_MAX);
        for _ in 0..responses {
            let message = tokio::time::timeout(SILENCE, stream.message()).await;
            let Ok(message) = message else {
                self.faults.push(format!("nothing for {SILENCE:?} after record {}", self.seen));
                return Err(Status::deadline_exceeded("silence"));
            };
            let Some(response) = message? else { return Err(Status::unavailable("the stream ended")) };
            self.take(response);
            if self.is_there(end) {
                return Ok(());
            }
        }
        self.dropped += 1;
        Ok(())
    }

    fn take(&mut self, response: v1::WatchResponse) {
        let v1::WatchResponse { decision, seen_seq } = response;
        if seen_seq < self.seen {
            self.faults.push(format!("record {} was seen, and now only {seen_seq}", self.seen));
        }
        match decision {
            Some(decision) => {
                if decision.seq <= self.seen || decision.seq > seen_seq {
                    self.faults
                        .push(format!("record {} after {} with {seen_seq} seen", decision.seq, self.seen));
                }
                self.seqs.push(u32::try_from(decision.seq).unwrap());
                self.everybody.fetch_add(1, Ordering::Relaxed);
                if self.wanted == (Wanted::All { whole: true }) {
                    self.chain = chain_next(self.chain, leaf_hash(&decision.canonical));
                }
            }
            None => self.alive += 1,
        }
        self.seen = self.seen.max(seen_seq);
    }

    /// Compares what came with what the journal has.
    pub(super) fn judge(self, records: &[Stored], tally: &mut Tally) {
        let Self { wanted, seen, seqs, chain, faults, .. } = self;
        // What is counted becomes a record when its minute is over: one may come after the last that was waited for.
        let records = records.get(..usize::try_from(seen).unwrap()).unwrap_or(records);
        for fault in faults {
            tally.fault(format!("{wanted:?}: {fault}"));
        }
        let all = matches!(wanted, Wanted::All { .. });
        let fits = |body: &[u8]| all || serde_json::from_slice(body).is_ok_and(|body| wanted.fits(&body));
        let expected: Vec<u32> =
            (1..).zip(records).filter(|(_, (body, ..))| fits(body)).map(|(seq, _)| seq).collect();
        let differs = seqs.iter().zip(&expected).position(|(came, expected)| came != expected);
        tally.expect(seqs == expected, || {
            let at = differs.unwrap_or(seqs.len().min(expected.len()));
            format!(
                "{wanted:?}: {} came and {} are in the journal; the first that differs is {:?} instead of {:?}",
                seqs.len(),
                expected.len(),
                seqs.get(at),
                expected.get(at)
            )
        });
        if wanted == (Wanted::All { whole: true }) {
            let own =
                records.iter().fold(Digest([0; 32]), |chain, (body, ..)| chain_next(chain, leaf_hash(body)));
            tally.expect(chain == own, || format!("{wanted:?}: other bytes came than are in the journal"));
        }
    }
}

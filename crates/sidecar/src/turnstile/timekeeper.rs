//! Takes the time of a batch, and marks its stages in the traces of its requests.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use pursekeeper_core::Wait;
use pursekeeper_core::gate::{Ask, Witness};
use tracing::Span;

use crate::metrics::{Stage, Timing};
use crate::traces;

/// Looks on while one batch is judged.
#[derive(Debug)]
pub(super) struct Timekeeper<'a> {
    timing: &'a Timing,
    /// The span of each request.
    spans: &'a [Span],
    /// How many asks that are no requests come before them.
    noted_len: usize,
    begun: Instant,
    now: RefCell<Now>,
}

#[derive(Debug)]
struct Now {
    judging: Option<Instant>,
    /// How long judging took, all in all.
    judged: Duration,
    policy: Span,
    commits: Vec<Span>,
}

impl<'a> Timekeeper<'a> {
    /// Begins with a batch, which is handed to the gate now.
    pub(super) fn begin(timing: &'a Timing, spans: &'a [Span], asks_len: usize) -> Self {
        let now = Now { judging: None, judged: Duration::ZERO, policy: Span::none(), commits: Vec::new() };
        let noted_len = asks_len.saturating_sub(spans.len());
        Self { timing, spans, noted_len, begun: Instant::now(), now: RefCell::new(now) }
    }

    /// Ends with a batch that is on disk: all that was not judging was writing it down.
    pub(super) fn end(self) {
        let Self { timing, spans, noted_len: _, begun, now } = self;
        let took = begun.elapsed().saturating_sub(now.into_inner().judged);
        timing.batch(spans.len(), took);
    }

    /// Which of the requests an ask is.
    fn request(&self, ask: Option<usize>) -> Option<usize> {
        ask.and_then(|ask| ask.checked_sub(self.noted_len))
    }
}

impl Witness for Timekeeper<'_> {
    fn begins(&self, ask: Option<usize>) {
        let mut now = self.now.borrow_mut();
        now.judging = Some(Instant::now());
        if let Some(span) = self.request(ask).and_then(|request| self.spans.get(request)) {
            now.policy = traces::child(span, traces::Part::Policy);
        }
    }

    fn ends(&self, ask: Option<usize>) {
        let mut now = self.now.borrow_mut();
        now.policy = Span::none();
        let took = now.judging.take().map(|begun| begun.elapsed()).unwrap_or_default();
        now.judged = now.judged.saturating_add(took);
        let Some(request) = self.request(ask) else { return };
        self.timing.stage(Stage::Decide, took);
        if request.saturating_add(1) == self.spans.len() {
            // All are judged: from here on the disk is waited for, for everybody.
            now.commits = self.spans.iter().map(|span| traces::child(span, traces::Part::Commit)).collect();
        }
    }
}

/// How long a request waited until its batch was begun, if it came from an agent.
pub(super) fn waited(ask: &Ask, boot_us: u64) -> Option<Duration> {
    let wait = match ask {
        Ask::Payment(ask) => ask.asked.wait,
        Ask::SignIn(ask) => ask.asked.wait,
        Ask::TypedData(ask) => ask.asked.wait,
        Ask::Lifecycle(_)
        | Ask::Report(_)
        | Ask::Evidence(_)
        | Ask::Transition
        | Ask::Void(_)
        | Ask::Signatures(_)
        | Ask::Unauthenticated(_)
        | Ask::Reload(_)
        | Ask::Repeats(_) => Wait::Unknown,
    };
    wait.until(boot_us).micros().map(Duration::from_micros)
}

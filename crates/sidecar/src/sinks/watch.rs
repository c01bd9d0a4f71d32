//! How far behind a sink is, and what follows from that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::state::{Marks, SinkState};
use crate::config::SinkConfig;
use crate::serve::Gatehouse;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A sink, and how long it may be behind.
pub(super) struct Watched {
    state: Arc<SinkState>,
    lag_max: Option<Duration>,
    marks: Marks,
}

impl Watched {
    /// `waiting`: for how long the oldest record has waited that it has not acknowledged, and the last one.
    pub(super) fn new(config: &SinkConfig, state: Arc<SinkState>, waiting: Option<(Duration, u64)>) -> Self {
        let now = Instant::now();
        let marks =
            waiting.map(|(waited, last)| Marks::waiting(now.checked_sub(waited).unwrap_or(now), last));
        let lag_max = config.lag_limit_secs().map(Duration::from_secs);
        Self { state, lag_max, marks: marks.unwrap_or_default() }
    }

    /// Why nothing may be signed, if that is so: it is required, and was too far behind when it was last tried.
    fn halts(&self, lag: Duration) -> Option<String> {
        let lag_max = self.lag_max.filter(|lag_max| lag > *lag_max && self.state.tried())?;
        let why = self.state.down().unwrap_or_else(|| "it is catching up".to_owned());
        Some(format!(
            "the required sink `{}` is more than {} s behind: {why}; signing goes on by itself once it has caught up",
            self.state.name,
            lag_max.as_secs()
        ))
    }
}

/// Follows a sink for as long as the sidecar runs.
pub(super) async fn run(mut watched: Watched, gatehouse: Arc<Gatehouse>) {
    let durable = gatehouse.durable_seq();
    loop {
        let lag = watched.marks.lag(Instant::now(), *durable.borrow(), watched.state.acked());
        watched.state.note_lag(lag);
        gatehouse.halt(&watched.state.name, watched.halts(lag));
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

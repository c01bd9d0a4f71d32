use std::time::Duration;

use clap::Args;
use pursekeeper_api::{Audit, Governance, v1};
use tonic::{Code, Status};

use super::pages::{self, Pages};
use super::wanted::WantedArgs;
use crate::cli::{ConfigArg, Exit, client};
use crate::output::Output;
use crate::record;

/// How many of the latest are shown when nobody says.
const LAST_DEFAULT: u64 = 20;
/// After so much silence the sidecar says how far it looked.
const KEEP_ALIVE_SECS: u32 = 15;
/// Between two attempts to reach a sidecar that went away: the first pause, and the longest.
const PAUSES_MS: (u64, u64) = (50, 2_000);

#[derive(Debug, Args)]
pub(in crate::cli) struct TailArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Go on showing records as they become durable, also when the sidecar is restarted meanwhile.
    #[arg(short, long)]
    follow: bool,
    /// How many of the latest to show first; 20, or with --since all, unless given.
    #[arg(short = 'n', long, value_name = "COUNT")]
    last: Option<u64>,
    #[command(flatten)]
    wanted: WantedArgs,
}

/// Records being shown.
struct Tail {
    config: ConfigArg,
    filter: v1::AuditFilter,
    output: Output,
    /// Every record up to this one was shown or does not fit.
    seen_seq: u64,
    journal_id: String,
}

/// How following ended.
enum Ended {
    /// What was wanted is over.
    Reached,
    /// The sidecar is gone, or cannot answer.
    Lost(String),
}

pub(super) async fn run(args: TailArgs, output: Output) -> anyhow::Result<Exit> {
    let TailArgs { config, follow, last, wanted } = args;
    let filter = wanted.filter();
    let last = last.unwrap_or(if filter.since_unix_ms > 0 { u64::MAX } else { LAST_DEFAULT });
    let channel = pages::connect(&config.config).await?;
    let status = client::answer(Governance::new(channel.clone()).status(v1::StatusRequest {}).await)?;
    let mut tail = Tail { config, filter, output, seen_seq: status.seq, journal_id: status.journal_id };
    // What becomes durable from here on may be among the latest already: then it is seen.
    if last == u64::MAX {
        let mut pages = Pages::new(channel, tail.filter.clone(), false);
        while let Some(decisions) = pages.next(last).await? {
            decisions.iter().try_for_each(|decision| tail.show(decision))?;
        }
    } else {
        let latest = Pages::new(channel, tail.filter.clone(), true).rest(last).await?;
        latest.iter().rev().try_for_each(|decision| tail.show(decision))?;
    }
    if follow {
        tail.follow().await?;
    }
    Ok(Exit::Done)
}

impl Tail {
    fn show(&mut self, decision: &v1::Decision) -> anyhow::Result<()> {
        if self.output.is_json() {
            self.output.line(&String::from_utf8_lossy(&decision.canonical))?;
        } else {
            self.output.line(&record::line(decision, self.output))?;
        }
        self.seen_seq = self.seen_seq.max(decision.seq);
        Ok(())
    }

    /// Shows what comes, until what was wanted is over.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let (first_pause_ms, pause_ms_max) = PAUSES_MS;
        let mut pause_ms = first_pause_ms;
        let mut told = false;
        loop {
            let before = self.seen_seq;
            let lost = match self.follow_once(&mut told).await? {
                Ended::Reached => return Ok(()),
                Ended::Lost(why) => why,
            };
            if !told {
                eprintln!("note: {lost}; waiting to go on after record {}", self.seen_seq);
                told = true;
            }
            pause_ms = if self.seen_seq > before { first_pause_ms } else { pause_ms };
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = pause_ms.saturating_mul(2).min(pause_ms_max);
        }
    }

    /// Shows what comes over one connection. `told` says whether the person knows that there was none.
    async fn follow_once(&mut self, told: &mut bool) -> anyhow::Result<Ended> {
        let channel = match pages::connect(&self.config.config).await {
            Ok(channel) => channel,
            Err(error) if error.is::<client::Unavailable>() => return Ok(Ended::Lost(error.to_string())),
            Err(error) => return Err(error),
        };
        let status = match Governance::new(channel.clone()).status(v1::StatusRequest {}).await {
            Ok(status) => status.into_inner(),
            Err(status) => return lost(&status),
        };
        self.same_journal(&status)?;
        let request = v1::WatchRequest {
            from_seq: self.seen_seq.saturating_add(1),
            until_now: false,
            filter: Some(self.filter.clone()),
            keep_alive_secs: KEEP_ALIVE_SECS,
        };
        let mut stream = match Audit::new(channel).watch(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return lost(&status),
        };
        if std::mem::take(told) {
            eprintln!("note: the sidecar is back; going on after record {}", self.seen_seq);
        }
        loop {
            match stream.message().await {
                Ok(Some(v1::WatchResponse { decision, seen_seq })) => {
                    if let Some(decision) = decision {
                        self.show(&decision)?;
                    }
                    self.seen_seq = self.seen_seq.max(seen_seq);
                }
                Ok(None) if self.filter.until_unix_ms > 0 => return Ok(Ended::Reached),
                Ok(None) => return Ok(Ended::Lost("the sidecar stopped".to_owned())),
                Err(status) => return lost(&status),
            }
        }
    }

    /// Positions mean nothing in another journal, and an older copy of this one would repeat them for other records.
    fn same_journal(&self, status: &v1::StatusResponse) -> anyhow::Result<()> {
        if status.journal_id != self.journal_id {
            anyhow::bail!(
                "the sidecar has another journal now, {}, and not {}: start again",
                status.journal_id,
                self.journal_id
            );
        }
        if status.seq < self.seen_seq {
            anyhow::bail!(
                "the journal ends at record {} now, but record {} was seen: somebody put an older copy in its place; look at \
                 it with `pursekeeper audit verify`",
                status.seq,
                self.seen_seq
            );
        }
        Ok(())
    }
}

/// Whether it is worth coming back.
fn lost(status: &Status) -> anyhow::Result<Ended> {
    let hopeless = [
        Code::InvalidArgument,
        Code::NotFound,
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::Unimplemented,
        Code::OutOfRange,
    ];
    if hopeless.contains(&status.code()) {
        anyhow::bail!("{}", status.message());
    }
    // What broke in the connection is of no use to a person; what the sidecar says is.
    let said = status.code() == Code::ResourceExhausted
        || !status.metadata().is_empty()
        || !status.details().is_empty();
    Ok(Ended::Lost(if said { status.message().to_owned() } else { "the sidecar went away".to_owned() }))
}

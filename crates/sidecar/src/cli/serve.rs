use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

use super::{ConfigArg, Exit};
use crate::config::{Config, LogConfig, LogFormat};
use crate::hardening::{self, Sandbox};
use crate::output;
use crate::serve::{SetLevel, Sidecar};
use crate::traces::Traces;

/// Fewest runtime workers: while one is inside the gate, another goes on reading.
const WORKERS_MIN: usize = 2;

/// How long what hangs is waited for at the end.
const HANGING_WAIT: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT, then lets calls under way finish.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pursekeeper serve --config purse/pursekeeper.yaml")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<Exit> {
    let missing = hardening::seal_memory();
    let config = Config::load(&args.config.config)?;
    // Before the first thread.
    let missing = hardening::confine(&args.config.config, &config, missing)?;
    let cores = std::thread::available_parallelism().map_or(WORKERS_MIN, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(WORKERS_MIN))
        .enable_all()
        .build()?;
    // What sends traces finds its runtime here.
    let inside = runtime.enter();
    let traces = config.traces.as_ref().map(Traces::new).transpose()?;
    let set_level = log_to_stderr(&config.log, traces.as_ref())?;
    drop(inside);
    hardening::tell(&missing);
    let is_sandboxed = missing.is_empty() && config.sandbox != Sandbox::Off;
    let sidecar = Sidecar::open(config)?.following(args.config.config.clone(), set_level);
    sidecar.gatehouse().metrics().sandboxed(is_sandboxed);
    let served = runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        sidecar.run(stop).await?;
        Ok(Exit::Done)
    });
    if let Some(traces) = traces {
        traces.end();
    }
    // A sink that hangs in a write keeps nobody from ending.
    runtime.shutdown_timeout(HANGING_WAIT);
    served
}

/// What says a line for each connection that a client spoils.
const QUIET: &str = "h2=error";

/// Logs from here on; what is returned changes how much.
fn log_to_stderr(log: &LogConfig, traces: Option<&Traces>) -> anyhow::Result<SetLevel> {
    let first = filter(&log.level).map_err(|error| anyhow::anyhow!(error))?;
    let (filter_layer, handle) = reload::Layer::new(first);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(output::colours(&std::io::stderr()))
        .with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter_layer))
        .with(traces.map(Traces::layer))
        .init();
    Ok(Box::new(move |level| handle.reload(filter(level)?).map_err(|error| error.to_string())))
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong = |error| format!("`log.level` is `{level}`: {error}; write a level such as `info`");
    let _alone = EnvFilter::try_new(level).map_err(wrong)?;
    // What is said later about the same replaces what is said first.
    EnvFilter::try_new(format!("{QUIET},{level}")).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_decide_nothing_about_the_log_unless_somebody_wants_that() {
        for (level, expected) in [("info", "h2=error"), ("debug,h2=trace", "h2=trace")] {
            let filter = filter(level).unwrap().to_string();
            let of_h2: Vec<&str> = filter.split(',').filter(|part| part.starts_with("h2=")).collect();
            assert_eq!(of_h2, [expected], "{filter}");
        }
        assert!(filter("pursekeeper=loud").is_err_and(|error| error.contains("log.level")));
    }
}

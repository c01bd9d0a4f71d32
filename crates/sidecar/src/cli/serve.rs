use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{ConfigArg, Exit};
use crate::config::{Config, LogConfig, LogFormat};
use crate::hardening;
use crate::output;
use crate::serve::Sidecar;

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
    log_to_stderr(&config.log)?;
    // Before the first thread.
    hardening::confine(&args.config.config, &config, missing)?;
    let cores = std::thread::available_parallelism().map_or(WORKERS_MIN, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(WORKERS_MIN))
        .enable_all()
        .build()?;
    let sidecar = Sidecar::open(config)?;
    let served = runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        sidecar.run(stop).await?;
        Ok(Exit::Done)
    });
    // A sink that hangs in a write keeps nobody from ending.
    runtime.shutdown_timeout(HANGING_WAIT);
    served
}

fn log_to_stderr(log: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level).map_err(|error| {
        anyhow::anyhow!("`log.level` is `{}`: {error}; write a level such as `info`", log.level)
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output::colours(&std::io::stderr()))
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

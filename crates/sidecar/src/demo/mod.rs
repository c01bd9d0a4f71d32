//! `pursekeeper demo`: the real sidecar, a paywalled site, an agent and an operator in one process.

mod agent;
mod house;
mod seller;
mod story;
mod teller;
mod till;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use pursekeeper_api::{Audit, Channel, Governance, Signer, connect};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::Exit;
use crate::config::Serves;
use crate::output::Output;
use crate::serve::{ServeError, Sidecar};
use agent::Agent;
use house::{Home, House};
use seller::Seller;
use story::Stage;

/// Runtime workers: while one is inside the gate, another goes on.
const WORKERS: usize = 2;
/// Longest wait for the sidecar to listen.
const START_MAX: Duration = Duration::from_secs(5);
/// How often it is tried.
const START_INTERVAL: Duration = Duration::from_millis(2);

/// Shows what Pursekeeper does, on this machine and without any preparation.
///
/// A sidecar with a fresh key, a site that wants x402 payments, an agent that buys and an operator that stops it, all in
/// this process, over real sockets. No chain is involved and no money moves.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 when every step came out as it must, else with 1.

Examples:
  pursekeeper demo
  pursekeeper demo --keep purse && pursekeeper audit verify --config purse/pursekeeper.yaml")]
pub(crate) struct DemoArgs {
    /// Keep everything in this directory, which must not exist or be empty, to look at afterwards.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Plays the demo.
pub(crate) fn run(args: &DemoArgs, output: Output) -> anyhow::Result<Exit> {
    let home = Home::make(args.keep.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let played = runtime.block_on(perform(home.path(), output));
    // Nothing may still write into the directory when it is removed.
    drop(runtime);
    home.leave()?;
    let all_as_expected = played?;
    if let (Some(dir), false) = (&args.keep, output.is_json()) {
        output.line(&format!("\nKept: {}", dir.display()))?;
    }
    Ok(if all_as_expected { Exit::Done } else { Exit::Failed })
}

/// Builds and starts everything, plays the story, and stops everything again.
async fn perform(home: &Path, output: Output) -> anyhow::Result<bool> {
    let seller = Seller::open().await?;
    let house = House::build(home, seller.origin())?;
    let sidecar = Sidecar::open(house.config.clone())?;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut serving = tokio::spawn(sidecar.run(async { drop(stopped.await) }));
    let played = attend(&house, &mut serving, seller.origin(), output).await;
    let _ = stop.send(());
    if !serving.is_finished() {
        serving.await??;
    }
    seller.close().await?;
    played
}

async fn attend(
    house: &House,
    serving: &mut JoinHandle<Result<(), ServeError>>,
    origin: &str,
    output: Output,
) -> anyhow::Result<bool> {
    let agents = reach(house.socket(Serves::Agents)?, serving).await?;
    let operators = reach(house.socket(Serves::Operators)?, serving).await?;
    let agent = Agent::new(Signer::new(agents));
    let (governance, audit) = (Governance::new(operators.clone()), Audit::new(operators));
    Stage { agent, governance, audit, house, origin, output }.play().await
}

/// Connects as soon as the sidecar listens.
async fn reach(socket: &Path, serving: &mut JoinHandle<Result<(), ServeError>>) -> anyhow::Result<Channel> {
    let deadline = Instant::now();
    loop {
        match connect(socket).await {
            Ok(channel) => return Ok(channel),
            Err(error) if deadline.elapsed() > START_MAX => return Err(error.into()),
            Err(_) if serving.is_finished() => {
                serving.await??;
                anyhow::bail!("the sidecar stopped before it listened");
            }
            Err(_) => tokio::time::sleep(START_INTERVAL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listener;
    use crate::output::Format;

    #[test]
    fn every_step_comes_out_as_it_must_and_what_is_kept_can_be_used() {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let args = DemoArgs { keep: Some(dir.path().to_owned()) };
        let output = Output::new(Format::Json);
        assert_eq!(run(&args, output).unwrap(), Exit::Done);

        let config = crate::config::Config::load(&dir.path().join("pursekeeper.yaml")).unwrap();
        assert!(config.listeners.iter().filter_map(Listener::socket).all(|socket| !socket.exists()));
        assert!(Sidecar::open(config).is_ok());
        // It is not built over.
        assert!(run(&args, output).is_err());
    }
}

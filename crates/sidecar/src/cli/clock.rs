use clap::{Args, Subcommand};
use pursekeeper_api::{Governance, v1};

use super::{ConfigArg, Exit, block_on, client};
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(super) enum ClockCommand {
    /// Confirm that the wall clock is right although it jumped ahead, so that payments are signed again.
    #[command(
        after_help = "Example:\n  date && pursekeeper clock accept --reason \"the machine was paused for two days\""
    )]
    Accept(AcceptArgs),
}

#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(command: ClockCommand, output: Output) -> anyhow::Result<Exit> {
    let ClockCommand::Accept(AcceptArgs { reason, config }) = command;
    let response = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.accept_clock(v1::SidecarRequest { reason }).await)
    })?;
    client::show_act(response, "the clock is accepted", output)
}

//! The kill switch.

use clap::Args;
use pursekeeper_api::{Governance, v1};

use super::act::{self, Asked};
use super::confirm::{self, YesArg};
use super::{ConfigArg, Exit, block_on, client};
use crate::output::Output;

/// What is typed to confirm that everything stops.
const EVERYTHING: &str = "everything";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pursekeeper suspend-all --reason \"incident 17\"
  pursekeeper suspend-all --reason \"incident 17\" --yes --output json | jq .effective_micros")]
pub(super) struct SuspendAllArgs {
    #[command(flatten)]
    act: SidecarArgs,
    #[command(flatten)]
    yes: YesArg,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What is suspended by itself stays so.

Example:
  pursekeeper resume-all --reason \"incident 17 is closed\"")]
pub(super) struct ResumeAllArgs {
    #[command(flatten)]
    act: SidecarArgs,
}

/// An act on the sidecar itself.
#[derive(Debug, Args)]
struct SidecarArgs {
    /// Why, in words; recorded for ever.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn suspend(args: SuspendAllArgs, output: Output) -> anyhow::Result<Exit> {
    let SuspendAllArgs { act: SidecarArgs { reason, config }, yes } = args;
    if yes.is_to_ask()? {
        let meaning = [
            "You are about to stop every wallet, workflow, agent and service of this sidecar.".to_owned(),
            "Nothing is signed for anybody until `pursekeeper resume-all`.".to_owned(),
        ];
        confirm::ask(&meaning, EVERYTHING)?;
    }
    let response = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.suspend_all(v1::SidecarRequest { reason }).await)
    })?;
    tell(response, "suspend-all", "everything is suspended", output)
}

pub(super) fn resume(args: ResumeAllArgs, output: Output) -> anyhow::Result<Exit> {
    let ResumeAllArgs { act: SidecarArgs { reason, config } } = args;
    let response = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.resume_all(v1::SidecarRequest { reason }).await)
    })?;
    tell(response, "resume-all", "what suspend-all stopped goes on", output)
}

fn tell(
    response: v1::LifecycleResponse,
    verb: &'static str,
    done: &'static str,
    output: Output,
) -> anyhow::Result<Exit> {
    let sidecar = "sidecar".to_owned();
    let subject = v1::Subject { kind: sidecar.clone(), name: sidecar };
    act::show(response, &Asked { subject: &subject, verb, done, next: None }, output)
}

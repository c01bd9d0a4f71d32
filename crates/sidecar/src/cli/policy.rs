use std::path::PathBuf;

use clap::Subcommand;
use pursekeeper_core::ports::Policy as _;
use pursekeeper_policy::{Bundle, BundleOptions};
use serde_json::json;

use super::Exit;
use crate::output::{Output, Tone};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Check a governance bundle: registry.yaml and every *.cedar file of a directory, all errors at once.
    #[command(after_help = "Example:\n  pursekeeper policy check purse/policies")]
    Check {
        /// The directory of the bundle.
        dir: PathBuf,
        /// Accept a user id that is both an agent and an operator, as `dev: true` does.
        #[arg(long)]
        dev: bool,
    },
}

pub(super) fn run(command: &PolicyCommand, output: Output) -> anyhow::Result<Exit> {
    let PolicyCommand::Check { dir, dev } = command;
    let bundle = Bundle::load(dir, BundleOptions { dev: *dev })?;
    show(&bundle, &[], output)?;
    Ok(Exit::Done)
}

/// What a valid bundle holds, and what deserves a second look; `besides` it, what does so elsewhere.
pub(super) fn show(bundle: &Bundle, besides: &[String], output: Output) -> anyhow::Result<()> {
    let registry = bundle.registry();
    let counts = [
        ("workflows", registry.workflows.len()),
        ("agents", registry.agents.len()),
        ("wallets", registry.wallets.len()),
        ("services", registry.services.len()),
        ("assets", registry.assets.len()),
    ];
    let own = bundle.warnings().iter().map(ToString::to_string);
    let warnings: Vec<String> = own.chain(besides.iter().cloned()).collect();
    if output.is_json() {
        let counts: serde_json::Map<_, _> =
            counts.iter().map(|(noun, count)| ((*noun).to_owned(), json!(count))).collect();
        output.json(&json!({ "valid": true, "digest": bundle.digest().to_string(), "revision": registry.revision, "counts": counts, "warnings": warnings }))?;
        return Ok(());
    }
    for warning in &warnings {
        output.line(&format!("warning: {warning}"))?;
    }
    let counted: Vec<String> = counts.iter().map(|(noun, count)| format!("{count} {noun}")).collect();
    output.line(&format!("{} {}", output.paint(Tone::Good, "valid:"), counted.join(", ")))?;
    output.line(&format!("digest {}", bundle.bundle()))?;
    Ok(())
}

use clap::Args;
use serde_json::json;

use super::{ConfigArg, Exit};
use crate::config::Config;
use crate::hardening::{self, Reach, Sandbox};
use crate::output::{Output, Tone};

/// Confines itself as `serve` would, then tries what should be impossible, and prints what is really in force here.
///
/// The exit code is 1 when the configuration says `sandbox: enforce` and `serve` would not start.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pursekeeper selfcheck --config purse/pursekeeper.yaml\n  \
                  kubectl exec deploy/crawler -c pursekeeper -- /pursekeeper selfcheck --output json")]
pub(super) struct SelfcheckArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &SelfcheckArgs, output: Output) -> anyhow::Result<Exit> {
    // Without a configuration there is still something to be told: what this kernel has.
    let (sandbox, reach) = match Config::load(&args.config.config) {
        Ok(config) => (config.sandbox, Reach::of(&args.config.config, &config)),
        Err(_) if !args.config.config.exists() => (Sandbox::default(), Reach::system()),
        Err(error) => return Err(error.into()),
    };
    let mut missing = hardening::seal_memory();
    if sandbox != Sandbox::Off {
        missing.extend(hardening::restrict(&reach));
    }
    let examined = hardening::examine();
    let would_start = sandbox != Sandbox::Enforce || missing.is_empty();
    if output.is_json() {
        let examined: Vec<_> = examined
            .iter()
            .map(|one| json!({ "name": one.name, "active": one.active, "seen": one.seen }))
            .collect();
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        output.json(&json!({ "checks": examined, "missing": missing, "would_start": would_start }))?;
    } else {
        let row = |one: &hardening::Examined| {
            let state =
                if one.active { output.paint(Tone::Good, "yes") } else { output.paint(Tone::Bad, "no") };
            vec![one.name.to_owned(), state, one.seen.clone()]
        };
        output.table(&["WHAT", "IN FORCE", "SEEN"], &examined.iter().map(row).collect::<Vec<_>>())?;
        for one in &missing {
            output.line(&format!("missing: {one}"))?;
        }
    }
    Ok(if would_start { Exit::Done } else { Exit::Failed })
}

mod export;
mod sinks;

use std::io::IsTerminal as _;

use clap::{Args, Subcommand};
use pursekeeper_api::{Audit, v1};
use pursekeeper_journal::Reader;
use serde_json::json;

use super::{ConfigArg, Exit, block_on, client};
use crate::config::Config;
use crate::output::Output;
use crate::record;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Show the latest decisions, one line each.
    #[command(
        after_help = "Examples:\n  pursekeeper audit tail -n 50\n  pursekeeper audit tail --follow --output json"
    )]
    Tail(TailArgs),
    /// Verify the journal file: every record, the hash chain, and that totals, holds and statuses follow from it.
    ///
    /// Works on a running sidecar's journal as well as on a copy.
    #[command(after_help = "Example:\n  pursekeeper audit verify --config purse/pursekeeper.yaml")]
    Verify(ConfigArg),
    /// Write records to standard output as lines of JSON, from the journal file.
    ///
    /// Works on a running sidecar's journal as well as on a copy.
    #[command(
        after_help = "Examples:\n  pursekeeper audit export > audit.jsonl\n  pursekeeper audit export --format ocsf --from 1000 --to 2000\n  pursekeeper audit export --mask-key-file mask.key --mask /asked/endpoint/url --mask /intent/terms/payee"
    )]
    Export(export::ExportArgs),
    /// See how far every sink has acknowledged the records.
    #[command(after_help = "Example:\n  pursekeeper audit sinks --config purse/pursekeeper.yaml")]
    Sinks(ConfigArg),
}

#[derive(Debug, Args)]
pub(super) struct TailArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Go on showing decisions as they become durable.
    #[arg(short, long)]
    follow: bool,
    /// How many of the latest to show first.
    #[arg(short = 'n', long, default_value_t = 20)]
    last: u64,
}

pub(super) fn run(command: AuditCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        AuditCommand::Tail(args) => block_on(tail(args, output)),
        AuditCommand::Verify(args) => verify(&args, output),
        AuditCommand::Export(args) => export::run(&args),
        AuditCommand::Sinks(args) => sinks::run(&args, output),
    }
}

async fn tail(args: TailArgs, output: Output) -> anyhow::Result<Exit> {
    let path = Config::load(&args.config.config)?.journal;
    let last = tokio::task::spawn_blocking(move || Reader::open(&path)?.last_seq()).await??;
    let from_seq = last.saturating_sub(args.last).saturating_add(1);
    let mut audit = Audit::new(client::operators(&args.config.config).await?);
    let request = v1::WatchRequest { from_seq, until_now: !args.follow, ..Default::default() };
    let mut stream = client::answer(audit.watch(request).await)?;
    while let Some(response) = stream.message().await? {
        let Some(decision) = response.decision else { continue };
        if output.is_json() {
            output.line(&String::from_utf8_lossy(&decision.canonical))?;
        } else {
            output.line(&record::line(&decision, output))?;
        }
    }
    Ok(Exit::Done)
}

fn verify(args: &ConfigArg, output: Output) -> anyhow::Result<Exit> {
    let path = Config::load(&args.config)?.journal;
    let reader = Reader::open(&path)?;
    let bar = if output.is_json() || !std::io::stderr().is_terminal() {
        indicatif::ProgressBar::hidden()
    } else {
        indicatif::ProgressBar::new(reader.last_seq()?)
    };
    let verified = reader.verify(|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    match verified {
        Ok(verified) => {
            let (records, chain) = (verified.records, verified.last_chain);
            if output.is_json() {
                output.json(&json!({ "valid": true, "journal_id": reader.id().to_string(), "records": records, "chain": chain.to_string() }))?;
            } else {
                output.line(&format!("verified {records} records of journal {}", reader.id()))?;
                output.line(&format!("chain {chain}"))?;
            }
            Ok(Exit::Done)
        }
        Err(error) => {
            if output.is_json() {
                output.json(&json!({ "valid": false, "journal_id": reader.id().to_string(), "error": error.to_string() }))?;
                return Ok(Exit::Failed);
            }
            Err(error.into())
        }
    }
}

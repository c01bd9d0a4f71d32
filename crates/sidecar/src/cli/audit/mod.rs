mod archive;

use std::io::IsTerminal as _;

use clap::{Args, Subcommand};
use pursekeeper_api::{Audit, v1};
use pursekeeper_journal::Reader;
use serde_json::json;

use super::{ConfigArg, Exit, block_on, client};
use crate::config::Config;
use crate::output::{Output, Tone};
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
    #[command(
        after_help = "Examples:\n  pursekeeper audit verify --config purse/pursekeeper.yaml\n  pursekeeper audit verify --archive archive/*.jsonl.gz"
    )]
    Verify(VerifyArgs),
    /// Write records that are not archived yet to a sealed segment: compressed, and verifiable on its own.
    #[command(
        after_help = "Examples:\n  pursekeeper audit archive --dir /srv/archive\n  pursekeeper audit archive --before 2026-11-01T00:00:00Z"
    )]
    Archive(archive::ArchiveArgs),
    /// Make a plain SQLite database of segments, for analysis. It is no journal, and nothing can serve it.
    #[command(after_help = "Example:\n  pursekeeper audit import archive/*.jsonl.gz --into november.db")]
    Import(archive::ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    from: archive::FromArchive,
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
        AuditCommand::Archive(args) => archive::archive(&args, output),
        AuditCommand::Import(args) => archive::import_files(&args, output),
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

fn verify(args: &VerifyArgs, output: Output) -> anyhow::Result<Exit> {
    if !args.from.archive.is_empty() {
        return archive::verify(&args.from.archive, output);
    }
    let config = Config::load(&args.config.config)?;
    let dir = args.from.dir(&config);
    let reader = Reader::open(&config.journal)?;
    let bar = progress(output, reader.last_seq()?);
    let verified = reader.verify_with(dir.as_deref(), |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    match verified {
        Ok(verified) => {
            let (records, chain, unchecked) = (verified.records, verified.last_chain, verified.unchecked);
            if output.is_json() {
                output.json(&json!({ "valid": true, "journal_id": reader.id().to_string(), "records": records, "unchecked": unchecked, "chain": chain.to_string() }))?;
            } else {
                output.line(&format!("verified {records} records of journal {}", reader.id()))?;
                output.line(&format!("chain {chain}"))?;
                if unchecked > 0 {
                    output.line(&format!("{} records 1 to {unchecked} and the tables: they are archived; name the directory of the segments with --archive-dir", output.paint(Tone::Bad, "not checked:")))?;
                }
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

/// A bar for a person at a terminal.
fn progress(output: Output, records: u64) -> indicatif::ProgressBar {
    if output.is_json() || !std::io::stderr().is_terminal() {
        indicatif::ProgressBar::hidden()
    } else {
        indicatif::ProgressBar::new(records)
    }
}

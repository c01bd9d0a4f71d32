mod archive;
mod checkpoint;
mod prove;
mod verify;

use clap::{Args, Subcommand};
use pursekeeper_api::{Audit, v1};
use pursekeeper_journal::Reader;

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
    /// Verify the journal file: every record, the hash chain, the Merkle tree and its checkpoints, and that totals, holds
    /// and statuses follow from it.
    Verify(verify::VerifyArgs),
    /// Prove that a record is in the journal: an RFC 6962 inclusion proof under a signed checkpoint.
    Prove(prove::ProveArgs),
    /// Prove that the journal of B records begins with the journal of A records: an RFC 6962 consistency proof.
    Consistency(prove::ConsistencyArgs),
    /// Print the newest signed checkpoint.
    Checkpoint(checkpoint::CheckpointArgs),
    /// Print who signs the checkpoints: the public half of the audit key, as a signed-note verifier key.
    Key(checkpoint::KeyArgs),
    /// Make the key that signs checkpoints, if there is none.
    InitKey(checkpoint::InitKeyArgs),
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
        AuditCommand::Verify(args) => verify::run(&args, output),
        AuditCommand::Prove(args) => prove::run(&args, output),
        AuditCommand::Consistency(args) => prove::run_consistency(&args, output),
        AuditCommand::Checkpoint(args) => checkpoint::run(&args, output),
        AuditCommand::Key(args) => checkpoint::run_key(&args, output),
        AuditCommand::InitKey(args) => checkpoint::run_init_key(&args, output),
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

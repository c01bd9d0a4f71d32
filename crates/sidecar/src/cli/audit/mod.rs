//! Reading the audit trail.

mod archive;
mod checkpoint;
mod explain;
mod export;
mod histogram;
mod pages;
mod prove;
mod query;
mod show;
mod sinks;
mod stats;
mod tail;
mod verify;
mod wanted;

use clap::Subcommand;

use super::{ConfigArg, Exit, block_on};
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Show the latest records, one line each, and follow what comes.
    ///
    /// With --follow it goes on after a restart of the sidecar where it was, without a gap and without repeating a line.
    #[command(
        after_help = "Examples:\n  pursekeeper audit tail -n 50\n  pursekeeper audit tail -f --decision deny --workflow market-research\n  pursekeeper audit tail --since 1h --code CEILING_EXCEEDED\n  pursekeeper audit tail --follow --output json | jq -r .kind"
    )]
    Tail(tail::TailArgs),
    /// Find records: a table for people, canonical JSON lines for programs.
    #[command(
        after_help = "Examples:\n  pursekeeper audit query --wallet research-hot --since 7d\n  pursekeeper audit query --kind lifecycle --newest --limit 20\n  pursekeeper audit query --decision deny --output json > denials.jsonl"
    )]
    Query(query::QueryArgs),
    /// Show one record, every member of it.
    #[command(
        after_help = "Examples:\n  pursekeeper audit show 42\n  pursekeeper audit show 1f0c2a9b-42 --output json | jq .record.intent"
    )]
    Show(show::ShowArgs),
    /// Tell the whole story of a record in words: who asked for what, what was judged, which policies and which arithmetic
    /// decided, what happened after, and what would have permitted what was denied.
    #[command(
        after_help = "Examples:\n  pursekeeper audit explain 1f0c2a9b-42\n  pursekeeper audit explain 42 --output json"
    )]
    Explain(explain::ExplainArgs),
    /// Count records by verdict, code, workflow, endpoint and agent, and show when they came.
    #[command(
        after_help = "Examples:\n  pursekeeper audit stats --since 24h\n  pursekeeper audit stats --workflow market-research --output json"
    )]
    Stats(stats::StatsArgs),
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

pub(super) fn run(command: AuditCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        AuditCommand::Tail(args) => block_on(tail::run(args, output)),
        AuditCommand::Query(args) => block_on(query::run(args, output)),
        AuditCommand::Show(args) => block_on(show::run(args, output)),
        AuditCommand::Explain(args) => block_on(explain::run(args, output)),
        AuditCommand::Stats(args) => block_on(stats::run(args, output)),
        AuditCommand::Verify(args) => verify::run(&args, output),
        AuditCommand::Prove(args) => prove::run(&args, output),
        AuditCommand::Consistency(args) => prove::run_consistency(&args, output),
        AuditCommand::Checkpoint(args) => checkpoint::run(&args, output),
        AuditCommand::Key(args) => checkpoint::run_key(&args, output),
        AuditCommand::InitKey(args) => checkpoint::run_init_key(&args, output),
        AuditCommand::Archive(args) => archive::archive(&args, output),
        AuditCommand::Import(args) => archive::import_files(&args, output),
        AuditCommand::Export(args) => export::run(&args),
        AuditCommand::Sinks(args) => sinks::run(&args, output),
    }
}

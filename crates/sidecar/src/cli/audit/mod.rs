//! Reading the audit trail.

mod explain;
mod histogram;
mod pages;
mod query;
mod show;
mod stats;
mod tail;
mod wanted;

use std::io::IsTerminal as _;

use clap::Subcommand;
use pursekeeper_journal::Reader;
use serde_json::json;

use super::{ConfigArg, Exit, block_on};
use crate::config::Config;
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
    /// Verify the journal file: every record, the hash chain, and that totals, holds and statuses follow from it.
    ///
    /// Works on a running sidecar's journal as well as on a copy.
    #[command(after_help = "Example:\n  pursekeeper audit verify --config purse/pursekeeper.yaml")]
    Verify(ConfigArg),
}

pub(super) fn run(command: AuditCommand, output: Output) -> anyhow::Result<Exit> {
    match command {
        AuditCommand::Tail(args) => block_on(tail::run(args, output)),
        AuditCommand::Query(args) => block_on(query::run(args, output)),
        AuditCommand::Show(args) => block_on(show::run(args, output)),
        AuditCommand::Explain(args) => block_on(explain::run(args, output)),
        AuditCommand::Stats(args) => block_on(stats::run(args, output)),
        AuditCommand::Verify(args) => verify(&args, output),
    }
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

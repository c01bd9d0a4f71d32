use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use pursekeeper_core::Digest;
use pursekeeper_journal::{ConsistencyProof, InclusionProof, Reader};
use serde_json::{Value, json};

use super::super::{ConfigArg, Exit};
use crate::config::Config;
use crate::output::Output;

/// The proof is under the newest checkpoint that covers the record, or under the whole journal when none does yet. Any
/// RFC 6962 verifier accepts it: the leaf hash is SHA-256 of a zero byte and the record's canonical bytes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pursekeeper audit prove 42\n  pursekeeper audit prove 42 --size 1000 --output json"
)]
pub(in crate::cli) struct ProveArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The record.
    seq: u64,
    /// How many records the tree is to have, instead of those of the newest checkpoint.
    #[arg(long, value_name = "RECORDS")]
    size: Option<u64>,
}

/// Whoever kept a checkpoint of A records and trusts one of B records can check that nothing was rewritten in between.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pursekeeper audit consistency 1000 2000\n  \
                  pursekeeper audit consistency 1000 2000 --output json")]
pub(in crate::cli) struct ConsistencyArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// How many records the smaller tree has.
    #[arg(value_name = "A")]
    first: u64,
    /// How many records the larger tree has.
    #[arg(value_name = "B")]
    second: u64,
}

pub(super) fn run(args: &ProveArgs, output: Output) -> anyhow::Result<Exit> {
    let reader = Reader::open(&Config::load(&args.config.config)?.journal)?;
    let newest = reader.newest_checkpoint()?;
    let covering = newest.as_ref().map(|(size, _)| *size).filter(|size| *size >= args.seq);
    let size = match (args.size, covering) {
        (Some(size), _) | (None, Some(size)) => size,
        (None, None) => reader.last_seq()?,
    };
    let proof = reader.prove_inclusion(args.seq, size)?;
    let note = newest.filter(|(of, _)| *of == size).map(|(_, note)| note);
    let InclusionProof { leaf_index, tree_size, leaf, root, hashes } = proof;
    if output.is_json() {
        output.json(&json!({
            "seq": args.seq, "leaf_index": leaf_index, "tree_size": tree_size, "leaf": both(&leaf),
            "root": both(&root), "hashes": hashes.iter().map(both).collect::<Vec<_>>(), "checkpoint": note,
        }))?;
        return Ok(Exit::Done);
    }
    output.line(&format!("record {} is leaf {leaf_index} of the tree of {tree_size} records", args.seq))?;
    output.line(&format!("leaf {leaf}\nroot {root}"))?;
    path(&hashes, output)?;
    match note {
        Some(note) => output.line(&format!("\nunder the checkpoint\n\n{}", note.trim_end()))?,
        None => output.line(
            "\nno checkpoint is over exactly these records; `pursekeeper audit checkpoint` shows the newest",
        )?,
    }
    Ok(Exit::Done)
}

pub(super) fn run_consistency(args: &ConsistencyArgs, output: Output) -> anyhow::Result<Exit> {
    let reader = Reader::open(&Config::load(&args.config.config)?.journal)?;
    let proof = reader.prove_consistency(args.first, args.second)?;
    let note = reader.newest_checkpoint()?.filter(|(size, _)| *size == args.second).map(|(_, note)| note);
    let ConsistencyProof { first_size, first_root, second_size, second_root, hashes } = proof;
    if output.is_json() {
        output.json(&json!({
            "first_size": first_size, "first_root": both(&first_root), "second_size": second_size,
            "second_root": both(&second_root), "hashes": hashes.iter().map(both).collect::<Vec<_>>(),
            "checkpoint": note,
        }))?;
        return Ok(Exit::Done);
    }
    output
        .line(&format!("the tree of {second_size} records begins with the tree of {first_size} records"))?;
    output.line(&format!("root of {first_size} {first_root}\nroot of {second_size} {second_root}"))?;
    path(&hashes, output)?;
    if let Some(note) = note {
        output.line(&format!("\nthe larger one is under the checkpoint\n\n{}", note.trim_end()))?;
    }
    Ok(Exit::Done)
}

/// The form people compare, and the one other tools read.
fn both(digest: &Digest) -> Value {
    json!({ "hex": digest.to_string(), "base64": STANDARD.encode(digest.0) })
}

fn path(hashes: &[Digest], output: Output) -> anyhow::Result<()> {
    for (place, hash) in hashes.iter().enumerate() {
        output.line(&format!("hash {place} {hash} {}", STANDARD.encode(hash.0)))?;
    }
    Ok(())
}

use std::collections::BTreeMap;

use clap::Args;
use pursekeeper_api::{Governance, v1};
use pursekeeper_core::Status;
use serde_json::{Value, json};

use super::subject::Noun;
use super::{ConfigArg, Exit, as_json, block_on, client, moment};
use crate::output::{Output, Tone};
use crate::record::bundle;

/// Shows the state of the sidecar: whether it signs, why not, what is in force, and how many of what have which status.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pursekeeper status
  pursekeeper status --output json | jq -e .serving")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    config: ConfigArg,
}

/// How many subjects of one kind have which status.
type Counts = BTreeMap<String, BTreeMap<String, usize>>;

pub(super) fn run(args: &StatusArgs, output: Output) -> anyhow::Result<Exit> {
    let status = block_on(async {
        let mut governance = Governance::new(client::operators(&args.config.config).await?);
        client::answer(governance.status(v1::StatusRequest {}).await)
    })?;
    let counts = count(&status.subjects);
    if output.is_json() {
        output.json(&in_json(&status, &counts))?;
        return Ok(Exit::Done);
    }
    let v1::StatusResponse { problems, all_suspended, chains, warnings, .. } = &status;
    for (noun, words) in facts(&status, output) {
        output.line(&format!("{} {words}", output.paint(Tone::Faint, &format!("{noun:<8}"))))?;
    }
    if *all_suspended {
        output.line(&output.paint(
            Tone::Bad,
            "everything is suspended: `pursekeeper resume-all` lets what is not suspended by itself go on",
        ))?;
    }
    for problem in problems {
        output.line(&format!("{} {problem}", output.paint(Tone::Bad, "problem:")))?;
    }
    for warning in warnings {
        output.line(&format!("{} {warning}", output.paint(Tone::Strong, "warning:")))?;
    }
    if !chains.is_empty() {
        output.line("")?;
        output.table(
            &["CHAIN", "BLOCK", "READ AT", "PROBLEM"],
            &chains.iter().map(chain_row).collect::<Vec<_>>(),
        )?;
    }
    output.line("")?;
    let rows = count_rows(&counts);
    let statuses = Status::ALL.map(|status| status.as_str().to_uppercase());
    let heading: Vec<&str> = std::iter::once("SUBJECTS").chain(statuses.iter().map(String::as_str)).collect();
    output.table(&heading, &rows)?;
    Ok(Exit::Done)
}

fn facts(status: &v1::StatusResponse, output: Output) -> Vec<(&'static str, String)> {
    let v1::StatusResponse {
        serving,
        problems: _,
        journal_id,
        seq,
        bundle_digest,
        version,
        subjects: _,
        batches,
        chains: _,
        transport_recipient,
        all_suspended: _,
        warnings: _,
        storage,
        bundle_revision,
        shadow_digest,
        shadow_revision,
    } = status;
    let serving = if *serving {
        output.paint(Tone::Good, "payments are signed")
    } else {
        output.paint(Tone::Bad, "nothing is signed")
    };
    let mut facts = vec![
        ("serving", serving),
        ("version", version.clone()),
        ("journal", format!("{journal_id}, {seq} records, {batches} batches since start")),
    ];
    facts.extend(storage.as_ref().map(|storage| ("disk", disk(storage))));
    facts.push(("bundle", bundle(bundle_digest, *bundle_revision)));
    if !shadow_digest.is_empty() {
        facts.push(("shadow", bundle(shadow_digest, *shadow_revision)));
    }
    facts.push(("keys to", transport_recipient.clone()));
    facts
}

fn disk(storage: &v1::StorageStatus) -> String {
    let v1::StorageStatus {
        journal_bytes,
        reusable_bytes,
        wal_bytes,
        free_bytes,
        archived_through,
        pruned_through,
    } = storage;
    let mib = |bytes: &u64| format!("{} MiB", bytes.div_ceil(1 << 20));
    let (journal, reusable, log, free) =
        (mib(journal_bytes), mib(reusable_bytes), mib(wal_bytes), mib(free_bytes));
    let archived = match (archived_through, pruned_through) {
        (0, _) => "nothing is archived".to_owned(),
        (archived, 0) => format!("archived up to record {archived}"),
        (archived, pruned) => format!("archived up to record {archived}, deleted up to {pruned}"),
    };
    format!("journal {journal} ({reusable} of it free), log {log}, {free} free on disk; {archived}")
}

fn chain_row(chain: &v1::ChainStatus) -> Vec<String> {
    let v1::ChainStatus { network, block, read_at, problem } = chain;
    let block = if *block == 0 { String::new() } else { block.to_string() };
    vec![network.clone(), block, moment::of_secs_if_any(*read_at), problem.clone()]
}

fn count(subjects: &[v1::SubjectStatus]) -> Counts {
    let mut counts = Counts::new();
    for v1::SubjectStatus { subject, status, .. } in subjects {
        let kind = subject.as_ref().map(|subject| subject.kind.clone()).unwrap_or_default();
        let count = counts.entry(kind).or_default().entry(status.clone()).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

fn count_rows(counts: &Counts) -> Vec<Vec<String>> {
    let cell = |noun: Noun, status: Status| {
        let count = counts.get(noun.as_str()).and_then(|of| of.get(status.as_str()));
        count.map(ToString::to_string).unwrap_or_default()
    };
    let row = |noun: Noun| {
        let name = format!("{}s", noun.as_str());
        std::iter::once(name).chain(Status::ALL.map(|status| cell(noun, status))).collect()
    };
    Noun::ALL.map(row).to_vec()
}

fn in_json(status: &v1::StatusResponse, counts: &Counts) -> Value {
    let v1::StatusResponse {
        serving,
        problems,
        journal_id,
        seq,
        bundle_digest,
        version,
        subjects,
        batches,
        chains,
        transport_recipient,
        all_suspended,
        warnings,
        storage,
        bundle_revision,
        shadow_digest,
        shadow_revision,
    } = status;
    let shadow = (!shadow_digest.is_empty())
        .then(|| json!({ "bundle_digest": shadow_digest, "bundle_revision": shadow_revision }));
    let storage = storage.as_ref().map(|storage| {
        let v1::StorageStatus {
            journal_bytes,
            reusable_bytes,
            wal_bytes,
            free_bytes,
            archived_through,
            pruned_through,
        } = storage;
        json!({
            "journal_bytes": journal_bytes, "reusable_bytes": reusable_bytes, "wal_bytes": wal_bytes,
            "free_bytes": free_bytes, "archived_through": archived_through, "pruned_through": pruned_through,
        })
    });
    let chain = |chain: &v1::ChainStatus| {
        let v1::ChainStatus { network, block, read_at, problem } = chain;
        json!({ "network": network, "block": block, "read_at": read_at, "problem": problem })
    };
    let chains: Vec<Value> = chains.iter().map(chain).collect();
    let subjects: Vec<Value> = subjects.iter().map(as_json::subject_status).collect();
    json!({
        "serving": serving, "problems": problems, "journal_id": journal_id, "seq": seq,
        "bundle_digest": bundle_digest, "bundle_revision": bundle_revision, "shadow": shadow, "version": version, "all_suspended": all_suspended,
        "batches": batches, "chains": chains, "transport_recipient": transport_recipient,
        "counts": counts, "subjects": subjects, "warnings": warnings, "storage": storage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, status: &str) -> v1::SubjectStatus {
        let subject = Some(v1::Subject { kind: kind.to_owned(), name: "x".to_owned() });
        v1::SubjectStatus { subject, status: status.to_owned(), ..v1::SubjectStatus::default() }
    }

    #[test]
    fn subjects_are_counted_by_kind_and_status() {
        let all = [
            of("wallet", "active"),
            of("wallet", "active"),
            of("wallet", "revoked"),
            of("agent", "draining"),
        ];
        let counts = count(&all);
        assert_eq!(
            count_rows(&counts),
            [
                ["wallets", "2", "", "", "", "1"],
                ["workflows", "", "", "", "", ""],
                ["agents", "", "1", "", "", ""],
                ["services", "", "", "", "", ""],
            ]
        );
        let json = in_json(&v1::StatusResponse { serving: true, ..Default::default() }, &counts);
        assert_eq!((&json["serving"], &json["counts"]["wallet"]["active"]), (&json!(true), &json!(2)));
    }
}

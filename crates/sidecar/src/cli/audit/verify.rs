use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pursekeeper_custody::Keystore;
use pursekeeper_journal::{AuditVerifier, Depth, GivenCheckpoint, Reader, Scrutiny, Verified, VerifyError};
use serde_json::json;

use super::super::{ConfigArg, Exit};
use super::archive::{self, FromArchive};
use crate::config::Config;
use crate::output::{Output, Tone};
use crate::serve::NOTE_LEN_MAX;

/// How often the bar is drawn.
const DRAWN_PER_SEC: u8 = 10;

/// Works on a running sidecar's journal as well as on a copy. The exit code is 0 only when everything agrees; otherwise the
/// first thing that is wrong is named, with the first record that may be wrong.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pursekeeper audit verify --config purse/pursekeeper.yaml\n  \
                  pursekeeper audit verify --checkpoint /mnt/elsewhere/checkpoint\n  \
                  pursekeeper audit verify --archive archive/*.jsonl.gz --key \"$(cat audit.vkey)\"\n  \
                  pursekeeper audit verify --records --key \"$(cat audit.vkey)\" --checkpoint monday --checkpoint friday")]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// A signed checkpoint that was kept elsewhere: the journal must contain what it says. It shows what the journal alone
    /// cannot: that its end was cut off, an older copy put back, or all of it written anew.
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// Who must have signed the checkpoints, as `pursekeeper audit key` prints it, and any that signed before; without it,
    /// the audit key in the keystore.
    #[arg(long = "key", value_name = "VKEY")]
    pub(super) keys: Vec<String>,
    #[command(flatten)]
    pub(super) from: FromArchive,
    /// Check only that the records are those that were written: chain, tree and checkpoints, but none of the tables that
    /// follow from them. Several times faster.
    #[arg(long)]
    records: bool,
    /// Be content with the records that are in the journal, when others are archived and their segments are not here.
    #[arg(long)]
    partial: bool,
}

pub(super) fn run(args: &VerifyArgs, output: Output) -> anyhow::Result<Exit> {
    if !args.from.archive.is_empty() {
        return archive::verify(args, output);
    }
    let config = Config::load(&args.config.config)?;
    let reader = Reader::open(&config.journal)?;
    let key = verifier(&args.keys, &config)?;
    let given: anyhow::Result<Vec<_>> = args.checkpoints.iter().map(|path| given(path)).collect();
    let given = given?;
    let depth = if args.records { Depth::Records } else { Depth::Everything };
    let archive = args.from.dir(&config);
    let scrutiny = Scrutiny { depth, key: Some(&key), checkpoints: &given, archive: archive.as_deref() };
    let bar = progress(reader.last_seq()?, output);
    let verified = reader.verify_against(&scrutiny, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let id = reader.id().to_string();
    match verified {
        // Whoever looks at the exit code alone is not told that all is well.
        Ok(Verified { unchecked, .. }) if unchecked > 0 && !args.partial => {
            let why = format!(
                "records 1 to {unchecked} are archived and not in the journal any more, so neither they nor what follows from \
                 them was checked: name the directory of the segments with `--archive-dir`, or check the rest alone with `--partial`"
            );
            anyhow::ensure!(output.is_json(), why);
            output
                .json(&json!({ "valid": false, "journal_id": id, "error": why, "unchecked": unchecked }))?;
            Ok(Exit::Failed)
        }
        Ok(verified) => told(&verified, (&id, depth), output).map(|()| Exit::Done),
        Err(error) if output.is_json() => {
            output.json(&json!({
                "valid": false, "journal_id": id, "error": error.to_string(), "first_bad_seq": error.first_bad_seq(),
            }))?;
            Ok(Exit::Failed)
        }
        Err(error) => Err(in_words(error)),
    }
}

/// Who signs checkpoints: as given, or as the keystore says.
pub(super) fn verifier(keys: &[String], config: &Config) -> anyhow::Result<AuditVerifier> {
    if !keys.is_empty() {
        return Ok(AuditVerifier::any_of(keys)?);
    }
    let text = Keystore::open(&config.keystore.dir)
        .and_then(|keystore| keystore.audit_verifier_key())
        .context("cannot tell who signs checkpoints: name the key with `--key`")?;
    Ok(AuditVerifier::parse(&text)?)
}

fn given(path: &Path) -> anyhow::Result<GivenCheckpoint> {
    let failed = || format!("cannot read the checkpoint `{}`", path.display());
    let len = std::fs::metadata(path).with_context(failed)?.len();
    anyhow::ensure!(len <= NOTE_LEN_MAX, "{}: it is longer than {NOTE_LEN_MAX} bytes", failed());
    let note = std::fs::read_to_string(path).with_context(failed)?;
    Ok(GivenCheckpoint { name: format!("the checkpoint in `{}`", path.display()), note })
}

/// A bar for a person at a terminal.
pub(super) fn progress(total: u64, output: Output) -> ProgressBar {
    if output.is_json() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SEC));
    let form = "{wide_bar} {human_pos} of {human_len} records, {per_sec}, {eta} left";
    bar.enable_steady_tick(Duration::from_secs(1));
    ProgressStyle::with_template(form).map_or(bar.clone(), |style| bar.with_style(style))
}

fn told(verified: &Verified, (id, depth): (&str, Depth), output: Output) -> anyhow::Result<()> {
    let Verified { records, unchecked, last_chain, root, checkpoints, holds, resolved, scopes } = *verified;
    let tables = depth == Depth::Everything && unchecked == 0;
    if output.is_json() {
        output.json(&json!({
            "valid": true, "journal_id": id, "records": records, "chain": last_chain.to_string(),
            "root": root.to_string(), "checkpoints": checkpoints, "tables": tables, "unchecked": unchecked,
        }))?;
        return Ok(());
    }
    output.line(&format!("{} {records} records of journal {id}", output.paint(Tone::Good, "verified")))?;
    output.line(&format!("chain {last_chain}"))?;
    output.line(&format!("root {root}"))?;
    output.line(&format!("checkpoints {checkpoints}"))?;
    if unchecked > 0 {
        let not = output.paint(Tone::Bad, "not checked:");
        output.line(&format!("{not} records 1 to {unchecked}, and the tables that follow from them"))?;
    } else if tables {
        output.line(&format!(
            "tables follow: {holds} holds, {resolved} resolved, {scopes} subjects with totals"
        ))?;
    } else {
        output.line("tables were not looked at: leave out --records to check them, too")?;
    }
    Ok(())
}

fn in_words(error: VerifyError) -> anyhow::Error {
    match error.first_bad_seq() {
        Some(seq) => anyhow::Error::new(error)
            .context(format!("the journal is not what was written: first bad record {seq}")),
        None => error.into(),
    }
}

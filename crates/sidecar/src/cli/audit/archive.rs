//! Segments, by hand.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use pursekeeper_custody::Keystore;
use pursekeeper_journal::{
    AuditVerifier, JournalError, Reader, Seal, Segment, SqliteJournal, check_row, file_name, import,
};
use serde_json::json;

use super::verify::{VerifyArgs, progress, verifier};
use crate::cli::{ConfigArg, Exit};
use crate::config::Config;
use crate::output::{Output, Tone};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("end").args(["through", "before"]))]
pub(in crate::cli) struct ArchiveArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Where to; `audit.archive.dir` of the configuration, unless it is given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Nothing after this record.
    #[arg(long, value_name = "SEQ")]
    through: Option<u64>,
    /// Nothing from this time on, such as 2026-11-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    before: Option<jiff::Timestamp>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// The segments, in order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The database to make. It must not exist.
    #[arg(long, value_name = "NEW.db")]
    into: PathBuf,
}

/// Where records are that left the journal.
#[derive(Debug, Args)]
pub(super) struct FromArchive {
    /// The directory of the segments, for what is not in the journal any more; `audit.archive.dir` of the configuration,
    /// unless it is given.
    #[arg(long, value_name = "DIR")]
    archive_dir: Option<PathBuf>,
    /// Verify these segments, in order, and no journal: no configuration is needed.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "archive_dir")]
    pub(super) archive: Vec<PathBuf>,
}

impl FromArchive {
    /// The directory of the segments, if there is one.
    pub(super) fn dir(&self, config: &Config) -> Option<PathBuf> {
        self.archive_dir.clone().or_else(|| config.audit.archive.dir.clone())
    }
}

/// Verifies a row of segments. The key is the one that is given, or the keystore's if there is one: a segment that says
/// itself who signed it proves nothing.
pub(super) fn verify(args: &VerifyArgs, output: Output) -> anyhow::Result<Exit> {
    let files = &args.from.archive;
    let key = match (args.keys.as_slice(), Config::load(&args.config.config)) {
        ([], Ok(config)) => verifier(&[], &config).ok(),
        ([], Err(_)) => None,
        (keys, _) => Some(AuditVerifier::any_of(keys)?),
    };
    let bar = progress(0, output);
    let (mut first, mut journal) = (None, None);
    let checked = check_row(
        files,
        |stored, _| {
            first.get_or_insert(stored.seq);
            bar.set_position(stored.seq);
            Ok::<_, anyhow::Error>(())
        },
        |header, trailer| {
            journal = Some(header.journal);
            let (last, signed) = (header.last, key.as_ref().map(|key| key.open(&trailer.checkpoint)));
            signed.transpose().map_err(|fault| anyhow::anyhow!("the checkpoint of record {last} {fault}"))?;
            Ok(())
        },
    );
    bar.finish_and_clear();
    let segment = match checked {
        Ok(segment) => segment,
        Err(error) if output.is_json() => {
            output.json(&json!({ "valid": false, "error": error.to_string() }))?;
            return Ok(Exit::Failed);
        }
        Err(error) => return Err(error),
    };
    let Some(((first, journal), segment)) = first.zip(journal).zip(segment) else {
        anyhow::bail!("there are no records in these segments")
    };
    let (last, chain, root, signed) = (segment.last, segment.chain, segment.frontier.root()?, key.is_some());
    if output.is_json() {
        output.json(&json!({
            "valid": true, "journal_id": journal.to_string(), "first": first, "last": last, "segments": files.len(),
            "chain": chain.to_string(), "root": root.to_string(), "signed": signed,
        }))?;
        return Ok(Exit::Done);
    }
    let segments = files.len();
    output
        .line(&format!("verified records {first} to {last} of journal {journal} in {segments} segment(s)"))?;
    output.line(&format!("chain {chain}"))?;
    output.line(&format!("root {root}"))?;
    if !signed {
        let not = output.paint(Tone::Bad, "not checked:");
        output.line(&format!("{not} who signed the checkpoints: name the key with --key"))?;
    }
    Ok(Exit::Done)
}

/// Archives everything after the last segment, up to the last signed checkpoint within the bounds.
pub(super) fn archive(args: &ArchiveArgs, output: Output) -> anyhow::Result<Exit> {
    let config = Config::load(&args.config.config)?;
    let dir = args.dir.clone().or_else(|| config.audit.archive.dir.clone());
    let dir = dir.ok_or_else(|| {
        anyhow::anyhow!(
            "where to? name a directory with --dir, or set `audit.archive.dir` in the configuration"
        )
    })?;
    std::fs::create_dir_all(&dir)?;
    let reader = Reader::open(&config.journal)?;
    let through = match (args.through, args.before) {
        (Some(through), _) => through,
        (None, Some(before)) => {
            reader.last_before(u64::try_from(before.as_millisecond()).unwrap_or_default())?
        }
        (None, None) => reader.last_seq()?,
    };
    let Some(last) = reader.seal_through(through)? else {
        let (archived, _) = reader.archived_and_pruned()?;
        anyhow::bail!(
            "there is no signed checkpoint between record {archived}, up to which everything is archived, and record {through}: \
             a segment ends at one"
        );
    };
    let bar = progress(last, output);
    // Who signs is told in the header where it is known; nobody who verifies relies on it.
    let key = Keystore::open(&config.keystore.dir).and_then(|keystore| keystore.audit_verifier_key());
    let seal = Seal { dir: dir.clone(), last, verifier: key.ok() };
    let sealed = reader.archive(&seal, |seq| {
        bar.set_position(seq);
        true
    });
    bar.finish_and_clear();
    let segment = sealed?;
    let noted = note(&config.journal, &reader, &segment)?;
    let path = dir.join(file_name(reader.id(), segment.first, segment.last));
    tell(&path, &segment, noted, output)?;
    Ok(Exit::Done)
}

/// Takes note of a segment in the journal, unless somebody else writes that.
fn note(journal: &Path, reader: &Reader, segment: &Segment) -> Result<bool, JournalError> {
    match SqliteJournal::open(journal, reader.id()) {
        Ok(mut journal) => journal.note_segment(segment).map(|()| true),
        Err(JournalError::InUse { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn tell(path: &Path, segment: &Segment, noted: bool, output: Output) -> anyhow::Result<()> {
    let Segment { first, last, digest, .. } = segment;
    if output.is_json() {
        let digest = digest.to_string();
        output
            .json(&json!({ "file": path, "first": first, "last": last, "sha256": digest, "noted": noted }))?;
        return Ok(());
    }
    output.line(&format!("archived records {first} to {last}: {}", path.display()))?;
    output.line(&format!("sha-256 {digest}"))?;
    if !noted {
        output.line(
            "a running sidecar notes only the segments it makes itself, so this one is a copy: nothing is deleted because of it",
        )?;
    }
    Ok(())
}

/// Makes a database for analysis.
pub(super) fn import_files(args: &ImportArgs, output: Output) -> anyhow::Result<Exit> {
    let bar = progress(0, output);
    let imported = import(&args.files, &args.into, |seq| bar.set_position(seq));
    bar.finish_and_clear();
    let Some(imported) = imported? else { anyhow::bail!("there are no records to import") };
    let (first, last) = (imported.first, imported.last);
    if output.is_json() {
        output.json(&json!({ "database": args.into, "first": first, "last": last }))?;
    } else {
        let into = args.into.display();
        output.line(&format!("imported records {first} to {last}, verified on the way: {into}"))?;
        output.line(&format!("try: sqlite3 {into} 'SELECT code, count(*) FROM record GROUP BY code'"))?;
    }
    Ok(Exit::Done)
}

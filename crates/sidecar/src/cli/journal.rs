use clap::Subcommand;
use pursekeeper_core::JournalId;
use pursekeeper_custody::{Keystore, Passphrase};
use pursekeeper_journal::SqliteJournal;
use serde_json::json;

use super::{ConfigArg, Exit};
use crate::clock::Clock;
use crate::config::Config;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    /// Create the journal and bind the keystore to it. Refused when the keystore already has one.
    #[command(after_help = "Example:\n  pursekeeper journal init --config purse/pursekeeper.yaml")]
    Init(ConfigArg),
    /// After a loss: create a new journal in which every window counts as fully spent, and bind the keystore to it.
    ///
    /// Nobody knows what the lost journal had permitted, so no budget starts afresh: each rolling window frees money
    /// when it has passed once, and lifetime ceilings stay closed.
    #[command(after_help = "Example:\n  pursekeeper journal adopt --config purse/pursekeeper.yaml")]
    Adopt(ConfigArg),
}

pub(super) fn run(command: &JournalCommand, output: Output) -> anyhow::Result<Exit> {
    let (JournalCommand::Init(args) | JournalCommand::Adopt(args)) = command;
    let config = Config::load(&args.config)?;
    let mut keystore = Keystore::open(&config.keystore.dir)?;
    // Before anything is made: a journal whose checkpoints nobody can sign is not served.
    keystore.create_audit_key(&Passphrase::from_file(&config.keystore.passphrase_file)?)?;
    let id = fresh_id()?;
    let now = Clock::new().now();
    let how = match command {
        JournalCommand::Init(_) => {
            if let Some(bound) = keystore.journal_id() {
                anyhow::bail!(
                    "the keystore already belongs to journal {bound}: restore that file, or, if it is lost, run `pursekeeper journal adopt`"
                );
            }
            create_dir(&config)?;
            SqliteJournal::create(&config.journal, now, id)?;
            keystore.bind_journal(id)?;
            "created"
        }
        JournalCommand::Adopt(_) => {
            create_dir(&config)?;
            // Until then a signature the lost journal permitted may still be settled.
            let held_until =
                now.unix_seconds().plus(config.limits.validity_secs_max).plus(config.limits.skew_secs);
            SqliteJournal::create_adopting(&config.journal, now, id, held_until)?;
            set_checkpoint_aside(&config, keystore.journal_id())?;
            keystore.rebind_journal(id)?;
            "adopted, every window counts as spent"
        }
    };
    if output.is_json() {
        output.json(&json!({ "journal_id": id.to_string(), "path": config.journal, "state": how }))?;
    } else {
        output.line(&format!("journal {id} {how}: {}", config.journal.display()))?;
    }
    Ok(Exit::Done)
}

/// An id nobody else has.
pub(super) fn fresh_id() -> anyhow::Result<JournalId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(JournalId(bytes))
}

/// The checkpoint of the lost journal stays as evidence, under another name: the new journal cannot contain what it says.
fn set_checkpoint_aside(config: &Config, lost: Option<JournalId>) -> std::io::Result<()> {
    let Some(file) = &config.audit.checkpoint.file else { return Ok(()) };
    let mut aside = file.as_os_str().to_owned();
    aside.push(lost.map_or(".lost".to_owned(), |id| format!(".{id}")));
    match std::fs::rename(file, aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn create_dir(config: &Config) -> std::io::Result<()> {
    config.journal.parent().map_or(Ok(()), std::fs::create_dir_all)
}

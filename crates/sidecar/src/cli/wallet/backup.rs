//! A wallet's key outside the sidecar, encrypted for the people who recover it, and how it gets back in.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use pursekeeper_api::{Governance, v1};
use pursekeeper_core::WalletName;
use pursekeeper_custody::{Source, seal_delivery};
use serde_json::json;
use tempfile::NamedTempFile;

use super::key;
use crate::cli::act::{self, Asked};
use crate::cli::confirm;
use crate::cli::subject::{ActArgs, EndArgs, NameArgs, Noun};
use crate::cli::{Exit, block_on, client};
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
The file opens with `age --decrypt` and an identity of a recovery team, also without Pursekeeper. Keep it where the sidecar is not.

Example:
  pursekeeper wallet backup treasury --out treasury.age --reason \"first backup\"")]
pub(in crate::cli) struct BackupArgs {
    #[command(flatten)]
    act: ActArgs,
    /// The file to make. It must not exist; only you may read it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The backup is opened here and sealed for the sidecar: the identity stays with you. The wallet is suspended, and every window of it
counts as spent, until an operator resumes it.

Example:
  pursekeeper wallet recover treasury --backup treasury.age --identity me.key --reason \"the disk was lost\"")]
pub(in crate::cli) struct RecoverArgs {
    #[command(flatten)]
    end: EndArgs,
    /// The file that `wallet backup` made.
    #[arg(long, value_name = "FILE")]
    backup: PathBuf,
    /// The age identity that opens it, as `age-keygen` writes it; readable by its owner only.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
}

pub(super) fn backup(args: BackupArgs, output: Output) -> anyhow::Result<Exit> {
    use v1::backup_response::Result as Outcome;
    let BackupArgs { act: ActArgs { subject: NameArgs { name, config }, reason }, out } = args;
    // A place that cannot be written is found before the key leaves the sidecar.
    let file = NewFile::at(&out)?;
    let answer = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        let request = v1::LifecycleRequest { subject: Some(Noun::Wallet.named(name)), reason };
        client::answer(governance.backup(request).await)
    })?;
    let done = match answer.result {
        Some(Outcome::Backup(done)) => done,
        Some(Outcome::Denied(denied)) => return client::refused(&denied, output),
        None => return Err(client::empty()),
    };
    let v1::WalletBackup { decision_id, wallet, address, age_file, recipients } = done;
    anyhow::ensure!(!age_file.is_empty(), "the sidecar sent an empty backup: nothing was written");
    file.keep(&age_file).with_context(|| {
        format!("decision {decision_id} records a backup that is nowhere now: back {wallet} up again")
    })?;
    if output.is_json() {
        output.json(&json!({
            "name": wallet, "address": address, "decision_id": decision_id, "file": out, "recipients": recipients,
        }))?;
        return Ok(Exit::Done);
    }
    output.line(&format!(
        "the key of wallet {wallet} ({address}) is in `{}` (decision {decision_id})",
        out.display()
    ))?;
    for recipient in recipients {
        output.line(&format!("  opens for {recipient}"))?;
    }
    Ok(Exit::Done)
}

/// A file that is there whole or not at all, and never in place of another.
struct NewFile {
    path: PathBuf,
    draft: NamedTempFile,
}

impl NewFile {
    fn at(path: &Path) -> anyhow::Result<Self> {
        let taken = fs::symlink_metadata(path).is_ok();
        anyhow::ensure!(!taken, "`{}` is there already: choose another file", path.display());
        let draft = NamedTempFile::new_in(dir_of(path))
            .with_context(|| format!("cannot write into the directory of `{}`", path.display()))?;
        Ok(Self { path: path.to_owned(), draft })
    }

    /// Puts the file in its place. It is on disk when this returns, and only its owner may access it.
    fn keep(mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let context = || format!("cannot write `{}`", self.path.display());
        self.draft.write_all(bytes).with_context(context)?;
        self.draft.as_file().sync_all().with_context(context)?;
        self.draft.persist_noclobber(&self.path).map_err(|error| error.error).with_context(context)?;
        File::open(dir_of(&self.path)).and_then(|dir| dir.sync_all()).with_context(context)
    }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn recover(args: RecoverArgs, output: Output) -> anyhow::Result<Exit> {
    let RecoverArgs { end: EndArgs { act, yes }, backup, identity } = args;
    let ActArgs { subject: NameArgs { name, config }, reason } = act;
    let wallet = WalletName::parse(&name)?;
    if yes.is_to_ask()? {
        let meaning = [
            format!("You are about to take the key of wallet {name} in from `{}`.", backup.display()),
            "The wallet is suspended, and every window of it counts as spent, until an operator resumes it."
                .to_owned(),
        ];
        confirm::ask(&meaning, &name)?;
    }
    let response = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        let recipient = key::recipient(&mut governance).await?;
        let source = Source::Backup { file: &backup, identity: &identity };
        let sealed_key = seal_delivery(source, &wallet, &recipient)?;
        let request = v1::RecoverRequest { wallet: wallet.to_string(), sealed_key, reason };
        client::answer(governance.recover(request).await)
    })?;
    let subject = Noun::Wallet.named(name);
    act::show(response, &Asked { subject: &subject, verb: "recover", done: "", next: None }, output)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_backup_is_a_new_file_that_only_its_owner_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("treasury.age");
        NewFile::at(&path).unwrap().keep(b"sealed").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"sealed");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(NewFile::at(&path).err().unwrap().to_string().contains("another file"));
    }

    #[test]
    fn a_backup_never_takes_the_place_of_a_file_that_came_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("treasury.age");
        let file = NewFile::at(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(file.keep(b"ours").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_was_not_kept_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("treasury.age");
        drop(NewFile::at(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(NewFile::at(&dir.path().join("nowhere/treasury.age")).is_err());
        assert_eq!(dir_of(Path::new("treasury.age")), Path::new("."));
    }
}

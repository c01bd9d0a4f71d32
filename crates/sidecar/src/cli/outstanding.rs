//! Voiding everything that a stopped subject has signed, as far as that can be.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use pursekeeper_api::{Governance, v1};
use serde_json::{Value, json};

use super::subject::{ActArgs, NameArgs, Noun};
use super::{Exit, as_json, block_on, client, moment};
use crate::output::{Output, Tone};

#[derive(Debug, Args)]
pub(super) struct OutstandingArgs {
    #[command(flatten)]
    act: ActArgs,
    /// Write one file per transaction into this directory, as JSON. Nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(noun: Noun, args: OutstandingArgs, output: Output) -> anyhow::Result<Exit> {
    use v1::cancel_outstanding_response::Result as Outcome;
    let OutstandingArgs { act: ActArgs { subject: NameArgs { name, config }, reason }, out } = args;
    // A directory that cannot be made is found before anything is signed.
    if let Some(dir) = &out {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| format!("cannot make the directory `{}`", dir.display()))?;
    }
    let request = v1::LifecycleRequest { subject: Some(noun.named(name)), reason };
    let answer = block_on(async {
        let mut governance = Governance::new(client::operators(&config.config).await?);
        client::answer(governance.cancel_outstanding(request).await)
    })?;
    let done = match answer.result {
        Some(Outcome::Done(done)) => done,
        Some(Outcome::Denied(denied)) => return client::refused(&denied, output),
        None => return Err(client::empty()),
    };
    let v1::CancelledOutstanding { decision_id, cancellations, not_cancellable } = &done;
    let written = match &out {
        Some(dir) => cancellations.iter().map(|one| write(dir, one)).collect::<anyhow::Result<Vec<_>>>()?,
        None => Vec::new(),
    };
    if output.is_json() {
        let cancellations: Vec<Value> = cancellations.iter().map(as_json::cancellation).collect();
        let not_cancellable: Vec<Value> = not_cancellable.iter().map(as_json::hold).collect();
        output.json(&json!({
            "decision_id": decision_id, "cancellations": cancellations, "not_cancellable": not_cancellable,
            "files": written,
        }))?;
        return Ok(Exit::Done);
    }
    show(&done, out.as_deref(), output)?;
    Ok(Exit::Done)
}

fn show(done: &v1::CancelledOutstanding, out: Option<&Path>, output: Output) -> anyhow::Result<()> {
    let v1::CancelledOutstanding { decision_id, cancellations, not_cancellable } = done;
    if cancellations.is_empty() {
        output.line(&format!("there is nothing that could be voided (decision {decision_id})"))?;
    } else {
        let (count, noun) = counted(cancellations.len(), "transaction");
        output.line(&format!(
            "{count} {noun} to send, from any account that has gas (decision {decision_id}):"
        ))?;
        let row = |one: &v1::Cancellation| vec![one.network.clone(), one.asset.clone(), one.nonce.clone()];
        output.table(&["NETWORK", "TO", "NONCE"], &cancellations.iter().map(row).collect::<Vec<_>>())?;
        let where_data_is = match out {
            Some(dir) => format!("what to send is in `{}`, one file each", dir.display()),
            None => "what to send is shown with --output json and written with --out DIR".to_owned(),
        };
        output.line(&output.paint(Tone::Faint, &where_data_is))?;
    }
    if not_cancellable.is_empty() {
        return Ok(());
    }
    let (count, noun) = counted(not_cancellable.len(), "signature");
    output.line(&format!("\n{count} {noun} that cannot be voided, dead at the deadline:"))?;
    let row = |hold: &v1::Hold| {
        let v1::Hold { decision_id, usd, network, payee, held_until, .. } = hold;
        let until = moment::of_secs(*held_until);
        vec![decision_id.clone(), format!("${usd}"), network.clone(), payee.clone(), until]
    };
    let rows: Vec<_> = not_cancellable.iter().map(row).collect();
    Ok(output.table(&["DECISION", "USD", "NETWORK", "PAYEE", "UNTIL"], &rows)?)
}

fn counted(count: usize, noun: &str) -> (usize, String) {
    (count, if count == 1 { noun.to_owned() } else { format!("{noun}s") })
}

/// Writes one transaction to a file of its own. One that is there already, as it was, stays.
fn write(dir: &Path, one: &v1::Cancellation) -> anyhow::Result<PathBuf> {
    let path = dir.join(file_name(one));
    let text = as_json::cancellation(one).to_string() + "\n";
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .with_context(|| format!("cannot write `{}`", path.display()))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let same = fs::read_to_string(&path).is_ok_and(|there| is_same(&there, &text));
            anyhow::ensure!(
                same,
                "`{}` is there already and holds something else: choose another directory and ask again",
                path.display()
            );
        }
        Err(error) => return Err(error).with_context(|| format!("cannot write `{}`", path.display())),
    }
    Ok(path)
}

/// Whether two files hold the same transaction, whichever decision signed it.
fn is_same(one: &str, other: &str) -> bool {
    let sent = |text: &str| -> Option<[Value; 3]> {
        let value: Value = serde_json::from_str(text).ok()?;
        Some(["network", "to", "calldata"].map(|field| value.get(field).cloned().unwrap_or_default()))
    };
    sent(one).is_some_and(|one| Some(one) == sent(other))
}

/// The network, the token and the nonce tell transactions apart; nothing else gets into a file's name.
fn file_name(one: &v1::Cancellation) -> String {
    let v1::Cancellation { network, asset, nonce, .. } = one;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = format!("{network}-{asset}-{nonce}").chars().map(plain).collect();
    format!("{name}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancellation(calldata: &[u8]) -> v1::Cancellation {
        v1::Cancellation {
            decision_id: "d-42".to_owned(),
            network: "eip155:84532".to_owned(),
            asset: "0xAA".to_owned(),
            calldata: calldata.to_vec(),
            authorizer: "0xBB".to_owned(),
            nonce: "0xcc".to_owned(),
            signature: "0xdd".to_owned(),
        }
    }

    #[test]
    fn a_file_name_stays_in_its_directory() {
        assert_eq!(file_name(&cancellation(&[])), "eip155-84532-0xAA-0xcc.json");
        let evil = v1::Cancellation { nonce: "../../etc/passwd\0".to_owned(), ..cancellation(&[]) };
        assert_eq!(file_name(&evil), "eip155-84532-0xAA-------etc-passwd-.json");
    }

    #[test]
    fn a_transaction_is_written_once_and_never_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &cancellation(&[1, 2])).unwrap();
        let json: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((&json["to"], &json["calldata"]), (&json!("0xAA"), &json!("0x0102")));
        let again = v1::Cancellation { decision_id: "d-43".to_owned(), ..cancellation(&[1, 2]) };
        assert_eq!(write(dir.path(), &again).unwrap(), path, "the same transaction of a later decision");
        let error = write(dir.path(), &cancellation(&[3])).unwrap_err().to_string();
        assert!(error.contains("another directory"), "{error}");
        fs::write(&path, "not JSON").unwrap();
        assert!(write(dir.path(), &cancellation(&[1, 2])).is_err());
    }
}

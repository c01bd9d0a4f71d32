//! What `pursekeeper audit verify` says of a journal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pursekeeper_tests::Purse;
use serde_json::Value;

use crate::child::{self, Ended};

/// How long it may take before it hangs, on a machine that does many other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who must have signed what.
#[derive(Clone, Debug)]
pub(crate) struct Against {
    /// A checkpoint that was kept elsewhere.
    pub(crate) checkpoint: PathBuf,
    /// A verifier key.
    pub(crate) key: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything agrees.
    Valid,
    /// What was looked at agrees; so many records were not, because they are said to be archived.
    Partly(u64),
    /// Something does not.
    Found {
        /// In a word: what told.
        by: String,
        /// The first record that may be wrong, if it says.
        first_bad: Option<u64>,
        /// In its own words.
        words: String,
    },
    /// No answer: a panic, a signal, or none in time.
    Broken(String),
}

/// The key that `audit key` prints.
pub(crate) fn key_of(purse: &Purse) -> String {
    purse.exits(0, &["audit", "key"]).trim().to_owned()
}

/// Asks the real command.
pub(crate) fn verify(purse: &Purse, against: &Against) -> Verdict {
    let ended = child::run(purse.command(&arguments(&against.checkpoint, &against.key)), PATIENCE);
    read(&ended)
}

/// What is asked.
pub(crate) fn arguments<'a>(checkpoint: &'a Path, key: &'a str) -> [&'a str; 8] {
    let checkpoint = checkpoint.to_str().unwrap();
    ["audit", "verify", "--checkpoint", checkpoint, "--key", key, "--output", "json"]
}

/// Understands what came back.
fn read(ended: &Ended) -> Verdict {
    let Ended { status, stdout, stderr, .. } = ended;
    let said = format!("{status:?}: {stdout}{stderr}");
    if stderr.contains("panicked") {
        return Verdict::Broken(said);
    }
    let told: Option<Value> = serde_json::from_str(stdout).ok();
    let valid = told.as_ref().and_then(|told| told["valid"].as_bool());
    match (status.and_then(|status| status.code()), valid) {
        (Some(0), Some(true)) => match told.and_then(|told| told["unchecked"].as_u64()) {
            None | Some(0) => Verdict::Valid,
            Some(unchecked) => Verdict::Partly(unchecked),
        },
        (Some(1), Some(false)) => {
            let told = told.unwrap_or_default();
            let words = told["error"].as_str().unwrap_or_default().to_owned();
            Verdict::Found { by: by(&words), first_bad: told["first_bad_seq"].as_u64(), words }
        }
        (Some(1), None) if !stderr.is_empty() || told.is_some() => Verdict::Found {
            by: "cannot open".to_owned(),
            first_bad: None,
            words: format!("{stdout}{stderr}"),
        },
        _ => Verdict::Broken(said),
    }
}

/// What told, in a word.
fn by(words: &str) -> String {
    let record = [
        ("is missing", "gap"),
        ("hash chain", "chain"),
        ("cannot be read", "unreadable record"),
        ("canonical", "not canonical"),
        ("says it is record", "misplaced"),
        ("high-water", "high water"),
        ("begin", "genesis"),
    ];
    if let Some(rest) = words.strip_prefix("table `") {
        return format!("table {}", rest.split('`').next().unwrap_or_default());
    }
    if words.starts_with("record ") {
        let found = record.iter().find(|(part, _)| words.contains(part));
        return found.map_or("record", |(_, word)| word).to_owned();
    }
    if words.contains("are archived") {
        return "archived, not here".to_owned();
    }
    if words.contains("checkpoint") {
        return "checkpoint".to_owned();
    }
    if words.contains("the file is damaged") {
        return "integrity".to_owned();
    }
    "cannot read".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_told_is_named() {
        let table = [
            ("record 7 does not fit the hash chain", "chain"),
            ("record 7 is missing", "gap"),
            ("table `hold` does not follow from the records: 7", "table hold"),
            ("the checkpoint in `x` is of other records: some", "checkpoint"),
            ("the file is damaged: row 7 missing from index", "integrity"),
        ];
        for (words, expected) in table {
            assert_eq!(by(words), expected, "{words}");
        }
    }
}

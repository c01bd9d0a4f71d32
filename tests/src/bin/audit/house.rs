//! Purses to attack.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pursekeeper_tests::overspend::Rules;
use pursekeeper_tests::{PAYEE, Purse, Sidecar};
use rustix::process::{Pid, Signal, kill_process};

use crate::content;

/// How long anything may take on a machine that does many other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The journal of a purse.
pub(crate) const JOURNAL: &str = "journal/pursekeeper.db";
/// The file that always holds the newest checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Records written without any ceiling in the way.
const LIMIT: &str = "agent_calls_per_sec_max: 1000000";

/// A purse without any ceiling but the one per payment, with `audit:` as given and so many equal records a minute.
pub(crate) fn purse(audit: &str, repeats_per_minute_max: u64) -> Purse {
    let purse = Purse::init();
    Rules::of(&[]).write(&purse);
    // Other payees are left to the operators.
    let listed = format!("payees: [\"{PAYEE}\"]");
    let pending = format!("payees: {{ first_use: pending, list: [\"{PAYEE}\"] }}");
    purse.replace("policies/registry.yaml", &listed, &pending);
    let repeats = format!("{LIMIT}\n  repeats_per_minute_max: {repeats_per_minute_max}\n ");
    purse.replace("pursekeeper.yaml", LIMIT, &repeats);
    let indented: String = audit.lines().map(|line| format!("  {line}\n")).collect();
    purse.replace("pursekeeper.yaml", "\nlog:\n", &format!("\naudit:\n{indented}\nlog:\n"));
    purse.replace("pursekeeper.yaml", "level: info", "level: warn");
    purse
}

/// The same, in which another bundle pays nobody and is asked about everything.
pub(crate) fn shadowed_purse(audit: &str, repeats_per_minute_max: u64) -> Purse {
    let purse = purse(audit, repeats_per_minute_max);
    let shadow = purse.file("shadow");
    fs::create_dir(&shadow).unwrap();
    for file in fs::read_dir(purse.file("policies")).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), shadow.join(file.file_name())).unwrap();
    }
    purse.replace("policies/registry.yaml", "version: 1\n", "version: 1\nrevision: 1\n");
    purse.replace("shadow/registry.yaml", "version: 1\n", "version: 1\nrevision: 2\n");
    purse.replace("shadow/registry.yaml", PAYEE, "0x2222222222222222222222222222222222222222");
    purse.replace("pursekeeper.yaml", "\npolicies:", "\nshadow_policies: shadow\npolicies:");
    purse
}

/// `audit:` with a checkpoint every second and a copy of it.
pub(crate) fn checkpoints() -> String {
    format!("checkpoint: {{ every_secs: 1, file: {CHECKPOINT} }}\n")
}

/// The last record of a journal, which may be in use.
pub(crate) fn last_seq(journal: &Path) -> u64 {
    let last = content::open(journal).and_then(|connection| {
        connection.query_row("SELECT max(seq) FROM record", [], |row| row.get::<_, i64>(0))
    });
    u64::try_from(last.unwrap()).unwrap()
}

/// How many records the newest checkpoint is over.
pub(crate) fn checkpoint_size(checkpoint: &Path) -> Option<u64> {
    let note = fs::read_to_string(checkpoint).ok()?;
    note.lines().nth(1)?.parse().ok()
}

/// Waits until the newest checkpoint is over everything, while nobody asks for anything.
pub(crate) fn until_checkpointed(purse: &Purse) {
    let (journal, checkpoint) = (purse.file(JOURNAL), purse.file(CHECKPOINT));
    until("a checkpoint is over every record", || checkpoint_size(&checkpoint) == Some(last_seq(&journal)));
}

/// Waits, but not for ever.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "gave up waiting until {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// The files of a journal as they are at one moment, with the sidecar standing still.
pub(crate) fn snapshot(purse: &Purse, sidecar: &Sidecar, to: &Path) -> PathBuf {
    let pid = Pid::from_raw(i32::try_from(sidecar.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    fs::create_dir_all(to).unwrap();
    copy_journal(&purse.file("journal"), to);
    kill_process(pid, Signal::CONT).unwrap();
    to.to_owned()
}

/// Copies database and log; what SQLite makes anew is left.
pub(crate) fn copy_journal(from: &Path, to: &Path) {
    for name in ["pursekeeper.db", "pursekeeper.db-wal"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let _ = fs::remove_file(to.join("pursekeeper.db-shm"));
}

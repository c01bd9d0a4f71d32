//! Files that are replaced, and checkpoints of somebody else.

use std::fs;

use pursekeeper_core::Digest;
use pursekeeper_journal::leaf_hash;
use pursekeeper_tests::Purse;
use pursekeeper_tests::overspend::Random;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use super::trail::Trail;
use super::{Truth, history};
use crate::house::{self, JOURNAL};
use crate::verdict::Against;

/// A purse with something replaced, and what it is held against.
pub(super) struct Swapped {
    pub(super) purse: Purse,
    pub(super) against: Against,
    pub(super) truth: Truth,
}

/// A way to replace something.
pub(super) type Swap = fn(&Trail, &mut Random) -> Swapped;

/// Every way. Each is tried once: there is nothing random about it.
pub(super) const ALL: &[(&str, Swap)] = &[
    ("roll the journal back (1)", |trail, _| roll_back(trail, 0)),
    ("roll the journal back (2)", |trail, _| roll_back(trail, 1)),
    ("roll the journal back (3)", |trail, _| roll_back(trail, 2)),
    ("put another journal in its place", other_journal),
    ("put another journal in its place, with its checkpoint", other_journal_and_checkpoint),
    ("put another database beside the log", other_database),
    ("put another log beside the database", other_log),
    ("delete the log", no_log),
    ("say that the first records were archived", pretend_archived),
    ("show a checkpoint of another key", other_checkpoint),
    ("name another key", other_key),
    ("show a checkpoint with a byte changed", damaged_checkpoint),
    ("show an empty checkpoint", empty_checkpoint),
];

/// A copy of the purse and of its own checkpoint.
fn copy(trail: &Trail) -> Swapped {
    let purse = trail.purse.copy();
    house::copy_journal(&trail.purse.file("journal"), &purse.file("journal"));
    let checkpoint = purse.file("kept-elsewhere");
    fs::copy(&trail.against.checkpoint, &checkpoint).unwrap();
    let against = Against { checkpoint, key: trail.against.key.clone() };
    Swapped { purse, against, truth: Truth::Unknown }
}

fn roll_back(trail: &Trail, which: usize) -> Swapped {
    let swapped = copy(trail);
    let (earlier, last) = &trail.earlier[which];
    house::copy_journal(earlier, &swapped.purse.file("journal"));
    Swapped { truth: Truth::At(last + 1), ..swapped }
}

fn other_journal(trail: &Trail, _: &mut Random) -> Swapped {
    let swapped = copy(trail);
    house::copy_journal(&trail.other.0.file("journal"), &swapped.purse.file("journal"));
    swapped
}

fn other_journal_and_checkpoint(trail: &Trail, random: &mut Random) -> Swapped {
    let swapped = other_journal(trail, random);
    // Whoever verifies still knows the key.
    fs::copy(&trail.other.1.checkpoint, &swapped.against.checkpoint).unwrap();
    swapped
}

fn other_database(trail: &Trail, _: &mut Random) -> Swapped {
    let swapped = copy(trail);
    fs::copy(trail.other.0.file(JOURNAL), swapped.purse.file(JOURNAL)).unwrap();
    swapped
}

fn other_log(trail: &Trail, _: &mut Random) -> Swapped {
    let swapped = copy(trail);
    let log = "journal/pursekeeper.db-wal";
    fs::copy(trail.other.0.file(log), swapped.purse.file(log)).unwrap();
    swapped
}

fn no_log(trail: &Trail, _: &mut Random) -> Swapped {
    let swapped = copy(trail);
    fs::remove_file(swapped.purse.file("journal/pursekeeper.db-wal")).unwrap();
    swapped
}

/// The first records are gone, and a row says that they are in an archive nobody has. Chain and tree go on from there.
fn pretend_archived(trail: &Trail, random: &mut Random) -> Swapped {
    let swapped = copy(trail);
    swapped.purse.replace("pursekeeper.yaml", "archive: { dir: archive, ", "archive: { ");
    let gone = trail.quiet_from + u64::try_from(random.below(50)).unwrap();
    let connection = Connection::open(swapped.purse.file(JOURNAL)).unwrap();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    let records = usize::try_from(gone).unwrap();
    let leaves: Vec<Digest> = trail.records[..records].iter().map(|(body, ..)| leaf_hash(body)).collect();
    let (chain, edge) = (&trail.records[records - 1].1, history::edge(&leaves));
    connection.execute("DELETE FROM record WHERE seq <= ?1", [i64::try_from(gone).unwrap()]).unwrap();
    connection.execute("DELETE FROM segment", []).unwrap();
    let sql = "INSERT INTO segment (first_seq, last_seq, digest, chain, frontier, pruned)
               VALUES (1, ?1, zeroblob(32), ?2, ?3, 1)";
    connection.execute(sql, params![i64::try_from(gone).unwrap(), chain, edge]).unwrap();
    swapped
}

/// The checkpoint itself is wrong, so it must be refused although the journal is whole.
fn refused(swapped: Swapped) -> Swapped {
    Swapped { truth: Truth::Refused, ..swapped }
}

fn other_checkpoint(trail: &Trail, _: &mut Random) -> Swapped {
    let swapped = copy(trail);
    fs::copy(&trail.other.1.checkpoint, &swapped.against.checkpoint).unwrap();
    refused(swapped)
}

fn other_key(trail: &Trail, _: &mut Random) -> Swapped {
    let mut swapped = copy(trail);
    swapped.against.key.clone_from(&trail.other.1.key);
    refused(swapped)
}

fn damaged_checkpoint(trail: &Trail, random: &mut Random) -> Swapped {
    let swapped = copy(trail);
    let mut note = fs::read(&swapped.against.checkpoint).unwrap();
    let at = random.below(note.len());
    note[at] = if note[at] == b'x' { b'y' } else { b'x' };
    fs::write(&swapped.against.checkpoint, note).unwrap();
    refused(swapped)
}

fn empty_checkpoint(trail: &Trail, _: &mut Random) -> Swapped {
    let swapped = copy(trail);
    fs::write(&swapped.against.checkpoint, "").unwrap();
    refused(swapped)
}

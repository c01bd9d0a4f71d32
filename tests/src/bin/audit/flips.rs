//! Single bits of the database and its log, turned over: found, or nobody reads anything else.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use pursekeeper_tests::Purse;
use pursekeeper_tests::harness::pool;
use pursekeeper_tests::overspend::{Extent, Random, Tally};

use crate::content::{self, Content, Stored};
use crate::found::{Found, Outcomes};
use crate::house::{self, CHECKPOINT, JOURNAL};
use crate::load::{Ask, Load, MIXED};
use crate::verdict::{Against, Verdict, key_of, verify};

/// Bits that are turned over, of everything and of a sample.
const FLIPS: [usize; 2] = [10_400, 2_400];
/// Records of the journal, at least, of everything and of a sample.
const RECORDS: [usize; 2] = [10_000, 1_500];
/// Records at the end that are in the log alone: fewer than the sidecar thinks worth moving.
const LOGGED: u64 = 40;
/// Copies worked on at a time.
const COPIES: u64 = 2;
/// The files, each with a name for the table.
const FILES: [(&str, &str); 2] = [(JOURNAL, "database"), ("journal/pursekeeper.db-wal", "log")];
/// What SQLite makes anew from the log.
const INDEX: &str = "journal/pursekeeper.db-shm";

/// A journal, as a crash left it.
struct Crashed {
    purse: Purse,
    against: Against,
    records: Vec<Stored>,
    content: Content,
    /// Bytes of the log that hold something.
    log_len: u64,
}

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let mut found = Found::default();
    let [all, sample] = RECORDS;
    let crashed = crash(u64::try_from(extent.choose(all, sample)).unwrap(), &mut found);
    let [all, sample] = FLIPS;
    let flips = extent.choose(all, sample);
    let outcomes = Mutex::new(Outcomes::default());
    // Each copy has its own share, and is told of as it goes.
    let share = u64::try_from(flips).unwrap() / COPIES;
    let tally = pool::each((0..COPIES).collect(), &ProgressBar::hidden(), |copy| {
        let seed = u64::try_from(Random::new(extent.seed()).below(usize::MAX)).unwrap().wrapping_add(copy);
        bar.set_length(u64::try_from(flips).unwrap());
        turn_over(&crashed, (Random::new(seed), share), bar, &outcomes)
    });
    found.tally.add(tally);
    found.outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.tally.done = format!(
        "{} bits turned over, one at a time, in {} records",
        found.outcomes.total(),
        crashed.records.len()
    );
    found
}

/// A sidecar killed in full flight, with a checkpoint over all it recorded.
fn crash(records: u64, found: &mut Found) -> Crashed {
    let purse = house::shadowed_purse(&house::checkpoints(), 200);
    let sidecar = purse.serve();
    let journal = purse.file(JOURNAL);
    for (clients, more) in [(32, records), (1, LOGGED)] {
        let last = house::last_seq(&journal);
        let load = Load::begin(&sidecar.socket("agent"), &format!("c{clients}"), clients, asks(clients));
        house::until("there are records", || house::last_seq(&journal) >= last + more);
        let _ = load.end();
        house::until_checkpointed(&purse);
    }
    sidecar.kill();
    let _ = fs::remove_file(purse.file(INDEX));
    let checkpoint = purse.file("kept-elsewhere");
    fs::copy(purse.file(CHECKPOINT), &checkpoint).unwrap();
    let against = Against { checkpoint, key: key_of(&purse) };
    let verdict = verify(&purse, &against);
    found.tally.expect(verdict == Verdict::Valid, || format!("before anything is changed: {verdict:?}"));
    let log_len = filled(&fs::read(purse.file(FILES[1].0)).unwrap());
    let sizes = [fs::metadata(&journal).unwrap().len(), log_len];
    found.tally.expect(log_len > 64 * 1024, || format!("the log holds {log_len} bytes: too few to tell"));
    found.fact("bytes", format!("database {}, log {}", sizes[0], sizes[1]));
    let (records, content) = (content::records(&journal), Content::read(&journal).unwrap());
    found.tally.decisions = u64::try_from(records.len()).unwrap();
    Crashed { purse, against, records, content, log_len }
}

fn asks(clients: usize) -> &'static [Ask] {
    if clients == 1 { &[Ask::Payment] } else { MIXED }
}

/// Up to where a log that was grown with zeros holds anything.
fn filled(log: &[u8]) -> u64 {
    let zeros = log.iter().rev().take_while(|byte| **byte == 0).count();
    u64::try_from(log.len() - zeros).unwrap()
}

fn turn_over(
    crashed: &Crashed,
    (mut random, flips): (Random, u64),
    bar: &ProgressBar,
    outcomes: &Mutex<Outcomes>,
) -> Tally {
    let mut tally = Tally::default();
    let purse = crashed.purse.copy();
    house::copy_journal(&crashed.purse.file("journal"), &purse.file("journal"));
    let pristine = FILES.map(|(file, _)| fs::read(purse.file(file)).unwrap());
    for at in 0..flips {
        // Two of three in the database; the log is shorter.
        let which = usize::from(at % 3 == 2);
        let (file, name) = FILES[which];
        let len = if which == 0 { pristine[0].len() } else { usize::try_from(crashed.log_len).unwrap() };
        let (byte, bit) = (random.below(len), random.below(8));
        let what = format!("{name}: bit {bit} of byte {byte}");
        let path = purse.file(file);
        put(&path, byte, pristine[which][byte] ^ (1 << bit));
        let verdict = verify(&purse, &crashed.against);
        let outcome = judge(crashed, &purse, &verdict, &what, &mut tally);
        outcomes.lock().unwrap_or_else(PoisonError::into_inner).count(name, &outcome);
        put(&path, byte, pristine[which][byte]);
        let _ = fs::remove_file(purse.file(INDEX));
        bar.inc(1);
    }
    for ((file, name), pristine) in FILES.into_iter().zip(&pristine) {
        let same = fs::read(purse.file(file)).unwrap() == *pristine;
        tally.expect(same, || format!("`audit verify` wrote to the {name}"));
    }
    let verdict = verify(&purse, &crashed.against);
    tally.expect(verdict == Verdict::Valid, || format!("with everything turned back: {verdict:?}"));
    tally
}

fn put(path: &PathBuf, byte: usize, value: u8) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[value], u64::try_from(byte).unwrap()).unwrap();
}

fn judge(crashed: &Crashed, purse: &Purse, verdict: &Verdict, what: &str, tally: &mut Tally) -> String {
    let journal = purse.file(JOURNAL);
    // Whoever looks next must find it as the one before did.
    let fresh = || drop(fs::remove_file(purse.file(INDEX)));
    match verdict {
        Verdict::Broken(said) => {
            tally.fault(format!("{what}: verify broke: {said}"));
            "BROKEN".to_owned()
        }
        Verdict::Partly(unchecked) => {
            tally.fault(format!("{what}: verify passes, with {unchecked} records unchecked"));
            "PASSED, PARTLY UNCHECKED".to_owned()
        }
        Verdict::Valid => {
            fresh();
            harmless(&journal, &crashed.content, what, tally)
        }
        Verdict::Found { by, first_bad, words } => {
            fresh();
            let changed = first_bad.and_then(|_| content::first_changed(&journal, &crashed.records));
            if let (Some(named), Some(changed)) = (*first_bad, changed) {
                tally.expect(named <= changed, || {
                    format!("{what}: it names record {named}, and record {changed} is changed: {words}")
                });
            }
            format!("found by {by}")
        }
    }
}

/// A change that passes must change nothing that anybody reads.
fn harmless(journal: &Path, content: &Content, what: &str, tally: &mut Tally) -> String {
    let read = Content::read(journal);
    let history = read.as_ref().map(|read| read.history_differs(content));
    tally.expect(history.as_ref().is_ok_and(Vec::is_empty), || {
        format!("{what}: verify passes, and these differ: {history:?}")
    });
    if let Some(damage) = content::damage(journal) {
        tally.fault(format!("{what}: verify passes, and SQLite finds the file damaged: {damage}"));
    }
    let differs = read.map(|read| read.differs(content)).unwrap_or_default();
    if differs.is_empty() { "harmless".to_owned() } else { format!("harmless: only {differs:?}") }
}

//! Every way to change a journal: each must be found by `audit verify`, or change nothing that anybody reads.

mod files;
mod history;
mod records;
mod scratch;
mod tables;
mod trail;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use pursekeeper_tests::harness::pool;
use pursekeeper_tests::overspend::{Extent, Random, Tally};

use crate::content::{self, Content};
use crate::found::{Found, Outcomes};
use crate::house::JOURNAL;
use crate::verdict::{Verdict, verify};
use scratch::Scratch;
use trail::Trail;

/// How often each kind is tried, of everything and of a sample.
const ROUNDS: [usize; 2] = [40, 3];
/// How often each table is changed in each way, of everything and of a sample.
const TABLE_ROUNDS: [usize; 2] = [12, 2];

/// The first record that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    /// This one, and it must be named.
    At(u64),
    /// It can only be told to be one of these, and one of them must be named.
    Within(u64, u64),
    /// Everything from some record on was made anew, and only the number of records tells: the last of them is named at the
    /// latest.
    Count(u64),
    /// No record is, or it cannot be told.
    Unknown,
    /// The journal is whole, but what it is held against is not: it must not pass.
    Refused,
    /// This is out of reach for whoever looks at the file, and is said to be.
    Beyond(&'static str),
}

/// A way to change a journal, given a connection to a copy of it.
type Change = fn(&rusqlite::Connection, &Trail, &mut Random) -> Truth;

/// What is tried.
#[derive(Clone, Copy)]
enum Attack {
    /// Something is written into the database.
    Write(&'static str, Change),
    /// A row of a table is changed, deleted or inserted.
    Row(usize, tables::Way),
    /// Files are replaced, or another checkpoint is shown.
    Files(&'static str, files::Swap),
}

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let mut found = Found::default();
    let trail = trail::lay(&mut found);
    let tasks = attacks(&trail, extent);
    let (scratches, outcomes) = (Mutex::new(Vec::<Scratch>::new()), Mutex::new(Outcomes::default()));
    let tally = pool::each(tasks, bar, |(attack, seed)| {
        let taken = scratches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let scratch = taken.unwrap_or_else(|| Scratch::of(&trail.purse));
        let mut tally = Tally::default();
        let (name, outcome) = attempt(&trail, &scratch, attack, Random::new(seed), &mut tally);
        outcomes.lock().unwrap_or_else(PoisonError::into_inner).count(&name, &outcome);
        scratches.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        tally
    });
    found.tally.add(tally);
    for scratch in scratches.into_inner().unwrap_or_else(PoisonError::into_inner) {
        scratch.expect_untouched(&mut found.tally);
        let verdict = verify(&scratch.purse, &trail.against);
        found.tally.expect(verdict == Verdict::Valid, || format!("with everything undone: {verdict:?}"));
    }
    found.outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.tally.done = format!("{} changes to a journal of {} records", found.outcomes.total(), trail.last());
    found
}

/// Everything that is tried, in a fixed order, each with a seed of its own.
fn attacks(trail: &Trail, extent: Extent) -> Vec<(Attack, u64)> {
    let [all, sample] = ROUNDS;
    let rounds = extent.choose(all, sample);
    let writes = records::ALL.iter().chain(history::ALL);
    let mut attacks: Vec<Attack> =
        writes.flat_map(|(name, change)| std::iter::repeat_n(Attack::Write(name, *change), rounds)).collect();
    let [all, sample] = TABLE_ROUNDS;
    for table in 0..trail.tables.len() {
        for way in tables::Way::ALL {
            attacks.extend(std::iter::repeat_n(Attack::Row(table, way), extent.choose(all, sample)));
        }
    }
    attacks.extend(files::ALL.iter().map(|(name, swap)| Attack::Files(name, *swap)));
    let mut random = Random::new(extent.seed());
    let seed = |random: &mut Random| u64::try_from(random.below(usize::MAX)).unwrap();
    attacks.into_iter().map(|attack| (attack, seed(&mut random))).collect()
}

/// Tries one, and returns what it is called and what came of it.
fn attempt(
    trail: &Trail,
    scratch: &Scratch,
    attack: Attack,
    mut random: Random,
    tally: &mut Tally,
) -> (String, String) {
    let (name, truth) = match attack {
        Attack::Write(name, change) => {
            (name.to_owned(), scratch.write(|connection| change(connection, trail, &mut random)))
        }
        Attack::Row(table, way) => {
            let table = &trail.tables[table];
            let name = format!("{} a row of `{}`", way.as_str(), table.name);
            if !scratch.write(|connection| tables::change(connection, table, way, &mut random)) {
                scratch.undo();
                return (name, "no such row".to_owned());
            }
            (name, Truth::Unknown)
        }
        Attack::Files(name, swap) => {
            let swapped = swap(trail, &mut random);
            let journal = swapped.purse.file(JOURNAL);
            let verdict = verify(&swapped.purse, &swapped.against);
            return (name.to_owned(), judge(trail, (name, swapped.truth, &verdict), &journal, tally));
        }
    };
    let verdict = verify(&scratch.purse, &trail.against);
    let outcome = judge(trail, (&name, truth, &verdict), &scratch.purse.file(JOURNAL), tally);
    scratch.undo();
    (name, outcome)
}

/// Compares what is said with what is true.
fn judge(
    trail: &Trail,
    (name, truth, verdict): (&str, Truth, &Verdict),
    journal: &Path,
    tally: &mut Tally,
) -> String {
    match verdict {
        Verdict::Broken(said) => {
            tally.fault(format!("{name}: verify broke: {said}"));
            "BROKEN".to_owned()
        }
        // Whoever looks at the exit code alone is told that everything is well.
        Verdict::Partly(unchecked) => {
            tally.fault(format!("{name}: verify passes, with {unchecked} records unchecked"));
            "PASSED, PARTLY UNCHECKED".to_owned()
        }
        Verdict::Valid => {
            if let Truth::Beyond(why) = truth {
                return format!("out of reach: {why}");
            }
            let content = Content::read(journal);
            let history = content.as_ref().map(|content| content.history_differs(&trail.content));
            tally.expect(history.as_ref().is_ok_and(Vec::is_empty), || {
                format!("{name} ({truth:?}): verify passes, and these differ: {history:?}")
            });
            tally.expect(matches!(truth, Truth::Unknown), || {
                format!("{name}: not found, though {truth:?} is wrong")
            });
            let differs = content.map(|content| content.differs(&trail.content)).unwrap_or_default();
            if differs.is_empty() { "harmless".to_owned() } else { format!("harmless: only {differs:?}") }
        }
        Verdict::Found { by, first_bad, words } => {
            let right = match truth {
                Truth::At(seq) => *first_bad == Some(seq),
                Truth::Within(first, last) => first_bad.is_some_and(|seq| (first..=last).contains(&seq)),
                Truth::Count(last) => first_bad.is_some_and(|seq| seq <= last),
                Truth::Unknown | Truth::Refused | Truth::Beyond(_) => true,
            };
            tally.expect(right, || format!("{name}: {truth:?} is first, and it says {first_bad:?}: {words}"));
            // Whatever it names, what comes before is as it was written.
            let told = first_bad.filter(|_| !matches!(truth, Truth::Count(_)));
            let changed = told.and_then(|_| content::first_changed(journal, &trail.records));
            if let (Some(named), Some(changed)) = (*first_bad, changed) {
                tally.expect(named <= changed, || {
                    format!("{name}: it names record {named}, and record {changed} is changed: {words}")
                });
            }
            format!("found by {by}")
        }
    }
}

//! Those who follow the audit while it is written: no gap, no record twice, in order, whoever drops out or is killed; and
//! one who never reads costs nobody else anything.

mod course;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use pursekeeper_api::{Audit, v1};
use pursekeeper_tests::overspend::{Extent, Random, Tally};
use pursekeeper_tests::{Purse, Sidecar};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::child::memory_kib;
use crate::content::{self, Stored};
use crate::fill;
use crate::found::Found;
use crate::house::{self, JOURNAL};
use crate::load::{Ask, Load, MIXED};
use course::{Course, Wanted};

/// Who follows, from the first record on, and until which: of everything, and of a sample.
const CROWD: [(usize, u64); 2] = [(100, 100_000), (100, 10_000)];
/// Few who follow for long: how many, until which record, and how many of these are recorded live.
const FEW: (usize, u64, u64) = (4, 1_000_000, 20_000);
/// How often the sidecar is killed meanwhile.
const KILLS: [usize; 2] = [5, 2];
/// How long signing is measured, with and without somebody who does not read.
const MEASURED: Duration = Duration::from_secs(8);
/// The most memory the sidecar may take, in KiB: a constant for each who follows, and nothing for each record.
const MEMORY_KIB_MAX: u64 = 512 << 10;
/// Clients that ask meanwhile.
const CLIENTS: usize = 16;
/// How long a record may take to everybody, once nothing more is recorded.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let mut found = Found::default();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (crowd, until) = match extent {
        Extent::Everything => CROWD[0],
        Extent::Sample { .. } => CROWD[1],
    };
    let [all, sample] = KILLS;
    let kills = extent.choose(all, sample);
    stuck(&runtime, &mut found);
    let purse = house::purse(&house::checkpoints(), 200);
    follow(&runtime, &purse, (crowd, until, kills), Random::new(extent.seed()), bar, &mut found);
    found.tally.done = format!("{crowd} followed {until} records, {kills} kills of the sidecar");
    if extent == Extent::Everything {
        let (few, until, live) = FEW;
        let purse = house::purse(&house::checkpoints(), 200);
        fill::fill(&purse, until - live);
        follow(&runtime, &purse, (few, until, 2), Random::new(1), bar, &mut found);
        found.tally.done += &format!("; {few} followed {until} records, 2 kills");
    }
    found
}

/// How fast is signed while somebody asks for everything and reads nothing, and while nobody does.
fn stuck(runtime: &Runtime, found: &mut Found) {
    let purse = house::purse(&house::checkpoints(), 200);
    let sidecar = purse.serve();
    let memory = Memory::look_at(sidecar.pid());
    // The first second is slower than the others.
    let _ = rate(&sidecar, "warm-up", Duration::from_secs(2));
    let alone = rate(&sidecar, "alone", MEASURED);
    let before = memory_kib(sidecar.pid(), "VmRSS").unwrap_or(0);
    let stream = runtime.block_on(async {
        let mut audit = Audit::new(pursekeeper_api::connect(sidecar.socket("operator")).await.unwrap());
        let request = v1::WatchRequest { from_seq: 1, ..Default::default() };
        audit.watch(request).await.unwrap().into_inner()
    });
    let with = rate(&sidecar, "with", MEASURED);
    let grown = memory_kib(sidecar.pid(), "VmRSS").unwrap_or(0).saturating_sub(before);
    drop(stream);
    found.fact(
        "stuck reader",
        format!(
            "{alone} answers/s without, {with} with one who reads nothing ({}%), {grown} KiB more",
            with * 100 / alone.max(1)
        ),
    );
    found.tally.expect(with > 0, || "with one who reads nothing, nothing is signed".to_owned());
    let peak = memory.end();
    found.tally.expect(peak < MEMORY_KIB_MAX, || format!("the sidecar took {peak} KiB"));
    sidecar.kill();
}

/// Answers a second.
fn rate(sidecar: &Sidecar, name: &str, time: Duration) -> u64 {
    let load = Load::begin(&sidecar.socket("agent"), name, CLIENTS, &[Ask::Payment]);
    let begun = Instant::now();
    std::thread::sleep(time);
    let (answers, took) = (load.answers.count(), begun.elapsed());
    let _ = load.end();
    answers * 1_000 / u64::try_from(took.as_millis()).unwrap().max(1)
}

/// So many follow until a record, while it is written and the sidecar killed.
fn follow(
    runtime: &Runtime,
    purse: &Purse,
    (crowd, until, kills): (usize, u64, usize),
    mut random: Random,
    bar: &ProgressBar,
    found: &mut Found,
) {
    let journal = purse.file(JOURNAL);
    let mut sidecar = purse.serve();
    let memory = Memory::look_at(sidecar.pid());
    let (end, ended) = watch::channel(None);
    let seen = Arc::<AtomicU64>::default();
    let followers: Vec<JoinHandle<Course>> = (0..crowd)
        .map(|at| {
            let seed = u64::try_from(random.below(usize::MAX)).unwrap();
            let course =
                Course::new(&sidecar.socket("operator"), Wanted::of(at), Random::new(seed), seen.clone());
            runtime.spawn(course.run(ended.clone()))
        })
        .collect();
    let unread = runtime.block_on(unread(&sidecar));
    let load = Load::begin(&sidecar.socket("agent"), &format!("live{until}"), CLIENTS, MIXED);
    let (first, begun) = (house::last_seq(&journal), Instant::now());
    bar.set_length(until * u64::try_from(crowd).unwrap());
    let share = (until - first) / (u64::try_from(kills).unwrap() + 1);
    for kill in 1..=u64::try_from(kills).unwrap() {
        grow(&journal, first + share * kill);
        bar.set_position(seen.load(Ordering::Relaxed));
        sidecar.kill();
        sidecar = purse.serve();
        memory.look_on(sidecar.pid());
    }
    grow(&journal, until);
    let _ = load.end();
    let recorded = begun.elapsed();
    let sidecar = settle(purse, sidecar);
    let last = house::last_seq(&journal);
    end.send_replace(Some(last));
    let courses = runtime.block_on(async {
        let mut courses = Vec::new();
        for follower in followers {
            courses.push(tokio::time::timeout(PATIENCE, follower).await);
        }
        courses
    });
    drop(unread);
    let peak = memory.end();
    let caught_up = begun.elapsed().saturating_sub(recorded);
    let records = content::records(&journal);
    let mut ends = Ends::default();
    for (at, course) in courses.into_iter().enumerate() {
        match course {
            Ok(Ok(course)) => ends.add(course, &records, &mut found.tally),
            Ok(Err(error)) => found.tally.fault(format!("follower {at} broke: {error}")),
            Err(_) => {
                found.tally.fault(format!("follower {at} did not come to record {last} in {PATIENCE:?}"))
            }
        }
    }
    found
        .tally
        .expect(peak < MEMORY_KIB_MAX, || format!("with {crowd} who follow, the sidecar took {peak} KiB"));
    found.fact(
        "followed",
        format!(
            "{crowd} to record {last}: {} records told, {} streams dropped and resumed, {} lost with the sidecar, {} keep-alives, recorded in {recorded:.0?}, all there {caught_up:.1?} later, peak {peak} KiB",
            ends.told, ends.dropped, ends.lost, ends.alive
        ),
    );
    found.tally.decisions += last;
    drop(sidecar);
}

/// A stream that nobody reads.
async fn unread(sidecar: &Sidecar) -> tonic::Streaming<v1::WatchResponse> {
    let mut audit = Audit::new(pursekeeper_api::connect(sidecar.socket("operator")).await.unwrap());
    let request = v1::WatchRequest { from_seq: 1, ..Default::default() };
    audit.watch(request).await.unwrap().into_inner()
}

/// Waits until a record is there, however long it takes as long as others come.
fn grow(journal: &Path, until: u64) {
    let mut last = house::last_seq(journal);
    while last < until {
        house::until("there are more records", || house::last_seq(journal) > last);
        last = house::last_seq(journal);
    }
}

/// Waits until nothing more is recorded.
fn settle(purse: &Purse, sidecar: Sidecar) -> Sidecar {
    house::until_checkpointed(purse);
    sidecar
}

/// What all of them saw.
#[derive(Default)]
struct Ends {
    told: u64,
    dropped: u64,
    lost: u64,
    alive: u64,
}

impl Ends {
    fn add(&mut self, course: Course, records: &[Stored], tally: &mut Tally) {
        self.told += u64::try_from(course.seqs.len()).unwrap();
        (self.dropped, self.lost) = (self.dropped + course.dropped, self.lost + course.lost);
        self.alive += course.alive;
        course.judge(records, tally);
    }
}

/// Looks at how much memory a process has.
struct Memory {
    pid: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Memory {
    fn look_at(pid: u32) -> Self {
        let (pid, stop) = (Arc::new(AtomicU32::new(pid)), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (pid, stop) = (pid.clone(), stop.clone());
            move || {
                let mut peak = 0;
                while !stop.load(Ordering::Acquire) {
                    peak = peak.max(memory_kib(pid.load(Ordering::Acquire), "VmHWM").unwrap_or(0));
                    std::thread::sleep(house::LOOK_INTERVAL);
                }
                peak
            }
        });
        Self { pid, stop, thread }
    }

    fn look_on(&self, pid: u32) {
        self.pid.store(pid, Ordering::Release);
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

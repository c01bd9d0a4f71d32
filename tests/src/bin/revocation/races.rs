//! Two operators who do and undo, each on a connection of its own, while agents are paid for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use indicatif::ProgressBar;
use jiff::Timestamp;
use pursekeeper_tests::Sidecar;
use pursekeeper_tests::overspend::{Extent, Outcome, Random, Scene};
use tokio::runtime::{Builder, Runtime};

use crate::crowd::{Asked, Crowd};
use crate::finding::Found;
use crate::load::hand_off;
use crate::operator::{Act, Aim, Operator, Told, WALLET, seq};
use crate::records::Record;
use crate::stage::{self, expect_verified};
use crate::verbs::declare_successor;

/// Agents' clients at a time.
const CLIENTS: usize = 16;
/// What each operator does in a round.
const ACTS: usize = 60;
/// Signatures before they begin.
const SIGNED: usize = 16;
/// Rounds of everything and of a sample.
const ROUNDS: [usize; 2] = [30, 3];
/// What is stopped and goes on again.
const AIMS: [Aim; 5] = [
    Aim::One("wallet", WALLET),
    Aim::One("workflow", "market-research"),
    Aim::One("agent", "crawler"),
    Aim::One("service", "weather"),
    Aim::All,
];

/// One thing an operator may do.
#[derive(Clone, Copy, Debug)]
enum Move {
    Act(Act, Aim),
    Rotate,
    Reload,
    /// Rotates, writes the new address into the registry, and reloads.
    Complete,
}

/// What an operator did, and when.
struct Deed {
    what: Move,
    begun: Instant,
    ended: Instant,
    wall: [Timestamp; 2],
    /// The record and the status that were answered, or the code of the denial.
    told: Result<(u64, String), (u64, String)>,
}

/// A subject as records name it.
type Name = (String, String);

pub(crate) fn run(extent: Extent, bar: &ProgressBar) -> Found {
    let [everything, sample] = ROUNDS;
    let rounds = extent.choose(everything, sample);
    bar.set_length(u64::try_from(rounds).unwrap());
    let mut found = Found::default();
    let mut random = Random::new(extent.seed());
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let base = stage::scene();
    let mut deeds = 0;
    for _ in 0..rounds {
        deeds += round(&base, &runtime, &mut random, &mut found);
        bar.inc(1);
    }
    let signed = found.tally.released;
    found.tally.expect(signed > 0, || "nothing was signed".to_owned());
    found.tally.done = format!(
        "{rounds} rounds, {deeds} acts of two operators at once, {signed} payments signed, {} late",
        found.late
    );
    found
}

fn round(base: &Scene, runtime: &Runtime, random: &mut Random, found: &mut Found) -> usize {
    let scene = Arc::new(base.copy());
    let sidecar = scene.serve(&mut found.tally);
    let operators = [(); 2].map(|()| Operator::connect(&sidecar));
    let address = operators[0].wallet().address;
    let crowd = runtime.block_on(Crowd::let_loose((&scene, &sidecar), CLIENTS, random));
    runtime.block_on(crowd.until_signed(SIGNED));
    let [one, other] = operators;
    let mut first = plan(random);
    first.insert(random.below(ACTS), Move::Complete);
    let plans = [(one, first), (other, plan(random))];
    let deeds: Vec<Deed> = std::thread::scope(|scope| {
        let at_work = plans.map(|(operator, plan): (Operator, Vec<Move>)| {
            let (scene, address) = (&scene, &address);
            scope.spawn(move || {
                plan.into_iter().flat_map(|what| do_it(&operator, what, (scene, address))).collect()
            })
        });
        let done: [Vec<Deed>; 2] =
            at_work.map(|operator| operator.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        done.into_iter().flatten().collect()
    });
    // By then one of them has revoked the wallet.
    let _ = crowd.stopped();
    let asked = runtime.block_on(crowd.asked());
    judge((&scene, &sidecar), &deeds, &asked, found);
    sidecar.kill();
    expect_verified(&scene, "after the race", &mut found.tally);
    scene.compare(&scene.books(), "after the race", &mut found.tally);
    let sidecar = scene.serve(&mut found.tally);
    let shown = Operator::connect(&sidecar).wallets().wallets;
    for wallet in shown.iter().filter(|wallet| wallet.status != "revoked" && wallet.status != "suspended") {
        found.tally.fault(format!("after the race the wallet {} is {}", wallet.address, wallet.status));
    }
    sidecar.kill();
    scene.close(&mut found.tally);
    deeds.len()
}

/// What one operator does in a round: at the end, the wallet is revoked.
fn plan(random: &mut Random) -> Vec<Move> {
    let mut plan = Vec::new();
    for _ in 0..ACTS {
        let aim = AIMS[random.below(AIMS.len())];
        plan.push(match random.below(8) {
            0..=2 => Move::Act(Act::Suspend, aim),
            3..=5 => Move::Act(Act::Resume, aim),
            6 => Move::Rotate,
            _ => Move::Reload,
        });
    }
    plan.push(Move::Act(Act::Revoke, Aim::One("wallet", WALLET)));
    plan.push(Move::Act(Act::Resume, Aim::One("wallet", WALLET)));
    plan
}

fn do_it(operator: &Operator, what: Move, (scene, address): (&Scene, &str)) -> Vec<Deed> {
    let timed = |what, told: &mut dyn FnMut() -> Told<(String, String)>| {
        let (begun, from) = (Instant::now(), Timestamp::now());
        let told = answer(told());
        Deed { what, begun, ended: Instant::now(), wall: [from, Timestamp::now()], told }
    };
    let unstated = |decision_id: String| (decision_id, String::new());
    let reload = || timed(Move::Reload, &mut || operator.reload().map(|done| unstated(done.decision_id)));
    match what {
        Move::Act(act, aim) => {
            vec![timed(what, &mut || operator.act(act, aim).map(|done| (done.decision_id, done.status)))]
        }
        Move::Rotate => vec![timed(what, &mut || operator.rotate().map(|done| unstated(done.decision_id)))],
        Move::Reload => vec![reload()],
        Move::Complete => {
            let mut new = None;
            let rotated = timed(Move::Rotate, &mut || {
                operator.rotate().map(|done| {
                    new = Some(done.address);
                    unstated(done.decision_id)
                })
            });
            let Some(new) = new else { return vec![rotated] };
            declare_successor(&scene.purse, address, &new);
            vec![rotated, reload()]
        }
    }
}

fn answer(told: Told<(String, String)>) -> Result<(u64, String), (u64, String)> {
    match told {
        Told::Done((decision_id, status)) => Ok((seq(&decision_id), status)),
        Told::Denied(denied) => Err((seq(&denied.decision_id), denied.code)),
        failed @ Told::Failed(_) => panic!("{failed:?}"),
    }
}

/// The statuses operators decided, as the records tell, one after the other.
#[derive(Default)]
struct Statuses(BTreeMap<Name, String>);

impl Statuses {
    fn of(&self, name: &Name) -> &str {
        self.0.get(name).map_or("active", String::as_str)
    }

    fn follow(&mut self, record: &Record) {
        for (name, status) in record.changes() {
            self.0.insert(name, status);
        }
        let (Some(verb), Some(name), true) = (record.verb(), record.subject(), record.is_permit()) else {
            return;
        };
        let status = match verb {
            "suspend" | "suspend-all" => "suspended",
            "resume" | "resume-all" => "active",
            "revoke" => "revoked",
            _ => return,
        };
        for address in record.cascade() {
            self.0.insert(("wallet".to_owned(), address), "suspended".to_owned());
        }
        self.0.insert(name, status.to_owned());
    }

    /// What of these is stopped, or everything.
    fn stopped<'a>(&self, names: &'a [Name]) -> Option<&'a Name> {
        let everything = self.0.iter().any(|((kind, _), status)| kind == "sidecar" && status != "active");
        let stopped = |name: &&Name| matches!(self.of(name), "suspended" | "revoked");
        names.iter().find(stopped).or_else(|| names.first().filter(|_| everything))
    }
}

/// Whether the order of the records explains every answer and every signature.
fn judge((scene, sidecar): (&Scene, &Sidecar), deeds: &[Deed], asked: &[Asked], found: &mut Found) {
    let records = Record::all(&scene.purse.file("journal/pursekeeper.db"));
    let answered: BTreeMap<u64, &Deed> = deeds.iter().map(|deed| (deed.record(), deed)).collect();
    found.tally.expect(answered.len() == deeds.len(), || "two answers name one record".to_owned());
    let mut statuses = Statuses::default();
    for record in &records {
        if record.releases()
            && let Some(name) = statuses.stopped(&record.signs_for())
        {
            found.late(1, || format!("record {} signs for {name:?}, which is stopped", record.seq));
        }
        let before = record.subject().map(|name| statuses.of(&name).to_owned());
        statuses.follow(record);
        let now = record.subject().map(|name| statuses.of(&name).to_owned());
        if let Some(deed) = answered.get(&record.seq) {
            let explained = deed.is_explained(record, before.as_deref(), now.as_deref());
            found.tally.expect(explained, || {
                format!(
                    "{:?} was answered {:?}: before it is {before:?}: {}",
                    deed.what, deed.told, record.body
                )
            });
        }
    }
    in_order(deeds, found);
    found.stops += u64::try_from(deeds.iter().filter(|deed| deed.stops()).count()).unwrap();
    let failed = asked.iter().find(|ask| ask.outcome.is_failed() && !is_busy(ask));
    found.tally.expect(failed.is_none(), || format!("no answer: {failed:?}"));
    // An earlier one may have been of the address before the rotation.
    let revoked = deeds.iter().filter(|deed| matches!(deed.what, Move::Act(Act::Revoke, _)));
    let revoked = revoked.map(|deed| deed.ended).max().unwrap();
    let late = asked.iter().filter(|ask| ask.begun > revoked && ask.outcome.is_signed()).count();
    found.late(u64::try_from(late).unwrap(), || format!("{late} signatures after the last revocation"));
    hand_offs(sidecar, deeds, found);
}

/// The sidecar gave up on a payment whose wallet was stopped and resumed again and again.
fn is_busy(ask: &Asked) -> bool {
    match &ask.outcome {
        Outcome::Failed(status) => status.code() == tonic::Code::Aborted,
        Outcome::Signed | Outcome::Denied(_) | Outcome::Done => false,
    }
}

impl Deed {
    fn record(&self) -> u64 {
        match &self.told {
            Ok((seq, _)) | Err((seq, _)) => *seq,
        }
    }

    fn stops(&self) -> bool {
        matches!(self.what, Move::Act(Act::Suspend | Act::Revoke, _)) && self.told.is_ok()
    }

    /// Whether the record says what was answered, and the ones before it say why.
    fn is_explained(&self, record: &Record, before: Option<&str>, now: Option<&str>) -> bool {
        let verb = match self.what {
            Move::Act(act, Aim::All) => format!("{}-all", act.as_str()),
            Move::Act(act, Aim::One(..)) => act.as_str().to_owned(),
            Move::Rotate => "rotate".to_owned(),
            Move::Reload => "reload".to_owned(),
            Move::Complete => return false,
        };
        let was_revoked = before == Some("revoked");
        let fits = match (&self.told, self.what) {
            (Ok((_, status)), Move::Act(act, _)) => {
                now == Some(status) && !(was_revoked && act == Act::Resume)
            }
            (Ok(_), Move::Rotate | Move::Reload | Move::Complete) => {
                !(was_revoked && matches!(self.what, Move::Rotate))
            }
            (Err((_, code)), _) => record.code() == Some(code) && code == "REVOKED" && was_revoked,
        };
        record.verb() == Some(&verb) && record.is_permit() == self.told.is_ok() && fits
    }
}

/// What was answered before something else was asked for is recorded before it.
fn in_order(deeds: &[Deed], found: &mut Found) {
    for deed in deeds {
        let before = deeds.iter().filter(|other| other.ended < deed.begun);
        let wrong = before.into_iter().find(|other| other.record() > deed.record());
        found.tally.expect(wrong.is_none(), || {
            format!("{:?} was answered first and recorded after {:?}", wrong.unwrap().what, deed.what)
        });
    }
}

/// No signature is handed off between the answer of a stop and the call that ends it.
fn hand_offs(sidecar: &Sidecar, deeds: &[Deed], found: &mut Found) {
    let handed_off: Vec<Timestamp> = sidecar.log().lines().filter_map(hand_off).collect();
    for stop in deeds.iter().filter(|deed| deed.stops()) {
        let Move::Act(_, aim) = stop.what else { continue };
        let resumes = deeds.iter().filter(|deed| {
            matches!(deed.what, Move::Act(Act::Resume, other) if other == aim)
                && deed.told.is_ok()
                && deed.record() > stop.record()
        });
        let end = resumes.map(|deed| deed.wall[0]).min();
        let [_, from] = stop.wall;
        let late = handed_off.iter().filter(|at| **at > from && end.is_none_or(|end| **at < end)).count();
        found.late(u64::try_from(late).unwrap(), || {
            format!("{late} signatures were handed off after {:?} was answered", stop.what)
        });
    }
}

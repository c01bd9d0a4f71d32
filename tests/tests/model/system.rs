//! The real gate, policy and journal beside the model: everything is done to both, and everything they say is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;

use proptest::test_runner::TestCaseError;
use pursekeeper_core::gate::{Answer, Ask, Gate, Passed, Rules, Settings, Surroundings};
use pursekeeper_core::ports::{Nothing, Policy as _};
use pursekeeper_core::{
    AgentName, Balances, Intent, JournalId, Moment, Scope, ServiceName, Signable, Signature, UnixSeconds,
    WorkflowName,
};
use pursekeeper_journal::{Reader, SqliteJournal, Usage};
use pursekeeper_policy::{Bundle, BundleOptions};
use tempfile::TempDir;

use crate::book;
use crate::clock::Reading;
use crate::deed::{Deed, Signed, Told, address};
use crate::model::{Model, OUTSTANDING_MAX};
use crate::poison::Poisoned;
use crate::request::Spec;
use crate::world::{Kind, PAYEES, WALLETS, WINDOWS, World};

/// Whether everything agreed so far.
pub(crate) type Checked<T = ()> = Result<T, TestCaseError>;

const JOURNAL: JournalId = JournalId([7; 16]);
/// 2026-11-22T12:00:00Z.
const BEGUN: Reading = Reading { wall_ms: 1_795_348_800_000, boot_ms: 60_000, boot: 1 };
/// How far ahead totals are looked at, in turn: what will be free by then, with nothing done.
const LOOKS_SECS: [u64; 6] = [0, 59, 3_600, 86_400, 604_800, 2_592_000];

/// Both, at one moment.
pub(crate) struct System {
    dir: TempDir,
    path: PathBuf,
    gate: Option<Gate<SqliteJournal>>,
    bundle: Bundle,
    pub(crate) balances: Balances,
    pub(crate) model: Model,
    pub(crate) now: Reading,
    /// Requests made so far.
    pub(crate) asked: Vec<Spec>,
    /// The hold that time was passed for: what comes next is more often about it.
    pub(crate) focus: Option<u64>,
    /// What was permitted, by record.
    intents: BTreeMap<u64, Intent>,
    /// Every name that was ever used.
    keys: BTreeSet<(Kind, String)>,
    files: usize,
    looks: usize,
    /// How often each answer was given.
    pub(crate) tally: BTreeMap<&'static str, u64>,
}

impl System {
    pub(crate) fn new() -> Self {
        // Memory is as good as a disk here, and needs no fsync.
        let memory = PathBuf::from("/dev/shm");
        let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).expect("a directory");
        let path = dir.path().join("0.db");
        let journal = SqliteJournal::create(&path, moment(BEGUN), JOURNAL).expect("a journal");
        let model = Model::new(BEGUN);
        let mut system = Self {
            dir,
            path,
            gate: Some(Gate::new(journal, settings())),
            bundle: bundle(&model.world),
            balances: Balances::default(),
            model,
            now: BEGUN,
            asked: Vec::new(),
            focus: None,
            intents: BTreeMap::new(),
            keys: BTreeSet::new(),
            files: 1,
            looks: 0,
            tally: BTreeMap::new(),
        };
        system.note_keys();
        system
    }

    /// What can be believed of the time, in seconds.
    pub(crate) fn secs(&self) -> u64 {
        self.model.clock.believed(self.now).wall_ms / 1_000
    }

    /// Takes a batch through the gate and compares every answer.
    pub(crate) fn pass(&mut self, deeds: &[Deed]) -> Checked {
        let asks: Vec<Ask> = deeds.iter().map(Deed::ask).collect();
        let keys = self.bundle.registry().wallets.values().map(|wallet| wallet.address).collect();
        let around = Surroundings {
            boot_us: 0,
            at: moment(self.now),
            balances: &self.balances,
            keys: &keys,
            witness: &(),
        };
        let gate = self.gate.as_mut().expect("it is open");
        let answers = gate.pass(Rules::of(&self.bundle), around, asks);
        let Passed { before, answers, flips: _ } =
            answers.map_err(|error| TestCaseError::fail(format!("{error}: {deeds:?}")))?;
        for answer in &before {
            let Answer::Changed { transition, .. } = answer else { continue };
            let idle = self.model.comes_into_force(self.now);
            let changed = transition.statuses.iter().map(|change| change.subject.to_string()).collect();
            same("the wallets that end with their workflows", &changed, &idle)?;
        }
        let held = self.model.holds.len();
        let expected = self.model.pass(self.now, deeds);
        same("the number of answers", &answers.len(), &expected.len())?;
        for ((answer, expected), deed) in answers.into_iter().zip(expected).zip(deeds) {
            let again = self.intents.len();
            let told = self.tell(answer)?;
            same(&format!("the answer to {deed:?}"), &told, &expected)?;
            let word = match (told.word, &told.signed) {
                ("SIGNED", Some(_)) if self.intents.len() == again => "SIGNED_AGAIN",
                ("ACTED", _) => deed.done(),
                (word, _) => word,
            };
            *self.tally.entry(word).or_default() += 1;
        }
        self.within_ceilings(held)
    }

    /// Takes a batch through the gate that cannot be recorded: nothing of it may remain.
    pub(crate) fn pass_in_vain(&mut self, deeds: &[Deed]) -> Checked {
        let asks: Vec<Ask> = deeds.iter().map(Deed::ask).collect();
        let keys = self.bundle.registry().wallets.values().map(|wallet| wallet.address).collect();
        let around = Surroundings {
            boot_us: 0,
            at: moment(self.now),
            balances: &self.balances,
            keys: &keys,
            witness: &(),
        };
        let gate = self.gate.as_mut().expect("it is open");
        let failed = gate.pass(Rules::of(&Poisoned(&self.bundle)), around, asks);
        same("a batch beyond all sums fails", &failed.is_err(), &true)?;
        *self.tally.entry("FAILED_BATCH").or_default() += 1;
        let probed = self.gate.as_mut().expect("it is open").journal_mut().writable_probe();
        same("the journal stays writable", &probed.is_ok(), &true)
    }

    /// Ends the process properly and starts another.
    pub(crate) fn reopen(&mut self) {
        self.gate = None;
        let journal = SqliteJournal::open(&self.path, JOURNAL).expect("it opens again");
        self.gate = Some(Gate::new(journal, settings()));
    }

    /// Starts another process on what is on disk now.
    pub(crate) fn kill(&mut self) {
        let image = self.dir.path().join(format!("{}.db", self.files));
        self.files += 1;
        for suffix in ["", "-wal"] {
            let [from, to] = [&self.path, &image].map(|path| format!("{}{suffix}", path.display()));
            std::fs::copy(from, to).expect("a copy");
        }
        self.gate = None;
        for suffix in ["", "-wal", "-shm", ".lock"] {
            // What is not there needs no removing.
            let _ = std::fs::remove_file(format!("{}{suffix}", self.path.display()));
        }
        self.path = image;
        self.reopen();
    }

    /// Loads the registry as it is now.
    pub(crate) fn reload(&mut self) {
        self.bundle = bundle(&self.model.world);
        self.note_keys();
    }

    fn note_keys(&mut self) {
        for kind in Kind::ALL {
            for at in 0..kind.len() {
                self.keys.extend(self.model.world.keys(kind, at).into_iter().map(|key| (kind, key)));
            }
        }
    }

    /// Compares what is used of every window by every subject, under every name it ever had.
    pub(crate) fn compare_totals(&mut self) -> Checked {
        let gate = self.gate.as_ref().expect("it is open");
        let at = self.model.counted_at(self.model.clock.believed(self.now));
        let at = at + LOOKS_SECS[self.looks % LOOKS_SECS.len()];
        self.looks += 1;
        for (kind, key) in &self.keys {
            let usage = gate.journal().usage(&scope(*kind, key), UnixSeconds(at));
            for (window, used) in (1..).zip(usage.windows) {
                let count = book::Count {
                    settled: used.settled.units(),
                    held: used.held.units(),
                    settled_payments: used.settled_payments,
                    held_payments: used.held_payments,
                    frees_at: used.frees_at.map(|at| at.0),
                };
                let expected = book::count(&self.model.holds, *kind, key, window, at);
                let what = || format!("{kind:?} {key} per {} at {at}", WINDOWS[window].0);
                if count != expected {
                    same(&what(), &count, &expected)?;
                }
            }
        }
        let keys =
            |wanted: Kind| self.keys.iter().filter(move |(kind, _)| *kind == wanted).map(|(_, key)| key);
        for wallet in keys(Kind::Wallet) {
            for service in keys(Kind::Service) {
                let name = ServiceName::parse(service).expect("a name");
                let paid = gate.journal().credit(address(wallet), &name).topped_up.units();
                let what = format!("{wallet} topped up at {service}");
                same(&what, &paid, &book::paid(&self.model.holds, wallet, service))?;
            }
        }
        Ok(())
    }

    /// Looks with the journal's own totals whether a permit raised one above the ceiling in force.
    fn within_ceilings(&self, held_before: usize) -> Checked {
        let gate = self.gate.as_ref().expect("it is open");
        let at = self.model.counted_at(self.model.clock.believed(self.now));
        let world = &self.model.world;
        for hold in self.model.holds.iter().skip(held_before) {
            for kind in Kind::ALL {
                let bound = (0..kind.len()).find(|of| hold.counts_for(kind, &world.key(kind, *of)));
                let Some(of) = bound else { continue };
                let keys = world.keys(kind, of);
                let usages = keys.iter().map(|key| gate.journal().usage(&scope(kind, key), UnixSeconds(at)));
                let usage = usages.reduce(|sum, usage| sum.plus(&usage)).expect("a name");
                for (window, limit) in &world.of(kind, of).limits.usd {
                    let used = if *window == 0 { hold.usd } else { used_of(&usage, *window).0 };
                    let within = used <= u128::from(*limit) * 100_000_000;
                    same(
                        &format!("{kind:?} {of} keeps its ceiling per {}", WINDOWS[*window].0),
                        &within,
                        &true,
                    )?;
                }
                for (window, limit) in &world.of(kind, of).limits.payments {
                    let within = used_of(&usage, *window).1 <= *limit;
                    same(
                        &format!("{kind:?} {of} keeps its count per {}", WINDOWS[*window].0),
                        &within,
                        &true,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Checks the whole file.
    pub(crate) fn verify(&self) -> Checked {
        let reader = Reader::open(&self.path).expect("it can be read");
        let verified = reader.verify(|_, _| {}).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let resolved = self.model.holds.iter().filter(|hold| hold.state != book::State::Held).count() as u64;
        let expected = (self.model.seq, self.model.holds.len() as u64, resolved);
        same(
            "records, holds and resolved ones",
            &(verified.records, verified.holds, verified.resolved),
            &expected,
        )
    }

    fn tell(&mut self, answer: Answer) -> Checked<Told> {
        Ok(match answer {
            Answer::Authorized(right) => {
                let signed = right.signed_by(|_, _| Ok::<_, Infallible>(Signature::Evm([0; 65]))).unwrap();
                let Signable::Payment(intent) = signed.what() else { panic!("{:?}", signed.what()) };
                let seq = signed.decision_id().seq;
                let first = self.intents.entry(seq).or_insert_with(|| intent.clone());
                same("a retry's intent is the first one", intent, first)?;
                Told { word: "SIGNED", seq: Some(seq), signed: Some(told(intent)) }
            }
            Answer::WouldSign { decision_id, intent, .. } => {
                Told { word: "WOULD_SIGN", seq: Some(decision_id.seq), signed: Some(told(&intent)) }
            }
            Answer::Denied { decision_id, denial, .. } => {
                Told { word: denial.code.as_str(), seq: Some(decision_id.seq), signed: None }
            }
            Answer::Acted { decision_id, .. } => {
                Told { word: "ACTED", seq: Some(decision_id.seq), signed: None }
            }
            Answer::Reported { decision_id } => {
                Told { word: "REPORTED", seq: Some(decision_id.seq), signed: None }
            }
            Answer::Resolved { decision_id, .. } => {
                Told { word: "RESOLVED", seq: Some(decision_id.seq), signed: None }
            }
            Answer::Changed { .. } | Answer::Voids(_) | Answer::Noted { .. } => {
                panic!("nobody asked for it: {answer:?}")
            }
            Answer::Nothing(nothing) => {
                let word = match nothing {
                    Nothing::PaymentUnknown => "PaymentUnknown",
                    Nothing::ClaimsExhausted => "ClaimsExhausted",
                    Nothing::NotAPayment => "NotAPayment",
                    Nothing::NotPrepaid => "NotPrepaid",
                    Nothing::HoldResolved => "HoldResolved",
                    Nothing::NothingDue => "NothingDue",
                    Nothing::Voids => "Voids",
                };
                Told { word, seq: None, signed: None }
            }
        })
    }
}

/// Everything is recorded: the model knows no counting.
fn settings() -> Settings {
    Settings { repeats_per_minute_max: u32::MAX, ..Settings::default() }
}

fn told(intent: &Intent) -> Signed {
    Signed {
        agent: intent.agent.to_string(),
        workflow: intent.workflow.to_string(),
        wallet: intent.wallet_address.to_string(),
        service: intent.service.as_ref().map(ToString::to_string),
        offer: intent.offered().expect("an offer").index as usize,
        usd: intent.usd.units(),
        valid_before: intent.valid_before.0,
        nonce: intent.nonce,
    }
}

/// Dollars and payments used of a window that keeps a total.
fn used_of(usage: &Usage, window: usize) -> (u128, u64) {
    let used = &usage.windows[window - 1];
    (used.settled.units() + used.held.units(), used.settled_payments + used.held_payments)
}

/// Fails with both sides unless they are the same.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, product: &T, model: &T) -> Checked {
    if product == model {
        return Ok(());
    }
    Err(TestCaseError::fail(format!("{what}:\n  product {product:?}\n  model   {model:?}")))
}

fn bundle(world: &World) -> Bundle {
    let rule = format!(
        "@id(\"outstanding\")\n@reason(\"too many are still open\")\nforbid (principal is Pursekeeper::Agent, action == Pursekeeper::Action::\"Pay\", resource)\nwhen {{ context.outstanding >= {OUTSTANDING_MAX} }};\n"
    );
    let policies = [("outstanding.cedar", rule.as_str())];
    match Bundle::from_parts(&world.yaml(), &policies, BundleOptions::default()) {
        Ok(bundle) => bundle,
        Err(errors) => panic!("{errors}\n{}", world.yaml()),
    }
}

pub(crate) fn moment(at: Reading) -> Moment {
    Moment { unix_ms: at.wall_ms, boot_ms: at.boot_ms, boot_id: [at.boot; 16] }
}

fn scope(kind: Kind, key: &str) -> Scope {
    debug_assert!(match kind {
        Kind::Wallet => WALLETS.contains(&key),
        Kind::Payee => PAYEES.contains(&key),
        Kind::Agent | Kind::Workflow | Kind::Service => true,
    });
    match kind {
        Kind::Agent => Scope::Agent(AgentName::parse(key).expect("a name")),
        Kind::Workflow => Scope::Workflow(WorkflowName::parse(key).expect("a name")),
        Kind::Service => Scope::Service(ServiceName::parse(key).expect("a name")),
        Kind::Wallet => Scope::Wallet(address(key)),
        Kind::Payee => Scope::Payee(address(key)),
    }
}

//! Totals against a model that forgets nothing and counts everything again each time.

use proptest::prelude::*;
use pursekeeper_core::{AgentName, HoldState, Scope, ServiceName, Totals, UnixSeconds, Usd, Window};

use crate::SqliteJournal;
use crate::fixtures::{Home, NOW, Pay, evm, look, record, resolved, settled_for};

/// Which payments a scope is about.
type Counts = Box<dyn Fn(&Pay) -> bool>;

/// A payment that counts, with its place in the journal.
#[derive(Clone, Debug)]
struct Counted {
    seq: u64,
    pay: Pay,
    settled: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Pay {
        passes: u64,
        life: u64,
        usd: u32,
        agent: bool,
        payee: u8,
        batch: usize,
    },
    Deny {
        passes: u64,
    },
    /// Evidence about one of the payments: settled for a part in 256 of it, or dead.
    Resolve {
        which: usize,
        part: Option<u8>,
    },
    /// The same, in a batch that fails.
    FailToResolve {
        which: usize,
    },
    GoBack {
        secs: u64,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let passes = || prop_oneof![4 => 0u64..120, 2 => 0u64..7_200, 1 => 0u64..1_000_000];
    let pay = (passes(), 1u64..700, any::<u32>(), any::<bool>(), 8u8..10, 1usize..4);
    let pay = pay.prop_map(|(passes, life, usd, agent, payee, batch)| Step::Pay {
        passes,
        life,
        usd,
        agent,
        payee,
        batch,
    });
    prop_oneof![
        6 => pay,
        1 => passes().prop_map(|passes| Step::Deny { passes }),
        3 => (any::<usize>(), prop::option::of(any::<u8>())).prop_map(|(which, part)| Step::Resolve { which, part }),
        1 => any::<usize>().prop_map(|which| Step::FailToResolve { which }),
        1 => (0u64..5_000).prop_map(|secs| Step::GoBack { secs }),
        1 => Just(Step::Reopen),
    ]
}

/// What the architecture promises, literally: a hold counts until its end, in whole minutes against the spender, plus
/// the length of the window.
fn model(holds: &[Counted], counts: impl Fn(&Pay) -> bool, now: u64) -> Totals {
    let mut totals = Totals::default();
    for pay in holds.iter().map(|counted| &counted.pay).filter(|pay| counts(pay)) {
        let end = pay.held_until.div_ceil(60) * 60;
        let windows = Window::ROLLING.iter().map(|(_, secs)| now < end + secs).chain([true]);
        for (at, _) in windows.enumerate().filter(|(_, inside)| *inside) {
            totals.usd[at] = totals.usd[at].checked_add(Usd::from_units(pay.usd)).unwrap();
            totals.payments[at] += 1;
        }
    }
    totals
}

fn agree(
    journal: &mut SqliteJournal,
    holds: &[Counted],
    clock: u64,
    high_water: u64,
) -> Result<(), TestCaseError> {
    let now = clock.max(high_water);
    let agent = |name: &'static str| Scope::Agent(AgentName::parse(name).unwrap());
    let questions: [(Scope, Counts); 6] = [
        (agent("researcher"), Box::new(|pay| pay.agent == "researcher")),
        (agent("writer"), Box::new(|pay| pay.agent == "writer")),
        (Scope::Payee(evm(8)), Box::new(|pay| pay.payee == 8)),
        (Scope::Payee(evm(9)), Box::new(|pay| pay.payee == 9)),
        (Scope::Wallet(evm(1)), Box::new(|_| true)),
        (Scope::Service(ServiceName::parse("papers").unwrap()), Box::new(|_| true)),
    ];
    for (scope, counts) in questions {
        let expected = model(holds, &counts, now);
        let totals = look(journal, clock, |ledger| ledger.totals(&scope));
        prop_assert_eq!(totals, expected, "{:?} at {}", &scope, now);
        let settled: Vec<_> = holds.iter().filter(|counted| counted.settled).cloned().collect();
        let settled = model(&settled, &counts, now);
        for (at, usage) in journal.usage(&scope, UnixSeconds(clock)).windows.into_iter().enumerate() {
            prop_assert_eq!((usage.settled, usage.settled_payments), (settled.usd[at], settled.payments[at]));
            let held = expected.usd[at].checked_sub(settled.usd[at]).unwrap();
            let held_payments = expected.payments[at] - settled.payments[at];
            prop_assert_eq!((usage.held, usage.held_payments), (held, held_payments));
            // At the promised moment, and not a second before, the window holds less.
            let Some(UnixSeconds(frees_at)) = usage.frees_at else { continue };
            prop_assert_eq!(model(holds, &counts, frees_at - 1).payments[at], expected.payments[at]);
            prop_assert!(model(holds, &counts, frees_at).payments[at] < expected.payments[at]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn windows_free_exactly_when_they_must(steps in prop::collection::vec(step(), 1..40)) {
        let home = Home::new();
        let mut journal = home.create();
        let (mut clock, mut high_water, mut holds) = (NOW, NOW, Vec::<Counted>::new());
        let (mut permits, mut resolutions) = (0, 0);
        for step in steps {
            match step {
                Step::Pay { passes, life, usd, agent, payee, batch } => {
                    clock += passes;
                    high_water = high_water.max(clock);
                    let agent = if agent { "researcher" } else { "writer" };
                    let pays: Vec<Pay> = (0..batch)
                        .map(|more| Pay {
                            usd: usd.into(),
                            held_until: clock + life * (1 + more as u64),
                            agent,
                            payee,
                            ..Pay::new(permits + more as u64, clock)
                        })
                        .collect();
                    let entries: Vec<_> = pays.iter().map(Pay::permit).collect();
                    record(&mut journal, &entries).unwrap();
                    permits += pays.len() as u64;
                    let first = journal.last_seq() + 1 - pays.len() as u64;
                    let counted = |(seq, pay)| Counted { seq, pay, settled: false };
                    holds.extend((first..).zip(pays).map(counted));
                }
                Step::Deny { passes } => {
                    clock += passes;
                    high_water = high_water.max(clock);
                    record(&mut journal, &[Pay::new(0, clock).denied()]).unwrap();
                }
                Step::Resolve { which, part } => {
                    let open: Vec<usize> = (0..holds.len()).filter(|at| !holds[*at].settled).collect();
                    if open.is_empty() {
                        continue;
                    }
                    let at = open[which % open.len()];
                    let Counted { seq, pay, .. } = &holds[at];
                    let settled = part.map(|part| Usd::from_units(pay.usd * u128::from(part) / 255));
                    let state = settled.map_or(HoldState::Released, settled_for);
                    record(&mut journal, &[resolved(*seq, state, clock)]).unwrap();
                    resolutions += 1;
                    high_water = high_water.max(clock);
                    match settled {
                        Some(usd) => {
                            holds[at].pay.usd = usd.units();
                            holds[at].settled = true;
                        }
                        None => drop(holds.remove(at)),
                    }
                }
                Step::FailToResolve { which } => {
                    let open: Vec<&Counted> = holds.iter().filter(|counted| !counted.settled).collect();
                    if let Some(counted) = open.get(which.checked_rem(open.len()).unwrap_or(0)) {
                        let twice = resolved(counted.seq, HoldState::Released, clock);
                        prop_assert!(record(&mut journal, &[twice.clone(), twice]).is_err());
                        drop(journal);
                        journal = home.open();
                    }
                }
                Step::GoBack { secs } => clock -= secs,
                Step::Reopen => {
                    drop(journal);
                    journal = home.open();
                }
            }
            agree(&mut journal, &holds, clock, high_water)?;
        }
        let verified = home.reader().verify(|_, _| {}).unwrap();
        prop_assert_eq!((verified.holds, verified.resolved), (permits, resolutions));
    }
}

#[test]
fn old_buckets_are_folded_and_nothing_is_forgotten() {
    let home = Home::new();
    let mut journal = home.create();
    for id in 0..120 {
        record(&mut journal, &[Pay::new(id, NOW + id * 40_000).permit()]).unwrap();
    }
    let buckets = |home: &Home| {
        let connection = home.stranger();
        connection.query_row("SELECT count(*) FROM bucket", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    // A month holds 65 payments at this pace; five scopes.
    let left = buckets(&home);
    assert!((5 * 65..=5 * 67).contains(&left), "{left}");
    let scope = Scope::Wallet(evm(1));
    let now = NOW + 119 * 40_000;
    let before = look(&mut journal, now, |ledger| ledger.totals(&scope));
    drop(journal);
    let after = look(&mut home.open(), now, |ledger| ledger.totals(&scope));
    assert_eq!(before, after);
    assert_eq!(after.payments[4], 120);
    home.reader().verify(|_, _| {}).unwrap();
}

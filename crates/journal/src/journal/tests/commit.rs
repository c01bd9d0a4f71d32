//! One batch, one transaction.

use pursekeeper_core::ports::{Journal as _, Judged, Ledger, LedgerError, Recorded, Urgency, Used};
use pursekeeper_core::{
    ActVerb, AgentName, DecisionId, Endpoint, Entry, HoldState, Mode, Scope, Status, Subject, UnixSeconds,
    Usd,
};
use rusqlite::ffi;

use crate::fixtures::{Home, ID, NOW, Pay, act, evm, look, moment, record};
use crate::state::State;
use crate::{JournalError, SqliteJournal};

fn agent() -> AgentName {
    AgentName::parse("researcher").unwrap()
}

fn written(recorded: &Recorded) -> Option<DecisionId> {
    match recorded {
        Recorded::Entry { decision_id, .. } | Recorded::Repeat { decision_id, .. } => Some(*decision_id),
        Recorded::Nothing(_) => None,
    }
}

fn lifetime(ledger: &dyn Ledger) -> (u128, u64) {
    let totals = ledger.totals(&Scope::Payee(evm(9)));
    (totals.usd[4].units(), totals.payments[4])
}

/// Nothing in memory and nothing on disk differs from `before`, and the next batch is recorded.
fn untouched(home: &Home, journal: &mut SqliteJournal, before: &State) {
    assert_eq!(&journal.state, before);
    assert_eq!(home.reader().last_seq().unwrap(), before.tip.seq);
    record(journal, &[Pay::new(900, NOW).permit()]).unwrap();
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn a_batch_that_fails_in_the_middle_leaves_nothing() {
    let home = Home::new();
    let mut journal = home.create();
    let subject = Subject::Agent(agent());
    record(&mut journal, &[Pay::new(1, NOW).permit(), act(ActVerb::Suspend, subject.clone(), NOW)]).unwrap();
    let before = journal.state.clone();
    let batch = [
        Some(Pay { payee: 8, ..Pay::new(2, NOW + 5000) }.permit()),
        Some(act(ActVerb::Resume, subject, NOW + 5000)),
        Some(act(ActVerb::Suspend, Subject::Wallet(evm(1)), NOW + 5000)),
        None,
    ];
    let result = journal.commit(moment(NOW + 5000), Urgency::Payment, &batch, |entry, ledger| {
        lifetime(ledger);
        entry.clone().map(Judged::Entry).ok_or_else(|| LedgerError("no answer".into()))
    });
    assert!(matches!(result, Err(JournalError::Judge(_))), "{result:?}");
    untouched(&home, &mut journal, &before);
}

#[test]
fn a_second_permit_for_a_request_id_is_impossible() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    let before = journal.state.clone();
    let result = record(&mut journal, &[Pay::new(2, NOW).permit(), Pay::new(1, NOW).permit()]);
    assert!(matches!(result, Err(JournalError::RequestIdTaken(_))), "{result:?}");
    untouched(&home, &mut journal, &before);
}

#[test]
fn a_total_that_does_not_fit_leaves_nothing() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay { usd: u128::MAX, payee: 8, ..Pay::new(1, NOW) }.permit()]).unwrap();
    let before = journal.state.clone();
    let result = record(&mut journal, &[Pay { usd: 1, ..Pay::new(2, NOW) }.permit()]);
    assert!(matches!(result, Err(JournalError::TotalTooLarge)), "{result:?}");
    assert_eq!(journal.state, before);
}

#[test]
fn an_entry_without_canonical_form_leaves_nothing() {
    let home = Home::new();
    let mut journal = home.create();
    let before = journal.state.clone();
    let result = record(&mut journal, &[Pay { held_until: 1 << 60, ..Pay::new(1, NOW) }.permit()]);
    assert!(matches!(result, Err(JournalError::Unrecordable(_))), "{result:?}");
    untouched(&home, &mut journal, &before);
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    let limit = |journal: &SqliteJournal, pages: i64| {
        journal.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    limit(&journal, 1);
    let mut before = journal.state.clone();
    let mut id = 100;
    let error = loop {
        id += 1;
        match record(
            &mut journal,
            &[Pay::new(id, NOW + id).permit(), Pay::new(id + 1_000, NOW + id).denied()],
        ) {
            Ok(_) => before = journal.state.clone(),
            Err(error) => break error,
        }
        assert!(id < 200, "the disk must become full");
    };
    assert!(matches!(error, JournalError::Full(_)) && !error.is_fatal(), "{error:?}");
    assert_eq!(journal.state, before);
    assert!(matches!(journal.writable_probe(), Err(JournalError::Full(_))));
    assert_eq!(home.reader().last_seq().unwrap(), before.tip.seq);
    limit(&journal, 1 << 20);
    journal.writable_probe().unwrap();
    untouched(&home, &mut journal, &before);
}

#[test]
fn somebody_elses_lock_is_said_and_survived() {
    let home = Home::new();
    let mut journal = home.create();
    journal.connection.busy_timeout(std::time::Duration::ZERO).unwrap();
    let before = journal.state.clone();
    let stranger = home.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let result = record(&mut journal, &[Pay::new(1, NOW).permit()]);
    assert!(matches!(result, Err(JournalError::Busy(_))), "{result:?}");
    assert!(matches!(journal.writable_probe(), Err(JournalError::Busy(_))));
    drop(stranger);
    journal.writable_probe().unwrap();
    untouched(&home, &mut journal, &before);
}

fn failure(code: i32) -> JournalError {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
}

#[test]
fn failures_are_told_apart() {
    let table = [
        (ffi::SQLITE_FULL, false),
        (ffi::SQLITE_BUSY, false),
        (ffi::SQLITE_BUSY_SNAPSHOT, false),
        (ffi::SQLITE_LOCKED, false),
        (ffi::SQLITE_IOERR_SHMSIZE, false),
        (ffi::SQLITE_IOERR, true),
        (ffi::SQLITE_IOERR_FSYNC, true),
        (ffi::SQLITE_IOERR_WRITE, true),
        (ffi::SQLITE_IOERR_READ, true),
        (ffi::SQLITE_CORRUPT, true),
        (ffi::SQLITE_NOTADB, true),
        (ffi::SQLITE_READONLY, true),
        (ffi::SQLITE_NOMEM, true),
    ];
    for (code, fatal) in table {
        assert_eq!(failure(code).is_fatal(), fatal, "{code}");
    }
}

#[test]
fn after_a_fatal_failure_everything_is_refused_until_it_is_opened_anew() {
    let home = Home::new();
    let mut journal = home.create();
    let before = journal.state.clone();
    let result = journal.commit(moment(NOW), Urgency::Payment, &[1, 2], |ask, _| match ask {
        1 => Ok(Judged::Entry(Pay::new(1, NOW).permit())),
        _ => Err(LedgerError(Box::new(failure(ffi::SQLITE_IOERR_FSYNC)))),
    });
    assert!(matches!(result, Err(JournalError::Failed(_))), "{result:?}");
    assert_eq!(journal.state, before);
    assert!(matches!(record(&mut journal, &[Pay::new(2, NOW).permit()]), Err(JournalError::Broken)));
    assert!(matches!(
        journal.commit(moment(NOW), Urgency::Payment, &[], |(): &(), _| unreachable!()),
        Err(JournalError::Broken)
    ));
    assert!(matches!(journal.writable_probe(), Err(JournalError::Broken)));
    assert!(matches!(journal.checkpoint(), Err(JournalError::Broken)));
    assert!(JournalError::Broken.is_fatal());
    drop(journal);
    let mut journal = home.open();
    untouched(&home, &mut journal, &before);
}

#[test]
fn each_ask_sees_the_holds_of_those_before_it() {
    let home = Home::new();
    let mut journal = home.create();
    let mut seen = Vec::new();
    let asks: Vec<u64> = (1..=4).collect();
    let recorded = journal.commit(moment(NOW), Urgency::Payment, &asks, |id, ledger| {
        let endpoint = Endpoint::parse("GET", "https://api.example.com/v1/data").unwrap();
        seen.push((lifetime(ledger), ledger.outstanding(&agent(), &endpoint)));
        let pay = Pay::new(*id, NOW);
        Ok(Judged::Entry(if *id == 2 { pay.denied() } else { pay.permit() }))
    });
    let ids: Vec<_> = recorded.unwrap().iter().map(written).collect();
    assert_eq!(ids, [2, 3, 4, 5].map(|seq| Some(DecisionId::new(ID, seq))));
    let one = 1_000_000_000;
    assert_eq!(seen, [((0, 0), 0), ((one, 1), 1), ((one, 1), 1), ((2 * one, 2), 2)]);
    assert_eq!((journal.last_seq(), home.reader().last_seq().unwrap()), (5, 5));
}

#[test]
fn an_empty_batch_records_nothing() {
    let home = Home::new();
    let mut journal = home.create();
    assert!(
        journal.commit(moment(NOW), Urgency::Payment, &[], |(): &(), _| unreachable!()).unwrap().is_empty()
    );
    assert_eq!(journal.last_seq(), 1);
}

#[test]
fn a_permit_is_found_by_its_request_id_for_ever_and_only_there() {
    let home = Home::new();
    let mut journal = home.create();
    let pay = Pay::new(1, NOW);
    let others = [Pay::new(2, NOW).denied(), Pay::new(3, NOW).permitted(Mode::Preview), pay.reissued(2, NOW)];
    // Within the batch that permits it, too.
    let batch = [pay.permit(), others[0].clone(), others[1].clone(), others[2].clone()];
    let mut found = 0;
    journal
        .commit(moment(NOW), Urgency::Payment, &batch, |entry, ledger| {
            found += usize::from(ledger.prior(&agent(), &pay.request_id())?.is_some());
            Ok(Judged::Entry(entry.clone()))
        })
        .unwrap();
    assert_eq!(found, 3);
    drop(journal);
    let mut journal = home.open();
    let prior = look(&mut journal, NOW * 2, |ledger| ledger.prior(&agent(), &pay.request_id()).unwrap());
    let prior = prior.unwrap();
    assert_eq!(prior.seq, 2);
    assert_eq!(prior.used, Used::Payment(Box::new(pay.intent()), HoldState::Held));
    assert_eq!(prior.fingerprint.0, [1; 32]);
    for id in [2, 3, 4] {
        let other = Pay::new(id, NOW).request_id();
        assert_eq!(look(&mut journal, NOW, |ledger| ledger.prior(&agent(), &other).unwrap()), None, "{id}");
    }
    let stranger = AgentName::parse("stranger").unwrap();
    assert_eq!(look(&mut journal, NOW, |ledger| ledger.prior(&stranger, &pay.request_id()).unwrap()), None);
}

#[test]
fn a_prior_that_is_damaged_is_not_used() {
    let home = Home::new();
    record(&mut home.create(), &[Pay::new(1, NOW).permit(), Pay::new(2, NOW).denied()]).unwrap();
    home.tamper("UPDATE request SET seq = 3");
    let mut journal = home.open();
    let result = journal.commit(moment(NOW), Urgency::Payment, &[()], |(), ledger| {
        ledger.prior(&agent(), &Pay::new(1, NOW).request_id()).map(|_| unreachable!())
    });
    assert!(matches!(result, Err(JournalError::Damaged { .. })), "{result:?}");
}

#[test]
fn operators_decide_and_the_last_one_counts() {
    let home = Home::new();
    let mut journal = home.create();
    let subject = Subject::Wallet(evm(1));
    let refused = |entry: Entry| {
        let Entry::Lifecycle(mut lifecycle) = entry else { unreachable!("{entry:?}") };
        let denial = pursekeeper_core::Denial::rule(pursekeeper_core::DenyCode::OperatorNotAllowed, "no");
        lifecycle.denial = Some(denial);
        Entry::Lifecycle(lifecycle)
    };
    let table = [
        (act(ActVerb::Suspend, subject.clone(), NOW), Status::Suspended),
        (refused(act(ActVerb::Resume, subject.clone(), NOW)), Status::Suspended),
        (act(ActVerb::Resume, subject.clone(), NOW), Status::Active),
        (act(ActVerb::Suspend, subject.clone(), NOW), Status::Suspended),
    ];
    for (entry, expected) in table {
        record(&mut journal, &[entry]).unwrap();
        assert_eq!(look(&mut journal, NOW, |ledger| ledger.status(std::slice::from_ref(&subject))), expected);
        drop(journal);
        journal = home.open();
        assert_eq!(look(&mut journal, NOW, |ledger| ledger.status(std::slice::from_ref(&subject))), expected);
    }
    let other = Subject::Wallet(evm(2));
    assert_eq!(look(&mut journal, NOW, |ledger| ledger.status(std::slice::from_ref(&other))), Status::Active);
}

#[test]
fn outstanding_signatures_are_counted_until_they_are_dead() {
    let home = Home::new();
    let mut journal = home.create();
    let other = Pay { agent: "other", ..Pay::new(3, NOW) };
    let pays = [Pay::new(1, NOW), Pay { held_until: NOW + 400, ..Pay::new(2, NOW) }, other];
    record(&mut journal, &pays.map(|pay| pay.permit())).unwrap();
    let endpoint = Endpoint::parse("GET", "https://api.example.com/v1/data").unwrap();
    for _ in 0..2 {
        let count = |journal: &mut SqliteJournal, now| {
            look(journal, now, |ledger| ledger.outstanding(&agent(), &endpoint))
        };
        let counts = [360, 361, 400, 401].map(|secs| count(&mut journal, NOW + secs));
        assert_eq!(counts, [2, 1, 1, 0]);
        drop(journal);
        journal = home.open();
    }
}

#[test]
fn a_clock_that_goes_back_reopens_nothing() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    let later = NOW + 8_000;
    record(&mut journal, &[Pay::new(2, later).denied()]).unwrap();
    let scope = Scope::Agent(agent());
    let hour =
        |journal: &mut SqliteJournal, now| look(journal, now, |ledger| ledger.totals(&scope).payments[0]);
    for _ in 0..2 {
        // The first payment left the hour. At a clock set back it stays out, and the mark does not move.
        assert_eq!([hour(&mut journal, NOW), hour(&mut journal, later)], [0, 0]);
        record(&mut journal, &[Pay::new(10, NOW).denied()]).unwrap();
        assert_eq!(journal.clock().high_water_ms, later * 1000);
        assert_eq!(look(&mut journal, NOW, |ledger| ledger.clock().high_water_ms), later * 1000);
        drop(journal);
        journal = home.open();
    }
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn a_payment_under_no_service_counts_for_the_other_scopes() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay { service: None, ..Pay::new(1, NOW) }.permit()]).unwrap();
    assert_eq!(journal.state.accounts.len(), 4);
    drop(journal);
    let journal = home.open();
    let usage = journal.usage(&Scope::Payee(evm(9)), UnixSeconds(NOW));
    assert_eq!(usage.windows.map(|window| window.held), [Usd::from_units(1_000_000_000); 5]);
    home.reader().verify(|_, _| {}).unwrap();
}

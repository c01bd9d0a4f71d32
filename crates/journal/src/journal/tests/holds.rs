//! What evidence and claims do to a hold.

use pursekeeper_core::ports::Journal as _;
use pursekeeper_core::{
    ActVerb, AgentName, ChainId, Claim, Detail, Endpoint, Entry, HoldState, Said, Scope, Subject,
    UnixSeconds, Usd,
};

use crate::fixtures::{Home, NOW, Pay, act, claimed, evm, look, record, resolved, settled_for};
use crate::{Holds, JournalError, SqliteJournal};

const ONE: u128 = 1_000_000_000;

fn hour(journal: &SqliteJournal) -> (u128, u128, u64, u64) {
    let used = journal.usage(&Scope::Wallet(evm(1)), UnixSeconds(NOW)).windows[0];
    (used.settled.units(), used.held.units(), used.settled_payments, used.held_payments)
}

fn outstanding(journal: &mut SqliteJournal) -> u64 {
    let agent = AgentName::parse("researcher").unwrap();
    let endpoint = Endpoint::parse("GET", "https://api.example.com/v1/data").unwrap();
    look(journal, NOW, |ledger| ledger.outstanding(&agent, &endpoint))
}

#[test]
fn evidence_moves_a_hold_once_and_to_what_it_says() {
    let home = Home::new();
    let mut journal = home.create();
    let pays: Vec<Entry> = (1..=3).map(|id| Pay::new(id, NOW).permit()).collect();
    record(&mut journal, &pays).unwrap();
    assert_eq!((hour(&journal), outstanding(&mut journal)), ((0, 3 * ONE, 0, 3), 3));
    record(&mut journal, &[resolved(2, settled_for(Usd::from_units(ONE / 4)), NOW)]).unwrap();
    assert_eq!((hour(&journal), outstanding(&mut journal)), ((ONE / 4, 2 * ONE, 1, 2), 2));
    let mut release = act(ActVerb::Release, Subject::Wallet(evm(1)), NOW);
    if let Entry::Lifecycle(lifecycle) = &mut release {
        lifecycle.act.detail = Detail::Hold(3);
    }
    record(&mut journal, &[release]).unwrap();
    let after = (ONE / 4, ONE, 1, 1);
    assert_eq!((hour(&journal), outstanding(&mut journal)), (after, 1));
    // Neither is undone or done again, nor is a hold that never was.
    for (hold, state) in [(2, HoldState::Released), (3, HoldState::Released), (99, HoldState::Released)] {
        let state_before = journal.state.clone();
        let refused = record(&mut journal, &[resolved(hold, state, NOW)]);
        assert!(matches!(refused, Err(JournalError::Damaged { .. })), "{refused:?}");
        assert_eq!(journal.state, state_before);
        drop(journal);
        journal = home.open();
        assert_eq!((hour(&journal), outstanding(&mut journal)), (after, 1));
    }
    let verified = home.reader().verify(|_, _| {}).unwrap();
    assert_eq!((verified.holds, verified.resolved), (3, 2));
}

#[test]
fn claims_are_kept_beside_the_hold_and_move_nothing() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[Pay::new(1, NOW).permit()]).unwrap();
    let before = (hour(&journal), outstanding(&mut journal));
    let said = [Claim::settled(Some("0xabc")), Claim::failed("insufficient_funds")];
    for claim in said.clone() {
        record(&mut journal, &[claimed(2, claim, NOW)]).unwrap();
    }
    assert_eq!((hour(&journal), outstanding(&mut journal)), before);
    let reader = home.reader();
    assert_eq!(reader.claims(2).unwrap(), said.map(Said::Outcome));
    assert_eq!(reader.hold(2).unwrap().map(|hold| (hold.claims, hold.state)), Some((2, HoldState::Held)));
    assert_eq!(look(&mut journal, NOW, |ledger| ledger.hold(2).unwrap().unwrap().claims), 2);
    assert!(look(&mut journal, NOW, |ledger| ledger.hold(3).unwrap().is_none()));
    reader.verify(|_, _| {}).unwrap();
}

#[test]
fn holds_are_listed_by_what_is_asked_for() {
    let home = Home::new();
    let mut journal = home.create();
    let pays: Vec<Entry> = (1..=5).map(|id| Pay::new(id, NOW).permit()).collect();
    record(&mut journal, &pays).unwrap();
    record(&mut journal, &[resolved(3, HoldState::Released, NOW)]).unwrap();
    record(&mut journal, &[resolved(5, settled_for(Usd::ZERO), NOW)]).unwrap();
    let reader = home.reader();
    let seqs = |which, after, limit| -> Vec<u64> {
        reader.holds(which, after, limit).unwrap().iter().map(|hold| hold.seq).collect()
    };
    let here = ChainId::Eip155(84532);
    assert_eq!(seqs(Holds::All, 0, 10), [2, 3, 4, 5, 6]);
    assert_eq!(seqs(Holds::All, 3, 2), [4, 5]);
    assert_eq!(seqs(Holds::InState("settled"), 0, 10), [5]);
    assert_eq!(seqs(Holds::InState("released"), 0, 10), [3]);
    assert_eq!(seqs(Holds::UnresolvedOn(&here), 2, 10), [4, 6]);
    assert_eq!(seqs(Holds::UnresolvedOn(&ChainId::Eip155(1)), 0, 10), Vec::<u64>::new());
}

#[test]
fn what_could_be_settled_since_a_moment_is_bound() {
    let home = Home::new();
    let mut journal = home.create();
    let entries = [(1, 100), (2, 400), (3, 1_000)]
        .map(|(id, life)| Pay { held_until: NOW + life, ..Pay::new(id, NOW) }.permit());
    record(&mut journal, &entries).unwrap();
    record(&mut journal, &[resolved(4, HoldState::Released, NOW)]).unwrap();
    let wallet = Scope::Wallet(evm(1));
    let mut bound =
        |since| look(&mut journal, NOW, |ledger| ledger.bound_since(&wallet, UnixSeconds(since)).units());
    // A hold counts to the end of the minute it ends in.
    assert_eq!(
        [NOW, NOW + 120, NOW + 121, NOW + 420, NOW + 421].map(&mut bound),
        [2 * ONE, 2 * ONE, ONE, ONE, 0]
    );
    assert_eq!(journal.clock().high_water_ms, NOW * 1000);
}

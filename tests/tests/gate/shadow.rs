//! A bundle that is asked and never obeyed.

use pursekeeper_core::gate::Ask;
use pursekeeper_core::{
    ActVerb, BundleId, DenyCode, Digest, Entry, Flip, Mode, Shadow, ShadowVerdict, Status, Usd,
};
use pursekeeper_tests::Offer;

use crate::fixture::{Fixture, OneCeiling, act, ask, pay, policy, subjects};
use crate::sign_in::plain;

/// A fixture with a shadow that has revision 9.
fn shadowed(change: impl FnOnce(&mut OneCeiling)) -> Fixture {
    let mut shadow = policy();
    (shadow.1, shadow.0.revision) = (9, Some(9));
    change(&mut shadow);
    Fixture { shadow: Some(shadow), ..Fixture::new() }
}

/// Under which the wallet is suspended.
fn stricter() -> Fixture {
    shadowed(|shadow| {
        shadow.0.wallets.values_mut().for_each(|wallet| wallet.status = Status::Suspended);
    })
}

/// What the shadow said about each record that it was asked about.
fn verdicts(fixture: &Fixture) -> Vec<Option<ShadowVerdict>> {
    let of = |entry: &Entry| entry.shadow().map(|(shadow, _)| shadow.verdict.clone());
    fixture.gate.journal().entries.iter().map(of).collect()
}

fn permits(usd: &str) -> Option<ShadowVerdict> {
    Some(ShadowVerdict::Permit { usd: Some(Usd::parse(usd).unwrap()) })
}

fn code(verdict: Option<&ShadowVerdict>) -> Option<DenyCode> {
    match verdict {
        Some(ShadowVerdict::Deny(denial)) => Some(denial.code),
        Some(ShadowVerdict::Permit { .. }) | None => None,
    }
}

#[test]
fn what_a_stricter_bundle_would_deny_is_recorded_and_permitted() {
    let mut fixture = stricter();
    fixture.check(vec![pay("a", "1000"), plain("b")], &["OK", "OK"]);
    let verdicts = verdicts(&fixture);
    let codes: Vec<_> = verdicts.iter().map(|verdict| code(verdict.as_ref())).collect();
    assert_eq!(codes, [Some(DenyCode::NotActive); 2]);
    assert_eq!(fixture.flips, [Flip::Denies; 2]);
    let Entry::Payment(decision) = &fixture.gate.journal().entries[0] else { panic!("no payment") };
    let Shadow { bundle, verdict: _ } = &**decision.shadow.as_ref().unwrap();
    assert_eq!(*bundle, BundleId { digest: Digest([9; 32]), revision: Some(9) });
    assert_eq!(decision.bundle, BundleId { digest: Digest([7; 32]), revision: None });
}

#[test]
fn what_a_looser_bundle_would_permit_is_recorded_and_denied() {
    let mut fixture = shadowed(|_| {});
    fixture.policy.0.teams.clear();
    fixture.check(vec![pay("a", "3000"), pay("b", "20000")], &["NO_PERMIT"; 2]);
    let verdicts = verdicts(&fixture);
    assert_eq!(verdicts[0], permits("0.003"));
    assert_eq!(code(verdicts[1].as_ref()), Some(DenyCode::CeilingExceeded));
    assert_eq!(fixture.flips, [Flip::Permits, Flip::None]);
}

#[test]
fn what_the_shadow_would_permit_counts_for_nothing() {
    let mut fixture = shadowed(|_| {});
    let teams = std::mem::take(&mut fixture.policy.0.teams);
    let batch: Vec<Ask> = ["a", "b", "c"].map(|id| pay(id, "9000")).into();
    fixture.check(batch, &["NO_PERMIT"; 3]);
    // Each of the three alone is under the ceiling: none of them was ever spent.
    assert_eq!(verdicts(&fixture), vec![permits("0.009"); 3]);
    fixture.policy.0.teams = teams;
    fixture.reload();
    fixture.check(vec![pay("d", "10000")], &["OK"]);
}

#[test]
fn it_judges_what_really_happened() {
    let mut fixture = shadowed(|_| {});
    fixture.check(vec![pay("a", "6000"), pay("b", "6000")], &["OK", "CEILING_EXCEEDED"]);
    assert_eq!(fixture.flips, [Flip::None; 2], "money that was spent is spent under every bundle");
    let stop = act("alice", ActVerb::Suspend, subjects()[2].clone());
    fixture.check(vec![Ask::Lifecycle(stop), pay("c", "1")], &["OK", "NOT_ACTIVE"]);
    assert_eq!(fixture.flips, [Flip::None; 3], "an act of an operator is an act under every bundle");
}

#[test]
fn previews_and_what_was_signed_already_are_not_asked_about() {
    let mut fixture = stricter();
    let preview = ask("p", Mode::Preview, &[Offer::of("1000")]);
    fixture.check(vec![pay("a", "1000"), pay("a", "1000"), preview], &["OK"; 3]);
    let asked: Vec<bool> = verdicts(&fixture).iter().map(Option::is_some).collect();
    assert_eq!(asked, [true, false, false]);
    assert_eq!(fixture.flips, [Flip::Denies]);
    fixture.shadow = None;
    fixture.check(vec![pay("b", "1000")], &["OK"]);
    assert_eq!(verdicts(&fixture).last(), Some(&None), "without a shadow nobody is asked");
}

//! A clock that cannot be believed frees nothing.

use pursekeeper_core::gate::{Ask, Settings};
use pursekeeper_core::{ActVerb, Entry, Subject};

use crate::fixture::{Fixture, act, pay};

const DAY_MS: u64 = 86_400_000;

fn accept() -> Ask {
    Ask::Lifecycle(act("alice", ActVerb::AcceptClock, Subject::Sidecar))
}

#[test]
fn a_clock_that_jumped_permits_nothing_until_an_operator_accepts_it() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "10000")], &["OK"]);
    // Two days pass on the wall, a second on the machine.
    fixture.now_ms += 2 * DAY_MS;
    fixture.boot_ms += 1_000;
    fixture.check(vec![pay("b", "10000"), pay("a", "10000")], &["CLOCK_JUMPED", "CLOCK_JUMPED"]);
    let recorded: Vec<u64> = fixture.gate.journal().entries.iter().map(|entry| entry.at().unix_ms).collect();
    let believed = recorded[0] + 1_000;
    assert_eq!(recorded[1..], [believed, believed], "a jump moves no high-water mark");
    // Put right, it is as if nothing had happened: the day is still spent.
    fixture.now_ms -= 2 * DAY_MS;
    fixture.later(1_000);
    fixture.check(vec![pay("c", "1")], &["CEILING_EXCEEDED"]);
    // Confirmed, the two days have passed.
    fixture.now_ms += 2 * DAY_MS;
    fixture.check(vec![accept(), pay("d", "10000")], &["OK", "CLOCK_JUMPED"]);
    fixture.check(vec![pay("d", "10000")], &["OK"]);
}

#[test]
fn a_jump_is_measured_against_the_boot_clock_and_across_reboots_against_the_last_record() {
    let Settings { clock_ahead_ms_max, clock_reboot_ms_max, .. } = Settings::default();
    for (boot, ahead_ms, expected) in [
        (1, clock_ahead_ms_max, "OK"),
        (1, clock_ahead_ms_max + 1, "CLOCK_JUMPED"),
        (2, clock_reboot_ms_max, "OK"),
        (2, clock_reboot_ms_max + 1, "CLOCK_JUMPED"),
    ] {
        let mut fixture = Fixture::new();
        fixture.check(vec![pay("a", "1")], &["OK"]);
        (fixture.boot, fixture.now_ms) = (boot, fixture.now_ms + ahead_ms);
        fixture.check(vec![pay("b", "1")], &[expected]);
    }
}

#[test]
fn stops_are_recorded_whatever_the_clock_says() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "1")], &["OK"]);
    fixture.now_ms += 30 * DAY_MS;
    let stop = |verb| Ask::Lifecycle(act("alice", verb, crate::subjects()[2].clone()));
    fixture.check(vec![stop(ActVerb::Suspend)], &["OK"]);
    fixture.now_ms -= 30 * DAY_MS;
    fixture.check(vec![pay("b", "1")], &["NOT_ACTIVE"]);
    assert!(matches!(&fixture.gate.journal().entries[1], Entry::Lifecycle(_)));
}

#[test]
fn a_clock_that_is_behind_is_not_accepted() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "1")], &["OK"]);
    fixture.now_ms -= 3_600_000;
    fixture.check(vec![accept(), pay("b", "1")], &["CLOCK_REGRESSED", "CLOCK_REGRESSED"]);
    assert_eq!(fixture.gate.journal().entries[1].at().unix_ms, fixture.now_ms);
}

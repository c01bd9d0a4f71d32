//! The gate over a journal in memory and a policy of one rule: a workflow spends at most 0.01 dollars a day.

mod clock;
mod evidence;
mod fixture;
mod floods;
mod listeners;
mod lives;
mod names;
mod payees;
mod permit2;
mod prepaid;
mod shadow;
mod sign_in;
mod typed_data;

use pursekeeper_core::gate::{Answer, Ask, Settings};
use pursekeeper_core::{ActVerb, DecisionId, DenyCode, Entry, Mode, UnixSeconds};
use pursekeeper_tests::Offer;

use fixture::{Fixture, NOON_MS, act, ask, authorized, intent, pay, signed, subjects};

#[test]
fn a_batch_sees_the_holds_of_the_asks_before_it() {
    let batch = || vec![pay("a", "6000"), pay("b", "6000"), pay("c", "4000"), pay("d", "1")];
    let expected = ["OK", "CEILING_EXCEEDED", "OK", "CEILING_EXCEEDED"];
    Fixture::new().check(batch(), &expected);
    let mut one_by_one = Fixture::new();
    for (ask, expected) in batch().into_iter().zip(expected) {
        one_by_one.check(vec![ask], &[expected]);
    }
}

#[test]
fn a_retry_gets_the_same_intent_and_no_second_hold() {
    let mut fixture = Fixture::new();
    let first = authorized(fixture.one(pay("a", "6000")));
    fixture.later(1_500);
    // Another nonce is drawn for every call; the first one counts.
    let again = authorized(fixture.one(pay("a", "6000")));
    assert_eq!(again.what(), first.what());
    fixture.check(vec![pay("b", "4000"), pay("c", "1")], &["OK", "CEILING_EXCEEDED"]);
    let signed = signed(*again);
    assert_eq!(
        signed.decision_id(),
        DecisionId { journal: [0xaa; 4], seq: 1 },
        "it names the permit's record"
    );
    assert!(
        matches!(&fixture.gate.journal().entries[1], Entry::Reissue(reissue) if reissue.original_seq == 1)
    );
}

#[test]
fn two_of_the_same_id_in_one_batch_are_one_payment() {
    let mut fixture = Fixture::new();
    let mut answers = fixture.pass(vec![pay("a", "6000"), pay("a", "6000")]);
    let (second, first) = (authorized(answers.remove(1)), authorized(answers.remove(0)));
    assert_eq!(first.what(), second.what());
}

#[test]
fn an_id_used_for_another_request_is_refused() {
    let mut fixture = Fixture::new();
    let other_timeout = Offer { timeout_secs: 30, ..Offer::of("6000") };
    let wordier = ask("a", Mode::Enforce, &[other_timeout]);
    fixture.check(vec![pay("a", "6000"), pay("a", "1"), wordier], &["OK", "REQUEST_ID_REUSED", "OK"]);
}

#[test]
fn past_its_window_an_id_is_expired_and_never_paid_again() {
    let mut fixture = Fixture::new();
    let until = intent(&authorized(fixture.one(pay("a", "1000")))).valid_before;
    for (now, expected) in
        [(until.minus(1), "OK"), (until, "REQUEST_EXPIRED"), (until.plus(90 * 86_400), "REQUEST_EXPIRED")]
    {
        fixture.later(now.0 * 1000 - fixture.now_ms);
        fixture.check(vec![pay("a", "1000")], &[expected]);
    }
}

#[test]
fn an_id_whose_record_is_archived_is_refused_as_it_was_before() {
    let asks = || {
        vec![pay("a", "1000"), pay("a", "2000"), pay("b", "1000"), sign_in::plain("b"), sign_in::plain("a")]
    };
    for archived in [false, true] {
        let mut fixture = Fixture::new();
        fixture.check(vec![pay("a", "1000"), sign_in::plain("b")], &["OK", "OK"]);
        fixture.later(40 * 86_400_000);
        fixture.gate.journal_mut().archived = archived;
        let expected = [
            "REQUEST_EXPIRED",
            "REQUEST_ID_REUSED",
            "REQUEST_ID_REUSED",
            "REQUEST_EXPIRED",
            "REQUEST_ID_REUSED",
        ];
        fixture.check(asks(), &expected);
    }
}

#[test]
fn a_denial_is_not_cached() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "10000"), pay("b", "1000")], &["OK", "CEILING_EXCEEDED"]);
    fixture.later(2 * 86_400_000);
    fixture.check(vec![pay("b", "1000")], &["OK"]);
}

#[test]
fn a_stopped_subject_gets_neither_a_payment_nor_its_earlier_payload() {
    for subject in subjects() {
        let mut fixture = Fixture::new();
        let stop = |verb| Ask::Lifecycle(act("alice", verb, subject.clone()));
        fixture.check(
            vec![pay("a", "1000"), stop(ActVerb::Suspend), pay("a", "1000"), pay("b", "1000")],
            &["OK", "OK", "NOT_ACTIVE", "NOT_ACTIVE"],
        );
        fixture.check(vec![stop(ActVerb::Resume), pay("a", "1000"), pay("b", "1000")], &["OK", "OK", "OK"]);
    }
}

#[test]
fn an_operator_without_the_right_stops_nothing() {
    let mut fixture = Fixture::new();
    let stop = Ask::Lifecycle(act("mallory", ActVerb::Suspend, subjects()[2].clone()));
    fixture.check(vec![stop, pay("a", "1000")], &["OPERATOR_NOT_ALLOWED", "OK"]);
}

#[test]
fn a_workflow_that_expired_hands_nothing_out_again() {
    let mut fixture = Fixture::new();
    fixture.later(30 * 86_400_000 - 1_000);
    fixture.check(vec![pay("a", "1000")], &["OK"]);
    fixture.later(1_000);
    fixture.check(vec![pay("a", "1000")], &["WORKFLOW_EXPIRED"]);
}

#[test]
fn a_clock_that_went_back_permits_nothing() {
    let back_max = Settings::default().clock_back_ms_max;
    for (ahead, expected) in [(back_max, "OK"), (back_max + 1, "CLOCK_REGRESSED")] {
        let mut fixture = Fixture::new();
        fixture.gate.journal_mut().clock_before.high_water_ms = NOON_MS + ahead;
        fixture.check(vec![pay("a", "1000")], &[expected]);
    }
}

#[test]
fn the_cheapest_permitted_offer_is_taken_not_the_first() {
    let lives = |timeout_secs| Offer { timeout_secs, ..Offer::of("1000") };
    let other = Offer { scheme: "deferred".to_owned(), ..Offer::of("1") };
    let table: [(Vec<Offer>, u32); 4] = [
        (vec![Offer::of("3000"), Offer::of("1000"), Offer::of("2000")], 1),
        (vec![Offer::of("20000"), Offer::of("2000")], 1),
        (vec![other, Offer::of("3000")], 1),
        // Among equals the one that lives shorter, then the seller's order.
        (vec![lives(60), lives(30), lives(30)], 1),
    ];
    for (offers, expected) in table {
        let right = authorized(Fixture::new().one(ask("a", Mode::Enforce, &offers)));
        assert_eq!(intent(&right).offered().unwrap().index, expected, "{offers:?}");
    }
}

#[test]
fn every_offer_gets_its_own_verdict() {
    let other = Offer { scheme: "deferred".to_owned(), ..Offer::of("1") };
    let answer = Fixture::new().one(ask("a", Mode::Enforce, &[Offer::of("20000"), other, Offer::of("0")]));
    let Answer::Denied { denial, offers, .. } = answer else { panic!("{answer:?}") };
    let codes: Vec<_> = offers.iter().map(|offer| offer.denial.as_ref().unwrap().code.as_str()).collect();
    assert_eq!(codes, ["CEILING_EXCEEDED", "SCHEME_UNSUPPORTED", "AMOUNT_ZERO"]);
    assert_eq!(denial.code, DenyCode::CeilingExceeded, "the offer that came closest gives the answer");
}

#[test]
fn without_a_permit_nothing_is_permitted() {
    let mut fixture = Fixture::new();
    fixture.policy.0.teams.clear();
    let answer = fixture.one(pay("a", "1"));
    let Answer::Denied { denial, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((denial.code, denial.policies.len()), (DenyCode::NoPermit, 0));
    assert!(denial.message.starts_with(DenyCode::NoPermit.meaning()), "{}", denial.message);
}

#[test]
fn validity_is_the_smaller_of_the_sellers_and_ours() {
    let Settings { validity_secs_max, skew_secs, .. } = Settings::default();
    for (asked, given) in [(1, 1), (validity_secs_max, validity_secs_max), (u64::MAX, validity_secs_max)] {
        let offer = Offer { timeout_secs: asked, ..Offer::default() };
        let right = authorized(Fixture::new().one(ask("a", Mode::Enforce, &[offer])));
        let now = UnixSeconds(NOON_MS / 1000);
        let window = (intent(&right).valid_after, intent(&right).valid_before);
        assert_eq!(window, (now.minus(skew_secs), now.plus(given)));
    }
}

#[test]
fn a_preview_binds_nothing_and_is_recorded() {
    let mut fixture = Fixture::new();
    let preview = || ask("a", Mode::Preview, &[Offer::of("10000")]);
    fixture.check(
        vec![preview(), preview(), pay("b", "10000"), preview()],
        &["OK", "OK", "OK", "CEILING_EXCEEDED"],
    );
    assert_eq!(fixture.gate.journal().entries.len(), 4);
    // Its id is still free for the payment.
    fixture.later(2 * 86_400_000);
    let answers = fixture.pass(vec![preview(), pay("a", "10000"), preview()]);
    assert!(matches!(
        answers[..],
        [Answer::WouldSign { .. }, Answer::Authorized(_), Answer::WouldSign { .. }]
    ));
}

#[test]
fn a_journal_that_fails_authorises_nothing_and_remembers_nothing() {
    let mut fixture = Fixture::new();
    fixture.gate.journal_mut().full = true;
    let batch = vec![pay("a", "6000"), pay("b", "1")];
    assert!(fixture.try_pass(batch).is_err());
    assert!(fixture.gate.journal().entries.is_empty());
    fixture.gate.journal_mut().full = false;
    fixture.check(vec![pay("c", "10000"), pay("a", "6000")], &["OK", "CEILING_EXCEEDED"]);
}

#[test]
fn a_stop_that_was_not_recorded_is_recorded_before_anything_else() {
    let mut fixture = Fixture::new();
    let stop = act("alice", ActVerb::Suspend, subjects()[2].clone());
    fixture.gate.remember(stop.clone());
    fixture.gate.remember(stop.clone());
    fixture.gate.remember(act("alice", ActVerb::Resume, subjects()[2].clone()));
    assert_eq!(fixture.gate.undurable_len(), 1, "twice the same is once, and a resume is never remembered");

    fixture.gate.journal_mut().full = true;
    assert!(fixture.try_pass(vec![pay("a", "1")]).is_err());
    assert_eq!(fixture.gate.undurable_len(), 1, "a failure forgets no stop");

    fixture.gate.journal_mut().full = false;
    fixture.check(vec![pay("a", "1")], &["NOT_ACTIVE"]);
    assert_eq!(fixture.gate.undurable_len(), 0);
    assert!(
        matches!(&fixture.gate.journal().entries[0], Entry::Lifecycle(decision) if decision.act == stop.act)
    );
}

//! Whoever asks the same again and again fills no disk.

use pursekeeper_core::gate::{Answer, Ask, UnauthenticatedAsk};
use pursekeeper_core::{
    ActVerb, DecisionId, Entry, IdentitySource, Mode, RepeatCaller, RepeatKind, Repeats, Usd, Wait, Window,
};
use pursekeeper_tests::Offer;

use super::fixture::{Fixture, act, ask, changed, code, pay, subjects};

/// Records of one kind within a minute; what comes beyond is counted.
const MAX: u64 = 60;
const DEAR: &str = "99000000";

fn repeats(fixture: &Fixture) -> Vec<Repeats> {
    let entries = fixture.gate.journal().entries.iter();
    let counted = entries.filter_map(|entry| match entry {
        Entry::Repeated(repeated) => Some(repeated.repeats.clone()),
        Entry::Payment(_)
        | Entry::Reissue(_)
        | Entry::Lifecycle(_)
        | Entry::Report(_)
        | Entry::Evidence(_)
        | Entry::SignIn(_)
        | Entry::Transition(_)
        | Entry::Signatures(_)
        | Entry::Unauthenticated(_)
        | Entry::Reload(_) => None,
    });
    counted.collect()
}

fn records(fixture: &Fixture) -> u64 {
    fixture.gate.journal().entries.len().try_into().unwrap()
}

/// Asks the same `times` times, and checks that each answer has `word`.
fn flood(fixture: &mut Fixture, times: u64, word: &str, ask: impl Fn(u64) -> Ask) -> Vec<Answer> {
    let answers: Vec<Answer> = (0..times).map(|at| fixture.one(ask(at))).collect();
    assert!(answers.iter().all(|answer| code(answer) == word), "{answers:?}");
    answers
}

#[test]
fn a_flood_of_denials_is_a_number_of_records_and_a_count() {
    let mut fixture = Fixture::new();
    let answers = flood(&mut fixture, 1_000, "CEILING_EXCEEDED", |at| pay(&format!("a{at}"), DEAR));
    assert_eq!(records(&fixture), MAX);
    // Every answer names a record that says what it says.
    let id = |answer: &Answer| match answer {
        Answer::Denied { decision_id, .. } => *decision_id,
        other @ (Answer::Authorized(_)
        | Answer::WouldSign { .. }
        | Answer::Acted { .. }
        | Answer::Changed { .. }
        | Answer::Voids(_)
        | Answer::Reported { .. }
        | Answer::Resolved { .. }
        | Answer::Noted { .. }
        | Answer::Nothing(_)) => panic!("{other:?}"),
    };
    let last: DecisionId = id(answers.last().unwrap());
    assert_eq!(last.seq, MAX);
    fixture.later(60_000);
    fixture.check(vec![pay("b", DEAR)], &["CEILING_EXCEEDED"]);
    let [counted] = repeats(&fixture).try_into().unwrap();
    assert_eq!((counted.count, counted.like_seq, counted.key.kind), (1_000 - MAX, MAX, RepeatKind::Payment));
    assert_eq!(records(&fixture), MAX + 2, "the count, and the first of a new minute");
}

#[test]
fn what_binds_money_is_never_counted_away() {
    let mut fixture = Fixture::new();
    flood(&mut fixture, 200, "CEILING_EXCEEDED", |at| pay(&format!("a{at}"), DEAR));
    let before = records(&fixture);
    fixture.check(vec![pay("cheap", "1000")], &["OK"]);
    assert_eq!(records(&fixture), before + 1);
    // A retry is the same payment, however often it comes.
    let retries = flood(&mut fixture, 200, "OK", |_| pay("cheap", "1000"));
    let same = |answer: &Answer| matches!(answer, Answer::Authorized(_));
    assert!(retries.iter().all(same));
    assert_eq!(records(&fixture), before + 1 + MAX);
}

#[test]
fn previews_and_strangers_are_counted_too() {
    let mut fixture = Fixture::new();
    let preview = |at: u64| {
        ask(&format!("p{at}"), Mode::Preview, &[Offer { amount: "1000".to_owned(), ..Offer::default() }])
    };
    flood(&mut fixture, 300, "OK", preview);
    assert_eq!(records(&fixture), MAX);
    let stranger = |_| {
        Ask::Unauthenticated(UnauthenticatedAsk {
            source: Some(IdentitySource::unix_peer(4711)),
            call: "Signer.SignPayment".to_owned(),
            message: "no agent has uid 4711".to_owned(),
        })
    };
    flood(&mut fixture, 300, "OK", stranger);
    assert_eq!(records(&fixture), 2 * MAX);
    fixture.later(60_000);
    fixture.pass(Vec::new());
    let kinds: Vec<_> =
        repeats(&fixture).into_iter().map(|counted| (counted.key.kind, counted.count)).collect();
    assert_eq!(kinds, [(RepeatKind::Preview, 240), (RepeatKind::Unauthenticated, 240)]);
    let callers: Vec<_> = repeats(&fixture).into_iter().map(|counted| counted.key.caller).collect();
    assert_eq!(callers[1], RepeatCaller::Stranger(IdentitySource::unix_peer(4711)));
}

#[test]
fn a_stop_waits_for_no_count() {
    let mut fixture = Fixture::new();
    flood(&mut fixture, 200, "CEILING_EXCEEDED", |at| pay(&format!("a{at}"), DEAR));
    fixture.later(60_000);
    let [agent, ..] = subjects();
    fixture.check(vec![Ask::Lifecycle(act("alice", ActVerb::Suspend, agent))], &["OK"]);
    assert!(repeats(&fixture).is_empty());
    fixture.pass(Vec::new());
    assert_eq!(repeats(&fixture).len(), 1);
}

#[test]
fn a_record_says_which_ceilings_were_met_and_how_long_the_request_waited() {
    let mut fixture = Fixture::new();
    let day = Usd::parse("0.01").unwrap();
    for workflow in fixture.policy.0.workflows.values_mut() {
        workflow.ceilings.usd.insert(Window::Day, day);
    }
    fixture.check(vec![pay("one", "1000"), pay("two", DEAR)], &["OK", "CEILING_EXCEEDED"]);
    let waiting = changed(pay("three", "1000"), |ask| ask.asked.wait = Wait::Since { boot_us: 0 });
    fixture.one(waiting);
    let met = |at: usize| match &fixture.gate.journal().entries[at] {
        Entry::Payment(decision) => decision.clone(),
        other @ (Entry::Reissue(_)
        | Entry::Lifecycle(_)
        | Entry::Report(_)
        | Entry::Evidence(_)
        | Entry::SignIn(_)
        | Entry::Transition(_)
        | Entry::Signatures(_)
        | Entry::Unauthenticated(_)
        | Entry::Repeated(_)
        | Entry::Reload(_)) => panic!("{other:?}"),
    };
    let text = |at: usize| {
        let uses = met(at).ceilings;
        let texts = uses.iter().map(|one| {
            let words = [one.scope.as_str(), one.window.as_str(), one.measure.as_str()].join(" ");
            format!("{words}: {} + … = {} of {}", one.before, one.after, one.limit)
        });
        texts.collect::<Vec<_>>()
    };
    assert_eq!(text(0), ["workflow day usd: 0.00 + … = 0.001 of 0.01"]);
    assert_eq!(text(1), ["workflow day usd: 0.001 + … = 99.001 of 0.01"]);
    assert_eq!(met(2).asked.wait, Wait::For { micros: 0 });
}

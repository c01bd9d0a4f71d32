//! Prepaid credit: what policies are told of it, and what agents may say about it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use pursekeeper_core::gate::{Answer, Ask, EvidenceAsk, ReportAsk, Rules, Surroundings};
use pursekeeper_core::ports::{Policy, Verdict};
use pursekeeper_core::registry::{PathPattern, Prepaid, Registry};
use pursekeeper_core::*;

use crate::fixture::{Fixture, OneCeiling, code, pay};
use crate::sign_in::plain;

/// The same policy, with a note of the credit each judgement was told of.
struct Watching<'a> {
    inner: &'a OneCeiling,
    seen: RefCell<Vec<Option<PrepaidFacts>>>,
}

impl Policy for Watching<'_> {
    fn registry(&self) -> &Registry {
        self.inner.registry()
    }

    fn digest(&self) -> Digest {
        self.inner.digest()
    }

    fn decide(&self, intent: &Intent, facts: &Facts) -> Verdict {
        self.seen.borrow_mut().push(facts.prepaid);
        self.inner.decide(intent, facts)
    }

    fn decide_allowance(&self, intent: &Intent, facts: &Facts) -> Verdict {
        self.inner.decide_allowance(intent, facts)
    }

    fn decide_sign_in(&self, intent: &SignInIntent, facts: &Facts) -> Verdict {
        self.seen.borrow_mut().push(facts.prepaid);
        self.inner.decide_sign_in(intent, facts)
    }

    fn decide_act(&self, act: &Act, now: UnixSeconds) -> Verdict {
        self.inner.decide_act(act, now)
    }
}

/// The only service is prepaid, and what everybody calls tops it up.
fn prepaid() -> Fixture {
    let mut fixture = Fixture::new();
    declare(&mut fixture, "/v1/report");
    fixture
}

fn declare(fixture: &mut Fixture, top_up: &str) {
    for service in fixture.policy.0.services.values_mut() {
        service.prepaid = Some(Prepaid { top_up: vec![PathPattern::parse(top_up).unwrap()] });
    }
}

/// Passes one ask that must be answered with `OK`, and says what its judge was told.
fn told(fixture: &mut Fixture, ask: Ask) -> Option<PrepaidFacts> {
    let watching = Watching { inner: &fixture.policy, seen: RefCell::default() };
    let at = Moment { unix_ms: fixture.now_ms, boot_ms: fixture.boot_ms, boot_id: [fixture.boot; 16] };
    let around =
        Surroundings { boot_us: 0, at, balances: &fixture.balances, keys: &fixture.keys, witness: &() };
    let answers = fixture.gate.pass(Rules::of(&watching), around, vec![ask]).unwrap().answers;
    assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["OK"]);
    let seen = watching.seen.into_inner();
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen[0]
}

fn facts(topped_up: &str, claimed: Option<(&str, u64)>, sign_ins: u64) -> Option<PrepaidFacts> {
    let claimed = claimed.map(|(usd, age_secs)| ClaimedFacts { usd: usd_of(usd), age_secs });
    Some(PrepaidFacts { top_up: true, topped_up: usd_of(topped_up), claimed, sign_ins })
}

fn usd_of(text: &str) -> Usd {
    Usd::parse(text).unwrap()
}

fn report(agent: &str, original_seq: u64, said: Said) -> Ask {
    let agent = AgentName::parse(agent).unwrap();
    let caller = Caller::new(agent, IdentitySource::unix_peer(1000));
    Ask::Report(ReportAsk { caller, original_seq, said })
}

fn left(original_seq: u64, usd: &str) -> Ask {
    report("researcher", original_seq, Said::Remaining(usd_of(usd)))
}

fn evidence(hold: u64, fate: Fate) -> Ask {
    let network = ChainId::parse("eip155:84532").unwrap();
    let observation = Observation { network, block: 7, block_hash: [7; 32], transaction: None, nodes: 1 };
    Ask::Evidence(EvidenceAsk { hold, fate, observation })
}

#[test]
fn top_ups_add_sign_ins_count_and_the_last_claim_ages() {
    let mut fixture = prepaid();
    assert_eq!(told(&mut fixture, pay("a", "4000")), facts("0", None, 0), "record 1");
    assert_eq!(told(&mut fixture, pay("b", "3000")), facts("0.004", None, 0), "record 2");
    assert_eq!(told(&mut fixture, plain("c")), facts("0.007", None, 0), "record 3");
    assert_eq!(told(&mut fixture, plain("d")), facts("0.007", None, 1), "record 4");
    fixture.check(vec![left(3, "0.0065")], &["OK"]);
    fixture.later(30_000);
    assert_eq!(told(&mut fixture, plain("e")), facts("0.007", Some(("0.0065", 30)), 0));
    assert_eq!(told(&mut fixture, pay("f", "1000")), facts("0.007", Some(("0.0065", 30)), 1));
    // What is claimed of a top-up takes the place of what was claimed before.
    let both = Said::Both(Claim::settled(None), usd_of("2.5"));
    fixture.check(vec![report("researcher", 1, both)], &["OK"]);
    fixture.later(1_000);
    assert_eq!(told(&mut fixture, plain("g")), facts("0.008", Some(("2.50", 1)), 0));
}

#[test]
fn credit_is_what_was_settled_and_nothing_of_what_died() {
    let mut fixture = prepaid();
    fixture.check(vec![pay("a", "4000"), pay("b", "3000")], &["OK"; 2]);
    let less = Fate::Settled { amount: Amount::parse("1000").unwrap() };
    fixture.check(vec![evidence(1, less), evidence(2, Fate::Dead)], &["OK"; 2]);
    assert_eq!(told(&mut fixture, plain("c")), facts("0.001", None, 0));
}

#[test]
fn a_call_elsewhere_is_no_top_up_and_another_service_has_no_credit() {
    let mut fixture = Fixture::new();
    assert_eq!(told(&mut fixture, pay("a", "1000")), None);
    assert_eq!(told(&mut fixture, plain("b")), None);
    declare(&mut fixture, "/v1/top-up");
    // What was paid there before it was declared prepaid is in it.
    let elsewhere = facts("0.001", None, 1).map(|facts| PrepaidFacts { top_up: false, ..facts });
    assert_eq!(told(&mut fixture, pay("c", "1000")), elsewhere);
    for workflow in fixture.policy.0.workflows.values_mut() {
        workflow.services.clear();
    }
    assert_eq!(told(&mut fixture, plain("d")), None, "it is booked under no service");
}

#[test]
fn agents_claim_once_for_their_own_sign_ins_to_prepaid_services() {
    let mut fixture = prepaid();
    fixture.check(vec![plain("a"), pay("b", "10000"), pay("c", "1")], &["OK", "OK", "CEILING_EXCEEDED"]);
    let outcome = || Said::Outcome(Claim::failed("504"));
    let table = [
        (report("writer", 1, Said::Remaining(Usd::ZERO)), "PaymentUnknown", "somebody else's sign-in"),
        (report("writer", 2, Said::Remaining(Usd::ZERO)), "PaymentUnknown", "somebody else's payment"),
        (left(3, "1"), "PaymentUnknown", "a refusal"),
        (left(99, "1"), "PaymentUnknown", "nothing"),
        (left(u64::MAX, "1"), "PaymentUnknown", "nothing that could be"),
        (report("researcher", 1, outcome()), "NotAPayment", "a sign-in settles nothing"),
        (report("researcher", 1, Said::Both(Claim::settled(None), Usd::ZERO)), "NotAPayment", "nor beside"),
        (left(1, "1"), "OK", "its own sign-in"),
        (left(1, "2"), "ClaimsExhausted", "once is enough"),
    ];
    for (ask, expected, what) in table {
        let answer = fixture.one(ask);
        assert_eq!(code(&answer), expected, "{what}");
        assert_eq!(matches!(answer, Answer::Reported { .. }), expected == "OK");
    }
    assert_eq!(fixture.gate.journal().entries.len(), 4, "what is refused is not recorded");
    for _ in 0..CLAIMS_PER_HOLD_MAX {
        fixture.check(vec![left(2, "1000000000")], &["OK"]);
    }
    fixture.check(vec![left(2, "1"), report("researcher", 2, outcome())], &["ClaimsExhausted"; 2]);
    // However much is said to be left, no money is free.
    fixture.check(vec![pay("d", "1")], &["CEILING_EXCEEDED"]);

    let mut fixture = Fixture::new();
    fixture.check(vec![plain("a"), pay("b", "1")], &["OK"; 2]);
    fixture.check(vec![left(1, "1"), left(2, "1")], &["NotPrepaid"; 2]);
    fixture.check(vec![report("researcher", 2, outcome())], &["OK"]);
}

#[test]
fn another_name_of_the_service_is_not_another_credit() {
    let mut fixture = prepaid();
    fixture.check(vec![pay("a", "4000"), plain("b"), left(1, "3")], &["OK"; 3]);
    assert_eq!(told(&mut fixture, plain("c")), facts("0.004", Some(("3", 0)), 0), "record 4");
    let Registry { services, workflows, .. } = &mut fixture.policy.0;
    let (former, mut service) = services.pop_first().unwrap();
    let name = ServiceName::parse("library").unwrap();
    service.was = BTreeSet::from([former]);
    services.insert(name.clone(), service);
    for workflow in workflows.values_mut() {
        workflow.services = BTreeSet::from([name.clone()]);
    }
    assert_eq!(told(&mut fixture, plain("d")), facts("0.004", Some(("3", 0)), 1), "record 5");
    assert_eq!(told(&mut fixture, pay("e", "1000")), facts("0.004", Some(("3", 0)), 2));
    // Of what was signed under the earlier name may be said, and then under the later one.
    fixture.check(vec![left(4, "2")], &["OK"]);
    assert_eq!(told(&mut fixture, plain("f")), facts("0.005", Some(("2", 0)), 0), "5 was before that");
    // Both names have been used since something was said: rather too many sign-ins than too few.
    assert_eq!(told(&mut fixture, plain("g")), facts("0.005", Some(("2", 0)), 2));
    fixture.check(vec![left(5, "1")], &["OK"]);
    assert_eq!(told(&mut fixture, plain("h")), facts("0.005", Some(("1", 0)), 0));
}

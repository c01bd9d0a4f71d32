//! Payees that the registry leaves to the operators.

use std::collections::BTreeSet;

use pursekeeper_core::gate::{Answer, Ask};
use pursekeeper_core::registry::FirstUse;
use pursekeeper_core::{
    ActVerb, Address, Detail, Entry, EvmAddress, Mode, PENDING_PAYEES_MAX, PayeeState, ServiceName, Status,
    Subject,
};
use pursekeeper_tests::{Offer, PAYEE};

use crate::fixture::{Fixture, WALLET, act, ask, code, evm, pay};

const STRANGER: &str = "0x7100000000000000000000000000000000000001";
const OTHER: &str = "0x7200000000000000000000000000000000000002";

fn reports() -> ServiceName {
    ServiceName::parse("reports").unwrap()
}

/// A gate whose only service lists nobody and leaves payees to the operators.
fn open() -> Fixture {
    let mut fixture = Fixture::new();
    for service in fixture.policy.0.services.values_mut() {
        service.payees.list.clear();
        service.payees.first_use = FirstUse::Pending;
    }
    fixture
}

fn to(payee: &str, id: &str, mode: Mode) -> Ask {
    ask(id, mode, &[Offer { payee: payee.to_owned(), ..Offer::of("1") }])
}

fn pay_to(payee: &str, id: &str) -> Ask {
    to(payee, id, Mode::Enforce)
}

fn accept_by(operator: &str, service: &str, payee: Option<Address>) -> Ask {
    let service = Subject::Service(ServiceName::parse(service).unwrap());
    let mut ask = act(operator, ActVerb::AcceptPayee, service);
    ask.act.detail = payee.map_or(Detail::None, Detail::Payee);
    Ask::Lifecycle(ask)
}

fn accept(payee: &str) -> Ask {
    accept_by("alice", "reports", Some(evm(payee)))
}

/// The payees that records left to the operators, in order.
fn left(fixture: &Fixture) -> Vec<Address> {
    let entries = &fixture.gate.journal().entries;
    let left = entries.iter().filter_map(Entry::pending_payee);
    left.inspect(|left| assert_eq!(left.service, reports())).map(|left| left.payee).collect()
}

#[test]
fn a_first_payee_waits_and_is_paid_once_it_is_accepted() {
    let mut fixture = open();
    let refused = fixture.one(pay_to(STRANGER, "a"));
    let Answer::Denied { denial, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(denial.code.as_str(), "PAYEE_UNACCEPTED");
    assert!(denial.message.contains("pursekeeper payee accept"), "{}", denial.message);
    // Neither a second use nor time accepts it, and only the first refusal leaves it to the operators.
    fixture.check(vec![pay_to(STRANGER, "b")], &["PAYEE_UNACCEPTED"]);
    fixture.later(400 * 86_400_000);
    fixture.check(vec![pay_to(STRANGER, "c")], &["PAYEE_UNACCEPTED"]);
    assert_eq!(left(&fixture), [evm(STRANGER)]);
    fixture.check(vec![accept(STRANGER), pay_to(STRANGER, "a")], &["OK", "OK"]);
    // A later different one waits likewise.
    fixture.check(vec![pay_to(OTHER, "d"), pay_to(STRANGER, "e")], &["PAYEE_UNACCEPTED", "OK"]);
    assert_eq!(left(&fixture), [evm(STRANGER), evm(OTHER)]);
}

#[test]
fn whoever_is_seen_first_gains_nothing() {
    let mut fixture = open();
    let denied = &["PAYEE_UNACCEPTED"];
    fixture.check(vec![pay_to(STRANGER, "a")], denied);
    fixture.check(vec![pay_to(OTHER, "b"), accept(OTHER)], &["PAYEE_UNACCEPTED", "OK"]);
    fixture.check(vec![pay_to(STRANGER, "c"), pay_to(OTHER, "d")], &["PAYEE_UNACCEPTED", "OK"]);
}

#[test]
fn only_what_waits_can_be_accepted() {
    let mut fixture = open();
    fixture.check(vec![pay_to(STRANGER, "a")], &["PAYEE_UNACCEPTED"]);
    let wallet = Ask::Lifecycle(act("alice", ActVerb::AcceptPayee, Subject::Wallet(evm(WALLET))));
    let table = [
        (accept(OTHER), "PAYEE_UNKNOWN"),
        (accept_by("alice", "reports", None), "PAYEE_UNKNOWN"),
        (accept_by("alice", "elsewhere", Some(evm(STRANGER))), "PAYEE_UNKNOWN"),
        (wallet, "PAYEE_UNKNOWN"),
        (accept_by("mallory", "reports", Some(evm(STRANGER))), "OPERATOR_NOT_ALLOWED"),
        (pay_to(STRANGER, "b"), "PAYEE_UNACCEPTED"),
        (accept(STRANGER), "OK"),
        // Whoever is in doubt may repeat it.
        (accept(STRANGER), "OK"),
        (pay_to(STRANGER, "b"), "OK"),
    ];
    for (ask, expected) in table {
        let answer = fixture.one(ask.clone());
        assert_eq!(code(&answer), expected, "{ask:?}");
    }
}

#[test]
fn where_the_registry_alone_decides_operators_do_not() {
    let mut fixture = open();
    fixture.check(vec![pay_to(STRANGER, "a"), accept(STRANGER)], &["PAYEE_UNACCEPTED", "OK"]);
    let first_use = |fixture: &mut Fixture, first_use| {
        let services = fixture.policy.0.services.values_mut();
        services.for_each(|service| service.payees.first_use = first_use);
    };
    first_use(&mut fixture, FirstUse::Refused);
    let batch = vec![pay_to(STRANGER, "b"), pay_to(OTHER, "c"), accept(STRANGER), accept(OTHER)];
    fixture.check(batch, &["PAYEE_UNACCEPTED", "PAYEE_UNACCEPTED", "PAYEE_UNKNOWN", "PAYEE_UNKNOWN"]);
    assert_eq!(left(&fixture), [evm(STRANGER)]);
    // What was accepted counts again when the registry says so.
    first_use(&mut fixture, FirstUse::Pending);
    fixture.check(vec![pay_to(STRANGER, "b"), accept(OTHER)], &["OK", "PAYEE_UNKNOWN"]);
}

#[test]
fn a_list_beside_it_needs_no_operator() {
    let mut fixture = open();
    let services = fixture.policy.0.services.values_mut();
    services.for_each(|service| service.payees.list = BTreeSet::from([evm(PAYEE)]));
    fixture.check(vec![pay("a", "1"), pay_to(STRANGER, "b")], &["OK", "PAYEE_UNACCEPTED"]);
    assert_eq!(left(&fixture), [evm(STRANGER)]);
}

#[test]
fn only_a_refusal_for_the_payee_leaves_it_to_the_operators() {
    let mut fixture = open();
    fixture.check(vec![to(STRANGER, "a", Mode::Preview)], &["PAYEE_UNACCEPTED"]);
    let suspend = |fixture: &mut Fixture, status| {
        fixture.policy.0.services.values_mut().for_each(|service| service.status = status);
    };
    suspend(&mut fixture, Status::Suspended);
    fixture.check(vec![pay_to(STRANGER, "b")], &["NOT_ACTIVE"]);
    suspend(&mut fixture, Status::Active);
    // The zero address can never be paid, so there is nothing to accept.
    fixture.check(vec![pay_to("0x0000000000000000000000000000000000000000", "c")], &["PAYEE_FORBIDDEN"]);
    assert_eq!(left(&fixture), []);
    fixture.check(vec![accept(STRANGER)], &["PAYEE_UNKNOWN"]);
}

#[test]
fn no_more_wait_than_anybody_will_look_at() {
    let mut fixture = open();
    let stranger = |n: usize| {
        let mut bytes = [0x55; 20];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        EvmAddress::from_bytes(bytes).to_string()
    };
    for n in 0..PENDING_PAYEES_MAX + 3 {
        fixture.check(vec![pay_to(&stranger(n), &format!("a{n}"))], &["PAYEE_UNACCEPTED"]);
    }
    assert_eq!(left(&fixture).len(), PENDING_PAYEES_MAX);
    fixture.check(vec![accept(&stranger(PENDING_PAYEES_MAX))], &["PAYEE_UNKNOWN"]);
    // One that is accepted makes room for another.
    fixture.check(vec![accept(&stranger(0)), pay_to(STRANGER, "b")], &["OK", "PAYEE_UNACCEPTED"]);
    assert_eq!(left(&fixture).last(), Some(&evm(STRANGER)));
    fixture.check(vec![pay_to(OTHER, "c"), accept(OTHER)], &["PAYEE_UNACCEPTED", "PAYEE_UNKNOWN"]);
}

#[test]
fn a_payee_follows_its_service_to_another_name() {
    let mut fixture = open();
    fixture.check(vec![pay_to(STRANGER, "a"), pay_to(OTHER, "b")], &["PAYEE_UNACCEPTED"; 2]);
    fixture.check(vec![accept(STRANGER)], &["OK"]);
    let papers = ServiceName::parse("papers").unwrap();
    let registry = &mut fixture.policy.0;
    let service = registry.services.remove(&reports()).unwrap();
    registry.services.insert(papers.clone(), service);
    for workflow in registry.workflows.values_mut() {
        workflow.services = BTreeSet::from([papers.clone()]);
    }
    let mut forgetful = fixture.policy.0.clone();
    let remembering = forgetful.services.get_mut(&papers).unwrap();
    remembering.was = BTreeSet::from([reports()]);
    std::mem::swap(&mut fixture.policy.0, &mut forgetful);
    fixture.check(vec![pay_to(STRANGER, "c"), pay_to(OTHER, "d")], &["OK", "PAYEE_UNACCEPTED"]);
    assert_eq!(left(&fixture).len(), 2, "it waits already");
    // The act names the service as it is called now.
    let renamed = accept_by("alice", "papers", Some(evm(OTHER)));
    fixture.check(vec![renamed, pay_to(OTHER, "d")], &["OK", "OK"]);
    // A name that is not carried along is a new service.
    std::mem::swap(&mut fixture.policy.0, &mut forgetful);
    fixture.check(vec![pay_to(STRANGER, "e")], &["PAYEE_UNACCEPTED"]);
}

#[test]
fn the_words_for_what_is_known_come_back() {
    for state in PayeeState::ALL {
        assert_eq!(PayeeState::parse(state.as_str()), Some(state));
    }
    assert_eq!(PayeeState::parse("rejected"), None);
}

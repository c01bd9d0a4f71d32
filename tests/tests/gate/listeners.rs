//! A listener that is for some workflows only.

use std::collections::BTreeSet;
use std::sync::Arc;

use pursekeeper_core::gate::{Answer, Ask, PaymentAsk, ReportAsk, SignInAsk};
use pursekeeper_core::ports::Nothing;
use pursekeeper_core::{Asked, Caller, Claim, Entry, Said, WorkflowName};

use super::fixture::{Fixture, asked, changed, pay};
use super::sign_in::plain;

fn only(names: &[&str]) -> Option<Arc<BTreeSet<WorkflowName>>> {
    Some(Arc::new(names.iter().map(|name| WorkflowName::parse(name).unwrap()).collect()))
}

fn over(asked: &mut Asked, names: &[&str]) {
    asked.caller.workflows = only(names);
}

/// A payment over a listener for these workflows, naming one or none.
fn pay_over(id: &str, names: &[&str], workflow: Option<&str>) -> Ask {
    changed(pay(id, "1000"), |ask: &mut PaymentAsk| {
        over(&mut ask.asked, names);
        ask.asked.workflow = workflow.map(|name| WorkflowName::parse(name).unwrap());
    })
}

#[test]
fn a_listener_narrows_the_workflows_of_an_agent() {
    let mut fixture = Fixture::new();
    let spare = WorkflowName::parse("spare").unwrap();
    let research = WorkflowName::parse("research").unwrap();
    let registry = &mut fixture.policy.0;
    let declared = registry.workflows[&research].clone();
    registry.workflows.insert(spare.clone(), declared);
    registry.agents.values_mut().for_each(|agent| agent.workflows.extend([spare.clone()]));
    let table = [
        ("a", &["research"][..], None, "OK"),
        ("b", &["research"], Some("research"), "OK"),
        ("c", &["research"], Some("spare"), "WORKFLOW_NOT_ON_LISTENER"),
        ("d", &["research"], Some("absent"), "WORKFLOW_UNKNOWN"),
        ("e", &["research", "spare"], None, "WORKFLOW_REQUIRED"),
        ("f", &["research", "spare"], Some("research"), "OK"),
        ("g", &["absent"], None, "WORKFLOW_REQUIRED"),
        ("h", &[], Some("research"), "WORKFLOW_NOT_ON_LISTENER"),
    ];
    for (id, names, workflow, expected) in table {
        fixture.check(vec![pay_over(id, names, workflow)], &[expected]);
    }
    let entries = &fixture.gate.journal().entries;
    let recorded = entries.iter().rev().find_map(|entry| {
        if let Entry::Payment(decision) = entry { Some(&decision.asked.caller) } else { None }
    });
    assert_eq!(recorded.unwrap().workflows, only(&[]), "the record says which");
}

#[test]
fn what_was_signed_over_one_listener_is_not_handed_out_over_another() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "1000")], &["OK"]);
    fixture.check(vec![pay_over("a", &["research"], None)], &["OK"]);
    fixture.check(vec![pay_over("a", &["spare"], None)], &["WORKFLOW_NOT_ON_LISTENER"]);
    let report = |names: Option<&[&str]>| {
        let caller = Caller { workflows: names.and_then(only), ..asked("a").caller };
        Ask::Report(ReportAsk { caller, original_seq: 1, said: Said::Outcome(Claim::settled(None)) })
    };
    let answer = fixture.one(report(Some(&["spare"])));
    assert!(matches!(answer, Answer::Nothing(Nothing::PaymentUnknown)), "{answer:?}");
    assert!(matches!(fixture.one(report(None)), Answer::Reported { .. }));
}

#[test]
fn a_sign_in_is_bound_to_its_listener_too() {
    let mut fixture = Fixture::new();
    let ask = |names: &[&str]| {
        let Ask::SignIn(ask) = plain("s") else { panic!("a sign-in") };
        let mut ask = SignInAsk::clone(&ask);
        over(&mut ask.asked, names);
        Ask::SignIn(Arc::new(ask))
    };
    fixture.check(vec![ask(&["spare"])], &["WORKFLOW_REQUIRED"]);
    fixture.check(vec![ask(&["research"])], &["OK"]);
    fixture.check(vec![ask(&["spare"])], &["WORKFLOW_NOT_ON_LISTENER"]);
}

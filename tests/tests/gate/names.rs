//! Another name is not another budget.

use std::collections::BTreeSet;

use pursekeeper_core::gate::Ask;
use pursekeeper_core::{ActVerb, AgentName, ServiceName, Subject, WorkflowName};

use crate::fixture::{Fixture, act, pay};

/// Renames the workflow `research` to `studies` in the registry, remembering what it was or not.
fn rename(fixture: &mut Fixture, remembering: bool) {
    let (old, new) = (WorkflowName::parse("research").unwrap(), WorkflowName::parse("studies").unwrap());
    let registry = &mut fixture.policy.0;
    let mut workflow = registry.workflows.remove(&old).unwrap();
    if remembering {
        workflow.was = BTreeSet::from([old]);
    }
    registry.workflows.insert(new.clone(), workflow);
    registry.agents.values_mut().for_each(|agent| agent.workflows = BTreeSet::from([new.clone()]));
    registry.wallets.values_mut().for_each(|wallet| wallet.workflows = BTreeSet::from([new.clone()]));
}

#[test]
fn what_was_spent_under_an_earlier_name_still_counts() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "10000")], &["OK"]);
    rename(&mut fixture, true);
    fixture.check(vec![pay("b", "1")], &["CEILING_EXCEEDED"]);
}

#[test]
fn a_stop_outlives_a_name_and_ends_under_the_new_one() {
    let mut fixture = Fixture::new();
    let workflow = |name| Subject::Workflow(WorkflowName::parse(name).unwrap());
    fixture.check(vec![Ask::Lifecycle(act("alice", ActVerb::Suspend, workflow("research")))], &["OK"]);
    rename(&mut fixture, true);
    fixture.check(vec![pay("a", "1")], &["NOT_ACTIVE"]);
    let resume = Ask::Lifecycle(act("alice", ActVerb::Resume, workflow("studies")));
    fixture.check(vec![resume, pay("a", "1")], &["OK", "OK"]);
}

#[test]
fn an_agents_request_ids_and_outstanding_payments_follow_it() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "1000")], &["OK"]);
    let (old, other) = (AgentName::parse("researcher").unwrap(), AgentName::parse("reader").unwrap());
    let mut agent = fixture.policy.0.agents.remove(&old).unwrap();
    agent.was = BTreeSet::from([old]);
    fixture.policy.0.agents.insert(other, agent);
    let as_reader = |ask| {
        let Ask::Payment(ask) = ask else { panic!("{ask:?}") };
        let mut ask = (*ask).clone();
        ask.asked.caller.agent = AgentName::parse("reader").unwrap();
        Ask::Payment(ask.into())
    };
    fixture.check(vec![as_reader(pay("a", "1001"))], &["REQUEST_ID_REUSED"]);
    fixture.check(vec![as_reader(pay("a", "1000"))], &["OK"]);
}

#[test]
fn a_service_keeps_its_totals_under_a_new_name() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "1000")], &["OK"]);
    let (old, new) = (ServiceName::parse("reports").unwrap(), ServiceName::parse("papers").unwrap());
    let registry = &fixture.policy.0;
    let mut renamed = registry.clone();
    let mut service = renamed.services.remove(&old).unwrap();
    service.was = BTreeSet::from([old.clone()]);
    renamed.services.insert(new.clone(), service);
    let scopes = renamed.scopes(&pursekeeper_core::Scope::Service(new.clone()));
    assert_eq!(scopes, [new, old].map(pursekeeper_core::Scope::Service));
}

use pursekeeper_core::ports::Policy;
use pursekeeper_core::*;

use super::fixture::{MAIN, NOON, REGISTRY, act, answer, bundle, evm};
use crate::{Bundle, BundleOptions};

fn check(
    bundle: &Bundle,
    verb: ActVerb,
    operator: &str,
    subject: &Subject,
    denied: Option<DenyCode>,
    id: &str,
) {
    let verdict = bundle.decide_act(&act(verb, operator, subject.clone()), UnixSeconds(NOON));
    let (code, ids) = answer(&verdict);
    let expected: Vec<&str> = Some(id).into_iter().filter(|id| !id.is_empty()).collect();
    assert_eq!((code, ids), (denied, expected), "{verb:?} {operator} {subject:?}: {verdict:?}");
}

fn workflow(name: &str) -> Subject {
    Subject::Workflow(WorkflowName::parse(name).unwrap())
}

#[test]
fn only_those_who_answer_for_a_subject_act_on_it() {
    use DenyCode::{OperatorNotAllowed, SubjectUnknown};
    let wallet = Subject::Wallet(evm(MAIN));
    let crawler = Subject::Agent(AgentName::parse("crawler").unwrap());
    let seller = Subject::Agent(AgentName::parse("seller").unwrap());
    let weather = Subject::Service(ServiceName::parse("weather").unwrap());
    let (no, gone) = (Some(OperatorNotAllowed), Some(SubjectUnknown));
    let table = [
        ("alice", &wallet, None, "base.govern"),
        ("bob", &wallet, None, "base.govern"),
        ("carol", &wallet, no, "revocation.operator.wallet"),
        ("bob", &workflow("research"), None, "base.govern"),
        ("alice", &workflow("research"), no, "revocation.operator.workflow"),
        ("bob", &crawler, None, "base.govern"),
        ("carol", &crawler, no, "revocation.operator.agent"),
        ("carol", &seller, None, "base.govern"),
        ("alice", &seller, no, "revocation.operator.agent"),
        ("bob", &weather, None, "base.govern"),
        ("carol", &weather, no, "revocation.operator.service"),
        ("mallory", &wallet, no, ""),
        ("alice", &Subject::Wallet(evm("0x5555555555555555555555555555555555555555")), gone, ""),
        ("alice", &workflow("nothing"), gone, ""),
        ("alice", &Subject::Agent(AgentName::parse("nobody").unwrap()), gone, ""),
        ("alice", &Subject::Service(ServiceName::parse("nowhere").unwrap()), gone, ""),
    ];
    let bundle = bundle(&[]);
    for (operator, subject, denied, id) in table {
        let cancels = matches!(subject, Subject::Wallet(_)).then_some(ActVerb::Cancel);
        for verb in [ActVerb::Suspend, ActVerb::Resume].into_iter().chain(cancels) {
            check(&bundle, verb, operator, subject, denied, id);
        }
    }
}

#[test]
fn money_is_released_by_its_owners_and_the_clock_confirmed_by_the_sidecars() {
    let no = Some(DenyCode::OperatorNotAllowed);
    let wallet = Subject::Wallet(evm(MAIN));
    let (release, accept) = (ActVerb::Release, ActVerb::AcceptClock);
    let plain = bundle(&[]);
    check(&plain, release, "alice", &wallet, None, "base.govern");
    check(&plain, release, "bob", &wallet, no, "revocation.operator.wallet");
    // Nobody is named, so the owners of the wallets answer for it.
    check(&plain, accept, "alice", &Subject::Sidecar, None, "base.govern");
    check(&plain, accept, "carol", &Subject::Sidecar, None, "base.govern");
    check(&plain, accept, "bob", &Subject::Sidecar, no, "revocation.operator.sidecar");
    let named = REGISTRY.replace("operators:", "sidecar: { owners: [research] }\noperators:");
    let named = Bundle::from_parts(&named, &[], BundleOptions::default()).unwrap();
    check(&named, accept, "bob", &Subject::Sidecar, None, "base.govern");
    check(&named, accept, "alice", &Subject::Sidecar, no, "revocation.operator.sidecar");
    // A team's policy can narrow both.
    let team = r#"@id("team.stop") @reason("not now")
        forbid (principal, action in [Pursekeeper::Action::"Release", Pursekeeper::Action::"AcceptClock"], resource);"#;
    let narrowed = bundle(&[("team.cedar", team)]);
    let denied = Some(DenyCode::PolicyDenied);
    check(&narrowed, release, "alice", &wallet, denied, "team.stop");
    check(&narrowed, accept, "alice", &Subject::Sidecar, denied, "team.stop");
}

#[test]
fn a_payee_is_accepted_by_those_whose_workflows_use_the_service() {
    let no = Some(DenyCode::OperatorNotAllowed);
    let weather = Subject::Service(ServiceName::parse("weather").unwrap());
    let verb = ActVerb::AcceptPayee;
    let plain = bundle(&[]);
    check(&plain, verb, "bob", &weather, None, "base.govern");
    check(&plain, verb, "alice", &weather, no, "revocation.operator.service");
    check(&plain, verb, "carol", &weather, no, "revocation.operator.service");
    let nowhere = Subject::Service(ServiceName::parse("nowhere").unwrap());
    check(&plain, verb, "bob", &nowhere, Some(DenyCode::SubjectUnknown), "");
    let team = r#"@id("team.four-eyes") @reason("treasury accepts payees")
        forbid (principal, action == Pursekeeper::Action::"AcceptPayee", resource)
        unless { principal in Pursekeeper::Team::"treasury" };"#;
    let narrowed = bundle(&[("team.cedar", team)]);
    check(&narrowed, verb, "bob", &weather, Some(DenyCode::PolicyDenied), "team.four-eyes");
    check(&narrowed, ActVerb::Resume, "bob", &weather, None, "base.govern");
}

#[test]
fn a_team_narrows_who_resumes_and_never_who_suspends_or_voids() {
    let text = r#"
        @id("treasury.only") @reason("only treasury resumes")
        forbid (principal, action == Pursekeeper::Action::"Resume", resource)
        unless { principal in Pursekeeper::Team::"treasury" };
        @id("stop.all") @reason("nothing goes")
        forbid (principal, action, resource);
        @id("broken.all") @reason("cannot be evaluated")
        forbid (principal, action in [Pursekeeper::Action::"Govern"], resource)
        when { 9223372036854775807 + context.identity.assurance > 0 };"#;
    let wallet = Subject::Wallet(evm(MAIN));
    let bundle = bundle(&[("t.cedar", text)]);
    check(&bundle, ActVerb::Suspend, "bob", &wallet, None, "base.govern");
    check(&bundle, ActVerb::Cancel, "bob", &wallet, None, "base.govern");
    let verdict = bundle.decide_act(&act(ActVerb::Resume, "bob", wallet), UnixSeconds(NOON));
    let expected = (Some(DenyCode::PolicyError), vec!["broken.all", "stop.all", "treasury.only"]);
    assert_eq!(answer(&verdict), expected);
}

#[test]
fn a_teams_refusal_of_a_resumption_is_its_own() {
    let text = crate::EXAMPLES.iter().find(|(name, _)| *name == "resume-owner-only.cedar").unwrap();
    let bundle = bundle(&[*text]);
    let wallet = Subject::Wallet(evm(MAIN));
    check(&bundle, ActVerb::Resume, "bob", &wallet, Some(DenyCode::PolicyDenied), "resume.owner");
    check(&bundle, ActVerb::Resume, "alice", &wallet, None, "base.govern");
}

#[test]
fn only_treasury_rotates_whoever_owns_the_wallet() {
    let text = crate::EXAMPLES.iter().find(|(name, _)| *name == "keys-by-treasury.cedar").unwrap();
    let bundle = bundle(&[*text]);
    let main = Subject::Wallet(evm(MAIN));
    let other = Subject::Wallet(evm("0x4444444444444444444444444444444444444444"));
    for verb in [ActVerb::Rotate, ActVerb::Reassign] {
        check(&bundle, verb, "alice", &main, None, "base.govern");
        check(&bundle, verb, "carol", &other, Some(DenyCode::PolicyDenied), "keys.treasury");
    }
    check(&bundle, ActVerb::Recover, "carol", &other, None, "base.govern");
}

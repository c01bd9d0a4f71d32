//! Who may do what to whom: every operator, every act, every subject.

use std::collections::BTreeMap;

use pursekeeper_core::ports::{Policy, Verdict};
use pursekeeper_core::*;

use super::fixture::{NOON, act, answer, evm};
use crate::rule::Asking;
use crate::{Bundle, BundleOptions};

/// One team for each role, and somebody in each.
const REGISTRY: &str = r#"
version: 1
teams: [owners, stoppers, keepers, tasks, house, others]
operators:
  owner: { uids: [1], teams: [owners] }
  revoker: { uids: [2], teams: [stoppers] }
  recovery: { uids: [3], teams: [keepers] }
  both: { uids: [4], teams: [stoppers, keepers] }
  workflow: { uids: [5], teams: [tasks] }
  sidecar: { uids: [6], teams: [house] }
  outsider: { uids: [7], teams: [others] }
sidecar: { owners: [house] }
assets: {}
services:
  news: { origin: "https://a.example", methods: [GET], paths: ["/**"], payees: { first_use: pending } }
workflows:
  reading: { owner: tasks, services: [news] }
agents:
  reader: { uids: [1001], workflows: [reading], labels: { model: large-1 } }
wallets:
  purse:
    address: "0x2222222222222222222222222222222222222222"
    was: ["0x1111111111111111111111111111111111111111"]
    owner: owners
    recovery: [keepers]
    revokers: [stoppers]
    workflows: [reading]
    networks: ["eip155:84532"]
    backup: none
"#;

/// `both` is in a team of `revokers` and in one of `recovery`. What is not listed cannot be done to such a subject at all.
const TRUTH: &str = "
    subject   act                 owner  revoker  recovery  both  workflow  sidecar  outsider

    wallet    suspend             yes    yes      -         yes   -         -        -
    wallet    resume              yes    yes      -         yes   -         -        -
    wallet    revoke              yes    yes      -         yes   -         -        -
    wallet    cancel              yes    yes      -         yes   -         -        -
    wallet    cancel-outstanding  yes    yes      -         yes   -         -        -
    wallet    retire              yes    -        -         -     -         -        -
    wallet    rotate              yes    -        -         -     -         -        -
    wallet    reassign            yes    -        -         -     -         -        -
    wallet    release             yes    -        -         -     -         -        -
    wallet    backup              yes    -        yes       yes   -         -        -
    wallet    recover             -      -        yes       yes   -         -        -

    workflow  suspend             -      -        -         -     yes       -        -
    workflow  resume              -      -        -         -     yes       -        -
    workflow  revoke              -      -        -         -     yes       -        -
    workflow  retire              -      -        -         -     yes       -        -
    workflow  cancel-outstanding  -      -        -         -     yes       -        -

    agent     suspend             -      -        -         -     yes       -        -
    agent     resume              -      -        -         -     yes       -        -
    agent     revoke              -      -        -         -     yes       -        -
    agent     retire              -      -        -         -     yes       -        -
    agent     cancel-outstanding  -      -        -         -     yes       -        -

    service   suspend             -      -        -         -     yes       -        -
    service   resume              -      -        -         -     yes       -        -
    service   revoke              -      -        -         -     yes       -        -
    service   retire              -      -        -         -     yes       -        -
    service   cancel-outstanding  -      -        -         -     yes       -        -
    service   accept-payee        -      -        -         -     yes       -        -

    sidecar   suspend-all         -      -        -         -     -         yes      -
    sidecar   resume-all          -      -        -         -     -         yes      -
    sidecar   create              -      -        -         -     -         yes      -
    sidecar   import              -      -        -         -     -         yes      -
    sidecar   reload              -      -        -         -     -         yes      -
    sidecar   accept-clock        -      -        -         -     -         yes      -
";

/// What [`TRUTH`] says: whether each operator may do this to subjects of this kind.
fn truth() -> BTreeMap<(&'static str, ActVerb), BTreeMap<&'static str, bool>> {
    let mut lines = TRUTH.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = lines.find(|words| !words.is_empty()).unwrap();
    let mut truth = BTreeMap::new();
    for words in lines.filter(|words| !words.is_empty()) {
        assert_eq!(words.len(), head.len(), "{words:?}");
        let allowed = |word: &str| match word {
            "yes" => true,
            "-" => false,
            other => panic!("{other}"),
        };
        let columns = head.iter().zip(&words).skip(2).map(|(operator, word)| (*operator, allowed(word)));
        let row = (words[0], ActVerb::parse(words[1]).unwrap());
        assert!(truth.insert(row, columns.collect()).is_none(), "{row:?} stands there twice");
    }
    truth
}

/// One of each kind; the wallet also by the address it had before.
fn subjects() -> [Subject; 6] {
    [
        Subject::Wallet(evm("0x2222222222222222222222222222222222222222")),
        Subject::Wallet(evm("0x1111111111111111111111111111111111111111")),
        Subject::Workflow(WorkflowName::parse("reading").unwrap()),
        Subject::Agent(AgentName::parse("reader").unwrap()),
        Subject::Service(ServiceName::parse("news").unwrap()),
        Subject::Sidecar,
    ]
}

fn bundle(policies: &[(&str, &str)]) -> Bundle {
    let read = Bundle::from_parts(REGISTRY, policies, BundleOptions::default());
    read.unwrap_or_else(|errors| panic!("{errors}"))
}

/// Every operator, act and subject, with what the guardrails alone say: nothing when there is no such act.
fn everything() -> Vec<(Act, Option<bool>)> {
    let truth = truth();
    let operators: Vec<&str> = truth.values().next().unwrap().keys().copied().collect();
    let mut all = Vec::new();
    for subject in subjects() {
        for verb in ActVerb::ALL {
            for operator in &operators {
                let allowed = truth.get(&(subject.kind(), verb)).map(|row| row[operator]);
                all.push((act(verb, operator, subject.clone()), allowed));
            }
        }
    }
    assert_eq!(all.len(), 6 * 18 * 7);
    all
}

fn judge(bundle: &Bundle, act: &Act) -> Verdict {
    let verdict = bundle.decide_act(act, UnixSeconds(NOON));
    assert_eq!(verdict, bundle.decide_act_strictly(act, UnixSeconds(NOON)));
    verdict
}

/// Who, what and whom, for a test that fails.
fn shown(act: &Act) -> String {
    format!("{} {} {} {}", act.operator, act.verb.as_str(), act.subject.kind(), act.subject)
}

#[test]
fn every_operator_may_do_what_the_table_says_and_nothing_else() {
    let plain = bundle(&[]);
    let mut rows = 0;
    for (act, allowed) in everything() {
        let verdict = judge(&plain, &act);
        let expected = match allowed {
            Some(true) => None,
            Some(false) => Some(DenyCode::OperatorNotAllowed),
            None => Some(DenyCode::SubjectUnknown),
        };
        assert_eq!(answer(&verdict).0, expected, "{}: {verdict:?}", shown(&act));
        if expected.is_none() {
            assert_eq!(answer(&verdict).1, ["base.govern"], "{}", shown(&act));
        }
        rows += usize::from(allowed.is_some());
    }
    assert_eq!(rows, (truth().len() + 11) * 7, "each row of the table is a kind of subject there is");
}

#[test]
fn a_refused_operator_is_told_which_rule_it_was() {
    let plain = bundle(&[]);
    let table: [(&str, ActVerb, usize, &[&str]); 8] = [
        ("owner", ActVerb::Recover, 0, &["ownership.recovery"]),
        ("revoker", ActVerb::Recover, 0, &["ownership.recovery", "revocation.operator.wallet"]),
        ("revoker", ActVerb::Rotate, 0, &["revocation.operator.wallet"]),
        ("recovery", ActVerb::Suspend, 1, &["revocation.operator.wallet"]),
        ("owner", ActVerb::Retire, 2, &["revocation.operator.workflow"]),
        ("owner", ActVerb::Revoke, 3, &["revocation.operator.agent"]),
        ("owner", ActVerb::AcceptPayee, 4, &["revocation.operator.service"]),
        ("owner", ActVerb::SuspendAll, 5, &["revocation.operator.sidecar"]),
    ];
    for (operator, verb, subject, ids) in table {
        let act = act(verb, operator, subjects()[subject].clone());
        assert_eq!(answer(&judge(&plain, &act)), (Some(DenyCode::OperatorNotAllowed), ids.to_vec()));
    }
}

#[test]
fn a_teams_permit_widens_nothing() {
    let careless = "@id(\"oops\") permit (principal, action, resource);";
    let (plain, wide) = (bundle(&[]), bundle(&[("careless.cedar", careless)]));
    for (act, _) in everything() {
        let [before, after] = [&plain, &wide].map(|bundle| judge(bundle, &act));
        let [before, after] = [&before, &after].map(answer);
        assert_eq!(before.0, after.0, "{}", shown(&act));
    }
}

#[test]
fn no_team_forbids_what_only_stops_and_every_team_may_forbid_the_rest() {
    let forbid =
        |action: &str| format!("@id(\"team.no\") @reason(\"no\") forbid (principal, {action}, resource);");
    let govern = "action in Pursekeeper::Action::\"Govern\"";
    let broken =
        "@id(\"team.no\") @reason(\"no\") forbid (principal is Pursekeeper::Operator, action, resource)
        when { 9223372036854775807 + context.identity.assurance > 0 };";
    let denied = DenyCode::PolicyDenied;
    let table =
        [(forbid("action"), denied), (forbid(govern), denied), (broken.to_owned(), DenyCode::PolicyError)];
    for (text, code) in table {
        let narrowed = bundle(&[("team.cedar", &text)]);
        for (act, _) in everything().iter().filter(|(_, allowed)| *allowed == Some(true)) {
            let (found, ids) =
                (judge(&narrowed, act), if act.verb.is_stop() { "base.govern" } else { "team.no" });
            let expected = (!act.verb.is_stop()).then_some(code);
            assert_eq!(answer(&found), (expected, vec![ids]), "{}", shown(act));
        }
    }
}

#[test]
fn each_act_can_be_forbidden_by_its_name_unless_it_only_stops() {
    for verb in ActVerb::ALL {
        let action = Asking::Act(verb).action();
        let head = format!("principal, action == Pursekeeper::Action::\"{action}\", resource");
        let text = format!("@id(\"team.no\") @reason(\"no\") forbid ({head});");
        let read = Bundle::from_parts(REGISTRY, &[("team.cedar", &text)], BundleOptions::default());
        if verb.is_stop() {
            let error = read.unwrap_err().to_string();
            assert!(error.contains(&format!("a policy about `{action}` would have no effect")), "{error}");
            continue;
        }
        let narrowed = read.unwrap_or_else(|errors| panic!("{errors}"));
        for (act, _) in everything().iter().filter(|(_, allowed)| *allowed == Some(true)) {
            let expected = (act.verb == verb).then_some(DenyCode::PolicyDenied);
            assert_eq!(answer(&judge(&narrowed, act)).0, expected, "{action}: {}", shown(act));
        }
    }
}

#[test]
fn a_condition_sees_the_subject_as_the_registry_declares_it() {
    let text = |condition: &str| {
        format!(
            "@id(\"team.no\") @reason(\"no\") forbid (principal, action == Pursekeeper::Action::\"Release\", \
             resource is Pursekeeper::Wallet) when {{ {condition} }};"
        )
    };
    let [now, before] = [0, 1].map(|at| act(ActVerb::Release, "owner", subjects()[at].clone()));
    let table = [
        ("resource.status == \"active\"", true, false),
        ("resource.status == \"draining\"", false, true),
        ("resource.backed_up", true, true),
        ("resource == Pursekeeper::Wallet::\"purse\"", true, true),
        ("context.reason like \"*test*\" && context.identity.assurance < 9", true, true),
        ("context.now < datetime(\"2026-01-01\")", false, false),
    ];
    for (condition, current_denied, former_denied) in table {
        let narrowed = bundle(&[("team.cedar", &text(condition))]);
        for (act, denied) in [(&now, current_denied), (&before, former_denied)] {
            let expected = denied.then_some(DenyCode::PolicyDenied);
            assert_eq!(answer(&judge(&narrowed, act)).0, expected, "{condition}: {}", shown(act));
        }
    }
}

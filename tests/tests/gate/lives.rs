//! Statuses, pending acts and what follows from a bundle, over a journal in memory.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_core::gate::{Answer, Ask, VoidAsk, Voids};
use pursekeeper_core::registry::{BackupRule, Proofs};
use pursekeeper_core::{
    ActVerb, AgentName, BackupRecipient, Detail, Entry, Signable, Status, Subject, UnixSeconds, WalletName,
    WorkflowName,
};

use crate::fixture::{Fixture, NOON_MS, WALLET, act, authorized, code, evm, pay, signed, subjects};

const NEW: &str = "0x7300000000000000000000000000000000000003";
const OTHER: &str = "0x7400000000000000000000000000000000000004";
/// From the specification of age.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

fn wallet() -> Subject {
    Subject::Wallet(evm(WALLET))
}

fn workflow() -> Subject {
    Subject::Workflow(WorkflowName::parse("research").unwrap())
}

fn agent() -> Subject {
    Subject::Agent(AgentName::parse("researcher").unwrap())
}

fn about(verb: ActVerb, subject: Subject, detail: Detail) -> Ask {
    let mut ask = act("alice", verb, subject);
    ask.act.detail = detail;
    Ask::Lifecycle(ask)
}

fn plain(verb: ActVerb, subject: Subject) -> Ask {
    about(verb, subject, Detail::None)
}

fn rotate(new: &str) -> Ask {
    about(ActVerb::Rotate, wallet(), Detail::Successor(evm(new)))
}

fn create(name: &str, address: &str) -> Ask {
    let wallet = WalletName::parse(name).unwrap();
    about(ActVerb::Create, Subject::Sidecar, Detail::NewKey { wallet, address: evm(address) })
}

fn serve(names: &[&str]) -> Ask {
    let names = names.iter().map(|name| WorkflowName::parse(name).unwrap());
    about(ActVerb::Reassign, wallet(), Detail::Workflows(names.collect()))
}

/// The statuses the last record that is a transition changed.
fn changed(fixture: &Fixture) -> Vec<(Subject, Status)> {
    let last =
        fixture.gate.journal().entries.iter().rev().find(|entry| matches!(entry, Entry::Transition(_)));
    last.map(Entry::statuses).unwrap_or_default()
}

/// How many records say that something followed.
fn transitions(fixture: &Fixture) -> usize {
    fixture.gate.journal().entries.iter().filter(|entry| matches!(entry, Entry::Transition(_))).count()
}

/// Declares that the wallet has another address, and remembers the old one or not.
fn readdress(fixture: &mut Fixture, remembering: bool) {
    let wallet = fixture.policy.0.wallets.values_mut().next().unwrap();
    wallet.address = evm(NEW);
    wallet.was = if remembering { BTreeSet::from([evm(WALLET)]) } else { BTreeSet::new() };
    fixture.keys.insert(evm(NEW));
    fixture.reload();
}

/// Has the wallet's key backed up, so that it may end by itself.
fn backed_up(fixture: &mut Fixture) {
    let team = fixture.policy.0.teams.values_mut().next().unwrap();
    team.backup_recipients.insert(BackupRecipient::parse(RECIPIENT).unwrap());
    fixture.check(vec![plain(ActVerb::Backup, wallet())], &["OK"]);
}

#[test]
fn each_act_is_refused_where_it_makes_no_sense() {
    let resume_all = || plain(ActVerb::ResumeAll, Subject::Sidecar);
    let table: Vec<(&str, Vec<Ask>, &str)> = vec![
        (
            "resumed after the end",
            vec![plain(ActVerb::Revoke, wallet()), plain(ActVerb::Resume, wallet())],
            "REVOKED",
        ),
        (
            "suspended after it",
            vec![plain(ActVerb::Revoke, wallet()), plain(ActVerb::Suspend, wallet())],
            "REVOKED",
        ),
        (
            "recovered after it",
            vec![plain(ActVerb::Revoke, wallet()), plain(ActVerb::Recover, wallet())],
            "REVOKED",
        ),
        ("rotated after it", vec![plain(ActVerb::Revoke, wallet()), rotate(NEW)], "REVOKED"),
        ("ended twice", vec![plain(ActVerb::Revoke, wallet()), plain(ActVerb::Revoke, wallet())], "OK"),
        (
            "its address again",
            vec![plain(ActVerb::Revoke, Subject::Wallet(evm(OTHER))), create("other", OTHER)],
            "REVOKED",
        ),
        (
            "retired while suspended",
            vec![plain(ActVerb::Suspend, wallet()), plain(ActVerb::Retire, wallet())],
            "NOT_ACTIVE",
        ),
        ("rotated while it drains", vec![plain(ActVerb::Retire, wallet()), rotate(NEW)], "NOT_ACTIVE"),
        ("rotated twice alike", vec![rotate(NEW), rotate(NEW)], "OK"),
        ("rotated twice otherwise", vec![rotate(NEW), rotate(OTHER)], "ACT_PENDING"),
        ("rotated to itself", vec![rotate(WALLET)], "WALLET_DECLARED"),
        ("rotated to nothing", vec![plain(ActVerb::Rotate, wallet())], "WALLET_UNKNOWN"),
        (
            "rotated though unknown",
            vec![about(ActVerb::Rotate, Subject::Wallet(evm(OTHER)), Detail::Successor(evm(NEW)))],
            "SUBJECT_UNKNOWN",
        ),
        ("made though declared", vec![create("treasury", NEW)], "WALLET_DECLARED"),
        ("made with its address", vec![create("second", WALLET)], "WALLET_DECLARED"),
        ("made twice otherwise", vec![create("second", NEW), create("second", OTHER)], "ACT_PENDING"),
        ("given to nobody", vec![serve(&[])], "WORKFLOW_REQUIRED"),
        ("given to somebody unknown", vec![serve(&["nobody"])], "WORKFLOW_UNKNOWN"),
        ("backed up for nobody", vec![plain(ActVerb::Backup, wallet())], "NO_RECIPIENTS"),
        ("voided while it signs", vec![plain(ActVerb::CancelOutstanding, wallet())], "SUBJECT_ACTIVE"),
        (
            "voided when stopped",
            vec![plain(ActVerb::Suspend, wallet()), plain(ActVerb::CancelOutstanding, wallet())],
            "OK",
        ),
        ("everything goes on twice", vec![resume_all(), resume_all()], "OK"),
    ];
    for (what, asks, expected) in table {
        let answers = Fixture::new().pass(asks);
        assert_eq!(answers.last().map(code), Some(expected), "{what}");
    }
}

#[test]
fn whoever_ended_signs_nothing_and_does_not_come_back() {
    for subject in subjects() {
        let mut fixture = Fixture::new();
        let _ = authorized(fixture.one(pay("before", "1000")));
        fixture.check(vec![plain(ActVerb::Revoke, subject.clone())], &["OK"]);
        // Another retry, another registry, another resume: nothing brings it back.
        fixture.check(vec![plain(ActVerb::Resume, subject)], &["REVOKED"]);
        let answers = fixture.pass(vec![pay("before", "1000")]);
        assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["NOT_ACTIVE"]);
    }
}

#[test]
fn when_everything_is_suspended_nothing_is_signed_whoever_asks() {
    let mut fixture = Fixture::new();
    let _ = authorized(fixture.one(pay("before", "1000")));
    fixture.check(
        vec![plain(ActVerb::SuspendAll, Subject::Sidecar), pay("before", "1000"), pay("after", "1000")],
        &["OK", "NOT_ACTIVE", "NOT_ACTIVE"],
    );
    let resume = plain(ActVerb::ResumeAll, Subject::Sidecar);
    fixture.check(vec![resume, pay("before", "1000"), pay("after", "1000")], &["OK", "OK", "OK"]);
}

#[test]
fn what_drains_hands_out_again_what_it_signed_and_nothing_new() {
    let mut fixture = Fixture::new();
    let _ = authorized(fixture.one(pay("before", "1000")));
    fixture.check(vec![plain(ActVerb::Retire, wallet()), pay("before", "1000")], &["OK", "OK"]);
    // It is not over while the payment may be settled, nor while its money would be lost with its key.
    fixture.later(600_000);
    fixture.check(vec![Ask::Transition], &["NothingDue"]);
    backed_up(&mut fixture);
    fixture.check(vec![Ask::Transition], &["OK"]);
    assert_eq!(changed(&fixture), [(wallet(), Status::Revoked)]);
    fixture.check(vec![Ask::Transition], &["NothingDue"]);
}

#[test]
fn what_drains_ends_no_earlier_than_its_last_signature() {
    let mut fixture = Fixture::new();
    backed_up(&mut fixture);
    let until = authorized(fixture.one(pay("before", "1000")));
    let Signable::Payment(intent) = until.what() else { panic!("{:?}", until.what()) };
    let dead = intent.valid_before.plus(60).0 * 1_000 + 1_000;
    fixture.check(vec![plain(ActVerb::Retire, wallet()), Ask::Transition], &["OK", "NothingDue"]);
    fixture.later(dead - 1 - fixture.now_ms);
    fixture.check(vec![Ask::Transition], &["NothingDue"]);
    fixture.later(1);
    fixture.check(vec![Ask::Transition], &["OK"]);
}

#[test]
fn a_wallet_whose_key_is_not_here_binds_no_money() {
    let mut fixture = Fixture::new();
    fixture.keys.clear();
    fixture.check(vec![pay("a", "1000")], &["NOT_ACTIVE"]);
    fixture.keys.insert(evm(WALLET));
    let _ = authorized(fixture.one(pay("b", "1000")));
    fixture.keys.clear();
    fixture.check(vec![pay("b", "1000")], &["NOT_ACTIVE"]);
}

#[test]
fn a_rotation_waits_for_the_registry_and_the_old_address_drains() {
    let mut fixture = Fixture::new();
    backed_up(&mut fixture);
    let _ = authorized(fixture.one(pay("before", "6000")));
    fixture.check(vec![rotate(NEW), Ask::Transition], &["OK", "NothingDue"]);
    readdress(&mut fixture, false);
    // A registry that forgets the old address does not complete it, and does not forget what was spent by workflow.
    fixture.check(vec![pay("forgetful", "6000")], &["CEILING_EXCEEDED"]);
    assert!(changed(&fixture).is_empty());
    readdress(&mut fixture, true);
    fixture.check(vec![pay("after", "1000")], &["OK"]);
    assert_eq!(changed(&fixture), [(wallet(), Status::Draining)]);
    // What the old address signed is handed out again until it is dead.
    fixture.check(vec![pay("before", "6000")], &["OK"]);
    fixture.check(vec![plain(ActVerb::Resume, wallet())], &["WALLET_REPLACED"]);
    fixture.later(600_000);
    fixture.check(vec![Ask::Transition], &["OK"]);
    assert_eq!(changed(&fixture), [(wallet(), Status::Revoked)]);
}

#[test]
fn a_new_key_is_no_way_around_a_stop() {
    for stop in [ActVerb::Suspend, ActVerb::Revoke, ActVerb::Retire] {
        let mut fixture = Fixture::new();
        fixture.check(vec![rotate(NEW), plain(stop, wallet())], &["OK", "OK"]);
        readdress(&mut fixture, true);
        let _ = fixture.one(pay("a", "1000"));
        let new = Subject::Wallet(evm(NEW));
        assert!(
            changed(&fixture).contains(&(new.clone(), Status::Suspended)),
            "{stop:?}: {:?}",
            changed(&fixture)
        );
        fixture.check(vec![plain(ActVerb::Resume, new)], &["OK"]);
    }
}

#[test]
fn who_stops_a_wallet_stops_the_address_it_had() {
    let mut fixture = Fixture::new();
    let _ = authorized(fixture.one(pay("before", "1000")));
    fixture.check(vec![rotate(NEW)], &["OK"]);
    readdress(&mut fixture, true);
    let Answer::Acted { statuses, .. } = fixture.one(plain(ActVerb::Suspend, Subject::Wallet(evm(NEW))))
    else {
        panic!("it is not done")
    };
    let expected = [(Subject::Wallet(evm(NEW)), Status::Suspended), (wallet(), Status::Suspended)];
    assert_eq!(statuses, expected);
    fixture.check(vec![pay("before", "1000")], &["NOT_ACTIVE"]);
    // It ends like one that drains.
    backed_up(&mut fixture);
    fixture.later(600_000);
    fixture.check(vec![Ask::Transition], &["OK"]);
    assert_eq!(changed(&fixture), [(wallet(), Status::Revoked)]);
}

#[test]
fn ending_a_workflow_suspends_what_only_served_it() {
    let mut fixture = Fixture::new();
    let Answer::Acted { statuses, .. } = fixture.one(plain(ActVerb::Revoke, workflow())) else {
        panic!("it is not done")
    };
    assert_eq!(statuses, [(workflow(), Status::Revoked), (wallet(), Status::Suspended)]);

    let mut fixture = Fixture::new();
    let other = fixture.policy.0.workflows.values().next().unwrap().clone();
    let name = WorkflowName::parse("other").unwrap();
    fixture.policy.0.workflows.insert(name.clone(), other);
    fixture.policy.0.wallets.values_mut().next().unwrap().workflows.insert(name);
    let Answer::Acted { statuses, .. } = fixture.one(plain(ActVerb::Revoke, workflow())) else {
        panic!("it is not done")
    };
    assert_eq!(statuses, [(workflow(), Status::Revoked)], "the wallet serves another one too");
}

#[test]
fn a_workflow_that_expires_takes_its_wallet_with_it_without_a_reload() {
    let mut fixture = Fixture::new();
    let expires = UnixSeconds(NOON_MS / 1_000 + 60);
    fixture.policy.0.workflows.values_mut().next().unwrap().expires = Some(expires);
    fixture.check(vec![pay("a", "1000"), Ask::Transition], &["OK", "NothingDue"]);
    fixture.later(59_999);
    fixture.check(vec![Ask::Transition], &["NothingDue"]);
    fixture.later(1);
    fixture.check(vec![Ask::Transition, Ask::Transition], &["OK", "NothingDue"]);
    assert_eq!(changed(&fixture), [(wallet(), Status::Suspended)]);
}

#[test]
fn the_rights_of_agent_wallet_and_service_end_at_the_instant_that_is_declared() {
    let at = UnixSeconds(NOON_MS / 1_000 + 60);
    for who in ["agent", "wallet", "service"] {
        let mut fixture = Fixture::new();
        let registry = &mut fixture.policy.0;
        let expires = match who {
            "agent" => &mut registry.agents.values_mut().next().unwrap().expires,
            "wallet" => &mut registry.wallets.values_mut().next().unwrap().expires,
            _ => &mut registry.services.values_mut().next().unwrap().expires,
        };
        *expires = Some(at);
        fixture.check(vec![pay("a", "1000")], &["OK"]);
        fixture.later(59_999);
        fixture.check(vec![pay("b", "1000"), pay("a", "1000")], &["OK", "OK"]);
        fixture.later(1);
        // Neither anything new nor what was signed before.
        fixture.check(vec![pay("c", "1000"), pay("b", "1000")], &["NOT_ACTIVE", "NOT_ACTIVE"]);
    }
}

#[test]
fn a_bundle_comes_into_force_before_anything_is_judged_under_it() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "1000"), pay("b", "1000")], &["OK", "OK"]);
    assert_eq!(transitions(&fixture), 0, "the bundle was in force before");
    fixture.reload();
    fixture.check(vec![pay("c", "1000"), pay("d", "1000")], &["OK", "OK"]);
    assert_eq!(transitions(&fixture), 1);
    assert!(matches!(fixture.gate.journal().entries[2], Entry::Transition(_)));
}

#[test]
fn what_may_not_change_unseen_suspends_the_agent_until_it_is_resumed() {
    let label = |fixture: &mut Fixture, model: &str, review_on: &[&str], uid: u32| {
        let agent = fixture.policy.0.agents.values_mut().next().unwrap();
        agent.labels = BTreeMap::from([("model".to_owned(), model.to_owned())]);
        agent.review_on = review_on.iter().map(|key| (*key).to_owned()).collect();
        agent.proofs = Proofs::of_uid(uid);
        fixture.reload();
    };
    let both: &[&str] = &["model", "identity"];
    let table: [(&str, &str, &[&str], u32, bool); 5] = [
        ("nothing changed", "orca-5", both, 1000, false),
        ("another model", "orca-6", both, 1000, true),
        ("another user", "orca-5", both, 1001, true),
        ("another model that is not to be reviewed any more", "orca-6", &[], 1000, true),
        ("no longer to be reviewed", "orca-5", &[], 1000, false),
    ];
    for (what, model, review_on, uid, suspends) in table {
        let mut fixture = Fixture::new();
        label(&mut fixture, "orca-5", both, 1000);
        fixture.check(vec![pay("a", "1000")], &["OK"]);
        assert!(changed(&fixture).is_empty(), "what is reviewed for the first time changes nothing");
        label(&mut fixture, model, review_on, uid);
        let _ = fixture.one(pay("b", "1000"));
        let expected = if suspends { vec![(agent(), Status::Suspended)] } else { Vec::new() };
        assert_eq!(changed(&fixture), expected, "{what}");
        fixture.check(vec![plain(ActVerb::Resume, agent()), pay("a", "1000")], &["OK", "OK"]);
    }
}

#[test]
fn a_backup_is_for_those_the_registry_names() {
    let mut fixture = Fixture::new();
    let recipient = BackupRecipient::parse(RECIPIENT).unwrap();
    let team = fixture.policy.0.teams.values_mut().next().unwrap();
    team.backup_recipients.insert(recipient.clone());
    fixture.policy.0.wallets.values_mut().next().unwrap().backup = BackupRule::Required;
    // Whoever asks cannot add a reader.
    let elsewhere = about(ActVerb::Backup, wallet(), Detail::Recipients(BTreeSet::new()));
    let Answer::Acted { act, .. } = fixture.one(elsewhere) else { panic!("it is not done") };
    assert_eq!(act.detail, Detail::Recipients(BTreeSet::from([recipient])));
}

#[test]
fn what_was_handed_out_is_voided_page_by_page_and_only_for_a_recorded_act() {
    let mut fixture = Fixture::new();
    fixture.check((0..5).map(|id| pay(&format!("p{id}"), "1000")).collect(), &["OK"; 5]);
    let void = |fixture: &mut Fixture, act, after| {
        let Answer::Voids(voids) = fixture.one(Ask::Void(VoidAsk { act, after })) else {
            panic!("no page of what voids")
        };
        voids
    };
    let Answer::Acted { decision_id, .. } = fixture.one(plain(ActVerb::Suspend, wallet())) else {
        panic!("it is not done")
    };
    assert!(void(&mut fixture, decision_id, 0).rights.is_empty(), "a suspension voids nothing");
    let Answer::Acted { decision_id, .. } = fixture.one(plain(ActVerb::Revoke, wallet())) else {
        panic!("it is not done")
    };
    let Voids { rights, next } = void(&mut fixture, decision_id, 3);
    assert_eq!((rights.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), next), (vec![4, 5], None));
    for (_, right) in rights {
        let right = signed(right);
        assert!(matches!(right.what(), Signable::Cancellation(_)), "{:?}", right.what());
        assert_eq!(right.decision_id(), decision_id, "it names the act");
    }
    fixture.later(600_000);
    assert!(void(&mut fixture, decision_id, 0).rights.is_empty(), "what is dead needs no voiding");
}

#[test]
fn a_reassignment_waits_for_the_registry_to_say_exactly_that() {
    let mut fixture = Fixture::new();
    let other = fixture.policy.0.workflows.values().next().unwrap().clone();
    let name = WorkflowName::parse("other").unwrap();
    fixture.policy.0.workflows.insert(name.clone(), other);
    fixture.check(vec![serve(&["other"])], &["OK"]);
    let completed = |fixture: &Fixture| -> Vec<u64> {
        let entries = fixture.gate.journal().entries.iter();
        let all = entries.filter_map(|entry| {
            let Entry::Transition(transition) = entry else { return None };
            Some(transition.completed.clone())
        });
        all.flatten().collect()
    };
    fixture.policy.0.wallets.values_mut().next().unwrap().workflows.insert(name.clone());
    fixture.check(vec![Ask::Transition], &["NothingDue"]);
    assert!(completed(&fixture).is_empty(), "it serves the old one too");
    fixture.policy.0.wallets.values_mut().next().unwrap().workflows = BTreeSet::from([name]);
    fixture.check(vec![Ask::Transition], &["OK"]);
    assert_eq!(completed(&fixture).len(), 1);
}

#[test]
fn a_key_that_was_made_is_complete_when_the_registry_declares_it() {
    let mut fixture = Fixture::new();
    fixture.check(vec![create("second", NEW)], &["OK"]);
    let mut second = fixture.policy.0.wallets.values().next().unwrap().clone();
    second.address = evm(NEW);
    fixture.policy.0.wallets.insert(WalletName::parse("second").unwrap(), second);
    let _ = fixture.one(Ask::Transition);
    fixture.check(vec![create("second", NEW)], &["WALLET_DECLARED"]);
}

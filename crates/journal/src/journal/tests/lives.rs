//! What is in force about bundles and keys: it follows from the records, also after a restart and after a batch that fails.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_core::ports::{Journal as _, Judged, LedgerError, Urgency};
use pursekeeper_core::{
    ActVerb, Address, AgentName, Aim, BackupRecipient, BundleId, Cause, Detail, Digest, Entry, Reviewed,
    Scope, Status, StatusChange, Subject, Totals, Transition, UnixSeconds, Usd, WalletName, WorkflowName,
};

use crate::fixtures::{Home, NOW, Pay, about, act, changed, completed, evm, look, moment, record, refused};
use crate::{JournalError, KnownBackup, SqliteJournal};

/// From the specification of age.
const RECIPIENTS: [&str; 2] = [
    "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
    "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
];

fn wallet(byte: u8) -> Subject {
    Subject::Wallet(evm(byte))
}

fn named(text: &str) -> WalletName {
    WalletName::parse(text).unwrap()
}

fn workflows(names: &[&str]) -> BTreeSet<WorkflowName> {
    names.iter().map(|name| WorkflowName::parse(name).unwrap()).collect()
}

fn recipients(texts: &[&str]) -> BTreeSet<BackupRecipient> {
    texts.iter().map(|text| BackupRecipient::parse(text).unwrap()).collect()
}

fn key(verb: ActVerb, name: &str, byte: u8) -> Entry {
    about(act(verb, Subject::Sidecar, NOW), Detail::NewKey { wallet: named(name), address: evm(byte) })
}

fn rotate(old: u8, new: u8) -> Entry {
    about(act(ActVerb::Rotate, wallet(old), NOW), Detail::Successor(evm(new)))
}

fn reassign(byte: u8, names: &[&str]) -> Entry {
    about(act(ActVerb::Reassign, wallet(byte), NOW), Detail::Workflows(workflows(names)))
}

fn backup(byte: u8, texts: &[&str]) -> Entry {
    about(act(ActVerb::Backup, wallet(byte), NOW), Detail::Recipients(recipients(texts)))
}

/// Records entries, and opens the journal again: it is what it was, and verifies.
fn step(home: &Home, mut journal: SqliteJournal, entries: &[Entry]) -> SqliteJournal {
    record(&mut journal, entries).unwrap();
    let (lives, statuses) = (journal.state.lives.clone(), journal.state.statuses.clone());
    drop(journal);
    let journal = home.open();
    assert_eq!((&journal.state.lives, &journal.state.statuses), (&lives, &statuses));
    home.reader().verify(|_, _| {}).unwrap();
    journal
}

/// The acts that wait, by record, with what each of them wants.
fn waiting(journal: &SqliteJournal) -> Vec<(u64, Aim)> {
    journal.pending_acts().into_iter().map(|pending| (pending.seq, pending.aim)).collect()
}

fn status(journal: &SqliteJournal, names: &[Subject]) -> Status {
    journal.status(names)
}

#[test]
fn an_act_waits_until_the_registry_contains_it_and_a_rotation_is_remembered() {
    let home = Home::new();
    let acts = [
        key(ActVerb::Create, "research", 1),
        key(ActVerb::Import, "screening", 2),
        rotate(3, 4),
        reassign(5, &["literature-review"]),
    ];
    let aims = [
        (2, Aim::Declare(evm(1))),
        (3, Aim::Declare(evm(2))),
        (4, Aim::Replace { old: evm(3), new: evm(4) }),
        (5, Aim::Serve(evm(5), workflows(&["literature-review"]))),
    ];
    let mut journal = step(&home, home.create(), &acts);
    assert_eq!(waiting(&journal), aims);
    let names: Vec<WalletName> = journal.pending_acts().into_iter().map(|act| act.wallet).collect();
    assert_eq!(names, ["research", "screening", "research", "research"].map(named));
    assert_eq!(look(&mut journal, NOW, |ledger| ledger.pending_acts()), journal.pending_acts());
    for (done, (seq, _)) in (1..).zip(&aims) {
        assert_eq!(journal.rotated(), if *seq > 4 { vec![(evm(4), evm(3))] } else { Vec::new() });
        journal = step(&home, journal, &[changed(completed(&[*seq], NOW))]);
        assert_eq!(waiting(&journal), aims[done..]);
    }
    // What is complete, or never was an act, completes nothing.
    let journal = step(&home, journal, &[changed(completed(&[1, 4, 99], NOW))]);
    assert_eq!((waiting(&journal), journal.rotated()), (Vec::new(), vec![(evm(4), evm(3))]));
    // Another rotation of the same wallet is remembered beside the first.
    let journal = step(&home, journal, &[rotate(4, 6)]);
    let journal = step(&home, journal, &[changed(completed(&[11], NOW))]);
    assert_eq!(journal.rotated(), [(evm(4), evm(3)), (evm(6), evm(4))]);
}

#[test]
fn the_last_word_about_what_a_wallet_serves_counts_and_a_key_waits_once() {
    let home = Home::new();
    let acts = [
        reassign(1, &["literature-review"]),
        reassign(2, &["literature-review"]),
        key(ActVerb::Create, "research", 1),
        reassign(1, &["screening"]),
        key(ActVerb::Import, "research", 1),
    ];
    let journal = step(&home, home.create(), &acts);
    let expected = [
        (3, Aim::Serve(evm(2), workflows(&["literature-review"]))),
        (5, Aim::Serve(evm(1), workflows(&["screening"]))),
        (6, Aim::Declare(evm(1))),
    ];
    assert_eq!(waiting(&journal), expected);
}

#[test]
fn what_was_refused_never_waits_and_changes_nothing() {
    let home = Home::new();
    let mut acts = vec![
        key(ActVerb::Create, "research", 1),
        key(ActVerb::Import, "screening", 2),
        rotate(3, 4),
        reassign(5, &["literature-review"]),
        backup(1, &RECIPIENTS),
        act(ActVerb::Recover, wallet(1), NOW),
        act(ActVerb::Retire, wallet(1), NOW),
        act(ActVerb::Revoke, wallet(1), NOW),
    ];
    let before = home.create();
    let (lives, statuses) = (before.state.lives.clone(), before.state.statuses.clone());
    acts = acts.into_iter().map(refused).collect();
    let journal = step(&home, before, &acts);
    assert_eq!((&journal.state.lives, &journal.state.statuses), (&lives, &statuses));
    assert_eq!(journal.draining(), []);
}

#[test]
fn a_key_that_was_revoked_waits_for_nothing() {
    let home = Home::new();
    let acts = [
        key(ActVerb::Create, "research", 1),
        rotate(2, 3),
        reassign(4, &["screening"]),
        rotate(5, 6),
        key(ActVerb::Create, "other", 7),
    ];
    let journal = step(&home, home.create(), &acts);
    // The fifth key is the one that goes, not the one that waits.
    let revoked = [1, 3, 4, 5].map(|byte| act(ActVerb::Revoke, wallet(byte), NOW));
    let journal = step(&home, journal, &revoked);
    let left = [(5, Aim::Replace { old: evm(5), new: evm(6) }), (6, Aim::Declare(evm(7)))];
    assert_eq!(waiting(&journal), left);
}

#[test]
fn the_last_backup_of_a_wallet_counts() {
    let home = Home::new();
    let journal = step(&home, home.create(), &[backup(1, &RECIPIENTS[..1]), backup(2, &RECIPIENTS[..1])]);
    let mut journal = step(&home, journal, &[backup(1, &RECIPIENTS)]);
    let known = |seq, texts: &[&str]| Some(KnownBackup { seq, recipients: recipients(texts) });
    let expected = [(1, known(4, &RECIPIENTS)), (2, known(3, &RECIPIENTS[..1])), (3, None)];
    for (byte, expected) in expected {
        assert_eq!(journal.backup(evm(byte)), expected.as_ref(), "{byte}");
        let has = look(&mut journal, NOW, |ledger| ledger.has_backup(evm(byte)));
        assert_eq!(has, expected.is_some(), "{byte}");
    }
}

fn totals(journal: &mut SqliteJournal, byte: u8) -> Totals {
    look(journal, NOW, |ledger| ledger.totals(&Scope::Wallet(evm(byte))))
}

#[test]
fn a_wallet_that_was_brought_back_is_spent_until_it_is_resumed_itself() {
    let home = Home::new();
    let mut journal = step(&home, home.create(), &[Pay::new(1, NOW).permit(), Pay::new(2, NOW).denied()]);
    let real = totals(&mut journal, 1);
    assert_eq!(real.payments, [1; 5]);
    // What was recorded, and what the totals of the wallet are from then on.
    let table = [
        (act(ActVerb::Recover, wallet(1), NOW), Totals::EXHAUSTED),
        (refused(act(ActVerb::Resume, wallet(1), NOW)), Totals::EXHAUSTED),
        (act(ActVerb::Resume, wallet(2), NOW), Totals::EXHAUSTED),
        (act(ActVerb::SuspendAll, Subject::Sidecar, NOW), Totals::EXHAUSTED),
        (act(ActVerb::ResumeAll, Subject::Sidecar, NOW), Totals::EXHAUSTED),
        (act(ActVerb::Suspend, wallet(1), NOW), Totals::EXHAUSTED),
        (act(ActVerb::Retire, wallet(1), NOW), Totals::EXHAUSTED),
        (changed(completed(&[], NOW)), Totals::EXHAUSTED),
        (act(ActVerb::Resume, wallet(1), NOW), real),
        (act(ActVerb::Suspend, wallet(1), NOW), real),
        (refused(act(ActVerb::Recover, wallet(1), NOW)), real),
        (act(ActVerb::Recover, wallet(1), NOW), Totals::EXHAUSTED),
        (act(ActVerb::Recover, wallet(1), NOW), Totals::EXHAUSTED),
        (act(ActVerb::Resume, wallet(1), NOW), real),
    ];
    for (at, (entry, expected)) in table.into_iter().enumerate() {
        record(&mut journal, std::slice::from_ref(&entry)).unwrap();
        assert_eq!(totals(&mut journal, 1), expected, "step {at}");
        drop(journal);
        journal = step(&home, home.open(), &[Pay::new(9, NOW).denied()]);
        assert_eq!(totals(&mut journal, 1), expected, "step {at}, opened again");
        assert_eq!(totals(&mut journal, 2), Totals::default(), "step {at}, another wallet");
        let used = journal.usage(&Scope::Wallet(evm(1)), UnixSeconds(NOW)).windows[0];
        let told = (used.held, used.frees_at.is_some());
        let spent = expected == Totals::EXHAUSTED;
        assert_eq!(told, (if spent { Usd::MAX } else { real.usd[0] }, !spent), "step {at}, for people");
    }
    assert_eq!(status(&journal, &[wallet(1)]), Status::Active);
}

#[test]
fn a_wallet_that_was_brought_back_and_replaced_is_resumed_under_its_new_address() {
    let home = Home::new();
    let acts = [act(ActVerb::Recover, wallet(1), NOW), rotate(1, 2)];
    let journal = step(&home, home.create(), &acts);
    let journal = step(&home, journal, &[changed(completed(&[3], NOW)), rotate(2, 3)]);
    let mut journal = step(&home, journal, &[changed(completed(&[5], NOW))]);
    assert_eq!(totals(&mut journal, 1), Totals::EXHAUSTED);
    // Its first address cannot be resumed any more, and would count as spent for ever.
    let mut journal = step(&home, journal, &[act(ActVerb::Resume, wallet(3), NOW)]);
    assert_eq!(totals(&mut journal, 1), Totals::default());
}

#[test]
fn what_was_revoked_stays_so_whoever_says_otherwise() {
    let home = Home::new();
    let agent = |name| Subject::Agent(AgentName::parse(name).unwrap());
    let (old, new) = (agent("researcher"), agent("reader"));
    let both = [new.clone(), old.clone()];
    let mut journal = step(&home, home.create(), &[act(ActVerb::Revoke, old.clone(), NOW)]);
    let drained =
        StatusChange { subject: old.clone(), status: Status::Suspended, cause: Cause::WorkflowEnded };
    let later = [
        act(ActVerb::Suspend, old.clone(), NOW),
        act(ActVerb::Resume, old.clone(), NOW),
        act(ActVerb::Retire, old.clone(), NOW),
        act(ActVerb::Resume, new.clone(), NOW),
        act(ActVerb::Suspend, new.clone(), NOW),
        changed(Transition { statuses: vec![drained], ..completed(&[], NOW) }),
    ];
    for entry in later {
        journal = step(&home, journal, &[entry]);
        assert_eq!(status(&journal, std::slice::from_ref(&old)), Status::Revoked);
        assert_eq!(status(&journal, &both), Status::Revoked);
        assert_eq!(journal.status_seq(&old), Some(2), "the first revocation is the one that counts");
    }
    assert_eq!(status(&journal, &[new]), Status::Suspended, "the other name alone was not revoked");
    let journal = step(&home, journal, &[act(ActVerb::Revoke, wallet(4), NOW)]);
    let revoked: Vec<Subject> = journal.revoked().into_iter().map(|(subject, _)| subject).collect();
    assert!(revoked.contains(&wallet(4)) && revoked.contains(&old) && revoked.len() == 2, "{revoked:?}");
}

#[test]
fn what_drains_is_listed_in_order_until_it_has_ended() {
    let home = Home::new();
    let service = Subject::Service(pursekeeper_core::ServiceName::parse("papers").unwrap());
    let retired = [wallet(9), service.clone(), wallet(2)];
    let acts = retired.clone().map(|subject| act(ActVerb::Retire, subject, NOW));
    let rotated = StatusChange { subject: wallet(5), status: Status::Draining, cause: Cause::Rotated };
    let journal = step(&home, home.create(), &acts);
    let entries = [changed(Transition { statuses: vec![rotated], ..completed(&[], NOW) })];
    let mut journal = step(&home, journal, &entries);
    let listed = [wallet(2), wallet(5), wallet(9), service];
    assert_eq!(journal.draining(), listed);
    assert_eq!(look(&mut journal, NOW, |ledger| ledger.draining()), listed);
    let drained = StatusChange { subject: wallet(5), status: Status::Revoked, cause: Cause::Drained };
    let over = [
        changed(Transition { statuses: vec![drained], ..completed(&[], NOW) }),
        act(ActVerb::Resume, wallet(2), NOW),
        act(ActVerb::Suspend, wallet(9), NOW),
    ];
    let journal = step(&home, journal, &over);
    assert_eq!(journal.draining(), listed[3..]);
    assert_eq!(status(&journal, &[wallet(5)]), Status::Revoked);
}

#[test]
fn the_wallets_that_only_served_a_workflow_are_suspended_with_it() {
    let home = Home::new();
    let workflow = Subject::Workflow(WorkflowName::parse("literature-review").unwrap());
    let cascading = |verb| {
        let mut entry = act(verb, workflow.clone(), NOW);
        if let Entry::Lifecycle(lifecycle) = &mut entry {
            lifecycle.cascade = [evm(1), evm(2)].into();
        }
        entry
    };
    let journal = step(&home, home.create(), &[refused(cascading(ActVerb::Revoke))]);
    assert_eq!(status(&journal, &[wallet(1)]), Status::Active);
    let journal = step(&home, journal, &[cascading(ActVerb::Revoke)]);
    let found = [1, 2, 3].map(|byte| status(&journal, &[wallet(byte)]));
    assert_eq!(found, [Status::Suspended, Status::Suspended, Status::Active]);
    assert_eq!(status(&journal, &[workflow]), Status::Revoked);
    assert_eq!(journal.status_seq(&wallet(2)), Some(3));
}

fn reviewed(model: &str) -> Reviewed {
    let properties = BTreeMap::from([("model".to_owned(), model.to_owned())]);
    [(AgentName::parse("researcher").unwrap(), properties)].into()
}

#[test]
fn the_bundle_and_what_was_reviewed_under_it_are_those_of_the_last_renewal() {
    let home = Home::new();
    let mut journal = home.create();
    assert_eq!(
        (journal.bundle(), look(&mut journal, NOW, |ledger| ledger.reviewed())),
        (None, Reviewed::new())
    );
    let named = |byte| BundleId { digest: Digest([byte; 32]), revision: Some(byte.into()) };
    // The bundle a transition names, what it renews, and what is in force after it.
    let table = [
        (1, Some(reviewed("orca-5")), (1, reviewed("orca-5"))),
        (2, None, (1, reviewed("orca-5"))),
        (2, Some(reviewed("orca-6")), (2, reviewed("orca-6"))),
        (1, Some(Reviewed::new()), (1, Reviewed::new())),
    ];
    for (bundle, renews, expected) in table {
        let transition = Transition { bundle: named(bundle), reviewed: renews, ..completed(&[], NOW) };
        journal = step(&home, journal, &[changed(transition)]);
        let in_force = look(&mut journal, NOW, |ledger| (ledger.bundle(), ledger.reviewed()));
        assert_eq!(in_force, (Some(named(expected.0)), expected.1));
        assert_eq!(journal.bundle(), in_force.0);
    }
}

/// Everything at once: what waits, was rotated, backed up, brought back, drains, was revoked and renewed.
fn everything() -> Vec<Entry> {
    let mut ended = act(ActVerb::Revoke, Subject::Workflow(WorkflowName::parse("screening").unwrap()), NOW);
    if let Entry::Lifecycle(lifecycle) = &mut ended {
        lifecycle.cascade = [evm(1), evm(6)].into();
    }
    let draining = StatusChange { subject: wallet(3), status: Status::Draining, cause: Cause::Rotated };
    vec![
        rotate(3, 4),
        key(ActVerb::Create, "research", 7),
        reassign(5, &["screening"]),
        backup(5, &RECIPIENTS),
        act(ActVerb::Recover, wallet(5), NOW),
        changed(Transition {
            reviewed: Some(reviewed("orca-5")),
            statuses: vec![draining],
            ..completed(&[2], NOW)
        }),
        ended,
        act(ActVerb::Retire, wallet(8), NOW),
    ]
}

#[test]
fn a_batch_that_fails_takes_back_what_it_said_about_lives() {
    let home = Home::new();
    let rows = |home: &Home| {
        let count = |table| {
            let sql = format!("SELECT count(*) FROM {table}");
            home.stranger().query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        ["life", "status", "record"].map(count)
    };
    let journal = step(&home, home.create(), &everything());
    let mut journal = step(&home, journal, &[Pay::new(1, NOW).permit()]);
    let (before, rows_before) = (journal.state.clone(), rows(&home));
    let later = [
        changed(Transition { reviewed: Some(Reviewed::new()), ..completed(&[3, 4], NOW) }),
        rotate(4, 9),
        reassign(5, &["literature-review"]),
        backup(5, &RECIPIENTS[..1]),
        act(ActVerb::Recover, wallet(1), NOW),
        act(ActVerb::Resume, wallet(5), NOW),
        act(ActVerb::Revoke, wallet(7), NOW),
        act(ActVerb::Revoke, wallet(3), NOW),
        act(ActVerb::Retire, wallet(6), NOW),
    ];
    let batch: Vec<Option<Entry>> = later.into_iter().map(Some).chain([None]).collect();
    for urgency in [Urgency::Payment, Urgency::Stop] {
        let result = journal.commit(moment(NOW), urgency, &batch, |entry, _| {
            entry.clone().map(Judged::Entry).ok_or_else(|| LedgerError("no answer".into()))
        });
        assert!(matches!(result, Err(JournalError::Judge(_))), "{result:?}");
        assert_eq!((&journal.state, rows(&home)), (&before, rows_before));
    }
    drop(journal);
    assert_eq!(home.open().state, before);
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn nobody_is_told_of_what_an_empty_journal_does_not_know() {
    let journal = Home::new().create();
    let nothing: Vec<(Address, Address)> = Vec::new();
    assert_eq!((journal.rotated(), journal.bundle(), waiting(&journal)), (nothing, None, Vec::new()));
    assert_eq!((journal.backup(evm(1)), journal.draining()), (None, Vec::new()));
}

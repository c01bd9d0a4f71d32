//! Payees that wait for operators: what the journal knows of them, and how it finds out who changed that.

use pursekeeper_core::{Address, Denial, DenyCode, Entry, PayeeState, ServiceName};

use crate::fixtures::{Home, NOW, Pay, accepted, evm, look, record};
use crate::{JournalError, KnownPayee, SqliteJournal, VerifyError};

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

/// What the ledger and the writer say of a payee under some names, and how many wait there.
fn known(journal: &mut SqliteJournal, names: &[&str], payee: Address) -> (Option<PayeeState>, usize) {
    let names: Vec<ServiceName> = names.iter().map(|name| service(name)).collect();
    let found = look(journal, NOW, |ledger| (ledger.payee(&names, payee), ledger.pending_payees(&names)));
    assert_eq!(journal.payee(&names, payee), found.0);
    found
}

fn pending(id: u64, service: &'static str, payee: u8) -> Entry {
    Pay { service: Some(service), payee, ..Pay::new(id, NOW) }.pending()
}

#[test]
fn a_payee_waits_until_it_is_accepted_and_outlives_the_process() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[pending(1, "papers", 9), pending(2, "papers", 8), pending(3, "news", 9)]).unwrap();
    let check = |journal: &mut SqliteJournal, expected: [Option<PayeeState>; 3], waiting: usize| {
        for (payee, expected) in [(9, expected[0]), (8, expected[1]), (7, expected[2])] {
            assert_eq!(known(journal, &["papers"], evm(payee)), (expected, waiting), "{payee}");
        }
    };
    let (waits, done) = (Some(PayeeState::Pending), Some(PayeeState::Accepted));
    check(&mut journal, [waits, waits, None], 2);
    drop(journal);
    let mut journal = home.open();
    check(&mut journal, [waits, waits, None], 2);
    // The second time changes nothing.
    record(&mut journal, &[accepted("papers", evm(9), NOW)]).unwrap();
    record(&mut journal, &[accepted("papers", evm(9), NOW)]).unwrap();
    check(&mut journal, [done, waits, None], 1);
    assert_eq!(known(&mut journal, &["news"], evm(9)), (waits, 1), "another service is another question");
    drop(journal);
    check(&mut home.open(), [done, waits, None], 1);
    let row = |name, payee, pending_seq, accepted_seq| KnownPayee {
        service: service(name),
        payee: evm(payee),
        pending_seq: Some(pending_seq),
        accepted_seq,
    };
    let rows = [row("news", 9, 4, None), row("papers", 8, 3, None), row("papers", 9, 2, Some(5))];
    assert_eq!(home.reader().payees().unwrap(), rows);
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn accepted_under_one_name_is_accepted_under_all() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[pending(1, "papers", 9), pending(2, "papers", 8)]).unwrap();
    assert_eq!(known(&mut journal, &["reports", "papers"], evm(9)), (Some(PayeeState::Pending), 2));
    // The act names the service as it is called now.
    record(&mut journal, &[accepted("reports", evm(9), NOW)]).unwrap();
    assert_eq!(known(&mut journal, &["reports", "papers"], evm(9)), (Some(PayeeState::Accepted), 1));
    assert_eq!(known(&mut journal, &["papers"], evm(9)), (Some(PayeeState::Pending), 2));
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn what_was_refused_changes_nothing() {
    let home = Home::new();
    let mut journal = home.create();
    let mut refused = accepted("papers", evm(9), NOW);
    if let Entry::Lifecycle(lifecycle) = &mut refused {
        lifecycle.denial = Some(Denial::by_policies(DenyCode::OperatorNotAllowed, Vec::new()));
    }
    record(&mut journal, &[Pay::new(1, NOW).denied(), refused]).unwrap();
    assert_eq!(known(&mut journal, &["papers"], evm(9)), (None, 0));
    assert_eq!(home.reader().payees().unwrap(), []);
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn a_batch_that_fails_leaves_no_payee_behind() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &[pending(1, "papers", 9)]).unwrap();
    let before = journal.state.clone();
    let permit = || Pay::new(5, NOW).permit();
    let batch = [pending(2, "news", 8), accepted("papers", evm(9), NOW), permit(), permit()];
    let failed = record(&mut journal, &batch);
    assert!(matches!(failed, Err(JournalError::RequestIdTaken(_))), "{failed:?}");
    assert_eq!(journal.state, before);
    drop(journal);
    assert_eq!(home.open().state, before);
}

#[test]
fn a_payee_that_does_not_follow_from_the_records_is_named() {
    let table = [
        "DELETE FROM payee",
        "DELETE FROM payee WHERE accepted_seq IS NULL",
        "UPDATE payee SET accepted_seq = 3 WHERE pending_seq = 3",
        "UPDATE payee SET accepted_seq = NULL WHERE pending_seq = 2",
        "UPDATE payee SET pending_seq = NULL WHERE pending_seq = 2",
        "UPDATE payee SET pending_seq = 1 WHERE pending_seq = 3",
        "UPDATE payee SET service = 'news' WHERE pending_seq = 2",
        "UPDATE payee SET payee = '0x0707070707070707070707070707070707070707' WHERE pending_seq = 2",
        "INSERT INTO payee VALUES ('papers', '0x0707070707070707070707070707070707070707', NULL, 1)",
        "INSERT INTO payee VALUES ('papers', '0x0707070707070707070707070707070707070707', 99, NULL)",
    ];
    for sql in table {
        let home = Home::new();
        let mut journal = home.create();
        let entries = [pending(1, "papers", 9), pending(2, "papers", 8), accepted("papers", evm(9), NOW)];
        record(&mut journal, &entries).unwrap();
        drop(journal);
        home.reader().verify(|_, _| {}).unwrap();
        home.tamper(sql);
        match home.reader().verify(|_, _| {}) {
            Err(VerifyError::Table { table, .. }) => assert_eq!(table, "payee", "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
    let home = Home::new();
    record(&mut home.create(), &[pending(1, "papers", 9)]).unwrap();
    home.tamper("UPDATE payee SET payee = 'nobody'");
    assert!(matches!(home.reader().verify(|_, _| {}), Err(VerifyError::Read(JournalError::Damaged { .. }))));
}

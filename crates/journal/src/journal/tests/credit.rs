//! Prepaid credit follows from the records, also after a restart, and verification finds what does not.

use pursekeeper_core::ports::{Journal as _, Urgency};
use pursekeeper_core::{
    AgentName, Claim, ClaimedCredit, Credit, Entry, HoldState, Said, ServiceName, UnixSeconds, Usd,
};

use crate::fixtures::{Home, NOW, Pay, evm, look, moment, record, resolved, said, settled_for};
use crate::{JournalError, SqliteJournal, VerifyError};

const ONE: u128 = 1_000_000_000;

fn papers() -> ServiceName {
    ServiceName::parse("papers").unwrap()
}

fn credit(journal: &SqliteJournal) -> Credit {
    journal.credit(evm(1), &papers())
}

fn usd(units: u128) -> Usd {
    Usd::from_units(units)
}

/// Two top-ups (records 2 and 3), two sign-ins (4 and 5), and what was left after the first of them (6).
fn entries() -> Vec<Entry> {
    vec![
        Pay::new(1, NOW).permit(),
        Pay { usd: 4 * ONE, ..Pay::new(2, NOW) }.permit(),
        Pay::new(3, NOW + 1).signed_in(),
        Pay::new(4, NOW + 2).signed_in(),
        said(4, Said::Remaining(usd(3 * ONE)), NOW + 3),
    ]
}

#[test]
fn top_ups_add_evidence_takes_back_and_the_last_claim_counts() {
    let home = Home::new();
    let mut journal = home.create();
    let claimed = |units, at, seq| Some(ClaimedCredit { usd: usd(units), at: UnixSeconds(at), seq });
    let credit_of = |topped_up, claimed, sign_ins, last_sign_in| Credit {
        topped_up: usd(topped_up),
        claimed,
        sign_ins,
        last_sign_in,
    };
    let mut steps: Vec<(Entry, Credit)> = entries()
        .into_iter()
        .zip([
            credit_of(ONE, None, 0, 0),
            credit_of(5 * ONE, None, 0, 0),
            credit_of(5 * ONE, None, 1, 4),
            credit_of(5 * ONE, None, 2, 5),
            credit_of(5 * ONE, claimed(3 * ONE, NOW + 3, 6), 0, 5),
        ])
        .collect();
    let first = claimed(3 * ONE, NOW + 3, 6);
    let both = Said::Both(Claim::settled(Some("0xab")), usd(9 * ONE));
    let last = claimed(9 * ONE, NOW + 5, 11);
    steps.extend([
        (Pay::new(5, NOW + 4).signed_in(), credit_of(5 * ONE, first, 1, 7)),
        // Settled for a quarter; dead; an outcome alone says nothing about credit; another service; no service.
        (resolved(3, settled_for(usd(ONE)), NOW + 4), credit_of(2 * ONE, first, 1, 7)),
        (resolved(2, HoldState::Released, NOW + 4), credit_of(ONE, first, 1, 7)),
        (said(3, Said::Outcome(Claim::failed("504")), NOW + 4), credit_of(ONE, first, 1, 7)),
        (said(3, both, NOW + 5), credit_of(ONE, last, 0, 7)),
        (Pay { service: Some("others"), ..Pay::new(6, NOW + 5) }.signed_in(), credit_of(ONE, last, 0, 7)),
        (Pay { service: None, ..Pay::new(7, NOW + 5) }.permit(), credit_of(ONE, last, 0, 7)),
        (Pay::new(8, NOW + 6).denied(), credit_of(ONE, last, 0, 7)),
    ]);
    for (at, (entry, expected)) in steps.into_iter().enumerate() {
        record(&mut journal, &[entry]).unwrap();
        assert_eq!(credit(&journal), expected, "step {at}");
        assert_eq!(look(&mut journal, NOW + 6, |ledger| ledger.credit(evm(1), &papers())), expected);
        let before = journal.state.clone();
        drop(journal);
        journal = home.open();
        assert_eq!(journal.state.credits, before.credits, "step {at}");
        home.reader().verify(|_, _| {}).unwrap();
    }
    assert_eq!(journal.credit(evm(2), &papers()), Credit::default(), "another wallet's");
    let others = ServiceName::parse("others").unwrap();
    assert_eq!(journal.credit(evm(1), &others).sign_ins, 1);
}

#[test]
fn a_sign_in_is_found_with_its_claims() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &entries()).unwrap();
    let found = look(&mut journal, NOW + 9, |ledger| ledger.sign_in(4).unwrap().unwrap());
    assert_eq!((found.claims, found.intent.agent), (1, AgentName::parse("researcher").unwrap()));
    assert_eq!(look(&mut journal, NOW + 9, |ledger| ledger.sign_in(5).unwrap().unwrap().claims), 0);
    for none in [0, 1, 2, 6, 7, u64::MAX] {
        assert!(look(&mut journal, NOW + 9, |ledger| ledger.sign_in(none).unwrap().is_none()), "{none}");
    }
    assert_eq!(home.reader().claims(4).unwrap(), [Said::Remaining(usd(3 * ONE))]);
    let summary = home.reader().record(6).unwrap().unwrap();
    let summary = home.reader().summary(&summary).unwrap().message;
    assert_eq!(summary, "agent `researcher` claims: $0.003 of prepaid credit were left after record 4");
}

#[test]
fn a_batch_that_fails_takes_its_credit_back() {
    let home = Home::new();
    let mut journal = home.create();
    record(&mut journal, &entries()).unwrap();
    let before = journal.state.clone();
    let others = |id| Pay { service: Some("others"), ..Pay::new(id, NOW + 5) };
    let batches = [
        // A claim about what permits nothing.
        vec![
            Pay::new(9, NOW + 5).permit(),
            said(2, Said::Remaining(usd(1)), NOW + 5),
            said(6, Said::Remaining(usd(1)), NOW + 5),
        ],
        // A sum that does not fit.
        vec![
            others(10).signed_in(),
            others(11).permit(),
            Pay { usd: u128::MAX, payee: 8, ..others(12) }.permit(),
        ],
    ];
    for batch in batches {
        let refused = journal.commit(moment(NOW + 5), Urgency::Payment, &batch, |entry, _| {
            Ok(pursekeeper_core::ports::Judged::Entry(entry.clone()))
        });
        assert!(
            matches!(refused, Err(JournalError::Damaged { .. } | JournalError::TotalTooLarge)),
            "{refused:?}"
        );
        assert_eq!(journal.state, before);
        drop(journal);
        journal = home.open();
        assert_eq!(journal.state.credits, before.credits);
    }
    home.reader().verify(|_, _| {}).unwrap();
}

#[test]
fn credit_that_does_not_follow_from_the_records_is_named() {
    let table = [
        ("credit", "DELETE FROM credit"),
        ("credit", "UPDATE credit SET topped_up = randomblob(16)"),
        ("credit", "UPDATE credit SET claimed = randomblob(16)"),
        ("credit", "UPDATE credit SET claimed = NULL, claimed_at = NULL, claimed_seq = NULL"),
        ("credit", "UPDATE credit SET claimed_at = claimed_at + 1"),
        ("credit", "UPDATE credit SET claimed_seq = 4"),
        ("credit", "UPDATE credit SET sign_ins = sign_ins + 1"),
        ("credit", "UPDATE credit SET last_sign_in = 0"),
        ("credit", "UPDATE credit SET wallet = '0x0202020202020202020202020202020202020202'"),
        ("credit", "UPDATE credit SET wallet = 'nobody'"),
        ("claim", "DELETE FROM claim"),
        ("claim", "UPDATE claim SET permit = 5"),
        ("claim", "INSERT INTO claim VALUES (5, 6)"),
    ];
    for (expected, sql) in table {
        let home = Home::new();
        let mut journal = home.create();
        record(&mut journal, &entries()).unwrap();
        drop(journal);
        home.reader().verify(|_, _| {}).unwrap();
        home.tamper(sql);
        match home.reader().verify(|_, _| {}) {
            Err(VerifyError::Table { table, .. }) => assert_eq!(table, expected, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

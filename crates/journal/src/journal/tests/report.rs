//! What a review meeting asks.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_core::{ActVerb, Endpoint, Entry, HoldState, Mode, Subject, UnixSeconds, Usd};

use crate::fixtures::{
    Home, NOW, Pay, about, act, changed, completed, evm, moment, record, resolved, settled_for,
};
use crate::{JournalError, VolumeRow};

const ONE: u128 = 1_000_000_000;
const DATA: &str = "GET https://api.example.com/v1/data";

fn pay(id: u64, wallet: u8) -> Pay {
    Pay { wallet, ..Pay::new(id, NOW + id) }
}

/// Payments of two addresses of one wallet, of which the second replaced the first, and of another wallet; some of them are
/// settled or released, and there are sign-ins, refusals and a preview beside them.
fn journal() -> Home {
    let home = Home::new();
    let mut journal = home.create();
    let news = |pay: Pay| Pay { url: "https://news.example/x?id=7".to_owned(), ..pay };
    let rotation = act(ActVerb::Rotate, Subject::Wallet(evm(1)), NOW + 3);
    let unstated = {
        let mut entry = Pay { workflow: "screening", usd: 2 * ONE, ..pay(6, 3) }.permit();
        if let Entry::Payment(decision) = &mut entry
            && let pursekeeper_core::Outcome::Permit(permit) = &mut decision.outcome
        {
            permit.intent.endpoint = Endpoint::unknown();
        }
        entry
    };
    let entries = [
        pay(1, 1).permit(),
        pay(2, 1).permit(),
        about(rotation, pursekeeper_core::Detail::Successor(evm(2))),
        changed(completed(&[4], NOW + 3)),
        pay(3, 2).permit(),
        Pay { workflow: "screening", usd: 5 * ONE, ..news(pay(4, 3)) }.permit(),
        news(pay(5, 4)).signed_in(),
        unstated,
        Pay { url: "https://refused.example/".to_owned(), ..pay(7, 5) }.denied(),
        Pay { url: "https://preview.example/".to_owned(), ..pay(8, 5) }.permitted(Mode::Preview),
        Pay { url: "https://released.example/".to_owned(), usd: 90 * ONE, ..pay(9, 1) }.permit(),
        Pay { service: None, url: "https://login.example/in?a=b".to_owned(), ..pay(10, 2) }.signed_in(),
        resolved(2, settled_for(Usd::from_units(ONE / 4)), NOW + 500),
        resolved(12, HoldState::Released, NOW + 501),
    ];
    record(&mut journal, &entries).unwrap();
    home
}

#[test]
fn volumes_are_what_was_settled_and_what_is_held() {
    let row = |workflow, wallet, endpoint: &str, payments, units| VolumeRow {
        workflow: pursekeeper_core::WorkflowName::parse(workflow).unwrap(),
        wallet: evm(wallet),
        endpoint: endpoint.to_owned(),
        payments,
        usd: Usd::from_units(units),
    };
    let expected = [
        row("screening", 3, "GET https://news.example/x", 1, 5 * ONE),
        row("screening", 3, "", 1, 2 * ONE),
        row("literature-review", 1, DATA, 2, ONE / 4 + ONE),
        row("literature-review", 2, DATA, 1, ONE),
    ];
    assert_eq!(journal().reader().volumes().unwrap(), expected);
    // Among equals by name.
    let home = Home::new();
    let paid = [("b", 1, "b"), ("a", 2, "a"), ("a", 1, "b"), ("a", 1, "a"), ("a", 1, "b")];
    let paid = (1..).zip(paid).map(|(id, (workflow, wallet, path))| {
        Pay { workflow, usd: 0, url: format!("https://api.example.com/{path}?{id}"), ..pay(id, wallet) }
            .permit()
    });
    record(&mut home.create(), &paid.collect::<Vec<_>>()).unwrap();
    let at = |path| format!("GET https://api.example.com/{path}");
    let expected = [("a", 1, at("a"), 1), ("a", 1, at("b"), 2), ("a", 2, at("a"), 1), ("b", 1, at("b"), 1)]
        .map(|(workflow, wallet, endpoint, payments)| row(workflow, wallet, &endpoint, payments, 0));
    assert_eq!(home.reader().volumes().unwrap(), expected);
}

#[test]
fn a_volume_that_does_not_fit_stays_at_its_maximum() {
    let home = Home::new();
    let mut journal = home.create();
    // No total takes both, so the second settles before the first is there.
    record(&mut journal, &[Pay { usd: u128::MAX, ..pay(1, 1) }.permit()]).unwrap();
    home.tamper("INSERT INTO hold SELECT 9, agent, 'x', endpoint, workflow, wallet, service, payee, network, method, amount, usd, held_until, randomblob(32), state, NULL, NULL, NULL FROM hold");
    let volumes = home.reader().volumes().unwrap();
    assert_eq!((volumes.len(), volumes[0].payments, volumes[0].usd), (1, 2, Usd::MAX));
}

#[test]
fn a_wallet_was_last_used_when_it_last_paid_or_signed_in() {
    let reader = journal().reader();
    let expected = [(1, 9), (2, 10), (3, 6), (4, 5)].map(|(byte, secs)| (evm(byte), UnixSeconds(NOW + secs)));
    assert_eq!(reader.last_used().unwrap(), BTreeMap::from(expected));
    // A payment after a sign-in counts, and so does a sign-in after a payment, also at a clock that was set back.
    let home = Home::new();
    let entries = [pay(1, 1).signed_in(), pay(9, 1).permit(), pay(8, 2).permit(), pay(3, 2).signed_in()];
    record(&mut home.create(), &entries).unwrap();
    let expected = [(1, 9), (2, 3)].map(|(byte, secs)| (evm(byte), UnixSeconds(NOW + secs)));
    assert_eq!(home.reader().last_used().unwrap(), BTreeMap::from(expected));
}

#[test]
fn what_was_permitted_was_called() {
    let expected =
        [DATA, "GET https://login.example/in", "GET https://news.example/x", "GET https://released.example/"];
    let expected: BTreeSet<String> = expected.map(str::to_owned).into();
    assert_eq!(journal().reader().called().unwrap(), expected);
}

#[test]
fn every_record_has_a_time_and_nothing_else_has() {
    let reader = journal().reader();
    let table = [(1, Some(0)), (2, Some(1)), (4, Some(3)), (8, Some(5)), (15, Some(501))];
    for (seq, secs) in table.into_iter().chain([(0, None), (16, None), (u64::MAX, None)]) {
        assert_eq!(reader.time_of(seq).unwrap(), secs.map(|secs| moment(NOW + secs)), "{seq}");
    }
}

#[test]
fn an_empty_journal_has_nothing_to_review() {
    let home = Home::new();
    drop(home.create());
    let reader = home.reader();
    assert_eq!(reader.volumes().unwrap(), []);
    assert_eq!((reader.last_used().unwrap(), reader.called().unwrap()), Default::default());
}

#[test]
fn what_cannot_be_read_is_not_left_out() {
    let table = [
        "UPDATE hold SET workflow = '' WHERE seq = 2",
        "UPDATE hold SET wallet = 'mine' WHERE seq = 2",
        "UPDATE record SET body = x'00' WHERE seq IN (8, 12)",
        "UPDATE request SET seq = 4 WHERE seq = 8",
        "UPDATE request SET seq = 10 WHERE seq = 8",
    ];
    for sql in table {
        let home = journal();
        home.tamper(sql);
        let reader = home.reader();
        let results = [reader.volumes().map(drop), reader.last_used().map(drop), reader.called().map(drop)];
        let damaged = |result: &Result<(), JournalError>| matches!(result, Err(JournalError::Damaged { .. }));
        assert!(results.iter().any(damaged), "{sql}: {results:?}");
    }
}

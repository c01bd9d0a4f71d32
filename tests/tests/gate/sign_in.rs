//! Sign-ins go the way of payments.

use std::sync::Arc;

use pursekeeper_core::gate::{Answer, Ask, SignInAsk};
use pursekeeper_core::siwx::SignInChallenge;
use pursekeeper_core::{ActVerb, ChainId, Entry, SignInOutcome, Signable, UnixSeconds, Window};
use pursekeeper_tests::URL;
use serde_json::json;

use crate::fixture::{Fixture, NOON_MS, act, asked, authorized, pay, subjects};

fn challenge(nonce: &str, chain: &str) -> SignInChallenge {
    let info = json!({
        "domain": "api.example.com", "uri": URL, "version": "1", "nonce": nonce,
        "issuedAt": "2026-11-22T12:00:00.000Z",
    });
    let challenge = json!({ "info": info, "supportedChains": [{ "chainId": chain, "type": "eip191" }] });
    SignInChallenge::from_extension(&challenge.to_string()).unwrap()
}

fn sign_in(id: &str, challenge: SignInChallenge) -> Ask {
    Ask::SignIn(Arc::new(SignInAsk { asked: asked(id), challenge }))
}

pub(crate) fn plain(id: &str) -> Ask {
    sign_in(id, challenge("abcdefgh12345678", "eip155:84532"))
}

fn text(answer: Answer) -> String {
    let right = authorized(answer);
    match right.what() {
        Signable::SignIn(intent) => intent.message.text().to_owned(),
        Signable::Payment(_) | Signable::Allowance(..) | Signable::Cancellation(_) => panic!("{right:?}"),
    }
}

#[test]
fn a_sign_in_is_recorded_and_a_retry_gets_the_same_bytes() {
    let mut fixture = Fixture::new();
    let first = text(fixture.one(plain("a")));
    assert!(first.starts_with("api.example.com wants you to sign in with your Ethereum account:\n0xde87"));
    fixture.later(10_000);
    assert_eq!(text(fixture.one(plain("a"))), first);
    assert!(matches!(&fixture.gate.journal().entries[1], Entry::Reissue(again) if again.original_seq == 1));
    // Past its time it is gone, and its id is not used again.
    fixture.later(300_000);
    fixture.check(vec![plain("a")], &["REQUEST_EXPIRED"]);
}

#[test]
fn an_id_is_for_one_thing() {
    let mut fixture = Fixture::new();
    fixture.check(vec![plain("a"), pay("b", "1")], &["OK", "OK"]);
    let other = sign_in("a", challenge("zzzzzzzz12345678", "eip155:84532"));
    fixture.check(vec![other, pay("a", "1"), plain("b")], &["REQUEST_ID_REUSED"; 3]);
}

#[test]
fn what_a_server_may_not_ask_for_is_refused() {
    type Change = fn(&mut SignInChallenge);
    let table: [(Change, &str); 8] = [
        (|it| it.domain = "bank.example".to_owned(), "SIGN_IN_DOMAIN"),
        (|it| it.uri = "https://bank.example/".to_owned(), "SIGN_IN_DOMAIN"),
        (|it| it.resources = vec!["https://bank.example/".to_owned()], "SIGN_IN_DOMAIN"),
        (|it| it.request_id = Some("x\nResources:\n- https://bank.example".to_owned()), "SIGN_IN_FIELD"),
        (|it| it.statement = Some("a\nb".to_owned()), "SIGN_IN_FIELD"),
        (|it| it.issued_at = "2026-11-22T12:10:00Z".to_owned(), "SIGN_IN_TIME"),
        (|it| it.expiration_time = Some("2036-11-22T12:00:00Z".to_owned()), "SIGN_IN_TIME"),
        (|it| it.supported_chains[0].signature_type = "eip1271".to_owned(), "SIGN_IN_CHAIN"),
    ];
    let mut fixture = Fixture::new();
    for (change, expected) in table {
        let mut asked_for = challenge("abcdefgh12345678", "eip155:84532");
        change(&mut asked_for);
        fixture.check(vec![sign_in("a", asked_for)], &[expected]);
    }
    let elsewhere = sign_in("a", challenge("abcdefgh12345678", "eip155:1"));
    fixture.check(vec![elsewhere], &["NETWORK_NOT_ALLOWED"]);
    let permitted = |entry: &&Entry| matches!(entry, Entry::SignIn(decision) if matches!(decision.outcome, SignInOutcome::Permit(_)));
    assert_eq!(fixture.gate.journal().entries.iter().filter(permitted).count(), 0);
}

#[test]
fn sign_ins_are_counted_apart_from_payments_and_stop_with_their_wallet() {
    let mut fixture = Fixture::new();
    for workflow in fixture.policy.0.workflows.values_mut() {
        workflow.ceilings.sign_ins.insert(Window::Hour, 2);
    }
    let batch = vec![plain("a"), plain("b"), plain("c"), pay("d", "1"), plain("a")];
    fixture.check(batch, &["OK", "OK", "CEILING_EXCEEDED", "OK", "OK"]);
    let stop = Ask::Lifecycle(act("alice", ActVerb::Suspend, subjects()[2].clone()));
    fixture.check(vec![stop, plain("a")], &["OK", "NOT_ACTIVE"]);
}

#[test]
fn venices_message_is_made_here_and_anew_only_for_a_new_id() {
    let mut fixture = Fixture::new();
    for wallet in fixture.policy.0.wallets.values_mut() {
        wallet.networks.insert(ChainId::Eip155(8453));
    }
    let venice = |id: &str, nonce: u8| {
        let now = UnixSeconds(NOON_MS / 1000);
        let challenge = SignInChallenge::venice(&asked(id).endpoint, now, 300, [nonce; 32]);
        sign_in(id, challenge)
    };
    let first = text(fixture.one(venice("a", 1)));
    assert_eq!(text(fixture.one(venice("a", 2))), first);
    assert_ne!(text(fixture.one(venice("b", 2))), first);
}

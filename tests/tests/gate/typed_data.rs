//! Signatures over typed data that an app built itself: the same gate, the app's own nonce and validity.

use std::collections::BTreeSet;
use std::sync::Arc;

use pursekeeper_core::gate::{Answer, Ask, Settings, TypedDataAsk};
use pursekeeper_core::registry::FirstUse;
use pursekeeper_core::typed_data::{self, TypedData};
use pursekeeper_core::{ActVerb, Asked, Detail, Endpoint, Entry, Signable, WalletName};
use pursekeeper_tests::{PAYEE, URL, USDC};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NOON_MS, WALLET, act, ask, asked, authorized, evm, intent, subjects};

const NOW: u64 = NOON_MS / 1000;
const NONCE: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";
const FACILITATOR: &str = "0x0bf143088342bE84Af1E6aca595C34d8D9efB02a";

fn fields(fields: &[&str]) -> Value {
    fields
        .iter()
        .map(|field| field.split_once(' ').unwrap())
        .map(|(kind, name)| json!({ "name": name, "type": kind }))
        .collect()
}

fn usdc() -> Value {
    json!({ "name": "USDC", "version": "2", "chainId": 84532, "verifyingContract": USDC })
}

/// An EIP-3009 transfer of 0.001 USDC, as the reference client of x402 v2 writes it.
fn transfer() -> Value {
    json!({
        "domain": usdc(),
        "types": { "TransferWithAuthorization": fields(&[
            "address from", "address to", "uint256 value", "uint256 validAfter", "uint256 validBefore", "bytes32 nonce",
        ]) },
        "primaryType": "TransferWithAuthorization",
        "message": {
            "from": WALLET, "to": PAYEE, "value": "1000", "validAfter": "0", "validBefore": (NOW + 60).to_string(),
            "nonce": NONCE,
        },
    })
}

/// The same through Permit2.
fn permit2() -> Value {
    json!({
        "domain": {
            "name": "Permit2", "chainId": 84532, "verifyingContract": "0x000000000022D473030F116dDEE9F6B43aC78BA3",
        },
        "types": {
            "PermitWitnessTransferFrom": fields(&[
                "TokenPermissions permitted", "address spender", "uint256 nonce", "uint256 deadline", "Witness witness",
            ]),
            "TokenPermissions": fields(&["address token", "uint256 amount"]),
            "Witness": fields(&["address to", "uint256 validAfter"]),
        },
        "primaryType": "PermitWitnessTransferFrom",
        "message": {
            "permitted": { "token": USDC, "amount": "1000" },
            "spender": "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
            "nonce": "7",
            "deadline": (NOW + 59).to_string(),
            "witness": { "to": PAYEE, "validAfter": "0" },
        },
    })
}

/// The allowance for that.
fn permit() -> Value {
    json!({
        "domain": usdc(),
        "types": { "Permit": fields(&[
            "address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline",
        ]) },
        "primaryType": "Permit",
        "message": {
            "owner": WALLET, "spender": "0x000000000022D473030F116dDEE9F6B43aC78BA3", "value": "1000", "nonce": "0",
            "deadline": (NOW + 59).to_string(),
        },
    })
}

fn with(mut data: Value, pointer: &str, value: impl Into<Value>) -> Value {
    *data.pointer_mut(pointer).unwrap() = value.into();
    data
}

fn at(endpoint: Endpoint, data: &Value) -> Ask {
    let json = data.to_string();
    let content = TypedData::read(&json).unwrap();
    let asked = Asked { endpoint, ..asked(&typed_data::request_id(&content, &json)) };
    Ask::TypedData(Arc::new(TypedDataAsk { asked, content }))
}

fn sign(data: &Value) -> Ask {
    at(Endpoint::parse("GET", URL).unwrap(), data)
}

fn check(data: &Value, expected: &str) {
    Fixture::new().check(vec![sign(data)], &[expected]);
}

#[test]
fn what_an_offer_could_not_ask_for_an_app_cannot_either() {
    check(&transfer(), "OK");
    check(&permit2(), "OK");
    let table = [
        ("/message/value", json!("0"), "AMOUNT_ZERO"),
        ("/message/value", json!("20000"), "CEILING_EXCEEDED"),
        ("/message/to", json!(WALLET), "PAYEE_FORBIDDEN"),
        ("/message/to", json!(USDC), "PAYEE_FORBIDDEN"),
        ("/message/from", json!(PAYEE), "WALLET_UNKNOWN"),
        ("/domain/name", json!("USD Coin"), "ASSET_MISMATCH"),
        ("/domain/version", json!("1"), "ASSET_MISMATCH"),
        ("/domain/chainId", json!(8453), "ASSET_UNKNOWN"),
        ("/domain/verifyingContract", json!(PAYEE), "ASSET_UNKNOWN"),
        ("/primaryType", json!("Mail"), "TYPED_DATA_UNSUPPORTED"),
    ];
    for (pointer, value, expected) in table {
        check(&with(transfer(), pointer, value), expected);
    }
    let mut named = sign(&transfer());
    if let Ask::TypedData(ask) = &mut named {
        Arc::make_mut(ask).asked.wallet = Some(WalletName::parse("other").unwrap());
    }
    Fixture::new().check(vec![named], &["WALLET_UNKNOWN"]);
}

#[test]
fn the_apps_validity_is_within_our_cap_or_nothing_is_signed() {
    let Settings { validity_secs_max, permit2_validity_secs_max, .. } = Settings::default();
    let eip3009 = [
        ("/message/validBefore", NOW + validity_secs_max, "OK"),
        ("/message/validBefore", NOW + validity_secs_max + 1, "VALIDITY_REFUSED"),
        ("/message/validBefore", NOW + 1, "OK"),
        ("/message/validBefore", NOW, "VALIDITY_REFUSED"),
        ("/message/validBefore", u64::MAX, "VALIDITY_REFUSED"),
        ("/message/validAfter", NOW, "OK"),
        ("/message/validAfter", NOW + 1, "VALIDITY_REFUSED"),
        ("/message/validAfter", NOW - 600, "OK"),
    ];
    let through_permit2 = [
        ("/message/deadline", NOW + permit2_validity_secs_max, "OK"),
        ("/message/deadline", NOW + permit2_validity_secs_max + 1, "VALIDITY_REFUSED"),
        ("/message/deadline", NOW, "OK"),
        ("/message/deadline", NOW - 1, "VALIDITY_REFUSED"),
        ("/message/deadline", u64::MAX - 1, "VALIDITY_REFUSED"),
        ("/message/witness/validAfter", NOW + 1, "VALIDITY_REFUSED"),
    ];
    for (data, cases) in [(transfer(), &eip3009[..]), (permit2(), &through_permit2[..])] {
        for (pointer, secs, expected) in cases {
            check(&with(data.clone(), pointer, secs.to_string()), expected);
        }
    }
}

#[test]
fn the_same_data_is_the_same_request_and_a_nonce_is_used_once() {
    let mut fixture = Fixture::new();
    let first = authorized(fixture.one(sign(&transfer())));
    // Written otherwise: a number for a string.
    let again = authorized(fixture.one(sign(&with(transfer(), "/message/value", 1000))));
    assert_eq!(first.what(), again.what());
    assert!(matches!(&fixture.gate.journal().entries[1], Entry::Reissue(again) if again.original_seq == 1));
    let other = with(transfer(), "/message/value", "999");
    fixture.check(vec![sign(&other)], &["NONCE_REUSED"]);
    let taken = with(permit2(), "/message/nonce", u128::MAX.to_string());
    fixture.check(
        vec![sign(&taken), sign(&with(taken, "/message/permitted/amount", "1"))],
        &["OK", "NONCE_REUSED"],
    );
    // Nor is a nonce of ours, drawn for a payment that was asked for in the usual way.
    let ours = authorized(fixture.one(ask(
        "a",
        pursekeeper_core::Mode::Enforce,
        &[pursekeeper_tests::Offer::of("1")],
    )));
    let nonce = format!("0x{}", hex::encode(intent(&ours).nonce));
    fixture.check(vec![sign(&with(transfer(), "/message/nonce", nonce))], &["NONCE_REUSED"]);
    assert_eq!(fixture.gate.journal().entries.iter().filter_map(Entry::binding_permit).count(), 3);
}

#[test]
fn a_payee_that_nobody_listed_waits_like_one_of_an_offer() {
    let mut fixture = Fixture::new();
    for service in fixture.policy.0.services.values_mut() {
        (service.payees.list, service.payees.first_use) = (BTreeSet::new(), FirstUse::Pending);
        service.unknown_endpoints = true;
    }
    let accept = || {
        let mut ask = act("alice", ActVerb::AcceptPayee, subjects()[3].clone());
        ask.act.detail = Detail::Payee(evm(PAYEE));
        Ask::Lifecycle(ask)
    };
    let left =
        |fixture: &Fixture| fixture.gate.journal().entries.iter().filter_map(Entry::pending_payee).count();
    let mut nowhere = transfer();
    nowhere["message"]["nonce"] = json!(NONCE.replace('1', "2"));
    let nowhere = || at(Endpoint::unknown(), &nowhere);
    // Without a call nobody can say at which service it waits.
    fixture.check(vec![nowhere(), accept()], &["PAYEE_UNACCEPTED", "PAYEE_UNKNOWN"]);
    assert_eq!(left(&fixture), 0);
    let batch = vec![sign(&transfer()), accept(), sign(&transfer())];
    fixture.check(batch, &["PAYEE_UNACCEPTED", "OK", "OK"]);
    assert_eq!(left(&fixture), 1);
    // And only the registry's list tells where a payment without a call belongs.
    fixture.check(vec![nowhere()], &["PAYEE_UNACCEPTED"]);
}

#[test]
fn without_an_endpoint_only_a_service_that_says_so_is_paid() {
    let unknown = || at(Endpoint::unknown(), &transfer());
    let trusting = |payees: bool| {
        let mut fixture = Fixture::new();
        for service in fixture.policy.0.services.values_mut() {
            service.unknown_endpoints = true;
            if !payees {
                service.payees.list.clear();
            }
        }
        fixture
    };
    Fixture::new().check(vec![unknown()], &["PAYEE_UNACCEPTED"]);
    let paid = authorized(trusting(true).one(unknown()));
    assert_eq!(intent(&paid).service.as_ref().unwrap().as_str(), "reports");
    // The payee is what tells where it belongs.
    trusting(false).check(vec![unknown()], &["PAYEE_UNACCEPTED"]);
}

#[test]
fn an_allowance_is_for_a_payment_that_is_alive_and_for_nothing_else() {
    let mut fixture = Fixture::new();
    fixture.check(vec![sign(&permit())], &["ALLOWANCE_UNPAID"]);
    let paid = authorized(fixture.one(sign(&permit2())));
    let granted = authorized(fixture.one(sign(&permit())));
    let Signable::Allowance(of, allowance) = granted.what() else { panic!("{granted:?}") };
    assert_eq!(of, intent(&paid));
    assert_eq!(granted.what().digest(), of.digest_of(*allowance));
    let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let table = [
        ("/message/value", max.to_owned(), "APPROVAL_UNLIMITED"),
        ("/message/value", "1001".to_owned(), "ALLOWANCE_UNPAID"),
        ("/message/deadline", (NOW + 60).to_string(), "ALLOWANCE_UNPAID"),
        ("/message/owner", PAYEE.to_owned(), "WALLET_UNKNOWN"),
        ("/message/spender", FACILITATOR.to_owned(), "TYPED_DATA_UNSUPPORTED"),
        ("/message/nonce", "13".to_owned(), "POLICY_DENIED"),
        ("/domain/name", "USD Coin".to_owned(), "ASSET_MISMATCH"),
        ("/domain/verifyingContract", PAYEE.to_owned(), "ASSET_UNKNOWN"),
    ];
    for (pointer, value, expected) in table {
        fixture.check(vec![sign(&with(permit(), pointer, value))], &[expected]);
    }
    let [_, _, wallet, _] = subjects();
    fixture.check(vec![Ask::Lifecycle(act("alice", ActVerb::Suspend, wallet.clone()))], &["OK"]);
    fixture.check(vec![sign(&permit())], &["NOT_ACTIVE"]);
    fixture.check(vec![Ask::Lifecycle(act("alice", ActVerb::Resume, wallet))], &["OK"]);
    fixture.later(59_000);
    fixture.check(vec![sign(&permit())], &["OK"]);
    fixture.later(1_000);
    fixture.check(vec![sign(&permit())], &["ALLOWANCE_UNPAID"]);
    let permits = fixture.gate.journal().entries.iter().filter_map(Entry::binding_permit);
    assert_eq!(permits.count(), 1, "an allowance binds no money");
}

#[test]
fn an_asset_without_permits_grants_none() {
    let mut fixture = Fixture::new();
    for asset in fixture.policy.0.assets.values_mut() {
        *asset = asset.clone().with_eip2612(false);
    }
    fixture.check(vec![sign(&permit2()), sign(&permit())], &["OK", "METHOD_UNSUPPORTED"]);
}

#[test]
fn a_denial_is_recorded_and_judged_afresh() {
    let mut fixture = Fixture::new();
    let mail = with(transfer(), "/primaryType", "Mail");
    fixture.check(vec![sign(&mail), sign(&mail)], &["TYPED_DATA_UNSUPPORTED", "TYPED_DATA_UNSUPPORTED"]);
    let Answer::Denied { denial, .. } = fixture.one(sign(&mail)) else { panic!("not denied") };
    assert!(denial.message.contains("`Mail`"), "{}", denial.message);
    assert_eq!(fixture.gate.journal().entries.len(), 3);
}

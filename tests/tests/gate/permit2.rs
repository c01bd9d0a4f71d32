//! Payments through Permit2, what they may be granted, and what their sellers are told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pursekeeper_core::gate::{AllowanceAsk, Answer, Ask, Settings};
use pursekeeper_core::x402::Challenge;
use pursekeeper_core::{Amount, AssetId, ChainId, Mode, PERMIT2};
use pursekeeper_tests::{Offer, PAYEE, URL, USDC, challenge_with};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NOON_MS, WALLET, ask, authorized, changed, evm, intent, signed};

const FACILITATOR: &str = "0x0bf143088342bE84Af1E6aca595C34d8D9efB02a";

/// An offer over 0.001 USDC that is settled through Permit2.
fn permit2() -> Offer {
    Offer {
        extra: json!({ "name": "USDC", "version": "2", "assetTransferMethod": "permit2" }),
        timeout_secs: 3_600,
        ..Offer::default()
    }
}

/// The same as a maximum.
fn upto() -> Offer {
    Offer {
        scheme: "upto".to_owned(),
        extra: json!({ "name": "USDC", "version": "2", "facilitatorAddress": FACILITATOR }),
        ..permit2()
    }
}

fn with_extensions(offers: &[Offer], extensions: &Value) -> Ask {
    let challenge = Challenge::from_header(&challenge_with(Some(URL), offers, extensions)).unwrap();
    changed(ask("a", Mode::Enforce, offers), |ask| ask.challenge = challenge)
}

/// The wallet has not allowed Permit2 to move USDC, says the agent; its next nonce there is `nonce`.
fn lacking(ask: Ask, nonce: &str) -> Ask {
    let asset = AssetId { network: ChainId::Eip155(84532), address: evm(USDC) };
    let nonce = Amount::parse(nonce).unwrap();
    changed(ask, |ask| ask.allowance = Some(AllowanceAsk { asset, nonce }))
}

/// The payload that leaves for what is asked.
fn payload(ask: Ask) -> Value {
    let signed = signed(*authorized(Fixture::new().one(ask)));
    let payload = signed.payload().unwrap().unwrap();
    assert_eq!(STANDARD.decode(&payload.header_value).unwrap(), payload.json);
    serde_json::from_slice(&payload.json).unwrap()
}

fn code(ask: Ask) -> &'static str {
    let answer = Fixture::new().one(ask);
    match &answer {
        Answer::Authorized(_) => "OK",
        Answer::Denied { denial, .. } => denial.code.as_str(),
        Answer::WouldSign { .. }
        | Answer::Acted { .. }
        | Answer::Changed { .. }
        | Answer::Voids(_)
        | Answer::Reported { .. }
        | Answer::Resolved { .. }
        | Answer::Noted { .. }
        | Answer::Nothing(_) => panic!("{answer:?}"),
    }
}

#[test]
fn a_permit2_signature_lives_no_longer_than_its_own_cap() {
    let Settings { permit2_validity_secs_max, validity_secs_max, .. } = Settings::default();
    assert!(permit2_validity_secs_max < validity_secs_max);
    for offer in [permit2(), upto()] {
        let right = authorized(Fixture::new().one(ask("a", Mode::Enforce, &[offer])));
        assert_eq!(intent(&right).valid_before.0, NOON_MS / 1000 + permit2_validity_secs_max);
        assert_eq!(intent(&right).deadline().0 + 1, intent(&right).valid_before.0);
    }
}

#[test]
fn payloads_are_those_of_the_scheme() {
    let authorization = |payload: &Value| payload["payload"]["permit2Authorization"].clone();
    let exact = authorization(&payload(ask("a", Mode::Enforce, &[permit2()])));
    let deadline = NOON_MS / 1000 + 59;
    let mut expected = json!({
        "from": WALLET,
        "permitted": { "token": USDC, "amount": "1000" },
        "spender": "0x402085c248EeA27D92E8b30b2C58ed07f9E20001",
        "nonce": Amount::from_be_bytes([97; 32]).to_string(),
        "deadline": deadline.to_string(),
        "witness": { "to": PAYEE, "validAfter": (NOON_MS / 1000 - 60).to_string() },
    });
    assert_eq!(exact, expected);
    expected["spender"] = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002".into();
    expected["witness"]["facilitator"] = FACILITATOR.into();
    assert_eq!(authorization(&payload(ask("a", Mode::Enforce, &[upto()]))), expected);
}

#[test]
fn nobody_settles_who_can_only_be_a_mistake() {
    let proxy = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002";
    for facilitator in ["0x0000000000000000000000000000000000000000", USDC, WALLET, proxy] {
        let offer = Offer { extra: json!({ "facilitatorAddress": facilitator }), ..upto() };
        assert_eq!(code(ask("a", Mode::Enforce, &[offer])), "FACILITATOR_UNACCEPTED", "{facilitator}");
    }
}

#[test]
fn an_allowance_is_granted_only_where_a_permit_for_the_amount_will_do() {
    let sponsored = json!({ "eip2612GasSponsoring": { "info": { "description": "gas", "version": "1" } } });
    let bare = json!({ "eip2612GasSponsoring": {} });
    let newer = json!({ "eip2612GasSponsoring": { "info": { "version": "2" } } });
    let prefilled = json!({ "eip2612GasSponsoring": { "info": { "spender": FACILITATOR } } });
    let prose = json!({ "eip2612GasSponsoring": { "info": "the gas is paid" } });
    let unlimited = json!({ "erc20ApprovalGasSponsoring": { "info": { "version": "1" } } });
    let both = json!({ "erc20ApprovalGasSponsoring": {}, "eip2612GasSponsoring": {} });
    let table = [
        (&sponsored, "0", "OK"),
        (&bare, "0", "OK"),
        (&both, "0", "OK"),
        (&sponsored, "13", "POLICY_DENIED"),
        (&newer, "0", "ALLOWANCE_UNSPONSORED"),
        (&prefilled, "0", "ALLOWANCE_UNSPONSORED"),
        (&prose, "0", "ALLOWANCE_UNSPONSORED"),
        (&json!({}), "0", "ALLOWANCE_UNSPONSORED"),
        (&unlimited, "0", "APPROVAL_UNLIMITED"),
    ];
    for (extensions, nonce, expected) in table {
        for offer in [permit2(), upto()] {
            let asked = with_extensions(&[offer], extensions);
            // An agent that lacks nothing is not refused for want of it, and nothing is granted.
            assert!(
                payload(asked.clone())["extensions"]["eip2612GasSponsoring"]["info"]["signature"].is_null()
            );
            assert_eq!(code(lacking(asked, nonce)), expected, "{extensions}");
        }
        let eip3009 = with_extensions(&[Offer::default()], extensions);
        assert_eq!(code(lacking(eip3009, nonce)), "OK", "nothing is lacking: {extensions}");
    }
}

#[test]
fn an_allowance_is_for_the_amount_and_for_permit2_only() {
    let extensions = json!({
        "eip2612GasSponsoring": { "info": { "description": "gas", "version": "1" }, "schema": { "a": [1.50] } },
        "bazaar": { "b": 1 },
    });
    let sent = payload(lacking(with_extensions(&[permit2()], &extensions), "7"));
    let mut info = sent["extensions"]["eip2612GasSponsoring"]["info"].clone();
    assert_eq!(info["signature"].as_str().unwrap().len(), 132);
    info["signature"].take();
    let deadline = sent["payload"]["permit2Authorization"]["deadline"].clone();
    let expected = json!({
        "description": "gas", "version": "1", "from": WALLET, "asset": USDC, "spender": PERMIT2.to_string(),
        "amount": "1000", "nonce": "7", "deadline": deadline, "signature": null,
    });
    assert_eq!(info, expected);
    assert_eq!(sent["extensions"]["bazaar"], extensions["bazaar"]);
    assert_eq!(sent["extensions"]["eip2612GasSponsoring"]["schema"], json!({ "a": [1.50] }));
}

#[test]
fn another_allowance_is_another_request() {
    let extensions = json!({ "eip2612GasSponsoring": {} });
    let asked = || with_extensions(&[permit2()], &extensions);
    let mut fixture = Fixture::new();
    fixture.check(vec![lacking(asked(), "0"), lacking(asked(), "0")], &["OK", "OK"]);
    fixture.check(vec![lacking(asked(), "1"), asked()], &["REQUEST_ID_REUSED", "REQUEST_ID_REUSED"]);
    let permits = fixture.gate.journal().entries.iter().filter_map(pursekeeper_core::Entry::binding_permit);
    assert_eq!(permits.count(), 1);
}

#[test]
fn among_equals_the_offer_that_needs_no_new_allowance_is_taken() {
    let extensions = json!({ "eip2612GasSponsoring": {} });
    let direct = Offer { timeout_secs: 60, ..Offer::default() };
    for (offers, expected) in [([permit2(), direct.clone()], 1), ([direct, permit2()], 0)] {
        let right = authorized(Fixture::new().one(lacking(with_extensions(&offers, &extensions), "0")));
        assert_eq!(intent(&right).offered().unwrap().index, expected);
    }
}

#[test]
fn a_seller_that_requires_what_we_do_not_know_gets_nothing() {
    let unknown = json!({ "escrow": { "info": { "required": true } } });
    assert_eq!(code(with_extensions(&[Offer::default()], &unknown)), "EXTENSION_UNSUPPORTED");
    for harmless in
        [json!({ "escrow": { "info": { "required": false } } }), json!({ "escrow": { "info": 1 } })]
    {
        assert_eq!(payload(with_extensions(&[Offer::default()], &harmless))["extensions"], harmless);
    }
}

#[test]
fn a_payment_tells_its_id_where_the_seller_wants_one_and_changes_nothing_else() {
    let wanted = json!({ "payment-identifier": { "info": { "required": true }, "schema": {} } });
    let request = |id: &str| {
        let asked = with_extensions(&[Offer::default()], &wanted);
        changed(asked, |ask| ask.asked.request_id = pursekeeper_core::RequestId::parse(id).unwrap())
    };
    let sent = |id: &str| payload(request(id))["extensions"]["payment-identifier"].clone();
    let own = "a-request-id-that-is-long-enough";
    assert_eq!(sent(own), json!({ "info": { "required": true, "id": own }, "schema": {} }));
    for id in ["short", "a.request:id-that-has-other-signs"] {
        let derived = sent(id)["info"]["id"].as_str().unwrap().to_owned();
        assert!(derived.starts_with("pk_") && derived.len() == 35, "{derived}");
        assert_eq!(sent(id)["info"]["id"], derived, "the same request, the same id");
    }
    let theirs = json!({ "payment-identifier": { "info": { "required": true, "id": "of-the-seller" } } });
    assert_eq!(payload(with_extensions(&[Offer::default()], &theirs))["extensions"], theirs);
}

/// Whatever order and spelling the seller chose.
#[test]
fn what_is_only_echoed_is_echoed_byte_for_byte() {
    let json = format!(
        r#"{{"x402Version":2,"accepts":[{}],"extensions":{{ "offer-receipt" : {{"n":1.50}},"z":"\u00e9", "bazaar":[ ] }}}}"#,
        Offer::default().entry_v2()
    );
    let challenge = Challenge::from_header(STANDARD.encode(json).as_bytes()).unwrap();
    let asked = changed(ask("a", Mode::Enforce, &[Offer::default()]), |ask| ask.challenge = challenge);
    let signed = signed(*authorized(Fixture::new().one(asked)));
    let sent = String::from_utf8(signed.payload().unwrap().unwrap().json).unwrap();
    let echoed = r#""extensions":{ "offer-receipt" : {"n":1.50},"z":"\u00e9", "bazaar":[ ] }"#;
    assert!(sent.contains(echoed), "{sent}");
}

//! The real binary, asked by an agent and governed by an operator over its Unix sockets.

use std::collections::{BTreeMap, BTreeSet};

use pursekeeper_api::v1;
use pursekeeper_api::v1::lifecycle_response::Result as Acted;
use pursekeeper_api::v1::preview_response::Result as Previewed;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_api::{Audit, Governance, Signer};
use pursekeeper_tests::{
    Offer, PAYEE, Purse, Sidecar, URL, challenge_v1, challenge_v2, denied, reason, request, signed, verify,
};
use serde_json::json;
use tonic::Code;

async fn act(sidecar: &Sidecar, verb: &str, kind: &str, name: &str) -> v1::LifecycleDone {
    let subject = Some(v1::Subject { kind: kind.to_owned(), name: name.to_owned() });
    let request = v1::LifecycleRequest { subject, reason: "drill".to_owned() };
    let mut governance = sidecar.governance().await;
    let answered = match verb {
        "suspend" => governance.suspend(request).await,
        _ => governance.resume(request).await,
    };
    match answered.unwrap().into_inner().result {
        Some(Acted::Done(done)) => done,
        other @ (Some(Acted::Denied(_)) | None) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_versions_of_x402_are_paid() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;

    let v2 = signed(signer.sign_payment(request("v2", "1000")).await);
    let payload = verify(&v2, "1000", PAYEE);
    assert_eq!((v2.header_name.as_str(), v2.offer_index), ("PAYMENT-SIGNATURE", 0));
    assert_eq!(payload["x402Version"], 2);
    assert_eq!(payload["accepted"], Offer::of("1000").entry_v2(), "the chosen entry is echoed");
    assert_eq!(payload["resource"]["url"], URL);
    assert_eq!(payload["extensions"], json!({ "note": { "kept": "as it is" } }));

    let body = challenge_v1(URL, &[Offer::of("2000")]);
    let ask = v1::SignPaymentRequest { challenge: Some(Challenge::Body(body)), ..request("v1", "1") };
    let v1 = signed(signer.sign_payment(ask).await);
    let payload = verify(&v1, "2000", PAYEE);
    assert_eq!(v1.header_name, "X-PAYMENT");
    assert_eq!(
        (&payload["x402Version"], &payload["scheme"], &payload["network"]),
        (&json!(1), &json!("exact"), &json!("base-sepolia"))
    );
    assert_eq!(payload.as_object().unwrap().len(), 4, "a v1 payload has nothing else");
}

#[tokio::test]
async fn the_same_id_gets_the_same_bytes_also_after_a_crash() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let first = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let again = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert_eq!(first, again);
    sidecar.kill();
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    assert_eq!(first, signed(signer.sign_payment(request("a", "1000")).await));
    assert_eq!(denied(signer.sign_payment(request("a", "1001")).await).code, "REQUEST_ID_REUSED");
    let other = signed(signer.sign_payment(request("b", "1000")).await);
    assert_ne!(first.payload, other.payload, "another id is another payment");
}

#[tokio::test]
async fn a_crash_forgets_nothing_that_was_spent() {
    let purse = Purse::init();
    purse.replace(
        "policies/registry.yaml",
        r#"ceilings: { usd: { day: "2" } }"#,
        r#"ceilings: { usd: { day: "0.0025" } }"#,
    );
    for (id, fits) in [("a", true), ("b", true), ("c", false)] {
        let sidecar = purse.serve();
        let answered = sidecar.signer().await.sign_payment(request(id, "1000")).await;
        if fits {
            let _ = verify(&signed(answered), "1000", PAYEE);
        } else {
            let denied = denied(answered);
            assert_eq!(denied.code, "CEILING_EXCEEDED");
            assert_eq!(denied.policies[0].id, "ceilings.agent.usd.day");
        }
        sidecar.kill();
    }
}

#[tokio::test]
async fn a_preview_binds_nothing() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let before = signer.get_budget(v1::GetBudgetRequest {}).await.unwrap().into_inner();
    let previewed = signer.preview(request("a", "50000")).await.unwrap().into_inner().result;
    let Some(Previewed::WouldSign(would)) = previewed else { panic!("{previewed:?}") };
    assert_eq!((would.usd.as_str(), would.offer_index), ("0.05", 0));
    assert_eq!(before, signer.get_budget(v1::GetBudgetRequest {}).await.unwrap().into_inner());
    let previewed = signer.preview(request("a", "50001")).await.unwrap().into_inner().result;
    let Some(Previewed::Denied(denied)) = previewed else { panic!("{previewed:?}") };
    assert_eq!(denied.code, "CEILING_EXCEEDED");

    let paid = signed(signer.sign_payment(request("a", "50000")).await);
    assert_eq!(paid.wallet_address, would.wallet_address);
    let after = signer.get_budget(v1::GetBudgetRequest {}).await.unwrap().into_inner().budgets;
    let day = after.iter().find(|budget| budget.scope == "agent" && budget.window == "day").unwrap();
    assert_eq!((day.limit.as_str(), day.held.as_str(), day.free.as_str()), ("2.00", "0.05", "1.95"));
}

#[tokio::test]
async fn a_denial_says_what_why_and_where_it_is_recorded() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let other = Offer { scheme: "deferred".to_owned(), ..Offer::default() };
    let offers = challenge_v2(Some(URL), &[other, Offer::of("60000")]);
    let ask =
        v1::SignPaymentRequest { challenge: Some(Challenge::PaymentRequired(offers)), ..request("a", "1") };
    let denied = denied(signer.sign_payment(ask).await);
    assert_eq!(denied.code, "CEILING_EXCEEDED");
    assert!(denied.message.contains("ceiling"), "{}", denied.message);
    assert_eq!(denied.policies[0].id, "ceilings.workflow.usd.payment");
    let codes: Vec<_> = denied.offers.iter().map(|offer| (offer.index, offer.code.as_str())).collect();
    assert_eq!(codes, [(0, "SCHEME_UNSUPPORTED"), (1, "CEILING_EXCEEDED")]);

    let ask = v1::GetDecisionRequest { decision_id: denied.decision_id.clone() };
    let recorded = signer.get_decision(ask).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((recorded.decision_id, recorded.code), (denied.decision_id, denied.code));
    assert_eq!((recorded.verdict.as_str(), recorded.request_id.as_str()), ("deny", "a"));
    assert_eq!((recorded.usd.as_str(), recorded.payee.as_str()), ("0.06", PAYEE));
}

#[tokio::test]
async fn an_agent_sees_its_own_decisions_only() {
    let purse = Purse::init();
    let uid = rustix::process::geteuid().as_raw();
    let sidecar = purse.serve();
    let id = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await).decision_id;
    sidecar.kill();
    // Now this user is another agent.
    let (own, other) = (
        format!("    uids: [{uid}]\n    workflows: [market-research]"),
        "    uids: [65000]\n    workflows: [market-research]",
    );
    purse.replace("policies/registry.yaml", &own, other);
    purse.replace("policies/registry.yaml", "agents:\n", &format!("agents:\n  rival:\n{own}\n"));
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    for decision_id in [id, "00000000-1".to_owned(), "nonsense".to_owned()] {
        let refused = signer.get_decision(v1::GetDecisionRequest { decision_id }).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "DECISION_UNKNOWN"));
    }
}

#[tokio::test]
async fn the_agents_socket_does_not_govern_and_the_operators_does_not_pay() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let agents = pursekeeper_api::connect(sidecar.socket("agent")).await.unwrap();
    let operators = pursekeeper_api::connect(sidecar.socket("operator")).await.unwrap();
    let mut governance = Governance::new(agents.clone());
    let refused = [
        governance.status(v1::StatusRequest {}).await.unwrap_err(),
        governance.suspend(v1::LifecycleRequest::default()).await.unwrap_err(),
        Audit::new(agents)
            .watch(v1::WatchRequest { from_seq: 1, until_now: true, ..Default::default() })
            .await
            .unwrap_err(),
        Signer::new(operators).sign_payment(request("a", "1000")).await.unwrap_err(),
    ];
    assert_eq!(refused.map(|status| status.code()), [Code::Unimplemented; 4]);
}

#[tokio::test]
async fn a_stop_holds_until_it_is_resumed_also_across_a_crash() {
    let purse = Purse::init();
    purse.replace("policies/registry.yaml", "teams: [treasury] }", "teams: [treasury, research] }");
    let mut sidecar = purse.serve();
    let subjects = [
        ("wallet", "research-hot"),
        ("workflow", "market-research"),
        ("agent", "crawler"),
        ("service", "weather"),
    ];
    for (kind, name) in subjects {
        let (before, fresh) = (format!("{kind}-before"), format!("{kind}-fresh"));
        let paid = signed(sidecar.signer().await.sign_payment(request(&before, "1000")).await);
        let done = act(&sidecar, "suspend", kind, name).await;
        assert_eq!((done.status.as_str(), done.durable), ("suspended", true));
        for _ in 0..2 {
            let mut signer = sidecar.signer().await;
            for id in [&before, &fresh] {
                assert_eq!(
                    denied(signer.sign_payment(request(id, "1000")).await).code,
                    "NOT_ACTIVE",
                    "{kind}: {id}"
                );
            }
            sidecar.kill();
            sidecar = purse.serve();
        }
        assert_eq!(act(&sidecar, "resume", kind, name).await.status, "active");
        let mut signer = sidecar.signer().await;
        assert_eq!(paid, signed(signer.sign_payment(request(&before, "1000")).await));
        let _ = signed(signer.sign_payment(request(&fresh, "1000")).await);
    }
}

#[tokio::test]
async fn an_act_needs_a_subject_and_a_reason() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let long = "x".repeat(513);
    let table = [
        ("wallet", "research-hot", "", Code::InvalidArgument, "MALFORMED_REASON"),
        ("wallet", "research-hot", long.as_str(), Code::InvalidArgument, "MALFORMED_REASON"),
        ("planet", "research-hot", "drill", Code::InvalidArgument, "MALFORMED_SUBJECT"),
        ("wallet", "Research Hot", "drill", Code::InvalidArgument, "MALFORMED_SUBJECT"),
        ("wallet", "nothing", "drill", Code::NotFound, "SUBJECT_UNKNOWN"),
    ];
    for (kind, name, why, code, expected) in table {
        let subject = Some(v1::Subject { kind: kind.to_owned(), name: name.to_owned() });
        let request = v1::LifecycleRequest { subject, reason: why.to_owned() };
        let refused = sidecar.governance().await.suspend(request).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, expected), "{kind} {name}");
    }
}

/// The canonical records of one kind.
fn records_of(purse: &Purse, kind: &str) -> Vec<serde_json::Value> {
    let text = purse.exits(0, &["audit", "export"]);
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    records.map(|line| line["record"].clone()).filter(|record| record["kind"] == kind).collect()
}

#[tokio::test]
async fn the_audit_stream_has_no_gaps_while_payments_go_on() {
    const PAYMENTS: u64 = 60;
    let purse = Purse::init();
    let sidecar = purse.serve();
    let mut stream = sidecar
        .audit()
        .await
        .watch(v1::WatchRequest { from_seq: 1, until_now: false, ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let mut payers = Vec::new();
    for payer in 0..4 {
        let mut signer = sidecar.signer().await;
        payers.push(tokio::spawn(async move {
            for at in 0..PAYMENTS / 4 {
                let _ = signed(signer.sign_payment(request(&format!("{payer}-{at}"), "1000")).await);
            }
        }));
    }
    let (mut ids, mut last, mut kinds) = (BTreeSet::new(), 0, BTreeMap::<String, u64>::new());
    while kinds.get("payment").copied().unwrap_or_default() < PAYMENTS {
        let decision = stream.message().await.unwrap().unwrap().decision.unwrap();
        last += 1;
        assert_eq!(decision.seq, last);
        *kinds.entry(decision.kind.clone()).or_default() += 1;
        assert!(decision.kind != "payment" || ids.insert(decision.request_id), "each payment once");
    }
    assert_eq!((kinds["genesis"], kinds["transition"]), (1, 1));
    for payer in payers {
        payer.await.unwrap();
    }
    let mut rest = sidecar
        .audit()
        .await
        .watch(v1::WatchRequest { from_seq: last - 1, until_now: true, ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let mut seqs = Vec::new();
    while let Some(response) = rest.message().await.unwrap() {
        seqs.push(response.decision.unwrap().seq);
    }
    // What was signed last may be noted by now.
    assert!(
        seqs == [last - 1, last] || seqs == [last - 1, last, last + 1],
        "until_now ends the stream: {seqs:?}"
    );
    assert!(sidecar.stop().success());
    let hashes: usize = records_of(&purse, "signature")
        .iter()
        .map(|record| record["signatures"].as_array().unwrap().len())
        .sum();
    assert_eq!(hashes as u64, PAYMENTS, "the hash of each signature is recorded, once");
    let _ = purse.exits(0, &["audit", "verify"]);
}

#[tokio::test]
async fn a_malformed_request_is_a_fault_with_a_reason() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let honest = || request("a", "1000");
    let with_402 = |challenge: Option<Challenge>| v1::SignPaymentRequest { challenge, ..honest() };
    let with_url = |method: &str, url: &str| {
        let endpoint = Some(v1::Endpoint { method: method.to_owned(), url: url.to_owned() });
        v1::SignPaymentRequest { endpoint, ..honest() }
    };
    let header = |text: &str| with_402(Some(Challenge::PaymentRequired(text.as_bytes().to_vec())));
    let body = |text: &str| with_402(Some(Challenge::Body(text.as_bytes().to_vec())));
    let table = [
        (v1::SignPaymentRequest { request_id: String::new(), ..honest() }, "MALFORMED_REQUEST_ID"),
        (v1::SignPaymentRequest { request_id: "a b".to_owned(), ..honest() }, "MALFORMED_REQUEST_ID"),
        (v1::SignPaymentRequest { request_id: "x".repeat(129), ..honest() }, "MALFORMED_REQUEST_ID"),
        (v1::SignPaymentRequest { endpoint: None, ..honest() }, "MALFORMED_ENDPOINT"),
        (with_url("get", URL), "MALFORMED_ENDPOINT"),
        (with_url("GET", "/v1/report"), "MALFORMED_ENDPOINT"),
        (with_url("GET", "http://api.example.com/v1/report"), "MALFORMED_ENDPOINT"),
        (with_url("GET", "https://me:secret@api.example.com/"), "MALFORMED_ENDPOINT"),
        (with_url("GET", &format!("https://api.example.com/{}", "x".repeat(2048))), "MALFORMED_ENDPOINT"),
        (v1::SignPaymentRequest { workflow: Some("A B".to_owned()), ..honest() }, "MALFORMED_WORKFLOW"),
        (v1::SignPaymentRequest { wallet: Some(String::new()), ..honest() }, "MALFORMED_WALLET"),
        (
            v1::SignPaymentRequest { labels: [("k".to_owned(), "v".repeat(129))].into(), ..honest() },
            "MALFORMED_LABELS",
        ),
        (
            v1::SignPaymentRequest {
                labels: (0..17).map(|n| (n.to_string(), String::new())).collect(),
                ..honest()
            },
            "MALFORMED_LABELS",
        ),
        (with_402(None), "MALFORMED_402"),
        (header(""), "MALFORMED_402"),
        (header("not base64!"), "MALFORMED_402"),
        (header("e30="), "MALFORMED_402"),
        (body(""), "MALFORMED_402"),
        (body("[]"), "MALFORMED_402"),
        (body(r#"{"x402Version":2,"accepts":[]}"#), "MALFORMED_402"),
        (body(&"[".repeat(100)), "MALFORMED_402"),
        (body(&" ".repeat(64 * 1024 + 1)), "MALFORMED_402"),
    ];
    for (ask, expected) in table {
        let refused = signer.sign_payment(ask.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, expected), "{ask:?}");
        assert!(!refused.message().contains("secret"), "{}", refused.message());
    }
    let status = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.seq, 2, "what is malformed is not judged: the genesis and the bundle");
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_not_read() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let body = Challenge::Body(vec![b' '; 256 * 1024 + 1]);
    let ask = v1::SignPaymentRequest { challenge: Some(body), ..request("a", "1000") };
    let refused = sidecar.signer().await.sign_payment(ask).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
}

#[tokio::test]
async fn who_the_registry_does_not_know_is_nobody() {
    let purse = Purse::init();
    let own = format!("uids: [{}]", rustix::process::geteuid().as_raw());
    purse.replace(
        "policies/registry.yaml",
        &format!("    {own}\n    workflows"),
        "    uids: [65000]\n    workflows",
    );
    let sidecar = purse.serve();
    let refused = sidecar.signer().await.sign_payment(request("a", "1000")).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "UID_UNMAPPED"));
    drop(sidecar);
    purse.replace("policies/registry.yaml", &format!("alice: {{ {own}"), "alice: { uids: [65001]");
    let sidecar = purse.serve();
    let refused = sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "UID_UNMAPPED"));
    let watch = v1::WatchRequest { from_seq: 1, until_now: true, ..Default::default() };
    assert_eq!(sidecar.audit().await.watch(watch).await.unwrap_err().code(), Code::PermissionDenied);
}

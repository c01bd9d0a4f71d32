//! What agents report and operators release, over the real binary's sockets and its command line.

use pursekeeper_api::v1::report_outcome_request::Outcome;
use pursekeeper_api::{Signer, v1};
use pursekeeper_tests::{Purse, denied, reason, request, signed};
use tonic::Code;

/// base64 of `{"success":true,"transaction":"0xab","network":"eip155:84532"}`
const SETTLED: &str = "eyJzdWNjZXNzIjp0cnVlLCJ0cmFuc2FjdGlvbiI6IjB4YWIiLCJuZXR3b3JrIjoiZWlwMTU1Ojg0NTMyIn0=";

async fn report(signer: &mut Signer, decision_id: &str, outcome: Outcome) -> Result<(), (Code, String)> {
    let decision_id = decision_id.to_owned();
    let request = v1::ReportOutcomeRequest { decision_id, outcome: Some(outcome), remaining_usd: None };
    let answered = signer.report_outcome(request).await;
    answered.map(drop).map_err(|status| (status.code(), reason(&status)))
}

#[tokio::test]
async fn a_report_is_kept_beside_the_hold_and_frees_nothing() {
    let purse = Purse::init();
    purse.replace("policies/registry.yaml", "usd: { day: \"2\" }", "usd: { day: \"0.001\" }");
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let paid = signed(signer.sign_payment(request("a", "1000")).await);
    let header = || Outcome::PaymentResponse(SETTLED.as_bytes().to_vec());
    let failed = || Outcome::Error("504 from the seller".to_owned());
    // Two that contradict each other are both kept.
    assert_eq!(report(&mut signer, &paid.decision_id, failed()).await, Ok(()));
    assert_eq!(report(&mut signer, &paid.decision_id, header()).await, Ok(()));
    assert_eq!(denied(signer.sign_payment(request("b", "1")).await).code, "CEILING_EXCEEDED");

    let unknown = Err((Code::NotFound, "DECISION_UNKNOWN".to_owned()));
    let malformed = Err((Code::InvalidArgument, "MALFORMED_SETTLEMENT".to_owned()));
    let refused = denied(signer.sign_payment(request("c", "1")).await).decision_id;
    for id in ["", "nonsense", "00000000-2", refused.as_str()] {
        assert_eq!(report(&mut signer, id, header()).await, unknown, "{id}");
    }
    for outcome in [Outcome::PaymentResponse(b"{}".to_vec()), Outcome::Error("  ".to_owned())] {
        assert_eq!(report(&mut signer, &paid.decision_id, outcome).await, malformed);
    }
    for _ in 2..8 {
        assert_eq!(report(&mut signer, &paid.decision_id, failed()).await, Ok(()));
    }
    let exhausted = Err((Code::ResourceExhausted, "CLAIMS_EXHAUSTED".to_owned()));
    assert_eq!(report(&mut signer, &paid.decision_id, failed()).await, exhausted);

    let listed: serde_json::Value =
        serde_json::from_str(&purse.exits(0, &["hold", "list", "--output", "json"])).unwrap();
    let hold = &listed[0];
    assert_eq!((&hold["state"], &hold["usd"]), (&"held".into(), &"0.001".into()));
    assert_eq!(
        hold["claims"][0],
        serde_json::json!({ "outcome": "failed", "detail": "504 from the seller" })
    );
    assert_eq!(hold["claims"][1], serde_json::json!({ "outcome": "settled", "detail": "0xab" }));
    assert!(purse.exits(0, &["hold", "list"]).contains("settled 0xab"));
    assert!(purse.exits(0, &["hold", "list", "--state", "released"]).lines().count() <= 1);
    let _ = purse.exits(0, &["audit", "verify"]);
}

#[tokio::test]
async fn a_dead_signature_is_released_by_its_owner_and_not_before() {
    let purse = Purse::init();
    purse.replace("pursekeeper.yaml", "validity_secs_max: 300", "validity_secs_max: 1");
    purse.replace("pursekeeper.yaml", "skew_secs: 60 ", "skew_secs: 0 ");
    purse.replace("policies/registry.yaml", "usd: { day: \"2\" }", "usd: { day: \"0.001\" }");
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let paid = signed(signer.sign_payment(request("a", "1000")).await);
    let release =
        |id: &str, code| purse.exits(code, &["hold", "release", id, "--reason", "not on chain in block 7"]);
    assert!(release(&paid.decision_id, 3).contains("HOLD_ALIVE"));
    let _ = release("00000000-1", 1);
    assert_eq!(denied(signer.sign_payment(request("b", "1000")).await).code, "CEILING_EXCEEDED");
    // It is dead from the second after the one it ends in.
    let released = loop {
        let said = purse.run(&["hold", "release", &paid.decision_id, "--reason", "not on chain in block 7"]);
        if said.status.success() {
            break String::from_utf8(said.stdout).unwrap();
        }
        assert!(String::from_utf8(said.stderr).unwrap().contains("HOLD_ALIVE"));
    };
    assert!(released.contains("is free"), "{released}");
    assert_eq!(denied(signer.sign_payment(request("a", "1000")).await).code, "REQUEST_EXPIRED");
    assert!(release(&paid.decision_id, 3).contains("HOLD_UNKNOWN"));
    let _ = signed(signer.sign_payment(request("b", "1000")).await);
    let trail = purse.exits(0, &["audit", "tail"]);
    assert!(trail.contains("not on chain in block 7"), "{trail}");
    let budgets = purse.exits(0, &["budget", "show"]);
    assert!(budgets.contains("$0.001"), "{budgets}");
    let _ = purse.exits(0, &["audit", "verify"]);
}

#[tokio::test]
async fn a_limit_that_is_near_is_said_with_the_payment() {
    let purse = Purse::init();
    let (from, to) = ("usd: { day: \"2\" }", "warn_at: 50%, usd: { day: \"0.002\" }");
    purse.replace("policies/registry.yaml", from, to);
    let sidecar = purse.serve();
    let mut signer = sidecar.signer().await;
    let first = signed(signer.sign_payment(request("a", "999")).await);
    let second = signed(signer.sign_payment(request("b", "1")).await);
    assert_eq!(first.warnings, Vec::<String>::new());
    assert_eq!(second.warnings, ["0.001 of 0.002 usd per day are used by agent `crawler`"]);
    assert!(sidecar.log().contains("a limit is near"), "{}", sidecar.log());
    assert!(purse.exits(0, &["audit", "tail"]).contains("(near: 0.001 of 0.002"));
}

//! A prepaid service over the real binary's sockets: top up, sign in, say what is left, be stopped, top up again.

use pursekeeper_api::v1;
use pursekeeper_api::v1::report_outcome_request::Outcome;
use pursekeeper_api::v1::sign_in_request::Challenge as SignInChallenge;
use pursekeeper_api::v1::sign_in_response::Result as SignInAnswer;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_tests::{Offer, Purse, Sidecar, challenge_v2, denied, reason, signed};
use serde_json::{Value, json};
use tonic::Code;

const TOP_UP: &str = "https://api.venice.ai/api/v1/x402/top-up";
const INFERENCE: &str = "https://api.venice.ai/api/v1/chat/completions";

/// A purse for a Venice that takes cents.
fn venice() -> Purse {
    let purse = Purse::init();
    let registry = "policies/registry.yaml";
    purse.replace(registry, "https://api.example.com", "https://api.venice.ai");
    purse.replace(registry, "methods: [GET]", "methods: [GET, POST]");
    let paths = "paths: [\"/v1/**\"]";
    let prepaid = "paths: [\"/api/v1/**\"]\n    prepaid: { top_up: [\"/api/v1/x402/top-up\"] }";
    purse.replace(registry, paths, prepaid);
    let networks = "networks: [\"eip155:84532\"]";
    purse.replace(registry, networks, "networks: [\"eip155:84532\", \"eip155:8453\"]");
    purse
}

fn payment(id: &str, url: &str, amount: &str) -> v1::SignPaymentRequest {
    v1::SignPaymentRequest {
        request_id: id.to_owned(),
        challenge: Some(Challenge::PaymentRequired(challenge_v2(Some(url), &[Offer::of(amount)]))),
        endpoint: Some(v1::Endpoint { method: "POST".to_owned(), url: url.to_owned() }),
        ..Default::default()
    }
}

async fn sign_in(sidecar: &Sidecar, id: &str) -> Result<v1::SignedIn, v1::Denied> {
    let request = v1::SignInRequest {
        request_id: id.to_owned(),
        challenge: Some(SignInChallenge::Venice(v1::VeniceSignIn {})),
        endpoint: Some(v1::Endpoint { method: "POST".to_owned(), url: INFERENCE.to_owned() }),
        ..Default::default()
    };
    match sidecar.signer().await.sign_in(request).await.unwrap().into_inner().result.unwrap() {
        SignInAnswer::SignedIn(signed) => Ok(signed),
        SignInAnswer::Denied(denied) => Err(denied),
    }
}

async fn report(
    sidecar: &Sidecar,
    decision_id: &str,
    outcome: Option<Outcome>,
    remaining_usd: Option<&str>,
) -> Result<(), (Code, String)> {
    let (decision_id, remaining_usd) = (decision_id.to_owned(), remaining_usd.map(str::to_owned));
    let request = v1::ReportOutcomeRequest { decision_id, outcome, remaining_usd };
    let answered = sidecar.signer().await.report_outcome(request).await;
    answered.map(drop).map_err(|status| (status.code(), reason(&status)))
}

async fn credit(sidecar: &Sidecar) -> v1::PrepaidCredit {
    let budget = sidecar.signer().await.get_budget(v1::GetBudgetRequest {}).await.unwrap().into_inner();
    let [credit] = budget.prepaid.as_slice() else { panic!("{:?}", budget.prepaid) };
    credit.clone()
}

#[tokio::test]
async fn credit_is_topped_up_spent_reported_and_topped_up_again() {
    let purse = venice();
    let example = "prepaid-low.cedar";
    std::fs::copy(purse.file(&format!("examples/{example}")), purse.file(&format!("policies/{example}")))
        .unwrap();
    let sidecar = purse.serve();
    let none = credit(&sidecar).await;
    assert_eq!((none.topped_up.as_str(), none.claimed.as_ref(), none.sign_ins), ("0.00", None, 0));

    // The 402 of a call is no invitation to pay.
    let mut signer = sidecar.signer().await;
    let refused = denied(signer.sign_payment(payment("a", INFERENCE, "10000")).await);
    assert_eq!(refused.code, "NOT_A_TOP_UP");
    assert!(refused.message.contains("sign in for this call"), "{}", refused.message);
    assert_eq!(refused.policies[0].id, "scope.top-up");

    let paid = signed(signer.sign_payment(payment("b", TOP_UP, "50000")).await);
    let grown = credit(&sidecar).await;
    assert_eq!((grown.service.as_str(), grown.topped_up.as_str()), ("weather", "0.05"));

    let first = sign_in(&sidecar, "c").await.unwrap();
    assert_eq!(credit(&sidecar).await.sign_ins, 1);
    assert_eq!(report(&sidecar, &first.decision_id, None, Some("1.25")).await, Ok(()));
    let second = sign_in(&sidecar, "d").await.unwrap();
    assert_eq!(report(&sidecar, &second.decision_id, None, Some("0.75")).await, Ok(()));
    let low = credit(&sidecar).await;
    let claimed = low.claimed.clone().unwrap();
    assert_eq!((claimed.usd.as_str(), low.sign_ins), ("0.75", 0));
    assert_ne!(claimed.at, 0);

    // The shipped example stops there, also after a crash, and says how to go on.
    sidecar.kill();
    let sidecar = purse.serve();
    assert_eq!(credit(&sidecar).await, low);
    let stopped = sign_in(&sidecar, "e").await.unwrap_err();
    assert_eq!((stopped.code.as_str(), stopped.policies[0].id.as_str()), ("POLICY_DENIED", "prepaid.low"));
    assert!(stopped.message.contains("top up"), "{}", stopped.message);
    let mut signer = sidecar.signer().await;
    let again = signed(signer.sign_payment(payment("f", TOP_UP, "50000")).await);
    let timed_out = Some(Outcome::Error("504 SETTLEMENT_TIMEOUT".to_owned()));
    assert_eq!(report(&sidecar, &again.decision_id, timed_out, Some("5.75")).await, Ok(()));
    let _ = sign_in(&sidecar, "g").await.unwrap();
    let (now, shown) = (credit(&sidecar).await, purse.exits(0, &["budget", "show"]));
    assert_eq!((now.topped_up.as_str(), now.sign_ins), ("0.10", 1));
    for what in ["TOPPED UP", "$0.10", "$5.75", "s ago", "what an agent last said"] {
        assert!(shown.contains(what), "`{what}` is not in {shown}");
    }
    let listed: Value =
        serde_json::from_str(&purse.exits(0, &["budget", "show", "--output", "json"])).unwrap();
    let row = listed.as_array().unwrap().iter().find(|row| row["scope"] == "prepaid").unwrap();
    assert_eq!((&row["topped_up"], &row["claimed"]["usd"]), (&json!("0.10"), &json!("5.75")));
    assert_eq!(row["wallet"], "research-hot");

    // A claim is a record of its own, and listed beside the hold.
    let trail = purse.exits(0, &["audit", "tail"]);
    assert!(trail.contains("claims: $0.75 of prepaid credit were left"), "{trail}");
    assert!(trail.contains("failed: 504 SETTLEMENT_TIMEOUT; $5.75 of prepaid credit"), "{trail}");
    let holds = purse.exits(0, &["hold", "list"]);
    assert!(holds.contains("remaining 5.75") && holds.contains(&paid.decision_id), "{holds}");
    let _ = purse.exits(0, &["audit", "verify"]);
}

#[tokio::test]
async fn what_cannot_be_claimed_is_refused_with_what_to_do() {
    let purse = venice();
    let sidecar = purse.serve();
    let paid = signed(sidecar.signer().await.sign_payment(payment("a", TOP_UP, "50000")).await).decision_id;
    let entered = sign_in(&sidecar, "b").await.unwrap().decision_id;
    let fault = |code, reason: &str| Err((code, reason.to_owned()));
    for text in
        ["", "-1", "$3", "3,5", "1e3", "03", "NaN", "0.1234567890123", "1000000000.01", &"9".repeat(99)]
    {
        let malformed = fault(Code::InvalidArgument, "MALFORMED_REMAINING");
        assert_eq!(report(&sidecar, &entered, None, Some(text)).await, malformed, "{text:?}");
        assert_eq!(report(&sidecar, &paid, None, Some(text)).await, malformed, "{text:?}");
    }
    let failed = || Some(Outcome::Error("504".to_owned()));
    let not_a_payment = fault(Code::InvalidArgument, "NOT_A_PAYMENT");
    assert_eq!(report(&sidecar, &entered, failed(), None).await, not_a_payment);
    assert_eq!(report(&sidecar, &entered, failed(), Some("1")).await, not_a_payment);
    let neither = fault(Code::InvalidArgument, "MALFORMED_SETTLEMENT");
    assert_eq!(report(&sidecar, &entered, None, None).await, neither);
    let unknown = fault(Code::NotFound, "DECISION_UNKNOWN");
    for id in ["", "00000000-3", "nonsense"] {
        assert_eq!(report(&sidecar, id, None, Some("1")).await, unknown, "{id}");
    }
    assert_eq!(credit(&sidecar).await.claimed, None);
    assert_eq!(report(&sidecar, &entered, None, Some("1")).await, Ok(()));
    let exhausted = fault(Code::ResourceExhausted, "CLAIMS_EXHAUSTED");
    assert_eq!(report(&sidecar, &entered, None, Some("2")).await, exhausted);
    assert_eq!(credit(&sidecar).await.claimed.unwrap().usd, "1.00");
    let later = sign_in(&sidecar, "c").await.unwrap().decision_id;

    // The same user as another agent: of crawler's decisions it may say nothing.
    assert!(sidecar.stop().success());
    let registry = "policies/registry.yaml";
    let text = std::fs::read_to_string(purse.file(registry)).unwrap();
    let crawler = text.split("  crawler:\n    ").nth(1).unwrap().lines().next().unwrap();
    let others =
        "  writer: { uids: [4294967], workflows: [market-research] }".replace("uids: [4294967]", crawler);
    let swapped = format!("{others}\n  crawler:\n    uids: [4294967]\n    ");
    purse.replace(registry, &format!("  crawler:\n    {crawler}\n    "), &swapped);
    let sidecar = purse.serve();
    assert_eq!(report(&sidecar, &later, None, Some("1000")).await, unknown);
    assert_eq!(report(&sidecar, &paid, None, Some("1000")).await, unknown);
    // The wallet is its wallet too.
    assert_eq!(credit(&sidecar).await.claimed.unwrap().usd, "1.00");
    assert!(sidecar.stop().success());

    // A service that is not prepaid has no credit.
    purse.replace(registry, "    prepaid: { top_up: [\"/api/v1/x402/top-up\"] }\n", "");
    let sidecar = purse.serve();
    let entered = sign_in(&sidecar, "d").await.unwrap().decision_id;
    let not_prepaid = fault(Code::FailedPrecondition, "NOT_PREPAID");
    assert_eq!(report(&sidecar, &entered, None, Some("1")).await, not_prepaid);
    let budget = sidecar.signer().await.get_budget(v1::GetBudgetRequest {}).await.unwrap().into_inner();
    assert_eq!(budget.prepaid, []);
    assert!(!purse.exits(0, &["budget", "show"]).contains("TOPPED UP"));
    let _ = purse.exits(0, &["audit", "verify"]);
}

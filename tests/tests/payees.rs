//! A payee that nobody listed, from the refusal to the payment, over the real binary's sockets and its command line.

use pursekeeper_api::v1;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_tests::{
    Offer, PAYEE, Purse, Sidecar, URL, challenge_v2, denied, reason, request, signed, verify,
};
use serde_json::Value;
use tonic::Code;

const OTHER: &str = "0x7100000000000000000000000000000000000001";
const WHY: [&str; 2] = ["--reason", "it is on their pricing page"];

/// A purse whose service leaves payees to the operators. Whoever runs this is `alice` of `treasury`; the workflow that uses
/// the service belongs to `research`.
fn open_purse() -> Purse {
    let purse = Purse::init();
    let listed = format!("    payees: [\"{PAYEE}\"]\n");
    purse.replace("policies/registry.yaml", &listed, "    payees: { first_use: pending }\n");
    purse
}

/// Makes `alice` one of the owners of the workflow.
fn promote(purse: &Purse) {
    let (from, to) = ("teams: [treasury] }", "teams: [treasury, research] }");
    purse.replace("policies/registry.yaml", from, to);
}

fn request_to(payee: &str, id: &str) -> v1::SignPaymentRequest {
    let offer = Offer { payee: payee.to_owned(), ..Offer::of("1000") };
    let challenge = Some(Challenge::PaymentRequired(challenge_v2(Some(URL), &[offer])));
    v1::SignPaymentRequest { challenge, ..request(id, "1000") }
}

async fn refused(sidecar: &Sidecar, payee: &str, id: &str) -> v1::Denied {
    let denied = denied(sidecar.signer().await.sign_payment(request_to(payee, id)).await);
    assert_eq!(denied.code, "PAYEE_UNACCEPTED");
    assert!(denied.message.contains("pursekeeper payee accept"), "{}", denied.message);
    denied
}

/// What `payee list` says in JSON, as service, payee and state.
fn listed(purse: &Purse, args: &[&str]) -> (Vec<[String; 3]>, Value) {
    let args = [&["payee", "list", "--output", "json"], args].concat();
    let all: Value = serde_json::from_str(&purse.exits(0, &args)).unwrap();
    let text = |payee: &Value, field: &str| payee[field].as_str().unwrap().to_owned();
    let rows = all.as_array().unwrap().iter();
    let rows = rows.map(|payee| ["service", "payee", "state"].map(|field| text(payee, field)));
    (rows.collect(), all)
}

fn row(payee: &str, state: &str) -> [String; 3] {
    ["weather", payee, state].map(str::to_owned)
}

fn accept(purse: &Purse, code: i32, payee: &str) -> String {
    purse.exits(code, &[&["payee", "accept", "weather", payee], &WHY[..]].concat())
}

#[tokio::test]
async fn a_payee_is_paid_once_the_right_operator_accepts_it() {
    let purse = open_purse();
    let sidecar = purse.serve();
    assert_eq!(listed(&purse, &[]).0, Vec::<[String; 3]>::new());
    let first = refused(&sidecar, PAYEE, "a").await;
    let _ = refused(&sidecar, PAYEE, "b").await;
    let (rows, all) = listed(&purse, &[]);
    assert_eq!(rows, [row(PAYEE, "pending")]);
    let refusal = &all[0]["refusal"];
    let told = ["decision_id", "agent", "workflow", "network", "usd"].map(|field| refusal[field].as_str());
    let expected = [&first.decision_id, "crawler", "market-research", "eip155:84532", "0.001"];
    assert_eq!(told, expected.map(Some), "the first refusal is shown");
    assert_eq!((&refusal["endpoint"]["url"], &all[0]["acceptance"]), (&URL.into(), &Value::Null));
    assert!(refusal["time_unix_ms"].as_u64().is_some_and(|at| at > 0));

    // It takes an owner of a workflow that uses the service, and a payee that waits.
    assert!(accept(&purse, 3, PAYEE).contains("OPERATOR_NOT_ALLOWED"));
    let _ = refused(&sidecar, PAYEE, "c").await;
    promote(&purse);
    assert!(sidecar.stop().success());
    let sidecar = purse.serve();
    assert_eq!(listed(&purse, &[]).0, [row(PAYEE, "pending")], "it outlives the process");
    assert!(accept(&purse, 3, OTHER).contains("PAYEE_UNKNOWN"));
    let _ = refused(&sidecar, PAYEE, "c").await;
    let done = accept(&purse, 0, PAYEE);
    assert!(done.contains("is accepted for service weather (decision"), "{done}");
    let again = accept(&purse, 0, PAYEE);
    assert!(again.contains("is accepted for service weather already: nothing changed"), "{again}");
    let (rows, all) = listed(&purse, &[]);
    assert_eq!(rows, [row(PAYEE, "accepted")]);
    assert_eq!(all[0]["acceptance"]["operator"], "alice");
    assert_eq!(all[0]["acceptance"]["reason"], WHY[1]);
    let paid = signed(sidecar.signer().await.sign_payment(request_to(PAYEE, "a")).await);
    let _ = verify(&paid, "1000", PAYEE);

    // A later different one waits likewise, also after a crash.
    let _ = refused(&sidecar, OTHER, "d").await;
    sidecar.kill();
    let sidecar = purse.serve();
    assert_eq!(listed(&purse, &[]).0, [row(OTHER, "pending"), row(PAYEE, "accepted")]);
    assert_eq!(listed(&purse, &["--state", "accepted"]).0, [row(PAYEE, "accepted")]);
    assert_eq!(listed(&purse, &["--service", "elsewhere"]).0, Vec::<[String; 3]>::new());
    let _ = refused(&sidecar, OTHER, "e").await;
    let _ = signed(sidecar.signer().await.sign_payment(request_to(PAYEE, "f")).await);
    let table = purse.exits(0, &["payee", "list"]);
    assert!(table.contains("pending") && table.contains("alice: it is on their pricing page"), "{table}");
    let trail = purse.exits(0, &["audit", "tail"]);
    assert!(trail.contains(&format!("accepted the payee `{PAYEE}` of service `weather`")), "{trail}");
    let _ = purse.exits(0, &["audit", "verify"]);
}

#[tokio::test]
async fn the_registry_has_the_last_word_on_who_is_paid() {
    let purse = open_purse();
    promote(&purse);
    let sidecar = purse.serve();
    let _ = refused(&sidecar, PAYEE, "a").await;
    let _ = refused(&sidecar, OTHER, "b").await;
    let _ = accept(&purse, 0, PAYEE);
    drop(sidecar);
    // Listed by now, or not left to the operators any more.
    let waiting = "payees: { first_use: pending }";
    let with_list = format!("payees: {{ first_use: pending, list: [\"{OTHER}\"] }}");
    purse.replace("policies/registry.yaml", waiting, &with_list);
    let sidecar = purse.serve();
    assert_eq!(listed(&purse, &[]).0, [row(PAYEE, "accepted"), row(OTHER, "listed")]);
    let _ = signed(sidecar.signer().await.sign_payment(request_to(OTHER, "c")).await);
    drop(sidecar);
    purse.replace("policies/registry.yaml", &with_list, &format!("payees: [\"{OTHER}\"]"));
    let sidecar = purse.serve();
    assert_eq!(listed(&purse, &[]).0, Vec::<[String; 3]>::new());
    let _ = refused(&sidecar, PAYEE, "d").await;
    assert!(accept(&purse, 3, PAYEE).contains("PAYEE_UNKNOWN"));
}

#[tokio::test]
async fn what_cannot_be_meant_is_malformed() {
    let purse = open_purse();
    let sidecar = purse.serve();
    let mut governance = sidecar.governance().await;
    let good = v1::AcceptPayeeRequest {
        service: "weather".to_owned(),
        payee: PAYEE.to_owned(),
        reason: "because".to_owned(),
    };
    let misspelt = PAYEE.replace('F', "f");
    let table = [
        (v1::AcceptPayeeRequest { service: "Weather".to_owned(), ..good.clone() }, "MALFORMED_SUBJECT"),
        (v1::AcceptPayeeRequest { payee: "seller".to_owned(), ..good.clone() }, "MALFORMED_PAYEE"),
        (v1::AcceptPayeeRequest { payee: misspelt, ..good.clone() }, "MALFORMED_PAYEE"),
        (v1::AcceptPayeeRequest { reason: " ".to_owned(), ..good }, "MALFORMED_REASON"),
    ];
    for (request, expected) in table {
        let refused = governance.accept_payee(request.clone()).await.unwrap_err();
        let told = (refused.code(), reason(&refused));
        assert_eq!(told, (Code::InvalidArgument, expected.to_owned()), "{request:?}");
    }
    for (service, state, expected) in
        [("Weather", "", "MALFORMED_SUBJECT"), ("", "rejected", "MALFORMED_STATE")]
    {
        let request = v1::ListPayeesRequest { service: service.to_owned(), state: state.to_owned() };
        assert_eq!(reason(&governance.list_payees(request).await.unwrap_err()), expected);
    }
    let _ = purse.exits(2, &["payee", "accept", "weather", PAYEE]);
    assert!(purse.exits(0, &["payee", "accept", "--help"]).contains("Example:"));
}

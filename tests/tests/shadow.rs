//! What the real binary does with a bundle that is asked and never obeyed, and with one that is older than the last.

use std::fs;

use pursekeeper_api::v1;
use pursekeeper_tests::probe::{health_port, probe};
use pursekeeper_tests::{Purse, Sidecar, denied, request, signed, until};
use serde_json::Value;

/// In the registry that `init` writes.
const DAY: &str = "usd: { day: \"2\" }";
/// Nothing is paid under it.
const CLOSED: &str = "usd: { day: \"0.0001\" }";

/// A purse whose shadow bundle is its own, closed, and called revision 8.
fn shadowed() -> Purse {
    let purse = Purse::init();
    fs::create_dir(purse.file("next")).unwrap();
    for entry in fs::read_dir(purse.file("policies")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, purse.file("next").join(path.file_name().unwrap())).unwrap();
    }
    purse.replace("next/registry.yaml", DAY, CLOSED);
    purse.replace("next/registry.yaml", "version: 1\n", "version: 1\nrevision: 8\n");
    purse.replace("pursekeeper.yaml", "\npolicies:", "\nshadow_policies: next\npolicies:");
    purse
}

fn follow(purse: &Purse) {
    purse.replace("pursekeeper.yaml", "watch: false", "watch: true, poll_secs: 3600");
}

fn query(purse: &Purse, args: &[&str]) -> Vec<Value> {
    let args = [&["audit", "query", "--output", "json"], args].concat();
    purse.exits(0, &args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn status(sidecar: &Sidecar) -> v1::StatusResponse {
    sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner()
}

#[tokio::test]
async fn what_the_shadow_would_deny_is_signed_and_told() {
    let purse = shadowed();
    let address = health_port(&purse);
    let sidecar = purse.serve();
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let _ = signed(sidecar.signer().await.sign_payment(request("b", "1000")).await);
    let _ = denied(sidecar.signer().await.sign_payment(request("c", "900000000")).await);

    let told = status(&sidecar).await;
    assert!(told.shadow_digest.len() == 64 && told.shadow_digest != told.bundle_digest);
    assert_eq!((told.shadow_revision, told.bundle_revision), (Some(8), None));
    assert!(purse.exits(0, &["status"]).contains("(revision 8)"));

    let flipped = query(&purse, &["--flip", "denies"]);
    assert_eq!(flipped.len(), 2);
    assert_eq!(flipped[0]["shadow"]["verdict"], "deny");
    assert_eq!(flipped[0]["shadow"]["denial"]["code"], "CEILING_EXCEEDED");
    assert_eq!(flipped[0]["shadow"]["bundle"], told.shadow_digest.as_str());
    assert_eq!(query(&purse, &["--flip", "none"]).len(), 1, "both deny");
    assert_eq!(query(&purse, &["--flip", "permits"]).len(), 0);

    let story = purse.exits(0, &["audit", "explain", &flipped[0]["seq"].to_string()]);
    assert!(
        story.contains("PERMITTED") && story.contains("something else: DENIED, CEILING_EXCEEDED"),
        "{story}"
    );
    assert!(purse.exits(0, &["audit", "tail"]).contains("(shadow denies: CEILING_EXCEEDED)"));
    let stats = purse.exits(0, &["audit", "stats"]);
    assert!(stats.contains("2 would be denied instead ($0.002)"), "{stats}");
    let metrics = probe(address, "/metrics", "").unwrap().body;
    for line in ["flip=\"denies\"} 2", "flip=\"none\"} 1"] {
        assert!(metrics.contains(&format!("pursekeeper_shadow_decisions_total{{{line}")), "{metrics}");
    }
    let _ = purse.exits(0, &["audit", "verify"]);
}

#[tokio::test]
async fn a_shadow_changes_while_the_sidecar_runs_and_a_bad_one_stops_nothing() {
    let purse = shadowed();
    follow(&purse);
    let sidecar = purse.serve();
    let first = status(&sidecar).await.shadow_digest;
    purse.replace("next/registry.yaml", "revision: 8", "revision: eight");
    let warned = |status: &v1::StatusResponse| status.warnings.iter().any(|text| text.contains("shadow"));
    for _ in 0..6_000 {
        if warned(&status(&sidecar).await) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let told = status(&sidecar).await;
    assert!(warned(&told) && told.serving, "{told:?}");
    assert_eq!(told.shadow_digest, first, "the one before is still asked");
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    purse.replace("next/registry.yaml", "revision: eight", "revision: 9");
    until("it is recorded", || query(&purse, &["--kind", "reload"]).len() == 2);
    let words: Vec<Value> =
        query(&purse, &["--kind", "reload"]).into_iter().map(|record| record["reload"].clone()).collect();
    assert_eq!((&words[0]["kind"], &words[0]["result"]), (&"shadow".into(), &"refused".into()));
    assert_eq!((&words[1]["kind"], &words[1]["result"]), (&"shadow".into(), &"applied".into()));
    assert_eq!(status(&sidecar).await.shadow_revision, Some(9));
}

#[tokio::test]
async fn an_operator_who_reloads_reads_the_shadow_too() {
    let purse = shadowed();
    let sidecar = purse.serve();
    purse.replace("next/registry.yaml", "revision: 8", "revision: 10");
    let told = purse.exits(0, &["reload", "--reason", "try the next one"]);
    assert!(told.contains("the shadow bundle is") && told.contains("(revision 10)"), "{told}");
    assert_eq!(status(&sidecar).await.shadow_revision, Some(10));
    purse.replace("next/registry.yaml", "revision: 10", "revision: ten");
    let told = purse.exits(0, &["reload", "--reason", "try the next one"]);
    assert!(told.contains("the shadow bundle is refused"), "{told}");
    assert_eq!(status(&sidecar).await.shadow_revision, Some(10));
}

#[test]
fn a_shadow_that_is_none_is_told_before_anything_starts() {
    let purse = shadowed();
    purse.replace("next/registry.yaml", "revision: 8", "revision: 9007199254740992");
    let checked = purse.exits(1, &["check"]);
    assert!(checked.contains("`shadow_policies`") && checked.contains("registry.yaml:"), "{checked}");
    let (_, log) = purse.try_serve_by(purse.command(&["serve"])).unwrap_err();
    assert!(log.contains("`shadow_policies`"), "{log}");
}

#[tokio::test]
async fn rules_that_are_older_than_the_last_do_not_come_back() {
    let purse = Purse::init();
    purse.replace("policies/registry.yaml", "version: 1\n", "version: 1\nrevision: 12\n");
    let sidecar = purse.serve();
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let record = &query(&purse, &["--kind", "payment"])[0];
    assert_eq!((&record["revision"], record.get("shadow")), (&Value::from(12), None));
    assert!(purse.exits(0, &["audit", "explain", &record["seq"].to_string()]).contains("(revision 12)"));
    for (from, to) in [("revision: 12\n", "revision: 11\n"), ("revision: 11\n", "")] {
        purse.replace("policies/registry.yaml", from, to);
        let refused = purse.run(&["reload", "--reason", "an old checkout"]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains("revision 12 was in force before"), "{text}");
    }
    assert_eq!(status(&sidecar).await.bundle_revision, Some(12));
    assert!(sidecar.stop().success());
    // Neither does a restart bring them back.
    let (_, log) = purse.try_serve_by(purse.command(&["serve"])).unwrap_err();
    assert!(log.contains("names no revision, but revision 12 was in force before"), "{log}");
    purse.replace("policies/registry.yaml", "version: 1\n", "version: 1\nrevision: 13\n");
    let sidecar = purse.serve();
    assert_eq!(status(&sidecar).await.bundle_revision, Some(13));
}

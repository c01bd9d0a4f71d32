//! What the real binary does when files change under it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::time::Duration;

use pursekeeper_api::v1;
use pursekeeper_tests::probe::{health_port, probe};
use pursekeeper_tests::{ConfigMap, Purse, Sidecar, denied, request, signed, until};
use serde_json::Value;

const REGISTRY: &str = "registry.yaml";
/// In the registry that `init` writes.
const DAY: &str = "usd: { day: \"2\" }";
/// Nothing is paid under it.
const CLOSED: &str = "usd: { day: \"0.0001\" }";
/// Long enough to notice what must not happen, on a machine that does many other things.
const NOTHING_HAPPENS: Duration = Duration::from_millis(1_500);

/// A purse that follows its files.
fn purse(poll_secs: u64) -> (Purse, SocketAddr) {
    let purse = Purse::init();
    let follow = format!("reload: {{ watch: true, poll_secs: {poll_secs} }}");
    purse.replace("pursekeeper.yaml", "reload: { watch: false }", &follow);
    let address = health_port(&purse);
    (purse, address)
}

/// The records of a kind.
fn records(purse: &Purse, kind: &str) -> Vec<Value> {
    let text = purse.exits(0, &["audit", "query", "--kind", kind, "--output", "json"]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What became of it, and why.
fn message(record: &Value) -> String {
    let text = |pointer: &str| record.pointer(pointer).unwrap().as_str().unwrap();
    format!("{}: {}", text("/reload/result"), text("/reload/message"))
}

fn messages(purse: &Purse) -> Vec<String> {
    records(purse, "reload").iter().map(message).collect()
}

/// The value of a metric, 0 when there is none.
fn metric(address: SocketAddr, name: &str) -> u64 {
    let text = probe(address, "/metrics", "").unwrap().body;
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    value.map_or(0, |value| value.parse().unwrap())
}

fn reloads(address: SocketAddr, what: &str, result: &str) -> u64 {
    metric(address, &format!("pursekeeper_reloads_total{{what=\"{what}\",result=\"{result}\"}}"))
}

async fn status(sidecar: &Sidecar) -> v1::StatusResponse {
    sidecar.governance().await.status(v1::StatusRequest {}).await.unwrap().into_inner()
}

async fn until_digest_is_not(sidecar: &Sidecar, before: &str) -> String {
    for _ in 0..6_000 {
        let digest = status(sidecar).await.bundle_digest;
        if digest != before {
            return digest;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the bundle stays {before}: {}", sidecar.log());
}

#[tokio::test]
async fn a_configmap_that_is_swapped_is_in_force_and_recorded() {
    let (purse, address) = purse(3_600);
    let mut map = ConfigMap::mount(&purse.file("policies"));
    let sidecar = purse.serve();
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let first = status(&sidecar).await.bundle_digest;
    let begun = r#"pursekeeper_reload_last_success_timestamp_seconds{what="bundle"}"#;
    until("it is followed", || metric(address, begun) > 0);
    map.replace(REGISTRY, DAY, CLOSED);
    let second = until_digest_is_not(&sidecar, &first).await;
    let refused = denied(sidecar.signer().await.sign_payment(request("b", "1000")).await);
    assert_eq!(refused.code, "CEILING_EXCEEDED");
    until("it is recorded", || !records(&purse, "reload").is_empty());
    let recorded = records(&purse, "reload");
    assert_eq!((recorded.len(), &recorded[0]["bundle"]), (1, &Value::from(second.clone())));
    let message = message(&recorded[0]);
    assert!(message.contains("applied") && message.contains(&second), "{message}");
    assert_eq!(records(&purse, "lifecycle"), [Value::Null; 0], "no operator asked for it");
    assert_eq!(reloads(address, "bundle", "applied"), 1);
    assert!(sidecar.log().lines().any(|line| line.contains("read again") && line.contains("applied")));
    // The same bundle mounted once more changes nothing.
    map.swap(&map.files());
    until("it is read", || reloads(address, "bundle", "unchanged") == 1);
    assert_eq!(messages(&purse).len(), 1);
    let _ = purse.exits(0, &["audit", "verify"]);
}

#[tokio::test]
async fn a_refused_bundle_leaves_the_one_before_in_force_and_is_said_once() {
    let (purse, address) = purse(1);
    let mut map = ConfigMap::mount(&purse.file("policies"));
    let sidecar = purse.serve();
    let good = map.files();
    let first = status(&sidecar).await.bundle_digest;
    map.replace(REGISTRY, DAY, "usd: { day: 2 }");
    until("it is refused", || reloads(address, "bundle", "refused") == 1);
    let told = status(&sidecar).await;
    assert_eq!((told.bundle_digest.as_str(), told.serving), (first.as_str(), true));
    assert!(told.warnings.iter().any(|warning| warning.contains("registry.yaml:")), "{:?}", told.warnings);
    assert_eq!(probe(address, "/readyz", "").unwrap().status, 200, "the last good bundle serves");
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert!(purse.exits(0, &["status"]).contains("stays in force"));
    // The same again is not said again; something else that is wrong is.
    map.swap(&map.files());
    let mut half = good.clone();
    half.retain(|(name, _)| name != REGISTRY);
    half.push((REGISTRY.to_owned(), good[0].1[..200].to_owned()));
    map.swap(&half);
    until("it is refused", || reloads(address, "bundle", "refused") == 2);
    until("it is recorded", || messages(&purse).len() == 2);
    let messages = messages(&purse);
    assert!(messages.iter().all(|message| message.contains("refused")), "{messages:?}");
    map.swap(&good);
    until("it is mended", || reloads(address, "bundle", "unchanged") == 1);
    assert_eq!(status(&sidecar).await.warnings, [""; 0]);
    assert!(records(&purse, "reload").iter().all(|record| record["bundle"] == *first));
}

#[tokio::test]
async fn a_file_that_is_edited_in_place_is_taken_up_when_it_stays_as_it_is() {
    let (purse, _) = purse(3_600);
    let sidecar = purse.serve();
    let first = status(&sidecar).await.bundle_digest;
    purse.replace("policies/registry.yaml", DAY, CLOSED);
    let _ = until_digest_is_not(&sidecar, &first).await;
    assert_eq!(
        denied(sidecar.signer().await.sign_payment(request("a", "1000")).await).code,
        "CEILING_EXCEEDED"
    );
}

#[tokio::test]
async fn nothing_is_taken_up_when_nothing_is_followed() {
    let (purse, address) = purse(1);
    purse.replace("pursekeeper.yaml", "watch: true", "watch: false");
    let sidecar = purse.serve();
    purse.replace("policies/registry.yaml", DAY, CLOSED);
    tokio::time::sleep(NOTHING_HAPPENS).await;
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let _ = purse.exits(0, &["reload", "--reason", "by hand"]);
    assert_eq!(
        denied(sidecar.signer().await.sign_payment(request("b", "1000")).await).code,
        "CEILING_EXCEEDED"
    );
    assert_eq!(reloads(address, "bundle", "applied"), 1);
    assert_eq!((messages(&purse).len(), records(&purse, "lifecycle").len()), (0, 1), "an operator's act");
}

/// Waits until the first look is over, which finds whatever there is, and every notification was followed.
fn until_it_looked(purse: &Purse, address: SocketAddr) {
    let (registry, mut polls) = (purse.file("one/registry.yaml"), 0);
    let same = fs::read(&registry).unwrap();
    until("it looks", || {
        if polls % 200 == 0 {
            fs::write(&registry, &same).unwrap();
        }
        polls += 1;
        reloads(address, "bundle", "unchanged") > 0
    });
    std::thread::sleep(NOTHING_HAPPENS);
}

#[tokio::test]
async fn what_is_not_notified_is_found_by_looking() {
    for (poll_secs, found) in [(1, true), (3_600, false)] {
        let (purse, address) = purse(poll_secs);
        // A notification is about the directory that a link leads to, not about the link.
        fs::rename(purse.file("policies"), purse.file("one")).unwrap();
        symlink("one", purse.file("policies")).unwrap();
        let sidecar = purse.serve();
        let copied =
            std::process::Command::new("cp").arg("-r").args([purse.file("one"), purse.file("two")]).status();
        assert!(copied.unwrap().success());
        purse.replace("two/registry.yaml", DAY, CLOSED);
        until_it_looked(&purse, address);
        let next = purse.file("policies-next");
        symlink("two", &next).unwrap();
        fs::rename(&next, purse.file("policies")).unwrap();
        if found {
            until("it is taken up", || reloads(address, "bundle", "applied") == 1);
        } else {
            tokio::time::sleep(NOTHING_HAPPENS).await;
            assert_eq!(reloads(address, "bundle", "applied"), 0);
        }
        drop(sidecar);
    }
}

#[tokio::test]
async fn a_poll_every_zero_seconds_is_refused() {
    let (purse, _) = purse(0);
    assert!(purse.exits(1, &["check"]).contains("reload.poll_secs"));
}

#[tokio::test]
async fn the_log_level_changes_at_once_and_the_rest_is_named() {
    let (purse, address) = purse(3_600);
    let sidecar = purse.serve();
    let lines =
        |sidecar: &Sidecar| sidecar.log().lines().filter(|line| line.contains("signed decision")).count();
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert_eq!(lines(&sidecar), 1);
    purse.replace("pursekeeper.yaml", "level: info", "level: warn");
    until("the level is in force", || reloads(address, "log", "applied") == 1);
    let _ = signed(sidecar.signer().await.sign_payment(request("b", "1000")).await);
    assert_eq!(lines(&sidecar), 1, "it is not logged any more");
    until("it is recorded", || {
        messages(&purse).iter().any(|message| message.contains("`log.level` is `warn`"))
    });
    purse.replace("pursekeeper.yaml", "skew_secs: 60 ", "skew_secs: 61 ");
    until("the rest is named", || sidecar.log().contains("changed in `limits`: restart"));
    assert!(status(&sidecar).await.warnings.iter().any(|warning| warning.contains("`limits`")));
    purse.replace("pursekeeper.yaml", "level: warn", "level: \"pursekeeper=loud\"");
    until("the level is refused", || reloads(address, "log", "refused") == 1);
    purse.replace("pursekeeper.yaml", "level: \"pursekeeper=loud\"", "level: info");
    until("the level is in force", || reloads(address, "log", "applied") == 2);
    let _ = signed(sidecar.signer().await.sign_payment(request("c", "1000")).await);
    assert_eq!(lines(&sidecar), 2);
}

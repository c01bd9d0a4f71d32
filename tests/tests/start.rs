//! What keeps the real binary from starting, and how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pursekeeper_tests::{Purse, denied, reason, request, signed};
use serde_json::Value;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Both `serve` and `check` fail and say all of `expected`.
fn refuses(purse: &Purse, expected: &[&str]) {
    for verb in ["serve", "check"] {
        let text = purse.exits(1, &[verb]);
        for part in expected {
            assert!(text.contains(part), "{verb} does not say `{part}`:\n{text}");
        }
    }
}

#[test]
fn a_fresh_purse_is_valid_and_private() {
    let purse = Purse::init();
    assert!(purse.exits(0, &["check"]).contains("valid"));
    let bundle = purse.file("policies");
    assert!(purse.exits(0, &["policy", "check", "--dev", bundle.to_str().unwrap()]).contains("digest"));
    let modes = [("passphrase", 0o400), ("keystore", 0o700), ("run", 0o700), ("journal", 0o700)];
    for (file, mode) in modes {
        let found = fs::metadata(purse.file(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file} is {found:o}");
    }
    let dir = purse.file("");
    assert!(
        purse.exits(1, &["init", dir.to_str().unwrap()]).contains("not empty"),
        "init overwrites nothing"
    );
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let purse = Purse::init();
    for args in
        [&["sreve"][..], &["wallet", "suspend", "research-hot"], &["audit", "tail", "-n", "x"], &["--colour"]]
    {
        let _ = purse.exits(2, args);
    }
    let _ = purse.exits(2, &["pay", "ftp://api.example.com/"]);
}

#[test]
fn without_a_sidecar_commands_say_it_is_unavailable() {
    let purse = Purse::init();
    for args in [
        &["budget", "show"][..],
        &["audit", "tail"],
        &["wallet", "suspend", "research-hot", "--reason", "drill"],
    ] {
        assert!(purse.exits(4, args).contains("serve"), "{args:?} says how to start it");
    }
}

#[test]
fn every_problem_of_the_configuration_is_listed() {
    let purse = Purse::init();
    purse.replace("pursekeeper.yaml", "version: 1", "version: 9");
    purse.replace("pursekeeper.yaml", r#"mode: "0600""#, r#"mode: "9999""#);
    purse.replace("pursekeeper.yaml", "operator.sock", "agent.sock");
    purse.replace("pursekeeper.yaml", "queue_len_max: 1024", "queue_len_max: 0");
    refuses(&purse, &["version", "listeners[1]", "share the path", "queue_len_max"]);
    let purse = Purse::init();
    purse.replace("pursekeeper.yaml", "dev: true", "dev: true\nsurprise: 1");
    refuses(&purse, &["surprise"]);
    let _ = Purse::init().exits(1, &["serve", "--config", "/nonexistent/pursekeeper.yaml"]);
}

#[test]
fn every_error_of_the_bundle_is_listed_with_its_line() {
    let purse = Purse::init();
    purse.replace("policies/registry.yaml", "owner: research", "owner: nobody");
    purse.replace("policies/registry.yaml", r#"payment: "0.05""#, "payment: 0.05");
    fs::write(
        purse.file("policies/team.cedar"),
        "forbid (principal, action, resource) when { context.surprise };",
    )
    .unwrap();
    refuses(&purse, &["registry.yaml:", "nobody", "quotes", "team.cedar:1:"]);
    let bundle = purse.file("policies");
    assert!(purse.exits(1, &["policy", "check", bundle.to_str().unwrap()]).contains("nobody"));
}

#[test]
fn an_absent_or_foreign_journal_is_never_a_fresh_budget() {
    let purse = Purse::init();
    let (journal, aside) = (purse.file("journal"), purse.file("aside"));
    fs::rename(&journal, &aside).unwrap();
    fs::create_dir(&journal).unwrap();
    refuses(&purse, &["no journal", "adopt"]);
    assert!(purse.exits(1, &["journal", "init"]).contains("already belongs"));
    assert!(fs::read_dir(&journal).unwrap().all(|entry| entry.unwrap().file_name() != "pursekeeper.db"));

    fs::write(purse.file("journal/pursekeeper.db"), "no database").unwrap();
    refuses(&purse, &["not a Pursekeeper journal"]);

    let other = Purse::init();
    fs::remove_dir_all(&journal).unwrap();
    fs::rename(other.file("journal"), &journal).unwrap();
    refuses(&purse, &["keystore belongs to"]);

    fs::remove_dir_all(&journal).unwrap();
    fs::rename(&aside, &journal).unwrap();
    assert!(purse.exits(0, &["check"]).contains("valid"));
}

#[tokio::test]
async fn an_adopted_journal_begins_with_every_window_spent() {
    let purse = Purse::init();
    fs::remove_dir_all(purse.file("journal")).unwrap();
    let _ = purse.exits(0, &["journal", "adopt"]);
    let sidecar = purse.serve();
    let denied = denied(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert_eq!(denied.code, "CEILING_EXCEEDED");
}

#[test]
fn keys_that_are_not_the_registrys_are_refused() {
    let purse = Purse::init();
    let text = fs::read_to_string(purse.file("policies/registry.yaml")).unwrap();
    let address = text.lines().skip_while(|line| !line.contains("research-hot:")).nth(1).unwrap().to_owned();
    purse.replace(
        "policies/registry.yaml",
        &address,
        "    address: \"0x1000000000000000000000000000000000000001\"",
    );
    refuses(&purse, &["research-hot"]);
    purse.replace("policies/registry.yaml", "research-hot:", "elsewhere:");
    let _ = purse.serve();

    let purse = Purse::init();
    fs::set_permissions(purse.file("passphrase"), fs::Permissions::from_mode(0o644)).unwrap();
    refuses(&purse, &["passphrase"]);
}

#[tokio::test]
async fn a_second_process_on_the_same_journal_names_the_first() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let text = purse.exits(1, &["serve"]);
    assert!(text.contains(&sidecar.pid().to_string()), "{text}");
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
}

#[tokio::test]
async fn health_says_serving_and_sigterm_ends_in_order() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    for socket in ["agent", "operator"] {
        let channel = pursekeeper_api::connect(sidecar.socket(socket)).await.unwrap();
        let check = HealthCheckRequest { service: "pursekeeper.v1.Signer".to_owned() };
        let status = HealthClient::new(channel).check(check).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{socket}");
    }
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    let sockets = ["agent", "operator"].map(|name| sidecar.socket(name));
    assert_eq!(sidecar.stop().code(), Some(0));
    assert!(sockets.iter().all(|socket| !socket.exists()), "no socket is left behind");
    assert!(purse.exits(0, &["audit", "verify"]).contains("verified 4 records"));
}

#[tokio::test]
async fn one_user_is_not_sidecar_and_agent_without_dev() {
    let purse = Purse::init();
    purse.replace("pursekeeper.yaml", "dev: true", "dev: false");
    let own = format!("alice: {{ uids: [{}]", rustix::process::geteuid().as_raw());
    purse.replace("policies/registry.yaml", &own, "alice: { uids: [65001]");
    let sidecar = purse.serve();
    let refused = sidecar.signer().await.sign_payment(request("a", "1000")).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "UID_IS_SIDECAR"));
}

#[tokio::test]
async fn an_operator_works_from_the_command_line() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let json = |args: &[&str]| -> Vec<Value> {
        let text = purse.exits(0, &[args, &["--output", "json"]].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    };
    let _ = signed(sidecar.signer().await.sign_payment(request("a", "1000")).await);
    assert_eq!(json(&["wallet", "suspend", "research-hot", "--reason", "drill"])[0]["status"], "suspended");
    assert_eq!(json(&["wallet", "list"])[0][0]["status"], "suspended");
    assert_eq!(denied(sidecar.signer().await.sign_payment(request("b", "1000")).await).code, "NOT_ACTIVE");
    assert_eq!(json(&["wallet", "resume", "research-hot", "--reason", "drill"])[0]["status"], "active");
    let budgets = json(&["budget", "show"]).remove(0);
    let day = budgets.as_array().unwrap().iter().find(|budget| budget["scope"] == "agent").unwrap();
    assert_eq!((&day["limit"], &day["held"]), (&Value::from("2.00"), &Value::from("0.001")));
    let kinds: Vec<Value> = json(&["audit", "tail"]).iter().map(|record| record["kind"].clone()).collect();
    let kinds: Vec<&str> =
        kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "signature").collect();
    assert_eq!(kinds, ["genesis", "transition", "payment", "lifecycle", "payment", "lifecycle"]);
    assert!(purse.exits(0, &["audit", "tail", "-n", "2"]).contains("NOT_ACTIVE"));
    assert_eq!(json(&["audit", "verify"])[0]["records"], 7);

    let hex = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";
    let key = purse.file("key.hex");
    fs::write(&key, hex).unwrap();
    let import = ["wallet", "import", "second", "--offline", "--hex-file", key.to_str().unwrap()];
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let text = purse.exits(1, &import);
    assert!(text.contains("key.hex") && !text.contains(hex), "others can read it: {text}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    let text = purse.exits(0, &import);
    assert!(text.to_lowercase().contains("0x008aeeda4d805471df9b2a5b0f38a0c3bcba786b"), "{text}");
    assert!(!text.contains(hex), "a key is never shown");
    assert_eq!(json(&["wallet", "create", "third", "--offline"])[0]["name"], "third");
    assert_eq!(json(&["wallet", "list"])[0].as_array().unwrap().len(), 1, "those that are governed");
    assert_eq!(sidecar.stop().code(), Some(0));
    let kept: Value =
        serde_json::from_slice(&purse.run(&["wallet", "list", "--output", "json"]).stdout).unwrap();
    assert_eq!(kept.as_array().unwrap().len(), 3, "those whose keys are here");
}

//! What confines the real binary, as the kernel says it.

use std::fs;

use pursekeeper_tests::Purse;
use serde_json::Value;

/// What the kernel says about a process: whether its calls are filtered, and whether it may leave no core dump.
fn confined(pid: u32) -> (bool, bool) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    (line("Seccomp:") == "2", core.split_whitespace().nth(4) == Some("0"))
}

#[test]
fn a_sidecar_is_confined_unless_it_is_told_not_to_be() {
    for (sandbox, expected) in
        [("", (true, true)), ("sandbox: warn\n", (true, true)), ("sandbox: off\n", (false, true))]
    {
        let purse = Purse::init();
        purse.replace("pursekeeper.yaml", "version: 1\n", &format!("version: 1\n{sandbox}"));
        let sidecar = purse.serve();
        assert_eq!(confined(sidecar.pid()), expected, "{sandbox}");
        let log = fs::read_to_string(purse.file("../log")).unwrap();
        assert_eq!(log.contains("sandbox: off"), sandbox.contains("off"), "{log}");
    }
}

#[test]
fn what_is_really_in_force_is_tried_and_told() {
    let purse = Purse::init();
    let told: Value = serde_json::from_str(&purse.exits(0, &["selfcheck", "--output", "json"])).unwrap();
    let checks = told["checks"].as_array().unwrap();
    for name in ["no core dumps", "not dumpable", "no new privileges", "confined to its calls"] {
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["active"], true, "{check}");
    }
    assert!(purse.exits(0, &["selfcheck"]).contains("starting a program: "));
    // Without confinement, it says so.
    purse.replace("pursekeeper.yaml", "version: 1\n", "version: 1\nsandbox: off\n");
    let told: Value = serde_json::from_str(&purse.exits(0, &["selfcheck", "--output", "json"])).unwrap();
    let calls =
        told["checks"].as_array().unwrap().iter().find(|check| check["name"] == "confined to its calls");
    assert_eq!(calls.unwrap()["active"], false);
    // Whoever demands it is started only where all of it is to be had.
    purse.replace("pursekeeper.yaml", "sandbox: off", "sandbox: enforce");
    let told = purse.run(&["selfcheck", "--output", "json"]);
    let would_start: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told.status.code() == Some(0), would_start["would_start"] == true);
    if told.status.code() == Some(0) {
        assert_eq!(purse.serve().stop().code(), Some(0));
    } else {
        assert!(purse.exits(1, &["serve"]).contains("sandbox: warn"));
    }
}

//! What a bundle may not say: every mistake is found, with its line and what to do.

use pursekeeper_core::ports::Policy as _;

use super::fixture::REGISTRY;
use crate::{Bundle, BundleError, BundleErrors, BundleOptions};

/// A line of the registry that is there once.
const PAYEES: &str = "    payees: [\"0x3333333333333333333333333333333333333333\"]";

pub(super) fn errors(registry: &str, policies: &[(&str, &str)]) -> BundleErrors {
    match Bundle::from_parts(registry, policies, BundleOptions::default()) {
        Ok(bundle) => panic!("accepted: {bundle:?}"),
        Err(errors) => errors,
    }
}

/// The registry with one line changed. The first error must stand on that line (or the one given) and say `what`.
pub(super) fn check(line: &str, replacement: &str, what: &str) {
    assert_eq!(REGISTRY.matches(line).count(), 1, "`{line}` must be there once");
    let before = REGISTRY.split(line).next().unwrap();
    let number = before.matches('\n').count() + 1;
    // `@` marks the line meant, when the replacement has several.
    let offset = replacement
        .split('@')
        .next()
        .filter(|_| replacement.contains('@'))
        .map_or(0, |head| head.matches('\n').count());
    let text = REGISTRY.replace(line, &replacement.replacen('@', "", 1));
    let errors = errors(&text, &[]);
    let first = errors.0.iter().find(|error| error.to_string().contains(what));
    let first = first.unwrap_or_else(|| panic!("`{what}` is not said of `{replacement}`:\n{errors}"));
    let place = first.place().expect("a place");
    assert_eq!((&*place.file, place.line), ("registry.yaml", number + offset), "{first}");
}

#[test]
fn every_mistake_in_the_registry_is_found_on_its_line() {
    let table = [
        ("version: 1\n", "", "`version` is missing"),
        ("version: 1\n", "version: 2\n", "this build reads version 1"),
        ("version: 1\n", "version: \"1\"\n", "without quotes"),
        ("version: 1\n", "version: 1\n@revision: -1\n", "whole number"),
        ("version: 1\n", "version: 1\n@revision: \"7\"\n", "without quotes"),
        ("version: 1\n", "version: 1\n@revision: 9007199254740992\n", "9007199254740991"),
        ("version: 1\n", "version: 1\n@polices: {}\n", "unknown key `polices`"),
        ("version: 1\n", "version: 1\n@version: 1\n", "stands here twice"),
        (
            "teams: [treasury, research, sales]",
            "teams: [treasury, research, sales, sales]",
            "stands here twice",
        ),
        ("teams: [treasury, research, sales]", "teams: [treasury, research, sales, Ops]", "is not a name"),
        ("teams: [treasury, research, sales]", "teams: treasury", "write a list"),
        (
            "  alice: { uids: [1000], teams: [treasury] }",
            "  alice: { uids: [1000], teams: [tresury] }",
            "no team `tresury`",
        ),
        (
            "  alice: { uids: [1000], teams: [treasury] }",
            "  alice: { uids: [], teams: [treasury] }",
            "the list is empty",
        ),
        (
            "  alice: { uids: [1000], teams: [treasury] }",
            "  alice: { uids: [-1], teams: [treasury] }",
            "whole number",
        ),
        (
            "  bob: { uids: [1010], teams: [research] }",
            "  bob: { uids: [1000], teams: [research] }",
            "already belongs to operator `alice`",
        ),
        ("    uids: [1001]", "    uids: [1000]", "whoever asks must not govern"),
        (
            "  seller: { uids: [1002], workflows: [sales, research] }",
            "  seller: { uids: [1001], workflows: [sales] }",
            "already belongs to agent `crawler`",
        ),
        (
            "  seller: { uids: [1002], workflows: [sales, research] }",
            "  seller: { uids: [1002], workflows: [] }",
            "the list is empty",
        ),
        (
            "  seller: { uids: [1002], workflows: [sales, research] }",
            "  seller: { workflows: [sales] }",
            "`uids` is missing",
        ),
        ("    network: \"eip155:84532\"", "    network: base-sepolia", "not a CAIP-2 network"),
        (
            "    network: \"eip155:84532\"",
            "    network: \"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp\"",
            "only EVM networks",
        ),
        (
            "    address: \"0x036CbD53842c5426634e7929541eC2318f3dCF7e\"",
            "    address: \"0x036cBD53842c5426634e7929541eC2318f3dCF7e\"",
            "checksum",
        ),
        ("    decimals: 6", "    decimals: 37", "whole number from 0 to 36"),
        (
            "    methods: [eip3009]",
            "    methods: [eip3009]\n@    eip2612: perhaps",
            "`eip2612`: write `true` or `false`",
        ),
        ("    methods: [eip3009]", "    methods: [permit3]", "`permit3` cannot be signed"),
        ("    usd: { peg: \"1\" }", "    usd: { peg: 1 }", "money goes in quotes: write `\"1\"`"),
        ("    usd: { peg: \"1\" }", "    usd: { peg: \"0\" }", "worth nothing"),
        ("    usd: { peg: \"1\" }", "    usd: { rate: \"1\" }", "`as_of` is missing"),
        ("    usd: { peg: \"1\" }", "    usd: { peg: \"1\", max_age: 24h }", "a peg never ends"),
        (
            "    usd: { peg: \"1\" }",
            "    usd: { rate: \"1\", as_of: 2026-11-22, max_age: 24h }",
            "not a moment",
        ),
        (
            "    usd: { peg: \"1\" }",
            "    usd: { rate: \"1\", as_of: 2026-11-22T00:00:00Z, max_age: 1 day }",
            "not a length of time",
        ),
        (
            "    usd: { peg: \"1\" }",
            "    usd: { peg: \"1\" }\n@  usdc-two:\n    network: \"eip155:84532\"\n    address: \"0x036cbd53842c5426634e7929541ec2318f3dcf7e\"\n    symbol: U\n    name: U\n    version: \"2\"\n    decimals: 6\n    methods: [eip3009]\n    usd: { peg: \"1\" }",
            "is the same contract as `usdc`",
        ),
        (
            "    ceilings: { usd: { week: \"4\" }, payments: { week: 4 } }",
            "    ceilings: { usd: { fortnight: \"4\" } }",
            "no window `fortnight`",
        ),
        (
            "    ceilings: { usd: { week: \"4\" }, payments: { week: 4 } }",
            "    ceilings: { payments: { payment: 4 } }",
            "no window `payment` here",
        ),
        (
            "    ceilings: { usd: { week: \"4\" }, payments: { week: 4 } }",
            "    ceilings: { usd: { week: 4 } }",
            "money goes in quotes: write `\"4\"`",
        ),
        (
            "    ceilings: { usd: { week: \"4\" }, payments: { week: 4 } }",
            "    ceilings: { usd: { week: \"0.00001\" } }",
            "at most four decimals",
        ),
        (
            "    ceilings: { usd: { week: \"4\" }, payments: { week: 4 } }",
            "    ceilings: { usd: { week: \"922337203685477.5807\" } }",
            "too large to compare",
        ),
        (
            "    ceilings: { usd: { week: \"4\" }, payments: { week: 4 } }",
            "    ceilings: { eur: { week: \"4\" } }",
            "unknown key `eur`",
        ),
        ("    paths: [\"/v1/**\"]", "    paths: [\"v1/**\"]", "begins with `/`"),
        ("    paths: [\"/v1/**\"]", "    paths: []", "the list is empty"),
        ("    resource_optional: true", "    resource_optional: yes", "write `true` or `false`"),
        (PAYEES, "    payees: [\"0x0000000000000000000000000000000000000000\"]", "zero address"),
        (PAYEES, "    payees: [0x33]", "not an EVM address"),
        (PAYEES, "    payees: \"0x3333333333333333333333333333333333333333\"", "write a list"),
        (PAYEES, "    payees: { first_use: accepted }", "nobody is accepted unseen"),
        (PAYEES, "    payees: { first_use: [pending] }", "write one word"),
        (
            PAYEES,
            "    payees: { list: [\"0x3333333333333333333333333333333333333333\"] }",
            "`first_use` is missing",
        ),
        (PAYEES, "    payees: { first_use: pending, list: [\"0x33\"] }", "not an EVM address"),
        (PAYEES, "    payees: { first_used: pending, first_use: pending }", "unknown key `first_used`"),
        ("    owner: research\n", "    owner: reserch\n", "no team `reserch`"),
        ("    expires: 2027-01-01T00:00:00Z", "    expires: 2027-01-01", "not a moment"),
        ("    services: [weather]", "    services: [wether]", "no service `wether`"),
        ("    services: [weather]", "    services: [weather, weather]", "stands here twice"),
        ("    recovery: [treasury]", "    recovery: []", "the list is empty"),
        ("    recovery: [treasury]\n", "", "`recovery` is missing"),
        ("    revokers: [treasury, research]", "    revokers: []", "the list is empty"),
        ("    networks: [\"eip155:8453\"]", "    networks: []", "the list is empty"),
        (
            "    ceilings: { usd: { month: \"50\" } }",
            "    ceilings: { sign_ins: { payment: 1 } }",
            "no window `payment` here",
        ),
        (
            "    ceilings: { usd: { month: \"50\" } }",
            "    ceilings: { sign_ins: { hour: \"1\" } }",
            "without quotes",
        ),
        ("    floor: \"10\"", "    floor: 10", "money goes in quotes"),
        ("    floor: \"10\"", "    floor: \"0\"", "zero binds nothing"),
        ("    floor: \"10\"", "    floor: \"-1\"", "not a dollar amount"),
        ("    warn_below: \"15\"", "    warn_below: \"1_5\"", "not a dollar amount"),
        ("    warn_below: \"15\"", "    warn_below: \"0.00001\"", "at most four decimals"),
        (
            "    ceilings: { usd: { month: \"50\" } }",
            "    ceilings: { warn_at: 80, usd: { month: \"50\" } }",
            "write `80%`",
        ),
        (
            "    ceilings: { usd: { month: \"50\" } }",
            "    ceilings: { warn_at: 0%, usd: { month: \"50\" } }",
            "write `80%`",
        ),
        (
            "    ceilings: { usd: { month: \"50\" } }",
            "    ceilings: { warn_at: 101%, usd: { month: \"50\" } }",
            "write `80%`",
        ),
        (
            "    ceilings: { usd: { month: \"50\" } }",
            "    ceilings: { warn_at: 80%, usd: { payment: \"50\" } }",
            "no ceiling on a sum of payments",
        ),
        (
            "    ceilings: { usd: { month: \"50\" } }",
            "    ceilings: { warn_at: 80%, sign_ins: { day: 60 } }",
            "no ceiling on a sum of payments",
        ),
        ("    uids: [1001]", "    was: crawler-1\n    uids: [1001]", "write a list"),
        ("    uids: [1001]", "    was: [Crawler]\n    uids: [1001]", "is not a name"),
        (
            "teams: [treasury, research, sales]",
            "teams: [treasury, research, sales]\n@sidecar: { owners: [] }",
            "the list is empty",
        ),
        (
            "teams: [treasury, research, sales]",
            "teams: [treasury, research, sales]\n@sidecar: { owners: [ops] }",
            "no team `ops`",
        ),
        (
            "teams: [treasury, research, sales]",
            "teams: [treasury, research, sales]\n@sidecar: {}",
            "`owners` is missing",
        ),
        (
            "    networks: [\"eip155:8453\"]",
            "    networks: [\"eip155:8453\"]\n@    status: paused",
            "`paused` is no status: write `active`, `draining`, `suspended` or `revoked`",
        ),
        (
            "    address: \"0x4444444444444444444444444444444444444444\"",
            "    address: \"0x44\"",
            "not an EVM address",
        ),
        ("  \"0x1111111111111111111111111111111111111111\": {", "  \"0x1111\": {", "not an EVM address"),
        ("payments: { day: 30 } } }", "sign_ins: { day: 30 } } }", "nobody signs in to a payee"),
        ("    labels: { model: large-1 }", "    labels: { model: [a] }", "write one word"),
        ("    labels: { model: large-1 }", "    label: { model: large-1 }", "unknown key `label`"),
    ];
    for (line, replacement, what) in table {
        // What is missing is reported where its owner stands.
        if what.contains("`recovery` is missing") || what == "`version` is missing" {
            let errors = errors(&REGISTRY.replace(line, replacement), &[]);
            assert!(errors.to_string().contains(what), "{errors}");
        } else {
            check(line, replacement, what);
        }
    }
}

#[test]
fn a_wallet_is_its_address_and_serves_one_workflow_unless_shared() {
    let same = "0x4444444444444444444444444444444444444444";
    let text = REGISTRY.replace(same, "0x2222222222222222222222222222222222222222");
    assert!(errors(&text, &[]).to_string().contains("wallet `other` has the address of wallet `main`"));
    let line = "    workflows: [sales]\n";
    let both = REGISTRY.replace(line, "    workflows: [sales, research]\n");
    assert!(errors(&both, &[]).to_string().contains("`shared: true`"));
    let shared = REGISTRY.replace(line, "    workflows: [sales, research]\n    shared: true\n");
    let bundle = Bundle::from_parts(&shared, &[], BundleOptions::default()).unwrap();
    assert!(bundle.warnings().iter().any(|warning| warning.what.contains("shared by 2 workflows")));
}

#[test]
fn what_was_spent_under_a_name_belongs_to_one_subject() {
    let table = [
        (
            "    uids: [1001]",
            "    was: [seller]\n    uids: [1001]",
            "agent `crawler` was `seller`, but there is",
        ),
        (
            "    uids: [1001]",
            "    was: [crawler]\n    uids: [1001]",
            "agent `crawler` was `crawler`, but there is",
        ),
        (
            "    owner: research\n",
            "    was: [sales]\n    owner: research\n",
            "workflow `research` was `sales`",
        ),
    ];
    for (from, to, what) in table {
        let text = REGISTRY.replacen(from, to, 1);
        assert!(errors(&text, &[]).to_string().contains(what), "{to}: {}", errors(&text, &[]));
    }
    let both = REGISTRY
        .replace("    uids: [1001]", "    was: [old]\n    uids: [1001]")
        .replace("seller: { uids: [1002],", "seller: { was: [old], uids: [1002],");
    assert!(errors(&both, &[]).to_string().contains("both were `old`"));
    let renamed = REGISTRY.replace("    uids: [1001]", "    was: [spider, robot]\n    uids: [1001]");
    let bundle = Bundle::from_parts(&renamed, &[], BundleOptions::default()).unwrap();
    let crawler = pursekeeper_core::AgentName::parse("crawler").unwrap();
    let names: Vec<String> = bundle.registry().names_of_agent(&crawler).map(ToString::to_string).collect();
    assert_eq!(names, ["crawler", "robot", "spider"]);
}

#[test]
fn one_person_may_be_agent_and_operator_only_in_dev() {
    let text = REGISTRY.replace("    uids: [1001]", "    uids: [1000]");
    assert!(Bundle::from_parts(&text, &[], BundleOptions { dev: true }).is_ok());
    let agents = REGISTRY.replace("seller: { uids: [1002]", "seller: { uids: [1001]");
    assert!(Bundle::from_parts(&agents, &[], BundleOptions { dev: true }).is_err());
}

#[test]
fn all_errors_come_at_once_in_order() {
    let text = REGISTRY
        .replace("decimals: 6", "decimals: six")
        .replace("methods: [eip3009]", "methods: [cash]")
        .replace("    owner: research\n", "    owner: nobody\n")
        .replace("\"50\"", "50");
    let errors = errors(&text, &[("x.cedar", "permit (principal, action, resource);\nforbid (")]);
    let lines: Vec<String> = errors.0.iter().map(|error| error.place().unwrap().to_string()).collect();
    let files: Vec<&str> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        files,
        ["registry.yaml", "registry.yaml", "registry.yaml", "registry.yaml", "x.cedar"],
        "{errors}"
    );
    let mut numbers: Vec<usize> = errors.0[..4].iter().map(|error| error.place().unwrap().line).collect();
    let found = numbers.clone();
    numbers.sort_unstable();
    assert_eq!(numbers, found);
    assert_eq!(errors.to_string().lines().count(), 5, "{errors}");
}

#[test]
fn what_deserves_a_look_is_a_warning() {
    let text = REGISTRY
        .replace("0x3333333333333333333333333333333333333333", "0x1111111111111111111111111111111111111111")
        .replace("  carol: { uids: [1020], teams: [sales] }\n", "")
        .replace("services: [anything]", "services: []");
    let bundle = Bundle::from_parts(&text, &[], BundleOptions::default()).unwrap();
    let warnings: Vec<String> = bundle.warnings().iter().map(ToString::to_string).collect();
    for what in [
        "lies about its call",
        "services `anything` and `weather` share the payee",
        "no workflow uses service `anything`",
        "team `sales` has no operator",
    ] {
        let found = warnings.iter().filter(|warning| warning.contains(what)).count();
        assert_eq!(found, 1, "{what}: {warnings:?}");
    }
    let unpaid = REGISTRY.replace("payees: [\"0x3333333333333333333333333333333333333333\"]", "payees: []");
    let bundle = Bundle::from_parts(&unpaid, &[], BundleOptions::default()).unwrap();
    assert!(bundle.warnings()[0].what.contains("accepts no payee"));
}

#[test]
fn every_mistake_in_a_policy_is_found_on_its_line() {
    const PAY: &str = "action == Pursekeeper::Action::\"Pay\"";
    let forbid = |head: &str, when: &str| {
        format!(
            "// a comment\n\n@id(\"t.rule\")\n@reason(\"ask\")\nforbid ({head})\nwhen {{\n  {when}\n}};\n"
        )
    };
    let pay = |when: &str| forbid(&format!("principal, {PAY}, resource"), when);
    let table: Vec<(String, usize, &str)> = vec![
        ("permit (principal, action, resource);".into(), 1, "no `@id`"),
        ("\n@id(\"a b\") permit (principal, action, resource);".into(), 2, "1 to 128 characters"),
        ("@id(\"scope.mine\")\npermit (principal, action, resource);".into(), 1, "begins like a guardrail's"),
        ("@id(\"base\")\npermit (principal, action, resource);".into(), 1, "begins like a guardrail's"),
        ("@id(\"a\") permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);".into(), 2, "taken by the policy at x.cedar:1:1"),
        ("\n\n@id(\"a\")\nforbid (principal, action, resource);".into(), 3, "no `@reason`"),
        ("@id(\"a\") @reason(\"b\\nc\")\nforbid (principal, action, resource);".into(), 1, "one line"),
        ("@id(\"a\") @code(\"NOT_ACTIVE\") permit (principal, action, resource);".into(), 1, "belongs to guardrails"),
        ("\n@id(\"a\") permit (principal == ?principal, action, resource);".into(), 2, "a template"),
        ("@id(\"a\") permit (principal, action, resource)".into(), 1, "not Cedar"),
        (pay("contxt.now"), 7, "not Cedar"),
        (pay("context.nau == context.now"), 7, "nau"),
        (pay("context.payment.usd > 1"), 7, "decimal"),
        (pay("context.after.agent.payments > 1"), 7, "payments"),
        (pay("context.workflow.expires < context.now"), 7, "expires"),
        (pay("context.workflow.owner in context.wallet.owner"), 7, "level"),
        (pay("Pursekeeper::Workflow::\"research\".status == \"active\""), 7, "literal"),
        (pay("context.workflow == Pursekeeper::Workflow::\"reserch\""), 3, "is not in registry.yaml"),
        (forbid(&format!("principal in Pursekeeper::Workflow::\"nope\", {PAY}, resource"), "true"), 3, "is not in registry.yaml"),
        (forbid(&format!("principal == Pursekeeper::Agent::\"nope\", {PAY}, resource"), "true"), 3, "is not in registry.yaml"),
        (forbid(&format!("principal, {PAY}, resource in Pursekeeper::Service::\"nope\""), "true"), 3, "is not in registry.yaml"),
        (pay("context.payment.asset == Pursekeeper::Asset::\"eurc\""), 3, "is not in registry.yaml"),
        (pay("context.payment.payee == Pursekeeper::Payee::\"0x036cbd53842c5426634e7929541ec2318f3dcf7e\""), 3, "would never match"),
        (pay("context.payment.payee == Pursekeeper::Payee::\"bob\""), 3, "not an EVM address"),
        (forbid(&format!("principal, {PAY}, resource == Pursekeeper::Endpoint::\"GET https://a.example\""), "true"), 3, "would never match"),
        (forbid("principal, action in [Pursekeeper::Action::\"Resume\", Pursekeeper::Action::\"Suspend\"], resource", "true"), 3, "stopping and voiding is never up to"),
        (forbid("principal, action == Pursekeeper::Action::\"AcceptClock\", resource == Pursekeeper::Sidecar::\"main\"", "true"), 3, "write `Sidecar::\"sidecar\"`"),
        (forbid("principal, action == Pursekeeper::Action::\"Buy\", resource", "true"), 5, "Buy"),
        (forbid("principal is Agent, action, resource", "true"), 5, "Agent"),
    ];
    for (text, line, what) in table {
        let errors = errors(REGISTRY, &[("x.cedar", &text)]);
        let found = errors.0.iter().find(|error| error.to_string().contains(what));
        let found = found.unwrap_or_else(|| panic!("`{what}` is not said of\n{text}\n{errors}"));
        let place = found.place().expect("a place");
        assert_eq!((&*place.file, place.line), ("x.cedar", line), "{found}\n{text}");
    }
}

#[test]
fn ids_are_unique_across_files_and_names_of_files_too() {
    let rule = "@id(\"a\") permit (principal, action, resource);";
    let text = errors(REGISTRY, &[("b.cedar", rule), ("a.cedar", rule)]).to_string();
    assert_eq!(text, "b.cedar:1:1: `@id(\"a\")` is taken by the policy at a.cedar:1:1: rename one");
    for files in [[("a.cedar", ""), ("a.cedar", "")], [("a.cedar", ""), ("b.txt", "")]] {
        let errors = errors(REGISTRY, &files);
        assert!(matches!(errors.0.as_slice(), [BundleError::Refused { .. }]), "{errors}");
    }
}

#[test]
fn nonsense_is_refused_and_never_a_panic() {
    for text in
        ["", "~", "[]", "a", "version: 1", "{", "version: 1\nteams:\n  - - x", "\u{0}", "wallets: {x: 1}"]
    {
        let read = Bundle::from_parts(text, &[], BundleOptions::default());
        assert_eq!(read.is_ok(), text == "version: 1", "{text:?}");
    }
}

#[test]
fn absurdly_deep_files_are_refused_and_do_not_exhaust_the_stack() {
    let yaml = format!("version: 1\nteams: {}", "[".repeat(200_000));
    assert!(errors(&yaml, &[]).0.len() == 1);
    // For each the deepest that reaches Cedar, and one that must not.
    let levels = [
        ("[", "]", 30),
        ("(", ")", 30),
        ("!(", ")", 30),
        ("{a: ", "}.a", 30),
        ("true || (", ")", 30),
        ("if true then ", " else true", 12),
        ("true && ", "", 490),
        ("context.", "", 490),
        ("1 + ", "", 490),
    ];
    for (open, close, deepest) in levels {
        for depth in [deepest, 50_000] {
            let condition = format!("{}true{}", open.repeat(depth), close.repeat(depth));
            let text =
                format!("@id(\"a.deep\") permit (principal, action, resource) when {{ {condition} }};");
            let read = Bundle::from_parts(REGISTRY, &[("x.cedar", &text)], BundleOptions::default());
            let refused = read.err().map(|errors| errors.to_string()).unwrap_or_default();
            assert_eq!(refused.contains("more than"), depth > deepest, "{open}: {refused}");
        }
    }
}

#[test]
fn a_bundle_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Bundle>();
}

#[test]
fn a_revision_is_any_number_that_json_can_say() {
    for (line, expected) in
        [("", None), ("revision: 0\n", Some(0)), ("revision: 9007199254740991\n", Some((1 << 53) - 1))]
    {
        let text = REGISTRY.replace("version: 1\n", &format!("version: 1\n{line}"));
        let bundle = Bundle::from_parts(&text, &[], BundleOptions::default()).unwrap();
        assert_eq!(bundle.bundle().revision, expected, "{line}");
    }
}

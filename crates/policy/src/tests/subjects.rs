//! What the registry says about who owns, backs up, reviews and ends what.

use std::collections::BTreeSet;

use pursekeeper_core::ports::Policy;
use pursekeeper_core::registry::{BackupRule, Registry};
use pursekeeper_core::*;

use super::errors::check;
use super::fixture::{MAIN, REGISTRY, agent, evm};
use crate::{Bundle, BundleOptions};

/// From the specification of age.
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const TEAMS: &str = "teams: [treasury, research, sales]";
const OLD: &str = "0x5555555555555555555555555555555555555555";

/// Each field of each subject on a line of its own.
const EACH_FIELD: &str = r#"
version: 1
teams: [treasury, research]
operators:
  alice:
    uids: [1000]
    teams: [treasury, research]
assets:
  usdc:
    network: "eip155:84532"
    address: "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
    symbol: USDC
    name: USDC
    version: "2"
    decimals: 6
    methods: [eip3009]
    eip2612: true
    usd: { peg: "1" }
services:
  weather:
    was: [rain]
    origin: "https://api.example.com"
    methods: [GET]
    paths: ["/v1/**"]
    payees: ["0x1111111111111111111111111111111111111111"]
    expires: 2027-01-01T00:00:00Z
    ceilings: { usd: { week: "4" } }
    status: active
workflows:
  reading:
    was: [study]
    owner: research
    expires: 2027-01-01T00:00:00Z
    services: [weather]
    ceilings: { usd: { day: "5" } }
    status: active
agents:
  crawler:
    was: [spider]
    uids: [1001]
    workflows: [reading]
    labels: { model: large-1 }
    review_on: [identity]
    expires: 2027-01-01T00:00:00Z
    ceilings: { usd: { hour: "1" } }
    status: active
wallets:
  purse:
    address: "0x2222222222222222222222222222222222222222"
    was: ["0x5555555555555555555555555555555555555555"]
    owner: treasury
    recovery: [treasury]
    revokers: [treasury]
    workflows: [reading]
    backup: none
    expires: 2027-01-01T00:00:00Z
    networks: ["eip155:84532"]
    floor: "10"
    warn_below: "15"
    ceilings: { usd: { month: "50" } }
    status: active
"#;

/// What each subject cannot be without.
const NEEDED: [(&str, &[&str]); 6] = [
    ("operators", &["uids", "teams"]),
    ("assets", &["network", "address", "symbol", "name", "version", "decimals", "methods", "usd"]),
    ("services", &["origin", "methods", "paths"]),
    ("workflows", &["owner", "services"]),
    ("agents", &["uids", "workflows"]),
    ("wallets", &["address", "owner", "recovery", "revokers", "workflows", "networks"]),
];

fn read(registry: &str) -> Result<Bundle, String> {
    Bundle::from_parts(registry, &[], BundleOptions::default()).map_err(|errors| errors.to_string())
}

/// The registry of the fixture with one line changed.
fn with(line: &str, replacement: &str) -> Registry {
    assert_eq!(REGISTRY.matches(line).count(), 1, "`{line}` must be there once");
    let bundle = read(&REGISTRY.replace(line, replacement)).unwrap_or_else(|errors| panic!("{errors}"));
    bundle.registry().clone()
}

fn wallet(registry: &Registry) -> &registry::Wallet {
    &registry.wallets[&WalletName::parse("main").unwrap()]
}

#[test]
fn nothing_is_used_before_it_has_whoever_answers_for_it() {
    read(EACH_FIELD).unwrap();
    let (mut section, mut subject, mut missed) = ("", "", 0);
    for line in EACH_FIELD.lines() {
        let word = line.trim_start().split(':').next().unwrap_or("");
        match line.len() - line.trim_start().len() {
            0 => section = word,
            2 => subject = word,
            _ => {
                let needed = NEEDED.iter().any(|(of, keys)| *of == section && keys.contains(&word));
                let noun = section.strip_suffix('s').unwrap();
                match read(&without(line, (section, subject))) {
                    Ok(_) => assert!(!needed, "{section} {subject} without `{word}` is accepted"),
                    Err(errors) => {
                        let said = format!("{noun} `{subject}`: `{word}` is missing: ");
                        assert!(needed && errors.contains(&said), "{said}\n{errors}");
                        missed += 1;
                    }
                }
            }
        }
    }
    assert_eq!(missed, NEEDED.iter().map(|(_, keys)| keys.len()).sum::<usize>());
}

/// [`EACH_FIELD`] without a line of one subject; others may have the same.
fn without(line: &str, (section, subject): (&str, &str)) -> String {
    let head = format!("{section}:\n  {subject}:\n");
    let (before, after) = EACH_FIELD.split_once(&head).unwrap();
    format!("{before}{head}{}", after.replacen(&format!("{line}\n"), "", 1))
}

#[test]
fn an_empty_list_is_nobody() {
    let table = [
        ("    recovery: [treasury]", "    recovery: []"),
        ("    revokers: [treasury]", "    revokers: []"),
        ("    uids: [1001]", "    uids: []"),
    ];
    for (line, empty) in table {
        let errors = read(&EACH_FIELD.replace(line, empty)).unwrap_err();
        assert!(errors.contains("the list is empty: name the"), "{empty}: {errors}");
    }
    let errors = read(&EACH_FIELD.replace("    workflows: [reading]", "    workflows: []")).unwrap_err();
    assert_eq!(errors.matches("`workflows`: the list is empty").count(), 2, "agent and wallet: {errors}");
}

#[test]
fn every_mistake_about_lifecycles_is_found_on_its_line() {
    let team = |recipients: &str| {
        format!("teams:\n  treasury:\n@    backup_recipients: {recipients}\n  research:\n  sales: {{}}")
    };
    let typo = RECIPIENT.replace("zvky", "zvkx");
    let labels = "    labels: { model: large-1 }";
    let address = "    address: \"0x4444444444444444444444444444444444444444\"";
    let networks = "    networks: [\"eip155:8453\"]";
    let table: Vec<(&str, String, &str)> = vec![
        (TEAMS, "teams:\n  treasury:\n@  Research:\n  sales:".into(), "teams: `Research`"),
        (TEAMS, "teams:\n  treasury:\n@  treasury:".into(), "stands here twice"),
        (TEAMS, "teams:\n  treasury:\n@    owners: [a]".into(), "team `treasury`: unknown key `owners`"),
        (TEAMS, "teams:\n@  treasury: yes".into(), "team `treasury`: write `key: value` lines"),
        (TEAMS, team("[]"), "the list is empty"),
        (TEAMS, team("age1"), "write a list"),
        (TEAMS, team("[age1]"), "`age1…` is not an age recipient"),
        (TEAMS, team(&format!("[\"{typo}\"]")), "is not an age recipient"),
        (TEAMS, team(&format!("[\"{RECIPIENT}\", \"{RECIPIENT}\"]")), "stands here twice"),
        (labels, "    labels: { model: large-1, identity: x }".into(), "call the label otherwise"),
        (labels, format!("{labels}\n@    review_on: model"), "write a list"),
        (labels, format!("{labels}\n@    review_on: [models]"), "`models` is no label of this agent"),
        (labels, format!("{labels}\n@    review_on: [identity, identity]"), "stands here twice"),
        (labels, format!("{labels}\n@    review_on: [[model]]"), "write one word"),
        (labels, format!("{labels}\n@    expires: 2027-01-01"), "not a moment"),
        (address, format!("{address}\n@    was: \"{OLD}\""), "write a list"),
        (address, format!("{address}\n@    was: [\"0x55\"]"), "not an EVM address"),
        (address, format!("{address}\n@    was: [\"{OLD}\", \"{OLD}\"]"), "stands here twice"),
        (networks, format!("{networks}\n@    expires: tomorrow"), "not a moment"),
        (
            networks,
            format!("{networks}\n@    status: expired"),
            "`expired` follows from the time: write `expires`",
        ),
        (
            networks,
            format!("{networks}\n@    status: Draining"),
            "write `active`, `draining`, `suspended` or `revoked`",
        ),
        (
            "    backup: none\n    workflows: [research]",
            "@    backup: no\n    workflows: [research]".into(),
            "`no`: write `none`",
        ),
        (
            "    backup: none\n    workflows: [research]",
            "@    backup: false\n    workflows: [research]".into(),
            "`false`: write `none`",
        ),
        (
            "    backup: none\n    workflows: [research]",
            "@    backup: [none]\n    workflows: [research]".into(),
            "write one word",
        ),
        (
            "    resource_optional: true",
            "    resource_optional: true\n@    expires: never".into(),
            "not a moment",
        ),
    ];
    for (line, replacement, what) in table {
        check(line, &replacement, what);
    }
}

#[test]
fn a_secret_that_was_pasted_as_a_recipient_is_not_repeated() {
    let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let teams = format!("teams: {{ treasury: {{ backup_recipients: [{secret}] }}, research: , sales: }}");
    let errors = read(&REGISTRY.replace(TEAMS, &teams)).unwrap_err();
    assert!(errors.contains("is not an age recipient") && !errors.contains("GFPYYSJZ"), "{errors}");
}

#[test]
fn teams_are_names_or_say_who_opens_their_backups() {
    let name = |text: &str| TeamName::parse(text).unwrap();
    let recipients = BTreeSet::from([BackupRecipient::parse(RECIPIENT).unwrap()]);
    let plain = read(REGISTRY).unwrap();
    let said =
        format!("teams:\n  treasury: {{ backup_recipients: [{RECIPIENT}] }}\n  research:\n  sales: {{}}");
    let registry = with(TEAMS, &said);
    assert!(registry.teams.keys().eq(plain.registry().teams.keys()));
    assert_eq!(registry.teams[&name("treasury")].backup_recipients, recipients);
    assert!(registry.teams[&name("research")].backup_recipients.is_empty());
    // Those of a wallet are those of its recovery teams.
    assert_eq!(registry.backup_recipients(wallet(&registry)), recipients);
    assert!(plain.registry().backup_recipients(wallet(plain.registry())).is_empty());
}

#[test]
fn a_wallet_needs_a_backup_unless_it_says_none() {
    let line = "    backup: none\n    workflows: [research]";
    let opened = format!("teams: {{ treasury: {{ backup_recipients: [{RECIPIENT}] }}, research: , sales: }}");
    let table = [
        (TEAMS.to_owned(), "    backup: none\n", BackupRule::None, 0),
        (TEAMS.to_owned(), "", BackupRule::Required, 1),
        (TEAMS.to_owned(), "    backup:\n", BackupRule::Required, 1),
        (opened.clone(), "", BackupRule::Required, 0),
        (opened, "    backup: none\n", BackupRule::None, 0),
    ];
    for (teams, backup, rule, warnings) in table {
        let text = REGISTRY.replace(line, &format!("{backup}    workflows: [research]"));
        let bundle = read(&text.replace(TEAMS, &teams)).unwrap();
        assert_eq!(wallet(bundle.registry()).backup, rule, "{backup:?}");
        let nothing = |warning: &&crate::BundleWarning| {
            warning.what.starts_with("wallet `main` will sign nothing") && warning.place.line > 1
        };
        assert_eq!(bundle.warnings().iter().filter(nothing).count(), warnings, "{teams} {backup:?}");
    }
}

#[test]
fn an_address_belongs_to_one_wallet_for_ever() {
    let other = "0x4444444444444444444444444444444444444444";
    let was = |of: &str, addresses: &[&str], text: &str| {
        let line = format!("    address: \"{of}\"\n");
        text.replace(&line, &format!("{line}    was: {addresses:?}\n"))
    };
    let rotated = read(&was(MAIN, &[OLD], REGISTRY)).unwrap();
    assert_eq!(wallet(rotated.registry()).was, BTreeSet::from([evm(OLD)]));
    assert_eq!(rotated.registry().wallet_of(evm(OLD)).unwrap().1.address, evm(MAIN));
    let both = was(other, &[OLD], &was(MAIN, &[OLD], REGISTRY));
    let table = [
        (was(MAIN, &[MAIN], REGISTRY), "wallet `main` was", "take it out of `was`"),
        (was(MAIN, &[other], REGISTRY), "wallet `other` has the address", "which wallet `main` was"),
        (was(other, &[MAIN], REGISTRY), "wallet `other` was", "which wallet `main` is"),
        (both, "wallet `other` and wallet `main` both were", "keep one"),
    ];
    for (text, who, what) in table {
        let errors = read(&text).unwrap_err();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(errors.contains(who) && errors.contains(what), "{errors}");
    }
}

#[test]
fn what_is_to_be_reviewed_and_when_rights_end_is_read() {
    let labels = "    labels: { model: large-1 }";
    let crawler = agent("crawler");
    let registry = with(labels, &format!("{labels}\n    review_on: [model, identity]"));
    let reviewed = BTreeSet::from(["identity".to_owned(), "model".to_owned()]);
    assert_eq!(registry.agents[&crawler].review_on, reviewed);
    assert_eq!(registry.reviewed()[&crawler]["identity"], "uid 1001");
    let at = |text: &str| format!("{text}\n    expires: 2027-01-01T00:00:00Z");
    let end = Some(UnixSeconds(1_798_761_600));
    assert_eq!(with(labels, &at(labels)).agents[&crawler].expires, end);
    let floor = "    floor: \"10\"";
    assert_eq!(wallet(&with(floor, &at(floor))).expires, end);
    let optional = "    resource_optional: true";
    let anything = ServiceName::parse("anything").unwrap();
    assert_eq!(with(optional, &at(optional)).services[&anything].expires, end);
    assert_eq!(with(floor, floor).agents[&crawler].expires, None);
}

#[test]
fn the_registry_declares_every_status_but_what_follows_from_time() {
    for status in Status::ALL.into_iter().filter(|status| *status != Status::Expired) {
        let floor = "    floor: \"10\"";
        let registry = with(floor, &format!("{floor}\n    status: {status}"));
        assert_eq!(wallet(&registry).status, status);
    }
}

//! What a registry says about prepaid services, and what policies see of their credit.

use pursekeeper_core::ports::{Policy, Verdict};
use pursekeeper_core::siwx::{SignIn, SignInParts, SignInProfile};
use pursekeeper_core::*;

use super::errors::check as refused;
use super::fixture::{REGISTRY, answer, check, evm, facts, intent};
use crate::{Bundle, BundleOptions, EXAMPLES};

const PATHS: &str = "    paths: [\"/v1/**\"]";

/// The registry with a prepaid `weather`; the fixture's payment is a top-up there.
fn prepaid(policies: &[(&str, &str)]) -> Bundle {
    let text = REGISTRY.replace(PATHS, &format!("{PATHS}\n    prepaid: {{ top_up: [\"/v1/today\"] }}"));
    Bundle::from_parts(&text, policies, BundleOptions::default()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn credit(top_up: bool, claimed: Option<&str>) -> Option<PrepaidFacts> {
    let claimed = claimed.map(|usd| ClaimedFacts { usd: Usd::parse(usd).unwrap(), age_secs: 90 });
    Some(PrepaidFacts { top_up, topped_up: Usd::parse("10.00001").unwrap(), claimed, sign_ins: 7 })
}

fn sign_in() -> SignInIntent {
    let Intent { request_id, agent, workflow, wallet, wallet_address, service, endpoint, .. } = intent();
    let message = SignIn::from_parts(SignInParts {
        profile: SignInProfile::Standard,
        domain: "api.example.com".to_owned(),
        address: wallet_address,
        statement: None,
        uri: "https://api.example.com/v1/today".to_owned(),
        chain: ChainId::Eip155(84532),
        nonce: "abcdefgh12345678".to_owned(),
        issued_at: "2026-11-22T12:00:00Z".to_owned(),
        expiration_time: None,
        not_before: None,
        request_id: None,
        resources: Vec::new(),
        signature_scheme: None,
    });
    let message = message.unwrap();
    SignInIntent { request_id, agent, workflow, wallet, wallet_address, service, endpoint, message }
}

/// What the bundle says of a sign-in, with everything at once too.
fn signed_in(bundle: &Bundle, prepaid: Option<PrepaidFacts>) -> Verdict {
    let asked = sign_in();
    let facts = Facts { prepaid, ..facts(bundle, &intent()) };
    let verdict = bundle.decide_sign_in(&asked, &facts);
    assert_eq!(verdict, bundle.decide_sign_in_with_everything(&asked, &facts));
    verdict
}

#[test]
fn what_is_wrong_about_prepaid_is_found_on_its_line() {
    let table = [
        ("prepaid: true", "write `key: value` lines here"),
        ("prepaid: {}", "`top_up` is missing: name the paths"),
        ("prepaid: { topup: [\"/v1/x\"] }", "unknown key `topup`: use `top_up`"),
        ("prepaid: { top_up: \"/v1/x\" }", "write a list"),
        ("prepaid: { top_up: [] }", "the list is empty: name the paths"),
        ("prepaid: { top_up: [v1/x] }", "begins with `/`"),
        ("prepaid: { top_up: [\"/v1/x?y\"] }", "holds a path only"),
        ("prepaid: { top_up: [\"/v2/top-up\"] }", "`/v2/top-up` is not in the service's `paths`"),
        ("prepaid: { top_up: [\"/**\"] }", "`/**` is not in the service's `paths`"),
        ("prepaid: { top_up: [\"/v1/x\", \"/x\"] }", "`/x` is not in the service's `paths`"),
    ];
    for (line, what) in table {
        refused(PATHS, &format!("{PATHS}\n@    {line}"), what);
    }
    let bundle = prepaid(&[]);
    let services = &bundle.registry().services;
    let of = |name: &str| services[&ServiceName::parse(name).unwrap()].prepaid.clone();
    assert_eq!(of("weather").unwrap().top_up[0].as_str(), "/v1/today");
    assert!(of("anything").is_some());
    // An empty value is none, as everywhere in the registry.
    let empty = REGISTRY.replace(PATHS, &format!("{PATHS}\n    prepaid:"));
    let bundle = Bundle::from_parts(&empty, &[], BundleOptions::default()).unwrap();
    assert_eq!(bundle.registry().services[&ServiceName::parse("weather").unwrap()].prepaid, None);
}

#[test]
fn a_prepaid_service_is_paid_only_where_it_sells_credit() {
    let bundle = prepaid(&[]);
    let code = Some(DenyCode::NotATopUp);
    check(&bundle, &|_, f| f.prepaid = credit(true, None), None, &["base.sign"]);
    check(&bundle, &|_, f| f.prepaid = credit(false, None), code, &["scope.top-up"]);
    // The agent is told to sign in, not to have more accepted or a ceiling raised.
    let inference = |_: &mut Intent, f: &mut Facts| {
        f.prepaid = credit(false, Some("0.2"));
        f.payee_accepted = false;
        f.after.payee.usd[1] = Usd::parse("3.5").unwrap();
        f.balance = None;
    };
    let ids = ["scope.top-up", "scope.payee", "ceilings.wallet.balance", "ceilings.payee.usd.day"];
    check(&bundle, &inference, code, &ids);
    let stopped = |_: &mut Intent, f: &mut Facts| {
        f.prepaid = credit(false, None);
        f.wallet_status = Status::Suspended;
    };
    check(&bundle, &stopped, Some(DenyCode::NotActive), &["revocation.wallet", "scope.top-up"]);
    // Signing in for the call is what is meant.
    assert_eq!(answer(&signed_in(&bundle, credit(false, None))), (None, vec!["base.sign"]));
}

#[test]
fn a_team_sees_the_credit_of_payments_and_sign_ins() {
    // condition after `context has prepaid`, what was claimed, whether it holds
    let table = [
        ("context.prepaid.topped_up == decimal(\"10.0001\")", None, true),
        ("context.prepaid.sign_ins > 6", None, true),
        ("context.prepaid.sign_ins > 7", None, false),
        ("context.prepaid has claimed", None, false),
        (
            "context.prepaid has claimed && context.prepaid.claimed.lessThan(decimal(\"1.0\"))",
            Some("0.99999"),
            true,
        ),
        (
            "context.prepaid has claimed && context.prepaid.claimed == decimal(\"0.9999\")",
            Some("0.99999"),
            true,
        ),
        (
            "context.prepaid has claimed && context.prepaid.claimed.lessThan(decimal(\"1.0\"))",
            Some("1"),
            false,
        ),
        ("context.prepaid has claimed_age_secs && context.prepaid.claimed_age_secs == 90", Some("1"), true),
        ("context.prepaid has claimed_age_secs", None, false),
    ];
    for (condition, claimed, denied) in table {
        let text = format!(
            "@id(\"team.x\") @reason(\"no\") forbid (principal, action in [Pursekeeper::Action::\"Pay\", \
             Pursekeeper::Action::\"SignIn\"], resource) when {{ context has prepaid && {condition} }};"
        );
        let bundle = prepaid(&[("team.cedar", &text)]);
        let (code, ids) = match denied {
            true => (Some(DenyCode::PolicyDenied), vec!["team.x"]),
            false => (None, vec!["base.sign"]),
        };
        check(&bundle, &|_, f| f.prepaid = credit(true, claimed), code, &ids);
        assert_eq!(answer(&signed_in(&bundle, credit(false, claimed))), (code, ids.clone()), "{condition}");
        // Nothing of it is seen where nothing is prepaid.
        assert_eq!(answer(&signed_in(&bundle, None)), (None, vec!["base.sign"]), "{condition}");
    }
    let top_up = "@id(\"team.x\") @reason(\"no\") forbid (principal, action == Pursekeeper::Action::\"Pay\", resource) \
                  when { context.payment.top_up };";
    let bundle = prepaid(&[("team.cedar", top_up)]);
    check(&bundle, &|_, f| f.prepaid = credit(true, None), Some(DenyCode::PolicyDenied), &["team.x"]);
    check(&bundle, &|_, f| f.prepaid = None, None, &["base.sign"]);
}

#[test]
fn a_policy_that_forgets_that_a_claim_may_be_missing_is_refused() {
    for condition in [
        "context.prepaid.sign_ins > 1",
        "context has prepaid && context.prepaid.claimed.lessThan(decimal(\"1.0\"))",
    ] {
        let text = format!(
            "@id(\"team.x\") @reason(\"no\") forbid (principal, action == Pursekeeper::Action::\"SignIn\", resource) \
             when {{ {condition} }};"
        );
        let read = Bundle::from_parts(REGISTRY, &[("team.cedar", &text)], BundleOptions::default());
        assert!(read.unwrap_err().to_string().contains("optional attribute"), "{condition}");
    }
}

#[test]
fn a_claim_permits_nothing_whatever_it_says() {
    let text = "@id(\"team.rich\") permit (principal, action, resource);";
    let bundle = prepaid(&[("team.cedar", text)]);
    let rich = |f: &mut Facts| f.prepaid = credit(false, Some("1000000000"));
    check(&bundle, &|_, f| rich(f), Some(DenyCode::NotATopUp), &["scope.top-up"]);
    let spent = |i: &mut Intent, f: &mut Facts| {
        i.terms.payee = evm("0x1111111111111111111111111111111111111111");
        f.prepaid = credit(true, Some("1000000000"));
        f.after.agent.usd[0] = Usd::parse("1.0001").unwrap();
    };
    check(&bundle, &spent, Some(DenyCode::CeilingExceeded), &["ceilings.agent.usd.hour"]);
}

#[test]
fn the_shipped_example_stops_sign_ins_when_little_is_left() {
    let example = EXAMPLES.iter().find(|(name, _)| *name == "prepaid-low.cedar").unwrap();
    let bundle = prepaid(&[*example]);
    let low = (Some(DenyCode::PolicyDenied), vec!["prepaid.low"]);
    let table = [
        (credit(false, Some("0.99999")), low.clone()),
        (credit(false, Some("0")), low),
        (credit(false, Some("1")), (None, vec!["base.sign"])),
        (credit(false, None), (None, vec!["base.sign"])),
        (None, (None, vec!["base.sign"])),
    ];
    for (prepaid, expected) in table {
        let verdict = signed_in(&bundle, prepaid);
        assert_eq!(answer(&verdict), expected, "{prepaid:?}");
        if let Verdict::Deny(_, policies) = verdict {
            assert!(policies[0].reason.contains("top up"), "{policies:?}");
        }
    }
    // A top-up is what is called for.
    check(&bundle, &|_, f| f.prepaid = credit(true, Some("0")), None, &["base.sign"]);
}

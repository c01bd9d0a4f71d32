use pursekeeper_core::ports::{Policy, Verdict};
use pursekeeper_core::*;

use super::fixture::{answer, bundle, check, facts, intent};

const CARELESS: &str = r#"
@id("oops.everything")
permit (principal, action, resource);
"#;

const TEAM: &str = r#"
@id("research.small")
@reason("small sums only")
forbid (principal in Pursekeeper::Workflow::"research", action == Pursekeeper::Action::"Pay", resource)
when { context.after.workflow.hour.greaterThan(decimal("0.50")) };

@id("sales.never")
@reason("sales does not pay")
forbid (principal in Pursekeeper::Workflow::"sales", action in Pursekeeper::Action::"Sign", resource);

@id("path.today")
@reason("today is closed")
forbid (principal, action, resource is Pursekeeper::Endpoint in Pursekeeper::Service::"weather")
when { resource.path == "/v1/closed" };
"#;

#[test]
fn a_careless_permit_widens_nothing() {
    let bundle = bundle(&[("careless.cedar", CARELESS)]);
    check(&bundle, &|_, _| {}, None, &["base.sign", "oops.everything"]);
    let code = Some(DenyCode::NotActive);
    check(&bundle, &|_, f| f.wallet_status = Status::Suspended, code, &["revocation.wallet"]);
}

#[test]
fn a_team_narrows_over_the_same_facts() {
    let bundle = bundle(&[("team.cedar", TEAM)]);
    check(&bundle, &|_, _| {}, None, &["base.sign"]);
    let over = |_: &mut Intent, f: &mut Facts| f.after.workflow.usd[0] = Usd::parse("0.51").unwrap();
    check(&bundle, &over, Some(DenyCode::PolicyDenied), &["research.small"]);
    let both = |i: &mut Intent, f: &mut Facts| {
        over(i, f);
        f.payee_accepted = false;
    };
    check(&bundle, &both, Some(DenyCode::PayeeUnaccepted), &["scope.payee", "research.small"]);
    let closed = |i: &mut Intent, _: &mut Facts| {
        i.endpoint = Endpoint::parse("GET", "https://api.example.com/v1/closed").unwrap();
    };
    check(&bundle, &closed, Some(DenyCode::PolicyDenied), &["path.today"]);
    let seller = |i: &mut Intent, f: &mut Facts| {
        let name = AgentName::parse("seller").unwrap();
        (i.agent, f.caller.agent) = (name.clone(), name);
    };
    check(&bundle, &seller, Some(DenyCode::PolicyDenied), &["sales.never"]);
}

#[test]
fn a_policy_that_cannot_be_evaluated_is_a_denial_that_names_it() {
    let overflow = "9223372036854775807 + context.count.agent.hour > 0";
    let offset = "context.now.offset(duration(\"106751991167d\")) > context.now";
    for condition in [overflow, offset] {
        for head in ["permit", "@reason(\"why\") forbid"] {
            let text = format!(
                "@id(\"broken.rule\") {head} (principal, action == Pursekeeper::Action::\"Pay\", resource) when {{ {condition} }};"
            );
            let bundle = bundle(&[("broken.cedar", &text)]);
            check(&bundle, &|_, _| {}, Some(DenyCode::PolicyError), &["broken.rule"]);
            let spoil = |_: &mut Intent, f: &mut Facts| f.payee_accepted = false;
            check(&bundle, &spoil, Some(DenyCode::PolicyError), &["broken.rule", "scope.payee"]);
            let intent = intent();
            let verdict = bundle.decide(&intent, &facts(&bundle, &intent));
            let Verdict::Deny(_, policies) = verdict else { panic!("permitted") };
            assert!(policies[0].reason.contains("overflow"), "{policies:?}");
        }
    }
}

#[test]
fn the_digest_changes_with_every_byte_that_judges() {
    let one = bundle(&[("a.cedar", CARELESS), ("b.cedar", TEAM)]);
    let same = bundle(&[("b.cedar", TEAM), ("a.cedar", CARELESS)]);
    assert_eq!(one.digest(), same.digest());
    let joined = format!("{CARELESS}{TEAM}");
    let comment = format!("{TEAM}// more\n");
    let others = [
        bundle(&[]),
        bundle(&[("a.cedar", CARELESS)]),
        bundle(&[("a.cedar", TEAM), ("b.cedar", CARELESS)]),
        bundle(&[("a.cedar", CARELESS), ("c.cedar", TEAM)]),
        bundle(&[("a.cedar", CARELESS), ("b.cedar", &comment)]),
        bundle(&[("a.cedar", &joined), ("b.cedar", "")]),
    ];
    let mut digests: Vec<Digest> = others.iter().map(Policy::digest).chain([one.digest()]).collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 7);
    let registry = super::fixture::REGISTRY.replace("\"50\"", "\"51\"");
    let raised = crate::Bundle::from_parts(&registry, &[], crate::BundleOptions::default()).unwrap();
    assert_ne!(raised.digest(), others[0].digest());
}

#[test]
fn labels_are_tags() {
    let text = r#"
        @id("model.small") @reason("small models do not pay")
        forbid (principal is Pursekeeper::Agent, action == Pursekeeper::Action::"Pay", resource)
        unless { principal.hasTag("model") && principal.getTag("model") like "large-*" };"#;
    let bundle = bundle(&[("model.cedar", text)]);
    check(&bundle, &|_, _| {}, None, &["base.sign"]);
    let mut unlabelled = intent();
    unlabelled.agent = AgentName::parse("seller").unwrap();
    let facts = facts(&bundle, &unlabelled);
    let verdict = bundle.decide(&unlabelled, &facts);
    assert_eq!(answer(&verdict), (Some(DenyCode::PolicyDenied), vec!["model.small"]));
}

//! What the guardrails and teams say about sign-ins.

use pursekeeper_core::ports::{Policy, Verdict};
use pursekeeper_core::siwx::{SignIn, SignInParts, SignInProfile};
use pursekeeper_core::*;

use super::fixture::{MAIN, NOON, answer, bundle, evm, facts, intent};

type Spoil = &'static dyn Fn(&mut SignInIntent, &mut Facts);

fn message(address: Address, chain: &str, statement: &str) -> SignIn {
    SignIn::from_parts(SignInParts {
        profile: SignInProfile::Standard,
        domain: "api.example.com".to_owned(),
        address,
        statement: Some(statement.to_owned()),
        uri: "https://api.example.com/login".to_owned(),
        chain: ChainId::parse(chain).unwrap(),
        nonce: "abcdefgh12345678".to_owned(),
        issued_at: "2026-11-22T12:00:00Z".to_owned(),
        expiration_time: Some("2026-11-22T12:05:00Z".to_owned()),
        not_before: None,
        request_id: None,
        resources: vec!["https://api.example.com/a".to_owned()],
        signature_scheme: None,
    })
    .unwrap()
}

/// A sign-in that passes.
fn sign_in() -> SignInIntent {
    let Intent { request_id, agent, workflow, wallet, wallet_address, service, endpoint, .. } = intent();
    let message = message(wallet_address, "eip155:84532", "Sign in");
    SignInIntent { request_id, agent, workflow, wallet, wallet_address, service, endpoint, message }
}

fn check(policies: &[(&str, &str)], spoil: Spoil, code: Option<DenyCode>, ids: &[&str]) {
    let bundle = bundle(policies);
    let (mut asked, mut facts) = (sign_in(), facts(&bundle, &intent()));
    let first = Totals::default().with_sign_in();
    facts.after =
        PerScope { agent: first, workflow: first, wallet: first, service: first, payee: Totals::default() };
    spoil(&mut asked, &mut facts);
    let verdict = bundle.decide_sign_in(&asked, &facts);
    assert_eq!(answer(&verdict), (code, ids.to_vec()), "{verdict:?}");
    assert_eq!(verdict, bundle.decide_sign_in_with_everything(&asked, &facts));
}

#[test]
fn sign_ins_are_held_to_the_same_guardrails_as_payments() {
    use DenyCode as D;
    let table: &[(Spoil, D, &[&str])] = &[
        (&|_, f| f.agent_status = Status::Suspended, D::NotActive, &["revocation.agent"]),
        (&|_, f| f.wallet_status = Status::Suspended, D::NotActive, &["revocation.wallet"]),
        (&|_, f| f.service_status = Status::Suspended, D::NotActive, &["revocation.service"]),
        (&|_, f| f.now.unix_ms = 1_798_761_600_000, D::WorkflowExpired, &["revocation.expiry"]),
        (&|_, f| f.wallet_backed_up = false, D::BackupMissing, &["ownership.backup"]),
        (
            &|i, f| {
                i.service = None;
                f.services.clear();
            },
            D::EndpointOutOfScope,
            &["scope.service"],
        ),
        (
            &|i, _| i.message = message(evm(MAIN), "eip155:1", "Sign in"),
            D::NetworkNotAllowed,
            &["scope.sign-in.network"],
        ),
        (&|_, f| f.after.workflow.sign_ins[0] = 61, D::CeilingExceeded, &["ceilings.workflow.sign_ins.hour"]),
        (
            &|i, _| {
                i.message = message(evm("0x4444444444444444444444444444444444444444"), "eip155:84532", "x")
            },
            D::WalletUnknown,
            &[],
        ),
    ];
    for (spoil, code, ids) in table {
        check(&[], spoil, Some(*code), ids);
    }
    check(&[], &|_, f| f.after.workflow.sign_ins[0] = 60, None, &["base.sign"]);
    // Payments are not sign-ins.
    check(&[], &|_, f| f.after.workflow.payments[0] = 1_000, None, &["base.sign"]);
}

#[test]
fn a_team_sees_what_would_be_signed() {
    let table = [
        (r#"context.sign_in.statement like "*transfer*""#, "please transfer all", true),
        (r#"context.sign_in.statement like "*transfer*""#, "Sign in", false),
        (
            r#"context.sign_in.domain == "api.example.com" && context.sign_in.profile == "standard""#,
            "x",
            true,
        ),
        (r#"context.sign_in.resources.contains("https://api.example.com/a")"#, "x", true),
        (r#"context.sign_in.expires_secs > 300"#, "x", false),
        (r#"context.sign_in.expires_secs > 299"#, "x", true),
        (r#"context.count.agent.day > 0 && context.sign_in.network == "eip155:84532""#, "x", true),
    ];
    for (condition, statement, denied) in table {
        let statement_guard =
            if condition.contains("statement") { "context.sign_in has statement && " } else { "" };
        let text = format!(
            "@id(\"team.x\") @reason(\"no\") forbid (principal in Pursekeeper::Workflow::\"research\", \
             action == Pursekeeper::Action::\"SignIn\", resource) when {{ {statement_guard}{condition} }};"
        );
        let bundle = bundle(&[("team.cedar", &text)]);
        let mut asked = sign_in();
        asked.message = message(asked.wallet_address, "eip155:84532", statement);
        let mut facts = facts(&bundle, &intent());
        facts.now.unix_ms = NOON * 1000;
        facts.after.agent = facts.after.agent.with_sign_in();
        let verdict = bundle.decide_sign_in(&asked, &facts);
        assert_eq!(
            matches!(verdict, Verdict::Deny(DenyCode::PolicyDenied, _)),
            denied,
            "{condition}: {verdict:?}"
        );
        assert_eq!(verdict, bundle.decide_sign_in_with_everything(&asked, &facts));
    }
}

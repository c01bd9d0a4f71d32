//! The allowance that goes with a payment has an action of its own.

use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::*;

use super::fixture::{answer, bundle, facts, intent};

const NO_ALLOWANCE: &str = r#"
@id("no-allowance") @reason("no new allowances")
forbid (principal, action == Pursekeeper::Action::"GrantAllowance", resource)
when { context.payment.method == "permit2" };
"#;

/// A payment through Permit2 with an allowance.
fn granting() -> Intent {
    let mut intent = intent();
    intent.terms.method = TransferMethod::Permit2;
    intent.allowance = Some(Allowance { domain: Digest::default(), nonce: Amount::ZERO });
    intent
}

#[test]
fn whoever_may_not_sign_may_not_grant() {
    let none = [("", "")];
    type Spoil = fn(&mut Facts);
    let table: [(&str, Spoil, Option<DenyCode>, &[&str]); 5] = [
        ("", |_| {}, None, &["base.sign"]),
        ("", |f| f.wallet_status = Status::Suspended, Some(DenyCode::NotActive), &["revocation.wallet"]),
        ("", |f| f.now.unix_ms = 1_798_761_600_000, Some(DenyCode::WorkflowExpired), &["revocation.expiry"]),
        ("", |f| f.wallet_backed_up = false, Some(DenyCode::BackupMissing), &["ownership.backup"]),
        (NO_ALLOWANCE, |_| {}, Some(DenyCode::PolicyDenied), &["no-allowance"]),
    ];
    for (team, spoil, code, ids) in table {
        let policies = if team.is_empty() { &none[..0] } else { &[("team.cedar", team)][..] };
        let bundle = bundle(policies);
        let intent = granting();
        let mut facts = facts(&bundle, &intent);
        spoil(&mut facts);
        let verdict = bundle.decide_allowance(&intent, &facts);
        assert_eq!(answer(&verdict), (code, ids.to_vec()), "{verdict:?}");
        assert_eq!(verdict, bundle.decide_allowance_with_everything(&intent, &facts));
    }
    // A rule about allowances says nothing about payments.
    let bundle = bundle(&[("team.cedar", NO_ALLOWANCE)]);
    let (intent, facts) = (granting(), facts(&bundle, &granting()));
    assert_eq!(answer(&bundle.decide(&intent, &facts)), (None, vec!["base.sign"]));
}

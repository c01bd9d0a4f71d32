use pursekeeper_core::*;

use super::fixture::{agent, bundle, check, evm, with_usd};

type Spoil = &'static dyn Fn(&mut Intent, &mut Facts);

#[test]
fn each_guardrail_refuses_what_it_should_under_its_code() {
    use DenyCode as D;
    let table: &[(Spoil, D, &[&str])] = &[
        (&|_, f| f.agent_status = Status::Suspended, D::NotActive, &["revocation.agent"]),
        (&|_, f| f.workflow_status = Status::Suspended, D::NotActive, &["revocation.workflow"]),
        (&|_, f| f.wallet_status = Status::Suspended, D::NotActive, &["revocation.wallet"]),
        (&|_, f| f.service_status = Status::Suspended, D::NotActive, &["revocation.service"]),
        (&|_, f| f.now.unix_ms = 1_798_761_600_000, D::WorkflowExpired, &["revocation.expiry"]),
        (&|_, f| f.wallet_backed_up = false, D::BackupMissing, &["ownership.backup"]),
        (
            &|i, _| {
                i.workflow = WorkflowName::parse("sales").unwrap();
                i.wallet = WalletName::parse("other").unwrap();
                i.wallet_address = evm("0x4444444444444444444444444444444444444444");
                i.service = Some(ServiceName::parse("anything").unwrap());
            },
            D::AgentNotInWorkflow,
            &["ownership.agent", "scope.network"],
        ),
        (
            &|i, _| {
                i.wallet = WalletName::parse("other").unwrap();
                i.wallet_address = evm("0x4444444444444444444444444444444444444444");
            },
            D::WalletNotInWorkflow,
            &["ownership.wallet", "scope.network"],
        ),
        (
            &|i, f| {
                i.service = None;
                f.services.clear();
                f.payee_accepted = false;
            },
            D::EndpointOutOfScope,
            &["scope.service", "scope.payee"],
        ),
        (
            &|i, f| {
                i.service = None;
                f.services = vec![ServiceName::parse("anything").unwrap()];
            },
            D::EndpointOutOfScope,
            &["scope.service"],
        ),
        (&|i, _| i.origin = OriginMatch::Differs, D::OriginDiffers, &["scope.origin"]),
        (&|i, _| i.origin = OriginMatch::Absent, D::OriginAbsent, &["scope.resource"]),
        (&|_, f| f.payee_accepted = false, D::PayeeUnaccepted, &["scope.payee"]),
        (&|_, f| f.facilitator_accepted = false, D::FacilitatorUnaccepted, &["scope.facilitator"]),
        (&|_, f| f.balance = None, D::BalanceUnknown, &["ceilings.wallet.balance"]),
        (
            &|_, f| f.balance.as_mut().unwrap().after = Usd::parse("9.999999").unwrap(),
            D::BalanceBelowFloor,
            &["ceilings.wallet.floor"],
        ),
        (
            &|i, f| {
                i.origin = OriginMatch::Differs;
                f.wallet_status = Status::Suspended;
                f.payee_accepted = false;
                f.after.agent.usd[0] = Usd::parse("1.0001").unwrap();
            },
            D::NotActive,
            &["revocation.wallet", "scope.origin", "scope.payee", "ceilings.agent.usd.hour"],
        ),
    ];
    let bundle = bundle(&[]);
    check(&bundle, &|_, _| {}, None, &["base.sign"]);
    for (spoil, code, ids) in table {
        check(&bundle, spoil, Some(*code), ids);
    }
}

#[test]
fn only_what_is_active_takes_part() {
    let bundle = bundle(&[]);
    for status in Status::ALL {
        for id in ["revocation.agent", "revocation.workflow", "revocation.wallet", "revocation.service"] {
            let spoil = |_: &mut Intent, f: &mut Facts| match id {
                "revocation.agent" => f.agent_status = status,
                "revocation.workflow" => f.workflow_status = status,
                "revocation.wallet" => f.wallet_status = status,
                _ => f.service_status = status,
            };
            let (code, id) = match status {
                Status::Active => (None, "base.sign"),
                Status::Draining | Status::Suspended | Status::Expired | Status::Revoked => {
                    (Some(DenyCode::NotActive), id)
                }
            };
            check(&bundle, &spoil, code, &[id]);
        }
    }
}

#[test]
fn each_ceiling_holds_to_the_last_ten_thousandth() {
    let at = |i: usize, usd: &'static str| move |totals: &mut Totals| with_usd(totals, i, usd);
    let times = |i: usize, n: u64| move |totals: &mut Totals| totals.payments[i] = n;
    type Change = Box<dyn Fn(&mut Totals)>;
    let table: Vec<(ScopeKind, Change, Option<&str>)> = vec![
        (ScopeKind::Agent, Box::new(at(0, "1")), None),
        (ScopeKind::Agent, Box::new(at(0, "1.000000000001")), Some("ceilings.agent.usd.hour")),
        (ScopeKind::Agent, Box::new(at(1, "1000")), None),
        (ScopeKind::Agent, Box::new(times(4, 1000)), None),
        (ScopeKind::Agent, Box::new(times(4, 1001)), Some("ceilings.agent.payments.lifetime")),
        (ScopeKind::Agent, Box::new(times(4, u64::MAX)), Some("ceilings.agent.payments.lifetime")),
        (ScopeKind::Workflow, Box::new(at(1, "5")), None),
        (ScopeKind::Workflow, Box::new(at(1, "5.0001")), Some("ceilings.workflow.usd.day")),
        (ScopeKind::Workflow, Box::new(times(0, 101)), Some("ceilings.workflow.payments.hour")),
        (ScopeKind::Wallet, Box::new(at(3, "50.000001")), Some("ceilings.wallet.usd.month")),
        (ScopeKind::Service, Box::new(at(2, "4.1")), Some("ceilings.service.usd.week")),
        (ScopeKind::Service, Box::new(times(2, 5)), Some("ceilings.service.payments.week")),
        (ScopeKind::Payee, Box::new(at(1, "3.0001")), Some("ceilings.payee.usd.day")),
        (ScopeKind::Payee, Box::new(times(1, 31)), Some("ceilings.payee.payments.day")),
        (ScopeKind::Payee, Box::new(at(4, "999999999")), None),
    ];
    let bundle = bundle(&[]);
    for (kind, change, id) in table {
        let spoil = |_: &mut Intent, facts: &mut Facts| {
            let PerScope { agent, workflow, wallet, service, payee } = &mut facts.after;
            change(match kind {
                ScopeKind::Agent => agent,
                ScopeKind::Workflow => workflow,
                ScopeKind::Wallet => wallet,
                ScopeKind::Service => service,
                ScopeKind::Payee => payee,
            });
        };
        let ids: Vec<&str> = id.into_iter().collect();
        match ids.as_slice() {
            [] => check(&bundle, &spoil, None, &["base.sign"]),
            ids => check(&bundle, &spoil, Some(DenyCode::CeilingExceeded), ids),
        }
    }
    check(&bundle, &|i, _| i.usd = Usd::parse("0.05").unwrap(), None, &["base.sign"]);
    let code = Some(DenyCode::CeilingExceeded);
    check(&bundle, &|i, _| i.usd = Usd::parse("0.050001").unwrap(), code, &["ceilings.workflow.usd.payment"]);
}

#[test]
fn a_payment_cedar_cannot_show_is_refused() {
    let bundle = bundle(&[]);
    let largest = Usd::from_units(u128::from(i64::MAX.unsigned_abs()) * 100_000_000);
    let code = Some(DenyCode::AmountTooLarge);
    check(&bundle, &|i, _| i.usd = largest.checked_add(Usd::from_units(1)).unwrap(), code, &[]);
}

#[test]
fn an_exhausted_window_binds_whoever_has_a_ceiling_and_nobody_else() {
    let bundle = bundle(&[]);
    let lifetime = |facts: &mut Facts| facts.after.payee.usd[4] = Usd::MAX;
    check(&bundle, &|_, facts| lifetime(facts), None, &["base.sign"]);
    let day = |facts: &mut Facts| facts.after.workflow.usd[1] = Usd::MAX;
    check(&bundle, &|_, facts| day(facts), Some(DenyCode::CeilingExceeded), &["ceilings.workflow.usd.day"]);
}

#[test]
fn what_this_bundle_does_not_declare_is_refused() {
    use DenyCode as D;
    let table: &[(Spoil, D)] = &[
        (&|i, f| (i.agent, f.caller.agent) = (agent("nobody"), agent("nobody")), D::AgentUnknown),
        (&|_, f| f.caller.agent = agent("seller"), D::AgentUnknown),
        (&|i, _| i.workflow = WorkflowName::parse("nothing").unwrap(), D::WorkflowUnknown),
        (&|i, _| i.wallet = WalletName::parse("none").unwrap(), D::WalletUnknown),
        (&|i, _| i.wallet_address = evm("0x5555555555555555555555555555555555555555"), D::WalletUnknown),
        (&|i, _| i.terms.asset.network = ChainId::Eip155(1), D::AssetUnknown),
        (&|i, _| i.service = Some(ServiceName::parse("nowhere").unwrap()), D::EndpointOutOfScope),
        (&|_, f| f.now.unix_ms = u64::MAX, D::PolicyError),
    ];
    let bundle = bundle(&[]);
    for (spoil, code) in table {
        check(&bundle, spoil, Some(*code), &[]);
    }
}

#[test]
fn a_missing_resource_is_for_the_service_to_allow() {
    let bundle = bundle(&[]);
    let spoil = |i: &mut Intent, f: &mut Facts| {
        (i.agent, f.caller.agent) = (agent("seller"), agent("seller"));
        i.workflow = WorkflowName::parse("sales").unwrap();
        i.wallet = WalletName::parse("other").unwrap();
        i.wallet_address = evm("0x4444444444444444444444444444444444444444");
        i.service = Some(ServiceName::parse("anything").unwrap());
        i.origin = OriginMatch::Absent;
    };
    // Only the network is wrong: the resource is not missed.
    check(&bundle, &spoil, Some(DenyCode::NetworkNotAllowed), &["scope.network"]);
}

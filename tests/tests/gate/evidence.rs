//! What moves the money of a signature, and what does not.

use pursekeeper_core::gate::{Ask, EvidenceAsk, ReportAsk};
use pursekeeper_core::{
    ActVerb, Address, AgentName, Amount, AssetId, Balance, CLAIMS_PER_HOLD_MAX, Caller, Cancellation,
    ChainId, Claim, Detail, EvmAddress, Fate, IdentitySource, Mode, NearLimit, Observation, Said, Signable,
    Signature, Subject, UnixSeconds, Usd, Warning, Window,
};
use pursekeeper_tests::{Offer, USDC};

use crate::fixture::{Fixture, WALLET, act, ask, authorized, evm, intent, pay, signed};

fn evidence(hold: u64, fate: Fate) -> Ask {
    let network = ChainId::parse("eip155:84532").unwrap();
    let observation = Observation { network, block: 7, block_hash: [7; 32], transaction: None, nodes: 1 };
    Ask::Evidence(EvidenceAsk { hold, fate, observation })
}

fn settled(amount: &str) -> Fate {
    Fate::Settled { amount: Amount::parse(amount).unwrap() }
}

fn report(agent: &str, original_seq: u64, claim: Claim) -> Ask {
    let agent = AgentName::parse(agent).unwrap();
    let caller = Caller::new(agent, IdentitySource::unix_peer(1000));
    Ask::Report(ReportAsk { caller, original_seq, said: Said::Outcome(claim) })
}

fn release(hold: Option<u64>, wallet: Address) -> Ask {
    let mut ask = act("alice", ActVerb::Release, Subject::Wallet(wallet));
    ask.act.detail = hold.map_or(Detail::None, Detail::Hold);
    Ask::Lifecycle(ask)
}

#[test]
fn only_what_fits_the_hold_is_evidence() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "10000"), pay("b", "1")], &["OK", "CEILING_EXCEEDED"]);
    let mut elsewhere = evidence(1, Fate::Dead);
    if let Ask::Evidence(ask) = &mut elsewhere {
        ask.observation.network = ChainId::parse("eip155:1").unwrap();
    }
    let misfits =
        vec![evidence(2, Fate::Dead), evidence(99, Fate::Dead), evidence(1, settled("10001")), elsewhere];
    fixture.check(misfits, &["HoldResolved"; 4]);
    fixture.check(vec![pay("b", "1")], &["CEILING_EXCEEDED"]);
    assert_eq!(fixture.gate.journal().entries.len(), 3, "what does not fit is not recorded");
}

#[test]
fn settled_for_less_frees_the_rest_and_only_once() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "10000")], &["OK"]);
    fixture.check(vec![evidence(1, settled("4000")), evidence(1, Fate::Dead)], &["OK", "HoldResolved"]);
    fixture.check(vec![pay("b", "6001"), pay("c", "6000")], &["CEILING_EXCEEDED", "OK"]);
}

#[test]
fn a_signature_that_is_dead_frees_all_of_it_and_its_id_is_never_paid_again() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "10000")], &["OK"]);
    fixture.check(vec![evidence(1, Fate::Dead), pay("b", "10000")], &["OK", "OK"]);
    // Cancelled within its window: the payload must not leave again.
    fixture.check(vec![pay("a", "10000")], &["REQUEST_EXPIRED"]);
}

#[test]
fn claims_are_recorded_and_move_nothing() {
    let mut fixture = Fixture::new();
    fixture.check(vec![pay("a", "10000")], &["OK"]);
    let failed = || report("researcher", 1, Claim::failed("insufficient_funds"));
    let paid = report("researcher", 1, Claim::settled(Some("0xabc")));
    fixture.check(vec![failed(), paid, pay("b", "1")], &["OK", "OK", "CEILING_EXCEEDED"]);
    let foreign = [report("writer", 1, Claim::settled(None)), report("researcher", 4, Claim::settled(None))];
    fixture.check(foreign.to_vec(), &["PaymentUnknown", "PaymentUnknown"]);
    let before = fixture.gate.journal().entries.len();
    for _ in 2..CLAIMS_PER_HOLD_MAX {
        fixture.check(vec![failed()], &["OK"]);
    }
    fixture.check(vec![failed()], &["ClaimsExhausted"]);
    let claims = usize::try_from(CLAIMS_PER_HOLD_MAX).unwrap() - 2;
    assert_eq!(fixture.gate.journal().entries.len(), before + claims);
}

#[test]
fn an_operator_releases_only_what_is_dead() {
    let mut fixture = Fixture::new();
    let held_until = intent(&authorized(fixture.one(pay("a", "10000")))).valid_before.plus(60);
    let wallet = evm(WALLET);
    let other = Address::Evm(EvmAddress::from_bytes([9; 20]));
    fixture.check(
        vec![
            release(None, wallet),
            release(Some(9), wallet),
            release(Some(1), other),
            release(Some(1), wallet),
        ],
        &["HOLD_UNKNOWN", "HOLD_UNKNOWN", "HOLD_UNKNOWN", "HOLD_ALIVE"],
    );
    fixture.later(held_until.0 * 1000 - fixture.now_ms);
    fixture.check(vec![release(Some(1), wallet)], &["HOLD_ALIVE"]);
    fixture.later(1_000);
    fixture.check(vec![pay("b", "10000")], &["CEILING_EXCEEDED"]);
    fixture.check(
        vec![release(Some(1), wallet), release(Some(1), wallet), pay("b", "10000")],
        &["OK", "HOLD_UNKNOWN", "OK"],
    );
}

#[test]
fn a_balance_is_known_only_while_it_is_recent() {
    let mut fixture = Fixture::new();
    let id = AssetId { network: ChainId::parse("eip155:84532").unwrap(), address: evm(USDC) };
    let floor = Usd::parse("0.005").unwrap();
    fixture.policy.0.wallets.values_mut().for_each(|wallet| wallet.floor = Some(floor));
    let read = |fixture: &mut Fixture, amount: &str| {
        let observed_at = UnixSeconds(fixture.now_ms.div_euclid(1000));
        let amount = Amount::parse(amount).unwrap();
        fixture.balances.note(evm(WALLET), id.clone(), Balance { amount, observed_at });
    };
    fixture.check(vec![pay("a", "1000")], &["BALANCE_UNKNOWN"]);
    read(&mut fixture, "7000");
    // What was signed since counts as gone: 7000 - 1000 - 1000 is the floor.
    fixture
        .check(vec![pay("a", "1000"), pay("b", "1000"), pay("c", "1")], &["OK", "OK", "BALANCE_BELOW_FLOOR"]);
    fixture.later(120_000);
    fixture.check(vec![pay("d", "1")], &["BALANCE_BELOW_FLOOR"]);
    fixture.later(1_000);
    fixture.check(vec![pay("d", "1")], &["BALANCE_UNKNOWN"]);
    // Once the two can no longer be settled, a new reading has them or not.
    fixture.later(600_000);
    read(&mut fixture, "7000");
    fixture.check(vec![pay("e", "2000")], &["OK"]);
}

#[test]
fn a_limit_that_is_near_is_said_and_nothing_is_refused() {
    let mut fixture = Fixture::new();
    for workflow in fixture.policy.0.workflows.values_mut() {
        workflow.ceilings.usd.insert(Window::Day, Usd::parse("0.01").unwrap());
        workflow.ceilings.payments.insert(Window::Hour, 2);
        workflow.ceilings.warn_at = Some(80);
    }
    let warned = |fixture: &mut Fixture, ask| -> Vec<String> {
        let signed = signed(*authorized(fixture.one(ask)));
        signed.warnings().iter().map(Warning::to_string).collect()
    };
    assert_eq!(warned(&mut fixture, pay("a", "7999")), Vec::<String>::new());
    let near = [
        "0.008 of 0.01 usd per day are used by workflow `research`",
        "2 of 2 payments per hour are used by workflow `research`",
    ];
    assert_eq!(warned(&mut fixture, pay("b", "1")), near);
    let recorded = fixture.gate.journal().entries[1].binding_permit().unwrap();
    assert!(matches!(recorded.warnings[0].limit, NearLimit::Ceiling { window: Window::Day, .. }));
}

fn cancel(hold: u64, wallet: Address) -> Ask {
    let mut ask = act("alice", ActVerb::Cancel, Subject::Wallet(wallet));
    ask.act.detail = Detail::Hold(hold);
    Ask::Lifecycle(ask)
}

#[test]
fn a_cancellation_voids_that_payment_and_frees_nothing_by_itself() {
    let mut fixture = Fixture::new();
    let paid = authorized(fixture.one(pay("a", "10000")));
    // Whoever stops a wallet voids what it handed out.
    let wallet = Subject::Wallet(evm(WALLET));
    fixture.check(vec![Ask::Lifecycle(act("alice", ActVerb::Suspend, wallet.clone()))], &["OK"]);
    let right = authorized(fixture.one(cancel(1, evm(WALLET))));
    let Signable::Cancellation(cancellation) = right.what() else { panic!("{right:?}") };
    assert_eq!(cancellation, &Cancellation::of(intent(&paid)).unwrap());
    assert_eq!((cancellation.nonce, cancellation.domain), (intent(&paid).nonce, intent(&paid).domain));
    assert!(right.what().subjects().is_empty(), "a stopped wallet can still void");
    let calldata = cancellation.calldata(Signature::Evm([0x1b; 65]));
    assert_eq!((calldata.len(), &calldata[..4]), (4 + 5 * 32, &[0x5a, 0x04, 0x9a, 0x70][..]));
    assert_eq!(calldata[36..68], cancellation.nonce);
    assert!(signed(*right).payload().is_none());
    fixture.check(vec![Ask::Lifecycle(act("alice", ActVerb::Resume, wallet))], &["OK"]);
    fixture.check(vec![pay("b", "1")], &["CEILING_EXCEEDED"]);
    let refused = [
        cancel(7, evm(WALLET)),
        cancel(1, evm(USDC)),
        Ask::Lifecycle(act("mallory", ActVerb::Cancel, Subject::Wallet(evm(WALLET)))),
    ];
    for (ask, code) in refused.into_iter().zip(["HOLD_UNKNOWN", "HOLD_UNKNOWN", "OPERATOR_NOT_ALLOWED"]) {
        fixture.check(vec![ask], &[code]);
    }
    fixture.check(vec![evidence(1, Fate::Dead), cancel(1, evm(WALLET))], &["OK", "HOLD_UNKNOWN"]);
}

#[test]
fn what_only_the_wallet_itself_could_void_is_not_cancelled() {
    let mut fixture = Fixture::new();
    let extra = serde_json::json!({ "assetTransferMethod": "permit2" });
    let offer = Offer { extra, ..Offer::default() };
    fixture.check(
        vec![ask("a", Mode::Enforce, &[offer]), cancel(1, evm(WALLET))],
        &["OK", "HOLD_NOT_CANCELLABLE"],
    );
}

//! The port: what the gate authorises is signed, byte for byte as other implementations sign it.

#![expect(
    clippy::unwrap_used,
    clippy::unreachable,
    clippy::indexing_slicing,
    reason = "helpers of a test fail the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use pursekeeper_core::gate::{Answer, Authorized, Gate, Rules, Settings, Surroundings};
use pursekeeper_core::ports::{
    Custody as _, Journal, Judged, Ledger, LedgerError, Policy, Recorded, Urgency, Verdict,
};
use pursekeeper_core::registry::Registry;
use pursekeeper_core::x402::{Scheme, Terms};
use pursekeeper_core::{
    Act, AgentName, Amount, Asked, AssetId, Balances, Caller, ChainId, ClockMark, DecisionId, Demand, Digest,
    Endpoint, Entry, EvmAddress, Facts, IdentitySource, Intent, JournalId, Moment, OriginMatch, Reissue,
    Repeats, RequestId, SignInIntent, Signable, Signature, TransferMethod, UnixSeconds, Usd, Wait,
    WalletName, WorkflowName, domain_separator,
};
use pursekeeper_custody::{CustodyError, Import, Keystore, LocalCustody, Passphrase};
use serde_json::Value;

const AT: Moment = Moment { unix_ms: 0, boot_ms: 0, boot_id: [0; 16] };

/// A journal that confirms one prepared entry, whatever is asked.
struct Prepared(Entry);

impl Journal for Prepared {
    type Error = LedgerError;

    fn commit<A>(
        &mut self,
        _: Moment,
        _: Urgency,
        _: &[A],
        _: impl FnMut(&A, &dyn Ledger) -> Result<Judged, LedgerError>,
    ) -> Result<Vec<Recorded>, LedgerError> {
        let decision_id = DecisionId::new(JournalId([0; 16]), 1);
        Ok(vec![Recorded::Entry { decision_id, entry: self.0.clone() }])
    }

    fn clock(&self) -> ClockMark {
        ClockMark::default()
    }

    fn due(&self, _: Moment) -> Vec<Repeats> {
        Vec::new()
    }
}

/// A policy that is never asked.
struct Unasked;

impl Policy for Unasked {
    fn registry(&self) -> &Registry {
        unreachable!()
    }

    fn digest(&self) -> Digest {
        Digest::default()
    }

    fn decide(&self, _: &Intent, _: &Facts) -> Verdict {
        unreachable!()
    }

    fn decide_allowance(&self, _: &Intent, _: &Facts) -> Verdict {
        unreachable!()
    }

    fn decide_sign_in(&self, _: &SignInIntent, _: &Facts) -> Verdict {
        unreachable!()
    }

    fn decide_act(&self, _: &Act, _: UnixSeconds) -> Verdict {
        unreachable!()
    }
}

/// The right to sign `intent`, by the only road there is.
fn authorize(intent: Intent) -> Authorized {
    let caller = Caller::new(intent.agent.clone(), IdentitySource::unix_peer(0));
    let (request_id, endpoint) = (intent.request_id.clone(), intent.endpoint.clone());
    let asked = Asked {
        caller,
        request_id,
        endpoint,
        workflow: None,
        wallet: None,
        labels: BTreeMap::new(),
        trace: None,
        wait: Wait::Unknown,
    };
    let reissue = Reissue {
        at: AT,
        asked,
        original_seq: 1,
        policies: Vec::new(),
        what: Signable::Payment(intent),
        bundle: Digest::default().into(),
    };
    let mut gate = Gate::new(Prepared(Entry::Reissue(Box::new(reissue))), Settings::default());
    let around = Surroundings {
        at: AT,
        boot_us: 0,
        balances: &Balances::default(),
        keys: &BTreeSet::new(),
        witness: &(),
    };
    let answer = gate.pass(Rules::of(&Unasked), around, Vec::new()).unwrap().before.remove(0);
    let Answer::Authorized(right) = answer else { unreachable!("{answer:?}") };
    *right
}

/// The payment of an EIP-3009 vector.
fn intent(vector: &Value) -> Intent {
    let text = |pointer: &str| vector.pointer(pointer).unwrap().as_str().unwrap();
    let address = |pointer: &str| EvmAddress::parse(text(pointer)).unwrap().into();
    let time = |pointer: &str| UnixSeconds(text(pointer).parse().unwrap());
    let network = ChainId::parse(&format!("eip155:{}", text("/domain/chainId"))).unwrap();
    let asset = AssetId { network, address: address("/domain/verifyingContract") };
    let mut nonce = [0; 32];
    hex::decode_to_slice(&text("/message/nonce")[2..], &mut nonce).unwrap();
    Intent {
        request_id: RequestId::parse("r").unwrap(),
        agent: AgentName::parse("a").unwrap(),
        workflow: WorkflowName::parse("w").unwrap(),
        wallet: WalletName::parse("w").unwrap(),
        wallet_address: address("/message/from"),
        service: None,
        endpoint: Endpoint::parse("GET", "https://api.example.com/").unwrap(),
        origin: OriginMatch::Absent,
        demand: Demand::TypedData,
        domain: domain_separator(&asset, text("/domain/name"), text("/domain/version")),
        terms: Terms {
            scheme: Scheme::Exact,
            method: TransferMethod::Eip3009,
            asset,
            payee: address("/message/to"),
            amount: Amount::parse(text("/message/value")).unwrap(),
        },
        usd: Usd::ZERO,
        valid_after: time("/message/validAfter"),
        valid_before: time("/message/validBefore"),
        nonce,
        allowance: None,
    }
}

/// The key of a vector, by the road every key takes: imported, kept encrypted, loaded.
fn custody(vector: &Value) -> LocalCustody {
    let dir = tempfile::tempdir().unwrap();
    let (source, name) = (dir.path().join("key"), WalletName::parse("w").unwrap());
    fs::write(&source, vector["privateKey"].as_str().unwrap()).unwrap();
    fs::set_permissions(&source, Permissions::from_mode(0o600)).unwrap();
    let keystore = Keystore::create(dir.path().join("keys")).unwrap();
    let passphrase = Passphrase::generate().unwrap();
    let address = keystore.import_wallet(&name, Import::HexFile(&source), &passphrase).unwrap();
    keystore.load_expected(&passphrase, &BTreeMap::from([(address, name)])).unwrap()
}

fn vectors() -> Vec<Value> {
    let json: Value = serde_json::from_str(include_str!("../../../tests/vectors/evm.json")).unwrap();
    json["vectors"].as_array().unwrap().iter().filter(|vector| vector["kind"] == "eip3009").cloned().collect()
}

#[test]
fn a_payment_of_another_wallet_is_not_signed() {
    let [one, two] = [&vectors()[0], &vectors()[1]];
    let job = authorize(intent(one));
    let address = job.wallet_address();
    let error = custody(two).sign(job).err().unwrap();
    assert!(matches!(error, CustodyError::NoKey { address: named } if named == address), "{error:?}");
}

#[test]
fn a_right_to_sign_with_a_destroyed_key_is_worth_nothing() {
    let vector = &vectors()[0];
    let (custody, job) = (custody(vector), authorize(intent(vector)));
    let address = job.wallet_address();
    assert!(custody.holds(address) && custody.destroy(address));
    let error = custody.sign(job).err().unwrap();
    assert!(matches!(error, CustodyError::NoKey { address: named } if named == address), "{error:?}");
}

#[test]
fn what_is_authorised_is_signed_as_viem_signs_it() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 4);
    for vector in &vectors {
        let intent = intent(vector);
        let signed = custody(vector).sign(authorize(intent.clone())).unwrap();
        assert_eq!(signed.signature().to_string(), vector["signature"].as_str().unwrap());
        assert!(matches!(signed.signature(), Signature::Evm(_)));
        assert_eq!(signed.what(), &Signable::Payment(intent.clone()));
    }
}

//! A seller's 402, as header and as body, in version 1 and 2: what is judged is what it says, and what is echoed are its
//! very bytes.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use pursekeeper_core::x402::{
    CHALLENGE_LEN_MAX, Challenge, ChallengeError, OFFERS_MAX, Offer, Payload, Protocol, Sponsoring,
    Understood,
};
use pursekeeper_core::{
    Address, AgentName, Allowance, Amount, Demand, Digest, Endpoint, EvmAddress, Intent, Offered,
    OriginMatch, RequestId, Signature, TransferMethod, UnixSeconds, Usd, WalletName, WorkflowName,
};
use pursekeeper_fuzz::{Members, assert_one_line, assert_short_error};
use serde::Deserialize;
use serde_json::value::RawValue;

const SIGNATURE: Signature = Signature::Evm([7; 65]);

/// The same text by another reader.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    accepts: Vec<&'a RawValue>,
    resource: Option<&'a RawValue>,
    extensions: Option<&'a RawValue>,
}

fuzz_target!(|data: &[u8]| {
    let as_received = Challenge::from_header(data);
    match STANDARD.decode(data) {
        Ok(json) => check(&json, &as_received),
        Err(_) => assert!(as_received.is_err()),
    }
    let body = Challenge::from_body(data);
    let encoded = STANDARD.encode(data);
    let header = Challenge::from_header(encoded.as_bytes());
    check(data, &body);
    check(data, &header);
    if let Ok(header) = &header {
        assert_eq!(header.protocol, Protocol::V2);
    }
    if let (Ok(body), true) = (&body, encoded.len() <= CHALLENGE_LEN_MAX) {
        assert_eq!(header.is_ok(), body.protocol == Protocol::V2, "a header is version 2, and nothing else");
    }
});

fn check(json: &[u8], challenge: &Result<Challenge, ChallengeError>) {
    let challenge = match challenge {
        Ok(challenge) => challenge,
        Err(error) => return assert_short_error(error),
    };
    let text = std::str::from_utf8(json).unwrap();
    Members::read(text).unwrap().assert_distinct();
    let said: Said<'_> = serde_json::from_str(text).unwrap();
    if challenge.protocol == Protocol::V2 {
        assert_eq!(challenge.resource.as_deref(), said.resource.map(RawValue::get));
        assert_eq!(challenge.extensions.raw.as_deref(), said.extensions.map(RawValue::get));
    }
    if let Some((_, what)) = challenge.extensions.refusal() {
        assert_one_line(&what);
    }
    assert!((1..=OFFERS_MAX).contains(&challenge.offers.len()));
    assert_eq!(challenge.offers.len(), said.accepts.len());
    for ((offer, raw), index) in challenge.offers.iter().zip(said.accepts).zip(0..) {
        assert_eq!((offer.index, &*offer.raw), (index, raw.get()));
        match &offer.content {
            Ok(understood) => {
                assert_terms(challenge.protocol, understood, raw.get());
                assert_payload(challenge, offer, understood);
            }
            Err(refusal) => assert_one_line(&refusal.what),
        }
    }
}

/// Every term is what the entry says, and prints as it is written there.
fn assert_terms(protocol: Protocol, understood: &Understood, entry: &str) {
    let Understood { terms, timeout_secs, asset_name, asset_version } = understood;
    let entry = Members::read(entry).unwrap();
    entry.assert_distinct();
    let (amount, network) = match protocol {
        Protocol::V1 => ("maxAmountRequired", terms.asset.network.v1_name().unwrap().to_owned()),
        Protocol::V2 => ("amount", terms.asset.network.to_string()),
    };
    assert_eq!(entry.text(amount), Some(terms.amount.to_string()));
    assert_eq!(Amount::parse(&terms.amount.to_string()), Ok(terms.amount));
    assert_eq!(entry.text("network"), Some(network));
    assert_eq!(entry.text("scheme").as_deref(), Some(terms.scheme.as_str()));
    assert_eq!(entry.get("maxTimeoutSeconds"), Some(timeout_secs.to_string().as_str()));
    assert!(*timeout_secs > 0);
    let extra = entry.get("extra").map(|extra| Members::read(extra).unwrap());
    let said = |name| extra.as_ref().and_then(|extra| extra.text(name));
    assert_eq!((asset_name, asset_version), (&said("name"), &said("version")));
    let addresses = [
        (entry.text("asset"), Some(terms.asset.address)),
        (entry.text("payTo"), Some(terms.payee)),
        (
            said("facilitatorAddress").filter(|_| terms.scheme.facilitator().is_some()),
            terms.scheme.facilitator(),
        ),
    ];
    for (text, address) in addresses {
        assert_eq!(
            text.map(|text| text.to_lowercase()),
            address.map(|address| address.to_string().to_lowercase())
        );
    }
}

/// What is sent echoes the seller byte for byte, but for what an extension leaves to the client.
fn assert_payload(challenge: &Challenge, offer: &Offer, understood: &Understood) {
    let intent = intent(challenge, offer, understood);
    let offered = intent.offered().unwrap();
    let payload = Payload::new(&intent, offered, SIGNATURE, intent.allowance.map(|_| SIGNATURE)).unwrap();
    assert_eq!(STANDARD.decode(&payload.header_value).unwrap(), payload.json);
    let text = std::str::from_utf8(&payload.json).unwrap();
    let sent = Members::read(text).unwrap();
    sent.assert_distinct();
    if challenge.protocol == Protocol::V1 {
        return;
    }
    assert_eq!(sent.get("accepted"), Some(&*offer.raw));
    assert_eq!(sent.get("resource"), challenge.resource.as_deref());
    let (declared, answered) = (challenge.extensions.raw.as_deref(), sent.get("extensions"));
    assert_eq!(declared.is_some(), answered.is_some());
    if let (Some(declared), Some(answered)) = (declared, answered) {
        assert_extended(declared, answered, |declared, answered| {
            assert_extended(declared, answered, |declared, answered| {
                let filled = Members::read(answered).unwrap();
                filled.assert_distinct();
                let declared = Members::read(declared).unwrap_or(Members(Vec::new()));
                for (name, raw) in &declared.0 {
                    let sent = filled.0.iter().find(|(found, _)| found == name).unwrap();
                    assert_eq!(sent.1.get(), raw.get(), "`{name}`");
                }
            });
        });
    }
}

/// Holds each member of an object against the answer's: the same bytes, or what `differs` lets through.
fn assert_extended(declared: &str, answered: &str, differs: impl Fn(&str, &str)) {
    if declared == answered {
        return;
    }
    let (declared, answered) = (Members::read(declared).unwrap(), Members::read(answered).unwrap());
    answered.assert_distinct();
    for (name, raw) in &declared.0 {
        let (_, sent) = answered.0.iter().find(|(found, _)| found == name).unwrap();
        if sent.get() != raw.get() {
            let ours = ["payment-identifier", "eip2612GasSponsoring", "info"].contains(&name.as_str());
            assert!(ours, "`{name}` was changed");
            differs(raw.get(), sent.get());
        }
    }
    let added = answered.0.iter().filter(|(name, _)| declared.0.iter().all(|(other, _)| other != name));
    assert!(added.clone().all(|(name, _)| name == "info"), "{added:?}");
}

/// The payment of an offer that was permitted, as the gate makes it.
fn intent(challenge: &Challenge, offer: &Offer, understood: &Understood) -> Intent {
    let terms = understood.terms.clone();
    let sponsored = challenge.extensions.sponsoring == Sponsoring::Eip2612;
    let allowance = (sponsored && terms.method == TransferMethod::Permit2)
        .then_some(Allowance { domain: Digest([1; 32]), nonce: Amount::MAX });
    Intent {
        request_id: RequestId::parse("request-1").unwrap(),
        agent: AgentName::parse("agent").unwrap(),
        workflow: WorkflowName::parse("workflow").unwrap(),
        wallet: WalletName::parse("wallet").unwrap(),
        wallet_address: Address::Evm(EvmAddress::from_bytes([0xab; 20])),
        service: None,
        endpoint: Endpoint::unknown(),
        origin: OriginMatch::Absent,
        demand: Demand::Offer(Offered {
            protocol: challenge.protocol,
            index: offer.index,
            accepted: offer.raw.clone(),
            resource: challenge.resource.clone(),
            extensions: challenge.extensions.raw.clone(),
        }),
        terms,
        domain: Digest([2; 32]),
        usd: Usd::ZERO,
        valid_after: UnixSeconds(0),
        valid_before: UnixSeconds(1_768_473_300),
        nonce: [3; 32],
        allowance,
    }
}

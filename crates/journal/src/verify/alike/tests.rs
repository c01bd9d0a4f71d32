use std::collections::BTreeMap;

use proptest::prelude::*;
use pursekeeper_core::{
    ActVerb, BundleId, CeilingUse, Claim, Digest, Entry, HoldState, Measure, Said, ScopeKind, Shadow,
    ShadowVerdict, SignaturesMade, Subject, TraceId, Usd, Wait, WalletName, Window,
};

use super::*;
use crate::fixtures::{NOW, Pay, act, claimed, evm, moment, resolved, said, settled_for};
use crate::record::Record;

/// A record of one of many kinds, with what differs from call to call.
fn body(seq: u64, kind: u8, id: u64) -> Vec<u8> {
    let service = ["papers", "maps"].get(usize::try_from(id % 3).unwrap()).copied();
    let url = [
        format!("https://api.example.com/v1/data?page={id}"),
        format!("https://api.example.com/v1/{id}?q=%7E"),
        format!("https://bücher.example/{id}"),
    ];
    let url = url[usize::try_from(id % 3).unwrap()].clone();
    let agent = if id.is_multiple_of(5) { "reviewer" } else { "researcher" };
    let payee = u8::try_from(id % 7).unwrap();
    let pay =
        Pay { service, url, agent, payee, usd: u128::from(id) * 1_000_000, ..Pay::new(id, NOW + id / 3) };
    let transaction = Some(format!("0x\"{id}\u{e9}"));
    let mut entry = match kind % 12 {
        0 => pay.permit(),
        1 => pay.denied(),
        2 => pay.signed_in(),
        3 => pay.reissued(id, NOW + id),
        4 => resolved(id, settled_for(Usd::from_units(id.into())), NOW),
        5 => resolved(id, HoldState::Released, NOW),
        6 => claimed(id, Claim::Settled { transaction }, NOW),
        7 => said(id, Said::Both(Claim::settled(Some(&id.to_string())), Usd::from_units(id.into())), NOW),
        8 => Pay { service: Some("maps"), ..pay }.pending(),
        9 => act(ActVerb::Suspend, Subject::Wallet(evm(payee)), NOW),
        10 => Entry::Signatures(Box::new(SignaturesMade {
            at: moment(NOW + id),
            hashes: (0..id % 3).map(|nth| (id + nth, Digest([payee; 32]))).collect(),
        })),
        _ => pay.permitted(pursekeeper_core::Mode::Preview),
    };
    if let Entry::Payment(decision) = &mut entry
        && id.is_multiple_of(2)
    {
        let text = ["plain", "d\u{e9}j\u{e0}", "\"quoted\"\\", "\u{1}\n", ""][usize::from(payee % 5)];
        let key = if id.is_multiple_of(4) { "z/\u{ff}" } else { "z/b" };
        let usd = (!id.is_multiple_of(3)).then(|| Usd::from_units(id.into()));
        let bundle = BundleId { digest: Digest([payee; 32]), revision: Some(id) };
        decision.shadow = Some(Box::new(Shadow { bundle, verdict: ShadowVerdict::Permit { usd } }));
        decision.bundle.revision = Some(id % 4);
        decision.asked.labels =
            BTreeMap::from([("a".to_owned(), text.to_owned()), (key.to_owned(), id.to_string())]);
        decision.asked.trace = TraceId::parse(&format!("{:032x}", id + 1)).ok();
        decision.asked.wait = Wait::For { micros: id };
        decision.asked.wallet = WalletName::parse("research").ok();
        decision.ceilings = vec![CeilingUse {
            scope: ScopeKind::Wallet,
            window: Window::Day,
            measure: Measure::Usd,
            limit: "10.00".to_owned(),
            before: id.to_string(),
            after: (id + 1).to_string(),
        }];
    }
    Record::of(seq, &entry).to_bytes().unwrap()
}

/// What was read and what reading in full says.
fn check(alike: &mut Alike, body: &[u8]) {
    let read = alike.read(body).cloned();
    assert_eq!(read, examine(body), "{}", String::from_utf8_lossy(body));
}

proptest! {
    /// Also what is no record any more, and whatever was read before it.
    #[test]
    fn what_is_read_is_what_examining_says(
        records in prop::collection::vec(
            (any::<u8>(), 0u64..40, prop::option::of((any::<prop::sample::Index>(), 0u8..6, "[ -~é\u{1}]"))),
            1..60,
        ),
    ) {
        let mut alike = Alike::default();
        for (seq, (kind, id, change)) in (2..).zip(records) {
            let mut body = body(seq, kind, id);
            if let Some((at, how @ 0..3, with)) = change {
                let at = at.index(body.len());
                let end = if how == 0 { at } else { at + 1 };
                let with = if how == 1 { Vec::new() } else { with.into_bytes() };
                body.splice(at..end, with);
            }
            check(&mut alike, &body);
        }
    }
}

#[test]
fn a_member_that_says_nothing_is_refused_as_ever() {
    let good = String::from_utf8(body(7, 0, 4)).unwrap();
    for (from, to) in [
        ("\"seq\":7", "\"seq\":07"),
        ("\"seq\":7", "\"seq\":-7"),
        ("\"seq\":7", "\"seq\":7.0"),
        ("\"seq\":7", "\"seq\":9007199254740992"),
        ("\"seq\":7", "\"seq\":\"7\""),
        ("\"nonce\":\"00", "\"nonce\":\"0A"),
        ("\"nonce\":\"00", "\"nonce\":\"0"),
        ("\"nonce\":\"00", "\"nonce\":\"000"),
        ("\"request_id\":\"01", "\"request_id\":\"\\u0030"),
        ("\"request_id\":\"01", "\"request_id\":\"é"),
        ("\"request_id\":\"01", "\"request_id\":\"\"1"),
        ("\"amount\":\"1", "\"amount\":\"01"),
        ("\"usd\":\"0.", "\"usd\":\"0.."),
        ("\"payee\":\"0x", "\"payee\":\"0X"),
        ("\"service\":\"", "\"service\":\"A"),
        ("\"url\":\"https", "\"url\":\"http"),
        ("\"trace\":\"", "\"trace\":\"A"),
        ("\"before\":\"", "\"before\":\"\\/"),
        ("\"before\":\"", "\"before\":\"\u{7f}"),
        ("\"latency_us\":", "\"latency_us\":0"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let mut alike = Alike::default();
        check(&mut alike, good.as_bytes());
        check(&mut alike, bad.as_bytes());
        // What was refused left nothing behind.
        check(&mut alike, good.as_bytes());
    }
}

#[test]
fn as_many_are_known_as_there_are_kinds_and_no_more_than_the_bound() {
    let mut alike = Alike::default();
    for id in 0..500 {
        check(&mut alike, &body(id + 2, 0, id * 30 + 3));
    }
    assert_eq!(alike.known.len(), 1, "all of them are alike");
    for id in 0..500_u64 {
        let url = "https://api.example.com/v1/data".to_owned();
        let entry = Pay { url, ..Pay::new(id, NOW) }.permit();
        let Entry::Payment(mut decision) = entry else { panic!("{entry:?}") };
        decision.asked.labels = BTreeMap::from([(format!("label-{id}"), String::new())]);
        check(&mut alike, &Record::of(id + 2, &Entry::Payment(decision)).to_bytes().unwrap());
    }
    assert_eq!(alike.known.len(), KNOWN_MAX);
}

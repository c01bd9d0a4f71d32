//! Which bundle judged, and what another would have answered.

use proptest::prelude::*;
use pursekeeper_core::{BundleId, Denial, DenyCode, Digest, Entry, Shadow, ShadowVerdict, Usd};

use super::{body, denial, examine};
use crate::fixtures::{NOW, Pay, policy};

pub(super) fn bundle() -> impl Strategy<Value = BundleId> {
    (any::<[u8; 32]>(), prop::option::of(0u64..1 << 53))
        .prop_map(|(digest, revision)| BundleId { digest: Digest(digest), revision })
}

pub(super) fn shadow() -> impl Strategy<Value = Option<Box<Shadow>>> {
    let verdict = prop_oneof![
        prop::option::of(any::<u128>().prop_map(Usd::from_units))
            .prop_map(|usd| ShadowVerdict::Permit { usd }),
        denial().prop_map(ShadowVerdict::Deny),
    ];
    prop::option::of((bundle(), verdict).prop_map(|(bundle, verdict)| Box::new(Shadow { bundle, verdict })))
}

/// What was added to version 1 with them, in the bytes it has for ever.
pub(super) fn pinned() -> Vec<Entry> {
    let next = BundleId { digest: Digest([0xbc; 32]), revision: Some(13) };
    let denies = ShadowVerdict::Deny(Denial {
        message: "the ceiling would be lower".to_owned(),
        ..Denial::by_policies(DenyCode::CeilingExceeded, vec![policy("ceilings")])
    });
    let permits = ShadowVerdict::Permit { usd: Some(Usd::from_units(1_000_000_000)) };
    let verdicts = [(Pay::new(1, NOW).permit(), denies), (Pay::new(1, NOW).denied(), permits)];
    let mut entries: Vec<Entry> = verdicts
        .into_iter()
        .map(|(mut entry, verdict)| {
            if let Entry::Payment(decision) = &mut entry {
                decision.bundle.revision = Some(12);
                decision.shadow = Some(Box::new(Shadow { bundle: next, verdict }));
            }
            entry
        })
        .collect();
    let mut signed_in = Pay::new(1, NOW).signed_in();
    if let Entry::SignIn(decision) = &mut signed_in {
        let verdict = ShadowVerdict::Permit { usd: None };
        decision.shadow = Some(Box::new(Shadow { bundle: Digest([0xbc; 32]).into(), verdict }));
    }
    entries.push(signed_in);
    entries
}

#[test]
fn a_shadow_says_one_thing() {
    let [denies, permits, _] = pinned().try_into().unwrap();
    let table = [
        (
            &denies,
            "\"revision\":13,\"verdict\":\"deny\"",
            "\"revision\":13,\"verdict\":\"permit\"",
            "a permit with a denial",
        ),
        (
            &permits,
            "\"usd\":\"0.001\",\"verdict\":\"permit\"",
            "\"usd\":\"0.001\",\"verdict\":\"deny\"",
            "a denial without one",
        ),
        (
            &denies,
            "\"revision\":13,\"verdict\"",
            "\"revision\":13,\"usd\":\"0.001\",\"verdict\"",
            "a denial of so much",
        ),
        (
            &permits,
            "\"revision\":12,",
            "\"reload\":{\"kind\":\"log\",\"message\":\"\",\"result\":\"applied\"},\"revision\":12,",
            "a reload in it",
        ),
    ];
    for (entry, from, to, what) in table {
        let good = String::from_utf8(body(entry)).unwrap();
        assert!(examine(good.as_bytes()).is_ok());
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{what}");
        assert!(examine(text.as_bytes()).is_err(), "{what}: {text}");
    }
}

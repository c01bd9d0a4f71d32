use pursekeeper_core::ports::Policy as _;
use pursekeeper_policy::{Bundle, BundleOptions, STARTER_REGISTRY};
use serde_json::json;
use tonic_types::StatusExt as _;

use super::*;

const HOT: &str = "0x2222222222222222222222222222222222222222";
const OTHER: &str = "0xabcdefabcdefabcdefabcdefabcdefabcdefabcd";

fn parse(wanted: v1::AuditFilter) -> Result<Filter, Status> {
    let bundle = Bundle::from_parts(STARTER_REGISTRY, &[], BundleOptions { dev: true }).unwrap();
    Filter::parse(Some(wanted), bundle.registry())
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|text| (*text).to_owned()).collect()
}

/// A payment as it is sent, and as it is stored as far as filters look.
fn payment() -> v1::Decision {
    let canonical = json!({
        "asked": { "caller": { "agent": "crawler" }, "labels": { "wallet": "cold" } },
        "denial": { "code": "NO_PERMIT" },
        "intent": { "service": "weather", "wallet": "research-hot", "wallet_address": HOT, "workflow": "market-research" },
        "kind": "payment",
        "seq": 12,
        "verdict": "deny",
    });
    v1::Decision {
        seq: 12,
        kind: "payment".to_owned(),
        verdict: "deny".to_owned(),
        code: "NO_PERMIT".to_owned(),
        agent: "crawler".to_owned(),
        workflow: "market-research".to_owned(),
        wallet: "research-hot".to_owned(),
        service: "weather".to_owned(),
        canonical: canonical.to_string().into_bytes(),
        ..Default::default()
    }
}

/// A report about record 12, in record 112.
fn report() -> v1::Decision {
    let canonical = json!({ "kind": "report", "original_seq": 12, "report": { "caller": { "agent": "crawler" } }, "seq": 112 });
    v1::Decision {
        seq: 112,
        kind: "report".to_owned(),
        agent: "crawler".to_owned(),
        original_seq: 12,
        canonical: canonical.to_string().into_bytes(),
        ..Default::default()
    }
}

/// The end of a wallet, by its address.
fn act() -> v1::Decision {
    let canonical = json!({ "act": { "subject": { "kind": "wallet", "name": HOT } }, "kind": "lifecycle", "seq": 120, "verdict": "permit" });
    v1::Decision {
        seq: 120,
        kind: "lifecycle".to_owned(),
        verdict: "permit".to_owned(),
        wallet: HOT.to_owned(),
        canonical: canonical.to_string().into_bytes(),
        ..Default::default()
    }
}

/// The hashes of two signatures, in record 13.
fn signatures() -> v1::Decision {
    let canonical = json!({ "kind": "signature", "seq": 13, "signatures": [{ "seq": 11, "sha256": "aa" }, { "seq": 12, "sha256": "bb" }] });
    v1::Decision {
        seq: 13,
        kind: "signature".to_owned(),
        canonical: canonical.to_string().into_bytes(),
        ..Default::default()
    }
}

/// Denials like record 12, counted in record 130.
fn repeat() -> v1::Decision {
    let canonical = json!({ "kind": "repeat", "repeat": { "agent": "crawler", "code": "NO_PERMIT", "like_seq": 12 }, "seq": 130 });
    v1::Decision {
        seq: 130,
        kind: "repeat".to_owned(),
        code: "NO_PERMIT".to_owned(),
        agent: "crawler".to_owned(),
        original_seq: 12,
        repeats: 57,
        canonical: canonical.to_string().into_bytes(),
        ..Default::default()
    }
}

#[test]
fn what_names_a_permit_among_others_and_what_counts_denials_fit_too() {
    let any = v1::AuditFilter::default;
    let table = [
        (v1::AuditFilter { about_seq: 11, ..any() }, [true, false]),
        (v1::AuditFilter { about_seq: 12, ..any() }, [true, true]),
        (v1::AuditFilter { about_seq: 1, ..any() }, [false, false]),
        (v1::AuditFilter { verdict: "deny".to_owned(), ..any() }, [false, true]),
        (v1::AuditFilter { verdict: "permit".to_owned(), ..any() }, [false, false]),
        (v1::AuditFilter { codes: texts(&["NO_PERMIT"]), ..any() }, [false, true]),
    ];
    for (wanted, expected) in table {
        let filter = parse(wanted.clone()).unwrap();
        for (record, fits) in [signatures(), repeat()].iter().zip(expected) {
            assert_eq!(filter.fits(record), fits, "{wanted:?} of record {}", record.seq);
            assert!(
                !fits || filter.may_fit(&record.canonical),
                "{wanted:?} passes over record {}",
                record.seq
            );
        }
    }
}

#[test]
fn a_record_fits_when_every_member_does() {
    let any = v1::AuditFilter::default;
    let table = [
        (any(), [true, true, true]),
        (v1::AuditFilter { agents: texts(&["crawler"]), ..any() }, [true, true, false]),
        (v1::AuditFilter { agents: texts(&["other", "crawler"]), ..any() }, [true, true, false]),
        (v1::AuditFilter { agents: texts(&["craw"]), ..any() }, [false, false, false]),
        (v1::AuditFilter { workflows: texts(&["market-research"]), ..any() }, [true, false, false]),
        (v1::AuditFilter { services: texts(&["weather"]), ..any() }, [true, false, false]),
        (v1::AuditFilter { services: texts(&["maps"]), ..any() }, [false, false, false]),
        (v1::AuditFilter { kinds: texts(&["report", "lifecycle"]), ..any() }, [false, true, true]),
        (v1::AuditFilter { codes: texts(&["NO_PERMIT"]), ..any() }, [true, false, false]),
        (v1::AuditFilter { verdict: "deny".to_owned(), ..any() }, [true, false, false]),
        (v1::AuditFilter { verdict: "permit".to_owned(), ..any() }, [false, false, true]),
        (v1::AuditFilter { wallets: texts(&["research-hot"]), ..any() }, [true, false, true]),
        (v1::AuditFilter { wallets: texts(&[HOT]), ..any() }, [true, false, true]),
        (v1::AuditFilter { wallets: texts(&[OTHER]), ..any() }, [false, false, false]),
        // What an agent writes into a label is no wallet.
        (v1::AuditFilter { wallets: texts(&["cold"]), ..any() }, [false, false, false]),
        (v1::AuditFilter { about_seq: 12, ..any() }, [true, true, false]),
        (v1::AuditFilter { about_seq: 112, ..any() }, [false, true, false]),
        (v1::AuditFilter { about_seq: 2, ..any() }, [false, false, false]),
        (
            v1::AuditFilter { agents: texts(&["crawler"]), verdict: "permit".to_owned(), ..any() },
            [false, false, false],
        ),
    ];
    let records = [payment(), report(), act()];
    for (wanted, expected) in table {
        let filter = parse(wanted.clone()).unwrap();
        assert_eq!(records.each_ref().map(|record| filter.fits(record)), expected, "{wanted:?}");
        for (record, fits) in records.iter().zip(expected) {
            assert!(
                !fits || filter.may_fit(&record.canonical),
                "{wanted:?} passes over record {}",
                record.seq
            );
        }
    }
}

#[test]
fn what_cannot_fit_is_passed_over_unread() {
    let any = v1::AuditFilter::default;
    let table = [
        v1::AuditFilter { agents: texts(&["craw"]), ..any() },
        v1::AuditFilter { kinds: texts(&["evidence"]), ..any() },
        v1::AuditFilter { about_seq: 1, ..any() },
        v1::AuditFilter { about_seq: 2, ..any() },
        v1::AuditFilter { wallets: texts(&[OTHER]), ..any() },
    ];
    for wanted in table {
        let filter = parse(wanted.clone()).unwrap();
        assert!(!filter.may_fit(&payment().canonical), "{wanted:?}");
    }
    assert!(
        parse(v1::AuditFilter { about_seq: 1, ..any() }).unwrap().may_fit(b"\xff"),
        "whoever reads it says so"
    );
}

#[test]
fn what_no_record_can_say_is_refused() {
    let any = v1::AuditFilter::default;
    let table = [
        (v1::AuditFilter { agents: texts(&["Crawler"]), ..any() }, "`agents`: `Crawler`"),
        (v1::AuditFilter { workflows: texts(&["a b"]), ..any() }, "`workflows`: `a b`"),
        (v1::AuditFilter { services: texts(&[""]), ..any() }, "`services`"),
        (v1::AuditFilter { wallets: texts(&["0x12"]), ..any() }, "neither an address nor a name"),
        (v1::AuditFilter { kinds: texts(&["payments"]), ..any() }, "write one of genesis, payment"),
        (v1::AuditFilter { codes: texts(&["NO_PERMITS"]), ..any() }, "docs/POLICY_GUIDE.md"),
        (v1::AuditFilter { verdict: "allow".to_owned(), ..any() }, "write one of permit, deny"),
        (v1::AuditFilter { since_unix_ms: 2, until_unix_ms: 2, ..any() }, "not before"),
        (v1::AuditFilter { agents: vec!["a".to_owned(); VALUES_LEN_MAX + 1], ..any() }, "at most 64"),
    ];
    for (wanted, words) in table {
        let refused = parse(wanted.clone()).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wanted:?}");
        assert_eq!(refused.get_details_error_info().unwrap().reason, "MALFORMED_FILTER");
        assert!(refused.message().contains(words), "{}", refused.message());
    }
}

#[test]
fn another_filter_or_direction_is_another_digest() {
    let filters = [
        v1::AuditFilter::default(),
        v1::AuditFilter { agents: texts(&["crawler"]), ..Default::default() },
        v1::AuditFilter { workflows: texts(&["crawler"]), ..Default::default() },
        v1::AuditFilter { since_unix_ms: 1, ..Default::default() },
    ];
    let digests: std::collections::BTreeSet<String> = (filters.into_iter())
        .flat_map(|wanted| {
            [false, true].map(|newest| parse(wanted.clone()).unwrap().digest(newest).to_string())
        })
        .collect();
    assert_eq!(digests.len(), 8);
}

#[test]
fn what_would_be_otherwise_fits_by_how() {
    let of = |flip: &str| {
        let record =
            json!({ "kind": "payment", "seq": 1, "shadow": { "verdict": "deny" }, "verdict": "permit" });
        let shadow = v1::Shadow { flip: flip.to_owned(), ..Default::default() };
        let canonical = record.to_string().into_bytes();
        v1::Decision { seq: 1, shadow: Some(shadow), canonical, ..Default::default() }
    };
    for wanted in ["none", "denies", "permits"] {
        let filter = parse(v1::AuditFilter { flip: wanted.to_owned(), ..Default::default() }).unwrap();
        for flip in ["none", "denies", "permits"] {
            assert_eq!(filter.fits(&of(flip)), flip == wanted, "{flip} of {wanted}");
            assert!(filter.may_fit(&of(flip).canonical));
        }
        assert!(!filter.fits(&payment()) && !filter.may_fit(&payment().canonical), "it was not asked");
    }
    let refused = parse(v1::AuditFilter { flip: "allows".to_owned(), ..Default::default() }).unwrap_err();
    assert!(refused.message().contains("`flip`"), "{refused}");
}

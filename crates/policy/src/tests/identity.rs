//! What agents and operators are known by, and what policies see of it.

use pursekeeper_core::ports::Policy as _;
use pursekeeper_core::{DenyCode, Facts, IdentitySource, Intent, SpiffeId, TokenSubject, UnixPeer, Usd};

use super::errors::check as refused;
use super::fixture::{REGISTRY, agent, bundle, check};
use crate::{Bundle, BundleOptions, EXAMPLES};

const CRAWLER: &str = "    uids: [1001]";
const SELLER: &str = "  seller: { uids: [1002], workflows: [sales, research] }";

fn source(uid: Option<u32>, certificate: bool, token: bool) -> IdentitySource {
    let peer = uid.map(|uid| (UnixPeer { uid, gid: Some(1) }, true));
    let spiffe = SpiffeId::parse("spiffe://prod.example/crawler").unwrap();
    let subject = TokenSubject::parse("cluster:crawler").unwrap();
    IdentitySource::of(peer, certificate.then_some(spiffe), token.then_some(subject)).unwrap()
}

#[test]
fn every_proof_is_read_and_reviewed() {
    let all = "    uids: [1001]\n    gids: [2000, 2001]\n    spiffe: [\"spiffe://prod.example/crawler\"]\n    tokens: [\"cluster:system:serviceaccount:agents:crawler\"]";
    let only_token = "  seller: { tokens: [\"cluster:x\"], workflows: [sales, research] }";
    let text = REGISTRY.replace(CRAWLER, all).replace(SELLER, only_token);
    let bundle = Bundle::from_parts(&text, &[], BundleOptions::default()).unwrap();
    let crawler = &bundle.registry().agents[&agent("crawler")].proofs;
    let said = "uid 1001, gid 2000, gid 2001, spiffe://prod.example/crawler, token cluster:system:serviceaccount:agents:crawler";
    assert_eq!(crawler.text(), said);
    assert!(crawler.know_peer(UnixPeer { uid: 1001, gid: None }));
    assert!(crawler.know_peer(UnixPeer { uid: 9, gid: Some(2001) }));
    assert!(!crawler.know_peer(UnixPeer { uid: 2000, gid: Some(1001) }), "uids and gids are not mixed up");
    assert!(!crawler.know_peer(UnixPeer { uid: 9, gid: None }));
    assert_eq!(bundle.registry().agents[&agent("seller")].proofs.text(), "token cluster:x");
    let reviewed = text.replace(
        "    labels: { model: large-1 }",
        "    labels: { model: large-1 }\n    review_on: [identity]",
    );
    let bundle = Bundle::from_parts(&reviewed, &[], BundleOptions::default()).unwrap();
    assert_eq!(bundle.registry().reviewed()[&agent("crawler")]["identity"], said);
}

#[test]
fn a_proof_leads_to_one_and_is_written_as_it_will_be_shown() {
    let seller = |proof: &str| format!("  seller: {{ {proof}, workflows: [sales, research] }}");
    let table = [
        ("workflows: [sales]", "`uids` is missing"),
        ("uids: []", "the list is empty"),
        ("gids: []", "the list is empty"),
        ("spiffe: []", "the list is empty"),
        ("tokens: []", "the list is empty"),
        ("uids: 1002", "write a list"),
        ("gids: [\"2000\"]", "whole number"),
        ("gids: [-1]", "whole number"),
        ("gids: [7, 7]", "stands here twice"),
        ("spiffe: [\"https://prod.example/x\"]", "begins with `spiffe://`"),
        ("spiffe: [\"spiffe://prod.example\"]", "there is no path"),
        ("spiffe: [\"spiffe://Prod.example/x\"]", "the trust domain"),
        ("spiffe: [\"spiffe://prod.example/*\"]", "the path"),
        ("tokens: [\"crawler\"]", "a colon"),
        ("tokens: [\"Cluster:x\"]", "the issuer"),
        ("tokens: [\"cluster:\"]", "1 to 256 bytes"),
        ("tokens: [\"cluster:a b\"]", "1 to 256 bytes"),
        ("certificates: [x], uids: [1002]", "unknown key `certificates`"),
    ];
    for (proof, what) in table {
        let line = if proof.starts_with("workflows") {
            "  seller: { workflows: [sales] }".to_owned()
        } else {
            seller(proof)
        };
        refused(SELLER, &line, what);
    }
    let kinds = ["gids: [2000]", "spiffe: [\"spiffe://prod.example/x\"]", "tokens: [\"cluster:x\"]"];
    for proof in kinds {
        let shared =
            REGISTRY.replace(CRAWLER, &format!("{CRAWLER}\n    {proof}")).replace(SELLER, &seller(proof));
        let errors = Bundle::from_parts(&shared, &[], BundleOptions { dev: true }).unwrap_err().to_string();
        assert!(errors.contains("already belongs to agent `crawler`"), "{errors}");
        let governs = REGISTRY
            .replace(CRAWLER, &format!("{CRAWLER}\n    {proof}"))
            .replace("alice: { uids: [1000],", &format!("alice: {{ {proof},"));
        let errors = Bundle::from_parts(&governs, &[], BundleOptions::default()).unwrap_err().to_string();
        assert!(errors.contains("whoever asks must not govern"), "{errors}");
        assert!(Bundle::from_parts(&governs, &[], BundleOptions { dev: true }).is_ok());
    }
}

#[test]
fn policies_see_which_proofs_there_were_and_how_many() {
    let strict = "@id(\"strict\") @reason(\"r\") forbid (principal, action == Pursekeeper::Action::\"Pay\", resource)
        unless { context.identity.assurance == 3 && context.identity.source == \"unix-peer+certificate+token\" };";
    let bundle = bundle(&[("strict.cedar", strict)]);
    let by = |source: IdentitySource| move |_: &mut Intent, f: &mut Facts| f.caller.source = source.clone();
    check(&bundle, &by(source(Some(1001), true, true)), None, &["base.sign"]);
    for less in [source(Some(1001), true, false), source(None, true, true), source(Some(1001), false, false)]
    {
        check(&bundle, &by(less), Some(DenyCode::PolicyDenied), &["strict"]);
    }
}

#[test]
fn the_shipped_example_demands_a_token_above_a_dollar() {
    let example = EXAMPLES.iter().find(|(name, _)| *name == "token-above.cedar").unwrap();
    let registry = REGISTRY.replace("payment: \"0.05\"", "payment: \"5\"");
    let bundle = Bundle::from_parts(&registry, &[*example], BundleOptions::default()).unwrap();
    let table = [
        ("1", source(Some(1001), false, false), None),
        ("1.0001", source(Some(1001), false, false), Some(DenyCode::PolicyDenied)),
        ("1.0001", source(None, true, false), Some(DenyCode::PolicyDenied)),
        ("1.0001", source(Some(1001), true, false), Some(DenyCode::PolicyDenied)),
        ("1.0001", source(None, false, true), Some(DenyCode::PolicyDenied)),
        ("1.0001", source(Some(1001), false, true), None),
        ("1.0001", source(None, true, true), None),
        ("1.0001", source(Some(1001), true, true), None),
    ];
    for (usd, source, expected) in table {
        let change = |i: &mut Intent, f: &mut Facts| {
            i.usd = Usd::parse(usd).unwrap();
            f.caller.source = source.clone();
        };
        let policies: &[&str] = if expected.is_none() { &["base.sign"] } else { &["identity.token-above"] };
        check(&bundle, &change, expected, policies);
    }
}

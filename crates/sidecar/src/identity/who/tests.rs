use pursekeeper_core::ports::Policy as _;
use pursekeeper_policy::{Bundle, BundleOptions, STARTER_REGISTRY};

use super::*;

/// Every combination of what can be shown, and who that is. Two agents and one operator, each known by everything.
const TABLE: &str = include_str!("table.tsv");
const SIDECAR: u32 = 65532;

fn bundle(dev: bool) -> Bundle {
    let proofs =
        |name: &str| format!("spiffe: [\"spiffe://prod.example/{name}\"], tokens: [\"cluster:{name}\"]");
    let seller = format!(
        "  seller: {{ uids: [1002], gids: [2001], {}, workflows: [market-research] }}",
        proofs("seller")
    );
    let crawler = "    gids: [2000]\n    spiffe: [\"spiffe://prod.example/crawler\"]\n    tokens: [\"cluster:crawler\"]\n    uids: [1001]";
    let registry = STARTER_REGISTRY
        .replace("alice: { uids: [1000],", &format!("alice: {{ uids: [1000], {},", proofs("alice")))
        .replace("    uids: [1001]", crawler)
        .replace("\nagents:\n", &format!("\nagents:\n{seller}\n"));
    Bundle::from_parts(&registry, &[], BundleOptions { dev }).unwrap()
}

fn shown(columns: &[&str]) -> Shown {
    let [listener, uid, gid, certificate, token] = columns else { panic!("five columns: {columns:?}") };
    let (serves, demand) = listener.split_once('/').unwrap();
    let serves = if serves == "agents" { Serves::Agents } else { Serves::Operators };
    let demand = match demand {
        "peer" => Demand::Peer,
        "peer+token" => Demand::PeerAndToken,
        "certificate" => Demand::Certificate,
        "certificate+token" => Demand::CertificateAndToken,
        "token" => Demand::Token,
        other => panic!("{other}"),
    };
    let peer = (*uid != "-").then(|| UnixPeer { uid: uid.parse().unwrap(), gid: gid.parse().ok() });
    let certificate = match *certificate {
        "-" => None,
        "bad" => Some(Err(CertificateError::Expired)),
        name => Some(Ok(SpiffeId::parse(&format!("spiffe://prod.example/{name}")).unwrap())),
    };
    let token = match *token {
        "-" => None,
        "bad" => Some(Err(TokenError::Expired)),
        name => Some(Ok(TokenSubject::parse(&format!("cluster:{name}")).unwrap())),
    };
    Shown { serves, demand, peer, certificate, token, declared: None }
}

fn answer(result: Result<(Principal, IdentitySource), IdentityError>) -> String {
    match result {
        Ok((principal, source)) => {
            format!("{} {} {}", principal.name(), source.assurance(), source.as_str())
        }
        Err(error) => match error {
            IdentityError::HeaderMissing => "header-missing",
            IdentityError::NoCredentials => "no-credentials",
            IdentityError::CertificateMissing => "certificate-missing",
            IdentityError::Certificate(_) => "certificate-refused",
            IdentityError::TokenMissing => "token-missing",
            IdentityError::Token(_) => "token-refused",
            IdentityError::Unmapped { .. } => "unmapped",
            IdentityError::WrongListener { .. } => "wrong-listener",
            IdentityError::OwnUid(_) => "own-uid",
            IdentityError::Mismatch(_) => "mismatch",
            IdentityError::Declared { .. } => "declared",
        }
        .to_owned(),
    }
}

const RULES: Rules = Rules { own_uid: SIDECAR, dev: false };

#[test]
fn every_combination_of_proofs_is_somebody_or_nobody() {
    let bundle = bundle(false);
    let rows: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(rows.len() >= 200, "{}", rows.len());
    for row in rows {
        let columns: Vec<&str> = row.split('\t').collect();
        let (expected, columns) = columns.split_last().unwrap();
        assert_eq!(answer(RULES.who(bundle.registry(), &shown(columns))), *expected, "{row}");
    }
}

#[test]
fn what_a_call_says_about_itself_must_be_true() {
    let bundle = bundle(false);
    let table = [
        (None, "crawler 1 unix-peer"),
        (Some("crawler"), "crawler 1 unix-peer"),
        (Some("seller"), "declared"),
        (Some("Crawler"), "declared"),
        (Some(""), "declared"),
    ];
    for (declared, expected) in table {
        let declared = declared.map(ToOwned::to_owned);
        let shown = Shown { declared: declared.clone(), ..shown(&["agents/peer", "1001", "100", "-", "-"]) };
        assert_eq!(answer(RULES.who(bundle.registry(), &shown)), expected, "{declared:?}");
    }
}

#[test]
fn who_is_both_is_what_the_listener_is_for_and_only_for_trying_things_out() {
    let both = STARTER_REGISTRY.replace("uids: [1000]", "uids: [1001]");
    let bundle = Bundle::from_parts(&both, &[], BundleOptions { dev: true }).unwrap();
    let table = [
        ("agents/peer", "1001", ["mismatch", "crawler 1 unix-peer"]),
        ("operators/peer", "1001", ["mismatch", "alice 1 unix-peer"]),
        ("agents/peer", "65532", ["own-uid", "unmapped"]),
    ];
    for (listener, uid, expected) in table {
        let answers = [false, true].map(|dev| {
            let rules = Rules { dev, ..RULES };
            answer(rules.who(bundle.registry(), &shown(&[listener, uid, "100", "-", "-"])))
        });
        assert_eq!(answers, expected, "{listener} {uid}");
    }
}

#[test]
fn what_a_stranger_showed_is_known_as_far_as_it_was_verified() {
    let source = |columns: &[&str]| shown(columns).source().map(|source| source.to_string());
    let table = [
        (["agents/peer", "4711", "100", "-", "bad"], Some("uid 4711, gid 100")),
        (["agents/peer", "4711", "100", "-", "nobody"], Some("uid 4711, gid 100, token cluster:nobody")),
        (["agents/certificate", "-", "-", "nobody", "-"], Some("certificate spiffe://prod.example/nobody")),
        (["agents/token", "-", "-", "-", "bad"], None),
    ];
    for (columns, expected) in table {
        assert_eq!(source(&columns).as_deref(), expected, "{columns:?}");
    }
}

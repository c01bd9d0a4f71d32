use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::Signature;

#[test]
fn times_are_held_against_the_clock() {
    let issued = |secs: u64| rfc3339::format(UnixSeconds(secs));
    let table: [(u64, Option<u64>, Option<u64>, &str); 14] = [
        (NOW - 300, None, None, "SIGN_IN_TIME"),
        (NOW - 300, Some(NOW + 60), None, "SIGN_IN_TIME"),
        (NOW - 300, Some(NOW - 1), None, "SIGN_IN_TIME"),
        (NOW - 299, None, None, "signed"),
        (NOW + 11, None, None, "SIGN_IN_TIME"),
        (NOW + 10, None, None, "signed"),
        (NOW, Some(NOW), None, "SIGN_IN_TIME"),
        (NOW, Some(NOW + 1), None, "signed"),
        (NOW, Some(NOW + 900), None, "signed"),
        (NOW, Some(NOW + 901), None, "SIGN_IN_TIME"),
        (NOW, Some(NOW + 10 * 365 * 86_400), None, "SIGN_IN_TIME"),
        (NOW, None, Some(NOW + 11), "SIGN_IN_TIME"),
        (NOW, None, Some(NOW + 10), "signed"),
        (0, None, None, "SIGN_IN_TIME"),
    ];
    for (at, expiration, not_before, expected) in table {
        let mut edited = challenge();
        edited.issued_at = issued(at);
        edited.expiration_time = expiration.map(issued);
        edited.not_before = not_before.map(issued);
        let signed = validate_at(edited.clone(), NOW);
        let code = signed.as_ref().map_or_else(|refusal| refusal.code().as_str(), |_| "signed");
        assert_eq!(code, expected, "{edited:#?}");
        if let Ok(sign_in) = signed {
            assert_eq!(sign_in.expires_at().0, expiration.unwrap_or(at + LIFETIME_SECS_DEFAULT));
            assert_eq!(sign_in.not_before().map(|at| at.0), not_before);
            assert_eq!(sign_in.text().contains("Expiration Time"), expiration.is_some());
        }
    }
}

#[test]
fn the_network_is_one_both_sides_allow() {
    let chain = |chain: &str, signature_type: &str, scheme: Option<&str>| SupportedChain {
        chain: ChainId::parse(chain).unwrap(),
        signature_type: signature_type.to_owned(),
        signature_scheme: scheme.map(str::to_owned),
    };
    let solana = chain("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "ed25519", Some("siws"));
    let refused = [
        vec![],
        vec![solana.clone()],
        vec![chain("eip155:1", "eip191", None)],
        vec![chain("eip155:8453", "EIP191", None)],
        vec![chain("eip155:8453", "eip1271", None)],
        vec![chain("eip155:8453", "eip191", Some("eip1271"))],
        vec![chain("eip155:8453", "eip191", Some("eip6492"))],
        vec![chain("eip155:8453", "eip191", Some("\n"))],
    ];
    for chains in refused {
        check(|it| it.supported_chains = chains, "SIGN_IN_CHAIN");
    }
    let plain = chain("eip155:8453", "eip191", Some("eip191"));
    let mut edited = challenge();
    edited.supported_chains = vec![solana, chain("eip155:8453", "eip1271", None), plain];
    let sign_in = validate_at(edited, NOW).unwrap();
    assert_eq!(sign_in.parts().chain, BASE);
    assert_eq!(sign_in.parts().signature_scheme.as_deref(), Some("eip191"));
}

#[test]
fn parts_that_no_challenge_gives_are_refused() {
    let good = validate_at(challenge(), NOW).unwrap();
    assert_eq!(SignIn::from_parts(good.parts().clone()), Ok(good.clone()));
    let edits: [fn(&mut SignInParts); 8] = [
        |it| it.domain = "evil.example".to_owned(),
        |it| it.chain = ChainId::Other("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".into()),
        |it| it.chain = ChainId::Eip155(0),
        |it| it.statement = Some(String::new()),
        |it| it.request_id = Some("x\nResources:\n- https://bank.example".to_owned()),
        |it| it.resources.push("https://bank.example".to_owned()),
        |it| it.signature_scheme = Some("eip1271".to_owned()),
        |it| it.uri = "https://api.example.com:8443/".to_owned(),
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let mut parts = good.parts().clone();
        edit(&mut parts);
        assert!(SignIn::from_parts(parts).is_err(), "edit {index}");
    }
}

#[test]
fn the_standard_header_echoes_the_challenge() {
    let header = |challenge| {
        let sign_in = validate_at(challenge, NOW).unwrap();
        let [(name, value)] = &sign_in.headers(Signature::Evm([0x1b; 65]))[..] else { panic!("one header") };
        assert_eq!(*name, "SIGN-IN-WITH-X");
        serde_json::from_slice::<serde_json::Value>(&STANDARD.decode(value).unwrap()).unwrap()
    };
    let full = serde_json::json!({
        "domain": "api.example.com",
        "address": "0x21F1324dc65DE1817795eE88D879030Aab4Fc018",
        "uri": "https://api.example.com/premium-data",
        "version": "1",
        "chainId": "eip155:8453",
        "type": "eip191",
        "nonce": "44e526e6d984f2ef1cf5cf16e0fadc56",
        "issuedAt": "2026-01-15T10:30:00.000Z",
        "expirationTime": "2026-01-15T10:35:00.000Z",
        "notBefore": "2026-01-15T10:30:00Z",
        "statement": "Sign in to access premium data",
        "requestId": "req-1",
        "resources": ["https://api.example.com/premium-data"],
        "signature": format!("0x{}", "1b".repeat(65)),
    });
    assert_eq!(header(challenge()), full);
    let mut bare = challenge();
    (bare.expiration_time, bare.not_before, bare.statement, bare.request_id) = (None, None, None, None);
    bare.resources.clear();
    let header = header(bare);
    let names: BTreeSet<&str> = header.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["address", "chainId", "domain", "issuedAt", "nonce", "signature", "type", "uri", "version"];
    assert_eq!(names, BTreeSet::from(expected));
}

#[test]
fn venice_gets_the_whole_message_under_both_names() {
    let endpoint = Endpoint::parse("POST", "https://api.venice.ai/api/v1/chat/completions").unwrap();
    let chains = [BASE];
    let at = |now| SignInContext {
        endpoint: &endpoint,
        address: address(),
        chains: &chains,
        now: UnixSeconds(now),
        skew_secs: 120,
    };
    let challenge = |validity| SignInChallenge::venice(&endpoint, UnixSeconds(NOW), validity, [0xab; 32]);
    let late = |now| challenge(300).validate(&at(now)).unwrap_err().code().as_str();
    assert_eq!(late(NOW + 300), "SIGN_IN_TIME");
    assert_eq!(late(NOW - 31), "SIGN_IN_TIME");
    assert_eq!(challenge(0).validate(&at(NOW)).unwrap_err().code().as_str(), "SIGN_IN_TIME");
    assert!(challenge(300).validate(&at(NOW - 30)).is_ok());
    let sign_in = challenge(3600).validate(&at(NOW)).unwrap();
    let expected = "api.venice.ai wants you to sign in with your Ethereum account:\n\
        0x21F1324dc65DE1817795eE88D879030Aab4Fc018\n\n\
        Sign in to Venice AI\n\n\
        URI: https://api.venice.ai/api/v1/chat/completions\nVersion: 1\nChain ID: 8453\n\
        Nonce: abababababababababababababababab\n\
        Issued At: 2026-01-15T10:30:00.000Z\nExpiration Time: 2026-01-15T10:35:00.000Z";
    assert_eq!(sign_in.text(), expected);
    let [(name, value), (older, same)] = &sign_in.headers(Signature::Evm([0x1c; 65]))[..] else {
        panic!("two headers")
    };
    assert_eq!((*name, *older), ("SIGN-IN-WITH-X", "X-Sign-In-With-X"));
    assert_eq!(value, same);
    let json: serde_json::Value = serde_json::from_slice(&STANDARD.decode(value).unwrap()).unwrap();
    let expected = serde_json::json!({
        "address": "0x21F1324dc65DE1817795eE88D879030Aab4Fc018",
        "message": expected,
        "signature": format!("0x{}", "1c".repeat(65)),
        "chainId": 8453,
        "timestamp": NOW * 1000,
        "type": "eip191",
    });
    assert_eq!(json, expected);
}

#[test]
fn a_loopback_server_keeps_its_port() {
    let endpoint = Endpoint::parse("GET", "http://127.0.0.1:8402/x").unwrap();
    let mut edited = challenge();
    edited.domain = "127.0.0.1:8402".to_owned();
    edited.uri = "http://127.0.0.1:8402/x".to_owned();
    edited.resources = vec![edited.uri.clone()];
    let chains = [BASE];
    let now = UnixSeconds(NOW);
    let context =
        SignInContext { endpoint: &endpoint, address: address(), chains: &chains, now, skew_secs: 0 };
    assert!(edited.clone().validate(&context).is_ok());
    edited.uri = "https://127.0.0.1:8402/x".to_owned();
    edited.resources = vec![edited.uri.clone()];
    assert_eq!(edited.validate(&context).unwrap_err().code().as_str(), "SIGN_IN_DOMAIN");
}

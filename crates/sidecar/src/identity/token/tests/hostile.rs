//! Tokens that somebody made to be somebody else.

use hmac::Hmac;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

use super::mint::{Draft, ISSUER, Minted, NOW, OTHER_ISSUER, encode, mint, signature, signed};
use super::*;

type Hostile = (String, String, &'static str);

/// The word for a reason.
const fn why(error: &TokenError) -> &'static str {
    match error {
        TokenError::Bearer => "bearer",
        TokenError::TooLong(_) => "too long",
        TokenError::Form => "form",
        TokenError::Json { part: _, what: _ } => "json",
        TokenError::HeaderMember(_) => "member",
        TokenError::Type(_) => "type",
        TokenError::Algorithm(_) => "algorithm",
        TokenError::NoKeyId => "no kid",
        TokenError::Issuer => "issuer",
        TokenError::NoKeys(_) => "no keys",
        TokenError::KeyUnknown(_) => "key unknown",
        TokenError::KeyMismatch(_) => "key mismatch",
        TokenError::Signature => "signature",
        TokenError::Claim(_) => "claim",
        TokenError::Audience => "audience",
        TokenError::Expired => "expired",
        TokenError::NotYet(_) => "not yet",
        TokenError::TooLongLived(_) => "too long lived",
        TokenError::Subject => "subject",
        TokenError::Unconfirmed(_) => "unconfirmed",
        TokenError::Unavailable(_) => "unavailable",
    }
}

fn plain(minted: &Minted) -> Draft {
    minted.token("RS256", "rsa")
}

/// Each header member with a value that is wrong, and what it is refused for.
fn headers(minted: &Minted) -> Vec<Hostile> {
    let attackers = minted.key_of_other();
    let table: Vec<(&str, Value, &str)> = vec![
        ("alg", json!("none"), "algorithm"),
        ("alg", json!("None"), "algorithm"),
        ("alg", json!("NONE"), "algorithm"),
        ("alg", json!("nOnE"), "algorithm"),
        ("alg", json!("EdDSA"), "algorithm"),
        ("alg", json!("ES512"), "algorithm"),
        ("alg", json!("ES256K"), "algorithm"),
        ("alg", json!("RSA-OAEP"), "algorithm"),
        ("alg", json!("dir"), "algorithm"),
        ("alg", json!("rs256"), "algorithm"),
        ("alg", json!("RS256 "), "algorithm"),
        ("alg", json!(""), "algorithm"),
        ("alg", json!(256), "json"),
        ("alg", json!(null), "json"),
        ("alg", json!(["RS256"]), "json"),
        ("kid", json!(""), "no kid"),
        ("kid", json!(null), "no kid"),
        ("kid", json!(1), "json"),
        ("kid", json!("unknown"), "key unknown"),
        ("kid", json!("RSA"), "key unknown"),
        ("kid", json!(" rsa"), "key unknown"),
        ("kid", json!("rsa\u{0}"), "key unknown"),
        ("kid", json!("../../../../dev/null"), "key unknown"),
        ("kid", json!("/etc/pursekeeper/jwks.json"), "key unknown"),
        ("kid", json!("https://evil.example/jwks.json"), "key unknown"),
        ("kid", json!("' OR 1=1 --"), "key unknown"),
        ("kid", json!("$(id)"), "key unknown"),
        ("kid", json!("encrypts"), "key unknown"),
        ("kid", json!("signs"), "key unknown"),
        ("kid", json!("weak"), "key unknown"),
        ("kid", json!("other"), "key unknown"),
        ("kid", json!("p256"), "key mismatch"),
        ("kid", json!("rsa-512"), "key mismatch"),
        ("jku", json!("https://evil.example/jwks.json"), "member"),
        ("x5u", json!("https://evil.example/chain.pem"), "member"),
        ("jwk", attackers, "member"),
        ("x5c", json!(["AAAA"]), "member"),
        ("x5t", json!("AAAA"), "member"),
        ("x5t#S256", json!("AAAA"), "member"),
        ("crit", json!([]), "member"),
        ("crit", json!(["exp"]), "member"),
        ("b64", json!(false), "member"),
        ("zip", json!("DEF"), "member"),
        ("enc", json!("A256GCM"), "member"),
        ("cty", json!("JWT"), "member"),
        ("Alg", json!("none"), "member"),
        ("typ", json!("at+jwt"), "type"),
        ("typ", json!("JWS"), "type"),
        ("typ", json!("jwt"), "type"),
        ("typ", json!(1), "json"),
    ];
    let row = |(name, value, expected): (&str, Value, &'static str)| {
        (format!("{name}: {value}"), plain(minted).header(name, value).sign(), expected)
    };
    let mut rows: Vec<Hostile> = table.into_iter().map(row).collect();
    rows.push(("no alg".into(), plain(minted).without("alg").sign(), "json"));
    rows.push(("no kid".into(), plain(minted).without("kid").sign(), "no kid"));
    rows
}

/// Each claim with a value that is wrong.
fn claims(minted: &Minted) -> Vec<Hostile> {
    let table: Vec<(&str, Value, &str)> = vec![
        ("aud", json!(["api"]), "audience"),
        ("aud", json!("pursekeeper2"), "audience"),
        ("aud", json!("Pursekeeper"), "audience"),
        ("aud", json!("pursekeeper purse"), "audience"),
        ("aud", json!([]), "audience"),
        ("aud", json!(1), "claim"),
        ("aud", json!([["pursekeeper"]]), "claim"),
        ("aud", json!(null), "claim"),
        ("exp", json!(NOW - 1), "expired"),
        ("exp", json!(NOW), "expired"),
        ("exp", json!(0), "expired"),
        ("exp", json!(NOW - 10 + 7201), "too long lived"),
        ("exp", json!(u64::MAX), "too long lived"),
        ("exp", json!("1800003600"), "json"),
        ("exp", json!(1_800_003_600.5), "json"),
        ("exp", json!(-1), "json"),
        ("exp", json!(null), "json"),
        ("nbf", json!(NOW + 61), "not yet"),
        ("nbf", json!("0"), "json"),
        ("iat", json!(NOW + 61), "not yet"),
        ("iat", json!(NOW - 4000), "too long lived"),
        ("iat", json!(-5), "json"),
        ("iss", json!(OTHER_ISSUER), "key unknown"),
        ("iss", json!("https://evil.example"), "issuer"),
        ("iss", json!(format!("{ISSUER}/")), "issuer"),
        ("iss", json!(""), "issuer"),
        ("iss", json!([ISSUER]), "json"),
        ("sub", json!(""), "subject"),
        ("sub", json!("a\nb"), "subject"),
        ("sub", json!("a b"), "subject"),
        ("sub", json!("x".repeat(257)), "subject"),
        ("sub", json!(7), "json"),
        ("sub", json!(null), "json"),
    ];
    let row = |(name, value, expected): (&str, Value, &'static str)| {
        (format!("{name}: {value}"), plain(minted).claim(name, value).sign(), expected)
    };
    let mut rows: Vec<Hostile> = table.into_iter().map(row).collect();
    for name in ["aud", "exp", "iss", "sub"] {
        rows.push((format!("no {name}"), plain(minted).without(name).sign(), "claim"));
    }
    rows
}

/// What is no JWS in compact serialisation, and JSON that two readers could read in two ways.
fn forms(minted: &Minted) -> Vec<Hostile> {
    let good = plain(minted).sign();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, body, seal] = parts[..] else { panic!("three parts") };
    let flattened = json!({ "protected": header, "payload": body, "signature": seal }).to_string();
    let general =
        json!({ "payload": body, "signatures": [{ "protected": header, "signature": seal }] }).to_string();
    let (head, text) = plain(minted).texts();
    let open = |text: &str| text.strip_suffix('}').unwrap().to_owned();
    let twice_alg = format!("{},\"alg\":\"RS256\"}}", open(&head));
    let twice_kid = format!("{},\"kid\":\"rsa\"}}", open(&head));
    let escaped = format!("{},\"al\\u0067\":\"none\"}}", open(&head));
    let twice_exp = format!("{},\"exp\":{}}}", open(&text), NOW + 3600);
    let twice_sub = format!("{},\"sub\":\"root\"}}", open(&text));
    let twice_inside = format!("{},\"x\":[{{\"a\":1,\"a\":2}}]}}", open(&text));
    let deep = format!("{},\"x\":{}{}}}", open(&text), "[".repeat(500), "]".repeat(500));
    let last = seal.chars().last().unwrap();
    // The last letter of 256 bytes has four bits to spare, and they are zero.
    let untidy = last.to_string().replace('A', "B").replace('Q', "R").replace('g', "h").replace('w', "x");
    let table: Vec<(&str, String, &'static str)> = vec![
        ("JWS JSON, flattened", flattened, "form"),
        ("JWS JSON, general", general, "form"),
        ("one part", header.to_owned(), "form"),
        ("two parts", format!("{header}.{body}"), "form"),
        ("four parts", format!("{good}.{seal}"), "form"),
        ("five parts, a JWE", format!("{good}.{seal}.{seal}"), "form"),
        ("a dot at the end", format!("{good}."), "form"),
        ("a dot at the beginning", format!(".{good}"), "form"),
        ("two dots", format!("{header}..{seal}"), "form"),
        ("no signature", format!("{header}.{body}."), "form"),
        ("only dots", "..".to_owned(), "form"),
        ("padding", format!("{header}.{body}.{seal}="), "form"),
        ("another alphabet", format!("{header}.{body}.+/{seal}"), "form"),
        ("a blank before it", format!(" {good}"), "form"),
        ("a line break after it", format!("{good}\n"), "form"),
        ("a blank inside", format!("{header}. {body}.{seal}"), "form"),
        ("a letter of another script", format!("{header}.{body}.ä{seal}"), "form"),
        (
            "untidy last bits",
            format!("{header}.{body}.{}", seal.strip_suffix(last).unwrap().to_owned() + &untidy),
            "form",
        ),
        ("a NUL", format!("{header}.{body}\0.{seal}"), "form"),
        ("huge", format!("{header}.{}.{seal}", "A".repeat(8000)), "too long"),
        ("alg twice", signed("RS256", twice_alg, &text), "json"),
        ("kid twice", signed("RS256", twice_kid, &text), "json"),
        ("alg twice, once escaped", signed("RS256", escaped, &text), "json"),
        ("exp twice", signed("RS256", &head, twice_exp), "json"),
        ("sub twice", signed("RS256", &head, twice_sub), "json"),
        ("something twice, deep inside", signed("RS256", &head, twice_inside), "json"),
        ("too deep", signed("RS256", &head, deep), "json"),
        ("claims that are a list", signed("RS256", &head, "[]"), "json"),
        ("claims that are a text", signed("RS256", &head, "\"x\""), "json"),
        ("a header that is a list", signed("RS256", "[\"RS256\"]", &text), "json"),
        ("no JSON", signed("RS256", &head, "exp=1"), "json"),
        ("something after the JSON", signed("RS256", &head, format!("{text}{{}}")), "json"),
        ("no UTF-8", signed("RS256", &head, b"{\"iss\":\"\xff\"}"), "json"),
        ("a comment", signed("RS256", format!("/* */{head}"), &text), "json"),
    ];
    table.into_iter().map(|(name, token, expected)| (name.to_owned(), token, expected)).collect()
}

/// A signature that is not one, or by somebody else.
fn signatures(minted: &Minted) -> Vec<Hostile> {
    let good = plain(minted).sign();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, body, seal] = parts[..] else { panic!("three parts") };
    let (_, other_body) = plain(minted).claim("sub", json!("root")).texts();
    let es = minted.token("ES256", "p256");
    let es_text = es.sign();
    let (es_message, es_seal) = es_text.rsplit_once('.').unwrap();
    let attacker = minted.token("ES256", "p256").by("other").sign();
    let zeros = |len: usize| format!("{es_message}.{}", encode(vec![0; len]));
    let table: Vec<(&str, String, &'static str)> = vec![
        ("other claims", format!("{header}.{}.{seal}", encode(other_body)), "signature"),
        ("the header of another token", plain(minted).by("RS384").sign(), "signature"),
        ("PS256 that says RS256", plain(minted).by("PS256").sign(), "signature"),
        ("RS256 that says PS256", minted.token("PS256", "rsa").by("RS256").sign(), "signature"),
        ("the key of somebody else", attacker, "signature"),
        ("ECDSA in DER", es.clone().by("ES256 as DER").sign(), "signature"),
        ("r and s of zero", zeros(64), "signature"),
        ("one zero", zeros(1), "signature"),
        ("a signature of another token", format!("{es_message}.{seal}"), "signature"),
        ("a signature with more behind it", format!("{es_message}.{es_seal}AAAA"), "signature"),
        (
            "half a signature",
            format!("{header}.{body}.{}", encode(&signature("RS256", b"x")[..128])),
            "signature",
        ),
        ("ES256 with an RSA key", minted.token("ES256", "rsa").sign(), "key mismatch"),
        ("ES384 with a P-256 key", minted.token("ES384", "p256").sign(), "key mismatch"),
        ("ES256 with a P-384 key", minted.token("ES256", "p384").sign(), "key mismatch"),
        (
            "another issuer's key for its own claim",
            minted.token("ES256", "other").by("other").sign(),
            "key unknown",
        ),
    ];
    let mut rows: Vec<Hostile> =
        table.into_iter().map(|(name, token, expected)| (name.to_owned(), token, expected)).collect();
    let jwks = json!({ "keys": minted.keys() }).to_string().into_bytes();
    for (name, secret) in
        [("the JWKS", jwks), ("the public key", minted.rsa_public()), ("nothing", Vec::new())]
    {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let (header, text) = plain(minted).header("alg", json!(algorithm)).texts();
            let message = format!("{}.{}", encode(header), encode(text));
            let seal = match algorithm {
                "HS256" => hmac::<Hmac<Sha256>>(&secret, &message),
                "HS384" => hmac::<Hmac<Sha384>>(&secret, &message),
                _ => hmac::<Hmac<Sha512>>(&secret, &message),
            };
            rows.push((
                format!("{algorithm} with {name} as secret"),
                format!("{message}.{seal}"),
                "algorithm",
            ));
        }
    }
    rows
}

fn hmac<M: hmac::Mac + hmac::KeyInit>(secret: &[u8], message: &str) -> String {
    let mut mac = <M as hmac::KeyInit>::new_from_slice(secret).unwrap();
    mac.update(message.as_bytes());
    encode(mac.finalize().into_bytes())
}

#[test]
fn every_hostile_token_is_refused_for_the_reason_that_is_meant() {
    let minted = mint();
    let (_dir, issuers) = issuers(minted, LIMITS);
    let all = [headers(minted), claims(minted), forms(minted), signatures(minted)].concat();
    assert!(all.len() >= 60, "{}", all.len());
    for (name, token, expected) in &all {
        match check(&issuers, &format!("Bearer {token}")) {
            Err(error) => {
                assert_eq!(why(&error), *expected, "{name}: {error}");
                assert!(error.to_string().len() < 300, "{name}: {error}");
            }
            Ok(subject) => panic!("{name}: it is taken for {subject}"),
        }
    }
}

#[test]
fn what_is_no_bearer_token_is_refused() {
    let minted = mint();
    let (_dir, issuers) = issuers(minted, LIMITS);
    let good = plain(minted).sign();
    let table = [
        (format!("Basic {good}"), "bearer"),
        (format!("Bearer:{good}"), "bearer"),
        (good.clone(), "bearer"),
        ("Bearer".to_owned(), "bearer"),
        ("Bearer ".to_owned(), "bearer"),
        (String::new(), "bearer"),
        (format!("Bearer  {good}"), "form"),
        (format!("Bearer {good} {good}"), "form"),
        (format!("Bearer {good}, Bearer {good}"), "form"),
    ];
    for (authorization, expected) in table {
        let refused = check(&issuers, &authorization).map_err(|error| why(&error));
        assert_eq!(refused, Err(expected), "{authorization}");
    }
}

//! Good tokens, and every trick we know next to them. Each is refused for the reason that is meant.

mod hostile;
mod https;
mod mint;

use pursekeeper_core::UnixSeconds;
use serde_json::{Value, json};

use super::*;
use mint::{ISSUER, Minted, NOW, OTHER_ISSUER, mint};

const LIMITS: TokenLimits = TokenLimits { bytes_max: 4096, life_secs_max: 7200, skew_secs: 60 };

/// Two issuers, the second with one key whose id the first does not have.
fn issuers(minted: &Minted, limits: TokenLimits) -> (tempfile::TempDir, Issuers) {
    let dir = tempfile::tempdir().unwrap();
    let config = |name: &str, iss: &str, keys: Value| {
        let path = dir.path().join(name);
        std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
        let text = format!(
            "{{ name: {name}, issuer: \"{iss}\", audiences: [pursekeeper, purse], jwks: \"{}\" }}",
            path.display()
        );
        serde_yaml::from_str(&text).unwrap()
    };
    let configs = [
        config("cluster", ISSUER, minted.keys()),
        config("other", OTHER_ISSUER, json!([minted.key_of_other()])),
    ];
    let issuers = Issuers::open(&configs, limits).unwrap();
    (dir, issuers)
}

fn check(issuers: &Issuers, authorization: &str) -> Result<String, TokenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(issuers.prove(authorization, UnixSeconds(NOW))).map(|subject| subject.to_string())
}

#[test]
fn a_token_that_is_as_it_should_be_says_who_it_is_about() {
    let minted = mint();
    let (_dir, issuers) = issuers(minted, LIMITS);
    let plain = || minted.token("RS256", "rsa");
    let kubernetes =
        json!({ "namespace": "agents", "pod": { "name": "crawler-0" }, "warnafter": NOW + 3607 });
    let table = [
        ("RS256", plain().sign()),
        ("RS384", minted.token("RS384", "rsa").sign()),
        ("RS512", minted.token("RS512", "rsa").sign()),
        ("RS512, the only one of its key", minted.token("RS512", "rsa-512").sign()),
        ("PS256", minted.token("PS256", "rsa").sign()),
        ("PS384", minted.token("PS384", "rsa").sign()),
        ("PS512", minted.token("PS512", "rsa").sign()),
        ("ES256", minted.token("ES256", "p256").sign()),
        ("ES384", minted.token("ES384", "p384").sign()),
        ("ES256 of a SPIFFE bundle", minted.token("ES256", "svid").sign()),
        ("typ", plain().header("typ", json!("JWT")).sign()),
        ("one audience", plain().claim("aud", json!("pursekeeper")).sign()),
        ("another audience of ours", plain().claim("aud", json!(["purse"])).sign()),
        ("several audiences", plain().claim("aud", json!(["api", "pursekeeper"])).sign()),
        ("no iat and no nbf", plain().without("iat").without("nbf").sign()),
        ("iat within the skew", plain().claim("iat", json!(NOW + 60)).sign()),
        ("nbf within the skew", plain().claim("nbf", json!(NOW + 60)).sign()),
        ("the last second", plain().claim("exp", json!(NOW + 1)).sign()),
        ("the longest life", plain().claim("exp", json!(NOW - 10 + 7200)).sign()),
        ("claims of Kubernetes", plain().claim("kubernetes.io", kubernetes).sign()),
    ];
    for (name, token) in table {
        let found = check(&issuers, &format!("Bearer {token}"));
        assert_eq!(found.as_deref(), Ok("cluster:system:serviceaccount:agents:crawler"), "{name}");
    }
    assert!(check(&issuers, &format!("bearer {}", plain().sign())).is_ok(), "a scheme has no case");
}

#[test]
fn the_limits_are_what_the_configuration_says() {
    let minted = mint();
    let token = minted.token("RS256", "rsa").claim("iat", json!(NOW + 30)).sign();
    let authorization = format!("Bearer {token}");
    let under = |limits: TokenLimits| check(&issuers(minted, limits).1, &authorization).map(drop);
    assert_eq!(under(LIMITS), Ok(()));
    assert_eq!(under(TokenLimits { skew_secs: 29, ..LIMITS }), Err(TokenError::NotYet("iat")));
    assert_eq!(under(TokenLimits { life_secs_max: 3569, ..LIMITS }), Err(TokenError::TooLongLived(3569)));
    let short = token.len() - 1;
    assert_eq!(under(TokenLimits { bytes_max: short, ..LIMITS }), Err(TokenError::TooLong(short)));
    let limits: crate::config::Limits =
        serde_yaml::from_str("token_bytes_max: 1\ntoken_life_secs_max: 2\nskew_secs: 3").unwrap();
    assert_eq!(TokenLimits::of(&limits), TokenLimits { bytes_max: 1, life_secs_max: 2, skew_secs: 3 });
}

#[test]
fn keys_that_change_are_taken_over_and_bad_ones_are_not() {
    let minted = mint();
    let (dir, issuers) = issuers(minted, LIMITS);
    let authorization = format!("Bearer {}", minted.token("ES256", "p256").sign());
    let put = |text: &str| std::fs::write(dir.path().join("cluster"), text).unwrap();
    let looked = || issuers.on_disk()[0].look();
    assert!(check(&issuers, &authorization).is_ok() && !looked().unwrap());
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "p256", "k": "AAAA" }] }).to_string();
    let mut private = minted.keys();
    private[0]["d"] = json!("AAAA");
    let twice = json!({ "keys": [minted.keys()[0], minted.keys()[0]] }).to_string();
    for bad in ["", "{}", "{\"keys\": []}", &secret, &json!({ "keys": private }).to_string(), &twice] {
        put(bad);
        assert!(looked().is_err(), "{bad}");
        assert!(check(&issuers, &authorization).is_ok(), "the old keys stay");
    }
    put(&json!({ "keys": [minted.key_of_other()] }).to_string());
    assert!(looked().unwrap());
    assert_eq!(check(&issuers, &authorization), Err(TokenError::KeyUnknown("cluster".to_owned())));
}

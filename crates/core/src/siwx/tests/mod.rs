//! The rules as a whole; what a single file can prove alone stands there.

mod fields;
mod rules;
mod text;

use super::*;
use crate::{Address, ChainId, Endpoint, EvmAddress, UnixSeconds};

/// 2026-01-15T10:30:00Z.
const NOW: u64 = 1_768_473_000;
const BASE: ChainId = ChainId::Eip155(8453);
const SKEW_SECS: u64 = 10;

fn address() -> Address {
    EvmAddress::parse("0x21F1324dc65DE1817795eE88D879030Aab4Fc018").unwrap().into()
}

fn endpoint() -> Endpoint {
    Endpoint::parse("GET", "https://api.example.com/premium-data?q=1").unwrap()
}

fn challenge() -> SignInChallenge {
    let uri = "https://api.example.com/premium-data";
    let chain = SupportedChain { chain: BASE, signature_type: "eip191".to_owned(), signature_scheme: None };
    SignInChallenge {
        profile: SignInProfile::Standard,
        domain: "api.example.com".to_owned(),
        uri: uri.to_owned(),
        version: "1".to_owned(),
        nonce: "44e526e6d984f2ef1cf5cf16e0fadc56".to_owned(),
        issued_at: "2026-01-15T10:30:00.000Z".to_owned(),
        statement: Some("Sign in to access premium data".to_owned()),
        expiration_time: Some("2026-01-15T10:35:00.000Z".to_owned()),
        not_before: Some("2026-01-15T10:30:00Z".to_owned()),
        request_id: Some("req-1".to_owned()),
        resources: vec![uri.to_owned()],
        supported_chains: vec![chain],
    }
}

fn validate_at(challenge: SignInChallenge, now: u64) -> Result<SignIn, SignInRefusal> {
    let (endpoint, now) = (endpoint(), UnixSeconds(now));
    let chains = [BASE];
    let context =
        SignInContext { endpoint: &endpoint, address: address(), chains: &chains, now, skew_secs: SKEW_SECS };
    challenge.validate(&context)
}

fn check(edit: impl FnOnce(&mut SignInChallenge), expected: &str) {
    let mut edited = challenge();
    edit(&mut edited);
    assert_ne!(edited, challenge());
    let code = validate_at(edited.clone(), NOW).map_or_else(|refusal| refusal.code().as_str(), |_| "signed");
    assert_eq!(code, expected, "{edited:#?}");
}

//! Sign-in challenges, as an extension and in a header: what passes is signed line for line as the server wrote it, and
//! is about the origin of the call.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use pursekeeper_core::siwx::{
    AGE_SECS_MAX, EXPIRY_SECS_MAX, SignIn, SignInChallenge, SignInContext, SignInParts, SignInProfile,
    TEXT_LEN_MAX,
};
use pursekeeper_core::{Address, ChainId, Endpoint, EvmAddress, Origin, Signature, UnixSeconds};
use pursekeeper_fuzz::{Members, assert_one_line, assert_short_error};

/// 2026-01-15T10:30:00Z, the time the seeds are written for.
const NOW: UnixSeconds = UnixSeconds(1_768_473_000);
const SKEW_SECS: u64 = 30;
const CHAINS: [ChainId; 2] = [ChainId::Eip155(8453), ChainId::Eip155(84532)];
const CALL: &str = "https://api.example.com/v1/report";

fuzz_target!(|data: &[u8]| {
    read(SignInChallenge::from_header(data));
    read(SignInChallenge::from_header(STANDARD.encode(data).as_bytes()));
    let Ok(text) = std::str::from_utf8(data) else { return };
    let alone = SignInChallenge::from_extension(text);
    if let Ok(challenge) = &alone {
        let whole = format!(r#"{{"x402Version":2,"accepts":[],"extensions":{{"sign-in-with-x":{text}}}}}"#);
        // Too deep or too long, if anything: the same extension never says two things.
        if let Ok(wrapped) = SignInChallenge::from_header(STANDARD.encode(whole).as_bytes()) {
            assert_eq!(&wrapped, challenge);
        }
    }
    read(alone);
    if let Ok(endpoint) = Endpoint::parse("GET", text.trim_end()) {
        let challenge = SignInChallenge::venice(&endpoint, NOW, u64::MAX, [7; 32]);
        check(challenge, &endpoint);
    }
});

fn read<E: std::error::Error>(challenge: Result<SignInChallenge, E>) {
    let challenge = match challenge {
        Ok(challenge) => challenge,
        Err(error) => return assert_short_error(&error),
    };
    assert!(!challenge.supported_chains.is_empty());
    // The call as it might be, and a call that the server would like best.
    for url in [CALL, &challenge.uri] {
        if let Ok(endpoint) = Endpoint::parse("GET", url) {
            check(challenge.clone(), &endpoint);
        }
    }
}

fn check(challenge: SignInChallenge, endpoint: &Endpoint) {
    let address = Address::Evm(EvmAddress::from_bytes([0xab; 20]));
    let context = SignInContext { endpoint, address, chains: &CHAINS, now: NOW, skew_secs: SKEW_SECS };
    let sign_in = match challenge.clone().validate(&context) {
        Ok(sign_in) => sign_in,
        Err(refusal) => {
            // The only text of a server in it is a domain, which has to look like one first.
            return assert_one_line(&refusal.to_string());
        }
    };
    let parts = sign_in.parts();
    assert_eq!((parts.address, CHAINS.contains(&parts.chain)), (address, true));
    assert_echoes(parts, &challenge);
    assert_eq!(SignIn::from_parts(parts.clone()).as_ref(), Ok(&sign_in));
    assert!(sign_in.text().len() <= TEXT_LEN_MAX);
    assert_eq!(sign_in.text().split('\n').collect::<Vec<_>>(), lines(parts));
    for uri in parts.resources.iter().chain([&parts.uri]) {
        assert_eq!(Origin::parse(uri).as_ref(), Ok(endpoint.origin()));
    }
    assert_eq!(format!("{}://{}", endpoint.origin().scheme(), parts.domain), endpoint.origin().to_string());
    assert!(sign_in.issued_at().0 <= NOW.0 + SKEW_SECS && sign_in.issued_at().0 + AGE_SECS_MAX > NOW.0);
    assert!(sign_in.expires_at().0 <= NOW.0 + EXPIRY_SECS_MAX);
    assert!(sign_in.not_before().is_none_or(|time| time.0 <= NOW.0 + SKEW_SECS));
    assert_reads_back(&sign_in);
    assert_header(&sign_in);
}

/// Nothing is added to what the server asked for, and nothing changed.
fn assert_echoes(parts: &SignInParts, challenge: &SignInChallenge) {
    assert_eq!(
        (&parts.domain, &parts.uri, &parts.nonce, &parts.issued_at, &parts.statement),
        (&challenge.domain, &challenge.uri, &challenge.nonce, &challenge.issued_at, &challenge.statement)
    );
    assert_eq!(
        (&parts.expiration_time, &parts.not_before, &parts.request_id, &parts.resources),
        (&challenge.expiration_time, &challenge.not_before, &challenge.request_id, &challenge.resources)
    );
}

/// The lines the fields give, and no others.
fn lines(parts: &SignInParts) -> Vec<String> {
    let chain = parts.chain.to_string();
    let mut lines = vec![
        format!("{} wants you to sign in with your Ethereum account:", parts.domain),
        parts.address.to_string(),
        String::new(),
    ];
    lines.extend(parts.statement.clone());
    lines.push(String::new());
    lines.push(format!("URI: {}", parts.uri));
    lines.push("Version: 1".to_owned());
    lines.push(format!("Chain ID: {}", chain.strip_prefix("eip155:").unwrap()));
    lines.push(format!("Nonce: {}", parts.nonce));
    lines.push(format!("Issued At: {}", parts.issued_at));
    lines.extend(parts.expiration_time.iter().map(|time| format!("Expiration Time: {time}")));
    lines.extend(parts.not_before.iter().map(|time| format!("Not Before: {time}")));
    lines.extend(parts.request_id.iter().map(|id| format!("Request ID: {id}")));
    if !parts.resources.is_empty() {
        lines.push("Resources:".to_owned());
    }
    lines.extend(parts.resources.iter().map(|resource| format!("- {resource}")));
    lines
}

/// Another reader of EIP-4361 finds the same fields in the text, if it reads it at all.
fn assert_reads_back(sign_in: &SignIn) {
    let (parts, text) = (sign_in.parts(), sign_in.text());
    let Ok(message) = text.parse::<siwe::Message>() else { return };
    assert_eq!(message.to_string(), text);
    assert_eq!((message.domain.as_str(), message.uri.as_str()), (parts.domain.as_str(), parts.uri.as_str()));
    assert_eq!(ChainId::Eip155(message.chain_id), parts.chain);
    assert_eq!(Address::Evm(EvmAddress::from_bytes(message.address)), parts.address);
    assert_eq!((&message.statement, &message.nonce), (&parts.statement, &parts.nonce));
    assert_eq!(message.request_id, parts.request_id);
    assert!(message.resources.iter().map(|resource| resource.as_str()).eq(&parts.resources));
    let secs =
        |time: &siwe::TimeStamp| u64::try_from(time.as_ref().unix_timestamp()).map(UnixSeconds).unwrap();
    assert_eq!(secs(&message.issued_at), sign_in.issued_at());
    let expires_at = message.expiration_time.as_ref().map(secs);
    assert_eq!(expires_at, parts.expiration_time.is_some().then(|| sign_in.expires_at()));
    assert_eq!(message.not_before.as_ref().map(secs), sign_in.not_before());
}

/// The server builds the message again from the header's fields, so each is there as it was signed.
fn assert_header(sign_in: &SignIn) {
    let parts = sign_in.parts();
    for (_, value) in sign_in.headers(Signature::Evm([7; 65])) {
        let json = String::from_utf8(STANDARD.decode(value).unwrap()).unwrap();
        let header = Members::read(&json).unwrap();
        header.assert_distinct();
        match parts.profile {
            SignInProfile::Venice => assert_eq!(header.text("message").as_deref(), Some(sign_in.text())),
            SignInProfile::Standard => {
                let fields = [
                    ("domain", Some(&parts.domain)),
                    ("uri", Some(&parts.uri)),
                    ("nonce", Some(&parts.nonce)),
                    ("issuedAt", Some(&parts.issued_at)),
                    ("statement", parts.statement.as_ref()),
                    ("expirationTime", parts.expiration_time.as_ref()),
                    ("notBefore", parts.not_before.as_ref()),
                    ("requestId", parts.request_id.as_ref()),
                ];
                for (name, meant) in fields {
                    assert_eq!(header.text(name).as_ref(), meant, "{name}");
                }
                let resources = header.get("resources").unwrap_or("[]");
                assert_eq!(serde_json::from_str::<Vec<String>>(resources).unwrap(), parts.resources);
            }
        }
    }
}

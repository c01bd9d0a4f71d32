//! What was signed for a sign-in, held against what the server may rebuild.

use alloy_primitives::eip191_hash_message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pursekeeper_api::v1;
use pursekeeper_tests::signer_of;
use serde_json::Value;

use crate::case::AllowedSignIn;
use crate::challenge::Sent;
use crate::payment::now;

/// How long a sign-in without an end lives.
const LIFETIME_SECS: u64 = 300;

/// Checks that the signed text is the one every EIP-4361 library builds from the challenge, and not a line more.
pub(crate) fn check(name: &str, signed: &v1::SignedIn, allowed: &AllowedSignIn, sent: &Sent) {
    let within = sent.json.pointer("/extensions/sign-in-with-x");
    let info = &within.unwrap_or(&sent.json)["info"];
    assert_eq!(signed.message, text(info, &signed.wallet_address, &allowed.chain), "`{name}`");
    assert_eq!(signed.headers.len(), 1, "`{name}`");
    let header = STANDARD.decode(&signed.headers[0].value).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let digest = eip191_hash_message(&signed.message).0;
    assert_eq!(signer_of(digest, header["signature"].as_str().unwrap()), signed.wallet_address, "`{name}`");
    assert_eq!(header["chainId"], allowed.chain, "`{name}`");
    for (field, value) in info.as_object().unwrap() {
        let empty = value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
        assert!(header[field] == *value || empty && header[field].is_null(), "`{name}`: {field}");
    }
    let ends = info["expirationTime"].as_str().filter(|text| !text.is_empty()).map(seconds);
    let ends = ends.unwrap_or_else(|| seconds(info["issuedAt"].as_str().unwrap()) + LIFETIME_SECS);
    assert_eq!(signed.expires_at, ends, "`{name}`");
    assert!(ends <= now() + allowed.valid_secs, "`{name}`: it is valid until {ends}");
}

/// EIP-4361, written from the challenge as a server does it.
fn text(info: &Value, address: &str, chain: &str) -> String {
    let field = |name: &str| info[name].as_str().filter(|text| !text.is_empty());
    let required = |name: &str| field(name).unwrap();
    let chain_id = chain.strip_prefix("eip155:").unwrap();
    let mut lines = vec![
        format!("{} wants you to sign in with your Ethereum account:", required("domain")),
        address.to_owned(),
        String::new(),
    ];
    lines.extend(field("statement").map(str::to_owned));
    lines.extend([
        String::new(),
        format!("URI: {}", required("uri")),
        "Version: 1".to_owned(),
        format!("Chain ID: {chain_id}"),
        format!("Nonce: {}", required("nonce")),
        format!("Issued At: {}", required("issuedAt")),
    ]);
    for (label, name) in
        [("Expiration Time", "expirationTime"), ("Not Before", "notBefore"), ("Request ID", "requestId")]
    {
        lines.extend(field(name).map(|text| format!("{label}: {text}")));
    }
    let resources = info["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !resources.is_empty() {
        lines.push("Resources:".to_owned());
        lines.extend(resources.iter().map(|resource| format!("- {}", resource.as_str().unwrap())));
    }
    lines.join("\n")
}

fn seconds(text: &str) -> u64 {
    let at: jiff::Timestamp = text.parse().unwrap();
    u64::try_from(at.as_second()).unwrap()
}

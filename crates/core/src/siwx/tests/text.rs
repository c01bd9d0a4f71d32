use proptest::prelude::*;

use super::*;
use crate::Digest;
use crate::siwx::message::{self, Message};

#[test]
fn texts_that_say_something_else_are_not_read() {
    let text = validate_at(challenge(), NOW).unwrap().text().to_owned();
    assert!(Message::parse(&text).is_some());
    let table = [
        ("api.example.com wants", " wants"),
        ("api.example.com wants", "a b wants"),
        (" wants you", "  wants you"),
        ("account:", "account: "),
        ("Ethereum", "Solana"),
        ("0x21F1324dc65DE1817795eE88D879030Aab4Fc018", "0x21f1324dc65de1817795ee88d879030aab4fc018"),
        ("0x21F1324dc65DE1817795eE88D879030Aab4Fc018", "0x"),
        ("\n\nSign", "\nSign"),
        ("\n\nSign", "\n\n\n\nSign"),
        ("data\n\nURI", "data\nURI"),
        ("data\n\nURI", "data\n\n\nURI"),
        ("Version: 1", "Version: 2"),
        ("Version: 1\n", ""),
        ("Chain ID: 8453", "Chain ID: 08453"),
        ("Chain ID: 8453", "Chain ID: +8453"),
        ("Chain ID: 8453", "Chain ID: eip155:8453"),
        ("Chain ID: 8453", "Chain ID: 0"),
        ("Nonce: 44e526e6d984f2ef1cf5cf16e0fadc56", "Nonce: 1234567"),
        ("Nonce: 44", "Nonce: -4"),
        ("Nonce: ", "nonce: "),
        ("Issued At: 2026", "Issued At: 026"),
        ("Issued At", "Expiration Time: 2026-01-15T10:35:00.000Z\nIssued At"),
        ("Request ID: req-1", "Request ID: "),
        ("Request ID: req-1", "Request ID: req 1"),
        ("Request ID: req-1", "Request ID: req-1\nRequest ID: req-1"),
        ("\n- https://api.example.com/premium-data", ""),
        ("\n- https", "\n-https"),
        ("\n- https", "\n\n- https"),
        ("\n", "\r\n"),
        ("premium data", "premium\u{a0}data"),
    ];
    for (from, to) in table {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from:?}");
        assert_eq!(Message::parse(&edited), None, "{edited}");
    }
    assert_eq!(Message::parse(&format!("{text}\n")), None);
    assert_eq!(Message::parse(""), None);
}

#[test]
fn the_vectors_of_the_reference_library_agree() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../tests/vectors/evm.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap().iter().filter(|vector| vector["kind"] == "siwe");
    let mut count = 0;
    for vector in vectors {
        let field = |name: &str| vector[name].as_str().unwrap();
        let message = Message::parse(field("message")).unwrap();
        let sign_in = SignIn::from_parts(parts_of(&message)).unwrap();
        assert_eq!(sign_in.parts().address.to_string(), field("address"));
        assert_eq!(sign_in.text(), field("message"));
        assert_eq!(format!("0x{}", sign_in.digest()), field("digest"));
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn the_digest_is_the_one_of_eip_191() {
    let sign_in = validate_at(challenge(), NOW).unwrap();
    let text = sign_in.text();
    let preimage = format!("\u{19}Ethereum Signed Message:\n{}{text}", text.len());
    assert_eq!(sign_in.digest(), Digest(alloy_primitives::keccak256(preimage).0));
}
fn parts_of(message: &Message<'_>) -> SignInParts {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    SignInParts {
        profile: SignInProfile::Standard,
        domain: message.domain.to_owned(),
        address: message.address.into(),
        statement: owned(message.statement),
        uri: message.uri.to_owned(),
        chain: ChainId::Eip155(message.chain_id),
        nonce: message.nonce.to_owned(),
        issued_at: message.issued_at.to_owned(),
        expiration_time: owned(message.expiration_time),
        not_before: owned(message.not_before),
        request_id: owned(message.request_id),
        resources: message.resources.iter().map(|text| (*text).to_owned()).collect(),
        signature_scheme: None,
    }
}

prop_compose! {
    fn any_parts()(
        (host, port) in ("[a-z][a-z0-9]{0,9}\\.(example|test)", proptest::option::of(1024u16..)),
        bytes in any::<[u8; 20]>(),
        statement in proptest::option::of("[A-Z][a-zA-Z0-9 ?#@!$&'()*+,;=._~/\\[\\]-]{0,60}"),
        paths in proptest::collection::vec("(/[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2}){0,3}(\\?[a-z=&/?]{0,9})?", 1..6),
        chain in 1..u64::MAX,
        nonce in "[a-zA-Z0-9]{8,40}",
        times in proptest::array::uniform3(0..200_000_000_000u64),
        (expires, begins) in any::<(bool, bool)>(),
        request_id in proptest::option::of("([a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-f]{2}){1,20}"),
        scheme in any::<bool>(),
    ) -> SignInParts {
        let domain = port.map_or(host.clone(), |port| format!("{host}:{port}"));
        let time = |at: u64| rfc3339::format(UnixSeconds(at));
        let uri = |path: &String| {
            let slash = if path.is_empty() || path.starts_with(['/', '?']) { "" } else { "/" };
            format!("https://{domain}{slash}{path}")
        };
        let mut uris: Vec<String> = paths.iter().map(uri).collect();
        SignInParts {
            profile: SignInProfile::Standard,
            address: EvmAddress::from_bytes(bytes).into(),
            statement,
            uri: uris.remove(0),
            chain: ChainId::Eip155(chain),
            nonce,
            issued_at: time(times[0]),
            expiration_time: expires.then(|| time(times[1])),
            not_before: begins.then(|| time(times[2])),
            request_id,
            resources: uris,
            signature_scheme: scheme.then(|| "eip191".to_owned()),
            domain,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(parts in any_parts()) {
        let sign_in = SignIn::from_parts(parts.clone()).unwrap();
        let mut read = parts_of(&Message::parse(sign_in.text()).unwrap());
        read.signature_scheme.clone_from(&parts.signature_scheme);
        prop_assert_eq!(read, parts.clone());
        prop_assert_eq!(SignIn::from_parts(sign_in.parts().clone()).unwrap().digest(), sign_in.digest());
    }

    #[test]
    fn another_text_never_says_the_same(parts in any_parts(), at in any::<prop::sample::Index>(), byte in 0u8..128) {
        let sign_in = SignIn::from_parts(parts.clone()).unwrap();
        let mut edited = sign_in.text().as_bytes().to_vec();
        let at = at.index(edited.len());
        prop_assume!(edited[at] != byte);
        edited[at] = byte;
        let edited = String::from_utf8(edited).unwrap();
        prop_assert!(!Message::parse(&edited).is_some_and(|message| message.says(&parts)));
    }

    #[test]
    fn the_writer_alone_fools_nobody(parts in any_parts(), field in 0..6usize, evil in "[\\n\\r -~\u{2028}é]{0,40}") {
        let mut hostile = parts;
        let slot = [&mut hostile.domain, &mut hostile.uri, &mut hostile.nonce, &mut hostile.issued_at];
        let text = format!("\n{evil}");
        match slot.into_iter().nth(field) {
            Some(slot) => slot.push_str(&text),
            None if field == 4 => hostile.request_id = Some(text),
            None => hostile.statement = Some(text),
        }
        let written = message::write(&hostile, 1);
        prop_assert!(!Message::parse(&written).is_some_and(|message| message.says(&hostile)));
        prop_assert!(SignIn::from_parts(hostile).is_err());
    }
}

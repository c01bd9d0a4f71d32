use proptest::prelude::*;

use super::*;
use crate::siwx::message::Message;

/// Sets a text field, by number.
const SETTERS: [fn(&mut SignInChallenge, String); 10] = [
    |it, text| it.domain = text,
    |it, text| it.uri = text,
    |it, text| it.version = text,
    |it, text| it.nonce = text,
    |it, text| it.issued_at = text,
    |it, text| it.statement = Some(text),
    |it, text| it.expiration_time = Some(text),
    |it, text| it.not_before = Some(text),
    |it, text| it.request_id = Some(text),
    |it, text| it.resources = vec![text],
];

fn good_texts(it: &SignInChallenge) -> [String; 10] {
    let owned = |text: &Option<String>| text.clone().unwrap();
    [
        it.domain.clone(),
        it.uri.clone(),
        it.version.clone(),
        it.nonce.clone(),
        it.issued_at.clone(),
        owned(&it.statement),
        owned(&it.expiration_time),
        owned(&it.not_before),
        owned(&it.request_id),
        it.resources[0].clone(),
    ]
}

#[test]
fn a_foreign_domain_is_refused() {
    for domain in [
        "evil.example",
        "example.com",
        "api.example.com.",
        "API.example.com",
        "api.example.com:443",
        "api.example.com:8443",
        "sub.api.example.com",
        "api.example.com.evil.example",
        "[::1]",
    ] {
        check(|it| it.domain = domain.to_owned(), "SIGN_IN_DOMAIN");
    }
    for domain in
        ["user@api.example.com", "https://api.example.com", "", "api.example.com/", "api.exam%70le.com"]
    {
        check(|it| it.domain = domain.to_owned(), "SIGN_IN_FIELD");
    }
}

#[test]
fn a_foreign_uri_is_refused() {
    for uri in [
        "https://evil.example/",
        "https://api.example.com.evil.example/",
        "https://api.example.com:8443/",
        "https://api.example.com:443/",
        "https://api.example.com@evil.example/",
        "https://user@api.example.com/",
        "https://API.example.com/",
        "HTTPS://api.example.com/",
        "http://api.example.com/",
        "https:///api.example.com/",
        "https://api.example.com:/",
        "ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/",
        "https://evil.example?https://api.example.com",
        "https://evil.example#api.example.com",
    ] {
        check(|it| it.uri = uri.to_owned(), "SIGN_IN_DOMAIN");
        check(|it| it.resources = vec![uri.to_owned()], "SIGN_IN_DOMAIN");
        check(|it| it.resources.push(uri.to_owned()), "SIGN_IN_DOMAIN");
    }
    for uri in [
        "",
        "/premium-data",
        "api.example.com",
        "https:api.example.com",
        "https:\\\\api.example.com",
        "https://api.example.com/a b",
        "https://api.example.com/%",
        "https://api.example.com/%2",
        "https://api.example.com/%zz",
        "https://api.example.com/[x]",
        "https://api.example.com/#a#b",
        "https://api.example.com/\"",
        "https://api.example.com/{x}",
        "https://api.example.com/|",
    ] {
        check(|it| it.uri = uri.to_owned(), "SIGN_IN_FIELD");
        check(|it| it.resources = vec![uri.to_owned()], "SIGN_IN_FIELD");
    }
    for uri in ["https://api.example.com", "https://api.example.com?x", "https://api.example.com/a/../b#c%2F"]
    {
        check(|it| it.uri = uri.to_owned(), "signed");
        check(|it| it.resources.push(uri.to_owned()), "signed");
    }
}

#[test]
fn a_field_against_the_grammar_is_refused() {
    for nonce in ["", "1234567", "1234-5678", "abcdefg\u{ff11}", &"a".repeat(NONCE_LEN_MAX + 1)] {
        check(|it| it.nonce = nonce.to_owned(), "SIGN_IN_FIELD");
    }
    for version in ["", "2", "1.0", "01", " 1"] {
        check(|it| it.version = version.to_owned(), "SIGN_IN_FIELD");
    }
    for statement in ["", "say \"yes\"", "50%", "a\\b", "naïve", "URI: https://a.example", "Resources:"] {
        check(|it| it.statement = Some(statement.to_owned()), "SIGN_IN_FIELD");
    }
    for id in ["", "a b", "a/b", "a?b", "a#b", "%", "a%2", &"a".repeat(REQUEST_ID_LEN_MAX + 1)] {
        check(|it| it.request_id = Some(id.to_owned()), "SIGN_IN_FIELD");
    }
    for time in
        ["", "now", "1768473000", "2026-01-15", "2026-01-15T10:30:00", "Thu, 15 Jan 2026 10:30:00 GMT"]
    {
        check(|it| it.issued_at = time.to_owned(), "SIGN_IN_FIELD");
        check(|it| it.expiration_time = Some(time.to_owned()), "SIGN_IN_FIELD");
        check(|it| it.not_before = Some(time.to_owned()), "SIGN_IN_FIELD");
    }
    let resource = |path: &str| format!("https://api.example.com/{path}");
    check(|it| it.statement = Some("a".repeat(STATEMENT_LEN_MAX + 1)), "SIGN_IN_FIELD");
    check(|it| it.statement = Some("a".repeat(STATEMENT_LEN_MAX)), "signed");
    check(|it| it.uri = resource(&"a".repeat(crate::URL_LEN_MAX)), "SIGN_IN_FIELD");
    check(|it| it.resources = vec![resource(""); RESOURCES_MAX + 1], "SIGN_IN_FIELD");
    check(|it| it.resources = vec![resource(""); RESOURCES_MAX], "signed");
    check(|it| it.resources = vec![resource(&"a".repeat(1000)); RESOURCES_MAX], "SIGN_IN_FIELD");
}

#[test]
fn no_field_makes_a_second_line() {
    let evil = [
        "\n",
        "\r",
        "\r\n",
        "\t",
        "\0",
        "\u{b}",
        "\u{c}",
        "\u{1b}[2K",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{2029}",
        "\u{200b}",
        "\u{202e}",
        "\u{feff}",
        "\u{ff0e}",
        "\u{430}",
        "e\u{301}",
        "\nResources:\n- https://bank.example",
        "\n\nURI: https://bank.example",
        "\nRequest ID: x",
    ];
    for (set, good) in SETTERS.iter().zip(good_texts(&challenge())) {
        for evil in evil {
            for text in [format!("{good}{evil}"), format!("{evil}{good}"), good.replacen('1', evil, 1) + evil]
            {
                let mut edited = challenge();
                set(&mut edited, text.clone());
                assert!(validate_at(edited, NOW).is_err(), "{text:?}");
            }
        }
    }
}

#[test]
fn lines_hidden_in_json_escapes_are_refused() {
    let json = r#"{"info":{"domain":"api.example.com","uri":"https://api.example.com/x","version":"1","nonce":"abcdefgh","issuedAt":"2026-01-15T10:30:00.000Z","requestId":"x@"},"supportedChains":[{"chainId":"eip155:8453","type":"eip191"}]}"#;
    let answer = |escaped: &str| {
        let challenge = SignInChallenge::from_extension(&json.replace('@', escaped)).unwrap();
        validate_at(challenge, NOW).map(|sign_in| sign_in.text().lines().count())
    };
    let refused = Err(SignInRefusal::Field(SignInField::RequestId));
    assert_eq!(answer(r"\nResources:\n- https://bank.example"), refused);
    assert_eq!(answer(r"\u000aResources:\u000a- https://bank.example"), refused);
    assert_eq!(answer("y"), Ok(10));
}

proptest! {
    #[test]
    fn no_texts_panic(texts in proptest::array::uniform10("\\PC{0,30}"), blob in "\\PC{0,200}") {
        let mut it = challenge();
        for (set, text) in SETTERS.iter().zip(texts) {
            set(&mut it, text);
        }
        prop_assert!(validate_at(it, NOW).is_err());
        let _ = Message::parse(&blob);
        let _ = SignInChallenge::from_extension(&blob);
        let _ = SignInChallenge::from_header(blob.as_bytes());
    }
}

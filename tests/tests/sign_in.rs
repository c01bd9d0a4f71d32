//! Sign-In-With-X over the real binary's socket, checked as a server would.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use alloy_primitives::eip191_hash_message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pursekeeper_api::v1;
use pursekeeper_api::v1::sign_in_request::Challenge;
use pursekeeper_api::v1::sign_in_response::Result as Answer;
use pursekeeper_tests::{Purse, Sidecar, URL, reason, signer_of};
use serde_json::{Value, json};
use tonic::Code;

fn challenge(nonce: &str) -> Value {
    json!({
        "info": {
            "domain": "api.example.com", "uri": URL, "version": "1", "nonce": nonce,
            "issuedAt": jiff::Timestamp::now().to_string(), "statement": "Sign in to read",
        },
        "supportedChains": [{ "chainId": "eip155:84532", "type": "eip191" }],
    })
}

fn request(id: &str, challenge: Challenge) -> v1::SignInRequest {
    v1::SignInRequest {
        request_id: id.to_owned(),
        challenge: Some(challenge),
        endpoint: Some(v1::Endpoint { method: "GET".to_owned(), url: URL.to_owned() }),
        ..Default::default()
    }
}

async fn sign_in(sidecar: &Sidecar, request: v1::SignInRequest) -> Answer {
    sidecar.signer().await.sign_in(request).await.unwrap().into_inner().result.unwrap()
}

fn signed(answer: Answer) -> v1::SignedIn {
    match answer {
        Answer::SignedIn(signed) => signed,
        Answer::Denied(denied) => panic!("{denied:?}"),
    }
}

fn code(answer: Answer) -> String {
    match answer {
        Answer::SignedIn(signed) => panic!("{signed:?}"),
        Answer::Denied(denied) => denied.code,
    }
}

/// What a header says, and that its signature is the wallet's over the message.
fn verify(signed: &v1::SignedIn, header: usize) -> Value {
    let value = STANDARD.decode(&signed.headers[header].value).unwrap();
    let value: Value = serde_json::from_slice(&value).unwrap();
    let digest = eip191_hash_message(&signed.message).0;
    assert_eq!(signer_of(digest, value["signature"].as_str().unwrap()), signed.wallet_address);
    assert_eq!(value["address"], signed.wallet_address.as_str());
    value
}

#[tokio::test]
async fn a_server_that_asks_gets_its_own_fields_back_signed() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let asked = challenge("abcdefgh12345678");
    let first = signed(sign_in(&sidecar, request("a", Challenge::Extension(asked.to_string()))).await);
    assert_eq!(first.headers.len(), 1);
    assert_eq!(first.headers[0].name, "SIGN-IN-WITH-X");
    let header = verify(&first, 0);
    for field in ["domain", "uri", "nonce", "issuedAt", "statement", "version"] {
        assert_eq!(header[field], asked["info"][field], "{field}");
    }
    assert!(
        first.message.contains("\n\nSign in to read\n\nURI: https://api.example.com/"),
        "{}",
        first.message
    );
    // The same over the header of a 402, and again after a crash.
    let required = json!({ "x402Version": 2, "accepts": [], "extensions": { "sign-in-with-x": asked } });
    let required = STANDARD.encode(required.to_string()).into_bytes();
    assert_eq!(
        first,
        signed(sign_in(&sidecar, request("a", Challenge::PaymentRequired(required.clone()))).await)
    );
    sidecar.kill();
    let sidecar = purse.serve();
    assert_eq!(first, signed(sign_in(&sidecar, request("a", Challenge::PaymentRequired(required))).await));
    let trail = purse.exits(0, &["audit", "tail"]);
    assert!(trail.contains("sign-in") && trail.contains("signed in to api.example.com"), "{trail}");
    let _ = purse.exits(0, &["audit", "verify"]);
}

#[tokio::test]
async fn venices_message_is_made_here_and_sent_under_both_names() {
    let purse = Purse::init();
    purse.replace("policies/registry.yaml", "https://api.example.com", "https://api.venice.ai");
    purse.replace(
        "policies/registry.yaml",
        "networks: [\"eip155:84532\"]",
        "networks: [\"eip155:84532\", \"eip155:8453\"]",
    );
    let sidecar = purse.serve();
    let url = "https://api.venice.ai/v1/chat/completions";
    let venice = |id: &str| v1::SignInRequest {
        endpoint: Some(v1::Endpoint { method: "GET".to_owned(), url: url.to_owned() }),
        ..request(id, Challenge::Venice(v1::VeniceSignIn {}))
    };
    let first = signed(sign_in(&sidecar, venice("a")).await);
    let names: Vec<&str> = first.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["SIGN-IN-WITH-X", "X-Sign-In-With-X"]);
    for header in [0, 1] {
        let value = verify(&first, header);
        assert_eq!((&value["message"], &value["chainId"]), (&first.message.as_str().into(), &8453.into()));
    }
    assert!(first.message.contains("api.venice.ai wants you to sign in"), "{}", first.message);
    assert!(first.message.contains("Sign in to Venice AI"), "{}", first.message);
    assert_ne!(first.message, signed(sign_in(&sidecar, venice("b")).await).message);
}

#[tokio::test]
async fn sign_ins_are_limited_and_stopped_like_payments() {
    let purse = Purse::init();
    purse.replace(
        "policies/registry.yaml",
        "ceilings: { usd: { day: \"2\" } }",
        "ceilings: { sign_ins: { hour: 2 } }",
    );
    let sidecar = purse.serve();
    let ask =
        |id: &str| request(id, Challenge::Extension(challenge(&format!("nonce{id}abcdefgh")).to_string()));
    for id in ["1", "2"] {
        let _ = signed(sign_in(&sidecar, ask(id)).await);
    }
    assert_eq!(code(sign_in(&sidecar, ask("3")).await), "CEILING_EXCEEDED");
    let budgets = purse.exits(0, &["budget", "show"]);
    assert!(budgets.contains("2 sign_ins"), "{budgets}");
    let foreign = challenge("abcdefgh").to_string().replace("api.example.com", "bank.example");
    assert_eq!(code(sign_in(&sidecar, request("4", Challenge::Extension(foreign))).await), "SIGN_IN_DOMAIN");
    let wallet = purse.exits(0, &["wallet", "list", "--output", "json"]);
    let wallet: Value = serde_json::from_str(&wallet).unwrap();
    let name = wallet[0]["name"].as_str().unwrap();
    let _ = purse.exits(0, &["wallet", "suspend", name, "--reason", "drill"]);
    assert_eq!(code(sign_in(&sidecar, ask("5")).await), "NOT_ACTIVE");
    let malformed = sidecar.signer().await.sign_in(request("6", Challenge::Extension("{}".to_owned()))).await;
    let malformed = malformed.unwrap_err();
    assert_eq!(
        (malformed.code(), reason(&malformed)),
        (Code::InvalidArgument, "MALFORMED_CHALLENGE".to_owned())
    );
    let _ = purse.exits(0, &["audit", "verify"]);
}

/// A server that wants one sign-in for each call: what it saw in the header, when it was let through.
fn server(listener: TcpListener) -> JoinHandle<Value> {
    thread::spawn(move || {
        let origin = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let sent = head.lines().find_map(|line| {
                line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("sign-in-with-x"))
            });
            if let Some((_, value)) = sent {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
                    .unwrap();
                return serde_json::from_slice(&STANDARD.decode(value).unwrap()).unwrap();
            }
            let mut asked = challenge("abcdefgh12345678");
            asked["info"]["domain"] = origin.clone().into();
            asked["info"]["uri"] = format!("http://{origin}/v1/me").into();
            let required =
                json!({ "x402Version": 2, "accepts": [], "extensions": { "sign-in-with-x": asked } });
            let required = STANDARD.encode(required.to_string());
            let answer = format!(
                "HTTP/1.1 402 Payment Required\r\nPAYMENT-REQUIRED: {required}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    })
}

#[tokio::test]
async fn a_person_signs_in_from_the_command_line() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let purse = Purse::init();
    purse.replace("policies/registry.yaml", "https://api.example.com", &origin);
    let sidecar = purse.serve();
    let url = format!("{origin}/v1/me");
    let served = server(listener);
    let done = purse.run(&["sign-in", &url]);
    assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(0), &b"hello"[..]), "{done:?}");
    let header = served.join().unwrap();
    assert_eq!(header["uri"], url.as_str());
    // What the policies do not let it sign in to is not called a second time.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("http://{}/v1/me", listener.local_addr().unwrap());
    let _ = server(listener);
    assert!(purse.exits(3, &["sign-in", &elsewhere]).contains("ENDPOINT_OUT_OF_SCOPE"));
    let trail = purse.exits(0, &["audit", "tail", "--output", "json"]);
    assert!(trail.lines().last().unwrap().contains("ENDPOINT_OUT_OF_SCOPE"), "{trail}");
    drop(sidecar);
}

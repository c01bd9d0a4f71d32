//! Signatures over typed data, over the real binary's socket, checked as a contract would.

use std::time::{SystemTime, UNIX_EPOCH};

use pursekeeper_api::v1;
use pursekeeper_api::v1::sign_typed_data_response::Result as Answer;
use pursekeeper_core::typed_data::TypedData;
use pursekeeper_tests::{PAYEE, Purse, Sidecar, URL, USDC, reason, signer_of};
use serde_json::{Value, json};
use tonic::Code;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// 0.001 USDC by EIP-3009, as the reference client of x402 v2 writes it.
fn transfer(from: &str, nonce: u8) -> Value {
    let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    json!({
        "domain": { "name": "USDC", "version": "2", "chainId": 84532, "verifyingContract": USDC },
        "types": { "TransferWithAuthorization": [
            field("from", "address"), field("to", "address"), field("value", "uint256"),
            field("validAfter", "uint256"), field("validBefore", "uint256"), field("nonce", "bytes32"),
        ] },
        "primaryType": "TransferWithAuthorization",
        "message": {
            "from": from, "to": PAYEE, "value": "1000", "validAfter": "0", "validBefore": (now() + 60).to_string(),
            "nonce": format!("0x{}", hex::encode([nonce; 32])),
        },
    })
}

fn request(data: &Value, endpoint: bool) -> v1::SignTypedDataRequest {
    let call = v1::Endpoint { method: "GET".to_owned(), url: URL.to_owned() };
    v1::SignTypedDataRequest {
        typed_data: data.to_string(),
        endpoint: endpoint.then_some(call),
        ..Default::default()
    }
}

async fn ask(sidecar: &Sidecar, request: v1::SignTypedDataRequest) -> Answer {
    sidecar.signer().await.sign_typed_data(request).await.unwrap().into_inner().result.unwrap()
}

/// The signature, which is the wallet's over exactly what the app wrote.
async fn signed(sidecar: &Sidecar, data: &Value, endpoint: bool) -> v1::SignedTypedData {
    let Answer::Signed(signed) = ask(sidecar, request(data, endpoint)).await else { panic!("{data}") };
    let digest = TypedData::read(&data.to_string()).unwrap().unwrap().digest();
    assert_eq!(signer_of(digest.0, &signed.signature), signed.wallet_address);
    signed
}

async fn code(sidecar: &Sidecar, data: &Value, endpoint: bool) -> String {
    match ask(sidecar, request(data, endpoint)).await {
        Answer::Signed(signed) => panic!("{signed:?}"),
        Answer::Denied(denied) => denied.code,
    }
}

async fn address(sidecar: &Sidecar) -> String {
    let wallets =
        sidecar.signer().await.list_wallets(v1::ListWalletsRequest {}).await.unwrap().into_inner().wallets;
    let [wallet] = &wallets[..] else { panic!("{wallets:?}") };
    assert_eq!(wallet.networks, ["eip155:84532"]);
    assert_eq!(wallet.workflows, ["market-research"]);
    wallet.address.clone()
}

#[tokio::test]
async fn an_app_that_cannot_be_changed_signs_with_the_wallet_it_is_told() {
    let purse = Purse::init();
    purse.replace(
        "policies/registry.yaml",
        "    paths: [\"/v1/**\"]",
        "    paths: [\"/v1/**\"]\n    resource_optional: true",
    );
    let sidecar = purse.serve();
    let address = address(&sidecar).await;
    let data = transfer(&address, 1);
    let first = signed(&sidecar, &data, true).await;
    assert_eq!(first.wallet_address, address);
    // The same request, also after a crash: no second hold.
    sidecar.kill();
    let sidecar = purse.serve();
    assert_eq!(signed(&sidecar, &data, true).await.signature, first.signature);
    let mut other = data.clone();
    other["message"]["value"] = "999".into();
    assert_eq!(code(&sidecar, &other, true).await, "NONCE_REUSED");
    let holds = purse.exits(0, &["hold", "list", "--output", "json"]);
    assert_eq!(holds.matches("\"seq\"").count(), 1, "{holds}");
    // Nobody says what is called: only a service that takes that is paid.
    assert_eq!(code(&sidecar, &transfer(&address, 2), false).await, "ENDPOINT_OUT_OF_SCOPE");
    sidecar.kill();
    purse.replace(
        "policies/registry.yaml",
        "    resource_optional: true",
        "    resource_optional: true\n    unknown_endpoints: true",
    );
    let sidecar = purse.serve();
    signed(&sidecar, &transfer(&address, 3), false).await;
    let trail = purse.exits(0, &["audit", "tail", "--output", "json"]);
    assert!(trail.lines().last().unwrap().contains("\"service\":\"weather\""), "{trail}");
    assert!(purse.exits(0, &["audit", "verify"]).contains("verified"));
}

#[tokio::test]
async fn without_a_sellers_word_only_services_that_allow_that_are_paid() {
    let purse = Purse::init();
    let sidecar = purse.serve();
    let address = address(&sidecar).await;
    assert_eq!(code(&sidecar, &transfer(&address, 1), true).await, "ORIGIN_ABSENT");
    let mut mail = transfer(&address, 1);
    mail["primaryType"] = "Mail".into();
    assert_eq!(code(&sidecar, &mail, true).await, "TYPED_DATA_UNSUPPORTED");
    let malformed = v1::SignTypedDataRequest { typed_data: "{}".to_owned(), ..Default::default() };
    let fault = sidecar.signer().await.sign_typed_data(malformed).await.unwrap_err();
    assert_eq!((fault.code(), reason(&fault).as_str()), (Code::InvalidArgument, "MALFORMED_TYPED_DATA"));
}

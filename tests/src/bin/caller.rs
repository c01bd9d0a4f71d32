//! Asks once, as a process in a container would, and prints what came of it, in words.
//!
//! Usage: `caller SOCKET pay|sign-in|status ID [AGENT]`, with the agent that the call says it is of.

use std::env;
use std::process::ExitCode;

use pursekeeper_api::v1::sign_in_request::Challenge;
use pursekeeper_api::v1::sign_in_response::Result as SignedIn;
use pursekeeper_api::v1::sign_payment_response::Result as Paid;
use pursekeeper_api::{Connect, Governance, Signer, v1};
use pursekeeper_tests::{URL, request};
use serde_json::json;
use tonic::Status;
use tonic_types::StatusExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [socket, what, id, agent @ ..] = &arguments[..] else {
        eprintln!("usage: caller SOCKET pay|sign-in|status ID [AGENT]");
        return ExitCode::from(2);
    };
    let mut connect = Connect::unix(socket);
    if let [agent] = agent {
        connect = connect.caller(agent);
    }
    let answer = match connect.open().await {
        Err(error) => format!("unreachable: {error}"),
        Ok(channel) => {
            let answered = match what.as_str() {
                "pay" => pay(&mut Signer::new(channel), id).await,
                "sign-in" => sign_in(&mut Signer::new(channel), id).await,
                _ => status(&mut Governance::new(channel)).await,
            };
            answered.unwrap_or_else(|status| refused(&status))
        }
    };
    println!("{answer}");
    ExitCode::SUCCESS
}

async fn pay(signer: &mut Signer, id: &str) -> Result<String, Status> {
    Ok(match signer.sign_payment(request(id, "1000")).await?.into_inner().result {
        Some(Paid::Signed(_)) => "signed".to_owned(),
        Some(Paid::Denied(denied)) => format!("denied: {}", denied.code),
        None => "an answer that says nothing".to_owned(),
    })
}

async fn sign_in(signer: &mut Signer, id: &str) -> Result<String, Status> {
    let challenge = json!({
        "info": {
            "domain": "api.example.com", "uri": URL, "version": "1", "nonce": "abcdefgh12345678",
            "issuedAt": jiff::Timestamp::now().to_string(),
        },
        "supportedChains": [{ "chainId": "eip155:84532", "type": "eip191" }],
    });
    let asked = v1::SignInRequest {
        request_id: id.to_owned(),
        challenge: Some(Challenge::Extension(challenge.to_string())),
        endpoint: Some(v1::Endpoint { method: "GET".to_owned(), url: URL.to_owned() }),
        ..Default::default()
    };
    Ok(match signer.sign_in(asked).await?.into_inner().result {
        Some(SignedIn::SignedIn(_)) => "signed in".to_owned(),
        Some(SignedIn::Denied(denied)) => format!("denied: {}", denied.code),
        None => "an answer that says nothing".to_owned(),
    })
}

async fn status(governance: &mut Governance) -> Result<String, Status> {
    let status = governance.status(v1::StatusRequest {}).await?.into_inner();
    Ok(if status.serving { "serving" } else { "not serving" }.to_owned())
}

fn refused(status: &Status) -> String {
    match status.get_details_error_info() {
        Some(info) => format!("refused: {}", info.reason),
        None => format!("refused: {:?}: {}", status.code(), status.message()),
    }
}

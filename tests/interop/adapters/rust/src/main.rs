//! A program that buys one thing with x402-reqwest.
//!
//! Usage: `app SOCKET RPC_URL METHOD URL [JSON_BODY]`

use std::error::Error;

use pursekeeper_api::{Signer, connect};
use pursekeeper_x402::{Endpoints, PursekeeperDenied, PursekeeperScheme};
use reqwest::{Client, Method};
use reqwest_middleware::{ClientBuilder, Error as PaymentError};
use serde_json::{Value, json};
use x402_reqwest::X402Client;
use x402_types::util::Base64Bytes;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, rpc_url, method, url, body @ ..] = arguments.as_slice() else {
        return Err("usage: app SOCKET RPC_URL METHOD URL [JSON_BODY]".into());
    };

    // ---- What a program changes.
    let signer = Signer::new(connect(socket).await?);
    let scheme = PursekeeperScheme::new(signer.clone()).with_rpc_url("eip155:84532", rpc_url);
    let client = ClientBuilder::new(Client::new())
        .with(Endpoints::new(signer))
        .with(X402Client::new().register(scheme))
        .build();
    // ----

    let mut request = client.request(Method::from_bytes(method.as_bytes())?, url);
    if let Some(body) = body.first() {
        request = request.header("content-type", "application/json").body(body.clone());
    }
    let response = match request.send().await {
        Ok(response) => response,
        Err(PaymentError::Middleware(error)) => {
            let PursekeeperDenied(denied) = error.downcast()?;
            let (code, message, decision_id) = (denied.code, denied.message, denied.decision_id);
            println!("{}", json!({ "code": code, "message": message, "decisionId": decision_id }));
            std::process::exit(3);
        }
        Err(error) => return Err(error.into()),
    };
    let names = ["PAYMENT-RESPONSE", "X-PAYMENT-RESPONSE"];
    let settlement: Option<Value> = match names.into_iter().find_map(|name| response.headers().get(name)) {
        Some(header) => Some(serde_json::from_slice(&Base64Bytes::from(header.as_bytes()).decode()?)?),
        None => None,
    };
    let status = response.status().as_u16();
    println!(
        "{}",
        json!({ "status": status, "body": response.text().await?, "paymentResponse": settlement })
    );
    Ok(())
}

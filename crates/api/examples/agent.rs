//! An agent that pays for what it reads and holds no key: Pursekeeper judges each payment, records it and signs.
//!
//! Usage: `agent SOCKET METHOD URL [JSON_BODY]`

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pursekeeper_api::v1::report_outcome_request::Outcome;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_api::v1::{Denied, Endpoint, ReportOutcomeRequest, SignPaymentRequest, Signed};
use pursekeeper_api::{Signer, connect};
use reqwest::header::HeaderValue;
use reqwest::{Client, Method, Response, StatusCode};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Like a request, and pays when the seller asks for it.
async fn paying_request(
    signer: &mut Signer,
    (method, url): (&str, &str),
    body: Option<&str>,
) -> Fallible<Result<(Response, Option<Signed>), Denied>> {
    let client = Client::new();
    let request = || -> Fallible<_> {
        let request = client.request(Method::from_bytes(method.as_bytes())?, url);
        Ok(match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_owned()),
            None => request,
        })
    };
    let unpaid = request()?.send().await?;
    if unpaid.status() != StatusCode::PAYMENT_REQUIRED {
        return Ok(Ok((unpaid, None)));
    }
    let challenge = match unpaid.headers().get("PAYMENT-REQUIRED") {
        Some(header) => Challenge::PaymentRequired(header.as_bytes().to_vec()),
        None => Challenge::Body(unpaid.bytes().await?.to_vec()), // x402 v1
    };
    let ask = SignPaymentRequest {
        request_id: format!("agent-{}", std::process::id()), // keep it for a retry: the same id never pays twice
        challenge: Some(challenge),
        endpoint: Some(Endpoint { method: method.into(), url: url.into() }),
        ..SignPaymentRequest::default()
    };
    match signer.sign_payment(ask).await?.into_inner().result {
        Some(Answer::Signed(signed)) => {
            let paid = request()?.header(&signed.header_name, &signed.header_value).send().await?;
            // Say what happened: it is recorded beside the payment, as a claim.
            let outcome = match settlement(&paid) {
                Some(header) => Outcome::PaymentResponse(header.as_bytes().to_vec()),
                None => Outcome::Error(paid.status().to_string()),
            };
            let decision_id = signed.decision_id.clone();
            let report = ReportOutcomeRequest { decision_id, outcome: Some(outcome), remaining_usd: None };
            signer.report_outcome(report).await?;
            Ok(Ok((paid, Some(signed))))
        }
        Some(Answer::Denied(denied)) => Ok(Err(denied)),
        None => Err("the sidecar is newer than this client".into()),
    }
}

/// What the seller says about the payment.
fn settlement(response: &Response) -> Option<&HeaderValue> {
    let names = ["PAYMENT-RESPONSE", "X-PAYMENT-RESPONSE"];
    names.into_iter().find_map(|name| response.headers().get(name))
}

#[tokio::main]
async fn main() -> Fallible<()> {
    // The HTTP client leaves the choice of cryptography to the program.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider is installed already")?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, method, url, body @ ..] = arguments.as_slice() else {
        return Err("usage: agent SOCKET METHOD URL [JSON_BODY]".into());
    };
    let mut signer = Signer::new(connect(socket).await?);
    match paying_request(&mut signer, (method, url), body.first().map(String::as_str)).await? {
        Ok((response, signed)) => {
            let settlement: Option<serde_json::Value> = match settlement(&response) {
                Some(header) => Some(serde_json::from_slice(&STANDARD.decode(header)?)?),
                None => None,
            };
            let result = serde_json::json!({
                "status": response.status().as_u16(),
                "paymentResponse": settlement,
                "decisionId": signed.map(|signed| signed.decision_id),
                "body": response.text().await?,
            });
            println!("{result}");
            Ok(())
        }
        Err(denied) => {
            let Denied { code, message, decision_id, .. } = denied;
            println!(
                "{}",
                serde_json::json!({ "code": code, "message": message, "decisionId": decision_id })
            );
            std::process::exit(3);
        }
    }
}

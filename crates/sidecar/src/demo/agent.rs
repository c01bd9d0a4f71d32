//! The agent of the demo: it has HTTP, the agents' socket, and no key.

use anyhow::Context as _;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_api::{Signer, v1};
use reqwest::{Client, StatusCode, Url};

use crate::http::{self, Call};

/// Longest page that is read, in bytes.
const PAGE_LEN_MAX: usize = 64 * 1024;

/// One agent.
pub(super) struct Agent {
    signer: Signer,
}

/// A page the agent wants, and what its seller asks for it.
pub(super) struct Wish {
    call: Call,
    client: Client,
    challenge: Challenge,
}

/// What a seller answered to a payment.
pub(super) struct Delivery {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

impl Agent {
    pub(super) fn new(signer: Signer) -> Self {
        Self { signer }
    }

    /// Asks for a page and hears the price.
    pub(super) async fn wish(&self, url: &str) -> anyhow::Result<Wish> {
        let call = Call::get(Url::parse(url)?);
        let client = call.client()?;
        let response = call.send(&client, None).await?;
        let status = response.status();
        anyhow::ensure!(status == StatusCode::PAYMENT_REQUIRED, "{url} answered {status}, not 402");
        Ok(Wish { challenge: http::challenge(response).await?, call, client })
    }

    /// Forwards the 402 to the sidecar.
    pub(super) async fn ask(&mut self, wish: &Wish, request_id: &str) -> anyhow::Result<Answer> {
        let request = v1::SignPaymentRequest {
            request_id: request_id.to_owned(),
            challenge: Some(wish.challenge.clone()),
            endpoint: Some(wish.call.endpoint()),
            ..Default::default()
        };
        let response = self.signer.sign_payment(request).await?.into_inner();
        response.result.context("the sidecar gave an empty answer")
    }

    /// Sends the payment.
    pub(super) async fn pay(&self, wish: &Wish, signed: &v1::Signed) -> anyhow::Result<Delivery> {
        let response = wish.call.send(&wish.client, Some(signed)).await?;
        let status = response.status();
        let body = http::read(response, PAGE_LEN_MAX).await?;
        Ok(Delivery { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Reads one of its own decisions.
    pub(super) async fn decision(&mut self, decision_id: &str) -> anyhow::Result<v1::Decision> {
        let request = v1::GetDecisionRequest { decision_id: decision_id.to_owned() };
        let response = self.signer.get_decision(request).await?.into_inner();
        response.decision.context("the sidecar gave an empty answer")
    }
}

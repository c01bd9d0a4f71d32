//! Pursekeeper as a scheme of `x402-reqwest`: the program asks it for every payment and holds no key.
//!
//! Copy this file. `PursekeeperScheme` goes where a scheme with a key goes now, and `Endpoints` around the client, because
//! x402-reqwest tells its schemes neither method nor URL:
//!
//! ```no_run
//! # use pursekeeper_x402::{Endpoints, PursekeeperScheme};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let signer = pursekeeper_api::Signer::new(pursekeeper_api::connect("/run/pursekeeper/agent.sock").await?);
//! let x402 = x402_reqwest::X402Client::new().register(PursekeeperScheme::new(signer.clone()));
//! let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
//!     .with(Endpoints::new(signer)) // before the client that pays
//!     .with(x402)
//!     .build();
//! # Ok(())
//! # }
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use http::Extensions;
use pursekeeper_api::Signer;
use pursekeeper_api::v1::preview_response::Result as Preview;
use pursekeeper_api::v1::report_outcome_request::Outcome;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_api::v1::sign_payment_response::Result as Answer;
use pursekeeper_api::v1::{Denied, Eip2612, Endpoint, ReportOutcomeRequest, SignPaymentRequest};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use serde_json::{Value, json};
use x402_types::chain::ChainId;
use x402_types::proto::{OriginalJson, PaymentRequired, v1, v2};
use x402_types::scheme::X402SchemeId;
use x402_types::scheme::client::{PaymentCandidate, PaymentCandidateSigner, X402Error, X402SchemeClient};
use x402_types::util::DecimalU256;

const PERMIT2: &str = "0x000000000022D473030F116dDEE9F6B43aC78BA3";

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Pursekeeper's refusal, inside [`reqwest_middleware::Error::Middleware`]. Its `code` is one of docs/POLICY_GUIDE.md.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {}", .0.code, .0.message)]
pub struct PursekeeperDenied(pub Denied);

/// A call that is being paid for.
struct Call {
    endpoint: Endpoint,
    /// The decision that signed the payment, or the refusal.
    decided: OnceLock<Result<String, Denied>>,
}

tokio::task_local! {
    static CALL: Arc<Call>;
}

/// Around the client that pays: tells [`PursekeeperScheme`] which call it pays for, returns its refusals as they are, and
/// reports what became of the payment.
pub struct Endpoints {
    signer: Signer,
}

impl Endpoints {
    pub fn new(signer: Signer) -> Self {
        Self { signer }
    }
}

#[async_trait]
impl Middleware for Endpoints {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let endpoint = Endpoint { method: request.method().to_string(), url: request.url().to_string() };
        let call = Arc::new(Call { endpoint, decided: OnceLock::new() });
        let answer = CALL.scope(call.clone(), next.run(request, extensions)).await;
        match call.decided.get() {
            None => {} // nothing was to pay
            Some(Err(denied)) => {
                return Err(reqwest_middleware::Error::middleware(PursekeeperDenied(denied.clone())));
            }
            Some(Ok(decision_id)) => {
                let report = ReportOutcomeRequest {
                    decision_id: decision_id.clone(),
                    outcome: Some(outcome(&answer)),
                    ..ReportOutcomeRequest::default()
                };
                // The program has paid for its answer, and gets it even if the report does not arrive.
                if let Err(error) = self.signer.clone().report_outcome(report).await {
                    eprintln!("the outcome of {decision_id} was not reported: {error}");
                }
            }
        }
        answer
    }
}

fn outcome(answer: &reqwest_middleware::Result<Response>) -> Outcome {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return Outcome::Error(error.to_string()),
    };
    let names = ["PAYMENT-RESPONSE", "X-PAYMENT-RESPONSE"];
    match names.into_iter().find_map(|name| response.headers().get(name)) {
        Some(settlement) => Outcome::PaymentResponse(settlement.as_bytes().to_vec()),
        None => Outcome::Error(format!("HTTP {}", response.status())),
    }
}

/// Pays EVM offers, `exact` and `upto`, of both protocol versions.
#[derive(Clone)]
pub struct PursekeeperScheme {
    signer: Signer,
    rpc_urls: HashMap<String, String>,
}

impl PursekeeperScheme {
    pub fn new(signer: Signer) -> Self {
        Self { signer, rpc_urls: HashMap::new() }
    }

    /// Names a node of `network` (`eip155:8453`). It is asked when a seller pays the gas of a Permit2 allowance
    /// (`eip2612GasSponsoring`), to find out whether the wallet needs one.
    pub fn with_rpc_url(mut self, network: &str, url: &str) -> Self {
        self.rpc_urls.insert(network.to_owned(), url.to_owned());
        self
    }
}

impl X402SchemeId for PursekeeperScheme {
    fn namespace(&self) -> &str {
        "eip155"
    }

    fn scheme(&self) -> &str {
        "pursekeeper"
    }
}

impl X402SchemeClient for PursekeeperScheme {
    /// A candidate for each offer, for the program's selector to choose from. What is sent to Pursekeeper is the 402 with
    /// the chosen offer alone.
    fn accept(&self, required: &PaymentRequired) -> Vec<PaymentCandidate> {
        let candidates: Vec<_> = match required {
            PaymentRequired::V1(required) => {
                let alone = |offer: &OriginalJson| v1::PaymentRequired {
                    accepts: vec![offer.clone()],
                    ..required.clone()
                };
                required.accepts.iter().filter_map(|offer| self.candidate_v1(offer, &alone(offer))).collect()
            }
            PaymentRequired::V2(required) => {
                let alone = |offer: &OriginalJson| v2::PaymentRequired {
                    accepts: vec![offer.clone()],
                    ..required.clone()
                };
                required.accepts.iter().filter_map(|offer| self.candidate_v2(offer, &alone(offer))).collect()
            }
        };
        let ours = |it: &PaymentCandidate| {
            it.chain_id.namespace == "eip155" && matches!(it.scheme.as_str(), "exact" | "upto")
        };
        candidates.into_iter().filter(ours).collect()
    }
}

impl PursekeeperScheme {
    fn candidate_v1(
        &self,
        offer: &OriginalJson,
        alone: &v1::PaymentRequired<OriginalJson>,
    ) -> Option<PaymentCandidate> {
        let it: v1::PaymentRequirements<String, DecimalU256> = offer.try_into().ok()?;
        Some(PaymentCandidate {
            chain_id: ChainId::from_network_name(&it.network)?,
            asset: it.asset,
            amount: it.max_amount_required.into(),
            scheme: it.scheme,
            x402_version: 1,
            pay_to: it.pay_to,
            signer: Box::new(Payment { scheme: self.clone(), required: serde_json::to_vec(alone).ok()? }),
        })
    }

    fn candidate_v2(
        &self,
        offer: &OriginalJson,
        alone: &v2::PaymentRequired<OriginalJson>,
    ) -> Option<PaymentCandidate> {
        let it: v2::PaymentRequirements<String, DecimalU256> = offer.try_into().ok()?;
        Some(PaymentCandidate {
            chain_id: it.network,
            asset: it.asset,
            amount: it.amount.into(),
            scheme: it.scheme,
            x402_version: 2,
            pay_to: it.pay_to,
            signer: Box::new(Payment { scheme: self.clone(), required: serde_json::to_vec(alone).ok()? }),
        })
    }
}

/// One offer that may be paid.
struct Payment {
    scheme: PursekeeperScheme,
    /// The 402 with this offer alone, which stays as the seller wrote it.
    required: Vec<u8>,
}

#[async_trait]
impl PaymentCandidateSigner for Payment {
    async fn sign_payment(&self) -> Result<String, X402Error> {
        let call = CALL.try_with(Arc::clone).map_err(|_| {
            X402Error::SigningError(
                "put `Endpoints` before the client: x402-reqwest does not say what it pays for".into(),
            )
        })?;
        let failed = |error: Box<dyn Error + Send + Sync>| X402Error::SigningError(error.to_string());
        match self.ask(&call).await.map_err(failed)? {
            Ok((decision_id, header_value)) => {
                let _ = call.decided.set(Ok(decision_id));
                Ok(header_value)
            }
            Err(denied) => {
                let sentence = PursekeeperDenied(denied.clone()).to_string();
                let _ = call.decided.set(Err(denied));
                Err(X402Error::SigningError(sentence))
            }
        }
    }
}

impl Payment {
    /// The decision and the value of the payment header, or the refusal.
    async fn ask(&self, call: &Call) -> Fallible<Result<(String, String), Denied>> {
        let mut signer = self.scheme.signer.clone();
        let mut request = SignPaymentRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            challenge: Some(Challenge::Body(self.required.clone())),
            endpoint: Some(call.endpoint.clone()),
            ..SignPaymentRequest::default()
        };
        request.eip2612 = self.missing_allowance(&mut signer, &request).await?;
        match signer.sign_payment(request).await?.into_inner().result {
            Some(Answer::Signed(signed)) => Ok(Ok((signed.decision_id, signed.header_value))),
            Some(Answer::Denied(denied)) => Ok(Err(denied)),
            None => Err("the sidecar is newer than this client".into()),
        }
    }

    /// What to say when the wallet has not allowed Permit2 to take this payment, and the seller would pay for a permit.
    async fn missing_allowance(
        &self,
        signer: &mut Signer,
        request: &SignPaymentRequest,
    ) -> Fallible<Option<Eip2612>> {
        let required: Value = serde_json::from_slice(&self.required)?;
        let offer = &required["accepts"][0];
        let text = |name: &str| offer[name].as_str().unwrap_or_default().to_owned();
        let by_permit2 = offer["scheme"] == "upto" || offer["extra"]["assetTransferMethod"] == "permit2";
        let sponsored = required["extensions"].get("eip2612GasSponsoring").is_some();
        let Some(rpc_url) = self.scheme.rpc_urls.get(&text("network")).filter(|_| by_permit2 && sponsored)
        else {
            return Ok(None);
        };
        // The preview tells which wallet would pay. Nothing is signed, and no money is bound.
        let Some(Preview::WouldSign(preview)) = signer.preview(request.clone()).await?.into_inner().result
        else {
            return Ok(None);
        };
        let (asset, owner) = (text("asset"), preview.wallet_address);
        let allowance = eth_call(rpc_url, &asset, "dd62ed3e", &[&owner, PERMIT2]).await?; // allowance(owner, spender)
        if allowance >= serde_json::from_value(offer["amount"].clone())? {
            return Ok(None);
        }
        let nonce = eth_call(rpc_url, &asset, "7ecebe00", &[&owner]).await?; // nonces(owner)
        Ok(Some(Eip2612 { network: text("network"), asset, nonce: nonce.to_string() }))
    }
}

/// Calls a view function that takes addresses and returns a number.
async fn eth_call(rpc_url: &str, to: &str, selector: &str, addresses: &[&str]) -> Fallible<DecimalU256> {
    let arguments = addresses.iter().map(|address| format!("{:0>64}", address.trim_start_matches("0x")));
    let data = format!("0x{selector}{}", arguments.collect::<String>());
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{ "to": to, "data": data }, "latest"] });
    let answer: Value = reqwest::Client::new().post(rpc_url).json(&call).send().await?.json().await?;
    let result =
        answer["result"].as_str().ok_or_else(|| format!("{rpc_url} does not answer eth_call: {answer}"))?;
    Ok(DecimalU256(result.parse()?))
}

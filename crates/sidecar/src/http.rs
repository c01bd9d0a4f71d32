//! One HTTP call to a seller, and what x402 puts into its headers.
//!
//! No redirect is ever followed: a payment is for the endpoint the policies judged, and for no other.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pursekeeper_api::v1;
use pursekeeper_api::v1::sign_payment_request::Challenge;
use pursekeeper_core::x402::CHALLENGE_LEN_MAX;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url, redirect};
use serde_json::Value;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of a seller; settling a payment on a chain takes a while.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Largest head of an HTTP/2 answer, in bytes: room for the longest 402 and everything beside it.
const HEADERS_LEN_MAX: u32 = 128 * 1024;

/// A call that may have to be made twice: once to hear the price, once with the payment.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Vec<u8>>,
}

impl Call {
    /// A call without a body.
    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: None }
    }

    /// A client for this call. Plain http is for this machine only, so it needs neither certificates nor proxies.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let builder = Client::builder()
            .user_agent(concat!("pursekeeper/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_MAX)
            .http2_max_header_list_size(HEADERS_LEN_MAX);
        let builder = match self.url.scheme() {
            "http" => builder.no_proxy().tls_certs_only([]),
            _ => builder,
        };
        builder.build().context("cannot set up TLS: check that this machine has CA certificates")
    }

    /// Makes the call, with a payment if there is one.
    pub(crate) async fn send(
        &self,
        client: &Client,
        payment: Option<&v1::Signed>,
    ) -> anyhow::Result<Response> {
        let Self { method, url, headers, body } = self;
        let mut headers = headers.clone();
        if let Some(v1::Signed { header_name, header_value, .. }) = payment {
            let name = HeaderName::from_bytes(header_name.as_bytes()).context("the payment's header")?;
            headers.insert(name, HeaderValue::from_str(header_value).context("the payment's header")?);
        }
        let request = client.request(method.clone(), url.clone()).headers(headers);
        let request = match body {
            Some(body) => request.body(body.clone()),
            None => request,
        };
        request.send().await.with_context(|| format!("{method} {url} was not answered"))
    }

    /// The call as the sidecar is told of it.
    pub(crate) fn endpoint(&self) -> v1::Endpoint {
        v1::Endpoint { method: self.method.as_str().to_owned(), url: self.url.as_str().to_owned() }
    }
}

/// What a 402 asks for: the header of x402 v2 or else the body, which v1 uses, as received.
pub(crate) async fn challenge(response: Response) -> anyhow::Result<Challenge> {
    if let Some(header) = response.headers().get("payment-required") {
        return Ok(Challenge::PaymentRequired(header.as_bytes().to_vec()));
    }
    let body = read(response, CHALLENGE_LEN_MAX).await.context("the 402")?;
    Ok(Challenge::Body(body))
}

/// The body, unless it is longer than `len_max` bytes.
pub(crate) async fn read(mut response: Response, len_max: usize) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
        if body.len().saturating_add(chunk.len()) > len_max {
            anyhow::bail!("the answer is longer than {len_max} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What the seller says about the payment it was sent. Words of a stranger, and proof of nothing.
pub(crate) fn settlement(headers: &HeaderMap) -> Option<Value> {
    decode(settlement_header(headers)?)
}

/// The header in which a seller says what became of a payment.
pub(crate) fn settlement_header(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get("payment-response").or_else(|| headers.get("x-payment-response"))
}

/// Why the seller did not take a payment, in its own words.
pub(crate) fn refusal(headers: &HeaderMap) -> Option<String> {
    let settlement = settlement(headers).unwrap_or_default();
    let required = headers.get("payment-required").and_then(decode).unwrap_or_default();
    let reason = settlement.get("errorReason").or_else(|| required.get("error"))?;
    reason.as_str().map(ToOwned::to_owned)
}

fn decode(value: &HeaderValue) -> Option<Value> {
    serde_json::from_slice(&STANDARD.decode(value.as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &str, header: Option<&str>) -> Response {
        let mut response = http::Response::builder().status(402);
        if let Some(header) = header {
            response = response.header("PAYMENT-REQUIRED", header);
        }
        response.body(body.to_owned()).unwrap().into()
    }

    #[tokio::test]
    async fn the_header_wins_over_the_body() {
        let table = [
            (response("{}", Some("abc")), Challenge::PaymentRequired(b"abc".to_vec())),
            (response("{}", None), Challenge::Body(b"{}".to_vec())),
        ];
        for (response, expected) in table {
            assert_eq!(challenge(response).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_402_without_end_is_not_read_to_the_end() {
        let at_most = "x".repeat(CHALLENGE_LEN_MAX);
        assert!(challenge(response(&at_most, None)).await.is_ok());
        assert!(challenge(response(&format!("{at_most}x"), None)).await.is_err());
    }

    fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        headers.iter().map(header).collect()
    }

    #[test]
    fn only_base64_of_json_is_a_settlement() {
        let of = |value: &str| settlement(&headers(&[("payment-response", value)]));
        assert_eq!(settlement(&HeaderMap::new()), None);
        assert_eq!(of("{}"), None);
        assert_eq!(of(&STANDARD.encode("{")), None);
        assert_eq!(of(&STANDARD.encode(r#"{"success":true}"#)), Some(serde_json::json!({ "success": true })));
    }

    #[test]
    fn a_failed_settlement_says_more_than_another_402() {
        let failed = STANDARD.encode(r#"{"success":false,"errorReason":"insufficient_funds"}"#);
        let again = STANDARD.encode(r#"{"error":"payment required"}"#);
        let table = [
            (headers(&[]), None),
            (headers(&[("payment-required", "?")]), None),
            (headers(&[("payment-required", &STANDARD.encode(r#"{"error":1}"#))]), None),
            (headers(&[("payment-required", &again)]), Some("payment required")),
            (
                headers(&[("x-payment-response", &failed), ("payment-required", &again)]),
                Some("insufficient_funds"),
            ),
        ];
        for (headers, expected) in table {
            assert_eq!(refusal(&headers).as_deref(), expected, "{headers:?}");
        }
    }
}

//! A paywalled site on a port of this machine. It speaks x402 v2 for real, except that it settles on no chain.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pursekeeper_core::{Amount, EvmAddress, UnixSeconds};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::till::{NETWORK, Payment, Price, Till};
use crate::clock::Clock;

/// Whom the site wants to be paid; the registry accepts it.
pub(super) const PAYEE: EvmAddress = EvmAddress::from_bytes([0x5e; 20]);
/// Whom one page wants to be paid, as after a break-in; nobody accepted it.
pub(super) const STRANGER: EvmAddress = EvmAddress::from_bytes([0xba; 20]);

/// A page and its price in atomic units of USDC, which are millionths of a dollar.
struct Page {
    path: &'static str,
    amount: &'static str,
    payee: EvmAddress,
    text: &'static str,
}

/// In scope and cheap.
pub(super) const LONDON: &str = "/weather/london";
/// In scope and cheap, but paid to somebody else.
pub(super) const PARIS: &str = "/weather/paris";
/// In scope, but dear.
pub(super) const ARCHIVE: &str = "/weather/archive";
/// Cheap, but in no service.
pub(super) const PREMIUM: &str = "/premium/report";

const PAGES: [Page; 4] = [
    Page { path: LONDON, amount: "10000", payee: PAYEE, text: r#"{"city":"London","celsius":11}"# },
    Page { path: PARIS, amount: "10000", payee: STRANGER, text: r#"{"city":"Paris","celsius":12}"# },
    Page { path: ARCHIVE, amount: "250000", payee: PAYEE, text: r#"{"years":174}"# },
    Page { path: PREMIUM, amount: "10000", payee: PAYEE, text: r#"{"report":"premium"}"# },
];

/// The running site.
pub(super) struct Seller {
    origin: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// What its requests share.
struct Shop {
    origin: String,
    till: Mutex<Till>,
}

impl Seller {
    /// Opens the site on a free port.
    pub(super) async fn open() -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the demo's seller")?;
        let origin = format!("http://{}", listener.local_addr()?);
        let shop = Shop { origin: origin.clone(), till: Mutex::new(Till::new()) };
        let (stop, stopped) = oneshot::channel();
        let router = Router::new().fallback(visit).with_state(Arc::new(shop));
        let stopping = async { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, router, stopping));
        Ok(Self { origin, stop, serving })
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Closes the site and waits until it is closed.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        Ok(self.serving.await??)
    }
}

async fn serve(
    listener: TcpListener,
    router: Router,
    stopping: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stopping).await
}

async fn visit(State(shop): State<Arc<Shop>>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let payment = headers.get("payment-signature").map(|value| value.as_bytes());
    shop.answer(uri.path(), payment, Clock::new().now().unix_seconds())
}

impl Shop {
    fn answer(&self, path: &str, payment: Option<&[u8]>, now: UnixSeconds) -> Response<Body> {
        let page = PAGES.iter().find(|page| page.path == path);
        let Some((page, price)) = page.and_then(|page| Some((page, page.price()?))) else {
            return respond(StatusCode::NOT_FOUND, None, "no such page");
        };
        let Some(payment) = payment else { return self.ask(path, &price, "payment required") };
        // A till that a panic left behind is still a list of nonces.
        let taken = self.till.lock().unwrap_or_else(PoisonError::into_inner).take(payment, &price, now);
        match taken {
            Ok(Payment { payer }) => {
                let receipt = json!({
                    "success": true,
                    // Nothing is settled here, so there is no transaction to name.
                    "transaction": "",
                    "network": NETWORK,
                    "payer": payer.to_string(),
                });
                respond(StatusCode::OK, Some(("payment-response", &receipt)), page.text)
            }
            Err(error) => self.ask(path, &price, &error.to_string()),
        }
    }

    /// The 402.
    fn ask(&self, path: &str, price: &Price, error: &str) -> Response<Body> {
        let required = json!({
            "x402Version": 2,
            "error": error,
            "resource": { "url": format!("{}{path}", self.origin), "mimeType": "application/json" },
            "accepts": [price.entry()],
        });
        respond(StatusCode::PAYMENT_REQUIRED, Some(("payment-required", &required)), "{}")
    }
}

impl Page {
    fn price(&self) -> Option<Price> {
        Some(Price { amount: Amount::parse(self.amount).ok()?, payee: self.payee })
    }
}

fn respond(status: StatusCode, header: Option<(&str, &Value)>, body: &'static str) -> Response<Body> {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if let Some((name, value)) = header {
        response = response.header(name, STANDARD.encode(value.to_string()));
    }
    response.body(Body::from(body)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::till::tests::{NOW, encode, signed};
    use super::*;

    fn shop() -> Shop {
        Shop { origin: "http://127.0.0.1:1".to_owned(), till: Mutex::new(Till::new()) }
    }

    /// The `error` of a 402, read as a buyer reads it.
    fn refusal(response: &Response<Body>) -> String {
        assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
        let header = response.headers().get("payment-required").unwrap();
        let challenge = pursekeeper_core::x402::Challenge::from_header(header.as_bytes()).unwrap();
        assert!(challenge.offers.iter().all(|offer| offer.content.is_ok()));
        let json: Value = serde_json::from_slice(&STANDARD.decode(header).unwrap()).unwrap();
        json["error"].as_str().unwrap().to_owned()
    }

    #[test]
    fn every_page_asks_for_money_in_words_the_gate_understands() {
        for page in &PAGES {
            assert_eq!(refusal(&shop().answer(page.path, None, NOW)), "payment required");
        }
        assert_eq!(shop().answer("/", None, NOW).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_payment_for_other_terms_or_out_of_its_time_is_answered_402() {
        let (payload, _) = signed();
        let header = encode(&payload);
        let error = refusal(&shop().answer(LONDON, Some(header.as_bytes()), NOW));
        assert_eq!(error, "the payment accepts other terms than were offered");
        assert_eq!(
            refusal(&shop().answer(LONDON, Some(b"?"), NOW)),
            "the payment is not base64 of an x402 v2 payload"
        );
    }
}

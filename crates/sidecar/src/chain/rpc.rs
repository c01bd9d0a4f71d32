//! One request to one node.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::error::{ChainError, NodeFault};

/// Longest answer that is read, in bytes: a block with its transaction hashes or a large receipt is a tenth of it.
pub(super) const BODY_LEN_MAX: usize = 1024 * 1024;
/// Most requests to one node under way at once.
const REQUESTS_MAX: usize = 8;
/// Longest text of a node in an error, in bytes.
const TEXT_LEN_MAX: usize = 160;
/// Parts of a URL at least this long are taken for credentials, in bytes.
const CREDENTIAL_LEN_MIN: usize = 6;

/// Where a node is: scheme, host and port. The rest of its URL may be a credential and is never shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

/// One node. No `Debug`: its URL may hold a credential.
pub(super) struct Rpc {
    client: Client,
    url: Url,
    name: NodeName,
    requests: Semaphore,
    last_id: AtomicU64,
}

/// The answer to one request.
#[derive(Deserialize)]
struct Envelope<'a> {
    jsonrpc: &'a str,
    id: u64,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

impl NodeName {
    /// Of the node at `url`.
    #[must_use]
    pub fn of(url: &Url) -> Self {
        Self(url.origin().ascii_serialization().into())
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Rpc {
    /// A node that has `timeout` for each answer.
    pub(super) fn new(url: Url, timeout: Duration) -> Result<Self, ChainError> {
        let client = Client::builder()
            .user_agent(concat!("pursekeeper/", env!("CARGO_PKG_VERSION")))
            // The operator chose this address; what it points to was chosen by somebody else.
            .redirect(redirect::Policy::none())
            .timeout(timeout);
        // Plain http is for nodes nearby, so it needs neither certificates nor proxies.
        let client = if url.scheme() == "http" { client.no_proxy().tls_certs_only([]) } else { client };
        let client = client.build().map_err(|error| ChainError::Client(Arc::new(error.without_url())))?;
        let name = NodeName::of(&url);
        Ok(Self { client, url, name, requests: Semaphore::new(REQUESTS_MAX), last_id: AtomicU64::new(0) })
    }

    pub(super) fn name(&self) -> &NodeName {
        &self.name
    }

    /// Asks, and reads the result as `T`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, NodeFault> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let (status, body) = self.post(request.to_string()).await?;
        let result = match self.result(&body, id, method) {
            // Some send their refusals with a status of their own.
            Err(refusal @ NodeFault::Refused { .. }) => return Err(refusal),
            _ if status != StatusCode::OK => return Err(NodeFault::Http { status: status.as_u16() }),
            result => result?,
        };
        serde_json::from_str(result.get())
            .map_err(|error| NodeFault::Malformed { method, reason: cut(&error.to_string()) })
    }

    /// Sends `request` and reads what comes back.
    async fn post(&self, request: String) -> Result<(StatusCode, Vec<u8>), NodeFault> {
        let _slot = self.requests.acquire().await.map_err(|_| NodeFault::Interrupted)?;
        let request =
            self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(request);
        let response = request.send().await.map_err(transport)?;
        Ok((response.status(), read(response).await?))
    }

    /// The result in `body`, if it is the answer to request `id`.
    fn result<'a>(&self, body: &'a [u8], id: u64, method: &'static str) -> Result<&'a RawValue, NodeFault> {
        let envelope: Envelope<'a> = serde_json::from_slice(body)
            .map_err(|error| NodeFault::NotJsonRpc { reason: cut(&error.to_string()) })?;
        let Envelope { jsonrpc, id: answered, result, error } = envelope;
        if jsonrpc != "2.0" || answered != id {
            return Err(NodeFault::NotJsonRpc {
                reason: "another version, or the id of another request".to_owned(),
            });
        }
        match (result, error) {
            (Some(_), Some(_)) => {
                Err(NodeFault::NotJsonRpc { reason: "both a result and an error".to_owned() })
            }
            (None, Some(Refusal { code, message })) => {
                Err(NodeFault::Refused { method, code, message: self.safe(&message) })
            }
            (None, None) => Err(NodeFault::Missing { method }),
            (Some(result), None) => Ok(result),
        }
    }

    /// What a node says, unless it repeats a credential from its URL.
    fn safe(&self, text: &str) -> String {
        let path = self.url.path().split('/');
        let query = self.url.query().unwrap_or_default().split(['&', '=']);
        let user = [self.url.username(), self.url.password().unwrap_or_default()];
        let mut secrets = path.chain(query).chain(user).filter(|part| part.len() >= CREDENTIAL_LEN_MIN);
        if secrets.any(|secret| text.contains(secret)) {
            return "withheld: it repeats a part of the url".to_owned();
        }
        cut(text)
    }
}

/// Does everything in `tasks` at once; results are in the order of the tasks. Dropping it ends them all.
pub(super) async fn all<T, F>(tasks: impl IntoIterator<Item = F>) -> Vec<Result<T, NodeFault>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, NodeFault>> + Send + 'static,
{
    let mut set = JoinSet::new();
    let mut results = Vec::new();
    for (index, task) in tasks.into_iter().enumerate() {
        results.push(Err(NodeFault::Interrupted));
        set.spawn(async move { (index, task.await) });
    }
    while let Some(joined) = set.join_next().await {
        let Ok((index, result)) = joined else { continue };
        if let Some(place) = results.get_mut(index) {
            *place = result;
        }
    }
    results
}

async fn read(mut response: Response) -> Result<Vec<u8>, NodeFault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len().saturating_add(chunk.len()) > BODY_LEN_MAX {
            return Err(NodeFault::TooLong { max: BODY_LEN_MAX });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn transport(error: reqwest::Error) -> NodeFault {
    if error.is_timeout() {
        return NodeFault::Timeout;
    }
    NodeFault::Unreachable(Arc::new(error.without_url()))
}

/// At most [`TEXT_LEN_MAX`] bytes, without control characters.
fn cut(text: &str) -> String {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len().saturating_add(c.len_utf8()) > TEXT_LEN_MAX {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(url: &str) -> Rpc {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Rpc::new(url.parse().unwrap(), Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn only_an_answer_to_the_request_is_read() {
        let node = node("http://127.0.0.1:1");
        let of = |body: &str| node.result(body.as_bytes(), 7, "eth_chainId").map(|raw| raw.get().to_owned());
        assert_eq!(of(r#"{"jsonrpc":"2.0","id":7,"result":"0x1"}"#).unwrap(), r#""0x1""#);
        assert_eq!(of(r#"{"jsonrpc":"2.0","id":7,"result":"0x1","error":null}"#).unwrap(), r#""0x1""#);
        for body in [
            "",
            "null",
            "[]",
            "<html>",
            r#"[{"jsonrpc":"2.0","id":7,"result":"0x1"}]"#,
            r#"{"jsonrpc":"2.0","id":8,"result":"0x1"}"#,
            r#"{"jsonrpc":"2.0","id":"7","result":"0x1"}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":"0x1"}"#,
            r#"{"jsonrpc":"2.0","result":"0x1"}"#,
            r#"{"jsonrpc":"1.0","id":7,"result":"0x1"}"#,
            r#"{"id":7,"result":"0x1"}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":"0x1","result":"0x2"}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":"0x1","error":{"code":1,"message":""}}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":"no"}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":"0x1"} x"#,
        ] {
            assert!(matches!(of(body), Err(NodeFault::NotJsonRpc { .. })), "{body}");
        }
        for body in [r#"{"jsonrpc":"2.0","id":7}"#, r#"{"jsonrpc":"2.0","id":7,"result":null}"#] {
            assert!(matches!(of(body), Err(NodeFault::Missing { .. })), "{body}");
        }
    }

    #[test]
    fn credentials_of_a_url_are_never_shown() {
        let node = node("https://user:pass-word@node.example:8443/v2/s3cr3t-key?token=hunter2");
        assert_eq!(node.name().to_string(), "https://node.example:8443");
        for text in ["key s3cr3t-key is over its limit", "hunter2", "pass-word"] {
            assert!(!node.safe(text).contains(text), "{text}");
        }
        assert_eq!(node.safe("missing\ntrie node"), "missingtrie node");
        assert_eq!(node.safe(&"é".repeat(200)).len(), TEXT_LEN_MAX);
    }
}

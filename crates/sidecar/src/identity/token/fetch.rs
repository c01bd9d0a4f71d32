//! Keys that are fetched over HTTPS, again and again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use reqwest::{Certificate, Client, StatusCode, Url, redirect};
use tracing::{info, warn};

use super::keys::KeySet;
use crate::config::IssuerConfig;
use crate::http;
use crate::identity::keep::read_bounded;
use crate::identity::{Kept, OnDisk as _};

/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Between two tries while there are no keys at all.
const FIRST_INTERVAL: Duration = Duration::from_secs(2);

/// Somebody who is asked over HTTPS, and the token that is shown there.
pub(super) struct Peer {
    pub(super) url: Url,
    client: Kept<Client>,
    bearer_file: Option<PathBuf>,
}

/// Keys that are fetched.
pub(super) struct Fetched {
    name: String,
    peer: Peer,
    interval: Duration,
    keys: ArcSwapOption<KeySet>,
}

impl Peer {
    /// Whoever answers at `url` with a certificate of `ca`, or of an authority this machine trusts.
    pub(super) fn new(url: &str, ca: Option<&PathBuf>, bearer_file: Option<PathBuf>) -> Result<Self, String> {
        let url = url.parse().map_err(|error| format!("`{url}` is no address: {error}"))?;
        let client = Kept::read(ca.cloned().into_iter().collect(), |files| client(files.first()));
        Ok(Self { url, client: client.map_err(|error| error.to_string())?, bearer_file })
    }

    /// The client, with the authorities as they are now; a bad new file keeps the old ones.
    fn client(&self) -> Client {
        if let Err(error) = self.client.look() {
            warn!(%error, "the authorities of before are kept");
        }
        self.client.get().as_ref().clone()
    }

    /// Makes a request, and returns the answer's status and body.
    pub(super) async fn send(
        &self,
        request: impl FnOnce(&Client) -> reqwest::RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let mut request = request(&self.client());
        if let Some(path) = &self.bearer_file {
            let token = read_bounded(path).map_err(|error| error.to_string())?;
            let token = String::from_utf8(token).map_err(|_| format!("`{}` is no text", path.display()))?;
            request = request.bearer_auth(token.trim());
        }
        let answer = request.send().await.map_err(|error| causes(&error))?;
        let status = answer.status();
        let body = http::read(answer, ANSWER_BYTES_MAX).await.map_err(|error| error.to_string())?;
        Ok((status, body))
    }
}

/// An error and what is behind it, without the address, which the caller names.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        said = format!("{said}: {cause}");
        behind = cause.source();
    }
    said
}

fn client(ca: Option<&Vec<u8>>) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent(concat!("pursekeeper/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        .redirect(redirect::Policy::none())
        .timeout(ANSWER_TIMEOUT);
    let builder = match ca {
        Some(pem) => {
            let authorities = Certificate::from_pem_bundle(pem).map_err(|error| error.to_string())?;
            if authorities.is_empty() {
                return Err("no certificate in it".to_owned());
            }
            builder.no_proxy().tls_certs_only(authorities)
        }
        None => builder,
    };
    builder.build().map_err(|error| causes(&error))
}

impl Fetched {
    pub(super) fn new(config: &IssuerConfig, url: &str) -> Result<Self, String> {
        Ok(Self {
            name: config.name.clone(),
            peer: Peer::new(url, config.ca.as_ref(), config.bearer_file.clone())?,
            interval: Duration::from_secs(config.refresh_secs),
            keys: ArcSwapOption::empty(),
        })
    }

    /// The keys, once there are any.
    pub(super) fn get(&self) -> Option<Arc<KeySet>> {
        self.keys.load_full()
    }

    /// Fetches for ever. What cannot be fetched or used keeps what was fetched before.
    pub(super) async fn run(&self) {
        loop {
            match self.fetch().await {
                Ok(keys) => {
                    if self.keys.swap(Some(Arc::new(keys))).is_none() {
                        info!(issuer = self.name, "the keys of a token issuer are fetched");
                    }
                }
                Err(error) => warn!(issuer = self.name, error, "the keys of a token issuer were not fetched"),
            }
            let interval =
                if self.keys.load().is_none() { FIRST_INTERVAL.min(self.interval) } else { self.interval };
            tokio::time::sleep(interval).await;
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let (status, body) = self.peer.send(|client| client.get(self.peer.url.clone())).await?;
        if status != StatusCode::OK {
            return Err(format!("the answer is {status}"));
        }
        KeySet::parse(&body)
    }
}

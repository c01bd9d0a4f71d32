//! Asking a Kubernetes API server whether a token still holds: a deleted pod's does not.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pursekeeper_core::UnixSeconds;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::TokenError;
use super::fetch::Peer;
use super::jws::quoted;
use crate::config::ReviewConfig;

/// Where TokenReviews are answered.
const PATH: &str = "apis/authentication.k8s.io/v1/tokenreviews";
/// Most good answers that are remembered.
const ANSWERS_LEN_MAX: usize = 1024;

/// An API server that is asked.
pub(super) struct Review {
    peer: Peer,
    audiences: Vec<String>,
    cache_secs: u64,
    /// Until when a good answer is relied on, by the token's hash.
    confirmed: Mutex<HashMap<[u8; 32], UnixSeconds>>,
}

#[derive(Deserialize)]
struct Answer {
    status: Option<Verdict>,
}

#[derive(Deserialize)]
struct Verdict {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    audiences: Vec<String>,
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

impl Review {
    pub(super) fn new(config: &ReviewConfig, audiences: &[String]) -> Result<Self, String> {
        let base = config.url.trim_end_matches('/');
        let peer =
            Peer::new(&format!("{base}/{PATH}"), config.ca.as_ref(), Some(config.bearer_file.clone()))?;
        Ok(Self {
            peer,
            audiences: audiences.to_vec(),
            cache_secs: config.cache_secs,
            confirmed: Mutex::default(),
        })
    }

    /// Whether the server knows the token as one of `subject` for us.
    pub(super) async fn confirm(
        &self,
        token: &str,
        subject: &str,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<(), TokenError> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if self.remembers(&hash, now) {
            return Ok(());
        }
        let question = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": { "token": token, "audiences": self.audiences },
        });
        let send = |client: &reqwest::Client| {
            let body = question.to_string();
            client.post(self.peer.url.clone()).header("content-type", "application/json").body(body)
        };
        let (status, body) = self.peer.send(send).await.map_err(TokenError::Unavailable)?;
        if !matches!(status, StatusCode::OK | StatusCode::CREATED) {
            return Err(TokenError::Unavailable(format!("it answers {status}")));
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| TokenError::Unavailable(format!("its answer is no TokenReview: {error}")))?;
        judge(answer, subject, &self.audiences)?;
        self.remember(hash, expires.min(now.plus(self.cache_secs)), now);
        Ok(())
    }

    fn remembers(&self, hash: &[u8; 32], now: UnixSeconds) -> bool {
        let confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.get(hash).is_some_and(|until| now < *until)
    }

    fn remember(&self, hash: [u8; 32], until: UnixSeconds, now: UnixSeconds) {
        let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.retain(|_, until| now < *until);
        if confirmed.len() < ANSWERS_LEN_MAX && now < until {
            confirmed.insert(hash, until);
        }
    }
}

/// What an answer means. A server that does not know of audiences has not checked them.
fn judge(answer: Answer, subject: &str, audiences: &[String]) -> Result<(), TokenError> {
    let no = |what: &str| Err(TokenError::Unconfirmed(what.to_owned()));
    let Some(Verdict { authenticated, error, audiences: theirs, user }) = answer.status else {
        return no("its answer has no status");
    };
    if !authenticated {
        return no(
            if error.is_empty() { "it is not authenticated".to_owned() } else { quoted(&error) }.as_str()
        );
    }
    if !error.is_empty() {
        return no(&quoted(&error));
    }
    if !theirs.iter().any(|audience| audiences.contains(audience)) {
        return no("it is not for our audience");
    }
    if user.is_none_or(|user| user.username != subject) {
        return no("it is another user's");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_confirms_a_token() {
        let yes = json!({ "authenticated": true, "audiences": ["pursekeeper"], "user": { "username": "a" } });
        let with = |pointer: &str, value: serde_json::Value| {
            let mut answer = json!({ "status": yes });
            *answer.pointer_mut(pointer).unwrap() = value;
            answer
        };
        let check = |answer: serde_json::Value| {
            judge(serde_json::from_value(answer).unwrap(), "a", &["pursekeeper".to_owned()])
        };
        assert_eq!(check(json!({ "status": yes })), Ok(()));
        let table = [
            json!({}),
            json!({ "status": {} }),
            with("/status/authenticated", json!(false)),
            with("/status/audiences", json!([])),
            with("/status/audiences", json!(["api"])),
            with("/status/user", json!(null)),
            with("/status/user/username", json!("b")),
            json!({ "status": { "authenticated": true, "error": "x", "audiences": ["pursekeeper"], "user": { "username": "a" } } }),
        ];
        for answer in table {
            assert!(matches!(check(answer.clone()), Err(TokenError::Unconfirmed(_))), "{answer}");
        }
    }
}

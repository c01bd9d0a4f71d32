//! A record on its way out: what a sink may see of it.

use pursekeeper_core::{DecisionId, Digest, JournalId};
use pursekeeper_journal::StoredRecord;
use serde_json::Value;

use super::SinkError;
use super::mask::Mask;

/// A record, masked, with what proves it.
pub(super) struct Outgoing {
    pub(super) journal: JournalId,
    pub(super) seq: u64,
    pub(super) leaf: Digest,
    pub(super) chain: Digest,
    pub(super) record: Value,
    /// Where something was replaced.
    pub(super) masked: Vec<String>,
}

impl Outgoing {
    pub(super) fn new(
        journal: JournalId,
        stored: &StoredRecord,
        mask: Option<&Mask>,
    ) -> Result<Self, SinkError> {
        let unreadable = |source| SinkError::Unreadable { seq: stored.seq, source };
        let mut record: Value = serde_json::from_slice(&stored.body).map_err(unreadable)?;
        let masked = mask.map(|mask| mask.apply(&mut record)).unwrap_or_default();
        Ok(Self { journal, seq: stored.seq, leaf: stored.leaf, chain: stored.chain, record, masked })
    }

    pub(super) fn decision_id(&self) -> DecisionId {
        DecisionId::new(self.journal, self.seq)
    }

    /// One line of JSON. What was not masked stands in it byte for byte as in the journal.
    pub(super) fn json(&self) -> String {
        let Self { journal, seq, leaf, chain, record, masked } = self;
        // The members of a record are sorted, and stay so.
        let (id, masked) = (self.decision_id(), Value::from(masked.clone()));
        format!(
            r#"{{"journal":"{journal}","seq":{seq},"decision_id":"{id}","leaf_hash":"{leaf}","chain_hash":"{chain}","record":{record},"masked":{masked}}}"#
        )
    }

    /// What stands at a JSON pointer.
    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.record.pointer(pointer)
    }

    /// The first text that stands at one of these JSON pointers.
    pub(super) fn text(&self, pointers: &[&str]) -> Option<&str> {
        pointers.iter().find_map(|pointer| self.at(pointer)?.as_str())
    }

    pub(super) fn kind(&self) -> &str {
        self.text(&["/kind"]).unwrap_or_default()
    }

    pub(super) fn verdict(&self) -> Option<&str> {
        self.text(&["/verdict"])
    }

    /// Whether somebody did not get what was asked for.
    pub(super) fn failed(&self) -> bool {
        let unknown = "unauthenticated";
        let repeats = self.text(&["/repeat/kind"]);
        self.verdict() == Some("deny")
            || self.kind() == unknown
            || self.text(&["/reload/result"]) == Some("refused")
            || repeats == Some(unknown)
            || (repeats.is_some() && self.code().is_some())
    }

    /// Whether whoever asked is nobody the registry knows.
    pub(super) fn stranger(&self) -> bool {
        self.at("/stranger").is_some() || (self.at("/repeat").is_some() && self.agent().is_none())
    }

    /// Why it was refused, in words.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.text(&["/denial/message", "/stranger/message", "/reload/message"])
    }

    /// When it was decided, in Unix milliseconds.
    pub(super) fn unix_ms(&self) -> u64 {
        self.at("/time/unix_ms").and_then(Value::as_u64).unwrap_or_default()
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.text(&["/denial/code", "/repeat/code"])
    }

    pub(super) fn agent(&self) -> Option<&str> {
        self.text(&[
            "/asked/caller/agent",
            "/report/caller/agent",
            "/intent/agent",
            "/sign_in/agent",
            "/repeat/agent",
        ])
    }

    pub(super) fn operator(&self) -> Option<&str> {
        self.text(&["/act/operator"])
    }

    pub(super) fn workflow(&self) -> Option<&str> {
        self.text(&["/intent/workflow", "/sign_in/workflow", "/asked/workflow"])
    }

    pub(super) fn wallet(&self) -> Option<&str> {
        self.text(&[
            "/intent/wallet",
            "/sign_in/wallet",
            "/asked/wallet",
            "/cancellation/wallet",
            "/act/wallet",
            "/wallet",
        ])
    }

    pub(super) fn wallet_address(&self) -> Option<&str> {
        self.text(&[
            "/intent/wallet_address",
            "/sign_in/wallet_address",
            "/cancellation/wallet_address",
            "/act/address",
        ])
    }

    pub(super) fn service(&self) -> Option<&str> {
        self.text(&["/intent/service", "/sign_in/service", "/pending/service"])
    }

    pub(super) fn payee(&self) -> Option<&str> {
        self.text(&["/intent/terms/payee", "/pending/payee", "/act/payee"])
    }

    pub(super) fn request_id(&self) -> Option<&str> {
        self.text(&["/asked/request_id", "/intent/request_id", "/sign_in/request_id"])
    }

    pub(super) fn url(&self) -> Option<&str> {
        self.text(&["/asked/endpoint/url", "/intent/endpoint/url", "/sign_in/endpoint/url"])
    }

    pub(super) fn method(&self) -> Option<&str> {
        self.text(&["/asked/endpoint/method", "/intent/endpoint/method", "/sign_in/endpoint/method"])
    }

    /// The trace of the call, 32 hexadecimal digits.
    pub(super) fn trace(&self) -> Option<&str> {
        self.text(&["/asked/trace"])
    }

    /// What happened, in a word.
    pub(super) fn operation(&self) -> String {
        let word = self.text(&["/act/verb", "/stranger/call"]).unwrap_or(self.kind());
        match (self.kind(), self.at("/resolution/state").and_then(Value::as_str)) {
            ("evidence", Some(state)) => format!("evidence-{state}"),
            _ => word.to_owned(),
        }
    }
}

//! The members of records that are not judged: hashes of signatures, calls of nobody, what was counted, and what was read again.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Source;
use super::scalar::{Hex, Int};

/// A signature that was made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignatureHash {
    /// The record of the permit.
    pub(super) seq: Int,
    pub(super) sha256: Hex<32>,
}

/// A call of somebody whom the registry does not know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stranger<'a> {
    #[serde(borrow)]
    pub(super) call: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Source<'a>>,
}

/// What was counted within a minute: of an agent, or of somebody whom the registry does not know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeat<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) agent: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<Cow<'a, str>>,
    pub(super) count: Int,
    pub(super) first_ms: Int,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    pub(super) last_ms: Int,
    /// The last record of the same that stands for itself.
    pub(super) like: Int,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Source<'a>>,
}

/// What was read again because it changed on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reload<'a> {
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) result: Cow<'a, str>,
}

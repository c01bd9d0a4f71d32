//! Who did something, and what proved it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// An agent, as authenticated.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller<'a> {
    #[serde(borrow)]
    pub(super) agent: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) source: Source<'a>,
    /// The only workflows the listener is for.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) workflows: Option<Vec<Cow<'a, str>>>,
}

/// What proved it: the kinds of proof in one word, and what each of them said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gid: Option<u32>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) spiffe: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
}

/// What proves an identity, as text for a table's key.
pub(crate) fn source_text(source: &pursekeeper_core::IdentitySource) -> String {
    // Plain members cannot fail to be written.
    serde_json::to_string(&Source::of(source)).unwrap_or_default()
}

/// Reads what [`source_text`] wrote.
pub(crate) fn parse_source(text: &str) -> Option<pursekeeper_core::IdentitySource> {
    serde_json::from_str::<Source<'_>>(text).ok()?.decode().ok()
}

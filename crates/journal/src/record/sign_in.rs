//! The member of records of sign-ins.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Endpoint;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn<'a> {
    #[serde(borrow)]
    pub(super) agent: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) endpoint: Endpoint<'a>,
    #[serde(borrow)]
    pub(super) message: Message<'a>,
    #[serde(borrow)]
    pub(super) request_id: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) wallet: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) wallet_address: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) workflow: Cow<'a, str>,
}

/// The fields of an EIP-4361 message, as received.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) domain: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) expiration_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) issued_at: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) network: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) nonce: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) profile: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) resources: Vec<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) signature_scheme: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) statement: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) uri: Cow<'a, str>,
}

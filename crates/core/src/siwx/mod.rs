//! Sign-In-With-X: what a server asks a wallet to sign (CAIP-122, x402 extension `sign-in-with-x`), as EIP-4361 text.
//!
//! A sign-in is not free: behind some servers it spends prepaid credit. So it goes the way of a payment. A
//! [`SignInChallenge`] is what was asked, a [`SignIn`] is what passed the rules and is judged, recorded and signed:
//! one value, from whose [`SignInParts`] a retry makes the same bytes again.
//!
//! Every text of a challenge is hostile. A line break in one field would be further lines of the message, so fields
//! are checked against the grammar of EIP-4361, and the finished text is read back by a parser that shares nothing with
//! the writer: unless it finds exactly the fields we meant, there is nothing to sign.

mod challenge;
mod fields;
mod header;
mod message;
mod refusal;
mod rfc3339;
mod sign_in;
#[cfg(test)]
mod tests;
mod validate;

pub use challenge::{
    SUPPORTED_CHAINS_MAX, SignInChallenge, SignInChallengeError, SupportedChain, VENICE_STATEMENT,
};
pub use fields::{
    DOMAIN_LEN_MAX, NONCE_LEN_MAX, NONCE_LEN_MIN, REQUEST_ID_LEN_MAX, RESOURCES_MAX, STATEMENT_LEN_MAX,
    SignInField,
};
pub use refusal::SignInRefusal;
pub use sign_in::{SignIn, SignInParts, SignInProfile, TEXT_LEN_MAX};
pub use validate::{
    AGE_SECS_MAX, EXPIRY_SECS_MAX, LIFETIME_SECS_DEFAULT, SignInContext, VENICE_AHEAD_SECS_MAX,
};

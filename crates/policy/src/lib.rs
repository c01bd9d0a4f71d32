//! Cedar: the embedded guardrails, the governance bundle, and facts turned into requests.
//!
//! A [`Bundle`] is what a security team wrote: `registry.yaml` and any number of `*.cedar` files. It is read as a
//! whole or refused with everything that is wrong with it, and then implements [`pursekeeper_core::ports::Policy`].
//!
//! Three things keep a bundle from doing harm. The guardrails are compiled in and judged every time, and as forbids they
//! cannot be outvoted. Everything Cedar could not evaluate is a denial. And every name a policy or the registry mentions
//! must exist, so that a typing error is an error and not a hole.
//!
//! Reading order: [`Bundle`], then `source` and `registry` for what is accepted, then `payments` and `acts` for how it
//! judges. A payment is judged with the guardrails, the rules for ceilings somebody declared, and the policies whose head
//! can match; its context and entities hold only what those policies read. What does not differ between two requests of
//! the same shape is built, and what cannot differ is judged, once.

mod acts;
mod bundle;
mod complexity;
mod context;
mod draft;
mod embedded;
mod entities;
mod error;
mod files;
mod index;
mod judge;
mod literals;
mod needs;
mod numbers;
mod payments;
mod registry;
mod rule;
mod sign_ins;
mod source;
mod vocabulary;
mod yaml;

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails, which is its job")]
mod tests;

pub use bundle::{Bundle, BundleOptions, BundleSummary};
pub use draft::{Draft, DraftStamp};
pub use embedded::{EXAMPLES, GUARDRAILS, SCHEMA, STARTER_REGISTRY};
pub use error::{BundleError, BundleErrors, BundleWarning, Place};
pub use files::{BUNDLE_BYTES_MAX, BUNDLE_FILE_BYTES_MAX, BUNDLE_FILES_MAX};
pub use source::POLICIES_MAX;

/// The registry's file in a bundle.
pub const REGISTRY_FILE: &str = "registry.yaml";

/// How far a policy may follow references (Cedar's level validation): from principal, resource and context to their
/// attributes, no further, because a request carries no further entities.
const DEREF_LEVEL: u32 = 1;

//! The x402 payment protocol, versions 1 and 2, as a payer sees it.

mod challenge;
mod extensions;
pub(crate) mod json;
mod offer;
mod payload;
mod settlement;

pub use challenge::{CHALLENGE_LEN_MAX, Challenge, ChallengeError, OFFERS_MAX};
pub use extensions::{Extensions, Sponsoring};
pub use json::{JSON_DEPTH_MAX, JsonError};
pub use offer::{Offer, OfferRefusal, Protocol, Scheme, Terms, Understood};
pub use payload::{Payload, PayloadError};
pub use settlement::{SETTLEMENT_LEN_MAX, SettlementError};

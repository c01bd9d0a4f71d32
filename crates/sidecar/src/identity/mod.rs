//! Who calls. Nothing a request says changes it; what it says can only fail to fit.
//!
//! There is one order, and each step only narrows what the ones before it said:
//!
//! 1. **Which listener.** It serves agents or operators, and says which proofs there must be.
//! 2. **The peer** of a Unix socket: user and group id, from the kernel.
//! 3. **The certificate** of a client over TLS: an X.509-SVID of the trust domain, not expired.
//! 4. **The bearer token**: signed by an issuer of `identity.tokens`, for us, not expired, and not revoked if somebody is
//!    asked about that.
//! 5. **They agree.** Each proof leads to whom the registry declares it for, and all of them must lead to the same one. A
//!    peer that nobody is declared with proves nothing beside a certificate or a token: containers share user ids.
//! 6. **What the call says about itself** is what was proved.
//!
//! How many proofs matched is the assurance that policies see.

mod certificate;
mod error;
mod identities;
mod keep;
mod token;
mod who;

pub use certificate::{CertificateError, Svid, Tls, TlsError, Trust};
pub use error::IdentityError;
pub use identities::{Identities, IdentitiesError};
pub use keep::{Kept, KeptError, OnDisk};
pub use token::{Issuers, IssuersError, TokenError, TokenLimits};
pub use who::{Demand, Principal, Rules, Shown};

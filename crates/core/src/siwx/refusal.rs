use super::SignInField;
use crate::{ChainId, DenyCode};

/// Why a sign-in is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInRefusal {
    /// A field is not what EIP-4361 or our limits allow: too long, not one line, not the right characters.
    #[error("the sign-in's `{0}` must be {form}", form = .0.form())]
    Field(SignInField),
    /// The whole message is longer than [`super::TEXT_LEN_MAX`].
    #[error("the sign-in is {len} bytes long, more than the {max} a request header takes", max = super::TEXT_LEN_MAX)]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The finished text does not read back as the fields it was written from.
    #[error("the sign-in's text does not read back as the fields it was made of")]
    NotReadBack,
    /// The domain is not the endpoint's host and port.
    #[error("the sign-in is for the domain `{asked}`, but the call goes to `{expected}`")]
    Domain {
        /// What the server wrote.
        asked: String,
        /// The endpoint's host, with its port unless that is the scheme's own.
        expected: String,
    },
    /// A URI is not on the endpoint's origin, or not spelled so that every parser finds it there.
    #[error("the sign-in's `{field}` does not begin with the origin of the call, `{origin}`")]
    Origin {
        /// Which field.
        field: SignInField,
        /// The origin of the call.
        origin: String,
    },
    /// Asked for too long ago.
    #[error(
        "the sign-in was issued {age_secs} s ago and must be less than {secs_max} s old: ask the server for a new one"
    )]
    Stale {
        /// How long ago.
        age_secs: u64,
        /// The age at which it is too old.
        secs_max: u64,
    },
    /// Asked for later than now.
    #[error(
        "the sign-in is issued {ahead_secs} s in the future, more than the {secs_max} s clocks may differ"
    )]
    IssuedAhead {
        /// How far ahead.
        ahead_secs: u64,
        /// How far ahead it may be.
        secs_max: u64,
    },
    /// It ends too late.
    #[error("the sign-in would be valid for {ahead_secs} s, more than {secs_max} s")]
    ExpiresLate {
        /// How far ahead its end is.
        ahead_secs: u64,
        /// How far ahead it may be.
        secs_max: u64,
    },
    /// It begins later than now.
    #[error("the sign-in is valid only in {ahead_secs} s")]
    NotYetValid {
        /// How far ahead its beginning is.
        ahead_secs: u64,
    },
    /// It has ended.
    #[error("the sign-in expired {ago_secs} s ago: ask the server for a new one")]
    Expired {
        /// How long ago.
        ago_secs: u64,
    },
    /// The server takes no network the wallet may sign in on.
    #[error("the server takes no sign-in on a network this wallet is allowed on")]
    Chain,
    /// The server wants another kind of signature on the wallet's network.
    #[error("on `{chain}` the server wants a signature that is not `eip191` by a plain account")]
    SignatureType {
        /// The network.
        chain: ChainId,
    },
}

impl SignInRefusal {
    /// Under which code it is answered.
    #[must_use]
    pub const fn code(&self) -> DenyCode {
        match self {
            Self::Field(_) | Self::TooLong { .. } | Self::NotReadBack => DenyCode::SignInField,
            Self::Domain { .. } | Self::Origin { .. } => DenyCode::SignInDomain,
            Self::Stale { .. }
            | Self::IssuedAhead { .. }
            | Self::ExpiresLate { .. }
            | Self::NotYetValid { .. }
            | Self::Expired { .. } => DenyCode::SignInTime,
            Self::Chain | Self::SignatureType { .. } => DenyCode::SignInChain,
        }
    }
}

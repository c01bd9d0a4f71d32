/// Why a bearer token proves nothing. No part of the token is repeated beyond a short quotation of a name in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The metadata is not one bearer token.
    #[error("send one `authorization` that is `Bearer` and the token")]
    Bearer,
    /// It is longer than any that are issued for us.
    #[error("it is longer than `limits.token_bytes_max`, {0} bytes")]
    TooLong(usize),
    /// It is not three parts of base64url.
    #[error("it is not a JWS in compact serialisation: three parts of base64url without padding")]
    Form,
    /// A part is not a JSON object, or says something twice.
    #[error("its {part} is not a JSON object whose members each stand there once: {what}")]
    Json {
        /// `header` or `claims`.
        part: &'static str,
        /// What the parser says.
        what: String,
    },
    /// The header has a member that nobody needs and that could mean anything.
    #[error(
        "its header has the member `{0}`: only `alg`, `kid` and `typ` are taken, and none is followed anywhere"
    )]
    HeaderMember(String),
    /// The header says that it is something else.
    #[error("its `typ` is `{0}`: it is `JWT` or absent")]
    Type(String),
    /// The algorithm is not one of ours.
    #[error("its `alg` is `{0}`: RS, PS and ES of 256, 384 and, for RSA, 512 are taken")]
    Algorithm(String),
    /// The header does not say which key.
    #[error("its header names no `kid`")]
    NoKeyId,
    /// Nobody we trust issued it.
    #[error("its `iss` is no `issuer` of `identity.tokens`")]
    Issuer,
    /// The issuer's keys are not known yet.
    #[error("the keys of issuer `{0}` are not fetched yet: see the log")]
    NoKeys(String),
    /// The issuer has no such key.
    #[error("issuer `{0}` has no key with its `kid`")]
    KeyUnknown(String),
    /// The key is not for this algorithm.
    #[error("the key with its `kid` is not for `{0}`")]
    KeyMismatch(String),
    /// The signature is not by the key.
    #[error("its signature does not fit")]
    Signature,
    /// A claim is absent or not of its type.
    #[error("its claim `{0}` is absent or not what it should be")]
    Claim(String),
    /// It is for somebody else.
    #[error("its `aud` is none of the issuer's `audiences`")]
    Audience,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("its `{0}` is later than now")]
    NotYet(&'static str),
    /// It lives longer than any that are issued for us.
    #[error("it lives longer than `limits.token_life_secs_max`, {0} seconds")]
    TooLongLived(u64),
    /// It is about nobody who could be declared.
    #[error("its `sub` cannot be written into registry.yaml")]
    Subject,
    /// The API server says that it is not valid.
    #[error("the API server does not confirm it: {0}")]
    Unconfirmed(String),
    /// The API server does not say whether it is valid.
    #[error("the API server cannot be asked about it: {0}")]
    Unavailable(String),
}

impl TokenError {
    /// Whether it may be good, and nobody could say.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NoKeys(_))
    }
}

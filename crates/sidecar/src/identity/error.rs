use super::{CertificateError, TokenError};

/// Why a caller is nobody here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The call lacks what no browser and no forwarded request has.
    #[error(
        "the call lacks the metadata `pursekeeper: 1`: use a client of Pursekeeper, or send it with every call"
    )]
    HeaderMissing,
    /// The socket gives no credentials.
    #[error("the socket gives no peer credentials: connect over the Unix socket")]
    NoCredentials,
    /// The connection has no certificate.
    #[error("the connection has no client certificate: connect with the SVID of this workload")]
    CertificateMissing,
    /// The certificate proves nothing.
    #[error("the client certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The listener demands a token and there is none.
    #[error("this listener demands a bearer token: send the metadata `authorization: Bearer …`")]
    TokenMissing,
    /// The token proves nothing.
    #[error("the bearer token: {0}")]
    Token(#[from] TokenError),
    /// The registry knows nobody of that kind with these proofs.
    #[error("no {role} has {shown}: add it to registry.yaml")]
    Unmapped {
        /// `agent` or `operator`: who may use this listener.
        role: &'static str,
        /// What was shown.
        shown: String,
        /// Whether the kernel said who it is.
        by_peer: bool,
    },
    /// Somebody else may use this listener.
    #[error("{who} is no {role}: connect to a listener that serves {serves}")]
    WrongListener {
        /// Who it is.
        who: String,
        /// `agent` or `operator`: who may use this listener.
        role: &'static str,
        /// What listener would be right.
        serves: &'static str,
        /// Whether the kernel said who it is.
        by_peer: bool,
    },
    /// The sidecar's own user id: whoever runs as it can read the keys.
    #[error(
        "uid {0} runs the sidecar itself and could read its keys: run the caller as another user, or set `dev: true` to try things out"
    )]
    OwnUid(u32),
    /// Two proofs are of two callers, or the call says it is somebody else.
    #[error("{0}: every proof must be declared for the same agent or operator in registry.yaml")]
    Mismatch(String),
    /// The call says it is somebody else.
    #[error("the call says that it is `{said}`, and it is {who}: say nothing, or what is true")]
    Declared {
        /// What it says.
        said: String,
        /// Who it is.
        who: String,
    },
}

impl IdentityError {
    /// The word that programs match on.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::HeaderMissing => "HEADER_MISSING",
            Self::NoCredentials => "NO_CREDENTIALS",
            Self::CertificateMissing => "CERTIFICATE_MISSING",
            Self::Certificate(_) => "CERTIFICATE_REFUSED",
            Self::TokenMissing => "TOKEN_MISSING",
            Self::Token(error) if error.is_unavailable() => "TOKEN_REVIEW_UNAVAILABLE",
            Self::Token(_) => "TOKEN_REFUSED",
            Self::Unmapped { by_peer: true, .. } | Self::WrongListener { by_peer: true, .. } => {
                "UID_UNMAPPED"
            }
            Self::Unmapped { by_peer: false, .. } | Self::WrongListener { by_peer: false, .. } => {
                "IDENTITY_UNMAPPED"
            }
            Self::OwnUid(_) => "UID_IS_SIDECAR",
            Self::Mismatch(_) | Self::Declared { .. } => "IDENTITY_MISMATCH",
        }
    }
}

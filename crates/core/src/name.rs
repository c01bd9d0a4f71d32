use std::fmt;
use std::sync::Arc;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Names of subjects: a lower-case letter, then lower-case letters, digits and hyphens, at most 64 in all.
    #[error(
        "`{0}` is not a name: start with a lower-case letter, go on with lower-case letters, digits or `-`, at most 64"
    )]
    Name(String),
    /// Request ids.
    #[error("not a request id: use 1 to 128 characters of letters, digits and `._:-`")]
    RequestId,
}

/// Longest name of a subject, in bytes.
const NAME_LEN_MAX: usize = 64;
/// Longest request id, in bytes.
pub const REQUEST_ID_LEN_MAX: usize = 128;

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= NAME_LEN_MAX
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.bytes().all(plain)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads a name: a lower-case letter, then lower-case letters, digits and hyphens, at most 64 in all.
            ///
            /// # Errors
            /// [`NameError::Name`] for anything else.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(NameError::Name(text.chars().take(NAME_LEN_MAX).collect())) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// A workload that asks for signatures.
    AgentName
    /// A business task that agents work for.
    WorkflowName
    /// A governed key.
    WalletName
    /// A named set of endpoints.
    ServiceName
    /// A group of operators.
    TeamName
    /// A person who governs.
    OperatorName
    /// Who issues bearer tokens, as `identity.tokens` of pursekeeper.yaml calls them.
    TokenIssuer
}

/// An agent's own id for one request; a retry with the same id is the same request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Reads 1 to 128 characters of `[A-Za-z0-9._:-]`.
    ///
    /// # Errors
    /// [`NameError::RequestId`] for anything else.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let fits = (1..=REQUEST_ID_LEN_MAX).contains(&text.len());
        if fits && text.bytes().all(plain) { Ok(Self(text.into())) } else { Err(NameError::RequestId) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for text in ["", "A", "1a", "-a", "a_b", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(WalletName::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(WalletName::parse("research-1").unwrap().as_str(), "research-1");
    }

    #[test]
    fn request_ids_have_a_closed_alphabet() {
        for text in ["", "a/b", "a b", "é", "a\0", &"a".repeat(129)] {
            assert_eq!(RequestId::parse(text), Err(NameError::RequestId), "{text:?}");
        }
        assert!(RequestId::parse("01J.z_:-".replace('_', "-").as_str()).is_ok());
        assert!(RequestId::parse(&"a".repeat(128)).is_ok());
    }
}

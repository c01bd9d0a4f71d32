use std::fmt;
use std::sync::Arc;

/// Longest SPIFFE ID, in bytes (SPIFFE-ID section 2.3).
pub const SPIFFE_ID_LEN_MAX: usize = 2048;
/// Longest name of a trust domain, in bytes.
const TRUST_DOMAIN_LEN_MAX: usize = 255;
const SCHEME: &str = "spiffe://";

/// The name of a workload: `spiffe://<trust domain>/<path>`, in the one spelling that the standard allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
}

/// Why a text is no SPIFFE ID of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// It begins otherwise.
    #[error("a SPIFFE ID begins with `spiffe://`, in lower case")]
    Scheme,
    /// It is too long.
    #[error("a SPIFFE ID has at most {SPIFFE_ID_LEN_MAX} bytes")]
    Length,
    /// The trust domain is not one.
    #[error(
        "the trust domain has 1 to {TRUST_DOMAIN_LEN_MAX} characters of `a-z0-9.-_`, no user and no port"
    )]
    TrustDomain,
    /// There is no path: that is the trust domain itself.
    #[error("there is no path: name a workload, `spiffe://prod.example/crawler`")]
    NoPath,
    /// The path is not in the one spelling.
    #[error(
        "the path has segments of `a-zA-Z0-9.-_`, none empty, `.` or `..`, and no `/` at the end, `?`, `#` or `%`"
    )]
    Path,
}

impl SpiffeId {
    /// Reads the SPIFFE ID of a workload.
    ///
    /// # Errors
    /// [`SpiffeIdError`] for anything that is not in the one spelling the standard allows.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > SPIFFE_ID_LEN_MAX {
            return Err(SpiffeIdError::Length);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (domain, path) = rest.split_once('/').ok_or(SpiffeIdError::NoPath)?;
        if !is_trust_domain(domain) {
            return Err(SpiffeIdError::TrustDomain);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(plain);
        if !path.split('/').all(segment) {
            return Err(SpiffeIdError::Path);
        }
        Ok(Self { text: text.into() })
    }

    /// Reads the name of a trust domain.
    ///
    /// # Errors
    /// [`SpiffeIdError::TrustDomain`] for anything else.
    pub fn parse_trust_domain(text: &str) -> Result<&str, SpiffeIdError> {
        is_trust_domain(text).then_some(text).ok_or(SpiffeIdError::TrustDomain)
    }

    /// The trust domain it belongs to.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        let rest = self.text.strip_prefix(SCHEME).unwrap_or_default();
        rest.split_once('/').map_or("", |(domain, _)| domain)
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn is_trust_domain(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    (1..=TRUST_DOMAIN_LEN_MAX).contains(&text.len()) && text.bytes().all(plain)
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_is_a_spiffe_id() {
        use SpiffeIdError as E;
        let long = format!("spiffe://a/{}", "x".repeat(SPIFFE_ID_LEN_MAX));
        let wide = format!("spiffe://{}/a", "x".repeat(TRUST_DOMAIN_LEN_MAX + 1));
        let table = [
            ("", Err(E::Scheme)),
            ("https://prod.example/a", Err(E::Scheme)),
            ("SPIFFE://prod.example/a", Err(E::Scheme)),
            ("spiffe://prod.example", Err(E::NoPath)),
            ("spiffe:///a", Err(E::TrustDomain)),
            ("spiffe://Prod.example/a", Err(E::TrustDomain)),
            ("spiffe://prod.example:8443/a", Err(E::TrustDomain)),
            ("spiffe://user@prod.example/a", Err(E::TrustDomain)),
            ("spiffe://prod%2eexample/a", Err(E::TrustDomain)),
            (wide.as_str(), Err(E::TrustDomain)),
            ("spiffe://prod.example/", Err(E::Path)),
            ("spiffe://prod.example/a/", Err(E::Path)),
            ("spiffe://prod.example//a", Err(E::Path)),
            ("spiffe://prod.example/../a", Err(E::Path)),
            ("spiffe://prod.example/a/.", Err(E::Path)),
            ("spiffe://prod.example/a?b", Err(E::Path)),
            ("spiffe://prod.example/a#b", Err(E::Path)),
            ("spiffe://prod.example/a%20b", Err(E::Path)),
            ("spiffe://prod.example/ä", Err(E::Path)),
            (long.as_str(), Err(E::Length)),
            ("spiffe://prod.example/ns/agents/sa/crawler", Ok("prod.example")),
            ("spiffe://prod_1.example/A.b-c_d", Ok("prod_1.example")),
        ];
        for (text, expected) in table {
            let read = SpiffeId::parse(text);
            assert_eq!(read.as_ref().map(SpiffeId::trust_domain).map_err(|e| *e), expected, "{text}");
            assert!(read.is_err() || read.unwrap().to_string() == text);
        }
    }
}

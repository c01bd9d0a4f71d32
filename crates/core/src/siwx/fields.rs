//! What each field of a sign-in may be: the grammar of EIP-4361, with our limits.

use std::fmt;

use super::message::LABELS;
use super::{SignInRefusal, rfc3339};
use crate::{Origin, URL_LEN_MAX, UnixSeconds};

/// Longest domain, in bytes: a host name and a port.
pub const DOMAIN_LEN_MAX: usize = 260;
/// Longest statement, in bytes.
pub const STATEMENT_LEN_MAX: usize = 512;
/// Shortest nonce, in characters (EIP-4361).
pub const NONCE_LEN_MIN: usize = 8;
/// Longest nonce, in characters.
pub const NONCE_LEN_MAX: usize = 128;
/// Longest request id, in bytes.
pub const REQUEST_ID_LEN_MAX: usize = 128;
/// Most resources.
pub const RESOURCES_MAX: usize = 16;

/// A field a server fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignInField {
    /// Who asks: a host and, unless it is the scheme's own, a port.
    Domain,
    /// What the signer agrees to.
    Statement,
    /// What the sign-in is for.
    Uri,
    /// The version of the message.
    Version,
    /// What makes it single-use.
    Nonce,
    /// When it was asked for.
    IssuedAt,
    /// When it ends.
    ExpirationTime,
    /// When it begins.
    NotBefore,
    /// The server's name for the request.
    RequestId,
    /// What else it is for.
    Resources,
    /// How the server means to check the signature.
    SignatureScheme,
}

impl SignInField {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Statement => "statement",
            Self::Uri => "uri",
            Self::Version => "version",
            Self::Nonce => "nonce",
            Self::IssuedAt => "issuedAt",
            Self::ExpirationTime => "expirationTime",
            Self::NotBefore => "notBefore",
            Self::RequestId => "requestId",
            Self::Resources => "resources",
            Self::SignatureScheme => "signatureScheme",
        }
    }

    /// What it has to be.
    #[must_use]
    pub fn form(self) -> String {
        match self {
            Self::Domain => format!("a host, with a port if it has one, of at most {DOMAIN_LEN_MAX} bytes"),
            Self::Statement => format!(
                "one line of 1 to {STATEMENT_LEN_MAX} letters, digits, spaces and :/?#[]@!$&'()*+,;=-._~ that does not begin like another line of the message"
            ),
            Self::Uri => format!("an absolute URI of RFC 3986, of at most {URL_LEN_MAX} bytes"),
            Self::Version => "`1`".to_owned(),
            Self::Nonce => format!("{NONCE_LEN_MIN} to {NONCE_LEN_MAX} letters and digits"),
            Self::IssuedAt | Self::ExpirationTime | Self::NotBefore => {
                "an RFC 3339 time such as `2026-01-15T10:30:00.000Z`".to_owned()
            }
            Self::RequestId => {
                format!("1 to {REQUEST_ID_LEN_MAX} characters that may stand in a URL path segment")
            }
            Self::Resources => {
                format!(
                    "at most {RESOURCES_MAX} absolute URIs of RFC 3986, of at most {URL_LEN_MAX} bytes each"
                )
            }
            Self::SignatureScheme => "`eip191`, if anything".to_owned(),
        }
    }
}

impl fmt::Display for SignInField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(super) fn domain(text: &str) -> Result<(), SignInRefusal> {
    let plain = |byte: u8| is_unreserved(byte) || matches!(byte, b':' | b'[' | b']');
    let good = (1..=DOMAIN_LEN_MAX).contains(&text.len()) && text.bytes().all(plain);
    demand(good, SignInField::Domain)
}

pub(super) fn statement(text: &str) -> Result<(), SignInRefusal> {
    let plain = |byte: u8| is_unreserved(byte) || is_reserved(byte) || byte == b' ';
    let good = (1..=STATEMENT_LEN_MAX).contains(&text.len())
        && text.bytes().all(plain)
        && !LABELS.iter().any(|label| text.starts_with(label.trim_end()));
    demand(good, SignInField::Statement)
}

pub(super) fn nonce(text: &str) -> Result<(), SignInRefusal> {
    let good = (NONCE_LEN_MIN..=NONCE_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    demand(good, SignInField::Nonce)
}

pub(super) fn request_id(text: &str) -> Result<(), SignInRefusal> {
    let segment = |byte: u8| is_unreserved(byte) || is_sub_delim(byte) || matches!(byte, b':' | b'@' | b'%');
    let good = (1..=REQUEST_ID_LEN_MAX).contains(&text.len())
        && text.bytes().all(segment)
        && is_percent_encoding(text);
    demand(good, SignInField::RequestId)
}

pub(super) fn time(field: SignInField, text: &str) -> Result<UnixSeconds, SignInRefusal> {
    rfc3339::parse(text).ok_or(SignInRefusal::Field(field))
}

pub(super) fn optional_time(
    field: SignInField,
    text: Option<&str>,
) -> Result<Option<UnixSeconds>, SignInRefusal> {
    text.map(|text| time(field, text)).transpose()
}

/// RFC 3986, as far as two parsers could differ over it: the characters, whole percent encodings, one fragment,
/// brackets in the authority only.
pub(super) fn uri(field: SignInField, text: &str) -> Result<(), SignInRefusal> {
    let after = text.split_once("://").map_or("", |(_, after)| after);
    let tail = after.find(['/', '?', '#']).and_then(|at| after.get(at..)).unwrap_or("");
    let good = !after.is_empty()
        && text.len() <= URL_LEN_MAX
        && text.bytes().all(|byte| is_unreserved(byte) || is_reserved(byte) || byte == b'%')
        && is_percent_encoding(text)
        && text.bytes().filter(|byte| *byte == b'#').count() <= 1
        && !tail.contains(['[', ']']);
    demand(good, field)
}

/// Whether any parser at all finds `origin` in `uri`: it has to begin with it, letter for letter, and end or go on with
/// a delimiter there.
pub(super) fn is_on(uri: &str, origin: &Origin) -> bool {
    let spelled = uri.strip_prefix(&origin.to_string());
    spelled.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
        && Origin::parse(uri).as_ref() == Ok(origin)
}

/// `host` or `host:port`, as a browser writes it.
pub(super) fn authority(origin: &Origin) -> String {
    let text = origin.to_string();
    text.split_once("://").map_or("", |(_, authority)| authority).to_owned()
}

fn demand(good: bool, field: SignInField) -> Result<(), SignInRefusal> {
    if good { Ok(()) } else { Err(SignInRefusal::Field(field)) }
}

fn is_percent_encoding(text: &str) -> bool {
    let whole = |after: &str| {
        after.get(..2).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    text.split('%').skip(1).all(whole)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_reserved(byte: u8) -> bool {
    is_sub_delim(byte) || b":/?#[]@".contains(&byte)
}

fn is_sub_delim(byte: u8) -> bool {
    b"!$&'()*+,;=".contains(&byte)
}

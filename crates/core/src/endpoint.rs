use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use url::{Host, Url};

/// Longest URL, in bytes.
pub const URL_LEN_MAX: usize = 2048;
/// Longest HTTP method, in bytes.
pub const METHOD_LEN_MAX: usize = 16;

/// The call being paid for, as the caller states it: method and normalised URL.
///
/// It is a claim. Nothing signed covers it; payee, asset, network, amount, wallet and workflow are what binds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    method: Arc<str>,
    origin: Origin,
    path: Arc<str>,
    url: Arc<str>,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    scheme: Arc<str>,
    host: Arc<str>,
    port: u16,
}

/// How the seller's `resource.url` relates to the call as the caller states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OriginMatch {
    /// Same scheme, host and port.
    Match,
    /// The seller names no resource.
    Absent,
    /// Another origin, or no URL at all.
    Differs,
}

/// Why a method and URL are not an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not 1 to 16 letters.
    #[error("the method is not an HTTP method: use upper-case letters such as `GET`")]
    Method,
    /// Longer than [`URL_LEN_MAX`], as written or normalised.
    #[error("the url is longer than {URL_LEN_MAX} bytes")]
    TooLong,
    /// White space, control characters or backslashes, which URL parsers quietly drop or turn.
    #[error("the url contains white space, a control character or a backslash: percent-encode it")]
    Character,
    /// Not an absolute URL.
    #[error(
        "the url is not absolute: write scheme, host and path, such as `https://api.example.com/v1/data`"
    )]
    NotAbsolute(#[source] url::ParseError),
    /// `user:password@`.
    #[error("the url carries user information: remove what stands before `@`")]
    UserInfo,
    /// Neither https, nor http to this machine.
    #[error("the url is not https: plain http is for loopback addresses only")]
    Scheme,
    /// `example.com.` is another name for the same host.
    #[error("the host ends in a dot: remove it")]
    TrailingDot,
}

impl Endpoint {
    /// Reads and normalises: lower-case scheme and host, IDNA to punycode, default port removed, dot segments resolved,
    /// percent-encoded unreserved characters decoded, fragment dropped.
    ///
    /// # Errors
    /// [`EndpointError`] when it is not a call anybody can be paid for.
    pub fn parse(method: &str, url: &str) -> Result<Self, EndpointError> {
        let is_method =
            (1..=METHOD_LEN_MAX).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_uppercase());
        if !is_method {
            return Err(EndpointError::Method);
        }
        let (origin, mut parsed) = parse_url(url)?;
        parsed.set_fragment(None);
        let path = decode_unreserved(parsed.path());
        let query = parsed.query().map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{origin}{path}{query}");
        // Encoding can make it longer, and what is recorded must be read again by this very function.
        if url.len() > URL_LEN_MAX {
            return Err(EndpointError::TooLong);
        }
        Ok(Self { method: method.into(), origin, path: path.into(), url: url.into() })
    }

    /// The same call with another query, as [`Endpoint::parse`] reads it; nothing when that must be asked.
    #[must_use]
    pub fn with_query(&self, url: &str) -> Option<Self> {
        let (call, _) = self.url.split_once('?')?;
        let query = url.strip_prefix(call)?.strip_prefix('?')?;
        // What normalising leaves as it is.
        let mark = |byte| matches!(byte, b'-' | b'.' | b'_' | b'~' | b'=' | b'&' | b'+' | b'%');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || mark(byte);
        (url.len() <= URL_LEN_MAX && query.bytes().all(plain))
            .then(|| Self { url: url.into(), ..self.clone() })
    }

    /// The call that nobody named: it belongs to no service by its address.
    #[must_use]
    pub fn unknown() -> Self {
        let nothing: Arc<str> = "".into();
        let origin = Origin { scheme: nothing.clone(), host: nothing.clone(), port: 0 };
        Self { method: nothing.clone(), origin, path: nothing.clone(), url: nothing }
    }

    /// Whether anybody named it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.url.is_empty()
    }

    /// The HTTP method, upper case.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The normalised path, beginning with `/`. An encoded slash stays encoded: it separates nothing.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole normalised URL, with its query.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How `resource`, the seller's own idea of the URL, relates to this call.
    #[must_use]
    pub fn compare_origin(&self, resource: Option<&str>) -> OriginMatch {
        match resource.map(Origin::parse) {
            None => OriginMatch::Absent,
            Some(Ok(origin)) if origin == self.origin => OriginMatch::Match,
            Some(Ok(_) | Err(_)) => OriginMatch::Differs,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() { write!(f, "{} {}", self.method, self.url) } else { f.write_str("unknown") }
    }
}

impl Origin {
    /// The origin of an absolute URL; anything after the host and port is ignored.
    ///
    /// # Errors
    /// [`EndpointError`] as for [`Endpoint::parse`].
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        parse_url(url).map(|(origin, _)| origin)
    }

    /// `https` or, for loopback, `http`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host in lower case, punycode, or an address (IPv6 in brackets).
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also when it is the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = if &*self.scheme == "https" { 443 } else { 80 };
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl OriginMatch {
    /// The word used in policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Absent => "absent",
            Self::Differs => "differs",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Match, Self::Absent, Self::Differs].into_iter().find(|value| value.as_str() == text)
    }
}

fn parse_url(text: &str) -> Result<(Origin, Url), EndpointError> {
    if text.len() > URL_LEN_MAX {
        return Err(EndpointError::TooLong);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(EndpointError::Character);
    }
    let url = Url::parse(text).map_err(EndpointError::NotAbsolute)?;
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.octets().first() == Some(&Ipv4Addr::LOCALHOST.octets()[0]),
        Some(Host::Ipv6(ip)) => ip == Ipv6Addr::LOCALHOST,
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(EndpointError::Scheme);
    };
    if !(url.scheme() == "https" || url.scheme() == "http" && loopback) {
        return Err(EndpointError::Scheme);
    }
    let authority = authority(text).ok_or(EndpointError::NotAbsolute(url::ParseError::EmptyHost))?;
    if !url.username().is_empty() || url.password().is_some() || authority.contains('@') {
        return Err(EndpointError::UserInfo);
    }
    if host.ends_with('.') {
        return Err(EndpointError::TrailingDot);
    }
    let origin = Origin { scheme: url.scheme().into(), host: host.into(), port };
    Ok((origin, url))
}

/// What stands between the scheme's `//` and the next delimiter, if anything: `https:host`, `https:/host` and `https:///host`
/// are this host to a browser and something else to everybody else. `https://@host` parses with an empty user, which is
/// refused too.
fn authority(text: &str) -> Option<&str> {
    let (_, after) = text.split_once(':')?;
    let authority = after.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    (!authority.is_empty()).then_some(authority)
}

/// RFC 3986 §6.2.2.2: `%7E` and `~` are the same path. Everything else stays encoded, in upper case, and a `%` that
/// encodes nothing is encoded itself, so that reading the result again changes nothing.
fn decode_unreserved(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(char::from(byte))
            }
            Some(byte) => out.push_str(&format!("%{byte:02X}")),
            None => out.push_str("%25"),
        }
        rest = if byte.is_some() { after.get(2..).unwrap_or("") } else { after };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_call_is_refused() {
        let table: [(&str, &str); 22] = [
            ("get", "https://a.example/"),
            ("", "https://a.example/"),
            ("GET /x", "https://a.example/"),
            ("GET", ""),
            ("GET", "/relative"),
            ("GET", "http://a.example/"),
            ("GET", "http://127.0.0.1.nip.io/"),
            ("GET", "ftp://a.example/"),
            ("GET", "file:///etc/passwd"),
            ("GET", "https://user@a.example/"),
            ("GET", "https://@a.example/"),
            ("GET", "https://:@a.example/"),
            ("GET", "https:a.example/"),
            ("GET", "https:/a.example/"),
            ("GET", "https:///a.example/"),
            ("GET", "https:@a.example/"),
            ("GET", "https:///@a.example/"),
            ("GET", "https:a.example//b"),
            ("GET", "https://a.example./"),
            ("GET", "https://a.example\\@b.example/"),
            ("GET", "https://a.exa\tmple/"),
            ("GET", "https://a.example/ b"),
        ];
        for (method, url) in table {
            assert!(Endpoint::parse(method, url).is_err(), "{method} {url}");
        }
        let long = format!("https://a.example/{}", "a".repeat(URL_LEN_MAX));
        assert_eq!(Endpoint::parse("GET", &long), Err(EndpointError::TooLong));
        for grows in ["é", "%", "?é", "\u{202e}"] {
            let url = format!("https://a.example/{}", grows.repeat(2_000 / grows.len()));
            assert!(url.len() <= URL_LEN_MAX);
            assert_eq!(Endpoint::parse("GET", &url), Err(EndpointError::TooLong), "{grows}");
        }
        assert_eq!(
            Endpoint::parse(&"A".repeat(METHOD_LEN_MAX + 1), "https://a.example/"),
            Err(EndpointError::Method)
        );
    }

    #[test]
    fn the_same_call_has_one_spelling() {
        let table = [
            ("HTTPS://API.Example.COM:443/a/../b#frag", "https://api.example.com/b"),
            ("https://bücher.example/%7Euser/%2fx%2E", "https://xn--bcher-kva.example/~user/%2Fx."),
            ("https://a.example", "https://a.example/"),
            ("https://a.example/x/%2e%2e/y?q=%7E", "https://a.example/y?q=%7E"),
            ("http://127.0.0.1:8402/x", "http://127.0.0.1:8402/x"),
            ("http://[::1]:80/x", "http://[::1]/x"),
            ("https://a.example/100%", "https://a.example/100%25"),
            ("https://a.example/%%37E", "https://a.example/%257E"),
            ("https://a.example/%+7", "https://a.example/%25+7"),
        ];
        for (url, expected) in table {
            let once = Endpoint::parse("GET", url).unwrap();
            assert_eq!(once.url(), expected);
            assert_eq!(Endpoint::parse("GET", once.url()), Ok(once));
        }
    }

    proptest! {
        /// What is recorded is read by the same function: a record it does not read is a damaged journal.
        #[test]
        fn what_is_normalised_reads_as_itself(
            host in "[a-z0-9.%é\u{421}\u{ad}\u{200b}１。-]{1,12}|\\[[0-9a-f:.]{2,12}\\]|xn--[a-z0-9-]{1,8}",
            rest in "(:[0-9]{0,6})?([/?#%.~;:@&='\"<>|^`{}\\[\\]a-f0-9é\u{202e}]{0,40})",
        ) {
            if let Ok(once) = Endpoint::parse("GET", &format!("https://{host}{rest}")) {
                prop_assert_eq!(Endpoint::parse("GET", once.url()), Ok(once));
            }
        }
    }

    proptest! {
        #[test]
        fn another_query_reads_as_it_would_in_full(
            rest in "(/[a-z%A-F0-9./]{0,6})?[?]?[ -~é]{0,10}",
            query in "[?]?[ -~é]{0,8}|[a-z0-9=&%+~._-]{0,12}",
        ) {
            if let Ok(like) = Endpoint::parse("GET", &format!("https://a.example{rest}")) {
                let call = like.url().split_once('?').map_or(like.url(), |(call, _)| call).to_owned();
                for url in [format!("{call}?{query}"), format!("{call}{query}")] {
                    if let Some(found) = like.with_query(&url) {
                        prop_assert_eq!(Endpoint::parse("GET", &url), Ok(found));
                    }
                }
            }
        }
    }

    #[test]
    fn another_query_is_read_when_there_was_one_and_it_is_plain() {
        let like = Endpoint::parse("GET", "https://a.example/x?page=1").unwrap();
        let read = |url: &str| like.with_query(url).map(|endpoint| endpoint.url().to_owned());
        for url in ["https://a.example/x?page=2&q=a+%C3%A9", "https://a.example/x?"] {
            assert_eq!(read(url).as_deref(), Some(url));
        }
        let long = format!("https://a.example/x?{}", "a".repeat(URL_LEN_MAX));
        for url in ["https://a.example/x", "https://a.example/y?page=1", "https://a.example/x?a#b", &long] {
            assert_eq!(read(url), None, "{url}");
        }
    }

    #[test]
    fn the_sellers_url_is_compared_by_origin() {
        let endpoint = Endpoint::parse("GET", "https://a.example/x?y=1").unwrap();
        let table = [
            (None, OriginMatch::Absent),
            (Some("https://a.example/other"), OriginMatch::Match),
            (Some("https://A.EXAMPLE:443"), OriginMatch::Match),
            (Some("https://a.example:8443/x"), OriginMatch::Differs),
            (Some("https://b.example/x"), OriginMatch::Differs),
            (Some("a.example/x"), OriginMatch::Differs),
            (Some("https:a.example/x"), OriginMatch::Differs),
            (Some("https:///a.example/x"), OriginMatch::Differs),
            (Some(""), OriginMatch::Differs),
        ];
        for (resource, expected) in table {
            assert_eq!(endpoint.compare_origin(resource), expected, "{resource:?}");
        }
    }
}

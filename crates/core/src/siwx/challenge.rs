use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{SignInProfile, rfc3339};
use crate::x402::json::Node;
use crate::x402::{CHALLENGE_LEN_MAX, JsonError, Protocol};
use crate::{ChainId, Endpoint, UnixSeconds};

/// Most entries in `supportedChains`.
pub const SUPPORTED_CHAINS_MAX: usize = 32;
/// What Venice's own challenge asks the signer to agree to.
pub const VENICE_STATEMENT: &str = "Sign in to Venice AI";
/// Base, the only network Venice takes.
const VENICE_CHAIN: ChainId = ChainId::Eip155(8453);
/// Longest life of a Venice sign-in, in seconds: the server's own limit.
const VENICE_VALIDITY_SECS_MAX: u64 = 300;
const EXTENSION: &str = "sign-in-with-x";

/// What a server asks a wallet to sign. Read, not judged: every text in it is still the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInChallenge {
    /// Whose way of sending the answer.
    pub profile: SignInProfile,
    /// Who asks.
    pub domain: String,
    /// What for.
    pub uri: String,
    /// The version of the message.
    pub version: String,
    /// What makes the answer single-use.
    pub nonce: String,
    /// When it was asked for.
    pub issued_at: String,
    /// What the signer agrees to.
    pub statement: Option<String>,
    /// When the answer ends.
    pub expiration_time: Option<String>,
    /// When the answer begins.
    pub not_before: Option<String>,
    /// The server's name for the request.
    pub request_id: Option<String>,
    /// What else the answer is for.
    pub resources: Vec<String>,
    /// Networks and kinds of signatures, in the server's order; at least one.
    pub supported_chains: Vec<SupportedChain>,
}

/// A network and the kind of signature the server takes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportedChain {
    /// The network.
    pub chain: ChainId,
    /// `eip191` or `ed25519` (`type` on the wire).
    pub signature_type: String,
    /// How the server means to check it.
    pub signature_scheme: Option<String>,
}

/// Why a challenge is malformed. Nothing is judged and nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum SignInChallengeError {
    /// Longer than [`CHALLENGE_LEN_MAX`].
    #[error("the sign-in challenge is longer than {CHALLENGE_LEN_MAX} bytes")]
    TooLarge,
    /// The header is not standard padded base64.
    #[error("the PAYMENT-REQUIRED header is not standard base64: pass its value exactly as received")]
    NotBase64(#[source] base64::DecodeError),
    /// Not UTF-8.
    #[error("the 402 is not UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// Not acceptable JSON.
    #[error("the sign-in challenge is {0}")]
    Json(#[from] JsonError),
    /// Not version 2, the only one that has the extension.
    #[error(
        "`x402Version` must be 2: sign-ins are asked for in the PAYMENT-REQUIRED header of version 2 only"
    )]
    Version,
    /// The server asks for no sign-in.
    #[error("the 402 has no `extensions.sign-in-with-x`: the server asks for no sign-in")]
    Absent,
    /// A field is missing or of the wrong type.
    #[error("`{path}` {problem}")]
    Field {
        /// Where, such as `info.nonce`.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl SignInChallenge {
    /// Reads the value of a v2 `PAYMENT-REQUIRED` header, as received. Its `accepts` may be empty: some pages are free to
    /// whoever signs in.
    ///
    /// # Errors
    /// [`SignInChallengeError`] when it is malformed or asks for no sign-in.
    pub fn from_header(value: &[u8]) -> Result<Self, SignInChallengeError> {
        within_limit(value)?;
        let json = STANDARD.decode(value).map_err(SignInChallengeError::NotBase64)?;
        let root = Node::parse(std::str::from_utf8(&json).map_err(SignInChallengeError::NotUtf8)?)?;
        if root.get("x402Version").and_then(Node::as_u64) != Some(u64::from(Protocol::V2.number())) {
            return Err(SignInChallengeError::Version);
        }
        let extension = root.get("extensions").and_then(|extensions| extensions.get(EXTENSION));
        Self::read(extension.ok_or(SignInChallengeError::Absent)?)
    }

    /// Reads the extension's object alone, `{info, supportedChains}`.
    ///
    /// # Errors
    /// [`SignInChallengeError`] when it is malformed.
    pub fn from_extension(json: &str) -> Result<Self, SignInChallengeError> {
        within_limit(json.as_bytes())?;
        Self::read(&Node::parse(json)?)
    }

    /// What Venice wants with every request: it sends no challenge, the client makes its own.
    ///
    /// The nonce is the first half of `nonce`, as many characters as the reference server's. It ends after `validity_secs`,
    /// at most five minutes.
    #[must_use]
    pub fn venice(endpoint: &Endpoint, now: UnixSeconds, validity_secs: u64, nonce: [u8; 32]) -> Self {
        let (nonce, _) = nonce.split_at(16);
        let chain = SupportedChain {
            chain: VENICE_CHAIN,
            signature_type: "eip191".to_owned(),
            signature_scheme: None,
        };
        Self {
            profile: SignInProfile::Venice,
            domain: super::fields::authority(endpoint.origin()),
            uri: endpoint.url().to_owned(),
            version: "1".to_owned(),
            nonce: hex::encode(nonce),
            issued_at: rfc3339::format(now),
            statement: Some(VENICE_STATEMENT.to_owned()),
            expiration_time: Some(rfc3339::format(now.plus(validity_secs.min(VENICE_VALIDITY_SECS_MAX)))),
            not_before: None,
            request_id: None,
            resources: Vec::new(),
            supported_chains: vec![chain],
        }
    }

    fn read(extension: &Node<'_>) -> Result<Self, SignInChallengeError> {
        let info =
            Object { path: "info", node: extension.get("info").ok_or_else(|| wrong("info", "is missing"))? };
        let chains = extension.get("supportedChains").and_then(Node::as_array);
        let chains = chains.ok_or_else(|| wrong("supportedChains", "must be an array"))?;
        if chains.is_empty() || chains.len() > SUPPORTED_CHAINS_MAX {
            return Err(wrong("supportedChains", &format!("must hold 1 to {SUPPORTED_CHAINS_MAX} entries")));
        }
        Ok(Self {
            profile: SignInProfile::Standard,
            domain: info.text("domain")?,
            uri: info.text("uri")?,
            version: info.text("version")?,
            nonce: info.text("nonce")?,
            issued_at: info.text("issuedAt")?,
            statement: info.optional("statement")?,
            expiration_time: info.optional("expirationTime")?,
            not_before: info.optional("notBefore")?,
            request_id: info.optional("requestId")?,
            resources: info.texts("resources")?,
            supported_chains: chains.iter().map(SupportedChain::read).collect::<Result<_, _>>()?,
        })
    }
}

impl SupportedChain {
    fn read(node: &Node<'_>) -> Result<Self, SignInChallengeError> {
        let entry = Object { path: "supportedChains", node };
        let chain = ChainId::parse(&entry.text("chainId")?)
            .map_err(|error| wrong("supportedChains.chainId", &format!("is {error}")))?;
        Ok(Self {
            chain,
            signature_type: entry.text("type")?,
            signature_scheme: entry.optional("signatureScheme")?,
        })
    }
}

struct Object<'n, 'a> {
    path: &'static str,
    node: &'n Node<'a>,
}

impl Object<'_, '_> {
    fn wrong(&self, field: &str, problem: &str) -> SignInChallengeError {
        wrong(&format!("{}.{field}", self.path), problem)
    }

    fn text(&self, field: &str) -> Result<String, SignInChallengeError> {
        let text = self.node.get(field).and_then(Node::as_str);
        text.map(str::to_owned).ok_or_else(|| self.wrong(field, "must be a string"))
    }

    /// An empty text counts as absent. The libraries that build the message do not agree on what an empty field looks
    /// like in it; on an absent one they do, and our header leaves it out as well.
    fn optional(&self, field: &str) -> Result<Option<String>, SignInChallengeError> {
        let Some(node) = self.node.get(field) else { return Ok(None) };
        let text = node.as_str().ok_or_else(|| self.wrong(field, "must be a string"))?;
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    fn texts(&self, field: &str) -> Result<Vec<String>, SignInChallengeError> {
        let Some(node) = self.node.get(field) else { return Ok(Vec::new()) };
        let items = node.as_array().ok_or_else(|| self.wrong(field, "must be an array"))?;
        let text = |node: &Node<'_>| node.as_str().map(str::to_owned);
        let texts = items.iter().map(text).collect::<Option<_>>();
        texts.ok_or_else(|| self.wrong(field, "must be an array of strings"))
    }
}

fn within_limit(bytes: &[u8]) -> Result<(), SignInChallengeError> {
    if bytes.len() > CHALLENGE_LEN_MAX { Err(SignInChallengeError::TooLarge) } else { Ok(()) }
}

fn wrong(path: &str, problem: &str) -> SignInChallengeError {
    SignInChallengeError::Field { path: path.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENSION_JSON: &str = r#"{"info":{"domain":"a.example","uri":"https://a.example/x","version":"1","nonce":"abcdefgh","issuedAt":"2026-01-15T10:30:00.000Z","resources":["https://a.example/x"]},"supportedChains":[{"chainId":"eip155:8453","type":"eip191"}],"schema":{"type":"object"}}"#;

    fn header(json: &str) -> Result<SignInChallenge, SignInChallengeError> {
        SignInChallenge::from_header(STANDARD.encode(json).as_bytes())
    }

    #[test]
    fn a_missing_or_wrong_type_makes_it_malformed() {
        let table = [
            (r#""domain":"a.example","#, ""),
            (r#""domain":"a.example""#, r#""domain":["a.example"]"#),
            (r#""domain":"a.example""#, r#""domain":null"#),
            (r#""uri":"https://a.example/x","#, ""),
            (r#""version":"1""#, r#""version":1"#),
            (r#""version":"1","#, ""),
            (r#""nonce":"abcdefgh""#, r#""nonce":12345678"#),
            (r#""nonce":"abcdefgh""#, r#""nonce":"abcdefgh","nonce":"hgfedcba""#),
            (r#""nonce":"abcdefgh""#, r#""nonce":"abcdefgh","n\u006fnce":"hgfedcba""#),
            (r#""issuedAt":"2026-01-15T10:30:00.000Z""#, r#""issuedAt":1768473000"#),
            (r#""issuedAt":"2026-01-15T10:30:00.000Z""#, r#""statement":{}"#),
            (r#""version":"1""#, r#""version":"1","requestId":7"#),
            (r#""version":"1""#, r#""version":"1","expirationTime":7"#),
            (r#""version":"1""#, r#""version":"1","notBefore":[]"#),
            (r#"["https://a.example/x"]"#, r#""https://a.example/x""#),
            (r#"["https://a.example/x"]"#, "[1]"),
            (r#"[{"chainId":"eip155:8453","type":"eip191"}]"#, "[]"),
            (r#"[{"chainId":"eip155:8453","type":"eip191"}]"#, "{}"),
            (r#"[{"chainId":"eip155:8453","type":"eip191"}]"#, r#"["eip155:8453"]"#),
            (r#""chainId":"eip155:8453""#, r#""chainId":8453"#),
            (r#""chainId":"eip155:8453""#, r#""chainId":"eip155:08453""#),
            (r#""chainId":"eip155:8453""#, r#""chainId":"base""#),
            (r#","type":"eip191""#, ""),
            (r#""type":"eip191""#, r#""type":"eip191","signatureScheme":1"#),
            (r#"{"info":{"#, r#"{"info":[],"x":{"#),
            (r#"{"info":{"#, r#"{"x":{"#),
            (EXTENSION_JSON, "[]"),
            (EXTENSION_JSON, "null"),
            (EXTENSION_JSON, ""),
        ];
        for (from, to) in table {
            let json = EXTENSION_JSON.replacen(from, to, 1);
            assert_ne!(json, EXTENSION_JSON, "{from}");
            assert!(SignInChallenge::from_extension(&json).is_err(), "{json}");
        }
        assert!(SignInChallenge::from_extension(EXTENSION_JSON).is_ok());
        let chain = r#"{"chainId":"eip155:8453","type":"eip191"}"#;
        for (count, good) in [(SUPPORTED_CHAINS_MAX, true), (SUPPORTED_CHAINS_MAX + 1, false)] {
            let json = EXTENSION_JSON.replace(chain, &vec![chain; count].join(","));
            assert_eq!(SignInChallenge::from_extension(&json).is_ok(), good, "{count}");
        }
    }

    #[test]
    fn the_wrapping_is_checked() {
        let whole =
            format!(r#"{{"x402Version":2,"accepts":[],"extensions":{{"sign-in-with-x":{EXTENSION_JSON}}}}}"#);
        assert_eq!(header(&whole).unwrap(), SignInChallenge::from_extension(EXTENSION_JSON).unwrap());
        for (from, to) in [("n\":2", "n\":1"), ("n\":2", "n\":\"2\""), ("\"x402Version\":2,", "")] {
            assert!(matches!(header(&whole.replace(from, to)), Err(SignInChallengeError::Version)));
        }
        for (from, to) in
            [("extensions", "extension"), ("sign-in-with-x", "bazaar"), (EXTENSION_JSON, "null")]
        {
            assert!(matches!(header(&whole.replace(from, to)), Err(SignInChallengeError::Absent)));
        }
        let twice = whole.replace("{\"sign-in", r#"{"sign-in-with-x":{},"sign-in"#);
        assert!(matches!(header(&twice), Err(SignInChallengeError::Json(_))));
        let header = SignInChallenge::from_header;
        assert!(matches!(header(whole.as_bytes()), Err(SignInChallengeError::NotBase64(_))));
        assert!(matches!(header(&[b'A'; CHALLENGE_LEN_MAX + 1]), Err(SignInChallengeError::TooLarge)));
        assert!(matches!(header(STANDARD.encode([0xff]).as_bytes()), Err(SignInChallengeError::NotUtf8(_))));
        let long = " ".repeat(CHALLENGE_LEN_MAX + 1);
        assert!(matches!(SignInChallenge::from_extension(&long), Err(SignInChallengeError::TooLarge)));
    }

    #[test]
    fn an_empty_optional_field_is_an_absent_one() {
        let json = EXTENSION_JSON.replace(r#"["https://a.example/x"]"#, "[]").replace(
            r#""version":"1""#,
            r#""version":"1","statement":"","requestId":"","expirationTime":null"#,
        );
        let challenge = SignInChallenge::from_extension(&json).unwrap();
        let SignInChallenge { statement, request_id, expiration_time, resources, .. } = challenge;
        assert_eq!((statement, request_id, expiration_time, resources), (None, None, None, vec![]));
    }
}

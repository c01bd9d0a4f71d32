use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::extensions::Extensions;
use super::json::{JsonError, Node};
use super::offer::{Offer, Protocol};

/// Longest 402 header or body, in bytes as received.
pub const CHALLENGE_LEN_MAX: usize = 64 * 1024;
/// Most entries in `accepts`.
pub const OFFERS_MAX: usize = 32;

/// What a seller's 402 asks for.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// The version it is written in.
    pub protocol: Protocol,
    /// The `resource` object, byte for byte (v2).
    pub resource: Option<Arc<str>>,
    /// The URL in it (v2).
    pub resource_url: Option<String>,
    /// The `extensions` (v2).
    pub extensions: Extensions,
    /// The entries of `accepts`, in the seller's order; at least one.
    pub offers: Vec<Offer>,
}

/// Why a 402 is malformed. Nothing is judged and nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    /// Longer than [`CHALLENGE_LEN_MAX`].
    #[error("the 402 is longer than {CHALLENGE_LEN_MAX} bytes")]
    TooLarge,
    /// The header is not standard padded base64.
    #[error("the PAYMENT-REQUIRED header is not standard base64: pass its value exactly as received")]
    NotBase64(#[source] base64::DecodeError),
    /// Not UTF-8.
    #[error("the 402 is not UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// Not acceptable JSON.
    #[error("the 402 is {0}")]
    Json(#[from] JsonError),
    /// `x402Version` is not the one this place of the 402 is for.
    #[error(
        "`x402Version` must be {expected}: pass the PAYMENT-REQUIRED header for version 2, and the body for version 1"
    )]
    Version {
        /// What belongs there.
        expected: &'static str,
    },
    /// A field is missing or wrong.
    #[error("`{path}` {problem}")]
    Field {
        /// Where, such as `accepts[0].amount`.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Challenge {
    /// Reads the value of a v2 `PAYMENT-REQUIRED` header, as received.
    ///
    /// # Errors
    /// [`ChallengeError`] when it is malformed.
    pub fn from_header(value: &[u8]) -> Result<Self, ChallengeError> {
        within_limit(value)?;
        let json = STANDARD.decode(value).map_err(ChallengeError::NotBase64)?;
        Self::read(&json, &[Protocol::V2])
    }

    /// Reads the body of a 402, as received: version 1, or version 2 where a seller or a transport without headers writes
    /// it there.
    ///
    /// # Errors
    /// [`ChallengeError`] when it is malformed.
    pub fn from_body(body: &[u8]) -> Result<Self, ChallengeError> {
        within_limit(body)?;
        Self::read(body, &[Protocol::V1, Protocol::V2])
    }

    fn read(json: &[u8], expected: &[Protocol]) -> Result<Self, ChallengeError> {
        let text = std::str::from_utf8(json).map_err(ChallengeError::NotUtf8)?;
        let root = Node::parse(text)?;
        if !root.is_object() {
            return Err(field("402", "must be a JSON object"));
        }
        let version = root.get("x402Version").and_then(Node::as_u64);
        let mut protocols = expected.iter().copied();
        let protocol = protocols.find(|protocol| version == Some(u64::from(protocol.number())));
        let words = if expected.len() == 1 { "2" } else { "1 or 2" };
        let protocol = protocol.ok_or(ChallengeError::Version { expected: words })?;
        let entries = root.get("accepts").and_then(Node::as_array);
        let entries = entries.ok_or_else(|| field("accepts", "must be an array"))?;
        if entries.is_empty() || entries.len() > OFFERS_MAX {
            return Err(field("accepts", &format!("must hold 1 to {OFFERS_MAX} offers")));
        }
        let offers = (0u32..).zip(entries).map(|(index, entry)| Offer::read(index, entry, protocol));
        let offers = offers.collect::<Result<Vec<_>, _>>()?;
        match protocol {
            Protocol::V1 => {
                let extensions = Extensions::default();
                Ok(Self { protocol, resource: None, resource_url: None, extensions, offers })
            }
            Protocol::V2 => {
                let object = |key: &str| match root.get(key) {
                    None => Ok(None),
                    Some(node) if node.is_object() => Ok(Some(node)),
                    Some(_) => Err(field(key, "must be an object")),
                };
                let (resource, extensions) = (object("resource")?, object("extensions")?);
                let resource_url = match resource.and_then(|resource| resource.get("url")) {
                    None => None,
                    Some(url) => Some(
                        url.as_str().ok_or_else(|| field("resource.url", "must be a string"))?.to_owned(),
                    ),
                };
                let resource = resource.map(|node| Arc::from(node.raw()));
                let extensions = extensions.map(Extensions::read).unwrap_or_default();
                Ok(Self { protocol, resource, resource_url, extensions, offers })
            }
        }
    }

    /// The seller's idea of the URL an offer is for.
    #[must_use]
    pub fn resource_url_of<'a>(&'a self, offer: &'a Offer) -> Option<&'a str> {
        offer.resource_url.as_deref().or(self.resource_url.as_deref())
    }
}

fn within_limit(bytes: &[u8]) -> Result<(), ChallengeError> {
    if bytes.len() > CHALLENGE_LEN_MAX { Err(ChallengeError::TooLarge) } else { Ok(()) }
}

fn field(path: &str, problem: &str) -> ChallengeError {
    ChallengeError::Field { path: path.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::offer::Scheme;
    use super::*;
    use crate::{DenyCode, TransferMethod};

    const ENTRY: &str = r#"{"scheme":"exact","network":"eip155:84532","amount":"1000","asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","payTo":"0x6bE854D8F38Acab8844843C07447E4E0F528c054","maxTimeoutSeconds":60,"extra":{"name":"USDC","version":"2"}}"#;
    const ENTRY_V1: &str = r#"{"scheme":"exact","network":"base-sepolia","maxAmountRequired":"1000","resource":"https://a.example/x","description":"","mimeType":"","payTo":"0x6bE854D8F38Acab8844843C07447E4E0F528c054","maxTimeoutSeconds":60,"asset":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","extra":{"name":"USDC","version":"2"}}"#;

    fn v2(entry: &str) -> Result<Challenge, ChallengeError> {
        let json = format!(
            r#"{{"x402Version":2,"resource":{{"url":"https://a.example/x"}},"accepts":[{entry}],"extensions":{{"b":{{}} }}}}"#
        );
        Challenge::from_header(STANDARD.encode(json).as_bytes())
    }

    #[test]
    fn a_wrong_field_makes_the_whole_402_malformed() {
        let table = [
            (r#""amount":"1000""#, r#""amount":"1_000""#),
            (r#""amount":"1000""#, r#""amount":"0x10""#),
            (r#""amount":"1000""#, r#""amount":1000"#),
            (r#""amount":"1000""#, r#""amount":"-1""#),
            (r#""amount":"1000""#, r#""amount":"１000""#),
            (r#""amount":"1000","#, ""),
            (r#""amount":"1000""#, r#""amount":"1","amount":"1000""#),
            (r#""maxTimeoutSeconds":60"#, r#""maxTimeoutSeconds":"60""#),
            (r#""maxTimeoutSeconds":60"#, r#""maxTimeoutSeconds":0"#),
            (r#""maxTimeoutSeconds":60"#, r#""maxTimeoutSeconds":-60"#),
            (r#""maxTimeoutSeconds":60"#, r#""maxTimeoutSeconds":60.5"#),
            (r#""maxTimeoutSeconds":60"#, r#""maxTimeoutSeconds":null"#),
            (r#""network":"eip155:84532""#, r#""network":"eip155:084532""#),
            (r#""network":"eip155:84532""#, r#""network":"eip155""#),
            ("0x6bE854D8F38Acab8844843C07447E4E0F528c054", "0x6BE854D8F38Acab8844843C07447E4E0F528c054"),
            ("0x6bE854D8F38Acab8844843C07447E4E0F528c054", "0x6bE854"),
            (r#""extra":{"name":"USDC","version":"2"}"#, r#""extra":[]"#),
            (r#""version":"2""#, r#""version":2"#),
            (r#""scheme":"exact""#, r#""scheme":["exact"]"#),
            (ENTRY, "[]"),
            (ENTRY, ""),
        ];
        for (from, to) in table {
            let entry = ENTRY.replace(from, to);
            assert_ne!(entry, ENTRY);
            assert!(v2(&entry).is_err(), "{entry}");
        }
        assert!(v2(&vec![ENTRY; OFFERS_MAX].join(",")).is_ok());
        assert!(v2(&vec![ENTRY; OFFERS_MAX + 1].join(",")).is_err());
    }

    #[test]
    fn foreign_offers_are_refused_by_name() {
        let table = [
            (r#""scheme":"exact""#, r#""scheme":"batch-settlement""#, DenyCode::BatchSettlement),
            (r#""scheme":"exact""#, r#""scheme":"auth-capture""#, DenyCode::AuthCapture),
            (r#""scheme":"exact""#, r#""scheme":"deferred""#, DenyCode::SchemeUnsupported),
            (r#""scheme":"exact""#, r#""scheme":"EXACT""#, DenyCode::SchemeUnsupported),
            (r#""network":"eip155:84532""#, r#""network":"base-sepolia""#, DenyCode::NetworkUnsupported),
            (r#""network":"eip155:84532""#, r#""network":"solana""#, DenyCode::NetworkUnsupported),
            ("eip155:84532", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", DenyCode::NetworkUnsupported),
            (r#""extra":{"#, r#""extra":{"assetTransferMethod":"permit3","#, DenyCode::MethodUnsupported),
            (r#""extra":{"#, r#""extra":{"assetTransferMethod":"erc7710","#, DenyCode::Erc7710),
        ];
        for (from, to, code) in table {
            let challenge = v2(&ENTRY.replace(from, to)).unwrap();
            assert_eq!(challenge.offers[0].content.as_ref().unwrap_err().code, code);
        }
    }

    #[test]
    fn upto_is_permit2_and_names_who_settles() {
        let upto = ENTRY.replace(r#""scheme":"exact""#, r#""scheme":"upto""#);
        assert!(v2(&upto).is_err(), "no facilitator");
        let facilitator = "0x6bE854D8F38Acab8844843C07447E4E0F528c054";
        let named =
            upto.replace(r#""extra":{"#, &format!(r#""extra":{{"facilitatorAddress":"{facilitator}","#));
        let challenge = v2(&named).unwrap();
        let terms = &challenge.offers[0].content.as_ref().unwrap().terms;
        let facilitator = crate::EvmAddress::parse(facilitator).unwrap().into();
        assert_eq!((terms.scheme, terms.method), (Scheme::Upto { facilitator }, TransferMethod::Permit2));
        let eip3009 = named.replace(r#""extra":{"#, r#""extra":{"assetTransferMethod":"eip3009","#);
        let refusal = v2(&eip3009).unwrap().offers[0].content.clone().unwrap_err();
        assert_eq!(refusal.code, DenyCode::MethodUnsupported);
        assert!(
            v2(&named.replace(r#""0x6bE854D8F38Acab8844843C07447E4E0F528c054","name""#, r#""0x6b","name""#))
                .is_err()
        );
    }

    /// x402 v1 knows `exact` by EIP-3009, and nothing else.
    #[test]
    fn what_v1_does_not_know_is_not_signed_in_v1() {
        let table = [
            (r#""scheme":"exact""#, r#""scheme":"upto""#, DenyCode::SchemeUnsupported),
            (r#""extra":{"#, r#""extra":{"assetTransferMethod":"permit2","#, DenyCode::MethodUnsupported),
        ];
        for (from, to, code) in table {
            let body = format!(r#"{{"x402Version":1,"accepts":[{}]}}"#, ENTRY_V1.replace(from, to));
            let challenge = Challenge::from_body(body.as_bytes()).unwrap();
            assert_eq!(challenge.offers[0].content.as_ref().unwrap_err().code, code);
        }
    }

    #[test]
    fn the_wrapping_is_checked() {
        let body = format!(r#"{{"x402Version":1,"error":"","accepts":[{ENTRY_V1}]}}"#);
        let challenge = Challenge::from_body(body.as_bytes()).unwrap();
        assert_eq!(challenge.resource_url_of(&challenge.offers[0]), Some("https://a.example/x"));
        for version in ["0", "3", "1.0", "\"1\"", "null", "[1]"] {
            let body = body.replace(":1,\"error\"", &format!(":{version},\"error\""));
            assert!(
                matches!(Challenge::from_body(body.as_bytes()), Err(ChallengeError::Version { .. })),
                "{version}"
            );
        }
        // An entry of one version in the wrapping of the other.
        let mixed = body.replace(":1,\"error\"", ":2,\"error\"");
        assert!(Challenge::from_body(mixed.as_bytes()).unwrap().offers[0].content.is_err());
        assert!(Challenge::from_body(mixed.replace("base-sepolia", "eip155:84532").as_bytes()).is_err());
        let v2_in_body = format!(r#"{{"x402Version":2,"accepts":[{ENTRY}]}}"#);
        assert_eq!(Challenge::from_body(v2_in_body.as_bytes()).unwrap().protocol, Protocol::V2);
        assert!(matches!(
            Challenge::from_header(STANDARD.encode(&body).as_bytes()),
            Err(ChallengeError::Version { .. })
        ));
        assert!(matches!(Challenge::from_header(body.as_bytes()), Err(ChallengeError::NotBase64(_))));
        assert!(matches!(
            Challenge::from_body(&vec![b' '; CHALLENGE_LEN_MAX + 1]),
            Err(ChallengeError::TooLarge)
        ));
        assert!(matches!(Challenge::from_body(b"\xff"), Err(ChallengeError::NotUtf8(_))));
        for json in [
            "[]",
            "null",
            "{}",
            r#"{"x402Version":1}"#,
            r#"{"x402Version":1,"accepts":{}}"#,
            r#"{"x402Version":"1","accepts":[]}"#,
        ] {
            assert!(Challenge::from_body(json.as_bytes()).is_err(), "{json}");
        }
        assert!(
            Challenge::from_body(body.replace("base-sepolia", "base-mars").as_bytes()).unwrap().offers[0]
                .content
                .is_err()
        );
    }

    #[test]
    fn what_is_echoed_is_kept_to_the_byte() {
        let entry = ENTRY.replace(r#""amount":"1000""#, r#" "amount" : "1000" , "x":1.50 "#);
        let challenge = v2(&entry).unwrap();
        assert_eq!(&*challenge.offers[0].raw, entry);
        assert_eq!(challenge.extensions.raw.as_deref(), Some(r#"{"b":{} }"#));
        assert_eq!(challenge.resource.as_deref(), Some(r#"{"url":"https://a.example/x"}"#));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Challenge::from_body(&bytes);
            let _ = Challenge::from_header(&bytes);
        }

        #[test]
        fn no_edit_of_a_good_402_panics(at in 0..500usize, byte in any::<u8>()) {
            let mut body = format!(r#"{{"x402Version":1,"accepts":[{ENTRY_V1}]}}"#).into_bytes();
            if let Some(edited) = body.get_mut(at) {
                *edited = byte;
            }
            let _ = Challenge::from_body(&body);
        }
    }
}

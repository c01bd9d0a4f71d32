//! The form of a token, before anything in it is believed.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};

use super::TokenError;

/// Longest quotation of what a token says, in characters.
const QUOTED_LEN_MAX: usize = 32;
/// The members a header may have.
const MEMBERS: [&str; 3] = ["alg", "kid", "typ"];

/// What a token says about itself; none of it is proved.
#[derive(Debug)]
pub(super) struct Unproved {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: String,
    pub(super) claims: Claims,
}

/// What we read of the claims. Others are allowed, once each.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) exp: u64,
    pub(super) nbf: Option<u64>,
    pub(super) iat: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
}

/// Takes a token apart.
pub(super) fn read(token: &str) -> Result<Unproved, TokenError> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Form);
    };
    let decode = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty());
        bytes.ok_or(TokenError::Form)
    };
    let (header, claims) = (decode(header)?, decode(claims)?);
    decode(signature)?;
    let names = members("header", &header)?;
    if let Some(other) = names.iter().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(TokenError::HeaderMember(quoted(other)));
    }
    let Header { alg, typ, kid } = typed("header", &header)?;
    let algorithm = algorithm(&alg)?;
    if let Some(typ) = typ.filter(|typ| typ != "JWT") {
        return Err(TokenError::Type(quoted(&typ)));
    }
    let key_id = kid.filter(|kid| !kid.is_empty()).ok_or(TokenError::NoKeyId)?;
    let names = members("claims", &claims)?;
    for needed in ["iss", "sub", "aud", "exp"] {
        if !names.contains(needed) {
            return Err(TokenError::Claim(needed.to_owned()));
        }
    }
    Ok(Unproved { algorithm, key_id, claims: typed("claims", &claims)? })
}

/// The algorithms that are taken, and no other spelling of them.
fn algorithm(name: &str) -> Result<Algorithm, TokenError> {
    let taken = [
        ("RS256", Algorithm::RS256),
        ("RS384", Algorithm::RS384),
        ("RS512", Algorithm::RS512),
        ("PS256", Algorithm::PS256),
        ("PS384", Algorithm::PS384),
        ("PS512", Algorithm::PS512),
        ("ES256", Algorithm::ES256),
        ("ES384", Algorithm::ES384),
    ];
    let found = taken.into_iter().find(|(known, _)| *known == name).map(|(_, algorithm)| algorithm);
    found.ok_or_else(|| TokenError::Algorithm(quoted(name)))
}

/// The names of an object's members, none of which stands there twice at any depth.
fn members(part: &'static str, bytes: &[u8]) -> Result<BTreeSet<String>, TokenError> {
    let not = |what: String| TokenError::Json { part, what };
    let once: Once = serde_json::from_slice(bytes).map_err(|error| not(error.to_string()))?;
    once.0.ok_or_else(|| not("it is something else".to_owned()))
}

fn typed<T: DeserializeOwned>(part: &'static str, bytes: &[u8]) -> Result<T, TokenError> {
    serde_json::from_slice(bytes).map_err(|error| TokenError::Json { part, what: error.to_string() })
}

/// A short piece of what somebody else wrote, without what would disturb a log.
pub(super) fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_LEN_MAX).flat_map(char::escape_default).collect()
}

/// JSON in which no member stands twice in one object: two readers could take another of them.
struct Once(Option<BTreeSet<String>>);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Once, E> {
        Ok(Once(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Once, E> {
        Ok(Once(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Once, E> {
        Ok(Once(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Once, E> {
        Ok(Once(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Once, E> {
        Ok(Once(None))
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Once, A::Error> {
        while seq.next_element::<Once>()?.is_some() {}
        Ok(Once(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<Once>()?;
            if names.contains(&name) {
                return Err(de::Error::custom(format_args!("`{}` stands there twice", quoted(&name))));
            }
            names.insert(name);
        }
        Ok(Once(Some(names)))
    }
}

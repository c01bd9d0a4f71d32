//! Strict JSON: one parse that keeps the text of every value, refuses duplicate keys and deep nesting.
//!
//! Duplicate keys matter because two parsers may pick different ones: what we judge must be what the seller's
//! facilitator reads in the entry we echo.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::quote::quoted;

/// Deepest nesting of arrays and objects.
pub const JSON_DEPTH_MAX: usize = 16;

/// Why a text is not acceptable JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON at all, or a duplicate key.
    #[error("not acceptable JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    #[error("nested deeper than {JSON_DEPTH_MAX} levels")]
    TooDeep,
}

/// A JSON value together with its text.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    raw: &'a str,
    value: Value<'a>,
}

#[derive(Debug)]
enum Value<'a> {
    Null,
    Bool,
    Number,
    String(String),
    Array(Vec<Node<'a>>),
    Object(Vec<(String, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// Reads a whole text.
    pub(crate) fn parse(text: &'a str) -> Result<Self, JsonError> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Self::at_depth(raw.get(), 0)
    }

    fn at_depth(raw: &'a str, depth: usize) -> Result<Self, JsonError> {
        if depth > JSON_DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        let below = depth.saturating_add(1);
        let value = match raw.as_bytes().first() {
            Some(b'{') => {
                let members = serde_json::Deserializer::from_str(raw).deserialize_map(Members)?;
                let node = |(key, raw): (String, &'a RawValue)| Ok((key, Self::at_depth(raw.get(), below)?));
                Value::Object(members.into_iter().map(node).collect::<Result<_, JsonError>>()?)
            }
            Some(b'[') => {
                let items = serde_json::Deserializer::from_str(raw).deserialize_seq(Items)?;
                Value::Array(
                    items
                        .into_iter()
                        .map(|raw| Self::at_depth(raw.get(), below))
                        .collect::<Result<_, _>>()?,
                )
            }
            Some(b'"') => Value::String(serde_json::from_str(raw)?),
            Some(b'n') => Value::Null,
            Some(b't' | b'f') => Value::Bool,
            Some(_) | None => Value::Number,
        };
        Ok(Self { raw, value })
    }

    /// The value's text, byte for byte.
    pub(crate) fn raw(&self) -> &'a str {
        self.raw
    }

    /// A member of an object; `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Object(members) = &self.value else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// The members of an object, in order; none of anything else.
    pub(crate) fn members(&self) -> &[(String, Self)] {
        if let Value::Object(members) = &self.value { members } else { &[] }
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        if let Value::Array(items) = &self.value { Some(items) } else { None }
    }

    /// A JSON integer written in plain digits; not `1.0`, `1e3` or `-1`.
    pub(crate) fn as_u64(&self) -> Option<u64> {
        let plain = matches!(self.value, Value::Number) && self.raw.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| self.raw.parse().ok()).flatten()
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!(
                    "the key {} stands twice in one object",
                    quoted(&key)
                )));
            }
            members.push((key, map.next_value()?));
        }
        Ok(members)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for text in [
            "",
            "{",
            "nul",
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            r#"[{"x":[{"y":1,"y":1}]}]"#,
            r#"{"a":1}x"#,
            r#"{"a":"\ud800"}"#,
            "{'a':1}",
            "{\"a\":1,}",
        ] {
            assert!(Node::parse(text).is_err(), "{text}");
        }
        // The error quotes the key, and travels in the trailers of gRPC.
        let key = "k\u{1b}".repeat(15_000).replace('\u{1b}', "\\u001b");
        let twice = Node::parse(&format!(r#"{{"{key}":1,"{key}":2}}"#)).unwrap_err().to_string();
        assert!(twice.len() < 1024 && !twice.contains('\u{1b}'), "{twice}");
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Node::parse(&nested(JSON_DEPTH_MAX)).is_ok());
        assert!(matches!(Node::parse(&nested(JSON_DEPTH_MAX + 1)), Err(JsonError::TooDeep)));
        assert!(Node::parse(&nested(60_000)).is_err());
    }

    #[test]
    fn the_text_of_every_value_is_kept() {
        let text = r#" {"a" : {"b":  [1, "\u0041" ]}, "n": null, "i": 60, "f": 60.0, "e": 6e1, "s": "60", "m": -1} "#;
        let node = Node::parse(text).unwrap();
        let a = node.get("a").unwrap();
        assert_eq!(a.raw(), r#"{"b":  [1, "\u0041" ]}"#);
        assert_eq!(a.get("b").unwrap().as_array().unwrap()[1].as_str(), Some("A"));
        assert!(node.get("n").is_none());
        let whole = |key: &str| node.get(key).unwrap().as_u64();
        assert_eq!(
            (whole("i"), whole("f"), whole("e"), whole("s"), whole("m")),
            (Some(60), None, None, None, None)
        );
    }
}

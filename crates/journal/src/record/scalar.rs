//! The few kinds of values a canonical record is made of.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The first integer that not every JSON reader keeps exactly (RFC 8785 §3.2.2.3, RFC 7493 §2.2).
const INTEGER_END: u64 = 1 << 53;

/// An integer below 2⁵³.
#[derive(Clone, Copy, Debug)]
pub(super) struct Int(pub(super) u64);

impl Serialize for Int {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 >= INTEGER_END {
            return Err(S::Error::custom(format_args!("the integer {} is 2^53 or more", self.0)));
        }
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u64::deserialize(deserializer)?;
        if value >= INTEGER_END {
            return Err(D::Error::custom(format_args!("the integer {value} is 2^53 or more")));
        }
        Ok(Self(value))
    }
}

/// Bytes, in lower-case hexadecimal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hex<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = [0; 64];
        let end = N.saturating_mul(2);
        let digits = digits.get_mut(..end).ok_or_else(|| S::Error::custom("too many bytes"))?;
        hex::encode_to_slice(self.0, digits).map_err(S::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(digits).map_err(S::Error::custom)?)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = Cow::<str>::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(digits.as_bytes(), &mut bytes).map_err(D::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// Claims by name, in the order RFC 8785 §3.2.3 wants: by UTF-16 code units, which is not the order of UTF-8.
#[derive(Clone, Debug)]
pub(super) struct Labels<'a>(pub(super) Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Labels<'a> {
    pub(super) fn of(labels: &'a BTreeMap<String, String>) -> Self {
        let mut pairs: Vec<_> =
            labels.iter().map(|(key, value)| (Cow::from(key.as_str()), Cow::from(value.as_str()))).collect();
        pairs.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        Self(pairs)
    }

    pub(super) fn to_map(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

struct Pairs<'a>(PhantomData<&'a str>);

impl<'de, 'a> Visitor<'de> for Pairs<'a> {
    type Value = Labels<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            let ordered = pairs.last().is_none_or(|(last, _)| last.encode_utf16().lt(key.encode_utf16()));
            if !ordered {
                return Err(A::Error::custom(format_args!("the label `{key}` is out of order")));
            }
            pairs.push((key.into(), value.into()));
        }
        Ok(Labels(pairs))
    }
}
